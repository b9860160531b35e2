/**
 * Kernels in files, as the vendor's toolchain writes them: ELF-32, little-endian, relocatable, machine EM_386, with the
 * program in .text and its name in .KernelInfo. Sources: System V ABI, "Object Files"; HabanaAI/tpc_llvm,
 * MCTargetDesc/TPCELFObjectWriter.cpp, TPCKernelInfo.cpp.
 */

import { ModelError } from '../../sim/errors.ts';
import { BUNDLE_BYTES } from './bundle.ts';
import type { SectionAttributes } from './directives.ts';

export interface KernelSymbol {
  readonly name: string;
  /** Offset in .text. */
  readonly value: number;
  readonly global: boolean;
  /** Declared global, and not in the file. Such are written, and not read. */
  readonly undefined?: boolean;
  /** As the System V ABI numbers them; written, and not read. */
  readonly type?: number;
  readonly visibility?: number;
  /** Bytes; written, and not read. */
  readonly size?: number;
  readonly weak?: boolean;
}

export interface Kernel {
  /** The program. */
  readonly text: Uint8Array;
  /** Other sections with contents, by name; e.g. .tpc_metadata. */
  readonly sections: ReadonlyMap<string, Uint8Array>;
  readonly symbols: readonly KernelSymbol[];
  /** From .KernelInfo; undefined where there is none. */
  readonly name: string | undefined;
  /** Names of source files; written, and not read. */
  readonly files?: readonly string[];
  /** What is not as for sections of that name; written, and not read. */
  readonly attributes?: ReadonlyMap<string, SectionAttributes>;
}

const HEADER = 52;
const SECTION = 40;
const SYMBOL = 16;
const ET_REL = 1;
const EM_386 = 3;
/** The number that LLVM reserves for the TPC, which no known toolchain writes. */
const EM_TPC = 98;
const SHT_PROGBITS = 1;
const SHT_SYMTAB = 2;
const SHT_STRTAB = 3;
const SHT_RELA = 4;
const SHT_NOBITS = 8;
const SHT_REL = 9;
const STT_FILE = 4;
const STB_GLOBAL = 1;
const STB_WEAK = 2;
const SHN_ABS = 0xfff1;
const SHF_WRITE = 1;
const SHF_ALLOC = 2;
const SHF_EXECINSTR = 4;
/** Sections and symbols of a kernel; far more than any has. */
const MAX_SECTIONS = 4096;
const MAX_SYMBOLS = 1 << 20;

interface Section {
  readonly name: string;
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly entrySize: number;
}

export function isElf(bytes: Uint8Array): boolean {
  return bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}

/** @throws ModelError `guest` for a file that is cut off or lies; `unsupported` for another kind of file */
export function readKernel(bytes: Uint8Array): Kernel {
  return new Reader(bytes).kernel();
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  kernel(): Kernel {
    const sections = this.#sections();
    const text = sections.filter((each) => each.name === '.text');
    const [program] = text;
    if (!program) throw broken('it has no section .text');
    if (text.length > 1) throw broken('it has more than one section .text');
    if (program.type !== SHT_PROGBITS) throw broken('.text has no contents');
    if (program.size % BUNDLE_BYTES !== 0) {
      throw broken(`.text has ${program.size} bytes, which are no whole bundles of ${BUNDLE_BYTES}`);
    }
    const at = sections.indexOf(program);
    const open = sections.find(({ type, info, size }) => isRelocation(type) && info === at && size > 0);
    if (open) {
      throw new ModelError(
        'unsupported',
        'elf',
        `section ${printable(open.name)} has relocations of .text: something in the program is not in this file`,
      );
    }
    const others = new Map<string, Uint8Array>();
    for (const section of sections) {
      if (section.type === SHT_PROGBITS && section !== program && !others.has(section.name)) {
        others.set(section.name, this.#contents(section));
      }
    }
    return {
      text: this.#contents(program),
      sections: others,
      symbols: this.#symbols(sections, sections.indexOf(program)),
      name: kernelName(others.get('.KernelInfo')),
    };
  }

  #sections(): readonly Section[] {
    const bytes = this.#bytes;
    const view = this.#view;
    if (!isElf(bytes)) throw new ModelError('unsupported', 'elf', 'this is no ELF file');
    if (bytes.length < HEADER) throw broken('its header is cut off');
    if (bytes[4] !== 1) throw new ModelError('unsupported', 'elf', 'kernels are 32-bit ELF files, and this is none');
    if (bytes[5] !== 1) throw new ModelError('unsupported', 'elf', 'kernels are little-endian, and this file is not');
    const machine = view.getUint16(18, true);
    if (machine !== EM_386 && machine !== EM_TPC) {
      throw new ModelError('unsupported', 'elf', `machine ${machine} is not that of kernels (${EM_386})`);
    }
    const table = view.getUint32(32, true);
    const entry = view.getUint16(46, true);
    const count = view.getUint16(48, true);
    const namesIndex = view.getUint16(50, true);
    if (count === 0 || table === 0) throw broken('it has no sections');
    if (count > MAX_SECTIONS) throw broken(`it has ${count} sections`);
    if (entry !== SECTION) throw broken(`its section headers have ${entry} bytes, not ${SECTION}`);
    this.#range('the table of sections', table, count * SECTION);
    if (namesIndex >= count) throw broken(`the names of sections are in section ${namesIndex}, which there is not`);
    const headers = Array.from({ length: count }, (_, i) => this.#header(table + i * SECTION));
    for (const header of headers) {
      if (header.type !== 0 && header.type !== SHT_NOBITS) this.#range('a section', header.offset, header.size);
    }
    this.#checkOverlaps(headers, table, count);
    const names = headers[namesIndex] as (typeof headers)[number];
    if (names.type !== SHT_STRTAB) throw broken('the names of sections are in no table of strings');
    return headers.map(({ nameAt, ...header }) => ({ ...header, name: this.#string(names, nameAt) }));
  }

  #header(at: number) {
    const word = (offset: number) => this.#view.getUint32(at + offset, true);
    return {
      nameAt: word(0),
      type: word(4),
      offset: word(16),
      size: word(20),
      link: word(24),
      info: word(28),
      entrySize: word(36),
    };
  }

  /** Sections that overlap would make one change of the file two. */
  #checkOverlaps(
    headers: readonly { type: number; offset: number; size: number }[],
    table: number,
    count: number,
  ): void {
    const pieces = headers
      .filter(({ type, size }) => type !== 0 && type !== SHT_NOBITS && size > 0)
      .map(({ offset, size }) => ({ offset, end: offset + size }));
    pieces.push({ offset: 0, end: HEADER }, { offset: table, end: table + count * SECTION });
    pieces.sort((a, b) => a.offset - b.offset);
    for (let i = 1; i < pieces.length; i++) {
      const [before, piece] = [pieces[i - 1] as (typeof pieces)[number], pieces[i] as (typeof pieces)[number]];
      if (piece.offset < before.end) throw broken(`two of its parts overlap at offset 0x${piece.offset.toString(16)}`);
    }
  }

  #symbols(sections: readonly Section[], text: number): readonly KernelSymbol[] {
    const tables = sections.filter((each) => each.type === SHT_SYMTAB);
    if (tables.length > 1) throw broken('it has more than one table of symbols');
    const [table] = tables;
    if (!table) return [];
    if (table.entrySize !== SYMBOL) throw broken(`its symbols have ${table.entrySize} bytes, not ${SYMBOL}`);
    if (table.size % SYMBOL !== 0) throw broken('its table of symbols ends within a symbol');
    const count = table.size / SYMBOL;
    if (count > MAX_SYMBOLS) throw broken(`it has ${count} symbols`);
    const strings = sections[table.link];
    if (strings?.type !== SHT_STRTAB) throw broken('the names of its symbols are in no table of strings');
    const symbols: KernelSymbol[] = [];
    const size = (sections[text] as Section).size;
    for (let i = 1; i < count; i++) {
      const at = table.offset + i * SYMBOL;
      if (this.#view.getUint16(at + 14, true) !== text) continue;
      const name = this.#string(strings, this.#view.getUint32(at, true));
      const value = this.#view.getUint32(at + 4, true);
      if (name === '') continue;
      if (value > size) throw broken(`symbol ${printable(name)} lies beyond .text`);
      symbols.push({ name, value, global: (this.#bytes[at + 12] as number) >>> 4 !== 0 });
    }
    return symbols;
  }

  #contents(section: Section): Uint8Array {
    return this.#bytes.slice(section.offset, section.offset + section.size);
  }

  #range(what: string, offset: number, size: number): void {
    if (offset + size > this.#bytes.length) {
      throw broken(`${what} is at 0x${offset.toString(16)} with ${size} bytes; the file has ${this.#bytes.length}`);
    }
  }

  #string(table: { offset: number; size: number }, at: number): string {
    if (at >= table.size && !(at === 0 && table.size === 0))
      throw broken(`a name is at ${at} of ${table.size} bytes of names`);
    const limit = Math.min(table.offset + table.size, table.offset + at + MAX_NAME);
    let end = table.offset + at;
    while (end < limit && this.#bytes[end] !== 0) end++;
    if (end === limit && table.size > 0) throw broken('a name does not end');
    return Buffer.from(this.#bytes.subarray(table.offset + at, end)).toString('latin1');
  }
}

const MAX_NAME = 4096;

const isRelocation = (type: number) => type === SHT_REL || type === SHT_RELA;

function broken(what: string): ModelError {
  return new ModelError('guest', 'elf', what);
}

function printable(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}

function kernelName(info: Uint8Array | undefined): string | undefined {
  if (!info) return undefined;
  return /KernelName:\[([^\]]*)\]/.exec(Buffer.from(info.subarray(0, MAX_NAME)).toString('latin1'))?.[1];
}

/** Flags of sections by the begin of their names, as LLVM's ELFAsmParser.cpp gives them to a plain `.section`. */
const sectionFlags: readonly (readonly [name: RegExp, flags: number])[] = [
  [/^\.(?:tpc_metadata|KernelInfo|IndexMap)$/, SHF_WRITE | SHF_ALLOC],
  [/^\.(?:data1?|fini_array|init_array|preinit_array)(?:\.|$)/, SHF_WRITE | SHF_ALLOC],
  [/^\.rodata1?(?:\.|$)/, SHF_ALLOC],
  [/^\.(?:text|init|fini)(?:\.|$)/, SHF_ALLOC | SHF_EXECINSTR],
];

interface OutputSection {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly bytes: Uint8Array;
  readonly link?: number;
  readonly info?: number;
  readonly entrySize?: number;
  readonly align: number;
}

/**
 * A kernel as a file: .strtab, .text, .KernelInfo, the others in their order, .symtab. Symbols are in the order of their
 * names, local ones first, and names that end another share its bytes. Source: HabanaAI/tpc_llvm, lib/MC/ELFObjectWriter.cpp,
 * StringTableBuilder.cpp; TPCAsmParser.cpp, flushPendingInstructions (which runs before each directive).
 */
export function writeKernel(kernel: Kernel): Uint8Array {
  const sections: OutputSection[] = [];
  const data = (name: string, bytes: Uint8Array, least = 1) => {
    const usual = sectionFlags.find(([begin]) => begin.test(name))?.[1] ?? 0;
    const { type = SHT_PROGBITS, flags = usual, align = 1, entrySize } = kernel.attributes?.get(name) ?? {};
    const size = entrySize === undefined ? {} : { entrySize };
    sections.push({ name, type, flags, bytes, align: Math.max(align, least), ...size });
  };
  data('.text', kernel.text, 4);
  if (kernel.name !== undefined) {
    const info = `KERNELINFOBEGIN KernelName:[${kernel.name}] #KERNELINFOEND`;
    data('.KernelInfo', new TextEncoder().encode(info));
  }
  for (const [name, bytes] of kernel.sections) if (name !== '.KernelInfo') data(name, bytes);
  const symbols = [...kernel.symbols].sort(
    (a, b) => Number(a.global) - Number(b.global) || (a.name < b.name ? -1 : Number(a.name > b.name)),
  );
  const files = kernel.files ?? [];
  const names = new Strings([
    ...files,
    ...symbols.map((each) => each.name),
    ...sections.map((each) => each.name),
    '.symtab',
    '.strtab',
  ]);
  const table = new Uint8Array((1 + files.length + symbols.length) * SYMBOL);
  const view = new DataView(table.buffer);
  files.forEach((file, i) => {
    const at = (1 + i) * SYMBOL;
    view.setUint32(at, names.at(file), true);
    table[at + 12] = STT_FILE;
    view.setUint16(at + 14, SHN_ABS, true);
  });
  symbols.forEach((symbol, i) => {
    const at = (1 + files.length + i) * SYMBOL;
    view.setUint32(at, names.at(symbol.name), true);
    view.setUint32(at + 4, symbol.value, true);
    view.setUint32(at + 8, symbol.size ?? 0, true);
    table[at + 12] = ((symbol.weak ? STB_WEAK : symbol.global ? STB_GLOBAL : 0) << 4) | (symbol.type ?? 0);
    table[at + 13] = symbol.visibility ?? 0;
    view.setUint16(at + 14, symbol.undefined ? 0 : 2, true);
  });
  const firstGlobal = 1 + files.length + symbols.filter((each) => !each.global).length;
  // Section 0 is none, 1 the names.
  sections.push({ name: '.symtab', type: SHT_SYMTAB, flags: 0, bytes: table, link: 1, info: firstGlobal, align: 4 });
  const strings = names.bytes;

  let offset = HEADER;
  const offsets = sections.map(({ bytes, align }) => {
    offset = Math.ceil(offset / align) * align;
    const at = offset;
    offset += bytes.length;
    return at;
  });
  const stringsOffset = offset;
  const headersAt = Math.ceil((offset + strings.length) / 4) * 4;
  const count = sections.length + 2;
  const file = new Uint8Array(headersAt + count * SECTION);
  const out = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
  out.setUint16(16, ET_REL, true);
  out.setUint16(18, EM_386, true);
  out.setUint32(20, 1, true);
  out.setUint32(32, headersAt, true);
  out.setUint16(40, HEADER, true);
  out.setUint16(46, SECTION, true);
  out.setUint16(48, count, true);
  out.setUint16(50, 1, true);
  const header = (index: number, words: readonly number[]) => {
    words.forEach((word, i) => {
      out.setUint32(headersAt + index * SECTION + i * 4, word, true);
    });
  };
  file.set(strings, stringsOffset);
  header(1, [names.at('.strtab'), SHT_STRTAB, 0, 0, stringsOffset, strings.length, 0, 0, 1, 0]);
  sections.forEach(({ name, type, flags, bytes, link = 0, info = 0, entrySize, align }, i) => {
    const at = offsets[i] as number;
    file.set(bytes, at);
    const entry = type === SHT_SYMTAB ? SYMBOL : (entrySize ?? 0);
    header(i + 2, [names.at(name), type, flags, 0, at, bytes.length, link, info, align, entry]);
  });
  return file;
}

/** A table of strings. Longer ones come before those that end them, so that these are in it already. */
class Strings {
  readonly bytes: Uint8Array;
  readonly #at = new Map<string, number>([['', 0]]);

  constructor(strings: readonly string[]) {
    let text = '\0';
    let before = '';
    for (const string of [...new Set(strings)].sort(byEnd)) {
      if (string === '') continue;
      if (before.endsWith(string)) {
        this.#at.set(string, text.length - 1 - string.length);
        continue;
      }
      this.#at.set(string, text.length);
      text += `${string}\0`;
      before = string;
    }
    this.bytes = new Uint8Array(Buffer.from(text, 'latin1'));
  }

  at(string: string): number {
    return this.#at.get(string) ?? 0;
  }
}

/** Compares from the last character on; the greater comes first, and the end of a string is less than any character. */
function byEnd(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 1; i <= shorter; i++) {
    const difference = b.charCodeAt(b.length - i) - a.charCodeAt(a.length - i);
    if (difference !== 0) return difference;
  }
  return b.length - a.length;
}
