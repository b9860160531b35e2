/**
 * A DMA core: takes descriptors (by COMMIT, from the host or from its queue manager), moves their bytes in order and in
 * time, and then reports. One transfer is under way at a time; others wait in the engine's queue.
 *
 * Where an access fails, ERR_CAUSE tells and an error message is sent. The bytes that could not be read are zero, those
 * that could not be written are dropped, and the transfer goes on to its completion; with ERR_CFG.STOP_ON_ERR it stops
 * instead, without completion, and the engine stays busy until it is reset (gaudi.c, gaudi_init_dma_core).
 */

import { addressMap } from '../../specs/gaudi/address-map.ts';
import {
  CFG_0,
  CFG_1,
  DBG_STS,
  dmaCore,
  ERR_CAUSE,
  ERR_CFG,
  PROPS,
  PROT,
  STS0,
  STS1,
} from '../../specs/gaudi/registers/dma-core.ts';
import type { Clock } from '../sim/clock.ts';
import { ModelError } from '../sim/errors.ts';
import { Condition, Process, type Steps } from '../sim/process.ts';
import { RegisterBlock } from '../sim/registers.ts';
import { following, type Track } from '../trace/recorder.ts';
import { BusError, type Initiator } from './bus.ts';
import { type DmaBus, DmaMover } from './dma-mover.ts';
import { type Descriptor, descriptor, type Shape, slices } from './dma-transfer.ts';
import type { Engine } from './engine.ts';

/** How long transfers take. */
export interface DmaTiming {
  /** Nanoseconds from COMMIT to the first byte. */
  readonly latency: number;
  /** Nanoseconds per MiB where one side is the host. */
  readonly host: number;
  /** Nanoseconds per MiB within the chip. */
  readonly chip: number;
}

/** PCIe 4.0 x16 and HBM2, in round numbers. */
export const defaultDmaTiming: DmaTiming = { latency: 500, host: 45_000, chip: 8_000 };

export interface DmaCorePorts {
  readonly clock: Clock;
  readonly bus: DmaBus;
  readonly timing?: DmaTiming;
  /** Nanoseconds by which the next transfer is late, for tests of ordering; asked once per transfer. */
  delay?(): number;
  /** What goes wrong with the next transfer: it fails for a cause, or the engine stands still until it is reset. */
  fault?(): number | 'stuck' | undefined;
  readonly track?: Track | undefined;
  /** Told of what the engine cannot do once a transfer is under way; the transfer ends without completion. */
  onError(error: ModelError): void;
}

const MEBIBYTE = 0x10_0000;
/** Bytes that land between two waits. */
const SLICE = MEBIBYTE;
/** Pieces (rows, pages) moved between two waits where they are small. */
const SLICE_PIECES = 1024;
/** Zeroing gives pages back instead of writing them: larger slices are as quick. */
const ZERO_SLICE = 32 * MEBIBYTE;
/** Descriptors that the engine holds, the one under way included. A choice of the model: the depth is not published. */
const QUEUE = 8;

export class DmaCore implements Engine {
  readonly name: string;
  readonly registers: RegisterBlock<typeof dmaCore.rows>;
  readonly #ports: DmaCorePorts;
  readonly #timing: DmaTiming;
  readonly #who: Initiator;
  readonly #errorSender: Initiator;
  #process: Process | undefined;
  readonly #queue: { readonly work: Descriptor; readonly number: number; readonly flow: number }[] = [];
  /** Transfers accepted, and those of them that are done, since the last reset. */
  #accepted = 0;
  #done = 0;
  #resets = 0;
  #paused = false;
  #stopped = false;
  #messages = 0;
  readonly #changed = new Condition();
  readonly #mover: DmaMover;

  /** @param index 0 to 7 */
  constructor(index: number, ports: DmaCorePorts) {
    this.name = `DMA${index}_CORE`;
    this.#ports = ports;
    this.#timing = ports.timing ?? defaultDmaTiming;
    const props = () =>
      this.registers.get('PROT') & PROT.VAL
        ? this.registers.get('SECURE_PROPS')
        : this.registers.get('NON_SECURE_PROPS');
    this.#who = {
      name: this.name,
      asid: () => props() & PROPS.ASID,
      mmuBypass: () => (props() & PROPS.MMBP) !== 0,
      secure: () => (this.registers.get('PROT') & PROT.VAL) !== 0,
    };
    // Error messages have a protection bit of their own; their address is physical.
    this.#errorSender = {
      name: this.name,
      asid: () => 0,
      mmuBypass: () => true,
      secure: () => (this.registers.get('PROT') & PROT.ERR_VAL) !== 0,
    };
    this.#mover = new DmaMover(ports.bus, this.#who, (error) =>
      this.#fail(error.access === 'read' ? ERR_CAUSE.HBW_RD_ERR : ERR_CAUSE.HBW_WR_ERR),
    );
    const control = (register: 'CFG_0' | 'CFG_1', known: number) => ({
      write: (value: number) => {
        if (value & ~known) {
          const bits = (value & ~known) >>> 0;
          throw new ModelError('unimplemented', `${this.name}.${register}`, `bits 0x${bits.toString(16)}`);
        }
        this.registers.set(register, value);
        this.#changed.notify();
      },
    });
    const unknown = (register: keyof typeof dmaCore.rows) => {
      const raise = (): never => {
        throw new ModelError('unimplemented', `${this.name}.${register}`, 'debug access to the engine');
      };
      return { read: raise, write: raise };
    };
    this.registers = new RegisterBlock(dmaCore, this.name, {
      CFG_0: control('CFG_0', CFG_0.EN),
      CFG_1: control('CFG_1', CFG_1.HALT),
      COMMIT: { write: (value) => this.#commit(value) },
      WR_AWUSER_31_11: {},
      RD_INFLIGHTS: { read: () => this.#mover.reads },
      WR_INFLIGHTS: { read: () => this.#mover.writes },
      ERR_CAUSE: {
        write: (value) => this.registers.set('ERR_CAUSE', (this.registers.get('ERR_CAUSE') & ~value) >>> 0),
      },
      STS0: {
        read: () =>
          ((this.busy() ? STS0.BUSY : 0) |
            (this.#mover.writes << STS0.WR_REQ_CNT_SHIFT) |
            (this.#mover.reads & STS0.RD_REQ_CNT)) >>>
          0,
      },
      STS1: { read: () => (this.#halted() && !this.#moving() ? STS1.IS_HALT : 0) },
      RD_DBGMEM_ADD: unknown('RD_DBGMEM_ADD'),
      RD_DBGMEM_DATA_WR: unknown('RD_DBGMEM_DATA_WR'),
      RD_DBGMEM_DATA_RD: unknown('RD_DBGMEM_DATA_RD'),
      RD_DBGMEM_CTRL: unknown('RD_DBGMEM_CTRL'),
      RD_DBGMEM_RC: unknown('RD_DBGMEM_RC'),
      DBG_HBW_AXI_AR_CNT: unknown('DBG_HBW_AXI_AR_CNT'),
      DBG_HBW_AXI_AW_CNT: unknown('DBG_HBW_AXI_AW_CNT'),
      DBG_LBW_AXI_AW_CNT: { read: () => this.#messages },
      DBG_DESC_CNT: { read: () => this.#queue.length },
      DBG_STS: { read: () => this.#debugStatus() },
      DBG_RD_DESC_ID: unknown('DBG_RD_DESC_ID'),
      DBG_WR_DESC_ID: unknown('DBG_WR_DESC_ID'),
    });
    this.#start();
  }

  *writeRegister(offset: number, value: number): Steps {
    if (offset >= this.registers.spec.size) {
      throw new ModelError('unimplemented', `${this.name}+0x${offset.toString(16)}`, 'write of an unknown register');
    }
    const { track } = this.#ports;
    const flow = track?.trace.cause ?? 0;
    if (offset === this.registers.offsetOf('COMMIT')) {
      const resets = this.#resets;
      while (this.#queue.length >= QUEUE && resets === this.#resets) yield this.#changed;
    }
    if (track) track.trace.causing(flow, () => this.registers.write32(offset, value));
    else this.registers.write32(offset, value);
  }

  drain(): Steps | undefined {
    return this.busy() ? this.#drain() : undefined;
  }

  busy(): boolean {
    return this.#queue.length > 0;
  }

  /** Ends what is under way; nothing of it is written any more, and no completion. */
  reset(): void {
    this.#process?.kill();
    this.#queue.length = 0;
    this.#accepted = 0;
    this.#done = 0;
    this.#resets++;
    this.#paused = false;
    this.#stopped = false;
    this.#messages = 0;
    this.#mover.reset();
    this.registers.reset();
    this.#changed.notify();
    this.#start();
  }

  /** Ends the engine's process, for good. */
  close(): void {
    this.#process?.kill();
    this.#queue.length = 0;
  }

  *#drain(): Steps {
    const until = this.#accepted;
    const resets = this.#resets;
    while (this.#done < until && resets === this.#resets) yield this.#changed;
  }

  #start(): void {
    this.#process = new Process(this.#ports.clock, this.name, this.#run(), (error) => this.#report(error));
  }

  #commit(value: number): void {
    if (this.#queue.length >= QUEUE) {
      // The host has no way to be made to wait: the descriptor is lost.
      new Process(this.#ports.clock, `${this.name} error`, this.#raise(ERR_CAUSE.DESC_OVF), (error) =>
        this.#report(error),
      );
      return;
    }
    this.registers.set('COMMIT', value);
    const flow = this.#ports.track?.trace.cause ?? 0;
    this.#queue.push({ work: descriptor(this.registers, value), number: ++this.#accepted, flow });
    this.#changed.notify();
  }

  /** @throws what is a defect of the model */
  #report(error: unknown): void {
    if (!(error instanceof ModelError)) throw error;
    this.#ports.onError(error);
  }

  #halted(): boolean {
    return (this.registers.get('CFG_1') & CFG_1.HALT) !== 0 || (this.registers.get('CFG_0') & CFG_0.EN) === 0;
  }

  /** Whether a transfer is under way that nothing holds. */
  #moving(): boolean {
    return this.busy() && !this.#paused && !this.#stopped;
  }

  #debugStatus(): number {
    const full = this.#queue.length >= QUEUE ? DBG_STS.RD_CTX_FULL | DBG_STS.WR_CTX_FULL : 0;
    const empty = this.busy() ? 0 : DBG_STS.RD_CTX_EMPTY | DBG_STS.WR_CTX_EMPTY | DBG_STS.WR_COMP_EMPTY;
    return full | empty | DBG_STS.TE_EMPTY | DBG_STS.GSKT_EMPTY;
  }

  *#run(): Steps {
    const resets = this.#resets;
    for (;;) {
      const next = this.#queue[0];
      if (!next) {
        yield this.#changed;
        continue;
      }
      yield* this.#hold();
      try {
        const { track } = this.#ports;
        yield* track ? this.#traced(track, next) : this.#transfer(next.work);
      } catch (error) {
        this.#report(error);
      }
      if (resets !== this.#resets) return;
      this.#queue.shift();
      this.#done = next.number;
      this.#changed.notify();
    }
  }

  *#traced(track: Track, { work, flow }: { readonly work: Descriptor; readonly flow: number }): Steps {
    const { source, destination } = work;
    const rows = destination.counts.reduce((product, count) => product * count, 1);
    const fields = {
      source: source?.base ?? new DataView(work.pattern.buffer).getUint32(0, true),
      destination: destination.base,
      bytes: destination.row * rows,
      rows,
    };
    track.begin('dma', source ? 'copy' : 'fill', fields, flow);
    try {
      yield* following(track.trace, flow, this.#transfer(work));
    } finally {
      track.end('dma');
    }
  }

  /** Waits while the engine is halted or not enabled. */
  *#hold(): Steps {
    while (this.#halted()) {
      this.#paused = true;
      yield this.#changed;
    }
    this.#paused = false;
  }

  *#transfer(work: Descriptor): Steps {
    const { clock, bus } = this.#ports;
    const host = isHost(work.destination) || (work.source !== undefined && isHost(work.source));
    const perByte = (host ? this.#timing.host : this.#timing.chip) / MEBIBYTE;
    const zero = !host && !work.source && work.pattern.every((byte) => byte === 0);
    let due = clock.now() + this.#timing.latency + (this.#ports.delay?.() ?? 0);
    yield Math.max(0, due - clock.now());
    const fault = this.#ports.fault?.();
    if (fault === 'stuck') for (;;) yield this.#changed;
    if (fault !== undefined) yield* this.#fail(fault);
    const resets = this.#resets;
    for (const slice of slices(work, zero ? ZERO_SLICE : SLICE, SLICE_PIECES)) {
      due += slice.reduce((bytes, piece) => bytes + piece.length, 0) * perByte;
      yield Math.max(0, due - clock.now());
      yield* this.#hold();
      for (const piece of slice) {
        if (work.source) yield* this.#mover.copy(piece);
        else yield* this.#mover.fill(piece, work.pattern);
        // What was written may have been a reset of this very engine.
        if (resets !== this.#resets) return;
      }
    }
    if (!work.completion) return;
    this.#messages++;
    try {
      const steps = bus.write32(this.#who, work.completion.address, work.completion.value);
      if (steps) yield* steps;
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      yield* this.#fail(ERR_CAUSE.LBW_WR_ERR);
    }
  }

  /** An access failed: tells, and stops here for good where ERR_CFG says so. */
  *#fail(cause: number): Steps {
    yield* this.#raise(cause);
    if ((this.registers.get('ERR_CFG') & ERR_CFG.STOP_ON_ERR) === 0) return;
    this.#stopped = true;
    // Only a reset ends this; it ends the process.
    for (;;) yield this.#changed;
  }

  /** Sets a cause; the error message is sent when it was not set before. */
  *#raise(cause: number): Steps {
    const { registers } = this;
    const causes = registers.get('ERR_CAUSE');
    registers.set('ERR_CAUSE', (causes | cause) >>> 0);
    this.#ports.track?.instant('engine_error', `${this.name}.ERR_CAUSE`, { cause });
    if (causes & cause || (registers.get('ERR_CFG') & ERR_CFG.ERR_MSG_EN) === 0) return;
    const address = registers.get('ERRMSG_ADDR_HI') * 2 ** 32 + registers.get('ERRMSG_ADDR_LO');
    this.#messages++;
    try {
      const steps = this.#ports.bus.write32(this.#errorSender, address, registers.get('ERRMSG_WDATA'));
      if (steps) yield* steps;
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      registers.set('ERR_CAUSE', (registers.get('ERR_CAUSE') | ERR_CAUSE.LBW_WR_ERR) >>> 0);
    }
  }
}

function isHost(shape: Shape): boolean {
  return shape.base >= addressMap.HOST_BASE;
}
