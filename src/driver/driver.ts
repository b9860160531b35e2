/**
 * What a program has of its system: the system calls that a client of an accelerator makes, the memory they speak of,
 * time, and the accelerators there are. Implemented by a real kernel (`linux/`) and in process (`model/`).
 *
 * Descriptors and addresses are the program's own, as in C: numbers. Every call throws a `SystemError` with the errno
 * where C would return -1.
 */

export { SystemError } from '../os/libc.ts';

/** Flags of `open` (asm-generic/fcntl.h). */
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CLOEXEC = 0o2000000;

/** Protections of `mmap` (asm-generic/mman-common.h). */
export const PROT_READ = 1;
export const PROT_WRITE = 2;

/** Events of `poll` (asm-generic/poll.h). */
export const POLLIN = 0x1;
export const POLLNVAL = 0x20;

/** Flags of `eventfd` (linux/eventfd.h). */
export const EFD_CLOEXEC = 0o2000000;
export const EFD_NONBLOCK = 0o4000;

/** Memory of the program. */
export interface Mapping {
  /** Where it is, for arguments that hold pointers. */
  readonly address: bigint;
  /** The memory itself; empty after `unmap`. */
  readonly bytes: Uint8Array;
  /** Harmless when done twice. */
  unmap(): void;
  /** Of what `mmap` has mapped: unmaps all but the first `kept` bytes, whole pages, which stay until `unmap`. */
  shrink?(kept: number): void;
}

export interface MemoryOptions {
  /** From the pool of 2 MiB pages. */
  readonly hugePages?: boolean;
}

/** A program that has a file open. */
export interface Holder {
  readonly pid: number;
  readonly command: string;
}

/** An accelerator of the habanalabs driver. */
export interface Accelerator {
  /** The compute node, e.g. /dev/accel/accel0. */
  readonly path: string;
  /** The control node, e.g. /dev/accel/accel_controlD0. */
  readonly controlPath: string;
  /** e.g. 0000:01:00.0 */
  readonly pciAddress: string;
  /** The PCI bridges above it, from the root port down. */
  readonly bridges: readonly string[];
  /** The folder of its sensors (hwmon), e.g. /sys/bus/pci/devices/0000:01:00.0/hwmon/hwmon0; undefined where the driver shows none. */
  sensors(): string | undefined;
  /** The driver's `status` attribute now, e.g. `Operational`. */
  status(): string;
}

/** A network card of a driver of RDMA. */
export interface RdmaDevice {
  /** e.g. efa_0 */
  readonly name: string;
  /** The node of its verbs, e.g. /dev/infiniband/uverbs0. */
  readonly path: string;
  /** e.g. 0000:01:00.0 */
  readonly pciAddress: string;
  /** The PCI bridges above it, from the root port down. */
  readonly bridges: readonly string[];
}

/** A system call that a thread has begun. */
export interface Call {
  /** Whether it has returned. */
  readonly done: boolean;
  /** Whether it sleeps in the kernel. */
  readonly blocked: boolean;
  /** Sends the thread a signal that its program handles, and that begins what can be begun again anew (SA_RESTART). */
  interrupt(): void;
  /** Waits until it has returned. @returns what it returned, once its buffers are filled. @throws SystemError what it failed with */
  finish(): number;
}

/** Another thread of a program. It is in one call at a time; a call that is begun while it is in another throws an Error. */
export interface Thread extends Disposable {
  ioctl(fd: number, request: number, argument: Uint8Array): Call;
  read(fd: number, buffer: Uint8Array): Call;
  write(fd: number, buffer: Uint8Array): Call;
  poll(fd: number, events: number, timeout: number): Call;
  close(fd: number): Call;
}

/**
 * Another process: the calls are made there, descriptors and addresses are its own. `bytes` of its memory is the memory itself;
 * of mappings of a driver it is a copy that is exchanged with every call made in the process. Disposing of it kills it.
 */
export interface ProgramProcess extends Driver, Disposable {
  readonly pid: number;
  /** False once it is dead, whoever killed it. */
  readonly alive: boolean;
  /** SIGKILL. Returns when the process has ended and its descriptors are closed. Harmless when done twice. */
  kill(): void;
}

export interface Driver {
  /** @param flags O_*. @returns a descriptor. */
  open(path: string, flags: number): number;
  close(fd: number): void;
  /** A second descriptor of the same open file. */
  dup(fd: number): number;
  /** `argument` is read and written in place. @returns what the driver returned, 0 or positive. */
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  /** Maps part of a file. @param offset bytes, a multiple of the page size; up to 63 bits. */
  mmap(fd: number, length: number, protection: number, offset: bigint): Mapping;
  /** Fresh zeroed memory. @param length bytes; the mapping may be longer, up to whole huge pages. */
  allocate(length: number, options?: MemoryOptions): Mapping;
  /** @returns bytes read. */
  read(fd: number, buffer: Uint8Array): number;
  /** @returns bytes written. */
  write(fd: number, buffer: Uint8Array): number;
  /** Waits for `events` (POLL*). @param timeout milliseconds; 0 only looks. @returns the events that are there, 0 if none. */
  poll(fd: number, events: number, timeout: number): number;
  /** What a descriptor is of: a path, or for others something like `/dmabuf:` or `anon_inode:[eventfd]`. */
  describe(fd: number): string;
  /** @returns a descriptor of a counter. */
  eventfd(initial: number, flags: number): number;
  /** Nanoseconds on a clock that only goes forward. */
  now(): number;
  /** Lets `nanoseconds` pass. */
  sleep(nanoseconds: number): void;
  /** The accelerators, in the order of their nodes. */
  accelerators(): readonly Accelerator[];
  /** The network cards with verbs, in the order of their nodes. */
  rdmaDevices(): readonly RdmaDevice[];
  /**
   * Stores 32 bits in one access, after all that was stored before: what a doorbell of a device wants.
   * @param mapping of `mmap`, which may be one that can only be written. @param at bytes, a multiple of 4
   */
  store32(mapping: Mapping, at: number, value: number): void;
  /** A look at memory that a device writes has shown nothing new: lets what such a look takes pass before the next. */
  relax(): void;
  /** Who has `path` open, as far as this program may know. */
  holders(path: string): readonly Holder[];
  /** Another thread of this program. It ends when it is disposed of, and then must be in no call. */
  thread(): Thread;
  /** A new process which has inherited these descriptors, by the same numbers, and no others of this program. */
  process(fds?: readonly number[]): ProgramProcess;
  /**
   * A call that still waits after so many milliseconds of the real world throws an Error, where time is virtual and such a wait
   * could last for ever. @param ms undefined: calls may wait as long as they like
   */
  interruptAfter?(ms?: number): void;
}
