/** Threads that wait for work, and what ends their waits. */

import assert from 'node:assert/strict';
import { EFD_CLOEXEC, POLLIN } from '../../driver/driver.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { csFlags } from '../../uapi/habanalabs/cs.ts';
import { waitStatus } from '../../uapi/habanalabs/wait-cs.ts';
import { values } from '../../uapi/rows.ts';
import type { Declare } from '../suite.ts';
import { assertErrno } from './lib.ts';
import { externalQueues } from './sync-lib.ts';
import { beginWait, beginWaitAny, blocked, errnoOf, held, letGo, returned, several, thread } from './threads-lib.ts';

const STATUS = values(waitStatus);
const FLAG = values(csFlags);
const DOWN = 'DMA_0_0';
const OTHER = 'DMA_0_1';
const UP = 'DMA_1_0';

export function waiting(test: Declare): void {
  test('one thread waits while another lets the work go', async (t) => {
    const { device } = t;
    const work = held(device);
    const wait = beginWait(t, thread(t), device, work);
    await blocked(t, wait.call);
    await letGo(t, device, DOWN, UP);
    assert.equal((await wait.answer()).out.status, STATUS.HL_WAIT_CS_STATUS_COMPLETED);
  });

  test('a wait ends when its time is over, and the work does not', async (t) => {
    const { device } = t;
    const work = held(device);
    const wait = beginWait(t, thread(t), device, work, 30_000);
    assert.equal((await wait.answer()).out.status, STATUS.HL_WAIT_CS_STATUS_BUSY);
    await letGo(t, device, DOWN, UP);
    await device.wait(work, { signal: t.signal });
  });

  test('a signal ends a wait and not the work, be it a wait for one or for several', async (t) => {
    const { device } = t;
    t.expectMessages(/user process got signal while waiting for (CS handle \d+|Multi-CS)$/);
    const work = held(device);
    for (const beginOne of [
      () => beginWait(t, thread(t), device, work),
      () => beginWaitAny(t, thread(t), device, [work]),
    ]) {
      const wait = beginOne();
      await blocked(t, wait.call);
      wait.call.interrupt();
      assert.equal(await errnoOf(wait.answer()), 'EINTR');
    }
    assert.equal(device.poll(work), undefined);
    await letGo(t, device, DOWN, UP);
    await device.wait(work, { signal: t.signal });
  });

  test('a signal ends a look for events, and not the reading of a counter', async (t) => {
    const { driver } = t.target;
    const counter = driver.eventfd(0, EFD_CLOEXEC);
    t.use({ [Symbol.dispose]: () => driver.close(counter) });
    const look = thread(t).poll(counter, POLLIN, -1);
    const bytes = new Uint8Array(8);
    const reading = thread(t).read(counter, bytes);
    for (const call of [look, reading]) {
      await blocked(t, call);
      call.interrupt();
    }
    await returned(t, look);
    assertErrno('EINTR', () => look.finish());
    await blocked(t, reading);
    driver.write(counter, new Uint8Array(8).fill(1, 0, 1));
    await returned(t, reading);
    assert.deepEqual([reading.finish(), bytes[0]], [8, 1]);
  });

  test('eight threads wait for one submission, and all learn of its end', async (t) => {
    const { device } = t;
    const work = held(device);
    const waits = several(8, () => beginWait(t, thread(t), device, work));
    for (const { call } of waits) await blocked(t, call);
    await letGo(t, device, DOWN, UP);
    for (const wait of waits) assert.equal((await wait.answer()).out.status, STATUS.HL_WAIT_CS_STATUS_COMPLETED);
  });

  test('each thread learns of the end of its own submission, and of no other', async (t) => {
    const { device } = t;
    const queues = externalQueues.slice(0, 4);
    const waits = queues.map((queue) => ({ queue, ...beginWait(t, thread(t), device, held(device, queue)) }));
    for (const { call } of waits) await blocked(t, call);
    // the last first
    for (const [i, { queue, answer }] of waits.reverse().entries()) {
      assert.deepEqual(
        waits.map(({ call }) => call.done),
        waits.map((_, other) => other < i),
      );
      await letGo(t, device, queue, 'DMA_1_3');
      assert.equal((await answer()).out.status, STATUS.HL_WAIT_CS_STATUS_COMPLETED);
    }
  });

  test('a thread waits for work that another thread has yet to let go, queue behind queue', async (t) => {
    const { device } = t;
    const first = held(device, DOWN);
    const second = device.submit({
      queue: DOWN,
      stream: new CommandStream().nop(),
    });
    const waits = [beginWait(t, thread(t), device, second), beginWait(t, thread(t), device, first)];
    for (const { call } of waits) await blocked(t, call);
    await letGo(t, device, DOWN, OTHER);
    for (const wait of waits) assert.equal((await wait.answer()).out.status, STATUS.HL_WAIT_CS_STATUS_COMPLETED);
  });

  test('a look at work that another thread waits for does not wait', async (t) => {
    const { device } = t;
    const work = held(device);
    const wait = beginWait(t, thread(t), device, work);
    await blocked(t, wait.call);
    assert.equal(device.poll(work), undefined);
    const look = beginWait(t, thread(t), device, work, 0);
    assert.equal((await look.answer()).out.status, STATUS.HL_WAIT_CS_STATUS_BUSY);
    await letGo(t, device, DOWN, UP);
    await wait.answer();
  });

  test('a card at work says so, and which engine is', async (t) => {
    const { device } = t;
    assert.deepEqual(device.info.idle(), { idle: true, busy: [], mask: 0n, shortMask: 0 });
    const work = held(device, OTHER);
    const wait = beginWait(t, thread(t), device, work);
    await blocked(t, wait.call);
    while (device.info.idle().busy.length === 0) t.signal.throwIfAborted();
    const { idle, busy, mask, shortMask } = device.info.idle();
    assert.deepEqual({ idle, busy, shortMask }, { idle: false, busy: ['DMA_0'], shortMask: Number(mask) });
    await letGo(t, device, OTHER, UP);
    await wait.answer();
    while (!device.info.idle().idle) t.signal.throwIfAborted();
  });

  test('the time of the end is told to every thread that waits', async (t) => {
    const { device } = t;
    const work = device.submit(
      { queue: DOWN, stream: new CommandStream().fence(0) },
      { flags: FLAG.HL_CS_FLAGS_TIMESTAMP },
    );
    const waits = several(3, () => beginWait(t, thread(t), device, work));
    for (const { call } of waits) await blocked(t, call);
    await letGo(t, device, DOWN, UP);
    const times = [];
    for (const wait of waits) times.push((await wait.answer()).out.timestamp_nsec);
    assert.notEqual(times[0], 0n);
    assert.equal(new Set(times).size, 1, `three times of one end: ${times.join(', ')}`);
  });

  test('a wait for several ends with the first of them', async (t) => {
    const { device } = t;
    const works = [held(device, DOWN), held(device, OTHER), held(device, UP)];
    const wait = beginWaitAny(t, thread(t), device, works);
    await blocked(t, wait.call);
    await letGo(t, device, OTHER, 'DMA_1_3');
    const { out } = await wait.answer();
    assert.equal(out.status, STATUS.HL_WAIT_CS_STATUS_COMPLETED);
    assert.equal(out.cs_completion_map, 0b010);
    await letGo(t, device, DOWN, 'DMA_1_3');
    await letGo(t, device, UP, 'DMA_1_3');
    for (const work of works) await device.wait(work, { signal: t.signal });
  });

  test('a wait for several goes on when something else ends on the same queue', async (t) => {
    const { device } = t;
    const before = device.submit({ queue: DOWN, stream: new CommandStream().fence(0) });
    const wanted = device.submit({ queue: DOWN, stream: new CommandStream().fence(1) });
    const wait = beginWaitAny(t, thread(t), device, [wanted]);
    await blocked(t, wait.call);
    await letGo(t, device, DOWN, UP, 0);
    await device.wait(before, { signal: t.signal });
    await blocked(t, wait.call);
    await letGo(t, device, DOWN, UP, 1);
    assert.equal((await wait.answer()).out.cs_completion_map, 1);
  });

  // habanalabs.h, MULTI_CS_MAX_USER_CTX
  test('two threads at a time may wait for several, a third is refused', async (t) => {
    t.expectMessages(/no available multi-CS completion structure/);
    const { device } = t;
    const works = [held(device, DOWN), held(device, OTHER)];
    const waits = works.map((work) => beginWaitAny(t, thread(t), device, [work]));
    for (const { call } of waits) await blocked(t, call);
    const third = thread(t);
    assert.equal(await errnoOf(beginWaitAny(t, third, device, works).answer()), 'ENOMEM');
    assert.equal(await errnoOf(beginWaitAny(t, third, device, works, 0).answer()), 'ENOMEM');
    // waits for one are not counted
    assert.equal((await beginWait(t, third, device, works[0] as never, 0).answer()).out.status, 1);
    await letGo(t, device, DOWN, 'DMA_1_3');
    await waits[0]?.answer();
    const again = beginWaitAny(t, third, device, [works[1] as never]);
    await blocked(t, again.call);
    await letGo(t, device, OTHER, 'DMA_1_3');
    await again.answer();
    await waits[1]?.answer();
  });
}
