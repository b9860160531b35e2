/**
 * Functions of a module that a stock kernel has run, by its function tracer: which has been on since before the module was
 * loaded (the step `trace` of the guest's init), and whose buffer is read after each test.
 */

import { callsOf, type FunctionFormat, parseFormat } from '../fuzz/trace-pages.ts';
import type { FileCoverage } from './code.ts';
import { filesOf, type ModuleFunction, sourceName } from './driver-files.ts';

/** Runs a command in the guest. @returns what it writes */
export type GuestCommand = (command: readonly string[]) => Promise<Buffer>;

const TRACING = '/sys/kernel/tracing';
const PAGE = 4096;
/** Calls after which a function is traced no longer: that it ran is known, and others want the buffer. */
const MANY = 5000;

const shell = (script: string) => ['sh', '-c', script];
/** Empties the buffers of all processors; a read at the end fails instead of waiting. */
const TAKE = shell(
  `for f in ${TRACING}/per_cpu/cpu*/trace_pipe_raw; do dd if=$f bs=${PAGE} iflag=nonblock 2>/dev/null; done; true`,
);

/** Lines of available_filter_functions_addrs: `ffffffffc0a01234 name [module]`. */
export function parseFunctions(text: string): readonly ModuleFunction[] {
  return text.split('\n').flatMap((line) => {
    const [, address, name] = /^([0-9a-f]+) (\S+)/.exec(line) ?? [];
    return address === undefined || name === undefined ? [] : [{ address: BigInt(`0x${address}`), name }];
  });
}

export class FunctionTrace {
  readonly #run: GuestCommand;
  readonly #format: FunctionFormat;
  readonly #functions: ReadonlyMap<bigint, string>;
  readonly #files: ReadonlyMap<bigint, string>;
  readonly #calls = new Map<bigint, number>();
  readonly #left = new Set<bigint>();

  private constructor(run: GuestCommand, format: FunctionFormat, functions: readonly ModuleFunction[]) {
    this.#run = run;
    this.#format = format;
    this.#functions = new Map(functions.map(({ address, name }) => [address, name]));
    this.#files = filesOf(functions);
  }

  /** @throws Error where the guest's kernel has no function tracer, or the module is not there */
  static async of(run: GuestCommand, module: string): Promise<FunctionTrace> {
    const text = async (command: readonly string[]) => (await run(command)).toString();
    const format = await text(['cat', `${TRACING}/events/ftrace/function/format`]);
    if (format === '') throw new Error('this kernel has no function tracer (CONFIG_FUNCTION_TRACER)');
    const list = await text(shell(`grep -F '[${module}]' ${TRACING}/available_filter_functions_addrs`));
    const functions = parseFunctions(list);
    if (functions.length === 0)
      throw new Error(`this kernel does not tell the functions of ${module} (Linux 6.5 and later do)`);
    const trace = new FunctionTrace(run, parseFormat(format), functions);
    await trace.take();
    return trace;
  }

  /** Reads what was called since the last time. */
  async take(): Promise<void> {
    const data = await this.#run(TAKE);
    const often: string[] = [];
    for (let at = 0; at + PAGE <= data.length; at += PAGE)
      for (const { callee } of callsOf(data.subarray(at, at + PAGE), this.#format))
        this.#calls.set(callee, (this.#calls.get(callee) ?? 0) + 1);
    for (const [address, count] of this.#calls) {
      const name = this.#functions.get(address);
      if (count < MANY || this.#left.has(address) || name === undefined) continue;
      this.#left.add(address);
      often.push(name);
    }
    if (often.length === 0) return;
    const words = often.map((name) => `!${name}`).join(' ');
    await this.#run(shell(`echo '${words}' >>${TRACING}/set_ftrace_filter`));
  }

  /** What ran so far. A function that the compiler has split ran when a part of it did; one that it left nothing of is not told. */
  files(): readonly FileCoverage[] {
    const counts = new Map<string, Map<string, number>>();
    for (const [address, name] of this.#functions) {
      const file = this.#files.get(address);
      const source = sourceName(name);
      if (file === undefined || source === undefined) continue;
      const of = counts.get(file) ?? new Map<string, number>();
      counts.set(file, of);
      of.set(source, (of.get(source) ?? 0) + (this.#calls.get(address) ?? 0));
    }
    return [...counts].map(([file, of]) => ({
      file,
      functions: [...of].map(([name, count]) => ({ name, line: 0, count })).sort((a, b) => (a.name < b.name ? -1 : 1)),
      lines: [],
      branches: [],
    }));
  }
}
