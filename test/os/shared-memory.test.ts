import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SharedMemory } from '../../src/os/shared-memory.ts';
import { seed } from '../seed.ts';

const PAGE = 4096;
const PAGES = 64;

test('asking what is in use touches nothing', () => {
  const memory = new SharedMemory('test', 2 ** 35);
  try {
    assert.equal(memory.untouched(0, memory.size), memory.size);
    memory.bytes[2 ** 34 + 5] = 1;
    assert.equal(memory.untouched(0, memory.size), 2 ** 34);
    assert.equal(memory.untouched(2 ** 34 + 5, memory.size / 2 - 5), -(PAGE - 5));
    assert.equal(memory.untouched(2 ** 34 + PAGE, 100), 100);
    assert.equal(memory.resident(), PAGE);
  } finally {
    memory.close();
  }
});

test('what is told of the use of pages is true after any writes and fills with zero', () => {
  const operation = fc.record({
    zero: fc.boolean(),
    offset: fc.nat(PAGES * PAGE - 1),
    length: fc.oneof(fc.nat(PAGE), fc.nat(40 * PAGE)),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 20 }), (operations) => {
      const memory = new SharedMemory('test', PAGES * PAGE);
      const expected = new Uint8Array(memory.size);
      const written = new Set<number>();
      try {
        for (const { zero, offset, length } of operations) {
          const end = Math.min(offset + length, memory.size);
          if (zero) {
            memory.zero(offset, end - offset);
            expected.fill(0, offset, end);
          } else {
            memory.bytes.fill(7, offset, end);
            expected.fill(7, offset, end);
            for (let page = Math.floor(offset / PAGE); page * PAGE < end; page++) written.add(page);
          }
          for (let at = 0; at < memory.size; ) {
            const untouched = memory.untouched(at, memory.size - at);
            assert.notEqual(untouched, 0);
            // what counts as untouched is zero; what was never written counts as untouched
            if (untouched > 0) assert.ok(expected.subarray(at, at + untouched).every((byte) => byte === 0));
            else for (let page = at / PAGE; page * PAGE < at - untouched; page++) assert.ok(written.has(page));
            at += Math.abs(untouched);
          }
        }
        assert.deepEqual(Buffer.compare(memory.bytes, expected), 0);
      } finally {
        memory.close();
      }
    }),
    { seed: seed(), numRuns: 60 },
  );
});
