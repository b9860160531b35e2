/**
 * A driver that passes every call on and writes down what was asked and answered: the last calls and programs for a test
 * that fails, and all of them where two targets are compared. What is written down is put into words only when it is asked for.
 */

import { type Driver, type Mapping, SystemError } from '../../driver/driver.ts';
import { DRM_IOCTL_HL_CS } from '../../uapi/habanalabs/cs.ts';
import { DRM_IOCTL_HL_INFO } from '../../uapi/habanalabs/info.ts';
import { DRM_IOCTL_HL_MEMORY, memoryFlags, memoryOperations } from '../../uapi/habanalabs/memory.ts';
import { DRM_IOCTL_HL_WAIT_CS } from '../../uapi/habanalabs/wait-cs.ts';
import { describeIoctl, type RawIoctl, show } from './calls.ts';
import { type Freedom, freedoms, normalised } from './differences.ts';
import { type CapturedProgram, ProgramMemory } from './programs.ts';

/** Events that are kept for a test that fails. */
const KEPT_EVENTS = 24;
const KEPT_PROGRAMS = 2;
/**
 * Calls of one ioctl that a trace of a test holds: to put one into words takes a slow guest a millisecond. Of those beyond
 * it, only those that are refused are compared.
 */
const LONGEST_TRACE = 2000;

interface Call {
  /** ns on the driver's clock when it began. */
  readonly time: number;
  readonly on: string;
  readonly name: string;
  readonly ioctl?: RawIoctl;
  /** Errno, or `ok`. */
  readonly outcome: string;
  readonly result?: unknown;
  /** So often in a row. */
  count: number;
}

/** What happened in a device. */
interface Note {
  readonly time: number;
  readonly text: string;
}

/**
 * A call as it is compared: `key` says what it is about, calls of one key come in one order on every target. How often it is
 * repeated with one outcome depends on how fast a target is, so repetitions are left out.
 */
export interface TraceEntry {
  /** Which call of the test, from 1. */
  readonly call: number;
  readonly key: string;
  readonly outcome: string;
}

/** Why a test may have failed. */
export interface Explanation {
  /** Command buffers of the last submissions, disassembled. */
  readonly programs: readonly string[];
  /** What happened last, the newest at the end. */
  readonly events: readonly string[];
}

/** What there is to explain. */
interface State {
  readonly programs: readonly CapturedProgram[];
  readonly events: readonly (Call | Note)[];
}

/** Methods whose calls are worth a line; others pass by unseen. */
const RECORDED = new Set(['open', 'close', 'dup', 'ioctl', 'mmap', 'read', 'write', 'poll', 'eventfd']);

export class Recorder {
  /** What tests call. */
  readonly driver: Driver;
  readonly #whole: boolean;
  readonly #now: () => number;
  #began = 0;
  #last: (Call | Note)[] = [];
  #trace: TraceEntry[] = [];
  #calls = 0;
  #history = new History();
  /** Of each ioctl those that were answered. */
  readonly #counts = new Map<number, number>();
  /** Last outcome of each key. */
  readonly #outcomes = new Map<string, string>();
  #frozen: State | undefined;
  readonly #programs: CapturedProgram[] = [];
  readonly #memory = new ProgramMemory();
  readonly #names = new Map<number, string>();

  /** @param whole keep all calls, for a comparison */
  constructor(driver: Driver, whole = false) {
    this.#whole = whole;
    this.#now = () => driver.now();
    this.driver = this.#wrap(driver);
  }

  /** A test begins: nothing has happened yet. */
  begin(): void {
    this.#last = [];
    this.#trace = [];
    this.#calls = 0;
    this.#history = new History();
    this.#counts.clear();
    this.#outcomes.clear();
    this.#programs.length = 0;
    this.#frozen = undefined;
    this.#began = this.#now();
  }

  /** Tells of something that happened in a device. */
  note(text: string): void {
    this.#keep({ time: this.#now(), text });
  }

  get trace(): readonly TraceEntry[] {
    return this.#trace;
  }

  /** Something went wrong just now: what comes after it explains nothing. */
  freeze(): void {
    this.#frozen ??= this.#state();
  }

  #state(): State {
    const events = this.#last.slice(-KEPT_EVENTS);
    return { programs: [...this.#programs], events: events.sort((a, b) => a.time - b.time) };
  }

  explain(): Explanation {
    const { programs, events } = this.#frozen ?? this.#state();
    return {
      programs: programs.flatMap((program) => program.text()),
      events: events.map((event) => {
        const time = `${((event.time - this.#began) / 1e6).toFixed(3).padStart(10)} ms`;
        return `${time}  ${'text' in event ? event.text : inWords(event)}`;
      }),
    };
  }

  #wrap(driver: Driver): Driver {
    const methods = new Map<PropertyKey, unknown>();
    return new Proxy(driver, {
      get: (target, key) => {
        const known = methods.get(key);
        if (known !== undefined) return known;
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== 'function') return value;
        const method = this.#method(target, String(key), value.bind(target) as (...args: never[]) => unknown);
        methods.set(key, method);
        return method;
      },
    });
  }

  #method(driver: Driver, name: string, call: (...args: never[]) => unknown): unknown {
    if (name === 'ioctl')
      return (fd: number, request: number, argument: Uint8Array) =>
        this.#ioctl(fd, request, argument, () => driver.ioctl(fd, request, argument));
    if (name === 'allocate') return (...args: never[]) => this.#memory.add(call(...args) as Mapping);
    if (!RECORDED.has(name)) return call;
    return (...args: never[]) => {
      const [first, second, , fourth] = args as readonly unknown[];
      const time = this.#now();
      const on = typeof first === 'number' && name !== 'eventfd' ? (this.#names.get(first) ?? '') : '';
      const called = name === 'open' ? `open ${String(first)}` : name;
      const done = (outcome: string, result?: unknown) => {
        this.#record({ time, on, name: called, outcome, result, count: 1 });
      };
      try {
        let result = call(...args);
        if (name === 'mmap') result = this.#memory.add(result as Mapping, fourth as bigint);
        if (name === 'open') this.#names.set(result as number, String(first).split('/').at(-1) ?? '');
        else if (name === 'dup') this.#names.set(result as number, on);
        else if (name === 'eventfd') this.#names.set(result as number, 'eventfd');
        if (name === 'close') this.#names.delete(first as number);
        done('ok', name === 'poll' ? result : name === 'mmap' ? `${second} bytes` : undefined);
        return result;
      } catch (error) {
        done(error instanceof SystemError ? error.code : String(error));
        throw error;
      }
    };
  }

  #ioctl(fd: number, request: number, argument: Uint8Array, call: () => number): number {
    const time = this.#now();
    const before = argument.slice();
    if (request === DRM_IOCTL_HL_CS.request) {
      const program = this.#memory.capture(before);
      if (program) {
        if (this.#programs.length >= KEPT_PROGRAMS) this.#programs.shift();
        this.#programs.push(program);
      }
    }
    let outcome = 'ok';
    try {
      return call();
    } catch (error) {
      outcome = error instanceof SystemError ? error.code : String(error);
      throw error;
    } finally {
      const after = argument.slice();
      const ok = outcome === 'ok';
      if (ok && request === DRM_IOCTL_HL_MEMORY.request) this.#mapped(before, after);
      const answer = ok && this.#whole && request === DRM_IOCTL_HL_INFO.request ? this.#answer(before) : undefined;
      const on = this.#names.get(fd) ?? '';
      this.#record({ time, on, name: '', ioctl: { request, before, after, answer }, outcome, count: 1 });
    }
  }

  /** The answer of INFO, where the caller asked for it to be put. */
  #answer(argument: Uint8Array): Uint8Array | undefined {
    const { return_pointer, return_size } = DRM_IOCTL_HL_INFO.argument.decode(argument);
    return this.#memory.read(return_pointer, return_size);
  }

  #mapped(before: Uint8Array, after: Uint8Array): void {
    const { in: asked } = DRM_IOCTL_HL_MEMORY.argument.decode(before);
    if (asked.op !== memoryOperations.HL_MEM_OP_MAP.value || !(asked.flags & memoryFlags.HL_MEM_USERPTR.value)) return;
    const { out } = DRM_IOCTL_HL_MEMORY.argument.decode(after);
    this.#memory.reach(out.device_virt_addr, asked.map_host.host_virt_addr, Number(asked.map_host.mem_size));
  }

  #record(call: Call): void {
    const last = this.#last.at(-1);
    if (last !== undefined && 'count' in last && same(last, call)) last.count++;
    else this.#keep(call);
    if (!this.#whole) return;
    this.#calls++;
    if (!this.#isBeyond(call)) {
      const entry = this.#compared(call);
      if (entry && this.#outcomes.get(entry.key) !== entry.outcome) {
        this.#outcomes.set(entry.key, entry.outcome);
        this.#trace.push(entry);
      }
    }
  }

  #isBeyond({ ioctl, outcome }: Call): boolean {
    if (!ioctl || outcome !== 'ok') return false;
    const count = (this.#counts.get(ioctl.request) ?? 0) + 1;
    this.#counts.set(ioctl.request, count);
    return count > LONGEST_TRACE;
  }

  #compared(call: Call): TraceEntry | undefined {
    const entry = compared(call, this.#history);
    return entry && { call: this.#calls, ...entry };
  }

  #keep(event: Call | Note): void {
    if (this.#last.length >= 4 * KEPT_EVENTS) this.#last = this.#last.slice(-KEPT_EVENTS);
    this.#last.push(event);
  }
}

/** Argument bytes of WAIT_CS that say how long, and so differ between attempts. */
const PATIENCE = { start: 8, end: 16 } as const;

function same(a: Call, b: Call): boolean {
  if (a.outcome !== b.outcome || a.name !== b.name || a.on !== b.on || a.result !== b.result) return false;
  if (!a.ioctl || !b.ioctl) return a.ioctl === b.ioctl;
  if (a.ioctl.request !== b.ioctl.request) return false;
  const [x, y] = [a.ioctl.before, b.ioctl.before];
  const free = a.ioctl.request === DRM_IOCTL_HL_WAIT_CS.request ? PATIENCE : { start: 0, end: 0 };
  return (
    x.length === y.length &&
    Buffer.compare(x.subarray(0, free.start), y.subarray(0, free.start)) === 0 &&
    Buffer.compare(x.subarray(free.end), y.subarray(free.end)) === 0 &&
    Buffer.compare(a.ioctl.after.subarray(0, 8), b.ioctl.after.subarray(0, 8)) === 0
  );
}

function inWords(call: Call): string {
  const times = call.count > 1 ? ` (${call.count} times)` : '';
  const on = call.on === '' ? '' : `${call.on}: `;
  if (!call.ioctl) {
    const result = call.result === undefined ? '' : ` ${String(call.result)}`;
    return `${on}${call.name}: ${call.outcome}${result}${times}`;
  }
  const { name, takes, gives } = describeIoctl(call.ioctl);
  return `${on}${name}${show(takes)}: ${call.outcome}${call.outcome === 'ok' ? show(gives) : ''}${times}`;
}

/** What calls of one test have been answered until now, as far as it matters to how later ones are compared. */
export class History {
  /** Names and outcomes of calls that are not compared. */
  readonly refused = new Set<string>();
  readonly #first = new Map<string, unknown>();
  readonly #bits = new Map<string, bigint>();

  /** @returns bits that have been seen, these among them */
  together(name: string, value: unknown): unknown {
    if (typeof value !== 'bigint') return value;
    const bits = value | (this.#bits.get(name) ?? 0n);
    this.#bits.set(name, bits);
    return bits;
  }

  /** @returns by how much a counter has increased since it was first seen */
  increase(name: string, value: unknown): unknown {
    const first = this.#first.get(name);
    if (first === undefined) this.#first.set(name, value);
    if (typeof value === 'bigint') return value - (typeof first === 'bigint' ? first : value);
    if (typeof value === 'number') return value - (typeof first === 'number' ? first : value);
    return value;
  }
}

/** As it is compared, or undefined when it may differ by nature. @param history of the test, which it becomes part of */
export function compared(
  { on, name: called, ioctl, outcome: code }: Pick<Call, 'on' | 'name' | 'ioctl' | 'outcome'>,
  history: History,
): Omit<TraceEntry, 'call'> | undefined {
  const described = ioctl && describeIoctl(ioctl);
  const name = described?.name ?? called;
  const applies = (row: Freedom) =>
    row.call.test(`${name} `) &&
    (row.after === undefined || [...history.refused].some((text) => row.after?.test(text)));
  const free = freedoms.filter(applies);
  const gives: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(described?.gives ?? {})) {
    if (free.some((row) => row.members?.test(key))) continue;
    const counter = `${on} ${name} ${key}`;
    const relative = code === 'ok' && free.some((row) => row.relative?.test(key));
    const together = code === 'ok' && free.some((row) => row.together?.test(key));
    gives[key] = relative ? history.increase(counter, value) : together ? history.together(counter, value) : value;
  }
  const outcome = `${code}${code === 'ok' ? show(gives) : ''}`;
  if (free.some((row) => row.outcome?.test(outcome))) {
    if (code !== 'ok') history.refused.add(`${name} ${code}`);
    return undefined;
  }
  // waits for different submissions end in any order
  const seq = name.startsWith('WAIT_CS') && !name.includes('MULTI') ? ` seq ${String(described?.takes.seq ?? 0)}` : '';
  return { key: normalised(`${on === '' ? '' : `${on}: `}${name}${seq}`), outcome };
}
