/** A queue pair: its numbers, its state, and how far its two queues are. What it does is in requester.ts and responder.ts. */

import { QP_STATE, type QpState } from '../../specs/efa/admin.ts';
import { Condition } from '../sim/process.ts';
import type { CompletionQueue } from './completion-queue.ts';
import type { RingPlace } from './ring.ts';

export interface QueuePairOptions {
  readonly id: number;
  readonly type: 'UD' | 'SRD';
  readonly pd: number;
  readonly uar: number;
  readonly send: { readonly cq: CompletionQueue; readonly subQueue: number };
  readonly receive: { readonly cq: CompletionQueue; readonly subQueue: number };
  /** In the low-latency queues' memory; depth in work requests of `entrySize` bytes. No send queue: depth 0. */
  readonly sq: { readonly offset: number; readonly depth: number; readonly entrySize: number };
  /** Depth in descriptors. No receive queue: no place. */
  readonly rq: { readonly place: RingPlace | undefined; readonly depth: number };
  /** Writes with immediate data take no work request of the receive queue. */
  readonly unsolicitedWrites: boolean;
}

/** A queue as the host fills it: counters of 16 bits that wrap. */
export class WorkQueue {
  readonly depth: number;
  posted = 0;
  consumed = 0;

  constructor(depth: number) {
    this.depth = depth;
  }

  get waiting(): number {
    return (this.posted - this.consumed) & 0xffff;
  }

  /** The doorbell. @returns false where it counts more than the ring has, and changes nothing then */
  post(counter: number): boolean {
    if (((counter - this.consumed) & 0xffff) > this.depth) return false;
    this.posted = counter & 0xffff;
    return true;
  }

  /** Index in the ring of the next entry. */
  get head(): number {
    return this.consumed % this.depth;
  }

  take(): void {
    this.consumed = (this.consumed + 1) & 0xffff;
  }

  clear(): void {
    this.posted = 0;
    this.consumed = 0;
  }
}

/** Retries when the receiver is not ready; this one: without end (IBTA, RNR retry counter). */
export const RNR_FOREVER = 7;

export class QueuePair {
  readonly id: number;
  readonly options: QueuePairOptions;
  readonly sq: WorkQueue;
  readonly rq: WorkQueue;
  state: QpState = QP_STATE.RESET;
  qkey = 0;
  sqPsn = 0;
  rnrRetry = RNR_FOREVER;
  /** Work requests that were taken and are not complete. */
  outstanding = 0;
  /** False once destroyed. */
  alive = true;
  /** Goes up when all that is outstanding is dropped. */
  generation = 0;
  /** State, doorbells, replies. */
  readonly changed = new Condition();

  constructor(options: QueuePairOptions) {
    this.id = options.id;
    this.options = options;
    this.sq = new WorkQueue(options.sq.depth);
    this.rq = new WorkQueue(options.rq.depth);
  }

  get sends(): boolean {
    return this.alive && this.state === QP_STATE.RTS;
  }

  get receives(): boolean {
    return this.alive && this.state >= QP_STATE.RTR && this.state <= QP_STATE.SQE;
  }

  setState(state: QpState): void {
    this.state = state;
    if (state === QP_STATE.RESET) {
      this.generation++;
      this.sq.clear();
      this.rq.clear();
      this.outstanding = 0;
    }
    this.changed.notify();
  }

  end(): void {
    this.alive = false;
    this.generation++;
    this.changed.notify();
  }
}
