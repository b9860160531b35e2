/**
 * What one transfer of a DMA core moves: the descriptor, and cursors that walk its source and its destination.
 *
 * A cursor is up to five-dimensional: rows of TSIZE_0 bytes; TSIZE_1 of them STRIDE_1 bytes apart, TSIZE_2 such planes
 * STRIDE_2 bytes apart, and so on. The bytes of the source in its order go to the bytes of the destination in its order.
 * Source: dma0_core_regs.h for the registers; for their use a public client of the chip that copies one row ten times
 * with a source stride of 0 (hl-thunk-open, tests/gaudi/gaudi_dma.c), which is also why the dimensions that it does not
 * need have a size of 1.
 */

import { COMMIT, type dmaCore } from '../../specs/gaudi/registers/dma-core.ts';
import { ModelError } from '../sim/errors.ts';
import type { RegisterBlock } from '../sim/registers.ts';

/** One side of a transfer. */
export interface Shape {
  /** Device address of the first byte. */
  readonly base: number;
  /** Bytes of a row. */
  readonly row: number;
  /** Rows per dimension, the innermost first; empty for a linear transfer. */
  readonly counts: readonly number[];
  /** Bytes from one to the next, per dimension. */
  readonly strides: readonly number[];
}

export interface Descriptor {
  /** Undefined: a memset. */
  readonly source: Shape | undefined;
  readonly destination: Shape;
  /** Of a memset: eight bytes that repeat from the first byte of the destination on. */
  readonly pattern: Uint8Array;
  /** The message after the last byte, where WR_COMP_EN asks for it. */
  readonly completion: { readonly address: number; readonly value: number } | undefined;
}

/** Reads a descriptor out of the registers, as a write of `commit` to COMMIT does. @throws ModelError */
export function descriptor(registers: RegisterBlock<typeof dmaCore.rows>, commit: number): Descriptor {
  const where = `${registers.name}.COMMIT`;
  for (const mode of ['TRANSPOSE', 'COMPRESS', 'DECOMPRESS', 'DTYPE'] as const) {
    if (commit & COMMIT[mode]) throw new ModelError('unimplemented', where, `${mode} mode`);
  }
  if (registers.get('WR_AWUSER_31_11') & ~1) {
    const value = registers.get('WR_AWUSER_31_11').toString(16);
    throw new ModelError('unimplemented', `${registers.name}.WR_AWUSER_31_11`, `reduction in memory (0x${value})`);
  }
  const linear = (commit & COMMIT.LIN) !== 0;
  const memset = (commit & COMMIT.MEM_SET) !== 0;
  const destinationBase = (registers.get('DST_BASE_HI') & 0xff_ffff) * 2 ** 32 + registers.get('DST_BASE_LO');
  const sourceBase = registers.get('SRC_BASE_HI') * 2 ** 32 + registers.get('SRC_BASE_LO');
  const destination = shape('DST', destinationBase);
  const source = memset ? undefined : shape('SRC', sourceBase);
  const pattern = new Uint8Array(8);
  if (memset) {
    const view = new DataView(pattern.buffer);
    view.setUint32(0, registers.get('SRC_BASE_LO'), true);
    view.setUint32(4, registers.get('SRC_BASE_HI'), true);
    if (!linear && destination.row % 8 !== 0 && !uniform(pattern)) {
      throw new ModelError('undefined', where, `pattern of 8 bytes on rows of ${destination.row} bytes`);
    }
  }
  if (linear && source) refuseOverlap(where, source, destination);
  if (!linear && source && total(source) !== total(destination)) {
    throw new ModelError('undefined', where, `source of ${total(source)}, destination of ${total(destination)} bytes`);
  }
  const completion =
    commit & COMMIT.WR_COMP_EN
      ? {
          address: registers.get('WR_COMP_ADDR_HI') * 2 ** 32 + registers.get('WR_COMP_ADDR_LO'),
          value: registers.get('WR_COMP_WDATA'),
        }
      : undefined;
  return { source, destination, pattern, completion };

  function shape(side: 'SRC' | 'DST', base: number): Shape {
    // A linear transfer has its one size in DST_TSIZE_0 (gaudi.c, gaudi_scrub_device_dram, gaudi_dma_core_transfer).
    if (linear) return { base, row: registers.get('DST_TSIZE_0'), counts: [], strides: [] };
    const row = registers.get(`${side}_TSIZE_0`);
    const counts = [0, 1, 2, 3].map((d) => registers.get(`${side}_TSIZE`, d));
    const strides = [0, 1, 2, 3].map((d) => registers.get(`${side}_STRIDE`, d));
    if (row === 0 || counts.includes(0)) {
      throw new ModelError('undefined', where, `${side}_TSIZE of 0 (rows of ${row}, counts ${counts.join(', ')})`);
    }
    return { base, row, counts, strides };
  }
}

/**
 * Copying a region onto itself, or towards lower addresses, has one outcome. Towards higher addresses within itself it
 * depends on how far the engine reads ahead of its writes.
 */
function refuseOverlap(where: string, source: Shape, destination: Shape): void {
  if (destination.base > source.base && destination.base < source.base + source.row) {
    throw new ModelError(
      'undefined',
      where,
      `destination 0x${destination.base.toString(16)} lies within the source 0x${source.base.toString(16)}`,
    );
  }
}

function total({ row, counts }: Shape): bigint {
  return counts.reduce((product, count) => product * BigInt(count), BigInt(row));
}

function uniform(pattern: Uint8Array): boolean {
  return pattern.every((byte) => byte === pattern[0]);
}

/** Walks a shape. It never needs the number of bytes, which may be beyond any integer. */
class Cursor {
  readonly #shape: Shape;
  readonly #position: number[];
  #rowStart: number;
  #offset = 0;
  #done: boolean;

  constructor(shape: Shape) {
    this.#shape = shape;
    this.#position = shape.counts.map(() => 0);
    this.#rowStart = shape.base;
    this.#done = shape.row === 0;
  }

  get done(): boolean {
    return this.#done;
  }

  /** Device address of the next byte; it may lie outside of what an address can be. */
  get address(): number {
    return this.#rowStart + this.#offset;
  }

  /** Bytes from `address` on that lie next to each other, at least 1 unless done. */
  get run(): number {
    return this.#shape.row - this.#offset;
  }

  /** @param length at most `run` */
  advance(length: number): void {
    this.#offset += length;
    if (this.#offset < this.#shape.row) return;
    this.#offset = 0;
    const { base, counts, strides } = this.#shape;
    const position = this.#position;
    let d = 0;
    while (d < counts.length) {
      const next = (position[d] as number) + 1;
      if (next < (counts[d] as number)) {
        position[d] = next;
        break;
      }
      position[d++] = 0;
    }
    if (d === counts.length) {
      this.#done = true;
      return;
    }
    this.#rowStart = base;
    for (let i = 0; i < counts.length; i++) this.#rowStart += (position[i] as number) * (strides[i] as number);
  }
}

/** A run of bytes that lie next to each other on both sides. */
export interface Piece {
  /** Device address of the first source byte; unused by a memset. */
  readonly from: number;
  readonly to: number;
  readonly length: number;
  /** Bytes of the destination before it, modulo 8: where in the pattern of a memset it begins. */
  readonly phase: number;
}

/**
 * Cuts a transfer into slices of at most `bytes` bytes and `pieces` pieces, in order; none when there is nothing to move.
 */
export function* slices(
  { source, destination }: Descriptor,
  bytes: number,
  pieces: number,
): Generator<readonly Piece[], void, void> {
  const from = source && new Cursor(source);
  const to = new Cursor(destination);
  let phase = 0;
  while (!to.done) {
    const slice: Piece[] = [];
    let left = bytes;
    while (!to.done && left > 0 && slice.length < pieces) {
      const length = Math.min(to.run, from?.run ?? left, left);
      slice.push({ from: from?.address ?? 0, to: to.address, length, phase });
      from?.advance(length);
      to.advance(length);
      phase = (phase + length) % 8;
      left -= length;
    }
    yield slice;
  }
}
