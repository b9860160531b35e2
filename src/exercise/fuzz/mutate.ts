/** Changes of a sequence: each gives one whose resources come from steps before the one that takes them. */

import type { Random } from '../../sim/random.ts';
import { operations } from '../agreement/operations.ts';
import { drawResource, drawStep, resourcesOf, type Step } from '../agreement/sequences.ts';

/** Steps of the longest sequence that is made. */
export const LONGEST = 60;
/** Changes that are made at a time, at most. */
const CHANGES = 4;

/** Without some of its steps: what they would have made is not there. @param gone says so of an index */
export function drop(steps: readonly Step[], gone: (index: number) => boolean): Step[] {
  const places = new Map<number, number>();
  for (const index of steps.keys()) if (!gone(index)) places.set(index, places.size);
  return steps
    .filter((_, index) => !gone(index))
    .map((step) => ({ ...step, takes: step.takes.map((taken) => places.get(taken ?? -1)) }));
}

/** With another before step `at`. */
export function insert(steps: readonly Step[], at: number, step: Step): Step[] {
  const later = steps
    .slice(at)
    .map((old) => ({ ...old, takes: old.takes.map((i) => (i === undefined || i < at ? i : i + 1)) }));
  return [...steps.slice(0, at), step, ...later];
}

/** The first `at` steps of one, and another from step `from` on, which takes what the first ones have made. */
export function splice(random: Random, head: readonly Step[], at: number, tail: readonly Step[], from: number): Step[] {
  const kept = head.slice(0, at);
  const made = resourcesOf(kept);
  const rest = tail.slice(from).map((step) => ({
    ...step,
    takes: step.takes.map((taken, i) => {
      if (taken === undefined) return undefined;
      if (taken >= from) return taken - from + at;
      const kind = operations[step.operation]?.takes[i];
      return kind && drawResource(random, kind, made);
    }),
  }));
  return [...kept, ...rest];
}

/** What is done to a sequence that has at least one step, and how often compared with the others. */
const changes: readonly { readonly weight: number; readonly make: Change }[] = [
  {
    weight: 4,
    make(random, steps, { names }) {
      const at = 1 + random.below(steps.length);
      const step = drawStep(random, names, resourcesOf(steps.slice(0, at)));
      return step && insert(steps, at, step);
    },
  },
  {
    weight: 2,
    make(random, steps) {
      const first = 1 + random.below(steps.length);
      const count = 1 + random.below(3);
      return drop(steps, (i) => i >= first && i < first + count);
    },
  },
  {
    weight: 2,
    make(random, steps, { corpus }) {
      const other = corpus[random.below(corpus.length)];
      if (!other) return undefined;
      return splice(random, steps, 1 + random.below(steps.length), other, 1 + random.below(other.length));
    },
  },
  {
    weight: 4,
    make(random, steps) {
      const at = random.below(steps.length);
      const step = steps[at] as Step;
      const drawn = operations[step.operation]?.draw?.(random) ?? {};
      const keys = Object.keys(drawn);
      const key = keys[random.below(keys.length)];
      if (key === undefined || at === 0) return undefined;
      return steps.with(at, { ...step, numbers: { ...step.numbers, [key]: drawn[key] as number } });
    },
  },
  {
    weight: 1,
    make(random, steps) {
      const at = random.below(steps.length);
      const step = steps[at] as Step;
      const wild = operations[step.operation]?.wild ?? [];
      const key = wild[random.below(wild.length)];
      return key === undefined
        ? undefined
        : steps.with(at, { ...step, numbers: { ...step.numbers, [key]: anyNumber(random) } });
    },
  },
  {
    weight: 3,
    make(random, steps) {
      const at = random.below(steps.length);
      const step = steps[at] as Step;
      const which = random.below(step.takes.length);
      const kind = operations[step.operation]?.takes[which];
      if (kind === undefined) return undefined;
      const taken = drawResource(random, kind, resourcesOf(steps.slice(0, at)));
      return steps.with(at, { ...step, takes: step.takes.with(which, taken) });
    },
  },
  {
    // the same call once more, there or later
    weight: 2,
    make(random, steps) {
      const at = 1 + random.below(steps.length);
      const step = steps[at];
      return step && insert(steps, at + 1 + random.below(steps.length - at), step);
    },
  },
];

type Change = (random: Random, steps: readonly Step[], from: Source) => readonly Step[] | undefined;

/** Where new steps come from. */
export interface Source {
  readonly corpus: readonly (readonly Step[])[];
  /** Operations, as `lottery` gives them. */
  readonly names: readonly string[];
}

/** Of 32 bits: a power of two or next to one, or whatever. */
function anyNumber(random: Random): number {
  if (random.below(4) === 0) return random.next();
  return Math.max(0, Math.min(2 ** random.below(33) + random.below(3) - 1, 2 ** 32 - 1));
}

const drawn = changes.flatMap(({ weight, make }) => new Array<Change>(weight).fill(make));

/** @returns another sequence, of at most `LONGEST` steps, which begins with the same step */
export function mutate(random: Random, steps: readonly Step[], source: Source): Step[] {
  let changed = steps;
  for (let left = 1 + random.below(CHANGES); left > 0; left--) {
    const next = (drawn[random.below(drawn.length)] as Change)(random, changed, source);
    if (next) changed = next;
  }
  return changed.slice(0, LONGEST);
}
