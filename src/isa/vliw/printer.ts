/** Prints instructions as text that assembles to the same bits. */

import type { Instruction, Loop, Operand, RegisterFile } from './bundle.ts';
import { switchApplies } from './encoder.ts';
import type { Form, FormSwitch, OperandForm } from './forms.ts';
import type { RegisterFileRow, VliwFacts } from './rows.ts';

/** What stands for the value of an immediate. */
const HOLE = '\0';

export interface PrintedSlot {
  readonly before: string;
  /** Undefined: there is no immediate. */
  readonly after: string | undefined;
  /** The immediate is a distance. */
  readonly isLabel: boolean;
}

/** Everything of a slot but the value of its immediate. */
export function printSlot(
  facts: VliwFacts,
  form: Form,
  instruction: Instruction | undefined,
  immediate: number,
): PrintedSlot {
  const nop = form.instruction.name;
  if (!instruction) return { before: nop, after: undefined, isLabel: false };
  const text = printInstruction(facts, form, instruction, immediate);
  const [before = '', after] = text.split(HOLE);
  const operand = form.operands[immediate];
  return { before, after, isLabel: operand?.kinds.includes('label') ?? false };
}

function printInstruction(facts: VliwFacts, form: Form, instruction: Instruction, immediate: number): string {
  const { mnemonic, type, operands, predicate } = instruction;
  let head = type === undefined ? mnemonic : `${mnemonic}.${type}`;
  for (const s of form.switches) {
    const text = printSwitch(s, instruction);
    if (text) head += ` ${text}`;
  }
  const dest = form.operands.findIndex((operand) => operand.role === 'dest');
  const list: string[] = [];
  operands.forEach((operand, i) => {
    const place = form.operands[i] as OperandForm;
    if (place.optional && operand.kind === 'number' && operand.value === place.default) return;
    const text = i === immediate ? HOLE : printOperand(facts, place, operand);
    // Masks and numbers before the destination are not followed by a comma.
    if (i < dest) head += ` ${text}`;
    else list.push(text);
  });
  if (predicate) list.push(`${predicate.inverted ? '!' : ''}${predicate.file}${predicate.number}`);
  return list.length === 0 ? head : `${head} ${list.join(', ')}`;
}

function printSwitch(s: FormSwitch, { type, switches }: Instruction): string | undefined {
  const value = switches[s.name];
  if (value === undefined || !switchApplies(s, type, switches)) return undefined;
  if (s.row.kind === 'flag') return value === true ? s.name : undefined;
  if (s.row.kind === 'number') return value === s.row.default ? undefined : `${s.name}=${value}`;
  if (!s.row.bare) return `${s.name}=${value}`;
  return value === s.row.default ? undefined : String(value);
}

function printOperand(facts: VliwFacts, form: OperandForm, operand: Operand): string {
  if (operand.kind === 'register') return registerName(facts.registers, operand.file, operand.number);
  if (form.kinds[0] === 'dims') return `b${operand.value.toString(2).padStart(5, '0')}`;
  return printNumber(operand.value);
}

export function registerName(files: readonly RegisterFileRow[], file: RegisterFile, number: number): string {
  const row = files.find((each) => each.file === file);
  if (row && number >= row.count) {
    for (const [name, n] of Object.entries(row.named)) if (n === number) return name;
  }
  return `${file}${number}`;
}

/** Small numbers in decimal, others in hexadecimal. */
export function printNumber(value: number): string {
  return value < 10 ? String(value) : `0x${value.toString(16)}`;
}

export function printLoop(loop: Loop, label: string): string {
  const bound = (each: Loop['start']) => (each.kind === 'register' ? `S${each.number}` : printNumber(each.value));
  const { start, boundary, step, comparison, repeatAtMostOnce, predicate } = loop;
  const parts = [bound(start), bound(boundary), bound(step), comparison, label];
  if (repeatAtMostOnce) parts.push('1');
  if (predicate) parts.push(`${predicate.inverted ? '!' : ''}SP${predicate.number}`);
  return `loop ${parts.join(', ')}`;
}
