/** Reports on what ran of a driver's code. */

import { type Apart, apartOf } from '../coverage/apart.ts';
import { type FileCoverage, reachedOf } from '../coverage/code.ts';
import { DRIVER_FOLDER } from '../coverage/driver-files.ts';
import type { TargetSummary } from '../coverage/summary.ts';
import { escapeXml } from './junit.ts';
import { WIDTH, words, wrapped } from './wrap.ts';

const TITLE = 'The code of the driver: what ran';

interface Share {
  readonly reached: number;
  readonly all: number;
}

/** A file, or several that were counted together. */
export interface CodeRow {
  readonly name: string;
  readonly functions: Share;
  readonly lines: Share;
  readonly branches: Share;
}

export interface CodeSummary {
  readonly files: readonly CodeRow[];
  readonly total: CodeRow;
  /** Functions that did not run and might have, by file. */
  readonly missing: readonly { readonly file: string; readonly functions: readonly string[] }[];
  /** What was left out of all of this, by reason. */
  readonly apart: readonly Apart[];
}

const share = (items: readonly { readonly count: number }[]): Share => ({
  reached: reachedOf(items),
  all: items.length,
});

function rowOf(name: string, files: readonly FileCoverage[]): CodeRow {
  return {
    name,
    functions: share(files.flatMap(({ functions }) => functions)),
    lines: share(files.flatMap(({ lines }) => lines)),
    branches: share(
      files.flatMap(({ branches }) => branches.flatMap(({ counts }) => counts.map((count) => ({ count })))),
    ),
  };
}

/** Without the folder of the driver, where a file is in it. */
const shortName = (file: string) => (file.startsWith(DRIVER_FOLDER) ? file.slice(DRIVER_FOLDER.length) : file);

export function summariseCode(code: readonly FileCoverage[]): CodeSummary {
  const { kept, apart } = apartOf(code);
  return {
    files: kept.map((file) => rowOf(shortName(file.file), [file])),
    total: rowOf('all', kept),
    missing: kept.flatMap(({ file, functions }) => {
      const names = functions.filter(({ count }) => count === 0).map(({ name }) => name);
      return names.length === 0 ? [] : [{ file: shortName(file), functions: names }];
    }),
    apart,
  };
}

const KINDS = ['functions', 'lines', 'branches'] as const;
const cell = ({ reached, all }: Share) => (all === 0 ? '' : `${reached}/${all}`);
const percent = ({ reached, all }: Share) => (all === 0 ? '' : `${Math.floor((100 * reached) / all)} %`);

/** Kinds that the kernel of this target has told of. */
const kindsOf = (summary: CodeSummary) => KINDS.filter((kind) => summary.total[kind].all > 0);

function summaries(targets: readonly TargetSummary[]) {
  return targets.flatMap(({ code, name }, i) =>
    code.length === 0 ? [] : [{ title: `[${i + 1}] ${name}`, summary: summariseCode(code) }],
  );
}

function reasonOf({ reason, names, count }: Apart): string {
  return `${reason} (${count} ${count === 1 ? 'function' : 'functions'}): ${names.map(shortName).join(', ')}`;
}

const COLUMN = 12;

/** In lines that are not too long for mail. */
export function codeText(targets: readonly TargetSummary[]): string[] {
  const all = summaries(targets);
  if (all.length === 0) return [];
  const lines = [TITLE, ''];
  for (const { title, summary } of all) {
    const kinds = kindsOf(summary);
    const first = WIDTH - COLUMN * kinds.length;
    const row = (name: string, cells: readonly string[]) => {
      const values = cells.map((value) => value.padStart(COLUMN)).join('');
      return name.length < first ? [name.padEnd(first) + values] : [name, ' '.repeat(first) + values];
    };
    lines.push(...row(title, kinds));
    for (const file of summary.files)
      lines.push(
        ...row(
          `  ${file.name}`,
          kinds.map((kind) => cell(file[kind])),
        ),
      );
    lines.push(
      ...row(
        '  all',
        kinds.map((kind) => cell(summary.total[kind])),
      ),
    );
    lines.push(
      ...row(
        '',
        kinds.map((kind) => percent(summary.total[kind])),
      ),
      '',
    );
    if (summary.missing.length > 0) lines.push('  did not run');
    for (const { file, functions } of summary.missing)
      lines.push(...wrapped(`  ${file}:`, '    ', words(functions.join(', '))));
    if (summary.apart.length > 0) lines.push('', '  set apart');
    for (const apart of summary.apart) lines.push(...wrapped('  -', '    ', words(reasonOf(apart))));
    lines.push('');
  }
  return lines;
}

export function codeMarkdown(targets: readonly TargetSummary[]): string[] {
  const all = summaries(targets);
  if (all.length === 0) return [];
  const lines = ['', `## ${TITLE}`];
  for (const { title, summary } of all) {
    const kinds = kindsOf(summary);
    lines.push('', `### ${title}`, '', `| file | ${kinds.join(' | ')} |`, `| --- |${' ---: |'.repeat(kinds.length)}`);
    const { total } = summary;
    for (const file of summary.files)
      lines.push(`| ${file.name} | ${kinds.map((kind) => cell(file[kind])).join(' | ')} |`);
    lines.push(`| all | ${kinds.map((kind) => `${cell(total[kind])}, ${percent(total[kind])}`).join(' | ')} |`, '');
    for (const { file, functions } of summary.missing) lines.push(`- ${file} did not run: ${functions.join(', ')}`);
    for (const apart of summary.apart) lines.push(`- set apart: ${reasonOf(apart)}`);
  }
  return lines;
}

export function codeHtml(targets: readonly TargetSummary[]): string {
  const all = summaries(targets);
  if (all.length === 0) return '';
  const parts = all.map(({ title, summary }) => {
    const kinds = kindsOf(summary);
    const missing = new Map(summary.missing.map(({ file, functions }) => [file, functions]));
    const rows = [...summary.files, summary.total].map((file) => {
      const names = missing.get(file.name);
      const what = escapeXml(file.name);
      const first = names
        ? `<details><summary>${what}</summary>did not run: <code>${names.map(escapeXml).join(', ')}</code></details>`
        : what;
      return `<tr><td>${first}</td>${kinds.map((kind) => `<td>${cell(file[kind])} ${percent(file[kind])}</td>`).join('')}</tr>`;
    });
    return `<h3>${escapeXml(title)}</h3>
<table><tr><th>file</th>${kinds.map((kind) => `<th>${kind}</th>`).join('')}</tr>
${rows.join('\n')}
</table>
<ul>${summary.apart.map((apart) => `<li>set apart: ${escapeXml(reasonOf(apart))}</li>`).join('')}</ul>`;
  });
  return `<h2>${TITLE}</h2>\n${parts.join('\n')}`;
}
