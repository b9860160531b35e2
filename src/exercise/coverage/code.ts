/** What of a driver's code ran, by file: functions, and where the kernel counts them, lines and branches. */

/** Counts of a file of the kernel's source. */
export interface FileCoverage {
  /** From the root of the source: `drivers/accel/habanalabs/common/asid.c`. */
  readonly file: string;
  /** In order of their lines; the line is 0 where it is not known. */
  readonly functions: readonly { readonly name: string; readonly line: number; readonly count: number }[];
  /** Lines that have code; none where only functions are known. */
  readonly lines: readonly { readonly line: number; readonly count: number }[];
  /** Ways out of a line, in the compiler's order. */
  readonly branches: readonly { readonly line: number; readonly counts: readonly number[] }[];
}

/** Several runs together: counts are added. */
export function mergeCode(parts: Iterable<readonly FileCoverage[]>): readonly FileCoverage[] {
  const files = new Map<string, FileCoverage>();
  for (const part of parts)
    for (const file of part) {
      const known = files.get(file.file);
      files.set(file.file, known ? mergeFile(known, file) : file);
    }
  return [...files.values()].sort((a, b) => (a.file < b.file ? -1 : 1));
}

function mergeFile(a: FileCoverage, b: FileCoverage): FileCoverage {
  const add = <T extends { readonly count: number }>(one: T, other: T): T => ({
    ...one,
    count: one.count + other.count,
  });
  return {
    file: a.file,
    functions: merged(a.functions, b.functions, ({ name }) => name, add),
    lines: merged(a.lines, b.lines, ({ line }) => line, add),
    // two builds of a line may have different branches: those of one build are kept
    branches: merged(
      a.branches,
      b.branches,
      ({ line, counts }) => `${line} ${counts.length}`,
      (one, other) => ({ line: one.line, counts: one.counts.map((count, i) => count + (other.counts[i] ?? 0)) }),
    ),
  };
}

function merged<T extends { readonly line: number }, K>(
  first: readonly T[],
  second: readonly T[],
  key: (item: T) => K,
  add: (one: T, other: T) => T,
): readonly T[] {
  const items = new Map(first.map((item) => [key(item), item]));
  for (const item of second) {
    const known = items.get(key(item));
    items.set(key(item), known ? add(known, item) : item);
  }
  return [...items.values()].sort((a, b) => a.line - b.line);
}

/** As lcov's tools read it (geninfo(1), "TRACEFILE FORMAT"). @param root put before each file's name */
export function lcovOf(files: readonly FileCoverage[], root = ''): string {
  const out: string[] = [];
  for (const { file, functions, lines, branches } of files) {
    out.push('TN:', `SF:${root}${file}`);
    for (const { name, line } of functions) out.push(`FN:${line},${name}`);
    for (const { name, count } of functions) out.push(`FNDA:${count},${name}`);
    out.push(`FNF:${functions.length}`, `FNH:${reachedOf(functions)}`);
    const counts = new Map(lines.map(({ line, count }) => [line, count]));
    const ways = branches.flatMap(({ line, counts: taken }) => taken.map((count, i) => ({ line, i, count })));
    for (const { line, i, count } of ways) out.push(`BRDA:${line},0,${i},${counts.get(line) === 0 ? '-' : count}`);
    out.push(`BRF:${ways.length}`, `BRH:${reachedOf(ways)}`);
    for (const { line, count } of lines) out.push(`DA:${line},${count}`);
    out.push(`LF:${lines.length}`, `LH:${reachedOf(lines)}`, 'end_of_record');
  }
  return out.length === 0 ? '' : `${out.join('\n')}\n`;
}

/** How many of them ran. */
export function reachedOf(items: readonly { readonly count: number }[]): number {
  return items.filter(({ count }) => count > 0).length;
}
