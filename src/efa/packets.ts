/**
 * What NICs send each other. The wire protocol of SRD is not public: these are its documented services (reliable, not in
 * order, datagrams of one packet and remote memory access of many), each answered by the receiver.
 */

import type { CompletionStatus } from '../../specs/efa/io.ts';
import type { Payload } from './transfer.ts';

interface Addressed {
  /** Addresses as `addressKey`. */
  readonly from: string;
  readonly to: string;
  /** Which life of the sender this is of: NICs that were reset do not know what they sent before. Grows. */
  readonly flow: number;
  /** What it follows from, in a trace. */
  readonly cause?: number;
}

/** A piece of a request; the receiver answers each piece with a reply. */
interface RequestPiece extends Addressed {
  /** Number of the request in its flow. */
  readonly operation: number;
  /** The oldest request of the flow that still waits for a reply: the receiver may forget those before. */
  readonly oldest: number;
  readonly index: number;
  /** Pieces of the request, and bytes in each but the last. */
  readonly pieces: number;
  readonly pieceSize: number;
  readonly sourceQp: number;
  readonly targetQp: number;
  readonly qkey: number;
  /** Bytes of the whole request. */
  readonly length: number;
}

export interface SendPacket extends RequestPiece {
  readonly kind: 'send';
  readonly immediate: number | undefined;
  readonly payload: Payload;
}

export interface WritePacket extends RequestPiece {
  readonly kind: 'write';
  readonly immediate: number | undefined;
  readonly payload: Payload;
  readonly rkey: number;
  /** Where the whole request goes. */
  readonly address: number;
}

export interface ReadPacket extends RequestPiece {
  readonly kind: 'read';
  readonly rkey: number;
  readonly address: number;
}

export interface ReplyPacket extends Addressed {
  readonly kind: 'reply';
  readonly operation: number;
  readonly index: number;
  readonly status: CompletionStatus;
  /** Of a read. */
  readonly payload: Payload | undefined;
}

/** Unreliable. */
export interface DatagramPacket extends Addressed {
  readonly kind: 'datagram';
  readonly sourceQp: number;
  readonly targetQp: number;
  readonly qkey: number;
  readonly immediate: number | undefined;
  readonly payload: Payload;
}

export type RequestPacket = SendPacket | WritePacket | ReadPacket;
export type Packet = RequestPacket | ReplyPacket | DatagramPacket;

/** Bytes of the piece with this index. */
export function pieceLength(length: number, pieceSize: number, index: number): number {
  return Math.min(pieceSize, length - index * pieceSize);
}
