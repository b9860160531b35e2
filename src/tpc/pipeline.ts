/**
 * When results reach registers. The slots of a bundle read before any of them writes. In the exposed pipeline a result
 * reaches the next instructions of its own slot only after its latency: until then they read what was there before. Operands
 * are read when a bundle begins, and so are accumulators, to which float products have a shorter way than to other operands. What is
 * loaded from memory is waited for instead (TPC User Guide, coherency): whoever reads it too early stalls.
 */

import type { Chain, Slot } from '../isa/vliw/bundle.ts';
import { SCRATCH, SCRATCH_BYTES } from './layout.ts';
import type { CoreState } from './state.ts';

/** Bytes of the state. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** - `exposed`: as the chip: results arrive after their latency. - `immediate`: at the end of their bundle. */
export type LatencyMode = 'exposed' | 'immediate';

/** When a result arrives, in bundles after its own. */
export interface Arrival {
  /** For instructions of the same slot; others see it with the next bundle. */
  readonly latency: number;
  /** How long all must wait for it; 0: not at all. */
  readonly interlock: number;
  /** Accumulators of the same chain, in the same slot, see it sooner. */
  readonly chain?: Chain;
}

interface Write {
  readonly slot: Slot;
  /** Where the bytes go, and where they wait. */
  readonly offset: number;
  readonly source: number;
  readonly length: number;
  /** One byte for each of them, 0 where the old value stays; 0: all are written. */
  readonly mask: number;
  /** Cycle from which on its own slot sees it. */
  readonly arrives: number;
  /** Cycle from which on accumulators of `chain` in its slot see it. */
  readonly chained: number;
  readonly chain: string | undefined;
  /** Cycle before which nobody may read it: what is loaded is waited for. */
  readonly ready: number;
}

export class Pipeline {
  readonly #state: CoreState;
  readonly mode: LatencyMode;
  /** Results of the current bundle. */
  #staged: Write[] = [];
  /** Results of earlier bundles that their own slot does not see yet, in the order of the program. */
  #pending: Write[] = [];
  #scratch = 0;
  cycle = 0;

  constructor(state: CoreState, mode: LatencyMode) {
    this.#state = state;
    this.mode = mode;
  }

  reset(): void {
    this.#staged = [];
    this.#pending = [];
    this.cycle = 0;
  }

  /** Room for `bytes` bytes in the state's scratch memory, valid until the results of seven more bundles are written. */
  room(bytes: number): number {
    const size = (bytes + 15) & ~15;
    if (this.#scratch + size > SCRATCH_BYTES) this.#scratch = 0;
    const at = SCRATCH + this.#scratch;
    this.#scratch += size;
    return at;
  }

  /**
   * Where the bytes are that an instruction in `slot` reads at `offset`: there, or in a copy that has what is due.
   *
   * @param chain that of the accumulator that is read
   */
  resolve(slot: Slot, offset: number, length: number, chain?: string): number {
    if (this.#pending.length === 0) return offset;
    let copy = -1;
    for (const write of this.#pending) {
      if (write.offset >= offset + length || write.offset + write.length <= offset) continue;
      if (write.slot === slot && write.arrives > this.cycle) {
        if (chain === undefined || write.chain !== chain || write.chained > this.cycle) continue;
      }
      if (copy < 0) {
        copy = this.room(length);
        this.#state.bytes.copyWithin(copy, offset, offset + length);
      }
      this.#apply(write, copy - offset, offset, offset + length);
    }
    return copy < 0 ? offset : copy;
  }

  /** A result: `length` bytes at `source`, for the register at `offset`, with a mask or 0. */
  stage(slot: Slot, offset: number, source: number, length: number, mask: number, when: Arrival): void {
    const ready = this.cycle + when.interlock;
    this.#staged.push({
      slot,
      offset,
      source,
      length,
      mask,
      arrives: Math.max(this.cycle + when.latency, ready),
      chained: this.cycle + (when.chain?.bundles ?? when.latency),
      chain: when.chain?.name,
      ready,
    });
  }

  /** Waits until what is loaded into these registers is there. The result is the number of cycles. */
  waitFor(reads: readonly Range[]): number {
    let until = this.cycle;
    for (const { offset, length, ready } of this.#pending) {
      if (ready <= until) continue;
      if (reads.some(({ from, to }) => from < offset + length && offset < to)) until = ready;
    }
    const cycles = until - this.cycle;
    if (cycles > 0) this.stall(cycles);
    return cycles;
  }

  /** The instruction that is being done did not happen. */
  discard(): void {
    this.#staged.length = 0;
  }

  /** Results of the current instruction arrive at once: for code that knows that nobody sees the difference. */
  arrive(): void {
    for (const write of this.#staged) this.#apply(write, 0, write.offset, write.offset + write.length);
    this.#staged.length = 0;
  }

  /** End of a bundle: a cycle passes. */
  commit(): void {
    this.cycle++;
    if (this.mode === 'immediate') {
      this.arrive();
      return;
    }
    if (this.#staged.length > 0) {
      this.#pending.push(...this.#staged);
      this.#staged.length = 0;
    }
    this.#settle();
  }

  /** Cycles in which nothing is issued. */
  stall(cycles: number): void {
    this.cycle += cycles;
    this.#settle();
  }

  /** Everything arrives: at the end of a program, or for a debugger that looks at registers. */
  drain(): void {
    for (const write of this.#pending) this.#apply(write, 0, write.offset, write.offset + write.length);
    this.#pending.length = 0;
  }

  /** Writes what all slots see, in the order of the program: what is behind a late result waits with it. */
  #settle(): void {
    const pending = this.#pending;
    let done = 0;
    while (done < pending.length && (pending[done] as Write).arrives <= this.cycle) {
      const write = pending[done++] as Write;
      this.#apply(write, 0, write.offset, write.offset + write.length);
    }
    if (done > 0) pending.splice(0, done);
  }

  /** The part of a write inside [from, to), moved by `shift`. */
  #apply(write: Write, shift: number, from: number, to: number): void {
    const bytes = this.#state.bytes;
    const start = Math.max(write.offset, from);
    const end = Math.min(write.offset + write.length, to);
    const source = write.source - write.offset;
    if (write.mask === 0) {
      bytes.copyWithin(start + shift, start + source, end + source);
      return;
    }
    const mask = write.mask - write.offset;
    for (let at = start; at < end; at++) if (bytes[at + mask]) bytes[at + shift] = bytes[at + source] as number;
  }
}
