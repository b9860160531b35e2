/**
 * The receiving side: takes packets in the order in which they arrive, puts data where it belongs, and replies. Requests
 * are done once however often their pieces arrive; what is known of them is kept until the sender does not ask any more.
 */

import { QP_STATE } from '../../specs/efa/admin.ts';
import { COMP, type CompletionStatus, GRH, GRH_AT, OP, QUEUE, rxDescriptor, UNKNOWN_AH } from '../../specs/efa/io.ts';
import { Condition, type Steps } from '../sim/process.ts';
import type { Completion } from './completion-queue.ts';
import { read } from './dma.ts';
import { wireTime } from './limits.ts';
import type { MemoryRegion } from './memory-region.ts';
import type { Nic } from './nic.ts';
import {
  type DatagramPacket,
  type Packet,
  pieceLength,
  type ReadPacket,
  type ReplyPacket,
  type RequestPacket,
  type SendPacket,
  type WritePacket,
} from './packets.ts';
import type { QueuePair } from './queue-pair.ts';
import { ringAddress } from './ring.ts';
import {
  BuffersPayload,
  BytesPayload,
  capture,
  type Buffer as LocalBuffer,
  type Payload,
  TransferFault,
  transfer,
  Withdrawn,
} from './transfer.ts';

/** Buffers of a work request of the receive queue. */
const RECEIVE_BUFFERS = 2;
/** Pieces of a request at most: the largest, in the smallest packets. */
const MOST_PIECES = 2 ** 24;

/** A work request of the receive queue. */
interface Receive {
  readonly requestId: number;
  readonly target: Payload;
  /** Set where the host got it wrong. */
  readonly status: CompletionStatus;
}

/** A request that sends or writes, as far as it has arrived. */
interface Arriving {
  readonly qp: QueuePair;
  readonly generation: number;
  readonly pieces: number;
  readonly pieceSize: number;
  readonly length: number;
  readonly target: Payload;
  readonly receive: Receive | undefined;
  readonly arrived: Uint8Array;
  left: number;
  status: CompletionStatus;
  /** Its completion was written. */
  complete: boolean;
}

interface Peer {
  flow: number;
  /** Packets of requests before this one are late copies: their sender waits for them no more. */
  oldest: number;
  readonly requests: Map<number, Arriving>;
}

export class Responder {
  readonly #nic: Nic;
  readonly #reply: (packet: ReplyPacket) => Steps;
  readonly #peers = new Map<string, Peer>();
  #arrived: Packet[] = [];
  readonly #more = new Condition();

  /** @param reply what becomes of replies */
  constructor(nic: Nic, reply: (packet: ReplyPacket) => Steps) {
    this.#nic = nic;
    this.#reply = reply;
  }

  reset(): void {
    this.#peers.clear();
    this.#arrived = [];
  }

  deliver(packet: Packet): void {
    this.#arrived.push(packet);
    this.#more.notify();
  }

  /** The process. */
  *serve(): Steps {
    for (;;) {
      while (this.#arrived.length === 0) yield this.#more;
      const batch = this.#arrived;
      this.#arrived = [];
      for (const packet of batch) {
        const bytes = packet.kind === 'read' ? 0 : (packet.payload?.length ?? 0);
        this.#nic.stats.rx_pkts += Math.max(1, Math.ceil(bytes / this.#nic.ports.network.mtu));
        this.#nic.stats.rx_bytes += bytes;
        const { trace } = this.#nic.ports;
        if (trace) {
          const queue = packet.kind === 'reply' ? {} : { queue: packet.targetQp };
          const index = packet.kind === 'datagram' ? {} : { sequence: packet.index };
          trace.track('network').instant('packet_received', packet.kind, { ...queue, ...index, bytes }, packet.cause);
        }
        yield* this.#guarded(this.#nic.because(packet.cause ?? 0, this.#handle(packet)));
        // What is received goes through one port. It takes time, so that the rest of the machine goes on meanwhile.
        yield wireTime(bytes);
      }
    }
  }

  /** Work requests that are posted to a queue pair in error end as flushed. */
  *flush(qp: QueuePair): Steps {
    for (const peer of this.#peers.values()) {
      for (const request of peer.requests.values()) if (request.qp === qp) yield* this.#giveUp(request, COMP.FLUSHED);
    }
    while (qp.alive && qp.state === QP_STATE.ERR && qp.rq.waiting > 0) {
      const receive = yield* this.#take(qp);
      if (receive) yield* this.#complete(qp, { req_id: receive.requestId, status: COMP.FLUSHED, op_type: OP.SEND });
      yield 0;
    }
  }

  /** A ring that cannot be reached is the host's doing and costs the packet, not the process. */
  *#guarded(steps: Steps): Steps {
    try {
      yield* steps;
    } catch (error) {
      this.#nic.failed(error);
      this.#nic.stats.rx_drops++;
    }
  }

  *#handle(packet: Packet): Steps {
    if (packet.kind === 'reply') yield* this.#reply(packet);
    else if (packet.kind === 'datagram') yield* this.#datagram(packet);
    else {
      const outcome = yield* this.#request(packet);
      if (outcome) yield* this.#answer(packet, outcome.status, outcome.payload);
    }
  }

  *#answer(packet: RequestPacket, result: CompletionStatus, source?: Payload): Steps {
    const { from: to, to: from, flow, operation, index } = packet;
    let status = result;
    let payload = source;
    if (payload && !this.#nic.ports.network.ideal) {
      try {
        payload = yield* capture(payload, 0, payload.length);
      } catch (error) {
        if (!(error instanceof Withdrawn || error instanceof TransferFault)) throw error;
        payload = undefined;
        status = error instanceof Withdrawn ? COMP.REMOTE_BAD_ADDRESS : COMP.REMOTE_BAD_STATUS;
      }
    }
    this.#nic.send({ kind: 'reply', from, to, flow, operation, index, status, payload }, payload?.length ?? 0);
  }

  /** @returns what to answer; undefined: nothing, the sender will ask again or does not wait any more */
  *#request(
    packet: RequestPacket,
  ): Steps<{ readonly status: CompletionStatus; readonly payload?: Payload } | undefined> {
    const peer = this.#peer(packet);
    if (!peer) return undefined;
    peer.oldest = Math.max(peer.oldest, packet.oldest);
    yield* this.#forget(peer);
    if (packet.operation < peer.oldest) return undefined;
    const qp = this.#nic.qps.get(packet.targetQp);
    if (!qp?.receives || qp.options.type !== 'SRD') return this.#drop(COMP.REMOTE_BAD_DEST_QPN);
    if (packet.qkey !== qp.qkey) {
      this.#nic.stats.qkey_viol++;
      return this.#drop(COMP.REMOTE_BAD_DEST_QPN);
    }
    if (packet.kind !== 'send' && !this.#nic.ahs.knows(packet.from)) return this.#drop(COMP.REMOTE_UNKNOWN_PEER);
    if (packet.kind === 'read') return this.#read(qp, packet);
    let request = peer.requests.get(packet.operation);
    if (!request) {
      // One for which there is no receive is remembered, too: the sender asks again with a new number, and a late copy of
      // the packet must not begin it.
      request = yield* this.#begin(qp, packet);
      peer.requests.set(packet.operation, request);
    }
    return yield* this.#piece(packet, request);
  }

  #drop(status: CompletionStatus): { readonly status: CompletionStatus } {
    this.#nic.stats.rx_drops++;
    return { status };
  }

  /** What is known of a sender; undefined where the packet is of an earlier life of it. */
  #peer(packet: RequestPacket): Peer | undefined {
    const known = this.#peers.get(packet.from);
    if (known && known.flow === packet.flow) return known;
    if (known && known.flow > packet.flow) return undefined;
    const peer: Peer = { flow: packet.flow, requests: new Map(), oldest: packet.oldest };
    if (known) for (const [id, request] of known.requests) peer.requests.set(-1 - id - peer.requests.size, request);
    this.#peers.set(packet.from, peer);
    return peer;
  }

  /** The sender waits for none of these any more. What has not arrived whole never will. */
  *#forget(peer: Peer): Steps {
    for (const [id, request] of peer.requests) {
      if (id >= peer.oldest) return;
      peer.requests.delete(id);
      yield* this.#giveUp(request, COMP.REMOTE_ABORT);
    }
  }

  *#giveUp(request: Arriving, status: CompletionStatus): Steps {
    if (request.complete) return;
    request.complete = true;
    const { qp, receive, generation } = request;
    if (!receive || qp.generation !== generation) return;
    yield* this.#complete(qp, { req_id: receive.requestId, status, op_type: OP.SEND });
  }

  /** The first piece of a request that sends or writes. */
  *#begin(qp: QueuePair, packet: SendPacket | WritePacket): Steps<Arriving> {
    const { generation } = qp;
    const { pieces, pieceSize, length } = packet;
    let status: CompletionStatus = COMP.OK;
    let region: MemoryRegion | undefined;
    if (packet.kind === 'write' && length > 0) {
      region = this.#remote(qp, packet, 'remoteWrite');
      if (!region) status = COMP.REMOTE_BAD_ADDRESS;
    }
    let receive: Receive | undefined;
    const consumes =
      packet.kind === 'send' || (packet.immediate !== undefined && !qp.options.unsolicitedWrites && status === COMP.OK);
    if (consumes) {
      receive = yield* this.#take(qp);
      if (qp.generation !== generation) ({ status } = this.#drop(COMP.REMOTE_BAD_DEST_QPN));
      else if (!receive) ({ status } = this.#drop(COMP.REMOTE_RNR));
    }
    const write = region && packet.kind === 'write' ? [{ region, address: packet.address, length }] : [];
    const target = packet.kind === 'send' && receive ? receive.target : new BuffersPayload(write, () => qp.receives);
    const request: Arriving = {
      qp,
      generation,
      pieces,
      pieceSize,
      length,
      target,
      receive,
      arrived: new Uint8Array(Math.min(pieces, MOST_PIECES)),
      left: pieces,
      status,
      complete: false,
    };
    if (status !== COMP.OK) request.complete = true;
    else if (receive && receive.status !== COMP.OK) {
      yield* this.#refuse(request, receive.status, COMP.REMOTE_BAD_STATUS);
    } else if (packet.kind === 'send' && receive && length > receive.target.length) {
      yield* this.#refuse(request, COMP.BAD_LENGTH, COMP.REMOTE_BAD_LENGTH);
    }
    return request;
  }

  /** Ends a request: what its receiver is told, and what its sender. */
  *#refuse(request: Arriving, local: CompletionStatus, remote: CompletionStatus): Steps {
    request.status = remote;
    yield* this.#giveUp(request, local);
    request.complete = true;
  }

  *#piece(
    packet: SendPacket | WritePacket,
    request: Arriving,
  ): Steps<{ readonly status: CompletionStatus } | undefined> {
    const { index, payload } = packet;
    const { qp } = request;
    if (request.status !== COMP.OK) return { status: request.status };
    if (index >= request.pieces || payload.length !== pieceLength(request.length, request.pieceSize, index))
      return undefined;
    if (request.arrived[index] === 1) return { status: COMP.OK };
    try {
      yield* transfer(payload, 0, request.target, index * request.pieceSize, payload.length);
    } catch (error) {
      if (error instanceof Withdrawn) {
        // The sender's memory is gone: it knows. The receiver's: it must be told.
        if (error.side === 'source') return undefined;
        yield* this.#refuse(
          request,
          COMP.INVALID_LKEY,
          packet.kind === 'write' ? COMP.REMOTE_BAD_ADDRESS : COMP.REMOTE_ABORT,
        );
      } else if (!(error instanceof TransferFault)) throw error;
      else {
        const status = error.side === 'source' ? COMP.REMOTE_ABORT : COMP.QP_INTERNAL_ERROR;
        yield* this.#refuse(request, status, error.side === 'source' ? COMP.QP_INTERNAL_ERROR : COMP.REMOTE_BAD_STATUS);
      }
      return { status: request.status };
    }
    if (request.complete) return request.status === COMP.OK ? undefined : { status: request.status };
    request.arrived[index] = 1;
    request.left--;
    if (request.left === 0) {
      request.complete = true;
      if (qp.generation !== request.generation) return undefined;
      yield* this.#arrivedWhole(packet, request);
    }
    return { status: COMP.OK };
  }

  *#arrivedWhole(packet: SendPacket | WritePacket, { qp, receive, length }: Arriving): Steps {
    const { stats } = this.#nic;
    const write = packet.kind === 'write';
    if (write) stats.write_recv_bytes += length;
    else {
      stats.recv_wrs++;
      stats.recv_bytes += length;
    }
    const { immediate } = packet;
    if (!receive && (!write || immediate === undefined)) return;
    yield* this.#received(qp, packet, {
      req_id: receive?.requestId ?? 0,
      op_type: write ? OP.RDMA_WRITE : OP.SEND,
      has_imm: immediate === undefined ? 0 : 1,
      imm: immediate ?? 0,
      unsolicited: receive ? 0 : 1,
      length: length & 0xffff,
      ...(write ? { length_hi: length >>> 16 } : {}),
    });
  }

  *#received(qp: QueuePair, packet: SendPacket | WritePacket | DatagramPacket, values: Completion): Steps {
    const ah = this.#nic.ahs.handleOf(qp.options.pd, packet.from);
    // A write has the high half of its length where the address would be.
    const source = ah === UNKNOWN_AH && packet.kind !== 'write' ? Buffer.from(packet.from, 'hex') : undefined;
    yield* this.#complete(qp, { ...values, status: COMP.OK, ah, src_qp_num: packet.sourceQp }, source);
  }

  *#complete(qp: QueuePair, values: Completion, source?: Uint8Array): Steps {
    if (!qp.alive) return;
    const { cq, subQueue } = qp.options.receive;
    this.#nic.tellCompletion(qp.id, cq.id, values.req_id ?? 0, values.status ?? 0);
    yield* cq.post(subQueue, { ...values, q_type: QUEUE.RECV, qp_num: qp.id }, source);
  }

  #remote(
    qp: QueuePair,
    packet: WritePacket | ReadPacket,
    access: 'remoteWrite' | 'remoteRead',
  ): MemoryRegion | undefined {
    const region = this.#nic.mrs.get(packet.rkey % 2 ** 24);
    const allowed = region?.rkey === packet.rkey && region.pd === qp.options.pd && region.options[access];
    return allowed && region.covers(packet.address, packet.length) ? region : undefined;
  }

  #read(qp: QueuePair, packet: ReadPacket): { readonly status: CompletionStatus; readonly payload?: Payload } {
    const { index, length, pieceSize, address } = packet;
    if (length === 0) return { status: COMP.OK, payload: new BuffersPayload([], () => true) };
    const region = this.#remote(qp, packet, 'remoteRead');
    if (!region) return { status: COMP.REMOTE_BAD_ADDRESS };
    const size = pieceLength(length, pieceSize, index);
    if (index * pieceSize >= length || size <= 0) return { status: COMP.REMOTE_BAD_STATUS };
    this.#nic.stats.read_resp_bytes += size;
    const payload = new BuffersPayload(
      [{ region, address: address + index * pieceSize, length: size }],
      () => qp.alive,
    );
    return { status: COMP.OK, payload };
  }

  *#datagram(packet: DatagramPacket): Steps {
    const { stats } = this.#nic;
    const qp = this.#nic.qps.get(packet.targetQp);
    if (!qp?.receives || qp.options.type !== 'UD' || packet.qkey !== qp.qkey) {
      if (qp && packet.qkey !== qp.qkey) stats.qkey_viol++;
      stats.rx_drops++;
      return;
    }
    const { generation } = qp;
    const receive = yield* this.#take(qp);
    if (!receive || qp.generation !== generation) {
      stats.rx_drops++;
      return;
    }
    const { length } = packet.payload;
    let { status } = receive;
    if (status === COMP.OK && GRH.SIZE + length > receive.target.length) status = COMP.BAD_LENGTH;
    if (status === COMP.OK) {
      try {
        yield* transfer(new BytesPayload(routeHeader(packet, length)), 0, receive.target, 0, GRH.SIZE);
        yield* transfer(packet.payload, 0, receive.target, GRH.SIZE, length);
      } catch (error) {
        if (!(error instanceof Withdrawn || error instanceof TransferFault)) throw error;
        status = error instanceof Withdrawn ? COMP.INVALID_LKEY : COMP.QP_INTERNAL_ERROR;
      }
    }
    if (qp.generation !== generation) return;
    const { immediate: imm } = packet;
    const values = {
      req_id: receive.requestId,
      op_type: OP.SEND,
      has_imm: imm === undefined ? 0 : 1,
      imm: imm ?? 0,
      length: GRH.SIZE + length,
    };
    if (status === COMP.OK) {
      stats.recv_wrs++;
      stats.recv_bytes += length;
      yield* this.#received(qp, packet, values);
    } else {
      stats.rx_drops++;
      yield* this.#complete(qp, { req_id: receive.requestId, op_type: OP.SEND, status });
    }
  }

  /** The next work request of a receive queue. @returns undefined where there is none @throws BusFault */
  *#take(qp: QueuePair): Steps<Receive | undefined> {
    const { rq } = qp;
    const { place } = qp.options.rq;
    if (!place || rq.waiting === 0) return undefined;
    const { generation } = qp;
    const buffers: LocalBuffer[] = [];
    let status: CompletionStatus = COMP.OK;
    let requestId = 0;
    for (let i = 0; ; i++) {
      if (rq.waiting === 0) {
        status = COMP.QP_INTERNAL_ERROR;
        break;
      }
      const at = ringAddress(place, rq.head * rxDescriptor.size);
      rq.take();
      const descriptor = rxDescriptor.decode(yield* read(place.dma, at, rxDescriptor.size));
      if (qp.generation !== generation) return undefined;
      if (i === 0) requestId = descriptor.req_id;
      if ((descriptor.first === 1) !== (i === 0) || i >= RECEIVE_BUFFERS) status = COMP.QP_INTERNAL_ERROR;
      const buffer = this.#local(qp, descriptor);
      if (buffer && buffer.length > 0) buffers.push(buffer);
      if (!buffer && status === COMP.OK) status = COMP.INVALID_LKEY;
      if (descriptor.last === 1) break;
    }
    return { requestId, status, target: new BuffersPayload(buffers, () => qp.alive && qp.generation === generation) };
  }

  /** A buffer to receive into; undefined where the key does not allow it. */
  #local(qp: QueuePair, { lkey, address, length }: ReturnType<typeof rxDescriptor.decode>): LocalBuffer | undefined {
    const region = this.#nic.mrs.get(lkey);
    if (!region || region.pd !== qp.options.pd || !region.options.localWrite) return undefined;
    return region.covers(address, length) ? { region, address, length } : undefined;
  }
}

/** What precedes a datagram of `length` bytes in the buffer that it is received into. */
function routeHeader({ from, to }: DatagramPacket, length: number): Uint8Array {
  const header = new Uint8Array(GRH.SIZE);
  header[GRH_AT.VERSION] = GRH.VERSION;
  new DataView(header.buffer).setUint16(GRH_AT.LENGTH, length);
  header[GRH_AT.NEXT_HEADER] = GRH.BASE_TRANSPORT;
  header[GRH_AT.HOP_LIMIT] = GRH.HOP_LIMIT;
  header.set(Buffer.from(from, 'hex'), GRH.SOURCE);
  header.set(Buffer.from(to, 'hex'), GRH.DESTINATION);
  return header;
}
