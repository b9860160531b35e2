import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { faults } from '../../specs/gaudi/faults.ts';

const cli = path.join(import.meta.dirname, '../../bin/sagrada.js');
const run = (...args: string[]) => spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8' });

test('a fault that does not exist is refused before anything starts, with what may have been meant', () => {
  for (const [args, says, status] of [
    [['exercise', '--fault', 'mis-lost'], /no fault "mis-lost".*msi-lost/, 2],
    [['vm', 'run', '--fault', 'ecc-double:SRAN3', '--', 'true'], /SRAM3/, 2],
    [['exercise', 'info', '--fault', 'gaudi7/msi-lost'], /no card "gaudi7".*gaudi0, gaudi1/, 1],
    [['faults', 'ecc-doubel'], /no fault "ecc-doubel".*ecc-double/, 1],
  ] as const) {
    const { status: got, stdout, stderr } = run(...args);
    assert.match(stderr, says);
    assert.equal(stdout, '');
    assert.equal(got, status, args.join(' '));
  }
});

test('all faults are listed, and one is told of with its words and what the driver does', () => {
  const list = run('faults');
  const names = list.stdout.split('\n').flatMap((line) => /^[a-z][\w-]*/.exec(line)?.[0] ?? []);
  assert.deepEqual(names, Object.keys(faults));
  assert.equal(run('exercise', '--fault', 'list').stdout, list.stdout);
  const one = run('faults', 'hbm-error').stdout;
  assert.match(one, /^hbm-error\[:kind\[\.stack\[\.channel\]\]\]\n/);
  assert.match(one, /kind: of which kind: single, double/);
  assert.match(one, /The driver single: logs it/);
  assert.ok(one.split('\n').every((line) => line.length <= 104));
});

test('a fault at the start spoils the run; without it the run passes', () => {
  const args = ['exercise', 'cb', '--grep', 'fresh', '--results', ':memory:'];
  const broken = run(...args, '--fault', 'boot-stuck:linux');
  assert.match(broken.stdout, /failed to wait for Linux|EPERM|not usable/);
  assert.equal(broken.status, 1);
});
