/** Tensors: where elements lie in memory that the device reaches, as kernels of tensor cores see it. */

import { TENSOR_CONFIG } from '../../specs/gaudi/registers/tpc-cfg.ts';
import { DIMENSIONS } from '../tpc/layout.ts';
import { elementBits } from '../tpc/run/elements.ts';
import { elementBytes, type RmwOperation, rmwOperations, type TensorType, tensorTypes } from '../tpc/tensor.ts';
import { addressOf, type Place } from './command-stream.ts';

export type { RmwOperation, TensorType };

/** Words of a descriptor: base, padding, configuration, then size and stride of each dimension. */
export const DESCRIPTOR_WORDS = 4 + 2 * DIMENSIONS;

export interface TensorOptions {
  /** Elements of each dimension, the one that lies next to each other in memory first: [columns, rows, ...]. One to five. */
  readonly shape: readonly number[];
  readonly type: TensorType;
  /** Elements from one to the next, of each dimension. Default: without gaps. */
  readonly strides?: readonly number[];
  /** What a kernel reads where there is no element. Default 0. */
  readonly padding?: number;
  /** What a store does to what is there; default: it takes its place. */
  readonly rmw?: RmwOperation;
}

/** Where a tensor is, and what it looks like. Immutable; it owns no memory. */
export class Tensor {
  /** Device address of the first element. */
  readonly address: bigint;
  readonly shape: readonly number[];
  readonly type: TensorType;
  readonly strides: readonly number[];
  readonly padding: number;
  readonly rmw: RmwOperation | undefined;

  /** @throws RangeError for a shape or strides that no descriptor can hold */
  constructor(place: Place, options: TensorOptions) {
    const { shape, type } = options;
    if (shape.length < 1 || shape.length > DIMENSIONS)
      throw new RangeError(`a tensor of ${shape.length} dimensions: one to ${DIMENSIONS} are possible`);
    if (!tensorTypes.includes(type)) throw new RangeError(`type ${type}: there are ${tensorTypes.join(', ')}`);
    const dense: number[] = [];
    let next = 1;
    for (const size of shape) {
      dense.push(next);
      next *= size;
    }
    const strides = options.strides ?? dense;
    if (strides.length !== shape.length)
      throw new RangeError(`${strides.length} strides for ${shape.length} dimensions`);
    for (const word of [...shape, ...strides])
      if (!Number.isInteger(word) || word < 0 || word > 0xffff_ffff)
        throw new RangeError(`a size or stride of ${word} elements`);
    this.address = addressOf(place);
    if (this.address < 0n || this.address >= 1n << 64n) throw new RangeError(`a tensor at ${this.address}`);
    this.shape = [...shape];
    this.strides = [...strides];
    this.type = type;
    this.padding = options.padding ?? 0;
    this.rmw = options.rmw;
  }

  /** Number of elements. */
  get elements(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  /** Bytes from the first element to the end of the last; 0 where there is none. */
  get bytes(): number {
    return extent(this.shape, this.strides) * elementBytes[this.type];
  }

  /** The descriptor, as a tensor core has it in its registers (tpc0_cfg_regs.h, KERNEL_TENSOR_0). */
  descriptor(): Uint32Array {
    const words = new Uint32Array(DESCRIPTOR_WORDS);
    const { shape, strides, rmw } = this;
    words[0] = Number(this.address & 0xffff_ffffn);
    words[1] = Number(this.address >> 32n);
    words[2] = elementBits(this.type, this.padding);
    words[3] =
      ((tensorTypes.indexOf(this.type) << TENSOR_CONFIG.TYPE_SHIFT) |
        (((1 << shape.length) - 1) << TENSOR_CONFIG.VALID_DIMS_SHIFT) |
        ((shape.length - 1) << TENSOR_CONFIG.LAST_DIM_SHIFT) |
        (rmw ? TENSOR_CONFIG.RMW_SET | (rmwOperations.indexOf(rmw) << TENSOR_CONFIG.RMW_OP_SHIFT) : 0)) >>>
      0;
    for (let d = 0; d < DIMENSIONS; d++) {
      words[4 + 2 * d] = shape[d] ?? 1;
      words[5 + 2 * d] = strides[d] ?? 0;
    }
    return words;
  }
}

/** Bytes that a tensor without gaps takes. @param shape elements of each dimension */
export function tensorBytes(type: TensorType, shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1) * elementBytes[type];
}

function extent(shape: readonly number[], strides: readonly number[]): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((last, size, d) => last + (size - 1) * (strides[d] as number), 1);
}
