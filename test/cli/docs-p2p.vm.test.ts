/** docs/p2p.md and docs/guests.md as their reader follows them: blocks of commands are run, and print what the page says. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';

const root = path.join(import.meta.dirname, '../..');
const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-docs-'));
after(() => rmSync(folder, { recursive: true }));
// `npx sagrada` of this checkout, wherever the test runs
const npx = `#!/bin/sh\ntest "$1" = sagrada && shift && exec '${process.execPath}' '${root}/bin/sagrada.js' "$@"\n`;
writeFileSync(path.join(folder, 'npx'), npx, { mode: 0o755 });

/** The whole suite under the real drivers has a test of its own (test/exercise/exercise.vm.test.ts). */
const ELSEWHERE = /^npx sagrada exercise p2p --on vm\b.*$/m;

for (const page of ['docs/p2p.md', 'docs/guests.md']) {
  describe(page, () => {
    const pieces = readFileSync(path.join(root, page), 'utf8').split(/^(```\w+\n[\s\S]*?^```)$/m);
    let found = 0;
    pieces.forEach((piece, n) => {
      const commands = /^```sh\n([\s\S]*?)```$/.exec(piece)?.[1]?.replace(ELSEWHERE, '').trim();
      if (commands === undefined) return;
      found++;
      const said = /^It prints ([\s\S]*?)\n\n/m.exec(pieces[n + 1] ?? '')?.[1] ?? '';
      const promised = [...said.matchAll(/`([^`]+)`/g)].map((match) => match[1] as string);
      test(commands.split('\n')[0] ?? '', () => {
        const { status, stdout, stderr } = spawnSync('sh', ['-e', '-c', commands], {
          cwd: root,
          encoding: 'utf8',
          input: '',
          env: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
        });
        assert.equal(status, 0, `${stdout}\n${stderr}`);
        for (const each of promised) assert.ok(stdout.includes(each), `no "${each}" in ${stdout}`);
      });
    });

    test('blocks of commands were found', () => assert.ok(found > 0));
  });
}
