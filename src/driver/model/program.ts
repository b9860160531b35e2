/** A program on the modelled system: its memory, its descriptors, its threads, and the system calls they make. */

import { Condition, Process, type Steps } from '../../sim/process.ts';
import type {
  Accelerator,
  Call,
  Driver,
  Holder,
  Mapping,
  MemoryOptions,
  ProgramProcess,
  RdmaDevice,
  Thread,
} from '../driver.ts';
import { PROT_WRITE } from '../driver.ts';
import { type TracedCall, tracedCall } from './call-trace.ts';
import { refuse } from './errno.ts';
import { Descriptors, EventFile, type FileMapping, OpenFile } from './files.ts';
import { AddressSpace } from './host-memory.ts';
import { type Kernel, MS, type Task, US } from './kernel.ts';

/** Time that a system call takes, so that a program that only looks sees time pass. */
const SYSTEM_CALL = 1 * US;
/** Time of a look at memory that a device writes: a read of a line that another has written. */
const LOOK = 100;
const POLLIN = 0x1;
const POLLNVAL = 0x20;
const EFD_NONBLOCK = 0o4000;

class NonBlocking extends EventFile {}

/** What programs share. */
export interface System {
  readonly kernel: Kernel;
  /** All programs that have not ended, by their number. */
  readonly programs: Map<number, Program>;
  /** Opens a node. @throws SystemError */
  node(path: string): Steps<OpenFile>;
  accelerators(): readonly Accelerator[];
  /** Network cards. */
  nics?(): readonly RdmaDevice[];
}

export abstract class Program implements Driver {
  readonly kernel: Kernel;
  readonly pid: number;
  readonly #memory: AddressSpace;
  readonly #descriptors = new Descriptors();
  readonly #task: Task;
  readonly #threads = new Set<Task>();
  /** Calls that its threads are in. */
  readonly #calls = new Set<Call>();
  readonly #returned = new Condition();
  /** Its mappings of files. */
  readonly #mapped = new Set<() => void>();
  /** Those of doorbells, by their addresses. */
  readonly #doorbells = new Map<bigint, FileMapping>();

  /** In traces, which do not depend on what number the system gives. */
  readonly #number: number;
  #threadCount = 0;

  constructor(kernel: Kernel, pid: number) {
    this.#number = kernel.programs++;
    this.kernel = kernel;
    this.pid = pid;
    this.#memory = new AddressSpace(kernel.memory);
    this.#task = this.#newTask();
  }

  abstract readonly system: System;

  /** It has been sent SIGKILL. */
  protected abstract killed(): void;

  open(path: string, flags: number): number {
    return this.#call(this.#open(path, flags), { name: 'open', detail: path });
  }

  close(fd: number): void {
    this.#call(
      this.#steps(() => this.#descriptors.close(fd)),
      { name: 'close', fd },
    );
  }

  dup(fd: number): number {
    return this.#call(this.#steps(() => this.#descriptors.dup(fd)));
  }

  ioctl(fd: number, request: number, argument: Uint8Array): number {
    return this.#call(this.#ioctl(fd, request, argument), { name: 'ioctl', fd, request, argument });
  }

  mmap(fd: number, length: number, protection: number, offset: bigint): Mapping {
    return this.#call(
      this.#steps(() => this.#mmap(fd, length, protection, offset)),
      { name: 'mmap', fd, detail: `${length} bytes at 0x${offset.toString(16)}` },
    );
  }

  allocate(length: number, options: MemoryOptions = {}): Mapping {
    const mapping = this.#call(this.#steps(() => this.#memory.allocate(length, options.hugePages === true)));
    const { memoryTrack } = this.kernel;
    if (!memoryTrack) return mapping;
    const told = { space: 'host', address: Number(mapping.address), size: length, owner: `process ${this.#number}` };
    memoryTrack.instant('memory', 'allocate', told);
    const unmap = () => {
      if (mapping.bytes.length > 0) memoryTrack.instant('memory', 'free', told);
      mapping.unmap();
    };
    return {
      address: mapping.address,
      get bytes() {
        return mapping.bytes;
      },
      unmap,
    };
  }

  read(fd: number, buffer: Uint8Array): number {
    return this.#call(this.#read(fd, buffer), { name: 'read', fd });
  }

  write(fd: number, buffer: Uint8Array): number {
    return this.#call(this.#write(fd, buffer), { name: 'write', fd });
  }

  poll(fd: number, events: number, timeout: number): number {
    return this.#call(this.#poll(fd, events, timeout), { name: 'poll', fd, detail: `${timeout} ms` });
  }

  describe(fd: number): string {
    return this.#call(this.#steps(() => this.#descriptors.file(fd, 'readlink').operations.name));
  }

  eventfd(initial: number, flags: number): number {
    const file = flags & EFD_NONBLOCK ? new NonBlocking(initial) : new EventFile(initial);
    return this.#call(this.#steps(() => this.#descriptors.add(new OpenFile(file))));
  }

  now(): number {
    return this.kernel.now();
  }

  sleep(nanoseconds: number): void {
    this.kernel.pass(nanoseconds);
  }

  accelerators(): readonly Accelerator[] {
    return this.system.accelerators();
  }

  rdmaDevices(): readonly RdmaDevice[] {
    return this.system.nics?.() ?? [];
  }

  store32(mapping: Mapping, at: number, value: number): void {
    const doorbell = this.#doorbells.get(mapping.address);
    if (doorbell?.store32) doorbell.store32(at, value);
    else new DataView(mapping.bytes.buffer, mapping.bytes.byteOffset).setUint32(at, value, true);
  }

  relax(): void {
    this.kernel.pass(LOOK);
  }

  holders(path: string): readonly Holder[] {
    return [...this.system.programs.values()]
      .filter((program) => program.#descriptors.of(({ operations }) => operations.name === path).length > 0)
      .map(({ pid }) => ({ pid, command: 'node' }));
  }

  thread(): Thread {
    const thread = ++this.#threadCount;
    return new ModelThread((steps, call) => this.#begin(steps, { ...call, thread }), {
      ioctl: (fd, request, argument) => this.#ioctl(fd, request, argument),
      read: (fd, buffer) => this.#read(fd, buffer),
      write: (fd, buffer) => this.#write(fd, buffer),
      poll: (fd, events, timeout) => this.#poll(fd, events, timeout),
      close: (fd) =>
        this.#steps(() => {
          this.#descriptors.close(fd);
          return 0;
        }),
    });
  }

  process(fds: readonly number[] = []): ProgramProcess {
    const child = new ChildProgram(this.system, Math.max(...this.system.programs.keys()) + 1);
    for (const fd of fds) child.#descriptors.inherit(fd, this.#descriptors.file(fd, 'fork'));
    return child;
  }

  /** Descriptors that are open with files of this kind. */
  protected descriptorsOf(predicate: (file: OpenFile) => boolean): number[] {
    return this.#descriptors.of(predicate);
  }

  /** Work of the program itself, in a system call of its own (do_exit). */
  protected act(body: (files: Descriptors) => void): void {
    this.#begin(this.#steps(() => body(this.#descriptors)));
  }

  /** Its threads come out of what they wait for; then its memory goes, then its descriptors (exit_mm, exit_files). */
  protected *end(): Steps {
    for (const task of [this.#task, ...this.#threads]) {
      task.killed = true;
      task.waits?.notify();
    }
    while ([...this.#calls].some((call) => !call.done)) yield this.#returned;
    yield* this.#inCall(
      this.#task,
      this.#steps(() => {
        for (const unmap of [...this.#mapped]) unmap();
        for (const fd of this.#descriptors.of(() => true)) this.#descriptors.close(fd);
      }),
    );
    this.system.programs.delete(this.pid);
  }

  /** Throws unless the program can make calls. */
  protected check(): void {}

  #newTask(): Task {
    return {
      pid: this.pid,
      memory: this.#memory,
      files: this.#descriptors,
      work: [],
      killed: false,
      signalled: false,
      waits: undefined,
      kill: () => this.killed(),
    };
  }

  /** A system call, with what it leaves to be done before it returns. */
  *#inCall<T>(task: Task, steps: Steps<T>): Steps<T> {
    const { kernel } = this;
    try {
      yield SYSTEM_CALL;
      return yield* kernel.as(task, steps);
    } finally {
      for (let next = task.work.shift(); next; next = task.work.shift()) yield* kernel.as(task, next);
    }
  }

  #call<T>(steps: Steps<T>, call?: TracedCall): T {
    this.check();
    return this.kernel.run(this.#told(this.#inCall(this.#task, steps), call, 0));
  }

  /** The call, told where a trace is kept. @param thread its number; 0: the program's first */
  #told<T>(steps: Steps<T>, call: TracedCall | undefined, thread: number): Steps<T> {
    const { trace } = this.kernel;
    if (!trace || !call) return steps;
    const file = call.fd === undefined ? undefined : this.#descriptors.find(call.fd)?.operations.name;
    return tracedCall(trace.track('driver', `process ${this.#number}`, `thread ${thread}`), call, file, steps);
  }

  // biome-ignore lint/correctness/useYield: calls that do not sleep
  *#steps<T>(body: () => T): Steps<T> {
    return body();
  }

  #begin<T>(steps: Steps<T>, traced?: TracedCall & { readonly thread: number }): Call & { result(): T } {
    this.check();
    const task = this.#newTask();
    this.#threads.add(task);
    const call = new PendingCall<T>(
      this.kernel,
      task,
      this.#told(this.#inCall(task, steps), traced, traced?.thread ?? 0),
      () => {
        this.#threads.delete(task);
        this.#calls.delete(call);
        this.#returned.notify();
      },
    );
    this.#calls.add(call);
    return call;
  }

  *#open(path: string, flags: number): Steps<number> {
    return this.#descriptors.add((yield* this.system.node(path)).opened(flags));
  }

  *#ioctl(fd: number, request: number, argument: Uint8Array): Steps<number> {
    const file = this.#descriptors.file(fd, 'ioctl').get();
    try {
      if (!file.operations.ioctl) refuse('ENOTTY');
      yield* file.operations.ioctl(request, argument) ?? [];
      return 0;
    } finally {
      file.put();
    }
  }

  #mmap(fd: number, length: number, protection: number, offset: bigint): Mapping {
    const file = this.#descriptors.file(fd, 'mmap');
    // do_mmap of what is shared, before the file is asked
    if (!file.mayRead || (!file.mayWrite && protection & PROT_WRITE)) refuse('EACCES', 'mmap');
    if (!file.operations.mmap) refuse('ENODEV', 'mmap');
    const mapping = file.operations.mmap(length, offset);
    // a mapping keeps the file open
    file.get();
    const unmap = () => {
      if (!this.#mapped.delete(unmap)) return;
      this.#doorbells.delete(mapping.address);
      mapping.unmap();
      file.put();
    };
    this.#mapped.add(unmap);
    if (mapping.store32) this.#doorbells.set(mapping.address, mapping);
    let kept = length;
    return {
      address: mapping.address,
      get bytes() {
        const { bytes } = mapping;
        return kept < bytes.length ? bytes.subarray(0, kept) : bytes;
      },
      unmap: () => {
        if (this.#mapped.has(unmap)) this.#call(this.#steps(unmap));
      },
      // what has a part of a file's mapping has the file: it is let go with the last part
      shrink: (size) => {
        kept = size;
      },
    };
  }

  *#read(fd: number, buffer: Uint8Array): Steps<number> {
    const file = this.#descriptors.file(fd, 'read').get();
    try {
      const { operations } = file;
      if (!file.mayRead) refuse('EBADF', 'read');
      if (!operations.read || buffer.length < (operations.least ?? 0)) refuse('EINVAL', 'read');
      if (operations.readable && !operations.readable()) {
        if (operations instanceof NonBlocking || !operations.changed) refuse('EAGAIN', 'read');
        const there = () => operations.readable?.() ?? true;
        // a read that a handled signal interrupts begins anew
        const { current } = this.kernel;
        for (;;) {
          const end = yield* this.kernel.wait(operations.changed, there);
          if (end === 'done') break;
          if (!current.signalled) refuse('EINTR', 'read');
          current.signalled = false;
        }
      }
      const result = operations.read(buffer);
      return typeof result === 'number' ? result : yield* result;
    } finally {
      file.put();
    }
  }

  *#write(fd: number, buffer: Uint8Array): Steps<number> {
    const file = this.#descriptors.file(fd, 'write').get();
    try {
      if (!file.mayWrite) refuse('EBADF', 'write');
      if (!file.operations.write) refuse('EINVAL', 'write');
      const result = file.operations.write(buffer);
      return typeof result === 'number' ? result : yield* result;
    } finally {
      file.put();
    }
  }

  *#poll(fd: number, events: number, timeout: number): Steps<number> {
    const { kernel } = this;
    const file = this.#descriptors.find(fd)?.get();
    if (!file) return POLLNVAL;
    try {
      const { operations } = file;
      const there = () => {
        const failed = operations.failed?.() ?? 0;
        const readable = (operations.readable?.() ?? true) && (events & POLLIN) !== 0;
        return failed || (readable ? POLLIN : 0);
      };
      const deadline = timeout < 0 ? Number.POSITIVE_INFINITY : kernel.clock.now() + timeout * MS;
      const end = yield* kernel.wait(operations.changed ?? new Condition(), () => there() !== 0, deadline);
      if (end === 'interrupted') refuse('EINTR', 'poll');
      return there();
    } finally {
      file.put();
    }
  }
}

class ChildProgram extends Program implements ProgramProcess {
  readonly system: System;
  #dead = false;
  #dying = false;

  constructor(system: System, pid: number) {
    super(system.kernel, pid);
    this.system = system;
    system.programs.set(pid, this);
  }

  get alive(): boolean {
    return !this.#dead;
  }

  kill(): void {
    this.killed();
    if (!this.kernel.until(() => this.#dead)) throw new Error(`process ${this.pid} does not end`);
  }

  [Symbol.dispose](): void {
    this.kill();
  }

  protected override killed(): void {
    if (this.#dying) return;
    this.#dying = true;
    this.kernel.start(`exit of ${this.pid}`, () => this.#exit());
  }

  protected override check(): void {
    if (this.#dying) throw new Error('the process has ended');
  }

  *#exit(): Steps {
    yield* this.end();
    this.#dead = true;
  }
}

class PendingCall<T> implements Call {
  readonly #kernel: Kernel;
  readonly #task: Task;
  #started = false;
  #outcome: { readonly value: T } | { readonly error: unknown } | undefined;

  constructor(kernel: Kernel, task: Task, steps: Steps<T>, returned: () => void) {
    this.#kernel = kernel;
    this.#task = task;
    const finish = (outcome: { readonly value: T } | { readonly error: unknown }) => {
      this.#outcome = outcome;
      returned();
    };
    const body = function* (this: PendingCall<T>): Steps {
      this.#started = true;
      finish({ value: yield* steps });
    };
    new Process(kernel.clock, 'system call', body.call(this), (error) => finish({ error }));
  }

  get done(): boolean {
    return this.#outcome !== undefined;
  }

  get blocked(): boolean {
    return this.#started && !this.done;
  }

  interrupt(): void {
    this.#task.signalled = true;
    this.#task.waits?.notify();
  }

  result(): T {
    if (!this.#kernel.until(() => this.done))
      throw new Error('the call waits for something that cannot happen any more');
    const outcome = this.#outcome as { readonly value: T } | { readonly error: unknown };
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  }

  finish(): number {
    return Number(this.result());
  }
}

interface Calls {
  ioctl(fd: number, request: number, argument: Uint8Array): Steps<number>;
  read(fd: number, buffer: Uint8Array): Steps<number>;
  write(fd: number, buffer: Uint8Array): Steps<number>;
  poll(fd: number, events: number, timeout: number): Steps<number>;
  close(fd: number): Steps<number>;
}

class ModelThread implements Thread {
  readonly #start: (steps: Steps<number>, call: TracedCall) => Call;
  readonly #calls: Calls;
  #last: Call | undefined;

  constructor(start: (steps: Steps<number>, call: TracedCall) => Call, calls: Calls) {
    this.#start = start;
    this.#calls = calls;
  }

  ioctl(fd: number, request: number, argument: Uint8Array): Call {
    return this.#begin(() => this.#calls.ioctl(fd, request, argument), { name: 'ioctl', fd, request, argument });
  }

  read(fd: number, buffer: Uint8Array): Call {
    return this.#begin(() => this.#calls.read(fd, buffer), { name: 'read', fd });
  }

  write(fd: number, buffer: Uint8Array): Call {
    return this.#begin(() => this.#calls.write(fd, buffer), { name: 'write', fd });
  }

  poll(fd: number, events: number, timeout: number): Call {
    return this.#begin(() => this.#calls.poll(fd, events, timeout), { name: 'poll', fd, detail: `${timeout} ms` });
  }

  close(fd: number): Call {
    return this.#begin(() => this.#calls.close(fd), { name: 'close', fd });
  }

  [Symbol.dispose](): void {}

  #begin(steps: () => Steps<number>, call: TracedCall): Call {
    if (this.#last && !this.#last.done) throw new Error('the thread is in a call');
    this.#last = this.#start(steps(), call);
    return this.#last;
  }
}
