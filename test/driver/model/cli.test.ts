import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import { describe, it } from 'node:test';

const bin = path.join(import.meta.dirname, '..', '..', '..', 'bin', 'sagrada.js');

function exercise(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, 'exercise', '--on', 'model', ...args], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

describe('sagrada exercise --on model', () => {
  it('refuses a machine that does not exist in one line', () => {
    const { status, stdout, stderr } = exercise('info', '--machine', 'goudi');
    assert.equal(status, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /^[^\n]*no machine "goudi"[^\n]*\n$/);
  });

  it('runs what is selected and says so', () => {
    const { status, stdout } = exercise('cb', '--grep', 'handles differ', '--format', 'json');
    assert.equal(status, 0);
    const lines = stdout.trim().split('\n');
    const results = lines.map((line) => JSON.parse(line)).filter(({ type }) => type === 'result');
    assert.deepEqual(
      results.map(({ id, status: outcome }) => ({ id, outcome })),
      [{ id: 'cb: handles differ', outcome: 'passed' }],
    );
  });
});
