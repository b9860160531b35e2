/** What sync managers refuse, and monitors that are taken back. */

import assert from 'node:assert/strict';
import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { syncManager } from '../../../specs/gaudi/registers/sync-manager.ts';
import { gaudiQman } from '../../../specs/gaudi-qman.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Dcore } from '../../runtime/info.ts';
import type { Monitor } from '../../runtime/sync.ts';
import type { Declare, TestContext } from '../suite.ts';
import { counted, EVENT, told } from './events-lib.ts';
import { KiB, run } from './lib.ts';
import { assertValue } from './sync-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
const { MON_STATUS, MON_ARM } = syncManager.rows;
/** Events of sync managers are numbered otherwise than the managers (gaudi.c, gaudi_get_event_desc). */
const EVENTS: Readonly<Record<Dcore, string>> = {
  W_S: 'DMA_IF_SEI_0',
  E_S: 'DMA_IF_SEI_1',
  W_N: 'DMA_IF_SEI_2',
  E_N: 'DMA_IF_SEI_3',
};
/** Registers that the driver keeps from everyone but itself (gaudi_security.c, the last of the ranges). */
const FORBIDDEN = BigInt(addressMap.CFG_BASE + 0xfd_0000);

/** Overflows in less time than the driver takes for one event. */
const OVERFLOWS = 200;
const POSTED = { eb: false, rb: false, mb: false } as const;

const addOne = gaudiQman.format('sob', { value: 1, add: true });

/**
 * Has a monitor write to `place`, and waits until its manager tells that this was not possible.
 * @param others events that are told of besides
 */
async function cannotWrite(t: TestContext, dcore: Dcore, place: bigint, others = 0): Promise<void> {
  const { device } = t;
  using notifier = device.notifyEvents();
  using object = device.sync(dcore).syncObject();
  using monitor = device.sync(dcore).monitor();
  const before = device.info.hwEventsAggregate();
  const write = { place, data: 0x5555_5555 };
  await run(t, DOWN, new CommandStream().arm(monitor, { objects: [object], value: 1, write }).set(object, 1));
  const event = await told(t, notifier, EVENT.HL_NOTIFIER_EVENT_USER_ENGINE_ERR | others);
  assert.equal(event & EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET, 0, 'and of no reset');
  assert.equal(await counted(t, device, EVENTS[dcore], before), 1, EVENTS[dcore]);
}

function statusOf(monitor: Monitor): bigint {
  return monitor.arm - BigInt(MON_ARM.offset) + BigInt(MON_STATUS.offset);
}

export function syncErrors(test: Declare): void {
  test('a monitor that is to write where no word begins tells of it, and writes nothing', async (t) => {
    const { device } = t;
    t.expectMessages(/DMA_IF_SEI/, /SEI Error: Unaligned 4B LBW access/);
    const sram = t.use(device.sram.allocate(16));
    const result = t.use(device.allocHost(4 * KiB));
    await run(t, DOWN, new CommandStream().memset(sram, 0n, 16));
    for (const [dcore, at] of [
      ['E_N', 2n],
      ['E_N', 5n],
      ['W_S', 7n],
    ] as const)
      await cannotWrite(t, dcore, sram.address + at);
    await run(t, UP, new CommandStream().dma(result, sram, 16));
    assert.deepEqual([...result.words.subarray(0, 4)], [0, 0, 0, 0]);
  });

  test('a monitor that is to write to a register of the driver tells of it', async (t) => {
    t.expectMessages(/DMA_IF_SEI/, /SEI Error/, /RAZWI/, /H\/W interrupt/);
    await cannotWrite(t, 'E_S', FORBIDDEN);
  });

  test('a monitor has no address of host memory, whatever the program has mapped', async (t) => {
    const { device } = t;
    t.expectMessages(/DMA_IF_SEI/, /SEI Error/, /RAZWI/, /page fault/, /H\/W interrupt/);
    const host = t.use(device.allocHost(4 * KiB));
    // the address is known to the MMU by then
    await run(t, DOWN, new CommandStream().memset(host, 7n, 8));
    await cannotWrite(t, 'W_N', host.deviceAddress, EVENT.HL_NOTIFIER_EVENT_PAGE_FAULT);
    assert.equal(host.words[0], 7);
  });

  test('what a manager has to tell while the driver still listens to the last is told once, later', async (t) => {
    const { device } = t;
    t.expectMessages(/DMA_IF_SEI/, /SEI Error: SOB Group \d+ overflow/);
    const [often, once] = [device.sync('E_N').syncObject(), device.sync('W_N').syncObject()];
    const before = device.info.hwEventsAggregate();
    const stream = new CommandStream();
    for (let i = 0; i < OVERFLOWS; i++) stream.set(often, 0x7fff, POSTED).add(often, 1, POSTED);
    await run(t, DOWN, stream);
    assert.ok((await counted(t, device, EVENTS.E_N, before, 2)) >= 2, 'what came meanwhile was lost');
    // events are taken in their order: this one after all of those
    await run(t, DOWN, new CommandStream().set(once, 0x7fff).add(once, 1));
    assert.equal(await counted(t, device, EVENTS.W_N, before), 1);
    const times = await counted(t, device, EVENTS.E_N, before);
    assert.ok(times < OVERFLOWS, `${times} events of ${OVERFLOWS} overflows`);
  });

  test('a monitor that was taken back and watches others writes for those alone', async (t) => {
    const { device } = t;
    const manager = device.sync('E_N');
    const [first, second] = [manager.syncObjects(8), manager.syncObjects(8)];
    const counter = manager.syncObject();
    const monitor = manager.monitor();
    const write = { place: counter.address, data: addOne };
    const [before, after] = [first[3], second[3]];
    assert.ok(before && after);
    await run(
      t,
      DOWN,
      new CommandStream()
        .arm(monitor, { objects: [before], value: 5, write })
        .write(statusOf(monitor), 0)
        .set(before, 5),
    );
    await assertValue(t, counter, 0, 'of a monitor that was taken back');
    await run(t, DOWN, new CommandStream().set(before, 0).arm(monitor, { objects: [after], value: 5, write }));
    await run(t, DOWN, new CommandStream().set(before, 5));
    await assertValue(t, counter, 0, 'while another object than it watches is reached');
    await run(t, DOWN, new CommandStream().set(after, 5).set(after, 6));
    await assertValue(t, counter, 1, 'for what it watches');
  });
}
