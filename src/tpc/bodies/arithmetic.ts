/** MAC, MUL, ADD, SUB, MAX, MIN, ABS, shifts, logic and bit counts, for the scalar and the vector unit. */

import type { Instruction } from '../../isa/vliw/bundle.ts';
import { bitsOf, type LaneType, laneTypes, type Values } from '../lanes.ts';
import { PREDICATE_BYTES, VECTOR_BYTES } from '../layout.ts';
import { type Body, type Machine, refuse } from '../machine.ts';
import * as float from '../numbers/float.ts';
import * as integer from '../numbers/integer.ts';
import {
  bytesReader,
  destination,
  laneBits,
  lanesReader,
  pairBits,
  register,
  wordReader,
  wordWriter,
} from '../operands.ts';
import {
  type Binary,
  flagOf,
  type Make,
  numberOf,
  scalarBinary,
  scalarUnary,
  typeOf,
  type Unary,
  vectorBinary,
  vectorUnary,
} from './elementwise.ts';

/** Tells the causes of a float result that is not a normal number. */
function watchFloat(i: Instruction, m: Machine): (value: number) => number {
  const cause = i.slot === 'spu' ? 'spu_fp_dst_nan_inf' : 'vpu_fp_dst_nan_inf';
  return (value) => {
    if (!Number.isFinite(value)) m.interrupt(cause);
    return value;
  };
}

/** Makes an exact integer result fit: saturated or wrapped, and says so. */
function fit(
  i: Instruction,
  m: Machine,
  type: integer.IntegerType,
  what: 'mac' | 'addsub' | 'abs',
): (x: number) => number {
  const saturating = flagOf(i, 'st');
  const cause = `${i.slot === 'spu' ? 'spu' : 'vpu'}_${what}_overflow` as const;
  return (x) => {
    if (x >= type.min && x <= type.max) return x;
    m.interrupt(cause);
    return saturating ? integer.saturate(type, x) : integer.wrap(type, x);
  };
}

/** The function of float arithmetic in the mode of ROUND_CSR, with random numbers where that is stochastic. */
function rounded(
  i: Instruction,
  m: Machine,
  type: LaneType,
  f: (a: number, b: number, mode: ReturnType<Machine['roundingMode']>, random: number) => number,
): Binary {
  const watch = watchFloat(i, m);
  return (a, b, lane) => {
    const mode = m.roundingMode();
    if (mode !== 'sr') return watch(f(a, b, mode, 0));
    if (lane === 0) m.stepRandom(i.slot);
    return watch(f(a, b, mode, m.random(lane, type.bytes)));
  };
}

const add: Make<Binary> = (type, i, m) => {
  if (flagOf(i, 'carry')) refuse(i, 'undefined', 'which instructions write the carry is not public');
  if (type.float) {
    const format = type.float;
    return rounded(i, m, type, (a, b, mode, random) => float.add(format, a, b, mode, random));
  }
  const fits = fit(i, m, type.integer as integer.IntegerType, 'addsub');
  return (a, b) => fits(a + b);
};

const sub: Make<Binary> = (type, i, m) => {
  const negated = flagOf(i, 'neg');
  if (type.float) {
    const format = type.float;
    const difference = rounded(i, m, type, (a, b, mode, random) => float.add(format, a, -b, mode, random));
    return negated ? (a, b, lane) => -difference(a, b, lane) : difference;
  }
  const fits = fit(i, m, type.integer as integer.IntegerType, 'addsub');
  return negated ? (a, b) => fits(b - a) : (a, b) => fits(a - b);
};

const max: Make<Binary> = (type) => (type.float ? float.maximum : (a, b) => (a > b ? a : b));
const min: Make<Binary> = (type) => (type.float ? float.minimum : (a, b) => (a < b ? a : b));

const abs: Make<Unary> = (type, i, m) => {
  if (type.float) return Math.abs;
  const fits = fit(i, m, type.integer as integer.IntegerType, 'abs');
  return (a) => fits(Math.abs(a));
};

const or: Make<Binary> = () => (a, b) => (a | b) >>> 0;
const and: Make<Binary> = () => (a, b) => (a & b) >>> 0;
const xor: Make<Binary> = () => (a, b) => (a ^ b) >>> 0;
const not: Make<Unary> = (type) => (a) => integer.unsigned(type.bytes * 8, ~a);

/** The amount of a shift: the low 8 bits. Nothing is left of a value that is shifted by its width or more. */
const shr: Make<Binary> = (type) => (a, b) =>
  (b & 0xff) >= type.bytes * 8 ? 0 : integer.unsigned(type.bytes * 8, a) >>> (b & 0xff);
const shl: Make<Binary> = (type) => (a, b) =>
  (b & 0xff) >= type.bytes * 8 ? 0 : integer.unsigned(type.bytes * 8, a << (b & 0xff));

const ash: Make<Binary> = (type, i) => {
  const format = type.integer ?? refuse(i, 'undefined', `what it does with ${type.name} is not public`);
  const half = flagOf(i, 'rhu');
  return (a, b) => {
    const amount = laneTypes.i8.fromWord(b);
    if (amount >= 0) return integer.saturate(format, a * 2 ** amount);
    const scaled = a * 2 ** amount;
    return Math.floor(half ? scaled + 0.5 : scaled);
  };
};

const popcnt: Make<Unary> = (type, i) => {
  const ones = numberOf(i, 'set') === 1;
  const bits = type.bytes * 8;
  return (a) => integer.countOnes(bits, ones ? a : ~a);
};

const findFirst: Make<Unary> = (type, i) => {
  const set = numberOf(i, 'set') === 1 ? 1 : 0;
  const fromHighest = i.switches.dir === 'start_msb';
  return (a) => integer.findFirst(type.bytes * 8, a, set, fromHighest);
};

const reverse: Make<Unary> = (type) => (a) => integer.reverseBits(type.bytes * 8, a);

/** Type `b` has no lanes: 32 bits of a register are as good as any. */
function plain(body: Body): Body {
  return (i, m) => body(i.type === 'b' ? { ...i, type: 'u32' } : i, m);
}

/** Predicates of the scalar unit: 0 or 1. */
function scalarLogic(make: Make<Binary>, bit: (a: number, b: number) => number): Body {
  const words = plain(scalarBinary(make, bitsOf));
  return (i, m) => {
    if (register(i, 'dest').file !== 'SP') return words(i, m);
    const readA = wordReader(i, 'a', m);
    const readB = wordReader(i, 'b', m);
    const write = wordWriter(i, m);
    return () => write(bit(readA(), readB()));
  };
}

/** Vector predicates: bit by bit. */
function vectorLogic(make: Make<Binary>, bits: (a: number, b: number) => number): Body {
  const lanes = plain(vectorBinary(make, bitsOf));
  return (i, m) => {
    if (register(i, 'dest').file !== 'VP') return lanes(i, m);
    const readA = bytesReader(i, 'a', m, PREDICATE_BYTES);
    const readB = bytesReader(i, 'b', m, PREDICATE_BYTES);
    const write = predicateWriter(i, m);
    return () => {
      const [x, y] = [readA(), readB()];
      write((byte) => bits(m.state.bytes[x + byte] as number, m.state.bytes[y + byte] as number));
    };
  };
}

/** The destination of a vector predicate, byte by byte; a vector predicate of the instruction rules each bit. */
export function predicateWriter(i: Instruction, m: Machine): (value: (byte: number) => number) => void {
  const guard = i.predicate?.file === 'VP' ? i.predicate : undefined;
  const unguarded: Instruction = guard ? { ...i, predicate: undefined } : i;
  const to = destination(unguarded, m, PREDICATE_BYTES);
  const old = bytesReader(i, 'dest', m, PREDICATE_BYTES);
  const read = guard
    ? bytesReader(
        { ...i, operands: [{ kind: 'register', file: 'VP', number: guard.number }], roles: ['guard'] },
        'guard',
        m,
        PREDICATE_BYTES,
      )
    : undefined;
  return (value) => {
    const at = to.begin();
    const { bytes } = m.state;
    for (let byte = 0; byte < PREDICATE_BYTES; byte++) bytes[at + byte] = value(byte);
    if (guard && read) {
      const rule = read();
      const before = old();
      for (let byte = 0; byte < PREDICATE_BYTES; byte++) {
        const on = guard.inverted ? ~(bytes[rule + byte] as number) : (bytes[rule + byte] as number);
        bytes[at + byte] = ((bytes[at + byte] as number) & on) | ((bytes[before + byte] as number) & ~on);
      }
    }
    to.finish(at);
  };
}

/** The word of a scalar result that is wider than its operands. */
const productOf = (type: LaneType, i: Instruction): LaneType => {
  if (type === laneTypes.i16) return laneTypes.i32;
  if (type === laneTypes.u16) return laneTypes.u32;
  return type === laneTypes.bf16 && flagOf(i, 'acc_fp32') ? laneTypes.f32 : type;
};

/** accumulator + a * b, for MAC; the accumulator is of the product's type. */
function accumulate(
  type: LaneType,
  i: Instruction,
  m: Machine,
): (a: number, b: number, sum: number, lane: number) => number {
  const wide = productOf(type, i);
  const negated = flagOf(i, 'neg');
  if (wide.float) {
    const format = wide.float;
    const watch = watchFloat(i, m);
    return (a, b, sum, lane) => {
      const mode = m.roundingMode();
      if (mode === 'sr' && lane === 0) m.stepRandom(i.slot);
      const random = mode === 'sr' ? m.random(wide === type ? lane : lane >> 1, wide.bytes) : 0;
      return watch(float.multiplyAdd(format, negated ? -a : a, b, sum, mode, random));
    };
  }
  const fits = fit(i, m, wide.integer as integer.IntegerType, 'mac');
  return negated ? (a, b, sum) => fits(sum - a * b) : (a, b, sum) => fits(sum + a * b);
}

/** The product, for MUL: exact where the result is wide enough. */
function product(type: LaneType, i: Instruction, m: Machine): Binary {
  const wide = productOf(type, i);
  if (wide.float) {
    const format = wide.float;
    return rounded(i, m, wide, (a, b, mode, random) => float.multiply(format, a, b, mode, random));
  }
  if (type.bytes < 4) return (a, b) => a * b;
  const words = type.integer as integer.IntegerType;
  if (flagOf(i, 'double_and_round32')) return (a, b) => integer.doubleAndRound(words, a, b);
  if (flagOf(i, 'upper32'))
    return (a, b) => laneTypes[words.signed ? 'i32' : 'u32'].fromWord(integer.multiplyWide(a, b)[1]);
  return (a, b) => integer.multiplyLow(words, a, b);
}

const x: Values = new Float64Array(VECTOR_BYTES);
const y: Values = new Float64Array(VECTOR_BYTES);
const even: Values = new Float64Array(VECTOR_BYTES);
const odd: Values = new Float64Array(VECTOR_BYTES);

/** Operands of half the width of the results: even elements give the first register of the pair, odd ones the second. */
function widening(
  i: Instruction,
  m: Machine,
  f: (a: number, b: number, sum: number, lane: number) => number,
  accumulating: boolean,
) {
  const type = typeOf(i);
  const wide = productOf(type, i);
  const readA = lanesReader(i, 'a', type, m);
  const readB = lanesReader(i, 'b', type, m);
  const sum = accumulating ? bytesReader(i, 'dest', m, 2 * VECTOR_BYTES) : undefined;
  const to = destination(i, m, 2 * VECTOR_BYTES, pairBits(wide.bytes));
  return () => {
    readA(x);
    readB(y);
    if (sum) {
      const at = sum();
      wide.read(m.state, at, wide.count, even);
      wide.read(m.state, at + VECTOR_BYTES, wide.count, odd);
    }
    for (let lane = 0; lane < wide.count; lane++) {
      even[lane] = f(x[2 * lane] as number, y[2 * lane] as number, even[lane] as number, 2 * lane);
      odd[lane] = f(x[2 * lane + 1] as number, y[2 * lane + 1] as number, odd[lane] as number, 2 * lane + 1);
    }
    const at = to.begin();
    wide.write(m.state, at, wide.count, even);
    wide.write(m.state, at + VECTOR_BYTES, wide.count, odd);
    to.finish(at);
  };
}

const vectorMac: Body = (i, m) => {
  const type = typeOf(i);
  const f = accumulate(type, i, m);
  if (productOf(type, i) !== type) return widening(i, m, f, true);
  if (!type.float) refuse(i, 'unsupported', `data type ${type.name}`);
  const readA = lanesReader(i, 'a', type, m);
  const readB = lanesReader(i, 'b', type, m);
  const sum = lanesReader(i, 'dest', type, m);
  const to = destination(i, m, VECTOR_BYTES, laneBits(type.bytes));
  return () => {
    readA(x);
    readB(y);
    sum(even);
    for (let lane = 0; lane < type.count; lane++) {
      even[lane] = f(x[lane] as number, y[lane] as number, even[lane] as number, lane);
    }
    const at = to.begin();
    type.write(m.state, at, type.count, even);
    to.finish(at);
  };
};

const scalarMac: Body = (i, m) => {
  const type = typeOf(i);
  const wide = productOf(type, i);
  const f = accumulate(type, i, m);
  const readA = wordReader(i, 'a', m);
  const readB = wordReader(i, 'b', m);
  const sum = wordReader(i, 'dest', m);
  const write = wordWriter(i, m);
  return () => write(wide.toWord(f(type.fromWord(readA()), type.fromWord(readB()), wide.fromWord(sum()), 0)));
};

const vectorMul: Body = (i, m) => {
  const type = typeOf(i);
  const f = product(type, i, m);
  if (productOf(type, i) !== type) return widening(i, m, (a, b, _, lane) => f(a, b, lane >> 1), false);
  if (type.float || flagOf(i, 'double_and_round32')) return vectorBinary(() => f)(i, m);
  // 64-bit products: lane n in register n mod 2, at 8 * floor(n / 2).
  const readA = lanesReader(i, 'a', type, m);
  const readB = lanesReader(i, 'b', type, m);
  const to = destination(i, m, 2 * VECTOR_BYTES, pairBits(8));
  return () => {
    readA(x);
    readB(y);
    const at = to.begin();
    for (let lane = 0; lane < type.count; lane++) {
      const [low, high] = integer.multiplyWide(x[lane] as number, y[lane] as number);
      const word = (at + (lane & 1) * VECTOR_BYTES) / 4 + (lane & ~1);
      m.state.u32[word] = low;
      m.state.u32[word + 1] = high;
    }
    to.finish(at);
  };
};

const scalarMul: Body = (i, m) => {
  if (register(i, 'dest').file === 'I') return scalarBinary((type) => product(type, i, m))(i, m);
  const type = typeOf(i);
  return scalarBinary(
    (t) => product(t, i, m),
    (t) => t,
    () => productOf(type, i),
  )(i, m);
};

export const scalarArithmetic = {
  mac: scalarMac,
  mul: scalarMul,
  add: scalarBinary(add),
  sub: scalarBinary(sub),
  max: scalarBinary(max),
  min: scalarBinary(min),
  abs: scalarUnary(abs),
  or: scalarLogic(or, (a, b) => a | b),
  and: scalarLogic(and, (a, b) => a & b),
  xor: scalarLogic(xor, (a, b) => a ^ b),
  not: ((i, m) => {
    if (register(i, 'dest').file !== 'SP') return plain(scalarUnary(not, bitsOf))(i, m);
    const read = wordReader(i, 'a', m);
    const write = wordWriter(i, m);
    return () => write(read() ^ 1);
  }) satisfies Body as Body,
  shr: scalarBinary(shr, bitsOf),
  shl: scalarBinary(shl, bitsOf),
  ash: scalarBinary(ash),
  popcnt: scalarUnary(popcnt, bitsOf),
  find_first: scalarUnary(findFirst, bitsOf),
  brev: scalarUnary(reverse, bitsOf),
} as const;

export const vectorArithmetic = {
  mac: vectorMac,
  mul: vectorMul,
  add: vectorBinary(add),
  sub: vectorBinary(sub),
  max: vectorBinary(max),
  min: vectorBinary(min),
  abs: vectorUnary(abs),
  or: vectorLogic(or, (a, b) => a | b),
  and: vectorLogic(and, (a, b) => a & b),
  xor: vectorLogic(xor, (a, b) => a ^ b),
  not: ((i, m) => {
    if (register(i, 'dest').file !== 'VP') return plain(vectorUnary(not, bitsOf))(i, m);
    const read = bytesReader(i, 'a', m, PREDICATE_BYTES);
    const write = predicateWriter(i, m);
    return () => {
      const at = read();
      write((byte) => ~(m.state.bytes[at + byte] as number) & 0xff);
    };
  }) satisfies Body as Body,
  shr: vectorBinary(shr, bitsOf),
  shl: vectorBinary(shl, bitsOf),
  ash: vectorBinary(ash),
  popcnt: vectorUnary(popcnt, bitsOf),
  find_first: vectorUnary(findFirst, bitsOf),
  brev: vectorUnary(reverse, bitsOf),
} as const;
