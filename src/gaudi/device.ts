/** Gaudi as a PCI function: the chip behind its BARs, configuration space and interrupts. */

import { addressMap } from '../../specs/gaudi/address-map.ts';
import { ELBI } from '../../specs/gaudi/registers/pcie.ts';
import { SharedMemory } from '../os/shared-memory.ts';
import { Endpoint } from '../pci/endpoint.ts';
import type { PciFunction, Region, ResetKind } from '../pci/function.ts';
import type { FunctionPorts } from '../pci/ports.ts';
import { memoryRegion, registerRegion } from '../pci/register-region.ts';
import { ErrorLog, ModelError, UserError } from '../sim/errors.ts';
import type { Memory } from '../sim/memory.ts';
import { Random } from '../sim/random.ts';
import type { RegisterUse } from '../sim/registers.ts';
import { ConfigurationSpace, type RegisterTrace } from './cfg.ts';
import { Chip } from './chip.ts';
import type { DmaTiming } from './dma-core.ts';
import type { Protocol } from './firmware.ts';
import { BarWindow, type DeviceRange, type OutboundPort, Pcie } from './pcie.ts';
import type { QmanTiming } from './qman-context.ts';

export interface GaudiOptions {
  /** For messages, e.g. `gaudi0`. */
  readonly name: string;
  /** Which protocol the firmware loads itself by. Default `comms`. */
  readonly firmware?: Protocol;
  /** The firmware resets the chip itself when the driver asks it to halt. Default false: the driver does. */
  readonly firmwareResetsChip?: boolean;
  /** Slot of the card in its server. Default 0. */
  readonly location?: number;
  /** Default 1. */
  readonly seed?: number;
  /** Makes the memories; default: sparse and mappable by other processes. @throws SystemError */
  readonly memory?: (name: string, size: number) => Memory;
  readonly timing?: { readonly dma?: Partial<DmaTiming>; readonly qman?: Partial<QmanTiming> };
  /**
   * Makes blocks slower, so that what depends on their order shows: nanoseconds before each step (a packet, a transfer, a
   * message), by the name of the block or its beginning, e.g. `DMA0_QM`, `DMA`, `SYNC_MNGR`. To each up to half as much
   * again is added by the seed.
   */
  readonly delays?: Readonly<Record<string, number>>;
  /** Told of every error of the model; they are also counted in `errors`. */
  readonly onError?: (error: ModelError) => void;
  /** Told of every access of a register. */
  readonly trace?: RegisterTrace;
}

export interface GaudiStats {
  /** Bytes that have gone to the host and come from it. */
  readonly toHost: number;
  readonly fromHost: number;
  /** Accesses of registers, from all sides. */
  readonly registerReads: number;
  readonly registerWrites: number;
  /** Interrupts raised. */
  readonly interrupts: number;
  /** Bytes of memory in use, all memories of the card. */
  readonly resident: number;
}

export interface Gaudi extends PciFunction {
  /** What the model refused, with counts. */
  readonly errors: ErrorLog;
  /** Registers accessed so far; those of kind `storage` are the burn-down list. */
  registerUses(): readonly RegisterUse[];
  stats(): GaudiStats;
  /** Raises an event of specs/gaudi/events.ts, as if the firmware had met it. @param payload up to 56 bytes */
  raiseEvent(name: string, payload?: Uint8Array): void;
  /** Engines and queue managers that have work, by name. */
  busyEngines(): readonly string[];
}

/** Identity: habanalabs_drv.c, PCI_IDS_GAUDI; the class is "processing accelerator". */
const IDS = {
  vendor: 0x1da3,
  device: 0x1000,
  revision: 1,
  classCode: 0x12_0000,
  subsystemVendor: 0x1da3,
  subsystem: 0x1000,
} as const;
/** Sizes of the BARs; the driver checks those of 0 and 2 (gaudi.h). */
const BAR_SIZE = { SRAM: 64 * 1024 ** 2, CFG: 128 * 1024 ** 2, HBM: addressMap.HBM_SIZE } as const;
const MSI_VECTORS = 32;
const SPI_FLASH_SIZE = 32 * 1024 ** 2;

/** @throws what `memory` throws */
export function gaudi(options: GaudiOptions): Gaudi {
  return new GaudiFunction(options);
}

class GaudiFunction implements Gaudi {
  readonly name: string;
  readonly errors: ErrorLog;
  readonly #options: GaudiOptions;
  readonly #endpoint: Endpoint;
  readonly #cfg: ConfigurationSpace;
  readonly #pcie: Pcie;
  readonly #memories: { hbm: Memory; sram: Memory; scratchpad: Memory; pcieFirmware: Memory };
  readonly #windows: readonly BarWindow[];
  #chip: Chip | undefined;
  #host: OutboundPort | undefined;
  #ports: FunctionPorts | undefined;
  #interrupts = 0;
  /** Names of the blocks that can be delayed. */
  readonly #delayed = new Set<string>();

  constructor(options: GaudiOptions) {
    this.#options = options;
    this.name = options.name;
    this.errors = new ErrorLog(options.onError);
    const make = options.memory ?? ((name, size) => new SharedMemory(name, size));
    this.#memories = {
      hbm: make(`${options.name}-hbm`, addressMap.HBM_SIZE),
      sram: make(`${options.name}-sram`, addressMap.SRAM_SIZE),
      scratchpad: make(`${options.name}-scratchpad`, addressMap.PSOC_SCRATCHPAD_SIZE),
      pcieFirmware: make(`${options.name}-pcie-firmware`, addressMap.PCIE_FW_SRAM_SIZE),
    };
    this.#cfg = new ConfigurationSpace(addressMap.CFG_SIZE, this.errors);
    this.#cfg.trace = options.trace;
    this.#pcie = new Pcie({
      errors: this.errors,
      read32: (offset) => this.#cfg.read32(offset),
      write32: (offset, value) => this.#cfg.write32(offset, value),
      readConfig: (offset) => this.#readConfig(offset),
      raiseMsi: (vector) => this.#raiseMsi(vector),
    });
    this.#windows = this.#makeWindows();
    this.#pcie.onInboundChange = () => {
      for (const window of this.#windows) window.check();
    };
    const [bar0, bar2, bar4] = this.#windows as [BarWindow, BarWindow, BarWindow];
    const memory64 = { kind: 'memory64', prefetchable: true } as const;
    this.#endpoint = new Endpoint({
      name: options.name,
      ids: IDS,
      bars: [
        { index: 0, ...memory64, region: bar0 },
        { index: 2, ...memory64, region: bar2 },
        { index: 4, ...memory64, region: bar4 },
      ],
      pcie: { flr: true, linkSpeed: 4, linkWidth: 16 },
      power: { at: 0x40 },
      msi: { vectors: MSI_VECTORS },
      configRegisters: [{ at: ELBI.OFFSET, block: this.#pcie.elbi }],
      connected: (ports) => this.#connected(ports),
      reset: (kind) => this.#reset(kind),
    });
  }

  get config(): Region {
    return this.#endpoint.config;
  }

  get bars() {
    return this.#endpoint.bars;
  }

  get vectors() {
    return this.#endpoint.vectors;
  }

  connect(ports: FunctionPorts): void {
    this.#endpoint.connect(ports);
  }

  reset(kind: ResetKind): void {
    this.#endpoint.reset(kind);
  }

  barAddress(index: number): number | undefined {
    return this.#endpoint.barAddress(index);
  }

  close(): void {
    this.#chip?.close();
    this.#endpoint.close();
    for (const memory of Object.values(this.#memories)) memory.close();
  }

  registerUses(): readonly RegisterUse[] {
    return this.#cfg.uses();
  }

  stats(): GaudiStats {
    const uses = this.#cfg.uses();
    return {
      toHost: this.#host?.sent ?? 0,
      fromHost: this.#host?.received ?? 0,
      registerReads: uses.reduce((sum, use) => sum + use.reads, 0),
      registerWrites: uses.reduce((sum, use) => sum + use.writes, 0),
      interrupts: this.#interrupts,
      resident: Object.values(this.#memories).reduce((sum, memory) => sum + memory.resident(), 0),
    };
  }

  raiseEvent(name: string, payload?: Uint8Array): void {
    this.#connectedChip().raiseEvent(name, payload);
  }

  busyEngines(): readonly string[] {
    return this.#chip?.busyEngines() ?? [];
  }

  #connected(ports: FunctionPorts): void {
    this.#ports = ports;
    const host = this.#pcie.outbound(ports.dma);
    this.#host = host;
    this.#chip = new Chip(
      {
        firmware: {
          protocol: this.#options.firmware ?? 'comms',
          resetsChip: this.#options.firmwareResetsChip ?? false,
        },
        seed: this.#options.seed ?? 1,
        location: this.#options.location ?? 0,
        ...(this.#options.timing?.dma ? { dmaTiming: this.#options.timing.dma } : {}),
        ...(this.#options.timing?.qman ? { qmanTiming: this.#options.timing.qman } : {}),
        delay: this.#delays(),
      },
      {
        clock: ports.clock,
        errors: this.errors,
        cfg: this.#cfg,
        memories: this.#memories,
        pcie: this.#pcie,
        host,
        raiseMsi: (vector) => this.#raiseMsi(vector),
      },
    );
    this.#checkDelays();
    this.#chip.powerOn(true);
  }

  /** @throws UserError for a delay of an engine that does not exist */
  #checkDelays(): void {
    const names = [...this.#delayed];
    for (const engine of Object.keys(this.#options.delays ?? {})) {
      if (names.some((name) => name.startsWith(engine))) continue;
      const kinds = [...new Set(names.map((name) => name.replaceAll(/\d+/g, 'n')))];
      throw new UserError(
        `${this.name} has no engine ${engine} to delay; there are ${kinds.join(', ')} (or how they begin)`,
      );
    }
  }

  #connectedChip(): Chip {
    if (!this.#chip) throw new Error(`${this.name} is not connected`);
    return this.#chip;
  }

  #reset(kind: ResetKind): void {
    this.#chip?.powerOn(kind === 'conventional');
  }

  #raiseMsi(vector: number): void {
    this.#interrupts++;
    this.#ports?.interrupt('msi', vector);
  }

  #readConfig(offset: number): number {
    const bytes = new Uint8Array(4);
    this.#endpoint.config.read(offset, bytes);
    return new DataView(bytes.buffer).getUint32(0, true);
  }

  /** Delay of a block: the sum of those whose name it begins with. */
  #delays(): (name: string) => () => number {
    const random = new Random((this.#options.seed ?? 1) + 1);
    return (name) => {
      this.#delayed.add(name);
      const own = Object.entries(this.#options.delays ?? {}).filter(([engine]) => name.startsWith(engine));
      const ns = own.reduce((sum, [, delay]) => sum + delay, 0);
      return ns === 0 ? () => 0 : () => ns + random.below(Math.floor(ns / 2) + 1);
    };
  }

  /** The BARs: windows into the map of device addresses (gaudi.c, gaudi_init_iatu says where the driver puts them). */
  #makeWindows(): readonly BarWindow[] {
    const { hbm, sram, scratchpad, pcieFirmware } = this.#memories;
    const ranges: readonly DeviceRange[] = [
      { name: 'HBM', base: addressMap.HBM_BASE, region: memoryRegion(hbm, { mappable: true }) },
      { name: 'SRAM', base: addressMap.SRAM_BASE, region: memoryRegion(sram, { mappable: true }) },
      { name: 'SPI_FLASH', base: addressMap.SPI_FLASH_BASE, region: this.#flash() },
      // These two are small and seldom used: they are not mapped, which would only cost the host mappings.
      {
        name: 'PSOC_SCRATCHPAD',
        base: addressMap.PSOC_SCRATCHPAD_BASE,
        region: memoryRegion(scratchpad, { mappable: false }),
      },
      {
        name: 'PCIE_FW_SRAM',
        base: addressMap.PCIE_FW_SRAM_BASE,
        region: memoryRegion(pcieFirmware, { mappable: false }),
      },
      {
        name: 'CFG',
        base: addressMap.CFG_BASE,
        region: registerRegion(`${this.name}-cfg`, addressMap.CFG_SIZE, this.#cfg, this.errors),
      },
    ];
    const window = (bar: number, size: number, usual: number) =>
      new BarWindow({ bar, size, usual, ranges, errors: this.errors, inbound: (index) => this.#pcie.inbound(index) });
    return [
      window(0, BAR_SIZE.SRAM, addressMap.SRAM_BASE),
      window(2, BAR_SIZE.CFG, addressMap.SPI_FLASH_BASE),
      window(4, BAR_SIZE.HBM, addressMap.HBM_BASE),
    ];
  }

  #flash(): Region {
    const refuse = (): never => {
      throw new ModelError('unimplemented', 'SPI_FLASH', 'access of the flash memory');
    };
    return registerRegion(`${this.name}-flash`, SPI_FLASH_SIZE, { read32: refuse, write32: refuse }, this.errors);
  }
}
