/** The rows of an interface that are numbers: constants, enumerations, operations, flags, requests. The key is the name in C. */

import type { Struct } from './struct.ts';

export interface Constant {
  readonly value: number | bigint;
  readonly doc: string;
}

export type Constants = Readonly<Record<string, Constant>>;

/** A number with a name. */
export function constant<const V extends number | bigint>(
  value: V,
  doc: string,
): { readonly value: V; readonly doc: string } {
  return { value, doc };
}

/** Members of an enumeration that counts up from 0. */
export function counting<const N extends readonly string[]>(
  ...names: N
): { readonly [K in N[number]]: { readonly value: number; readonly doc: string } } {
  const rows = names.map((name, value) => [name, { value, doc: '' }]);
  return Object.fromEntries(rows) as { readonly [K in N[number]]: { readonly value: number; readonly doc: string } };
}

/** Just the numbers of rows, by name. */
export function values<const R extends Constants>(rows: R): { readonly [K in keyof R]: R[K]['value'] } {
  return Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, row.value])) as {
    readonly [K in keyof R]: R[K]['value'];
  };
}

/** Name of the row with this value. */
export function nameOf(rows: Constants, value: number | bigint): string | undefined {
  for (const [name, row] of Object.entries(rows)) if (row.value === value) return name;
  return undefined;
}

/** Names of the flags set in `value`, and a hexadecimal rest; `0` when none is set. */
export function describeFlags(rows: Constants, value: number): string {
  const names: string[] = [];
  let rest = value;
  for (const [name, row] of Object.entries(rows)) {
    const flag = Number(row.value);
    if (flag !== 0 && (value & flag) >>> 0 === flag) {
      names.push(name);
      rest &= ~flag;
    }
  }
  if (rest !== 0) names.push(`0x${(rest >>> 0).toString(16)}`);
  return names.length === 0 ? '0' : names.join('|');
}

/** When an operation fails: errno name to reason. */
export type Errors = Readonly<Record<string, string>>;

/** What a member may hold. Values at the limits are taken, values beyond them are refused. */
export interface Limits {
  /** The smallest value. Default 0. */
  readonly least?: number;
  /** The largest value; what is above it, or any other bit, is refused. */
  readonly most?: number;
  /** The value is a multiple of this. */
  readonly unit?: number;
  /** A value worth trying between the limits, and why. */
  readonly also?: Readonly<Record<string, number>>;
}

/** A value that an operation answers with: `mask` selects the bits that tell. */
export interface Answer {
  readonly member: string;
  readonly value: number;
  readonly mask?: number;
}

/** An operation of an ioctl that has several. */
export interface Operation extends Constant {
  readonly value: number;
  /** What to call it where its name in C is that of no flag. */
  readonly label?: string;
  /** Members of the argument it reads, by path. */
  readonly takes?: readonly string[];
  /** Members of the argument it writes. */
  readonly gives?: readonly string[];
  /** Present when not every chip has it; names those that do. */
  readonly chips?: string;
  readonly errors?: Errors;
  /** Flags that change what it does, by name, and what Gaudi1 makes of them. */
  readonly flags?: Readonly<Record<string, 'accepted' | { readonly refused: string }>>;
  /** Members with limits, by path. */
  readonly limits?: Readonly<Record<string, Limits>>;
  /** Answers that tell situations apart, by name. */
  readonly answers?: Readonly<Record<string, Answer>>;
  /** The errno with which Gaudi1 refuses it whatever it is asked. */
  readonly refused?: string;
  /**
   * What a Gaudi1 in good order does not show of it, and why: errno, flag, or `success`. What is shown all the same (a fault that is
   * injected) counts.
   */
  readonly beyond?: Readonly<Record<string, string>>;
  readonly source: string;
}

export interface Ioctl<Argument extends Struct<unknown, never> = Struct<unknown, never>> {
  readonly name: string;
  readonly doc: string;
  /** The number passed to ioctl(2). */
  readonly request: number;
  readonly argument: Argument;
  /** What is refused before an operation is looked at, or by what all of them share. */
  readonly errors?: Errors;
  /** Limits of members that all operations have. */
  readonly limits?: Readonly<Record<string, Limits>>;
  /** As of an operation. */
  readonly beyond?: Readonly<Record<string, string>>;
  readonly source: string;
}

const IOC_READ_WRITE = 3;

/** A request number as `_IOWR` makes it: direction, size of the argument, type, number (uapi/asm-generic/ioctl.h). */
export function iowr(type: string, nr: number, size: number): number {
  return ((IOC_READ_WRITE << 30) | (size << 16) | (type.charCodeAt(0) << 8) | nr) >>> 0;
}
