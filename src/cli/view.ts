/** `sagrada view`: traces in a browser. */

import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import { Results } from '../exercise/coverage/results.ts';
import { lastRuns, summarise } from '../exercise/coverage/summary.ts';
import { coverageFormats } from '../exercise/report/coverage.ts';
import { UserError } from '../sim/errors.ts';
import { pageFiles } from '../view/bundle.ts';
import { exportedDocument } from '../view/document.ts';
import { serveView } from '../view/server.ts';
import { addExamples } from './help.ts';
import { interruptible } from './interruption.ts';
import { addResultsOptions, type ResultsOptions, resultsFile } from './results-options.ts';

interface Options extends ResultsOptions {
  readonly export?: string;
  readonly port?: number;
}

export function command(): Command {
  const view = new Command('view')
    .description(
      'show traces in a browser: timeline, topology, memory, sync objects, TPC programs, coverage; while they are still being written, too',
    )
    .argument(
      '[file...]',
      'traces that --trace has written; two are compared; none: only what the last runs have exercised',
    )
    .option('--export <file>', 'write the page with the traces in it, as one HTML file, and end')
    .option('--port <n>', 'on loopback (default: a free one)', portNumber);
  addExamples(
    view,
    ['sagrada view run.pftrace', 'print the address of the page'],
    ['sagrada view before.pftrace after.pftrace', 'compare two runs'],
    ['sagrada view run.pftrace --export run.html', 'for a bug report'],
    ['sagrada view', 'only the report of what the last runs have exercised'],
  );
  return addResultsOptions(view).action(run);
}

async function run(files: readonly string[], options: Options): Promise<void> {
  for (const file of files) {
    if (!existsSync(file)) {
      throw new UserError(`there is no ${file}: "sagrada exercise --trace ${path.basename(file)}" makes such a file`);
    }
    if (!statSync(file).isFile()) throw new UserError(`${file} is no file`);
  }
  const report = reporter(options);
  if (files.length === 0 && report === undefined) {
    throw new UserError('nothing to look at yet: "sagrada exercise --trace run.pftrace" makes a trace');
  }
  if (options.export !== undefined) {
    await exportPage(files, options.export, report?.());
    return;
  }
  await interruptible(async (signal) => {
    const view = await serveView({ files, report, port: options.port });
    console.log(`${view.url}\nopen this address in a browser of this machine; Ctrl-C ends`);
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    await view.close();
  });
}

async function exportPage(files: readonly string[], target: string, report: string | undefined): Promise<void> {
  const traces = files.map((file) => readFileSync(file));
  const shown = files.map((file, index) => ({ title: path.basename(file), size: traces[index]?.length ?? 0 }));
  const setup = { traces: shown, live: false, report: report !== undefined };
  const text = exportedDocument(await pageFiles(), setup, traces, report);
  try {
    writeFileSync(target, text);
  } catch (error) {
    throw new UserError(`--export ${target}: ${(error as Error).message}`);
  }
  console.log(`${target}: ${(text.length / 1e6).toFixed(1)} MB, opens in any browser`);
}

/** Makes the report of what the last runs have exercised; undefined where none is kept. */
function reporter(options: Options): (() => string) | undefined {
  const file = resultsFile(options);
  if (!existsSync(file)) return undefined;
  return () => {
    using results = new Results(file, false);
    return coverageFormats.html(summarise(results, lastRuns(results.runs())));
  };
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new UserError(`--port ${text}: 0 to 65535 is expected`);
  return port;
}
