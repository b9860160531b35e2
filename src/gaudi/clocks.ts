/** The chip's clocks: phase-locked loops, whose frequencies follow from their registers, and the timestamp counter. */

import { DIV_SEL, PLL_REFERENCE_MHZ, plls } from '../../specs/gaudi/plls.ts';
import { psocTimestamp } from '../../specs/gaudi/registers/platform.ts';
import type { pll } from '../../specs/gaudi/registers/pll.ts';
import type { Clock } from '../sim/clock.ts';
import { RegisterBlock } from '../sim/registers.ts';

type PllBlock = RegisterBlock<typeof pll.rows>;

const OUTPUTS = 4;
/** Highest value of NF and DIV_FACTOR that the model programs. */
const MAX_DIVIDER = 64;

/** Frequency of an output, MHz, from the registers of its PLL (gaudi.c, gaudi_fetch_psoc_frequency has the formula). */
export function outputMhz(block: PllBlock, output: number): number {
  const divider = block.get('DIV_FACTOR', output) + 1;
  const vco = () => (PLL_REFERENCE_MHZ * (block.get('NF') + 1)) / ((block.get('NR') + 1) * (block.get('OD') + 1));
  switch (block.get('DIV_SEL', output)) {
    case DIV_SEL.REF_CLK:
      return PLL_REFERENCE_MHZ;
    case DIV_SEL.PLL_CLK:
      return vco();
    case DIV_SEL.DIVIDED_REF:
      return PLL_REFERENCE_MHZ / divider;
    case DIV_SEL.DIVIDED_PLL:
      return vco() / divider;
    default:
      return 0;
  }
}

export class Clocks {
  readonly #block: (name: string) => PllBlock;
  /** Frequencies asked for, hertz, by name of the PLL. */
  readonly #wanted = new Map<string, number>();

  /** @param block gives a PLL's registers by the name of its block */
  constructor(block: (name: string) => PllBlock) {
    this.#block = block;
  }

  /** Sets all PLLs as preboot does. */
  program(): void {
    this.#wanted.clear();
    for (const { block: name, mhz, dividers } of plls) {
      const block = this.#block(name);
      block.set('NR', 0);
      block.set('OD', 0);
      block.set('NF', mhz / PLL_REFERENCE_MHZ - 1);
      dividers.forEach((divider, output) => {
        block.set('DIV_FACTOR', divider - 1, output);
        block.set('DIV_SEL', DIV_SEL.DIVIDED_PLL, output);
      });
    }
  }

  /** @returns name of the PLL, or undefined where Gaudi has none of this index */
  find(index: number, legacy: boolean): string | undefined {
    return plls.find((p) => (legacy ? p.legacy : p.index) === index)?.name;
  }

  /** Frequencies of the four outputs, MHz. */
  outputs(name: string): number[] {
    return Array.from({ length: OUTPUTS }, (_, output) => outputMhz(this.#of(name), output));
  }

  /** Frequency of the main output, hertz. */
  current(name: string): number {
    return outputMhz(this.#of(name), 0) * 1e6;
  }

  /** What the PLL was last asked for, hertz; without a request, what it runs at. */
  wanted(name: string): number {
    return this.#wanted.get(name) ?? this.current(name);
  }

  /** Sets the main output as near to `hertz` from below as the PLL can. @returns false if it cannot go so low */
  set(name: string, hertz: number): boolean {
    const row = plls.find((p) => p.name === name);
    const mhz = hertz / 1e6;
    if (!row || !(mhz >= PLL_REFERENCE_MHZ)) return false;
    const nf = Math.min(Math.floor(Math.min(mhz, row.mhz) / PLL_REFERENCE_MHZ), MAX_DIVIDER);
    this.#of(name).set('NF', nf - 1);
    this.#wanted.set(name, Math.min(hertz, row.mhz * 1e6));
    return true;
  }

  #of(name: string): PllBlock {
    return this.#block(plls.find((p) => p.name === name)?.block ?? name);
  }
}

/** Arm generic counter; it counts output 2 of the CPU PLL. */
export class Timestamp {
  readonly block: RegisterBlock<typeof psocTimestamp.rows>;
  readonly #clock: Clock;
  readonly #hertz: () => number;
  #enabled = false;
  /** Count at `#since` ns. */
  #count = 0;
  #since = 0;

  constructor(clock: Clock, hertz: () => number) {
    this.#clock = clock;
    this.#hertz = hertz;
    const half = (upper: boolean) => ({
      read: () => (upper ? Math.floor(this.#now() / 2 ** 32) : this.#now()) >>> 0,
      write: (value: number) => {
        // Writable only while the counter is disabled (Arm ARM, CNTCV).
        if (this.#enabled) return;
        const count = this.#count;
        const low = count % 2 ** 32;
        this.#count = upper ? value * 2 ** 32 + low : count - low + value;
      },
    });
    this.block = new RegisterBlock(psocTimestamp, 'PSOC_TIMESTAMP', {
      CNTCR: {
        write: (value) => {
          this.block.set('CNTCR', value);
          this.#enable((value & 1) !== 0);
        },
      },
      CNTCVL: half(false),
      CNTCVU: half(true),
      CNTFID0: { read: () => this.#hertz() },
    });
  }

  reset(): void {
    this.block.reset();
    this.#enabled = false;
    this.#count = 0;
  }

  #enable(on: boolean): void {
    if (on === this.#enabled) return;
    if (on) this.#since = this.#clock.now();
    else this.#count = this.#now();
    this.#enabled = on;
  }

  #now(): number {
    if (!this.#enabled) return this.#count;
    return this.#count + Math.floor(((this.#clock.now() - this.#since) * this.#hertz()) / 1e9);
  }
}
