/**
 * Another process that makes system calls for this one: a program of Node (process-server.ts) at the other end of a socket.
 * Memory is shared through anonymous files.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import * as libc from '../../os/libc.ts';
import type {
  Accelerator,
  Call,
  Holder,
  Mapping,
  MemoryOptions,
  ProgramProcess,
  RdmaDevice,
  Thread,
} from '../driver.ts';
import { beside } from './beside.ts';
import { discover, discoverRdma, holders } from './discover.ts';
import { receive, send } from './frames.ts';

const HUGE_PAGE = 2 * 1024 * 1024;
/** Milliseconds between looks at a process that ends. */
const LOOK = 1;

/** What the process is asked. `bytes` go with it and come back as the call has left them. */
export interface Request {
  readonly method: string;
  readonly args: readonly unknown[];
  readonly bytes?: Uint8Array;
}

export interface Reply {
  readonly value?: unknown;
  readonly bytes?: Uint8Array;
  /** A system call failed. */
  readonly failed?: { readonly call: string; readonly errno: number };
  /** Something else was thrown. */
  readonly error?: string;
}

export class LinuxProcess implements ProgramProcess {
  readonly #child: ChildProcess;
  readonly #socket: number;
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));
  #ended = false;

  constructor(fds: readonly number[]) {
    const [own, others] = libc.socketpair();
    this.#socket = own;
    const number = Math.max(3, ...fds.map((fd) => fd + 1));
    const stdio: ('ignore' | 'inherit' | number)[] = Array.from({ length: number }, () => 'ignore');
    stdio[2] = 'inherit';
    for (const fd of fds) stdio[fd] = fd;
    stdio.push(others);
    const file = fileURLToPath(beside(import.meta.url, 'process-server'));
    try {
      this.#child = spawn(process.execPath, [file, String(number)], { stdio });
    } finally {
      libc.close(others);
    }
    this.#child.on('exit', () => {
      this.#ended = true;
    });
    this.#child.unref();
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get alive(): boolean {
    return !this.#ended && this.#threads() > 0;
  }

  open(path: string, flags: number): number {
    return this.#number('open', [path, flags]);
  }

  close(fd: number): void {
    this.#ask('close', [fd]);
  }

  dup(fd: number): number {
    return this.#number('dup', [fd]);
  }

  ioctl(fd: number, request: number, argument: Uint8Array): number {
    return this.#number('ioctl', [fd, request], argument);
  }

  mmap(fd: number, length: number, protection: number, offset: bigint): Mapping {
    return this.#memory(length, false, (file) => this.#ask('mmap', [file, fd, length, protection, offset]));
  }

  allocate(length: number, options: MemoryOptions = {}): Mapping {
    const huge = options.hugePages === true;
    const whole = huge ? Math.ceil(length / HUGE_PAGE) * HUGE_PAGE : length;
    return this.#memory(whole, huge, (file) => this.#ask('allocate', [file, whole]));
  }

  read(fd: number, buffer: Uint8Array): number {
    return this.#number('read', [fd], buffer);
  }

  write(fd: number, buffer: Uint8Array): number {
    return this.#number('write', [fd], buffer);
  }

  poll(fd: number, events: number, timeout: number): number {
    return this.#number('poll', [fd, events, timeout]);
  }

  describe(fd: number): string {
    return String(this.#ask('describe', [fd]));
  }

  eventfd(initial: number, flags: number): number {
    return this.#number('eventfd', [initial, flags]);
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

  store32(mapping: Mapping, at: number, value: number): void {
    this.#ask('store32', [mapping.address, at, value]);
  }

  /** The memory of its devices is exchanged. */
  relax(): void {
    this.#ask('relax', []);
  }

  holders(path: string): readonly Holder[] {
    return holders(path);
  }

  thread(): Thread {
    const thread = this.#number('thread', []);
    const begin = (name: string, fd: number, args: readonly unknown[], buffer: Uint8Array): Call => {
      const call = this.#number('begin', [thread, name, fd, ...args], buffer);
      return {
        get done() {
          return ask('done', [call]) === true;
        },
        get blocked() {
          return ask('blocked', [call]) === true;
        },
        interrupt: () => void ask('interrupt', [call]),
        finish: () => this.#number('finish', [call], buffer),
      };
    };
    const ask = (method: string, args: readonly unknown[]) => this.#ask(method, args);
    const nothing = new Uint8Array(0);
    return {
      ioctl: (fd, request, argument) => begin('ioctl', fd, [request], argument),
      read: (fd, buffer) => begin('read', fd, [], buffer),
      write: (fd, buffer) => begin('write', fd, [], buffer),
      poll: (fd, events, timeout) => begin('poll', fd, [events, timeout], nothing),
      close: (fd) => begin('close', fd, [], nothing),
      [Symbol.dispose]: () => {
        if (this.alive) ask('endThread', [thread]);
      },
    };
  }

  process(): never {
    throw new Error('only the program itself makes processes');
  }

  kill(): void {
    if (this.#ended) return;
    this.#child.kill('SIGKILL');
    // its files are closed before its threads are gone (kernel/exit.c, do_exit)
    while (this.alive) this.sleep(LOOK * 1e6);
    this.#ended = true;
    libc.close(this.#socket);
  }

  [Symbol.dispose](): void {
    this.kill();
  }

  /** Threads that have not ended; a process that nobody has asked after yet is a zombie. */
  #threads(): number {
    const tasks = `/proc/${this.pid}/task`;
    try {
      return readdirSync(tasks).filter((task) => {
        const stat = readFileSync(`${tasks}/${task}/stat`, 'latin1');
        const state = stat.charAt(stat.lastIndexOf(')') + 2);
        return state !== 'Z' && state !== 'X';
      }).length;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT' && code !== 'ESRCH') throw error;
      // one has ended meanwhile, or all
      return this.#exists() ? 1 : 0;
    }
  }

  #exists(): boolean {
    try {
      readdirSync(`/proc/${this.pid}/task`);
      return true;
    } catch {
      return false;
    }
  }

  /** Memory of a file that the process maps too. @param map has it mapped there; answers with its address */
  #memory(length: number, huge: boolean, map: (file: string) => unknown): Mapping {
    const fd = libc.memfd('sagrada', length, huge);
    let mapping: libc.Mapping;
    let address: unknown;
    try {
      mapping = libc.mmap(length, libc.PROT_READ | libc.PROT_WRITE, libc.MAP_SHARED, fd, 0);
      try {
        address = map(`/proc/${process.pid}/fd/${fd}`);
      } catch (error) {
        mapping.unmap();
        throw error;
      }
    } finally {
      libc.close(fd);
    }
    let mapped = true;
    return {
      address: address as bigint,
      get bytes() {
        return mapping.bytes;
      },
      unmap: () => {
        if (!mapped) return;
        mapped = false;
        mapping.unmap();
        if (this.alive) this.#ask('unmap', [address]);
      },
    };
  }

  #number(method: string, args: readonly unknown[], bytes?: Uint8Array): number {
    return Number(this.#ask(method, args, bytes));
  }

  /** @returns undefined when the process has ended */
  #exchange(request: Request): Reply | undefined {
    try {
      send(this.#socket, request);
      return receive(this.#socket) as Reply | undefined;
    } catch (error) {
      if (error instanceof libc.SystemError && (error.code === 'EPIPE' || error.code === 'ECONNRESET'))
        return undefined;
      throw error;
    }
  }

  #ask(method: string, args: readonly unknown[], bytes?: Uint8Array): unknown {
    if (this.#ended) throw new Error('the process has ended');
    const request: Request = { method, args, ...(bytes ? { bytes } : {}) };
    const reply = this.#exchange(request);
    if (!reply) throw new Error(`the process ended in ${method}`);
    if (bytes && reply.bytes) bytes.set(reply.bytes);
    if (reply.failed) throw new libc.SystemError(reply.failed.call, reply.failed.errno);
    if (reply.error !== undefined) throw new Error(reply.error);
    return reply.value;
  }
}
