/**
 * Registers as rows of facts. A row of kind `storage` is a word that remembers what was written; a row of kind
 * `active` does something, and the block that implements it must have a body of the same name, or it does not compile.
 */

import { ModelError } from './errors.ts';

export type Access = 'rw' | 'ro' | 'wo';

export interface RegisterRow<Kind extends 'storage' | 'active' = 'storage' | 'active'> {
  readonly kind: Kind;
  /** Byte offset of the first instance within the block. */
  readonly offset: number;
  readonly doc: string;
  readonly access: Access;
  /** Value after reset. */
  readonly reset: number;
  /** Instances per dimension (outermost first), e.g. [4, 5] for FENCE n of CP m; [] for a single register. */
  readonly count: readonly number[];
  /** Bytes from one instance to the next, per dimension. */
  readonly stride: readonly number[];
}

export interface RowOptions {
  readonly access?: Access;
  readonly reset?: number;
  readonly count?: number | readonly number[];
  readonly stride?: number | readonly number[];
}

function row<Kind extends 'storage' | 'active'>(
  kind: Kind,
  offset: number,
  doc: string,
  options: RowOptions,
): RegisterRow<Kind> {
  const count = typeof options.count === 'number' ? [options.count] : (options.count ?? []);
  const stride =
    typeof options.stride === 'number' ? [options.stride] : (options.stride ?? (count.length === 1 ? [4] : []));
  if (stride.length !== count.length) throw new Error(`register at ${offset}: one stride per dimension`);
  return { kind, offset, doc, access: options.access ?? 'rw', reset: options.reset ?? 0, count, stride };
}

/** A register that only remembers (or, read-only, only tells its reset value). */
export function storage(offset: number, doc = '', options: RowOptions = {}): RegisterRow<'storage'> {
  return row('storage', offset, doc, options);
}

/** A register whose access does something: its block must have a body of the row's name. */
export function active(offset: number, doc: string, options: RowOptions = {}): RegisterRow<'active'> {
  return row('active', offset, doc, options);
}

export type Rows = Readonly<Record<string, RegisterRow>>;

export interface BlockSpec<R extends Rows = Rows> {
  readonly name: string;
  /** Bytes of address space, a multiple of 4. */
  readonly size: number;
  /** File the rows were read from. */
  readonly source: string;
  readonly rows: R;
  /** Per 32-bit word: row name and flat instance index, or undefined where no register is known. */
  readonly words: readonly ({ name: keyof R & string; index: number } | undefined)[];
}

export function registerBlock<const R extends Rows>(
  name: string,
  facts: { size: number; source: string },
  rows: R,
): BlockSpec<R> {
  const words: ({ name: keyof R & string; index: number } | undefined)[] = new Array(facts.size / 4).fill(undefined);
  for (const [rowName, r] of Object.entries(rows)) {
    forEachInstance(r, (offset, index) => {
      const word = offset / 4;
      if (!Number.isInteger(word) || word >= words.length || words[word]) {
        throw new Error(`${name}.${rowName}[${index}] at 0x${offset.toString(16)}: unaligned, outside, or taken`);
      }
      words[word] = { name: rowName, index };
    });
  }
  return { name, size: facts.size, source: facts.source, rows, words };
}

function forEachInstance(r: RegisterRow, visit: (offset: number, index: number) => void): void {
  const total = r.count.reduce((a, b) => a * b, 1);
  for (let index = 0; index < total; index++) {
    let rest = index;
    let offset = r.offset;
    for (let d = r.count.length - 1; d >= 0; d--) {
      const n = r.count[d] as number;
      offset += (rest % n) * (r.stride[d] as number);
      rest = Math.floor(rest / n);
    }
    visit(offset, index);
  }
}

/** What an active register does. A missing `read` reads the stored word, a missing `write` stores it. */
export interface Body {
  /** @param index flat instance number: for counts [a, b], i * b + j. */
  read?(index: number): number;
  write?(value: number, index: number): void;
}

type ActiveNames<R extends Rows> = { [K in keyof R]: R[K] extends RegisterRow<'active'> ? K : never }[keyof R];
export type Bodies<R extends Rows> = { readonly [K in ActiveNames<R>]: Body };

/** What was accessed, for `--trace-registers` and the burn-down list. */
export interface RegisterUse {
  readonly name: string;
  readonly kind: 'storage' | 'active' | 'unknown';
  readonly reads: number;
  readonly writes: number;
}

const NO_BODIES: readonly undefined[] = [];

/** One instance of a block: the stored words and the bodies. Offsets are in bytes, aligned to 4; values are unsigned. */
export class RegisterBlock<R extends Rows = Rows> {
  readonly spec: BlockSpec<R>;
  /** Name of this instance, e.g. `DMA3_QM`. */
  readonly name: string;
  readonly words: Uint32Array;
  readonly #bodies: readonly (Body | undefined)[];
  /** Accesses from the bus, by word. */
  readonly #reads: Uint32Array;
  readonly #writes: Uint32Array;

  constructor(spec: BlockSpec<R>, name: string, bodies: Bodies<R>) {
    this.spec = spec;
    this.name = name;
    this.words = new Uint32Array(spec.size / 4);
    this.#reads = new Uint32Array(spec.size / 4);
    this.#writes = new Uint32Array(spec.size / 4);
    const named = bodies as Readonly<Record<string, Body>>;
    // most blocks of a chip only store: a list of nothing for each would be most of its memory
    this.#bodies = Object.keys(named).length > 0 ? spec.words.map((w) => w && named[w.name]) : NO_BODIES;
    this.reset();
  }

  /** All words to their reset values; bodies are not called. */
  reset(): void {
    this.words.fill(0);
    for (const r of Object.values(this.spec.rows)) {
      if (r.reset === 0) continue;
      forEachInstance(r, (offset) => {
        this.words[offset / 4] = r.reset;
      });
    }
  }

  /** Byte offset of an instance: `offsetOf('FENCE_CNT', fence, cp)`. */
  offsetOf(name: keyof R & string, i?: number, j?: number): number {
    const { offset, stride } = this.spec.rows[name] as RegisterRow;
    if (i === undefined) return offset;
    const first = offset + i * (stride[0] as number);
    return j === undefined ? first : first + j * (stride[1] as number);
  }

  /** The stored word of a register; no body is called. */
  get(name: keyof R & string, i?: number, j?: number): number {
    return this.words[this.offsetOf(name, i, j) / 4] as number;
  }

  /** Stores a word; no body is called. */
  set(name: keyof R & string, value: number, i?: number, j?: number): void {
    this.words[this.offsetOf(name, i, j) / 4] = value;
  }

  /** A read from the bus. @throws ModelError `unimplemented` where no register is known. */
  read32(offset: number): number {
    const word = offset >>> 2;
    (this.#reads[word] as number)++;
    const body = this.#bodies[word];
    if (body?.read) return body.read(this.spec.words[word]?.index ?? 0) >>> 0;
    const known = this.spec.words[word];
    if (!known) throw this.#unknown('read', offset);
    if (this.spec.rows[known.name]?.access === 'wo') return 0;
    return this.words[word] as number;
  }

  /** A write from the bus; writes to read-only registers are dropped, as the bus does. */
  write32(offset: number, value: number): void {
    const word = offset >>> 2;
    (this.#writes[word] as number)++;
    const body = this.#bodies[word];
    if (body?.write) {
      body.write(value >>> 0, this.spec.words[word]?.index ?? 0);
      return;
    }
    const known = this.spec.words[word];
    if (!known) throw this.#unknown('write', offset);
    if (this.spec.rows[known.name]?.access !== 'ro') this.words[word] = value;
  }

  /** Full name of the register at `offset`, e.g. `DMA0_QM.PQ_PI[2]`. */
  nameAt(offset: number): string {
    const known = this.spec.words[offset >>> 2];
    if (!known) return `${this.name}+0x${offset.toString(16)}`;
    const many = (this.spec.rows[known.name]?.count.length ?? 0) > 0;
    return `${this.name}.${known.name}${many ? `[${known.index}]` : ''}`;
  }

  /** Registers accessed from the bus so far. */
  uses(): readonly RegisterUse[] {
    const uses: RegisterUse[] = [];
    this.#reads.forEach((reads, word) => {
      const writes = this.#writes[word] as number;
      if (reads + writes === 0) return;
      const known = this.spec.words[word];
      const kind = known ? (this.spec.rows[known.name]?.kind ?? 'unknown') : 'unknown';
      uses.push({ name: this.nameAt(word * 4), kind, reads, writes });
    });
    return uses;
  }

  #unknown(what: string, offset: number): ModelError {
    return new ModelError('unimplemented', this.nameAt(offset), `${what} of an unknown register`);
  }
}
