/** docs/tpc.md as its reader follows it: files are saved, commands are typed in their order, and print what it says. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

const root = path.join(import.meta.dirname, '../..');
const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-docs-'));
after(() => rmSync(folder, { recursive: true }));
mkdirSync(path.join(folder, 'node_modules'));
symlinkSync(root, path.join(folder, 'node_modules/sagrada'));
symlinkSync(path.join(root, 'kernels'), path.join(folder, 'kernels'));

const text = readFileSync(path.join(root, 'docs/tpc.md'), 'utf8');

/** What stands in code blocks, with the words between. */
const pieces = text.split(/^(```\w+\n[\s\S]*?^```)$/m);

pieces.forEach((piece, n) => {
  const block = /^```(\w+)\n([\s\S]*?)```$/.exec(piece);
  if (!block) return;
  const [, language, content = ''] = block;
  const file = /<!-- file: ([\w.]+) -->\s*$/.exec(pieces[n - 1] ?? '')?.[1];
  if (file !== undefined) writeFileSync(path.join(folder, file), content);
  if (language !== 'sh') return;
  const promised = [...(pieces[n + 1] ?? '').matchAll(/^It prints `([^`]+)`/gm)].map((match) => match[1] as string);
  for (const line of content.trim().split('\n')) {
    test(line, () => {
      const words = line.split(' ');
      assert.deepEqual(words.slice(0, 2), ['npx', 'sagrada']);
      const args = [path.join(root, 'bin/sagrada.js'), ...words.slice(2)];
      const { status, stdout, stderr } = spawnSync(process.execPath, args, {
        cwd: folder,
        encoding: 'utf8',
        input: '',
      });
      assert.equal(status, 0, stderr);
      assert.equal(stderr, '');
      for (const each of promised) assert.ok(stdout.includes(each), `${stdout} has no "${each}"`);
    });
  }
});

test("the page has a kernel of one's own to run, debug, assemble and launch", () => {
  for (const command of ['tpc run', 'tpc debug', 'asm', 'disasm', 'run']) {
    assert.match(text, new RegExp(`^npx sagrada ${command} `, 'm'));
  }
});
