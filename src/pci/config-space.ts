/**
 * Configuration space: 4096 bytes made of registers. A register is a row of facts (offset, width, which bits the host
 * may write, which it clears by writing one, what they are after reset) and, where it does something, a body of the
 * same name. Byte lanes are handled here, once: whatever width and alignment the host uses, it becomes accesses of
 * aligned doublewords with byte enables, as configuration requests are (PCI Express Base 5.0, 2.2.7).
 */

import type { MappablePiece, Region, ResetKind } from './function.ts';

export interface ConfigRegister<Kind extends 'storage' | 'active' = 'storage' | 'active'> {
  readonly kind: Kind;
  /** Bytes per register. It is aligned to its size. */
  readonly size: 1 | 2 | 4;
  /** Byte offset within the header or capability. */
  readonly offset: number;
  readonly doc: string;
  /** Value after reset. */
  readonly reset: number;
  /** Bits the host writes. */
  readonly rw: number;
  /** Bits the host clears by writing one. */
  readonly rw1c: number;
  /** Bits that a function-level reset leaves as they are (PCI Express Base 5.0, 6.6.2). */
  readonly keptByFlr: number;
}

export interface ConfigRegisterOptions {
  readonly reset?: number;
  readonly rw?: number;
  readonly rw1c?: number;
  readonly keptByFlr?: number;
}

/** A register that remembers its writable bits. Bits of neither `rw` nor `rw1c` are read-only. */
export function register(
  size: 1 | 2 | 4,
  offset: number,
  doc: string,
  options: ConfigRegisterOptions = {},
): ConfigRegister<'storage'> {
  return { kind: 'storage', ...row(size, offset, doc, options) };
}

/** A register that does something: its block must have a body of the row's name. */
export function activeRegister(
  size: 1 | 2 | 4,
  offset: number,
  doc: string,
  options: ConfigRegisterOptions = {},
): ConfigRegister<'active'> {
  return { kind: 'active', ...row(size, offset, doc, options) };
}

function row(size: 1 | 2 | 4, offset: number, doc: string, options: ConfigRegisterOptions) {
  return {
    size,
    offset,
    doc,
    reset: (options.reset ?? 0) >>> 0,
    rw: (options.rw ?? 0) >>> 0,
    rw1c: (options.rw1c ?? 0) >>> 0,
    keptByFlr: (options.keptByFlr ?? 0) >>> 0,
  };
}

export type ConfigRows = Readonly<Record<string, ConfigRegister>>;

export interface ConfigBody {
  /** What the host reads; without it, the stored value. */
  read?(): number;
  /**
   * Called after a write, when all registers of the doubleword have their new values.
   * @param value stored now
   * @param before stored before the write
   * @param data bits that the host wrote as one, whether or not they are writable
   */
  written?(value: number, before: number, data: number): void;
}

type ActiveNames<R extends ConfigRows> = {
  [K in keyof R]: R[K] extends ConfigRegister<'active'> ? K : never;
}[keyof R];
export type ConfigBodies<R extends ConfigRows> = { readonly [K in ActiveNames<R>]: ConfigBody };

interface Cell {
  readonly name: string;
  readonly row: ConfigRegister;
  readonly body: ConfigBody | undefined;
  value: number;
}

/** Registers that belong together: a header, a capability, a vendor's own. */
export class ConfigBlock<R extends ConfigRows = ConfigRows> {
  readonly name: string;
  /** Bytes, a multiple of 4. */
  readonly size: number;
  /** Where the rows were read from. */
  readonly source: string;
  readonly rows: R;
  /** @internal */
  readonly cells: readonly Cell[];
  readonly #byName = new Map<string, Cell>();

  constructor(name: string, facts: { size: number; source: string }, rows: R, bodies: ConfigBodies<R>) {
    this.name = name;
    this.size = facts.size;
    this.source = facts.source;
    this.rows = rows;
    const known = bodies as Readonly<Record<string, ConfigBody | undefined>>;
    this.cells = Object.entries(rows).map(([rowName, r]) => {
      if (r.offset % r.size !== 0 || r.offset + r.size > facts.size) {
        throw new Error(`${name}.${rowName} at 0x${r.offset.toString(16)}: unaligned or outside`);
      }
      const cell: Cell = { name: rowName, row: r, body: known[rowName], value: r.reset };
      this.#byName.set(rowName, cell);
      return cell;
    });
  }

  /** The stored value; no body is called. */
  get(name: keyof R & string): number {
    return (this.#byName.get(name) as Cell).value;
  }

  /** Stores a value as the hardware does, read-only bits included; no body is called. */
  set(name: keyof R & string, value: number): void {
    (this.#byName.get(name) as Cell).value = value >>> 0;
  }

  reset(kind: ResetKind): void {
    for (const cell of this.cells) {
      const kept = kind === 'function-level' ? cell.row.keptByFlr : 0;
      cell.value = ((cell.value & kept) | (cell.row.reset & ~kept)) >>> 0;
    }
  }
}

export interface Capability {
  /** Capability ID (PCI_CAP_ID_*), or extended capability ID (PCI_EXT_CAP_ID_*) where `extended` gives its version. */
  readonly id: number;
  readonly extended?: { readonly version: number };
  /** Where it must begin; by default the next free place from 0x40, or from 0x100. */
  readonly at?: number;
  /** Its registers. The ID and the pointer to the next one are not among them. */
  readonly block: ConfigBlock;
  /** Called after the registers have been reset, for state outside them. */
  reset?(kind: ResetKind): void;
}

export interface ConfigLayout {
  /** At offset 0. */
  readonly header: ConfigBlock;
  /** In the order of their lists. */
  readonly capabilities: readonly Capability[];
  /** Registers in no list, e.g. a vendor's window at the end of extended configuration space. */
  readonly others?: readonly { readonly at: number; readonly block: ConfigBlock }[];
}

const CONFIG_SIZE = 4096;
const FIRST_CAPABILITY = 0x40;
const FIRST_EXTENDED = 0x100;

/** Offset of the first of these that is not an extended one, 0 without one: what the header's CAPABILITY_LIST says. */
export function firstCapability(capabilities: readonly Capability[]): number {
  const first = capabilities.find((c) => !c.extended);
  return first ? (first.at ?? FIRST_CAPABILITY) : 0;
}

/** Configuration space of one function. What no register covers reads zero and ignores writes (7.5.1, reserved). */
export class ConfigSpace implements Region {
  readonly size = CONFIG_SIZE;
  readonly mappable: readonly MappablePiece[] = [];
  readonly #dwords: Cell[][] = Array.from({ length: CONFIG_SIZE / 4 }, () => []);
  readonly #bases = new Map<Cell, number>();
  readonly #blocks: ConfigBlock[] = [];
  readonly #capabilities: readonly Capability[];
  readonly #changed: (() => void) | undefined;

  /** @param changed called after each write by the host, when the bodies have run. */
  constructor(layout: ConfigLayout, changed?: () => void) {
    this.#changed = changed;
    this.#capabilities = layout.capabilities;
    this.#place(0, layout.header);
    const standard = layout.capabilities.filter((c) => !c.extended);
    const extended = layout.capabilities.filter((c) => c.extended);
    const offsets = this.#list(standard, FIRST_CAPABILITY, FIRST_EXTENDED);
    standard.forEach((c, i) => {
      this.#placeCapability(offsets[i] as number, c, c.id | ((offsets[i + 1] ?? 0) << 8), 2);
    });
    const far = this.#list(extended, FIRST_EXTENDED, CONFIG_SIZE);
    extended.forEach((c, i) => {
      const header = c.id | ((c.extended?.version ?? 1) << 16) | ((far[i + 1] ?? 0) << 20);
      this.#placeCapability(far[i] as number, c, header, 4);
    });
    if (extended.length > 0 && far[0] !== FIRST_EXTENDED) throw new Error('extended capabilities begin at 0x100');
    for (const { at, block } of layout.others ?? []) this.#place(at, block);
  }

  read(offset: number, target: Uint8Array): void {
    let done = 0;
    while (done < target.length) {
      const lane = (offset + done) & 3;
      const value = this.readDword(offset + done - lane) >>> (8 * lane);
      const n = Math.min(4 - lane, target.length - done);
      for (let i = 0; i < n; i++) target[done + i] = (value >>> (8 * i)) & 0xff;
      done += n;
    }
  }

  write(offset: number, source: Uint8Array): void {
    let done = 0;
    while (done < source.length) {
      const lane = (offset + done) & 3;
      const n = Math.min(4 - lane, source.length - done);
      let value = 0;
      let lanes = 0;
      for (let i = 0; i < n; i++) {
        value |= (source[done + i] as number) << (8 * (lane + i));
        lanes |= 0xff << (8 * (lane + i));
      }
      this.writeDword(offset + done - lane, value, lanes);
      done += n;
    }
  }

  /** @param offset aligned to 4. @returns unsigned. */
  readDword(offset: number): number {
    let value = 0;
    for (const cell of this.#dwords[offset >>> 2] as Cell[]) {
      const shift = 8 * (cell.row.offset & 3);
      value |= (cell.body?.read ? cell.body.read() & widthMask(cell.row.size) : cell.value) << shift;
    }
    return value >>> 0;
  }

  /** @param offset aligned to 4. @param lanes bits of `value` whose byte is enabled. */
  writeDword(offset: number, value: number, lanes = -1): void {
    let calls: (() => void)[] | undefined;
    for (const cell of this.#dwords[offset >>> 2] as Cell[]) {
      const { row: r, body } = cell;
      const shift = 8 * (r.offset & 3);
      const enabled = (lanes >>> shift) & widthMask(r.size);
      if (enabled === 0) continue;
      const data = ((value >>> shift) & enabled) >>> 0;
      const before = cell.value;
      const writable = r.rw & enabled;
      cell.value = (((before & ~writable) | (data & writable)) & ~(data & r.rw1c)) >>> 0;
      if (body?.written) {
        calls ??= [];
        calls.push(() => body.written?.(cell.value, before, data));
      }
    }
    if (calls) for (const call of calls) call();
    this.#changed?.();
  }

  /** All registers to their reset values. */
  reset(kind: ResetKind): void {
    for (const block of this.#blocks) block.reset(kind);
    for (const capability of this.#capabilities) capability.reset?.(kind);
  }

  /** Where a block begins. */
  offsetOf(block: ConfigBlock): number {
    const base = this.#bases.get(block.cells[0] as Cell);
    if (base === undefined) throw new Error(`${block.name} is not in this configuration space`);
    return base;
  }

  /** Offsets of the capabilities of one list. */
  #list(capabilities: readonly Capability[], first: number, end: number): number[] {
    let next = first;
    return capabilities.map((c) => {
      const at = c.at ?? next;
      next = at + c.block.size;
      if (at % 4 !== 0 || at < first || next > end) {
        throw new Error(`capability ${c.block.name} at 0x${at.toString(16)}: unaligned, or outside its list`);
      }
      return at;
    });
  }

  #placeCapability(at: number, capability: Capability, header: number, size: 2 | 4): void {
    const list = new ConfigBlock(
      `${capability.block.name}_LIST`,
      { size: 4, source: 'PCI Express Base 5.0, 7.5.3.1 and 7.6.3' },
      { HEADER: register(size, 0, 'Capability ID and offset of the next capability', { reset: header }) },
      {},
    );
    this.#place(at, list);
    this.#place(at, capability.block);
  }

  #place(base: number, block: ConfigBlock): void {
    this.#blocks.push(block);
    for (const cell of block.cells) {
      const start = base + cell.row.offset;
      const dword = this.#dwords[start >>> 2];
      if (!dword) throw new Error(`${block.name}.${cell.name}: outside configuration space`);
      for (const other of dword) {
        const theirs = (this.#bases.get(other) as number) + other.row.offset;
        if (start < theirs + other.row.size && theirs < start + cell.row.size) {
          throw new Error(`${block.name}.${cell.name} and ${other.name} overlap at 0x${start.toString(16)}`);
        }
      }
      this.#bases.set(cell, base);
      dword.push(cell);
    }
  }
}

function widthMask(size: 1 | 2 | 4): number {
  return size === 4 ? 0xffff_ffff : 2 ** (8 * size) - 1;
}
