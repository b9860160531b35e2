/** CMP, SEL and SEL2. Floats compare by IEEE-754: -0 equals 0, NaN is unequal to everything. */

import { bitsOf, type Values } from '../lanes.ts';
import { PREDICATE_BYTES, VECTOR_BYTES } from '../layout.ts';
import type { Body } from '../machine.ts';
import { destination, laneBits, lanesReader, wordReader, wordWriter } from '../operands.ts';
import { predicateWriter } from './arithmetic.ts';
import { flagOf, typeOf } from './elementwise.ts';

type Compare = (a: number, b: number) => boolean;

const comparisons = {
  eq: (a, b) => a === b,
  neq: (a, b) => a !== b,
  less: (a, b) => a < b,
  leq: (a, b) => a <= b,
  grt: (a, b) => a > b,
  geq: (a, b) => a >= b,
} as const satisfies Record<string, Compare>;

/** With mask_eq_zero the bits of a and b are combined and compared with 0. */
const masked: Compare = (a, b) => (a & b) === 0;

const x: Values = new Float64Array(VECTOR_BYTES);
const y: Values = new Float64Array(VECTOR_BYTES);
const c: Values = new Float64Array(VECTOR_BYTES);
const d: Values = new Float64Array(VECTOR_BYTES);

function scalarCompare(compare: Compare): Body {
  return (i, m) => {
    const test = flagOf(i, 'mask_eq_zero') ? masked : compare;
    const type = test === masked ? bitsOf(typeOf(i)) : typeOf(i);
    const readA = wordReader(i, 'a', m);
    const readB = wordReader(i, 'b', m);
    const write = wordWriter(i, m);
    return () => write(test(type.fromWord(readA()), type.fromWord(readB())) ? 1 : 0);
  };
}

function vectorCompare(compare: Compare): Body {
  return (i, m) => {
    const test = flagOf(i, 'mask_eq_zero') ? masked : compare;
    const type = test === masked ? bitsOf(typeOf(i)) : typeOf(i);
    const readA = lanesReader(i, 'a', type, m);
    const readB = lanesReader(i, 'b', type, m);
    const write = predicateWriter(i, m);
    const result = new Uint8Array(PREDICATE_BYTES);
    const ones = 2 ** type.bytes - 1;
    return () => {
      readA(x);
      readB(y);
      result.fill(0);
      for (let lane = 0; lane < type.count; lane++) {
        const bit = lane * type.bytes;
        if (test(x[lane] as number, y[lane] as number)) (result[bit >> 3] as number) |= ones << (bit & 7);
      }
      write((byte) => result[byte] as number);
    };
  };
}

/** Comparison of a and b selects c or d, bit for bit; SEL2 also gives the operand that won. */
function select(compare: Compare, both: boolean): Body {
  return (i, m) => {
    const test = flagOf(i, 'mask_eq_zero') ? masked : compare;
    const bits = bitsOf(typeOf(i));
    const type = test === masked ? bits : typeOf(i);
    const readA = lanesReader(i, 'a', type, m);
    const readB = lanesReader(i, 'b', type, m);
    const readC = lanesReader(i, 'c', bits, m);
    const readD = lanesReader(i, 'd', bits, m);
    const bitsA = lanesReader(i, 'a', bits, m);
    const bitsB = lanesReader(i, 'b', bits, m);
    const length = both ? 2 * VECTOR_BYTES : VECTOR_BYTES;
    const bitOf = laneBits(type.bytes);
    const to = destination(
      i,
      m,
      length,
      Uint16Array.from({ length }, (_, at) => bitOf[at % VECTOR_BYTES] as number),
    );
    const wins = new Uint8Array(VECTOR_BYTES);
    return () => {
      readA(x);
      readB(y);
      for (let lane = 0; lane < type.count; lane++) wins[lane] = test(x[lane] as number, y[lane] as number) ? 1 : 0;
      const at = to.begin();
      readC(c);
      readD(d);
      for (let lane = 0; lane < type.count; lane++) c[lane] = (wins[lane] ? c[lane] : d[lane]) as number;
      if (both) {
        bits.write(m.state, at + VECTOR_BYTES, bits.count, c);
        bitsA(x);
        bitsB(y);
        for (let lane = 0; lane < type.count; lane++) c[lane] = (wins[lane] ? x[lane] : y[lane]) as number;
      }
      bits.write(m.state, at, bits.count, c);
      to.finish(at);
    };
  };
}

export const scalarComparisons = {
  cmp_eq: scalarCompare(comparisons.eq),
  cmp_neq: scalarCompare(comparisons.neq),
  cmp_less: scalarCompare(comparisons.less),
  cmp_leq: scalarCompare(comparisons.leq),
  cmp_grt: scalarCompare(comparisons.grt),
  cmp_geq: scalarCompare(comparisons.geq),
} as const;

export const vectorComparisons = {
  cmp_eq: vectorCompare(comparisons.eq),
  cmp_neq: vectorCompare(comparisons.neq),
  cmp_less: vectorCompare(comparisons.less),
  cmp_leq: vectorCompare(comparisons.leq),
  cmp_grt: vectorCompare(comparisons.grt),
  cmp_geq: vectorCompare(comparisons.geq),
  sel_eq: select(comparisons.eq, false),
  sel_neq: select(comparisons.neq, false),
  sel_less: select(comparisons.less, false),
  sel_leq: select(comparisons.leq, false),
  sel_grt: select(comparisons.grt, false),
  sel_geq: select(comparisons.geq, false),
  sel2_less: select(comparisons.less, true),
  sel2_leq: select(comparisons.leq, true),
  sel2_grt: select(comparisons.grt, true),
  sel2_geq: select(comparisons.geq, true),
} as const;
