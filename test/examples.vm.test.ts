/** The examples on the driver of a Linux kernel, all in one boot; and `sagrada run --on vm` as a person uses it. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { bundle } from '../src/exercise/bundle.ts';
import { cacheFolder } from '../src/os/cache.ts';
import { outputs } from './example-outputs.ts';

const root = path.dirname(import.meta.dirname);
const sagrada = path.join(root, 'bin', 'sagrada.js');
// not in /tmp: the guest has one of its own
mkdirSync(cacheFolder(), { recursive: true });
const folder = mkdtempSync(path.join(cacheFolder(), 'examples-'));
after(() => rmSync(folder, { recursive: true }));

function program(name: string, text: string): string {
  const file = path.join(folder, name);
  writeFileSync(file, text);
  return file;
}

test('every example says on a kernel what it says on the model', async () => {
  const names = Object.keys(outputs);
  const files: string[] = [];
  for (const name of names) files.push(await bundle(path.join(root, 'examples', name), folder));
  const script = `for file in ${files.join(' ')}; do node $file; printf '\\n== %d ==\\n' $?; done`;
  // It has what any of them needs.
  const args = [sagrada, 'vm', 'run', '--machine', 'gaudi-x2-efa-x2', '--', 'sh', '-c', script];
  const env = { ...process.env, SAGRADA_RUN: '{"on":"linux"}' };
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
  assert.equal(status, 0, stderr);
  const answers = stdout.split('\n== 0 ==\n');
  for (const [i, name] of names.entries())
    assert.match(answers[i] ?? '', outputs[name] as RegExp, `${name}: ${stderr}`);
  assert.equal(answers.length, names.length + 1, stdout);
});

test('a program in the guest has its arguments, its input, its status, and leaves nothing behind', () => {
  const file = program(
    'cat.ts',
    `import { connect, Device } from 'sagrada';
import { text } from 'node:stream/consumers';
using device = Device.open({ driver: connect({ machine: 'gaudi' }) });
const input: string = await text(process.stdin);
console.log(process.argv.slice(2), input, connect().accelerators().length);
process.exit(3);`,
  );
  const args = [sagrada, 'run', '--on', 'vm', file, 'a', '--on'];
  const { pid, status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', input: 'of the host' });
  assert.equal(stdout, "[ 'a', '--on' ] of the host 2\n", stderr);
  assert.equal(status, 3, stderr);
  assert.ok(!existsSync(path.join(cacheFolder(), 'run', String(pid))));
});

test('a syntax error is told before a guest is booted', () => {
  const file = program('syntax.ts', 'console.log(1);\nconst x = ;\n');
  const { status, stdout, stderr } = spawnSync(process.execPath, [sagrada, 'run', '--on', 'vm', file], {
    encoding: 'utf8',
  });
  assert.equal(status, 125);
  assert.match(stderr, /^sagrada: .*syntax\.ts:2:11: Unexpected ";"\n$/);
  assert.equal(stdout, '');
});

test('a module that is not there is told before a guest is booted', () => {
  const { status, stderr } = spawnSync(
    process.execPath,
    [sagrada, 'run', '--on', 'vm', program('imports.ts', "import './nonesuch.ts';")],
    { encoding: 'utf8' },
  );
  assert.equal(status, 125);
  assert.match(stderr, /^sagrada: .*imports\.ts:1:8: Could not resolve "\.\/nonesuch\.ts"\n$/);
});
