/** What is wrong with a source text, and where: `file:line:column`, the line, a caret, what was expected. */

import { UserError } from '../sim/errors.ts';

export interface Diagnostic {
  readonly severity: 'error' | 'warning';
  readonly message: string;
  /** Offsets into the text. */
  readonly start: number;
  readonly end: number;
}

/** A text with its name and its lines. */
export class SourceText {
  readonly file: string;
  readonly text: string;
  readonly #lines: number[] = [0];

  constructor(file: string, text: string) {
    this.file = file;
    this.text = text;
    for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) this.#lines.push(i + 1);
  }

  /** Line and column of an offset, both from 1. */
  position(offset: number): { readonly line: number; readonly column: number } {
    let low = 0;
    let high = this.#lines.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#lines[middle] as number) <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: offset - (this.#lines[low] as number) + 1 };
  }

  /** Text of a line (from 1), without its end. */
  line(line: number): string {
    const start = this.#lines[line - 1] ?? 0;
    const end = this.#lines[line] ?? this.text.length + 1;
    return this.text.slice(start, end - 1).replace(/\r$/, '');
  }
}

/** One diagnostic in three lines: message, source line, caret. */
export function formatDiagnostic(source: SourceText, diagnostic: Diagnostic): string {
  const { line, column } = source.position(diagnostic.start);
  const head = `${source.file}:${line}:${column}: ${diagnostic.severity}: ${diagnostic.message}`;
  // A line may be of any length and hold anything: show a window, and nothing that a terminal would act upon.
  const from = Math.max(0, column - 1 - 60);
  const window = source.line(line).slice(from, from + 160);
  const text = printable(window);
  const before = printable(window.slice(0, column - 1 - from));
  const marked = Math.max(1, Math.min(diagnostic.end - diagnostic.start, window.length - before.length));
  const number = String(line);
  const margin = ' '.repeat(number.length);
  return `${head}\n ${number} | ${text}\n ${margin} | ${' '.repeat(before.length)}^${'~'.repeat(marked - 1)}`;
}

/** `text` with every character that is not visible as one column: tabs as blanks, other controls as `?`. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not reach a terminal
  return text.replace(/\t/g, ' ').replace(/[\x00-\x1f\x7f-\x9f]/g, '?');
}

const SHOWN = 20;

/** All diagnostics, in the order of the text; after 20 only their number. */
export function formatDiagnostics(source: SourceText, diagnostics: readonly Diagnostic[]): string {
  const sorted = [...diagnostics].sort((a, b) => a.start - b.start);
  const lines = sorted.slice(0, SHOWN).map((d) => formatDiagnostic(source, d));
  if (sorted.length > SHOWN) lines.push(`and ${sorted.length - SHOWN} more`);
  return lines.join('\n');
}

/** A source text that does not assemble. The message holds all diagnostics. */
export class AssemblyError extends UserError {
  readonly diagnostics: readonly Diagnostic[];

  constructor(source: SourceText, diagnostics: readonly Diagnostic[]) {
    super(formatDiagnostics(source, diagnostics));
    this.diagnostics = diagnostics;
  }
}

/** `; did you mean "x"?` for the candidate most like `name`, or nothing where none is alike. */
export function suggestion(name: string, candidates: Iterable<string>): string {
  const wanted = name.toLowerCase();
  if (wanted.length > 64) return '';
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - wanted.length) >= bestDistance) continue;
    const distance = editDistance(wanted, candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best === undefined ? '' : `; did you mean "${best}"?`;
}

/** Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let least = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, (beforeLast[j - 2] ?? 0) + 1);
      }
      row.push(least);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
