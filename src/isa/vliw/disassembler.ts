/** Turns a program into text that assembles to the same bytes. */

import { ModelError } from '../../sim/errors.ts';
import type { DisassembleOptions } from '../disassembler.ts';
import { BUNDLE_BYTES, type Loop } from './bundle.ts';
import type { DecodedSlot } from './decoder.ts';
import { type PrintedSlot, printLoop, printNumber, printSlot } from './printer.ts';
import { located, type RawBundle, type VliwSet } from './set.ts';

/** @throws ModelError that names the offset, for bytes that are no bundle, unless `data` */
export function disassembleVliw(set: VliwSet, bytes: Uint8Array, options: DisassembleOptions = {}): string {
  return new Disassembler(set, bytes, options).run();
}

type Decoded = RawBundle | Loop | undefined;

class Disassembler {
  readonly #set: VliwSet;
  readonly #bytes: Uint8Array;
  readonly #options: DisassembleOptions;
  readonly #labels = new Map<number, string>();
  readonly #printed = printedSlots;

  constructor(set: VliwSet, bytes: Uint8Array, options: DisassembleOptions) {
    this.#set = set;
    this.#bytes = bytes;
    this.#options = options;
  }

  run(): string {
    const whole = this.#bytes.length - (this.#bytes.length % BUNDLE_BYTES);
    const decoded: Decoded[] = [];
    for (let offset = 0; offset < whole; offset += BUNDLE_BYTES) decoded.push(this.#decode(offset));
    if (whole !== this.#bytes.length) {
      const rest = this.#bytes.length - whole;
      throw new ModelError(
        'guest',
        this.#set.name,
        `at offset 0x${whole.toString(16)}: a bundle has ${BUNDLE_BYTES} bytes; there are ${rest}`,
      );
    }
    for (const [offset, name] of this.#options.symbols ?? []) this.#labels.set(offset, name);
    decoded.forEach((each, i) => {
      this.#findTarget(each, i * BUNDLE_BYTES);
    });
    const lines: string[] = [];
    decoded.forEach((each, i) => {
      const offset = i * BUNDLE_BYTES;
      const label = this.#labels.get(offset);
      if (label !== undefined) lines.push(`${label}:`);
      const text = each === undefined ? this.#data(offset) : this.#print(each, offset);
      lines.push(this.#options.listing ? this.#listing(text, offset) : text);
    });
    const end = this.#labels.get(whole);
    if (end !== undefined) lines.push(`${end}:`);
    return lines.map((line) => `${line}\n`).join('');
  }

  #decode(offset: number): Decoded {
    try {
      return this.#set.decodeRaw(this.#bytes, offset);
    } catch (error) {
      if (this.#options.data && error instanceof ModelError) return undefined;
      throw located(error, offset);
    }
  }

  /** Where a jump or a loop leads to. */
  #findTarget(decoded: Decoded, offset: number): void {
    const target = this.#target(decoded, offset);
    if (target !== undefined && !this.#labels.has(target)) this.#labels.set(target, `L_${target.toString(16)}`);
  }

  /** Undefined where it leads nowhere within the program. A loop that ends beyond it needs a label of its own. */
  #target(decoded: Decoded, offset: number): number | undefined {
    if (!decoded) return undefined;
    if ('kind' in decoded) {
      const end = offset + decoded.endOffset + BUNDLE_BYTES;
      return end <= this.#bytes.length ? end : offset;
    }
    const { spu } = decoded.slots;
    if (spu.immediate < 0 || !this.#slot(spu).isLabel) return undefined;
    const target = offset + (decoded.imm | 0);
    return target >= 0 && target <= this.#bytes.length && target % BUNDLE_BYTES === 0 ? target : undefined;
  }

  #print(decoded: RawBundle | Loop, offset: number): string {
    const target = this.#target(decoded, offset);
    const label = target === undefined ? undefined : this.#labels.get(target);
    if ('kind' in decoded) {
      const beyond = offset + decoded.endOffset + BUNDLE_BYTES - (target ?? offset);
      return printLoop(decoded, beyond === 0 ? `${label}` : `${label}+${beyond}`);
    }
    const { load, spu, vpu, store } = decoded.slots;
    const imm = decoded.imm;
    return `${this.#text(load, imm)}; ${this.#text(spu, imm, label)}; ${this.#text(vpu, imm)}; ${this.#text(store, imm)}`;
  }

  #slot(decoded: DecodedSlot): PrintedSlot {
    let printed = this.#printed.get(decoded);
    if (!printed) {
      printed = printSlot(this.#set.facts, decoded.form, decoded.instruction, decoded.immediate);
      this.#printed.set(decoded, printed);
    }
    return printed;
  }

  #text(decoded: DecodedSlot, imm: number, label?: string): string {
    const { before, after, isLabel } = this.#slot(decoded);
    if (after === undefined) return before;
    if (!isLabel) return `${before}${printNumber(imm)}${after}`;
    const distance = imm | 0;
    return `${before}${label ?? (distance < 0 ? `-${printNumber(-distance)}` : printNumber(distance))}${after}`;
  }

  #data(offset: number): string {
    const words: string[] = [];
    for (let at = offset; at < offset + BUNDLE_BYTES; at += 4) {
      const word = this.#bytes.subarray(at, at + 4).reduce((value, byte, i) => value + byte * 2 ** (8 * i), 0);
      words.push(`0x${word.toString(16)}`);
    }
    return `.long ${words.join(', ')}`;
  }

  #listing(text: string, offset: number): string {
    const bytes = this.#bytes.slice(offset, offset + BUNDLE_BYTES).toHex();
    return `${text.padEnd(80)} // ${offset.toString(16).padStart(4, '0')}: ${bytes}`;
  }
}

/** Slots are decoded once for all bundles that have them, and printed once. */
const printedSlots = new WeakMap<DecodedSlot, PrintedSlot>();
