/** Directives that programs for the vendor's assembler have: sections, symbols, data, constants, metadata. */

import { suggestion } from '../diagnostics.ts';
import { Fault } from '../expressions.ts';
import { BUNDLE_BYTES } from './bundle.ts';
import { constantValue } from './constant.ts';
import { type MetadataValues, metadataLine, serializeMetadata } from './metadata.ts';
import { type ScanToken, scan } from './scanner.ts';

interface Place {
  readonly start: number;
  readonly end: number;
}

/** Said to an object file, or to nobody here. */
const ignored = new Set([
  '.file',
  '.ident',
  '.size',
  '.type',
  '.loc',
  '.p2align',
  '.align',
  '.balign',
  '.addrsig',
  '.addrsig_sym',
  '.local',
  '.hidden',
  '.protected',
  '.end',
]);

const dataBytes: Readonly<Record<string, number>> = {
  '.byte': 1,
  '.short': 2,
  '.hword': 2,
  '.half': 2,
  '.value': 2,
  '.2byte': 2,
  '.word': 4,
  '.long': 4,
  '.int': 4,
  '.4byte': 4,
  '.quad': 8,
  '.8byte': 8,
};

const known = ['.text', '.data', '.section', '.globl', '.global', '.weak', '.set', '.equ', '.ascii', '.asciz', '.zero'];

/** Longest section of data, bytes. */
const MAX_DATA = 16 * 1024 * 1024;

export class Directives {
  readonly globals = new Map<string, Place>();
  readonly #constants: Map<string, bigint>;
  readonly #data = new Map<string, number[]>();
  #section = '.text';
  /** Names of sections but .text, in the order of the text. */
  readonly #order = new Set<string>();
  #metadata: MetadataValues | undefined;
  #inMetadata = false;
  /** Text of .IndexMap, which is taken as it stands. */
  #indexMap: string[] | undefined;
  #inIndexMap = false;

  readonly #emit: (bytes: readonly number[], place: Place) => void;
  readonly #changed: () => void;

  /** `emit` takes whole bundles of data in .text; `changed` is told that a constant has another value than before. */
  constructor(
    constants: Map<string, bigint>,
    emit: (bytes: readonly number[], place: Place) => void,
    changed: () => void,
  ) {
    this.#constants = constants;
    this.#emit = emit;
    this.#changed = changed;
  }

  inText(): boolean {
    return this.#section === '.text';
  }

  /** A line of .IndexMap, with what elsewhere is a comment. True: it was one. */
  takeWholeLine(line: () => string): boolean {
    if (!this.#inIndexMap) return false;
    const text = line();
    this.#indexMap?.push(text);
    if (text.includes('SCEVEND')) this.#inIndexMap = false;
    return true;
  }

  /** A line of .tpc_metadata, which has a language of its own. True: it was one. @throws Fault */
  takeLine(line: string, start: number): boolean {
    if (!this.#inMetadata || !this.#metadata) return false;
    if (metadataLine(this.#metadata, line, start)) return true;
    // What is no field begins the program.
    this.#inMetadata = false;
    return false;
  }

  /** @throws Fault */
  directive(statement: string, start: number): void {
    const tokens = scan(statement, start);
    const [first, second, ...rest] = tokens;
    if (!first) return;
    const name = first.text.toLowerCase();
    if (second?.text === '=' && !name.startsWith('.')) {
      this.#define(first, rest);
      return;
    }
    if (name === '.set' || name === '.equ') {
      if (second?.kind !== 'name' || rest[0]?.text !== ',') throw new Fault(first, `${name} NAME, NUMBER is expected`);
      this.#define(second, rest.slice(1));
      return;
    }
    if (name === '.globl' || name === '.global' || name === '.weak') {
      this.#global(first, tokens.slice(1));
      return;
    }
    if (name === '.section' || ['.text', '.data', '.tpc_metadata', '.indexmap'].includes(name)) {
      this.#enter(name === '.section' ? sectionName(statement, first) : first.text, first);
      return;
    }
    if (ignored.has(name) || name.startsWith('.cfi_')) return;
    const size = dataBytes[name];
    if (size !== undefined) {
      this.#numbers(size, first, tokens.slice(1));
      return;
    }
    if (name === '.ascii' || name === '.asciz' || name === '.string') {
      this.#string(statement, first, name !== '.ascii');
      return;
    }
    if (name === '.zero' || name === '.skip' || name === '.space') {
      this.#fill(first, tokens.slice(1), false);
      return;
    }
    if (name === '.fill') {
      this.#fill(first, tokens.slice(1), true);
      return;
    }
    throw new Fault(first, `there is no directive "${first.text}"`, () =>
      suggestion(first.text, [...known, ...ignored, ...Object.keys(dataBytes)]),
    );
  }

  sections(): ReadonlyMap<string, Uint8Array> {
    const sections = new Map<string, Uint8Array>();
    for (const name of this.#order) {
      if (name === '.tpc_metadata') sections.set(name, serializeMetadata(this.#metadata ?? new Map()));
      else if (name === '.IndexMap') {
        const [map = ''] = /SCEVBEGIN[\s\S]*?SCEVEND/.exec(this.#indexMap?.join('\n') ?? '') ?? [];
        sections.set(name, new TextEncoder().encode(map));
      } else sections.set(name, Uint8Array.from(this.#data.get(name) ?? []));
    }
    return sections;
  }

  #define(name: ScanToken, value: readonly ScanToken[]): void {
    const number = this.#value(value, name);
    const before = this.#constants.get(name.text);
    this.#constants.set(name.text, number);
    if (before !== undefined && before !== number) this.#changed();
  }

  /** @throws Fault */
  #value(tokens: readonly ScanToken[], place: Place): bigint {
    return constantValue(tokens, (name) => this.#constants.get(name), place);
  }

  #global(directive: ScanToken, tokens: readonly ScanToken[]): void {
    const names = tokens.filter((token) => token.text !== ',');
    if (names.length === 0 || names.some((token) => token.kind !== 'name')) {
      throw new Fault(directive, `${directive.text} NAME is expected`);
    }
    for (const { text, start, end } of names) this.globals.set(text, { start, end });
  }

  #enter(name: string, place: Place): void {
    this.#inMetadata = false;
    const lower = name.toLowerCase();
    if (lower === '.tpc_metadata') {
      if (this.#metadata) throw new Fault(place, '.tpc_metadata is already defined');
      this.#metadata = new Map();
      this.#order.add('.tpc_metadata');
      this.#inMetadata = true;
      this.#section = '.text';
    } else if (lower === '.indexmap') {
      if (this.#indexMap) throw new Fault(place, '.IndexMap is already defined');
      this.#indexMap = [];
      this.#order.add('.IndexMap');
      this.#inIndexMap = true;
      this.#section = '.text';
    } else {
      this.#section = name;
      if (name !== '.text' && !this.#data.has(name)) {
        this.#data.set(name, []);
        this.#order.add(name);
      }
    }
  }

  #append(place: Place, bytes: readonly number[]): void {
    if (this.inText()) {
      if (bytes.length % BUNDLE_BYTES !== 0) {
        throw new Fault(place, `data between instructions is a multiple of ${BUNDLE_BYTES} bytes to a line`);
      }
      this.#emit(bytes, place);
      return;
    }
    const data = this.#data.get(this.#section) ?? [];
    if (data.length + bytes.length > MAX_DATA) throw new Fault(place, `a section has at most ${MAX_DATA} bytes`);
    for (const byte of bytes) data.push(byte);
  }

  #numbers(size: number, directive: ScanToken, tokens: readonly ScanToken[]): void {
    const bytes: number[] = [];
    for (const expression of atCommas(tokens)) {
      const word = BigInt.asUintN(size * 8, this.#value(expression, directive));
      for (let i = 0; i < size; i++) bytes.push(Number((word >> BigInt(8 * i)) & 0xffn));
    }
    this.#append(directive, bytes);
  }

  /** .fill COUNT, SIZE, VALUE; .zero, .skip, .space COUNT, VALUE */
  #fill(directive: ScanToken, tokens: readonly ScanToken[], sized: boolean): void {
    const [count, size, value] = atCommas(tokens).map((each) => this.#value(each, directive));
    const bytes = sized ? Number(size ?? 1n) : 1;
    const filling = (sized ? value : size) ?? 0n;
    const total = Number(count ?? -1n) * bytes;
    if (!(total >= 0 && total <= MAX_DATA) || bytes > 8) {
      throw new Fault(tokens[0] ?? directive, 'a number of bytes is expected');
    }
    const word = Array.from({ length: bytes }, (_, i) => (i < 4 ? Number((filling >> BigInt(8 * i)) & 0xffn) : 0));
    this.#append(directive, new Array<number[]>(Number(count)).fill(word).flat());
  }

  #string(statement: string, directive: ScanToken, zero: boolean): void {
    const match = /"((?:[^"\\]|\\.)*)"\s*$/.exec(statement);
    if (!match) throw new Fault(directive, 'a text between quotes is expected');
    const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '0': '\0' };
    const text = (match[1] as string).replace(/\\(.)/g, (_, c: string) => escapes[c] ?? c);
    this.#append(directive, [...new TextEncoder().encode(text), ...(zero ? [0] : [])]);
  }
}

/** @throws Fault */
function sectionName(statement: string, place: Place): string {
  const name = /^\.section\s+"?([\w.$-]+)"?/i.exec(statement)?.[1];
  if (!name) throw new Fault(place, 'the name of a section is expected');
  return name;
}

function atCommas(tokens: readonly ScanToken[]): ScanToken[][] {
  const found: ScanToken[][] = tokens.length > 0 ? [[]] : [];
  for (const token of tokens) {
    if (token.text === ',') found.push([]);
    else found.at(-1)?.push(token);
  }
  return found;
}
