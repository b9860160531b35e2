/** What the instructions for special functions compute: parts of numbers, table indices, and results at special values. */

import { ModelError } from '../../sim/errors.ts';
import { type FloatType, floatClass, toBits } from './float.ts';

/** EXTRACT_EXP: the exponent field, less the bias unless `biased`. */
export function extractExponent(type: FloatType, bits: number, biased: boolean): number {
  const field = (bits >>> type.fractionBits) & 0xff;
  return biased ? field : field - 127;
}

export interface FormOptions {
  readonly addBias: boolean;
  readonly forceSign: 0 | 1 | undefined;
  /** The exponent operand is an 8-bit number, not a number of the type whose field counts. */
  readonly exponentIsNumber: boolean;
  /** The sign is bit 0 of its operand. */
  readonly signFromLsb: boolean;
}

/** FORM_FP_NUM: exponent, sign and fraction of three operands put together. Pure bits: nothing is rounded or flushed. */
export function formNumber(
  type: FloatType,
  exponent: number,
  sign: number,
  fraction: number,
  options: FormOptions,
): number {
  const field = options.exponentIsNumber ? exponent : exponent >>> type.fractionBits;
  const biased = (field + (options.addBias ? 127 : 0)) & 0xff;
  const negative = options.forceSign ?? (options.signFromLsb ? sign & 1 : sign & type.sign ? 1 : 0);
  const bits = (negative ? type.sign : 0) + biased * 2 ** type.fractionBits + (fraction & (2 ** type.fractionBits - 1));
  return bits;
}

export type LutVariant = 'default' | 'tanh' | 'sqrt_rsqrt' | 'sin_cos' | 'log';

/**
 * GET_LUT_ENTRY_AND_INTERVAL_START: which interval of a function's table x falls into, and where that begins. `shift` is
 * how many low bits of the fraction lie inside an interval, so 2^m intervals with m = fraction bits - shift:
 *
 * - default: x's fraction counts, whatever its exponent. Entries 0 to 2^m - 1.
 * - sqrt_rsqrt: x in [1, 4): 2^m entries for even exponents, then 2^m for odd ones.
 * - sin_cos: x in [0, 1) as a fixed-point number: entries of equal width.
 * - tanh: as sin_cos below 1, then 2^m entries for each of [1, 2), [2, 4), [4, 8).
 * - log: x's fraction, and in the lowest two bits where x is: 1 in [1, 2), 2 in [0.75, 1), else 0. Who asks clears these bits
 *   first, and selects by them afterwards (Habana_Custom_Kernel, log_bf16).
 */
export function lutEntry(
  type: FloatType,
  bits: number,
  shift: number,
  variant: LutVariant,
): { readonly entry: number; readonly start: number } {
  if (shift < 0 || shift > type.fractionBits) {
    throw new ModelError(
      'undefined',
      'get_lut_entry_and_interval_start',
      `a shift of ${shift} of a fraction of ${type.fractionBits} bits`,
    );
  }
  const fraction = bits & (2 ** type.fractionBits - 1);
  const exponent = extractExponent(type, bits, false);
  const m = type.fractionBits - shift;
  const low = 2 ** shift - 1;
  const start = (bits & ~low) >>> 0;
  switch (variant) {
    case 'default':
      return { entry: fraction >>> shift, start };
    case 'sqrt_rsqrt':
      return { entry: (fraction >>> shift) + (exponent & 1 ? 2 ** m : 0), start };
    case 'sin_cos':
    case 'tanh': {
      if (exponent >= 0) {
        const band = variant === 'tanh' ? exponent + 1 : 0;
        return { entry: (fraction >>> shift) + band * 2 ** m, start };
      }
      const entry = exponent < -31 ? 0 : ((fraction | (1 << type.fractionBits)) >>> -exponent) >>> shift;
      return { entry, start: toBits(type, entry * 2 ** -m) };
    }
    case 'log': {
      const upperHalf = fraction >>> (type.fractionBits - 1) === 1;
      const place = exponent === 0 ? 1 : exponent === -1 && upperHalf ? 2 : 0;
      return { entry: (fraction >>> shift) | place, start };
    }
  }
}

export type SpecialFunction = 'recip' | 'rsqrt' | 'sqrt' | 'log' | 'exp' | 'tanh' | 'div' | 'pow';

const ZERO =
  floatClass.negativeZero | floatClass.negativeDenormal | floatClass.positiveZero | floatClass.positiveDenormal;
const INFINITY = floatClass.negativeInfinity | floatClass.positiveInfinity;
const NAN = floatClass.signalingNaN | floatClass.quietNaN;
const NEGATIVE =
  floatClass.negativeInfinity | floatClass.negativeNormal | floatClass.negativeDenormal | floatClass.negativeZero;

/** A number of each class that the rules below look at: only sign, zero, infinity and NaN count. */
function representative(mask: number): number {
  if (mask & NAN) return Number.NaN;
  const sign = mask & NEGATIVE ? -1 : 1;
  if (mask & INFINITY) return sign * Infinity;
  return mask & ZERO ? sign * 0 : sign;
}

/**
 * CALC_FP_SPECIAL: the value of a function where the class of its arguments decides it, undefined where it does not
 * (the destination keeps its value there). Classes are results of FCLASS; denormals count as zero.
 */
export function specialValue(type: FloatType, name: SpecialFunction, x: number, y: number): number | undefined {
  const value = special(name, x, y);
  return value === undefined ? undefined : toBits(type, value);
}

function special(name: SpecialFunction, xClass: number, yClass: number): number | undefined {
  const x = representative(xClass);
  const finite = (xClass & (ZERO | INFINITY | NAN)) === 0;
  switch (name) {
    case 'recip':
      return finite ? undefined : 1 / x;
    case 'rsqrt':
      if (x === 0) return 1 / x;
      if (x < 0) return Number.NaN;
      return finite ? undefined : 1 / Math.sqrt(x);
    case 'sqrt':
      if (x < 0) return Number.NaN;
      return finite ? undefined : Math.sqrt(x);
    case 'log':
      if (x < 0) return Number.NaN;
      return finite ? undefined : Math.log(x);
    case 'exp':
      return finite ? undefined : Math.exp(x);
    case 'tanh':
      return finite ? undefined : Math.tanh(x);
    case 'div': {
      const other = (yClass & (ZERO | INFINITY | NAN)) === 0;
      return finite && other ? undefined : x / representative(yClass);
    }
    case 'pow': {
      const y = representative(yClass);
      const other = (yClass & (ZERO | INFINITY | NAN)) === 0;
      if (y === 0) return 1;
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.NaN;
      if (finite) return undefined; // also y infinite: |x| against 1 is not in the class
      if (!other) return x ** y;
      // A negative zero or infinity: whether y is an odd integer decides the sign, and is not in the class.
      return xClass & NEGATIVE ? undefined : x ** y;
    }
  }
}
