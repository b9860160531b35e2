import { totals } from '../events.ts';
import type { Reporter, Write } from './reporter.ts';

/** JSON lines: the run, one line per result as it comes, the totals. */
export function jsonReporter(write: Write): Reporter {
  const line = (value: unknown) => write(`${JSON.stringify(value)}\n`);
  return {
    begin: (info) => line({ type: 'run', ...info }),
    event(event) {
      if (event.type === 'result') line({ type: 'result', ...event.result });
    },
    finish: (results, seconds) => line({ type: 'totals', ...totals(results), seconds }),
  };
}
