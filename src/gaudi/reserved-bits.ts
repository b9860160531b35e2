/** Which bits of a packet mean something. Hardware ignores the others; the model reports them and then does the same. */

import { gaudiQman } from '../../specs/gaudi-qman.ts';

const [opcodeLo, opcodeHi] = gaudiQman.facts.opcode;

/** Per opcode the bits that are fields, one mask per word of the fixed part. */
const masks = new Map<number, Uint32Array>();
for (const row of Object.values(gaudiQman.rows)) {
  const ranges: [lo: number, hi: number][] = [[opcodeLo, opcodeHi]];
  for (const field of Object.values(row.fields)) if (field.kind !== 'payload') ranges.push([field.lo, field.hi]);
  const words = 2 * Math.ceil((Math.max(...ranges.map(([, hi]) => hi)) + 1) / 64);
  const mask = new Uint32Array(words);
  for (const [lo, hi] of ranges) {
    for (let bit = lo; bit <= hi; bit++) mask[bit >>> 5] = (mask[bit >>> 5] as number) | (1 << (bit & 31));
  }
  masks.set(row.opcode, mask);
}

/** A copy of the packet in `words` with its reserved bits clear. */
export function withoutReserved(words: Uint32Array): Uint32Array {
  const copy = words.slice();
  const opcode = ((copy[opcodeLo >>> 5] as number) >>> (opcodeLo & 31)) & (2 ** (opcodeHi - opcodeLo + 1) - 1);
  const mask = masks.get(opcode);
  if (mask) for (let i = 0; i < mask.length; i++) copy[i] = (copy[i] as number) & (mask[i] as number);
  return copy;
}
