/**
 * Functions that kernels look up, one row each: what their table approximates on which intervals. Numbers, sizes and the
 * order of the intervals are those of the vendor's library (tpc_llvm, tpc-special.h: e_function_id and the functions that
 * look up; SynapseAI_Core, SpecialFuncCoefficientsGen2.cpp: which tables there are, and that rsqrt and log2 hold two of them).
 */

import type { LutVariant } from '../numbers/special.ts';

/** Consecutive entries: intervals of equal length from `start` on. */
export interface Segment {
  readonly start: number;
  /** Length of all its intervals together. */
  readonly length: number;
  readonly entries: number;
  readonly f: (x: number) => number;
}

export interface LookupFunction {
  /** Bits 8:7 the class of its table (256, 128, 64, 32 entries), 6:0 the place within the class. */
  readonly number: number;
  readonly name: string;
  /** How GET_LUT_ENTRY_AND_INTERVAL_START finds the entry. */
  readonly variant: LutVariant;
  readonly segments: readonly Segment[];
  readonly doc: string;
}

/** Segments that follow each other, [start, 2 * start) and so on, with the same number of entries. */
function octaves(first: number, count: number, entries: number, f: (x: number) => number): readonly Segment[] {
  return Array.from({ length: count }, (_, n) => ({ start: first * 2 ** n, length: first * 2 ** n, entries, f }));
}

const inverse = (x: number): number => 1 / x;
const inverseRoot = (x: number): number => 1 / Math.sqrt(x);
const tanhOverX = (x: number): number => (x === 0 ? 1 : Math.tanh(x) / x);
const sinOverX = (x: number): number => (x === 0 ? 1 : Math.sin(x) / x);
const log2OverDistance = (x: number): number => (x === 1 ? Math.LOG2E : (Math.log1p(x - 1) * Math.LOG2E) / (x - 1));

export const lookupFunctions = [
  {
    number: 0,
    name: 'fp32_tanh',
    variant: 'tanh',
    segments: [{ start: 0, length: 1, entries: 64, f: tanhOverX }, ...octaves(1, 3, 64, Math.tanh)],
    doc: 'tanh(x) / x below 1, to be multiplied by x; tanh(x) in [1, 8).',
  },
  {
    number: 1,
    name: 'fp32_rsqrt',
    variant: 'sqrt_rsqrt',
    segments: octaves(1, 2, 128, inverseRoot),
    doc: '1 / sqrt(x) in [1, 4).',
  },
  {
    number: 2,
    name: 'fp32_log2',
    variant: 'default',
    segments: [
      { start: 1, length: 1, entries: 128, f: log2OverDistance },
      { start: 1, length: 1, entries: 128, f: Math.log2 },
    ],
    doc: 'log2(x) / (x - 1) in [1, 2), for numbers of exponent 0, to be multiplied by x - 1; from entry 128 on log2(x).',
  },
  {
    number: 128,
    name: 'fp32_sqrt',
    variant: 'sqrt_rsqrt',
    segments: octaves(1, 2, 64, Math.sqrt),
    doc: 'sqrt(x) in [1, 4).',
  },
  {
    number: 129,
    name: 'fp32_rcp',
    variant: 'default',
    segments: octaves(1, 1, 128, inverse),
    doc: '1 / x in [1, 2).',
  },
  {
    number: 130,
    name: 'fp32_sin_cos',
    variant: 'sin_cos',
    segments: [
      { start: 0, length: 1, entries: 64, f: sinOverX },
      { start: 0, length: 1, entries: 64, f: Math.cos },
    ],
    doc: 'sin(x) / x in [0, 1), to be multiplied by x; from entry 64 on cos(x).',
  },
  {
    number: 256,
    name: 'fp32_pow2',
    variant: 'default',
    segments: octaves(1, 1, 64, (x) => 2 ** (x - 1)),
    doc: '2 ** (x - 1) for x in [1, 2): powers of a fraction whose leading 1 is still there.',
  },
] as const satisfies readonly LookupFunction[];
