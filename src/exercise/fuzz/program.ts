/** Sequences as text, one call to a line: `r3 = cb_create(r0) {size: 4096, flags: 0}`. */

import { suggestion } from '../../isa/diagnostics.ts';
import { UserError } from '../../sim/errors.ts';
import { operations } from '../agreement/operations.ts';
import { lineOf, type Step } from '../agreement/sequences.ts';

/** Steps of the longest sequence that is read. */
const LONGEST = 1000;

export function textOf(steps: readonly Step[]): string {
  return steps.map(lineOf).join('\n');
}

/** Lines that are empty or begin with `//` are passed over. @throws UserError that names the line */
export function parseSequence(text: string): Step[] {
  const steps: Step[] = [];
  const labels = new Map<string, number>();
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('//')) continue;
    const wrong = (why: string) => new UserError(`line ${index + 1}, "${line}": ${why}`);
    if (steps.length >= LONGEST) throw wrong(`a sequence has at most ${LONGEST} calls`);
    const match = /^(?:r(\d+) = )?(\w+)\(([^()]*)\)(?: \{([^{}]*)\})?$/.exec(line);
    if (!match) throw wrong('r1 = operation(r0, ...) {number: 1, ...} is expected');
    const [, label, operation = '', taken = '', drawn = ''] = match;
    const row = Object.hasOwn(operations, operation) ? operations[operation] : undefined;
    if (!row) throw wrong(`no operation "${operation}"${suggestion(operation, Object.keys(operations))}`);
    const words = split(taken);
    if (words.length !== row.takes.length)
      throw wrong(`${operation} takes ${row.takes.length}: ${row.takes.join(', ')}`);
    const takes = words.map((word, i) => {
      const kind = row.takes[i];
      if (word === `no ${kind}`) return undefined;
      const step = labels.get(word);
      if (step === undefined) throw wrong(`${word}: nothing before it has made that`);
      const made = operations[steps[step]?.operation ?? '']?.makes;
      if (made !== kind) throw wrong(`${word} is a ${made}, not a ${kind}`);
      return step;
    });
    const numbers: Record<string, number> = {};
    for (const part of split(drawn)) {
      const [, name = '', value = ''] = /^([a-z]\w*): (\d+|0x[0-9a-f]+)$/.exec(part) ?? [];
      if (name === '' || !Number.isSafeInteger(Number(value))) throw wrong(`"${part}": name: number is expected`);
      numbers[name] = Number(value);
    }
    if (label !== undefined && row.makes === undefined) throw wrong(`${operation} makes nothing`);
    if (label !== undefined) labels.set(`r${label}`, steps.length);
    steps.push({ operation, takes, numbers });
  }
  return steps;
}

function split(list: string): string[] {
  return list.trim() === '' ? [] : list.split(',').map((part) => part.trim());
}
