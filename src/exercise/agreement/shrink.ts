/** Looks for the shortest sequence that still differs: leaves steps out, and asks both targets again. */

import type { Result, RunEvent } from '../events.ts';
import { firstDifference } from './compare.ts';
import type { Contender } from './run.ts';
import { LENGTH, nameOf, parseName, SUITE } from './sequences.ts';

/** Rounds in which both targets are asked; each tries all candidates of one size. */
const ROUNDS = 16;

/** @returns both results of the shortest sequence that was found */
export async function shrink(
  first: Contender,
  second: Contender,
  mine: Result,
  theirs: Result,
): Promise<readonly [Result, Result]> {
  const parsed = parseName(mine.name);
  if (!parsed) return [mine, theirs];
  const { number } = parsed;
  const all = Array.from({ length: LENGTH }, (_, i) => i);
  const nameOfKept = (keep: readonly number[]) =>
    nameOf(
      number,
      all.filter((i) => !keep.includes(i)),
    );
  let best: readonly [Result, Result] = [mine, theirs];
  const differs = ([a, b]: readonly [Result, Result]) =>
    firstDifference({ target: first.target, result: a }, { target: second.target, result: b });
  // what comes after the difference does not matter
  const kept = all.filter((i) => !parsed.without.includes(i)).slice(0, (differs(best) ?? 0) + 1);
  await shorten(kept, async (candidates) => {
    const names = candidates.map(nameOfKept);
    const found = await ask(first, second, names);
    const pairs = names.map((name) => found.get(`${SUITE}: ${name}`));
    const hit = pairs.findIndex((pair) => pair !== undefined && differs(pair) !== undefined);
    if (hit < 0) return undefined;
    best = pairs[hit] as readonly [Result, Result];
    return (candidates[hit] as number[]).slice(0, (differs(best) ?? 0) + 1);
  });
  return best;
}

/**
 * Leaves out halves of a list, then quarters, down to single items, for as long as something is left that will do.
 * @param ask given candidates, which of them will do: the first one, or the part of it that matters
 */
export async function shorten<T>(
  items: readonly T[],
  ask: (candidates: readonly (readonly T[])[]) => Promise<readonly T[] | undefined>,
  rounds = ROUNDS,
): Promise<readonly T[]> {
  let kept = items;
  let size = Math.ceil(kept.length / 2);
  for (let round = 0; round < rounds && size >= 1; round++) {
    const candidates: (readonly T[])[] = [];
    for (let i = 0; i < kept.length; i += size) candidates.push([...kept.slice(0, i), ...kept.slice(i + size)]);
    const hit = await ask(candidates);
    if (hit === undefined) {
      if (size === 1) break;
      size = Math.ceil(size / 2);
      continue;
    }
    kept = hit;
    size = Math.min(size, Math.ceil(kept.length / 2));
  }
  return kept;
}

/** Runs sequences on both targets. @returns both results by name of the test */
async function ask(
  first: Contender,
  second: Contender,
  names: readonly string[],
): Promise<Map<string, [Result, Result]>> {
  const ids = names.map((name) => `${SUITE}: ${name}`);
  const run = async (contender: Contender) => {
    const results = new Map<string, Result>();
    const note = (event: RunEvent) => {
      if (event.type === 'result') results.set(event.result.id, event.result);
    };
    await contender.run(note, ids);
    return results;
  };
  const [a, b] = [await run(first), await run(second)];
  const pairs = new Map<string, [Result, Result]>();
  for (const id of ids) {
    const [x, y] = [a.get(id), b.get(id)];
    if (x && y) pairs.set(id, [x, y]);
  }
  return pairs;
}
