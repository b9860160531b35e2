import { fstatSync } from 'node:fs';
import type { Memory } from '../sim/memory.ts';
import {
  close,
  MAP_NORESERVE,
  MAP_SHARED,
  type Mapping,
  memfd,
  mmap,
  PROT_READ,
  PROT_WRITE,
  punchHole,
} from './libc.ts';

const PAGE = 4096;

/** Memory in an anonymous file: sparse, and mappable by another process through `fd`. */
export class SharedMemory implements Memory {
  readonly size: number;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly fd: number;
  readonly #mapping: Mapping;

  /** @param size bytes, a multiple of 4096. @throws SystemError */
  constructor(name: string, size: number) {
    this.size = size;
    this.fd = memfd(name, size);
    this.#mapping = mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, this.fd, 0);
    this.bytes = this.#mapping.bytes;
    this.words = new Uint32Array(this.bytes.buffer, this.bytes.byteOffset, size / 4);
  }

  zero(offset: number, length: number): void {
    const end = offset + length;
    const first = Math.ceil(offset / PAGE) * PAGE;
    const last = Math.floor(end / PAGE) * PAGE;
    if (first >= last) {
      this.bytes.fill(0, offset, end);
      return;
    }
    this.bytes.fill(0, offset, first);
    this.bytes.fill(0, last, end);
    punchHole(this.fd, first, last - first);
  }

  resident(): number {
    return fstatSync(this.fd).blocks * 512;
  }

  close(): void {
    this.#mapping.unmap();
    close(this.fd);
  }
}
