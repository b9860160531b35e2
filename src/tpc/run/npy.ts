/**
 * Arrays in files of NumPy (numpy/lib/format.py, version 1.0): a header in text, then the elements. NumPy names the slowest
 * dimension first, tensors the fastest: sizes here are in the order of tensors. bf16, which NumPy lacks, is f32 in files.
 */

import { UserError } from '../../sim/errors.ts';
import type { TensorType } from '../tensor.ts';
import { readElement } from './elements.ts';

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];

interface FileType {
  readonly bytes: number;
  readonly read: (view: DataView, at: number) => number;
}

const fileTypes: Readonly<Record<string, FileType>> = {
  '<f4': { bytes: 4, read: (v, at) => v.getFloat32(at, true) },
  '<f8': { bytes: 8, read: (v, at) => v.getFloat64(at, true) },
  '<i4': { bytes: 4, read: (v, at) => v.getInt32(at, true) },
  '<u4': { bytes: 4, read: (v, at) => v.getUint32(at, true) },
  '<i2': { bytes: 2, read: (v, at) => v.getInt16(at, true) },
  '<u2': { bytes: 2, read: (v, at) => v.getUint16(at, true) },
  '|i1': { bytes: 1, read: (v, at) => v.getInt8(at) },
  '|u1': { bytes: 1, read: (v, at) => v.getUint8(at) },
};

const descriptions: Readonly<Record<TensorType, string>> = {
  f32: '<f4',
  bf16: '<f4',
  i32: '<i4',
  u32: '<u4',
  i16: '<i2',
  u16: '<u2',
  i8: '|i1',
  u8: '|u1',
};

export interface NpyArray {
  readonly sizes: readonly number[];
  /** The type of a tensor that holds its elements as they are; f64 becomes f32. */
  readonly type: TensorType;
  value(n: number): number;
}

/** @throws UserError for what is no such file, or one that this does not read */
export function readNpy(bytes: Uint8Array, file: string): NpyArray {
  const broken = (why: string) => new UserError(`${file}: ${why}`);
  if (bytes.length < 10 || MAGIC.some((byte, n) => bytes[n] !== byte)) throw broken('no .npy file');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wide = (bytes[6] as number) >= 2;
  if (wide && bytes.length < 12) throw broken('the header is cut off');
  const start = wide ? 12 : 10;
  const data = start + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  if (data > bytes.length) throw broken('the header is cut off');
  const header = Buffer.from(bytes.subarray(start, data)).toString('latin1');
  const descr = /'descr':\s*'([^']*)'/.exec(header)?.[1] ?? '';
  const shape = /'shape':\s*\(([\d,\sL]*)\)/.exec(header)?.[1];
  const type = Object.hasOwn(fileTypes, descr) ? fileTypes[descr] : undefined;
  if (!type) throw broken(`elements of type "${descr}"; there are ${Object.keys(fileTypes).join(', ')}`);
  if (shape === undefined) throw broken('the header tells no shape');
  const sizes = (shape.match(/\d+/g) ?? ['1']).map(Number);
  if (!/'fortran_order':\s*True/.test(header)) sizes.reverse();
  const count = sizes.reduce((product, size) => product * size, 1);
  if (data + count * type.bytes > bytes.length) throw broken('elements are missing');
  const name = (Object.keys(descriptions) as TensorType[]).find((each) => descriptions[each] === descr) ?? 'f32';
  return { sizes, type: name, value: (n) => type.read(view, data + n * type.bytes) };
}

export function writeNpy(elements: Uint8Array, type: TensorType, sizes: readonly number[]): Uint8Array {
  const shape = [...sizes].reverse();
  const text = `{'descr': '${descriptions[type]}', 'fortran_order': False, 'shape': (${shape.join(', ')}${shape.length === 1 ? ',' : ''}), }`;
  // The elements begin at a multiple of 64; the header ends with a line feed.
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10;
  const count = sizes.reduce((product, size) => product * size, 1);
  const body = type === 'bf16' ? new Uint8Array(count * 4) : elements;
  if (type === 'bf16') {
    const view = new DataView(body.buffer);
    for (let n = 0; n < count; n++) view.setFloat32(n * 4, readElement(elements, type, n), true);
  }
  const file = new Uint8Array(10 + length + body.length);
  file.set([...MAGIC, 1, 0, length & 0xff, length >> 8]);
  file.set(new TextEncoder().encode(`${text.padEnd(length - 1)}\n`), 10);
  file.set(body, 10 + length);
  return file;
}
