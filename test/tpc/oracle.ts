/** IEEE-754 by exact rational arithmetic: the judge of the model's numbers. Slow, and plainly the definition. */

/** numerator / 2^shift, exactly. */
export interface Exact {
  readonly numerator: bigint;
  readonly shift: number;
}

const view = new DataView(new ArrayBuffer(8));

/** The exact value of a finite binary64. */
export function exact(x: number): Exact {
  view.setFloat64(0, x);
  const bits = view.getBigUint64(0);
  const field = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xfffffffffffffn;
  const significand = field === 0 ? fraction : fraction | (1n << 52n);
  const exponent = Math.max(field, 1) - 1075;
  const signed = bits >> 63n ? -significand : significand;
  return exponent >= 0 ? { numerator: signed << BigInt(exponent), shift: 0 } : { numerator: signed, shift: -exponent };
}

export function plus(a: Exact, b: Exact): Exact {
  const shift = Math.max(a.shift, b.shift);
  return {
    numerator: (a.numerator << BigInt(shift - a.shift)) + (b.numerator << BigInt(shift - b.shift)),
    shift,
  };
}

export function times(a: Exact, b: Exact): Exact {
  return { numerator: a.numerator * b.numerator, shift: a.shift + b.shift };
}

export type Mode = 'rhne' | 'rz' | 'ru' | 'rd' | 'rhaz';
export const modes: readonly Mode[] = ['rhne', 'rz', 'ru', 'rd', 'rhaz'];

/** numerator / denominator as an integer, rounded. The denominator is positive. */
export function divideRounded(numerator: bigint, denominator: bigint, mode: Mode): bigint {
  let floor = numerator / denominator;
  let rest = numerator % denominator;
  if (rest < 0n) {
    floor -= 1n;
    rest += denominator;
  }
  if (rest === 0n) return floor;
  const twice = 2n * rest;
  switch (mode) {
    case 'ru':
      return floor + 1n;
    case 'rd':
      return floor;
    case 'rz':
      return numerator < 0n ? floor + 1n : floor;
    case 'rhne':
      return twice > denominator || (twice === denominator && floor % 2n !== 0n) ? floor + 1n : floor;
    case 'rhaz':
      return twice > denominator || (twice === denominator && numerator > 0n) ? floor + 1n : floor;
  }
}

/** An exact value rounded to an integer. */
export function toInteger(x: Exact, mode: Mode): bigint {
  return divideRounded(x.numerator, 1n << BigInt(x.shift), mode);
}

/**
 * An exact value rounded to a format with `precision` bits, exponents from -126 to 127 and denormals, as binary64; zero has the
 * sign of the value.
 */
export function toFormat(x: Exact, precision: number, mode: Mode): number {
  if (x.numerator === 0n) return 0;
  const negative = x.numerator < 0n;
  const magnitude = negative ? -x.numerator : x.numerator;
  // The exponent of the leading bit, then the number in units of the last place.
  const exponent = Math.max(magnitude.toString(2).length - 1 - x.shift, -126);
  const unit = exponent - precision + 1;
  const scaled = unit + x.shift;
  const n = scaled >= 0 ? divideRounded(x.numerator, 1n << BigInt(scaled), mode) : x.numerator << BigInt(-scaled);
  const value = Number(n) * 2 ** unit;
  const largest = (2 - 2 ** (1 - precision)) * 2 ** 127;
  if (Math.abs(value) <= largest) return value === 0 && negative ? -0 : value;
  const stays = mode === 'rz' || (mode === 'rd' && !negative) || (mode === 'ru' && negative);
  return (negative ? -1 : 1) * (stays ? largest : Infinity);
}

/** A denormal as the zero of its sign. */
export function flushed(x: number): number {
  return Math.abs(x) < 2 ** -126 ? (x < 0 || Object.is(x, -0) ? -0 : 0) : x;
}
