/** Runs the same tests on two targets, and tells of them as one run: that of the second, with what differs. */

import type { Result, RunEvent } from '../events.ts';
import { agreement, firstDifference, type Side } from './compare.ts';
import { shrink } from './shrink.ts';

/** A target of a comparison. */
export interface Contender {
  readonly target: string;
  /** Runs the tests with traces. @param only these, instead of all that were selected */
  run(emit: (event: RunEvent) => void, only?: readonly string[]): Promise<readonly Result[]>;
}

/** Sequences that are shrunk; how others differ is told as it is. */
const SHRUNK = 3;

const sideOf = ({ target }: Contender, result: Result): Side => ({ target, result });

/**
 * The plan of the second counts: the first runs the same tests in the same order, so that what a test leaves behind in a
 * card is the same on both. It does so while the second begins, whose results wait until they can be compared.
 * @param progress is told when the first has done. @returns the merged results, which `emit` has been told of too
 */
export async function runAgreement(
  first: Contender,
  second: Contender,
  emit: (event: RunEvent) => void,
  progress: (text: string) => void,
): Promise<readonly Result[]> {
  // a guest knows what its kernel cannot do, the model can do all
  if (second.target === 'model') return runAgreement(second, first, emit, progress);
  const known = new Map<string, Result>();
  /** Tests that the first has not what is needed for. */
  const leftOut = new Set<string>();
  const results: Result[] = [];
  const differing: { readonly mine: Result; readonly theirs: Result }[] = [];
  const runFirst = async (only: readonly string[]) => {
    const begin = performance.now();
    await first.run((event) => {
      if (event.type === 'result') known.set(event.result.id, event.result);
      if (event.type === 'plan') for (const { tests } of event.leftOut ?? []) for (const id of tests) leftOut.add(id);
    }, only);
    const failed = [...known.values()].filter(({ status }) => status === 'failed').length;
    const seconds = ((performance.now() - begin) / 1000).toFixed(1);
    progress(
      `${first.target}: ${known.size} tests in ${seconds} s, ${failed} failed; each is now compared with ${second.target}`,
    );
  };
  const merge = (event: RunEvent) => {
    if (event.type !== 'result') {
      emit(event);
      return;
    }
    const { id } = event.result;
    const other = known.get(id);
    known.delete(id);
    if (other?.steps && firstDifference(sideOf(first, other), sideOf(second, event.result)) !== undefined) {
      differing.push({ mine: other, theirs: event.result });
      return;
    }
    const { trace: _, ...alone } = event.result;
    const result: Result = leftOut.has(id)
      ? alone
      : other === undefined
        ? { ...alone, status: 'failed', failure: { message: `${first.target} did not run it` } }
        : agreement(sideOf(first, other), sideOf(second, event.result));
    results.push(result);
    emit({ type: 'result', result });
  };
  let waiting: RunEvent[] | undefined = [];
  const release = () => {
    for (const event of waiting ?? []) merge(event);
    waiting = undefined;
  };
  const planned = Promise.withResolvers<readonly string[]>();
  const secondRun = second
    .run((event) => {
      if (event.type === 'plan') {
        planned.resolve(event.tests.map(({ id }) => id));
        emit(event);
      } else if (waiting) waiting.push(event);
      else merge(event);
    })
    .then(() => planned.resolve([]));
  const firstRun = planned.promise.then(runFirst).then(release);
  await Promise.all([firstRun, secondRun]);
  for (const [i, { mine, theirs }] of differing.entries()) {
    if (i < SHRUNK) progress(`${theirs.id} differs: looking for the shortest sequence that does`);
    const [a, b] = i < SHRUNK ? await shrink(first, second, mine, theirs) : [mine, theirs];
    const { failure } = agreement(sideOf(first, a), sideOf(second, b));
    const { trace: _, steps: __, ...alone } = theirs;
    const result: Result = { ...alone, status: 'failed', failure: failure ?? { message: '' } };
    results.push(result);
    emit({ type: 'result', result });
  }
  for (const { trace: _, ...alone } of known.values()) {
    const result: Result = { ...alone, status: 'failed', failure: { message: `${second.target} did not run it` } };
    results.push(result);
    emit({ type: 'result', result });
  }
  return results;
}
