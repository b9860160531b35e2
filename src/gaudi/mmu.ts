/**
 * The MMU on the way to the PCIe host (MMU_UP). Page tables lie in HBM: five hops of 64-bit entries, indexed by bits
 * 49:48, 47:39, 38:30, 29:21 and 20:12 of the address; bit 0 of an entry is PRESENT, bit 11 LAST, which at hop 3 makes a
 * page of 2 MiB. Source: habanalabs include/hw_ip/mmu/mmu_v1_1.h, mmu_general.h, common/mmu/mmu_v1.c.
 */

import { addressMap } from '../../specs/gaudi/address-map.ts';
import { razwiInitiatorId } from '../../specs/gaudi/initiators.ts';
import { ERROR_CAPTURE, mmuUp, SPI } from '../../specs/gaudi/registers/mmu.ts';
import type { Clock } from '../sim/clock.ts';
import { ModelError } from '../sim/errors.ts';
import type { Memory } from '../sim/memory.ts';
import { RegisterBlock } from '../sim/registers.ts';
import type { Track } from '../trace/recorder.ts';
import { BusError, type Initiator } from './bus.ts';
import type { Access } from './faults/points.ts';
import { LARGE_PAGE, SMALL_PAGE, Stlb } from './stlb.ts';

const SHIFTS = [48, 39, 30, 21, 12] as const;
const LARGE_PAGE_HOP = 3;
const LAST_HOP = 4;

const PRESENT = 0x001;
const LAST = 0x800;
const FLAGS = 0xfff;

/** What gaudi_mmu_init sets: five hops, large pages at hop 3. No other value of the register is documented. */
const HOP_CONFIGURATION = 0x3_0440;

export interface MmuPorts {
  readonly clock: Clock;
  /** Where the page tables are: device addresses from 0 on. */
  readonly hbm: Memory;
  /** The interrupt: called when a fault was captured and SPI_MASK lets it through. */
  onFault(cause: 'page-fault'): void;
  /** Whether the page of this access is not found, although it is there. */
  fault?(access: Access): boolean;
  readonly track?: Track | undefined;
}

export class Mmu {
  readonly registers: RegisterBlock<typeof mmuUp.rows>;
  readonly stlb: Stlb;
  readonly #ports: MmuPorts;
  /** Results of `#find`: the page's physical address and size or, when it failed, how much is unmapped alike. */
  #page = 0;
  #size = 0;
  #hole = 0;
  /** The large page's worth of addresses that was walked last in this translation, and its table of small pages. */
  #region = -1;
  #table = 0;
  #cause = 0;

  constructor(ports: MmuPorts) {
    this.#ports = ports;
    this.stlb = new Stlb(ports.clock);
    this.registers = new RegisterBlock(mmuUp, 'MMU_UP', {
      // The memories are there from the start: there is nothing to initialise.
      MEM_INIT_BUSY: { read: () => 0 },
      SPI_CAUSE: { read: () => this.#cause },
      // An edge: nothing is left to clear once it was raised.
      SPI_INTERRUPT_CLR: { write: () => {} },
      SPI_CAUSE_CLR: {
        write: (value) => {
          this.#cause = (this.#cause & ~value) >>> 0;
        },
      },
      MMU_BYPASS: {
        write: (value) => {
          if (value !== 0) {
            throw new ModelError('unimplemented', 'MMU_UP.MMU_BYPASS', `bypass of initiators 0x${value.toString(16)}`);
          }
        },
      },
    });
  }

  enabled(): boolean {
    return (this.registers.get('MMU_ENABLE') & 1) !== 0;
  }

  /**
   * Translates an address.
   * @param length bytes wanted, at least 1
   * @returns the physical address, and how many bytes from there on belong to the range (pages that follow each other
   *   physically are joined)
   * @throws BusError `page-fault`, captured, when the first byte is not mapped
   * @throws ModelError where the tables hold what the driver never writes
   */
  translate(
    who: Initiator,
    virtual: number,
    length: number,
    access: 'read' | 'write',
  ): { address: number; length: number } {
    const asid = who.asid();
    this.#region = -1;
    if (this.#ports.fault?.({ who: who.name, access })) {
      this.#hole = SMALL_PAGE - (virtual % SMALL_PAGE);
      throw this.#pageFault(who, virtual, access);
    }
    if (!this.#find(asid, virtual)) throw this.#pageFault(who, virtual, access);
    const offset = virtual % this.#size;
    const address = this.#page + offset;
    let known = this.#size - offset;
    if (this.#size === SMALL_PAGE && known < length) {
      const pages = Math.ceil((length - known) / SMALL_PAGE);
      known += this.stlb.smallRun(asid, virtual + known, address + known, pages) * SMALL_PAGE;
    }
    while (known < length && this.#find(asid, virtual + known) && this.#page === address + known) known += this.#size;
    return { address, length: Math.min(known, length) };
  }

  /** Whether the byte at an address is mapped; nothing is captured where it is not. @throws ModelError like `translate` */
  maps(who: Initiator, virtual: number): boolean {
    this.#region = -1;
    return this.#find(who.asid(), virtual);
  }

  /**
   * Notes in RAZWI_*_VLD and _ID that an access got zeros or was dropped. The first stays until the driver clears VLD.
   * @returns whether this one was noted
   */
  captureRazwi(who: Initiator, access: 'read' | 'write'): boolean {
    const kind = access === 'read' ? 'READ' : 'WRITE';
    const id = razwiInitiatorId(who.name);
    if (id === undefined || this.registers.get(`RAZWI_${kind}_VLD`) !== 0) return false;
    this.registers.set(`RAZWI_${kind}_VLD`, 1);
    this.registers.set(`RAZWI_${kind}_ID`, id);
    return true;
  }

  busy(): boolean {
    return this.stlb.busy();
  }

  reset(): void {
    this.#cause = 0;
    this.registers.reset();
    this.stlb.reset();
  }

  /** The first fault is captured and raises the interrupt; the next does once the driver has cleared the capture. */
  #pageFault(who: Initiator, virtual: number, access: 'read' | 'write'): BusError {
    this.captureRazwi(who, access);
    this.#ports.track?.instant('page_fault', undefined, { asid: who.asid(), virtual, access, initiator: who.name });
    this.#cause = (this.#cause | SPI.PAGE_FAULT) >>> 0;
    if (this.registers.get('PAGE_ERROR_CAPTURE') === 0) {
      const high = Math.floor(virtual / 2 ** 32) & ERROR_CAPTURE.VA_49_32;
      this.registers.set('PAGE_ERROR_CAPTURE', ERROR_CAPTURE.ENTRY_VALID | high);
      this.registers.set('PAGE_ERROR_CAPTURE_VA', virtual >>> 0);
      if (this.registers.get('SPI_MASK') & SPI.PAGE_FAULT) this.#ports.onFault('page-fault');
    }
    return new BusError('page-fault', access, virtual, who.name, this.#hole);
  }

  /** Finds the page of an address in the cache or the tables. */
  #find(asid: number, virtual: number): boolean {
    const small = this.stlb.small(asid, virtual);
    if (small !== undefined) {
      this.#page = small;
      this.#size = SMALL_PAGE;
      return true;
    }
    if (Math.floor(virtual / LARGE_PAGE) === this.#region) {
      const flags = this.#readEntry(this.#table + (Math.floor(virtual / SMALL_PAGE) % 512) * 8);
      if ((flags & ~LAST) === PRESENT) return this.#found(asid, virtual);
    }
    const large = this.stlb.large(asid, virtual);
    if (large !== undefined) {
      this.#page = large;
      this.#size = LARGE_PAGE;
      return true;
    }
    return this.#walk(asid, virtual);
  }

  #walk(asid: number, virtual: number): boolean {
    if (virtual >= addressMap.ADDRESS_END) {
      this.#hole = SMALL_PAGE;
      return false;
    }
    const configuration = this.stlb.registers.get('HOP_CONFIGURATION');
    if (configuration !== HOP_CONFIGURATION) {
      throw new ModelError(
        'unimplemented',
        'STLB.HOP_CONFIGURATION',
        `translation with 0x${configuration.toString(16)} instead of 0x${HOP_CONFIGURATION.toString(16)}`,
      );
    }
    const table0 = this.stlb.hop0(asid);
    if (table0 === undefined) {
      this.#hole = addressMap.ADDRESS_END - virtual;
      return false;
    }
    let table = table0;
    for (let hop = 0; hop <= LAST_HOP; hop++) {
      const span = 2 ** (SHIFTS[hop] as number);
      const index = Math.floor(virtual / span) % (hop === 0 ? 4 : 512);
      const flags = this.#readEntry(table + index * 8);
      if ((flags & PRESENT) === 0) {
        this.#hole = span - (virtual % span);
        return false;
      }
      const last = (flags & LAST) !== 0;
      if (flags & ~(PRESENT | LAST) || (last && hop < LARGE_PAGE_HOP)) {
        throw new ModelError(
          'undefined',
          'MMU_UP',
          `page-table entry of hop ${hop} for 0x${virtual.toString(16)} has flags 0x${flags.toString(16)}`,
        );
      }
      if (hop === LARGE_PAGE_HOP && last) {
        if (this.#page % LARGE_PAGE !== 0) {
          throw new ModelError('undefined', 'MMU_UP', `2 MiB page at 0x${this.#page.toString(16)}`);
        }
        this.#size = LARGE_PAGE;
        this.stlb.insertLarge(asid, virtual, this.#page);
        this.#tell(asid, virtual, hop);
        return true;
      }
      if (hop < LAST_HOP) this.#table = this.#page;
      table = this.#page;
    }
    this.#region = Math.floor(virtual / LARGE_PAGE);
    this.#tell(asid, virtual, LAST_HOP);
    return this.#found(asid, virtual);
  }

  /** The page was found in the table of a hop. */
  #tell(asid: number, virtual: number, hop: number): void {
    const page = hop === LAST_HOP ? SMALL_PAGE : LARGE_PAGE;
    this.#ports.track?.instant('page_walk', undefined, { asid, virtual, physical: this.#page, page, hops: hop + 1 }, 0);
  }

  /** A small page, at `#page`. */
  #found(asid: number, virtual: number): true {
    this.#size = SMALL_PAGE;
    this.stlb.insertSmall(asid, virtual, this.#page);
    return true;
  }

  /** Reads an entry: its address into `#page`. @returns its flags */
  #readEntry(address: number): number {
    const { hbm } = this.#ports;
    if (address + 8 > hbm.size) {
      throw new ModelError('unimplemented', 'MMU_UP', `page table outside HBM, at 0x${address.toString(16)}`);
    }
    const low = hbm.words[address / 4] as number;
    const high = hbm.words[address / 4 + 1] as number;
    this.#page = high * 2 ** 32 + ((low & ~FLAGS) >>> 0);
    return low & FLAGS;
  }
}
