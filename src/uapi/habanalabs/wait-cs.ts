/** DRM_IOCTL_HL_WAIT_CS: waits for submissions, and from Gaudi2 on for interrupts. */

import { type Answer, constant, type Operation } from '../rows.ts';
import { bytes, group, nested, overlay, s64, struct, u8, u32, u64, union } from '../struct.ts';
import { ioctl } from './requests.ts';

const source = 'common/command_submission.c, hl_wait_ioctl';

export const waitConstants = {
  HL_WAIT_MULTI_CS_LIST_MAX_LEN: constant(32, 'sequence numbers of a multi-CS wait at most'),
} as const;

export const hl_wait_cs_in = struct('hl_wait_cs_in', 'What is waited for, and how long.', {
  $for: overlay({
    $submission: group({
      seq: u64('sequence number; MULTI_CS: address of an array of them'),
      timeout_us: u64('microseconds; 0: only look'),
    }),
    $interrupt: group({
      $where: overlay({
        addr: u64('INTERRUPT: address of the word that is compared'),
        cq_counters_handle: u64('INTERRUPT_KERNEL_CQ: command buffer with the counters'),
      }),
      target: u64('INTERRUPT: value that the word must reach'),
    }),
  }),
  ctx_id: u32('not used'),
  flags: u32('HL_WAIT_CS_FLAGS_*; INTERRUPT: number of the interrupt in the high bits'),
  $more: overlay({
    $several: group({
      seq_arr_len: u8('MULTI_CS: elements'),
      pad: bytes(7, 'MULTI_CS: must be 0'),
    }),
    interrupt_timeout_us: u64('INTERRUPT: microseconds'),
  }),
  cq_counters_offset: u64('INTERRUPT_KERNEL_CQ: which counter'),
  timestamp_handle: u64('REGISTER_INTERRUPT: timestamp buffer'),
  timestamp_offset: u64('REGISTER_INTERRUPT: which element'),
});

export const hl_wait_cs_out = struct('hl_wait_cs_out', 'What became of it.', {
  status: u32('HL_WAIT_CS_STATUS_*'),
  flags: u32('HL_WAIT_CS_STATUS_FLAG_*'),
  timestamp_nsec: s64('ns, CLOCK_MONOTONIC: end of the submission, or of the first of several'),
  cs_completion_map: u32('MULTI_CS: bit n: element n has ended'),
  pad: u32(),
});

export const hl_wait_cs_args = union('hl_wait_cs_args', 'Argument of WAIT_CS.', {
  in: nested(hl_wait_cs_in),
  out: nested(hl_wait_cs_out),
});

const common = {
  EBUSY: 'the device is not operational',
  EINTR: 'a signal came',
};

export const DRM_IOCTL_HL_WAIT_CS = ioctl('HL_IOCTL_WAIT_CS', 'Waits.', hl_wait_cs_args, source, {
  errors: common,
  beyond: { EINTR: 'needs a program that handles a signal: one that is killed learns nothing' },
});

export const waitFlags = {
  HL_WAIT_CS_FLAGS_INTERRUPT: constant(0x2, 'kind: wait for an interrupt; Gaudi2'),
  HL_WAIT_CS_FLAGS_MULTI_CS: constant(0x4, 'kind: wait for the first of several submissions'),
  HL_WAIT_CS_FLAGS_INTERRUPT_KERNEL_CQ: constant(0x10, 'INTERRUPT: compare a counter of the driver'),
  HL_WAIT_CS_FLAGS_REGISTER_INTERRUPT: constant(0x20, 'INTERRUPT: record a timestamp instead of waiting'),
} as const;

/** Parts of the flags word of an interrupt wait. */
export const waitInterrupts = {
  HL_WAIT_CS_FLAGS_INTERRUPT_MASK: constant(0xfff00000, 'bits of the interrupt number'),
  HL_WAIT_CS_FLAGS_ANY_CQ_INTERRUPT: constant(0xfff00000, 'any interrupt of a completion queue'),
  HL_WAIT_CS_FLAGS_ANY_DEC_INTERRUPT: constant(0xffe00000, 'any interrupt of a decoder'),
} as const;

export const waitStatus = {
  HL_WAIT_CS_STATUS_COMPLETED: constant(0, 'has ended'),
  HL_WAIT_CS_STATUS_BUSY: constant(1, 'has not ended'),
  HL_WAIT_CS_STATUS_TIMEDOUT: constant(2, 'did not end in the time the device allows (with ETIMEDOUT)'),
  HL_WAIT_CS_STATUS_ABORTED: constant(3, 'was aborted by a reset (with EIO)'),
} as const;

export const waitStatusFlags = {
  HL_WAIT_CS_STATUS_FLAG_GONE: constant(0x1, 'ended so long ago that nothing else is known'),
  HL_WAIT_CS_STATUS_FLAG_TIMESTAMP_VLD: constant(0x2, 'timestamp_nsec is valid'),
} as const;

/** What a wait that succeeds may answer. */
const answers = {
  COMPLETED: { member: 'out.status', value: waitStatus.HL_WAIT_CS_STATUS_COMPLETED.value },
  BUSY: { member: 'out.status', value: waitStatus.HL_WAIT_CS_STATUS_BUSY.value },
  GONE: flagged(waitStatusFlags.HL_WAIT_CS_STATUS_FLAG_GONE.value),
  TIMESTAMP_VLD: flagged(waitStatusFlags.HL_WAIT_CS_STATUS_FLAG_TIMESTAMP_VLD.value),
};

function flagged(value: number): Answer {
  return { member: 'out.flags', value, mask: value };
}

/** The kinds of wait; the value is the flag that selects it. */
export const waitOperations = {
  HL_WAIT_CS_FLAGS_NONE: {
    value: 0,
    label: 'ONE_CS',
    doc: 'Waits for one submission.',
    takes: ['in.seq', 'in.timeout_us'],
    gives: ['out.status', 'out.flags', 'out.timestamp_nsec'],
    errors: {
      ...common,
      EINVAL: 'nothing was submitted with this sequence number yet',
      ETIMEDOUT: 'it did not end in the time the device allows',
      EIO: 'it was aborted by a reset',
    },
    limits: { 'in.timeout_us': { also: { 'none: only look': 0 } } },
    answers,
    source,
  },
  HL_WAIT_CS_FLAGS_MULTI_CS: {
    value: waitFlags.HL_WAIT_CS_FLAGS_MULTI_CS.value,
    doc: 'Waits until one of several submissions has ended, and says which have.',
    takes: ['in.seq', 'in.timeout_us', 'in.seq_arr_len'],
    gives: ['out.status', 'out.flags', 'out.timestamp_nsec', 'out.cs_completion_map'],
    errors: {
      ...common,
      EINVAL: 'more than 32, padding not 0, or a sequence number not submitted yet',
      EFAULT: 'the sequence numbers cannot be read',
      ENOMEM: 'two wait for one of several already',
      ETIMEDOUT: 'one did not end in the time the device allows',
      EIO: 'one was aborted by a reset',
    },
    limits: {
      'in.seq_arr_len': { most: waitConstants.HL_WAIT_MULTI_CS_LIST_MAX_LEN.value },
      'in.pad': { most: 0 },
      'in.timeout_us': { also: { 'none: only look': 0 } },
    },
    answers,
    source,
  },
  HL_WAIT_CS_FLAGS_INTERRUPT: {
    value: waitFlags.HL_WAIT_CS_FLAGS_INTERRUPT.value,
    doc: 'Waits for an interrupt.',
    takes: ['in.addr', 'in.target', 'in.interrupt_timeout_us', 'in.cq_counters_handle', 'in.cq_counters_offset'],
    gives: ['out.status', 'out.timestamp_nsec'],
    chips: 'Gaudi2',
    errors: {
      ...common,
      EINVAL: 'no such interrupt',
      EPERM: 'the chip has no interrupts for user space; always on Gaudi1',
    },
    flags: {
      HL_WAIT_CS_FLAGS_INTERRUPT_KERNEL_CQ: { refused: 'EPERM' },
      HL_WAIT_CS_FLAGS_REGISTER_INTERRUPT: { refused: 'EPERM' },
      HL_WAIT_CS_FLAGS_ANY_CQ_INTERRUPT: { refused: 'EPERM' },
      HL_WAIT_CS_FLAGS_ANY_DEC_INTERRUPT: { refused: 'EPERM' },
    },
    refused: 'EPERM',
    source,
  },
} as const satisfies Readonly<Record<string, Operation>>;
