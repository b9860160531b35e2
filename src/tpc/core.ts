/**
 * A TPC core: the reference interpreter. It does one bundle after the other, exactly as the bodies of the instructions say,
 * and refuses what is undefined or not known. A program is fetched through the memory port, 32 bytes a bundle.
 */

import { tpcGaudi } from '../../specs/tpc/gaudi.ts';
import {
  BUNDLE_BYTES,
  type Bundle,
  type Instruction,
  type Loop,
  type Slot,
  slots,
  type VliwDecoder,
} from '../isa/vliw/bundle.ts';
import { type Category, ModelError } from '../sim/errors.ts';
import { bind } from './bodies/index.ts';
import { effectsOf } from './effects.ts';
import * as layout from './layout.ts';
import { LoopStack, zeroTrip } from './loops.ts';
import { type Action, CONFIG, Machine, MemoryNotReady } from './machine.ts';
import { type LatencyMode, Pipeline, type Range } from './pipeline.ts';
import type { ConfigPort, InterruptCause, MemoryPort } from './ports.ts';
import { CoreState } from './state.ts';
import type { Arena } from './wasm/arena.ts';
import { LoopCompiler, type RunResult, SETTLED, STATE_PAGES } from './wasm/compiler.ts';
import { createMemory } from './wasm/webassembly.ts';

export interface TpcPorts {
  readonly memory: MemoryPort;
  readonly config: ConfigPort;
  /** An interrupt cause; it is up to the chip what is masked. The program goes on. */
  readonly onInterrupt?: (cause: InterruptCause) => void;
}

export interface TpcOptions {
  /** Default `exposed`. */
  readonly latency?: LatencyMode;
  /** Default: the instruction set of Gaudi1. */
  readonly decoder?: VliwDecoder<string, string, string, string>;
  /** Memory for the state, of at least `STATE_BYTES`; default: its own. */
  readonly buffer?: ArrayBufferLike;
  /**
   * Compile hot loops to WebAssembly; then `buffer` must be absent. Registers, memory, cycles and counts are the same (after
   * an error in a loop, vectors that a round makes anew may be those of an earlier round). It is
   * without effect while INTR_MASK lets causes of arithmetic pass to `onInterrupt`, which compiled code does not tell. Where
   * memory may have to be waited for only loops are compiled that load nothing but tensors that memory `reaches`.
   */
  readonly compile?: boolean;
  /** Bundles that a loop takes before it is compiled; default 0: at once. */
  readonly compileAfter?: number;
  /** With `compile`: the memory for the state of this core alone, and for the tensors of who made it. */
  readonly arena?: Arena;
}

export interface Launch {
  /** Byte address of the first bundle. */
  readonly pc: number;
  /** The part of the index space that this core does: it becomes I0 and I1. Dimensions that are left out have offset 0 and size 1. */
  readonly indexSpace?: { readonly offset: readonly number[]; readonly size: readonly number[] };
  /** S0 and on, as words: the scalar parameters of the kernel. */
  readonly srf?: readonly number[];
}

/**
 * - `ready`: may go on. - `halted`: the program ended. - `blocked`: memory is not ready; go on when it is.
 * - `debug`: a DBG was done. - `failed`: an error was thrown; only `start` helps.
 */
export type TpcStatus = 'idle' | 'ready' | 'halted' | 'blocked' | 'debug' | 'failed';

export interface TpcStatistics {
  bundles: number;
  /** With the cycles in which nothing is issued. */
  cycles: number;
  stalls: number;
  /** Instructions of each slot that were done, or skipped by their scalar predicate. */
  readonly issued: Record<Slot, number>;
  readonly skipped: Record<Slot, number>;
}

/** What a program did wrong, or asked for that the model refuses, and where. */
export class KernelError extends ModelError {
  /** Byte address of the bundle. */
  readonly pc: number;
  /** Slot and mnemonic, where one instruction is to blame. */
  readonly instruction: string | undefined;

  constructor(category: Category, pc: number, instruction: string | undefined, message: string) {
    super(category, `TPC bundle 0x${pc.toString(16)}${instruction ? ` ${instruction}` : ''}`, message);
    this.pc = pc;
    this.instruction = instruction;
  }
}

interface BoundSlot {
  readonly slot: Slot;
  /** Offset of the scalar predicate in the state; -1: always done. */
  readonly predicate: number;
  readonly inverted: boolean;
  readonly action: Action;
}

interface Fetched {
  /** The 32 bytes it was decoded from. */
  readonly bytes: Uint8Array;
  readonly decoded: Bundle | Loop;
  readonly slots: readonly BoundSlot[];
  /** What the bundle reads, of all slots: it waits for what is loaded. */
  readonly reads: readonly Range[];
  /** The start in which it was last compared with memory. */
  generation: number;
}

/** Memory is read before it is written, and both come before units that change random numbers: so a bundle can be retried. */
const order: readonly Slot[] = ['load', 'store', 'spu', 'vpu'];
/** How many of the last places are remembered, to tell where a program spins. */
const RECENT = 256;

export class TpcCore {
  readonly state: CoreState;
  readonly machine: Machine;
  readonly #memory: MemoryPort;
  readonly #decoder: VliwDecoder<string, string, string, string>;
  readonly #pipeline: Pipeline;
  readonly #loops: LoopStack;
  readonly #fetched = new Map<number, Fetched>();
  readonly #recent = new Float64Array(RECENT);
  #compiler: LoopCompiler | undefined;
  #generation = 0;
  #status: TpcStatus = 'idle';
  #statistics = emptyStatistics();
  /** After a LOOP: the bundle at `pc` is its delay slot. `body`: where it begins; else the loop is skipped, to after `last`. */
  #delayed: { readonly body: number | undefined; readonly last: number } | undefined;

  constructor(ports: TpcPorts, options: TpcOptions = {}) {
    const shared = options.compile === true ? (options.arena?.memory ?? tryMemory()) : undefined;
    this.state = new CoreState(shared?.buffer ?? options.buffer);
    this.#memory = ports.memory;
    this.#decoder = options.decoder ?? tpcGaudi;
    this.#pipeline = new Pipeline(this.state, options.latency ?? 'exposed');
    this.#loops = new LoopStack(this.state);
    this.machine = new Machine({
      state: this.state,
      pipeline: this.#pipeline,
      memory: ports.memory,
      config: ports.config,
      interrupt: ports.onInterrupt,
      decoder: this.#decoder,
    });
    if (shared) {
      this.#compiler = new LoopCompiler({
        machine: this.machine,
        memory: shared,
        bundleAt: (pc) => this.bundleAt(pc),
        mayWait: ports.memory.read !== undefined && ports.memory.neverWaits !== true,
        after: options.compileAfter ?? 0,
      });
    }
  }

  /** Rounds of loops that compiled code has done. */
  get compiledRounds(): number {
    return this.#compiler?.rounds ?? 0;
  }

  /** Those of them that took tensors through registers in pieces. */
  get streamedRounds(): number {
    return this.#compiler?.streamed ?? 0;
  }

  get status(): TpcStatus {
    return this.#status;
  }

  /** Byte address of the bundle that is done next. */
  get pc(): number {
    return this.machine.pc;
  }

  get statistics(): Readonly<TpcStatistics> {
    return { ...this.#statistics, cycles: this.#pipeline.cycle };
  }

  /** Makes the core ready to run a kernel: registers 0, I0, I1 and scalars as told; local memories keep their content. */
  start(launch: Launch): void {
    const { machine, state } = this;
    if (!Number.isSafeInteger(launch.pc) || launch.pc % BUNDLE_BYTES !== 0) {
      throw new ModelError(
        'guest',
        'TPC',
        `a program cannot begin at 0x${launch.pc.toString(16)}: bundles are aligned to 32`,
      );
    }
    if ((launch.srf?.length ?? 0) > layout.LOOP_COUNTER) {
      throw new ModelError('guest', 'TPC', `${launch.srf?.length} scalar parameters; there are ${layout.LOOP_COUNTER}`);
    }
    state.clearRegisters();
    this.#pipeline.reset();
    this.#loops.clear();
    this.#statistics = emptyStatistics();
    this.#delayed = undefined;
    this.#generation++;
    machine.readConfig();
    machine.vlmBytes = machine.config.read(CONFIG.kernelConfig) & 1 ? layout.SMALL_VLM_BYTES : layout.VLM_BYTES;
    machine.pc = launch.pc;
    state.setIndex(0, launch.indexSpace?.offset ?? []);
    state.setIndex(
      1,
      Array.from({ length: layout.DIMENSIONS }, (_, d) => launch.indexSpace?.size[d] ?? 1),
    );
    launch.srf?.forEach((word, n) => {
      state.setScalar(n, word);
    });
    this.#status = 'ready';
  }

  /**
   * Does one bundle.
   *
   * @throws KernelError for what the program does wrong or the model refuses; errors of the ports pass through
   */
  step(): TpcStatus {
    if (this.#status === 'idle' || this.#status === 'halted' || this.#status === 'failed') return this.#status;
    try {
      this.#status = this.#step();
    } catch (error) {
      this.#pipeline.discard();
      // The bundle itself has to be waited for.
      if (error instanceof MemoryNotReady) {
        this.#status = 'blocked';
        return this.#status;
      }
      this.#status = 'failed';
      throw error;
    }
    return this.#status;
  }

  /** Does up to `budget` bundles. `ready`: the budget was not enough; see `spinning`. @throws like `step` */
  run(budget: number): TpcStatus {
    this.machine.readConfig();
    let status: TpcStatus = this.#status === 'blocked' || this.#status === 'debug' ? 'ready' : this.#status;
    for (let n = 0; n < budget && status === 'ready'; n++) {
      status = this.step();
      if (this.#compiler && status === 'ready') n += this.#runCompiled(this.#compiler, budget - n - 1);
    }
    return status;
  }

  /** After a bundle that began a loop again: the rounds that compiled code does. */
  #runCompiled(compiler: LoopCompiler, budget: number): number {
    const loop = this.#loops.repeated;
    // What came before the loop must have arrived.
    if (!loop || this.#pipeline.cycle - loop.since < 2 * SETTLED) return 0;
    let result: RunResult | undefined;
    try {
      result = compiler.run(loop, this.#loops.depth - 1, budget);
    } catch (error) {
      this.#status = 'failed';
      throw located(error, this.machine.pc);
    }
    if (!result) return 0;
    this.#statistics.bundles += result.bundles;
    this.#statistics.stalls += result.stalls;
    for (const slot of slots) {
      this.#statistics.issued[slot] += result.issued[slot];
      this.#statistics.skipped[slot] += result.skipped[slot];
    }
    return result.bundles;
  }

  /** Where the last bundles were: first and last address. For a program that does not end. */
  get spinning(): { readonly from: number; readonly to: number } {
    const count = Math.min(this.#statistics.bundles, RECENT);
    const places = this.#recent.subarray(0, count);
    return { from: Math.min(...places), to: Math.max(...places) };
  }

  /** The bundle at an address, as decoded. @throws KernelError where there is none */
  bundleAt(pc: number): Bundle | Loop {
    return this.#fetch(pc).decoded;
  }

  #step(): TpcStatus {
    const { machine } = this;
    const pc = machine.pc;
    const fetched = this.#fetch(pc);
    const delayed = this.#delayed;
    if (fetched.decoded.kind === 'loop') {
      if (delayed) throw new KernelError('undefined', pc, 'loop', 'a LOOP in the delay slot of a LOOP');
      this.#enter(fetched.decoded, pc);
      return 'ready';
    }
    this.#statistics.stalls += this.#pipeline.waitFor(fetched.reads);
    const { control } = machine;
    control.jump = undefined;
    control.halt = false;
    control.debug = false;
    try {
      for (const slot of fetched.slots) this.#issue(slot);
    } catch (error) {
      if (!(error instanceof MemoryNotReady)) throw error;
      this.#pipeline.discard();
      return 'blocked';
    }
    this.#finish(pc);
    if (control.halt) {
      this.#pipeline.drain();
      return 'halted';
    }
    if (control.jump !== undefined) {
      if (delayed) throw new KernelError('undefined', pc, undefined, 'a jump in the delay slot of a LOOP');
      this.#jump(pc, control.jump);
    } else if (delayed) {
      machine.pc = delayed.body ?? this.#loops.next(delayed.last);
      this.#delayed = undefined;
    } else {
      machine.pc = this.#loops.next(pc);
    }
    return control.debug ? 'debug' : 'ready';
  }

  #finish(pc: number): void {
    this.#recent[this.#statistics.bundles % RECENT] = pc;
    this.#statistics.bundles++;
    this.#pipeline.commit();
    if (this.machine.configChanged) {
      this.machine.configChanged = false;
      this.machine.readConfig();
    }
  }

  #issue(slot: BoundSlot): void {
    if (slot.predicate >= 0) {
      const at = this.#pipeline.resolve(slot.slot, slot.predicate, 4);
      const truth = ((this.state.u32[at >> 2] as number) & 1) === 1;
      if (truth === slot.inverted) {
        this.#statistics.skipped[slot.slot]++;
        return;
      }
    }
    this.#statistics.issued[slot.slot]++;
    try {
      slot.action();
    } catch (error) {
      throw located(error, this.machine.pc);
    }
  }

  /** A taken jump: the bundle after it is begun, but only the VPU could still be stopped. */
  #jump(pc: number, target: number): void {
    if (target % BUNDLE_BYTES !== 0 || target < 0) {
      throw new KernelError('guest', pc, undefined, `a jump to 0x${target.toString(16)}, which is no bundle`);
    }
    const shadow = this.#tryFetch(pc + BUNDLE_BYTES)?.decoded;
    if (shadow && (shadow.kind === 'loop' || shadow.load || shadow.spu || shadow.store)) {
      throw new KernelError(
        'undefined',
        pc,
        'spu.jmp',
        'the bundle after a taken jump has work for another slot than the VPU; put a NOP there',
      );
    }
    this.#loops.leave(target);
    this.#pipeline.stall(1);
    this.#statistics.stalls++;
    this.machine.pc = target;
  }

  #enter(loop: Loop, pc: number): void {
    const first = pc + 2 * BUNDLE_BYTES;
    const last = pc + loop.endOffset;
    if (loop.endOffset < 2 * BUNDLE_BYTES || loop.endOffset % BUNDLE_BYTES !== 0) {
      throw new KernelError(
        'guest',
        pc,
        'loop',
        `a body that ends ${loop.endOffset} bytes after the LOOP: it begins at 64`,
      );
    }
    const { predicate } = loop;
    this.#statistics.stalls += this.#pipeline.waitFor(this.#fetch(pc).reads);
    const word = (operand: Loop['start']): number => {
      if (operand.kind === 'immediate') return operand.value | 0;
      if (operand.number >= layout.SCALARS)
        throw new KernelError('unsupported', pc, 'loop', `register S${operand.number}`);
      const at = this.#pipeline.resolve('spu', layout.SRF + operand.number * 4, 4);
      return this.state.i32[at >> 2] as number;
    };
    const at = predicate ? this.#pipeline.resolve('spu', layout.SPRF + predicate.number * 4, 4) : 0;
    const off = predicate && ((this.state.u32[at >> 2] as number) & 1) === (predicate.inverted ? 1 : 0);
    const [start, boundary, step] = [word(loop.start), word(loop.boundary), word(loop.step)];
    this.#finish(pc);
    let body: number | undefined;
    if (!off) {
      if (this.#loops.depth >= layout.LOOP_DEPTH) {
        throw new KernelError('guest', pc, 'loop', `loops nest ${layout.LOOP_DEPTH} deep at most`);
      }
      this.#loops.setCounter(this.#loops.depth, start);
      if (!zeroTrip(loop.comparison, start, boundary)) {
        this.#loops.push({
          first,
          last,
          boundary,
          step,
          comparison: loop.comparison,
          once: loop.repeatAtMostOnce,
          since: this.#pipeline.cycle,
        });
        body = first;
      }
    }
    this.#delayed = { body, last };
    this.machine.pc = pc + BUNDLE_BYTES;
  }

  #tryFetch(pc: number): Fetched | undefined {
    try {
      return this.#fetch(pc);
    } catch {
      return undefined;
    }
  }

  #fetch(pc: number): Fetched {
    const known = this.#fetched.get(pc);
    if (known && known.generation === this.#generation) return known;
    const bytes = this.#programBytes(pc);
    if (known?.bytes.every((byte, n) => byte === bytes[n])) {
      known.generation = this.#generation;
      return known;
    }
    const copy = bytes.slice();
    let decoded: Bundle | Loop;
    try {
      decoded = this.#decoder.decodeBundle(copy, 0);
    } catch (error) {
      this.machine.interrupt('illegal_instruction');
      throw located(error, pc);
    }
    const fetched: Fetched = {
      bytes: copy,
      decoded,
      slots: this.#bind(decoded, pc),
      reads: readsOf(decoded),
      generation: this.#generation,
    };
    this.#fetched.set(pc, fetched);
    return fetched;
  }

  #programBytes(pc: number): Uint8Array {
    const view = this.#memory.view(pc, BUNDLE_BYTES, 'read');
    if (view) return view;
    const bytes = new Uint8Array(BUNDLE_BYTES);
    if (this.#memory.read) {
      if (!this.#memory.read(pc, bytes)) throw new MemoryNotReady();
      return bytes;
    }
    throw new KernelError('guest', pc, undefined, 'the program went where there is no memory');
  }

  #bind(decoded: Bundle | Loop, pc: number): readonly BoundSlot[] {
    if (decoded.kind === 'loop') return [];
    const bound: BoundSlot[] = [];
    for (const slot of order) {
      const i: Instruction | undefined = decoded[slot];
      if (!i) continue;
      const predicate = i.predicate?.file === 'SP' ? layout.SPRF + i.predicate.number * 4 : -1;
      try {
        bound.push({ slot, predicate, inverted: i.predicate?.inverted ?? false, action: bind(i, this.machine) });
      } catch (error) {
        throw located(error, pc);
      }
    }
    return bound;
  }
}

/** Memory for compiled code; undefined where the process may not have more of it: then nothing is compiled. */
function tryMemory(): ReturnType<typeof createMemory> | undefined {
  try {
    return createMemory(STATE_PAGES);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Registers that a bundle reads. Those that do not exist are refused when it is bound. */
function readsOf(decoded: Bundle | Loop): readonly Range[] {
  if (decoded.kind === 'bundle') return slots.flatMap((slot) => (decoded[slot] ? effectsOf(decoded[slot]).reads : []));
  const operands = [decoded.start, decoded.boundary, decoded.step].filter((o) => o.kind === 'register');
  const reads = operands.map(({ number }) => ({ from: layout.SRF + number * 4, to: layout.SRF + number * 4 + 4 }));
  const predicate = decoded.predicate ? layout.SPRF + decoded.predicate.number * 4 : undefined;
  return predicate === undefined ? reads : [...reads, { from: predicate, to: predicate + 4 }];
}

function emptyStatistics(): TpcStatistics {
  const none = () => Object.fromEntries(slots.map((slot) => [slot, 0])) as Record<Slot, number>;
  return { bundles: 0, cycles: 0, stalls: 0, issued: none(), skipped: none() };
}

/** The same error with the place of the bundle. */
function located(error: unknown, pc: number): unknown {
  if (!(error instanceof ModelError) || error instanceof KernelError) return error;
  const message = error.message.slice(`${error.category}: ${error.where}: `.length);
  return new KernelError(error.category, pc, error.where, message);
}
