import { fstatSync } from 'node:fs';
import type { Memory } from '../sim/memory.ts';
import {
  close,
  MAP_NORESERVE,
  MAP_SHARED,
  type Mapping,
  memfd,
  mmap,
  nextExtent,
  PROT_READ,
  PROT_WRITE,
  punchHole,
} from './libc.ts';

const PAGE = 4096;
/** Fewer bytes in use are written with zero: that is quicker than giving their pages back. */
const GIVE_BACK = 0x1_0000;

/** Memory in an anonymous file: sparse, and mappable by another process through `fd`. */
export class SharedMemory implements Memory {
  readonly size: number;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly fd: number;
  readonly #mapping: Mapping;
  /** A range that was found to be in use, and is since. */
  #usedFrom = 0;
  #usedTo = 0;

  /** @param size bytes, a multiple of 4096. @throws SystemError */
  constructor(name: string, size: number) {
    this.size = size;
    this.fd = memfd(name, size);
    this.#mapping = mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, this.fd, 0);
    this.bytes = this.#mapping.bytes;
    this.words = new Uint32Array(this.bytes.buffer, this.bytes.byteOffset, size / 4);
  }

  untouched(offset: number, length: number): number {
    const end = offset + length;
    if (offset >= this.#usedFrom && offset < this.#usedTo) return offset - Math.min(end, this.#usedTo);
    const data = nextExtent('data', this.fd, offset, this.size);
    if (data > offset) return Math.min(data, end) - offset;
    this.#usedFrom = offset;
    this.#usedTo = nextExtent('hole', this.fd, offset, this.size);
    return offset - Math.min(end, this.#usedTo);
  }

  zero(offset: number, length: number): void {
    const end = offset + length;
    if (length < GIVE_BACK) {
      this.#clear(offset, end);
      return;
    }
    if (this.untouched(offset, length) === length) return;
    const first = Math.ceil(offset / PAGE) * PAGE;
    const last = Math.floor(end / PAGE) * PAGE;
    this.#clear(offset, first);
    this.#clear(last, end);
    this.#usedTo = 0;
    punchHole(this.fd, first, last - first);
  }

  /** Writes zeros where something may be. */
  #clear(from: number, to: number): void {
    for (let at = from; at < to; ) {
      const untouched = this.untouched(at, to - at);
      if (untouched <= 0) this.bytes.fill(0, at, at - untouched);
      at += Math.abs(untouched);
    }
  }

  resident(): number {
    return fstatSync(this.fd).blocks * 512;
  }

  close(): void {
    this.#mapping.unmap();
    close(this.fd);
  }
}
