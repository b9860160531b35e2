import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { engineName, queueNames, queueRow } from '../../src/uapi/habanalabs/gaudi.ts';
import { ioctls, structs } from '../../src/uapi/habanalabs/index.ts';
import { hl_info_hw_ip_info } from '../../src/uapi/habanalabs/info-results.ts';
import { hl_mem_args, hl_mem_in } from '../../src/uapi/habanalabs/memory.ts';
import { describeFlags, iowr } from '../../src/uapi/rows.ts';
import { array, bytes, type Field, overlay, s32, s64, struct, text, u8, u16, u32, u64 } from '../../src/uapi/struct.ts';
import { seed } from '../seed.ts';

const sample = struct('sample', 'For tests.', {
  a: u8(),
  b: u64(),
  c: array(u16(), 3),
  $u: overlay({ d: u32(), e: s32() }),
  f: text(4),
});

test('a value that does not fit is refused with its place', () => {
  assert.throws(() => sample.encode({ a: 256 }), /^RangeError: sample\.a: 256 is no __u8$/);
  assert.throws(() => sample.encode({ a: 1.5 }), /sample\.a: 1\.5 is no __u8/);
  assert.throws(() => sample.encode({ b: -1n }), /sample\.b: -1 is no __u64/);
  assert.throws(() => sample.encode({ b: 2 ** 53 }), /sample\.b: 9007199254740992 is no __u64/);
  assert.throws(() => sample.encode({ c: [1, 2, 65536] }), /sample\.c\[2\]: 65536 is no __u16/);
  assert.throws(() => sample.encode({ c: [1, 2, 3, 4] }), /sample\.c: 4 elements is no __u16\[3\]/);
  assert.throws(() => sample.encode({ f: 'abcde' }), /sample\.f: 5 bytes is no __u8\[4\]/);
});

test('unknown members and two views of the same bytes are refused', () => {
  assert.throws(() => sample.encode({ z: 1 } as never), /^RangeError: sample: no member z$/);
  assert.throws(() => sample.encode({ d: 1, e: 1 }), /^RangeError: sample: d and e are the same bytes$/);
  assert.throws(
    () => hl_mem_in.encode({ map_host: { mem_size: 1 }, unmap: { device_virt_addr: 1 } }),
    /hl_mem_in: map_host and unmap are the same bytes/,
  );
  assert.throws(() => hl_mem_args.encode({ in: {}, out: {} }), /hl_mem_args: in and out are the same bytes/);
});

test('too few bytes are not decoded', () => {
  assert.throws(() => sample.decode(new Uint8Array(sample.size - 1)), RangeError);
  assert.throws(() => sample.decode(new Uint8Array(sample.size), 1), RangeError);
  assert.throws(() => sample.decode(new Uint8Array(sample.size), -1), RangeError);
});

test('layout and bytes are those of C', () => {
  assert.equal(sample.size, 32);
  const raw = sample.encode({ a: 1, b: 0x1122334455667788n, c: [2, 3], e: -1, f: 'ok' });
  const hex = Buffer.from(raw).toString('hex');
  assert.equal(hex, '0100000000000000887766554433221102000300000000 00ffffffff6f6b0000'.replace(' ', ''));
  const back = sample.decode(raw);
  assert.deepEqual(back, { a: 1, b: 0x1122334455667788n, c: [2, 3, 0], d: 0xffffffff, e: -1, f: 'ok' });
});

test('members left out become zero, also where old bytes were', () => {
  const target = new Uint8Array(40).fill(0xaa);
  sample.encodeInto(target, 4, { a: 7 });
  assert.deepEqual([...target.subarray(0, 6)], [0xaa, 0xaa, 0xaa, 0xaa, 7, 0]);
  assert.ok(target.subarray(5, 36).every((byte) => byte === 0));
  assert.equal(target[36], 0xaa);
});

test('a struct can be read from the middle of a buffer that is itself a view', () => {
  const whole = new Uint8Array(200);
  const part = whole.subarray(3, 100);
  sample.encodeInto(part, 5, { b: 9n, f: 'x' });
  assert.equal(sample.decode(part, 5).b, 9n);
  assert.equal(whole[3 + 5 + 8], 9);
});

/** Values of any member, as what they decode to. */
function arbitrary(field: Field<unknown, never>): fc.Arbitrary<unknown> {
  if (field.members) throw new Error('nested');
  const length = Number(/\[(\d+)\]$/.exec(field.type)?.[1] ?? 0);
  if (field.type === `__u8[${length}]`) return fc.uint8Array({ minLength: length, maxLength: length });
  if (field.signed === undefined) return fc.constant(undefined);
  if (field.size === 8)
    return field.signed ? fc.bigInt(-(1n << 63n), (1n << 63n) - 1n) : fc.bigInt(0n, (1n << 64n) - 1n);
  const bits = field.size * 8;
  return field.signed
    ? fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 })
    : fc.integer({ min: 0, max: 2 ** bits - 1 });
}

test('every member of every struct keeps every value it can have, and touches no other byte', () => {
  for (const row of structs) {
    for (const member of row.members) {
      if (member.anonymous || member.field.members || member.field.size === 0) continue;
      const isText = row === (hl_info_hw_ip_info as unknown) && /version|name/.test(member.name);
      if (isText) continue;
      fc.assert(
        fc.property(arbitrary(member.field), (value) => {
          if (value === undefined) return;
          const raw = row.encode({ [member.name]: value } as never);
          const back = row.decode(raw) as Record<string, unknown>;
          assert.deepEqual(back[member.name], value);
          raw.fill(0, member.offset, member.offset + member.field.size);
          assert.ok(raw.every((byte) => byte === 0));
        }),
        { seed: seed(), numRuns: 20 },
      );
    }
  }
});

test('any bytes decode, and what is decoded from a struct without unions encodes to the same bytes', () => {
  const plain = struct('plain', '', { a: u32(), b: s64(), c: bytes(5), d: array(u64(), 2) });
  fc.assert(
    fc.property(fc.uint8Array({ minLength: plain.size, maxLength: plain.size }), (raw) => {
      raw.fill(0, 4, 8);
      raw.fill(0, 21, 24);
      assert.deepEqual(plain.encode(plain.decode(raw)), raw);
    }),
    { seed: seed() },
  );
  fc.assert(
    fc.property(fc.constantFrom(...structs), fc.infiniteStream(fc.integer({ min: 0, max: 255 })), (row, stream) => {
      const raw = Uint8Array.from({ length: row.size }, () => Number(stream.next().value));
      row.decode(raw);
    }),
    { seed: seed() },
  );
});

test('request numbers are those of Linux 6.12', () => {
  assert.deepEqual(
    ioctls.map((row) => row.request.toString(16)),
    ['c0186440', 'c0186441', 'c0306442', 'c0386443', 'c0286444', 'c0286445'],
  );
  assert.equal(iowr('d', 0x40, 24), 0xc0186440);
});

test('queues of Gaudi1: eight external ones, the firmware’s, and the rest internal', () => {
  const kinds = queueNames.map((name) => queueRow(name).kind);
  assert.equal(kinds.length, 113);
  assert.deepEqual([...new Set(kinds.slice(0, 8))], ['external']);
  assert.equal(kinds[8], 'cpu');
  assert.deepEqual([...new Set(kinds.slice(9))], ['internal']);
  queueNames.forEach((name, i) => {
    assert.equal(queueRow(name).value, i);
  });
  assert.equal(engineName(12), 'TPC_0');
  assert.equal(engineName(99), 'engine 99');
});

test('flags are named, and what has no name is shown as a number', () => {
  const rows = { A: { value: 1, doc: '' }, B: { value: 0x80000000, doc: '' } };
  assert.equal(describeFlags(rows, 0), '0');
  assert.equal(describeFlags(rows, 0x80000005), 'A|B|0x4');
});
