/** Runs tests in this process, on a machine that is in it too. */

import { setImmediate } from 'node:timers/promises';
import type { ModelMachine } from '../machine/model.ts';
import type { Result, RunEvent } from './events.ts';
import { judge } from './refusals.ts';
import { type RunOptions, runTests } from './runner.ts';
import type { Test } from './suite.ts';

/**
 * @param signal ends the run between two tests. @returns the results, which `emit` has been told of too
 * @throws the signal's reason
 */
export async function runInProcess(
  tests: readonly Test[],
  machine: ModelMachine,
  options: RunOptions,
  emit: (event: RunEvent) => void,
  signal?: AbortSignal,
): Promise<Result[]> {
  const results: Result[] = [];
  const target = {
    driver: machine.driver,
    devices: machine.cards.length,
    messages: () => machine.driver.messages(),
  };
  machine.takeRefusals();
  const examined = (event: RunEvent) => {
    if (event.type !== 'result') {
      emit(event);
      return;
    }
    const refusals = machine.takeRefusals().map(({ device, error }) => ({ device, message: error.message }));
    const result = judge(event.result, refusals);
    results.push(result);
    emit({ type: 'result', result });
  };
  await runTests(tests, target, options, examined, async () => {
    // a test may never wait for anything but virtual time: signals and the terminal have their turn here
    await setImmediate();
    signal?.throwIfAborted();
  });
  return results;
}
