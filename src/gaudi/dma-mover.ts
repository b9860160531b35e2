/**
 * Moves the bytes of a DMA core. Where both sides can be reached directly they are copied at once; what is reachable by
 * messages only goes through a buffer.
 */

import type { Steps } from '../sim/process.ts';
import { BusError, type ChipBus, type Initiator } from './bus.ts';
import type { Piece } from './dma-transfer.ts';

/** What a DMA core needs of the bus. */
export interface DmaBus extends ChipBus {
  /** As GaudiBus.zero. */
  zero(who: Initiator, address: number, length: number): number;
  /** As GaudiBus.untouched. */
  untouched(who: Initiator, address: number, length: number): number;
}

const BUFFER = 0x10_0000;
/** What is shorter is copied without asking whether the source was ever written, and zeros are written as other bytes are. */
const PAGE = 0x1000;

export class DmaMover {
  readonly #bus: DmaBus;
  readonly #who: Initiator;
  readonly #onError: (error: BusError) => Steps;
  /** Reads and writes that wait for an answer. */
  reads = 0;
  writes = 0;
  #scratch: Uint8Array | undefined;

  /** @param onError runs for every access that failed, before what follows it is tried. */
  constructor(bus: DmaBus, who: Initiator, onError: (error: BusError) => Steps) {
    this.#bus = bus;
    this.#who = who;
    this.#onError = onError;
  }

  reset(): void {
    this.reads = 0;
    this.writes = 0;
    // An answer of before the reset may still arrive in the old one.
    this.#scratch = undefined;
  }

  /** Copies; what cannot be read is zero, what cannot be written is dropped. */
  *copy(piece: Piece): Steps {
    for (let done = 0; done < piece.length; ) {
      const from = piece.from + done;
      const to = piece.to + done;
      const left = piece.length - done;
      const target = this.#view(to, left, 'write');
      if (target instanceof BusError) {
        yield* this.#onError(target);
        done += span(target, left);
        continue;
      }
      const source = this.#view(from, target?.length ?? left, 'read');
      if (target && source instanceof Uint8Array && !isWord(to, left)) {
        let length = Math.min(source.length, target.length);
        if (length >= PAGE) {
          const untouched = this.#bus.untouched(this.#who, from, length);
          if (untouched > 0) {
            this.#zero(target.subarray(0, untouched), to);
            done += untouched;
            continue;
          }
          length = -untouched;
        }
        target.set(length < source.length ? source.subarray(0, length) : source);
        done += length;
        continue;
      }
      let buffer = this.#buffer(left);
      if (source instanceof BusError) {
        yield* this.#onError(source);
        buffer = buffer.subarray(0, span(source, left)).fill(0);
      } else if (source) {
        buffer = buffer.subarray(0, source.length);
        buffer.set(source.subarray(0, buffer.length));
      } else {
        buffer = buffer.subarray(0, yield* this.#read(from, buffer));
      }
      yield* this.#write(to, buffer);
      done += buffer.length;
    }
  }

  /** Fills with a pattern of 8 bytes. */
  *fill(piece: Piece, pattern: Uint8Array): Steps {
    const byte = pattern[0] as number;
    const uniform = pattern.every((other) => other === byte);
    for (let done = 0; done < piece.length; ) {
      const to = piece.to + done;
      const left = piece.length - done;
      const target = this.#view(to, left, 'write');
      if (target instanceof BusError) {
        yield* this.#onError(target);
        done += span(target, left);
        continue;
      }
      if (target && uniform && !isWord(to, left)) {
        if (byte === 0 && target.length >= PAGE) this.#zero(target, to);
        else target.fill(byte);
        done += target.length;
        continue;
      }
      const bytes = repeat(pattern, (piece.phase + done) % pattern.length, this.#buffer(left));
      if (target && !isWord(to, left)) {
        const length = Math.min(target.length, bytes.length);
        target.set(bytes.subarray(0, length));
        done += length;
        continue;
      }
      yield* this.#write(to, bytes);
      done += bytes.length;
    }
  }

  /** Fills what is at `to` with zero; of the chip's memory, what is zero anyhow is not touched. */
  #zero(target: Uint8Array, to: number): void {
    if (this.#bus.zero(this.#who, to, target.length) === 0) target.fill(0);
  }

  #buffer(length: number): Uint8Array {
    this.#scratch ??= new Uint8Array(BUFFER);
    return this.#scratch.subarray(0, length);
  }

  #view(address: number, length: number, access: 'read' | 'write'): Uint8Array | BusError | undefined {
    try {
      return this.#bus.view(this.#who, address, length, access);
    } catch (error) {
      if (error instanceof BusError) return error;
      throw error;
    }
  }

  /** Reads what it can into `buffer`. @returns bytes that it is good for, at least 1 */
  *#read(from: number, buffer: Uint8Array): Steps<number> {
    this.reads++;
    try {
      yield* this.#bus.read(this.#who, from, buffer);
      return buffer.length;
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      // What was read before the error is good; the next call meets it again.
      if (error.address > from) return error.address - from;
      yield* this.#onError(error);
      const lost = span(error, buffer.length);
      buffer.fill(0, 0, lost);
      return lost;
    } finally {
      this.reads = Math.max(0, this.reads - 1);
    }
  }

  *#write(to: number, bytes: Uint8Array): Steps {
    this.writes++;
    try {
      for (let done = 0; done < bytes.length; ) {
        try {
          yield* this.#bus.write(this.#who, to + done, bytes.subarray(done));
          return;
        } catch (error) {
          if (!(error instanceof BusError)) throw error;
          yield* this.#onError(error);
          done = error.address - to;
          done += span(error, bytes.length - done);
        }
      }
    } finally {
      this.writes = Math.max(0, this.writes - 1);
    }
  }
}

/** A lone word is stored whole, by a message: the other side may poll it. */
function isWord(address: number, length: number): boolean {
  return length === 4 && address % 4 === 0;
}

function span(error: BusError, left: number): number {
  return Math.max(1, Math.min(error.span, left));
}

/** Fills `target` with a pattern, beginning at byte `phase` of it. */
function repeat(pattern: Uint8Array, phase: number, target: Uint8Array): Uint8Array {
  const first = Math.min(pattern.length, target.length);
  for (let i = 0; i < first; i++) target[i] = pattern[(phase + i) % pattern.length] as number;
  for (let done = first; done < target.length; done *= 2) target.copyWithin(done, 0, done);
  return target;
}
