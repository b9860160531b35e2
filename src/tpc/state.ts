/** The registers and local memories of a core, in one block of memory. */

import * as layout from './layout.ts';

export class CoreState {
  readonly bytes: Uint8Array;
  readonly i8: Int8Array;
  readonly u16: Uint16Array;
  readonly i16: Int16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly f32: Float32Array;

  /** @param buffer at least STATE_BYTES; may be the memory of a WebAssembly instance */
  constructor(buffer: ArrayBufferLike = new ArrayBuffer(layout.STATE_BYTES)) {
    if (buffer.byteLength < layout.STATE_BYTES) throw new RangeError(`a core needs ${layout.STATE_BYTES} bytes`);
    this.bytes = new Uint8Array(buffer, 0, layout.STATE_BYTES);
    this.i8 = new Int8Array(buffer, 0, layout.STATE_BYTES);
    this.u16 = new Uint16Array(buffer, 0, layout.STATE_BYTES / 2);
    this.i16 = new Int16Array(buffer, 0, layout.STATE_BYTES / 2);
    this.u32 = new Uint32Array(buffer, 0, layout.STATE_BYTES / 4);
    this.i32 = new Int32Array(buffer, 0, layout.STATE_BYTES / 4);
    this.f32 = new Float32Array(buffer, 0, layout.STATE_BYTES / 4);
    this.reset();
  }

  /** Everything 0, but what is constant: SP0, VP0, the lane numbers; and the random numbers, which may not be 0. */
  reset(): void {
    this.bytes.fill(0);
    this.u32[layout.SPRF / 4] = 1;
    this.bytes.fill(0xff, layout.VPRF, layout.VPRF + layout.PREDICATE_BYTES);
    for (let lane = 0; lane < 64; lane++) {
      this.u32[layout.LANE_ID_32 / 4 + lane] = lane;
      this.u32[layout.LFSR / 4 + lane] = lane + 1;
    }
    for (let lane = 0; lane < 128; lane++) this.u16[layout.LANE_ID_16 / 2 + lane] = lane;
    for (let lane = 0; lane < 256; lane++) this.bytes[layout.LANE_ID_8 + lane] = lane;
    this.u32[layout.SCALAR_LFSR / 4] = 1;
  }

  /** Registers as at the start of a program. Random numbers and local memories stay. */
  clearRegisters(): void {
    this.bytes.fill(0, layout.VRF, layout.LFSR);
    this.bytes.fill(0, layout.VPRF, layout.SCALAR_LFSR);
    this.bytes.fill(0xff, layout.VPRF, layout.VPRF + layout.PREDICATE_BYTES);
    this.u32[layout.SPRF / 4] = 1;
  }

  scalar(number: number): number {
    return this.u32[layout.SRF / 4 + number] as number;
  }

  setScalar(number: number, value: number): void {
    this.u32[layout.SRF / 4 + number] = value;
  }

  predicate(number: number): boolean {
    return this.u32[layout.SPRF / 4 + number] !== 0;
  }

  /** The five dimensions of an index register, as signed words. */
  index(number: number): number[] {
    const at = layout.IRF / 4 + number * 8;
    return Array.from(this.i32.subarray(at, at + layout.DIMENSIONS));
  }

  setIndex(number: number, values: readonly number[]): void {
    for (let d = 0; d < layout.DIMENSIONS; d++) this.i32[layout.IRF / 4 + number * 8 + d] = values[d] ?? 0;
  }

  /** The bytes of a vector register; the view stays valid. */
  vector(number: number): Uint8Array {
    const at = layout.VRF + number * layout.VECTOR_BYTES;
    return this.bytes.subarray(at, at + layout.VECTOR_BYTES);
  }

  /** The bits of a vector predicate. */
  vectorPredicate(number: number): Uint8Array {
    const at = layout.VPRF + number * layout.PREDICATE_BYTES;
    return this.bytes.subarray(at, at + layout.PREDICATE_BYTES);
  }

  address(number: number): number {
    const at = (layout.ADRF + number * layout.ADDRESS_BYTES) / 4;
    return (this.u32[at] as number) + (this.u32[at + 1] as number) * 2 ** 32;
  }
}
