import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { Results } from '../../../src/exercise/coverage/results.ts';
import { type FindingDescription, Store } from '../../../src/exercise/fuzz/store.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'fuzz-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string) => path.join(folder, name);

const run = { seed: 1, target: 'model', system: 'a model', machine: 'gaudi', version: '0' };
const text = 'r0 = open_compute() {card: 0}';
const finding: FindingDescription = {
  kind: 'difference',
  about: 'cb_info: model ok, vm EINVAL',
  title: 'cb_info: model ok, vm EINVAL',
  detail: 'more',
  steps: text,
  steady: true,
};
const oneLine = (file: string, says: RegExp) => (error: Error) => {
  assert.equal(error.name, 'UserError');
  assert.doesNotMatch(error.message, /\n/);
  assert.ok(error.message.startsWith(`${file}: `), error.message);
  assert.match(error.message, says);
  return true;
};

function made(name: string): string {
  using store = new Store(at(name), true);
  store.begin(run);
  store.add(text, new Map([['a model', ['point A', 'point B']]]));
  store.find(finding);
  store.progress(5, 2.5);
  return at(name);
}

describe('a file that cannot be used', () => {
  test('is not there: nothing is made where one only reads', () => {
    assert.throws(() => new Store(at('none.sqlite'), false), oneLine(at('none.sqlite'), /nothing has been kept/));
    assert.throws(() => statSync(at('none.sqlite')), { code: 'ENOENT' });
  });

  test('is in a folder that is not there', () => {
    const file = at('no/such/folder.sqlite');
    assert.throws(() => new Store(file, true), oneLine(file, /unable to open/));
  });

  test('is something else, which stays as it is', () => {
    const file = at('text.sqlite');
    writeFileSync(file, 'these are no tables, but more than a page of text\n'.repeat(100));
    const before = readFileSync(file);
    for (const write of [true, false]) assert.throws(() => new Store(file, write), oneLine(file, /not a database/));
    assert.deepEqual(readFileSync(file), before);
  });

  test('holds the results of "sagrada exercise", which stay as they are', () => {
    const file = at('results.sqlite');
    new Results(file, true)[Symbol.dispose]();
    for (const write of [true, false]) assert.throws(() => new Store(file, write), oneLine(file, /not a file of/));
    using results = new Results(file, false);
    assert.equal(results.runs().length, 0);
  });

  test('is cut off', () => {
    const file = made('cut.sqlite');
    truncateSync(file, Math.floor(statSync(file).size / 2));
    assert.throws(
      () => {
        using store = new Store(file, false);
        store.findings();
        store.totals();
      },
      oneLine(file, /malformed|not a database/),
    );
  });

  test('has pages that are spoilt', () => {
    const whole = readFileSync(made('whole.sqlite'));
    for (let page = 4096; page < whole.length; page += 4096) {
      const file = at(`spoilt-${page}.sqlite`);
      const bytes = Buffer.from(whole);
      bytes.fill(0xff, page, page + 4096);
      writeFileSync(file, bytes);
      try {
        using store = new Store(file, true);
        store.begin(run);
        store.findings();
        store.add('r0 = allocate() {pages: 1}', new Map([['a model', ['point C']]]));
        store.find({ ...finding, about: 'another' });
      } catch (error) {
        oneLine(file, /./)(error as Error);
      }
    }
  });
});

describe('what is kept', () => {
  test('is there again, and is not added a second time', () => {
    const file = made('kept.sqlite');
    using store = new Store(file, true);
    store.begin(run);
    assert.equal(store.corpus.length, 1);
    assert.deepEqual([...store.reached('a model')].sort(), ['point A', 'point B']);
    assert.equal(store.add(text, new Map([['a model', ['point B', 'point A']]])), 0);
    assert.equal(store.add(text, new Map([['a kernel', ['point A']]])), 1);
    assert.equal(store.corpus.length, 1);
    assert.deepEqual(store.totals(), { runs: 2, sequences: 5, seconds: 2.5 });
  });

  test('of a finding: how often it was seen, and the sequence that was first', () => {
    const file = made('findings.sqlite');
    using store = new Store(file, true);
    store.begin({ ...run, seed: 2 });
    assert.equal(store.again('difference', 'something else'), undefined);
    assert.equal(store.again('alarm', finding.about), undefined);
    assert.equal(store.again('difference', finding.about), 1);
    assert.deepEqual(store.find({ ...finding, steps: 'r0 = allocate() {pages: 2}' }), { number: 1, isNew: false });
    assert.deepEqual(store.find({ ...finding, about: 'something else' }), { number: 2, isNew: true });
    const [first, second] = store.findings();
    assert.equal(first?.count, 3);
    assert.equal(first?.steps, text);
    assert.equal(first?.seed, 1);
    assert.equal(second?.seed, 2);
  });

  test('sequences of an operation that is no more are passed over', () => {
    const file = made('old.sqlite');
    {
      using store = new Store(file, true);
      store.begin(run);
      store.add('r0 = allocate() {pages: 1}', new Map([['a model', ['point D']]]));
    }
    const bytes = readFileSync(file);
    const place = bytes.indexOf('allocate');
    bytes.write('allocats', place);
    writeFileSync(file, bytes);
    using store = new Store(file, true);
    assert.equal(store.corpus.length, 1);
  });

  test('outlives the program that is killed while it writes', async () => {
    const file = at('killed.sqlite');
    const module = new URL('../../../src/exercise/fuzz/store.ts', import.meta.url).href;
    const program = `
      const { Store } = await import(${JSON.stringify(module)});
      const store = new Store(${JSON.stringify(file)}, true);
      store.begin(${JSON.stringify(run)});
      for (let i = 0; ; i++) {
        store.add('r0 = allocate() {pages: ' + i + '}', new Map([['a model', ['point ' + i]]]));
        store.find({ ...${JSON.stringify(finding)}, about: 'finding ' + i });
        console.log(i);
      }`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let told = '';
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (data: Buffer) => {
        told += data.toString();
        if (told.includes('\n20\n')) resolve();
      });
    });
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
    const last = Number(told.trimEnd().split('\n').at(-1));
    // another copy, as a backup would have it: the log beside it goes with it
    copyFileSync(file, at('copy.sqlite'));
    copyFileSync(`${file}-wal`, at('copy.sqlite-wal'));
    for (const name of ['killed.sqlite', 'copy.sqlite']) {
      using store = new Store(at(name), true);
      assert.ok(store.corpus.length >= last + 1, `${store.corpus.length} of ${last + 1}`);
      assert.ok(store.findings().length >= last + 1);
    }
  });
});
