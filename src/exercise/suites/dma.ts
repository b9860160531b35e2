import assert from 'node:assert/strict';
import { CommandStream, type Place } from '../../runtime/command-stream.ts';
import { suite, type TestContext } from '../suite.ts';
import { stridedTransfers } from './dma-strided.ts';
import { assertSame, copy, fill, GiB, KiB, MiB, run } from './lib.ts';

/** External queues: DMA0 moves from the host, DMA1 to it (gaudi.c, gaudi_dma_assignment). */
const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';

/** Sends noise to `place` and back, and compares. */
async function roundTrip(t: TestContext, place: bigint, size: number, from = 0, to = 0): Promise<void> {
  const source = t.use(t.device.allocHost(size + from));
  const result = t.use(t.device.allocHost(size + to + 64));
  fill(source.bytes, t.random);
  result.bytes.fill(0xa5);
  await copy(t, DOWN, place, source.deviceAddress + BigInt(from), size);
  await copy(t, UP, result.deviceAddress + BigInt(to), place, size);
  assertSame(result.bytes.subarray(to, to + size), source.bytes.subarray(from), 'what came back');
  const around = [...result.bytes.subarray(0, to), ...result.bytes.subarray(to + size)];
  assert.ok(
    around.every((byte) => byte === 0xa5),
    'bytes beside the transfer were written',
  );
}

const sizes = [1, 2, 3, 7, 64, 127, 128, 4095, 4096, 4097, 64 * KiB, MiB + 1];

export const dma = suite('dma', 'Linear and strided transfers between host, SRAM and HBM.', (test) => {
  for (const size of sizes) {
    test(`host to SRAM and back, ${size} bytes`, async (t) => {
      await roundTrip(t, t.use(t.device.sram.allocate(size)).address, size);
    });
    test(`host to HBM and back, ${size} bytes`, async (t) => {
      await roundTrip(t, t.use(t.device.dram.allocate(size)).address, size);
    });
  }

  test('host to HBM and back, 64 MiB', async (t) => {
    await roundTrip(t, t.use(t.device.dram.allocate(64 * MiB)).address, 64 * MiB);
  });

  test('host to SRAM and back, 16 MiB', async (t) => {
    await roundTrip(t, t.use(t.device.sram.allocate(16 * MiB)).address, 16 * MiB);
  });

  test('1 GiB within HBM', async (t) => {
    const { device } = t;
    const [from, to] = [t.use(device.dram.allocate(GiB)), t.use(device.dram.allocate(GiB))];
    const marks = t.use(device.allocHost(64 * KiB));
    fill(marks.bytes, t.random);
    const places = [0, MiB - 100, GiB / 2 + 12345, GiB - marks.size];
    // zero between the marks, as most memory is: the target had something else there
    const stream = new CommandStream().memset(from, 0n, GiB).memset(to.at(GiB / 4), 0x0123_4567_89ab_cdefn, MiB);
    for (const place of places) stream.dma(from.at(place), marks, marks.size);
    await run(t, DOWN, stream.dma(to, from, GiB));
    const result = t.use(device.allocHost(marks.size));
    for (const place of places) {
      await copy(t, UP, result, to.at(place), result.size);
      assertSame(result.bytes, marks.bytes, `at ${place}`);
    }
    await copy(t, UP, result, to.at(GiB / 4), 8);
    assert.equal(result.view.getBigUint64(0, true), 0n);
  });

  test('every alignment of source and destination', async (t) => {
    const { device } = t;
    const size = 1000;
    const source = t.use(device.allocHost(2048));
    const result = t.use(device.allocHost(2048));
    const sram = t.use(device.sram.allocate(4096));
    fill(source.bytes, t.random);
    for (let i = 0; i < 64; i++) {
      const [from, between, to] = [t.random.below(900), t.random.below(3000), t.random.below(900)];
      result.bytes.fill(0);
      await copy(t, DOWN, sram.at(between), source.deviceAddress + BigInt(from), size);
      await copy(t, UP, result.deviceAddress + BigInt(to), sram.at(between), size);
      assertSame(
        result.bytes.subarray(to, to + size),
        source.bytes.subarray(from, from + size),
        `${from} ${between} ${to}`,
      );
    }
  });

  test('host to host', async (t) => {
    const source = t.use(t.device.allocHost(MiB));
    const result = t.use(t.device.allocHost(MiB));
    fill(source.bytes, t.random);
    await copy(t, DOWN, result, source, MiB);
    assertSame(result.bytes, source.bytes, 'copied');
  });

  test('SRAM to HBM and HBM to SRAM', async (t) => {
    const { device } = t;
    const size = 3 * MiB + 5;
    const source = t.use(device.allocHost(size));
    const result = t.use(device.allocHost(size));
    const [sram, other] = [t.use(device.sram.allocate(size)), t.use(device.sram.allocate(size))];
    const dram = t.use(device.dram.allocate(size));
    fill(source.bytes, t.random);
    await copy(t, DOWN, sram, source, size);
    await copy(t, DOWN, dram, sram, size);
    await copy(t, UP, other, dram, size);
    await copy(t, UP, result, other, size);
    assertSame(result.bytes, source.bytes, 'copied');
  });

  test('the end of HBM', async (t) => {
    const end = t.device.dram.base + t.device.dram.size;
    await roundTrip(t, end - 4096n, 4096);
  });

  test('a transfer of nothing ends, and writes nothing', async (t) => {
    const source = t.use(t.device.allocHost(4096));
    const result = t.use(t.device.allocHost(4096));
    source.bytes.fill(1);
    result.bytes.fill(2);
    const nothing = { tsize: 0, src: source.deviceAddress, dst: result.deviceAddress };
    await run(t, DOWN, new CommandStream().packet('LIN_DMA', nothing));
    assert.ok(result.bytes.every((byte) => byte === 2));
  });

  test('filling SRAM and HBM, any size', async (t) => {
    const { device } = t;
    const result = t.use(device.allocHost(64 * KiB));
    for (const memory of [t.use(device.sram.allocate(64 * KiB)), t.use(device.dram.allocate(64 * KiB))]) {
      for (const size of [1, 7, 8, 9, 4096, 60_001]) {
        await run(
          t,
          DOWN,
          new CommandStream()
            .memset(memory, 0xeeee_eeee_eeee_eeeen, 64 * KiB)
            .memset(memory, 0x1122_3344_5566_7788n, size),
        );
        await copy(t, UP, result, memory, 64 * KiB);
        const pattern = [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11];
        const expected = Uint8Array.from({ length: 64 * KiB }, (_, i) =>
          i < size ? (pattern[i % 8] as number) : 0xee,
        );
        assertSame(result.bytes, expected, `${size} bytes`);
      }
    }
  });

  test('256 pieces gathered in one submission', async (t) => {
    const { device } = t;
    const [count, piece] = [256, 1234];
    const source = t.use(device.allocHost(count * piece));
    const result = t.use(device.allocHost(count * piece));
    const dram = t.use(device.dram.allocate(count * piece));
    fill(source.bytes, t.random);
    const order = Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = t.random.below(i + 1);
      [order[i], order[j]] = [order[j] as number, order[i] as number];
    }
    const stream = new CommandStream();
    order.forEach((from, to) => {
      stream.dma(dram.at(to * piece), source.deviceAddress + BigInt(from * piece), piece);
    });
    await run(t, DOWN, stream);
    await copy(t, UP, result, dram, count * piece);
    order.forEach((from, to) => {
      const got = result.bytes.subarray(to * piece, (to + 1) * piece);
      assertSame(got, source.bytes.subarray(from * piece, (from + 1) * piece), `piece ${to}`);
    });
  });

  test('both directions at once', async (t) => {
    const { device } = t;
    const size = 8 * MiB;
    const [down, up] = [t.use(device.allocHost(size)), t.use(device.allocHost(size))];
    const [first, second] = [t.use(device.dram.allocate(size)), t.use(device.dram.allocate(size))];
    const check = t.use(device.allocHost(size));
    fill(down.bytes, t.random);
    await run(t, DOWN, new CommandStream().memset(second, 0x5a5a_5a5a_5a5a_5a5an, size));
    await Promise.all([copy(t, DOWN, first, down, size), copy(t, UP, up, second, size)]);
    await copy(t, UP, check, first, size);
    assertSame(check.bytes, down.bytes, 'down');
    assert.ok(
      up.words.every((word) => word === 0x5a5a5a5a),
      'up',
    );
  });

  test('later work of a queue sees what earlier work wrote', async (t) => {
    const { device } = t;
    const size = 4 * MiB;
    const source = t.use(device.allocHost(size));
    const result = t.use(device.allocHost(size));
    const chain = Array.from({ length: 6 }, () => t.use(device.dram.allocate(size)));
    fill(source.bytes, t.random);
    const stream = new CommandStream();
    let from: Place = source;
    for (const next of [...chain, result]) {
      stream.dma(next, from, size);
      from = next;
    }
    await run(t, DOWN, stream);
    assertSame(result.bytes, source.bytes, 'after seven copies');
  });

  test('forty transfers that do not wait for each other have all been made at the end', async (t) => {
    const { device } = t;
    const [count, piece] = [40, 64 * KiB];
    const source = t.use(device.allocHost(count * piece));
    const result = t.use(device.allocHost(count * piece));
    const copies = t.use(device.dram.allocate(count * piece));
    fill(source.bytes, t.random);
    const stream = new CommandStream();
    // more than any engine holds at a time
    for (let i = 0; i < count; i++) {
      const at = BigInt(i * piece);
      stream.dma(copies.address + at, source.deviceAddress + at, piece, { eb: false });
    }
    await run(t, DOWN, stream);
    await copy(t, UP, result, copies, count * piece);
    assertSame(result.bytes, source.bytes, 'what came back');
  });

  stridedTransfers(test);
});
