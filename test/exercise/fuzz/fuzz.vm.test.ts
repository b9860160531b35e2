/** A short run of the fuzzer on the model of the driver and on the driver: every difference is a failure. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

const sagrada = path.join(import.meta.dirname, '..', '..', '..', 'bin', 'sagrada.js');
const folder = mkdtempSync(path.join(tmpdir(), 'fuzz-'));
after(() => rmSync(folder, { recursive: true }));

interface End {
  readonly type: string;
  readonly sequences: number;
  readonly corpus: number;
  readonly reached: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

test('model and driver agree on random sequences (seed 1), and the driver tells what of it they reach', () => {
  const args = ['fuzz', '--on', 'model,vm', '--sequences', '24', '--seed', '1', '--json'];
  const command = [sagrada, ...args, '--corpus', path.join(folder, 'corpus.sqlite')];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { encoding: 'utf8' });
  const events = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { readonly type: string });
  assert.deepEqual(
    events.filter(({ type }) => type === 'finding' || type === 'restart'),
    [],
  );
  assert.equal(status, 0, stderr);
  const end = events.at(-1) as End;
  assert.equal(end.type, 'end');
  assert.equal(end.sequences, 24);
  assert.ok(end.corpus > 5);
  const [, reached] = Object.entries(end.reached).find(([place]) => place.startsWith('Linux ')) ?? [];
  assert.ok((reached?.functions ?? 0) > 100, JSON.stringify(end));
  assert.ok((reached?.calls ?? 0) > 300, JSON.stringify(end));
});
