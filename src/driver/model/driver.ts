/**
 * The habanalabs driver and as much of a kernel as its clients see, in process: an executable specification of the uAPI. It
 * drives modelled cards through their PCI functions, as the kernel's driver drives real ones; time is the machine's
 * virtual clock, which system calls that wait set forward.
 */

import type { Fabric } from '../../pci/fabric.ts';
import type { PciFunction } from '../../pci/function.ts';
import type { VirtualClock } from '../../sim/clock.ts';
import { DRM_IOCTL_HL_CB } from '../../uapi/habanalabs/cb.ts';
import { DRM_IOCTL_HL_CS } from '../../uapi/habanalabs/cs.ts';
import { DRM_IOCTL_HL_DEBUG } from '../../uapi/habanalabs/debug.ts';
import { DRM_IOCTL_HL_INFO } from '../../uapi/habanalabs/info.ts';
import { DRM_IOCTL_HL_MEMORY } from '../../uapi/habanalabs/memory.ts';
import { DRM_IOCTL_HL_WAIT_CS } from '../../uapi/habanalabs/wait-cs.ts';
import { IMPORTER_PATH } from '../../uapi/sagrada/importer.ts';
import type { Accelerator, Driver, Holder, Mapping, MemoryOptions } from '../driver.ts';
import { Card } from './card.ts';
import type { Context } from './context.ts';
import { type Client, DmaBuf } from './dmabuf.ts';
import { type Errno, refuse } from './errno.ts';
import { Descriptors, EventFile, type FileOperations, OpenFile } from './files.ts';
import { ImporterFile, type ImporterHost } from './importer.ts';
import { infoIoctl } from './info-ioctl.ts';
import { Kernel, MS, US } from './kernel.ts';
import { memoryIoctl } from './memory-ioctl.ts';
import { PciDevice } from './pci.ts';
import { waitIoctl } from './wait-ioctl.ts';

/** Bits of an ioctl's number that say which it is: type and number, without direction and size. */
const REQUEST = 0xffff;
/** Time that a system call takes, so that a program that only looks sees time pass. */
const SYSTEM_CALL = 1 * US;
const POLLIN = 0x1;
const POLLNVAL = 0x20;
const EFD_NONBLOCK = 0o4000;
/** The status attribute of sysfs (common/sysfs.c, status_show). */
const capitalised = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

export interface ModelDriverOptions {
  readonly clock: VirtualClock;
  /** The cards, in the order of their nodes. They are not connected yet. */
  readonly cards: readonly PciFunction[];
  /** By which cards reach each other. */
  readonly fabric: Fabric;
}

/** The compute node, open. */
class ComputeNode implements FileOperations {
  readonly name: string;
  readonly card: Card;
  readonly context: Context;
  readonly #driver: ModelDriver;

  constructor(driver: ModelDriver, name: string, card: Card, context: Context) {
    this.#driver = driver;
    this.name = name;
    this.card = card;
    this.context = context;
  }

  ioctl(request: number, argument: Uint8Array): void {
    this.#driver.ioctlOf(this, request, argument);
  }

  mmap(length: number, offset: bigint): Mapping {
    return this.context.buffers.map(offset, length);
  }

  release(): void {
    this.#driver.kernel.run(this.card.release(this.context));
  }
}

export class ModelDriver implements Driver {
  readonly kernel: Kernel;
  readonly #cards: readonly Card[];
  readonly #clients: readonly Client[];
  readonly #fabric: Fabric;
  readonly #descriptors = new Descriptors();
  readonly #nodes = new Map<string, () => OpenFile>();

  /** The cards are found and initialised, in virtual time. */
  constructor(options: ModelDriverOptions) {
    this.kernel = new Kernel(options.clock);
    this.#cards = options.cards.map((fn, number) => {
      const address = `0000:${(number + 1).toString(16).padStart(2, '0')}:00.0`;
      const card = new Card(address, this.kernel, new PciDevice(fn, number));
      const { clock } = options;
      fn.connect({
        clock,
        dma: options.fabric.portFor(fn, this.kernel.memory),
        interrupt: () => void clock.at(clock.now(), () => card.interrupt()),
      });
      card.onKill = () => this.#kill(card);
      this.#addNodes(card, number);
      return card;
    });
    this.#fabric = options.fabric;
    this.#clients = this.#cards.map((card) => ({ card, function: card.pci.function }));
    const importers: ImporterHost = {
      kernel: this.kernel,
      fabric: this.#fabric,
      descriptors: this.#descriptors,
      client: (address) => this.#clients.find(({ card }) => card.name === address),
      used: new Set(),
      lingering: new Set(),
    };
    this.#nodes.set(IMPORTER_PATH, () => new OpenFile(new ImporterFile(importers)));
    for (const card of this.#cards) this.kernel.run(card.probe());
  }

  open(path: string, _flags: number): number {
    this.#enter();
    const node = this.#nodes.get(path);
    if (!node) refuse('ENOENT', `open ${path}`);
    return this.#descriptors.add(node());
  }

  close(fd: number): void {
    this.#enter();
    this.#descriptors.close(fd);
  }

  dup(fd: number): number {
    this.#enter();
    return this.#descriptors.dup(fd);
  }

  ioctl(fd: number, request: number, argument: Uint8Array): number {
    this.#enter();
    const { operations } = this.#descriptors.file(fd, 'ioctl');
    if (!operations.ioctl) refuse('ENOTTY');
    operations.ioctl(request, argument);
    return 0;
  }

  mmap(fd: number, length: number, _protection: number, offset: bigint): Mapping {
    this.#enter();
    const file = this.#descriptors.file(fd, 'mmap');
    if (!file.operations.mmap) refuse('ENODEV', 'mmap');
    const mapping = file.operations.mmap(length, offset);
    // a mapping keeps the file open
    file.get();
    let mapped = true;
    return {
      address: mapping.address,
      get bytes() {
        return mapping.bytes;
      },
      unmap: () => {
        mapping.unmap();
        if (mapped) file.put();
        mapped = false;
      },
    };
  }

  allocate(length: number, options: MemoryOptions = {}): Mapping {
    this.#enter();
    return this.kernel.program.allocate(length, options.hugePages === true);
  }

  read(fd: number, buffer: Uint8Array): number {
    this.#enter();
    const { operations } = this.#descriptors.file(fd, 'read');
    if (!operations.read) refuse('EINVAL', 'read');
    if (operations.readable && !operations.readable()) {
      if (operations instanceof NonBlocking) refuse('EAGAIN', 'read');
      if (!this.kernel.until(() => operations.readable?.() ?? true))
        throw new Error(`read of descriptor ${fd}: nobody will ever write to it`);
    }
    return operations.read(buffer);
  }

  write(fd: number, buffer: Uint8Array): number {
    this.#enter();
    const { operations } = this.#descriptors.file(fd, 'write');
    if (!operations.write) refuse('EINVAL', 'write');
    return operations.write(buffer);
  }

  poll(fd: number, events: number, timeout: number): number {
    this.#enter();
    const file = this.#descriptors.find(fd);
    if (!file) return POLLNVAL;
    const ready = () => (file.operations.readable?.() ?? true) && (events & POLLIN) !== 0;
    const deadline = timeout < 0 ? Number.POSITIVE_INFINITY : this.kernel.clock.now() + timeout * MS;
    return this.kernel.until(ready, deadline) ? POLLIN : 0;
  }

  describe(fd: number): string {
    return this.#descriptors.file(fd, 'readlink').operations.name;
  }

  eventfd(initial: number, flags: number): number {
    const file = flags & EFD_NONBLOCK ? new NonBlocking(initial) : new EventFile(initial);
    return this.#descriptors.add(new OpenFile(file));
  }

  now(): number {
    return this.kernel.now();
  }

  sleep(nanoseconds: number): void {
    this.kernel.pass(nanoseconds);
  }

  accelerators(): readonly Accelerator[] {
    return this.#cards.map((card, number) => ({
      path: `/dev/accel/accel${number}`,
      controlPath: `/dev/accel/accel_controlD${number}`,
      pciAddress: card.name,
      bridges: this.#fabric.topology
        .above(card.pci.function)
        .map(({ name }) => name)
        .reverse(),
      status: () => capitalised(card.state()),
    }));
  }

  holders(path: string): readonly Holder[] {
    const open = this.#descriptors.of(({ operations }) => operations.name === path).length > 0;
    return open ? [{ pid: process.pid, command: 'node' }] : [];
  }

  /** What the driver has logged since the last call, with syslog levels. */
  messages(): readonly { readonly level: number; readonly text: string }[] {
    return this.kernel.takeLog();
  }

  /** @internal drm_ioctl: which ioctl it is, its argument in and out. */
  ioctlOf({ card, context }: ComputeNode, request: number, argument: Uint8Array): void {
    const { kernel } = this;
    const log = card.log.bind(card);
    const operational = () => card.operational();
    switch (request & REQUEST) {
      case DRM_IOCTL_HL_INFO.request & REQUEST:
        kernel.run(infoIoctl(card, context, argument, false, (fd) => this.#eventfd(fd)));
        return;
      case DRM_IOCTL_HL_CB.request & REQUEST:
        if (!operational()) refuse('EBUSY');
        context.buffers.ioctl(argument);
        return;
      case DRM_IOCTL_HL_CS.request & REQUEST:
        card.cs.call(context, argument);
        return;
      case DRM_IOCTL_HL_WAIT_CS.request & REQUEST:
        waitIoctl({ kernel, log, operational: () => operational() && !card.watchdog }, context, argument);
        return;
      case DRM_IOCTL_HL_MEMORY.request & REQUEST:
        kernel.run(memoryIoctl(card, context, argument, (address, size) => this.#export(card, context, address, size)));
        return;
      case DRM_IOCTL_HL_DEBUG.request & REQUEST:
        kernel.run(card.debug(DRM_IOCTL_HL_DEBUG.argument.decode(argument)));
        return;
      default:
        refuse('EINVAL');
    }
  }

  #enter(): void {
    this.kernel.pass(SYSTEM_CALL);
  }

  #addNodes(card: Card, number: number): void {
    const compute = `/dev/accel/accel${number}`;
    const control = `/dev/accel/accel_controlD${number}`;
    this.#nodes.set(compute, () => {
      const context = this.kernel.run(card.open());
      return new OpenFile(new ComputeNode(this, compute, card, context));
    });
    this.#nodes.set(control, () => {
      if (card.state() === 'disabled') refuse('EPERM', `open ${control}`);
      const ioctl = (request: number, argument: Uint8Array) => {
        if ((request & REQUEST) !== (DRM_IOCTL_HL_INFO.request & REQUEST)) refuse('ENOTTY');
        this.kernel.run(infoIoctl(card, undefined, argument, true, (fd) => this.#eventfd(fd)));
      };
      return new OpenFile({ name: control, ioctl });
    });
    const hardReset = `/sys/bus/pci/devices/${card.name}/hard_reset`;
    this.#nodes.set(hardReset, () => new OpenFile({ name: hardReset, write: (bytes) => this.#hardReset(card, bytes) }));
  }

  /** hard_reset_store (common/sysfs.c); numbers as kstrtoul takes them. */
  #hardReset(card: Card, bytes: Uint8Array): number {
    const text = new TextDecoder().decode(bytes).replace(/\n$/, '');
    if (!/^\+?(0x[0-9a-f]+|0[0-7]*|[1-9]\d*)$/i.test(text)) refuse('EINVAL', 'write');
    card.log('warn', 'Hard-Reset requested through sysfs');
    this.kernel.run(card.reset());
    return bytes.length;
  }

  #eventfd(fd: number): { signal(): void } | Errno {
    const file = this.#descriptors.find(fd);
    if (!file) return 'EBADF';
    return file.operations instanceof EventFile ? file.operations : 'EINVAL';
  }

  /** export_dmabuf: the dma-buf keeps the compute node open. */
  #export(card: Card, context: Context, address: number, size: number): number {
    const fd = this.#descriptors.of(
      ({ operations }) => operations instanceof ComputeNode && operations.context === context,
    )[0];
    const node = this.#descriptors.file(fd ?? -1, 'ioctl').get();
    context.references++;
    const release = () => {
      card.put(context);
      node.put();
    };
    const dmabuf = new DmaBuf(this.#client(card), this.#fabric.topology, address, size, release);
    return this.#descriptors.add(new OpenFile(dmabuf));
  }

  #client(card: Card): Client {
    return this.#clients.find((client) => client.card === card) as Client;
  }

  /** SIGKILL ends the program's descriptors of a card. */
  #kill(card: Card): void {
    const own = this.#descriptors.of(({ operations }) => operations instanceof ComputeNode && operations.card === card);
    for (const fd of own) this.#descriptors.close(fd);
  }
}

class NonBlocking extends EventFile {}
