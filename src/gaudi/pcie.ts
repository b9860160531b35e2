/**
 * The chip's side of PCI Express: address translation (iATU), the register window in configuration space (ELBI), the
 * registers that raise interrupts, and the BARs as windows into the map of device addresses.
 */

import { addressMap } from '../../specs/gaudi/address-map.ts';
import { DBI_IATU, ELBI, IATU_CTRL_2, iatu, pcieAux, pcieCore, pcieMsi } from '../../specs/gaudi/registers/pcie.ts';
import { activeRegister, ConfigBlock, register } from '../pci/config-space.ts';
import type { MappablePiece, Region } from '../pci/function.ts';
import type { DmaPort, Done } from '../pci/ports.ts';
import { type ErrorLog, ModelError } from '../sim/errors.ts';
import { RegisterBlock } from '../sim/registers.ts';

export interface PciePorts {
  readonly errors: ErrorLog;
  /** A register by its offset in configuration space, with its effects. */
  read32(offset: number): number;
  write32(offset: number, value: number): void;
  /** The PCI configuration space of the function. */
  readConfig(offset: number): number;
  raiseMsi(vector: number): void;
}

const REGIONS = 8;
const VECTORS = 32;
/** What ELBI addresses are the lower half of: configuration space lies in the 4 GiB that begin here. */
const ELBI_BASE = Math.floor(addressMap.CFG_BASE / 2 ** 32) * 2 ** 32;

/** What the address translation does to one BAR: the device address that it shows, or nothing. */
export type Inbound = (bar: number) => number | undefined;

/** The page where the controller shows its configuration space or, by PCIE_AUX.DBI, its address translation. */
class DbiBlock extends RegisterBlock<typeof iatu.rows> {
  readonly #translation: () => boolean;
  readonly #config: (offset: number) => number;

  constructor(
    bodies: ConstructorParameters<typeof RegisterBlock<typeof iatu.rows>>[2],
    translation: () => boolean,
    config: (offset: number) => number,
  ) {
    super(iatu, 'PCIE_IATU', bodies);
    this.#translation = translation;
    this.#config = config;
  }

  override read32(offset: number): number {
    return this.#translation() ? super.read32(offset) : this.#config(offset);
  }

  override write32(offset: number, value: number): void {
    if (!this.#translation()) {
      throw new ModelError('unimplemented', `PCIE_DBI+0x${offset.toString(16)}`, 'write of configuration space by DBI');
    }
    super.write32(offset, value);
  }
}

export class Pcie {
  readonly dbi: RegisterBlock<typeof iatu.rows>;
  readonly aux = new RegisterBlock(pcieAux, 'PCIE_AUX', {});
  readonly core: RegisterBlock<typeof pcieCore.rows>;
  readonly msi: RegisterBlock<typeof pcieMsi.rows>;
  readonly elbi: ConfigBlock;
  readonly #ports: PciePorts;
  /** Device address per BAR. */
  readonly #inbound = new Map<number, number>();
  /** Told when a region has been set up. */
  onInboundChange: () => void = () => {};

  constructor(ports: PciePorts) {
    this.#ports = ports;
    const moved = (name: 'INBOUND_CTRL_2' | 'INBOUND_LOWER_TARGET' | 'INBOUND_UPPER_TARGET') => ({
      write: (value: number, index: number) => {
        this.dbi.set(name, value, index);
        this.#updateInbound();
        // The driver writes the control word last: only then is a move meant.
        if (name === 'INBOUND_CTRL_2') this.onInboundChange();
      },
    });
    this.dbi = new DbiBlock(
      {
        INBOUND_CTRL_2: moved('INBOUND_CTRL_2'),
        INBOUND_LOWER_TARGET: moved('INBOUND_LOWER_TARGET'),
        INBOUND_UPPER_TARGET: moved('INBOUND_UPPER_TARGET'),
      },
      () => this.aux.get('DBI') === DBI_IATU,
      (offset) => ports.readConfig(offset),
    );
    // The driver, and its command buffers, write 1 for the only vector that they use: bit n is taken for vector n.
    this.core = new RegisterBlock(pcieCore, 'PCIE_CORE', {
      MSI_REQ: {
        write: (value) => {
          for (let vector = 0; vector < VECTORS; vector++) if ((value >>> vector) & 1) ports.raiseMsi(vector);
        },
      },
    });
    this.msi = new RegisterBlock(pcieMsi, 'PCIE_MSI', { INTR: { write: (_, vector) => ports.raiseMsi(vector) } });
    this.elbi = new ConfigBlock(
      'ELBI',
      { size: 16, source: 'habanalabs common/pci/pci.c, mmPCI_CONFIG_ELBI_*' },
      {
        ADDR: register(4, 0x0, 'device address 31:0', { rw: 0xffff_ffff }),
        DATA: register(4, 0x4, 'what to write, or what was read', { rw: 0xffff_ffff }),
        CTRL: activeRegister(4, 0x8, 'starts the access; bit 31: write', { rw: 0x8000_0000 }),
        STS: register(4, 0xc, '31 done, 30 error', { rw: 0xffff_ffff }),
      },
      { CTRL: { written: (value) => this.#elbi(value) } },
    );
  }

  /** The device address that a BAR begins at, or undefined while no region matches it. */
  inbound(bar: number): number | undefined {
    return this.#inbound.get(bar);
  }

  /** The address translation and the controller's registers go back to their reset values. */
  reset(): void {
    this.dbi.reset();
    this.aux.reset();
    this.core.reset();
    this.msi.reset();
    this.#updateInbound();
  }

  /** The host as the chip reaches it through the outbound regions; addresses are relative to the host window. */
  outbound(dma: DmaPort): OutboundPort {
    return new OutboundPort(dma, (address) => this.#busAddress(address));
  }

  /** @param address offset in the host window @returns bus address, or undefined where no region is */
  #busAddress(address: number): number | undefined {
    const device = addressMap.HOST_BASE + address;
    for (let i = 0; i < REGIONS; i++) {
      if ((this.dbi.get('OUTBOUND_CTRL_2', i) & IATU_CTRL_2.ENABLE) === 0) continue;
      const base = join(this.dbi.get('OUTBOUND_UPPER_BASE', i), this.dbi.get('OUTBOUND_LOWER_BASE', i));
      const limit = join(this.dbi.get('OUTBOUND_UPPER_LIMIT', i), this.dbi.get('OUTBOUND_LOWER_LIMIT', i));
      if (device < base || device > limit) continue;
      return device - base + join(this.dbi.get('OUTBOUND_UPPER_TARGET', i), this.dbi.get('OUTBOUND_LOWER_TARGET', i));
    }
    return undefined;
  }

  #updateInbound(): void {
    this.#inbound.clear();
    for (let i = REGIONS - 1; i >= 0; i--) {
      const control = this.dbi.get('INBOUND_CTRL_2', i);
      if ((control & IATU_CTRL_2.ENABLE) === 0) continue;
      if ((control & IATU_CTRL_2.BAR_MATCH) === 0) {
        const error = new ModelError('unimplemented', `PCIE_IATU.INBOUND_CTRL_2[${i}]`, 'match by address');
        this.#ports.errors.report(error);
        continue;
      }
      const target = join(this.dbi.get('INBOUND_UPPER_TARGET', i), this.dbi.get('INBOUND_LOWER_TARGET', i));
      this.#inbound.set((control >>> IATU_CTRL_2.BAR_SHIFT) & 7, target);
    }
  }

  #elbi(control: number): void {
    const offset = ELBI_BASE + this.elbi.get('ADDR') - addressMap.CFG_BASE;
    if (offset < 0 || offset >= addressMap.CFG_SIZE || offset % 4 !== 0) {
      this.elbi.set('STS', ELBI.STS_ERR);
      return;
    }
    if (control & ELBI.CTRL_WRITE) this.#ports.write32(offset, this.elbi.get('DATA'));
    else this.elbi.set('DATA', this.#ports.read32(offset));
    this.elbi.set('STS', ELBI.STS_DONE);
  }
}

class OutboundPort implements DmaPort {
  readonly #port: DmaPort;
  readonly #busAddress: (address: number) => number | undefined;
  /** Bytes to and from the host. */
  sent = 0;
  received = 0;

  constructor(port: DmaPort, busAddress: (address: number) => number | undefined) {
    this.#port = port;
    this.#busAddress = busAddress;
  }

  view(address: number, length: number, access: 'read' | 'write'): Uint8Array | undefined {
    const at = this.#busAddress(address);
    const bytes = at === undefined ? undefined : this.#port.view(at, length, access);
    if (bytes) this.#count(access, bytes.length);
    return bytes;
  }

  read(address: number, target: Uint8Array, done: Done): void {
    const at = this.#busAddress(address);
    if (at === undefined) {
      done(noRegion(address));
      return;
    }
    this.#count('read', target.length);
    this.#port.read(at, target, done);
  }

  write(address: number, source: Uint8Array, done: Done): void {
    const at = this.#busAddress(address);
    if (at === undefined) {
      done(noRegion(address));
      return;
    }
    this.#count('write', source.length);
    this.#port.write(at, source, done);
  }

  store32(address: number, value: number, done: Done): void {
    const at = this.#busAddress(address);
    if (at === undefined) {
      done(noRegion(address));
      return;
    }
    this.#count('write', 4);
    this.#port.store32(at, value, done);
  }

  #count(access: 'read' | 'write', bytes: number): void {
    if (access === 'read') this.received += bytes;
    else this.sent += bytes;
  }
}

export type { OutboundPort };

function noRegion(address: number): Error {
  return new Error(`no outbound region for 0x${(addressMap.HOST_BASE + address).toString(16)}`);
}

/** A range of device addresses as a BAR may show it. */
export interface DeviceRange {
  readonly name: string;
  /** Device address. */
  readonly base: number;
  readonly region: Region;
}

export interface BarWindowOptions {
  readonly bar: number;
  /** Bytes. */
  readonly size: number;
  /** The device address that the driver points it at; what a host that maps it may rely on. */
  readonly usual: number;
  /** Ascending and disjoint. */
  readonly ranges: readonly DeviceRange[];
  readonly errors: ErrorLog;
  readonly inbound: Inbound;
}

/** A BAR: a window into the map of device addresses, where the address translation puts it. */
export class BarWindow implements Region {
  readonly size: number;
  readonly mappable: readonly MappablePiece[];
  readonly #options: BarWindowOptions;
  /** The range of the last access. */
  #last: DeviceRange | undefined;
  #checked: number | undefined;

  constructor(options: BarWindowOptions) {
    this.#options = options;
    this.size = options.size;
    this.mappable = this.#pieces(options.usual);
  }

  /** The address translation has changed: what the host has mapped cannot move with it. */
  check(): void {
    const { bar, usual, inbound, errors } = this.#options;
    const target = inbound(bar);
    if (target === this.#checked) return;
    this.#checked = target;
    if (target === undefined || target === usual || this.mappable.length === 0) return;
    const moved = new ModelError(
      'unimplemented',
      `BAR${bar}`,
      `a window at 0x${target.toString(16)}: the host may have mapped it`,
    );
    errors.report(moved);
  }

  read(offset: number, target: Uint8Array): void {
    const base = this.#options.inbound(this.#options.bar);
    if (base === undefined) {
      // No region matches: the request is not supported.
      target.fill(0xff);
      return;
    }
    const address = base + offset;
    const range = this.#rangeAt(address);
    if (range && address + target.length <= range.base + range.region.size) {
      range.region.read(address - range.base, target);
      return;
    }
    this.#each(address, target.length, (part, at, done, n) => {
      if (part) part.region.read(at, target.subarray(done, done + n));
      else target.fill(0, done, done + n);
    });
  }

  write(offset: number, source: Uint8Array): void {
    const base = this.#options.inbound(this.#options.bar);
    if (base === undefined) return;
    const address = base + offset;
    const range = this.#rangeAt(address);
    if (range && address + source.length <= range.base + range.region.size) {
      range.region.write(address - range.base, source);
      return;
    }
    this.#each(address, source.length, (part, at, done, n) => {
      part?.region.write(at, source.subarray(done, done + n));
    });
  }

  #rangeAt(address: number): DeviceRange | undefined {
    const last = this.#last;
    if (last && address >= last.base && address < last.base + last.region.size) return last;
    const range = this.#options.ranges.find((r) => address < r.base + r.region.size);
    if (!range || address < range.base) return undefined;
    this.#last = range;
    return range;
  }

  /** Visits the ranges of an access that is not all in one. Between ranges nothing answers (see cfg.ts). */
  #each(
    address: number,
    length: number,
    visit: (range: DeviceRange | undefined, at: number, done: number, n: number) => void,
  ): void {
    for (let done = 0; done < length; ) {
      const here = address + done;
      const range = this.#options.ranges.find((r) => here < r.base + r.region.size);
      if (range && here >= range.base) {
        const n = Math.min(length - done, range.base + range.region.size - here);
        visit(range, here - range.base, done, n);
        done += n;
        continue;
      }
      const n = Math.min(length - done, (range?.base ?? here + length) - here);
      const where = `nothing is at device address 0x${here.toString(16)}`;
      this.#options.errors.report(new ModelError('unsupported', `BAR${this.#options.bar}`, where));
      visit(undefined, 0, done, n);
      done += n;
    }
  }

  #pieces(base: number): MappablePiece[] {
    const end = base + this.size;
    return this.#options.ranges
      .filter((range) => range.base < end && range.base + range.region.size > base)
      .flatMap((range) =>
        range.region.mappable.map((piece) => ({ ...piece, offset: range.base + piece.offset - base })),
      )
      .filter((piece) => piece.offset >= 0)
      .map((piece) => ({ ...piece, size: Math.min(piece.size, this.size - piece.offset) }));
  }
}

function join(high: number, low: number): number {
  return high * 2 ** 32 + low;
}
