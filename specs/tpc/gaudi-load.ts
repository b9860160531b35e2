/** LOAD: reads of memory and tensors, and moves between register files. */

import { choice, flag, type InstructionRow, instruction } from '../../src/isa/vliw/rows.ts';
import { logic, meanings } from './meanings.ts';

const upperHalf = flag('sw.2', 'the upper half', {
  unverified: 'only its name (SW_UPPER_HALF) is public: no intrinsic, kernel or function of the library has it',
});
const lookupOpen =
  'tables are laid out as SynapseAI_Core does it for the functions of tpc-defs.h; what the chip does with other indices is not public';

/** `half` of a vector, or all of it. */
function localVector(opcode: number, name: string, doc: string, half: string): InstructionRow {
  return instruction(opcode, doc, {
    operation: `dest${half} = vector local memory at addr`,
    forms: ['dest:V|VP a=addr:S|imm ?SP|VP'],
    example: `${name} V7, S6, !VP2`,
  });
}

const tensor = 'dest:V|VP b.0:4=tensor:t a=coords:I';
/** The tensor's number is in S27. */
const tensorInRegister = 'dest:V|VP tensor:S27 a=coords:I';

function halfTensor(opcode: number, name: string, which: string): InstructionRow {
  return instruction(opcode, `Load the ${which} half of a vector from a tensor.`, {
    operation: `${which} half of dest = elements of tensor from coords on, along dimension 0; padding value where out of bounds`,
    forms: [`${tensor} ?SP|VP`, `${tensorInRegister} ?SP|VP [sw.3=1]`],
    example: `${name} V4, 0x3, I2, SP1`,
  });
}

export const load = {
  gen_addr: instruction(0, meanings.gen_addr.doc, {
    operation: meanings.gen_addr.operation,
    forms: ['dest:AD b.0:8=tensor:t a=coords:I'],
    latency: 7,
    example: 'gen_addr AD1, 0x2, I3',
    unverified: 'the formula is not public; it is what the strides of descriptors and the address of LD_G suggest',
  }),
  prmt_indx: instruction(3, meanings.prmt_indx.doc, {
    operation: meanings.prmt_indx.operation,
    forms: ['dest:I a:I b:S'],
    example: 'prmt_indx I2, I3, S4',
  }),
  set_indx: instruction(4, meanings.set_indx.doc, {
    operation: meanings.set_indx.operation,
    forms: ['dest:I b.2:6=mask:dims a:S|imm'],
    example: 'set_indx I2, b00011, S4',
  }),
  mov: instruction(5, 'Move between register files.', {
    operation: 'dest = a; a scalar or immediate in every lane; to a vector predicate bit flavor of a, or all bits (8)',
    types: logic,
    forms: [
      '.type dest:S a:S|imm',
      '.type dest:V a:S|imm ?SP|VP',
      '.any dest:V a:V ?SP|VP',
      '.any {b.2:6=mask:dims?31} dest:I a:I|S|imm',
      '.type=f32 dest:SP a:S|imm',
      '.any dest:VP a:VP|SP ?SP|VP',
      '.any {b.0:3=flavor:n?8} dest:VP a:S|imm ?SP|VP',
      'dest:S b.0:5=from:HW [sw.0=1]',
    ],
    example: 'mov V3, V9',
    unverified: 'the meaning of flavors other than 8 is not public',
  }),
  lookup: instruction(6, 'Look up one value per lane in a table.', {
    operation: 'dest[lane] = entry a[lane] of the table of function',
    forms: ['dest:V a:V b=function:twice'],
    switches: { dt: choice('sw.0:1', { BV32: 0 }, 'the width of an entry', { bare: true }), upper_half: upperHalf },
    example: 'lookup BV32 V4, V3, 129',
    unverified: lookupOpen,
  }),
  lookup_2c: instruction(7, 'Look up the coefficients C1 and C2 of an interval per lane.', {
    operation:
      'first[lane], second[lane] = C1, C2 of entry a[lane] of the table of function; of 16 bits, the two halves of its word a[lane]',
    forms: ['dest:D a:V b=function:twice'],
    switches: {
      dt: choice('sw.0:1', { BV32: 0, BV16: 1 }, 'the width of an entry', { bare: true }),
      upper_half: upperHalf,
    },
    latency: 5,
    chips: ['gaudi', 'gaudi2'],
    example: 'lookup_2c BV32 D4, V3, 129',
    unverified: lookupOpen,
  }),
  lookup_1c: instruction(9, 'Look up the coefficient C0 of an interval per lane.', {
    operation: 'dest[lane] = C0 of entry a[lane] of the table of function; of 16 bits, its half word a[lane]',
    forms: ['dest:V a:V b=function:twice'],
    switches: {
      dt: choice('sw.0:1', { BV32: 0, BV16: 1 }, 'the width of an entry', { bare: true }),
      upper_half: upperHalf,
    },
    latency: 5,
    chips: ['gaudi', 'gaudi2'],
    example: 'lookup_1c BV32 V4, V3, 129',
    unverified: lookupOpen,
  }),
  ld_l: instruction(11, 'Load a scalar from local memory, or a register of the configuration space.', {
    operation: "dest = 32 bits of scalar local memory at addr; with mmio of the TPC's configuration space",
    forms: ['dest:S|SP a=addr:S|imm'],
    switches: { mmio: flag('b.0', 'read the configuration space') },
    example: 'ld_l mmio S3, 0x414',
  }),
  ld_g: instruction(12, 'Load one element from global memory.', {
    operation: 'dest = element at addr; of a vector, in every lane',
    forms: ['dest:S|SP|V a=addr:AD'],
    example: 'ld_g S3, AD1',
  }),
  prefetch: instruction(13, 'Bring a line of global memory into the cache.', {
    operation: 'no result',
    forms: ['a=addr:AD'],
    chips: ['gaudi', 'gaudi2'],
    example: 'prefetch AD1',
    unverified: 'which cache, and how much, is not public',
  }),
  ld_l_v: localVector(14, 'ld_l_v', 'Load a vector from vector local memory.', ''),
  ld_l_v_low: localVector(15, 'ld_l_v_low', 'Load the lower half of a vector from local memory.', ' (lower half)'),
  ld_l_v_high: localVector(16, 'ld_l_v_high', 'Load the upper half of a vector from local memory.', ' (upper half)'),
  ld_tnsr: instruction(17, 'Load a vector from a tensor.', {
    operation:
      'dest = elements of tensor from coords on, along dimension 0; the padding value of the descriptor where out of bounds; ' +
      'with partial only as many as S30 tells, from the offset in S30 on',
    forms: [
      { form: `${tensor} ?SP|VP`, when: { partial: false } },
      { form: `${tensorInRegister} ?SP|VP [sw.3=1]`, when: { partial: false } },
      { form: `${tensor} part:S30 ?SP|VP`, implies: { partial: true } },
      { form: `${tensorInRegister} part:S30 ?SP|VP [sw.3=1]`, implies: { partial: true } },
    ],
    switches: { partial: flag('sw.0', 'load a part of a vector, whose size - 1 and offset are in S30') },
    example: 'ld_tnsr V4, 0x3, I2',
    unverified: 'where in S30 size and offset are is not public',
  }),
  ld_tnsr_low: halfTensor(18, 'ld_tnsr_low', 'lower'),
  ld_tnsr_high: halfTensor(19, 'ld_tnsr_high', 'upper'),
  nop: instruction(31, meanings.nop.doc, { operation: '', forms: ['?'], example: 'nop' }),
} as const satisfies Record<string, InstructionRow>;
