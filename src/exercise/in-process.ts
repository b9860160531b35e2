/** Runs tests in this process, on a machine that is in it too. */

import { setImmediate } from 'node:timers/promises';
import { orderFaults } from '../machine/faults.ts';
import type { ModelMachine } from '../machine/model.ts';
import type { Result, RunEvent } from './events.ts';
import { faultPort } from './fault-port.ts';
import { explained, failsAfterAll, judge } from './refusals.ts';
import { type RunOptions, runTests } from './runner.ts';
import type { Test } from './suite.ts';
import { TrafficMeter } from './traffic.ts';

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
  const traffic = () => machine.fabric.traffic().map((moved) => ({ ...moved }));
  const meter = new TrafficMeter(traffic());
  const target = {
    driver: machine.driver,
    devices: machine.cards.length,
    messages: () => machine.driver.messages(),
    traffic: async () => traffic(),
    faults: faultPort(async (order) => orderFaults(machine.cards, order)),
    observe: (note: (text: string) => void) => {
      machine.driver.kernel.observer = note;
    },
  };
  machine.takeRefusals();
  const testTrack = machine.trace?.recorder.track('tests');
  let reported: Result | undefined;
  const hold = (event: RunEvent) => {
    if (event.type === 'start') testTrack?.begin('test', event.id, {});
    if (event.type === 'result') reported = event.result;
    else emit(event);
  };
  await runTests(tests, target, options, hold, async (explain) => {
    const refusals = machine.takeRefusals().map(({ device, error }) => ({ device, message: error.message }));
    const judged = judge(reported as Result, refusals);
    const known = failsAfterAll(reported as Result, judged) ? explained(judged, explain()) : judged;
    const result = meter.add(known, traffic());
    results.push(result);
    testTrack?.end('test', { outcome: result.status, message: result.failure?.message });
    machine.trace?.recorder.flush();
    emit({ type: 'result', result });
    // a test may never wait for anything but virtual time: signals and the terminal have their turn here
    await setImmediate();
    signal?.throwIfAborted();
  });
  return results;
}
