/**
 * Code for vector predicates, and for what is done under a predicate. A vector predicate has a bit for each byte of a vector: a
 * lane of 32 bits looks at the lowest of its four, and a comparison sets all of them.
 */

import type { Instruction } from '../../isa/vliw/bundle.ts';
import { slots } from '../../isa/vliw/bundle.ts';
import * as layout from '../layout.ts';
import { offsetOf, operand, register } from '../operands.ts';
import {
  CHUNK,
  CHUNKS,
  comparisonOf,
  type Emit,
  emitVector,
  flush,
  type Knowledge,
  type Locals,
  laneselect,
  loadChunk,
  sourceOf,
} from './emit.ts';
import type { Code } from './encoder.ts';

/** Bits of a predicate for a chunk. */
const CHUNK_BITS = CHUNK;
const CHUNK_BYTES = CHUNK_BITS / 8;
/** Of each lane of a chunk, the bit that it looks at. */
const LANE_BITS = [1 << 0, 1 << 4, 1 << 8, 1 << 12] as const;

/** CMP of vectors of 32-bit lanes, into a vector predicate. */
export function emitCompare(i: Instruction): Emit | undefined {
  const op = i.mnemonic.startsWith('cmp_') ? comparisonOf(i) : undefined;
  if (!op || i.predicate) return undefined;
  const dest = register(i, 'dest');
  const [a, b] = [sourceOf(i, operand(i, 'a')), sourceOf(i, operand(i, 'b'))];
  if (dest.file !== 'VP' || dest.number === 0 || !a || !b) return undefined;
  const to = offsetOf(i, dest);
  return (code, l) => {
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      for (const [source, local] of [
        [a, l.a],
        [b, l.b],
      ] as const) {
        loadChunk(code, source, chunk);
        code.set(local);
        if (i.type === 'f32') flush(code, local);
      }
      code.at().get(l.a).get(l.b).op(op, 'i8x16.bitmask');
      code.store16(to + chunk * CHUNK_BYTES);
    }
  };
}

/** An instruction of the vector unit whose vector predicate says which lanes of the destination it writes. */
export function emitMasked(i: Instruction, known: Knowledge): Emit | undefined {
  const { predicate } = i;
  if (predicate?.file !== 'VP' || !['f32', 'i32', 'u32'].includes(String(i.type))) return undefined;
  const dest = register(i, 'dest');
  if (dest.file !== 'V') return undefined;
  const from = layout.VPRF + predicate.number * layout.PREDICATE_BYTES;
  const to = offsetOf(i, dest);
  const choose = (code: Code, l: Locals, chunk: number) => {
    // Lanes with the bit set keep it: then they are not zero.
    code.load16(from + chunk * CHUNK_BYTES).op('i32x4.splat');
    code.words(LANE_BITS);
    code.op('v128.and');
    code.words(LANE_BITS);
    code.op(predicate.inverted ? 'i32x4.ne' : 'i32x4.eq').set(l.a);
    code
      .get(l.result)
      .loadVector(to + chunk * CHUNK)
      .get(l.a)
      .op(laneselect())
      .set(l.result);
  };
  if (i.mnemonic !== 'mov') return emitVector({ ...i, predicate: undefined }, known, choose);
  const source = sourceOf(i, operand(i, 'a'));
  if (!source || dest.number >= layout.GENERAL_VECTORS) return undefined;
  return (code, l) => {
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      loadChunk(code, source, chunk);
      code.set(l.result);
      choose(code, l, chunk);
      code
        .at()
        .get(l.result)
        .storeVector(to + chunk * CHUNK);
    }
  };
}

/** Code that is done where a scalar predicate holds; where not, the instruction is counted as skipped. */
export function emitGuarded(i: Instruction, emit: Emit): Emit {
  const { predicate } = i;
  if (predicate?.file !== 'SP') return emit;
  const counter = layout.SKIPPED + 4 * slots.indexOf(i.slot);
  return (code, l) => {
    code
      .load(layout.SPRF + 4 * predicate.number)
      .constant(1)
      .op('i32.and');
    if (predicate.inverted) code.op('i32.eqz');
    code.if();
    emit(code, l);
    code.op('else').at().load(counter).constant(1).op('i32.add').store(counter).op('end');
  };
}
