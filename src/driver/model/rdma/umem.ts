/**
 * Memory that a NIC shall reach: of a program, or a dma-buf of another device, as pieces on the bus, cut into blocks of one
 * size. Source: core/umem.c, core/umem_dmabuf.c, core/verbs.c (__rdma_block_iter_next).
 */

import type { Importer, Segment } from '../dmabuf.ts';
import { refuse } from '../errno.ts';
import { PAGE } from '../host-memory.ts';
import { isDmaBuf } from '../importer.ts';
import type { Kernel } from '../kernel.ts';

const WORD = 2n ** 64n;
const PAGE_BITS = BigInt(PAGE);
const UINT_MAX = 2 ** 32 - 1;

export interface UserMemory {
  /** Bytes before the memory in its first page. */
  readonly offset: number;
  readonly length: bigint;
  /** Whole pages, from that in which it begins to that in which it ends; pieces that follow each other are one. */
  readonly pieces: readonly Segment[];
  release(): void;
}

/** Pages from that of `address` to that of the last byte, as ib_umem_num_pages counts them. */
function pageCount(address: bigint, length: bigint): bigint {
  const end = (address + length + PAGE_BITS - 1n) / PAGE_BITS;
  return end - address / PAGE_BITS;
}

/** ib_umem_get_va. @throws SystemError EINVAL, EFAULT */
export function pinUserMemory(kernel: Kernel, address: bigint, length: bigint): UserMemory {
  const end = address + length;
  if (end >= WORD || ((end + PAGE_BITS - 1n) / PAGE_BITS) * PAGE_BITS >= WORD) refuse('EINVAL');
  const count = pageCount(address, length);
  if (count === 0n || count > UINT_MAX) refuse('EINVAL');
  const pinned = kernel.program.pin(address - (address % PAGE_BITS), Number(count));
  if (!pinned) refuse('EFAULT');
  const pieces: { address: number; length: number }[] = [];
  for (const page of pinned.pages) {
    const last = pieces.at(-1);
    if (last && last.address + last.length === page) last.length += PAGE;
    else pieces.push({ address: page, length: PAGE });
  }
  return { offset: Number(address % PAGE_BITS), length, pieces, release: () => pinned.unpin() };
}

/** ib_umem_dmabuf_get_pinned. @throws SystemError EINVAL, EBADF, and what its exporter refuses with */
export function pinDmaBuf(kernel: Kernel, importer: Importer, offset: bigint, length: bigint, fd: number): UserMemory {
  const end = offset + length;
  if (end >= WORD) refuse('EINVAL');
  const file = kernel.current.files.find(fd);
  if (!file) refuse('EBADF');
  if (!isDmaBuf(file) || BigInt(file.operations.size) < end) refuse('EINVAL');
  // pages are counted as if it began with one
  if (pageCount(0n, length) === 0n) refuse('EINVAL');
  const segments = file.operations.attach(importer, true).map();
  file.get();
  const first = Math.floor(Number(offset) / PAGE) * PAGE;
  const last = Math.ceil(Number(end) / PAGE) * PAGE;
  const pieces: Segment[] = [];
  let at = 0;
  for (const segment of segments) {
    const from = Math.max(first, at);
    const to = Math.min(last, at + segment.length);
    if (from < to) pieces.push({ address: segment.address + from - at, length: to - from });
    at += segment.length;
  }
  return { offset: Number(offset % PAGE_BITS), length, pieces, release: () => file.put() };
}

/** ib_umem_is_contiguous. */
export function isContiguous({ pieces }: UserMemory): boolean {
  return pieces.every(({ address }, i) => {
    const before = pieces[i - 1];
    return !before || before.address + before.length === address;
  });
}

/**
 * ib_umem_find_best_pgsz: the largest of the sizes in which addresses of the program and of the bus agree.
 * @param sizes one bit each @param virtual address by which the memory is known @returns undefined where none does
 */
export function bestPageSize(memory: UserMemory, sizes: bigint, virtual: bigint): number | undefined {
  const lastVirtual = BigInt.asUintN(64, memory.length - 1n) + virtual;
  if (lastVirtual >= WORD) return undefined;
  // The size that needs the fewest blocks: nothing is gained by one above the bits that change over the whole memory.
  const bits = BigInt(bitLength(virtual ^ lastVirtual));
  let mask = bits < 64n ? (sizes >> bits) << bits : 0n;
  let va = virtual;
  let before = BigInt(memory.offset);
  let expected: number | undefined;
  for (const { address, length } of memory.pieces) {
    if (address !== expected) {
      mask |= (BigInt(address) + before) ^ va;
      // a new page must begin where memory that is elsewhere on the bus begins
      if (expected !== undefined) mask |= va;
    }
    expected = address + length;
    va += BigInt(length) - before;
    before = 0n;
  }
  let left = sizes;
  if (mask !== 0n) left &= ((mask & -mask) << 1n) - 1n;
  return left === 0n ? undefined : Number(1n << BigInt(bitLength(left) - 1));
}

function bitLength(value: bigint): number {
  return value < 2n ? 1 : value.toString(2).length;
}

/** Bus addresses of its blocks (rdma_umem_for_each_dma_block). @param size of a block, as `bestPageSize` gave it */
export function blocks(memory: UserMemory, size: number, virtual: bigint): BigUint64Array {
  const unit = BigInt(size);
  const count = Number((virtual + memory.length + unit - 1n) / unit - virtual / unit);
  const list = new BigUint64Array(count);
  const skip = Number(virtual % unit);
  let piece = 0;
  let start = 0;
  for (let i = 0; i < count; i++) {
    // offset of the block from the page in which the memory begins
    const at = i === 0 ? memory.offset : i * size - skip + memory.offset;
    while (at >= start + (memory.pieces[piece] as Segment).length) {
      start += (memory.pieces[piece] as Segment).length;
      piece++;
    }
    const address = (memory.pieces[piece] as Segment).address + at - start;
    list[i] = BigInt(address - (address % size));
  }
  return list;
}

/** Bus address of its first byte (ib_umem_start_dma_addr). */
export function startOf({ pieces, offset }: UserMemory): number {
  return (pieces[0]?.address ?? 0) + offset;
}
