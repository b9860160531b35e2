/**
 * Queue pairs as efa has them: a send queue inside of the NIC that work requests are written to, a receive queue in memory of
 * the kernel, a doorbell for each (rdma-core, providers/efa/verbs.c).
 */

import { OP, QP_DB, rxDescriptor, TX_WQE } from '../../../specs/efa/io.ts';
import { type Mapping, PROT_READ, PROT_WRITE } from '../../driver/driver.ts';
import { efa_ibv_create_qp, efa_ibv_create_qp_resp, efaConstants } from '../../uapi/rdma/efa.ts';
import { qpAttributeMask, qpStates } from '../../uapi/rdma/ib.ts';
import { ib_uverbs_qp_cap, qpTypes } from '../../uapi/rdma/verbs.ts';
import { nameOf, values } from '../../uapi/rows.ts';
import { DisposedError } from '../errors.ts';
import type { CompletionQueue, WorkOwner } from './completion-queue.ts';
import { WorkQueueFullError } from './errors.ts';
import { decode, roomFor, type VerbsNode } from './node.ts';
import type { AddressHandle } from './protection-domain.ts';
import { Requests } from './requests.ts';
import { type Piece, type RdmaWork, type SendWork, writeRdma, writeSend } from './work-request.ts';

const MASK = values(qpAttributeMask);
const PAGE = 4096;
const STATE_PREFIX = 'IB_QPS_';

export type QueuePairState = 'RESET' | 'INIT' | 'RTR' | 'RTS' | 'SQD' | 'SQE' | 'ERR';

export interface QueuePairOptions {
  /** Default SRD. */
  readonly type?: 'SRD' | 'UD';
  readonly sendCq: CompletionQueue;
  /** Default `sendCq`. */
  readonly receiveCq?: CompletionQueue;
  /** Work requests in flight, rounded up to a power of two; 0: none. Default 64. */
  readonly sends?: number;
  readonly receives?: number;
  /** Pieces of memory in a work request. Default 1. */
  readonly sendPieces?: number;
  readonly receivePieces?: number;
  /** Bytes of a work request that can be in it, instead of in memory. Default 0. */
  readonly inline?: number;
  /** A write with a number that arrives takes no receive. */
  readonly unsolicitedWrites?: boolean;
}

/** What of a queue pair can be changed. */
export interface QueuePairChange {
  readonly state?: QueuePairState;
  /** The state it is believed to be in. */
  readonly current?: QueuePairState;
  readonly qkey?: number;
  readonly firstPacket?: number;
  /** Times that a send is tried while the other side has no receive; 7: for ever. */
  readonly rnrRetries?: number;
  /** Default 1, told with state INIT. */
  readonly port?: number;
}

/** Whom work goes to. */
export interface Target {
  readonly ah: AddressHandle;
  /** Number of the queue pair. */
  readonly qp: number;
  readonly qkey: number;
}

/** Numbers of the states that the kernel knows. */
const STATES = values(qpStates);

function stateNumber(state: QueuePairState): number {
  return STATES[`${STATE_PREFIX}${state}`];
}

function powerOfTwo(value: number): number {
  return value <= 1 ? value : 2 ** Math.ceil(Math.log2(value));
}

export class QueuePair implements Disposable, WorkOwner {
  readonly handle: number;
  /** By which others reach it. */
  readonly number: number;
  readonly type: 'SRD' | 'UD';
  readonly sendCq: CompletionQueue;
  readonly receiveCq: CompletionQueue;
  readonly #verbs: VerbsNode;
  readonly #wqeSize: number;
  readonly #sendDepth: number;
  readonly #receiveMask: number;
  readonly #receivePieces: number;
  readonly #mappings: Mapping[] = [];
  readonly #sendQueue: { readonly memory: Mapping; readonly start: number } | undefined;
  readonly #receiveQueue: Mapping | undefined;
  readonly #sendBell: Doorbell | undefined;
  readonly #receiveBell: Doorbell | undefined;
  readonly #sends: Requests;
  readonly #receives: Requests;
  /** Work requests, and descriptors of receives, that were ever posted. */
  #sent = 0;
  #described = 0;
  #live = true;

  constructor(verbs: VerbsNode, pd: number, options: QueuePairOptions) {
    const { type = 'SRD', sendCq, receiveCq = sendCq, sends = 64, receives = 64, inline = 0 } = options;
    const { sendPieces = 1, receivePieces = 1, unsolicitedWrites = false } = options;
    this.#verbs = verbs;
    this.type = type;
    this.sendCq = sendCq;
    this.receiveCq = receiveCq;
    this.#wqeSize = inline > TX_WQE.DATA ? TX_WQE.LARGE_SIZE : TX_WQE.SIZE;
    this.#sendDepth = powerOfTwo(sends);
    const descriptors = powerOfTwo(receives * receivePieces);
    this.#receiveMask = descriptors - 1;
    this.#receivePieces = receivePieces;
    const answer = verbs.call(
      'UVERBS_METHOD_QP_CREATE',
      {
        UVERBS_ATTR_CREATE_QP_HANDLE: 'new',
        UVERBS_ATTR_CREATE_QP_PD_HANDLE: pd,
        UVERBS_ATTR_CREATE_QP_SEND_CQ_HANDLE: sendCq.handle,
        UVERBS_ATTR_CREATE_QP_RECV_CQ_HANDLE: receiveCq.handle,
        UVERBS_ATTR_CREATE_QP_USER_HANDLE: 0,
        UVERBS_ATTR_CREATE_QP_CAP: ib_uverbs_qp_cap.encode({
          max_send_wr: this.#sendDepth,
          max_recv_wr: receivePieces === 0 ? 0 : Math.floor(descriptors / receivePieces),
          max_send_sge: sendPieces,
          max_recv_sge: receivePieces,
          max_inline_data: inline,
        }),
        UVERBS_ATTR_CREATE_QP_TYPE: type === 'UD' ? qpTypes.IB_UVERBS_QPT_UD.value : qpTypes.IB_UVERBS_QPT_DRIVER.value,
        UVERBS_ATTR_CREATE_QP_RESP_CAP: roomFor(ib_uverbs_qp_cap),
        UVERBS_ATTR_CREATE_QP_RESP_QP_NUM: { room: 4 },
        UVERBS_ATTR_UHW_IN: efa_ibv_create_qp.encode({
          rq_ring_size: descriptors * rxDescriptor.size,
          sq_ring_size: this.#sendDepth * this.#wqeSize,
          driver_qp_type: efaConstants.EFA_QP_DRIVER_TYPE_SRD.value,
          flags: unsolicitedWrites ? efaConstants.EFA_CREATE_QP_WITH_UNSOLICITED_WRITE_RECV.value : 0,
        }),
        UVERBS_ATTR_UHW_OUT: roomFor(efa_ibv_create_qp_resp),
      },
      { type, sends, receives, sendPieces, receivePieces, inline },
    );
    const driver = decode(efa_ibv_create_qp_resp, answer.bytes('UVERBS_ATTR_UHW_OUT'));
    this.handle = answer.number('UVERBS_ATTR_CREATE_QP_HANDLE');
    this.number = new DataView(answer.bytes('UVERBS_ATTR_CREATE_QP_RESP_QP_NUM').buffer).getUint32(0, true);
    this.#sends = new Requests(this.#sendDepth);
    this.#receives = new Requests(receives === 0 ? 0 : Math.floor(descriptors / receivePieces));
    if (this.#sendDepth > 0) {
      const bytes = this.#sendDepth * this.#wqeSize + driver.llq_desc_offset;
      const whole = Math.ceil(bytes / PAGE) * PAGE;
      const memory = this.#map(whole, PROT_READ | PROT_WRITE, driver.llq_desc_mmap_key);
      this.#sendQueue = { memory, start: driver.llq_desc_offset };
      this.#sendBell = { page: this.#map(PAGE, PROT_WRITE, driver.sq_db_mmap_key), at: driver.sq_db_offset };
    }
    if (descriptors > 0) {
      this.#receiveQueue = this.#map(Number(driver.rq_mmap_size), PROT_READ | PROT_WRITE, driver.rq_mmap_key);
      this.#receiveBell = { page: this.#map(PAGE, PROT_WRITE, driver.rq_db_mmap_key), at: driver.rq_db_offset };
    }
    sendCq.attach(this.number, this);
    receiveCq.attach(this.number, this);
    verbs.node.own(this);
  }

  /** @throws DriverError */
  modify(change: QueuePairChange): void {
    const { state, current, qkey, firstPacket, rnrRetries, port } = change;
    const starts = state === 'INIT';
    const mask =
      (state === undefined ? 0 : MASK.IB_QP_STATE) |
      (current === undefined ? 0 : MASK.IB_QP_CUR_STATE) |
      (qkey === undefined ? 0 : MASK.IB_QP_QKEY) |
      (firstPacket === undefined ? 0 : MASK.IB_QP_SQ_PSN) |
      (rnrRetries === undefined ? 0 : MASK.IB_QP_RNR_RETRY) |
      (starts ? MASK.IB_QP_PKEY_INDEX : 0) |
      (starts || port !== undefined ? MASK.IB_QP_PORT : 0);
    this.#verbs.command(
      'IB_USER_VERBS_CMD_MODIFY_QP',
      {
        qp_handle: this.handle,
        attr_mask: mask,
        qkey: qkey ?? 0,
        sq_psn: firstPacket ?? 0,
        qp_state: state ? stateNumber(state) : 0,
        cur_qp_state: current ? stateNumber(current) : 0,
        rnr_retry: rnrRetries ?? 0,
        port_num: port ?? 1,
      },
      {},
      { ...change },
    );
    if (state === 'RESET') this.#forget();
  }

  /** From RESET to RTS, so that it sends and receives. @param qkey that others must show */
  activate(qkey: number): void {
    this.modify({ state: 'INIT', qkey });
    this.modify({ state: 'RTR' });
    this.modify({ state: 'RTS', firstPacket: 0 });
  }

  /** What the driver and the NIC know of it. @throws DriverError */
  query(): {
    readonly state: QueuePairState;
    readonly qkey: number;
    readonly firstPacket: number;
    readonly rnrRetries: number;
  } {
    const { core } = this.#verbs.command('IB_USER_VERBS_CMD_QUERY_QP', {
      qp_handle: this.handle,
      attr_mask: MASK.IB_QP_STATE | MASK.IB_QP_QKEY | MASK.IB_QP_SQ_PSN | MASK.IB_QP_RNR_RETRY,
    });
    const name = nameOf(qpStates, core.qp_state) ?? `${core.qp_state}`;
    return {
      state: name.replace(STATE_PREFIX, '') as QueuePairState,
      qkey: core.qkey,
      firstPacket: core.sq_psn,
      rnrRetries: core.rnr_retry,
    };
  }

  /** Sends a message to a receive of the other side. @throws WorkQueueFullError */
  send(to: Target, work: SendWork): void {
    this.#post(work.id ?? 0, (wqe, request) => writeSend(wqe, request, to, work));
    this.flush();
  }

  /** Reads memory of the other side. */
  read(to: Target, work: RdmaWork): void {
    this.queueRead(to, work);
    this.flush();
  }

  /** Writes memory of the other side. */
  write(to: Target, work: RdmaWork): void {
    this.queueWrite(to, work);
    this.flush();
  }

  /** As `read`, without the doorbell: `flush` tells the NIC of all that was queued. */
  queueRead(to: Target, work: RdmaWork): void {
    this.#post(work.id ?? 0, (wqe, request) => writeRdma(wqe, request, OP.RDMA_READ, to, work));
  }

  queueWrite(to: Target, work: RdmaWork): void {
    this.#post(work.id ?? 0, (wqe, request) => writeRdma(wqe, request, OP.RDMA_WRITE, to, work));
  }

  flush(): void {
    if (this.#sendBell) this.#ring(this.#sendBell, this.#sent);
  }

  /**
   * Waits for a message in these pieces of memory.
   * @param pieces at least one: the NIC knows a receive by its pieces. @throws WorkQueueFullError
   */
  receive(pieces: readonly Piece[], id = 0): void {
    const { bytes } = this.#alive(this.#receiveQueue);
    if (pieces.length === 0 || pieces.length > this.#receivePieces)
      throw new RangeError(`a receive of ${pieces.length} pieces, of 1 to ${this.#receivePieces}`);
    const request = this.#receives.take(id);
    if (request === undefined) throw new WorkQueueFullError(`receive queue of queue pair ${this.number}`);
    pieces.forEach(({ address, length, lkey }, i) => {
      const at = (this.#described++ & this.#receiveMask) * rxDescriptor.size;
      bytes.fill(0, at, at + rxDescriptor.size);
      rxDescriptor.encode(
        bytes,
        {
          address: Number(address),
          req_id: request,
          length,
          lkey,
          first: i === 0 ? 1 : 0,
          last: i === pieces.length - 1 ? 1 : 0,
        },
        at,
      );
    });
    if (this.#receiveBell) this.#ring(this.#receiveBell, this.#described);
  }

  /** @internal */
  sent(request: number): number {
    return this.#sends.give(request);
  }

  /** @internal */
  received(request: number): number {
    return this.#receives.give(request);
  }

  /** Harmless when done twice. */
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    this.#verbs.node.disown(this);
    for (const queue of new Set([this.sendCq, this.receiveCq])) queue.detach(this.number);
    for (const mapping of this.#mappings) mapping.unmap();
    this.#verbs.call('UVERBS_METHOD_QP_DESTROY', {
      UVERBS_ATTR_DESTROY_QP_HANDLE: this.handle,
      UVERBS_ATTR_DESTROY_QP_RESP: { room: 4 },
    });
  }

  #map(length: number, protection: number, key: bigint): Mapping {
    const { driver, fd } = this.#verbs.node;
    const mapping = driver.mmap(fd, length, protection, key);
    this.#mappings.push(mapping);
    return mapping;
  }

  #post(id: number, write: (wqe: Uint8Array, request: number) => void): void {
    const { memory, start } = this.#alive(this.#sendQueue);
    const wqe = new Uint8Array(this.#wqeSize);
    const request = this.#sends.take(id);
    if (request === undefined) throw new WorkQueueFullError(`send queue of queue pair ${this.number}`);
    try {
      write(wqe, request);
    } catch (error) {
      this.#sends.give(request);
      throw error;
    }
    memory.bytes.set(wqe, start + (this.#sent++ & (this.#sendDepth - 1)) * this.#wqeSize);
  }

  #ring({ page, at }: Doorbell, posted: number): void {
    this.#verbs.node.driver.store32(page, at, posted & QP_DB.COUNTER);
  }

  #alive<T>(queue: T | undefined): T {
    if (!this.#live) throw new DisposedError('queue pair');
    if (queue === undefined) throw new RangeError('the queue pair was made without this queue');
    return queue;
  }

  /** In state RESET the queues are empty. */
  #forget(): void {
    this.sendCq.detach(this.number);
    this.receiveCq.detach(this.number);
    this.#sends.clear();
    this.#receives.clear();
    this.#sent = 0;
    this.#described = 0;
    this.sendCq.attach(this.number, this);
    this.receiveCq.attach(this.number, this);
  }
}

interface Doorbell {
  readonly page: Mapping;
  readonly at: number;
}
