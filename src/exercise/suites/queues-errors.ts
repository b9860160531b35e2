/** Errors of queue managers: each is told of, by the engine it is of, and what is behind it in the stream does not run. */

import assert from 'node:assert/strict';
import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { dmaCore } from '../../../specs/gaudi/registers/dma-core.ts';
import { qmanRegisters } from '../../../specs/gaudi/registers/qman.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Device } from '../../runtime/device.ts';
import { fenceAddress } from '../../runtime/sync.ts';
import type { QueueName } from '../../uapi/habanalabs/gaudi.ts';
import type { Declare, TestContext } from '../suite.ts';
import { counted, EVENT, told } from './events-lib.ts';
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
  readonly overflow?: true;
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

const mistakes: readonly Mistake[] = [
  { queue: 'DMA_2_1', event: 'DMA2_QM', packets: new CommandStream().register(NO_REGISTER, 1) },
  { queue: 'DMA_3_0', event: 'DMA3_QM', packets: new CommandStream().write(FORBIDDEN, 1) },
  { queue: 'DMA_4_2', event: 'DMA4_QM', packets: new CommandStream().packet('STOP', {}) },
  { queue: 'TPC_1_3', event: 'TPC1_QM', packets: new CommandStream().fence(2), overflow: true },
  { queue: 'DMA_6_1', event: 'DMA6_QM', packets: new CommandStream().packet('STOP', {}), lower: true },
  { queue: 'MME_0_2', event: 'MME2_QM', packets: new CommandStream(), nowhere: true },
  // the engine is not given to a stream any more, not even to one that was chosen
  { queue: 'DMA_7_0', event: 'DMA7_QM', packets: choices(0, CHOICES + 1).packet('ARB_POINT', { priority: 0 }) },
  // chosen is a stream that does not ask: some seconds later that is told (gaudi.c, GAUDI_ARB_WDT_TIMEOUT)
  { queue: 'TPC_2_0', event: 'TPC2_QM', packets: choices(1, 1), goesOn: true },
];

/** An address in SRAM at which no word begins. */
function oddAddress(t: TestContext, device: Device): bigint {
  return t.use(device.sram.allocate(16)).address + 2n;
}

export function queueErrors(test: Declare): void {
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
        for (const { queue, event, packets, overflow, lower, goesOn, nowhere } of [...mistakes, odd]) {
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
          if (overflow) {
            const steps = new CommandStream();
            // the stream waits for more than the counter gets before it is full
            for (let sum = 0; sum <= FENCE_MAX + 1; sum += 15) steps.write(fenceAddress(queue, 3), 15);
            await run(t, DOWN, steps, device);
          }
          await told(t, events, EVENT.HL_NOTIFIER_EVENT_USER_ENGINE_ERR);
          assert.equal(await counted(t, device, event, counts), 1, `${queue}: ${event}`);
          if (!overflow && !goesOn) assert.equal(await meets(t, [behind], 1, false, device), false, `${queue} went on`);
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
