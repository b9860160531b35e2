/** Hands out pieces of an address range: first fit, neighbours join when they come back. */

import { ExhaustedError } from './errors.ts';

interface Gap {
  start: bigint;
  end: bigint;
}

export class RangeAllocator {
  readonly #what: string;
  readonly #gaps: Gap[];
  readonly #sizes = new Map<bigint, bigint>();

  /** @param what name for messages. @param start first address. @param end address after the last. */
  constructor(what: string, start: bigint, end: bigint) {
    this.#what = what;
    this.#gaps = start < end ? [{ start, end }] : [];
  }

  /**
   * @param size more than 0. @param align a power of two. @returns the first address.
   * @throws ExhaustedError when no gap is large enough
   */
  allocate(size: bigint, align = 1n): bigint {
    if (size <= 0n) throw new RangeError(`${this.#what}: ${size} cannot be allocated`);
    if (align <= 0n || (align & (align - 1n)) !== 0n) throw new RangeError(`${this.#what}: alignment ${align}`);
    for (const [i, gap] of this.#gaps.entries()) {
      const start = (gap.start + align - 1n) & ~(align - 1n);
      const end = start + size;
      if (end > gap.end) continue;
      const rest: Gap[] = [];
      if (gap.start < start) rest.push({ start: gap.start, end: start });
      if (end < gap.end) rest.push({ start: end, end: gap.end });
      this.#gaps.splice(i, 1, ...rest);
      this.#sizes.set(start, size);
      return start;
    }
    throw new ExhaustedError(`${this.#what}: no room for ${size} (largest gap ${this.#largest()})`);
  }

  /** @param start as `allocate` gave it. */
  free(start: bigint): void {
    const size = this.#sizes.get(start);
    if (size === undefined) throw new RangeError(`${this.#what}: ${start} is not allocated`);
    this.#sizes.delete(start);
    const end = start + size;
    let i = this.#gaps.findIndex((gap) => gap.start >= end);
    if (i < 0) i = this.#gaps.length;
    this.#gaps.splice(i, 0, { start, end });
    this.#join(i);
    this.#join(i - 1);
  }

  /** Joins gap `i` with the next one when they touch. */
  #join(i: number): void {
    const gap = this.#gaps[i];
    const next = this.#gaps[i + 1];
    if (gap === undefined || next === undefined || gap.end !== next.start) return;
    gap.end = next.end;
    this.#gaps.splice(i + 1, 1);
  }

  #largest(): bigint {
    let most = 0n;
    for (const gap of this.#gaps) if (gap.end - gap.start > most) most = gap.end - gap.start;
    return most;
  }
}
