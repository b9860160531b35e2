/**
 * Arithmetic of the TPC's floating-point types. Values are JavaScript numbers; bits are what registers hold.
 *
 * Rules (TPC-C Language Specification, Supported Data Types): IEEE-754, except that a denormal number counts as zero,
 * as operand and as result, and that every NaN result is 0x7FFFFFFF (bf16: 0x7FFF).
 */

import { exponentOf, type FloatFormat, type RoundingMode, roundToFormat, sumToOdd } from './rounding.ts';

export interface FloatType extends FloatFormat {
  readonly name: 'f32' | 'bf16';
  readonly bits: 16 | 32;
  readonly fractionBits: 7 | 23;
  /** Smallest positive number that is not denormal. */
  readonly minNormal: number;
  /** Bits of the one NaN that arithmetic gives. */
  readonly nan: number;
  readonly infinity: number;
  readonly sign: number;
}

export const f32: FloatType = {
  name: 'f32',
  bits: 32,
  fractionBits: 23,
  precision: 24,
  minExponent: -126,
  max: 3.4028234663852886e38,
  minNormal: 2 ** -126,
  nan: 0x7fffffff,
  infinity: 0x7f800000,
  sign: 0x80000000,
};

export const bf16: FloatType = {
  name: 'bf16',
  bits: 16,
  fractionBits: 7,
  precision: 8,
  minExponent: -126,
  max: 3.3895313892515355e38,
  minNormal: 2 ** -126,
  nan: 0x7fff,
  infinity: 0x7f80,
  sign: 0x8000,
};

const single = new Float32Array(1);
const word = new Uint32Array(single.buffer);

/** The number that bits stand for, denormals included. */
export function fromBits(type: FloatType, bits: number): number {
  word[0] = type.bits === 16 ? bits << 16 : bits;
  return single[0] as number;
}

/** The bits of a number that the type can represent. */
export function toBits(type: FloatType, x: number): number {
  if (Number.isNaN(x)) return type.nan;
  single[0] = x;
  return type.bits === 16 ? (word[0] as number) >>> 16 : (word[0] as number);
}

/** A denormal number counts as the zero of its sign. */
export function flush(type: FloatType, x: number): number {
  return Math.abs(x) < type.minNormal ? (x < 0 || Object.is(x, -0) ? -0 : 0) : x;
}

/** An operand: the number that bits stand for, denormals as zero. */
export function operand(type: FloatType, bits: number): number {
  return flush(type, fromBits(type, bits));
}

/** One rounding of an exact (or rounded-to-odd) value, and the flush of what became denormal. */
export function round(type: FloatType, x: number, mode: RoundingMode, random = 0): number {
  if (mode === 'rhne' && type.bits === 32) return flush(type, Math.fround(x));
  return flush(type, roundToFormat(x, type, mode, random));
}

export function add(type: FloatType, a: number, b: number, mode: RoundingMode, random = 0): number {
  const exact = sumToOdd(a, b);
  // IEEE-754 6.3: an exact zero sum of opposite signs is +0, and -0 when rounding down.
  if (exact === 0 && mode === 'rd' && (a !== 0 || !Object.is(a, b))) return -0;
  return round(type, exact, mode, random);
}

export function multiply(type: FloatType, a: number, b: number, mode: RoundingMode, random = 0): number {
  return round(type, a * b, mode, random);
}

/** accumulator + a * b with one rounding; `type` is that of the result, operands may be narrower. */
export function multiplyAdd(
  type: FloatType,
  a: number,
  b: number,
  accumulator: number,
  mode: RoundingMode,
  random = 0,
): number {
  // A product of two 24-bit significands has at most 48 bits and an exponent far inside binary64: it is exact.
  return add(type, a * b, accumulator, mode, random);
}

/** Order of IEEE-754: every comparison with NaN is false but `!=`. -0 equals 0. */
export const maximum = (a: number, b: number): number =>
  Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : Math.max(a, b);
export const minimum = (a: number, b: number): number =>
  Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : Math.min(a, b);

/** The bits of FCLASS, tpc-intrinsics.h: -Inf, -normal, -denormal, -0, +0, +denormal, +normal, +Inf, sNaN, qNaN. */
export const floatClass = {
  negativeInfinity: 1 << 0,
  negativeNormal: 1 << 1,
  negativeDenormal: 1 << 2,
  negativeZero: 1 << 3,
  positiveZero: 1 << 4,
  positiveDenormal: 1 << 5,
  positiveNormal: 1 << 6,
  positiveInfinity: 1 << 7,
  signalingNaN: 1 << 8,
  quietNaN: 1 << 9,
} as const;

/** The class of a number, by its bits: one bit of `floatClass`. */
export function classify(type: FloatType, bits: number): number {
  const negative = (bits & type.sign) !== 0;
  const fraction = bits & (2 ** type.fractionBits - 1);
  const exponent = (bits >>> type.fractionBits) & 0xff;
  if (exponent === 0xff && fraction !== 0) {
    // IEEE-754 6.2.1: the first bit of the fraction says quiet.
    return fraction >>> (type.fractionBits - 1) ? floatClass.quietNaN : floatClass.signalingNaN;
  }
  if (exponent === 0xff) return negative ? floatClass.negativeInfinity : floatClass.positiveInfinity;
  if (exponent !== 0) return negative ? floatClass.negativeNormal : floatClass.positiveNormal;
  if (fraction !== 0) return negative ? floatClass.negativeDenormal : floatClass.positiveDenormal;
  return negative ? floatClass.negativeZero : floatClass.positiveZero;
}

/** The integer next to x in `mode`, as a number of the same type; keeps the sign of a result that is zero. */
export function nearbyInteger(x: number, roundInteger: (x: number) => number): number {
  if (!Number.isFinite(x) || x === 0) return x;
  if (exponentOf(x) >= 52) return x;
  const rounded = roundInteger(x);
  return rounded === 0 && x < 0 ? -0 : rounded;
}
