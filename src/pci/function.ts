/** A PCI function as its host sees it. Whoever serves or simulates a bus knows this, and not which device it is. */

import type { Memory } from '../sim/memory.ts';
import type { FunctionPorts } from './ports.ts';

/** A piece of a region that a host may map instead of trapping every access. Offsets and size are multiples of 4096. */
export interface MappablePiece {
  /** Offset within the region, bytes. */
  readonly offset: number;
  readonly size: number;
  readonly memory: Memory;
  /** Where the piece begins in `memory`. */
  readonly memoryOffset: number;
}

/** An address range of a function: the backing of a BAR, or its configuration space. Offsets and sizes in bytes. */
export interface Region {
  readonly size: number;
  /** Ascending and disjoint. What is not listed traps. */
  readonly mappable: readonly MappablePiece[];
  /** Fills `target` from `offset`. The range lies inside the region. */
  read(offset: number, target: Uint8Array): void;
  write(offset: number, source: Uint8Array): void;
}

export interface Bar {
  readonly index: 0 | 1 | 2 | 3 | 4 | 5;
  readonly kind: 'memory32' | 'memory64' | 'io';
  readonly prefetchable: boolean;
  readonly region: Region;
}

export type ResetKind = 'function-level' | 'conventional';

export interface PciFunction {
  /** For messages, e.g. `gaudi0`. */
  readonly name: string;
  /** 4096 bytes. Reads and writes have their side effects: sizing, decode enable, MSI enable, FLR. */
  readonly config: Region;
  /** In order of index. */
  readonly bars: readonly Bar[];
  /** Vectors offered per kind: intx 0 or 1, msi and msix as their capabilities say. */
  readonly vectors: { readonly intx: number; readonly msi: number; readonly msix: number };
  /** Gives the ports. Called once, before any access. */
  connect(ports: FunctionPorts): void;
  reset(kind: ResetKind): void;
  /** Where the host has placed the BAR, or undefined while it does not decode. */
  barAddress(index: number): number | undefined;
  /** Releases memory and ends processes. */
  close(): void;
}
