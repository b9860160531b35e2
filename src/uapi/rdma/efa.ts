/** What the efa driver and its user-space half tell each other beyond the core's arguments, as UHW (rdma/efa-abi.h). */

import { constant } from '../rows.ts';
import { bytes, struct, u8, u16, u32, u64 } from '../struct.ts';

const comp_mask = u32('0');

export const efa_ibv_alloc_ucontext_cmd = struct('efa_ibv_alloc_ucontext_cmd', 'GET_CONTEXT in.', {
  supported_caps: u32('EFA_ALLOC_UCONTEXT_CMD_SUPP_CAPS_*; comp_mask in 6.12'),
  reserved_20: bytes(4, '0'),
});

export const efa_ibv_alloc_ucontext_resp = struct('efa_ibv_alloc_ucontext_resp', 'GET_CONTEXT out.', {
  comp_mask,
  cmds_supp_udata_mask: u32('EFA_USER_CMDS_SUPP_UDATA_*'),
  sub_cqs_per_cq: u16('rings of a completion queue'),
  inline_buf_size: u16('bytes in a work request of 64 bytes'),
  max_llq_size: u32('bytes'),
  max_tx_batch: u16('units of 64 bytes; 0: any'),
  min_sq_wr: u16(),
  inline_buf_size_ex: u16('bytes in a work request of 128 bytes; not in 6.12'),
  reserved_b0: bytes(2),
});

export const efa_ibv_alloc_pd_resp = struct('efa_ibv_alloc_pd_resp', 'ALLOC_PD out.', {
  comp_mask,
  pdn: u16('number in the device'),
  reserved_30: bytes(2),
});

export const efa_ibv_create_cq = struct('efa_ibv_create_cq', 'CQ_CREATE in.', {
  comp_mask,
  cq_entry_size: u32('bytes: 16 or 32'),
  num_sub_cqs: u16('rings'),
  flags: u8('EFA_CREATE_CQ_WITH_*'),
  reserved_58: bytes(5, '0'),
});

export const efa_ibv_create_cq_resp = struct('efa_ibv_create_cq_resp', 'CQ_CREATE out.', {
  comp_mask: u32('EFA_CREATE_CQ_RESP_*'),
  reserved_20: bytes(4),
  q_mmap_key: u64('offset to mmap: the rings'),
  q_mmap_size: u64('bytes'),
  cq_idx: u16('number in the device'),
  reserved_d0: bytes(2),
  db_off: u32('of its doorbell in its page'),
  db_mmap_key: u64('offset to mmap: the page of its doorbell'),
});

export const efa_ibv_create_qp = struct('efa_ibv_create_qp', 'QP_CREATE in.', {
  comp_mask,
  rq_ring_size: u32('bytes'),
  sq_ring_size: u32('bytes'),
  driver_qp_type: u32('EFA_QP_DRIVER_TYPE_*'),
  flags: u16('EFA_CREATE_QP_WITH_*'),
  sl: u8('service level; not in 6.12'),
  reserved_98: bytes(5, '0'),
});

export const efa_ibv_create_qp_resp = struct('efa_ibv_create_qp_resp', 'QP_CREATE out.', {
  comp_mask,
  rq_db_offset: u32('of the doorbell of the receive queue in its page'),
  sq_db_offset: u32('of the doorbell of the send queue in its page'),
  llq_desc_offset: u32('of the send queue in its first page'),
  rq_mmap_key: u64('offset to mmap: the receive queue'),
  rq_mmap_size: u64('bytes'),
  rq_db_mmap_key: u64('offset to mmap: a page'),
  sq_db_mmap_key: u64('offset to mmap: a page'),
  llq_desc_mmap_key: u64('offset to mmap: the send queue, whole pages'),
  send_sub_cq_idx: u16('ring for completions of the send queue'),
  recv_sub_cq_idx: u16('ring for those of the receive queue'),
  reserved_1e0: bytes(4),
});

export const efa_ibv_create_ah_resp = struct('efa_ibv_create_ah_resp', 'CREATE_AH out.', {
  comp_mask,
  efa_address_handle: u16('number in the device, for work requests'),
  reserved_30: bytes(2),
});

export const efa_ibv_ex_query_device_resp = struct('efa_ibv_ex_query_device_resp', 'QUERY_DEVICE out.', {
  comp_mask,
  max_sq_wr: u32('work requests of a send queue'),
  max_rq_wr: u32('work requests of a receive queue'),
  max_sq_sge: u16('pieces of memory in one'),
  max_rq_sge: u16('pieces of memory in one'),
  max_rdma_size: u32('bytes of a read or write'),
  device_caps: u32('EFA_QUERY_DEVICE_CAPS_*'),
});

export const efaConstants = {
  EFA_UVERBS_ABI_VERSION: constant(1, 'of this interface'),
  EFA_ALLOC_UCONTEXT_CMD_SUPP_CAPS_TX_BATCH: constant(0x1, 'the caller keeps to max_tx_batch'),
  EFA_ALLOC_UCONTEXT_CMD_SUPP_CAPS_MIN_SQ_WR: constant(0x2, 'the caller keeps to min_sq_wr'),
  EFA_USER_CMDS_SUPP_UDATA_QUERY_DEVICE: constant(0x1, 'QUERY_DEVICE tells more'),
  EFA_USER_CMDS_SUPP_UDATA_CREATE_AH: constant(0x2, 'CREATE_AH tells the number'),
  EFA_CREATE_CQ_WITH_COMPLETION_CHANNEL: constant(0x1, 'events are wanted'),
  EFA_CREATE_CQ_WITH_SGID: constant(0x2, 'entries tell the address of a sender that is not known'),
  EFA_CREATE_CQ_WITH_SQ_COMP_64_BIT_REQ_ID: constant(0x4, 'long numbers of requests; not in 6.12'),
  EFA_CREATE_CQ_RESP_DB_OFF: constant(0x1, 'it has a doorbell'),
  EFA_QP_DRIVER_TYPE_SRD: constant(0, 'scalable reliable datagrams'),
  EFA_CREATE_QP_WITH_UNSOLICITED_WRITE_RECV: constant(0x1, 'a write with a number needs no receive'),
  EFA_CREATE_QP_WITH_SQ_64_BIT_REQ_ID: constant(0x2, 'long numbers of requests; not in 6.12'),
  EFA_QUERY_DEVICE_CAPS_RDMA_READ: constant(0x1, ''),
  EFA_QUERY_DEVICE_CAPS_RNR_RETRY: constant(0x2, ''),
  EFA_QUERY_DEVICE_CAPS_CQ_NOTIFICATIONS: constant(0x4, ''),
  EFA_QUERY_DEVICE_CAPS_CQ_WITH_SGID: constant(0x8, ''),
  EFA_QUERY_DEVICE_CAPS_DATA_POLLING_128: constant(0x10, ''),
  EFA_QUERY_DEVICE_CAPS_RDMA_WRITE: constant(0x20, ''),
  EFA_QUERY_DEVICE_CAPS_UNSOLICITED_WRITE_RECV: constant(0x40, ''),
  EFA_QUERY_DEVICE_CAPS_CQ_WITH_EXT_MEM: constant(0x80, 'not in 6.12'),
  EFA_QUERY_DEVICE_CAPS_COMP_CNTR: constant(0x100, 'not in 6.12'),
  EFA_QUERY_DEVICE_CAPS_SQ_64_BIT_REQ_ID: constant(0x200, 'not in 6.12'),
  EFA_QUERY_MR_VALIDITY_RECV_IC_ID: constant(0x1, ''),
  EFA_QUERY_MR_VALIDITY_RDMA_READ_IC_ID: constant(0x2, ''),
  EFA_QUERY_MR_VALIDITY_RDMA_RECV_IC_ID: constant(0x4, ''),
  EFA_IB_ATTR_CREATE_COMP_CNTR_COMP_BUFFER: constant(0x1000, 'not in 6.12'),
  EFA_IB_ATTR_CREATE_COMP_CNTR_ERR_BUFFER: constant(0x1001, 'not in 6.12'),
} as const;
