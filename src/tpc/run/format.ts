/** Numbers as people read them. */

import type { TensorType } from '../tensor.ts';
import { readElement } from './elements.ts';

/** A number in as few digits as say which f32 it is, or nearly. */
export function numberText(value: number, float: boolean): string {
  if (Object.is(value, -0)) return '-0';
  if (!float || !Number.isFinite(value)) return String(value);
  const short = Number(value.toPrecision(7));
  if (short === 0 || (Math.abs(short) >= 1e-4 && Math.abs(short) < 1e7)) return String(short);
  return short.toExponential();
}

export function elementText(bytes: Uint8Array, type: TensorType, n: number): string {
  return numberText(readElement(bytes, type, n), type === 'f32' || type === 'bf16');
}
