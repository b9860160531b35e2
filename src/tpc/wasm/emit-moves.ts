/** Code for what moves bytes of a vector to other places that the instruction itself names: MOV_DG, MOV_G, PACK, UNPACK. */

import type { Instruction } from '../../isa/vliw/bundle.ts';
import { rearrangementOf } from '../bodies/move.ts';
import * as layout from '../layout.ts';
import { offsetOf, register } from '../operands.ts';
import { CHUNK, CHUNKS, type Emit } from './emit.ts';

export function emitRearrangement(i: Instruction): Emit | undefined {
  const sources = i.predicate ? undefined : rearrangementOf(i);
  if (!sources) return undefined;
  const [a, dest] = [register(i, 'a'), register(i, 'dest')];
  const plain = [a, dest].every(({ file, number }) => file === 'V' && number < layout.GENERAL_VECTORS);
  // What is written must not be read afterwards.
  if (!plain || a.number === dest.number) return undefined;
  const [from, to] = [offsetOf(i, a), offsetOf(i, dest)];
  return (code, l) => {
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      const places = Array.from(sources.subarray(chunk * CHUNK, (chunk + 1) * CHUNK));
      const others = new Set(places.filter((place) => place >= 0).map((place) => Math.floor(place / CHUNK)));
      if (others.size === 0) continue;
      code.loadVector(to + chunk * CHUNK).set(l.result);
      for (const other of others) {
        code.get(l.result).loadVector(from + other * CHUNK);
        code.shuffle(places.map((place, n) => (Math.floor(place / CHUNK) === other ? CHUNK + (place % CHUNK) : n)));
        code.set(l.result);
      }
      code
        .at()
        .get(l.result)
        .storeVector(to + chunk * CHUNK);
    }
  };
}
