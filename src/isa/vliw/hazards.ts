/**
 * Reads that come before the latency of the value has passed: legal, and they see the value before. Bundles are looked
 * at in the order of the text, which is the order of a program without jumps.
 */

import type { Instruction, RegisterFile, Slot } from './bundle.ts';
import type { LatencyRule, VliwFacts } from './rows.ts';

export interface HazardPlace {
  readonly start: number;
  readonly end: number;
}

interface Write {
  readonly bundle: number;
  readonly slot: Slot;
  readonly mnemonic: string;
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
}

/** Registers, pairs and quads taken apart; each is the number of its file times 64, plus its own. */
interface Effects {
  readonly reads: readonly number[];
  readonly writes: readonly number[];
  readonly latency: number;
}

export class HazardFinder {
  readonly #latency: (instruction: Instruction) => number;
  readonly #files: readonly RegisterFile[];
  readonly #registers: ReadonlyMap<RegisterFile, { readonly base: number; readonly span: number }>;
  /** By slot of the writer, file, slot of the reader; the first that fits holds. */
  readonly #rules = new Map<string, readonly LatencyRule[]>();
  readonly #writes: (Write | undefined)[] = [];
  readonly #effects = new WeakMap<Instruction, Effects>();
  #bundle = 0;

  constructor(facts: VliwFacts, latency: (instruction: Instruction) => number) {
    this.#latency = latency;
    this.#files = facts.registers.map((row) => row.file);
    this.#registers = new Map(
      facts.registers.map(({ file, of, span }) => [file, { base: this.#files.indexOf(of ?? file) * 64, span }]),
    );
    for (const rule of facts.latencyRules) {
      const key = `${rule.from} ${rule.file} ${rule.to}`;
      this.#rules.set(key, [...(this.#rules.get(key) ?? []), rule]);
    }
  }

  /** A LOOP, or what else is no bundle of slots. */
  skip(): void {
    this.#bundle++;
  }

  /** The next bundle: the instructions of its slots, of which those that do nothing are undefined. */
  next(
    bundle: readonly (Instruction | undefined)[],
    places: readonly HazardPlace[],
    found: (hazard: Hazard) => void,
  ): void {
    for (let i = 0; i < bundle.length; i++) {
      const instruction = bundle[i];
      if (instruction) this.#checkReads(instruction, places[i] as HazardPlace, found);
    }
    for (let i = 0; i < bundle.length; i++) {
      const instruction = bundle[i];
      if (!instruction) continue;
      const { writes, latency } = this.#effectsOf(instruction);
      if (writes.length === 0) continue;
      const { slot, mnemonic } = instruction;
      const write: Write = { bundle: this.#bundle, slot, mnemonic, latency, place: places[i] as HazardPlace };
      for (const register of writes) this.#writes[register] = write;
    }
    this.#bundle++;
  }

  #checkReads(instruction: Instruction, reader: HazardPlace, found: (hazard: Hazard) => void): void {
    for (const register of this.#effectsOf(instruction).reads) {
      const writer = this.#writes[register];
      if (!writer) continue;
      const distance = this.#bundle - writer.bundle;
      // No latency is longer.
      if (distance >= LONGEST) continue;
      const file = this.#files[register >>> 6] as RegisterFile;
      const needed = this.#needed(writer, file, instruction);
      if (distance < needed) found({ register: `${file}${register & 63}`, reader, writer, distance, needed });
    }
  }

  #needed(writer: Write, file: RegisterFile, reader: Instruction): number {
    const rules = this.#rules.get(`${writer.slot} ${file} ${reader.slot}`);
    const rule = rules?.find((each) => !each.readers || each.readers.includes(reader.mnemonic));
    if (!rule) return 1;
    return (rule.bundles === 'own' ? writer.latency : rule.bundles) + (rule.plus ?? 0);
  }

  #effectsOf(instruction: Instruction): Effects {
    let effects = this.#effects.get(instruction);
    if (!effects) {
      const reads: number[] = [];
      const writes: number[] = [];
      const { operands, roles, predicate } = instruction;
      operands.forEach((operand, i) => {
        // A multiply-accumulate reads what it writes, but at its own end.
        if (operand.kind === 'register') this.#add(roles[i] === 'dest' ? writes : reads, operand.file, operand.number);
      });
      if (predicate) this.#add(reads, predicate.file, predicate.number);
      effects = { reads, writes, latency: this.#latency(instruction) };
      this.#effects.set(instruction, effects);
    }
    return effects;
  }

  #add(to: number[], file: RegisterFile, number: number): void {
    const row = this.#registers.get(file);
    if (!row) return;
    for (let i = 0; i < row.span; i++) to.push(row.base + ((number + i) & 63));
  }
}

/** Bundles; more than any latency. */
const LONGEST = 16;
