/**
 * DRM_IOCTL_HL_WAIT_CS: waiting for submissions. Source: common/command_submission.c (hl_wait_ioctl, hl_cs_wait_ioctl,
 * hl_wait_for_fence, hl_multi_cs_wait_ioctl, hl_cs_poll_fences).
 */

import type { Steps } from '../../sim/process.ts';
import {
  DRM_IOCTL_HL_WAIT_CS,
  waitConstants,
  waitFlags,
  waitStatus,
  waitStatusFlags,
} from '../../uapi/habanalabs/wait-cs.ts';
import { values } from '../../uapi/rows.ts';
import type { Context } from './context.ts';
import { type Errno, negative, refuse } from './errno.ts';
import { type Kernel, US } from './kernel.ts';
import type { Fence } from './submission.ts';

const FLAG = values(waitFlags);
const STATUS = values(waitStatus);
const RESULT = values(waitStatusFlags);

/** habanalabs.h, MULTI_CS_MAX_USER_CTX: so many may wait for one of several at a time. */
const MOST_WAITERS = 2;

type Log = (level: 'err' | 'notice' | 'dbg', text: string) => void;
type Failure = 'ETIMEDOUT' | 'EIO' | undefined;

export interface WaitPorts {
  readonly kernel: Kernel;
  readonly log: Log;
  /** Those who wait for one of several submissions of the card now. */
  readonly waiters: { several: number };
  operational(): boolean;
}

/** hl_wait_ioctl. @throws SystemError */
export function* waitIoctl(ports: WaitPorts, context: Context, argument: Uint8Array): Steps {
  const { flags } = DRM_IOCTL_HL_WAIT_CS.argument.decode(argument).in;
  if (!ports.operational()) refuse('EBUSY');
  if (flags & FLAG.HL_WAIT_CS_FLAGS_INTERRUPT) {
    // this chip has none (gaudi.c: user_interrupt_count is 0)
    ports.log('err', 'no user interrupts allowed');
    refuse('EPERM');
  }
  if (flags & FLAG.HL_WAIT_CS_FLAGS_MULTI_CS) yield* waitForSeveral(ports, context, argument);
  else yield* waitForOne(ports, context, argument);
}

function put(
  argument: Uint8Array,
  out: { status: number; flags?: number; timestamp_nsec?: bigint; cs_completion_map?: number },
): void {
  DRM_IOCTL_HL_WAIT_CS.argument.encodeInto(argument, 0, { out });
}

function* waitForOne({ kernel, log }: WaitPorts, context: Context, argument: Uint8Array): Steps {
  const { seq, timeout_us } = DRM_IOCTL_HL_WAIT_CS.argument.decode(argument).in;
  const fence = context.fence(seq);
  const answer = (status: number, timestamp: number, gone = false) => {
    const valid = timestamp !== 0 ? RESULT.HL_WAIT_CS_STATUS_FLAG_TIMESTAMP_VLD : 0;
    const flags = valid | (gone ? RESULT.HL_WAIT_CS_STATUS_FLAG_GONE : 0);
    put(argument, { status, flags, timestamp_nsec: BigInt(timestamp) });
  };
  const fail = (error: Errno) => {
    const timedOut = error === 'ETIMEDOUT';
    const what = timedOut ? 'timed-out' : 'been aborted';
    log('err', `CS ${seq} has ${what} while user process is waiting for it`);
    put(argument, { status: timedOut ? STATUS.HL_WAIT_CS_STATUS_TIMEDOUT : STATUS.HL_WAIT_CS_STATUS_ABORTED });
    refuse(error);
  };
  if (fence === null) {
    log('notice', `Can't wait on CS ${seq} because current CS is at seq ${context.sequence}`);
    put(argument, { status: 0 });
    refuse('EINVAL');
  }
  if (fence === undefined) {
    const outcome = context.recall(seq);
    if (outcome?.error === 'ETIMEDOUT' || outcome?.error === 'EIO') fail(outcome.error);
    answer(STATUS.HL_WAIT_CS_STATUS_COMPLETED, outcome?.timestamp ?? 0, outcome === undefined);
    return;
  }
  if (timeout_us > 0n) {
    const end = yield* kernel.wait(context.progress, () => fence.done, deadline(kernel, timeout_us));
    if (end === 'interrupted') {
      log('err', `user process got signal while waiting for CS handle ${seq}`);
      refuse('EINTR');
    }
  }
  const error = failureOf(fence);
  if (error) fail(error);
  if (fence.done) answer(STATUS.HL_WAIT_CS_STATUS_COMPLETED, fence.timestamp);
  else answer(STATUS.HL_WAIT_CS_STATUS_BUSY, 0);
}

function* waitForSeveral(ports: WaitPorts, context: Context, argument: Uint8Array): Steps {
  const { kernel, log, waiters } = ports;
  const input = DRM_IOCTL_HL_WAIT_CS.argument.decode(argument).in;
  if (input.pad.some((byte) => byte !== 0)) refuse('EINVAL');
  const most = waitConstants.HL_WAIT_MULTI_CS_LIST_MAX_LEN.value;
  const count = input.seq_arr_len;
  if (count > most) {
    log('err', `Can wait only up to ${most} CSs, input sequence is of length ${count}`);
    refuse('EINVAL');
  }
  const bytes = kernel.program.bytes(input.seq, count * 8);
  if (!bytes) {
    log('err', 'Failed to copy multi-cs sequence array from user');
    refuse('EFAULT');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const sequences = Array.from({ length: count }, (_, i) => view.getBigUint64(i * 8, true));
  if (waiters.several >= MOST_WAITERS) {
    log('err', 'no available multi-CS completion structure');
    refuse('ENOMEM');
  }
  const fences = sequences.map((sequence) => {
    const fence = context.fence(sequence);
    if (fence === null) {
      log('err', `Failed to get fence for CS with seq 0x${sequence.toString(16)}`);
      refuse('EINVAL');
    }
    return fence;
  });
  const ended = (fence: Fence | undefined) => fence === undefined || (fence.done && fence.seen);
  // later parts of a staged submission are never seen: in the kernel a wait for one that has ended goes on for ever, here until
  // its time is up (docs/findings/0005)
  const over = () => fences.some((fence) => ended(fence) || (fence && failureOf(fence)));
  if (input.timeout_us > 0n && !over()) {
    // woken up by the end of any submission that shares an external queue with one of these, and by nothing else
    const masters = [...new Set(fences.flatMap((fence) => fence?.masters ?? []))];
    const count = () => masters.reduce((sum, queue) => sum + (context.ends.get(queue) ?? 0), 0);
    const until = kernel.clock.now() + span(input.timeout_us);
    let counted = count();
    const failed = () => fences.some((fence) => fence && failureOf(fence));
    const woken = () => count() !== counted || failed();
    waiters.several++;
    try {
      do {
        counted = count();
        const end = yield* kernel.wait(context.progress, woken, until);
        if (end === 'late') break;
        if (end === 'interrupted') {
          log('err', 'user process got signal while waiting for Multi-CS');
          refuse('EINTR');
        }
      } while (!over());
      // whose end does not wake, as that of signals (docs/findings/0006), is not seen then either
      if (!failed() && (!over() || count() === counted)) {
        put(argument, { status: STATUS.HL_WAIT_CS_STATUS_BUSY });
        return;
      }
    } finally {
      waiters.several--;
    }
  }
  fences.forEach((fence, i) => {
    const error = fence && failureOf(fence);
    if (!error) return;
    log('err', `wait_for_fence error :${negative(error)} for CS seq ${sequences[i]}`);
    refuse(error);
  });
  let map = 0;
  fences.forEach((fence, i) => {
    if (ended(fence)) map |= 1 << i;
  });
  if (map === 0) {
    put(argument, { status: STATUS.HL_WAIT_CS_STATUS_BUSY });
    return;
  }
  // one that is forgotten, or has no time stamp, leaves the time of the first end unknown
  const known = fences.every((fence) => fence !== undefined);
  const times = fences.flatMap((fence) => (fence?.done ? [fence.timestamp] : []));
  const first = known ? Math.min(...times) : 0;
  put(argument, {
    status: STATUS.HL_WAIT_CS_STATUS_COMPLETED,
    cs_completion_map: map >>> 0,
    flags: first !== 0 ? RESULT.HL_WAIT_CS_STATUS_FLAG_TIMESTAMP_VLD : RESULT.HL_WAIT_CS_STATUS_FLAG_GONE,
    timestamp_nsec: BigInt(first),
  });
}

function failureOf(fence: Fence): Failure {
  return fence.error === 'ETIMEDOUT' || fence.error === 'EIO' ? fence.error : undefined;
}

/** hl_usecs64_to_jiffies. @returns ns */
function span(microseconds: bigint): number {
  return microseconds < 2n ** 40n ? Number(microseconds) * US : Number.POSITIVE_INFINITY;
}

/** linux/sched.h, MAX_SCHEDULE_TIMEOUT; jiffies.h: times from here on are forever (usecs_to_jiffies, HZ 250). */
const FOREVER = { TIMEOUT: 2n ** 63n - 1n, MICROSECONDS: 2 ** 32 - 8000 } as const;

/**
 * When a wait for one submission is over. The driver hands the time to usecs_to_jiffies, which takes 32 bits of it: a wait of
 * 2^32 microseconds is none (docs/findings/0007). This follows it. @returns ns
 */
function deadline(kernel: Kernel, microseconds: bigint): number {
  const taken = Number(microseconds & 0xffff_ffffn);
  if (microseconds === FOREVER.TIMEOUT || taken > FOREVER.MICROSECONDS) return Number.POSITIVE_INFINITY;
  return kernel.clock.now() + taken * US;
}
