/** The configuration space of a PCI function, as a driver reaches it. */

import type { PciFunction } from '../../pci/function.ts';

export class ConfigSpace {
  readonly #function: PciFunction;
  readonly #word = new DataView(new ArrayBuffer(4));
  readonly #bytes = new Uint8Array(this.#word.buffer);

  constructor(fn: PciFunction) {
    this.#function = fn;
  }

  /** @param offset a multiple of 4 */
  read(offset: number): number {
    this.#function.config.read(offset, this.#bytes);
    return this.#word.getUint32(0, true);
  }

  write(offset: number, value: number): void {
    this.#word.setUint32(0, value >>> 0, true);
    this.#function.config.write(offset, this.#bytes);
  }

  /** Offset of a capability. @throws Error where there is none */
  capability(id: number): number {
    for (let at = this.read(0x34) & 0xff; at !== 0; at = (this.read(at) >>> 8) & 0xff) {
      if ((this.read(at) & 0xff) === id) return at;
    }
    throw new Error(`${this.#function.name} has no capability ${id}`);
  }

  /** Places a BAR of 64 bits. @param address on the bus */
  place(bar: number, address: number): void {
    this.write(0x10 + 4 * bar, address % 2 ** 32);
    this.write(0x14 + 4 * bar, Math.floor(address / 2 ** 32));
  }
}
