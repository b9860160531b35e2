/**
 * Bodies of loops as steps on pieces of vectors: sixteen bytes of every register that they use, held in locals. Steps on
 * one piece do not look at the others.
 */

import type { Instruction } from '../../isa/vliw/bundle.ts';
import { offsetOf, operand, register } from '../operands.ts';
import {
  canonical,
  emitMove,
  isNormalWord,
  type Knowledge,
  type LaneOperation,
  type Locals,
  laneOperation,
  type Source,
  sourceOf,
  type TransferPlan,
} from './emit.ts';
import { emitBf16 } from './emit-bf16.ts';
import type { Code } from './encoder.ts';

/** One step of the body for a chunk: moves a word of all lanes, operates, or goes to memory. */
export type Step =
  | { readonly kind: 'transfer'; readonly plan: TransferPlan; readonly address: number }
  | { readonly kind: 'move'; readonly from: Source; readonly to: number }
  | { readonly kind: 'lanes'; readonly operation: LaneOperation };

/** One piece: where its registers are, and what is known of what is in their locals. */
export interface Piece {
  /** Of the first byte in each register. */
  readonly offset: number;
  /** A local that is added to offsets in registers; undefined: nothing is. */
  readonly base?: number;
  readonly localOf: (register: number) => number;
  /** Registers whose f32 numbers are not denormal, and those whose NaNs may be any. */
  readonly normal: Set<number>;
  readonly anyNan: Set<number>;
}

/** Loads registers that the steps read before they write them. */
export function loadPiece(code: Code, piece: Piece, registers: readonly number[], knowledge: Knowledge): void {
  for (const at of registers) {
    if (piece.base === undefined) code.loadVector(at + piece.offset);
    else code.loadVectorAt(piece.base, at + piece.offset);
    code.set(piece.localOf(at));
    if (knowledge.normal(at)) piece.normal.add(at);
    if (knowledge.anyNan(at)) piece.anyNan.add(at);
  }
}

function settle(code: Code, piece: Piece, at: number): void {
  if (piece.anyNan.delete(at)) canonical(code, piece.localOf(at));
}

/** Gives NaNs the core's bits, in registers that the steps wrote and of which others may see the bits. */
export function settlePiece(code: Code, piece: Piece, registers: readonly number[], knowledge: Knowledge): void {
  for (const at of registers) if (!knowledge.anyNan(at)) settle(code, piece, at);
}

export function storePiece(code: Code, piece: Piece, registers: readonly number[]): void {
  for (const at of registers) {
    if (piece.base === undefined) {
      code.at().get(piece.localOf(at));
      code.storeVector(at + piece.offset);
    } else {
      code.get(piece.base).get(piece.localOf(at));
      code.storeVectorAt(at + piece.offset);
    }
  }
}

export function pushSource(code: Code, piece: Piece, source: Source, local: number): void {
  if ('at' in source) code.get(piece.localOf(source.at));
  else if ('word' in source) code.splat(source.word);
  else code.load(source.scalar).op('i32x4.splat');
  code.set(local);
}

/** @param noDenormals no result can be denormal */
export function emitStep(code: Code, l: Locals, piece: Piece, step: Step, noDenormals: boolean): void {
  const { localOf, normal, anyNan } = piece;
  if (step.kind === 'transfer') {
    const { register: at, loading } = step.plan;
    if (loading) {
      code.loadVectorAt(step.address, piece.offset).set(localOf(at));
      normal.delete(at);
      anyNan.delete(at);
    } else {
      settle(code, piece, at);
      code.get(step.address).get(localOf(at));
      code.storeVectorAt(piece.offset);
    }
    return;
  }
  if (step.kind === 'move') {
    const { from, to } = step;
    pushSource(code, piece, from, localOf(to));
    for (const set of [normal, anyNan]) {
      if ('at' in from && set.has(from.at)) set.add(to);
      else set.delete(to);
    }
    return;
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
    if (source && 'at' in source && !asNumber) settle(code, piece, source.at);
  }
  pushSource(code, piece, a, l.a);
  pushSource(code, piece, b, l.b);
  if (c) pushSource(code, piece, c, l.c);
  if (d) pushSource(code, piece, d, l.result);
  lanes({ a: isNormal(a), b: isNormal(b), c: isNormal(c), anyNan: true, noDenormals })(code, l);
  code.get(l.result).set(localOf(to));
  normal.delete(to);
  anyNan.delete(to);
  if (numbers) {
    normal.add(to);
    anyNan.add(to);
  }
}

/** What an instruction does to each chunk of vectors, if it does nothing else. */
export function vectorStep(i: Instruction): Step | undefined {
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

export function sourcesOf(step: Step): readonly Source[] {
  if (step.kind === 'transfer') return step.plan.loading ? [] : [{ at: step.plan.register }];
  if (step.kind === 'move') return [step.from];
  const { a, b, c, d } = step.operation;
  return [a, b, c, d].filter((source) => source !== undefined);
}

export function readsOf(step: Step): readonly number[] {
  return sourcesOf(step).flatMap((source) => ('at' in source ? [source.at] : []));
}

export function writesOf(step: Step): readonly number[] {
  if (step.kind === 'transfer') return step.plan.loading ? [step.plan.register] : [];
  return [step.kind === 'move' ? step.to : step.operation.to];
}

/** Registers whose content from before the round is read in it. */
export function carriedOf(steps: readonly Step[]): readonly number[] {
  const written = new Set<number>();
  const carried = new Set<number>();
  for (const step of steps) {
    for (const at of readsOf(step)) if (!written.has(at)) carried.add(at);
    for (const at of writesOf(step)) written.add(at);
  }
  return [...carried];
}

/** Steps in their order, apart where they have no register in common. */
export function groupsOf(steps: readonly Step[]): readonly (readonly Step[])[] {
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
