/** DRM_IOCTL_HL_DEBUG: the trace and profiling units (CoreSight). */

import { traceUnits } from '../../../specs/gaudi/trace-units.ts';
import { constant, type Operation } from '../rows.ts';
import { array, struct, u32, u64 } from '../struct.ts';
import { ioctl } from './requests.ts';

const source = 'common/habanalabs_ioctl.c, hl_debug_ioctl; gaudi/gaudi_coresight.c';

export const debugConstants = {
  HL_DEBUG_MAX_AUX_VALUES: constant(10, 'event types of an SPMU at most'),
} as const;

export const hl_debug_params_etr = struct('hl_debug_params_etr', 'Where the trace router writes.', {
  buffer_address: u64('device address of the buffer'),
  buffer_size: u64('bytes'),
  sink_mode: u32('software FIFO, hardware FIFO or circular buffer'),
  pad: u32(),
});

export const hl_debug_params_etf = struct('hl_debug_params_etf', 'How a trace FIFO works.', {
  buffer_address: u64('device address of the buffer'),
  buffer_size: u64('bytes'),
  sink_mode: u32('software FIFO, hardware FIFO or circular buffer'),
  pad: u32(),
});

export const hl_debug_params_stm = struct('hl_debug_params_stm', 'What a system trace macrocell records.', {
  he_mask: u64('hardware events'),
  sp_mask: u64('stimulus ports'),
  id: u32('trace source'),
  frequency: u32('of the timestamps'),
});

export const hl_debug_params_bmon = struct('hl_debug_params_bmon', 'What a bus monitor records.', {
  start_addr0: u64('first address range: start'),
  addr_mask0: u64('first address range: mask'),
  start_addr1: u64('second address range: start'),
  addr_mask1: u64('second address range: mask'),
  bw_win: u32('bandwidth window'),
  win_capture: u32('windows captured'),
  id: u32('trace source'),
  control: u32('control register'),
  start_addr2: u64('third address range: start'),
  end_addr2: u64('third address range: end'),
  start_addr3: u64('fourth address range: start'),
  end_addr3: u64('fourth address range: end'),
});

export const hl_debug_params_spmu = struct('hl_debug_params_spmu', 'What a performance monitor counts.', {
  event_types: array(u64(), 10, 'events'),
  event_types_num: u32('valid elements of event_types'),
  pmtrc_val: u32('PMTRC register'),
  trc_ctrl_host_val: u32('TRC_CTRL_HOST register'),
  trc_en_host_val: u32('TRC_EN_HOST register'),
});

export const hl_debug_args = struct('hl_debug_args', 'Argument of DEBUG.', {
  input_ptr: u64('address of the parameters'),
  output_ptr: u64('address of the buffer for what a unit answers'),
  input_size: u32('bytes of the parameters'),
  output_size: u32('bytes of the buffer'),
  op: u32('HL_DEBUG_OP_*'),
  reg_idx: u32('which unit of the kind'),
  enable: u32('1: on, 0: off'),
  ctx_id: u32('not used'),
});

const stopped = { EBUSY: 'the device is not operational' };

export const DRM_IOCTL_HL_DEBUG = ioctl('HL_IOCTL_DEBUG', 'Traces and profiles.', hl_debug_args, source, {
  errors: stopped,
});

const common = {
  ...stopped,
  EFAULT: 'debug mode is off, parameters cannot be read, the answer cannot be written, or a unit does not stop',
  ENOMEM: 'an answer of more than 4 MiB',
  EINVAL: 'no such unit, or parameters that are not valid',
};
const takes = ['input_ptr', 'input_size', 'reg_idx', 'enable'];

const onOff = { enable: { also: { on: 1, off: 0 } } };
/** Which unit of the kind. */
const unitsOf = (kind: keyof typeof traceUnits) => ({ reg_idx: { most: traceUnits[kind].length - 1 }, ...onOff });

/** docs/findings/0008. */
const warns = { ENOMEM: 'makes the kernel itself warn, in every version so far' };

export const debugOperations = {
  HL_DEBUG_OP_ETR: {
    value: 0,
    doc: 'Trace router.',
    takes: [...takes, 'output_ptr', 'output_size'],
    errors: common,
    beyond: warns,
    limits: onOff,
    source,
  },
  HL_DEBUG_OP_ETF: {
    value: 1,
    doc: 'Trace FIFO.',
    takes,
    errors: common,
    source,
    beyond: warns,
    limits: unitsOf('ETF'),
  },
  HL_DEBUG_OP_STM: {
    value: 2,
    doc: 'System trace macrocell.',
    takes,
    errors: common,
    source,
    beyond: warns,
    limits: unitsOf('STM'),
  },
  HL_DEBUG_OP_FUNNEL: {
    value: 3,
    doc: 'Trace funnel.',
    takes: ['reg_idx', 'enable'],
    errors: common,
    beyond: warns,
    limits: unitsOf('FUNNEL'),
    source,
  },
  HL_DEBUG_OP_BMON: {
    value: 4,
    doc: 'Bus monitor.',
    takes,
    errors: common,
    source,
    beyond: warns,
    limits: unitsOf('BMON'),
  },
  HL_DEBUG_OP_SPMU: {
    value: 5,
    doc: 'Performance monitor.',
    takes: [...takes, 'output_ptr', 'output_size'],
    errors: common,
    beyond: warns,
    limits: unitsOf('SPMU'),
    source,
  },
  HL_DEBUG_OP_TIMESTAMP: {
    value: 6,
    doc: 'Timestamp unit; does nothing any more.',
    takes: ['enable'],
    errors: common,
    limits: onOff,
    beyond: { ...warns, EINVAL: 'nothing it takes is looked at' },
    source,
  },
  HL_DEBUG_OP_SET_MODE: {
    value: 7,
    doc: 'Enters or leaves debug mode, which one user at a time can have.',
    takes: ['enable'],
    errors: { ...stopped, EFAULT: 'debug mode is on already, or off already' },
    limits: onOff,
    source,
  },
} as const satisfies Readonly<Record<string, Operation>>;
