/**
 * The bus addresses a client has mapped, and the memory behind those that came with a file that can be mapped here
 * without danger. The rest is reached by messages.
 */

import { fstatSync } from 'node:fs';
import { constants } from 'node:os';
import { MAP_NORESERVE, MAP_SHARED, type Mapping, mmap, PROT_READ, PROT_WRITE, SystemError } from '../os/libc.ts';
import { release } from '../os/socket.ts';
import { isStableMemory } from './descriptors.ts';
import { Refusal } from './messages.ts';

const { EEXIST, EINVAL, ENOENT, ENOSPC } = constants.errno;

export const PAGE = 4096;

/** Ranges mapped at one time; QEMU and the protocol take this number as the default and as the most. */
export const MAX_RANGES = 65535;

// Bounds on what one client may map into this process: addresses are finite, and a mapping is more than its pages.
const MAX_FILES = 256;
const MAX_FILE_BYTES = 2 ** 42;

export type Access = 'read' | 'write';

/** A file of the client, mapped whole, shared by the ranges that lie in it. */
interface SharedFile {
  readonly key: string;
  readonly mapping: Mapping;
  readonly words: Uint32Array;
  users: number;
}

export interface Range {
  readonly address: number;
  /** Bytes. */
  readonly size: number;
  readonly readable: boolean;
  readonly writable: boolean;
  /** Undefined: by messages only. */
  readonly file: SharedFile | undefined;
  /** Where the range begins in the file, bytes. */
  readonly offset: number;
}

export interface RangeRequest {
  readonly address: number;
  readonly size: number;
  readonly offset: number;
  readonly readable: boolean;
  readonly writable: boolean;
}

export class DmaMap {
  /** Ascending and disjoint. */
  readonly #ranges: Range[] = [];
  readonly #files = new Map<string, SharedFile>();
  #mappedBytes = 0;
  #last: Range | undefined;

  /** Ranges mapped now. */
  get size(): number {
    return this.#ranges.length;
  }

  /** Files mapped now. */
  get files(): number {
    return this.#files.size;
  }

  /**
   * Adds a range. `fd`, where given and not negative, stays the caller's. A file that could shrink, or one too many, is not mapped:
   * the range is then reached by messages, as if it had come without.
   * @throws Refusal EINVAL (unaligned, empty, beyond 2^53, beyond the file, no access), EEXIST (overlap), ENOSPC;
   * or what mmap says
   */
  add(request: RangeRequest, fd: number | undefined): void {
    const { address, size, offset, readable, writable } = request;
    if (!(size > 0) || size > Number.MAX_SAFE_INTEGER || address > Number.MAX_SAFE_INTEGER - size) {
      throw new Refusal(EINVAL, `DMA range of 0x${size.toString(16)} bytes at 0x${address.toString(16)}`);
    }
    if (address % PAGE !== 0 || size % PAGE !== 0) throw new Refusal(EINVAL, 'DMA range is not aligned to 4096');
    if (!readable && !writable) throw new Refusal(EINVAL, 'DMA range without access');
    const at = this.#firstEndingAfter(address);
    const next = this.#ranges[at];
    if (next && next.address < address + size) throw new Refusal(EEXIST, 'DMA range overlaps a mapped one');
    if (this.#ranges.length >= MAX_RANGES) throw new Refusal(ENOSPC, 'too many DMA ranges');
    const file = fd === undefined || fd < 0 ? undefined : this.#file(fd, request);
    if (file) file.users++;
    this.#ranges.splice(at, 0, { address, size, offset, readable, writable, file });
  }

  /** Removes a range. @throws Refusal ENOENT unless it is exactly one that was added */
  remove(address: number, size: number): void {
    const at = this.#firstEndingAfter(address);
    const range = this.#ranges[at];
    if (!range || range.address !== address || range.size !== size) {
      throw new Refusal(ENOENT, 'no such DMA range');
    }
    this.#ranges.splice(at, 1);
    this.#drop(range);
  }

  clear(): void {
    for (const range of this.#ranges.splice(0)) this.#drop(range);
  }

  /** The range that contains `address`. */
  find(address: number): Range | undefined {
    const last = this.#last;
    if (last && address >= last.address && address - last.address < last.size) return last;
    const range = this.#ranges[this.#firstEndingAfter(address)];
    if (!range || address < range.address) return undefined;
    this.#last = range;
    return range;
  }

  /** True when all of [address, address + length) is mapped with this access. */
  permits(address: number, length: number, access: Access): boolean {
    if (!Number.isSafeInteger(address) || address < 0 || !(length >= 0)) return false;
    const end = address + length;
    if (end > Number.MAX_SAFE_INTEGER) return false;
    let position = address;
    do {
      const range = this.find(position);
      if (!range || !(access === 'read' ? range.readable : range.writable)) return false;
      position = range.address + range.size;
    } while (position < end);
    return true;
  }

  /** Index of the first range that ends above `address`. */
  #firstEndingAfter(address: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = this.#ranges[middle] as Range;
      if (range.address + range.size > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #file(fd: number, request: RangeRequest): SharedFile | undefined {
    if (!isStableMemory(fd)) return undefined;
    const { offset, size, writable } = request;
    if (offset % PAGE !== 0) throw new Refusal(EINVAL, 'offset of a DMA range is not aligned to 4096');
    const status = fstatSync(fd);
    if (offset > status.size || size > status.size - offset) throw new Refusal(EINVAL, 'DMA range beyond its file');
    // A memfd may grow: a range in the new part needs a mapping of its own, hence the length in the key.
    const key = `${status.dev}:${status.ino}:${status.size}:${writable}`;
    const known = this.#files.get(key);
    if (known) return known;
    if (this.#files.size >= MAX_FILES || this.#mappedBytes + status.size > MAX_FILE_BYTES) return undefined;
    const protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    let mapping: Mapping;
    try {
      mapping = mmap(status.size, protection, MAP_SHARED | MAP_NORESERVE, fd, 0);
    } catch (error) {
      if (error instanceof SystemError) throw new Refusal(error.errno, `cannot map a DMA range: ${error.message}`);
      throw error;
    }
    const { bytes } = mapping;
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, Math.floor(status.size / 4));
    const file: SharedFile = { key, mapping, words, users: 0 };
    this.#files.set(key, file);
    this.#mappedBytes += status.size;
    return file;
  }

  #drop(range: Range): void {
    if (this.#last === range) this.#last = undefined;
    const { file } = range;
    if (!file || --file.users > 0) return;
    this.#files.delete(file.key);
    this.#mappedBytes -= file.mapping.bytes.length;
    release(file.mapping);
  }
}
