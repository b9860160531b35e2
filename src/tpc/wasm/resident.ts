/**
 * A second form of loops that only compute, with nothing in memory: all rounds are done on a few pieces of vectors, and then
 * on the next ones, so that registers stay in locals from the first round to the last.
 *
 * Flushing results that are denormal costs more than the arithmetic, and can often be proven needless. If both terms of a sum
 * are multiples of some power of two then so is their sum, rounded or not: it is 0, or at least that power. So where all
 * numbers at the beginning are multiples of 2^-126, and those that are multiplied of 2^-63, no result is ever denormal. A
 * number of 24 bits is a multiple of 2^-126 if it is 0 or at least 2^-103, and of 2^-63 if it is 0 or at least 2^-40.
 *
 * As in the form for streams, registers that the body does not carry into the next round are not written.
 */

import type { Instruction } from '../../isa/vliw/bundle.ts';
import * as layout from '../layout.ts';
import {
  ABS,
  CHUNK,
  emitScalar,
  type Knowledge,
  type LaneOperation,
  type Locals,
  MIN_NORMAL,
  type Source,
} from './emit.ts';
import { Code, moduleBytes } from './encoder.ts';
import {
  carriedOf,
  emitStep,
  groupsOf,
  loadPiece,
  type Piece,
  pushSource,
  type Step,
  settlePiece,
  sourcesOf,
  storePiece,
  vectorStep,
  writesOf,
} from './steps.ts';
import { isScalar, wordsOf } from './streams.ts';

export interface ResidentLoop {
  /** All instructions of the body, in an order in which they can be done one after the other. */
  readonly instructions: readonly Instruction[];
  readonly knowledge: Knowledge;
  /** Offset of the loop's counter, and its step. */
  readonly counter: number;
  readonly step: number;
  readonly memoryPages: number;
}

/** Vectors that are in locals at a time: what a processor has no register for goes to its stack. */
const MAX_LOCALS = 16;
/** Pieces that are under way at once: chains of operations that do not wait for each other. */
const MAX_PIECES = 8;
const MAX_STEPS = 48;

/** Locals: rounds, address of the pieces, rounds that are left, whether to flush; then vectors. */
const ROUNDS = 0;
const BASE = 1;
const LEFT = 2;
const SLOW = 3;
const WORDS = 3;
const VECTORS = 1 + WORDS;
const l: Locals = { address: BASE, a: VECTORS, b: VECTORS + 1, c: VECTORS + 2, result: VECTORS + 3 };
const MIN_LOCAL = VECTORS + 4;
const ABS_LOCAL = VECTORS + 5;
const FIRST = VECTORS + 6;

/** What numbers are multiples of: 2^-63, or 2^-126. */
type Grain = 'coarse' | 'fine';
/** Bits of the least numbers of 24 bits that are multiples of it: 2^-40, 2^-103. */
const least: Readonly<Record<Grain, number>> = { coarse: (127 - 40) << 23, fine: (127 - 103) << 23 };

/** A module as that of `streamModule`, which leaves no rounds; undefined for loops that are not of this kind. */
export function residentModule(loop: ResidentLoop): Uint8Array<ArrayBuffer> | undefined {
  const scalars: Instruction[] = [];
  const steps: Step[] = [];
  for (const i of loop.instructions) {
    if (i.predicate) return undefined;
    if (i.mnemonic === 'nop') continue;
    const step = vectorStep(i);
    if (step) steps.push(step);
    else if ((i.slot === 'spu' || i.slot === 'load') && isScalar(i) && emitScalar(i)) scalars.push(i);
    else return undefined;
  }
  if (steps.length === 0 || steps.length > MAX_STEPS) return undefined;
  // A scalar that the body changes is another one in each round.
  const changed = new Set(scalars.flatMap(wordsOf));
  const read = steps.flatMap(sourcesOf).flatMap((source) => ('scalar' in source ? [source.scalar] : []));
  if (read.some((at) => changed.has(at) || at === loop.counter)) return undefined;

  const code = new Code().pin(MIN_NORMAL, MIN_LOCAL).pin(ABS, ABS_LOCAL);
  code.get(ROUNDS).set(LEFT).loop();
  for (const i of scalars) emitScalar(i)?.(code, l);
  code.at().load(loop.counter).constant(loop.step).op('i32.add').store(loop.counter);
  code.get(LEFT).constant(1).op('i32.sub').tee(LEFT).branchIf(0).op('end');
  let vectors = 0;
  for (const group of groupsOf(steps)) vectors = Math.max(vectors, emitGroup(code, group, loop.knowledge));
  code.constant(0);
  return moduleBytes({
    code,
    words: WORDS,
    vectors: FIRST - VECTORS + vectors,
    memoryPages: loop.memoryPages,
    result: true,
  });
}

/** All rounds of steps that have registers in common. The result is how many locals they need. */
function emitGroup(code: Code, steps: readonly Step[], knowledge: Knowledge): number {
  const carried = carriedOf(steps);
  const written = new Set(steps.flatMap(writesOf));
  const registers = [...new Set([...carried, ...written])];
  const kept = carried.filter((at) => written.has(at));
  let count = MAX_PIECES;
  while (count > 1 && count * registers.length > MAX_LOCALS) count /= 2;

  const pieces = (): readonly Piece[] =>
    Array.from({ length: count }, (_, n) => ({
      offset: n * CHUNK,
      base: BASE,
      localOf: (at: number) => FIRST + n * registers.length + registers.indexOf(at),
      normal: new Set<number>(),
      anyNan: new Set<number>(),
    }));
  const rounds = (all: readonly Piece[], noDenormals: boolean): void => {
    code.get(ROUNDS).set(LEFT).loop();
    for (const step of steps) for (const piece of all) emitStep(code, l, piece, step, noDenormals);
    // The next round knows of them what this one knew when it began.
    for (const piece of all) settlePiece(code, piece, kept, knowledge);
    code.get(LEFT).constant(1).op('i32.sub').tee(LEFT).branchIf(0).op('end');
    for (const piece of all) storePiece(code, piece, kept);
  };
  const load = (known: Knowledge): readonly Piece[] => {
    const all = pieces();
    for (const piece of all) loadPiece(code, piece, carried, known);
    return all;
  };

  const grains = grainsOf(steps);
  code.constant(0).set(BASE).loop();
  if (grains) {
    const all = load({ ...knowledge, normal: () => true });
    code.splat(0).set(l.result);
    for (const { source, grain } of grains) {
      if ('at' in source && !carried.includes(source.at)) continue;
      for (const piece of 'at' in source ? all : all.slice(0, 1)) noteUnder(code, piece, source, grain);
    }
    code.get(l.result).op('v128.any_true').tee(SLOW).op('i32.eqz').if();
    rounds(all, true);
    code.op('end').get(SLOW).if();
  }
  rounds(load(knowledge), false);
  if (grains) code.op('end');
  code
    .get(BASE)
    .constant(count * CHUNK)
    .op('i32.add')
    .tee(BASE);
  code.constant(layout.VECTOR_BYTES).op('i32.lt_u').branchIf(0).op('end');
  return count * registers.length;
}

/** Adds lanes to `result` that are neither 0 nor multiples. What is infinite or NaN stays so, or becomes it. */
function noteUnder(code: Code, piece: Piece, source: Source, grain: Grain): void {
  pushSource(code, piece, source, l.a);
  code.get(l.a).splat(ABS).op('v128.and').splat(least[grain]).op('f32x4.lt');
  code.get(l.a).splat(0).op('f32x4.ne', 'v128.and').get(l.result).op('v128.or').set(l.result);
}

/**
 * What the numbers that the steps begin with have to be multiples of, so that no result is denormal; undefined where that is
 * not known.
 */
function grainsOf(steps: readonly Step[]): readonly { readonly source: Source; readonly grain: Grain }[] | undefined {
  if (steps.some((step) => step.kind === 'transfer' || (step.kind === 'lanes' && !step.operation.numbers))) {
    return undefined;
  }
  const written = new Map<number, Grain>();
  const grainOf = (source: Source | undefined): Grain =>
    (source && 'at' in source ? written.get(source.at) : undefined) ?? 'coarse';
  // Once a register is fine it stays so: this ends.
  for (let before = -1; before !== finesOf(written); ) {
    before = finesOf(written);
    for (const step of steps) {
      const to = step.kind === 'move' ? step.to : step.kind === 'lanes' ? step.operation.to : -1;
      if (written.get(to) === 'fine') continue;
      written.set(to, resultOf(step, grainOf));
    }
  }
  const factors = steps.flatMap((step) =>
    step.kind === 'lanes' && multiplies(step.operation) ? [step.operation.a, step.operation.b] : [],
  );
  if (factors.some((source) => grainOf(source) === 'fine')) return undefined;
  const sources = new Map(steps.flatMap(sourcesOf).map((source) => [JSON.stringify(source), source]));
  return [...sources.values()].map((source) => ({ source, grain: grainOf(source) }));
}

function finesOf(grains: ReadonlyMap<number, Grain>): number {
  return [...grains.values()].filter((grain) => grain === 'fine').length;
}

function multiplies({ mnemonic }: LaneOperation): boolean {
  return mnemonic === 'mul' || mnemonic === 'mac';
}

function resultOf(step: Step, grainOf: (source: Source | undefined) => Grain): Grain {
  if (step.kind === 'transfer') return 'fine';
  if (step.kind === 'move') return grainOf(step.from);
  const { a, b, operation } = { ...step.operation, operation: step.operation };
  return multiplies(operation) || grainOf(a) === 'fine' || grainOf(b) === 'fine' ? 'fine' : 'coarse';
}
