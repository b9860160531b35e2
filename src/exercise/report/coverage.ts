/** Reports on what was exercised of the interface. */

import { type OperationSummary, operationsAndFlags, type PointSummary, type Summary } from '../coverage/summary.ts';
import { codeHtml, codeMarkdown, codeText } from './code.ts';
import { escapeXml } from './junit.ts';
import { WIDTH, words, wrapped } from './wrap.ts';

export const coverageFormats = { text, markdown, html, json } as const;

const COLUMN = 14;
/** Targets beside each other. */
const COLUMNS = 3;

const CALLS: Readonly<Record<string, string>> = {
  FILE: 'files: open, close, mmap',
  DMABUF: 'dma-bufs of the driver, as an importer sees them',
  ORDER: 'pairs of calls whose order matters',
};
const TITLE = 'The habanalabs interface on Gaudi1: what was exercised';

function callTitle(call: string): string {
  return CALLS[call] ?? `DRM_IOCTL_HL_${call}`;
}

function verdictText({ verdict, reached, needed }: OperationSummary['verdicts'][number]): string {
  return verdict === 'partly' ? `partly ${reached}/${needed}` : verdict;
}

/** Points that could be reached on some target and were not, each with the targets; by operation. */
function missing(
  summary: Summary,
): { readonly operation: OperationSummary; readonly points: readonly PointSummary[] }[] {
  return summary.operations
    .map((operation) => ({
      operation,
      points: operation.points.filter(({ states }) => states.some((state) => state === 'not' || state === 'failed')),
    }))
    .filter(({ points }) => points.length > 0);
}

/** Points that no target reached because none can, by reason. */
function beyond({ operations }: Summary): ReadonlyMap<string, readonly PointSummary[]> {
  const all = operations.flatMap(({ points }) => points);
  return Map.groupBy(
    all.filter(({ states }) => states.length > 0 && states.every((state) => state === 'beyond')),
    ({ point }) => point.beyond ?? '',
  );
}

function nameOf({ call, operation }: { readonly call: string; readonly operation: string }): string {
  return operation === '' ? `${call} (all)` : operation;
}

/** Which targets have not reached it: `[1]`, `[2] failed`; nothing when it is all of them. */
function where({ states }: PointSummary): string {
  const marks = states.flatMap((state, i) =>
    state === 'not' ? [`[${i + 1}]`] : state === 'failed' ? [`[${i + 1}] failed`] : [],
  );
  const everywhere = states.every((state) => state === 'not');
  return everywhere ? '' : ` ${marks.join(' ')}`;
}

/** The verdicts on at most `COLUMNS` targets, from a given one on. */
function table({ targets, operations }: Summary, from: number): string[] {
  const shown = <T>(list: readonly T[]) => list.slice(from, from + COLUMNS);
  const first = WIDTH - COLUMN * shown(targets).length;
  const row = (name: string, cells: readonly string[]) => {
    const values = cells.map((cell) => cell.padEnd(COLUMN)).join('');
    return name.length < first
      ? [(name.padEnd(first) + values).trimEnd()]
      : [name, (' '.repeat(first) + values).trimEnd()];
  };
  const lines: string[] = [];
  for (const [call, list] of Map.groupBy(operations, (operation) => operation.call)) {
    lines.push(...row(callTitle(call), shown(targets.map((_, i) => `[${i + 1}]`))));
    for (const { operation, verdicts } of list) {
      lines.push(...row(`  ${operation || '(all)'}`, shown(verdicts).map(verdictText)));
    }
    lines.push('');
  }
  return lines;
}

function text(summary: Summary): string {
  const { targets } = summary;
  const lines = [TITLE, '='.repeat(TITLE.length), ''];
  targets.forEach((target, i) => {
    const { name, system, machine, runs, passed, failed, skipped } = target;
    lines.push(...wrapped(`[${i + 1}]`, '    ', words(`${name}: ${system}, ${machine}`)));
    const ids = runs.map(({ id, seconds }) => `${id}${seconds === undefined ? ' (cut off)' : ''}`);
    lines.push(...wrapped('    run', '    ', words(ids.join(', '))));
    const { shown, all } = operationsAndFlags(summary, i);
    lines.push(
      `    tests: ${passed} passed, ${failed} failed, ${skipped} skipped`,
      `    operations and flags: ${shown} of ${all} exercised, or shown refused`,
      '',
    );
  });
  for (let from = 0; from < targets.length; from += COLUMNS) lines.push(...table(summary, from));
  const left = missing(summary);
  lines.push(left.length === 0 ? 'Everything that can be reached was.' : 'Not reached', '');
  for (const [call, list] of Map.groupBy(left, ({ operation }) => operation.call)) {
    lines.push(callTitle(call));
    for (const { operation, points } of list) {
      const items = points.map((point, i) => `${point.point.what}${where(point)}${i < points.length - 1 ? ';' : ''}`);
      lines.push(...wrapped(`  ${operation.operation || '(all)'}:`, '    ', items.flatMap(words)));
    }
    lines.push('');
  }
  lines.push(...codeText(targets));
  const never = beyond(summary);
  if (never.size > 0) lines.push('Not to be had from a Gaudi1 in good order, and why', '');
  for (const [reason, points] of never) {
    lines.push(...wrapped('', '', words(`${reason}:`)));
    lines.push(...wrapped('   ', '    ', words(points.map(({ point }) => point.id).join(', '))), '');
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

function markdown(summary: Summary): string {
  const { targets, operations } = summary;
  const cell = (value: string) => value.replaceAll('|', '\\|');
  const lines = [`# ${TITLE}`, '', '| target | system | machine | runs | tests | operations and flags |'];
  lines.push('| --- | --- | --- | --- | --- | --- |');
  targets.forEach(({ name, system, machine, runs, passed, failed, skipped }, i) => {
    const { shown, all } = operationsAndFlags(summary, i);
    const tests = `${passed} passed, ${failed} failed, ${skipped} skipped`;
    const ids = runs.map(({ id }) => id).join(', ');
    lines.push(
      `| ${[`[${i + 1}] ${name}`, system, machine, ids, tests, `${shown} of ${all}`].map(cell).join(' | ')} |`,
    );
  });
  for (const [call, list] of Map.groupBy(operations, (operation) => operation.call)) {
    lines.push('', `## ${callTitle(call)}`, '');
    lines.push(`| ${['operation', '', ...targets.map(({ name }) => name)].map(cell).join(' | ')} |`);
    lines.push(`| ${['---', '---', ...targets.map(() => '---')].join(' | ')} |`);
    for (const operation of list) {
      const cells = [operation.operation || '(all)', operation.doc, ...operation.verdicts.map(verdictText)];
      lines.push(`| ${cells.map(cell).join(' | ')} |`);
    }
  }
  const left = missing(summary);
  if (left.length > 0) lines.push('', '## Not reached', '');
  for (const { operation, points } of left) {
    const items = points.map((point) => `${point.point.what}${where(point)}`).join('; ');
    lines.push(`- ${operation.call} ${nameOf(operation)}: ${items}`);
  }
  lines.push(...codeMarkdown(targets));
  const never = beyond(summary);
  if (never.size > 0) lines.push('', '## Not to be had from a Gaudi1 in good order', '');
  for (const [reason, points] of never) lines.push(`- ${reason}: ${points.map(({ point }) => point.id).join(', ')}`);
  return `${lines.join('\n')}\n`;
}

function json(summary: Summary): string {
  return `${JSON.stringify(
    {
      targets: summary.targets.map((target, i) => ({ ...target, operationsAndFlags: operationsAndFlags(summary, i) })),
      operations: summary.operations,
    },
    undefined,
    2,
  )}\n`;
}

const STYLE = `
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem; border-bottom: 1px solid #8884; }
td details { font-size: .87rem; } summary { cursor: pointer; }
.exercised, .refused, .reached { color: #197a3a; } .partly { color: #a86500; } .not, .failed { color: #c02626; } .beyond { opacity: .7; }
@media (prefers-color-scheme: dark) { .exercised, .refused, .reached { color: #5fd38a; } .partly { color: #f0b352; } .not, .failed { color: #ff8080; } }
code { font-size: .92em; }`;

/** One file: no scripts, nothing that is fetched. */
function html(summary: Summary): string {
  const { targets, operations } = summary;
  const head = targets
    .map(({ name, system, machine, runs, passed, failed, skipped }, i) => {
      const { shown, all } = operationsAndFlags(summary, i);
      const cells = [
        ...[name, system, machine].map(escapeXml),
        runsHtml(runs.map(({ id }) => id)),
        `${passed} passed, ${failed} failed, ${skipped} skipped`,
        `${shown} of ${all}`,
      ];
      return `<tr>${cells.map((value) => `<td>${value}</td>`).join('')}</tr>`;
    })
    .join('\n');
  const sections = [...Map.groupBy(operations, (operation) => operation.call)].map(
    ([call, list]) => `<h2>${escapeXml(callTitle(call))}</h2>
<table><tr><th>operation</th>${targets.map(({ name }) => `<th>${escapeXml(name)}</th>`).join('')}</tr>
${list.map((operation) => operationRow(operation, summary)).join('\n')}
</table>`,
  );
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${TITLE}</title><style>${STYLE}</style></head>
<body><h1>${TITLE}</h1>
<table><tr><th>target</th><th>system</th><th>machine</th><th>runs</th><th>tests</th><th>operations and flags</th></tr>
${head}
</table>
${sections.join('\n')}
${codeHtml(targets)}
</body></html>
`;
}

/** Runs that are named at once; more of them would be all that is seen of the page. */
const FEW_RUNS = 3;

/** @param ids of runs, the last first */
function runsHtml(ids: readonly string[]): string {
  const all = escapeXml(ids.join(', '));
  if (ids.length <= FEW_RUNS) return all;
  return `<details><summary>${ids.length}, the last ${escapeXml(ids[0] ?? '')}</summary>${all}</details>`;
}

function operationRow(operation: OperationSummary, { targets }: Summary): string {
  const items = operation.points.map(({ point, states, tests }) => {
    const marks = states.map((state, i) => {
      const by = tests[i] === undefined ? '' : ` title="${escapeXml(tests[i])}"`;
      return `<span class="${state}"${by}>${escapeXml(targets[i]?.name ?? '')}: ${state}</span>`;
    });
    const why = point.beyond !== undefined && states.includes('beyond') ? ` (${point.beyond})` : '';
    return `<li><code>${escapeXml(point.what)}</code> ${escapeXml(`${point.doc}${why}`)} ${marks.join(', ')}</li>`;
  });
  const cells = operation.verdicts.map((one) => `<td class="${one.verdict}">${verdictText(one)}</td>`);
  return `<tr><td><details><summary><code>${escapeXml(operation.operation || '(all)')}</code> ${escapeXml(operation.doc)}</summary><ul>${items.join('')}</ul></details></td>${cells.join('')}</tr>`;
}
