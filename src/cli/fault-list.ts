/** The faults of cards as text, from their rows. */

import { type FaultRow, type FaultWord, faults } from '../../specs/gaudi/faults.ts';

const WIDTH = 100;

/** All of them, each with what the hardware does. */
export function faultList(): string {
  const lines = Object.entries(faults).map(
    ([name, row]: [string, FaultRow]) => `${syntax(name, row)}\n${wrapped(row.doc)}`,
  );
  return `${lines.join('\n')}\n`;
}

/** One of them, with what its words may be, and what the driver does then. */
export function faultText(name: string, row: FaultRow): string {
  const words = Object.entries(row.words).map(([word, about]) => wrapped(`${word}: ${wordText(about)}`));
  const parts = [syntax(name, row), wrapped(row.doc), ...words, wrapped(`The driver ${row.driver}`)];
  return `${[...parts, wrapped(`(${row.source})`)].join('\n')}\n`;
}

function syntax(name: string, { words }: FaultRow): string {
  const names = Object.keys(words);
  return names.length === 0 ? name : `${name}[:${names.join('[.')}${']'.repeat(names.length)}`;
}

function wordText({ doc, values, initial }: FaultWord): string {
  const kinds = { duration: 'a time, e.g. 20ms', count: 'a number or all', number: 'a number' };
  const what = typeof values === 'string' ? kinds[values] : listed(values);
  return `${doc}: ${what} (default: ${initial})`;
}

/** Many names that differ in their numbers become one. */
function listed(values: readonly string[]): string {
  if (values.length <= 24) return values.join(', ');
  return [...new Set(values.map((value) => value.replaceAll(/\d+/g, 'N')))].join(', ');
}

function wrapped(text: string): string {
  const lines: string[] = [];
  let line = ' ';
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > WIDTH && line.trim() !== '') {
      lines.push(line);
      line = ' ';
    }
    line += ` ${word}`;
  }
  return [...lines, line].map((each) => ` ${each}`).join('\n');
}
