/** What every instruction set offers, whatever its encoding: the commands of the CLI know nothing else. */

import { type AssembleOptions, type Assembly, assemble } from './assembler.ts';
import { type DisassembleOptions, disassemblePackets } from './disassembler.ts';
import { documentPackets, sizeText } from './document.ts';
import type { AnyPacketSet } from './packet-codec.ts';
import { packetSyntax } from './packet-syntax.ts';
import { type SymbolTable, symbolUsage } from './symbols.ts';

/** One instruction, for lists. */
export interface RowSummary {
  readonly name: string;
  /** How it is recognised, e.g. `opcode 0x3`. */
  readonly encoding: string;
  /** Bytes, e.g. `16` or `8 + 8 * size64`. */
  readonly size: string;
  readonly doc: string;
  readonly source: string;
  readonly unverified: readonly Unverified[];
}

/** What is not certain: the whole row (`what` is its name), or a field (`ROW.field`). */
export interface Unverified {
  readonly what: string;
  readonly reason: string;
}

/** A name that assembly text may use. */
export interface SymbolSummary {
  /** With the range of its indices, e.g. `SOB_E_N(0..2047)`. */
  readonly name: string;
  /** Of the first instance. */
  readonly value: string;
  readonly doc: string;
  readonly source: string;
}

/** Programs in object files, where an instruction set has them. */
export interface ObjectFiles {
  /** `name`: of the program. */
  write(assembly: Assembly, name: string): Uint8Array;
  recognises(bytes: Uint8Array): boolean;
  /** @throws ModelError for a file that is broken */
  read(bytes: Uint8Array): ObjectProgram;
}

export interface ObjectProgram {
  readonly bytes: Uint8Array;
  /** Names of places, by offset. */
  readonly symbols: ReadonlyMap<number, string>;
}

/** A page of the reference. */
export interface ReferencePage {
  /** Of its file, without extension. */
  readonly name: string;
  readonly text: string;
}

export interface InstructionSet {
  readonly name: string;
  readonly title: string;
  /** @throws AssemblyError */
  assemble(text: string, options?: AssembleOptions): Assembly;
  /** @throws ModelError for bytes that are no instruction */
  disassemble(bytes: Uint8Array, options?: DisassembleOptions): string;
  /** The reference, in Markdown. */
  document(): string;
  rows(): readonly RowSummary[];
  symbols(): readonly SymbolSummary[];
  readonly objects?: ObjectFiles;
  /** The reference, a page per instruction, where it is that long. */
  pages?(): readonly ReferencePage[];
  /** A TextMate grammar, for editors. */
  grammar?(): object;
}

export function packetInstructionSet(set: AnyPacketSet, symbols: SymbolTable): InstructionSet {
  const syntax = packetSyntax(set, symbols);
  return {
    name: set.name,
    title: set.facts.title,
    assemble: (text, options) => assemble(syntax, text, options),
    disassemble: (bytes, options) => disassemblePackets(set, symbols, bytes, options),
    document: () => documentPackets(set, syntax),
    rows: () => Object.keys(set.rows).map((name) => summarise(set, name)),
    symbols: () =>
      [...symbols.rows].map(([name, row]) => ({
        name: symbolUsage(name, row),
        value: `0x${row.value.toString(16)}`,
        doc: row.doc,
        source: row.source,
      })),
  };
}

function summarise(set: AnyPacketSet, name: string): RowSummary {
  const row = set.rows[name] as AnyPacketSet['rows'][string];
  const unverified: Unverified[] = [];
  if (row.unverified) unverified.push({ what: name, reason: row.unverified });
  for (const [field, f] of Object.entries(row.fields)) {
    if (f.kind !== 'payload' && f.unverified) unverified.push({ what: `${name}.${field}`, reason: f.unverified });
  }
  return {
    name,
    encoding: `opcode 0x${row.opcode.toString(16)}`,
    size: sizeText(set, name),
    doc: row.doc,
    source: row.source,
    unverified,
  };
}
