/**
 * A completion queue: `subQueues` rings, one behind the other, in host memory. The phase of an entry tells the host that
 * it is new. In interrupt mode an event follows the first completion after the queue was armed; what came between the
 * last event and the arming counts as well, or it would be lost.
 */

import { completion, SRC_ADDR, UNKNOWN_AH } from '../../specs/efa/io.ts';
import type { Steps } from '../sim/process.ts';
import { publish } from './dma.ts';
import type { EventQueue } from './event-queue.ts';
import { type RingPlace, ringAddress } from './ring.ts';

export interface CompletionQueueOptions {
  readonly id: number;
  readonly uar: number;
  readonly place: RingPlace;
  readonly subQueues: number;
  /** Entries of a ring, a power of two. */
  readonly depth: number;
  /** Bytes: 16 or 32. */
  readonly entrySize: number;
  /** Entries tell the address of senders that have no address handle here. */
  readonly sourceAddress: boolean;
  /** Present in interrupt mode. */
  readonly events: EventQueue | undefined;
}

export type Completion = Parameters<typeof completion.encode>[1];

export class CompletionQueue {
  readonly id: number;
  readonly options: CompletionQueueOptions;
  /** Queues that complete here. */
  users = 0;
  #next = 0;
  readonly #produced: number[];
  #armed = false;
  #news = false;
  destroyed = false;

  constructor(options: CompletionQueueOptions) {
    this.id = options.id;
    this.options = options;
    this.#produced = new Array(options.subQueues).fill(0);
  }

  /** The ring that a new queue shall use. */
  takeSubQueue(): number {
    return this.#next++ % this.options.subQueues;
  }

  *arm(): Steps {
    this.#armed = true;
    yield* this.#tell();
  }

  /** Writes a completion. @param source the sender's address, told where its handle is unknown @throws BusFault */
  *post(subQueue: number, values: Completion, source?: Uint8Array): Steps {
    if (this.destroyed) return;
    const { depth, entrySize, place, sourceAddress } = this.options;
    const number = this.#produced[subQueue] as number;
    this.#produced[subQueue] = number + 1;
    const entry = new Uint8Array(completion.size);
    completion.encode(entry, { ...values, phase: 1 - (Math.floor(number / depth) & 1) });
    if (source && sourceAddress && values.ah === UNKNOWN_AH) entry.set(source, SRC_ADDR);
    const offset = (subQueue * depth + (number % depth)) * entrySize;
    yield* publish(place.dma, ringAddress(place, offset), entry.subarray(0, entrySize), 0);
    this.#news = true;
    yield* this.#tell();
  }

  *#tell(): Steps {
    const { events } = this.options;
    if (!events || !this.#armed || !this.#news || this.destroyed) return;
    this.#armed = false;
    this.#news = false;
    yield* events.post(this.id);
  }
}
