/**
 * The assembler's frame, for any instruction set: lines, labels, constants, directives, diagnostics. What an
 * instruction looks like is the business of a `Syntax`.
 */

import { AssemblyError, type Diagnostic, SourceText, suggestion } from './diagnostics.ts';
import {
  Cursor,
  checkWidth,
  type Expression,
  evaluate,
  Fault,
  type FunctionSpec,
  parseExpression,
  type Scope,
} from './expressions.ts';
import { type Token, tokenize } from './lexer.ts';
import type { SymbolTable } from './symbols.ts';

/** An instruction whose size is known and whose operands may still hold labels that are not. */
export interface Instruction {
  /** Bytes. */
  readonly size: number;
  /** @throws Fault */
  encode(scope: Scope, warn: (fault: Fault) => void): Uint8Array;
}

/** What the assembler must know of an instruction set. */
export interface Syntax {
  readonly name: string;
  /** Instructions begin at multiples of so many bytes. */
  readonly alignment: number;
  /** Fills gaps; `alignment` bytes. */
  readonly padding: Uint8Array;
  readonly symbols: SymbolTable;
  readonly functions: ReadonlyMap<string, FunctionSpec>;
  /** For suggestions. */
  mnemonics(): Iterable<string>;
  /** Parses what follows `mnemonic`, up to the end of the line. Undefined: there is no such mnemonic. @throws Fault */
  parse(mnemonic: Token, cursor: Cursor): Instruction | undefined;
}

export interface AssembleOptions {
  /** Name for diagnostics. */
  readonly file?: string;
  /** Names that the caller defines, e.g. addresses of buffers. */
  readonly constants?: Readonly<Record<string, number | bigint>>;
  /** What the set's usual assembler encodes wrongly without a word is a warning instead of an error. */
  readonly permissive?: boolean;
  /** Warn of values that are read too early, where the set has latencies; true unless said. */
  readonly hazards?: boolean;
}

/** A piece of the output and the line (from 1) that it came from. */
export interface ListingEntry {
  readonly offset: number;
  readonly size: number;
  readonly line: number;
}

export interface Assembly {
  readonly bytes: Uint8Array;
  readonly listing: readonly ListingEntry[];
  /** Addresses of labels. */
  readonly labels: ReadonlyMap<string, bigint>;
  readonly source: SourceText;
  readonly warnings: readonly Diagnostic[];
}

/** Longest output, bytes: far more than any queue takes, far less than memory. */
const MAX_OUTPUT = 64 * 1024 * 1024;

interface Piece {
  readonly place: { readonly start: number; readonly end: number };
  readonly offset: number;
  readonly instruction: Instruction;
}

interface Constant {
  readonly expression: Expression | undefined;
  /** Where `$` is. */
  readonly offset: number;
  /** Once it could be computed. */
  value: bigint | undefined;
}

/** Diagnostics with suggestions; more than anybody reads. */
const MAX_HINTS = 100;

/** How deep constants may be defined by others that are defined later. */
const MAX_DEPTH = 100;

/** @throws AssemblyError with all diagnostics, where there are errors */
export function assemble(syntax: Syntax, text: string, options: AssembleOptions = {}): Assembly {
  const source = new SourceText(options.file ?? 'input', text);
  return new Assembler(syntax, source, options.constants ?? {}).run();
}

class Assembler {
  readonly #syntax: Syntax;
  readonly #source: SourceText;
  readonly #cursor: Cursor;
  readonly #diagnostics: Diagnostic[] = [];
  readonly #reported = new Set<string>();
  readonly #pieces: Piece[] = [];
  readonly #labels = new Map<string, number>();
  readonly #constants = new Map<string, Constant>();
  readonly #computing = new Set<string>();
  /** Bytes so far. */
  #offset = 0;
  /** Address of the first byte. */
  #base = 0n;

  constructor(syntax: Syntax, source: SourceText, constants: Readonly<Record<string, number | bigint>>) {
    this.#syntax = syntax;
    this.#source = source;
    this.#cursor = new Cursor(tokenize(source.text));
    for (const [name, value] of Object.entries(constants)) {
      this.#constants.set(name, { expression: undefined, offset: 0, value: BigInt(value) });
    }
  }

  run(): Assembly {
    const cursor = this.#cursor;
    while (cursor.token.kind !== 'end') {
      this.#attempt(() => this.#line());
      cursor.skipLine();
      cursor.skipNewlines();
    }
    // Constants that nobody uses are checked, too.
    for (const [name, { expression }] of this.#constants) {
      if (expression) this.#attempt(() => this.#local(name, expression));
    }
    const bytes = this.#encode();
    if (this.#diagnostics.some((d) => d.severity === 'error')) throw new AssemblyError(this.#source, this.#diagnostics);
    return {
      bytes,
      listing: this.#pieces.map(({ place, offset, instruction }) => ({
        offset,
        size: instruction.size,
        line: this.#source.position(place.start).line,
      })),
      labels: new Map([...this.#labels].map(([name, offset]) => [name, this.#base + BigInt(offset)])),
      source: this.#source,
      warnings: this.#diagnostics,
    };
  }

  #encode(): Uint8Array {
    const bytes = new Uint8Array(this.#offset);
    for (const { offset, instruction } of this.#pieces) {
      this.#attempt(() => {
        const scope = this.#scope(offset);
        bytes.set(
          instruction.encode(scope, (fault) => this.#report('warning', fault)),
          offset,
        );
      });
    }
    return bytes;
  }

  #attempt(body: () => void): void {
    try {
      body();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#report('error', error);
    }
  }

  #report(severity: Diagnostic['severity'], { message, start, end, hint }: Fault): void {
    const key = `${start} ${message}`;
    if (this.#reported.has(key)) return;
    this.#reported.add(key);
    const added = this.#diagnostics.length < MAX_HINTS ? (hint?.() ?? '') : '';
    this.#diagnostics.push({ severity, message: message + added, start, end });
  }

  #scope(offset: number): Scope {
    return {
      here: this.#base + BigInt(offset),
      symbols: this.#syntax.symbols,
      functions: this.#syntax.functions,
      local: (name, place) => this.#local(name, place),
      locals: () => [...this.#labels.keys(), ...this.#constants.keys()],
    };
  }

  #local(name: string, place: { start: number; end: number }): bigint | undefined {
    const label = this.#labels.get(name);
    if (label !== undefined) return this.#base + BigInt(label);
    const constant = this.#constants.get(name);
    if (!constant?.expression || constant.value !== undefined) return constant?.value;
    if (this.#computing.has(name)) throw new Fault(place, `${name} is defined by itself`);
    if (this.#computing.size >= MAX_DEPTH) throw new Fault(place, `the definition of ${name} is nested too deeply`);
    this.#computing.add(name);
    try {
      constant.value = evaluate(constant.expression, this.#scope(constant.offset));
      return constant.value;
    } finally {
      this.#computing.delete(name);
    }
  }

  #line(): void {
    const cursor = this.#cursor;
    while (cursor.token.kind === 'name' && cursor.peek().text === ':') {
      this.#label(cursor.next());
      cursor.next();
    }
    if (cursor.atLineEnd()) return;
    const token = cursor.token;
    if (token.kind !== 'name') throw cursor.unexpected('a label, a mnemonic or a directive');
    cursor.next();
    if (token.text.startsWith('.')) this.#directive(token);
    else if (cursor.accept('=')) this.#define(token, parseExpression(cursor));
    else this.#instruction(token);
    if (!cursor.atLineEnd()) throw cursor.unexpected('the end of the line');
  }

  #label(token: Token): void {
    this.#fresh(token);
    this.#labels.set(token.text, this.#offset);
  }

  #define(token: Token, expression: Expression): void {
    this.#fresh(token);
    this.#constants.set(token.text, { expression, offset: this.#offset, value: undefined });
    try {
      this.#local(token.text, expression);
    } catch (error) {
      // It may use what is defined later; if not, that is reported at the end.
      if (!(error instanceof Fault)) throw error;
    }
  }

  #fresh(token: Token): void {
    if (token.text.includes('.'))
      throw new Fault(token, `"${token.text}" is no name for a label or constant: it has a dot`);
    if (this.#labels.has(token.text) || this.#constants.has(token.text)) {
      throw new Fault(token, `${token.text} is defined twice`);
    }
  }

  #instruction(token: Token): void {
    const instruction = this.#syntax.parse(token, this.#cursor);
    if (!instruction) {
      const hint = suggestion(token.text.split('.')[0] ?? '', this.#syntax.mnemonics());
      throw new Fault(token, `unknown mnemonic "${token.text}"${hint}`);
    }
    const { alignment } = this.#syntax;
    if (this.#offset % alignment !== 0) {
      throw new Fault(
        token,
        `an instruction at offset ${this.#offset} is not aligned to ${alignment} bytes; use .align`,
      );
    }
    this.#emit(token, instruction);
  }

  #emit(place: Token, instruction: Instruction): void {
    this.#reserve(place, instruction.size);
    this.#pieces.push({ place, offset: this.#offset, instruction });
    this.#offset += instruction.size;
  }

  #reserve(place: Token, size: number): void {
    if (this.#offset + size > MAX_OUTPUT) throw new Fault(place, `the output would exceed ${MAX_OUTPUT} bytes`);
  }

  #directive(token: Token): void {
    const directive = this.#directives[token.text.toLowerCase()];
    if (directive) directive(token);
    else
      throw new Fault(
        token,
        `unknown directive "${token.text}"${suggestion(token.text, Object.keys(this.#directives))}`,
      );
  }

  readonly #directives: Readonly<Record<string, (token: Token) => void>> = {
    '.equ': () => {
      const name = this.#cursor.token;
      if (name.kind !== 'name') throw this.#cursor.unexpected('a name');
      this.#cursor.next();
      this.#cursor.expect(',');
      this.#define(name, parseExpression(this.#cursor));
    },
    '.base': (token) => {
      const value = this.#now();
      if (this.#offset > 0 || this.#labels.size > 0) throw new Fault(token, '.base must precede all labels and output');
      checkWidth(token, 'an address', value, 64);
      this.#base = value;
      for (const constant of this.#constants.values()) if (constant.expression) constant.value = undefined;
    },
    '.org': (token) => {
      const target = this.#now();
      if (target < BigInt(this.#offset)) {
        throw new Fault(token, `.org ${target} is behind offset ${this.#offset}, which has been reached`);
      }
      this.#pad(token, target - BigInt(this.#offset));
    },
    '.align': (token) => {
      const boundary = this.#now();
      if (boundary <= 0n) throw new Fault(token, `an alignment of ${boundary} is not positive`);
      const here = this.#base + BigInt(this.#offset);
      this.#pad(token, (boundary - (here % boundary)) % boundary);
    },
    '.fill': (token) => {
      const count = this.#now();
      this.#cursor.expect(',');
      const value = parseExpression(this.#cursor);
      if (count < 0n || count * 4n > BigInt(MAX_OUTPUT))
        throw new Fault(token, `.fill of ${count} words is out of range`);
      this.#data(token, [value], 4, Number(count));
    },
    '.byte': (token) => this.#data(token, this.#list(), 1),
    '.word': (token) => this.#data(token, this.#list(), 4),
    '.quad': (token) => this.#data(token, this.#list(), 8),
  };

  /** An expression that must be known at once, because sizes depend on it. */
  #now(): bigint {
    return evaluate(parseExpression(this.#cursor), this.#scope(this.#offset));
  }

  #list(): Expression[] {
    const list = [parseExpression(this.#cursor)];
    while (this.#cursor.accept(',')) list.push(parseExpression(this.#cursor));
    return list;
  }

  #data(token: Token, values: readonly Expression[], width: 1 | 4 | 8, repeat = 1): void {
    this.#emit(token, {
      size: values.length * width * repeat,
      encode: (scope) => {
        const once = new Uint8Array(values.length * width);
        const view = new DataView(once.buffer);
        values.forEach((expression, i) => {
          const value = evaluate(expression, scope);
          checkWidth(expression, token.text, value, width * 8);
          if (width === 1) view.setUint8(i, Number(value));
          else if (width === 4) view.setUint32(i * 4, Number(value), true);
          else view.setBigUint64(i * 8, value, true);
        });
        if (repeat === 1) return once;
        const bytes = new Uint8Array(once.length * repeat);
        for (let i = 0; i < repeat; i++) bytes.set(once, i * once.length);
        return bytes;
      },
    });
  }

  /** Fills with the padding instruction, and with zeros before the first place where one can be. */
  #pad(token: Token, length: bigint): void {
    if (length > BigInt(MAX_OUTPUT)) throw new Fault(token, `the output would exceed ${MAX_OUTPUT} bytes`);
    const size = Number(length);
    const { alignment, padding } = this.#syntax;
    const zeros = Math.min(size, (alignment - (this.#offset % alignment)) % alignment);
    if ((size - zeros) % alignment !== 0) {
      throw new Fault(
        token,
        `${token.text} leaves a gap of ${size} bytes, which instructions of ${alignment} bytes cannot fill`,
      );
    }
    if (size === 0) return;
    this.#emit(token, {
      size,
      encode: () => {
        const bytes = new Uint8Array(size);
        for (let at = zeros; at < size; at += alignment) bytes.set(padding, at);
        return bytes;
      },
    });
  }
}
