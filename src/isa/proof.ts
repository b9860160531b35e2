/**
 * Proves, bit by bit and from the rows alone (not from the compiled codec), that a decoder has exactly one answer: no
 * two packets share an opcode, no two fields a bit, and every bit is opcode, field, or reserved.
 */

import type { PacketRow, PacketSetFacts } from './packets.ts';

export interface PacketProof {
  readonly name: string;
  readonly opcode: number;
  /** Bits of the fixed part. */
  readonly bits: number;
  /** What each bit is: a field's name, `opcode`, or `reserved`. */
  readonly owners: readonly string[];
}

export interface Proof {
  readonly packets: readonly PacketProof[];
  /** Opcodes that no packet has. */
  readonly free: readonly number[];
  /** Contradictions; empty where the encodings are sound. */
  readonly violations: readonly string[];
}

export function provePackets(facts: PacketSetFacts): Proof {
  const violations: string[] = [];
  const byOpcode = new Map<number, string>();
  const packets = Object.entries(facts.rows).map(([name, row]) => {
    const other = byOpcode.get(row.opcode);
    if (other) violations.push(`${name} and ${other} share opcode ${row.opcode}`);
    byOpcode.set(row.opcode, name);
    return provePacket(facts, name, row, violations);
  });
  const count = 2 ** (facts.opcode[1] - facts.opcode[0] + 1);
  for (const [opcode, name] of byOpcode) {
    if (!Number.isInteger(opcode) || opcode < 0 || opcode >= count)
      violations.push(`${name}: opcode ${opcode} has no encoding`);
  }
  const free = Array.from({ length: count }, (_, opcode) => opcode).filter((opcode) => !byOpcode.has(opcode));
  return { packets, free, violations };
}

function provePacket(facts: PacketSetFacts, name: string, row: PacketRow, violations: string[]): PacketProof {
  const owned = new Map<number, string>();
  const own = (owner: string, lo: number, hi: number) => {
    if (!(Number.isInteger(lo) && Number.isInteger(hi) && lo >= 0 && lo <= hi)) {
      violations.push(`${name}.${owner}: bits ${lo} to ${hi} are no range`);
      return;
    }
    for (let bit = lo; bit <= hi; bit++) {
      const other = owned.get(bit);
      if (other) violations.push(`${name}: bit ${bit} is both ${other} and ${owner}`);
      owned.set(bit, owner);
    }
  };
  own('opcode', facts.opcode[0], facts.opcode[1]);
  const payloads = Object.entries(row.fields).filter(([, field]) => field.kind === 'payload');
  if (payloads.length > 1) violations.push(`${name} has more than one payload`);
  for (const [field, f] of Object.entries(row.fields)) {
    if (f.kind === 'payload') {
      const counter = row.fields[f.count];
      if (!counter || counter.kind === 'payload') violations.push(`${name}.${field}: nothing counts it`);
      else if (counter.hi >= 64) violations.push(`${name}.${field}: its count is not in the first 64 bits`);
    } else own(field, f.lo, f.hi);
  }
  const unit = facts.unitWords * 32;
  const bits = Math.ceil((Math.max(...owned.keys()) + 1) / unit) * unit;
  const owners = Array.from({ length: bits }, (_, bit) => owned.get(bit) ?? 'reserved');
  return { name, opcode: row.opcode, bits, owners };
}
