/** Memory and registers of a card by their addresses, in debugfs. */

import assert from 'node:assert/strict';
import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Declare, TestContext } from '../suite.ts';
import { debugBytes, debugText, setDebug, writeDebug } from './debugfs-lib.ts';
import { assertErrno, assertSame, fill, KiB, MiB, run } from './lib.ts';
import { release } from './sync-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';

const word = (value: bigint, bits: 32 | 64) => `0x${value.toString(16).padStart(bits / 4, '0')}\n`;

/** Has `addr` for the rest of the test. */
function at(t: TestContext, address: bigint): void {
  writeDebug(t, 'addr', `0x${address.toString(16)}`);
}

export function debugMemory(test: Declare): void {
  test('words of SRAM and HBM are those that DMA reads and writes', async (t) => {
    using _ = setDebug(t, 'addr', '0');
    const { device } = t;
    const host = t.use(device.allocHost(4 * KiB));
    for (const memory of [device.sram.allocate(4 * KiB), device.dram.allocate(4 * KiB)]) {
      using place = memory;
      fill(host.bytes, t.random);
      await run(t, DOWN, new CommandStream().dma(place, host, 4 * KiB));
      const view = new DataView(host.bytes.buffer, host.bytes.byteOffset);
      for (const offset of [0, 4, 2044, 4088]) {
        at(t, place.address + BigInt(offset));
        assert.equal(debugText(t, 'data32'), word(BigInt(view.getUint32(offset, true)), 32));
        assert.equal(debugText(t, 'data64'), word(view.getBigUint64(offset, true), 64));
      }
      at(t, place.address + 8n);
      writeDebug(t, 'data32', '89abcdef');
      at(t, place.address + 16n);
      writeDebug(t, 'data64', '0x0123456789ABCDEF\n');
      view.setUint32(8, 0x89ab_cdef, true);
      view.setBigUint64(16, 0x0123_4567_89ab_cdefn, true);
      const expected = host.bytes.slice();
      await run(t, UP, new CommandStream().dma(host, place, 4 * KiB));
      assertSame(host.bytes, expected, 'written');
    }
  });

  test('all of the HBM is reached, through one window', async (t) => {
    using _ = setDebug(t, 'addr', '0');
    const { device } = t;
    const { dram_base_address, dram_size } = device.info.hwIp();
    const host = t.use(device.allocHost(4 * KiB));
    const end = dram_base_address + dram_size;
    for (const address of [end - 8n, dram_base_address + (dram_size >> 1n) + 0x100n]) {
      const value = (BigInt(t.random.next()) << 32n) | BigInt(t.random.next());
      at(t, address);
      writeDebug(t, 'data64', value.toString(16));
      await run(t, DOWN, new CommandStream().dma(host, address, 8));
      assert.equal(new DataView(host.bytes.buffer, host.bytes.byteOffset).getBigUint64(0, true), value);
    }
  });

  test('registers are read and written: sync objects', async (t) => {
    t.expectMessages(/address 0x[0-9a-f]+ not a multiple of 4/, /Failed reading addr 0x[0-9a-f]+ from dev mem \(-22\)/);
    using _ = setDebug(t, 'addr', '0');
    const object = t.device.sync('W_N').syncObject();
    await run(t, DOWN, new CommandStream().add(object, 21));
    at(t, object.address);
    assert.equal(debugText(t, 'data32'), word(21n, 32));
    writeDebug(t, 'data32', '2a');
    await run(t, DOWN, new CommandStream().add(object, 1));
    assert.equal(debugText(t, 'data32'), word(43n, 32));
    assert.match(debugText(t, 'data64'), /^0x[0-9a-f]{8}0000002b\n$/);
    writeDebug(t, 'data32', '0');
    for (const misplaced of [1n, 2n, 3n]) {
      at(t, object.address + misplaced);
      assertErrno('EINVAL', () => debugText(t, 'data32'));
      assertErrno('EINVAL', () => writeDebug(t, 'data64', '1'));
    }
  });

  test('memory of a program is reached by where the card has it', async (t) => {
    using _ = setDebug(t, 'addr', '0');
    const host = t.use(t.device.allocHost(64 * KiB));
    fill(host.bytes, t.random);
    const view = new DataView(host.bytes.buffer, host.bytes.byteOffset);
    for (const offset of [0, 4092, 4096, 65528]) {
      at(t, host.deviceAddress + BigInt(offset));
      assert.equal(debugText(t, 'data32'), word(BigInt(view.getUint32(offset, true)), 32));
      writeDebug(t, 'data32', 'feedface');
      assert.equal(view.getUint32(offset, true), 0xfeed_face);
    }
    at(t, host.deviceAddress + 8n);
    writeDebug(t, 'data64', 'aaaabbbbccccdddd');
    assert.equal(view.getBigUint64(8, true), 0xaaaa_bbbb_cccc_ddddn);
    assert.equal(debugText(t, 'data64'), word(0xaaaa_bbbb_cccc_ddddn, 64));
  });

  test('where there is nothing, and what is no word, is refused', (t) => {
    t.expectMessages(
      /invalid addr 0x/,
      /no ctx available/,
      /virt addr 0x[0-9a-f]+ is not mapped/,
      /Failed reading addr 0x[0-9a-f]+ from dev mem/,
    );
    using _ = setDebug(t, 'addr', '0');
    const refused = (address: bigint, code: string) => {
      at(t, address);
      for (const name of ['data32', 'data64']) {
        assertErrno(code, () => debugText(t, name));
        assertErrno(code, () => writeDebug(t, name, '1'));
      }
    };
    refused(BigInt(addressMap.VIRTUAL_BASE), 'EINVAL');
    const { device } = t;
    const { dram_base_address, dram_size } = device.info.hwIp();
    const host = t.use(device.allocHost(8 * KiB));
    for (const address of [
      dram_base_address + dram_size,
      BigInt(addressMap.SRAM_BASE - 4),
      BigInt(addressMap.SRAM_BASE + addressMap.SRAM_SIZE),
      BigInt(addressMap.HOST_BASE),
      host.deviceAddress + BigInt(host.size),
      host.deviceAddress - 8n,
      2n ** 64n - 8n,
    ])
      refused(address, 'EINVAL');
    // a region that the driver knows of, and has no way to
    refused(BigInt(addressMap.PSOC_SCRATCHPAD_BASE), 'EFAULT');
    // half of it is mapped
    at(t, host.deviceAddress + BigInt(host.size) - 4n);
    debugText(t, 'data32');
    assertErrno('EINVAL', () => debugText(t, 'data64'));
    at(t, dram_base_address + dram_size - 4n);
    assertErrno('EINVAL', () => debugText(t, 'data64'));
    at(t, device.sram.allocate(8).address);
    for (const name of ['data32', 'data64']) {
      for (const text of ['g', '0x', '-1', '1 1']) assertErrno('EINVAL', () => writeDebug(t, name, text));
      assertErrno('ERANGE', () => writeDebug(t, name, '1'.padEnd(name === 'data32' ? 9 : 17, '0')));
    }
  });

  test('an engine reads what root asks for: SRAM and HBM, any number of bytes', async (t) => {
    using _ = setDebug(t, 'addr', '0');
    const { device } = t;
    const host = t.use(device.allocHost(6 * MiB));
    fill(host.bytes, t.random);
    const dram = t.use(device.dram.allocate(6 * MiB));
    const sram = t.use(device.sram.allocate(64 * KiB));
    const stream = new CommandStream().dma(dram, host, 6 * MiB).dma(sram, host, 64 * KiB);
    await run(t, DOWN, stream);
    for (const [memory, offset, size] of [
      [sram, 0, 1],
      [sram, 5, 4097],
      [dram, 0, 2 * MiB],
      [dram, 3, 5 * MiB + 3],
    ] as const) {
      at(t, memory.address + BigInt(offset));
      writeDebug(t, 'dma_size', size.toString(16));
      assertSame(debugBytes(t, 'data_dma', size + 1), host.bytes.subarray(offset, offset + size), `${size} bytes`);
    }
    // the queues of that engine work on
    await run(t, DOWN, stream);
    await run(t, UP, stream);
  });

  test('while one engine of the host has work the other reads; while both have, nobody does', async (t) => {
    t.expectMessages(/Can't read via DMA because it is BUSY/, /Failed to DMA from/);
    using _ = setDebug(t, 'addr', '0');
    const { device } = t;
    using place = device.sram.allocate(8);
    at(t, place.address);
    writeDebug(t, 'data64', '1020304050607080');
    const first = device.submit({ queue: DOWN, stream: new CommandStream().fence(0) });
    writeDebug(t, 'dma_size', '8');
    assert.deepEqual([...debugBytes(t, 'data_dma')], [0x80, 0x70, 0x60, 0x50, 0x40, 0x30, 0x20, 0x10]);
    const second = device.submit({ queue: UP, stream: new CommandStream().fence(0) });
    assertErrno('EIO', () => writeDebug(t, 'dma_size', '8'));
    assert.equal(debugBytes(t, 'data_dma').length, 0, 'of what failed nothing is left');
    await release(t, UP, 'DMA_1_1');
    await release(t, DOWN, 'DMA_1_1');
    for (const work of [first, second]) await device.wait(work, { signal: t.signal });
  });

  test('what no engine can read is refused', (t) => {
    t.expectMessages(/DMA read failed/);
    using _ = setDebug(t, 'addr', '0');
    const { dram_base_address, dram_size } = t.device.info.hwIp();
    at(t, dram_base_address);
    for (const text of ['0', (128 * MiB + 1).toString(16), 'ffffffff', 'g', '-1'])
      assertErrno('EINVAL', () => writeDebug(t, 'dma_size', text));
    assertErrno('ERANGE', () => writeDebug(t, 'dma_size', '100000000'));
    const host = t.use(t.device.allocHost(4 * KiB));
    for (const address of [
      dram_base_address + dram_size - 4n,
      BigInt(addressMap.CFG_BASE),
      host.deviceAddress,
      BigInt(addressMap.SRAM_BASE - 8),
    ]) {
      at(t, address);
      assertErrno('EINVAL', () => writeDebug(t, 'dma_size', '8'));
    }
  });
}
