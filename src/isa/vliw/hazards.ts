/**
 * Reads that come before the latency of the value has passed: legal, and they see the value before. Bundles are looked
 * at in the order of the text, which is the order of a program without jumps.
 */

import type { Instruction, RegisterFile, Slot } from './bundle.ts';
import { slots } from './bundle.ts';
import type { VliwFacts } from './rows.ts';

export interface HazardPlace {
  readonly start: number;
  readonly end: number;
}

interface Write {
  readonly bundle: number;
  readonly slot: Slot;
  readonly latency: number;
  readonly mnemonic: string;
  readonly place: HazardPlace;
}

export interface Hazard {
  readonly register: string;
  readonly reader: HazardPlace;
  readonly writer: Write;
  readonly distance: number;
  readonly needed: number;
}

/** Operands that an instruction writes, by role. */
const writtenRoles = new Set(['dest']);

export class HazardFinder {
  readonly #facts: VliwFacts;
  readonly #latency: (instruction: Instruction) => number;
  readonly #writes = new Map<string, Write>();
  #bundle = 0;

  constructor(facts: VliwFacts, latency: (instruction: Instruction) => number) {
    this.#facts = facts;
    this.#latency = latency;
  }

  /** A LOOP, or what else is no bundle of slots. */
  skip(): void {
    this.#bundle++;
  }

  /** The next bundle. */
  next(
    bundle: Readonly<Partial<Record<Slot, Instruction>>>,
    place: (slot: Slot) => HazardPlace,
    found: (hazard: Hazard) => void,
  ): void {
    for (const slot of slots) {
      const instruction = bundle[slot];
      if (instruction) this.#reads(instruction, place(slot), found);
    }
    for (const slot of slots) {
      const instruction = bundle[slot];
      if (instruction) this.#write(instruction, place(slot));
    }
    this.#bundle++;
  }

  #reads(instruction: Instruction, reader: HazardPlace, found: (hazard: Hazard) => void): void {
    const { operands, roles, predicate } = instruction;
    operands.forEach((operand, i) => {
      if (operand.kind !== 'register') return;
      // A multiply-accumulate reads what it writes, but at its own end.
      if (!writtenRoles.has(roles[i] as string)) this.#read(instruction, operand.file, operand.number, reader, found);
    });
    if (predicate) this.#read(instruction, predicate.file, predicate.number, reader, found);
  }

  #read(
    instruction: Instruction,
    file: RegisterFile,
    number: number,
    reader: HazardPlace,
    found: (hazard: Hazard) => void,
  ): void {
    for (const [single, n] of this.#singles(file, number)) {
      const register = `${single}${n}`;
      const writer = this.#writes.get(register);
      if (!writer) continue;
      const distance = this.#bundle - writer.bundle;
      const needed = this.#needed(writer, single, instruction);
      if (distance < needed) found({ register, reader, writer, distance, needed });
    }
  }

  #needed(writer: Write, file: RegisterFile, reader: Instruction): number {
    const rule = this.#facts.latencyRules.find(
      (each) =>
        each.from === writer.slot &&
        each.file === file &&
        each.to === reader.slot &&
        (!each.readers || each.readers.includes(reader.mnemonic)),
    );
    if (!rule) return 1;
    return (rule.bundles === 'own' ? writer.latency : rule.bundles) + (rule.plus ?? 0);
  }

  #write(instruction: Instruction, place: HazardPlace): void {
    const { slot, mnemonic, roles, operands } = instruction;
    const at = roles.indexOf('dest');
    const dest = operands[at];
    if (dest?.kind !== 'register') return;
    const latency = this.#latency(instruction);
    for (const [file, number] of this.#singles(dest.file, dest.number)) {
      this.#writes.set(`${file}${number}`, { bundle: this.#bundle, slot, latency, mnemonic, place });
    }
  }

  #singles(file: RegisterFile, number: number): readonly (readonly [RegisterFile, number])[] {
    const row = this.#facts.registers.find((each) => each.file === file);
    if (!row?.of) return [[file, number]];
    const of = row.of;
    return Array.from({ length: row.span }, (_, i) => [of, number + i] as const);
  }
}
