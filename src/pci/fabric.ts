/**
 * Routing by bus address: what a function requests goes to the peer whose BAR decodes the address, else to the host's
 * memory. Peers are reached within this process, without copies where the peer's BAR is memory.
 *
 * Addresses are those that the host has programmed into the BARs at the moment of the access. The windows of bridges
 * are not looked at: who enumerates (firmware, a kernel) sets them to cover the BARs below.
 */

import type { TraceRecorder } from '../trace/recorder.ts';
import { FabricTrace } from './fabric-trace.ts';
import type { Bar, PciFunction } from './function.ts';
import { PciError } from './pci-error.ts';
import type { DmaPort, Done } from './ports.ts';
import type { Route, Topology } from './topology.ts';

/** What one function has moved to and from one place. */
export interface Traffic {
  readonly from: string;
  /** Name of a function, or `host` for memory. */
  readonly to: string;
  /** `host`: memory of the host. A peer is reached across a switch or through the root complex. */
  readonly route: 'host' | Exclude<Route, 'none'>;
  /** Bytes that `from` read there. A view counts as moved whole when it is given out. */
  read: number;
  written: number;
}

export interface Decoded {
  readonly function: PciFunction;
  readonly bar: Bar;
  /** Within the BAR. */
  readonly offset: number;
}

interface Aperture {
  readonly function: PciFunction;
  readonly bar: Bar;
  readonly size: number;
}

export class Fabric {
  readonly topology: Topology;
  /** Told of what is moved; for ports that are made afterwards. */
  trace: TraceRecorder | undefined;
  readonly #traffic: Traffic[] = [];

  /** @param topology complete: all functions are in their places. */
  constructor(topology: Topology) {
    this.topology = topology;
  }

  /** The bus as `fn` masters it. @param host answers for addresses that no peer decodes. */
  portFor(fn: PciFunction, host: DmaPort): DmaPort {
    return new FabricPort(this, fn, host);
  }

  /** Which function's memory BAR decodes a bus address now. Where BARs overlap, the function placed first answers. */
  decode(address: number): Decoded | undefined {
    for (const a of this.apertures()) {
      const base = a.function.barAddress(a.bar.index);
      if (base !== undefined && address >= base && address < base + a.size) {
        return { function: a.function, bar: a.bar, offset: address - base };
      }
    }
    return undefined;
  }

  /** Bytes moved so far, per pair of functions and route. */
  traffic(): readonly Readonly<Traffic>[] {
    return this.#traffic.filter((t) => t.read + t.written > 0);
  }

  clearTraffic(): void {
    for (const t of this.#traffic) {
      t.read = 0;
      t.written = 0;
    }
  }

  /** @internal */
  counter(from: string, to: string, route: Traffic['route']): Traffic {
    let counter = this.#traffic.find((t) => t.from === from && t.to === to && t.route === route);
    if (!counter) {
      counter = { from, to, route, read: 0, written: 0 };
      this.#traffic.push(counter);
    }
    return counter;
  }

  /** @internal Memory BARs in order of places. */
  apertures(): Aperture[] {
    return this.topology
      .functions()
      .flatMap((fn) =>
        fn.bars.filter((bar) => bar.kind !== 'io').map((bar) => ({ function: fn, bar, size: bar.region.size })),
      );
  }
}

class FabricPort implements DmaPort {
  readonly #fabric: Fabric;
  readonly #self: PciFunction;
  readonly #host: DmaPort;
  readonly #apertures: readonly Aperture[];
  readonly #hostTraffic: Traffic;
  readonly #peerTraffic = new Map<Aperture, Map<Route, Traffic>>();
  readonly #word = new Uint8Array(4);
  readonly #trace: FabricTrace | undefined;
  /** Set by `#find`: where the run that it looked up ends. */
  #end = 0;

  constructor(fabric: Fabric, self: PciFunction, host: DmaPort) {
    this.#fabric = fabric;
    this.#self = self;
    this.#host = host;
    this.#apertures = fabric.apertures();
    this.#trace = fabric.trace && new FabricTrace(fabric.trace.track(self.name, 'PCI Express'));
    this.#hostTraffic = fabric.counter(self.name, 'host', 'host');
  }

  view(address: number, length: number, access: 'read' | 'write'): Uint8Array | undefined {
    const peer = this.#find(address, address + length);
    if (this.#end < address + length) return undefined;
    if (!peer) {
      const view = this.#host.view(address, length, access);
      if (view) this.#count(this.#hostTraffic, access, length, address);
      return view;
    }
    const route = this.#route(peer);
    if (route === 'none') return undefined;
    const memory = this.#memoryAt(peer, address, length);
    if (!memory) return undefined;
    this.#count(this.#peerCounter(peer, route), access, length, address);
    return memory.piece.memory.bytes.subarray(memory.at, memory.at + length);
  }

  read(address: number, target: Uint8Array, done: Done): void {
    this.#each(address, target.length, 'read', done, (at, n, peer, finished) => {
      const part = n === target.length ? target : target.subarray(at - address, at - address + n);
      if (!peer) this.#host.read(at, part, finished);
      else {
        peer.bar.region.read(at - this.#base(peer), part);
        finished();
      }
    });
  }

  write(address: number, source: Uint8Array, done: Done): void {
    this.#each(address, source.length, 'write', done, (at, n, peer, finished) => {
      const part = n === source.length ? source : source.subarray(at - address, at - address + n);
      if (!peer) this.#host.write(at, part, finished);
      else {
        peer.bar.region.write(at - this.#base(peer), part);
        finished();
      }
    });
  }

  store32(address: number, value: number, done: Done): void {
    this.#each(address, 4, 'write', done, (at, _n, peer, finished) => {
      if (!peer) {
        this.#host.store32(at, value, finished);
        return;
      }
      const memory = this.#memoryAt(peer, at, 4);
      if (memory) memory.piece.memory.words[memory.at / 4] = value;
      else {
        const word = this.#word;
        word[0] = value;
        word[1] = value >>> 8;
        word[2] = value >>> 16;
        word[3] = value >>> 24;
        peer.bar.region.write(at - this.#base(peer), word);
      }
      finished();
    });
  }

  /** Visits the runs of a range that one peer or the host answers, in ascending order, each when the one before is done. */
  #each(
    address: number,
    length: number,
    access: 'read' | 'write',
    done: Done,
    visit: (at: number, n: number, peer: Aperture | undefined, finished: Done) => void,
  ): void {
    const end = address + length;
    const next = (at: number): void => {
      const peer = this.#find(at, end);
      const n = this.#end - at;
      let counter = this.#hostTraffic;
      if (peer) {
        const route = this.#route(peer);
        if (route === 'none') {
          done(new PciError('no-route', this.#self.name, access, at));
          return;
        }
        counter = this.#peerCounter(peer, route);
      }
      visit(at, n, peer, (error) => {
        if (error) {
          done(error);
          return;
        }
        this.#count(counter, access, n, at);
        if (at + n < end) next(at + n);
        else done();
      });
    };
    next(address);
  }

  /** The peer that decodes `address`; `#end` becomes the end of its run, or of the host's, at most `end`. */
  #find(address: number, end: number): Aperture | undefined {
    this.#end = end;
    for (const a of this.#apertures) {
      const base = a.function.barAddress(a.bar.index);
      if (base === undefined || base >= this.#end || base + a.size <= address) continue;
      if (base > address) this.#end = base;
      else {
        this.#end = Math.min(this.#end, base + a.size);
        return a;
      }
    }
    return undefined;
  }

  /**
   * A port does not send a request back out where it came in: it is an unsupported request there. So nobody answers a
   * function's request for its own BAR.
   */
  #route(peer: Aperture): Route {
    return peer.function === this.#self ? 'none' : this.#fabric.topology.route(this.#self, peer.function);
  }

  #base(peer: Aperture): number {
    return peer.function.barAddress(peer.bar.index) as number;
  }

  /** The memory behind a range of a peer's BAR, where it is memory that may be used directly. */
  #memoryAt(peer: Aperture, address: number, length: number) {
    const offset = address - this.#base(peer);
    for (const piece of peer.bar.region.mappable) {
      if (offset >= piece.offset && offset + length <= piece.offset + piece.size) {
        return { piece, at: piece.memoryOffset + offset - piece.offset };
      }
    }
    return undefined;
  }

  #peerCounter(peer: Aperture, route: Exclude<Route, 'none'>): Traffic {
    let routes = this.#peerTraffic.get(peer);
    if (!routes) {
      routes = new Map();
      this.#peerTraffic.set(peer, routes);
    }
    let counter = routes.get(route);
    if (!counter) {
      counter = this.#fabric.counter(this.#self.name, peer.function.name, route);
      routes.set(route, counter);
    }
    return counter;
  }

  #count(counter: Traffic, access: 'read' | 'write', bytes: number, address: number): void {
    if (access === 'read') counter.read += bytes;
    else counter.written += bytes;
    this.#trace?.moved(counter, access, address, bytes);
  }
}
