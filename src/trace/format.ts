/**
 * The file of a trace: Perfetto's (protos/perfetto/trace/**.proto), so that ui.perfetto.dev opens it, and nothing besides,
 * so that it is one file for every reader.
 *
 * A trace is a row of packets, each the tag of field 1, a length, and a message `TracePacket`. Whole packets are appended in one
 * write, by each thread for itself: a run that is killed leaves a file that is whole up to its last packet. A packet belongs to a
 * *sequence*, one for each machine; names are interned for each sequence. A packet is one of
 *
 * - a track: `track_descriptor` {uuid, parent_uuid, name}. Tracks are nested: machine (the suite where each has its own) / device
 *   (`gaudi0`, `driver`, `tests`) / engine (`DMA0_QM`) / stream (`CP0`);
 * - names: `interned_data` {event_categories, event_names, debug_annotation_names, debug_annotation_string_values};
 * - an event: `timestamp` in nanoseconds, `track_event` {type, track_uuid, category_iids, name_iid or name, debug_annotations,
 *   flow_ids, terminating_flow_ids}. `type` is SLICE_BEGIN, SLICE_END or INSTANT. The category is the key of the event's row in
 *   `events.ts`. Each field of the row is a debug annotation of its name: `number` a uint_value, `signed` an int_value,
 *   `address` and `word` a pointer_value, `text` a string_value, `name` a string_value_iid, `flag`
 *   a bool_value, `bytes` a string_value of hexadecimal digits. Fields that are not known until a slice ends are on its SLICE_END.
 *   A flow joins all events that have its id, in the order of their times: from the submission to the interrupt.
 *
 * Times are virtual (since the machine started) or wall (since `began`, milliseconds since 1970): the event `machine`, first of each sequence, says which.
 *
 * How to read it. `openTrace(file)` of `open.ts` reads a file; in a page, or of a file that grows, give a `TraceReader` the
 * bytes in any pieces (`reader.ts`, which needs nothing of Node):
 *
 *     const trace = new TraceReader();
 *     trace.append(bytes);                       // again when there is more
 *     const { start, end, track, name, category } = trace.columns();
 *     for (let i = 0; i < trace.count; i++) {
 *       start[i]; end[i];                        // ns; equal of an instant; NaN as end: under way where the file ends
 *       trace.names[name[i]];                    // e.g. LIN_DMA
 *       trace.categories[category[i]];           // key of the row in events.ts, e.g. packet
 *       trace.tracks[track[i]].path;             // e.g. ['dma', 'gaudi0', 'DMA0_QM', 'CP0']
 *       trace.fields(i);                         // {address: 0x20000000, words: Uint8Array(24)}: decoded now, from the bytes
 *       trace.flows(i);                          // numbers; trace.flowEvents(flow) are the events of one, by time
 *     }
 *     trace.problem                              // undefined, or what is wrong with the file and where
 */

/** Field numbers, by message (perfetto/trace/*.proto). */
export const TRACE = { packet: 1 } as const;
export const PACKET = {
  timestamp: 8,
  sequence: 10,
  event: 11,
  interned: 12,
  sequenceFlags: 13,
  track: 60,
} as const;
export const TRACK = { uuid: 1, name: 2, parent: 5 } as const;
export const INTERNED = { categories: 1, eventNames: 2, annotationNames: 3, strings: 29 } as const;
export const INTERNED_ENTRY = { iid: 1, text: 2 } as const;
export const EVENT = {
  category: 3,
  annotation: 4,
  type: 9,
  nameIid: 10,
  track: 11,
  name: 23,
  flow: 47,
  endingFlow: 48,
} as const;
export const ANNOTATION = {
  nameIid: 1,
  bool: 2,
  uint: 3,
  int: 4,
  double: 5,
  string: 6,
  pointer: 7,
  name: 10,
  stringIid: 17,
} as const;

/** TrackEvent.Type. */
export const TYPE = { begin: 1, end: 2, instant: 3 } as const;
/** TracePacket.SequenceFlags: names begin anew; names are used. */
export const FLAGS = { cleared: 1, needed: 2 } as const;
/** Wire types (protobuf.dev/programming-guides/encoding). */
export const WIRE = { varint: 0, fixed64: 1, length: 2, fixed32: 5 } as const;

/** Bytes of a field of kind `bytes` that are kept, and characters of a text. */
export const MOST_BYTES = 1024;
export const MOST_TEXT = 1024;
/** Bytes of the largest packet that a recorder writes: its length, and those within it, take two bytes. */
export const MOST_PACKET = 0x3fff;
