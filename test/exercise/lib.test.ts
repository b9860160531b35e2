import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertErrno, assertSame, fill } from '../../src/exercise/suites/lib.ts';
import { Random } from '../../src/sim/random.ts';

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

test('bytes that differ: how many, where first, what there is and what should be', () => {
  assert.throws(() => assertSame(bytes('abXdeYg'), bytes('abcdefg'), 'memory'), {
    message: 'memory: 2 of 7 bytes differ, first at 2 (0x2): got 5864655967, expected 6364656667',
  });
});

test('the first and the last byte count', () => {
  for (const at of [0, 4095]) {
    const actual = new Uint8Array(4096);
    actual[at] = 1;
    assert.throws(() => assertSame(actual, new Uint8Array(4096), 'memory'), { message: new RegExp(`first at ${at} `) });
  }
});

test('lengths that differ are told before bytes', () => {
  assert.throws(() => assertSame(bytes('abc'), bytes('abcd'), 'memory'), { message: /^memory: length/ });
});

test('the same bytes are the same, also within a larger memory', () => {
  assertSame(bytes('xabcx').subarray(1, 4), bytes('abc'), 'memory');
  assertSame(new Uint8Array(0), new Uint8Array(0), 'memory');
});

test('an error with another errno, without one, or none at all is not the one expected', () => {
  const error = (code?: string) => () => {
    throw Object.assign(new Error('what happened'), code === undefined ? {} : { code });
  };
  assert.throws(() => assertErrno('EINVAL', error('EPERM')), { message: /what happened/ });
  assert.throws(() => assertErrno('EINVAL', error()), { message: /what happened/ });
  assert.throws(() => assertErrno('EINVAL', () => 0), { message: 'expected EINVAL, but the call succeeded' });
  assertErrno('EINVAL', error('EINVAL'));
});

test('noise fills every byte, wherever the memory begins, and repeats with the seed', () => {
  for (const offset of [0, 1, 2, 3, 4]) {
    for (const length of [0, 1, 3, 4, 5, 1000]) {
      const noise = (seed: number) => {
        const memory = new Uint8Array(offset + length + 4);
        fill(memory.subarray(offset, offset + length), new Random(seed));
        return memory;
      };
      const first = noise(1);
      assert.ok(
        first.subarray(offset + length).every((byte) => byte === 0),
        'beyond the end',
      );
      assert.deepEqual(first, noise(1));
      if (length === 1000) {
        assert.notDeepEqual(first, noise(2));
        assert.equal(new Set(first.subarray(offset, offset + length)).size > 200, true, 'hardly noise');
        assert.ok(first.subarray(offset + length - 8, offset + length).some((byte) => byte !== 0));
      }
    }
  }
});
