/** MOV of every slot, and what rearranges a vector: MOV_DG, MOV_G, SHUFFLE, PACK, UNPACK. */

import type { Instruction } from '../../isa/vliw/bundle.ts';
import { bitsOf, laneTypes, type Values } from '../lanes.ts';
import { DUAL_GROUP_BYTES, GROUP_BYTES, PREDICATE_BYTES, VECTOR_BYTES } from '../layout.ts';
import { type Action, type Body, type Machine, refuse } from '../machine.ts';
import {
  bytesReader,
  constant,
  destination,
  indexWriter,
  laneBits,
  lanesReader,
  operand,
  optional,
  register,
  wordReader,
  wordWriter,
} from '../operands.ts';
import { predicateWriter } from './arithmetic.ts';
import { dimensionReader, flagOf, numberOf } from './elementwise.ts';

const DUAL_GROUPS = VECTOR_BYTES / DUAL_GROUP_BYTES;

/** MOV to any register file. A scalar or immediate goes to every lane of the data type. */
export const move: Body = (i, m) => {
  if (optional(i, 'from')) refuse(i, 'undefined', 'registers of the hardware: what they hold is not public');
  switch (register(i, 'dest').file) {
    case 'V':
      return moveVector(i, m);
    case 'VP':
      return movePredicate(i, m);
    case 'I': {
      const read = dimensionReader(i, 'a', m);
      const write = indexWriter(i, m);
      return () => write(read());
    }
    case 'SP': {
      const read = wordReader(i, 'a', m);
      const write = wordWriter(i, m);
      return () => write(read() & 1);
    }
    default: {
      const read = wordReader(i, 'a', m);
      const write = wordWriter(i, m);
      return () => write(read());
    }
  }
};

const x: Values = new Float64Array(VECTOR_BYTES);

function moveVector(i: Instruction, m: Machine): Action {
  const source = operand(i, 'a');
  if (source.kind === 'register' && source.file === 'V') {
    const read = bytesReader(i, 'a', m, VECTOR_BYTES);
    const to = destination(i, m, VECTOR_BYTES, laneBits(typeBytes(i)));
    return () => {
      const from = read();
      const at = to.begin();
      m.state.bytes.copyWithin(at, from, from + VECTOR_BYTES);
      to.finish(at);
    };
  }
  const type = typeBytes(i) === 4 ? laneTypes.u32 : typeBytes(i) === 2 ? laneTypes.u16 : laneTypes.u8;
  const read = lanesReader(i, 'a', type, m);
  const to = destination(i, m, VECTOR_BYTES, laneBits(type.bytes));
  return () => {
    read(x);
    const at = to.begin();
    type.write(m.state, at, type.count, x);
    to.finish(at);
  };
}

/** Bytes of a lane of the instruction's data type; moves without one are of 32 bits. */
function typeBytes(i: Instruction): number {
  const known = i.type === undefined || i.type === 'b' ? undefined : laneTypes[i.type as keyof typeof laneTypes];
  return known ? bitsOf(known).bytes : 4;
}

/**
 * MOV to a vector predicate: another one; a scalar predicate in all bits; or a word: flavor 0 to 7 says which 32 bits of the
 * predicate it becomes, 8 that it becomes all eight (tpc-intrinsics.h, v_i1_mov_flavor).
 */
function movePredicate(i: Instruction, m: Machine): Action {
  const source = operand(i, 'a');
  if (source.kind === 'register' && source.file === 'VP') {
    const read = bytesReader(i, 'a', m, PREDICATE_BYTES);
    const write = predicateWriter(i, m);
    return () => {
      const at = read();
      write((byte) => m.state.bytes[at + byte] as number);
    };
  }
  const read = wordReader(i, 'a', m);
  const write = predicateWriter(i, m);
  if (source.kind === 'register' && source.file === 'SP') return () => write(read() ? () => 0xff : () => 0);
  const flavor = optional(i, 'flavor') ? constant(i, 'flavor') : 8;
  if (flavor > 8) refuse(i, 'unsupported', `flavor ${flavor}`);
  const old = bytesReader(i, 'dest', m, PREDICATE_BYTES);
  return () => {
    const word = read();
    const before = old();
    write((byte) => {
      if (flavor < 8 && byte >> 2 !== flavor) return m.state.bytes[before + byte] as number;
      return (word >>> (8 * (byte & 3))) & 0xff;
    });
  };
}

/** A vector made of bytes of another, from places that the instruction names. */
const rearrange: Body = (i, m) => {
  const sources = rearrangementOf(i) ?? refuse(i, 'unsupported', 'which bytes it moves');
  const written = Uint8Array.from(sources, (source) => (source < 0 ? 0 : 1));
  const read = bytesReader(i, 'a', m, VECTOR_BYTES);
  const to = destination(i, m, VECTOR_BYTES, laneBits(typeBytes(i)));
  return () => {
    const source = read();
    const at = to.begin();
    const { bytes } = m.state;
    for (let byte = 0; byte < VECTOR_BYTES; byte++) {
      if (written[byte]) bytes[at + byte] = bytes[source + (sources[byte] as number)] as number;
    }
    to.finish(at, written);
  };
};

/** For each byte of a result the byte of the source, as numbers from 0; negative where the destination keeps its own. */
export function rearrangementOf(i: Instruction): Int16Array | undefined {
  const from = Object.hasOwn(places, i.mnemonic) ? places[i.mnemonic as keyof typeof places](i) : undefined;
  return from && Int16Array.from({ length: VECTOR_BYTES }, (_, byte) => from(byte));
}

/** The place of a byte: dual group, group within it, byte within that. */
function placeOf(byte: number): { dual: number; group: number; at: number } {
  return {
    dual: Math.floor(byte / DUAL_GROUP_BYTES),
    group: Math.floor(byte / GROUP_BYTES) % 2,
    at: byte % GROUP_BYTES,
  };
}

/** The byte of the source for each of the result. */
type Places = (i: Instruction) => (byte: number) => number;

const moveDualGroup: Places = (i) => {
  const mask = constant(i, 'mask');
  const source: number[] = [];
  const groups: number[] = [];
  for (let dual = 0; dual < DUAL_GROUPS; dual++) {
    if (flagOf(i, 'all')) {
      source.push(numberOf(i, `sdg${dual}`));
      groups.push(numberOf(i, `weg${dual}`));
    } else {
      source.push(numberOf(i, 'src'));
      groups.push(dual === numberOf(i, 'dst') ? numberOf(i, 'wr_lg') | (numberOf(i, 'wr_ug') << 1) : 0);
    }
  }
  return (byte) => {
    const { dual, group, at } = placeOf(byte);
    if (!(((groups[dual] as number) >> group) & 1) || !((mask >>> at) & 1)) return -1;
    return (source[dual] as number) * DUAL_GROUP_BYTES + group * GROUP_BYTES + at;
  };
};

const moveGroup: Places = (i) => {
  const mask = constant(i, 'mask');
  const groups = numberOf(i, 'g_en');
  const duals = numberOf(i, 'dg_en');
  return (byte) => {
    const { dual, group, at } = placeOf(byte);
    if (!((groups >> group) & 1) || !((duals >> dual) & 1) || !((mask >>> at) & 1)) return -1;
    return dual * DUAL_GROUP_BYTES + (1 - group) * GROUP_BYTES + at;
  };
};

/** A switch whose names differ in how they are spelt: `0`, `group_0`. */
function lastDigit(i: Instruction, name: string): number {
  return Number(String(i.switches[name] ?? '0').at(-1));
}

/**
 * PACK: every second (fourth) element of one group of each dual group, next to each other: a quarter (an eighth) of the dual
 * group. Group 0's go to the lower and group 1's to the upper half of each half (quarter) of the dual group, alike in all of
 * them (public kernels: what they move out of which dual group after each of two PACKs).
 */
const pack: Places = (i) => {
  const bytes = typeBytes(i);
  const stride = lastDigit(i, 'element_stride');
  const group = lastDigit(i, 'source_group');
  const run = GROUP_BYTES / stride;
  return (byte) => {
    const { dual } = placeOf(byte);
    const within = byte % (2 * run);
    if (Math.floor(within / run) !== group) return -1;
    const element = Math.floor((within % run) / bytes);
    return dual * DUAL_GROUP_BYTES + group * GROUP_BYTES + element * stride * bytes + (within % bytes);
  };
};

/** UNPACK: the elements of a group (of half of one, with stride 4) to every second (fourth) element of the dual group. */
const unpack: Places = (i) => {
  const bytes = typeBytes(i);
  const stride = lastDigit(i, 'element_stride');
  const group = lastDigit(i, 'source_group');
  const half = stride === 4 ? lastDigit(i, 'group_half') : 0;
  return (byte) => {
    const within = byte % DUAL_GROUP_BYTES;
    const element = Math.floor(within / bytes);
    if (element % stride !== 0) return -1;
    const from = group * GROUP_BYTES + half * (GROUP_BYTES / 2) + (element / stride) * bytes;
    return placeOf(byte).dual * DUAL_GROUP_BYTES + from + (within % bytes);
  };
};

const places = { mov_dg: moveDualGroup, mov_g: moveGroup, pack, unpack } as const;

/** SHUFFLE: each element names one of its dual group: bits 0 to 4 the element of a group, bit 5 the group, bit 7 whether. */
const shuffle: Body = (i, m) => {
  const bytes = typeBytes(i);
  const read = bytesReader(i, 'a', m, VECTOR_BYTES);
  const control = bytesReader(i, 'b', m, VECTOR_BYTES);
  const to = destination(i, m, VECTOR_BYTES, laneBits(bytes));
  const written = new Uint8Array(VECTOR_BYTES);
  return () => {
    const [source, rule, at] = [read(), control(), to.begin()];
    const state = m.state.bytes;
    for (let byte = 0; byte < VECTOR_BYTES; byte += bytes) {
      const command = state[rule + byte] as number;
      const enabled = command >> 7;
      written.fill(enabled, byte, byte + bytes);
      if (!enabled) continue;
      const element = (command & 0x1f) * bytes;
      if (element >= GROUP_BYTES)
        refuse(i, 'undefined', `element ${command & 0x1f} of a group of ${GROUP_BYTES / bytes}`);
      const from = byte - (byte % DUAL_GROUP_BYTES) + ((command >> 5) & 1) * GROUP_BYTES + element;
      for (let n = 0; n < bytes; n++) state[at + byte + n] = state[source + from + n] as number;
    }
    to.finish(at, written);
  };
};

export const vectorMoves = {
  mov: move,
  mov_dg: rearrange,
  mov_g: rearrange,
  shuffle,
  pack: rearrange,
  unpack: rearrange,
} as const;
