/** The memory of the low-latency queues: send queues that the host writes into the device, whole pages each. */

import type { Memory } from '../sim/memory.ts';
import { PAGE } from './limits.ts';

export class LlqMemory {
  readonly memory: Memory;
  readonly #taken: Uint8Array;

  constructor(memory: Memory) {
    this.memory = memory;
    this.#taken = new Uint8Array(memory.size / PAGE);
  }

  /** Zeroed. @returns its offset, or undefined where there is no room */
  take(bytes: number): number | undefined {
    const pages = Math.ceil(bytes / PAGE);
    for (let first = 0, run = 0; first + run < this.#taken.length; ) {
      if (this.#taken[first + run] === 1) {
        first += run + 1;
        run = 0;
      } else if (++run === pages) {
        this.#taken.fill(1, first, first + pages);
        this.memory.zero(first * PAGE, pages * PAGE);
        return first * PAGE;
      }
    }
    return undefined;
  }

  free(offset: number, bytes: number): void {
    this.#taken.fill(0, offset / PAGE, (offset + Math.ceil(bytes / PAGE) * PAGE) / PAGE);
  }

  clear(): void {
    this.#taken.fill(0);
    this.memory.zero(0, this.memory.size);
  }
}
