import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { changes } from '../../../src/exercise/coverage/changes.ts';
import { keepRun } from '../../../src/exercise/coverage/keeping.ts';
import { Results, type RunDescription } from '../../../src/exercise/coverage/results.ts';
import { lastRuns, runsNamed } from '../../../src/exercise/coverage/summary.ts';
import { UserError } from '../../../src/sim/errors.ts';
import { failed, result } from '../scripted.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-results-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;
const fresh = () => path.join(folder, `${files++}.sqlite`);

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

/** A file with one run of two tests. */
function filled(): string {
  const file = fresh();
  using results = new Results(file, true);
  const run = results.begin(description);
  run.result(result('dma: up', { points: ['CB CREATE success', 'CB INFO EINVAL'] }));
  run.result(failed('dma: down', 'broken', { points: ['CB DESTROY success'] }));
  run.end(2);
  return file;
}

test('what is no results file is refused in one line, and left as it is', () => {
  const text = fresh();
  writeFileSync(text, 'this is no database, and long enough to be taken for the header of one'.repeat(20));
  const other = fresh();
  new DatabaseSync(other).exec('CREATE TABLE mine (a)');
  const newer = fresh();
  new DatabaseSync(newer).exec('PRAGMA user_version = 99');
  for (const file of [text, other, newer, folder]) {
    const before = file === folder ? undefined : readFileSync(file);
    for (const write of [true, false])
      assert.throws(
        () => new Results(file, write),
        (error) => error instanceof UserError && !error.message.includes('\n') && error.message.includes(file),
      );
    if (before) assert.deepEqual(readFileSync(file), before);
  }
});

test('a file that is cut off is refused, or told of when it is read', () => {
  const file = filled();
  truncateSync(file, 5000);
  assert.throws(() => {
    using results = new Results(file, false);
    for (const run of results.runs()) results.tests(run);
  }, UserError);
});

test('without a file there are no runs', () => {
  assert.throws(() => new Results(fresh(), false), /no run has been kept/);
});

test('a run is read as it was written', () => {
  using results = new Results(filled(), false);
  const run = results.run('last');
  assert.equal(run.seconds, 2);
  assert.equal(run.machine, 'gaudi');
  assert.deepEqual(
    results.tests(run).map(({ id, status, message }) => [id, status, message]),
    [
      ['dma: down', 'failed', 'broken'],
      ['dma: up', 'passed', undefined],
    ],
  );
  assert.deepEqual(
    results
      .reached(run, 'passed')
      .map(({ point }) => point)
      .sort(),
    ['CB CREATE success', 'CB INFO EINVAL'],
  );
  assert.deepEqual(results.reached(run, 'failed'), [{ point: 'CB DESTROY success', test: 'dma: down' }]);
});

test('a program that is killed in the middle of a run leaves what it had, and all earlier runs', () => {
  const file = filled();
  const module = pathToFileURL(path.join(import.meta.dirname, '../../../src/exercise/coverage/results.ts')).href;
  const program = `import { Results } from ${JSON.stringify(module)};
    const run = new Results(${JSON.stringify(file)}, true).begin(${JSON.stringify(description)});
    const base = { suite: 'a', status: 'passed', ms: 1, messages: [] };
    for (let i = 0; ; i++) {
      run.result({ ...base, id: 'a: ' + i, name: String(i), points: ['CB CREATE success'] });
      if (i === 20) process.kill(process.pid, 'SIGKILL');
    }`;
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', program]);
  assert.equal(signal, 'SIGKILL');
  using results = new Results(file, true);
  const [cut, first] = results.runs();
  assert.ok(cut && first);
  assert.equal(cut.seconds, undefined);
  assert.equal(results.tests(cut).length, 21);
  assert.equal(results.tests(first).length, 2);
  results.begin(description).end(1);
  assert.equal(results.runs().length, 3);
});

test('where a run cannot be kept that is said once, and the run goes on', () => {
  const said: string[] = [];
  for (const file of [folder, '/proc/none/results.sqlite']) {
    said.length = 0;
    using kept = keepRun(file, description, (text) => said.push(text));
    kept.result(result('a: b'));
    kept.end(1);
    assert.equal(said.length, 1, said.join('\n'));
    assert.ok(!said[0]?.includes('\n'));
  }
});

test('where the disk is full that is said once, and earlier results stay', () => {
  const file = filled();
  const said: string[] = [];
  {
    using kept = keepRun(file, description, (text) => said.push(text));
    kept.result(result('a: b'));
    // a file that cannot be written any more, as on a full disk
    const lock = new DatabaseSync(file);
    lock.exec("CREATE TRIGGER full BEFORE INSERT ON test BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END");
    lock.close();
    kept.result(result('a: c'));
    kept.result(result('a: d'));
    kept.end(1);
  }
  assert.equal(said.length, 1);
  assert.match(said[0] ?? '', /disk is full/);
  using results = new Results(file, false);
  assert.deepEqual(
    results.runs().map((run) => results.tests(run).length),
    [1, 2],
  );
});

test('two programs may keep runs in one file at a time', () => {
  const file = fresh();
  using first = new Results(file, true);
  using second = new Results(file, true);
  const [a, b] = [first.begin(description), second.begin(description)];
  for (let i = 0; i < 5; i++) {
    a.result(result(`a: ${i}`));
    b.result(result(`b: ${i}`));
  }
  const runs = first.runs();
  assert.equal(new Set(runs.map(({ id }) => id)).size, 2);
  assert.deepEqual(
    runs.map((run) => second.tests(run).length),
    [5, 5],
  );
});

test('runs of other files are taken once', () => {
  const [one, two] = [filled(), fresh()];
  copyFileSync(one, two);
  using merged = new Results(':memory:', true);
  for (const file of [one, two, one]) {
    using other = new Results(file, false);
    merged.merge(other);
  }
  const runs = merged.runs();
  assert.equal(runs.length, 1);
  using original = new Results(one, false);
  const [run] = runs;
  assert.ok(run);
  assert.deepEqual(merged.tests(run), original.tests(original.run('last')));
  assert.deepEqual(merged.reached(run, 'failed'), original.reached(original.run('last'), 'failed'));
});

test('a run is named by the beginning of its id, if only one begins so', () => {
  using results = new Results(':memory:', true);
  results.begin(description, new Date('2026-01-02T03:04:05Z'));
  results.begin(description, new Date('2026-01-03T03:04:05Z'));
  assert.equal(results.run('20260102').id, '20260102T030405');
  assert.throws(() => results.run('202601'), /2 runs begin with/);
  assert.throws(() => results.run('x'), /no run "x"/);
});

test('of each target the last whole run counts, and what was run in part since', () => {
  using results = new Results(':memory:', true);
  let day = 1;
  const add = (more: Partial<RunDescription>) => {
    results.begin({ ...description, ...more }, new Date(Date.UTC(2026, 0, day++)));
  };
  add({});
  add({ whole: false });
  add({});
  add({ whole: false });
  add({ target: 'vm', shard: 1, shards: 2 });
  add({ target: 'vm', shard: 2, shards: 2 });
  const days = lastRuns(results.runs()).map(({ began }) => Number(began.slice(8, 10)));
  assert.deepEqual(days.sort(), [3, 4, 5, 6]);
  // results of another version show nothing of this one
  add({ version: '2.0.0', whole: false });
  assert.deepEqual(
    lastRuns(results.runs())
      .map(({ began }) => Number(began.slice(8, 10)))
      .sort(),
    [5, 6, 7],
  );
});

test('a comparison tells what is broken, mended, gone, new, slower, and which points', () => {
  using results = new Results(':memory:', true);
  const [a, b] = [results.begin(description, new Date(1)), results.begin(description, new Date(2000))];
  a.result(result('s: breaks', { points: ['p1'] }));
  a.result(failed('s: is mended', 'x'));
  a.result(result('s: goes'));
  a.result(result('s: slow', { ms: 100 }));
  b.result(failed('s: breaks', 'why', { points: ['p1'] }));
  b.result(result('s: is mended', { points: ['p2'] }));
  b.result(result('s: comes'));
  b.result(result('s: slow', { ms: 1000 }));
  const [second, first] = results.runs();
  assert.ok(first && second);
  const found = changes(results, [first], [second]);
  assert.deepEqual(
    found.broken.map(({ id, message }) => [id, message]),
    [['s: breaks', 'why']],
  );
  assert.deepEqual(
    found.mended.map(({ id }) => id),
    ['s: is mended'],
  );
  assert.deepEqual([found.gone, found.added], [['s: goes'], ['s: comes']]);
  assert.deepEqual([found.lost, found.gained], [['p1'], ['p2']]);
  assert.deepEqual(found.times, [{ id: 's: slow', before: 100, after: 1000 }]);
  assert.equal(found.same, 1);
  assert.deepEqual(
    found.sides.map(({ passed, failed: bad, points }) => [passed, bad, points]),
    [
      [3, 1, 1],
      [3, 1, 1],
    ],
  );
});

test('what passed and is skipped now is no silent matter', () => {
  using results = new Results(':memory:', true);
  const [a, b] = [results.begin(description, new Date(1)), results.begin(description, new Date(2000))];
  a.result(result('s: a'));
  b.result({ ...result('s: a'), status: 'skipped', reason: 'no card' });
  const [second, first] = results.runs();
  assert.ok(first && second);
  const { skipped, broken } = changes(results, [first], [second]);
  assert.deepEqual([skipped.map(({ id, message }) => [id, message]), broken], [[['s: a', 'no card']], []]);
});

test('two kernels are compared by their releases: the parts of a run count together, and a patched driver apart', () => {
  using results = new Results(':memory:', true);
  const add = (system: string, shard: number, shards: number, id: string, time: number) => {
    const run = results.begin({ ...description, target: 'vm', system, shard, shards }, new Date(time));
    run.result(result(id, { points: [`point of ${id}`] }));
    run.end(3);
  };
  add('Linux 6.12.107+deb13-amd64, kvm', 1, 2, 's: a', 1000);
  add('Linux 6.12.107+deb13-amd64, kvm', 2, 2, 's: b', 3000);
  add('Linux 7.3.4+deb13-amd64, kvm', 1, 1, 's: a', 5000);
  add('Linux 7.3.4+deb13-amd64, own driver habanalabs with x.patch (0123abcd), kvm', 1, 1, 's: c', 7000);
  const compared = changes(results, runsNamed(results, '6.12'), runsNamed(results, '7.3'));
  assert.deepEqual(
    compared.sides.map(({ runs, passed, seconds }) => [runs.length, passed, seconds]),
    [
      [2, 2, 6],
      [1, 1, 3],
    ],
  );
  assert.deepEqual([compared.gone, compared.lost], [['s: b'], ['point of s: b']]);
  assert.deepEqual(changes(results, runsNamed(results, '7.3'), runsNamed(results, '0123')).added, ['s: c']);
  for (const name of ['5.10', 'model', '']) assert.throws(() => runsNamed(results, name), UserError);
});
