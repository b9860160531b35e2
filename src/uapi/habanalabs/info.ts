/** DRM_IOCTL_HL_INFO: what the card is and has, what it does, what went wrong. */

import { constant, type Errors, type Operation } from '../rows.ts';
import { type Field, overlay, struct, u32, u64 } from '../struct.ts';
import { hl_gaudi_pll_index } from './gaudi.ts';
import {
  cpucp_hbm_row_info,
  hl_info_clk_rate,
  hl_info_clk_throttle,
  hl_info_cs_counters,
  hl_info_cs_timeout_event,
  hl_info_dev_memalloc_page_sizes,
  hl_info_device_status,
  hl_info_device_utilization,
  hl_info_dram_usage,
  hl_info_energy,
  hl_info_engine_err_event,
  hl_info_fw_err_event,
  hl_info_hw_err_event,
  hl_info_hw_idle,
  hl_info_hw_ip_info,
  hl_info_last_err_open_dev_time,
  hl_info_pci_counters,
  hl_info_razwi_event,
  hl_info_reset_count,
  hl_info_sec_attest,
  hl_info_signed,
  hl_info_sync_manager,
  hl_info_time_sync,
  hl_info_undefined_opcode_event,
  hl_open_stats_info,
  hl_page_fault_info,
  hl_pll_frequency_info,
  hl_power_info,
} from './info-results.ts';
import { ioctl } from './requests.ts';

export const hl_info_args = struct(
  'hl_info_args',
  'A question: which, where to put the answer, and one number that goes in or out.',
  {
    return_pointer: u64('address of the buffer for the answer'),
    return_size: u32('bytes of the buffer; less than the answer has truncates it'),
    op: u32('HL_INFO_*'),
    $number: overlay({
      dcore_id: u32('in, SYNC_MANAGER: gaudi_dcores'),
      ctx_id: u32('not used'),
      period_ms: u32('not used any more'),
      pll_index: u32('in, PLL_FREQUENCY: hl_gaudi_pll_index'),
      eventfd: u32('in, REGISTER_EVENTFD: descriptor of an eventfd'),
      user_buffer_actual_size: u32('out, ENGINE_STATUS: bytes of text'),
      sec_attest_nonce: u32('in, SECURED_ATTESTATION and DEV_SIGNED: number to be signed'),
      array_size: u32('out, USER_MAPPINGS: elements there are'),
      fw_sub_opcode: u32('in, FW_GENERIC_REQ: hl_passthrough_type'),
    }),
    pad: u32('must be 0'),
  },
);

const noBuffer: Errors = { EINVAL: 'no buffer, or of size 0', EFAULT: 'the buffer cannot be written' };
const stopped: Errors = { EBUSY: 'the device is not operational' };
/** Of questions that the driver passes on. */
const asked: Errors = {
  EIO: 'the firmware refused',
  ETIMEDOUT: 'the firmware did not answer',
  EAGAIN: 'it has not answered an earlier question, and is not asked again before a reset',
};

export const DRM_IOCTL_HL_INFO = ioctl(
  'HL_IOCTL_INFO',
  'Asks for information.',
  hl_info_args,
  'common/habanalabs_ioctl.c, hl_info_ioctl',
  {
    errors: { EINVAL: 'padding is not 0, or no such operation', ...stopped, ...asked },
    limits: { pad: { most: 0 } },
    beyond: {
      EIO: 'needs firmware that refuses what this one answers',
      ETIMEDOUT: 'needs firmware that stops answering',
      EAGAIN: 'needs firmware that stopped answering before',
    },
  },
);

/** Requests that FW_GENERIC_REQ passes on (linux/habanalabs/cpucp_if.h; not in the interface's header). */
export const hl_passthrough_type = {
  HL_PASSTHROUGH_VERSIONS: constant(0, 'versions of all firmware'),
  HL_GET_ERR_COUNTERS_CMD: constant(1, 'error counters; the buffer goes in and out'),
  HL_GET_P_STATE: constant(2, 'performance state'),
} as const;

/** An INFO operation. */
export interface InfoOperation extends Operation {
  /** Layout of the answer; absent when its length is not fixed. */
  readonly answer?: Field<unknown, never>;
  /** Nodes that have it. */
  readonly nodes: 'compute' | 'both';
  /** Answered also while the device is disabled or in reset (otherwise EBUSY). */
  readonly always: boolean;
}

const source = 'common/habanalabs_ioctl.c';
/** Of records. */
const faulty: Errors = { EFAULT: 'needs a fault in the card', ENOMEM: 'needs a fault in the card' };

const otherChips = 'only other chips count errors of their engines';
const elsewhere: Errors = { EFAULT: otherChips, ENOMEM: otherChips };

interface More {
  readonly answer?: Field<unknown, never>;
  readonly takes?: readonly string[];
  readonly gives?: readonly string[];
  readonly errors?: Errors;
  readonly nodes?: 'compute';
  readonly chips?: string;
  readonly flags?: Operation['flags'];
  readonly limits?: Operation['limits'];
  readonly beyond?: Operation['beyond'];
  readonly refused?: string;
}

type Row<M> = Omit<InfoOperation, 'answer'> &
  (M extends { readonly answer: infer A } ? { readonly answer: A } : unknown);

function question<M extends More>(value: number, doc: string, always: boolean, errors: Errors, more: M): Row<M> {
  const row: InfoOperation = {
    value,
    doc,
    nodes: 'both',
    always,
    source,
    ...more,
    errors: { ...errors, ...more.errors },
    limits: {
      return_size: { least: 1, ...(more.answer ? { also: { 'all of the answer': more.answer.size } } : {}) },
      ...more.limits,
    },
  };
  return row as Row<M>;
}

function always<M extends More = Record<never, never>>(value: number, doc: string, more: M = {} as M): Row<M> {
  return question(value, doc, true, noBuffer, more);
}

function operational<M extends More = Record<never, never>>(value: number, doc: string, more: M = {} as M): Row<M> {
  return question(value, doc, false, { ...noBuffer, ...stopped }, more);
}

function firmware<M extends More = Record<never, never>>(value: number, doc: string, more: M = {} as M): Row<M> {
  return question(value, doc, false, { ...noBuffer, ...stopped, ...asked }, more);
}

export const infoOperations = {
  HL_INFO_HW_IP_INFO: always(0, 'What the card is and has.', { answer: hl_info_hw_ip_info }),
  HL_INFO_HW_EVENTS: always(1, 'How often each firmware event came since the last hard reset: an array of __u32.'),
  HL_INFO_DRAM_USAGE: always(2, 'DRAM in use.', { answer: hl_info_dram_usage }),
  HL_INFO_HW_IDLE: operational(3, 'Which engines are busy.', { answer: hl_info_hw_idle }),
  HL_INFO_DEVICE_STATUS: always(4, 'State of the device.', { answer: hl_info_device_status }),
  HL_INFO_DEVICE_UTILIZATION: operational(6, 'Load of the device, from the power it draws.', {
    answer: hl_info_device_utilization,
    errors: { EINVAL: 'no buffer, or the firmware does not tell' },
  }),
  HL_INFO_HW_EVENTS_AGGREGATE: always(7, 'Like HW_EVENTS, since the driver was loaded.'),
  HL_INFO_CLK_RATE: firmware(8, 'Clock of the compute engines.', { answer: hl_info_clk_rate }),
  HL_INFO_RESET_COUNT: always(9, 'Resets since the driver was loaded.', { answer: hl_info_reset_count }),
  HL_INFO_TIME_SYNC: operational(10, 'The clocks of device and host.', { answer: hl_info_time_sync }),
  HL_INFO_CS_COUNTERS: always(11, 'Command submissions refused.', { answer: hl_info_cs_counters }),
  HL_INFO_PCI_COUNTERS: firmware(12, 'Traffic of the PCIe link.', { answer: hl_info_pci_counters }),
  HL_INFO_CLK_THROTTLE_REASON: always(13, 'Why the clock was slowed.', { answer: hl_info_clk_throttle }),
  HL_INFO_SYNC_MANAGER: always(14, 'What the driver leaves of the sync manager of one DCORE.', {
    answer: hl_info_sync_manager,
    takes: ['dcore_id'],
    limits: { dcore_id: { most: 7, also: { 'the last of Gaudi1': 3 } } },
    errors: { EINVAL: 'no buffer, or no such DCORE (the driver counts 8, Gaudi1 has 4)' },
  }),
  HL_INFO_TOTAL_ENERGY: firmware(15, 'Energy used.', { answer: hl_info_energy }),
  HL_INFO_PLL_FREQUENCY: firmware(16, 'Frequencies of a PLL.', {
    answer: hl_pll_frequency_info,
    takes: ['pll_index'],
    limits: { pll_index: { most: hl_gaudi_pll_index.HL_GAUDI_PLL_MAX.value - 1 } },
    errors: { EINVAL: 'no buffer, or no such PLL' },
  }),
  HL_INFO_POWER: firmware(17, 'Power drawn.', { answer: hl_power_info }),
  HL_INFO_OPEN_STATS: always(18, 'How the compute node was opened.', { answer: hl_open_stats_info }),
  HL_INFO_DRAM_REPLACED_ROWS: firmware(21, 'A DRAM row that was replaced.', { answer: cpucp_hbm_row_info }),
  HL_INFO_DRAM_PENDING_ROWS: firmware(22, 'DRAM rows that wait to be replaced: a __u32.', { answer: u32('rows') }),
  HL_INFO_LAST_ERR_OPEN_DEV_TIME: always(23, 'When the node was last opened.', {
    answer: hl_info_last_err_open_dev_time,
  }),
  HL_INFO_CS_TIMEOUT_EVENT: always(24, 'The first submission that did not end in time.', {
    answer: hl_info_cs_timeout_event,
  }),
  HL_INFO_RAZWI_EVENT: always(25, 'The first illegal access; nothing is written when there was none.', {
    answer: hl_info_razwi_event,
  }),
  HL_INFO_DEV_MEM_ALLOC_PAGE_SIZES: always(26, 'Pages MEM_OP_ALLOC can be asked for.', {
    answer: hl_info_dev_memalloc_page_sizes,
  }),
  HL_INFO_SECURED_ATTESTATION: firmware(27, 'Attestation of the boot.', {
    answer: hl_info_sec_attest,
    refused: 'EIO',
    takes: ['sec_attest_nonce'],
  }),
  HL_INFO_REGISTER_EVENTFD: question(28, 'Notifies through an eventfd; one for each open file.', false, stopped, {
    limits: { return_size: {} },
    takes: ['eventfd'],
    nodes: 'compute',
    errors: {
      EINVAL: 'one is registered already, or it is no eventfd',
      EBADF: 'no such descriptor',
      EOPNOTSUPP: 'on the control node',
    },
  }),
  HL_INFO_UNREGISTER_EVENTFD: question(
    29,
    'Ends what REGISTER_EVENTFD began.',
    true,
    {},
    {
      limits: { return_size: {} },
      nodes: 'compute',
      errors: { EINVAL: 'none is registered', EOPNOTSUPP: 'on the control node' },
    },
  ),
  HL_INFO_GET_EVENTS: always(30, 'Takes the events that were notified: a __u64 of HL_NOTIFIER_EVENT_*.', {
    answer: u64('HL_NOTIFIER_EVENT_*'),
    nodes: 'compute',
    limits: { return_size: { least: 8 } },
    errors: { EINVAL: 'no buffer, or smaller than 8 bytes', EOPNOTSUPP: 'on the control node' },
  }),
  HL_INFO_UNDEFINED_OPCODE_EVENT: always(31, 'The first opcode a queue manager did not know.', {
    answer: hl_info_undefined_opcode_event,
  }),
  HL_INFO_ENGINE_STATUS: operational(32, 'State of all engines, as text.', {
    gives: ['user_buffer_actual_size'],
    limits: { return_size: { least: 0x400, most: 0x10_0000 } },
    beyond: { 'return_size smallest': 'the text of this chip is longer' },
    errors: { EINVAL: 'no buffer, or not of 1 KiB to 1 MiB', ENOMEM: 'the text does not fit' },
  }),
  HL_INFO_PAGE_FAULT_EVENT: always(33, 'The first page fault; nothing is written when there was none.', {
    answer: hl_page_fault_info,
  }),
  HL_INFO_USER_MAPPINGS: always(34, 'Mappings that existed at the page fault: an array of hl_user_mapping.', {
    gives: ['array_size'],
    limits: { return_size: {} },
    errors: { EINVAL: 'no buffer', ENOMEM: 'the buffer is too small; array_size says what is needed' },
  }),
  HL_INFO_FW_GENERIC_REQ: firmware(35, 'Passes a request to the firmware.', {
    takes: ['fw_sub_opcode'],
    limits: {
      return_size: { least: 1, most: 0x10_0000 },
      fw_sub_opcode: { most: hl_passthrough_type.HL_GET_P_STATE.value },
    },
    beyond: { 'fw_sub_opcode largest': 'the firmware of this chip has no performance states' },
    errors: { EINVAL: 'no such request, or a buffer of more than 1 MiB', ENOMEM: '0 bytes, or no memory' },
  }),
  HL_INFO_HW_ERR_EVENT: always(36, 'A hardware error; nothing is written when there was none.', {
    answer: hl_info_hw_err_event,
    beyond: faulty,
    limits: { return_size: {} },
    errors: { EINVAL: 'no buffer; its size may be 0', ENOMEM: 'there is one, and the buffer is too small' },
  }),
  HL_INFO_FW_ERR_EVENT: always(37, 'A firmware error; nothing is written when there was none.', {
    answer: hl_info_fw_err_event,
    beyond: faulty,
    limits: { return_size: {} },
    errors: { EINVAL: 'no buffer; its size may be 0', ENOMEM: 'there is one, and the buffer is too small' },
  }),
  HL_INFO_USER_ENGINE_ERR_EVENT: always(38, 'An engine in error; nothing is written when there was none.', {
    answer: hl_info_engine_err_event,
    beyond: elsewhere,
    limits: { return_size: {} },
    errors: { EINVAL: 'no buffer; its size may be 0', ENOMEM: 'there is one, and the buffer is too small' },
  }),
  HL_INFO_DEV_SIGNED: firmware(40, 'Device information, signed.', {
    answer: hl_info_signed,
    refused: 'EIO',
    takes: ['sec_attest_nonce'],
  }),
} as const satisfies Readonly<Record<string, InfoOperation>>;

export type InfoName = keyof typeof infoOperations;
