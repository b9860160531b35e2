/**
 * The memory of the modelled host: pages with bus addresses, as a card reaches them, and the addresses of one program. A
 * bus address is used once only: a card that keeps one for longer than it may finds nobody there.
 */

import type { DmaPort, Done } from '../../pci/ports.ts';
import type { Mapping } from '../driver.ts';
import { refuse } from './errno.ts';

export const PAGE = 4096;
export const HUGE_PAGE = 2 * 1024 * 1024;

/** Bytes of a coherent allocation that is cut off a piece, and of that. */
const SMALL = 4 * PAGE;
const PIECE = 32 * PAGE;

/** Bus addresses of memory: above the BARs, below the 48 bits that the driver asks for (gaudi.c, dma_mask). */
const FIRST_BUS_ADDRESS = 0x100_0000_0000;
const END_OF_MEMORY = 2 ** 47;
/** Neighbouring blocks of a program's memory lie in reverse order, in groups of so many, so that no two follow each other. */
const SCATTER = 16;
/**
 * Pages of a block by where in the program's memory it begins, in pages: as with a kernel that has been up for a while, the
 * first pages lie alone, and the more memory there is the longer the blocks are. None is made of a huge page.
 */
const BLOCKS = [
  { from: 0, pages: 1 },
  { from: 64, pages: 16 },
  { from: 1024, pages: 256 },
] as const;

/** A run of memory that is contiguous on the bus. */
interface Run {
  readonly bus: number;
  readonly bytes: Uint8Array;
}

/** Memory of the driver, contiguous on the bus (dma_alloc_coherent). */
export interface CoherentMemory {
  readonly bus: number;
  readonly bytes: Uint8Array;
  /** The same, to the end of the last page. */
  readonly pages: Uint8Array;
  readonly view: DataView;
  readonly words: Uint32Array;
  free(): void;
}

/** Memory of a program on the bus. */
export interface ScatteredMemory {
  /** Bus address of each page. */
  readonly pages: readonly number[];
  /** Takes the pages off the bus. */
  free(): void;
}

/** All memory of the host, as devices reach it. */
export class HostMemory implements DmaPort {
  /** In the order of their bus addresses, which is that in which they were made. */
  readonly #runs: Run[] = [];
  #piece = new Uint8Array(0);
  /** The one that was asked for last. */
  #last: Run | undefined;
  #next = FIRST_BUS_ADDRESS;

  /** @param size bytes; whole pages are used. */
  allocateCoherent(size: number): CoherentMemory {
    const whole = Math.ceil(size / PAGE) * PAGE;
    const bytes = this.#fresh(whole);
    const bus = this.#reserve(whole, PAGE);
    this.#runs.push({ bus, bytes });
    return {
      bus,
      bytes: bytes.subarray(0, size),
      pages: bytes,
      view: new DataView(bytes.buffer, bytes.byteOffset, size),
      words: new Uint32Array(bytes.buffer, bytes.byteOffset, Math.floor(size / 4)),
      free: () => this.#remove(bus, 1),
    };
  }

  /** Bytes that nobody has had before. Small ones are cut off a larger piece: command buffers come by the thousand. */
  #fresh(size: number): Uint8Array {
    if (size > SMALL) return new Uint8Array(size);
    if (this.#piece.length < size) this.#piece = new Uint8Array(PIECE);
    const bytes = this.#piece.subarray(0, size);
    this.#piece = this.#piece.subarray(size);
    return bytes;
  }

  /** Gives each page of `bytes` a place on the bus. */
  scatter(bytes: Uint8Array, huge: boolean): ScatteredMemory {
    const runs = huge ? [{ bus: this.#reserve(bytes.length, HUGE_PAGE), bytes }] : this.#scatterBlocks(bytes);
    const pages: number[] = [];
    for (const { bus, bytes } of runs) for (let at = 0; at < bytes.length; at += PAGE) pages.push(bus + at);
    runs.sort((a, b) => a.bus - b.bus);
    for (const run of runs) this.#runs.push(run);
    return { pages, free: () => this.#remove((runs[0] as Run).bus, runs.length) };
  }

  /** @returns the blocks in the order of the program's memory */
  #scatterBlocks(bytes: Uint8Array): Run[] {
    const runs: Run[] = [];
    BLOCKS.forEach(({ from, pages }, i) => {
      const first = from * PAGE;
      const end = Math.min(bytes.length, (BLOCKS[i + 1]?.from ?? Number.POSITIVE_INFINITY) * PAGE);
      if (first >= end) return;
      const size = pages * PAGE;
      const slots = Math.ceil((end - first) / size / SCATTER) * SCATTER;
      const base = this.#reserve(slots * size, PAGE);
      for (let n = 0; first + n * size < end; n++) {
        const at = first + n * size;
        runs.push({
          bus: base + (n ^ (SCATTER - 1)) * size,
          bytes: bytes.subarray(at, Math.min(at + size, end)),
        });
      }
    });
    return runs;
  }

  view(address: number, length: number): Uint8Array | undefined {
    const run = this.#find(address);
    if (!run || address + length > run.bus + run.bytes.length) return undefined;
    return run.bytes.subarray(address - run.bus, address - run.bus + length);
  }

  read(address: number, target: Uint8Array, done: Done): void {
    this.#each(address, target.length, done, (part, at) => target.set(part, at));
  }

  write(address: number, source: Uint8Array, done: Done): void {
    this.#each(address, source.length, done, (part, at) => part.set(source.subarray(at, at + part.length)));
  }

  store32(address: number, value: number, done: Done): void {
    const word = this.view(address, 4);
    if (!word) {
      done(new Error(`no memory at bus address 0x${address.toString(16)}`));
      return;
    }
    new DataView(word.buffer, word.byteOffset, 4).setUint32(0, value, true);
    done();
  }

  #each(address: number, length: number, done: Done, visit: (part: Uint8Array, at: number) => void): void {
    for (let at = 0; at < length; ) {
      const run = this.#find(address + at);
      if (!run) {
        done(new Error(`no memory at bus address 0x${(address + at).toString(16)}`));
        return;
      }
      const offset = address + at - run.bus;
      const part = run.bytes.subarray(offset, Math.min(offset + length - at, run.bytes.length));
      visit(part, at);
      at += part.length;
    }
    done();
  }

  #reserve(size: number, align: number): number {
    const bus = Math.ceil(this.#next / align) * align;
    if (bus + size > END_OF_MEMORY) refuse('ENOMEM');
    this.#next = bus + size;
    return bus;
  }

  /** Takes `count` runs away, from that at `bus` on; harmless when they have gone. */
  #remove(bus: number, count: number): void {
    const index = this.#indexOf(bus);
    if (this.#runs[index]?.bus !== bus) return;
    this.#runs.splice(index, count);
    this.#last = undefined;
  }

  #find(address: number): Run | undefined {
    const last = this.#last;
    if (last && address >= last.bus && address < last.bus + last.bytes.length) return last;
    const run = this.#runs[this.#indexOf(address)];
    if (!run || address >= run.bus + run.bytes.length) return undefined;
    this.#last = run;
    return run;
  }

  /** Index of the last run that begins at `address` or before it; -1 when there is none. */
  #indexOf(address: number): number {
    let [low, high] = [0, this.#runs.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#runs[middle] as Run).bus <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** Pages of a program that a driver holds on to, also after the program has given them up (pin_user_pages). */
export interface Pinned {
  /** Bus address of each page. */
  readonly pages: readonly number[];
  unpin(): void;
}

interface Region {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** Bus addresses page by page; undefined for memory of a driver, which cannot be pinned. */
  readonly pages: readonly number[] | undefined;
  /** By the program and by those who pinned it. */
  references: number;
  /** Nobody holds it any more. */
  readonly freed: () => void;
}

/** What is told of memory's end: the program has unmapped it; and nobody, who has pinned it, holds it any more. */
interface Ends {
  readonly closed: () => void;
  readonly freed: () => void;
}

/** The program's memory lies from here on; between two pieces is a page that nobody has. */
const FIRST_ADDRESS = 0x7f00_0000_0000n;

/** The addresses of the program. */
export class AddressSpace {
  readonly #memory: HostMemory;
  /** In the order of their addresses. */
  readonly #regions: Region[] = [];
  #next = FIRST_ADDRESS;

  constructor(memory: HostMemory) {
    this.#memory = memory;
  }

  /** Fresh zeroed memory. @throws SystemError EINVAL for no bytes */
  allocate(length: number, huge: boolean): Mapping {
    const page = huge ? HUGE_PAGE : PAGE;
    if (!(length > 0)) refuse('EINVAL', 'mmap');
    const bytes = new Uint8Array(Math.ceil(length / page) * page);
    const { pages, free } = this.#memory.scatter(bytes, huge);
    return this.#map(bytes, length, pages, page, { closed: () => {}, freed: free });
  }

  /** Memory of a driver. @param closed called when it is unmapped */
  map(bytes: Uint8Array, length: number, closed: () => void): Mapping {
    return this.#map(bytes, length, undefined, PAGE, { closed, freed: () => {} });
  }

  /** Memory of a device, which has pages and can be pinned. @param pages bus address of each */
  mapPages(bytes: Uint8Array, length: number, pages: readonly number[], ends: Ends): Mapping {
    return this.#map(bytes, length, pages, PAGE, ends);
  }

  /** The program's memory as a driver copies it; undefined where there is none (EFAULT). */
  bytes(address: bigint, length: number): Uint8Array | undefined {
    if (length === 0) return new Uint8Array(0);
    const region = this.#find(address);
    if (!region) return undefined;
    const offset = Number(address - region.address);
    return offset + length <= region.bytes.length ? region.bytes.subarray(offset, offset + length) : undefined;
  }

  /** @param address of the first page. @returns undefined where one of the pages is not there */
  pin(address: bigint, count: number): Pinned | undefined {
    const region = this.#find(address);
    if (!region?.pages) return undefined;
    const first = Number(address - region.address) / PAGE;
    if (first + count > region.pages.length) return undefined;
    region.references++;
    let held = true;
    return {
      pages: region.pages.slice(first, first + count),
      unpin: () => {
        if (held) this.#put(region);
        held = false;
      },
    };
  }

  #map(bytes: Uint8Array, length: number, pages: readonly number[] | undefined, align: number, ends: Ends): Mapping {
    const unit = BigInt(align);
    const address = ((this.#next + unit - 1n) / unit) * unit;
    this.#next = address + BigInt(Math.ceil(bytes.length / PAGE) * PAGE + PAGE);
    const region: Region = { address, bytes, pages, references: 1, freed: ends.freed };
    this.#regions.push(region);
    let visible = bytes.subarray(0, length);
    return {
      address,
      get bytes() {
        return visible;
      },
      unmap: () => {
        const index = this.#regions.indexOf(region);
        if (index < 0) return;
        this.#regions.splice(index, 1);
        visible = new Uint8Array(0);
        ends.closed();
        this.#put(region);
      },
    };
  }

  #put(region: Region): void {
    if (--region.references === 0) region.freed();
  }

  #find(address: bigint): Region | undefined {
    let [low, high] = [0, this.#regions.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const region = this.#regions[middle] as Region;
      if (address < region.address) high = middle;
      else if (address >= region.address + BigInt(region.bytes.length)) low = middle + 1;
      else return region;
    }
    return undefined;
  }
}
