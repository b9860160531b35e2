/**
 * The MMU's shared translation cache and its control: hop-0 tables per address space, cached translations, and their
 * invalidation. Translations stay until they are invalidated, as on the chip: whoever changes a page table and does not
 * invalidate keeps the old page.
 */

import { BUSY, MEM_CACHE_INV_STATUS, stlb } from '../../specs/gaudi/registers/stlb.ts';
import type { Clock, Timer } from '../sim/clock.ts';
import { ModelError } from '../sim/errors.ts';
import { RegisterBlock } from '../sim/registers.ts';

export const SMALL_PAGE = 0x1000;
export const LARGE_PAGE = 0x20_0000;

/** Simulated time of the control operations, ns. Real ones end well within the driver's 2 ms. */
const CONTROL_NS = 500;
const INVALIDATION_NS = 1000;
/** A read over PCIe, there and back. Whoever polls a status sees at least so much time go by from one read to the next. */
const READ_NS = 1000;

/** Cached translations per page size, powers of 2. A choice of the model: what the chip has is not published. */
const SMALL_ENTRIES = 0x4000;
const LARGE_ENTRIES = 0x400;

const MAX_HIT_COUNT = 0x7ff;

/** Something that takes effect a while after it was asked for, also when nobody but a reader of its status looks. */
class Operation {
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #end = 0;
  /** Time that its pollers have spent: also while the clock stands at a late event of another engine. */
  #polled = 0;
  #effect: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  start(duration: number, effect: () => void): void {
    this.finish();
    this.#effect = effect;
    this.#polled = 0;
    this.#end = this.#clock.now() + duration;
    this.#timer = this.#clock.at(this.#end, () => this.finish());
  }

  /** True until the time is over. */
  running(): boolean {
    if (this.#effect && this.#clock.now() + this.#polled >= this.#end) this.finish();
    return this.#effect !== undefined;
  }

  /** As `running`, for the read of a status register. */
  poll(): boolean {
    const running = this.running();
    this.#polled += READ_NS;
    return running;
  }

  finish(): void {
    const effect = this.#effect;
    this.cancel();
    effect?.();
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#effect = undefined;
  }
}

/** Translations of one page size. Every page has one place; two pages of the same place displace each other. */
class Translations {
  readonly #pageSize: number;
  readonly #mask: number;
  /** Which page of which address space is there: 10 bits and at most 38 bits. */
  readonly #tags: Float64Array;
  readonly #physical: Float64Array;
  /** An entry counts while its generation is the present one. */
  readonly #generations: Uint32Array;
  #generation = 1;
  #size = 0;

  constructor(pageSize: number, entries: number) {
    this.#pageSize = pageSize;
    this.#mask = entries - 1;
    this.#tags = new Float64Array(entries);
    this.#physical = new Float64Array(entries);
    this.#generations = new Uint32Array(entries);
  }

  get size(): number {
    return this.#size;
  }

  get(asid: number, virtual: number): number | undefined {
    const page = Math.floor(virtual / this.#pageSize);
    const at = (page ^ asid) & this.#mask;
    if (this.#generations[at] !== this.#generation || this.#tags[at] !== asid * 2 ** 38 + page) return undefined;
    return this.#physical[at];
  }

  /** How many pages from `virtual` on, at most `limit`, are known to lie next to each other from `physical` on. */
  run(asid: number, virtual: number, physical: number, limit: number): number {
    const page = Math.floor(virtual / this.#pageSize);
    const tag = asid * 2 ** 38 + page;
    let n = 0;
    for (; n < limit; n++) {
      const at = ((page + n) ^ asid) & this.#mask;
      if (this.#generations[at] !== this.#generation || this.#tags[at] !== tag + n) break;
      if (this.#physical[at] !== physical + n * this.#pageSize) break;
    }
    return n;
  }

  set(asid: number, virtual: number, physical: number): void {
    const page = Math.floor(virtual / this.#pageSize);
    const at = (page ^ asid) & this.#mask;
    if (this.#generations[at] !== this.#generation) this.#size++;
    this.#generations[at] = this.#generation;
    this.#tags[at] = asid * 2 ** 38 + page;
    this.#physical[at] = physical;
  }

  clear(): void {
    this.#size = 0;
    this.#generation = (this.#generation + 1) >>> 0;
    if (this.#generation !== 0) return;
    this.#generations.fill(0);
    this.#generation = 1;
  }
}

export class Stlb {
  readonly registers: RegisterBlock<typeof stlb.rows>;
  readonly #hop0 = new Map<number, number>();
  readonly #small = new Translations(SMALL_PAGE, SMALL_ENTRIES);
  readonly #large = new Translations(LARGE_PAGE, LARGE_ENTRIES);
  readonly #hop0Update: Operation;
  readonly #invalidation: Operation;
  readonly #memoryCache: Operation;
  #consumerIndex = 0;
  #hitCount = 0;

  constructor(clock: Clock) {
    this.#hop0Update = new Operation(clock);
    this.#invalidation = new Operation(clock);
    this.#memoryCache = new Operation(clock);
    this.registers = new RegisterBlock(stlb, 'STLB', {
      BUSY: {
        read: () => (this.#hop0Update.poll() ? BUSY.BUSY : 0),
        write: (value) => this.#setHop0(value),
      },
      INV_ALL_START: {
        read: () => (this.#invalidation.poll() ? this.registers.get('INV_ALL_START') : 0),
        write: (value) => {
          if (value & 1) this.#invalidate('INV_ALL_START', value);
        },
      },
      INV_PS: {
        read: () => {
          this.#invalidation.poll();
          return this.registers.get('INV_PS');
        },
        write: (value) => this.#invalidateByQueue(value),
      },
      INV_CONSUMER_INDEX: {
        read: () => {
          this.#invalidation.poll();
          return this.#consumerIndex;
        },
      },
      INV_HIT_COUNT: { read: () => Math.min(this.#hitCount, MAX_HIT_COUNT) },
      // The memories are there from the start: there is nothing to initialise.
      SRAM_INIT: { read: () => 0 },
      MEM_CACHE_INVALIDATION: {
        read: () => (this.#memoryCache.poll() ? 1 : 0),
        // The walker reads page tables from memory each time, so that the page-table cache is always empty.
        write: (value) => {
          if (value & 1) this.#memoryCache.start(CONTROL_NS, () => {});
        },
      },
      MEM_CACHE_INV_STATUS: {
        read: () =>
          this.#memoryCache.poll() ? 0 : MEM_CACHE_INV_STATUS.INVALIDATE_DONE | MEM_CACHE_INV_STATUS.CACHE_IDLE,
      },
    });
  }

  /** Address of the hop-0 table of an address space, or undefined when none was set. */
  hop0(asid: number): number | undefined {
    return this.#hop0.get(asid);
  }

  /** @returns physical address of the small page that holds `virtual`, or undefined when it is not cached. */
  small(asid: number, virtual: number): number | undefined {
    return this.#small.get(asid, virtual);
  }

  /** How many small pages from `virtual` on, at most `limit`, are cached and lie next to each other from `physical` on. */
  smallRun(asid: number, virtual: number, physical: number, limit: number): number {
    return this.#small.run(asid, virtual, physical, limit);
  }

  /** The same as `small` for large pages. */
  large(asid: number, virtual: number): number | undefined {
    return this.#large.get(asid, virtual);
  }

  insertSmall(asid: number, virtual: number, physical: number): void {
    this.#small.set(asid, virtual, physical);
  }

  insertLarge(asid: number, virtual: number, physical: number): void {
    this.#large.set(asid, virtual, physical);
  }

  busy(): boolean {
    return this.#hop0Update.running() || this.#invalidation.running() || this.#memoryCache.running();
  }

  reset(): void {
    this.#hop0Update.cancel();
    this.#invalidation.cancel();
    this.#memoryCache.cancel();
    this.#hop0.clear();
    this.#small.clear();
    this.#large.clear();
    this.#consumerIndex = 0;
    this.#hitCount = 0;
    this.registers.reset();
  }

  #setHop0(value: number): void {
    if ((value & BUSY.BUSY) === 0) return;
    const asid = this.registers.get('ASID') & 0x3ff;
    const low = this.registers.get('HOP0_PA43_12') * 2 ** 12;
    const high = (this.registers.get('HOP0_PA49_44') & 0x3f) * 2 ** 44;
    this.#hop0Update.start(CONTROL_NS, () => this.#hop0.set(asid, high + low));
  }

  #invalidateByQueue(value: number): void {
    const { registers } = this;
    this.#invalidation.running();
    registers.set('INV_PS', value & 3);
    if ((value & 3) !== 2) return;
    const producer = registers.get('CACHE_INV') & 0xff;
    if (producer !== ((this.#consumerIndex + 1) & 0xff)) {
      throw new ModelError(
        'undefined',
        'STLB.CACHE_INV',
        `invalidation started with producer index ${producer} after ${this.#consumerIndex}`,
      );
    }
    this.#invalidate('INV_PS', value & 3, producer);
  }

  #invalidate(register: 'INV_PS' | 'INV_ALL_START', value: number, producer?: number): void {
    this.#invalidation.finish();
    this.registers.set(register, value);
    this.#invalidation.start(INVALIDATION_NS, () => {
      this.#hitCount = this.#small.size + this.#large.size;
      this.#small.clear();
      this.#large.clear();
      if (producer !== undefined) this.#consumerIndex = producer;
      this.registers.set(register, 0);
    });
  }
}
