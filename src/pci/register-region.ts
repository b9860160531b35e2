/**
 * Makes regions from what is behind them: 32-bit registers, memory, or pieces of both. Every width and alignment that
 * a host may use is handled here, once for all devices.
 */

import { type ErrorLog, ModelError } from '../sim/errors.ts';
import type { Memory } from '../sim/memory.ts';
import type { MappablePiece, Region } from './function.ts';

/** Registers as a device sees them: 32 bits wide. Offsets are in bytes, aligned to 4; values are unsigned. */
export interface RegisterHandler {
  read32(offset: number): number;
  write32(offset: number, value: number): void;
  /** A write of some bytes of a word, where the device looks at byte enables. @param lanes 0xff per byte written. */
  writeLanes?(offset: number, value: number, lanes: number): void;
  /** The word as it is stored, without the effects that a read may have. */
  stored32?(offset: number): number;
}

/** What a host reads when nobody answers: an unsuccessful completion gives it ones. */
const NO_ANSWER = 0xffff_ffff;

/**
 * A region of 32-bit registers. A wider or unaligned access is made of its words, in ascending order.
 *
 * A write of less than a word carries byte enables. A device that has byte-wide registers takes them (`writeLanes`).
 * For the others the word written is the stored one (`stored32`) with the new bytes in place: not what a read would
 * give, because on the bus a write reads nothing, and a register that counts or clears when it is read must not. A
 * device that has neither does not support such a write.
 *
 * A `ModelError` of a register goes to `errors`: the write is lost, the read gives ones, as when nobody answers.
 * @param size bytes, a multiple of 4
 */
export function registerRegion(name: string, size: number, registers: RegisterHandler, errors: ErrorLog): Region {
  return new RegisterRegion(name, size, registers, errors);
}

class RegisterRegion implements Region {
  readonly size: number;
  readonly mappable: readonly MappablePiece[] = [];
  readonly #name: string;
  readonly #registers: RegisterHandler;
  readonly #errors: ErrorLog;

  constructor(name: string, size: number, registers: RegisterHandler, errors: ErrorLog) {
    this.#name = name;
    this.size = size;
    this.#registers = registers;
    this.#errors = errors;
  }

  read(offset: number, target: Uint8Array): void {
    if (target.length === 4 && (offset & 3) === 0) {
      const value = this.#read32(offset);
      target[0] = value;
      target[1] = value >>> 8;
      target[2] = value >>> 16;
      target[3] = value >>> 24;
      return;
    }
    let done = 0;
    while (done < target.length) {
      const lane = (offset + done) & 3;
      const n = Math.min(4 - lane, target.length - done);
      const value = this.#read32(offset + done - lane) >>> (8 * lane);
      for (let i = 0; i < n; i++) target[done + i] = value >>> (8 * i);
      done += n;
    }
  }

  write(offset: number, source: Uint8Array): void {
    if (source.length === 4 && (offset & 3) === 0) {
      this.#write32(offset, word(source, 0, 4));
      return;
    }
    let done = 0;
    while (done < source.length) {
      const lane = (offset + done) & 3;
      const n = Math.min(4 - lane, source.length - done);
      const value = word(source, done, n);
      if (n === 4) this.#write32(offset + done, value);
      else {
        const lanes = ((n === 3 ? 0xff_ffff : n === 2 ? 0xffff : 0xff) << (8 * lane)) >>> 0;
        this.#writeLanes(offset + done - lane, (value << (8 * lane)) >>> 0, lanes);
      }
      done += n;
    }
  }

  #read32(offset: number): number {
    try {
      return this.#registers.read32(offset);
    } catch (error) {
      this.#report(error);
      return NO_ANSWER;
    }
  }

  #write32(offset: number, value: number): void {
    try {
      this.#registers.write32(offset, value);
    } catch (error) {
      this.#report(error);
    }
  }

  #writeLanes(offset: number, value: number, lanes: number): void {
    const registers = this.#registers;
    try {
      if (registers.writeLanes) registers.writeLanes(offset, value, lanes);
      else if (registers.stored32) {
        registers.write32(offset, ((registers.stored32(offset) & ~lanes) | value) >>> 0);
      } else {
        throw new ModelError(
          'unsupported',
          `${this.#name}+0x${offset.toString(16)}`,
          'a write of less than a word, which these registers do not take',
        );
      }
    } catch (error) {
      this.#report(error);
    }
  }

  #report(error: unknown): void {
    if (!(error instanceof ModelError)) throw error;
    this.#errors.report(error);
  }
}

function word(source: Uint8Array, at: number, n: number): number {
  let value = source[at] as number;
  if (n > 1) value |= (source[at + 1] as number) << 8;
  if (n > 2) value |= (source[at + 2] as number) << 16;
  if (n > 3) value |= (source[at + 3] as number) << 24;
  return value >>> 0;
}

export interface MemoryRegionOptions {
  /** Where the region begins in the memory, bytes. Default 0. */
  readonly offset?: number;
  /** Bytes. Default: the rest of the memory. */
  readonly size?: number;
  /** Whether a host may map it; then offset and size are multiples of 4096. */
  readonly mappable: boolean;
}

/** A region that is memory. */
export function memoryRegion(memory: Memory, options: MemoryRegionOptions): Region {
  const base = options.offset ?? 0;
  const size = options.size ?? memory.size - base;
  if (base < 0 || size <= 0 || base + size > memory.size) throw new RangeError('region outside its memory');
  const { bytes } = memory;
  return {
    size,
    mappable: options.mappable ? [{ offset: 0, size, memory, memoryOffset: base }] : [],
    read(offset, target) {
      const from = base + offset;
      // A register-sized access is the usual one: cheaper without a view object.
      if (target.length <= 8) for (let i = 0; i < target.length; i++) target[i] = bytes[from + i] as number;
      else target.set(bytes.subarray(from, from + target.length));
    },
    write(offset, source) {
      const to = base + offset;
      // One store for an aligned word: others may poll it (see DmaPort.store32).
      if (source.length === 4 && (to & 3) === 0) memory.words[to / 4] = word(source, 0, 4);
      else bytes.set(source, to);
    },
  };
}

export interface RegionPiece {
  readonly offset: number;
  readonly region: Region;
}

/**
 * One region of several that follow each other without gaps; an access may cross them. Pieces stay mappable where
 * they are page-aligned in the whole.
 * @param mappable false: the host must trap everything
 */
export function composeRegion(pieces: readonly RegionPiece[], mappable = true): Region {
  let size = 0;
  for (const piece of pieces) {
    if (piece.offset !== size) throw new RangeError(`piece at 0x${piece.offset.toString(16)}: gap or overlap`);
    size += piece.region.size;
  }
  if (size === 0) throw new RangeError('a region needs a piece');
  let last = pieces[0] as RegionPiece;
  const pieceAt = (offset: number): RegionPiece => {
    if (offset < last.offset || offset >= last.offset + last.region.size) {
      last = pieces.find((p) => offset < p.offset + p.region.size) as RegionPiece;
    }
    return last;
  };
  const each = (offset: number, length: number, visit: (p: RegionPiece, at: number, n: number) => void) => {
    let done = 0;
    while (done < length) {
      const piece = pieceAt(offset + done);
      const n = Math.min(length - done, piece.offset + piece.region.size - (offset + done));
      visit(piece, done, n);
      done += n;
    }
  };
  return {
    size,
    mappable: mappable
      ? pieces.flatMap((p) =>
          p.region.mappable
            .map((m) => ({ ...m, offset: p.offset + m.offset }))
            .filter((m) => m.offset % 4096 === 0 && m.size % 4096 === 0),
        )
      : [],
    read(offset, target) {
      const piece = pieceAt(offset);
      if (offset + target.length <= piece.offset + piece.region.size) piece.region.read(offset - piece.offset, target);
      else {
        each(offset, target.length, (p, at, n) => {
          p.region.read(offset + at - p.offset, target.subarray(at, at + n));
        });
      }
    },
    write(offset, source) {
      const piece = pieceAt(offset);
      if (offset + source.length <= piece.offset + piece.region.size) piece.region.write(offset - piece.offset, source);
      else {
        each(offset, source.length, (p, at, n) => {
          p.region.write(offset + at - p.offset, source.subarray(at, at + n));
        });
      }
    },
  };
}
