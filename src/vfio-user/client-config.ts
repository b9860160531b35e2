/** Configuration space as a client has it. */

import type { MappablePiece, Region } from '../pci/function.ts';

/** Base address registers of a function's header (PCI Local Bus 3.0, 6.2.5.1). */
const BARS = { begin: 0x10, end: 0x28 } as const;

/**
 * BARs stay where the client has put them when a write has the function reset itself. It has registers of its own for them, which such
 * a reset does not reach, and does not write them again: VFIO in the kernel restores what the reset has taken
 * (drivers/vfio/pci/vfio_pci_config.c, vfio_exp_config_write), and clients rely on it (QEMU, hw/vfio/pci.c).
 */
export class ClientConfig implements Region {
  readonly #config: Region;

  /** @param config of the function */
  constructor(config: Region) {
    this.#config = config;
  }

  get size(): number {
    return this.#config.size;
  }

  get mappable(): readonly MappablePiece[] {
    return this.#config.mappable;
  }

  read(offset: number, target: Uint8Array): void {
    this.#config.read(offset, target);
  }

  write(offset: number, source: Uint8Array): void {
    if (offset < BARS.end && offset + source.length > BARS.begin) {
      this.#config.write(offset, source);
      return;
    }
    const before = this.#bars();
    this.#config.write(offset, source);
    if (Buffer.compare(before, this.#bars()) !== 0) this.#config.write(BARS.begin, before);
  }

  #bars(): Uint8Array {
    const bytes = new Uint8Array(BARS.end - BARS.begin);
    this.#config.read(BARS.begin, bytes);
    return bytes;
  }
}
