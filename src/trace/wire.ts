/** Protobuf's wire format, read from bytes that nobody vouches for. */

import { WIRE } from './format.ts';
import type { TraceProblem } from './reader.ts';

/** The bytes are no packets. */
export class Damaged extends Error {
  readonly category: TraceProblem['category'];

  constructor(category: TraceProblem['category'], message: string) {
    super(message);
    this.category = category;
  }
}

const decoder = new TextDecoder();
/** Shorter strings are quicker put together by hand. */
const SHORT = 24;

export class Wire {
  at = 0;
  /** Nothing is read from here on. */
  end = 0;
  #bytes: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(new ArrayBuffer(0));

  set(bytes: Uint8Array, at: number, end: number): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = at;
    this.end = end;
  }

  /** Whether a varint ends before the bytes do. */
  wholeVarint(): boolean {
    for (let at = this.at; at < this.end; at++) {
      if ((this.#bytes[at] as number) < 0x80) return true;
      if (at - this.at > 10) return true;
    }
    return false;
  }

  /** What is beyond 2^53 loses its last bits. */
  varint(): number {
    const bytes = this.#bytes;
    let { at } = this;
    let byte = this.#byte(at++);
    let value = byte & 0x7f;
    if (byte >= 0x80) {
      byte = this.#byte(at++);
      value |= (byte & 0x7f) << 7;
      if (byte >= 0x80) {
        byte = this.#byte(at++);
        value |= (byte & 0x7f) << 14;
        if (byte >= 0x80) {
          byte = this.#byte(at++);
          value |= (byte & 0x7f) << 21;
          let scale = 2 ** 28;
          while (byte >= 0x80) {
            if (scale > 2 ** 63 || at >= this.end) throw new Damaged('damaged', 'a number without end');
            byte = bytes[at++] as number;
            value += (byte & 0x7f) * scale;
            scale *= 0x80;
          }
        }
      }
    }
    this.at = at;
    return value;
  }

  varint64(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      if (shift > 63n) throw new Damaged('damaged', 'a number without end');
      const byte = this.#byte(this.at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
  }

  /** @returns 0 to 2^64, rounded beyond 2^53 */
  fixed64(): number {
    this.#room(8);
    const low = this.#view.getUint32(this.at, true);
    const high = this.#view.getUint32(this.at + 4, true);
    this.at += 8;
    return high * 2 ** 32 + low;
  }

  double(): number {
    this.#room(8);
    this.at += 8;
    return this.#view.getFloat64(this.at - 8, true);
  }

  /** The length of a message. @returns where it ends */
  message(): number {
    const length = this.varint();
    this.#room(length);
    return this.at + length;
  }

  string(): string {
    const end = this.message();
    const from = this.at;
    this.at = end;
    const bytes = this.#bytes;
    if (end - from <= SHORT) {
      let text = '';
      let i = from;
      for (; i < end && (bytes[i] as number) < 0x80; i++) text += String.fromCharCode(bytes[i] as number);
      if (i === end) return text;
    }
    return decoder.decode(bytes.subarray(from, end));
  }

  skip(type: number): void {
    switch (type) {
      case WIRE.varint:
        this.varint();
        break;
      case WIRE.fixed64:
        this.#room(8);
        this.at += 8;
        break;
      case WIRE.length:
        this.at = this.message();
        break;
      case WIRE.fixed32:
        this.#room(4);
        this.at += 4;
        break;
      default:
        throw new Damaged('damaged', `wire type ${type}`);
    }
  }

  #byte(at: number): number {
    if (at >= this.end) throw new Damaged('damaged', 'a message ends within a number');
    return this.#bytes[at] as number;
  }

  #room(bytes: number): void {
    if (!(bytes <= this.end - this.at)) throw new Damaged('damaged', 'a message is longer than what it is in');
  }
}
