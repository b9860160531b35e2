/**
 * A queue manager (QMAN): four streams, each a ring of command buffers in memory with its prefetcher, queue and command
 * processor; a fifth, lower, command processor fed by the others; an arbiter; and the engine they all serve.
 * All of it happens in processes: a register write only tells them.
 */

import { qmanRegisters } from '../../specs/gaudi/registers/qman.ts';
import type { Clock } from '../sim/clock.ts';
import { type ErrorLog, ModelError } from '../sim/errors.ts';
import { Process, type Steps } from '../sim/process.ts';
import { type Bodies, type Body, RegisterBlock } from '../sim/registers.ts';
import type { TraceScope } from '../trace/recorder.ts';
import { Arbiter } from './arbiter.ts';
import type { ChipBus } from './bus.ts';
import { CommandProcessor } from './command-processor.ts';
import { CommandQueue, PrefetchQueue } from './command-queue.ts';
import type { Engine } from './engine.ts';
import { Gate, LOWER, type QmanBlock, type QmanContext, type QmanTiming, STREAMS, unitBit } from './qman-context.ts';
import { QmanFaults } from './qman-faults.ts';

export interface QmanOptions {
  /** E.g. `DMA0_QM`. */
  readonly name: string;
  readonly clock: Clock;
  readonly bus: ChipBus;
  readonly engine: Engine;
  readonly errors: ErrorLog;
  /** Default: 5 ns a packet, 50 ns a message, 1 ns a cycle. */
  readonly timing?: Partial<QmanTiming>;
  /** Nanoseconds to wait before the next packet, asked before each. Default: 0. */
  readonly delay?: () => number;
  /** Whether the packet that has been fetched is one that does not exist. */
  readonly fault?: () => boolean;
  /** Where what happens is told. */
  readonly trace?: TraceScope | undefined;
  /** Low half of the time stamp counter, for messages that write it. Without it such messages are `unimplemented`. */
  readonly timestamp?: () => number;
}

/** Command processors in the order of GLBL_CFG0. */
const CP_UNITS = 0x3e00;

/** Reads and writes go to the stored word, which the processes use. */
const word: Body = {};

export class Qman {
  readonly name: string;
  readonly block: QmanBlock;
  readonly #context: QmanContext;
  readonly #rings: readonly PrefetchQueue[];
  readonly #queues: readonly CommandQueue[];
  readonly #processors: readonly CommandProcessor[];
  readonly #arbiter: Arbiter;
  readonly #faults: QmanFaults;
  readonly #engineGate = new Gate();
  readonly #localGate = new Gate();
  #processes: Process[] = [];

  constructor(options: QmanOptions) {
    const { name, clock, errors } = options;
    this.name = name;
    this.block = new RegisterBlock(qmanRegisters, name, this.#bodies());
    const ended = (error: unknown) => {
      if (!(error instanceof ModelError)) throw error;
      errors.report(error);
    };
    const context = {
      name,
      clock,
      bus: options.bus,
      engine: options.engine,
      errors,
      timing: { packetNs: 5, messageNs: 50, cycleNs: 1, ...options.timing },
      block: this.block,
      delay: options.delay ?? (() => 0),
      fault: options.fault ?? (() => false),
      timestamp: options.timestamp,
      trace: options.trace,
      spawn: (part: string, steps: Steps) => {
        this.#processes.push(new Process(clock, `${name}.${part}`, steps, ended));
      },
    };
    this.#faults = new QmanFaults(context);
    this.#context = { ...context, faults: this.#faults };
    const qm = this.#context;
    this.#arbiter = new Arbiter(qm);
    this.#queues = Array.from({ length: STREAMS + 1 }, (_, i) => new CommandQueue(qm, i));
    this.#rings = Array.from({ length: STREAMS }, (_, i) => new PrefetchQueue(qm, i, this.#queues[i] as CommandQueue));
    const peers = {
      arbiter: this.#arbiter,
      lower: this.#queues[LOWER] as CommandQueue,
      engineGate: this.#engineGate,
      localGate: this.#localGate,
    };
    this.#processors = this.#queues.map((queue, i) => new CommandProcessor(qm, i, queue, peers));
    this.reset();
  }

  /** A stream meets errors. @param stream 0 to 4 @param causes bits of GLBL_STS1 */
  fail(stream: number, causes: number): void {
    this.#faults.raise(stream, causes, unitBit.cp(stream));
  }

  /** The arbiter meets errors. @param causes bits of ARB_ERR_CAUSE */
  failArbiter(causes: number): void {
    this.#faults.raiseArbiter(causes);
  }

  /** Whether anything is under way here; the engine's own work is not counted. */
  busy(): boolean {
    return this.#idleUnits() !== 0x3fff || this.#faults.busy || this.#arbiter.busy;
  }

  /** Back to the state after power-up: what was under way is forgotten. */
  reset(): void {
    for (const process of this.#processes) process.kill();
    this.#processes = [];
    this.block.reset();
    this.#engineGate.reset();
    this.#localGate.reset();
    this.#faults.reset();
    this.#arbiter.reset();
    for (const queue of this.#queues) queue.reset();
    for (const ring of this.#rings) ring.reset();
    for (const processor of this.#processors) processor.reset();
  }

  /** One bit per idle unit, in the order of GLBL_STS0. */
  #idleUnits(): number {
    let idle = 0;
    this.#rings.forEach((ring, i) => {
      if (ring.idle) idle |= 1 << unitBit.pqf(i);
    });
    this.#queues.forEach((queue, i) => {
      if (queue.idle) idle |= 1 << unitBit.cqf(i);
    });
    this.#processors.forEach((processor, i) => {
      if (processor.idle) idle |= 1 << unitBit.cp(i);
    });
    return idle;
  }

  #status0(): number {
    const told = this.block.get('GLBL_CFG1') | this.#faults.halted;
    let stopped = 0;
    this.#rings.forEach((ring, i) => {
      if (!ring.reading) stopped |= 1 << unitBit.pqf(i);
    });
    this.#queues.forEach((queue, i) => {
      if (!queue.reading) stopped |= 1 << unitBit.cqf(i);
    });
    this.#processors.forEach((processor, i) => {
      if (processor.stopped) stopped |= 1 << unitBit.cp(i);
    });
    const arbiter = this.#faults.arbiterHalted ? 0x8000_0000 : 0;
    return (this.#idleUnits() | ((told & stopped & 0x3fff) << 16) | arbiter) >>> 0;
  }

  #processorStatus(index: number): number {
    const processor = this.#processors[index] as CommandProcessor;
    let status = Math.min(processor.inFlight, 0xffff);
    if (!this.#context.engine.busy()) status |= 1 << 16;
    // Register writes are done before the next packet begins.
    status |= 1 << 17;
    if (processor.inFlight === 0) status |= 1 << 18;
    if (processor.stopped) status |= 1 << 19;
    if (processor.waitingFor !== undefined) status |= (processor.waitingFor << 20) | (1 << 22);
    return status;
  }

  /** Bits of CGM_STS. Clocks are never gated: the state stays 0. */
  #clockStatus(): number {
    const processorsIdle = this.#processors.every((processor) => processor.idle);
    const reading = this.#rings.some((ring) => ring.reading) || this.#queues.some((queue) => queue.reading);
    const messages = this.#faults.busy || this.#arbiter.busy || this.#processors.some((p) => p.inFlight > 0);
    let status = 0;
    if (!this.#context.engine.busy()) status |= 1 << 8;
    if (!reading && !messages) status |= 1 << 9;
    if (processorsIdle) status |= 1 << 10;
    return status;
  }

  /** Whatever could not go on may now. */
  #wakeAll(): void {
    for (const ring of this.#rings) ring.wake.notify();
    for (const queue of this.#queues) queue.wake.notify();
    for (const processor of this.#processors) processor.wake.notify();
  }

  #enable(value: number): void {
    const disabled = this.block.get('GLBL_CFG0') & ~value;
    this.block.set('GLBL_CFG0', value);
    this.#faults.release(disabled & 0x3fff);
    this.#wakeAll();
  }

  #stopAndFlush(value: number): void {
    this.block.set('GLBL_CFG1', value);
    const flush = value >>> 16;
    this.#rings.forEach((ring, i) => {
      if ((flush >>> unitBit.pqf(i)) % 2 === 1) ring.flush();
    });
    this.#queues.forEach((queue, i) => {
      if ((flush >>> unitBit.cqf(i)) % 2 === 1) queue.flush();
    });
    this.#wakeAll();
    if ((flush & CP_UNITS) !== 0) {
      throw new ModelError(
        'unimplemented',
        `${this.name}.GLBL_CFG1`,
        'what a flushed command processor keeps is not public',
      );
    }
  }

  #pushBuffer(control: number, index: number): void {
    const queue = this.#queues[index] as CommandQueue;
    this.block.set('CQ_CTL', control, index);
    if (!queue.room) {
      throw new ModelError('guest', `${this.name}.CQ_CTL[${index}]`, 'a command buffer for a full queue');
    }
    queue.push({
      lo: this.block.get('CQ_PTR_LO', index),
      hi: this.block.get('CQ_PTR_HI', index),
      size: this.block.get('CQ_TSIZE', index),
      control,
    });
  }

  #bodies(): Bodies<typeof qmanRegisters.rows> {
    const stored = (
      name: keyof typeof qmanRegisters.rows & string,
      then: (value: number, index: number) => void,
    ): Body => ({
      write: (value, index) => {
        const many = qmanRegisters.rows[name].count.length > 0;
        this.block.set(name, value, ...(many ? [index] : []));
        then(value, index);
      },
    });
    const opaque = (name: string): Body => ({
      read: () => {
        throw new ModelError('unimplemented', `${this.name}.${name}`, 'what the register tells is not public');
      },
    });
    return {
      GLBL_CFG0: { write: (value) => this.#enable(value) },
      GLBL_CFG1: { write: (value) => this.#stopAndFlush(value) },
      GLBL_PROT: word,
      GLBL_ERR_CFG: word,
      GLBL_SECURE_PROPS: word,
      GLBL_NON_SECURE_PROPS: word,
      GLBL_STS0: { read: () => this.#status0() },
      GLBL_STS1: {
        write: (value, index) => {
          this.#faults.clear(index, value);
          this.#wakeAll();
        },
      },
      GLBL_MSG_EN: word,
      GLBL_MSG_EN_4: word,

      PQ_BASE_LO: word,
      PQ_BASE_HI: word,
      PQ_SIZE: word,
      PQ_PI: stored('PQ_PI', (_, index) => {
        (this.#rings[index] as PrefetchQueue).rung();
        (this.#rings[index] as PrefetchQueue).wake.notify();
      }),
      PQ_CI: stored('PQ_CI', (_, index) => (this.#rings[index] as PrefetchQueue).wake.notify()),
      PQ_CFG1: stored('PQ_CFG1', (_, index) => (this.#rings[index] as PrefetchQueue).wake.notify()),
      PQ_STS0: opaque('PQ_STS0'),
      PQ_STS1: {
        read: (index) => {
          const ring = this.#rings[index] as PrefetchQueue;
          return bufferStatus(ring.reading, ring.buffered === 0, !ring.idle);
        },
      },

      CQ_STS0: opaque('CQ_STS0'),
      CQ_STS1: {
        read: (index) => {
          const queue = this.#queues[index] as CommandQueue;
          return bufferStatus(queue.reading, queue.empty, !queue.idle);
        },
      },
      CQ_PTR_LO: word,
      CQ_PTR_HI: word,
      CQ_TSIZE: word,
      CQ_CTL: { write: (value, index) => this.#pushBuffer(value, index) },
      CQ_PTR_LO_STS: word,
      CQ_PTR_HI_STS: word,
      CQ_TSIZE_STS: word,
      CQ_CTL_STS: word,
      CQ_IFIFO_CNT: { read: (index) => (this.#queues[index] as CommandQueue).queued },

      CP_MSG_BASE_ADDR_LO: word,
      CP_MSG_BASE_ADDR_HI: word,
      CP_LDMA_TSIZE_OFFSET: word,
      CP_LDMA_SRC_BASE_LO_OFFSET: word,
      CP_LDMA_DST_BASE_LO_OFFSET: word,
      CP_FENCE_RDATA: {
        write: (value, index) => {
          const processor = this.#processors[index % (STREAMS + 1)] as CommandProcessor;
          processor.addToFence(Math.floor(index / (STREAMS + 1)), value & 0xf);
        },
      },
      CP_FENCE_CNT: word,
      CP_STS: { read: (index) => this.#processorStatus(index) },
      CP_CURRENT_INST_LO: word,
      CP_CURRENT_INST_HI: word,
      CP_BARRIER_CFG: word,
      CP_DBG_0: opaque('CP_DBG_0'),

      ARB_CFG_0: stored('ARB_CFG_0', () => this.#arbiter.configured()),
      ARB_CHOISE_Q_PUSH: { write: (value) => this.#arbiter.pushChoice(value & 3) },
      ARB_WRR_WEIGHT: word,
      ARB_CFG_1: {
        write: (value) => {
          if ((value & 1) === 1) this.#arbiter.clear();
        },
      },
      ARB_MST_AVAIL_CRED: stored('ARB_MST_AVAIL_CRED', (value, slave) => {
        this.block.set('ARB_MST_CRED_STS', value & 0x7f, slave);
      }),
      ARB_MST_CRED_INC: { write: (value) => this.#arbiter.returnCredit(value & 0x1f) },
      ARB_MST_CHOISE_PUSH_OFST: word,
      ARB_SLV_MASTER_INC_CRED_OFST: word,
      ARB_MST_SLAVE_EN: word,
      ARB_MST_QUIET_PER: word,
      ARB_SLV_CHOISE_WDT: word,
      ARB_SLV_ID: word,
      ARB_MSG_AWUSER_SEC_PROP: word,
      ARB_MSG_AWUSER_NON_SEC_PROP: word,
      ARB_BASE_LO: word,
      ARB_BASE_HI: word,
      ARB_STATE_STS: opaque('ARB_STATE_STS'),
      ARB_CHOISE_FULLNESS_STS: { read: () => this.#arbiter.choices },
      ARB_MSG_STS: { read: () => (this.#arbiter.busy ? 0 : 2) },
      ARB_SLV_CHOISE_Q_HEAD: { read: () => this.#arbiter.head },
      ARB_ERR_CAUSE: {
        write: (value) => {
          this.#faults.clearArbiter(value);
          this.#arbiter.configured();
        },
      },
      ARB_ERR_MSG_EN: word,
      ARB_ERR_STS_DRP: word,
      ARB_MST_CRED_STS: word,

      CGM_STS: { read: () => this.#clockStatus() },
      LOCAL_RANGE_BASE: word,
      LOCAL_RANGE_SIZE: word,
      IND_GW_APB_CFG: {
        write: () => {
          throw new ModelError('unimplemented', `${this.name}.IND_GW_APB_CFG`, 'the gateway to internal memories');
        },
      },
      GLBL_ERR_ADDR_LO: word,
      GLBL_ERR_ADDR_HI: word,
      GLBL_ERR_WDATA: word,
    };
  }
}

/** PQ_STS1 and CQ_STS1: one read is in flight at a time. */
function bufferStatus(reading: boolean, empty: boolean, busy: boolean): number {
  return ((reading ? 1 : 0) | (empty ? 0x4000_0000 : 0) | (busy ? 0x8000_0000 : 0)) >>> 0;
}
