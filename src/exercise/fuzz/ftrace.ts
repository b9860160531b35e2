/**
 * What a stock kernel tells of a driver's course: which of its functions were called from where, and from where it called some of
 * the kernel's, which shows most of its branches (each error path logs, frees or unlocks).
 */

import { constants, openSync, readdirSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { mount } from '../../os/libc.ts';
import type { Probe } from './course.ts';
import type { Symbols } from './symbols.ts';
import { callsOf, type FunctionFormat, parseFormat } from './trace-pages.ts';

const TRACING = '/sys/kernel/tracing';
/** KiB of buffer for each processor: what a sequence calls is a few hundred. */
const BUFFER = 4096;
const PAGE = 4096;

/** Functions of the kernel whose callers in the driver tell which branch was taken. Those a kernel lacks are left out. */
export const telling: ReadonlySet<string> = new Set([
  '_dev_err',
  '_dev_warn',
  '_dev_notice',
  '_dev_info',
  '___ratelimit',
  '__warn_printk',
  'kfree',
  'kvfree',
  'vfree',
  '__kmalloc_noprof',
  '__kmalloc_cache_noprof',
  'mutex_lock',
  'mutex_unlock',
  '_raw_spin_lock',
  '_raw_spin_unlock',
  'idr_find',
  'idr_remove',
  'fput',
]);

export class FtraceProbe implements Probe {
  readonly title = 'functions of the driver and calls';
  readonly #symbols: Symbols;
  readonly #format: FunctionFormat;
  readonly #switch: number;
  readonly #pipes: readonly number[];
  readonly #page = new Uint8Array(PAGE);

  /** @throws Error where this kernel cannot do it */
  constructor(module: string, symbols: Symbols) {
    this.#symbols = symbols;
    if (!existing(TRACING).includes('current_tracer')) mount('tracefs', TRACING);
    this.#format = parseFormat(readFileSync(file('events/ftrace/function/format'), 'utf8'));
    write('tracing_on', '0');
    write('buffer_size_kb', String(BUFFER));
    // only what this thread calls: what others do follows from time
    write('set_ftrace_pid', String(process.pid));
    write('set_ftrace_filter', `:mod:${module}`);
    for (const name of telling) append('set_ftrace_filter', name);
    write('current_tracer', 'function');
    this.#switch = openSync(file('tracing_on'), constants.O_WRONLY);
    this.#pipes = existing(file('per_cpu')).map((cpu) =>
      openSync(file(`per_cpu/${cpu}/trace_pipe_raw`), constants.O_RDONLY | constants.O_NONBLOCK),
    );
  }

  begin(): void {
    for (const _ of this.#pages());
    writeSync(this.#switch, '1', 0);
  }

  end(): readonly string[] {
    writeSync(this.#switch, '0', 0);
    const features = new Set<string>();
    const seen = new Map<bigint, Set<bigint>>();
    for (const page of this.#pages()) {
      for (const { callee, caller } of callsOf(page, this.#format)) {
        const callers = seen.get(callee) ?? new Set();
        if (callers.has(caller)) continue;
        callers.add(caller);
        seen.set(callee, callers);
        const [to, from] = [this.#symbols.nameOf(callee), this.#symbols.nameOf(caller)];
        if (to === undefined) continue;
        const inside = to.includes('+');
        const name = to.replace(/\+.*/, '');
        if (inside) features.add(`function ${name}`);
        if (from !== undefined) features.add(`call ${from} ${name}`);
      }
    }
    return [...features];
  }

  /** What there is in the buffers. The page is valid until the next one. */
  *#pages(): Generator<Uint8Array> {
    for (const pipe of this.#pipes) {
      for (;;) {
        let length: number;
        try {
          length = readSync(pipe, this.#page);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'EAGAIN') break;
          throw error;
        }
        if (length === 0) break;
        yield this.#page.subarray(0, length);
      }
    }
  }
}

const file = (name: string) => path.join(TRACING, name);

function existing(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function write(name: string, text: string): void {
  writeFileSync(file(name), text);
}

/** @returns whether the kernel knows it */
function append(name: string, text: string): boolean {
  try {
    writeFileSync(file(name), text, { flag: 'a' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return false;
    throw error;
  }
}
