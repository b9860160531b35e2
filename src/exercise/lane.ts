/**
 * A worker thread of `lanes.ts`: for each list of tests it is told, runs them on a machine of their own, and tells each event
 * as a line of JSON; an empty message says that the list is done.
 */

import { parentPort } from 'node:worker_threads';
import { ModelMachine, type ModelMachineOptions } from '../machine/model.ts';
import { MemoryPool } from '../os/memory-pool.ts';
import { runInProcess } from './in-process.ts';
import { chosenTests, type RunConfig } from './selection.ts';

const port = parentPort;
if (!port) throw new Error('this program is a worker thread of the exerciser');
/** A list of tests, and where they run. */
interface LaneMessage {
  readonly config: RunConfig;
  readonly machine: ModelMachineOptions;
}

const pool = new MemoryPool();
port.on('message', async ({ config, machine: options }: LaneMessage) => {
  // the end of the machine ends its trace: whoever is told that the list is done may end this thread
  {
    using machine = new ModelMachine({ ...options, memory: (name, size) => pool.make(name, size) });
    await runInProcess(chosenTests(config), machine, config, (event) => port.postMessage(JSON.stringify(event)));
  }
  port.postMessage('');
});
