/**
 * Compiles hot hardware loops to WebAssembly, on the same memory that the interpreter's state is in. A loop is compiled if its
 * body is straight and no result is read before its latency has passed; then its rounds do exactly what the interpreter does.
 * An instruction without an emitter is done by its body, called from the compiled code. The first and the last rounds are always interpreted: what they leave in the
 * pipeline is as if all had been.
 *
 * V8 runs new code in its baseline tier, in which SIMD is slow, until a function that is called again has used up its budget; a
 * long call is never replaced. So rounds are done in calls of limited length.
 */

import type { Bundle, Instruction, Loop, Slot } from '../../isa/vliw/bundle.ts';
import { BUNDLE_BYTES, slots } from '../../isa/vliw/bundle.ts';
import { bind } from '../bodies/index.ts';
import { type Effects, effectsOf, hasSideEffects, overlaps } from '../effects.ts';
import * as layout from '../layout.ts';
import type { ActiveLoop } from '../loops.ts';
import type { Machine } from '../machine.ts';
import { constant, offsetOf, operand, register } from '../operands.ts';
import type { Range } from '../pipeline.ts';
import { addressOf, inside, type Tensor } from '../tensor.ts';
import {
  canonicalize,
  type Emit,
  emitMove,
  emitScalar,
  emitTransfer,
  emitVector,
  givesNumbers,
  type Knowledge,
  type Locals,
  setFusedProbe,
  type TransferPlan,
  transferWords,
} from './emit.ts';
import { emitBf16 } from './emit-bf16.ts';
import { emitRearrangement } from './emit-moves.ts';
import { emitCompare, emitGuarded, emitMasked } from './emit-predicates.ts';
import { Code, moduleBytes } from './encoder.ts';
import { residentModule } from './resident.ts';
import { streamModule } from './streams.ts';
import { createMemory, instantiate, type WasmMemory } from './webassembly.ts';

/** Pages of memory for the state of one core. */
export const STATE_PAGES = Math.ceil(layout.STATE_BYTES / 65536);
/** Latest cycle after which a result has arrived. */
export const SETTLED = 8;
/** Longest body, in bundles: longer ones make functions that take long to compile. */
const MAX_BODY = 64;
/** Bundles in one call of compiled code. */
const CALL_BUNDLES = 4096;

export interface RunResult {
  readonly bundles: number;
  readonly stalls: number;
  readonly issued: Readonly<Record<Slot, number>>;
  readonly skipped: Readonly<Record<Slot, number>>;
}

interface Compiled {
  /** The bundles that it was made of. */
  readonly body: readonly (Bundle | Loop)[];
  /** Undefined: it cannot be compiled. */
  readonly run: ((rounds: number) => void) | undefined;
  readonly issued: Readonly<Record<Slot, number>>;
  /** Cycles of each round in which it waits for loads. */
  readonly stalls: number;
  /** Registers that the body only reads, of which it relies on that they hold no denormal f32. */
  readonly assumed: readonly number[];
  readonly plans: readonly Plan[];
  /** The form for tensors that go by in whole vectors, or for registers alone; says how many rounds it left. */
  readonly stream: ((rounds: number) => number) | undefined;
}

/** A transfer, the number of its tensor, and the dimensions that it had. */
interface Plan extends TransferPlan {
  readonly tensor: number;
  readonly dims: readonly number[];
}

const locals: Locals = { address: 1, a: 2, b: 3, c: 4, result: 5 };

export interface LoopCompilerOptions {
  readonly machine: Machine;
  /** What the machine's state is in. */
  readonly memory: WasmMemory;
  readonly bundleAt: (pc: number) => Bundle | Loop;
  /** Loads may have to wait, which compiled code cannot: it loads only what memory `reaches`. */
  readonly mayWait: boolean;
  /** Bundles that a loop takes before it is compiled. */
  readonly after: number;
}

export class LoopCompiler {
  readonly #machine: Machine;
  readonly #memory: WasmMemory;
  readonly #bundleAt: (pc: number) => Bundle | Loop;
  readonly #mayWait: boolean;
  readonly #after: number;
  readonly #compiled = new Map<string, Compiled>();
  /** Bundles of rounds that were left to the interpreter so far, by the first and last bundle of the loop. */
  readonly #heat = new Map<number, number>();
  /** Instructions of the current call that their predicate skipped. */
  readonly #skipped: Record<Slot, number> = { load: 0, spu: 0, vpu: 0, store: 0 };
  /** Rounds that compiled code has done, and those of them in the form for streams. */
  rounds = 0;
  streamed = 0;

  constructor(options: LoopCompilerOptions) {
    this.#machine = options.machine;
    this.#memory = options.memory;
    this.#bundleAt = options.bundleAt;
    this.#mayWait = options.mayWait;
    this.#after = options.after;
  }

  /**
   * A loop is about to begin another round: does as many of them as it may, and says how many bundles that were.
   *
   * @param depth of the loop, from 0
   * @param budget most bundles
   */
  run(loop: ActiveLoop, depth: number, budget: number): RunResult | undefined {
    const machine = this.#machine;
    const length = (loop.last - loop.first) / BUNDLE_BYTES + 1;
    const counter = machine.state.scalar(layout.LOOP_COUNTER + depth) | 0;
    const rounds = Math.min(
      remainingRounds(loop, counter) - Math.ceil(SETTLED / length) - 1,
      Math.floor(budget / length),
    );
    if (!(rounds > 0) || machine.causesMatter || machine.roundingMode() !== 'rhne') return undefined;
    if (this.#isCold(loop, rounds * length)) return undefined;
    const compiled = this.#find(loop, depth);
    if (!compiled.run) return undefined;
    if (this.#mayWait && !compiled.plans.every(({ tensor, loading }) => !loading || machine.reaches(tensor))) {
      return undefined;
    }
    machine.pipeline.drain();
    const skipped = this.#skipped;
    for (const slot of slots) skipped[slot] = 0;
    const counters = machine.state.u32.subarray(layout.SKIPPED / 4, layout.SKIPPED / 4 + slots.length).fill(0);
    for (const plan of compiled.plans) fillTable(machine, plan, this.#mayWait);
    this.streamed += runRounds(
      machine,
      compiled,
      rounds,
      Math.max(1, Math.floor(CALL_BUNDLES / length)),
      this.#mayWait,
    );
    slots.forEach((slot, n) => {
      skipped[slot] += counters[n] as number;
    });
    machine.pc = loop.first;
    this.rounds += rounds;
    machine.pipeline.cycle += rounds * (length + compiled.stalls);
    const issued = Object.fromEntries(
      slots.map((slot) => [slot, rounds * compiled.issued[slot] - skipped[slot]]),
    ) as Record<Slot, number>;
    return { bundles: rounds * length, stalls: rounds * compiled.stalls, issued, skipped: { ...skipped } };
  }

  /** Whether a loop has not been taken long enough to be worth compiling. */
  #isCold(loop: ActiveLoop, bundles: number): boolean {
    if (this.#after === 0) return false;
    const heat = (this.#heat.get(loop.first) ?? 0) + Math.min(bundles, (loop.last - loop.first) / BUNDLE_BYTES + 1);
    this.#heat.set(loop.first, heat);
    return heat < this.#after;
  }

  #find(loop: ActiveLoop, depth: number): Compiled {
    const key = `${loop.first} ${loop.last} ${loop.step} ${depth}`;
    const body: (Bundle | Loop)[] = [];
    for (let pc = loop.first; pc <= loop.last; pc += BUNDLE_BYTES) body.push(this.#bundleAt(pc));
    const known = this.#compiled.get(key);
    const same = known?.body.length === body.length && known.body.every((bundle, n) => bundle === body[n]);
    // What it was compiled to rely on has to hold now.
    if (same && known.assumed.every((register) => isNormal(this.#machine, register))) return known;
    const compiled = this.#compile(body, loop, depth);
    this.#compiled.set(key, compiled);
    return compiled;
  }

  #compile(body: readonly (Bundle | Loop)[], loop: ActiveLoop, depth: number): Compiled {
    const issued: Record<Slot, number> = { load: 0, spu: 0, vpu: 0, store: 0 };
    const none = { body, run: undefined, issued, stalls: 0, assumed: [], plans: [], stream: undefined };
    if (body.length > MAX_BODY) return none;
    const ordered: (readonly Instruction[])[] = [];
    for (const bundle of body) {
      const order = bundle.kind === 'bundle' ? orderOf(bundle) : undefined;
      if (!order) return none;
      ordered.push(order);
    }
    const stalls = this.#stalls(ordered);
    if (stalls === undefined || this.#hazard(ordered)) return none;
    const { knowledge, assumed, late } = knowledgeOf(this.#machine, ordered.flat());
    const code = new Code();
    const transfers: (() => number)[] = [];
    const plans = new Map<Instruction, Plan>();
    code.loop();
    for (const [n, order] of ordered.entries()) {
      for (const i of order) {
        const emit = this.#emitter(i, loop.first + n * BUNDLE_BYTES, transfers, plans, knowledge);
        if (!emit) return none;
        emit(code, locals);
        issued[i.slot]++;
      }
    }
    const counter = layout.SRF + (layout.LOOP_COUNTER + depth) * 4;
    code.at().load(counter).constant(loop.step).op('i32.add').store(counter);
    code.get(0).constant(1).op('i32.sub').tee(0).branchIf(0).op('end');
    for (const register of late) canonicalize(code, locals, register);
    const bytes = moduleBytes({ code, words: 1, vectors: 4, memoryPages: STATE_PAGES });
    const parts = {
      instructions: ordered.flat(),
      planOf: (i: Instruction) => plans.get(i),
      knowledge,
      counter,
      step: loop.step,
      memoryPages: STATE_PAGES,
    };
    const stream = streamModule(parts) ?? residentModule(parts);
    return {
      body,
      run: instantiate(bytes, this.#memory, (n) => transfers[n]?.() ?? -1),
      issued,
      stalls,
      assumed,
      plans: [...plans.values()],
      stream: stream && instantiate(stream, this.#memory, () => -1),
    };
  }

  #emitter(
    i: Instruction,
    pc: number,
    transfers: (() => number)[],
    plans: Map<Instruction, Plan>,
    known: Knowledge,
  ): Emit | undefined {
    if (hasSideEffects(i)) return undefined;
    const emit = emitterOf(i.predicate?.file === 'SP' ? { ...i, predicate: undefined } : i, known);
    if (emit) return emitGuarded(i, emit);
    const transfer = this.#transfer(i, pc);
    if (!transfer && this.#mayWait && !isLocal(i)) return undefined;
    const index = transfers.push(transfer ?? this.#interpreted(i, pc)) - 1;
    if (!transfer) return (code) => void code.constant(index).call(0).op('drop');
    const loading = i.slot === 'load';
    if (index >= layout.MAX_TRANSFERS) return undefined;
    const plan: TransferPlan = {
      index,
      register: offsetOf(i, register(i, loading ? 'dest' : 'value')),
      coordinates: offsetOf(i, register(i, 'coords')),
      table: layout.TRANSFERS + index * layout.TRANSFER_BYTES,
      loading,
    };
    const tensor = constant(i, 'tensor');
    plans.set(i, { ...plan, tensor, dims: this.#machine.tensor(tensor).dims });
    return (code, l) => emitTransfer(code, l, plan);
  }

  /** What the interpreter does for an instruction, its results arriving at once. */
  #interpreted(i: Instruction, pc: number): () => number {
    const machine = this.#machine;
    const { pipeline, state } = machine;
    const action = bind(i, machine);
    const predicate = i.predicate?.file === 'SP' ? (layout.SPRF + i.predicate.number * 4) / 4 : -1;
    const off = i.predicate?.inverted ? 1 : 0;
    return () => {
      if (predicate >= 0 && ((state.u32[predicate] as number) & 1) === off) {
        this.#skipped[i.slot]++;
        return -1;
      }
      machine.pc = pc;
      action();
      pipeline.arrive();
      return -1;
    };
  }

  /** A whole vector between a tensor and a register; tensors change only when the core is told to go on. */
  #transfer(i: Instruction, pc: number): (() => number) | undefined {
    if ((i.mnemonic !== 'ld_tnsr' && i.mnemonic !== 'st_tnsr') || i.predicate) return undefined;
    if (i.switches.partial === true || i.switches.rmw_sel === true || i.switches.pack === true) return undefined;
    const loading = i.mnemonic === 'ld_tnsr';
    const vector = register(i, loading ? 'dest' : 'value');
    if (vector.file !== 'V' || operand(i, 'tensor').kind === 'register') return undefined;
    if (vector.number >= layout.GENERAL_VECTORS) return undefined;
    const number = constant(i, 'tensor');
    const at = offsetOf(i, vector);
    const machine = this.#machine;
    const index = offsetOf(i, register(i, 'coords')) / 4;
    const where = machine.state.i32.subarray(index, index + layout.DIMENSIONS);
    if (!loading && machine.tensor(number).rmw) return undefined;
    const move = loading ? loadVector : storeVector;
    const access = loading ? 'read' : 'write';
    const { bytes } = machine.state;
    return () => {
      const tensor = machine.tensor(number);
      const offset = wholeVector(tensor, where);
      const view = offset < 0 || this.#mayWait ? undefined : machine.tensorView(number, access);
      if (!view) {
        machine.pc = pc;
        move(machine, tensor, where, at);
      } else if (view.buffer === bytes.buffer) return view.byteOffset + offset;
      else if (loading) bytes.set(view.subarray(offset, offset + layout.VECTOR_BYTES), at);
      else view.set(bytes.subarray(at, at + layout.VECTOR_BYTES), offset);
      return -1;
    };
  }

  /** Cycles of a round that wait for loads; undefined where that depends on the round before, or on predicates. */
  #stalls(body: readonly (readonly Instruction[])[]): number | undefined {
    if (this.#machine.pipeline.mode === 'immediate') return 0;
    const all = this.#waits(body, () => true);
    return all === this.#waits(body, (i) => i.predicate?.file !== 'SP') ? all : undefined;
  }

  #waits(body: readonly (readonly Instruction[])[], done: (i: Instruction) => boolean): number | undefined {
    const loads: { readonly writes: readonly Range[]; readonly ready: number }[] = [];
    const rounds: number[] = [];
    let cycle = 0;
    for (let round = 0; round < 4; round++) {
      const begin = cycle;
      for (const order of body) {
        for (const i of order) {
          const { reads } = effectsOf(i);
          for (const { writes, ready } of loads) if (overlaps(writes, reads)) cycle = Math.max(cycle, ready);
        }
        for (const i of order) {
          const interlock = this.#machine.interlock(i);
          if (interlock > 0 && done(i)) loads.push({ writes: effectsOf(i).writes, ready: cycle + interlock });
        }
        cycle++;
      }
      rounds.push(cycle - begin);
    }
    return rounds.every((cycles) => cycles === rounds[0]) ? (rounds[0] as number) - body.length : undefined;
  }

  /** Whether a result is read in its own slot before it has arrived, in this round or the next. */
  #hazard(body: readonly (readonly Instruction[])[]): boolean {
    return body.some((order, n) =>
      order.some((i) => {
        const dest = i.operands[i.roles.indexOf('dest')];
        if (dest?.kind !== 'register') return false;
        const { writes } = effectsOf(i);
        const { latency, chain } = this.#machine.arrival(i, dest.file);
        for (let later = 1; later < latency; later++) {
          const reader = body[(n + later) % body.length]?.find((other) => other.slot === i.slot);
          if (!reader) continue;
          const { operands, accumulators } = effectsOf(reader);
          if (overlaps(writes, operands)) return true;
          const chained = chain && this.#machine.decoder.chainOf(reader)?.name === chain.name;
          if (later < (chained ? chain.bundles : latency) && overlaps(writes, accumulators)) return true;
        }
        return false;
      }),
    );
  }
}

/**
 * Rounds in calls of limited length; the last one, and those that streams leave, in the form that writes all registers.
 * Returns how many the other form did.
 */
function runRounds(machine: Machine, compiled: Compiled, rounds: number, perCall: number, mayWait: boolean): number {
  let streamed = 0;
  let stream = rounds > 1 && streams(machine, compiled.plans, mayWait) ? compiled.stream : undefined;
  for (let left = rounds; left > 0; ) {
    if (stream && left > 1) {
      const count = Math.min(perCall, left - 1);
      const rest = stream(count);
      left -= count - rest;
      streamed += count - rest;
      if (rest === 0) continue;
      if (rest === count) stream = undefined;
    }
    const count = stream ? 1 : Math.min(perCall, left);
    compiled.run?.(count);
    left -= count;
  }
  return streamed;
}

/** Whether tensors are as they were, in this memory, and none that is written is read: then it does not matter which chunks come first. */
function streams(machine: Machine, plans: readonly Plan[], mayWait: boolean): boolean {
  if (mayWait) return plans.length === 0;
  const ranges = plans.map(({ tensor, loading, dims }) => {
    const view = machine.tensorView(tensor, loading ? 'read' : 'write');
    const same = machine.tensor(tensor).dims.join() === dims.join();
    return same && view?.buffer === machine.state.bytes.buffer ? { view, loading } : undefined;
  });
  return ranges.every((a) =>
    ranges.every(
      (b) =>
        a &&
        b &&
        (a.loading === b.loading ||
          a.view.byteOffset + a.view.length <= b.view.byteOffset ||
          b.view.byteOffset + b.view.length <= a.view.byteOffset),
    ),
  );
}

function emitterOf(i: Instruction, known: Knowledge): Emit | undefined {
  if (i.slot === 'vpu') {
    if (i.predicate) return emitMasked(i, known);
    return emitBf16(i) ?? emitCompare(i) ?? emitRearrangement(i) ?? emitVector(i, known);
  }
  if (i.predicate) return undefined;
  if (i.slot === 'spu' || i.mnemonic === 'set_indx') return emitScalar(i);
  return i.slot === 'load' && i.mnemonic === 'mov' ? emitMove(i) : undefined;
}

const local = ['nop', 'mov', 'set_indx', 'gen_addr', 'ld_l', 'ld_l_v', 'st_l', 'st_l_v'];

/** Whether an instruction has nothing to do with memory outside of the core. */
function isLocal(i: Instruction): boolean {
  return i.slot === 'spu' || i.slot === 'vpu' || local.includes(i.mnemonic);
}

/** How often the body is done until the loop ends, with the round that begins; infinite or unknown: 0. */
export function remainingRounds(loop: ActiveLoop, counter: number): number {
  const { boundary, step, comparison, once } = loop;
  if (once || step === 0) return 0;
  const distance = boundary - counter;
  const rounds = {
    '<': step > 0 ? Math.ceil(distance / step) : 0,
    '<=': step > 0 ? Math.floor(distance / step) + 1 : 0,
    '>': step < 0 ? Math.ceil(distance / step) : 0,
    '>=': step < 0 ? Math.floor(distance / step) + 1 : 0,
    '!=': distance % step === 0 && distance / step > 0 ? distance / step : 0,
    '==': 0,
  }[comparison];
  // The counter must not wrap on the way.
  const end = counter + rounds * step;
  return end > 2 ** 31 - 1 || end < -(2 ** 31) ? 0 : rounds;
}

/** Whether no lane of the vector register at `offset` is a denormal f32. */
function isNormal(machine: Machine, offset: number): boolean {
  for (let lane = 0; lane < layout.VECTOR_BYTES / 4; lane++) {
    const bits = (machine.state.u32[offset / 4 + lane] as number) & 0x7fffffff;
    if (bits !== 0 && bits < 0x00800000) return false;
  }
  return true;
}

/**
 * What can be relied on in all rounds but the first, which is interpreted: a register that only f32 arithmetic writes is
 * flushed; one that nothing writes stays as it is now; one that only f32 arithmetic reads may hold any NaN meanwhile.
 */
function knowledgeOf(
  machine: Machine,
  instructions: readonly Instruction[],
): { readonly knowledge: Knowledge; readonly assumed: readonly number[]; readonly late: readonly number[] } {
  const written = new Map<number, boolean>();
  const read = new Map<number, boolean>();
  const note = (map: Map<number, boolean>, from: number, good: boolean) =>
    map.set(from, good && (map.get(from) ?? true));
  const vectorsIn = (ranges: readonly Range[]) =>
    ranges.flatMap(({ from, to }) => {
      if (from >= layout.LFSR) return [];
      return Array.from({ length: (to - from) / layout.VECTOR_BYTES }, (_, n) => from + n * layout.VECTOR_BYTES);
    });
  for (const i of instructions) {
    const { reads, writes } = effectsOf(i);
    for (const from of vectorsIn(writes)) note(written, from, givesNumbers(i) && !i.predicate);
    for (const from of vectorsIn(reads)) note(read, from, givesNumbers(i));
  }
  const assumed = [...read].flatMap(([from]) => (!written.has(from) && isNormal(machine, from) ? [from] : []));
  const late = [...written].flatMap(([from, numbers]) => (numbers && read.get(from) !== false ? [from] : []));
  return {
    knowledge: {
      normal: (offset) => written.get(offset) === true || assumed.includes(offset),
      anyNan: (offset) => late.includes(offset),
    },
    assumed,
    late,
  };
}

/** An order of the slots in which none writes what a later one reads, and memory is read before it is written. */
function orderOf(bundle: Bundle): readonly Instruction[] | undefined {
  const left = slots.flatMap((slot) => (bundle[slot] ? [bundle[slot]] : []));
  const effects = new Map<Instruction, Effects>(left.map((i) => [i, effectsOf(i)]));
  const of = (i: Instruction) => effects.get(i) as Effects;
  if (left.some((i) => left.some((j) => i !== j && overlaps(of(i).writes, of(j).writes)))) return undefined;
  const order: Instruction[] = [];
  while (left.length > 0) {
    const next = left.findIndex((i) =>
      left.every(
        (j) => i === j || (!overlaps(of(i).writes, of(j).reads) && !(i.slot === 'store' && j.slot === 'load')),
      ),
    );
    if (next < 0) return undefined;
    order.push(...left.splice(next, 1));
  }
  return order;
}

/** Says to compiled code where a tensor is, if it is in the same memory and has whole vectors. */
function fillTable(machine: Machine, plan: Plan, mayWait: boolean): void {
  const words = machine.state.u32;
  const at = plan.table / 4;
  if (mayWait) {
    words[at + transferWords.base] = 0xffffffff;
    return;
  }
  const tensor = machine.tensor(plan.tensor);
  const view = machine.tensorView(plan.tensor, plan.loading ? 'read' : 'write');
  const count = layout.VECTOR_BYTES / tensor.elementBytes;
  const { dims, sizes, strides } = tensor;
  const direct = view?.buffer === words.buffer && dims[0] === 0 && strides[0] === 1 && (sizes[0] as number) >= count;
  words[at + transferWords.base] = direct ? view.byteOffset : 0xffffffff;
  for (let d = 0; d < layout.DIMENSIONS; d++) {
    const there = dims.includes(d);
    const size = (sizes[d] as number) - (d === 0 ? count - 1 : 0);
    words[at + transferWords.limits + d] = there ? size : 0xffffffff;
    words[at + transferWords.strides + d] = there ? (strides[d] as number) * tensor.elementBytes : 0;
  }
}

/** Byte offset in the tensor of the vector at these coordinates; negative where it is not all inside. */
function wholeVector(tensor: Tensor, where: Int32Array): number {
  const { dims, sizes, strides } = tensor;
  if (dims[0] !== 0 || strides[0] !== 1) return -1;
  let elements = where[0] as number;
  if (elements < 0 || elements + layout.VECTOR_BYTES / tensor.elementBytes > (sizes[0] as number)) return -1;
  for (let n = 1; n < dims.length; n++) {
    const d = dims[n] as number;
    const coordinate = where[d] as number;
    if (coordinate < 0 || coordinate >= (sizes[d] as number)) return -1;
    elements += coordinate * (strides[d] as number);
  }
  return elements * tensor.elementBytes;
}

function loadVector(machine: Machine, tensor: Tensor, where: Int32Array, at: number): void {
  const width = tensor.elementBytes;
  const count = layout.VECTOR_BYTES / width;
  const { from, to } = inside(tensor, where, count);
  const { bytes } = machine.state;
  for (let byte = 0; byte < layout.VECTOR_BYTES; byte++) {
    if (byte === from * width) byte = to * width;
    if (byte < layout.VECTOR_BYTES) bytes[at + byte] = tensor.padding >>> (8 * (byte % width));
  }
  if (to > from) machine.load(addressOf(tensor, where) + from * width, (to - from) * width, at + from * width);
}

function storeVector(machine: Machine, tensor: Tensor, where: Int32Array, at: number): void {
  const width = tensor.elementBytes;
  const { from, to } = inside(tensor, where, layout.VECTOR_BYTES / width);
  if (to > from) machine.store(addressOf(tensor, where) + from * width, (to - from) * width, at + from * width);
}

/** Asks this machine: (1 + 2^-12)^2 - (1 + 2^-11) is 2^-24 if it is rounded once, and 0 if the product is rounded first. */
setFusedProbe(() => {
  const bits = (x: number) => new Uint32Array(Float32Array.of(x).buffer)[0] as number;
  const code = new Code();
  code
    .at()
    .splat(bits(1 + 2 ** -12))
    .splat(bits(1 + 2 ** -12))
    .splat(bits(-(1 + 2 ** -11)))
    .op('f32x4.relaxed_madd')
    .splat(0)
    .splat(-1)
    .op('i32x4.relaxed_laneselect')
    .storeVector(0);
  const memory = createMemory(1);
  try {
    instantiate(moduleBytes({ code, words: 0, vectors: 0, memoryPages: 1 }), memory, () => -1)(0);
  } catch {
    return false;
  }
  return new Float32Array(memory.buffer)[0] === 2 ** -24;
});
