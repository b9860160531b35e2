/** What the driver has of its kernel: time, work that runs later, a log, memory. */

import type { VirtualClock } from '../../sim/clock.ts';
import { Condition, Process, type Steps, type Wait } from '../../sim/process.ts';
import type { TraceRecorder, Track } from '../../trace/recorder.ts';
import type { Descriptors } from './files.ts';
import { type AddressSpace, HostMemory } from './host-memory.ts';

export const US = 1_000;
export const MS = 1_000_000;
export const SECOND = 1_000_000_000;

/** Syslog levels (linux/kern_levels.h). */
const LEVELS = { crit: 2, err: 3, warn: 4, notice: 5, info: 6, dbg: 7 } as const;
type Level = keyof typeof LEVELS;

interface LogLine {
  readonly level: number;
  readonly text: string;
}

/** Lines that are kept while nobody takes them. */
const LOG_LENGTH = 10_000;

/** Who makes a system call: a thread of a program (struct task_struct). */
export interface Task {
  readonly pid: number;
  readonly memory: AddressSpace;
  readonly files: Descriptors;
  /** What is to be done before its system call returns (task_work_add). */
  readonly work: Steps[];
  /** It has been sent SIGKILL, which ends what it waits for. */
  killed: boolean;
  /** A signal has arrived that its program handles; until its system call returns. */
  signalled: boolean;
  /** What it waits for, if a signal may end that. */
  waits: Condition | undefined;
  /** Sends SIGKILL to the program that the task is of. */
  kill(): void;
}

export class Kernel {
  readonly clock: VirtualClock;
  readonly memory = new HostMemory();
  /** Whose system call is being carried out now; nobody's in work of the kernel itself. */
  #current: Task | undefined;
  /** Is told what happens: submissions, completions, and what is logged. */
  observer: ((text: string) => void) | undefined;
  readonly trace: TraceRecorder | undefined;
  /** Programs that have begun. */
  programs = 0;
  readonly #logTrack: Track | undefined;
  /** Where is told who has which memory. */
  readonly memoryTrack: Track | undefined;
  readonly #firmware: Readonly<Record<string, Uint8Array>>;
  #log: LogLine[] = [];
  /** When callers have waited long enough, by `performance.now()`. */
  #limit = Number.POSITIVE_INFINITY;
  /** They have: whatever waits, and a signal may end it, is ended by one. */
  #overdue = false;
  readonly #waiting = new Set<Task>();

  /** @param firmware files by their path below /lib/firmware */
  constructor(clock: VirtualClock, firmware: Readonly<Record<string, Uint8Array>> = {}, trace?: TraceRecorder) {
    this.trace = trace;
    this.#logTrack = trace?.track('driver', 'log');
    this.memoryTrack = trace?.track('driver', 'memory');
    this.clock = clock;
    this.#firmware = firmware;
  }

  /** Who is calling (current). */
  get current(): Task {
    if (!this.#current) throw new Error('nobody is in a system call');
    return this.#current;
  }

  /** The memory of who is calling (current->mm). */
  get program(): AddressSpace {
    return this.current.memory;
  }

  /** A firmware file (request_firmware). @param name path below /lib/firmware. @throws Error where there is none */
  requestFirmware(name: string): Uint8Array {
    const file = this.#firmware[name];
    if (!file) throw new Error(`Firmware file ${name} is not found!`);
    return file;
  }

  /** Carries out `steps` as `task`, whenever it is their turn. */
  *as<T>(task: Task, steps: Steps<T>): Steps<T> {
    for (;;) {
      const before = this.#current;
      this.#current = task;
      let result: IteratorResult<Wait, T>;
      try {
        result = steps.next();
      } finally {
        this.#current = before;
      }
      if (result.done) return result.value;
      yield result.value;
    }
  }

  /** Has `steps` done before the system call returns, or soon where nobody is in one (fput). */
  defer(name: string, steps: Steps): void {
    if (this.#current) this.#current.work.push(steps);
    else this.start(name, () => steps);
  }

  /**
   * wait_for_completion_interruptible_timeout and the like: until `done`, looked at whenever `changed` tells.
   * @param deadline ns
   */
  *wait(
    changed: Condition,
    done: () => boolean,
    deadline = Number.POSITIVE_INFINITY,
  ): Steps<'done' | 'late' | 'interrupted'> {
    const task = this.current;
    const late = Number.isFinite(deadline) ? this.clock.at(deadline, () => changed.notify()) : undefined;
    task.waits = changed;
    this.#waiting.add(task);
    try {
      while (!done()) {
        if (task.killed || task.signalled || this.#overdue) return 'interrupted';
        if (this.clock.now() >= deadline) return 'late';
        yield changed;
      }
      return 'done';
    } finally {
      task.waits = undefined;
      this.#waiting.delete(task);
      late?.cancel();
    }
  }

  /** ktime_get: nanoseconds, whole. */
  now(): number {
    return Math.floor(this.clock.now());
  }

  /** dev_err and the like. Not rate-limited. */
  log(level: Level, device: string, text: string): void {
    if (this.#log.length >= LOG_LENGTH) this.#log.shift();
    this.#log.push({ level: LEVELS[level], text: `${device}: ${text}` });
    this.#logTrack?.instant('log', device, { level: LEVELS[level], text });
    this.observer?.(`log: ${device}: ${text}`);
  }

  /** Lines since the last call. */
  takeLog(): readonly LogLine[] {
    const lines = this.#log;
    this.#log = [];
    return lines;
  }

  /** Lets time pass, in a system call. */
  pass(ns: number): void {
    const run = () => this.clock.runUntil(this.clock.now() + ns);
    if (this.trace) this.trace.causing(0, run);
    else run();
  }

  /** Waits in a system call. @param deadline ns; @returns false when it came first, or when nothing is left that could happen */
  until(done: () => boolean, deadline = Number.POSITIVE_INFINITY): boolean {
    let looks = 0;
    let late = false;
    const look = () => {
      late ||= (++looks & 0xff) === 0 && !this.#overdue && performance.now() > this.#limit;
      return late || done();
    };
    // what happens meanwhile does not follow from what waits
    const { trace } = this;
    const over = trace ? trace.causing(0, () => this.clock.runTo(look, deadline)) : this.clock.runTo(look, deadline);
    if (late) {
      this.#overdue = true;
      for (const task of this.#waiting) task.waits?.notify();
      return this.until(done, deadline);
    }
    if (over) return true;
    if (Number.isFinite(deadline)) this.clock.runUntil(deadline);
    return done();
  }

  /**
   * Ends with a signal what waits when this much time of the real world has passed: virtual time passes without end where only
   * the driver's own heartbeats are left. @param ms undefined: never
   */
  interruptAfter(ms?: number): void {
    this.#limit = ms === undefined ? Number.POSITIVE_INFINITY : performance.now() + ms;
    this.#overdue = false;
  }

  /** Runs something that sleeps to its end, in a system call. @throws Error when it was ended by `interruptAfter` */
  run<T>(steps: Steps<T>): T {
    const already = this.#overdue;
    try {
      return this.#run(steps);
    } catch (error) {
      if (already || !this.#overdue) throw error;
      throw new Error('a system call waited for longer than the program may take', { cause: error });
    }
  }

  #run<T>(steps: Steps<T>): T {
    for (;;) {
      const { done, value } = steps.next();
      if (done) return value;
      if (typeof value === 'number') {
        this.pass(value);
        continue;
      }
      let woken = false;
      value.subscribe(() => {
        woken = true;
      });
      if (!this.until(() => woken)) throw new Error('the driver waits for something that cannot happen any more');
    }
  }

  /** Work that runs by itself from now on (or after `delay` ns). */
  start(name: string, steps: () => Steps, delay = 0): void {
    this.clock.at(this.clock.now() + delay, () => {
      new Process(this.clock, name, steps(), (error) => {
        throw error;
      });
    });
  }
}

/** hl_poll_timeout: looks, sleeps, looks again. @returns false when `timeout` ns are over */
export function* poll(kernel: Kernel, done: () => boolean, timeout: number): Steps<boolean> {
  const end = kernel.clock.now() + timeout;
  while (!done()) {
    if (kernel.clock.now() >= end) return done();
    yield 251 * US;
  }
  return true;
}

/** A mutex for those that sleep while they hold it. */
export class Mutex {
  readonly #released = new Condition();
  #taken = false;

  *hold<T>(body: Steps<T>): Steps<T> {
    while (this.#taken) yield this.#released;
    this.#taken = true;
    try {
      return yield* body;
    } finally {
      this.#taken = false;
      this.#released.notify();
    }
  }
}
