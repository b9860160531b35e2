/**
 * The registers of BAR 0: reset, description of the admin queues, doorbells of what the kernel owns, and the register
 * reads that are answered in memory, so that no read has to wait on the bus.
 */

import type { VERSION } from '../../specs/efa/admin.ts';
import { MMIO_RESPONSE } from '../../specs/efa/io.ts';
import { CAPS, DEV_CTL, DEV_STS, EQ_DB, efaRegisters, INTR_MASK, MMIO_REG_READ } from '../../specs/efa/registers.ts';
import { ModelError } from '../sim/errors.ts';
import { RegisterBlock } from '../sim/registers.ts';
import type { AdminQueue } from './admin-queue.ts';
import type { AsyncEvents } from './aenq.ts';
import { address64, BusFault } from './dma.ts';
import type { Nic } from './nic.ts';

export type ApiVersion = (typeof VERSION)[keyof typeof VERSION];

export interface ControlPorts {
  readonly nic: Nic;
  readonly admin: AdminQueue;
  readonly events: AsyncEvents;
  /** Minor version of the admin protocol that VERSION tells. */
  readonly apiVersion: ApiVersion;
  /** Resets everything but the registers. */
  reset(): void;
}

/** A reset takes no time; the host may give up after so many 100 ms. */
const RESET_TIMEOUT = 10;
const DMA_WIDTH = 64;
/** 0.0.1 of implementation 0 is the oldest that the driver takes. */
const CONTROLLER_VERSION = 1;
const NO_REGISTER = 0xffff_ffff;

export class Control {
  readonly block: RegisterBlock<typeof efaRegisters.rows>;
  readonly #ports: ControlPorts;
  #status: number = DEV_STS.READY;
  /** Reason of the last reset that the host asked for. */
  resetReason: number | undefined;

  constructor(ports: ControlPorts) {
    this.#ports = ports;
    const { admin, events } = ports;
    const base = (name: 'AQ_BASE' | 'ACQ_BASE' | 'AENQ_BASE') =>
      address64(this.block.get(`${name}_LO`), this.block.get(`${name}_HI`));
    this.block = new RegisterBlock(efaRegisters, 'EFA', {
      AQ_CAPS: { write: (value) => this.#keep('AQ_CAPS', value, () => admin.setRequests(base('AQ_BASE'), value)) },
      ACQ_CAPS: { write: (value) => this.#keep('ACQ_CAPS', value, () => admin.setAnswers(base('ACQ_BASE'), value)) },
      AENQ_CAPS: { write: (value) => this.#keep('AENQ_CAPS', value, () => events.setRing(base('AENQ_BASE'), value)) },
      AQ_PROD_DB: { read: () => 0, write: (value) => this.#working(() => admin.post(value & 0xffff)) },
      AENQ_CONS_DB: { read: () => 0, write: (value) => events.consumed(value) },
      INTR_MASK: { write: (value) => this.block.set('INTR_MASK', value & INTR_MASK.EN) },
      DEV_CTL: { write: (value) => this.#control(value) },
      DEV_STS: { read: () => this.#status, write() {} },
      MMIO_REG_READ: { read: () => 0, write: (value) => this.#readless(value) },
      EQ_DB: { read: () => 0, write: (value) => this.#working(() => this.#armEq(value)) },
    });
    this.powerOn();
  }

  /** Whether the interrupts of the admin queues are masked. */
  get masked(): boolean {
    return this.block.get('INTR_MASK') !== 0;
  }

  /** As after a reset of the function. */
  powerOn(): void {
    this.#status = DEV_STS.READY;
    this.#clear();
  }

  fatal(): void {
    this.#status |= DEV_STS.FATAL_ERROR;
    this.#ports.events.notify('FATAL_ERROR');
  }

  #clear(): void {
    this.block.reset();
    this.block.set('VERSION', this.#ports.apiVersion);
    this.block.set('CONTROLLER_VERSION', CONTROLLER_VERSION);
    this.block.set('CAPS', (RESET_TIMEOUT << CAPS.RESET_TIMEOUT_SHIFT) | (DMA_WIDTH << CAPS.DMA_ADDR_WIDTH_SHIFT));
  }

  /** Runs what a device does only while it is not being reset. */
  #working(act: () => void): void {
    if ((this.#status & DEV_STS.READY) !== 0) act();
  }

  #keep(name: 'AQ_CAPS' | 'ACQ_CAPS' | 'AENQ_CAPS', value: number, act: () => void): void {
    this.block.set(name, value);
    this.#working(act);
  }

  #control(value: number): void {
    const before = this.block.get('DEV_CTL');
    if ((value & DEV_CTL.DEV_RESET) !== 0) {
      this.#ports.reset();
      this.#clear();
      this.resetReason = value >>> DEV_CTL.RESET_REASON_SHIFT;
      this.#status = DEV_STS.RESET_IN_PROGRESS;
    } else if ((before & DEV_CTL.DEV_RESET) !== 0) this.#status = DEV_STS.READY | DEV_STS.RESET_FINISHED;
    const restart = (value & DEV_CTL.AQ_RESTART) !== 0;
    if (restart && (this.#status & DEV_STS.READY) !== 0) {
      this.#ports.admin.restart();
      this.#status = (this.#status & ~DEV_STS.AQ_RESTART_FINISHED) | DEV_STS.AQ_RESTART_IN_PROGRESS;
    } else if ((before & DEV_CTL.AQ_RESTART) !== 0 && (this.#status & DEV_STS.AQ_RESTART_IN_PROGRESS) !== 0) {
      this.#status = (this.#status & ~DEV_STS.AQ_RESTART_IN_PROGRESS) | DEV_STS.AQ_RESTART_FINISHED;
    }
    this.block.set('DEV_CTL', value);
  }

  #armEq(value: number): void {
    const { nic } = this.#ports;
    const eqn = value & EQ_DB.EQN;
    const eq = nic.eqs.get(eqn);
    if (!eq) nic.guestError('EQ_DB', `no event queue ${eqn}`);
    else if ((value & EQ_DB.ARM) !== 0) eq.arm();
  }

  /**
   * Answers a read in memory: the value first, then the word with the request's number, which the host waits for
   * (efa_com.c, efa_com_reg_read32; it gives up after 50 ms).
   */
  #readless(value: number): void {
    const { nic } = this.#ports;
    const { dma } = nic.ports;
    const to = address64(this.block.get('MMIO_RESP_LO'), this.block.get('MMIO_RESP_HI'));
    const offset = value >>> MMIO_REG_READ.REG_OFF_SHIFT;
    if (to % 8 !== 0 || to >= 2 ** 52) {
      nic.guestError('MMIO_RESP', `an answer to 0x${to.toString(16)}`);
      return;
    }
    const answer = ((value & MMIO_REG_READ.REQ_ID) | (offset << 16)) >>> 0;
    const failed = (error: Error | undefined): error is Error => {
      if (error) nic.failed(new BusFault(error.message));
      return error !== undefined;
    };
    dma.store32(to + MMIO_RESPONSE.REG_VAL, this.#value(offset), (error) => {
      if (!failed(error)) dma.store32(to + MMIO_RESPONSE.REQ_ID, answer, failed);
    });
  }

  #value(offset: number): number {
    try {
      if (offset % 4 === 0 && offset < efaRegisters.size) return this.block.read32(offset);
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      this.#ports.nic.ports.errors.report(error);
    }
    return NO_REGISTER;
  }
}
