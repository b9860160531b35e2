/** Serves one PCI function on one socket, to one client after another. */

import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { close, POLLIN, POLLOUT, SystemError } from '../os/libc.ts';
import { accept, bind, connect, listen, UnixStream } from '../os/socket.ts';
import type { PciFunction } from '../pci/function.ts';
import type { DmaPort } from '../pci/ports.ts';
import type { Clock } from '../sim/clock.ts';
import { UserError } from '../sim/errors.ts';
import { Connection, MAX_MESSAGE, type Served } from './connection.ts';
import { HostMemory } from './host-memory.ts';
import { Regions } from './regions.ts';

export interface ServerOptions {
  readonly function: PciFunction;
  /** Of the socket file. It is made here, for this user alone, and removed by `close`. */
  readonly path: string;
  readonly clock: Clock;
  /** Told in one line what was refused, and why a connection ended. */
  readonly log: (message: string) => void;
  /** Puts something between the function and the host's memory, e.g. the routing between peers. */
  readonly wrapDma?: (host: DmaPort) => DmaPort;
}

/** Messages served before others get their turn. */
const BURST = 64;

/** Nanoseconds until a client that could not be accepted, for want of descriptors or memory, is tried again. */
const RETRY = 100e6;

/** A listening socket at `path`; takes the place of one that nobody listens on any more. @throws UserError */
function listenAt(path: string): { fd: number; inode: number } {
  let fd: number;
  try {
    fd = bindAt(path);
  } catch (error) {
    if (error instanceof RangeError) throw new UserError(`vfio-user: ${error.message}`);
    if (!(error instanceof SystemError)) throw error;
    throw new UserError(`vfio-user: cannot make the socket ${path}: ${error.code}`);
  }
  try {
    chmodSync(path, 0o600);
    listen(fd, 1);
    return { fd, inode: lstatSync(path).ino };
  } catch (error) {
    close(fd);
    throw error;
  }
}

function bindAt(path: string): number {
  try {
    return bind(path);
  } catch (error) {
    if (!(error instanceof SystemError) || error.code !== 'EADDRINUSE') throw error;
  }
  if (!lstatSync(path).isSocket()) throw new UserError(`vfio-user: ${path} exists and is not a socket; remove it`);
  try {
    close(connect(path));
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (error.code === 'ECONNREFUSED') {
      unlinkSync(path);
      return bind(path);
    }
    // EAGAIN: its backlog is full, so it lives.
    if (error.errno !== constants.errno.EAGAIN) throw error;
  }
  throw new UserError(`vfio-user: another process serves ${path}; stop it, or choose another path`);
}

export class Server {
  readonly name: string;
  readonly path: string;
  readonly #served: Served;
  readonly #memory = new HostMemory();
  readonly #inode: number;
  readonly #listener: number;
  #stream: UnixStream | undefined;
  #connection: Connection | undefined;
  readonly #clock: Clock;
  /** Accepting has failed and waits. */
  #paused = false;
  #busy = false;
  #closed = false;

  /** Listens at once and gives the function its ports. @throws UserError where the socket cannot be made */
  constructor(options: ServerOptions) {
    const { function: pciFunction, clock } = options;
    this.#clock = clock;
    this.name = pciFunction.name;
    this.path = options.path;
    this.#served = { function: pciFunction, regions: new Regions(pciFunction), log: options.log };
    const { fd, inode } = listenAt(options.path);
    this.#listener = fd;
    this.#inode = inode;
    pciFunction.connect({
      dma: options.wrapDma?.(this.#memory) ?? this.#memory,
      clock,
      // Clients keep the table themselves, and connect vectors by DEVICE_SET_IRQS (QEMU, hw/vfio/pci.c).
      hostKeepsMsixTable: true,
      interrupt: (kind, vector) => this.#connection?.interrupts.raise(kind, vector),
    });
  }

  /** True while a client is connected. */
  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** What to poll: the client, or without one the listening socket (others wait in its backlog). */
  get fd(): number {
    return this.#stream?.fd ?? this.#listener;
  }

  /** Events to poll for. */
  get events(): number {
    const connection = this.#connection;
    if (!connection) return this.#paused ? 0 : POLLIN;
    return (connection.reading ? POLLIN : 0) | (connection.backlogged ? POLLOUT : 0);
  }

  /** True when `ready` is to be called without polling: there is more to do. */
  get busy(): boolean {
    return this.#busy;
  }

  /** Does what can be done now, for a while. Call when `fd` is ready. */
  ready(): void {
    if (this.#connection) this.#pump(this.#connection, BURST, false);
    else this.#accept();
  }

  /** True when a client is connected and takes all that is sent to it: one could wait for its next request. */
  get attentive(): boolean {
    return this.#connection !== undefined && !this.#connection.backlogged;
  }

  /** Waits a moment (at most one tick of the kernel) for one request and serves it. @returns false when none came */
  waitForOne(): boolean {
    return this.#connection !== undefined && this.#pump(this.#connection, 1, true);
  }

  #pump(connection: Connection, limit: number, wait: boolean): boolean {
    const state = connection.pump(limit, wait);
    this.#busy = state === 'more' && connection.buffered;
    if (state === 'closed') this.#disconnect();
    return state === 'more';
  }

  /** Ends the connection, stops listening, and removes the socket file. The function stays the caller's to close. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#connection) this.#disconnect();
    close(this.#listener);
    try {
      if (lstatSync(this.path).ino === this.#inode) unlinkSync(this.path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  #accept(): void {
    let fd: number | undefined;
    try {
      fd = accept(this.#listener);
      if (fd === undefined) return;
      this.#stream = new UnixStream(fd, MAX_MESSAGE);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      if (fd !== undefined) close(fd);
      this.#served.log(`${this.name}: vfio-user: cannot accept a client: ${error.message}`);
      this.#paused = true;
      this.#clock.at(this.#clock.now() + RETRY, () => {
        this.#paused = false;
      });
      return;
    }
    this.#connection = new Connection(this.#served, this.#stream);
    this.#memory.client = this.#connection;
  }

  /** The next client finds the function as after power-on. */
  #disconnect(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#stream = undefined;
    this.#memory.client = undefined;
    this.#busy = false;
    connection?.close();
    try {
      this.#served.function.reset('conventional');
    } catch (error) {
      // A defect of the function must not keep the next client out.
      this.#served.log(`${this.name}: vfio-user: defect: ${error instanceof Error ? error.stack : String(error)}`);
    }
  }
}

/** Serves `options.function`; a `Reactor` runs it. @throws UserError where the socket cannot be made */
export function serve(options: ServerOptions): Server {
  return new Server(options);
}
