import { join } from 'node:path';
import { Command } from 'commander';
import { instructionSets } from '../../specs/index.ts';
import type { InstructionSet, RowSummary, Unverified } from '../isa/instruction-set.ts';
import { UserError } from '../sim/errors.ts';
import { unverifiedReadings } from '../tpc/unverified.ts';
import { addExamples } from './help.ts';
import { loadInstructionSet, makeFolder, print, writeOutput } from './isa-input.ts';

export function command(): Command {
  const isa = new Command('isa').description(
    'the instruction sets that are released here: list them, print their reference',
  );
  addExamples(isa, ['sagrada isa list', 'which there are'], ['sagrada isa doc gaudi-qman', 'the manual of one']);
  const listing = isa
    .command('list')
    .description('list the instruction sets, or the instructions of one')
    .argument('[isa]', 'instruction set')
    .option('--unverified', 'only what the public sources leave open, with the reason')
    .option('--symbols', 'the names that assembly text may use')
    .option('--json', 'as JSON')
    .action(list);
  addExamples(
    listing,
    ['sagrada isa list tpc-gaudi', 'every instruction, with its encoding'],
    ['sagrada isa list gaudi-qman --symbols --json', 'names of registers and engines, for a program'],
  );
  const reference = isa
    .command('doc')
    .description('print the reference of an instruction set, in Markdown, generated from its rows')
    .argument('<isa>', 'instruction set')
    .option('-o, --output <folder>', 'write a page per instruction into a folder')
    .action(doc);
  addExamples(
    reference,
    ['sagrada isa doc gaudi-qman', 'to read'],
    ['sagrada isa doc tpc-gaudi -o manual', 'a folder of pages'],
  );
  const highlighting = isa
    .command('grammar')
    .description('print the TextMate grammar of an assembly language, for editors')
    .argument('<isa>', 'instruction set')
    .action(grammar);
  addExamples(highlighting, ['sagrada isa grammar tpc-gaudi > tpc.tmLanguage.json', 'for an editor']);
  return isa;
}

async function doc(name: string, options: { readonly output?: string }): Promise<void> {
  const isa = await loadInstructionSet(name);
  if (options.output === undefined) return print(isa.document());
  const pages = isa.pages?.() ?? [{ name: isa.name, text: isa.document() }];
  makeFolder(options.output);
  for (const page of pages) writeOutput(join(options.output, `${page.name}.md`), new TextEncoder().encode(page.text));
}

async function grammar(name: string): Promise<void> {
  const isa = await loadInstructionSet(name);
  if (!isa.grammar) throw new UserError(`${name} has no grammar for editors`);
  await print(json(isa.grammar()));
}

interface ListOptions {
  readonly unverified?: boolean;
  readonly symbols?: boolean;
  readonly json?: boolean;
}

async function list(name: string | undefined, options: ListOptions): Promise<void> {
  if (options.unverified && options.symbols) throw new UserError('--unverified and --symbols exclude each other');
  if (options.symbols && name === undefined) throw new UserError('--symbols needs the name of an instruction set');
  const names = name === undefined ? Object.keys(instructionSets) : [name];
  if (options.unverified) {
    const open = await Promise.all(names.map(openOf));
    return print(options.json ? json(open.flat()) : columns(open.flat().map(({ what, reason }) => [what, reason])));
  }
  if (name !== undefined) return listOne(await loadInstructionSet(name), options);
  const sets = Object.entries(instructionSets).map(([each, { doc }]) => ({ name: each, doc }));
  await print(options.json ? json(sets) : columns(sets.map((set) => [set.name, set.doc])));
}

function listOne(isa: InstructionSet, options: ListOptions): Promise<void> {
  if (!options.symbols) return listRows(isa.rows(), options);
  const symbols = isa.symbols();
  return print(options.json ? json(symbols) : columns(symbols.map(({ name, value, doc }) => [name, value, doc])));
}

/** What rows leave open, and how a model of what they do reads what they do not say. */
const readings: Readonly<Record<string, readonly Unverified[]>> = {
  'tpc-gaudi': unverifiedReadings.map(({ about, reading, reason }) => ({
    what: about,
    reason: `the model's reading: ${reading} (${reason})`,
  })),
};

async function openOf(name: string): Promise<readonly Unverified[]> {
  const isa = await loadInstructionSet(name);
  return [...isa.rows().flatMap((row) => row.unverified), ...(readings[name] ?? [])];
}

function listRows(rows: readonly RowSummary[], options: ListOptions): Promise<void> {
  const lines = rows.map((row) => [
    row.name,
    row.encoding,
    row.size === 'slot' ? 'slot' : `${row.size} bytes`,
    row.doc,
  ]);
  return print(options.json ? json(rows) : columns(lines));
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** Lines with aligned columns, two blanks apart. */
function columns(lines: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const line of lines) {
    line.forEach((text, i) => {
      widths[i] = Math.max(widths[i] ?? 0, text.length);
    });
  }
  return lines
    .map(
      (line) =>
        `${line
          .map((text, i) => text.padEnd(widths[i] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
