/**
 * A thin port over libc through koffi: with `socket.ts` the only place that calls into C. Every function throws a
 * `SystemError` with the errno where C would return -1.
 */

import { constants } from 'node:os';
import koffi from 'koffi';

const lib = koffi.load('libc.so.6');

const c = {
  open: lib.func('int open(const char *path, int flags, int mode)'),
  close: lib.func('int close(int fd)'),
  dup: lib.func('int dup(int fd)'),
  read: lib.func('long read(int fd, _Out_ uint8_t *buffer, size_t length)'),
  write: lib.func('long write(int fd, const uint8_t *buffer, size_t length)'),
  ioctl: lib.func('int ioctl(int fd, ulong request, _Inout_ uint8_t *argument)'),
  ioctlNumber: lib.func('ioctl', 'int', ['int', 'ulong', 'ulong']),
  mmap: lib.func('void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)'),
  mount: lib.func('int mount(const char *source, const char *target, const char *type, ulong flags, const char *data)'),
  munmap: lib.func('int munmap(void *address, size_t length)'),
  memfdCreate: lib.func('int memfd_create(const char *name, uint flags)'),
  ftruncate: lib.func('int ftruncate(int fd, int64_t length)'),
  fallocate: lib.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)'),
  lseek: lib.func('int64_t lseek(int fd, int64_t offset, int whence)'),
  fcntl: lib.func('int fcntl(int fd, int command, long argument)'),
  flock: lib.func('int flock(int fd, int operation)'),
  eventfd: lib.func('int eventfd(uint initial, int flags)'),
  gettid: lib.func('int gettid()'),
  tgkill: lib.func('int tgkill(int tgid, int tid, int signal)'),
  socketpair: lib.func('int socketpair(int domain, int type, int protocol, _Out_ int *fds)'),
  poll: lib.func('int poll(_Inout_ uint8_t *fds, ulong count, int timeout)'),
};

/** Second names of the same numbers; the kernel's documentation uses EAGAIN and EOPNOTSUPP. */
const aliases = new Set(['EWOULDBLOCK', 'ENOTSUP']);
const names = new Map<number, string>(
  Object.entries(constants.errno).flatMap(([name, value]) => (aliases.has(name) ? [] : [[value, name] as const])),
);

/** A failed system call: `errno` is the number, `code` its name, e.g. EINVAL. */
export class SystemError extends Error {
  override readonly name = 'SystemError';
  readonly errno: number;
  readonly code: string;

  constructor(call: string, errno: number) {
    const code = names.get(errno) ?? `errno ${errno}`;
    super(`${call}: ${code}`);
    this.errno = errno;
    this.code = code;
  }
}

/** @throws SystemError when `result` is negative. */
export function checked(call: string, result: number | bigint): number {
  const value = Number(result);
  if (value < 0) throw new SystemError(call, koffi.errno());
  return value;
}

/** `flags` as in node:fs constants. */
export function open(path: string, flags: number, mode = 0o666): number {
  return checked(`open ${path}`, c.open(path, flags, mode));
}

export function close(fd: number): void {
  checked('close', c.close(fd));
}

/** @returns a second descriptor of the same open file. */
export function dup(fd: number): number {
  return checked('dup', c.dup(fd));
}

/** @returns bytes read. */
export function read(fd: number, buffer: Uint8Array): number {
  return checked('read', c.read(fd, buffer, buffer.length));
}

/** @returns bytes written. */
export function write(fd: number, buffer: Uint8Array): number {
  return checked('write', c.write(fd, buffer, buffer.length));
}

/** `argument` is read and written in place. @returns what the driver returned, 0 or positive. */
export function ioctl(fd: number, request: number, argument: Uint8Array): number {
  return checked('ioctl', c.ioctl(fd, request, argument));
}

/** An ioctl whose argument is a number. */
export function ioctlNumber(fd: number, request: number, argument: number): number {
  return checked('ioctl', c.ioctlNumber(fd, request, argument));
}

/** Flags of `open` (asm-generic/fcntl.h). */
export const O_RDWR = 2;

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;
export const MAP_HUGETLB = 0x40000;

/** A mapping: `bytes` is live memory, and empty after `unmap`. */
export interface Mapping {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  unmap(): void;
  /** Unmaps all but the first `kept` bytes, whole pages. */
  shrink(kept: number): void;
}

/** @param offset bytes into the file, page-aligned. @throws SystemError */
export function mmap(length: number, protection: number, flags: number, fd: number, offset: number | bigint): Mapping {
  const address = BigInt(c.mmap(null, length, protection, flags, fd, offset));
  if (address === 0xffff_ffff_ffff_ffffn || address === -1n) throw new SystemError('mmap', koffi.errno());
  let size = length;
  let buffer = koffi.view(address, size);
  let bytes = new Uint8Array(buffer);
  // detaches it: whoever still holds a view finds it empty, and does not touch memory that is gone
  const detach = () => {
    if (!buffer.detached) buffer.transfer();
  };
  return {
    address,
    get bytes() {
      return bytes;
    },
    unmap() {
      if (size === 0) return;
      const mapped = size;
      size = 0;
      detach();
      checked('munmap', c.munmap(address, mapped));
    },
    shrink(kept) {
      detach();
      checked('munmap', c.munmap(address + BigInt(kept), size - kept));
      size = kept;
      buffer = koffi.view(address, size);
      bytes = new Uint8Array(buffer);
    },
  };
}

/** Mounts a file system that needs nothing to be mounted from. @param type e.g. `tracefs` */
export function mount(type: string, target: string): void {
  checked(`mount ${target}`, c.mount(type, target, type, 0, null));
}

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const MFD_HUGETLB = 4;

/** An anonymous file of `size` bytes. @param huge of the pool of 2 MiB pages; then `size` is a multiple of that */
export function memfd(name: string, size: number, huge = false): number {
  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB : 0);
  const fd = checked('memfd_create', c.memfdCreate(name, flags));
  try {
    checked('ftruncate', c.ftruncate(fd, size));
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;

/** Gives the pages of a range of a file back; it reads as zero. */
export function punchHole(fd: number, offset: number, length: number): void {
  checked('fallocate', c.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length));
}

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** Where the next bytes of a sparse file that are in use (`data`), or not (`hole`), begin: at `offset` or after it, at most `end`. */
export function nextExtent(kind: 'data' | 'hole', fd: number, offset: number, end: number): number {
  const found = Number(c.lseek(fd, offset, kind === 'data' ? SEEK_DATA : SEEK_HOLE));
  if (found >= 0) return Math.min(found, end);
  // no data after `offset`
  if (koffi.errno() === constants.errno.ENXIO) return end;
  throw new SystemError('lseek', koffi.errno());
}

export function fcntl(fd: number, command: number, argument: number): number {
  return checked('fcntl', c.fcntl(fd, command, argument));
}

const LOCK_EX = 2;
const LOCK_NB = 4;

/** Takes the exclusive lock of an open file without waiting; it ends with the descriptor. @returns false where another holds it. */
export function tryLock(fd: number): boolean {
  if (c.flock(fd, LOCK_EX | LOCK_NB) === 0) return true;
  if (koffi.errno() === constants.errno.EWOULDBLOCK) return false;
  throw new SystemError('flock', koffi.errno());
}

export const EFD_CLOEXEC = 0o2000000;
export const EFD_NONBLOCK = 0o4000;

export function eventfd(initial: number, flags: number): number {
  return checked('eventfd', c.eventfd(initial, flags));
}

/** @returns the number of the calling thread. */
export function gettid(): number {
  return c.gettid();
}

/** Sends a signal to a thread of a process. @throws SystemError */
export function tgkill(pid: number, tid: number, signal: number): void {
  checked('tgkill', c.tgkill(pid, tid, signal));
}

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;

/** @returns the two ends of a stream. */
export function socketpair(): readonly [number, number] {
  const fds = new Int32Array(2);
  checked('socketpair', c.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
  return [fds[0] as number, fds[1] as number];
}

export const POLLIN = 0x1;
export const POLLOUT = 0x4;

/** A reusable set of descriptors for `poll`. */
export class PollSet {
  #bytes = new Uint8Array(0);
  #view = new DataView(this.#bytes.buffer);

  /** Sets what is waited for: `events` per descriptor. */
  set(entries: readonly { readonly fd: number; readonly events: number }[]): void {
    this.#bytes = new Uint8Array(entries.length * 8);
    this.#view = new DataView(this.#bytes.buffer);
    entries.forEach((entry, i) => {
      this.#view.setInt32(i * 8, entry.fd, true);
      this.#view.setInt16(i * 8 + 4, entry.events, true);
    });
  }

  /** Blocks up to `timeout` ms (-1: for ever). @returns how many are ready; 0 also when a signal came. */
  wait(timeout: number): number {
    try {
      return this.poll(timeout);
    } catch (error) {
      if (error instanceof SystemError && error.code === 'EINTR') return 0;
      throw error;
    }
  }

  /** As `wait`. @throws SystemError EINTR where a signal came */
  poll(timeout: number): number {
    return checked('poll', c.poll(this.#bytes, this.#bytes.length / 8, timeout));
  }

  /** Events of entry `i` after `wait`. */
  ready(i: number): number {
    return this.#view.getInt16(i * 8 + 6, true);
  }
}
