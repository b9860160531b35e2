/** What devices move, test by test. */

import type { Result } from './events.ts';
import type { Moved } from './suite.ts';

/** What was moved between two looks at the counters. */
export function movedBetween(before: readonly Moved[], after: readonly Moved[]): Moved[] {
  return after
    .map((now) => {
      const then = before.find(({ from, to, route }) => from === now.from && to === now.to && route === now.route);
      const { from, to, route } = now;
      return { from, to, route, read: now.read - (then?.read ?? 0), written: now.written - (then?.written ?? 0) };
    })
    .filter(({ read, written }) => read + written > 0);
}

/** Tells of each result what was moved since the last. */
export class TrafficMeter {
  #last: readonly Moved[];

  /** @param start what was moved before the first test */
  constructor(start: readonly Moved[] = []) {
    this.#last = start;
  }

  /** @param now the counters after the test */
  add(result: Result, now: readonly Moved[]): Result {
    const moved = movedBetween(this.#last, now);
    this.#last = now;
    return moved.length > 0 ? { ...result, moved } : result;
  }
}
