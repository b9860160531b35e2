import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { compiler, include, skip } from '../uapi/header.ts';
import { golden } from './golden.ts';

test('the bytes that the runtime is compared with are those of a C program', { skip }, () => {
  const dir = mkdtempSync(join(tmpdir(), 'sagrada-golden-'));
  try {
    const program = join(dir, 'golden');
    const source = new URL('golden.c', import.meta.url).pathname;
    const build = spawnSync(compiler as string, ['-isystem', include as string, '-o', program, source]);
    assert.equal(build.status, 0, String(build.stderr));
    const { stdout } = spawnSync(program, { encoding: 'utf8' });
    const printed = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ') as [string, string]);
    const shortened = printed.map(([name, hex]) => [name, hex.replace(/(00)+$/, '')]);
    assert.deepEqual(Object.fromEntries(shortened), golden);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
