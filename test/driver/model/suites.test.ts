/** The suites on the model of the driver: each test of the exerciser is a test here, as it is on the kernels. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Result } from '../../../src/exercise/events.ts';
import { runInProcess } from '../../../src/exercise/in-process.ts';
import { suites } from '../../../src/exercise/suites/index.ts';
import { ModelMachine } from '../../../src/machine/model.ts';
import { seed } from '../../seed.ts';

describe('suites on the model of the driver, two cards', () => {
  const tests = suites.flatMap((s) => s.tests);
  let machine: ModelMachine;
  let results: ReadonlyMap<string, Result>;

  before(async () => {
    machine = new ModelMachine({ machine: 'gaudi-x2' });
    const list = await runInProcess(tests, machine, { seed: seed(), timeout: 120 }, () => {});
    results = new Map(list.map((result) => [result.id, result]));
  });

  for (const { id } of tests) {
    test(id, () => {
      const result = results.get(id);
      assert.ok(result, 'it was not run');
      const why = [result.failure?.message, ...result.messages.map((line) => `driver: ${line}`)].join('\n');
      assert.equal(result.status, 'passed', why);
    });
  }

  after(() => machine[Symbol.dispose]());
});
