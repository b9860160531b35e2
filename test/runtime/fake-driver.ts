/**
 * A driver that answers from a script, and writes down what it was asked. It knows nothing of the interface: a test says which
 * bytes come back, and asserts on the bytes that went in.
 */

import { constants } from 'node:os';
import { type Accelerator, type Driver, type Mapping, type RdmaDevice, SystemError } from '../../src/driver/driver.ts';

/** An ioctl as it arrived. */
export interface Request {
  readonly fd: number;
  readonly number: number;
  /** The argument before the driver touched it. */
  readonly bytes: Uint8Array;
}

/** Answers an ioctl by changing its argument in place, or by throwing. @returns bytes to put in its place. */
export type Answer = (argument: Uint8Array, request: Request) => Uint8Array | undefined;

/** The errno of a refused call. */
export function refuse(code: keyof typeof constants.errno): never {
  throw new SystemError('ioctl', constants.errno[code]);
}

export class FakeDriver implements Driver {
  readonly requests: Request[] = [];
  /** Descriptors that are open, by what they are. */
  readonly open_ = new Map<number, string>();
  /** Live memory by address. */
  readonly memory = new Map<bigint, Uint8Array>();
  readonly log: string[] = [];
  readonly #answers = new Map<number, Answer[]>();
  /** What `open` does, call by call; success when empty. */
  openAnswers: (string | undefined)[] = [];
  mmapAnswers: (string | undefined)[] = [];
  cards = 1;
  /** Nanoseconds. */
  time = 0;
  holding: { pid: number; command: string }[] = [];
  #nextFd = 3;
  #nextAddress = 0x7000_0000_0000n;

  /** Queues answers to a request number; the last is repeated. */
  on(number: number, ...answers: Answer[]): this {
    this.#answers.set(number, [...(this.#answers.get(number) ?? []), ...answers]);
    return this;
  }

  /** Arguments of all ioctls with this number. */
  asked(number: number): Uint8Array[] {
    return this.requests.filter((request) => request.number === number).map((request) => request.bytes);
  }

  /** Memory that a pointer in an argument points to. */
  at(address: bigint, length: number): Uint8Array {
    for (const [start, bytes] of this.memory) {
      const offset = Number(address - start);
      if (offset >= 0 && offset + length <= bytes.length) return bytes.subarray(offset, offset + length);
    }
    throw new Error(`no memory at 0x${address.toString(16)}`);
  }

  open(path: string): number {
    this.log.push(`open ${path}`);
    const code = this.openAnswers.shift();
    if (code !== undefined)
      throw new SystemError(`open ${path}`, constants.errno[code as keyof typeof constants.errno]);
    return this.#descriptor(path);
  }

  #descriptor(what: string): number {
    const fd = this.#nextFd++;
    this.open_.set(fd, what);
    return fd;
  }

  close(fd: number): void {
    if (!this.open_.delete(fd)) throw new SystemError('close', constants.errno.EBADF);
    this.log.push(`close ${fd}`);
  }

  dup(fd: number): number {
    return this.#descriptor(this.describe(fd));
  }

  ioctl(fd: number, number: number, argument: Uint8Array): number {
    if (!this.open_.has(fd)) throw new SystemError('ioctl', constants.errno.EBADF);
    const request = { fd, number, bytes: argument.slice() };
    this.requests.push(request);
    const queue = this.#answers.get(number) ?? [];
    const answer = queue.length > 1 ? queue.shift() : queue[0];
    const bytes = answer?.(argument, request);
    if (bytes) argument.set(bytes);
    return 0;
  }

  mmap(_fd: number, length: number, _protection: number, offset: bigint): Mapping {
    this.log.push(`mmap ${length} at 0x${offset.toString(16)}`);
    const code = this.mmapAnswers.shift();
    if (code !== undefined) throw new SystemError('mmap', constants.errno[code as keyof typeof constants.errno]);
    return this.allocate(length);
  }

  allocate(length: number): Mapping {
    const address = this.#nextAddress;
    this.#nextAddress += BigInt(Math.ceil(length / 4096) * 4096 + 4096);
    const buffer = new ArrayBuffer(length);
    const bytes = new Uint8Array(buffer);
    this.memory.set(address, bytes);
    return {
      address,
      bytes,
      unmap: () => {
        if (!this.memory.delete(address)) return;
        this.log.push('munmap');
        buffer.transfer();
      },
    };
  }

  read(_fd: number, buffer: Uint8Array): number {
    buffer[0] = 1;
    return buffer.length;
  }

  write(_fd: number, buffer: Uint8Array): number {
    return buffer.length;
  }

  /** Events that are there. */
  ready = 0;

  /** Nanoseconds that a poll takes. */
  pollTakes = 0;

  poll(_fd: number, events: number): number {
    this.time += this.pollTakes;
    return this.ready & events;
  }

  describe(fd: number): string {
    return this.open_.get(fd) ?? '';
  }

  eventfd(): number {
    return this.#descriptor('anon_inode:[eventfd]');
  }

  now(): number {
    return this.time;
  }

  sleep(nanoseconds: number): void {
    this.time += nanoseconds;
  }

  accelerators(): readonly Accelerator[] {
    return Array.from({ length: this.cards }, (_, i) => ({
      path: `/dev/accel/accel${i}`,
      controlPath: `/dev/accel/accel_controlD${i}`,
      pciAddress: `0000:0${i + 1}:00.0`,
      bridges: [`0000:00:1${i}.0`],
      sensors: () => undefined,
      status: () => 'Operational',
    }));
  }

  /** What `rdmaDevices` answers. */
  nics: readonly RdmaDevice[] = [];
  /** Values of doorbells, by address. */
  readonly stores: { readonly address: bigint; readonly value: number }[] = [];

  rdmaDevices(): readonly RdmaDevice[] {
    return this.nics;
  }

  store32(mapping: Mapping, at: number, value: number): void {
    this.stores.push({ address: mapping.address + BigInt(at), value });
  }

  relax(): void {
    this.time += 100;
  }

  holders() {
    return this.holding;
  }

  thread(): never {
    throw new Error('this program has one thread');
  }

  process(): never {
    throw new Error('this program has one process');
  }
}
