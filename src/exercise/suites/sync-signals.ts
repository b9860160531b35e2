/** Signals and waits that the driver makes, and signals that packets make for it. */

import assert from 'node:assert/strict';
import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { gaudiQman } from '../../../specs/gaudi-qman.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Reservation, Submission } from '../../runtime/submission.ts';
import { SyncObject } from '../../runtime/sync.ts';
import type { QueueName } from '../../uapi/habanalabs/gaudi.ts';
import type { Declare, TestContext } from '../suite.ts';
import { assertSame, fill, KiB, MiB, run } from './lib.ts';
import { assertValue, externalQueues, release } from './sync-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
/** Of the first sync object of W_S, where the driver has those for signals: an offset into the configuration space. */
const FIRST_W_S = Number(new SyncObject('W_S', 0).address) - addressMap.CFG_BASE;

async function waitAll(t: TestContext, work: readonly (Submission | undefined)[]): Promise<void> {
  for (const submission of work) if (submission) await t.device.wait(submission, { signal: t.signal });
}

/** Packets that make `count` of the signals of a reservation. */
function make(reservation: Reservation, count = 1): CommandStream {
  const stream = new CommandStream();
  const address = addressMap.CFG_BASE + reservation.sobOffset;
  for (let i = 0; i < count; i++) stream.write(address, gaudiQman.format('sob', { value: 1, add: true }));
  return stream;
}

export function signals(test: Declare): void {
  test('a queue waits for a signal behind held work', async (t) => {
    const { device } = t;
    const size = 16 * MiB;
    const [from, to] = [t.use(device.dram.allocate(size)), t.use(device.dram.allocate(size))];
    const result = t.use(device.allocHost(4 * KiB));
    await run(t, DOWN, new CommandStream().memset(from, 0x77n, size).memset(to, 0n, size));
    const slow = device.submit({ queue: DOWN, stream: new CommandStream().fence(0).dma(to, from, size) });
    const signal = device.signal(DOWN);
    const wait = device.waitForSignal(UP, signal);
    const seen = device.submit({ queue: UP, stream: new CommandStream().dma(result, to.at(size - 8), 8) });
    await run(t, 'DMA_0_1', new CommandStream().nop());
    assert.ok(wait, 'the signal cannot have come');
    for (const work of [slow, signal, wait, seen]) assert.equal(device.poll(work), undefined);
    await release(t, DOWN, 'DMA_0_1');
    await device.wait(seen, { signal: t.signal });
    assert.equal(result.words[0], 0x77, 'the wait was over before the work that the signal was behind');
    await waitAll(t, [slow, signal, wait]);
  });

  test('a sync object that has its turn again counts from nothing', async (t) => {
    const { device } = t;
    const queue = 'DMA_1_2';
    const made = [device.signal(queue), device.signal(queue), device.signal(queue)];
    await waitAll(t, made);
    // more than one can count together with what it has counted: the other of the two has its turn
    const turn = () => {
      const all = device.reserveSignals(queue, 0x7fff);
      device.unreserveSignals(all);
      return all.sobOffset;
    };
    const before = made[2]?.sobOffset;
    const other = turn();
    assert.notEqual(other, before);
    assert.equal(turn(), before);
    const gate = device.submit({ queue, stream: new CommandStream().fence(0) });
    const signal = device.signal(queue);
    assert.equal(signal.sobOffset, before);
    const wait = device.waitForSignal(UP, signal);
    await run(t, DOWN, new CommandStream().nop());
    assert.ok(wait);
    await run(t, 'DMA_1_1', new CommandStream().nop());
    assert.equal(device.poll(wait), undefined, 'what it counted before has counted');
    await release(t, queue, DOWN);
    await waitAll(t, [gate, signal, wait]);
  });

  test('a signal that has come already needs no wait', async (t) => {
    const signal = t.device.signal(DOWN);
    await t.device.wait(signal, { signal: t.signal });
    assert.equal(t.device.waitForSignal(UP, signal), undefined);
  });

  test('many queues wait for one signal', async (t) => {
    const { device } = t;
    const gate = device.submit({ queue: DOWN, stream: new CommandStream().fence(0) });
    const signal = device.signal(DOWN);
    const others = externalQueues.filter((name) => name !== DOWN && name !== 'DMA_1_3');
    const waits = others.map((queue) => device.waitForSignal(queue, signal));
    await run(t, 'DMA_1_3', new CommandStream().nop());
    for (const wait of waits) assert.equal(wait && device.poll(wait), undefined);
    await release(t, DOWN, 'DMA_1_3');
    await waitAll(t, [gate, signal, ...waits]);
  });

  test('signals of a queue count up one sync object', async (t) => {
    const made = Array.from({ length: 20 }, () => t.device.signal(DOWN));
    await waitAll(t, made);
    const [first] = made as [(typeof made)[number]];
    for (const [i, signal] of made.entries()) {
      assert.equal(signal.sobOffset, first.sobOffset);
      assert.equal(signal.signalsBefore, first.signalsBefore + i);
    }
  });

  test('each queue has a sync object of its own for signals', async (t) => {
    const made = externalQueues.map((queue) => t.device.signal(queue));
    await waitAll(t, made);
    assert.equal(new Set(made.map((signal) => signal.sobOffset)).size, externalQueues.length);
  });

  test('a hundred signals and waits around all queues carry data', async (t) => {
    const { device } = t;
    const size = 4 * KiB;
    const places = t.use(device.dram.allocate(101 * size));
    const [source, result] = [t.use(device.allocHost(size)), t.use(device.allocHost(size))];
    fill(source.bytes, t.random);
    const gate = device.submit({
      queue: DOWN,
      stream: new CommandStream().fence(0).dma(places, source, size),
    });
    let signal = device.signal(DOWN);
    const work: (Submission | undefined)[] = [gate, signal];
    for (let i = 1; i <= 100; i++) {
      const queue = externalQueues[i % 7] as QueueName;
      work.push(device.waitForSignal(queue, signal));
      const stream = new CommandStream().dma(places.at(i * size), places.at((i - 1) * size), size);
      work.push(device.submit({ queue, stream }));
      signal = device.signal(queue);
      work.push(signal);
    }
    await release(t, DOWN, 'DMA_1_3');
    await waitAll(t, work);
    await run(t, DOWN, new CommandStream().dma(result, places.at(100 * size), size));
    assertSame(result.bytes, source.bytes, 'after a hundred hops');
  });

  test('a queue may wait for a signal of its own', async (t) => {
    const signal = t.device.signal(DOWN);
    await waitAll(t, [t.device.waitForSignal(DOWN, signal), signal]);
  });

  test('reserved signals that packets make let waits go one by one', async (t) => {
    const { device } = t;
    const reservation = device.reserveSignals(DOWN, 3);
    const stream = new CommandStream();
    for (let i = 0; i < 3; i++) stream.fence(0).raw(make(reservation).bytes);
    const work = device.submit({ queue: DOWN, stream }, { staged: 'first', last: true, signals: reservation });
    const waits = [1, 2, 3].map((offset) => {
      const wait = device.waitForEncapsulated(`DMA_1_${offset}` as QueueName, work, offset);
      assert.ok(wait, `signal ${offset} cannot have come`);
      return wait;
    });
    for (let made = 0; made < 3; made++) {
      await run(t, UP, new CommandStream().nop());
      for (const wait of waits.slice(made)) assert.equal(device.poll(wait), undefined, `with ${made} signals made`);
      await release(t, DOWN, UP);
      await device.wait(waits[made] as Submission, { signal: t.signal });
    }
    await waitAll(t, [work]);
    assert.equal(device.waitForEncapsulated(UP, work, 3), undefined, 'signals of work that has ended have come');
  });

  test('reserved signals continue the count of the queue', async (t) => {
    const { device } = t;
    const before = device.signal(DOWN);
    const reservation = device.reserveSignals(DOWN, 10);
    const after = device.signal(DOWN);
    await waitAll(t, [before, after]);
    assert.equal(reservation.sobOffset, before.sobOffset);
    assert.equal(after.sobOffset, before.sobOffset);
    assert.equal(after.signalsBefore, before.signalsBefore + 10 + 1);
    const object = new SyncObject('W_S', (reservation.sobOffset - FIRST_W_S) / 4);
    await assertValue(t, object, before.signalsBefore + 1, 'while the reserved signals are missing');
    const chunk = { queue: DOWN, stream: make(reservation, 10) } as const;
    await waitAll(t, [device.submit(chunk, { staged: 'first', last: true, signals: reservation })]);
    await assertValue(t, object, before.signalsBefore + 10 + 1);
  });

  test('a wait asks for one of the signals that were reserved', async (t) => {
    t.expectMessages(/offset\(4\) value exceed max reserved signals count\(3\)/);
    const { device } = t;
    const reservation = device.reserveSignals(DOWN, 3);
    const chunk = { queue: DOWN, stream: new CommandStream().fence(0).raw(make(reservation, 3).bytes) } as const;
    const work = device.submit(chunk, { staged: 'first', last: true, signals: reservation });
    assert.throws(() => device.waitForEncapsulated(UP, work, 4), { code: 'EINVAL' });
    await release(t, DOWN, UP);
    await waitAll(t, [work]);
  });

  test('a reservation that is given back was never there', async (t) => {
    const { device } = t;
    const before = device.signal(DOWN);
    device.unreserveSignals(device.reserveSignals(DOWN, 100));
    const after = device.signal(DOWN);
    await waitAll(t, [before, after]);
    assert.equal(after.signalsBefore, before.signalsBefore + 1);
  });

  test('a sync object that has counted to its end is followed by another', async (t) => {
    const { device } = t;
    const [full, next] = [device.reserveSignals(UP, 0x7000), device.reserveSignals(UP, 0x7000)];
    assert.notEqual(next.sobOffset, full.sobOffset);
    const half = gaudiQman.format('sob', { value: 0x3800, add: true });
    const address = addressMap.CFG_BASE + full.sobOffset;
    const stream = new CommandStream().write(address, half).write(address, half);
    await waitAll(t, [device.submit({ queue: UP, stream }, { staged: 'first', last: true, signals: full })]);
    device.unreserveSignals(next);
    const signal = device.signal(UP);
    const wait = device.waitForSignal(DOWN, signal);
    await waitAll(t, [wait, signal]);
    assert.equal(signal.sobOffset, next.sobOffset);
    assert.equal(signal.signalsBefore, 1, 'the other began anew');
  });
}
