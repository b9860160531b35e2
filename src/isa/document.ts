/** The reference in Markdown, generated from the rows: per packet syntax, encoding picture, fields, example, source. */

import { assemble, type Syntax } from './assembler.ts';
import type { AnyPacketSet } from './packet-codec.ts';
import { packetForms, usage } from './packet-syntax.ts';
import type { FieldRow, PayloadRow } from './packets.ts';
import { provePackets } from './proof.ts';
import { symbolUsage } from './symbols.ts';

export function documentPackets(set: AnyPacketSet, syntax: Syntax): string {
  const { facts } = set;
  const proof = provePackets(facts);
  const forms = [...packetForms(set).values()].sort((a, b) => a.row.opcode - b.row.opcode);
  const index = forms.map(
    ({ name, row, mnemonic }) =>
      `| 0x${row.opcode.toString(16)} | [${name}](#${mnemonic}) | ${sizeText(set, name)} | ${cell(row.doc)} |`,
  );
  const parts = [
    `# ${facts.title}`,
    facts.doc,
    'Bit n is bit n % 32 of the 32-bit little-endian word n / 32. Bits marked with dots are reserved: a decoder refuses a ' +
      `packet that sets one. The opcode is in bits ${facts.opcode[0]} to ${facts.opcode[1]}.`,
    ['| opcode | packet | bytes | |', '|---|---|---|---|', ...index].join('\n'),
    `Opcodes without packet: ${proof.free.map((opcode) => `0x${opcode.toString(16)}`).join(', ')}.`,
    ...forms.map((form) => {
      const { name, row } = form;
      const owners = proof.packets.find((packet) => packet.name === name)?.owners ?? [];
      const unverified = row.unverified ? [`**Unverified:** ${sentence(row.unverified)}`] : [];
      return [
        `## ${name}`,
        row.doc,
        `    ${usage(form)}`,
        fence(picture(owners)),
        fieldTable(row.fields),
        ...unverified,
        `Example:\n\n${fence(`${row.example}\n${exampleHex(syntax, row.example)}`)}`,
        `Source: ${row.source}.`,
      ].join('\n\n');
    }),
    ...documentLanguage(syntax, forms[0]?.row.example ?? ''),
    '## Values of registers',
    'In assembly each is a function; fields are arguments in this order, or by name, and flags by their bare name.',
    ...Object.entries(set.formats).map(([name, row]) =>
      [`### ${name}`, row.doc, fieldTable(row.fields), `Source: ${row.source}.`].join('\n\n'),
    ),
    '## Sources',
    Object.entries(facts.sources)
      .map(([letter, source]) => `- [${letter}] ${source}`)
      .join('\n'),
  ];
  return `${parts.join('\n\n')}\n`;
}

/** Bytes of a packet, e.g. `8 + 8 * size64`. */
export function sizeText(set: AnyPacketSet, name: string): string {
  const fixed = set.sizeInWords(name) * 4;
  const payload = Object.values(set.rows[name]?.fields ?? {}).find((field) => field.kind === 'payload');
  return payload ? `${fixed} + ${payload.unit * 4} * ${payload.count}` : String(fixed);
}

/** How text is written, whatever the instruction set. */
function documentLanguage(syntax: Syntax, example: string): string[] {
  const plain = [...syntax.symbols.rows].filter(([name]) => !name.includes('.'));
  const dotted = [...syntax.symbols.rows.keys()].find((name) => name.includes('.'));
  return [
    '## Text',
    'One instruction to a line: labels (`name:`), a mnemonic in any case, operands and fields separated by commas. A field ' +
      'is written by position, as the syntax line of its packet says, or by name (`pred=3`); a flag by its bare name ' +
      `(\`eb\`) or after the mnemonic (\`${example.split(' ')[0]}.eb\`). Comments begin with \`#\` or \`//\`.`,
    'Numbers are decimal, `0x`, `0o` or `0b`, with `_` between digits. Operators are those of C with its precedence: ' +
      '`| ^ & << >> + - * / %`, and `- ~` before an operand. `$` is the address of the line. `lo(x)` and `hi(x)` are the ' +
      'halves of an address.',
    [
      '| directive | |',
      '|---|---|',
      '| `.equ NAME, x` or `NAME = x` | a constant; may use what is defined later |',
      '| `.base x` | the address of the first byte, which labels and `$` count from; before anything else |',
      `| \`.org x\`, \`.align x\` | fills up to an offset, or to a multiple of x, with ${syntax.alignment}-byte padding instructions |`,
      '| `.byte x, ...`, `.word x, ...`, `.quad x, ...` | data of 1, 4, 8 bytes |',
      '| `.fill n, x` | n words x |',
    ].join('\n'),
    `Symbols: ${plain.map(([name, row]) => `\`${symbolUsage(name, row)}\``).join(', ')}; and registers of blocks, e.g. ` +
      `\`${dotted}\`. \`sagrada isa list ${syntax.name} --symbols\` prints them all.`,
  ];
}

function fence(text: string): string {
  return `\`\`\`text\n${text}\n\`\`\``;
}

function fieldTable(fields: Readonly<Record<string, FieldRow | PayloadRow>>): string {
  const lines = Object.entries(fields).map(([name, field]) => {
    if (field.kind === 'payload') return `| ${name} | after the packet | | ${cell(field.doc)} |`;
    const bits = field.lo === field.hi ? String(field.lo) : `${field.lo}-${field.hi}`;
    const names = Object.entries(field.names ?? {}).map(([word, value]) => `${value} = ${word}`);
    const doc = [
      field.doc,
      ...names,
      ...(field.required === undefined ? [] : [`must be ${field.required}`]),
      ...(field.unverified ? [`**unverified:** ${field.unverified}`] : []),
    ];
    return `| ${name} | ${bits} | ${field.default ?? ''} | ${cell(doc.join('; '))} |`;
  });
  return ['| field | bits | default | |', '|---|---|---|---|', ...lines].join('\n');
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function sentence(text: string): string {
  return `${text.endsWith('.') ? text : `${text}.`}`;
}

/** Bytes of the example in memory order, eight to a group. */
function exampleHex(syntax: Syntax, example: string): string {
  const { bytes } = assemble(syntax, example, { file: 'example' });
  const groups: string[] = [];
  for (let at = 0; at < bytes.length; at += 8) groups.push(Buffer.from(bytes.subarray(at, at + 8)).toString('hex'));
  return groups.join(' ');
}

const COLUMNS_PER_BIT = 3;

/** A field that spans words is named in each with its own bits. */
function labels(owners: readonly string[]): string[] {
  const first = new Map<string, number>();
  const last = new Map<string, number>();
  owners.forEach((owner, bit) => {
    if (!first.has(owner)) first.set(owner, bit);
    last.set(owner, bit);
  });
  return owners.map((owner, bit) => {
    const lo = first.get(owner) as number;
    const hi = last.get(owner) as number;
    if (owner === 'reserved' || lo >>> 5 === hi >>> 5) return owner;
    const start = Math.max(lo, bit & ~31);
    const end = Math.min(hi, bit | 31);
    return `${owner} ${end - lo}:${start - lo}`;
  });
}

/**
 * The encoding as a picture, 32 bits to a row, bit 31 at the left. A field's name stands in its bits where it fits and
 * else in the key below.
 */
export function picture(owners: readonly string[]): string {
  const ruler = Array.from({ length: 32 }, (_, i) =>
    String(31 - i)
      .padStart(2)
      .padEnd(COLUMNS_PER_BIT),
  ).join('');
  const names = labels(owners);
  const lines = [`        ${ruler.trimEnd()}`];
  const key: string[] = [];
  let mark = 0;
  for (let word = 0; word < owners.length / 32; word++) {
    const cells: string[] = [];
    let border = '';
    for (const run of runs(names.slice(word * 32, word * 32 + 32).reverse())) {
      const width = run.length * COLUMNS_PER_BIT - 1;
      let text = run.owner === 'reserved' ? '.'.repeat(width) : run.owner;
      if (text.length > width) {
        mark++;
        key.push(`  ${mark} = ${run.owner}`);
        text = String(mark).slice(0, width);
      }
      const left = Math.floor((width - text.length) / 2);
      cells.push(' '.repeat(left) + text + ' '.repeat(width - text.length - left));
      border += `+${'-'.repeat(width)}`;
    }
    const row = `word ${word}`.padEnd(7);
    lines.push(`       ${border}+`, `${row}|${cells.join('|')}|`, `       ${border}+`);
  }
  return mergeBorders([...lines, ...key]).join('\n');
}

function runs(owners: readonly string[]): { owner: string; length: number }[] {
  const result: { owner: string; length: number }[] = [];
  for (const owner of owners) {
    const last = result.at(-1);
    if (last?.owner === owner) last.length++;
    else result.push({ owner, length: 1 });
  }
  return result;
}

/** Two borders that follow each other become one with the corners of both. */
function mergeBorders(lines: readonly string[]): string[] {
  const merged: string[] = [];
  for (const line of lines) {
    const last = merged.at(-1);
    if (last?.startsWith('       +') && line.startsWith('       +')) {
      merged[merged.length - 1] = Array.from(line, (c, i) => (last[i] === '+' ? '+' : c)).join('');
    } else merged.push(line);
  }
  return merged;
}
