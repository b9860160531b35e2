/** Elements of tensors as JavaScript numbers, and back. */

import { bf16, fromBits, toBits } from '../numbers/float.ts';
import { integerTypes, saturate } from '../numbers/integer.ts';
import { roundToFormat, roundToInteger } from '../numbers/rounding.ts';
import { elementBytes, type TensorType } from '../tensor.ts';

/** Element `n` of dense elements at the start of `bytes`; denormals as they are. */
export function readElement(bytes: Uint8Array, type: TensorType, n: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = n * elementBytes[type];
  switch (type) {
    case 'f32':
      return view.getFloat32(at, true);
    case 'bf16':
      return fromBits(bf16, view.getUint16(at, true));
    case 'i32':
      return view.getInt32(at, true);
    case 'u32':
      return view.getUint32(at, true);
    case 'i16':
      return view.getInt16(at, true);
    case 'u16':
      return view.getUint16(at, true);
    case 'i8':
      return view.getInt8(at);
    case 'u8':
      return view.getUint8(at);
  }
}

/** The bits of `value` in a type: floats rounded to nearest, integers towards zero and saturated, NaN as integer 0. */
export function elementBits(type: TensorType, value: number): number {
  if (type === 'f32') {
    const view = new DataView(new ArrayBuffer(4));
    view.setFloat32(0, value);
    return view.getUint32(0);
  }
  if (type === 'bf16') return toBits(bf16, Number.isFinite(value) ? roundToFormat(value, bf16, 'rhne', 0) : value);
  const format = integerTypes[type];
  if (Number.isNaN(value)) return 0;
  const whole = Number.isFinite(value) ? saturate(format, roundToInteger(value, 'rz', 0)) : value;
  return Math.max(format.min, Math.min(format.max, whole)) >>> 0;
}

/** Writes `count` elements of which `value` tells each. */
export function fillElements(bytes: Uint8Array, type: TensorType, count: number, value: (n: number) => number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const width = elementBytes[type];
  if (type === 'f32') {
    for (let n = 0; n < count; n++) view.setFloat32(n * 4, value(n), true);
    return;
  }
  for (let n = 0; n < count; n++) {
    const bits = elementBits(type, value(n));
    if (width === 4) view.setUint32(n * 4, bits, true);
    else if (width === 2) view.setUint16(n * 2, bits, true);
    else view.setUint8(n, bits);
  }
}
