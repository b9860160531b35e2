/** What of the memory of the host and of each card was told of, and for how long. */

import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { eventsOf } from './facts.ts';
import { type TraceData, whole } from './trace-data.ts';

/** A piece of memory that was allocated, mapped, exported, registered with a NIC or used by a DMA engine, and for how long. */
export interface Region {
  readonly event: number;
  /** E.g. `gaudi0 HBM`. */
  readonly space: string;
  readonly kind: 'allocation' | 'mapping' | 'export' | 'registration' | 'transfer';
  readonly address: bigint;
  /** Bytes. */
  readonly size: number;
  /** Nanoseconds; what is never given back ends after everything else. */
  readonly begin: number;
  readonly end: number;
  readonly label: string;
}

interface Kind {
  readonly kind: Exclude<Region['kind'], 'transfer'>;
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
    const address = BigInt(whole(values.address));
    const owner = String(values.owner ?? '');
    const place = String(values.space ?? '');
    if (change.kind === 'allocation' && values.address === undefined) continue;
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
    const virtual = whole(values.virtual);
    const region = {
      event,
      space,
      kind: change.kind,
      address,
      size: whole(values.size),
      begin: time,
      end: Number.POSITIVE_INFINITY,
      label: virtual === 0 ? how : `${how}, for the device at 0x${virtual.toString(16)}`,
    };
    result.push(region);
    const others = open.get(key);
    if (others) others.push(region);
    else open.set(key, [region]);
  }
  return [...result, ...touched(data)];
}

/** What DMA engines have read or written of their card's memory: each place from the first time on. */
function touched(data: TraceData): Region[] {
  const result = new Map<string, Region>();
  for (const event of eventsOf(data, 'dma')) {
    const values = Object.fromEntries(data.fields(event).map(({ name, value }) => [name, value]));
    const card = data.tracks[data.track[event] as number]?.path[1] ?? '';
    const size = whole(values.bytes);
    // a transfer of rows lies in more than its bytes: its places are not known
    if (Number(values.rows ?? 1) > 1) continue;
    const copies = data.names[data.name[event] as number] === 'copy';
    for (const end of copies ? (['source', 'destination'] as const) : (['destination'] as const)) {
      const address = whole(values[end]);
      const place = placeOf(address);
      if (place === undefined || size === 0) continue;
      const key = `${card} ${address} ${size}`;
      if (result.has(key)) continue;
      result.set(key, {
        event,
        space: `${card} ${place}`,
        kind: 'transfer',
        address: BigInt(address),
        size,
        begin: data.start[event] as number,
        end: Number.POSITIVE_INFINITY,
        label: end === 'source' ? 'read by DMA' : 'written by DMA',
      });
    }
  }
  return [...result.values()];
}

function placeOf(address: number): string | undefined {
  const { HBM_BASE, HBM_SIZE, SRAM_BASE, SRAM_SIZE } = addressMap;
  if (address >= HBM_BASE && address < HBM_BASE + HBM_SIZE) return 'HBM';
  return address >= SRAM_BASE && address < SRAM_BASE + SRAM_SIZE ? 'SRAM' : undefined;
}

/** By space: bytes that the driver has counted as allocated, where programs choose the addresses, after each change. */
export function counted(data: TraceData): Map<string, { readonly time: number; readonly bytes: number }[]> {
  const result = new Map<string, { readonly time: number; readonly bytes: number }[]>();
  for (const event of eventsOf(data, 'memory')) {
    const how = data.names[data.name[event] as number] ?? '';
    if (how !== 'allocate' && how !== 'free') continue;
    const values = Object.fromEntries(data.fields(event).map(({ name, value }) => [name, value]));
    if (values.address !== undefined) continue;
    const space = `${values.owner ?? ''} ${SPACES[String(values.space)] ?? values.space}`;
    const levels = result.get(space) ?? [];
    result.set(space, levels);
    const by = whole(values.size) * (how === 'free' ? -1 : 1);
    levels.push({ time: data.start[event] as number, bytes: (levels.at(-1)?.bytes ?? 0) + by });
  }
  return result;
}
