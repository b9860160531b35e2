/**
 * Memory of a device. It is flat, sparse (pages that nobody touched cost nothing) and, where the host gives it a file
 * descriptor, can be mapped by another process.
 */
export interface Memory {
  /** Bytes. */
  readonly size: number;
  /** All of it, live. */
  readonly bytes: Uint8Array;
  /** The same as 32-bit words (little-endian hosts only), for stores that must be seen whole. */
  readonly words: Uint32Array;
  /** Descriptor that others may map at the same offsets, or -1. */
  readonly fd: number;
  /**
   * Tells pages that nobody has touched, which are zero, from those in use, without touching them.
   * @returns how many of `length` bytes from `offset` on are untouched or, not positive, how many are in use
   */
  untouched(offset: number, length: number): number;
  /** Fills with zero and gives whole pages back. */
  zero(offset: number, length: number): void;
  /** Bytes of pages in use. */
  resident(): number;
  /** Gives everything back; `bytes` must not be touched any more. */
  close(): void;
}

/** Ordinary memory of this process, for tests and for small memories. */
export class ArrayMemory implements Memory {
  readonly size: number;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly fd = -1;

  /** @param size bytes, a multiple of 4. */
  constructor(size: number) {
    this.size = size;
    this.bytes = new Uint8Array(size);
    this.words = new Uint32Array(this.bytes.buffer);
  }

  untouched(_offset: number, length: number): number {
    return -length;
  }

  zero(offset: number, length: number): void {
    this.bytes.fill(0, offset, offset + length);
  }

  resident(): number {
    return this.size;
  }

  close(): void {}
}
