/**
 * Kernels that a trace follows bundle by bundle: of each program the first launch on a machine, as far as a limit. The others
 * are told by their figures, so that a trace of many launches stays small. Time is what it is without a trace.
 */

import { tpcGaudi } from '../../specs/tpc/gaudi.ts';
import { BUNDLE_BYTES } from '../isa/vliw/bundle.ts';
import { disassembleVliw } from '../isa/vliw/disassembler.ts';
import type { TpcCore, TpcStatus } from '../tpc/core.ts';
import type { MemoryPort } from '../tpc/ports.ts';
import { StepRecorder } from '../tpc/run/recording.ts';
import type { TraceRecorder, Track } from '../trace/recorder.ts';

/** Bundles of one launch, and of all launches of a machine, that are followed. */
const MOST_OF_LAUNCH = 8192;
const MOST_OF_MACHINE = 32_768;
/** By its first bundles one program is told from another that was at the same address before. */
const HEAD = 32 * BUNDLE_BYTES;
/** The least that an address is mapped in: what lies in it is reached by the same entry of the page table as its beginning. */
const PAGE = 4096;

class FollowedKernels {
  readonly #seen = new Set<string>();
  left = MOST_OF_MACHINE;

  /** Whether it is new. */
  add(program: string): boolean {
    if (this.#seen.has(program)) return false;
    this.#seen.add(program);
    return true;
  }
}

const kernels = new WeakMap<TraceRecorder, FollowedKernels>();

/** A launch that is followed. */
export interface FollowedLaunch {
  /** Like `TpcCore.run`; who has followed enough lets the core run. */
  run(budget: number): TpcStatus;
}

/**
 * @param core that was started, at its first bundle
 * @param start of its first cycle, nanoseconds
 * @param period of a cycle, nanoseconds
 * @returns undefined: it is not followed
 */
export function followLaunch(
  core: TpcCore,
  memory: MemoryPort,
  track: Track,
  start: number,
  period: number,
): FollowedLaunch | undefined {
  const known = kernels.get(track.trace) ?? new FollowedKernels();
  kernels.set(track.trace, known);
  const base = core.pc;
  if (known.left <= 0 || !known.add(`${base} ${headOf(memory, base)}`)) return undefined;
  const told = new Set<number>();
  const text = (address: number) => {
    const offset = address - base;
    const code = memory.view(address, BUNDLE_BYTES, 'read')?.slice(0, BUNDLE_BYTES);
    if (!code) return 'bundle';
    if (!told.has(address)) {
      told.add(address);
      track.instantAt(start, 'tpc_program', 'code', { offset, code });
    }
    return textOf(code);
  };
  track.instantAt(start, 'tpc_follow', undefined, { address: base });
  const timeOf = (cycle: number) => start + cycle * period;
  const recorder = new StepRecorder({ core, track, base, text, timeOf });
  let left = Math.min(MOST_OF_LAUNCH, known.left);
  return {
    run(budget) {
      let status: TpcStatus = 'ready';
      let done = 0;
      // what jumps to before its beginning has no offsets
      for (; done < budget && left > 0 && status === 'ready' && core.pc >= base; done++) {
        status = recorder.step();
        left--;
        known.left--;
      }
      return status === 'ready' && done < budget ? core.run(budget - done) : status;
    },
  };
}

/** The first bundles, as far as they can be looked at without consequences for the chip. */
function headOf(memory: MemoryPort, base: number): string {
  let text = '';
  const end = Math.min(base + HEAD, (Math.floor(base / PAGE) + 1) * PAGE);
  for (let at = base; at + BUNDLE_BYTES <= end; at += BUNDLE_BYTES) {
    if (memory.reaches?.(at, BUNDLE_BYTES) !== true) break;
    const bundle = memory.view(at, BUNDLE_BYTES, 'read');
    if (!bundle) break;
    text += String.fromCharCode(...bundle.subarray(0, BUNDLE_BYTES));
  }
  return text;
}

const texts = new Map<string, string>();
const MOST_TEXTS = 10_000;

function textOf(code: Uint8Array): string {
  const key = String.fromCharCode(...code);
  const known = texts.get(key);
  if (known !== undefined) return known;
  const text = disassembleVliw(tpcGaudi, code, { data: true }).split('\n', 1)[0]?.trim() ?? '';
  if (texts.size < MOST_TEXTS) texts.set(key, text);
  return text;
}
