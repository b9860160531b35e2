/** `sagrada run` on the model: the program is as it would be by node alone, and the machine's complaints are not lost. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { processesWith } from '../machine/processes.ts';

const sagrada = path.join(import.meta.dirname, '..', '..', 'bin', 'sagrada.js');
// outside of the package: `sagrada` must be found from anywhere
const folder = mkdtempSync(path.join(tmpdir(), 'run-test-'));
after(() => rmSync(folder, { recursive: true }));

function program(name: string, text: string): string {
  const file = path.join(folder, name);
  writeFileSync(file, text);
  return file;
}

function run(...args: string[]) {
  return spawnSync(process.execPath, [sagrada, 'run', ...args], { encoding: 'utf8' });
}

const open =
  "import { CommandStream, connect, Device } from 'sagrada';\nusing device = Device.open({ driver: connect() });\n";

test('a program that is not there is one line', () => {
  const { status, stderr } = run(path.join(folder, 'missing.ts'));
  assert.equal(status, 125);
  assert.match(stderr, /^sagrada: no such program: .*missing\.ts\n$/);
});

test('a folder is no program', () => {
  const { status, stderr } = run(folder);
  assert.equal(status, 125);
  assert.match(stderr, /^sagrada: no such program: /);
});

test('no program at all is wrong usage', () => {
  assert.equal(run().status, 2);
});

test('a machine that does not exist is one line', () => {
  const { status, stderr } = run('--machine', 'gaudi-x3', program('nothing.js', ''));
  assert.equal(status, 125);
  assert.match(stderr, /^sagrada: no machine "gaudi-x3"/);
});

test('options of the guest are not taken silently', () => {
  const { status, stderr } = run('--on', 'model', '--memory', '3G', program('nothing.js', ''));
  assert.equal(status, 125);
  assert.match(stderr, /^sagrada: --memory is about the guest: it goes with --on vm\n$/);
});

test('a syntax error names file and line', () => {
  const { status, stdout, stderr } = run(program('syntax.ts', 'console.log(1);\nconst x = ;\n'));
  assert.equal(status, 1);
  assert.match(stderr, /syntax\.ts:2/);
  assert.equal(stdout, '');
});

test('what a program throws is shown with where', () => {
  const { status, stderr } = run(program('throws.ts', 'interface A { a: 1 }\nthrow new Error("mine");\n'));
  assert.equal(status, 1);
  assert.match(stderr, /throws\.ts:2[\s\S]*Error: mine/);
});

test('a rejection that nobody catches fails', () => {
  assert.equal(run(program('rejects.ts', `${open}void Promise.reject(new Error('late'));`)).status, 1);
});

test('its exit status is ours', () => {
  assert.equal(run(program('exit.ts', `${open}process.exit(3);`)).status, 3);
});

test('a signal that ends it is a status as a shell says it', () => {
  assert.equal(
    run(program('kill.ts', "process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000);")).status,
    143,
  );
});

test('it gets its arguments, also those that look like ours, its input, and is the main module', () => {
  const file = program('args.ts', 'console.log(JSON.stringify([process.argv.slice(2), import.meta.main]));');
  assert.deepEqual(JSON.parse(run(file, 'a', '--on', 'vm', '--', '-x').stdout), [
    ['a', '--on', 'vm', '--', '-x'],
    true,
  ]);
});

test('it has the machine it was given, not the one it names itself', () => {
  const file = program(
    'machine.ts',
    "import { connect } from 'sagrada';\nconsole.log(connect({ machine: 'gaudi-x2' }).accelerators().length);",
  );
  assert.equal(run('--machine', 'gaudi', file).stdout, '1\n');
  assert.equal(run(file).stdout, '2\n');
});

test('those who connect twice speak with the same cards', () => {
  const file = program('twice.ts', `${open}console.log(connect() === device.driver);`);
  assert.equal(run(file).stdout, 'true\n');
});

test('what the driver warned of is told at the end; a mistake of the program fails nothing', () => {
  const text = `${open}try { device.createCb(1 << 30); } catch (error) { console.log(error.code); }`;
  const { status, stdout, stderr } = run(program('warned.ts', text));
  assert.equal(stdout, 'EINVAL\n');
  assert.match(stderr, /^sagrada: driver: habanalabs .*CB size \d+ must be less than/);
  assert.equal(status, 0);
});

test('what no model does fails the run, though the program ends well', () => {
  // how REPEAT loops is not public, so the model refuses it and the queue stands still
  const text = `${open}
const stream = new CommandStream().packet('REPEAT', { start: true, jump: 0 });
await device.wait(device.submit({ queue: 'DMA_0_0', stream }), { timeout: 100 }).catch(() => console.log('stuck'));`;
  const { status, stdout, stderr } = run(program('refused.ts', text));
  assert.equal(stdout, 'stuck\n', stderr);
  assert.match(stderr, /^sagrada: gaudi0: unimplemented: .*REPEAT/m);
  assert.equal(status, 125);
});

test('a program that never ends is ended with us, by Ctrl-C and the like', async () => {
  const file = program('never.ts', `${open}console.log('up');\nfor (;;) device.poll(0n);`);
  const child = spawn(process.execPath, [sagrada, 'run', file], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.kill('SIGINT');
  const [code] = await once(child, 'exit');
  assert.equal(code, 130);
  assert.deepEqual(processesWith(file), []);
});
