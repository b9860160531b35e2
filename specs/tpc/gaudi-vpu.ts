/** VPU: the vector unit. A vector has 2048 bits: 64 lanes of 32, 128 of 16, 256 of 8. */

import { choice, flag, type InstructionRow, instruction, number } from '../../src/isa/vliw/rows.ts';
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

const vector = '.type dest:V a:V b:V|S|imm';
const pair = '.type dest:D a:V b:V|S|imm';
/** A quad is encoded as the vector that it begins with. */
const vectorOrQuad = '.type dest:V|A a:V|A b:V|S|imm';

function compare(opcode: number, name: CompareName): InstructionRow {
  return instruction(opcode, `Compare lane by lane: a ${compareSymbols[name]} b.`, {
    operation: `dest[lane] = a[lane] ${compareSymbols[name]} b[lane]`,
    types: arithmetic,
    forms: ['.type dest:VP a:V b:V|S|imm'],
    ...(name === 'eq' ? { switches: { mask_eq_zero: maskEqualsZero } } : {}),
    example: `cmp_${name}.f32 VP1, V3, V4`,
  });
}

function select(opcode: number, name: CompareName): InstructionRow {
  return instruction(opcode, `Select lane by lane, by a ${compareSymbols[name]} b.`, {
    operation: `dest[lane] = a[lane] ${compareSymbols[name]} b[lane] ? c[lane] : d[lane]`,
    types: arithmetic,
    forms: ['.type dest:V a:V b:V|S|imm c:V d:V', '.type dest:V a:V b:V c:V d:S|imm'],
    ...(name === 'eq' ? { switches: { mask_eq_zero: maskEqualsZero } } : {}),
    example: `sel_${name}.f32 V4, V5, V6, V7, V8`,
  });
}

function select2(opcode: number, name: CompareName): InstructionRow {
  const symbol = compareSymbols[name];
  return instruction(opcode, `Select lane by lane, by a ${symbol} b, and the compared value with it.`, {
    operation: `first[lane] = a[lane] ${symbol} b[lane] ? a[lane] : b[lane]; second[lane] = the same ? c[lane] : d[lane]`,
    types: arithmetic,
    forms: ['.type dest:D a:V b:V|S|imm c:V d:V', '.type dest:D a:V b:V c:V d:S|imm'],
    example: `sel2_${name}.i32 D4, V5, V6, V7, V8`,
  });
}

function logical(opcode: number, name: 'or' | 'and' | 'xor'): InstructionRow {
  return instruction(opcode, meanings[name].doc, {
    operation: meanings[name].operation,
    types: logic,
    forms: [vector, '.type dest:VP a:VP b:VP'],
    example: `${name}.i32 V1, V2, V3`,
  });
}

function simple(opcode: number, name: 'max' | 'min' | 'shr' | 'shl'): InstructionRow {
  return instruction(opcode, meanings[name].doc, {
    operation: meanings[name].operation,
    types: arithmetic,
    forms: [vector],
    example: `${name}.i32 V1, V2, V3`,
  });
}

const laneSelect = number('sw.0:1', 'the lane of each element of a that the result is written to');
const lanesOpen =
  'the order of lanes in the result is described in prose only: lane_sel picks one of each 2 or 4 elements';
/** Pairs and quads are encoded as the vector they begin with. */
const narrowing = 'dest:V a:V|D|A b:V|S|imm';

/** MOV_DG moves one dual group, or with `all` each of the four. */
const one = { when: { all: false } } as const;
const four = { when: { all: true } } as const;
const sourceDoc = (to: number) => `the dual group of a that dual group ${to} of dest is written from`;
const groupsDoc = (to: number) => `the groups of dual group ${to} that are written: bit 0 lower, bit 1 upper`;

const zeroOrOne = { '0': 0, group_0: 0, '1': 1, group_1: 1 } as const;

export const vpu = {
  mac: instruction(0, meanings.mac.doc, {
    operation: meanings.mac.operation,
    types: [...floats, ...halves],
    forms: [
      { form: pair, types: halves },
      { form: pair, types: ['bf16'], when: { acc_fp32: true } },
      { form: vector, types: floats, when: { acc_fp32: false } },
    ],
    switches: {
      st: saturate,
      neg: flag('sw.1', 'subtract the product from the accumulator', {
        unverified: 'the switches allow it for integers, and the guide says that only float units have it',
      }),
      acc_fp32: accumulateF32,
    },
    latency: multiplyLatency,
    accumulates: true,
    chain: multiplyChain,
    example: 'mac.bf16.acc_fp32 D8, V1, V2',
    unverified:
      'whether the product is rounded before it is added, and which lanes of a and b the halves of a pair take, is not public',
  }),
  mul: instruction(1, meanings.mul.doc, {
    operation:
      'dest = a * b; of 32-bit integers all 64 bits, or with double_and_round32 the upper 32 of 2 * a * b, rounded',
    types: [...floats, ...words, ...halves],
    forms: [
      { form: pair, types: halves },
      { form: pair, types: ['bf16'], when: { acc_fp32: true } },
      { form: pair, types: words, when: { double_and_round32: false } },
      { form: vector, types: ['f32', 'bf16', 'i32', 'u32'] },
    ],
    switches: {
      acc_fp32: accumulateF32,
      double_and_round32: flag('sw.1', 'double the product and round it to its upper 32 bits', { types: words }),
    },
    latency: multiplyLatency,
    chain: multiplyChain,
    example: 'mul.i32 D4, V1, S3',
    unverified: 'how the two registers of a pair divide the products is not public',
  }),
  add: instruction(2, meanings.add.doc, {
    operation: meanings.add.operation,
    types: arithmetic,
    forms: [vectorOrQuad],
    switches: { st: saturate, carry },
    example: 'add.f32 V1, V2, V3, VP4',
  }),
  sub: instruction(3, meanings.sub.doc, {
    operation: meanings.sub.operation,
    types: arithmetic,
    forms: [vectorOrQuad],
    switches: { st: saturate, neg: flag('sw.1', 'the negative of the difference') },
    example: 'sub.f32 V1, V2, V3',
  }),
  convert_int16: instruction(4, meanings.convert_int16.doc, {
    operation: meanings.convert_int16.operation,
    forms: ['dest:V a:V|D b:V|S|imm'],
    switches: { rm: fixedRounding, lane_sel: laneSelect },
    example: 'convert_int16 lane_sel=1 rz V1, V2, V3',
    unverified: lanesOpen,
  }),
  max: simple(5, 'max'),
  min: simple(6, 'min'),
  abs: instruction(7, meanings.abs.doc, {
    operation: meanings.abs.operation,
    types: ['i32', 'i16', 'i8', 'f32', 'bf16'],
    forms: ['.type dest:V a:V'],
    example: 'abs.i32 V1, V2',
  }),
  mov: instruction(8, 'Move a vector, a scalar to all lanes, or a vector predicate.', {
    operation:
      'dest = a; a scalar or immediate in every lane of the data type; to a predicate bit flavor of a, or all bits (8)',
    types: logic,
    forms: [
      '.type=f32 dest:V a:V',
      '.type dest:V a:S|imm',
      '.type=i32 dest:VP a:VP|SP',
      '.any {b=flavor:n?8} dest:VP a:S|imm [type=u32]',
    ],
    example: 'mov.f32 V1, 1.0',
    unverified: 'the meaning of flavors other than 8 is not public',
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
    forms: ['.type dest:V a:V', '.type dest:VP a:VP'],
    example: 'not.i32 V1, V2',
  }),
  shr: simple(19, 'shr'),
  shl: simple(20, 'shl'),
  ash: instruction(21, meanings.ash.doc, {
    operation: meanings.ash.operation,
    types: integers,
    forms: [`${vector} [sw.0=1]`],
    switches: { rhu: roundHalfUp },
    example: 'ash.i32 rhu V1, V2, S3',
  }),
  convert: instruction(22, meanings.convert.doc, {
    operation: meanings.convert.operation,
    types: ['f32', 'bf16', 'i32', 'i16', 'i8', 'u32', 'u16', 'u8'],
    forms: [
      { form: '.type dest:V a:D', types: ['f32'], when: { target_type: 'bf16', num_lanes: 'all_lanes' } },
      '.type dest:V|D a:V|D',
    ],
    switches: {
      rm: choice('sw.0:2', roundingModes, roundingDoc, { default: 'default', bare: true }),
      target_type: choice('b.0:3', targetTypes, 'the type of the result'),
      lane_sel: number('b.4:5', 'the lane that the result is written to, or read from where it is wider'),
      num_lanes: choice('b.6', { all_lanes: 0, single_lane: 1 }, 'convert all elements of a pair, or every other one', {
        types: ['f32'],
        when: { target_type: 'bf16' },
        default: 'single_lane',
        bare: true,
      }),
      all_lanes: choice('b.6', { all_lanes: 0 }, 'may be said where it is the only way', {
        types: ['bf16'],
        when: { target_type: 'fp32' },
        aliases: ['num_lanes'],
        bare: true,
      }),
    },
    example: 'convert.f32 target_type=bf16 rz V1, V2',
    unverified: `${lanesOpen}; bf16 to f32 is encoded alike for a vector and for a pair`,
  }),
  convert_int32: instruction(23, meanings.convert_int32.doc, {
    operation: meanings.convert_int32.operation,
    forms: [narrowing],
    switches: { rm: fixedRounding, to: narrowTo, lane_sel: laneSelect },
    example: 'convert_int32 lane_sel=0 rhne to_16 V1, V2, V3',
    unverified: lanesOpen,
  }),
  convert_uint32: instruction(24, meanings.convert_uint32.doc, {
    operation: meanings.convert_uint32.operation,
    forms: [narrowing],
    switches: { rm: fixedRounding, to: narrowTo, lane_sel: laneSelect },
    example: 'convert_uint32 lane_sel=3 rz to_8 V1, V2, V3',
    unverified: lanesOpen,
  }),
  popcnt: instruction(25, meanings.popcnt.doc, {
    operation: meanings.popcnt.operation,
    types: arithmetic,
    forms: ['.type dest:V a:V'],
    switches: { set: bitValue },
    example: 'popcnt.u32 set=1 V1, V2',
  }),
  find_first: instruction(26, meanings.find_first.doc, {
    operation: meanings.find_first.operation,
    types: arithmetic,
    forms: ['.type dest:V a:V'],
    switches: { set: bitValue, dir: searchDirection },
    example: 'find_first.u32 set=1 start_lsb V1, V2',
    unverified: 'the result where no bit is found is not public',
  }),
  nearbyint: instruction(27, meanings.nearbyint.doc, {
    operation: meanings.nearbyint.operation,
    types: floats,
    forms: ['.type dest:V|D a:V'],
    switches: { rm: choice('sw.0:2', roundingModes, roundingDoc, { default: 'default', bare: true }) },
    example: 'nearbyint.f32 rhne V1, V2',
  }),
  convert_uint16: instruction(28, meanings.convert_uint16.doc, {
    operation: meanings.convert_uint16.operation,
    forms: ['dest:V a:V|D b:V|S|imm'],
    switches: { rm: fixedRounding, lane_sel: laneSelect },
    example: 'convert_uint16 lane_sel=0 rhne V1, V2, V3',
    unverified: lanesOpen,
  }),
  extract_exp: instruction(29, meanings.extract_exp.doc, {
    operation: meanings.extract_exp.operation,
    types: floats,
    forms: ['.type dest:V a:V|imm'],
    switches: { biased: flag('sw.0', 'with the bias') },
    example: 'extract_exp.f32 V1, V2',
  }),
  fclass: instruction(30, meanings.fclass.doc, {
    operation: meanings.fclass.operation,
    types: floats,
    forms: ['.type dest:V a:V|S'],
    chips: ['gaudi', 'gaudi2'],
    example: 'fclass.f32 V1, V2',
  }),
  brev: instruction(31, meanings.brev.doc, {
    operation: meanings.brev.operation,
    types: arithmetic,
    forms: ['.type dest:V a:V|S'],
    chips: ['gaudi', 'gaudi2'],
    example: 'brev.u32 V1, V2',
    unverified: 'which data types it has is not public',
  }),
  halt: instruction(32, meanings.halt.doc, { operation: meanings.halt.operation, forms: ['?'], example: 'halt' }),
  sel_eq: select(34, 'eq'),
  sel_neq: select(35, 'neq'),
  sel_less: select(36, 'less'),
  sel_leq: select(37, 'leq'),
  sel_grt: select(38, 'grt'),
  sel_geq: select(39, 'geq'),
  sel2_less: select2(40, 'less'),
  sel2_leq: select2(41, 'leq'),
  sel2_grt: select2(42, 'grt'),
  sel2_geq: select2(43, 'geq'),
  shuffle: instruction(44, 'Shuffle elements within each dual group.', {
    operation:
      'dest[lane] = element of a in the same dual group that the control byte b[lane] names: bits 0-4 element, bit 5 group, ' +
      'bit 7 must be set, else dest[lane] is kept',
    types: arithmetic,
    forms: ['.type dest:V a:V b:V'],
    latency: 5,
    example: 'shuffle.f32 V1, V2, V3',
  }),
  pack: instruction(45, 'Pack every second or fourth element of a group into one half of each dual group.', {
    operation: 'dest[i of the group] = a[i * element_stride of source_group]',
    types: ['bf16', ...halves, 'i8', 'u8'],
    forms: ['.type dest:V a:V'],
    switches: {
      source_group: choice('b.0', zeroOrOne, 'the group of each dual group that is read'),
      element_stride: choice('b.1', { '2': 0, stride_2: 0, '4': 1, stride_4: 1 }, 'how far apart the elements are'),
    },
    latency: 5,
    example: 'pack.i16 source_group=0 element_stride=2 V1, V2',
  }),
  unpack: instruction(46, 'Spread consecutive elements of a group: the reverse of pack.', {
    operation: 'dest[i * element_stride] = a[i of group_half of source_group], in each dual group',
    types: ['bf16', ...halves, 'i8', 'u8'],
    forms: ['.type dest:V a:V'],
    switches: {
      source_group: choice('b.0', zeroOrOne, 'the group of each dual group that is read'),
      element_stride: choice('b.1', { '2': 0, stride_2: 0, '4': 1, stride_4: 1 }, 'how far apart the elements are'),
      group_half: choice(
        'b.2',
        { '0': 0, group_half_0: 0, '1': 1, group_half_1: 1 },
        'the half of the group that is read',
      ),
    },
    latency: 5,
    example: 'unpack.i16 source_group=0 element_stride=2 group_half=0 V1, V2',
  }),
  get_lut_entry_and_interval_start: instruction(47, 'Find the interval of a lookup table that an argument lies in.', {
    operation:
      'first = index of the interval of a, from its upper bits shifted by shift; second = start of the interval',
    types: floats,
    forms: ['.type dest:D a:V b.0:4=shift:n'],
    switches: {
      funcid: choice(
        'b.5:7',
        { '0': 0, tanh: 1, sqrt_rsqrt: 2, sin_cos: 3, log: 4 },
        'the function, whose argument has its own range',
        { positional: 3 },
      ),
    },
    example: 'get_lut_entry_and_interval_start.f32 D2, V6, 16',
    unverified: 'its bit-exact definition is not public',
  }),
  form_fp_num: instruction(48, 'Form a floating-point number of the exponent, sign and mantissa of three.', {
    operation: 'dest = (sign of b, exponent of a, mantissa of c)',
    types: floats,
    forms: ['.type dest:V a:V|S|imm b:V c:V'],
    switches: {
      exp_add_bias: flag('d.0', 'add the bias to the exponent'),
      force_sign0: flag('d.1', 'the sign is 0'),
      force_sign1: flag('d.2', 'the sign is 1'),
      exp_is_num: flag('d.3', 'a is the exponent itself, as an integer'),
      sign_lsb: flag('d.4', 'the sign is the lowest bit of b'),
    },
    example: 'form_fp_num.bf16 force_sign0 exp_is_num V11, V12, V18, V19',
    unverified: 'exponents out of range are not described',
  }),
  mov_dg: instruction(49, 'Move dual groups: quarters of 64 bytes of a vector.', {
    operation:
      'dual group dst of dest = dual group src of a, in the groups that wr_lg and wr_ug tell, byte n of a group where bit n of ' +
      'mask is set; with all, dual group n of dest = dual group sdgn of a, in the groups of wegn',
    forms: ['dest:V a:V IMM=mask:n'],
    switches: {
      all: flag('sw.0', 'move four dual groups, each from its own source'),
      src: number('b.0:1', 'the dual group that is read', { ...one, aliases: ['src_dual_group'] }),
      dst: number('b.2:3', 'the dual group that is written', { ...one, aliases: ['dst_dual_group'] }),
      wr_lg: number('b.4', 'write the lower group', { ...one, aliases: ['wr_lower_group'] }),
      wr_ug: number('b.5', 'write the upper group', { ...one, aliases: ['wr_upper_group'] }),
      sdg0: number('b.0:1', sourceDoc(0), four),
      sdg1: number('b.2:3', sourceDoc(1), four),
      sdg2: number('b.4:5', sourceDoc(2), four),
      sdg3: number('b.6:7', sourceDoc(3), four),
      weg0: number('c.0:1', groupsDoc(0), four),
      weg1: number('c.2:3', groupsDoc(1), four),
      weg2: number('c.4:5', groupsDoc(2), four),
      weg3: number('c.6:7', groupsDoc(3), four),
    },
    aliases: ['mov_dual_group'],
    latency: 6,
    example: 'mov_dg src=1 dst=0 wr_lg=1 wr_ug=1 V1, V2, 0xffffffff',
  }),
  mov_g: instruction(50, 'Exchange the groups of dual groups: halves of 32 bytes.', {
    operation:
      'in each dual group that dg_en tells, the lower (g_en bit 0) and upper (bit 1) group of dest = the other group of a, ' +
      'byte n where bit n of mask is set',
    forms: ['dest:V a:V IMM=mask:n'],
    switches: {
      g_en: number('b.0:1', 'the groups that are written: bit 0 lower, bit 1 upper', { aliases: ['group_en'] }),
      dg_en: number('b.2:5', 'the dual groups that are written, one bit each', { aliases: ['dual_group_en'] }),
    },
    aliases: ['mov_group'],
    latency: 5,
    example: 'mov_g g_en=3 dg_en=15 V1, V2, 0xffffffff',
  }),
  calc_fp_special: instruction(52, meanings.calc_fp_special.doc, {
    operation: meanings.calc_fp_special.operation,
    types: floats,
    forms: ['.type dest:V a:V b:V'],
    switches: { func: specialFunctions },
    chips: ['gaudi', 'gaudi2'],
    example: 'calc_fp_special.f32 func=recip V1, V2, V3',
    unverified: calcFpSpecialOpen,
  }),
  convert_int8: instruction(53, 'Convert 16-bit fixed point of a pair to 8 bits.', {
    operation: 'dest = saturate(round(a * 2^n, rm)) to 8 bits, signed; n is the lower 8 bits of b, signed',
    forms: ['dest:V a:D b:V|S|imm'],
    switches: { rm: fixedRounding },
    example: 'convert_int8 rz V1, D2, V4',
    unverified: 'the order of the elements of the pair, and its data type, are not public',
  }),
  convert_uint8: instruction(54, 'Convert unsigned 16-bit fixed point of a pair to 8 bits.', {
    operation: 'dest = saturate(round(a * 2^n, rm)) to 8 bits, unsigned; n is the lower 8 bits of b, signed',
    forms: ['dest:V a:D b:V|S|imm'],
    switches: { rm: fixedRounding },
    example: 'convert_uint8 rz V1, D2, V4',
    unverified: 'the order of the elements of the pair, and its data type, are not public',
  }),
  dbg: instruction(62, meanings.dbg.doc, {
    operation: meanings.dbg.operation,
    forms: ['?'],
    example: 'dbg',
    unverified: 'only its name and opcode are public',
  }),
  nop: instruction(63, meanings.nop.doc, { operation: '', forms: ['?'], example: 'nop' }),
} as const satisfies Record<string, InstructionRow>;
