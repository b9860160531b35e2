/** The asynchronous event notification queue: what the device tells without being asked. */

import { AENQ_DATA, AENQ_GROUP, aenqEntry } from '../../specs/efa/io.ts';
import type { Steps } from '../sim/process.ts';
import { BusFault, publish } from './dma.ts';
import type { Nic } from './nic.ts';
import { type DescribedRing, describedRing } from './ring.ts';

export type AenqGroup = keyof typeof AENQ_GROUP;
/** One bit per group. */
export const AENQ_GROUPS = Object.values(AENQ_GROUP).reduce((all, group) => all | (1 << group), 0);
/** Word of an entry that holds the phase. */
const PHASE_AT = 4;

export class AsyncEvents {
  readonly #nic: Nic;
  readonly #interrupt: (vector: number) => void;
  #ring: DescribedRing | undefined;
  #consumed = 0;
  #produced = 0;
  /** Groups that the host wants, one bit each. */
  enabled = 0;
  /** Events that there was no room for. */
  lost = 0;

  constructor(nic: Nic, interrupt: (vector: number) => void) {
    this.#nic = nic;
    this.#interrupt = interrupt;
  }

  reset(): void {
    this.#ring = undefined;
    this.#consumed = 0;
    this.#produced = 0;
    this.enabled = 0;
  }

  setRing(base: number, caps: number): void {
    this.#ring = describedRing(base, caps, [aenqEntry.size], false);
    this.#produced = 0;
    this.#consumed = 0;
    if (!this.#ring) this.#nic.guestError('AENQ_CAPS', `0x${caps.toString(16)} describes no ring`);
  }

  /** The doorbell. @param counter notifications taken so far, 16 bits */
  consumed(counter: number): void {
    this.#consumed = counter & 0xffff;
  }

  /** Sends a notification, if the host wants it and has room. @param data up to 48 bytes */
  notify(group: AenqGroup, syndrome = 0, data: Uint8Array = new Uint8Array(0)): void {
    if ((this.enabled & (1 << AENQ_GROUP[group])) === 0) return;
    if (!this.#ring || ((this.#produced - this.#consumed) & 0xffff) >= this.#ring.depth) {
      this.lost++;
      return;
    }
    const number = this.#produced;
    this.#produced = (this.#produced + 1) & 0xffff;
    const { depth, base, vector } = this.#ring;
    const entry = new Uint8Array(aenqEntry.size);
    const phase = 1 - (Math.floor(number / depth) & 1);
    const timestamp = Math.floor(this.#nic.ports.clock.now() / 1000);
    aenqEntry.encode(entry, { group: AENQ_GROUP[group], syndrome, phase, timestamp });
    entry.set(data.subarray(0, aenqEntry.size - AENQ_DATA), AENQ_DATA);
    this.#nic.start('notification', this.#send(base + (number % depth) * aenqEntry.size, entry, vector));
  }

  *#send(at: number, entry: Uint8Array, vector: number): Steps {
    try {
      yield* publish(this.#nic.ports.dma, at, entry, PHASE_AT);
      this.#interrupt(vector);
    } catch (error) {
      if (!(error instanceof BusFault)) throw error;
      this.#nic.guestError('AENQ', error.message);
    }
  }
}
