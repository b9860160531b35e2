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
import {
  ABS,
  CHUNK,
  CHUNKS,
  emitScalar,
  type Knowledge,
  type Locals,
  MIN_NORMAL,
  type TransferPlan,
  transferWords,
} from './emit.ts';
import { Code, moduleBytes } from './encoder.ts';
import {
  carriedOf,
  emitStep,
  groupsOf,
  loadPiece,
  type Piece,
  readsOf,
  type Step,
  settlePiece,
  sourcesOf,
  storePiece,
  vectorStep,
  writesOf,
} from './steps.ts';

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
    const kept = carried.filter((at) => written.has(at));
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      const piece: Piece = { offset: chunk * CHUNK, localOf, normal: new Set(), anyNan: new Set() };
      loadPiece(code, piece, carried, loop.knowledge);
      for (const step of group) emitStep(code, l, piece, step, false);
      settlePiece(code, piece, kept, loop.knowledge);
      storePiece(code, piece, kept);
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

/** Whether all that an instruction reads and writes are scalar and index registers. */
export function isScalar(i: Instruction): boolean {
  const { reads, writes } = effectsOf(i);
  return [...reads, ...writes].every(({ from }) => from >= layout.SRF);
}

/** Offsets of the words that an instruction writes. */
export function wordsOf(i: Instruction): readonly number[] {
  return effectsOf(i).writes.flatMap(({ from, to }) => Array.from({ length: (to - from) / 4 }, (_, n) => from + 4 * n));
}
