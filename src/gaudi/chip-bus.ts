/**
 * The chip's interconnect: which memory, register or host address a device address is, and what happens where there is
 * none. Addresses below the host window are physical for everyone. From the host window (0x8000000000) on they go to
 * the MMU, which translates them unless it is off or the initiator bypasses it: that keeps user command streams, which
 * never bypass, away from host memory that was not mapped for them.
 */

import { addressMap } from '../../specs/gaudi/address-map.ts';
import type { DmaPort } from '../pci/ports.ts';
import { ModelError } from '../sim/errors.ts';
import type { Memory } from '../sim/memory.ts';
import { completion, type Steps } from '../sim/process.ts';
import { BusError, type ChipBus, type Initiator } from './bus.ts';
import type { RangeProtection } from './chip-bus-protection.ts';
import type { FaultPoints } from './faults/points.ts';
import type { Mmu } from './mmu.ts';

/** The configuration space. Offsets are bytes from CFG_BASE, multiples of 4. */
export interface RegisterSpace {
  read32(offset: number): number;
  write32(offset: number, value: number): void;
  /** Name of a register. */
  describe?(offset: number): string;
}

export interface MemoryRange {
  /** For error messages, e.g. `SRAM`. */
  readonly name: string;
  /** Device address of the first byte. */
  readonly base: number;
  readonly memory: Memory;
}

export interface ChipBusPorts {
  readonly mmu: Mmu;
  /** Disjoint, and below the configuration space. */
  readonly memories: readonly MemoryRange[];
  readonly cfg: RegisterSpace;
  /** Without it every initiator may access everything. */
  readonly protection?: RangeProtection;
  /** The host; undefined until the function is connected. */
  dma(): DmaPort | undefined;
  /**
   * The interrupt: an access was refused, or nothing answered. It comes when RAZWI_*_VLD and _ID were written for it, so
   * once until the driver clears them; and each time the host does not answer. Of page faults the MMU tells.
   */
  onAccessError(error: BusError, who: Initiator): void;
  /** What goes wrong with accesses. */
  readonly faults?: FaultPoints;
}

type Access = 'read' | 'write';

/** Where an access goes, and how many of its bytes go to the same place. */
type Target =
  | { readonly kind: 'memory'; readonly memory: Memory; readonly offset: number; readonly length: number }
  | { readonly kind: 'registers'; readonly offset: number; readonly length: number }
  | { readonly kind: 'host'; readonly address: number; readonly length: number };

const { CFG_BASE, HOST_BASE, HOST_SIZE, ADDRESS_END } = addressMap;

const PAGE = 0x1000;
/** Where one view of host memory ends, as a rule: hosts map their memory in pieces of this or more. */
const HOST_PIECE = 0x20_0000;
/** Longest message to the host, bytes. */
const MESSAGE = 0x10_0000;
/** Registers are read and written in words. */
const WORD = 4;

export class GaudiBus implements ChipBus {
  readonly #ports: ChipBusPorts;
  readonly #memories: readonly MemoryRange[];
  /** It is only asked what would be: errors have no consequences. */
  #asking = false;

  constructor(ports: ChipBusPorts) {
    this.#ports = ports;
    this.#memories = [...ports.memories].sort((a, b) => a.base - b.base);
  }

  view(who: Initiator, address: number, length: number, access: Access): Uint8Array | undefined {
    const target = this.#resolve(who, address, length, access);
    switch (target.kind) {
      case 'memory':
        return target.memory.bytes.subarray(target.offset, target.offset + target.length);
      case 'registers':
        return undefined;
      case 'host':
        return this.#hostView(target.address, target.length, access);
    }
  }

  reaches(who: Initiator, address: number, length: number): boolean {
    if (!(address >= 0 && address < ADDRESS_END)) return false;
    if (this.#isVirtual(who, address) && !this.#ports.mmu.maps(who, address)) return false;
    this.#asking = true;
    try {
      return this.view(who, address, length, 'read')?.length === length;
    } catch (error) {
      if (error instanceof BusError) return false;
      throw error;
    } finally {
      this.#asking = false;
    }
  }

  describe(address: number): string {
    if (address >= HOST_BASE) return 'host';
    if (address >= CFG_BASE) return this.#ports.cfg.describe?.(address - CFG_BASE) ?? 'CFG';
    const range = this.#memories.find(({ base, memory }) => address >= base && address < base + memory.size);
    return range?.name ?? 'nothing';
  }

  *read(who: Initiator, address: number, target: Uint8Array): Steps {
    for (let done = 0; done < target.length; ) {
      done += yield* this.#readRun(who, address + done, target.subarray(done));
    }
  }

  *write(who: Initiator, address: number, source: Uint8Array): Steps {
    for (let done = 0; done < source.length; ) {
      done += yield* this.#writeRun(who, address + done, source.subarray(done));
    }
  }

  write32(who: Initiator, address: number, value: number): Steps | undefined {
    const target = this.#resolveWord(who, address, 'write');
    switch (target.kind) {
      case 'memory':
        target.memory.words[target.offset / WORD] = value;
        return undefined;
      case 'registers':
        this.#ports.cfg.write32(target.offset, value >>> 0);
        return undefined;
      case 'host': {
        const fault = this.#ports.faults?.message.ask({ who: who.name, value: value >>> 0 });
        if (fault === 'lost') return undefined;
        const word = fault ?? value >>> 0;
        return this.#host(who, address, WORD, 'write', (port, done) => port.store32(target.address, word, done));
      }
    }
  }

  *read32(who: Initiator, address: number): Steps<number> {
    const target = this.#resolveWord(who, address, 'read');
    switch (target.kind) {
      case 'memory':
        return target.memory.words[target.offset / WORD] as number;
      case 'registers':
        return this.#ports.cfg.read32(target.offset) >>> 0;
      case 'host': {
        const bytes = new Uint8Array(WORD);
        yield* this.#readRun(who, address, bytes);
        return new DataView(bytes.buffer).getUint32(0, true);
      }
    }
  }

  /**
   * Fills with zero what can be given back to the system instead of being written.
   * @returns bytes done from `address` on; 0 where there is no memory of the chip
   * @throws BusError
   */
  zero(who: Initiator, address: number, length: number): number {
    const target = this.#resolve(who, address, length, 'write');
    if (target.kind !== 'memory') return 0;
    target.memory.zero(target.offset, target.length);
    return target.length;
  }

  /** As Memory.untouched; what is no memory of the chip counts as in use. @throws BusError */
  untouched(who: Initiator, address: number, length: number): number {
    const target = this.#resolve(who, address, length, 'read');
    return target.kind === 'memory' ? target.memory.untouched(target.offset, target.length) : -target.length;
  }

  /** @returns bytes read, at least 1. */
  *#readRun(who: Initiator, address: number, target: Uint8Array): Steps<number> {
    const from = this.#resolve(who, address, target.length, 'read');
    const part = target.subarray(0, from.length);
    switch (from.kind) {
      case 'memory':
        part.set(from.memory.bytes.subarray(from.offset, from.offset + from.length));
        return from.length;
      case 'registers': {
        const words = this.#words(who, address, part, 'read');
        for (let i = 0; i < part.length; i += WORD) words.setUint32(i, this.#ports.cfg.read32(from.offset + i), true);
        return part.length;
      }
      case 'host': {
        const view = this.#hostView(from.address, part.length, 'read');
        if (view) {
          part.set(view);
          return view.length;
        }
        const message = part.subarray(0, MESSAGE);
        yield* this.#host(who, address, message.length, 'read', (port, done) => port.read(from.address, message, done));
        return message.length;
      }
    }
  }

  /** @returns bytes written, at least 1. */
  *#writeRun(who: Initiator, address: number, source: Uint8Array): Steps<number> {
    const to = this.#resolve(who, address, source.length, 'write');
    const part = source.subarray(0, to.length);
    switch (to.kind) {
      case 'memory':
        to.memory.bytes.set(part, to.offset);
        return part.length;
      case 'registers': {
        const words = this.#words(who, address, part, 'write');
        for (let i = 0; i < part.length; i += WORD) this.#ports.cfg.write32(to.offset + i, words.getUint32(i, true));
        return part.length;
      }
      case 'host': {
        // A lone word may be one that the other side polls.
        if (part.length === WORD && to.address % WORD === 0) {
          const value = new DataView(part.buffer, part.byteOffset).getUint32(0, true);
          yield* this.#host(who, address, WORD, 'write', (port, done) => port.store32(to.address, value, done));
          return WORD;
        }
        const view = this.#hostView(to.address, part.length, 'write');
        if (view) {
          view.set(part.subarray(0, view.length));
          return view.length;
        }
        const message = part.subarray(0, MESSAGE);
        yield* this.#host(who, address, message.length, 'write', (port, done) => port.write(to.address, message, done));
        return message.length;
      }
    }
  }

  /** Bytes on their way to or from registers, where only whole words go. */
  #words(who: Initiator, address: number, bytes: Uint8Array, access: Access): DataView {
    if (address % WORD !== 0 || bytes.length % WORD !== 0)
      throw this.#error('access', who, address, access, bytes.length);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** The longest directly reachable run of host memory that does not need many questions. */
  #hostView(address: number, length: number, access: Access): Uint8Array | undefined {
    const port = this.#ports.dma();
    if (!port) return undefined;
    for (const piece of [Number.MAX_SAFE_INTEGER, HOST_PIECE, PAGE]) {
      const size = Math.min(length, piece - (address % piece));
      const view = port.view(address, size, access);
      if (view) return view;
    }
    return undefined;
  }

  /** @param length bytes, all of which are lost where the host does not answer */
  *#host(
    who: Initiator,
    address: number,
    length: number,
    access: Access,
    begin: (port: DmaPort, done: (error?: Error) => void) => void,
  ): Steps {
    const port = this.#ports.dma();
    if (!port) throw this.#error('host', who, address, access, length);
    try {
      yield* completion((done) => begin(port, done));
    } catch (error) {
      if (error instanceof ModelError) throw error;
      throw this.#error('host', who, address, access, length);
    }
  }

  #resolveWord(who: Initiator, address: number, access: Access): Target {
    if (address % WORD !== 0) throw this.#error('access', who, address, access, 1);
    return this.#resolve(who, address, WORD, access);
  }

  #resolve(who: Initiator, address: number, length: number, access: Access): Target {
    if (!(address >= 0 && address < ADDRESS_END)) throw this.#error('decode', who, address, access, length);
    if (!this.#isVirtual(who, address)) {
      return this.#physical(who, address, address, length, access);
    }
    const translated = this.#ports.mmu.translate(who, address, length, access);
    return this.#physical(who, address, translated.address, translated.length, access);
  }

  #isVirtual(who: Initiator, address: number): boolean {
    return address >= HOST_BASE && !who.mmuBypass() && this.#ports.mmu.enabled();
  }

  /** How many bytes from `address` on the initiator may access. @throws BusError where that is none */
  #permitted(who: Initiator, asked: number, address: number, length: number, access: Access): number {
    const { protection } = this.#ports;
    if (!protection || (who.secure ? who.secure() : who.mmuBypass())) return length;
    const permitted = protection.permitted(who.name, address, length, access);
    if (permitted <= 0) throw this.#error('access', who, asked, access, Math.min(length, -permitted));
    return Math.min(length, permitted);
  }

  /** @param asked the address that the initiator used, for errors */
  #physical(who: Initiator, asked: number, address: number, length: number, access: Access): Target {
    if (this.#ports.faults && !this.#asking) this.#fail(this.#ports.faults, who, asked, address, length, access);
    if (address >= HOST_BASE) {
      const left = HOST_BASE + HOST_SIZE - address;
      if (left <= 0) throw this.#error('decode', who, asked, access, length);
      return { kind: 'host', address: address - HOST_BASE, length: Math.min(length, left) };
    }
    if (address >= CFG_BASE) {
      // The configuration space ends where the host window begins.
      const known = Math.min(length, HOST_BASE - address);
      const permitted = this.#permitted(who, asked, address, known, access);
      return { kind: 'registers', offset: address - CFG_BASE, length: permitted };
    }
    let next: number = CFG_BASE;
    for (const { base, memory } of this.#memories) {
      if (address < base) {
        next = base;
        break;
      }
      const offset = address - base;
      if (offset < memory.size) {
        const known = Math.min(length, memory.size - offset);
        return { kind: 'memory', memory, offset, length: this.#permitted(who, asked, address, known, access) };
      }
    }
    throw this.#error('decode', who, asked, access, Math.min(length, next - address));
  }

  /** @throws BusError where the access is to go wrong */
  #fail(faults: FaultPoints, who: Initiator, asked: number, address: number, length: number, access: Access): void {
    const occasion = { who: who.name, access };
    const span = Math.min(length, PAGE);
    if (faults.access.ask(occasion)) throw this.#error('access', who, asked, access, span);
    if (address >= HOST_BASE && faults.hostAccess.ask(occasion)) throw this.#error('host', who, asked, access, span);
  }

  #error(kind: BusError['kind'], who: Initiator, address: number, access: Access, span: number): BusError {
    const error = new BusError(kind, access, address, who.name, span);
    // What the host does not answer is no business of the chip's own address checks.
    if (!this.#asking && (kind === 'host' || this.#ports.mmu.captureRazwi(who, access)))
      this.#ports.onAccessError(error, who);
    return error;
  }
}
