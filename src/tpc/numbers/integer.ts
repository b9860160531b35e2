/** Integer types of the TPC and their arithmetic; values are JavaScript numbers inside the type's range. */

import { type RoundingMode, roundToInteger } from './rounding.ts';

export interface IntegerType {
  readonly name: 'i32' | 'u32' | 'i16' | 'u16' | 'i8' | 'u8';
  readonly bits: 8 | 16 | 32;
  readonly signed: boolean;
  readonly min: number;
  readonly max: number;
}

function integer(name: IntegerType['name'], bits: 8 | 16 | 32, signed: boolean): IntegerType {
  return { name, bits, signed, min: signed ? -(2 ** (bits - 1)) : 0, max: 2 ** (signed ? bits - 1 : bits) - 1 };
}

export const integerTypes = {
  i32: integer('i32', 32, true),
  u32: integer('u32', 32, false),
  i16: integer('i16', 16, true),
  u16: integer('u16', 16, false),
  i8: integer('i8', 8, true),
  u8: integer('u8', 8, false),
} as const;

/** The low bits of an integer of up to 2^53, as a value of the type. */
export function wrap(type: IntegerType, x: number): number {
  const modulus = 2 ** type.bits;
  const low = x - Math.floor(x / modulus) * modulus;
  return low > type.max ? low - modulus : low;
}

export function saturate(type: IntegerType, x: number): number {
  return x < type.min ? type.min : x > type.max ? type.max : x;
}

/** The low 32 bits of a product of two 32-bit values. */
export function multiplyLow(type: IntegerType, a: number, b: number): number {
  return wrap(type, Math.imul(a, b) >>> 0);
}

/** Both halves of the 64-bit product of two 32-bit values, as unsigned words. */
export function multiplyWide(a: number, b: number): readonly [low: number, high: number] {
  const product = BigInt.asUintN(64, BigInt(a) * BigInt(b));
  return [Number(product & 0xffffffffn), Number(product >> 32n)];
}

/** Bits 31 to 62 of the product plus a half of bit 31: (2ab + 2^31) >> 32, saturated (MUL double_and_round32). */
export function doubleAndRound(type: IntegerType, a: number, b: number): number {
  const product = (2n * BigInt(a) * BigInt(b) + (1n << 31n)) >> 32n;
  return saturate(type, Number(product));
}

/**
 * x * 2^-shift as an integer of `type`, rounded by `mode` and saturated: what the CONVERT_INT instructions do.
 *
 * @param shift bits to the right; negative shifts to the left
 */
export function scale(type: IntegerType, x: number, shift: number, mode: RoundingMode, random = 0): number {
  return saturate(type, roundToInteger(x * 2 ** -shift, mode, random));
}

/** Bits of `x` as an unsigned number of the type's width. */
export function unsigned(bits: number, x: number): number {
  return bits === 32 ? x >>> 0 : x & (2 ** bits - 1);
}

export function countOnes(bits: number, x: number): number {
  let rest = unsigned(bits, x);
  let count = 0;
  for (; rest !== 0; rest = (rest & (rest - 1)) >>> 0) count++;
  return count;
}

export function reverseBits(bits: number, x: number): number {
  let rest = unsigned(bits, x);
  let reversed = 0;
  for (let i = 0; i < bits; i++) {
    reversed = reversed * 2 + (rest & 1);
    rest >>>= 1;
  }
  return reversed;
}

/**
 * Position, counted from bit 0, of the first bit that has the value `set`, from the lowest or from the highest bit on;
 * `bits` where there is none.
 */
export function findFirst(bits: number, x: number, set: 0 | 1, fromHighest: boolean): number {
  for (let i = 0; i < bits; i++) {
    const position = fromHighest ? bits - 1 - i : i;
    if (((x >>> position) & 1) === set) return position;
  }
  return bits;
}
