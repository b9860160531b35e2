/** A core that stands alone, with a kernel and its tensors in memory: what runs a kernel without a chip. */

import { BUNDLE_BYTES, type Slot, slots } from '../../isa/vliw/bundle.ts';
import { ModelError } from '../../sim/errors.ts';
import { KernelError, TpcCore, type TpcStatistics } from '../core.ts';
import { FlatMemory, PlainConfig } from '../flat.ts';
import type { Box } from '../index-space.ts';
import { CONFIG } from '../machine.ts';
import type { LatencyMode } from '../pipeline.ts';
import type { MemoryPort } from '../ports.ts';
import { lookupTables } from '../tables/index.ts';
import { elementBytes, TENSORS, type TensorType } from '../tensor.ts';
import { Arena } from '../wasm/arena.ts';
import type { KernelProgram } from './program.ts';

export interface StandTensor {
  readonly name: string;
  readonly type: TensorType;
  /** One to five, dimension 0 first. */
  readonly sizes: readonly number[];
  /** Bits of what is read out of bounds. */
  readonly padding: number;
}

export interface StandOptions {
  readonly program: KernelProgram;
  /** In the order of their numbers. */
  readonly tensors: readonly StandTensor[];
  /** S0 and on, as words. */
  readonly scalars: readonly number[];
  readonly latency?: LatencyMode;
  /** Compile hot loops. */
  readonly compile?: boolean;
}

/** The program never ended within its budget. */
export class BudgetError extends ModelError {
  /** Offsets of the bundles between which it spins. */
  readonly from: number;
  readonly to: number;

  constructor(bundles: number, from: number, to: number) {
    super('guest', 'kernel', `not ended after ${bundles} bundles`);
    this.from = from;
    this.to = to;
  }
}

/** The program is at address 0, so that addresses of bundles are offsets. */
const TENSOR_SPACE = 0x20_0000_0000;
/** Between tensors nothing is: an access that leaves one is an error. */
const GAP = 0x10_0000;
const TABLE_SPACE = 0x10_0000_0000;

/** Bundles between two times that progress is told: less than a second of any core. */
const PIECE = 250_000;

export class Stand {
  readonly core: TpcCore;
  readonly config = new PlainConfig();
  readonly #memory = new FlatMemory();
  readonly #options: StandOptions;
  /** Elements of the tensors, dense, by their numbers. */
  readonly elements: readonly Uint8Array[];
  /** Byte addresses of the tensors. */
  readonly addresses: readonly number[];

  /** Tensors are zeros. @throws ModelError for tensors that a core cannot have */
  constructor(options: StandOptions) {
    const { program, tensors } = options;
    this.#options = options;
    if (tensors.length > TENSORS) throw new ModelError('guest', 'tensors', `${tensors.length}; a core has ${TENSORS}`);
    const bytes = tensors.map(({ type, sizes }) => sizes.reduce((n, size) => n * size, elementBytes[type]));
    const places: number[] = [];
    let total = 0;
    for (const length of bytes) {
      places.push(total);
      total = Math.ceil((total + length) / 256) * 256;
    }
    let arena: Arena;
    try {
      arena = new Arena(total);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new ModelError('guest', 'tensors', `${total} bytes of tensors do not fit into memory`);
    }
    this.elements = bytes.map((length, n) => arena.bytes.subarray(places[n] as number, (places[n] as number) + length));
    let address = TENSOR_SPACE;
    this.addresses = bytes.map((length) => {
      const here = address;
      address = Math.ceil((address + length + GAP) / GAP) * GAP;
      return here;
    });
    this.#memory.add(0, program.bytes);
    tensors.forEach(({ type, sizes, padding }, n) => {
      this.#memory.add(this.addresses[n] as number, this.elements[n] as Uint8Array);
      this.config.setTensor(n, { base: this.addresses[n] as number, type, sizes, padding });
    });
    if (program.usesTables) this.#addTables();
    this.core = new TpcCore(
      { memory: this.#port(), config: this.config },
      { latency: options.latency ?? 'exposed', ...(options.compile ? { compile: true, arena } : {}) },
    );
  }

  #addTables(): void {
    const { bases, regions } = lookupTables(TABLE_SPACE);
    for (const { address, bytes } of regions) this.#memory.add(address, bytes);
    bases.forEach((base, n) => {
      this.config.write(CONFIG.lutBase + 8 * n, base >>> 0);
      this.config.write(CONFIG.lutBase + 8 * n + 4, Math.floor(base / 2 ** 32));
    });
    this.config.write(CONFIG.kernelConfig, 1);
  }

  /** Programs are not written by themselves: what is at 0 is for reading. */
  #port(): MemoryPort {
    const memory = this.#memory;
    const end = this.#options.program.bytes.length;
    return {
      view: (address, length, access) =>
        access === 'write' && address < end ? undefined : memory.view(address, length),
    };
  }

  /** Makes the core ready for a part of the index space, with registers and local memories as after a reset. */
  start(part: Box): void {
    this.core.state.reset();
    this.core.start({ pc: 0, indexSpace: part, srf: this.#options.scalars });
  }

  /**
   * Runs the part that was started to its end.
   *
   * @returns bundles done
   * @throws BudgetError, KernelError
   */
  finish(budget: number, told?: (bundles: number) => void): number {
    const { core } = this;
    for (let left = budget; left > 0; left = budget - core.statistics.bundles) {
      const before = core.statistics.bundles;
      told?.(before);
      if (core.run(told ? Math.min(left, PIECE) : left) === 'halted') return core.statistics.bundles;
      if (core.statistics.bundles === before) throw new ModelError('undefined', 'kernel', 'the core makes no progress');
    }
    const { from, to } = core.spinning;
    throw new BudgetError(core.statistics.bundles, from, to);
  }

  /** Which tensor an address lies in or near, as text for messages; undefined: none. */
  describeAddress(address: number): string | undefined {
    for (const [n, base] of this.addresses.entries()) {
      const length = (this.elements[n] as Uint8Array).length;
      const { name, type } = this.#options.tensors[n] as StandTensor;
      const at = address - base;
      if (at >= 0 && at < length) return `element ${Math.floor(at / elementBytes[type])} of ${name}`;
      if (at >= length && at < length + GAP / 2) return `${at - length} bytes behind the end of ${name}`;
      if (at < 0 && at >= -GAP / 2) return `${-at} bytes before ${name}`;
    }
    return undefined;
  }

  /** An error of the program with its place in the text, and the tensor for an address. */
  explain(error: unknown): string | undefined {
    const { program } = this.#options;
    if (error instanceof BudgetError) {
      const [from, to] = [program.place(error.from), program.place(error.to)];
      return `${error.message}; it spins ${from === to ? `at ${from}` : `between ${from} and ${to}`}`;
    }
    if (!(error instanceof ModelError)) return undefined;
    const pc = error instanceof KernelError ? error.pc : this.core.pc;
    const address = /0x([0-9a-f]{9,})/.exec(error.message)?.[1];
    const where = address === undefined ? undefined : this.describeAddress(Number.parseInt(address, 16));
    const known = pc >= 0 && pc < program.bytes.length;
    const last = program.bytes.length - BUNDLE_BYTES;
    const after = pc === program.bytes.length ? `after ${program.place(last)}, the last bundle: ` : '';
    const place = known ? `${program.place(pc)}: ` : after;
    const text = known ? `\n    ${program.text(pc)}` : '';
    return `${place}${error.message}${where ? ` (that is ${where})` : ''}${text}`;
  }
}

/** Statistics of several parts: sums, and of cycles the most that a core needed. */
export function addStatistics(parts: readonly TpcStatistics[]): TpcStatistics {
  const sum = (of: (part: TpcStatistics) => number) => parts.reduce((total, part) => total + of(part), 0);
  const bySlot = (of: (part: TpcStatistics) => Record<Slot, number>) =>
    Object.fromEntries(slots.map((slot) => [slot, sum((part) => of(part)[slot])])) as Record<Slot, number>;
  return {
    bundles: sum((part) => part.bundles),
    cycles: Math.max(0, ...parts.map((part) => part.cycles)),
    stalls: sum((part) => part.stalls),
    issued: bySlot((part) => part.issued),
    skipped: bySlot((part) => part.skipped),
  };
}

/** Floating-point operations of a bundle: a multiply-accumulate of a vector of 64 is 128. */
export function flopsAt(program: KernelProgram, decode: (offset: number) => ReturnType<TpcCore['bundleAt']>) {
  const known = new Float64Array(program.bytes.length / BUNDLE_BYTES).fill(-1);
  return (offset: number): number => {
    const n = offset / BUNDLE_BYTES;
    if ((known[n] as number) >= 0) return known[n] as number;
    const bundle = decode(offset);
    let flops = 0;
    if (bundle.kind === 'bundle') {
      for (const i of [bundle.spu, bundle.vpu]) {
        if (!i || (i.type !== 'f32' && i.type !== 'bf16')) continue;
        const each = i.mnemonic === 'mac' ? 2 : ['add', 'sub', 'mul', 'max', 'min'].includes(i.mnemonic) ? 1 : 0;
        flops += each * (i.slot === 'spu' ? 1 : i.type === 'f32' ? 64 : 128);
      }
    }
    known[n] = flops;
    return flops;
  };
}
