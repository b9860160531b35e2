/** Numbers that are written to files of debugfs, and the dumps that are kept. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SystemError } from '../../../src/driver/driver.ts';
import { numberOf, parseNumber } from '../../../src/driver/model/debugfs/file.ts';
import { StateDumps } from '../../../src/driver/model/debugfs/state-dump.ts';
import { seed } from '../../seed.ts';

function assertRefused(code: string, text: string, base: 0 | 10 | 16, bits: 32 | 64): void {
  assert.throws(
    () => parseNumber(text, base, bits),
    (error) => error instanceof SystemError && error.code === code,
    `${JSON.stringify(text)} in base ${base}`,
  );
}

test('what is no number is refused', () => {
  for (const text of ['', '\n', '+', '-1', ' 1', '1 ', '1\n\n', '++1', '1_0', '1e3', 'x'])
    for (const base of [0, 10, 16] as const) if (base !== 16 || text !== '1e3') assertRefused('EINVAL', text, base, 64);
  assertRefused('EINVAL', '0x10', 10, 64);
  assertRefused('EINVAL', '08', 0, 64);
  for (const base of [0, 16] as const) for (const text of ['0x', '0xg']) assertRefused('EINVAL', text, base, 64);
});

test('too large is told before what follows a number beyond 64 bits, and after what follows a smaller one', () => {
  assertRefused('ERANGE', `${2n ** 64n}x`, 10, 32);
  assertRefused('EINVAL', `${2n ** 64n - 1n}x`, 10, 32);
  assertRefused('ERANGE', `${2n ** 64n - 1n}`, 10, 32);
  assertRefused('ERANGE', `${2n ** 32n}\n`, 10, 32);
});

test('every number is taken in every form that its base has', () => {
  const value = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  fc.assert(
    fc.property(value, fc.constantFrom('', '+'), fc.constantFrom('', '\n'), (number, sign, end) => {
      const written = (digits: string) => `${sign}${digits}${end}`;
      const hex = number.toString(16);
      assert.equal(parseNumber(written(`${number}`), 10, 64), number);
      assert.equal(parseNumber(written(`${number}`), 0, 64), number);
      assert.equal(parseNumber(written(`0${number.toString(8)}`), 0, 64), number);
      for (const digits of [`0x${hex}`, `0X${hex.toUpperCase()}`]) {
        assert.equal(parseNumber(written(digits), 0, 64), number);
        assert.equal(parseNumber(written(digits), 16, 64), number);
      }
      assert.equal(parseNumber(written(hex), 16, 64), number);
    }),
    { seed: seed() },
  );
});

test('of what a program writes there is room for two characters more than bits', () => {
  assert.equal(numberOf(`${'0'.repeat(33)}7 and more`, 10, 32), 7n);
  assert.equal(numberOf(`${'0'.repeat(34)}7`, 10, 32), 0n);
  assert.equal(numberOf(`${'0'.repeat(65)}7`, 16, 64), 7n);
  assert.equal(numberOf(`${'0'.repeat(66)}7`, 16, 64), 0n);
});

test('five dumps are kept, the newest is shown, and skipping goes back', () => {
  const dumps = new StateDumps();
  assert.equal(dumps.newest, '');
  for (const count of [0n, 5n, 2n ** 32n - 1n]) assert.equal(dumps.skip(count), false);
  assert.equal(dumps.skip(4n), true);
  for (let i = 1; i <= 7; i++) dumps.add(`dump ${i}`);
  assert.equal(dumps.newest, 'dump 7');
  dumps.skip(1n);
  assert.equal(dumps.newest, 'dump 6');
  dumps.skip(3n);
  assert.equal(dumps.newest, 'dump 3', 'the oldest of five');
  dumps.skip(1n);
  assert.equal(dumps.newest, '');
  dumps.add('another');
  assert.equal(dumps.newest, 'another');
  dumps.skip(1n);
  assert.equal(dumps.newest, '');
});
