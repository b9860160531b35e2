/**
 * Memory as the program of a tensor core sees it: the chip's interconnect. What can be reached directly is; what only
 * messages reach (registers, some memory of the host) is asked for by the core's process, while the core stands still.
 *
 * A read that fails gives zeros and a write that fails is lost, as for every engine; the core is told, and goes on. Only where
 * the program itself cannot be read it cannot go on.
 */

import { addressMap } from '../../specs/gaudi/address-map.ts';
import type { Steps } from '../sim/process.ts';
import type { MemoryPort } from '../tpc/ports.ts';
import { BusError, type ChipBus, type Initiator } from './bus.ts';

export interface TpcMemoryPorts {
  readonly bus: ChipBus;
  readonly reader: Initiator;
  readonly writer: Initiator;
  /** Byte address of the bundle that the core is at. */
  pc(): number;
  onError(error: BusError): void;
}

interface Message {
  readonly address: number;
  readonly bytes: Uint8Array;
}

const WORD = 4;
/** Bytes of a bundle. */
const BUNDLE = 32;

export class TpcMemory implements MemoryPort {
  readonly #ports: TpcMemoryPorts;
  /** Writes on their way, the oldest first. */
  #writes: Message[] = [];
  /** What the core waits for. */
  #wanted: { readonly address: number; readonly length: number } | undefined;
  /** What has arrived for the bundle that the core is at. */
  #arrived: Message[] = [];
  /** Grows with every access to data. */
  accesses = 0;

  constructor(ports: TpcMemoryPorts) {
    this.#ports = ports;
  }

  /** Writes on their way, to memory and to registers. */
  inflight(): { readonly memory: number; readonly registers: number } {
    const registers = this.#writes.filter(({ address }) => isRegister(address)).length;
    return { memory: this.#writes.length - registers, registers };
  }

  view(address: number, length: number, access: 'read' | 'write'): Uint8Array | undefined {
    if (access === 'write') {
      this.accesses++;
      // A lone word is stored whole: the other side may poll it.
      if (this.#writes.length > 0 || isWord(address, length)) return undefined;
    } else if (length !== BUNDLE) this.accesses++;
    const { bus, reader, writer } = this.#ports;
    try {
      const run = bus.view(access === 'read' ? reader : writer, address, length, access);
      return run && run.length >= length ? run : undefined;
    } catch (error) {
      // Told when it is asked for again, below.
      if (error instanceof BusError) return undefined;
      throw error;
    }
  }

  reaches(address: number, length: number): boolean {
    return this.#ports.bus.reaches(this.#ports.reader, address, length);
  }

  /** @throws BusError where the program itself cannot be read */
  read(address: number, target: Uint8Array): boolean {
    const arrived = this.#arrived.find((m) => m.address === address && m.bytes.length === target.length);
    if (arrived) {
      target.set(arrived.bytes);
      return true;
    }
    // Earlier writes may be to the same place.
    if (this.#writes.length === 0 && this.#readDirectly(address, target)) return true;
    this.#wanted = { address, length: target.length };
    return false;
  }

  write(address: number, source: Uint8Array): void {
    if (this.#writes.length === 0) {
      if (isWord(address, source.length)) {
        this.#writeWord(address, source);
        return;
      }
      const done = this.#writeDirectly(address, source);
      if (done < source.length) this.#writes.push({ address: address + done, bytes: source.slice(done) });
    } else this.#writes.push({ address, bytes: source.slice() });
  }

  /** Whether there is something to wait for. */
  get waiting(): boolean {
    return this.#writes.length > 0 || this.#wanted !== undefined;
  }

  /** Delivers all writes, and then gets what the core waits for. */
  *settle(): Steps {
    for (let message = this.#writes[0]; message; message = this.#writes[0]) {
      yield* this.#transfer('write', message.address, message.bytes);
      if (this.#writes[0] !== message) return;
      this.#writes.shift();
    }
    const wanted = this.#wanted;
    if (!wanted) return;
    this.#wanted = undefined;
    const bytes = new Uint8Array(wanted.length);
    yield* this.#transfer('read', wanted.address, bytes);
    this.#arrived.push({ address: wanted.address, bytes });
  }

  /** The bundle for which something was waited for is done: who reads again asks again. */
  forget(): void {
    this.#arrived = [];
  }

  reset(): void {
    this.#writes = [];
    this.#wanted = undefined;
    this.forget();
    this.accesses = 0;
  }

  #readDirectly(address: number, target: Uint8Array): boolean {
    const { bus, reader } = this.#ports;
    for (let done = 0; done < target.length; ) {
      try {
        const run = bus.view(reader, address + done, target.length - done, 'read');
        if (!run) return false;
        target.set(run.subarray(0, target.length - done), done);
        done += run.length;
      } catch (error) {
        done += this.#lost(error, target, done, address);
      }
    }
    return true;
  }

  /** @returns bytes done */
  #writeDirectly(address: number, source: Uint8Array): number {
    const { bus, writer } = this.#ports;
    let done = 0;
    while (done < source.length) {
      try {
        const run = bus.view(writer, address + done, source.length - done, 'write');
        if (!run) break;
        const part = source.subarray(done, done + run.length);
        run.set(part);
        done += part.length;
      } catch (error) {
        done += this.#failed(error, source.length - done);
      }
    }
    return done;
  }

  #writeWord(address: number, source: Uint8Array): void {
    const value = new DataView(source.buffer, source.byteOffset).getUint32(0, true);
    try {
      const steps = this.#ports.bus.write32(this.#ports.writer, address, value);
      // What is not done at once is a message to the host, which can as well be begun later.
      if (steps) this.#writes.push({ address, bytes: source.slice() });
    } catch (error) {
      this.#failed(error, WORD);
    }
  }

  *#transfer(access: 'read' | 'write', address: number, bytes: Uint8Array): Steps {
    const { bus, reader, writer } = this.#ports;
    for (let done = 0; done < bytes.length; ) {
      const part = bytes.subarray(done);
      try {
        if (access === 'read') yield* bus.read(reader, address + done, part);
        else yield* bus.write(writer, address + done, part);
        return;
      } catch (error) {
        if (!(error instanceof BusError)) throw error;
        done = Math.max(done, error.address - address);
        done += access === 'read' ? this.#lost(error, bytes, done, address) : this.#failed(error, bytes.length - done);
      }
    }
  }

  /** @returns how many bytes are zero instead */
  #lost(error: unknown, target: Uint8Array, done: number, address: number): number {
    const { length } = target;
    // The next bundle is looked at ahead of a jump: that it cannot be read is known when it is its turn.
    const fetched = length === BUNDLE && [0, BUNDLE].includes(address - this.#ports.pc());
    if (fetched && error instanceof BusError) throw error;
    const span = this.#failed(error, length - done);
    target.fill(0, done, done + span);
    return span;
  }

  /** @returns how many bytes of `left` it was */
  #failed(error: unknown, left: number): number {
    if (!(error instanceof BusError)) throw error;
    this.#ports.onError(error);
    return Math.max(1, Math.min(error.span, left));
  }
}

/** Whether an address is one of registers: it goes by the network for messages. */
export function isRegister(address: number): boolean {
  return address >= addressMap.CFG_BASE && address < addressMap.HOST_BASE;
}

function isWord(address: number, length: number): boolean {
  return length === WORD && address % WORD === 0;
}
