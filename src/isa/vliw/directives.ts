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

/** For debuggers and linkers; without effect here. */
const ignored = new Set(['.loc', '.addrsig', '.addrsig_sym', '.local', '.end', '.previous', '.lcomm', '.comm']);

/** Numbers of System V ABI, "Symbol Table". */
const symbolTypes: Readonly<Record<string, number>> = {
  notype: 0,
  object: 1,
  function: 2,
  func: 2,
  tls_object: 6,
  tls: 6,
};
const visibilities: Readonly<Record<string, number>> = { '.internal': 1, '.hidden': 2, '.protected': 3 };
const sectionTypes: Readonly<Record<string, number>> = {
  progbits: 1,
  note: 7,
  nobits: 8,
  init_array: 14,
  fini_array: 15,
};
/** System V ABI, "Sections", sh_flags. */
const sectionFlagLetters: Readonly<Record<string, number>> = {
  w: 1,
  a: 2,
  x: 4,
  M: 0x10,
  S: 0x20,
  o: 0x80,
  G: 0x200,
  T: 0x400,
};

/** What an object file says of a section beyond its contents. */
export interface SectionAttributes {
  readonly type?: number;
  readonly flags?: number;
  readonly entrySize?: number;
  /** Bytes. */
  readonly align?: number;
}

/** What an object file says of a symbol beyond its value. */
export interface SymbolAttributes {
  readonly type: number;
  /** Tokens of an expression, and where it stood: an offset in .text. */
  readonly size: { readonly tokens: readonly ScanToken[]; readonly here: number } | undefined;
  readonly weak: boolean;
  readonly visibility: number;
}

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

const known = [
  ...['.text', '.data', '.section', '.globl', '.global', '.weak', '.set', '.equ', '.ascii', '.asciz', '.zero', '.fill'],
  ...['.type', '.size', '.file', '.ident', '.align', '.balign', '.p2align', '.hidden', '.protected', '.internal'],
  ...['.macro', '.rept', '.irp', '.irpc', '.if', '.ifdef', '.else', '.endif'],
];

/** Longest section of data, bytes. */
const MAX_DATA = 16 * 1024 * 1024;
const MAX_ALIGN = 65536;

export class Directives {
  readonly globals = new Map<string, Place>();
  /** Names of source files. */
  readonly files: string[] = [];
  readonly attributes = new Map<string, SectionAttributes>();
  readonly #symbols = new Map<string, SymbolAttributes>();
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
  /** Where the next bundle goes, in .text. */
  readonly #here: () => number;
  /** Fills .text up to a multiple of bytes. */
  readonly #pad: (bytes: number) => void;

  /** `emit` takes whole bundles of data in .text; `changed` is told that a constant has another value than before. */
  constructor(
    constants: Map<string, bigint>,
    emit: (bytes: readonly number[], place: Place) => void,
    changed: () => void,
    here: () => number,
    pad: (bytes: number) => void,
  ) {
    this.#constants = constants;
    this.#emit = emit;
    this.#changed = changed;
    this.#here = here;
    this.#pad = pad;
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
    if (name === '.set' || name === '.equ' || name === '.equiv') {
      if (second?.kind !== 'name' || rest[0]?.text !== ',') throw new Fault(first, `${name} NAME, NUMBER is expected`);
      this.#define(second, rest.slice(1));
      return;
    }
    if (this.#ofSymbol(name, statement, first, tokens) || this.#ofFile(name, statement, first, tokens)) return;
    if (name === '.globl' || name === '.global' || name === '.weak') {
      this.#global(first, tokens.slice(1));
      return;
    }
    if (name === '.section' || ['.text', '.data', '.tpc_metadata', '.indexmap'].includes(name)) {
      if (name === '.section') this.#named(statement, first);
      else this.#enter(first.text, first);
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

  /** Symbols' types, sizes and visibility. False: it is another directive. @throws Fault */
  #ofSymbol(name: string, statement: string, first: ScanToken, tokens: readonly ScanToken[]): boolean {
    const change = (symbol: string, attributes: Partial<SymbolAttributes>) =>
      void this.#symbols.set(symbol, { ...this.symbol(symbol), ...attributes });
    if (name === '.type') {
      const [, symbol, type = ''] = /^\S+\s+([\w.$]+)\s*,?\s*[@%"#]?(?:STT_)?(\w+)"?\s*$/.exec(statement) ?? [];
      const number = symbolTypes[type.toLowerCase()];
      if (!symbol || number === undefined) throw new Fault(first, '.type NAME, @function or @object is expected');
      change(symbol, { type: number });
    } else if (name === '.size') {
      const [, symbol, comma, ...size] = tokens;
      if (symbol?.kind !== 'name' || comma?.text !== ',') throw new Fault(first, '.size NAME, NUMBER is expected');
      change(symbol.text, { size: { tokens: size, here: this.#here() } });
    } else if (name in visibilities) {
      for (const { text, kind } of tokens.slice(1))
        if (kind === 'name') change(text, { visibility: visibilities[name] as number });
    } else {
      if (name === '.weak')
        for (const { text, kind } of tokens.slice(1)) if (kind === 'name') change(text, { weak: true });
      return false;
    }
    return true;
  }

  /** What is said of the file, and alignment. False: it is another directive. @throws Fault */
  #ofFile(name: string, statement: string, first: ScanToken, tokens: readonly ScanToken[]): boolean {
    if (name === '.file') {
      const file = /^\S+\s+"((?:[^"\\]|\\.)*)"\s*$/.exec(statement)?.[1];
      // With a number it is for debuggers.
      if (file !== undefined) this.files.push(file);
      return true;
    }
    if (name === '.ident') {
      const text = /"((?:[^"\\]|\\.)*)"\s*$/.exec(statement)?.[1];
      if (text === undefined) throw new Fault(first, '.ident "TEXT" is expected');
      const before = this.#data.get('.comment') ?? [0];
      this.#data.set('.comment', [...before, ...new TextEncoder().encode(text), 0]);
      this.#order.add('.comment');
      this.attributes.set('.comment', { flags: 0x30, entrySize: 1 });
      return true;
    }
    if (!['.p2align', '.balign', '.align'].includes(name)) return false;
    const [amount] = atCommas(tokens.slice(1)).map((each) => this.#value(each, first));
    const bytes = amount === undefined ? 0 : name === '.p2align' ? 2 ** Number(amount) : Number(amount);
    if (!(bytes >= 1 && bytes <= MAX_ALIGN) || (bytes & (bytes - 1)) !== 0) {
      throw new Fault(first, `an alignment to a power of two up to ${MAX_ALIGN} is expected`);
    }
    this.#align(first, bytes);
    return true;
  }

  /** Fills .text with bundles that do nothing, other sections with zeros. */
  #align(place: Place, bytes: number): void {
    const known = this.attributes.get(this.#section);
    this.attributes.set(this.#section, { ...known, align: Math.max(bytes, known?.align ?? 1) });
    if (this.inText()) this.#pad(bytes);
    else {
      const at = this.#data.get(this.#section)?.length ?? 0;
      this.#append(place, new Array<number>((bytes - (at % bytes)) % bytes).fill(0));
    }
  }

  symbol(name: string): SymbolAttributes {
    return this.#symbols.get(name) ?? { type: 0, size: undefined, weak: false, visibility: 0 };
  }

  /** The size of a symbol, in bytes; `labels` tells the places of others. @throws Fault */
  sizeOf(name: string, labels: (name: string) => bigint | undefined): number {
    const { size } = this.symbol(name);
    if (!size) return 0;
    const lookup = (other: string) =>
      other === '.' ? BigInt(size.here) : (this.#constants.get(other) ?? labels(other));
    return Number(BigInt.asUintN(32, constantValue(size.tokens, lookup, size.tokens[0] ?? { start: 0, end: 1 })));
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

  /** .section NAME, "FLAGS", @TYPE, SIZE @throws Fault */
  #named(statement: string, place: Place): void {
    const [, name, flags, type, size] =
      /^\.section\s+"?([\w.$-]+)"?\s*(?:,\s*"([^"]*)"\s*)?(?:,\s*[@%"](\w+)"?\s*)?(?:,\s*(\w+))?/i.exec(statement) ??
      [];
    if (!name) throw new Fault(place, 'the name of a section is expected');
    if (flags !== undefined) {
      const known = sectionTypes[type?.toLowerCase() ?? 'progbits'];
      const number = [...flags].reduce((all, letter) => all | (sectionFlagLetters[letter] ?? 0), 0);
      this.attributes.set(name, {
        ...this.attributes.get(name),
        flags: number,
        ...(known === undefined ? {} : { type: known }),
        ...(/^\d+$/.test(size ?? '') ? { entrySize: Number(size) } : {}),
      });
    }
    this.#enter(name, place);
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

function atCommas(tokens: readonly ScanToken[]): ScanToken[][] {
  const found: ScanToken[][] = tokens.length > 0 ? [[]] : [];
  for (const token of tokens) {
    if (token.text === ',') found.push([]);
    else found.at(-1)?.push(token);
  }
  return found;
}
