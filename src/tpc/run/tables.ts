/**
 * Function tables that kernels look up, computed: for each interval C0, C1, C2 such that C0 + d * (C1 + d * C2) is the
 * function at a distance d from the interval's start. Numbers of functions are the vendor's (tpc-defs.h, e_function_id);
 * the coefficients are not. Layout as `bodies/memory.ts` reads it.
 */

interface Table {
  readonly number: number;
  readonly entries: number;
  readonly lines: number;
  /** Where interval `n` begins, and how long it is. */
  readonly interval: (n: number) => readonly [start: number, length: number];
  readonly f: (x: number) => number;
}

/** Two octaves, [1, 2) and [2, 4), with half of the intervals each. */
const octaves =
  (entries: number) =>
  (n: number): readonly [number, number] => {
    const half = entries / 2;
    return n < half ? [1 + n / half, 1 / half] : [2 + (2 * (n - half)) / half, 2 / half];
  };
const unit =
  (entries: number) =>
  (n: number): readonly [number, number] => [1 + n / entries, 1 / entries];

const tables: readonly Table[] = [
  {
    number: 0,
    entries: 256,
    lines: 26,
    interval: (n) =>
      n < 64 ? [n / 64, 1 / 64] : [2 ** ((n >> 6) - 1) * (1 + (n % 64) / 64), 2 ** ((n >> 6) - 1) / 64],
    f: Math.tanh,
  },
  { number: 1, entries: 256, lines: 26, interval: octaves(256), f: (x) => 1 / Math.sqrt(x) },
  { number: 128, entries: 128, lines: 13, interval: octaves(128), f: Math.sqrt },
  { number: 129, entries: 128, lines: 13, interval: unit(128), f: (x) => 1 / x },
  { number: 256, entries: 64, lines: 7, interval: unit(64), f: (x) => 2 ** (x - 1) },
];

const LINE_BYTES = 128;
/** Classes by entries, in the order of their base registers. */
const classes = [32, 64, 128, 256] as const;

export interface TableMemory {
  /** Bases of the tables of 32, 64, 128 and 256 entries. */
  readonly bases: readonly number[];
  readonly regions: readonly { readonly address: number; readonly bytes: Uint8Array }[];
}

/** The tables that there are, at addresses from `base` on; between them nothing. */
export function functionTables(base: number): TableMemory {
  // 128 tables of the longest kind fit into half a megabyte.
  const bases = classes.map((_, n) => base + n * 0x8_0000);
  const regions = tables.map((table) => {
    const at = bases[classes.indexOf(table.entries as (typeof classes)[number])] as number;
    return { address: at + (table.number & 0x7f) * table.lines * LINE_BYTES, bytes: coefficients(table) };
  });
  return { bases, regions };
}

function coefficients({ entries, lines, interval, f }: Table): Uint8Array {
  const words = new Float32Array((lines * LINE_BYTES) / 4);
  for (let n = 0; n < entries; n++) {
    const [start, length] = interval(n);
    // Through the three Chebyshev points of the interval.
    const [d0, d1, d2] = [5, 3, 1].map((k) => (length / 2) * (1 + Math.cos((k * Math.PI) / 6))) as [
      number,
      number,
      number,
    ];
    const [y0, y1, y2] = [f(start + d0), f(start + d1), f(start + d2)];
    const slope = (y1 - y0) / (d1 - d0);
    const c2 = ((y2 - y1) / (d2 - d1) - slope) / (d2 - d0);
    const c1 = slope - c2 * (d0 + d1);
    words.set([y0 - d0 * (c1 + c2 * d0), c1, c2], n * 3 + 2 * Math.floor(n / 10));
  }
  return new Uint8Array(words.buffer);
}
