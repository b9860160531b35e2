/** LOOP start, boundary, step, comparison, label[, repeat at most once][, predicate] */

import { Fault } from '../expressions.ts';
import type { ImmediateOperand, Loop, RegisterOperand } from './bundle.ts';
import { type Given, type OperandContext, OperandParser } from './operands.ts';
import { scan } from './scanner.ts';

export interface LoopLabel {
  readonly name: string;
  readonly addend: number;
  readonly start: number;
  readonly end: number;
}

export interface ParsedLoop {
  readonly loop: Loop;
  /** Undefined where the text gives the distance as a number. */
  readonly label: LoopLabel | undefined;
}

const usage = 'loop start, boundary, step, comparison, label[, repeat at most once][, predicate]';

/** @throws Fault */
export function parseLoop(context: OperandContext, text: string, start: number): ParsedLoop {
  const [mnemonic, ...tokens] = scan(text, start);
  const place = { start, end: mnemonic?.end ?? start };
  const given = new OperandParser(context, undefined, tokens).parse([]);
  const operands = [...given.operands];
  let { predicate } = given;
  const last = operands.at(-1);
  if (!predicate && last?.kind === 'register' && last.file === 'SP') {
    operands.pop();
    predicate = { file: 'SP', number: last.number, inverted: false, start: last.start, end: last.end };
  }
  if (predicate?.file === 'VP') throw new Fault(predicate, 'a loop takes a scalar predicate');
  const [from, to, by, comparison, target, repeat, extra] = operands;
  if (!from || !to || !by || !comparison || !target) throw new Fault(place, `it takes: ${usage}`);
  if (extra) throw new Fault(extra, `it takes: ${usage}`);
  if (comparison.kind !== 'comparison') throw new Fault(comparison, 'one of > >= < <= == != is expected');
  if (target.kind !== 'label') throw new Fault(target, 'a label is expected, which ends the loop');
  if (repeat && (repeat.kind !== 'number' || repeat.value > 1)) throw new Fault(repeat, '0 or 1 is expected');
  const always = !predicate || (predicate.number === 0 && !predicate.inverted);
  const loop: Loop = {
    kind: 'loop',
    start: bound(from),
    boundary: bound(to),
    step: bound(by),
    comparison: comparison.value,
    endOffset: 0,
    repeatAtMostOnce: repeat?.kind === 'number' && repeat.value === 1,
    predicate:
      always || !predicate ? undefined : { file: 'SP', number: predicate.number, inverted: predicate.inverted },
  };
  return { loop, label: target };
}

/** @throws Fault */
function bound(given: Given): RegisterOperand | ImmediateOperand {
  if (given.kind === 'number') return { kind: 'immediate', value: given.value };
  if (given.kind === 'register' && given.file === 'S') return { kind: 'register', file: 'S', number: given.number };
  throw new Fault(given, 'a scalar register or a number is expected');
}
