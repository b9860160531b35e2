import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { seed } from '../seed.ts';
import { MS, REG, TestHost } from './test-host.ts';

const SRAM = 0x7f_f000_0000;

describe('identity', () => {
  it('is what the driver looks for', () => {
    using host = new TestHost();
    assert.equal(host.configRead(0x00), 0x1000_1da3);
    assert.notEqual(host.configRead(0x08) & 0xff, 0, 'revision 0 is a chip that the driver does not know');
    assert.deepEqual(
      host.gaudi.bars.map(({ index, kind, prefetchable, region }) => ({
        index,
        kind,
        prefetchable,
        size: region.size,
      })),
      [
        { index: 0, kind: 'memory64', prefetchable: true, size: 64 * 1024 ** 2 },
        { index: 2, kind: 'memory64', prefetchable: true, size: 128 * 1024 ** 2 },
        { index: 4, kind: 'memory64', prefetchable: true, size: 32 * 1024 ** 3 },
      ],
    );
    assert.deepEqual(host.gaudi.vectors, { intx: 0, msi: 32, msix: 0 });
    const pcie = host.capability(0x10);
    assert.equal((host.configRead(pcie + 4) >>> 28) & 1, 1, 'function-level reset');
    host.capability(0x01);
  });

  it('offers SRAM and HBM for mapping, and no registers', () => {
    using host = new TestHost();
    const pieces = (bar: number) => host.bar(bar).mappable.map(({ offset, size }) => ({ offset, size }));
    assert.deepEqual(pieces(0), [{ offset: 0, size: 20 * 1024 ** 2 }]);
    assert.deepEqual(pieces(2), []);
    assert.deepEqual(pieces(4), [{ offset: 0, size: 32 * 1024 ** 3 }]);
  });
});

describe('a reset by the host', () => {
  it('of the function leaves the windows of the port, a conventional one does not', () => {
    using host = new TestHost().enable();
    host.gaudi.reset('function-level');
    assert.notEqual(host.read(REG.SW_ALL_RST_CFG_L), 0xffff_ffff);
    host.gaudi.reset('conventional');
    assert.equal(host.read(REG.SW_ALL_RST_CFG_L), 0xffff_ffff);
  });
});

describe('the register window in configuration space', () => {
  it('refuses addresses outside of configuration space', () => {
    using host = new TestHost();
    for (const address of [0, 0xf000_0000, 0xfbff_fffc, 0xfcc4_b301]) {
      assert.equal(host.elbi(address), undefined, `0x${address.toString(16)}`);
    }
    assert.equal(host.elbi(0xfcc4_b100), 0);
  });

  it('reads and writes what BAR2 shows', () => {
    using host = new TestHost().enable();
    host.elbi(0xfcc4_b178, 0x1234_5678);
    assert.equal(host.read(0xc4_b178), 0x1234_5678);
    host.write(0xc4_b178, 0x8765_4321);
    assert.equal(host.elbi(0xfcc4_b178), 0x8765_4321);
  });

  it('does nothing before its control register is written', () => {
    using host = new TestHost();
    host.configWrite(0xffc, 0);
    host.configWrite(0xff0, 0xfcc4_b178);
    host.configWrite(0xff4, 1);
    assert.equal(host.configRead(0xffc), 0);
    assert.equal(host.elbi(0xfcc4_b178), 0);
  });
});

describe('address translation', () => {
  it('shows nothing in the BARs before it is set up', () => {
    using host = new TestHost();
    assert.equal(host.read(REG.BOOT_STATUS), 0xffff_ffff);
    host.write(REG.HW_STATE, 1);
    host.enable();
    assert.equal(host.read(REG.HW_STATE), 0);
  });

  it('puts a BAR where its region says', () => {
    using host = new TestHost().enable();
    host.load(SRAM + 0x1000, Uint8Array.of(1, 2, 3, 4));
    const bytes = new Uint8Array(4);
    // BAR0 on HBM and BAR4 on SRAM: what the host may have mapped does not follow, and that is recorded.
    host.inbound(2, 4, SRAM);
    assert.equal(host.errors.at(-1)?.where, 'BAR4');
    host.bar(4).read(0x1000, bytes);
    assert.deepEqual([...bytes], [1, 2, 3, 4]);
    // BAR2 has nothing mapped: it moves without more ado.
    const before = host.errors.length;
    host.inbound(1, 2, 0x7f_f7f0_0000);
    assert.equal(host.errors.length, before);
    host.bar(2).read(0x400_0000 + 0x10_0000 + REG.BOOT_STATUS, bytes);
    assert.notEqual(new DataView(bytes.buffer).getUint32(0, true), 0xffff_ffff);
  });

  it('answers where there is nothing with zeros, and records it', () => {
    using host = new TestHost().enable();
    const bytes = new Uint8Array(8).fill(0xee);
    host.bar(0).read(20 * 1024 ** 2 - 4, bytes);
    assert.deepEqual([...bytes], [0, 0, 0, 0, 0, 0, 0, 0]);
    host.bar(0).write(30 * 1024 ** 2, bytes);
    assert.deepEqual(
      host.errors.map(({ category, where }) => `${category} ${where}`),
      ['unsupported BAR0', 'unsupported BAR0'],
    );
    host.bar(2).read(0, bytes.subarray(0, 4));
    assert.equal(host.errors.at(-1)?.category, 'unimplemented', 'the flash memory');
  });

  it('keeps the chip from the host without an outbound region', () => {
    using host = new TestHost().enable();
    host.iatu(0x4, 0);
    host.elbi(0xfcc0_7490, 0);
    host.boot('comms');
    assert.equal(host.initQueues(), 2);
    host.submit(2 ** 39 + 0x3_0000, 24);
    host.run(1 * MS);
    assert.equal(host.writes.length, 0);
    assert.equal(host.errors[0]?.category, 'guest');
  });

  it('sends what the chip writes to another bus address when the region says so', () => {
    using host = new TestHost().enable().boot('comms');
    assert.equal(host.initQueues(), 2);
    // All of the host window appears 0x100 bytes higher on the bus.
    host.iatu(0x14, 0x100);
    host.elbi(0xfcc0_7490, 0);
    host.memory.bytes.copyWithin(0x1_0100, 0x1_0000, 0x1_0010);
    host.view.setBigUint64(0x1_0100, BigInt(2 ** 39 + 0x3_0000), true);
    host.view.setUint32(0x1_0108, 24, true);
    host.view.setUint32(0x3_0108, 18 << 16, true);
    host.write(REG.PF_PQ_PI, 1);
    host.write(REG.GIC_SETSPI, 484);
    host.run(1 * MS);
    assert.deepEqual(
      host.writes.map(({ address }) => address),
      [0x3_0100, 0x3_010c],
    );
  });
});

describe('interrupts', () => {
  it('are raised by writes of the registers, by bit and by number', () => {
    using host = new TestHost().enable();
    const msi = host.capability(0x05);
    host.configWrite(msi, (host.configRead(msi) | 0x50_0000) >>> 0);
    host.write(REG.MSI_REQ, 1);
    host.write(REG.MSI_REQ, 0x8001);
    host.write(0xc1_3000 + 4 * 7, 1);
    assert.deepEqual(host.interrupts, [0, 0, 15, 7]);
  });

  it('need bus mastering', () => {
    using host = new TestHost().enable();
    host.configWrite(0x04, 0x2);
    host.write(REG.MSI_REQ, 1);
    assert.deepEqual(host.interrupts, []);
  });
});

describe('accesses of every width', () => {
  it('compose: SRAM is bytes, a register keeps what was not written', () => {
    using host = new TestHost().enable();
    const reference = new Uint8Array(64);
    const piece = fc.record({ offset: fc.nat(56), bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }) });
    fc.assert(
      fc.property(piece, ({ offset, bytes }) => {
        reference.set(bytes, offset);
        // Scratchpads 9 to 19 are plain storage, and so is SRAM.
        host.bar(0).write(0x100 + offset, bytes);
        const sram = new Uint8Array(64);
        host.bar(0).read(0x100, sram);
        assert.deepEqual(sram, reference);
        const at = 0x400_0000 + 0xc4_b124 + (offset % 32);
        host.bar(2).write(at, bytes);
        const back = new Uint8Array(bytes.length);
        host.bar(2).read(at, back);
        assert.deepEqual(back, bytes);
      }),
      { seed: seed() },
    );
    assert.deepEqual(host.errors, []);
  });
});
