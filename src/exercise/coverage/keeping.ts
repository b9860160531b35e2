/** Keeping a run: whatever becomes of the file, the run goes on. */

import type { Result } from '../events.ts';
import type { FileCoverage } from './code.ts';
import { Results, type RunDescription, type RunWriter } from './results.ts';

/**
 * Takes down a run for as long as that works.
 * @param complain is told once why it does not
 */
export function keepRun(
  file: string,
  description: RunDescription,
  complain: (text: string) => void,
): RunWriter & Disposable {
  let results: Results | undefined;
  let writer: RunWriter | undefined;
  const close = () => {
    try {
      results?.[Symbol.dispose]();
    } catch {
      // nothing more can be kept of it
    }
    results = undefined;
    writer = undefined;
  };
  const attempt = (body: () => void) => {
    try {
      body();
    } catch (error) {
      complain(`this run is not kept any further: ${(error as Error).message}`);
      close();
    }
  };
  attempt(() => {
    results = new Results(file, true);
    writer = results.begin(description);
  });
  return {
    result: (result: Result) => attempt(() => writer?.result(result)),
    code: (files: readonly FileCoverage[]) => attempt(() => writer?.code(files)),
    end: (seconds: number) => attempt(() => writer?.end(seconds)),
    [Symbol.dispose]: close,
  };
}
