/** Bits of a bundle, in eight 32-bit words. */

import { BUNDLE_BYTES } from './bundle.ts';
import type { BitRange } from './rows.ts';

export const BUNDLE_WORDS = BUNDLE_BYTES / 4;

/** At most 32 bits, unsigned. */
export function getBits(words: Uint32Array, { lo, width }: BitRange): number {
  const index = lo >>> 5;
  const shift = lo & 31;
  let value = (words[index] as number) >>> shift;
  if (shift + width > 32) value |= (words[index + 1] as number) << (32 - shift);
  return width === 32 ? value >>> 0 : value & ((1 << width) - 1);
}

/** Words that are built: a plain list is made and freed faster than a typed one. */
export type Words = Uint32Array | number[];

export function noWords(): number[] {
  return [0, 0, 0, 0, 0, 0, 0, 0];
}

/** Sets bits by or, as the composers of bundles do. */
export function orBits(words: Words, { lo, width }: BitRange, value: number): void {
  const index = lo >>> 5;
  const shift = lo & 31;
  const bits = width === 32 ? value : value & ((1 << width) - 1);
  words[index] = (words[index] as number) | (bits << shift);
  if (shift + width > 32) words[index + 1] = (words[index + 1] as number) | (bits >>> (32 - shift));
}

/** Whether `value` fits without loss. */
export function fits(value: number, { width }: BitRange): boolean {
  return value >= 0 && value < 2 ** width;
}

/** The words of the bundle at `offset`, into `words`. */
export function readWords(bytes: Uint8Array, offset: number, words: Uint32Array): void {
  for (let i = 0, at = offset; i < BUNDLE_WORDS; i++, at += 4) {
    words[i] =
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
  }
}

export function writeWords(words: Uint32Array, bytes: Uint8Array, offset: number): void {
  bytes.set(bytesOf(words, BUNDLE_WORDS), offset);
}

/** The first `count` words, little-endian. */
export function bytesOf(words: Uint32Array, count: number): Uint8Array {
  const bytes = new Uint8Array(count * 4);
  for (let i = 0, at = 0; i < count; i++, at += 4) {
    const word = words[i] as number;
    bytes[at] = word;
    bytes[at + 1] = word >>> 8;
    bytes[at + 2] = word >>> 16;
    bytes[at + 3] = word >>> 24;
  }
  return bytes;
}
