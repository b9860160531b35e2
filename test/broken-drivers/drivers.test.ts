import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suites } from '../../src/exercise/suites/index.ts';
import { type BrokenDriver, broken, brokenDrivers } from './drivers.ts';

const ids = suites.flatMap((suite) => suite.tests.map(({ id }) => id));

test('for every broken driver there are tests that should notice', () => {
  for (const { name, tests } of brokenDrivers) {
    assert.ok(
      ids.some((id) => tests.test(id)),
      `${name}: ${tests}`,
    );
  }
});

test('names are of one driver each', () => {
  assert.equal(new Set(brokenDrivers.map(({ name }) => name)).size, brokenDrivers.length);
});

const row: BrokenDriver = {
  name: 'x',
  what: '',
  file: '',
  function: 'second',
  find: /put\(a\);/,
  by: '',
  tests: /./,
};
const SOURCE = `int second(int a);

static int first(int a)
{
	put(a);
	return second(a);
}

static int second(int a,
		  int b)
{
	put(a);
	return 0;
}
`;

test('a function is changed, and no other that has the same in it', () => {
  const text = broken(SOURCE, row);
  assert.equal(text.split('put(a);').length, 2);
  assert.match(text, /first\(int a\)\n\{\n\tput\(a\);/);
});

test('a function that is not there, or has not what is to be changed, is told', () => {
  assert.throws(() => broken(SOURCE, { ...row, function: 'third' }), /x: there is no function third/);
  assert.throws(() => broken(SOURCE, { ...row, find: /get/ }), /x: nothing in second matches/);
});
