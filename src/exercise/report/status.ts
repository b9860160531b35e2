/** What is under way, in a line of a terminal that is rewritten. */

import { styleText } from 'node:util';
import { pace } from '../../os/pace.ts';
import type { RunEvent } from '../events.ts';
import type { Write } from './reporter.ts';

export interface StatusOptions {
  readonly colour: boolean;
  /** Of the terminal, if that is known; asked each time, as people resize it. */
  columns?(): number | undefined;
  /** Milliseconds; default: of the wall clock. */
  now?(): number;
}

export interface StatusLine {
  event(event: RunEvent): void;
  /** Takes the line away. */
  clear(): void;
}

/** Tells the test that runs, how many have run, how fast, and about how long it will take: tests are taken to be alike. */
export function statusLine(write: Write, options: StatusOptions): StatusLine {
  const now = options.now ?? (() => performance.now());
  let total = 0;
  let done = 0;
  let began = now();
  /** A line that wraps cannot be taken back. */
  const show = (text: string) => {
    // a terminal that does not know its width says 0
    const line = text.slice(0, (options.columns?.() || Number.POSITIVE_INFINITY) - 1);
    const painted = line !== '' && options.colour ? styleText('dim', line, { validateStream: false }) : line;
    write(`\r\x1b[2K${painted}`);
  };
  const clear = () => show('');
  return {
    clear,
    event(event) {
      if (event.type === 'plan') {
        total += event.tests.length;
        began = now();
      } else if (event.type === 'start') {
        show(`  ${done + 1}/${total}${pace(done, total, (now() - began) / 1000)} ${event.id} ...`);
      } else if (event.type === 'result') {
        done++;
        clear();
      }
    },
  };
}
