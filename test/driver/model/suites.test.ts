/**
 * The suites on the model of the driver: each test of the exerciser is a test here, as it is on the kernels. Those that take long
 * are run on it where the model is compared with a kernel (test/exercise/exercise.vm.test.ts).
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Result } from '../../../src/exercise/events.ts';
import { runInProcess } from '../../../src/exercise/in-process.ts';
import { longTests } from '../../../src/exercise/long-tests.ts';
import type { Test } from '../../../src/exercise/suite.ts';
import { suites } from '../../../src/exercise/suites/index.ts';
import { ModelMachine } from '../../../src/machine/model.ts';
import { seed } from '../../seed.ts';

/** Tests of things that the other machine has. */
const apart = suites.flatMap((s) => s.tests).filter(({ options }) => options.needs === 'apart');
/** The model is of a kernel with CONFIG_PCI_P2PDMA. */
const withP2p = ({ options }: Test) => options.needs !== 'no-p2p';
const together = suites
  .flatMap((s) => s.tests)
  .filter((candidate) => withP2p(candidate) && !apart.includes(candidate) && !longTests.has(candidate.id));

for (const [name, tests] of Object.entries({ 'gaudi-x2': together, 'gaudi-x2-apart': apart })) onModel(name, tests);

function onModel(name: string, tests: readonly Test[]): void {
  describe(`suites on the model of the driver, ${name}`, () => {
    let machine: ModelMachine;
    let results: ReadonlyMap<string, Result>;

    before(async () => {
      machine = new ModelMachine({ machine: name });
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
}
