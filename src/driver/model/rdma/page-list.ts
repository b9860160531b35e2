/**
 * The list of a region's pages as the device takes it: in the command, in one buffer, or in pages of a list of chunks.
 * Source: efa_verbs.c (efa_create_inline_pbl, pbl_create, pbl_chunk_list_create).
 */

import { controlBuffer, PAGE_LIST } from '../../../../specs/efa/admin.ts';
import { type CoherentMemory, PAGE } from '../host-memory.ts';
import type { Kernel } from '../kernel.ts';
import { CONTROL_DATA, halves } from './admin-queue.ts';
import type { CommandOptions } from './nic.ts';

const ADDRESS = 8;
/** Where the list is in the command REG_MR. */
const PLACE = 4;
/** Largest piece of memory that is contiguous for a driver (KMALLOC_MAX_SIZE); larger ones are made of pages (kvzalloc). */
const LARGEST_PIECE = 4 * 1024 * 1024;

export interface PageList extends CommandOptions {
  free(): void;
}

export function makePageList(kernel: Kernel, pages: BigUint64Array): PageList {
  const bytes = new Uint8Array(pages.buffer);
  if (pages.length <= PAGE_LIST.INLINE) return { fill: (payload) => payload.set(bytes, PLACE), free() {} };
  if (bytes.length <= LARGEST_PIECE) {
    const memory = kernel.memory.allocateCoherent(bytes.length);
    memory.bytes.set(bytes);
    return { flags: CONTROL_DATA.DIRECT, ...described(memory.bus, bytes.length), free: () => memory.free() };
  }
  return makeChunks(kernel, bytes);
}

function described(bus: number, length: number) {
  return { fill: (payload: Uint8Array) => controlBuffer.encode(payload, { length, ...halves(bus) }, PLACE) };
}

/** What the length of a chunk counts (EFA_CHUNK_USED_SIZE). */
function used(pointers: number): number {
  return pointers * ADDRESS + PAGE_LIST.CONTROL_SIZE;
}

function makeChunks(kernel: Kernel, bytes: Uint8Array): PageList {
  const { memory } = kernel;
  const whole = new Uint8Array(Math.ceil(bytes.length / PAGE) * PAGE);
  whole.set(bytes);
  const scattered = memory.scatter(whole, false);
  const lists = scattered.pages;
  const count = Math.ceil(lists.length / PAGE_LIST.POINTERS);
  const chunks: CoherentMemory[] = [];
  for (let i = 0; i < count; i++) chunks.push(memory.allocateCoherent(PAGE_LIST.CHUNK));
  const lengths = chunks.map((chunk, i) => {
    const pointers = lists.slice(i * PAGE_LIST.POINTERS, (i + 1) * PAGE_LIST.POINTERS);
    pointers.forEach((page, n) => {
      chunk.view.setBigUint64(n * ADDRESS, BigInt(page), true);
    });
    return used(pointers.length);
  });
  chunks.forEach((chunk, i) => {
    const next = chunks[i + 1];
    if (next) {
      controlBuffer.encode(chunk.bytes, { length: lengths[i + 1] as number, ...halves(next.bus) }, PAGE_LIST.CONTROL);
    }
  });
  return {
    flags: CONTROL_DATA.INDIRECT,
    ...described((chunks[0] as CoherentMemory).bus, lengths[0] as number),
    free() {
      for (const chunk of chunks) chunk.free();
      scattered.free();
    },
  };
}
