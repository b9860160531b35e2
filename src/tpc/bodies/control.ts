/** Index registers, division, and where the program goes on. */

import type { Instruction } from '../../isa/vliw/bundle.ts';
import { DIMENSIONS, SRF } from '../layout.ts';
import { type Body, type Machine, refuse } from '../machine.ts';
import {
  constant,
  destination,
  indexReader,
  indexWriter,
  operand,
  register,
  wordReader,
  wordWriter,
} from '../operands.ts';
import { typeOf } from './elementwise.ts';

export const setIndex: Body = (i, m) => {
  const value = wordReader(i, 'a', m);
  const write = indexWriter(i, m);
  return () => {
    const word = value() | 0;
    write(() => word);
  };
};

/** dest[n] = a[bits 3n to 3n + 2 of b]. */
export const permuteIndex: Body = (i, m) => {
  const source = indexReader(i, 'a', m);
  const order = wordReader(i, 'b', m);
  const write = indexWriter(i, m);
  return () => {
    const values = Int32Array.from(source());
    const word = order();
    write((d) => {
      const from = (word >>> (3 * d)) & 7;
      return from < DIMENSIONS ? (values[from] as number) : refuse(i, 'undefined', `there is no dimension ${from}`);
    });
  };
};

const indexDimension: Body = (i, m) => {
  const dimension = constant(i, 'dim');
  if (dimension >= DIMENSIONS) refuse(i, 'unsupported', `there is no dimension ${dimension}`);
  if (register(i, 'dest').file !== 'S') refuse(i, 'undefined', 'what the second register of the pair gets');
  const source = indexReader(i, 'a', m);
  const write = wordWriter(i, m);
  return () => write(source()[dimension] as number);
};

/**
 * Four steps of restoring division: dest is a pair (remainder so far, quotient so far), at first (numerator, 0); step s
 * decides bit width - 1 - s of the quotient.
 */
const divide: Body = (i, m) => {
  const type = typeOf(i);
  const width = type.bytes * 8;
  const first = constant(i, 'step');
  if (first + 4 > width) refuse(i, 'undefined', `steps ${first} to ${first + 3} of ${width}`);
  const denominator = wordReader(i, 'a', m);
  const pair = register(i, 'dest');
  const read = pairReader(i, m, SRF + pair.number * 4);
  const to = destination(i, m, 8);
  return () => {
    const divisor = type.fromWord(denominator());
    if (divisor === 0) m.interrupt('div_by_0');
    const from = read();
    let remainder = type.fromWord(m.state.u32[from >> 2] as number);
    let quotient = type.fromWord(m.state.u32[(from >> 2) + 1] as number);
    for (let step = first; step < first + 4; step++) {
      const bit = 2 ** (width - 1 - step);
      if (remainder < divisor * bit) continue;
      remainder -= divisor * bit;
      quotient += bit;
    }
    const at = to.begin();
    m.state.u32[at >> 2] = type.toWord(remainder);
    m.state.u32[(at >> 2) + 1] = type.toWord(type.fromWord(quotient));
    to.finish(at);
  };
};

function pairReader(i: Instruction, m: Machine, offset: number): () => number {
  return () => m.pipeline.resolve(i.slot, offset, 8);
}

const jumpRelative: Body = (i, m) => {
  const distance = operand(i, 'target').kind === 'register' ? wordReader(i, 'target', m) : () => constant(i, 'target');
  return () => {
    m.control.jump = m.pc + (distance() | 0);
  };
};

const jumpAbsolute: Body = (i, m) => {
  if (operand(i, 'target').kind !== 'register') {
    refuse(i, 'undefined', 'a label, which assemblers encode as a distance, as an address');
  }
  const target = wordReader(i, 'target', m);
  return () => {
    m.control.jump = target();
  };
};

const halt: Body = (_, m) => () => {
  m.control.halt = true;
};

const debug: Body = (_, m) => () => {
  m.control.debug = true;
};

export const scalarControl = {
  halt,
  jmpr: jumpRelative,
  jmpa: jumpAbsolute,
  mov_irf_dim: indexDimension,
  set_indx: setIndex,
  udiv_4step: divide,
  dbg: debug,
} as const;

export const vectorControl = { halt, dbg: debug } as const;

export const indexInstructions = { set_indx: setIndex, prmt_indx: permuteIndex } as const;
