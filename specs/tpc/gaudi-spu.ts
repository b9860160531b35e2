/** SPU: the scalar unit. Scalars, index registers, scalar predicates, and where the program goes on. */

import { choice, flag, type InstructionRow, instruction } from '../../src/isa/vliw/rows.ts';
import {
  accumulateF32,
  arithmetic,
  bitValue,
  type CompareName,
  calcFpSpecialOpen,
  carry,
  compareSymbols,
  fixedRounding,
  floats,
  halves,
  integers,
  logic,
  maskEqualsZero,
  meanings,
  multiplyChain,
  multiplyLatency,
  narrowTo,
  roundHalfUp,
  roundingDoc,
  roundingModes,
  saturate,
  searchDirection,
  specialFunctions,
  targetTypes,
  words,
} from './meanings.ts';

const scalar = '.type dest:S a:S b:S|imm';
const index = '.type sw.2:6=mask:dims dest:I a:I|S|imm b:I +';
/** Where the immediate leaves bit 0 of the switches free. */
const indexSaturating = ['.type sw.2:6=mask:dims dest:I a:I|S b:I +', '.type sw.2:6=mask:dims dest:I a:imm b:I +st'];
const predicates = '.type dest:SP a:SP b:SP';

const neg = flag('sw.1', 'the negative of the result');

function compare(opcode: number, name: CompareName): InstructionRow {
  return instruction(opcode, `Compare: a ${compareSymbols[name]} b.`, {
    operation: `dest = a ${compareSymbols[name]} b`,
    types: arithmetic,
    forms: ['.type dest:SP a:S b:S|imm'],
    ...(name === 'eq' ? { switches: { mask_eq_zero: maskEqualsZero } } : {}),
    example: `cmp_${name}.f32 SP1, S3, 0.5`,
  });
}

function logical(opcode: number, name: 'or' | 'and' | 'xor'): InstructionRow {
  return instruction(opcode, meanings[name].doc, {
    operation: meanings[name].operation,
    types: logic,
    forms: [scalar, index, predicates],
    example: `${name}.i32 S1, S2, 0xff`,
  });
}

function extreme(opcode: number, name: 'max' | 'min'): InstructionRow {
  return instruction(opcode, meanings[name].doc, {
    operation: meanings[name].operation,
    types: arithmetic,
    forms: [scalar, index],
    example: `${name}.i32 S1, S2, S3`,
  });
}

function shift(opcode: number, name: 'shr' | 'shl'): InstructionRow {
  return instruction(opcode, meanings[name].doc, {
    operation: meanings[name].operation,
    types: arithmetic,
    forms: [scalar, '.type sw.2:6=mask:dims dest:I a:I b:I|S|imm +'],
    example: `${name}.i32 S1, S2, 4`,
  });
}

export const spu = {
  mac: instruction(0, meanings.mac.doc, {
    operation: meanings.mac.operation,
    types: [...floats, ...halves],
    forms: [scalar],
    switches: { st: saturate, neg, acc_fp32: accumulateF32 },
    latency: multiplyLatency,
    accumulates: true,
    chain: multiplyChain,
    example: 'mac.f32 S5, S1, 1.5',
    unverified: 'whether the product is rounded before it is added is not public',
  }),
  mul: instruction(1, meanings.mul.doc, {
    operation: 'dest = a * b; of 32-bit integers the lower half, or with upper32 the upper',
    types: [...floats, ...words, ...halves],
    forms: [scalar, index],
    switches: {
      acc_fp32: accumulateF32,
      upper32: flag('sw.2', 'the upper 32 bits of the product', { types: words }),
    },
    latency: multiplyLatency,
    chain: multiplyChain,
    example: 'mul.i32.upper32 S5, S1, S2',
  }),
  add: instruction(2, meanings.add.doc, {
    operation: meanings.add.operation,
    types: arithmetic,
    forms: [scalar, ...indexSaturating],
    switches: { st: saturate, carry },
    example: 'add.i32 b11011 I5, I4, I2',
  }),
  sub: instruction(3, meanings.sub.doc, {
    operation: meanings.sub.operation,
    types: arithmetic,
    forms: [scalar, ...indexSaturating],
    switches: { st: saturate, neg },
    example: 'sub.i32 S1, S2, S3',
  }),
  convert_int16: instruction(4, meanings.convert_int16.doc, {
    operation: meanings.convert_int16.operation,
    forms: ['dest:S a:S b:S|imm'],
    switches: { rm: fixedRounding },
    example: 'convert_int16 rz S1, S2, -4',
  }),
  max: extreme(5, 'max'),
  min: extreme(6, 'min'),
  abs: instruction(7, meanings.abs.doc, {
    operation: meanings.abs.operation,
    types: ['i32', 'i16', 'i8', 'f32', 'bf16'],
    forms: ['.type dest:S a:S', '.type sw.2:6=mask:dims dest:I a:I|S'],
    example: 'abs.i32 S1, S2',
  }),
  mov: instruction(8, 'Move a register, an immediate, or a register of the hardware.', {
    operation: 'dest = a',
    types: logic,
    forms: [
      '.type dest:S a:S|imm',
      '.type=i32 sw.2:6=mask:dims dest:I a:I|S|imm',
      '.type=b dest:SP a:SP|imm',
      { form: '.type=b dest:SP a:S', types: ['b'] },
      'dest:S b.0:5=from:HW [sw=1]',
    ],
    example: 'mov.i32 S5, 0x12345678',
  }),
  cmp_eq: compare(9, 'eq'),
  cmp_neq: compare(10, 'neq'),
  cmp_less: compare(11, 'less'),
  cmp_leq: compare(12, 'leq'),
  cmp_grt: compare(13, 'grt'),
  cmp_geq: compare(14, 'geq'),
  or: logical(15, 'or'),
  and: logical(16, 'and'),
  xor: logical(17, 'xor'),
  not: instruction(18, meanings.not.doc, {
    operation: meanings.not.operation,
    types: logic,
    forms: ['.type dest:S a:S', '.type sw.2:6=mask:dims dest:I a:I|S', '.type dest:SP a:SP'],
    example: 'not.i32 S1, S2',
  }),
  shr: shift(19, 'shr'),
  shl: shift(20, 'shl'),
  ash: instruction(21, meanings.ash.doc, {
    operation: meanings.ash.operation,
    types: [...integers, 'bf16'],
    forms: [`${scalar} [sw.0=1]`],
    switches: { rhu: roundHalfUp },
    example: 'ash.i32 rhu S1, S2, -3',
    unverified: 'what it does with bf16, which the coverage table of the disassembler lists, is not public',
  }),
  convert: instruction(22, meanings.convert.doc, {
    operation: meanings.convert.operation,
    types: ['f32', 'bf16', 'i32', 'i16', 'u16', 'i8', 'u32', 'u8'],
    forms: ['.type dest:S a:S'],
    switches: {
      rm: choice('sw.0:2', roundingModes, roundingDoc, { default: 'default', bare: true }),
      target_type: choice('b.0:3', targetTypes, 'the type of the result'),
    },
    example: 'convert.f32 target_type=int32 rz S1, S2',
  }),
  convert_int32: instruction(23, meanings.convert_int32.doc, {
    operation: meanings.convert_int32.operation,
    forms: ['dest:S a:S b:S|imm'],
    switches: { rm: fixedRounding, to: narrowTo },
    example: 'convert_int32 to_16 rhne S1, S2, S3',
  }),
  convert_uint32: instruction(24, meanings.convert_uint32.doc, {
    operation: meanings.convert_uint32.operation,
    forms: ['dest:S a:S b:S|imm'],
    switches: { rm: fixedRounding, to: narrowTo },
    example: 'convert_uint32 to_8 rz S1, S2, S3',
  }),
  popcnt: instruction(25, meanings.popcnt.doc, {
    operation: meanings.popcnt.operation,
    types: arithmetic,
    forms: ['.type dest:S a:S'],
    switches: { set: bitValue },
    example: 'popcnt.u32 set=1 S1, S2',
  }),
  find_first: instruction(26, meanings.find_first.doc, {
    operation: meanings.find_first.operation,
    types: arithmetic,
    forms: ['.type dest:S a:S'],
    switches: { set: bitValue, dir: searchDirection },
    example: 'find_first.u32 set=1 start_msb S1, S2',
    unverified: 'the result where no bit is found is not public',
  }),
  nearbyint: instruction(27, meanings.nearbyint.doc, {
    operation: meanings.nearbyint.operation,
    types: floats,
    forms: ['.type dest:S a:S'],
    switches: { rm: choice('sw.0:2', roundingModes, roundingDoc, { default: 'default', bare: true }) },
    example: 'nearbyint.f32 rhne S1, S2',
  }),
  convert_uint16: instruction(28, meanings.convert_uint16.doc, {
    operation: meanings.convert_uint16.operation,
    forms: ['dest:S a:S b:S|imm'],
    switches: { rm: fixedRounding },
    example: 'convert_uint16 rz S1, S2, S3',
  }),
  extract_exp: instruction(29, meanings.extract_exp.doc, {
    operation: meanings.extract_exp.operation,
    types: floats,
    forms: ['.type dest:S a:S|imm'],
    switches: { biased: flag('sw.0', 'with the bias') },
    example: 'extract_exp.f32 biased S1, S2',
  }),
  fclass: instruction(30, meanings.fclass.doc, {
    operation: meanings.fclass.operation,
    types: floats,
    forms: ['.type dest:S a:S'],
    chips: ['gaudi', 'gaudi2'],
    example: 'fclass.f32 S1, S2',
  }),
  brev: instruction(31, meanings.brev.doc, {
    operation: meanings.brev.operation,
    types: arithmetic,
    forms: ['.type dest:S a:S'],
    chips: ['gaudi', 'gaudi2'],
    example: 'brev.u32 S1, S2',
  }),
  halt: instruction(32, meanings.halt.doc, {
    operation: meanings.halt.operation,
    forms: ['?'],
    example: 'halt',
  }),
  jmpr: instruction(36, 'Jump, relative to this bundle.', {
    operation: 'PC = PC + target, in bytes; the bundle after the jump is still begun',
    forms: ['a=target:S|label'],
    example: 'jmpr 64, !SP2',
    unverified:
      'whether the bundle after a taken jump is done, and in which slots, is not public; compilers leave it to the VPU',
  }),
  jmpa: instruction(37, 'Jump to an address.', {
    operation: 'PC = target; the bundle after the jump is still begun',
    forms: ['a=target:S|label'],
    example: 'jmpa S3',
    unverified:
      "a label is encoded as its distance, as by the vendor's assembler; that the chip takes it for an address is likely",
  }),
  mov_irf_dim: instruction(38, 'Move one dimension of an index register to a scalar register.', {
    operation: 'dest = a[dim]',
    forms: ['sw.0:2=dim:n dest:S|Z a:I'],
    example: 'mov_irf_dim 2 S7, I3',
  }),
  set_indx: instruction(39, meanings.set_indx.doc, {
    operation: meanings.set_indx.operation,
    forms: ['dest:I sw.2:6=mask:dims a:S|imm [type=i32]'],
    example: 'set_indx I3, b00001, S5',
  }),
  udiv_4step: instruction(40, 'Four steps of an unsigned division; eight make one of 32 bits.', {
    operation:
      'dest = (remainder, quotient); at first (numerator, 0). Steps step to step + 3 each decide one bit of the quotient by the divisor a, from the highest bit on',
    types: ['u32', 'u16', 'u8'],
    forms: ['.type sw.0:4=step:n dest:Z a:S'],
    latency: 7,
    accumulates: true,
    chips: ['gaudi'],
    unverified: 'only the operands before the first and after the last step are described',
    example: 'udiv_4step.u32 28 Z2, S4',
  }),
  calc_fp_special: instruction(52, meanings.calc_fp_special.doc, {
    operation: meanings.calc_fp_special.operation,
    types: floats,
    forms: ['.type dest:S a:S b:S'],
    switches: { func: specialFunctions },
    chips: ['gaudi', 'gaudi2'],
    example: 'calc_fp_special.f32 func=rsqrt S1, S2, S3',
    unverified: calcFpSpecialOpen,
  }),
  dbg: instruction(62, meanings.dbg.doc, {
    operation: meanings.dbg.operation,
    forms: ['?'],
    example: 'dbg',
    unverified: 'only its name and opcode are public',
  }),
  nop: instruction(63, meanings.nop.doc, { operation: '', forms: ['?'], example: 'nop' }),
} as const satisfies Record<string, InstructionRow>;
