/** `sagrada trace`: what a recorded run holds, in the terminal. */

import { once } from 'node:events';
import process from 'node:process';
import { Command, InvalidArgumentError } from 'commander';
import { suggestion } from '../isa/diagnostics.ts';
import { UserError } from '../sim/errors.ts';
import { type EventRow, traceEvents } from '../trace/events.ts';
import { openTrace } from '../trace/open.ts';
import type { TraceReader } from '../trace/reader.ts';
import { byTime, entryJson, entryOf, entryText, statistics } from '../trace/text.ts';
import { addExamples } from './help.ts';
import { endWithReader } from './interruption.ts';
import { workLine } from './terminal.ts';

interface Selection {
  readonly kind?: readonly string[];
  readonly track?: RegExp;
  readonly from?: number;
  readonly to?: number;
  readonly limit?: number;
  readonly json?: boolean;
}

export function command(): Command {
  const trace = new Command('trace').description('what a run recorded with --trace holds').exitOverride();
  addExamples(
    trace,
    ['sagrada exercise cb --trace cb.pftrace', 'record a run; "sagrada view cb.pftrace" shows it'],
    ['sagrada trace stats cb.pftrace', 'what it holds'],
    ['sagrada trace grep LIN_DMA cb.pftrace --limit 10', 'some packets'],
  );
  const stats = trace
    .command('stats')
    .description('count events, by kind and by track, and bytes moved between devices')
    .argument('<file>', 'the trace')
    .option('--json', 'as JSON')
    .action(runStats);
  addExamples(stats, ['sagrada trace stats cb.pftrace', 'what it holds']);
  const grep = select(
    trace
      .command('grep')
      .description('print the events whose line matches, in the order of their times; exits with 1 where there is none')
      .argument('<regexp>', 'tried on the text of each event')
      .argument('<file>', 'the trace'),
  ).action((pattern: string, file: string, options: Selection) => {
    return runList(file, options, regexp(pattern));
  });
  addExamples(
    grep,
    ['sagrada trace grep PQ_PI cb.pftrace --kind doorbell', 'doorbells'],
    ['sagrada trace grep . cb.pftrace --kind dma --track gaudi0', 'transfers of one card'],
  );
  const all = select(
    trace
      .command('export')
      .description('print all events, in the order of their times: a line of text each, or of JSON')
      .argument('<file>', 'the trace'),
  ).action((file: string, options: Selection) => runList(file, options));
  addExamples(all, ['sagrada trace export cb.pftrace --json --kind ioctl', 'the calls, for a program']);
  const kinds = trace
    .command('kinds')
    .description('list what a trace may tell of, with fields and units')
    .option('--json', 'as JSON')
    .action(({ json = false }: { readonly json?: boolean }) => {
      endWithReader();
      process.stdout.write(json ? `${JSON.stringify(traceEvents, undefined, 2)}\n` : kindsText());
    });
  addExamples(kinds, ['sagrada trace kinds', 'all of them']);
  return trace;
}

function kindsText(): string {
  const rows: Readonly<Record<string, EventRow>> = traceEvents;
  return Object.entries(rows)
    .map(([kind, { doc, shape, fields, results }]) => {
      const all = [...Object.entries(fields), ...Object.entries(results)];
      const width = Math.max(0, ...all.map(([name]) => name.length));
      const lines = all.map(([name, { doc, unit }]) => `  ${name.padEnd(width)}  ${doc}${unit ? ` (${unit})` : ''}\n`);
      return `${kind}${shape === 'slice' ? ', from when to when' : ''}: ${doc}\n${lines.join('')}`;
    })
    .join('\n');
}

function select(command: Command): Command {
  return command
    .option('--kind <kind>', `only events of this kind; may be repeated: ${Object.keys(traceEvents).join(', ')}`, kind)
    .option('--track <regexp>', 'only events on tracks that match, e.g. gaudi0/DMA1_QM', regexp)
    .option('--from <ns>', 'only events that begin then or later', nanoseconds)
    .option('--to <ns>', 'only events that begin before', nanoseconds)
    .option('--limit <n>', 'at most so many events', nanoseconds)
    .option('--json', 'a line of JSON for each event');
}

function kind(text: string, kinds: readonly string[] = []): readonly string[] {
  const known = Object.keys(traceEvents);
  if (!known.includes(text)) throw new InvalidArgumentError(`no kind "${text}"${suggestion(text, known)}.`);
  return [...kinds, text];
}

function regexp(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new UserError((error as Error).message);
  }
}

function nanoseconds(text: string): number {
  if (!/^\d{1,16}$/.test(text)) throw new InvalidArgumentError('a whole number is expected.');
  return Number(text);
}

/** What is wrong with the file, in one line; a damaged one is a failure, one that ends early was cut off. */
function complain(file: string, { problem }: TraceReader): void {
  if (!problem) return;
  process.stderr.write(`sagrada: ${file}: ${problem.category}: ${problem.message}\n`);
  if (problem.category !== 'truncated') process.exitCode = 1;
}

function opened(file: string): TraceReader {
  const progress = workLine('MB');
  try {
    return openTrace(file, (done, total) => progress?.(done / 1e6, total / 1e6));
  } finally {
    progress?.();
  }
}

async function runStats(file: string, { json = false }: { readonly json?: boolean }): Promise<void> {
  endWithReader();
  const trace = opened(file);
  const all = statistics(trace);
  if (json) process.stdout.write(`${JSON.stringify(all, undefined, 2)}\n`);
  else process.stdout.write(`${table(all)}\n`);
  complain(file, trace);
}

function table({ events, bytes, clock, span, kinds, tracks, moved, underWay }: ReturnType<typeof statistics>): string {
  const time = (ns: number) => (ns === 0 ? '' : `${(ns / 1e6).toFixed(3)} ms`);
  const count = (n: number) => n.toLocaleString('en');
  const lines = [
    `${count(events)} events in ${count(bytes)} bytes, ${time(span) || '0 ms'} of ${clock ?? 'unknown'} time`,
    ...(underWay > 0 ? [`${count(underWay)} had not ended`] : []),
  ];
  const section = (title: string, rows: readonly (readonly [string, string, string])[]) => {
    if (rows.length === 0) return;
    const widths = [0, 1, 2].map((i) => Math.max(...rows.map((row) => (row[i] as string).length)));
    lines.push('', title);
    for (const [a, b, c] of rows) {
      lines.push(
        `  ${a.padEnd(widths[0] as number)}  ${b.padStart(widths[1] as number)}  ${c.padStart(widths[2] as number)}`.trimEnd(),
      );
    }
  };
  section(
    'kinds',
    kinds.map((row) => [row.kind, count(row.events), time(row.time)]),
  );
  section(
    'busiest tracks',
    tracks.map((row) => [row.track, count(row.events), time(row.time)]),
  );
  section(
    'bytes moved',
    moved.map(({ from, to, route, bytes }) => [`${from} to ${to}`, count(bytes), route === 'host' ? '' : route]),
  );
  return lines.join('\n');
}

/** Lines that are written at a time. */
const BATCH = 1000;

async function runList(file: string, options: Selection, pattern?: RegExp): Promise<void> {
  endWithReader();
  const trace = opened(file);
  const columns = trace.columns();
  const { from = 0, to = Number.POSITIVE_INFINITY, limit = Number.POSITIVE_INFINITY, json = false } = options;
  const kinds = new Set(options.kind?.map((name) => trace.categories.indexOf(name)));
  const tracks = new Set(
    trace.tracks.flatMap(({ path }, i) => (options.track?.test(path.join('/')) === false ? [] : [i])),
  );
  let batch: string[] = [];
  let found = 0;
  const write = async () => {
    const text = batch.join('');
    batch = [];
    if (!process.stdout.write(text)) await once(process.stdout, 'drain');
  };
  const progress = process.stdout.isTTY ? undefined : workLine('events');
  let seen = 0;
  for (const event of byTime(columns)) {
    if (found >= limit) break;
    if (++seen % BATCH === 0) progress?.(seen, trace.count);
    const time = columns.start[event] as number;
    if (time < from || time >= to || !tracks.has(columns.track[event] as number)) continue;
    if (options.kind && !kinds.has(columns.category[event] as number)) continue;
    const entry = entryOf(trace, columns, event);
    const line = entryText(entry);
    if (pattern && !pattern.test(line)) continue;
    found++;
    batch.push(`${json ? entryJson(entry) : line}\n`);
    if (batch.length >= BATCH) await write();
  }
  progress?.();
  if (batch.length > 0) await write();
  complain(file, trace);
  if (pattern && found === 0) process.exitCode = 1;
}
