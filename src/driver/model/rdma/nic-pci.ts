/**
 * The NIC on its bus, as the driver reaches it: BARs and MSI-X vectors. Source: efa_main.c (efa_probe_device,
 * efa_enable_msix), drivers/pci/msi.
 */

import type { PciFunction, Region } from '../../../pci/function.ts';
import { ConfigSpace } from '../config-space.ts';

/** efa_main.c, EFA_REG_BAR and EFA_MEM_BAR; where the doorbells are the device tells. */
export const BAR = { REGISTERS: 0, MEMORY: 2 } as const;
const CAPABILITY = { MSIX: 0x11 } as const;
const COMMAND = { OFFSET: 0x04, MEMORY: 1 << 1, MASTER: 1 << 2 } as const;
/** Message Control in the upper half of the capability's first word, and the place of the table (linux/pci_regs.h). */
const MSIX = { SIZE_SHIFT: 16, SIZE: 0x7ff, ENABLE: 0x8000_0000, TABLE: 4, BIR: 0x7, ENTRY: 16 } as const;
/** Where a kernel sends interrupts: the local interrupt controller. */
const MSI_ADDRESS = 0xfee0_0000;

/** Where the kernel places the BARs of the first NIC, below those of the cards; every NIC has this much. */
const WINDOW = { FIRST: 0x70_0000_0000, SIZE: 0x1_0000_0000 } as const;

export class NicPci {
  readonly function: PciFunction;
  readonly #config: ConfigSpace;
  readonly #window: number;
  readonly #registers: Region;
  readonly #word = new DataView(new ArrayBuffer(4));
  readonly #bytes = new Uint8Array(this.#word.buffer);

  /** @param number of the NIC, for the addresses of its BARs. */
  constructor(fn: PciFunction, number: number) {
    this.function = fn;
    this.#config = new ConfigSpace(fn);
    this.#window = WINDOW.FIRST + number * WINDOW.SIZE;
    this.#registers = this.bar(BAR.REGISTERS) as Region;
  }

  get vendor(): number {
    return this.#config.read(0) & 0xffff;
  }

  get deviceId(): number {
    return this.#config.read(0) >>> 16;
  }

  get subsystem(): number {
    return this.#config.read(0x2c) >>> 16;
  }

  /** MSI-X vectors that it has. */
  get vectors(): number {
    const control = this.#config.read(this.#config.capability(CAPABILITY.MSIX)) >>> MSIX.SIZE_SHIFT;
    return (control & MSIX.SIZE) + 1;
  }

  /** What a kernel does before a driver sees the NIC: places the BARs, each aligned to its size. */
  enumerate(): void {
    let address = this.#window;
    for (const { index, region } of this.function.bars) {
      address = Math.ceil(address / region.size) * region.size;
      this.#config.place(index, address);
      address += region.size;
    }
  }

  enable(): void {
    this.#config.write(COMMAND.OFFSET, COMMAND.MEMORY | COMMAND.MASTER);
  }

  disable(): void {
    this.#config.write(COMMAND.OFFSET, 0);
  }

  /** pci_alloc_irq_vectors. @param count vectors that are unmasked */
  enableMsix(count: number): void {
    const at = this.#config.capability(CAPABILITY.MSIX);
    const place = this.#config.read(at + MSIX.TABLE);
    const table = this.bar(place & MSIX.BIR) as Region;
    const offset = place - (place & MSIX.BIR);
    for (let vector = 0; vector < count; vector++) {
      [MSI_ADDRESS, 0, vector, 0].forEach((value, i) => {
        this.#word.setUint32(0, value, true);
        table.write(offset + vector * MSIX.ENTRY + 4 * i, this.#bytes);
      });
    }
    this.#config.write(at, this.#config.read(at) | MSIX.ENABLE);
  }

  disableMsix(): void {
    const at = this.#config.capability(CAPABILITY.MSIX);
    this.#config.write(at, this.#config.read(at) & ~MSIX.ENABLE);
  }

  /** writel to BAR 0. */
  write(offset: number, value: number): void {
    this.#word.setUint32(0, value >>> 0, true);
    this.#registers.write(offset, this.#bytes);
  }

  bar(index: number): Region | undefined {
    return this.function.bars.find((candidate) => candidate.index === index)?.region;
  }
}
