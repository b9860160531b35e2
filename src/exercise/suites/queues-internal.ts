/** Internal queues: their packets lie in memory of programs, nobody checks them, and their end is not reported. */

import assert from 'node:assert/strict';
import { qmanRegisters } from '../../../specs/gaudi/registers/qman.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { QueueFullError } from '../../runtime/errors.ts';
import type { DeviceMemory } from '../../runtime/memory.ts';
import type { Chunk } from '../../runtime/submission.ts';
import { fenceAddress, type SyncObject } from '../../runtime/sync.ts';
import { type QueueName, queueNames } from '../../uapi/habanalabs/gaudi.ts';
import type { Declare, TestContext } from '../suite.ts';
import { assertSame, copy, fill, KiB, MiB, run } from './lib.ts';
import { assertValue, hold, meets, release } from './sync-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
/** Where a queue manager lies within the 64 KiB of a DMA engine that WREG_32 reaches (dma0_qm_regs.h). */
const DMA_QM = 0x8000;

/** Entries of a queue of a TPC (gaudiP.h, TPC_QMAN_LENGTH). */
const TPC_QUEUE_LENGTH = 1024;

const internalDma = queueNames.filter((name) => /^DMA_[2-7]_/.test(name));
/** Engines whose queues only synchronise here: what they compute is another suite's. */
const compute = queueNames.filter((name) => /^(TPC|MME)_/.test(name));

/** Waits on `UP` until `object` is 1, with `chunks` beside it in the submission. */
export async function runBeside(t: TestContext, object: SyncObject, chunks: readonly Chunk[]): Promise<void> {
  using monitor = t.device.sync(object.dcore).monitor();
  const work = t.device.submit([{ queue: UP, stream: hold(UP, monitor, [object], 1) }, ...chunks]);
  await t.device.wait(work, { signal: t.signal });
}

/** Puts packets into device memory. */
async function place(t: TestContext, memory: DeviceMemory, stream: CommandStream): Promise<bigint> {
  const host = t.use(t.device.allocHost(stream.size));
  host.bytes.set(stream.bytes);
  await copy(t, DOWN, memory, host, stream.size);
  return memory.address;
}

export function internal(test: Declare): void {
  for (const where of ['host memory', 'SRAM', 'HBM'] as const) {
    test(`every internal DMA queue runs packets in ${where}`, async (t) => {
      const { device } = t;
      const size = 3000;
      const host = t.use(device.allocHost(64 * KiB));
      const [from, to] = [t.use(device.dram.allocate(size)), t.use(device.dram.allocate(size))];
      const result = t.use(device.allocHost(size));
      for (const queue of internalDma) {
        fill(host.bytes.subarray(0, size), t.random);
        await copy(t, DOWN, from, host, size);
        using object = device.sync('E_N').syncObject();
        const engine = new CommandStream().dma(to, from, size).add(object, 1);
        const space = where === 'SRAM' ? device.sram : device.dram;
        using memory = space.allocate(KiB);
        using upper = space.allocate(KiB);
        if (where === 'host memory') {
          await runBeside(t, object, [{ queue, ...t.use(device.load(engine)) }]);
        } else {
          const lower = await place(t, memory, engine);
          const launcher = new CommandStream().execute(lower, engine.size);
          await runBeside(t, object, [{ queue, place: await place(t, upper, launcher), size: launcher.size }]);
        }
        await copy(t, UP, result, to, size);
        assertSame(result.bytes, host.bytes.subarray(0, size), queue);
        await run(t, UP, new CommandStream().set(object, 0));
      }
    });
  }

  test('all internal DMA engines at once', async (t) => {
    const { device } = t;
    const size = MiB;
    const [from, to] = [t.use(device.dram.allocate(6 * size)), t.use(device.dram.allocate(6 * size))];
    const [source, result] = [t.use(device.allocHost(6 * size)), t.use(device.allocHost(6 * size))];
    fill(source.bytes, t.random);
    await copy(t, DOWN, from, source, 6 * size);
    const object = device.sync('E_N').syncObject();
    const monitor = device.sync('E_N').monitor();
    const chunks = internalDma
      .filter((name) => name.endsWith('_0'))
      .map((queue, i): Chunk => {
        const stream = new CommandStream().dma(to.at(i * size), from.at(i * size), size).add(object, 1);
        return { queue, ...t.use(device.load(stream)) };
      });
    const work = device.submit([{ queue: UP, stream: hold(UP, monitor, [object], 6) }, ...chunks]);
    await device.wait(work, { signal: t.signal });
    await copy(t, UP, result, to, 6 * size);
    assertSame(result.bytes, source.bytes, 'copied by six engines');
  });

  test('the lower command processor waits at its own fence', async (t) => {
    const { device } = t;
    const host = t.use(device.allocHost(4 * KiB));
    const [begun, done] = [device.sync('E_N').syncObject(), device.sync('E_N').syncObject()];
    const program = t.use(device.load(new CommandStream().add(begun, 1).fence(1).memset(host, 1n, 8).add(done, 1)));
    const monitor = device.sync('E_N').monitor();
    const work = device.submit([
      { queue: UP, stream: hold(UP, monitor, [done], 1) },
      { queue: 'DMA_2_0', ...program },
    ]);
    await run(t, DOWN, hold(DOWN, device.sync('E_N').monitor(), [begun], 1));
    // the upper one's counter is another
    await release(t, 'DMA_2_0', DOWN, 1, 1);
    assert.equal(await meets(t, [done], 1), false);
    assert.equal(host.words[0], 0);
    await run(t, DOWN, new CommandStream().write(fenceAddress('DMA_2_0', 1, true), 1));
    await device.wait(work, { signal: t.signal });
    assert.equal(host.words[0], 1);
    // leaves the upper counter as it was
    const upper = t.use(device.allocHost(KiB));
    const balance = new CommandStream().fence(1).add(done, 1);
    upper.bytes.set(balance.bytes);
    const end = device.sync('E_N').monitor();
    await device.wait(
      device.submit([
        { queue: UP, stream: hold(UP, end, [done], 2) },
        { queue: 'DMA_2_0', place: upper, size: balance.size },
      ]),
      { signal: t.signal },
    );
  });

  test('every queue of TPC and MME synchronises', async (t) => {
    const { device } = t;
    const manager = device.sync('E_N');
    const objects = manager.syncObjects(compute.length);
    const chunks = compute.map((queue, i): Chunk => {
      const stream = new CommandStream().add(objects[i] as SyncObject, 1);
      const memory = t.use(device.allocHost(KiB));
      memory.bytes.set(stream.bytes);
      return { queue, place: memory, size: stream.size };
    });
    const gate = new CommandStream();
    for (let i = 0; i < objects.length; i += 8) gate.raw(hold(UP, manager.monitor(), objects.slice(i, i + 8), 1).bytes);
    await device.wait(device.submit([{ queue: UP, stream: gate }, ...chunks]), { signal: t.signal });
    for (const object of objects) await assertValue(t, object, 1, 'after one addition');
  });

  test('a full internal queue refuses more, and takes it once work has ended', async (t) => {
    const { device } = t;
    const object = device.sync('E_N').syncObject();
    const gate = new CommandStream().fence(1);
    const step = new CommandStream().add(object, 1);
    const memory = t.use(device.allocHost(KiB));
    memory.bytes.set(gate.bytes);
    memory.bytes.set(step.bytes, 512);
    const first: Chunk = { queue: 'TPC_5_0', place: memory, size: gate.size };
    const next: Chunk = { queue: 'TPC_5_0', place: memory.deviceAddress + 512n, size: step.size };
    const steps = (count: number) => Array.from({ length: count }, () => next);
    // the driver counts an entry until the submission that it belongs to has ended
    const end = (count: number): Chunk => ({
      queue: UP,
      stream: hold(UP, device.sync('E_N').monitor(), [object], count),
    });
    const work = [
      device.submit([end(510), first, ...steps(510)]),
      device.submit([end(1021), ...steps(511)]),
      device.submit([end(TPC_QUEUE_LENGTH - 1), ...steps(TPC_QUEUE_LENGTH - 1022)]),
    ];
    assert.throws(() => device.submit([end(TPC_QUEUE_LENGTH), next]), QueueFullError);
    await run(t, DOWN, new CommandStream().nop());
    await release(t, 'TPC_5_0', DOWN, 1, 1);
    for (const submission of work) await device.wait(submission, { signal: t.signal });
    await device.wait(device.submit([end(TPC_QUEUE_LENGTH), next]), { signal: t.signal });
    await assertValue(t, object, TPC_QUEUE_LENGTH);
  });

  test('queues of TPC and MME wait at their fences', async (t) => {
    const { device } = t;
    const manager = device.sync('E_N');
    for (const queue of ['TPC_0_0', 'TPC_7_3', 'MME_0_1', 'MME_1_2'] as const) {
      const [begun, done] = [manager.syncObject(), manager.syncObject()];
      const stream = new CommandStream().add(begun, 1).fence(2).add(done, 1);
      const memory = t.use(device.allocHost(KiB));
      memory.bytes.set(stream.bytes);
      const work = device.submit([
        { queue: UP, stream: hold(UP, manager.monitor(), [done], 1) },
        { queue, place: memory, size: stream.size },
      ]);
      await run(t, DOWN, hold(DOWN, manager.monitor(), [begun], 1));
      assert.equal(await meets(t, [done], 1), false, `${queue} did not wait`);
      await release(t, queue, DOWN, 1, 2);
      await device.wait(work, { signal: t.signal });
    }
  });
}

const ARB = { ENABLED: 1 << 8, MASTER: 1 << 4 };

/**
 * Streams of DMA_2 ask for the engine with `priorities` while stream 0 has it. Each that gets it notes who had it before,
 * and leaves its own number.
 * @returns the order in which they had it.
 */
async function arbitrate(t: TestContext, priorities: readonly [number, number, number]): Promise<number[]> {
  const { device } = t;
  const manager = device.sync('E_N');
  const [asked, ready] = [manager.syncObject(), manager.syncObject()];
  const done = manager.syncObjects(4);
  const owner = t.use(device.sram.allocate(8));
  const notes = t.use(device.allocHost(4 * KiB));
  const put = (stream: CommandStream) => {
    const memory = t.use(device.allocHost(KiB));
    memory.bytes.set(stream.bytes);
    return { place: memory, size: stream.size };
  };
  const turn = (n: number) => {
    const object = done[n] as SyncObject;
    const note = new CommandStream().dma(notes.deviceAddress + BigInt(8 * n), owner, 8).memset(owner, BigInt(n), 8);
    const lower = put(note.add(object, 1));
    // CP_DMA hands over and goes on: the engine may be given back only when the lower command processor is done
    const over = hold(`DMA_2_${n}` as QueueName, manager.monitor(), [object], 1, { id: 3 });
    return new CommandStream().execute(lower.place, lower.size).raw(over.bytes);
  };
  await run(t, DOWN, new CommandStream().memset(owner, 99n, 8));
  const first = new CommandStream()
    .register(DMA_QM + qmanRegisters.rows.ARB_CFG_0.offset, ARB.ENABLED | ARB.MASTER)
    .packet('ARB_POINT', { priority: 0 })
    .add(ready, 1)
    .fence(0)
    .raw(turn(0).bytes)
    .packet('ARB_POINT', { priority: 0, release: 1 });
  const chunks: Chunk[] = [{ queue: 'DMA_2_0', ...put(first) }];
  const later = priorities.map((priority, i): Chunk => {
    const stream = new CommandStream()
      .add(asked, 1)
      .packet('ARB_POINT', { priority })
      .raw(turn(i + 1).bytes)
      .packet('ARB_POINT', { priority: 0, release: 1 });
    return { queue: `DMA_2_${i + 1}` as QueueName, ...put(stream) };
  });
  const owns = device.submit([{ queue: UP, stream: hold(UP, manager.monitor(), [ready], 1) }, ...chunks]);
  await device.wait(owns, { signal: t.signal });
  const end = device.submit([{ queue: UP, stream: hold(UP, manager.monitor(), done, 1) }, ...later]);
  await run(t, DOWN, hold(DOWN, manager.monitor(), [asked], 3));
  await release(t, 'DMA_2_0', DOWN);
  await device.wait(end, { signal: t.signal });
  const previous = [0, 1, 2, 3].map((n) => notes.words[2 * n]);
  const order: number[] = [];
  for (let at = 99; order.length < 4; ) {
    const next = previous.indexOf(at);
    assert.ok(next >= 0 && !order.includes(next), `nobody had the engine after ${at}: ${previous}`);
    order.push(next);
    at = next;
  }
  return order;
}

/** When stream `n` has its turn: stream 0 first, then the highest priority. */
function orderOf(n: number, priorities: readonly number[]): number {
  if (n === 0) return 0;
  return 1 + priorities.filter((p) => p > (priorities[n - 1] as number)).length;
}

export function arbiter(test: Declare): void {
  for (const priorities of [
    [1, 2, 3],
    [3, 2, 1],
    [5, 200, 7],
  ] as const) {
    test(`the arbiter serves priorities ${priorities.join(', ')}: higher first`, async (t) => {
      const order = await arbitrate(t, priorities);
      const expected = [0, 1, 2, 3].sort((a, b) => orderOf(a, priorities) - orderOf(b, priorities));
      assert.deepEqual(order, expected);
    });
  }

  test('ARB_POINT does nothing where no arbiter is on', async (t) => {
    const stream = new CommandStream().packet('ARB_POINT', { priority: 3 }).nop();
    await run(t, DOWN, stream.packet('ARB_POINT', { priority: 0, release: 1 }));
  });
}
