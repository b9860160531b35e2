/** Two runs on the model of one seed: the same events at the same virtual times, to the nanosecond. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInProcess } from '../../src/exercise/in-process.ts';
import { suites } from '../../src/exercise/suites/index.ts';
import { ModelMachine } from '../../src/machine/model.ts';

/** Threads, processes, resets, copies from card to card: what the order of things could depend on. */
const chosen = suites
  .filter(({ name }) => ['dmabuf', 'threads', 'reset'].includes(name))
  .flatMap(({ tests }) => tests.filter(({ options }) => options.needs !== 'no-p2p' && options.needs !== 'apart'))
  .filter((_, i) => i % 6 === 1);

/** @returns a line for each event of the machine, with its time, and for each result */
async function run(seed: number): Promise<readonly string[]> {
  using machine = new ModelMachine({ machine: 'gaudi-x2' });
  const { driver } = machine;
  const lines: string[] = [];
  await runInProcess(chosen, machine, { seed, timeout: 60 }, (event) => {
    if (event.type === 'start') {
      lines.push(event.id);
      driver.kernel.observer = (text) => void lines.push(`${driver.now()} ${text}`);
    } else if (event.type === 'result') lines.push(`${event.result.status} ${event.result.messages.join('; ')}`);
  });
  lines.push(`end ${driver.now()}`);
  return lines;
}

test('the same seed gives the same run, to the event', async () => {
  const first = await run(1);
  const second = await run(1);
  assert.ok(first.length > 300, `only ${first.length} events were seen`);
  const differs = first.findIndex((line, i) => line !== second[i]);
  assert.equal(differs, -1, `event ${differs}: ${first[differs]} and then ${second[differs]}`);
  assert.equal(second.length, first.length);
});
