/** The file of results, with real processes: whatever happens to it or to them, what is in it stays, and the tests count. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Results, type RunDescription } from '../../src/exercise/coverage/results.ts';

const root = path.join(import.meta.dirname, '../..');
const cli = path.join(root, 'bin/sagrada.js');
const folder = mkdtempSync(path.join(tmpdir(), 'results-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string) => path.join(folder, name);

const description: RunDescription = {
  target: 'model',
  system: 'in this process',
  machine: 'gaudi',
  seed: 1,
  version: '1.0.0',
  options: '',
  whole: true,
  shard: 1,
  shards: 1,
};
const done = (id: string) =>
  ({ id, suite: 'a', name: id, status: 'passed', ms: 1, messages: [], points: [`point of ${id}`] }) as const;

/** A file with an earlier run of two tests. */
function filled(name: string): string {
  using results = new Results(at(name), true);
  const run = results.begin(description, new Date('2026-01-01T00:00:00Z'));
  run.result(done('a: 1'));
  run.result(done('a: 2'));
  run.end(1);
  return at(name);
}

/** The earlier run is whole. @returns tests of the others, the newest first */
function others(file: string): readonly number[] {
  using results = new Results(file, false);
  const runs = results.runs();
  const first = runs.at(-1);
  assert.ok(first && first.seconds === 1);
  assert.equal(results.tests(first).length, 2);
  assert.equal(results.reached(first, 'passed').length, 2);
  return runs.slice(0, -1).map((run) => results.tests(run).length);
}

const words = (...args: readonly string[]) => [cli, 'exercise', 'cb', '--grep', 'fresh|keeps', ...args];
const sagrada = (...args: readonly string[]) => spawnSync(process.execPath, args, { encoding: 'utf8' });

test('a process that is killed at any write leaves a file that is whole up to its last result', () => {
  const url = (file: string) => JSON.stringify(pathToFileURL(path.join(root, file)).href);
  const program = `
    import { DatabaseSync, StatementSync } from 'node:sqlite';
    import { keepRun } from ${url('src/exercise/coverage/keeping.ts')};
    let left = Number(process.argv[2]);
    for (const [of, name] of [[DatabaseSync.prototype, 'exec'], [StatementSync.prototype, 'run']]) {
      const original = of[name];
      of[name] = function (...args) {
        if (left-- === 0) process.kill(process.pid, 'SIGKILL');
        return original.apply(this, args);
      };
    }
    const kept = keepRun(process.argv[1], ${JSON.stringify(description)}, (text) => { throw new Error(text); });
    for (const id of ['b: 1', 'b: 2', 'b: 3'])
      kept.result({ id, suite: 'b', name: id, status: 'passed', ms: 1, messages: [], points: ['p of ' + id, 'q'] });
    kept.end(2);
    kept[Symbol.dispose]();`;
  const found: (number | undefined)[] = [];
  for (let writes = 0; ; writes++) {
    assert.ok(writes < 100);
    const file = filled(`killed${writes}`);
    const args = ['--input-type=module', '-e', program, file, String(writes)];
    const { signal, status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    const [tests] = others(file);
    found.push(tests);
    {
      // and it is still one that runs are kept in
      using results = new Results(file, true);
      results.begin(description).end(1);
    }
    assert.equal(others(file).length, tests === undefined ? 1 : 2);
    if (signal === 'SIGKILL') continue;
    assert.equal(status, 0, stderr);
    break;
  }
  assert.deepEqual([...new Set(found)], [undefined, 0, 1, 2, 3]);
});

test('a run that is killed is in the history as far as it came', async () => {
  const file = filled('run');
  const child = spawn(process.execPath, words('--json', '--results', file), { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.on('exit', (_, signal) => resolve(signal)));
  let output = '';
  for await (const data of child.stdout) {
    output += data;
    if (output.includes('"type":"result"')) child.kill('SIGKILL');
  }
  assert.equal(await ended, 'SIGKILL');
  const { stdout } = sagrada(cli, 'history', '--results', file);
  assert.match(stdout, /^\S+ {2}model gaudi-x2: [12] passed, 0 failed, 0 skipped, \d+ points, cut off$/m);
  assert.ok((others(file)[0] ?? 0) > 0);
});

test('two runs at a time keep what is theirs in one file', async () => {
  const file = filled('two');
  const run = () =>
    new Promise((resolve) => {
      spawn(process.execPath, words('--results', file), { stdio: ['ignore', 'ignore', 'inherit'] }).on('exit', resolve);
    });
  assert.deepEqual(await Promise.all([run(), run()]), [0, 0]);
  assert.deepEqual(others(file), [2, 2]);
});

test('files of other versions, and what is damaged, are left as they are; the tests count', () => {
  const newer = at('newer');
  new DatabaseSync(newer).exec('CREATE TABLE run (a); PRAGMA user_version = 2');
  const text = at('text');
  writeFileSync(text, 'no results\n'.repeat(500));
  const damaged = filled('damaged');
  // the header stays, what follows does not
  writeFileSync(damaged, readFileSync(damaged).fill(0xa5, 2000));
  for (const [file, why] of [
    [newer, /kept by a newer version of this program/],
    [text, /file is not a database/],
    [damaged, /malformed/],
  ] as const) {
    const before = readFileSync(file);
    const { status, stdout, stderr } = sagrada(...words('--results', file));
    assert.equal(status, 0);
    assert.match(stdout, /2 passed/);
    assert.match(stderr, /^sagrada: this run is not kept any further: [^\n]+\n$/);
    assert.match(stderr, why);
    const { status: failed, stderr: said } = sagrada(cli, 'history', '--results', file);
    assert.equal(failed, 1);
    assert.match(said, /^sagrada: [^\n]+\n$/);
    assert.deepEqual(readFileSync(file), before);
  }
  // a run in which nothing can pass fails, whether it is kept or not
  assert.equal(sagrada(...words('--results', newer, '--machine', 'none')).status, 1);
});

/** Runs a shell's line with `mount` at hand, which nobody else sees. */
function mounted(line: string) {
  const own = process.getuid?.() === 0 ? ['--mount'] : ['--mount', '--map-root-user'];
  const { status, stdout, stderr } = spawnSync('unshare', [...own, 'sh', '-c', line], { encoding: 'utf8' });
  return { status, stdout, stderr };
}
const shell = (list: readonly string[]) => list.map((word) => `'${word}'`).join(' ');

test('on a full disk a run goes on, says so once, and earlier runs stay', () => {
  const small = at('small');
  mkdirSync(small);
  const file = path.join(small, 'results');
  const copy = at('copy');
  const run = `'${process.execPath}' ${shell(words('--results', file))}`;
  // room for what a run takes, and not for much more
  const { status, stdout, stderr } = mounted(
    `mount -t tmpfs -o size=140k none ${small} && cp ${filled('first')} ${file} && ${run} && ` +
      `dd if=/dev/zero of=${small}/rest bs=4k 2>/dev/null; ${run} && for end in '' -wal; do cp ${file}$end ${copy}$end; done`,
  );
  assert.equal(status, 0, stderr);
  assert.equal(stdout.match(/2 passed, 0 failed/g)?.length, 2);
  assert.match(stderr, /^sagrada: this run is not kept any further: [^\n]*(full|no space left)[^\n]*\n$/);
  assert.ok(others(copy).includes(2));
});

test('a file that may only be read is read, also with what a killed run has left beside it', () => {
  const kept = at('kept');
  mkdirSync(kept);
  const file = path.join(kept, 'results');
  {
    using results = new Results(filled('source'), true);
    results.begin(description).result(done('a: 3'));
    // as they are while a run goes on
    for (const end of ['', '-wal']) copyFileSync(at(`source${end}`), `${file}${end}`);
  }
  const history = `'${process.execPath}' ${shell([cli, 'history', '--results', file])}`;
  const run = `'${process.execPath}' ${shell(words('--results', file))}`;
  const { status, stdout, stderr } = mounted(
    `mount --bind ${kept} ${kept} && mount -o remount,ro,bind ${kept} && ${history} && ${run}`,
  );
  assert.equal(status, 0, stderr);
  assert.match(stdout, /: 1 passed, .* cut off\n.*\n.*: 2 passed,/);
  assert.match(stdout, /2 passed, 0 failed, 0 skipped in/);
  assert.match(stderr, /^sagrada: this run is not kept any further: [^\n]+\n$/);
  assert.deepEqual(readdirSync(kept).sort(), ['results', 'results-wal']);
});

test('a report that cannot be written to its end is told in one line and fails the run, which is kept', () => {
  const file = at('report');
  for (const format of ['pretty', 'ktap', 'junit', 'json']) {
    const { status, stdout, stderr } = sagrada(
      ...words('--results', file, '--format', format, '--output', '/dev/full'),
    );
    assert.equal(status, 1);
    assert.match(stdout, /2 passed, 0 failed/);
    assert.match(stderr, /^sagrada: --output \/dev\/full: no space left [^\n]+\n$/);
  }
  for (const args of [['history'], ['report'], ['compare', 'last', 'last']]) {
    const line = `'${process.execPath}' ${shell([cli, ...args, '--results', file])} > /dev/full`;
    const { status, stderr } = spawnSync('sh', ['-c', line], { encoding: 'utf8' });
    assert.equal(status, 1);
    assert.match(stderr, /^sagrada: cannot write to standard output: no space left [^\n]+\n$/);
  }
  using results = new Results(file, false);
  assert.ok(results.runs().every((run) => run.seconds !== undefined && results.tests(run).length === 2));
});
