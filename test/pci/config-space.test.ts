import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { accessControl } from '../../src/pci/capabilities.ts';
import { activeRegister, ConfigBlock, ConfigSpace, register } from '../../src/pci/config-space.ts';
import type { Bar } from '../../src/pci/function.ts';
import { type1Header } from '../../src/pci/header.ts';
import {
  enable,
  findCapability,
  findExtendedCapability,
  HostMemory,
  ids,
  peek,
  poke,
  testFunction,
} from './helpers.ts';

const seed = 0x5a67;

function fn(more: Parameters<typeof testFunction>[1] = {}) {
  return testFunction(new HostMemory(4096), more);
}

/** A region of any size that holds nothing. */
function region(size: number): Bar['region'] {
  return { size, mappable: [], read() {}, write() {} };
}

test('read-only registers ignore every write', () => {
  const { config } = fn().endpoint;
  const before = new Uint8Array(4096);
  config.read(0, before);
  for (const offset of [0x00, 0x02, 0x08, 0x0a, 0x0d, 0x0e, 0x2c, 0x2e, 0x34, 0x3d]) poke(config, offset, 1, 0xff);
  poke(config, 0x00, 4, 0xffff_ffff);
  const after = new Uint8Array(4096);
  config.read(0, after);
  assert.deepEqual(after, before);
  assert.equal(peek(config, 0, 4), 0x5678_1234);
  assert.equal(peek(config, 8, 4), 0x1200_0001);
});

test('space that no register covers reads zero and ignores writes', () => {
  const { config } = fn().endpoint;
  poke(config, 0xe00, 4, 0xffff_ffff);
  assert.equal(peek(config, 0xe00, 4), 0);
});

test('status errors clear by writing one and only then', () => {
  const f = fn();
  const { config } = f.endpoint;
  enable(f.endpoint, 0x1_0000_0000);
  f.dma().read(0x10_0000, new Uint8Array(4), () => {});
  assert.equal(peek(config, 6, 2) & 0x2000, 0x2000, 'a read without an answer is a received master abort');
  poke(config, 6, 2, 0xdfff);
  assert.equal(peek(config, 6, 2) & 0x2000, 0x2000);
  poke(config, 7, 1, 0x20);
  assert.equal(peek(config, 6, 2) & 0x2000, 0);
});

test('a write of command does not touch status beside it', () => {
  const f = fn();
  enable(f.endpoint, 0x1_0000_0000);
  f.dma().read(0x10_0000, new Uint8Array(4), () => {});
  poke(f.endpoint.config, 4, 2, 0xffff);
  assert.equal(peek(f.endpoint.config, 6, 2) & 0x2000, 0x2000);
});

test('the command register keeps only bits that the function has', () => {
  const { config } = fn().endpoint;
  poke(config, 4, 2, 0xffff);
  assert.equal(peek(config, 4, 2), 0x0546, 'memory, master, parity, SERR, INTx disable; no I/O without an I/O BAR');
});

for (const [what, bar, low, high] of [
  ['32-bit memory of 16 bytes', { kind: 'memory32', prefetchable: false, size: 16 }, 0xffff_fff0, 0],
  ['32-bit prefetchable memory of 64 KiB', { kind: 'memory32', prefetchable: true, size: 0x1_0000 }, 0xffff_0008, 0],
  ['32-bit memory of 2 GiB', { kind: 'memory32', prefetchable: false, size: 2 ** 31 }, 0x8000_0000, 0],
  ['64-bit memory of 1 MiB', { kind: 'memory64', prefetchable: false, size: 2 ** 20 }, 0xfff0_0004, 0xffff_ffff],
  ['64-bit memory of 4 GiB', { kind: 'memory64', prefetchable: true, size: 2 ** 32 }, 0x0000_000c, 0xffff_ffff],
  ['64-bit memory of 32 GiB', { kind: 'memory64', prefetchable: true, size: 2 ** 35 }, 0x0000_000c, 0xffff_fff8],
  ['I/O of 32 bytes', { kind: 'io', prefetchable: false, size: 32 }, 0xffff_ffe1, 0],
] as const) {
  test(`BAR sizing: ${what}`, () => {
    const { config } = fn({
      bars: [{ index: 2, kind: bar.kind, prefetchable: bar.prefetchable, region: region(bar.size) }],
    }).endpoint;
    poke(config, 0x18, 4, 0xffff_ffff);
    poke(config, 0x1c, 4, 0xffff_ffff);
    assert.equal(peek(config, 0x18, 4), low);
    assert.equal(peek(config, 0x1c, 4), high);
    for (const absent of [0x10, 0x14, 0x20, 0x24, 0x30]) {
      poke(config, absent, 4, 0xffff_ffff);
      assert.equal(peek(config, absent, 4), 0);
    }
  });
}

test('a BAR of an impossible size or place is refused', () => {
  const bar = (index: number, kind: Bar['kind'], size: number): Bar =>
    ({ index, kind, prefetchable: false, region: region(size) }) as Bar;
  assert.throws(() => fn({ bars: [bar(0, 'memory32', 3000)] }), /BAR0/);
  assert.throws(() => fn({ bars: [bar(0, 'memory32', 8)] }), /BAR0/);
  assert.throws(() => fn({ bars: [bar(0, 'memory32', 2 ** 32)] }), /BAR0/);
  assert.throws(() => fn({ bars: [bar(0, 'io', 512)] }), /BAR0/);
  assert.throws(() => fn({ bars: [bar(5, 'memory64', 4096)] }), /BAR6/);
  assert.throws(() => fn({ bars: [bar(0, 'memory64', 4096), bar(1, 'memory32', 4096)] }), /BAR1/);
});

test('a BAR decodes only while memory is enabled, and where its two halves say', () => {
  const { endpoint } = fn();
  assert.equal(endpoint.barAddress(0), undefined);
  enable(endpoint, 0xd0_0000_0000);
  assert.equal(endpoint.barAddress(0), 0xd0_0000_0000);
  poke(endpoint.config, 0x14, 1, 0xd1);
  assert.equal(endpoint.barAddress(0), 0xd1_0000_0000);
  poke(endpoint.config, 0x10, 4, 0x1234_5678);
  assert.equal(endpoint.barAddress(0), 0xd1_1234_0000, 'bits below the size are not address bits');
  poke(endpoint.config, 0x04, 1, 0x4);
  assert.equal(endpoint.barAddress(0), undefined);
  assert.equal(endpoint.barAddress(1), undefined, 'the upper half is no BAR');
  assert.equal(endpoint.barAddress(5), undefined);
});

test('a BAR being sized, or without a place, decodes nowhere', () => {
  const { endpoint } = fn();
  enable(endpoint, 0);
  assert.equal(endpoint.barAddress(0), undefined);
  poke(endpoint.config, 0x10, 4, 0xffff_ffff);
  poke(endpoint.config, 0x14, 4, 0xffff_ffff);
  assert.equal(endpoint.barAddress(0), undefined);
});

test('an I/O BAR follows the I/O enable', () => {
  const { endpoint } = fn({ bars: [{ index: 0, kind: 'io', prefetchable: false, region: region(64) }] });
  poke(endpoint.config, 0x10, 4, 0xc0c0);
  poke(endpoint.config, 0x04, 2, 0x2);
  assert.equal(endpoint.barAddress(0), undefined);
  poke(endpoint.config, 0x04, 2, 0x1);
  assert.equal(endpoint.barAddress(0), 0xc0c0);
});

test('a driver finds every capability in the lists', () => {
  const { config } = fn({ msi: { vectors: 32, maskable: true }, capabilities: [accessControl()] }).endpoint;
  assert.equal(findCapability(config, 0x01), 0x40, 'power management comes first');
  const express = findCapability(config, 0x10);
  assert.equal(peek(config, express + 2, 2), 0x0002, 'version 2, endpoint');
  assert.equal(peek(config, express + 4, 4) & 0x1000_0000, 0x1000_0000, 'function-level reset');
  assert.equal(peek(config, express + 0x12, 2), 0x0104, 'link status: 16 GT/s, 16 lanes');
  const message = findCapability(config, 0x05);
  assert.equal(peek(config, message + 2, 2), 0x018a, '32 vectors, 64-bit, maskable');
  assert.equal(findExtendedCapability(config, 0x0d), 0x100);
  assert.equal(findCapability(config, 0x11), 0);
});

test('without extended capabilities their list is empty, without any the status bit is clear', () => {
  const { config } = fn().endpoint;
  assert.equal(peek(config, 0x100, 4), 0);
  assert.equal(peek(config, 6, 2) & 0x10, 0x10);
  const header = type1Header(ids, 0, () => {});
  assert.equal(peek(new ConfigSpace({ header, capabilities: [] }), 6, 2) & 0x10, 0);
});

test('registers that overlap, or lie outside, are refused', () => {
  const block = (at: number, rows: ConstructorParameters<typeof ConfigBlock>[2], size = 8) => {
    const others = [{ at, block: new ConfigBlock('vendor', { size, source: 'test' }, rows, {}) }];
    return () => fn({ configRegisters: others });
  };
  assert.throws(block(0x40, { A: register(4, 0, '') }), /overlap/);
  assert.throws(block(0x1000, { A: register(4, 0, '') }), /outside/);
  assert.throws(() => new ConfigBlock('v', { size: 4, source: 'test' }, { A: register(2, 1, '') }, {}), /unaligned/);
  assert.doesNotThrow(block(0xff8, { A: register(2, 0, ''), B: register(1, 2, ''), C: register(4, 4, '') }));
});

test('a vendor register sees whole writes, the lanes the host enabled, and what it reads back is its own', () => {
  const calls: number[][] = [];
  const block = new ConfigBlock(
    'ELBI',
    { size: 8, source: 'test' },
    {
      ADDR: register(4, 0, 'storage', { rw: 0xffff_ffff }),
      CTRL: activeRegister(4, 4, 'active', { rw: 0xffff_ff00 }),
    },
    {
      CTRL: {
        read: (): number => 0x1111_0000 + block.get('ADDR'),
        written: (value, before, data) => calls.push([value, before, data]),
      },
    },
  );
  const { config } = fn({ configRegisters: [{ at: 0xff8, block }] }).endpoint;
  poke(config, 0xff8, 4, 0x42);
  assert.equal(peek(config, 0xffc, 4), 0x1111_0042);
  poke(config, 0xffc, 4, 0x8000_0001);
  poke(config, 0xffe, 1, 0xff);
  assert.deepEqual(calls, [
    [0x8000_0000, 0, 0x8000_0001],
    [0x80ff_0000, 0x8000_0000, 0x00ff_0000],
  ]);
  config.write(0xff7, Uint8Array.of(9, 1, 2, 3, 4, 5, 6, 7, 8));
  assert.equal(peek(config, 0xff8, 4), 0x0403_0201, 'an access across doublewords is one for each');
  assert.equal(calls.length, 3);
});

test('a register does nothing when only its neighbour in the doubleword is written', () => {
  const written: string[] = [];
  const body = (name: string) => ({ written: () => written.push(name) });
  const block = new ConfigBlock(
    'vendor',
    { size: 4, source: 'test' },
    { A: activeRegister(1, 0, '', { rw: 0xff }), B: activeRegister(1, 1, ''), C: activeRegister(2, 2, '') },
    { A: body('A'), B: body('B'), C: body('C') },
  );
  const { config } = fn({ configRegisters: [{ at: 0xf00, block }] }).endpoint;
  poke(config, 0xf01, 1, 0);
  poke(config, 0xf03, 1, 0);
  poke(config, 0xf00, 2, 0);
  assert.deepEqual(written, ['B', 'C', 'A', 'B']);
});

test('reset gives configuration space its first values back; a function-level one keeps the link control', () => {
  const f = fn({ msi: { vectors: 4, maskable: true } });
  const { config } = f.endpoint;
  const first = new Uint8Array(4096);
  config.read(0, first);
  const express = findCapability(config, 0x10);
  const mess = () => {
    for (let offset = 0; offset < 0x100; offset += 4) {
      if (offset !== express + 8) poke(config, offset, 4, 0xffff_ffff);
    }
    poke(config, express + 8, 2, 0x00a0);
  };
  mess();
  f.endpoint.reset('function-level');
  assert.equal(peek(config, express + 0x10, 2), 0x01cb, 'link control');
  assert.equal(peek(config, express + 0x08, 2), 0x2810 | 0x00a0, 'maximum payload size');
  assert.equal(peek(config, 0x04, 2), 0);
  mess();
  f.endpoint.reset('conventional');
  const last = new Uint8Array(4096);
  config.read(0, last);
  assert.deepEqual(last, first);
  assert.deepEqual(f.resets, ['function-level', 'conventional']);
});

test('a function in D3hot answers configuration requests only; D1 and D2 do not exist', () => {
  const { endpoint, resets } = fn();
  enable(endpoint, 0x1_0000_0000);
  const pm = findCapability(endpoint.config, 0x01);
  poke(endpoint.config, pm + 4, 2, 1);
  poke(endpoint.config, pm + 4, 2, 2);
  assert.equal(peek(endpoint.config, pm + 4, 2), 0x8);
  assert.equal(endpoint.barAddress(0), 0x1_0000_0000);
  poke(endpoint.config, pm + 4, 1, 3);
  assert.equal(endpoint.barAddress(0), undefined);
  assert.equal(endpoint.isMaster(), false);
  poke(endpoint.config, pm + 4, 1, 0);
  assert.equal(endpoint.barAddress(0), 0x1_0000_0000);
  assert.deepEqual(resets, []);
});

test('without No_Soft_Reset, leaving D3hot resets the function', () => {
  const { endpoint, resets } = fn({ power: { noSoftReset: false } });
  enable(endpoint, 0x1_0000_0000);
  const pm = findCapability(endpoint.config, 0x01);
  poke(endpoint.config, pm + 4, 2, 3);
  assert.deepEqual(resets, []);
  poke(endpoint.config, pm + 4, 2, 0);
  assert.deepEqual(resets, ['function-level']);
  assert.equal(peek(endpoint.config, 4, 2), 0);
});

test('however an access is cut into pieces, it reads and stores the same', () => {
  const range = fc.record({
    offset: fc.integer({ min: 0, max: 0x1ff }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 24 }),
  });
  fc.assert(
    fc.property(
      fc.array(range, { maxLength: 20 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 5 })),
      (writes, cuts) => {
        // Without registers that act on a write: their effects depend on how it is cut.
        const make = () => fn({ pcie: { linkSpeed: 1, linkWidth: 1, flr: false } }).endpoint.config;
        const whole = make();
        const pieces = make();
        for (const { offset, bytes } of writes) {
          whole.write(offset, bytes);
          for (let at = 0; at < bytes.length; ) {
            const n = Math.min(cuts.next().value as number, bytes.length - at);
            pieces.write(offset + at, bytes.subarray(at, at + n));
            at += n;
          }
        }
        const a = new Uint8Array(4096);
        const b = new Uint8Array(4096);
        whole.read(0, a);
        for (let at = 0; at < b.length; ) {
          const n = Math.min(cuts.next().value as number, b.length - at);
          pieces.read(at, b.subarray(at, at + n));
          at += n;
        }
        assert.deepEqual(b, a);
      },
    ),
    { seed, numRuns: 200 },
  );
});

test('a bridge header has bus numbers and windows, and its bus reset is told once per edge', () => {
  const edges: boolean[] = [];
  const config = new ConfigSpace({ header: type1Header(ids, 0, (on) => edges.push(on)), capabilities: [] });
  assert.equal(peek(config, 0x0e, 1), 1);
  poke(config, 0x18, 4, 0x00_05_02_01);
  assert.equal(peek(config, 0x18, 4), 0x00_05_02_01);
  poke(config, 0x20, 4, 0xffff_ffff);
  assert.equal(peek(config, 0x20, 4), 0xfff0_fff0);
  poke(config, 0x24, 4, 0xffff_ffff);
  assert.equal(peek(config, 0x24, 4), 0xfff1_fff1);
  poke(config, 0x3e, 2, 0x40);
  poke(config, 0x3e, 2, 0x41);
  poke(config, 0x3e, 2, 0x01);
  assert.deepEqual(edges, [true, false]);
});
