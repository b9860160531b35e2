/**
 * The habanalabs driver and as much of a kernel as its clients see, in process: an executable specification of the uAPI. It
 * drives modelled cards through their PCI functions, as the kernel's driver drives real ones; time is the machine's
 * virtual clock, which system calls that wait set forward.
 */

import type { Fabric } from '../../pci/fabric.ts';
import type { PciFunction } from '../../pci/function.ts';
import type { VirtualClock } from '../../sim/clock.ts';
import type { Steps } from '../../sim/process.ts';
import type { TraceRecorder } from '../../trace/recorder.ts';
import { DRM_IOCTL_HL_CB } from '../../uapi/habanalabs/cb.ts';
import { DRM_IOCTL_HL_CS } from '../../uapi/habanalabs/cs.ts';
import { DRM_IOCTL_HL_DEBUG } from '../../uapi/habanalabs/debug.ts';
import { DRM_IOCTL_HL_INFO } from '../../uapi/habanalabs/info.ts';
import { DRM_IOCTL_HL_MEMORY } from '../../uapi/habanalabs/memory.ts';
import { DRM_IOCTL_HL_WAIT_CS } from '../../uapi/habanalabs/wait-cs.ts';
import { IMPORTER_PATH } from '../../uapi/sagrada/importer.ts';
import type { Accelerator, Mapping, RdmaDevice } from '../driver.ts';
import { numberOf, viaControl, viaDrm } from './argument.ts';
import { openAttribute, unsigned } from './attribute-file.ts';
import { attributesOf } from './attributes.ts';
import { Card } from './card.ts';
import type { Context } from './context.ts';
import { openDebugFile } from './debugfs/file.ts';
import { debugFilesOf } from './debugfs/files.ts';
import { DmaBuf, type Importer } from './dmabuf.ts';
import { type Errno, errnoOf, negative, refuse } from './errno.ts';
import { EventFile, type FileOperations, OpenFile } from './files.ts';
import { sensorAttributes } from './hwmon.ts';
import { ImporterFile, type ImporterHost } from './importer.ts';
import { infoIoctl } from './info-ioctl.ts';
import { Kernel } from './kernel.ts';
import { memoryIoctl } from './memory-ioctl.ts';
import { PciDevice } from './pci.ts';
import { Program, type System } from './program.ts';
import { counterFiles } from './rdma/counters.ts';
import { Nic } from './rdma/nic.ts';
import { VerbsFile } from './rdma/node.ts';
import { Verbs } from './rdma/verbs.ts';
import { waitIoctl } from './wait-ioctl.ts';

/** Bytes of the arguments, by number of the request. The DRM core's own requests are not part of this driver. */
const sizes = new Map(
  [
    DRM_IOCTL_HL_INFO,
    DRM_IOCTL_HL_CB,
    DRM_IOCTL_HL_CS,
    DRM_IOCTL_HL_WAIT_CS,
    DRM_IOCTL_HL_MEMORY,
    DRM_IOCTL_HL_DEBUG,
  ].map(({ request, argument }) => [numberOf(request), argument.size]),
);
/** The status attribute of sysfs (common/sysfs.c, status_show). */
const capitalised = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** Where the kernel finds the functions: the cards first, each on a bus of its own. */
function pciAddress(number: number): string {
  return `0000:${(number + 1).toString(16).padStart(2, '0')}:00.0`;
}

function verbsNode(number: number): string {
  return `/dev/infiniband/uverbs${number}`;
}

export interface ModelDriverOptions {
  readonly clock: VirtualClock;
  /** The cards, in the order of their nodes. They are not connected yet. */
  readonly cards: readonly PciFunction[];
  /** The NICs, likewise. Default: none. */
  readonly nics?: readonly PciFunction[];
  /** By which cards reach each other. */
  readonly fabric: Fabric;
  /** Firmware files by their path below /lib/firmware. */
  readonly firmware: Readonly<Record<string, Uint8Array>>;
  /** Told what happens in the driver. */
  readonly trace?: TraceRecorder | undefined;
}

/** The compute node, open. */
class ComputeNode implements FileOperations {
  readonly name: string;
  readonly card: Card;
  readonly context: Context;
  readonly file: OpenFile;
  readonly #driver: ModelDriver;

  constructor(driver: ModelDriver, name: string, card: Card, context: Context) {
    this.#driver = driver;
    this.name = name;
    this.card = card;
    this.context = context;
    this.file = new OpenFile(this);
  }

  ioctl(request: number, argument: Uint8Array): Steps {
    return this.#driver.ioctlOf(this, request, argument);
  }

  mmap(length: number, offset: bigint): Mapping {
    return this.context.buffers.map(offset, length);
  }

  release(): void {
    this.#driver.kernel.defer(`release of ${this.name}`, this.card.release(this.context));
  }
}

/** PC Firmware and PCI Local Bus: the first function of the first bus is the bridge to the processors. */
const HOST_BRIDGE = '0000:00:00.0';
const numberOfText = (bytes: Uint8Array) => unsigned(new TextDecoder().decode(bytes));

/** Of a card's sensors, and the files in it. */
interface SensorFolder {
  readonly number: number;
  readonly folder: string;
  readonly paths: readonly string[];
}

/** Lines of `resource`: six BARs, the ROM, six windows of bridges. */
const RESOURCES = 13;
/** IORESOURCE_MEM, PREFETCH, MEM_64 and SIZEALIGN with the low bits of the BAR (linux/ioport.h). */
const PREFETCHABLE_MEMORY = 0x14_220c;

/** reset_store of the PCI core (pci-sysfs.c). */
function* resetFunction(card: Card, bound: boolean, bytes: Uint8Array): Steps<number> {
  if (numberOfText(bytes) !== 1n) refuse('EINVAL', 'write');
  yield* card.resetFunction(bound);
  return bytes.length;
}

/** The first program, and the system it runs on. */
export class ModelDriver extends Program implements System {
  readonly system = this;
  readonly programs = new Map<number, Program>();
  readonly #cards: readonly Card[];
  readonly #nics: readonly Nic[];
  /** Cards that the kernel was told to remove. */
  readonly #removed = new Set<Card>();
  /** Cards that the driver has, and the nodes that it has made for each. */
  readonly #bound = new Map<Card, readonly string[]>();
  /** Where their sensors are. */
  readonly #sensors = new Map<Card, SensorFolder>();
  /** Numbers of the NICs that the driver has (uverbs_ida). */
  readonly #numbers = new Map<number, Nic>();
  readonly #fabric: Fabric;
  readonly #nodes = new Map<string, () => OpenFile | Steps<OpenFile>>();

  /** The cards are found and initialised, in virtual time. */
  constructor(options: ModelDriverOptions) {
    super(new Kernel(options.clock, options.firmware, options.trace), process.pid);
    this.programs.set(this.pid, this);
    this.#cards = options.cards.map((fn, number) => {
      const card = new Card(pciAddress(number), this.kernel, new PciDevice(fn, number));
      this.#connect(fn, options, () => card.interrupt());
      this.#addNodes(card, number);
      return card;
    });
    this.#nics = (options.nics ?? []).map((fn, number) => {
      const nic = new Nic(pciAddress(this.#cards.length + number), this.kernel, fn, number);
      this.#connect(fn, options, (vector) => nic.interrupt(vector));
      return nic;
    });
    this.#fabric = options.fabric;
    const { kernel } = this;
    const hostBridge: Importer = {
      name: HOST_BRIDGE,
      function: undefined,
      log: (level, text) => kernel.log(level, `pci ${HOST_BRIDGE}`, text),
    };
    const importers: ImporterHost = {
      kernel,
      fabric: this.#fabric,
      get descriptors() {
        return kernel.current.files;
      },
      client: (address) => [hostBridge, ...this.#cards, ...this.#nics].find(({ name }) => name === address),
      used: new Set(),
      paged: new Set(),
      lingering: new Set(),
    };
    this.#nodes.set(IMPORTER_PATH, () => new OpenFile(new ImporterFile(importers)));
    for (const card of this.#cards) this.kernel.run(this.#probeCard(card));
    for (const nic of this.#nics) this.kernel.run(this.#probe(nic));
    this.#addBus();
    this.#addDriver();
  }

  #connect(fn: PciFunction, { clock, fabric, trace }: ModelDriverOptions, interrupt: (vector: number) => void): void {
    fn.connect({
      clock,
      dma: fabric.portFor(fn, this.kernel.memory),
      interrupt: (_kind, vector) => {
        const cause = trace?.cause ?? 0;
        clock.at(clock.now(), () => (trace ? trace.causing(cause, () => interrupt(vector)) : interrupt(vector)));
      },
    });
  }

  /** @internal */
  *node(path: string): Steps<OpenFile> {
    const node = this.#nodes.get(path);
    if (!node) refuse('ENOENT', `open ${path}`);
    const opened = node();
    return opened instanceof OpenFile ? opened : yield* opened;
  }

  override accelerators(): readonly Accelerator[] {
    const there = this.#cards.map((card, number) => ({ card, number })).filter(({ card }) => this.#bound.has(card));
    return there.map(({ card, number }) => ({
      path: `/dev/accel/accel${number}`,
      controlPath: `/dev/accel/accel_controlD${number}`,
      pciAddress: card.name,
      bridges: this.#bridges(card.function),
      sensors: () => this.#sensors.get(card)?.folder,
      status: () => capitalised(card.state()),
    }));
  }

  nics(): readonly RdmaDevice[] {
    return [...this.#numbers]
      .sort(([a], [b]) => a - b)
      .map(([number, nic]) => ({
        name: nic.device as string,
        path: verbsNode(number),
        pciAddress: nic.name,
        bridges: this.#bridges(nic.function),
      }));
  }

  /** The PCI bridges above a function, from the root port down. */
  #bridges(fn: PciFunction): string[] {
    return this.#fabric.topology
      .above(fn)
      .map(({ name }) => name)
      .reverse();
  }

  interruptAfter(ms?: number): void {
    this.kernel.interruptAfter(ms);
  }

  /** What the driver has logged since the last call, with syslog levels. */
  messages(): readonly { readonly level: number; readonly text: string }[] {
    return this.kernel.takeLog();
  }

  /** @internal drm_ioctl: which ioctl it is, its argument in and out. */
  ioctlOf(node: ComputeNode, request: number, argument: Uint8Array): Steps {
    const size = sizes.get(numberOf(request));
    return viaDrm(request, argument, size, (copy) => this.#ioctl(node, numberOf(request), copy));
  }

  *#ioctl(node: ComputeNode, number: number, argument: Uint8Array): Steps {
    const { kernel } = this;
    const { card, context } = node;
    const { waiters } = card;
    const log = card.log.bind(card);
    const operational = () => card.operational();
    switch (number) {
      case numberOf(DRM_IOCTL_HL_INFO.request):
        return yield* infoIoctl(card, context, argument, undefined, (fd) => this.#eventfd(fd));
      case numberOf(DRM_IOCTL_HL_CB.request):
        if (!operational()) refuse('EBUSY');
        return context.buffers.ioctl(argument);
      case numberOf(DRM_IOCTL_HL_CS.request):
        return yield* card.cs.call(context, argument);
      case numberOf(DRM_IOCTL_HL_WAIT_CS.request): {
        const ports = { kernel, log, waiters, operational: () => operational() && !card.watchdog };
        return yield* waitIoctl(ports, context, argument);
      }
      case numberOf(DRM_IOCTL_HL_MEMORY.request): {
        const exported = (address: number, size: number, flags: number) => this.#export(node, address, size, flags);
        return yield* memoryIoctl(card, context, argument, exported);
      }
      case numberOf(DRM_IOCTL_HL_DEBUG.request):
        return yield* card.debug(DRM_IOCTL_HL_DEBUG.argument.decode(argument));
      default:
        // nor are there requests of DRM itself, of which some are the end of the thread that makes them (docs/findings/0009)
        refuse('EINVAL');
    }
  }

  /** What a card has whether or not a driver has it (drivers/pci/pci-sysfs.c), and what the driver adds. */
  #addNodes(card: Card, number: number): void {
    this.#bind(card, number);
    const folder = `/sys/bus/pci/devices/${card.name}`;
    const [resource, remove, reset] = [`${folder}/resource`, `${folder}/remove`, `${folder}/reset`];
    this.#nodes.set(resource, () => openAttribute({ path: resource, mode: 0o444, show: () => this.#resources(card) }));
    const all = [resource, remove, reset];
    this.#nodes.set(remove, () => new OpenFile({ name: remove, write: (bytes) => this.#removeCard(card, all, bytes) }));
    const isBound = () => this.#bound.has(card);
    this.#nodes.set(
      reset,
      () => new OpenFile({ name: reset, write: (bytes) => resetFunction(card, isBound(), bytes) }),
    );
  }

  /** The driver has the card: its nodes and attributes are there. */
  #bind(card: Card, number: number): void {
    const compute = `/dev/accel/accel${number}`;
    const control = `/dev/accel/accel_controlD${number}`;
    this.#nodes.set(compute, () => this.#openCompute(card, compute));
    this.#nodes.set(control, () => {
      if (card.state() === 'disabled') refuse('EPERM', `open ${control}`);
      const ioctl = (request: number, argument: Uint8Array) => {
        const { request: known, argument: layout } = DRM_IOCTL_HL_INFO;
        if (numberOf(request) !== numberOf(known)) refuse('ENOTTY');
        const device = `accel accel_controlD${number}`;
        const ask = (copy: Uint8Array) => infoIoctl(card, undefined, copy, device, (fd) => this.#eventfd(fd));
        return viaControl(request, argument, layout.size, ask);
      };
      return new OpenFile({ name: control, ioctl });
    });
    const attributes = attributesOf(card);
    for (const attribute of attributes) this.#nodes.set(attribute.path, () => openAttribute(attribute));
    const debugFolder = `/sys/kernel/debug/accel/${card.name}`;
    const debugFiles = debugFilesOf(card).map((file) => ({ path: `${debugFolder}/${file.name}`, file }));
    for (const { path, file } of debugFiles) this.#nodes.set(path, () => openDebugFile(path, file));
    this.#bound.set(card, [compute, control, ...[...attributes, ...debugFiles].map(({ path }) => path)]);
  }

  /** hl_hwmon_init: sensors of a card that has been initialised have a folder of the lowest free number. */
  *#probeCard(card: Card): Steps {
    yield* card.probe();
    if (!card.operational()) return;
    const used = new Set([...this.#sensors.values()].map((folder) => folder.number));
    let number = 0;
    while (used.has(number)) number++;
    const folder = `/sys/bus/pci/devices/${card.name}/hwmon/hwmon${number}`;
    const attributes = sensorAttributes(card, folder);
    for (const attribute of attributes) this.#nodes.set(attribute.path, () => openAttribute(attribute));
    this.#sensors.set(card, { number, folder, paths: attributes.map(({ path }) => path) });
  }

  /** device_release_driver: nobody can open the nodes any more, then the driver gives the card up. */
  *#unbind(card: Card): Steps {
    for (const path of [...(this.#bound.get(card) ?? []), ...(this.#sensors.get(card)?.paths ?? [])])
      this.#nodes.delete(path);
    this.#sensors.delete(card);
    if (this.#bound.delete(card)) yield* card.remove();
  }

  /** unbind_store and bind_store of a driver (drivers/base/bus.c), by the address of the card. */
  #addDriver(): void {
    const named = (bytes: Uint8Array) => {
      const name = new TextDecoder().decode(bytes).replace(/\n$/, '');
      return this.#cards.find((card) => card.name === name && !this.#removed.has(card)) ?? refuse('ENODEV', 'write');
    };
    const unbind = function* (this: ModelDriver, bytes: Uint8Array): Steps<number> {
      const card = named(bytes);
      if (!this.#bound.has(card)) refuse('ENODEV', 'write');
      yield* this.#unbind(card);
      return bytes.length;
    };
    const bind = function* (this: ModelDriver, bytes: Uint8Array): Steps<number> {
      const card = named(bytes);
      if (this.#bound.has(card)) refuse('EBUSY', 'write');
      this.#bind(card, this.#cards.indexOf(card));
      yield* this.#probeCard(card);
      return bytes.length;
    };
    for (const [name, write] of Object.entries({ unbind, bind })) {
      const path = `/sys/bus/pci/drivers/habanalabs/${name}`;
      this.#nodes.set(path, () => new OpenFile({ name: path, write: (bytes) => write.call(this, bytes) }));
    }
  }

  /** A NIC is found: its node is there when its driver has it (ib_uverbs_add_one). */
  *#probe(nic: Nic): Steps {
    let number = 0;
    while (this.#numbers.has(number)) number++;
    try {
      yield* nic.probe(`efa_${number}`);
    } catch (error) {
      nic.log('err', `probe with driver efa failed with error ${negative(errnoOf(error))}`);
      return;
    }
    this.#numbers.set(number, nic);
    const node = verbsNode(number);
    const verbs = new Verbs(nic);
    this.#nodes.set(node, () => new OpenFile(new VerbsFile(node, verbs)));
    const counters = counterFiles(nic);
    for (const { path, read } of counters) {
      this.#nodes.set(path, () => openAttribute({ path, mode: 0o444, show: read }));
    }
    const remove = `/sys/bus/pci/devices/${nic.name}/remove`;
    this.#nodes.set(remove, () => {
      const gone = [remove, node, ...counters.map(({ path }) => path)];
      const write = (bytes: Uint8Array) => this.#remove(nic, number, gone, bytes);
      return new OpenFile({ name: remove, mode: 0o200, write });
    });
  }

  /** remove_store of the PCI core: nobody can open the node any more; it waits for those who have it open. */
  *#remove(nic: Nic, number: number, nodes: readonly string[], bytes: Uint8Array): Steps<number> {
    if (nodes.filter((path) => this.#nodes.delete(path)).length === 0) refuse('ENODEV', 'write');
    yield* nic.remove();
    this.#numbers.delete(number);
    return bytes.length;
  }

  /** As `#remove`, of a card. */
  *#removeCard(card: Card, nodes: readonly string[], bytes: Uint8Array): Steps<number> {
    if (nodes.filter((path) => this.#nodes.delete(path)).length === 0) refuse('ENODEV', 'write');
    yield* this.#unbind(card);
    this.#removed.add(card);
    return bytes.length;
  }

  /** rescan_store of the PCI core: what was removed is found again. */
  #addBus(): void {
    const rescan = '/sys/bus/pci/rescan';
    const find = function* (this: ModelDriver, bytes: Uint8Array): Steps<number> {
      for (const card of this.#removed) {
        this.#removed.delete(card);
        this.#addNodes(card, this.#cards.indexOf(card));
        yield* this.#probeCard(card);
      }
      for (const nic of this.#nics) if (nic.removed) yield* this.#probe(nic);
      return bytes.length;
    };
    this.#nodes.set(
      rescan,
      () => new OpenFile({ name: rescan, mode: 0o200, write: (bytes) => find.call(this, bytes) }),
    );
  }

  /** resource_show of the PCI core: start, end and flags of each BAR (pci-sysfs.c). */
  #resources(card: Card): string {
    const line = (...values: number[]) =>
      `${values.map((value) => `0x${value.toString(16).padStart(16, '0')}`).join(' ')}\n`;
    const { bars } = card.pci.function;
    return Array.from({ length: RESOURCES }, (_, i) => {
      const bar = bars.find(({ index }) => index === i);
      const start = bar && card.pci.function.barAddress(i);
      return bar === undefined || start === undefined
        ? line(0, 0, 0)
        : line(start, start + bar.region.size - 1, PREFETCHABLE_MEMORY);
    }).join('');
  }

  *#openCompute(card: Card, name: string): Steps<OpenFile> {
    return new ComputeNode(this, name, card, yield* card.open()).file;
  }

  #eventfd(fd: number): { signal(): void } | Errno {
    const file = this.kernel.current.files.find(fd);
    if (!file) return 'EBADF';
    return file.operations instanceof EventFile ? file.operations : 'EINVAL';
  }

  /** export_dmabuf: the dma-buf keeps the compute node open. */
  #export(node: ComputeNode, address: number, size: number, flags: number): number {
    const { card, context } = node;
    node.file.get();
    context.references++;
    const release = () => {
      card.put(context);
      node.file.put();
    };
    const dmabuf = new DmaBuf(card, this.#fabric.topology, address, size, release);
    return this.kernel.current.files.add(new OpenFile(dmabuf).opened(flags));
  }

  /** This program goes on, and so can tell of it; only its nodes of the cards that ended it are closed. */
  protected override killed(): void {
    const lost = this.descriptorsOf(({ operations }) => operations instanceof ComputeNode && operations.card.inReset);
    for (const fd of lost) this.act((files) => files.close(fd));
  }
}
