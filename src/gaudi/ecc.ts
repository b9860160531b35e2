/** Memories of a block that tell of their ECC errors in registers of the block, not through the firmware alone. */

import { ECC_CLEAR, eccMemory } from '../../specs/gaudi/registers/common.ts';
import { RegisterBlock } from '../sim/registers.ts';

type Kind = keyof typeof ECC_CLEAR;

/** An ECC error. */
export interface EccPlace {
  readonly address: number;
  readonly syndrome: number;
  /** Which memory of the block. */
  readonly index: number;
}

/** Blocks that have them: those the driver asks (gaudi.c, gaudi_handle_ecc_event), and those that share a line of interrupts. */
export const ECC_BLOCKS = /^(TPC\d_CFG|DMA\d_CORE|MME\d_(ACC|SBAB))$/;

export class EccMemories {
  readonly registers: RegisterBlock<typeof eccMemory.rows>;
  readonly #last = new Map<number, EccPlace>();

  constructor(name: string) {
    this.registers = new RegisterBlock(eccMemory, name, {
      ECC_ADDRESS: { read: () => this.#selected()?.address ?? 0 },
      ECC_SYNDROME: { read: () => this.#selected()?.syndrome ?? 0 },
      ECC_MEM_INFO_CLR: {
        write: (value) => {
          for (const kind of ['SERR', 'DERR'] as const) if (value & ECC_CLEAR[kind]) this.#clear(kind);
        },
      },
    });
  }

  /** A memory has found an error. */
  fail(kind: Kind, place: EccPlace): void {
    this.#last.set(place.index, place);
    this.#set(kind, place.index, true);
  }

  /** What the selected memory has to say, while one of its bits is set. */
  #selected(): EccPlace | undefined {
    const memory = this.registers.get('ECC_MEM_SEL');
    return this.#has('SERR', memory) || this.#has('DERR', memory) ? this.#last.get(memory) : undefined;
  }

  #has(kind: Kind, memory: number): boolean {
    return memory < 128 && (this.registers.get(`ECC_${kind}`, memory >>> 5) & (1 << (memory & 31))) !== 0;
  }

  /** Of the selected memory. */
  #clear(kind: Kind): void {
    const memory = this.registers.get('ECC_MEM_SEL');
    if (this.#has(kind, memory)) this.#set(kind, memory, false);
  }

  #set(kind: Kind, memory: number, to: boolean): void {
    const bit = 1 << (memory & 31);
    const word = this.registers.get(`ECC_${kind}`, memory >>> 5);
    this.registers.set(`ECC_${kind}`, (to ? word | bit : word & ~bit) >>> 0, memory >>> 5);
  }
}
