/** A chip without a chip: memories, MMU, a bus, registers that note what is written, and a host with its own moods. */

import { addressMap } from '../../specs/gaudi/address-map.ts';
import type { BusError, Initiator } from '../../src/gaudi/bus.ts';
import { GaudiBus } from '../../src/gaudi/chip-bus.ts';
import { Mmu } from '../../src/gaudi/mmu.ts';
import type { DmaPort, Done } from '../../src/pci/ports.ts';
import { VirtualClock } from '../../src/sim/clock.ts';
import { ArrayMemory } from '../../src/sim/memory.ts';
import { Process, type Steps } from '../../src/sim/process.ts';

export const { SRAM_BASE, CFG_BASE, HOST_BASE, VIRTUAL_BASE } = addressMap;
export const MIB = 0x10_0000;
/** Page tables: hop 0 per address space, then pages for the other hops. */
const TABLES = 12 * MIB;

/** Host memory from bus address 0 on. */
export class FakeHost implements DmaPort {
  readonly bytes: Uint8Array;
  /** `direct`: by views, which end at multiples of `piece`; `messages`: answered after `delay` ns. */
  mode: 'direct' | 'messages' = 'direct';
  piece = Number.MAX_SAFE_INTEGER;
  delay = 100;
  /** Messages to addresses from here on are not answered well. */
  end: number;
  /** Every 32-bit store, in order. */
  readonly stores: { address: number; value: number }[] = [];
  readonly #clock: VirtualClock;

  constructor(clock: VirtualClock, size: number) {
    this.#clock = clock;
    this.bytes = new Uint8Array(size);
    this.end = size;
  }

  view(address: number, length: number): Uint8Array | undefined {
    if (this.mode !== 'direct' || address + length > this.end) return undefined;
    if (Math.floor(address / this.piece) !== Math.floor((address + length - 1) / this.piece)) return undefined;
    return this.bytes.subarray(address, address + length);
  }

  read(address: number, target: Uint8Array, done: Done): void {
    this.#answer(address, target.length, done, () => target.set(this.bytes.subarray(address, address + target.length)));
  }

  write(address: number, source: Uint8Array, done: Done): void {
    this.#answer(address, source.length, done, () => this.bytes.set(source, address));
  }

  store32(address: number, value: number, done: Done): void {
    this.#answer(address, 4, done, () => {
      this.stores.push({ address, value });
      new DataView(this.bytes.buffer).setUint32(address, value, true);
    });
  }

  #answer(address: number, length: number, done: Done, effect: () => void): void {
    const answer = () => {
      if (address + length > this.end) done(new Error('nothing there'));
      else {
        effect();
        done();
      }
    };
    if (this.mode === 'direct') answer();
    else this.#clock.at(this.#clock.now() + this.delay, answer);
  }
}

export function chip(options: { hostSize?: number } = {}) {
  const clock = new VirtualClock();
  const hbm = new ArrayMemory(16 * MIB);
  const sram = new ArrayMemory(MIB);
  const host = new FakeHost(clock, options.hostSize ?? 4 * MIB);
  /** Register writes, in order, with the time. */
  const registers: { offset: number; value: number; time: number }[] = [];
  const faults: string[] = [];
  const errors: BusError[] = [];
  const cfg = {
    read32: (offset: number) => registers.findLast((w) => w.offset === offset)?.value ?? 0,
    write32: (offset: number, value: number) => {
      registers.push({ offset, value, time: clock.now() });
    },
  };
  const mmu = new Mmu({ clock, hbm, onFault: (cause) => faults.push(cause) });
  const bus = new GaudiBus({
    mmu,
    memories: [
      { name: 'HBM', base: 0, memory: hbm },
      { name: 'SRAM', base: SRAM_BASE, memory: sram },
    ],
    cfg,
    dma: () => host,
    onAccessError: (error) => errors.push(error),
  });
  return { clock, hbm, sram, host, registers, faults, errors, cfg, mmu, bus, tables: new PageTables(hbm, mmu, clock) };
}

export type Chip = ReturnType<typeof chip>;

/** Writes page tables and the MMU's registers as the driver does. */
export class PageTables {
  readonly #hbm: ArrayMemory;
  readonly #mmu: Mmu;
  readonly #clock: VirtualClock;
  #free = TABLES + 0x4000;
  #producer = 0;

  constructor(hbm: ArrayMemory, mmu: Mmu, clock: VirtualClock) {
    this.#hbm = hbm;
    this.#mmu = mmu;
    this.#clock = clock;
  }

  enable(...asids: number[]): void {
    const { stlb, registers } = this.#mmu;
    const write = (name: Parameters<typeof stlb.registers.offsetOf>[0], value: number) =>
      stlb.registers.write32(stlb.registers.offsetOf(name), value);
    for (const asid of asids) {
      write('ASID', asid);
      write('HOP0_PA43_12', (TABLES + asid * 0x1000) / 0x1000);
      write('HOP0_PA49_44', 0);
      write('BUSY', 0x8000_0000);
      this.#clock.runUntil(this.#clock.now() + 10_000);
    }
    registers.write32(registers.offsetOf('MMU_ENABLE'), 1);
    registers.write32(registers.offsetOf('SPI_MASK'), 0xf);
    write('HOP_CONFIGURATION', 0x3_0440);
  }

  map(asid: number, virtual: number, physical: number, size: 0x1000 | 0x20_0000, flags = 0x801): void {
    let table = TABLES + asid * 0x1000;
    const shifts = size === 0x1000 ? [48, 39, 30, 21, 12] : [48, 39, 30, 21];
    for (const [hop, shift] of shifts.entries()) {
      const entry = table + (Math.floor(virtual / 2 ** shift) % 512) * 8;
      if (hop === shifts.length - 1) {
        this.write(entry, physical, flags);
        return;
      }
      if ((this.#hbm.words[entry / 4] as number) === 0) {
        this.write(entry, this.#free, 1);
        this.#free += 0x1000;
      }
      table = (this.#hbm.words[entry / 4] as number) & ~0xfff;
    }
  }

  write(entry: number, address: number, flags: number): void {
    this.#hbm.words[entry / 4] = (address % 2 ** 32) + flags;
    this.#hbm.words[entry / 4 + 1] = Math.floor(address / 2 ** 32);
  }

  /** As gaudi_mmu_invalidate_cache. @returns whether INV_PS became 0 in time */
  invalidate(): boolean {
    const { registers } = this.#mmu.stlb;
    this.#producer = (this.#producer + 1) & 0xff;
    registers.write32(registers.offsetOf('INV_PS'), 3);
    registers.write32(registers.offsetOf('CACHE_INV'), this.#producer);
    registers.write32(registers.offsetOf('INV_PS'), 2);
    this.#clock.runUntil(this.#clock.now() + 2_000_000);
    const done = registers.read32(registers.offsetOf('INV_PS')) === 0;
    registers.write32(registers.offsetOf('INV_SET'), 0);
    return done;
  }
}

export function initiator(name: string, asid = 0, bypass = false): Initiator {
  return { name, asid: () => asid, mmuBypass: () => bypass };
}

/** Runs steps to their end in simulated time. @throws what they throw */
export function run<T>(clock: VirtualClock, steps: Steps<T>): T;
export function run(clock: VirtualClock, steps: Steps | undefined): void;
export function run<T>(clock: VirtualClock, steps: Steps<T> | undefined): T | undefined {
  let result: { value: T | undefined } | undefined;
  let failure: { error: unknown } | undefined;
  function* body(): Steps {
    result = { value: steps && (yield* steps) };
  }
  new Process(clock, 'test', body(), (error) => {
    failure = { error };
  });
  clock.runUntil();
  if (failure) throw failure.error;
  if (!result) throw new Error('the steps did not end');
  return result.value;
}

export function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let x = (seed * 2654435761 + 1) >>> 0;
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}
