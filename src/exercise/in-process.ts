/** Runs tests in this process, on a machine that is in it too. */

import { setImmediate } from 'node:timers/promises';
import type { ModelMachine } from '../machine/model.ts';
import type { Result, RunEvent } from './events.ts';
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
    const result = examine(event.result, machine);
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

/** A test during which a device model refused something has failed. */
function examine(result: Result, machine: ModelMachine): Result {
  const expected = (result.expects ?? []).map((source) => new RegExp(source));
  const refused = machine
    .takeRefusals()
    .filter(({ error }) => !expected.some((pattern) => pattern.test(error.message)))
    .map(({ device, error }) => `${device}: ${error.message}`);
  if (refused.length === 0) return result;
  const messages = [...result.messages, ...refused];
  if (result.status === 'failed') return { ...result, messages };
  const failure = { message: `the device model refused:\n  ${refused.join('\n  ')}` };
  return { ...result, status: 'failed', messages, failure };
}
