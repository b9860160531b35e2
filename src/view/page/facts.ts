/** What the views of memory, links and sync objects show, read out of a trace's events. */

import { field, type TraceData } from './trace-data.ts';

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

/** A piece of memory that was allocated, mapped, exported or registered with a NIC, and for how long. */
export interface Region {
  readonly event: number;
  /** E.g. `gaudi0 HBM`. */
  readonly space: string;
  readonly kind: 'allocation' | 'mapping' | 'export' | 'registration';
  readonly address: bigint;
  /** Bytes. */
  readonly size: number;
  /** Nanoseconds; what is never given back ends after everything else. */
  readonly begin: number;
  readonly end: number;
  readonly label: string;
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
      bytes: Number(values.bytes ?? 0),
      time: data.start[event] as number,
    });
  }
  return result;
}

interface Kind {
  readonly kind: Region['kind'];
  readonly ends: boolean;
}

const CHANGES: Readonly<Record<string, Kind>> = {
  allocate: { kind: 'allocation', ends: false },
  free: { kind: 'allocation', ends: true },
  map: { kind: 'mapping', ends: false },
  unmap: { kind: 'mapping', ends: true },
  export: { kind: 'export', ends: false },
  release: { kind: 'export', ends: true },
  register: { kind: 'registration', ends: false },
  deregister: { kind: 'registration', ends: true },
};
const SPACES: Readonly<Record<string, string>> = { device: 'HBM', sram: 'SRAM' };

export function regions(data: TraceData): Region[] {
  const result: (Region & { end: number })[] = [];
  const open = new Map<string, (Region & { end: number })[]>();
  for (const event of eventsOf(data, 'memory')) {
    const how = data.names[data.name[event] as number] ?? '';
    const change = CHANGES[how];
    if (!change) continue;
    const values = Object.fromEntries(data.fields(event).map(({ name, value }) => [name, value]));
    const address = BigInt(Number(values.address ?? 0));
    const owner = String(values.owner ?? '');
    const place = String(values.space ?? '');
    const space = place === 'host' ? 'host' : `${owner} ${SPACES[place] ?? place}`;
    // What ends is named by what the program knows of it: a mapping by its device address, a registration by its key.
    const known = { mapping: values.virtual, registration: values.handle, allocation: address, export: address }[
      change.kind
    ];
    const key = `${change.kind} ${owner} ${known}`;
    const time = data.start[event] as number;
    if (change.ends) {
      const region = open.get(key)?.pop();
      if (region) region.end = time;
      continue;
    }
    const virtual = Number(values.virtual ?? 0);
    const region = {
      event,
      space,
      kind: change.kind,
      address,
      size: Number(values.size ?? 0),
      begin: time,
      end: Number.POSITIVE_INFINITY,
      label: virtual === 0 ? how : `${how}, for the device at 0x${virtual.toString(16)}`,
    };
    result.push(region);
    const others = open.get(key);
    if (others) others.push(region);
    else open.set(key, [region]);
  }
  return result;
}

/** Sync objects that changed, by device and index. */
export function syncObjects(data: TraceData): SyncObject[] {
  const all = new Map<
    string,
    { name: string; at: number; changes: { event: number; time: number; value: number }[] }
  >();
  for (const event of eventsOf(data, 'sync_object')) {
    const path = data.tracks[data.track[event] as number]?.path ?? [];
    const index = Number(field(data, event, 'object') ?? 0);
    const name = `${path.slice(0, -1).join(' ')} SOB ${index}`;
    const known = all.get(name) ?? { name, at: index, changes: [] };
    all.set(name, known);
    known.changes.push({ event, time: data.start[event] as number, value: Number(field(data, event, 'value') ?? 0) });
  }
  return [...all.values()];
}
