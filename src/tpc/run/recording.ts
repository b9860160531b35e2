/** A kernel followed bundle by bundle into a trace: what was issued when, and which registers it has changed. */

import { MOST_BYTES } from '../../trace/format.ts';
import type { Track } from '../../trace/recorder.ts';
import type { TpcCore, TpcStatus } from '../core.ts';
import * as layout from '../layout.ts';
import type { KernelProgram } from './program.ts';

interface Register {
  readonly name: string;
  readonly at: number;
  readonly bytes: number;
}

const file = (name: string, count: number, at: number, stride: number, bytes = stride): Register[] =>
  Array.from({ length: count }, (_, n) => ({ name: `${name}${n}`, at: at + n * stride, bytes }));

/** What a program sees of the core's state, in the order in which it lies there. */
const registers: readonly Register[] = [
  ...file('V', layout.GENERAL_VECTORS, layout.VRF, layout.VECTOR_BYTES),
  ...file('VP', layout.VECTOR_PREDICATES, layout.VPRF, layout.PREDICATE_BYTES),
  ...file('S', layout.SCALARS, layout.SRF, 4),
  ...file('I', layout.INDEX_REGISTERS, layout.IRF, layout.INDEX_BYTES, layout.DIMENSIONS * 4),
  ...file('AD', layout.ADDRESS_REGISTERS, layout.ADRF, layout.ADDRESS_BYTES, 8),
  ...file('SP', layout.SCALAR_PREDICATES, layout.SPRF, 4),
];
const END = layout.SCALAR_LFSR;

/** Writes the program, so that who reads the trace need not have it. */
export function recordProgram(program: KernelProgram, track: Track): void {
  for (let offset = 0; offset < program.bytes.length; offset += MOST_BYTES) {
    track.instant('tpc_program', program.file, { offset, code: program.bytes.subarray(offset, offset + MOST_BYTES) });
  }
}

export interface Followed {
  readonly core: TpcCore;
  readonly track: Track;
  /** Address of the first bundle. */
  readonly base: number;
  /** Text of the bundle at an address. */
  text(address: number): string;
  /** When a cycle of the core is, nanoseconds. */
  timeOf(cycle: number): number;
}

/** Follows a core that was started. */
export class StepRecorder {
  readonly #followed: Followed;
  readonly #before: Uint32Array;
  readonly #now: Uint32Array;

  constructor(followed: Followed) {
    this.#followed = followed;
    this.#now = followed.core.state.u32.subarray(0, END / 4);
    this.#before = new Uint32Array(END / 4);
    this.#changes(followed.timeOf(followed.core.statistics.cycles));
  }

  /** Does one bundle, or tries to, where memory has to be waited for. */
  step(): TpcStatus {
    const { core, track, base, text, timeOf } = this.#followed;
    const { pc } = core;
    const { bundles, cycles: cycle } = core.statistics;
    const time = timeOf(cycle);
    const status = core.run(1);
    if (core.statistics.bundles === bundles) return status;
    track.instantAt(time, 'tpc_bundle', text(pc), { offset: pc - base, cycle });
    this.#changes(time);
    return status;
  }

  /** Tells the registers that have changed since it was asked last. */
  #changes(time: number): void {
    const [now, before] = [this.#now, this.#before];
    const { core, track } = this.#followed;
    const { bytes } = core.state;
    for (const { name, at, bytes: length } of registers) {
      const [from, to] = [at / 4, (at + length) / 4];
      for (let word = from; word < to; word++) {
        if (now[word] === before[word]) continue;
        track.instantAt(time, 'tpc_register', name, { value: bytes.subarray(at, at + length) });
        break;
      }
    }
    before.set(now);
  }
}
