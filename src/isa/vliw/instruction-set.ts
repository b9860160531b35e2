/** A VLIW set as the commands of the CLI see every instruction set. */

import type { Assembly } from '../assembler.ts';
import type { InstructionSet, RowSummary, SymbolSummary, Unverified } from '../instruction-set.ts';
import { assembleVliw, type VliwAssembly } from './assembler.ts';
import { BUNDLE_BYTES, slots } from './bundle.ts';
import { disassembleVliw } from './disassembler.ts';
import { documentVliw, vliwPages } from './document.ts';
import { isElf, readKernel, writeKernel } from './elf.ts';
import type { CompiledInstruction } from './forms.ts';
import { vliwGrammar } from './grammar.ts';
import type { VliwSet } from './set.ts';

export function vliwInstructionSet(set: VliwSet): InstructionSet {
  return {
    name: set.name,
    title: set.facts.title,
    assemble: (text, options) => assembleVliw(set, text, options),
    disassemble: (bytes, options) => disassembleVliw(set, bytes, options),
    document: () => documentVliw(set),
    pages: () => vliwPages(set),
    grammar: () => vliwGrammar(set),
    rows: () => [
      ...slots.flatMap((slot) => [...new Set(set.instructions[slot].values())].map((row) => summarise(set, row))),
      loopSummary(set),
    ],
    symbols: () => registerSummaries(set),
    objects: {
      write: (assembly, name) => writeObject(assembly, name),
      recognises: isElf,
      read(bytes) {
        const { text, symbols } = readKernel(bytes);
        const names = new Map<number, string>();
        const taken = new Set<string>();
        for (const { name, value } of symbols) {
          if (value % BUNDLE_BYTES !== 0 || names.has(value) || taken.has(name) || !isLabel(set, name)) continue;
          names.set(value, name);
          taken.add(name);
        }
        return { bytes: text, symbols: names };
      },
    },
  };
}

/** Whether a name of an object file, which may be anything, can be a label of a text. */
function isLabel(set: VliwSet, name: string): boolean {
  if (!/^[A-Za-z_.$][\w.$]{0,254}$/.test(name)) return false;
  // What begins like this is a register, a mask or a number where a label may stand; the last are labels made here.
  return (
    !set.registers.has(name.toUpperCase()) && !/^((?:AD|SP|VP|[VDASZI])\d+|b[01]+|(?:[uif]|bf)\d+_.*|L_.*)$/i.test(name)
  );
}

function writeObject(assembly: Assembly, name: string): Uint8Array {
  const { bytes, sections, symbols, files, attributes } = assembly as VliwAssembly;
  return writeKernel({ text: bytes, sections, symbols, name, files, attributes });
}

function summarise(set: VliwSet, { slot, name, row }: CompiledInstruction): RowSummary {
  const title = `${slot}.${name}`;
  const unverified: Unverified[] = [];
  if (row.unverified) unverified.push({ what: title, reason: row.unverified });
  for (const [key, each] of Object.entries(row.switches ?? {})) {
    if (each.unverified) unverified.push({ what: `${title}.${key}`, reason: each.unverified });
  }
  return {
    name: title,
    encoding: `opcode ${row.opcode}`,
    size: 'slot',
    doc: row.doc,
    source: row.source ?? `[R] TPCInstrInfo.td, ${set.facts.layouts[slot].title}`,
    unverified,
  };
}

function loopSummary(set: VliwSet): RowSummary {
  const { opcode, doc, source } = set.facts.loop;
  return { name: 'loop', encoding: `opcode ${opcode}`, size: String(BUNDLE_BYTES), doc, source, unverified: [] };
}

function registerSummaries(set: VliwSet): SymbolSummary[] {
  return set.facts.registers.flatMap(({ file, count, named, doc, source }) => [
    ...(count > 0 ? [{ name: `${file}0 to ${file}${count - 1}`, value: '', doc, source }] : []),
    ...Object.entries(named).map(([name, number]) => ({
      name,
      value: String(number),
      doc: `register of file ${file}`,
      source,
    })),
  ]);
}
