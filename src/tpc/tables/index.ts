/**
 * Tables of coefficients for LOOKUP_1C and LOOKUP_2C, computed: for each interval C0, C1, C2 such that
 * C0 + d * (C1 + d * C2) is the function at the distance d from the interval's start. The chip has none of its own; who
 * launches a kernel puts them into memory, and their addresses into the LUT base registers.
 */

import { halfBits } from '../../isa/vliw/numbers.ts';
import { bf16, round, toBits } from '../numbers/float.ts';
import { entryOffset, LINE_BYTES, placeOf, tableClasses } from './layout.ts';
import {
  type CoefficientFormat,
  type LookupFunction,
  type LookupValues,
  lookupFunctions,
  lookupValues,
  type Segment,
} from './rows.ts';

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
  const regions = [...lookupFunctions.flatMap(images), ...lookupValues.map(valueImage)].map(({ number, bytes }) => {
    const { kind, offset } = classOf(number);
    return { address: (bases[kind.base] as number) + offset, bytes };
  });
  return { bases, regions };
}

interface Image {
  readonly number: number;
  readonly bytes: Uint8Array;
}

function classOf(number: number) {
  const place = placeOf(number);
  if (!place) throw new RangeError(`function ${number}`);
  return place;
}

function emptyImage(number: number): Uint8Array {
  return new Uint8Array(classOf(number).kind.lines * LINE_BYTES);
}

/** The tables of a function. @throws RangeError if they do not fit into their class */
function images(row: LookupFunction): Image[] {
  const entries = entriesOf(row);
  const main = emptyImage(row.number);
  if (row.format.kind === 'f32') {
    const words = new Float32Array(main.buffer);
    entries.forEach((coefficients, n) => void words.set(coefficients, entryOffset(n) / 4));
    return [{ number: row.number, bytes: main }];
  }
  const write = writer(row.format);
  const [first, rest] = row.c0 === undefined ? [undefined, main] : [emptyImage(row.c0), main];
  const inMain = row.degree + (first ? 0 : 1);
  entries.forEach((coefficients, n) => {
    coefficients.forEach((c, k) => {
      if (first && k === 0) write(first, n * 2, c, k);
      else write(rest, (n * inMain + k - (first ? 1 : 0)) * 2, c, k);
    });
  });
  const own = { number: row.number, bytes: main };
  return first && row.c0 !== undefined ? [own, { number: row.c0, bytes: first }] : [own];
}

/** Results one after the other; narrow ones are repeated until their entry is full. */
function valueImage({ number, bytes, valueBytes, f }: LookupValues): Image {
  const image = emptyImage(number);
  for (let n = 0; n < 256; n++) {
    for (let at = 0; at < bytes; at++) image[n * bytes + at] = Math.floor(f(n) / 2 ** (8 * (at % valueBytes)));
  }
  return { number, bytes: image };
}

/** Coefficients of all entries, in their order, rounded as they will be written. */
function entriesOf({ segments, interleaved, degree, format }: LookupFunction): readonly (readonly number[])[] {
  const quantize = quantizer(format);
  const each = segments.map((segment) =>
    Array.from({ length: segment.entries }, (_, n) => polynomial(segment, n, degree, quantize)),
  );
  if (!interleaved) return each.flat();
  return (each[0] ?? []).flatMap((_, n) => each.map((column) => column[n] ?? []));
}

type Quantize = (c: number, k: number) => number;

/** The number that is written for coefficient `k`. */
function quantizer(format: CoefficientFormat): Quantize {
  switch (format.kind) {
    case 'f32':
      return (c) => Math.fround(c);
    case 'bf16':
      return (c) => round(bf16, c, 'rhne');
    case 'f16':
      return (c) => fromHalf(halfBits(c));
    default: {
      const limit = 2 ** (format.kind === 'i16' ? 15 : 7);
      const { scales } = format;
      return (c, k) => {
        const scale = 2 ** (scales[k] ?? 0);
        return Math.min(limit - 1, Math.max(-limit, Math.round(c * scale))) / scale;
      };
    }
  }
}

/** Writes two bytes; a coefficient of one byte twice. */
function writer(format: CoefficientFormat): (to: Uint8Array, at: number, c: number, k: number) => void {
  const bits = (c: number, k: number): number => {
    if (format.kind === 'bf16') return toBits(bf16, c);
    if (format.kind === 'f16') return halfBits(c);
    const scaled = 'scales' in format ? c * 2 ** (format.scales[k] ?? 0) : c;
    return format.kind === 'i8' ? (scaled & 0xff) * 0x101 : scaled;
  };
  return (to, at, c, k) => {
    const word = bits(c, k);
    to[at] = word;
    to[at + 1] = word >> 8;
  };
}

/** The number that bits of binary16 stand for; coefficients are no infinities. */
function fromHalf(bits: number): number {
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const value = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -value : value;
}

/** The polynomial for interval `n`, in the distance from its start. */
function polynomial(segment: Segment, n: number, degree: 0 | 1 | 2, quantize: Quantize): readonly number[] {
  const { start, length, entries, f } = segment;
  const width = length / entries;
  const x = start + n * width;
  if (degree === 0) return [quantize(f(x), 0)];
  return degree === 1 ? line(x, width, f, quantize) : quadratic(x, width, f, quantize);
}

/** The slope between the ends of the interval, which is that of the best line through a curve that bends one way. */
function line(x: number, width: number, f: (x: number) => number, quantize: Quantize): readonly [number, number] {
  // The end of the last interval may be the beginning of what the function is not.
  const end = width * (1 - 2 ** -20);
  const c1 = quantize((f(x + end) - f(x)) / end, 1);
  const rests = Array.from({ length: 17 }, (_, k) => f(x + (end * k) / 16) - c1 * ((end * k) / 16));
  return [quantize((Math.max(...rests) + Math.min(...rests)) / 2, 0), c1];
}

/**
 * The quadratic through the three Chebyshev points, which is the best one up to a few percent of its error. C2 is rounded
 * first; then what is lost goes into C1, and into C0.
 */
function quadratic(
  x: number,
  width: number,
  f: (x: number) => number,
  quantize: Quantize,
): readonly [c0: number, c1: number, c2: number] {
  const points = [5, 3, 1].map((k) => (width / 2) * (1 + Math.cos((k * Math.PI) / 6)));
  const [d0, d1, d2] = points as [number, number, number];
  const [y0, y1, y2] = [f(x + d0), f(x + d1), f(x + d2)];
  const slope = (y1 - y0) / (d1 - d0);
  const c2 = quantize(((y2 - y1) / (d2 - d1) - slope) / (d2 - d0), 2);
  const c1 = quantize((y2 - y0) / (d2 - d0) - c2 * (d0 + d2), 1);
  const rests = [y0, y1, y2].map((y, k) => y - (points[k] as number) * (c1 + c2 * (points[k] as number)));
  return [quantize((Math.max(...rests) + Math.min(...rests)) / 2, 0), c1, c2];
}
