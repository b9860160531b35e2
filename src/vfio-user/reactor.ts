/**
 * The loop that runs servers and the devices behind them, in one thread: messages and what is due in simulated time
 * take turns, so that neither waits long for the other. Commands from other threads come through a message port.
 */

import { constants } from 'node:os';
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { close, EFD_CLOEXEC, EFD_NONBLOCK, eventfd, POLLIN, PollSet, read, SystemError, write } from '../os/libc.ts';
import type { Server } from './server.ts';

/** Wall time, as the reactor needs it: `WallClock` of src/sim/clock.ts. */
export interface DueClock {
  /** Milliseconds until the next event, undefined when there is none. */
  untilNext(): number | undefined;
  /** Runs what is due for about `budget` milliseconds; true when something due is left. */
  runDue(budget: number): boolean;
}

export interface Control {
  readonly port: MessagePort;
  /** Called, from `turn`, with each message. */
  readonly onMessage: (message: unknown) => void;
}

interface Polled {
  readonly fd: number;
  readonly events: number;
  /** Undefined: the reactor's own eventfd. */
  readonly server: Server | undefined;
}

/** Milliseconds that events may run while a request might be waiting. */
const SLICE = 0.2;

/** A lone client is waited for in its socket's own read while nothing else is due within so many milliseconds. */
const QUIET = 20;

/** Requests served that way before the rest of the world is looked at again. */
const LONE_RUN = 64;

const EIGHT = new Uint8Array(8);
const ONE = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);

/** Wakes the reactor whose `wakeFd` this is, from any thread of its process: post the message first. */
export function wake(wakeFd: number): void {
  write(wakeFd, ONE);
}

export class Reactor {
  /** Give it to `wake` after posting a message. */
  readonly wakeFd: number;
  readonly #clock: DueClock;
  readonly #control: Control | undefined;
  readonly #servers: Server[] = [];
  readonly #poll = new PollSet();
  #polled: Polled[] = [];
  #loneRun = 0;
  #running = false;
  #closed = false;

  constructor(clock: DueClock, control?: Control) {
    this.#clock = clock;
    this.#control = control;
    this.wakeFd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  }

  add(server: Server): void {
    this.#servers.push(server);
  }

  /** Closes the server and forgets it. */
  remove(server: Server): void {
    const at = this.#servers.indexOf(server);
    if (at >= 0) this.#servers.splice(at, 1);
    server.close();
  }

  /** Runs until `stop`, which anything called from here may call. */
  run(): void {
    this.#running = true;
    while (this.#running) this.turn(Number.POSITIVE_INFINITY);
  }

  stop(): void {
    this.#running = false;
  }

  /** Runs what is due for a slice of time, then waits up to `timeout` ms for something to serve, and serves it. */
  turn(timeout: number): void {
    const due = this.#clock.runDue(SLICE);
    if (this.#loneRun > 0 && !due && this.#serveLone(timeout)) return;
    const busy = this.#describe();
    const ready = this.#poll.wait(due || busy ? 0 : this.#timeout(timeout));
    if (ready === 0 && !busy) return;
    const polled = this.#polled;
    for (let i = 0; i < polled.length; i++) {
      const server = polled[i]?.server;
      const isReady = this.#poll.ready(i) !== 0;
      if (!server) {
        if (isReady) this.#receive();
        // A command may have removed the server.
      } else if ((isReady || server.busy) && this.#servers.includes(server)) {
        server.ready();
        this.#loneRun = LONE_RUN;
      }
    }
  }

  /**
   * A guest that polls a register sends one request after the other, and polling for each is a tenth of the time it
   * takes. With one client, and nothing due, its next request is waited for in the read itself, for a moment.
   * @returns true when a request has been served
   */
  #serveLone(timeout: number): boolean {
    this.#loneRun--;
    const limit = this.#timeout(timeout);
    if (limit >= 0 && limit < QUIET) return false;
    let lone: Server | undefined;
    for (const server of this.#servers) {
      if (!server.connected) continue;
      if (lone || server.busy || !server.attentive) return false;
      lone = server;
    }
    if (lone?.waitForOne()) return true;
    this.#loneRun = 0;
    return false;
  }

  /** Closes all servers. Nothing is left: no socket file, no descriptor, no mapping. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#running = false;
    for (const server of this.#servers.splice(0)) server.close();
    close(this.wakeFd);
  }

  #timeout(limit: number): number {
    const next = Math.min(limit, this.#clock.untilNext() ?? Number.POSITIVE_INFINITY);
    return Number.isFinite(next) ? Math.min(Math.floor(next), 0x7fffffff) : -1;
  }

  /** Writes down what to watch, when that has changed. @returns true when a server has work without being polled */
  #describe(): boolean {
    const polled = this.#polled;
    const servers = this.#servers;
    let same = polled.length === servers.length + 1;
    let busy = false;
    for (let i = 0; i < servers.length; i++) {
      const server = servers[i] as Server;
      const entry = polled[i + 1];
      busy ||= server.busy;
      same &&= entry?.server === server && entry.fd === server.fd && entry.events === server.events;
    }
    if (same) return busy;
    this.#polled = [
      { fd: this.wakeFd, events: POLLIN, server: undefined },
      ...servers.map((server) => ({ fd: server.fd, events: server.events, server })),
    ];
    this.#poll.set(this.#polled);
    return busy;
  }

  #receive(): void {
    try {
      read(this.wakeFd, EIGHT);
    } catch (error) {
      if (!(error instanceof SystemError) || error.errno !== constants.errno.EAGAIN) throw error;
    }
    if (!this.#control) return;
    for (;;) {
      const received = receiveMessageOnPort(this.#control.port);
      if (!received) return;
      this.#control.onMessage((received as { message: unknown }).message);
    }
  }
}
