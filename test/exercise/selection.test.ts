import assert from 'node:assert/strict';
import { test } from 'node:test';
import { longTests } from '../../src/exercise/long-tests.ts';
import { chosenTests } from '../../src/exercise/selection.ts';

const ALL = { suites: [], seed: 1, timeout: 60 };
const ids = (config: Parameters<typeof chosenTests>[0]) => chosenTests(config).map(({ id }) => id);

test('what takes long is named as its tests are, and is all that a brief run leaves out', () => {
  const [all, brief] = [ids(ALL), ids({ ...ALL, brief: true })];
  for (const id of longTests) assert.ok(all.includes(id), `no test "${id}"`);
  assert.deepEqual(
    brief,
    all.filter((id) => !longTests.has(id)),
  );
});

test('a long test that is named runs in a brief run too', () => {
  const [id = ''] = longTests;
  assert.deepEqual(ids({ ...ALL, brief: true, only: [id] }), [id]);
});
