/**
 * The TPC (Tensor Processing Core) of Gaudi1: a VLIW processor with four slots. A bundle has 256 bits; bit n is bit
 * n % 8 of byte n / 8. Goya's layout is the same without LOAD and STORE switches; greco and later have others.
 */

import type { Bundle } from '../../src/isa/vliw/bundle.ts';
import { at, type RegisterFileRow, type SlotLayout } from '../../src/isa/vliw/rows.ts';
import { vliwSet } from '../../src/isa/vliw/set.ts';
import { load } from './gaudi-load.ts';
import { spu } from './gaudi-spu.ts';
import { store } from './gaudi-store.ts';
import { vpu } from './gaudi-vpu.ts';

export type LoadMnemonic = keyof typeof load;
export type SpuMnemonic = keyof typeof spu;
export type VpuMnemonic = keyof typeof vpu;
export type StoreMnemonic = keyof typeof store;
export type TpcBundle = Bundle<LoadMnemonic, SpuMnemonic, VpuMnemonic, StoreMnemonic>;

const files = '[R] TPCRegisterInfo.td';

const registers: readonly RegisterFileRow[] = [
  {
    file: 'V',
    count: 40,
    encodable: 40,
    span: 1,
    bits: 2048,
    named: { LFSR: 40, LFSR_NO_CHANGE: 41, V_LANE_ID_32: 42, V_LANE_ID_16: 43, V_LANE_ID_8: 44 },
    doc: 'vectors; LFSR is a random vector that each read renews, LFSR_NO_CHANGE the same without, V_LANE_ID_n the number of each lane of n bits',
    source: files,
  },
  {
    file: 'D',
    of: 'V',
    count: 40,
    encodable: 40,
    span: 2,
    bits: 4096,
    named: {},
    doc: 'pairs of vectors',
    source: files,
  },
  {
    file: 'A',
    of: 'V',
    count: 40,
    encodable: 40,
    span: 4,
    bits: 8192,
    named: {},
    doc: 'quads of vectors',
    source: files,
  },
  {
    file: 'S',
    count: 36,
    encodable: 64,
    span: 1,
    bits: 32,
    named: { S_LFSR: 40, S_LFSR_NO_CHANGE: 41 },
    doc: 'scalars; loops count in S32 to S35 by depth; S27 to S31 number tensors and describe parts of vectors',
    source: files,
  },
  {
    file: 'Z',
    of: 'S',
    count: 36,
    encodable: 64,
    span: 2,
    bits: 64,
    named: {},
    doc: 'pairs of scalars',
    source: files,
  },
  {
    file: 'I',
    count: 32,
    encodable: 64,
    span: 1,
    bits: 160,
    named: {},
    doc: 'index registers of five 32-bit dimensions; I0 begins as the offset of the index space, I1 as its size',
    source: files,
  },
  {
    file: 'AD',
    count: 8,
    encodable: 16,
    span: 1,
    bits: 92,
    named: {},
    doc: 'addresses of elements of tensors',
    source: files,
  },
  {
    file: 'SP',
    count: 16,
    encodable: 16,
    span: 1,
    bits: 1,
    named: { SPRF_TRUE: 0 },
    doc: 'scalar predicates; SP0 is always true',
    source: files,
  },
  {
    file: 'VP',
    count: 16,
    encodable: 16,
    span: 1,
    bits: 256,
    named: { VPRF_TRUE: 0 },
    doc: 'vector predicates, a bit per byte; VP0 is always true',
    source: files,
  },
  {
    file: 'HW',
    count: 0,
    encodable: 0,
    span: 1,
    bits: 32,
    named: {
      PC: 0,
      DIV_STEP: 1,
      S_CARRY: 2,
      V_CARRY: 3,
      M0: 4,
      M1: 5,
      M2: 6,
      M3: 7,
      LD_TNSR_ID_REG: 8,
      ST_TNSR_ID_REG: 9,
      ST_RMW_REG: 10,
      LD_PARTIAL_REG: 11,
      ST_PARTIAL_REG: 12,
      ZP_REG: 13,
    },
    doc: 'registers of the hardware, which MOV reads; which of them Gaudi1 has is not certain',
    source: files,
  },
];

/** Numbers of registers in the 8-bit fields of VPU, LOAD and STORE. */
const wideFiles = { V: 0, D: 0, A: 0, S: 64, Z: 64, I: 128, AD: 160, SP: 224, VP: 240, HW: 0 };
const loadStorePredicate = { inverted: at(145, 145), address: at(146, 150) };

const layouts: Readonly<Record<'load' | 'spu' | 'vpu' | 'store', SlotLayout>> = {
  load: {
    title: 'LOAD',
    doc: 'Reads of memory and tensors, and moves. It shares field b with d of the VPU, and its predicate with STORE.',
    opcode: at(119, 123),
    // MOV has its data type within b.
    fields: { a: at(103, 110), b: at(73, 81), dest: at(111, 118), sw: at(183, 186), type: at(77, 80) },
    predicate: loadStorePredicate,
    predicates: 'SP',
    files: wideFiles,
    immediateMarker: 127,
    nop: 'nop',
  },
  spu: {
    title: 'SPU',
    doc: 'Scalars, index registers, scalar predicates, and jumps.',
    opcode: at(0, 5),
    fields: { a: at(6, 12), b: at(13, 19), dest: at(20, 26), type: at(27, 30), sw: at(36, 42) },
    predicate: { inverted: at(31, 31), address: at(32, 35) },
    predicates: 'SP',
    files: { S: 0, Z: 0, SP: 48, I: 64, AD: 96, HW: 0 },
    immediateMarker: 127,
    nop: 'nop',
  },
  vpu: {
    title: 'VPU',
    doc: 'Vectors. It shares field c with STORE, and d with b of LOAD.',
    opcode: at(43, 48),
    fields: {
      a: at(49, 56),
      b: at(57, 64),
      c: at(65, 72),
      d: at(73, 81),
      dest: at(82, 89),
      sw: at(90, 92),
      type: at(93, 96),
    },
    predicate: { inverted: at(97, 97), address: at(98, 102) },
    predicates: 'SP|VP',
    files: wideFiles,
    immediateMarker: 127,
    nop: 'nop',
  },
  store: {
    title: 'STORE',
    doc: 'Writes to memory and tensors. It shares field c with the VPU, and its predicate with LOAD.',
    opcode: at(140, 144),
    fields: { a: at(124, 131), b: at(132, 139), c: at(65, 72), sw: at(187, 190) },
    predicate: loadStorePredicate,
    predicates: 'SP',
    files: wideFiles,
    immediateMarker: 127,
    nop: 'nop',
  },
};

export const tpcGaudi = vliwSet({
  name: 'tpc-gaudi',
  title: 'Gaudi TPC',
  doc:
    'The Tensor Processing Core of Gaudi1: each bundle of 32 bytes has an instruction for each of four slots, which all read ' +
    'their operands before any writes its result. A result may be read only when its latency has passed; until then the old ' +
    'value is read. Bundles are never compressed.',
  sources: {
    R: 'HabanaAI/tpc_llvm, llvm/lib/Target/TPC: TPCInstrFormats.td, TPCInstrInfo.td, TPCRegisterInfo.td, MCTargetDesc/TPCInstrLayout.cpp, MCTargetDesc/InstructionDB.cpp, AsmParser/TPCAsmParser.cpp',
    L: 'HabanaAI/tpc_llvm, llvm/lib/Target/TPC: TPCLatencyResolver.cpp, TPCVLIWPacketizer.cpp, TPCSchedule.td, latencies.cpp, latenciesGen2.cpp',
    C: 'HabanaAI/tpc_llvm, llvm/tools/llvm-objdump: tpc-encoding-info.h, tpc-encoding-cover.h (data types)',
    I: 'HabanaAI/tpc_llvm, clang/lib/Headers: tpc-intrinsics.h, tpc-defs.h (meaning)',
    D: 'docs.habana.ai, TPC User Guide',
  },
  types: {
    f32: 0,
    bf16: 1,
    i32: 2,
    u32: 3,
    i8: 4,
    u8: 5,
    b: 6,
    i16: 7,
    u16: 8,
    i4: 9,
    u4: 10,
    f16: 11,
    f8_152: 12,
    f8_143: 13,
    i64: 14,
  },
  missingTypes: ['i4', 'u4', 'f16', 'f8_152', 'f8_143', 'i64'],
  tensors: 16,
  registers,
  // ST_RMW_REG is what later chips call S29.
  synonyms: [{ name: { file: 'HW', number: 10 }, means: { file: 'S', number: 29 } }],
  imm: at(151, 182),
  reserved: at(191, 255),
  layouts,
  rows: { load, spu, vpu, store },
  latencies: { load: 4, spu: 4, vpu: 4, store: 1 },
  loads: { slot: 'load', mnemonics: /^(ld_|lookup)/ },
  // As the vendor's compiler spaces them: [L] TPCLatencyResolver.cpp.
  latencyRules: [
    { from: 'load', file: 'AD', to: 'load', readers: ['ld_g'], bundles: 7 },
    { from: 'load', file: 'AD', to: 'store', readers: ['st_g'], bundles: 7 },
    { from: 'store', file: 'AD', to: 'load', readers: ['ld_g'], bundles: 7 },
    { from: 'store', file: 'AD', to: 'store', readers: ['st_g'], bundles: 7 },
    { from: 'spu', file: 'SP', to: 'spu', bundles: 2 },
    { from: 'spu', file: 'SP', to: 'load', bundles: 3 },
    { from: 'spu', file: 'SP', to: 'store', bundles: 3 },
    { from: 'spu', file: 'S', to: 'spu', bundles: 'own' },
    { from: 'spu', file: 'S', to: 'load', readers: ['set_indx', 'prmt_indx', 'ld_l'], bundles: 4 },
    { from: 'spu', file: 'S', to: 'store', readers: ['set_indx', 'prmt_indx', 'st_l'], bundles: 4 },
    { from: 'vpu', file: 'VP', to: 'vpu', bundles: 2 },
    { from: 'vpu', file: 'V', to: 'vpu', bundles: 'own' },
    { from: 'load', file: 'V', to: 'vpu', bundles: 4 },
    { from: 'load', file: 'S', to: 'spu', bundles: 4 },
    { from: 'load', file: 'SP', to: 'spu', bundles: 4, plus: 2 },
  ],
  loop: {
    opcode: 34,
    fields: {
      opcode: at(0, 5),
      start: at(6, 12),
      boundary: at(13, 19),
      step: at(20, 25),
      startIsImmediate: at(26, 26),
      boundaryIsImmediate: at(27, 27),
      stepIsImmediate: at(28, 28),
      repeatAtMostOnce: at(29, 29),
      inverted: at(31, 31),
      predicate: at(32, 35),
      boundaryImmediate: at(36, 67),
      stepImmediate: at(68, 99),
      endOffset: at(100, 115),
      comparison: at(116, 118),
      startImmediate: at(151, 182),
    },
    doc: 'Repeat the bundles up to a label. The bundle after LOOP is done once, before the first round; it is not repeated.',
    operation:
      'counter = start; while counter comparison boundary: do the body, counter = counter + step. The counter is S32, S33, S34 ' +
      'or S35 by the depth of nesting. After the loop it holds the value that ended it',
    example: 'loop 0, S3, 1, <, end1',
    source: '[R] TPCInstrLayout.cpp; [C] loop_encoding',
  },
  packing: [
    {
      first: ['load', ['ld_l', 'ld_l_v', 'ld_l_v_low', 'ld_l_v_high', 'lookup', 'lookup_1c', 'lookup_2c']],
      second: ['store', ['st_l', 'st_l_v', 'st_l_v_low', 'st_l_v_high']],
      doc: 'local memory is either read or written in one bundle',
    },
    {
      first: ['load', ['ld_g', 'prefetch']],
      second: ['store', ['st_g']],
      doc: 'global memory is either read or written in one bundle',
    },
    {
      first: ['load', ['ld_tnsr', 'ld_tnsr_low', 'ld_tnsr_high', 'lookup', 'lookup_1c', 'lookup_2c']],
      second: ['store', ['aso']],
      doc: 'ASO does not go with a load that it may have to wait for',
    },
  ],
});
