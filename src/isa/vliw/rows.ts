/**
 * Instructions of a VLIW processor as rows of facts. Encoder, decoder, assembler, disassembler, proof, reference and
 * grammar all come from the rows; what an instruction does is a body found by its slot and name.
 *
 * A row's `forms` say which operands it takes, in the order of the assembly line, and where they are encoded:
 *
 * - `dest:V`            a vector register in field `dest`
 * - `b:V|S|imm`         in field `b` a vector or scalar register, or the bundle's immediate
 * - `b.0:4=tensor:n`    a number in bits 0 to 4 of field `b`; `tensor` is what the operand is called
 * - `IMM=mask:n`        a number in the bundle's immediate, of which no field tells
 * - `offset:S30`        a register that is implied: written, but not encoded
 * - `sw.2:6=mask:dims`  the mask of dimensions, e.g. `b00011`
 * - `{b.0:3=flavor:n?8}` may be left out, and is 8 then
 * - `b.0:4=tensor:t`    the number of a tensor
 * - `b=function:twice`  a number whose lower bits are in `b`, and all of it in the bundle's immediate
 * - `a=target:label`    a label or a distance in bytes, in the bundle's immediate
 * - `[b=8]`             a field that this form fixes
 * - `.type`, `.type=i32` the mnemonic has a data type, in field `type`; i32 where the text has none
 * - `.any`              the text may have a data type, which is not encoded
 * - `+st`               of the switches only this one; `+` none
 * - `?SP`, `?SP|VP`, `?` which predicate it takes, where the slot's rule does not hold
 */

import type { Chain, DataType, Instruction, RegisterFile, Slot, SwitchValue } from './bundle.ts';

/** A place in the bundle. Bit `lo` is bit lo % 8 of byte lo / 8. */
export interface BitRange {
  readonly lo: number;
  readonly width: number;
}

export function at(lo: number, hi: number): BitRange {
  return { lo, width: hi - lo + 1 };
}

export interface SlotLayout {
  readonly title: string;
  readonly doc: string;
  readonly opcode: BitRange;
  readonly fields: Readonly<Record<string, BitRange>>;
  readonly predicate: { readonly address: BitRange; readonly inverted: BitRange };
  /** Which predicates forms take that say nothing. */
  readonly predicates: 'SP' | 'SP|VP';
  /** What a register's number is encoded as: its own number and that of the first of its file. */
  readonly files: Readonly<Partial<Record<RegisterFile, number>>>;
  /** What a register field holds where the operand is the immediate. */
  readonly immediateMarker: number;
  readonly nop: string;
}

export interface RegisterFileRow {
  readonly file: RegisterFile;
  readonly count: number;
  /** How many registers of the file that it is made of: 2 for pairs, 4 for quads. */
  readonly span: number;
  /** The file whose registers these are pairs or quads of. */
  readonly of?: RegisterFile;
  /** Bits of one. */
  readonly bits: number;
  /** Registers with names instead of numbers. */
  readonly named: Readonly<Record<string, number>>;
  /** How many the widest encoding can name: what an assembler without limits accepts. */
  readonly encodable: number;
  readonly doc: string;
  readonly source: string;
}

export interface RegisterRef {
  readonly file: RegisterFile;
  readonly number: number;
}

export type Chip = 'goya' | 'gaudi' | 'gaudi2';

interface SwitchOptions {
  /** Data types that it is valid for; all unless said. */
  readonly types?: readonly DataType[];
  /** Valid only while other switches have these values. */
  readonly when?: Readonly<Record<string, SwitchValue>>;
  readonly aliases?: readonly string[];
  /** Values say what they are: printed without the name of the switch. */
  readonly bare?: boolean;
  /** A number that is this operand (from 0) means this switch. */
  readonly positional?: number;
  readonly unverified?: string;
}

export interface SwitchRow extends SwitchOptions {
  readonly kind: 'flag' | 'choice' | 'number';
  /** Field and bits, e.g. `sw.0` or `b.0:3`. */
  readonly at: string;
  readonly doc: string;
  /** Of a choice; a value may have several names, of which the first is printed. */
  readonly values?: Readonly<Record<string, number>>;
  readonly default: SwitchValue;
}

export function flag(place: string, doc: string, options: SwitchOptions = {}): SwitchRow {
  return { kind: 'flag', at: place, doc, default: false, ...options };
}

export function choice(
  place: string,
  values: Readonly<Record<string, number>>,
  doc: string,
  options: SwitchOptions & { readonly default?: string } = {},
): SwitchRow {
  return { kind: 'choice', at: place, doc, values, default: Object.keys(values)[0] ?? '', ...options };
}

export function number(place: string, doc: string, options: SwitchOptions = {}): SwitchRow {
  return { kind: 'number', at: place, doc, default: 0, ...options };
}

/** A form that holds only for some types or switches. */
export interface ConditionalForm {
  readonly form: string;
  readonly types?: readonly DataType[];
  readonly when?: Readonly<Record<string, SwitchValue>>;
  /** Switches that this form sets, whether the text names them or not. */
  readonly implies?: Readonly<Record<string, SwitchValue>>;
}

export interface InstructionFacts {
  readonly forms: readonly (string | ConditionalForm)[];
  /** What it does, as a functional model: operands by their names in the forms. */
  readonly operation: string;
  readonly types?: readonly DataType[];
  readonly switches?: Readonly<Record<string, SwitchRow>>;
  /** Bundles until another instruction of this slot may read the result; the slot's unless said. */
  readonly latency?: number | ((type: DataType | undefined) => number);
  /** The destination is an operand, too. */
  readonly accumulates?: true;
  /** Results reach accumulators of the same chain sooner than other operands. */
  readonly chain?: (type: DataType | undefined, switches: Instruction['switches']) => Chain | undefined;
  readonly aliases?: readonly string[];
  /** A whole slot of assembly. */
  readonly example: string;
  readonly source?: string;
  /** Chips whose instruction of that opcode and name this is; all unless said. */
  readonly chips?: readonly Chip[];
  /** Why what it does, or how it is encoded, is not certain. */
  readonly unverified?: string;
}

export interface InstructionRow extends InstructionFacts {
  readonly opcode: number;
  readonly doc: string;
}

export function instruction(opcode: number, doc: string, facts: InstructionFacts): InstructionRow {
  return { opcode, doc, ...facts };
}

export type InstructionRows = Readonly<Record<string, InstructionRow>>;

/** Where the fields of the LOOP bundle are. */
export interface LoopLayout {
  readonly opcode: number;
  readonly fields: Readonly<
    Record<
      | 'opcode'
      | 'start'
      | 'boundary'
      | 'step'
      | 'startIsImmediate'
      | 'boundaryIsImmediate'
      | 'stepIsImmediate'
      | 'repeatAtMostOnce'
      | 'inverted'
      | 'predicate'
      | 'boundaryImmediate'
      | 'stepImmediate'
      | 'endOffset'
      | 'comparison'
      | 'startImmediate',
      BitRange
    >
  >;
  readonly doc: string;
  readonly operation: string;
  readonly example: string;
  readonly source: string;
}

/** What compilers never put into one bundle, though it can be encoded. */
export interface PackingRule {
  readonly first: readonly [Slot, readonly string[]];
  readonly second: readonly [Slot, readonly string[]];
  readonly doc: string;
}

/** Bundles between an instruction that writes a register and one that may read it. */
export interface LatencyRule {
  readonly from: Slot;
  readonly file: RegisterFile;
  readonly to: Slot;
  /** Of the readers; all unless said. */
  readonly readers?: readonly string[];
  /** `own`: the latency of the writer's row. */
  readonly bundles: number | 'own';
  readonly plus?: number;
}

export interface VliwFacts<
  L extends InstructionRows = InstructionRows,
  S extends InstructionRows = InstructionRows,
  V extends InstructionRows = InstructionRows,
  T extends InstructionRows = InstructionRows,
> {
  readonly name: string;
  readonly title: string;
  readonly doc: string;
  readonly sources: Readonly<Record<string, string>>;
  readonly types: Readonly<Record<DataType, number>>;
  /** Types that no unit of the chip has. */
  readonly missingTypes: readonly DataType[];
  /** Tensor descriptors. */
  readonly tensors: number;
  readonly registers: readonly RegisterFileRow[];
  /** Registers that may be written for an implied one. */
  readonly synonyms: readonly { readonly name: RegisterRef; readonly means: RegisterRef }[];
  readonly imm: BitRange;
  /** Bits that are always 0. */
  readonly reserved: BitRange;
  readonly layouts: Readonly<Record<Slot, SlotLayout>>;
  readonly rows: { readonly load: L; readonly spu: S; readonly vpu: V; readonly store: T };
  readonly loop: LoopLayout;
  readonly packing: readonly PackingRule[];
  /** Bundles of latency where the row says nothing. */
  readonly latencies: Readonly<Record<Slot, number>>;
  /** Instructions that wait for memory, whose results are waited for in turn. */
  readonly loads: { readonly slot: Slot; readonly mnemonics: RegExp };
  /** The first that fits holds; where none does, the latency is not public. */
  readonly latencyRules: readonly LatencyRule[];
}
