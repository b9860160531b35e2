/** What the views are drawn of, made of a trace's bytes as they come. */

import { TraceReader } from '../../trace/reader.ts';
import { type Field, firstAtLeast, type Lane, lanesOf, type Track } from './store.ts';
import type { TraceData } from './trace-data.ts';

export class TraceParser {
  readonly #title: string;
  readonly #reader = new TraceReader();

  constructor(title: string) {
    this.#title = title;
  }

  /** @param bytes what follows on those of before */
  add(bytes: Uint8Array): void {
    this.#reader.append(bytes);
  }

  /** @param trouble why there will be no more */
  result(trouble: string | undefined): TraceData {
    const reader = this.#reader;
    const { count } = reader;
    const columns = reader.columns();
    const [start, end] = [new Float64Array(count), new Float64Array(count)];
    let origin = Number.POSITIVE_INFINITY;
    for (let event = 0; event < count; event++) origin = Math.min(origin, columns.start[event] as number);
    let duration = 0;
    for (let event = 0; event < count; event++) {
      start[event] = (columns.start[event] as number) - origin;
      end[event] = (columns.end[event] as number) - origin;
      // of what is still under way the end is not known
      duration = Math.max(duration, start[event] as number, end[event] || 0);
    }
    const order = inOrder(start);
    const track = columns.track.slice();
    const places = grouped(reader.tracks);
    const placeOf = new Uint32Array(places.length);
    for (const [place, index] of places.entries()) placeOf[index] = place;
    for (let event = 0; event < count; event++) track[event] = placeOf[track[event] as number] as number;
    const tracks = places.map((index) => ({ path: (reader.tracks[index] as Track).path }));
    endOpen(tracks, track, start, end);
    const lanes = lanesOf(tracks.length, track, start, end, order);
    const around = (event: number) => eventsAround(lanes, track, start, end, event);
    const problem = [reader.problem?.message, trouble].filter((text) => text !== undefined).join(' ');
    return {
      title: this.#title,
      tracks,
      lanes,
      start,
      end,
      track,
      name: columns.name.slice(),
      names: reader.names,
      category: columns.category.slice(),
      categories: reader.categories,
      order,
      everything: order,
      duration,
      clock: reader.clock ?? 'wall',
      problem: problem === '' ? undefined : problem,
      fields: (event) => Object.entries(reader.fields(event)).map(([name, value]): Field => ({ name, value })),
      around,
      links: (event) => linksOf(reader, [event, ...around(event)]),
    };
  }
}

/** What is still under way ends with the last event of its machine. */
function endOpen(tracks: readonly Track[], track: Uint32Array, start: Float64Array, end: Float64Array): void {
  const last = new Map<string, number>();
  const machine = (event: number) => tracks[track[event] as number]?.path[0] ?? '';
  const open: number[] = [];
  for (let event = 0; event < end.length; event++) {
    if (Number.isNaN(end[event])) open.push(event);
  }
  if (open.length === 0) return;
  for (let event = 0; event < end.length; event++) {
    const name = machine(event);
    const until = Number.isNaN(end[event]) ? (start[event] as number) : (end[event] as number);
    last.set(name, Math.max(last.get(name) ?? 0, until));
  }
  for (const event of open) end[event] = last.get(machine(event)) ?? (start[event] as number);
}

/** Indices in the order of their times; of those at the same time, as they are in the file. */
function inOrder(start: Float64Array): Uint32Array {
  const order = Uint32Array.from(start, (_, index) => index);
  const sorted = start.every((time, index) => index === 0 || time >= (start[index - 1] as number));
  return sorted ? order : order.sort((a, b) => (start[a] as number) - (start[b] as number) || a - b);
}

const FIRST = ['exercise', 'tests', 'driver'];

/** Places of tracks such that those of a group follow each other, groups in the order in which they were met. */
function grouped(tracks: readonly Track[]): number[] {
  interface Group {
    readonly own: number[];
    readonly groups: Map<string, Group>;
  }
  const root: Group = { own: [], groups: new Map() };
  for (const [index, { path }] of tracks.entries()) {
    let group = root;
    for (const name of path) {
      const next = group.groups.get(name) ?? { own: [], groups: new Map() };
      group.groups.set(name, next);
      group = next;
    }
    group.own.push(index);
  }
  const flat = ({ own, groups }: Group): number[] => {
    // what programs ask for comes before what devices make of it
    const first = FIRST.flatMap((name) => groups.get(name) ?? []);
    const others = [...groups].filter(([name]) => !FIRST.includes(name)).map(([, group]) => group);
    return [...own, ...[...first, ...others].flatMap(flat)];
  };
  return flat(root);
}

/** Slices of the same track in which an event lies, the innermost first. */
function eventsAround(
  lanes: readonly Lane[],
  track: Uint32Array,
  start: Float64Array,
  end: Float64Array,
  event: number,
): number[] {
  const [from, until] = [start[event] as number, end[event] as number];
  const result: number[] = [];
  for (const lane of lanes) {
    if (lane.track !== track[event]) continue;
    const at = firstAtLeast(lane.events, start, from);
    for (const index of [at, at - 1]) {
      const other = lane.events[index];
      if (other === undefined || other === event) continue;
      const [begin, finish] = [start[other] as number, end[other] as number];
      // of what takes no time nothing is a part
      if (begin <= from && finish >= until && finish > begin) result.push(other);
    }
  }
  return result.sort((a, b) => (start[b] as number) - (start[a] as number) || b - a);
}

/**
 * Others that have a flow with it, by whether they were before it.
 * @param events the event, and those around it, from which an event without flows has them
 */
function linksOf(reader: TraceReader, events: readonly number[]): { from: number[]; to: number[] } {
  const [from, to] = [new Set<number>(), new Set<number>()];
  const event = events.find((one) => reader.flows(one).length > 0);
  if (event === undefined) return { from: [], to: [] };
  for (const flow of reader.flows(event)) {
    const chain = [...reader.flowEvents(flow)];
    const at = chain.indexOf(event);
    for (const [index, other] of chain.entries()) if (index !== at) (index < at ? from : to).add(other);
  }
  if (event !== events[0]) from.add(event);
  return { from: [...from], to: [...to] };
}
