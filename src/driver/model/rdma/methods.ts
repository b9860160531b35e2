/**
 * What the methods of the verbs interface do: a body for each row of src/uapi/rdma/methods.ts, or it does not compile.
 * Source: core/uverbs_std_types*.c.
 */

import type { Steps } from '../../../sim/process.ts';
import { ib_uverbs_destroy_cq_resp, ib_uverbs_destroy_qp_resp } from '../../../uapi/rdma/commands.ts';
import { type Attribute, type ObjectName, objects } from '../../../uapi/rdma/ioctl.ts';
import { type MethodName, methods } from '../../../uapi/rdma/methods.ts';
import {
  accessFlags,
  coreSupport,
  cqCreateFlags,
  ib_uverbs_buffer_desc,
  ib_uverbs_gid_entry,
  ib_uverbs_qp_cap,
  ib_uverbs_query_port_resp_ex,
  qpCreateFlags,
  qpTypes,
} from '../../../uapi/rdma/verbs.ts';
import { nameOf, values } from '../../../uapi/rows.ts';
import { refuse } from '../errno.ts';
import type { Call } from './call.ts';
import { invoke } from './commands.ts';
import { portOf, speedOf } from './port.ts';
import type { CompletionQueue } from './queues.ts';
import { beginContext, checkAccess, makeRegion, type Session, samePlaceInPage } from './session.ts';
import { pinDmaBuf, pinUserMemory, type UserMemory } from './umem.ts';
import { isAbsent } from './uobjects.ts';
import type { MemoryRegion, ProtectionDomain } from './verbs.ts';

const ACCESS = values(accessFlags);
const QPT = values(qpTypes);
const CREATE = values(qpCreateFlags);
const CORE = values(coreSupport);
const CQ_FLAG = values(cqCreateFlags);
/** What memory of a dma-buf may be registered with (core/uverbs_std_types_mr.c). */
const DMABUF_ACCESS =
  ACCESS.IB_UVERBS_ACCESS_LOCAL_WRITE |
  ACCESS.IB_UVERBS_ACCESS_REMOTE_READ |
  ACCESS.IB_UVERBS_ACCESS_REMOTE_WRITE |
  ACCESS.IB_UVERBS_ACCESS_REMOTE_ATOMIC |
  ACCESS.IB_UVERBS_ACCESS_RELAXED_ORDERING;
/** IB_ACCESS_SUPPORTED: all flags that there are, and those that a kernel may ignore. */
const ANY_ACCESS = 0x3ff | ACCESS.IB_UVERBS_ACCESS_OPTIONAL_RANGE;
const BUFFER = { DMABUF: 0, MEMORY: 1 } as const;
const HANDLE = 4;
const U64 = 8;
/** UVERBS_IDR_ANY_OBJECT */
const ANY_OBJECT = 0xffff;
/** EFA's port has this many addresses. */
const GIDS = 1;

type Body = (session: Session, call: Call) => Steps | undefined;

/** Methods whose work is done when the object has gone. */
const ended: Body = () => undefined;

const M = methods;

export const bodies: { readonly [N in MethodName]: Body } = {
  UVERBS_METHOD_INVOKE_WRITE: invoke,

  UVERBS_METHOD_INFO_HANDLES(_session, call) {
    const A = M.UVERBS_METHOD_INFO_HANDLES.attributes;
    const room = call.room(A.UVERBS_ATTR_INFO_HANDLES_LIST);
    if (room === 0 || room % HANDLE !== 0) refuse('EINVAL');
    const id = call.number(A.UVERBS_ATTR_INFO_OBJECT_ID, 0xffffn);
    if (id === ANY_OBJECT) refuse('ENOMSG');
    const type = nameOf(objects, id) as ObjectName | undefined;
    if (!type || isAbsent(type)) refuse('ENOENT');
    const handles = call.objects.handles(type).slice(0, room / HANDLE);
    call.give(A.UVERBS_ATTR_INFO_HANDLES_LIST, new Uint8Array(Uint32Array.from(handles).buffer));
    if (!call.has(A.UVERBS_ATTR_INFO_TOTAL_HANDLES)) refuse('ENOENT');
    call.giveU32(A.UVERBS_ATTR_INFO_TOTAL_HANDLES, handles.length);
  },

  UVERBS_METHOD_QUERY_PORT({ nic }, call) {
    const A = M.UVERBS_METHOD_QUERY_PORT.attributes;
    void call.context;
    if (call.number(A.UVERBS_ATTR_QUERY_PORT_PORT_NUM, 0xffn) !== 1) refuse('EINVAL');
    const answer = { legacy_resp: portOf(nic), active_speed_ex: speedOf(nic).speed };
    call.giveStruct(A.UVERBS_ATTR_QUERY_PORT_RESP, ib_uverbs_query_port_resp_ex.encode(answer));
  },

  *UVERBS_METHOD_GET_CONTEXT(session, call) {
    const A = M.UVERBS_METHOD_GET_CONTEXT.attributes;
    call.giveU32(A.UVERBS_ATTR_GET_CONTEXT_NUM_COMP_VECTORS, session.vectors);
    const support = CORE.IB_UVERBS_CORE_SUPPORT_OPTIONAL_MR_ACCESS;
    call.giveU64(A.UVERBS_ATTR_GET_CONTEXT_CORE_SUPPORT, BigInt(support));
    const room = call.room(A.UVERBS_ATTR_GET_CONTEXT_FD_ARR);
    if (room > 0) call.bytes(A.UVERBS_ATTR_GET_CONTEXT_FD_ARR);
    yield* beginContext(session, call, () => {
      if (room % 4 !== 0) refuse('EINVAL');
      // none of the files that there are grants a capability
      if (room > 0) refuse('EBADF');
    });
  },

  UVERBS_METHOD_QUERY_CONTEXT(_session, call) {
    void call.context;
    // efa has no query_ucontext
    refuse('EOPNOTSUPP');
  },

  UVERBS_METHOD_QUERY_GID_TABLE({ nic }, call) {
    const A = M.UVERBS_METHOD_QUERY_GID_TABLE.attributes;
    call.flags(A.UVERBS_ATTR_QUERY_GID_TABLE_FLAGS, 0);
    const size = call.u64(A.UVERBS_ATTR_QUERY_GID_TABLE_ENTRY_SIZE);
    const room = BigInt(call.room(A.UVERBS_ATTR_QUERY_GID_TABLE_RESP_ENTRIES));
    if (size === 0n || room % size !== 0n || room / size === 0n) refuse('EINVAL');
    void call.context;
    const entry = new Uint8Array(Number(size));
    entry.set(gidEntry(nic.attributes.address).subarray(0, entry.length));
    call.give(A.UVERBS_ATTR_QUERY_GID_TABLE_RESP_ENTRIES, entry);
    call.giveU64(A.UVERBS_ATTR_QUERY_GID_TABLE_RESP_NUM_ENTRIES, BigInt(GIDS));
  },

  UVERBS_METHOD_QUERY_GID_ENTRY({ nic }, call) {
    const A = M.UVERBS_METHOD_QUERY_GID_ENTRY.attributes;
    call.flags(A.UVERBS_ATTR_QUERY_GID_ENTRY_FLAGS, 0);
    const port = call.number(A.UVERBS_ATTR_QUERY_GID_ENTRY_PORT);
    const index = call.number(A.UVERBS_ATTR_QUERY_GID_ENTRY_GID_INDEX);
    void call.context;
    if (port !== 1 || index >= GIDS) refuse('EINVAL');
    call.giveStruct(A.UVERBS_ATTR_QUERY_GID_ENTRY_RESP_ENTRY, gidEntry(nic.attributes.address));
  },

  UVERBS_METHOD_QUERY_PORT_SPEED({ nic }, call) {
    const A = M.UVERBS_METHOD_QUERY_PORT_SPEED.attributes;
    void call.context;
    if (call.number(A.UVERBS_ATTR_QUERY_PORT_SPEED_PORT_NUM) !== 1) refuse('EINVAL');
    call.giveU64(A.UVERBS_ATTR_QUERY_PORT_SPEED_RESP, BigInt(nic.attributes.linkSpeed * 10));
  },

  UVERBS_METHOD_QUERY_COMP_CNTR_CAPS(_session, call) {
    const A = M.UVERBS_METHOD_QUERY_COMP_CNTR_CAPS.attributes;
    void call.context;
    // the device has no event counters
    call.giveU32(A.UVERBS_ATTR_QUERY_COMP_CNTR_CAPS_MAX_COUNTERS, 0);
    call.giveU64(A.UVERBS_ATTR_QUERY_COMP_CNTR_CAPS_MAX_VALUE, 0n);
    call.giveU32(A.UVERBS_ATTR_QUERY_COMP_CNTR_CAPS_SUPPORTED_QP_ATTACH_OPS, 0);
  },

  UVERBS_METHOD_PD_DESTROY: ended,
  UVERBS_METHOD_AH_DESTROY: ended,
  UVERBS_METHOD_MR_DESTROY: ended,

  UVERBS_METHOD_CQ_CREATE: createCompletionQueue,

  UVERBS_METHOD_CQ_DESTROY(_session, call) {
    const A = M.UVERBS_METHOD_CQ_DESTROY.attributes;
    const { completions, others } = reported(call, A.UVERBS_ATTR_DESTROY_CQ_HANDLE);
    const answer = { comp_events_reported: completions, async_events_reported: others };
    call.give(A.UVERBS_ATTR_DESTROY_CQ_RESP, ib_uverbs_destroy_cq_resp.encode(answer));
  },

  UVERBS_METHOD_QP_CREATE: createQueuePair,

  UVERBS_METHOD_QP_DESTROY(_session, call) {
    const A = M.UVERBS_METHOD_QP_DESTROY.attributes;
    const { others } = reported(call, A.UVERBS_ATTR_DESTROY_QP_HANDLE);
    call.give(A.UVERBS_ATTR_DESTROY_QP_RESP, ib_uverbs_destroy_qp_resp.encode({ events_reported: others }));
  },

  // a counter would have to be named, and none can be made
  UVERBS_METHOD_QP_ATTACH_COMP_CNTR: () => refuse('ENOENT'),
  UVERBS_METHOD_DM_MR_REG: () => refuse('EPROTONOSUPPORT'),
  // efa has no advise_mr
  UVERBS_METHOD_ADVISE_MR: () => refuse('EOPNOTSUPP'),

  UVERBS_METHOD_QUERY_MR(_session, call) {
    const A = M.UVERBS_METHOD_QUERY_MR.attributes;
    const region = call.named<MemoryRegion>(A.UVERBS_ATTR_QUERY_MR_HANDLE);
    call.giveU32(A.UVERBS_ATTR_QUERY_MR_RESP_LKEY, region.lkey);
    call.giveU32(A.UVERBS_ATTR_QUERY_MR_RESP_RKEY, region.rkey);
    call.giveU64(A.UVERBS_ATTR_QUERY_MR_RESP_LENGTH, region.length);
    call.giveU64(A.UVERBS_ATTR_QUERY_MR_RESP_IOVA, region.iova);
  },

  *UVERBS_METHOD_REG_DMABUF_MR(session, call) {
    const A = M.UVERBS_METHOD_REG_DMABUF_MR.attributes;
    const offset = call.u64(A.UVERBS_ATTR_REG_DMABUF_MR_OFFSET);
    const length = call.u64(A.UVERBS_ATTR_REG_DMABUF_MR_LENGTH);
    const iova = call.u64(A.UVERBS_ATTR_REG_DMABUF_MR_IOVA);
    samePlaceInPage(offset, iova);
    const fd = call.u32(A.UVERBS_ATTR_REG_DMABUF_MR_FD) | 0;
    const access = call.flags(A.UVERBS_ATTR_REG_DMABUF_MR_ACCESS_FLAGS, DMABUF_ACCESS);
    checkAccess(access);
    const region = yield* makeRegion(session, call, A.UVERBS_ATTR_REG_DMABUF_MR_HANDLE, {
      pd: call.named<ProtectionDomain>(A.UVERBS_ATTR_REG_DMABUF_MR_PD_HANDLE),
      pin: () => pinDmaBuf(call.kernel, session.nic, offset, length, fd),
      iova,
      access,
    });
    call.giveU32(A.UVERBS_ATTR_REG_DMABUF_MR_RESP_LKEY, region.lkey);
    call.giveU32(A.UVERBS_ATTR_REG_DMABUF_MR_RESP_RKEY, region.rkey);
  },

  *UVERBS_METHOD_REG_MR(session, call) {
    const A = M.UVERBS_METHOD_REG_MR.attributes;
    const iova = call.u64(A.UVERBS_ATTR_REG_MR_IOVA);
    const length = call.u64(A.UVERBS_ATTR_REG_MR_LENGTH);
    const [hasAddress, hasFd] = [call.has(A.UVERBS_ATTR_REG_MR_ADDR), call.has(A.UVERBS_ATTR_REG_MR_FD)];
    const hasOffset = call.has(A.UVERBS_ATTR_REG_MR_FD_OFFSET);
    if (hasFd ? !hasOffset || hasAddress : !hasAddress || hasOffset) refuse('EINVAL');
    const start = call.u64(hasFd ? A.UVERBS_ATTR_REG_MR_FD_OFFSET : A.UVERBS_ATTR_REG_MR_ADDR);
    samePlaceInPage(start, iova);
    const access = call.flags(A.UVERBS_ATTR_REG_MR_ACCESS_FLAGS, hasFd ? DMABUF_ACCESS : ANY_ACCESS);
    checkAccess(access);
    const pin = (): UserMemory =>
      hasFd
        ? pinDmaBuf(call.kernel, session.nic, start, length, call.descriptor(A.UVERBS_ATTR_REG_MR_FD))
        : pinUserMemory(call.kernel, start, length);
    const pd = call.named<ProtectionDomain>(A.UVERBS_ATTR_REG_MR_PD_HANDLE);
    const region = yield* makeRegion(session, call, A.UVERBS_ATTR_REG_MR_HANDLE, { pd, pin, iova, access });
    call.giveU32(A.UVERBS_ATTR_REG_MR_RESP_LKEY, region.lkey);
    call.giveU32(A.UVERBS_ATTR_REG_MR_RESP_RKEY, region.rkey);
  },

  EFA_IB_METHOD_MR_QUERY(_session, call) {
    const A = M.EFA_IB_METHOD_MR_QUERY.attributes;
    const { interconnect } = call.named<MemoryRegion>(A.EFA_IB_ATTR_QUERY_MR_HANDLE);
    const give = (row: Attribute, value: number) => call.give(row, Uint8Array.of(value, value >>> 8));
    give(A.EFA_IB_ATTR_QUERY_MR_RESP_RECV_IC_ID, interconnect.recv);
    give(A.EFA_IB_ATTR_QUERY_MR_RESP_RDMA_READ_IC_ID, interconnect.read);
    give(A.EFA_IB_ATTR_QUERY_MR_RESP_RDMA_RECV_IC_ID, interconnect.received);
    give(A.EFA_IB_ATTR_QUERY_MR_RESP_IC_ID_VALIDITY, interconnect.valid);
  },

  UVERBS_METHOD_COMP_CNTR_CREATE: createCounter,
  UVERBS_METHOD_COMP_CNTR_DESTROY: ended,
  // of these, too, one would have to be named
  UVERBS_METHOD_COMP_CNTR_MODIFY: () => refuse('ENOENT'),
  UVERBS_METHOD_COMP_CNTR_READ: () => refuse('EOPNOTSUPP'),

  UVERBS_METHOD_ASYNC_EVENT_ALLOC(session, call) {
    session.begunEvents(
      call.object(M.UVERBS_METHOD_ASYNC_EVENT_ALLOC.attributes.UVERBS_ATTR_ASYNC_EVENT_ALLOC_FD_HANDLE),
    );
  },
};

function gidEntry(address: Uint8Array): Uint8Array {
  const bytes = ib_uverbs_gid_entry.encode({ gid_index: 0, port_num: 1 });
  bytes.set(address);
  return bytes;
}

function reported(call: Call, handle: Parameters<Call['object']>[0]) {
  return (call.object(handle) ?? refuse('ENOENT')).reported;
}

function* createCompletionQueue(session: Session, call: Call): Steps {
  const A = M.UVERBS_METHOD_CQ_CREATE.attributes;
  const object = call.object(A.UVERBS_ATTR_CREATE_CQ_HANDLE) ?? refuse('ENOENT');
  const vector = call.u32(A.UVERBS_ATTR_CREATE_CQ_COMP_VECTOR);
  const entries = call.u32(A.UVERBS_ATTR_CREATE_CQ_CQE);
  if (entries === 0) refuse('EINVAL');
  object.userHandle = call.u64(A.UVERBS_ATTR_CREATE_CQ_USER_HANDLE);
  const known = CQ_FLAG.IB_UVERBS_CQ_FLAGS_TIMESTAMP_COMPLETION | CQ_FLAG.IB_UVERBS_CQ_FLAGS_IGNORE_OVERRUN;
  const flags = call.flags(A.UVERBS_ATTR_CREATE_CQ_FLAGS, known);
  if (vector >= session.vectors) refuse('EINVAL');
  const channel = call.object(A.UVERBS_ATTR_CREATE_CQ_COMP_CHANNEL)?.file?.operations;
  const cq = yield* session.verbs.queues.completionQueue(
    call.context,
    {
      entries,
      vector,
      flags,
      buffer: (least) => completionBuffer(session, call, least),
      completed: () => channel?.completed(object),
    },
    call,
  );
  object.object = cq;
  object.destroy = function* () {
    yield* cq.destroy();
    channel?.forget(object);
  };
  call.giveU32(A.UVERBS_ATTR_CREATE_CQ_RESP_CQE, cq.depth);
}

interface Buffer {
  readonly type: number;
  readonly fd: number;
  readonly addr: bigint;
  readonly length: bigint;
}

/** ib_umem_get_cq_buf: memory that the program gives for a completion queue, in one of three ways. */
function completionBuffer(session: Session, call: Call, least: number): UserMemory | undefined {
  const A = M.UVERBS_METHOD_CQ_CREATE.attributes;
  const umem = call.has(A.UVERBS_ATTR_CREATE_CQ_BUF_UMEM)
    ? described(call, A.UVERBS_ATTR_CREATE_CQ_BUF_UMEM)
    : undefined;
  const legacy = legacyBuffer(call);
  if (legacy === 'incomplete') return undefined;
  if (umem && legacy) refuse('EINVAL');
  const buffer = umem ?? legacy;
  return buffer && pinBuffer(session, call, buffer, least);
}

/** uverbs_get_buffer_desc. @throws SystemError EINVAL, EFAULT */
function described(call: Call, row: Attribute): Buffer {
  const buffer = ib_uverbs_buffer_desc.decode(call.struct(row, ib_uverbs_buffer_desc.size));
  if (buffer.flags !== 0) refuse('EINVAL');
  return buffer;
}

/** ib_umem_get_desc_check. */
function pinBuffer(session: Session, call: Call, { type, fd, addr, length }: Buffer, least: number): UserMemory {
  if (type !== BUFFER.DMABUF && type !== BUFFER.MEMORY) refuse('EINVAL');
  const memory =
    type === BUFFER.DMABUF
      ? pinDmaBuf(call.kernel, session.nic, addr, length, fd)
      : pinUserMemory(call.kernel, addr, length);
  if (memory.length >= BigInt(least)) return memory;
  memory.release();
  refuse('EINVAL');
}

/**
 * uverbs_create_cq_get_buffer_desc. What is missing of the attributes is taken by its caller for no buffer at all, as
 * both are ENOENT to it.
 */
function legacyBuffer(call: Call): Buffer | 'incomplete' | undefined {
  const A = M.UVERBS_METHOD_CQ_CREATE.attributes;
  const [va, fd] = [call.has(A.UVERBS_ATTR_CREATE_CQ_BUFFER_VA), call.has(A.UVERBS_ATTR_CREATE_CQ_BUFFER_FD)];
  const offset = call.has(A.UVERBS_ATTR_CREATE_CQ_BUFFER_OFFSET);
  const length = call.has(A.UVERBS_ATTR_CREATE_CQ_BUFFER_LENGTH);
  if (!va && !fd) return offset || length ? refuse('EINVAL') : undefined;
  if (!length || (!va && !offset)) return 'incomplete';
  if (va && (fd || offset)) refuse('EINVAL');
  return {
    type: va ? BUFFER.MEMORY : BUFFER.DMABUF,
    fd: va ? 0 : call.descriptor(A.UVERBS_ATTR_CREATE_CQ_BUFFER_FD),
    addr: call.u64(va ? A.UVERBS_ATTR_CREATE_CQ_BUFFER_VA : A.UVERBS_ATTR_CREATE_CQ_BUFFER_OFFSET),
    length: call.u64(A.UVERBS_ATTR_CREATE_CQ_BUFFER_LENGTH),
  };
}

/** efa_create_comp_cntr: both places are looked at, then the device is asked, which has no such command. */
function* createCounter(session: Session, call: Call): Steps {
  const A = M.UVERBS_METHOD_COMP_CNTR_CREATE.attributes;
  const pinned: UserMemory[] = [];
  try {
    for (const row of [A.EFA_IB_ATTR_CREATE_COMP_CNTR_COMP_BUFFER, A.EFA_IB_ATTR_CREATE_COMP_CNTR_ERR_BUFFER]) {
      pinned.push(pinBuffer(session, call, described(call, row), U64));
    }
    if (pinned.some(({ offset }) => offset % U64 !== 0)) refuse('EINVAL');
    yield* session.verbs.eventCounter(call.context, pinned[0] as UserMemory);
  } finally {
    for (const memory of pinned) memory.release();
  }
}

function* createQueuePair(session: Session, call: Call): Steps {
  const A = M.UVERBS_METHOD_QP_CREATE.attributes;
  const object = call.object(A.UVERBS_ATTR_CREATE_QP_HANDLE) ?? refuse('ENOENT');
  const cap = ib_uverbs_qp_cap.decode(call.struct(A.UVERBS_ATTR_CREATE_QP_CAP, ib_uverbs_qp_cap.size));
  object.userHandle = call.u64(A.UVERBS_ATTR_CREATE_QP_USER_HANDLE);
  const type = call.number(A.UVERBS_ATTR_CREATE_QP_TYPE);
  checkType(call, type);
  const pd = call.named<ProtectionDomain>(A.UVERBS_ATTR_CREATE_QP_PD_HANDLE);
  const send = call.named<CompletionQueue>(A.UVERBS_ATTR_CREATE_QP_SEND_CQ_HANDLE);
  const initiator = type === QPT.IB_UVERBS_QPT_XRC_INI;
  const receive = initiator ? send : call.named<CompletionQueue>(A.UVERBS_ATTR_CREATE_QP_RECV_CQ_HANDLE);
  const known = Object.values(CREATE).reduce((all, flag) => all | flag, 0);
  const flags = call.flags(A.UVERBS_ATTR_CREATE_QP_FLAGS, known) & ~CREATE.IB_UVERBS_QP_CREATE_SQ_SIG_ALL;
  checkFlags(type, flags);
  // IB_QP_CREATE_SOURCE_QPN
  const source = call.has(A.UVERBS_ATTR_CREATE_QP_SOURCE_QPN) ? 1 << 10 : 0;
  const request = { type, cap, createFlags: flags | source, pd, send, receive };
  const qp = yield* session.verbs.queues.queuePair(call.context, request, call);
  object.object = qp;
  object.destroy = () => qp.destroy();
  call.giveStruct(A.UVERBS_ATTR_CREATE_QP_RESP_CAP, ib_uverbs_qp_cap.encode(cap));
  call.giveU32(A.UVERBS_ATTR_CREATE_QP_RESP_QP_NUM, qp.number);
}

/** Which types the core knows, before the driver looks. @throws SystemError EINVAL, ENOENT */
function checkType(call: Call, type: number): void {
  const A = M.UVERBS_METHOD_QP_CREATE.attributes;
  if (type === QPT.IB_UVERBS_QPT_XRC_TGT) {
    const others = [
      A.UVERBS_ATTR_CREATE_QP_RECV_CQ_HANDLE,
      A.UVERBS_ATTR_CREATE_QP_SEND_CQ_HANDLE,
      A.UVERBS_ATTR_CREATE_QP_PD_HANDLE,
    ];
    // it needs an XRC domain, which cannot be made
    refuse(others.some((row) => call.has(row)) ? 'EINVAL' : 'ENOENT');
  }
  if (!Object.values(QPT).some((known) => known === type)) refuse('EINVAL');
}

/** check_creation_flags. @throws SystemError EINVAL */
function checkFlags(type: number, flags: number): void {
  if (flags === 0 || type === QPT.IB_UVERBS_QPT_DRIVER) return;
  const raw = type === QPT.IB_UVERBS_QPT_RAW_PACKET;
  if (!raw && type !== QPT.IB_UVERBS_QPT_UD) refuse('EINVAL');
  const packets = CREATE.IB_UVERBS_QP_CREATE_SCATTER_FCS | CREATE.IB_UVERBS_QP_CREATE_CVLAN_STRIPPING;
  if (!raw && (flags & packets) !== 0) refuse('EINVAL');
}
