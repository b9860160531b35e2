import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as float from '../../src/tpc/numbers/float.ts';
import * as integer from '../../src/tpc/numbers/integer.ts';
import { DEFAULT_POLYNOMIAL, step } from '../../src/tpc/numbers/lfsr.ts';
import { roundToFormat, roundToInteger } from '../../src/tpc/numbers/rounding.ts';
import { formNumber, lutEntry, specialValue } from '../../src/tpc/numbers/special.ts';
import { seed } from '../seed.ts';
import { divideRounded, exact, flushed, modes, plus, times, toFormat, toInteger } from './oracle.ts';

const { f32, bf16 } = float;
const finite = (type: float.FloatType) =>
  fc
    .oneof(
      fc.integer({ min: 0, max: 2 ** type.bits - 1 }),
      // Around the ends of the range, and numbers of like size that cancel.
      fc.constantFrom(
        0,
        1,
        type.infinity - 1,
        type.sign,
        type.sign + 1,
        2 ** type.fractionBits,
        2 ** type.fractionBits - 1,
      ),
      fc.integer({ min: 0, max: 255 }).map((n) => 0x3f80 * 2 ** (type.bits - 16) + n),
    )
    .map((bits) => float.fromBits(type, bits))
    .filter(Number.isFinite);
const mode = fc.constantFrom(...modes);
const check = <T>(property: fc.IProperty<T>, numRuns = 3000) => fc.assert(property, { seed: seed(), numRuns });

test('an f32 sum is the exact sum, rounded once in any mode; denormals are zero', () => {
  check(
    fc.property(finite(f32), finite(f32), mode, (x, y, m) => {
      const [a, b] = [flushed(x), flushed(y)];
      const got = float.add(f32, a, b, m);
      const want = flushed(toFormat(plus(exact(a), exact(b)), 24, m));
      assert.equal(got + 0, want + 0, `${a} + ${b} ${m}`);
    }),
  );
});

test('f32 sums to nearest are those of Math.fround', () => {
  check(
    fc.property(finite(f32), finite(f32), (x, y) => {
      const [a, b] = [flushed(x), flushed(y)];
      assert.ok(Object.is(float.add(f32, a, b, 'rhne'), flushed(Math.fround(a + b))));
    }),
  );
});

test('a sum that is exactly zero is +0, but -0 rounding down; the sum of equal zeros keeps its sign', () => {
  assert.ok(Object.is(float.add(f32, 1, -1, 'rhne'), 0));
  assert.ok(Object.is(float.add(f32, 1, -1, 'rd'), -0));
  assert.ok(Object.is(float.add(f32, -0, -0, 'ru'), -0));
  assert.ok(Object.is(float.add(f32, 0, 0, 'rd'), 0));
});

test('products and fused multiply-adds of f32 and bf16 are rounded once', () => {
  for (const type of [f32, bf16]) {
    check(
      fc.property(finite(type), finite(type), finite(type), mode, (x, y, z, m) => {
        const [a, b, c] = [flushed(x), flushed(y), flushed(z)];
        const product = times(exact(a), exact(b));
        assert.equal(float.multiply(type, a, b, m) + 0, flushed(toFormat(product, type.precision, m)) + 0);
        const sum = plus(product, exact(c));
        const want = flushed(toFormat(sum, type.precision, m));
        assert.equal(float.multiplyAdd(type, a, b, c, m) + 0, want + 0, `${c} + ${a} * ${b} ${m}`);
      }),
    );
  }
});

test('bf16 products that accumulate in f32 are rounded once, to f32', () => {
  check(
    fc.property(finite(bf16), finite(bf16), finite(f32), (x, y, z) => {
      const [a, b, c] = [flushed(x), flushed(y), flushed(z)];
      const want = flushed(toFormat(plus(times(exact(a), exact(b)), exact(c)), 24, 'rhne'));
      assert.equal(float.multiplyAdd(f32, a, b, c, 'rhne') + 0, want + 0);
    }),
  );
});

test('every bf16 number becomes the same f32 and comes back, and every NaN becomes the one NaN', () => {
  for (let bits = 0; bits < 0x10000; bits++) {
    const value = float.fromBits(bf16, bits);
    if (Number.isNaN(value)) {
      assert.equal(float.toBits(bf16, value), 0x7fff);
      assert.equal(float.toBits(f32, value), 0x7fffffff);
      continue;
    }
    assert.equal(float.toBits(bf16, value), bits);
    assert.equal(float.toBits(f32, value), bits * 2 ** 16);
    for (const m of modes) assert.ok(Object.is(roundToFormat(value, bf16, m), value), `${bits.toString(16)} ${m}`);
  }
});

test('f32 to bf16 in every mode, around every bf16 number', () => {
  for (let high = 0; high < 0x8000; high += 7) {
    for (const low of [0x0001, 0x7fff, 0x8000, 0x8001, 0xffff]) {
      const value = float.fromBits(f32, high * 2 ** 16 + low);
      if (!Number.isFinite(value)) continue;
      for (const x of [value, -value]) {
        for (const m of modes) {
          assert.ok(Object.is(roundToFormat(x, bf16, m), toFormat(exact(x), 8, m)), `${x} ${m}`);
        }
      }
    }
  }
});

test('f32 to integers in every mode', () => {
  check(
    fc.property(finite(f32), fc.integer({ min: -70, max: 70 }), mode, (x, halves, m) => {
      for (const value of [x, halves / 2, halves / 2 + x * 2 ** -120]) {
        if (Math.abs(value) > 2 ** 40) continue;
        assert.equal(BigInt(roundToInteger(value, m)), toInteger(exact(value), m), `${value} ${m}`);
      }
    }),
  );
});

test('stochastic rounding goes away from zero exactly when fraction and random number reach 1', () => {
  assert.equal(roundToInteger(2.25, 'sr', 0.75), 3);
  assert.equal(roundToInteger(2.25, 'sr', 0.7499), 2);
  assert.equal(roundToInteger(-2.25, 'sr', 0.75), -3);
  assert.equal(roundToInteger(-2.25, 'sr', 0.7499), -2);
  assert.equal(roundToInteger(2, 'sr', 0.999999), 2, 'what is exact stays');
  let sum = 0;
  for (let n = 0; n < 65536; n++) sum += roundToFormat(1 + 2 ** -9, bf16, 'sr', n / 65536) - 1;
  assert.equal(sum / 65536, 2 ** -9, 'over all random numbers the mean is the value');
});

test('too large a number: infinity or the largest, by the mode', () => {
  const above = 3.4e38 * 1.01;
  assert.equal(float.round(f32, above, 'rhne'), Infinity);
  assert.equal(float.round(f32, above, 'rz'), f32.max);
  assert.equal(float.round(f32, above, 'rd'), f32.max);
  assert.equal(float.round(f32, -above, 'rd'), -Infinity);
  assert.equal(float.round(f32, -above, 'ru'), -f32.max);
});

test('FCLASS sets one bit for each of all bf16 numbers, as their definition has it', () => {
  const counts = new Map<number, number>();
  for (let bits = 0; bits < 0x10000; bits++) {
    const c = float.classify(bf16, bits);
    counts.set(c, (counts.get(c) ?? 0) + 1);
    const value = float.fromBits(bf16, bits);
    if (value === -Infinity) assert.equal(c, 1);
    if (Object.is(value, 0)) assert.equal(c, 1 << 4);
    if (value > 0 && value < 2 ** -126) assert.equal(c, 1 << 5);
  }
  const per = (n: number) => counts.get(1 << n);
  assert.deepEqual(
    Array.from({ length: 10 }, (_, n) => per(n)),
    [1, 254 * 128, 127, 1, 1, 127, 254 * 128, 1, 2 * 63, 2 * 64],
  );
});

test('fixed point: value * 2^-shift, rounded and saturated', () => {
  const { i32, i8 } = integer.integerTypes;
  check(
    fc.property(fc.integer(), fc.integer({ min: 0, max: 31 }), mode, (x, shift, m) => {
      const exactly = divideRounded(BigInt(x), 1n << BigInt(shift), m);
      const want = exactly > 127n ? 127n : exactly < -128n ? -128n : exactly;
      assert.equal(BigInt(integer.scale(i8, x, shift, m)), want);
      assert.equal(integer.scale(i32, x, 0, m), x);
    }),
  );
});

test('integers wrap and saturate', () => {
  const { i8, u8, i32, u32 } = integer.integerTypes;
  assert.equal(integer.wrap(i8, 128), -128);
  assert.equal(integer.wrap(u8, -1), 255);
  assert.equal(integer.wrap(i32, 2 ** 31), -(2 ** 31));
  assert.equal(integer.saturate(u32, -1), 0);
  check(
    fc.property(fc.integer(), fc.integer(), (a, b) => {
      assert.equal(integer.multiplyLow(i32, a, b), Number(BigInt.asIntN(32, BigInt(a) * BigInt(b))));
      const [low, high] = integer.multiplyWide(a, b);
      assert.equal(BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low)), BigInt(a) * BigInt(b));
    }),
  );
});

test('bits are counted, reversed and found', () => {
  assert.equal(integer.countOnes(32, -1), 32);
  assert.equal(integer.countOnes(8, ~0), 8);
  assert.equal(integer.reverseBits(32, 1), 0x80000000);
  assert.equal(integer.reverseBits(8, 0b00010111), 0b11101000);
  assert.equal(integer.findFirst(32, 0x00800000, 1, true), 23);
  assert.equal(integer.findFirst(32, 0x00800000, 1, false), 23);
  assert.equal(integer.findFirst(16, 0xffff, 0, false), 16, 'none');
});

test('the random registers never reach zero, and do not repeat soon', () => {
  const seen = new Set<number>();
  let state = 1;
  for (let n = 0; n < 100_000; n++) {
    state = step(state, DEFAULT_POLYNOMIAL);
    assert.notEqual(state, 0);
    seen.add(state);
  }
  assert.equal(seen.size, 100_000);
});

test('FORM_FP_NUM puts exponent, sign and fraction together', () => {
  const bits = (x: number) => float.toBits(f32, x);
  const none = { addBias: false, forceSign: undefined, exponentIsNumber: false, signFromLsb: false } as const;
  assert.equal(formNumber(f32, bits(8), bits(-1), bits(1.5), none), bits(-12));
  assert.equal(formNumber(f32, bits(8), bits(-1), bits(1.5), { ...none, forceSign: 0 }), bits(12));
  assert.equal(
    formNumber(f32, 3, 1, bits(1.5), { ...none, exponentIsNumber: true, addBias: true, signFromLsb: true }),
    bits(-12),
  );
  assert.equal(
    formNumber(f32, 0xfd, 0, bits(1), { ...none, exponentIsNumber: true, addBias: true }),
    bits(0.125),
    '-3 as a byte',
  );
});

test('table entries: the interval begins at most one interval below the argument', () => {
  const value = fc.double({ min: 2 ** -20, max: 7.999, noNaN: true }).map(Math.fround);
  check(
    fc.property(value, (x) => {
      const { entry, start } = lutEntry(f32, float.toBits(f32, x), 17, 'tanh');
      const from = float.fromBits(f32, start);
      const width = x < 1 ? 1 / 64 : 2 ** Math.floor(Math.log2(x)) / 64;
      assert.ok(entry < 256 && from <= x && x - from < width, `${x}: ${entry} ${from}`);
    }),
  );
  assert.throws(() => lutEntry(bf16, 0x3f80, 8, 'default'), /undefined/);
});

test('table entries of the logarithm tell whether a number lies in [1, 2), in [0.75, 1), or elsewhere', () => {
  const entry = (x: number) => lutEntry(bf16, float.toBits(bf16, x), 0, 'log').entry;
  const at = (x: number) => lutEntry(bf16, float.toBits(bf16, x), 0, 'log').start;
  assert.deepEqual([1, 1.5, 0.75, 0.875, 0.5, 0.25, 2, 3].map(entry), [1, 65, 66, 98, 0, 0, 0, 64]);
  assert.equal(at(0.875), float.toBits(bf16, 0.875));
});

test('CALC_FP_SPECIAL gives what the function has at special arguments, and nothing elsewhere', () => {
  const cases: [Parameters<typeof specialValue>[1], number, number, number][] = [
    ['recip', -0, 0, -Infinity],
    ['recip', -Infinity, 0, -0],
    ['rsqrt', 0, 0, Infinity],
    ['sqrt', -2, 0, Number.NaN],
    ['log', 0, 0, -Infinity],
    ['exp', -Infinity, 0, 0],
    ['tanh', Infinity, 0, 1],
    ['div', 0, 0, Number.NaN],
    ['div', 3, -0, -Infinity],
    ['pow', 5, 0, 1],
  ];
  const classOf = (x: number) => float.classify(f32, float.toBits(f32, x));
  for (const [name, x, y, want] of cases) {
    assert.equal(specialValue(f32, name, classOf(x), classOf(y)), float.toBits(f32, want), `${name} ${x} ${y}`);
  }
  for (const name of ['recip', 'rsqrt', 'sqrt', 'log', 'exp', 'tanh'] as const) {
    assert.equal(specialValue(f32, name, classOf(2), 0), undefined);
  }
  assert.equal(specialValue(f32, 'pow', classOf(-0), classOf(3)), undefined, 'odd or even is not in a class');
});
