/** Ports for a core that runs alone: memory in a few regions, and a configuration space that only remembers. */

import { ModelError } from '../sim/errors.ts';
import { CONFIG } from './machine.ts';
import { DEFAULT_POLYNOMIAL } from './numbers/lfsr.ts';
import type { ConfigPort, MemoryPort } from './ports.ts';
import {
  type RmwOperation,
  rmwOperations,
  TENSOR_BASE,
  TENSOR_BYTES,
  TENSORS,
  type TensorType,
  tensorTypes,
} from './tensor.ts';

/** Regions of bytes at addresses; what is not in a region is not there. */
export class FlatMemory implements MemoryPort {
  readonly #regions: { readonly base: number; readonly bytes: Uint8Array }[] = [];

  /** Makes `bytes` the memory at `base`. */
  add(base: number, bytes: Uint8Array): void {
    for (const region of this.#regions) {
      if (base < region.base + region.bytes.length && region.base < base + bytes.length) {
        throw new RangeError(`regions at 0x${base.toString(16)} and 0x${region.base.toString(16)} overlap`);
      }
    }
    this.#regions.push({ base, bytes });
  }

  view(address: number, length: number): Uint8Array | undefined {
    for (const { base, bytes } of this.#regions) {
      const at = address - base;
      if (at >= 0 && at + length <= bytes.length) return bytes.subarray(at, at + length);
    }
    return undefined;
  }
}

export interface TensorOptions {
  readonly base: number;
  readonly type: TensorType;
  /** Elements of each dimension, the fastest first; one to five. */
  readonly sizes: readonly number[];
  /** In elements; default: dense. */
  readonly strides?: readonly number[];
  /** Bits of the padding value; default 0. */
  readonly padding?: number;
  /** What plain stores do with what is there. */
  readonly rmw?: RmwOperation;
}

/** Bytes of the configuration space (tpc0_cfg_regs.h: a block of 0xE00 before the next). */
const CONFIG_BYTES = 0xe00;

export class PlainConfig implements ConfigPort {
  readonly #words = new Uint32Array(CONFIG_BYTES / 4);

  constructor() {
    this.write(CONFIG.lfsrPolynomial, DEFAULT_POLYNOMIAL);
    for (let n = 0; n < TENSORS; n++) this.write(TENSOR_BASE + TENSOR_BYTES * n + 0xc, 0x50000);
  }

  read(offset: number): number {
    this.#check(offset);
    return this.#words[offset / 4] as number;
  }

  write(offset: number, value: number): void {
    this.#check(offset);
    this.#words[offset / 4] = value;
  }

  /** Writes the descriptor of a tensor. */
  setTensor(number: number, options: TensorOptions): void {
    if (number >= TENSORS) throw new RangeError(`tensor ${number} of ${TENSORS}`);
    const at = TENSOR_BASE + TENSOR_BYTES * number;
    const dims = options.sizes.length;
    const rmw = options.rmw === undefined ? 0 : (1 << 19) | (rmwOperations.indexOf(options.rmw) << 21);
    this.write(at, options.base >>> 0);
    this.write(at + 4, Math.floor(options.base / 2 ** 32));
    this.write(at + 8, options.padding ?? 0);
    this.write(at + 0xc, tensorTypes.indexOf(options.type) | ((2 ** dims - 1) << 8) | ((dims - 1) << 16) | rmw);
    let dense = 1;
    for (let d = 0; d < 5; d++) {
      this.write(at + 0x10 + 8 * d, options.sizes[d] ?? 1);
      this.write(at + 0x14 + 8 * d, options.strides?.[d] ?? dense);
      dense *= options.sizes[d] ?? 1;
    }
  }

  #check(offset: number): void {
    if (offset < 0 || offset >= CONFIG_BYTES || offset % 4 !== 0) {
      throw new ModelError('guest', `TPC_CFG+0x${offset.toString(16)}`, 'no register there');
    }
  }
}
