import assert from 'node:assert/strict';
import { HostBuffer } from '../../runtime/memory.ts';
import { DRM_IOCTL_HL_MEMORY, memoryOperations } from '../../uapi/habanalabs/memory.ts';
import { suite, type TestContext } from '../suite.ts';
import { assertErrno, assertSame, call, copy, fill, KiB, MiB, pages } from './lib.ts';
import { mappings } from './memory-mappings.ts';

const OP = memoryOperations;
const PAGE = 4 * KiB;
/** DMA0 and its first stream; with the MMU on any external queue moves in either direction. */
const DOWN = 'DMA_0_0';
const HUGE = 2 * MiB;
/** Where the MMU begins: below are the addresses of the chip (gaudi_masks.h, VA_HOST_SPACE_START). */
const FIRST_VIRTUAL = 0x1_0000_0000_0000n;

function buffer(t: TestContext, size: number): HostBuffer {
  return t.use(new HostBuffer(t.target.driver, size));
}

export const memory = suite('memory', 'Host memory through the MMU, and the accounting of DRAM.', (test) => {
  test('a page is mapped above the chip’s own addresses', ({ device }) => {
    using host = device.allocHost(PAGE);
    assert.ok(host.deviceAddress >= FIRST_VIRTUAL, `0x${host.deviceAddress.toString(16)}`);
    assert.equal(host.deviceAddress % BigInt(PAGE), 0n);
  });

  test('mappings of every size from a byte to 64 MiB', ({ device }) => {
    for (const size of [1, 100, PAGE - 1, PAGE, PAGE + 1, 64 * KiB, HUGE, HUGE + PAGE, 64 * MiB]) {
      using host = device.allocHost(size);
      assert.equal(host.size, size);
    }
  });

  test('two hundred mappings do not overlap', (t) => {
    const sizes = Array.from({ length: 200 }, () => PAGE * (1 + t.random.below(16)));
    const maps = sizes.map((size) => t.use(t.device.allocHost(size)));
    const sorted = maps.map((m) => ({ from: m.deviceAddress, to: m.deviceAddress + BigInt(m.size) }));
    sorted.sort((a, b) => (a.from < b.from ? -1 : 1));
    sorted.reduce((a, b) => {
      assert.ok(a.to <= b.from, `0x${a.from.toString(16)} overlaps 0x${b.from.toString(16)}`);
      return b;
    });
  });

  test('the offset within the page is kept', (t) => {
    const host = buffer(t, 4 * PAGE);
    using map = t.device.mapHost(host.address + 100n, PAGE);
    assert.equal(map.deviceAddress % BigInt(PAGE), 100n);
  });

  test('one piece of memory mapped twice has two addresses', (t) => {
    const host = buffer(t, PAGE);
    using first = t.device.mapHost(host.address, PAGE);
    using second = t.device.mapHost(host.address, PAGE);
    assert.notEqual(first.deviceAddress, second.deviceAddress);
  });

  test('a hint is followed where the address is free', (t) => {
    const host = buffer(t, PAGE);
    const free = t.device.mapHost(host.address, PAGE);
    const hint = free.deviceAddress + 256n * BigInt(MiB);
    free[Symbol.dispose]();
    using map = t.device.mapHost(host.address, PAGE, { hint });
    assert.equal(map.deviceAddress, hint);
  });

  test('a hint that is taken is ignored, unless it is forced', (t) => {
    t.expectMessages(
      /Hint address .* will be ignored|Hint address .* could not be respected|hint|no available va block/i,
    );
    const host = buffer(t, 2 * PAGE);
    using taken = t.device.mapHost(host.address, PAGE);
    const hint = taken.deviceAddress;
    using other = t.device.mapHost(host.address + BigInt(PAGE), PAGE, { hint });
    assert.notEqual(other.deviceAddress, hint);
    assertErrno('ENOMEM', () => t.device.mapHost(host.address, PAGE, { hint, forceHint: true }));
  });

  test('huge pages are mapped at a huge boundary', (t) => {
    using host = t.device.allocHost(2 * HUGE, { hugePages: true });
    assert.equal(host.deviceAddress % BigInt(HUGE), 0n);
  });

  test('mapping nothing is refused', (t) => {
    t.expectMessages(/size|invalid|host/i);
    const host = buffer(t, PAGE);
    assertErrno('EINVAL', () => t.device.mapHost(host.address, 0));
  });

  test('memory that is not there is refused', (t) => {
    t.expectMessages(/pin|host|get|user/i);
    assertErrno('EFAULT', () => t.device.mapHost(0x7000n, PAGE));
  });

  test('a range that wraps is refused', (t) => {
    t.expectMessages(/causes integer overflow/);
    assertErrno('EINVAL', () => t.device.mapHost(0xffff_ffff_ffff_f000n, 2 * PAGE));
  });

  test('a mapping ends once', (t) => {
    t.expectMessages(/unmap failed, no mem hnode/);
    const host = buffer(t, PAGE);
    const map = t.device.mapHost(host.address, PAGE);
    map[Symbol.dispose]();
    assertErrno('EINVAL', () => t.device.unmap(map.deviceAddress));
  });

  test('an address that was never mapped cannot be unmapped', (t) => {
    t.expectMessages(/unmap failed, no mem hnode/);
    assertErrno('EINVAL', () => t.device.unmap(FIRST_VIRTUAL));
  });

  test('an unknown operation is refused', (t) => {
    t.expectMessages(/Unknown opcode for memory IOCTL/);
    assertErrno('EINVAL', () => call(t.device, DRM_IOCTL_HL_MEMORY, { in: { op: 99 } }));
  });

  test('mapping device memory by handle is impossible on this chip', (t) => {
    t.expectMessages(/no match for handle/);
    assertErrno('EINVAL', () =>
      call(t.device, DRM_IOCTL_HL_MEMORY, { in: { op: OP.HL_MEM_OP_MAP.value, map_device: { handle: 1n } } }),
    );
  });

  test('blocks of registers cannot be mapped on this chip', (t) => {
    t.expectMessages(/block/i);
    assertErrno('EPERM', () => t.device.mapBlock(0n));
  });

  test('allocated DRAM is counted and given back', ({ device }) => {
    const before = device.info.dramUsage();
    const piece = device.dram.allocate(3 * MiB);
    const during = device.info.dramUsage();
    assert.equal(during.ctx_dram_mem - before.ctx_dram_mem, BigInt(3 * MiB));
    assert.equal(before.dram_free_mem - during.dram_free_mem, BigInt(3 * MiB));
    piece[Symbol.dispose]();
    assert.deepEqual(device.info.dramUsage(), before);
  });

  test('allocating nothing is refused', (t) => {
    t.expectMessages(/alloc size must be larger than 0/);
    assertErrno('EINVAL', () => call(t.device, DRM_IOCTL_HL_MEMORY, { in: { op: OP.HL_MEM_OP_ALLOC.value } }));
  });

  test('after a page is mapped anew the device sees the new memory', async (t) => {
    // a translation that survived the unmapping would read the old page
    const { device } = t;
    const old = pages(t, 1);
    const fresh = pages(t, 1);
    fill(old.bytes, t.random);
    fill(fresh.bytes, t.random);
    const result = t.use(device.allocHost(PAGE));
    const sram = t.use(device.sram.allocate(PAGE));
    const map = device.mapHost(old.address, PAGE);
    const hint = map.deviceAddress;
    await copy(t, DOWN, sram.address, map.deviceAddress, PAGE);
    map[Symbol.dispose]();
    using again = device.mapHost(fresh.address, PAGE, { hint });
    assert.equal(again.deviceAddress, hint);
    await copy(t, DOWN, sram.address, again.deviceAddress, PAGE);
    await copy(t, DOWN, result.deviceAddress, sram.address, PAGE);
    assertSame(result.bytes, fresh.bytes, 'what the device read');
  });

  test('scattered pages are one range for the device', async (t) => {
    const { device } = t;
    const size = 3 * MiB;
    const source = t.use(device.allocHost(size));
    const result = t.use(device.allocHost(size));
    const dram = t.use(device.dram.allocate(size));
    fill(source.bytes, t.random);
    await copy(t, DOWN, dram.address, source.deviceAddress, size);
    await copy(t, DOWN, result.deviceAddress, dram.address, size);
    assertSame(result.bytes, source.bytes, 'copied');
  });

  mappings(test);
});
