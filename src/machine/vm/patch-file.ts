/** Reads a patch as `git diff`, `git format-patch` and `diff -u` write it: which files it changes, each with its part of the text. */

import { UserError } from '../../sim/errors.ts';

/** What a patch does to one file. */
export interface FilePatch {
  /** As the patch names it, with its prefixes; undefined: the file is new. */
  readonly before: string | undefined;
  /** undefined: the file is removed. */
  readonly after: string | undefined;
  /** This part of the patch, a patch by itself. */
  readonly text: string;
}

const HUNK = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/;

/**
 * Lines between the parts (a mail's head, a commit's message) are left out.
 * @param name of the patch, for complaints. @throws UserError where there is none, or it cannot be read
 */
export function readPatch(text: string, name: string): readonly FilePatch[] {
  const lines = text.replaceAll('\r\n', '\n').split('\n');
  const parts: FilePatch[] = [];
  for (let at = 0; at < lines.length; ) {
    const line = lines[at] ?? '';
    if (line.startsWith('GIT binary patch') || /^Binary files .* differ$/.test(line))
      throw new UserError(`${name}: line ${at + 1}: it changes a binary file, which is not supported`);
    const next = lines[at + 1] ?? '';
    if (line.startsWith('diff --combined ') || line.startsWith('diff --cc '))
      throw new UserError(`${name}: line ${at + 1}: a diff of a merge cannot be applied: make one against one parent`);
    if (/^rename from /.test(line) && /^rename to /.test(next)) {
      const part = renamed(lines, at);
      parts.push(part.patch);
      at = part.end;
    } else if (line.startsWith('--- ') && next.startsWith('+++ ') && HUNK.test(lines[at + 2] ?? '')) {
      const end = endOfHunks(lines, at + 2, name);
      parts.push({ before: fileName(line), after: fileName(next), text: `${lines.slice(at, end).join('\n')}\n` });
      at = end;
    } else at++;
  }
  if (parts.length === 0) throw new UserError(`${name}: there is no unified diff in it`);
  return parts;
}

/** A file that gets another name, and may be changed too; git gives the names without prefixes before they come with them. */
function renamed(lines: readonly string[], at: number): { patch: FilePatch; end: number } {
  const before = `a/${(lines[at] ?? '').slice('rename from '.length)}`;
  const after = `b/${(lines[at + 1] ?? '').slice('rename to '.length)}`;
  const head = [`diff --git ${before} ${after}`, 'similarity index 90%', lines[at] ?? '', lines[at + 1] ?? ''];
  return { patch: { before, after, text: `${head.join('\n')}\n` }, end: at + 2 };
}

/** @returns the index of the line behind the last hunk */
function endOfHunks(lines: readonly string[], start: number, name: string): number {
  let at = start;
  for (;;) {
    const hunk = HUNK.exec(lines[at] ?? '');
    if (!hunk) return at;
    const first = at;
    let before = Number(hunk[1] ?? 1);
    let after = Number(hunk[2] ?? 1);
    at++;
    while (before > 0 || after > 0) {
      const line = lines[at];
      // mailers cut off the blank of an empty line
      const mark = line === '' && at < lines.length - 1 ? ' ' : line?.[0];
      if (mark === '-' || mark === ' ') before--;
      if (mark === '+' || mark === ' ') after--;
      if (before < 0 || after < 0 || mark === undefined || !'-+ \\'.includes(mark))
        throw new UserError(`${name}: line ${at + 1}: the hunk that begins in line ${first + 1} is cut off or damaged`);
      at++;
    }
    if ((lines[at] ?? '').startsWith('\\ ')) at++;
  }
}

/** Name in a line such as `--- a/drivers/x.c	2026-01-31`; undefined for /dev/null. */
function fileName(line: string): string | undefined {
  const name = line.slice('--- '.length).replace(/\t.*$/, '').trimEnd();
  return name === '/dev/null' ? undefined : name;
}
