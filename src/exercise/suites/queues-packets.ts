/** Packets that only internal queues take from programs: the driver refuses them in command buffers, and nobody checks these queues. */

import assert from 'node:assert/strict';
import { gaudiQman } from '../../../specs/gaudi-qman.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { fenceAddress, type SyncObject } from '../../runtime/sync.ts';
import type { Declare, TestContext } from '../suite.ts';
import { KiB, run } from './lib.ts';
import { runBeside } from './queues-internal.ts';
import { control, REQUESTED, recovered, resets, SLOW, writeHardReset } from './reset-lib.ts';
import { assertValue, hold } from './sync-lib.ts';

const QUEUE = 'DMA_2_0';
const OTHER = 'DMA_2_1';
const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
/** The longest WAIT: 24 bits. */
const LONGEST = 0xff_ffff;
const PREDICATES = 32;
const POSTED = { eb: false, rb: false, mb: false } as const;

/** Has the upper command processor of an internal queue execute packets, of which the last counts up `object`. */
async function execute(t: TestContext, object: SyncObject, stream: CommandStream): Promise<void> {
  const memory = t.use(t.device.allocHost(KiB));
  memory.bytes.set(stream.bytes);
  await runBeside(t, object, [{ queue: QUEUE, place: memory, size: stream.size }]);
}

export function internalPackets(test: Declare): void {
  test('WAIT adds to a fence counter later, and a FENCE takes from it', async (t) => {
    const object = t.device.sync('E_N').syncObject();
    const stream = new CommandStream();
    for (const [id, inc] of [
      [1, 3],
      [3, 15],
      [0, 1],
    ] as const) {
      stream.packet('WAIT', { cycles: 500, inc, id }).packet('FENCE', { id, target: inc, dec: inc });
    }
    await execute(t, object, stream.add(object, 1));
    await assertValue(t, object, 1);
  });

  test('packets of a long buffer are whole wherever in it they lie', async (t) => {
    const { device } = t;
    // three words of 64 bits each, so that one lies across the end of what is read at a time, wherever that is
    const count = 500;
    const host = t.use(device.allocHost(8 * count));
    const buffer = t.use(device.createCb(64 * KiB));
    const stream = new CommandStream();
    for (let i = 0; i < count; i++) stream.memset(host.deviceAddress + BigInt(8 * i), BigInt(i + 1), 8);
    buffer.bytes.set(stream.bytes);
    await device.wait(device.submit({ queue: DOWN, buffer, size: stream.size }), { signal: t.signal });
    for (let i = 0; i < count; i++) assert.equal(host.words[2 * i], i + 1, `packet ${i}`);
  });

  test('scalars are executed as packets, whole or their upper half', async (t) => {
    const { device } = t;
    const object = device.sync('E_N').syncObject();
    const [host, result] = [t.use(device.allocHost(4 * KiB)), t.use(device.allocHost(4 * KiB))];
    const whole = gaudiQman.encode('MSG_LONG', { addr: result.deviceAddress, value: 0x1234_5678, mb: true });
    const upper = gaudiQman.encode('MSG_SHORT', {
      base: 1,
      offset: 4 * object.index,
      value: gaudiQman.format('sob', { value: 1, add: true }),
      rb: true,
      mb: true,
    });
    // a lower half that would be noticed
    const lower = gaudiQman.encode('FENCE', { id: 2, target: 1, dec: 1 });
    host.bytes.set(whole);
    host.bytes.set(lower, 128);
    host.bytes.set(upper, 128 + lower.length);
    const stream = new CommandStream()
      .packet('LOAD_AND_EXE', { dst: 1, load: true, exe: true, src: host.deviceAddress, mb: true })
      .packet('LOAD_AND_EXE', { dst: 1, load: true, src: host.deviceAddress + 128n, mb: true })
      .packet('LOAD_AND_EXE', { exe: true, etype: 1, src: 0n, mb: true });
    await execute(t, object, stream);
    assert.equal(result.words[0], 0x1234_5678);
    await assertValue(t, object, 1);
  });

  test('WAIT adds as late as it is told', async (t) => {
    const { device } = t;
    const [last, done] = [device.sync('E_N').syncObject(), device.sync('E_N').syncObject()];
    // the longest wait of one stream begins before a short one of another, and ends after it
    const slow = new CommandStream()
      .write(fenceAddress(OTHER, 1), 1)
      .packet('WAIT', { cycles: LONGEST, inc: 1, id: 0 })
      .packet('FENCE', { id: 0, target: 1, dec: 1 })
      .set(last, 1)
      .add(done, 1);
    const quick = new CommandStream()
      .packet('FENCE', { id: 1, target: 1, dec: 1 })
      .packet('WAIT', { cycles: 500, inc: 1, id: 0 })
      .packet('FENCE', { id: 0, target: 1, dec: 1 })
      .set(last, 2)
      .add(done, 1);
    const chunks = [
      [OTHER, quick],
      [QUEUE, slow],
    ] as const;
    const end = hold(UP, device.sync('E_N').monitor(), [done], 2);
    const work = device.submit([
      { queue: UP, stream: end },
      ...chunks.map(([queue, stream]) => {
        const memory = t.use(device.allocHost(KiB));
        memory.bytes.set(stream.bytes);
        return { queue, place: memory, size: stream.size };
      }),
    ]);
    await device.wait(work, { signal: t.signal });
    await assertValue(t, last, 1, 'after the longer wait');
  });

  test('what messages have written is there behind a message barrier, the last of them last', async (t) => {
    const { device } = t;
    const sram = t.use(device.sram.allocate(128));
    const seen = t.use(device.sram.allocate(128));
    const result = t.use(device.allocHost(4 * KiB));
    const stream = new CommandStream().memset(sram, 0n, 128).memset(seen, 0n, 128).nop();
    // all under way at once: each predicate is cleared, then set, but for every third
    for (let n = 0; n < PREDICATES; n++) stream.write(sram.at(4 * n), 0, POSTED).write(sram.at(4 * n), 1, POSTED);
    for (let n = 0; n < PREDICATES; n += 3) stream.write(sram.at(4 * n), 0, POSTED);
    stream.packet('LOAD_AND_EXE', { load: true, src: sram.address, mb: true });
    for (let pred = 0; pred < PREDICATES; pred++)
      stream.packet('MSG_LONG', { addr: seen.at(4 * pred), value: 1, pred, mb: true });
    await run(t, DOWN, stream.dma(result, seen, 128));
    const expected = Array.from({ length: PREDICATES }, (_, n) => (n === 0 || n % 3 !== 0 ? 1 : 0));
    assert.deepEqual([...result.words.subarray(0, PREDICATES)], expected);
  });

  test('packets that lie across what is read at once are executed whole', async (t) => {
    const { device } = t;
    const object = device.sync('E_N').syncObject();
    // an odd number of packets of 8 bytes between those of 16, over more than two times 4 KiB
    const stream = new CommandStream();
    for (let n = 0; n < 600; n++) {
      if (n % 3 === 0) stream.nop();
      stream.add(object, 1);
    }
    await run(t, DOWN, stream);
    await assertValue(t, object, 600);
  });

  test('of messages in a row, those under a predicate that is not set are not sent', async (t) => {
    const { device } = t;
    const none = t.use(device.sram.allocate(128));
    const objects = device.sync('E_N').syncObjects(8);
    const stream = new CommandStream().memset(none, 0n, 128).nop();
    stream.packet('LOAD_AND_EXE', { load: true, src: none.address, mb: true });
    const value = gaudiQman.format('sob', { value: 1 });
    for (const [n, { address }] of objects.entries())
      stream.packet('MSG_LONG', { addr: address, value, pred: n % 3 === 2 ? 5 : 0, mb: true });
    await run(t, DOWN, stream);
    for (const [n, object] of objects.entries()) await assertValue(t, object, n % 3 === 2 ? 0 : 1, `message ${n}`);
  });

  test(
    'a reset leaves nothing of predicates, and no monitor armed',
    async (t) => {
      t.expectMessages(REQUESTED);
      const node = control(t);
      const before = resets(node);
      const first = t.open(0);
      const predicates = first.sram.allocate(128);
      const manager = first.sync('E_N');
      const [group, others] = [manager.syncObjects(8), manager.syncObjects(8)];
      const [counter, monitor] = [manager.syncObject(), manager.monitor()];
      const [watched, other] = [group[5], others[5]];
      assert.ok(watched && other);
      const write = { place: counter.address, data: gaudiQman.format('sob', { value: 1, add: true }) };
      const stream = new CommandStream();
      for (let n = 0; n < PREDICATES; n++) stream.write(predicates.at(4 * n), 1);
      stream.packet('LOAD_AND_EXE', { load: true, src: predicates.address, mb: true });
      stream.arm(monitor, { objects: [watched], value: 7, write });
      await run(t, DOWN, stream, first);
      writeHardReset(t, '1');
      first.close();
      assert.equal(await recovered(t, node, before), before + 1);
      // the same monitor, for another group: what it waited for before does not count
      await run(t, DOWN, new CommandStream().arm(monitor, { objects: [other], value: 7, write }).set(watched, 7));
      await assertValue(t, counter, 0, 'of a monitor that was armed before the reset');
      const seen = new CommandStream();
      for (let pred = 1; pred < PREDICATES; pred++)
        seen.packet('MSG_LONG', { addr: counter.address, value: write.data, pred, mb: true });
      await run(t, DOWN, seen);
      await assertValue(t, counter, 0, 'under predicates of before the reset');
    },
    SLOW,
  );
}
