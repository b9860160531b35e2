/** What a connection needs of the thing it runs over: `UnixStream` of src/os/socket.ts, or a test's own. */
export interface Transport {
  /** Memory that `receive` fills. */
  readonly received: Uint8Array;
  /**
   * Reads once, without waiting, or for a moment if `wait`. @returns bytes read into `received` at `offset`, 0 at the end of the stream, -1 when
   * nothing is there. Descriptors are appended to `fds`; -1 stands for lost ones.
   */
  receive(offset: number, length: number, fds: number[], wait?: boolean): number;
  /** Sends once without waiting. @returns bytes taken, -1 when there is no room; then `fds` were not sent either. */
  send(bytes: Uint8Array, offset: number, length: number, fds?: readonly number[]): number;
  close(): void;
}

interface Pending {
  readonly bytes: Uint8Array;
  offset: number;
  fds: readonly number[] | undefined;
}

/** Sends whole messages in order over a transport that may take only a part at a time. */
export class Outbox {
  readonly #transport: Transport;
  readonly #pending: Pending[] = [];
  #size = 0;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Bytes that wait for room. */
  get size(): number {
    return this.#size;
  }

  /** `bytes` may be reused when this returns. */
  send(bytes: Uint8Array, length: number, fds?: readonly number[]): void {
    let sent = 0;
    if (this.#size === 0) {
      sent = this.#transport.send(bytes, 0, length, fds);
      if (sent === length) return;
    }
    const rest = Math.max(sent, 0);
    this.#pending.push({ bytes: bytes.slice(rest, length), offset: 0, fds: sent > 0 ? undefined : fds });
    this.#size += length - rest;
  }

  /** Sends what there is room for. */
  flush(): void {
    for (let head = this.#pending[0]; head; head = this.#pending[0]) {
      const left = head.bytes.length - head.offset;
      const sent = this.#transport.send(head.bytes, head.offset, left, head.fds);
      if (sent < 0) return;
      head.fds = undefined;
      head.offset += sent;
      this.#size -= sent;
      if (sent === left) this.#pending.shift();
    }
  }
}
