/** What the views of links and sync objects show, read out of a trace's events. */

import { field, type TraceData, whole } from './trace-data.ts';

/** Bytes that went from one place to another. */
export interface Transfer {
  readonly event: number;
  /** Device, or `host` for its memory. */
  readonly from: string;
  readonly to: string;
  readonly bytes: number;
  /** Nanoseconds. */
  readonly time: number;
}

export interface SyncObject {
  /** E.g. `gaudi0 SOB 12`. */
  readonly name: string;
  readonly changes: readonly { readonly event: number; readonly time: number; readonly value: number }[];
}

/** Events of a category, in the order of their beginnings. */
export function* eventsOf(data: TraceData, category: string): Generator<number> {
  const wanted = data.categories.indexOf(category);
  if (wanted < 0) return;
  for (const event of data.order) if (data.category[event] === wanted) yield event;
}

/** Who moved what to whom: what is read comes from the other. */
export function transfers(data: TraceData): Transfer[] {
  const result: Transfer[] = [];
  for (const event of eventsOf(data, 'bus')) {
    const values = Object.fromEntries(data.fields(event).map(({ name, value }) => [name, value]));
    const [asker, answerer] = [String(values.from ?? ''), String(values.to ?? '')];
    const written = values.access === 'write';
    result.push({
      event,
      from: written ? asker : answerer,
      to: written ? answerer : asker,
      bytes: whole(values.bytes),
      time: data.start[event] as number,
    });
  }
  return result;
}

/** By device: the switch that it is below, else its root port. */
export function bridges(data: TraceData): Map<string, string> {
  const result = new Map<string, string>();
  for (const event of eventsOf(data, 'device')) {
    const ports = String(field(data, event, 'path') ?? '').split('/');
    // below a switch: the root port, the switch's upstream port, its downstream port
    const bridge = ports.length > 2 ? ports.at(-2)?.replace(/-up$/, '') : ports[0];
    if (bridge) result.set(data.names[data.name[event] as number] ?? '', bridge);
  }
  return result;
}

/** Sync objects that changed, by device and index. */
export function syncObjects(data: TraceData): SyncObject[] {
  const all = new Map<
    string,
    { name: string; at: number; changes: { event: number; time: number; value: number }[] }
  >();
  const several = new Set(data.lanes.map(({ track }) => data.tracks[track]?.path[0])).size > 1;
  for (const event of eventsOf(data, 'sync_object')) {
    const path = data.tracks[data.track[event] as number]?.path ?? [];
    const index = whole(field(data, event, 'object'));
    const name = `${path.slice(several ? 0 : 1, -1).join(' ')} SOB ${index}`;
    const known = all.get(name) ?? { name, at: index, changes: [] };
    all.set(name, known);
    known.changes.push({ event, time: data.start[event] as number, value: whole(field(data, event, 'value')) });
  }
  return [...all.values()];
}
