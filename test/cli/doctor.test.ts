import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { after, test } from 'node:test';

const cli = path.join(import.meta.dirname, '..', '..', 'bin', 'sagrada.js');
const folder = mkdtempSync(path.join(tmpdir(), 'doctor-'));
after(() => rmSync(folder, { recursive: true, force: true }));

interface Finding {
  readonly what: string;
  readonly verdict: string;
  readonly found: string;
  readonly mend?: string;
}

function doctor(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, 'doctor', ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

function findings(...args: string[]) {
  const { status, stdout, stderr } = doctor('--json', ...args);
  assert.equal(stderr, '');
  const all = JSON.parse(stdout) as Finding[];
  return { status, of: (what: string) => all.find((finding) => finding.what === what) };
}

test('a cache that nothing may be written to is told, with what mends it', () => {
  const { status, of } = findings('--cache', '/proc/nowhere');
  assert.equal(status, 1);
  assert.equal(of('disk')?.verdict, 'bad');
  assert.match(of('disk')?.mend ?? '', /SAGRADA_CACHE/);
});

test('a program that is no QEMU is told', () => {
  const { status, of } = findings('--cache', folder, '--qemu', '/bin/ls');
  assert.equal(status, 1);
  assert.match(of('QEMU')?.found ?? '', /is no QEMU/);
});

test('nothing is written by looking, and what is not there yet is no error', () => {
  const cache = path.join(folder, 'none');
  const { status, of } = findings('--cache', cache);
  assert.equal(existsSync(cache), false);
  for (const what of ['QEMU', 'kernel backports', 'kernel stable', 'KVM']) {
    assert.equal(of(what)?.verdict, 'later', what);
    assert.match(of(what)?.mend ?? '', /^sagrada vm setup/, what);
  }
  assert.equal(status, of('set-up')?.verdict === 'bad' ? 1 : 0);
});

test('a folder of QEMU that is not whole counts as none', () => {
  const cache = path.join(folder, 'broken');
  mkdirSync(path.join(cache, 'qemu'), { recursive: true });
  const { of } = findings('--cache', cache);
  assert.equal(of('QEMU')?.verdict, 'later');
});

test('on a terminal or not, each thing is a line, and what mends it the next', () => {
  const { stdout } = doctor('--cache', folder);
  assert.match(stdout, /^✓ Node +v\d+/m);
  assert.match(stdout, /^· QEMU +not fetched yet\n +→ sagrada vm setup$/m);
  assert.match(stdout, /^model: sagrada exercise$/m);
});
