/**
 * How packets are written: `mnemonic.flag operand, [operand], field=value, flag`. The operands come from the rows.
 * The assembler reads this syntax and the disassembler prints it.
 */

import type { Instruction, Syntax } from './assembler.ts';
import { suggestion } from './diagnostics.ts';
import {
  type Cursor,
  checkWidth,
  type Expression,
  evaluate,
  Fault,
  type FunctionSpec,
  parseExpression,
  type Scope,
} from './expressions.ts';
import type { Token } from './lexer.ts';
import type { AnyPacketSet } from './packet-codec.ts';
import type { FieldRow, PacketRow, PayloadRow } from './packets.ts';
import type { SymbolTable } from './symbols.ts';

/** An operand by position: one field, several in brackets, or a payload. */
export interface Slot {
  readonly bracket: boolean;
  readonly fields: readonly string[];
}

/** A packet as it is written. */
export interface PacketForm {
  readonly name: string;
  readonly mnemonic: string;
  readonly row: PacketRow;
  readonly slots: readonly Slot[];
  /** Bytes of the fixed part. */
  readonly size: number;
  readonly payload: { readonly name: string; readonly row: PayloadRow } | undefined;
  /** Fields that must be given. */
  readonly needed: readonly string[];
}

/** @throws Error for operands that are no fields */
export function packetForms(set: AnyPacketSet): ReadonlyMap<string, PacketForm> {
  const forms = new Map<string, PacketForm>();
  for (const [name, row] of Object.entries(set.rows)) {
    const slots = parseSlots(row.operands ?? '');
    for (const field of slots.flatMap((slot) => slot.fields)) {
      if (!Object.hasOwn(row.fields, field)) throw new Error(`${set.name}.${name}: operand ${field} is no field`);
    }
    const payload = Object.entries(row.fields).find(([, field]) => field.kind === 'payload');
    forms.set(name.toLowerCase(), {
      name,
      mnemonic: name.toLowerCase(),
      row,
      slots,
      size: set.sizeInWords(name) * 4,
      payload: payload && { name: payload[0], row: payload[1] as PayloadRow },
      needed: neededFields(row),
    });
  }
  return forms;
}

/** All fields but those with a default and those that count a payload. */
function neededFields(row: PacketRow): string[] {
  const fields = Object.entries(row.fields);
  const counts = fields.flatMap(([, field]) => (field.kind === 'payload' ? [field.count] : []));
  return fields
    .filter(([name, field]) => !counts.includes(name) && (field.kind === 'payload' || field.default === undefined))
    .map(([name]) => name);
}

/** Slots of e.g. `[base, offset], value`. */
function parseSlots(operands: string): Slot[] {
  const slots: Slot[] = [];
  for (const match of operands.matchAll(/\[([^\]]*)\]|[^,\s]+/g)) {
    const inner = match[1];
    slots.push(
      inner === undefined
        ? { bracket: false, fields: [match[0]] }
        : { bracket: true, fields: inner.split(',').map((name) => name.trim()) },
    );
  }
  return slots;
}

/** `msg_long [addr], value`, as said in errors and in the reference. */
export function usage(form: PacketForm): string {
  const operands = form.slots.map((slot) => {
    const inner = slot.fields.join(', ');
    if (slot.bracket) return `[${inner}]`;
    return inner === form.payload?.name ? `{${inner}}` : inner;
  });
  return `${form.mnemonic} ${operands.join(', ')}`.trimEnd();
}

export function packetSyntax(set: AnyPacketSet, symbols: SymbolTable): Syntax {
  const forms = packetForms(set);
  return {
    name: set.name,
    alignment: set.facts.unitWords * 4,
    padding: set.encodeRow(set.facts.padding, {}),
    symbols,
    functions: functionsOf(set),
    mnemonics: () => forms.keys(),
    parse(mnemonic, cursor) {
      const [name = '', ...flags] = mnemonic.text.toLowerCase().split('.');
      const form = forms.get(name);
      return form && new OperandParser(set, form, mnemonic, cursor).parse(flags);
    },
  };
}

/** The formats of the set, and the halves of addresses. */
function functionsOf(set: AnyPacketSet): ReadonlyMap<string, FunctionSpec> {
  const x = { name: 'x', flag: false, width: undefined, default: undefined };
  const functions = new Map<string, FunctionSpec>([
    ['lo', { parameters: [x], apply: ([value = 0n]) => BigInt.asUintN(32, value) }],
    ['hi', { parameters: [x], apply: ([value = 0n]) => BigInt.asUintN(64, value) >> 32n }],
  ]);
  for (const [name, row] of Object.entries(set.formats)) {
    const fields = Object.entries(row.fields);
    functions.set(name, {
      parameters: fields.map(([field, f]) => ({
        name: field,
        flag: f.kind === 'flag',
        width: f.hi - f.lo + 1,
        default: f.default === undefined ? undefined : BigInt(f.default),
      })),
      apply: (values) => fields.reduce((sum, [, f], i) => sum | ((values[i] ?? 0n) << BigInt(f.lo)), 0n),
    });
  }
  return functions;
}

interface Given {
  readonly place: { readonly start: number; readonly end: number };
  /** Undefined: a flag that is set. */
  readonly value: Expression | undefined;
}

class OperandParser {
  readonly #set: AnyPacketSet;
  readonly #form: PacketForm;
  readonly #mnemonic: Token;
  readonly #cursor: Cursor;
  readonly #given = new Map<string, Given>();
  #payload: readonly Expression[] = [];
  #slot = 0;

  constructor(set: AnyPacketSet, form: PacketForm, mnemonic: Token, cursor: Cursor) {
    this.#set = set;
    this.#form = form;
    this.#mnemonic = mnemonic;
    this.#cursor = cursor;
  }

  /** @throws Fault */
  parse(flags: readonly string[]): Instruction {
    for (const flag of flags) {
      if (this.#field(flag)?.kind !== 'flag') throw this.#noField(this.#mnemonic, flag, 'flag');
      this.#give(flag, { place: this.#mnemonic, value: undefined });
    }
    const cursor = this.#cursor;
    while (!cursor.atLineEnd()) {
      this.#operand();
      if (cursor.atLineEnd()) break;
      if (!cursor.accept(',')) throw cursor.unexpected('"," or the end of the line');
      if (cursor.atLineEnd()) throw cursor.unexpected('an operand');
    }
    this.#complete();
    const { form, set, given, payload } = {
      form: this.#form,
      set: this.#set,
      given: this.#given,
      payload: this.#payload,
    };
    return {
      size: form.size + payload.length * 4,
      encode: (scope, warn) => encodePacket(set, form, given, payload, scope, warn),
    };
  }

  #operand(): void {
    const cursor = this.#cursor;
    const { token } = cursor;
    if (token.kind === 'name') {
      const name = token.text.toLowerCase();
      const field = this.#field(name);
      const after = cursor.peek();
      if (after.text === '=') {
        if (!field || field.kind === 'payload') throw this.#noField(token, token.text, 'field');
        cursor.next();
        cursor.next();
        this.#give(name, { place: token, value: parseExpression(cursor) });
        return;
      }
      if (field?.kind === 'flag' && (after.kind !== 'symbol' || after.text === ',')) {
        cursor.next();
        this.#give(name, { place: token, value: undefined });
        return;
      }
    }
    this.#positional(token);
  }

  #positional(token: Token): void {
    const slot = this.#form.slots[this.#slot++];
    if (!slot) {
      const flags = Object.keys(this.#form.row.fields).filter((name) => this.#field(name)?.kind === 'flag');
      const hint = token.kind === 'name' ? suggestion(token.text, flags) : '';
      throw new Fault(token, `too many operands: expected ${usage(this.#form)}${hint}`);
    }
    const cursor = this.#cursor;
    const [first = ''] = slot.fields;
    if (first === this.#form.payload?.name) {
      this.#payloadOperand(first);
    } else if (cursor.is('[')) {
      if (!slot.bracket) throw new Fault(token, `${first} is not in brackets: expected ${usage(this.#form)}`);
      cursor.next();
      slot.fields.forEach((name, i) => {
        if (i > 0) cursor.expect(',');
        this.#give(name, { place: cursor.token, value: parseExpression(cursor) });
      });
      cursor.expect(']');
    } else {
      if (slot.fields.length > 1) throw cursor.unexpected(`[${slot.fields.join(', ')}]`);
      this.#give(first, { place: token, value: parseExpression(cursor) });
    }
  }

  #payloadOperand(name: string): void {
    const cursor = this.#cursor;
    if (!cursor.is('{')) throw cursor.unexpected(`"{" and the ${name}`);
    const place = cursor.next();
    const values: Expression[] = [];
    cursor.skipNewlines();
    while (!cursor.is('}')) {
      values.push(parseExpression(cursor));
      cursor.skipNewlines();
      if (!cursor.accept(',') && !cursor.is('}')) throw cursor.unexpected('"," or "}"');
      cursor.skipNewlines();
    }
    cursor.next();
    this.#payload = values;
    this.#give(name, { place, value: undefined });
    const unit = this.#form.payload?.row.unit ?? 1;
    if (values.length % unit !== 0) {
      throw new Fault(place, `${values.length} ${name}: the number must be a multiple of ${unit}`);
    }
  }

  #give(name: string, given: Given): void {
    if (this.#given.has(name)) throw new Fault(given.place, `${name} is given twice`);
    this.#given.set(name, given);
  }

  #complete(): void {
    for (const name of this.#form.needed) {
      if (!this.#given.has(name)) {
        throw new Fault(this.#mnemonic, `${name} is missing: expected ${usage(this.#form)}`);
      }
    }
  }

  #field(name: string): FieldRow | PayloadRow | undefined {
    const { fields } = this.#form.row;
    return Object.hasOwn(fields, name) ? fields[name] : undefined;
  }

  #noField(place: Token, name: string, what: 'field' | 'flag'): Fault {
    const all = Object.keys(this.#form.row.fields);
    const names = all
      .filter((field) => this.#field(field)?.kind !== 'payload')
      .filter((field) => what === 'field' || this.#field(field)?.kind === 'flag');
    return new Fault(place, `${this.#form.mnemonic} has no ${what} "${name}"${suggestion(name, names)}`);
  }
}

function encodePacket(
  set: AnyPacketSet,
  form: PacketForm,
  given: ReadonlyMap<string, Given>,
  payload: readonly Expression[],
  scope: Scope,
  warn: (fault: Fault) => void,
): Uint8Array {
  const input: Record<string, unknown> = {};
  for (const [name, { place, value: expression }] of given) {
    const field = form.row.fields[name] as FieldRow | PayloadRow;
    if (field.kind === 'payload') continue;
    const value = expression ? fieldValue(field, expression, scope) : 1n;
    checkWidth(expression ?? place, name, value, field.hi - field.lo + 1);
    if (field.required !== undefined && value !== BigInt(field.required)) {
      const rule = `${name} of ${form.mnemonic} must be ${field.required}`;
      warn(new Fault(place, `${rule}; what the hardware does otherwise is not public`));
    }
    input[name] = value;
  }
  if (form.payload) {
    const { name, row } = form.payload;
    input[name] = payload.map((expression) => {
      const value = evaluate(expression, scope);
      checkWidth(expression, name, value, 32);
      return Number(value);
    });
    const count = payload.length / row.unit;
    const said = given.get(row.count);
    if (said && input[row.count] !== BigInt(count)) {
      throw new Fault(said.place, `${row.count} is ${count}, from the ${name}; leave it out`);
    }
    const counter = form.row.fields[row.count] as FieldRow;
    if (count > 2 ** (counter.hi - counter.lo + 1) - 1) {
      throw new Fault(
        given.get(name)?.place as Given['place'],
        `${payload.length} ${name} are more than ${row.count} can count`,
      );
    }
  }
  return set.encodeRow(form.name, input);
}

/** A field with named values takes their names; they go before symbols. */
function fieldValue(field: FieldRow, expression: Expression, scope: Scope): bigint {
  if (expression.kind === 'name' && field.names && Object.hasOwn(field.names, expression.name)) {
    return BigInt(field.names[expression.name] as number);
  }
  return evaluate(expression, scope);
}

/** One packet as text, in the form that assembles to the same bytes. */
export function printPacket(form: PacketForm, fields: Readonly<Record<string, unknown>>, symbols: SymbolTable): string {
  const inSlots = new Set(form.slots.flatMap((slot) => slot.fields));
  const operands = form.slots.map((slot) => {
    const parts = slot.fields.map((name) => printField(form, name, fields[name], slot.bracket ? symbols : undefined));
    return slot.bracket ? `[${parts.join(', ')}]` : parts.join(', ');
  });
  for (const [name, field] of Object.entries(form.row.fields)) {
    if (field.kind === 'payload' || inSlots.has(name) || name === form.payload?.row.count) continue;
    const value = BigInt(fields[name] as number | bigint);
    if (value === BigInt(field.default ?? 0)) continue;
    const flag = field.kind === 'flag' && value === 1n;
    operands.push(flag ? name : `${name}=${printField(form, name, value, undefined)}`);
  }
  return `${form.mnemonic} ${operands.join(', ')}`.trimEnd();
}

const VALUES_PER_LINE = 8;

function printField(form: PacketForm, name: string, value: unknown, symbols: SymbolTable | undefined): string {
  const field = form.row.fields[name] as FieldRow | PayloadRow;
  if (field.kind === 'payload') return printPayload(value as Uint32Array);
  const n = BigInt(value as number | bigint);
  for (const [word, meaning] of Object.entries(field.names ?? {})) if (n === BigInt(meaning)) return word;
  const wide = field.hi - field.lo >= 32;
  const known = wide ? symbols?.nameOf(n) : undefined;
  return known ?? printNumber(n, wide || field.radix === 16);
}

function printPayload(values: Uint32Array): string {
  const words = Array.from(values, (value) => printNumber(BigInt(value), true));
  if (words.length <= VALUES_PER_LINE) return `{${words.join(', ')}}`;
  const lines: string[] = [];
  for (let i = 0; i < words.length; i += VALUES_PER_LINE)
    lines.push(`  ${words.slice(i, i + VALUES_PER_LINE).join(', ')}`);
  return `{\n${lines.join(',\n')}\n}`;
}

export function printNumber(n: bigint, hex: boolean): string {
  return hex && n > 9n ? `0x${n.toString(16)}` : n.toString();
}
