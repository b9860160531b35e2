/**
 * The event queue: a ring in host memory by which the firmware tells the driver what happened. An entry's payload is
 * written first, then the word that makes it valid by one store, then an interrupt is raised.
 */

import { EQ } from '../../specs/gaudi/cpucp.ts';
import { type EventRow, events } from '../../specs/gaudi/events.ts';
import { type ErrorLog, ModelError } from '../sim/errors.ts';
import { Condition, type Steps } from '../sim/process.ts';
import type { Track } from '../trace/recorder.ts';
import { BusError } from './bus.ts';
import type { DeviceCpu } from './device-cpu.ts';

/** Bytes of payload in an entry. */
export const EVENT_PAYLOAD = EQ.ENTRY_SIZE - EQ.data;

/**
 * Events that come from an interrupt line of a block: the firmware masks the line when it has sent the event, until the
 * driver unmasks it (cpucp_if.h, CPUCP_PACKET_UNMASK_RAZWI_IRQ). Those of the firmware's own making are never masked.
 */
const FIRMWARE_EVENTS = /^(FW_ALIVE_S|DEV_RESET_REQ|PKT_QUEUE_OUT_SYNC|STATUS_NIC|FIX_|PSOC_GPIO)/;

const byId = new Map(events.map((event) => [event.id, event]));
const byName = new Map(events.map((event) => [event.name, event]));

/** @throws Error for a name that is not in specs/gaudi/events.ts */
export function eventNamed(name: string): EventRow {
  const event = byName.get(name);
  if (!event) throw new Error(`no event ${name}`);
  return event;
}

export interface EventQueuePorts {
  readonly cpu: DeviceCpu;
  readonly errors: ErrorLog;
  /** EQ_RD_OFFS: the entry that the driver takes next. */
  consumed(): number;
  /** Whether the firmware may access the host now. */
  hostAccess(): boolean;
  raiseInterrupt(): void;
  /** What goes wrong with an event: it is left out, but counted, or has another number. */
  fault?(name: string): number | 'lost' | undefined;
  /** The driver takes events from now on. */
  opened?(): void;
  readonly track?: Track | undefined;
}

interface Pending {
  readonly event: EventRow;
  readonly payload: Uint8Array;
}

export class EventQueue {
  readonly #ports: EventQueuePorts;
  readonly #pending: Pending[] = [];
  readonly #masked = new Map<number, Pending | undefined>();
  /** Wakes the sender: new events, room in the ring, access to the host. */
  readonly changed = new Condition();
  /** Device address of the ring. */
  #base = 0;
  #entries = 0;
  /** Entries written, counting on. */
  #produced = 0;
  /** Of the last entry. */
  #number = 0;
  /** Whether entries carry a running number (DEV_STS0.EQ_INDEX_EN). */
  #numbered = false;
  #open = false;

  constructor(ports: EventQueuePorts) {
    this.#ports = ports;
  }

  /** @param base device address of the ring @param length bytes, a power of two */
  configure(base: number, length: number, numbered: boolean): void {
    this.#base = base;
    this.#entries = length / EQ.ENTRY_SIZE;
    this.#produced = 0;
    this.#number = 0;
    this.#numbered = numbered;
  }

  /** The driver takes events from now on. */
  open(): void {
    this.#open = true;
    this.changed.notify();
    this.#ports.opened?.();
  }

  reset(): void {
    this.#pending.length = 0;
    this.#masked.clear();
    this.#open = false;
    this.#entries = 0;
    this.#produced = 0;
  }

  /** @param payload up to 56 bytes */
  raise(event: EventRow, payload: Uint8Array = new Uint8Array(0)): void {
    if (payload.length > EVENT_PAYLOAD) throw new RangeError(`payload of ${payload.length} bytes`);
    const pending = { event, payload };
    if (this.#masked.has(event.id)) {
      this.#masked.set(event.id, pending);
      return;
    }
    if (!FIRMWARE_EVENTS.test(event.name)) this.#masked.set(event.id, undefined);
    this.#pending.push(pending);
    this.changed.notify();
  }

  /** @returns false for a number that is no event */
  unmask(id: number): boolean {
    if (!byId.has(id)) return false;
    const again = this.#masked.get(id);
    this.#masked.delete(id);
    if (again) this.raise(again.event, again.payload);
    return true;
  }

  /** Sends what is pending, for ever. */
  *send(): Steps {
    for (;;) {
      while (!this.#ready()) yield this.changed;
      const { event, payload } = this.#pending.shift() as Pending;
      try {
        yield* this.#write(event, payload);
      } catch (error) {
        if (!(error instanceof BusError)) throw error;
        this.#ports.errors.report(new ModelError('guest', 'CPU_IF.EQ', `${event.name} is lost: ${error.message}`));
      }
    }
  }

  #ready(): boolean {
    if (!this.#open || this.#entries === 0 || this.#pending.length === 0 || !this.#ports.hostAccess()) return false;
    // The driver counts modulo the length, so a full ring is not to be told from an empty one: one entry stays free.
    return mod(this.#produced - this.#ports.consumed(), this.#entries) < this.#entries - 1;
  }

  *#write(event: EventRow, payload: Uint8Array): Steps {
    const { cpu } = this.#ports;
    const fault = this.#ports.fault?.(event.name);
    this.#number++;
    if (fault === 'lost') return;
    const address = this.#base + (this.#produced % this.#entries) * EQ.ENTRY_SIZE;
    const data = new Uint8Array(EVENT_PAYLOAD);
    data.set(payload);
    yield* cpu.write(address + EQ.data, data);
    this.#produced++;
    const index = this.#numbered ? this.#number & EQ.INDEX_MASK : 0;
    yield* cpu.write32(address + EQ.ctl, (EQ.READY | ((fault ?? event.id) << EQ.TYPE_SHIFT) | index) >>> 0);
    this.#ports.track?.instant('device_event', event.name, { id: event.id });
    this.#ports.raiseInterrupt();
  }
}

function mod(a: number, b: number): number {
  return ((a % b) + b) % b;
}
