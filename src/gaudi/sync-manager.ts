/**
 * A sync manager: 2048 sync objects (15-bit counters that anyone sets or adds to by writing a register) and 512 monitors,
 * each of which waits until up to eight objects of one group have reached a value and then writes one word.
 *
 * A monitor remembers which of its objects have met the condition (MON_STATUS.PENDING): they need not meet it at the
 * same time. Objects that meet it when the monitor is armed count at once. Of several monitors that one write satisfies,
 * the lower is first. Messages leave one after the other, in the order in which monitors were satisfied.
 */

import {
  ARM,
  GROUP_SIZE,
  MONITORS,
  SEI_CAUSE,
  SOB,
  STATUS,
  SYNC_OBJECTS,
  syncManager,
} from '../../specs/gaudi/registers/sync-manager.ts';
import type { Clock } from '../sim/clock.ts';
import { ModelError } from '../sim/errors.ts';
import { Condition, Process, type Steps } from '../sim/process.ts';
import { RegisterBlock } from '../sim/registers.ts';
import { following, type Track } from '../trace/recorder.ts';
import { BusError, type ChipBus, type Initiator } from './bus.ts';

export interface SyncManagerPorts {
  readonly clock: Clock;
  readonly bus: ChipBus;
  /** Nanoseconds before the next message leaves; asked once per message. Without it they leave at once. */
  delay?(): number;
  readonly track?: Track | undefined;
  /**
   * An error interrupt. `log` is the group of the object (overflow), the address 31:0 (unaligned), or the AXI id
   * (nothing answered), as struct hl_eq_sm_sei_data has it.
   */
  onInterrupt(cause: (typeof SEI_CAUSE)[keyof typeof SEI_CAUSE], log: number): void;
  /** Told of a message to something that the model does not have; the message is dropped. */
  onError(error: ModelError): void;
}

interface Message {
  readonly address: number;
  readonly value: number;
  /** What it follows from, in a trace. */
  readonly flow: number;
}

const ALL = (1 << GROUP_SIZE) - 1;

export class SyncManager {
  readonly name: string;
  readonly registers: RegisterBlock<typeof syncManager.rows>;
  readonly #ports: SyncManagerPorts;
  readonly #who: Initiator;
  /** The stored words of SOB_OBJ and MON_STATUS. */
  readonly #objects: Uint32Array;
  readonly #status: Uint32Array;
  /** Armed monitors per group. */
  readonly #armed: Set<number>[] = Array.from({ length: SYNC_OBJECTS / GROUP_SIZE }, () => new Set());
  #messages: Message[] = [];
  readonly #queued = new Condition();
  #process: Process | undefined;

  /** @param corner E_N, E_S, W_N or W_S */
  constructor(corner: string, ports: SyncManagerPorts) {
    this.name = `SYNC_MNGR_OBJS_${corner}`;
    this.#ports = ports;
    // It has no address space of its own: address space 0, which belongs to nobody but the driver.
    this.#who = { name: this.name, asid: () => 0, mmuBypass: () => false };
    this.registers = new RegisterBlock(syncManager, this.name, {
      SOB_OBJ: { write: (value, index) => this.#writeObject(index, value) },
      MON_ARM: { write: (value, index) => this.#arm(index, value) },
      MON_STATUS: { write: (value, index) => this.#writeStatus(index, value) },
    });
    const words = (name: 'SOB_OBJ' | 'MON_STATUS', count: number) => {
      const first = this.registers.offsetOf(name) / 4;
      return this.registers.words.subarray(first, first + count);
    };
    this.#objects = words('SOB_OBJ', SYNC_OBJECTS);
    this.#status = words('MON_STATUS', MONITORS);
    this.#start();
  }

  /** Whether messages of monitors have not been written yet. */
  busy(): boolean {
    return this.#messages.length > 0;
  }

  reset(): void {
    this.#process?.kill();
    this.#messages.length = 0;
    this.#messages = [];
    for (const group of this.#armed) group.clear();
    this.registers.reset();
    this.#start();
  }

  /** Ends the process, for good. */
  close(): void {
    this.#process?.kill();
    this.#messages.length = 0;
  }

  #start(): void {
    this.#process = new Process(this.#ports.clock, this.name, this.#run(), (error) => {
      throw error;
    });
  }

  #writeObject(index: number, value: number): void {
    const operand = value & SOB.VALUE;
    const before = this.#objects[index] as number;
    let next = operand;
    if (value & SOB.ADD) {
      const sum = operand + (this.#objects[index] as number);
      next = sum & SOB.VALUE;
      // The counter has 15 bits and wraps; who counts on it is told. The cause is called overflow/underflow, so an operand
      // with its highest bit set may as well be a negative number, of which the carry is no error. That is not public:
      // only what is an overflow in both readings is reported.
      if (sum > SOB.VALUE && operand < SOB.SIGN) {
        this.#objects[index] = next;
        this.#ports.onInterrupt(SEI_CAUSE.SO_OVERFLOW, Math.floor(index / GROUP_SIZE));
      }
    }
    this.#objects[index] = next;
    if (next !== before)
      this.#ports.track?.instant('sync_object', `SOB ${index}`, { object: index, value: next, before });
    const group = this.#armed[Math.floor(index / GROUP_SIZE)] as Set<number>;
    if (group.size === 0) return;
    // In order of their numbers; firing takes them out of the set.
    for (const monitor of [...group].sort((a, b) => a - b)) this.#check(monitor, index);
  }

  /** Tests one object for one armed monitor. */
  #check(monitor: number, index: number): void {
    const bit = 1 << (STATUS.PENDING_SHIFT + (index % GROUP_SIZE));
    const status = this.#status[monitor] as number;
    if ((status & bit) === 0 || !this.#meets(monitor, index)) return;
    this.#status[monitor] = status & ~bit;
    this.#fireIfMet(monitor);
  }

  #meets(monitor: number, index: number): boolean {
    const arm = this.registers.get('MON_ARM', monitor);
    const wanted = arm >>> ARM.SOD_SHIFT;
    const value = this.#objects[index] as number;
    return arm & ARM.SOP ? value === wanted : value >= wanted;
  }

  #arm(monitor: number, value: number): void {
    this.#disarm(monitor);
    this.registers.set('MON_ARM', value, monitor);
    if (this.#ports.track) this.#tellArmed(this.#ports.track, monitor, value);
    let pending = ~((value & ARM.MASK) >>> ARM.MASK_SHIFT) & ALL;
    const group = value & ARM.SID;
    for (let i = 0; i < GROUP_SIZE; i++) {
      if (pending & (1 << i) && this.#meets(monitor, group * GROUP_SIZE + i)) pending &= ~(1 << i);
    }
    this.#status[monitor] = STATUS.VALID | (pending << STATUS.PENDING_SHIFT);
    (this.#armed[group] as Set<number>).add(monitor);
    this.#fireIfMet(monitor);
  }

  #tellArmed(track: Track, monitor: number, arm: number): void {
    const { registers } = this;
    const mask = (arm & ARM.MASK) >>> ARM.MASK_SHIFT;
    const first = (arm & ARM.SID) * GROUP_SIZE;
    const objects = Array.from({ length: GROUP_SIZE }, (_, i) => first + i).filter((_, i) => (mask & (1 << i)) === 0);
    track.instant('monitor_arm', `MON ${monitor}`, {
      monitor,
      objects: objects.join(' '),
      target: arm >>> ARM.SOD_SHIFT,
      mode: arm & ARM.SOP ? 'equal' : 'at least',
      address: registers.get('MON_PAY_ADDRH', monitor) * 2 ** 32 + registers.get('MON_PAY_ADDRL', monitor),
      data: registers.get('MON_PAY_DATA', monitor),
    });
  }

  #writeStatus(monitor: number, value: number): void {
    this.#disarm(monitor);
    this.#status[monitor] = value & (STATUS.VALID | STATUS.PENDING);
    if ((value & STATUS.VALID) === 0) return;
    (this.#armed[this.registers.get('MON_ARM', monitor) & ARM.SID] as Set<number>).add(monitor);
  }

  #disarm(monitor: number): void {
    if (((this.#status[monitor] as number) & STATUS.VALID) === 0) return;
    (this.#armed[this.registers.get('MON_ARM', monitor) & ARM.SID] as Set<number>).delete(monitor);
    this.#status[monitor] = 0;
  }

  #fireIfMet(monitor: number): void {
    if (((this.#status[monitor] as number) & STATUS.PENDING) !== 0) return;
    this.#disarm(monitor);
    const { registers } = this;
    const low = registers.get('MON_PAY_ADDRL', monitor);
    if (low % 4 !== 0) {
      this.#ports.onInterrupt(SEI_CAUSE.LBW_4B_UNALIGNED, low);
      return;
    }
    const address = registers.get('MON_PAY_ADDRH', monitor) * 2 ** 32 + low;
    const value = registers.get('MON_PAY_DATA', monitor);
    const { track } = this.#ports;
    track?.instant('monitor_fire', `MON ${monitor}`, { monitor, address, data: value });
    this.#messages.push({ address, value, flow: track?.trace.cause ?? 0 });
    this.#queued.notify();
  }

  /** A message leaves, and that is told. */
  *#send(track: Track, { address, value }: Message): Steps {
    const { bus } = this.#ports;
    track.instant('message', bus.describe?.(address), { address, value });
    const steps = bus.write32(this.#who, address, value);
    if (steps) yield* steps;
  }

  *#run(): Steps {
    // A message may reset this very block; what is queued then is the next process's.
    const messages = this.#messages;
    for (;;) {
      const message = messages[0];
      if (!message) {
        yield this.#queued;
        continue;
      }
      const delay = this.#ports.delay?.() ?? 0;
      if (delay > 0) yield delay;
      try {
        const { bus, track } = this.#ports;
        if (track) yield* following(track.trace, message.flow, this.#send(track, message));
        else {
          const steps = bus.write32(this.#who, message.address, message.value);
          if (steps) yield* steps;
        }
      } catch (error) {
        if (error instanceof ModelError) this.#ports.onError(error);
        // One master port: its AXI id is 0.
        else if (error instanceof BusError) this.#ports.onInterrupt(SEI_CAUSE.AXI_RESPONSE_ERR, 0);
        else throw error;
      }
      messages.shift();
    }
  }
}
