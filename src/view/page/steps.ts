/** A kernel that was followed bundle by bundle: its program, what it did in which order, and its registers after each step. */

import { tpcGaudi } from '../../../specs/tpc/gaudi.ts';
import { BUNDLE_BYTES } from '../../isa/vliw/bundle.ts';
import { disassembleVliw } from '../../isa/vliw/disassembler.ts';
import { timeText } from './store.ts';
import { field, type TraceData, whole } from './trace-data.ts';

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
  /** The event that begins it, where it is a launch through a chip. */
  readonly begin: number | undefined;
  /** The program, as far as it is known: of a launch what it has done. */
  text(): ProgramLine[];
  readonly steps: readonly Step[];
  /** Registers after a step; -1: before the first. In the order of their names. */
  registers(step: number): Register[];
}

/** A bundle of the program's text. */
export interface ProgramLine {
  readonly offset: number;
  /** What jumps and loops call it. */
  readonly label: string | undefined;
  readonly text: string;
}

/** The text of a program, in the order of addresses. @param events of kind `tpc_program` */
function programText(data: TraceData, events: readonly number[]): ProgramLine[] {
  const bundles = new Map<number, Uint8Array>();
  for (const event of events) {
    const code = field(data, event, 'code');
    if (!(code instanceof Uint8Array)) continue;
    const offset = whole(field(data, event, 'offset'));
    for (let at = 0; at + BUNDLE_BYTES <= code.length; at += BUNDLE_BYTES) {
      bundles.set(offset + at, code.subarray(at, at + BUNDLE_BYTES));
    }
  }
  const lines: ProgramLine[] = [];
  const offsets = [...bundles.keys()].sort((a, b) => a - b);
  for (let first = 0; first < offsets.length; ) {
    let end = first + 1;
    while (offsets[end] === (offsets[end - 1] as number) + BUNDLE_BYTES) end++;
    lines.push(...pieceText(offsets.slice(first, end), bundles));
    first = end;
  }
  return lines;
}

/** @param offsets of bundles that follow each other */
function pieceText(offsets: readonly number[], bundles: ReadonlyMap<number, Uint8Array>): ProgramLine[] {
  const bytes = new Uint8Array(offsets.length * BUNDLE_BYTES);
  for (const [n, offset] of offsets.entries()) bytes.set(bundles.get(offset) ?? [], n * BUNDLE_BYTES);
  const result: ProgramLine[] = [];
  let label: string | undefined;
  for (const text of disassembleVliw(tpcGaudi, bytes, { data: true }).split('\n')) {
    const [, name] = /^(\w+):$/.exec(text) ?? [];
    const offset = offsets[result.length];
    if (name !== undefined) label = name;
    else if (text !== '' && offset !== undefined) {
      result.push({ offset, label, text });
      label = undefined;
    }
  }
  return result;
}

/** What belongs to one launch, or to one core that stands alone. */
interface Launch {
  readonly track: number;
  /** The event that begins it, where there is one. */
  readonly begin: number | undefined;
  readonly code: number[];
  readonly steps: number[];
}

/** Launches that were followed: of each core those that begin with `tpc_follow`, or all that it did where none does. */
export function followedCores(data: TraceData): FollowedCore[] {
  const categories = ['tpc_follow', 'tpc_program', 'tpc_bundle', 'tpc_register'] as const;
  const [follow, program, bundle, register] = categories.map((name) => data.categories.indexOf(name));
  const launches: Launch[] = [];
  const current = new Map<number, Launch>();
  const shared: number[] = [];
  // In the order of the file: of one cycle that is the order in which it happened.
  for (const event of data.order.toSorted()) {
    const [kind, track] = [data.category[event] as number, data.track[event] as number];
    if (kind !== follow && kind !== program && kind !== bundle && kind !== register) continue;
    let launch = current.get(track);
    if (kind === program && !launch) shared.push(event);
    else {
      if (kind === follow || !launch) {
        launch = { track, begin: kind === follow ? event : undefined, code: [], steps: [] };
        launches.push(launch);
        current.set(track, launch);
      }
      if (kind === program) launch.code.push(event);
      else if (kind !== follow) launch.steps.push(event);
    }
  }
  return launches.map((launch) => followed(data, launch, shared, bundle as number));
}

function followed(data: TraceData, launch: Launch, shared: readonly number[], bundle: number): FollowedCore {
  const { track, begin, code, steps: events } = launch;
  const places: number[] = [];
  for (const [at, event] of events.entries()) if (data.category[event] === bundle) places.push(at);
  const steps = places.map((at) => {
    const event = events[at] as number;
    return { event, offset: whole(field(data, event, 'offset')), cycle: whole(field(data, event, 'cycle')) };
  });
  return {
    name: nameOf(data, track, begin),
    begin,
    steps,
    text: () => programText(data, begin === undefined ? shared : code),
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

function nameOf(data: TraceData, track: number, begin: number | undefined): string {
  const path = data.tracks[track]?.path ?? [];
  if (begin === undefined) return path.at(-1) ?? '';
  const address = whole(field(data, begin, 'address'));
  return `${path.slice(1, -1).join(' ')}, 0x${address.toString(16)} at ${timeText(data.start[begin] as number)}`;
}

const FILES = ['V', 'VP', 'S', 'SP', 'I', 'AD'];

/** V2 before V10, files in the order in which programs use them most. */
function compareNames(a: string, b: string): number {
  const [, fileA = '', numberA = ''] = /^([A-Z]+)(\d+)$/.exec(a) ?? [];
  const [, fileB = '', numberB = ''] = /^([A-Z]+)(\d+)$/.exec(b) ?? [];
  return FILES.indexOf(fileA) - FILES.indexOf(fileB) || Number(numberA) - Number(numberB);
}
