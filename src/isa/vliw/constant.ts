/**
 * Expressions of directives: integers, names of numbers, and the operators of LLVM's assembler with its precedences
 * (llvm/lib/MC/MCParser/AsmParser.cpp, getGNUBinOpPrecedence), which are not those of C.
 */

import { Fault } from '../expressions.ts';
import { integerValue } from './numbers.ts';
import type { ScanToken } from './scanner.ts';

/** What a name stands for; undefined: nothing. */
export type Lookup = (name: string) => bigint | undefined;

interface Place {
  readonly start: number;
  readonly end: number;
}

const precedence: Readonly<Record<string, number>> = {
  '||': 1,
  '&&': 2,
  '==': 3,
  '!=': 3,
  '<>': 3,
  '<': 3,
  '<=': 3,
  '>': 3,
  '>=': 3,
  '+': 4,
  '-': 4,
  '|': 5,
  '^': 5,
  '&': 5,
  '*': 6,
  '/': 6,
  '%': 6,
  '<<': 6,
  '>>': 6,
};

const MAX_DEPTH = 100;
const BITS = 64;

/**
 * @param place where to point where there are no tokens
 * @throws Fault for what is no expression, unknown names, division by zero
 */
export function constantValue(tokens: readonly ScanToken[], lookup: Lookup, place: Place): bigint {
  const reader = new Reader(tokens, lookup, place);
  const value = reader.binary(1, 0);
  reader.end();
  return value;
}

class Reader {
  readonly #tokens: readonly ScanToken[];
  readonly #lookup: Lookup;
  readonly #place: Place;
  #at = 0;

  constructor(tokens: readonly ScanToken[], lookup: Lookup, place: Place) {
    this.#tokens = tokens;
    this.#lookup = lookup;
    this.#place = place;
  }

  end(): void {
    const left = this.#tokens[this.#at];
    if (left) throw new Fault(left, 'the expression ends before this');
  }

  binary(least: number, depth: number): bigint {
    let value = this.#unary(depth);
    for (;;) {
      const operator = this.#operator();
      const strength = operator === undefined ? 0 : (precedence[operator] ?? 0);
      if (operator === undefined || strength < least) return value;
      this.#at += this.#tokens[this.#at]?.text === operator ? 1 : 2;
      const place = this.#tokens[this.#at] ?? this.#place;
      value = BigInt.asIntN(BITS, apply(operator, value, this.binary(strength + 1, depth + 1), place));
    }
  }

  /** The operator here, of one or two tokens that are written together: each has one character. */
  #operator(): string | undefined {
    const token = this.#tokens[this.#at];
    if (!token || token.kind === 'integer') return undefined;
    if (token.text.length > 1) return precedence[token.text] === undefined ? undefined : token.text;
    const next = this.#tokens[this.#at + 1];
    const two = next?.joined ? token.text + next.text : '';
    return precedence[two] !== undefined ? two : precedence[token.text] !== undefined ? token.text : undefined;
  }

  #unary(depth: number): bigint {
    const token = this.#tokens[this.#at];
    if (!token) throw new Fault(this.#tokens.at(-1) ?? this.#place, 'a number is expected');
    if (depth > MAX_DEPTH) throw new Fault(token, 'the expression is nested too deeply');
    this.#at++;
    switch (token.text) {
      case '-':
        return -this.#unary(depth + 1);
      case '+':
        return this.#unary(depth + 1);
      case '~':
        return ~this.#unary(depth + 1);
      case '!':
        return this.#unary(depth + 1) === 0n ? 1n : 0n;
      case '(': {
        const value = this.binary(1, depth + 1);
        const close = this.#tokens[this.#at];
        if (close?.text !== ')') throw new Fault(close ?? token, '")" is expected');
        this.#at++;
        return value;
      }
    }
    if (token.kind === 'integer') return integerValue(token.text);
    const value = token.kind === 'name' || token.text === '.' ? this.#lookup(token.text) : undefined;
    if (value === undefined) throw new Fault(token, 'a number or a name of one is expected');
    return value;
  }
}

function apply(operator: string, a: bigint, b: bigint, place: Place): bigint {
  const truth = (value: boolean) => (value ? 1n : 0n);
  switch (operator) {
    case '||':
      return truth(a !== 0n || b !== 0n);
    case '&&':
      return truth(a !== 0n && b !== 0n);
    case '==':
      return truth(a === b);
    case '!=':
    case '<>':
      return truth(a !== b);
    case '<':
      return truth(a < b);
    case '<=':
      return truth(a <= b);
    case '>':
      return truth(a > b);
    case '>=':
      return truth(a >= b);
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '|':
      return a | b;
    case '^':
      return a ^ b;
    case '&':
      return a & b;
    case '*':
      return a * b;
    case '<<':
    case '>>':
      if (b < 0n || b >= BITS) throw new Fault(place, `a shift by ${b} is not between 0 and ${BITS - 1}`);
      return operator === '<<' ? a << b : a >> b;
    default:
      if (b === 0n) throw new Fault(place, 'division by zero');
      return operator === '/' ? a / b : a % b;
  }
}
