/**
 * A trace in columns, so that a million events can be drawn, searched and counted at once. Times are nanoseconds from the trace's
 * beginning. What an event says of itself is read out of its bytes when it is asked for.
 */

import { Column } from '../../trace/column.ts';

export interface Track {
  /** Of the groups it is in and its own, e.g. `['gaudi0', 'DMA_1', 'CP']`. */
  readonly path: readonly string[];
}

export interface Field {
  readonly name: string;
  readonly value: string | number | bigint | boolean | Uint8Array;
}

/** Events of one row of the timeline: they do not overlap, and are in the order of their times. */
export interface Lane {
  readonly track: number;
  /** 0 for what lies directly on the track, 1 for what happened during that, and so on. */
  readonly depth: number;
  readonly events: Uint32Array;
}

/** How many rows a track may have; what would need more is drawn in the last. */
const MOST_LANES = 24;

/** Puts the events of each track into rows. @param order events in the order of their beginnings */
export function lanesOf(
  tracks: number,
  track: Uint32Array,
  start: Float64Array,
  end: Float64Array,
  order: Uint32Array,
): Lane[] {
  const free: number[][] = Array.from({ length: tracks }, () => []);
  const rows: Column<Uint32Array<ArrayBuffer>>[][] = Array.from({ length: tracks }, () => []);
  for (const event of order) {
    const on = track[event] as number;
    const ends = free[on] as number[];
    const from = start[event] as number;
    let lane = ends.findIndex((until) => until <= from);
    if (lane < 0) lane = Math.min(ends.length, MOST_LANES - 1);
    // An instant takes up a moment too, or a second one at the same time would hide it.
    ends[lane] = Math.max(end[event] as number, ends[lane] ?? Number.NEGATIVE_INFINITY);
    const columns = rows[on] as Column<Uint32Array<ArrayBuffer>>[];
    const column = columns[lane] ?? new Column((size: number) => new Uint32Array(size));
    columns[lane] = column;
    column.push(event);
  }
  return rows.flatMap((columns, on) => columns.map((column, depth) => ({ track: on, depth, events: column.view() })));
}

/** When something happened in several lanes: the first event of each time without a break, and when that ends. */
export interface Summary {
  readonly events: Uint32Array;
  /** Of each of `events`, nanoseconds. */
  readonly ends: Float64Array;
}

export function summaryOf(
  lanes: readonly Lane[],
  { start, end }: { readonly start: Float64Array; readonly end: Float64Array },
): Summary {
  const all = merged(
    lanes.map(({ events }) => events),
    start,
  );
  const ends = new Float64Array(all.length);
  let count = 0;
  for (const event of all) {
    const until = end[event] as number;
    if (count > 0 && (start[event] as number) <= (ends[count - 1] as number)) {
      ends[count - 1] = Math.max(ends[count - 1] as number, until);
      continue;
    }
    all[count] = event;
    ends[count++] = until;
  }
  return { events: all.slice(0, count), ends: ends.slice(0, count) };
}

/** Lists that are in the order of their times as one; pair by pair, so that none is gone through often. */
function merged(lists: readonly Uint32Array[], times: Float64Array): Uint32Array {
  let rest = lists;
  while (rest.length > 1) {
    const next: Uint32Array[] = [];
    for (let at = 0; at < rest.length; at += 2) {
      const [a, b] = [rest[at] as Uint32Array, rest[at + 1]];
      next.push(b ? mergedPair(a, b, times) : a);
    }
    rest = next;
  }
  return rest[0]?.slice() ?? new Uint32Array();
}

function mergedPair(a: Uint32Array, b: Uint32Array, times: Float64Array): Uint32Array {
  const result = new Uint32Array(a.length + b.length);
  let [i, j] = [0, 0];
  for (let at = 0; at < result.length; at++) {
    const fromA =
      j >= b.length || (i < a.length && (times[a[i] as number] as number) <= (times[b[j] as number] as number));
    result[at] = (fromA ? a[i++] : b[j++]) as number;
  }
  return result;
}

/** First index in `events` whose time in `times` is at least `at`. */
export function firstAtLeast(events: Uint32Array, times: Float64Array, at: number, from = 0): number {
  let low = from;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((times[events[middle] as number] as number) < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

const UNITS = [
  [1e9, 's'],
  [1e6, 'ms'],
  [1e3, 'µs'],
  [1, 'ns'],
] as const;

/**
 * @param ns a time or a duration
 * @param step what it has to be told from another by; default: three digits after the point are enough
 */
export function timeText(ns: number, step?: number): string {
  const [scale, unit] = UNITS.find(([size]) => Math.abs(ns) >= size) ?? [1, 'ns'];
  const value = ns / scale;
  const usual = unit === 'ns' ? 1 : 3;
  const digits = step === undefined ? usual : Math.max(0, Math.ceil(-Math.log10(step / scale) - 1e-9));
  return `${value.toLocaleString('en', { maximumFractionDigits: Math.min(digits, 10) })} ${unit}`;
}

const BYTES = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export function bytesText(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), BYTES.length - 1);
  const value = bytes / 1024 ** power;
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${BYTES[power]}`;
}
