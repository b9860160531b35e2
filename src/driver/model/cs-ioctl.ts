/**
 * DRM_IOCTL_HL_CS: what a program hands to the queues. Checks in the driver's order, with its errnos.
 * Source: common/command_submission.c (hl_cs_ioctl, hl_cs_sanity_checks, hl_cs_ctx_switch, cs_ioctl_default,
 * cs_ioctl_signal_wait, cs_ioctl_reserve_signals, cs_ioctl_unreserve_signals), gaudi.c (gaudi_parse_cb_mmu).
 */

import { pcieWrap } from '../../../specs/gaudi/registers/pcie.ts';
import type { Steps } from '../../sim/process.ts';
import { csConstants, csFlags, DRM_IOCTL_HL_CS, hl_cs_chunk, type hl_cs_in } from '../../uapi/habanalabs/cs.ts';
import { queueNames, queueRow } from '../../uapi/habanalabs/gaudi.ts';
import { values } from '../../uapi/rows.ts';
import type { Decoded } from '../../uapi/struct.ts';
import { ASID, type Context, type Counters } from './context.ts';
import { type Errno, errnoOf, negative, refuse } from './errno.ts';
import type { Kernel } from './kernel.ts';
import { SECOND } from './kernel.ts';
import { validatePackets, validatePlace } from './parser.ts';
import type { PciDevice } from './pci.ts';
import { patchedSize } from './queues.ts';
import { register } from './registers.ts';
import type { Cs, Job, Submissions } from './submission.ts';
import type { Reservation, SyncStreams } from './sync-stream.ts';

const FLAG = values(csFlags);
const KINDS =
  FLAG.HL_CS_FLAGS_SIGNAL |
  FLAG.HL_CS_FLAGS_WAIT |
  FLAG.HL_CS_FLAGS_COLLECTIVE_WAIT |
  FLAG.HL_CS_FLAGS_RESERVE_SIGNALS_ONLY |
  FLAG.HL_CS_FLAGS_UNRESERVE_SIGNALS_ONLY |
  FLAG.HL_CS_FLAGS_ENGINE_CORE_COMMAND |
  FLAG.HL_CS_FLAGS_ENGINES_COMMAND |
  FLAG.HL_CS_FLAGS_FLUSH_PCI_HBW_WRITES;
const SYNC = FLAG.HL_CS_FLAGS_SIGNAL | FLAG.HL_CS_FLAGS_WAIT | FLAG.HL_CS_FLAGS_COLLECTIVE_WAIT;
/** What a wait ends with that a signal interrupts (linux/errno.h, ERESTARTSYS). */
const INTERRUPTED = -512;
const NONE = 0xffff_ffff_ffff_ffffn;
/** habanalabs.h, HL_MAX_SOB_VAL. */
const MAX_SIGNALS = 1 << 15;
/** Sizes of the driver's command buffers (gaudi_get_signal_cb_size, gaudi_get_wait_cb_size). */
const SIGNAL_SIZE = 8 + 2 * 16;
const WAIT_SIZE = 4 * 8 + 8 + 2 * 16;

type Input = Decoded<typeof hl_cs_in>;
type Chunk = Decoded<typeof hl_cs_chunk>;

export interface CsPorts {
  readonly kernel: Kernel;
  readonly card: PciDevice;
  readonly submissions: Submissions;
  readonly streams: SyncStreams;
  readonly counters: Counters;
  log(level: 'err' | 'warn' | 'crit' | 'dbg', text: string): void;
  operational(): boolean;
  /** Default limit of a submission, seconds. */
  timeout(): number;
  /** No submission that takes too long has the card reset. */
  skipsReset(): boolean;
}

/** The answer, by what was asked for. */
interface Answer {
  seq?: bigint;
  handle_id?: number;
  count?: number;
  sob_base_addr_offset?: number;
  sob_count_before_submission?: number;
}

export class CsIoctl {
  readonly #ports: CsPorts;

  constructor(ports: CsPorts) {
    this.#ports = ports;
  }

  /** @param argument read and written in place. @throws SystemError */
  *call(context: Context, argument: Uint8Array): Steps {
    const { in: input } = DRM_IOCTL_HL_CS.argument.decode(argument);
    let answer: Answer = { seq: NONE };
    // until the restore phase is over the driver does not look at what it is asked for
    let restored = false;
    const put = (out: Answer & { status: number }) => DRM_IOCTL_HL_CS.argument.encodeInto(argument, 0, { out });
    try {
      this.#check(input);
      yield* this.#restore(context, input);
      restored = true;
      answer = this.#perform(context, input);
      put({ ...answer, status: csConstants.HL_CS_STATUS_SUCCESS.value });
    } catch (error) {
      // the driver leaves the argument alone for who tries again
      const code = errnoOf(error);
      if (code !== 'EAGAIN') put({ ...(restored ? this.#nothing(input) : answer), status: negative(code) >>> 0 });
      throw error;
    }
  }

  #nothing(input: Input): Answer {
    return input.cs_flags & FLAG.HL_CS_FLAGS_RESERVE_SIGNALS_ONLY ? {} : { seq: NONE };
  }

  /** hl_cs_sanity_checks. */
  #check(input: Input): void {
    if (input.pad.some((byte) => byte !== 0)) refuse('EINVAL');
    if (!this.#ports.operational()) refuse('EBUSY');
    const kind = input.cs_flags & KINDS;
    if ((kind & (kind - 1)) !== 0) this.#fail('EINVAL', `CS type flags are mutually exclusive, context ${ASID}`);
    if (kind === 0 && input.num_chunks_execute === 0)
      this.#fail('EINVAL', `Got execute CS with 0 chunks, context ${ASID}`);
    if (kind & SYNC && input.num_chunks_execute !== 1)
      this.#fail('EINVAL', `Sync stream CS mandates one chunk only, context ${ASID}`);
  }

  /** hl_cs_ctx_switch: Gaudi has no switch of contexts, so the restore phase runs only when it is forced to. */
  *#restore(context: Context, input: Input): Steps {
    if ((input.cs_flags & FLAG.HL_CS_FLAGS_FORCE_RESTORE) === 0 || input.num_chunks_restore === 0) return;
    const { kernel } = this.#ports;
    const timeout = this.#ports.timeout();
    let sequence: bigint;
    try {
      const what = { chunks: input.chunks_restore, count: input.num_chunks_restore, flags: 0, seq: NONE };
      sequence = this.#submit(context, { ...what, handle: 0, timeout: timeout * SECOND }).seq ?? NONE;
    } catch (error) {
      this.#ports.log('err', `Failed to submit restore CS for context ${ASID} (${negative(errnoOf(error))})`);
      throw error;
    }
    const fence = context.fence(sequence);
    if (fence) {
      const limit = kernel.clock.now() + timeout * SECOND;
      const end = yield* kernel.wait(context.progress, () => fence.done, limit);
      if (end === 'interrupted')
        this.#fail('ENOEXEC', `Restore CS for context ${ASID} failed to complete ${INTERRUPTED}`);
    }
    if (fence?.error === 'ETIMEDOUT' || fence?.error === 'EIO')
      this.#fail('ENOEXEC', `Restore CS for context ${ASID} failed to complete ${negative(fence.error)}`);
  }

  #perform(context: Context, input: Input): Answer {
    const flags = input.cs_flags;
    // as many seconds as it says; in the kernel the ticks of many days wrap (docs/findings/0012)
    const limit = flags & FLAG.HL_CS_FLAGS_CUSTOM_TIMEOUT ? input.timeout : this.#ports.timeout();
    if (flags & SYNC) return this.#signalOrWait(context, input, limit * SECOND);
    if (flags & FLAG.HL_CS_FLAGS_RESERVE_SIGNALS_ONLY) return this.#reserve(context, input);
    if (flags & FLAG.HL_CS_FLAGS_UNRESERVE_SIGNALS_ONLY) return this.#unreserve(context, input);
    if (flags & (FLAG.HL_CS_FLAGS_ENGINE_CORE_COMMAND | FLAG.HL_CS_FLAGS_ENGINES_COMMAND)) refuse('EPERM');
    if (flags & FLAG.HL_CS_FLAGS_FLUSH_PCI_HBW_WRITES) {
      this.#ports.card.read(register('PCIE_WRAP', pcieWrap.rows.RR_ELBI_RD_SEC_REG_CTRL));
      return { seq: NONE };
    }
    return this.#submit(context, {
      chunks: input.chunks_execute,
      count: input.num_chunks_execute,
      flags,
      seq: input.seq,
      handle: input.encaps_sig_handle_id,
      timeout: limit * SECOND,
    });
  }

  /** cs_ioctl_default. */
  #submit(
    context: Context,
    what: { chunks: bigint; count: number; flags: number; seq: bigint; handle: number; timeout: number },
  ): Answer {
    const { submissions } = this.#ports;
    const chunks = this.#copyChunks(context, what.chunks, what.count);
    const { flags } = what;
    const first = (flags & FLAG.HL_CS_FLAGS_STAGED_SUBMISSION_FIRST) !== 0;
    const last = (flags & FLAG.HL_CS_FLAGS_STAGED_SUBMISSION_LAST) !== 0;
    const isStaged = (flags & FLAG.HL_CS_FLAGS_STAGED_SUBMISSION) !== 0;
    const cs = submissions.allocate(context, {
      type: 'default',
      flags: this.#flags(flags),
      timeout: what.timeout,
      reservationId: what.handle,
      ...(isStaged ? { staged: { first, last, sequence: what.seq } } : {}),
    });
    try {
      chunks.forEach((chunk, i) => {
        this.#addJob(context, cs, chunk, i + 1);
      });
      const external = [...cs.jobs].some((job) => job.external);
      if (!external && submissions.needsCompletion(cs)) {
        this.#count(context, 'validation');
        this.#fail(
          'EINVAL',
          `Reject CS ${ASID}.${cs.sequence} since it contains only internal queues jobs and needs completion`,
        );
      }
      // signals and waits have none: nobody is woken by their end who waits for one of several
      cs.fence.masters = [...new Set([...cs.jobs].filter((job) => job.external).map((job) => job.queue))];
      this.#schedule(cs);
    } catch (error) {
      submissions.rollback(cs);
      submissions.put(cs);
      throw error;
    }
    submissions.put(cs);
    return { seq: cs.staged?.sequence ?? cs.sequence, sob_count_before_submission: cs.signalsBefore & 0xffff };
  }

  #schedule(cs: Cs): void {
    try {
      this.#ports.submissions.schedule(cs);
    } catch (error) {
      const code = errnoOf(error);
      if (code !== 'EAGAIN' && cs.type !== 'wait')
        this.#ports.log('err', `Failed to submit CS ${ASID}.${cs.sequence} to H/W queues, error ${negative(code)}`);
      throw error;
    }
  }

  #addJob(context: Context, cs: Cs, chunk: Chunk, number: number): void {
    const { kernel, submissions, log } = this.#ports;
    const kind = this.#checkQueue(context, chunk.queue_index);
    const error = (text: string) => log('err', text);
    const parse = <T>(body: () => T): T => {
      try {
        return body();
      } catch (failure) {
        this.#count(context, 'parsing');
        const rc = negative(errnoOf(failure));
        error(`Failed to parse JOB ${ASID}.${cs.sequence}.${number}, err ${rc}, rejecting the CS`);
        throw failure;
      }
    };
    const base = { cs, id: number, queue: chunk.queue_index, userSize: chunk.cb_size };
    if (kind === 'internal') {
      const address = chunk.cb_handle;
      const job = { ...base, external: false, buffer: undefined, size: chunk.cb_size, address, engineBarrier: false };
      submissions.add(cs, job);
      parse(() => {
        if (queueRow(queueNames[chunk.queue_index] as never).engine.startsWith('NIC_')) {
          error(`h/w queue ${chunk.queue_index} is disabled`);
          refuse('EINVAL');
        }
        validatePlace(address, chunk.cb_size, error);
      });
      return;
    }
    const source = this.#findBuffer(context, chunk);
    const size = submissions.needsCompletion(cs) ? patchedSize(chunk.cb_size) : chunk.cb_size;
    const buffer = kernel.memory.allocateCoherent(size);
    buffer.bytes.set(source.subarray(0, chunk.cb_size));
    try {
      const engineBarrier = parse(() => validatePackets(buffer.bytes, chunk.cb_size, error));
      submissions.add(cs, { ...base, external: true, buffer, size, address: 0n, engineBarrier });
    } catch (failure) {
      buffer.free();
      throw failure;
    }
  }

  /** validate_queue_index. */
  #checkQueue(context: Context, index: number): 'external' | 'internal' {
    const name = queueNames[index];
    const kind = name && queueRow(name).kind;
    if (kind === 'external' || kind === 'internal') return kind;
    this.#count(context, 'validation');
    if (kind === undefined) this.#fail('EINVAL', `Queue index ${index | 0} is invalid`);
    this.#fail('EINVAL', `Queue index ${index} is restricted for the kernel driver`);
  }

  /** get_cb_from_cs_chunk. */
  #findBuffer(context: Context, chunk: Chunk): Uint8Array {
    const found = context.buffers.find(chunk.cb_handle);
    // the driver takes a buffer for time stamps for a command buffer, and memory of its own for the packets: not followed
    const buffer = found?.topic === 'CB' ? found : undefined;
    const error = !buffer
      ? `CB handle 0x${chunk.cb_handle.toString(16)} invalid`
      : chunk.cb_size < 8 || chunk.cb_size > buffer.size
        ? `CB size ${chunk.cb_size} invalid`
        : undefined;
    if (buffer && error === undefined) return buffer.bytes;
    this.#count(context, 'validation');
    this.#fail('EINVAL', error ?? '');
  }

  /** hl_cs_copy_chunk_array. */
  #copyChunks(context: Context, address: bigint, count: number): Chunk[] {
    const most = csConstants.HL_MAX_JOBS_PER_CS.value;
    if (count > most) {
      this.#count(context, 'validation');
      this.#fail('EINVAL', `Number of chunks can NOT be larger than ${most}`);
    }
    const bytes = this.#ports.kernel.program.bytes(address, count * hl_cs_chunk.size);
    if (!bytes) {
      this.#count(context, 'validation');
      this.#fail('EFAULT', 'Failed to copy cs chunk array from user');
    }
    return Array.from({ length: count }, (_, i) => hl_cs_chunk.decode(bytes, i * hl_cs_chunk.size));
  }

  /** cs_ioctl_signal_wait. */
  #signalOrWait(context: Context, input: Input, timeout: number): Answer {
    const { submissions, streams, kernel } = this.#ports;
    const flags = input.cs_flags;
    const [chunk] = this.#copyChunks(context, input.chunks_execute, input.num_chunks_execute) as [Chunk];
    const queue = chunk.queue_index;
    const invalid = (text: string): never => {
      this.#count(context, 'validation');
      this.#fail('EINVAL', text);
    };
    if (queue >= queueNames.length) invalid(`Queue index ${queue | 0} is invalid`);
    if (!streams.supports(queue)) invalid(`Queue index ${queue} does not support sync stream operations`);
    // the ports of the NICs are off in the driver of the kernel tree (nic_ports_mask is 0)
    if (flags & FLAG.HL_CS_FLAGS_COLLECTIVE_WAIT)
      invalid('Collective operations not supported when NIC ports are disabled');
    const waits = (flags & FLAG.HL_CS_FLAGS_WAIT) !== 0;
    const awaited = waits ? this.#findSignal(context, chunk, flags) : undefined;
    if (waits && !awaited) return { seq: NONE };
    const reservation = awaited?.reservation;
    let cs: Cs | undefined;
    try {
      cs = submissions.allocate(context, {
        type: waits ? 'wait' : 'signal',
        flags: this.#flags(flags),
        timeout,
        ...(awaited ? { signal: awaited.fence } : {}),
        ...(reservation ? { awaited: { reservation, offset: chunk.encaps_signal_offset } } : {}),
      });
      const size = waits ? WAIT_SIZE : SIGNAL_SIZE;
      const buffer = kernel.memory.allocateCoherent(size);
      // all of it counts as the program's: the driver leaves room for the end itself
      const job: Job = {
        cs,
        id: 0,
        queue,
        external: true,
        buffer,
        size,
        userSize: size,
        address: 0n,
        engineBarrier: false,
      };
      submissions.add(cs, job);
      this.#schedule(cs);
    } catch (error) {
      if (cs) {
        submissions.rollback(cs);
        submissions.put(cs);
      }
      if (reservation) submissions.putReservation(context, reservation);
      // the signal has come meanwhile
      if (cs && waits) return { seq: NONE };
      throw error;
    }
    const { sequence, sobOffset, signalsBefore } = cs;
    submissions.put(cs);
    if (waits) return { seq: sequence };
    return { seq: sequence, sob_base_addr_offset: sobOffset, sob_count_before_submission: signalsBefore & 0xffff };
  }

  /** What a wait is for; undefined when it has come already. */
  #findSignal(context: Context, chunk: Chunk, flags: number) {
    const encapsulated = (flags & FLAG.HL_CS_FLAGS_ENCAP_SIGNALS) !== 0;
    const sequence = encapsulated ? chunk.encaps_signal_seq : this.#signalSequence(context, chunk);
    let reservation: Reservation | undefined;
    if (encapsulated) {
      reservation = [...context.reservations.values()].find((candidate) => candidate.sequence === sequence);
      if (!reservation) return undefined;
      const offset = chunk.encaps_signal_offset;
      if (offset > reservation.count)
        this.#fail('EINVAL', `offset(${offset}) value exceed max reserved signals count(${reservation.count})!`);
    }
    const fence = context.fence(sequence);
    if (fence === null) {
      this.#count(context, 'validation');
      this.#fail('EINVAL', `Failed to get signal CS with seq 0x${sequence.toString(16)}`);
    }
    if (!fence) return undefined;
    if (fence.type !== 'signal' && !(fence.type === 'default' && encapsulated)) {
      this.#count(context, 'validation');
      this.#fail('EINVAL', `CS seq 0x${sequence.toString(16)} is not of a signal/encaps-signal CS`);
    }
    if (fence.done) return undefined;
    if (reservation) reservation.references++;
    return { fence, reservation };
  }

  #signalSequence(context: Context, chunk: Chunk): bigint {
    if (chunk.num_signal_seq_arr !== 1) {
      this.#count(context, 'validation');
      this.#fail('EINVAL', 'Wait for signal CS supports only one signal CS seq');
    }
    const bytes = this.#ports.kernel.program.bytes(chunk.signal_seq_arr, 8);
    if (bytes) return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
    this.#count(context, 'validation');
    this.#fail('EFAULT', 'Failed to copy signal seq array from user');
  }

  /** cs_ioctl_reserve_signals. */
  #reserve(context: Context, input: Input): Answer {
    const { encaps_signals_count: count, encaps_signals_q_idx: queue } = input;
    const { streams } = this.#ports;
    if (count >= MAX_SIGNALS) this.#fail('EINVAL', `signals count(${count}) exceeds the max SOB value`);
    if (queue >= queueNames.length) this.#fail('EINVAL', `Queue index ${queue | 0} is invalid`);
    if (!streams.supports(queue)) this.#fail('EINVAL', `Queue index ${queue} does not support sync stream operations`);
    let id = 1;
    while (context.reservations.has(id)) id++;
    const { reservation, next } = this.#orSay('Failed to switch SOB', () => streams.reserve(queue, count, id));
    context.reservations.set(id, reservation);
    context.references++;
    return { handle_id: id, count: next, sob_base_addr_offset: reservation.sob.offset };
  }

  /** cs_ioctl_unreserve_signals. */
  #unreserve(context: Context, input: Input): Answer {
    const reservation = context.reservations.get(input.encaps_sig_handle_id);
    if (!reservation) this.#fail('EINVAL', 'failed to unreserve signals, cannot find handler');
    this.#ports.streams.unreserve(reservation);
    context.reservations.delete(reservation.id);
    context.references--;
    return { seq: NONE };
  }

  #flags(flags: number) {
    return {
      timestamp: (flags & FLAG.HL_CS_FLAGS_TIMESTAMP) !== 0,
      encapsulates: (flags & FLAG.HL_CS_FLAGS_ENCAP_SIGNALS) !== 0,
      skipReset: this.#ports.skipsReset() || (flags & FLAG.HL_CS_FLAGS_SKIP_RESET_ON_TIMEOUT) !== 0,
    };
  }

  #orSay<T>(text: string, body: () => T): T {
    try {
      return body();
    } catch (error) {
      this.#ports.log('err', text);
      throw error;
    }
  }

  #count(context: Context, counter: keyof Counters): void {
    context.counters[counter]++;
    this.#ports.counters[counter]++;
  }

  #fail(code: Errno, text: string): never {
    this.#ports.log('err', text);
    refuse(code);
  }
}
