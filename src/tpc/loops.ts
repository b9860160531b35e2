/** Hardware loops: up to four, one inside the other, with counters in S32 to S35. */

import type { Comparison } from '../isa/vliw/bundle.ts';
import { BUNDLE_BYTES } from '../isa/vliw/bundle.ts';
import { LOOP_COUNTER } from './layout.ts';
import type { CoreState } from './state.ts';

export interface ActiveLoop {
  /** Byte addresses of the first and the last bundle of the body. */
  readonly first: number;
  readonly last: number;
  readonly boundary: number;
  readonly step: number;
  readonly comparison: Comparison;
  readonly once: boolean;
  /** Cycle in which it began. */
  readonly since: number;
}

const compare: Readonly<Record<Comparison, (a: number, b: number) => boolean>> = {
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
};

/** A loop whose body is not done at all. */
export function zeroTrip(comparison: Comparison, start: number, boundary: number): boolean {
  return !compare[comparison](start, boundary);
}

export class LoopStack {
  readonly #state: CoreState;
  readonly #loops: ActiveLoop[] = [];
  /** The loop that the last `next` began again. */
  repeated: ActiveLoop | undefined;

  constructor(state: CoreState) {
    this.#state = state;
  }

  get depth(): number {
    return this.#loops.length;
  }

  clear(): void {
    this.#loops.length = 0;
    this.repeated = undefined;
  }

  push(loop: ActiveLoop): void {
    this.#loops.push(loop);
  }

  setCounter(depth: number, value: number): void {
    this.#state.setScalar(LOOP_COUNTER + depth, value);
  }

  /**
   * Where the program goes on after the bundle at `pc`: at the end of a body its counter steps, and if the comparison still
   * holds the body begins again. The counter keeps the value that ended the loop.
   */
  next(pc: number): number {
    this.repeated = undefined;
    for (let loop = this.#loops.at(-1); loop && loop.last === pc; loop = this.#loops.at(-1)) {
      const at = LOOP_COUNTER + this.#loops.length - 1;
      const counter = (this.#state.scalar(at) + loop.step) | 0;
      this.#state.setScalar(at, counter);
      if (!loop.once && compare[loop.comparison](counter, loop.boundary)) {
        this.repeated = loop;
        return loop.first;
      }
      this.#loops.pop();
    }
    return pc + BUNDLE_BYTES;
  }

  /** A jump: loops whose body it leaves are over. */
  leave(target: number): void {
    for (
      let loop = this.#loops.at(-1);
      loop && (target < loop.first || target > loop.last);
      loop = this.#loops.at(-1)
    ) {
      this.#loops.pop();
    }
  }
}
