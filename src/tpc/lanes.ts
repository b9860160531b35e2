/** Data types as lanes of a vector: how many, how wide, and how their values are read from and written to the state. */

import type { DataType } from '../isa/vliw/bundle.ts';
import { ModelError } from '../sim/errors.ts';
import { VECTOR_BYTES } from './layout.ts';
import { bf16, type FloatType, f32, flush, fromBits, toBits } from './numbers/float.ts';
import { type IntegerType, integerTypes } from './numbers/integer.ts';
import type { CoreState } from './state.ts';

/** Values of lanes, as JavaScript numbers. */
export type Values = Float64Array;

export interface LaneType {
  readonly name: DataType;
  readonly bytes: 1 | 2 | 4;
  /** Lanes of a vector. */
  readonly count: number;
  readonly float: FloatType | undefined;
  readonly integer: IntegerType | undefined;
  /** Lanes as the type's values; floating-point denormals as zero. `offset` in bytes, a multiple of the lane's. */
  read(state: CoreState, offset: number, count: number, out: Values): void;
  /** Values that the type can hold; NaN is written as the type's NaN. */
  write(state: CoreState, offset: number, count: number, values: Values): void;
  /** The value of the low bits of a word. */
  fromWord(word: number): number;
  /** The word that a register of 32 bits holds for a value: upper bits 0, or the sign for signed integers. */
  toWord(value: number): number;
}

function floatLanes(float: FloatType): LaneType {
  const wide = float.bits === 32;
  return {
    name: float.name,
    bytes: wide ? 4 : 2,
    count: VECTOR_BYTES / (wide ? 4 : 2),
    float,
    integer: undefined,
    read(state, offset, count, out) {
      if (wide) {
        const from = offset >> 2;
        for (let i = 0; i < count; i++) out[i] = flush(float, state.f32[from + i] as number);
      } else {
        const from = offset >> 1;
        for (let i = 0; i < count; i++) out[i] = flush(float, fromBits(float, state.u16[from + i] as number));
      }
    },
    write(state, offset, count, values) {
      if (wide) for (let i = 0; i < count; i++) state.u32[(offset >> 2) + i] = toBits(float, values[i] as number);
      else for (let i = 0; i < count; i++) state.u16[(offset >> 1) + i] = toBits(float, values[i] as number);
    },
    fromWord: (word) => flush(float, fromBits(float, wide ? word : word & 0xffff)),
    toWord: (value) => toBits(float, value),
  };
}

function integerLanes(integer: IntegerType): LaneType {
  const bytes = (integer.bits / 8) as 1 | 2 | 4;
  const shift = bytes === 4 ? 2 : bytes === 2 ? 1 : 0;
  const arrayOf = (state: CoreState) => {
    if (bytes === 4) return integer.signed ? state.i32 : state.u32;
    if (bytes === 2) return integer.signed ? state.i16 : state.u16;
    return integer.signed ? state.i8 : state.bytes;
  };
  return {
    name: integer.name,
    bytes,
    count: VECTOR_BYTES / bytes,
    float: undefined,
    integer,
    read(state, offset, count, out) {
      const array = arrayOf(state);
      const from = offset >> shift;
      for (let i = 0; i < count; i++) out[i] = array[from + i] as number;
    },
    write(state, offset, count, values) {
      const array = arrayOf(state);
      const from = offset >> shift;
      for (let i = 0; i < count; i++) array[from + i] = values[i] as number;
    },
    fromWord: (word) => {
      if (bytes === 4) return integer.signed ? word | 0 : word >>> 0;
      const low = word & (2 ** integer.bits - 1);
      return low > integer.max ? low - 2 ** integer.bits : low;
    },
    toWord: (value) => value >>> 0,
  };
}

export const laneTypes = {
  f32: floatLanes(f32),
  bf16: floatLanes(bf16),
  i32: integerLanes(integerTypes.i32),
  u32: integerLanes(integerTypes.u32),
  i16: integerLanes(integerTypes.i16),
  u16: integerLanes(integerTypes.u16),
  i8: integerLanes(integerTypes.i8),
  u8: integerLanes(integerTypes.u8),
} as const satisfies Partial<Record<DataType, LaneType>>;

/** @throws ModelError for a type that the chip has no arithmetic for */
export function laneType(type: DataType | undefined, where: string): LaneType {
  const lanes = type === undefined ? undefined : (laneTypes as Partial<Record<DataType, LaneType>>)[type];
  if (!lanes) throw new ModelError('unsupported', where, `data type ${type ?? 'missing'}`);
  return lanes;
}

/** The same lanes as bare bits: for what moves, selects and combines bits, whatever they mean. */
export function bitsOf(type: LaneType): LaneType {
  return type.bytes === 4 ? laneTypes.u32 : type.bytes === 2 ? laneTypes.u16 : laneTypes.u8;
}
