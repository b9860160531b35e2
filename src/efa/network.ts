/**
 * What joins several NICs. Ideal unless told otherwise; impairments (loss, delay, reordering, duplicates) can be switched
 * on and off at any moment and follow from the seed.
 */

import type { Clock } from '../sim/clock.ts';
import { Random } from '../sim/random.ts';
import type { Packet } from './packets.ts';

export interface Impairments {
  /** Probability that a packet is lost, 0 to 1. */
  readonly loss?: number;
  /** Probability that a packet arrives twice, 0 to 1. */
  readonly duplicate?: number;
  /** Nanoseconds that each packet takes. */
  readonly delay?: number;
  /** Up to so many nanoseconds more, so that packets overtake each other. */
  readonly jitter?: number;
  /** Probability that a packet is held back for up to `HELD` nanoseconds, so that later ones overtake it, 0 to 1. */
  readonly reorder?: number;
}

/** Most nanoseconds that a packet which is to be overtaken is held back. */
const HELD = 100_000;

/** Takes packets; what it is given is its own. */
export interface Station {
  /** 16 bytes. */
  readonly address: Uint8Array;
  deliver(packet: Packet): void;
}

export interface NetworkOptions {
  /** Default 1. */
  readonly seed?: number;
  /** Most bytes of data in a packet; default 8928, as EFA's. */
  readonly mtu?: number;
}

/** An address as text: what stations are known by. */
export function addressKey(address: Uint8Array): string {
  return Buffer.from(address.buffer, address.byteOffset, address.length).toString('hex');
}

export class Network {
  readonly mtu: number;
  readonly #stations = new Map<string, Station>();
  readonly #random: Random;
  #impairments: Impairments = {};
  /** Packets lost on the way, by the impairments or because nobody has the address. */
  lost = 0;
  carried = 0;

  constructor(options: NetworkOptions = {}) {
    this.mtu = options.mtu ?? 8928;
    this.#random = new Random(options.seed ?? 1);
  }

  /** @throws Error where the address is taken */
  attach(station: Station): void {
    const key = addressKey(station.address);
    if (this.#stations.has(key)) throw new Error(`two NICs with address ${key}`);
    this.#stations.set(key, station);
  }

  detach(station: Station): void {
    this.#stations.delete(addressKey(station.address));
  }

  impair(impairments: Impairments): void {
    this.#impairments = impairments;
  }

  /** Whether every packet arrives at once and in order. Then a message need not be cut into packets. */
  get ideal(): boolean {
    const { loss = 0, duplicate = 0, delay = 0, jitter = 0, reorder = 0 } = this.#impairments;
    return loss + duplicate + delay + jitter + reorder === 0;
  }

  /** Nanoseconds that a packet may take at most. */
  get latency(): number {
    const { delay = 0, jitter = 0, reorder = 0 } = this.#impairments;
    return delay + jitter + (reorder > 0 ? HELD : 0);
  }

  /** Packets of an ideal network may refer to memory of their sender; otherwise they hold their bytes. */
  send(packet: Packet, clock: Clock): void {
    const { loss = 0, duplicate = 0 } = this.#impairments;
    this.carried++;
    if (!this.#stations.has(packet.to) || this.#chance(loss)) {
      this.lost++;
      return;
    }
    const copies = this.#chance(duplicate) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) this.#carry(packet, clock);
  }

  #carry(packet: Packet, clock: Clock): void {
    const { delay = 0, jitter = 0, reorder = 0 } = this.#impairments;
    const held = this.#chance(reorder) ? 1 + this.#random.below(HELD) : 0;
    const time = delay + (jitter > 0 ? this.#random.below(Math.floor(jitter) + 1) : 0) + held;
    if (time === 0) this.#stations.get(packet.to)?.deliver(packet);
    else clock.at(clock.now() + time, () => this.#stations.get(packet.to)?.deliver(packet));
  }

  #chance(probability: number): boolean {
    return probability > 0 && this.#random.next() / 2 ** 32 < probability;
  }
}
