/**
 * Writes events into a trace. Whoever has something to tell holds a `Track`, or undefined where nothing is recorded, so that
 * a run without a trace pays for one comparison. An event is encoded at once, into one buffer, and leaves with others in one
 * write: memory does not grow with the trace. The encoding is in `format.ts`.
 */

import { type Chunk, ChunkWriter } from './chunk.ts';
import {
  type EventFields,
  type EventName,
  type EventResults,
  type FieldRow,
  type InstantName,
  type SliceName,
  traceEvents,
} from './events.ts';
import { FLAGS, INTERNED, TYPE } from './format.ts';

/** Where the bytes go. */
export interface TraceSink {
  /** Given whole packets. */
  write(chunk: Chunk): void;
}

export interface RecorderOptions {
  readonly sink: TraceSink;
  /** Number of the machine in its trace, from 1 on: no two recorders of one file have the same. */
  readonly sequence: number;
  /** Name of the track that all others are below. */
  readonly root: string;
  /** Nanoseconds; need not be whole. */
  readonly now: () => number;
  /** Has `flush` called in a while; asked when the buffer has something after it was empty. */
  readonly later?: (flush: () => void) => void;
}

/** Event names and strings that are kept once for each sequence; beyond, they are written out. */
const MOST_NAMES = 0x8000;
/** Tracks and flows of a sequence: their ids stay below 2^53. */
const TRACKS = 2 ** 20;
const FLOWS = 2 ** 32;

interface FieldCode {
  readonly name: string;
  readonly iid: number;
  readonly kind: FieldRow['kind'];
}

interface EventCode {
  readonly iid: number;
  readonly key: string;
  readonly fields: readonly FieldCode[];
  readonly results: readonly FieldCode[];
}

const annotationNames = [
  ...new Set(Object.values(traceEvents).flatMap((row) => [...Object.keys(row.fields), ...Object.keys(row.results)])),
];

function fieldCodes(fields: Readonly<Record<string, FieldRow>>): FieldCode[] {
  return Object.entries(fields).map(([name, { kind }]) => ({ name, iid: annotationNames.indexOf(name) + 1, kind }));
}

const codes = Object.fromEntries(
  Object.entries(traceEvents).map(([key, row], i): [string, EventCode] => [
    key,
    { key, iid: i + 1, fields: fieldCodes(row.fields), results: fieldCodes(row.results) },
  ]),
) as Readonly<Record<EventName, EventCode>>;

type AnyFields = Readonly<Record<string, unknown>> | undefined;

export class TraceRecorder {
  /**
   * What everything that happens within this call follows from: a flow, 0 for none. Set around a call that has
   * consequences in other blocks (a doorbell, a message that arrives), and taken up by what these tell.
   */
  cause = 0;
  readonly #chunk: ChunkWriter;
  readonly #sequence: number;
  readonly #sink: TraceSink;
  readonly #root: string;
  readonly #now: () => number;
  readonly #later: RecorderOptions['later'];
  readonly #eventNames = new Map<string, number>();
  readonly #strings = new Map<string, number>();
  readonly #tracks = new Map<string, Track>();
  readonly #held: (() => void)[] = [];
  #flows = 0;
  #events = 0;
  #closed = false;
  #waiting = false;

  constructor({ sink, sequence, root, now, later }: RecorderOptions) {
    this.#root = root;
    this.#sink = sink;
    this.#sequence = sequence;
    this.#now = now;
    this.#later = later;
    this.#chunk = new ChunkWriter((chunk) => this.#sink.write(chunk));
    const head = this.#chunk;
    head.beginPacket(sequence, FLAGS.cleared);
    head.beginInterned();
    for (const { key, iid } of Object.values(codes)) head.interned(INTERNED.categories, iid, key);
    annotationNames.forEach((name, i) => {
      head.interned(INTERNED.annotationNames, i + 1, name);
    });
    head.endInterned();
    head.endPacket();
  }

  /** Events so far. */
  get events(): number {
    return this.#events;
  }

  /** The track of a path below the root; made where there is none yet. @param path e.g. `gaudi0`, `DMA0_QM`, `CP0` */
  track(...path: readonly string[]): Track {
    let track = this.#tracks.get('') ?? this.#makeTrack('', this.#root, undefined);
    let key = '';
    for (const name of path) {
      key += `\n${name}`;
      track = this.#tracks.get(key) ?? this.#makeTrack(key, name, track);
    }
    return track;
  }

  scope(name: string): TraceScope {
    return new TraceScope(this, [name]);
  }

  /** A new flow. */
  flow(): number {
    this.#flows = (this.#flows + 1) % FLOWS;
    return this.#sequence * FLOWS + this.#flows;
  }

  /** Does something that has consequences elsewhere. */
  causing<T>(flow: number, body: () => T): T {
    const before = this.cause;
    this.cause = flow;
    try {
      return body();
    } finally {
      this.cause = before;
    }
  }

  /** Nanoseconds. */
  now(): number {
    return this.#now();
  }

  /** Has `body` called before what was recorded is written: it may tell of what it has held back. */
  beforeFlush(body: () => void): void {
    this.#held.push(body);
  }

  /** Has what was recorded written. */
  flush(): void {
    for (const tell of this.#held) tell();
    this.#waiting = false;
    this.#chunk.flush();
  }

  /** The slices that are open stay so: that is what was under way. */
  close(): void {
    this.flush();
    this.#closed = true;
  }

  /** @internal */
  record(
    type: number,
    track: Track,
    code: EventCode,
    name: string | undefined,
    fields: AnyFields,
    flow: number,
    last: boolean,
    time = this.#now(),
  ): void {
    if (this.#closed) return;
    this.#events++;
    const chunk = this.#chunk;
    if (!track.told) this.#tell(track);
    // names go before the event that uses them
    const nameIid = type === TYPE.end ? 0 : this.#nameIid(name ?? code.key);
    const rows = type === TYPE.end ? code.results : code.fields;
    if (fields) {
      for (const { name, kind } of rows) {
        if (kind !== 'name') continue;
        const value = fields[name];
        if (typeof value === 'string') this.#stringIid(value);
      }
    }
    chunk.beginPacket(this.#sequence, FLAGS.needed);
    chunk.timestamp(time);
    chunk.beginEvent(type, track.uuid);
    if (type !== TYPE.end) {
      chunk.category(code.iid);
      if (nameIid > 0) chunk.nameIid(nameIid);
      else chunk.name(name ?? code.key);
    }
    if (flow !== 0) chunk.flow(flow, last);
    if (fields) {
      for (const row of rows) {
        const value = fields[row.name];
        if (value !== undefined) this.#field(row, value);
      }
    }
    chunk.endEvent();
    chunk.endPacket();
    if (this.#later && !this.#waiting) {
      this.#waiting = true;
      this.#later(() => this.flush());
    }
  }

  #field({ iid, kind }: FieldCode, value: unknown): void {
    const chunk = this.#chunk;
    switch (kind) {
      case 'number':
        chunk.uint(iid, value as number);
        break;
      case 'address':
        chunk.pointer(iid, value as number);
        break;
      case 'signed':
        chunk.int(iid, value as number);
        break;
      case 'word':
        chunk.pointer64(iid, value as bigint);
        break;
      case 'text':
        chunk.text(iid, value as string);
        break;
      case 'bytes':
        chunk.hex(iid, value as Uint8Array);
        break;
      case 'flag':
        chunk.bool(iid, value as boolean);
        break;
      case 'name': {
        const known = this.#strings.get(value as string);
        if (known !== undefined) chunk.stringIid(iid, known);
        else chunk.text(iid, value as string);
      }
    }
  }

  #nameIid(name: string): number {
    return this.#eventNames.get(name) ?? this.#intern(this.#eventNames, INTERNED.eventNames, name);
  }

  #stringIid(text: string): number {
    return this.#strings.get(text) ?? this.#intern(this.#strings, INTERNED.strings, text);
  }

  /** @returns 0 where there are too many already */
  #intern(table: Map<string, number>, field: number, text: string): number {
    if (table.size >= MOST_NAMES) return 0;
    const iid = table.size + 1;
    table.set(text, iid);
    const chunk = this.#chunk;
    chunk.beginPacket(this.#sequence, FLAGS.needed);
    chunk.beginInterned();
    chunk.interned(field, iid, text);
    chunk.endInterned();
    chunk.endPacket();
    return iid;
  }

  #makeTrack(key: string, name: string, parent: Track | undefined): Track {
    const uuid = this.#sequence * TRACKS + this.#tracks.size + 1;
    const track = new Track(this, uuid, name, parent);
    this.#tracks.set(key, track);
    return track;
  }

  /** Describes a track, after those above it. */
  #tell(track: Track): void {
    track.told = true;
    const { uuid, name, parent } = track;
    if (parent && !parent.told) this.#tell(parent);
    this.#chunk.beginPacket(this.#sequence, 0);
    this.#chunk.track(uuid, name, parent?.uuid);
    this.#chunk.endPacket();
  }
}

/** The tracks of one device, or of another part of a machine. */
export class TraceScope {
  readonly trace: TraceRecorder;
  readonly #path: readonly string[];

  constructor(trace: TraceRecorder, path: readonly string[]) {
    this.trace = trace;
    this.#path = path;
  }

  /** @param path below the scope's own */
  track(...path: readonly string[]): Track {
    return this.trace.track(...this.#path, ...path);
  }

  scope(name: string): TraceScope {
    return new TraceScope(this.trace, [...this.#path, name]);
  }
}

/** Carries out `steps` as something that follows from `flow`, whenever it is their turn. */
export function* following<Y, T>(
  trace: TraceRecorder,
  flow: number,
  steps: Generator<Y, T, void>,
): Generator<Y, T, void> {
  let ended = false;
  try {
    for (;;) {
      const result = trace.causing(flow, () => steps.next());
      if (result.done) {
        ended = true;
        return result.value;
      }
      yield result.value;
    }
  } finally {
    if (!ended) steps.return(undefined as T);
  }
}

/** One line of a trace: of an engine, a stream, a thread. Slices on it nest. */
export class Track {
  readonly trace: TraceRecorder;
  /** @internal */
  readonly uuid: number;
  /** @internal */
  readonly name: string;
  /** @internal */
  readonly parent: Track | undefined;
  /** @internal Whether the file knows of it: it does once something happens on it. */
  told = false;
  readonly #open: SliceName[] = [];

  /** @internal */
  constructor(trace: TraceRecorder, uuid: number, name: string, parent: Track | undefined) {
    this.trace = trace;
    this.uuid = uuid;
    this.name = name;
    this.parent = parent;
  }

  /** @param name default: the kind's. @param flow that the event belongs to; default: what it follows from */
  instant<N extends InstantName>(kind: N, name: string | undefined, fields: EventFields<N>, flow?: number): void {
    const { trace } = this;
    trace.record(TYPE.instant, this, codes[kind], name, fields, flow ?? trace.cause, false);
  }

  /** What happened before now, and belongs to no flow. @param time nanoseconds */
  instantAt<N extends InstantName>(time: number, kind: N, name: string | undefined, fields: EventFields<N>): void {
    this.trace.record(TYPE.instant, this, codes[kind], name, fields, 0, false, time);
  }

  begin<N extends SliceName>(kind: N, name: string | undefined, fields: EventFields<N>, flow?: number): void {
    const { trace } = this;
    this.#open.push(kind);
    trace.record(TYPE.begin, this, codes[kind], name, fields, flow ?? trace.cause, false);
  }

  /** Ends the innermost slice; nothing where none is open. @param flow that ends with it */
  end<N extends SliceName>(kind: N, results?: EventResults<N>, flow = 0): void {
    if (this.#open.at(-1) !== kind) return;
    this.#open.pop();
    this.trace.record(TYPE.end, this, codes[kind], undefined, results, flow, true);
  }

  /** Ends all slices: what was under way will not go on. */
  endAll(): void {
    while (this.#open.length > 0) this.end(this.#open.at(-1) as SliceName);
  }
}
