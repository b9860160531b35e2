/** Memory of the program that arguments point to. */

import type { Mapping } from '../../driver/driver.ts';
import { hl_cs_chunk } from '../../uapi/habanalabs/cs.ts';
import { type Reader, reader } from './members.ts';

/** Mappings after which those that have gone are looked for. */
const MANY = 1024;

export function chunkReader(path: string): Reader {
  return reader(hl_cs_chunk, path);
}

export class PointedTo {
  readonly #mappings = new Map<number, Mapping>();

  add(mapping: Mapping): void {
    if (this.#mappings.size >= MANY) {
      for (const [address, { bytes }] of this.#mappings) if (bytes.length === 0) this.#mappings.delete(address);
    }
    this.#mappings.set(Number(mapping.address), mapping);
  }

  /** @returns `length` bytes at an address, or undefined where no memory is known */
  at(address: number, length: number): DataView | undefined {
    const exact = this.#mappings.get(address);
    if (exact && exact.bytes.length >= length) return new DataView(exact.bytes.buffer, exact.bytes.byteOffset, length);
    for (const [start, { bytes }] of this.#mappings) {
      const offset = address - start;
      if (offset >= 0 && offset + length <= bytes.length)
        return new DataView(bytes.buffer, bytes.byteOffset + offset, length);
    }
    return undefined;
  }
}
