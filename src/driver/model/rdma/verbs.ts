/**
 * What the driver makes on behalf of programs: contexts, protection domains, queues, address handles, registered memory.
 * Each is a command of the NIC's and what the host has of it. Source: efa_verbs.c, efa_ah_cache.c.
 */

import { UNADVERTISED } from '../../../../specs/efa/admin.ts';
import type { Region } from '../../../pci/function.ts';
import { ModelError } from '../../../sim/errors.ts';
import type { Steps } from '../../../sim/process.ts';
import {
  efa_ibv_alloc_pd_resp,
  efa_ibv_alloc_ucontext_cmd,
  efa_ibv_alloc_ucontext_resp,
  efa_ibv_create_ah_resp,
  efa_ibv_create_cq,
  efa_ibv_create_cq_resp,
  efa_ibv_create_qp,
  efa_ibv_create_qp_resp,
  efaConstants,
} from '../../../uapi/rdma/efa.ts';
import { qpAttributeMask } from '../../../uapi/rdma/ib.ts';
import { accessFlags, type ib_uverbs_qp_cap, qpTypes } from '../../../uapi/rdma/verbs.ts';
import { values } from '../../../uapi/rows.ts';
import type { Decoded } from '../../../uapi/struct.ts';
import { errnoOf, negative, refuse } from '../errno.ts';
import { PAGE } from '../host-memory.ts';
import { Mutex } from '../kernel.ts';
import { halves } from './admin-queue.ts';
import { type MapEntry, MapTable, SharedMemory } from './mmap-table.ts';
import type { ErrorCounter, Nic } from './nic.ts';
import { makePageList } from './page-list.ts';
import { mayChange } from './qp-states.ts';
import { bestPageSize, blocks, isContiguous, type UserMemory } from './umem.ts';

const EFA = values(efaConstants);
const ACCESS = values(accessFlags);
const MASK = values(qpAttributeMask);
const { IB_UVERBS_QPT_UD, IB_UVERBS_QPT_DRIVER } = values(qpTypes);
/** enum efa_admin_qp_type. */
const QP_TYPE = { UD: 1, SRD: 2 } as const;
/** Of a CQE: struct efa_io_rx_cdesc and efa_io_rx_cdesc_ex. */
const ENTRY = { SHORT: 16, LONG: 32 } as const;
/** efa_verbs.c: EFA_QUERY_QP_SUPP_MASK, EFA_MODIFY_QP_SUPP_MASK. IB_QP_CAP is no attribute that is changed. */
const IB_QP_CAP = 1 << 19;
const QUERIED =
  MASK.IB_QP_STATE |
  MASK.IB_QP_PKEY_INDEX |
  MASK.IB_QP_PORT |
  MASK.IB_QP_QKEY |
  MASK.IB_QP_SQ_PSN |
  IB_QP_CAP |
  MASK.IB_QP_RNR_RETRY;
const MODIFIED =
  MASK.IB_QP_STATE |
  MASK.IB_QP_CUR_STATE |
  MASK.IB_QP_EN_SQD_ASYNC_NOTIFY |
  MASK.IB_QP_PKEY_INDEX |
  MASK.IB_QP_PORT |
  MASK.IB_QP_QKEY |
  MASK.IB_QP_SQ_PSN |
  MASK.IB_QP_RNR_RETRY;

/** What a call and the driver of its device tell each other beyond the core's arguments (struct ib_udata). */
export interface DriverData {
  /** A struct of which the caller may have given less, but not less than `least` bytes. @throws SystemError EINVAL, EFAULT, EOPNOTSUPP */
  take(size: number, least: number): Uint8Array;
  /** As much of a struct as the caller has given, whatever follows. @throws SystemError EFAULT */
  peek(size: number): Uint8Array;
  /** Nothing but zeros. @throws SystemError EOPNOTSUPP, EFAULT */
  takeNothing(): void;
  /** Answers, where there is room. @throws SystemError EFAULT */
  answer(bytes: Uint8Array): void;
}

/** struct efa_ucontext */
export interface UserContext {
  readonly uar: number;
  readonly maps: MapTable;
}

export interface ProtectionDomain {
  readonly number: number;
  /** Objects that belong to it (usecnt). */
  users: number;
}

export interface CompletionQueue {
  readonly number: number;
  /** Entries. */
  readonly depth: number;
  users: number;
  destroy(): Steps;
}

export interface QueuePair {
  readonly number: number;
  readonly handle: number;
  readonly type: number;
  readonly cap: Decoded<typeof ib_uverbs_qp_cap>;
  state: number;
  port: number;
  destroy(): Steps;
}

export interface MemoryRegion {
  readonly lkey: number;
  readonly rkey: number;
  readonly length: bigint;
  /** 0 where the core does not tell it (REG_MR and REG_DMABUF_MR in Linux 7.3). */
  iova: bigint;
  /** By which of its parts the device reaches it, and which of these it tells (struct efa_mr_interconnect_info). */
  readonly interconnect: {
    readonly recv: number;
    readonly read: number;
    readonly received: number;
    readonly valid: number;
  };
  destroy(): Steps;
}

export interface AddressHandle {
  destroy(): Steps;
}

/** struct efa_ah_cache_entry */
interface SharedHandle {
  ah: number;
  /** Address handles of programs that it is behind, and those that are being made of it too. */
  users: number;
  holders: number;
  readonly lock: Mutex;
}

export interface CompletionQueueRequest {
  readonly entries: number;
  readonly vector: number;
  readonly flags: number;
  /** Memory of the caller for it, of at least so many bytes. @throws SystemError */
  buffer(least: number): UserMemory | undefined;
  /** It has something new. */
  completed(): void;
}

export interface QueuePairRequest {
  readonly type: number;
  readonly cap: Decoded<typeof ib_uverbs_qp_cap>;
  readonly createFlags: number;
  readonly pd: ProtectionDomain;
  readonly send: CompletionQueue;
  readonly receive: CompletionQueue;
}

/** Attributes of modify, by their names in struct ib_uverbs_modify_qp. */
export interface QueuePairChange {
  readonly attr_mask: number;
  readonly qp_state: number;
  readonly cur_qp_state: number;
  readonly en_sqd_async_notify: number;
  readonly pkey_index: number;
  readonly port_num: number;
  readonly qkey: number;
  readonly sq_psn: number;
  readonly rnr_retry: number;
}

export class Verbs {
  readonly nic: Nic;
  /** Address handles of the device, by protection domain and address: it has one of each. */
  readonly #handles = new Map<string, SharedHandle>();

  constructor(nic: Nic) {
    this.nic = nic;
  }

  /** efa_alloc_ucontext. @throws SystemError */
  *context(data: DriverData): Steps<UserContext> {
    return yield* this.#counting('alloc_ucontext', this.#context(data));
  }

  *#context(data: DriverData): Steps<UserContext> {
    const { nic } = this;
    const { supported_caps } = efa_ibv_alloc_ucontext_cmd.decode(data.peek(efa_ibv_alloc_ucontext_cmd.size));
    const { queues } = nic.attributes;
    const keeps = (attribute: number, flag: number, name: string) => {
      if (attribute === 0 || (supported_caps & flag) !== 0) return;
      this.#refuse('EOPNOTSUPP', `Userspace handshake failed for ${name} attribute`);
    };
    keeps(queues.max_tx_batch, EFA.EFA_ALLOC_UCONTEXT_CMD_SUPP_CAPS_TX_BATCH, 'max_tx_batch');
    keeps(queues.min_sq_depth, EFA.EFA_ALLOC_UCONTEXT_CMD_SUPP_CAPS_MIN_SQ_WR, 'min_sq_depth');
    const { uar } = yield* nic.command('ALLOC_UAR', {});
    const answer = efa_ibv_alloc_ucontext_resp.encode({
      cmds_supp_udata_mask: EFA.EFA_USER_CMDS_SUPP_UDATA_QUERY_DEVICE | EFA.EFA_USER_CMDS_SUPP_UDATA_CREATE_AH,
      sub_cqs_per_cq: queues.sub_cqs_per_cq,
      inline_buf_size: queues.inline_buf_size,
      inline_buf_size_ex: queues.inline_buf_size,
      max_llq_size: queues.max_llq_size,
      max_tx_batch: queues.max_tx_batch,
      min_sq_wr: queues.min_sq_depth,
    });
    yield* this.#undoing(() => data.answer(answer), nic.attempt('DEALLOC_UAR', { uar }));
    return { uar, maps: new MapTable(nic.kernel) };
  }

  /** efa_dealloc_ucontext. */
  *endContext({ uar }: UserContext): Steps {
    yield* this.nic.attempt('DEALLOC_UAR', { uar });
  }

  /** efa_alloc_pd. @throws SystemError */
  *protectionDomain(data: DriverData): Steps<ProtectionDomain> {
    return yield* this.#counting('alloc_pd', this.#protectionDomain(data));
  }

  *#protectionDomain(data: DriverData): Steps<ProtectionDomain> {
    const { nic } = this;
    data.takeNothing();
    const { pd } = yield* nic.command('ALLOC_PD', {});
    const answer = () => data.answer(efa_ibv_alloc_pd_resp.encode({ pdn: pd }));
    yield* this.#undoing(answer, nic.attempt('DEALLOC_PD', { pd }));
    return { number: pd, users: 0 };
  }

  /** uverbs_free_pd. @throws SystemError EBUSY */
  *endProtectionDomain(pd: ProtectionDomain): Steps {
    if (pd.users > 0) refuse('EBUSY');
    yield* this.nic.attempt('DEALLOC_PD', { pd: pd.number });
  }

  /** efa_create_user_cq. @throws SystemError */
  *completionQueue(context: UserContext, request: CompletionQueueRequest, data: DriverData): Steps<CompletionQueue> {
    if (request.flags !== 0) refuse('EOPNOTSUPP');
    return yield* this.#counting('create_cq', this.#completionQueue(context, request, data));
  }

  *#completionQueue(context: UserContext, request: CompletionQueueRequest, data: DriverData): Steps<CompletionQueue> {
    const { nic } = this;
    const { queues, device } = nic.attributes;
    const { entries } = request;
    if (entries > queues.max_cq_depth) {
      this.#refuse('EINVAL', `cq: requested entries[${entries}] greater than max[${queues.max_cq_depth}]`);
    }
    const input = efa_ibv_create_cq.decode(data.take(efa_ibv_create_cq.size, 10));
    if (input.comp_mask !== 0) refuse('EOPNOTSUPP');
    if (input.reserved_58.some((byte) => byte !== 0)) {
      this.#refuse('EINVAL', 'Incompatible ABI params, unknown fields in udata');
    }
    const sourceAddress = (input.flags & EFA.EFA_CREATE_CQ_WITH_SGID) !== 0;
    const { cq_entry_size: entrySize, num_sub_cqs: rings } = input;
    if (entrySize !== ENTRY.LONG && (sourceAddress || entrySize !== ENTRY.SHORT)) {
      this.#refuse('EINVAL', `Invalid entry size [${entrySize}]`);
    }
    if (rings !== queues.sub_cqs_per_cq) {
      this.#refuse('EINVAL', `Invalid number of sub cqs[${rings}] expected[${queues.sub_cqs_per_cq}]`);
    }
    const size = wholePages(entrySize * entries * rings);
    const buffer = request.buffer(size);
    if (buffer && !isContiguous(buffer)) {
      buffer.release();
      this.#refuse('EINVAL', 'Non contiguous CQ unsupported');
    }
    const memory = buffer ? undefined : new SharedMemory(nic.kernel.memory.allocateCoherent(size));
    const release = () => {
      memory?.put();
      buffer?.release();
    };
    const { lo, hi } = halves(memory ? memory.memory.bus : startOf(buffer as UserMemory));
    const events = (input.flags & EFA.EFA_CREATE_CQ_WITH_COMPLETION_CHANNEL) !== 0;
    const long = (input.flags & EFA.EFA_CREATE_CQ_WITH_SQ_COMP_64_BIT_REQ_ID) !== 0;
    const ring = nic.events[request.vector];
    if (events && !ring) {
      release();
      const what = 'the driver follows a pointer to an event queue, of which this device has none';
      throw new ModelError('undefined', 'EFA_CREATE_CQ_WITH_COMPLETION_CHANNEL', what);
    }
    const made = yield* this.#cleaning(
      nic.command('CREATE_CQ', {
        uar: context.uar,
        sub_cq_depth: entries,
        entry_size_words: entrySize / 4,
        num_sub_cqs: rings,
        set_src_addr: sourceAddress ? 1 : 0,
        sq_comp_64_bit_req_id: long ? 1 : 0,
        interrupt_mode_enabled: events ? 1 : 0,
        eqn: events && ring ? ring.number : 0,
        ba_lo: lo,
        ba_hi: hi,
      }),
      release,
    );
    const maps: MapEntry[] = [];
    let answer: Parameters<typeof efa_ibv_create_cq_resp.encode>[0] = { cq_idx: made.cq_idx, db_off: made.db_offset };
    if (memory) {
      const entry = context.maps.insert({ kind: 'memory', memory }, size);
      maps.push(entry);
      answer = { ...answer, q_mmap_size: BigInt(size), q_mmap_key: keyOf(entry) };
      if (made.db_valid) {
        const page = this.#doorbell(context, device.db_bar, made.db_offset);
        maps.push(page);
        answer = {
          ...answer,
          db_mmap_key: keyOf(page),
          db_off: made.db_offset % PAGE,
          comp_mask: EFA.EFA_CREATE_CQ_RESP_DB_OFF,
        };
      }
    }
    if (events) nic.completions.set(made.cq_idx, () => request.completed());
    const { cq_idx } = made;
    const end = function* (): Steps {
      yield* nic.attempt('DESTROY_CQ', { cq_idx });
      for (const map of maps) context.maps.remove(map);
      nic.completions.delete(cq_idx);
      release();
    };
    yield* this.#undoing(() => data.answer(efa_ibv_create_cq_resp.encode(answer)), end());
    const cq: CompletionQueue = {
      number: cq_idx,
      depth: entries,
      users: 0,
      *destroy() {
        if (cq.users > 0) refuse('EBUSY');
        yield* end();
      },
    };
    return cq;
  }

  #doorbell(context: UserContext, bar: number, offset: number): MapEntry {
    const region = this.nic.pci.bar(bar) as Region;
    return context.maps.insert({ kind: 'registers', region, offset: offset - (offset % PAGE) }, PAGE);
  }

  /** efa_create_qp. @throws SystemError */
  *queuePair(context: UserContext, request: QueuePairRequest, data: DriverData): Steps<QueuePair> {
    return yield* this.#counting('create_qp', this.#queuePair(context, request, data));
  }

  *#queuePair(context: UserContext, request: QueuePairRequest, data: DriverData): Steps<QueuePair> {
    const { nic } = this;
    const { pd, send, receive, cap, type } = request;
    const input = efa_ibv_create_qp.decode(data.take(efa_ibv_create_qp.size, 16));
    if (input.comp_mask !== 0) refuse('EOPNOTSUPP');
    if (input.reserved_98.some((byte) => byte !== 0)) {
      this.#refuse('EINVAL', 'Incompatible ABI params, unknown fields in udata');
    }
    const supported = nic.can('UNSOLICITED_WRITE_RECV') ? EFA.EFA_CREATE_QP_WITH_UNSOLICITED_WRITE_RECV : 0;
    if ((input.flags & ~supported) !== 0) {
      const [flags, most] = [input.flags.toString(16), supported.toString(16)];
      this.#refuse('EOPNOTSUPP', `Unsupported EFA QP create flags[0x${flags}], supported[0x${most}]`);
    }
    this.#checkSizes(cap, input.sq_ring_size);
    const reliable = type === IB_UVERBS_QPT_DRIVER;
    if (!reliable && type !== IB_UVERBS_QPT_UD) this.#refuse('EOPNOTSUPP', `Unsupported qp type ${type}`);
    if (request.createFlags !== 0) this.#refuse('EOPNOTSUPP', 'Unsupported create flags');
    if (reliable && input.driver_qp_type !== EFA.EFA_QP_DRIVER_TYPE_SRD) {
      this.#refuse('EOPNOTSUPP', `Unsupported qp type ${type} driver qp type ${input.driver_qp_type}`);
    }
    // the driver rounds up in 32 bits
    const rqSize = wholePages(input.rq_ring_size) % 2 ** 32;
    const memory = rqSize > 0 ? this.#allocate(rqSize) : undefined;
    const made = yield* this.#cleaning(
      nic.command('CREATE_QP', {
        uar: context.uar,
        pd: pd.number,
        qp_type: reliable ? QP_TYPE.SRD : QP_TYPE.UD,
        send_cq_idx: send.number,
        recv_cq_idx: receive.number,
        sq_depth: cap.max_send_wr,
        sq_ring_size: input.sq_ring_size,
        rq_depth: cap.max_recv_wr,
        rq_ring_size: input.rq_ring_size,
        rq_base_addr: memory?.memory.bus ?? 0,
        sl: input.sl,
        unsolicited_write_recv: (input.flags & EFA.EFA_CREATE_QP_WITH_UNSOLICITED_WRITE_RECV) !== 0 ? 1 : 0,
      }),
      () => memory?.put(),
    );
    const { qp_handle: handle, qp_num: number, sq_db_offset, rq_db_offset, llq_descriptors_offset: llq } = made;
    const { db_bar } = nic.attributes.device;
    const queue = nic.pci.bar(nic.memoryBar) as Region;
    const sq = this.#doorbell(context, db_bar, sq_db_offset);
    const descriptors = context.maps.insert(
      { kind: 'device', region: queue, offset: llq - (llq % PAGE) },
      wholePages(input.sq_ring_size + (llq % PAGE)),
    );
    const maps = [sq, descriptors];
    let answer: Parameters<typeof efa_ibv_create_qp_resp.encode>[0] = {
      sq_db_mmap_key: keyOf(sq),
      sq_db_offset: sq_db_offset % PAGE,
      llq_desc_mmap_key: keyOf(descriptors),
      llq_desc_offset: llq % PAGE,
      rq_db_offset,
      send_sub_cq_idx: made.send_sub_cq_idx,
      recv_sub_cq_idx: made.recv_sub_cq_idx,
    };
    if (memory) {
      const rq = this.#doorbell(context, db_bar, rq_db_offset);
      const ring = context.maps.insert({ kind: 'memory', memory }, rqSize);
      maps.push(rq, ring);
      answer = {
        ...answer,
        rq_db_mmap_key: keyOf(rq),
        rq_db_offset: rq_db_offset % PAGE,
        rq_mmap_key: keyOf(ring),
        rq_mmap_size: BigInt(rqSize),
      };
    }
    const release = () => {
      for (const map of maps) context.maps.remove(map);
      memory?.put();
    };
    const undo = function* (): Steps {
      yield* nic.attempt('DESTROY_QP', { qp_handle: handle });
      release();
    };
    yield* this.#undoing(() => data.answer(efa_ibv_create_qp_resp.encode(answer)), undo());
    for (const one of [pd, send, receive]) one.users++;
    return {
      number,
      handle,
      type,
      cap,
      state: 0,
      port: 0,
      *destroy() {
        yield* nic.command('DESTROY_QP', { qp_handle: handle });
        release();
        for (const one of [receive, send, pd]) one.users--;
      },
    };
  }

  /**
   * efa_zalloc_mapped. The driver does not look at the size, of which the page allocator has no piece above 4 MiB and which
   * it warns of. @throws SystemError ENOMEM
   */
  #allocate(size: number): SharedMemory {
    if (size > LARGEST_PIECE) {
      this.nic.kernel.log('warn', 'WARNING', 'at mm/page_alloc.c, __alloc_frozen_pages_noprof');
      refuse('ENOMEM');
    }
    return new SharedMemory(this.nic.kernel.memory.allocateCoherent(size));
  }

  /** efa_qp_validate_cap. */
  #checkSizes(cap: Decoded<typeof ib_uverbs_qp_cap>, ringSize: number): void {
    const { queues } = this.nic.attributes;
    const limit = (value: number, most: number, what: string) => {
      if (value > most) this.#refuse('EINVAL', `qp: requested ${what}[${value}] exceeds the max[${most}]`);
    };
    limit(cap.max_send_wr, queues.max_sq_depth, 'send wr');
    limit(ringSize, queues.max_llq_size, 'sq ring size');
    limit(cap.max_recv_wr, queues.max_rq_depth, 'receive wr');
    limit(cap.max_send_sge, queues.max_wr_send_sges, 'sge send');
    limit(cap.max_recv_sge, queues.max_wr_recv_sges, 'sge recv');
    limit(cap.max_inline_data, queues.inline_buf_size, 'inline data');
  }

  /** efa_modify_qp. @throws SystemError */
  *modify(qp: QueuePair, change: QueuePairChange, data: DriverData): Steps {
    const { attr_mask: mask } = change;
    const has = (flag: number) => ((mask & flag) !== 0 ? 1 : 0);
    data.takeNothing();
    const from = has(MASK.IB_QP_CUR_STATE) ? change.cur_qp_state : qp.state;
    const to = has(MASK.IB_QP_STATE) ? change.qp_state : from;
    if ((mask & ~MODIFIED) !== 0) {
      const [given, supported] = [mask.toString(16), MODIFIED.toString(16)];
      this.#refuse('EOPNOTSUPP', `Unsupported qp_attr_mask[0x${given}] supported[0x${supported}]`);
    }
    if (!mayChange(from, to, mask, qp.type === IB_UVERBS_QPT_DRIVER)) {
      this.#refuse('EINVAL', 'Invalid modify QP parameters');
    }
    if (has(MASK.IB_QP_PORT) && change.port_num !== 1) this.#refuse('EOPNOTSUPP', "Can't change port num");
    if (has(MASK.IB_QP_PKEY_INDEX) && change.pkey_index !== 0) this.#refuse('EOPNOTSUPP', "Can't change pkey index");
    const state = has(MASK.IB_QP_STATE);
    yield* this.nic.command('MODIFY_QP', {
      qp_handle: qp.handle,
      mask_qp_state: state,
      mask_cur_qp_state: state,
      ...(state ? { cur_qp_state: from, qp_state: to } : {}),
      ...(has(MASK.IB_QP_EN_SQD_ASYNC_NOTIFY)
        ? { mask_sq_drained_async_notify: 1, sq_drained_async_notify: change.en_sqd_async_notify }
        : {}),
      ...(has(MASK.IB_QP_QKEY) ? { mask_qkey: 1, qkey: change.qkey } : {}),
      ...(has(MASK.IB_QP_SQ_PSN) ? { mask_sq_psn: 1, sq_psn: change.sq_psn } : {}),
      ...(has(MASK.IB_QP_RNR_RETRY) ? { mask_rnr_retry: 1, rnr_retry: change.rnr_retry } : {}),
    });
    qp.state = to;
  }

  /** efa_query_qp. @throws SystemError EOPNOTSUPP */
  *query(qp: QueuePair, mask: number) {
    if ((mask & ~QUERIED) !== 0) {
      const [given, supported] = [(mask >>> 0).toString(16), QUERIED.toString(16)];
      this.#refuse('EOPNOTSUPP', `Unsupported qp_attr_mask[0x${given}] supported[0x${supported}]`);
    }
    return yield* this.nic.command('QUERY_QP', { qp_handle: qp.handle });
  }

  /** efa_create_ah. @param address 16 bytes @throws SystemError */
  *addressHandle(pd: ProtectionDomain, address: Uint8Array, data: DriverData): Steps<AddressHandle> {
    return yield* this.#counting('create_ah', this.#addressHandle(pd, address, data));
  }

  *#addressHandle(pd: ProtectionDomain, address: Uint8Array, data: DriverData): Steps<AddressHandle> {
    data.takeNothing();
    const key = `${pd.number} ${address.join(' ')}`;
    const { nic } = this;
    const handles = this.#handles;
    const shared = handles.get(key) ?? { ah: 0, users: 0, holders: 0, lock: new Mutex() };
    handles.set(key, shared);
    const leave = () => {
      if (--shared.holders === 0) handles.delete(key);
    };
    const make = function* (): Steps {
      if (shared.users === 0) {
        const fill = (payload: Uint8Array) => payload.set(address);
        shared.ah = (yield* nic.command('CREATE_AH', { pd: pd.number }, { fill, target: groups(address) })).ah;
      }
      shared.users++;
    };
    const end = function* (): Steps {
      if (shared.users === 1 && !(yield* nic.attempt('DESTROY_AH', { ah: shared.ah, pd: pd.number }))) return;
      shared.users--;
      leave();
    };
    shared.holders++;
    yield* this.#cleaning(shared.lock.hold(make()), leave);
    const put = () => shared.lock.hold(end());
    yield* this.#undoing(() => data.answer(efa_ibv_create_ah_resp.encode({ efa_address_handle: shared.ah })), put());
    pd.users++;
    return {
      *destroy() {
        yield* put();
        pd.users--;
      },
    };
  }

  /**
   * efa_reg_mr, efa_reg_user_mr_dmabuf.
   * @param pin the memory @param virtual address by which it is known (IOVA) @throws SystemError
   */
  *memoryRegion(
    pd: ProtectionDomain,
    pin: () => UserMemory,
    virtual: bigint,
    access: number,
    data: DriverData,
  ): Steps<MemoryRegion> {
    return yield* this.#counting('reg_mr', this.#memoryRegion(pd, pin, virtual, access, data));
  }

  *#memoryRegion(
    pd: ProtectionDomain,
    pin: () => UserMemory,
    virtual: bigint,
    access: number,
    data: DriverData,
  ): Steps<MemoryRegion> {
    const { nic } = this;
    data.takeNothing();
    const supported =
      ACCESS.IB_UVERBS_ACCESS_LOCAL_WRITE |
      (nic.can('RDMA_READ') ? ACCESS.IB_UVERBS_ACCESS_REMOTE_READ : 0) |
      (nic.can('RDMA_WRITE') ? ACCESS.IB_UVERBS_ACCESS_REMOTE_WRITE : 0);
    const wanted = access & ~ACCESS.IB_UVERBS_ACCESS_OPTIONAL_RANGE;
    if ((wanted & ~supported) !== 0) {
      const [flags, most] = [wanted.toString(16), supported.toString(16)];
      this.#refuse('EOPNOTSUPP', `Unsupported access flags[0x${flags}], supported[0x${most}]`);
    }
    const memory = pin();
    const keys = yield* this.#cleaning(this.#register(pd, memory, virtual, access), () => memory.release());
    pd.users++;
    return {
      lkey: keys.l_key,
      rkey: keys.r_key,
      length: memory.length,
      iova: 0n,
      interconnect: {
        recv: keys.recv_ic_id,
        read: keys.rdma_read_ic_id,
        received: keys.rdma_recv_ic_id,
        valid: keys.validity,
      },
      *destroy() {
        yield* nic.command('DEREG_MR', { l_key: keys.l_key });
        memory.release();
        pd.users--;
      },
    };
  }

  /** efa_register_mr. */
  *#register(pd: ProtectionDomain, memory: UserMemory, virtual: bigint, access: number) {
    const { nic } = this;
    const sizes = BigInt(nic.attributes.device.page_size_cap);
    const size = bestPageSize(memory, sizes, virtual);
    if (size === undefined) {
      const text = sizes.toString(16);
      this.#refuse('EOPNOTSUPP', `Failed to find a suitable page size in page_size_cap 0x${text}`);
    }
    const list = makePageList(nic.kernel, blocks(memory, size, virtual));
    const flag = (name: keyof typeof ACCESS) => ((access & ACCESS[name]) !== 0 ? 1 : 0);
    const fill = (payload: Uint8Array) => {
      const view = new DataView(payload.buffer, payload.byteOffset);
      view.setBigUint64(REG_MR.LENGTH, memory.length, true);
      view.setBigUint64(REG_MR.IOVA, virtual, true);
      list.fill?.(payload);
    };
    const values = {
      pd: pd.number,
      phys_page_size_shift: Math.log2(size),
      local_write: flag('IB_UVERBS_ACCESS_LOCAL_WRITE'),
      remote_write: flag('IB_UVERBS_ACCESS_REMOTE_WRITE'),
      remote_read: flag('IB_UVERBS_ACCESS_REMOTE_READ'),
    };
    const { flags = 0 } = list;
    try {
      return yield* nic.command('REG_MR', values, { flags, fill });
    } finally {
      list.free();
    }
  }

  /** efa_create_event_counter: a command that the device does not offer. @throws SystemError EOPNOTSUPP */
  *eventCounter(context: UserContext, memory: UserMemory): Steps {
    const payload = new Uint8Array(COUNTER.SIZE);
    const view = new DataView(payload.buffer);
    view.setUint16(0, context.uar, true);
    view.setBigUint64(COUNTER.ADDRESS, BigInt(startOf(memory)), true);
    try {
      yield* this.nic.admin.execute('unknown command opcode', UNADVERTISED.CREATE_EVENT_COUNTER, payload);
    } catch (error) {
      this.nic.say('err', `Failed to create event counter [${negative(errnoOf(error))}]`);
      throw error;
    }
    throw new ModelError('unimplemented', 'CREATE_EVENT_COUNTER', 'the device has event counters');
  }

  /** Counts what fails (efa_verbs.c, dev->stats). */
  *#counting<T>(counter: ErrorCounter, steps: Steps<T>): Steps<T> {
    try {
      return yield* steps;
    } catch (error) {
      this.nic.errors[counter]++;
      throw error;
    }
  }

  /** Cleans up where the steps fail. */
  *#cleaning<T>(steps: Steps<T>, clean: () => void): Steps<T> {
    try {
      return yield* steps;
    } catch (error) {
      clean();
      throw error;
    }
  }

  /** Undoes what was made where the caller cannot be told of it. */
  *#undoing(tell: () => void, undo: Steps<unknown>): Steps {
    try {
      tell();
    } catch (error) {
      yield* undo;
      throw error;
    }
  }

  #refuse(code: Parameters<typeof refuse>[0], text: string): never {
    this.nic.say('dbg', text);
    refuse(code);
  }
}

/** Where numbers of 64 bits are in the command REG_MR, which its row has as doubles. */
const REG_MR = { LENGTH: 36, IOVA: 52 } as const;
/** struct efa_admin_create_event_counter_cmd. */
const COUNTER = { SIZE: 12, ADDRESS: 4 } as const;
/** What alloc_pages_exact can give (MAX_PAGE_ORDER). */
const LARGEST_PIECE = 4 * 1024 * 1024;

function wholePages(size: number): number {
  return Math.ceil(size / PAGE) * PAGE;
}

/** An address as the kernel prints it (%pI6). */
function groups(address: Uint8Array): string {
  const hex = Array.from(address, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return (hex.match(/.{4}/g) ?? []).join(':');
}

function startOf({ pieces, offset }: UserMemory): number {
  return (pieces[0]?.address ?? 0) + offset;
}

function keyOf(entry: MapEntry): bigint {
  return BigInt(entry.first) * BigInt(PAGE);
}
