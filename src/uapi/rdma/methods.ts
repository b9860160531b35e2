/** The methods that a driver like efa has, by object (rdma/ib_user_ioctl_cmds.h). Their checks: core/uverbs_std_types*.c. */

import { ib_uverbs_destroy_cq_resp, ib_uverbs_destroy_qp_resp } from './commands.ts';
import {
  atLeast,
  fd,
  flags,
  gives,
  growing,
  handle,
  type Method,
  maybe,
  method,
  number,
  rawFd,
  takes,
  uhw,
} from './ioctl.ts';
import { ib_uverbs_buffer_desc, ib_uverbs_gid_entry, ib_uverbs_qp_cap, ib_uverbs_query_port_resp_ex } from './verbs.ts';

const U32 = 4;
const U64 = 8;
const DEVICE = 'UVERBS_OBJECT_DEVICE';
const PD = 'UVERBS_OBJECT_PD';
const CQ = 'UVERBS_OBJECT_CQ';
const QP = 'UVERBS_OBJECT_QP';
const MR = 'UVERBS_OBJECT_MR';
const EVENTS = 'UVERBS_OBJECT_ASYNC_EVENT';
const COUNTER = 'UVERBS_OBJECT_COMP_CNTR';
const BUFFER = ib_uverbs_buffer_desc.size;

const deviceMethods = {
  UVERBS_METHOD_INVOKE_WRITE: method(DEVICE, 0, 'Runs a command of the older interface (commands.ts).', {
    UVERBS_ATTR_CORE_IN: maybe(atLeast(takes(0, U32, 'the command without its header'))),
    UVERBS_ATTR_CORE_OUT: maybe(atLeast(gives(1, 0, 'its answer'))),
    UVERBS_ATTR_WRITE_CMD: number(2, 'IB_USER_VERBS_CMD_*, or IB_USER_VERBS_EX_CMD_* with the flag EXTENDED'),
    ...uhw,
  }),
  UVERBS_METHOD_INFO_HANDLES: method(DEVICE, 1, 'Lists the handles of an object that this file has.', {
    UVERBS_ATTR_INFO_OBJECT_ID: number(0, 'UVERBS_OBJECT_*'),
    UVERBS_ATTR_INFO_TOTAL_HANDLES: maybe(gives(1, U32, 'how many')),
    UVERBS_ATTR_INFO_HANDLES_LIST: maybe(atLeast(gives(2, U32, 'the handles'))),
  }),
  UVERBS_METHOD_QUERY_PORT: method(DEVICE, 2, 'Tells of a port.', {
    UVERBS_ATTR_QUERY_PORT_PORT_NUM: number(0, 'from 1'),
    UVERBS_ATTR_QUERY_PORT_RESP: growing(gives(1, ib_uverbs_query_port_resp_ex.size, '')),
  }),
  UVERBS_METHOD_GET_CONTEXT: method(DEVICE, 3, 'Makes the context of this file: the first call.', {
    UVERBS_ATTR_GET_CONTEXT_NUM_COMP_VECTORS: maybe(gives(0, U32, 'vectors for completions')),
    UVERBS_ATTR_GET_CONTEXT_CORE_SUPPORT: maybe(gives(1, U64, 'IB_UVERBS_CORE_SUPPORT_*')),
    UVERBS_ATTR_GET_CONTEXT_FD_ARR: maybe(atLeast(takes(2, U32, 'descriptors that grant capabilities; not in 6.12'))),
    ...uhw,
  }),
  UVERBS_METHOD_QUERY_CONTEXT: method(DEVICE, 4, 'Tells what GET_CONTEXT told.', {
    UVERBS_ATTR_QUERY_CONTEXT_NUM_COMP_VECTORS: maybe(gives(0, U32, 'vectors for completions')),
    UVERBS_ATTR_QUERY_CONTEXT_CORE_SUPPORT: maybe(gives(1, U64, 'IB_UVERBS_CORE_SUPPORT_*')),
  }),
  UVERBS_METHOD_QUERY_GID_TABLE: method(DEVICE, 5, 'Tells all addresses.', {
    UVERBS_ATTR_QUERY_GID_TABLE_ENTRY_SIZE: number(0, 'bytes of an entry'),
    UVERBS_ATTR_QUERY_GID_TABLE_FLAGS: maybe(flags(1, '0')),
    UVERBS_ATTR_QUERY_GID_TABLE_RESP_ENTRIES: atLeast(gives(2, 0, 'struct ib_uverbs_gid_entry[]')),
    UVERBS_ATTR_QUERY_GID_TABLE_RESP_NUM_ENTRIES: gives(3, U64, 'how many'),
  }),
  UVERBS_METHOD_QUERY_GID_ENTRY: method(DEVICE, 6, 'Tells an address of a port.', {
    UVERBS_ATTR_QUERY_GID_ENTRY_PORT: number(0, 'from 1'),
    UVERBS_ATTR_QUERY_GID_ENTRY_GID_INDEX: number(1, 'from 0'),
    UVERBS_ATTR_QUERY_GID_ENTRY_FLAGS: flags(2, '0'),
    UVERBS_ATTR_QUERY_GID_ENTRY_RESP_ENTRY: growing(gives(3, ib_uverbs_gid_entry.size, '')),
  }),
  UVERBS_METHOD_QUERY_PORT_SPEED: method(DEVICE, 7, 'Tells the speed of a port; since 7.1.', {
    UVERBS_ATTR_QUERY_PORT_SPEED_PORT_NUM: number(0, 'from 1'),
    UVERBS_ATTR_QUERY_PORT_SPEED_RESP: gives(1, U64, '100 Mb/s'),
  }),
  UVERBS_METHOD_QUERY_COMP_CNTR_CAPS: method(DEVICE, 8, 'Tells of completion counters; since 7.3.', {
    UVERBS_ATTR_QUERY_COMP_CNTR_CAPS_MAX_COUNTERS: maybe(gives(0, U32, 'how many')),
    UVERBS_ATTR_QUERY_COMP_CNTR_CAPS_MAX_VALUE: maybe(gives(1, U64, 'how far they count')),
    UVERBS_ATTR_QUERY_COMP_CNTR_CAPS_SUPPORTED_QP_ATTACH_OPS: maybe(gives(2, U32, 'what they can count')),
  }),
} as const satisfies Methods;

const pdMethods = {
  UVERBS_METHOD_PD_DESTROY: method(PD, 0, 'Frees a protection domain.', {
    UVERBS_ATTR_DESTROY_PD_HANDLE: handle(0, PD, 'destroy', ''),
  }),
} as const satisfies Methods;

const ahMethods = {
  UVERBS_METHOD_AH_DESTROY: method('UVERBS_OBJECT_AH', 0, 'Destroys an address handle.', {
    UVERBS_ATTR_DESTROY_AH_HANDLE: handle(0, 'UVERBS_OBJECT_AH', 'destroy', ''),
  }),
} as const satisfies Methods;

const cqMethods = {
  UVERBS_METHOD_CQ_CREATE: method(CQ, 0, 'Creates a completion queue.', {
    UVERBS_ATTR_CREATE_CQ_HANDLE: handle(0, CQ, 'new', ''),
    UVERBS_ATTR_CREATE_CQ_CQE: takes(1, U32, 'entries wanted'),
    UVERBS_ATTR_CREATE_CQ_USER_HANDLE: takes(2, U64, 'what its events are told with'),
    UVERBS_ATTR_CREATE_CQ_COMP_CHANNEL: maybe(fd(3, 'UVERBS_OBJECT_COMP_CHANNEL', 'read', 'where events are told')),
    UVERBS_ATTR_CREATE_CQ_COMP_VECTOR: takes(4, U32, 'of the vectors that GET_CONTEXT tells'),
    UVERBS_ATTR_CREATE_CQ_FLAGS: maybe(flags(5, 'IB_UVERBS_CQ_FLAGS_*')),
    UVERBS_ATTR_CREATE_CQ_RESP_CQE: gives(6, U32, 'entries there are'),
    UVERBS_ATTR_CREATE_CQ_EVENT_FD: maybe(fd(7, EVENTS, 'read', 'where asynchronous events are told')),
    UVERBS_ATTR_CREATE_CQ_BUFFER_VA: maybe(takes(8, U64, 'memory of the caller for it; not in 6.12')),
    UVERBS_ATTR_CREATE_CQ_BUFFER_LENGTH: maybe(takes(9, U64, 'bytes')),
    UVERBS_ATTR_CREATE_CQ_BUFFER_FD: maybe(rawFd(10, 'a dma-buf for it')),
    UVERBS_ATTR_CREATE_CQ_BUFFER_OFFSET: maybe(takes(11, U64, 'in the dma-buf')),
    UVERBS_ATTR_CREATE_CQ_BUF_UMEM: maybe(takes(12, BUFFER, 'memory for it, of either kind; not in 6.12')),
    ...uhw,
  }),
  UVERBS_METHOD_CQ_DESTROY: method(CQ, 1, 'Destroys a completion queue.', {
    UVERBS_ATTR_DESTROY_CQ_HANDLE: handle(0, CQ, 'destroy', ''),
    UVERBS_ATTR_DESTROY_CQ_RESP: gives(1, ib_uverbs_destroy_cq_resp.size, ''),
  }),
} as const satisfies Methods;

const qpMethods = {
  UVERBS_METHOD_QP_CREATE: method(QP, 0, 'Creates a queue pair.', {
    UVERBS_ATTR_CREATE_QP_HANDLE: handle(0, QP, 'new', ''),
    UVERBS_ATTR_CREATE_QP_XRCD_HANDLE: maybe(handle(1, 'UVERBS_OBJECT_XRCD', 'read', '')),
    UVERBS_ATTR_CREATE_QP_PD_HANDLE: maybe(handle(2, PD, 'read', '')),
    UVERBS_ATTR_CREATE_QP_SRQ_HANDLE: maybe(handle(3, 'UVERBS_OBJECT_SRQ', 'read', '')),
    UVERBS_ATTR_CREATE_QP_SEND_CQ_HANDLE: maybe(handle(4, CQ, 'read', '')),
    UVERBS_ATTR_CREATE_QP_RECV_CQ_HANDLE: maybe(handle(5, CQ, 'read', '')),
    UVERBS_ATTR_CREATE_QP_IND_TABLE_HANDLE: maybe(handle(6, 'UVERBS_OBJECT_RWQ_IND_TBL', 'read', '')),
    UVERBS_ATTR_CREATE_QP_USER_HANDLE: takes(7, U64, 'what its events are told with'),
    UVERBS_ATTR_CREATE_QP_CAP: growing(takes(8, ib_uverbs_qp_cap.size, 'sizes wanted')),
    UVERBS_ATTR_CREATE_QP_TYPE: number(9, 'IB_UVERBS_QPT_*'),
    UVERBS_ATTR_CREATE_QP_FLAGS: maybe(flags(10, 'IB_UVERBS_QP_CREATE_*')),
    UVERBS_ATTR_CREATE_QP_SOURCE_QPN: maybe(takes(11, U32, 'number it sends as')),
    UVERBS_ATTR_CREATE_QP_EVENT_FD: maybe(fd(12, EVENTS, 'read', 'where asynchronous events are told')),
    UVERBS_ATTR_CREATE_QP_RESP_CAP: growing(gives(13, ib_uverbs_qp_cap.size, 'sizes there are')),
    UVERBS_ATTR_CREATE_QP_RESP_QP_NUM: gives(14, U32, 'its number'),
    UVERBS_ATTR_CREATE_QP_BUF_UMEM: maybe(takes(15, BUFFER, 'memory for its queues; not in 6.12')),
    UVERBS_ATTR_CREATE_QP_RQ_BUF_UMEM: maybe(takes(16, BUFFER, 'memory for its receive queue')),
    UVERBS_ATTR_CREATE_QP_SQ_BUF_UMEM: maybe(takes(17, BUFFER, 'memory for its send queue')),
    ...uhw,
  }),
  UVERBS_METHOD_QP_DESTROY: method(QP, 1, 'Destroys a queue pair.', {
    UVERBS_ATTR_DESTROY_QP_HANDLE: handle(0, QP, 'destroy', ''),
    UVERBS_ATTR_DESTROY_QP_RESP: gives(1, ib_uverbs_destroy_qp_resp.size, ''),
  }),
  UVERBS_METHOD_QP_ATTACH_COMP_CNTR: method(QP, 2, 'Has a counter count its completions; since 7.3.', {
    UVERBS_ATTR_QP_ATTACH_COMP_CNTR_HANDLE: handle(0, QP, 'write', ''),
    UVERBS_ATTR_QP_ATTACH_COMP_CNTR_CNTR_HANDLE: handle(1, 'UVERBS_OBJECT_COMP_CNTR', 'read', ''),
    UVERBS_ATTR_QP_ATTACH_COMP_CNTR_OP_MASK: flags(2, 'what it counts'),
  }),
} as const satisfies Methods;

const mrMethods = {
  UVERBS_METHOD_DM_MR_REG: method(MR, 0, 'Registers memory of the device, which efa has none of.', {
    UVERBS_ATTR_REG_DM_MR_HANDLE: handle(0, MR, 'new', ''),
    UVERBS_ATTR_REG_DM_MR_OFFSET: takes(1, U64, ''),
    UVERBS_ATTR_REG_DM_MR_LENGTH: takes(2, U64, ''),
    UVERBS_ATTR_REG_DM_MR_PD_HANDLE: handle(3, PD, 'read', ''),
    UVERBS_ATTR_REG_DM_MR_ACCESS_FLAGS: maybe(flags(4, 'IB_UVERBS_ACCESS_*')),
    UVERBS_ATTR_REG_DM_MR_DM_HANDLE: handle(5, 'UVERBS_OBJECT_DM', 'read', ''),
    UVERBS_ATTR_REG_DM_MR_RESP_LKEY: gives(6, U32, ''),
    UVERBS_ATTR_REG_DM_MR_RESP_RKEY: gives(7, U32, ''),
  }),
  UVERBS_METHOD_MR_DESTROY: method(MR, 1, 'Takes a registration back.', {
    UVERBS_ATTR_DESTROY_MR_HANDLE: handle(0, MR, 'destroy', ''),
  }),
  UVERBS_METHOD_ADVISE_MR: method(MR, 2, 'Advises on memory that is paged on demand.', {
    UVERBS_ATTR_ADVISE_MR_PD_HANDLE: handle(0, PD, 'read', ''),
    UVERBS_ATTR_ADVISE_MR_ADVICE: number(1, ''),
    UVERBS_ATTR_ADVISE_MR_FLAGS: flags(2, ''),
    UVERBS_ATTR_ADVISE_MR_SGE_LIST: atLeast(takes(3, 16, 'struct ib_uverbs_sge[]')),
  }),
  UVERBS_METHOD_QUERY_MR: method(MR, 3, 'Tells of a registration, also one of another process.', {
    UVERBS_ATTR_QUERY_MR_HANDLE: handle(0, MR, 'read', ''),
    UVERBS_ATTR_QUERY_MR_RESP_LKEY: gives(1, U32, ''),
    UVERBS_ATTR_QUERY_MR_RESP_RKEY: gives(2, U32, ''),
    UVERBS_ATTR_QUERY_MR_RESP_LENGTH: gives(3, U64, 'bytes'),
    UVERBS_ATTR_QUERY_MR_RESP_IOVA: maybe(gives(4, U64, '')),
  }),
  UVERBS_METHOD_REG_DMABUF_MR: method(MR, 4, 'Registers a part of a dma-buf.', {
    UVERBS_ATTR_REG_DMABUF_MR_HANDLE: handle(0, MR, 'new', ''),
    UVERBS_ATTR_REG_DMABUF_MR_PD_HANDLE: handle(1, PD, 'read', ''),
    UVERBS_ATTR_REG_DMABUF_MR_OFFSET: takes(2, U64, 'in the dma-buf; within a page it is that of `iova`'),
    UVERBS_ATTR_REG_DMABUF_MR_LENGTH: takes(3, U64, 'bytes'),
    UVERBS_ATTR_REG_DMABUF_MR_IOVA: takes(4, U64, 'by which address work requests name its first byte'),
    UVERBS_ATTR_REG_DMABUF_MR_FD: takes(5, U32, 'the dma-buf'),
    UVERBS_ATTR_REG_DMABUF_MR_ACCESS_FLAGS: maybe(flags(6, 'IB_UVERBS_ACCESS_*')),
    UVERBS_ATTR_REG_DMABUF_MR_RESP_LKEY: gives(7, U32, 'key for its owner'),
    UVERBS_ATTR_REG_DMABUF_MR_RESP_RKEY: gives(8, U32, 'key for others'),
  }),
  UVERBS_METHOD_REG_MR: method(MR, 5, 'Registers memory of the caller, or a dma-buf; since 6.17.', {
    UVERBS_ATTR_REG_MR_HANDLE: handle(0, MR, 'new', ''),
    UVERBS_ATTR_REG_MR_PD_HANDLE: handle(1, PD, 'read', ''),
    UVERBS_ATTR_REG_MR_DMA_HANDLE: maybe(handle(2, 'UVERBS_OBJECT_DMAH', 'read', '')),
    UVERBS_ATTR_REG_MR_IOVA: takes(3, U64, 'by which address work requests name its first byte'),
    UVERBS_ATTR_REG_MR_ADDR: maybe(takes(4, U64, 'memory of the caller')),
    UVERBS_ATTR_REG_MR_LENGTH: takes(5, U64, 'bytes'),
    UVERBS_ATTR_REG_MR_ACCESS_FLAGS: flags(6, 'IB_UVERBS_ACCESS_*'),
    UVERBS_ATTR_REG_MR_FD: maybe(rawFd(7, 'a dma-buf')),
    UVERBS_ATTR_REG_MR_FD_OFFSET: maybe(takes(8, U64, 'in the dma-buf')),
    UVERBS_ATTR_REG_MR_RESP_LKEY: gives(9, U32, 'key for its owner'),
    UVERBS_ATTR_REG_MR_RESP_RKEY: gives(10, U32, 'key for others'),
    ...uhw,
  }),
  EFA_IB_METHOD_MR_QUERY: method(MR, 0x1000, 'Tells by which parts of the NIC a region is reached (rdma/efa-abi.h).', {
    EFA_IB_ATTR_QUERY_MR_HANDLE: handle(0x1000, MR, 'read', ''),
    EFA_IB_ATTR_QUERY_MR_RESP_IC_ID_VALIDITY: gives(0x1001, 2, 'EFA_QUERY_MR_VALIDITY_*'),
    EFA_IB_ATTR_QUERY_MR_RESP_RECV_IC_ID: gives(0x1002, 2, ''),
    EFA_IB_ATTR_QUERY_MR_RESP_RDMA_READ_IC_ID: gives(0x1003, 2, ''),
    EFA_IB_ATTR_QUERY_MR_RESP_RDMA_RECV_IC_ID: gives(0x1004, 2, ''),
  }),
} as const satisfies Methods;

const eventMethods = {
  UVERBS_METHOD_ASYNC_EVENT_ALLOC: method(EVENTS, 0, 'Opens a file of asynchronous events.', {
    UVERBS_ATTR_ASYNC_EVENT_ALLOC_FD_HANDLE: fd(0, EVENTS, 'new', ''),
  }),
} as const satisfies Methods;

const counterMethods = {
  UVERBS_METHOD_COMP_CNTR_CREATE: method(COUNTER, 0, 'Makes a counter of completions and failures; since 7.3.', {
    UVERBS_ATTR_CREATE_COMP_CNTR_HANDLE: handle(0, COUNTER, 'new', ''),
    EFA_IB_ATTR_CREATE_COMP_CNTR_COMP_BUFFER: growing(takes(0x1000, BUFFER, 'where completions are counted')),
    EFA_IB_ATTR_CREATE_COMP_CNTR_ERR_BUFFER: growing(takes(0x1001, BUFFER, 'where failures are counted')),
  }),
  UVERBS_METHOD_COMP_CNTR_DESTROY: method(COUNTER, 1, 'Destroys one.', {
    UVERBS_ATTR_DESTROY_COMP_CNTR_HANDLE: handle(0, COUNTER, 'destroy', ''),
  }),
  UVERBS_METHOD_COMP_CNTR_MODIFY: method(COUNTER, 2, 'Sets one, or adds to it.', {
    UVERBS_ATTR_MODIFY_COMP_CNTR_HANDLE: handle(0, COUNTER, 'write', ''),
    UVERBS_ATTR_MODIFY_COMP_CNTR_ENTRY: number(1, 'completions or failures'),
    UVERBS_ATTR_MODIFY_COMP_CNTR_OP: number(2, 'set or add'),
    UVERBS_ATTR_MODIFY_COMP_CNTR_VALUE: takes(3, U64, ''),
  }),
  UVERBS_METHOD_COMP_CNTR_READ: method(COUNTER, 3, 'Reads one.', {
    UVERBS_ATTR_READ_COMP_CNTR_HANDLE: handle(0, COUNTER, 'read', ''),
    UVERBS_ATTR_READ_COMP_CNTR_ENTRY: number(1, 'completions or failures'),
    UVERBS_ATTR_READ_COMP_CNTR_RESP_VALUE: gives(2, U64, ''),
  }),
} as const satisfies Methods;

type Methods = Readonly<Record<string, Method>>;

/** By name in C. */
export const methods = {
  ...deviceMethods,
  ...pdMethods,
  ...ahMethods,
  ...cqMethods,
  ...qpMethods,
  ...mrMethods,
  ...eventMethods,
  ...counterMethods,
} as const;

export type MethodName = keyof typeof methods;
