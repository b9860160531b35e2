import assert from 'node:assert/strict';
import { gaudiQman } from '../../../specs/gaudi-qman.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Dcore } from '../../runtime/info.ts';
import type { DeviceMemory } from '../../runtime/memory.ts';
import type { Submission } from '../../runtime/submission.ts';
import { fenceAddress, type SyncObject } from '../../runtime/sync.ts';
import type { QueueName } from '../../uapi/habanalabs/gaudi.ts';
import { type Declare, suite } from '../suite.ts';
import { assertSame, copy, fill, KiB, MiB, run } from './lib.ts';
import { syncErrors } from './sync-errors.ts';
import { assertValue, externalQueues, hold, meets, release } from './sync-lib.ts';
import { signals } from './sync-signals.ts';
import { submissions } from './sync-submissions.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
const LARGEST = 0x7fff;
const dcores: readonly Dcore[] = ['E_N', 'E_S', 'W_N', 'W_S'];
/** Bases of MSG_SHORT as the driver sets them for external queues: monitors and sync objects (gaudi.c, gaudi_init_pci_dma_qman). */
const bases = { E_N: { monitor: 0, object: 1 }, W_S: { monitor: 2, object: 3 } } as const;
/** Bytes from the first register of a monitor to the others (gaudi_regs.h). */
const MON = { payloadHigh: 0x800, payloadData: 0x1000, arm: 0x1800 } as const;

function objects(test: Declare): void {
  for (const dcore of dcores) {
    test(`${dcore}: a sync object holds what it is set to`, async (t) => {
      const object = t.device.sync(dcore).syncObject();
      for (const value of [0, 1, 1234, LARGEST, 0]) {
        await run(t, DOWN, new CommandStream().set(object, value));
        await assertValue(t, object, value);
      }
    });
  }

  test('a sync object adds up', async (t) => {
    const object = t.device.sync('E_N').syncObject();
    await run(t, DOWN, new CommandStream().set(object, 10).add(object, 1).add(object, 100));
    await assertValue(t, object, 111);
    // in steps, because a number of more than 14 bits may be taken for a negative one
    await run(
      t,
      DOWN,
      new CommandStream()
        .add(object, 0x3000)
        .add(object, 0x3000)
        .add(object, LARGEST - 0x6000 - 111),
    );
    await assertValue(t, object, LARGEST);
  });

  test('a sync object counts down', async (t) => {
    const object = t.device.sync('E_N').syncObject();
    await run(t, DOWN, new CommandStream().set(object, 10).add(object, -3));
    await assertValue(t, object, 7);
    await run(t, DOWN, new CommandStream().add(object, -6).add(object, -1));
    await assertValue(t, object, 0);
  });

  test('packets of two engines add to one sync object, and none is lost', async (t) => {
    const object = t.device.sync('W_S').syncObject();
    const stream = new CommandStream();
    for (let i = 0; i < 200; i++) stream.add(object, 1, { eb: false, mb: false });
    const work = externalQueues.map((queue) => t.device.submit({ queue, stream }));
    for (const submission of work) await t.device.wait(submission, { signal: t.signal });
    await assertValue(t, object, 1600);
  });

  test('neighbours stay as they are', async (t) => {
    const group = t.device.sync('E_S').syncObjects(8);
    const middle = group[3] as SyncObject;
    await run(t, DOWN, new CommandStream().set(middle, 77).add(middle, 5));
    for (const object of group) await assertValue(t, object, object === middle ? 82 : 0);
  });

  for (const dcore of ['E_N', 'W_S'] as const) {
    test(`${dcore}: short messages set, add, and arm`, async (t) => {
      const { device } = t;
      const [object, monitor] = [device.sync(dcore).syncObject(), device.sync(dcore).monitor()];
      const base = bases[dcore];
      const short = (which: number, offset: number, value: number) =>
        new CommandStream().packet('MSG_SHORT', { base: which, offset, value, rb: true, mb: true }).bytes;
      const at = 4 * object.index;
      const sob = (value: number, add: boolean) => short(base.object, at, gaudiQman.format('sob', { value, add }));
      const fence = fenceAddress(UP, 1);
      const arm = gaudiQman.format('mon_arm', {
        group: object.index >> 3,
        mask: 0xff & ~(1 << (object.index & 7)),
        value: 47,
      });
      const mon = (offset: number, value: number) => short(base.monitor, 4 * monitor.index + offset, value);
      const waiting = new CommandStream()
        .raw(mon(0, Number(fence & 0xffff_ffffn)))
        .raw(mon(MON.payloadHigh, Number(fence >> 32n)))
        .raw(mon(MON.payloadData, 1))
        .raw(mon(MON.arm, arm))
        .fence(1);
      const work = device.submit({ queue: UP, stream: waiting });
      await run(t, DOWN, new CommandStream().raw(sob(40, false)).raw(sob(6, true)));
      assert.equal(device.poll(work), undefined, '46 is not 47');
      await run(t, DOWN, new CommandStream().raw(sob(1, true)));
      await device.wait(work, { signal: t.signal });
      await assertValue(t, object, 47);
    });
  }

  test(
    'cards have sync objects of their own',
    async (t) => {
      const [first, second] = [t.open(0), t.open(1)];
      const object = first.sync('E_N').syncObject();
      await run(t, DOWN, new CommandStream().set(object, 5), first);
      await assertValue(t, object, 0, 'of the other card', second);
      await run(t, DOWN, new CommandStream().set(object, 6), second);
      await assertValue(t, object, 5, '', first);
    },
    { devices: 2 },
  );

  test('the next context finds sync objects zero, and no monitor armed', async (t) => {
    const first = t.open(0);
    const left = dcores.flatMap((dcore) => {
      const manager = first.sync(dcore);
      const some = manager.syncObjects(64);
      return some.filter((_, i) => i % 9 === 0);
    });
    const stream = new CommandStream();
    for (const [i, object] of left.entries()) stream.set(object, 100 + i);
    // would write to an object of the next context once another is 5
    const traps = dcores.map((dcore, i) => {
      const manager = first.sync(dcore);
      const object = manager.syncObject();
      const write = { place: (left[i] as SyncObject).address, data: 0x123 };
      stream.arm(manager.monitor(), { objects: [object], value: 5, equal: true, write });
      return object;
    });
    await run(t, DOWN, stream, first);
    first.close();
    // first of all: whoever looks at an object arms a monitor of its own, which may be the same
    const springing = new CommandStream();
    for (const object of traps) springing.set(object, 5);
    await run(t, DOWN, springing);
    for (const old of left) await assertValue(t, old, 0, 'in a new context');
  });
}

function monitors(test: Declare): void {
  test('at least: the value, and what is above it', async (t) => {
    const object = t.device.sync('E_N').syncObject();
    await run(t, DOWN, new CommandStream().set(object, 100));
    const seen = [];
    for (const value of [0, 1, 99, 100, 101, LARGEST]) seen.push(await meets(t, [object], value));
    assert.deepEqual(seen, [true, true, true, true, false, false]);
  });

  test('equal: the value only', async (t) => {
    const object = t.device.sync('E_N').syncObject();
    await run(t, DOWN, new CommandStream().set(object, 100));
    const seen = [];
    for (const value of [0, 99, 100, 101, LARGEST]) seen.push(await meets(t, [object], value, true));
    assert.deepEqual(seen, [false, false, true, false, false]);
  });

  test('a monitor of eight waits for the last of them', async (t) => {
    const group = t.device.sync('W_N').syncObjects(8);
    for (const i of [5, 0, 7, 2, 3, 6, 1, 4]) {
      assert.equal(await meets(t, group, 3), false);
      await run(t, DOWN, new CommandStream().set(group[i] as SyncObject, 3));
    }
    assert.equal(await meets(t, group, 3), true);
  });

  test('a monitor waits for those of the group that it was told of', async (t) => {
    const group = t.device.sync('E_S').syncObjects(8);
    const some = group.filter((_, i) => [1, 4, 6].includes(i));
    const stream = new CommandStream();
    for (const object of some) stream.set(object, 9);
    await run(t, DOWN, stream);
    assert.equal(await meets(t, some, 9, true), true);
    assert.equal(await meets(t, group, 9, true), false);
  });

  for (const [name, equal] of [
    ['at least', false],
    ['equal', true],
  ] as const) {
    test(`${name}: a monitor fires once for each time it is armed`, async (t) => {
      const manager = t.device.sync('E_N');
      const [watched, counted] = [manager.syncObject(), manager.syncObject()];
      const monitor = manager.monitor();
      const write = { place: counted.address, data: gaudiQman.format('sob', { value: 1, add: true }) };
      const arm = (value: number) =>
        run(t, DOWN, new CommandStream().arm(monitor, { objects: [watched], value, equal, write }));
      await arm(2);
      for (const expected of [0, 1, 1, 1]) {
        await run(t, DOWN, new CommandStream().add(watched, 1));
        await assertValue(t, counted, expected, 'armed once');
      }
      await arm(5);
      for (const expected of [2, 2]) {
        await run(t, DOWN, new CommandStream().add(watched, 1));
        await assertValue(t, counted, expected, 'armed twice');
      }
    });
  }

  test('a monitor that is armed anew forgets what it waited for', async (t) => {
    const manager = t.device.sync('E_N');
    const [watched, counted] = [manager.syncObject(), manager.syncObject()];
    const monitor = manager.monitor();
    const write = (value: number) => ({ place: counted.address, data: gaudiQman.format('sob', { value, add: true }) });
    await run(
      t,
      DOWN,
      new CommandStream()
        .arm(monitor, { objects: [watched], value: 1, write: write(1) })
        .arm(monitor, { objects: [watched], value: 2, write: write(10) })
        .add(watched, 1),
    );
    await assertValue(t, counted, 0);
    await run(t, DOWN, new CommandStream().add(watched, 1));
    await assertValue(t, counted, 10);
  });

  test('a monitor that is armed anew has left the group of objects that it was armed on', async (t) => {
    const manager = t.device.sync('E_N');
    const [first, others] = [manager.syncObjects(8), manager.syncObjects(8)];
    const [left, watched] = [first[3] as SyncObject, others[3] as SyncObject];
    const counted = manager.syncObject();
    const monitor = manager.monitor();
    const write = { place: counted.address, data: gaudiQman.format('sob', { value: 1, add: true }) };
    const armed = new CommandStream()
      .arm(monitor, { objects: [left], value: 1, write })
      .arm(monitor, { objects: [watched], value: 1, write });
    await run(t, DOWN, armed.add(left, 1));
    await assertValue(t, counted, 0, 'after an object of a group that it has left');
    await run(t, DOWN, new CommandStream().add(watched, 1));
    await assertValue(t, counted, 1);
  });

  test('monitors write to SRAM and HBM', async (t) => {
    const { device } = t;
    const manager = device.sync('W_S');
    const object = manager.syncObject();
    const places = [t.use(device.sram.allocate(8)), t.use(device.dram.allocate(8))];
    const result = t.use(device.allocHost(4 * KiB));
    const stream = new CommandStream();
    for (const [i, place] of places.entries()) {
      stream.memset(place, 0n, 8).arm(manager.monitor(), {
        objects: [object],
        value: 1,
        write: { place, data: 0xabcd_0000 + i },
      });
    }
    stream.raw(hold(DOWN, manager.monitor(), [object], 1).bytes);
    for (const [i, place] of places.entries()) stream.dma(result.deviceAddress + BigInt(8 * i), place, 8);
    const work = device.submit({ queue: DOWN, stream });
    await run(t, UP, new CommandStream().add(object, 1));
    await device.wait(work, { signal: t.signal });
    assert.deepEqual([...result.words.subarray(0, 4)], [0xabcd_0000, 0, 0xabcd_0001, 0]);
  });

  test('a sync object can have many monitors', async (t) => {
    const manager = t.device.sync('E_S');
    const [watched, counted] = [manager.syncObject(), t.device.sync('E_N').syncObject()];
    const data = gaudiQman.format('sob', { value: 1, add: true });
    const stream = new CommandStream();
    for (let value = 1; value <= 100; value++) {
      stream.arm(manager.monitor(), { objects: [watched], value, write: { place: counted.address, data } });
    }
    await run(t, DOWN, stream.set(watched, 60));
    await run(t, UP, hold(UP, t.device.sync('E_N').monitor(), [counted], 60));
    await assertValue(t, counted, 60);
    await run(t, DOWN, new CommandStream().set(watched, LARGEST));
    await run(t, UP, hold(UP, t.device.sync('E_N').monitor(), [counted], 100));
    await assertValue(t, counted, 100);
  });

  test('monitors work through each other: a chain of fifty', async (t) => {
    const manager = t.device.sync('W_N');
    const chain = Array.from({ length: 51 }, () => manager.syncObject());
    const stream = new CommandStream();
    for (let i = 0; i < 50; i++) {
      const write = { place: (chain[i + 1] as SyncObject).address, data: gaudiQman.format('sob', { value: i + 2 }) };
      stream.arm(manager.monitor(), { objects: [chain[i] as SyncObject], value: i + 1, equal: true, write });
    }
    await run(t, DOWN, stream);
    const end = chain[50] as SyncObject;
    const work = t.device.submit({ queue: UP, stream: hold(UP, manager.monitor(), [end], 51) });
    await run(t, DOWN, new CommandStream().nop());
    assert.equal(t.device.poll(work), undefined);
    await run(t, DOWN, new CommandStream().set(chain[0] as SyncObject, 1));
    await t.device.wait(work, { signal: t.signal });
  });
}

function fences(test: Declare): void {
  test('a fence waits until it is let go', async (t) => {
    for (const [i, queue] of externalQueues.entries()) {
      const by = externalQueues[(i + 5) % 8] as QueueName;
      for (let id = 0; id < 4; id++) {
        const work = t.device.submit({ queue, stream: new CommandStream().fence(id) });
        await run(t, by, new CommandStream().nop());
        assert.equal(t.device.poll(work), undefined, `fence ${id} of ${queue} did not wait`);
        await release(t, queue, by, 1, id);
        await t.device.wait(work, { signal: t.signal });
      }
    }
  });

  test('what came before its fence lets it through', async (t) => {
    await release(t, DOWN, UP);
    await run(t, DOWN, new CommandStream().fence(0));
    // and only once
    const work = t.device.submit({ queue: DOWN, stream: new CommandStream().fence(0) });
    await run(t, UP, new CommandStream().nop());
    assert.equal(t.device.poll(work), undefined);
    await release(t, DOWN, UP);
    await t.device.wait(work, { signal: t.signal });
  });

  test('a fence waits for as many as it was told', async (t) => {
    const work = t.device.submit({ queue: DOWN, stream: new CommandStream().fence(1, { target: 5 }) });
    for (let i = 0; i < 4; i++) await release(t, DOWN, UP, 1, 1);
    assert.equal(t.device.poll(work), undefined);
    await release(t, DOWN, UP, 1, 1);
    await t.device.wait(work, { signal: t.signal });
  });

  test('a fence takes as many as it was told, and leaves the rest', async (t) => {
    await release(t, DOWN, UP, 7, 1);
    const stream = new CommandStream().fence(1, { target: 7, decrement: 3 }).fence(1, { target: 4 });
    await run(t, DOWN, stream);
    const work = t.device.submit({ queue: DOWN, stream: new CommandStream().fence(1) });
    await run(t, UP, new CommandStream().nop());
    assert.equal(t.device.poll(work), undefined, 'something was left');
    await release(t, DOWN, UP, 1, 1);
    await t.device.wait(work, { signal: t.signal });
  });

  test('the counters of a stream are four', async (t) => {
    const work = t.device.submit({ queue: DOWN, stream: new CommandStream().fence(2) });
    for (const id of [0, 1, 3]) await release(t, DOWN, UP, 1, id);
    assert.equal(t.device.poll(work), undefined, 'another counter let it through');
    await release(t, DOWN, UP, 1, 2);
    await t.device.wait(work, { signal: t.signal });
    await run(t, DOWN, new CommandStream().fence(0).fence(1).fence(3));
  });

  test('who was let go sees all of a transfer of 64 MiB before it', async (t) => {
    const { device } = t;
    const size = 64 * MiB;
    const object = device.sync('E_N').syncObject();
    const monitor = device.sync('E_N').monitor();
    const [from, to] = [t.use(device.dram.allocate(size)), t.use(device.dram.allocate(size))];
    const result = t.use(device.allocHost(64 * KiB));
    await run(t, DOWN, new CommandStream().memset(from, 0x1111n, size).memset(to, 0x2222n, size));
    const seen = hold(UP, monitor, [object], 1);
    for (let i = 0; i < 16; i++) {
      const at = i === 15 ? size - 4 * KiB : (i * size) / 16;
      seen.dma(result.deviceAddress + BigInt(i * 4 * KiB), to.at(at), 4 * KiB);
    }
    const waiting = device.submit({ queue: UP, stream: seen });
    const slow = device.submit({ queue: DOWN, stream: new CommandStream().dma(to, from, size).add(object, 1) });
    await device.wait(waiting, { signal: t.signal });
    await device.wait(slow, { signal: t.signal });
    const expected = new Uint8Array(64 * KiB);
    new BigUint64Array(expected.buffer).fill(0x1111n);
    assertSame(result.bytes, expected, 'what was copied');
  });

  test('a chain over all eight queues, submitted from its end', async (t) => {
    const { device } = t;
    const size = 256 * KiB;
    const manager = device.sync('W_S');
    const source = t.use(device.allocHost(size));
    const result = t.use(device.allocHost(size));
    const places = Array.from({ length: 8 }, () => t.use(device.dram.allocate(size)));
    const links = Array.from({ length: 8 }, () => manager.syncObject());
    fill(source.bytes, t.random);
    const link = (i: number) => {
      const queue = externalQueues[i] as QueueName;
      const stream = i === 0 ? new CommandStream() : hold(queue, manager.monitor(), [links[i - 1] as SyncObject], 1);
      stream.dma(places[i] as DeviceMemory, i === 0 ? source : (places[i - 1] as DeviceMemory), size);
      return device.submit({ queue, stream: stream.add(links[i] as SyncObject, 1) });
    };
    const work = [7, 6, 5, 4, 3, 2, 1].map(link);
    for (const submission of work) assert.equal(device.poll(submission), undefined, 'a link did not wait');
    link(0);
    await device.wait(work[0] as Submission, { signal: t.signal });
    await copy(t, UP, result, places[7] as DeviceMemory, size);
    assertSame(result.bytes, source.bytes, 'at the end of the chain');
  });
}

export const sync = suite('sync', 'Sync objects, monitors, fences; signals and waits; ends of submissions.', (test) => {
  objects(test);
  monitors(test);
  fences(test);
  signals(test);
  submissions(test);
  syncErrors(test);
});
