/** The bus as EFA's engines use it: inside processes, with a fault that can be told from a defect of the model. */

import type { DmaPort, Done } from '../pci/ports.ts';
import { completion, type Steps } from '../sim/process.ts';

/** Bits of a bus address that the device drives (device attributes, phys_addr_width). */
export const ADDRESS_WIDTH = 52;
/** Most bytes that one request asks for. */
const REQUEST = 0x2_0000;

/** Nobody answered. */
export class BusFault extends Error {
  override readonly name = 'BusFault';
}

/** An address from its halves; may be beyond what the bus has. */
export function address64(lo: number, hi: number): number {
  return hi * 2 ** 32 + lo;
}

function check(address: number, length: number): void {
  if (address + length > 2 ** ADDRESS_WIDTH) throw new BusFault(`0x${address.toString(16)}: beyond the bus`);
}

function* request(begin: (done: Done) => void): Steps {
  try {
    yield* completion(begin);
  } catch (error) {
    throw new BusFault((error as Error).message);
  }
}

/** @throws BusFault */
export function* readInto(port: DmaPort, address: number, target: Uint8Array): Steps {
  check(address, target.length);
  for (let at = 0; at < target.length; at += REQUEST) {
    const part = target.subarray(at, at + REQUEST);
    const view = port.view(address + at, part.length, 'read');
    if (view) part.set(view);
    else yield* request((done) => port.read(address + at, part, done));
  }
}

/** @throws BusFault */
export function* read(port: DmaPort, address: number, length: number): Steps<Uint8Array> {
  const target = new Uint8Array(length);
  yield* readInto(port, address, target);
  return target;
}

/** @throws BusFault */
export function* write(port: DmaPort, address: number, source: Uint8Array): Steps {
  check(address, source.length);
  for (let at = 0; at < source.length; at += REQUEST) {
    const part = source.subarray(at, at + REQUEST);
    const view = port.view(address + at, part.length, 'write');
    if (view) view.set(part);
    else yield* request((done) => port.write(address + at, part, done));
  }
}

/**
 * Writes an entry of a ring that the other side polls: first everything behind the word at `valid`, which holds the phase, and
 * what is before it; that word last and whole.
 * @param address aligned to 4 @throws BusFault
 */
export function* publish(port: DmaPort, address: number, entry: Uint8Array, valid: number): Steps {
  check(address, entry.length);
  if (valid > 0) yield* write(port, address, entry.subarray(0, valid));
  if (entry.length > valid + 4) yield* write(port, address + valid + 4, entry.subarray(valid + 4));
  const word = new DataView(entry.buffer, entry.byteOffset).getUint32(valid, true);
  yield* request((done) => port.store32(address + valid, word, done));
}
