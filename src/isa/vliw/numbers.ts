/** Numbers of assembly text as the 32 bits that the bundle's immediate holds. */

import { Fault } from '../expressions.ts';
import type { ScanToken } from './scanner.ts';

/** Bits of `value` as an f32, rounded to the nearest. */
export function floatBits(value: number): number {
  single[0] = value;
  return word[0] as number;
}
const single = new Float32Array(1);
const word = new Uint32Array(single.buffer);

/** Bits of a bf16: the upper half of the f32, rounded to the nearest, halves to even. */
export function bfloatBits(value: number): number {
  const bits = floatBits(value);
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Bits of an IEEE half, rounded to the nearest, halves to even. */
export function halfBits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size === 0) return sign;
  const exponent = Math.max(Math.floor(Math.log2(size)), -14);
  const scaled = size / 2 ** (exponent - 10);
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const mantissa = floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0);
  // A mantissa that was rounded up to the next power of two carries into the exponent by itself.
  return sign | ((exponent + 14) * 1024 + mantissa);
}

/** An unsigned integer; 0x, 0b, 0o, and a leading 0 for octal as in C. */
export function integerValue(text: string): bigint {
  const octal = /^0([0-7]+)$/.exec(text);
  if (octal) return BigInt(`0o${octal[1]}`);
  if (/^0\d+$/.test(text)) return BigInt(text.replace(/^0+(?=\d)/, ''));
  return BigInt(text);
}

/** @throws Fault where the value is too great or too small for its type */
export function realBits(text: string, suffix: string, negative: boolean, place: ScanToken): number {
  const size = /^0[xX]/.test(text) ? hexFloat(text) : Number(text);
  const value = negative ? -size : size;
  // As the vendor's assembler: to f32 first, so that a half is rounded twice.
  const bits = suffix === 'h' ? halfBits(Math.fround(value)) : suffix === 'bf' ? bfloatBits(value) : floatBits(value);
  const [infinity, what] = suffix === 'h' ? [0x7c00, 'f16'] : suffix === 'bf' ? [0x7f80, 'bf16'] : [0x7f800000, 'f32'];
  const magnitude = suffix === '' || suffix === 'f' ? bits & 0x7fffffff : bits & 0x7fff;
  if (magnitude >= infinity) throw new Fault(place, `${text} is too great for ${what}`);
  if (size !== 0 && magnitude === 0) throw new Fault(place, `${text} is too small for ${what}`);
  return bits >>> 0;
}

function hexFloat(text: string): number {
  const [, whole = '', fraction = '', exponent = '0'] =
    /^0[xX]([0-9a-fA-F]*)\.?([0-9a-fA-F]*)[pP]([+-]?\d+)$/.exec(text) ?? [];
  return Number.parseInt(`${whole}${fraction}` || '0', 16) * 2 ** (Number(exponent) - 4 * fraction.length);
}

/** `u16_x12C`, `i32_5`, `f32_1.25`, `bf16_2.0`: the type, and what follows it. */
export function typedNumber(name: string): { readonly type: string; readonly rest: string } | undefined {
  const match = /^([ui](?:32|16|8)|f32|f16|bf16)_(.*)$/i.exec(name);
  return match ? { type: (match[1] as string).toLowerCase(), rest: match[2] as string } : undefined;
}
