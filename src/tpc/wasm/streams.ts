/**
 * A second form of loops that stream tensors through arithmetic on lanes: in each round first what is scalar, then the body
 * once for each sixteen bytes of the vectors, with registers in locals. So vectors do not go through the memory of the state.
 * A round in which a vector is not wholly inside its tensor, or in which two stores meet, is not begun: the code returns.
 *
 * Registers that the body does not carry into the next round are not written; another form must do a round after this one.
 */

import type { Instruction } from '../../isa/vliw/bundle.ts';
import { effectsOf } from '../effects.ts';
import * as layout from '../layout.ts';
import { offsetOf, operand, register } from '../operands.ts';
import {
  ABS,
  CHUNK,
  CHUNKS,
  canonical,
  emitMove,
  emitScalar,
  isNormalWord,
  type Knowledge,
  type LaneOperation,
  type Locals,
  laneOperation,
  MIN_NORMAL,
  type Source,
  sourceOf,
  type TransferPlan,
  transferWords,
} from './emit.ts';
import { emitBf16 } from './emit-bf16.ts';
import { Code, moduleBytes } from './encoder.ts';

export interface StreamLoop {
  /** All instructions of the body, in an order in which they can be done one after the other. */
  readonly instructions: readonly Instruction[];
  /** Of the instructions that move vectors between tensors and registers; its dimensions. */
  readonly planOf: (i: Instruction) => (TransferPlan & { readonly dims: readonly number[] }) | undefined;
  readonly knowledge: Knowledge;
  /** Offset of the loop's counter, and its step. */
  readonly counter: number;
  readonly step: number;
  readonly memoryPages: number;
}

/** One step of the body for a chunk: moves a word of all lanes, operates, or goes to memory. */
type Step =
  | { readonly kind: 'transfer'; readonly plan: TransferPlan; readonly address: number }
  | { readonly kind: 'move'; readonly from: Source; readonly to: number }
  | { readonly kind: 'lanes'; readonly operation: LaneOperation };

/** Longest body in vector instructions: code for a chunk is repeated for all of them. */
const MAX_STEPS = 48;

/**
 * A module whose `run` does up to its operand's number of rounds and returns how many are left; undefined for loops that are
 * not of this kind.
 */
export function streamModule(loop: StreamLoop): Uint8Array<ArrayBuffer> | undefined {
  const scalars: { readonly i: Instruction; readonly transfer?: number }[] = [];
  const steps: Step[] = [];
  const transfers: { readonly plan: TransferPlan & { readonly dims: readonly number[] }; readonly local: number }[] =
    [];
  for (const i of loop.instructions) {
    if (i.predicate) return undefined;
    if (i.mnemonic === 'nop') continue;
    const plan = loop.planOf(i);
    if (plan) {
      scalars.push({ i, transfer: transfers.length });
      steps.push({ kind: 'transfer', plan, address: 1 + transfers.length });
      transfers.push({ plan, local: 1 + transfers.length });
      continue;
    }
    const step = vectorStep(i);
    if (step) steps.push(step);
    else if ((i.slot === 'spu' || i.slot === 'load') && isScalar(i) && emitScalar(i)) scalars.push({ i });
    else return undefined;
  }
  if (transfers.length === 0 || steps.length > MAX_STEPS) return undefined;
  const saved = [...new Set(scalars.flatMap(({ i, transfer }) => (transfer === undefined ? wordsOf(i) : [])))];
  // A scalar that the body changes is another one for vectors that were before it.
  const scalarsRead = steps.flatMap(sourcesOf).flatMap((source) => ('scalar' in source ? [source.scalar] : []));
  if (scalarsRead.some((at) => saved.includes(at) || at === loop.counter)) return undefined;

  const registers = [...new Set(steps.flatMap((step) => [...readsOf(step), ...writesOf(step)]))];
  const words = transfers.length + saved.length;
  const firstVector = 1 + words;
  const l: Locals = {
    address: 0,
    a: firstVector,
    b: firstVector + 1,
    c: firstVector + 2,
    result: firstVector + 3,
  };
  const localOf = (at: number) => firstVector + 6 + registers.indexOf(at);

  const code = new Code().pin(MIN_NORMAL, firstVector + 4).pin(ABS, firstVector + 5);
  code.loop();
  saved.forEach((at, n) => {
    code.load(at).set(1 + transfers.length + n);
  });
  code.constant(1);
  for (const { i, transfer } of scalars) {
    const at = transfer === undefined ? undefined : transfers[transfer];
    if (!at) emitScalar(i)?.(code, l);
    else place(code, at.plan, at.local);
  }
  const stores = transfers.filter(({ plan }) => !plan.loading);
  stores.forEach((one, n) => {
    for (const other of stores.slice(n + 1)) {
      code
        .get(one.local)
        .get(other.local)
        .op('i32.sub')
        .constant(layout.VECTOR_BYTES - 1)
        .op('i32.add');
      code.constant(2 * layout.VECTOR_BYTES - 2).op('i32.gt_u', 'i32.and');
    }
  });
  code.op('i32.eqz').if();
  saved.forEach((at, n) => {
    code
      .at()
      .get(1 + transfers.length + n)
      .store(at);
  });
  code.get(0).op('return', 'end');
  // What has no register in common goes one after the other, so that few lines of memory are under way at once.
  for (const group of groupsOf(steps)) {
    const carried = carriedOf(group);
    const written = new Set(group.flatMap(writesOf));
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      emitChunk(code, l, { steps: group, loop, localOf, chunk, carried, written });
    }
  }
  code.at().load(loop.counter).constant(loop.step).op('i32.add').store(loop.counter);
  code.get(0).constant(1).op('i32.sub').tee(0).branchIf(0).op('end').constant(0);
  return moduleBytes({ code, words, vectors: 6 + registers.length, memoryPages: loop.memoryPages, result: true });
}

/** Leaves the address of the vector in a local, and on the stack whether all of it, and what was there, holds. */
function place(code: Code, plan: TransferPlan & { readonly dims: readonly number[] }, local: number): void {
  const word = (n: number) => plan.table + 4 * n;
  code.load(word(transferWords.base)).constant(-1).op('i32.ne', 'i32.and');
  code.load(word(transferWords.base));
  for (const d of plan.dims) {
    code.load(plan.coordinates + 4 * d);
    code.load(word(transferWords.strides + d)).op('i32.mul', 'i32.add');
  }
  code.set(local);
  for (const d of plan.dims) {
    code.load(plan.coordinates + 4 * d);
    code.load(word(transferWords.limits + d)).op('i32.lt_u', 'i32.and');
  }
}

interface Chunk {
  readonly steps: readonly Step[];
  readonly loop: StreamLoop;
  readonly localOf: (at: number) => number;
  readonly chunk: number;
  readonly carried: readonly number[];
  readonly written: ReadonlySet<number>;
}

function emitChunk(code: Code, l: Locals, { steps, loop, localOf, chunk, carried, written }: Chunk): void {
  /** Locals that hold f32 numbers that are not denormal, and those whose NaNs may be any. */
  const normal = new Set<number>();
  const anyNan = new Set<number>();
  for (const at of carried) {
    code.loadVector(at + chunk * CHUNK).set(localOf(at));
    if (loop.knowledge.normal(at)) normal.add(at);
    if (loop.knowledge.anyNan(at)) anyNan.add(at);
  }
  const settle = (at: number) => {
    if (anyNan.delete(at)) canonical(code, localOf(at));
  };
  const push = (source: Source, local: number) => {
    if ('at' in source) code.get(localOf(source.at));
    else if ('word' in source) code.splat(source.word);
    else code.load(source.scalar).op('i32x4.splat');
    code.set(local);
  };
  for (const step of steps) {
    if (step.kind === 'transfer') {
      const { register: at, loading } = step.plan;
      if (loading) {
        code.loadVectorAt(step.address, chunk * CHUNK).set(localOf(at));
        normal.delete(at);
        anyNan.delete(at);
      } else {
        settle(at);
        code.get(step.address).get(localOf(at));
        code.storeVectorAt(chunk * CHUNK);
      }
      continue;
    }
    if (step.kind === 'move') {
      const { from, to } = step;
      push(from, localOf(to));
      for (const set of [normal, anyNan]) {
        if ('at' in from && set.has(from.at)) set.add(to);
        else set.delete(to);
      }
      continue;
    }
    const { a, b, c, d, to, compares, numbers, lanes } = step.operation;
    const isNormal = (source: Source | undefined) =>
      source !== undefined && ('at' in source ? normal.has(source.at) : isNormalWord(source));
    for (const [source, asNumber] of [
      [a, compares],
      [b, compares],
      [c, numbers],
      [d, false],
    ] as const) {
      if (source && 'at' in source && !asNumber) settle(source.at);
    }
    push(a, l.a);
    push(b, l.b);
    if (c) push(c, l.c);
    if (d) push(d, l.result);
    lanes({ a: isNormal(a), b: isNormal(b), c: isNormal(c), anyNan: true })(code, l);
    code.get(l.result).set(localOf(to));
    normal.delete(to);
    anyNan.delete(to);
    if (numbers) {
      normal.add(to);
      anyNan.add(to);
    }
  }
  for (const at of carried) {
    if (!written.has(at)) continue;
    if (!loop.knowledge.anyNan(at)) settle(at);
    code
      .at()
      .get(localOf(at))
      .storeVector(at + chunk * CHUNK);
  }
}

/** What an instruction does to each chunk of vectors, if it does nothing else. */
function vectorStep(i: Instruction): Step | undefined {
  if (i.slot === 'vpu' && i.mnemonic !== 'mov') {
    if (emitBf16(i)) return undefined;
    const operation = laneOperation(i);
    return operation && { kind: 'lanes', operation };
  }
  if (i.mnemonic !== 'mov' || i.slot === 'spu') return undefined;
  const dest = register(i, 'dest');
  const from = dest.file === 'V' ? sourceOf(i, operand(i, 'a')) : undefined;
  return from && emitMove(i) ? { kind: 'move', from, to: offsetOf(i, dest) } : undefined;
}

/** Whether all that an instruction reads and writes are scalar and index registers. */
function isScalar(i: Instruction): boolean {
  const { reads, writes } = effectsOf(i);
  return [...reads, ...writes].every(({ from }) => from >= layout.SRF);
}

/** Offsets of the words that an instruction writes. */
function wordsOf(i: Instruction): readonly number[] {
  return effectsOf(i).writes.flatMap(({ from, to }) => Array.from({ length: (to - from) / 4 }, (_, n) => from + 4 * n));
}

function sourcesOf(step: Step): readonly Source[] {
  if (step.kind === 'transfer') return step.plan.loading ? [] : [{ at: step.plan.register }];
  if (step.kind === 'move') return [step.from];
  const { a, b, c, d } = step.operation;
  return [a, b, c, d].filter((source) => source !== undefined);
}

function readsOf(step: Step): readonly number[] {
  return sourcesOf(step).flatMap((source) => ('at' in source ? [source.at] : []));
}

function writesOf(step: Step): readonly number[] {
  if (step.kind === 'transfer') return step.plan.loading ? [step.plan.register] : [];
  return [step.kind === 'move' ? step.to : step.operation.to];
}

/** Registers whose content from before the round is read in it. */
function carriedOf(steps: readonly Step[]): readonly number[] {
  const written = new Set<number>();
  const carried = new Set<number>();
  for (const step of steps) {
    for (const at of readsOf(step)) if (!written.has(at)) carried.add(at);
    for (const at of writesOf(step)) written.add(at);
  }
  return [...carried];
}

/** Steps in their order, apart where they have no register in common. */
function groupsOf(steps: readonly Step[]): readonly (readonly Step[])[] {
  let groups: { readonly registers: Set<number>; readonly members: Set<number> }[] = [];
  steps.forEach((step, n) => {
    const registers = new Set([...readsOf(step), ...writesOf(step)]);
    const members = new Set([n]);
    const apart = groups.filter((group) => {
      if (registers.isDisjointFrom(group.registers)) return true;
      for (const at of group.registers) registers.add(at);
      for (const member of group.members) members.add(member);
      return false;
    });
    groups = [...apart, { registers, members }];
  });
  return groups.map(({ members }) => steps.filter((_, n) => members.has(n)));
}
