import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-report-'));
after(() => rmSync(folder, { recursive: true }));
const cli = path.join(import.meta.dirname, '../../bin/sagrada.js');

function sagrada(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

const file = (name: string) => path.join(folder, name);
const exercise = (results: string, ...args: readonly string[]) =>
  sagrada('exercise', 'cb', '--format', 'json', '--results', results, ...args);

test('what is no results file is told of in one line', () => {
  writeFileSync(file('text'), 'no database'.repeat(1000));
  for (const command of [['report'], ['history'], ['compare', 'a', 'b'], ['report', '--merge', file('text')]]) {
    const { status, stdout, stderr } = sagrada(
      ...command,
      '--results',
      command.length > 2 && command[0] === 'report' ? file('new') : file('text'),
    );
    assert.equal(status, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /^sagrada: .*text: [^\n]+\n$/);
  }
});

test('a part that does not exist is refused', () => {
  for (const shard of ['0/2', '3/2', '1/0', '1', 'x/y', '-1/2']) {
    const { status, stderr } = exercise(file('none'), `--shard=${shard}`);
    assert.equal(status, 2);
    assert.match(stderr, /I\/N/);
  }
});

test('a run goes on when it cannot be kept, and says so once', () => {
  const { status, stdout, stderr } = exercise(file('text'), '--grep', 'fresh');
  assert.equal(status, 0);
  assert.match(stdout, /"passed":1/);
  assert.match(stderr, /^sagrada: this run is not kept any further: [^\n]+\n$/);
});

test('parts that are put together are the whole', () => {
  const ids = (output: string) =>
    output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .filter(({ type }) => type === 'result')
      .map(({ id }) => id as string);
  const parts = [1, 2].map((i) => ids(exercise(file(`part${i}`), '--shard', `${i}/2`).stdout));
  const whole = ids(exercise(file('whole')).stdout);
  assert.deepEqual(parts.flat().sort(), [...whole].sort());
  assert.ok(parts.every((part) => part.length > 0));
  const summary = (...args: readonly string[]) => JSON.parse(sagrada('report', '--json', ...args).stdout);
  const merged = summary('--merge', file('part1'), file('part2'));
  assert.deepEqual(
    merged.operations.map(({ verdicts }: { verdicts: unknown }) => verdicts),
    summary('--results', file('whole')).operations.map(({ verdicts }: { verdicts: unknown }) => verdicts),
  );
  assert.equal(merged.targets[0].passed, whole.length);
});

test('history lists runs, compare finds two of the same suite alike, and a report is written to a file', () => {
  exercise(file('two'));
  exercise(file('two'));
  const history = JSON.parse(sagrada('history', '--json', '--results', file('two')).stdout);
  assert.equal(history.length, 2);
  assert.equal(history[0].failed, 0);
  const [after_, before] = history.map(({ id }: { id: string }) => id);
  const found = JSON.parse(sagrada('compare', before, after_, '--json', '--results', file('two')).stdout);
  assert.deepEqual([found.broken, found.gone, found.added, found.lost, found.gained], [[], [], [], [], []]);
  assert.equal(found.same, history[0].passed);
  const page = file('page.html');
  assert.equal(sagrada('report', '--results', file('two'), '--format', 'html', '--output', page).status, 0);
  assert.match(readFileSync(page, 'utf8'), /^<!DOCTYPE html>/);
});
