/**
 * Tables of coefficients for LOOKUP_1C and LOOKUP_2C, computed: for each interval C0, C1, C2 such that
 * C0 + d * (C1 + d * C2) is the function at the distance d from the interval's start. The chip has none of its own; who
 * launches a kernel puts them into memory, and their addresses into the LUT base registers.
 */

import { entryOffset, LINE_BYTES, placeOf, tableClasses } from './layout.ts';
import { type LookupFunction, lookupFunctions, type Segment } from './rows.ts';

export { lookupFunctions } from './rows.ts';

export interface TableMemory {
  /** Addresses for the LUT base registers: tables of 32, 64, 128 and 256 entries. */
  readonly bases: readonly number[];
  /** What to put there. Between the tables there is nothing: a function that is not listed has none. */
  readonly regions: readonly { readonly address: number; readonly bytes: Uint8Array }[];
}

/**
 * All tables of `lookupFunctions`, at addresses from `base` on.
 *
 * @param base a multiple of 128
 * @throws RangeError for a base that is not
 */
export function lookupTables(base: number): TableMemory {
  if (!Number.isSafeInteger(base) || base < 0 || base % LINE_BYTES !== 0) {
    throw new RangeError(`tables at ${base}: lines are aligned to ${LINE_BYTES}`);
  }
  const bases: number[] = [];
  let next = base;
  for (const kind of tableClasses.toSorted((a, b) => a.base - b.base)) {
    bases.push(next);
    next += 128 * kind.lines * LINE_BYTES;
  }
  const regions = lookupFunctions.map((row) => {
    const place = placeOf(row.number);
    if (!place) throw new RangeError(`function ${row.number}`);
    return { address: (bases[place.kind.base] as number) + place.offset, bytes: tableBytes(row) };
  });
  return { bases, regions };
}

/** The image of one table of f32 coefficients. @throws RangeError if its segments are not what its number says */
function tableBytes(row: LookupFunction): Uint8Array {
  const kind = placeOf(row.number)?.kind;
  const entries = row.segments.reduce((sum, segment) => sum + segment.entries, 0);
  if (!kind || entries !== kind.entries) throw new RangeError(`${row.name}: ${entries} entries`);
  const words = new Float32Array((kind.lines * LINE_BYTES) / 4);
  let entry = 0;
  for (const segment of row.segments) {
    for (let n = 0; n < segment.entries; n++) words.set(quadratic(segment, n), entryOffset(entry++) / 4);
  }
  return new Uint8Array(words.buffer);
}

/**
 * Coefficients for interval `n`: the quadratic through the three Chebyshev points, which is the best one up to a few percent
 * of its error. C2 is rounded first; then what is lost goes into C1, and into C0.
 */
function quadratic({ start, length, entries, f }: Segment, n: number): readonly [c0: number, c1: number, c2: number] {
  const width = length / entries;
  const x = start + n * width;
  const points = [5, 3, 1].map((k) => (width / 2) * (1 + Math.cos((k * Math.PI) / 6)));
  const [d0, d1, d2] = points as [number, number, number];
  const [y0, y1, y2] = [f(x + d0), f(x + d1), f(x + d2)];
  const slope = (y1 - y0) / (d1 - d0);
  const c2 = Math.fround(((y2 - y1) / (d2 - d1) - slope) / (d2 - d0));
  const c1 = Math.fround((y2 - y0) / (d2 - d0) - c2 * (d0 + d2));
  const rests = [y0, y1, y2].map((y, k) => y - (points[k] as number) * (c1 + c2 * (points[k] as number)));
  return [Math.fround((Math.max(...rests) + Math.min(...rests)) / 2), c1, c2];
}
