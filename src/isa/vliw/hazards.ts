/**
 * Reads that come before the latency of the value has passed: legal, and they see the value before. Bundles are looked
 * at in the order of the text, which is the order of a program without jumps.
 */

import { type Instruction, type RegisterFile, slots, type VliwDecoder } from './bundle.ts';
import type { LatencyRule, VliwFacts } from './rows.ts';

export interface HazardPlace {
  readonly start: number;
  readonly end: number;
}

interface Write {
  readonly bundle: number;
  /** Number of the slot. */
  readonly slot: number;
  readonly instruction: Instruction;
  readonly latency: number;
  readonly place: HazardPlace;
}

export interface Hazard {
  readonly register: string;
  readonly reader: HazardPlace;
  readonly writer: Write;
  /** Bundles between them. */
  readonly distance: number;
  readonly needed: number;
  /** The value comes from memory, and is waited for. */
  readonly waits: boolean;
}

/** Registers, pairs and quads taken apart; each is the number of its file times 64, plus its own. */
export interface Effects {
  readonly reads: readonly number[];
  /** What it writes, where that is an operand, too. */
  readonly accumulators: readonly number[];
  readonly writes: readonly number[];
  readonly latency: number;
}

/** An instruction that may stand in many bundles; what it reads and writes is found once. */
export interface Tracked {
  readonly instruction: Instruction;
  effects: Effects | undefined;
}

type Latencies = Pick<VliwDecoder<string, string, string, string>, 'latencyOf' | 'chainOf' | 'accumulates' | 'loads'>;

export class HazardFinder {
  readonly #latencies: Latencies;
  readonly #files: readonly RegisterFile[];
  readonly #registers: ReadonlyMap<RegisterFile, { readonly base: number; readonly span: number }>;
  /** By slot of the writer, file, slot of the reader; the first that fits holds. */
  readonly #rules: (LatencyRule[] | undefined)[] = [];
  /** The last write of each register. */
  readonly #writes: (Write | undefined)[];
  readonly #found: (hazard: Hazard) => void;
  #bundle = 0;

  constructor(facts: VliwFacts, latencies: Latencies, found: (hazard: Hazard) => void) {
    this.#latencies = latencies;
    this.#found = found;
    this.#files = facts.registers.map((row) => row.file);
    this.#writes = Array.from({ length: this.#files.length * 64 }, () => undefined);
    this.#registers = new Map(
      facts.registers.map(({ file, of, span }) => [file, { base: this.#files.indexOf(of ?? file) * 64, span }]),
    );
    for (const rule of facts.latencyRules) {
      const place = this.#place(slots.indexOf(rule.from), this.#files.indexOf(rule.file), slots.indexOf(rule.to));
      this.#rules[place] = [...(this.#rules[place] ?? []), rule];
    }
  }

  #place(from: number, file: number, to: number): number {
    return (from * this.#files.length + file) * slots.length + to;
  }

  /** A LOOP, or what else is no bundle of slots. */
  skip(): void {
    this.#bundle++;
  }

  /** The next bundle: the instructions of its slots, in their order. */
  next(bundle: readonly Tracked[], places: readonly HazardPlace[]): void {
    for (let i = 0; i < bundle.length; i++) {
      const { reads, accumulators } = this.#effectsOf(bundle[i] as Tracked);
      if (reads.length > 0) this.#checkReads(reads, bundle[i] as Tracked, i, places, false);
      if (accumulators.length > 0) this.#checkReads(accumulators, bundle[i] as Tracked, i, places, true);
    }
    for (let i = 0; i < bundle.length; i++) {
      const tracked = bundle[i] as Tracked;
      const { writes, latency } = this.#effectsOf(tracked);
      if (writes.length === 0) continue;
      const { instruction } = tracked;
      const write: Write = { bundle: this.#bundle, slot: i, instruction, latency, place: places[i] as HazardPlace };
      for (const register of writes) this.#writes[register] = write;
    }
    this.#bundle++;
  }

  #checkReads(
    reads: readonly number[],
    { instruction }: Tracked,
    slot: number,
    places: readonly HazardPlace[],
    accumulator: boolean,
  ): void {
    for (const register of reads) {
      const writer = this.#writes[register];
      if (!writer) continue;
      const distance = this.#bundle - writer.bundle;
      // No latency is longer.
      if (distance >= LONGEST) continue;
      const chain = accumulator ? this.#chained(writer.instruction, instruction) : undefined;
      const needed = chain ?? this.#needed(writer, register >>> 6, instruction, slot);
      if (distance >= needed) continue;
      const name = `${this.#files[register >>> 6]}${register & 63}`;
      const waits = this.#latencies.loads(writer.instruction);
      this.#found({ register: name, reader: places[slot] as HazardPlace, writer, distance, needed, waits });
    }
  }

  /** Bundles between two of one chain, of which the second accumulates. */
  #chained(writer: Instruction, reader: Instruction): number | undefined {
    const chain = this.#latencies.chainOf(reader);
    return chain && writer.slot === reader.slot && this.#latencies.chainOf(writer)?.name === chain.name
      ? chain.bundles
      : undefined;
  }

  #needed(writer: Write, file: number, reader: Instruction, slot: number): number {
    const rules = this.#rules[this.#place(writer.slot, file, slot)];
    if (!rules) return 1;
    for (const { readers, bundles, plus } of rules) {
      if (!readers || readers.includes(reader.mnemonic)) {
        return (bundles === 'own' ? writer.latency : bundles) + (plus ?? 0);
      }
    }
    return 1;
  }

  #effectsOf(tracked: Tracked): Effects {
    if (tracked.effects) return tracked.effects;
    const reads: number[] = [];
    const writes: number[] = [];
    const { instruction } = tracked;
    const { operands, roles, predicate } = instruction;
    for (let i = 0; i < operands.length; i++) {
      const operand = operands[i] as (typeof operands)[number];
      if (operand.kind === 'register') this.#add(roles[i] === 'dest' ? writes : reads, operand.file, operand.number);
    }
    if (predicate) this.#add(reads, predicate.file, predicate.number);
    const accumulators = this.#latencies.accumulates(instruction) ? writes : [];
    tracked.effects = { reads, accumulators, writes, latency: this.#latencies.latencyOf(instruction) };
    return tracked.effects;
  }

  #add(to: number[], file: RegisterFile, number: number): void {
    const row = this.#registers.get(file);
    if (!row) return;
    for (let i = 0; i < row.span; i++) to.push(row.base + ((number + i) & 63));
  }
}

/** Bundles; more than any latency. */
const LONGEST = 16;
