/** Random legal packets, from the rows. */

import fc from 'fast-check';
import type { AnyPacketSet } from '../../src/isa/packet-codec.ts';
import type { FieldRow } from '../../src/isa/packets.ts';

export interface RandomPacket {
  readonly name: string;
  readonly fields: Readonly<Record<string, number | bigint | Uint32Array>>;
}

/** One packet of any kind with any legal value in every field; extremes are as likely as anything else. */
export function randomPacket(set: AnyPacketSet): fc.Arbitrary<RandomPacket> {
  return fc
    .constantFrom(...Object.keys(set.rows))
    .chain((name) => randomFields(set, name).map((fields) => ({ name, fields })));
}

export function randomFields(set: AnyPacketSet, name: string): fc.Arbitrary<RandomPacket['fields']> {
  const { fields } = set.rows[name] as AnyPacketSet['rows'][string];
  const parts: Record<string, fc.Arbitrary<number | bigint | Uint32Array>> = {};
  for (const [field, row] of Object.entries(fields)) {
    if (row.kind === 'payload') {
      parts[field] = fc
        .array(fc.tuple(...Array.from({ length: row.unit }, () => fc.integer({ min: 0, max: 0xffff_ffff }))), {
          maxLength: 12,
        })
        .map((units) => Uint32Array.from(units.flat()));
    } else parts[field] = randomValue(row);
  }
  return fc.record(parts).map((values) => {
    const result: Record<string, number | bigint | Uint32Array> = { ...values };
    for (const row of Object.values(fields)) {
      if (row.kind !== 'payload') continue;
      const payload = Object.values(values).find((value) => value instanceof Uint32Array);
      result[row.count] = (payload?.length ?? 0) / row.unit;
    }
    return result;
  });
}

function randomValue(row: FieldRow): fc.Arbitrary<number | bigint> {
  const width = row.hi - row.lo + 1;
  const max = (1n << BigInt(width)) - 1n;
  const value = fc.oneof(fc.bigInt({ min: 0n, max }), fc.constantFrom(0n, max, 1n << BigInt(width - 1)));
  return width > 32 ? value : value.map(Number);
}
