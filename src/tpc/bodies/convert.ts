/** CONVERT and its relatives, NEARBYINT, and the parts of floating-point numbers. */

import type { DataType, Instruction } from '../../isa/vliw/bundle.ts';
import { bitsOf, type LaneType, laneType, laneTypes, type Values } from '../lanes.ts';
import { VECTOR_BYTES } from '../layout.ts';
import { type Body, type Machine, nameOf, refuse } from '../machine.ts';
import { classify, nearbyInteger, round } from '../numbers/float.ts';
import { type IntegerType, saturate, scale } from '../numbers/integer.ts';
import { type RoundingMode, roundToInteger } from '../numbers/rounding.ts';
import {
  extractExponent,
  formNumber,
  type LutVariant,
  lutEntry,
  type SpecialFunction,
  specialValue,
} from '../numbers/special.ts';
import {
  bytesReader,
  constant,
  destination,
  laneBits,
  lanesReader,
  register,
  wordReader,
  wordWriter,
} from '../operands.ts';
import { flagOf, type Make, numberOf, scalarUnary, typeOf, type Unary, vectorUnary } from './elementwise.ts';

/** The rounding mode of an instruction; `default` is that of ROUND_CSR. */
function modeReader(i: Instruction, m: Machine): () => RoundingMode {
  const name = i.switches.rm ?? 'default';
  if (name === 'default') return () => m.roundingMode();
  const mode = (name === 'rne' ? 'rhne' : name) as RoundingMode;
  return () => mode;
}

/** A function of a value, a mode and a random number, as a function of a lane. */
function rounding(
  i: Instruction,
  m: Machine,
  bytes: number,
  f: (a: number, mode: RoundingMode, random: number) => number,
): Unary {
  const modeOf = modeReader(i, m);
  return (a, lane) => {
    const mode = modeOf();
    if (mode !== 'sr') return f(a, mode, 0);
    if (lane === 0) m.stepRandom(i.slot);
    return f(a, mode, m.random(lane, bytes));
  };
}

const targets: Readonly<Record<string, DataType>> = {
  fp32: 'f32',
  bf16: 'bf16',
  int32: 'i32',
  uint32: 'u32',
  int16: 'i16',
  uint16: 'u16',
  int8: 'i8',
  uint8: 'u8',
};

function targetOf(i: Instruction): LaneType {
  return laneType(targets[String(i.switches.target_type)], `${nameOf(i)}.target_type`);
}

/** A value of one type as a value of another: one rounding, integers saturated, NaN as integer 0. */
function converter(from: LaneType, to: LaneType, i: Instruction, m: Machine): Unary {
  // The random number is that of the wider lane: each conversion has its own.
  const bytes = Math.max(from.bytes, to.bytes);
  if (to.float) {
    const format = to.float;
    return rounding(i, m, bytes, (a, mode, random) => round(format, a, mode, random));
  }
  const format = to.integer as IntegerType;
  return rounding(i, m, bytes, (a, mode, random) => {
    if (Number.isNaN(a)) return 0;
    return Number.isFinite(a) ? saturate(format, roundToInteger(a, mode, random)) : a < 0 ? format.min : format.max;
  });
}

const scalarConvert: Body = (i, m) => {
  const from = typeOf(i);
  const to = targetOf(i);
  const f = converter(from, to, i, m);
  const read = wordReader(i, 'a', m);
  const write = wordWriter(i, m);
  return () => write(to.toWord(f(from.fromWord(read()), 0)));
};

const x: Values = new Float64Array(VECTOR_BYTES);
const y: Values = new Float64Array(VECTOR_BYTES);
const z: Values = new Float64Array(VECTOR_BYTES);

/** The bytes of every `ratio`th element of `bytes` bytes, beginning with element `lane`. */
function everyNth(bytes: number, ratio: number, lane: number): Uint8Array {
  return Uint8Array.from({ length: VECTOR_BYTES }, (_, at) => (Math.floor(at / bytes) % ratio === lane ? 1 : 0));
}

function laneSelect(i: Instruction, ratio: number): number {
  const lane = numberOf(i, 'lane_sel');
  return lane < ratio ? lane : refuse(i, 'unsupported', `lane ${lane} of ${ratio}`);
}

/** Results in every `ratio`th narrow element; the others keep their values. */
function narrow(i: Instruction, m: Machine, from: LaneType, to: LaneType, read: () => void, f: Unary) {
  const ratio = from.bytes / to.bytes;
  const lane = laneSelect(i, ratio);
  const written = everyNth(to.bytes, ratio, lane);
  const out = destination(i, m, VECTOR_BYTES, laneBits(to.bytes));
  return () => {
    read();
    for (let n = 0; n < from.count; n++) y[n * ratio + lane] = f(x[n] as number, n);
    const at = out.begin();
    to.write(m.state, at, to.count, y);
    out.finish(at, written);
  };
}

const vectorConvert: Body = (i, m) => {
  const from = typeOf(i);
  const to = targetOf(i);
  const f = converter(from, to, i, m);
  if (from === laneTypes.bf16 && to === laneTypes.f32) return widenPair(i, m, f);
  if (from === laneTypes.f32 && to === laneTypes.bf16 && i.switches.num_lanes === 'all_lanes')
    return narrowPair(i, m, f);
  const read = lanesReader(i, 'a', from, m);
  if (from.bytes > to.bytes) return narrow(i, m, from, to, () => read(x), f);
  const ratio = to.bytes / from.bytes;
  const lane = ratio === 1 ? 0 : laneSelect(i, ratio);
  const out = destination(i, m, VECTOR_BYTES, laneBits(to.bytes));
  return () => {
    read(x);
    for (let n = 0; n < to.count; n++) y[n] = f(x[n * ratio + lane] as number, n);
    const at = out.begin();
    to.write(m.state, at, to.count, y);
    out.finish(at);
  };
};

/** bf16 to f32: even elements to the first register of a pair, odd ones to the second. */
function widenPair(i: Instruction, m: Machine, f: Unary) {
  const { bf16, f32 } = laneTypes;
  const read = lanesReader(i, 'a', bf16, m);
  const pair: Instruction = { ...i, operands: [{ ...register(i, 'dest'), file: 'D' }, ...i.operands.slice(1)] };
  const bits = Uint16Array.from({ length: 2 * VECTOR_BYTES }, (_, at) => (at & 0xfc) + (at < VECTOR_BYTES ? 0 : 2));
  const to = destination(pair, m, 2 * VECTOR_BYTES, bits);
  return () => {
    read(x);
    for (let n = 0; n < f32.count; n++) {
      y[n] = f(x[2 * n] as number, n);
      z[n] = f(x[2 * n + 1] as number, n);
    }
    const at = to.begin();
    f32.write(m.state, at, f32.count, y);
    f32.write(m.state, at + VECTOR_BYTES, f32.count, z);
    to.finish(at);
  };
}

/** A pair of f32 to bf16: the first register's lanes to even elements, the second's to odd ones. */
function narrowPair(i: Instruction, m: Machine, f: Unary) {
  const { bf16, f32 } = laneTypes;
  const a = register(i, 'a');
  const source: Instruction = { ...i, operands: i.operands.map((o) => (o === a ? { ...a, file: 'D' as const } : o)) };
  const read = bytesReader(source, 'a', m, 2 * VECTOR_BYTES);
  const to = destination(i, m, VECTOR_BYTES, laneBits(2));
  return () => {
    const from = read();
    f32.read(m.state, from, f32.count, x);
    f32.read(m.state, from + VECTOR_BYTES, f32.count, z);
    for (let n = 0; n < f32.count; n++) {
      y[2 * n] = f(x[n] as number, n);
      y[2 * n + 1] = f(z[n] as number, n);
    }
    const at = to.begin();
    bf16.write(m.state, at, bf16.count, y);
    to.finish(at);
  };
}

/** Fixed point: value * 2^shift, rounded and saturated; the shift is a signed byte. */
type FixedType = 'i32' | 'u32' | 'i16' | 'u16';

function fixedTypes(i: Instruction, from: FixedType): { from: LaneType; to: LaneType } {
  const bits = from.endsWith('32') && i.switches.to === 'to_16' ? 16 : 8;
  const to = `${from.startsWith('u') ? 'u' : 'i'}${bits}` as 'i16' | 'u16' | 'i8' | 'u8';
  return { from: laneTypes[from], to: laneTypes[to] };
}

function scalarFixed(name: FixedType): Body {
  return (i, m) => {
    const { from, to } = fixedTypes(i, name);
    const format = to.integer as IntegerType;
    const value = wordReader(i, 'a', m);
    const shift = wordReader(i, 'b', m);
    const write = wordWriter(i, m);
    let amount = 0;
    const f = rounding(i, m, from.bytes, (a, mode, random) => scale(format, a, -amount, mode, random));
    return () => {
      amount = laneTypes.i8.fromWord(shift());
      write(to.toWord(f(from.fromWord(value()), 0)));
    };
  };
}

function vectorFixed(name: FixedType): Body {
  return (i, m) => {
    const { from, to } = fixedTypes(i, name);
    if (register(i, 'a').file !== 'V')
      refuse(i, 'undefined', 'the order of the elements of pairs and quads is not public');
    const format = to.integer as IntegerType;
    const value = lanesReader(i, 'a', from, m);
    const shift = lanesReader(i, 'b', bitsOf(from), m);
    let amount = 0;
    const f = rounding(i, m, from.bytes, (a, mode, random) => scale(format, a, -amount, mode, random));
    return narrow(
      i,
      m,
      from,
      to,
      () => {
        value(x);
        shift(z);
      },
      (a, lane) => {
        amount = laneTypes.i8.fromWord(z[lane] as number);
        return f(a, lane);
      },
    );
  };
}

const pairFixed: Body = (i) => refuse(i, 'undefined', 'the order of the elements of the pair is not public');

const nearby: Make<Unary> = (type, i, m) =>
  rounding(i, m, type.bytes, (a, mode, random) => nearbyInteger(a, (v) => roundToInteger(v, mode, random)));

/** These look at the bits of a number, denormals included. */
const exponent: Make<Unary> = (type, i) => {
  const format = type.float ?? refuse(i, 'unsupported', `data type ${type.name}`);
  const biased = flagOf(i, 'biased');
  return (bits) => extractExponent(format, bits, biased);
};

const classOf: Make<Unary> = (type, i) => {
  const format = type.float ?? refuse(i, 'unsupported', `data type ${type.name}`);
  return (bits) => classify(format, bits);
};

/** Integers of the width of a float, for exponents. */
const signedBits = (type: LaneType) => (type.bytes === 4 ? laneTypes.i32 : laneTypes.i16);

const formNum: Body = (i, m) => {
  const type = typeOf(i);
  const format = type.float ?? refuse(i, 'unsupported', `data type ${type.name}`);
  const bits = bitsOf(type);
  const readA = lanesReader(i, 'a', bits, m);
  const readB = lanesReader(i, 'b', bits, m);
  const readC = lanesReader(i, 'c', bits, m);
  const options = {
    addBias: flagOf(i, 'exp_add_bias'),
    forceSign: flagOf(i, 'force_sign0') ? (0 as const) : flagOf(i, 'force_sign1') ? (1 as const) : undefined,
    exponentIsNumber: flagOf(i, 'exp_is_num'),
    signFromLsb: flagOf(i, 'sign_lsb'),
  };
  const signs = [flagOf(i, 'force_sign0'), flagOf(i, 'force_sign1'), options.signFromLsb].filter(Boolean).length;
  if (signs > 1) refuse(i, 'guest', 'force_sign0, force_sign1 and sign_lsb exclude each other');
  const to = destination(i, m, VECTOR_BYTES, laneBits(type.bytes));
  return () => {
    readA(x);
    readB(y);
    readC(z);
    for (let n = 0; n < type.count; n++) {
      x[n] = formNumber(format, x[n] as number, y[n] as number, z[n] as number, options);
    }
    const at = to.begin();
    bits.write(m.state, at, bits.count, x);
    to.finish(at);
  };
};

const lutVariants: Readonly<Record<string, LutVariant>> = {
  '0': 'default',
  tanh: 'tanh',
  sqrt_rsqrt: 'sqrt_rsqrt',
  sin_cos: 'sin_cos',
  log: 'log',
};

const getLutEntry: Body = (i, m) => {
  const type = typeOf(i);
  const format = type.float ?? refuse(i, 'unsupported', `data type ${type.name}`);
  const variant =
    lutVariants[String(i.switches.funcid)] ?? refuse(i, 'unsupported', `funcid ${String(i.switches.funcid)}`);
  const shift = constant(i, 'shift');
  const bits = bitsOf(type);
  const read = lanesReader(i, 'a', bits, m);
  const half = laneBits(type.bytes);
  const to = destination(
    i,
    m,
    2 * VECTOR_BYTES,
    Uint16Array.from({ length: 2 * VECTOR_BYTES }, (_, at) => half[at % VECTOR_BYTES] as number),
  );
  return () => {
    read(x);
    for (let n = 0; n < type.count; n++) {
      const { entry, start } = lutEntry(format, x[n] as number, shift, variant);
      y[n] = entry;
      z[n] = start;
    }
    const at = to.begin();
    bits.write(m.state, at, bits.count, y);
    bits.write(m.state, at + VECTOR_BYTES, bits.count, z);
    to.finish(at);
  };
};

const scalarSpecial: Body = (i, m) => {
  const type = typeOf(i);
  const format = type.float ?? refuse(i, 'unsupported', `data type ${type.name}`);
  const name = i.switches.func as SpecialFunction;
  const readA = wordReader(i, 'a', m);
  const readB = wordReader(i, 'b', m);
  const write = wordWriter(i, m);
  return () => {
    const value = specialValue(format, name, readA(), readB());
    if (value !== undefined) write(value);
  };
};

const vectorSpecial: Body = (i, m) => {
  const type = typeOf(i);
  const format = type.float ?? refuse(i, 'unsupported', `data type ${type.name}`);
  const name = i.switches.func as SpecialFunction;
  const bits = bitsOf(type);
  const readA = lanesReader(i, 'a', bits, m);
  const readB = lanesReader(i, 'b', bits, m);
  const to = destination(i, m, VECTOR_BYTES, laneBits(type.bytes));
  const written = new Uint8Array(VECTOR_BYTES);
  return () => {
    readA(x);
    readB(y);
    for (let n = 0; n < type.count; n++) {
      const value = specialValue(format, name, x[n] as number, y[n] as number);
      x[n] = value ?? 0;
      written.fill(value === undefined ? 0 : 1, n * type.bytes, (n + 1) * type.bytes);
    }
    const at = to.begin();
    bits.write(m.state, at, bits.count, x);
    to.finish(at, written);
  };
};

export const scalarConversions = {
  convert: scalarConvert,
  convert_int32: scalarFixed('i32'),
  convert_uint32: scalarFixed('u32'),
  convert_int16: scalarFixed('i16'),
  convert_uint16: scalarFixed('u16'),
  nearbyint: scalarUnary(nearby),
  extract_exp: scalarUnary(exponent, bitsOf, signedBits),
  fclass: scalarUnary(classOf, bitsOf),
  calc_fp_special: scalarSpecial,
} as const;

export const vectorConversions = {
  convert: vectorConvert,
  convert_int32: vectorFixed('i32'),
  convert_uint32: vectorFixed('u32'),
  convert_int16: vectorFixed('i16'),
  convert_uint16: vectorFixed('u16'),
  convert_int8: pairFixed,
  convert_uint8: pairFixed,
  nearbyint: vectorUnary(nearby),
  extract_exp: vectorUnary(exponent, bitsOf, signedBits),
  fclass: vectorUnary(classOf, bitsOf),
  form_fp_num: formNum,
  get_lut_entry_and_interval_start: getLutEntry,
  calc_fp_special: vectorSpecial,
} as const;
