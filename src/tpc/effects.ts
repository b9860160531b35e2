/** Which registers an instruction reads and writes, as ranges of the state: what waits for what, and which order slots may have. */

import { tpcGaudi } from '../../specs/tpc/gaudi.ts';
import type { Instruction, RegisterOperand, VliwDecoder } from '../isa/vliw/bundle.ts';
import * as layout from './layout.ts';
import { offsetOf } from './operands.ts';
import type { Range } from './pipeline.ts';

export interface Effects {
  /** Operands and accumulators. */
  readonly reads: readonly Range[];
  readonly operands: readonly Range[];
  /** What is written, where that is an operand, too. */
  readonly accumulators: readonly Range[];
  readonly writes: readonly Range[];
}

const decoder: VliwDecoder<string, string, string, string> = tpcGaudi;

const bytes: Readonly<Record<RegisterOperand['file'], number>> = {
  V: layout.VECTOR_BYTES,
  D: 2 * layout.VECTOR_BYTES,
  A: 4 * layout.VECTOR_BYTES,
  S: 4,
  Z: 8,
  I: layout.DIMENSIONS * 4,
  AD: layout.ADDRESS_BYTES,
  SP: 4,
  VP: layout.PREDICATE_BYTES,
  HW: 0,
};

function rangeOf(i: Instruction, r: RegisterOperand): Range {
  const from = offsetOf(i, r);
  // A pair that is written like a vector.
  const pair =
    i.mnemonic === 'convert' && i.type === 'bf16' && i.switches.target_type === 'fp32' && r === i.operands[0];
  return { from, to: from + (pair ? bytes.D : bytes[r.file]) };
}

/**
 * A destination that is written in part keeps the rest in its own place: that is not a read.
 *
 * @throws ModelError for registers that do not exist
 */
export function effectsOf(i: Instruction): Effects {
  const operands: Range[] = [];
  const writes: Range[] = [];
  const scalar = (number: number) => operands.push({ from: layout.SRF + number * 4, to: layout.SRF + number * 4 + 4 });
  i.operands.forEach((operand, n) => {
    if (operand.kind !== 'register') return;
    (i.roles[n] === 'dest' ? writes : operands).push(rangeOf(i, operand));
  });
  if (i.switches.partial === true) scalar(i.slot === 'load' ? layout.LOAD_PARTIAL : layout.STORE_PARTIAL);
  if (i.switches.rmw_sel === true) scalar(layout.RMW_INFO);
  if (i.predicate) {
    const { file, number } = i.predicate;
    const from = file === 'SP' ? layout.SPRF + number * 4 : layout.VPRF + number * layout.PREDICATE_BYTES;
    operands.push({ from, to: from + bytes[file] });
  }
  const accumulators = decoder.accumulates(i) ? writes : [];
  return { reads: [...operands, ...accumulators], operands, accumulators, writes };
}

/** Instructions that change more than registers and memory: where the program goes, random numbers, the configuration. */
export function hasSideEffects(i: Instruction): boolean {
  const random = i.operands.some(
    (o) => o.kind === 'register' && (o.file === 'V' || o.file === 'S') && (o.number === 40 || o.number === 41),
  );
  if (random || i.switches.rm === 'sr' || i.switches.mmio === true) return true;
  return ['halt', 'dbg', 'jmpr', 'jmpa', 'aso', 'cache_flush', 'cache_invalidate'].includes(i.mnemonic);
}

export function overlaps(a: readonly Range[], b: readonly Range[]): boolean {
  return a.some((x) => b.some((y) => x.from < y.to && y.from < x.to));
}
