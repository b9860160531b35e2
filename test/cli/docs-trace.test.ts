/** README.md and those pages of docs that need no guest, as their reader follows them: the blocks of commands are run in their order. */

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
for (const name of ['examples', 'kernels']) symlinkSync(path.join(root, name), path.join(folder, name));

/** What the blocks of a page that export nothing print, in their order. */
const said: Readonly<Record<string, readonly RegExp[]>> = {
  'docs/start.md': [
    /./,
    /FAILED dma: host to SRAM[\s\S]*Command submission 1 has not finished[\s\S]*as it should/,
    /has brought back 42$/m,
  ],
  'README.md': [/has found all 1048576 bytes/],
  'docs/faults.md': [
    /msi-lost[\s\S]*ecc-double\[:memory\[\.number\]\][\s\S]*✓ faults [\s\S]* 0 failed[\s\S]*PCI address 0000:01:00.0/,
  ],
  'docs/fuzzing.md': [/\d+ sequences[\s\S]*nothing has been found by \d+ sequences/],
  'docs/trace.md': [/\d+ events in[\s\S]*LIN_DMA[\s\S]*"ioctl"/],
  'docs/view.md': [],
};

for (const file of Object.keys(said)) {
  describe(file, () => {
    const page = readFileSync(path.join(root, file), 'utf8');
    const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1] as string);
    assert.ok(blocks.length > 0);
    for (const [number, commands] of blocks.entries()) {
      test(commands.split('\n')[0] ?? '', () => {
        const env = {
          ...process.env,
          PATH: `${folder}:${process.env.PATH}`,
          XDG_CACHE_HOME: path.join(folder, 'cache'),
        };
        const { status, stdout, stderr } = spawnSync('sh', ['-e', '-c', commands], {
          cwd: folder,
          encoding: 'utf8',
          env,
        });
        assert.equal(status, 0, `${stdout}\n${stderr}`);
        const exported = /--export (\S+)/.exec(commands)?.[1];
        if (exported === undefined) assert.match(stdout, said[file]?.[number] ?? /^$/);
        else assert.match(readFileSync(path.join(folder, exported), 'utf8'), /^<!DOCTYPE html>[\s\S]*id="trace-0"/);
      });
    }
  });
}
