/** Encodes and decodes packets from their rows. Rows are compiled once; decoding allocates only what it returns. */

import { ModelError } from '../sim/errors.ts';
import type {
  FieldRow,
  FieldsOf,
  FormatRow,
  FormatRows,
  InputOf,
  PacketRow,
  PacketRows,
  PacketSetFacts,
  PayloadRow,
} from './packets.ts';

/** A packet of name N as found in a stream. */
export interface DecodedPacket<N extends string, R> {
  readonly name: N;
  readonly row: R;
  /** 32-bit words, payload included. */
  readonly sizeInWords: number;
  readonly fields: FieldsOf<R>;
}

export type Decoded<P extends PacketRows> = { [N in keyof P & string]: DecodedPacket<N, P[N]> }[keyof P & string];

interface FieldCode {
  readonly name: string;
  /** Index of the 32-bit word. */
  readonly word: number;
  readonly shift: number;
  /** Mask after shifting; for wide fields that of the upper word. */
  readonly mask: number;
  readonly wide: boolean;
  readonly row: FieldRow;
}

interface PayloadCode {
  readonly name: string;
  readonly row: PayloadRow;
  /** The field that counts. */
  readonly count: FieldCode;
}

interface RowCode {
  readonly name: string;
  readonly row: PacketRow;
  /** 32-bit words of the fixed part. */
  readonly words: number;
  readonly fields: readonly FieldCode[];
  /** Per word the bits that no field and not the opcode cover. */
  readonly reserved: Uint32Array;
  readonly payload: PayloadCode | undefined;
  /** Names of all fields, in order. */
  readonly names: ReadonlySet<string>;
  /** Reads the fields of the packet at a word; a payload is left undefined. */
  readonly read: (words: Uint32Array, at: number) => Record<string, unknown>;
}

const scratch64 = new BigUint64Array(1);
const scratch32 = new Uint32Array(scratch64.buffer);

/** A packet set of which nothing is known at compile time: what assembler, disassembler and reference work with. */
export interface AnyPacketSet {
  readonly name: string;
  readonly facts: PacketSetFacts;
  readonly rows: PacketRows;
  readonly formats: FormatRows;
  sizeInWords(name: string): number;
  decode(words: Uint32Array, at: number): AnyDecoded;
  encodeRow(name: string, input: Readonly<Record<string, unknown>>): Uint8Array;
}

export interface AnyDecoded {
  readonly name: string;
  readonly sizeInWords: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** The instruction set made of `facts`: its rows, and the functions that follow from them. */
export class PacketSet<P extends PacketRows = PacketRows, V extends FormatRows = FormatRows> {
  readonly facts: PacketSetFacts<P, V>;
  readonly name: string;
  readonly rows: P;
  readonly formats: V;
  readonly #byOpcode: (RowCode | undefined)[];
  readonly #byName: ReadonlyMap<string, RowCode>;
  readonly #formats: ReadonlyMap<string, readonly FieldCode[]>;
  readonly #opcodeWord: number;
  readonly #opcodeShift: number;
  readonly #opcodeMask: number;

  /** @throws Error where rows contradict each other: shared opcodes or bits, fields outside words. */
  constructor(facts: PacketSetFacts<P, V>) {
    this.facts = facts;
    this.name = facts.name;
    this.rows = facts.rows;
    this.formats = facts.formats;
    const [lo, hi] = facts.opcode;
    this.#opcodeWord = lo >>> 5;
    this.#opcodeShift = lo & 31;
    this.#opcodeMask = maskOf(hi - lo + 1);
    this.#byOpcode = new Array<RowCode | undefined>(this.#opcodeMask + 1).fill(undefined);
    const byName = new Map<string, RowCode>();
    for (const [name, row] of Object.entries(facts.rows)) {
      const code = compileRow(facts, name, row);
      if (row.opcode > this.#opcodeMask || this.#byOpcode[row.opcode]) {
        throw new Error(`${facts.name}.${name}: opcode ${row.opcode} is taken or too large`);
      }
      this.#byOpcode[row.opcode] = code;
      byName.set(name, code);
    }
    this.#byName = byName;
    this.#formats = new Map(Object.entries(facts.formats).map(([name, row]) => [name, compileFormat(name, row)]));
  }

  /** 32-bit words of the fixed part of a packet. */
  sizeInWords(name: keyof P & string): number {
    return this.#byName.get(name)?.words ?? 0;
  }

  /**
   * Length in 32-bit words, payload included, of the packet whose first 64 bits are `words[at]` and `words[at + 1]`.
   * @throws ModelError `undefined` for an unknown opcode, `guest` where fewer than two words are left
   */
  packetLength(words: Uint32Array, at: number): number {
    const code = this.#rowAt(words, at);
    const length = code.payload;
    return length ? code.words + length.row.unit * readNumber(length.count, words, at) : code.words;
  }

  /**
   * The packet at `words[at]`. A payload is copied.
   * @throws ModelError `undefined` for an unknown opcode, `guest` for reserved bits that are set and a truncated packet
   */
  decode(words: Uint32Array, at: number): Decoded<P> {
    const code = this.#rowAt(words, at);
    const fixed = code.words;
    if (at + fixed > words.length) throw this.#truncated(code, words, at, fixed);
    const reserved = code.reserved;
    for (let i = 0; i < fixed; i++) {
      if (((words[at + i] as number) & (reserved[i] as number)) !== 0) throw this.#reserved(code, words, at);
    }
    const fields = code.read(words, at);
    let sizeInWords = fixed;
    const tail = code.payload;
    if (tail) {
      sizeInWords += tail.row.unit * (fields[tail.row.count] as number);
      if (at + sizeInWords > words.length) throw this.#truncated(code, words, at, sizeInWords);
      fields[tail.name] = words.slice(at + fixed, at + sizeInWords);
    }
    return { name: code.name, row: code.row, sizeInWords, fields } as unknown as Decoded<P>;
  }

  /**
   * A copy of one packet whose reserved bits are clear, for who must do as hardware does, which ignores them. Words that
   * are no packet are copied as they are.
   */
  withoutReserved(words: Uint32Array): Uint32Array {
    const copy = words.slice();
    const code = this.#byOpcode[this.#opcodeOf(words, 0)];
    const fixed = Math.min(code?.words ?? 0, copy.length);
    for (let i = 0; i < fixed; i++) copy[i] = ((copy[i] as number) & ~(code?.reserved[i] as number)) >>> 0;
    return copy;
  }

  /**
   * The bytes of one packet. A payload's count follows from the payload.
   * @throws RangeError for a value that does not fit, or a payload that is no multiple of its unit
   */
  encode<N extends keyof P & string>(name: N, fields: InputOf<P[N]>): Uint8Array {
    return this.encodeRow(name, fields as Readonly<Record<string, unknown>>);
  }

  /** `encode` for names and fields that are known at run time only. @throws RangeError also for unknown names and missing fields */
  encodeRow(name: string, input: Readonly<Record<string, unknown>>): Uint8Array {
    const code = this.#byName.get(name);
    if (!code) throw new RangeError(`${this.name} has no packet ${name}`);
    for (const field in input) {
      if (!code.names.has(field)) throw new RangeError(`${name} has no field ${field}`);
    }
    const tail = code.payload;
    const payload = tail ? payloadOf(name, tail, input) : undefined;
    const words = new Uint32Array(code.words + (payload?.length ?? 0));
    words[this.#opcodeWord] = (code.row.opcode << this.#opcodeShift) >>> 0;
    for (const field of code.fields) {
      const counted = payload && field.name === tail?.row.count;
      const value = counted ? payload.length / tail.row.unit : (input[field.name] ?? field.row.default);
      insert(name, field, value, words);
    }
    if (payload) words.set(payload, code.words);
    return new Uint8Array(words.buffer);
  }

  /** A 32-bit value of format `name`. @throws RangeError for a value that does not fit */
  format<N extends keyof V & string>(name: N, fields: InputOf<V[N]>): number {
    const words = new Uint32Array(1);
    for (const field of this.#formats.get(name) ?? []) {
      insert(name, field, (fields as Readonly<Record<string, unknown>>)[field.name] ?? field.row.default, words);
    }
    return words[0] as number;
  }

  #opcodeOf(words: Uint32Array, at: number): number {
    return ((words[at + this.#opcodeWord] as number) >>> this.#opcodeShift) & this.#opcodeMask;
  }

  #rowAt(words: Uint32Array, at: number): RowCode {
    if (at + 2 > words.length) {
      throw new ModelError(
        'guest',
        this.name,
        `truncated: ${Math.max(0, words.length - at)} of at least 2 words at word ${at}`,
      );
    }
    const opcode = this.#opcodeOf(words, at);
    const code = this.#byOpcode[opcode];
    if (!code) throw new ModelError('undefined', `${this.name}.0x${opcode.toString(16)}`, 'no packet has this opcode');
    return code;
  }

  #truncated(code: RowCode, words: Uint32Array, at: number, need: number): ModelError {
    return new ModelError('guest', `${this.name}.${code.name}`, `truncated: ${words.length - at} of ${need} words`);
  }

  #reserved(code: RowCode, words: Uint32Array, at: number): ModelError {
    const set: number[] = [];
    for (let bit = 0; bit < code.words * 32; bit++) {
      const mask = 1 << (bit & 31);
      if ((words[at + (bit >>> 5)] as number) & (code.reserved[bit >>> 5] as number) & mask) set.push(bit);
    }
    const which = set.length === 1 ? `reserved bit ${set[0]} is set` : `reserved bits ${set.join(', ')} are set`;
    return new ModelError('guest', `${this.name}.${code.name}`, which);
  }
}

function compileRow(facts: PacketSetFacts, name: string, row: PacketRow): RowCode {
  const where = `${facts.name}.${name}`;
  const fields: FieldCode[] = [];
  const names = new Set<string>();
  let tail: [string, PayloadRow] | undefined;
  let last = facts.opcode[1];
  for (const [fieldName, field] of Object.entries(row.fields)) {
    if (field.kind === 'payload') {
      if (tail) throw new Error(`${where}: more than one payload`);
      tail = [fieldName, field];
      names.add(fieldName);
      continue;
    }
    const code = compileField(where, fieldName, field);
    fields.push(code);
    names.add(fieldName);
    last = Math.max(last, field.hi);
  }
  const unit = facts.unitWords * 32;
  const words = (Math.ceil((last + 1) / unit) * unit) / 32;
  const reserved = new Uint32Array(words).fill(0xffff_ffff);
  claim(where, 'opcode', facts.opcode[0], facts.opcode[1], reserved);
  for (const field of fields) claim(where, field.name, field.row.lo, field.row.hi, reserved);
  return {
    name,
    row,
    words,
    fields,
    reserved,
    payload: tail && compilePayload(where, tail, fields),
    names,
    read: compileReader(names, fields),
  };
}

/**
 * Packets are decoded by the hundred thousand: a function made for the row reads them several times as quickly as a loop over
 * its fields, and every packet of a row has the same shape.
 */
function compileReader(names: ReadonlySet<string>, fields: readonly FieldCode[]): RowCode['read'] {
  const values = [...names].map((name) => {
    const field = fields.find((candidate) => candidate.name === name);
    if (!field) return `${JSON.stringify(name)}: undefined`;
    const { word, shift, mask } = field;
    const value = field.wide
      ? `wide(words[at + ${word}], words[at + ${word + 1}] & ${mask})`
      : `((words[at + ${word}] >>> ${shift}) & ${mask}) >>> 0`;
    return `${JSON.stringify(name)}: ${value}`;
  });
  try {
    const make = new Function('wide', `return (words, at) => ({ ${values.join(', ')} })`);
    return make(wide) as RowCode['read'];
  } catch (error) {
    // A page may be forbidden to make code of text; it decodes one packet at a time.
    if (!(error instanceof EvalError)) throw error;
    return plainReader(names, fields);
  }
}

function plainReader(names: ReadonlySet<string>, fields: readonly FieldCode[]): RowCode['read'] {
  const byName = new Map(fields.map((field) => [field.name, field]));
  const value = (field: FieldCode | undefined, words: Uint32Array, at: number) => {
    if (!field) return undefined;
    const { word, shift, mask } = field;
    const low = words[at + word] as number;
    return field.wide ? wide(low, (words[at + word + 1] as number) & mask) : ((low >>> shift) & mask) >>> 0;
  };
  return (words, at) => Object.fromEntries([...names].map((name) => [name, value(byName.get(name), words, at)]));
}

function compilePayload(where: string, [name, row]: [string, PayloadRow], fields: readonly FieldCode[]): PayloadCode {
  const count = fields.find((field) => field.name === row.count);
  if (!count || count.wide || count.word > 1) {
    throw new Error(`${where}.${name}: ${row.count} is no field of the first 64 bits`);
  }
  return { name, row, count };
}

function compileFormat(name: string, row: FormatRow): FieldCode[] {
  const free = new Uint32Array(1).fill(0xffff_ffff);
  return Object.entries(row.fields).map(([fieldName, field]) => {
    claim(name, fieldName, field.lo, field.hi, free);
    return compileField(name, fieldName, field);
  });
}

function compileField(where: string, name: string, row: FieldRow): FieldCode {
  const width = row.hi - row.lo + 1;
  const wide = width > 32;
  const shift = row.lo & 31;
  const fits = wide ? shift === 0 && width <= 64 : shift + width <= 32;
  if (!Number.isInteger(row.lo) || row.lo < 0 || width < 1 || !fits) {
    throw new Error(`${where}.${name}: bits ${row.lo} to ${row.hi} are not within a word, nor begin at one`);
  }
  return { name, word: row.lo >>> 5, shift, mask: maskOf(wide ? width - 32 : width), wide, row };
}

/** Takes bits away from `free`. @throws Error where one is not free */
function claim(where: string, name: string, lo: number, hi: number, free: Uint32Array): void {
  for (let bit = lo; bit <= hi; bit++) {
    const mask = 1 << (bit & 31);
    if (((free[bit >>> 5] as number) & mask) === 0) throw new Error(`${where}.${name}: bit ${bit} is taken`);
    free[bit >>> 5] = (free[bit >>> 5] as number) & ~mask;
  }
}

function maskOf(width: number): number {
  return width >= 32 ? 0xffff_ffff : (1 << width) - 1;
}

function readNumber(field: FieldCode, words: Uint32Array, at: number): number {
  return (((words[at + field.word] as number) >>> field.shift) & field.mask) >>> 0;
}

function wide(low: number, high: number): bigint {
  scratch32[0] = low;
  scratch32[1] = high;
  return scratch64[0] as bigint;
}

function payloadOf(name: string, tail: PayloadCode, input: Readonly<Record<string, unknown>>): Uint32Array {
  const given = (input[tail.name] ?? []) as ArrayLike<number>;
  const count = given.length / tail.row.unit;
  const said = input[tail.row.count];
  if (!Number.isInteger(count)) {
    throw new RangeError(`${name}.${tail.name}: ${given.length} words are no multiple of ${tail.row.unit}`);
  }
  if (said !== undefined && Number(said) !== count) {
    throw new RangeError(`${name}.${tail.row.count}: ${String(said)}, but ${tail.name} makes it ${count}`);
  }
  const words = new Uint32Array(given.length);
  for (let i = 0; i < given.length; i++) words[i] = number32(`${name}.${tail.name}[${i}]`, given[i], 0xffff_ffff);
  return words;
}

function insert(packet: string, field: FieldCode, value: unknown, words: Uint32Array): void {
  const where = `${packet}.${field.name}`;
  if (!field.wide) {
    const n = number32(where, value, field.mask);
    words[field.word] = ((words[field.word] as number) | (n << field.shift)) >>> 0;
    return;
  }
  if (value === undefined) throw new RangeError(`${where} is missing`);
  if (typeof value !== 'bigint' && !Number.isSafeInteger(value))
    throw new RangeError(`${where}: ${String(value)} is no safe integer`);
  const wide = BigInt(value as number | bigint);
  const width = field.row.hi - field.row.lo + 1;
  if (wide < 0n || wide >> BigInt(width)) throw new RangeError(`${where}: ${hex(wide)} does not fit in ${width} bits`);
  words[field.word] = Number(wide & 0xffff_ffffn);
  words[field.word + 1] = ((words[field.word + 1] as number) | Number(wide >> 32n)) >>> 0;
}

function number32(where: string, value: unknown, mask: number): number {
  if (value === undefined) throw new RangeError(`${where} is missing`);
  const n = Number(value);
  if (!Number.isInteger(n)) throw new RangeError(`${where}: ${String(value)} is no integer`);
  if (n < 0 || n > mask) throw new RangeError(`${where}: ${hex(n)} does not fit in ${32 - Math.clz32(mask)} bits`);
  return n;
}

function hex(n: number | bigint): string {
  return n < 0 ? String(n) : `0x${n.toString(16)}`;
}

/** Compiles an instruction set from its rows. @throws Error where rows contradict each other */
export function packetSet<const P extends PacketRows, const V extends FormatRows>(
  facts: PacketSetFacts<P, V>,
): PacketSet<P, V> {
  return new PacketSet(facts);
}
