/** Names for numbers: registers, arrays of registers, memories. Facts, like the packets. */

export interface SymbolRow {
  readonly value: bigint;
  /** Instances per dimension, e.g. [2048] for SOB_E_N(i); [] for a single number. */
  readonly count: readonly number[];
  /** Distance of neighbours, per dimension. */
  readonly stride: readonly number[];
  readonly doc: string;
  readonly source: string;
}

export interface SymbolFacts {
  readonly source: string;
  readonly count?: readonly number[];
  readonly stride?: readonly number[];
}

export function symbol(value: number | bigint, doc: string, facts: SymbolFacts): SymbolRow {
  const { source, count = [], stride = [] } = facts;
  if (count.length !== stride.length) throw new Error(`${doc}: one stride per dimension`);
  return { value: BigInt(value), count, stride, doc, source };
}

export type SymbolRows = Readonly<Record<string, SymbolRow>>;

/** Looks symbols up by name, and names up by value. */
export class SymbolTable {
  readonly rows: ReadonlyMap<string, SymbolRow>;
  #names: Map<bigint, string> | undefined;

  constructor(...tables: readonly SymbolRows[]) {
    const rows = new Map<string, SymbolRow>();
    for (const table of tables) {
      for (const [name, row] of Object.entries(table)) {
        if (rows.has(name)) throw new Error(`symbol ${name} is defined twice`);
        rows.set(name, row);
      }
    }
    this.rows = rows;
  }

  /** Name of the register or memory that begins at `value`, as the assembler reads it. */
  nameOf(value: bigint): string | undefined {
    this.#names ??= this.#invert();
    return this.#names.get(value);
  }

  #invert(): Map<bigint, string> {
    const names = new Map<bigint, string>();
    for (const [name, row] of this.rows) {
      const total = row.count.reduce((a, b) => a * b, 1);
      for (let flat = 0; flat < total; flat++) {
        const indices = unflatten(flat, row.count);
        const value = symbolValue(row, indices);
        const text = indices.length > 0 ? `${name}(${indices.join(', ')})` : name;
        // Small numbers are offsets, which mean different things in different engines.
        if (value >= 0x1_0000n && !names.has(value)) names.set(value, text);
      }
    }
    return names;
  }
}

/** A name as it is used, with the range of its indices, e.g. `SOB_E_N(0..2047)`. */
export function symbolUsage(name: string, row: SymbolRow): string {
  return row.count.length === 0 ? name : `${name}(${row.count.map((n) => `0..${n - 1}`).join(', ')})`;
}

function unflatten(flat: number, count: readonly number[]): number[] {
  const indices: number[] = [];
  let rest = flat;
  for (let d = count.length - 1; d >= 0; d--) {
    const n = count[d] as number;
    indices.unshift(rest % n);
    rest = Math.floor(rest / n);
  }
  return indices;
}

/** Number of an instance. The indices are in range. */
export function symbolValue(row: SymbolRow, indices: readonly number[]): bigint {
  let value = row.value;
  indices.forEach((index, d) => {
    value += BigInt(index) * BigInt(row.stride[d] ?? 0);
  });
  return value;
}
