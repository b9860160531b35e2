/**
 * Performs random sequences, and changed ones of those that reached something new, on one target or on two that have to agree;
 * makes what it finds as short as it can.
 */

import { UserError } from '../../sim/errors.ts';
import { Random } from '../../sim/random.ts';
import { operations } from '../agreement/operations.ts';
import { generate, LENGTH, lottery, resourcesOf, type Step } from '../agreement/sequences.ts';
import { shorten } from '../agreement/shrink.ts';
import type { Course, Request } from './course.ts';
import { judge, type Suspicion, type Told } from './judge.ts';
import { drop, mutate } from './mutate.ts';
import { textOf } from './program.ts';
import type { Features, FindingDescription, Store } from './store.ts';
import { isLost, type Target } from './target.ts';

export interface FuzzOptions {
  readonly seed: number;
  /** Operations to use; empty: all. */
  readonly only: readonly string[];
  /** Whether the machine has network cards, whose operations are used then. */
  readonly nics?: boolean;
  /** So many sequences, besides those that a finding is made shorter with; absent: no limit. */
  readonly sequences?: number;
  /** When to end, on `performance.now()`; absent: never. */
  readonly until?: number;
  /** Ends it between two sequences. */
  readonly signal: AbortSignal;
}

/** A finding, as it is told. */
export interface Found {
  readonly number: number;
  readonly isNew: boolean;
  readonly finding: FindingDescription;
}

export interface Listener {
  found(found: Found): void;
  /** After each few sequences. @param sequences that have been performed so far */
  progress(sequences: number): void;
  /** A target is started anew. */
  restarting(why: string): void;
}

/** Sequences that are on their way at a time: each target goes on while the other is at the same one. */
const BATCH = 8;
/** Of so many sequences one is made anew. */
const FRESH = 5;
/** Milliseconds after which the kernel logs what it held back because it was too much (lib/ratelimit.c: 5 s). */
const QUIET = 5_500;
/** How often a finding is tried again before it is called unsteady. */
const ATTEMPTS = 2;
/** How often targets are started anew before that is given up. */
const RESTARTS = 5;

/** What the targets of a lane are, each with the same machine. */
export type Lane = readonly Target[];

export class Fuzzer {
  readonly #store: Store;
  readonly #options: FuzzOptions;
  readonly #listener: Listener;
  readonly #names: readonly string[];
  /** Sequences of earlier runs that are to be performed first. */
  readonly #earlier: (readonly Step[])[];
  /** Given to a lane. */
  #drawn = 0;
  #performed = 0;

  /** @param earlier performs what the store has kept first: the targets, or what is known of them, are not the same */
  constructor(store: Store, options: FuzzOptions, listener: Listener, earlier = false) {
    this.#store = store;
    this.#options = options;
    this.#listener = listener;
    this.#names = lottery(options.only, options.nics);
    this.#earlier = earlier ? [...store.corpus] : [];
  }

  /** @param lanes started; each performs sequences of its own. @throws the signal's reason, UserError when a target cannot be started anew */
  async run(lanes: readonly Lane[]): Promise<void> {
    await Promise.all(
      lanes.map((lane, i) => this.#lane(lane, new Random(Math.imul(this.#options.seed, 0x9e3779b1) + i))),
    );
  }

  get #isOver(): boolean {
    const { signal, until = Number.POSITIVE_INFINITY, sequences = Number.POSITIVE_INFINITY } = this.#options;
    signal.throwIfAborted();
    return this.#drawn >= sequences || performance.now() >= until;
  }

  async #lane(lane: Lane, random: Random): Promise<void> {
    while (!this.#isOver) {
      const { sequences = Number.POSITIVE_INFINITY } = this.#options;
      const batch = Array.from({ length: Math.min(BATCH, sequences - this.#drawn) }, () => this.#next(random));
      this.#drawn += batch.length;
      const told = await this.#perform(lane, batch);
      for (const [i, courses] of told.entries()) {
        const steps = batch[i] as readonly Step[];
        this.#performed++;
        if (courses.every(({ course }) => !course.error)) this.#store.add(textOf(steps), featuresOf(lane, courses));
        for (const suspicion of judge(courses, steps.length)) await this.#report(lane, steps, suspicion);
      }
      this.#listener.progress(this.#performed);
    }
  }

  #next(random: Random): readonly Step[] {
    const earlier = this.#earlier.shift();
    if (earlier) return earlier;
    const { corpus } = this.#store;
    if (corpus.length === 0 || random.below(FRESH) === 0)
      return generate(random, 10 + random.below(LENGTH - 9), this.#names);
    // half of them from the newest, which have been changed least
    const newest = Math.ceil(corpus.length / 5);
    const at = random.below(2) === 0 ? corpus.length - 1 - random.below(newest) : random.below(corpus.length);
    return mutate(random, corpus[at] as readonly Step[], { corpus, names: this.#names });
  }

  /**
   * Performs sequences on all targets of a lane, up to one after which a target has to be started anew; that is done.
   * @returns of each what the targets told
   */
  async #perform(
    lane: Lane,
    batch: readonly (readonly Step[])[],
    rest?: number,
  ): Promise<readonly (readonly Told[])[]> {
    const requests = batch.map((steps): Request => ({ text: textOf(steps), ...(rest === undefined ? {} : { rest }) }));
    const courses = await this.#stoppable(Promise.all(lane.map((target) => target.perform(requests))));
    const count = Math.min(...courses.map((list) => list.length));
    const lost = courses.flat().find(isLost);
    if (lost) await this.#restart(lane, lost.error?.message ?? '');
    return Array.from({ length: count }, (_, i) =>
      lane.map(({ station }, j) => ({ target: station.name, course: courses[j]?.[i] as Course })),
    );
  }

  /** All targets, so that what earlier sequences have left behind stays the same on each. @throws UserError when one does not come up */
  async #restart(lane: Lane, why: string): Promise<void> {
    let reason = why;
    for (let left = RESTARTS; ; left--) {
      this.#listener.restarting(reason);
      try {
        await this.#stoppable(Promise.all(lane.map((target) => target.start())));
        return;
      } catch (error) {
        // a guest may not come up on a busy host, and fuzzing is to go on for hours
        if (!(error instanceof UserError) || left === 1) throw error;
        this.#options.signal.throwIfAborted();
        reason = error.message;
      }
    }
  }

  /** @throws the signal's reason at once, whatever the targets are at */
  #stoppable<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#options;
    const { promise, reject } = Promise.withResolvers<never>();
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    return Promise.race([work, promise]).finally(() => signal.removeEventListener('abort', stop));
  }

  async #report(lane: Lane, steps: readonly Step[], suspicion: Suspicion): Promise<void> {
    const { kind, about } = suspicion;
    const known = this.#store.again(kind, about);
    if (known !== undefined) {
      const { title, detail } = suspicion;
      const finding = { kind, about, title, detail, steps: textOf(steps), steady: true };
      this.#listener.found({ number: known, isNew: false, finding });
      return;
    }
    const { shortest, told, steady } = await this.#shorten(lane, steps.slice(0, suspicion.length), suspicion);
    const finding = {
      kind,
      about: steady ? about : `${about} (not steady)`,
      title: told.title,
      detail: told.detail,
      steps: textOf(shortest),
      steady,
    };
    this.#listener.found({ ...this.#store.find(finding), finding });
  }

  /** Has sequences performed until one shows the same. @returns it, as far as it matters */
  async #ask(lane: Lane, candidates: readonly (readonly Step[])[], { kind, about, logged }: Suspicion) {
    for (let done = 0; done < candidates.length; ) {
      const told = await this.#perform(lane, candidates.slice(done), logged ? QUIET : undefined);
      for (const [i, courses] of told.entries()) {
        const steps = candidates[done + i] as readonly Step[];
        const same = judge(courses, steps.length).find((each) => each.kind === kind && each.about === about);
        if (same) return { index: done + i, steps: steps.slice(0, same.length), same };
      }
      done += told.length;
    }
    return undefined;
  }

  async #shorten(lane: Lane, steps: readonly Step[], suspicion: Suspicion) {
    let told = suspicion;
    let shortest = steps;
    let steady = false;
    const hear = async (candidates: readonly (readonly Step[])[]) => {
      const hit = await this.#ask(lane, candidates, suspicion);
      if (!hit) return undefined;
      told = hit.same;
      shortest = hit.steps;
      steady = true;
      return hit.steps;
    };
    // what the last step takes, and what made that, is often all
    const costly = suspicion.kind === 'hang' || suspicion.kind === 'crash' || suspicion.kind === 'card';
    const needed = neededBy(steps, steps.length - 1);
    if (!suspicion.logged) await hear([drop(steps, (i) => !needed.has(i))]);
    for (let i = 0; i < ATTEMPTS && !steady; i++) await hear([steps]);
    // each attempt would take a guest that starts
    if (!steady || costly) return { shortest, told, steady };
    // the first of its kind does mostly as well as a later one, which then need not be made
    await hear([withFirst(shortest)]);
    // indices, so that what a step took is known while others are left out
    const whole = shortest;
    let kept: readonly Step[] = whole;
    await shorten([...whole.keys()], async (candidates) => {
      const sequences = candidates.map((indices) => drop(whole, (i) => !indices.includes(i)));
      const hit = await this.#ask(lane, sequences, suspicion);
      if (!hit) return undefined;
      told = hit.same;
      kept = hit.steps;
      return (candidates[hit.index] as readonly number[]).slice(0, hit.steps.length);
    });
    return { shortest: kept, told, steady };
  }
}

/** Every step takes the first of what it may take. */
function withFirst(steps: readonly Step[]): Step[] {
  return steps.map((step, index) => {
    const made = resourcesOf(steps.slice(0, index));
    const takes = step.takes.map((taken, i) => {
      const kind = operations[step.operation]?.takes[i];
      return taken === undefined ? undefined : (made.find((one) => one.kind === kind && !one.ended)?.step ?? taken);
    });
    return { ...step, takes };
  });
}

/** Steps that made what a step takes, and what they took; itself too. */
function neededBy(steps: readonly Step[], index: number): Set<number> {
  const needed = new Set<number>();
  const add = (i: number) => {
    if (needed.has(i)) return;
    needed.add(i);
    for (const taken of steps[i]?.takes ?? []) if (taken !== undefined) add(taken);
  };
  add(index);
  return needed;
}

function featuresOf(lane: Lane, told: readonly Told[]): Features {
  return new Map(told.map(({ course }, i) => [(lane[i] as Target).place, course.features]));
}
