/** A queue manager on a bench: virtual time, a plain memory as the whole chip, and an engine that is as slow as wanted. */

import type { qmanRegisters } from '../../specs/gaudi/registers/qman.ts';
import { gaudiQman, type Input, type PacketName } from '../../specs/gaudi-qman.ts';
import { BusError, type ChipBus, type Initiator } from '../../src/gaudi/bus.ts';
import type { Engine } from '../../src/gaudi/engine.ts';
import { Qman, type QmanOptions } from '../../src/gaudi/qman.ts';
import { VirtualClock } from '../../src/sim/clock.ts';
import { ErrorLog, ModelError } from '../../src/sim/errors.ts';
import { ArrayMemory } from '../../src/sim/memory.ts';
import { Condition, Process, type Steps } from '../../src/sim/process.ts';

const MEMORY = 1 << 20;
/** Where the queue managers' registers are: the bench's own address, one page each. */
export const QM_BASE = 0x10_0000_0000;
/** An address that nothing answers. */
export const NOWHERE = 0x20_0000_0000;
/** DMA core registers (dma0_core_regs.h). */
const CORE = { DST_TSIZE_0: 0x74, COMMIT: 0x78 } as const;

export interface Job {
  readonly tsize: number;
  readonly control: number;
  readonly src: bigint;
  readonly dst: bigint;
}

/** Takes jobs by COMMIT into a queue of `depth`, and needs `jobNs` for each; when done, a job is in `done` and `trace`. */
export class SlowEngine implements Engine {
  readonly name = 'BENCH';
  readonly registers = new Map<number, number>();
  readonly done: Job[] = [];
  jobNs = 1000;
  depth = 2;
  refuse: ((offset: number) => string | undefined) | undefined;
  readonly #trace: string[];
  readonly #changed = new Condition();
  #queue: Job[] = [];
  #accepted = 0;
  #finished = 0;

  constructor(clock: VirtualClock, trace: string[]) {
    this.#trace = trace;
    new Process(clock, 'engine', this.#run(), (error) => {
      throw error;
    });
  }

  *writeRegister(offset: number, value: number): Steps {
    const refusal = this.refuse?.(offset);
    if (refusal) throw new ModelError('unimplemented', 'BENCH', refusal);
    this.registers.set(offset, value);
    if (offset !== CORE.COMMIT) return;
    while (this.#queue.length >= this.depth) yield this.#changed;
    this.#queue.push({
      tsize: this.registers.get(CORE.DST_TSIZE_0) ?? 0,
      control: value,
      src: this.#wide(0x14),
      dst: this.#wide(0x1c),
    });
    this.#accepted++;
    this.#changed.notify();
  }

  drain(): Steps | undefined {
    return this.busy() ? this.#drained() : undefined;
  }

  *#drained(): Steps {
    const target = this.#accepted;
    while (this.#finished < target) yield this.#changed;
  }

  busy(): boolean {
    return this.#finished < this.#accepted;
  }

  #wide(offset: number): bigint {
    return (BigInt(this.registers.get(offset + 4) ?? 0) << 32n) | BigInt(this.registers.get(offset) ?? 0);
  }

  *#run(): Steps {
    for (;;) {
      const job = this.#queue[0];
      if (!job) {
        yield this.#changed;
        continue;
      }
      yield this.jobNs;
      this.#queue.shift();
      this.done.push(job);
      this.#trace.push(`dma ${job.tsize}`);
      this.#finished++;
      this.#changed.notify();
    }
  }
}

/** Memory from 0 to 1 MiB, and the registers of the queue managers. Writes of 32 bits are traced. */
export class BenchBus implements ChipBus {
  readonly memory = new ArrayMemory(MEMORY);
  readonly blocks: Qman[] = [];
  readonly initiators: Initiator[] = [];
  /** Nanoseconds that every access takes. */
  latency = 0;
  readonly #trace: string[];

  constructor(trace: string[]) {
    this.#trace = trace;
  }

  view(): undefined {
    return undefined;
  }

  /** Where most tests send their messages is taken for a sync manager. */
  describe(address: number): string {
    return address >= 0x9000 && address < 0xa000 ? 'SYNC_MNGR' : 'memory';
  }

  reaches(): boolean {
    return false;
  }

  *read(who: Initiator, address: number, target: Uint8Array): Steps {
    this.initiators.push(who);
    if (this.latency > 0) yield this.latency;
    if (address < 0 || address + target.length > MEMORY) throw new BusError('decode', 'read', address, who.name);
    target.set(this.memory.bytes.subarray(address, address + target.length));
  }

  *write(who: Initiator, address: number, source: Uint8Array): Steps {
    if (this.latency > 0) yield this.latency;
    if (address + source.length > MEMORY) throw new BusError('decode', 'write', address, who.name);
    this.memory.bytes.set(source, address);
  }

  *write32(who: Initiator, address: number, value: number): Steps {
    this.initiators.push(who);
    if (this.latency > 0) yield this.latency;
    const block = address >= QM_BASE ? this.blocks[Math.floor((address - QM_BASE) / 0x1000)]?.block : undefined;
    if (block) block.write32((address - QM_BASE) % 0x1000, value);
    else if (address < MEMORY) this.memory.words[address / 4] = value;
    else throw new BusError('decode', 'write', address, who.name);
    this.#trace.push(`write ${address.toString(16)} ${value.toString(16)}`);
  }

  *read32(who: Initiator, address: number): Steps<number> {
    if (this.latency > 0) yield this.latency;
    if (address >= MEMORY) throw new BusError('decode', 'read', address, who.name);
    return this.memory.words[address / 4] as number;
  }
}

type Names = keyof typeof qmanRegisters.rows & string;

/** Bytes of one packet. A register barrier, which the sources want of some packets, is not asked for. */
export function packet<N extends PacketName>(name: N, fields: Input<N>): Uint8Array {
  return gaudiQman.encode(name, fields);
}

export function stream(...packets: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(packets));
}

export class Bench {
  readonly clock: VirtualClock;
  /** What became visible, in order: `write ADDRESS VALUE` (hexadecimal) and `dma SIZE`. */
  readonly trace: string[] = [];
  readonly errors = new ErrorLog();
  readonly bus = new BenchBus(this.trace);
  readonly engine: SlowEngine;
  readonly qman: Qman;
  #free = 0x1_0000;

  constructor(options: Partial<QmanOptions> = {}, clock = new VirtualClock()) {
    this.clock = clock;
    this.engine = new SlowEngine(clock, this.trace);
    this.qman = this.add(options);
    this.configure();
  }

  /** One more queue manager at the next page of registers. */
  add(options: Partial<QmanOptions> = {}): Qman {
    const name = `DMA${this.bus.blocks.length}_QM`;
    const { clock, bus, engine, errors } = this;
    const qman = new Qman({ name, clock, bus, engine, errors, ...options });
    this.bus.blocks.push(qman);
    return qman;
  }

  write(name: Names, value: number, ...index: number[]): void {
    this.qman.block.write32(this.qman.block.offsetOf(name, ...index), value);
  }

  read(name: Names, ...index: number[]): number {
    return this.qman.block.read32(this.qman.block.offsetOf(name, ...index));
  }

  /** Device address of a register. */
  address(name: Names, ...index: number[]): number {
    return QM_BASE + this.qman.block.offsetOf(name, ...index);
  }

  /** As the driver does it: rings of 8 at 0x1000 * stream, DMA packets to the core, lower processor on, all enabled. */
  configure(): void {
    for (let i = 0; i < 5; i++) {
      if (i < 4) {
        this.write('PQ_BASE_LO', 0x1000 * i, i);
        this.write('PQ_SIZE', 3, i);
      }
      this.write('CP_LDMA_TSIZE_OFFSET', 0x74, i);
      this.write('CP_LDMA_SRC_BASE_LO_OFFSET', 0x14, i);
      this.write('CP_LDMA_DST_BASE_LO_OFFSET', 0x1c, i);
    }
    this.write('GLBL_ERR_ADDR_LO', 0x8000);
    this.write('GLBL_ERR_WDATA', 0xe);
    this.write('GLBL_ERR_CFG', 0x3fff);
    this.write('GLBL_CFG0', 0x3fff);
  }

  /** The DMA packets of the upper processors feed the lower one (gaudiP.h, QMAN_CPDMA_*_OFFSET). */
  configureInternal(): void {
    for (let i = 0; i < 4; i++) {
      this.write('CP_LDMA_TSIZE_OFFSET', 0x81bc, i);
      this.write('CP_LDMA_SRC_BASE_LO_OFFSET', 0x81b4, i);
    }
  }

  /** Puts bytes where nothing else is. @returns their address, a multiple of 128 */
  place(bytes: Uint8Array): number {
    const address = this.#free;
    this.bus.memory.bytes.set(bytes, address);
    this.#free += Math.ceil(Math.max(bytes.length, 1) / 128) * 128;
    return address;
  }

  /** Queues a command buffer by an entry of the ring and the doorbell. */
  submit(index: number, ...packets: Uint8Array[]): void {
    const buffer = stream(...packets);
    this.submitAt(index, this.place(buffer), buffer.length);
  }

  submitAt(index: number, address: number, bytes: number, control = 0): void {
    const size = 2 ** this.qman.block.get('PQ_SIZE', index);
    const producer = this.qman.block.get('PQ_PI', index);
    const entry = (0x1000 * index + (producer % size) * 16) / 4;
    this.bus.memory.words.set([address % 2 ** 32, Math.floor(address / 2 ** 32), bytes, control], entry);
    this.write('PQ_PI', (producer + 1) % (2 * size), index);
  }

  run(ns = 1_000_000_000): void {
    this.clock.runUntil(this.clock.now() + ns);
  }

  /** Errors of the model so far, as `category where`. */
  complaints(): string[] {
    return this.errors.entries().map((entry) => `${entry.category} ${entry.where}`);
  }
}
