/** What the bodies of instructions work on: state, pipeline, and the ports of the core. */

import type { Instruction, RegisterFile, Slot, VliwDecoder } from '../isa/vliw/bundle.ts';
import { type Category, ModelError } from '../sim/errors.ts';
import { LFSR, SCALAR_LFSR } from './layout.ts';
import { step } from './numbers/lfsr.ts';
import { type RoundingMode, roundingModes } from './numbers/rounding.ts';
import type { Arrival, Pipeline } from './pipeline.ts';
import type { ConfigPort, InterruptCause, MemoryPort } from './ports.ts';
import type { CoreState } from './state.ts';
import { readTensor, type Tensor } from './tensor.ts';

export type Decoder = VliwDecoder<string, string, string, string>;

/** Registers of the configuration space that the core itself looks at (tpc0_cfg_regs.h; offsets in TPC_CFG). */
export const CONFIG = {
  kernelConfig: 0x7b8,
  roundCsr: 0x8fc,
  semaphore: 0x908,
  lfsrPolynomial: 0x918,
  interruptMask: 0x95c,
  lutBase: 0x978,
} as const;

/** Bits of INTR_CAUSE that arithmetic sets: overflows, NaN, infinity, denormals. */
const ARITHMETIC_CAUSES = 0xffc;

/** Thrown, and caught by the core, when memory has no answer yet: the instruction is tried again later. */
export class MemoryNotReady extends Error {
  override readonly name = 'MemoryNotReady';
}

/** Where the program goes on after this bundle. */
export interface Control {
  /** Byte address; undefined: the next bundle. */
  jump: number | undefined;
  halt: boolean;
  /** Stopped for a debugger. */
  debug: boolean;
}

export class Machine {
  readonly state: CoreState;
  readonly pipeline: Pipeline;
  readonly memory: MemoryPort;
  readonly config: ConfigPort;
  readonly interrupt: (cause: InterruptCause) => void;
  readonly decoder: Decoder;
  readonly control: Control = { jump: undefined, halt: false, debug: false };
  /** Byte address of the bundle that is being done. */
  pc = 0;
  /** The program wrote the configuration space: `readConfig` is due at the end of the bundle. */
  configChanged = false;
  /** Size of the vector local memory that the program may use, in bytes. */
  vlmBytes = 0;
  #roundingMode: RoundingMode | undefined = 'rhne';
  #polynomial = 0;
  readonly #tensors: Tensor[] = [];
  readonly #views: (Uint8Array | null | undefined)[] = [];
  readonly #watched: boolean;
  /** Someone wants to be told of arithmetic's interrupt causes: INTR_MASK lets one pass. */
  causesMatter = false;
  /** The random registers as they were before the step of this instruction. */
  readonly #random = new Uint32Array(64);

  constructor(ports: {
    readonly state: CoreState;
    readonly pipeline: Pipeline;
    readonly memory: MemoryPort;
    readonly config: ConfigPort;
    readonly interrupt: ((cause: InterruptCause) => void) | undefined;
    readonly decoder: Decoder;
  }) {
    this.state = ports.state;
    this.pipeline = ports.pipeline;
    this.memory = ports.memory;
    this.config = ports.config;
    this.interrupt = ports.interrupt ?? (() => {});
    this.#watched = ports.interrupt !== undefined;
    this.decoder = ports.decoder;
  }

  /**
   * Bundles until an instruction of the same slot sees a result in a register of `file`; other slots see it in the next
   * bundle. Predicates are bypassed (2), and what LOAD and STORE move arrives at once or is waited for, but addresses.
   */
  exposedLatency(i: Instruction, file: RegisterFile): number {
    const latency = this.decoder.latencyOf(i);
    if (file === 'SP' || file === 'VP') return Math.min(latency, 2);
    if (i.slot === 'spu' || i.slot === 'vpu' || file === 'AD') return latency;
    return 1;
  }

  /** Bundles that a reader waits for what the instruction loads; 0 where it loads nothing. */
  interlock(i: Instruction): number {
    return this.decoder.loads(i) ? this.decoder.latencyOf(i) : 0;
  }

  /** When a result in a register of `file` arrives. */
  arrival(i: Instruction, file: RegisterFile): Arrival {
    const chain = this.decoder.chainOf(i);
    const when = { latency: this.exposedLatency(i, file), interlock: this.interlock(i) };
    return chain ? { ...when, chain } : when;
  }

  /** Looks at the configuration space again: when the core is told to go on, and when the program writes there. */
  readConfig(): void {
    this.#roundingMode = roundingModes[this.config.read(CONFIG.roundCsr) & 7];
    this.#polynomial = this.config.read(CONFIG.lfsrPolynomial) >>> 0;
    this.#tensors.length = 0;
    this.#views.length = 0;
    const mask = this.config.read(CONFIG.interruptMask) & ARITHMETIC_CAUSES;
    this.causesMatter = this.#watched && mask !== ARITHMETIC_CAUSES;
  }

  /** All bytes of a tensor, if memory gives them directly and in one piece. Valid until the core returns. */
  tensorView(number: number, access: 'read' | 'write'): Uint8Array | undefined {
    const at = 2 * number + (access === 'read' ? 0 : 1);
    const known = this.#views[at];
    if (known !== undefined) return known ?? undefined;
    const length = this.#lengthOf(number);
    const view = length > 0 ? this.memory.view(this.tensor(number).base, length, access) : undefined;
    this.#views[at] = view ?? null;
    return view;
  }

  /** Whether no load of a part of a tensor has to be waited for until the core returns. */
  reaches(number: number): boolean {
    const length = this.#lengthOf(number);
    return length > 0 && this.memory.reaches?.(this.tensor(number).base, length) === true;
  }

  /** Bytes from the first element of a tensor to the end of the last; 0 where that is no number. */
  #lengthOf(number: number): number {
    const tensor = this.tensor(number);
    let last = 0;
    for (const d of tensor.dims) last += ((tensor.sizes[d] as number) - 1) * (tensor.strides[d] as number);
    const length = (last + 1) * tensor.elementBytes;
    return Number.isSafeInteger(length) && tensor.dims.every((d) => (tensor.sizes[d] as number) > 0) ? length : 0;
  }

  /** A tensor by its descriptor as it was when the configuration space was last looked at. @throws like `readTensor` */
  tensor(number: number): Tensor {
    this.#tensors[number] ??= readTensor(this.config, number);
    return this.#tensors[number];
  }

  /** The mode that ROUND_CSR says. @throws ModelError where it says none */
  roundingMode(): RoundingMode {
    if (this.#roundingMode === undefined) {
      throw new ModelError('undefined', 'ROUND_CSR', 'a rounding mode that does not exist');
    }
    return this.#roundingMode;
  }

  /** Reads memory into the state. @throws MemoryNotReady where it has to be waited for */
  load(address: number, length: number, target: number): void {
    const { bytes } = this.state;
    const view = this.memory.view(address, length, 'read');
    if (view) {
      bytes.set(view.length === length ? view : view.subarray(0, length), target);
      return;
    }
    if (!this.memory.read)
      throw new ModelError('guest', `0x${address.toString(16)}`, `nothing to read there (${length} bytes)`);
    if (!this.memory.read(address, bytes.subarray(target, target + length))) throw new MemoryNotReady();
  }

  /** Writes memory from the state. */
  store(address: number, length: number, source: number): void {
    const bytes = this.state.bytes.subarray(source, source + length);
    const view = this.memory.view(address, length, 'write');
    if (view) view.set(bytes);
    else if (this.memory.write) this.memory.write(address, bytes);
    else throw new ModelError('guest', `0x${address.toString(16)}`, `nothing to write there (${length} bytes)`);
  }

  /** Random numbers for this instruction, one for each 32-bit lane; the registers step. */
  stepRandom(slot: Slot): void {
    const words = this.state.u32;
    if (slot === 'vpu' || slot === 'load') {
      for (let lane = 0; lane < 64; lane++) {
        const at = LFSR / 4 + lane;
        this.#random[lane] = words[at] as number;
        words[at] = step(words[at] as number, this.#polynomial);
      }
    } else {
      this.#random[0] = words[SCALAR_LFSR / 4] as number;
      words[SCALAR_LFSR / 4] = step(words[SCALAR_LFSR / 4] as number, this.#polynomial);
    }
  }

  /** From 0 to below 1, for the lane of `bytes` bytes: the bits of the random register that lie in it. */
  random(lane: number, bytes: number): number {
    if (bytes === 4) return (this.#random[lane] as number) / 2 ** 32;
    const word = this.#random[(lane * bytes) >> 2] as number;
    const bits = bytes * 8;
    return ((word >>> ((lane * bits) & 31)) & (2 ** bits - 1)) / 2 ** bits;
  }

  /** The random numbers themselves, as V40 and S40 read. */
  get randomWords(): Uint32Array {
    return this.#random;
  }
}

/** How an instruction is called in errors, e.g. `vpu.mac`. */
export function nameOf(i: Instruction): string {
  return `${i.slot}.${i.mnemonic}`;
}

export function refuse(i: Instruction, category: Category, message: string): never {
  throw new ModelError(category, nameOf(i), message);
}

/** Does one instruction. It may read the state and stage results; it must not write registers itself. */
export type Action = () => void;

/**
 * What an instruction does: given the instruction, the action that does it. Operands are looked up once, here; the action
 * runs each time the instruction is reached with its scalar predicate true.
 *
 * @throws ModelError for a form that the core does not have
 */
export type Body = (i: Instruction, m: Machine) => Action;
