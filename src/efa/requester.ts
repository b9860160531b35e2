/**
 * The sending side of queue pairs: takes work requests, cuts them into pieces, sends those, repeats what is not answered,
 * and completes. One process per queue pair.
 */

import { DEVICE_CAP, QP_STATE } from '../../specs/efa/admin.ts';
import {
  COMP,
  type CompletionStatus,
  INLINE_MAX,
  OP,
  QUEUE,
  remoteMemory,
  TX_WQE,
  txBuffer,
  txMeta,
} from '../../specs/efa/io.ts';
import type { Timer } from '../sim/clock.ts';
import type { Steps } from '../sim/process.ts';
import type { Nic } from './nic.ts';
import { pieceLength, type ReplyPacket, type RequestPacket } from './packets.ts';
import { type QueuePair, RNR_FOREVER } from './queue-pair.ts';
import {
  type Buffer,
  BuffersPayload,
  BytesPayload,
  capture,
  type Payload,
  type Side,
  TransferFault,
  transfer,
  Withdrawn,
} from './transfer.ts';

/** Work requests of a queue pair that may be outstanding, and pieces of one of them. */
const OUTSTANDING = 128;
const WINDOW = 64;
/** Bytes of a piece where the network carries any size. */
const LARGE_PIECE = 0x4_0000;
/**
 * Nanoseconds until a piece is repeated, besides what the network takes; it doubles each time. Where nothing is lost only
 * a receiver that is gone does not answer, and one that is busy is not asked twice.
 */
const TIMEOUT = { ideal: 50_000_000, impaired: 1_000_000 } as const;
const TRIES = 7;
/** Nanoseconds until a receiver that was not ready is asked again; it doubles each time, up to the last. */
const RNR_DELAY = 50_000;
const RNR_DELAY_MOST = 50_000_000;

/** A work request as it was taken from the queue. */
interface WorkRequest {
  readonly requestId: number;
  readonly op: 'send' | 'read' | 'write';
  readonly notify: boolean;
  readonly targetQp: number;
  readonly target: string;
  readonly qkey: number;
  readonly immediate: number | undefined;
  /** What is sent, or where what is read goes. */
  readonly local: Payload;
  readonly remote: { readonly rkey: number; readonly address: number } | undefined;
  readonly length: number;
}

interface Operation {
  id: number;
  readonly qp: QueuePair;
  readonly generation: number;
  readonly request: WorkRequest;
  readonly pieceSize: number;
  readonly pieces: number;
  /** 0 not sent, 1 sent, 2 answered. */
  readonly sent: Uint8Array;
  next: number;
  answered: number;
  inFlight: number;
  tries: number;
  /** The receiver has answered at least once. */
  heard: boolean;
  rnrTries: number;
  done: boolean;
  timer: Timer | undefined;
  /** What the work request is, in a trace. */
  readonly cause: number;
}

class Refused extends Error {
  readonly status: CompletionStatus;
  constructor(status: CompletionStatus) {
    super(`completion status ${status}`);
    this.status = status;
  }
}

const OP_NUMBER = { send: OP.SEND, read: OP.RDMA_READ, write: OP.RDMA_WRITE } as const;

export class Requester {
  readonly #nic: Nic;
  /** Ends the work requests of the receive queue of a queue pair in error. */
  readonly #flushReceives: (qp: QueuePair) => Steps;
  readonly #operations = new Map<number, Operation>();
  /** Operations that have pieces to send, per queue pair. */
  readonly #ready = new Map<QueuePair, Set<Operation>>();
  #nextOperation = 0;

  constructor(nic: Nic, flushReceives: (qp: QueuePair) => Steps) {
    this.#nic = nic;
    this.#flushReceives = flushReceives;
  }

  reset(): void {
    for (const operation of this.#operations.values()) this.#drop(operation);
    this.#operations.clear();
    this.#ready.clear();
    this.#nextOperation = 0;
  }

  /** The process of a queue pair. */
  *serve(qp: QueuePair): Steps {
    const ready = new Set<Operation>();
    this.#ready.set(qp, ready);
    try {
      while (qp.alive) {
        if (qp.state === QP_STATE.ERR) yield* this.#flush(qp);
        const [operation] = ready;
        if (operation && qp.state !== QP_STATE.ERR)
          yield* this.#nic.because(operation.cause, this.#sendPieces(operation, ready));
        else if (qp.sends && qp.sq.waiting > 0 && qp.outstanding < OUTSTANDING) yield* this.#take(qp, ready);
        else if (qp.state !== QP_STATE.ERR || qp.sq.waiting === 0) yield qp.changed;
      }
    } finally {
      this.#ready.delete(qp);
    }
  }

  /** Drops what a queue pair has outstanding, without completions: it was destroyed, or reset. */
  dropAll(qp: QueuePair): void {
    for (const [id, operation] of this.#operations) {
      if (operation.qp !== qp) continue;
      this.#drop(operation);
      this.#operations.delete(id);
    }
    this.#ready.get(qp)?.clear();
  }

  /** A reply from the network. */
  *reply(packet: ReplyPacket): Steps {
    const operation = this.#operations.get(packet.operation);
    if (!operation || packet.flow !== this.#nic.flow || packet.from !== operation.request.target) return;
    const { index, status, payload } = packet;
    if (index >= operation.pieces || operation.sent[index] !== 1) return;
    operation.heard = true;
    operation.tries = 0;
    if (status === COMP.REMOTE_RNR) {
      this.#notReady(operation);
      return;
    }
    if (status !== COMP.OK) {
      yield* this.#finish(operation, status);
      return;
    }
    if (payload && operation.request.op === 'read') {
      const length = pieceLength(operation.request.length, operation.pieceSize, index);
      if (payload.length !== length) return;
      try {
        yield* transfer(payload, 0, operation.request.local, index * operation.pieceSize, length);
      } catch (error) {
        yield* this.#broken(operation, error, 'target');
        return;
      }
    }
    if (operation.done || operation.sent[index] !== 1) return;
    operation.sent[index] = 2;
    operation.answered++;
    operation.inFlight--;
    if (operation.answered === operation.pieces) {
      yield* this.#finish(operation, COMP.OK);
      return;
    }
    this.#restartTimer(operation);
    if (operation.next < operation.pieces) this.#ready.get(operation.qp)?.add(operation);
    operation.qp.changed.notify();
  }

  /** What a transfer into or out of the local buffers of an operation failed of. @param local which side these are */
  *#broken(operation: Operation, error: unknown, local: Side): Steps {
    if (error instanceof Withdrawn) {
      yield* this.#finish(operation, error.side === local ? COMP.INVALID_LKEY : COMP.REMOTE_BAD_ADDRESS);
    } else if (error instanceof TransferFault) {
      yield* this.#finish(operation, error.side === local ? COMP.QP_INTERNAL_ERROR : COMP.REMOTE_BAD_STATUS);
    } else throw error;
  }

  *#take(qp: QueuePair, ready: Set<Operation>): Steps {
    const { offset, entrySize } = qp.options.sq;
    const at = offset + qp.sq.head * entrySize;
    // The host may change it while it is looked at.
    const wqe = this.#nic.ports.llq.memory.bytes.slice(at, at + entrySize);
    qp.sq.take();
    const generation = qp.generation;
    const meta = txMeta.decode(wqe);
    let request: WorkRequest;
    try {
      request = this.#parse(qp, wqe);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#countError(meta.op_type);
      yield* this.#complete(qp, generation, meta.req_id, meta.op_type & 7, error.status);
      return;
    }
    this.#count(request);
    const cause = this.#tell(qp, request);
    if (qp.options.type === 'UD') yield* this.#nic.because(cause, this.#datagram(qp, request));
    else {
      const { network } = this.#nic.ports;
      const pieceSize = network.ideal ? LARGE_PIECE : network.mtu;
      const pieces = Math.max(1, Math.ceil(request.length / pieceSize));
      const operation: Operation = {
        id: this.#nextOperation++,
        qp,
        generation,
        request,
        pieceSize,
        pieces,
        sent: new Uint8Array(pieces),
        next: 0,
        answered: 0,
        inFlight: 0,
        tries: 0,
        heard: false,
        rnrTries: 0,
        done: false,
        timer: undefined,
        cause,
      };
      this.#operations.set(operation.id, operation);
      qp.outstanding++;
      ready.add(operation);
    }
  }

  /** Tells of a work request. @returns what follows from it, in a trace */
  #tell(qp: QueuePair, { op, requestId, length, remote }: WorkRequest): number {
    const { trace } = this.#nic.ports;
    if (!trace) return 0;
    const flow = trace.trace.flow();
    const where = remote ? { remote: remote.address, key: remote.rkey } : {};
    const what = { queue: qp.id, request: requestId, bytes: length, ...where };
    trace.track(`QP ${qp.id}`).instant('work_request', op, what, flow);
    return flow;
  }

  /** @throws Refused */
  #parse(qp: QueuePair, wqe: Uint8Array): WorkRequest {
    const { limits, network } = this.#nic.ports;
    const meta = txMeta.decode(wqe);
    if (!meta.meta_desc || !meta.first || !meta.last || meta.meta_extension) throw new Refused(COMP.QP_INTERNAL_ERROR);
    const op = meta.op_type === OP.SEND ? 'send' : meta.op_type === OP.RDMA_READ ? 'read' : 'write';
    if (meta.op_type > OP.RDMA_WRITE) throw new Refused(COMP.UNSUPPORTED_OP);
    if (op !== 'send' && qp.options.type === 'UD') throw new Refused(COMP.UNSUPPORTED_OP);
    if (op === 'read' && (!(limits.caps & DEVICE_CAP.RDMA_READ) || meta.inline_msg || meta.has_imm)) {
      throw new Refused(COMP.UNSUPPORTED_OP);
    }
    if (op === 'write' && !(limits.caps & DEVICE_CAP.RDMA_WRITE)) throw new Refused(COMP.UNSUPPORTED_OP);
    const handle = this.#nic.ahs.table.get(meta.ah);
    if (!handle || handle.pd !== qp.options.pd) throw new Refused(COMP.INVALID_AH);
    const remote = op === 'send' ? undefined : remoteMemory.decode(wqe, TX_WQE.DATA);
    const place = op === 'send' ? TX_WQE.DATA : TX_WQE.LOCAL;
    const generation = qp.generation;
    const live = () => qp.alive && qp.generation === generation;
    let local: Payload;
    if (meta.inline_msg) {
      const room = Math.min(INLINE_MAX[wqe.length as keyof typeof INLINE_MAX], wqe.length - place);
      if (meta.length > room) throw new Refused(COMP.BAD_LENGTH);
      local = new BytesPayload(wqe.subarray(place, place + meta.length));
    } else {
      const most = op === 'send' ? TX_WQE.SEND_BUFFERS : TX_WQE.RDMA_BUFFERS;
      if (meta.length > most) throw new Refused(COMP.BAD_LENGTH);
      const buffers: Buffer[] = [];
      for (let i = 0; i < meta.length; i++) {
        const { address, length, lkey } = txBuffer.decode(wqe, place + i * txBuffer.size);
        if (length > 0) buffers.push(this.#local(qp, lkey, address, length, op === 'read'));
      }
      local = new BuffersPayload(buffers, live);
    }
    if (remote && remote.length !== local.length) throw new Refused(COMP.BAD_LENGTH);
    if (local.length > (op === 'send' ? network.mtu : limits.maxRdmaSize)) throw new Refused(COMP.BAD_LENGTH);
    return {
      requestId: meta.req_id,
      op,
      notify: meta.comp_req === 1,
      targetQp: meta.dest_qp_num,
      target: handle.key,
      qkey: meta.qkey,
      immediate: meta.has_imm ? meta.immediate_data : undefined,
      local,
      remote,
      length: local.length,
    };
  }

  #local(qp: QueuePair, lkey: number, address: number, length: number, written: boolean): Buffer {
    const region = this.#nic.mrs.get(lkey);
    if (!region || region.pd !== qp.options.pd || !region.covers(address, length)) throw new Refused(COMP.INVALID_LKEY);
    if (written && !region.options.localWrite) throw new Refused(COMP.INVALID_LKEY);
    return { region, address, length };
  }

  *#datagram(qp: QueuePair, request: WorkRequest): Steps {
    const generation = qp.generation;
    let status: CompletionStatus = COMP.OK;
    try {
      const payload = yield* capture(request.local, 0, request.length);
      const { target: to, targetQp, qkey, immediate } = request;
      const { key: from, flow } = this.#nic;
      this.#nic.send(
        { kind: 'datagram', from, to, flow, sourceQp: qp.id, targetQp, qkey, immediate, payload },
        payload.length,
      );
    } catch (error) {
      if (!(error instanceof Withdrawn || error instanceof TransferFault)) throw error;
      status = error instanceof Withdrawn ? COMP.INVALID_LKEY : COMP.QP_INTERNAL_ERROR;
    }
    if (request.notify || status !== COMP.OK) yield* this.#complete(qp, generation, request.requestId, OP.SEND, status);
  }

  /** Sends pieces until none is left or the window is full. */
  *#sendPieces(operation: Operation, ready: Set<Operation>): Steps {
    const { request, pieces } = operation;
    while (!operation.done && operation.next < pieces && operation.inFlight < WINDOW) {
      const index = operation.next++;
      if (operation.sent[index] !== 0) continue;
      const packet = yield* this.#packet(operation, index);
      if (operation.done || !packet) return;
      operation.sent[index] = 1;
      operation.inFlight++;
      this.#restartTimer(operation);
      const bytes = request.op === 'read' ? 0 : pieceLength(request.length, operation.pieceSize, index);
      if (operation.tries > 0) {
        this.#nic.stats.retrans_pkts++;
        this.#nic.stats.retrans_bytes += bytes;
      }
      this.#nic.send(packet, bytes);
      yield 0;
    }
    ready.delete(operation);
  }

  *#packet(operation: Operation, index: number): Steps<RequestPacket | undefined> {
    const { request, pieceSize, pieces } = operation;
    const { network } = this.#nic.ports;
    const head = {
      from: this.#nic.key,
      to: request.target,
      flow: this.#nic.flow,
      operation: operation.id,
      oldest: this.#oldest(),
      index,
      pieces,
      pieceSize,
      sourceQp: operation.qp.id,
      targetQp: request.targetQp,
      qkey: request.qkey,
      length: request.length,
    };
    const { remote } = request;
    if (request.op === 'read' && remote) return { ...head, kind: 'read', rkey: remote.rkey, address: remote.address };
    const from = index * pieceSize;
    const length = pieceLength(request.length, pieceSize, index);
    let payload: Payload;
    try {
      payload = network.ideal
        ? new Slice(request.local, from, length, operation)
        : yield* capture(request.local, from, length);
    } catch (error) {
      yield* this.#broken(operation, error, 'source');
      return undefined;
    }
    const { immediate } = request;
    if (!remote) return { ...head, kind: 'send', immediate, payload };
    return { ...head, kind: 'write', immediate, payload, rkey: remote.rkey, address: remote.address };
  }

  #oldest(): number {
    for (const id of this.#operations.keys()) return id;
    return this.#nextOperation;
  }

  #restartTimer(operation: Operation): void {
    const { clock, network } = this.#nic.ports;
    operation.timer?.cancel();
    const base = network.ideal ? TIMEOUT.ideal : TIMEOUT.impaired + 4 * network.latency;
    const wait = base * 2 ** operation.tries;
    operation.timer = clock.at(clock.now() + wait, () => this.#timedOut(operation));
  }

  #timedOut(operation: Operation): void {
    if (operation.done) return;
    this.#nic.stats.retrans_timeout_events++;
    operation.tries++;
    if (operation.tries > TRIES) {
      this.#nic.stats.unresponsive_remote_events++;
      const status = operation.heard ? COMP.UNRESP_REMOTE : COMP.UNREACH_REMOTE;
      this.#nic.start('completion', this.#finish(operation, status));
      return;
    }
    this.#again(operation);
  }

  /** Sends what was not answered once more. */
  #again(operation: Operation): void {
    for (let i = 0; i < operation.pieces; i++) if (operation.sent[i] === 1) operation.sent[i] = 0;
    operation.inFlight = 0;
    operation.next = 0;
    this.#ready.get(operation.qp)?.add(operation);
    operation.qp.changed.notify();
  }

  /** The receiver has no buffer: it has forgotten the request, which starts anew later. */
  #notReady(operation: Operation): void {
    const { clock } = this.#nic.ports;
    const { rnrRetry } = operation.qp;
    if (rnrRetry !== RNR_FOREVER && operation.rnrTries >= rnrRetry) {
      this.#nic.start('completion', this.#finish(operation, COMP.REMOTE_RNR));
      return;
    }
    operation.rnrTries++;
    this.#operations.delete(operation.id);
    operation.id = this.#nextOperation++;
    this.#operations.set(operation.id, operation);
    operation.sent.fill(0);
    operation.answered = 0;
    operation.inFlight = 0;
    // Nothing of it is sent before its time.
    operation.next = operation.pieces;
    this.#ready.get(operation.qp)?.delete(operation);
    operation.timer?.cancel();
    const wait = Math.min(RNR_DELAY * 2 ** (operation.rnrTries - 1), RNR_DELAY_MOST);
    operation.timer = clock.at(clock.now() + wait, () => {
      if (!operation.done) this.#again(operation);
    });
  }

  #drop(operation: Operation): void {
    operation.done = true;
    operation.timer?.cancel();
  }

  *#finish(operation: Operation, status: CompletionStatus): Steps {
    if (operation.done) return;
    const { qp, request, generation } = operation;
    this.#drop(operation);
    this.#operations.delete(operation.id);
    this.#ready.get(qp)?.delete(operation);
    if (qp.generation === generation) qp.outstanding--;
    if (status !== COMP.OK) this.#countError(OP_NUMBER[request.op]);
    qp.changed.notify();
    if (request.notify || status !== COMP.OK) {
      const completed = this.#complete(qp, generation, request.requestId, OP_NUMBER[request.op], status);
      yield* this.#nic.because(operation.cause, completed);
    }
  }

  /** A queue pair in error: what is outstanding, and what is posted, ends as flushed. */
  *#flush(qp: QueuePair): Steps {
    for (const operation of [...this.#operations.values()]) {
      if (operation.qp === qp) yield* this.#finish(operation, COMP.FLUSHED);
    }
    while (qp.alive && qp.state === QP_STATE.ERR && qp.sq.waiting > 0) {
      const { offset, entrySize } = qp.options.sq;
      const meta = txMeta.decode(this.#nic.ports.llq.memory.bytes, offset + qp.sq.head * entrySize);
      qp.sq.take();
      yield* this.#complete(qp, qp.generation, meta.req_id, meta.op_type & 7, COMP.FLUSHED);
      yield 0;
    }
    yield* this.#flushReceives(qp);
  }

  *#complete(qp: QueuePair, generation: number, requestId: number, op: number, status: CompletionStatus): Steps {
    if (!qp.alive || qp.generation !== generation) return;
    const { cq, subQueue } = qp.options.send;
    this.#nic.tellCompletion(qp.id, cq.id, requestId, status);
    yield* cq.post(subQueue, { req_id: requestId, status, q_type: QUEUE.SEND, op_type: op, qp_num: qp.id });
  }

  #count(request: WorkRequest): void {
    const { stats } = this.#nic;
    if (request.op === 'send') {
      stats.send_wrs++;
      stats.send_bytes += request.length;
    } else if (request.op === 'read') {
      stats.read_wrs++;
      stats.read_bytes += request.length;
    } else {
      stats.write_wrs++;
      stats.write_bytes += request.length;
    }
  }

  #countError(op: number): void {
    if (op === OP.RDMA_READ) this.#nic.stats.read_wr_err++;
    else if (op === OP.RDMA_WRITE) this.#nic.stats.write_wr_err++;
  }
}

/** A part of the local buffers of an operation, good while the operation lasts. */
class Slice implements Payload {
  readonly length: number;
  readonly #whole: Payload;
  readonly #from: number;
  readonly #operation: Operation;

  constructor(whole: Payload, from: number, length: number, operation: Operation) {
    this.#whole = whole;
    this.#from = from;
    this.length = length;
    this.#operation = operation;
  }

  run(offset: number) {
    if (this.#operation.done) throw new Withdrawn();
    return this.#whole.run(this.#from + offset);
  }
}
