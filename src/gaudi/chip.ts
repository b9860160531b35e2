/** The chip: its blocks, put together at the addresses that specs/gaudi/blocks.ts gives. */

import { addressMap } from '../../specs/gaudi/address-map.ts';
import { type BlockInstance, blocks, instances, type RegisterTable } from '../../specs/gaudi/blocks.ts';
import type { EventRow } from '../../specs/gaudi/events.ts';
import { common } from '../../specs/gaudi/registers/common.ts';
import { cpuIf } from '../../specs/gaudi/registers/cpu-if.ts';
import { dmaIf, dmaIfDown } from '../../specs/gaudi/registers/dma-if.ts';
import { mmeAcc, mmeSbab } from '../../specs/gaudi/registers/mme.ts';
import { pcieWrap } from '../../specs/gaudi/registers/pcie.ts';
import { efuse, gic, hbmMc } from '../../specs/gaudi/registers/platform.ts';
import { pll } from '../../specs/gaudi/registers/pll.ts';
import { lbwRouter, routerCtrl } from '../../specs/gaudi/registers/router.ts';
import { syncManagers } from '../../specs/gaudi/registers/sync-manager.ts';
import { type ResetUnit, resetUnits } from '../../specs/gaudi/resets.ts';
import type { DmaPort } from '../pci/ports.ts';
import type { Clock, Timer } from '../sim/clock.ts';
import type { ErrorLog } from '../sim/errors.ts';
import type { Memory } from '../sim/memory.ts';
import { Random } from '../sim/random.ts';
import { type BlockSpec, type Bodies, RegisterBlock, type Rows } from '../sim/registers.ts';
import type { TraceScope } from '../trace/recorder.ts';
import { Card } from './card.ts';
import type { ConfigurationSpace, PlacedBlock } from './cfg.ts';
import { GaudiBus } from './chip-bus.ts';
import { RangeProtection } from './chip-bus-protection.ts';
import { Clocks, Timestamp } from './clocks.ts';
import { performanceMonitor, plain, systemTrace, traceMemory } from './coresight.ts';
import { CpuCp } from './cpucp.ts';
import { DeviceCpu } from './device-cpu.ts';
import { DmaCore, type DmaTiming, defaultDmaTiming } from './dma-core.ts';
import { ECC_BLOCKS, EccMemories, type EccPlace } from './ecc.ts';
import type { Engine } from './engine.ts';
import { EventQueue, eventNamed } from './event-queue.ts';
import type { Faults } from './faults/injector.ts';
import { Firmware, type FirmwareOptions } from './firmware.ts';
import { Mme } from './mme.ts';
import { Mmu } from './mmu.ts';
import { NicPort } from './nic.ts';
import type { OutboundPort, Pcie } from './pcie.ts';
import { Psoc } from './psoc.ts';
import { Qman } from './qman.ts';
import type { QmanTiming } from './qman-context.ts';
import { Sensors } from './sensors.ts';
import { SyncManager } from './sync-manager.ts';
import { Tpc } from './tpc.ts';

export interface ChipMemories {
  readonly hbm: Memory;
  readonly sram: Memory;
  readonly scratchpad: Memory;
  readonly pcieFirmware: Memory;
}

export interface ChipOptions {
  readonly firmware: FirmwareOptions;
  readonly seed: number;
  /** Slot of the card. */
  readonly location: number;
  readonly dmaTiming?: Partial<DmaTiming>;
  readonly qmanTiming?: Partial<QmanTiming>;
  /** Nanoseconds by which a block's next step is late, by its name; asked before each step. */
  readonly delay: (name: string) => () => number;
}

export interface ChipPorts {
  readonly clock: Clock;
  readonly errors: ErrorLog;
  readonly cfg: ConfigurationSpace;
  readonly memories: ChipMemories;
  readonly pcie: Pcie;
  /** The host, as the outbound address translation shows it. */
  readonly host: OutboundPort;
  raiseMsi(vector: number): void;
  /** What goes wrong. */
  readonly faults: Faults;
  /** Where what happens is told. */
  readonly trace?: TraceScope | undefined;
}

/** How long units stay in reset, ns. */
const RESET_NS = 10_000_000;
/** A memory of which more is in use keeps that when it is reset. */
const EMPTIED = 0x1000_0000;
/** The boot state machine after reset, ns. */
const BTM_NS = 200_000;

export class Chip {
  readonly #options: ChipOptions;
  readonly #ports: ChipPorts;
  readonly mmu: Mmu;
  readonly bus: GaudiBus;
  readonly psoc: Psoc;
  readonly firmware: Firmware;
  readonly events: EventQueue;
  readonly sensors: Sensors;
  readonly clocks: Clocks;
  readonly timestamp: Timestamp;
  readonly #cpuIf: RegisterBlock<typeof cpuIf.rows>;
  readonly #dma: readonly DmaCore[];
  readonly #tpcs: readonly Tpc[];
  /** By the blocks whose memories they are. */
  readonly #ecc = new Map<string, EccMemories>();
  readonly #mmes: readonly Mme[];
  readonly #qmans: readonly Qman[];
  readonly #syncManagers: ReadonlyMap<string, SyncManager>;
  #release: Timer | undefined;
  /** Until when the boot state machine runs, ns. */
  #btmEnd = 0;
  /** The reset that is under way does not come to its end. */
  #stuck = false;
  /** Energy until Linux was started, joules. */
  #joulesBefore = 0;

  constructor(options: ChipOptions, ports: ChipPorts) {
    this.#options = options;
    this.#ports = ports;
    const { clock, errors, cfg, memories, trace, faults } = ports;
    this.mmu = new Mmu({
      clock,
      hbm: memories.hbm,
      track: trace?.track('MMU'),
      fault: (access) => faults.points.translation.ask(access) === true,
      onFault: () => this.#interrupt('MMU_PAGE_FAULT'),
    });
    this.bus = new GaudiBus({
      mmu: this.mmu,
      memories: [
        { name: 'HBM', base: addressMap.HBM_BASE, memory: memories.hbm },
        { name: 'SRAM', base: addressMap.SRAM_BASE, memory: memories.sram },
        { name: 'PSOC_SCRATCHPAD', base: addressMap.PSOC_SCRATCHPAD_BASE, memory: memories.scratchpad },
        { name: 'PCIE_FW_SRAM', base: addressMap.PCIE_FW_SRAM_BASE, memory: memories.pcieFirmware },
      ],
      cfg,
      protection: new RangeProtection((name) => cfg.accessed(name)?.words),
      dma: (): DmaPort => ports.host,
      faults: faults.points,
      onAccessError: (error, who) => {
        // What the device CPU's own accesses meet, its firmware knows.
        if (who.name === 'CPU') return;
        this.#interrupt(error.kind === 'host' ? 'PCIE_DEC' : 'RAZWI_OR_ADC');
      },
    });
    this.#cpuIf = new RegisterBlock(cpuIf, 'CPU_IF', {
      EQ_RD_OFFS: {
        write: (value) => {
          this.#cpuIf.set('EQ_RD_OFFS', value);
          this.events.changed.notify();
        },
      },
    });
    this.psoc = new Psoc({
      message: (word) => this.firmware.message(word),
      interrupt: (spi) => this.firmware.interrupt(spi),
      booting: () => clock.now() < this.#btmEnd,
      resetUnits: (units, restart) => this.#resetUnits(units, restart),
    });
    this.clocks = new Clocks((name) => cfg.block(name) as RegisterBlock<typeof pll.rows>);
    this.timestamp = new Timestamp(clock, () => this.#timestampHertz());

    this.#dma = range(8).map(
      (n) =>
        new DmaCore(n, {
          clock,
          bus: this.bus,
          timing: { ...defaultDmaTiming, ...options.dmaTiming },
          delay: options.delay(`DMA${n}_CORE`),
          track: trace?.track(`DMA${n}_CORE`),
          fault: () => faults.points.transfer.ask({ core: `DMA${n}_CORE` }),
          onError: (error) => errors.report(error),
        }),
    );
    this.#tpcs = range(8).map(
      (n) =>
        new Tpc(n, {
          clock,
          bus: this.bus,
          errors,
          hertz: () => this.clocks.current('TPC'),
          delay: options.delay(`TPC${n}_CFG`),
          track: trace?.track(`TPC${n}`),
          bundles: trace?.track(`TPC${n}`, 'bundles'),
          fault: () => faults.points.kernel.ask({ core: `TPC${n}` }) === true,
          onInterrupt: () => this.#interrupt(`TPC${n}_KRN_ERR`),
        }),
    );
    this.#mmes = range(4).map((n) => new Mme(n));
    this.#syncManagers = new Map(
      Object.entries(syncManagers).map(([corner, { event }]) => [corner, this.#syncManager(corner, event)]),
    );
    this.#qmans = this.#makeQmans();

    const random = new Random(options.seed);
    this.sensors = new Sensors(clock, random, () => ({
      bytes: ports.host.sent + ports.host.received,
      busyEngines: this.busyEngines().length,
    }));
    const cpu = new DeviceCpu(this.bus, () => this.#cpuIf.get('CPU_MSB_ADDR'));
    this.events = new EventQueue({
      cpu,
      errors,
      consumed: () => this.#cpuIf.get('EQ_RD_OFFS'),
      hostAccess: () => this.firmware.hostAccess,
      track: trace?.track('firmware'),
      fault: (name) => faults.points.event.ask({ name }),
      opened: () => faults.signal('ready'),
      raiseInterrupt: () => ports.raiseMsi(0),
    });
    this.firmware = this.#makeFirmware(cpu);
    for (const row of blocks) for (const instance of instances(row)) this.#place(instance);
  }

  /**
   * Power has come, or the host has reset the function: everything is as after power-on, and the firmware boots.
   * @param cold false: the port to the host stays as it is
   */
  powerOn(cold: boolean): void {
    const port = resetUnits.find(({ name }) => name === 'PCIE');
    this.#release?.cancel();
    this.#release = undefined;
    this.#ports.cfg.held = false;
    this.firmware.stop();
    // the port's registers are not the function's (PCI Express Base 5.0, 6.6.2): the driver sets no region up again after such a
    // reset, and reads the card next (habanalabs_drv.c, hl_pci_reset_done)
    this.#ports.cfg.reset((name) => cold || !port?.blocks.test(name));
    this.psoc.reset(cold);
    this.#clear(this.#ports.memories);
    this.#ports.faults.signal('boot');
    this.#boot();
  }

  /** Engines and queue managers that have work, by name. */
  busyEngines(): string[] {
    const engines: readonly { name: string; busy(): boolean }[] = [
      ...this.#dma,
      ...this.#tpcs,
      ...this.#qmans,
      ...this.#syncManagers.values(),
    ];
    return engines.filter((engine) => engine.busy()).map((engine) => engine.name);
  }

  /** Raises an event of specs/gaudi/events.ts as if the firmware had met it. @param payload up to 56 bytes */
  raiseEvent(name: string, payload?: Uint8Array): void {
    this.events.raise(eventNamed(name), payload);
  }

  /** The queue manager of an engine, e.g. of `DMA0`. */
  queueManager(engine: string): Qman {
    const qman = this.#qmans.find(({ name }) => name === `${engine}_QM`);
    if (!qman) throw new Error(`no queue manager of ${engine}`);
    return qman;
  }

  /** A tensor core, by its name. */
  tensorCore(name: string): Tpc {
    const tpc = this.#tpcs.find((core) => core.name === name);
    if (!tpc) throw new Error(`no tensor core ${name}`);
    return tpc;
  }

  /**
   * Has the ECC registers of a memory's block tell of an error, as far as it has some.
   * @param memory as its events name it, e.g. `TPC0` or `MME0_ACC`
   */
  setEccError(memory: string, kind: 'SERR' | 'DERR', place: EccPlace): boolean {
    const name = memory.replace(/^TPC\d$/, '$&_CFG').replace(/^DMA\d$/, '$&_CORE');
    if (!ECC_BLOCKS.test(name)) return false;
    this.#eccOf(name).fail(kind, place);
    return true;
  }

  /** Ends all processes. */
  close(): void {
    this.#release?.cancel();
    this.firmware.stop();
    for (const qman of this.#qmans) qman.reset();
    for (const tpc of this.#tpcs) tpc.close();
    for (const core of this.#dma) core.close();
    for (const manager of this.#syncManagers.values()) manager.close();
  }

  #makeFirmware(cpu: DeviceCpu): Firmware {
    const { clock, errors, memories, host } = this.#ports;
    const modern = this.#options.firmware.protocol === 'comms';
    const cpucp = new CpuCp({
      track: this.#ports.trace?.track('firmware'),
      errors,
      sensors: this.sensors,
      clocks: this.clocks,
      card: new Card({ seed: this.#options.seed, location: this.#options.location }),
      events: this.events,
      ownNumbers: modern,
      setHostAccess: (allowed) => this.firmware.setHostAccess(allowed),
      traffic: () => ({ sent: host.sent, received: host.received }),
      monitorRegister: (manager, register, index) => this.#monitorRegister(manager, register, index),
      joules: () => this.sensors.joules() - this.#joulesBefore,
      softReset: () => this.#resetUnits(this.psoc.softResetUnits(), false),
    });
    return new Firmware(this.#options.firmware, {
      clock,
      errors,
      psoc: this.psoc.block,
      cpuIf: this.#cpuIf,
      sram: memories.sram,
      hbm: memories.hbm,
      cpu,
      events: this.events,
      cpucp,
      programClocks: () => this.clocks.program(),
      linuxStarted: () => {
        this.#joulesBefore = this.sensors.joules();
      },
      // The firmware leaves PCI Express and the clocks alone, as the driver does.
      resetChip: () =>
        this.#resetUnits(
          resetUnits.filter((u) => !/PCIE|PLL/.test(u.name)),
          true,
        ),
      resetEngines: () => this.#resetUnits(this.psoc.softResetUnits(), false),
      faults: this.#ports.faults.points,
      reporting: (candidates) => candidates.filter((event) => this.#reports(event)),
    });
  }

  #syncManager(corner: string, event: number): SyncManager {
    const { clock, errors } = this.#ports;
    return new SyncManager(corner, {
      clock,
      bus: this.bus,
      delay: this.#options.delay(`SYNC_MNGR_${corner}`),
      track: this.#ports.trace?.track(`SYNC_MNGR_${corner}`),
      onInterrupt: (cause, log) => {
        // struct hl_eq_sm_sei_data: log, cause.
        const payload = new Uint8Array(8);
        new DataView(payload.buffer).setUint32(0, log, true);
        payload[4] = cause;
        this.raiseEvent(`DMA_IF_SEI_${event - eventNamed('DMA_IF_SEI_0').id}`, payload);
      },
      onError: (error) => errors.report(error),
    });
  }

  #makeQmans(): Qman[] {
    const { clock, errors } = this.#ports;
    const make = (name: string, engine: Engine) =>
      new Qman({
        name,
        clock,
        bus: this.bus,
        engine,
        errors,
        ...(this.#options.qmanTiming ? { timing: this.#options.qmanTiming } : {}),
        delay: this.#options.delay(name),
        fault: () => this.#ports.faults.points.packet.ask({ queue: name }) === true,
        trace: this.#ports.trace?.scope(name),
        timestamp: () => this.timestamp.block.read32(this.timestamp.block.offsetOf('CNTCVL')),
      });
    return [
      ...this.#dma.map((core, n) => make(`DMA${n}_QM`, core)),
      ...this.#tpcs.map((tpc, n) => make(`TPC${n}_QM`, tpc)),
      ...this.#mmes.map((mme, n) => make(`MME${n}_QM`, mme)),
      ...range(5).flatMap((macro) => range(2).map((port) => make(`NIC${macro}_QM${port}`, new NicPort(macro, port)))),
    ];
  }

  #eccOf(name: string): EccMemories {
    const known = this.#ecc.get(name);
    if (known) return known;
    const made = new EccMemories(name);
    this.#ecc.set(name, made);
    return made;
  }

  #place(instance: BlockInstance): void {
    const { name, base, registers } = instance;
    const debug = base >= addressMap.CFG_SIZE / 2;
    if (registers === 'none') return;
    this.#ports.cfg.place({
      name,
      base,
      size: SIZES[registers] ?? 0x1000,
      make: () => this.#make(instance),
      ...(debug
        ? {}
        : {
            makeCommon: (page) => {
              if (page !== 0) return new RegisterBlock(common, `${name}+0x${page.toString(16)}`, {});
              return ECC_BLOCKS.test(name) ? this.#eccOf(name).registers : new RegisterBlock(common, name, {});
            },
          }),
    });
  }

  #make({ name, registers, index }: BlockInstance): PlacedBlock {
    const n = index[0] ?? 0;
    const storage = <R extends Rows>(spec: BlockSpec<R>): PlacedBlock => ({
      block: new RegisterBlock(spec, name, {} as Bodies<R>),
    });
    const owned = <T extends { reset(): void }>(owner: T, block: PlacedBlock['block']): PlacedBlock => ({
      block,
      reset: () => owner.reset(),
    });
    switch (registers) {
      case 'cpu-if':
        return { block: this.#cpuIf };
      case 'dma-core': {
        const core = this.#dma[n] as DmaCore;
        return owned(core, core.registers);
      }
      case 'dma-if':
        return storage(dmaIf);
      case 'dma-if-down':
        return storage(dmaIfDown);
      case 'efuse':
        return storage(efuse);
      case 'gic':
        return {
          block: new RegisterBlock(gic, name, {
            DISTRIBUTOR_5_GICD_SETSPI_NSR: { write: (spi) => this.firmware.interrupt(spi) },
          }),
        };
      case 'hbm-mc':
        return { block: hbmController(name) };
      case 'lbw-router':
        return storage(lbwRouter);
      case 'mme-acc':
        return storage(mmeAcc);
      case 'mme-ctrl':
        return { block: (this.#mmes[n] as Mme).block };
      case 'mme-sbab':
        return storage(mmeSbab);
      case 'mmu-up':
        return owned(this.mmu, this.mmu.registers);
      case 'pcie-aux':
        return { block: this.#ports.pcie.aux };
      case 'pcie-core':
        return { block: this.#ports.pcie.core };
      case 'pcie-dbi':
        return owned(this.#ports.pcie, this.#ports.pcie.dbi);
      case 'pcie-msi':
        return { block: this.#ports.pcie.msi };
      case 'pcie-wrap':
        return storage(pcieWrap);
      case 'pll':
        return storage(pll);
      case 'psoc-global-conf':
        return { block: this.psoc.block, reset: () => this.psoc.reset(false) };
      case 'psoc-timestamp':
        return owned(this.timestamp, this.timestamp.block);
      case 'qman': {
        const qman = this.#qmans.find((q) => q.name === name) as Qman;
        return owned(qman, qman.block);
      }
      case 'router-ctrl':
        return storage(routerCtrl);
      case 'stlb':
        return { block: this.mmu.stlb.registers };
      case 'sync-manager': {
        const manager = this.#syncManagers.get(name.slice('SYNC_MNGR_OBJS_'.length)) as SyncManager;
        return owned(manager, manager.registers);
      }
      case 'tpc-cfg': {
        const tpc = this.#tpcs[n] as Tpc;
        return owned(tpc, tpc.block);
      }
      case 'stm':
        return systemTrace(name);
      case 'tmc':
        return traceMemory(name);
      case 'spmu':
        return performanceMonitor(
          name,
          this.#ports.clock,
          () => this.clocks.current('MME'),
          () => this.#work(name, n),
        );
      case 'bmon':
      case 'cti':
      case 'funnel':
      case 'rom-table':
        return plain[registers](name);
      case 'common':
      case 'none':
        return storage(common);
    }
  }

  #resetUnits(units: readonly ResetUnit[], restart: boolean): void {
    const { cfg, memories } = this.#ports;
    const has = (pattern: RegExp) => units.some((unit) => pattern.test(unit.name));
    const detail = units.map(({ name }) => name).join(' ');
    this.#ports.trace?.track('host').instant('reset', restart ? 'hard' : 'soft', { detail });
    if (has(/^CPU$/)) this.firmware.stop();
    cfg.reset((name) => units.some((unit) => unit.blocks.test(name)));
    if (has(/^HBM_\d$/)) this.#empty(memories.hbm);
    if (has(/^IF_/)) memories.sram.zero(0, memories.sram.size);
    if (!has(/^PSOC$/)) return;
    this.#ports.faults.signal('reset');
    this.#stuck = this.#ports.faults.points.reset.ask({}) === true;
    memories.scratchpad.zero(0, memories.scratchpad.size);
    cfg.held = true;
    this.#release?.cancel();
    this.#release = this.#ports.clock.at(this.#ports.clock.now() + RESET_NS, () => {
      cfg.held = false;
      if (this.#stuck) this.#btmEnd = Number.POSITIVE_INFINITY;
      else if (restart && has(/^CPU$/)) this.#boot();
    });
  }

  /**
   * What a memory holds after its reset is undefined. The model leaves zeros, except where much of it is in use: giving gigabytes
   * back takes seconds on a busy host, and neither the driver (2 s, GAUDI_RESET_TIMEOUT_MSEC) nor QEMU (5 s for an answer)
   * waits so long.
   */
  #empty(memory: Memory): void {
    if (memory.resident() <= EMPTIED) memory.zero(0, memory.size);
  }

  /** A chip that stands still in its reset, or in its boot, boots; one that is held in reset does so when it is let go. */
  boot(): void {
    this.#stuck = false;
    if (!this.#ports.cfg.held) this.#boot();
  }

  #boot(): void {
    this.#btmEnd = this.#ports.clock.now() + BTM_NS;
    this.firmware.start();
  }

  #clear(memories: ChipMemories): void {
    for (const memory of Object.values(memories) as Memory[]) memory.zero(0, memory.size);
  }

  /** An interrupt line of a block, by the name of its event. */
  #interrupt(event: string): void {
    this.firmware.interrupt(eventNamed(event).spi);
  }

  /** Work that the engine of a performance monitor has had: descriptors of DMA, kernels; MME and NIC execute nothing. */
  #work(monitor: string, n: number): number | undefined {
    if (monitor.startsWith('DMA_CH_')) {
      const uses = (this.#dma[n] as DmaCore).registers.uses();
      return uses.find((use) => use.name === `DMA${n}_CORE.COMMIT`)?.writes ?? 0;
    }
    if (/^TPC\d/.test(monitor)) return (this.#tpcs[n] as Tpc).executed;
    return /^MME\d|NIC\d/.test(monitor) ? 0 : undefined;
  }

  /** Whether the ECC registers of a block have an error to report, for events that share an interrupt line. */
  #reports(event: EventRow): boolean {
    const match = /^(.*)_(SERR|DERR)(_ECC)?$/.exec(event.name);
    const block = match && ECC_LINES[(match[1] as string).replace(/\d+$/, '#')];
    if (!block) return true;
    const number = /\d+$/.exec(match[1] as string)?.[0] ?? '';
    const base = this.#ports.cfg.baseOf(block.replace('#', number));
    if (base === undefined) return false;
    const register = match[2] === 'SERR' ? common.rows.ECC_SERR : common.rows.ECC_DERR;
    return range(4).some((i) => this.#ports.cfg.stored32(base + register.offset + 4 * i) !== 0);
  }

  #monitorRegister(manager: string, register: string, index: number): number {
    const { registers } = this.#syncManagers.get(manager) as SyncManager;
    return registers.read32(registers.offsetOf(register as 'MON_ARM', index));
  }

  #timestampHertz(): number {
    return (this.clocks.outputs('CPU')[2] as number) * 1e6;
  }
}

/** Bytes of the blocks that are larger than a page. */
const SIZES: Partial<Record<RegisterTable, number>> = { 'sync-manager': 0x6000, 'hbm-mc': 0x9000 };

/** Blocks whose ECC registers tell which instance of a shared event it is. */
const ECC_LINES: Readonly<Record<string, string>> = { 'TPC#': 'TPC#_CFG', 'DMA#': 'DMA#_CORE' };

function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

function hbmController(name: string): RegisterBlock<typeof hbmMc.rows> {
  const clearing = (register: 'PC0_INTERRUPT' | 'PC1_INTERRUPT') => ({
    write: (value: number, channel: number) => {
      block.set(register, (block.get(register, channel) & ~value) >>> 0, channel);
    },
  });
  const block: RegisterBlock<typeof hbmMc.rows> = new RegisterBlock(hbmMc, name, {
    PC0_INTERRUPT: clearing('PC0_INTERRUPT'),
    PC1_INTERRUPT: clearing('PC1_INTERRUPT'),
  });
  return block;
}
