import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import type { Result } from '../../src/exercise/events.ts';
import { jsonReporter } from '../../src/exercise/report/json.ts';
import { junitReporter } from '../../src/exercise/report/junit.ts';
import { ktapReporter } from '../../src/exercise/report/ktap.ts';
import { type PrettyOptions, prettyReporter } from '../../src/exercise/report/pretty.ts';
import { seed } from '../seed.ts';
import { failed, result, written } from './scripted.ts';

const run: readonly Result[] = [
  result('dma: host to HBM'),
  failed('dma: both ways', 'up: 1 of 2 bytes differ\nsecond line', {
    messages: ['habanalabs: something'],
    failure: { message: 'up: 1 of 2 bytes differ\nsecond line', stack: 'Error\n    at x (/a/suites/dma.ts:3:1)' },
  }),
  result('p2p: card to card', { status: 'skipped', reason: 'needs 2 cards, this machine has 1' }),
];

function pretty(options: Partial<PrettyOptions> = {}) {
  return (write: (text: string) => void) =>
    prettyReporter(write, { live: false, colour: false, reproduce: (id) => `again ${id}`, ...options });
}

test('pretty: a line for each suite, failures with their reason and how to repeat them, a summary', () => {
  assert.equal(
    written(pretty(), run),
    `machine gaudi on vm, Linux 7.3.4, seed 1
FAILED dma: both ways
  up: 1 of 2 bytes differ
  second line
  at x (/a/suites/dma.ts:3:1)
  driver: habanalabs: something
  again: again dma: both ways
✗ dma      1/2 passed, 1 failed 0.0 s
- p2p      0/1 passed, 1 skipped 0.0 s
1 passed, 1 failed, 1 skipped in 1.5 s
skipped 1: needs 2 cards, this machine has 1
failed:
  dma: both ways
`,
  );
});

test('pretty: a picture of who moved what to whom, where devices reached each other', () => {
  const mib = 2 ** 20;
  const host = { from: 'efa0', to: 'host', route: 'host', read: 3 * mib, written: 100 };
  const moved = [
    { from: 'efa0', to: 'gaudi0', route: 'switch', read: 0, written: 3 * mib },
    { from: 'efa0', to: 'gaudi1', route: 'switch', read: 6 * mib, written: 0 },
    host,
  ];
  const lines = written(pretty(), [result('p2p: a', { moved }), result('p2p: b', { moved: [host] })]).split('\n');
  const picture = lines.slice(lines.indexOf('across the switch:'));
  assert.deepEqual(picture, [
    'across the switch:',
    `  gaudi1 ──▶ efa0      6.0 MiB ${'█'.repeat(30)}`,
    `    efa0 ──▶ gaudi0    3.0 MiB ${'█'.repeat(15)}`,
    'to and from memory of the host:',
    `    host ──▶ efa0      6.0 MiB ${'█'.repeat(30)}`,
    '    efa0 ──▶ host        200 B █',
    '',
  ]);
  assert.ok(!written(pretty(), [result('dma: a', { moved: [host] })]).includes('──▶'));
});

test('pretty: a terminal sees the running test, and nothing of it stays', () => {
  const text = written(pretty({ live: true }), run);
  const rewrite = '\r\u001b[2K';
  assert.ok(text.includes(`${rewrite}  2/3 dma: both ways ...`));
  const stays = text.split('\n').map((line) => line.split(rewrite).at(-1));
  assert.equal(stays.join('\n'), written(pretty(), run));
});

test('pretty: after two seconds a terminal sees how fast it goes and how much time is left', () => {
  let clock = 0;
  const text = written(pretty({ live: true, now: () => (clock += 500) }), run);
  assert.ok(text.includes('  1/3 '));
  const [, rate, left] = /2\/3, ([\d.]+)\/s, (\d+) s left/.exec(text) ?? [];
  assert.equal(rate, undefined, 'too early');
  clock = 0;
  const slow = written(pretty({ live: true, now: () => (clock += 4000) }), run);
  assert.match(slow, /2\/3, 0\.1\/s, \d+ s left dma: both ways \.\.\./);
  assert.equal(left, undefined);
});

test('pretty: in a narrow terminal the running test is cut, so that its line can be taken back', () => {
  const rewrite = '\r\u001b[2K';
  for (const columns of [1, 12, 20]) {
    const text = written(pretty({ live: true, columns: () => columns }), run);
    const shown = text
      .split(rewrite)
      .slice(1)
      .map((part) => part.split('\r')[0] ?? '');
    const running = shown.filter((part) => part !== '' && !part.includes('\n'));
    assert.ok(
      running.every((part) => part.length < columns),
      running.join('|'),
    );
    const stays = text.split('\n').map((line) => line.split(rewrite).at(-1));
    assert.equal(stays.join('\n'), written(pretty(), run));
  }
});

test('pretty: a suite says what it is about', () => {
  const text = written(pretty({ about: (suite) => `All of ${suite}.` }), run);
  assert.match(text, /^- p2p {6}0\/1 passed, 1 skipped 0\.0 s {2}All of p2p\.$/m);
});

test('pretty: colours are only colours', () => {
  const coloured = written(pretty({ colour: true }), run);
  const plain = written(pretty(), run);
  assert.notEqual(coloured, plain);
  assert.equal(stripVTControlCharacters(coloured), plain);
});

test('pretty: a suite that was cut short is told of at the end', () => {
  let text = '';
  const reporter = pretty()((part) => {
    text += part;
  });
  const [first, second] = run as [Result, Result];
  reporter.event({ type: 'plan', tests: [first, second] });
  reporter.event({ type: 'result', result: first });
  reporter.finish([first], 1);
  assert.match(text, /^✓ dma {6}1\/2 passed 0\.0 s$/m);
});

test('ktap: a subtest for each suite', () => {
  assert.equal(
    written(ktapReporter, run),
    `KTAP version 1
1..2
  KTAP version 1
  # Subtest: dma
  1..2
  ok 1 host to HBM
  # up: 1 of 2 bytes differ
  # second line
  # driver: habanalabs: something
  not ok 2 both ways
not ok 1 dma
  KTAP version 1
  # Subtest: p2p
  1..1
  ok 1 card to card # SKIP needs 2 cards, this machine has 1
ok 2 p2p
`,
  );
});

test('ktap: no name makes a directive or a line of its own', () => {
  const text = written(ktapReporter, [result('a: b # SKIP c\nok 7 d'), failed('a: e', 'why\nok 8 not a result')]);
  const results = text.split('\n').filter((line) => /^\s*(not )?ok/.test(line));
  assert.equal(results.length, 3);
  assert.ok(!text.includes('# SKIP'));
});

test('json: a line for the run, for each result, for the totals', () => {
  const lines = written(jsonReporter, run)
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(
    lines.map((line) => line.type),
    ['run', 'result', 'result', 'result', 'totals'],
  );
  assert.deepEqual(lines[0], { type: 'run', target: 'vm', machine: 'gaudi', system: 'Linux 7.3.4', seed: 1 });
  assert.deepEqual(lines[2], { type: 'result', ...run[1] });
  assert.deepEqual(lines[4], { type: 'totals', passed: 1, failed: 1, skipped: 1, seconds: 1.5 });
});

test('junit: suites, properties, failures and skips', () => {
  assert.equal(
    written(junitReporter, run),
    `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="sagrada" tests="3" failures="1" time="1.500">
  <testsuite name="dma" tests="2" failures="1" skipped="0" time="0.024">
    <properties>
      <property name="target" value="vm"/>
      <property name="machine" value="gaudi"/>
      <property name="system" value="Linux 7.3.4"/>
      <property name="seed" value="1"/>
    </properties>
    <testcase classname="dma" name="host to HBM" time="0.012"/>
    <testcase classname="dma" name="both ways" time="0.012"><failure message="up: 1 of 2 bytes differ&#10;second line">Error
    at x (/a/suites/dma.ts:3:1)
habanalabs: something</failure></testcase>
  </testsuite>
  <testsuite name="p2p" tests="1" failures="0" skipped="1" time="0.012">
    <properties>
      <property name="target" value="vm"/>
      <property name="machine" value="gaudi"/>
      <property name="system" value="Linux 7.3.4"/>
      <property name="seed" value="1"/>
    </properties>
    <testcase classname="p2p" name="card to card" time="0.012"><skipped message="needs 2 cards, this machine has 1"/></testcase>
  </testsuite>
</testsuites>
`,
  );
});

/**
 * A reader of the XML that is written here: elements, attributes, text; strict about all of it, and reading white space as
 * XML says (XML 1.0, sections 2.11 and 3.3.3).
 */
function parseXml(text: string): { names: string[]; attributes: string[]; texts: string[] } {
  const attributes: string[] = [];
  const names: string[] = [];
  const texts: string[] = [];
  const open: string[] = [];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML does not allow
  assert.doesNotMatch(text, /[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]/u);
  const references: Record<string, string> = {
    amp: '&',
    lt: '<',
    gt: '>',
    quot: '"',
    '#10': '\n',
    '#13': '\r',
    '#9': '\t',
  };
  const resolve = (raw: string) => {
    assert.doesNotMatch(raw, /[<"]/);
    return raw.replaceAll(/&([^;]*);?/g, (_, name: string) => {
      assert.ok(name in references, `reference &${name};`);
      return references[name] as string;
    });
  };
  let rest = text.replaceAll(/\r\n?/g, '\n').replace(/^<\?xml version="1\.0" encoding="UTF-8"\?>\n/, '');
  while (rest !== '') {
    const content = /^[^<]+/.exec(rest);
    if (content) {
      rest = rest.slice(content[0].length);
      texts.push(resolve(content[0].replaceAll('"', '&quot;')));
      continue;
    }
    const tag = /^<(\/?)(\w+)((?: \w+="[^"<]*")*)(\/?)>/.exec(rest);
    assert.ok(tag, `no element: ${rest.slice(0, 60)}`);
    const [whole, closing, name, list, empty] = tag as unknown as [string, string, string, string, string];
    rest = rest.slice(whole.length);
    if (closing) assert.equal(open.pop(), name);
    else {
      names.push(name);
      for (const [, value] of list.matchAll(/="([^"]*)"/g))
        attributes.push(resolve((value as string).replaceAll(/[\t\n]/g, ' ')));
      if (!empty) open.push(name);
    }
  }
  assert.deepEqual(open, []);
  return { names, attributes, texts };
}

test('junit: any text makes well-formed XML, and can be read again', () => {
  const hostile = fc.string({ unit: 'binary' });
  // control characters and halves of surrogate pairs have no place in XML
  const readable = (text: string) => text.replaceAll(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '?');
  fc.assert(
    fc.property(hostile, hostile, hostile, (name, message, line) => {
      const text = written(junitReporter, [failed('s: x', message, { name, messages: [line] })]);
      const { names, attributes, texts } = parseXml(text);
      assert.deepEqual(
        names.filter((n) => n !== 'property'),
        ['testsuites', 'testsuite', 'properties', 'testcase', 'failure'],
      );
      assert.ok(attributes.includes(readable(name)), 'the name');
      assert.ok(attributes.includes(readable(message)), 'the message');
      assert.ok(texts.includes(readable([message, line].join('\n'))), 'the text');
    }),
    { seed: seed(), numRuns: 300 },
  );
});

for (const [name, make] of [
  ['pretty', pretty()],
  ['ktap', ktapReporter],
  ['junit', junitReporter],
  ['json', jsonReporter],
] as const) {
  test(`${name}: a run of no tests is a report`, () => {
    assert.notEqual(written(make, []), '');
  });
}
