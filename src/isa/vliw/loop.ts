/** The LOOP bundle, which has fields of its own. */

import { ModelError } from '../../sim/errors.ts';
import { BUNDLE_WORDS, fits, getBits, orBits } from './bits.ts';
import { BUNDLE_BYTES, comparisons, type ImmediateOperand, type Loop, type RegisterOperand } from './bundle.ts';
import { EncodingFault } from './encoder.ts';
import type { VliwFacts } from './rows.ts';

type Bound = RegisterOperand | ImmediateOperand;

const bounds = ['start', 'boundary', 'step'] as const;

/** @throws EncodingFault */
export function encodeLoop(facts: VliwFacts, loop: Loop): Uint32Array {
  const { fields, opcode } = facts.loop;
  const words = new Uint32Array(BUNDLE_WORDS);
  orBits(words, fields.opcode, opcode);
  for (const name of bounds) {
    const bound = loop[name];
    // The vendor's encoder repeats the lower bits of an immediate in the field of the register.
    if (bound.kind === 'register') {
      if (bound.file !== 'S') throw new EncodingFault(`${name} of a loop is a scalar register`);
      orBits(words, fields[name], bound.number);
    } else {
      orBits(words, fields[name], bound.value);
      orBits(words, fields[`${name}IsImmediate`], 1);
      orBits(words, fields[`${name}Immediate`], bound.value);
    }
  }
  if (!fits(loop.endOffset, fields.endOffset) || loop.endOffset % BUNDLE_BYTES !== 0) {
    throw new EncodingFault(`a loop cannot end ${loop.endOffset} bytes from its begin`);
  }
  orBits(words, fields.endOffset, loop.endOffset);
  orBits(words, fields.comparison, comparisons.indexOf(loop.comparison));
  orBits(words, fields.repeatAtMostOnce, loop.repeatAtMostOnce ? 1 : 0);
  if (loop.predicate) {
    orBits(words, fields.predicate, loop.predicate.number);
    orBits(words, fields.inverted, loop.predicate.inverted ? 1 : 0);
  }
  return words;
}

/** @throws ModelError */
export function decodeLoop(facts: VliwFacts, words: Uint32Array): Loop {
  const { fields } = facts.loop;
  const where = `${facts.name}.loop`;
  const scalars = facts.registers.find((row) => row.file === 'S');
  const bound = (name: (typeof bounds)[number]): Bound => {
    if (getBits(words, fields[`${name}IsImmediate`]) === 1) {
      return { kind: 'immediate', value: getBits(words, fields[`${name}Immediate`]) };
    }
    const number = getBits(words, fields[name]);
    if (!scalars || number >= scalars.count)
      throw new ModelError('unsupported', where, `there is no register S${number}`);
    return { kind: 'register', file: 'S', number };
  };
  const comparison = comparisons[getBits(words, fields.comparison)];
  if (!comparison) throw new ModelError('unsupported', where, 'there is no such comparison');
  const endOffset = getBits(words, fields.endOffset);
  if (endOffset % BUNDLE_BYTES !== 0) throw new ModelError('guest', where, 'the end of the loop is within a bundle');
  const number = getBits(words, fields.predicate);
  const inverted = getBits(words, fields.inverted) === 1;
  const loop: Loop = {
    kind: 'loop',
    start: bound('start'),
    boundary: bound('boundary'),
    step: bound('step'),
    comparison,
    endOffset,
    repeatAtMostOnce: getBits(words, fields.repeatAtMostOnce) === 1,
    predicate: number === 0 && !inverted ? undefined : { file: 'SP', number, inverted },
  };
  const again = encodeLoop(facts, loop);
  if (again.some((word, i) => word !== words[i])) {
    throw new ModelError('undefined', where, 'bits are set that the encoding leaves open');
  }
  return loop;
}
