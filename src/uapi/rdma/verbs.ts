/** Structs and numbers that methods and commands share (rdma/ib_user_verbs.h, rdma/ib_user_ioctl_verbs.h). */

import { constant } from '../rows.ts';
import { array, bytes, nested, s32, struct, u8, u16, u32, u64 } from '../struct.ts';

export const ib_uverbs_async_event_desc = struct(
  'ib_uverbs_async_event_desc',
  'What is read from a file of asynchronous events.',
  {
    element: u64('user_handle of the queue pair or completion queue, or a port'),
    event_type: u32('enum ib_event_type (rdma/ib_verbs.h)'),
    reserved: u32(),
  },
);

export const ib_uverbs_comp_event_desc = struct(
  'ib_uverbs_comp_event_desc',
  'What is read from a completion channel.',
  {
    cq_handle: u64('user_handle of the completion queue'),
  },
);

export const ib_uverbs_query_device_resp = struct('ib_uverbs_query_device_resp', 'A device.', {
  fw_ver: u64('version of the firmware'),
  node_guid: u64('in network order'),
  sys_image_guid: u64('in network order'),
  max_mr_size: u64('bytes'),
  page_size_cap: u64('a bit for each size of pages'),
  vendor_id: u32('of PCI'),
  vendor_part_id: u32('of PCI'),
  hw_ver: u32(),
  max_qp: u32(),
  max_qp_wr: u32(),
  device_cap_flags: u32(),
  max_sge: u32(),
  max_sge_rd: u32(),
  max_cq: u32(),
  max_cqe: u32(),
  max_mr: u32(),
  max_pd: u32(),
  max_qp_rd_atom: u32(),
  max_ee_rd_atom: u32(),
  max_res_rd_atom: u32(),
  max_qp_init_rd_atom: u32(),
  max_ee_init_rd_atom: u32(),
  atomic_cap: u32(),
  max_ee: u32(),
  max_rdd: u32(),
  max_mw: u32(),
  max_raw_ipv6_qp: u32(),
  max_raw_ethy_qp: u32(),
  max_mcast_grp: u32(),
  max_mcast_qp_attach: u32(),
  max_total_mcast_qp_attach: u32(),
  max_ah: u32(),
  max_fmr: u32(),
  max_map_per_fmr: u32(),
  max_srq: u32(),
  max_srq_wr: u32(),
  max_srq_sge: u32(),
  max_pkeys: u16(),
  local_ca_ack_delay: u8(),
  phys_port_cnt: u8('ports'),
  reserved: bytes(4),
});

const transportCaps = struct('', '', { rc_odp_caps: u32(), uc_odp_caps: u32(), ud_odp_caps: u32() });
export const ib_uverbs_odp_caps = struct('ib_uverbs_odp_caps', 'Paging on demand.', {
  general_caps: u64(),
  per_transport_caps: nested(transportCaps),
  reserved: u32(),
});
export const ib_uverbs_rss_caps = struct('ib_uverbs_rss_caps', 'Spreading over queues.', {
  supported_qpts: u32(),
  max_rwq_indirection_tables: u32(),
  max_rwq_indirection_table_size: u32(),
  reserved: u32(),
});
export const ib_uverbs_tm_caps = struct('ib_uverbs_tm_caps', 'Matching of tags.', {
  max_rndv_hdr_size: u32(),
  max_num_tags: u32(),
  flags: u32(),
  max_ops: u32(),
  max_sge: u32(),
  reserved: u32(),
});
export const ib_uverbs_cq_moderation_caps = struct('ib_uverbs_cq_moderation_caps', 'Fewer events.', {
  max_cq_moderation_count: u16(),
  max_cq_moderation_period: u16(),
  reserved: u32(),
});

export const ib_uverbs_ex_query_device_resp = struct('ib_uverbs_ex_query_device_resp', 'A device, and more.', {
  base: nested(ib_uverbs_query_device_resp),
  comp_mask: u32(),
  response_length: u32('bytes the kernel wrote'),
  odp_caps: nested(ib_uverbs_odp_caps),
  timestamp_mask: u64(),
  hca_core_clock: u64('kHz'),
  device_cap_flags_ex: u64(),
  rss_caps: nested(ib_uverbs_rss_caps),
  max_wq_type_rq: u32(),
  raw_packet_caps: u32(),
  tm_caps: nested(ib_uverbs_tm_caps),
  cq_moderation_caps: nested(ib_uverbs_cq_moderation_caps),
  max_dm_size: u64(),
  xrc_odp_caps: u32(),
  reserved: u32(),
});

export const ib_uverbs_query_port_resp = struct('ib_uverbs_query_port_resp', 'A port.', {
  port_cap_flags: u32(),
  max_msg_sz: u32('bytes'),
  bad_pkey_cntr: u32(),
  qkey_viol_cntr: u32(),
  gid_tbl_len: u32('addresses'),
  pkey_tbl_len: u16(),
  lid: u16(),
  sm_lid: u16(),
  state: u8('IB_PORT_*'),
  max_mtu: u8('enum ib_mtu'),
  active_mtu: u8('enum ib_mtu'),
  lmc: u8(),
  max_vl_num: u8(),
  sm_sl: u8(),
  subnet_timeout: u8(),
  init_type_reply: u8(),
  active_width: u8('enum ib_port_width'),
  active_speed: u8('enum ib_port_speed'),
  phys_state: u8('enum ib_port_phys_state'),
  link_layer: u8('0: not told'),
  flags: u8('IB_UVERBS_QPF_*'),
  reserved: u8(),
});

export const ib_uverbs_query_port_resp_ex = struct('ib_uverbs_query_port_resp_ex', 'A port, and more.', {
  legacy_resp: nested(ib_uverbs_query_port_resp),
  port_cap_flags2: u16(),
  reserved: bytes(2),
  active_speed_ex: u32('enum ib_port_speed'),
});

export const ib_uverbs_gid_entry = struct('ib_uverbs_gid_entry', 'An address of a port.', {
  gid: array(u64(), 2, '16 bytes in network order'),
  gid_index: u32(),
  port_num: u32(),
  gid_type: u32('IB_UVERBS_GID_TYPE_*'),
  netdev_ifindex: u32('0: of no network device'),
});

export const ib_uverbs_qp_cap = struct('ib_uverbs_qp_cap', 'Sizes of a queue pair.', {
  max_send_wr: u32('work requests'),
  max_recv_wr: u32('work requests'),
  max_send_sge: u32('pieces of memory in one'),
  max_recv_sge: u32('pieces of memory in one'),
  max_inline_data: u32('bytes'),
});

export const ib_uverbs_buffer_desc = struct('ib_uverbs_buffer_desc', 'Memory of either kind; not in 6.12.', {
  type: u32('0: a dma-buf, 1: memory of the caller'),
  fd: s32('of the dma-buf'),
  flags: u32('0'),
  optional_flags: u32(),
  addr: u64('offset in the dma-buf, or address'),
  length: u64('bytes'),
});

export const coreSupport = {
  IB_UVERBS_CORE_SUPPORT_OPTIONAL_MR_ACCESS: constant(
    0x1,
    'flags of the optional range that are not known are ignored',
  ),
  IB_UVERBS_CORE_SUPPORT_ROBUST_UDATA: constant(0x2, 'what drivers are told is checked; not in 6.12'),
} as const;

export const accessFlags = {
  IB_UVERBS_ACCESS_LOCAL_WRITE: constant(0x1, 'the device may write'),
  IB_UVERBS_ACCESS_REMOTE_WRITE: constant(0x2, 'others may write; needs LOCAL_WRITE'),
  IB_UVERBS_ACCESS_REMOTE_READ: constant(0x4, 'others may read'),
  IB_UVERBS_ACCESS_REMOTE_ATOMIC: constant(0x8, 'others may operate on it'),
  IB_UVERBS_ACCESS_MW_BIND: constant(0x10, ''),
  IB_UVERBS_ACCESS_ZERO_BASED: constant(0x20, ''),
  IB_UVERBS_ACCESS_ON_DEMAND: constant(0x40, 'paged on demand'),
  IB_UVERBS_ACCESS_HUGETLB: constant(0x80, ''),
  IB_UVERBS_ACCESS_FLUSH_GLOBAL: constant(0x100, ''),
  IB_UVERBS_ACCESS_FLUSH_PERSISTENT: constant(0x200, ''),
  IB_UVERBS_ACCESS_OPTIONAL_RANGE: constant(0x3ff0_0000, 'flags that a kernel may ignore'),
  IB_UVERBS_ACCESS_RELAXED_ORDERING: constant(0x10_0000, ''),
} as const;

export const qpTypes = {
  IB_UVERBS_QPT_RC: constant(2, 'reliable connection'),
  IB_UVERBS_QPT_UC: constant(3, 'unreliable connection'),
  IB_UVERBS_QPT_UD: constant(4, 'unreliable datagrams'),
  IB_UVERBS_QPT_RAW_PACKET: constant(8, ''),
  IB_UVERBS_QPT_XRC_INI: constant(9, ''),
  IB_UVERBS_QPT_XRC_TGT: constant(10, ''),
  IB_UVERBS_QPT_DRIVER: constant(0xff, 'a type of the driver: of efa SRD'),
} as const;

export const qpCreateFlags = {
  IB_UVERBS_QP_CREATE_BLOCK_MULTICAST_LOOPBACK: constant(0x2, ''),
  IB_UVERBS_QP_CREATE_SCATTER_FCS: constant(0x100, ''),
  IB_UVERBS_QP_CREATE_CVLAN_STRIPPING: constant(0x200, ''),
  IB_UVERBS_QP_CREATE_PCI_WRITE_END_PADDING: constant(0x800, ''),
  IB_UVERBS_QP_CREATE_SQ_SIG_ALL: constant(0x1000, 'each work request of the send queue has a completion'),
} as const;

export const cqCreateFlags = {
  IB_UVERBS_CQ_FLAGS_TIMESTAMP_COMPLETION: constant(0x1, ''),
  IB_UVERBS_CQ_FLAGS_IGNORE_OVERRUN: constant(0x2, ''),
} as const;

export const gidTypes = {
  IB_UVERBS_GID_TYPE_IB: constant(0, ''),
  IB_UVERBS_GID_TYPE_ROCE_V1: constant(1, ''),
  IB_UVERBS_GID_TYPE_ROCE_V2: constant(2, ''),
} as const;

export const driverIds = {
  RDMA_DRIVER_UNKNOWN: constant(0, 'any'),
  RDMA_DRIVER_EFA: constant(17, 'efa'),
} as const;
