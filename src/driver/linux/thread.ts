/**
 * A thread of the program that makes system calls: a worker that sleeps on a futex until it is told which. What it is told
 * and what it answers lies in shared memory, so that the program need not return to its event loop meanwhile.
 */

import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import process from 'node:process';
import { Worker } from 'node:worker_threads';
import * as libc from '../../os/libc.ts';
import { SystemError } from '../../os/libc.ts';
import type { Call, Thread } from '../driver.ts';
import { beside } from './beside.ts';

/** Words of the shared memory: who has the turn, the call, its numbers, its answer. */
export const WORD = { TURN: 0, CALL: 1, FD: 2, A: 3, B: 4, LENGTH: 5, RESULT: 6, ERRNO: 7, TID: 8, COUNT: 16 } as const;
export const TURN = { STARTING: 0, IDLE: 1, ASKED: 2, INSIDE: 3, ANSWERED: 4, END: 5 } as const;
export const CALL = { IOCTL: 0, READ: 1, WRITE: 2, POLL: 3, CLOSE: 4 } as const;
/** Bytes of a buffer of a call: above the largest argument of an ioctl (_IOC_SIZE has 14 bits). */
const BUFFER = 64 * 1024;

/** One that nobody else of a program of ours has a use for. */
const SIGNAL = 'SIGUSR2';
const NOTHING = new Uint8Array(0);

class PendingCall implements Call {
  readonly #thread: LinuxThread;
  readonly #name: string;
  readonly #buffer: Uint8Array;
  #outcome: { readonly result: number; readonly errno: number } | undefined;

  constructor(thread: LinuxThread, name: string, buffer: Uint8Array) {
    this.#thread = thread;
    this.#name = name;
    this.#buffer = buffer;
  }

  get done(): boolean {
    if (!this.#outcome && this.#thread.turn === TURN.ANSWERED) this.#outcome = this.#thread.take(this.#buffer);
    return this.#outcome !== undefined;
  }

  get blocked(): boolean {
    return !this.done && this.#thread.sleeping;
  }

  interrupt(): void {
    if (!this.done) this.#thread.signal();
  }

  finish(): number {
    while (!this.done) this.#thread.awaitAnswer();
    const { result, errno } = this.#outcome as { result: number; errno: number };
    if (errno !== 0) throw new SystemError(this.#name, errno);
    return result;
  }
}

/** Threads that are not used: to start one takes a slow guest half a second. */
const idle: LinuxThread[] = [];

export class LinuxThread implements Thread {
  readonly #words = new Int32Array(new SharedArrayBuffer(WORD.COUNT * 4));
  readonly #bytes = new Uint8Array(new SharedArrayBuffer(BUFFER));
  readonly #worker: Worker;
  #last: Call | undefined;

  static take(): LinuxThread {
    return idle.pop() ?? new LinuxThread();
  }

  private constructor() {
    const workerData = { words: this.#words, bytes: this.#bytes };
    this.#worker = new Worker(beside(import.meta.url, 'thread-worker'), { workerData });
    this.#worker.unref();
    // after this it answers without help of this thread
    Atomics.wait(this.#words, WORD.TURN, TURN.STARTING);
  }

  ioctl(fd: number, request: number, argument: Uint8Array): Call {
    return this.#begin('ioctl', CALL.IOCTL, fd, argument, request);
  }

  read(fd: number, buffer: Uint8Array): Call {
    return this.#begin('read', CALL.READ, fd, buffer);
  }

  write(fd: number, buffer: Uint8Array): Call {
    return this.#begin('write', CALL.WRITE, fd, buffer);
  }

  poll(fd: number, events: number, timeout: number): Call {
    return this.#begin('poll', CALL.POLL, fd, NOTHING, events, timeout);
  }

  close(fd: number): Call {
    return this.#begin('close', CALL.CLOSE, fd, NOTHING);
  }

  /** @internal TURN.* */
  get turn(): number {
    return Atomics.load(this.#words, WORD.TURN);
  }

  /** @internal Whether it is inside of the call, and asleep (proc(5), state of a task). */
  get sleeping(): boolean {
    if (this.turn !== TURN.INSIDE) return false;
    const stat = readFileSync(`/proc/self/task/${this.#words[WORD.TID]}/stat`, 'latin1');
    const state = stat.charAt(stat.lastIndexOf(')') + 2);
    return (state === 'S' || state === 'D') && this.turn === TURN.INSIDE;
  }

  /** @internal */
  signal(): void {
    // who does not handle it is ended by it; node's handler has SA_RESTART
    if (process.listenerCount(SIGNAL) === 0) process.on(SIGNAL, () => {});
    libc.tgkill(process.pid, this.#words[WORD.TID] as number, constants.signals[SIGNAL]);
  }

  /** @internal */
  awaitAnswer(): void {
    const { turn } = this;
    if (turn !== TURN.ANSWERED) Atomics.wait(this.#words, WORD.TURN, turn);
  }

  /** @internal Takes the answer, and what the call left in its buffer. */
  take(buffer: Uint8Array): { result: number; errno: number } {
    buffer.set(this.#bytes.subarray(0, buffer.length));
    const answer = { result: this.#words[WORD.RESULT] as number, errno: this.#words[WORD.ERRNO] as number };
    this.#pass(TURN.IDLE);
    return answer;
  }

  [Symbol.dispose](): void {
    if (this.#last?.done ?? true) this.#last = undefined;
    if (this.turn === TURN.IDLE) idle.push(this);
    else this.#pass(TURN.END);
  }

  #begin(name: string, call: number, fd: number, buffer: Uint8Array, a = 0, b = 0): Call {
    // a call that has returned gives up its place, and keeps its answer
    if (this.#last && !this.#last.done) throw new Error('the thread is in a call');
    if (this.turn !== TURN.IDLE) throw new Error('the thread has ended');
    if (buffer.length > BUFFER) throw new RangeError(`a thread's buffer has at most ${BUFFER} bytes`);
    this.#bytes.set(buffer);
    const words = this.#words;
    words[WORD.CALL] = call;
    words[WORD.FD] = fd;
    words[WORD.A] = a;
    words[WORD.B] = b;
    words[WORD.LENGTH] = buffer.length;
    this.#pass(TURN.ASKED);
    this.#last = new PendingCall(this, name, buffer);
    return this.#last;
  }

  #pass(turn: number): void {
    Atomics.store(this.#words, WORD.TURN, turn);
    Atomics.notify(this.#words, WORD.TURN);
  }
}
