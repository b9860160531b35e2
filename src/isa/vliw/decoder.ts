/** From bits to instructions. Every bit of a bundle is accounted for, or the bundle is refused. */

import { ModelError } from '../../sim/errors.ts';
import { BUNDLE_WORDS, getBits, orBits } from './bits.ts';
import type { DataType, Instruction, Operand, Predicate, RegisterFile, Slot, SwitchValue } from './bundle.ts';
import { conditionsHold, switchApplies } from './encoder.ts';
import type { CompiledInstruction, Form, FormSwitch, OperandForm } from './forms.ts';
import type { BitRange, RegisterFileRow, SlotLayout, VliwFacts } from './rows.ts';

/** A slot as decoded, without the value of its immediate; the same for every bundle with these bits in the slot. */
export interface DecodedSlot {
  /** Undefined: the slot does nothing. */
  readonly instruction: Instruction | undefined;
  readonly form: Form;
  /** Bits that the encoding accounts for, except those of the immediate. */
  readonly used: Uint32Array;
  /** Which operand is the immediate; -1 where none is. */
  readonly immediate: number;
  /** A field that repeats the lower bits of the immediate. */
  readonly repeats: BitRange | undefined;
}

export class SlotDecoder {
  readonly #facts: VliwFacts;
  readonly #slot: Slot;
  readonly #layout: SlotLayout;
  readonly #rows: ReadonlyMap<number, CompiledInstruction>;
  readonly #typeNames: readonly (DataType | undefined)[];
  readonly #files: ReadonlyMap<RegisterFile, RegisterFileRow>;
  /** By the bits that no other slot shares; then by the shared ones. */
  readonly #cache = new Map<number, Map<number, DecodedSlot>>();
  readonly #own: readonly BitRange[];
  readonly #shared: readonly BitRange[];
  readonly #ownMask = new Uint32Array(BUNDLE_WORDS);

  constructor(facts: VliwFacts, slot: Slot, rows: readonly CompiledInstruction[]) {
    this.#facts = facts;
    this.#slot = slot;
    this.#layout = facts.layouts[slot];
    this.#rows = new Map(rows.map((row) => [row.row.opcode, row]));
    const names: (DataType | undefined)[] = [];
    for (const [name, code] of Object.entries(facts.types)) {
      if (!facts.missingTypes.includes(name as DataType)) names[code] = name as DataType;
    }
    this.#typeNames = names;
    this.#files = new Map(facts.registers.map((row) => [row.file, row]));
    const { fields, opcode, predicate } = this.#layout;
    const places = Object.entries(fields).filter(([name]) => !(slot === 'load' && name === 'type'));
    const shared = (range: BitRange) =>
      Object.entries(facts.layouts).some(
        ([name, layout]) => name !== slot && Object.values(layout.fields).some((other) => overlap(range, other)),
      );
    this.#shared = places.map(([, range]) => range).filter(shared);
    for (const [, range] of places) if (!shared(range)) orBits(this.#ownMask, range, 0xffffffff);
    this.#own = [
      opcode,
      ...places.map(([, range]) => range).filter((range) => !shared(range)),
      predicate.inverted,
      predicate.address,
    ];
  }

  /** @throws ModelError `unsupported` */
  decode(words: Uint32Array): DecodedSlot {
    // At most 53 bits, so that a number holds them exactly.
    let own = 0;
    for (const range of this.#own) own = own * 2 ** range.width + getBits(words, range);
    let shared = 0;
    for (const range of this.#shared) shared = shared * 2 ** range.width + getBits(words, range);
    let byShared = this.#cache.get(own);
    if (!byShared) {
      byShared = new Map();
      // A stream of random bundles must not fill the memory.
      if (this.#cache.size >= MAX_CACHED) this.#cache.clear();
      this.#cache.set(own, byShared);
    }
    let decoded = byShared.get(shared);
    if (!decoded) {
      decoded = this.#decode(words);
      byShared.set(shared, decoded);
    }
    return decoded;
  }

  #decode(words: Uint32Array): DecodedSlot {
    const opcode = getBits(words, this.#layout.opcode);
    const row = this.#rows.get(opcode);
    if (!row) {
      throw new ModelError('unsupported', `${this.#facts.name}.${this.#slot}`, `no instruction has opcode ${opcode}`);
    }
    let open = -1;
    for (const form of row.forms) {
      const decoded = this.#decodeForm(words, row, form);
      if (!decoded) continue;
      const bit = this.#openBit(words, decoded.used);
      if (bit < 0) return decoded;
      open = bit;
    }
    if (open >= 0) {
      throw new ModelError(
        'undefined',
        `${this.#facts.name}.${this.#slot}.${row.name}`,
        `bit ${open} is set, which it does not use`,
      );
    }
    throw new ModelError(
      'unsupported',
      `${this.#facts.name}.${this.#slot}.${row.name}`,
      'no form has such operands, data type, switches and predicate',
    );
  }

  /** A bit of this slot alone that is set without meaning; -1 where none is. */
  #openBit(words: Uint32Array, used: Uint32Array): number {
    for (let i = 0; i < BUNDLE_WORDS; i++) {
      const open = (words[i] as number) & (this.#ownMask[i] as number) & ~(used[i] as number);
      if (open !== 0) return i * 32 + 31 - Math.clz32(open);
    }
    return -1;
  }

  #decodeForm(words: Uint32Array, row: CompiledInstruction, form: Form): DecodedSlot | undefined {
    const layout = this.#layout;
    const used = new Uint32Array(BUNDLE_WORDS);
    const use = (range: BitRange) => orBits(used, range, 0xffffffff);
    use(layout.opcode);
    for (const { place, value } of form.constants) {
      if (getBits(words, place) !== value) return undefined;
      use(place);
    }
    let type: DataType | undefined;
    if (form.type === 'encoded') {
      const range = layout.fields.type as BitRange;
      type = this.#typeNames[getBits(words, range)];
      if (!type) return undefined;
      use(range);
    }
    const operands: Operand[] = [];
    let immediate = -1;
    let repeats: BitRange | undefined;
    let dimMask: number | undefined;
    for (const operand of form.operands) {
      const decoded = this.#operand(words, operand);
      if (!decoded) return undefined;
      if (decoded.kind === 'immediate' || operand.place === this.#facts.imm) immediate = operands.length;
      if (operand.kinds[0] === 'twice') {
        immediate = operands.length;
        repeats = operand.place;
      }
      if (operand.place && operand.place !== this.#facts.imm) use(operand.place);
      if (operand.kinds[0] === 'dims' && decoded.kind === 'number') dimMask = decoded.value;
      operands.push(decoded);
    }
    const switches = decodeSwitches(words, row, form, type, use);
    if (!switches || !conditionsHold(form, type, switches)) return undefined;
    let predicate: Predicate | undefined;
    if (form.predicate !== '') {
      use(layout.predicate.address);
      use(layout.predicate.inverted);
      predicate = decodePredicate(words, layout);
      if (predicate && !form.predicate.split('|').includes(predicate.file)) return undefined;
    }
    const instruction: Instruction = {
      slot: this.#slot,
      mnemonic: row.name,
      type,
      operands,
      roles: form.operands.map((operand) => operand.role),
      switches,
      predicate,
      dimMask,
    };
    return { instruction: row.name === layout.nop ? undefined : instruction, form, used, immediate, repeats };
  }

  #operand(words: Uint32Array, form: OperandForm): Operand | undefined {
    if (form.implied) return { kind: 'register', ...form.implied };
    const place = form.place as BitRange;
    if (place === this.#facts.imm) return { kind: 'number', value: 0 };
    const code = getBits(words, place);
    for (const kind of form.kinds) {
      if (kind === 'imm' || kind === 'label') {
        if (code === this.#layout.immediateMarker) return { kind: 'immediate', value: 0 };
      } else if (kind === 'n' || kind === 'twice' || kind === 'dims') return { kind: 'number', value: code };
      else if (kind === 't') {
        if (code < this.#facts.tensors) return { kind: 'number', value: code };
      } else {
        const number = code - (this.#layout.files[kind] ?? 0);
        if (this.#exists(kind, number)) return { kind: 'register', file: kind, number };
      }
    }
    return undefined;
  }

  #exists(file: RegisterFile, number: number): boolean {
    const row = this.#files.get(file);
    if (!row || number < 0) return false;
    if (number < row.count) return number % row.span === 0;
    return Object.values(row.named).includes(number);
  }
}

const MAX_CACHED = 100_000;

function overlap(a: BitRange, b: BitRange): boolean {
  return a.lo < b.lo + b.width && b.lo < a.lo + a.width;
}

function decodeSwitches(
  words: Uint32Array,
  row: CompiledInstruction,
  form: Form,
  type: DataType | undefined,
  use: (range: BitRange) => void,
): Record<string, SwitchValue> | undefined {
  const switches: Record<string, SwitchValue> = {};
  for (const s of row.switches) switches[s.name] = s.row.kind === 'choice' ? neutral(s) : s.row.default;
  // A switch that depends on another comes after it.
  for (const dependent of [false, true]) {
    for (const s of form.switches) {
      if ((s.row.when !== undefined) !== dependent || !switchApplies(s, type, switches)) continue;
      const code = getBits(words, s.place);
      const value = s.row.kind === 'flag' ? code === 1 : s.row.kind === 'number' ? code : s.valueNames.get(code);
      if (value === undefined) return undefined;
      switches[s.name] = value;
      use(s.place);
    }
  }
  return switches;
}

/** What a choice is where it does not apply: its bits are 0. */
function neutral(s: FormSwitch): SwitchValue {
  return s.valueNames.get(0) ?? s.row.default;
}

function decodePredicate(words: Uint32Array, layout: SlotLayout): Predicate | undefined {
  const address = getBits(words, layout.predicate.address);
  const inverted = getBits(words, layout.predicate.inverted) === 1;
  if (address === 0 && !inverted) return undefined;
  return { file: address >= 16 ? 'VP' : 'SP', number: address & 15, inverted };
}
