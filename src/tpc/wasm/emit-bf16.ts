/**
 * Code for bf16: conversions between it and f32, and MAC into f32. A word holds two: the even element below, the odd one
 * above, and each is the upper half of the f32 of the same value.
 */

import type { Instruction } from '../../isa/vliw/bundle.ts';
import * as layout from '../layout.ts';
import { offsetOf, operand, register } from '../operands.ts';
import { canonical, type Emit, flush, fused, type Locals } from './emit.ts';
import type { Code } from './encoder.ts';

const CHUNK = 16;
const CHUNKS = layout.VECTOR_BYTES / CHUNK;
const UPPER = 0xffff0000;

/** Which half of each word. */
const halves = [0, 1] as const;
type Half = (typeof halves)[number];

/** The f32 values of one half of the bf16 elements on the stack. */
function expand(code: Code, half: Half): void {
  if (half === 0) code.constant(16).op('i32x4.shl');
  else code.splat(UPPER).op('v128.and');
}

/** Offset of a plain vector register that is an operand; undefined for anything else. */
function vectorAt(i: Instruction, role: string): number | undefined {
  const o = operand(i, role);
  const plain = o.kind === 'register' && (o.file === 'V' || o.file === 'D') && o.number < layout.GENERAL_VECTORS;
  return plain ? offsetOf(i, o) : undefined;
}

/** An instruction that has to do with bf16, or undefined where it is not compiled. */
export function emitBf16(i: Instruction): Emit | undefined {
  if (i.mnemonic === 'convert' && i.type === 'bf16' && i.switches.target_type === 'fp32') return widen(i);
  if (i.mnemonic === 'convert' && i.type === 'f32' && i.switches.target_type === 'bf16') return narrow(i);
  if (i.mnemonic === 'mac' && i.type === 'bf16' && i.switches.acc_fp32 === true) return accumulate(i);
  return undefined;
}

/** Exact in every rounding mode. The destination is a pair. */
function widen(i: Instruction): Emit | undefined {
  const from = vectorAt(i, 'a');
  const dest = register(i, 'dest');
  if (from === undefined || dest.number % 2 !== 0 || dest.number >= layout.GENERAL_VECTORS) return undefined;
  const to = layout.VRF + dest.number * layout.VECTOR_BYTES;
  return (code, l) => {
    for (let at = 0; at < layout.VECTOR_BYTES; at += CHUNK) {
      // The source may be a register of the pair.
      code.loadVector(from + at).set(l.a);
      for (const half of halves) {
        code.get(l.a);
        expand(code, half);
        code.set(l.result);
        flush(code, l.result);
        canonical(code, l.result);
        code
          .at()
          .get(l.result)
          .storeVector(to + half * layout.VECTOR_BYTES + at);
      }
    }
  };
}

/** The f32 lanes of local a, rounded to nearest even at bit 16, in `result`; NaN has all bits below the sign. */
function roundUpperHalf(code: Code, l: Locals): void {
  flush(code, l.a);
  code.get(l.a).splat(0x7fff).op('i32x4.add');
  code.get(l.a).constant(16).op('i32x4.shr_u').splat(1).op('v128.and', 'i32x4.add').set(l.result);
  code.splat(0x7fffffff).get(l.result).get(l.a).get(l.a).op('f32x4.ne', 'v128.bitselect').set(l.result);
}

function narrow(i: Instruction): Emit | undefined {
  const mode = i.switches.rm;
  const from = vectorAt(i, 'a');
  const to = vectorAt(i, 'dest');
  const all = i.switches.num_lanes === 'all_lanes';
  const lane = i.switches.lane_sel;
  if (from === undefined || to === undefined || (mode !== 'rhne' && mode !== 'rne' && mode !== 'default'))
    return undefined;
  if (!all && lane !== 0 && lane !== 1) return undefined;
  if (all && (from - layout.VRF) % (2 * layout.VECTOR_BYTES) !== 0) return undefined;
  return (code, l) => {
    for (let at = 0; at < layout.VECTOR_BYTES; at += CHUNK) {
      for (const half of halves) {
        if (!all && half !== lane) continue;
        const source = all ? from + half * layout.VECTOR_BYTES : from;
        code.loadVector(source + at).set(l.a);
        roundUpperHalf(code, l);
        if (half === 0) code.get(l.result).constant(16).op('i32x4.shr_u').set(l.b);
        else code.get(l.result).splat(UPPER).op('v128.and').set(l.c);
      }
      code.at();
      if (all) code.get(l.b).get(l.c);
      else {
        code.get(lane === 0 ? l.b : l.c).loadVector(to + at);
        code.splat(lane === 0 ? UPPER : 0xffff).op('v128.and');
      }
      code.op('v128.or').storeVector(to + at);
    }
  };
}

/** dest pair = dest + a * b, in f32: even elements in the first register, odd ones in the second. */
function accumulate(i: Instruction): Emit | undefined {
  const [a, b, to] = [vectorAt(i, 'a'), vectorAt(i, 'b'), vectorAt(i, 'dest')];
  if (a === undefined || b === undefined || to === undefined || i.switches.st === true || !fused()) return undefined;
  // Chunks of the pair are written before later ones of a and b are read.
  const pair = [to, to + layout.VECTOR_BYTES];
  if (pair.includes(a) || pair.includes(b)) return undefined;
  const op = i.switches.neg === true ? 'f32x4.relaxed_nmadd' : 'f32x4.relaxed_madd';
  return (code, l) => {
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      const at = chunk * CHUNK;
      for (const half of halves) {
        const sum = to + half * layout.VECTOR_BYTES + at;
        for (const [local, from] of [
          [l.a, a],
          [l.b, b],
        ] as const) {
          code.loadVector(from + at);
          expand(code, half);
          code.set(local);
          flush(code, local);
        }
        code.loadVector(sum).set(l.c);
        flush(code, l.c);
        code.get(l.a).get(l.b).get(l.c).op(op).set(l.result);
        flush(code, l.result);
        canonical(code, l.result);
        code.at().get(l.result).storeVector(sum);
      }
    }
  };
}
