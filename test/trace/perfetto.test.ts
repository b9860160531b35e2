/** The outside judge of the format: protobuf's own decoder, with a schema of Perfetto's public field numbers. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create, createFileRegistry, type DescMessage, fromBinary, toJson } from '@bufbuild/protobuf';
import {
  FileDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt';
import { TraceReader } from '../../src/trace/reader.ts';
import { record, recordAll } from './sample.ts';

type Fields = Readonly<Record<string, readonly [number: number, type: keyof typeof Type | string, label?: 'repeated']>>;

/** protos/perfetto/trace/trace.proto, trace_packet.proto, track_event/*.proto, interned_data/interned_data.proto. */
const messages: Readonly<Record<string, Fields>> = {
  Trace: { packet: [1, '.TracePacket', 'repeated'] },
  TracePacket: {
    timestamp: [8, 'UINT64'],
    trusted_packet_sequence_id: [10, 'UINT32'],
    track_event: [11, '.TrackEvent'],
    interned_data: [12, '.InternedData'],
    sequence_flags: [13, 'UINT32'],
    track_descriptor: [60, '.TrackDescriptor'],
  },
  TrackDescriptor: { uuid: [1, 'UINT64'], name: [2, 'STRING'], parent_uuid: [5, 'UINT64'] },
  TrackEvent: {
    category_iids: [3, 'UINT64', 'repeated'],
    debug_annotations: [4, '.DebugAnnotation', 'repeated'],
    type: [9, 'INT32'],
    name_iid: [10, 'UINT64'],
    track_uuid: [11, 'UINT64'],
    categories: [22, 'STRING', 'repeated'],
    name: [23, 'STRING'],
    flow_ids: [47, 'FIXED64', 'repeated'],
    terminating_flow_ids: [48, 'FIXED64', 'repeated'],
  },
  DebugAnnotation: {
    name_iid: [1, 'UINT64'],
    bool_value: [2, 'BOOL'],
    uint_value: [3, 'UINT64'],
    int_value: [4, 'INT64'],
    double_value: [5, 'DOUBLE'],
    string_value: [6, 'STRING'],
    pointer_value: [7, 'UINT64'],
    name: [10, 'STRING'],
    string_value_iid: [17, 'UINT64'],
  },
  InternedData: {
    event_categories: [1, '.Interned', 'repeated'],
    event_names: [2, '.Interned', 'repeated'],
    debug_annotation_names: [3, '.Interned', 'repeated'],
    debug_annotation_string_values: [29, '.Interned', 'repeated'],
  },
  Interned: { iid: [1, 'UINT64'], name: [2, 'STRING'] },
};

function schema(): DescMessage {
  const file = create(FileDescriptorProtoSchema, {
    name: 'trace.proto',
    syntax: 'proto2',
    messageType: Object.entries(messages).map(([name, fields]) => ({
      name,
      field: Object.entries(fields).map(([name, [number, type, label]]) => ({
        name,
        jsonName: name.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
        number,
        label: label === 'repeated' ? Label.REPEATED : Label.OPTIONAL,
        ...(type.startsWith('.') ? { type: Type.MESSAGE, typeName: type } : { type: Type[type as keyof typeof Type] }),
      })),
    })),
  });
  const trace = createFileRegistry(file, () => undefined).getMessage('Trace');
  assert.ok(trace);
  return trace;
}

interface Annotation extends Readonly<Record<string, unknown>> {
  readonly nameIid?: string;
}

interface Packet {
  readonly timestamp?: string;
  readonly trustedPacketSequenceId?: number;
  readonly sequenceFlags?: number;
  readonly trackDescriptor?: { readonly uuid: string; readonly name: string; readonly parentUuid?: string };
  readonly internedData?: Readonly<Record<string, readonly { readonly iid: string; readonly name: string }[]>>;
  readonly trackEvent?: {
    readonly type: number;
    readonly trackUuid: string;
    readonly categoryIids?: readonly string[];
    readonly nameIid?: string;
    readonly debugAnnotations?: readonly Annotation[];
    readonly flowIds?: readonly string[];
    readonly terminatingFlowIds?: readonly string[];
  };
}

function decode(bytes: Uint8Array): readonly Packet[] {
  const trace = schema();
  const message = fromBinary(trace, bytes, { readUnknownFields: true });
  assert.equal(message.$unknown, undefined);
  return (toJson(trace, message) as unknown as { packet: readonly Packet[] }).packet;
}

describe('a trace as Perfetto reads it', () => {
  const recording = record(5, 'dma');
  const { recorder } = recording;
  const flow = recorder.flow();
  recorder.track('gaudi0', 'DMA0_QM', 'PQ0').instant('doorbell', 'DMA0_QM.PQ_PI[0]', { value: 1 }, flow);
  const told = recordAll(recording, recorder.track('gaudi0', 'DMA0_QM', 'CP0'));
  recorder.track('gaudi0', 'host').instant('interrupt', undefined, { vector: 0 }, flow);
  recorder.close();
  const packets = decode(recording.bytes());

  it('has all its packets on one sequence, of which the first begins the names', () => {
    assert.ok(packets.every((packet) => packet.trustedPacketSequenceId === 5));
    assert.equal(packets[0]?.sequenceFlags, 1);
    assert.ok(packets.slice(1).every(({ sequenceFlags = 0 }) => (sequenceFlags & 1) === 0));
  });

  it('describes every track before it is used, after the one above it', () => {
    const known = new Map<string, string>();
    for (const { trackDescriptor, trackEvent } of packets) {
      if (trackDescriptor) {
        const { uuid, name, parentUuid } = trackDescriptor;
        assert.ok(parentUuid === undefined || known.has(parentUuid));
        known.set(uuid, parentUuid === undefined ? name : `${known.get(parentUuid)}/${name}`);
      }
      if (trackEvent) assert.ok(known.has(trackEvent.trackUuid));
    }
    assert.deepEqual(
      [...known.values()],
      [
        'dma',
        'dma/gaudi0',
        'dma/gaudi0/DMA0_QM',
        'dma/gaudi0/DMA0_QM/PQ0',
        'dma/gaudi0/DMA0_QM/CP0',
        'dma/gaudi0/host',
      ],
    );
  });

  it('has names before their use, and values that are what was told', () => {
    const names = new Map<string, string>();
    const events: { category: string | undefined; name: string | undefined; fields: Record<string, unknown> }[] = [];
    for (const { internedData = {}, trackEvent } of packets) {
      for (const [table, entries] of Object.entries(internedData)) {
        for (const { iid, name } of entries) names.set(`${table} ${iid}`, name);
      }
      if (!trackEvent) continue;
      const fields = trackEvent.type === 2 ? (events.at(-1)?.fields ?? {}) : {};
      for (const { nameIid, ...value } of trackEvent.debugAnnotations ?? []) {
        const name = names.get(`debugAnnotationNames ${nameIid}`);
        assert.ok(name, 'a field has a name');
        const [[type, content] = ['', '']] = Object.entries(value);
        fields[name] = type === 'stringValueIid' ? names.get(`debugAnnotationStringValues ${content}`) : content;
      }
      if (trackEvent.type === 2) continue;
      const category = names.get(`eventCategories ${trackEvent.categoryIids?.[0]}`);
      events.push({ category, name: names.get(`eventNames ${trackEvent.nameIid}`), fields });
    }
    assert.deepEqual(
      events.slice(1, -1).map(({ category }) => category),
      told.map(({ kind }) => kind),
    );
    const text = (value: unknown) => (value instanceof Uint8Array ? value.toHex() : value);
    events.slice(1, -1).forEach(({ fields }, i) => {
      const expected = Object.entries(told[i]?.fields ?? {}).map(([name, value]) => {
        const said = text(value);
        // JSON has 64-bit numbers as text
        return [
          name,
          typeof said === 'bigint' || (typeof said === 'number' && Number.isInteger(said)) ? String(said) : said,
        ];
      });
      assert.deepEqual(fields, Object.fromEntries(expected));
    });
  });

  it('joins what belongs together by a flow', () => {
    const flows = packets.flatMap(({ trackEvent }) => trackEvent?.flowIds ?? []);
    assert.equal(flows.length, 2);
    assert.equal(flows[0], flows[1]);
  });

  it('has times in nanoseconds, and as many events as our own reader finds', () => {
    const reader = new TraceReader();
    reader.append(recording.bytes());
    const begun = packets.filter(({ trackEvent }) => trackEvent && trackEvent.type !== 2);
    assert.deepEqual(
      begun.map(({ timestamp = '0' }) => Number(timestamp)),
      [...reader.columns().start],
    );
  });
});
