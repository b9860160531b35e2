import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Region } from '../../src/pci/function.ts';
import { composeRegion, memoryRegion, type RegisterHandler, registerRegion } from '../../src/pci/register-region.ts';
import { ErrorLog, ModelError } from '../../src/sim/errors.ts';
import { ArrayMemory } from '../../src/sim/memory.ts';
import { peek, poke } from './helpers.ts';

const seed = 0x4e61;

/** Plain words, with a count of the reads that the bus made. */
function words(count: number, extra: Partial<RegisterHandler> = {}) {
  const stored = new Uint32Array(count);
  const bus = { reads: 0, writes: [] as number[][] };
  const handler: RegisterHandler = {
    read32(offset) {
      bus.reads++;
      return stored[offset / 4] as number;
    },
    write32(offset, value) {
      bus.writes.push([offset, value]);
      stored[offset / 4] = value;
    },
    ...extra,
  };
  return { stored, bus, handler };
}

test('a narrow write to registers that take none is refused, recorded, and changes nothing', () => {
  const errors = new ErrorLog();
  const w = words(4);
  const region = registerRegion('BLOCK', 16, w.handler, errors);
  poke(region, 5, 1, 0xff);
  poke(region, 6, 2, 0xffff);
  assert.deepEqual([...w.stored], [0, 0, 0, 0]);
  assert.deepEqual(
    errors.entries().map((e) => [e.category, e.where, e.count]),
    [['unsupported', 'BLOCK+0x4', 2]],
  );
});

test('an error of a register is recorded; the read gives ones, the write is lost, the rest of the access goes on', () => {
  const errors = new ErrorLog();
  const w = words(4);
  const refuse = (offset: number) => {
    if (offset === 4) throw new ModelError('unimplemented', 'BLOCK.X', 'not there');
  };
  const region = registerRegion(
    'BLOCK',
    16,
    {
      read32(offset) {
        refuse(offset);
        return 0x1111_1111;
      },
      write32(offset, value) {
        refuse(offset);
        w.handler.write32(offset, value);
      },
    },
    errors,
  );
  assert.equal(peek(region, 4, 4), 0xffff_ffff);
  const twelve = new Uint8Array(12);
  region.read(0, twelve);
  assert.deepEqual([...new Uint32Array(twelve.buffer)], [0x1111_1111, 0xffff_ffff, 0x1111_1111]);
  region.write(0, new Uint8Array(12).fill(7));
  assert.deepEqual([...w.stored], [0x0707_0707, 0, 0x0707_0707, 0]);
  assert.equal(errors.entries()[0]?.count, 3);
});

test('an error that is no ModelError is a defect and is not swallowed', () => {
  const region = registerRegion(
    'BLOCK',
    4,
    {
      read32() {
        throw new TypeError('defect');
      },
      write32() {
        throw new TypeError('defect');
      },
    },
    new ErrorLog(),
  );
  assert.throws(() => peek(region, 0, 4), TypeError);
  assert.throws(() => poke(region, 0, 4, 0), TypeError);
});

test('a narrow write changes the stored word without reading from the bus', () => {
  const w = words(2);
  const region = registerRegion('B', 8, { ...w.handler, stored32: (o) => w.stored[o / 4] as number }, new ErrorLog());
  poke(region, 4, 4, 0x8877_6655);
  poke(region, 5, 1, 0xaa);
  poke(region, 6, 2, 0xccbb);
  assert.deepEqual(w.bus.writes.slice(1), [
    [4, 0x8877_aa55],
    [4, 0xccbb_aa55],
  ]);
  assert.equal(w.bus.reads, 0);
});

test('a device with byte enables gets them', () => {
  const lanes: number[][] = [];
  const w = words(2, { writeLanes: (...args) => lanes.push(args) });
  const region = registerRegion('B', 8, w.handler, new ErrorLog());
  poke(region, 3, 1, 0xee);
  region.write(2, Uint8Array.of(1, 2, 3, 4, 5, 6));
  assert.deepEqual(lanes, [
    [0, 0xee00_0000, 0xff00_0000],
    [0, 0x0201_0000, 0xffff_0000],
  ]);
  assert.deepEqual(w.bus.writes, [[4, 0x0605_0403]]);
});

test('an access of eight bytes is two of four, the lower first', () => {
  const w = words(4);
  const region = registerRegion('B', 16, w.handler, new ErrorLog());
  region.write(8, Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0x80));
  assert.deepEqual(w.bus.writes, [
    [8, 1],
    [12, 0x8000_0002],
  ]);
  assert.equal(peek(region, 12, 4), 0x8000_0002);
});

function check(region: Region, model: Uint8Array) {
  const access = fc
    .record({ offset: fc.nat(model.length - 1), length: fc.integer({ min: 1, max: 20 }), write: fc.boolean() })
    .map((a) => ({ ...a, length: Math.min(a.length, model.length - a.offset) }));
  fc.assert(
    fc.property(fc.array(access, { maxLength: 30 }), fc.infiniteStream(fc.nat(255)), (accesses, bytes) => {
      for (const { offset, length, write } of accesses) {
        if (write) {
          const source = Uint8Array.from({ length }, () => bytes.next().value as number);
          region.write(offset, source);
          model.set(source, offset);
        } else {
          const target = new Uint8Array(length);
          region.read(offset, target);
          assert.deepEqual(target, model.slice(offset, offset + length));
        }
      }
    }),
    { seed, numRuns: 300 },
  );
}

test('registers read and written with any width and alignment behave as bytes', () => {
  const stored = words(16);
  check(
    registerRegion('B', 64, { ...stored.handler, stored32: (o) => stored.stored[o / 4] as number }, new ErrorLog()),
    new Uint8Array(64),
  );
  const w = words(16);
  const writeLanes = (offset: number, value: number, lanes: number) => {
    w.stored[offset / 4] = ((w.stored[offset / 4] as number) & ~lanes) | value;
  };
  check(registerRegion('B', 64, { ...w.handler, writeLanes }, new ErrorLog()), new Uint8Array(64));
});

test('memory and pieces of memory and registers behave as bytes, across their borders too', () => {
  const memory = new ArrayMemory(256);
  check(memoryRegion(memory, { offset: 64, size: 128, mappable: false }), new Uint8Array(128));
  assert.deepEqual(memory.bytes.slice(0, 64), new Uint8Array(64), 'nothing outside the window is touched');
  assert.deepEqual(memory.bytes.slice(192), new Uint8Array(64));
  const w = words(8);
  check(
    composeRegion([
      { offset: 0, region: memoryRegion(new ArrayMemory(24), { mappable: false }) },
      {
        offset: 24,
        region: registerRegion('B', 32, { ...w.handler, stored32: (o) => w.stored[o / 4] as number }, new ErrorLog()),
      },
      { offset: 56, region: memoryRegion(new ArrayMemory(12), { mappable: false }) },
    ]),
    new Uint8Array(68),
  );
});

test('a region outside its memory, or with a hole, is refused', () => {
  const memory = new ArrayMemory(64);
  assert.throws(() => memoryRegion(memory, { offset: 32, size: 64, mappable: false }), RangeError);
  assert.throws(() => memoryRegion(memory, { offset: 64, mappable: false }), RangeError);
  const region = memoryRegion(memory, { mappable: false });
  assert.throws(() => composeRegion([]), RangeError);
  assert.throws(() => composeRegion([{ offset: 4, region }]), RangeError);
  assert.throws(
    () =>
      composeRegion([
        { offset: 0, region },
        { offset: 32, region },
      ]),
    RangeError,
  );
});

test('what a host may map: memory pieces, where they lie in the whole', () => {
  const low = new ArrayMemory(8192);
  const high = new ArrayMemory(12288);
  const registers = registerRegion('B', 4096, words(1024).handler, new ErrorLog());
  const pieces = [
    { offset: 0, region: memoryRegion(low, { mappable: true }) },
    { offset: 8192, region: registers },
    { offset: 12288, region: memoryRegion(high, { offset: 4096, mappable: true }) },
  ];
  assert.deepEqual(
    composeRegion(pieces).mappable.map((m) => [m.offset, m.size, m.memory === low, m.memoryOffset]),
    [
      [0, 8192, true, 0],
      [12288, 8192, false, 4096],
    ],
  );
  assert.deepEqual(composeRegion(pieces, false).mappable, []);
  const unaligned = composeRegion([
    { offset: 0, region: memoryRegion(new ArrayMemory(16), { mappable: false }) },
    { offset: 16, region: memoryRegion(low, { mappable: true }) },
  ]);
  assert.deepEqual(unaligned.mappable, [], 'what is not page-aligned cannot be mapped');
});
