/** Runs the tests on one target after the other, and tells of them as one run: that of the last, with what differs. */

import type { Result, RunEvent } from '../events.ts';
import { agreement } from './compare.ts';

/** A target of a comparison. */
export interface Contender {
  readonly target: string;
  /** Runs the tests with traces. */
  run(emit: (event: RunEvent) => void): Promise<readonly Result[]>;
}

/** @param progress is told how the first target is getting on. @returns the merged results, which `emit` has been told of too */
export async function runAgreement(
  first: Contender,
  second: Contender,
  emit: (event: RunEvent) => void,
  progress: (text: string) => void,
): Promise<readonly Result[]> {
  const known = new Map<string, Result>();
  /** Tests that a target has not what is needed for. */
  const leftOut = new Set<string>();
  const note = (event: RunEvent) => {
    if (event.type !== 'plan') return;
    for (const { tests } of event.leftOut ?? []) for (const id of tests) leftOut.add(id);
  };
  const begin = performance.now();
  await first.run((event) => {
    note(event);
    if (event.type === 'result') known.set(event.result.id, event.result);
  });
  const failed = [...known.values()].filter(({ status }) => status === 'failed').length;
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  progress(
    `${first.target}: ${known.size} tests in ${seconds} s, ${failed} failed; each is now compared with ${second.target}`,
  );
  const results: Result[] = [];
  await second.run((event) => {
    note(event);
    if (event.type !== 'result') {
      emit(event);
      return;
    }
    const { id } = event.result;
    const other = known.get(id);
    known.delete(id);
    const { trace: _, ...alone } = event.result;
    const result: Result =
      other === undefined && leftOut.has(id)
        ? alone
        : other === undefined
          ? { ...alone, status: 'failed', failure: { message: `${first.target} did not run it` } }
          : agreement({ target: first.target, result: other }, { target: second.target, result: event.result });
    results.push(result);
    emit({ type: 'result', result });
  });
  for (const { trace: _, ...alone } of known.values()) {
    if (leftOut.has(alone.id)) continue;
    const result: Result = { ...alone, status: 'failed', failure: { message: `${second.target} did not run it` } };
    results.push(result);
    emit({ type: 'result', result });
  }
  return results;
}
