/** Parses what follows a mnemonic: registers, numbers, labels, masks, switches, a predicate. */

import { suggestion } from '../diagnostics.ts';
import { Fault } from '../expressions.ts';
import type { Comparison, Predicate, RegisterFile } from './bundle.ts';
import { comparisons } from './bundle.ts';
import type { CompiledInstruction, RegisterName } from './forms.ts';
import { integerValue, realBits, typedNumber } from './numbers.ts';
import type { ScanToken } from './scanner.ts';

interface Place {
  readonly start: number;
  readonly end: number;
}

export type Given = Place &
  (
    | { readonly kind: 'register'; readonly file: RegisterFile; readonly number: number; readonly exists: boolean }
    | { readonly kind: 'number'; readonly value: number; readonly real: boolean }
    | { readonly kind: 'label'; readonly name: string; readonly addend: number }
    | { readonly kind: 'dims'; readonly value: number }
    | { readonly kind: 'comparison'; readonly value: Comparison }
  );

export interface GivenSwitch extends Place {
  readonly name: string;
  readonly value: string | undefined;
}

export interface GivenOperands {
  readonly operands: Given[];
  readonly switches: GivenSwitch[];
  /** Written with `!`: certainly a predicate. */
  readonly predicate: (Predicate & Place) | undefined;
}

export interface OperandContext {
  readonly registers: ReadonlyMap<string, RegisterName>;
  /** Names with a value, from `.set` and the caller. */
  readonly constants: ReadonlyMap<string, bigint>;
  /** An error, or a warning where the caller is lenient. */
  defect(fault: Fault): void;
}

export class OperandParser {
  readonly #context: OperandContext;
  readonly #row: CompiledInstruction | undefined;
  readonly #tokens: readonly ScanToken[];
  #at = 0;
  #commaSeen = false;
  readonly #operands: Given[] = [];
  readonly #switches: GivenSwitch[] = [];
  #predicate: (Predicate & Place) | undefined;

  /** `row`: whose switches are known; undefined for LOOP, which has none. */
  constructor(context: OperandContext, row: CompiledInstruction | undefined, tokens: readonly ScanToken[]) {
    this.#context = context;
    this.#row = row;
    this.#tokens = tokens;
  }

  /** @throws Fault */
  parse(suffixes: readonly GivenSwitch[]): GivenOperands {
    this.#switches.push(...suffixes);
    while (this.#at < this.#tokens.length) {
      if (this.#predicate) throw new Fault(this.#token(), 'nothing may follow a predicate');
      const spaced = this.#operand();
      const next = this.#tokens[this.#at];
      if (!next) break;
      if (next.text === ',') {
        this.#at++;
        if (!spaced.isSwitch) this.#commaSeen = true;
        if (this.#at === this.#tokens.length) throw new Fault(next, 'an operand must follow the comma');
      } else if (this.#commaSeen || !spaced.mayBeSpaced)
        throw new Fault(next, 'a comma is expected before this operand');
    }
    return { operands: this.#operands, switches: this.#switches, predicate: this.#predicate };
  }

  #token(): ScanToken {
    return this.#tokens[this.#at] as ScanToken;
  }

  /** One operand or switch. Masks, numbers and switches before the first comma may be followed by a blank. */
  #operand(): { readonly mayBeSpaced: boolean; readonly isSwitch: boolean } {
    const token = this.#token();
    if (token.kind === 'bad') throw new Fault(token, `unexpected character ${JSON.stringify(token.text)}`);
    if (token.kind === 'symbol') return this.#symbol(token);
    if (token.kind === 'integer' || token.kind === 'real') {
      this.#number(token, false, undefined);
      return SPACED;
    }
    return this.#name(token);
  }

  #symbol(token: ScanToken) {
    if (token.text === '!') {
      this.#at++;
      const name = this.#tokens[this.#at];
      const register = name && this.#context.registers.get(name.text.replace(/^%/, '').toUpperCase());
      if (!name || !register || (register.file !== 'SP' && register.file !== 'VP')) {
        throw new Fault(name ?? token, 'a predicate register is expected after "!", e.g. !SP1');
      }
      this.#at++;
      this.#predicate = {
        file: register.file,
        number: register.number,
        inverted: true,
        start: token.start,
        end: name.end,
      };
      return UNSPACED;
    }
    if (token.text === '-' || token.text === '+') {
      this.#at++;
      const number = this.#tokens[this.#at];
      if (number?.kind !== 'integer' && number?.kind !== 'real') {
        throw new Fault(number ?? token, `a number is expected after "${token.text}"`);
      }
      this.#number(number, token.text === '-', token);
      return SPACED;
    }
    const comparison = comparisons.find((each) => each === token.text);
    if (!comparison) throw new Fault(token, `an operand is expected, not "${token.text}"`);
    this.#at++;
    this.#operands.push({ kind: 'comparison', value: comparison, start: token.start, end: token.end });
    return UNSPACED;
  }

  /** A number, with its suffix where one follows. */
  #number(token: ScanToken, negative: boolean, sign: Place | undefined, type = ''): void {
    this.#at++;
    const suffix = this.#tokens[this.#at];
    let suffixText = '';
    let end = token.end;
    if (suffix?.kind === 'name' && suffix.joined) {
      // The lexer of LLVM takes these in upper case after any integer, and forgets them.
      if (token.kind === 'integer' && /^(?:U?LL?|U)$/.test(suffix.text)) {
        this.#at++;
        this.#integer(signed(token, negative), type, { start: sign?.start ?? token.start, end: suffix.end });
        return;
      }
      suffixText = suffix.text.toLowerCase();
      end = suffix.end;
      this.#at++;
    }
    const start = sign?.start ?? token.start;
    if (token.kind === 'real') {
      if (!['', 'f', 'h', 'bf'].includes(suffixText))
        throw new Fault(suffix as ScanToken, 'a suffix f, bf or h is expected');
      const value = realBits(token.text, suffixText, negative, token);
      this.#operands.push({ kind: 'number', value, real: true, start, end });
      return;
    }
    if (suffixText !== '' && (suffixText !== 'u' || negative)) {
      throw new Fault(suffix as ScanToken, 'an integer has no such suffix');
    }
    this.#integer(signed(token, negative), type, { start, end });
  }

  #integer(value: bigint, type: string, place: Place): void {
    const bits = BigInt(/\d+/.exec(type)?.[0] ?? 32);
    const least = type.startsWith('u') ? 0n : -(1n << (bits - 1n));
    const most = type.startsWith('i') && bits < 32n ? (1n << (bits - 1n)) - 1n : (1n << bits) - 1n;
    // i16_xffff is the bits of -1.
    if (value < least || (value > most && value >= 1n << bits)) {
      this.#context.defect(new Fault(place, `${value} does not fit ${type || 'the 32 bits of the immediate'}`));
    }
    const word = Number(BigInt.asUintN(32, value));
    this.#operands.push({ kind: 'number', value: word, real: false, ...place });
  }

  #name(token: ScanToken) {
    const place = { start: token.start, end: token.end };
    const upper = (token.text.startsWith('%') ? token.text.slice(1) : token.text).toUpperCase();
    const register = this.#context.registers.get(upper);
    if (register) {
      this.#at++;
      const { file, number, exists } = register;
      if (!exists) this.#context.defect(new Fault(token, `the chip has no register ${upper}`));
      this.#operands.push({ kind: 'register', file, number, exists, ...place });
      return file === 'HW' ? SPACED : UNSPACED;
    }
    if (/^[DAZ]\d+$/.test(upper)) {
      const what = upper[0] === 'A' ? 'quad, whose number is a multiple of 4' : 'pair, whose number is even';
      throw new Fault(token, `${upper} is no register: it would have to be a ${what}, and that the chip has`);
    }
    if (/^(V|S|I|AD|SP|VP)\d+$/.test(upper)) throw new Fault(token, `the chip has no register ${upper}`);
    const next = this.#tokens[this.#at + 1];
    if (next?.text === '=') return this.#switchWithValue(token);
    if (/^b[01]+$/i.test(token.text)) {
      if (token.text.length !== 6)
        throw new Fault(token, 'a mask has five digits, one for each dimension, e.g. b00011');
      this.#at++;
      this.#operands.push({ kind: 'dims', value: Number.parseInt(token.text.slice(1), 2), ...place });
      return SPACED;
    }
    const typed = typedNumber(token.text);
    if (typed) {
      this.#typed(token, typed.type, typed.rest);
      return SPACED;
    }
    if (this.#row && switchNames(this.#row).has(token.text.toLowerCase())) {
      this.#at++;
      this.#switches.push({ name: token.text.toLowerCase(), value: undefined, ...place });
      return SWITCH;
    }
    const constant = this.#context.constants.get(token.text);
    if (constant !== undefined) {
      this.#at++;
      this.#integer(constant, '', place);
      return SPACED;
    }
    if (this.#row && !takesLabel(this.#row)) {
      const known = [...switchNames(this.#row), ...this.#context.registers.keys()];
      throw new Fault(token, `"${token.text}" is no register and no switch of ${this.#row.name}`, () =>
        suggestion(token.text, known),
      );
    }
    this.#label(token);
    return UNSPACED;
  }

  #switchWithValue(token: ScanToken) {
    const value = this.#tokens[this.#at + 2];
    if (value?.kind !== 'name' && value?.kind !== 'integer') {
      throw new Fault(value ?? token, 'a number or a name is expected after "="');
    }
    this.#at += 3;
    this.#switches.push({ name: token.text.toLowerCase(), value: value.text, start: token.start, end: value.end });
    return SWITCH;
  }

  #typed(token: ScanToken, type: string, rest: string): void {
    const place = { start: token.start, end: token.end };
    const isFloat = type.startsWith('f') || type.startsWith('bf');
    if (rest === '') {
      // The sign and the digits are tokens of their own: i32_-12.
      this.#at++;
      const sign = this.#token()?.text === '-' || this.#token()?.text === '+' ? this.#token() : undefined;
      if (sign) this.#at++;
      const number = this.#tokens[this.#at];
      if (number?.kind !== 'integer' && number?.kind !== 'real')
        throw new Fault(number ?? token, 'a number is expected');
      if (!isFloat) {
        this.#number(number, sign?.text === '-', token, type);
        return;
      }
      this.#at++;
      this.#float(type, number.text, sign?.text === '-', number, { start: token.start, end: number.end });
      return;
    }
    this.#at++;
    if (isFloat) {
      this.#float(type, rest, false, token, place);
      return;
    }
    const digits = /^[xX]([0-9a-fA-F]+)$/.exec(rest)?.[1];
    if (digits === undefined && !/^\d+$/.test(rest)) throw new Fault(token, `"${rest}" is no number`);
    this.#integer(digits === undefined ? BigInt(rest) : BigInt(`0x${digits}`), type, place);
  }

  #float(type: string, text: string, negative: boolean, token: ScanToken, place: Place): void {
    if (!/^(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) throw new Fault(token, `"${text}" is no number`);
    const suffix = type === 'bf16' ? 'bf' : type === 'f16' ? 'h' : '';
    this.#operands.push({ kind: 'number', value: realBits(text, suffix, negative, token), real: true, ...place });
  }

  #label(token: ScanToken): void {
    this.#at++;
    let addend = 0;
    let end = token.end;
    const sign = this.#tokens[this.#at];
    const number = this.#tokens[this.#at + 1];
    if ((sign?.text === '+' || sign?.text === '-') && number?.kind === 'integer') {
      addend = Number(integerValue(number.text)) * (sign.text === '-' ? -1 : 1);
      end = number.end;
      this.#at += 2;
    }
    this.#operands.push({ kind: 'label', name: token.text, addend, start: token.start, end });
  }
}

function signed(token: ScanToken, negative: boolean): bigint {
  const size = integerValue(token.text);
  return negative ? -size : size;
}

const SPACED = { mayBeSpaced: true, isSwitch: false };
const UNSPACED = { mayBeSpaced: false, isSwitch: false };
const SWITCH = { mayBeSpaced: true, isSwitch: true };

const names = new WeakMap<CompiledInstruction, ReadonlySet<string>>();

/** Names of switches and of their values, in lower case. */
export function switchNames(row: CompiledInstruction): ReadonlySet<string> {
  let set = names.get(row);
  if (!set) {
    set = new Set(
      row.switches.flatMap((s) => [...s.names, ...[...s.values.keys()].filter((name) => !/^\d/.test(name))]),
    );
    names.set(row, set);
  }
  return set;
}

function takesLabel(row: CompiledInstruction): boolean {
  return row.forms.some((form) => form.operands.some((operand) => operand.kinds.includes('label')));
}
