/** The examples, as somebody runs them who has just come: each does what it claims, and says so. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { complaining, DEVICE, machines, outputs } from './example-outputs.ts';

const root = path.dirname(import.meta.dirname);
const folder = path.join(root, 'examples');

function node(...args: string[]) {
  return spawnSync(process.execPath, args, { encoding: 'utf8', cwd: root });
}

for (const [name, says] of [
  ['peer-copy.ts', outputs['peer-copy.ts'] as RegExp],
  // These choose the machine themselves.
  ['p2p-nic.ts', outputs['p2p-nic.ts'] as RegExp],
  ['ring-all-reduce.ts', /^4 cards/],
] as const) {
  test(`${name} by node alone`, () => {
    const { status, stdout, stderr } = node(path.join('examples', name));
    assert.equal(status, 0, stderr);
    assert.match(stdout, says);
    assert.equal(stderr, '');
  });
}

test('every example is here', () => {
  const programs = readdirSync(folder).filter((name) => name.endsWith('.ts'));
  assert.deepEqual(programs.sort(), [...Object.keys(outputs), DEVICE].sort());
});

test(`${DEVICE} is read in two minutes`, () => {
  assert.ok(readFileSync(path.join(folder, DEVICE), 'utf8').split('\n').length <= 100);
});

for (const [name, output] of Object.entries(outputs)) {
  test(`${name} is read in a minute`, () => {
    assert.ok(readFileSync(path.join(folder, name), 'utf8').split('\n').length <= 60);
  });

  test(`${name} by sagrada run: neither driver nor devices have failed`, () => {
    const { status, stdout, stderr } = node(
      ...['bin/sagrada.js', 'run', '--machine', machines[name] ?? 'gaudi-x2'],
      path.join('examples', name),
    );
    assert.equal(status, 0, stderr);
    assert.match(stdout, output);
    assert.equal(stderr.includes('driver: '), complaining.includes(name), stderr);
  });
}
