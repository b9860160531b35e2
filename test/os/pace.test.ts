import assert from 'node:assert/strict';
import { test } from 'node:test';
import { duration, pace } from '../../src/os/pace.ts';

test('nothing is foretold in the first two seconds, or before anything is done', () => {
  assert.equal(pace(5, 10, 1.9), '');
  assert.equal(pace(0, 10, 60), '');
});

test('what has been as fast as this will take as long as that', () => {
  assert.equal(pace(10, 40, 5), ', 2.0/s, 15 s left');
  assert.equal(pace(100e6 / 1e6, 420, 10, ' MB'), ', 10 MB/s, 32 s left');
  assert.equal(pace(40, 40, 5), ', 8.0/s');
});

test('durations are as exact as they are known', () => {
  assert.deepEqual([0.2, 89, 100, 3600, 6000].map(duration), ['1 s', '89 s', '2 min', '60 min', '1 h 40 min']);
});
