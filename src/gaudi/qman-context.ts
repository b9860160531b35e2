/** What the parts of one queue manager share. */

import { qmanRegisters } from '../../specs/gaudi/registers/qman.ts';
import type { Clock } from '../sim/clock.ts';
import type { ErrorLog } from '../sim/errors.ts';
import { Condition, type Steps } from '../sim/process.ts';
import type { RegisterBlock } from '../sim/registers.ts';
import type { TraceScope } from '../trace/recorder.ts';
import { BusError, type ChipBus, type Initiator } from './bus.ts';
import type { Engine } from './engine.ts';
import type { QmanFaults } from './qman-faults.ts';

export const STREAMS = 4;
/** Index of the lower command processor, which executes what CP_DMA packets point at. */
export const LOWER = 4;

export type QmanBlock = RegisterBlock<typeof qmanRegisters.rows>;

export interface QmanTiming {
  /** Nanoseconds that a command processor takes for a packet. */
  readonly packetNs: number;
  /** Nanoseconds from a message's being sent to its arrival. */
  readonly messageNs: number;
  /** Nanoseconds of a clock cycle, for what registers and packets give in cycles. */
  readonly cycleNs: number;
}

export interface QmanContext {
  /** E.g. `DMA0_QM`. */
  readonly name: string;
  readonly clock: Clock;
  readonly bus: ChipBus;
  readonly engine: Engine;
  readonly errors: ErrorLog;
  readonly timing: QmanTiming;
  readonly block: QmanBlock;
  readonly faults: QmanFaults;
  /** Nanoseconds to wait before the next packet, beyond its own time. */
  readonly delay: () => number;
  /** Whether the packet that has been fetched is one that does not exist. */
  readonly fault: () => boolean;
  /** Low half of the time stamp counter, for messages that write it. */
  readonly timestamp: (() => number) | undefined;
  /** Tracks of the queue manager. */
  readonly trace: TraceScope | undefined;
  /** Starts a process that lives until the next reset. */
  spawn(name: string, steps: Steps): void;
}

/** Bit of a unit in GLBL_CFG0, GLBL_CFG1, GLBL_PROT and GLBL_STS0; in GLBL_ERR_CFG too, and 16 higher for "stop". */
export const unitBit = {
  pqf: (index: number) => index,
  cqf: (index: number) => 4 + index,
  cp: (index: number) => 9 + index,
} as const;

const CFG0 = qmanRegisters.rows.GLBL_CFG0.offset / 4;
const CFG1 = qmanRegisters.rows.GLBL_CFG1.offset / 4;

/** Whether a unit is enabled and neither told to stop nor stopped by an error. */
export function running(qm: QmanContext, unit: number): boolean {
  // twice a packet: by index, not by name
  const { words } = qm.block;
  const stopped = (words[CFG1] as number) | qm.faults.halted;
  return (((words[CFG0] as number) & ~stopped) >>> unit) % 2 === 1;
}

/**
 * Who a unit is on the bus: GLBL_PROT decides whether it is secure, and so which of the two property registers of its
 * index applies. Without `unit` accesses are never secure.
 */
export function initiator(qm: QmanContext, part: string, index: number, unit?: number): Initiator {
  const secure = () => unit !== undefined && (qm.block.get('GLBL_PROT') >>> unit) % 2 === 1;
  const properties = () => qm.block.get(secure() ? 'GLBL_SECURE_PROPS' : 'GLBL_NON_SECURE_PROPS', index);
  return {
    name: `${qm.name}.${part}${index}`,
    asid: () => properties() & 0x3ff,
    mmuBypass: () => (properties() & 0x400) !== 0,
    secure,
  };
}

/** Two halves of an address. @throws BusError where it is beyond any device address */
export function addressOf(lo: number, hi: number, access: 'read' | 'write', who: Initiator): number {
  const address = hi * 0x1_0000_0000 + lo;
  if (!Number.isSafeInteger(address)) throw new BusError('decode', access, address, who.name);
  return address;
}

/** Lets one process at a time through, in the order in which they came. */
export class Gate {
  readonly #opened = new Condition();
  #generation = 0;
  #next = 0;
  #serving = 0;

  /** @returns what to call when leaving; harmless after a reset, which the visitor itself may have caused */
  *enter(): Steps<() => void> {
    const generation = this.#generation;
    const ticket = this.#next++;
    while (ticket !== this.#serving) yield this.#opened;
    return () => {
      if (generation !== this.#generation) return;
      this.#serving++;
      this.#opened.notify();
    };
  }

  /** Forgets who is inside and who waits. */
  reset(): void {
    this.#generation++;
    this.#serving = this.#next;
  }
}
