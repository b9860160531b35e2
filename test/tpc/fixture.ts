/** A core alone, with programs in assembly and tensors in memory. */

import { tpcGaudi } from '../../specs/tpc/gaudi.ts';
import { assembleVliw } from '../../src/isa/vliw/assembler.ts';
import { type Launch, TpcCore, type TpcOptions } from '../../src/tpc/core.ts';
import { FlatMemory, PlainConfig, type TensorOptions } from '../../src/tpc/flat.ts';
import type { InterruptCause } from '../../src/tpc/ports.ts';

export const CODE = 0x1000;
export const DATA = 0x10_0000;

export type Elements = Float32Array | Int32Array | Uint32Array | Int16Array | Uint16Array | Int8Array | Uint8Array;

/** The program's bytes. The tests of the core know what hazards they want. */
export function assemble(text: string): Uint8Array {
  return assembleVliw(tpcGaudi, text, { hazards: false }).bytes;
}

export interface Bench {
  readonly core: TpcCore;
  readonly memory: FlatMemory;
  readonly config: PlainConfig;
  readonly interrupts: InterruptCause[];
  /** Makes the elements tensor `number`. The array is the memory. */
  tensor(
    number: number,
    elements: Elements,
    options: Omit<TensorOptions, 'base' | 'sizes'> & { sizes?: readonly number[] },
  ): void;
  /** Starts at the first bundle and runs to the end. */
  run(launch?: Omit<Launch, 'pc'>, budget?: number): void;
  vector(number: number): Uint8Array;
  floats(number: number): Float32Array;
  words(number: number): Int32Array;
}

/** A core with a program; what `halt` is not in the text is added at its end. */
export function bench(text: string, options: TpcOptions = {}): Bench {
  const memory = new FlatMemory();
  const config = new PlainConfig();
  const interrupts: InterruptCause[] = [];
  const body = /\bhalt\b/i.test(text) ? text : `${text}\nnop; halt; halt; nop\n`;
  memory.add(CODE, assemble(body));
  const core = new TpcCore({ memory, config, onInterrupt: (cause) => interrupts.push(cause) }, options);
  let next = DATA;
  const vector = (number: number) => core.state.vector(number).slice();
  return {
    core,
    memory,
    config,
    interrupts,
    tensor(number, elements, tensor) {
      memory.add(next, new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength));
      config.setTensor(number, { sizes: [elements.length], ...tensor, base: next });
      next += (elements.byteLength + 0xffff) & ~0xffff;
    },
    run(launch = {}, budget = 100_000) {
      core.start({ pc: CODE, ...launch });
      const status = core.run(budget);
      if (status !== 'halted') throw new Error(`the program is ${status}`);
    },
    vector,
    floats: (number) => new Float32Array(vector(number).buffer),
    words: (number) => new Int32Array(vector(number).buffer),
  };
}

/** One vector instruction on given operands V1 to V4 (as bytes), results in immediate mode. */
export function vectorStep(
  line: string,
  inputs: Readonly<Record<number, Elements>>,
  scalars: readonly number[] = [],
): Bench {
  const b = bench(`nop; nop; ${line}; nop`, { latency: 'immediate' });
  b.core.start({ pc: CODE, srf: scalars });
  for (const [number, elements] of Object.entries(inputs)) {
    b.core.state.vector(Number(number)).set(new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength));
  }
  b.core.run(10);
  return b;
}
