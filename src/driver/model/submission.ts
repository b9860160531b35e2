/**
 * Submissions in flight: from the queues to their end, their time limit, what becomes of them in a reset.
 * Source: common/command_submission.c (allocate_cs, cs_do_release, hl_complete_job, cs_timedout, cs_handle_tdr,
 * hl_cs_rollback_all, hl_abort_waiting_for_cs_completions), common/hw_queue.c (hl_hw_queue_schedule_cs).
 */

import type { Timer } from '../../sim/clock.ts';
import { ASID, type Context, type Counters, MAX_PENDING } from './context.ts';
import { refuse } from './errno.ts';
import type { CoherentMemory } from './host-memory.ts';
import { type Kernel, SECOND } from './kernel.ts';
import type { QueuedJob, Queues } from './queues.ts';
import type { HwSob, Reservation, SyncStreams } from './sync-stream.ts';

export type CsType = 'default' | 'signal' | 'wait';

/** What waiters look at; it outlives the submission (struct hl_fence, struct hl_cs_compl). */
export interface Fence {
  readonly sequence: bigint;
  readonly type: CsType;
  done: boolean;
  /** Who waits for one of several sees its end; that of later parts of a submission is never shown (mcs_handling_done). */
  seen: boolean;
  /** External queues of the submission, by whose ends those wake up who wait for one of several (stream_master_qid_map). */
  masters: readonly number[];
  error: 'ETIMEDOUT' | 'EIO' | 'EBUSY' | undefined;
  /** ns; 0 when it was not asked for. */
  timestamp: number;
  sob: HwSob | undefined;
  value: number;
  /** It is the first part of a submission that makes reserved signals. */
  reservation: Reservation | undefined;
}

export interface Job extends QueuedJob {
  /** Which of its submission, from 1 on; that of a signal or a wait is 0. */
  readonly id: number;
  readonly cs: Cs;
  readonly external: boolean;
  readonly buffer: CoherentMemory | undefined;
}

export interface Cs {
  readonly context: Context;
  readonly type: CsType;
  readonly fence: Fence;
  readonly sequence: bigint;
  readonly jobs: Set<Job>;
  readonly jobsInQueue: Map<number, number>;
  readonly wantsTimestamp: boolean;
  readonly encapsulates: boolean;
  /** ns; infinite when there is no limit. */
  readonly timeout: number;
  readonly skipReset: boolean;
  readonly submittedAt: number;
  readonly staged: { readonly first: boolean; readonly last: boolean; readonly sequence: bigint } | undefined;
  /** Of the first part: the parts so far, without itself. */
  readonly parts: Cs[];
  /** WAIT: the signal's fence, and the reservation it is of. */
  readonly signal: Fence | undefined;
  readonly awaited: { readonly reservation: Reservation; readonly offset: number } | undefined;
  /** Reservation that the first part makes the signals of. */
  readonly reservationId: number;
  references: number;
  submitted: boolean;
  completed: boolean;
  timedOut: boolean;
  aborted: boolean;
  tdr: Timer | undefined;
  completedAt: number;
  sobOffset: number;
  signalsBefore: number;
}

/** What the submissions need of the card. */
export interface SubmissionPorts {
  readonly kernel: Kernel;
  readonly queues: Queues<Job>;
  readonly streams: SyncStreams;
  readonly counters: Counters;
  log(level: 'err' | 'warn' | 'crit' | 'dbg', text: string): void;
  /** undefined when the device works, else the status in words. */
  unavailable(): string | undefined;
  /** A submission has taken too long. @param reset whether the card must be reset */
  timedOut(cs: Cs, reset: boolean): void;
  /** A context is held by one submission less. */
  released(context: Context): void;
  /** Those who wait for one of several submissions now. */
  readonly waiters: { readonly several: number };
  /** Default limit of a submission, seconds. */
  timeout(): number;
}

export interface CsOptions {
  readonly type: CsType;
  readonly flags: { readonly timestamp: boolean; readonly encapsulates: boolean; readonly skipReset: boolean };
  readonly timeout: number;
  readonly staged?: { readonly first: boolean; readonly last: boolean; readonly sequence: bigint };
  readonly signal?: Fence;
  readonly awaited?: { readonly reservation: Reservation; readonly offset: number };
  readonly reservationId?: number;
}

function needsCompletion(cs: Cs): boolean {
  return cs.staged === undefined || cs.staged.last;
}

function needsTimeout(cs: Cs): boolean {
  return cs.staged === undefined || cs.staged.first;
}

export class Submissions {
  readonly #ports: SubmissionPorts;
  /** All that are in flight, in order (cs_mirror_list). */
  readonly #mirror: Cs[] = [];

  constructor(ports: SubmissionPorts) {
    this.#ports = ports;
  }

  /** allocate_cs and cs_staged_submission. @throws SystemError EAGAIN when too many are in flight */
  allocate(context: Context, options: CsOptions): Cs {
    const { sequence } = context;
    const slot = sequence % BigInt(MAX_PENDING);
    const other = context.pending.get(slot);
    if (other && !other.done) {
      if (options.staged && !options.staged.first && other.sequence === options.staged.sequence)
        this.#ports.log('crit', `Staged CS ${other.sequence} deadlock due to lack of resources`);
      this.#count(context, 'tooMany');
      refuse('EAGAIN');
    }
    const fence: Fence = {
      sequence,
      type: options.type,
      done: false,
      seen: false,
      masters: [],
      error: undefined,
      timestamp: 0,
      sob: undefined,
      value: 0,
      reservation: undefined,
    };
    context.pending.set(slot, fence);
    context.sequence++;
    context.references++;
    const { staged } = options;
    const cs: Cs = {
      context,
      type: options.type,
      fence,
      sequence,
      jobs: new Set(),
      jobsInQueue: new Map(),
      wantsTimestamp: options.flags.timestamp,
      encapsulates: options.flags.encapsulates,
      timeout: options.timeout,
      skipReset: options.flags.skipReset,
      submittedAt: this.#ports.kernel.now(),
      staged: staged && { ...staged, sequence: staged.first ? sequence : staged.sequence },
      parts: [],
      signal: options.signal,
      awaited: options.awaited,
      reservationId: options.reservationId ?? 0,
      references: staged && !staged.last ? 2 : 1,
      submitted: false,
      completed: false,
      timedOut: false,
      aborted: false,
      tdr: undefined,
      completedAt: 0,
      sobOffset: 0,
      signalsBefore: 0,
    };
    return cs;
  }

  /** Adds a job; those of external queues keep the submission until they end. */
  add(cs: Cs, job: Job): void {
    cs.jobs.add(job);
    cs.jobsInQueue.set(job.queue, (cs.jobsInQueue.get(job.queue) ?? 0) + 1);
    if (job.external && needsCompletion(cs)) cs.references++;
  }

  needsCompletion(cs: Cs): boolean {
    return needsCompletion(cs);
  }

  /** hl_hw_queue_schedule_cs. @throws SystemError; nothing has been handed to a queue then */
  schedule(cs: Cs): void {
    const { queues, log } = this.#ports;
    const unavailable = this.#ports.unavailable();
    if (unavailable !== undefined) {
      this.#count(cs.context, 'inReset');
      log('err', `device is ${unavailable}, CS rejected!`);
      refuse('EPERM');
    }
    const completion = needsCompletion(cs);
    const reserved: [number, number][] = [];
    try {
      for (const [queue, count] of [...cs.jobsInQueue].sort(([a], [b]) => a - b)) {
        if (!queues.reserve(queue, count, completion)) {
          this.#count(cs.context, 'queueFull');
          refuse('EAGAIN');
        }
        reserved.push([queue, count]);
      }
      if (cs.type === 'signal') this.#initSignal(cs);
      if (cs.type === 'wait') this.#initWait(cs);
      if (cs.encapsulates && cs.staged?.first) this.#initEncapsulated(cs);
      this.#joinParts(cs);
    } catch (error) {
      if (completion) for (const [queue, count] of reserved) queues.unreserve(queue, count);
      throw error;
    }
    this.#mirror.push(cs);
    if (this.#mirror[0] === cs && needsTimeout(cs)) this.#startTimeout(cs);
    for (const job of cs.jobs) queues.schedule(job, completion);
    cs.submitted = true;
  }

  /** Gives up what was not submitted (cs_rollback), or the reference of who submitted it. */
  rollback(cs: Cs): void {
    if (!needsCompletion(cs)) this.put(cs);
    for (const job of [...cs.jobs]) this.completeJob(job);
  }

  put(cs: Cs): void {
    if (--cs.references === 0) this.#release(cs);
  }

  /** hl_complete_job. */
  completeJob(job: Job, at?: number): void {
    const { cs } = job;
    if (!cs.jobs.delete(job)) return;
    job.buffer?.free();
    if (job.external && needsCompletion(cs)) {
      if (at !== undefined) cs.completedAt = at;
      this.put(cs);
    }
  }

  /** The card has told the end of some (hl_irq_handler_cq, job_wq_completion). */
  handleCompletions(): void {
    const now = this.#ports.kernel.now();
    for (const job of this.#ports.queues.takeCompletions()) this.completeJob(job, now);
  }

  /** hl_cs_rollback_all. */
  rollbackAll(): void {
    for (const cs of [...this.#mirror]) {
      if (!this.#mirror.includes(cs)) continue;
      cs.references++;
      cs.aborted = true;
      this.#ports.log('warn', `Killing CS ${ASID}.${cs.sequence}`);
      this.rollback(cs);
      this.put(cs);
    }
    this.#endWaits();
  }

  /** hl_abort_waiting_for_cs_completions: nobody waits any longer, the submissions stay. */
  abortWaiters(): void {
    for (const { fence } of this.#mirror) {
      fence.error = 'EIO';
      fence.done = true;
    }
    for (const context of new Set(this.#mirror.map((cs) => cs.context))) context.progress.notify();
    this.#endWaits();
  }

  /** force_complete_multi_cs. Those who wait look at their submissions, which have all ended. */
  #endWaits(): void {
    for (let i = 0; i < this.#ports.waiters.several; i++)
      this.#ports.log('err', `multi-CS completion context ${i} still waiting when calling force completion`);
  }

  /** In order. */
  get inFlight(): readonly Cs[] {
    return this.#mirror;
  }

  get active(): number {
    return this.#mirror.filter((cs) => !cs.completed).length;
  }

  #initSignal(cs: Cs): void {
    const job = [...cs.jobs][0] as Job;
    const { sob, value, before, packets } = this.#ports.streams.signal(job.queue);
    cs.fence.sob = sob;
    cs.fence.value = value;
    job.buffer?.bytes.set(packets);
    cs.sobOffset = sob.offset;
    cs.signalsBefore = before;
  }

  #initWait(cs: Cs): void {
    const job = [...cs.jobs][0] as Job;
    const signal = cs.signal as Fence;
    if (cs.awaited) {
      const { reservation, offset } = cs.awaited;
      cs.fence.sob = reservation.sob;
      cs.fence.value = reservation.first + (offset > 0 ? offset - 1 : 0);
    } else {
      cs.fence.sob = signal.sob;
      cs.fence.value = signal.value;
    }
    // it may have come meanwhile, and its sync object begin anew
    if (signal.done) refuse('EINVAL');
    const sob = cs.fence.sob as HwSob;
    this.#ports.streams.get(sob);
    job.buffer?.bytes.set(this.#ports.streams.wait(job.queue, sob, cs.fence.value));
  }

  #initEncapsulated(cs: Cs): void {
    const reservation = cs.context.reservations.get(cs.reservationId);
    if (!reservation) {
      this.#ports.log('err', `encaps handle id(${cs.reservationId}) wasn't found!`);
      refuse('EINVAL');
    }
    reservation.sequence = cs.sequence;
    cs.fence.reservation = reservation;
    cs.fence.sob = reservation.sob;
    cs.fence.value = reservation.first + reservation.count;
  }

  #joinParts(cs: Cs): void {
    if (!cs.staged || cs.staged.first) return;
    const { sequence } = cs.staged;
    const first = this.#firstPart(sequence);
    if (!first) {
      this.#ports.log('err', `Cannot find staged submission sequence ${sequence}`);
      refuse('EINVAL');
    }
    if (first.staged?.last || first.parts.some((part) => part.staged?.last)) {
      this.#ports.log('err', `Staged submission sequence ${sequence} already submitted`);
      refuse('EINVAL');
    }
    first.parts.push(cs);
  }

  #firstPart(sequence: bigint): Cs | undefined {
    return this.#mirror.findLast((cs) => cs.staged?.first && cs.sequence === sequence);
  }

  /** cs_do_release. */
  #release(cs: Cs): void {
    const { kernel, queues, streams, log } = this.#ports;
    cs.completed = true;
    for (const job of [...cs.jobs]) this.completeJob(job);
    if (cs.submitted) {
      for (const [queue, count] of cs.jobsInQueue) {
        // external queues of submissions that tell their end count by the completions
        const told = needsCompletion(cs) && streams.supports(queue);
        if (!told) queues.release(queue, count);
      }
      const at = this.#mirror.indexOf(cs);
      if (at >= 0) this.#mirror.splice(at, 1);
      this.#endTimeout(cs);
      if (cs.staged) this.#releaseParts(cs);
      if (cs.awaited) this.putReservation(cs.context, cs.awaited.reservation);
    }
    const { fence } = cs;
    if (cs.timedOut) fence.error = 'ETIMEDOUT';
    else if (cs.aborted) fence.error = 'EIO';
    else if (!cs.submitted) fence.error = 'EBUSY';
    if (cs.skipReset) {
      const seconds = Math.floor((kernel.now() - cs.submittedAt) / SECOND);
      log('err', `Command submission ${cs.sequence} completed after ${seconds} (s)`);
    }
    if (cs.wantsTimestamp) {
      fence.timestamp = cs.completedAt;
      cs.context.remember(cs.sequence, { timestamp: fence.timestamp, error: fence.error });
    }
    fence.done = true;
    if (cs.staged === undefined || cs.staged.first) {
      fence.seen = true;
      for (const queue of fence.masters) cs.context.ends.set(queue, (cs.context.ends.get(queue) ?? 0) + 1);
    }
    cs.context.progress.notify();
    const counts = cs.type === 'signal' || cs.type === 'wait' || fence.reservation !== undefined;
    if (cs.submitted && fence.sob && counts) streams.put(fence.sob);
    this.#ports.released(cs.context);
  }

  #releaseParts(cs: Cs): void {
    const first = cs.staged?.first ? cs : this.#firstPart(cs.staged?.sequence ?? 0n);
    if (cs.staged?.last && first) {
      const others = [first, ...first.parts].filter((part) => part !== cs);
      for (const part of others) if (!needsCompletion(part)) this.put(part);
    }
    if (first && first !== cs) {
      const at = first.parts.indexOf(cs);
      if (at >= 0) first.parts.splice(at, 1);
    }
    if (cs.fence.reservation) this.putReservation(cs.context, cs.fence.reservation);
  }

  /** hl_encaps_release_handle_and_put_ctx. */
  putReservation(context: Context, reservation: Reservation): void {
    if (--reservation.references > 0) return;
    context.reservations.delete(reservation.id);
    this.#ports.released(context);
  }

  /** Reservations that no submission uses end in a reset (release_reserved_encaps_signals). */
  releaseReservations(context: Context): void {
    for (const reservation of [...context.reservations.values()]) {
      if (reservation.sequence !== undefined) continue;
      context.reservations.delete(reservation.id);
      this.#ports.streams.put(reservation.sob);
      this.#ports.released(context);
    }
  }

  #startTimeout(cs: Cs): void {
    const { kernel } = this.#ports;
    if (cs.tdr || !Number.isFinite(cs.timeout)) return;
    cs.tdr = kernel.clock.at(kernel.clock.now() + cs.timeout, () => this.#timeout(cs));
  }

  /** cs_handle_tdr: the limit of the next begins when the one before has ended. */
  #endTimeout(ended: Cs): void {
    if (!needsTimeout(ended) || ended.timedOut) return;
    ended.tdr?.cancel();
    const next = this.#mirror.find(needsTimeout);
    if (next) this.#startTimeout(next);
  }

  /** cs_timedout. */
  #timeout(cs: Cs): void {
    if (!cs.submitted || cs.completed) return;
    // unmarked it may yet end, and here does: in the kernel not while this is going on (docs/findings/0013)
    if (!cs.skipReset) cs.timedOut = true;
    const kind = { default: 'Command', signal: 'Signal command', wait: 'Wait command' }[cs.type];
    // the driver's own limit, whatever that of the submission (docs/findings/suspected.md)
    this.#ports.log('err', `${kind} submission ${cs.sequence} has not finished in ${this.#ports.timeout()} seconds!`);
    this.#ports.timedOut(cs, !cs.skipReset);
  }

  #count(context: Context, counter: keyof Counters): void {
    context.counters[counter]++;
    this.#ports.counters[counter]++;
  }
}
