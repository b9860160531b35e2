/**
 * Assembles VLIW programs: a bundle to a line, its slots separated by semicolons, or between braces a slot to a line.
 * The syntax is that of the vendor's assembler, so that programs written for it assemble unchanged; what that assembler
 * encodes wrongly without a word is an error, or with `permissive` a warning.
 */

import type { AssembleOptions, Assembly, ListingEntry } from '../assembler.ts';
import { AssemblyError, type Diagnostic, SourceText } from '../diagnostics.ts';
import { Fault } from '../expressions.ts';
import { BUNDLE_WORDS, bytesOf, orBits, readWords } from './bits.ts';
import { BUNDLE_BYTES, type Slot, slots } from './bundle.ts';
import { Directives, type SectionAttributes } from './directives.ts';
import type { KernelSymbol } from './elf.ts';
import { type Hazard, HazardFinder } from './hazards.ts';
import { commentStart, isBlank, isNamePart, isNop, withoutBlockComments } from './lines.ts';
import { encodeLoop } from './loop.ts';
import { type LoopLabel, parseLoop } from './loop-parser.ts';
import { type Expansion, expand, needsExpansion } from './macros.ts';
import type { VliwSet } from './set.ts';
import { type ParsedSlot, SlotParser } from './slot-parser.ts';

export interface VliwAssembly extends Assembly {
  /** Sections other than .text, in the order of the text. */
  readonly sections: ReadonlyMap<string, Uint8Array>;
  /** What the text says of sections, .text among them. */
  readonly attributes: ReadonlyMap<string, SectionAttributes>;
  /** Names of source files, from `.file`. */
  readonly files: readonly string[];
  readonly symbols: readonly KernelSymbol[];
}

/** Longest program, bytes. */
const MAX_OUTPUT = 64 * 1024 * 1024;

interface Place {
  readonly start: number;
  readonly end: number;
}

interface LabelUse extends LoopLabel {
  readonly bundle: number;
  readonly loop: boolean;
}

/** @throws AssemblyError with all diagnostics, where there are errors */
export function assembleVliw(set: VliwSet, text: string, options: AssembleOptions = {}): VliwAssembly {
  return new Assembler(set, new SourceText(options.file ?? 'input', text), options).run();
}

class Assembler {
  readonly #set: VliwSet;
  readonly #source: SourceText;
  readonly #text: string;
  /** Where the lines of the text come from, if macros and the like made them. */
  readonly #expansion: Expansion | undefined;
  readonly #permissive: boolean;
  readonly #diagnostics: Diagnostic[] = [];
  readonly #reported = new Set<string>();
  readonly #slotParser: SlotParser;
  readonly #constants = new Map<string, bigint>();
  readonly #directives: Directives;
  readonly #labels = new Map<string, Place & { readonly bundle: number }>();
  readonly #uses: LabelUse[] = [];
  readonly #hazards: HazardFinder | undefined;
  /** Slots of the bundle that is being read. */
  #pending: ParsedSlot[] = [];
  #places: Place[] = [];
  #braces: Place | undefined;
  /** The line, from 1. */
  #line = 0;
  #words = new Uint32Array(BUNDLE_WORDS * 256);
  /** The bundle that is being put together. */
  readonly #bundle = new Uint32Array(BUNDLE_WORDS);
  /** Lines of bundles. */
  #lines = new Uint32Array(256);
  #bundles = 0;

  constructor(set: VliwSet, source: SourceText, options: AssembleOptions) {
    this.#set = set;
    this.#source = source;
    this.#permissive = options.permissive ?? false;
    for (const [name, value] of Object.entries(options.constants ?? {})) this.#constants.set(name, BigInt(value));
    const text = withoutBlockComments(source.text);
    if (needsExpansion(text)) {
      this.#expansion = expand(text, this.#constants, (fault, severity) => this.#add(fault, fault, severity));
    }
    this.#text = this.#expansion?.text ?? text;
    const data = (bytes: readonly number[]) => {
      for (let at = 0; at < bytes.length; at += BUNDLE_BYTES) {
        const words = new Uint32Array(BUNDLE_WORDS);
        readWords(Uint8Array.from(bytes.slice(at, at + BUNDLE_BYTES)), 0, words);
        this.#emit(words);
        this.#hazards?.skip();
      }
    };
    this.#directives = new Directives(
      this.#constants,
      data,
      () => this.#slotParser.forget(),
      () => this.#bundles * BUNDLE_BYTES,
      (bytes) => this.#pad(bytes),
    );
    const defect = (fault: Fault) => this.#report(fault, this.#permissive ? 'warning' : 'error');
    const warn = (fault: Fault) => this.#report(fault, 'warning');
    this.#slotParser = new SlotParser({
      set,
      constants: this.#constants,
      lenient: this.#permissive,
      defect,
      warn,
    });
    if (options.hazards ?? true) {
      this.#hazards = new HazardFinder(set.facts, set, (hazard) => this.#warnOfHazard(hazard));
    }
  }

  run(): VliwAssembly {
    const text = this.#text;
    for (let start = 0; start <= text.length; ) {
      let end = text.indexOf('\n', start);
      if (end < 0) end = text.length;
      this.#line++;
      this.#readLine(start, end);
      start = end + 1;
    }
    if (this.#braces) this.#report(new Fault(this.#braces, 'this brace is never closed'), 'error');
    this.#endBundle();
    this.#resolve();
    const symbols = this.#symbols();
    if (this.#diagnostics.some((each) => each.severity === 'error')) {
      throw new AssemblyError(this.#source, this.#diagnostics);
    }
    const bytes = bytesOf(this.#words, this.#bundles * BUNDLE_WORDS);
    const lines = this.#lines.subarray(0, this.#bundles);
    const labels = new Map<string, bigint>();
    for (const [name, { bundle }] of this.#labels) labels.set(name, BigInt(bundle * BUNDLE_BYTES));
    return {
      bytes,
      get listing() {
        return listing(lines);
      },
      labels,
      source: this.#source,
      warnings: this.#diagnostics,
      sections: this.#directives.sections(),
      attributes: this.#directives.attributes,
      files: this.#directives.files,
      symbols,
    };
  }

  /** Offsets of a line without its end. */
  #readLine(start: number, lineEnd: number): void {
    const text = this.#text;
    if (this.#directives.takeWholeLine(() => text.slice(start, lineEnd))) return;
    let end = commentStart(text, start, lineEnd);
    while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
    if (end === start) {
      this.#endOfLine(lineEnd);
      return;
    }
    try {
      if (this.#directives.takeLine(text.slice(start, end), start)) return;
      let at = start;
      const bars = this.#bars(start);
      if (bars !== undefined) {
        if (this.#pending.length === 0)
          throw new Fault({ start, end }, '"||" goes on with a bundle, and none is begun');
        at = bars;
      }
      while (at < end) {
        let semicolon = text.indexOf(';', at);
        if (semicolon < 0 || semicolon > end) semicolon = end;
        this.#statement(at, semicolon);
        at = semicolon + 1;
      }
    } catch (error) {
      this.#fault(error);
      // What is left of the bundle would only be misunderstood.
      this.#pending = [];
      this.#places = [];
    }
    this.#endOfLine(lineEnd);
  }

  #endOfLine(lineEnd: number): void {
    if (this.#pending.length > 0 && !this.#braces && this.#bars(lineEnd + 1) === undefined) this.#endBundle();
  }

  /** Where a line goes on after the bars that say that its bundle is that of the line before; undefined without them. */
  #bars(start: number): number | undefined {
    const text = this.#text;
    let at = start;
    while (isBlank(text.charCodeAt(at))) at++;
    return text.charCodeAt(at) === BAR && text.charCodeAt(at + 1) === BAR ? at + 2 : undefined;
  }

  #statement(from: number, to: number): void {
    const text = this.#text;
    let start = from;
    let end = to;
    while (start < end && isBlank(text.charCodeAt(start))) start++;
    while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
    for (let label = this.#label(start, end); label > start; label = this.#label(start, end)) {
      start = label;
      while (start < end && isBlank(text.charCodeAt(start))) start++;
    }
    if (start === end) return;
    const place = { start, end };
    const first = text.charCodeAt(start);
    if (first === OPEN) {
      this.#openBrace(place);
      return;
    }
    if (first === CLOSE) {
      this.#closeBrace(place);
      return;
    }
    const slot = slots[this.#pending.length];
    if (end - start === 3 && slot && isNop(text, start) && this.#directives.inText()) {
      this.#pending.push(this.#slotParser.nop(slot));
      this.#places.push(place);
      if (this.#braces && this.#pending.length === slots.length) this.#endBundle();
      return;
    }
    const statement = text.slice(start, end);
    if (first === DOT || (statement.includes('=') && ASSIGNMENT.test(statement))) {
      if (this.#pending.length > 0) throw new Fault(place, 'a directive cannot stand within a bundle');
      this.#directives.directive(statement, start);
      return;
    }
    if (!this.#directives.inText()) throw new Fault(place, 'instructions belong into section .text');
    this.#instruction(statement, place);
  }

  /** Where the statement goes on after its label; `start` where it has none. */
  #label(start: number, end: number): number {
    const text = this.#text;
    let after = start;
    while (after < end && isNamePart(text.charCodeAt(after))) after++;
    let colon = after;
    while (colon < end && isBlank(text.charCodeAt(colon))) colon++;
    if (text.charCodeAt(colon) !== COLON || colon >= end) return start;
    const name = text.slice(start, after);
    if (!LABEL.test(name)) return start;
    const place = { start, end: start + name.length };
    if (this.#pending.length > 0) throw new Fault(place, 'a label cannot stand within a bundle');
    if (!this.#directives.inText()) return colon + 1;
    if (this.#labels.has(name)) this.#report(new Fault(place, `label "${name}" is already defined`), 'error');
    this.#labels.set(name, { bundle: this.#bundles, ...place });
    return colon + 1;
  }

  #openBrace(place: Place): void {
    if (this.#braces || this.#pending.length > 0) throw new Fault(place, 'a bundle is already begun');
    this.#braces = place;
    if (place.end > place.start + 1) this.#statement(place.start + 1, place.end);
  }

  #closeBrace(place: Place): void {
    if (!this.#braces) throw new Fault(place, 'no brace is open');
    this.#braces = undefined;
    this.#endBundle();
    if (place.end > place.start + 1) this.#statement(place.start + 1, place.end);
  }

  #instruction(statement: string, place: Place): void {
    if (this.#braces && statement.endsWith('}')) {
      const inner = statement.slice(0, -1).trimEnd();
      if (inner !== '') this.#instruction(inner, { start: place.start, end: place.start + inner.length });
      this.#closeBrace({ start: place.end - 1, end: place.end });
      return;
    }
    const initial = statement.charCodeAt(0) | 32;
    if (initial === LETTER_L && LOOP.test(statement)) {
      if (this.#pending.length > 0) throw new Fault(place, 'LOOP is a bundle of its own');
      this.#loop(statement, place);
      return;
    }
    const slot = slots[this.#pending.length];
    if (!slot) throw new Fault(place, 'a bundle has four slots; this is the fifth');
    if (slot === 'load' && initial === LETTER_H && HALT.test(statement)) {
      this.#halt(place);
      return;
    }
    this.#pending.push(this.#slotParser.parse(slot, statement, place.start));
    this.#places.push(place);
    if (this.#braces && this.#pending.length === slots.length) this.#endBundle();
  }

  /** HALT alone is one in SPU and VPU. */
  #halt(place: Place): void {
    for (const [i, text] of ['nop', 'halt', 'halt', 'nop'].entries()) {
      this.#pending.push(this.#slotParser.parse(slots[i] as Slot, text, place.start));
      this.#places.push(place);
    }
    if (this.#braces) this.#endBundle();
  }

  #loop(statement: string, place: Place): void {
    const parsed = parseLoop(
      {
        registers: this.#set.registers,
        constants: this.#constants,
        defect: (fault) => this.#report(fault, this.#permissive ? 'warning' : 'error'),
      },
      statement,
      place.start,
    );
    if (parsed.label) this.#uses.push({ ...parsed.label, bundle: this.#bundles, loop: true });
    this.#emit(encodeLoop(this.#set.facts, parsed.loop));
    this.#hazards?.skip();
  }

  /** Bundles that do nothing, up to a multiple of so many bytes. */
  #pad(bytes: number): void {
    const nothing = new Uint32Array(BUNDLE_WORDS);
    readWords(this.#set.nop, 0, nothing);
    while ((this.#bundles * BUNDLE_BYTES) % bytes !== 0) {
      this.#emit(nothing);
      this.#hazards?.skip();
    }
  }

  /** Puts the pending slots together. */
  #endBundle(): void {
    const pending = this.#pending;
    if (pending.length === 0) return;
    const places = this.#places;
    this.#pending = [];
    this.#places = [];
    while (pending.length < slots.length) {
      pending.push(this.#slotParser.nop(slots[pending.length] as Slot));
    }
    const words = this.#bundle.fill(0);
    let imm: number | undefined;
    let owner: number | undefined;
    for (let i = 0; i < pending.length; i++) {
      const { bits, label } = pending[i] as ParsedSlot;
      for (let w = 0; w < BUNDLE_WORDS; w++) words[w] = (words[w] as number) | (bits.words[w] as number);
      if (bits.imm === undefined) continue;
      if (owner !== undefined && (label || pending[owner]?.label || imm !== bits.imm)) {
        this.#defect(places[i], 'a bundle has one immediate, and another slot of it has another value');
      }
      owner = i;
      imm = bits.imm;
      if (label) this.#uses.push({ ...label, bundle: this.#bundles, loop: false });
    }
    if (imm !== undefined) orBits(words, this.#set.facts.imm, imm);
    this.#checkShared(pending, places);
    this.#checkPacking(pending, places);
    this.#hazards?.next(pending, places);
    this.#emit(words);
  }

  #checkShared(pending: readonly ParsedSlot[], places: readonly Place[]): void {
    const [load, , , store] = pending as [ParsedSlot, ParsedSlot, ParsedSlot, ParsedSlot];
    const one = load.instruction.predicate ?? store.instruction.predicate;
    // Programs for the vendor's assembler have it, and mean it: the other slot gets the predicate, too.
    const other = load.instruction.predicate === undefined || store.instruction.predicate === undefined;
    if (one && other && load.instruction.mnemonic !== 'nop' && store.instruction.mnemonic !== 'nop') {
      const title = this.#set.facts.layouts[load.instruction.predicate ? 'store' : 'load'].title;
      const place = places[load.instruction.predicate ? 3 : 0] ?? { start: 0, end: 0 };
      const taker = load.instruction.predicate ? store : load;
      const takes = taker.bits.form.predicate.split('|').includes(one.file);
      const message = takes
        ? `LOAD and STORE share one predicate: ${title} gets that of the other`
        : `LOAD and STORE share one predicate: ${title} would get ${one.file}${one.number}, which it cannot have`;
      if (takes) this.#report(new Fault(place, message), 'warning');
      else this.#defect(place, message);
    }
    for (const [a, b, what] of SHARED) {
      if (b === 3 && a === 0 && other) continue;
      const x = (pending[a] as ParsedSlot).bits;
      const y = (pending[b] as ParsedSlot).bits;
      for (let w = 2; w < 5; w++) {
        const both = (x.used[w] as number) & (y.used[w] as number);
        if ((((x.words[w] as number) ^ (y.words[w] as number)) & both) !== 0) {
          this.#defect(places[b] ?? places[a], what);
          break;
        }
      }
    }
  }

  #checkPacking(pending: readonly ParsedSlot[], places: readonly Place[]): void {
    if ((pending[0] as ParsedSlot).instruction.mnemonic === 'nop') return;
    for (const { first, second, doc } of this.#set.facts.packing) {
      const [a, b] = [slots.indexOf(first[0]), slots.indexOf(second[0])];
      const one = pending[a]?.instruction.mnemonic ?? '';
      const other = pending[b]?.instruction.mnemonic ?? '';
      if (first[1].includes(one) && second[1].includes(other)) {
        const message = `the vendor's compiler never puts ${one} and ${other} into one bundle: ${doc}`;
        this.#report(new Fault(places[b] ?? { start: 0, end: 0 }, message), 'warning');
      }
    }
  }

  #warnOfHazard({ register, reader, writer, distance, needed, waits }: Hazard): void {
    const { line } = this.#source.position(this.#inSource(writer.place).start);
    const when = distance === 1 ? 'in the next bundle' : `${distance} bundles later`;
    const { mnemonic } = writer.instruction;
    const what = waits
      ? `loads it in ${needed}: the simulator waits for it, as the chip is said to do for memory, and compilers leave ${needed} bundles`
      : `writes it with a latency of ${needed}, so this reads the value before`;
    this.#report(new Fault(reader, `${register} is read ${when}; ${mnemonic} in line ${line} ${what}`), 'warning');
  }

  #emit(words: Uint32Array): void {
    const at = this.#bundles * BUNDLE_WORDS;
    if (at * 4 >= MAX_OUTPUT) throw new Fault({ start: 0, end: 0 }, `a program has at most ${MAX_OUTPUT} bytes`);
    if (at >= this.#words.length) {
      const more = new Uint32Array(this.#words.length * 2);
      more.set(this.#words);
      this.#words = more;
      const moreLines = new Uint32Array(this.#lines.length * 2);
      moreLines.set(this.#lines);
      this.#lines = moreLines;
    }
    this.#words.set(words, at);
    this.#lines[this.#bundles] = this.#expansion?.lineOf(this.#line) ?? this.#line;
    this.#bundles++;
  }

  /** Puts distances to labels into jumps and loops. */
  #resolve(): void {
    for (const use of this.#uses) {
      const target = this.#labels.get(use.name);
      if (!target) {
        this.#report(new Fault(use, `label "${use.name}" is not defined`), 'error');
        continue;
      }
      const distance = (target.bundle - use.bundle) * BUNDLE_BYTES + use.addend;
      const words = this.#words.subarray(use.bundle * BUNDLE_WORDS, (use.bundle + 1) * BUNDLE_WORDS);
      if (!use.loop) {
        orBits(words, this.#set.facts.imm, distance);
        continue;
      }
      const end = distance - BUNDLE_BYTES;
      if (end < 0) this.#report(new Fault(use, 'a loop ends after its begin'), 'error');
      else if (end > 0xffff) this.#report(new Fault(use, 'a loop has at most 2048 bundles'), 'error');
      else orBits(words, this.#set.facts.loop.fields.endOffset, end);
    }
  }

  /** Names that begin with a dollar sign, and numbers, are for the text alone. */
  #symbols(): KernelSymbol[] {
    const { globals } = this.#directives;
    const symbols: KernelSymbol[] = [];
    for (const [name, place] of globals) {
      if (this.#labels.has(name)) continue;
      this.#report(new Fault(place, `global "${name}" is not defined`), 'warning');
      const { weak } = this.#directives.symbol(name);
      symbols.push({ name, value: 0, global: true, undefined: true, ...(weak ? { weak } : {}) });
    }
    const placeOf = (name: string) => {
      const label = this.#labels.get(name);
      return label && BigInt(label.bundle * BUNDLE_BYTES);
    };
    for (const [name, { bundle }] of this.#labels) {
      if (/^[$\d]/.test(name)) continue;
      const { type, weak, visibility } = this.#directives.symbol(name);
      let size = 0;
      try {
        size = this.#directives.sizeOf(name, placeOf);
      } catch (error) {
        this.#fault(error);
      }
      symbols.push({
        name,
        value: bundle * BUNDLE_BYTES,
        global: globals.has(name),
        ...(type ? { type } : {}),
        ...(size ? { size } : {}),
        ...(weak ? { weak } : {}),
        ...(visibility ? { visibility } : {}),
      });
    }
    return symbols;
  }

  #defect(place: Place | undefined, message: string): void {
    this.#report(new Fault(place ?? { start: 0, end: 0 }, message), this.#permissive ? 'warning' : 'error');
  }

  #fault(error: unknown): void {
    if (!(error instanceof Fault)) throw error;
    this.#report(error, 'error');
  }

  #report(fault: Fault, severity: Diagnostic['severity']): void {
    const key = `${fault.start} ${fault.message}`;
    if (this.#reported.has(key)) return;
    this.#reported.add(key);
    this.#add(fault, this.#inSource(fault), severity);
  }

  #inSource(place: Place): Place {
    return this.#expansion?.placeOf(place) ?? place;
  }

  #add(fault: Fault, { start, end }: Place, severity: Diagnostic['severity']): void {
    const hint = this.#diagnostics.length < MAX_HINTS ? (fault.hint?.() ?? '') : '';
    this.#diagnostics.push({ severity, message: `${fault.message}${hint}`, start, end });
  }
}

function listing(lines: Uint32Array): readonly ListingEntry[] {
  return Array.from(lines, (line, i) => ({ offset: i * BUNDLE_BYTES, size: BUNDLE_BYTES, line }));
}

/** Diagnostics with suggestions; more than anybody reads. */
const MAX_HINTS = 100;

const OPEN = 123;
const CLOSE = 125;
const DOT = 46;
const COLON = 58;
const BAR = 124;
const LETTER_H = 104;
const LETTER_L = 108;
const LABEL = /^(?:[A-Za-z_.$][\w.$]*|\d+)$/;
const LOOP = /^loop(?=\s|$)/i;
const HALT = /^halt$/i;
const ASSIGNMENT = /^[A-Za-z_][\w.]*\s*=(?!=)/;

/** Slots, by number, that share bits. */
const SHARED = [
  [0, 3, 'LOAD and STORE share one predicate, and these differ'],
  [2, 3, 'VPU and STORE share one source field, and these use it differently'],
  [0, 2, 'LOAD and VPU share one source field, and these use it differently'],
] as const;
