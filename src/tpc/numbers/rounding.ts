/**
 * Rounding of exact values. Everything here takes and gives JavaScript numbers, which are IEEE-754 binary64: wide enough
 * to hold any product of two 24-bit significands exactly, and any sum after `sumToOdd`, so that one rounding remains.
 */

/**
 * Rounding modes as the instructions encode them (tpc_llvm InstructionDB.h, SW_RHNE..SW_RHAZ): half to even, to zero, up,
 * down, stochastic, half away from zero. `default` (5) means the mode in ROUND_CSR and never reaches this file.
 */
export type RoundingMode = 'rhne' | 'rz' | 'ru' | 'rd' | 'sr' | 'rhaz';

/** By their encoding, in switches and in ROUND_CSR. 5 is `default`, which has no meaning in the register itself. */
export const roundingModes: readonly (RoundingMode | undefined)[] = ['rhne', 'rz', 'ru', 'rd', 'sr', undefined, 'rhaz'];

const doubles = new Float64Array(1);
const words = new Uint32Array(doubles.buffer);
const quads = new BigInt64Array(doubles.buffer);

/** Floor of log2 |x| for a finite x that is not 0 and not a denormal of binary64. */
export function exponentOf(x: number): number {
  doubles[0] = x;
  return (((words[1] as number) >>> 20) & 0x7ff) - 1023;
}

/** 2 to the power n, exactly, for n from -1022 to 1023. */
export function power2(n: number): number {
  words[0] = 0;
  words[1] = (n + 1023) << 20;
  return doubles[0] as number;
}

/**
 * a + b rounded to odd: the sum if it is exact, else of its two neighbours in binary64 the one whose last bit is 1. A
 * further rounding to 51 bits or fewer then gives what one rounding of the exact sum gives, in any mode.
 */
export function sumToOdd(a: number, b: number): number {
  const sum = a + b;
  const bb = sum - a;
  const error = a - (sum - bb) + (b - bb);
  if (!(error > 0 || error < 0)) return sum;
  doubles[0] = sum;
  if ((words[0] as number) & 1) return sum;
  // The sum is even and not exact: step towards the exact value, which is one unit of the last place in magnitude.
  quads[0] = (quads[0] as bigint) + (error > 0 === sum > 0 ? 1n : -1n);
  return doubles[0];
}

/**
 * The integer that `mode` makes of x.
 *
 * @param x finite
 * @param random for `sr`: from 0 to below 1; the magnitude is rounded up when its fraction plus this reaches 1
 */
export function roundToInteger(x: number, mode: RoundingMode, random = 0): number {
  const below = Math.floor(x);
  const fraction = x - below;
  if (fraction === 0) return x;
  switch (mode) {
    case 'rhne':
      if (fraction !== 0.5) return fraction < 0.5 ? below : below + 1;
      return below % 2 === 0 ? below : below + 1;
    case 'rz':
      return x < 0 ? below + 1 : below;
    case 'ru':
      return below + 1;
    case 'rd':
      return below;
    case 'rhaz':
      if (fraction !== 0.5) return fraction < 0.5 ? below : below + 1;
      return x < 0 ? below : below + 1;
    case 'sr': {
      const away = x < 0 ? 1 - fraction : fraction;
      const up = away + random >= 1;
      return x < 0 === up ? below : below + 1;
    }
  }
}

/** A binary floating-point format: `precision` counts the hidden bit; exponents are those of the leading bit. */
export interface FloatFormat {
  readonly precision: number;
  readonly minExponent: number;
  readonly max: number;
}

/**
 * x rounded once to `format`, with its denormals. Too large becomes infinity or the largest number, as IEEE-754 4.3 has
 * it for the mode; `sr` overflows to infinity.
 */
export function roundToFormat(x: number, format: FloatFormat, mode: RoundingMode, random = 0): number {
  if (x === 0 || !Number.isFinite(x)) return x;
  const exponent = Math.max(exponentOf(x), format.minExponent);
  const unit = power2(exponent - format.precision + 1);
  const rounded = roundToInteger(x / unit, mode, random) * unit;
  if (rounded === 0) return x < 0 ? -0 : 0;
  if (Math.abs(rounded) <= format.max) return rounded;
  const largest = mode === 'rz' || (mode === 'rd' && x > 0) || (mode === 'ru' && x < 0);
  if (largest) return x < 0 ? -format.max : format.max;
  return x < 0 ? -Infinity : Infinity;
}
