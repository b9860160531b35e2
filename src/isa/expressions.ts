/** Expressions of the assembler: integers of any sign, computed exactly, with symbols and functions. */

import { suggestion } from './diagnostics.ts';
import { numberValue, type Token } from './lexer.ts';
import { type SymbolRow, type SymbolTable, symbolValue } from './symbols.ts';

/** A mistake at a place in the text; whoever parses or evaluates turns it into a diagnostic. */
export class Fault extends Error {
  override readonly name = 'Fault';
  readonly start: number;
  readonly end: number;
  /** Makes what is added to the message when it is reported; searching all symbols for it takes time. */
  readonly hint: (() => string) | undefined;

  constructor(place: { readonly start: number; readonly end: number }, message: string, hint?: () => string) {
    super(message);
    this.start = place.start;
    this.end = place.end;
    this.hint = hint;
  }
}

interface Place {
  readonly start: number;
  readonly end: number;
}

export interface Argument {
  /** For `name = value`. */
  readonly name: Token | undefined;
  readonly value: Expression;
}

export type Expression = Place &
  (
    | { readonly kind: 'number'; readonly value: bigint }
    | { readonly kind: 'here' }
    | { readonly kind: 'name'; readonly name: string }
    | { readonly kind: 'call'; readonly name: string; readonly arguments: readonly Argument[] }
    | { readonly kind: 'unary'; readonly operator: string; readonly operand: Expression }
    | {
        readonly kind: 'binary';
        readonly operator: string;
        readonly left: Expression;
        readonly right: Expression;
      }
  );

/** Walks over tokens. Within brackets that may span lines the caller skips newlines. */
export class Cursor {
  readonly tokens: readonly Token[];
  at = 0;

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens;
  }

  get token(): Token {
    return this.tokens[this.at] as Token;
  }

  peek(distance = 1): Token {
    return this.tokens[Math.min(this.at + distance, this.tokens.length - 1)] as Token;
  }

  next(): Token {
    const token = this.token;
    if (token.kind !== 'end') this.at++;
    return token;
  }

  is(symbol: string): boolean {
    return this.token.kind === 'symbol' && this.token.text === symbol;
  }

  accept(symbol: string): boolean {
    if (!this.is(symbol)) return false;
    this.at++;
    return true;
  }

  /** @throws Fault */
  expect(symbol: string): Token {
    if (!this.is(symbol)) throw this.unexpected(`"${symbol}"`);
    return this.next();
  }

  atLineEnd(): boolean {
    return this.token.kind === 'newline' || this.token.kind === 'end';
  }

  skipNewlines(): void {
    while (this.token.kind === 'newline') this.at++;
  }

  skipLine(): void {
    while (!this.atLineEnd()) this.at++;
  }

  unexpected(expected: string): Fault {
    const token = this.token;
    const found = { newline: 'the end of the line', end: 'the end of the file' }[token.kind as string];
    const said = found ?? (token.kind === 'bad' ? badToken(token.text) : `"${clip(token.text)}"`);
    return new Fault(token, `expected ${expected}, found ${said}`);
  }
}

function badToken(text: string): string {
  if (/^0[0-9]/.test(text)) return `"${clip(text)}" (octal numbers begin with 0o)`;
  if (/^[0-9]/.test(text)) return `"${clip(text)}", which is no number`;
  return `"${clip(text)}"`;
}

function clip(text: string): string {
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}

/** Binding strength of binary operators, as in C. */
const BINARY: Readonly<Record<string, number>> = {
  '|': 1,
  '^': 2,
  '&': 3,
  '<<': 4,
  '>>': 4,
  '+': 5,
  '-': 5,
  '*': 6,
  '/': 6,
  '%': 6,
};

const MAX_DEPTH = 100;

/** @throws Fault */
export function parseExpression(cursor: Cursor): Expression {
  return parseBinary(cursor, 1, 0);
}

function parseBinary(cursor: Cursor, strength: number, depth: number): Expression {
  let left = parseUnary(cursor, depth);
  for (;;) {
    const token = cursor.token;
    const binding = token.kind === 'symbol' ? BINARY[token.text] : undefined;
    if (binding === undefined || binding < strength) return left;
    cursor.next();
    const right = parseBinary(cursor, binding + 1, depth + 1);
    left = { kind: 'binary', operator: token.text, left, right, start: left.start, end: right.end };
  }
}

function parseUnary(cursor: Cursor, depth: number): Expression {
  const token = cursor.token;
  if (depth > MAX_DEPTH) throw new Fault(token, 'the expression is nested too deeply');
  if (cursor.accept('-') || cursor.accept('~') || cursor.accept('+')) {
    const operand = parseUnary(cursor, depth + 1);
    return { kind: 'unary', operator: token.text, operand, start: token.start, end: operand.end };
  }
  if (cursor.accept('(')) {
    const inner = parseBinary(cursor, 1, depth + 1);
    const end = cursor.expect(')').end;
    return { ...inner, start: token.start, end };
  }
  if (cursor.accept('$')) return { kind: 'here', start: token.start, end: token.end };
  if (token.kind === 'number') {
    cursor.next();
    return { kind: 'number', value: numberValue(token.text), start: token.start, end: token.end };
  }
  if (token.kind !== 'name' || token.text.startsWith('.')) throw cursor.unexpected('a number, a name or "("');
  cursor.next();
  if (!cursor.accept('(')) return { kind: 'name', name: token.text, start: token.start, end: token.end };
  const args: Argument[] = [];
  while (!cursor.is(')')) {
    const name = cursor.token.kind === 'name' && cursor.peek().text === '=' ? cursor.next() : undefined;
    if (name) cursor.next();
    args.push({ name, value: parseBinary(cursor, 1, depth + 1) });
    if (!cursor.is(')') && !cursor.accept(',')) throw cursor.unexpected('"," or ")"');
  }
  const end = cursor.expect(')').end;
  return { kind: 'call', name: token.text, arguments: args, start: token.start, end };
}

export interface Parameter {
  readonly name: string;
  /** A flag is set by its bare name. */
  readonly flag: boolean;
  /** Bits of an unsigned value; undefined for any integer. */
  readonly width: number | undefined;
  /** Undefined: must be given. */
  readonly default: bigint | undefined;
}

export interface FunctionSpec {
  readonly parameters: readonly Parameter[];
  apply(values: readonly bigint[]): bigint;
}

/** What names mean at a place. */
export interface Scope {
  /** Address of the statement. */
  readonly here: bigint;
  readonly symbols: SymbolTable;
  readonly functions: ReadonlyMap<string, FunctionSpec>;
  /** Labels and constants of the text. @throws Fault for one that cannot be computed yet */
  local(name: string, place: Place): bigint | undefined;
  locals(): Iterable<string>;
}

const LIMIT = 1n << 128n;

/** @throws Fault for unknown names, wrong arguments, division by zero, numbers beyond 128 bits */
export function evaluate(expression: Expression, scope: Scope): bigint {
  return limited(expression, compute(expression, scope));
}

function limited(place: Place, value: bigint): bigint {
  if (value >= LIMIT || value <= -LIMIT) throw new Fault(place, 'the number does not fit in 128 bits');
  return value;
}

function compute(e: Expression, scope: Scope): bigint {
  switch (e.kind) {
    case 'number':
      return e.value;
    case 'here':
      return scope.here;
    case 'name':
      return nameValue(e, e.name, scope);
    case 'call':
      return call(e, e.name, e.arguments, scope);
    case 'unary': {
      const value = evaluate(e.operand, scope);
      return e.operator === '-' ? -value : e.operator === '~' ? ~value : value;
    }
    case 'binary': {
      // A sum may be of any length, and is nested to the left: no recursion there.
      const chain = [e];
      let first = e.left;
      while (first.kind === 'binary') {
        chain.push(first);
        first = first.left;
      }
      let value = evaluate(first, scope);
      for (const link of chain.reverse()) {
        value = limited(link, binary(link.operator, value, evaluate(link.right, scope), link.right));
      }
      return value;
    }
  }
}

function binary(operator: string, a: bigint, b: bigint, right: Place): bigint {
  switch (operator) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
    case '%':
      if (b === 0n) throw new Fault(right, 'division by zero');
      return operator === '/' ? a / b : a % b;
    case '<<':
    case '>>':
      if (b < 0n || b > 127n) throw new Fault(right, `a shift by ${b} is not between 0 and 127`);
      return operator === '<<' ? a << b : a >> b;
    case '&':
      return a & b;
    case '|':
      return a | b;
    case '^':
      return a ^ b;
    default:
      throw new Error(`no operator ${operator}`);
  }
}

function nameValue(place: Place, name: string, scope: Scope): bigint {
  const local = scope.local(name, place);
  if (local !== undefined) return local;
  const row = scope.symbols.rows.get(name);
  if (row) return indexed(place, name, row, []);
  const fn = scope.functions.get(name);
  if (fn) throw new Fault(place, `${name} is a function: ${signature(name, fn)}`);
  throw new Fault(place, `unknown symbol "${clip(name)}"`, () => suggestion(name, knownNames(scope)));
}

function indexed(place: Place, name: string, row: SymbolRow, indices: readonly number[]): bigint {
  if (indices.length !== row.count.length) {
    const last = row.count.map((n) => n - 1).join(', ');
    throw new Fault(place, `${name} needs ${many(row.count.length, 'index', 'indices')}, up to ${name}(${last})`);
  }
  indices.forEach((index, d) => {
    if (index >= (row.count[d] as number)) throw outOfRange(place, name, BigInt(index), row.count[d] as number);
  });
  return symbolValue(row, indices);
}

function outOfRange(place: Place, name: string, index: bigint, count: number): Fault {
  return new Fault(place, `index ${index} of ${name} is not between 0 and ${count - 1}`);
}

function call(place: Place, name: string, args: readonly Argument[], scope: Scope): bigint {
  const row = scope.symbols.rows.get(name);
  if (row) {
    if (row.count.length === 0) throw new Fault(place, `${name} is a single number and takes no index`);
    if (args.length !== row.count.length) return indexed(place, name, row, new Array<number>(args.length).fill(0));
    const indices = args.map((argument, d) => {
      if (argument.name) throw new Fault(argument.name, `the index of ${name} has no name`);
      const index = evaluate(argument.value, scope);
      const count = row.count[d] as number;
      if (index < 0n || index >= BigInt(count)) throw outOfRange(argument.value, name, index, count);
      return Number(index);
    });
    return indexed(place, name, row, indices);
  }
  const fn = scope.functions.get(name);
  if (!fn) throw new Fault(place, `unknown function "${clip(name)}"`, () => suggestion(name, knownNames(scope)));
  return fn.apply(bind(place, name, fn, args, scope));
}

function bind(place: Place, name: string, fn: FunctionSpec, args: readonly Argument[], scope: Scope): bigint[] {
  const given = new Map<string, bigint>();
  let position = 0;
  const plain = fn.parameters.filter((p) => !p.flag);
  for (const argument of args) {
    const bare = argument.value.kind === 'name' ? argument.value.name : undefined;
    const flag = argument.name ? undefined : fn.parameters.find((p) => p.flag && p.name === bare);
    const parameter = argument.name
      ? fn.parameters.find((p) => p.name === argument.name?.text)
      : (flag ?? plain[position++]);
    if (!parameter) {
      const names = fn.parameters.map((p) => p.name);
      const what = argument.name ? `no argument "${clip(argument.name.text)}"` : 'too many arguments';
      const hint = argument.name ? suggestion(argument.name.text, names) : '';
      throw new Fault(argument.name ?? argument.value, `${what}: ${signature(name, fn)}${hint}`);
    }
    if (given.has(parameter.name)) throw new Fault(argument.value, `${parameter.name} is given twice`);
    const value = flag ? 1n : evaluate(argument.value, scope);
    if (parameter.width !== undefined) checkWidth(argument.value, parameter.name, value, parameter.width);
    given.set(parameter.name, value);
  }
  return fn.parameters.map((p) => {
    const value = given.get(p.name) ?? p.default;
    if (value === undefined) throw new Fault(place, `${p.name} is missing: ${signature(name, fn)}`);
    return value;
  });
}

/** @throws Fault where `value` is not an unsigned number of `width` bits */
export function checkWidth(place: Place, name: string, value: bigint, width: number): void {
  if (value >= 0n && value >> BigInt(width) === 0n) return;
  const shown = value < 0n ? `${value}` : `0x${value.toString(16)}`;
  const hint =
    value < 0n && value >= -(1n << BigInt(width - 1))
      ? ` (0x${BigInt.asUintN(width, value).toString(16)} is the same in two's complement)`
      : '';
  throw new Fault(place, `${shown} does not fit ${name}, ${many(width, 'bit', 'bits')} without sign${hint}`);
}

function signature(name: string, fn: FunctionSpec): string {
  return `${name}(${fn.parameters.map((p) => (p.default === undefined ? p.name : `[${p.name}]`)).join(', ')})`;
}

function* knownNames(scope: Scope): Iterable<string> {
  yield* scope.locals();
  yield* scope.functions.keys();
  yield* scope.symbols.rows.keys();
}

function many(n: number, one: string, more: string): string {
  return `${n} ${n === 1 ? one : more}`;
}
