/**
 * Encodes packets into a buffer and passes it on when it is full: always whole packets. This is in the way of every event, so
 * lengths have two bytes reserved and are filled in afterwards (a varint may be longer than it has to be), and nothing is allocated.
 */

import {
  ANNOTATION,
  EVENT,
  INTERNED_ENTRY,
  MOST_BYTES,
  MOST_PACKET,
  MOST_TEXT,
  PACKET,
  TRACE,
  TRACK,
  WIRE,
} from './format.ts';

export type Chunk = Uint8Array<ArrayBuffer>;

/** Bytes of the buffer. */
const SIZE = 0x1_0000;

const TWO_31 = 2 ** 31;
const TWO_32 = 2 ** 32;
const DIGITS = Uint8Array.from('0123456789abcdef', (c) => c.charCodeAt(0));

const tag = (field: number, wire: number): number => (field << 3) | wire;

export class ChunkWriter {
  readonly #pass: (chunk: Chunk) => void;
  readonly #bytes: Chunk = new Uint8Array(SIZE);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #encoder = new TextEncoder();
  #at = 0;
  /** Where the packet, and the message in it, begin. */
  #packet = 0;
  #event = 0;

  constructor(pass: (chunk: Chunk) => void) {
    this.#pass = pass;
  }

  /** Passes on what is whole. */
  flush(): void {
    if (this.#at === 0) return;
    const whole = this.#bytes.subarray(0, this.#at);
    this.#at = 0;
    this.#pass(whole);
  }

  beginPacket(sequence: number, flags: number): void {
    if (this.#at + MOST_PACKET + 4 > SIZE) this.flush();
    this.#bytes[this.#at] = tag(TRACE.packet, WIRE.length);
    this.#packet = this.#at + 3;
    this.#at = this.#packet;
    this.#tagged(PACKET.sequence, sequence);
    if (flags !== 0) this.#tagged(PACKET.sequenceFlags, flags);
  }

  endPacket(): void {
    this.#length(this.#packet);
  }

  timestamp(ns: number): void {
    this.#tagged(PACKET.timestamp, ns);
  }

  beginInterned(): void {
    this.#open(PACKET.interned);
  }

  endInterned(): void {
    this.#length(this.#event);
  }

  interned(field: number, iid: number, text: string): void {
    this.#varint(tag(field, WIRE.length));
    const start = this.#reserve();
    this.#tagged(INTERNED_ENTRY.iid, iid);
    this.#text(INTERNED_ENTRY.text, text);
    this.#length(start);
  }

  track(uuid: number, name: string, parent: number | undefined): void {
    this.#open(PACKET.track);
    this.#tagged(TRACK.uuid, uuid);
    this.#text(TRACK.name, name);
    if (parent !== undefined) this.#tagged(TRACK.parent, parent);
    this.#length(this.#event);
  }

  beginEvent(type: number, track: number): void {
    this.#open(PACKET.event);
    this.#tagged(EVENT.type, type);
    this.#tagged(EVENT.track, track);
  }

  endEvent(): void {
    this.#length(this.#event);
  }

  category(iid: number): void {
    this.#tagged(EVENT.category, iid);
  }

  nameIid(iid: number): void {
    this.#tagged(EVENT.nameIid, iid);
  }

  name(text: string): void {
    this.#text(EVENT.name, text);
  }

  /** @param last whether it ends here */
  flow(id: number, last: boolean): void {
    this.#varint(tag(last ? EVENT.endingFlow : EVENT.flow, WIRE.fixed64));
    this.#view.setUint32(this.#at, id % TWO_32, true);
    this.#view.setUint32(this.#at + 4, id / TWO_32, true);
    this.#at += 8;
  }

  bool(name: number, value: boolean): void {
    const start = this.#annotation(name);
    this.#tagged(ANNOTATION.bool, value ? 1 : 0);
    this.#shortLength(start);
  }

  uint(name: number, value: number): void {
    const start = this.#annotation(name);
    this.#tagged(ANNOTATION.uint, value);
    this.#shortLength(start);
  }

  pointer(name: number, value: number): void {
    const start = this.#annotation(name);
    this.#tagged(ANNOTATION.pointer, value);
    this.#shortLength(start);
  }

  int(name: number, value: number): void {
    const start = this.#annotation(name);
    if (value >= 0) this.#tagged(ANNOTATION.int, value);
    else {
      this.#varint(tag(ANNOTATION.int, WIRE.varint));
      this.#varint64(BigInt.asUintN(64, BigInt(Math.trunc(value))));
    }
    this.#shortLength(start);
  }

  pointer64(name: number, value: bigint): void {
    const start = this.#annotation(name);
    this.#varint(tag(ANNOTATION.pointer, WIRE.varint));
    this.#varint64(BigInt.asUintN(64, value));
    this.#shortLength(start);
  }

  stringIid(name: number, iid: number): void {
    const start = this.#annotation(name);
    this.#tagged(ANNOTATION.stringIid, iid);
    this.#shortLength(start);
  }

  text(name: number, value: string): void {
    const start = this.#longAnnotation(name);
    if (start === 0) return;
    this.#text(ANNOTATION.string, value);
    this.#length(start);
  }

  /** Two digits a byte. */
  hex(name: number, value: Uint8Array): void {
    const start = this.#longAnnotation(name);
    if (start === 0) return;
    const length = Math.min(value.length, MOST_BYTES);
    this.#varint(tag(ANNOTATION.string, WIRE.length));
    const digits = this.#reserve();
    const bytes = this.#bytes;
    let at = this.#at;
    for (let i = 0; i < length; i++) {
      const byte = value[i] as number;
      bytes[at++] = DIGITS[byte >> 4] as number;
      bytes[at++] = DIGITS[byte & 15] as number;
    }
    this.#at = at;
    this.#length(digits);
    this.#length(start);
  }

  #open(field: number): void {
    this.#varint(tag(field, WIRE.length));
    this.#event = this.#reserve();
  }

  /** Room for a length of two bytes. @returns where what it is of begins */
  #reserve(): number {
    this.#at += 2;
    return this.#at;
  }

  /** Of what has begun at `start`. */
  #length(start: number): void {
    const length = this.#at - start;
    this.#bytes[start - 2] = (length & 0x7f) | 0x80;
    this.#bytes[start - 1] = length >>> 7;
  }

  #annotation(name: number): number {
    this.#bytes[this.#at] = tag(EVENT.annotation, WIRE.length);
    this.#at += 2;
    const start = this.#at;
    this.#tagged(ANNOTATION.nameIid, name);
    return start;
  }

  #shortLength(start: number): void {
    this.#bytes[start - 1] = this.#at - start;
  }

  /** @returns 0 where the packet has no room for another */
  #longAnnotation(name: number): number {
    if (this.#at - this.#packet > MOST_PACKET - 4 * MOST_TEXT) return 0;
    this.#bytes[this.#at++] = tag(EVENT.annotation, WIRE.length);
    const start = this.#reserve();
    this.#tagged(ANNOTATION.nameIid, name);
    return start;
  }

  #text(field: number, text: string): void {
    this.#varint(tag(field, WIRE.length));
    const start = this.#reserve();
    // at most three bytes a character
    const { written } = this.#encoder.encodeInto(text.slice(0, MOST_TEXT), this.#bytes.subarray(this.#at));
    this.#at += written;
    this.#length(start);
  }

  #tagged(field: number, value: number): void {
    this.#varint(tag(field, WIRE.varint));
    this.#varint(value);
  }

  /** @param value rounded; what is not between 0 and 2^53 becomes 0 */
  #varint(value: number): void {
    const bytes = this.#bytes;
    let at = this.#at;
    let rest = value;
    if (!(rest < TWO_31 && rest >= 0)) {
      if (!(rest >= 0 && rest <= Number.MAX_SAFE_INTEGER)) rest = 0;
      rest = Math.round(rest);
      while (rest >= TWO_31) {
        bytes[at++] = (rest % 0x80) | 0x80;
        rest = Math.floor(rest / 0x80);
      }
    } else rest = Math.round(rest);
    while (rest >= 0x80) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.#at = at;
  }

  #varint64(value: bigint): void {
    let low = Number(value & 0xffff_ffffn);
    let high = Number(value >> 32n);
    const bytes = this.#bytes;
    while (high > 0 || low >= 0x80) {
      bytes[this.#at++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    bytes[this.#at++] = low;
  }
}
