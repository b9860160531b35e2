/** A host and a small function for the tests of this room. */

import { Endpoint, type EndpointOptions } from '../../src/pci/endpoint.ts';
import type { Region, ResetKind } from '../../src/pci/function.ts';
import type { DmaPort, InterruptKind } from '../../src/pci/ports.ts';
import { memoryRegion } from '../../src/pci/register-region.ts';
import { VirtualClock } from '../../src/sim/clock.ts';
import { ArrayMemory } from '../../src/sim/memory.ts';

/** Little-endian accesses of 1 to 4 bytes. */
export function peek(region: Region, offset: number, width: number): number {
  const bytes = new Uint8Array(width);
  region.read(offset, bytes);
  return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
}

export function poke(region: Region, offset: number, width: number, value: number): void {
  region.write(
    offset,
    Uint8Array.from({ length: width }, (_, i) => Math.floor(value / 256 ** i) % 256),
  );
}

/** Host memory from bus address 0, and nothing beyond it. */
export class HostMemory implements DmaPort {
  readonly memory: ArrayMemory;
  /** False: reachable by messages only, which are answered when `settle` is called. */
  readonly direct: boolean;
  readonly #waiting: (() => void)[] = [];

  constructor(size: number, direct = true) {
    this.memory = new ArrayMemory(size);
    this.direct = direct;
  }

  view(address: number, length: number): Uint8Array | undefined {
    if (!this.direct || address + length > this.memory.size) return undefined;
    return this.memory.bytes.subarray(address, address + length);
  }

  read(...[address, target, done]: Parameters<DmaPort['read']>): void {
    this.#answer(address, target.length, done, () => {
      target.set(this.memory.bytes.subarray(address, address + target.length));
    });
  }

  write(...[address, source, done]: Parameters<DmaPort['write']>): void {
    this.#answer(address, source.length, done, () => this.memory.bytes.set(source, address));
  }

  store32(...[address, value, done]: Parameters<DmaPort['store32']>): void {
    this.#answer(address, 4, done, () => {
      this.memory.words[address / 4] = value;
    });
  }

  settle(): void {
    for (;;) {
      const next = this.#waiting.shift();
      if (!next) return;
      next();
    }
  }

  #answer(address: number, length: number, done: (error?: Error) => void, act: () => void): void {
    const answer = () => {
      if (address + length > this.memory.size) done(new Error(`nothing at 0x${address.toString(16)}`));
      else {
        act();
        done();
      }
    };
    if (this.direct) answer();
    else this.#waiting.push(answer);
  }
}

export const ids = {
  vendor: 0x1234,
  device: 0x5678,
  revision: 1,
  classCode: 0x120000,
  subsystemVendor: 0xabcd,
  subsystem: 0xef01,
};

export interface TestFunction {
  readonly endpoint: Endpoint;
  readonly memory: ArrayMemory;
  readonly resets: ResetKind[];
  readonly interrupts: { readonly kind: InterruptKind; readonly vector: number }[];
  /** What the device was given. */
  dma(): DmaPort;
}

/** A function with 64 KiB of memory in a 64-bit BAR 0, connected to `bus`. */
export function testFunction(
  bus: DmaPort,
  more: Partial<EndpointOptions> & {
    readonly bytes?: number;
    readonly mappable?: boolean;
    readonly hostKeepsMsixTable?: boolean;
  } = {},
): TestFunction {
  const memory = new ArrayMemory(more.bytes ?? 0x10000);
  const resets: ResetKind[] = [];
  const interrupts: TestFunction['interrupts'] = [];
  let dma: DmaPort | undefined;
  const endpoint = new Endpoint({
    name: 'test0',
    ids,
    bars: [
      {
        index: 0,
        kind: 'memory64',
        prefetchable: true,
        region: memoryRegion(memory, { mappable: more.mappable ?? true }),
      },
    ],
    pcie: { linkSpeed: 4, linkWidth: 16, flr: true },
    power: {},
    connected: (ports) => {
      dma = ports.dma;
    },
    reset: (kind) => resets.push(kind),
    ...more,
  });
  endpoint.connect({
    dma: bus,
    clock: new VirtualClock(),
    hostKeepsMsixTable: more.hostKeepsMsixTable ?? false,
    interrupt: (kind, vector) => interrupts.push({ kind, vector }),
  });
  return { endpoint, memory, resets, interrupts, dma: () => dma as DmaPort };
}

/** Places BAR 0 (64-bit) and enables memory and bus mastering. */
export function enable(endpoint: Endpoint, bar0: number): void {
  poke(endpoint.config, 0x10, 4, bar0 % 2 ** 32);
  poke(endpoint.config, 0x14, 4, Math.floor(bar0 / 2 ** 32));
  poke(endpoint.config, 0x04, 2, 0x6);
}

/** Offset of a capability in the list, as a driver finds it; 0 when absent. */
export function findCapability(config: Region, id: number): number {
  for (let at = peek(config, 0x34, 1), steps = 0; at !== 0 && steps < 48; at = peek(config, at + 1, 1), steps++) {
    if (peek(config, at, 1) === id) return at;
  }
  return 0;
}

/** The same for extended capabilities. */
export function findExtendedCapability(config: Region, id: number): number {
  for (let at = 0x100, steps = 0; at !== 0 && steps < 960; steps++) {
    const header = peek(config, at, 4);
    if ((header & 0xffff) === id) return at;
    at = header >>> 20;
  }
  return 0;
}
