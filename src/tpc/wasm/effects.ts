/** Which registers an instruction reads and writes, as ranges of the state: what the compiler needs to know to order slots. */

import type { Instruction, RegisterOperand } from '../../isa/vliw/bundle.ts';
import * as layout from '../layout.ts';
import { offsetOf } from '../operands.ts';

export interface Range {
  readonly from: number;
  readonly to: number;
}

export interface Effects {
  readonly reads: readonly Range[];
  readonly writes: readonly Range[];
}

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

/** @throws ModelError for registers that do not exist */
export function effectsOf(i: Instruction): Effects {
  const reads: Range[] = [];
  const writes: Range[] = [];
  i.operands.forEach((operand, n) => {
    if (operand.kind !== 'register') return;
    const from = offsetOf(i, operand);
    const range = { from, to: from + bytes[operand.file] };
    if (i.roles[n] === 'dest') {
      writes.push(range);
      // What is not written keeps its value, and MAC adds to it: the destination is read, too, but in its own place.
    } else reads.push(range);
  });
  if (i.mnemonic === 'mac') reads.push(...writes);
  if (i.predicate?.file === 'SP') {
    const from = layout.SPRF + i.predicate.number * 4;
    reads.push({ from, to: from + 4 });
  }
  return { reads, writes };
}

export function overlaps(a: readonly Range[], b: readonly Range[]): boolean {
  return a.some((x) => b.some((y) => x.from < y.to && y.from < x.to));
}
