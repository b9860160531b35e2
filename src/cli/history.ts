/** `sagrada history`: the runs that were kept. */

import { Command, InvalidArgumentError } from 'commander';
import { type KeptTest, Results, type Run } from '../exercise/coverage/results.ts';
import { addExamples } from './help.ts';
import { addResultsOptions, type ResultsOptions, resultsFile } from './results-options.ts';

interface Options extends ResultsOptions {
  readonly json?: boolean;
  readonly limit: number;
}

export function command(): Command {
  const history = new Command('history')
    .description('list the runs that were kept, the newest first')
    .option('--limit <n>', 'runs that are listed at most', limit, 30)
    .option('--json', 'as JSON');
  return addExamples(
    addResultsOptions(history).action(run),
    ['sagrada history', 'the last runs'],
    ['sagrada history --limit 1000 --json', 'all that is kept of them, for a program'],
  );
}

function limit(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('a whole number of at least 1 is expected.');
  return Number(text);
}

interface Line extends Run {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Points of the interface that tests which passed have reached. */
  readonly points: number;
}

function run(options: Options): void {
  using results = new Results(resultsFile(options), false);
  const lines = results
    .runs()
    .slice(0, options.limit)
    .map((one) => lineOf(results, one));
  if (options.json) {
    console.log(JSON.stringify(lines, undefined, 2));
    return;
  }
  for (const line of lines) {
    const { id, target, machine, passed, failed, skipped, points, seconds, system } = line;
    const shard = line.shards > 1 ? `, part ${line.shard} of ${line.shards}` : '';
    const time = seconds === undefined ? 'cut off' : `${seconds.toFixed(1)} s`;
    console.log(
      `${id}  ${target} ${machine}${shard}: ${passed} passed, ${failed} failed, ${skipped} skipped, ${points} points, ${time}`,
    );
    console.log(`  ${system}${line.options === '' ? '' : `; ${line.options}`}`);
  }
  if (lines.length === 0) console.log('no run has been kept');
}

function lineOf(results: Results, one: Run): Line {
  const tests = results.tests(one);
  const count = (status: KeptTest['status']) => tests.filter((test) => test.status === status).length;
  const points = new Set(results.reached(one, 'passed').map(({ point }) => point)).size;
  return { ...one, passed: count('passed'), failed: count('failed'), skipped: count('skipped'), points };
}
