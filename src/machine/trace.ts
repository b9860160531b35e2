/** The trace of a machine: which file, and what is told of the machine itself. */

import { writeSync } from 'node:fs';
import type { Topology } from '../pci/topology.ts';
import { TraceFile } from '../trace/file.ts';
import { TraceRecorder } from '../trace/recorder.ts';
import type { MachineDescription } from './machines.ts';
import { machineDevices } from './machines.ts';

/** Where a machine's events go; can be sent to another thread. */
export interface TracePlace {
  /** A file that `createTraceFile` has made; several machines may write into one. */
  readonly file: string;
  /** Number of the machine in the file, from 1 on. */
  readonly sequence: number;
  /** Name of the track that all others of the machine are below. */
  readonly root: string;
  /** Of wall time: when its nanoseconds begin, in milliseconds since 1970. */
  readonly began?: number;
}

export interface TraceOptions {
  readonly place: TracePlace;
  readonly clock: 'virtual' | 'wall';
  /** Nanoseconds. */
  readonly now: () => number;
  /** Has what was recorded written after a while; default: when the buffer is full. */
  readonly later?: (flush: () => void) => void;
  readonly target: 'model' | 'vm';
  readonly machine: string;
  readonly seed: number;
}

export class MachineTrace implements Disposable {
  readonly recorder: TraceRecorder;
  readonly #file: TraceFile;

  constructor({ place, clock, now, later, target, machine, seed }: TraceOptions) {
    const { file, sequence, root, began } = place;
    this.#file = new TraceFile(file);
    this.recorder = new TraceRecorder({ sink: this.#file, sequence, root, now, ...(later ? { later } : {}) });
    this.recorder.track().instant('machine', machine, { clock, began, target, seed });
  }

  /** Tells which devices there are, and where. */
  describe(machine: MachineDescription, topology: Topology): void {
    const models = new Map(machineDevices(machine).map(({ name, model }) => [name, model]));
    for (const fn of topology.functions()) {
      const ports = topology.above(fn).map(({ name }) => name);
      const model = models.get(fn.name) ?? '';
      this.recorder.track(fn.name).instant('device', fn.name, { model, path: ports.reverse().join('/') });
    }
  }

  [Symbol.dispose](): void {
    this.recorder.close();
    this.#file[Symbol.dispose]();
    // at the end of a thread or a process only what is written at once arrives
    if (this.#file.failure !== undefined) writeSync(2, `sagrada: ${this.#file.failure}\n`);
  }
}

/** Nanoseconds of wall time since a recording began. @param began milliseconds since 1970 */
export function wallTime(began: number): number {
  return (performance.timeOrigin + performance.now() - began) * 1e6;
}
