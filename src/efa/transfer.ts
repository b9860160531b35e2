/** Bytes of a message, wherever they are, and how they are moved from one place to another. */

import type { DmaPort } from '../pci/ports.ts';
import type { Steps } from '../sim/process.ts';
import { BusFault, readInto, write } from './dma.ts';
import type { MemoryRegion } from './memory-region.ts';

/** The region was taken back, or the request that it was used for was given up. */
export class Withdrawn extends Error {
  override readonly name = 'Withdrawn';
  readonly side: Side | undefined;
  constructor(side?: Side) {
    super('memory region was taken back');
    this.side = side;
  }
}

/** Of a transfer. */
export type Side = 'source' | 'target';

/** A run of bytes that is contiguous. */
type Run =
  | { readonly bytes: Uint8Array; readonly length: number }
  | { readonly bytes?: undefined; readonly region: MemoryRegion; readonly bus: number; readonly length: number };

export interface Payload {
  /** Bytes. */
  readonly length: number;
  /** The run at `offset`, below `length`. @throws Withdrawn */
  run(offset: number): Run;
}

export class BytesPayload implements Payload {
  readonly length: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.length = bytes.length;
  }

  run(offset: number): Run {
    const bytes = this.#bytes.subarray(offset);
    return { bytes, length: bytes.length };
  }
}

/** A buffer of a work request, checked when the request was taken. */
export interface Buffer {
  readonly region: MemoryRegion;
  readonly address: number;
  readonly length: number;
}

export class BuffersPayload implements Payload {
  readonly length: number;
  readonly #buffers: readonly Buffer[];
  readonly #live: () => boolean;

  /** @param live whether the request that the buffers belong to still stands */
  constructor(buffers: readonly Buffer[], live: () => boolean) {
    this.#buffers = buffers;
    this.#live = live;
    this.length = buffers.reduce((sum, b) => sum + b.length, 0);
  }

  run(offset: number): Run {
    let rest = offset;
    for (const { region, address, length } of this.#buffers) {
      if (rest >= length) {
        rest -= length;
        continue;
      }
      if (!region.valid || !this.#live()) throw new Withdrawn();
      const place = region.locate(address + rest);
      return { region, bus: place.bus, length: Math.min(place.length, length - rest) };
    }
    throw new RangeError(`offset ${offset} of ${this.length}`);
  }
}

/** Bytes after which others get a turn. */
const SLICE = 0x10_0000;
const BOUNCE = 0x2_0000;

/** A failure of one side of a transfer. */
export class TransferFault extends Error {
  override readonly name = 'TransferFault';
  readonly side: Side;
  constructor(side: Side, cause: Error) {
    super(`${side}: ${cause.message}`);
    this.side = side;
  }
}

/**
 * Copies `length` bytes. Where both sides can be reached directly that is one copy; else it goes through a buffer.
 * @throws TransferFault where nobody answers; Withdrawn
 */
export function* transfer(source: Payload, from: number, target: Payload, to: number, length: number): Steps {
  let sinceTurn = 0;
  for (let done = 0; done < length; ) {
    const source1 = runOf(source, from + done, 'source');
    const target1 = runOf(target, to + done, 'target');
    let n = Math.min(length - done, source1.length, target1.length, SLICE);
    const bytes = source1.bytes ?? view(source1.region.dma, source1.bus, n, 'read');
    const place = target1.bytes ?? view(target1.region.dma, target1.bus, n, 'write');
    if (bytes && place) place.set(n === bytes.length ? bytes : bytes.subarray(0, n));
    else {
      n = Math.min(n, BOUNCE);
      yield* bounce(source1, bytes, target1, place, n);
    }
    done += n;
    sinceTurn += n;
    if (sinceTurn >= SLICE && done < length) {
      sinceTurn = 0;
      yield 0;
    }
  }
}

function runOf(payload: Payload, offset: number, side: Side): Run {
  try {
    return payload.run(offset);
  } catch (error) {
    throw error instanceof Withdrawn ? new Withdrawn(side) : error;
  }
}

function view(dma: DmaPort, bus: number, length: number, access: 'read' | 'write'): Uint8Array | undefined {
  return bus + length <= Number.MAX_SAFE_INTEGER ? dma.view(bus, length, access) : undefined;
}

function* bounce(
  source: Run,
  bytes: Uint8Array | undefined,
  target: Run,
  place: Uint8Array | undefined,
  n: number,
): Steps {
  // A view is good until the next wait only: what was seen is taken along.
  const buffer = bytes && !place ? bytes.slice(0, n) : new Uint8Array(n);
  if (!bytes && !source.bytes) {
    yield* held(source.region, 'source', readInto(source.region.dma, source.bus, buffer));
  }
  if (target.bytes) target.bytes.set(buffer);
  else if (!target.region.valid) throw new Withdrawn('target');
  else yield* held(target.region, 'target', write(target.region.dma, target.bus, buffer));
}

/** Steps during which a region must not be taken back. */
function* held(region: MemoryRegion, side: Side, steps: Steps): Steps {
  region.requests++;
  try {
    yield* steps;
  } catch (error) {
    throw error instanceof BusFault ? new TransferFault(side, error) : error;
  } finally {
    region.release();
  }
}

/** A copy of some bytes of a payload, for what must outlive it. */
export function* capture(source: Payload, from: number, length: number): Steps<BytesPayload> {
  const bytes = new Uint8Array(length);
  const copy = new BytesPayload(bytes);
  yield* transfer(source, from, copy, 0, length);
  return copy;
}
