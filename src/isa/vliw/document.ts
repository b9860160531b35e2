/** The reference of a VLIW instruction set in Markdown, a page per instruction, generated from the rows. */

import { picture } from '../document.ts';
import type { ReferencePage } from '../instruction-set.ts';
import { assembleVliw } from './assembler.ts';
import { type Slot, slots } from './bundle.ts';
import type { CompiledInstruction, Form, OperandForm } from './forms.ts';
import { BUNDLE_BITS, proveVliw } from './proof.ts';
import type { BitRange, InstructionRow, SwitchRow } from './rows.ts';
import type { VliwSet } from './set.ts';

export function vliwPages(set: VliwSet): readonly ReferencePage[] {
  const pages = slots.flatMap((slot) => rowsOf(set, slot).map((row) => instructionPage(set, row)));
  return [{ name: 'index', text: indexPage(set) }, ...pages, loopPage(set)];
}

export function documentVliw(set: VliwSet): string {
  return vliwPages(set)
    .map((page) => page.text)
    .join('\n');
}

function rowsOf(set: VliwSet, slot: Slot): readonly CompiledInstruction[] {
  return [...new Set(set.instructions[slot].values())].sort((a, b) => a.row.opcode - b.row.opcode);
}

/** Of the file of an instruction's page. */
function pageName(row: CompiledInstruction): string {
  return `${row.slot}-${row.name}`;
}

function indexPage(set: VliwSet): string {
  const { facts } = set;
  const proof = proveVliw(facts);
  const tables = slots.map((slot) => {
    const layout = facts.layouts[slot];
    const lines = rowsOf(set, slot).map(
      (row) => `| ${row.row.opcode} | [${row.name}](${pageName(row)}.md) | ${row.row.doc} |`,
    );
    return [
      `## ${layout.title}`,
      layout.doc,
      ['| opcode | instruction | |', '|---|---|---|', ...lines].join('\n'),
    ].join('\n\n');
  });
  const files = facts.registers.map(
    ({ file, count, bits, named, doc }) =>
      `| ${file} | ${count === 0 ? '' : `0 to ${count - 1}`} | ${bits} | ${doc}${Object.keys(named).length > 0 ? `; also ${Object.keys(named).join(', ')}` : ''} |`,
  );
  const types = Object.entries(facts.types).filter(([name]) => !facts.missingTypes.some((type) => type === name));
  const parts = [
    `# ${facts.title}`,
    facts.doc,
    fence(picture(proof.owners.map((owner) => owner.replaceAll(' = ', '=')))),
    'Bits that two slots share are named twice. A bundle in which two instructions use shared bits differently cannot be ' +
      'encoded.',
    ...tables,
    '## LOOP',
    `A bundle of its own: [loop](loop.md). ${facts.loop.doc}`,
    '## What goes together',
    [
      'The four slots share one immediate; LOAD and STORE one predicate. Compilers never put into one bundle:',
      '',
      ...facts.packing.map(
        ({ first, second, doc }) =>
          `- in ${facts.layouts[first[0]].title} ${first[1].join(', ')}, and in ${facts.layouts[second[0]].title} ${second[1].join(', ')}: ${doc}`,
      ),
    ].join('\n'),
    '## Registers',
    ['| file | numbers | bits | |', '|---|---|---|---|', ...files].join('\n'),
    '## Data types',
    types.map(([name, code]) => `\`.${name}\` = ${code}`).join(', '),
    '## Text',
    'A bundle to a line: the slots LOAD, SPU, VPU, STORE, separated by semicolons; those that are missing at the end do ' +
      'nothing. Or between braces, a slot to a line. Mnemonics, registers and switches are written in any case. A data type ' +
      'follows the mnemonic after a dot; switches follow it after dots or blanks. A predicate is the last operand: `SP1`, ' +
      '`!SP1`, `VP2`, `!VP2`. Numbers are decimal, `0x`, `0b`; `1.5` is an f32, `1.5bf` a bf16, `1.5h` a half; `i16_-2`, ' +
      '`u8_x1f`, `f32_1.25` say their type. `name:` is a label. Comments begin with `//` or `#`, or stand between `/*` and `*/`.',
    '## Sources',
    Object.entries(facts.sources)
      .map(([letter, source]) => `- [${letter}] ${source}`)
      .join('\n'),
  ];
  return `${parts.join('\n\n')}\n`;
}

function instructionPage(set: VliwSet, compiled: CompiledInstruction): ReferencePage {
  const { row, slot, name, forms } = compiled;
  const { facts } = set;
  const switches = Object.entries(row.switches ?? {}).map(([key, each]) => switchLine(key, each, row.types));
  const parts = [
    `# ${name} (${facts.layouts[slot].title})`,
    row.doc,
    '## Syntax',
    fence([...new Set(forms.map((form) => `${usage(form)}${condition(form)}`))].join('\n')),
    ...(row.types ? [`Data types: ${row.types.map((type) => `\`${type}\``).join(', ')}.`] : []),
    ...(row.aliases ? [`Also written ${row.aliases.join(', ')}.`] : []),
    ...(switches.length > 0 ? [['| switch | bits | default | |', '|---|---|---|---|', ...switches].join('\n')] : []),
    '## Encoding',
    `Opcode ${row.opcode}. ${forms.length > 1 ? 'The first form; the others differ in their operands.' : ''}`.trim(),
    fence(picture(owners(set, forms[0] as Form))),
    '## Operation',
    fence(row.operation || 'nothing'),
    '## Latency',
    latencyText(set, compiled),
    ...(row.unverified ? ['## Unverified', `${row.unverified}.`] : []),
    '## Example',
    example(set, slot, row.example),
    `Chips: ${(row.chips ?? ['goya', 'gaudi', 'gaudi2']).join(', ')}. Source: ${row.source ?? `[R] TPCInstrInfo.td, opcode ${row.opcode} of ${facts.layouts[slot].title}`}.`,
  ];
  return { name: pageName(compiled), text: `${parts.join('\n\n')}\n` };
}

function loopPage(set: VliwSet): ReferencePage {
  const { loop } = set.facts;
  const proof = proveVliw(set.facts);
  const { bytes } = assembleVliw(set, `${loop.example}\nnop\nnop\nend1:\nnop`, { file: 'example', hazards: false });
  const parts = [
    '# loop',
    loop.doc,
    '## Syntax',
    fence('loop start:S|imm, boundary:S|imm, step:S|imm, > >= < <= == !=, label[, repeat at most once][, !?SP]'),
    '## Encoding',
    `Opcode ${loop.opcode}. The end of the loop is the distance in bytes from the LOOP to the last bundle of its body. The lower bits of an immediate stand in the field of its register, too.`,
    fence(picture(proof.loopOwners)),
    '## Operation',
    fence(loop.operation),
    '## Example',
    fence(`${loop.example}\n${hex(bytes.subarray(0, 32))}`),
    `Source: ${loop.source}.`,
  ];
  return { name: 'loop', text: `${parts.join('\n\n')}\n` };
}

/** With which data types and switches a form goes, where another has others. */
function condition({ types, when, implies }: Form): string {
  const switches = Object.entries(when ?? {}).map(([name, value]) =>
    value === true ? `with ${name}` : value === false ? `without ${name}` : `with ${name}=${value}`,
  );
  const implied = Object.keys(implies ?? {}).map((name) => `is ${name}`);
  const parts = [...(types ? [types.join(' ')] : []), ...switches, ...implied];
  return parts.length === 0 ? '' : `    // ${parts.join(', ')}`;
}

/** A form as it is written. */
export function usage(form: Form): string {
  const { name, row } = form.instruction;
  const type = form.type === 'none' ? '' : form.type === 'accepted' || form.defaultType ? '[.type]' : '.type';
  const dest = form.operands.findIndex((operand) => operand.role === 'dest');
  const early = form.operands.filter((_, i) => i < dest).map(operandUsage);
  const list = form.operands.filter((_, i) => i >= dest).map(operandUsage);
  const switches = form.switches.length > 0 ? ' [switches]' : '';
  const predicate = form.predicate === '' ? '' : `[, !?${form.predicate}]`;
  const head = [`${name}${type}${row.types && type === '' ? '' : ''}${switches}`, ...early].join(' ');
  return `${head}${list.length > 0 ? ` ${list.join(', ')}` : ''}${predicate}`;
}

const kindNames: Readonly<Record<string, string>> = { n: 'number', twice: 'number', t: 'tensor', dims: 'b00000' };

function operandUsage(operand: OperandForm): string {
  const kinds = operand.implied
    ? `${operand.implied.file}${operand.implied.number}`
    : operand.kinds.map((kind) => kindNames[kind] ?? kind).join('|');
  const text = kinds === operand.role ? kinds : `${operand.role}:${kinds}`;
  return operand.optional ? `[${text}]` : text;
}

/** `all`: the data types of the instruction. */
function switchLine(key: string, row: SwitchRow, all: InstructionRow['types']): string {
  const types = row.types?.filter((type) => all?.includes(type) ?? true);
  const values = Object.entries(row.values ?? {}).map(([name, value]) => `${value} = ${name}`);
  const notes = [
    row.doc,
    ...values,
    ...(types && types.length < (all?.length ?? Infinity) ? [`for ${types.join(', ')}`] : []),
    ...(row.when
      ? [
          `with ${Object.entries(row.when)
            .map(([name, value]) => `${name} = ${value}`)
            .join(', ')}`,
        ]
      : []),
    ...(row.aliases ? [`also ${row.aliases.join(', ')}`] : []),
    ...(row.unverified ? [`**unverified:** ${row.unverified}`] : []),
  ];
  return `| ${key} | ${row.at} | ${row.default === false ? '' : row.default} | ${notes.join('; ').replaceAll('|', '\\|')} |`;
}

function latencyText(set: VliwSet, { row, slot }: CompiledInstruction): string {
  const own = row.latency ?? set.facts.latencies[slot];
  const chained = (row.types ?? []).flatMap((type) => row.chain?.(type, {})?.bundles ?? []);
  const chain = chained.length > 0 ? ` To the accumulator of a MAC of the same kind, ${Math.min(...chained)}.` : '';
  if (typeof own === 'number')
    return `${own} bundles to another instruction of ${set.facts.layouts[slot].title}.${chain}`;
  const types = row.types ?? [];
  return `${types.map((type) => `${own(type)} bundles for ${type}`).join(', ')}.${chain}`;
}

function owners(set: VliwSet, form: Form): string[] {
  const names = new Array<string>(BUNDLE_BITS).fill('reserved');
  const own = (name: string, { lo, width }: BitRange) => names.fill(name, lo, lo + width);
  const { layout } = form.instruction;
  own('opcode', layout.opcode);
  for (const { place, value } of form.constants) own(String(value), place);
  for (const s of form.switches) own(s.name, s.place);
  for (const { role, place, kinds } of form.operands) {
    if (place) own(role, place);
    if (kinds.includes('imm') || kinds.includes('label') || kinds.includes('twice')) own('imm', set.facts.imm);
  }
  if (form.type === 'encoded') own('type', layout.fields.type as BitRange);
  if (form.predicate !== '') {
    own('predicate', layout.predicate.address);
    own('!', layout.predicate.inverted);
  }
  return names;
}

/** The example alone in its bundle. */
export function exampleLine(slot: Slot, text: string): string {
  return slots.map((each) => (each === slot ? text : 'nop')).join('; ');
}

function example(set: VliwSet, slot: Slot, text: string): string {
  const line = exampleLine(slot, text);
  const { bytes } = assembleVliw(set, line, { file: 'example', hazards: false });
  return fence(`${line}\n${hex(bytes)}`);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function fence(text: string): string {
  return `\`\`\`text\n${text}\n\`\`\``;
}
