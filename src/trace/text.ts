/** Events of a trace as text and as JSON. */

import { type EventRow, type FieldRow, traceEvents } from './events.ts';
import type { TraceColumns, TraceReader, TraceValue } from './reader.ts';

const rows: Readonly<Record<string, EventRow>> = traceEvents;

/** What a row says of a field; undefined of one that it has not. */
export function fieldRow(category: string, field: string): FieldRow | undefined {
  const row = Object.hasOwn(rows, category) ? rows[category] : undefined;
  if (!row) return undefined;
  if (Object.hasOwn(row.fields, field)) return row.fields[field];
  return Object.hasOwn(row.results, field) ? row.results[field] : undefined;
}

/** A value for a person: addresses and raw bytes in hexadecimal, control characters never. */
export function valueText(value: TraceValue, kind?: FieldRow['kind']): string {
  if (value instanceof Uint8Array) return value.toHex();
  if (typeof value === 'string') return printable(value);
  if (kind === 'address' || kind === 'word') return `0x${value.toString(16)}`;
  return String(value);
}

/** A file may hold anything: nothing of it tells a terminal what to do. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are meant
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '\ufffd');
}

/** One event, as the terminal and programs are told of it. */
export interface TraceEntry {
  /** Nanoseconds. */
  readonly time: number;
  /** Nanoseconds; undefined of an instant, null of what is still under way at the end. */
  readonly duration?: number | null;
  readonly track: string;
  readonly kind: string;
  readonly name: string;
  readonly fields: Readonly<Record<string, TraceValue>>;
  readonly flows?: readonly number[];
}

export function entryOf(trace: TraceReader, columns: TraceColumns, event: number): TraceEntry {
  const time = columns.start[event] as number;
  const end = columns.end[event] as number;
  const kind = trace.categories[columns.category[event] as number] as string;
  const flows = trace.flows(event);
  const slice = end !== time || (Object.hasOwn(rows, kind) && rows[kind]?.shape === 'slice');
  return {
    time,
    ...(slice ? { duration: Number.isNaN(end) ? null : end - time } : {}),
    track: (trace.tracks[columns.track[event] as number]?.path ?? []).map(printable).join('/'),
    kind: printable(kind),
    name: printable(trace.names[columns.name[event] as number] as string),
    fields: trace.fields(event),
    ...(flows.length > 0 ? { flows } : {}),
  };
}

/** Time, duration, track, kind, name and fields, in a line. */
export function entryText({ time, duration, track, kind, name, fields }: TraceEntry): string {
  const took = duration === undefined ? '' : duration === null ? ' (not ended)' : ` +${duration}`;
  const said = Object.entries(fields).map(
    ([field, value]) => `${printable(field)}=${valueText(value, fieldRow(kind, field)?.kind)}`,
  );
  return [`${time}${took}`, track, kind, name === kind ? '' : name, ...said].filter((part) => part !== '').join('  ');
}

/** For JSON: raw bytes as hexadecimal digits, 64-bit numbers as text. */
export function entryJson(entry: TraceEntry): string {
  return JSON.stringify(entry, (_, value: unknown) => {
    if (value instanceof Uint8Array) return value.toHex();
    return typeof value === 'bigint' ? `0x${value.toString(16)}` : value;
  });
}

/** Events in the order of their beginnings, then as the file has them. */
export function byTime({ start }: TraceColumns): Uint32Array {
  const order = Uint32Array.from(start, (_, i) => i);
  let sorted = true;
  for (let i = 1; sorted && i < start.length; i++) sorted = (start[i - 1] as number) <= (start[i] as number);
  return sorted ? order : order.sort((a, b) => (start[a] as number) - (start[b] as number) || a - b);
}

export interface TraceStatistics {
  readonly events: number;
  /** Of the file that could be read. */
  readonly bytes: number;
  readonly clock: 'virtual' | 'wall' | undefined;
  /** Nanoseconds from the first event to the end of the last. */
  readonly span: number;
  readonly kinds: readonly { readonly kind: string; readonly events: number; readonly time: number }[];
  /** Those on which most happened, the busiest first. */
  readonly tracks: readonly { readonly track: string; readonly events: number; readonly time: number }[];
  readonly moved: readonly {
    readonly from: string;
    readonly to: string;
    readonly route: string;
    readonly bytes: number;
  }[];
  /** Slices that had not ended. */
  readonly underWay: number;
  readonly problem?: { readonly category: string; readonly message: string };
}

class Sums {
  readonly #sums = new Map<string, { events: number; time: number }>();

  add(key: string, time: number): void {
    const sum = this.#sums.get(key);
    if (sum) {
      sum.events++;
      sum.time += time;
    } else this.#sums.set(key, { events: 1, time });
  }

  entries(): [string, { events: number; time: number }][] {
    return [...this.#sums].sort(([a, x], [b, y]) => y.events - x.events || (a < b ? -1 : 1));
  }
}

/** @param most tracks that are listed */
export function statistics(trace: TraceReader, most = 20): TraceStatistics {
  const columns = trace.columns();
  const { start, end, category, track } = columns;
  const kinds = new Sums();
  const tracks = new Sums();
  const moved = new Map<string, { from: string; to: string; route: string; bytes: number }>();
  let [first, last, underWay] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  for (let i = 0; i < trace.count; i++) {
    const from = start[i] as number;
    const until = end[i] as number;
    const open = Number.isNaN(until);
    if (open) underWay++;
    const time = open ? 0 : until - from;
    first = Math.min(first, from);
    last = Math.max(last, from + time);
    const kind = trace.categories[category[i] as number] as string;
    kinds.add(printable(kind), time);
    tracks.add(String(track[i]), time);
    if (kind !== 'bus') continue;
    const { from: asker, to: answerer, route, access, bytes } = trace.fields(i);
    if (typeof bytes !== 'number') continue;
    const [source, target] = access === 'read' ? [answerer, asker] : [asker, answerer];
    const key = `${source} ${target} ${route}`;
    const known = moved.get(key);
    if (known) known.bytes += bytes;
    else moved.set(key, { from: text(source), to: text(target), route: text(route), bytes });
  }
  const { problem } = trace;
  return {
    events: trace.count,
    bytes: trace.size,
    clock: trace.clock,
    span: trace.count === 0 ? 0 : last - first,
    kinds: kinds.entries().map(([kind, sum]) => ({ kind, ...sum })),
    tracks: tracks
      .entries()
      .slice(0, most)
      .map(([index, sum]) => ({ track: (trace.tracks[Number(index)]?.path ?? []).map(printable).join('/'), ...sum })),
    moved: [...moved.values()].sort((a, b) => b.bytes - a.bytes),
    underWay,
    ...(problem ? { problem } : {}),
  };
}

function text(value: TraceValue | undefined): string {
  return value === undefined ? '' : valueText(value);
}
