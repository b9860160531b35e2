import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BusError } from '../../src/gaudi/bus.ts';
import { CFG_BASE, chip, HOST_BASE, initiator, MIB, pattern, run, SRAM_BASE } from './bus-fixture.ts';

const secure = initiator('DMA0_CORE', 0, true);

test('where nothing is, an access fails, is told, and is noted in the RAZWI registers', () => {
  for (const address of [16 * MIB, 0x7_ffff_ffff, SRAM_BASE - 1, SRAM_BASE + MIB, CFG_BASE - 4]) {
    const c = chip();
    assert.throws(
      () => run(c.clock, c.bus.write(secure, address, new Uint8Array(8))),
      (error) => error instanceof BusError && error.kind === 'decode' && error.address === address,
    );
    assert.equal(c.errors.length, 1);
    const valid = c.mmu.registers.offsetOf('RAZWI_WRITE_VLD');
    assert.equal(c.mmu.registers.read32(valid), 1);
    assert.throws(() => run(c.clock, c.bus.write(secure, address, new Uint8Array(8))), BusError);
    assert.equal(c.errors.length, 1, 'one interrupt until the driver has seen it');
    c.mmu.registers.write32(valid, 0);
    assert.throws(() => run(c.clock, c.bus.write(secure, address, new Uint8Array(8))), BusError);
    assert.equal(c.errors.length, 2);
  }
});

test('a copy that runs out of memory has moved what was there', () => {
  const c = chip();
  assert.throws(
    () => run(c.clock, c.bus.write(secure, 16 * MIB - 3, pattern(8, 1))),
    (error) => error instanceof BusError && error.address === 16 * MIB,
  );
  assert.deepEqual(c.hbm.bytes.subarray(16 * MIB - 3), pattern(8, 1).subarray(0, 3));
});

test('words that are not aligned are refused', () => {
  const c = chip();
  for (const address of [1, SRAM_BASE + 2, CFG_BASE + 6, HOST_BASE + 3]) {
    assert.throws(() => run(c.clock, c.bus.write32(secure, address, 1)), BusError);
    assert.throws(() => run(c.clock, c.bus.read32(secure, address)), BusError);
  }
  assert.throws(() => run(c.clock, c.bus.write(secure, CFG_BASE + 4, new Uint8Array(3))), BusError);
  assert.equal(c.registers.length, 0);
});

test('a host address that nobody answers is an error of the host, and none of the chip', () => {
  for (const mode of ['direct', 'messages'] as const) {
    const c = chip();
    c.host.mode = mode;
    assert.throws(
      () => run(c.clock, c.bus.write(secure, HOST_BASE + 4 * MIB, new Uint8Array(64))),
      (error) => error instanceof BusError && error.kind === 'host',
    );
    assert.equal(c.mmu.registers.read32(c.mmu.registers.offsetOf('RAZWI_WRITE_VLD')), 0);
  }
});

test('every place takes and gives bytes and words', () => {
  for (const mode of ['direct', 'messages'] as const) {
    const c = chip();
    c.host.mode = mode;
    for (const base of [0, 16 * MIB - 64, SRAM_BASE, SRAM_BASE + MIB - 64, HOST_BASE, HOST_BASE + 4 * MIB - 64]) {
      const bytes = pattern(61, base % 251);
      run(c.clock, c.bus.write(secure, base + 3, bytes));
      const back = new Uint8Array(61);
      run(c.clock, c.bus.read(secure, base + 3, back));
      assert.deepEqual(back, bytes);
      run(c.clock, c.bus.write32(secure, base + 8, 0xdead_beef));
      assert.equal(run(c.clock, c.bus.read32(secure, base + 8)), 0xdead_beef);
    }
    run(c.clock, c.bus.write32(secure, CFG_BASE + 0x4f_2000, 0x8000_0001));
    assert.equal(run(c.clock, c.bus.read32(secure, CFG_BASE + 0x4f_2000)), 0x8000_0001);
  }
});

test('words of a run of registers are written one by one, in order', () => {
  const c = chip();
  run(c.clock, c.bus.write(secure, CFG_BASE + 0x1000, new Uint8Array(new Uint32Array([1, 2, 3]).buffer)));
  assert.deepEqual(
    c.registers.map(({ offset, value }) => [offset, value]),
    [
      [0x1000, 1],
      [0x1004, 2],
      [0x1008, 3],
    ],
  );
});

test('a word for the host is one store, also where it comes as four bytes', () => {
  const c = chip();
  run(c.clock, c.bus.write32(secure, HOST_BASE + 0x100, 1));
  run(c.clock, c.bus.write(secure, HOST_BASE + 0x104, new Uint8Array([2, 0, 0, 0])));
  assert.deepEqual(c.host.stores, [
    { address: 0x100, value: 1 },
    { address: 0x104, value: 2 },
  ]);
});

test('host memory that is mapped in pieces is reached piece by piece', () => {
  const c = chip();
  c.host.piece = 0x3000;
  const bytes = pattern(0x9000, 3);
  run(c.clock, c.bus.write(secure, HOST_BASE + 0xfff, bytes));
  assert.deepEqual(c.host.bytes.subarray(0xfff, 0x9fff), bytes);
  assert.ok((c.bus.view(secure, HOST_BASE + 0xfff, 0x9000, 'read')?.length ?? 0) >= 1);
});

test('views end with the memory, and there is none of registers', () => {
  const c = chip();
  assert.equal(c.bus.view(secure, 16 * MIB - 100, 4096, 'write')?.length, 100);
  assert.equal(c.bus.view(secure, CFG_BASE, 4, 'read'), undefined);
  assert.equal(c.bus.zero(secure, CFG_BASE, 4), 0);
  c.hbm.bytes.fill(1, 0, 100);
  assert.equal(c.bus.zero(secure, 10, 50), 50);
  assert.deepEqual([...c.hbm.bytes.subarray(8, 12), ...c.hbm.bytes.subarray(58, 62)], [1, 1, 0, 0, 0, 0, 1, 1]);
});
