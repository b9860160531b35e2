/** Gaudi as a PCI function: the chip behind its BARs, configuration space and interrupts. */

import { addressMap } from '../../specs/gaudi/address-map.ts';
import { ELBI } from '../../specs/gaudi/registers/pcie.ts';
import { SharedMemory } from '../os/shared-memory.ts';
import { Endpoint } from '../pci/endpoint.ts';
import type { PciFunction, Region, ResetKind } from '../pci/function.ts';
import { Link } from '../pci/link.ts';
import type { FunctionPorts } from '../pci/ports.ts';
import { memoryRegion, registerRegion } from '../pci/register-region.ts';
import { ErrorLog, ModelError, UserError } from '../sim/errors.ts';
import type { Memory } from '../sim/memory.ts';
import { Random } from '../sim/random.ts';
import type { RegisterUse } from '../sim/registers.ts';
import type { TraceRecorder, TraceScope, Track } from '../trace/recorder.ts';
import { ConfigurationSpace } from './cfg.ts';
import { Chip } from './chip.ts';
import type { DmaTiming } from './dma-core.ts';
import type { FaultyCard } from './faults/bodies.ts';
import { Faults } from './faults/injector.ts';
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
  /** What is to go wrong: `NAME[:word[.word]][@when]` each (faults/parse.ts). */
  readonly faults?: readonly string[];
  /** Told of every error of the model; they are also counted in `errors`. */
  readonly onError?: (error: ModelError) => void;
  /** Told what happens in the card. */
  readonly trace?: TraceRecorder | undefined;
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
  /** Has something go wrong: `NAME[:word[.word]][@when]`; without `@when` at once or at its next occasion. @throws UserError */
  injectFault(text: string): void;
  /** Ends the faults that wait or last. */
  clearFaults(): void;
  /** Faults that have happened since the last call, each as often as it has. */
  takeHappenedFaults(): readonly string[];
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
  readonly config: Region;
  readonly #cfg: ConfigurationSpace;
  readonly #pcie: Pcie;
  readonly #memories: { hbm: Memory; sram: Memory; scratchpad: Memory; pcieFirmware: Memory };
  readonly #windows: readonly BarWindow[];
  #chip: Chip | undefined;
  #host: OutboundPort | undefined;
  #ports: FunctionPorts | undefined;
  readonly #link: Link;
  #faults: Faults | undefined;
  #interrupts = 0;
  readonly #trace: TraceScope | undefined;
  /** What the host does to the card. */
  readonly #hostTrack: Track | undefined;
  /** Names of the blocks that can be delayed. */
  readonly #delayed = new Set<string>();

  constructor(options: GaudiOptions) {
    this.#options = options;
    this.name = options.name;
    this.errors = new ErrorLog((error) => {
      const { category, where, message } = error;
      this.#hostTrack?.instant('refusal', category, { where, text: message });
      options.onError?.(error);
    });
    const make = options.memory ?? ((name, size) => new SharedMemory(name, size));
    this.#memories = {
      hbm: make(`${options.name}-hbm`, addressMap.HBM_SIZE),
      sram: make(`${options.name}-sram`, addressMap.SRAM_SIZE),
      scratchpad: make(`${options.name}-scratchpad`, addressMap.PSOC_SCRATCHPAD_SIZE),
      pcieFirmware: make(`${options.name}-pcie-firmware`, addressMap.PCIE_FW_SRAM_SIZE),
    };
    this.#cfg = new ConfigurationSpace(addressMap.CFG_SIZE, this.errors);
    this.#trace = options.trace?.scope(options.name);
    this.#hostTrack = this.#trace?.track('host');
    const registers = this.#hostRegisters();
    this.#pcie = new Pcie({
      errors: this.errors,
      read32: (offset) => registers.read32(offset),
      write32: (offset, value) => registers.write32(offset, value),
      readConfig: (offset) => this.#readConfig(offset),
      raiseMsi: (vector) => this.#raiseMsi(vector),
    });
    this.#windows = this.#makeWindows();
    this.#link = new Link(options.name);
    this.#pcie.onInboundChange = () => {
      for (const window of this.#windows) window.check();
    };
    const [bar0, bar2, bar4] = this.#windows as [BarWindow, BarWindow, BarWindow];
    const memory64 = { kind: 'memory64', prefetchable: true } as const;
    this.#endpoint = new Endpoint({
      name: options.name,
      ids: IDS,
      bars: [
        { index: 0, ...memory64, region: this.#link.region(bar0) },
        { index: 2, ...memory64, region: this.#link.region(bar2) },
        { index: 4, ...memory64, region: this.#link.region(bar4) },
      ],
      pcie: { flr: true, linkSpeed: 4, linkWidth: 16 },
      power: { at: 0x40 },
      msi: { vectors: MSI_VECTORS },
      configRegisters: [{ at: ELBI.OFFSET, block: this.#pcie.elbi }],
      connected: (ports) => this.#connected(ports),
      reset: (kind) => this.#reset(kind),
    });
    this.config = this.#link.region(this.#endpoint.config);
  }

  get bars() {
    return this.#endpoint.bars;
  }

  get vectors() {
    return this.#endpoint.vectors;
  }

  connect(ports: FunctionPorts): void {
    this.#endpoint.connect(this.#link.ports(ports));
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

  injectFault(text: string): void {
    if (!this.#faults) throw new Error(`${this.name} is not connected`);
    this.#faults.inject(text);
  }

  clearFaults(): void {
    this.#faults?.clear();
  }

  takeHappenedFaults(): readonly string[] {
    return this.#faults?.takeHappened() ?? [];
  }

  busyEngines(): readonly string[] {
    return this.#chip?.busyEngines() ?? [];
  }

  #connected(ports: FunctionPorts): void {
    this.#ports = ports;
    const host = this.#pcie.outbound(ports.dma);
    this.#host = host;
    this.#faults = new Faults(
      ports.clock,
      {
        clock: ports.clock,
        ...chipFaults(() => this.#connectedChip()),
        powerCycle: () => this.reset('conventional'),
        setLink: (up) => {
          this.#link.up = up;
        },
      },
      this.#trace?.track('faults'),
    );
    for (const text of this.#options.faults ?? []) this.#faults.inject(text, true);
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
        faults: this.#faults,
        trace: this.#trace,
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
    this.#hostTrack?.instant('reset', kind, {});
    this.#chip?.powerOn(kind === 'conventional');
  }

  #raiseMsi(vector: number): void {
    const fault = this.#faults?.points.interrupt.ask({ vector });
    if (fault === 'lost') return;
    const clock = this.#ports?.clock;
    if (typeof fault === 'number') clock?.at(clock.now() + fault, () => this.#sendMsi(vector));
    else this.#sendMsi(vector);
    if (fault === 'twice') this.#sendMsi(vector);
  }

  #sendMsi(vector: number): void {
    this.#interrupts++;
    this.#hostTrack?.instant('interrupt', `MSI ${vector}`, { kind: 'msi', vector });
    this.#ports?.interrupt('msi', vector);
  }

  /** The registers as the host has them. */
  #hostRegisters(): { read32(offset: number): number; write32(offset: number, value: number): void } {
    const cfg = this.#cfg;
    const track = this.#hostTrack;
    if (!track) return cfg;
    return {
      read32: (offset) => {
        const value = cfg.read32(offset);
        track.instant('register_read', cfg.describe(offset), { address: offset, value });
        return value;
      },
      write32: (offset, value) => {
        track.instant('register_write', cfg.describe(offset), { address: offset, value });
        cfg.write32(offset, value);
      },
    };
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
        region: registerRegion(`${this.name}-cfg`, addressMap.CFG_SIZE, this.#hostRegisters(), this.errors),
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

/** What faults do to the blocks of a chip. */
function chipFaults(chip: () => Chip): Omit<FaultyCard, 'clock' | 'setLink' | 'powerCycle'> {
  return {
    raiseEvent: (name, payload) => chip().raiseEvent(name, payload),
    eccError: (memory, kind, place) => chip().setEccError(memory, kind, place),
    queueError: (engine, stream, causes) => chip().queueManager(engine).fail(stream, causes),
    arbiterError: (engine, causes) => chip().queueManager(engine).failArbiter(causes),
    kernelError: (engine, cause) => chip().tensorCore(engine).fail(cause),
    boot: () => chip().boot(),
  };
}
