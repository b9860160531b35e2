/**
 * Range protection: registers of the routers name address ranges that only secure initiators may access (gaudi_security.c,
 * gaudi_init_range_registers_lbw and _hbw). Others read zero there, and what they write is ignored.
 */

import { addressMap } from '../../specs/gaudi/address-map.ts';
import { type Ports, portsOf } from '../../specs/gaudi/initiators.ts';
import { dmaIf } from '../../specs/gaudi/registers/dma-if.ts';
import { lbwRouter, routerCtrl } from '../../specs/gaudi/registers/router.ts';
import type { RegisterRow } from '../sim/registers.ts';

type Access = 'read' | 'write';

const { rows: r } = lbwRouter;
const { rows: i } = dmaIf;
const { rows: c } = routerCtrl;

/** Index of a register's first word in its block. */
function word({ offset }: RegisterRow): number {
  return offset / 4;
}

function between(enable: RegisterRow, before: RegisterRow, after: RegisterRow) {
  return { enable: word(enable), before: word(before), after: word(after) };
}

/** Message ranges: enable bits, offsets before the first and after the last byte. */
const messageRanges = {
  LBW_RANGE: {
    read: between(r.LBW_RANGE_PROT_HIT_AR, r.LBW_RANGE_PROT_MIN_AR, r.LBW_RANGE_PROT_MAX_AR),
    write: between(r.LBW_RANGE_PROT_HIT_AW, r.LBW_RANGE_PROT_MIN_AW, r.LBW_RANGE_PROT_MAX_AW),
  },
  SOB: {
    read: between(i.SOB_HIT_RPROT, i.SOB_MIN_RPROT, i.SOB_MAX_RPROT),
    write: between(i.SOB_HIT_WPROT, i.SOB_MIN_WPROT, i.SOB_MAX_WPROT),
  },
  DMA0: {
    read: between(i.DMA0_HIT_RPROT, i.DMA0_MIN_RPROT, i.DMA0_MAX_RPROT),
    write: between(i.DMA0_HIT_WPROT, i.DMA0_MIN_WPROT, i.DMA0_MAX_WPROT),
  },
  DMA1: {
    read: between(i.DMA1_HIT_RPROT, i.DMA1_MIN_RPROT, i.DMA1_MAX_RPROT),
    write: between(i.DMA1_HIT_WPROT, i.DMA1_MIN_WPROT, i.DMA1_MAX_WPROT),
  },
};

/** Data ranges: enable bits, and base and mask of the address. */
const dataRanges = {
  read: {
    enable: word(c.RANGE_SEC_HIT_AR),
    baseLow: word(c.RANGE_SEC_BASE_LOW_AR),
    baseHigh: word(c.RANGE_SEC_BASE_HIGH_AR),
    maskLow: word(c.RANGE_SEC_MASK_LOW_AR),
    maskHigh: word(c.RANGE_SEC_MASK_HIGH_AR),
  },
  write: {
    enable: word(c.RANGE_SEC_HIT_AW),
    baseLow: word(c.RANGE_SEC_BASE_LOW_AW),
    baseHigh: word(c.RANGE_SEC_BASE_HIGH_AW),
    maskLow: word(c.RANGE_SEC_MASK_LOW_AW),
    maskHigh: word(c.RANGE_SEC_MASK_HIGH_AW),
  },
};

const RANGES = 16;
/** Address bits that data ranges compare. */
const ADDRESS = 2 ** 50;
const MASK_HIGH = 0x3_ffff;
const { CFG_BASE } = addressMap;

export class RangeProtection {
  readonly #words: (block: string) => Uint32Array | undefined;
  readonly #ports = new Map<string, Ports | undefined>();
  /** Words of blocks that have been accessed: they stay the same. */
  readonly #known = new Map<string, Uint32Array>();

  /**
   * @param words the stored words of a block by its name in specs/gaudi/blocks.ts (the live array, which stays the same
   *   one through resets), or undefined while nobody has accessed the block
   */
  constructor(words: (block: string) => Uint32Array | undefined) {
    this.#words = (block) => {
      let known = this.#known.get(block);
      if (known) return known;
      known = words(block);
      if (known) this.#known.set(block, known);
      return known;
    };
  }

  /**
   * @param name of an initiator that is not secure
   * @param address physical device address, below the host window
   * @returns how many of `length` bytes it may access from `address` on or, not positive, how many it may not
   */
  permitted(name: string, address: number, length: number, access: Access): number {
    let ports = this.#ports.get(name);
    if (!ports && !this.#ports.has(name)) {
      ports = portsOf(name);
      this.#ports.set(name, ports);
    }
    if (!ports) return length;
    return address >= CFG_BASE
      ? this.#message(ports.lbw, address - CFG_BASE, length, access)
      : this.#data(ports.hbw, address, length, access);
  }

  #message({ block, registers }: Ports['lbw'], offset: number, length: number, access: Access): number {
    const words = this.#words(block);
    if (!words) return length;
    const { enable, before, after } = messageRanges[registers][access];
    const enabled = words[enable] as number;
    let permitted = length;
    for (let n = 0; n < RANGES; n++) {
      if ((enabled & (1 << n)) === 0) continue;
      permitted = clip(permitted, offset, (words[before + n] as number) + 1, words[after + n] as number);
      if (permitted <= 0) break;
    }
    return permitted;
  }

  #data(block: string | undefined, address: number, length: number, access: Access): number {
    const words = block === undefined ? undefined : this.#words(block);
    if (!words) return length;
    const { enable, baseLow, baseHigh, maskLow, maskHigh } = dataRanges[access];
    const enabled = words[enable] as number;
    let permitted = length;
    for (let n = 0; n < RANGES; n++) {
      if ((enabled & (1 << n)) === 0) continue;
      // Address bits under the mask equal those of the base. Masks are runs of high bits, so that this is a range.
      const size = ADDRESS - ((words[maskHigh + n] as number) & MASK_HIGH) * 2 ** 32 - (words[maskLow + n] as number);
      const base = ((words[baseHigh + n] as number) & MASK_HIGH) * 2 ** 32 + (words[baseLow + n] as number);
      const begin = base - (base % size);
      permitted = clip(permitted, address, begin, begin + size);
      if (permitted <= 0) break;
    }
    return permitted;
  }
}

/** @returns what is left of `length` bytes from `at` on before [begin, end); inside of it, minus the bytes up to its end */
function clip(length: number, at: number, begin: number, end: number): number {
  if (at >= end || at + length <= begin) return length;
  return at < begin ? begin - at : at - end;
}
