/** Functions by lookup table, in the way that public kernels compute them, against binary64: what the model reads into the instructions must give the functions. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bench, CODE } from './fixture.ts';

const TABLES = 0x7000_0000;
const TABLE_WORDS = (13 * 128) / 4;

/** Coefficients of one table: C0 + x * (C1 + x * C2) around the start of each interval. */
function fill(
  table: Float32Array,
  starts: readonly number[],
  taylor: (start: number) => readonly [number, number, number],
) {
  starts.forEach((start, entry) => {
    table.set(taylor(start), entry * 3 + 2 * Math.floor(entry / 10));
  });
}

function tables(): Uint8Array {
  const words = new Float32Array(2 * TABLE_WORDS);
  // Function 128: square roots of [1, 2) and of [2, 4); function 129: reciprocals of [1, 2).
  const sqrt = Array.from({ length: 128 }, (_, n) => (n < 64 ? 1 + n / 64 : 2 + (n - 64) / 32));
  fill(words.subarray(0, TABLE_WORDS), sqrt, (s) => [Math.sqrt(s), 0.5 / Math.sqrt(s), -0.125 * s ** -1.5]);
  const recip = Array.from({ length: 128 }, (_, n) => 1 + n / 128);
  fill(words.subarray(TABLE_WORDS), recip, (s) => [1 / s, -1 / s ** 2, 1 / s ** 3]);
  return new Uint8Array(words.buffer);
}

function evaluate(lines: string, input: Float32Array): Float32Array {
  const b = bench(
    lines
      .trim()
      .split('\n')
      .map((line) => (line.trim().startsWith('lookup') ? `${line}; nop; nop; nop` : `nop; nop; ${line}; nop`))
      .join('\n'),
    { latency: 'immediate' },
  );
  b.memory.add(TABLES, tables());
  b.config.write(0x978 + 16, TABLES);
  b.config.write(0x7b8, 1);
  b.core.start({ pc: CODE });
  b.core.state.vector(1).set(new Uint8Array(input.buffer, input.byteOffset, 256));
  assert.equal(b.core.run(100), 'halted');
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

const squareRoot = `extract_exp.f32 V2, V1
and.i32 V3, V2, 1
form_fp_num.f32 exp_is_num exp_add_bias V4, V3, V1, V1
get_lut_entry_and_interval_start.f32 funcid=sqrt_rsqrt D6, V4, 17
sub.f32 V12, V4, V7${polynomial('V6', 'V12', 128)}
sub.i32 V2, V2, V3
ash.i32 V2, V2, -1
shl.i32 V2, V2, 23
add.i32 V20, V8, V2`;

function compare(lines: string, f: (x: number) => number, inputs: readonly number[], tolerance: number) {
  for (let from = 0; from + 64 <= inputs.length; from += 64) {
    const input = Float32Array.from(inputs.slice(from, from + 64));
    const got = evaluate(lines, input);
    input.forEach((x, lane) => {
      const want = f(x);
      assert.ok(Math.abs((got[lane] as number) / want - 1) < tolerance, `${x}: ${got[lane]} for ${want}`);
    });
  }
}

test('reciprocal by lookup: relative error below 1e-6 over all exponents, both signs', () => {
  const inputs = Array.from(
    { length: 256 },
    (_, n) => (n % 2 ? -1 : 1) * (1 + ((n * 97) % 128) / 128.3) * 2 ** ((n % 120) - 60),
  );
  compare(reciprocal, (x) => 1 / x, inputs, 1e-6);
});

test('square root by lookup: relative error below 1e-6 over even and odd exponents', () => {
  const inputs = Array.from({ length: 256 }, (_, n) => (1 + ((n * 89) % 128) / 128.3) * 2 ** ((n % 121) - 60));
  compare(squareRoot, Math.sqrt, inputs, 1e-6);
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
