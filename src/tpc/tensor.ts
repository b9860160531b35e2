/** Tensors as a core sees them: descriptors in its configuration space, and where the elements of a vector lie. */

import { ModelError } from '../sim/errors.ts';
import { DIMENSIONS } from './layout.ts';
import type { ConfigPort } from './ports.ts';

/** Place of the descriptors in the configuration space (tpc0_cfg_regs.h, KERNEL_TENSOR_0). */
export const TENSOR_BASE = 0x400;
export const TENSOR_BYTES = 0x38;
export const TENSORS = 16;

export type TensorType = 'i8' | 'i16' | 'i32' | 'u8' | 'u16' | 'u32' | 'bf16' | 'f32';

/** By data_type of the descriptor's configuration word. */
export const tensorTypes: readonly TensorType[] = ['i8', 'i16', 'i32', 'u8', 'u16', 'u32', 'bf16', 'f32'];

export const elementBytes: Readonly<Record<TensorType, 1 | 2 | 4>> = {
  i8: 1,
  u8: 1,
  i16: 2,
  u16: 2,
  bf16: 2,
  i32: 4,
  u32: 4,
  f32: 4,
};

export type RmwOperation = 'add' | 'sub' | 'min' | 'max';
/** By their encoding, in a descriptor and in S29. */
export const rmwOperations: readonly RmwOperation[] = ['add', 'sub', 'min', 'max'];

export interface Tensor {
  readonly number: number;
  /** Byte address of element (0, 0, 0, 0, 0). */
  readonly base: number;
  readonly type: TensorType;
  readonly elementBytes: 1 | 2 | 4;
  /** What elements outside of the tensor read as: the low bits of it. */
  readonly padding: number;
  /** Dimensions that exist: others take part neither in addresses nor in bounds. */
  readonly dims: readonly number[];
  /** In elements. */
  readonly sizes: readonly number[];
  readonly strides: readonly number[];
  /** What a store without its own information does to memory. */
  readonly rmw: RmwOperation | undefined;
}

/** Bits of the configuration word (tpc0_cfg_masks.h, KERNEL_TENSOR_0_TENSOR_CONFIG). */
const CONFIG = { type: 0, validDims: 8, lastDim: 16, rmwSet: 19, rmwOp: 21 } as const;

/** Reads descriptor `number` as it is now. @throws ModelError `guest` for a number or a descriptor that cannot be */
export function readTensor(config: ConfigPort, number: number): Tensor {
  if (number < 0 || number >= TENSORS) {
    throw new ModelError('guest', `tensor ${number}`, `there are ${TENSORS} tensors`);
  }
  const at = TENSOR_BASE + TENSOR_BYTES * number;
  const word = config.read(at + 0xc);
  const type = tensorTypes[(word >>> CONFIG.type) & 7] as TensorType;
  const mask = (word >>> CONFIG.validDims) & 0x1f;
  const last = Math.min((word >>> CONFIG.lastDim) & 7, DIMENSIONS - 1);
  const dims: number[] = [];
  const sizes: number[] = [];
  const strides: number[] = [];
  for (let d = 0; d < DIMENSIONS; d++) {
    sizes.push(config.read(at + 0x10 + 8 * d));
    strides.push(config.read(at + 0x14 + 8 * d));
    if (mask === 0 ? d <= last : (mask >>> d) & 1) dims.push(d);
  }
  return {
    number,
    base: config.read(at) + config.read(at + 4) * 2 ** 32,
    type,
    elementBytes: elementBytes[type],
    padding: config.read(at + 8),
    dims,
    sizes,
    strides,
    rmw: (word >>> CONFIG.rmwSet) & 1 ? rmwOperations[(word >>> CONFIG.rmwOp) & 3] : undefined,
  };
}

/** Byte address of the element at signed coordinates, inside the tensor or not. */
export function addressOf(tensor: Tensor, coordinates: ArrayLike<number>): number {
  let elements = 0;
  for (const d of tensor.dims) elements += (coordinates[d] as number) * (tensor.strides[d] as number);
  return checkAddress(tensor, tensor.base + elements * tensor.elementBytes);
}

function checkAddress(tensor: Tensor, address: number): number {
  if (address < 0 || address > Number.MAX_SAFE_INTEGER) {
    throw new ModelError('guest', `tensor ${tensor.number}`, 'base, strides and coordinates give no address');
  }
  return address;
}

/** Which of `count` elements from `coordinates` on, along dimension 0, are inside: [from, to); empty if from = to. */
export function inside(
  tensor: Tensor,
  coordinates: ArrayLike<number>,
  count: number,
): { readonly from: number; readonly to: number } {
  for (const d of tensor.dims) {
    const coordinate = coordinates[d] as number;
    if (d > 0 && (coordinate < 0 || coordinate >= (tensor.sizes[d] as number))) return { from: 0, to: 0 };
  }
  if (!tensor.dims.includes(0)) return { from: 0, to: count };
  if (tensor.strides[0] !== 1) {
    throw new ModelError(
      'undefined',
      `tensor ${tensor.number}`,
      `a vector along dimension 0, whose stride is ${tensor.strides[0]} elements`,
    );
  }
  const start = coordinates[0] as number;
  const from = Math.min(Math.max(0, -start), count);
  const to = Math.min(Math.max(from, (tensor.sizes[0] as number) - start), count);
  return { from, to };
}
