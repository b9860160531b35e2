/**
 * The exerciser on a Linux system with the driver: runs the selected tests against the real kernel and writes one JSON event per
 * line to standard output. After each result it waits for a byte on standard input, so that whoever watches can look at
 * the devices between two tests; `EXPLAIN` asks for what the test did last, any other byte lets the next test begin. Started with a JSON `AgentConfig` as its only argument; bundled into one file for a guest.
 */

import process from 'node:process';
import { discover } from '../driver/linux/discover.ts';
import { LinuxDriver } from '../driver/linux/driver.ts';
import { KernelLog } from '../driver/linux/kernel-log.ts';
import { UserError } from '../sim/errors.ts';
import type { RunEvent } from './events.ts';
import { faultPort } from './fault-port.ts';
import { count } from './remains.ts';
import { ASK_TRAFFIC, type AskFaults, EXPLAIN, type FaultAnswer } from './remote.ts';
import { runTests } from './runner.ts';
import { chosenTests, type RunConfig } from './selection.ts';
import type { Moved, Target } from './suite.ts';
import { writeLine } from './write-line.ts';

export type AgentConfig = RunConfig;

const config = JSON.parse(process.argv[2] ?? '{}') as AgentConfig;
using log = new KernelLog();
const tests = chosenTests(config);
const target: Target = {
  driver: new LinuxDriver(),
  devices: discover().length,
  messages: () => log.take(),
  counts: () => count(),
  traffic: async () => {
    emit(ASK_TRAFFIC);
    return JSON.parse(await line()) as readonly Moved[];
  },
  faults: faultPort(async (order) => {
    emit({ type: 'faults', order });
    const answer = JSON.parse(await line()) as FaultAnswer;
    if ('refused' in answer) throw new UserError(answer.refused);
    return answer.happened;
  }),
};
const emit = (event: RunEvent | typeof ASK_TRAFFIC | AskFaults) => writeLine(event);
const input = process.stdin[Symbol.asyncIterator]();
/** What comes on standard input, up to the end of the line. */
const line = async () => {
  const parts: Uint8Array[] = [];
  for (;;) {
    const { value, done } = await input.next();
    if (done) throw new Error('nobody answers');
    parts.push(value as Uint8Array);
    if ((value as Uint8Array).at(-1) === 0x0a) return Buffer.concat(parts).toString();
  }
};
await runTests(tests, target, config, emit, async (explain) => {
  for (;;) {
    const { value, done } = await input.next();
    if (done || !(value as Uint8Array).includes(EXPLAIN)) return;
    emit({ type: 'explanation', explanation: explain() });
  }
});
process.stdin.destroy();
