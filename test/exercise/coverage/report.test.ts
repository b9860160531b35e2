import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { points } from '../../../src/exercise/coverage/points.ts';
import { Results } from '../../../src/exercise/coverage/results.ts';
import { lastRuns, type Summary, summarise } from '../../../src/exercise/coverage/summary.ts';
import { coverageFormats } from '../../../src/exercise/report/coverage.ts';
import { seed } from '../../seed.ts';
import { failed, result } from '../scripted.ts';

interface Side {
  readonly target: string;
  readonly system: string;
  readonly passed: readonly string[];
  readonly failed?: readonly string[];
}

function summaryOf(...sides: readonly Side[]): Summary {
  using results = new Results(':memory:', true);
  for (const { target, system, passed, failed: broken = [] } of sides) {
    const run = results.begin({
      target,
      system,
      machine: 'gaudi-x2',
      seed: 1,
      version: '1.0.0',
      options: '',
      whole: true,
      shard: 1,
      shards: 1,
    });
    run.result(result('a: passes', { points: passed }));
    if (broken.length > 0) run.result(failed('a: fails', 'because', { points: broken }));
    run.end(1);
  }
  return summarise(results, lastRuns(results.runs()));
}

const verdict = (summary: Summary, call: string, operation: string) =>
  summary.operations.find((row) => row.call === call && row.operation === operation)?.verdicts[0]?.verdict;
const reachable = points.filter(({ beyond }) => beyond === undefined).map(({ id }) => id);

test('an operation is exercised when all was reached that can be, partly when some was, else not', () => {
  const free = points.filter(({ call, operation }) => call === 'CB' && operation === 'DESTROY').map(({ id }) => id);
  const model = (passed: readonly string[], broken: readonly string[] = []) =>
    summaryOf({ target: 'model', system: 'in process', passed, failed: broken });
  assert.equal(verdict(model(free), 'CB', 'DESTROY'), 'exercised');
  assert.equal(verdict(model(free.slice(1)), 'CB', 'DESTROY'), 'partly');
  assert.equal(verdict(model([]), 'CB', 'DESTROY'), 'not');
  assert.equal(verdict(model([], free), 'CB', 'DESTROY'), 'not', 'only by a test that failed');
  assert.equal(verdict(model(reachable), 'MEMORY', 'MAP_BLOCK'), 'refused');
  assert.equal(verdict(model(reachable), 'WAIT_CS', ''), 'exercised', 'what is beyond reach is not asked for');
});

test('what one target has not reached is told with that target, what only failed tests reached as failed', () => {
  const text = coverageFormats.text(
    summaryOf(
      { target: 'model', system: 'in process', passed: reachable },
      {
        target: 'vm',
        system: 'Linux 7.3.4, tcg',
        passed: reachable.filter((id) => id !== 'CB DESTROY EINVAL' && id !== 'CB INFO success'),
        failed: ['CB INFO success'],
      },
    ),
  );
  assert.match(text, /vm 7\.3\.4/);
  assert.match(text, /DESTROY: EINVAL \[\d\]\n/);
  assert.match(text, /INFO: success \[\d\] failed\n/);
  assert.match(text, /needs a kernel that runs out of memory:\n {3,4}CS ENOMEM/);
});

test('no line of the text is longer than a line of mail, whatever was reached', () => {
  const some = fc.subarray(points.map(({ id }) => id));
  const side = fc.record({
    target: fc.constantFrom('model', 'vm'),
    system: fc.constantFrom('Linux 7.3.4+deb13-amd64, with much that was done to it, one thing after the other', 'x'),
    passed: some,
    failed: some,
  });
  fc.assert(
    fc.property(fc.array(side, { minLength: 1, maxLength: 3 }), (sides) => {
      for (const line of coverageFormats.text(summaryOf(...sides)).split('\n'))
        assert.ok(line.length <= 72 && line === line.trimEnd(), line);
    }),
    { seed: seed(), numRuns: 20 },
  );
});

test('the page is one file, and names that hold markup are text in it', () => {
  const page = coverageFormats.html(
    summaryOf({ target: 'model', system: '<script>alert(1)</script> & more', passed: [] }),
  );
  assert.doesNotMatch(page, /<script|<link|<img|src=|href=|https?:/);
  assert.ok(page.includes('&lt;script&gt;alert(1)&lt;/script&gt; &amp; more'));
  for (const point of points)
    assert.ok(page.includes(point.what.replaceAll('&', '&amp;').replaceAll('>', '&gt;')), point.id);
});

test('tables of the Markdown have the same number of cells in each row', () => {
  const page = coverageFormats.markdown(summaryOf({ target: 'model', system: 'a | b', passed: [] }));
  for (const table of page.split(/\n\n/).filter((part) => part.startsWith('|'))) {
    const widths = table
      .trim()
      .split('\n')
      .map((row) => row.replaceAll('\\|', '').split('|').length);
    assert.equal(new Set(widths).size, 1, table);
  }
});

test('the JSON has every point with its state', () => {
  const found = JSON.parse(
    coverageFormats.json(summaryOf({ target: 'model', system: 'x', passed: ['CB INFO success'] })),
  );
  const states = new Map<string, string>();
  for (const { points: list } of found.operations)
    for (const { point, states: of } of list) states.set(point.id, of[0]);
  assert.equal(states.size, points.length);
  assert.equal(states.get('CB INFO success'), 'reached');
  assert.equal(states.get('CB INFO EINVAL'), 'not');
  assert.equal(states.get('CS ENOMEM'), 'beyond');
});

test('any number of kernels fits the width of a mail', () => {
  const sides = [...Array(9).keys()].map((i) => ({ target: 'vm', system: `Linux 7.${i}.0, tcg`, passed: reachable }));
  const text = coverageFormats.text(summaryOf({ target: 'model', system: 'in process', passed: [] }, ...sides));
  for (const line of text.split('\n')) assert.ok(line.length <= 72, line);
  for (let i = 1; i <= 10; i++) assert.match(text, new RegExp(`^DRM_IOCTL_HL_INFO .*\\[${i}\\]`, 'm'));
});

test('a comparison of the model and a kernel counts for that kernel, and the machines of a target together', () => {
  const kernel = 'Linux 7.3.4, tcg';
  const both = `the model of the driver in this process and ${kernel}`;
  const { targets } = summaryOf(
    { target: 'vm', system: kernel, passed: [] },
    { target: 'model,vm', system: both, passed: [] },
  );
  assert.deepEqual(
    targets.map(({ name, system, machine }) => ({ name, system, machine })),
    [{ name: 'vm 7.3.4', system: kernel, machine: 'gaudi-x2' }],
  );
});

test('what a driver of the user’s was put to does not count for the kernel’s own', () => {
  const stock = 'Linux 7.3.4, tcg';
  const one = 'Linux 7.3.4, own driver habanalabs with a (b).patch (0123abcd), tcg';
  const other = 'Linux 7.3.4, own driver habanalabs.ko (deadbeef), tcg';
  const { targets } = summaryOf(...[stock, one, other, one].map((system) => ({ target: 'vm', system, passed: [] })));
  assert.deepEqual(targets.map(({ name }) => name).sort(), [
    'vm 7.3.4',
    'vm 7.3.4 with driver 0123abcd',
    'vm 7.3.4 with driver deadbeef',
  ]);
});
