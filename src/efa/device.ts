/** An Amazon EFA NIC as a PCI function: BARs, configuration space, interrupts, and what they are connected with. */

import { VERSION } from '../../specs/efa/admin.ts';
import { CQ_DB, QP_DB } from '../../specs/efa/io.ts';
import { efaRegisters } from '../../specs/efa/registers.ts';
import { SharedMemory } from '../os/shared-memory.ts';
import { Endpoint } from '../pci/endpoint.ts';
import type { PciFunction, Region, ResetKind } from '../pci/function.ts';
import { type Msix, msix } from '../pci/interrupts.ts';
import type { FunctionPorts } from '../pci/ports.ts';
import { composeRegion, memoryRegion, registerRegion } from '../pci/register-region.ts';
import { ErrorLog, type ModelError } from '../sim/errors.ts';
import type { Memory } from '../sim/memory.ts';
import { Random } from '../sim/random.ts';
import type { RegisterUse } from '../sim/registers.ts';
import type { TraceRecorder, Track } from '../trace/recorder.ts';
import { AdminCommands } from './admin-commands.ts';
import { AdminQueue } from './admin-queue.ts';
import { type AenqGroup, AsyncEvents } from './aenq.ts';
import { type ApiVersion, Control } from './control.ts';
import { Features, type HostInfo } from './features.ts';
import { DOORBELL_BAR, defaultLimits, type Limits, LLQ_SIZE, PAGE, RQ_DOORBELL, SQ_DOORBELL } from './limits.ts';
import { LlqMemory } from './llq.ts';
import { Network } from './network.ts';
import { Nic } from './nic.ts';
import type { Packet } from './packets.ts';
import { Requester } from './requester.ts';
import { Responder } from './responder.ts';
import type { Counters } from './statistics.ts';

export interface EfaOptions {
  /** For messages, e.g. `efa0`. */
  readonly name: string;
  /** What joins it with others. Default: one of its own, in which it only reaches itself. */
  readonly network?: Network;
  /** 16 bytes, different for all NICs of a network. Default: made of the seed and the name. */
  readonly address?: Uint8Array;
  /** Default 1. */
  readonly seed?: number;
  /** Minor version of the admin protocol that it offers. Default: the newest; older drivers take that, too. */
  readonly apiVersion?: ApiVersion;
  readonly limits?: Partial<Limits>;
  /** Nanoseconds between keep-alive notifications. Default 0: none. */
  readonly keepAlive?: number;
  /** Makes the memory of the send queues; default: mappable by other processes. @throws SystemError */
  readonly memory?: (name: string, size: number) => Memory;
  /** Told of every error of the model; they are also counted in `errors`. */
  readonly onError?: (error: ModelError) => void;
  /** Told what happens in the NIC. */
  readonly trace?: TraceRecorder | undefined;
}

export interface Efa extends PciFunction {
  /** What the model refused, with counts. */
  readonly errors: ErrorLog;
  /** 16 bytes: what others reach it by. */
  readonly address: Uint8Array;
  registerUses(): readonly RegisterUse[];
  /** Counters since the last reset. */
  counters(): Readonly<Counters>;
  /** Commands of the admin queue done so far, by name. */
  commands(): Readonly<Record<string, number>>;
  /** Objects that the host has made and not destroyed. */
  objects(): Readonly<Record<'pds' | 'uars' | 'ahs' | 'eqs' | 'cqs' | 'qps' | 'mrs', number>>;
  /** What the driver has said about its host, if it has. */
  host(): HostInfo | undefined;
  /** Reason that the host gave for its last reset of the device. */
  resetReason(): number | undefined;
  /** Sends a notification. @param data up to 48 bytes */
  notify(group: AenqGroup, syndrome?: number, data?: Uint8Array): void;
}

/** Identity: efa_main.c, efa_pci_tbl. Both kernels know this one; the class is "Ethernet controller". */
const IDS = {
  vendor: 0x1d0f,
  device: 0xefa1,
  revision: 0,
  classCode: 0x02_0000,
  subsystemVendor: 0x1d0f,
  subsystem: 0xefa1,
} as const;
const REGISTER_BAR_SIZE = 0x4000;
const MSIX_TABLE_AT = 0x2000;
const MSIX_PBA_AT = 0x3000;

/** @throws what `memory` throws; Error where the network has the address already */
export function efa(options: EfaOptions): Efa {
  return new EfaFunction(options);
}

/** A link-local address whose lower half follows from seed and name. */
function defaultAddress(name: string, seed: number): Uint8Array {
  let hash = seed;
  for (const c of name) hash = (Math.imul(hash, 31) + (c.codePointAt(0) as number)) >>> 0;
  const random = new Random(hash);
  const address = new Uint8Array(16);
  address.set([0xfe, 0x80], 0);
  const view = new DataView(address.buffer);
  view.setUint32(8, random.next());
  view.setUint32(12, random.next());
  return address;
}

class EfaFunction implements Efa {
  readonly name: string;
  readonly errors: ErrorLog;
  readonly address: Uint8Array;
  readonly #limits: Limits;
  readonly #llq: LlqMemory;
  readonly #msix: Msix;
  readonly #endpoint: Endpoint;
  /** What the host does to the NIC. */
  readonly #track: Track | undefined;
  #parts: Parts | undefined;

  constructor(options: EfaOptions) {
    this.name = options.name;
    this.#track = options.trace?.track(options.name, 'host');
    this.errors = new ErrorLog((error) => {
      const { category, where, message } = error;
      this.#track?.instant('refusal', category, { where, text: message });
      options.onError?.(error);
    });
    const seed = options.seed ?? 1;
    this.address = options.address ?? defaultAddress(options.name, seed);
    this.#limits = { ...defaultLimits, ...options.limits };
    const make = options.memory ?? ((name, size) => new SharedMemory(name, size));
    this.#llq = new LlqMemory(make(`${options.name}-llq`, LLQ_SIZE));
    this.#msix = msix({
      vectors: this.#limits.maxEq + 1,
      table: { bar: 0, offset: MSIX_TABLE_AT },
      pba: { bar: 0, offset: MSIX_PBA_AT },
      errors: this.errors,
    });
    const bar = { kind: 'memory64', prefetchable: true } as const;
    this.#endpoint = new Endpoint({
      name: options.name,
      ids: IDS,
      bars: [
        { index: 0, ...bar, prefetchable: false, region: this.#registerBar() },
        { index: 2, ...bar, region: memoryRegion(this.#llq.memory, { mappable: true }) },
        { index: DOORBELL_BAR, ...bar, prefetchable: false, region: this.#doorbellBar() },
      ],
      pcie: { flr: true, linkSpeed: 4, linkWidth: 16 },
      power: {},
      msix: this.#msix,
      connected: (ports) => {
        this.#parts = new Parts(options, this, ports, this.#limits, this.#llq);
      },
      reset: (kind) => {
        this.#track?.instant('reset', kind, {});
        this.#parts?.powerOn();
      },
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
    this.#parts?.close();
    this.#endpoint.close();
    this.#llq.memory.close();
  }

  registerUses(): readonly RegisterUse[] {
    return this.#parts?.control.block.uses() ?? [];
  }

  counters(): Readonly<Counters> {
    return { ...this.#connected().nic.stats };
  }

  commands(): Readonly<Record<string, number>> {
    return { ...this.#connected().commands.counts };
  }

  objects() {
    const { pds, uars, ahs, eqs, cqs, qps, mrs } = this.#connected().nic;
    return {
      pds: pds.count,
      uars: uars.count,
      ahs: ahs.table.count,
      eqs: eqs.count,
      cqs: cqs.count,
      qps: qps.count,
      mrs: mrs.count,
    };
  }

  host(): HostInfo | undefined {
    return this.#connected().features.host;
  }

  resetReason(): number | undefined {
    return this.#connected().control.resetReason;
  }

  notify(group: AenqGroup, syndrome?: number, data?: Uint8Array): void {
    this.#connected().events.notify(group, syndrome, data);
  }

  #connected(): Parts {
    if (!this.#parts) throw new Error(`${this.name} is not connected`);
    return this.#parts;
  }

  #registerBar(): Region {
    const registers = registerRegion(
      `${this.name}-registers`,
      efaRegisters.size,
      {
        read32: (offset) => {
          const { block } = this.#connected().control;
          const value = block.read32(offset);
          this.#track?.instant('register_read', block.nameAt(offset), { address: offset, value });
          return value;
        },
        write32: (offset, value) => {
          const { block } = this.#connected().control;
          this.#track?.instant('register_write', block.nameAt(offset), { address: offset, value });
          block.write32(offset, value);
        },
      },
      this.errors,
    );
    const { table, pba } = this.#msix;
    const tableEnd = MSIX_TABLE_AT + table.size;
    const pbaEnd = MSIX_PBA_AT + pba.size;
    return composeRegion([
      { offset: 0, region: registers },
      { offset: registers.size, region: unused(MSIX_TABLE_AT - registers.size) },
      { offset: MSIX_TABLE_AT, region: table },
      { offset: tableEnd, region: unused(MSIX_PBA_AT - tableEnd) },
      { offset: MSIX_PBA_AT, region: pba },
      { offset: pbaEnd, region: unused(REGISTER_BAR_SIZE - pbaEnd) },
    ]);
  }

  #doorbellBar(): Region {
    const pages = 2 ** Math.ceil(Math.log2(this.#limits.maxQp + this.#limits.maxCq));
    return registerRegion(
      `${this.name}-doorbells`,
      pages * PAGE,
      { read32: () => 0, write32: (offset, value) => this.#connected().doorbell(offset, value) },
      this.errors,
    );
  }
}

/** Reads as zero, takes no writes: nothing is there. */
function unused(size: number): Region {
  return { size, mappable: [], read: (_offset, target) => void target.fill(0), write() {} };
}

/** The blocks of a connected NIC. */
class Parts {
  readonly nic: Nic;
  readonly control: Control;
  readonly admin: AdminQueue;
  readonly commands: AdminCommands;
  readonly events: AsyncEvents;
  readonly features: Features;
  readonly #requester: Requester;
  readonly #responder: Responder;
  readonly #network: Network;
  readonly #keepAlive: number;
  readonly #station: { readonly address: Uint8Array; deliver(packet: Packet): void };

  constructor(options: EfaOptions, device: EfaFunction, ports: FunctionPorts, limits: Limits, llq: LlqMemory) {
    const seed = options.seed ?? 1;
    this.#network = options.network ?? new Network({ seed });
    this.#keepAlive = options.keepAlive ?? 0;
    const trace = options.trace?.scope(device.name);
    const interrupt = (vector: number) => {
      trace?.track('host').instant('interrupt', `MSI-X ${vector}`, { kind: 'msix', vector });
      if (vector <= limits.maxEq) ports.interrupt('msix', vector);
      else this.nic.guestError('MSIX', `vector ${vector}`);
    };
    const adminInterrupt = (vector: number) => {
      if (!this.control.masked) interrupt(vector);
    };
    this.nic = new Nic({
      name: device.name,
      dma: ports.dma,
      clock: ports.clock,
      errors: device.errors,
      random: new Random(seed),
      network: this.#network,
      address: device.address,
      limits,
      llq,
      interrupt,
      trace,
    });
    const { nic } = this;
    this.events = new AsyncEvents(nic, adminInterrupt);
    this.features = new Features(nic, this.events);
    this.#responder = new Responder(nic, (packet) => this.#requester.reply(packet));
    this.#requester = new Requester(nic, (qp) => this.#responder.flush(qp));
    const { features, events } = this;
    this.commands = new AdminCommands({ nic, requester: this.#requester, features, vectors: limits.maxEq + 1 });
    this.admin = new AdminQueue({
      nic,
      commands: this.commands,
      fatal: () => this.control.fatal(),
      interrupt: adminInterrupt,
    });
    const { admin } = this;
    const apiVersion = options.apiVersion ?? VERSION.LARGE_ENTRIES;
    this.control = new Control({ nic, admin, events, apiVersion, reset: () => this.#reset() });
    this.#station = { address: device.address, deliver: (packet) => this.#responder.deliver(packet) };
    this.#network.attach(this.#station);
    this.#start();
  }

  powerOn(): void {
    this.#reset();
    this.control.powerOn();
  }

  close(): void {
    this.#network.detach(this.#station);
    this.#stop();
  }

  doorbell(offset: number, value: number): void {
    const { nic } = this;
    const { maxQp } = nic.ports.limits;
    const page = Math.floor(offset / PAGE);
    const at = offset % PAGE;
    if (page >= maxQp) {
      const cq = nic.cqs.inSlot(page - maxQp);
      if (!cq || at !== 0) nic.guestError('CQ_DB', `doorbell 0x${offset.toString(16)}`);
      else if ((value & CQ_DB.ARM) !== 0) nic.start('arming', cq.arm());
      return;
    }
    const qp = nic.qps.inSlot(page);
    const queue = at === SQ_DOORBELL ? qp?.sq : at === RQ_DOORBELL ? qp?.rq : undefined;
    const side = queue === qp?.sq ? 'send' : 'receive';
    if (qp) nic.ports.trace?.track(`QP ${qp.id}`).instant('doorbell', side, { value: value & QP_DB.COUNTER });
    if (!qp || !queue) nic.guestError('QP_DB', `doorbell 0x${offset.toString(16)}`);
    else if (queue.post(value & QP_DB.COUNTER)) qp.changed.notify();
    else nic.guestError('QP_DB', `${value} is beyond the ring of QP ${qp.id}`);
  }

  #reset(): void {
    this.#stop();
    this.#start();
  }

  #stop(): void {
    this.#requester.reset();
    this.#responder.reset();
    this.admin.reset();
    this.events.reset();
    this.features.reset();
    this.nic.reset();
  }

  #start(): void {
    this.nic.start('receiver', this.#responder.serve());
    if (this.#keepAlive > 0) this.nic.start('keep-alive', this.#beat());
  }

  *#beat() {
    for (;;) {
      yield this.#keepAlive;
      this.events.notify('KEEP_ALIVE');
    }
  }
}
