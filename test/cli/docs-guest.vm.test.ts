/** Blocks of pages marked `sh vm`: run under the drivers of a Linux kernel, after the blocks of their page that write files. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';

const root = path.join(import.meta.dirname, '../..');
const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-docs-'));
after(() => rmSync(folder, { recursive: true }));
// `npx sagrada` of this checkout, in a folder of the reader's own
const npx = `#!/bin/sh\ntest "$1" = sagrada && shift && exec '${process.execPath}' '${root}/bin/sagrada.js' "$@"\n`;
writeFileSync(path.join(folder, 'npx'), npx, { mode: 0o755 });
symlinkSync(path.join(root, 'examples'), path.join(folder, 'examples'));

/** What the blocks print, in their order. */
const said: Readonly<Record<string, readonly RegExp[]>> = {
  'README.md': [/has found all 1048576 bytes/],
  'docs/start.md': [/on vm, Linux[\s\S]*✓ dma [\s\S]* 0 failed[\s\S]*has brought back 42$/m],
};

for (const [file, expected] of Object.entries(said)) {
  describe(file, () => {
    const blocks = [...readFileSync(path.join(root, file), 'utf8').matchAll(/^```sh( vm)?\n([\s\S]*?)^```$/gm)];
    const files = blocks.flatMap(([, vm, body = '']) => (vm ? [] : (body.match(/^cat > .*\n[\s\S]*?^END\n/gm) ?? [])));
    const guest = blocks.filter(([, vm]) => vm).map(([, , body = '']) => body);
    test('has the blocks', () => assert.equal(guest.length, expected.length));
    for (const [number, commands] of guest.entries()) {
      test(commands.split('\n')[0] ?? '', () => {
        const { status, stdout, stderr } = spawnSync('sh', ['-e', '-c', [...files, commands].join('')], {
          cwd: folder,
          encoding: 'utf8',
          input: '',
          env: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
        });
        assert.equal(status, 0, `${stdout}\n${stderr}`);
        assert.match(stdout, expected[number] as RegExp);
      });
    }
  });
}
