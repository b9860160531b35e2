/** Parses the text of one slot into its bits. A slot that was seen before is not parsed again. */

import { suggestion } from '../diagnostics.ts';
import { Fault } from '../expressions.ts';
import type { DataType, Slot } from './bundle.ts';
import { slots } from './bundle.ts';
import { EncodingFault, encodeForm, type SlotBits } from './encoder.ts';
import type { Tracked } from './hazards.ts';
import { type Match, matchForm } from './matcher.ts';
import { type GivenSwitch, OperandParser } from './operands.ts';
import { type ScanToken, scan } from './scanner.ts';
import type { VliwSet } from './set.ts';

export interface ParsedSlot extends Tracked {
  readonly bits: SlotBits;
  /** Whose distance from the bundle is the immediate. */
  readonly label: Match['label'];
}

export interface SlotContext {
  readonly set: VliwSet;
  readonly constants: ReadonlyMap<string, bigint>;
  /** Numbers may lose bits that do not fit. */
  readonly lenient: boolean;
  defect(fault: Fault): void;
  warn(fault: Fault): void;
}

/** Slots that were seen once are remembered for a while: few enough to be young when they are forgotten. */
const MAX_SEEN = 512;
/** Those that were seen again: enough for the body of a program. */
const MAX_KNOWN = 4096;

/** What was parsed, by its text. */
class Remembered {
  readonly #seen = new Map<string, ParsedSlot>();
  readonly #known = new Map<string, ParsedSlot>();

  get(text: string): ParsedSlot | undefined {
    const known = this.#known.get(text);
    if (known) return known;
    const seen = this.#seen.get(text);
    if (!seen) return undefined;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(text, seen);
    return seen;
  }

  set(text: string, parsed: ParsedSlot): void {
    if (this.#seen.size >= MAX_SEEN) this.#seen.clear();
    this.#seen.set(text, parsed);
  }

  clear(): void {
    this.#seen.clear();
    this.#known.clear();
  }
}

export class SlotParser {
  readonly #context: SlotContext;
  readonly #known: Readonly<Record<Slot, Remembered>> = {
    load: new Remembered(),
    spu: new Remembered(),
    vpu: new Remembered(),
    store: new Remembered(),
  };
  readonly #nops: Partial<Record<Slot, ParsedSlot>> = {};
  #clean = true;

  constructor(context: SlotContext) {
    this.#context = context;
  }

  /** The same text may mean something else from now on. */
  forget(): void {
    for (const slot of slots) this.#known[slot].clear();
  }

  /** An empty slot: the statement that programs have most. */
  nop(slot: Slot): ParsedSlot {
    this.#nops[slot] ??= this.parse(slot, 'nop', 0);
    return this.#nops[slot];
  }

  /** `text` without comments and blanks around it; it begins at `start` of the source. @throws Fault */
  parse(slot: Slot, text: string, start: number): ParsedSlot {
    const known = this.#known[slot];
    const before = known.get(text);
    if (before) return before;
    this.#clean = true;
    const tokens = scan(text, start);
    let parsed: ParsedSlot;
    try {
      parsed = this.#parse(slot, tokens);
    } catch (error) {
      throw error instanceof Fault ? this.#clearer(error, slot, tokens) : error;
    }
    // What was complained about is complained about again; a label may be far or near.
    if (this.#clean && !parsed.label) known.set(text, parsed);
    return parsed;
  }

  /** What newcomers most often mean by what cannot be parsed. */
  #clearer(fault: Fault, slot: Slot, [mnemonic, ...tokens]: readonly ScanToken[]): Fault {
    const { set } = this.#context;
    const at = tokens.find((token) => token.start === fault.start);
    const name = at?.text.split('.')[0]?.toLowerCase() ?? '';
    if (at?.kind === 'name' && slots.some((each) => set.instructions[each].has(name))) {
      return new Fault(at, `a semicolon is expected before ${at.text}: it begins the next slot`);
    }
    const vector = tokens.some((token) => /^%?(?:V|D|A|VP)\d+$/i.test(token.text));
    const first = mnemonic?.text.split('.')[0]?.toLowerCase() ?? '';
    if (slot === 'spu' && vector && set.instructions.spu.has(first) && set.instructions.vpu.has(first)) {
      const message = `${fault.message}; this is the slot of SPU, and vectors belong into the next, that of VPU`;
      return new Fault(fault, message, fault.hint);
    }
    return fault;
  }

  #parse(slot: Slot, tokens: readonly ScanToken[]): ParsedSlot {
    const context = this.#context;
    const { set } = context;
    const [first, ...rest] = tokens;
    if (first?.kind !== 'name') throw new Fault(first ?? { start: 0, end: 0 }, 'an instruction is expected');
    const { mnemonic, suffixes } = splitMnemonic(first);
    const row = set.instructions[slot].get(mnemonic.text.toLowerCase());
    if (!row) throw unknownMnemonic(set, slot, mnemonic);
    let type: DataType | undefined;
    let typePlace: ScanToken | undefined;
    const switches: GivenSwitch[] = [];
    suffixes.forEach((suffix, i) => {
      const name = suffix.text.toLowerCase();
      if (Object.hasOwn(set.facts.types, name)) {
        if (i !== 0) throw new Fault(suffix, 'the data type comes first');
        type = name as DataType;
        typePlace = suffix;
      } else if (name !== 'from_hw_reg')
        switches.push({ name, value: undefined, start: suffix.start, end: suffix.end });
    });
    const defect = (fault: Fault) => {
      this.#clean = false;
      context.defect(fault);
    };
    if (type && typePlace) this.#checkType(row.name, row.row.types, type, typePlace, defect);
    const operandContext = { registers: set.registers, constants: context.constants, defect };
    const given = new OperandParser(operandContext, row, rest).parse(switches);
    const match = matchForm(
      { facts: set.facts, lenient: context.lenient, defect },
      { row, mnemonic, type, typePlace, given },
    );
    try {
      const bits = encodeForm(set.facts, match.form, match.instruction, context.lenient);
      return { bits, instruction: match.instruction, label: match.label, effects: undefined };
    } catch (error) {
      if (error instanceof EncodingFault) throw new Fault(mnemonic, error.message);
      throw error;
    }
  }

  #checkType(
    name: string,
    types: readonly DataType[] | undefined,
    type: DataType,
    place: ScanToken,
    defect: (fault: Fault) => void,
  ): void {
    const { facts } = this.#context.set;
    if (facts.missingTypes.includes(type)) defect(new Fault(place, `the chip has no data type ${type}`));
    else if (types && !types.includes(type)) {
      this.#clean = false;
      this.#context.warn(new Fault(place, `no source lists ${name} for ${type}; it lists ${types.join(', ')}`));
    }
  }
}

/** `add.i32.st` as tokens of their own. */
function splitMnemonic(token: ScanToken): { readonly mnemonic: ScanToken; readonly suffixes: readonly ScanToken[] } {
  const parts = token.text.split('.');
  let start = token.start;
  const [mnemonic, ...suffixes] = parts.map((text) => {
    const part: ScanToken = { kind: 'name', text, start, end: start + text.length, joined: true };
    start += text.length + 1;
    return part;
  });
  return { mnemonic: mnemonic as ScanToken, suffixes: suffixes.filter((suffix) => suffix.text !== '') };
}

function unknownMnemonic(set: VliwSet, slot: Slot, mnemonic: ScanToken): Fault {
  const name = mnemonic.text.toLowerCase();
  const others = slots.filter((each) => each !== slot && set.instructions[each].has(name));
  const title = set.facts.layouts[slot].title;
  if (others.length > 0) {
    const where = others.map((each) => set.facts.layouts[each].title).join(' and ');
    return new Fault(mnemonic, `${mnemonic.text} is an instruction of ${where}, and this is the slot of ${title}`);
  }
  return new Fault(mnemonic, `there is no instruction "${mnemonic.text}" in slot ${title}`, () =>
    suggestion(name, set.instructions[slot].keys()),
  );
}
