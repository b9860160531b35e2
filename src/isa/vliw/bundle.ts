/**
 * A VLIW instruction as decoded: what an interpreter, a compiler, a debugger and the disassembler see. Names, not
 * bits: which bit is which is the business of the rows and the codec.
 */

export type Slot = 'load' | 'spu' | 'vpu' | 'store';

export const slots = ['load', 'spu', 'vpu', 'store'] as const satisfies readonly Slot[];

/** Suffixes of mnemonics, e.g. `add.i32`. */
export type DataType =
  | 'f32'
  | 'bf16'
  | 'i32'
  | 'u32'
  | 'i8'
  | 'u8'
  | 'b'
  | 'i16'
  | 'u16'
  | 'i4'
  | 'u4'
  | 'f16'
  | 'f8_152'
  | 'f8_143'
  | 'i64';

/**
 * Register files: V vectors, D and A pairs and quads of them, S scalars, Z pairs of them, I index vectors, AD addresses,
 * SP and VP predicates, HW registers that have a name instead of a number. Number of a D, A or Z is that of its first
 * register.
 */
export type RegisterFile = 'V' | 'D' | 'A' | 'S' | 'Z' | 'I' | 'AD' | 'SP' | 'VP' | 'HW';

export interface RegisterOperand {
  readonly kind: 'register';
  readonly file: RegisterFile;
  readonly number: number;
}

/** The value of the bundle's one immediate: 32 bits, as an unsigned number. */
export interface ImmediateOperand {
  readonly kind: 'immediate';
  readonly value: number;
}

/** A number in the operand's own field: a tensor, a dimension, a function, a count. */
export interface NumberOperand {
  readonly kind: 'number';
  readonly value: number;
}

export type Operand = RegisterOperand | ImmediateOperand | NumberOperand;

/** Absent where the instruction is always done. */
export interface Predicate {
  readonly file: 'SP' | 'VP';
  readonly number: number;
  readonly inverted: boolean;
}

/** A flag is a boolean; a choice is the name of its value, or a number where its values are numbers. */
export type SwitchValue = boolean | string | number;

export interface Instruction<Mnemonic extends string = string> {
  readonly slot: Slot;
  /** In lower case; the key of the row. */
  readonly mnemonic: Mnemonic;
  readonly type: DataType | undefined;
  /** In the order of the assembly line; a destination is the first. */
  readonly operands: readonly Operand[];
  /** What each operand is, in the same order, e.g. `dest`, `a`, `tensor`, `coords`. */
  readonly roles: readonly string[];
  /** Every switch of the row, with its default where the text says nothing. */
  readonly switches: Readonly<Record<string, SwitchValue>>;
  readonly predicate: Predicate | undefined;
  /** Bit n: dimension n of the index register is written. Undefined where the form has no mask. */
  readonly dimMask: number | undefined;
}

/** A slot that does nothing is undefined. */
export interface Bundle<
  L extends string = string,
  S extends string = string,
  V extends string = string,
  T extends string = string,
> {
  readonly kind: 'bundle';
  readonly load: Instruction<L> | undefined;
  readonly spu: Instruction<S> | undefined;
  readonly vpu: Instruction<V> | undefined;
  readonly store: Instruction<T> | undefined;
  /** Unsigned; 0 where no slot uses it. */
  readonly imm: number;
}

export const comparisons = ['>', '>=', '<', '<=', '==', '!='] as const;
export type Comparison = (typeof comparisons)[number];

/** The LOOP instruction, which is a bundle of its own. */
export interface Loop {
  readonly kind: 'loop';
  readonly start: RegisterOperand | ImmediateOperand;
  readonly boundary: RegisterOperand | ImmediateOperand;
  readonly step: RegisterOperand | ImmediateOperand;
  readonly comparison: Comparison;
  /** Bytes from the LOOP to the last bundle of its body. */
  readonly endOffset: number;
  readonly repeatAtMostOnce: boolean;
  readonly predicate: Predicate | undefined;
}

/** Bytes of a bundle, and of a LOOP. */
export const BUNDLE_BYTES = 32;

/** Instructions whose results reach the accumulators of each other sooner than other operands. */
export interface Chain {
  readonly name: string;
  /** Bundles until the accumulator of another of the chain sees a result. */
  readonly bundles: number;
}

/** What a set of VLIW instructions offers to those who execute programs. */
export interface VliwDecoder<L extends string, S extends string, V extends string, T extends string> {
  /**
   * The 32 bytes at `offset`.
   * @throws ModelError `guest` where they are cut off, `unsupported` for an opcode, type, form or register that the chip
   * does not have, `undefined` for bits that are set where the encoding has none
   */
  decodeBundle(bytes: Uint8Array, offset?: number): Bundle<L, S, V, T> | Loop;
  /** All bundles. @throws ModelError that names the offset */
  decodeProgram(bytes: Uint8Array): readonly (Bundle<L, S, V, T> | Loop)[];
  /**
   * Bundles after which another instruction of the same slot reads the result; 1 = the next one. An instruction without
   * result, or whose latency is not public, has 1.
   */
  latencyOf(instruction: Instruction<L | S | V | T>): number;
  /** The chain that an instruction's result, and its accumulator, belong to. */
  chainOf(instruction: Instruction<L | S | V | T>): Chain | undefined;
  /** Whether its destination is an operand, too. */
  accumulates(instruction: Instruction<L | S | V | T>): boolean;
  /** Whether its result comes from memory, so that who reads it too early waits. */
  loads(instruction: Instruction<L | S | V | T>): boolean;
}
