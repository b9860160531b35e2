/**
 * The suites on the model of the driver: each test of the exerciser is a test here, as it is on the kernels. Those that take long
 * are run on it where the model is compared with a kernel (test/exercise/exercise.vm.test.ts).
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Result } from '../../../src/exercise/events.ts';
import { runInProcess } from '../../../src/exercise/in-process.ts';
import { longTests } from '../../../src/exercise/long-tests.ts';
import type { Need } from '../../../src/exercise/needs.ts';
import type { Test } from '../../../src/exercise/suite.ts';
import { suites } from '../../../src/exercise/suites/index.ts';
import { ModelMachine } from '../../../src/machine/model.ts';
import { seed } from '../../seed.ts';

/** Which machine has what a test needs; undefined: none, as the model is of a kernel with CONFIG_PCI_P2PDMA that has memory. */
const MACHINES: Readonly<Record<Need, string | undefined>> = {
  p2p: 'gaudi-x2',
  importer: 'gaudi-x2',
  apart: 'gaudi-x2-apart',
  'no-host-routes': 'gaudi-x2',
  'no-p2p': undefined,
  shortage: undefined,
  nic: 'gaudi-x2-efa-x2',
  nics: 'gaudi-x2-efa-x2',
  'nic-apart': 'gaudi-efa-apart',
};
const machineFor = ({ options: { needs } }: Test) => (needs === undefined ? 'gaudi-x2' : MACHINES[needs]);
const tests = suites.flatMap((s) => s.tests).filter(({ id }) => !longTests.has(id));

for (const [name, list] of Map.groupBy(tests, machineFor)) if (name !== undefined) onModel(name, list);

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
