/**
 * What a program may map of its device, by offsets that the driver gives out: rings in memory, queues in the device's
 * memory, doorbells. Source: core/ib_core_uverbs.c (rdma_user_mmap_entry_insert_range), efa_verbs.c (__efa_mmap).
 */

import type { Region } from '../../../pci/function.ts';
import { refuse } from '../errno.ts';
import type { FileMapping } from '../files.ts';
import { type CoherentMemory, PAGE } from '../host-memory.ts';
import type { Kernel } from '../kernel.ts';

/** What is mapped: memory of the driver; memory of the device; registers of the device, a page of them. */
type Target =
  | { readonly kind: 'memory'; readonly memory: SharedMemory }
  | { readonly kind: 'device' | 'registers'; readonly region: Region; readonly offset: number };

export interface MapEntry {
  readonly first: number;
  readonly pages: number;
  readonly target: Target;
  /** The driver's own, and one for each mapping of the device. */
  references: number;
  /** The driver has taken it back: it stays where it is mapped. */
  removed: boolean;
}

/** Memory of the driver that programs map: it goes when neither has it any more. */
export class SharedMemory {
  readonly memory: CoherentMemory;
  #references = 1;

  constructor(memory: CoherentMemory) {
    this.memory = memory;
  }

  get(): void {
    this.#references++;
  }

  put(): void {
    if (--this.#references === 0) this.memory.free();
  }
}

export class MapTable {
  readonly #kernel: Kernel;
  /** In the order of their offsets. */
  #entries: MapEntry[] = [];

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** The lowest offset with so much room. @param length bytes */
  insert(target: Target, length: number): MapEntry {
    const pages = Math.ceil(length / PAGE);
    let first = 0;
    for (const entry of this.#entries) {
      if (first + pages <= entry.first) break;
      first = entry.first + entry.pages;
    }
    const made: MapEntry = { first, pages, target, references: 1, removed: false };
    this.#entries.push(made);
    this.#entries.sort((a, b) => a.first - b.first);
    return made;
  }

  /** rdma_user_mmap_entry_remove. */
  remove(entry: MapEntry): void {
    entry.removed = true;
    this.#put(entry);
  }

  #put(entry: MapEntry): void {
    if (--entry.references === 0) this.#entries = this.#entries.filter((other) => other !== entry);
  }

  /** @param offset bytes @throws SystemError EINVAL where there is nothing, or not of this length */
  map(length: number, offset: bigint): FileMapping {
    const page = offset / BigInt(PAGE);
    const entry = this.#entries.find((one) => BigInt(one.first) === page && !one.removed);
    if (offset % BigInt(PAGE) !== 0n || !entry || entry.pages !== Math.ceil(length / PAGE)) refuse('EINVAL', 'mmap');
    const { program } = this.#kernel;
    const { target } = entry;
    if (target.kind === 'memory') {
      // these are ordinary pages: they can be pinned, and keep the memory themselves
      const { memory } = target;
      const pages = Array.from({ length: entry.pages }, (_, i) => memory.memory.bus + i * PAGE);
      memory.get();
      return program.mapPages(memory.memory.pages, length, pages, { closed() {}, freed: () => memory.put() });
    }
    entry.references++;
    const closed = () => this.#put(entry);
    const { region, offset: start } = target;
    if (target.kind === 'device') return program.map(deviceMemory(region, start, entry.pages * PAGE), length, closed);
    const mapping = program.map(new Uint8Array(PAGE), length, closed);
    const word = new DataView(new ArrayBuffer(4));
    const bytes = new Uint8Array(word.buffer);
    return {
      address: mapping.address,
      get bytes() {
        return mapping.bytes;
      },
      unmap: () => mapping.unmap(),
      store32(at, value) {
        if (at < 0 || at + 4 > mapping.bytes.length) throw new RangeError(`a store at ${at} of a mapping`);
        word.setUint32(0, value >>> 0, true);
        region.write(start + at, bytes);
      },
    };
  }
}

/** Memory behind a BAR, as the processor reaches it. */
function deviceMemory(region: Region, offset: number, length: number): Uint8Array {
  const piece = region.mappable.find((one) => offset >= one.offset && offset + length <= one.offset + one.size);
  if (!piece) throw new Error(`${length} bytes at ${offset} are no memory that can be mapped`);
  const at = piece.memoryOffset + offset - piece.offset;
  return piece.memory.bytes.subarray(at, at + length);
}
