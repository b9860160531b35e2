/** STORE: writes to memory and tensors, and order between writes. */

import { flag, type InstructionRow, instruction } from '../../src/isa/vliw/rows.ts';
import { meanings } from './meanings.ts';

function localVector(opcode: number, name: string, doc: string, half: string): InstructionRow {
  return instruction(opcode, doc, {
    operation: `vector local memory at addr = value${half}`,
    forms: ['a=addr:S|imm c=value:V|VP'],
    example: `${name} S3, V5`,
  });
}

const pack = flag('sw.2', 'narrow each element to half its width', {
  unverified: 'which widths it converts, and how it rounds, is not public',
});
const modify = flag(
  'sw.1',
  'combine with what is there, as S29 says: data type in bits 0 to 3, operation in 4 and 5 (add, subtract, minimum, maximum); bits 6 and 7 are named rmw and dl',
);

const tensor = 'b.0:4=tensor:t a=coords:I';
/** The tensor's number is in S28; the assembler encodes the register's number, too. */
const tensorInRegister = 'tensor:S28 a=coords:I';
const inRegister = '[b.0:4=28 sw.3=1]';

/** A register that may be left out where the switch is given. */
const rmw = 'rmw:S29';

const wholeOrHalf = [
  { form: `${tensor} c=value:V|VP`, when: { rmw_sel: false } },
  { form: `${tensorInRegister} c=value:V|VP ${inRegister}`, when: { rmw_sel: false } },
  { form: `${tensor} c=value:V {${rmw}}`, implies: { rmw_sel: true } },
  { form: `${tensorInRegister} c=value:V {${rmw}} ${inRegister}`, implies: { rmw_sel: true } },
] as const;

function halfTensor(opcode: number, name: string, which: string): InstructionRow {
  return instruction(opcode, `Store the ${which} half of a vector to a tensor.`, {
    operation: `elements of tensor from coords on, along dimension 0 = ${which} half of value; nothing is written out of bounds`,
    forms: wholeOrHalf,
    switches: { rmw_sel: modify, pack },
    example: `${name} 0x1, I2, V5`,
  });
}

export const store = {
  gen_addr: instruction(0, meanings.gen_addr.doc, {
    operation: meanings.gen_addr.operation,
    forms: ['c=dest:AD b=tensor:t a=coords:I'],
    latency: 7,
    example: 'gen_addr AD1, 0x2, I3',
    unverified: 'the formula is not public; it is what the strides of descriptors and the address of LD_G suggest',
  }),
  prmt_indx: instruction(3, meanings.prmt_indx.doc, {
    operation: meanings.prmt_indx.operation,
    forms: ['c=dest:I a:I b:S'],
    example: 'prmt_indx I2, I3, S4',
  }),
  set_indx: instruction(4, meanings.set_indx.doc, {
    operation: meanings.set_indx.operation,
    forms: ['c=dest:I b.2:6=mask:dims a:S|imm'],
    example: 'set_indx I2, b00011, S4',
  }),
  st_l: instruction(5, 'Store a scalar to local memory, or a register of the configuration space.', {
    operation: "32 bits of scalar local memory at addr = value; with mmio of the TPC's configuration space",
    forms: ['a=addr:S|imm c=value:S|SP'],
    switches: { mmio: flag('b.0', 'write the configuration space') },
    example: 'st_l mmio 0x908, S3',
  }),
  st_g: instruction(6, 'Store one element to global memory.', {
    operation: 'element at addr = value',
    forms: ['a=addr:AD c=value:S|SP'],
    example: 'st_g AD1, S1',
  }),
  st_l_v: localVector(7, 'st_l_v', 'Store a vector to vector local memory.', ''),
  st_l_v_low: localVector(8, 'st_l_v_low', 'Store the lower half of a vector to local memory.', ' (lower half)'),
  st_l_v_high: localVector(9, 'st_l_v_high', 'Store the upper half of a vector to local memory.', ' (upper half)'),
  aso: instruction(10, 'Atomic semaphore operation: count the semaphore when earlier stores are done.', {
    operation: 'semaphore + 1, or with dec - 1, after earlier stores (with vpu: after earlier work of the VPU)',
    forms: [''],
    switches: {
      vpu: flag('a.1', 'after earlier work of the VPU'),
      dec: flag('a.0', 'count down'),
    },
    example: 'aso vpu',
    unverified: 'what it waits for exactly is not public',
  }),
  st_tnsr: instruction(11, 'Store a vector to a tensor.', {
    operation:
      'elements of tensor from coords on, along dimension 0 = value; nothing is written out of bounds; with partial only as ' +
      'many as S31 tells, from the offset in S31 on',
    forms: [
      { form: `${tensor} c=value:V|VP`, when: { partial: false, rmw_sel: false } },
      { form: `${tensorInRegister} c=value:V|VP ${inRegister}`, when: { partial: false, rmw_sel: false } },
      { form: `${tensor} c=value:V|VP {part:S31}`, when: { rmw_sel: false }, implies: { partial: true } },
      {
        form: `${tensorInRegister} c=value:V|VP {part:S31} ${inRegister}`,
        when: { rmw_sel: false },
        implies: { partial: true },
      },
      { form: `${tensor} c=value:V {${rmw}}`, when: { partial: false }, implies: { rmw_sel: true } },
      {
        form: `${tensorInRegister} c=value:V {${rmw}} ${inRegister}`,
        when: { partial: false },
        implies: { rmw_sel: true },
      },
      { form: `${tensor} c=value:V {${rmw}} {part:S31}`, implies: { partial: true, rmw_sel: true } },
      {
        form: `${tensorInRegister} c=value:V {${rmw}} {part:S31} ${inRegister}`,
        implies: { partial: true, rmw_sel: true },
      },
    ],
    switches: {
      partial: flag('sw.0', 'store a part of a vector, whose size - 1 and offset are in S31'),
      rmw_sel: modify,
      pack,
    },
    example: 'st_tnsr 0x1, I2, V5',
    unverified:
      'where in S31 size and offset are is not public; the fields of S29 are those of a macro, st_tnsr_rmw in tpc-intrinsics.h',
  }),
  st_tnsr_low: halfTensor(12, 'st_tnsr_low', 'lower'),
  st_tnsr_high: halfTensor(13, 'st_tnsr_high', 'upper'),
  cache_flush: instruction(20, 'Write the data cache back to memory.', {
    operation: 'no result',
    forms: [''],
    example: 'cache_flush',
    unverified: 'which caches is not public',
  }),
  cache_invalidate: instruction(21, 'Invalidate the data cache.', {
    operation: 'no result',
    forms: [''],
    example: 'cache_invalidate SP1',
    unverified: 'which caches is not public',
  }),
  nop: instruction(31, meanings.nop.doc, { operation: '', forms: ['?'], example: 'nop' }),
} as const satisfies Record<string, InstructionRow>;
