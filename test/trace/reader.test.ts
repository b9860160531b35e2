import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { openTrace } from '../../src/trace/open.ts';
import { TraceReader } from '../../src/trace/reader.ts';
import { entryJson, entryOf, entryText, statistics } from '../../src/trace/text.ts';
import { seed } from '../seed.ts';
import { record, recordAll } from './sample.ts';

function read(bytes: Uint8Array): TraceReader {
  const reader = new TraceReader();
  reader.append(bytes);
  return reader;
}

/** Asks for everything that a reader can be asked. */
function use(reader: TraceReader): void {
  const columns = reader.columns();
  for (let i = 0; i < reader.count; i++) {
    const entry = entryOf(reader, columns, i);
    entryText(entry);
    JSON.parse(entryJson(entry));
    for (const flow of reader.flows(i)) assert.ok(reader.flowEvents(flow).includes(i));
  }
  statistics(reader);
}

function sample(): Uint8Array {
  const recording = record();
  const { recorder } = recording;
  recordAll(recording, recorder.track('gaudi0', 'DMA0_QM', 'CP0'));
  const flow = recorder.flow();
  recorder.track('a').instant('doorbell', undefined, { value: 1 }, flow);
  recorder.track('b').begin('buffer', undefined, {}, flow);
  recorder.close();
  return recording.bytes();
}

describe('a file that is no trace', () => {
  it('is refused in a line that says so', () => {
    assert.equal(read(new TextEncoder().encode('{"a": 1}')).problem?.category, 'not-a-trace');
    const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-trace-'));
    try {
      const file = path.join(folder, 'x');
      writeFileSync(file, 'text');
      assert.throws(() => openTrace(file), /not-a-trace.*byte 0/);
      assert.throws(() => openTrace(path.join(folder, 'none')), /ENOENT/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('is a trace without events where it is empty', () => {
    const reader = read(new Uint8Array(0));
    assert.equal(reader.count, 0);
    assert.equal(reader.problem, undefined);
    use(reader);
  });
});

describe('a trace that was cut off', () => {
  it('has the events before that, wherever it was', () => {
    const bytes = sample();
    const whole = read(bytes);
    const columns = whole.columns();
    let most = 0;
    for (let length = 0; length <= bytes.length; length++) {
      const part = read(bytes.subarray(0, length));
      assert.equal(part.problem?.category ?? 'truncated', 'truncated', part.problem?.message ?? '');
      assert.ok(part.count >= most, 'more bytes, fewer events');
      most = part.count;
      const last = part.count - 1;
      if (last >= 0) assert.equal(part.columns().start[last], columns.start[last]);
    }
    assert.equal(most, whole.count);
  });

  it('goes on where the rest is appended, in whatever pieces', () => {
    const bytes = sample();
    const whole = read(bytes);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 12 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const pieces = new TraceReader();
        for (let i = 1; i < at.length; i++) pieces.append(bytes.slice(at[i - 1], at[i]));
        assert.equal(pieces.problem, undefined);
        assert.deepEqual(pieces.columns(), whole.columns());
        assert.deepEqual(pieces.tracks, whole.tracks);
        for (let i = 0; i < whole.count; i++) assert.deepEqual(pieces.fields(i), whole.fields(i));
      }),
      { seed: seed(), numRuns: 50 },
    );
  });
});

describe('a hostile trace', () => {
  it('does no harm, whatever bytes are changed', () => {
    const bytes = sample();
    const change = fc.record({ at: fc.nat(bytes.length - 1), to: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
        const broken = bytes.slice();
        for (const { at, to } of changes) broken[at] = to;
        use(read(broken));
      }),
      { seed: seed(), numRuns: 500 },
    );
  });

  it('does no harm, whatever bytes follow a packet’s tag', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        use(read(Uint8Array.of(0x0a, bytes.length, ...bytes)));
      }),
      { seed: seed(), numRuns: 1000 },
    );
  });

  it('keeps what it calls itself away from the prototypes of objects and from the terminal', () => {
    const recording = record(1, '\u001b[31mred');
    const { recorder } = recording;
    recorder.track('__proto__').instant('log', '<script>', { text: 'a\u001b]0;title\u0007' });
    recorder.close();
    const reader = read(recording.bytes());
    const entry = entryOf(reader, reader.columns(), 0);
    const shown = `${entryText(entry)}${entry.track}`;
    assert.ok(![...shown].some((c) => c < ' '), shown);
    assert.equal(entry.name, '<script>');
    assert.equal(Object.getPrototypeOf(reader.fields(0)), Object.prototype);
  });

  it('with tracks that are above each other has paths that end', () => {
    // two packets: track 1 below track 2, track 2 below track 1
    const track = (uuid: number, parent: number) => [0x0a, 7, 0xe2, 0x03, 4, 0x08, uuid, 0x28, parent];
    const reader = read(Uint8Array.from([...track(1, 2), ...track(2, 1)]));
    assert.equal(reader.problem, undefined);
    for (const { path } of reader.tracks) assert.ok(path.length <= 64);
  });
});

describe('what is recorded', () => {
  it('is read as it was, for every kind of event and field', () => {
    const recording = record();
    const told = recordAll(recording, recording.recorder.track('gaudi0', 'DMA0_QM', 'CP0'));
    recording.recorder.close();
    const reader = read(recording.bytes());
    const { start, end, track } = reader.columns();
    assert.equal(reader.count, told.length);
    told.forEach(({ kind, fields }, i) => {
      const entry = entryOf(reader, reader.columns(), i);
      assert.equal(entry.kind, kind);
      assert.deepEqual(entry.fields, fields, kind);
      assert.deepEqual(reader.tracks[track[i] as number]?.path, ['test', 'gaudi0', 'DMA0_QM', 'CP0']);
      assert.equal((end[i] as number) - (start[i] as number), entry.duration ?? 0);
    });
  });

  it('is cut where it is too long for a packet, and nothing else is lost', () => {
    const recording = record();
    const track = recording.recorder.track('x');
    const long = 'ö'.repeat(100_000);
    for (let i = 0; i < 20; i++) {
      track.begin('ioctl', long, { argument: new Uint8Array(100_000).fill(i), file: long + i });
      track.end('ioctl', { after: new Uint8Array(100_000).fill(i + 1), result: i });
    }
    recording.recorder.close();
    const reader = read(recording.bytes());
    assert.equal(reader.problem, undefined);
    assert.equal(reader.count, 20);
    const { argument, after, result } = reader.fields(19);
    assert.equal(result, 19);
    assert.ok((argument as Uint8Array).length >= 1024 && (argument as Uint8Array).every((byte) => byte === 19));
    assert.ok((after as Uint8Array).every((byte) => byte === 20));
  });

  it('of numbers that do not fit is a number all the same', () => {
    const recording = record();
    const track = recording.recorder.track('x');
    for (const value of [Number.NaN, -1, 2 ** 60, Number.POSITIVE_INFINITY, 0.6, 2 ** 31 - 0.4, 2 ** 53 - 1]) {
      track.instant('doorbell', undefined, { value });
    }
    recording.recorder.close();
    const reader = read(recording.bytes());
    const values = Array.from({ length: reader.count }, (_, i) => reader.fields(i).value);
    assert.deepEqual(values, [0, 0, 0, 0, 1, 2 ** 31, 2 ** 53 - 1]);
  });

  it('nests slices, and leaves open what was under way', () => {
    const recording = record();
    const track = recording.recorder.track('x');
    track.begin('buffer', 'outer', {});
    recording.time = 5;
    track.begin('packet', 'inner', {});
    recording.time = 7;
    track.end('buffer', {});
    track.end('packet', { count: 2 });
    recording.time = 9;
    track.begin('packet', 'last', {});
    recording.recorder.close();
    const reader = read(recording.bytes());
    const { start, end } = reader.columns();
    assert.deepEqual([...start], [0, 5, 9]);
    assert.deepEqual([...end], [Number.NaN, 7, Number.NaN]);
    assert.equal(statistics(reader).underWay, 2);
  });

  it('follows what caused it, across steps that wait, and nothing else does', () => {
    const recording = record();
    const { recorder } = recording;
    const track = recorder.track('x');
    const flow = recorder.flow();
    recorder.causing(flow, () => track.instant('doorbell', 'cause', {}));
    track.instant('doorbell', 'other', {});
    recorder.causing(flow, () => track.begin('buffer', 'effect', {}));
    recorder.close();
    const reader = read(recording.bytes());
    assert.deepEqual(reader.flows(1), []);
    const [id = 0] = reader.flows(0);
    assert.deepEqual(reader.flowEvents(id), [0, 2]);
  });
});
