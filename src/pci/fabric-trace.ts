/** What a trace tells of bytes on the bus: what one function moves at one time, to or from one place, in one event. */

import type { Track } from '../trace/recorder.ts';
import type { Traffic } from './fabric.ts';

interface Pending {
  readonly traffic: Traffic;
  readonly access: 'read' | 'write';
  /** Of the first piece. */
  readonly address: number;
  bytes: number;
  pieces: number;
}

export class FabricTrace {
  readonly #track: Track;
  #pending: Pending[] = [];
  #time = 0;

  constructor(track: Track) {
    this.#track = track;
    track.trace.beforeFlush(() => this.#tell());
  }

  moved(traffic: Traffic, access: 'read' | 'write', address: number, bytes: number): void {
    const now = this.#track.trace.now();
    if (now !== this.#time) {
      this.#tell();
      this.#time = now;
    }
    for (const pending of this.#pending) {
      if (pending.traffic !== traffic || pending.access !== access) continue;
      pending.bytes += bytes;
      pending.pieces++;
      return;
    }
    this.#pending.push({ traffic, access, address, bytes, pieces: 1 });
  }

  #tell(): void {
    for (const { traffic, access, address, bytes, pieces } of this.#pending) {
      const { from, to, route } = traffic;
      const what = { from, to, route, access, address, bytes, pieces, peer: route !== 'host' };
      this.#track.instantAt(this.#time, 'bus', `${access} ${to}`, what);
    }
    this.#pending = [];
  }
}
