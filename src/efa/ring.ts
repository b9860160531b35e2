/** Rings in host memory: at a bus address that registers tell, or inside registered memory. */

import { QUEUE_CAPS } from '../../specs/efa/registers.ts';
import type { DmaPort } from '../pci/ports.ts';
import type { MemoryRegion } from './memory-region.ts';

export type RingPlace =
  | { readonly bus: number; readonly region?: undefined; readonly dma: DmaPort }
  | { readonly region: MemoryRegion; readonly address: number; readonly dma: DmaPort };

/** Bus address of the byte at `offset`. Entries are powers of two and aligned, so none crosses a page. */
export function ringAddress(place: RingPlace, offset: number): number {
  return place.region ? place.region.locate(place.address + offset).bus : place.bus + offset;
}

/** A ring of the admin queues. */
export interface DescribedRing {
  /** Bus address. */
  readonly base: number;
  /** Entries. */
  readonly depth: number;
  /** Bytes. */
  readonly entrySize: number;
  /** Raised for each new entry. */
  readonly vector: number;
}

/** A ring as its three registers describe it. @returns undefined where it is none */
export function describedRing(
  base: number,
  caps: number,
  sizes: readonly number[],
  wide: boolean,
): DescribedRing | undefined {
  const depth = caps & QUEUE_CAPS.DEPTH;
  const size = (caps >>> QUEUE_CAPS.ENTRY_SIZE_SHIFT) & (wide ? 0xffff : 0xff);
  const vector = wide ? 0 : caps >>> QUEUE_CAPS.MSIX_VECTOR_SHIFT;
  if (depth === 0 || (depth & (depth - 1)) !== 0 || !sizes.includes(size) || base % 4 !== 0) return undefined;
  return { base, depth, entrySize: size, vector };
}
