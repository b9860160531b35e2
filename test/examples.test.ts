/** The examples, as somebody runs them who has just come: each does what it claims, and says so. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { outputs } from './example-outputs.ts';

const root = path.dirname(import.meta.dirname);
const folder = path.join(root, 'examples');

function node(...args: string[]) {
  return spawnSync(process.execPath, args, { encoding: 'utf8', cwd: root });
}

test('an example by node alone', () => {
  const { status, stdout, stderr } = node(path.join('examples', 'peer-copy.ts'));
  assert.equal(status, 0, stderr);
  assert.match(stdout, outputs['peer-copy.ts'] as RegExp);
  assert.equal(stderr, '');
});

test('every example is here', () => {
  assert.deepEqual(readdirSync(folder).sort(), Object.keys(outputs).sort());
});

for (const [name, output] of Object.entries(outputs)) {
  test(`${name} is read in a minute`, () => {
    assert.ok(readFileSync(path.join(folder, name), 'utf8').split('\n').length <= 60);
  });

  test(`${name} by sagrada run: neither driver nor devices have failed`, () => {
    const { status, stdout, stderr } = node('bin/sagrada.js', 'run', path.join('examples', name));
    assert.equal(status, 0, stderr);
    assert.match(stdout, output);
    // only the example of errors makes the driver warn of anything
    assert.equal(stderr.includes('driver: '), name === 'catch-an-error.ts', stderr);
  });
}
