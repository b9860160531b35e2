/** Pages that are made of the rows: commands, instruction sets, registers, the driver's interface, faults, events, machines. */

import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import { type FaultRow, faults } from '../../specs/gaudi/faults.ts';
import { instructionSets } from '../../specs/index.ts';
import { makeProgram } from '../../src/cli/commands.ts';
import { listMachines } from '../../src/machine/machines.ts';
import type { Category } from '../../src/sim/errors.ts';
import type { BlockSpec } from '../../src/sim/registers.ts';
import { unverifiedReadings } from '../../src/tpc/unverified.ts';
import { traceEvents } from '../../src/trace/events.ts';
import { interfaces } from '../../src/uapi/habanalabs/index.ts';
import { reasons } from '../../test/mutants/survivors.ts';
import { apiPages } from './api.ts';
import type { Page } from './page.ts';

const root = path.join(import.meta.dirname, '..', '..');

export async function referencePages(): Promise<Page[]> {
  return [
    await commandsPage(),
    ...(await instructionSetPages()),
    await registersPage(),
    interfacePage(),
    ...apiPages(),
    faultsPage(),
    eventsPage(),
    machinesPage(),
    await faithfulPage(),
  ];
}

function page(name: string, title: string, parts: readonly string[]): Page {
  return { source: `reference/${name}.md`, title, markdown: [`# ${title}`, ...parts].join('\n\n') };
}

/** Text that stays as it is in a cell of a table. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll(/\s+/g, ' ').replaceAll('<', '&lt;');
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.map((one) => cell(String(one))).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

async function commandsPage(): Promise<Page> {
  const program = await makeProgram('');
  const parts: string[] = [];
  const walk = (command: Command, names: readonly string[]) => {
    let text = '';
    command.configureOutput({ writeOut: (piece) => (text += piece), getOutHelpWidth: () => 100 });
    command.outputHelp();
    parts.push(`## ${names.join(' ')}`, `\`\`\`text\n${text.trimEnd()}\n\`\`\``);
    for (const child of command.commands) walk(child, [...names, child.name()]);
  };
  walk(program, ['sagrada']);
  return page('commands', 'Commands', parts);
}

async function instructionSetPages(): Promise<Page[]> {
  const pages: Page[] = [];
  for (const [name, { doc, load }] of Object.entries(instructionSets)) {
    const set = await load();
    for (const { name: part, text } of set.pages?.() ?? [{ name, text: set.document() }]) {
      const title = /^# (.*)$/m.exec(text)?.[1] ?? doc;
      pages.push({ source: `reference/${name}/${part}.md`, title, markdown: text });
    }
  }
  return pages;
}

/** All tables of registers, by the name of their block. */
async function registerTables(): Promise<BlockSpec[]> {
  const files = globSync('specs/gaudi/registers/*.ts', { cwd: root }).sort();
  const modules = await Promise.all(
    files.map((file) => import(pathToFileURL(path.join(root, file)).href) as Promise<Record<string, unknown>>),
  );
  return modules.flatMap((module) => Object.values(module).filter(isBlock));
}

function isBlock(value: unknown): value is BlockSpec {
  return typeof value === 'object' && value !== null && 'rows' in value && 'source' in value && 'size' in value;
}

async function registersPage(): Promise<Page> {
  const blocks = await registerTables();
  const parts = blocks.flatMap((block) => [
    `## ${block.name}`,
    `${block.size.toLocaleString('en')} bytes. Source: ${block.source}.`,
    table(
      ['offset', 'register', 'access', 'reset', 'model', ''],
      Object.entries(block.rows)
        .sort(([, a], [, b]) => a.offset - b.offset)
        .map(([name, row]) => [
          hex(row.offset),
          name + row.count.map((count) => `[${count}]`).join(''),
          row.access,
          hex(row.reset),
          row.kind,
          row.doc,
        ]),
    ),
  ]);
  return page('registers', 'Registers of Gaudi1', [
    'Offsets are from the beginning of the block. `active`: an access does something; `storage`: it is a word that remembers.',
    ...parts,
  ]);
}

function interfacePage(): Page {
  const parts = interfaces.flatMap(({ ioctl, operations }) => [
    `## ${ioctl.name}`,
    `${ioctl.doc} Request ${hex(ioctl.request)}, an argument of ${ioctl.argument.size} bytes. Source: ${ioctl.source}.`,
    table(
      ['offset', 'member', 'bytes'],
      (ioctl.argument.members ?? []).map(({ name, offset, field }) => [
        offset,
        // a union without a name in C
        name.startsWith('$') ? '(of the operation)' : name,
        field.size,
      ]),
    ),
    table(
      ['operation', 'value', '', 'errors', 'on Gaudi1'],
      Object.entries(operations).map(([name, row]) => [
        name,
        hex(row.value),
        row.doc ?? '',
        Object.entries(row.errors ?? {})
          .map(([errno, why]) => `${errno}: ${why}`)
          .join('; '),
        row.refused ? `refused with ${row.refused}` : row.chips ? `only ${row.chips}` : '',
      ]),
    ),
  ]);
  return page('uapi', 'Interface of the habanalabs driver', parts);
}

function faultsPage(): Page {
  const rows = Object.entries<FaultRow>(faults).map(([name, row]) => [name, row.doc, row.driver, row.source]);
  return page('faults', 'Faults', [
    'What `--fault NAME[:PARAMETER][@WHEN]` injects, and what the driver does then ([docs/faults.md](../docs/faults.md)).',
    table(['fault', 'what the hardware does', 'what the driver does', 'source'], rows),
  ]);
}

function eventsPage(): Page {
  const parts = Object.entries(traceEvents).flatMap(([name, row]) => [
    `## ${name}`,
    row.doc,
    table(
      ['field', 'kind', ''],
      Object.entries({ ...row.fields, ...row.results }).map(([field, { kind, doc }]) => [field, kind, doc]),
    ),
  ]);
  return page('events', 'Events of traces', parts);
}

function machinesPage(): Page {
  return page('machines', 'Machines', [
    'What `--machine NAME` takes.',
    table(
      ['machine', 'devices'],
      listMachines().map(({ name, doc }) => [name, doc]),
    ),
  ]);
}

/** What is exact, what is not, and what is not there: counted in the rows and in the source. */
async function faithfulPage(): Promise<Page> {
  const blocks = await registerTables();
  const registers = blocks.map((block) => {
    const rows = Object.values(block.rows);
    const active = rows.filter(({ kind }) => kind === 'active').length;
    return [block.name, active, rows.length - active] as const;
  });
  const sets = await Promise.all(Object.values(instructionSets).map((set) => set.load()));
  const unverified = sets.flatMap((set) => set.rows().flatMap((row) => row.unverified));
  const files = globSync('src/**/*.ts', { cwd: root }).sort();
  const refused = (category: Category) => files.flatMap((file) => refusalsOf(file, category));
  const open = reasons.filter(({ equivalent }) => !equivalent);
  return page('faithful', 'How faithful is the model', [
    'What the model does it does as the public sources say, judged by the unmodified driver; what no public source settles, it refuses: ' +
      'a use of it is an error with a category that fails the test, never a made-up value. This page is counted in the source.',
    '## Exact, approximate, not there',
    table(
      ['', 'what', 'held to it by'],
      [
        [
          'exact',
          'bytes, addresses, packets, registers, errors and messages that the driver causes or reads; orders that barriers, fences and sync objects promise',
          'the unmodified driver; the suites on model and vm; sequences of calls that both must answer alike',
        ],
        [
          'exact',
          'instructions of the TPC that a public source settles',
          'two executions, an interpreter and compiled code, which must agree',
        ],
        [
          'approximate',
          'time: how long an engine, a transfer, a kernel or a link takes. Only the order of what waits for each other is meant',
          'nothing; `--delay` slows an engine down, so that tests do not lean on it',
        ],
        ['not there', 'the MME, the network ports of Gaudi itself, other chips of the driver', 'a refusal, below'],
      ],
    ),
    '## Registers',
    'An `active` register has a body; one that is `storage` remembers what was written. Registers that are in neither list refuse.',
    table(['block', 'active', 'storage'], registers),
    '## Instructions',
    `${unverified.length} rows and fields of the instruction sets are not settled by a public source:`,
    table(
      ['row', 'what is open'],
      unverified.map(({ what, reason }) => [what, reason]),
    ),
    'Of these the model of the TPC reads some in one way, because something public speaks for it, and refuses others:',
    table(
      ['about', 'reading', 'why'],
      unverifiedReadings.map(({ about, reading, reason }) => [about, reading, reason]),
    ),
    '## What is refused as not modelled',
    'The hardware does it and the model does not: this is the list to burn down.',
    table(['where', 'what'], refused('unimplemented')),
    '## What the hardware leaves open',
    'Refused too: no source says what comes of it.',
    table(['where', 'what'], refused('undefined')),
    '## What no test holds the model to',
    `${open.length} reasons for which no test notices mistakes that were put into the models on purpose ([docs/mutants.md](../docs/mutants.md)): ` +
      'in these places the models rest on their sources alone.',
    table(
      ['mistakes', 'why nobody notices'],
      open.map(({ of, why }) => [namesOf(of), why]),
    ),
  ]);
}

/** Places that throw a ModelError of a category, with their message. */
function refusalsOf(file: string, category: Category): (readonly [string, string])[] {
  const text = readFileSync(path.join(root, file), 'utf8');
  return [...text.matchAll(new RegExp(`ModelError\\(\\s*'${category}',\\s*([^;]*?)\\);`, 'gs'))].map((match) => {
    const strings = [...(match[1] ?? '').matchAll(/'([^']*)'|`([^`]*)`/g)].map((one) => one[1] ?? one[2] ?? '');
    return [file, strings.join(': ').replaceAll(/\$\{[^}]*\}/g, '…')] as const;
  });
}

/** Names that an expression of `reasons` stands for, as a person reads them. */
function namesOf({ source }: RegExp): string {
  const text = source
    .replaceAll(/\\x([0-9a-f]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
    .replaceAll(/^\^|\$$/g, '');
  return /^\([^()]*\)$/.test(text) ? text.slice(1, -1).replaceAll('|', '; ') : text;
}
