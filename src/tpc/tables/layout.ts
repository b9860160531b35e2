/**
 * Where tables are in memory: four regions by the number of entries, each with places for 128 tables of whole lines of 128
 * bytes (SynapseAI_Core, SpecialFuncCoefficientsGen2.cpp: getLUTStartAddressFromFuncID, getCoefAddrFromOffset and the
 * functions that add tables).
 */

export const LINE_BYTES = 128;
/** f32 entries of C0, C1, C2 in a line; 8 bytes are left. */
export const LINE_ENTRIES = 10;
/** Tables of a class. */
export const CLASS_TABLES = 128;

export interface TableClass {
  readonly entries: number;
  readonly lines: number;
  /** Which of the base registers: low and high word of the address for 32, 64, 128, 256 entries. */
  readonly base: number;
}

/** By bits 8:7 of the function's number. */
export const tableClasses: readonly TableClass[] = [
  { entries: 256, lines: 26, base: 3 },
  { entries: 128, lines: 13, base: 2 },
  { entries: 64, lines: 7, base: 1 },
  { entries: 32, lines: 4, base: 0 },
];

/** The class of a function's table, and the table's offset from the class's base; undefined for no function's number. */
export function placeOf(number: number): { readonly kind: TableClass; readonly offset: number } | undefined {
  const kind = number >= 0 ? tableClasses[number >>> 7] : undefined;
  return kind && { kind, offset: (number % CLASS_TABLES) * kind.lines * LINE_BYTES };
}

/** Offset of C0 of an entry of f32 coefficients; C1 and C2 follow. */
export function entryOffset(entry: number): number {
  return entry * 12 + 8 * Math.floor(entry / LINE_ENTRIES);
}
