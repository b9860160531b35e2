/**
 * Completion queues and queue pairs: what the driver makes of them in the device, in memory of the host, and for programs to
 * map. Source: efa_verbs.c.
 */

import type { Region } from '../../../pci/function.ts';
import { ModelError } from '../../../sim/errors.ts';
import type { Steps } from '../../../sim/process.ts';
import {
  efa_ibv_create_cq,
  efa_ibv_create_cq_resp,
  efa_ibv_create_qp,
  efa_ibv_create_qp_resp,
  efaConstants,
} from '../../../uapi/rdma/efa.ts';
import { qpAttributeMask } from '../../../uapi/rdma/ib.ts';
import { type ib_uverbs_qp_cap, qpTypes } from '../../../uapi/rdma/verbs.ts';
import { values } from '../../../uapi/rows.ts';
import type { Decoded } from '../../../uapi/struct.ts';
import { refuse } from '../errno.ts';
import { PAGE } from '../host-memory.ts';
import { halves } from './admin-queue.ts';
import { cleaning, counting, type DriverData, refuseWith, type UserContext, undoing } from './making.ts';
import { type MapEntry, SharedMemory } from './mmap-table.ts';
import type { Nic } from './nic.ts';
import { mayChange } from './qp-states.ts';
import { isContiguous, startOf, type UserMemory } from './umem.ts';
import type { ProtectionDomain } from './verbs.ts';

const EFA = values(efaConstants);
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

/** What alloc_pages_exact can give (MAX_PAGE_ORDER). */
const LARGEST_PIECE = 4 * 1024 * 1024;

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

export class Queues {
  readonly nic: Nic;

  constructor(nic: Nic) {
    this.nic = nic;
  }

  /** efa_create_user_cq. @throws SystemError */
  *completionQueue(context: UserContext, request: CompletionQueueRequest, data: DriverData): Steps<CompletionQueue> {
    if (request.flags !== 0) refuse('EOPNOTSUPP');
    return yield* counting(this.nic, 'create_cq', this.#completionQueue(context, request, data));
  }

  *#completionQueue(context: UserContext, request: CompletionQueueRequest, data: DriverData): Steps<CompletionQueue> {
    const { nic } = this;
    const { queues, device } = nic.attributes;
    const { entries } = request;
    if (entries > queues.max_cq_depth) {
      refuseWith(this.nic, 'EINVAL', `cq: requested entries[${entries}] greater than max[${queues.max_cq_depth}]`);
    }
    const input = efa_ibv_create_cq.decode(data.take(efa_ibv_create_cq.size, 10));
    if (input.comp_mask !== 0) refuse('EOPNOTSUPP');
    if (input.reserved_58.some((byte) => byte !== 0)) {
      refuseWith(this.nic, 'EINVAL', 'Incompatible ABI params, unknown fields in udata');
    }
    const sourceAddress = (input.flags & EFA.EFA_CREATE_CQ_WITH_SGID) !== 0;
    const { cq_entry_size: entrySize, num_sub_cqs: rings } = input;
    if (entrySize !== ENTRY.LONG && (sourceAddress || entrySize !== ENTRY.SHORT)) {
      refuseWith(this.nic, 'EINVAL', `Invalid entry size [${entrySize}]`);
    }
    if (rings !== queues.sub_cqs_per_cq) {
      refuseWith(this.nic, 'EINVAL', `Invalid number of sub cqs[${rings}] expected[${queues.sub_cqs_per_cq}]`);
    }
    const size = wholePages(entrySize * entries * rings);
    const buffer = request.buffer(size);
    if (buffer && !isContiguous(buffer)) {
      buffer.release();
      refuseWith(this.nic, 'EINVAL', 'Non contiguous CQ unsupported');
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
    const made = yield* cleaning(
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
    yield* undoing(() => data.answer(efa_ibv_create_cq_resp.encode(answer)), end());
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
    return yield* counting(this.nic, 'create_qp', this.#queuePair(context, request, data));
  }

  *#queuePair(context: UserContext, request: QueuePairRequest, data: DriverData): Steps<QueuePair> {
    const { nic } = this;
    const { pd, send, receive, cap, type } = request;
    const input = efa_ibv_create_qp.decode(data.take(efa_ibv_create_qp.size, 16));
    if (input.comp_mask !== 0) refuse('EOPNOTSUPP');
    if (input.reserved_98.some((byte) => byte !== 0)) {
      refuseWith(this.nic, 'EINVAL', 'Incompatible ABI params, unknown fields in udata');
    }
    const supported = nic.can('UNSOLICITED_WRITE_RECV') ? EFA.EFA_CREATE_QP_WITH_UNSOLICITED_WRITE_RECV : 0;
    if ((input.flags & ~supported) !== 0) {
      const [flags, most] = [input.flags.toString(16), supported.toString(16)];
      refuseWith(this.nic, 'EOPNOTSUPP', `Unsupported EFA QP create flags[0x${flags}], supported[0x${most}]`);
    }
    this.#checkSizes(cap, input.sq_ring_size);
    const reliable = type === IB_UVERBS_QPT_DRIVER;
    if (!reliable && type !== IB_UVERBS_QPT_UD) refuseWith(this.nic, 'EOPNOTSUPP', `Unsupported qp type ${type}`);
    if (request.createFlags !== 0) refuseWith(this.nic, 'EOPNOTSUPP', 'Unsupported create flags');
    if (reliable && input.driver_qp_type !== EFA.EFA_QP_DRIVER_TYPE_SRD) {
      refuseWith(this.nic, 'EOPNOTSUPP', `Unsupported qp type ${type} driver qp type ${input.driver_qp_type}`);
    }
    // the driver rounds up in 32 bits
    const rqSize = wholePages(input.rq_ring_size) % 2 ** 32;
    const memory = rqSize > 0 ? this.#allocate(rqSize) : undefined;
    const made = yield* cleaning(
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
    yield* undoing(() => data.answer(efa_ibv_create_qp_resp.encode(answer)), undo());
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
      if (value > most) refuseWith(this.nic, 'EINVAL', `qp: requested ${what}[${value}] exceeds the max[${most}]`);
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
      refuseWith(this.nic, 'EOPNOTSUPP', `Unsupported qp_attr_mask[0x${given}] supported[0x${supported}]`);
    }
    if (!mayChange(from, to, mask, qp.type === IB_UVERBS_QPT_DRIVER)) {
      refuseWith(this.nic, 'EINVAL', 'Invalid modify QP parameters');
    }
    if (has(MASK.IB_QP_PORT) && change.port_num !== 1) refuseWith(this.nic, 'EOPNOTSUPP', "Can't change port num");
    if (has(MASK.IB_QP_PKEY_INDEX) && change.pkey_index !== 0)
      refuseWith(this.nic, 'EOPNOTSUPP', "Can't change pkey index");
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
      refuseWith(this.nic, 'EOPNOTSUPP', `Unsupported qp_attr_mask[0x${given}] supported[0x${supported}]`);
    }
    return yield* this.nic.command('QUERY_QP', { qp_handle: qp.handle });
  }
}

function wholePages(size: number): number {
  return Math.ceil(size / PAGE) * PAGE;
}

function keyOf(entry: MapEntry): bigint {
  return BigInt(entry.first) * BigInt(PAGE);
}
