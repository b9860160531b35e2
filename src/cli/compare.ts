/** `sagrada compare`: what changed between two runs. */

import { Command } from 'commander';
import { type Changes, changes, type Side } from '../exercise/coverage/changes.ts';
import { type KeptTest, Results, type Run } from '../exercise/coverage/results.ts';
import { runsNamed } from '../exercise/coverage/summary.ts';
import { addExamples } from './help.ts';
import { endWithReader } from './interruption.ts';
import { addResultsOptions, type ResultsOptions, resultsFile } from './results-options.ts';

interface Options extends ResultsOptions {
  readonly json?: boolean;
}

export function command(): Command {
  const compare = new Command('compare')
    .description('tell what changed from one run, or kernel, to another: tests, points of the interface, code, times')
    .argument(
      '<before>',
      'id of a run, as "sagrada history" lists them, or the release of a kernel, e.g. 6.12, or model',
    )
    .argument('<after>', 'the same of another; "last" is the newest run')
    .option('--json', 'as JSON');
  return addExamples(
    addResultsOptions(compare).action(run),
    ['sagrada compare 6.12 7.3', 'what counts of one kernel and of another; parts of a run are put together'],
    ['sagrada compare 20261122T2045 last', 'one run and the newest; the beginning of an id is enough'],
    ['sagrada compare 20261122T2045 last --json', 'the same for a program'],
  );
}

function run(before: string, after: string, options: Options): void {
  endWithReader();
  using results = new Results(resultsFile(options), false);
  const found = changes(results, runsNamed(results, before), runsNamed(results, after));
  console.log(options.json ? JSON.stringify(found, undefined, 2) : textOf(found));
}

/** Items of a list that are shown. */
const LONGEST = 30;

function textOf(found: Changes): string {
  const [a, b] = found.sides;
  const lines = [...heading('from', a), ...heading('to', b), '', ...figures(a, b)];
  const list = (title: string, items: readonly string[]) => {
    if (items.length === 0) return;
    lines.push('', `${items.length} ${title}:`, ...items.slice(0, LONGEST).map((item) => `  ${item}`));
    if (items.length > LONGEST) lines.push(`  and ${items.length - LONGEST} more (--json has all)`);
  };
  const because = ({ id, message }: KeptTest) =>
    `${id}${message === undefined ? '' : `\n      ${message.split('\n')[0]}`}`;
  list('fail now', found.broken.map(because));
  list(
    'pass now',
    found.mended.map(({ id }) => id),
  );
  list('are skipped now', found.skipped.map(because));
  list('are not run any more', found.gone);
  list('are new', found.added);
  list('points are not reached any more', found.lost);
  list('points are reached now', found.gained);
  list('functions of the driver do not run any more', found.functionsLost);
  list('functions of the driver run now', found.functionsGained);
  list(
    'take another time',
    found.times.map(
      ({ id, before, after }) => `${id}: ${(before / 1000).toFixed(2)} s, now ${(after / 1000).toFixed(2)} s`,
    ),
  );
  lines.push('', `${found.same} tests ended as before`);
  return lines.join('\n');
}

function heading(title: string, { runs }: Side): string[] {
  const [{ target, system, machine }] = runs as [Run];
  const more = runs.length > 4 ? `, and ${runs.length - 4} more` : '';
  const ids = `${runs
    .slice(0, 4)
    .map(({ id }) => id)
    .join(', ')}${more}`;
  return [`${title.padEnd(5)}${target} ${machine}, ${system}`, `     run ${ids}`];
}

/** Figures of both beside each other. */
function figures(a: Side, b: Side): string[] {
  const part = (of: { readonly ran: number; readonly all: number } | undefined) =>
    of === undefined ? '-' : `${of.ran} of ${of.all}`;
  const rows: readonly (readonly [string, (side: Side) => string])[] = [
    ['tests passed', ({ passed }) => String(passed)],
    ['tests failed', ({ failed }) => String(failed)],
    ['tests skipped', ({ skipped }) => String(skipped)],
    ['points reached', ({ points }) => String(points)],
    ['functions run', ({ functions }) => part(functions)],
    ['lines run', ({ lines }) => part(lines)],
    ['time', ({ seconds }) => (seconds === undefined ? 'cut off' : `${seconds.toFixed(1)} s`)],
  ];
  const shown = rows.filter(([, of]) => of(a) !== '-' || of(b) !== '-');
  const width = Math.max(...shown.map(([, of]) => of(a).length));
  return shown.map(([name, of]) => `${name.padEnd(15)} ${of(a).padStart(width)}   now ${of(b)}`);
}
