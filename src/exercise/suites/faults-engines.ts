/** What goes wrong in engines and queue managers, and on their way to memory. */

import assert from 'node:assert/strict';
import { dmaCauses, ENGINES, qmanCauses, TPC_CAUSES } from '../../../specs/gaudi/fault-values.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { gaudi_engine_id } from '../../uapi/habanalabs/gaudi.ts';
import { razwiFlags } from '../../uapi/habanalabs/info-results.ts';
import type { Declare } from '../suite.ts';
import { EVENT, FAULT, told } from './events-lib.ts';
import { happened, INTERRUPT, logged, RESETTING, repaired, roomFor, withFaults } from './faults-lib.ts';
import { KiB } from './lib.ts';
import { asNew, control, recovered, resets, SLOW } from './reset-lib.ts';

const DOWN = 'DMA_0_0';
const USER = EVENT.HL_NOTIFIER_EVENT_USER_ENGINE_ERR;
const RESET = EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET;

/** What the driver calls the bits (gaudi.c, gaudi_qman_error_cause). */
const QMAN_TEXTS = {
  'queue-read': 'PQ AXI HBW error',
  'buffer-read': 'CQ AXI HBW error',
  'processor-read': 'CP AXI HBW error',
  'undefined-opcode': 'CP error due to undefined OPCODE',
  'stop-packet': 'CP encountered STOP OPCODE',
  'message-write': 'CP AXI LBW error',
  'register-write': 'CP WRREG32 or WRBULK returned error',
  'fence0-overflow': 'FENCE 0 inc over max value and clipped',
  'fence1-overflow': 'FENCE 1 inc over max value and clipped',
  'fence2-overflow': 'FENCE 2 inc over max value and clipped',
  'fence3-overflow': 'FENCE 3 inc over max value and clipped',
  'fence0-underflow': 'FENCE 0 dec under min value and clipped',
  'fence1-underflow': 'FENCE 1 dec under min value and clipped',
  'fence2-underflow': 'FENCE 2 dec under min value and clipped',
  'fence3-underflow': 'FENCE 3 dec under min value and clipped',
} as const;

export function engineFaults(test: Declare): void {
  test(
    'qman-error: every bit of a queue manager’s status is told of by its name and stream, and resets nothing',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(INTERRUPT, /err cause: /);
        const node = control(t);
        const before = resets(node);
        await repaired(t, async (device) => {
          const events = device.notifyEvents();
          // a bit stays set until a reset: each with an engine of its own
          for (const [i, cause] of Object.keys(qmanCauses).entries()) {
            await roomFor(t, 1);
            const engine = ENGINES[i] as string;
            const stream = i % 4;
            await faults.inject(`qman-error:${engine}.${cause}.${stream}`);
            const opcode = cause === 'undefined-opcode' ? EVENT.HL_NOTIFIER_EVENT_UNDEFINED_OPCODE : 0;
            assert.equal(await told(t, events, USER | RESET | opcode), USER | RESET | opcode, cause);
            const text = QMAN_TEXTS[cause as keyof typeof QMAN_TEXTS];
            const name = engine.replace(/(\d)$/, '_QM$1');
            await logged(t, new RegExp(`${name} stream${stream}\\. err cause: +${text}`));
          }
          assert.equal(resets(node), before, 'resets');
        });
      }),
    SLOW,
  );

  test(
    'arbiter-error: every bit of an arbiter is told of by its name, and resets nothing',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(INTERRUPT, /err cause: /);
        const node = control(t);
        const before = resets(node);
        await repaired(t, async (device) => {
          const events = device.notifyEvents();
          for (const [engine, cause, text] of [
            ['DMA2', 'overflow', 'Choice push while full error'],
            ['TPC6', 'watchdog', 'Choice Q watchdog error'],
            ['MME2', 'message', 'MSG AXI LBW returned with error'],
          ] as const) {
            await faults.inject(`arbiter-error:${engine}.${cause}`);
            assert.equal(await told(t, events, USER | RESET), USER | RESET, cause);
            await logged(t, new RegExp(`${engine.replace(/(\d)$/, '_QM$1')} ARB_ERR\\. err cause: +${text}`));
          }
          assert.equal(resets(node), before, 'resets');
        });
      }),
    SLOW,
  );

  test(
    'undefined-opcode: a packet that arrives as none is recorded with stream and place; nothing after it is executed',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(INTERRUPT, /err cause: /, ...RESETTING);
        const node = control(t);
        const before = resets(node);
        const device = t.open(0);
        try {
          const events = device.notifyEvents();
          const host = device.allocHost(4 * KiB);
          await faults.inject('undefined-opcode:DMA0');
          const work = device.submit({ queue: DOWN, stream: new CommandStream().memset(host, 9n, 8) });
          const expected = USER | RESET | EVENT.HL_NOTIFIER_EVENT_UNDEFINED_OPCODE;
          assert.equal(await told(t, events, expected), expected);
          const record = device.info.undefinedOpcodeEvent();
          assert.equal(record?.engine_id, gaudi_engine_id.GAUDI_ENGINE_ID_DMA_0.value);
          assert.equal(record?.stream_id, 0);
          assert.equal(host.words[0], 0);
          assert.equal(device.poll(work), undefined);
          // of another the program is told, and on record is still the first
          await faults.inject('undefined-opcode:DMA0');
          device.submit({ queue: 'DMA_0_1', stream: new CommandStream().memset(host, 9n, 8) });
          const { HL_NOTIFIER_EVENT_UNDEFINED_OPCODE: OPCODE } = EVENT;
          assert.equal((await told(t, events, USER | RESET)) & OPCODE, 0);
          assert.equal(device.info.undefinedOpcodeEvent()?.stream_id, 0);
        } finally {
          device.close();
        }
        assert.equal(await recovered(t, node, before), before + 1);
        await asNew(t);
      }),
    SLOW,
  );

  for (const cause of Object.keys(dmaCauses))
    test(
      `dma-error:DMA0.${cause}: is told of, and the card is reset when it is given back`,
      (t) =>
        withFaults(t, async (faults) => {
          t.expectMessages(INTERRUPT, ...RESETTING);
          const node = control(t);
          const before = resets(node);
          const device = t.open(0);
          try {
            const events = device.notifyEvents();
            const host = device.allocHost(4 * KiB);
            await faults.inject(`dma-error:DMA0.${cause}`);
            const work = device.submit({ queue: DOWN, stream: new CommandStream().memset(host, 9n, 8) });
            assert.equal(await told(t, events, USER | RESET), USER | RESET);
            await logged(t, /"DMA0_CORE"/);
            assert.equal(device.poll(work), undefined);
          } finally {
            device.close();
          }
          assert.equal(await recovered(t, node, before), before + 1);
          await asNew(t);
        }),
      SLOW,
    );

  test(
    'tpc-error: every cause that is not masked is told of by its name, and cleared; nothing is reset',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(INTERRUPT, /interrupt cause: /);
        const node = control(t);
        const before = resets(node);
        await repaired(t, async (device) => {
          const events = device.notifyEvents();
          for (const [i, cause] of Object.keys(TPC_CAUSES).entries()) {
            // the first twice: it has been cleared
            for (let again = i === 0 ? 2 : 1; again > 0; again--) {
              await roomFor(t, 1);
              await faults.inject(`tpc-error:TPC${i}.${cause}`);
              assert.equal(await told(t, events, USER | RESET), USER | RESET, cause);
              await logged(t, new RegExp(`TPC${i}_KRN_ERR interrupt cause: tpc_`));
            }
          }
          assert.equal(resets(node), before, 'resets');
        });
      }),
    SLOW,
  );

  test(
    'page-fault: a page that is there but not found is recorded with what is mapped',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(INTERRUPT, /page fault/, /RAZWI/, /ECC error detected/, ...RESETTING);
        const node = control(t);
        const before = resets(node);
        const device = t.open(0);
        try {
          const events = device.notifyEvents();
          const host = device.allocHost(4 * KiB);
          const { address } = device.sram.allocate(4 * KiB);
          await faults.inject('page-fault:DMA0');
          device.submit({ queue: DOWN, stream: new CommandStream().dma(address, host, 4 * KiB) });
          await told(t, events, FAULT);
          assert.equal(device.info.pageFaultEvent()?.addr, host.deviceAddress);
          assert.ok(device.info.userMappings().some(({ dev_va }) => dev_va === host.deviceAddress));
          // with the next event the driver looks again, and finds nothing new
          await faults.inject('ecc-single:SRAM3');
          const next = await told(t, events, EVENT.HL_NOTIFIER_EVENT_GENERAL_HW_ERR);
          assert.equal(next & (EVENT.HL_NOTIFIER_EVENT_PAGE_FAULT | EVENT.HL_NOTIFIER_EVENT_RAZWI), 0);
        } finally {
          device.close();
        }
        assert.equal(await recovered(t, node, before), before + 1);
        await asNew(t);
      }),
    SLOW,
  );

  test(
    'razwi: an access that is refused is recorded with who made it',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(INTERRUPT, /RAZWI/, ...RESETTING);
        const node = control(t);
        const before = resets(node);
        const device = t.open(0);
        try {
          const events = device.notifyEvents();
          const host = device.allocHost(4 * KiB);
          const { address } = device.sram.allocate(4 * KiB);
          await faults.inject('razwi:DMA0');
          device.submit({ queue: DOWN, stream: new CommandStream().dma(address, host, 4 * KiB) });
          await told(t, events, EVENT.HL_NOTIFIER_EVENT_RAZWI | USER | RESET);
          const record = device.info.razwiEvent();
          const ways: readonly unknown[] = [razwiFlags.HL_RAZWI_READ.value, razwiFlags.HL_RAZWI_WRITE.value];
          assert.ok(ways.includes(record?.flags), `flags ${record?.flags}`);
          const engines = record?.engine_id.slice(0, record.num_of_possible_engines);
          // of the two that are at one place the one that has an error
          assert.deepEqual(engines, [gaudi_engine_id.GAUDI_ENGINE_ID_DMA_0.value]);
        } finally {
          device.close();
        }
        assert.equal(await recovered(t, node, before), before + 1);
        await asNew(t);
      }),
    SLOW,
  );

  test(
    'engine-stuck: an engine that never ends its work is busy, and the card is reset when it is given back',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(...RESETTING);
        const node = control(t);
        const before = resets(node);
        const device = t.open(0);
        try {
          const host = device.allocHost(4 * KiB);
          await faults.inject('engine-stuck:DMA0');
          const work = device.submit({ queue: DOWN, stream: new CommandStream().memset(host, 9n, 8) });
          await happened(t, faults, 'engine-stuck:DMA0');
          assert.deepEqual(device.info.idle().busy, ['DMA_0']);
          assert.equal(device.poll(work), undefined);
          assert.equal(host.words[0], 0);
        } finally {
          device.close();
        }
        assert.equal(await recovered(t, node, before), before + 1);
        await asNew(t);
      }),
    SLOW,
  );
}
