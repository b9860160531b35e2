/**
 * What instructions mean that more than one slot has: said once. `dest`, `a`, `b` are operands as the forms name them; an
 * instruction that is predicated off leaves its destination as it is, in a vector lane by lane.
 */

import type { DataType } from '../../src/isa/vliw/bundle.ts';
import { choice, flag, type InstructionFacts, number } from '../../src/isa/vliw/rows.ts';

export const floats: readonly DataType[] = ['f32', 'bf16'];
export const integers: readonly DataType[] = ['i32', 'u32', 'i16', 'u16', 'i8', 'u8'];
export const words: readonly DataType[] = ['i32', 'u32'];
export const halves: readonly DataType[] = ['i16', 'u16'];
export const arithmetic: readonly DataType[] = [...floats, ...integers];
export const logic: readonly DataType[] = [...arithmetic, 'b'];

interface Meaning {
  readonly doc: string;
  readonly operation: string;
}

function meaning(doc: string, operation: string): Meaning {
  return { doc, operation };
}

export const meanings = {
  mac: meaning(
    'Multiply and accumulate.',
    'dest = dest + a * b; with neg dest - a * b; the product is as wide as dest',
  ),
  mul: meaning('Multiply.', 'dest = a * b'),
  add: meaning('Add.', 'dest = a + b; with carry a + b + carry'),
  sub: meaning('Subtract.', 'dest = a - b; with neg -(a - b)'),
  max: meaning('The greater of two values.', 'dest = a > b ? a : b'),
  min: meaning('The lesser of two values.', 'dest = a < b ? a : b'),
  abs: meaning('Absolute value.', 'dest = a < 0 ? -a : a'),
  or: meaning('Bitwise or.', 'dest = a | b'),
  and: meaning('Bitwise and.', 'dest = a & b'),
  xor: meaning('Bitwise exclusive or.', 'dest = a ^ b'),
  not: meaning('Bitwise complement.', 'dest = ~a'),
  shr: meaning('Shift right, filling with zeros.', 'dest = a >>> b'),
  shl: meaning('Shift left.', 'dest = a << b'),
  ash: meaning(
    'Shift arithmetically: left for a positive amount, right for a negative one, with saturation.',
    'n = lower 8 bits of b, signed; dest = n >= 0 ? saturate(a << n) : a >> -n; with rhu the right shift rounds half up',
  ),
  convert: meaning('Convert to another data type.', 'dest = (target_type) a, rounded by rm'),
  convert_int32: meaning(
    'Convert 32-bit fixed point to 16 or 8 bits.',
    'dest = saturate(round(a * 2^n, rm)) to 8 or 16 bits, signed; n is the lower 8 bits of b, signed',
  ),
  convert_uint32: meaning(
    'Convert unsigned 32-bit fixed point to 16 or 8 bits.',
    'dest = saturate(round(a * 2^n, rm)) to 8 or 16 bits, unsigned; n is the lower 8 bits of b, signed',
  ),
  convert_int16: meaning(
    'Convert 16-bit fixed point to 8 bits.',
    'dest = saturate(round(a * 2^n, rm)) to 8 bits, signed; n is the lower 8 bits of b, signed',
  ),
  convert_uint16: meaning(
    'Convert unsigned 16-bit fixed point to 8 bits.',
    'dest = saturate(round(a * 2^n, rm)) to 8 bits, unsigned; n is the lower 8 bits of b, signed',
  ),
  popcnt: meaning('Count the bits that equal set.', 'dest = number of bits of a that are set'),
  find_first: meaning(
    'Find the first bit that equals set.',
    'dest = place of the first bit of a that equals set, counted from the end that dir names',
  ),
  nearbyint: meaning('Round to an integer, in floating point.', 'dest = round(a, rm)'),
  extract_exp: meaning(
    'Extract the exponent of a floating-point number.',
    'dest = exponent of a, without the bias unless biased, as an integer of the same width',
  ),
  fclass: meaning(
    'Classify a floating-point number.',
    'dest = one bit: 0 -inf, 1 -normal, 2 -denormal, 3 -0, 4 +0, 5 +denormal, 6 +normal, 7 +inf, 8 signalling NaN, 9 quiet NaN',
  ),
  brev: meaning('Reverse the order of the bits.', 'bit n of dest = bit (width - 1 - n) of a'),
  calc_fp_special: meaning(
    'Correct the result of a special function for special arguments: zero, infinity, NaN, a negative argument.',
    'a and b are classes of the arguments, as FCLASS tells them; dest = the result of func for such a class where it is special, else dest is kept',
  ),
  set_indx: meaning('Set dimensions of an index register to one value.', 'dest[n] = a for each n in mask'),
  prmt_indx: meaning(
    'Permute the dimensions of an index register.',
    'dest[n] = a[bits 3n to 3n+2 of b], for n from 0 to 4',
  ),
  gen_addr: meaning(
    'Generate the address of one element of a tensor.',
    'dest = base of tensor + element size * sum over n of coords[n] * stride[n]',
  ),
  halt: meaning('End the program.', 'the core stops after this bundle'),
  nop: meaning('Do nothing.', ''),
  dbg: meaning('Stop for a debugger.', 'the core stops and tells a debugger'),
} as const;

export const compareSymbols = { eq: '==', neq: '!=', less: '<', leq: '<=', grt: '>', geq: '>=' } as const;
export type CompareName = keyof typeof compareSymbols;

/**
 * Float MAC and MUL of one slot. An accumulator is read one stage after the other operands, and products have a way to it that
 * saves another: 4 bundles instead of 6, if both have f32 accumulators or neither. [L] latencies.cpp, calculateLatency.
 */
export const multiplyChain: NonNullable<InstructionFacts['chain']> = (type, switches) =>
  type !== undefined && floats.includes(type)
    ? { name: switches.acc_fp32 === true ? 'f32 accumulator' : 'accumulator', bundles: 4 }
    : undefined;

/** Float products come late, those of both slots and of both types alike. [L] latenciesGen2.cpp, opcodes 0 and 1. */
export const multiplyLatency = (type: DataType | undefined): number =>
  type !== undefined && floats.includes(type) ? 6 : 4;

/** Rounding modes. */
export const roundingModes = { rhne: 0, rne: 0, rz: 1, ru: 2, rd: 3, sr: 4, default: 5, rhaz: 6 } as const;
export const roundingDoc =
  'rounding: rhne to the nearest, halves to even; rz towards zero; ru up; rd down; sr at random; rhaz to the nearest, ' +
  'halves away from zero; default as ROUND_CSR says';

/** CONVERT_INT* know no `default` and no `rhaz`, and keep the mode where others keep the data type. */
export const fixedRounding = choice(
  'type.0:2',
  { rhne: 0, rne: 0, rz: 1, ru: 2, rd: 3, sr: 4 },
  'rounding: rhne to the nearest, halves to even; rz towards zero; ru up; rd down; sr at random',
  { bare: true },
);
export const narrowTo = choice('type.3', { to_8: 0, to_16: 1 }, 'bits of the result', { bare: true });

/** Of MAC, ADD, SUB. */
export const saturate = flag('sw.0', 'saturate instead of wrapping around', { types: integers, aliases: ['sat'] });
export const accumulateF32 = flag('sw.2', 'the accumulator and the result are f32', { types: ['bf16'] });
export const carry = flag('sw.1', 'add the carry of the last addition', {
  types: integers,
  unverified: 'which instructions write S_CARRY and V_CARRY, and how lanes of 8 and 16 bits are carried, is not public',
});
export const maskEqualsZero = flag('sw.0', 'compare (a & b) with 0 instead of a with b');
export const bitValue = number('sw.0', 'the bit to look for', { positional: 0 });
export const searchDirection = choice('sw.1', { start_lsb: 0, start_msb: 1 }, 'the end to start from', { bare: true });
export const roundHalfUp = flag('sw.1', 'round half up when shifting right', { types: integers });
export const targetTypes = {
  fp32: 0,
  bf16: 1,
  int32: 2,
  uint32: 3,
  int8: 4,
  uint8: 5,
  int16: 7,
  uint16: 8,
} as const;
export const specialFunctions = choice(
  'sw.0:2',
  { recip: 0, rsqrt: 1, sqrt: 2, log: 3, exp: 4, tanh: 5, div: 6, pow: 7 },
  'the function',
);
export const calcFpSpecialOpen = 'the results for each class of argument are not public';
