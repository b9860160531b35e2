/** A set of VLIW instructions, compiled from its rows: decoding and encoding of bundles. */

import { ModelError } from '../../sim/errors.ts';
import { BUNDLE_WORDS, getBits, orBits, readWords, writeWords } from './bits.ts';
import {
  BUNDLE_BYTES,
  type Bundle,
  type Chain,
  type Instruction,
  type Loop,
  type Operand,
  type Slot,
  slots,
  type VliwDecoder,
} from './bundle.ts';
import { type DecodedSlot, SlotDecoder } from './decoder.ts';
import { EncodingFault, encodeInstruction } from './encoder.ts';
import { type CompiledInstruction, compileInstruction, type RegisterName, registerNames } from './forms.ts';
import { decodeLoop, encodeLoop } from './loop.ts';
import type { InstructionRows, VliwFacts } from './rows.ts';

/** A bundle as the decoder sees it, before it is made an object of its own. */
export interface RawBundle {
  readonly slots: Readonly<Record<Slot, DecodedSlot>>;
  readonly imm: number;
}

export interface VliwSet<
  L extends string = string,
  S extends string = string,
  V extends string = string,
  T extends string = string,
> extends VliwDecoder<L, S, V, T> {
  readonly name: string;
  readonly facts: VliwFacts;
  /** Instructions by slot and name, with their aliases. */
  readonly instructions: Readonly<Record<Slot, ReadonlyMap<string, CompiledInstruction>>>;
  readonly registers: ReadonlyMap<string, RegisterName>;
  /** Of a bundle that does nothing. */
  readonly nop: Uint8Array;
  /** @throws ModelError like decodeBundle */
  decodeRaw(bytes: Uint8Array, offset: number): RawBundle | Loop;
  /** @throws EncodingFault where an instruction cannot be encoded, or two use the same bits */
  encodeBundle(bundle: Bundle<L, S, V, T> | Loop): Uint8Array;
}

type Keys<R> = Extract<keyof R, string>;

export function vliwSet<
  L extends InstructionRows,
  S extends InstructionRows,
  V extends InstructionRows,
  T extends InstructionRows,
>(facts: VliwFacts<L, S, V, T>): VliwSet<Keys<L>, Keys<S>, Keys<V>, Keys<T>> {
  return new CompiledSet<Keys<L>, Keys<S>, Keys<V>, Keys<T>>(facts);
}

class CompiledSet<L extends string, S extends string, V extends string, T extends string>
  implements VliwSet<L, S, V, T>
{
  readonly name: string;
  readonly facts: VliwFacts;
  readonly instructions: Readonly<Record<Slot, ReadonlyMap<string, CompiledInstruction>>>;
  readonly registers: ReadonlyMap<string, RegisterName>;
  readonly nop: Uint8Array;
  readonly #decoders: Readonly<Record<Slot, SlotDecoder>>;
  readonly #words = new Uint32Array(BUNDLE_WORDS);

  constructor(facts: VliwFacts) {
    this.name = facts.name;
    this.facts = facts;
    this.registers = registerNames(facts.registers);
    const compiled = bySlot((slot) =>
      Object.entries(facts.rows[slot]).map(([name, row]) => compileInstruction(facts, slot, name, row)),
    );
    this.instructions = bySlot((slot) => {
      const names = new Map<string, CompiledInstruction>();
      for (const row of compiled[slot]) for (const name of [row.name, ...(row.row.aliases ?? [])]) names.set(name, row);
      return names;
    });
    this.#decoders = bySlot((slot) => new SlotDecoder(facts, slot, compiled[slot]));
    this.nop = this.encodeBundle({
      kind: 'bundle',
      load: undefined,
      spu: undefined,
      vpu: undefined,
      store: undefined,
      imm: 0,
    });
  }

  decodeRaw(bytes: Uint8Array, offset: number): RawBundle | Loop {
    if (offset < 0 || offset + BUNDLE_BYTES > bytes.length) {
      throw new ModelError(
        'guest',
        this.name,
        `a bundle has ${BUNDLE_BYTES} bytes; there are ${bytes.length - offset}`,
      );
    }
    const words = this.#words;
    readWords(bytes, offset, words);
    if (getBits(words, this.facts.loop.fields.opcode) === this.facts.loop.opcode) return decodeLoop(this.facts, words);
    const decoders = this.#decoders;
    const decoded = {
      load: decoders.load.decode(words),
      spu: decoders.spu.decode(words),
      vpu: decoders.vpu.decode(words),
      store: decoders.store.decode(words),
    };
    const { load, spu, vpu, store } = decoded;
    const usesImmediate = load.immediate >= 0 || spu.immediate >= 0 || vpu.immediate >= 0 || store.immediate >= 0;
    const imm = getBits(words, this.facts.imm);
    const { repeats } = load;
    if (repeats && getBits(words, repeats) !== imm % 2 ** repeats.width) {
      throw new ModelError('undefined', this.name, 'a number that is encoded twice differs');
    }
    for (let i = 0; i < BUNDLE_WORDS; i++) {
      const known =
        (load.used[i] as number) | (spu.used[i] as number) | (vpu.used[i] as number) | (store.used[i] as number);
      let open = (words[i] as number) & ~known;
      if (usesImmediate) open &= ~(this.#immediateMask[i] as number);
      if (open !== 0) {
        const bit = i * 32 + 31 - Math.clz32(open);
        throw new ModelError('undefined', this.name, `bit ${bit} is set, which no instruction of this bundle uses`);
      }
    }
    return { slots: decoded, imm };
  }

  get #immediateMask(): Uint32Array {
    this.#immediate ??= mask(this.facts);
    return this.#immediate;
  }
  #immediate: Uint32Array | undefined;

  decodeBundle(bytes: Uint8Array, offset = 0): Bundle<L, S, V, T> | Loop {
    const raw = this.decodeRaw(bytes, offset);
    if ('kind' in raw) return raw;
    const used = slots.some((slot) => raw.slots[slot].immediate >= 0);
    return {
      kind: 'bundle',
      load: withImmediate<L>(raw.slots.load, raw.imm),
      spu: withImmediate<S>(raw.slots.spu, raw.imm),
      vpu: withImmediate<V>(raw.slots.vpu, raw.imm),
      store: withImmediate<T>(raw.slots.store, raw.imm),
      imm: used ? raw.imm : 0,
    };
  }

  decodeProgram(bytes: Uint8Array): readonly (Bundle<L, S, V, T> | Loop)[] {
    const program: (Bundle<L, S, V, T> | Loop)[] = [];
    for (let offset = 0; offset < bytes.length; offset += BUNDLE_BYTES) {
      try {
        program.push(this.decodeBundle(bytes, offset));
      } catch (error) {
        throw located(error, offset);
      }
    }
    return program;
  }

  encodeBundle(bundle: Bundle<L, S, V, T> | Loop): Uint8Array {
    const bytes = new Uint8Array(BUNDLE_BYTES);
    if (bundle.kind === 'loop') {
      writeWords(encodeLoop(this.facts, bundle), bytes, 0);
      return bytes;
    }
    const words = new Uint32Array(BUNDLE_WORDS);
    let imm: number | undefined;
    for (const slot of slots) {
      const instruction: Instruction | undefined = bundle[slot];
      const row = this.instructions[slot].get(instruction?.mnemonic ?? this.facts.layouts[slot].nop);
      if (!row) throw new EncodingFault(`there is no ${instruction?.mnemonic} in slot ${slot}`);
      const bits = encodeInstruction(this.facts, row, instruction ?? nothing(row));
      bits.words.forEach((word, i) => {
        words[i] = (words[i] as number) | word;
      });
      if (bits.imm === undefined) continue;
      if (imm !== undefined && imm !== bits.imm) throw new EncodingFault('a bundle has one immediate');
      imm = bits.imm;
    }
    if (imm !== undefined) orBits(words, this.facts.imm, imm);
    writeWords(words, bytes, 0);
    // Instructions that share bits and differ in them have made another bundle than the one asked for.
    let decoded: Bundle | Loop | undefined;
    try {
      decoded = this.decodeBundle(bytes);
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
    }
    if (!decoded || !sameBundle(decoded, bundle)) {
      throw new EncodingFault('two instructions of the bundle use the same bits differently');
    }
    return bytes;
  }

  latencyOf(instruction: Instruction<L | S | V | T>): number {
    const row = this.instructions[instruction.slot].get(instruction.mnemonic);
    const latency = row?.row.latency ?? this.facts.latencies[instruction.slot];
    return typeof latency === 'function' ? latency(instruction.type) : latency;
  }

  chainOf({ slot, mnemonic, type, switches }: Instruction<L | S | V | T>): Chain | undefined {
    return this.instructions[slot].get(mnemonic)?.row.chain?.(type, switches);
  }

  accumulates({ slot, mnemonic }: Instruction<L | S | V | T>): boolean {
    return this.instructions[slot].get(mnemonic)?.row.accumulates === true;
  }

  loads({ slot, mnemonic }: Instruction<L | S | V | T>): boolean {
    return slot === this.facts.loads.slot && this.facts.loads.mnemonics.test(mnemonic);
  }
}

/** @throws ModelError that names the offset */
export function located(error: unknown, offset: number): unknown {
  if (!(error instanceof ModelError)) return error;
  const what = error.message.slice(`${error.category}: ${error.where}: `.length);
  return new ModelError(error.category, error.where, `at offset 0x${offset.toString(16)}: ${what}`);
}

function bySlot<R>(make: (slot: Slot) => R): Record<Slot, R> {
  return { load: make('load'), spu: make('spu'), vpu: make('vpu'), store: make('store') };
}

function mask(facts: VliwFacts): Uint32Array {
  const words = new Uint32Array(BUNDLE_WORDS);
  orBits(words, facts.imm, 0xffffffff);
  return words;
}

function withImmediate<M extends string>(decoded: DecodedSlot, imm: number): Instruction<M> | undefined {
  const { instruction, immediate } = decoded;
  if (!instruction || immediate < 0) return instruction as Instruction<M> | undefined;
  const operands: Operand[] = [...instruction.operands];
  operands[immediate] = { kind: (operands[immediate] as Operand).kind as 'immediate' | 'number', value: imm };
  return { ...instruction, operands } as unknown as Instruction<M>;
}

function nothing(row: CompiledInstruction): Instruction {
  return {
    slot: row.slot,
    mnemonic: row.name,
    type: undefined,
    operands: [],
    roles: [],
    switches: {},
    predicate: undefined,
    dimMask: undefined,
  };
}

/** Compares what the instructions say, not how. */
function sameBundle(a: Bundle | Loop, b: Bundle): boolean {
  if (a.kind === 'loop') return false;
  return slots.every((slot) => {
    const [x, y] = [a[slot], b[slot]];
    if (!x || !y) return x === y || (x ?? y)?.mnemonic === 'nop';
    return (
      x.mnemonic === y.mnemonic &&
      x.operands.length === y.operands.length &&
      x.operands.every((operand, i) => sameOperand(operand, y.operands[i] as Operand)) &&
      samePredicate(x, y)
    );
  });
}

function samePredicate(x: Instruction, y: Instruction): boolean {
  const [a, b] = [x.predicate, y.predicate];
  if (!a || !b) return a === b;
  return a.file === b.file && a.number === b.number && a.inverted === b.inverted;
}

function sameOperand(a: Operand, b: Operand): boolean {
  // Pairs and quads are encoded as the vector they begin with.
  if (a.kind === 'register') return b.kind === 'register' && a.number === b.number;
  return b.kind !== 'register' && a.value >>> 0 === b.value >>> 0;
}
