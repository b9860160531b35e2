/** Registered memory: which bus addresses are behind a range of virtual addresses, and who may use it how. */

import type { DmaPort } from '../pci/ports.ts';
import { Condition } from '../sim/process.ts';

/** Runs of bus addresses, in order of the addresses they stand for. Pages that follow each other are one run. */
export class PageRuns {
  #from = new Float64Array(4);
  #bus = new Float64Array(4);
  #length = 0;
  #end = 0;

  /** Number of runs. */
  get count(): number {
    return this.#length;
  }

  /** Bytes covered. */
  get size(): number {
    return this.#end;
  }

  add(bus: number, size: number): void {
    const last = this.#length - 1;
    if (last >= 0 && (this.#bus[last] as number) + this.#end - (this.#from[last] as number) === bus) {
      this.#end += size;
      return;
    }
    if (this.#length === this.#from.length) {
      this.#from = grown(this.#from);
      this.#bus = grown(this.#bus);
    }
    this.#from[this.#length] = this.#end;
    this.#bus[this.#length] = bus;
    this.#length++;
    this.#end += size;
  }

  /** Where the byte at `offset` is, and how many bytes follow there. @param offset below `size` */
  locate(offset: number): { readonly bus: number; readonly length: number } {
    let low = 0;
    let high = this.#length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#from[middle] as number) <= offset) low = middle;
      else high = middle - 1;
    }
    const into = offset - (this.#from[low] as number);
    const end = low + 1 < this.#length ? (this.#from[low + 1] as number) : this.#end;
    return { bus: (this.#bus[low] as number) + into, length: end - offset };
  }
}

function grown(array: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(2 * array.length);
  larger.set(array);
  return larger;
}

export interface MemoryRegionOptions {
  readonly lkey: number;
  readonly rkey: number;
  readonly pd: number;
  readonly iova: number;
  /** Bytes. */
  readonly length: number;
  readonly localWrite: boolean;
  readonly remoteWrite: boolean;
  readonly remoteRead: boolean;
  /** Begins at the page of `iova`. */
  readonly pages: PageRuns;
  /** Bytes of the first page before `iova`. */
  readonly skip: number;
  readonly dma: DmaPort;
}

export class MemoryRegion {
  readonly options: MemoryRegionOptions;
  readonly lkey: number;
  readonly rkey: number;
  readonly pd: number;
  readonly dma: DmaPort;
  /** False once it was taken back: nothing is reached through it any more. */
  valid = true;
  /** Rings that are in this memory. */
  rings = 0;
  /** Requests on the bus that are not answered yet. */
  requests = 0;
  readonly idle = new Condition();

  constructor(options: MemoryRegionOptions) {
    this.options = options;
    this.lkey = options.lkey;
    this.rkey = options.rkey;
    this.pd = options.pd;
    this.dma = options.dma;
  }

  /** Whether [address, address + length) is inside. */
  covers(address: number, length: number): boolean {
    const { iova, length: size } = this.options;
    return this.valid && address >= iova && length <= size && address - iova <= size - length;
  }

  /** The bus address of a covered address, and how many bytes follow there. */
  locate(address: number): { readonly bus: number; readonly length: number } {
    const { iova, skip, pages } = this.options;
    return pages.locate(address - iova + skip);
  }

  release(): void {
    this.requests--;
    if (this.requests === 0) this.idle.notify();
  }
}
