/**
 * An engine is a generator that yields what it waits for. Written this way it reads from top to bottom, several run
 * concurrently in simulated time, and the order in which they run is a function of the events alone.
 *
 *   function* engine() { for (;;) { while (queue.empty) yield queue.changed; yield 400 (ns); work(); } }
 *
 * A process that has much to do yields 0 now and then (every few hundred packets or few MiB), so that whoever serves the device
 * can answer in between.
 */

import type { Clock, Timer } from './clock.ts';

/** What a process may yield: a number of nanoseconds to let pass, or a condition to be notified of. */
export type Wait = number | Condition;

/** The body of a process, or of a part of one that is called with `yield*`. */
export type Steps<T = void> = Generator<Wait, T, void>;

/** Something processes wait for. Spurious wake-ups are normal: test again after waiting. */
export class Condition {
  #waiting: (() => void)[] = [];
  /** The other of two lists, so that notifying needs no new one. */
  #spare: (() => void)[] = [];

  /** @internal */
  subscribe(wake: () => void): void {
    this.#waiting.push(wake);
  }

  /** Wakes all who wait now; they run from the clock's queue, not from inside this call. */
  notify(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = this.#spare;
    this.#spare = [];
    for (const wake of waiting) wake();
    waiting.length = 0;
    this.#spare = waiting;
  }
}

export class Process {
  readonly name: string;
  readonly #clock: Clock;
  readonly #steps: Steps;
  readonly #onError: (error: unknown) => void;
  #timer: Timer | undefined;
  #ended = false;
  #running = false;

  /**
   * Starts `steps` from the clock's queue.
   * @param onError told what the body throws; the process has ended then.
   */
  constructor(clock: Clock, name: string, steps: Steps, onError: (error: unknown) => void) {
    this.name = name;
    this.#clock = clock;
    this.#steps = steps;
    this.#onError = onError;
    this.#schedule(0);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Ends the process where it waits; its `finally` blocks run. Harmless when it has ended. A process that kills itself
   * (by writing a reset register, say) goes on to where it waits next.
   */
  kill(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    if (!this.#running) this.#steps.return();
  }

  #schedule(delay: number): void {
    this.#timer = this.#clock.at(this.#clock.now() + delay, this.#resume);
  }

  // A process waits for one thing at a time, so what wakes it is what it waits for.
  readonly #woken = (): void => {
    if (!this.#ended) this.#schedule(0);
  };

  readonly #resume = (): void => {
    if (this.#ended) return;
    const clock = this.#clock;
    let wait: Wait;
    this.#running = true;
    try {
      do {
        const result = this.#steps.next();
        if (result.done) {
          this.#ended = true;
          return;
        }
        wait = result.value;
      } while (typeof wait === 'number' && !this.#ended && clock.advance?.(clock.now() + wait));
    } catch (error) {
      this.#ended = true;
      this.#onError(error);
      return;
    } finally {
      this.#running = false;
    }
    if (this.#ended) {
      this.#steps.return();
      return;
    }
    if (typeof wait === 'number') this.#schedule(wait);
    else wait.subscribe(this.#woken);
  };
}

/**
 * Waits for a callback-style operation inside a process: `yield* completion((done) => port.read(a, b, done))`.
 * @throws what the operation passes to `done`.
 */
export function* completion(begin: (done: (error?: Error) => void) => void): Steps {
  let finished = false;
  let failure: Error | undefined;
  const condition = new Condition();
  begin((error) => {
    finished = true;
    failure = error;
    condition.notify();
  });
  while (!finished) yield condition;
  if (failure) throw failure;
}
