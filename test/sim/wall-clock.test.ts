import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WallClock } from '../../src/sim/clock.ts';

test('what follows from an event keeps its place, however long the event takes to run', () => {
  const clock = new WallClock();
  const order: string[] = [];
  const start = clock.now();
  clock.at(start, () => {
    const real = performance.now();
    while (performance.now() - real < 1);
    assert.equal(clock.now(), start);
    clock.at(clock.now() + 10, () => order.push('10 ns later'));
  });
  clock.at(start + 20, () => order.push('20 ns later'));
  while (order.length < 2) clock.runDue(10);
  assert.deepEqual(order, ['10 ns later', '20 ns later']);
  assert.ok(clock.now() > start);
});

test('an event that throws leaves the clock as it was', () => {
  const clock = new WallClock();
  clock.at(0, () => {
    throw new Error('event');
  });
  assert.throws(() => clock.runDue(10), /event/);
  assert.ok(clock.now() > 0);
  assert.equal(clock.runDue(10), false);
});
