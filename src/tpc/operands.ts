/** Operands of instructions: where their bytes are, and how results get to their destination. */

import type { Instruction, Operand, RegisterOperand } from '../isa/vliw/bundle.ts';
import type { LaneType, Values } from './lanes.ts';
import * as layout from './layout.ts';
import { type Machine, refuse } from './machine.ts';

/** Operand by what it is called in the row. */
export function operand(i: Instruction, role: string): Operand {
  return optional(i, role) ?? refuse(i, 'unsupported', `no operand ${role}`);
}

export function optional(i: Instruction, role: string): Operand | undefined {
  const at = i.roles.indexOf(role);
  return at < 0 ? undefined : i.operands[at];
}

export function register(i: Instruction, role: string): RegisterOperand {
  const found = operand(i, role);
  return found.kind === 'register' ? found : refuse(i, 'unsupported', `${role} is not a register`);
}

/** A number in the instruction itself. */
export function constant(i: Instruction, role: string): number {
  const found = operand(i, role);
  return found.kind === 'register' ? refuse(i, 'unsupported', `${role} is a register`) : found.value;
}

/** Byte offset of a register in the state. @throws ModelError for a register that the chip does not have */
export function offsetOf(i: Instruction, r: RegisterOperand): number {
  const n = r.number;
  const within = (count: number) => {
    if (n >= count || n < 0) refuse(i, 'unsupported', `register ${r.file}${n}`);
  };
  switch (r.file) {
    case 'V':
      within(layout.GENERAL_VECTORS + 5);
      return n === 41 ? layout.LFSR : layout.VRF + n * layout.VECTOR_BYTES;
    case 'D':
      within(layout.GENERAL_VECTORS);
      if (n % 2 !== 0) refuse(i, 'unsupported', `a pair begins with an even register, not ${n}`);
      return layout.VRF + n * layout.VECTOR_BYTES;
    case 'A':
      return refuse(i, 'undefined', 'what the four registers of a quad are for on this chip is not public');
    case 'S':
      if (n === 40 || n === 41) return layout.SCALAR_LFSR;
      within(layout.SCALARS);
      return layout.SRF + n * 4;
    case 'Z':
      within(layout.SCALARS - 1);
      if (n % 2 !== 0) refuse(i, 'unsupported', `a pair begins with an even register, not ${n}`);
      return layout.SRF + n * 4;
    case 'I':
      within(layout.INDEX_REGISTERS);
      return layout.IRF + n * layout.INDEX_BYTES;
    case 'AD':
      within(layout.ADDRESS_REGISTERS);
      return layout.ADRF + n * layout.ADDRESS_BYTES;
    case 'SP':
      within(layout.SCALAR_PREDICATES);
      return layout.SPRF + n * 4;
    case 'VP':
      within(layout.VECTOR_PREDICATES);
      return layout.VPRF + n * layout.PREDICATE_BYTES;
    case 'HW':
      return refuse(i, 'undefined', `hardware register ${n}`);
  }
}

const isRandom = (r: RegisterOperand) => (r.file === 'V' || r.file === 'S') && (r.number === 40 || r.number === 41);

/** The chain of an accumulator, which sees results of others in it sooner than other operands do. */
function chainOf(i: Instruction, role: string, m: Machine): string | undefined {
  return role === 'dest' ? m.decoder.chainOf(i)?.name : undefined;
}

/** Reads a scalar register, scalar predicate or immediate as a word. */
export function wordReader(i: Instruction, role: string, m: Machine): () => number {
  const found = operand(i, role);
  if (found.kind !== 'register') {
    const value = found.value >>> 0;
    return () => value;
  }
  const offset = offsetOf(i, found);
  if (isRandom(found)) {
    return () => {
      const value = m.state.u32[offset >> 2] as number;
      if (found.number === 40) m.stepRandom('spu');
      return value;
    };
  }
  const { pipeline, state } = m;
  const chain = chainOf(i, role, m);
  return () => state.u32[pipeline.resolve(i.slot, offset, 4, chain) >> 2] as number;
}

/** Reads an index register as five signed words. */
export function indexReader(i: Instruction, role: string, m: Machine): () => Int32Array {
  const offset = offsetOf(i, register(i, role));
  const { pipeline, state } = m;
  return () => {
    const at = pipeline.resolve(i.slot, offset, layout.INDEX_BYTES) >> 2;
    return state.i32.subarray(at, at + layout.DIMENSIONS);
  };
}

/** Reads an address register: the byte address, and the number of the type of what is there. */
export function addressReader(i: Instruction, role: string, m: Machine): () => { address: number; type: number } {
  const offset = offsetOf(i, register(i, role));
  return () => {
    const at = m.pipeline.resolve(i.slot, offset, layout.ADDRESS_BYTES) >> 2;
    const words = m.state.u32;
    return { address: (words[at] as number) + (words[at + 1] as number) * 2 ** 32, type: words[at + 2] as number };
  };
}

/** Reads the bytes of a whole register; the result is their offset in the state. */
export function bytesReader(i: Instruction, role: string, m: Machine, bytes: number): () => number {
  const r = register(i, role);
  const offset = offsetOf(i, r);
  if (isRandom(r)) {
    return () => {
      // What is read is what was there before the step.
      const copy = m.pipeline.room(layout.VECTOR_BYTES);
      m.state.bytes.copyWithin(copy, layout.LFSR, layout.LFSR + layout.VECTOR_BYTES);
      if (r.number === 40) m.stepRandom('vpu');
      return copy;
    };
  }
  const chain = chainOf(i, role, m);
  return () => m.pipeline.resolve(i.slot, offset, bytes, chain);
}

/** Reads the lanes of a vector; a scalar register or immediate is the same in all. */
export function lanesReader(i: Instruction, role: string, type: LaneType, m: Machine): (out: Values) => void {
  const found = operand(i, role);
  if (found.kind === 'register' && (found.file === 'V' || found.file === 'D')) {
    const at = bytesReader(i, role, m, layout.VECTOR_BYTES);
    return (out) => type.read(m.state, at(), type.count, out);
  }
  if (found.kind === 'register' && found.file !== 'S')
    refuse(i, 'unsupported', `${role} is a register of file ${found.file}`);
  const word = wordReader(i, role, m);
  return (out) => out.fill(type.fromWord(word()), 0, type.count);
}

/** The bit of a vector predicate that each byte of a result looks at, for lanes of `bytes` bytes. */
export function laneBits(bytes: number, length: number = layout.VECTOR_BYTES): Uint16Array {
  return Uint16Array.from({ length }, (_, at) => at - (at % bytes));
}

/**
 * The same for a pair, whose register n mod 2 has the results of every second narrow element: lanes of `bytes` bytes,
 * each of an element of half of that.
 */
export function pairBits(bytes: number): Uint16Array {
  return Uint16Array.from({ length: 2 * layout.VECTOR_BYTES }, (_, at) => {
    const lane = at % layout.VECTOR_BYTES;
    return lane - (lane % bytes) + (at < layout.VECTOR_BYTES ? 0 : bytes / 2);
  });
}

/** Where a result is put together. `finish` hands it to the pipeline. */
export interface Destination {
  /** Offset in the state of the result's bytes. */
  begin(): number;
  /**
   * @param written one byte for each of the result's, 0 where the register keeps its value; all are written if absent
   * @param bits as for `destination`, where it is known only now
   */
  finish(at: number, written?: Uint8Array, bits?: Uint16Array): void;
}

/**
 * The destination of an instruction: a register of any file, and with it the instruction's vector predicate.
 *
 * @param bits for each byte of the result the bit of the vector predicate that rules it; for vector results only
 */
export function destination(i: Instruction, m: Machine, bytes: number, bits?: Uint16Array, role = 'dest'): Destination {
  const r = register(i, role);
  const offset = offsetOf(i, r);
  if (r.file === 'V' && r.number > 40) refuse(i, 'guest', `V${r.number} cannot be written`);
  if ((r.file === 'SP' || r.file === 'VP') && r.number === 0) {
    refuse(i, 'guest', `${r.file}0 is always true: the compiler reserves it and nothing writes it`);
  }
  const predicate = i.predicate?.file === 'VP' ? i.predicate : undefined;
  const { pipeline, state } = m;
  const when = m.arrival(i, r.file);
  const predicateAt = predicate ? layout.VPRF + predicate.number * layout.PREDICATE_BYTES : 0;
  const fixed = bits ?? laneBits(1, bytes);
  return {
    begin: () => pipeline.room(bytes),
    finish(at, written, rules = fixed) {
      let mask = 0;
      if (predicate) {
        mask = pipeline.room(bytes);
        const from = pipeline.resolve(i.slot, predicateAt, layout.PREDICATE_BYTES);
        const truth = predicate.inverted ? 0 : 1;
        for (let byte = 0; byte < bytes; byte++) {
          const bit = rules[byte] as number;
          const set = ((state.bytes[from + (bit >> 3)] as number) >> (bit & 7)) & 1;
          state.bytes[mask + byte] = set === truth && (!written || written[byte]) ? 1 : 0;
        }
      } else if (written) {
        mask = pipeline.room(bytes);
        state.bytes.set(written.subarray(0, bytes), mask);
      }
      pipeline.stage(i.slot, offset, at, bytes, mask, when);
    },
  };
}

/** The destination of a word: a scalar register. */
export function wordWriter(i: Instruction, m: Machine, role = 'dest'): (value: number) => void {
  const to = destination(i, m, 4, undefined, role);
  return (value) => {
    const at = to.begin();
    m.state.u32[at >> 2] = value;
    to.finish(at);
  };
}

/** The destination of an index register: the dimensions of the mask, all if the form has none. */
export function indexWriter(i: Instruction, m: Machine, role = 'dest'): (value: (d: number) => number) => void {
  const to = destination(i, m, layout.DIMENSIONS * 4, undefined, role);
  const mask = i.dimMask ?? 0x1f;
  const written = Uint8Array.from({ length: layout.DIMENSIONS * 4 }, (_, at) => (mask >> (at >> 2)) & 1);
  return (value) => {
    const at = to.begin();
    for (let d = 0; d < layout.DIMENSIONS; d++) if ((mask >> d) & 1) m.state.i32[(at >> 2) + d] = value(d);
    to.finish(at, written);
  };
}
