/** Work requests as the NIC reads them (specs/efa/io.ts). */

import { INLINE_MAX, OP, remoteMemory, TX_WQE, txBuffer, txMeta } from '../../../specs/efa/io.ts';
import type { Target } from './queue-pair.ts';

/** A piece of registered memory. */
export interface Piece {
  /** As the region was registered with. */
  readonly address: bigint;
  /** Bytes. */
  readonly length: number;
  readonly lkey: number;
}

interface Work {
  /** What its completion is told with. Default 0. */
  readonly id?: number;
  /** A number that the other side's completion tells. */
  readonly immediate?: number;
}

export interface SendWork extends Work {
  readonly pieces?: readonly Piece[];
  /** The message itself. */
  readonly inline?: Uint8Array;
}

export interface RdmaWork extends Work {
  /** Where it is from or goes to here; a NIC that has no pages to name takes one. */
  readonly local: Piece;
  /** Memory of the other side. */
  readonly remote: { readonly address: bigint; readonly rkey: number };
  /** Bytes. Default: those of `local`. */
  readonly length?: number;
}

function writeMeta(wqe: Uint8Array, op: number, request: number, to: Target, length: number, immediate?: number): void {
  txMeta.encode(wqe, {
    req_id: request,
    op_type: op,
    has_imm: immediate === undefined ? 0 : 1,
    meta_desc: 1,
    first: 1,
    last: 1,
    comp_req: 1,
    dest_qp_num: to.qp,
    length,
    immediate_data: immediate ?? 0,
    ah: to.ah.number,
    qkey: to.qkey,
  });
}

function writePiece(wqe: Uint8Array, at: number, { address, length, lkey }: Piece): void {
  txBuffer.encode(wqe, { length, lkey }, at);
  writeAddress(wqe, at + txBuffer.fields.address.offset, address);
}

function writeAddress(wqe: Uint8Array, at: number, address: bigint): void {
  new DataView(wqe.buffer, wqe.byteOffset).setBigUint64(at, address, true);
}

/** @throws RangeError for more pieces, or bytes inline, than a work request holds */
export function writeSend(wqe: Uint8Array, request: number, to: Target, work: SendWork): void {
  const { pieces = [], inline, immediate } = work;
  if (inline) {
    const most = INLINE_MAX[wqe.length as keyof typeof INLINE_MAX];
    if (inline.length > most) throw new RangeError(`${inline.length} bytes inline, of at most ${most}`);
    writeMeta(wqe, OP.SEND, request, to, inline.length, immediate);
    txMeta.encode(wqe, { inline_msg: 1 });
    wqe.set(inline, TX_WQE.DATA);
    return;
  }
  if (pieces.length > TX_WQE.SEND_BUFFERS) throw new RangeError(`${pieces.length} pieces in one work request`);
  writeMeta(wqe, OP.SEND, request, to, pieces.length, immediate);
  pieces.forEach((piece, i) => {
    writePiece(wqe, TX_WQE.DATA + i * txBuffer.size, piece);
  });
}

export function writeRdma(wqe: Uint8Array, request: number, op: number, to: Target, work: RdmaWork): void {
  const { local, remote, immediate } = work;
  writeMeta(wqe, op, request, to, TX_WQE.RDMA_BUFFERS, immediate);
  remoteMemory.encode(wqe, { length: work.length ?? local.length, rkey: remote.rkey }, TX_WQE.DATA);
  writeAddress(wqe, TX_WQE.DATA + remoteMemory.fields.address.offset, remote.address);
  writePiece(wqe, TX_WQE.LOCAL, local);
}
