/** `sagrada compare`: what changed between two runs. */

import { Command } from 'commander';
import { changes } from '../exercise/coverage/changes.ts';
import { Results } from '../exercise/coverage/results.ts';
import { addExamples } from './help.ts';
import { addResultsOptions, type ResultsOptions, resultsFile } from './results-options.ts';

interface Options extends ResultsOptions {
  readonly json?: boolean;
}

export function command(): Command {
  const compare = new Command('compare')
    .description('tell what changed from one run to another: tests, points of the interface, times')
    .argument('<before>', 'id of a run, as "sagrada history" lists them')
    .argument('<after>', 'id of another; "last" is the newest')
    .option('--json', 'as JSON');
  return addExamples(
    addResultsOptions(compare).action(run),
    ['sagrada compare 20261122T2045 last', 'one run and the newest; the beginning of an id is enough'],
    ['sagrada compare 20261122T2045 last --json', 'the same for a program'],
  );
}

function run(before: string, after: string, options: Options): void {
  using results = new Results(resultsFile(options), false);
  const runs = [results.run(before), results.run(after)] as const;
  const found = changes(results, ...runs);
  if (options.json) {
    console.log(JSON.stringify(found, undefined, 2));
    return;
  }
  for (const [i, { id, target, system, machine }] of runs.entries())
    console.log(`${i === 0 ? 'from' : 'to  '} ${id}  ${target} ${machine}, ${system}`);
  const list = (title: string, lines: readonly string[]) => {
    if (lines.length > 0) console.log(`${title}:\n${lines.map((line) => `  ${line}`).join('\n')}`);
  };
  const ids = (tests: readonly { readonly id: string }[]) => tests.map(({ id }) => id);
  list(
    'fail now',
    found.broken.map(({ id, message }) => `${id}${message === undefined ? '' : `\n    ${message.split('\n')[0]}`}`),
  );
  list('pass now', ids(found.mended));
  list('are not run any more', found.gone);
  list('are new', found.added);
  list('points that are not reached any more', found.lost);
  list('points that are reached now', found.gained);
  list(
    'take another time',
    found.times.map(
      ({ id, before: a, after: b }) => `${id}: ${(a / 1000).toFixed(2)} s, now ${(b / 1000).toFixed(2)} s`,
    ),
  );
  const [a, b] = found.seconds.map((value) => (value === undefined ? 'cut off' : `${value.toFixed(1)} s`));
  console.log(`${found.same} tests ended as before; all of it took ${a}, now ${b}`);
}
