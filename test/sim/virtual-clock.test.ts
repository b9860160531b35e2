import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Clock, VirtualClock } from '../../src/sim/clock.ts';
import { Condition, Process, type Steps } from '../../src/sim/process.ts';
import { seed } from '../seed.ts';

test('events run by time, and those of one time in the order they were made, also from within events', () => {
  // each event makes others, so many nanoseconds later, and cancels those of the numbers given
  const events = fc.array(
    fc.record({
      after: fc.integer({ min: 0, max: 3 }),
      makes: fc.array(fc.nat(2), { maxLength: 2 }),
      cancels: fc.nat(30),
    }),
    { minLength: 1, maxLength: 60 },
  );
  fc.assert(
    fc.property(events, (script) => {
      const clock = new VirtualClock();
      const made: { time: number; cancelled: boolean; ran: boolean; cancel(): void }[] = [];
      const order: number[] = [];
      const make = (after: number): void => {
        const number = made.length;
        const step = script[number];
        if (!step) return;
        const entry = { time: clock.now() + after, cancelled: false, ran: false, cancel() {} };
        made.push(entry);
        const timer = clock.at(entry.time, () => {
          assert.equal(clock.now(), entry.time);
          entry.ran = true;
          order.push(number);
          for (const more of step.makes) make(more);
          made[step.cancels]?.cancel();
        });
        entry.cancel = () => {
          timer.cancel();
          if (!entry.ran) entry.cancelled = true;
        };
      };
      for (const { after } of script.slice(0, 10)) make(after);
      clock.runUntil();
      const expected = made.map((_, i) => i).filter((i) => !made[i]?.cancelled);
      expected.sort((a, b) => (made[a]?.time ?? 0) - (made[b]?.time ?? 0) || a - b);
      assert.deepEqual(order, expected);
    }),
    { seed: seed(), numRuns: 300 },
  );
});

test('thousands of cancelled events do not change what the others do', () => {
  const clock = new VirtualClock();
  const times: number[] = [];
  for (let i = 0; i < 5000; i++) {
    const timer = clock.at(1_000_000 - i, () => times.push(clock.now()));
    if (i % 100 !== 0) timer.cancel();
  }
  clock.runUntil();
  assert.deepEqual(
    times,
    Array.from({ length: 50 }, (_, i) => 1_000_000 - 4900 + 100 * i),
  );
});

/** Two engines that take turns and wait, on a clock. @returns what they did, and when */
function engines(clock: Clock): string[] {
  const trace: string[] = [];
  const turn = new Condition();
  function* engine(name: string, wait: number): Steps {
    for (let i = 0; i < 5; i++) {
      yield wait;
      trace.push(`${name}${i} at ${clock.now()}`);
      turn.notify();
      if (i === 2) yield turn;
    }
  }
  for (const [name, wait] of [['a', 7] as const, ['b', 7] as const, ['c', 0] as const, ['d', 10] as const]) {
    new Process(clock, name, engine(name, wait), (error) => assert.fail(String(error)));
  }
  return trace;
}

test('a process that goes on without an event does as one that is woken by each', () => {
  const quick = new VirtualClock();
  const slow = new VirtualClock();
  const quickly = engines(quick);
  const slowly = engines(slow);
  quick.runUntil();
  // one event after the other: nothing goes on by itself
  while (slow.step());
  assert.deepEqual(quickly, slowly);
  assert.equal(quick.now(), slow.now());
});

test('time does not go beyond a limit, nor beyond what is waited for', () => {
  const clock = new VirtualClock();
  let ticks = 0;
  function* ticker(): Steps {
    for (;;) {
      yield 10;
      ticks++;
    }
  }
  new Process(clock, 'ticker', ticker(), (error) => assert.fail(String(error)));
  clock.runUntil(95);
  assert.deepEqual([ticks, clock.now()], [9, 95]);
  assert.equal(
    clock.runTo(() => ticks === 20),
    true,
  );
  assert.deepEqual([ticks, clock.now()], [20, 200]);
  assert.equal(
    clock.runTo(() => ticks === 1000, 305),
    false,
  );
  assert.deepEqual([ticks, clock.now()], [30, 300]);
});
