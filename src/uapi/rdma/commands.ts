/**
 * The commands of the older interface that have no method of their own (rdma/ib_user_verbs.h). UVERBS_METHOD_INVOKE_WRITE runs
 * them: `request` goes in as CORE_IN and `answer` comes back as CORE_OUT, so that `response` in a request is not read.
 */

import { constant } from '../rows.ts';
import { array, bytes, nested, type Struct, s32, struct, u8, u16, u32, u64 } from '../struct.ts';
import { ib_uverbs_ex_query_device_resp, ib_uverbs_query_device_resp, ib_uverbs_query_port_resp } from './verbs.ts';

const response = u64('where the answer goes; not read by INVOKE_WRITE');

export const ib_uverbs_get_context = struct('ib_uverbs_get_context', '', { response });
export const ib_uverbs_get_context_resp = struct('ib_uverbs_get_context_resp', '', {
  async_fd: u32('a descriptor of asynchronous events'),
  num_comp_vectors: u32('vectors for completions'),
});

export const ib_uverbs_query_device = struct('ib_uverbs_query_device', '', { response });
export const ib_uverbs_ex_query_device = struct('ib_uverbs_ex_query_device', '', {
  comp_mask: u32('0'),
  reserved: u32('0'),
});

export const ib_uverbs_query_port = struct('ib_uverbs_query_port', '', {
  response,
  port_num: u8('from 1'),
  reserved: bytes(7, '0'),
});

export const ib_uverbs_alloc_pd = struct('ib_uverbs_alloc_pd', '', { response });
export const ib_uverbs_alloc_pd_resp = struct('ib_uverbs_alloc_pd_resp', '', { pd_handle: u32() });
export const ib_uverbs_dealloc_pd = struct('ib_uverbs_dealloc_pd', '', { pd_handle: u32() });

export const ib_uverbs_global_route = struct('ib_uverbs_global_route', 'A way by addresses.', {
  dgid: array(u8(), 16, 'address of the other port, in network order'),
  flow_label: u32(),
  sgid_index: u8('of the own addresses'),
  hop_limit: u8(),
  traffic_class: u8(),
  reserved: u8('0'),
});

export const ib_uverbs_ah_attr = struct('ib_uverbs_ah_attr', 'Where messages go.', {
  grh: nested(ib_uverbs_global_route),
  dlid: u16(),
  sl: u8('service level'),
  src_path_bits: u8(),
  static_rate: u8(),
  is_global: u8('1: grh is used'),
  port_num: u8('from 1'),
  reserved: u8('0'),
});

export const ib_uverbs_create_ah = struct('ib_uverbs_create_ah', '', {
  response,
  user_handle: u64('not used'),
  pd_handle: u32(),
  reserved: u32('0'),
  attr: nested(ib_uverbs_ah_attr),
});
export const ib_uverbs_create_ah_resp = struct('ib_uverbs_create_ah_resp', '', { ah_handle: u32() });
export const ib_uverbs_destroy_ah = struct('ib_uverbs_destroy_ah', '', { ah_handle: u32() });

export const ib_uverbs_reg_mr = struct('ib_uverbs_reg_mr', '', {
  response,
  start: u64('memory of the caller; within a page it is that of `hca_va`'),
  length: u64('bytes'),
  hca_va: u64('by which address work requests name its first byte'),
  pd_handle: u32(),
  access_flags: u32('IB_UVERBS_ACCESS_*'),
});
export const ib_uverbs_reg_mr_resp = struct('ib_uverbs_reg_mr_resp', '', {
  mr_handle: u32(),
  lkey: u32('key for its owner'),
  rkey: u32('key for others'),
});
export const ib_uverbs_dereg_mr = struct('ib_uverbs_dereg_mr', '', { mr_handle: u32() });

export const ib_uverbs_create_comp_channel = struct('ib_uverbs_create_comp_channel', '', { response });
export const ib_uverbs_create_comp_channel_resp = struct('ib_uverbs_create_comp_channel_resp', '', {
  fd: u32('a descriptor: struct ib_uverbs_comp_event_desc is read from it'),
});

export const ib_uverbs_create_cq = struct('ib_uverbs_create_cq', '', {
  response,
  user_handle: u64('what its events are told with'),
  cqe: u32('entries wanted'),
  comp_vector: u32(),
  comp_channel: s32('a descriptor, or -1'),
  reserved: u32(),
});
export const ib_uverbs_create_cq_resp = struct('ib_uverbs_create_cq_resp', '', { cq_handle: u32(), cqe: u32() });
export const ib_uverbs_destroy_cq = struct('ib_uverbs_destroy_cq', '', { response, cq_handle: u32(), reserved: u32() });
export const ib_uverbs_destroy_cq_resp = struct('ib_uverbs_destroy_cq_resp', '', {
  comp_events_reported: u32('that were read from the channel'),
  async_events_reported: u32(),
});

export const ib_uverbs_create_qp = struct('ib_uverbs_create_qp', '', {
  response,
  user_handle: u64('what its events are told with'),
  pd_handle: u32(),
  send_cq_handle: u32(),
  recv_cq_handle: u32(),
  srq_handle: u32(),
  max_send_wr: u32(),
  max_recv_wr: u32(),
  max_send_sge: u32(),
  max_recv_sge: u32(),
  max_inline_data: u32(),
  sq_sig_all: u8(),
  qp_type: u8('IB_UVERBS_QPT_*'),
  is_srq: u8(),
  reserved: u8(),
});
export const ib_uverbs_create_qp_resp = struct('ib_uverbs_create_qp_resp', '', {
  qp_handle: u32(),
  qpn: u32(),
  max_send_wr: u32(),
  max_recv_wr: u32(),
  max_send_sge: u32(),
  max_recv_sge: u32(),
  max_inline_data: u32(),
  reserved: u32(),
});

export const ib_uverbs_ex_create_qp = struct('ib_uverbs_ex_create_qp', '', {
  user_handle: u64('what its events are told with'),
  pd_handle: u32(),
  send_cq_handle: u32(),
  recv_cq_handle: u32(),
  srq_handle: u32(),
  max_send_wr: u32(),
  max_recv_wr: u32(),
  max_send_sge: u32(),
  max_recv_sge: u32(),
  max_inline_data: u32(),
  sq_sig_all: u8(),
  qp_type: u8('IB_UVERBS_QPT_*'),
  is_srq: u8(),
  reserved: u8('0'),
  comp_mask: u32('IB_UVERBS_CREATE_QP_MASK_*'),
  create_flags: u32('IB_UVERBS_QP_CREATE_*'),
  rwq_ind_tbl_handle: u32(),
  source_qpn: u32(),
});
export const ib_uverbs_ex_create_qp_resp = struct('ib_uverbs_ex_create_qp_resp', '', {
  base: nested(ib_uverbs_create_qp_resp),
  comp_mask: u32(),
  response_length: u32('bytes the kernel wrote'),
});

export const ib_uverbs_qp_dest = struct('ib_uverbs_qp_dest', 'Where a connected queue pair sends.', {
  dgid: array(u8(), 16),
  flow_label: u32(),
  dlid: u16(),
  reserved: u16('0'),
  sgid_index: u8(),
  hop_limit: u8(),
  traffic_class: u8(),
  sl: u8(),
  src_path_bits: u8(),
  static_rate: u8(),
  is_global: u8(),
  port_num: u8(),
});

export const ib_uverbs_query_qp = struct('ib_uverbs_query_qp', '', {
  response,
  qp_handle: u32(),
  attr_mask: u32('IB_QP_*: what is asked for'),
});
export const ib_uverbs_query_qp_resp = struct('ib_uverbs_query_qp_resp', '', {
  dest: nested(ib_uverbs_qp_dest),
  alt_dest: nested(ib_uverbs_qp_dest),
  max_send_wr: u32(),
  max_recv_wr: u32(),
  max_send_sge: u32(),
  max_recv_sge: u32(),
  max_inline_data: u32(),
  qkey: u32(),
  rq_psn: u32(),
  sq_psn: u32(),
  dest_qp_num: u32(),
  qp_access_flags: u32(),
  pkey_index: u16(),
  alt_pkey_index: u16(),
  qp_state: u8('IB_QPS_*'),
  cur_qp_state: u8('IB_QPS_*'),
  path_mtu: u8(),
  path_mig_state: u8(),
  sq_draining: u8(),
  max_rd_atomic: u8(),
  max_dest_rd_atomic: u8(),
  min_rnr_timer: u8(),
  port_num: u8(),
  timeout: u8(),
  retry_cnt: u8(),
  rnr_retry: u8(),
  alt_port_num: u8(),
  alt_timeout: u8(),
  sq_sig_all: u8(),
  reserved: bytes(5),
});

export const ib_uverbs_modify_qp = struct('ib_uverbs_modify_qp', '', {
  dest: nested(ib_uverbs_qp_dest),
  alt_dest: nested(ib_uverbs_qp_dest),
  qp_handle: u32(),
  attr_mask: u32('IB_QP_*: what is changed'),
  qkey: u32(),
  rq_psn: u32(),
  sq_psn: u32(),
  dest_qp_num: u32(),
  qp_access_flags: u32(),
  pkey_index: u16(),
  alt_pkey_index: u16(),
  qp_state: u8('IB_QPS_*'),
  cur_qp_state: u8('IB_QPS_*'),
  path_mtu: u8(),
  path_mig_state: u8(),
  en_sqd_async_notify: u8(),
  max_rd_atomic: u8(),
  max_dest_rd_atomic: u8(),
  min_rnr_timer: u8(),
  port_num: u8('from 1'),
  timeout: u8(),
  retry_cnt: u8(),
  rnr_retry: u8(),
  alt_port_num: u8(),
  alt_timeout: u8(),
  reserved: bytes(2, '0'),
});
export const ib_uverbs_ex_modify_qp = struct('ib_uverbs_ex_modify_qp', '', {
  base: nested(ib_uverbs_modify_qp),
  rate_limit: u32(),
  reserved: u32(),
});
export const ib_uverbs_ex_modify_qp_resp = struct('ib_uverbs_ex_modify_qp_resp', '', {
  comp_mask: u32(),
  response_length: u32('bytes the kernel wrote'),
});
export const ib_uverbs_destroy_qp = struct('ib_uverbs_destroy_qp', '', { response, qp_handle: u32(), reserved: u32() });
export const ib_uverbs_destroy_qp_resp = struct('ib_uverbs_destroy_qp_resp', '', { events_reported: u32() });

export const commandConstants = {
  IB_USER_VERBS_CMD_COMMAND_MASK: constant(0xff, 'of the number of a command'),
  IB_USER_VERBS_CMD_FLAG_EXTENDED: constant(0x8000_0000, 'a command of the extended ones'),
} as const;

/** A command of the older interface. */
interface Command {
  readonly value: number;
  readonly doc: string;
  readonly request: Struct<unknown, never>;
  readonly answer?: Struct<unknown, never>;
  /** Bytes the kernel insists on; default all. */
  readonly leastRequest?: number;
  readonly leastAnswer?: number;
  /** UHW_IN and UHW_OUT go to the driver of the device. */
  readonly driverData: boolean;
}

function command<Q extends Struct<unknown, never>, A extends Struct<unknown, never>>(
  value: number,
  doc: string,
  request: Q,
  answer: A,
  driverData = false,
) {
  return { value, doc, request, answer, driverData } satisfies Command;
}

function silent<Q extends Struct<unknown, never>>(value: number, doc: string, request: Q) {
  return { value, doc, request, driverData: false } satisfies Command;
}

/** By name in C; the sizes are those of core/uverbs_cmd.c, uverbs_def_write_intf. */
export const commands = {
  IB_USER_VERBS_CMD_GET_CONTEXT: command(
    0,
    'Makes the context.',
    ib_uverbs_get_context,
    ib_uverbs_get_context_resp,
    true,
  ),
  IB_USER_VERBS_CMD_QUERY_DEVICE: command(
    1,
    'Tells of the device.',
    ib_uverbs_query_device,
    ib_uverbs_query_device_resp,
  ),
  IB_USER_VERBS_CMD_QUERY_PORT: command(2, 'Tells of a port.', ib_uverbs_query_port, ib_uverbs_query_port_resp),
  IB_USER_VERBS_CMD_ALLOC_PD: command(
    3,
    'Allocates a protection domain.',
    ib_uverbs_alloc_pd,
    ib_uverbs_alloc_pd_resp,
    true,
  ),
  IB_USER_VERBS_CMD_DEALLOC_PD: silent(4, 'Frees one.', ib_uverbs_dealloc_pd),
  IB_USER_VERBS_CMD_CREATE_AH: command(
    5,
    'Makes an address known.',
    ib_uverbs_create_ah,
    ib_uverbs_create_ah_resp,
    true,
  ),
  IB_USER_VERBS_CMD_DESTROY_AH: silent(8, 'Forgets one.', ib_uverbs_destroy_ah),
  IB_USER_VERBS_CMD_REG_MR: command(
    9,
    'Registers memory of the caller.',
    ib_uverbs_reg_mr,
    ib_uverbs_reg_mr_resp,
    true,
  ),
  IB_USER_VERBS_CMD_DEREG_MR: silent(13, 'Takes a registration back.', ib_uverbs_dereg_mr),
  IB_USER_VERBS_CMD_CREATE_COMP_CHANNEL: command(
    17,
    'Opens a file of completion events.',
    ib_uverbs_create_comp_channel,
    ib_uverbs_create_comp_channel_resp,
  ),
  IB_USER_VERBS_CMD_CREATE_CQ: command(
    18,
    'Creates a completion queue.',
    ib_uverbs_create_cq,
    ib_uverbs_create_cq_resp,
    true,
  ),
  IB_USER_VERBS_CMD_DESTROY_CQ: command(20, 'Destroys one.', ib_uverbs_destroy_cq, ib_uverbs_destroy_cq_resp),
  IB_USER_VERBS_CMD_CREATE_QP: command(
    24,
    'Creates a queue pair.',
    ib_uverbs_create_qp,
    ib_uverbs_create_qp_resp,
    true,
  ),
  IB_USER_VERBS_CMD_QUERY_QP: command(25, 'Tells of a queue pair.', ib_uverbs_query_qp, ib_uverbs_query_qp_resp),
  IB_USER_VERBS_CMD_MODIFY_QP: silent(26, 'Changes a queue pair.', ib_uverbs_modify_qp),
  IB_USER_VERBS_CMD_DESTROY_QP: command(27, 'Destroys one.', ib_uverbs_destroy_qp, ib_uverbs_destroy_qp_resp),
} as const satisfies Readonly<Record<string, Command>>;

/** Those of IB_USER_VERBS_CMD_FLAG_EXTENDED, which tell how much they know. */
export const extendedCommands = {
  IB_USER_VERBS_EX_CMD_QUERY_DEVICE: {
    ...command(1, 'Tells of the device.', ib_uverbs_ex_query_device, ib_uverbs_ex_query_device_resp, true),
    leastAnswer: ib_uverbs_query_device_resp.size + 8,
  },
  IB_USER_VERBS_EX_CMD_CREATE_QP: command(
    24,
    'Creates a queue pair.',
    ib_uverbs_ex_create_qp,
    ib_uverbs_ex_create_qp_resp,
    true,
  ),
  IB_USER_VERBS_EX_CMD_MODIFY_QP: {
    ...command(26, 'Changes a queue pair.', ib_uverbs_ex_modify_qp, ib_uverbs_ex_modify_qp_resp, true),
    leastRequest: ib_uverbs_modify_qp.size,
  },
} as const satisfies Readonly<Record<string, Command>>;
