/** From instructions to bits. What cannot be encoded is an EncodingFault, which names the operand. */

import { fits, noWords, orBits } from './bits.ts';
import type { DataType, Instruction, Operand, SwitchValue } from './bundle.ts';
import type { CompiledInstruction, Form, FormSwitch, OperandForm } from './forms.ts';
import type { BitRange, VliwFacts } from './rows.ts';

export class EncodingFault extends Error {
  override readonly name = 'EncodingFault';
}

/** The bits of one slot, and what it does with the bundle's immediate. */
export interface SlotBits {
  /** 32 bits each, of any sign. */
  readonly words: readonly number[];
  /** Bits that mean something to the slot, whatever their value. */
  readonly used: readonly number[];
  readonly form: Form;
  /** Undefined where the immediate is not used. */
  readonly imm: number | undefined;
}

/** @throws EncodingFault where no form of the row takes these operands */
export function encodeInstruction(facts: VliwFacts, row: CompiledInstruction, instruction: Instruction): SlotBits {
  for (const form of row.forms) {
    if (formTakes(facts, form, instruction)) return encodeForm(facts, form, instruction);
  }
  throw new EncodingFault(`${row.name} has no form with these operands, data type and switches`);
}

function formTakes(facts: VliwFacts, form: Form, instruction: Instruction): boolean {
  const { operands, type, switches, predicate } = instruction;
  if (!conditionsHold(form, type, switches)) return false;
  if (
    form.type === 'encoded'
      ? type === undefined && form.defaultType === undefined
      : type !== undefined && form.type === 'none'
  )
    return false;
  if (predicate && !form.predicate.split('|').includes(predicate.file)) return false;
  if (form.operands.length !== operands.length) return false;
  return operands.every((operand, i) => operandFits(facts, form.operands[i] as OperandForm, operand));
}

export function conditionsHold(
  form: Form,
  type: DataType | undefined,
  switches: Readonly<Record<string, SwitchValue>>,
): boolean {
  if (form.types && !(type && form.types.includes(type))) return false;
  for (const conditions of [form.when, form.implies]) {
    if (!conditions) continue;
    for (const name in conditions) if (switches[name] !== conditions[name]) return false;
  }
  return true;
}

function operandFits(facts: VliwFacts, form: OperandForm, operand: Operand): boolean {
  if (operand.kind === 'register') {
    if (form.implied) return operand.file === form.implied.file && operand.number === form.implied.number;
    return form.kinds.includes(operand.file);
  }
  if (operand.kind === 'immediate') return form.kinds.includes('imm') || form.kinds.includes('label');
  return form.kinds.some(
    (kind) => kind === 'n' || kind === 'twice' || kind === 'dims' || (kind === 't' && operand.value < facts.tensors),
  );
}

/**
 * `lenient`: numbers that are too great for their fields lose their upper bits.
 * @throws EncodingFault
 */
export function encodeForm(facts: VliwFacts, form: Form, instruction: Instruction, lenient = false): SlotBits {
  const words = noWords();
  const used = noWords();
  const { layout, row } = form.instruction;
  let imm: number | undefined;
  const set = (place: BitRange, value: number) => {
    orBits(words, place, value);
    orBits(used, place, 0xffffffff);
  };
  set(layout.opcode, row.opcode);
  for (const { place, value } of form.constants) set(place, value);
  form.operands.forEach((operand, i) => {
    const given = instruction.operands[i] as Operand;
    if (!operand.place) return;
    if (given.kind === 'immediate' || operand.place === facts.imm) {
      imm = given.kind === 'register' ? 0 : given.value;
      if (given.kind === 'immediate') set(operand.place, layout.immediateMarker);
      return;
    }
    const code = given.kind === 'register' ? (layout.files[given.file] ?? 0) + given.number : given.value;
    if (operand.kinds[0] === 'twice') {
      imm = code;
      set(operand.place, code);
      return;
    }
    if (!lenient && !fits(code, operand.place))
      throw new EncodingFault(`${operand.role} = ${code} does not fit its field`);
    set(operand.place, code);
  });
  if (form.type === 'encoded') {
    set(layout.fields.type as BitRange, facts.types[instruction.type ?? (form.defaultType as DataType)]);
  }
  for (const s of form.switches) {
    const { type, switches } = instruction;
    const value = switches[s.name] ?? s.row.default;
    if (switchApplies(s, type, switches)) set(s.place, switchCode(s, value));
    else if (lenient && sharesBits(form, s)) set(s.place, switchCode(s, value));
  }
  if (form.predicate !== '') {
    const { predicate } = instruction;
    set(layout.predicate.address, predicate ? predicate.number + (predicate.file === 'VP' ? 16 : 0) : 0);
    set(layout.predicate.inverted, predicate?.inverted ? 1 : 0);
  }
  return { words, used, form, imm: imm === undefined ? undefined : imm >>> 0 };
}

/** Whether the switch means anything with this data type and these other switches. */
export function switchApplies(
  s: FormSwitch,
  type: DataType | undefined,
  switches: Readonly<Record<string, SwitchValue | undefined>>,
): boolean {
  if (s.row.types && type && !s.row.types.includes(type)) return false;
  for (const name in s.row.when) if (switches[name] !== s.row.when[name]) return false;
  return true;
}

/** Whether the bits of a switch that does not apply are those of one that does. */
function sharesBits(form: Form, s: FormSwitch): boolean {
  return form.switches.some(
    (other) =>
      other !== s && other.place.lo < s.place.lo + s.place.width && s.place.lo < other.place.lo + other.place.width,
  );
}

/** @throws EncodingFault for a value that the switch does not have */
export function switchCode(s: FormSwitch, value: SwitchValue): number {
  if (typeof value === 'boolean') return value ? 1 : 0;
  const code = s.row.kind === 'number' ? Number(value) : s.values.get(String(value).toLowerCase());
  if (code === undefined || !fits(code, s.place)) throw new EncodingFault(`${s.name} has no value ${value}`);
  return code;
}
