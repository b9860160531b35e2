/** A worker thread that performs sequences on the model of the driver: it is told one after the other, and answers in JSON. */

import { parentPort, workerData } from 'node:worker_threads';
import { ModelMachine, type ModelMachineOptions } from '../../machine/model.ts';
import { BlockProbe } from './blocks.ts';
import type { Answer, Request } from './course.ts';
import { performOn, type Stage } from './performer.ts';

const port = parentPort;
if (!port) throw new Error('this program is a worker thread of the fuzzer');
/** Milliseconds after which a call that waits is given up. */
const PATIENCE = 60_000;

const machine = new ModelMachine(workerData as ModelMachineOptions);
const probe = new BlockProbe(machine.driver);
const stage: Stage = {
  driver: probe.driver,
  probe,
  messages: () => machine.driver.messages(),
  isAlarm: () => false,
  refusals: () =>
    machine
      .takeRefusals()
      .filter(({ error }) => error.category !== 'guest')
      .map(({ device, error }) => `${device}: ${error.message}`),
};
const answer = (what: Answer) => port.postMessage(JSON.stringify(what));

port.on('message', (line: string) => {
  machine.takeRefusals();
  machine.driver.interruptAfter(PATIENCE);
  const course = performOn(stage, JSON.parse(line) as Request, (index) => answer({ type: 'step', index }));
  machine.driver.interruptAfter();
  answer({ type: 'course', course });
});
answer({ type: 'ready', coverage: probe.title });
