/** The driver interface on a real Linux kernel: every call is the system call of that name. */

import { readlinkSync } from 'node:fs';
import * as libc from '../../os/libc.ts';
import type {
  Accelerator,
  Driver,
  Holder,
  Mapping,
  MemoryOptions,
  ProgramProcess,
  RdmaDevice,
  Thread,
} from '../driver.ts';
import { discover, discoverRdma, holders } from './discover.ts';
import { LinuxProcess } from './process.ts';
import { LinuxThread } from './thread.ts';

const { PROT_READ, PROT_WRITE, MAP_ANONYMOUS, MAP_HUGETLB, MAP_PRIVATE, MAP_SHARED } = libc;

const HUGE_PAGE = 2 * 1024 * 1024;

export class LinuxDriver implements Driver {
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));

  open(path: string, flags: number): number {
    return libc.open(path, flags);
  }

  close(fd: number): void {
    libc.close(fd);
  }

  dup(fd: number): number {
    return libc.dup(fd);
  }

  ioctl(fd: number, request: number, argument: Uint8Array): number {
    return libc.ioctl(fd, request, argument);
  }

  mmap(fd: number, length: number, protection: number, offset: bigint): Mapping {
    return libc.mmap(length, protection, MAP_SHARED, fd, offset);
  }

  allocate(length: number, options: MemoryOptions = {}): Mapping {
    if (!options.hugePages) return libc.mmap(length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    // mmap would round up by itself, but munmap refuses lengths that are not whole huge pages
    const whole = Math.ceil(length / HUGE_PAGE) * HUGE_PAGE;
    return libc.mmap(whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
  }

  read(fd: number, buffer: Uint8Array): number {
    return libc.read(fd, buffer);
  }

  write(fd: number, buffer: Uint8Array): number {
    return libc.write(fd, buffer);
  }

  poll(fd: number, events: number, timeout: number): number {
    const set = new libc.PollSet();
    set.set([{ fd, events }]);
    return set.poll(timeout) > 0 ? set.ready(0) : 0;
  }

  describe(fd: number): string {
    return readlinkSync(`/proc/self/fd/${fd}`);
  }

  eventfd(initial: number, flags: number): number {
    return libc.eventfd(initial, flags);
  }

  now(): number {
    return Number(process.hrtime.bigint());
  }

  sleep(nanoseconds: number): void {
    Atomics.wait(this.#sleeper, 0, 0, nanoseconds / 1e6);
  }

  accelerators(): readonly Accelerator[] {
    return discover();
  }

  rdmaDevices(): readonly RdmaDevice[] {
    return discoverRdma();
  }

  store32({ bytes }: Mapping, at: number, value: number): void {
    // an element of a typed array is stored at once, unlike what a DataView stores
    new Uint32Array(bytes.buffer, bytes.byteOffset + at, 1)[0] = value;
  }

  relax(): void {}

  holders(path: string): readonly Holder[] {
    return holders(path);
  }

  thread(): Thread {
    return LinuxThread.take();
  }

  process(fds: readonly number[] = []): ProgramProcess {
    return new LinuxProcess(fds);
  }
}
