/** Reads what an event says of itself: Perfetto's debug annotations. */

import { type FieldRow, traceEvents } from './events.ts';
import { ANNOTATION, WIRE } from './format.ts';
import type { TraceValue } from './reader.ts';
import type { Wire } from './wire.ts';

/** What numbers stand for names. */
export interface AnnotationNames {
  readonly annotations: ReadonlyMap<number, string>;
  readonly strings: ReadonlyMap<number, string>;
}

/** Fields that hold raw bytes, by category. */
const rawFields: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries(traceEvents).map(([key, row]) => [
    key,
    Object.entries<FieldRow>({ ...row.fields, ...row.results }).flatMap(([name, { kind }]) =>
      kind === 'bytes' ? [name] : [],
    ),
  ]),
);

/** Reads an annotation, which ends where the wire does, into `into`. @throws Damaged */
export function readAnnotation(wire: Wire, names: AnnotationNames, into: Record<string, TraceValue>): void {
  let name: string | undefined;
  let value: TraceValue | undefined;
  while (wire.at < wire.end) {
    const key = wire.varint();
    switch (key) {
      case (ANNOTATION.nameIid << 3) | WIRE.varint:
        name = names.annotations.get(wire.varint());
        break;
      case (ANNOTATION.name << 3) | WIRE.length:
        name = wire.string();
        break;
      case (ANNOTATION.bool << 3) | WIRE.varint:
        value = wire.varint() !== 0;
        break;
      case (ANNOTATION.uint << 3) | WIRE.varint:
      case (ANNOTATION.pointer << 3) | WIRE.varint:
        value = small(wire.varint64());
        break;
      case (ANNOTATION.int << 3) | WIRE.varint:
        value = small(BigInt.asIntN(64, wire.varint64()));
        break;
      case (ANNOTATION.double << 3) | WIRE.fixed64:
        value = wire.double();
        break;
      case (ANNOTATION.string << 3) | WIRE.length:
        value = wire.string();
        break;
      case (ANNOTATION.stringIid << 3) | WIRE.varint:
        value = names.strings.get(wire.varint()) ?? '';
        break;
      default:
        wire.skip(key & 7);
    }
  }
  // a name that a file chose must not be one that objects have
  if (name !== undefined && value !== undefined) {
    Object.defineProperty(into, name, { value, enumerable: true, configurable: true, writable: true });
  }
}

/** A number where it is one exactly. */
function small(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** What is no digit counts as 0. */
function fromHex(digits: string): Uint8Array {
  const bytes = new Uint8Array(digits.length >>> 1);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** Makes bytes of the fields that are bytes in a category, and digits in the file. */
export function readRawFields(category: string, fields: Record<string, TraceValue>): void {
  for (const name of rawFields.get(category) ?? []) {
    const digits = fields[name];
    if (typeof digits === 'string') fields[name] = fromHex(digits);
  }
}
