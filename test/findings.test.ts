/** The programs of docs/findings on the model of the driver: it answers as the pages say it does. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
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

/** A run of several, one after the other. @returns what each said, by its name */
function run(files: readonly string[], machine: string) {
  const mark = (file: string) => `console.log(${JSON.stringify(`== ${file}`)});`;
  const program = files.map((file) => `${mark(file)} await import(${JSON.stringify(path.join(folder, file))});`);
  const scratch = mkdtempSync(path.join(tmpdir(), 'findings-'));
  try {
    const all = path.join(scratch, 'all.ts');
    writeFileSync(all, program.join('\n'));
    const { status, stdout, stderr } = spawnSync(process.execPath, [sagrada, 'run', '--machine', machine, all], {
      encoding: 'utf8',
    });
    const said = new Map(stdout.split(/^== /m).map((part) => [part.slice(0, part.indexOf('\n')), part]));
    return { status, said, stderr };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Those that lose the card on a kernel leave it open, and end their process. */
const shared = findings.filter(({ losesCard }) => !losesCard);
const alone = findings.filter(({ losesCard }) => losesCard);
const groups = [
  shared.filter(({ machine }) => machine === undefined),
  shared.filter(({ machine }) => machine === 'gaudi-efa'),
  ...alone.map((finding) => [finding]),
];
for (const group of groups) {
  test(`${group.map(({ file }) => file).join(', ')} on the model`, () => {
    const { status, said, stderr } = run(
      group.map(({ file }) => file),
      group[0]?.machine ?? 'gaudi',
    );
    for (const { file, onModel } of group) {
      const lines = said.get(file) ?? '';
      assert.match(lines.slice(lines.indexOf('\n') + 1), onModel, `${file}: ${stderr}`);
    }
    assert.equal(status, 0, stderr);
  });
}
