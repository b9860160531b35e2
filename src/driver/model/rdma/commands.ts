/**
 * What the commands of the older interface do, which INVOKE_WRITE runs: a body for each row of src/uapi/rdma/commands.ts, or
 * it does not compile. Commands that have no row are those the core has not, or that need more of a driver than efa has.
 * Source: core/uverbs_cmd.c, core/uverbs_std_types_device.c (UVERBS_METHOD_INVOKE_WRITE).
 */

import type { Steps } from '../../../sim/process.ts';
import {
  commandConstants,
  commands,
  extendedCommands,
  ib_uverbs_alloc_pd_resp,
  ib_uverbs_create_ah,
  ib_uverbs_create_ah_resp,
  ib_uverbs_create_comp_channel_resp,
  ib_uverbs_create_qp,
  ib_uverbs_create_qp_resp,
  ib_uverbs_dealloc_pd,
  ib_uverbs_dereg_mr,
  ib_uverbs_destroy_ah,
  ib_uverbs_destroy_cq,
  ib_uverbs_destroy_cq_resp,
  ib_uverbs_destroy_qp,
  ib_uverbs_destroy_qp_resp,
  ib_uverbs_ex_create_qp,
  ib_uverbs_ex_create_qp_resp,
  ib_uverbs_ex_modify_qp,
  ib_uverbs_ex_modify_qp_resp,
  ib_uverbs_ex_query_device,
  ib_uverbs_get_context_resp,
  ib_uverbs_modify_qp,
  ib_uverbs_query_port,
  ib_uverbs_query_qp,
  ib_uverbs_query_qp_resp,
  ib_uverbs_reg_mr,
  ib_uverbs_reg_mr_resp,
} from '../../../uapi/rdma/commands.ts';
import { efa_ibv_ex_query_device_resp } from '../../../uapi/rdma/efa.ts';
import { qpAttributeMask, qpStates } from '../../../uapi/rdma/ib.ts';
import type { Access, ObjectName } from '../../../uapi/rdma/ioctl.ts';
import { methods } from '../../../uapi/rdma/methods.ts';
import {
  ib_uverbs_ex_query_device_resp,
  ib_uverbs_query_device_resp,
  ib_uverbs_query_port_resp,
  qpTypes,
} from '../../../uapi/rdma/verbs.ts';
import { values } from '../../../uapi/rows.ts';
import type { Decoded, Struct } from '../../../uapi/struct.ts';
import { refuse } from '../errno.ts';
import type { OpenFile } from '../files.ts';
import type { Kernel } from '../kernel.ts';
import type { Call } from './call.ts';
import type { EventFile } from './event-files.ts';
import type { DriverData, UserContext } from './making.ts';
import { capabilitiesOf, deviceOf, portOf } from './port.ts';
import type { CompletionQueue, QueuePair } from './queues.ts';
import { beginContext, checkAccess, registerAs, type Session, samePlaceInPage } from './session.ts';
import { pinUserMemory } from './umem.ts';
import type { UserObject, UserObjects } from './uobjects.ts';
import { extend } from './user-copy.ts';
import type { ProtectionDomain } from './verbs.ts';

const A = methods.UVERBS_METHOD_INVOKE_WRITE.attributes;
const MASK = values(qpAttributeMask);
const QPT = values(qpTypes);
const { IB_QPS_RTR, IB_QPS_ERR } = values(qpStates);
const { IB_USER_VERBS_CMD_COMMAND_MASK, IB_USER_VERBS_CMD_FLAG_EXTENDED } = values(commandConstants);
/** enum ib_qp_attr_mask (rdma/ib_verbs.h): what efa takes none of, but the core looks at. */
const IB_QP = { AV: 1 << 7, ALT_PATH: 1 << 14, STANDARD: 2 ** 21 - 1, RATE_LIMIT: 1 << 25 } as const;
/** IB_UVERBS_CREATE_QP_MASK_IND_TABLE. */
const WITH_TABLE = 1;
/** Flags that create_qp lets a driver see (core/uverbs_cmd.c): IB_QP_CREATE_*. */
const CREATE_FLAGS = 0xf0e | (1 << 11);
/** IB_SIGNAL_ALL_WR is 0, and the driver leaves it there. */
const SIGNALS_ALL = 1;

/** A command as it came, by the method or by write(2). */
export interface CommandCall extends DriverData {
  readonly kernel: Kernel;
  readonly objects: UserObjects;
  /** @throws SystemError EINVAL where there is none */
  readonly context: UserContext;
  /** The request, without its header. @throws SystemError EFAULT */
  request(): Uint8Array;
  /** Room for the core's answer, and whether the driver's is wanted. */
  readonly answerRoom: number;
  readonly driverAnswers: boolean;
  /** What is left of the room becomes zero. @throws SystemError EFAULT */
  tell(bytes: Uint8Array): void;
}

type Body = (session: Session, call: CommandCall) => Steps | undefined;
type Name = keyof typeof commands;
type ExtendedName = keyof typeof extendedCommands;

/** uverbs_request. @throws SystemError EFAULT, EOPNOTSUPP */
function request<Out>(call: CommandCall, row: Struct<Out, never>): Out {
  return row.decode(extend(call.request(), row.size));
}

/** uverbs_response_length. */
function answeredBytes(call: CommandCall, size: number): number {
  return Math.min(call.answerRoom, size);
}

/** Makes an object; it is there once `make` is through, which tells the program of it too. */
function* create(
  call: CommandCall,
  type: ObjectName,
  make: (object: UserObject) => Steps,
  file?: OpenFile<EventFile>,
): Steps {
  const object = call.objects.begin(type, file);
  try {
    yield* make(object);
  } catch (error) {
    yield* call.objects.abort(object);
    throw error;
  }
  call.objects.commit(object);
}

/** Looks an object up, and lets it go afterwards. */
function* using<T, R>(
  call: CommandCall,
  type: ObjectName,
  handle: number,
  body: (named: T) => Steps<R>,
  access: Exclude<Access, 'new'> = 'read',
): Steps<R> {
  const object = call.objects.get(type, access, BigInt(handle));
  try {
    return yield* body(object.object as T);
  } finally {
    call.objects.put(object, access);
  }
}

/** uobj_get_destroy. @returns the object, which has gone */
function* destroy(call: CommandCall, type: ObjectName, handle: number): Steps<UserObject> {
  const object = call.objects.get(type, 'destroy', BigInt(handle));
  yield* call.objects.destroy(object);
  return object;
}

const bodies: { readonly [N in Name]: Body } = {
  *IB_USER_VERBS_CMD_GET_CONTEXT(session, call) {
    request(call, commands.IB_USER_VERBS_CMD_GET_CONTEXT.request);
    const events = session.makeEvents('others');
    const make = function* (object: UserObject): Steps {
      const told = { async_fd: object.id, num_comp_vectors: session.vectors };
      call.tell(ib_uverbs_get_context_resp.encode(told));
      yield* beginContext(session, call, () => {});
      session.begunEvents(object);
    };
    yield* create(call, 'UVERBS_OBJECT_ASYNC_EVENT', make, events);
  },

  IB_USER_VERBS_CMD_QUERY_DEVICE({ nic }, call) {
    void call.context;
    request(call, commands.IB_USER_VERBS_CMD_QUERY_DEVICE.request);
    call.tell(ib_uverbs_query_device_resp.encode(deviceOf(nic)));
  },

  IB_USER_VERBS_CMD_QUERY_PORT({ nic }, call) {
    void call.context;
    if (request(call, ib_uverbs_query_port).port_num !== 1) refuse('EINVAL');
    call.tell(ib_uverbs_query_port_resp.encode(portOf(nic)));
  },

  *IB_USER_VERBS_CMD_ALLOC_PD({ verbs }, call) {
    request(call, commands.IB_USER_VERBS_CMD_ALLOC_PD.request);
    void call.context;
    yield* create(call, 'UVERBS_OBJECT_PD', function* (object) {
      const pd = yield* verbs.protectionDomain(call);
      object.object = pd;
      object.destroy = () => verbs.endProtectionDomain(pd);
      call.tell(ib_uverbs_alloc_pd_resp.encode({ pd_handle: object.id }));
    });
  },

  *IB_USER_VERBS_CMD_DEALLOC_PD(_session, call) {
    yield* destroy(call, 'UVERBS_OBJECT_PD', request(call, ib_uverbs_dealloc_pd).pd_handle);
  },

  *IB_USER_VERBS_CMD_CREATE_AH({ verbs }, call) {
    const { attr, pd_handle, user_handle } = request(call, ib_uverbs_create_ah);
    void call.context;
    yield* create(call, 'UVERBS_OBJECT_AH', function* (object) {
      if (attr.port_num !== 1) refuse('EINVAL');
      const ah = yield* using(call, 'UVERBS_OBJECT_PD', pd_handle, (pd: ProtectionDomain) => {
        // the port has one address
        if (attr.is_global && attr.grh.sgid_index > 0) refuse('EINVAL');
        const address = attr.is_global ? Uint8Array.from(attr.grh.dgid) : new Uint8Array(16);
        return verbs.addressHandle(pd, address, call);
      });
      object.userHandle = user_handle;
      object.object = ah;
      object.destroy = () => ah.destroy();
      call.tell(ib_uverbs_create_ah_resp.encode({ ah_handle: object.id }));
    });
  },

  *IB_USER_VERBS_CMD_DESTROY_AH(_session, call) {
    yield* destroy(call, 'UVERBS_OBJECT_AH', request(call, ib_uverbs_destroy_ah).ah_handle);
  },

  *IB_USER_VERBS_CMD_REG_MR(session, call) {
    const { start, length, hca_va: iova, pd_handle, access_flags: access } = request(call, ib_uverbs_reg_mr);
    samePlaceInPage(start, iova);
    void call.context;
    yield* create(call, 'UVERBS_OBJECT_MR', function* (object) {
      checkAccess(access);
      const pin = () => pinUserMemory(call.kernel, start, length);
      const region = yield* using(call, 'UVERBS_OBJECT_PD', pd_handle, (pd: ProtectionDomain) =>
        registerAs(session, object, { pd, pin, iova, access }, call),
      );
      region.iova = iova;
      const keys = { lkey: region.lkey, rkey: region.rkey };
      call.tell(ib_uverbs_reg_mr_resp.encode({ ...keys, mr_handle: object.id }));
    });
  },

  *IB_USER_VERBS_CMD_DEREG_MR(_session, call) {
    yield* destroy(call, 'UVERBS_OBJECT_MR', request(call, ib_uverbs_dereg_mr).mr_handle);
  },

  *IB_USER_VERBS_CMD_CREATE_COMP_CHANNEL(session, call) {
    request(call, commands.IB_USER_VERBS_CMD_CREATE_COMP_CHANNEL.request);
    void call.context;
    const events = session.makeEvents('completions');
    // biome-ignore lint/correctness/useYield: making it waits for nothing
    const make = function* (object: UserObject): Steps {
      // biome-ignore lint/correctness/useYield: ending it waits for nothing
      object.destroy = function* () {
        events.operations.end();
      };
      call.tell(ib_uverbs_create_comp_channel_resp.encode({ fd: object.id }));
    };
    yield* create(call, 'UVERBS_OBJECT_COMP_CHANNEL', make, events);
  },

  // efa creates completion queues by the method alone: its driver has create_user_cq and no create_cq
  IB_USER_VERBS_CMD_CREATE_CQ: () => refuse('EOPNOTSUPP'),

  *IB_USER_VERBS_CMD_DESTROY_CQ(_session, call) {
    const { cq_handle } = request(call, ib_uverbs_destroy_cq);
    const { reported } = yield* destroy(call, 'UVERBS_OBJECT_CQ', cq_handle);
    const { completions, others } = reported;
    const told = { comp_events_reported: completions, async_events_reported: others };
    call.tell(ib_uverbs_destroy_cq_resp.encode(told));
  },

  *IB_USER_VERBS_CMD_CREATE_QP(session, call) {
    const wanted = request(call, ib_uverbs_create_qp);
    yield* createQueuePair(session, call, { ...wanted, comp_mask: 0, create_flags: 0 }, (base) =>
      ib_uverbs_create_qp_resp.encode(base),
    );
  },

  *IB_USER_VERBS_CMD_QUERY_QP({ verbs }, call) {
    const { qp_handle, attr_mask } = request(call, ib_uverbs_query_qp);
    const told = yield* using(call, 'UVERBS_OBJECT_QP', qp_handle, function* (qp: QueuePair) {
      const { qp_state, qkey, sq_psn, sq_draining, rnr_retry } = yield* verbs.queues.query(qp, attr_mask);
      const state = { qp_state, qkey, sq_psn, sq_draining, rnr_retry };
      return { ...qp.cap, ...state, port_num: 1, sq_sig_all: SIGNALS_ALL };
    });
    call.tell(ib_uverbs_query_qp_resp.encode(told));
  },

  *IB_USER_VERBS_CMD_MODIFY_QP(session, call) {
    const change = request(call, ib_uverbs_modify_qp);
    if ((change.attr_mask & ~IB_QP.STANDARD) !== 0) refuse('EOPNOTSUPP');
    yield* modifyQueuePair(session, call, change);
  },

  *IB_USER_VERBS_CMD_DESTROY_QP(_session, call) {
    const { qp_handle } = request(call, ib_uverbs_destroy_qp);
    const { reported } = yield* destroy(call, 'UVERBS_OBJECT_QP', qp_handle);
    call.tell(ib_uverbs_destroy_qp_resp.encode({ events_reported: reported.others }));
  },
};

const extended: { readonly [N in ExtendedName]: Body } = {
  IB_USER_VERBS_EX_CMD_QUERY_DEVICE({ nic }, call) {
    void call.context;
    const { comp_mask, reserved } = request(call, ib_uverbs_ex_query_device);
    if (comp_mask !== 0 || reserved !== 0) refuse('EINVAL');
    call.takeNothing();
    if (call.driverAnswers) call.answer(efa_ibv_ex_query_device_resp.encode(capabilitiesOf(nic)));
    const { size } = ib_uverbs_ex_query_device_resp;
    const told = { base: deviceOf(nic), response_length: answeredBytes(call, size) };
    call.tell(ib_uverbs_ex_query_device_resp.encode(told));
  },

  *IB_USER_VERBS_EX_CMD_CREATE_QP(session, call) {
    const wanted = request(call, ib_uverbs_ex_create_qp);
    if ((wanted.comp_mask & ~WITH_TABLE) !== 0 || wanted.reserved !== 0) refuse('EINVAL');
    const { size } = ib_uverbs_ex_create_qp_resp;
    yield* createQueuePair(session, call, wanted, (base) =>
      ib_uverbs_ex_create_qp_resp.encode({ base, response_length: answeredBytes(call, size) }),
    );
  },

  *IB_USER_VERBS_EX_CMD_MODIFY_QP(session, call) {
    const { base } = request(call, ib_uverbs_ex_modify_qp);
    if ((base.attr_mask & ~(IB_QP.STANDARD | IB_QP.RATE_LIMIT)) !== 0) refuse('EOPNOTSUPP');
    yield* modifyQueuePair(session, call, base);
    const { size } = ib_uverbs_ex_modify_qp_resp;
    call.tell(ib_uverbs_ex_modify_qp_resp.encode({ response_length: answeredBytes(call, size) }));
  },
};

type WantedQueuePair = Pick<
  Decoded<typeof ib_uverbs_ex_create_qp>,
  keyof Decoded<typeof ib_uverbs_create_qp> & keyof Decoded<typeof ib_uverbs_ex_create_qp>
> & { readonly comp_mask: number; readonly create_flags: number };

/** create_qp. */
function* createQueuePair(
  session: Session,
  call: CommandCall,
  wanted: WantedQueuePair,
  encode: (base: Parameters<typeof ib_uverbs_create_qp_resp.encode>[0]) => Uint8Array,
): Steps {
  const { qp_type: type } = wanted;
  if (!Object.values(QPT).some((known) => known === type)) refuse('EINVAL');
  void call.context;
  yield* create(call, 'UVERBS_OBJECT_QP', function* (object) {
    object.userHandle = wanted.user_handle;
    // tables of receive queues, XRC domains and shared receive queues cannot be made, so none is found
    if ((wanted.comp_mask & WITH_TABLE) !== 0 || type === QPT.IB_UVERBS_QPT_XRC_TGT) refuse('EINVAL');
    const initiator = type === QPT.IB_UVERBS_QPT_XRC_INI;
    if (!initiator && wanted.is_srq !== 0) refuse('EINVAL');
    const { max_send_wr, max_recv_wr, max_send_sge, max_recv_sge, max_inline_data } = wanted;
    const cap = { max_send_wr, max_recv_wr, max_send_sge, max_recv_sge, max_inline_data };
    const { send_cq_handle, recv_cq_handle, pd_handle } = wanted;
    const CQ = 'UVERBS_OBJECT_CQ';
    const make = (pd: ProtectionDomain, send: CompletionQueue, receive: CompletionQueue): Steps<QueuePair> => {
      if ((wanted.create_flags & ~CREATE_FLAGS) !== 0) refuse('EINVAL');
      const sizes = initiator ? { ...cap, max_recv_wr: 0, max_recv_sge: 0 } : cap;
      const request = { type, cap: sizes, createFlags: wanted.create_flags, pd, send, receive };
      return session.verbs.queues.queuePair(call.context, request, call);
    };
    const withSend = (receive: CompletionQueue | undefined) =>
      using(call, CQ, send_cq_handle, (send: CompletionQueue) =>
        using(call, 'UVERBS_OBJECT_PD', pd_handle, (pd: ProtectionDomain) => make(pd, send, receive ?? send)),
      );
    const qp =
      initiator || recv_cq_handle === send_cq_handle
        ? yield* withSend(undefined)
        : yield* using(call, CQ, recv_cq_handle, (receive: CompletionQueue) => withSend(receive));
    object.object = qp;
    object.destroy = () => qp.destroy();
    call.tell(encode({ ...cap, qpn: qp.number, qp_handle: object.id }));
  });
}

/** modify_qp, _ib_modify_qp. */
function* modifyQueuePair(session: Session, call: CommandCall, change: Decoded<typeof ib_uverbs_modify_qp>): Steps {
  yield* using(call, 'UVERBS_OBJECT_QP', change.qp_handle, function* (qp: QueuePair) {
    const mask = checkedMask(qp, change);
    yield* session.verbs.queues.modify(qp, { ...change, attr_mask: mask }, call);
    if ((mask & MASK.IB_QP_PORT) !== 0) qp.port = change.port_num;
  });
}

/** What the core checks before the driver looks. @returns the mask, with what follows of it @throws SystemError EINVAL */
function checkedMask(qp: QueuePair, change: Decoded<typeof ib_uverbs_modify_qp>): number {
  let mask = change.attr_mask;
  const has = (flag: number) => (mask & flag) !== 0;
  if (has(MASK.IB_QP_PORT) && change.port_num !== 1) refuse('EINVAL');
  if (has(IB_QP.AV)) {
    const { port_num, is_global, sgid_index } = change.dest;
    if (port_num !== 1) refuse('EINVAL');
    if (has(MASK.IB_QP_STATE) && change.qp_state === IB_QPS_RTR) {
      if (port_num !== qp.port) refuse('EINVAL');
    } else mask |= MASK.IB_QP_PORT;
    if (is_global && sgid_index > 0) refuse('EINVAL');
  }
  // the port does not speak InfiniBand
  if (has(IB_QP.ALT_PATH)) refuse('EINVAL');
  const beyond = (flag: number, state: number) => has(flag) && state > IB_QPS_ERR;
  if (beyond(MASK.IB_QP_CUR_STATE, change.cur_qp_state) || beyond(MASK.IB_QP_STATE, change.qp_state)) refuse('EINVAL');
  return mask;
}

/** A command that can be given. */
interface Known {
  readonly body: (session: Session, call: CommandCall) => Steps | undefined;
  /** Bytes of the request and the answer that the core insists on. */
  readonly asked: number;
  readonly told: number;
  /** What follows the request is for the driver. */
  readonly driverData: boolean;
  /** The request begins with the address of the answer. */
  readonly answers: boolean;
  readonly extended: boolean;
}

const ABSENT: Known = {
  body: () => refuse('EOPNOTSUPP'),
  asked: 0,
  told: 0,
  driverData: false,
  answers: false,
  extended: false,
};

interface Row {
  readonly value: number;
  readonly request: { readonly size: number };
  readonly answer?: { readonly size: number };
  readonly driverData: boolean;
}

const byNumber = new Map<number, Known>(
  (Object.keys(commands) as Name[])
    .filter((name) => name !== 'IB_USER_VERBS_CMD_CREATE_CQ')
    .map((name) => {
      const { value, request: asked, answer: told, driverData }: Row = commands[name];
      const sizes = { asked: asked.size, told: told?.size ?? 0 };
      return [value, { body: bodies[name], ...sizes, driverData, answers: told !== undefined, extended: false }];
    }),
);
/** Of these the core keeps no sizes: what is not given is zero. */
const byExtendedNumber = new Map<number, Known>(
  (Object.keys(extendedCommands) as ExtendedName[]).map((name) => [
    extendedCommands[name].value,
    { body: extended[name], asked: 0, told: 0, driverData: true, answers: true, extended: true },
  ]),
);

/** The tables end with the last command that there is. */
const LAST = { plain: Math.max(...byNumber.keys()), extended: Math.max(...byExtendedNumber.keys()) } as const;

/** uapi_get_method. @param number of 32 bits @throws SystemError EINVAL, EOPNOTSUPP beyond the last */
export function commandOf(number: number): Known {
  const command = number & IB_USER_VERBS_CMD_COMMAND_MASK;
  const isExtended = number >= IB_USER_VERBS_CMD_FLAG_EXTENDED;
  if (number !== command + (isExtended ? IB_USER_VERBS_CMD_FLAG_EXTENDED : 0)) refuse('EINVAL');
  if (command > (isExtended ? LAST.extended : LAST.plain)) refuse('EOPNOTSUPP');
  return (isExtended ? byExtendedNumber : byNumber).get(command) ?? ABSENT;
}

/** UVERBS_METHOD_INVOKE_WRITE. */
export function* invoke(session: Session, call: Call): Steps {
  const { body, asked, told } = commandOf(call.number(A.UVERBS_ATTR_WRITE_CMD));
  const answerRoom = call.room(A.UVERBS_ATTR_CORE_OUT);
  if (call.room(A.UVERBS_ATTR_CORE_IN) < asked || answerRoom < told) refuse('ENOSPC');
  const command: CommandCall = {
    kernel: call.kernel,
    objects: call.objects,
    get context() {
      return call.context;
    },
    request: () => (call.has(A.UVERBS_ATTR_CORE_IN) ? call.bytes(A.UVERBS_ATTR_CORE_IN) : new Uint8Array(0)),
    answerRoom,
    driverAnswers: call.answered,
    tell: (bytes) => {
      if (call.has(A.UVERBS_ATTR_CORE_OUT)) call.giveStruct(A.UVERBS_ATTR_CORE_OUT, bytes);
    },
    take: (size, least) => call.take(size, least),
    peek: (size) => call.peek(size),
    takeNothing: () => call.takeNothing(),
    answer: (bytes) => call.answer(bytes),
  };
  yield* body(session, command) ?? [];
}
