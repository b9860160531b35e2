/** The configuration space of a PCI function, as a driver reaches it. */

import type { PciFunction } from '../../pci/function.ts';

/** Capabilities that a list has at most: one that goes on is none (drivers/pci/pci.c, PCI_FIND_CAP_TTL). */
const MOST = 48;

export class ConfigSpace {
  readonly #function: PciFunction;
  readonly #word = new DataView(new ArrayBuffer(4));
  readonly #capabilities = new Map<number, number>();
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

  /** Offset of a capability, looked for once, as the kernel does when it finds the function. @throws Error where there is none */
  capability(id: number): number {
    const known = this.#capabilities.get(id);
    if (known !== undefined) return known;
    let at = this.read(0x34) & 0xff;
    for (let left = MOST; at !== 0 && left > 0; left--) {
      if ((this.read(at) & 0xff) === id) {
        this.#capabilities.set(id, at);
        return at;
      }
      at = (this.read(at) >>> 8) & 0xff;
    }
    throw new Error(`${this.#function.name} has no capability ${id}`);
  }

  /** Places a BAR of 64 bits. @param address on the bus */
  place(bar: number, address: number): void {
    this.write(0x10 + 4 * bar, address % 2 ** 32);
    this.write(0x14 + 4 * bar, Math.floor(address / 2 ** 32));
  }
}
