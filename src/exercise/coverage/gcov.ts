/** Counts of a kernel that was compiled to count (Documentation/dev-tools/gcov.rst), evaluated by gcov(1). */

import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { run } from '../../os/run.ts';
import { type FileCoverage, mergeCode } from './code.ts';
import type { GuestCommand } from './function-trace.ts';

/** Where the source of the kernel, or of a changed driver, was when it was compiled, as it is named in debugfs. */
const ROOT = /^\.\/(src|linux)\//;
/** A name per line, and what is in it in another. Files of debugfs have no size, so that archivers take them for empty. */
const TAKE =
  'cd /sys/kernel/debug/gcov && find . -name \'*.gcda\' | while read -r f; do echo "$f"; base64 -w0 "$f"; echo; done';

/** Counts of a file of the kernel, `.gcda`, by its path in the source without the suffix. */
export type Counts = ReadonlyMap<string, Uint8Array>;

/** What the kernel has counted since it was started. @throws Error where it does not count */
export async function takeCounts(command: GuestCommand): Promise<Counts> {
  const lines = (await command(['sh', '-c', TAKE])).toString('latin1').split('\n');
  const counts = new Map<string, Uint8Array>();
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const name = lines[i] ?? '';
    if (ROOT.test(name) && name.endsWith('.gcda'))
      counts.set(name.replace(ROOT, '').slice(0, -'.gcda'.length), Buffer.from(lines[i + 1] ?? '', 'base64'));
  }
  if (counts.size === 0) throw new Error('this kernel does not count what runs (CONFIG_GCOV_KERNEL)');
  return counts;
}

/** As much as is read of what `gcov --json-format` writes (gcov(1)). */
interface Report {
  /** Of the compiler. */
  readonly current_working_directory: string;
  readonly files: readonly {
    readonly file: string;
    readonly functions: readonly {
      readonly name: string;
      readonly start_line: number;
      readonly execution_count: number;
    }[];
    readonly lines: readonly {
      readonly line_number: number;
      readonly count: number;
      readonly branches: readonly { readonly count: number }[];
    }[];
  }[];
}

/**
 * @param notes folders with what the compiler wrote of each file, `.gcno`: the first that has a file counts
 * @param gcov the program, of the compiler's version, with its first arguments
 * @param folders of the source whose files are wanted: headers and others are left out
 */
export async function evaluate(
  counts: Counts,
  notes: readonly string[],
  gcov: readonly string[],
  folders: readonly string[],
): Promise<readonly FileCoverage[]> {
  const work = mkdtempSync(path.join(tmpdir(), 'sagrada-gcov-'));
  const parts: FileCoverage[][] = [];
  try {
    for (const [name, bytes] of counts) {
      const note = notes.map((folder) => path.join(folder, `${name}.gcno`)).find((file) => existsSync(file));
      if (note === undefined) continue;
      const place = path.join(work, name);
      mkdirSync(path.dirname(place), { recursive: true });
      copyFileSync(note, `${place}.gcno`);
      writeFileSync(`${place}.gcda`, bytes);
      const [program = '', ...args] = [...gcov, '--json-format', '--stdout', '--branch-probabilities', `${place}.gcda`];
      const result = await run(program, args, { cwd: work });
      if (result.status !== 0) throw new Error(`gcov cannot read ${name}: ${result.stderr.trim().split('\n')[0]}`);
      parts.push(readReport(result.stdout.toString(), folders));
    }
  } finally {
    rmSync(work, { recursive: true });
  }
  return mergeCode(parts);
}

export function readReport(text: string, folders: readonly string[]): FileCoverage[] {
  // one report in a line, for each file of counts
  const reports = text.split('\n').filter(Boolean);
  return reports
    .map((line) => JSON.parse(line) as Report)
    .flatMap(({ current_working_directory: place, files }) =>
      files.map((file) => ({ ...file, file: sourcePath(place, file.file) })),
    )
    .filter(({ file }) => folders.some((folder) => file.startsWith(`${folder}/`)))
    .map(({ file, functions, lines }) => ({
      file,
      functions: functions.map(({ name, start_line, execution_count }) => ({
        name,
        line: start_line,
        count: execution_count,
      })),
      lines: [...linesOf(lines)].map(([line, count]) => ({ line, count })),
      branches: lines
        .filter(({ branches }) => branches.length > 0)
        .map(({ line_number, branches }) => ({ line: line_number, counts: branches.map(({ count }) => count) })),
    }));
}

/** A line is told of once for each function that it is in, as one of a macro is. */
function linesOf(lines: Report['files'][number]['lines']): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  for (const { line_number, count } of lines) counts.set(line_number, (counts.get(line_number) ?? 0) + count);
  return counts;
}

/** From the root of the source: a driver that is built alone is compiled in its own folder. */
function sourcePath(place: string, file: string): string {
  return path.posix.resolve(place, file).replace(/^\/(src|linux)\//, '');
}
