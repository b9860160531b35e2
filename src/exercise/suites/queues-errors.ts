/** Errors of queue managers: each is told of, by the engine it is of, and what is behind it in the stream does not run. */

import assert from 'node:assert/strict';
import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { dmaCore } from '../../../specs/gaudi/registers/dma-core.ts';
import { qmanRegisters } from '../../../specs/gaudi/registers/qman.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Device } from '../../runtime/device.ts';
import { fenceAddress } from '../../runtime/sync.ts';
import { gaudi_engine_id, type QueueName } from '../../uapi/habanalabs/gaudi.ts';
import type { Declare, TestContext } from '../suite.ts';
import { counted, EVENT, FAULT, told } from './events-lib.ts';
import { renew } from './faults-lib.ts';
import { KiB, run } from './lib.ts';
import { asNew, control, KILLING, LATE_EVENT, recovered, resets, SLOW } from './reset-lib.ts';
import { meets } from './sync-lib.ts';

const DOWN = 'DMA_0_0';
/** Where a queue manager lies within the 64 KiB of an engine that WREG_32 reaches (dma0_qm_regs.h, tpc0_qm_regs.h). */
const QM = 0x8000;
/** An arbiter that follows another. */
const ARBITER = 1 << 8;
/** Choices that such an arbiter can queue (ARB_MST_AVAIL_CRED, what its master gives it at first). */
const CHOICES = qmanRegisters.rows.ARB_MST_AVAIL_CRED.reset;
/** From what a program has to where it has nothing. */
const FAR = 2n ** 44n;
/** Beyond the registers of a DMA engine, and before those of its queue manager (gaudi_blocks.h). */
const NO_REGISTER = dmaCore.size + 0x1000;
/** A register that the driver keeps to itself (gaudi_security.c, the last of the ranges). */
const FORBIDDEN = BigInt(addressMap.CFG_BASE + 0xfd_0000);
/** The most that a fence counter holds: 14 bits; a packet adds up to 15. */
const FENCE_MAX = 0x3fff;

interface Mistake {
  readonly queue: QueueName;
  readonly event: string;
  readonly packets: CommandStream;
  /** Made by another queue: it counts up fence 3 of this one. */
  readonly overflows?: true;
  /** Made by the lower command processor. */
  readonly lower?: true;
  /** What is behind it is not held up. */
  readonly goesOn?: true;
  /** The packets are where nothing is. */
  readonly nowhere?: true;
}

/** A master has chosen a stream so often. */
function choices(stream: number, count: number): CommandStream {
  const { ARB_CFG_0, ARB_CHOISE_Q_PUSH } = qmanRegisters.rows;
  const packets = new CommandStream().register(QM + ARB_CFG_0.offset, ARBITER);
  for (let i = 0; i < count; i++) packets.register(QM + ARB_CHOISE_Q_PUSH.offset, stream);
  return packets;
}

/** No packet has this opcode. */
const UNKNOWN = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0x1e);

const mistakes: readonly Mistake[] = [
  { queue: 'DMA_2_1', event: 'DMA2_QM', packets: new CommandStream().register(NO_REGISTER, 1) },
  { queue: 'DMA_3_0', event: 'DMA3_QM', packets: new CommandStream().write(FORBIDDEN, 1) },
  { queue: 'DMA_4_2', event: 'DMA4_QM', packets: new CommandStream().packet('STOP', {}) },
  { queue: 'TPC_1_3', event: 'TPC1_QM', packets: new CommandStream().fence(2), overflows: true },
  { queue: 'DMA_6_1', event: 'DMA6_QM', packets: new CommandStream().packet('STOP', {}), lower: true },
  { queue: 'MME_0_2', event: 'MME2_QM', packets: new CommandStream(), nowhere: true },
  // the engine is not given to a stream any more, not even to one that was chosen
  { queue: 'DMA_7_0', event: 'DMA7_QM', packets: choices(0, CHOICES + 1).packet('ARB_POINT', { priority: 0 }) },
  // chosen is a stream that does not ask: some seconds later that is told (gaudi.c, GAUDI_ARB_WDT_TIMEOUT)
  { queue: 'TPC_2_0', event: 'TPC2_QM', packets: choices(1, 1), goesOn: true },
];

/** Packets in memory that stays until the card is closed, for an internal queue. */
function placed(device: Device, queue: QueueName, stream: CommandStream) {
  const memory = device.allocHost(KiB);
  memory.bytes.set(stream.bytes);
  return { queue, place: memory, size: stream.size, address: memory.deviceAddress };
}

/** Hands packets to internal queues. */
async function give(t: TestContext, device: Device, chunks: readonly ReturnType<typeof placed>[]): Promise<void> {
  const end = { queue: DOWN, stream: new CommandStream().nop() } as const;
  await device.wait(device.submit([...chunks, end]), { signal: t.signal });
}

/** Counts up a fence counter of `queue` until it is full, and beyond. */
export function overflow(queue: QueueName): CommandStream {
  const steps = new CommandStream();
  for (let sum = 0; sum <= FENCE_MAX + 1; sum += 15) steps.write(fenceAddress(queue, 3), 15);
  return steps;
}

/** An address in SRAM at which no word begins. */
function oddAddress(t: TestContext, device: Device): bigint {
  return t.use(device.sram.allocate(16)).address + 2n;
}

export function queueErrors(test: Declare): void {
  test(
    'an error that a queue has told of is told again only after a reset',
    async (t) => {
      t.expectMessages(/H\/W interrupt/, /err cause: (FENCE 3 inc over max|CP encountered STOP)/, /stop on err|PQE/);
      t.expectMessages(KILLING, LATE_EVENT, /not idle/);
      const node = control(t);
      const before = resets(node);
      for (let i = 1; i <= 2; i++) {
        const device = t.open(0);
        const counts = device.info.hwEventsAggregate();
        await run(t, DOWN, overflow('TPC_1_3'), device);
        assert.equal(await counted(t, device, 'TPC1_QM', counts), 1);
        await run(t, DOWN, overflow('TPC_1_3'), device);
        // whose event comes after all of those before
        await give(t, device, [placed(device, 'TPC_4_1', new CommandStream().packet('STOP', {}).fence(0))]);
        assert.equal(await counted(t, device, 'TPC4_QM', counts), 1);
        assert.equal(await counted(t, device, 'TPC1_QM', counts), 1, 'it was told of again');
        device.close();
        assert.equal(await recovered(t, node, before + i - 1), before + i);
      }
      await asNew(t);
    },
    SLOW,
  );

  test(
    'an unknown packet is recorded with the buffers of all streams of its engine that have stopped',
    async (t) => {
      t.expectMessages(
        /H\/W interrupt/,
        /err cause: (CP encountered STOP|CP error due to undefined)/,
        /no packet has this opcode/,
      );
      t.expectMessages(/stop on err|PQE/, KILLING, LATE_EVENT, /not idle/);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      try {
        const events = device.notifyEvents();
        const counts = device.info.hwEventsAggregate();
        const stopped = placed(device, 'TPC_5_3', new CommandStream().packet('STOP', {}).fence(0));
        await give(t, device, [stopped]);
        assert.equal(await counted(t, device, 'TPC5_QM', counts), 1);
        const unknown = placed(device, 'TPC_5_0', new CommandStream().raw(UNKNOWN).fence(0));
        await give(t, device, [unknown]);
        await told(t, events, EVENT.HL_NOTIFIER_EVENT_UNDEFINED_OPCODE);
        const record = device.info.undefinedOpcodeEvent();
        assert.equal(record?.engine_id, gaudi_engine_id.GAUDI_ENGINE_ID_TPC_5.value);
        const buffers = record?.cb_addr_streams.slice(0, record.cb_addr_streams_len).map(([last]) => last);
        assert.deepEqual(buffers, [unknown.address, stopped.address]);
        assert.equal(record?.stream_id, 3, 'the last of them');
      } finally {
        device.close();
      }
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );

  test(
    'an access that a queue of DMA may not make is recorded with both engines at its place: neither has an error',
    async (t) => {
      t.expectMessages(/H\/W interrupt/, /err cause: CQ AXI HBW/, /MMU page fault/, /RAZWI .*DMA1 or DMA3/);
      t.expectMessages(/stop on err|PQE/, KILLING, LATE_EVENT, /not idle/);
      const device = t.open(0);
      try {
        const events = device.notifyEvents();
        const { queue, size, address } = placed(device, 'DMA_3_1', new CommandStream().nop().fence(0));
        const end = { queue: DOWN, stream: new CommandStream().nop() } as const;
        await device.wait(device.submit([{ queue, place: address + FAR, size }, end]), { signal: t.signal });
        await told(t, events, FAULT);
        const record = device.info.razwiEvent();
        assert.deepEqual(record?.engine_id.slice(0, record.num_of_possible_engines), [
          gaudi_engine_id.GAUDI_ENGINE_ID_DMA_1.value,
          gaudi_engine_id.GAUDI_ENGINE_ID_DMA_3.value,
        ]);
      } finally {
        await renew(t, device);
      }
    },
    SLOW,
  );

  test(
    'errors of queues are told of, each by its engine, and end what is behind them',
    async (t) => {
      t.expectMessages(
        /H\/W interrupt/,
        /err cause: (CP WRREG32|CP AXI LBW|CQ AXI HBW|CP encountered STOP|FENCE 3 inc over max|Choice)/,
        /MMU page fault/,
        /RAZWI/,
        /stop on err|PQE/,
        /register|message to address/,
        KILLING,
        LATE_EVENT,
        /not idle/,
      );
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      try {
        const events = device.notifyEvents();
        const counts = device.info.hwEventsAggregate();
        const odd: Mistake = {
          queue: 'DMA_5_0',
          event: 'DMA5_QM',
          packets: new CommandStream().write(oddAddress(t, device), 1),
        };
        for (const { queue, event, packets, overflows, lower, goesOn, nowhere } of [...mistakes, odd]) {
          const behind = device.sync('E_N').syncObject();
          const memory = device.allocHost(KiB);
          const stream = new CommandStream().raw(packets.bytes).nop().add(behind, 1);
          memory.bytes.set(stream.bytes);
          const { size } = stream;
          const place = lower ? device.load(stream) : { place: nowhere ? memory.deviceAddress + FAR : memory, size };
          const work = device.submit([
            { queue, ...place },
            { queue: DOWN, stream: new CommandStream().nop() },
          ]);
          await device.wait(work, { signal: t.signal });
          // the stream waits for more than the counter gets before it is full
          if (overflows) await run(t, DOWN, overflow(queue), device);
          await told(t, events, EVENT.HL_NOTIFIER_EVENT_USER_ENGINE_ERR);
          assert.equal(await counted(t, device, event, counts), 1, `${queue}: ${event}`);
          if (!overflows && !goesOn)
            assert.equal(await meets(t, [behind], 1, false, device), false, `${queue} went on`);
        }
      } finally {
        device.close();
      }
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );
}
