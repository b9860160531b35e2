/** Hostile calls of the verbs interface: attributes as their rows want them, mostly. */

import fc from 'fast-check';
import { commands, extendedCommands } from '../../../src/uapi/rdma/commands.ts';
import { type Attribute, objects } from '../../../src/uapi/rdma/ioctl.ts';
import { methods } from '../../../src/uapi/rdma/methods.ts';
import type { RawAttribute, RawVerbs } from './raw.ts';

const PAGE = 4096;

/** A call of anything. @param address of memory of the program, of `size` bytes */
export function hostileCall(address: bigint, size: number): fc.Arbitrary<(verbs: RawVerbs) => void> {
  const small = fc.constantFrom(0n, 0n, 1n, 1n, 2n, 3n, 4n, 5n, 7n, 9n);
  const value = fc.oneof(
    { weight: 24, arbitrary: small },
    {
      weight: 3,
      arbitrary: fc.constantFrom(address, address + 8n, address + BigInt(size - 4)),
    },
    {
      weight: 2,
      arbitrary: fc.constantFrom(0xffff_ffffn, 1n << 63n, (1n << 64n) - 1n, 4096n, 0x8000_0000n, 16n, 0xffn),
    },
    { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }) },
  );
  /** Bytes of a struct: mostly small numbers in words. */
  const content = (length: number) =>
    fc
      .array(
        fc.oneof(
          { weight: 12, arbitrary: fc.constant(0) },
          { weight: 6, arbitrary: fc.integer({ min: 0, max: 32 }) },
          fc.constantFrom(64, 256, 1024, 0xff, 0xffff_ffff),
        ),
        {
          minLength: Math.ceil(length / 4),
          maxLength: Math.ceil(length / 4),
        },
      )
      .map((words) => new Uint8Array(Uint32Array.from(words).buffer).slice(0, length));

  /** An attribute as its row wants it, mostly. */
  const attribute = (row: Attribute): fc.Arbitrary<RawAttribute> => {
    const { id, type, least } = row;
    if (type === 'out') {
      const rooms = fc.constantFrom(...Array<number>(12).fill(least), least + 8, Math.max(0, least - 1), 64);
      return fc.oneof(
        { weight: 30, arbitrary: rooms.map((room): RawAttribute => ({ id, room })) },
        { weight: 1, arbitrary: fc.tuple(rooms, value).map(([room, at]): RawAttribute => ({ id, room, at })) },
      );
    }
    if (type !== 'in') return value.map((data): RawAttribute => ({ id, value: data, length: 0 }));
    if (least > 8 || row.most > 8) {
      return fc
        .oneof(fc.constantFrom(least, least, 8, 16, 24), fc.nat({ max: 64 }))
        .chain((length) => content(length).map((bytes): RawAttribute => ({ id, bytes })));
    }
    return fc
      .tuple(value, fc.constantFrom(...Array<number>(12).fill(least), 4, 8))
      .map(([data, length]) => ({ id, value: data, length }));
  };

  const rows = Object.values(methods);
  const methodCall = fc.constantFrom(...rows).chain(({ object, id, attributes }) =>
    fc
      .tuple(
        ...(Object.values(attributes) as Attribute[]).map((row) =>
          fc.option(attribute(row), { nil: undefined, freq: row.mandatory ? 60 : 1 }),
        ),
      )
      .map((given) => (verbs: RawVerbs) => {
        verbs.raw(
          objects[object].value,
          id,
          given.filter((one): one is RawAttribute => one !== undefined),
        );
      }),
  );
  const commandCall = fc
    .constantFrom(...Object.entries({ ...commands, ...extendedCommands }))
    .chain(([name, { request, value: number }]) =>
      fc.record({
        number: fc.constant(number + (name in extendedCommands ? 0x8000_0000 : 0)),
        bytes: content(request.size),
        patch: fc.array(fc.tuple(fc.nat({ max: Math.max(0, request.size / 8 - 1) }), value), { maxLength: 3 }),
        driver: fc.constantFrom(undefined, 0, 8, 16, 24),
        out: fc.constantFrom(undefined, 8, 24, 256),
      }),
    )
    .map(({ number, bytes, patch, driver: told, out }) => (verbs: RawVerbs) => {
      const view = new DataView(bytes.buffer);
      for (const [at, word] of patch) if (8 * at + 8 <= bytes.length) view.setBigUint64(8 * at, word, true);
      verbs.raw(0, 0, [
        { id: 2, value: number, length: 8 },
        { id: 0, bytes },
        { id: 1, room: 256 },
        ...(told === undefined ? [] : [{ id: 0x1000, bytes: new Uint8Array(told) }]),
        ...(out === undefined ? [] : [{ id: 0x1001, room: out }]),
      ]);
    });
  const mapCall = fc
    .tuple(fc.nat({ max: 12 }), fc.constantFrom(1, 2, 4), fc.constantFrom(0, 0, 1))
    .map(([page, pages, odd]) => (verbs: RawVerbs) => {
      const { driver } = verbs;
      const mapping = driver.mmap(verbs.fd, pages * PAGE, 3, BigInt(page * PAGE + odd));
      driver.store32(mapping, 0, 0x8000_0001);
      mapping.unmap();
    });
  const noise = fc.uint8Array({ minLength: 0, maxLength: 80 }).map((bytes) => (verbs: RawVerbs) => {
    verbs.raw(0, 0, [], {}, () => bytes);
  });
  return fc.oneof(
    { weight: 5, arbitrary: methodCall },
    { weight: 5, arbitrary: commandCall },
    { weight: 2, arbitrary: mapCall },
    { weight: 1, arbitrary: noise },
  );
}
