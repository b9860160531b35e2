/** DRM_IOCTL_HL_CS: hands command buffers to queues, and what synchronises such submissions. */

import { constant, type Operation } from '../rows.ts';
import { array, bytes, group, nested, overlay, struct, u16, u32, u64, union } from '../struct.ts';
import { gaudi_queue_id } from './gaudi.ts';
import { ioctl } from './requests.ts';

const source = 'common/command_submission.c, hl_cs_ioctl';

export const csConstants = {
  HL_CS_STATUS_SUCCESS: constant(0, 'status of a submission that was accepted'),
  HL_MAX_JOBS_PER_CS: constant(512, 'chunks of a submission at most'),
} as const;

export const chunkFlags = {
  HL_CS_CHUNK_FLAGS_USER_ALLOC_CB: constant(
    0x1,
    'the command buffer is memory of the user, mapped to the device; ignored on Gaudi1',
  ),
} as const;

export const hl_cs_chunk = struct('hl_cs_chunk', 'One command buffer for one queue. 64 bytes.', {
  $buffer: overlay({
    cb_handle: u64('external queue: handle; internal queue: device address'),
    signal_seq_arr: u64('WAIT: address of an array of __u64, sequence numbers of signals'),
    encaps_signal_seq: u64('WAIT with ENCAP_SIGNALS: sequence number of the submission that signals'),
  }),
  queue_index: u32('queue'),
  $length: overlay({
    cb_size: u32('bytes of packets'),
    num_signal_seq_arr: u32('WAIT: elements of signal_seq_arr; must be 1'),
    encaps_signal_offset: u32('WAIT with ENCAP_SIGNALS: which of the reserved signals'),
  }),
  cs_chunk_flags: u32('HL_CS_CHUNK_FLAGS_*'),
  collective_engine_id: u32('COLLECTIVE_WAIT: engine that waits with the NICs'),
  pad: array(u32(), 10),
});

export const hl_cs_in = struct('hl_cs_in', 'What is submitted.', {
  $what: overlay({
    $chunks: group({
      chunks_restore: u64(
        'address of the hl_cs_chunk array of the restore phase, which Gaudi1 runs only with FORCE_RESTORE',
      ),
      chunks_execute: u64('address of the hl_cs_chunk array of the execution phase'),
    }),
    $cores: group({
      engine_cores: u64('ENGINE_CORE_COMMAND: address of an array of __u32'),
      num_engine_cores: u32('elements of engine_cores'),
      core_command: u32('hl_engine_command'),
    }),
    $engines: group({
      engines: u64('ENGINES_COMMAND: address of an array of __u32'),
      num_engines: u32('elements of engines'),
      engine_command: u32('hl_engine_command'),
    }),
  }),
  $with: overlay({
    seq: u64('STAGED_SUBMISSION without FIRST: sequence number of the first part'),
    encaps_sig_handle_id: u32('ENCAP_SIGNALS in the first part, UNRESERVE_SIGNALS_ONLY: the reservation'),
    $reserve: group({
      encaps_signals_count: u32('RESERVE_SIGNALS_ONLY: signals'),
      encaps_signals_q_idx: u32('RESERVE_SIGNALS_ONLY: queue'),
    }),
  }),
  num_chunks_restore: u32('elements of chunks_restore'),
  num_chunks_execute: u32('elements of chunks_execute'),
  timeout: u32('CUSTOM_TIMEOUT: seconds'),
  cs_flags: u32('HL_CS_FLAGS_*'),
  ctx_id: u32('not used'),
  pad: bytes(4, 'must be 0'),
});

export const hl_cs_out = struct('hl_cs_out', 'The answer.', {
  $what: overlay({
    seq: u64('sequence number to wait for; all ones when there is none'),
    $reserved: group({
      handle_id: u32('RESERVE_SIGNALS_ONLY: the reservation'),
      count: u32('RESERVE_SIGNALS_ONLY: value of the sync object after the signals'),
    }),
  }),
  status: u32('0, or the error'),
  sob_base_addr_offset: u32('SIGNAL, RESERVE_SIGNALS_ONLY: the sync object, as an offset into the configuration space'),
  sob_count_before_submission: u16(
    'SIGNAL: value of the sync object once this signal has been made, despite the name; ENCAP_SIGNALS: 0',
  ),
  pad: array(u16(), 3),
});

export const hl_cs_args = union('hl_cs_args', 'Argument of CS.', {
  in: nested(hl_cs_in),
  out: nested(hl_cs_out),
});

const common = { EBUSY: 'the device is not operational', EINVAL: 'padding is not 0, or two kinds at once' };
const submitting = {
  EAGAIN: 'a queue is full, or too many submissions are in flight; nothing was submitted',
  EFAULT: 'the chunks cannot be read',
  ENOMEM: 'no memory',
};

export const DRM_IOCTL_HL_CS = ioctl('HL_IOCTL_CS', 'Submits work.', hl_cs_args, source, {
  errors: { ...common, ...submitting },
  limits: { 'in.pad': { most: 0 } },
  beyond: { ENOMEM: 'needs a kernel that runs out of memory' },
});

export const hl_engine_command = {
  HL_ENGINE_CORE_HALT: constant(1, 'halt engine cores'),
  HL_ENGINE_CORE_RUN: constant(2, 'run engine cores'),
  HL_ENGINE_STALL: constant(3, 'stall engines'),
  HL_ENGINE_RESUME: constant(4, 'resume engines'),
  HL_ENGINE_COMMAND_MAX: constant(5, 'number after the last'),
} as const;

/** The kind of a submission (at most one of SIGNAL .. ENGINES_COMMAND), and how it is treated. */
export const csFlags = {
  HL_CS_FLAGS_FORCE_RESTORE: constant(0x1, 'run the restore phase also without a context switch'),
  HL_CS_FLAGS_SIGNAL: constant(0x2, 'kind: increment a sync object of the queue'),
  HL_CS_FLAGS_WAIT: constant(0x4, 'kind: the queue waits for a signal'),
  HL_CS_FLAGS_COLLECTIVE_WAIT: constant(0x8, 'kind: NICs and an engine wait for a signal'),
  HL_CS_FLAGS_TIMESTAMP: constant(0x20, 'record when it ends'),
  HL_CS_FLAGS_STAGED_SUBMISSION: constant(0x40, 'a part of several that end together'),
  HL_CS_FLAGS_STAGED_SUBMISSION_FIRST: constant(0x80, 'the first part'),
  HL_CS_FLAGS_STAGED_SUBMISSION_LAST: constant(0x100, 'the last part'),
  HL_CS_FLAGS_CUSTOM_TIMEOUT: constant(0x200, 'timeout is valid'),
  HL_CS_FLAGS_SKIP_RESET_ON_TIMEOUT: constant(0x400, 'do not reset the device when it does not end in time'),
  HL_CS_FLAGS_ENCAP_SIGNALS: constant(0x800, 'its own packets signal, by a reservation'),
  HL_CS_FLAGS_RESERVE_SIGNALS_ONLY: constant(0x1000, 'kind: reserve signals of a queue'),
  HL_CS_FLAGS_UNRESERVE_SIGNALS_ONLY: constant(0x2000, 'kind: give a reservation back'),
  HL_CS_FLAGS_ENGINE_CORE_COMMAND: constant(0x4000, 'kind: halt or run engine cores; Gaudi2'),
  HL_CS_FLAGS_FLUSH_PCI_HBW_WRITES: constant(0x8000, 'kind: flush posted writes'),
  HL_CS_FLAGS_ENGINES_COMMAND: constant(0x10000, 'kind: stall or resume engines; Gaudi2'),
} as const;

/** The kinds of submission; the value is the flag that selects it. */
export const csOperations = {
  HL_CS_FLAGS_NONE: {
    value: 0,
    label: 'EXECUTE',
    doc: 'Executes command buffers.',
    takes: ['in.chunks_execute', 'in.num_chunks_execute', 'in.chunks_restore', 'in.num_chunks_restore', 'in.seq'],
    gives: ['out.seq', 'out.sob_count_before_submission'],
    errors: {
      ...common,
      ...submitting,
      EINVAL:
        'no chunk or more than 512, no such queue, no such command buffer, a size that does not fit, internal queues only',
      EPERM: 'a packet that user space may not send',
      ENOEXEC: 'the restore phase failed',
    },
    flags: {
      HL_CS_FLAGS_FORCE_RESTORE: 'accepted',
      HL_CS_FLAGS_TIMESTAMP: 'accepted',
      HL_CS_FLAGS_STAGED_SUBMISSION: 'accepted',
      HL_CS_FLAGS_STAGED_SUBMISSION_FIRST: 'accepted',
      HL_CS_FLAGS_STAGED_SUBMISSION_LAST: 'accepted',
      HL_CS_FLAGS_CUSTOM_TIMEOUT: 'accepted',
      HL_CS_FLAGS_SKIP_RESET_ON_TIMEOUT: 'accepted',
      HL_CS_FLAGS_ENCAP_SIGNALS: 'accepted',
      HL_CS_CHUNK_FLAGS_USER_ALLOC_CB: 'accepted',
    },
    beyond: {
      'queue_index largest': 'Linux enables no queues of NIC ports, which are the last',
      ENOEXEC: 'needs a restore phase that fails, for which the driver kills the program',
    },
    limits: {
      'in.num_chunks_execute': { least: 1, most: csConstants.HL_MAX_JOBS_PER_CS.value },
      'chunk.queue_index': { most: gaudi_queue_id.GAUDI_QUEUE_ID_SIZE.value - 1, also: { 'the first': 0 } },
      'chunk.cb_size': { least: 8, most: 0x20_0000 - 32, unit: 8 },
    },
    source,
  },
  HL_CS_FLAGS_SIGNAL: {
    value: csFlags.HL_CS_FLAGS_SIGNAL.value,
    doc: 'Increments a sync object when the queue has come so far.',
    takes: ['in.chunks_execute', 'in.num_chunks_execute'],
    gives: ['out.seq', 'out.sob_base_addr_offset', 'out.sob_count_before_submission'],
    errors: { ...common, ...submitting, EINVAL: 'not exactly one chunk, or the queue cannot signal' },
    flags: { HL_CS_FLAGS_TIMESTAMP: 'accepted', HL_CS_FLAGS_CUSTOM_TIMEOUT: 'accepted' },
    limits: { 'in.num_chunks_execute': { least: 1, most: 1 } },
    source,
  },
  HL_CS_FLAGS_WAIT: {
    value: csFlags.HL_CS_FLAGS_WAIT.value,
    doc: 'Holds the queue until a signal has come; answers an all-ones sequence number when it has come already.',
    takes: ['in.chunks_execute', 'in.num_chunks_execute'],
    gives: ['out.seq'],
    errors: {
      ...common,
      ...submitting,
      EINVAL: 'not exactly one chunk or one signal, or the sequence number is no signal’s',
    },
    flags: { HL_CS_FLAGS_TIMESTAMP: 'accepted', HL_CS_FLAGS_ENCAP_SIGNALS: 'accepted' },
    limits: { 'in.num_chunks_execute': { least: 1, most: 1 }, 'chunk.num_signal_seq_arr': { least: 1, most: 1 } },
    answers: { 'nothing to wait for': { member: 'out.seq', value: 2 ** 64 - 1 } },
    source,
  },
  HL_CS_FLAGS_COLLECTIVE_WAIT: {
    value: csFlags.HL_CS_FLAGS_COLLECTIVE_WAIT.value,
    doc: 'Holds NICs and an engine until a signal has come.',
    takes: ['in.chunks_execute', 'in.num_chunks_execute'],
    gives: ['out.seq'],
    errors: {
      ...common,
      ...submitting,
      EINVAL: 'the queue is no collective master, or the NIC ports are disabled, which Linux never enables',
    },
    refused: 'EINVAL',
    source,
  },
  HL_CS_FLAGS_RESERVE_SIGNALS_ONLY: {
    value: csFlags.HL_CS_FLAGS_RESERVE_SIGNALS_ONLY.value,
    doc: 'Reserves signals, which packets of the user then make.',
    takes: ['in.encaps_signals_count', 'in.encaps_signals_q_idx'],
    gives: ['out.handle_id', 'out.count', 'out.sob_base_addr_offset'],
    errors: { ...common, EINVAL: 'too many signals, or the queue cannot signal' },
    limits: { 'in.encaps_signals_count': { most: 0x7fff, also: { one: 1 } } },
    source,
  },
  HL_CS_FLAGS_UNRESERVE_SIGNALS_ONLY: {
    value: csFlags.HL_CS_FLAGS_UNRESERVE_SIGNALS_ONLY.value,
    doc: 'Gives a reservation back, when nothing was signalled since.',
    takes: ['in.encaps_sig_handle_id'],
    errors: { ...common, EINVAL: 'no such reservation, or others have signalled since' },
    source,
  },
  HL_CS_FLAGS_ENGINE_CORE_COMMAND: {
    value: csFlags.HL_CS_FLAGS_ENGINE_CORE_COMMAND.value,
    doc: 'Halts or runs engine cores.',
    takes: ['in.engine_cores', 'in.num_engine_cores', 'in.core_command'],
    chips: 'Gaudi2',
    errors: {
      ...common,
      EPERM: 'the chip has no engine modes; always on Gaudi1',
      EINVAL: 'no such engine core or command',
    },
    refused: 'EPERM',
    source,
  },
  HL_CS_FLAGS_FLUSH_PCI_HBW_WRITES: {
    value: csFlags.HL_CS_FLAGS_FLUSH_PCI_HBW_WRITES.value,
    doc: 'Waits until posted writes of the device have arrived: the driver reads a register behind them.',
    errors: { ...common, EOPNOTSUPP: 'the chip has no register for it' },
    beyond: { EOPNOTSUPP: 'Gaudi1 has the register' },
    source,
  },
  HL_CS_FLAGS_ENGINES_COMMAND: {
    value: csFlags.HL_CS_FLAGS_ENGINES_COMMAND.value,
    doc: 'Stalls or resumes engines.',
    takes: ['in.engines', 'in.num_engines', 'in.engine_command'],
    chips: 'Gaudi2',
    errors: { ...common, EPERM: 'the chip has no engine modes; always on Gaudi1', EINVAL: 'no such engine or command' },
    refused: 'EPERM',
    source,
  },
} as const satisfies Readonly<Record<string, Operation>>;
