/**
 * DMA by messages: DMA_READ and DMA_WRITE commands to the client, in order, in pieces, a bounded number under way.
 * Nothing waits here; the answers come between the client's own requests.
 */

import type { Done } from '../pci/ports.ts';
import { COMMANDS, DMA_ACCESS, FLAG, HEADER } from './messages.ts';

/**
 * Most bytes of one message, and of all the reads under way. QEMU takes a partial write to its socket for a complete
 * one (hw/vfio-user/proxy.c, vfio_user_send_one), so more bytes than fit into its send buffer (net.core.wmem_default,
 * 208 KiB) would never arrive.
 */
export const MAX_PIECE = 128 * 1024;

const MAX_UNDER_WAY = 16;

export type Mapped = (address: number, length: number, access: 'read' | 'write') => boolean;

interface Operation {
  readonly access: 'read' | 'write';
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly done: Done;
  /** Bytes for which a command has been sent. */
  sent: number;
  /** Commands under way. */
  pieces: number;
  failure: Error | undefined;
}

interface Piece {
  readonly operation: Operation;
  readonly offset: number;
  readonly count: number;
}

/** The client broke the protocol so that nothing it sends can be trusted any more. */
export class ProtocolViolation extends Error {
  override readonly name = 'ProtocolViolation';
}

export class DmaMessages {
  readonly #send: (message: Uint8Array) => void;
  readonly #mapped: Mapped;
  readonly #queue: Operation[] = [];
  readonly #underWay = new Map<number, Piece>();
  #bytesUnderWay = 0;
  #nextId = 0;
  #maxPiece = MAX_PIECE;

  /**
   * @param send takes a complete message
   * @param mapped asked again before each piece: a range may have been unmapped meanwhile
   */
  constructor(send: (message: Uint8Array) => void, mapped: Mapped) {
    this.#send = send;
    this.#mapped = mapped;
  }

  /** Operations that are not done. */
  get pending(): number {
    return this.#queue.length + this.#underWay.size;
  }

  /** The client's max_data_xfer_size, bytes. */
  limit(size: number): void {
    this.#maxPiece = Math.min(MAX_PIECE, size);
  }

  /** Queues an access; `flush` sends it. `bytes` must not be touched until `done`. */
  add(access: 'read' | 'write', address: number, bytes: Uint8Array, done: Done): void {
    this.#queue.push({ access, address, bytes, done, sent: 0, pieces: 0, failure: undefined });
  }

  /** Sends as many pieces as may be under way. */
  flush(): void {
    for (let head = this.#queue[0]; head; head = this.#queue[0]) {
      if (!head.failure && head.sent < head.bytes.length) {
        const count = Math.min(this.#maxPiece, head.bytes.length - head.sent);
        const full = this.#bytesUnderWay > 0 && this.#bytesUnderWay + count > MAX_PIECE;
        if (full || this.#underWay.size >= MAX_UNDER_WAY) return;
        if (this.#mapped(head.address + head.sent, count, head.access)) {
          this.#sendPiece(head, count);
          continue;
        }
        head.failure = new Error(`DMA: 0x${(head.address + head.sent).toString(16)} is no longer mapped`);
      }
      this.#queue.shift();
      this.#finish(head);
    }
  }

  /** A reply has arrived: `view` holds `size` bytes of it from its header on. @throws ProtocolViolation */
  reply(view: DataView, bytes: Uint8Array, size: number): void {
    const id = HEADER.fields.id.get(view, 0);
    const command = HEADER.fields.command.get(view, 0);
    const piece = this.#underWay.get(id);
    if (!piece) throw new ProtocolViolation(`reply ${id} to nothing`);
    const { operation, offset, count } = piece;
    const expected = operation.access === 'read' ? COMMANDS.DMA_READ : COMMANDS.DMA_WRITE;
    if (command !== expected.number) throw new ProtocolViolation(`reply ${id} is to command ${command}`);
    const failed = (HEADER.fields.flags.get(view, 0) & FLAG.ERROR) !== 0;
    if (!failed) this.#check(piece, view, size);
    this.#underWay.delete(id);
    this.#bytesUnderWay -= count;
    operation.pieces--;
    if (failed) {
      const errno = HEADER.fields.error.get(view, 0);
      operation.failure ??= new Error(
        `DMA: the client refused to ${operation.access} ${count} bytes at 0x${(operation.address + offset).toString(16)} (errno ${errno})`,
      );
    } else if (operation.access === 'read') {
      const data = HEADER.size + DMA_ACCESS.size;
      operation.bytes.set(bytes.subarray(data, data + count), offset);
    }
    if (this.#queue[0] !== operation) this.#finish(operation);
    this.flush();
  }

  /** Ends everything with `error`: the client has gone. Whatever a `done` throws, all are called. */
  fail(error: Error): void {
    const operations = new Set([...this.#underWay.values()].map((piece) => piece.operation));
    for (const operation of this.#queue.splice(0)) operations.add(operation);
    this.#underWay.clear();
    this.#bytesUnderWay = 0;
    const thrown: unknown[] = [];
    for (const operation of operations) {
      try {
        operation.done(operation.failure ?? error);
      } catch (defect) {
        thrown.push(defect);
      }
    }
    if (thrown.length > 0) throw thrown[0];
  }

  #sendPiece(operation: Operation, count: number): void {
    const { access, address, bytes } = operation;
    const offset = operation.sent;
    const data = HEADER.size + DMA_ACCESS.size;
    const message = new Uint8Array(access === 'read' ? data : data + count);
    const view = new DataView(message.buffer);
    while (this.#underWay.has(this.#nextId)) this.#nextId = (this.#nextId + 1) & 0xffff;
    const id = this.#nextId;
    this.#nextId = (id + 1) & 0xffff;
    HEADER.put(view, 0, {
      id,
      command: (access === 'read' ? COMMANDS.DMA_READ : COMMANDS.DMA_WRITE).number,
      size: message.length,
    });
    DMA_ACCESS.put(view, HEADER.size, { address: address + offset, count });
    if (access === 'write') message.set(bytes.subarray(offset, offset + count), data);
    this.#underWay.set(id, { operation, offset, count });
    this.#bytesUnderWay += count;
    operation.sent += count;
    operation.pieces++;
    this.#send(message);
  }

  /** Calls `done` unless pieces are still under way: they may yet write to the operation's bytes. */
  #finish(operation: Operation): void {
    if (operation.pieces > 0) return;
    operation.done(operation.failure);
  }

  #check(piece: Piece, view: DataView, size: number): void {
    const { operation, offset, count } = piece;
    const payload = size - HEADER.size;
    if (operation.access === 'read') {
      if (payload !== DMA_ACCESS.size + count) {
        throw new ProtocolViolation(`reply to DMA_READ of ${count} bytes has a payload of ${payload}`);
      }
    } else {
      // QEMU replies to DMA_WRITE with the header alone; the text of the protocol says 12 bytes, libvfio-user 16.
      if (payload === 0) return;
      if (payload !== DMA_ACCESS.size && payload !== DMA_ACCESS.size - 4) {
        throw new ProtocolViolation(`reply to DMA_WRITE has a payload of ${payload}`);
      }
    }
    const address = DMA_ACCESS.fields.address.get(view, HEADER.size);
    const replied = view.getUint32(HEADER.size + DMA_ACCESS.fields.count.offset, true);
    if (address !== operation.address + offset || replied !== count) {
      throw new ProtocolViolation('reply to DMA names another range');
    }
  }
}
