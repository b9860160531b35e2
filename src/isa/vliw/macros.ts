/**
 * Macros, repetitions and conditions of LLVM's assembler, as lines of text: what is left has none of them. Sources:
 * llvm/lib/MC/MCParser/AsmParser.cpp (parseDirectiveMacro, expandMacro, parseDirectiveRept, parseDirectiveIf and its kin).
 */

import { Fault } from '../expressions.ts';
import { constantValue } from './constant.ts';
import { scan } from './scanner.ts';

/** A line of the text, or one that was made by a line of it. */
interface Line {
  readonly text: string;
  /** Offsets in the source: of the line, or of that which made it. */
  readonly start: number;
  readonly end: number;
  /** It stands in the source as it is. */
  readonly own: boolean;
}

interface Macro {
  readonly parameters: readonly Parameter[];
  readonly body: readonly Line[];
}

interface Parameter {
  readonly name: string;
  readonly default: string | undefined;
  readonly required: boolean;
  /** Takes all that is left. */
  readonly vararg: boolean;
}

interface Condition {
  readonly place: Line;
  /** Lines are taken now. */
  active: boolean;
  /** One branch was taken, or none may be. */
  done: boolean;
  seenElse: boolean;
}

export interface Expansion {
  readonly text: string;
  /** Line of the source (from 1) for a line of the text (from 1). */
  lineOf(line: number): number;
  /** A place of the text in the source. */
  placeOf(place: { readonly start: number; readonly end: number }): { readonly start: number; readonly end: number };
}

/** A text that has none of these directives needs no expansion. */
const NEEDED = /\.(?:macro|rept?|irpc?|if\w*|else\w*|endif|purgem|err(?:or)?|warning|print|end[mr])\b/i;
const LIMIT_DEPTH = 20;
const LIMIT_LINES = 1 << 18;
const LIMIT_TEXT = 64 * 1024 * 1024;
/** Lines looked at, and rounds of repetitions. */
const LIMIT_WORK = 1 << 19;

export function needsExpansion(text: string): boolean {
  return NEEDED.test(text);
}

/**
 * @param text without block comments
 * @param constants that are defined before it
 * @param fault told of what is wrong; the line is left out
 */
export function expand(
  text: string,
  constants: ReadonlyMap<string, bigint>,
  fault: (fault: Fault, severity: 'error' | 'warning') => void,
): Expansion {
  return new Expander(text, constants, fault).run();
}

class Expander {
  readonly #source: string;
  readonly #fault: (fault: Fault, severity: 'error' | 'warning') => void;
  readonly #constants: Map<string, bigint>;
  readonly #macros = new Map<string, Macro>();
  readonly #out: Line[] = [];
  #length = 0;
  #calls = 0;
  #work = 0;
  /** A limit was met: nothing more is made. */
  #full = false;

  constructor(
    text: string,
    constants: ReadonlyMap<string, bigint>,
    fault: (fault: Fault, severity: 'error' | 'warning') => void,
  ) {
    this.#source = text;
    this.#constants = new Map(constants);
    this.#fault = fault;
  }

  run(): Expansion {
    const lines: Line[] = [];
    for (let start = 0; start <= this.#source.length; ) {
      let end = this.#source.indexOf('\n', start);
      if (end < 0) end = this.#source.length;
      lines.push({ text: this.#source.slice(start, end), start, end, own: true });
      start = end + 1;
    }
    this.#lines(lines, 0);
    return expansion(lines, this.#full ? [] : this.#out);
  }

  /** True: the macro was left by .exitm. */
  #lines(lines: readonly Line[], depth: number): boolean {
    const conditions: Condition[] = [];
    for (let at = 0; at < lines.length && !this.#full; at++) {
      const line = lines[at] as Line;
      try {
        this.#count();
        const { word, rest, restAt, label } = parts(line.text);
        const name = word.toLowerCase();
        if (this.#condition(name, rest, restAt, line, conditions)) continue;
        if (conditions.some((each) => !each.active)) continue;
        if (name === '.exitm' && depth > 0) return true;
        const block = blocks.get(name);
        if (block) {
          const end = blockEnd(lines, at, block);
          const body = lines.slice(at + 1, end);
          at = end;
          if (label !== '') this.#emit({ ...line, text: label, own: false });
          this.#block(name, rest, restAt, line, body, depth);
          continue;
        }
        if (this.#simple(name, word, rest, restAt, line, depth)) continue;
        this.#emit(line);
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        this.#report(error, line);
      }
    }
    const open = conditions.at(-1);
    if (open) this.#report(new Fault({ start: 0, end: 0 }, 'this condition is never closed by .endif'), open.place);
    return false;
  }

  /** A fault of a line is at a place in it, if it stands in the source; else at the line that made it. */
  #report(fault: Fault, line: Line, severity: 'error' | 'warning' = 'error'): void {
    const [start, end] =
      line.own && fault.end > 0 ? [line.start + fault.start, line.start + fault.end] : [line.start, line.end];
    this.#fault(new Fault({ start, end: Math.max(end, start + 1) }, fault.message, fault.hint), severity);
  }

  #emit(line: Line): void {
    this.#length += line.text.length + 1;
    if (this.#out.length >= LIMIT_LINES || this.#length > LIMIT_TEXT)
      this.#stop('macros and repetitions make too much text');
    this.#out.push(line);
  }

  #count(): void {
    if (++this.#work > LIMIT_WORK) this.#stop('macros and repetitions take too long');
  }

  /** What else there is would only say the same. */
  #stop(message: string): never {
    this.#full = true;
    throw new Fault({ start: 0, end: 0 }, message);
  }

  #value(text: string, at: number): bigint {
    return constantValue(scan(text, at), (name) => this.#constants.get(name), { start: at, end: at + text.length });
  }

  /** Conditions are looked at even where they are not taken, because they nest. */
  #condition(name: string, rest: string, restAt: number, line: Line, conditions: Condition[]): boolean {
    const last = conditions.at(-1);
    if (name.startsWith('.if') && name in tests) {
      const reached = conditions.every((each) => each.active);
      const active = reached && this.#test(name, rest, restAt);
      conditions.push({ place: line, active, done: active || !reached, seenElse: false });
      return true;
    }
    if (name !== '.else' && name !== '.elseif' && name !== '.endif') return false;
    const place = { start: 0, end: line.text.length };
    if (!last) throw new Fault(place, `${name} without .if`);
    if (name === '.endif') {
      conditions.pop();
      return true;
    }
    if (last.seenElse) throw new Fault(place, `${name} after .else`);
    last.seenElse = name === '.else';
    last.active = !last.done && (name === '.else' || this.#value(rest, restAt) !== 0n);
    last.done ||= last.active;
    return true;
  }

  #test(name: string, rest: string, at: number): boolean {
    const test = tests[name];
    if (test) return test(this.#value(rest, at));
    const text = rest.trim();
    if (name === '.ifb') return text === '';
    if (name === '.ifnb') return text !== '';
    if (name === '.ifdef') return this.#constants.has(text);
    if (name === '.ifndef' || name === '.ifnotdef') return !this.#constants.has(text);
    const [a, b, ...more] = split(rest).map(unquoted);
    if (a === undefined || b === undefined || more.length > 0) {
      throw new Fault({ start: at, end: at + rest.length }, `${name} TEXT, TEXT is expected`);
    }
    return (a === b) === (name === '.ifc' || name === '.ifeqs');
  }

  #block(name: string, rest: string, restAt: number, line: Line, body: readonly Line[], depth: number): void {
    const place = { start: restAt, end: restAt + Math.max(rest.length, 1) };
    if (name === '.macro') {
      const [macro, parameters] = parseMacro(rest, place);
      this.#macros.set(macro, { parameters, body });
      return;
    }
    const rounds: ((text: string) => string)[] = [];
    if (name === '.rept' || name === '.rep') {
      const count = this.#value(rest, restAt);
      if (count < 0n || count > LIMIT_LINES)
        throw new Fault(place, `${count} rounds are not between 0 and ${LIMIT_LINES}`);
      for (let n = 0; n < count; n++) rounds.push((text) => text);
    } else {
      const [parameter, ...values] = split(rest);
      if (!parameter || !NAME.test(parameter)) throw new Fault(place, `${name} NAME, VALUE... is expected`);
      const each = name === '.irpc' ? [...unquoted(values.join(''))] : values;
      for (const value of each) rounds.push((text) => substitute(text, new Map([[parameter, value]]), this.#calls));
    }
    for (const round of rounds) {
      if (this.#full) return;
      this.#count();
      this.#made(body, line, round, depth);
    }
  }

  #made(body: readonly Line[], by: Line, change: (text: string) => string, depth: number): void {
    if (depth >= LIMIT_DEPTH) this.#stop(`macros nest ${LIMIT_DEPTH} deep at most`);
    const { start, end } = by;
    this.#lines(
      body.map(({ text }) => ({ text: change(text), start, end, own: false })),
      depth + 1,
    );
  }

  /** Calls of macros, and directives that are for this stage alone. False: the line is for the assembler. */
  #simple(name: string, word: string, rest: string, restAt: number, line: Line, depth: number): boolean {
    const from = rest === '' ? Math.max(0, line.text.indexOf(word)) : restAt;
    const place = { start: from, end: Math.max(restAt + rest.length, from + 1) };
    const macro = this.#macros.get(word);
    if (macro) {
      const values = bind(word, macro, rest, place);
      const call = this.#calls++;
      this.#made(macro.body, line, (text) => substitute(text, values, call), depth);
      return true;
    }
    switch (name) {
      case '.purgem':
        if (!this.#macros.delete(rest.trim()))
          throw new Fault(place, `there is no macro "${rest.trim().slice(0, 64)}"`);
        return true;
      case '.endm':
      case '.endmacro':
      case '.endr':
      case '.exitm':
        throw new Fault({ start: 0, end: line.text.length }, `${name} without what it ends`);
      case '.err':
      case '.error':
        throw new Fault(place, unquoted(rest.trim()) || '.err');
      case '.warning':
        this.#report(new Fault(place, unquoted(rest.trim())), line, 'warning');
        return true;
      case '.print':
        return true;
      case '.set':
      case '.equ':
      case '.equiv': {
        const [symbol, ...value] = split(rest);
        this.#define(symbol ?? '', value.join(','), restAt);
        return false;
      }
    }
    const value = /^\s*=(?!=)(.*)$/.exec(rest)?.[1];
    if (value !== undefined && NAME.test(word)) this.#define(word, value, restAt);
    return false;
  }

  /** What cannot be computed here, or not at all, is for the assembler to say. */
  #define(name: string, value: string, at: number): void {
    try {
      this.#constants.set(name.trim(), this.#value(withoutComment(value), at));
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
    }
  }
}

const NAME = /^[A-Za-z_.$][\w.$]*$/;

/** Directives that begin a block, and what ends it. */
const endOfMacro = /^\.endm(?:acro)?$/;
const endOfRounds = /^\.endr$/;
const blocks: ReadonlyMap<string, RegExp> = new Map([
  ['.macro', endOfMacro],
  ['.rept', endOfRounds],
  ['.rep', endOfRounds],
  ['.irp', endOfRounds],
  ['.irpc', endOfRounds],
]);

const tests: Readonly<Record<string, ((value: bigint) => boolean) | undefined>> = {
  '.if': (value) => value !== 0n,
  '.ifne': (value) => value !== 0n,
  '.ifeq': (value) => value === 0n,
  '.ifge': (value) => value >= 0n,
  '.ifgt': (value) => value > 0n,
  '.ifle': (value) => value <= 0n,
  '.iflt': (value) => value < 0n,
  '.ifb': undefined,
  '.ifnb': undefined,
  '.ifdef': undefined,
  '.ifndef': undefined,
  '.ifnotdef': undefined,
  '.ifc': undefined,
  '.ifnc': undefined,
  '.ifeqs': undefined,
  '.ifnes': undefined,
};

/** The first word of a line after its labels, and what follows up to the comment. */
function parts(text: string): { label: string; word: string; rest: string; restAt: number } {
  const [, label = '', word = ''] = /^(\s*(?:[\w.$]+:\s*)*)([\w.$]*)/.exec(text) ?? [];
  let restAt = label.length + word.length;
  while (text[restAt] === ' ' || text[restAt] === '\t') restAt++;
  return { label: label.trim(), word, rest: withoutComment(text.slice(restAt)).trimEnd(), restAt };
}

function withoutComment(text: string): string {
  return /^(?:"(?:[^"\\]|\\.)*"|(?!\/\/|#)[\s\S])*/.exec(text)?.[0] ?? '';
}

/** The line that ends the block which begins at `from`. @throws Fault */
function blockEnd(lines: readonly Line[], from: number, end: RegExp): number {
  let depth = 0;
  for (let at = from; at < lines.length; at++) {
    const word = parts((lines[at] as Line).text).word.toLowerCase();
    if (blocks.get(word) === end) depth++;
    else if (end.test(word) && --depth === 0) return at;
  }
  const { text } = lines[from] as Line;
  throw new Fault({ start: 0, end: text.length }, 'this block is never ended');
}

/** Arguments: at commas, and at blanks that stand between no operators. Quotes and brackets hold together. */
function split(text: string): string[] {
  const found: string[] = [];
  let current = '';
  let depth = 0;
  const push = () => {
    found.push(current.trim());
    current = '';
  };
  const trimmed = text.trim();
  if (trimmed === '') return found;
  for (let at = 0; at < trimmed.length; at++) {
    const c = trimmed[at] as string;
    if (c === '"') {
      const end = /^"(?:[^"\\]|\\.)*"?/.exec(trimmed.slice(at))?.[0] ?? c;
      current += end;
      at += end.length - 1;
      continue;
    }
    if (c === '(') depth++;
    if (c === ')') depth--;
    if (c === ',' && depth <= 0) push();
    else if (/\s/.test(c) && depth <= 0 && current.trim() !== '' && !OPERATOR_BEFORE.test(current)) {
      const next = /^\s*(\S)/.exec(trimmed.slice(at))?.[1] ?? '';
      if (next === ',' || OPERATOR.test(next)) current += c;
      else push();
    } else current += c;
  }
  push();
  return found;
}

const OPERATOR = /[-+*/%&|^<>=~]/;
const OPERATOR_BEFORE = /[-+*/%&|^<>=~!]\s*$/;

function unquoted(text: string): string {
  const inner = /^"((?:[^"\\]|\\.)*)"$/.exec(text)?.[1];
  return inner === undefined ? text : inner.replace(/\\(.)/g, '$1');
}

/** @throws Fault */
function parseMacro(rest: string, place: { start: number; end: number }): [string, Parameter[]] {
  const [, name = '', list = ''] = /^\s*([\w.$]+)\s*,?\s*(.*)$/.exec(rest) ?? [];
  if (!NAME.test(name)) throw new Fault(place, '.macro NAME PARAMETER... is expected');
  const parameters = split(list).map((text): Parameter => {
    const [, parameter = '', qualifier = '', value] = /^([\w.$]+)\s*(?::\s*(\w+))?\s*(?:=\s*(.*))?$/.exec(text) ?? [];
    const known = ['', 'req', 'vararg'].includes(qualifier.toLowerCase());
    if (!NAME.test(parameter) || !known) throw new Fault(place, `"${text.slice(0, 64)}" is no parameter`);
    const kind = qualifier.toLowerCase();
    return {
      name: parameter,
      default: value === undefined ? undefined : unquoted(value),
      required: kind === 'req',
      vararg: kind === 'vararg',
    };
  });
  return [name, parameters];
}

/** @throws Fault */
function bind(name: string, macro: Macro, rest: string, place: { start: number; end: number }): Map<string, string> {
  if (rest.includes(';')) throw new Fault(place, 'the call of a macro is a line of its own');
  const { parameters } = macro;
  const values = new Map<string, string>();
  let position = 0;
  const given = split(rest);
  for (let n = 0; n < given.length; n++) {
    const text = given[n] as string;
    const [, key, named] = /^([A-Za-z_.$][\w.$]*)\s*=(?!=)\s*(.*)$/.exec(text) ?? [];
    const byName = key === undefined ? undefined : parameters.find((each) => each.name === key);
    const parameter = byName ?? parameters[position++];
    if (!parameter) throw new Fault(place, `${name} takes ${parameters.length} arguments`);
    if (values.has(parameter.name)) throw new Fault(place, `${parameter.name} is given twice`);
    if (parameter.vararg) {
      values.set(parameter.name, given.slice(n).join(', '));
      break;
    }
    values.set(parameter.name, unquoted(byName ? (named as string) : text));
  }
  for (const { name: parameter, default: value, required } of parameters) {
    const current = values.get(parameter);
    if (current !== undefined && current !== '') continue;
    if (required) throw new Fault(place, `${parameter} of ${name} is missing`);
    values.set(parameter, value ?? '');
  }
  return values;
}

/** `\name` by its value, `\@` by the number of the call, `\()` by nothing. */
function substitute(text: string, values: ReadonlyMap<string, string>, call: number): string {
  return text.replace(/\\(?:(@)|\(\)|([\w.$]+))/g, (whole, counter: string | undefined, name: string | undefined) => {
    if (counter) return String(call);
    if (name === undefined) return '';
    // The longest beginning that is a parameter: `\reg.f32` is that of reg.
    for (let end = name.length; end > 0; end--) {
      const value = values.get(name.slice(0, end));
      if (value !== undefined && (end === name.length || !/\w/.test(name[end] as string)))
        return value + name.slice(end);
    }
    return whole;
  });
}

function expansion(source: readonly Line[], out: readonly Line[]): Expansion {
  const starts: number[] = [];
  let length = 0;
  for (const { text } of out) {
    starts.push(length);
    length += text.length + 1;
  }
  const lineAt = new Map(source.map(({ start }, n) => [start, n + 1]));
  const indexOf = (offset: number) => {
    let [low, high] = [0, starts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] as number) <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  };
  return {
    text: out.map(({ text }) => text).join('\n'),
    lineOf: (line) => lineAt.get(out[line - 1]?.start ?? 0) ?? 1,
    placeOf({ start, end }) {
      const line = out[indexOf(start)];
      if (!line) return { start: 0, end: 0 };
      const shift = line.start - (starts[indexOf(start)] as number);
      return line.own ? { start: start + shift, end: end + shift } : { start: line.start, end: line.end };
    },
  };
}
