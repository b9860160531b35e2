/** Tests that need what a machine may not have: left out there, and said. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runAgreement } from '../../src/exercise/agreement/run.ts';
import type { RunEvent } from '../../src/exercise/events.ts';
import { jsonReporter } from '../../src/exercise/report/json.ts';
import { ktapReporter } from '../../src/exercise/report/ktap.ts';
import { prettyReporter } from '../../src/exercise/report/pretty.ts';
import { runTests } from '../../src/exercise/runner.ts';
import { suite } from '../../src/exercise/suite.ts';
import { values } from '../../src/uapi/rows.ts';
import { IMPORTER_PATH, importerFeatures, importerIoctls } from '../../src/uapi/sagrada/importer.ts';
import { refuse } from '../runtime/fake-driver.ts';
import { eventsOf, result, ScriptedTarget } from './scripted.ts';

const FEATURE = values(importerFeatures);
const BOTH = FEATURE.SAGRADA_IMPORTER_P2PDMA | FEATURE.SAGRADA_IMPORTER_MMAP;

const tests = suite('s', '', (declare) => {
  declare('any', () => {});
  for (const needs of ['p2p', 'no-p2p', 'apart', 'importer', 'nic', 'nics', 'nic-apart'] as const)
    declare(needs, () => {}, { needs });
}).tests;

/** A target with two cards; `ports`: above each of them. */
function target(features: number | undefined, ports: readonly [string, string]): ScriptedTarget {
  const made = new ScriptedTarget();
  made.devices = 2;
  made.driver.cards = 2;
  const { accelerators } = made.driver;
  made.driver.accelerators = () =>
    accelerators.call(made.driver).map((card, i) => ({ ...card, bridges: [ports[i] as string] }));
  const { open } = made.driver;
  made.driver.open = (path: string) =>
    path === IMPORTER_PATH && features === undefined ? refuse('ENOENT') : open.call(made.driver, path);
  made.driver.on(importerIoctls.INFO.request, () => importerIoctls.INFO.argument.encode({ features: features ?? 0 }));
  return made;
}

async function planned(made: ScriptedTarget): Promise<string[]> {
  const events: RunEvent[] = [];
  await runTests(tests, made, { seed: 1, timeout: 60 }, (event) => events.push(event));
  const [plan] = events;
  assert.ok(plan?.type === 'plan');
  const ran = events.flatMap((event) => (event.type === 'result' ? [event.result.name] : []));
  assert.deepEqual(
    ran,
    plan.tests.map(({ name }) => name),
  );
  const left = (plan.leftOut ?? []).flatMap((one) => one.tests);
  assert.equal(left.length + ran.length, tests.length);
  return ran;
}

test('what runs where', async () => {
  assert.deepEqual(await planned(target(undefined, ['a', 'a'])), ['any']);
  assert.deepEqual(await planned(target(0, ['a', 'a'])), ['any', 'no-p2p', 'importer']);
  assert.deepEqual(await planned(target(BOTH, ['a', 'a'])), ['any', 'p2p', 'importer']);
  assert.deepEqual(await planned(target(FEATURE.SAGRADA_IMPORTER_P2PDMA, ['a', 'a'])), ['any', 'importer']);
  assert.deepEqual(await planned(target(BOTH, ['a', 'b'])), ['any', 'apart', 'importer']);
  // the kernel lets them reach each other
  const trusted = BOTH | FEATURE.SAGRADA_IMPORTER_HOST_ROUTES;
  assert.deepEqual(await planned(target(trusted, ['a', 'b'])), ['any', 'importer']);
});

test('what runs where there are network cards', async () => {
  const withNics = (features: number, cards: readonly [string, string], nics: readonly string[]) => {
    const made = target(features, cards);
    made.driver.nics = nics.map((port, i) => ({
      name: `efa_${i}`,
      path: `/dev/infiniband/uverbs${i}`,
      pciAddress: `0000:0${i + 5}:00.0`,
      bridges: [port],
    }));
    return planned(made);
  };
  assert.deepEqual(await withNics(BOTH, ['a', 'b'], ['a']), ['any', 'apart', 'importer', 'nic']);
  assert.deepEqual(await withNics(BOTH, ['a', 'a'], ['a', 'a']), ['any', 'p2p', 'importer', 'nic', 'nics']);
  assert.deepEqual(await withNics(BOTH, ['a', 'a'], ['a', 'b']), ['any', 'p2p', 'importer', 'nic']);
  assert.deepEqual(await withNics(BOTH, ['a', 'b'], ['c']), ['any', 'apart', 'importer', 'nic-apart']);
  assert.deepEqual(await withNics(0, ['a', 'a'], ['a', 'a']), ['any', 'no-p2p', 'importer']);
});

test('the importer is let go before the tests run', async () => {
  const made = target(BOTH, ['a', 'a']);
  await planned(made);
  assert.equal(made.driver.open_.size, 0);
});

const plan: RunEvent = { type: 'plan', tests: [], leftOut: [{ reason: 'they need more', tests: ['s: a', 's: b'] }] };

test('every report says how many are left out, and why', () => {
  const reports = [
    [ktapReporter, /^# left out 2: they need more$/m],
    [jsonReporter, /^\{"type":"left-out","reason":"they need more","tests":\["s: a","s: b"\]\}$/m],
    [
      (write: (text: string) => void) => prettyReporter(write, { live: false, colour: false, reproduce: () => '' }),
      /^left out 2: they need more$/m,
    ],
  ] as const;
  for (const [make, expected] of reports) {
    let text = '';
    const reporter = make((part) => {
      text += part;
    });
    reporter.event(plan);
    reporter.finish([], 0);
    assert.match(text, expected);
  }
});

test('a test that one of two targets leaves out is no difference between them', async () => {
  const side = (name: string, events: readonly RunEvent[]) => ({
    target: name,
    run: async (emit: (event: RunEvent) => void, only?: readonly string[]) => {
      for (const event of events) {
        if (event.type !== 'result' || (only?.includes(event.result.id) ?? true)) emit(event);
      }
      return [];
    },
  });
  const lacking = (id: string): RunEvent[] => [
    { type: 'plan', tests: [], leftOut: [{ reason: '', tests: [id] }] },
    { type: 'end' },
  ];
  const having = (id: string) => eventsOf([result(id)]);
  const compare = async (first: readonly RunEvent[], second: readonly RunEvent[]) =>
    (
      await runAgreement(
        side('model', first),
        side('vm', second),
        () => {},
        () => {},
      )
    ).map(({ status }) => status);
  assert.deepEqual(await compare(lacking('s: a'), having('s: a')), ['passed']);
  assert.deepEqual(await compare(having('s: a'), lacking('s: a')), []);
  // but one that is just missing is
  assert.deepEqual(await compare(lacking('s: b'), having('s: a')), ['failed']);
  const lost = having('s: a').filter(({ type }) => type !== 'result');
  assert.deepEqual(await compare(having('s: a'), lost), ['failed']);
});
