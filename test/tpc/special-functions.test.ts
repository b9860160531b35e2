/**
 * Functions by lookup table, in the steps of the vendor's library (tpc-special.h), against binary64: what the model reads into
 * the instructions, and the tables computed here, must give the functions.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { lookupFunctions, lookupTables } from '../../src/tpc/tables/index.ts';
import { bench, CODE } from './fixture.ts';

const TABLES = 0x7000_0000;

function evaluate(lines: string, input: Float32Array): Float32Array {
  const b = bench(
    lines
      .trim()
      .split('\n')
      .map((line) => (line.trim().startsWith('lookup') ? `${line}; nop; nop; nop` : `nop; nop; ${line}; nop`))
      .join('\n'),
    { latency: 'immediate' },
  );
  const { bases, regions } = lookupTables(TABLES);
  for (const { address, bytes } of regions) b.memory.add(address, bytes);
  bases.forEach((base, n) => {
    b.config.write(0x978 + 8 * n, base);
  });
  b.config.write(0x7b8, 1);
  b.core.start({ pc: CODE });
  b.core.state.vector(1).set(new Uint8Array(input.buffer, input.byteOffset, 256));
  assert.equal(b.core.run(200), 'halted');
  return b.floats(20);
}

const polynomial = (entries: string, x: string, id: number) => `
lookup_1c BV32 V8, ${entries}, ${id}
lookup_2c BV32 D10, ${entries}, ${id}
mac.f32 V10, V11, ${x}
mac.f32 V8, V10, ${x}`;

const reciprocal = `form_fp_num.f32 exp_add_bias force_sign0 exp_is_num V2, 0, V1, V1
get_lut_entry_and_interval_start.f32 D4, V2, 16
sub.f32 V6, V2, V5${polynomial('V4', 'V6', 129)}
and.i32 V12, V8, 0x7f800000
and.i32 V13, V1, 0x7f800000
sub.i32 V12, V12, V13
form_fp_num.f32 exp_add_bias V20, V12, V1, V8`;

/** V8: the function of a number in [1, 4); V2: twice the exponent that is left. */
const root = (shift: number, id: number) => `extract_exp.f32 V2, V1
and.i32 V3, V2, 1
form_fp_num.f32 exp_is_num exp_add_bias V4, V3, V1, V1
get_lut_entry_and_interval_start.f32 funcid=sqrt_rsqrt D6, V4, ${shift}
sub.f32 V12, V4, V7${polynomial('V6', 'V12', id)}
sub.i32 V2, V2, V3
ash.i32 V2, V2, -1
shl.i32 V2, V2, 23`;
const squareRoot = `${root(17, 128)}
add.i32 V20, V8, V2`;
const inverseRoot = `${root(16, 1)}
sub.i32 V20, V8, V2`;

/** Whole powers of 2 apart; then 1 + what is left as a fixed-point number, or 2 - it and one power less. */
const exponential = `mov.f32 V3, 0.5
mac.f32 V3, V1, 1.44269504
convert.f32 target_type=int32 rd V2, V3
convert.i32 target_type=fp32 rhne V3, V2
mov.f32 V4, V1
mac.f32.neg V4, V3, 0.693359375
mac.f32.neg V4, V3, -2.12194440e-4
mul.f32 V4, V4, 1.44269504
mov.i32 V0, 0
mov.i32 V9, 1
cmp_geq.f32 VP1, V4, V0
extract_exp.f32 V5, V4
sub.i32 V5, V0, V5
min.i32 V5, V5, 24
and.i32 V6, V4, 0x7fffff
or.i32 V6, V6, 0x800000
shr.i32 V6, V6, V5
or.i32 V6, V6, 0x3f800000
add.f32 V6, V4, 2.0, !VP1
mov.i32 V16, 0
and.i32 V15, V6, 0x7fffff
sel_eq.i32 V16, V15, V0, V0, V9, !VP1
get_lut_entry_and_interval_start.f32 D12, V6, 17
sub.f32 V14, V6, V13${polynomial('V12', 'V14', 256)}
extract_exp.f32 biased V15, V8
add.i32 V15, V15, V2
sub.i32 V15, V15, V16
form_fp_num.f32 exp_is_num V20, V15, V8, V8`;

/** Of numbers with exponent 0 the table has log2(x) / (x - 1), so that those next to 1 are exact. */
const logarithm = `extract_exp.f32 V2, V1
convert.i32 target_type=fp32 rhne V3, V2
form_fp_num.f32 exp_is_num exp_add_bias V4, 0, V1, V1
cmp_eq.i32 VP1, V2, 0
get_lut_entry_and_interval_start.f32 D6, V4, 16
add.u32 V6, V6, 128, !VP1
sub.f32 V12, V4, V7${polynomial('V6', 'V12', 2)}
sub.f32 V13, V4, 1.0
mul.f32 V8, V13, V8, VP1
add.f32 V8, V8, V3
mul.f32 V20, V8, 0.69314718`;

/** Eighths of a turn to the next even one; what is left, below pi / 4, by the sine's half of the table or the cosine's. */
const turn = (sine: boolean) => `mov.f32 V21, 1.0
mov.i32 V0, 0
${sine ? 'mov.f32 V22, -1.0\nsel_grt.f32 V21, V1, V0, V21, V22' : ''}
abs.f32 V2, V1
mul.f32 V3, V2, 1.27323949
convert.f32 target_type=int32 rd V4, V3
and.i32 V5, V4, 1
add.i32 V4, V4, V5
convert.i32 target_type=fp32 rhne V3, V4
mac.f32.neg V2, V3, 0.78515625
mac.f32.neg V2, V3, 2.41875648498e-4
mac.f32.neg V2, V3, 3.7748949774e-8
abs.f32 V6, V2
shr.i32 V4, V4, 1
and.i32 V5, V4, 2
convert.i32 target_type=fp32 rhne V3, V5
mul.f32 V3, V3, V21
sub.f32 V21, V21, V3
and.i32 V4, V4, 1
cmp_eq.i32 VP1, V4, ${sine ? 0 : 1}
get_lut_entry_and_interval_start.f32 funcid=sin_cos D12, V6, 17
add.u32 V12, V12, 64, !VP1
sub.f32 V14, V6, V13${polynomial('V12', 'V14', 130)}
mul.f32 V8, V6, V8, VP1
sub.f32 V15, V0, V21
${sine ? 'sel_less' : 'sel_grt'}.f32 V21, V2, V0, V15, V21, VP1
mul.f32 V20, V8, V21`;

const hyperbolicTangent = `extract_exp.f32 V2, V1
cmp_less.i32 VP1, V2, 0
abs.f32 V6, V1
get_lut_entry_and_interval_start.f32 funcid=tanh D12, V6, 17
sub.f32 V14, V6, V13${polynomial('V12', 'V14', 0)}
mul.f32 V8, V8, V6, VP1
mov.f32 V15, 1.0
sel_geq.f32 V8, V6, 9.0, V15, V8
form_fp_num.f32 V20, V8, V1, V8`;

const sigmoid = `mul.f32 V1, V1, 0.5
${hyperbolicTangent}
mov.f32 V21, 0.5
mac.f32 V21, V20, 0.5
mov.f32 V20, V21`;

/** Numbers of both signs and all exponents that f32 has for them and their reciprocals. */
const wide = Array.from(
  { length: 512 },
  (_, n) => (n % 2 ? -1 : 1) * (1 + ((n * 97) % 512) / 512.3) * 2 ** ((n % 248) - 124),
);
const between = (from: number, to: number, count = 1024): readonly number[] =>
  Array.from({ length: count }, (_, n) => Math.fround(from + ((to - from) * ((n * 389) % count)) / count));

interface Case {
  readonly name: string;
  readonly lines: string;
  readonly f: (x: number) => number;
  readonly inputs: readonly number[];
  /** Relative; below `floor` in magnitude of the result, of that. */
  readonly tolerance: number;
  readonly floor?: number;
}

const cases: readonly Case[] = [
  { name: '1 / x', lines: reciprocal, f: (x) => 1 / x, inputs: wide, tolerance: 1.5e-7 },
  { name: 'sqrt', lines: squareRoot, f: Math.sqrt, inputs: wide.map(Math.abs), tolerance: 1.5e-7 },
  { name: '1 / sqrt', lines: inverseRoot, f: (x) => 1 / Math.sqrt(x), inputs: wide.map(Math.abs), tolerance: 1.5e-7 },
  { name: 'exp', lines: exponential, f: Math.exp, inputs: between(-87, 88), tolerance: 5e-7 },
  { name: 'log', lines: logarithm, f: Math.log, inputs: wide.map(Math.abs), tolerance: 2.5e-7 },
  { name: 'log from 1 on', lines: logarithm, f: Math.log, inputs: between(1.0001, 2), tolerance: 3e-7 },
  { name: 'sin', lines: turn(true), f: Math.sin, inputs: between(-100, 100), tolerance: 2e-7, floor: 1 },
  { name: 'cos', lines: turn(false), f: Math.cos, inputs: between(-100, 100), tolerance: 2e-7, floor: 1 },
  { name: 'sin to pi / 4', lines: turn(true), f: Math.sin, inputs: between(0.001, 0.78), tolerance: 2e-7 },
  { name: 'tanh', lines: hyperbolicTangent, f: Math.tanh, inputs: between(-7.999, 7.999), tolerance: 2.5e-7 },
  { name: 'tanh of little', lines: hyperbolicTangent, f: Math.tanh, inputs: between(-1e-3, 1e-3), tolerance: 2e-7 },
  {
    name: 'sigmoid',
    lines: sigmoid,
    f: (x) => 1 / (1 + Math.exp(-x)),
    inputs: between(-15, 15),
    tolerance: 1.5e-7,
    floor: 1,
  },
];

describe('functions by lookup', () => {
  for (const { name, lines, f, inputs, tolerance, floor } of cases) {
    test(`${name}: error up to ${tolerance}${floor === undefined ? ' of the result' : ''}`, () => {
      let worst = 0;
      let where = Number.NaN;
      for (let from = 0; from + 64 <= inputs.length; from += 64) {
        const input = Float32Array.from(inputs.slice(from, from + 64));
        const got = evaluate(lines, input);
        input.forEach((x, lane) => {
          const want = f(x);
          const off = Math.abs((got[lane] as number) - want);
          const error = off === 0 ? 0 : off / Math.max(Math.abs(want), floor ?? 0);
          // A NaN is an error too, and stays.
          if (!(error <= worst) && !Number.isNaN(worst)) [worst, where] = [error, x];
        });
      }
      assert.ok(worst <= tolerance, `${worst} at ${where}`);
    });
  }
});

test('tables: bad bases are refused, every function has its own place', () => {
  for (const base of [-128, 64, Number.NaN, 0.5]) assert.throws(() => lookupTables(base), RangeError);
  const { regions } = lookupTables(TABLES);
  assert.ok(regions.length > lookupFunctions.length, 'some have two');
  const sorted = regions.toSorted((a, b) => a.address - b.address);
  sorted.slice(1).forEach((region, n) => {
    const before = sorted[n] as (typeof sorted)[number];
    assert.ok(before.address + before.bytes.length <= region.address);
  });
});

test('a function that has no table is an access to nothing, not zeros', () => {
  assert.throws(() => evaluate('lookup_1c BV32 V20, V1, 50', new Float32Array(64)), { category: 'guest' });
});

test('FCLASS and CALC_FP_SPECIAL put right what the table cannot know', () => {
  const special = [0, -0, Infinity, -Infinity, Number.NaN, 2, -4, 1e-40];
  const input = Float32Array.from({ length: 64 }, (_, n) => special[n % special.length] as number);
  const got = evaluate(
    `${reciprocal}
fclass.f32 V14, V1
calc_fp_special.f32 func=recip V20, V14, V14`,
    input,
  );
  assert.deepEqual([...got.subarray(0, 5)], [Infinity, -Infinity, 0, -0, Number.NaN]);
  assert.ok(Math.abs((got[5] as number) - 0.5) < 1e-6 && Math.abs((got[6] as number) + 0.25) < 1e-6);
  assert.equal(got[7], Infinity, 'a denormal counts as zero');
});
