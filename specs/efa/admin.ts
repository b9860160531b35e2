/**
 * The admin queue of EFA: one row per command. A request's offsets count from its payload, which follows a head of 4 bytes
 * (12 in entries of 128 bytes); those of a response from what follows its head of 8 bytes.
 * Source: efa_admin_cmds_defs.h, efa_admin_defs.h.
 */

import { bits, byte, double, half, type Layout, type LayoutFields, layout, word } from '../../src/sim/layout.ts';

/** enum efa_admin_aq_completion_status. */
export const STATUS = {
  SUCCESS: 0,
  RESOURCE_ALLOCATION_FAILURE: 1,
  BAD_OPCODE: 2,
  UNSUPPORTED_OPCODE: 3,
  MALFORMED_REQUEST: 4,
  ILLEGAL_PARAMETER: 5,
  UNKNOWN_ERROR: 6,
  RESOURCE_BUSY: 7,
} as const;
export type AdminStatus = keyof typeof STATUS;

/** struct efa_admin_aq_common_desc, and of version 2, which has a checksum too. */
export const requestHead = layout('efa_admin_aq_common_desc_v2', 12, {
  command_id: bits(half(0), 0, 11),
  opcode: byte(2),
  phase: bits(byte(3), 0, 0),
  ctrl_data: bits(byte(3), 1, 1),
  ctrl_data_indirect: bits(byte(3), 2, 2),
  checksum: half(4),
  payload_ver: byte(6),
});
/** struct efa_admin_acq_common_desc. */
export const responseHead = layout('efa_admin_acq_common_desc', 8, {
  command: bits(half(0), 0, 11),
  status: byte(2),
  phase: bits(byte(3), 0, 0),
  checksum: half(4),
});
export const AQ = { ENTRY: 64, PAYLOAD: 4, ENTRY_V2: 128, PAYLOAD_V2: 12 } as const;
export const ACQ = { ENTRY: 64, DATA: 8 } as const;
/** Versions of the protocol from which completions have a checksum, and commands 128 bytes (efa_com.c). */
export const VERSION = { OLDEST: 1, CHECKSUM: 2, LARGE_ENTRIES: 3 } as const;

/** struct efa_admin_ctrl_buff_info: a buffer, or the next chunk of a list. */
export const controlBuffer = layout('efa_admin_ctrl_buff_info', 12, { length: word(0), lo: word(4), hi: word(8) });

/** enum efa_admin_qp_type, efa_admin_qp_state. */
export const QP_TYPE = { UD: 1, SRD: 2 } as const;
export const QP_STATE = { RESET: 0, INIT: 1, RTR: 2, RTS: 3, SQD: 4, SQE: 5, ERR: 6 } as const;
export type QpState = (typeof QP_STATE)[keyof typeof QP_STATE];

export interface CommandRow<Req extends LayoutFields = LayoutFields, Resp extends LayoutFields = LayoutFields> {
  readonly opcode: number;
  readonly doc: string;
  readonly request: Layout<Req>;
  readonly response: Layout<Resp>;
}

type Holes = readonly (readonly [number, number])[];

function command<const Req extends LayoutFields, const Resp extends LayoutFields = Record<never, never>>(
  opcode: number,
  doc: string,
  request: { readonly size: number; readonly fields: Req; readonly holes?: Holes },
  response: { readonly size: number; readonly fields: Resp } = { size: 0, fields: {} as Resp },
): CommandRow<Req, Resp> {
  return {
    opcode,
    doc,
    request: layout(`request of ${opcode}`, request.size, request.fields, request.holes),
    response: layout(`response of ${opcode}`, response.size, response.fields),
  };
}

const EMPTY = { size: 0, fields: {} } as const;
/** struct efa_admin_ctrl_buff_info and efa_admin_get_set_feature_common_desc, which begin both feature commands. */
const feature = { buffer_length: word(0), buffer_lo: word(4), buffer_hi: word(8), feature_id: byte(13) } as const;

export const commands = {
  CREATE_QP: command(
    1,
    'Creates a queue pair in state RESET.',
    {
      size: 60,
      fields: {
        pd: half(0),
        qp_type: byte(2),
        sq_virt: bits(byte(3), 0, 0),
        rq_virt: bits(byte(3), 1, 1),
        unsolicited_write_recv: bits(byte(3), 2, 2),
        sq_64_bit_req_id: bits(byte(3), 3, 3),
        sq_base_addr: double(4),
        rq_base_addr: double(12),
        send_cq_idx: word(20),
        recv_cq_idx: word(24),
        sq_l_key: word(28),
        rq_l_key: word(32),
        sq_ring_size: word(36),
        sq_depth: word(40),
        rq_ring_size: word(44),
        rq_depth: word(48),
        uar: half(52),
        sl: byte(54),
      },
    },
    {
      size: 24,
      fields: {
        qp_handle: word(0),
        qp_num: half(4),
        send_sub_cq_idx: half(8),
        recv_sub_cq_idx: half(10),
        sq_db_offset: word(12),
        rq_db_offset: word(16),
        llq_descriptors_offset: word(20),
      },
    },
  ),
  MODIFY_QP: command(2, 'Changes state, queue key, first packet number or RNR retries.', {
    size: 28,
    fields: {
      mask_qp_state: bits(word(0), 0, 0),
      mask_cur_qp_state: bits(word(0), 1, 1),
      mask_qkey: bits(word(0), 2, 2),
      mask_sq_psn: bits(word(0), 3, 3),
      mask_sq_drained_async_notify: bits(word(0), 4, 4),
      mask_rnr_retry: bits(word(0), 5, 5),
      qp_handle: word(4),
      qp_state: word(8),
      cur_qp_state: word(12),
      qkey: word(16),
      sq_psn: word(20),
      sq_drained_async_notify: byte(24),
      rnr_retry: byte(25),
    },
  }),
  QUERY_QP: command(
    3,
    'Tells the state of a queue pair.',
    { size: 4, fields: { qp_handle: word(0) } },
    {
      size: 16,
      fields: { qp_state: word(0), qkey: word(4), sq_psn: word(8), sq_draining: byte(12), rnr_retry: byte(13) },
    },
  ),
  DESTROY_QP: command(4, 'Destroys a queue pair.', { size: 4, fields: { qp_handle: word(0) } }),
  CREATE_AH: command(
    5,
    'Makes an address known; its 16 bytes come first.',
    { size: 20, fields: { pd: half(16) }, holes: [[0, 16]] },
    { size: 4, fields: { ah: half(0) } },
  ),
  DESTROY_AH: command(6, 'Forgets an address.', { size: 4, fields: { ah: half(0), pd: half(2) } }),
  REG_MR: command(
    7,
    'Registers memory: `pbl` holds up to four page addresses, or says where their list is.',
    {
      size: 60,
      fields: {
        pd: half(0),
        mr_length: double(36),
        phys_page_size_shift: bits(byte(44), 0, 5),
        mem_addr_phy_mode_en: bits(byte(44), 7, 7),
        local_write: bits(byte(45), 0, 0),
        remote_write: bits(byte(45), 1, 1),
        remote_read: bits(byte(45), 2, 2),
        page_num: word(48),
        iova: double(52),
      },
      holes: [[4, 32]],
    },
    {
      size: 12,
      fields: {
        l_key: word(0),
        r_key: word(4),
        validity: byte(8),
        recv_ic_id: byte(9),
        rdma_read_ic_id: byte(10),
        rdma_recv_ic_id: byte(11),
      },
    },
  ),
  DEREG_MR: command(8, 'Takes a registration back.', { size: 4, fields: { l_key: word(0) } }),
  CREATE_CQ: command(
    9,
    'Creates a completion queue: so many rings, one behind the other.',
    {
      size: 24,
      fields: {
        interrupt_mode_enabled: bits(byte(0), 5, 5),
        virt: bits(byte(0), 6, 6),
        entry_size_words: bits(byte(1), 0, 4),
        set_src_addr: bits(byte(1), 5, 5),
        sq_comp_64_bit_req_id: bits(byte(1), 6, 6),
        sub_cq_depth: half(2),
        eqn: half(4),
        ba_lo: word(8),
        ba_hi: word(12),
        l_key: word(16),
        num_sub_cqs: half(20),
        uar: half(22),
      },
    },
    {
      size: 12,
      fields: { cq_idx: half(0), actual_depth: half(2), db_offset: word(4), db_valid: bits(word(8), 0, 0) },
    },
  ),
  DESTROY_CQ: command(10, 'Destroys a completion queue.', { size: 4, fields: { cq_idx: half(0) } }),
  GET_FEATURE: command(
    11,
    'Tells attributes.',
    { size: 60, fields: feature, holes: [[16, 44]] },
    { size: 56, fields: {} },
  ),
  SET_FEATURE: command(
    12,
    'Sets what can be set: groups of notifications, and what the host says about itself.',
    { size: 60, fields: { ...feature, aenq_enabled_groups: word(20) }, holes: [[16, 44]] },
    { size: 56, fields: {} },
  ),
  GET_STATS: command(
    13,
    'Tells counters.',
    {
      size: 16,
      fields: {
        buffer_length: word(0),
        buffer_lo: word(4),
        buffer_hi: word(8),
        type: byte(12),
        scope: byte(13),
        scope_modifier: half(14),
      },
    },
    { size: 56, fields: {} },
  ),
  ALLOC_PD: command(14, 'Allocates a protection domain.', EMPTY, { size: 4, fields: { pd: half(0) } }),
  DEALLOC_PD: command(15, 'Frees a protection domain.', { size: 4, fields: { pd: half(0) } }),
  ALLOC_UAR: command(16, 'Allocates a user access region.', EMPTY, { size: 4, fields: { uar: half(0) } }),
  DEALLOC_UAR: command(17, 'Frees a user access region.', { size: 4, fields: { uar: half(0) } }),
  CREATE_EQ: command(
    18,
    'Creates an event queue.',
    {
      size: 20,
      fields: {
        depth: half(0),
        msix_vec: byte(2),
        entry_size_words: bits(byte(3), 0, 4),
        ba_lo: word(4),
        ba_hi: word(8),
        completion_events: bits(word(12), 0, 0),
      },
    },
    { size: 4, fields: { eqn: half(0) } },
  ),
  DESTROY_EQ: command(19, 'Destroys an event queue.', { size: 4, fields: { eqn: half(0) } }),
} as const;

export type CommandName = keyof typeof commands;

/** Opcodes that the protocol has and devices offer only where they advertise them (7.3). */
export const UNADVERTISED = {
  ALLOC_MR: 20,
  SERVICE: 21,
  CREATE_EVENT_COUNTER: 25,
  DESTROY_EVENT_COUNTER: 26,
  ATTACH_EVENT_COUNTER: 27,
  MODIFY_EVENT_COUNTER: 28,
  DETACH_EVENT_COUNTER: 29,
} as const;

/** enum efa_admin_aq_feature_id. */
export const FEATURE = {
  DEVICE_ATTR: 1,
  AENQ_CONFIG: 2,
  NETWORK_ATTR: 3,
  QUEUE_ATTR_1: 4,
  HW_HINTS: 5,
  HOST_INFO: 6,
  EVENT_QUEUE_ATTR: 7,
} as const;

/** Bits of device_caps. */
export const DEVICE_CAP = {
  RDMA_READ: 0x01,
  RNR_RETRY: 0x02,
  DATA_POLLING_128: 0x04,
  RDMA_WRITE: 0x08,
  UNSOLICITED_WRITE_RECV: 0x10,
} as const;

/** What GET_FEATURE answers. */
export const features = {
  DEVICE_ATTR: layout('efa_admin_feature_device_attr_desc', 56, {
    supported_features: double(0),
    page_size_cap: double(8),
    fw_version: word(16),
    admin_api_version: word(20),
    device_version: word(24),
    db_bar: half(28),
    phys_addr_width: byte(30),
    virt_addr_width: byte(31),
    device_caps: word(32),
    max_rdma_size: word(36),
    guid_lo: word(40),
    guid_hi: word(44),
    max_link_speed_gbps: half(48),
  }),
  QUEUE_ATTR_1: layout('efa_admin_feature_queue_attr_desc_1', 56, {
    max_qp: word(0),
    max_sq_depth: word(4),
    inline_buf_size: word(8),
    max_rq_depth: word(12),
    max_cq: word(16),
    max_cq_depth: word(20),
    sub_cqs_per_cq: half(24),
    min_sq_depth: half(26),
    max_wr_send_sges: half(28),
    max_wr_recv_sges: half(30),
    max_mr: word(32),
    max_mr_pages: word(36),
    max_pd: word(40),
    max_ah: word(44),
    max_llq_size: word(48),
    max_wr_rdma_sges: half(52),
    max_tx_batch: half(54),
  }),
  EVENT_QUEUE_ATTR: layout('efa_admin_event_queue_attr_desc', 12, {
    max_eq: word(0),
    max_eq_depth: word(4),
    event_bitmask: word(8),
  }),
  AENQ_CONFIG: layout('efa_admin_feature_aenq_desc', 8, { supported_groups: word(0), enabled_groups: word(4) }),
  /** 16 bytes of address come first. */
  NETWORK_ATTR: layout('efa_admin_feature_network_attr_desc', 20, { mtu: word(16) }, [[0, 16]]),
  HW_HINTS: layout('efa_admin_hw_hints', 8, {
    mmio_read_timeout: half(0),
    driver_watchdog_timeout: half(2),
    admin_completion_timeout: half(4),
    poll_interval: half(6),
  }),
} as const;

/** struct efa_admin_host_info: numbers of what the driver tells about the host. */
export const hostInfo = layout(
  'efa_admin_host_info',
  180,
  {
    os_type: word(128),
    kernel_ver: word(164),
    driver_ver: word(168),
    bdf: half(172),
    spec_ver: half(174),
    flags: word(176),
  },
  [
    [0, 128],
    [132, 32],
  ],
);

/** What GET_STATS answers, by type: counters of 64 bits, in order. */
export const statistics = [
  { name: 'basic', counters: ['tx_bytes', 'tx_pkts', 'rx_bytes', 'rx_pkts', 'rx_drops', 'qkey_viol'] },
  { name: 'messages', counters: ['send_bytes', 'send_wrs', 'recv_bytes', 'recv_wrs'] },
  { name: 'rdma read', counters: ['read_wrs', 'read_bytes', 'read_wr_err', 'read_resp_bytes'] },
  { name: 'rdma write', counters: ['write_wrs', 'write_bytes', 'write_wr_err', 'write_recv_bytes'] },
  {
    name: 'network',
    counters: [
      'retrans_bytes',
      'retrans_pkts',
      'retrans_timeout_events',
      'unresponsive_remote_events',
      'impaired_remote_conn_events',
    ],
  },
] as const;
export type Counter = (typeof statistics)[number]['counters'][number];

/** Page lists of REG_MR that are too long for one piece (efa_verbs.c, EFA_CHUNK_*). */
export const PAGE_LIST = {
  INLINE: 4,
  CHUNK: 4096,
  /** Addresses of list pages in a chunk; behind them a control buffer tells of the next chunk. */
  POINTERS: 510,
  CONTROL: 4080,
  CONTROL_SIZE: 12,
  /** Addresses of memory pages in a list page. */
  ADDRESSES: 512,
} as const;
