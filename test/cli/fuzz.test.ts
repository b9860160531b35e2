import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { Store } from '../../src/exercise/fuzz/store.ts';

const sagrada = path.join(import.meta.dirname, '..', '..', 'bin', 'sagrada.js');
const folder = mkdtempSync(path.join(tmpdir(), 'fuzz-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string) => path.join(folder, name);

const run = (...args: string[]) => spawnSync(process.execPath, [sagrada, ...args], { encoding: 'utf8' });
const fuzz = (...args: string[]) => run('fuzz', ...args);

const steps = `r0 = open_compute() {card: 0}
r1 = cb_create(r0) {size: 4096, flags: 0}
r2 = cb_create(r0) {size: 0x200001, flags: 0}`;

function withFinding(name: string): string {
  using store = new Store(at(name), true);
  store.begin({ seed: 7, target: 'model,vm', system: 'Linux of a test', machine: 'gaudi', version: '0' });
  const title = 'cb_create: model EINVAL, vm ok';
  store.find({ kind: 'difference', about: title, title, detail: 'step by step\n  > r2', steps, steady: true });
  return at(name);
}

describe('sagrada fuzz, asked for what cannot be', () => {
  const wrong: readonly [args: readonly string[], says: RegExp, status: number][] = [
    [['--for', '10'], /a time such as 90s, 10m or 8h is expected/, 2],
    [['--for', '-1s'], /a time such as/, 2],
    [['--seed', 'x'], /a whole number/, 2],
    [['--on', 'host'], /model, vm or model,vm is expected/, 2],
    [['--only', 'cb_creat'], /no operation "cb_creat".*cb_create/s, 2],
    [['--on', 'model', '--kernel', 'stable'], /--kernel is about the guest/, 1],
    [['--machine', 'none', '--corpus', at('machine.sqlite')], /machine none has no card/, 1],
    [['--machine', 'nothing', '--corpus', at('machine.sqlite')], /nothing/, 1],
    [['--corpus', at('no/such/folder')], /no\/such\/folder: unable to open/, 1],
    [['list', '--corpus', at('none.sqlite')], /none\.sqlite: nothing has been kept in it/, 1],
    [['show', '1', '--corpus', at('none.sqlite')], /none\.sqlite: nothing has been kept in it/, 1],
    [['show', 'x'], /a whole number of at least 1/, 2],
  ];
  for (const [args, says, status] of wrong) {
    test(args.map((word) => word.replace(folder, '')).join(' '), () => {
      const done = fuzz(...args);
      assert.match(done.stderr, says);
      assert.equal(done.status, status, done.stderr);
      assert.equal(done.stdout, '');
    });
  }

  test('a file of something else is one line, and no guest is started', () => {
    writeFileSync(at('text'), 'no tables at all, but some text\n'.repeat(200));
    for (const args of [['list'], ['show', '1'], ['--on', 'vm', '--for', '1s']]) {
      const { stderr, status } = fuzz(...args, '--corpus', at('text'));
      assert.match(stderr, /^sagrada: .*text: file is not a database\n$/);
      assert.equal(status, 1);
    }
  });

  test('a finding that is not there', () => {
    const { stderr, status } = fuzz('show', '9', '--corpus', withFinding('nine.sqlite'));
    assert.equal(stderr, 'sagrada: no finding 9: see "sagrada fuzz list"\n');
    assert.equal(status, 1);
  });
});

describe('sagrada fuzz', () => {
  test('performs so many sequences, goes on where it was, and says how far it came', () => {
    const corpus = at('corpus.sqlite');
    const args = ['--sequences', '8', '--seed', '1', '--machine', 'gaudi', '--corpus', corpus];
    const first = fuzz(...args);
    assert.equal(first.status, 0, first.stdout + first.stderr);
    assert.equal(first.stderr, '', 'quiet when not on a terminal');
    assert.match(first.stdout, /^machine gaudi on model, .*, seed 1\n/);
    assert.match(first.stdout, /\n8 sequences, [\d.]+\/s, 0 new findings, corpus \d+, .*\d+ points.*\n$/);
    const second = fuzz(...args, '--json');
    assert.equal(second.status, 0, second.stderr);
    const events = second.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.equal(events[0]?.type, 'begin');
    assert.ok(Number(events[0]?.corpus) > 0);
    const end = events.at(-1);
    assert.equal(end?.type, 'end');
    assert.equal(end.sequences, 8);
    assert.deepEqual(end.findings, { new: 0, known: 0 });
    const list = fuzz('list', '--corpus', corpus);
    assert.equal(list.stdout, 'nothing has been found by 16 sequences in 2 runs\n');
  });

  test('is ended by Ctrl-C, and what it has come to is kept', async () => {
    const corpus = at('ended.sqlite');
    const child = spawn(process.execPath, [sagrada, 'fuzz', '--json', '--machine', 'gaudi', '--corpus', corpus]);
    let said = '';
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (data: Buffer) => {
        said += data.toString();
        // the first progress is told when the first sequences are done
        if (said.includes('"progress"')) resolve();
      });
    });
    child.kill('SIGINT');
    const [status] = (await once(child, 'close')) as [number];
    assert.equal(status, 130);
    assert.match(said, /"type":"end"/);
    using store = new Store(corpus, false);
    assert.ok(store.corpus.length > 0);
    assert.ok(store.totals().sequences > 0);
  });
});

describe('findings', () => {
  test('are listed, a line each', () => {
    const { stdout, status } = fuzz('list', '--corpus', withFinding('list.sqlite'));
    assert.equal(stdout, '  1  difference  cb_create: model EINVAL, vm ok\n');
    assert.equal(status, 0);
    const [one] = fuzz('list', '--json', '--corpus', at('list.sqlite')).stdout.split('\n');
    assert.equal((JSON.parse(one ?? '') as { steps: string }).steps, steps);
  });

  test('are shown as programs that "sagrada run" runs', () => {
    const { stdout } = fuzz('show', '1', '--corpus', withFinding('show.sqlite'));
    assert.match(stdout, /^\/\/ Finding 1 \(difference\): cb_create: model EINVAL, vm ok\n/);
    assert.match(stdout, /sagrada run --on vm --machine gaudi finding-1\.ts/);
    writeFileSync(at('finding-1.ts'), stdout);
    const done = run('run', '--machine', 'gaudi', at('finding-1.ts'));
    assert.equal(done.status, 0, done.stderr);
    const lines = done.stdout.trimEnd().split('\n');
    assert.equal(lines.length, 3, done.stdout);
    assert.equal(lines[0], 'r0 = open_compute() {card: 0}: ok');
    assert.match(lines[1] ?? '', /^r1 = cb_create\(r0\) \{size: 4096, flags: 0\}: ok /);
    assert.match(lines[2] ?? '', /^r2 = cb_create\(r0\) \{size: 0x200001, flags: 0\}: EINVAL$/);
  });
});
