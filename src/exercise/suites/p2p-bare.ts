/** Queue pairs without the library: what is asked for, written and told may be what the library would never do. */

import { OP, rxDescriptor, TX_WQE, txMeta } from '../../../specs/efa/io.ts';
import { type Mapping, PROT_READ, PROT_WRITE } from '../../driver/driver.ts';
import { decode, roomFor, type VerbsNode } from '../../runtime/verbs/node.ts';
import type { Target } from '../../runtime/verbs/queue-pair.ts';
import { type RdmaWork, type SendWork, writeRdma, writeSend } from '../../runtime/verbs/work-request.ts';
import { efa_ibv_create_qp, efa_ibv_create_qp_resp, efaConstants } from '../../uapi/rdma/efa.ts';
import { qpAttributeMask, qpStates } from '../../uapi/rdma/ib.ts';
import { ib_uverbs_qp_cap, qpTypes } from '../../uapi/rdma/verbs.ts';
import { values } from '../../uapi/rows.ts';
import type { Decoded, Encodable } from '../../uapi/struct.ts';
import { QKEY, type Side } from './p2p-lib.ts';

const MASK = values(qpAttributeMask);
const STATE = values(qpStates);
export const PAGE = 4096;
/** Work requests that a send queue has room for unless said. */
const DEPTH = 4;

interface BareOptions {
  readonly type?: 'SRD' | 'UD';
  readonly cap?: Encodable<typeof ib_uverbs_qp_cap>;
  /** What the driver of the card is told. */
  readonly input?: Encodable<typeof efa_ibv_create_qp>;
}

/** Goes with its network card. */
export class BareQueuePair implements Disposable {
  readonly handle: number;
  readonly number: number;
  /** What the driver answered: where its queues and doorbells are. */
  readonly told: Decoded<typeof efa_ibv_create_qp_resp>;
  readonly #verbs: VerbsNode;
  readonly #side: Side;
  readonly #mappings: Mapping[] = [];
  #live = true;
  #queue: Mapping | undefined;
  #bell: Mapping | undefined;
  #posted = 0;

  /** @throws DriverError */
  constructor(side: Side, { type = 'SRD', cap = {}, input = {} }: BareOptions = {}) {
    const { nic, pd, cq } = side;
    this.#side = side;
    this.#verbs = nic.verbs;
    const answer = nic.verbs.call('UVERBS_METHOD_QP_CREATE', {
      UVERBS_ATTR_CREATE_QP_HANDLE: 'new',
      UVERBS_ATTR_CREATE_QP_PD_HANDLE: pd.handle,
      UVERBS_ATTR_CREATE_QP_SEND_CQ_HANDLE: cq.handle,
      UVERBS_ATTR_CREATE_QP_RECV_CQ_HANDLE: cq.handle,
      UVERBS_ATTR_CREATE_QP_USER_HANDLE: 0,
      UVERBS_ATTR_CREATE_QP_CAP: ib_uverbs_qp_cap.encode({
        max_send_wr: DEPTH,
        max_recv_wr: DEPTH,
        max_send_sge: 1,
        max_recv_sge: 1,
        ...cap,
      }),
      UVERBS_ATTR_CREATE_QP_TYPE: type === 'UD' ? qpTypes.IB_UVERBS_QPT_UD.value : qpTypes.IB_UVERBS_QPT_DRIVER.value,
      UVERBS_ATTR_CREATE_QP_RESP_CAP: roomFor(ib_uverbs_qp_cap),
      UVERBS_ATTR_CREATE_QP_RESP_QP_NUM: { room: 4 },
      UVERBS_ATTR_UHW_IN: efa_ibv_create_qp.encode({
        sq_ring_size: DEPTH * TX_WQE.SIZE,
        rq_ring_size: DEPTH * rxDescriptor.size,
        driver_qp_type: efaConstants.EFA_QP_DRIVER_TYPE_SRD.value,
        ...input,
      }),
      UVERBS_ATTR_UHW_OUT: roomFor(efa_ibv_create_qp_resp),
    });
    this.handle = answer.number('UVERBS_ATTR_CREATE_QP_HANDLE');
    this.number = new DataView(answer.bytes('UVERBS_ATTR_CREATE_QP_RESP_QP_NUM').buffer).getUint32(0, true);
    this.told = decode(efa_ibv_create_qp_resp, answer.bytes('UVERBS_ATTR_UHW_OUT'));
    // its completions tell the numbers of requests
    cq.attach(this.number, { sent: (request) => request, received: (request) => request });
    nic.verbs.node.own(this);
  }

  /** To RTS. */
  activate(): this {
    const change = (attr_mask: number, qp_state: number) =>
      modify(this.#side, this.handle, { attr_mask: attr_mask | MASK.IB_QP_STATE, qp_state, qkey: QKEY, port_num: 1 });
    change(MASK.IB_QP_PKEY_INDEX | MASK.IB_QP_PORT | MASK.IB_QP_QKEY, STATE.IB_QPS_INIT);
    change(0, STATE.IB_QPS_RTR);
    change(MASK.IB_QP_SQ_PSN, STATE.IB_QPS_RTS);
    return this;
  }

  /** Mapped until the network card is closed. @throws SystemError */
  map(length: number, key: bigint, protection = PROT_READ | PROT_WRITE): Mapping {
    const { node } = this.#verbs;
    const mapping = node.driver.mmap(node.fd, length, protection, key);
    this.#mappings.push(mapping);
    return mapping;
  }

  /** The send queue, as the program sees it. */
  get queue(): Uint8Array {
    this.#queue ??= this.map(PAGE, this.told.llq_desc_mmap_key);
    return this.#queue.bytes.subarray(this.told.llq_desc_offset);
  }

  /** @param other what of the work request is other than the library would have it */
  send(request: number, to: Target, work: SendWork, other: Parameters<typeof txMeta.encode>[1] = {}): void {
    this.#post((wqe) => writeSend(wqe, request, to, work), other);
  }

  write(request: number, to: Target, work: RdmaWork, other: Parameters<typeof txMeta.encode>[1] = {}): void {
    this.#post((wqe) => writeRdma(wqe, request, OP.RDMA_WRITE, to, work), other);
  }

  #post(write: (wqe: Uint8Array) => void, other: Parameters<typeof txMeta.encode>[1]): void {
    const wqe = new Uint8Array(TX_WQE.SIZE);
    write(wqe);
    txMeta.encode(wqe, other);
    this.queue.set(wqe, (this.#posted++ % DEPTH) * TX_WQE.SIZE);
    this.#bell ??= this.map(PAGE, this.told.sq_db_mmap_key, PROT_WRITE);
    this.#verbs.node.driver.store32(this.#bell, this.told.sq_db_offset, this.#posted & 0xffff);
  }

  /** It goes; what was mapped of it stays. */
  destroy(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#side.cq.detach(this.number);
    this.#verbs.call('UVERBS_METHOD_QP_DESTROY', {
      UVERBS_ATTR_DESTROY_QP_HANDLE: this.handle,
      UVERBS_ATTR_DESTROY_QP_RESP: { room: 4 },
    });
  }

  [Symbol.dispose](): void {
    this.destroy();
    for (const mapping of this.#mappings) mapping.unmap();
  }
}

type Change = Parameters<typeof VerbsNode.prototype.command<'IB_USER_VERBS_CMD_MODIFY_QP'>>[1];

/** Any change of a queue pair. @throws DriverError */
export function modify({ nic }: Pick<Side, 'nic'>, handle: number, change: Change): void {
  nic.verbs.command('IB_USER_VERBS_CMD_MODIFY_QP', { ...change, qp_handle: handle });
}

/** Any question about a queue pair. @param mask IB_QP_*. @throws DriverError */
export function query({ nic }: Pick<Side, 'nic'>, handle: number, mask: number) {
  return nic.verbs.command('IB_USER_VERBS_CMD_QUERY_QP', { qp_handle: handle, attr_mask: mask }).core;
}
