/**
 * Functions that kernels look up, one row each: what their table approximates on which intervals. Numbers, sizes and the
 * order of the intervals, formats and scales are those of the vendor's library (tpc_llvm, tpc-defs.h: e_function_id, and the
 * functions of tpc-special.h; SynapseAI_Core, SpecialFuncCoefficientsGen2.cpp: which tables there are, and what is in them).
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

/** How coefficients are written: floats, or integers of a coefficient times 2 to the power of its scale. */
export type CoefficientFormat =
  | { readonly kind: 'f32' | 'bf16' | 'f16' }
  | { readonly kind: 'i16' | 'i8'; readonly scales: readonly number[] };

interface LookupTable {
  /**
   * Bits 8:7 the class of its table (256, 128, 64, 32 entries), 6:0 the place within the class. Of quadratics of 16 or 8 bits,
   * the table of C1 and C2.
   */
  readonly number: number;
  readonly name: string;
  readonly doc: string;
}

/** Polynomials: C0 (degree 0), C0 and C1, or C0, C1 and C2. */
export interface LookupFunction extends LookupTable {
  /** The table of C0 alone, where it has one of its own. */
  readonly c0?: number;
  /** How GET_LUT_ENTRY_AND_INTERVAL_START finds the entry; undefined for numbers in fixed point. */
  readonly variant?: LutVariant;
  readonly format: CoefficientFormat;
  readonly degree: 0 | 1 | 2;
  readonly segments: readonly Segment[];
  /** Entry n of the first segment, of the second, ...; then entry n + 1 of each. Else one segment after the other. */
  readonly interleaved?: true;
}

/** Results themselves, one for each argument. */
export interface LookupValues extends LookupTable {
  /** Bytes of an entry, and of the value: what is narrower is repeated. */
  readonly bytes: 2 | 4;
  readonly valueBytes: 1 | 2 | 4;
  readonly f: (n: number) => number;
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

const log2Of = { one: (x: number) => log2OverDistance(x), other: Math.log2 };
const hyperbolic = (bands: number, entries: number): readonly Segment[] => [
  { start: 0, length: 1, entries, f: tanhOverX },
  ...octaves(1, bands - 1, entries, Math.tanh),
];
const sineAndCosine = (entries: number): readonly Segment[] => [
  { start: 0, length: 1, entries, f: sinOverX },
  { start: 0, length: 1, entries, f: Math.cos },
];
const f32 = { kind: 'f32' } as const;
const bf16 = { kind: 'bf16' } as const;
const f16 = { kind: 'f16' } as const;

const single: readonly LookupFunction[] = [
  {
    number: 0,
    name: 'fp32_tanh',
    variant: 'tanh',
    format: f32,
    degree: 2,
    segments: hyperbolic(4, 64),
    doc: 'tanh(x) / x below 1, to be multiplied by x; tanh(x) in [1, 8).',
  },
  {
    number: 1,
    name: 'fp32_rsqrt',
    variant: 'sqrt_rsqrt',
    format: f32,
    degree: 2,
    segments: octaves(1, 2, 128, inverseRoot),
    doc: '1 / sqrt(x) in [1, 4).',
  },
  {
    number: 2,
    name: 'fp32_log2',
    variant: 'default',
    format: f32,
    degree: 2,
    segments: [
      { start: 1, length: 1, entries: 128, f: log2Of.one },
      { start: 1, length: 1, entries: 128, f: log2Of.other },
    ],
    doc: 'log2(x) / (x - 1) in [1, 2), for numbers of exponent 0, to be multiplied by x - 1; from entry 128 on log2(x).',
  },
  {
    number: 128,
    name: 'fp32_sqrt',
    variant: 'sqrt_rsqrt',
    format: f32,
    degree: 2,
    segments: octaves(1, 2, 64, Math.sqrt),
    doc: 'sqrt(x) in [1, 4).',
  },
  {
    number: 129,
    name: 'fp32_rcp',
    variant: 'default',
    format: f32,
    degree: 2,
    segments: octaves(1, 1, 128, inverse),
    doc: '1 / x in [1, 2).',
  },
  {
    number: 130,
    name: 'fp32_sin_cos',
    variant: 'sin_cos',
    format: f32,
    degree: 2,
    segments: sineAndCosine(64),
    doc: 'sin(x) / x in [0, 1), to be multiplied by x; from entry 64 on cos(x).',
  },
  {
    number: 256,
    name: 'fp32_pow2',
    variant: 'default',
    format: f32,
    degree: 2,
    segments: octaves(1, 1, 64, (x) => 2 ** (x - 1)),
    doc: '2 ** (x - 1) for x in [1, 2): powers of a fraction whose leading 1 is still there.',
  },
];

/** Of a function in bf16: intervals of 2 ** -m, and numbers of the tables of constants, lines, and quadratics (C1 and C2, C0). */
interface Narrow {
  readonly name: string;
  readonly variant: LutVariant;
  readonly segments: (entries: number) => readonly Segment[];
  readonly doc: string;
  readonly scalar?: Readonly<Record<number, number>>;
  readonly linear?: Readonly<Record<number, number>>;
  readonly poly2?: Readonly<Record<number, readonly [number, number]>>;
}

const narrow: readonly Narrow[] = [
  {
    name: 'rcp',
    variant: 'default',
    segments: (entries) => octaves(1, 1, entries, inverse),
    doc: '1 / x in [1, 2)',
    scalar: { 7: 131 },
    linear: { 2: 399, 3: 400, 4: 401 },
    poly2: { 2: [402, 405], 3: [403, 406], 4: [404, 407] },
  },
  {
    name: 'sqrt',
    variant: 'sqrt_rsqrt',
    segments: (entries) => octaves(1, 2, entries, Math.sqrt),
    doc: 'sqrt(x) in [1, 4)',
    scalar: { 6: 276 },
    linear: { 2: 409, 3: 410, 4: 411 },
    poly2: { 2: [412, 415], 3: [413, 416], 4: [414, 417] },
  },
  {
    name: 'tanh',
    variant: 'tanh',
    segments: (entries) => hyperbolic(3, entries),
    doc: 'tanh(x) / x below 1, to be multiplied by x; tanh(x) in [1, 4)',
    linear: { 2: 418, 3: 419, 4: 273 },
    poly2: { 2: [421, 424], 3: [422, 425], 4: [274, 275] },
  },
  {
    name: 'sin_cos',
    variant: 'sin_cos',
    segments: sineAndCosine,
    doc: 'sin(x) / x in [0, 1), to be multiplied by x; then cos(x)',
    scalar: { 7: 132 },
    linear: { 2: 427, 3: 428, 4: 429, 5: 278, 6: 133 },
    poly2: { 2: [430, 431], 3: [432, 433], 4: [434, 435], 5: [279, 280], 6: [134, 135] },
  },
];

function families(): LookupFunction[] {
  return narrow.flatMap(({ name, variant, segments, doc, scalar = {}, linear = {}, poly2 = {} }) => {
    const row = (kind: string, m: string, degree: 0 | 1 | 2, number: number, c0?: number): LookupFunction => ({
      number,
      ...(c0 === undefined ? {} : { c0 }),
      name: `bf16_${name}_${kind}_m${m}`,
      variant,
      format: bf16,
      degree,
      segments: segments(2 ** Number(m)),
      doc: `${doc}.`,
    });
    return [
      ...Object.entries(scalar).map(([m, number]) => row('scalar', m, 0, number)),
      ...Object.entries(linear).map(([m, number]) => row('linear', m, 1, number)),
      ...Object.entries(poly2).map(([m, [number, c0]]) => row('poly2', m, 2, number, c0)),
    ];
  });
}

const half: readonly LookupFunction[] = [
  ...families(),
  {
    number: 288,
    name: 'bf16_rcp_m7_c0',
    variant: 'default',
    format: bf16,
    degree: 0,
    segments: octaves(1, 1, 128, inverse),
    doc: '1 / x in [1, 2).',
  },
  {
    number: 384,
    name: 'bf16_rsqrt',
    variant: 'sqrt_rsqrt',
    format: bf16,
    degree: 1,
    segments: octaves(1, 2, 8, inverseRoot),
    doc: '1 / sqrt(x) in [1, 4).',
  },
  {
    number: 389,
    c0: 396,
    name: 'bf16_pow2',
    variant: 'default',
    format: bf16,
    degree: 2,
    segments: octaves(1, 1, 4, (x) => 2 ** (x - 1)),
    doc: '2 ** (x - 1) for x in [1, 2).',
  },
  {
    number: 277,
    name: 'bf16_log2_linear_m5',
    variant: 'default',
    format: bf16,
    degree: 1,
    segments: [
      { start: 1, length: 1, entries: 32, f: log2Of.one },
      { start: 1, length: 1, entries: 32, f: log2Of.other },
    ],
    doc: 'log2(x) / (x - 1) in [1, 2), for numbers of exponent 0, to be multiplied by x - 1; from entry 32 on log2(x).',
  },
  {
    number: 136,
    name: 'bf16_log2_linear_interleaved_m5',
    variant: 'log',
    format: bf16,
    degree: 1,
    interleaved: true,
    segments: [
      { start: 1, length: 1, entries: 32, f: log2Of.other },
      { start: 1, length: 1, entries: 32, f: log2Of.one },
      { start: 0.5, length: 0.5, entries: 32, f: (x) => (x < 0.75 ? 0 : log2OverDistance(x)) },
      { start: 0, length: 1, entries: 32, f: () => 0 },
    ],
    doc: 'By the lowest two bits of the entry: 0 log2(x) in [1, 2); log2(x) / (x - 1), 1 in [1, 2), 2 in [0.75, 1).',
  },
  {
    number: 426,
    name: 'bf16_log2m1_linear_m4',
    variant: 'default',
    format: bf16,
    degree: 1,
    segments: [{ start: 0.75, length: 0.25, entries: 4, f: log2OverDistance }],
    doc: 'log2(x) / (x - 1) in [0.75, 1).',
  },
  // These are called bf16, and their coefficients are numbers of binary16.
  {
    number: 257,
    c0: 265,
    name: 'bf16_tanh',
    variant: 'tanh',
    format: f16,
    degree: 2,
    segments: hyperbolic(4, 16),
    doc: 'tanh(x) / x below 1, to be multiplied by x; tanh(x) in [1, 8). Coefficients of binary16.',
  },
  {
    number: 385,
    c0: 392,
    name: 'bf16_log2',
    variant: 'default',
    format: f16,
    degree: 2,
    segments: [
      { start: 1, length: 1, entries: 8, f: log2Of.one },
      { start: 1, length: 1, entries: 8, f: log2Of.other },
    ],
    doc: 'log2(x) / (x - 1) in [1, 2), to be multiplied by x - 1; from entry 8 on log2(x). Coefficients of binary16.',
  },
  {
    number: 386,
    c0: 393,
    name: 'bf16_sqrt',
    variant: 'sqrt_rsqrt',
    format: f16,
    degree: 2,
    segments: octaves(1, 2, 4, Math.sqrt),
    doc: 'sqrt(x) in [1, 4). Coefficients of binary16.',
  },
  {
    number: 387,
    c0: 394,
    name: 'bf16_rcp',
    variant: 'default',
    format: f16,
    degree: 2,
    segments: octaves(1, 1, 8, inverse),
    doc: '1 / x in [1, 2). Coefficients of binary16.',
  },
  {
    number: 388,
    c0: 395,
    name: 'bf16_sin_cos',
    variant: 'sin_cos',
    format: f16,
    degree: 2,
    segments: sineAndCosine(16),
    doc: 'sin(x) / x in [0, 1), to be multiplied by x; from entry 16 on cos(x). Coefficients of binary16.',
  },
];

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const negativeExponential = (x: number): number => Math.exp(-x);

const fixed: readonly LookupFunction[] = [
  {
    number: 258,
    c0: 266,
    name: 'i16_tanh',
    format: { kind: 'i16', scales: [15, 14, 16] },
    degree: 2,
    segments: [{ start: 0, length: 8, entries: 64, f: Math.tanh }],
    doc: 'tanh(x) in [0, 8). C0 times 2^15, C1 times 2^14, C2 times 2^16.',
  },
  {
    number: 259,
    c0: 267,
    name: 'i16_sigmoid',
    format: { kind: 'i16', scales: [15, 16, 19] },
    degree: 2,
    segments: [{ start: 0, length: 8, entries: 64, f: sigmoid }],
    doc: '1 / (1 + exp(-x)) in [0, 8). C0 times 2^15, C1 times 2^16, C2 times 2^19.',
  },
  {
    number: 260,
    c0: 268,
    name: 'i16_exp_neg',
    format: { kind: 'i16', scales: [15, 15, 16] },
    degree: 2,
    segments: [{ start: 0, length: 16, entries: 64, f: negativeExponential }],
    doc: 'exp(-x) in [0, 16). C0 and C1 times 2^15, C2 times 2^16.',
  },
  {
    number: 261,
    c0: 269,
    name: 'i16_rcp',
    format: { kind: 'i16', scales: [15, 15, 15] },
    degree: 2,
    segments: [
      { start: 0, length: 1, entries: 16, f: () => 0 },
      { start: 1, length: 3, entries: 48, f: inverse },
    ],
    doc: '1 / x in [1, 4), from entry 16 on; 0 below. Coefficients times 2^15.',
  },
  {
    number: 262,
    name: 'i8_tanh_linear',
    format: { kind: 'i8', scales: [7, 7] },
    degree: 1,
    segments: [{ start: 0, length: 8, entries: 64, f: Math.tanh }],
    doc: 'tanh(x) in [0, 8). Coefficients times 2^7.',
  },
  {
    number: 263,
    name: 'i8_sigmoid_linear',
    format: { kind: 'i8', scales: [7, 9] },
    degree: 1,
    segments: [{ start: 0, length: 8, entries: 64, f: sigmoid }],
    doc: '1 / (1 + exp(-x)) in [0, 8). C0 times 2^7, C1 times 2^9.',
  },
  {
    number: 264,
    name: 'i8_exp_linear',
    format: { kind: 'i8', scales: [7, 7] },
    degree: 1,
    segments: [{ start: 0, length: 8, entries: 64, f: negativeExponential }],
    doc: 'exp(-x) in [0, 8). Coefficients times 2^7.',
  },
  {
    number: 390,
    c0: 397,
    name: 'i8_tanh',
    format: { kind: 'i8', scales: [7, 6, 8] },
    degree: 2,
    segments: [{ start: 0, length: 4, entries: 32, f: Math.tanh }],
    doc: 'tanh(x) in [0, 4). C0 times 2^7, C1 times 2^6, C2 times 2^8.',
  },
];

export const lookupFunctions: readonly LookupFunction[] = [...single, ...half, ...fixed];

export const lookupValues: readonly LookupValues[] = [
  {
    number: 3,
    name: 'i8_sqrt',
    bytes: 2,
    valueBytes: 1,
    f: (n) => Math.round(16 * Math.sqrt(n)),
    doc: '16 * sqrt(n).',
  },
  { number: 4, name: 'u16_sqrt', bytes: 2, valueBytes: 2, f: (n) => n * n, doc: 'n * n, whatever its name says.' },
  { number: 5, name: 'u32_power4', bytes: 4, valueBytes: 4, f: (n) => n ** 4, doc: 'n to the 4th.' },
];
