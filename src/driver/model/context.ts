/**
 * A context: what a program that has the compute node open has of the card. There is one at a time.
 * Source: common/context.c, common/habanalabs.h (struct hl_ctx, struct hl_fpriv).
 */

import { Condition } from '../../sim/process.ts';
import type { Buffers } from './buffers.ts';
import type { Task } from './kernel.ts';
import type { Fence } from './submission.ts';
import type { Reservation } from './sync-stream.ts';
import type { UserMemory } from './user-memory.ts';

/** Submissions refused, by why (struct hl_cs_counters_atomic). */
export interface Counters {
  outOfMemory: number;
  parsing: number;
  queueFull: number;
  inReset: number;
  tooMany: number;
  validation: number;
}

export function counters(): Counters {
  return { outOfMemory: 0, parsing: 0, queueFull: 0, inReset: 0, tooMany: 0, validation: 0 };
}

/** The driver's own address space is 0, that of programs 1. */
export const ASID = 1;
/** gaudiP.h, GAUDI_MAX_PENDING_CS. */
export const MAX_PENDING = 16384;
/** habanalabs.h, HL_CS_OUTCOME_HISTORY_LEN. */
const OUTCOMES = 256;

/** How a submission ended that asked for a time stamp. */
export interface Outcome {
  readonly timestamp: number;
  readonly error: 'ETIMEDOUT' | 'EIO' | 'EBUSY' | undefined;
}

export class Context {
  readonly buffers: Buffers;
  readonly memory: UserMemory;
  readonly counters = counters();
  /** The number of the next submission. */
  sequence = 1n;
  /** The last submissions, by number modulo their count. */
  readonly pending = new Map<bigint, Fence>();
  readonly #outcomes = new Map<bigint, Outcome>();
  readonly reservations = new Map<number, Reservation>();
  /** Bytes that the program says it uses (dram_phys_mem). */
  dram = 0n;
  /** The open file, and whatever keeps the context alive: submissions, exported memory. */
  references = 1;
  /** Of the eventfd that is told of events. */
  eventfd: { signal(): void } | undefined;
  /** Notified when a submission has ended, or nobody shall wait for one any longer. */
  readonly progress = new Condition();
  /** How many submissions have ended that used an external queue, by its number. */
  readonly ends = new Map<number, number>();
  /** Who opened the node (taskpid): a reset ends the program if it keeps the card. */
  readonly owner: Task;
  events = 0n;

  constructor(owner: Task, buffers: Buffers, memory: UserMemory) {
    this.owner = owner;
    this.buffers = buffers;
    this.memory = memory;
  }

  /** hl_ctx_get_fence. @returns undefined when it is so long ago that it is forgotten, null when it is not yet */
  fence(sequence: bigint): Fence | undefined | null {
    if (sequence >= this.sequence) return null;
    if (sequence + BigInt(MAX_PENDING) < this.sequence) return undefined;
    const fence = this.pending.get(sequence % BigInt(MAX_PENDING));
    return fence?.sequence === sequence ? fence : undefined;
  }

  /** hl_push_cs_outcome. */
  remember(sequence: bigint, outcome: Outcome): void {
    if (this.#outcomes.size >= OUTCOMES) {
      const oldest = this.#outcomes.keys().next().value;
      if (oldest !== undefined) this.#outcomes.delete(oldest);
    }
    this.#outcomes.set(sequence, outcome);
  }

  /** hl_pop_cs_outcome. */
  recall(sequence: bigint): Outcome | undefined {
    const outcome = this.#outcomes.get(sequence);
    this.#outcomes.delete(sequence);
    return outcome;
  }
}
