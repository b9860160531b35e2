/** Asking again and again until there is an answer, by the driver's clock. */

import { setImmediate } from 'node:timers/promises';
import type { Driver } from '../driver/driver.ts';

export interface WaitOptions {
  /** Milliseconds; for ever if left out. */
  readonly timeout?: number;
  /** Ends the wait, not the work. */
  readonly signal?: AbortSignal;
}

/**
 * Milliseconds that one attempt of an asynchronous wait may sleep, while the program stands still: a few at first, then so much of
 * what has been waited already. A wait of minutes is then few calls, and on a modelled card no time to speak of.
 */
const SLICE = { SHORTEST: 2, LONGEST: 100, PART: 1 / 32 } as const;

/** Those who wait on one device. The first of them sleeps in the driver, the others only look, so that all get on. */
export class WaitingRoom {
  readonly #driver: Driver;
  readonly #waiting = new Set<object>();

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  /**
   * @param attempt may sleep for the milliseconds given; undefined: not yet.
   * @returns the first answer, or undefined when time is up. @throws the signal's reason, and what `attempt` throws
   */
  async until<T>(options: WaitOptions, attempt: (milliseconds: number) => T | undefined): Promise<T | undefined> {
    const { timeout = Number.POSITIVE_INFINITY, signal } = options;
    const begin = this.#driver.now();
    const end = begin + timeout * 1e6;
    const token = {};
    this.#waiting.add(token);
    try {
      let slice = 0;
      for (;;) {
        signal?.throwIfAborted();
        const left = Math.max((end - this.#driver.now()) / 1e6, 0);
        const answer = attempt(Math.min(slice, left));
        if (answer !== undefined) return answer;
        if (this.#driver.now() >= end) return undefined;
        await setImmediate();
        slice = this.#waiting.values().next().value === token ? sliceAfter((this.#driver.now() - begin) / 1e6) : 0;
      }
    } finally {
      this.#waiting.delete(token);
    }
  }
}

/** @param waited milliseconds @returns milliseconds */
function sliceAfter(waited: number): number {
  return Math.min(Math.max(SLICE.SHORTEST, waited * SLICE.PART), SLICE.LONGEST);
}
