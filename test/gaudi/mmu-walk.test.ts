import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BusError } from '../../src/gaudi/bus.ts';
import { ModelError } from '../../src/sim/errors.ts';
import { seed } from '../seed.ts';
import { type Chip, chip, HOST_BASE, initiator, MIB, pattern, run, VIRTUAL_BASE } from './bus-fixture.ts';

const user = initiator('DMA1_CORE', 1);

function capture({ mmu }: Chip): number {
  const word = (name: 'PAGE_ERROR_CAPTURE' | 'PAGE_ERROR_CAPTURE_VA') =>
    mmu.registers.read32(mmu.registers.offsetOf(name));
  const high = word('PAGE_ERROR_CAPTURE');
  return high & 0x4_0000 ? (high & 0x3_ffff) * 2 ** 32 + word('PAGE_ERROR_CAPTURE_VA') : -1;
}

function fails(c: Chip, address: number, kind: BusError['kind'], who = user): BusError {
  let error: unknown;
  assert.throws(
    () => run(c.clock, c.bus.read(who, address, new Uint8Array(1))),
    (thrown) => {
      error = thrown;
      return thrown instanceof BusError && thrown.kind === kind;
    },
  );
  return error as BusError;
}

test('an address that is not mapped faults, is captured, and raises the interrupt once until the capture is cleared', () => {
  const c = chip();
  c.tables.enable(1);
  const address = VIRTUAL_BASE + 0x12_3456_789a;
  fails(c, address, 'page-fault');
  assert.equal(capture(c), address);
  assert.deepEqual(c.faults, ['page-fault']);
  fails(c, address + 0x5000, 'page-fault');
  assert.equal(capture(c), address, 'the first fault stays captured');
  assert.deepEqual(c.faults, ['page-fault']);
  c.mmu.registers.write32(c.mmu.registers.offsetOf('PAGE_ERROR_CAPTURE'), 0);
  fails(c, address + 0x5000, 'page-fault');
  assert.equal(capture(c), address + 0x5000);
  assert.deepEqual(c.faults, ['page-fault', 'page-fault']);
});

test('a fault names its initiator in the RAZWI registers, reads and writes apart', () => {
  const c = chip();
  c.tables.enable(1);
  const word = (name: 'RAZWI_READ_VLD' | 'RAZWI_READ_ID' | 'RAZWI_WRITE_VLD' | 'RAZWI_WRITE_ID') =>
    c.mmu.registers.read32(c.mmu.registers.offsetOf(name));
  fails(c, VIRTUAL_BASE, 'page-fault', initiator('DMA5_CORE', 1));
  assert.equal(word('RAZWI_READ_VLD'), 1);
  // Y = 3, X = 9 (DMA_IF_E_N_0), AXI id 2 (DMA): gaudi_masks.h.
  assert.equal(word('RAZWI_READ_ID'), 0x3920_0000);
  assert.equal(word('RAZWI_WRITE_VLD'), 0);
  assert.throws(
    () => run(c.clock, c.bus.write(initiator('TPC6_QM.CP2', 1), VIRTUAL_BASE, new Uint8Array(8))),
    BusError,
  );
  assert.equal(word('RAZWI_WRITE_VLD'), 1);
  assert.equal(word('RAZWI_WRITE_ID'), 0x6710_0000);
});

test('a masked interrupt is not raised, but the fault is captured', () => {
  const c = chip();
  c.tables.enable(1);
  c.mmu.registers.write32(c.mmu.registers.offsetOf('SPI_MASK'), 0);
  fails(c, VIRTUAL_BASE, 'page-fault');
  assert.equal(capture(c), VIRTUAL_BASE);
  assert.deepEqual(c.faults, []);
});

test('host memory is out of reach of who does not bypass the MMU, at its physical address too', () => {
  const c = chip();
  c.tables.enable(1);
  c.host.bytes[0x1000] = 7;
  fails(c, HOST_BASE + 0x1000, 'page-fault');
  const bytes = new Uint8Array(1);
  run(c.clock, c.bus.read(initiator('DMA0_CORE', 0, true), HOST_BASE + 0x1000, bytes));
  assert.equal(bytes[0], 7);
});

test('an address space without tables, and one that was given none, fault', () => {
  const c = chip();
  c.tables.enable(1);
  fails(c, VIRTUAL_BASE, 'page-fault', initiator('DMA1_CORE', 2));
  c.tables.map(1, VIRTUAL_BASE, HOST_BASE, 0x1000);
  fails(c, VIRTUAL_BASE, 'page-fault', initiator('DMA1_CORE', 0));
});

test('addresses of more than 50 bits reach nothing', () => {
  const c = chip();
  c.tables.enable(1);
  for (const address of [2 ** 50, 2 ** 52 + 8, 2 ** 63, 2 ** 64]) fails(c, address, 'decode');
});

test('page tables that the driver never writes are refused, not interpreted', () => {
  const refused = (prepare: (c: Chip) => void, category: string) => {
    const c = chip();
    c.tables.enable(1);
    prepare(c);
    assert.throws(
      () => c.bus.view(user, VIRTUAL_BASE, 1, 'read'),
      (error) => error instanceof ModelError && error.category === category,
    );
  };
  refused((c) => c.tables.map(1, VIRTUAL_BASE, HOST_BASE, 0x1000, 0x805), 'undefined');
  refused((c) => c.tables.map(1, VIRTUAL_BASE, HOST_BASE + 0x1000, 0x20_0000), 'undefined');
  // Hop 0 with LAST, and a table beyond HBM.
  refused((c) => c.tables.write(12 * MIB + 0x1000 + 8, HOST_BASE, 0x801), 'undefined');
  refused((c) => c.tables.write(12 * MIB + 0x1000 + 8, HOST_BASE, 1), 'unimplemented');
  refused((c) => {
    c.mmu.stlb.registers.write32(c.mmu.stlb.registers.offsetOf('HOP_CONFIGURATION'), 0);
    c.tables.map(1, VIRTUAL_BASE, HOST_BASE, 0x1000);
  }, 'unimplemented');
});

test('with the MMU off, addresses are physical', () => {
  const c = chip();
  c.host.bytes[5] = 9;
  const bytes = new Uint8Array(1);
  run(c.clock, c.bus.read(user, HOST_BASE + 5, bytes));
  assert.equal(bytes[0], 9);
});

test('BUSY reads 1 until the hop-0 table is set, and the table counts from then on', () => {
  const c = chip();
  const { registers } = c.mmu.stlb;
  registers.write32(registers.offsetOf('ASID'), 3);
  registers.write32(registers.offsetOf('HOP0_PA43_12'), 0x123);
  registers.write32(registers.offsetOf('HOP0_PA49_44'), 1);
  registers.write32(registers.offsetOf('BUSY'), 0x8000_0000);
  assert.equal(c.mmu.busy(), true);
  assert.equal(registers.read32(0), 0x8000_0000);
  c.clock.runUntil(2_000_000);
  assert.equal(registers.read32(0), 0);
  assert.equal(c.mmu.busy(), false);
  assert.equal(c.mmu.stlb.hop0(3), 2 ** 44 + 0x123000);
});

test('what was translated stays translated until it is invalidated', () => {
  const c = chip();
  c.tables.enable(1, 2);
  c.host.bytes.set([1], 0x1000);
  c.host.bytes.set([2], 0x2000);
  c.tables.map(1, VIRTUAL_BASE, HOST_BASE + 0x1000, 0x1000);
  c.tables.map(2, VIRTUAL_BASE, HOST_BASE + 0x2000, 0x1000);
  const other = initiator('DMA1_CORE', 2);
  const byte = (who = user) => c.bus.view(who, VIRTUAL_BASE, 1, 'read')?.[0];
  assert.deepEqual([byte(), byte(other)], [1, 2]);
  c.tables.map(1, VIRTUAL_BASE, HOST_BASE + 0x2000, 0x1000);
  c.tables.map(2, VIRTUAL_BASE, 0, 0x1000, 0);
  assert.deepEqual([byte(), byte(other)], [1, 2], 'stale');
  assert.equal(c.tables.invalidate(), true);
  assert.equal(byte(), 2);
  assert.throws(() => byte(other), BusError);
});

test('pages and address spaces that share a place in the cache are not taken for each other', () => {
  const c = chip();
  c.tables.enable(1, 2);
  const far = [0, 0x400_0000, 0x1000, 2 ** 38, 2 ** 44];
  far.forEach((distance, i) => {
    c.tables.map(1, VIRTUAL_BASE + distance, HOST_BASE + 2 * i * 0x1000, 0x1000);
    c.tables.map(2, VIRTUAL_BASE + distance, HOST_BASE + (2 * i + 1) * 0x1000, 0x1000);
    c.host.bytes.fill(2 * i + 1, 2 * i * 0x1000, (2 * i + 1) * 0x1000);
    c.host.bytes.fill(2 * i + 2, (2 * i + 1) * 0x1000, (2 * i + 2) * 0x1000);
  });
  for (let round = 0; round < 2; round++) {
    far.forEach((distance, i) => {
      assert.equal(c.bus.view(user, VIRTUAL_BASE + distance, 1, 'read')?.[0], 2 * i + 1);
      assert.equal(c.bus.view(initiator('DMA1_CORE', 2), VIRTUAL_BASE + distance, 1, 'read')?.[0], 2 * i + 2);
    });
  }
});

test('a page that was not there is found as soon as it is', () => {
  const c = chip();
  c.tables.enable(1);
  fails(c, VIRTUAL_BASE, 'page-fault');
  c.tables.map(1, VIRTUAL_BASE, HOST_BASE, 0x1000);
  assert.equal(c.bus.view(user, VIRTUAL_BASE, 8, 'read')?.length, 8);
});

test('invalidation takes its time, counts, and wraps after 255', () => {
  const c = chip();
  c.tables.enable(1);
  c.tables.map(1, VIRTUAL_BASE, HOST_BASE, 0x1000);
  c.bus.view(user, VIRTUAL_BASE, 1, 'read');
  const { registers } = c.mmu.stlb;
  registers.write32(registers.offsetOf('INV_PS'), 3);
  registers.write32(registers.offsetOf('CACHE_INV'), 1);
  registers.write32(registers.offsetOf('INV_PS'), 2);
  assert.equal(registers.read32(registers.offsetOf('INV_CONSUMER_INDEX')), 0);
  c.clock.runUntil(c.clock.now() + 2_000_000);
  assert.equal(registers.read32(registers.offsetOf('INV_PS')), 0);
  assert.equal(registers.read32(registers.offsetOf('INV_CONSUMER_INDEX')), 1);
  assert.equal(registers.read32(registers.offsetOf('INV_HIT_COUNT')), 1);

  const fresh = chip();
  fresh.tables.enable(1);
  for (let i = 0; i < 300; i++) assert.equal(fresh.tables.invalidate(), true);
});

test('who polls an invalidation sees its end by the second read, though the clock stands still behind late engines', () => {
  const c = chip();
  c.tables.enable(1);
  c.tables.map(1, VIRTUAL_BASE, HOST_BASE, 0x1000);
  c.bus.view(user, VIRTUAL_BASE, 1, 'read');
  c.tables.map(1, VIRTUAL_BASE, HOST_BASE + 0x1000, 0x1000);
  const { registers } = c.mmu.stlb;
  registers.write32(registers.offsetOf('INV_PS'), 3);
  registers.write32(registers.offsetOf('CACHE_INV'), 1);
  registers.write32(registers.offsetOf('INV_PS'), 2);
  assert.equal(registers.read32(registers.offsetOf('INV_PS')), 2);
  assert.equal(registers.read32(registers.offsetOf('INV_PS')), 0);
  assert.equal(c.bus.view(user, VIRTUAL_BASE, 1, 'read')?.byteOffset, c.host.bytes.byteOffset + 0x1000);
});

test('an invalidation that is out of step is refused: the chip expects the next index', () => {
  const c = chip();
  const { registers } = c.mmu.stlb;
  registers.write32(registers.offsetOf('CACHE_INV'), 2);
  assert.throws(
    () => registers.write32(registers.offsetOf('INV_PS'), 2),
    (error) => error instanceof ModelError && error.category === 'undefined',
  );
});

test('reset forgets tables, translations, faults and the invalidation index', () => {
  const c = chip();
  c.tables.enable(1);
  c.tables.map(1, VIRTUAL_BASE, HOST_BASE, 0x1000);
  c.bus.view(user, VIRTUAL_BASE, 1, 'read');
  fails(c, VIRTUAL_BASE + MIB, 'page-fault');
  c.tables.invalidate();
  c.mmu.reset();
  assert.equal(capture(c), -1);
  assert.equal(c.mmu.stlb.hop0(1), undefined);
  assert.equal(c.mmu.enabled(), false);
  assert.equal(c.mmu.stlb.registers.read32(c.mmu.stlb.registers.offsetOf('INV_CONSUMER_INDEX')), 0);
});

test('any mapping of small and large pages reads as its parts, wherever the read begins and ends', () => {
  const large = 0x20_0000;
  fc.assert(
    fc.property(
      fc.array(fc.record({ huge: fc.boolean(), frame: fc.nat(1000), mapped: fc.boolean() }), {
        minLength: 1,
        maxLength: 4,
      }),
      fc.nat(),
      fc.nat(),
      fc.constantFrom('direct' as const, 'messages' as const),
      fc.constantFrom(0x1000, 0x20_0000, 2 ** 40),
      (pages, from, to, mode, piece) => {
        const c = chip({ hostSize: 8 * MIB });
        c.host.bytes.set(pattern(8 * MIB, 1));
        c.host.mode = mode;
        c.host.piece = piece;
        c.tables.enable(1);
        const expected: Uint8Array[] = [];
        let next = VIRTUAL_BASE + 0x40_0000_0000 - large;
        const start = next;
        const holes: { begin: number; end: number }[] = [];
        for (const page of pages) {
          const size = page.huge ? large : 0x1000;
          // Large pages must begin at a multiple of their size.
          if (page.huge) while ((next - start) % large !== 0) next = mapSmall(next, page.frame);
          if (!page.mapped) {
            holes.push({ begin: next, end: next + size });
            expected.push(new Uint8Array(size));
            next += size;
            continue;
          }
          if (!page.huge) {
            next = mapSmall(next, page.frame);
            continue;
          }
          const physical = (page.frame % 4) * large;
          c.tables.map(1, next, HOST_BASE + physical, large);
          expected.push(c.host.bytes.slice(physical, physical + large));
          next += large;
        }
        const whole = Buffer.concat(expected);
        const begin = from % whole.length;
        const length = 1 + (to % (whole.length - begin));
        const bytes = new Uint8Array(length);
        const hole = holes.find((h) => h.end > start + begin && h.begin < start + begin + length);
        if (hole) {
          assert.throws(
            () => run(c.clock, c.bus.read(user, start + begin, bytes)),
            (error) => error instanceof BusError && error.address === Math.max(hole.begin, start + begin),
          );
          return;
        }
        run(c.clock, c.bus.read(user, start + begin, bytes));
        assert.equal(Buffer.compare(bytes, whole.subarray(begin, begin + length)), 0);

        function mapSmall(at: number, frame: number): number {
          const physical = (frame % 2048) * 0x1000;
          c.tables.map(1, at, HOST_BASE + physical, 0x1000);
          expected.push(c.host.bytes.slice(physical, physical + 0x1000));
          return at + 0x1000;
        }
      },
    ),
    { seed: seed(), numRuns: 40 },
  );
});
