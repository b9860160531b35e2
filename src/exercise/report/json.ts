import { totals } from '../events.ts';
import type { Reporter, Reproduce, Write } from './reporter.ts';

/** JSON lines: the run, tests that are left out, one line per result as it comes, the totals. */
export function jsonReporter(write: Write, reproduce?: Reproduce): Reporter {
  const line = (value: unknown) => write(`${JSON.stringify(value)}\n`);
  return {
    begin: (info) => line({ type: 'run', ...info }),
    event(event) {
      if (event.type === 'plan') for (const left of event.leftOut ?? []) line({ type: 'left-out', ...left });
      if (event.type !== 'result') return;
      const { result } = event;
      const again = result.status === 'failed' && reproduce ? { again: reproduce(result.id) } : {};
      line({ type: 'result', ...result, ...again });
    },
    finish: (results, seconds) => line({ type: 'totals', ...totals(results), seconds }),
  };
}
