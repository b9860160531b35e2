/** Findings for people: a line each, or a program that reproduces one. */

import type { Finding } from './store.ts';

/** @returns a program in TypeScript for `sagrada run`, which says in its first lines what to look for */
export function programOf(finding: Finding): string {
  const { number, kind, title, detail, steps, steady, system, machine, seed, found, count } = finding;
  const run = (more: string) => `//   npx sagrada run ${more}--machine ${machine} finding-${number}.ts`;
  const lines = [
    `// Finding ${number} (${kind}): ${title}`,
    '//',
    `${run('').padEnd(60)} # on the model of the driver`,
    `${run('--on vm ').padEnd(60)} # on the driver of a Linux kernel`,
    '//',
    `// Found ${found.slice(0, 10)} with seed ${seed} on ${system}; seen ${count} ${count === 1 ? 'time' : 'times'}.`,
    ...(steady ? [] : ['// It did not come again when the sequence was repeated: it needs what came before, or luck.']),
    ...(detail === '' ? [] : ['//', ...detail.split('\n').map((line) => `// ${line}`.trimEnd())]),
    '',
    `import { connect } from 'sagrada';`,
    `import { perform } from 'sagrada/sequences';`,
    '',
    'perform(',
    '  connect(),',
    '  `',
    ...steps.split('\n').map((line) => `    ${line}`),
    '  `,',
    ');',
  ];
  return `${lines.join('\n')}\n`;
}

/** E.g. `  3  difference  cb_create: model EINVAL, vm ENOMEM  (5 times)`. */
export function lineOfFinding({ number, kind, title, count, steady }: Finding): string {
  const times = count === 1 ? '' : `  (${count} times)`;
  return `${String(number).padStart(3)}  ${kind.padEnd(10)}  ${title}${steady ? '' : '  [not steady]'}${times}`;
}
