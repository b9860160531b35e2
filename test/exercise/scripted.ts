/** Results and targets that tests write down instead of running anything. */

import type { Result, RunEvent, RunInfo } from '../../src/exercise/events.ts';
import type { Reporter, Write } from '../../src/exercise/report/reporter.ts';
import type { LogLine, Target } from '../../src/exercise/suite.ts';
import { FakeDriver } from '../runtime/fake-driver.ts';

export const info: RunInfo = { target: 'vm', machine: 'gaudi', system: 'Linux 7.3.4', seed: 1 };

export function result(id: string, more: Partial<Result> = {}): Result {
  const [suite = '', name = ''] = id.split(': ', 2);
  return { id, suite, name, status: 'passed', ms: 12, messages: [], ...more };
}

export function failed(id: string, message: string, more: Partial<Result> = {}): Result {
  return result(id, { status: 'failed', failure: { message }, ...more });
}

/** Events of a run that has these results. */
export function eventsOf(results: readonly Result[]): RunEvent[] {
  return [
    { type: 'plan', tests: results.map(({ id, suite, name }) => ({ id, suite, name })) },
    ...results.flatMap((r): RunEvent[] => [
      { type: 'start', id: r.id, timeout: 60 },
      { type: 'result', result: r },
    ]),
    { type: 'end' },
  ];
}

/** What a reporter writes about a run of 1.5 s. */
export function written(make: (write: Write) => Reporter, results: readonly Result[]): string {
  let text = '';
  const reporter = make((part) => {
    text += part;
  });
  reporter.begin(info);
  for (const event of eventsOf(results)) reporter.event(event);
  reporter.finish(results, 1.5);
  return text;
}

/** A target whose driver logs what tests put into `log`. */
export class ScriptedTarget implements Target {
  readonly driver = new FakeDriver();
  devices = 1;
  log: LogLine[] = [];

  messages(): readonly LogLine[] {
    const lines = this.log;
    this.log = [];
    return lines;
  }
}
