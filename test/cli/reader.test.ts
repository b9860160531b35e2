import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { after, test } from 'node:test';

const cli = path.join(import.meta.dirname, '..', '..', 'bin', 'sagrada.js');
const folder = mkdtempSync(path.join(tmpdir(), 'reader-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const results = path.join(folder, 'results.sqlite');

/** Runs the command with a reader that reads so many lines and goes. @returns the status of the command, and standard error */
function read(lines: number, ...args: string[]) {
  const script = `"$@" | head -n ${lines} >/dev/null; echo \${PIPESTATUS[0]}`;
  const command = [process.execPath, cli, ...args, '--results', results];
  const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', ...command], { encoding: 'utf8' });
  return { status: Number(stdout), stderr };
}

test('a reader that goes away ends a run as a signal would, without a trace of the stack', () => {
  assert.deepEqual(read(1, 'exercise', 'info', 'cb', 'memory'), { status: 141, stderr: '' });
});

test('who reads all of it gets the status', () => {
  assert.deepEqual(read(10_000, 'exercise', 'cb'), { status: 0, stderr: '' });
  assert.deepEqual(read(10_000, 'report'), { status: 0, stderr: '' });
});

test('a report that nobody reads is none', () => {
  read(10_000, 'exercise', 'cb');
  const { status, stderr } = read(0, 'report');
  assert.ok(status === 141 || status === 0, 'it may have been written before the reader went');
  assert.equal(stderr, '');
});
