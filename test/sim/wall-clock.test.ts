import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WallClock } from '../../src/sim/clock.ts';

/** A clock on a source that only moves when told to. */
function clockOf(): { clock: WallClock; spend(milliseconds: number): void } {
  let time = 100;
  return {
    clock: new WallClock(() => time),
    spend: (milliseconds) => {
      time += milliseconds;
    },
  };
}

test('an event that throws leaves the clock as it was', () => {
  const { clock, spend } = clockOf();
  clock.at(0, () => {
    throw new Error('event');
  });
  spend(1);
  assert.throws(() => clock.runDue(10), /event/);
  assert.equal(clock.now(), 1_000_000);
  assert.equal(clock.runDue(10), false);
});

test('what follows from an event keeps its place, however long the event takes to run', () => {
  const { clock, spend } = clockOf();
  const order: string[] = [];
  clock.at(0, () => {
    spend(2);
    clock.at(clock.now() + 10, () => order.push('10 ns later'));
  });
  clock.at(20, () => order.push('20 ns later'));
  clock.runDue(5);
  assert.deepEqual(order, ['10 ns later', '20 ns later']);
  assert.equal(clock.now(), 2_000_000, 'outside of events it is real time');
});

test('work that takes longer than it should does not keep others waiting for its end', () => {
  const { clock, spend } = clockOf();
  const order: string[] = [];
  const work = () => {
    spend(4);
    order.push('work');
    clock.at(clock.now() + 1000, work);
  };
  clock.at(0, work);
  clock.runDue(20);
  const asked = order.length;
  clock.at(clock.now(), () => order.push('other'));
  clock.runDue(20);
  assert.equal(order.indexOf('other'), asked + 1, 'after what was next, not after all that was late');
});

test('time never goes back, and is real again when nothing is late', () => {
  const { clock, spend } = clockOf();
  const seen: number[] = [];
  for (const time of [5, 1000, 3_000_000]) {
    clock.at(time, () => {
      spend(1);
      seen.push(clock.now());
    });
  }
  spend(1);
  seen.push(clock.now());
  while (clock.untilNext() !== undefined) {
    clock.runDue(0);
    seen.push(clock.now());
    if ((clock.untilNext() ?? 0) > 0) spend(1);
  }
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  );
  assert.equal(clock.now(), 4_000_000);
});

test('it stops when the budget is spent, and tells that something due is left', () => {
  const { clock, spend } = clockOf();
  let runs = 0;
  const work = () => {
    spend(1);
    runs++;
  };
  for (let i = 0; i < 5; i++) clock.at(i * 2000, work);
  assert.equal(clock.runDue(2), true);
  assert.equal(runs, 3);
  assert.equal(clock.untilNext(), 0);
  assert.equal(clock.runDue(9), false);
  assert.equal(clock.untilNext(), undefined);
});

test('late events go on by a microsecond at each turn, whatever the budget: a status that is read next is not of the past', () => {
  const { clock, spend } = clockOf();
  const done: number[] = [];
  for (const time of [0, 50, 900, 1100, 5000]) {
    clock.at(time, () => {
      spend(3);
      done.push(time);
    });
  }
  spend(1);
  assert.equal(clock.runDue(0), true);
  assert.deepEqual(done, [0, 50, 900]);
  assert.equal(clock.runDue(0), true);
  assert.deepEqual(done, [0, 50, 900, 1100]);
  assert.equal(clock.runDue(0), false);
});

test('an event that follows itself without end does not keep the server from its requests', () => {
  const { clock, spend } = clockOf();
  const endless = () => {
    spend(0.01);
    clock.at(clock.now(), endless);
  };
  clock.at(0, endless);
  assert.equal(clock.runDue(0), true);
});

test('who waits goes on at once where that is late, nobody else is before it, and there is time left', () => {
  const { clock, spend } = clockOf();
  const allowed: boolean[] = [];
  clock.at(0, () => {
    allowed.push(clock.advance(10)); // before real time: not yet
    spend(1);
    clock.at(50, () => {});
    allowed.push(clock.advance(50)); // somebody else is before it
    allowed.push(clock.advance(49));
    assert.equal(clock.now(), 49);
    spend(5);
    allowed.push(clock.advance(49.5)); // others have to be served
  });
  clock.runDue(2);
  assert.deepEqual(allowed, [false, false, true, false]);
  assert.equal(clock.advance(10_000_000), false, 'outside of events it is real time');
});
