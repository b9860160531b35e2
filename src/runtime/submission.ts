/** Command submissions: what is handed to queues, what synchronises it, and waiting for its end. */

import {
  csFlags,
  csOperations,
  DRM_IOCTL_HL_CS,
  hl_cs_chunk,
  type hl_cs_in,
  hl_engine_command,
} from '../uapi/habanalabs/cs.ts';
import { type QueueName, queueRow } from '../uapi/habanalabs/gaudi.ts';
import {
  DRM_IOCTL_HL_WAIT_CS,
  type hl_wait_cs_in,
  waitFlags,
  waitOperations,
  waitStatus,
  waitStatusFlags,
} from '../uapi/habanalabs/wait-cs.ts';
import { values } from '../uapi/rows.ts';
import type { Encodable } from '../uapi/struct.ts';
import { CommandBuffer } from './command-buffer.ts';
import type { CommandStream, Place } from './command-stream.ts';
import { addressOf } from './command-stream.ts';
import { QueueFullError, WaitTimeoutError } from './errors.ts';
import type { OpenNode } from './node.ts';
import type { WaitingRoom, WaitOptions } from './patience.ts';

const CS = values(csFlags);
const WAIT = values(waitFlags);
/** Sequence number that stands for none. */
const NONE = 0xffff_ffff_ffff_ffffn;

export type EngineCommand = 'CORE_HALT' | 'CORE_RUN' | 'STALL' | 'RESUME';

/** A queue, by its name or its number. */
export type Queue = QueueName | number;

export function queueNumber(queue: Queue): number {
  return typeof queue === 'number' ? queue : queueRow(queue).value;
}

/** Packets for an external queue. */
export interface StreamChunk {
  readonly queue: Queue;
  readonly stream: CommandStream;
}

/** A command buffer for an external queue. */
export interface BufferChunk {
  readonly queue: Queue;
  readonly buffer: CommandBuffer;
  /** Bytes of packets; default all. */
  readonly size?: number;
}

/**
 * Packets in memory that the device reaches, for an internal queue. Its own command processor does little there: transfers
 * (LIN_DMA) and what else engines do belong to the lower one, which CP_DMA feeds. `Device.load` arranges that.
 */
export interface MemoryChunk {
  readonly queue: Queue;
  readonly place: Place;
  /** Bytes of packets. */
  readonly size: number;
}

export type Chunk = (StreamChunk | BufferChunk | MemoryChunk) & {
  /** HL_CS_CHUNK_FLAGS_*. */
  readonly flags?: number;
};

export interface SubmitOptions {
  /** Work for the restore phase; on Gaudi1 it runs only with `forceRestore`. */
  readonly restore?: readonly Chunk[];
  /** Run the restore phase now. */
  readonly forceRestore?: boolean;
  /** Record when it ends. */
  readonly timestamp?: boolean;
  /** Seconds until the driver takes it for hung; the driver's default if left out. */
  readonly timeout?: number;
  readonly skipResetOnTimeout?: boolean;
  /** `first` begins a staged submission; later parts name the first one's. */
  readonly staged?: 'first' | Submission;
  /** The last part of a staged submission. */
  readonly last?: boolean;
  /** Its packets make these signals. */
  readonly signals?: Reservation;
  /** Milliseconds to go on trying while queues are full. Default 0: a QueueFullError at once. */
  readonly patience?: number;
  /** Further HL_CS_FLAGS_*. */
  readonly flags?: number;
}

/** Work that was handed over. */
export interface Submission {
  /** What the driver knows it by. */
  readonly sequence: bigint;
  /** For a signal: value of the sync object once it has been made (the driver counts it in, despite the name). */
  readonly signalsBefore: number;
}

export interface Signal extends Submission {
  /** The sync object, as an offset into the configuration space. */
  readonly sobOffset: number;
}

/** Signals reserved for packets of the caller (`reserveSignals`). */
export interface Reservation {
  readonly handle: number;
  /** Signals reserved. */
  readonly count: number;
  /** Value of the sync object when all of them have been made. */
  readonly value: number;
  /** The sync object, as an offset into the configuration space. */
  readonly sobOffset: number;
}

export interface Completion {
  /** ns, CLOCK_MONOTONIC; for submissions with `timestamp` (of several: the first to end). */
  readonly timestamp: bigint | undefined;
  /** It ended so long ago that nothing else is known. */
  readonly gone: boolean;
}

/** One of several submissions has ended. */
export interface CompletionOfSeveral extends Completion {
  /** Sequence numbers of those that have ended. */
  readonly completed: readonly bigint[];
}

/** Milliseconds of the longest call of a synchronous wait. */
const LONGEST = 60_000;
/** Nanoseconds between attempts to submit to a full queue. */
const RETRY = 200_000;

export class Submitter {
  readonly #node: OpenNode;
  readonly #waiting: WaitingRoom;

  constructor(node: OpenNode, waiting: WaitingRoom) {
    this.#node = node;
    this.#waiting = waiting;
  }

  /**
   * Hands work to queues.
   * @throws QueueFullError when there is no room and no `patience`
   */
  submit(work: Chunk | readonly Chunk[], options: SubmitOptions = {}): Submission {
    const chunks = Array.isArray(work) ? (work as readonly Chunk[]) : [work as Chunk];
    const restore = options.restore ?? [];
    // handles may go as soon as the driver has the submission: it keeps the buffers until the work has ended
    using buffers = new DisposableStack();
    const rows = [...restore, ...chunks].map((chunk) => this.#chunk(chunk, buffers));
    let seq: Pick<Encodable<typeof hl_cs_in>, 'seq' | 'encaps_sig_handle_id'> = {};
    if (options.signals) seq = { encaps_sig_handle_id: options.signals.handle };
    else if (typeof options.staged === 'object') seq = { seq: options.staged.sequence };
    const staged = options.staged !== undefined || options.last === true;
    const flags =
      (options.flags ?? 0) |
      flag(options.forceRestore, CS.HL_CS_FLAGS_FORCE_RESTORE) |
      flag(options.timestamp, CS.HL_CS_FLAGS_TIMESTAMP) |
      flag(options.timeout !== undefined, CS.HL_CS_FLAGS_CUSTOM_TIMEOUT) |
      flag(options.skipResetOnTimeout, CS.HL_CS_FLAGS_SKIP_RESET_ON_TIMEOUT) |
      flag(staged, CS.HL_CS_FLAGS_STAGED_SUBMISSION) |
      flag(options.staged === 'first', CS.HL_CS_FLAGS_STAGED_SUBMISSION_FIRST) |
      flag(options.last, CS.HL_CS_FLAGS_STAGED_SUBMISSION_LAST) |
      flag(options.signals !== undefined, CS.HL_CS_FLAGS_ENCAP_SIGNALS);
    const out = this.#patiently(options.patience ?? 0, () => {
      const address = this.#chunks(rows);
      return this.#call('HL_CS_FLAGS_NONE', {
        chunks_restore: restore.length > 0 ? address : 0n,
        chunks_execute: address + BigInt(restore.length * hl_cs_chunk.size),
        ...seq,
        num_chunks_restore: restore.length,
        num_chunks_execute: chunks.length,
        timeout: options.timeout ?? 0,
        cs_flags: flags,
      });
    });
    return { sequence: out.seq, signalsBefore: out.sob_count_before_submission };
  }

  /** Increments a sync object of the queue when its earlier work has been done; `waitForSignal` holds another queue until then. */
  signal(queue: Queue, options: Pick<SubmitOptions, 'patience' | 'flags'> = {}): Signal {
    const out = this.#single('HL_CS_FLAGS_SIGNAL', { queue_index: queueNumber(queue) }, options);
    return {
      sequence: out.seq,
      signalsBefore: out.sob_count_before_submission,
      sobOffset: out.sob_base_addr_offset,
    };
  }

  /** Holds the queue until `signal` has come. @returns undefined when it has come already. */
  waitForSignal(
    queue: Queue,
    signal: Signal,
    options: Pick<SubmitOptions, 'patience' | 'flags'> = {},
  ): Submission | undefined {
    return this.#waitFor('HL_CS_FLAGS_WAIT', queue, { signal }, options);
  }

  /**
   * Holds the queue until a submission made with `signals` has made so many of them.
   * @param offset which of them, from 0. @returns undefined when they have come already.
   */
  waitForEncapsulated(
    queue: Queue,
    submission: Submission,
    offset: number,
    options: Pick<SubmitOptions, 'patience' | 'flags'> = {},
  ): Submission | undefined {
    return this.#waitFor('HL_CS_FLAGS_WAIT', queue, { submission, offset }, options);
  }

  /** Holds the NICs and an engine until `signal` has come. @param engine engine id. */
  collectiveWait(
    queue: Queue,
    signal: Signal,
    engine: number,
    options: Pick<SubmitOptions, 'patience' | 'flags'> = {},
  ): Submission | undefined {
    return this.#waitFor('HL_CS_FLAGS_COLLECTIVE_WAIT', queue, { signal, engine }, options);
  }

  /** Reserves signals of a queue, for packets to make. */
  reserveSignals(queue: Queue, count: number): Reservation {
    const out = this.#call('HL_CS_FLAGS_RESERVE_SIGNALS_ONLY', {
      encaps_signals_count: count,
      encaps_signals_q_idx: queueNumber(queue),
      cs_flags: CS.HL_CS_FLAGS_RESERVE_SIGNALS_ONLY,
    });
    return { handle: out.handle_id, count, value: out.count, sobOffset: out.sob_base_addr_offset };
  }

  /** Gives a reservation back; possible only while nobody has signalled since. */
  unreserveSignals(reservation: Reservation): void {
    this.#call('HL_CS_FLAGS_UNRESERVE_SIGNALS_ONLY', {
      encaps_sig_handle_id: reservation.handle,
      cs_flags: CS.HL_CS_FLAGS_UNRESERVE_SIGNALS_ONLY,
    });
  }

  /** Halts or runs engine cores, or stalls or resumes engines; Gaudi1 has neither. @param engines their ids. */
  engines(command: EngineCommand, engines: readonly number[]): void {
    const { address, bytes } = this.#node.scratch(engines.length * 4);
    new Uint32Array(bytes.buffer, bytes.byteOffset).set(engines);
    const value = hl_engine_command[`HL_ENGINE_${command}`].value;
    if (command.startsWith('CORE_')) {
      this.#call('HL_CS_FLAGS_ENGINE_CORE_COMMAND', {
        engine_cores: address,
        num_engine_cores: engines.length,
        core_command: value,
        cs_flags: CS.HL_CS_FLAGS_ENGINE_CORE_COMMAND,
      });
    } else {
      this.#call('HL_CS_FLAGS_ENGINES_COMMAND', {
        engines: address,
        num_engines: engines.length,
        engine_command: value,
        cs_flags: CS.HL_CS_FLAGS_ENGINES_COMMAND,
      });
    }
  }

  /** Waits until posted writes of the device have arrived in host memory. */
  flushPciWrites(): void {
    this.#call('HL_CS_FLAGS_FLUSH_PCI_HBW_WRITES', { cs_flags: CS.HL_CS_FLAGS_FLUSH_PCI_HBW_WRITES });
  }

  /** Looks whether a submission has ended. @returns undefined when it has not. */
  poll(submission: Submission | bigint): Completion | undefined {
    return this.#wait(sequenceOf(submission), 0);
  }

  /**
   * Waits for a submission's end; the program goes on meanwhile.
   * @throws WaitTimeoutError, SubmissionTimeoutError, SubmissionAbortedError, or the signal's reason
   */
  wait(submission: Submission | bigint, options: WaitOptions = {}): Promise<Completion> {
    const sequence = sequenceOf(submission);
    return this.#until([sequence], options, (milliseconds) => this.#wait(sequence, milliseconds));
  }

  /** Waits for a submission's end; the program stands still meanwhile. @param timeout milliseconds. @throws as `wait` */
  waitSync(submission: Submission | bigint, timeout = Number.POSITIVE_INFINITY): Completion {
    const sequence = sequenceOf(submission);
    const end = this.#node.driver.now() + timeout * 1e6;
    for (;;) {
      const left = Math.max((end - this.#node.driver.now()) / 1e6, 0);
      const completion = this.#wait(sequence, Math.min(left, LONGEST));
      if (completion) return completion;
      if (this.#node.driver.now() >= end) throw new WaitTimeoutError([sequence], timeout);
    }
  }

  /** Waits until one of up to 32 submissions has ended. @throws as `wait` */
  waitAny(submissions: readonly (Submission | bigint)[], options: WaitOptions = {}): Promise<CompletionOfSeveral> {
    const sequences = submissions.map(sequenceOf);
    return this.#until(sequences, options, (milliseconds) => this.#waitSeveral(sequences, milliseconds));
  }

  #waitFor(
    kind: 'HL_CS_FLAGS_WAIT' | 'HL_CS_FLAGS_COLLECTIVE_WAIT',
    queue: Queue,
    what: { signal: Signal; engine?: number } | { submission: Submission; offset: number },
    options: Pick<SubmitOptions, 'patience' | 'flags'>,
  ): Submission | undefined {
    const queue_index = queueNumber(queue);
    const out =
      'signal' in what
        ? this.#single(
            kind,
            { queue_index, num_signal_seq_arr: 1, collective_engine_id: what.engine ?? 0 },
            options,
            what.signal.sequence,
          )
        : this.#single(
            kind,
            { queue_index, encaps_signal_seq: what.submission.sequence, encaps_signal_offset: what.offset },
            { ...options, flags: (options.flags ?? 0) | CS.HL_CS_FLAGS_ENCAP_SIGNALS },
          );
    return out.seq === NONE ? undefined : { sequence: out.seq, signalsBefore: 0 };
  }

  /** A submission of one chunk. @param sequence put into memory for the chunk to point to. */
  #single(
    kind: 'HL_CS_FLAGS_SIGNAL' | 'HL_CS_FLAGS_WAIT' | 'HL_CS_FLAGS_COLLECTIVE_WAIT',
    chunk: Encodable<typeof hl_cs_chunk>,
    options: Pick<SubmitOptions, 'patience' | 'flags'>,
    sequence?: bigint,
  ) {
    return this.#patiently(options.patience ?? 0, () => {
      const { address, bytes } = this.#node.scratch(hl_cs_chunk.size + 8);
      const after = hl_cs_chunk.size;
      if (sequence !== undefined)
        new DataView(bytes.buffer, bytes.byteOffset + after, 8).setBigUint64(0, sequence, true);
      const pointer = sequence === undefined ? {} : { signal_seq_arr: address + BigInt(after) };
      hl_cs_chunk.encodeInto(bytes, 0, { ...chunk, ...pointer } as Encodable<typeof hl_cs_chunk>);
      const cs_flags = CS[kind] | (options.flags ?? 0);
      return this.#call(kind, { chunks_execute: address, num_chunks_execute: 1, cs_flags });
    });
  }

  #chunk(chunk: Chunk, buffers: DisposableStack): Encodable<typeof hl_cs_chunk> {
    const common = { queue_index: queueNumber(chunk.queue), cs_chunk_flags: chunk.flags ?? 0 };
    if ('stream' in chunk) {
      const { bytes } = chunk.stream;
      const buffer = buffers.use(new CommandBuffer(this.#node, bytes.length));
      buffer.bytes.set(bytes);
      return { ...common, cb_handle: buffer.handle, cb_size: bytes.length };
    }
    if ('buffer' in chunk)
      return { ...common, cb_handle: chunk.buffer.handle, cb_size: chunk.size ?? chunk.buffer.size };
    return { ...common, cb_handle: addressOf(chunk.place), cb_size: chunk.size };
  }

  /** Puts chunks where the driver can read them. @returns their address. */
  #chunks(rows: readonly Encodable<typeof hl_cs_chunk>[]): bigint {
    const { address, bytes } = this.#node.scratch(rows.length * hl_cs_chunk.size);
    rows.forEach((row, i) => {
      hl_cs_chunk.encodeInto(bytes, i * hl_cs_chunk.size, row);
    });
    return address;
  }

  #call(kind: keyof typeof csOperations, input: Encodable<typeof hl_cs_in>) {
    const { chunks_execute: _, chunks_restore: __, engine_cores: ___, engines: ____, ...shown } = input;
    return this.#node.call(DRM_IOCTL_HL_CS, { name: kind, row: csOperations[kind] }, { in: input }, nonZero(shown)).out;
  }

  /** Tries again while there is no room, for `patience` milliseconds. */
  #patiently<T>(patience: number, attempt: () => T): T {
    const { driver } = this.#node;
    const end = driver.now() + patience * 1e6;
    for (;;) {
      try {
        return attempt();
      } catch (error) {
        if (!(error instanceof QueueFullError) || driver.now() >= end) throw error;
        driver.sleep(RETRY);
      }
    }
  }

  async #until<T>(
    sequences: readonly bigint[],
    options: WaitOptions,
    attempt: (milliseconds: number) => T | undefined,
  ): Promise<T> {
    const answer = await this.#waiting.until(options, attempt);
    if (answer === undefined) throw new WaitTimeoutError(sequences, options.timeout ?? Number.POSITIVE_INFINITY);
    return answer;
  }

  #wait(sequence: bigint, milliseconds: number): Completion | undefined {
    const input = { seq: sequence, timeout_us: microseconds(milliseconds) };
    const out = this.#waitCall('HL_WAIT_CS_FLAGS_NONE', input, { seq: sequence });
    return out && completionOf(out);
  }

  #waitSeveral(sequences: readonly bigint[], milliseconds: number): CompletionOfSeveral | undefined {
    const { address, bytes } = this.#node.scratch(sequences.length * 8);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    sequences.forEach((sequence, i) => {
      view.setBigUint64(i * 8, sequence, true);
    });
    const out = this.#waitCall(
      'HL_WAIT_CS_FLAGS_MULTI_CS',
      {
        seq: address,
        timeout_us: microseconds(milliseconds),
        flags: WAIT.HL_WAIT_CS_FLAGS_MULTI_CS,
        seq_arr_len: sequences.length,
      },
      { seq_arr_len: sequences.length },
    );
    if (!out) return undefined;
    const completed = sequences.filter((_, i) => (out.cs_completion_map >>> i) & 1);
    return { ...completionOf(out), completed };
  }

  /** @returns undefined when it is busy still. */
  #waitCall(
    kind: keyof typeof waitOperations,
    input: Encodable<typeof hl_wait_cs_in>,
    shown: Readonly<Record<string, unknown>>,
  ) {
    const named = { name: kind, row: waitOperations[kind] };
    const { out } = this.#node.call(DRM_IOCTL_HL_WAIT_CS, named, { in: input }, shown);
    return out.status === waitStatus.HL_WAIT_CS_STATUS_COMPLETED.value ? out : undefined;
  }
}

function completionOf(out: { readonly flags: number; readonly timestamp_nsec: bigint }): Completion {
  const { HL_WAIT_CS_STATUS_FLAG_GONE, HL_WAIT_CS_STATUS_FLAG_TIMESTAMP_VLD } = waitStatusFlags;
  return {
    gone: (out.flags & HL_WAIT_CS_STATUS_FLAG_GONE.value) !== 0,
    timestamp: out.flags & HL_WAIT_CS_STATUS_FLAG_TIMESTAMP_VLD.value ? out.timestamp_nsec : undefined,
  };
}

function sequenceOf(submission: Submission | bigint): bigint {
  return typeof submission === 'bigint' ? submission : submission.sequence;
}

function microseconds(milliseconds: number): number {
  return Math.ceil(milliseconds * 1000);
}

function flag(on: boolean | undefined, value: number): number {
  return on ? value : 0;
}

function nonZero(input: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== 0 && value !== 0n));
}
