/**
 * Reads a trace (`format.ts`), in any pieces, also one that is still being written: events in columns, so that a million of
 * them are quickly there; what an event says of itself is decoded when it is asked for. Needs nothing of Node. The file is not
 * trusted: what cannot be read ends the reading, with one line that says what and where, and leaves what came before it.
 */

import { readAnnotation, readRawFields } from './annotations.ts';
import { Column } from './column.ts';
import { EVENT, INTERNED, INTERNED_ENTRY, PACKET, TRACE, TRACK, TYPE, WIRE } from './format.ts';
import { Damaged, Wire } from './wire.ts';

export interface TraceTrack {
  /** From the outermost: e.g. `['dma', 'gaudi0', 'DMA0_QM', 'CP0']`. */
  readonly path: readonly string[];
  /** Index of the track above it. */
  readonly parent: number | undefined;
}

export type TraceValue = string | number | bigint | boolean | Uint8Array;

/** What is wrong with a file. `truncated`: it ends within a packet, as that of a run that was killed; all before is whole. */
export interface TraceProblem {
  readonly category: 'not-a-trace' | 'damaged' | 'truncated' | 'too-large';
  /** In one line, with the offset. */
  readonly message: string;
}

/** All events, by index; views that the next `append` may replace. */
export interface TraceColumns {
  /** Nanoseconds. */
  readonly start: Float64Array;
  /** As `start` of an instant; NaN of a slice that is still under way where the file ends. */
  readonly end: Float64Array;
  /** Index into `tracks`. */
  readonly track: Uint32Array;
  /** Index into `names`. */
  readonly name: Uint32Array;
  /** Index into `categories`. */
  readonly category: Uint32Array;
}

/** Bounds of what a file may make its reader keep, besides its events. */
const MOST_TRACKS = 2 ** 20;
const MOST_NAMES = 2 ** 22;
const DEEPEST = 64;
/** A packet that claims to be longer is none. */
const LONGEST_PACKET = 2 ** 28;

/** What is known of one sequence. */
class Sequence {
  /** By the number in the file: index into the reader's tables. */
  readonly categories = new Map<number, number>();
  readonly names = new Map<number, number>();
  readonly annotations = new Map<number, string>();
  readonly strings = new Map<number, string>();

  clear(): void {
    this.categories.clear();
    this.names.clear();
    this.annotations.clear();
    this.strings.clear();
  }
}

/** Bytes that are kept for `fields`. */
interface Segment {
  /** Offset of its first byte in the file. */
  readonly from: number;
  readonly bytes: Uint8Array;
}

interface TrackState {
  name: string;
  /** Number of the track above it, in the file. */
  parent: number | undefined;
  /** Events that have begun and not ended. */
  readonly open: number[];
}

const NONE = 0xffff_ffff;

export class TraceReader {
  /** Names of events, categories: what the columns point into. */
  readonly names: string[] = [];
  readonly categories: string[] = [];
  readonly #nameIndex = new Map<string, number>();
  readonly #categoryIndex = new Map<string, number>();
  readonly #sequences = new Map<number, Sequence>();
  readonly #sequenceList: Sequence[] = [];
  readonly #sequenceIndex = new Map<number, number>();
  /** Index of a track by its number in the file. */
  readonly #trackIndex = new Map<number, number>();
  readonly #trackNumbers: number[] = [];
  readonly #states: TrackState[] = [];
  #tracks: readonly TraceTrack[] | undefined;

  readonly #start = new Column((n) => new Float64Array(n));
  readonly #end = new Column((n) => new Float64Array(n));
  readonly #track = new Column((n) => new Uint32Array(n));
  readonly #name = new Column((n) => new Uint32Array(n));
  readonly #category = new Column((n) => new Uint32Array(n));
  readonly #sequence = new Column((n) => new Uint32Array(n));
  /** Where the message of the event begins and how long it is; of a slice also that of its end. */
  readonly #at = new Column((n) => new Float64Array(n));
  readonly #length = new Column((n) => new Uint32Array(n));
  readonly #endAt = new Column((n) => new Float64Array(n));
  readonly #endLength = new Column((n) => new Uint32Array(n));
  /** Pairs of a flow and an event that it goes through. */
  readonly #flowOf = new Column((n) => new Float64Array(n));
  readonly #flowEvent = new Column((n) => new Uint32Array(n));
  #flowIndex: Map<number, number[]> | undefined;
  #eventFlows: Map<number, number[]> | undefined;

  readonly #segments: Segment[] = [];
  readonly #keep: boolean;
  #rest: Uint8Array = new Uint8Array(0);
  #size = 0;
  #problem: TraceProblem | undefined;
  readonly #wire = new Wire();

  /** @param options.fields false: nothing of the bytes is kept, for whoever only wants the columns */
  constructor({ fields = true }: { readonly fields?: boolean } = {}) {
    this.#keep = fields;
  }

  /** Events so far. */
  get count(): number {
    return this.#start.length;
  }

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  /** What is wrong with what was read so far; `truncated` may be mended by what is appended. */
  get problem(): TraceProblem | undefined {
    if (this.#problem) return this.#problem;
    if (this.#rest.length === 0) return undefined;
    const at = this.#size - this.#rest.length;
    return { category: 'truncated', message: `ends within the packet at byte ${at}: what came before it is whole` };
  }

  get tracks(): readonly TraceTrack[] {
    this.#tracks ??= this.#states.map((state) => this.#described(state));
    return this.#tracks;
  }

  /** `virtual` or `wall`, as the machine says; undefined where none is told of. */
  get clock(): 'virtual' | 'wall' | undefined {
    const machine = this.#categoryIndex.get('machine');
    if (machine === undefined || !this.#keep) return undefined;
    const { category } = this.columns();
    const at = category.indexOf(machine);
    return at < 0 ? undefined : this.fields(at).clock === 'wall' ? 'wall' : 'virtual';
  }

  columns(): TraceColumns {
    return {
      start: this.#start.view(),
      end: this.#end.view(),
      track: this.#track.view(),
      name: this.#name.view(),
      category: this.#category.view(),
    };
  }

  /** The next bytes of the file; they are not copied where they are whole packets, so must not change. */
  append(bytes: Uint8Array): void {
    if (this.#problem) return;
    const from = this.#size - this.#rest.length;
    this.#size += bytes.length;
    const all = this.#rest.length === 0 ? bytes : joined(this.#rest, bytes);
    const used = this.#readPackets(all, from);
    this.#rest = all.subarray(used);
    if (used > 0 && this.#keep) this.#segments.push({ from, bytes: all.subarray(0, used) });
    this.#flowIndex = undefined;
    this.#eventFlows = undefined;
  }

  /** What an event says of itself, by field; of a slice with what its end says. @param event index, below `count` */
  fields(event: number): Record<string, TraceValue> {
    const fields: Record<string, TraceValue> = {};
    const sequence = this.#sequenceList[this.#sequence.get(event)];
    if (!sequence) return fields;
    this.#decodeFields(sequence, this.#at.get(event), this.#length.get(event), fields);
    const endLength = this.#endLength.get(event);
    if (endLength > 0) this.#decodeFields(sequence, this.#endAt.get(event), endLength, fields);
    readRawFields(this.categories[this.#category.get(event)] ?? '', fields);
    return fields;
  }

  /** Flows that an event belongs to. */
  flows(event: number): readonly number[] {
    if (!this.#eventFlows) {
      this.#eventFlows = new Map();
      this.#eachFlow((flow, at) => add(this.#eventFlows as Map<number, number[]>, at, flow));
    }
    return this.#eventFlows.get(event) ?? [];
  }

  /** Events that a flow goes through, by the time of their beginning. */
  flowEvents(flow: number): readonly number[] {
    if (!this.#flowIndex) {
      const index = new Map<number, number[]>();
      this.#eachFlow((flow, at) => add(index, flow, at));
      for (const events of index.values()) events.sort((a, b) => this.#start.get(a) - this.#start.get(b) || a - b);
      this.#flowIndex = index;
    }
    return this.#flowIndex.get(flow) ?? [];
  }

  #eachFlow(tell: (flow: number, event: number) => void): void {
    for (let i = 0; i < this.#flowOf.length; i++) tell(this.#flowOf.get(i), this.#flowEvent.get(i));
  }

  /** @returns bytes that are whole packets */
  #readPackets(bytes: Uint8Array, from: number): number {
    const wire = this.#wire;
    wire.set(bytes, 0, bytes.length);
    let whole = 0;
    try {
      while (wire.at < bytes.length) {
        if (bytes[wire.at] !== ((TRACE.packet << 3) | WIRE.length)) {
          const category = from + whole === 0 ? 'not-a-trace' : 'damaged';
          throw new Damaged(category, category === 'damaged' ? 'no packet begins here' : 'the file is no trace');
        }
        wire.at++;
        if (!wire.wholeVarint()) return whole;
        const length = wire.varint();
        if (length > LONGEST_PACKET) throw new Damaged('damaged', `a packet of ${length} bytes`);
        const end = wire.at + length;
        if (end > bytes.length) return whole;
        wire.end = end;
        this.#packet(from);
        wire.at = end;
        wire.end = bytes.length;
        whole = end;
      }
    } catch (error) {
      if (!(error instanceof Damaged)) throw error;
      this.#problem = { category: error.category, message: `${error.message} (byte ${from + whole})` };
    }
    return whole;
  }

  /** Reads the packet that the wire is at, whose bytes begin at offset `from` of the file. */
  #packet(from: number): void {
    const wire = this.#wire;
    const { end } = wire;
    let time = 0;
    let number = 0;
    let flags = 0;
    let eventAt = -1;
    let eventEnd = 0;
    let internedAt = -1;
    let internedEnd = 0;
    while (wire.at < end) {
      const key = wire.varint();
      switch (key) {
        case (PACKET.timestamp << 3) | WIRE.varint:
          time = wire.varint();
          break;
        case (PACKET.sequence << 3) | WIRE.varint:
          number = wire.varint();
          break;
        case (PACKET.sequenceFlags << 3) | WIRE.varint:
          flags = wire.varint();
          break;
        case (PACKET.event << 3) | WIRE.length:
          eventEnd = wire.message();
          eventAt = wire.at;
          wire.at = eventEnd;
          break;
        case (PACKET.interned << 3) | WIRE.length:
          internedEnd = wire.message();
          internedAt = wire.at;
          wire.at = internedEnd;
          break;
        case (PACKET.track << 3) | WIRE.length: {
          const trackEnd = wire.message();
          wire.end = trackEnd;
          this.#trackDescriptor();
          wire.at = trackEnd;
          wire.end = end;
          break;
        }
        default:
          wire.skip(key & 7);
      }
    }
    if (eventAt < 0 && internedAt < 0) return;
    let sequence = this.#sequences.get(number);
    if (!sequence) {
      sequence = new Sequence();
      this.#sequences.set(number, sequence);
      this.#sequenceIndex.set(number, this.#sequenceList.length);
      this.#sequenceList.push(sequence);
    }
    if ((flags & 1) !== 0) {
      // events that are there keep the names they were read with
      if (sequence.annotations.size > 0) {
        sequence = new Sequence();
        this.#sequences.set(number, sequence);
        this.#sequenceIndex.set(number, this.#sequenceList.length);
        this.#sequenceList.push(sequence);
      }
      sequence.clear();
    }
    if (internedAt >= 0) {
      wire.at = internedAt;
      wire.end = internedEnd;
      this.#interned(sequence);
    }
    if (eventAt >= 0) {
      wire.at = eventAt;
      wire.end = eventEnd;
      this.#event(sequence, this.#sequenceIndex.get(number) as number, time, from);
    }
  }

  #trackDescriptor(): void {
    const wire = this.#wire;
    let uuid = 0;
    let name = '';
    let parent: number | undefined;
    while (wire.at < wire.end) {
      const key = wire.varint();
      if (key === ((TRACK.uuid << 3) | WIRE.varint)) uuid = wire.varint();
      else if (key === ((TRACK.parent << 3) | WIRE.varint)) parent = wire.varint();
      else if (key === ((TRACK.name << 3) | WIRE.length)) name = wire.string();
      else wire.skip(key & 7);
    }
    const state = this.#states[this.#trackOf(uuid)] as TrackState;
    state.name = name;
    state.parent = parent;
    this.#tracks = undefined;
  }

  /** Index of a track; of one that nothing is known of yet too. */
  #trackOf(uuid: number): number {
    let index = this.#trackIndex.get(uuid);
    if (index === undefined) {
      index = this.#states.length;
      if (index >= MOST_TRACKS) throw new Damaged('too-large', `more than ${MOST_TRACKS} tracks`);
      this.#trackIndex.set(uuid, index);
      this.#trackNumbers.push(uuid);
      this.#states.push({ name: `track ${uuid}`, parent: undefined, open: [] });
      this.#tracks = undefined;
    }
    return index;
  }

  #described(state: TrackState): TraceTrack {
    const path: string[] = [];
    const parent = this.#indexOfParent(state);
    // a file may say that a track is above itself
    for (let at: TrackState | undefined = state, n = 0; at && n < DEEPEST; n++) {
      path.unshift(at.name);
      const above: number | undefined = this.#indexOfParent(at);
      at = above === undefined ? undefined : this.#states[above];
    }
    return { path, parent };
  }

  #indexOfParent({ parent }: TrackState): number | undefined {
    return parent === undefined ? undefined : this.#trackIndex.get(parent);
  }

  #interned(sequence: Sequence): void {
    const wire = this.#wire;
    const { end } = wire;
    while (wire.at < end) {
      const key = wire.varint();
      if ((key & 7) !== WIRE.length) {
        wire.skip(key & 7);
        continue;
      }
      const field = key >>> 3;
      const entryEnd = wire.message();
      wire.end = entryEnd;
      let iid = 0;
      let text = '';
      if (
        field === INTERNED.categories ||
        field === INTERNED.eventNames ||
        field === INTERNED.annotationNames ||
        field === INTERNED.strings
      ) {
        while (wire.at < entryEnd) {
          const key = wire.varint();
          if (key === ((INTERNED_ENTRY.iid << 3) | WIRE.varint)) iid = wire.varint();
          else if (key === ((INTERNED_ENTRY.text << 3) | WIRE.length)) text = wire.string();
          else wire.skip(key & 7);
        }
        this.#learn(sequence, field, iid, text);
      }
      wire.at = entryEnd;
      wire.end = end;
    }
  }

  #learn(sequence: Sequence, field: number, iid: number, text: string): void {
    switch (field) {
      case INTERNED.categories:
        sequence.categories.set(iid, this.#indexIn(this.#categoryIndex, this.categories, text));
        break;
      case INTERNED.eventNames:
        sequence.names.set(iid, this.#indexIn(this.#nameIndex, this.names, text));
        break;
      case INTERNED.annotationNames:
        sequence.annotations.set(iid, text);
        break;
      default:
        sequence.strings.set(iid, text);
    }
    if (sequence.annotations.size + sequence.strings.size > MOST_NAMES) {
      throw new Damaged('too-large', `more than ${MOST_NAMES} names`);
    }
  }

  #indexIn(index: Map<string, number>, list: string[], text: string): number {
    let at = index.get(text);
    if (at === undefined) {
      at = list.length;
      if (at >= MOST_NAMES) throw new Damaged('too-large', `more than ${MOST_NAMES} names`);
      index.set(text, at);
      list.push(text);
    }
    return at;
  }

  #event(sequence: Sequence, sequenceIndex: number, time: number, from: number): void {
    const wire = this.#wire;
    const { at: begin, end } = wire;
    let type = 0;
    let uuid = 0;
    let category = NONE;
    let name = NONE;
    let flow = 0;
    let flows: number[] | undefined;
    while (wire.at < end) {
      const key = wire.varint();
      switch (key) {
        case (EVENT.type << 3) | WIRE.varint:
          type = wire.varint();
          break;
        case (EVENT.track << 3) | WIRE.varint:
          uuid = wire.varint();
          break;
        case (EVENT.category << 3) | WIRE.varint:
          category = sequence.categories.get(wire.varint()) ?? NONE;
          break;
        case (EVENT.nameIid << 3) | WIRE.varint:
          name = sequence.names.get(wire.varint()) ?? NONE;
          break;
        case (EVENT.name << 3) | WIRE.length:
          name = this.#indexIn(this.#nameIndex, this.names, wire.string());
          break;
        case (EVENT.flow << 3) | WIRE.fixed64:
        case (EVENT.endingFlow << 3) | WIRE.fixed64: {
          const id = wire.fixed64();
          if (flow === 0) flow = id;
          else {
            flows ??= [];
            flows.push(id);
          }
          break;
        }
        default:
          wire.skip(key & 7);
      }
    }
    const track = this.#trackOf(uuid);
    const state = this.#states[track] as TrackState;
    if (type === TYPE.end) {
      const event = state.open.pop();
      if (event === undefined) return;
      this.#end.set(event, time);
      this.#endAt.set(event, from + begin);
      this.#endLength.set(event, end - begin);
      if (flow !== 0) this.#joins(flow, event);
      return;
    }
    if (type !== TYPE.begin && type !== TYPE.instant) return;
    const event = this.#start.length;
    this.#start.push(time);
    this.#end.push(type === TYPE.begin ? Number.NaN : time);
    this.#track.push(track);
    this.#name.push(name === NONE ? this.#indexIn(this.#nameIndex, this.names, '') : name);
    this.#category.push(category === NONE ? this.#indexIn(this.#categoryIndex, this.categories, '') : category);
    this.#sequence.push(sequenceIndex);
    this.#at.push(from + begin);
    this.#length.push(end - begin);
    this.#endAt.push(0);
    this.#endLength.push(0);
    if (flow !== 0) this.#joins(flow, event);
    if (flows) for (const one of flows) this.#joins(one, event);
    if (type === TYPE.begin) state.open.push(event);
  }

  #joins(flow: number, event: number): void {
    this.#flowOf.push(flow);
    this.#flowEvent.push(event);
  }

  #decodeFields(sequence: Sequence, at: number, length: number, into: Record<string, TraceValue>): void {
    const segment = this.#segmentOf(at);
    if (!segment) return;
    const wire = new Wire();
    wire.set(segment.bytes, at - segment.from, at - segment.from + length);
    const { end } = wire;
    try {
      while (wire.at < end) {
        const key = wire.varint();
        if (key !== ((EVENT.annotation << 3) | WIRE.length)) {
          wire.skip(key & 7);
          continue;
        }
        const annotationEnd = wire.message();
        wire.end = annotationEnd;
        readAnnotation(wire, sequence, into);
        wire.at = annotationEnd;
        wire.end = end;
      }
    } catch (error) {
      // what could be read is what it says
      if (!(error instanceof Damaged)) throw error;
    }
  }

  #segmentOf(at: number): Segment | undefined {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#segments[middle] as Segment).from <= at) low = middle + 1;
      else high = middle;
    }
    return this.#segments[low - 1];
  }
}

function add(map: Map<number, number[]>, key: number, value: number): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
