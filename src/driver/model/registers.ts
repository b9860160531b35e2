/** Registers by name: the block's place and the register's, from the same rows as the hardware has them. */

import { blocks, instances } from '../../../specs/gaudi/blocks.ts';
import type { RegisterRow } from '../../sim/registers.ts';

const bases = new Map(blocks.flatMap(instances).map(({ name, base }) => [name, base]));

/** Offset of a block from the start of the configuration space. */
export function blockBase(name: string): number {
  const base = bases.get(name);
  if (base === undefined) throw new Error(`no block ${name}`);
  return base;
}

/** Names of all blocks that match. */
export function blocksLike(pattern: RegExp): string[] {
  return [...bases.keys()].filter((name) => pattern.test(name));
}

/** Offset of a register from the start of the configuration space. @param index of its instance, per dimension */
export function register(block: string, row: RegisterRow, ...index: number[]): number {
  return index.reduce((at, i, d) => at + i * (row.stride[d] as number), blockBase(block) + row.offset);
}

export function low(address: number): number {
  return address % 2 ** 32;
}

export function high(address: number): number {
  return Math.floor(address / 2 ** 32);
}
