/**
 * A tensor processor core as far as the chip around it sees it: registers, and a status that follows from what it does.
 * It does not execute kernels, with one exception: the one that the driver has every core run when it initialises the
 * chip (gaudi.c, gaudi_init_tpc_mem), which has no effect but to initialise memories that no one can see.
 */

import { addressMap } from '../../specs/gaudi/address-map.ts';
import { tpcCfg } from '../../specs/gaudi/registers/tpc-cfg.ts';
import type { Clock } from '../sim/clock.ts';
import { type ErrorLog, ModelError } from '../sim/errors.ts';
import { Condition, Process, type Steps } from '../sim/process.ts';
import { RegisterBlock } from '../sim/registers.ts';
import type { Engine } from './engine.ts';

/** The configuration's place in the engine's window (gaudi_blocks.h: TPC0_CFG 0xE06000, window at 0xE00000). */
const CFG_OFFSET = 0x6000;
/** Bits of STATUS. Bit 0 and 4 are not documented. */
const STATUS = {
  SCALAR_PIPE_EMPTY: 0x02,
  VECTOR_PIPE_EMPTY: 0x04,
  IQ_EMPTY: 0x08,
  SB_EMPTY: 0x20,
  QM_IDLE: 0x40,
  QM_RDY: 0x80,
} as const;
const PIPES_EMPTY = STATUS.SCALAR_PIPE_EMPTY | STATUS.VECTOR_PIPE_EMPTY | STATUS.IQ_EMPTY | STATUS.SB_EMPTY;
/** Bits of TPC_CMD. */
const CMD = { CACHES: 0x0f, PREFETCH: 0x30, QMAN_STOP: 0x40 } as const;
/** Where the driver puts the kernel it runs at initialisation: the first 8 KiB boundary of the user's part of SRAM. */
const INITIALISATION_KERNEL = addressMap.SRAM_BASE + 0x2000;
/** Simulated time of a cache command and of that kernel, ns. */
const CACHE_NS = 2_000;
const KERNEL_NS = 10_000;

export class Tpc implements Engine {
  readonly name: string;
  readonly block: RegisterBlock<typeof tpcCfg.rows>;
  readonly #clock: Clock;
  readonly #errors: ErrorLog;
  readonly #idle = new Condition();
  readonly #stall = new Condition();
  #process: Process | undefined;
  #activity: 'cache' | 'kernel' | undefined;

  constructor(index: number, ports: { readonly clock: Clock; readonly errors: ErrorLog }) {
    this.name = `TPC${index}`;
    this.#clock = ports.clock;
    this.#errors = ports.errors;
    this.block = new RegisterBlock(tpcCfg, `TPC${index}_CFG`, {
      STATUS: { read: () => this.#status() },
      WQ_INFLIGHT_CNTR: { read: () => 0 },
      TPC_CMD: { write: (value) => this.#command(value) },
      TPC_EXECUTE: { write: (value) => this.#execute(value) },
      TPC_STALL: {
        write: (value) => {
          this.block.set('TPC_STALL', value & 1);
          this.#stall.notify();
        },
      },
    });
  }

  busy(): boolean {
    return this.#activity !== undefined;
  }

  // biome-ignore lint/correctness/useYield: a register takes what it is given at once
  *writeRegister(offset: number, value: number): Steps {
    const at = offset - CFG_OFFSET;
    if (at < 0 || at >= this.block.spec.size) {
      throw new ModelError('unimplemented', `${this.name}+0x${offset.toString(16)}`, 'write of an unknown register');
    }
    // A command processor never starts the kernel of the exception: that is run by the driver itself.
    if (this.block.spec.words[at >>> 2]?.name === 'TPC_EXECUTE' && (value & 1) !== 0) this.#refuse();
    this.block.write32(at, value);
  }

  *drain(): Steps {
    while (this.#activity) yield this.#idle;
  }

  reset(): void {
    this.#process?.kill();
    this.#activity = undefined;
    this.block.reset();
    this.#idle.notify();
  }

  #status(): number {
    if (this.#activity === 'kernel') return 0;
    if (this.#activity === 'cache') return STATUS.SCALAR_PIPE_EMPTY | STATUS.SB_EMPTY | STATUS.QM_IDLE;
    return PIPES_EMPTY | STATUS.QM_IDLE | STATUS.QM_RDY;
  }

  #command(value: number): void {
    if (value & CMD.QMAN_STOP) {
      throw new ModelError('unimplemented', `${this.block.name}.TPC_CMD`, 'stop of the queue manager by its engine');
    }
    if (value & (CMD.CACHES | CMD.PREFETCH)) this.#run('cache', CACHE_NS);
  }

  #execute(value: number): void {
    if ((value & 1) === 0) return;
    const kernel =
      this.block.get('QM_KERNEL_BASE_ADDRESS_HIGH') * 2 ** 32 + this.block.get('QM_KERNEL_BASE_ADDRESS_LOW');
    if (kernel !== INITIALISATION_KERNEL) this.#refuse();
    this.#run('kernel', KERNEL_NS);
  }

  #refuse(): never {
    throw new ModelError('unimplemented', `${this.block.name}.TPC_EXECUTE`, 'execution of a kernel');
  }

  #run(activity: 'cache' | 'kernel', duration: number): void {
    this.#process?.kill();
    this.#activity = activity;
    const steps = this.#work(duration);
    this.#process = new Process(this.#clock, `${this.name} ${activity}`, steps, (error) => {
      if (!(error instanceof ModelError)) throw error;
      this.#errors.report(error);
    });
  }

  *#work(duration: number): Steps {
    yield duration;
    while (this.block.get('TPC_STALL') & 1) yield this.#stall;
    this.#activity = undefined;
    this.#idle.notify();
  }
}
