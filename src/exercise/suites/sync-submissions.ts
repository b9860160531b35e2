/** The end of submissions: waiting, time stamps, staged parts, time limits. */

import assert from 'node:assert/strict';
import { CommandStream } from '../../runtime/command-stream.ts';
import { WaitTimeoutError } from '../../runtime/errors.ts';
import type { EventNotifier } from '../../runtime/events.ts';
import { HostBuffer } from '../../runtime/memory.ts';
import { type Chunk, queueNumber, type Submission } from '../../runtime/submission.ts';
import { DRM_IOCTL_HL_CS, hl_cs_chunk } from '../../uapi/habanalabs/cs.ts';
import type { QueueName } from '../../uapi/habanalabs/gaudi.ts';
import { notifierEvents } from '../../uapi/habanalabs/info-results.ts';
import { DRM_IOCTL_HL_WAIT_CS, waitFlags, waitStatus } from '../../uapi/habanalabs/wait-cs.ts';
import type { Declare, TestContext } from '../suite.ts';
import { assertErrno, call, KiB, run } from './lib.ts';
import { externalQueues, hold, release } from './sync-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';

/** A submission that ends when its queue's fence 0 is let go. */
function held(t: TestContext, queue: QueueName = DOWN, options: { timestamp?: boolean } = {}): Submission {
  return t.device.submit({ queue, stream: new CommandStream().fence(0) }, options);
}

function waits(test: Declare): void {
  test('sequence numbers count up', (t) => {
    const work = Array.from({ length: 50 }, () => t.device.submit({ queue: DOWN, stream: new CommandStream().nop() }));
    for (const [i, { sequence }] of work.entries())
      assert.equal(sequence, (work[0] as Submission).sequence + BigInt(i));
    t.device.waitSync(work.at(-1) as Submission, 30_000);
  });

  test('a wait without patience finds held work busy', async (t) => {
    const work = held(t);
    assert.equal(t.device.poll(work), undefined);
    assert.throws(() => t.device.waitSync(work, 50), WaitTimeoutError);
    await assert.rejects(t.device.wait(work, { timeout: 20 }), WaitTimeoutError);
    await release(t, DOWN, UP);
    await t.device.wait(work, { signal: t.signal });
    assert.deepEqual(t.device.poll(work), { gone: false, timestamp: undefined }, 'an end can be asked for again');
  });

  test('a wait can be called off, and the work goes on', async (t) => {
    const work = held(t);
    const abort = new AbortController();
    const waiting = t.device.wait(work, { signal: abort.signal });
    const why = new Error('enough');
    abort.abort(why);
    await assert.rejects(waiting, why);
    await release(t, DOWN, UP);
    await t.device.wait(work, { signal: t.signal });
  });

  test('many waits at once, each for its own', async (t) => {
    const queues = externalQueues.slice(0, 7);
    const work = queues.map((queue) => held(t, queue));
    const ended: QueueName[] = [];
    const waiting = work.map(async (submission, i) => {
      await t.device.wait(submission, { signal: t.signal });
      ended.push(queues[i] as QueueName);
    });
    const order = [3, 0, 6, 1, 5, 2, 4].map((i) => queues[i] as QueueName);
    for (const [i, queue] of order.entries()) {
      await release(t, queue, 'DMA_1_3');
      await waiting[queues.indexOf(queue)];
      assert.deepEqual(ended, order.slice(0, i + 1));
    }
  });

  test('of several, those that have ended are told', async (t) => {
    const { device } = t;
    const queues = ['DMA_0_0', 'DMA_0_1', 'DMA_1_0'] as const;
    const work = queues.map((queue) => held(t, queue));
    const sequences = work.map((submission) => submission.sequence);
    await assert.rejects(device.waitAny(work, { timeout: 10 }), WaitTimeoutError);
    await release(t, 'DMA_0_1', 'DMA_1_3');
    assert.deepEqual((await device.waitAny(work, { signal: t.signal })).completed, [sequences[1]]);
    for (const queue of ['DMA_0_0', 'DMA_1_0'] as const) await release(t, queue, 'DMA_1_3');
    for (const submission of work) await device.wait(submission, { signal: t.signal });
    assert.deepEqual((await device.waitAny(work, { signal: t.signal })).completed, sequences);
  });

  test('who waits for several of which one has ended does not wait', async (t) => {
    const { device } = t;
    const gate = held(t);
    const done = device.submit({ queue: UP, stream: new CommandStream().nop() });
    await device.wait(done, { signal: t.signal });
    const list = t.use(new HostBuffer(t.target.driver, 4 * KiB));
    new BigUint64Array(list.bytes.buffer, list.bytes.byteOffset, 2).set([gate.sequence, done.sequence]);
    const input = { seq: list.address, seq_arr_len: 2, flags: waitFlags.HL_WAIT_CS_FLAGS_MULTI_CS.value };
    const { status, cs_completion_map } = call(device, DRM_IOCTL_HL_WAIT_CS, { in: { ...input, timeout_us: 2e6 } }).out;
    assert.equal(status, waitStatus.HL_WAIT_CS_STATUS_COMPLETED.value, 'it waited for another end');
    assert.equal(cs_completion_map, 0b10);
    await release(t, DOWN, UP);
    await device.wait(gate, { signal: t.signal });
  });

  test('32 can be waited for at once', async (t) => {
    const gate = held(t);
    const work = Array.from({ length: 31 }, () => t.device.submit({ queue: DOWN, stream: new CommandStream().nop() }));
    const all = [...work, gate];
    await assert.rejects(t.device.waitAny(all, { timeout: 10 }), WaitTimeoutError);
    await release(t, DOWN, UP);
    await t.device.wait(work.at(-1) as Submission, { signal: t.signal });
    assert.equal((await t.device.waitAny(all, { signal: t.signal })).completed.length, 32);
  });
}

function timestamps(test: Declare): void {
  test('the end of a submission has a time stamp when it was asked for', async (t) => {
    const { driver } = t.target;
    const plain = held(t);
    const begin = BigInt(driver.now());
    const work = t.device.submit({ queue: DOWN, stream: new CommandStream().nop() }, { timestamp: true });
    await release(t, DOWN, UP);
    const { timestamp } = await t.device.wait(work, { signal: t.signal });
    const end = BigInt(driver.now());
    assert.ok(timestamp !== undefined && begin <= timestamp && timestamp <= end, `${begin}, ${timestamp}, ${end}`);
    assert.equal((await t.device.wait(plain, { signal: t.signal })).timestamp, undefined);
    assert.equal((await t.device.wait(work, { signal: t.signal })).timestamp, timestamp, 'asked again');
  });

  test('time stamps are in the order of ends', async (t) => {
    const first = held(t, DOWN, { timestamp: true });
    const second = held(t, UP, { timestamp: true });
    await release(t, UP, 'DMA_1_3');
    const early = (await t.device.wait(second, { signal: t.signal })).timestamp;
    await release(t, DOWN, 'DMA_1_3');
    const late = (await t.device.wait(first, { signal: t.signal })).timestamp;
    assert.ok(early !== undefined && late !== undefined && early < late, `${early} < ${late}`);
  });
}

/** How many ends the driver remembers beside those of its last submissions (habanalabs.h, HL_CS_OUTCOME_HISTORY_LEN), and how many those are (gaudiP.h, GAUDI_MAX_PENDING_CS). */
const REMEMBERED = 256;
const PENDING = 16384;

function history(test: Declare): void {
  test(
    'of ends long ago the last 256 times that were asked for are remembered, and told once',
    async (t) => {
      const { device } = t;
      const buffer = t.use(device.createCb(4 * KiB));
      buffer.bytes.set(new CommandStream().nop().bytes);
      const memory = t.use(new HostBuffer(t.target.driver, 4 * KiB));
      hl_cs_chunk.encodeInto(memory.bytes, 0, { cb_handle: buffer.handle, queue_index: queueNumber(UP), cb_size: 8 });
      const template = DRM_IOCTL_HL_CS.argument.encode({
        in: { chunks_execute: memory.address, num_chunks_execute: 1, cs_flags: 0 },
      });
      const argument = new Uint8Array(template.length);
      const timed = Array.from({ length: REMEMBERED + 1 }, () =>
        device.submit({ queue: DOWN, buffer, size: 8 }, { timestamp: true }),
      );
      const times: (bigint | undefined)[] = [];
      for (const work of timed) times.push((await device.wait(work, { signal: t.signal })).timestamp);
      const { sequence } = timed.at(-1) as Submission;
      for (let i = 1; i <= PENDING + 1; i++) {
        argument.set(template);
        t.target.driver.ioctl(device.fd, DRM_IOCTL_HL_CS.request, argument);
        // so that the queue itself is never full
        if (i % 2048 === 0) await device.wait(sequence + BigInt(i), { signal: t.signal });
      }
      const [oldest, second] = timed as [Submission, Submission];
      assert.deepEqual(device.poll(oldest), { gone: true, timestamp: undefined }, 'one is too many');
      for (const [work, timestamp] of [
        [second, times[1]],
        [timed.at(-1) as Submission, times.at(-1)],
      ] as const) {
        assert.ok(timestamp !== undefined);
        assert.deepEqual(device.poll(work), { gone: false, timestamp }, 'the first time');
        assert.deepEqual(device.poll(work), { gone: true, timestamp: undefined }, 'the second time');
      }
    },
    { timeout: 600 },
  );
}

function staged(test: Declare): void {
  /** Packets that say on a sync object that they ran. */
  const step = (t: TestContext) => {
    const object = t.device.sync('E_N').syncObject();
    const seen = hold('DMA_1_3', t.device.sync('E_N').monitor(), [object], 1);
    return { stream: new CommandStream().add(object, 1), ran: () => run(t, 'DMA_1_3', seen) };
  };

  test('parts of a staged submission run at once and end together', async (t) => {
    const { device } = t;
    const [one, two, three] = [step(t), step(t), step(t)];
    const first = device.submit({ queue: DOWN, stream: one.stream }, { staged: 'first' });
    await one.ran();
    assert.equal(device.poll(first), undefined, 'it ended without its last part');
    const middle = device.submit({ queue: UP, stream: two.stream }, { staged: first });
    await two.ran();
    for (const part of [first, middle]) assert.equal(device.poll(part), undefined, 'it ended without its last part');
    const last = device.submit({ queue: DOWN, stream: three.stream }, { staged: first, last: true });
    for (const part of [last, first, middle]) await device.wait(part, { signal: t.signal });
  });

  test('parts of a staged submission may be for internal queues only, but for the last', async (t) => {
    const { device } = t;
    const [one, two] = [step(t), step(t)];
    const first = device.submit({ queue: 'DMA_2_0', ...t.use(device.load(one.stream)) }, { staged: 'first' });
    const middle = device.submit({ queue: 'DMA_5_3', ...t.use(device.load(two.stream)) }, { staged: first });
    await one.ran();
    await two.ran();
    const end: Chunk = { queue: UP, stream: new CommandStream().nop() };
    const last = device.submit(end, { staged: first, last: true });
    for (const part of [last, first, middle]) await device.wait(part, { signal: t.signal });
  });

  test('one part can be the first and the last', async (t) => {
    const part = { queue: DOWN, stream: new CommandStream().nop() } as const;
    await t.device.wait(t.device.submit(part, { staged: 'first', last: true }), { signal: t.signal });
  });

  test('two staged submissions at once', async (t) => {
    const { device } = t;
    const nop = new CommandStream().nop();
    const [a, b] = [
      device.submit({ queue: DOWN, stream: nop }, { staged: 'first' }),
      device.submit({ queue: UP, stream: nop }, { staged: 'first' }),
    ];
    await device.wait(device.submit({ queue: DOWN, stream: nop }, { staged: b, last: true }), { signal: t.signal });
    await device.wait(b, { signal: t.signal });
    assert.equal(device.poll(a), undefined);
    await device.wait(device.submit({ queue: UP, stream: nop }, { staged: a, last: true }), { signal: t.signal });
    await device.wait(a, { signal: t.signal });
  });

  test('nothing can follow the last part', async (t) => {
    t.expectMessages(/Staged submission sequence \d+ already submitted/, /Failed to submit CS .* error -22/);
    const { device } = t;
    const nop = { queue: UP, stream: new CommandStream().nop() } as const;
    const first = device.submit(nop, { staged: 'first' });
    const last = device.submit({ queue: DOWN, stream: new CommandStream().fence(0) }, { staged: first, last: true });
    assertErrno('EINVAL', () => device.submit(nop, { staged: first }));
    assertErrno('EINVAL', () => device.submit(nop, { staged: first, last: true }));
    await release(t, DOWN, UP);
    for (const part of [first, last]) await device.wait(part, { signal: t.signal });
  });
}

/** Whether the driver tells of a submission that took too long, within `milliseconds` of its clock; other events do not matter. */
async function timeoutOf(t: TestContext, events: EventNotifier, milliseconds: number): Promise<boolean> {
  const { driver } = t.target;
  const end = driver.now() + milliseconds * 1e6;
  for (;;) {
    const timeout = Math.max((end - driver.now()) / 1e6, 0);
    const bits = await events.next({ timeout, signal: t.signal });
    if (bits & BigInt(notifierEvents.HL_NOTIFIER_EVENT_CS_TIMEOUT.value)) return true;
    if (driver.now() >= end) return false;
  }
}

function limits(test: Declare): void {
  test('work that takes longer than its limit is told of, and still ends when it may', async (t) => {
    t.expectMessages(
      /Command submission \d+ has not finished in \d+ seconds!/,
      /Command submission \d+ completed after/,
    );
    const { device } = t;
    const events = device.notifyEvents();
    const stream = new CommandStream().fence(0);
    const work = device.submit({ queue: DOWN, stream }, { timeout: 1, skipResetOnTimeout: true });
    assert.equal(await timeoutOf(t, events, 60_000), true, 'no event');
    const { seq, timestamp } = device.info.csTimeoutEvent();
    assert.equal(seq, work.sequence);
    assert.ok(timestamp > 0n && timestamp < BigInt(t.target.driver.now()), `${timestamp}`);
    assert.equal(device.poll(work), undefined, 'held work has ended');
    await run(t, UP, new CommandStream().nop());
    await release(t, DOWN, UP);
    await device.wait(work, { signal: t.signal });
    assert.equal(device.info.status(), 'OPERATIONAL');
    await run(t, DOWN, new CommandStream().nop());
  });

  test('work within its limit is no event', async (t) => {
    t.expectMessages(/Command submission \d+ completed after/);
    const { device } = t;
    const events = device.notifyEvents();
    const before = device.info.csTimeoutEvent();
    const work = device.submit(
      { queue: DOWN, stream: new CommandStream().fence(0) },
      { timeout: 30, skipResetOnTimeout: true },
    );
    // a hundredth of its limit, which is in seconds
    assert.equal(await timeoutOf(t, events, 300), false);
    await release(t, DOWN, UP);
    await device.wait(work, { signal: t.signal });
    assert.equal(await timeoutOf(t, events, 0), false);
    assert.deepEqual(device.info.csTimeoutEvent(), before, 'a record of a timeout');
  });

  test('the time limit of work begins when the work before it has ended', async (t) => {
    t.expectMessages(/Command submission \d+ completed after/);
    const { device } = t;
    const host = t.use(device.allocHost(4 * KiB));
    const events = device.notifyEvents();
    const gate = held(t);
    const stream = new CommandStream().memset(host, 1n, 8);
    const work = device.submit({ queue: DOWN, stream }, { timeout: 1, skipResetOnTimeout: true });
    assert.equal(await timeoutOf(t, events, 1500), false, 'it was taken for hung while another was the first');
    await release(t, DOWN, UP);
    for (const submission of [gate, work]) await device.wait(submission, { signal: t.signal });
    assert.equal(await timeoutOf(t, events, 0), false);
  });

  test('the time limit of work that was behind other work ends too', async (t) => {
    t.expectMessages(/Command submission \d+ has not finished in/, /Command submission \d+ completed after/);
    const { device } = t;
    const events = device.notifyEvents();
    const gate = held(t);
    const stream = new CommandStream().fence(0);
    const work = device.submit({ queue: DOWN, stream }, { timeout: 1, skipResetOnTimeout: true });
    await release(t, DOWN, UP);
    await device.wait(gate, { signal: t.signal });
    assert.equal(await timeoutOf(t, events, 60_000), true, 'no event');
    assert.equal(device.info.csTimeoutEvent().seq, work.sequence);
    await release(t, DOWN, UP);
    await device.wait(work, { signal: t.signal });
  });
}

export function submissions(test: Declare): void {
  waits(test);
  timestamps(test);
  history(test);
  staged(test);
  limits(test);
}
