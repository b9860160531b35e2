import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RangeAllocator } from '../../src/runtime/allocator.ts';
import { DisposedError, ExhaustedError, InvalidArgumentError, OutOfMemoryError } from '../../src/runtime/errors.ts';
import { hl_info_hw_ip_info } from '../../src/uapi/habanalabs/info-results.ts';
import { seed } from '../seed.ts';
import { type FakeDriver, refuse } from './fake-driver.ts';
import { assertGolden, CB, INFO, MEMORY, open, reply } from './lib.ts';

test('host memory: mapped with these bytes, unmapped with those, and the memory goes', () => {
  const { driver, device } = open();
  driver.on(MEMORY, reply('mapped'));
  const host = device.allocHost(8192, { hint: 0x1_0000_0000_0000n, forceHint: true });
  assert.equal(host.deviceAddress, 0x1_0000_0000_0000n);
  assert.equal(host.bytes.length, 8192);
  host.words[1] = 0x01020304;
  assert.equal(host.bytes[4], 4);
  const { bytes } = host;
  host[Symbol.dispose]();
  host[Symbol.dispose]();
  const [map, unmap, ...rest] = driver.asked(MEMORY);
  assertGolden(map, 'map');
  assertGolden(unmap, 'unmap');
  assert.equal(rest.length, 0);
  assert.equal(bytes.length, 0, 'a view that somebody kept is empty');
  assert.throws(() => host.bytes, DisposedError);
  assert.equal(driver.memory.size, 0);
});

test('host memory: when mapping fails the memory is freed', () => {
  const { driver, device } = open();
  driver.on(MEMORY, () => refuse('ENOMEM'));
  assert.throws(
    () => device.allocHost(4096),
    (error: unknown) =>
      error instanceof OutOfMemoryError &&
      /^MEMORY HL_MEM_OP_MAP \{host_virt_addr: 0x700000000000, hint_addr: 0, mem_size: 4096, flags: 4\}: ENOMEM/.test(
        error.message,
      ),
  );
  assert.equal(driver.memory.size, 0);
  assert.equal(driver.asked(MEMORY).length, 1);
});

test('host memory: a card in reset cannot unmap, and that is no error; a wrong address is', () => {
  const { driver, device } = open();
  driver.on(MEMORY, reply('mapped'), () => refuse('EBUSY'));
  device.allocHost(4096)[Symbol.dispose]();
  assert.equal(driver.memory.size, 0);

  const second = open();
  second.driver.on(MEMORY, reply('mapped'), () => refuse('EINVAL'));
  const host = second.device.allocHost(4096);
  assert.throws(() => host[Symbol.dispose](), InvalidArgumentError);
  assert.equal(second.driver.memory.size, 0, 'the memory goes all the same');
});

test('closing the device gives back what is left, the last first, before the node is closed', () => {
  const { driver, device } = open();
  driver.on(MEMORY, reply('mapped')).on(CB, reply('cbCreated'));
  device.allocHost(4096);
  device.createCb(5000);
  driver.log.length = 0;
  driver.requests.length = 0;
  device.close();
  assert.deepEqual(
    driver.requests.map((request) => request.number),
    [CB, MEMORY],
  );
  assert.equal(driver.log.at(-1), 'close 3');
  assert.equal(driver.memory.size, 0);
});

test('command buffers: created, mapped whole pages long at their handle, destroyed', () => {
  const { driver, device } = open();
  driver.on(CB, reply('cbCreated'));
  const buffer = device.createCb(5000);
  assert.equal(buffer.handle, 0x2000_0000_0000_1000n);
  assert.equal(buffer.bytes.length, 5000);
  assert.ok(driver.log.includes('mmap 8192 at 0x2000000000001000'));
  buffer.usage();
  buffer[Symbol.dispose]();
  buffer[Symbol.dispose]();
  const [create, info, destroy, ...rest] = driver.asked(CB);
  assertGolden(create, 'cbCreate');
  assertGolden(info, 'cbInfo');
  assertGolden(destroy, 'cbDestroy');
  assert.equal(rest.length, 0);
  assert.throws(() => buffer.bytes, DisposedError);
});

test('command buffers: when mapping fails the buffer is destroyed', () => {
  const { driver, device } = open();
  driver.on(CB, reply('cbCreated'));
  driver.mmapAnswers = ['ENOMEM'];
  assert.throws(() => device.createCb(5000), /mmap: ENOMEM/);
  assertGolden(driver.asked(CB)[1], 'cbDestroy');
});

test('timestamp buffers and dma-bufs', () => {
  const { driver, device } = open();
  driver.on(MEMORY, reply('cbCreated'), reply('exported'));
  const stamps = device.allocTimestamps(1000);
  assertGolden(driver.asked(MEMORY)[0], 'tsAlloc');
  assert.equal(stamps.timestamps.length, 1000);
  assert.ok(driver.log.includes('mmap 8192 at 0x2000000000001000'));

  driver.open_.set(9, '/dmabuf:');
  const buffer = device.exportDmaBuf(0x2000_0000n, 0x2000);
  assertGolden(driver.asked(MEMORY)[1], 'export');
  assert.equal(buffer.fd, 9);
  device.close();
  assert.throws(() => buffer.fd, DisposedError);
  assert.equal(driver.open_.size, 0);
  assert.equal(driver.memory.size, 0);
});

/** A card with 1 MiB of SRAM and 4 MiB of DRAM. */
function withMemory(driver: FakeDriver): void {
  driver.on(INFO, (_argument, request) => {
    const pointer = new DataView(request.bytes.buffer).getBigUint64(0, true);
    hl_info_hw_ip_info.encodeInto(driver.at(pointer, hl_info_hw_ip_info.size), 0, {
      sram_base_address: 0x7f_f000_0080n,
      sram_size: 1 << 20,
      dram_base_address: 0x2000_0000n,
      dram_size: 4 << 20,
    });
    return undefined;
  });
}

test('DRAM: pieces that do not overlap, counted with the driver', () => {
  const { driver, device } = open();
  withMemory(driver);
  using a = device.dram.allocate(1 << 20);
  assert.equal(a.address, 0x2000_0000n);
  assertGolden(driver.asked(MEMORY)[0], 'alloc');
  const b = device.dram.allocate(3 << 20);
  assert.equal(b.address, 0x2010_0000n);
  assert.throws(() => device.dram.allocate(1), ExhaustedError);
  b[Symbol.dispose]();
  b[Symbol.dispose]();
  a[Symbol.dispose]();
  assertGolden(driver.asked(MEMORY).at(-1), 'free');
  assert.equal(device.dram.allocate(4 << 20).address, 0x2000_0000n);
});

test('DRAM: when the driver refuses, the piece is free again', () => {
  const { driver, device } = open();
  withMemory(driver);
  driver.on(
    MEMORY,
    () => refuse('EINVAL'),
    () => undefined,
  );
  assert.throws(() => device.dram.allocate(4 << 20), InvalidArgumentError);
  assert.equal(device.dram.allocate(4 << 20).address, 0x2000_0000n);
});

test('SRAM: aligned pieces, and no call of the driver', () => {
  const { driver, device } = open();
  withMemory(driver);
  assert.equal(device.sram.allocate(100).address, 0x7f_f000_0080n);
  assert.equal(device.sram.allocate(100, 4096).address, 0x7f_f000_1000n);
  assert.equal(driver.asked(MEMORY).length, 0);
});

test('an allocator gives pieces inside its range that never overlap, and all of it again in the end', () => {
  const step = fc.oneof(
    fc.record({ size: fc.integer({ min: 1, max: 300 }), align: fc.constantFrom(1, 8, 64) }),
    fc.record({ free: fc.nat() }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const allocator = new RangeAllocator('test', 100n, 1124n);
      const live: { start: bigint; end: bigint }[] = [];
      for (const s of steps) {
        if ('free' in s) {
          const [piece] = live.splice(s.free % Math.max(live.length, 1), 1);
          if (piece) allocator.free(piece.start);
          continue;
        }
        let start: bigint;
        try {
          start = allocator.allocate(BigInt(s.size), BigInt(s.align));
        } catch (error) {
          assert.ok(error instanceof ExhaustedError);
          continue;
        }
        const piece = { start, end: start + BigInt(s.size) };
        assert.ok(piece.start >= 100n && piece.end <= 1124n && piece.start % BigInt(s.align) === 0n);
        assert.ok(live.every((other) => other.end <= piece.start || piece.end <= other.start));
        live.push(piece);
      }
      for (const piece of live) allocator.free(piece.start);
      assert.equal(allocator.allocate(1024n), 100n);
    }),
    { seed: seed() },
  );
});

test('an allocator refuses nonsense', () => {
  const allocator = new RangeAllocator('test', 0n, 16n);
  assert.throws(() => allocator.allocate(0n), RangeError);
  assert.throws(() => allocator.allocate(1n, 3n), RangeError);
  assert.throws(() => allocator.free(4n), RangeError);
});
