/** The programs of docs/findings on the model of the driver: it answers as the pages say it does. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { findings } from './findings.ts';

const root = path.dirname(import.meta.dirname);
const folder = path.join(root, 'docs', 'findings');
const sagrada = path.join(root, 'bin', 'sagrada.js');

test('every page is in the index, and a program beside a page is in these tests and named in the page', () => {
  const index = readFileSync(path.join(folder, 'README.md'), 'utf8');
  const pages = globSync('[0-9]*.md', { cwd: folder });
  for (const page of pages) assert.ok(index.includes(`](${page})`), `${page} is not in the index`);
  for (const program of globSync('*.ts', { cwd: folder })) {
    const page = pages.find((name) => name.startsWith(program.slice(0, 4)));
    assert.ok(page, `${program} has no page`);
    assert.ok(readFileSync(path.join(folder, page), 'utf8').includes(`docs/findings/${program}`), page);
    assert.ok(
      findings.some(({ file }) => file === program),
      `${program} is not tested`,
    );
  }
});

for (const { file, onModel } of findings) {
  test(`${file} on the model`, async () => {
    const command = [sagrada, 'run', '--machine', 'gaudi', path.join(folder, file)];
    const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(child, 'exit');
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    const [status] = await ended;
    assert.match(stdout, onModel, stderr);
    assert.equal(status, 0, stderr);
  });
}
