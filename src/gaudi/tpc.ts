/**
 * A tensor processor core in the chip: its registers, the queue of kernels that it is to run, and the interpreter of
 * src/tpc, which is run in slices so that time and the rest of the chip go on.
 *
 * The queue manager, or the host, writes the descriptor of a kernel to the QM_* registers and starts it by TPC_EXECUTE, which
 * takes a copy: the next descriptor can be written while the kernel runs. When its turn comes the copy becomes KERNEL_*, which
 * is what the core and its program see. After the kernel's last write its message goes to its sync object
 * (SynapseAI_Core, asic_reg_structs/tpc_regs.h; gaudi.c, gaudi_run_tpc_kernel).
 */

import { CAUSE, CMD, KERNEL_CONFIG, PROT, STATUS, tpcCfg, USER } from '../../specs/gaudi/registers/tpc-cfg.ts';
import type { Clock } from '../sim/clock.ts';
import { type ErrorLog, ModelError } from '../sim/errors.ts';
import { Condition, Process, type Steps } from '../sim/process.ts';
import { RegisterBlock } from '../sim/registers.ts';
import { TpcCore, type TpcPorts } from '../tpc/core.ts';
import { LOOP_COUNTER, SCRATCH } from '../tpc/layout.ts';
import { interruptCauses } from '../tpc/ports.ts';
import { following, type Track } from '../trace/recorder.ts';
import { BusError, type ChipBus, type Initiator } from './bus.ts';
import type { Engine } from './engine.ts';
import { followLaunch } from './tpc-follow.ts';
import { isRegister, TpcMemory } from './tpc-memory.ts';
import { Spin } from './tpc-spin.ts';

export interface TpcEnginePorts {
  readonly clock: Clock;
  readonly bus: ChipBus;
  readonly errors: ErrorLog;
  /** Frequency of the core, hertz. */
  hertz(): number;
  /** The interrupt: a cause was set that INTR_MASK lets through. */
  onInterrupt(): void;
  /** Compile hot loops; default true. Results and cycles are the same. */
  readonly compile?: boolean;
  /** Nanoseconds by which the next kernel is late, for tests of ordering; asked once per kernel. */
  delay?(): number;
  /** Whether the next kernel stands still at its beginning. */
  fault?(): boolean;
  readonly track?: Track | undefined;
  /** Where the bundles of launches that are followed are told. */
  readonly bundles?: Track | undefined;
}

/** The configuration's place in the engine's window (gaudi_blocks.h: TPC0_CFG 0xE06000, window at 0xE00000). */
const CFG_OFFSET = 0x6000;
/** What is empty while no kernel runs. */
const PIPES_EMPTY = STATUS.SCALAR_PIPE_EMPTY | STATUS.VECTOR_PIPE_EMPTY | STATUS.IQ_EMPTY | STATUS.SB_EMPTY;
/** From the first register of KERNEL_* to the last, in words; QM_* has the same order. */
const DESCRIPTOR = (tpcCfg.rows.KERNEL_SRF.offset - tpcCfg.rows.KERNEL_TENSOR_BASE_ADDR_LOW.offset) / 4 + LOOP_COUNTER;
/** Kernels that the core holds, the one under way included. A choice of the model: the depth is not published. */
const QUEUE = 4;
/** Simulated time of a cache command, and from the start of a kernel to its first bundle, ns. */
const CACHE_NS = 2_000;
const LAUNCH_NS = 500;
/** Bundles between two looks at the clock. */
const SLICE = 4096;
/**
 * After so many bundles a kernel has taken the computer seconds. Their time then passes as slowly as an interpreter works,
 * so that the driver's time limit, and not the patience of who is watching, ends a program that has no end.
 */
const LONG = 4_194_304;
const LONG_BUNDLE_NS = 1_000;
/** How long a core that polls is left alone: twice as long each time, up to this, ns. */
const NAP_NS = 10_000;
const LONGEST_NAP_NS = 5_000_000;

type Job =
  | { readonly kind: 'cache' }
  | { readonly kind: 'kernel'; readonly descriptor: Uint32Array; readonly flow: number };

export class Tpc implements Engine {
  readonly name: string;
  readonly block: RegisterBlock<typeof tpcCfg.rows>;
  readonly #ports: TpcEnginePorts;
  readonly #memory: TpcMemory;
  readonly #writer: Initiator;
  readonly #changed = new Condition();
  #core: TpcCore | undefined;
  #process: Process | undefined;
  readonly #jobs: Job[] = [];
  /** Jobs accepted, and those of them that are done, since the last reset. */
  #accepted = 0;
  #done = 0;
  #resets = 0;
  #configAccesses = 0;
  /** Kernels started since power-on. */
  executed = 0;

  constructor(index: number, ports: TpcEnginePorts) {
    this.name = `TPC${index}`;
    this.#ports = ports;
    this.block = new RegisterBlock(tpcCfg, `TPC${index}_CFG`, {
      STATUS: { read: () => this.#status() },
      WQ_INFLIGHT_CNTR: {
        read: () => {
          const { memory, registers } = this.#memory.inflight();
          return Math.min(memory, 0xffff) + Math.min(registers, 0xf) * 2 ** 16;
        },
      },
      TPC_CMD: { write: (value) => this.#command(value) },
      TPC_EXECUTE: { write: (value) => this.#execute(value) },
      TPC_STALL: {
        write: (value) => {
          this.block.set('TPC_STALL', value & 1);
          this.#changed.notify();
        },
      },
    });
    const initiator = (user: 'ARUSER_LO' | 'AWUSER_LO', shift: number): Initiator => ({
      name: this.name,
      asid: () => this.block.get(user) & USER.ASID,
      mmuBypass: () => (this.block.get(user) & USER.MMBP) !== 0,
      secure: () => ((this.block.get('PROT') >>> shift) & PROT.NON_SECURE) === 0,
    });
    this.#writer = initiator('AWUSER_LO', PROT.AW_SHIFT);
    this.#memory = new TpcMemory({
      bus: ports.bus,
      reader: initiator('ARUSER_LO', PROT.AR_SHIFT),
      writer: this.#writer,
      pc: () => this.#core?.pc ?? 0,
      onError: (error) => this.#accessFailed(error),
    });
    this.#start();
  }

  /** Rounds of loops that compiled code has done since the last reset. */
  get compiledRounds(): number {
    return this.#core?.compiledRounds ?? 0;
  }

  busy(): boolean {
    return this.#jobs.length > 0;
  }

  *writeRegister(offset: number, value: number): Steps {
    const at = offset - CFG_OFFSET;
    if (at < 0 || at >= this.block.spec.size) {
      throw new ModelError('unimplemented', `${this.name}+0x${offset.toString(16)}`, 'write of an unknown register');
    }
    if (at === this.block.offsetOf('TPC_EXECUTE') && (value & 1) !== 0) {
      const resets = this.#resets;
      while (this.#jobs.length >= QUEUE && resets === this.#resets) yield this.#changed;
      if (resets !== this.#resets) return;
    }
    this.block.write32(at, value);
  }

  drain(): Steps | undefined {
    return this.busy() ? this.#drain() : undefined;
  }

  /** Ends what is under way; nothing of it is written any more, and no completion. */
  reset(): void {
    this.#process?.kill();
    this.#jobs.length = 0;
    this.#accepted = 0;
    this.#done = 0;
    this.#resets++;
    this.#memory.reset();
    // What the local memories and the random numbers hold after a reset is not documented; the model leaves zeros.
    this.#core = undefined;
    this.block.reset();
    this.#changed.notify();
    this.#start();
  }

  /** Ends the engine's process, for good. */
  close(): void {
    this.#process?.kill();
    this.#jobs.length = 0;
  }

  *#drain(): Steps {
    const until = this.#accepted;
    const resets = this.#resets;
    while (this.#done < until && resets === this.#resets) yield this.#changed;
  }

  #status(): number {
    const ready = this.#jobs.length < QUEUE ? STATUS.QM_RDY : 0;
    const [job] = this.#jobs;
    if (!job) return PIPES_EMPTY | STATUS.QM_IDLE | ready;
    if (job.kind === 'kernel') return this.#memory.inflight().memory > 0 ? 0 : STATUS.SB_EMPTY;
    return STATUS.SCALAR_PIPE_EMPTY | STATUS.SB_EMPTY | STATUS.QM_IDLE;
  }

  #command(value: number): void {
    if (value & CMD.QMAN_STOP) {
      throw new ModelError('unimplemented', `${this.block.name}.TPC_CMD`, 'stop of the queue manager by its engine');
    }
    // There are no caches here that could be stale, and what is fetched ahead is not faster: it only takes its time.
    if (value & (CMD.CACHES | CMD.PREFETCH)) this.#accept({ kind: 'cache' });
  }

  #execute(value: number): void {
    if ((value & 1) === 0) return;
    if (this.#jobs.length >= QUEUE) {
      const where = `${this.block.name}.TPC_EXECUTE`;
      throw new ModelError('undefined', where, `a kernel while ${this.#jobs.length} are under way`);
    }
    const first = this.block.offsetOf('QM_TENSOR_BASE_ADDR_LOW', 0) / 4;
    this.executed++;
    this.#accept({
      kind: 'kernel',
      descriptor: this.block.words.slice(first, first + DESCRIPTOR),
      flow: this.#ports.track?.trace.cause ?? 0,
    });
  }

  #accept(job: Job): void {
    this.#jobs.push(job);
    this.#accepted++;
    this.#changed.notify();
  }

  #start(): void {
    this.#process = new Process(this.#ports.clock, this.name, this.#run(), (error) => this.#report(error));
  }

  /** @throws what is a defect of the model */
  #report(error: unknown): void {
    if (!(error instanceof ModelError)) throw error;
    this.#ports.errors.report(error);
  }

  *#run(): Steps {
    const resets = this.#resets;
    for (;;) {
      const [job] = this.#jobs;
      if (!job) {
        yield this.#changed;
        continue;
      }
      if (job.kind === 'cache') {
        yield CACHE_NS;
        yield* this.#hold();
      } else if (!(yield* this.#launched(job))) {
        if (resets !== this.#resets) return;
        // The core stands where it is until it is reset; that ends the process.
        for (;;) yield this.#changed;
      }
      if (resets !== this.#resets) return;
      this.#jobs.shift();
      this.#done++;
      this.#changed.notify();
    }
  }

  *#hold(): Steps {
    while (this.block.get('TPC_STALL') & 1) yield this.#changed;
  }

  *#launched({ descriptor, flow }: Job & { readonly kind: 'kernel' }): Steps<boolean> {
    const { track } = this.#ports;
    if (!track) return yield* this.#kernel(descriptor);
    const [high, low] = ['KERNEL_KERNEL_BASE_ADDRESS_HIGH', 'KERNEL_KERNEL_BASE_ADDRESS_LOW'] as const;
    const first = this.block.offsetOf('KERNEL_TENSOR_BASE_ADDR_LOW', 0);
    const word = (name: typeof high | typeof low) => descriptor[(this.block.offsetOf(name) - first) / 4] as number;
    track.begin('tpc_kernel', undefined, { address: word(high) * 2 ** 32 + word(low) }, flow);
    let outcome = 'given up';
    try {
      const done = yield* following(track.trace, flow, this.#kernel(descriptor));
      outcome = done ? 'halted' : 'stopped by an error';
      return done;
    } finally {
      const { bundles, cycles, stalls } = this.#core?.statistics ?? { bundles: 0, cycles: 0, stalls: 0 };
      track.end('tpc_kernel', { bundles, cycles, stalls, outcome });
    }
  }

  /** @returns false where the core cannot go on */
  *#kernel(descriptor: Uint32Array): Steps<boolean> {
    const { block } = this;
    yield LAUNCH_NS + (this.#ports.delay?.() ?? 0);
    yield* this.#hold();
    if (this.#ports.fault?.()) for (;;) yield this.#changed;
    block.words.set(descriptor, block.offsetOf('KERNEL_TENSOR_BASE_ADDR_LOW', 0) / 4);
    this.#core ??= this.#makeCore();
    try {
      this.#load(this.#core);
      if (!(yield* this.#execution(this.#core))) return false;
      yield* this.#complete();
      return true;
    } catch (error) {
      // A program that cannot be read: that was told when it was tried.
      if (error instanceof BusError) this.#accessFailed(error);
      else this.#report(error);
      return false;
    }
  }

  #load(core: TpcCore): void {
    const { block } = this;
    const valid = (block.get('KERNEL_KERNEL_CONFIG') >>> KERNEL_CONFIG.VALID_SRFS_SHIFT) & KERNEL_CONFIG.VALID_SRFS;
    const dimensions = [0, 1, 2, 3, 4];
    core.start({
      pc: block.get('KERNEL_KERNEL_BASE_ADDRESS_HIGH') * 2 ** 32 + block.get('KERNEL_KERNEL_BASE_ADDRESS_LOW'),
      indexSpace: {
        offset: dimensions.map((d) => block.get('KERNEL_TID_BASE_DIM', d) | 0),
        size: dimensions.map((d) => block.get('KERNEL_TID_SIZE_DIM', d) | 0),
      },
      srf: Array.from({ length: Math.min(valid, LOOP_COUNTER) }, (_, n) => block.get('KERNEL_SRF', n)),
    });
  }

  /** Runs the program to its end. @returns false where a reset came between */
  *#execution(core: TpcCore): Steps<boolean> {
    const { clock } = this.#ports;
    const state = core.state.bytes.subarray(0, SCRATCH);
    const resets = this.#resets;
    const spin = new Spin();
    let due = clock.now();
    let nap = NAP_NS;
    let cycles = 0;
    let told = { bundles: 0, stalls: 0 };
    const { bundles } = this.#ports;
    const runner =
      (bundles && followLaunch(core, this.#memory, bundles, bundles.trace.now(), 1e9 / this.#ports.hertz())) ?? core;
    for (;;) {
      yield* this.#hold();
      let status = runner.run(SLICE);
      while (status === 'blocked' && resets === this.#resets) {
        yield* this.#memory.settle();
        status = runner.run(1);
      }
      if (resets !== this.#resets) return false;
      this.#memory.forget();
      if (this.#memory.waiting) yield* this.#memory.settle();
      if (resets !== this.#resets) return false;
      const { statistics } = core;
      const slow = statistics.bundles > LONG ? SLICE * LONG_BUNDLE_NS : 0;
      due = Math.max(due, clock.now() - LONGEST_NAP_NS);
      due += Math.max(slow, ((statistics.cycles - cycles) * 1e9) / this.#ports.hertz());
      cycles = statistics.cycles;
      if (this.#ports.track && statistics.stalls > told.stalls) {
        const stalled = { bundles: statistics.bundles - told.bundles, cycles: statistics.stalls - told.stalls };
        this.#ports.track.instant('tpc_stall', undefined, { pc: core.pc, ...stalled }, 0);
        told = statistics;
      }
      yield Math.max(0, due - clock.now());
      if (resets !== this.#resets) return false;
      if (status === 'halted') return true;
      switch (spin.look(state, core.pc, this.#memory.accesses + this.#configAccesses)) {
        case 'closed':
          for (;;) yield this.#changed;
        case 'polling':
          yield nap;
          nap = Math.min(nap * 2, LONGEST_NAP_NS);
          break;
        case 'moving':
          nap = NAP_NS;
      }
    }
  }

  /** The message to the sync object, after the last write. */
  *#complete(): Steps {
    const { block } = this;
    const address = block.get('SM_BASE_ADDRESS_HIGH') * 2 ** 32 + block.get('KERNEL_SYNC_OBJECT_ADDR');
    try {
      const steps = this.#ports.bus.write32(this.#writer, address, block.get('KERNEL_SYNC_OBJECT_MESSAGE'));
      if (steps) yield* steps;
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      this.#accessFailed(error);
    }
  }

  #makeCore(): TpcCore {
    const { block } = this;
    const ports: TpcPorts = {
      memory: this.#memory,
      config: {
        read: (offset) => {
          this.#configAccesses++;
          const known = block.spec.words[offset >>> 2];
          return known && block.spec.rows[known.name].kind === 'storage'
            ? (block.words[offset >>> 2] as number)
            : block.read32(offset);
        },
        write: (offset, value) => {
          this.#configAccesses++;
          block.write32(offset, value);
        },
      },
      onInterrupt: (cause) => this.#raise(interruptCauses[cause]),
    };
    return new TpcCore(ports, { compile: this.#ports.compile ?? true, compileAfter: SLICE });
  }

  #accessFailed(error: BusError): void {
    if (isRegister(error.address)) this.#raise(error.access === 'read' ? CAUSE.LBW_RRESP_ERR : CAUSE.LBW_BRESP_ERR);
    else this.#raise(error.access === 'read' ? CAUSE.HBW_RRESP_ERR : CAUSE.HBW_BRESP_ERR);
  }

  /** Something of the core itself has failed. @param cause its number in TPC_INTR_CAUSE */
  fail(cause: number): void {
    this.#raise(cause);
  }

  /** Notes a cause that is not masked. One that is set already is not told again. */
  #raise(cause: number): void {
    const { block } = this;
    const bit = 1 << cause;
    const causes = block.get('TPC_INTR_CAUSE');
    if ((block.get('TPC_INTR_MASK') | causes) & bit) return;
    block.set('TPC_INTR_CAUSE', (causes | bit) >>> 0);
    this.#ports.track?.instant('engine_error', `${block.name}.TPC_INTR_CAUSE`, { cause: bit });
    this.#ports.onInterrupt();
  }
}
