/** Counters of a NIC, as GET_STATS tells them. */

import { type Counter, statistics } from '../../specs/efa/admin.ts';

export type Counters = Record<Counter, number>;

export function counters(): Counters {
  return Object.fromEntries(statistics.flatMap((s) => s.counters.map((name) => [name, 0]))) as Counters;
}

/** The counters of a type, 64 bits each, into `target`. @returns false for a type that does not exist */
export function encodeStatistics(all: Counters, type: number, target: Uint8Array): boolean {
  const row = statistics[type];
  if (!row) return false;
  const view = new DataView(target.buffer, target.byteOffset);
  row.counters.forEach((name, i) => {
    view.setBigUint64(8 * i, BigInt(all[name]), true);
  });
  return true;
}
