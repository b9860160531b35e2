/**
 * The card on its bus, as the driver reaches it: configuration space, BARs, registers, memory, interrupts.
 * Source: common/pci/pci.c (hl_pci_init, hl_pci_elbi_write, hl_pci_set_inbound_region, hl_pci_set_outbound_region),
 * gaudi.c (gaudi_init_iatu, gaudi_enable_msi, gaudi_disable_msi).
 */

import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { DBI_IATU, ELBI, IATU_CTRL_2, iatu } from '../../../specs/gaudi/registers/pcie.ts';
import type { PciFunction, Region } from '../../pci/function.ts';
import { ConfigSpace } from './config-space.ts';
import type { Errno } from './errno.ts';
import { blockBase, high, low } from './registers.ts';

/** Numbers of the BARs (gaudi.h): on-chip memory, registers, DRAM. */
const BAR = { SRAM: 0, CFG: 2, HBM: 4 } as const;
/** Sizes that the driver checks (gaudi.h, SRAM_BAR_SIZE and CFG_BAR_SIZE). */
const SIZE = { [BAR.SRAM]: 64 * 1024 ** 2, [BAR.CFG]: 128 * 1024 ** 2 };
/** habanalabs_drv.c, PCI_IDS_GAUDI. */
const DEVICE_ID = 0x1000;
const CAPABILITY = { MSI: 0x05, PCIE: 0x10 } as const;
/** Device Control, the lower half of the register, with what initiates a function-level reset. */
const DEVCTL = { OFFSET: 8, MASK: 0xffff, FLR: 1 << 15 } as const;
const COMMAND = { OFFSET: 0x04, MEMORY: 1 << 1, MASTER: 1 << 2 } as const;
const MSI_ENABLE = 0x1_0000;
/** Where a kernel sends interrupts: the local interrupt controller. */
const MSI_ADDRESS = 0xfee0_0000;
/** The address of registers that ELBI takes: the low half of the device address. */
const ELBI_BASE = low(addressMap.CFG_BASE);

/** Where the kernel places the BARs of the first card; every card has this much. */
const WINDOW = { FIRST: 0x80_0000_0000, SIZE: 0x10_0000_0000 } as const;

export class PciDevice {
  readonly function: PciFunction;
  readonly #word = new DataView(new ArrayBuffer(4));
  readonly #wordBytes = new Uint8Array(this.#word.buffer);
  readonly #config: ConfigSpace;
  readonly #registers: Region;
  readonly #sram: Region;
  readonly #hbm: Region;
  readonly #window: number;

  /** @param number of the card, for the addresses of its BARs. */
  constructor(fn: PciFunction, number: number) {
    this.function = fn;
    this.#config = new ConfigSpace(fn);
    this.#window = WINDOW.FIRST + number * WINDOW.SIZE;
    this.#registers = this.#bar(BAR.CFG);
    this.#sram = this.#bar(BAR.SRAM);
    this.#hbm = this.#bar(BAR.HBM);
  }

  /** Bus address and bytes of the DRAM's BAR. */
  get dram(): { readonly start: number; readonly size: number } {
    return { start: this.#window, size: this.#hbm.size };
  }

  get revision(): number {
    return this.#config.read(0x08) & 0xff;
  }

  get deviceId(): number {
    return this.#config.read(0) >>> 16;
  }

  /** What a kernel does before a driver sees the card: places the BARs, the large one first. */
  enumerate(): void {
    let address = this.#window;
    for (const bar of [BAR.HBM, BAR.CFG, BAR.SRAM]) {
      this.#config.place(bar, address);
      address += this.#bar(bar).size;
    }
  }

  /** @returns the errno of a card whose BARs are not a Gaudi's (gaudi_early_init). */
  checkBars(): Errno | undefined {
    const wrong = [BAR.SRAM, BAR.CFG].some((bar) => this.#bar(bar).size !== SIZE[bar as 0 | 2]);
    return wrong ? 'ENODEV' : undefined;
  }

  /** is_pci_link_healthy: whether the card answers with its identity. */
  get linkHealthy(): boolean {
    return this.deviceId === DEVICE_ID;
  }

  /** hl_pci_init: memory space and bus mastering on, then the windows of the card (gaudi_init_iatu). */
  enable(): void {
    this.#config.write(COMMAND.OFFSET, COMMAND.MEMORY | COMMAND.MASTER);
    this.#inbound(0, BAR.SRAM, addressMap.SRAM_BASE);
    this.#inbound(1, BAR.CFG, addressMap.SPI_FLASH_BASE);
    this.#inbound(2, BAR.HBM, addressMap.HBM_BASE);
    this.#outbound(addressMap.HOST_BASE, addressMap.HOST_SIZE);
  }

  /** pci_reset_function: the function resets itself; its header and MSI are restored (drivers/pci/pci.c, pcie_flr). */
  resetFunction(): void {
    const config = this.#config;
    const msi = config.capability(CAPABILITY.MSI);
    const control = config.capability(CAPABILITY.PCIE) + DEVCTL.OFFSET;
    const kept = [COMMAND.OFFSET, msi + 4, msi + 8, msi + 12, msi].map((at) => [at, config.read(at)] as const);
    const before = config.read(control) & DEVCTL.MASK;
    config.write(control, before | DEVCTL.FLR);
    config.write(control, before);
    this.enumerate();
    // the upper half of the command register is cleared by what is written to it
    for (const [at, value] of kept) config.write(at, at === COMMAND.OFFSET ? value & 0xffff : value);
  }

  enableMsi(): void {
    const at = this.#config.capability(CAPABILITY.MSI);
    this.#config.write(at + 4, MSI_ADDRESS);
    this.#config.write(at + 8, 0);
    this.#config.write(at, this.#config.read(at) | MSI_ENABLE);
  }

  disableMsi(): void {
    const at = this.#config.capability(CAPABILITY.MSI);
    this.#config.write(at, this.#config.read(at) & ~MSI_ENABLE);
  }

  /** RREG32. @param offset from the start of the configuration space. */
  read(offset: number): number {
    this.#registers.read(CFG_IN_BAR + offset, this.#wordBytes);
    return this.#word.getUint32(0, true);
  }

  /** WREG32. */
  write(offset: number, value: number): void {
    this.#word.setUint32(0, value >>> 0, true);
    this.#registers.write(CFG_IN_BAR + offset, this.#wordBytes);
  }

  /** Memory of the card through its BARs. @param address device address of HBM or SRAM. */
  readMemory(address: number, target: Uint8Array): void {
    const { region, offset } = this.#memory(address);
    region.read(offset, target);
  }

  writeMemory(address: number, source: Uint8Array): void {
    const { region, offset } = this.#memory(address);
    region.write(offset, source);
  }

  /** hl_pci_elbi_read. @returns undefined where the access failed */
  elbiRead(offset: number): number | undefined {
    return this.#elbi(ELBI_BASE + offset);
  }

  #memory(address: number): { region: Region; offset: number } {
    if (address >= addressMap.SRAM_BASE) return { region: this.#sram, offset: address - addressMap.SRAM_BASE };
    return { region: this.#hbm, offset: address - addressMap.HBM_BASE };
  }

  #inbound(region: number, bar: number, address: number): void {
    const { rows } = iatu;
    const at = (row: { readonly offset: number }) => row.offset + region * 0x200;
    this.#iatu(at(rows.INBOUND_LOWER_TARGET), low(address));
    this.#iatu(at(rows.INBOUND_UPPER_TARGET), high(address));
    this.#iatu(at(rows.INBOUND_CTRL_1), 0);
    const { ENABLE, BAR_MATCH, BAR_VALID, BAR_SHIFT } = IATU_CTRL_2;
    this.#iatu(at(rows.INBOUND_CTRL_2), ENABLE + BAR_MATCH + BAR_VALID + (bar << BAR_SHIFT));
    this.#elbi(this.#dbi(), 0);
  }

  #outbound(base: number, size: number): void {
    const { rows } = iatu;
    const last = base + size - 1;
    this.#iatu(rows.OUTBOUND_LOWER_BASE.offset, low(base));
    this.#iatu(rows.OUTBOUND_UPPER_BASE.offset, high(base));
    this.#iatu(rows.OUTBOUND_LOWER_LIMIT.offset, low(last));
    this.#iatu(rows.OUTBOUND_LOWER_TARGET.offset, 0);
    this.#iatu(rows.OUTBOUND_UPPER_TARGET.offset, 0);
    this.#iatu(rows.OUTBOUND_UPPER_LIMIT.offset, high(last));
    this.#iatu(rows.OUTBOUND_CTRL_1.offset, 0x2000);
    this.#iatu(rows.OUTBOUND_CTRL_2.offset, IATU_CTRL_2.ENABLE);
    this.#elbi(this.#dbi(), 0);
  }

  #iatu(offset: number, value: number): void {
    this.#elbi(this.#dbi(), DBI_IATU);
    this.#elbi(ELBI_BASE + blockBase('PCIE_DBI') + offset, value);
  }

  #dbi(): number {
    return ELBI_BASE + blockBase('PCIE_AUX') + 0x490;
  }

  #elbi(address: number, data?: number): number | undefined {
    const at = ELBI.OFFSET;
    this.#config.write(at + 0xc, 0);
    this.#config.write(at, address);
    if (data !== undefined) this.#config.write(at + 4, data);
    this.#config.write(at + 8, data === undefined ? 0 : ELBI.CTRL_WRITE);
    if ((this.#config.read(at + 0xc) & ELBI.STS_DONE) === 0) return undefined;
    return this.#config.read(at + 4);
  }

  #bar(index: number): Region {
    const bar = this.function.bars.find((candidate) => candidate.index === index);
    if (!bar) throw new Error(`${this.function.name} has no BAR ${index}`);
    return bar.region;
  }
}

/** Registers lie in the second half of their BAR (gaudi_pci_bars_map). */
const CFG_IN_BAR = addressMap.CFG_BASE - addressMap.SPI_FLASH_BASE;
