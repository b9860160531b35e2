/**
 * A command processor (CP): takes packets from its queue, one after the other, waits for the barriers in their headers, and
 * does what the packet's body says. Messages are posted: they leave in order and arrive later, while the processor goes on.
 */

import { qmanError, qmanRegisters } from '../../specs/gaudi/registers/qman.ts';
import { gaudiQman, type PacketName } from '../../specs/gaudi-qman.ts';
import type { Timer } from '../sim/clock.ts';
import { ModelError } from '../sim/errors.ts';
import { Condition, type Steps } from '../sim/process.ts';
import { following, type Track } from '../trace/recorder.ts';
import type { Arbiter } from './arbiter.ts';
import { BusError, type Initiator } from './bus.ts';
import type { CommandQueue } from './command-queue.ts';
import { packetBodies } from './packet-bodies.ts';
import { addressOf, type Gate, initiator, type QmanContext, running, unitBit } from './qman-context.ts';

/** Largest value of a fence counter: CP_FENCE_CNT has 14 bits. */
const FENCE_MAX = 0x3fff;
/** Messages that may be under way; the processor waits for room. */
const MESSAGES = 64;
/** NOPs that are executed in one go. */
const NOPS = 64;
/** Words of a packet that is called short. */
const SHORT = 8;
const PAGE = 0x1000;
/** Value, header, low and high half of the address. */
const MSG_LONG_WORDS = 4;

/** Indices of registers that every packet needs, of the first processor; the others' follow. */
const { CP_CURRENT_INST_LO, CP_CURRENT_INST_HI, CP_BARRIER_CFG } = qmanRegisters.rows;
const CURRENT_LO = CP_CURRENT_INST_LO.offset / 4;
const CURRENT_HI = CP_CURRENT_INST_HI.offset / 4;
const BARRIER = CP_BARRIER_CFG.offset / 4;

interface Message {
  readonly who: Initiator;
  readonly address: number;
  readonly value: number;
  /** What it follows from, in a trace. */
  readonly flow: number;
  /** When it arrives, if none before it is late. */
  readonly due: number;
}

/** What the processors of one queue manager share. */
export interface CommandProcessorPeers {
  readonly arbiter: Arbiter;
  /** Queue of the lower processor, which the block's CQ port 4 feeds. */
  readonly lower: CommandQueue;
  /** Held while the registers of the engine are written, so that no other stream's writes come between. */
  readonly engineGate: Gate;
  /** The same for the block's own registers. */
  readonly localGate: Gate;
}

type Packet = ReturnType<typeof gaudiQman.decode>;
type AnyBody = (fields: Packet['fields'], cp: CommandProcessor) => Steps | undefined;
/**
 * So many packets of one kind in a row are told of one by one; the rest of the row is one event. The driver pads with NOPs, and
 * clears the sync objects of a new context with ten thousand messages.
 */
const TOLD: Readonly<Partial<Record<string, number>>> = { NOP: 0, MSG_LONG: 32, MSG_SHORT: 32, WREG_32: 32 };

export class CommandProcessor {
  readonly qm: QmanContext;
  readonly index: number;
  readonly peers: CommandProcessorPeers;
  /** Bus identity of messages that users may send. */
  readonly plain: Initiator;
  /** Bus identity of reads and of MSG_PROT; secure where GLBL_PROT says so. */
  readonly trusted: Initiator;
  /** Notified of whatever the processor may be waiting for: enabling, fence counters. */
  readonly wake = new Condition();
  /** The words of the packet being executed, while its body runs. */
  words: Uint32Array = new Uint32Array(0);
  /** Bit n: predicate n is set. Predicate 0 always is. */
  predicates = 1;
  readonly scalars = new Uint32Array(4);
  /** Fence counter that a FENCE packet waits for. */
  waitingFor: number | undefined;
  /** Where is told what it executes, what it sends, and what packets belong to now. */
  readonly track: Track | undefined;
  readonly #messageTrack: Track | undefined;
  #flow = 0;
  /** What a fence counter was last increased for. */
  readonly fenceFlows = [0, 0, 0, 0];
  /** Name of the last packet that a trace was told of, how many of it came in a row, and how many of these in one event. */
  #told: string | undefined;
  #alike = 0;
  #summed = 0;
  /** The page of registers that the last message went to, and whether a sync manager is there: that tells of messages itself. */
  #page = -1;
  #isSyncManager = false;
  readonly #queue: CommandQueue;
  readonly #unit: number;
  readonly #arrived = new Condition();
  readonly #posted = new Condition();
  readonly #timers = new Set<Timer>();
  /** Arrays for packets, by their length. */
  readonly #short: Uint32Array[] = [];
  #messages: Message[] = [];
  #executing = false;
  #nops = 0;
  #debt = 0;
  /** Of the packet at the head, where a row ended with it: nanoseconds that it has had, and what was asked for it already. */
  #spent = 0;
  #wait: number | undefined;
  #faulted: boolean | undefined;

  constructor(qm: QmanContext, index: number, queue: CommandQueue, peers: CommandProcessorPeers) {
    this.qm = qm;
    this.index = index;
    this.peers = peers;
    this.#queue = queue;
    this.#unit = unitBit.cp(index);
    this.plain = initiator(qm, 'CP', index);
    this.trusted = initiator(qm, 'CP', index, this.#unit);
    this.track = queue.trace?.track;
    this.#messageTrack = qm.trace?.track(`CP${index} messages`);
  }

  get idle(): boolean {
    return !this.#executing && this.#messages.length === 0 && this.#timers.size === 0;
  }

  get inFlight(): number {
    return this.#messages.length;
  }

  get running(): boolean {
    return running(this.qm, this.#unit);
  }

  /** Whether the processor has come to rest although it may have work. */
  get stopped(): boolean {
    return !this.running && (!this.#executing || this.waitingFor !== undefined);
  }

  reset(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    this.#messages = [];
    this.#executing = false;
    this.#nops = 0;
    this.#told = undefined;
    this.#alike = 0;
    this.#summed = 0;
    this.#debt = this.#spent = 0;
    this.#wait = this.#faulted = undefined;
    this.predicates = 1;
    this.scalars.fill(0);
    this.waitingFor = undefined;
    this.qm.spawn(`CP${this.index}`, this.#run());
    this.qm.spawn(`CP${this.index} messages`, this.#deliver());
  }

  /** Adds to a fence counter, which stops at its largest value. */
  addToFence(fence: number, amount: number): void {
    const { block } = this.qm;
    const count = block.get('CP_FENCE_CNT', fence, this.index) + amount;
    if (count > FENCE_MAX) this.fault(qmanError.fenceOverflow << fence);
    block.set('CP_FENCE_CNT', Math.min(count, FENCE_MAX), fence, this.index);
    if (this.track) {
      this.fenceFlows[fence] = this.track.trace.cause;
      this.#messageTrack?.instant('fence_count', `FENCE ${fence}`, { fence, value: Math.min(count, FENCE_MAX) });
    }
    this.wake.notify();
  }

  /** Subtracts from a fence counter, which stops at 0. */
  takeFromFence(fence: number, amount: number): void {
    const { block } = this.qm;
    const count = block.get('CP_FENCE_CNT', fence, this.index) - amount;
    if (count < 0) this.fault(qmanError.fenceUnderflow << fence);
    block.set('CP_FENCE_CNT', Math.max(count, 0), fence, this.index);
  }

  fault(cause: number): void {
    this.qm.faults.raise(this.index, cause, this.#unit);
  }

  /** A STOP packet. */
  stop(): void {
    this.qm.faults.stop(this.#unit);
    this.fault(qmanError.stopPacket);
  }

  /** Runs `body` in so many cycles; the processor is not idle before. */
  after(cycles: number, body: () => void): void {
    const { clock, timing } = this.qm;
    const timer = clock.at(clock.now() + cycles * timing.cycleNs, () => {
      this.#timers.delete(timer);
      body();
    });
    this.#timers.add(timer);
  }

  /**
   * Posts a message. An address that is not a multiple of 4, or none at all, is a write error.
   * @returns what is left to wait for where too many messages are under way
   */
  post(who: Initiator, address: bigint | number, value: number): Steps | undefined {
    const target = Number(address);
    if (!Number.isSafeInteger(target) || target % 4 !== 0) {
      const where = `${this.qm.name}.CP${this.index}`;
      this.qm.errors.report(new ModelError('guest', where, `message to address 0x${address.toString(16)}`));
      this.fault(qmanError.messageWrite);
      return undefined;
    }
    if (this.#messages.length >= MESSAGES) return this.#postLater(who, target, value);
    this.#send(who, target, value);
    return undefined;
  }

  /** Reads `target.length` bytes for LOAD_AND_EXE. @returns false where the bus refused */
  *load(address: bigint, target: Uint8Array): Steps<boolean> {
    try {
      const from = addressOf(Number(address & 0xffff_ffffn), Number(address >> 32n), 'read', this.trusted);
      yield* this.qm.bus.read(this.trusted, from, target);
      return true;
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      this.fault(qmanError.cpRead);
      return false;
    }
  }

  /** Executes the packet at the beginning of `words`, which did not come from the queue. */
  *execute(words: Uint32Array): Steps {
    const packet = this.#decode(words);
    if (!packet) return;
    this.words = words;
    yield* this.track ? this.#traced(packet, words, 0) : this.#perform(packet);
  }

  *#run(): Steps {
    const queue = this.#queue;
    for (;;) {
      this.#executing = false;
      while (!this.running) yield this.wake;
      if (queue.available < 2 && !(yield* queue.fetch(2))) continue;
      if (!this.running) continue;
      this.#executing = true;
      const length = this.#length(queue.data, queue.from);
      if (length === undefined) {
        // What follows an unknown opcode is not public; the next 64 bits are taken for a packet.
        queue.consume(2);
        yield this.qm.timing.packetNs;
        continue;
      }
      if (queue.available < length && !(yield* queue.fetch(length))) continue;
      const faulted = this.#faulted ?? this.qm.fault();
      this.#faulted = undefined;
      if (faulted) {
        queue.consume(length);
        this.fault(qmanError.undefinedOpcode);
        yield this.qm.timing.packetNs;
        continue;
      }
      this.words = this.#copy(queue.data, queue.from, length);
      const packet = this.#decode(this.words);
      const { trace } = queue;
      if (trace) {
        const { address } = trace;
        trace.begin();
        this.#flow = trace.flow;
        queue.consume(length);
        if (packet)
          yield* this.#sums(packet, address) ? this.#perform(packet) : this.#traced(packet, this.words, address);
        if (trace.whole) this.#endRun();
        trace.end();
        continue;
      }
      queue.consume(length);
      if (packet) yield* this.#perform(packet, this.words[1]);
    }
  }

  /** Whether the next packet has been read and is a MSG_LONG of this header, to a sync manager. */
  #follows(header: number): boolean {
    const { data, from, available } = this.#queue;
    if (available < MSG_LONG_WORDS || data[from + 1] !== header || !this.running) return false;
    const address = (data[from + 3] as number) * 2 ** 32 + (data[from + 2] as number);
    return this.#toSyncManager(address);
  }

  /**
   * Sends a message, and those of the MSG_LONG packets with a register barrier that follow with the same header, for as long as nothing
   * else happens on the card: the driver clears the sync objects of a new context with ten thousand of them, and who tests opens cards by the hundred. What they
   * do, and when, is what `#perform` and `#deliver` would do; whatever is not plain is left to those.
   */
  *#row(header: number, engineBarrier: boolean, address: number, value: number): Steps {
    const { plain: who, qm } = this;
    const { block, clock, engine, timing } = qm;
    const queue = this.#queue;
    const advance = (time: number) => time <= clock.now() || clock.advance?.(time) === true;
    /** When the processor began with the packet at the head. */
    let began = clock.now();
    let message: Message | undefined = { who, address, value, flow: 0, due: began + timing.messageNs };
    while (this.#follows(header)) {
      if (engineBarrier && engine.drain()) break;
      this.#wait ??= qm.delay();
      this.#faulted ??= qm.fault();
      if (this.#wait > 0 || this.#faulted) break;
      const guard = engineBarrier ? (block.words[BARRIER + this.index] as number) & 0xfff : 0;
      const due = began + this.#debt + timing.packetNs + guard * timing.cycleNs;
      if (message) {
        if (!advance(message.due)) break;
        const steps = this.#arrive(message);
        message = undefined;
        if (steps) {
          yield* steps;
          break;
        }
      }
      if (!advance(due)) break;
      this.#debt = 0;
      this.#nops = 0;
      const { data, from } = queue;
      const to = (data[from + 3] as number) * 2 ** 32 + (data[from + 2] as number);
      began = clock.now();
      message = { who, address: to, value: data[from] as number, flow: 0, due: began + timing.messageNs };
      block.words[CURRENT_LO + this.index] = data[from] as number;
      block.words[CURRENT_HI + this.index] = header;
      queue.consume(MSG_LONG_WORDS);
      this.#wait = this.#faulted = undefined;
    }
    this.#spent = clock.now() - began;
    if (!message) return;
    this.#messages.push(message);
    this.#posted.notify();
  }

  /** The words of a packet in an array of its own; that of a short one is used again for the next. */
  #copy(data: Uint32Array, from: number, length: number): Uint32Array {
    if (length > SHORT) return data.slice(from, from + length);
    const words = this.#short[length] ?? new Uint32Array(length);
    this.#short[length] = words;
    for (let i = 0; i < length; i++) words[i] = data[from + i] as number;
    return words;
  }

  #length(words: Uint32Array, at: number): number | undefined {
    try {
      return gaudiQman.packetLength(words, at);
    } catch (error) {
      this.#refused(error);
      return undefined;
    }
  }

  /** The packet in `words`; reserved bits that are set are reported, and have no effect. */
  #decode(words: Uint32Array): Packet | undefined {
    const { block } = this.qm;
    block.words[CURRENT_LO + this.index] = words[0] as number;
    block.words[CURRENT_HI + this.index] = words[1] as number;
    try {
      return gaudiQman.decode(words, 0);
    } catch (error) {
      if (!(error instanceof ModelError) || error.category !== 'guest') return this.#refused(error);
      this.#report(error);
    }
    try {
      return gaudiQman.decode(gaudiQman.withoutReserved(words), 0);
    } catch (error) {
      return this.#refused(error);
    }
  }

  #refused(error: unknown): undefined {
    if (!(error instanceof ModelError)) throw error;
    this.#report(error);
    this.fault(qmanError.undefinedOpcode);
    return undefined;
  }

  #report(error: ModelError): void {
    this.qm.errors.report(new ModelError(error.category, `${this.qm.name}.CP${this.index}`, error.message));
  }

  /** Whether a packet is one of a row that is told of as one event. */
  #sums({ name, fields }: Packet, address: number): boolean {
    if (name !== this.#told) this.#endRun();
    this.#told = name;
    const waits = name === 'NOP' && (fields.eb !== 0 || fields.mb !== 0);
    if (waits || ++this.#alike <= (TOLD[name] ?? Number.POSITIVE_INFINITY)) return false;
    if (this.#summed++ === 0) this.track?.begin('packet', name, { address }, 0);
    return true;
  }

  /** As `#perform`, told. */
  *#traced(packet: Packet, words: Uint32Array, address: number): Steps {
    const track = this.track as Track;
    this.#endSum();
    const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    track.begin('packet', packet.name, { address, words: bytes }, 0);
    try {
      yield* following(track.trace, this.#flow, this.#perform(packet));
    } finally {
      track.end('packet');
    }
  }

  #endSum(): void {
    if (this.#summed === 0) return;
    this.track?.end('packet', { count: this.#summed });
    this.#summed = 0;
  }

  #endRun(): void {
    this.#endSum();
    this.#alike = 0;
    this.#told = undefined;
  }

  /** @param header second word of a packet that came from the queue; others may follow it in a row */
  *#perform(packet: Packet, header?: number): Steps {
    const { fields } = packet;
    const wait = this.#wait ?? this.qm.delay();
    this.#wait = undefined;
    if (wait > 0) yield this.#unspent(wait);
    if (packet.name === 'NOP' && fields.eb === 0 && fields.mb === 0) {
      yield* this.#nop();
      return;
    }
    yield this.#unspent(this.#debt + this.qm.timing.packetNs);
    this.#debt = 0;
    this.#nops = 0;
    if (fields.eb !== 0) {
      const guard = (this.qm.block.words[BARRIER + this.index] as number) & 0xfff;
      if (guard > 0) yield this.#unspent(guard * this.qm.timing.cycleNs);
      const drained = this.qm.engine.drain();
      if (drained) yield* drained;
    }
    // Register barrier: nothing to wait for, as registers have what was written before the next packet begins.
    if (fields.mb !== 0) while (this.#messages.length > 0) yield this.#arrived;
    this.#spent = 0;
    if ('pred' in fields && ((this.predicates >>> fields.pred) & 1) === 0) return;
    if (header !== undefined && packet.name === 'MSG_LONG' && !this.#messageTrack && this.qm.clock.advance) {
      const { eb, mb, op, addr, value } = packet.fields;
      const address = Number(addr);
      if (mb !== 0 && op === 0 && this.#follows(header) && this.#toSyncManager(address)) {
        yield* this.#row(header, eb !== 0, address, value);
        return;
      }
    }
    const body = packetBodies[packet.name as PacketName] as unknown as AnyBody;
    try {
      const steps = body(fields, this);
      if (steps) yield* steps;
    } catch (error) {
      this.#refused(error);
    }
  }

  /** What of a packet's nanoseconds has not gone by in a row that ended with it. */
  #unspent(time: number): number {
    const spent = Math.min(time, this.#spent);
    this.#spent -= spent;
    return time - spent;
  }

  *#postLater(who: Initiator, address: number, value: number): Steps {
    while (this.#messages.length >= MESSAGES) yield this.#arrived;
    this.#send(who, address, value);
  }

  #send(who: Initiator, address: number, value: number): void {
    const { clock, timing } = this.qm;
    this.#messages.push({ who, address, value, flow: this.#flow, due: clock.now() + timing.messageNs });
    this.#posted.notify();
  }

  /** NOPs fill command buffers by the hundred: their time is counted, and spent with the next other packet. */
  *#nop(): Steps {
    this.#debt += this.qm.timing.packetNs;
    if (++this.#nops < NOPS) return;
    this.#nops = 0;
    yield this.#debt;
    this.#debt = 0;
  }

  /** Tells that a message arrives, but not where a sync manager tells of what it changes. */
  #tellMessage(track: Track, { address, value, flow }: Message): void {
    if (!this.#toSyncManager(address))
      track.instant('message', this.qm.bus.describe?.(address), { address, value }, flow);
  }

  #toSyncManager(address: number): boolean {
    if (address % 4 !== 0) return false;
    const page = Math.floor(address / PAGE);
    if (page !== this.#page) {
      this.#page = page;
      this.#isSyncManager = this.qm.bus.describe?.(address).startsWith('SYNC_MNGR') === true;
    }
    return this.#isSyncManager;
  }

  *#deliver(): Steps {
    const { clock } = this.qm;
    const trace = this.#messageTrack?.trace;
    for (;;) {
      const message = this.#messages[0];
      if (!message) {
        yield this.#posted;
        continue;
      }
      yield Math.max(0, message.due - clock.now());
      if (this.#messageTrack) this.#tellMessage(this.#messageTrack, message);
      if (trace) trace.cause = message.flow;
      const steps = this.#arrive(message);
      if (trace) trace.cause = 0;
      if (steps) yield* trace ? following(trace, message.flow, steps) : steps;
      this.#messages.shift();
      this.#arrived.notify();
    }
  }

  /** @returns what is left to wait for */
  #arrive({ who, address, value }: Message): Steps | undefined {
    try {
      const steps = this.qm.bus.write32(who, address, value);
      return steps && this.#guarded(steps);
    } catch (error) {
      this.#undelivered(error);
      return undefined;
    }
  }

  *#guarded(steps: Steps): Steps {
    try {
      yield* steps;
    } catch (error) {
      this.#undelivered(error);
    }
  }

  #undelivered(error: unknown): void {
    if (error instanceof ModelError) this.#report(error);
    else if (!(error instanceof BusError)) throw error;
    this.fault(qmanError.messageWrite);
  }
}
