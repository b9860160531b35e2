/**
 * The card's MMU: page tables in HBM, written through the BAR, five levels, pages of 4 KiB and 2 MiB.
 * Source: common/mmu/mmu_v1.c (hl_mmu_v1_map, hl_mmu_v1_unmap), common/mmu/mmu.c, gaudi.c (gaudi_mmu_init,
 * gaudi_mmu_invalidate_cache, gaudi_write_pte), include/hw_ip/mmu/mmu_v1_1.h.
 */

import { mmuUp } from '../../../specs/gaudi/registers/mmu.ts';
import { BUSY, stlb } from '../../../specs/gaudi/registers/stlb.ts';
import type { Steps } from '../../sim/process.ts';
import { type Kernel, MS, Mutex, poll } from './kernel.ts';
import type { PciDevice } from './pci.ts';
import { register } from './registers.ts';

/** gaudiP.h: MMU_PAGE_TABLES_ADDR, MMU_PAGE_TABLES_SIZE, MMU_CACHE_MNG_ADDR, MMU_CACHE_MNG_SIZE. */
export const PAGE_TABLES = { ADDRESS: 0x1000_0000, SIZE: 0xbf0_0000 } as const;
export const CACHE_MANAGEMENT = { ADDRESS: PAGE_TABLES.ADDRESS + PAGE_TABLES.SIZE, SIZE: 0x10_0000 } as const;
/** gaudi.h, MAX_ASID: the driver's own and the program's. */
const ADDRESS_SPACES = 2;
const TABLE = 0x1000;
const ENTRIES = 512;
/** Bits of an address below the index of each level (mmu_v1_1.h). */
const SHIFTS = [48, 39, 30, 21, 12] as const;
const PTE = { PRESENT: 1, LAST: 0x800 } as const;
/** habanalabs.h, MMU_CONFIG_TIMEOUT_USEC. */
const TIMEOUT = 2 * MS;

const stlbAt = (row: keyof typeof stlb.rows) => register('STLB', stlb.rows[row]);
const mmuAt = (row: keyof typeof mmuUp.rows) => register('MMU_UP', mmuUp.rows[row]);
export const MMU_REGISTERS = {
  PAGE_ERROR: mmuAt('PAGE_ERROR_CAPTURE'),
  PAGE_ERROR_VA: mmuAt('PAGE_ERROR_CAPTURE_VA'),
  ACCESS_ERROR: mmuAt('ACCESS_ERROR_CAPTURE'),
  ACCESS_ERROR_VA: mmuAt('ACCESS_ERROR_CAPTURE_VA'),
  RAZWI_WRITE_VLD: mmuAt('RAZWI_WRITE_VLD'),
  RAZWI_WRITE_ID: mmuAt('RAZWI_WRITE_ID'),
  RAZWI_READ_VLD: mmuAt('RAZWI_READ_VLD'),
  RAZWI_READ_ID: mmuAt('RAZWI_READ_ID'),
} as const;

/** A table as the driver remembers it: what it has written, so that it need not read the card. */
interface Table {
  readonly address: number;
  /** Tables of the next level, by index. */
  readonly next: Map<number, Table>;
  /** Indices of pages. */
  readonly pages: Set<number>;
}

export class Mmu {
  /** mmu_lock. */
  readonly #lock = new Mutex();
  readonly #kernel: Kernel;
  readonly #card: PciDevice;
  readonly #free: number[] = [];
  #nextTable = 0;
  #root: Table = { address: 0, next: new Map(), pages: new Set() };
  /** The table of small pages that was used last, and which huge page's worth of addresses it is for. */
  #recent: { readonly region: number; readonly table: Table } | undefined;
  #invalidations = 1;
  #enabled = false;
  readonly #entry = new DataView(new ArrayBuffer(8));
  readonly #entryBytes = new Uint8Array(this.#entry.buffer);

  constructor(kernel: Kernel, card: PciDevice) {
    this.#kernel = kernel;
    this.#card = card;
  }

  /** gaudi_mmu_init. @throws Error when the chip does not take the tables */
  *init(): Steps {
    const card = this.#card;
    for (let asid = 0; asid < ADDRESS_SPACES; asid++) {
      const table = PAGE_TABLES.ADDRESS + asid * TABLE;
      card.write(stlbAt('ASID'), asid);
      card.write(stlbAt('HOP0_PA43_12'), Math.floor(table / 2 ** 12));
      card.write(stlbAt('HOP0_PA49_44'), Math.floor(table / 2 ** 44));
      card.write(stlbAt('BUSY'), BUSY.BUSY);
      const done = () => (card.read(stlbAt('BUSY')) & BUSY.BUSY) === 0;
      if (!(yield* poll(this.#kernel, done, TIMEOUT))) throw new Error(`failed to set hop0 addr for asid ${asid}`);
    }
    card.write(stlbAt('CACHE_INV_BASE_39_8'), Math.floor(CACHE_MANAGEMENT.ADDRESS / 2 ** 8));
    card.write(stlbAt('CACHE_INV_BASE_49_40'), Math.floor(CACHE_MANAGEMENT.ADDRESS / 2 ** 40));
    card.write(stlbAt('MEM_CACHE_INVALIDATION'), 1);
    card.write(mmuAt('MMU_ENABLE'), 1);
    card.write(mmuAt('SPI_MASK'), 0xf);
    card.write(stlbAt('HOP_CONFIGURATION'), 0x3_0440);
    this.#invalidations = 1;
    this.#enabled = true;
    this.forget();
  }

  /** The chip is reset: nothing is written or asked until `init`. */
  stop(): void {
    this.#enabled = false;
  }

  /** Begins with empty tables: those on the card have been cleared. */
  forget(): void {
    this.#free.length = 0;
    this.#nextTable = PAGE_TABLES.ADDRESS + ADDRESS_SPACES * TABLE;
    this.#root = { address: PAGE_TABLES.ADDRESS + TABLE, next: new Map(), pages: new Set() };
    this.#recent = undefined;
  }

  /** Maps one page of the program's address space. @param physical device address. @returns false when tables run out */
  map(virtual: number, physical: number, huge: boolean): boolean {
    const last = huge ? 3 : 4;
    const table = this.#tableFor(virtual, last);
    if (!table) return false;
    const index = indexAt(virtual, last);
    if (table.pages.has(index)) throw new Error(`mapping already exists for virt_addr 0x${virtual.toString(16)}`);
    table.pages.add(index);
    this.#write(table, index, physical + PTE.LAST + PTE.PRESENT);
    return true;
  }

  unmap(virtual: number, huge: boolean): void {
    const last = huge ? 3 : 4;
    const recent = this.#recent;
    if (recent && !huge && recent.table.pages.size > 1 && recent.region === regionOf(virtual)) {
      const index = indexAt(virtual, last);
      if (recent.table.pages.delete(index)) {
        this.#write(recent.table, index, 0);
        return;
      }
    }
    const path: Table[] = [this.#root];
    for (let level = 0; level < last; level++) {
      const next = (path[level] as Table).next.get(indexAt(virtual, level));
      if (!next) throw new Error(`no mapping of virt_addr 0x${virtual.toString(16)}`);
      path.push(next);
    }
    const table = path[last] as Table;
    table.pages.delete(indexAt(virtual, last));
    this.#write(table, indexAt(virtual, last), 0);
    this.#recent = !huge && table.pages.size > 0 ? { region: regionOf(virtual), table } : undefined;
    // tables that have become empty are given back, the first stays
    for (let level = last; level > 0; level--) {
      const empty = path[level] as Table;
      if (empty.pages.size > 0 || empty.next.size > 0) break;
      const above = path[level - 1] as Table;
      above.next.delete(indexAt(virtual, level - 1));
      this.#write(above, indexAt(virtual, level - 1), 0);
      this.#free.push(empty.address);
    }
  }

  /**
   * hl_mmu_v1_get_tlb_info: what the card's tables say of an address of the program.
   * @returns each level's table, the address of its entry, and that; undefined where it is not mapped
   */
  walk(virtual: number): { readonly table: number; readonly at: number; readonly entry: bigint }[] | undefined {
    const hops: { table: number; at: number; entry: bigint }[] = [];
    for (let table: Table | undefined = this.#root, level = 0; table; level++) {
      const index = indexAt(virtual, level);
      const at = table.address + index * 8;
      this.#card.readMemory(at, this.#entryBytes);
      hops.push({ table: table.address, at, entry: this.#entry.getBigUint64(0, true) });
      if (table.pages.has(index)) return hops;
      table = table.next.get(index);
    }
    return undefined;
  }

  /** gaudi_mmu_invalidate_cache: the chip forgets translations. */
  *invalidate(): Steps {
    yield* this.#lock.hold(this.#invalidate());
  }

  *#invalidate(): Steps {
    if (!this.#enabled) return;
    const card = this.#card;
    card.write(stlbAt('INV_PS'), 3);
    card.write(stlbAt('CACHE_INV'), this.#invalidations);
    this.#invalidations = (this.#invalidations + 1) % 256;
    card.write(stlbAt('INV_PS'), 2);
    const done = yield* poll(this.#kernel, () => card.read(stlbAt('INV_PS')) === 0, TIMEOUT);
    card.write(stlbAt('INV_SET'), 0);
    if (!done) throw new Error('the MMU does not invalidate its caches');
  }

  /** The table of a level for an address, made with those above it where they are missing; undefined when tables run out. */
  #tableFor(virtual: number, last: number): Table | undefined {
    const recent = this.#recent;
    if (recent && last === 4 && recent.region === regionOf(virtual)) return recent.table;
    let table = this.#root;
    for (let level = 0; level < last; level++) {
      const index = indexAt(virtual, level);
      let next = table.next.get(index);
      if (!next) {
        next = this.#allocate();
        if (!next) return undefined;
        table.next.set(index, next);
        this.#write(table, index, next.address + PTE.PRESENT);
      }
      table = next;
    }
    if (last === 4) this.#recent = { region: regionOf(virtual), table };
    return table;
  }

  #allocate(): Table | undefined {
    let address = this.#free.pop();
    if (address === undefined) {
      if (this.#nextTable + TABLE > PAGE_TABLES.ADDRESS + PAGE_TABLES.SIZE) return undefined;
      address = this.#nextTable;
      this.#nextTable += TABLE;
    }
    return { address, next: new Map(), pages: new Set() };
  }

  #write(table: Table, index: number, value: number): void {
    if (!this.#enabled) return;
    this.#entry.setUint32(0, value % 2 ** 32, true);
    this.#entry.setUint32(4, Math.floor(value / 2 ** 32), true);
    this.#card.writeMemory(table.address + index * 8, this.#entryBytes);
  }
}

function regionOf(virtual: number): number {
  return Math.floor(virtual / 2 ** (SHIFTS[3] as number));
}

function indexAt(virtual: number, level: number): number {
  return Math.floor(virtual / 2 ** (SHIFTS[level] as number)) % ENTRIES;
}
