/** What a row of the operations of random sequences says. */

import type { Driver, Mapping } from '../../driver/driver.ts';
import type { RdmaContext } from '../../runtime/verbs/device.ts';
import type { Random } from '../../sim/random.ts';
import type { Ioctl } from '../../uapi/rows.ts';
import type { Struct } from '../../uapi/struct.ts';

/** Kinds of resources, and what one is. */
export interface Kinds {
  compute: number;
  control: number;
  eventfd: number;
  dmabuf: number;
  /** Handle of a command buffer. */
  cb: bigint;
  /** A command buffer, mapped. */
  packets: { readonly handle: bigint; readonly mapping: Mapping } | undefined;
  memory: Mapping | undefined;
  /** Device address of mapped memory. */
  va: bigint;
  timestamps: bigint;
  /** Sequence number. */
  submission: bigint;
  /** Sequence number of a signal. */
  signal: bigint;
  reservation: number;
  nic: RdmaContext | undefined;
  /** Handles of verbs. */
  pd: number;
  mr: number;
  cq: number;
  qp: number;
  ah: number;
}
export type Kind = keyof Kinds;

/** What is taken when there is nothing valid, or when something invalid is wanted. */
export const INVALID: Kinds = {
  compute: 999,
  control: 999,
  eventfd: 999,
  dmabuf: 999,
  cb: 0xbad_0000n,
  packets: undefined,
  memory: undefined,
  va: 0x1_0bad_0000_0000n,
  timestamps: 0x2000_0000_0bad_0000n,
  submission: 99_999n,
  signal: 99_999n,
  reservation: 9_999,
  nic: undefined,
  pd: 9_999,
  mr: 9_999,
  cq: 9_999,
  qp: 9_999,
  ah: 9_999,
};

export type Numbers = Readonly<Record<string, number>>;

/** What an operation is given to make its call. */
export interface World {
  readonly driver: Driver;
  /** Memory of the sequence itself that arguments point to; 64 KiB. */
  readonly scratch: Mapping;
  /** Waits for a submission, if there is one. */
  settle(fd: number, submission: bigint): void;
  /** Waits for all that was submitted through a file. */
  settleAll(fd: number): void;
  /** Makes an ioctl and notes it. @returns the argument as it came back. @throws SystemError */
  ioctl<Out, In>(fd: number, ioctl: Ioctl<Struct<Out, In>>, value: In): Out;
}

export interface Operation {
  /** How often it is drawn, compared with the others. */
  readonly weight: number;
  readonly takes: readonly Kind[];
  readonly makes?: Kind;
  /** What the machine has to have; absent: a card. */
  readonly needs?: 'nic';
  /** Index in `takes` of what is gone afterwards. */
  readonly ends?: number;
  draw?(random: Random): Numbers;
  /** Numbers that may be any of 32 bits, when a sequence is changed. */
  readonly wild?: readonly string[];
  /** @returns what it makes. @throws SystemError */
  perform(world: World, taken: readonly unknown[], numbers: Numbers): unknown;
}

export const pick = <T>(random: Random, list: readonly T[]): T => list[random.below(list.length)] as T;
/** One of the valid ones, now and then of those that are not. */
export const mostly = (random: Random, valid: readonly number[], bad: readonly number[]) =>
  pick(random, random.below(5) > 0 ? valid : bad);

/** A row, with what it takes checked against its kinds. */
export function operation<const T extends readonly Kind[]>(row: {
  readonly weight: number;
  readonly takes: T;
  readonly makes?: Kind;
  readonly ends?: number;
  readonly draw?: (random: Random) => Numbers;
  readonly wild?: readonly string[];
  readonly perform: (
    world: World,
    taken: { readonly [I in keyof T]: Kinds[T[I]] },
    numbers: Record<string, number>,
  ) => unknown;
}): Operation {
  return row as unknown as Operation;
}
