/**
 * Each block of commands on a page is marked: `sh` is run on the model, `sh vm` in a guest, each by a test that is named here or in
 * site.test.ts; `sh skip=REASON` is not run as it stands, for a reason of this list.
 */

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';

const root = path.join(import.meta.dirname, '..', '..');

/** Why a block is not run; its words and options are looked at all the same (test/cli/docs-commands.test.ts). */
const reasons: Readonly<Record<string, string>> = {
  guest: 'minutes in a guest: suites, faults, coverage and patches have tests of their own there',
  hours: 'it is meant to run for long',
  installs: 'it installs the package, or is the whole of the tests',
  kernel: 'it wants a kernel, or a source of one, that the reader has',
  parts: 'it wants files of runs on several machines: test/cli/report.test.ts makes such',
  serves: 'it waits for a client: test/vfio-user/example-device.vm.test.ts is one',
};

const inGuests = 'test/cli/docs-guest.vm.test.ts';
/** First words of a line that somebody would type. */
const COMMAND = /^(npx|npm|node|sagrada|git|make|qemu-\S+|sh) /m;

interface Block {
  readonly info: string;
  readonly body: string;
}

function blocksOf(text: string): Block[] {
  return [...text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(([, info = '', body = '']) => ({ info, body }));
}

/** What is wrong with the mark of a block; undefined: nothing. */
function complaint({ info, body }: Block): string | undefined {
  const first = body.split('\n')[0];
  if (info === '' && COMMAND.test(body)) return `"${first}" is not marked`;
  const mark = /^sh (.+)$/.exec(info)?.[1];
  if (mark === undefined || mark === 'vm') return undefined;
  const reason = /^skip=(.+)$/.exec(mark)?.[1];
  return reason !== undefined && reason in reasons ? undefined : `"${first}" is marked ${info}`;
}

describe('blocks of commands', () => {
  const pages = ['README.md', 'CONTRIBUTING.md', 'ARCHITECTURE.md', ...globSync('docs/*.md', { cwd: root })];
  const all = pages.map((page) => ({ page, blocks: blocksOf(readFileSync(path.join(root, page), 'utf8')) }));

  it('are noticed when they have no mark, or one that is not known', () => {
    assert.equal(complaint({ info: '', body: 'npx sagrada exercise\n' }), '"npx sagrada exercise" is not marked');
    assert.equal(complaint({ info: 'sh skip=tired', body: 'make\n' }), '"make" is marked sh skip=tired');
    assert.equal(complaint({ info: '', body: 'r0 = open_compute() {card: 0}\n' }), undefined);
  });

  it('all say whether a test runs them, or why not', () => {
    const wrong = all.flatMap(({ page, blocks }) =>
      blocks.flatMap((block) => complaint(block) ?? []).map((what) => `${page}: ${what}`),
    );
    assert.deepEqual(wrong, []);
  });

  it('that need a guest are on pages which the test of such blocks reads', () => {
    const test = readFileSync(path.join(root, inGuests), 'utf8');
    for (const { page, blocks } of all)
      if (blocks.some(({ info }) => info === 'sh vm')) assert.ok(test.includes(`'${page}'`), page);
  });

  it('are not skipped for a reason that no block has any more', () => {
    const used = new Set(all.flatMap(({ blocks }) => blocks.map(({ info }) => /skip=(.+)$/.exec(info)?.[1])));
    assert.deepEqual(
      Object.keys(reasons).filter((reason) => !used.has(reason)),
      [],
    );
  });
});
