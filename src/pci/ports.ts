/** What a PCI function is given by whoever puts it into a machine. It reaches nothing outside but through these. */

import type { Clock } from '../sim/clock.ts';

export type Done = (error?: Error) => void;

/**
 * The function as bus master. Addresses are bus addresses (safe integers); whatever answers there (host memory, a
 * peer's BAR) is the fabric's business.
 */
export interface DmaPort {
  /**
   * The bytes of [address, address + length) where they can be reached directly and with this access, else undefined
   * (nothing there, not permitted, or reachable by messages only). Valid until the caller next gives up control.
   */
  view(address: number, length: number, access: 'read' | 'write'): Uint8Array | undefined;
  /** Reads into `target`. `done` is called exactly once, maybe before this returns; its error says that nothing answered. */
  read(address: number, target: Uint8Array, done: Done): void;
  /** Writes `source`, which must not change until `done`. */
  write(address: number, source: Uint8Array, done: Done): void;
  /** One 32-bit store at an address aligned to 4 that the other side may poll: never seen in halves, never repeated. */
  store32(address: number, value: number, done: Done): void;
}

export type InterruptKind = 'intx' | 'msi' | 'msix';

export interface FunctionPorts {
  readonly dma: DmaPort;
  readonly clock: Clock;
  /** Raises a vector; ignored where the host has not enabled it. */
  interrupt(kind: InterruptKind, vector: number): void;
  /**
   * True where the host keeps the MSI-X table itself and the function's own is not written: then masking single
   * vectors is the host's business (QEMU traps the table, hw/vfio/pci.c). Default false.
   */
  readonly hostKeepsMsixTable?: boolean;
}
