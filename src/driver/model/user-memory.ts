/**
 * Memory of the program in the card's address space. Source: common/memory.c (map_device_va, unmap_device_va,
 * hl_pin_host_memory, init_phys_pg_pack_from_userptr).
 */

import { addressMap } from '../../../specs/gaudi/address-map.ts';
import type { Steps } from '../../sim/process.ts';
import type { hl_mem_in } from '../../uapi/habanalabs/memory.ts';
import { memoryFlags } from '../../uapi/habanalabs/memory.ts';
import type { Decoded } from '../../uapi/struct.ts';
import { negative, refuse } from './errno.ts';
import { HUGE_PAGE, PAGE, type Pinned } from './host-memory.ts';
import type { Kernel } from './kernel.ts';
import type { Mmu } from './mmu.ts';
import { USER } from './parser.ts';
import { VaRange } from './va-range.ts';

const { HOST_BASE } = addressMap;
const PAGES_IN_HUGE = HUGE_PAGE / PAGE;
/** Where addresses of programs end (include/asm/processor.h, TASK_SIZE_MAX with four levels). */
const PROGRAM_END = 0x7fff_ffff_f000n;

export interface UserMapping {
  readonly pinned: Pinned;
  /** Where the program has it, and its number. */
  readonly address: bigint;
  readonly pid: number;
  /** First address that is mapped, bytes, and whether by huge pages. */
  readonly virtual: number;
  readonly total: number;
  readonly huge: boolean;
  /** As the program asked. */
  readonly size: bigint;
}

export class UserMemory {
  readonly kernel: Kernel;
  readonly #mmu: Mmu;
  readonly #log: (text: string) => void;
  /** Gaudi has no range of its own for huge pages (pmmu_huge_range is off). */
  readonly #range: VaRange;
  readonly #mappings = new Map<number, UserMapping>();

  constructor(kernel: Kernel, mmu: Mmu, log: (text: string) => void) {
    this.kernel = kernel;
    this.#mmu = mmu;
    this.#log = log;
    const [start, end] = [Number(USER.VIRTUAL), Number(USER.VIRTUAL_END) - 1];
    this.#range = new VaRange(start, end, PAGE, log);
  }

  /** Mappings as HL_INFO_USER_MAPPINGS tells them. */
  list(): { readonly dev_va: bigint; readonly size: bigint }[] {
    return [...this.#mappings].map(([address, { size }]) => ({ dev_va: BigInt(address), size }));
  }

  /** By device address, in the order in which they were made. */
  get mappings(): ReadonlyMap<number, UserMapping> {
    return this.#mappings;
  }

  /** Blocks of addresses that are free. */
  get free(): readonly { readonly start: number; readonly end: number }[] {
    return this.#range.blocks;
  }

  /** Addresses that the driver keeps for itself (hl_reserve_va_block). */
  reserve(size: number): number {
    const address = this.#range.take({ size, hint: 0, force: false, align: PAGE });
    if (address === undefined) refuse('ENOMEM');
    return address;
  }

  /** HL_MEM_OP_MAP. @returns the device address. @throws SystemError */
  *map(input: Decoded<typeof hl_mem_in>): Steps<number> {
    const { host_virt_addr: address, mem_size: size, hint_addr: hint } = input.map_host;
    if ((input.flags & memoryFlags.HL_MEM_USERPTR.value) === 0) {
      this.#log(`no match for handle ${input.map_device.handle & 0xffff_ffffn}`);
      refuse('EINVAL');
    }
    const pinned = this.#pin(address, size);
    const offset = Number(address % BigInt(PAGE));
    const huge = offset === 0 && isHuge(pinned.pages);
    const total = pinned.pages.length * PAGE;
    const force = (input.flags & memoryFlags.HL_MEM_FORCE_HINT.value) !== 0;
    if (hint !== 0n && offset !== 0 && force) {
      this.#log(
        `Hint address 0x${hint.toString(16)} cannot be respected because source memory is not aligned 0x${offset.toString(16)}`,
      );
      pinned.unpin();
      refuse('EINVAL');
    }
    // memory that begins at a huge page gets an address that does
    const align = huge || address % BigInt(HUGE_PAGE) === 0n ? HUGE_PAGE : PAGE;
    // The driver follows a hint so near the end of 64 bits that it wraps; then the mapping fails, and with it, otherwise
    // than here, later ones of the context: its list of free addresses is spoilt (docs/findings/0010).
    if (hint % BigInt(align) === 0n && hint + BigInt(total) >= 2n ** 64n) {
      this.#log('no available va block for handle 0');
      pinned.unpin();
      refuse('ENOMEM');
    }
    // what begins a page is a number exactly; what does not is no hint that can be followed
    const wished = hint < 2n ** 53n || hint % BigInt(PAGE) === 0n ? Number(hint) : Number.MAX_SAFE_INTEGER;
    const virtual = this.#range.take({ size: total, hint: wished, force, align });
    if (virtual === undefined) {
      this.#log('no available va block for handle 0');
      pinned.unpin();
      refuse('ENOMEM');
    }
    const whose = { address, pid: this.kernel.current.pid };
    const step = huge ? HUGE_PAGE : PAGE;
    for (let at = 0; at < total; at += step) {
      const page = pinned.pages[at / PAGE] as number;
      if (this.#mmu.map(virtual + at, page + HOST_BASE, huge)) continue;
      for (let back = 0; back < at; back += step) this.#mmu.unmap(virtual + back, huge);
      this.#log('mapping page pack failed (-12) for handle 0');
      this.#range.give(virtual, total);
      pinned.unpin();
      refuse('ENOMEM');
    }
    yield* this.#mmu.invalidate();
    this.#mappings.set(virtual + offset, { pinned, ...whose, virtual, total, huge, size });
    return virtual + offset;
  }

  /** HL_MEM_OP_UNMAP. @throws SystemError EINVAL */
  *unmap(address: bigint): Steps {
    const mapping = address < 2n ** 53n ? this.#mappings.get(Number(address)) : undefined;
    if (!mapping) {
      this.#log(`unmap failed, no mem hnode for vaddr 0x${address.toString(16)}`);
      refuse('EINVAL');
    }
    this.#mappings.delete(Number(address));
    this.#clear(mapping);
    yield* this.#mmu.invalidate();
    this.#range.give(mapping.virtual, mapping.total);
    mapping.pinned.unpin();
  }

  /** hl_vm_ctx_fini: the context ends. */
  *release(): Steps {
    const mappings = [...this.#mappings.values()];
    this.#mappings.clear();
    for (const mapping of mappings) this.#clear(mapping);
    yield* this.#mmu.invalidate();
    for (const { pinned, virtual } of mappings) {
      this.kernel.memoryTrack?.instant('memory', 'unmap', { space: 'host', virtual });
      pinned.unpin();
    }
  }

  #clear({ virtual, total, huge }: UserMapping): void {
    for (let at = 0; at < total; at += huge ? HUGE_PAGE : PAGE) this.#mmu.unmap(virtual + at, huge);
  }

  #pin(address: bigint, size: bigint): Pinned {
    if (size === 0n) {
      this.#log('size to pin is invalid - 0');
      refuse('EINVAL');
    }
    const wrap = 2n ** 64n;
    const unit = BigInt(PAGE);
    const end = address + size;
    if (end >= wrap || ((end + unit - 1n) / unit) * unit >= wrap) {
      this.#log(`user pointer 0x${address.toString(16)} + ${size} causes integer overflow`);
      refuse('EINVAL');
    }
    const first = address - (address % unit);
    // not in 32 bits, as the driver counts, for which 16 TiB have no pages (docs/findings/0004)
    const count = Number((end - first + unit - 1n) / unit);
    if (end > PROGRAM_END) {
      this.#log(`user pointer is invalid - 0x${address.toString(16)}`);
      this.#log(`failed to get user memory for address 0x${address.toString(16)}`);
      refuse('EFAULT');
    }
    const { program } = this.kernel;
    const pinned = program.pin(first, count);
    if (pinned) return pinned;
    // pages that are there are pinned and let go again; without any the fault itself is the answer
    let found = 0;
    for (let page = program.pin(first, 1); page; page = program.pin(first + BigInt(found * PAGE), 1)) {
      page.unpin();
      found++;
    }
    this.#log(
      `Failed (${found || negative('EFAULT')}) to pin host memory with user ptr 0x${address.toString(16)}, size 0x${size.toString(16)}, npages ${count}`,
    );
    this.#log(`failed to get user memory for address 0x${address.toString(16)}`);
    refuse(found > 0 ? 'ENOMEM' : 'EFAULT');
  }
}

/** Huge pages are used where all runs that are contiguous on the bus are made of whole ones. */
function isHuge(pages: readonly number[]): boolean {
  for (let i = 0; i < pages.length; ) {
    let end = i + 1;
    while (end < pages.length && pages[end] === (pages[end - 1] as number) + PAGE) end++;
    if ((end - i) % PAGES_IN_HUGE !== 0 || (pages[i] as number) % HUGE_PAGE !== 0) return false;
    i = end;
  }
  return true;
}
