import type { Result, RunInfo } from '../events.ts';
import { evidence, type Reporter, type Reproduce, type Write } from './reporter.ts';

/** JUnit XML as CI systems read it. */
export function junitReporter(write: Write, reproduce?: Reproduce): Reporter {
  let info: RunInfo | undefined;
  return {
    begin(run) {
      info = run;
    },
    event() {},
    finish(results, seconds) {
      const failed = results.filter((r) => r.status === 'failed').length;
      write('<?xml version="1.0" encoding="UTF-8"?>\n');
      write(
        `<testsuites name="sagrada" tests="${results.length}" failures="${failed}" time="${seconds.toFixed(3)}">\n`,
      );
      for (const [suite, tests] of Map.groupBy(results, (r) => r.suite))
        writeSuite(write, suite, tests, info, reproduce);
      write('</testsuites>\n');
    },
  };
}

function writeSuite(
  write: Write,
  suite: string,
  tests: readonly Result[],
  info: RunInfo | undefined,
  reproduce?: Reproduce,
): void {
  const count = (status: Result['status']) => tests.filter((t) => t.status === status).length;
  const time = (tests.reduce((sum, t) => sum + t.ms, 0) / 1000).toFixed(3);
  write(
    `  <testsuite name="${escapeAttribute(suite)}" tests="${tests.length}" failures="${count('failed')}" skipped="${count('skipped')}" time="${time}">\n`,
  );
  if (info) {
    write('    <properties>\n');
    for (const [name, value] of Object.entries(info)) {
      write(`      <property name="${escapeAttribute(name)}" value="${escapeAttribute(String(value))}"/>\n`);
    }
    write('    </properties>\n');
  }
  for (const test of tests) {
    const attributes = `classname="${escapeAttribute(suite)}" name="${escapeAttribute(test.name)}" time="${(test.ms / 1000).toFixed(3)}"`;
    if (test.status === 'passed') write(`    <testcase ${attributes}/>\n`);
    else if (test.status === 'skipped') {
      write(`    <testcase ${attributes}><skipped message="${escapeAttribute(test.reason ?? '')}"/></testcase>\n`);
    } else {
      const message = test.failure?.message ?? '';
      const text = [
        test.failure?.stack ?? message,
        ...test.messages,
        ...evidence(test).flatMap(({ title, lines }) => [`${title}:`, ...lines.map((line) => `  ${line}`)]),
        ...(reproduce ? [`again: ${reproduce(test.id)}`] : []),
      ].join('\n');
      write(
        `    <testcase ${attributes}><failure message="${escapeAttribute(message)}">${escapeXml(text)}</failure></testcase>\n`,
      );
    }
  }
  write('  </testsuite>\n');
}

/** XML 1.0 knows no control characters but tab, line feed and carriage return, not even escaped; it reads a carriage return as a line feed. */
export function escapeXml(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '?')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll('\r', '&#13;');
}

/** In attributes XML reads white space as spaces, unless it is escaped. */
function escapeAttribute(text: string): string {
  return escapeXml(text).replaceAll('\n', '&#10;').replaceAll('\t', '&#9;');
}
