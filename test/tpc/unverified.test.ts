import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unverifiedReadings } from '../../src/tpc/unverified.ts';

test('each reading of what is not public is about one thing, and says why', () => {
  const about = unverifiedReadings.map((reading) => reading.about);
  assert.deepEqual(about, [...new Set(about)]);
  for (const { reading, reason } of unverifiedReadings) assert.ok(reading.length > 10 && reason.length >= 10, reading);
});
