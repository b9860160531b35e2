/** What the views are drawn of. */

import type { Field, Lane, Track } from './store.ts';

export interface TraceData {
  readonly title: string;
  readonly tracks: readonly Track[];
  readonly lanes: readonly Lane[];
  /** Nanoseconds from the beginning; `end` is `start` for what is an instant. */
  readonly start: Float64Array;
  readonly end: Float64Array;
  readonly track: Uint32Array;
  /** Index into `names`. */
  readonly name: Uint32Array;
  readonly names: readonly string[];
  /** Index into `categories`. */
  readonly category: Uint32Array;
  readonly categories: readonly string[];
  /** Events that are shown, in the order of their beginnings. */
  readonly order: Uint32Array;
  /** Nanoseconds until the end of the last event. */
  readonly duration: number;
  readonly clock: 'virtual' | 'wall';
  /** What is missing of the file, in words. */
  readonly problem: string | undefined;
  /** What the event says of itself. */
  fields(event: number): readonly Field[];
  /** Events that are shown and those of other machines, in the order of their beginnings. */
  readonly everything: Uint32Array;
  /** Events during which this one was, on its own track, the nearest first. */
  around(event: number): readonly number[];
  /** Events that led to this one, and that it leads to; of one that is in no flow, those of the event around it. */
  links(event: number): { readonly from: readonly number[]; readonly to: readonly number[] };
}

/** One field of an event, where it has it. */
export function field(data: TraceData, event: number, name: string): Field['value'] | undefined {
  return data.fields(event).find((one) => one.name === name)?.value;
}

/** A field's value as a whole number of at least 0: that of a trace which others made may be anything. */
export function whole(value: unknown): number {
  const number = typeof value === 'bigint' ? Number(value) : value;
  return typeof number === 'number' && number > 0 && number < Number.MAX_SAFE_INTEGER ? Math.floor(number) : 0;
}

/** Instead of the name of a machine: all of them. */
export const ALL = '';

/** Of the machines of a run: that on which devices move data between them, else the first; all, where they have one time. */
export function usualMachine(machines: readonly string[], clock: TraceData['clock']): string {
  if (clock === 'wall') return ALL;
  return machines.find((name) => name === 'p2p') ?? machines[0] ?? ALL;
}

/** Names of the machines that the trace is of; each has its own time where it is virtual. */
export function machinesOf(data: TraceData): string[] {
  return [...new Set(data.tracks.map(({ path }) => path[0] ?? ''))];
}

/** Machines on which there are events of a kind. */
export function machinesWith(data: TraceData, category: string): string[] {
  const wanted = data.categories.indexOf(category);
  const tracks = new Set<number>();
  if (wanted < 0) return [];
  for (const event of data.everything) {
    if (data.category[event] === wanted) tracks.add(data.track[event] as number);
  }
  return [...new Set([...tracks].map((track) => data.tracks[track]?.path[0] ?? ''))].sort();
}

/** What of a trace is of one machine. */
export function onlyMachine(data: TraceData, machine: string): TraceData {
  const mine = data.tracks.map(({ path }) => path[0] === machine);
  if (mine.every((one) => one)) return data;
  const order = data.order.filter((event) => mine[data.track[event] as number]);
  let duration = 0;
  for (const event of order) duration = Math.max(duration, data.end[event] as number);
  return { ...data, order, lanes: data.lanes.filter(({ track }) => mine[track]), duration };
}
