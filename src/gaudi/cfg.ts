/**
 * Configuration space: 64 MiB of registers in blocks. Finds the block of an address, and keeps account of what was
 * accessed. Whoever accesses gets an answer: what the model does not know is recorded as an error, a read gives 0 and a
 * write is lost, which is what the chip does with an access that nothing accepts (gaudi_security.c: "RAZWI", read as
 * zero, write ignored).
 */

import { type ErrorLog, ModelError } from '../sim/errors.ts';
import type { RegisterUse } from '../sim/registers.ts';

/** What the space needs of a block of registers, whatever its rows are: a `RegisterBlock` is one. */
export interface Registers {
  readonly spec: { readonly size: number; readonly words: readonly unknown[] };
  readonly words: Uint32Array;
  read32(offset: number): number;
  write32(offset: number, value: number): void;
  nameAt(offset: number): string;
  uses(): readonly RegisterUse[];
  reset(): void;
}

/** A block as it is placed. */
export interface PlacedBlock {
  readonly block: Registers;
  /** Resets the block and what it controls. Default: the block's registers. */
  readonly reset?: () => void;
}

export interface Placement {
  readonly name: string;
  /** Offset in configuration space, a multiple of 4096. */
  readonly base: number;
  /** Bytes. */
  readonly size: number;
  /** Makes the registers; called when the block is first accessed. */
  readonly make: () => PlacedBlock;
  /** Makes the registers that each 4 KiB has besides, `page` bytes after `base`. */
  readonly makeCommon?: (page: number) => Registers;
}

interface Page {
  readonly placement: Placement;
  /** Bytes from the block's base. */
  readonly offset: number;
  /** Once it was accessed. */
  placed: PlacedBlock | undefined;
  common: Registers | undefined;
}

const PAGE_SHIFT = 12;
const PAGE_SIZE = 1 << PAGE_SHIFT;

export class ConfigurationSpace {
  readonly #errors: ErrorLog;
  readonly #pages: (Page | undefined)[];
  readonly #blocks = new Map<Placement, PlacedBlock>();
  readonly #byName = new Map<string, Placement>();
  #at = 0;
  /** Answers while the chip is held in reset, and instead of the blocks. */
  held = false;

  /** @param size bytes */
  constructor(size: number, errors: ErrorLog) {
    this.#errors = errors;
    this.#pages = new Array(size >>> PAGE_SHIFT).fill(undefined);
  }

  place(placement: Placement): void {
    this.#byName.set(placement.name, placement);
    for (let offset = 0; offset < placement.size; offset += PAGE_SIZE) {
      const page = (placement.base + offset) >>> PAGE_SHIFT;
      if (this.#pages[page]) throw new Error(`${placement.name}: overlaps ${this.#pages[page]?.placement.name}`);
      this.#pages[page] = { placement, offset, placed: undefined, common: undefined };
    }
  }

  /** Reads a register with its side effects. @param offset bytes from CFG_BASE, a multiple of 4 */
  read32(offset: number): number {
    if (this.held) return 0xffff_ffff;
    let value = 0;
    try {
      value = this.#locate(offset).read32(this.#at);
    } catch (error) {
      this.#report(error);
    }
    return value;
  }

  /** Writes a register with its side effects. @param offset bytes from CFG_BASE, a multiple of 4 */
  write32(offset: number, value: number): void {
    if (this.held) return;
    try {
      this.#locate(offset).write32(this.#at, value);
    } catch (error) {
      this.#report(error);
    }
  }

  /** The stored word, without side effects and without account; 0 where there is none. */
  stored32(offset: number): number {
    const page = this.#pages[offset >>> PAGE_SHIFT];
    if (!page) return 0;
    return this.#locate(offset).words[this.#at >>> 2] ?? 0;
  }

  /** What the hardware itself leaves in a register: no access, and without side effects. */
  store32(offset: number, value: number): void {
    this.#locate(offset).words[this.#at >>> 2] = value;
  }

  /** Registers of a block by its name; makes them. @throws Error for a name that was not placed */
  block(name: string): Registers {
    const placement = this.#byName.get(name);
    if (!placement) throw new Error(`no block ${name}`);
    return this.#placed(placement).block;
  }

  /** Registers of a block by its name, or undefined while nobody has accessed them. */
  accessed(name: string): Registers | undefined {
    const placement = this.#byName.get(name);
    return placement && this.#blocks.get(placement)?.block;
  }

  /** Offset of a block, or undefined where there is none of this name. */
  baseOf(name: string): number | undefined {
    return this.#byName.get(name)?.base;
  }

  /** Whether a register is known at `offset`. */
  has(offset: number): boolean {
    if (!this.#pages[offset >>> PAGE_SHIFT]) return false;
    return this.#locate(offset).spec.words[this.#at >>> 2] !== undefined;
  }

  nameAt(offset: number): string {
    if (!this.#pages[offset >>> PAGE_SHIFT]) return `CFG+0x${offset.toString(16)}`;
    return this.#locate(offset).nameAt(this.#at);
  }

  /** As `nameAt`, also where no register is known. */
  describe(offset: number): string {
    try {
      return this.nameAt(offset);
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      return error.where;
    }
  }

  /** Registers of the blocks whose names `which` accepts go back to their reset values. */
  reset(which: (name: string) => boolean = () => true): void {
    for (const [placement, { block, reset }] of this.#blocks) {
      if (!which(placement.name)) continue;
      if (reset) reset();
      else block.reset();
    }
    for (const page of this.#pages) if (page?.common && which(page.placement.name)) page.common.reset();
  }

  /** Registers accessed so far, in order of address. */
  uses(): RegisterUse[] {
    const all: RegisterUse[] = [];
    for (const placement of [...this.#byName.values()].sort((a, b) => a.base - b.base)) {
      const placed = this.#blocks.get(placement);
      if (placed) all.push(...placed.block.uses());
      for (let at = 0; at < placement.size; at += PAGE_SIZE) {
        const page = this.#pages[(placement.base + at) >>> PAGE_SHIFT];
        if (page?.common) all.push(...page.common.uses());
      }
    }
    return all;
  }

  /** The block that answers at `offset`; where in it is left in `#at` (this is in the way of every access). */
  #locate(offset: number): Registers {
    const page = this.#pages[offset >>> PAGE_SHIFT];
    if (!page) throw new ModelError('unsupported', `CFG+0x${offset.toString(16)}`, 'no block answers at this address');
    const { placement } = page;
    page.placed ??= this.#placed(placement);
    const { block } = page.placed;
    const inPage = offset & (PAGE_SIZE - 1);
    const at = page.offset + inPage;
    this.#at = at;
    if (at < block.spec.size && block.spec.words[at >>> 2]) return block;
    if (placement.makeCommon) {
      page.common ??= placement.makeCommon(page.offset);
      if (page.common.spec.words[inPage >>> 2]) {
        this.#at = inPage;
        return page.common;
      }
    }
    if (at < block.spec.size) return block;
    throw new ModelError('unimplemented', `${placement.name}+0x${at.toString(16)}`, 'access of an unknown register');
  }

  #placed(placement: Placement): PlacedBlock {
    let placed = this.#blocks.get(placement);
    if (!placed) {
      placed = placement.make();
      this.#blocks.set(placement, placed);
    }
    return placed;
  }

  #report(error: unknown): void {
    if (!(error instanceof ModelError)) throw error;
    this.#errors.report(error);
  }
}
