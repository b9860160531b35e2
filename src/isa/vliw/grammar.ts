/** A TextMate grammar of the assembly language, generated from the rows. */

import { slots } from './bundle.ts';
import { switchNames } from './operands.ts';
import type { VliwSet } from './set.ts';

export function vliwGrammar(set: VliwSet): object {
  const mnemonics = new Set<string>(['loop']);
  const switches = new Set<string>();
  for (const slot of slots) {
    for (const [name, row] of set.instructions[slot]) {
      mnemonics.add(name);
      for (const each of switchNames(row)) switches.add(each);
    }
  }
  const named = set.facts.registers.flatMap((row) => Object.keys(row.named));
  const types = Object.keys(set.facts.types);
  return {
    $schema: 'https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json',
    name: set.facts.title,
    scopeName: `source.${set.name}`,
    fileTypes: ['tpc', 's'],
    patterns: [
      { name: 'comment.line.double-slash', match: '(//|#).*$' },
      { name: 'comment.block', begin: '/\\*', end: '\\*/' },
      { name: 'string.quoted.double', begin: '"', end: '"' },
      { name: 'entity.name.label', match: '^\\s*[A-Za-z_.$][\\w.$]*:' },
      {
        match: `(?i)\\b(${alternatives(mnemonics)})((?:\\.\\w+)*)(?=[\\s;}]|$)`,
        captures: {
          1: { name: 'keyword.operator.instruction' },
          2: {
            patterns: [
              { name: 'storage.type', match: `(?i)\\.(${alternatives(types)})\\b` },
              { name: 'storage.modifier', match: '\\.\\w+' },
            ],
          },
        },
      },
      { name: 'keyword.control.directive', match: '^\\s*\\.\\w+' },
      { name: 'variable.parameter.predicate', match: '(?i)!\\s*(SP|VP)\\d+\\b' },
      { name: 'variable.language.register', match: `(?i)%?\\b((SP|VP|AD|[VDASZI])\\d+|${alternatives(named)})\\b` },
      { name: 'constant.numeric.typed', match: '(?i)\\b([ui](8|16|32)|f32|f16|bf16)_(x[0-9a-f]+|-?[\\d.]+)' },
      { name: 'constant.numeric', match: '(?i)-?\\b(0x[0-9a-f]+|0b[01]+|\\d+\\.?\\d*(e[+-]?\\d+)?)(f|bf|h|u)?\\b' },
      { name: 'constant.other.mask', match: '\\b[bB][01]{5}\\b' },
      { name: 'storage.modifier.switch', match: `(?i)\\b(${alternatives(switches)})\\b` },
      { name: 'punctuation.separator.slot', match: '[;{}]' },
    ],
  };
}

/** Longer names first, so that none hides behind its own beginning. */
function alternatives(names: Iterable<string>): string {
  return [...names]
    .sort((a, b) => b.length - a.length || (a < b ? -1 : 1))
    .map((name) => name.replace(/[.$]/g, '\\$&'))
    .join('|');
}
