/**
 * What EFA and its host exchange in memory besides admin commands: work requests, completions, events.
 * Source: efa_io_defs.h, efa_admin_defs.h; doorbells: rdma-core providers/efa/efa_io_regs_defs.h.
 */

import { bits, byte, double, half, layout, word } from '../../src/sim/layout.ts';

/** enum efa_io_send_op_type. */
export const OP = { SEND: 0, RDMA_READ: 1, RDMA_WRITE: 2, FAST_REG: 3, FAST_INV: 4 } as const;
/** enum efa_io_queue_type. */
export const QUEUE = { SEND: 1, RECV: 2 } as const;

/** enum efa_io_comp_status. */
export const COMP = {
  OK: 0,
  FLUSHED: 1,
  QP_INTERNAL_ERROR: 2,
  UNSUPPORTED_OP: 3,
  INVALID_AH: 4,
  INVALID_LKEY: 5,
  BAD_LENGTH: 6,
  REMOTE_BAD_ADDRESS: 7,
  REMOTE_ABORT: 8,
  REMOTE_BAD_DEST_QPN: 9,
  REMOTE_RNR: 10,
  REMOTE_BAD_LENGTH: 11,
  REMOTE_BAD_STATUS: 12,
  UNRESP_REMOTE: 13,
  REMOTE_UNKNOWN_PEER: 14,
  UNREACH_REMOTE: 15,
  REMOTE_FEATURE_MISMATCH: 18,
} as const;
export type CompletionStatus = (typeof COMP)[keyof typeof COMP];

/** struct efa_io_tx_meta_desc; `length`: buffers, or bytes of an inline message. */
export const txMeta = layout('efa_io_tx_meta_desc', 32, {
  req_id: half(0),
  op_type: bits(byte(2), 0, 3),
  has_imm: bits(byte(2), 4, 4),
  inline_msg: bits(byte(2), 5, 5),
  meta_extension: bits(byte(2), 6, 6),
  meta_desc: bits(byte(2), 7, 7),
  phase: bits(byte(3), 0, 0),
  first: bits(byte(3), 2, 2),
  last: bits(byte(3), 3, 3),
  comp_req: bits(byte(3), 4, 4),
  dest_qp_num: half(4),
  length: half(6),
  immediate_data: word(8),
  ah: half(12),
  qkey: word(16),
});

/** struct efa_io_tx_buf_desc. */
export const txBuffer = layout('efa_io_tx_buf_desc', 16, {
  length: word(0),
  lkey: bits(word(4), 0, 23),
  address: double(8),
});

/** struct efa_io_remote_mem_addr. */
export const remoteMemory = layout('efa_io_remote_mem_addr', 16, {
  length: word(0),
  rkey: word(4),
  address: double(8),
});

/** Where things are in a work request of the send queue; one of 128 bytes has room for longer inline data. */
export const TX_WQE = { SIZE: 64, LARGE_SIZE: 128, DATA: 32, LOCAL: 48, SEND_BUFFERS: 2, RDMA_BUFFERS: 1 } as const;
/** Most bytes of inline data, by size of the work request: a send has them at DATA, an RDMA write at LOCAL. */
export const INLINE_MAX = { 64: 32, 128: 80 } as const;

/** struct efa_io_rx_desc: a buffer of a work request of the receive queue, which has one or more of them. */
export const rxDescriptor = layout('efa_io_rx_desc', 16, {
  address: double(0),
  req_id: half(8),
  length: half(10),
  lkey: bits(word(12), 0, 23),
  first: bits(word(12), 30, 30),
  last: bits(word(12), 31, 31),
});

/** struct efa_io_cdesc_common and efa_io_rx_cdesc_ex. `src_addr` is 16 bytes at SRC_ADDR. */
export const completion = layout('efa_io_rx_cdesc_ex', 32, {
  req_id: half(0),
  status: byte(2),
  phase: bits(byte(3), 0, 0),
  q_type: bits(byte(3), 1, 2),
  has_imm: bits(byte(3), 3, 3),
  op_type: bits(byte(3), 4, 6),
  unsolicited: bits(byte(3), 7, 7),
  qp_num: half(4),
  length: half(6),
  ah: half(8),
  src_qp_num: half(10),
  imm: word(12),
  length_hi: half(16),
});
export const SRC_ADDR = 16;
/**
 * What is in a receive buffer before a datagram (libfabric, prov/efa: msg_prefix_size of datagram endpoints). InfiniBand's global
 * route header has that size (IBTA 1.x, 8.3): source and destination address are 16 bytes each at SOURCE and DESTINATION.
 */
export const GRH = {
  SIZE: 40,
  SOURCE: 8,
  DESTINATION: 24,
  VERSION: 0x60,
  BASE_TRANSPORT: 0x1b,
  HOP_LIMIT: 0xff,
} as const;
/** Its first bytes; unlike all else here it is big-endian. */
export const GRH_AT = { VERSION: 0, LENGTH: 4, NEXT_HEADER: 6, HOP_LIMIT: 7 } as const;
/** An address handle that the receiver does not have. */
export const UNKNOWN_AH = 0xffff;

/** Doorbell of a completion queue (efa_io_regs_defs.h, EFA_IO_REGS_CQ_DB_*). */
export const CQ_DB = { CONSUMER_INDEX: 0xffff, COMMAND_SHIFT: 29, COMMAND_MASK: 0x3, ARM: 0x8000_0000 } as const;
/** Doorbells of the send and receive queue: how much was posted so far, 16 bits. */
export const QP_DB = { COUNTER: 0xffff } as const;

/** struct efa_admin_eqe. */
export const eqEntry = layout('efa_admin_eqe', 16, {
  phase: bits(word(0), 0, 0),
  event_type: bits(word(0), 1, 8),
  cqn: half(8),
});
export const EQE_COMPLETION = 0;

/** struct efa_admin_aenq_entry: its head; 48 bytes of data follow. */
export const aenqEntry = layout('efa_admin_aenq_entry', 64, {
  group: half(0),
  syndrome: half(2),
  phase: bits(byte(4), 0, 0),
  timestamp: double(8),
});
export const AENQ_DATA = 16;
/** enum efa_admin_aenq_group. */
export const AENQ_GROUP = { FATAL_ERROR: 1, WARNING: 2, NOTIFICATION: 3, KEEP_ALIVE: 4 } as const;

/** struct efa_admin_mmio_req_read_less_resp: two words, the first of which tells that both are there. */
export const MMIO_RESPONSE = { REQ_ID: 0, REG_VAL: 4 } as const;
