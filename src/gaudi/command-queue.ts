/**
 * The way of command buffers to a command processor: the prefetcher (PQF) reads entries of a ring in memory (PQ) and queues
 * them in a short FIFO (CQ), whose fetcher (CQF) reads the buffers themselves. Software, and the CP_DMA packets of other
 * command processors, queue buffers through the CQ's port of registers.
 */

import { qmanError } from '../../specs/gaudi/registers/qman.ts';
import { ModelError } from '../sim/errors.ts';
import { Condition, type Steps } from '../sim/process.ts';
import { BusError, type Initiator } from './bus.ts';
import { BufferTrace, DoorbellTrace } from './command-queue-trace.ts';
import { addressOf, initiator, type QmanContext, running, unitBit } from './qman-context.ts';

/** Bytes of a PQ entry: address 64 bits, size 32, control 32 (include/common/qman_if.h, struct hl_bd). */
const ENTRY_BYTES = 16;
/** Entries that the prefetcher buffers at most, whatever PQ_CFG1 allows (gaudi.c, PQ_FETCHER_CACHE_SIZE). */
const PREFETCHED = 8;
/** Buffers that a CQ holds: CQ_IFIFO_CNT counts them in two bits. */
const FIFO = 3;
/** Bytes of a buffer that are read at a time. */
const CHUNK = 4096;
/** Control word of a buffer: bits [15:0] say how often it is executed, if bit 24 is set (qman_if.h, BD_CTL_REPEAT_VALID). */
const REPEAT_VALID = 1 << 24;

export interface CommandBuffer {
  readonly lo: number;
  readonly hi: number;
  /** Bytes. */
  readonly size: number;
  readonly control: number;
  /** What it is executed for; 0: not known. */
  readonly flow?: number;
}

/** The ring of one stream. */
export class PrefetchQueue {
  /** To be notified of doorbells and of enabling, besides room in the target. */
  readonly wake: Condition;
  readonly #qm: QmanContext;
  readonly #index: number;
  readonly #unit: number;
  readonly #target: CommandQueue;
  readonly #who: Initiator;
  #buffered: CommandBuffer[] = [];
  #reading = false;
  readonly #trace: DoorbellTrace | undefined;

  constructor(qm: QmanContext, index: number, target: CommandQueue) {
    this.#qm = qm;
    this.#trace = qm.trace && new DoorbellTrace(qm.trace.track(`PQ${index}`), `${qm.name}.PQ_PI[${index}]`);
    this.#index = index;
    this.#unit = unitBit.pqf(index);
    this.#target = target;
    this.wake = target.roomMade;
    this.#who = initiator(qm, 'PQ', index, this.#unit);
  }

  /** Entries that have been read and not passed on. */
  get buffered(): number {
    return this.#buffered.length;
  }

  get reading(): boolean {
    return this.#reading;
  }

  get idle(): boolean {
    const work = this.#pending() > 0 && running(this.#qm, this.#unit);
    return !work && !this.#reading && this.#buffered.length === 0;
  }

  flush(): void {
    this.#buffered = [];
    this.wake.notify();
  }

  reset(): void {
    this.#buffered = [];
    this.#reading = false;
    this.#trace?.reset();
    this.#qm.spawn(`PQ${this.#index}`, this.#run());
  }

  /** Tells of a doorbell that overtakes the consumer; the queue is then read as it stands, as the hardware does. */
  rung(): void {
    const size = this.#size();
    this.#trace?.rung(this.#qm.block.get('PQ_PI', this.#index), 2 * (size ?? 0));
    if (size === undefined || this.#pending() <= size) return;
    const where = `${this.#qm.name}.PQ_PI[${this.#index}]`;
    this.#qm.errors.report(new ModelError('guest', where, `${this.#pending()} entries in a queue of ${size}`));
  }

  *#run(): Steps {
    const { block, timing } = this.#qm;
    for (;;) {
      const next = this.#buffered[0];
      const room = Math.min(block.get('PQ_CFG1', this.#index) & 0xffff, PREFETCHED);
      if (next && this.#target.room) {
        this.#buffered.shift();
        this.#target.push(next);
      } else if (running(this.#qm, this.#unit) && this.#pending() > 0 && this.#buffered.length < room) {
        this.#reading = true;
        yield timing.packetNs;
        yield* this.#fetch();
        this.#reading = false;
      } else yield this.wake;
    }
  }

  *#fetch(): Steps {
    const { block, bus, faults } = this.#qm;
    const i = this.#index;
    const size = this.#size();
    if (size === undefined) return;
    const consumed = block.get('PQ_CI', i);
    const entry = new Uint32Array(ENTRY_BYTES / 4);
    let failed = false;
    try {
      const base = addressOf(block.get('PQ_BASE_LO', i), block.get('PQ_BASE_HI', i), 'read', this.#who);
      yield* bus.read(this.#who, base + (consumed % size) * ENTRY_BYTES, new Uint8Array(entry.buffer));
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      failed = true;
    }
    // An entry that cannot be read is passed over: the queue would otherwise try it for ever.
    block.set('PQ_CI', (consumed + 1) % (2 * size), i);
    if (failed) faults.raise(i, qmanError.pqfRead, this.#unit);
    else {
      const [lo, hi, bytes, control] = entry as unknown as [number, number, number, number];
      const buffer = { lo, hi, size: bytes, control };
      this.#buffered.push(this.#trace ? { ...buffer, flow: this.#trace.flowOf(consumed % (2 * size)) } : buffer);
    }
  }

  /** Entries in the ring, or undefined where PQ_SIZE makes no sense. */
  #size(): number | undefined {
    const log = this.#qm.block.get('PQ_SIZE', this.#index);
    return log < 32 ? 2 ** log : undefined;
  }

  #pending(): number {
    const size = this.#size();
    if (size === undefined) return 0;
    const { block } = this.#qm;
    const wrap = 2 * size;
    return ((block.get('PQ_PI', this.#index) % wrap) - (block.get('PQ_CI', this.#index) % wrap) + wrap) % wrap;
  }
}

/** The command buffers of one command processor, and the words of the one it is at. */
export class CommandQueue {
  /** Notified when a place in the FIFO has become free. */
  readonly roomMade = new Condition();
  /** To be notified of new buffers and of enabling. */
  readonly wake = new Condition();
  readonly #qm: QmanContext;
  readonly #index: number;
  readonly #unit: number;
  readonly #who: Initiator;
  #fifo: CommandBuffer[] = [];
  #current: CommandBuffer | undefined;
  /** Bytes of the current buffer that have been read, and how often it is still to be executed. */
  #read = 0;
  #rounds = 0;
  #reading = false;
  #epoch = 0;
  /** Words that have been read and not consumed: `#data[#from]` to `#data[#to - 1]`. */
  #data = new Uint32Array(CHUNK / 4);
  #from = 0;
  #to = 0;
  /** Where what is consumed comes from. */
  readonly trace: BufferTrace | undefined;

  constructor(qm: QmanContext, index: number) {
    this.#qm = qm;
    this.trace = qm.trace && new BufferTrace(qm.trace.track(`CP${index}`));
    this.#index = index;
    this.#unit = unitBit.cqf(index);
    this.#who = initiator(qm, 'CQ', index, this.#unit);
  }

  get queued(): number {
    return this.#fifo.length;
  }

  get room(): boolean {
    return this.#fifo.length < FIFO;
  }

  get reading(): boolean {
    return this.#reading;
  }

  /** Whether words wait to be executed. */
  get empty(): boolean {
    return this.#from === this.#to;
  }

  get idle(): boolean {
    return this.#fifo.length === 0 && !this.#current && this.empty;
  }

  get data(): Uint32Array {
    return this.#data;
  }

  /** Index in `data` of the first word that is not consumed. */
  get from(): number {
    return this.#from;
  }

  /** Words at `data[from]` that need not be waited for. */
  get available(): number {
    return this.#to - this.#from;
  }

  push(buffer: CommandBuffer): void {
    this.#fifo.push(buffer);
    this.wake.notify();
  }

  consume(words: number): void {
    this.#from += words;
    this.trace?.consumed(words);
  }

  /** Drops what is queued and read. */
  flush(): void {
    this.#epoch++;
    this.#fifo = [];
    this.#current = undefined;
    this.#from = this.#to = 0;
    this.trace?.dropped();
    this.roomMade.notify();
  }

  reset(): void {
    this.flush();
    this.#reading = false;
  }

  /**
   * Waits until so many words can be had at `data[from]`, however many buffers they are spread over.
   * @returns false where words were lost on the way (an error or a flush): the packet has to begin anew
   */
  *fetch(words: number): Steps<boolean> {
    const epoch = this.#epoch;
    while (this.#to - this.#from < words) {
      if (running(this.#qm, this.#unit) && (this.#current || this.#begin())) yield* this.#readChunk(words);
      else yield this.wake;
      if (epoch !== this.#epoch) return false;
    }
    return true;
  }

  #begin(): boolean {
    const { block, errors, name } = this.#qm;
    const buffer = this.#fifo.shift();
    if (!buffer) return false;
    this.roomMade.notify();
    const repeated = (buffer.control & REPEAT_VALID) !== 0;
    this.#current = buffer;
    this.#read = 0;
    this.#rounds = repeated ? buffer.control & 0xffff : 1;
    block.set('CQ_PTR_LO_STS', buffer.lo, this.#index);
    block.set('CQ_PTR_HI_STS', buffer.hi, this.#index);
    block.set('CQ_TSIZE_STS', buffer.size, this.#index);
    block.set('CQ_CTL_STS', buffer.control, this.#index);
    if (buffer.size % 8 !== 0) {
      const where = `${name}.CQ_TSIZE_STS[${this.#index}]`;
      errors.report(new ModelError('guest', where, `a command buffer of ${buffer.size} bytes, not a multiple of 8`));
    }
    return true;
  }

  *#readChunk(words: number): Steps {
    const { bus, faults } = this.#qm;
    const buffer = this.#current as CommandBuffer;
    const size = buffer.size - (buffer.size % 8);
    const bytes = Math.min(CHUNK, size - this.#read);
    if (bytes === 0 || this.#rounds === 0) {
      this.#nextRound();
      return;
    }
    this.#makeRoom(words, bytes / 4);
    const epoch = this.#epoch;
    this.#reading = true;
    let failed = false;
    try {
      const address = addressOf(buffer.lo, buffer.hi, 'read', this.#who) + this.#read;
      const target = new Uint8Array(this.#data.buffer, this.#to * 4, bytes);
      yield* bus.read(this.#who, address, target);
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      failed = true;
    }
    this.#reading = false;
    if (epoch !== this.#epoch) return;
    if (failed) {
      // The rest of the buffer is given up, with what was read of the packet at its end.
      this.#epoch++;
      this.#current = undefined;
      this.#from = this.#to = 0;
      this.trace?.dropped();
      faults.raise(this.#index, qmanError.cqfRead, this.#unit);
      return;
    }
    this.#to += bytes / 4;
    this.trace?.read(buffer, this.#read, bytes);
    this.#read += bytes;
    if (this.#read === size) this.#nextRound();
  }

  #nextRound(): void {
    this.#read = 0;
    if (--this.#rounds <= 0) this.#current = undefined;
  }

  /** Moves what is left to the front, into a larger array where a packet of `words` words needs one. */
  #makeRoom(words: number, incoming: number): void {
    const left = this.#to - this.#from;
    const need = Math.max(left + incoming, words);
    if (need > this.#data.length) {
      const larger = new Uint32Array(need + CHUNK / 4);
      larger.set(this.#data.subarray(this.#from, this.#to));
      this.#data = larger;
    } else if (this.#from > 0) this.#data.copyWithin(0, this.#from, this.#to);
    this.#from = 0;
    this.#to = left;
  }
}
