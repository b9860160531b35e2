/**
 * UNIX stream sockets that carry file descriptors (SCM_RIGHTS): a thin port over libc through koffi. Nothing here
 * blocks, except a `receive` that is told to. Layouts are those of 64-bit Linux: struct msghdr, iovec and cmsghdr of <sys/socket.h>.
 */

import { constants } from 'node:os';
import koffi from 'koffi';
import { checked, close, MAP_ANONYMOUS, MAP_PRIVATE, type Mapping, mmap, PROT_READ, PROT_WRITE } from './libc.ts';

const lib = koffi.load('libc.so.6');

const c = {
  socket: lib.func('int socket(int domain, int type, int protocol)'),
  bind: lib.func('int bind(int fd, const uint8_t *address, uint length)'),
  listen: lib.func('int listen(int fd, int backlog)'),
  accept4: lib.func('int accept4(int fd, void *address, void *length, int flags)'),
  setsockopt: lib.func('int setsockopt(int fd, int level, int option, const uint8_t *value, uint length)'),
  connect: lib.func('int connect(int fd, const uint8_t *address, uint length)'),
  send: lib.func('long send(int fd, const uint8_t *bytes, size_t length, int flags)'),
  recvmsg: lib.func('long recvmsg(int fd, void *message, int flags)'),
  sendmsg: lib.func('long sendmsg(int fd, void *message, int flags)'),
};

const { EAGAIN, EINTR } = constants.errno;
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const SO_RCVTIMEO = 20;
const MSG_CTRUNC = 0x8;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;

/** Longest path of a socket: sun_path of struct sockaddr_un without its NUL. */
export const SOCKET_PATH_MAX = 107;

/** Descriptors the kernel passes with one message at most (SCM_MAX_FD, include/net/scm.h). */
export const SCM_MAX_FD = 253;

/** `length` bytes of memory that never move, so that C may be given their address. */
function fixedMemory(length: number): Mapping {
  return mmap(length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/** Unmaps; views of the memory that somebody has kept become empty instead of dangling. */
export function release(mapping: Mapping): void {
  (mapping.bytes.buffer as ArrayBuffer).transfer();
  mapping.unmap();
}

function socketAddress(path: string): Uint8Array {
  const name = new TextEncoder().encode(path);
  if (name.length === 0 || name.length > SOCKET_PATH_MAX || name.includes(0)) {
    throw new RangeError(`a socket path has 1 to ${SOCKET_PATH_MAX} bytes: ${path}`);
  }
  const address = new Uint8Array(2 + name.length + 1);
  address[0] = AF_UNIX;
  address.set(name, 2);
  return address;
}

function streamSocket(): number {
  return checked('socket', c.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

/**
 * A socket file at `path` that is bound and not yet listening. @returns its descriptor.
 * @throws SystemError EADDRINUSE where the path exists, RangeError for a path that is too long
 */
export function bind(path: string): number {
  const address = socketAddress(path);
  const fd = streamSocket();
  try {
    checked(`bind ${path}`, c.bind(fd, address, address.length));
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

export function listen(fd: number, backlog: number): void {
  checked('listen', c.listen(fd, backlog));
}

/** struct timeval of a `receive` that waits. */
const PATIENCE = new Uint8Array(new BigInt64Array([0n, 1000n]).buffer);

/**
 * @returns a descriptor, or undefined when nobody is waiting. Only a `receive` on it that is told to wait blocks, and
 * for 1 ms at most (rounded up to the kernel's tick). @throws SystemError
 */
export function accept(fd: number): number | undefined {
  const result = c.accept4(fd, null, null, SOCK_CLOEXEC);
  if (result < 0 && (koffi.errno() === EAGAIN || koffi.errno() === constants.errno.ECONNABORTED)) return undefined;
  const accepted = checked('accept4', result);
  try {
    checked('setsockopt', c.setsockopt(accepted, SOL_SOCKET, SO_RCVTIMEO, PATIENCE, PATIENCE.length));
  } catch (error) {
    close(accepted);
    throw error;
  }
  return accepted;
}

/** @returns a descriptor. @throws SystemError, e.g. ECONNREFUSED where nobody listens */
export function connect(path: string): number {
  const address = socketAddress(path);
  const fd = streamSocket();
  try {
    checked(`connect ${path}`, c.connect(fd, address, address.length));
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

// struct msghdr (56 bytes) at 0, one struct iovec (16) behind it, then control data, then the bytes themselves.
const IOV = 56;
const CONTROL = 80;
/** CMSG_SPACE(SCM_MAX_FD ints), and room for a second, unexpected control message. */
const CONTROL_SIZE = 16 + 4 * (SCM_MAX_FD + 1) + 32;
const DATA = 1152;
const WITH_DESCRIPTORS_MAX = 8192;

/** A message header in fixed memory that describes `capacity` bytes behind it. */
class MessageHeader {
  readonly mapping: Mapping;
  readonly address: bigint;
  readonly data: Uint8Array;
  readonly #words: Uint32Array;
  readonly #dataAddress: number;

  constructor(capacity: number) {
    this.mapping = fixedMemory(DATA + capacity);
    this.address = this.mapping.address;
    const { bytes } = this.mapping;
    this.data = bytes.subarray(DATA, DATA + capacity);
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, DATA / 4);
    const base = Number(this.address);
    this.#dataAddress = base + DATA;
    this.#pointer(16, base + IOV);
    this.#words[24 / 4] = 1; // msg_iovlen
    this.#pointer(32, base + CONTROL);
  }

  #pointer(at: number, value: number): void {
    this.#words[at / 4] = value >>> 0;
    this.#words[at / 4 + 1] = Math.floor(value / 0x1_0000_0000);
  }

  /** Describes `length` bytes from `offset` of the data, and `control` bytes of control data. */
  describe(offset: number, length: number, control: number): void {
    this.#pointer(IOV, this.#dataAddress + offset);
    this.#words[(IOV + 8) / 4] = length;
    this.#words[40 / 4] = control;
    this.#words[48 / 4] = 0; // msg_flags
  }

  get controlLength(): number {
    return this.#words[40 / 4] as number;
  }

  get truncated(): boolean {
    return ((this.#words[48 / 4] as number) & MSG_CTRUNC) !== 0;
  }

  /** Puts `fds` into the control data. @returns the length of the control data. */
  putDescriptors(fds: readonly number[]): number {
    const words = this.#words;
    const at = CONTROL / 4;
    words[at] = 16 + 4 * fds.length; // cmsg_len
    words[at + 1] = 0;
    words[at + 2] = SOL_SOCKET;
    words[at + 3] = SCM_RIGHTS;
    for (let i = 0; i < fds.length; i++) words[at + 4 + i] = fds[i] as number;
    return 16 + 8 * Math.ceil(fds.length / 2);
  }

  /** Appends the received descriptors to `fds`. */
  takeDescriptors(fds: number[]): void {
    const words = this.#words;
    const end = CONTROL + this.controlLength;
    for (let at = CONTROL; at + 16 <= end; ) {
      const length = words[at / 4] as number;
      if (length < 16 || at + length > end) return;
      if (words[at / 4 + 2] === SOL_SOCKET && words[at / 4 + 3] === SCM_RIGHTS) {
        for (let i = at + 16; i + 4 <= at + length; i += 4) fds.push(words[i / 4] as number);
      }
      at += 8 * Math.ceil(length / 8);
    }
  }
}

/** A connected stream. It owns its descriptor and, until `close`, the memory of `received`. */
export class UnixStream {
  readonly fd: number;
  /** What `receive` fills. */
  readonly received: Uint8Array;
  readonly #incoming: MessageHeader;
  #outgoing: MessageHeader | undefined;
  #closed = false;

  /** @param capacity bytes of `received` */
  constructor(fd: number, capacity: number) {
    this.fd = fd;
    this.#incoming = new MessageHeader(capacity);
    this.received = this.#incoming.data;
  }

  /**
   * Reads once, at most `length` bytes, into `received` at `offset`, and appends the descriptors that came with them
   * (close-on-exec, the caller's to close) to `fds`. The kernel ends a read behind the bytes of one `sendmsg` that
   * carried descriptors (net/unix/af_unix.c, unix_stream_read_generic).
   * @param wait on an accepted socket, wait a moment when nothing has arrived
   * @returns bytes read, 0 at the end of the stream, -1 when nothing has arrived; `fds` also gets a -1 when
   * descriptors were lost (too many of them, or none left in this process).
   * @throws SystemError, e.g. ECONNRESET
   */
  receive(offset: number, length: number, fds: number[], wait = false): number {
    const header = this.#incoming;
    header.describe(offset, length, CONTROL_SIZE);
    const result = c.recvmsg(
      this.fd,
      header.address,
      wait ? MSG_CMSG_CLOEXEC : MSG_DONTWAIT | MSG_CMSG_CLOEXEC,
    ) as number;
    if (result < 0) {
      const errno = koffi.errno();
      if (errno === EAGAIN || errno === EINTR) return -1;
      return checked('recvmsg', result);
    }
    if (header.controlLength !== 0) header.takeDescriptors(fds);
    if (header.truncated) fds.push(-1);
    return result;
  }

  /**
   * Sends once from `bytes`, with `fds` attached to the first byte where given.
   * @returns bytes taken, maybe fewer than `length`; -1 when there is no room now (then no descriptor was sent).
   * @throws SystemError, e.g. EPIPE
   */
  send(bytes: Uint8Array, offset: number, length: number, fds?: readonly number[]): number {
    let result: number;
    if (fds === undefined || fds.length === 0) {
      const from = offset === 0 ? bytes : bytes.subarray(offset);
      result = c.send(this.fd, from, length, MSG_DONTWAIT | MSG_NOSIGNAL) as number;
    } else {
      this.#outgoing ??= new MessageHeader(WITH_DESCRIPTORS_MAX);
      const header = this.#outgoing;
      const first = Math.min(length, WITH_DESCRIPTORS_MAX);
      header.data.set(bytes.subarray(offset, offset + first));
      header.describe(0, first, header.putDescriptors(fds));
      result = c.sendmsg(this.fd, header.address, MSG_DONTWAIT | MSG_NOSIGNAL) as number;
    }
    if (result >= 0) return result;
    const errno = koffi.errno();
    return errno === EAGAIN || errno === EINTR ? -1 : checked('send', result);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.fd);
    release(this.#incoming.mapping);
    if (this.#outgoing) release(this.#outgoing.mapping);
  }
}
