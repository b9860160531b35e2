/** Transfers of up to five dimensions, which programs start by writing the registers of the DMA core. */

import assert from 'node:assert/strict';
import { COMMIT, dmaCore } from '../../../specs/gaudi/registers/dma-core.ts';
import { addressOf, CommandStream, type Place } from '../../runtime/command-stream.ts';
import type { HostMemory } from '../../runtime/memory.ts';
import type { Random } from '../../sim/random.ts';
import type { Declare, TestContext } from '../suite.ts';
import { assertSame, copy, fill, KiB, run } from './lib.ts';
import { hold } from './sync-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
const DIMENSIONS = 4;
const SIZE = 64 * KiB;
const { rows } = dmaCore;

/** Rows of `row` bytes, so many of them so far apart, innermost dimension first; all of it `offset` bytes into a memory. */
interface Shape {
  readonly offset: number;
  readonly row: number;
  readonly dimensions: readonly { readonly count: number; readonly stride: number }[];
}

/** Packets that set one side of a transfer; dimensions that it does not have are 1. */
function side(stream: CommandStream, which: 'SRC' | 'DST', place: Place, shape: Shape): void {
  const address = addressOf(place) + BigInt(shape.offset);
  stream.register(rows[`${which}_BASE_LO`].offset, Number(address & 0xffff_ffffn));
  stream.register(rows[`${which}_BASE_HI`].offset, Number(address >> 32n));
  const [size, stride] = [rows[`${which}_TSIZE`], rows[`${which}_STRIDE`]];
  for (let n = 0; n < DIMENSIONS; n++) {
    const dimension = shape.dimensions[n] ?? { count: 1, stride: 0 };
    stream.register(size.offset + 8 * n, dimension.count);
    stream.register(stride.offset + 8 * n, dimension.stride);
  }
  stream.register(rows[`${which}_TSIZE_0`].offset, shape.row);
}

/**
 * Starts the transfer that the registers describe, and waits for its end: the packets with which the driver ends a command
 * buffer wait for the engine only where it has seen a LIN_DMA (gaudi.c, gaudi_validate_cb, contains_dma_pkt).
 */
function commit(stream: CommandStream, mode = 0): CommandStream {
  return stream.register(rows.COMMIT.offset, mode).nop();
}

function strided(to: Place, target: Shape, from: Place, source: Shape): CommandStream {
  const stream = new CommandStream();
  side(stream, 'SRC', from, source);
  side(stream, 'DST', to, target);
  return commit(stream);
}

/** Where each row begins, in the order in which the engine walks them. */
function rowsOf({ offset, dimensions }: Shape): number[] {
  let starts = [offset];
  for (const { count, stride } of dimensions)
    starts = Array.from({ length: count }, (_, i) => starts.map((start) => start + i * stride)).flat();
  return starts;
}

/** What `target` must hold after the transfer. */
function expected(before: Uint8Array, target: Shape, memory: Uint8Array, source: Shape): Uint8Array {
  const bytes = new Uint8Array(source.row * rowsOf(source).length);
  for (const [i, start] of rowsOf(source).entries())
    bytes.set(memory.subarray(start, start + source.row), i * source.row);
  const after = before.slice();
  for (const [i, start] of rowsOf(target).entries())
    after.set(bytes.subarray(i * target.row, (i + 1) * target.row), start);
  return after;
}

interface Fixture {
  readonly source: HostMemory;
  readonly result: HostMemory;
  readonly sram: { readonly address: bigint };
}

/** Noise in host memory, and SRAM as large. */
function fixture(t: TestContext): Fixture {
  const source = t.use(t.device.allocHost(SIZE));
  fill(source.bytes, t.random);
  return { source, result: t.use(t.device.allocHost(SIZE)), sram: t.use(t.device.sram.allocate(SIZE)) };
}

/** Copies from `source` to SRAM by the shapes and compares all of the SRAM. */
async function check(t: TestContext, { source, result, sram }: Fixture, to: Shape, from: Shape): Promise<void> {
  await run(t, DOWN, new CommandStream().memset(sram, 0xa5a5_a5a5_a5a5_a5a5n, SIZE));
  await run(t, DOWN, strided(sram, to, source, from));
  await copy(t, UP, result, sram, SIZE);
  const before = new Uint8Array(SIZE).fill(0xa5);
  assertSame(result.bytes, expected(before, to, source.bytes, from), JSON.stringify({ to, from }));
}

function line(size: number, offset = 0): Shape {
  return { offset, row: size, dimensions: [] };
}

/** A shape of these counts whose rows do not overlap, with gaps of up to `gap` bytes. */
function spread(random: Random, row: number, counts: readonly number[], gap: number): Shape {
  const offset = random.below(gap + 1);
  let span = row;
  const dimensions = counts.map((count) => {
    const stride = span + random.below(gap + 1);
    span = stride * (count - 1) + span;
    return { count, stride };
  });
  return { offset, row, dimensions };
}

function shuffled(list: readonly number[], random: Random): number[] {
  const order = [...list];
  for (let i = order.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}

export function stridedTransfers(test: Declare): void {
  test('rows far apart become one line', async (t) => {
    const rows = { offset: 3, row: 100, dimensions: [{ count: 50, stride: 1000 }] };
    await check(t, fixture(t), line(5000, 7), rows);
  });

  test('one line becomes rows far apart', async (t) => {
    const rows = { offset: 5, row: 100, dimensions: [{ count: 50, stride: 1001 }] };
    await check(t, fixture(t), rows, line(5000, 11));
  });

  test('rows of one length become rows of another', async (t) => {
    const from = { offset: 0, row: 60, dimensions: [{ count: 40, stride: 640 }] };
    const to = { offset: 0, row: 48, dimensions: [{ count: 50, stride: 1024 }] };
    await check(t, fixture(t), to, from);
  });

  test('a row that is read ten times', async (t) => {
    const from = { offset: 1024, row: 300, dimensions: [{ count: 10, stride: 0 }] };
    await check(t, fixture(t), line(3000), from);
  });

  test('columns become rows: a matrix is transposed', async (t) => {
    const [height, width, element] = [24, 40, 4];
    const from = {
      offset: 0,
      row: element,
      dimensions: [
        { count: height, stride: width * element },
        { count: width, stride: element },
      ],
    };
    await check(t, fixture(t), line(height * width * element), from);
  });

  test('a tile is cut out of a matrix and put into another', async (t) => {
    const from = { offset: 10 * 256 + 32, row: 64, dimensions: [{ count: 16, stride: 256 }] };
    const to = { offset: 100 * 512 + 128, row: 64, dimensions: [{ count: 16, stride: 512 }] };
    await check(t, fixture(t), to, from);
  });

  for (let dimensions = 1; dimensions <= DIMENSIONS; dimensions++) {
    test(`any shapes of up to ${dimensions + 1} dimensions on both sides`, async (t) => {
      const memory = fixture(t);
      for (let round = 0; round < 8; round++) {
        const factors = Array.from({ length: dimensions + 1 }, () => 1 + t.random.below(5));
        const shape = (gap: number) => {
          const [row, ...counts] = shuffled(factors, t.random) as [number, ...number[]];
          return spread(t.random, 4 * row, counts, gap);
        };
        await check(t, memory, shape(2), shape(2));
      }
    });
  }

  test('from HBM to host memory', async (t) => {
    const { source, result } = fixture(t);
    const dram = t.use(t.device.dram.allocate(SIZE));
    await copy(t, DOWN, dram, source, SIZE);
    const from = { offset: 64, row: 96, dimensions: [{ count: 30, stride: 2000 }] };
    const to = { offset: 4000, row: 96, dimensions: [{ count: 30, stride: 128 }] };
    await run(t, UP, strided(result, to, dram, from));
    assertSame(result.bytes, expected(new Uint8Array(SIZE), to, source.bytes, from), 'copied');
  });

  test('rows are filled, and what lies between them is not', async (t) => {
    const { result, sram } = fixture(t);
    await run(t, DOWN, new CommandStream().memset(sram, 0n, SIZE));
    const to = {
      offset: 128,
      row: 64,
      dimensions: [
        { count: 10, stride: 256 },
        { count: 4, stride: 8192 },
      ],
    };
    const stream = new CommandStream();
    side(stream, 'DST', sram, to);
    stream.register(rows.SRC_BASE_LO.offset, 0x3333_4444).register(rows.SRC_BASE_HI.offset, 0x1111_2222);
    await run(t, DOWN, commit(stream, COMMIT.MEM_SET));
    await copy(t, UP, result, sram, SIZE);
    const pattern = new Uint8Array(new BigUint64Array(8 * 40).fill(0x1111_2222_3333_4444n).buffer);
    assertSame(result.bytes, expected(new Uint8Array(SIZE), to, pattern, line(pattern.length)), 'filled');
  });

  test('a linear transfer after a strided one is linear', async (t) => {
    const { source, result, sram } = fixture(t);
    const from = { offset: 0, row: 8, dimensions: [{ count: 16, stride: 64 }] };
    await run(t, DOWN, strided(sram, line(128), source, from).dma(sram, source, SIZE));
    await copy(t, UP, result, sram, SIZE);
    assertSame(result.bytes, source.bytes, 'copied');
  });

  test('a strided transfer counts up its sync object when it has landed', async (t) => {
    const { source, result, sram } = fixture(t);
    const object = t.device.sync('W_S').syncObject();
    const from = { offset: 0, row: 8, dimensions: [{ count: 512, stride: 64 }] };
    const stream = new CommandStream();
    stream.register(rows.WR_COMP_ADDR_LO.offset, Number(object.address & 0xffff_ffffn));
    stream.register(rows.WR_COMP_ADDR_HI.offset, Number(object.address >> 32n));
    stream.register(rows.WR_COMP_WDATA.offset, 7);
    side(stream, 'SRC', source, from);
    side(stream, 'DST', sram, line(4096));
    await run(t, DOWN, stream.register(rows.COMMIT.offset, COMMIT.WR_COMP_EN));
    await run(t, UP, hold(UP, t.device.sync('W_S').monitor(), [object], 7).dma(result, sram, 4096));
    const copied = expected(new Uint8Array(SIZE), line(4096), source.bytes, from);
    assert.equal(Buffer.compare(result.bytes.subarray(0, 4096), copied.subarray(0, 4096)), 0);
  });
}
