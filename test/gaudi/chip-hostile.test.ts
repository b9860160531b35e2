import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { blocks, instances } from '../../specs/gaudi/blocks.ts';
import { seed } from '../seed.ts';
import { MS, TestHost } from './test-host.ts';

const places = blocks.flatMap(instances).filter(({ registers }) => registers !== 'none');
/** Values that mean something to many registers, and any. */
const value = fc.oneof(fc.constantFrom(0, 1, 2, 3, 0x8000_0000, 0xffff_ffff, 484, 485, 486, 0x10), fc.nat(0xffff_ffff));
/** Most registers of a block are in its first 4 KiB. */
const offset = fc.oneof(fc.nat(0x3ff), fc.nat(0x17ff)).map((word) => 4 * word);
const access = fc.record({
  place: fc.constantFrom(...places),
  offset,
  value,
  read: fc.boolean(),
  /** Time until the next, ns. */
  pause: fc.constantFrom(0, 0, 0, 1000, MS),
});
const STEPS = 100_000;

describe('a guest that writes anything anywhere', () => {
  it('gets an answer, harms nobody, and has the chip back after a reset', () => {
    fc.assert(
      fc.property(fc.array(access, { minLength: 50, maxLength: 300 }), (accesses) => {
        using host = new TestHost().ready();
        for (const { place, offset: at, value: v, read, pause } of accesses) {
          const address = place.base + at;
          if (address >= 0x400_0000) continue;
          if (read) host.read(address);
          else host.write(address, v);
          const end = host.clock.now() + pause;
          let steps = 0;
          while (host.clock.step(end)) assert.ok(++steps < STEPS, 'the chip goes round in circles');
        }
        host.gaudi.reset('conventional');
        host.errors.length = 0;
        host.ready();
        assert.deepEqual(host.errors, []);
        assert.deepEqual(host.gaudi.busyEngines(), []);
      }),
      { seed: seed(), numRuns: 40 },
    );
  });
});
