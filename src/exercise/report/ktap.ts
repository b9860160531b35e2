import type { Result } from '../events.ts';
import { evidence, type Reporter, type Reproduce, type Write } from './reporter.ts';

/** KTAP version 1 with one subtest block per suite (Linux, Documentation/dev-tools/ktap.rst). */
export function ktapReporter(write: Write, reproduce?: Reproduce): Reporter {
  const leftOut: string[] = [];
  return {
    begin() {},
    event(event) {
      if (event.type !== 'plan') return;
      for (const { tests, reason } of event.leftOut ?? []) leftOut.push(`# left out ${tests.length}: ${reason}\n`);
    },
    finish(results) {
      const suites = Map.groupBy(results, (r) => r.suite);
      write('KTAP version 1\n');
      for (const line of leftOut) write(line);
      write(`1..${suites.size}\n`);
      let number = 0;
      for (const [suite, tests] of suites) {
        number++;
        write('  KTAP version 1\n');
        write(`  # Subtest: ${suite}\n`);
        write(`  1..${tests.length}\n`);
        tests.forEach((result, i) => {
          write(`  ${testLine(result, i + 1, reproduce?.(result.id))}\n`);
        });
        const failed = tests.some((t) => t.status === 'failed');
        write(`${failed ? 'not ok' : 'ok'} ${number} ${suite}\n`);
      }
    },
  };
}

function testLine(result: Result, number: number, again?: string): string {
  // '#' starts a directive, and a line is a result
  const name = result.name.replaceAll('#', '').replaceAll('\n', ' ');
  if (result.status === 'skipped') return `ok ${number} ${name} # SKIP ${result.reason ?? ''}`.trimEnd();
  if (result.status === 'passed') return `ok ${number} ${name}`;
  const told = [
    ...(result.failure?.message ?? '').split('\n'),
    ...result.messages.map((line) => `driver: ${line}`),
    ...evidence(result).flatMap(({ title, lines }) => [`${title}:`, ...lines.map((line) => `  ${line}`)]),
    ...(again === undefined ? [] : [`again: ${again}`]),
  ];
  const why = told.map((line) => `  # ${line}`);
  return [...why.map((line) => line.trimStart()), `not ok ${number} ${name}`].join('\n  ');
}
