/** `sagrada report`: what was exercised of the driver's interface. */

import { writeFileSync } from 'node:fs';
import process from 'node:process';
import { Command, Option } from 'commander';
import { Results, type Run } from '../exercise/coverage/results.ts';
import { complaints, lastRuns, summarise } from '../exercise/coverage/summary.ts';
import { coverageFormats } from '../exercise/report/coverage.ts';
import { UserError } from '../sim/errors.ts';
import { failure } from './failure.ts';
import { addExamples } from './help.ts';
import { endWithReader } from './interruption.ts';
import { addResultsOptions, type ResultsOptions, resultsFile } from './results-options.ts';

type Format = keyof typeof coverageFormats;

interface Options extends ResultsOptions {
  readonly format: Format;
  readonly json?: boolean;
  readonly run?: readonly string[];
  readonly merge?: readonly string[];
  readonly output?: string;
  readonly check?: boolean;
}

export function command(): Command {
  const report = new Command('report')
    .description('tell which operations, flags and errors of the interface the last runs have exercised, and which not')
    .addOption(
      new Option('--format <format>', 'text is for mail: 72 columns')
        .choices(Object.keys(coverageFormats))
        .default('text'),
    )
    .option('--json', 'the same as --format json')
    .option(
      '--run <id...>',
      'only these runs; "last" is the newest (default: of each target the last whole run, and parts since)',
    )
    .option(
      '--merge <file...>',
      'put the runs of these files together first: in --results, or else for this report only',
    )
    .option('--output <file>', 'write the report there')
    .option('--check', 'end with 1 when a test of these runs has failed, or a part is missing or was cut off');
  return addExamples(
    addResultsOptions(report).action(run),
    ['sagrada report', 'text for mail'],
    ['sagrada report --format html --output report.html', 'a page that needs nothing else'],
    ['sagrada report --merge part*.sqlite --results all.sqlite', 'of a run in parts, which are put together'],
    ['sagrada report --merge part*.sqlite --check --output report.txt', 'the same, for CI'],
  );
}

function run(options: Options): void {
  endWithReader();
  using results = openResults(options);
  const runs: readonly Run[] = options.run ? options.run.map((id) => results.run(id)) : lastRuns(results.runs());
  if (runs.length === 0) throw new UserError('no run has been kept: "sagrada exercise" makes one');
  const text = coverageFormats[options.json ? 'json' : options.format](summarise(results, runs));
  if (options.output === undefined) process.stdout.write(text);
  else write(options.output, text);
  if (!options.check) return;
  // of what was put together every run counts, also one that a later one of the same tests has made good
  const wrong = complaints(results, options.merge && !options.run ? results.runs() : runs);
  for (const line of wrong) console.error(`sagrada: ${line}`);
  if (wrong.length > 0) process.exitCode = 1;
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw failure(`--output ${file}`, error);
  }
}

function openResults(options: Options): Results {
  const { merge, results: file } = options;
  if (merge === undefined) return new Results(resultsFile(options), false);
  const results = new Results(file ?? ':memory:', true);
  try {
    for (const from of merge) {
      using other = new Results(from, false);
      results.merge(other);
    }
  } catch (error) {
    results[Symbol.dispose]();
    throw error;
  }
  return results;
}
