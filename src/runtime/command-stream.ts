/**
 * Command packets, one after the other: what a command buffer holds.
 *
 *   new CommandStream().dma(sram, host, 4096).add(sob, 1)
 *
 * Each packet waits for what came before it (engine, register and message barriers) unless it is told not to.
 */

import { gaudiQman, type Input, type PacketName } from '../../specs/gaudi-qman.ts';
import type { Monitor, SyncObject } from './sync.ts';

/** Where something is for the device: an address, or what has one. */
export type Place = bigint | number | { readonly deviceAddress: bigint } | { readonly address: bigint };

export function addressOf(place: Place): bigint {
  if (typeof place === 'bigint') return place;
  if (typeof place === 'number') return BigInt(place);
  return 'deviceAddress' in place ? place.deviceAddress : place.address;
}

/** What a packet waits for before it is executed. */
export interface Barriers {
  /** The engine has done its earlier work. Default true. */
  readonly eb?: boolean;
  /** Registers have been written. Default true. */
  readonly rb?: boolean;
  /** Messages have been answered. Default true. */
  readonly mb?: boolean;
}

export interface DmaOptions extends Barriers {
  /** Then write what WR_COMP_WDATA of the DMA core holds to WR_COMP_ADDR. */
  readonly wrcomp?: boolean;
}

export interface ArmOptions extends Barriers {
  /** The sync objects to watch: of one aligned group of eight. */
  readonly objects: readonly SyncObject[];
  /** Value they must reach. */
  readonly value: number;
  /** true: be equal to `value`; false: be at least `value`. */
  readonly equal?: boolean;
  /** What is written then, and where. */
  readonly write: { readonly place: Place; readonly data: number };
}

/** Bytes that one LIN_DMA moves at most; larger transfers become several. A multiple of 8, for the pattern of a fill. */
const MAX_TRANSFER = 0xffff_ff80;
const FIRST_SIZE = 256;

export class CommandStream {
  #bytes = new Uint8Array(FIRST_SIZE);
  #size = 0;

  /** Bytes of packets. */
  get size(): number {
    return this.#size;
  }

  /** The packets so far; valid until the next is added. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#size);
  }

  /** Any packet, with no barriers but those that are named. */
  packet<N extends PacketName>(name: N, fields: Input<N>): this {
    return this.raw(gaudiQman.encode(name, fields));
  }

  /** Encoded packets. @param bytes a multiple of 8. */
  raw(bytes: Uint8Array): this {
    if (bytes.length % 8 !== 0) throw new RangeError(`${bytes.length} bytes are no packets: no multiple of 8`);
    const end = this.#size + bytes.length;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      larger.set(this.bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#size);
    this.#size = end;
    return this;
  }

  /** Copies `size` bytes. 4 GiB and more take several packets. */
  dma(destination: Place, source: Place, size: number, options: DmaOptions = {}): this {
    const [dst, src] = [addressOf(destination), addressOf(source)];
    const wrcomp = options.wrcomp ?? false;
    for (const { at, tsize } of pieces(size))
      this.packet('LIN_DMA', { tsize, src: src + at, dst: dst + at, wrcomp, ...barriers(options) });
    return this;
  }

  /** Fills `size` bytes with the 64-bit `pattern`. */
  memset(destination: Place, pattern: bigint, size: number, options: DmaOptions = {}): this {
    const dst = addressOf(destination);
    const wrcomp = options.wrcomp ?? false;
    for (const { at, tsize } of pieces(size))
      this.packet('LIN_DMA', { tsize, src: pattern, dst: dst + at, memset: true, wrcomp, ...barriers(options) });
    return this;
  }

  /** Waits until fence counter `id` (0-3) has reached `target`, then subtracts `decrement`. */
  fence(id: number, options: Barriers & { readonly target?: number; readonly decrement?: number } = {}): this {
    const { target = 1, decrement = target } = options;
    return this.packet('FENCE', { id, target, dec: decrement, ...barriers(options) });
  }

  /** Writes a 32-bit value to a device address. */
  write(place: Place, value: number, options: Barriers = {}): this {
    return this.packet('MSG_LONG', { addr: addressOf(place), value, ...barriers(options) });
  }

  /** Sets a sync object (0 to 32767). */
  set(object: SyncObject, value: number, options: Barriers = {}): this {
    return this.write(object.address, gaudiQman.format('sob', { value }), options);
  }

  /** Adds to a sync object; negative numbers subtract. */
  add(object: SyncObject, value: number, options: Barriers = {}): this {
    const wrapped = value < 0 ? value + 0x8000 : value;
    return this.write(object.address, gaudiQman.format('sob', { value: wrapped, add: true }), options);
  }

  /** Arms a monitor: where it writes, what, and for which values. */
  arm(monitor: Monitor, options: ArmOptions): this {
    const { objects, value, equal = false, write } = options;
    const group = (objects[0]?.index ?? 0) >> 3;
    let mask = 0xff;
    for (const object of objects) {
      if (object.index >> 3 !== group || object.dcore !== monitor.dcore)
        throw new RangeError(
          `monitor ${monitor.dcore} ${monitor.index} cannot watch sync object ${object.dcore} ${object.index}`,
        );
      mask &= ~(1 << (object.index & 7));
    }
    if (objects.length === 0) throw new RangeError('a monitor watches at least one sync object');
    const target = addressOf(write.place);
    return this.write(monitor.payloadLow, Number(target & 0xffff_ffffn), options)
      .write(monitor.payloadHigh, Number(target >> 32n), options)
      .write(monitor.payloadData, write.data, options)
      .write(monitor.arm, gaudiQman.format('mon_arm', { group, mask, equal, value }), options);
  }

  /** Writes a register of the engine the queue belongs to. @param offset bytes, within the engine's 64 KiB. */
  register(offset: number, value: number, options: Barriers = {}): this {
    return this.packet('WREG_32', { reg_offset: offset, value, ...barriers(options) });
  }

  /** Has the lower command processor execute packets in memory. Refused by the driver on external queues. */
  execute(place: Place, size: number, options: Barriers = {}): this {
    return this.packet('CP_DMA', { src: addressOf(place), tsize: size, ...barriers(options) });
  }

  /** Nothing; with barriers, waits. */
  nop(options: Barriers = {}): this {
    return this.packet('NOP', barriers(options));
  }
}

function barriers({ eb = true, rb = true, mb = true }: Barriers) {
  return { eb, rb, mb };
}

/** The transfers that `size` bytes take. */
function pieces(size: number): { at: bigint; tsize: number }[] {
  if (!Number.isSafeInteger(size) || size < 1) throw new RangeError(`a transfer of ${size} bytes`);
  const list: { at: bigint; tsize: number }[] = [];
  for (let at = 0; at < size; at += MAX_TRANSFER)
    list.push({ at: BigInt(at), tsize: Math.min(size - at, MAX_TRANSFER) });
  return list;
}
