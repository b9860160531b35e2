/** Instructions that do the same to each element: to one scalar, to the dimensions of an index register, to all lanes. */

import type { Instruction } from '../../isa/vliw/bundle.ts';
import { type LaneType, laneType, laneTypes, type Values } from '../lanes.ts';
import { VECTOR_BYTES } from '../layout.ts';
import { type Body, type Machine, nameOf, refuse } from '../machine.ts';
import {
  destination,
  indexReader,
  indexWriter,
  laneBits,
  lanesReader,
  operand,
  register,
  wordReader,
  wordWriter,
} from '../operands.ts';

/** The function of one element; `lane` picks its random number. */
export type Unary = (a: number, lane: number) => number;
export type Binary = (a: number, b: number, lane: number) => number;

/** Makes the function for a data type and its switches, once for each instruction. */
export type Make<F> = (type: LaneType, i: Instruction, m: Machine) => F;

/** How operands are seen: as values of the data type, or as its bits. */
export type View = (type: LaneType) => LaneType;
export const asValues: View = (type) => type;

const a: Values = new Float64Array(VECTOR_BYTES);
const b: Values = new Float64Array(VECTOR_BYTES);

export function typeOf(i: Instruction): LaneType {
  return laneType(i.type, nameOf(i));
}

/** dest = f(a, b) on vectors of one data type. `result` may be of another type with lanes of the same width. */
export function vectorBinary(make: Make<Binary>, view: View = asValues, result: View = view): Body {
  return (i, m) => {
    const type = typeOf(i);
    const readA = lanesReader(i, 'a', view(type), m);
    const readB = lanesReader(i, 'b', view(type), m);
    const f = make(type, i, m);
    const to = destination(i, m, VECTOR_BYTES, laneBits(type.bytes));
    const out = result(type);
    return () => {
      readA(a);
      readB(b);
      for (let lane = 0; lane < type.count; lane++) a[lane] = f(a[lane] as number, b[lane] as number, lane);
      const at = to.begin();
      out.write(m.state, at, type.count, a);
      to.finish(at);
    };
  };
}

export function vectorUnary(make: Make<Unary>, view: View = asValues, result: View = view): Body {
  return (i, m) => {
    const type = typeOf(i);
    const readA = lanesReader(i, 'a', view(type), m);
    const f = make(type, i, m);
    const to = destination(i, m, VECTOR_BYTES, laneBits(type.bytes));
    const out = result(type);
    return () => {
      readA(a);
      for (let lane = 0; lane < type.count; lane++) a[lane] = f(a[lane] as number, lane);
      const at = to.begin();
      out.write(m.state, at, type.count, a);
      to.finish(at);
    };
  };
}

/** Reads dimension d of an operand that is an index register, or the same word for all. */
export function dimensionReader(i: Instruction, role: string, m: Machine): () => (d: number) => number {
  const found = operand(i, role);
  if (found.kind === 'register' && found.file === 'I') {
    const read = indexReader(i, role, m);
    return () => {
      const values = read();
      return (d) => values[d] as number;
    };
  }
  const word = wordReader(i, role, m);
  return () => {
    const value = word() | 0;
    return () => value;
  };
}

const isIndex = (i: Instruction) => register(i, 'dest').file === 'I';

/** dest = f(a, b) on scalars, or on the dimensions of index registers as i32. */
export function scalarBinary(make: Make<Binary>, view: View = asValues, result: View = view): Body {
  return (i, m) => {
    if (isIndex(i)) {
      const f = make(laneTypes.i32, i, m);
      const readA = dimensionReader(i, 'a', m);
      const readB = dimensionReader(i, 'b', m);
      const write = indexWriter(i, m);
      return () => {
        const x = readA();
        const y = readB();
        write((d) => f(x(d), y(d), 0));
      };
    }
    const type = typeOf(i);
    const readA = wordReader(i, 'a', m);
    const readB = wordReader(i, 'b', m);
    const f = make(type, i, m);
    const write = wordWriter(i, m);
    const [from, to] = [view(type), result(type)];
    return () => write(to.toWord(f(from.fromWord(readA()), from.fromWord(readB()), 0)));
  };
}

export function scalarUnary(make: Make<Unary>, view: View = asValues, result: View = view): Body {
  return (i, m) => {
    if (isIndex(i)) {
      const f = make(laneTypes.i32, i, m);
      const readA = dimensionReader(i, 'a', m);
      const write = indexWriter(i, m);
      return () => {
        const x = readA();
        write((d) => f(x(d), 0));
      };
    }
    const type = typeOf(i);
    const readA = wordReader(i, 'a', m);
    const f = make(type, i, m);
    const write = wordWriter(i, m);
    const [from, to] = [view(type), result(type)];
    return () => write(to.toWord(f(from.fromWord(readA()), 0)));
  };
}

/** A switch that is set or not. */
export function flagOf(i: Instruction, name: string): boolean {
  return i.switches[name] === true || i.switches[name] === 1;
}

/** A switch whose values are numbers, or names of numbers. */
export function numberOf(i: Instruction, name: string): number {
  const value = Number(i.switches[name] ?? 0);
  return Number.isInteger(value) ? value : refuse(i, 'unsupported', `${name}=${String(i.switches[name])}`);
}
