/**
 * Code for single instructions, bit for bit what their bodies do while ROUND_CSR says round to nearest. What is not here is
 * not compiled: the interpreter does it.
 */

import type { Instruction, Operand } from '../../isa/vliw/bundle.ts';
import * as layout from '../layout.ts';
import { offsetOf, operand, register } from '../operands.ts';
import type { Code, PlainOpcode, SimdOpcode } from './encoder.ts';

/** Vectors that code may use: locals of the function. */
export interface Locals {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly result: number;
  /** The one i32: an address. */
  readonly address: number;
}

/** An emitter, or undefined where the instruction is not compiled. */
export type Emit = (code: Code, locals: Locals) => void;

export const CHUNK = 16;
export const CHUNKS = layout.VECTOR_BYTES / CHUNK;
export const MIN_NORMAL = 0x00800000;
export const ABS = 0x7fffffff;
const NAN = 0x7fffffff;
const INFINITY = 0x7f800000;

/** Chooses lanes by a mask of whole lanes. */
export function laneselect(): SimdOpcode {
  return fused() ? 'i32x4.relaxed_laneselect' : 'v128.bitselect';
}

/** The local's f32 lanes with denormals as zeros of their sign. */
export function flush(code: Code, local: number): void {
  code
    .get(local)
    .get(local)
    .op('f32x4.abs')
    .splat(MIN_NORMAL)
    .op('f32x4.lt')
    .splat(ABS)
    .op('v128.and', 'v128.andnot')
    .set(local);
}

/** The local's f32 lanes with every NaN as the one that the core has. */
export function canonical(code: Code, local: number): void {
  code.splat(NAN).get(local).get(local).get(local).op('f32x4.ne', laneselect()).set(local);
}

/** What is known of vector registers, by their offset in the state, throughout a loop. */
export interface Knowledge {
  /** All lanes are f32 numbers that are not denormal. */
  readonly normal: (offset: number) => boolean;
  /** Only read as f32 numbers: which NaN it holds matters first when the loop has ended. */
  readonly anyNan: (offset: number) => boolean;
}

/** What to do with the lanes of one chunk: operands in locals a and b (and c), result left in `result`. */
export type Lanes = (code: Code, locals: Locals) => void;

/** Which of the operands a, b, c need not be flushed, and whether the result's NaN may be any. */
export interface Shortcuts {
  readonly a: boolean;
  readonly b: boolean;
  readonly c: boolean;
  readonly anyNan: boolean;
  /** No result can be denormal. */
  readonly noDenormals?: boolean;
}

const isPlain = (i: Instruction, flags: readonly string[]) => flags.every((flag) => i.switches[flag] !== true);

function f32Lanes(i: Instruction, known: Shortcuts): Lanes | undefined {
  const binary =
    (op: SimdOpcode, negated = false): Lanes =>
    (code, l) => {
      if (!known.a) flush(code, l.a);
      if (!known.b) flush(code, l.b);
      code.get(l.a).get(l.b).op(op).set(l.result);
      if (!known.noDenormals) flush(code, l.result);
      if (negated) code.get(l.result).op('f32x4.neg').set(l.result);
      if (!known.anyNan) canonical(code, l.result);
    };
  switch (i.mnemonic) {
    case 'add':
      return isPlain(i, ['st', 'carry']) ? binary('f32x4.add') : undefined;
    case 'sub':
      return isPlain(i, ['st']) ? binary('f32x4.sub', i.switches.neg === true) : undefined;
    case 'mul':
      return binary('f32x4.mul');
    case 'max':
      return extremumLanes(i, known, 'max');
    case 'min':
      return extremumLanes(i, known, 'min');
    case 'mac':
      if (!isPlain(i, ['st', 'acc_fp32']) || !fused()) return undefined;
      return (code, l) => {
        if (!known.a) flush(code, l.a);
        if (!known.b) flush(code, l.b);
        if (!known.c) flush(code, l.c);
        const op = i.switches.neg === true ? 'f32x4.relaxed_nmadd' : 'f32x4.relaxed_madd';
        code.get(l.a).get(l.b).get(l.c).op(op).set(l.result);
        if (!known.noDenormals) flush(code, l.result);
        if (!known.anyNan) canonical(code, l.result);
      };
    default:
      return undefined;
  }
}

/**
 * MAX and MIN. Against a word other than the zero that loses against the other zero, one comparison does; its result is that
 * word for a NaN, too.
 */
function extremumLanes(i: Instruction, known: Shortcuts, which: 'max' | 'min'): Lanes {
  const b = operand(i, 'b');
  const word = b.kind === 'register' ? undefined : b.value >>> 0;
  const magnitude = (word ?? 0) & ABS;
  const plain =
    word !== undefined &&
    (word === (which === 'max' ? 0 : 0x80000000) || (magnitude >= MIN_NORMAL && magnitude <= INFINITY));
  if (!plain || !fused()) {
    return (code, l) => {
      if (!known.a) flush(code, l.a);
      if (!known.b) flush(code, l.b);
      code.get(l.a).get(l.b).op(`f32x4.${which}`).set(l.result);
      if (!known.anyNan) canonical(code, l.result);
    };
  }
  return (code, l) => {
    if (word === 0) {
      // What is at least the least normal number, and else 0.
      code.get(l.a).get(l.a).splat(MIN_NORMAL).op('f32x4.ge', 'v128.and').set(l.result);
    } else {
      if (!known.a) flush(code, l.a);
      code.splat(word).get(l.a).op(`f32x4.p${which}`).set(l.result);
    }
    code.splat(NAN).get(l.result).get(l.a).get(l.a).op('f32x4.ne', 'i32x4.relaxed_laneselect').set(l.result);
  };
}

const wordOps: Readonly<Record<string, SimdOpcode | { readonly i32: SimdOpcode; readonly u32: SimdOpcode }>> = {
  add: 'i32x4.add',
  sub: 'i32x4.sub',
  and: 'v128.and',
  or: 'v128.or',
  xor: 'v128.xor',
  max: { i32: 'i32x4.max_s', u32: 'i32x4.max_u' },
  min: { i32: 'i32x4.min_s', u32: 'i32x4.min_u' },
};

function wordLanes(i: Instruction): Lanes | undefined {
  if (i.mnemonic === 'shl' || i.mnemonic === 'shr' || i.mnemonic === 'ash') return shiftLanes(i);
  const bitwise = i.mnemonic === 'and' || i.mnemonic === 'or' || i.mnemonic === 'xor';
  const type = i.type === 'i32' || i.type === 'u32' ? i.type : undefined;
  // A word is the same in all lanes; narrow ones take its low bits.
  const narrow = i.type !== 'f32' && !type;
  const words = ['a', 'b'].some((role) => !isVector(operand(i, role)));
  if ((!type && !bitwise) || (narrow && words) || !isPlain(i, ['st', 'carry', 'neg'])) return undefined;
  const found = Object.hasOwn(wordOps, i.mnemonic) ? wordOps[i.mnemonic] : undefined;
  const op = typeof found === 'object' ? found[type ?? 'i32'] : found;
  return op ? (code, l) => void code.get(l.a).get(l.b).op(op).set(l.result) : undefined;
}

function isVector(o: Operand): boolean {
  return o.kind === 'register' && o.file === 'V';
}

/** Shifts of 32-bit lanes by the same amount, known here. */
function shiftLanes(i: Instruction): Lanes | undefined {
  const amount = operand(i, 'b');
  if (amount.kind !== 'immediate' || !['i32', 'u32', 'f32'].includes(String(i.type))) return undefined;
  const by = amount.value & 0xff;
  const shifted =
    (op: SimdOpcode, count: number): Lanes =>
    (code, l) =>
      void code.get(l.a).constant(count).op(op).set(l.result);
  if (i.mnemonic === 'ash') {
    // To the right, that is by a negative byte; to the left it saturates.
    const right = 256 - by;
    if (i.switches.rhu === true || by < 128 || right > 31 || i.type === 'f32') return undefined;
    return shifted(i.type === 'i32' ? 'i32x4.shr_s' : 'i32x4.shr_u', right);
  }
  if (by > 31) return undefined;
  return shifted(i.mnemonic === 'shl' ? 'i32x4.shl' : 'i32x4.shr_u', by);
}

const comparisons: Readonly<Record<string, readonly [f32: SimdOpcode, i32: SimdOpcode, u32: SimdOpcode]>> = {
  eq: ['f32x4.eq', 'i32x4.eq', 'i32x4.eq'],
  neq: ['f32x4.ne', 'i32x4.ne', 'i32x4.ne'],
  less: ['f32x4.lt', 'i32x4.lt_s', 'i32x4.lt_u'],
  leq: ['f32x4.le', 'i32x4.le_s', 'i32x4.le_u'],
  grt: ['f32x4.gt', 'i32x4.gt_s', 'i32x4.gt_u'],
  geq: ['f32x4.ge', 'i32x4.ge_s', 'i32x4.ge_u'],
};

/** Is the operand a vector of the register file, or the same word in all lanes? */
export type Source = { readonly at: number } | { readonly word: number } | { readonly scalar: number };

export function sourceOf(i: Instruction, o: Operand): Source | undefined {
  if (o.kind !== 'register') return { word: o.value };
  if (o.number >= layout.GENERAL_VECTORS && o.file === 'V' && o.number < 42) return undefined;
  if (o.file === 'V') return { at: offsetOf(i, o) };
  if (o.file === 'S' && o.number < layout.SCALARS) return { scalar: offsetOf(i, o) };
  return undefined;
}

/** Whether a source is a word that is known, and as f32 not denormal. */
export function isNormalWord(source: Source): boolean {
  if (!('word' in source)) return false;
  const magnitude = source.word & ABS;
  return magnitude === 0 || magnitude >= MIN_NORMAL;
}

export function loadChunk(code: Code, source: Source, chunk: number): void {
  if ('at' in source) code.loadVector(source.at + chunk * CHUNK);
  else if ('word' in source) code.splat(source.word);
  else code.load(source.scalar).op('i32x4.splat');
}

const roundings: Readonly<Record<string, SimdOpcode>> = {
  default: 'f32x4.nearest',
  rhne: 'f32x4.nearest',
  rne: 'f32x4.nearest',
  rz: 'f32x4.trunc',
  rd: 'f32x4.floor',
  ru: 'f32x4.ceil',
};

/** Operations of one operand: |a|, and conversions between f32 and words. */
function unaryLanes(i: Instruction, known: Shortcuts): Lanes | undefined {
  if (i.mnemonic === 'abs') {
    if (i.type !== 'f32') return undefined;
    return (code, l) => {
      if (!known.a) flush(code, l.a);
      code.get(l.a).op('f32x4.abs').set(l.result);
      canonical(code, l.result);
    };
  }
  const rounding = roundings[String(i.switches.rm ?? 'default')];
  if (i.mnemonic !== 'convert' || !rounding) return undefined;
  const target = i.switches.target_type;
  if (i.type === 'f32' && (target === 'int32' || target === 'uint32')) {
    const convert = target === 'int32' ? 'i32x4.trunc_sat_f32x4_s' : 'i32x4.trunc_sat_f32x4_u';
    return (code, l) => {
      if (!known.a) flush(code, l.a);
      code.get(l.a).op(rounding, convert).set(l.result);
    };
  }
  if ((i.type !== 'i32' && i.type !== 'u32') || target !== 'fp32' || rounding !== 'f32x4.nearest') return undefined;
  const convert = i.type === 'i32' ? 'f32x4.convert_i32x4_s' : 'f32x4.convert_i32x4_u';
  return (code, l) => void code.get(l.a).op(convert).set(l.result);
}

/** An operation on the lanes of a vector, each for itself. */
export interface LaneOperation {
  readonly mnemonic: string;
  readonly a: Source;
  readonly b: Source;
  /** The third operand: of a selection, or what MAC adds to. */
  readonly c: Source | undefined;
  readonly d: Source | undefined;
  /** Offset of the destination in the state. */
  readonly to: number;
  /** Operands a and b are taken for f32 numbers; with `numbers` c and the result too. */
  readonly compares: boolean;
  readonly numbers: boolean;
  readonly lanes: (known: Shortcuts) => Lanes;
}

/** What an instruction of the vector unit does with lanes, or undefined where that is not compiled. */
export function laneOperation(i: Instruction): LaneOperation | undefined {
  if (i.mnemonic === 'nop' || i.mnemonic === 'mov' || i.predicate) return undefined;
  const dest = register(i, 'dest');
  if (dest.file !== 'V' || dest.number >= layout.GENERAL_VECTORS) return undefined;
  const to = offsetOf(i, dest);
  const selecting = i.mnemonic.startsWith('sel_');
  if (!i.roles.includes('a')) return undefined;
  const unary = !i.roles.includes('b');
  const a = sourceOf(i, operand(i, 'a'));
  const b: Source | undefined = unary ? { word: 0 } : sourceOf(i, operand(i, 'b'));
  const numbers = givesNumbers(i);
  const lanesFor = (known: Shortcuts) =>
    unary ? unaryLanes(i, known) : selecting ? selectLanes(i) : numbers ? f32Lanes(i, known) : wordLanes(i);
  if (!lanesFor({ a: false, b: false, c: false, anyNan: false })) return undefined;
  const c = selecting ? sourceOf(i, operand(i, 'c')) : i.mnemonic === 'mac' ? { at: to } : undefined;
  const d = selecting ? sourceOf(i, operand(i, 'd')) : undefined;
  if (!a || !b || (selecting && (!c || !d))) return undefined;
  const lanes = (known: Shortcuts) => lanesFor(known) as Lanes;
  const { mnemonic } = i;
  return { mnemonic, a, b, c, d, to, numbers, compares: numbers || ((selecting || unary) && i.type === 'f32'), lanes };
}

/** Changes `result` before it becomes the chunk at an offset in the state. */
export type Finish = (code: Code, l: Locals, chunk: number) => void;

/** An instruction of the vector unit. */
export function emitVector(i: Instruction, known: Knowledge, finish?: Finish): Emit | undefined {
  if (i.mnemonic === 'mov') return finish ? undefined : emitMove(i);
  const operation = laneOperation(i);
  if (!operation) return undefined;
  const { a, b, c, d, to } = operation;
  const normal = (source: Source) => ('at' in source ? known.normal(source.at) : isNormalWord(source));
  const lanes = operation.lanes({ a: normal(a), b: normal(b), c: known.normal(to), anyNan: known.anyNan(to) });
  return (code, l) => {
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      loadChunk(code, a, chunk);
      code.set(l.a);
      loadChunk(code, b, chunk);
      code.set(l.b);
      if (c) {
        loadChunk(code, c, chunk);
        code.set(l.c);
      }
      if (d) {
        loadChunk(code, d, chunk);
        code.set(l.result);
      }
      lanes(code, l);
      finish?.(code, l, chunk);
      code
        .at()
        .get(l.result)
        .storeVector(to + chunk * CHUNK);
    }
  };
}

/** The comparison of 32-bit lanes that CMP_x or SEL_x does. */
export function comparisonOf(i: Instruction): SimdOpcode | undefined {
  const name = i.mnemonic.slice(4);
  const kind = ['f32', 'i32', 'u32'].indexOf(String(i.type));
  if (kind < 0 || i.switches.mask_eq_zero === true || !Object.hasOwn(comparisons, name)) return undefined;
  return comparisons[name]?.[kind];
}

function selectLanes(i: Instruction): Lanes | undefined {
  const op = comparisonOf(i);
  if (!op) return undefined;
  return (code, l) => {
    if (i.type === 'f32') {
      flush(code, l.a);
      flush(code, l.b);
    }
    code.get(l.c).get(l.result).get(l.a).get(l.b).op(op, laneselect()).set(l.result);
  };
}

const f32Mnemonics = ['add', 'sub', 'mul', 'max', 'min', 'mac'];

/** Whether the result of a vector instruction is f32 numbers, flushed. */
export function givesNumbers(i: Instruction): boolean {
  return i.slot === 'vpu' && i.type === 'f32' && f32Mnemonics.includes(i.mnemonic);
}

export interface TransferPlan {
  readonly index: number;
  /** Offsets in the state of the vector, of the coordinates, and of the words that tell where the tensor is. */
  readonly register: number;
  readonly coordinates: number;
  readonly table: number;
  readonly loading: boolean;
}

/** Words of a transfer's table: the tensor's address or -1; a limit for each coordinate; bytes from one to the next. */
export const transferWords = { base: 0, limits: 1, strides: 1 + layout.DIMENSIONS } as const;

/**
 * Moves a vector between a tensor in this memory and a register. Where the table does not say that all of it is inside, the
 * transfer is called: it does it, or tells the address.
 */
export function emitTransfer(code: Code, l: Locals, plan: TransferPlan): void {
  const word = (n: number) => plan.table + 4 * n;
  code.load(word(transferWords.base)).constant(-1).op('i32.ne');
  for (let d = 0; d < layout.DIMENSIONS; d++) {
    code
      .load(plan.coordinates + 4 * d)
      .load(word(transferWords.limits + d))
      .op('i32.lt_u', 'i32.and');
  }
  code.if().load(word(transferWords.base));
  for (let d = 0; d < layout.DIMENSIONS; d++) {
    code
      .load(plan.coordinates + 4 * d)
      .load(word(transferWords.strides + d))
      .op('i32.mul', 'i32.add');
  }
  code.set(l.address).op('else').constant(plan.index).call(0).set(l.address).op('end');
  code.get(l.address).constant(0).op('i32.ge_s').if();
  for (let chunk = 0; chunk < CHUNKS; chunk++) {
    const offset = chunk * CHUNK;
    if (plan.loading)
      code
        .at()
        .loadVectorAt(l.address, offset)
        .storeVector(plan.register + offset);
    else
      code
        .get(l.address)
        .loadVector(plan.register + offset)
        .storeVectorAt(offset);
  }
  code.op('end');
}

/** Gives a register's NaNs the core's bits. */
export function canonicalize(code: Code, l: Locals, register: number): void {
  for (let chunk = 0; chunk < CHUNKS; chunk++) {
    code.loadVector(register + chunk * CHUNK).set(l.result);
    canonical(code, l.result);
    code
      .at()
      .get(l.result)
      .storeVector(register + chunk * CHUNK);
  }
}

/** MOV of words: registers of a file to the same, and scalars to vectors. */
export function emitMove(i: Instruction): Emit | undefined {
  const dest = register(i, 'dest');
  const source = sourceOf(i, operand(i, 'a'));
  if (i.predicate?.file === 'VP' || !source || i.roles.includes('flavor')) return undefined;
  if (dest.file === 'V' && dest.number < layout.GENERAL_VECTORS) {
    if (!('at' in source) && i.type !== undefined && !['f32', 'i32', 'u32', 'b'].includes(i.type)) return undefined;
    const to = offsetOf(i, dest);
    return (code) => {
      for (let chunk = 0; chunk < CHUNKS; chunk++) {
        code.at();
        loadChunk(code, source, chunk);
        code.storeVector(to + chunk * CHUNK);
      }
    };
  }
  if (dest.file === 'S' && dest.number < layout.LOOP_COUNTER && !('at' in source)) {
    const to = offsetOf(i, dest);
    return (code) => {
      code.at();
      pushWord(code, source);
      code.store(to);
    };
  }
  return undefined;
}

function pushWord(code: Code, source: Source): void {
  if ('word' in source) code.constant(source.word);
  else if ('scalar' in source) code.load(source.scalar);
}

const scalarOps: Readonly<Record<string, PlainOpcode>> = {
  add: 'i32.add',
  sub: 'i32.sub',
  mul: 'i32.mul',
  and: 'i32.and',
  or: 'i32.or',
  xor: 'i32.xor',
};

const scalarComparisons: Readonly<Record<string, readonly [i32: PlainOpcode, u32: PlainOpcode]>> = {
  cmp_eq: ['i32.eq', 'i32.eq'],
  cmp_neq: ['i32.ne', 'i32.ne'],
  cmp_less: ['i32.lt_s', 'i32.lt_u'],
  cmp_leq: ['i32.le_s', 'i32.le_u'],
  cmp_grt: ['i32.gt_s', 'i32.gt_u'],
  cmp_geq: ['i32.ge_s', 'i32.ge_u'],
};

/** An instruction of the scalar unit: words in scalar and index registers. */
export function emitScalar(i: Instruction): Emit | undefined {
  const dest = register(i, 'dest');
  if (i.mnemonic === 'mov') return dest.file === 'I' ? emitIndex(i, undefined) : emitMove(i);
  if (i.mnemonic === 'set_indx') return emitIndex(i, undefined);
  if (!i.roles.includes('a') || !i.roles.includes('b')) return undefined;
  if (!isPlain(i, ['st', 'carry', 'neg', 'acc_fp32', 'upper32', 'mask_eq_zero'])) return undefined;
  const op = Object.hasOwn(scalarOps, i.mnemonic) ? scalarOps[i.mnemonic] : undefined;
  if (dest.file === 'I') return op ? emitIndex(i, op) : undefined;
  if (i.type !== 'i32' && i.type !== 'u32') return undefined;
  const compare = Object.hasOwn(scalarComparisons, i.mnemonic) ? scalarComparisons[i.mnemonic] : undefined;
  const chosen = dest.file === 'SP' ? compare?.[i.type === 'i32' ? 0 : 1] : dest.file === 'S' ? op : undefined;
  if (
    !chosen ||
    !dest ||
    (dest.file === 'S' && dest.number >= layout.LOOP_COUNTER) ||
    (dest.file === 'SP' && dest.number === 0)
  ) {
    return undefined;
  }
  const [a, b] = [sourceOf(i, operand(i, 'a')), sourceOf(i, operand(i, 'b'))];
  if (!a || !b || 'at' in a || 'at' in b) return undefined;
  const to = offsetOf(i, dest);
  return (code) => {
    code.at();
    pushWord(code, a);
    pushWord(code, b);
    code.op(chosen).store(to);
  };
}

/** An operation on the dimensions of index registers; `undefined` sets them to operand a. */
function emitIndex(i: Instruction, op: PlainOpcode | undefined): Emit | undefined {
  const to = offsetOf(i, register(i, 'dest'));
  const word = (role: string) => {
    const o = operand(i, role);
    if (o.kind === 'register' && o.file === 'I') {
      const from = offsetOf(i, o);
      return (code: Code, d: number) => void code.load(from + 4 * d);
    }
    const source = sourceOf(i, o);
    return source && !('at' in source) ? (code: Code) => pushWord(code, source) : undefined;
  };
  const a = word('a');
  const b = op ? word('b') : undefined;
  if (!a || (op && !b)) return undefined;
  const mask = i.dimMask ?? 0x1f;
  return (code) => {
    for (let d = 0; d < layout.DIMENSIONS; d++) {
      if (!((mask >> d) & 1)) continue;
      code.at();
      a(code, d);
      if (op && b) {
        b(code, d);
        code.op(op);
      }
      code.store(to + 4 * d);
    }
  };
}

let fusedHere: boolean | undefined;

/** Whether relaxed_madd rounds once on this machine, as MAC does: decided by asking it. */
export function fused(): boolean {
  fusedHere ??= probeFused();
  return fusedHere;
}

/** Set by `module.ts`, which can instantiate; kept apart so that this file only emits. */
let probeFused = (): boolean => false;

export function setFusedProbe(probe: () => boolean): void {
  probeFused = probe;
}
