/**
 * A driver that passes every call on and takes down which points of the interface it reaches, also those made by other threads
 * and processes of the program.
 */

import {
  type Call,
  type Driver,
  type Mapping,
  type ProgramProcess,
  SystemError,
  type Thread,
} from '../../driver/driver.ts';
import { DRM_IOCTL_HL_CS, hl_cs_chunk } from '../../uapi/habanalabs/cs.ts';
import type { FileOperationName } from '../../uapi/habanalabs/files.ts';
import { DRM_IOCTL_HL_MEMORY, memoryOperations } from '../../uapi/habanalabs/memory.ts';
import { importerIoctls } from '../../uapi/sagrada/importer.ts';
import { reader } from './members.ts';
import { PointedTo } from './memory.ts';
import { type OrderStep, orderStep, planOf, type ThingKind, variants } from './order.ts';
import { type Check, filePoints, type WatchedIoctl, watchedIoctls } from './points.ts';

/** What calls were made on a thing, as bits of pairs. */
interface Thing {
  done: number;
}

/** An open file that counts. */
interface OpenFile extends Thing {
  readonly kind: 'compute' | 'control' | 'dmabuf' | 'importer';
  readonly path: string;
  descriptors: number;
  /** By kind and number. */
  readonly things: Map<ThingKind, Map<number, Thing>>;
  /** Of a dma-buf: the file that exported it. */
  readonly exporter?: OpenFile;
}

/** The bytes of a call. */
interface Views {
  readonly before: DataView;
  readonly after: DataView;
  readonly chunk: DataView | undefined;
}

/** Checks of one list that no call of the test has reached yet. */
class Pending {
  readonly all: readonly Check[];
  left: Check[];

  constructor(all: readonly Check[]) {
    this.all = all;
    this.left = [...all];
  }
}

const byRequest = new Map(watchedIoctls.map((ioctl) => [ioctl.request, ioctl]));
const chunksAt = reader(DRM_IOCTL_HL_CS.argument, 'in.chunks_execute');
const exported = reader(DRM_IOCTL_HL_MEMORY.argument, 'out.fd');
const attached = reader(importerIoctls.ATTACH.argument, 'handle');
const attachedFd = reader(importerIoctls.ATTACH.argument, 'fd');
const otherHandle = reader(importerIoctls.UNMAP.argument, 'handle');

/** What says that an offset of mmap is of a timestamp buffer (common/habanalabs.h, HL_MMAP_TYPE_TS_BUFF). */
const TYPE_SHIFT = 59n;
const TIMESTAMPS = 0x10n;

const COMPUTE = /^\/dev\/accel\/accel\d+$/;
const CONTROL = /^\/dev\/accel\/accel_controlD(\d+)$/;

export class CoverageRecorder {
  /** What tests call. */
  readonly driver: Driver;
  readonly #pending = new Map<readonly Check[], Pending>();
  readonly #touched = new Set<Pending>();
  #points = new Set<string>();
  /** Cards by the path of their compute node. */
  #nodes = new Map<string, Thing>();

  constructor(driver: Driver) {
    this.driver = this.#wrap(driver, new Descriptors());
  }

  /** A test begins. */
  begin(): void {
    this.#points = new Set();
    this.#nodes = new Map();
    for (const pending of this.#touched) pending.left = [...pending.all];
    this.#touched.clear();
  }

  /** Ids of the points that were reached since the test began, sorted. */
  points(): readonly string[] {
    return [...this.#points].sort();
  }

  #wrap<D extends Driver>(driver: D, own: Descriptors): D {
    const methods = new Map<PropertyKey, unknown>();
    return new Proxy(driver, {
      get: (target, key) => {
        const known = methods.get(key);
        if (known !== undefined) return known;
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== 'function') return value;
        const method = this.#method(target, own, key) ?? value.bind(target);
        methods.set(key, method);
        return method;
      },
    });
  }

  #method(driver: Driver, own: Descriptors, key: PropertyKey): unknown {
    switch (key) {
      case 'ioctl':
        return (fd: number, request: number, argument: Uint8Array) => this.#ioctl(driver, own, fd, request, argument);
      case 'open':
        return (path: string, flags: number) => this.#open(driver, own, path, flags);
      case 'dup':
        return (fd: number) => {
          const copy = driver.dup(fd);
          own.share(fd, copy);
          return copy;
        };
      case 'close':
        return (fd: number) => {
          driver.close(fd);
          this.#closed(own.drop(fd));
        };
      case 'mmap':
        return (fd: number, length: number, protection: number, offset: bigint) =>
          this.#mmap(own, fd, offset, () => driver.mmap(fd, length, protection, offset));
      case 'allocate':
        return (...args: Parameters<Driver['allocate']>) => {
          const mapping = driver.allocate(...args);
          own.memory.add(mapping);
          return mapping;
        };
      case 'thread':
        return () => this.#thread(driver.thread(), own);
      case 'process':
        return (fds?: readonly number[]): ProgramProcess => this.#wrap(driver.process(fds), own.inherit(fds ?? []));
      default:
        return undefined;
    }
  }

  #thread(thread: Thread, own: Descriptors): Thread {
    return {
      ioctl: (fd, request, argument) => {
        const ioctl = byRequest.get(request);
        const file = own.get(fd);
        if (!ioctl || !file || argument.length < ioctl.size) return thread.ioctl(fd, request, argument);
        const before = argument.slice();
        const call = thread.ioctl(fd, request, argument);
        return watched(call, (outcome) => this.#record(ioctl, own, file, before, argument, outcome));
      },
      read: (fd, buffer) => thread.read(fd, buffer),
      write: (fd, buffer) => thread.write(fd, buffer),
      poll: (fd, events, timeout) => thread.poll(fd, events, timeout),
      close: (fd) => {
        const file = own.drop(fd);
        return watched(thread.close(fd), (outcome) => {
          if (outcome === 'ok') this.#closed(file);
        });
      },
      [Symbol.dispose]: () => thread[Symbol.dispose](),
    };
  }

  #ioctl(driver: Driver, own: Descriptors, fd: number, request: number, argument: Uint8Array): number {
    const ioctl = byRequest.get(request);
    const file = ioctl && own.get(fd);
    if (!ioctl || !file || argument.length < ioctl.size) return driver.ioctl(fd, request, argument);
    const before = argument.slice();
    let outcome = 'ok';
    try {
      return driver.ioctl(fd, request, argument);
    } catch (error) {
      outcome = codeOf(error);
      throw error;
    } finally {
      this.#record(ioctl, own, file, before, argument, outcome);
    }
  }

  #record(
    ioctl: WatchedIoctl,
    own: Descriptors,
    file: OpenFile,
    sent: Uint8Array,
    argument: Uint8Array,
    outcome: string,
  ): void {
    const before = viewOf(sent);
    const operation = ioctl.choose(before);
    const after = viewOf(argument);
    const chunk = ioctl.chunks ? own.memory.at(chunksAt(before), hl_cs_chunk.size) : undefined;
    const called = { before, after, outcome, control: file.kind === 'control', chunk };
    if (outcome !== 'ok') this.#check(ioctl.shared, called);
    if (!operation) return;
    this.#check(operation.checks, called);
    if (file.kind === 'control') return;
    const name = operation.id;
    if (ioctl.call === 'DMABUF') {
      this.#imported(own, file, operation.name, before, after, outcome);
      return;
    }
    const views = { before, after, chunk };
    this.#about(own, file, name, views, outcome);
    for (const variant of variants(name, before, after, outcome === 'ok'))
      this.#about(own, file, variant, views, outcome);
    if (outcome !== 'ok') return;
    if (
      ioctl.request === DRM_IOCTL_HL_MEMORY.request &&
      operation.row === memoryOperations.HL_MEM_OP_EXPORT_DMABUF_FD
    ) {
      const dmabuf = own.add(exported(after), 'dmabuf', '', file);
      this.#step('dmabuf', name, dmabuf, outcome);
    }
  }

  /** A call on a file, and on the things it names. */
  #about(own: Descriptors, file: OpenFile, name: string, views: Views, outcome: string): void {
    const plan = planOf(name);
    if (plan.file) this.#take(plan.file, file, outcome);
    for (const { use, step } of plan.things) {
      if (use.in === 'after' && outcome !== 'ok') continue;
      const view = views[use.in];
      if (!view) continue;
      let number = use.read(view);
      if (use.pointer) {
        const there = own.memory.at(number, 8);
        if (!there) continue;
        number = there.getUint32(4, true) * 2 ** 32 + there.getUint32(0, true);
      }
      this.#take(step, thingOf(file, use.kind, number), outcome);
    }
  }

  #imported(
    own: Descriptors,
    file: OpenFile,
    operation: string,
    before: DataView,
    after: DataView,
    outcome: string,
  ): void {
    const name = `DMABUF ${operation}`;
    if (operation === 'INFO') return;
    if (operation === 'ATTACH') {
      const dmabuf = own.get(attachedFd(before));
      if (dmabuf?.kind === 'dmabuf') this.#step('dmabuf', name, dmabuf, outcome);
      if (outcome === 'ok') this.#step('import', name, thingOf(file, 'import', attached(after)), outcome);
    } else this.#step('import', name, thingOf(file, 'import', otherHandle(before)), outcome);
  }

  #check(checks: readonly Check[], called: Parameters<Check['reached']>[0]): void {
    let pending = this.#pending.get(checks);
    if (!pending) {
      pending = new Pending(checks);
      this.#pending.set(checks, pending);
    }
    const { left } = pending;
    for (let i = 0; i < left.length; i++) {
      const check = left[i] as Check;
      if (!check.reached(called)) continue;
      this.#points.add(check.point.id);
      this.#touched.add(pending);
      left[i] = left.at(-1) as Check;
      left.pop();
      i--;
    }
  }

  #step(kind: ThingKind, name: string, thing: Thing, outcome: string): void {
    const step = orderStep(kind, name);
    if (step) this.#take(step, thing, outcome);
  }

  #take(step: OrderStep, thing: Thing, outcome: string): void {
    for (const { bit, outcome: wanted, point } of step.ends)
      if (outcome === wanted && (thing.done & bit) !== 0) this.#points.add(point.id);
    if (outcome === 'ok') thing.done = (thing.done & ~step.undoes) | step.begins;
  }

  #file(name: FileOperationName, outcome: string): void {
    const point = filePoints.get(`${name} ${outcome}`);
    if (point) this.#points.add(point.id);
  }

  #open(driver: Driver, own: Descriptors, path: string, flags: number): number {
    const control = CONTROL.exec(path);
    const kind = COMPUTE.test(path)
      ? 'compute'
      : control
        ? 'control'
        : path.includes('importer')
          ? 'importer'
          : undefined;
    let outcome = 'ok';
    try {
      const fd = driver.open(path, flags);
      if (kind) own.add(fd, kind, path);
      return fd;
    } catch (error) {
      outcome = codeOf(error);
      throw error;
    } finally {
      if (kind === 'compute' || kind === 'control') {
        const name = kind === 'compute' ? 'OPEN' : 'OPEN_CONTROL';
        this.#file(name, outcome);
        this.#step('node', `FILE ${name}`, this.#node(control ? `/dev/accel/accel${control[1]}` : path), outcome);
      }
    }
  }

  #node(path: string): Thing {
    let node = this.#nodes.get(path);
    if (!node) {
      node = { done: 0 };
      this.#nodes.set(path, node);
    }
    return node;
  }

  /** @param file whose last descriptor this program has closed */
  #closed(file: OpenFile | undefined): void {
    if (!file) return;
    if (file.kind === 'compute') {
      this.#file('CLOSE', 'ok');
      this.#step('file', 'FILE CLOSE', file, 'ok');
      this.#step('node', 'FILE CLOSE', this.#node(file.path), 'ok');
    } else if (file.kind === 'control') this.#file('CLOSE_CONTROL', 'ok');
    else if (file.kind === 'dmabuf') {
      this.#file('CLOSE_DMABUF', 'ok');
      this.#step('dmabuf', 'FILE CLOSE_DMABUF', file, 'ok');
      if (file.exporter) this.#step('file', 'FILE CLOSE_DMABUF', file.exporter, 'ok');
    }
  }

  #mmap(own: Descriptors, fd: number, offset: bigint, call: () => Mapping): Mapping {
    const file = own.get(fd);
    let outcome = 'ok';
    try {
      return call();
    } catch (error) {
      outcome = codeOf(error);
      throw error;
    } finally {
      if (file?.kind === 'compute') {
        const handle = Number(offset);
        const name: FileOperationName = offset >> TYPE_SHIFT === TIMESTAMPS ? 'MMAP_TIMESTAMPS' : 'MMAP_CB';
        this.#file(name, outcome);
        if (name === 'MMAP_CB') this.#step('cb', `FILE ${name}`, thingOf(file, 'cb', handle), outcome);
      }
    }
  }
}

/** Descriptors of a program, and its memory. */
class Descriptors {
  readonly memory = new PointedTo();
  readonly #files = new Map<number, OpenFile>();

  get(fd: number): OpenFile | undefined {
    return this.#files.get(fd);
  }

  add(fd: number, kind: OpenFile['kind'], path: string, exporter?: OpenFile): OpenFile {
    const file: OpenFile = {
      kind,
      path,
      done: 0,
      descriptors: 1,
      things: new Map(),
      ...(exporter ? { exporter } : {}),
    };
    this.#files.set(fd, file);
    return file;
  }

  share(fd: number, copy: number): void {
    const file = this.#files.get(fd);
    if (!file) return;
    file.descriptors++;
    this.#files.set(copy, file);
  }

  /** @returns the file, when it was its last descriptor */
  drop(fd: number): OpenFile | undefined {
    const file = this.#files.get(fd);
    if (!file) return undefined;
    this.#files.delete(fd);
    file.descriptors--;
    return file.descriptors === 0 ? file : undefined;
  }

  /** Those of a process that was given these. */
  inherit(fds: readonly number[]): Descriptors {
    const child = new Descriptors();
    for (const fd of fds) {
      const file = this.#files.get(fd);
      if (!file) continue;
      file.descriptors++;
      child.#files.set(fd, file);
    }
    return child;
  }
}

function thingOf(file: OpenFile, kind: ThingKind, number: number): Thing {
  let things = file.things.get(kind);
  if (!things) {
    things = new Map();
    file.things.set(kind, things);
  }
  let thing = things.get(number);
  if (!thing) {
    thing = { done: 0 };
    things.set(number, thing);
  }
  return thing;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function codeOf(error: unknown): string {
  return error instanceof SystemError ? error.code : 'unknown';
}

/** A call whose end is told of, once. */
function watched(call: Call, tell: (outcome: string) => void): Call {
  let told = false;
  const once = (outcome: string) => {
    if (!told) tell(outcome);
    told = true;
  };
  return {
    get done() {
      return call.done;
    },
    get blocked() {
      return call.blocked;
    },
    interrupt: () => call.interrupt(),
    finish() {
      try {
        const result = call.finish();
        once('ok');
        return result;
      } catch (error) {
        if (error instanceof SystemError) once(error.code);
        throw error;
      }
    },
  };
}
