import { styleText } from 'node:util';
import { type Result, type RunInfo, totals } from '../events.ts';
import type { LeftOut } from '../needs.ts';
import { evidence, type Reporter, type Reproduce, type Write } from './reporter.ts';
import { type StatusOptions, statusLine } from './status.ts';
import { trafficPicture } from './traffic.ts';

export interface PrettyOptions extends StatusOptions {
  /** A terminal: the running test is shown in a line that is rewritten. */
  readonly live: boolean;
  /** A sentence on what a suite is about, for its line; empty for none. */
  about?(suite: string): string;
  readonly reproduce: Reproduce;
}

/** For a person: one line per suite as it goes, what failed with its reason, a summary. */
export function prettyReporter(write: Write, options: PrettyOptions): Reporter {
  const paint = (style: Parameters<typeof styleText>[0], text: string) =>
    options.colour ? styleText(style, text, { validateStream: false }) : text;
  const planned = new Map<string, number>();
  const done = new Map<string, Result[]>();
  let leftOut: readonly LeftOut[] = [];

  const status = options.live ? statusLine(write, options) : undefined;

  function suiteLine(suite: string, results: readonly Result[]): string {
    const sums = totals(results);
    const total = planned.get(suite) ?? results.length;
    const bad = sums.failed > 0;
    const mark = bad ? paint('red', '✗') : sums.passed > 0 ? paint('green', '✓') : paint('yellow', '-');
    const width = Math.max(8, ...[...planned.keys()].map((name) => name.length));
    const seconds = results.reduce((sum, r) => sum + r.ms, 0) / 1000;
    const about = options.about?.(suite) ?? '';
    const parts = [`${sums.passed}/${total} passed`];
    if (sums.failed > 0) parts.push(paint('red', `${sums.failed} failed`));
    if (sums.skipped > 0) parts.push(paint('yellow', `${sums.skipped} skipped`));
    const time = paint('dim', `${seconds.toFixed(1)} s${about && `  ${about}`}`);
    return `${mark} ${suite.padEnd(width)} ${parts.join(', ')} ${time}\n`;
  }

  function failureText(result: Result): string {
    const lines = [`${paint('red', 'FAILED')} ${result.id}`];
    for (const line of (result.failure?.message ?? '').split('\n')) lines.push(`  ${line}`);
    const where = result.failure?.stack?.split('\n').find((line) => line.includes('/suites/'));
    if (where) lines.push(paint('dim', `  ${where.trim()}`));
    for (const line of result.messages.slice(0, 20)) lines.push(paint('dim', `  driver: ${line}`));
    for (const part of evidence(result)) {
      lines.push(`  ${part.title}:`, ...part.lines.map((line) => paint('dim', `    ${line}`)));
    }
    lines.push(`  again: ${options.reproduce(result.id)}`);
    return `${lines.join('\n')}\n`;
  }

  return {
    begin(info: RunInfo) {
      write(`${paint('bold', `machine ${info.machine} on ${info.target}`)}, ${info.system}, seed ${info.seed}\n`);
    },
    event(event) {
      status?.event(event);
      if (event.type === 'plan') {
        for (const test of event.tests) planned.set(test.suite, (planned.get(test.suite) ?? 0) + 1);
        leftOut = event.leftOut ?? [];
      } else if (event.type === 'result') {
        const { result } = event;
        const results = done.get(result.suite) ?? [];
        done.set(result.suite, results);
        results.push(result);
        if (result.status === 'failed') write(failureText(result));
        if (results.length === planned.get(result.suite)) write(suiteLine(result.suite, results));
      }
    },
    finish(results, seconds) {
      status?.clear();
      for (const [suite, tests] of done) {
        if (tests.length !== planned.get(suite)) write(suiteLine(suite, tests));
      }
      const sums = totals(results);
      const parts = [`${sums.passed} passed`, `${sums.failed} failed`, `${sums.skipped} skipped`].join(', ');
      const colour = sums.failed > 0 ? 'red' : sums.passed > 0 ? 'green' : 'yellow';
      write(`${paint(['bold', colour], parts)} in ${seconds.toFixed(1)} s\n`);
      for (const { tests, reason } of leftOut) write(paint('dim', `left out ${tests.length}: ${reason}\n`));
      for (const [reason, tests] of Map.groupBy(
        results.filter((r) => r.status === 'skipped'),
        (r) => r.reason ?? '',
      )) {
        write(`skipped ${tests.length}: ${reason}\n`);
      }
      for (const line of trafficPicture(results.flatMap(({ moved }) => moved ?? []))) write(`${paint('cyan', line)}\n`);
      if (sums.failed > 0) {
        write('failed:\n');
        for (const result of results.filter((r) => r.status === 'failed')) write(`  ${result.id}\n`);
      }
    },
  };
}
