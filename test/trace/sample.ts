/** A trace of everything that there is, for tests of readers. */

import { type FieldRow, traceEvents } from '../../src/trace/events.ts';
import { TraceRecorder, type Track } from '../../src/trace/recorder.ts';

export interface Recording {
  readonly recorder: TraceRecorder;
  /** What has been written so far. */
  bytes(): Uint8Array;
  /** Nanoseconds. */
  time: number;
}

export function record(sequence = 1, root = 'test'): Recording {
  const chunks: Uint8Array[] = [];
  const recording: Recording = {
    recorder: new TraceRecorder({
      sink: { write: (chunk) => void chunks.push(chunk.slice()) },
      sequence,
      root,
      now: () => recording.time,
    }),
    bytes: () => Uint8Array.from(Buffer.concat(chunks)),
    time: 0,
  };
  return recording;
}

const VALUES: Readonly<Record<FieldRow['kind'], unknown>> = {
  number: 123_456_789_012,
  signed: -22,
  address: 0x7f_fc00_0000,
  word: 0xfedc_ba98_7654_3210n,
  text: 'a line with <b>marks</b>, "quotes" and ünïcödé',
  name: 'a name',
  bytes: Uint8Array.of(0, 1, 0x7f, 0x80, 0xff),
  flag: true,
};

function valuesOf(fields: Readonly<Record<string, FieldRow>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, { kind }]) => [name, VALUES[kind]]));
}

/** One event of each row, with all its fields, slices a microsecond long, each ten microseconds after the one before. */
export function recordAll(
  recording: Recording,
  track: Track,
): readonly { kind: string; fields: Record<string, unknown> }[] {
  return Object.entries(traceEvents).map(([kind, row]) => {
    const fields = valuesOf(row.fields);
    const results = valuesOf(row.results);
    recording.time += 10_000;
    if (row.shape === 'instant') track.instant(kind as 'log', undefined, fields);
    else {
      track.begin(kind as 'test', `a ${kind}`, fields);
      recording.time += 1000;
      track.end(kind as 'test', results);
    }
    return { kind, fields: { ...fields, ...results } };
  });
}
