/** A kernel that was followed bundle by bundle: its program, what it did in which order, and its registers after each step. */

import { tpcGaudi } from '../../../specs/tpc/gaudi.ts';
import { BUNDLE_BYTES } from '../../isa/vliw/bundle.ts';
import { disassembleVliw } from '../../isa/vliw/disassembler.ts';
import { eventsOf } from './facts.ts';
import { field, type TraceData } from './trace-data.ts';

export interface Step {
  readonly event: number;
  /** Of the bundle, in bytes from the first. */
  readonly offset: number;
  readonly cycle: number;
}

export interface Register {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** By the last step. */
  readonly changed: boolean;
}

export interface FollowedCore {
  readonly name: string;
  readonly steps: readonly Step[];
  /** Registers after a step; -1: before the first. In the order of their names. */
  registers(step: number): Register[];
}

/** Lines of the program's text, one for each bundle. */
export function programText(data: TraceData): string[] {
  const pieces: { offset: number; code: Uint8Array }[] = [];
  for (const event of eventsOf(data, 'tpc_program')) {
    const code = field(data, event, 'code');
    if (code instanceof Uint8Array) pieces.push({ offset: Number(field(data, event, 'offset')), code });
  }
  const size = Math.max(0, ...pieces.map(({ offset, code }) => offset + code.length));
  const bytes = new Uint8Array(size);
  for (const { offset, code } of pieces) bytes.set(code, offset);
  if (size === 0) return [];
  return disassembleVliw(tpcGaudi, bytes, { data: true })
    .split('\n')
    .filter((line) => line !== '')
    .slice(0, size / BUNDLE_BYTES);
}

export function followedCores(data: TraceData): FollowedCore[] {
  const bundle = data.categories.indexOf('tpc_bundle');
  const register = data.categories.indexOf('tpc_register');
  const byTrack = new Map<number, number[]>();
  // In the order of the file: of one cycle that is the order in which it happened.
  for (const event of data.order.toSorted()) {
    if (data.category[event] !== bundle && data.category[event] !== register) continue;
    const events = byTrack.get(data.track[event] as number);
    if (events) events.push(event);
    else byTrack.set(data.track[event] as number, [event]);
  }
  return [...byTrack].map(([track, events]) => followed(data, track, events, bundle));
}

function followed(data: TraceData, track: number, events: readonly number[], bundle: number): FollowedCore {
  const places: number[] = [];
  for (const [at, event] of events.entries()) if (data.category[event] === bundle) places.push(at);
  const steps = places.map((at) => {
    const event = events[at] as number;
    return { event, offset: Number(field(data, event, 'offset')), cycle: Number(field(data, event, 'cycle')) };
  });
  return {
    name: data.tracks[track]?.path.at(-1) ?? '',
    steps,
    registers(step) {
      const from = step < 0 ? 0 : (places[step] as number) + 1;
      const until = places[step + 1] ?? events.length;
      const last = new Map<string, number>();
      for (let at = 0; at < until; at++) {
        const event = events[at] as number;
        if (data.category[event] === bundle) continue;
        last.set(data.names[data.name[event] as number] ?? '', at);
      }
      return [...last]
        .map(([name, at]) => {
          const bytes = field(data, events[at] as number, 'value');
          return {
            name,
            bytes: bytes instanceof Uint8Array ? bytes : new Uint8Array(),
            changed: step >= 0 && at >= from,
          };
        })
        .sort((a, b) => compareNames(a.name, b.name));
    },
  };
}

const FILES = ['V', 'VP', 'S', 'SP', 'I', 'AD'];

/** V2 before V10, files in the order in which programs use them most. */
function compareNames(a: string, b: string): number {
  const [, fileA = '', numberA = ''] = /^([A-Z]+)(\d+)$/.exec(a) ?? [];
  const [, fileB = '', numberB = ''] = /^([A-Z]+)(\d+)$/.exec(b) ?? [];
  return FILES.indexOf(fileA) - FILES.indexOf(fileB) || Number(numberA) - Number(numberB);
}
