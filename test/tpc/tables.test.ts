/** Tables of 16 and 8 bits: what lookups find in them is the function, in the steps that the vendor's kernels take. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as float from '../../src/tpc/numbers/float.ts';
import { lookupFunctions, lookupTables } from '../../src/tpc/tables/index.ts';
import type { LookupFunction } from '../../src/tpc/tables/rows.ts';
import { bench, CODE } from './fixture.ts';

const TABLES = 0x7000_0000;

function evaluate(lines: string, input: Uint16Array) {
  const text = lines
    .trim()
    .split('\n')
    .map((line) => (line.trim().startsWith('lookup') ? `${line}; nop; nop; nop` : `nop; nop; ${line}; nop`))
    .join('\n');
  const b = bench(text, { latency: 'immediate' });
  const { bases, regions } = lookupTables(TABLES);
  for (const { address, bytes } of regions) b.memory.add(address, bytes);
  bases.forEach((base, n) => {
    b.config.write(0x978 + 8 * n, base);
  });
  b.config.write(0x7b8, 1);
  b.core.start({ pc: CODE });
  b.core.state.vector(1).set(new Uint8Array(input.buffer, input.byteOffset, 256));
  assert.equal(b.core.run(200), 'halted');
  return b;
}

function half(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const value = exponent === 0 ? (bits & 1023) * 2 ** -24 : (1 + (bits & 1023) / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -value : value;
}

/** What the bits of coefficient `k` stand for. */
function decode({ format }: LookupFunction, bits: number, k: number): number {
  if (format.kind === 'bf16') return float.fromBits(float.bf16, bits);
  if (format.kind === 'f16') return half(bits);
  const integer = format.kind === 'i8' ? (bits << 24) >> 24 : (bits << 16) >> 16;
  return 'scales' in format ? integer / 2 ** (format.scales[k] as number) : Number.NaN;
}

/** Registers V8 (C0), V10 and V11 (the others) of the entries in V1. */
function lookups({ number, c0, degree }: LookupFunction): readonly [text: string, registers: readonly number[]] {
  if (degree === 0) return [`lookup_1c BV16 V8, V1, ${number}`, [8]];
  if (c0 === undefined) return [`lookup_2c BV16 D10, V1, ${number}`, [10, 11]];
  return [`lookup_1c BV16 V8, V1, ${c0}\nlookup_2c BV16 D10, V1, ${number}`, [8, 10, 11]];
}

/** Largest error of a polynomial of each degree, where the function's values are below 2. */
const tolerances = [0.032, 0.025, 0.012];

describe('every function of 16 or 8 bits', () => {
  for (const row of lookupFunctions.filter(({ format, interleaved }) => format.kind !== 'f32' && !interleaved)) {
    test(`${row.name}: ${row.doc}`, () => {
      const intervals = row.segments.flatMap(({ start, length, entries, f }) =>
        Array.from({ length: entries }, (_, n) => ({ x: start + (n * length) / entries, width: length / entries, f })),
      );
      const [text, registers] = lookups(row);
      for (let from = 0; from < intervals.length; from += 128) {
        const b = evaluate(
          text,
          Uint16Array.from({ length: 128 }, (_, n) => (from + n) & 0xff),
        );
        intervals.slice(from, from + 128).forEach(({ x, width, f }, lane) => {
          const bits = registers.map((number) => new Uint16Array(b.vector(number).buffer)[lane] as number);
          for (const d of [0.25, 0.5, 0.75].map((part) => part * width)) {
            const got = bits.reduce((sum, word, k) => sum + decode(row, word, k) * d ** k, 0);
            const off = Math.abs(got - f(x + d));
            assert.ok(off <= (tolerances[row.degree] as number), `${got} for ${f(x + d)}, of ${x + d}`);
          }
        });
      }
    });
  }
});

/** As the vendor's log_bf16: where the argument lies is in two bits of the entry. */
const logarithm = `extract_exp.bf16 V2, V1
and.u16 V3, V1, 0xfffc
get_lut_entry_and_interval_start.bf16 funcid=log D4, V3, 0
and.u16 V6, V4, 3
form_fp_num.bf16 V7, 1.0bf, V5, V5
sel_eq.u16 V8, V6, 2, V5, V7
form_fp_num.bf16 V9, V8, V1, V1
sub.bf16 V10, V9, V8
lookup_2c BV16 D12, V4, 136
mac.bf16 V12, V13, V10
convert.i16 target_type=bf16 rhne V15, V2
cmp_eq.u16 VP1, V6, 0
sub.bf16 V16, V9, 1.0bf
mul.bf16 V12, V12, V16, !VP1
add.bf16 V12, V12, V15, VP1
mul.bf16 V20, V12, 0.69314718bf`;

test('log of bf16, of every positive number: within two units of the last place, or of those at 1', () => {
  let worst = 0;
  for (let from = 0x80; from < 0x7f80; from += 128) {
    const got = new Uint16Array(
      evaluate(
        logarithm,
        Uint16Array.from({ length: 128 }, (_, n) => from + n),
      ).vector(20).buffer,
    );
    got.forEach((bits, n) => {
      const want = Math.log(float.fromBits(float.bf16, from + n));
      const error = Math.abs(float.fromBits(float.bf16, bits) - want) / Math.max(Math.abs(want), 2 ** -8);
      worst = Math.max(worst, error);
    });
  }
  assert.ok(worst <= 2 ** -6, String(worst));
});

test('results one for each argument: square roots, squares, fourth powers', () => {
  const all = (line: string, register: number) => {
    const b = evaluate(
      line,
      Uint16Array.from({ length: 128 }, (_, n) => 2 * n),
    );
    return new Uint16Array(b.vector(register).buffer);
  };
  assert.deepEqual(
    [...all('lookup_1c BV16 V8, V1, 3', 8)].slice(0, 5),
    [0, 23, 32, 39, 45].map((n) => n * 0x101),
  );
  assert.equal(all('lookup_1c BV16 V8, V1, 4', 8)[100], 200 ** 2);
  const words = evaluate(
    'lookup BV32 V8, V1, 5',
    Uint16Array.from({ length: 128 }, (_, n) => (n % 2 ? 0 : n)),
  ).vector(8);
  assert.equal(new Uint32Array(words.buffer)[63], 126 ** 4);
});

test('an index counts by its lower 8 bits', () => {
  const b = evaluate(
    'lookup_1c BV16 V8, V1, 131',
    Uint16Array.from({ length: 128 }, (_, n) => 0x300 + n),
  );
  assert.equal(
    new Uint16Array(b.vector(8).buffer)[64],
    float.toBits(float.bf16, float.round(float.bf16, 1 / 1.5, 'rhne')),
  );
});
