/** An event queue: a ring in host memory that tells which completion queues have something new. */

import { EQE_COMPLETION, eqEntry } from '../../specs/efa/io.ts';
import type { DmaPort } from '../pci/ports.ts';
import type { Steps } from '../sim/process.ts';
import { publish } from './dma.ts';

export interface EventQueueOptions {
  readonly id: number;
  /** Bus address of the ring. */
  readonly base: number;
  /** Entries, a power of two. */
  readonly depth: number;
  readonly vector: number;
  readonly dma: DmaPort;
  interrupt(vector: number): void;
}

export class EventQueue {
  readonly id: number;
  readonly #options: EventQueueOptions;
  /** Completion queues that send their events here. */
  users = 0;
  #produced = 0;
  #armed = false;
  /** Something was written since the last interrupt. */
  #news = false;

  constructor(options: EventQueueOptions) {
    this.id = options.id;
    this.#options = options;
  }

  arm(): void {
    this.#armed = true;
    this.#tell();
  }

  /** @throws BusFault */
  *post(cqn: number): Steps {
    const { base, depth, dma } = this.#options;
    const number = this.#produced++;
    const entry = new Uint8Array(eqEntry.size);
    eqEntry.encode(entry, { phase: 1 - (Math.floor(number / depth) & 1), event_type: EQE_COMPLETION, cqn });
    yield* publish(dma, base + (number % depth) * eqEntry.size, entry, 0);
    this.#news = true;
    this.#tell();
  }

  #tell(): void {
    if (!this.#armed || !this.#news) return;
    this.#armed = false;
    this.#news = false;
    this.#options.interrupt(this.#options.vector);
  }
}
