import assert from 'node:assert/strict';
import type { DmaBuf } from '../../runtime/memory.ts';
import { suite, type TestContext } from '../suite.ts';
import { importTests } from './dmabuf-import.ts';
import { lifetimeTests } from './dmabuf-lifetimes.ts';
import { peerTests } from './dmabuf-peer.ts';
import { assertErrno, GiB, MiB } from './lib.ts';

const PAGE = 4096n;

/** Exports part of the DRAM that belongs to user space. @param offset bytes from its start. */
function exportDram(t: TestContext, offset: bigint, size: number, flags = 0, into = 0n): DmaBuf {
  return t.use(t.device.exportDmaBuf(t.device.dram.base + offset, size, flags, into));
}

export const dmabuf = suite(
  'dmabuf',
  'Device memory shared with other devices: exported, imported, copied from card to card.',
  (test) => {
    test('a page of DRAM', (t) => {
      assert.ok(exportDram(t, 0n, 4096).fd > 2);
    });

    test('sizes up to all of the DRAM', (t) => {
      const all = Number(t.device.dram.size);
      for (const size of [4096, 2 * MiB, GiB, 4 * GiB, all]) exportDram(t, 0n, size)[Symbol.dispose]();
    });

    test('the same memory twice', (t) => {
      assert.notEqual(exportDram(t, 0n, 4096).fd, exportDram(t, 0n, 4096).fd);
    });

    test('the last page', (t) => {
      exportDram(t, t.device.dram.size - PAGE, 4096);
    });

    test('one page beyond the end is refused', (t) => {
      assertErrno('EINVAL', () => exportDram(t, t.device.dram.size - PAGE, 8192));
      assertErrno('EINVAL', () => exportDram(t, t.device.dram.size, 4096));
    });

    test('memory of the driver is refused', (t) => {
      assertErrno('EINVAL', () => exportDram(t, -PAGE, 4096));
      assertErrno('EINVAL', () => exportDram(t, -t.device.dram.base, 4096));
    });

    test('SRAM is refused', (t) => {
      assertErrno('EINVAL', () => t.use(t.device.exportDmaBuf(t.device.sram.base & ~(PAGE - 1n), 4096, 0)));
    });

    test('an address within a page is refused', (t) => {
      assertErrno('EINVAL', () => exportDram(t, 100n, 4096));
    });

    test('a size that is no multiple of a page is refused', (t) => {
      for (const size of [0, 1, 4095, 4097]) assertErrno('EINVAL', () => exportDram(t, 0n, size));
    });

    test('a range that wraps is refused', (t) => {
      assertErrno('EINVAL', () => t.use(t.device.exportDmaBuf(0xffff_ffff_ffff_f000n, 8192, 0)));
    });

    test('an offset is refused: this chip exports physical addresses', (t) => {
      assertErrno('EINVAL', () => exportDram(t, 0n, 8192, 0, PAGE));
    });

    test('a dma-buf keeps the card taken after the node is closed', (t) => {
      const device = t.open(0);
      const buffer = device.exportDmaBuf(device.dram.base, 4096, 0);
      const kept = t.target.driver.dup(buffer.fd);
      try {
        device[Symbol.dispose]();
        assertErrno('EBUSY', () => t.open(0));
      } finally {
        t.target.driver.close(kept);
      }
      t.open(0)[Symbol.dispose]();
    });

    importTests(test);
    lifetimeTests(test);
    peerTests(test);
  },
);
