import assert from 'node:assert/strict';
import { test } from 'node:test';
import { portsOf } from '../../specs/gaudi/initiators.ts';
import { dmaIf } from '../../specs/gaudi/registers/dma-if.ts';
import { lbwRouter, routerCtrl } from '../../specs/gaudi/registers/router.ts';
import { BusError, type Initiator } from '../../src/gaudi/bus.ts';
import { GaudiBus } from '../../src/gaudi/chip-bus.ts';
import { RangeProtection } from '../../src/gaudi/chip-bus-protection.ts';
import type { RegisterRow } from '../../src/sim/registers.ts';
import { CFG_BASE, chip, initiator, MIB, run, SRAM_BASE } from './bus-fixture.ts';

/** A chip with the ranges that gaudi_security.c sets, in smaller memories. */
function guarded() {
  const c = chip();
  const blocks = new Map<string, Uint32Array>();
  const bus = new GaudiBus({
    mmu: c.mmu,
    memories: [
      { name: 'HBM', base: 0, memory: c.hbm },
      { name: 'SRAM', base: SRAM_BASE, memory: c.sram },
    ],
    cfg: c.cfg,
    protection: new RangeProtection((name) => blocks.get(name)),
    dma: () => c.host,
    onAccessError: (error) => c.errors.push(error),
  });
  const set = (block: string, row: RegisterRow, index: number, value: number) => {
    if (!blocks.has(block)) blocks.set(block, new Uint32Array(0x400));
    (blocks.get(block) as Uint32Array)[row.offset / 4 + index] = value;
  };
  for (const name of ['DMA0_CORE', 'DMA7_CORE', 'TPC3_QM.CP1', 'SYNC_MNGR_OBJS_W_N']) {
    const ports = portsOf(name);
    assert.ok(ports);
    const { block, registers } = ports.lbw;
    for (const [a, p] of [
      ['AR', 'RPROT'],
      ['AW', 'WPROT'],
    ] as const) {
      const row = (what: 'HIT' | 'MIN' | 'MAX') =>
        registers === 'LBW_RANGE'
          ? lbwRouter.rows[`LBW_RANGE_PROT_${what}_${a}`]
          : dmaIf.rows[`${registers}_${what}_${p}`];
      set(block, row('HIT'), 0, 0b10);
      set(block, row('MIN'), 1, 0x5f_ffff);
      set(block, row('MAX'), 1, 0xc4_9000);
      if (!ports.hbw) continue;
      // The first MiB of HBM; the first 128 bytes of SRAM for writes.
      set(ports.hbw, routerCtrl.rows[`RANGE_SEC_HIT_${a}`], 0, a === 'AR' ? 0b01 : 0b11);
      set(ports.hbw, routerCtrl.rows[`RANGE_SEC_MASK_LOW_${a}`], 0, 0xfff0_0000);
      set(ports.hbw, routerCtrl.rows[`RANGE_SEC_MASK_HIGH_${a}`], 0, 0x3_ffff);
      set(ports.hbw, routerCtrl.rows[`RANGE_SEC_BASE_LOW_${a}`], 1, SRAM_BASE % 2 ** 32);
      set(ports.hbw, routerCtrl.rows[`RANGE_SEC_BASE_HIGH_${a}`], 1, Math.floor(SRAM_BASE / 2 ** 32));
      set(ports.hbw, routerCtrl.rows[`RANGE_SEC_MASK_LOW_${a}`], 1, 0xffff_ff80);
      set(ports.hbw, routerCtrl.rows[`RANGE_SEC_MASK_HIGH_${a}`], 1, 0x3_ffff);
    }
  }
  return { ...c, bus };
}

function refused(c: ReturnType<typeof guarded>, who: Initiator, address: number, access: 'read' | 'write'): boolean {
  const bytes = new Uint8Array(4);
  try {
    run(c.clock, access === 'read' ? c.bus.read(who, address, bytes) : c.bus.write(who, address, bytes));
    return false;
  } catch (error) {
    assert.ok(error instanceof BusError && error.kind === 'access');
    return true;
  }
}

test('who is not secure is kept out of the ranges, and in reach of everything else', () => {
  for (const name of ['DMA0_CORE', 'DMA7_CORE', 'TPC3_QM.CP1']) {
    const c = guarded();
    const user = initiator(name, 1);
    for (const access of ['read', 'write'] as const) {
      assert.equal(refused(c, user, MIB - 4, access), true);
      assert.equal(refused(c, user, MIB, access), false);
      assert.equal(refused(c, user, CFG_BASE + 0x60_0000, access), true);
      assert.equal(refused(c, user, CFG_BASE + 0xc4_8ffc, access), true);
      assert.equal(refused(c, user, CFG_BASE + 0x5f_fffc, access), false);
      assert.equal(refused(c, user, CFG_BASE + 0xc4_9000, access), false);
    }
    assert.equal(refused(c, user, SRAM_BASE + 124, 'write'), true);
    assert.equal(refused(c, user, SRAM_BASE + 124, 'read'), false);
    assert.equal(refused(c, user, SRAM_BASE + 128, 'write'), false);
    assert.equal(c.mmu.registers.read32(c.mmu.registers.offsetOf('RAZWI_WRITE_VLD')), 1);
    assert.equal(c.registers.length, 2);
  }
});

test('a sync manager cannot be made to write protected registers', () => {
  const c = guarded();
  assert.equal(refused(c, initiator('SYNC_MNGR_OBJS_W_N'), CFG_BASE + 0xc0_4100, 'write'), true);
});

test('secure initiators, and those whose router has no ranges yet, go everywhere', () => {
  const c = guarded();
  assert.equal(refused(c, initiator('DMA0_CORE', 1, true), 0, 'write'), false);
  assert.equal(refused(c, { ...initiator('DMA0_CORE', 1), secure: () => true }, 0, 'write'), false);
  assert.equal(refused(c, { ...initiator('DMA0_CORE', 1, true), secure: () => false }, 0, 'write'), true);
  assert.equal(refused(c, initiator('DMA2_CORE', 1), 0, 'write'), false);
});

test('views and zeroing end where a range begins', () => {
  const c = guarded();
  const user = initiator('DMA0_CORE', 1);
  assert.throws(() => c.bus.view(user, MIB - 8, 64, 'read'), BusError);
  assert.throws(() => c.bus.zero(user, 0, 64), BusError);
  assert.equal(c.bus.view(user, MIB, 64, 'read')?.length, 64);
  assert.equal(c.bus.view(user, SRAM_BASE + 128, 64, 'write')?.length, 64);
});

test('engines that share a corner enter by channels of their own', () => {
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 6, 7].map((n) => portsOf(`DMA${n}_QM.CP0`)?.hbw),
    [
      'DMA_IF_W_S_DOWN_CH0',
      'DMA_IF_E_S_DOWN_CH0',
      'DMA_IF_W_S_DOWN_CH1',
      'DMA_IF_E_S_DOWN_CH1',
      'DMA_IF_W_N_DOWN_CH0',
      'DMA_IF_E_N_DOWN_CH0',
      'DMA_IF_W_N_DOWN_CH1',
      'DMA_IF_E_N_DOWN_CH1',
    ],
  );
  assert.equal(portsOf('TPC0_CFG')?.hbw, 'SIF_RTR_CTRL_0');
  assert.equal(portsOf('TPC7_QM.CP0')?.hbw, 'NIF_RTR_CTRL_7');
  assert.equal(portsOf('MME2_QM.CP0')?.lbw.block, 'NIF_RTR_2');
  assert.equal(portsOf('nothing'), undefined);
});
