/** Finds the form of a row that takes what the text gives, and says why where there is none. */

import { suggestion } from '../diagnostics.ts';
import { Fault } from '../expressions.ts';
import type { DataType, Instruction, Operand, Predicate, SwitchValue } from './bundle.ts';
import { switchApplies } from './encoder.ts';
import type { CompiledInstruction, Form, FormSwitch, OperandForm, OperandKind } from './forms.ts';
import { integerValue } from './numbers.ts';
import { type Given, type GivenOperands, type GivenSwitch, switchNames } from './operands.ts';
import type { VliwFacts } from './rows.ts';

interface Place {
  readonly start: number;
  readonly end: number;
}

export interface Match {
  readonly form: Form;
  readonly instruction: Instruction;
  /** The operand whose value is the distance to it. */
  readonly label: (Extract<Given, { kind: 'label' }> & Place) | undefined;
}

export interface MatchContext {
  readonly facts: VliwFacts;
  /** A switch that no form can hold is lost instead of refused. */
  readonly lenient?: boolean;
  defect(fault: Fault): void;
}

export interface Asked {
  readonly row: CompiledInstruction;
  readonly mnemonic: Place;
  readonly type: DataType | undefined;
  readonly typePlace: Place | undefined;
  readonly given: GivenOperands;
}

/** @throws Fault */
export function matchForm(context: MatchContext, asked: Asked): Match {
  const { row, given } = asked;
  const operands = [...given.operands];
  const switches = [...given.switches];
  positionalSwitches(row, operands, switches);
  const explicit = resolveSwitches(row, asked.type, switches);
  const attempts: Attempt[] = [];
  const whole = attempt(context, asked, operands, given.predicate, explicit, attempts);
  if (whole) return whole;
  const last = operands.at(-1);
  if (!given.predicate && last?.kind === 'register' && (last.file === 'SP' || last.file === 'VP')) {
    const { file, number, start, end } = last;
    const predicate = { file, number, inverted: false, start, end };
    const shorter = attempt(context, asked, operands.slice(0, -1), predicate, explicit, attempts);
    if (shorter) return shorter;
  }
  if (context.lenient) {
    for (const [s, place] of explicit) {
      const fewer = new Map(explicit);
      fewer.delete(s);
      const match = attempt(context, asked, operands, given.predicate, fewer, []);
      if (!match) continue;
      context.defect(new Fault(place, `${s.name} cannot be encoded with these operands`));
      return match;
    }
  }
  throw explain(asked, operands, explicit, attempts);
}

interface Attempt {
  readonly form: Form;
  /** How many operands fitted. */
  readonly reached: number;
  readonly reason: () => string;
  readonly place: Place;
}

function attempt(
  context: MatchContext,
  asked: Asked,
  given: readonly Given[],
  predicate: (Predicate & Place) | undefined,
  explicit: ReadonlyMap<FormSwitch, Explicit>,
  attempts: Attempt[],
): Match | undefined {
  const { row, mnemonic } = asked;
  for (const form of row.forms) {
    const fail = (reached: number, reason: () => string, place: Place) => {
      attempts.push({ form, reached, reason, place });
    };
    const type = asked.type ?? form.defaultType;
    if (form.type === 'none' && type)
      fail(-1, () => `${row.name} takes no data type here`, asked.typePlace ?? mnemonic);
    else if (form.type === 'encoded' && !type) {
      // Where all else fits, this is what is wrong.
      const fitting = !('reason' in align({ facts: context.facts, defect: () => {} }, form, given));
      fail(fitting ? given.length : -1, () => `${row.name} needs a data type, e.g. ${exampleOf(row)}`, mnemonic);
    } else if (form.types && !(type && form.types.includes(type)))
      fail(-1, () => `${row.name} has no such form for ${type}`, asked.typePlace ?? mnemonic);
    else {
      const switches = switchValues(form, type, explicit);
      const wrong = switches === undefined ? 'switch' : wrongCondition(form, switches);
      if (!switches || wrong) {
        fail(-1, () => 'these switches do not go together', mnemonic);
        continue;
      }
      const defects: Fault[] = [];
      const aligned = align({ facts: context.facts, defect: (fault) => defects.push(fault) }, form, given);
      if ('reason' in aligned) {
        fail(aligned.reached, aligned.reason, aligned.place ?? given.at(-1) ?? mnemonic);
        continue;
      }
      if (predicate && !form.predicate.split('|').includes(predicate.file)) {
        fail(given.length, () => `${row.name} takes no predicate ${predicate.file}${predicate.number}`, predicate);
        continue;
      }
      for (const fault of defects) context.defect(fault);
      return finish(context, asked, form, type, switches, aligned, predicate, explicit);
    }
  }
  return undefined;
}

function finish(
  context: MatchContext,
  asked: Asked,
  form: Form,
  type: DataType | undefined,
  switches: Record<string, SwitchValue>,
  aligned: Aligned,
  predicate: Predicate | undefined,
  explicit: ReadonlyMap<FormSwitch, Explicit>,
): Match {
  for (const [s, given] of explicit) {
    const problem = misplacedSwitch(form, s, type, switches);
    if (problem) context.defect(new Fault(given, problem));
  }
  const always = predicate === undefined || (predicate.file === 'SP' && predicate.number === 0 && !predicate.inverted);
  const dims = form.operands.findIndex((operand) => operand.kinds[0] === 'dims');
  const mask = aligned.operands[dims];
  const instruction: Instruction = {
    slot: form.instruction.slot,
    mnemonic: asked.row.name,
    type: form.type === 'encoded' ? type : undefined,
    operands: aligned.operands,
    roles: form.operands.map((operand) => operand.role),
    switches,
    predicate: always ? undefined : { file: predicate.file, number: predicate.number, inverted: predicate.inverted },
    dimMask: mask?.kind === 'number' ? mask.value : undefined,
  };
  return { form, instruction, label: aligned.label };
}

/** Why a switch that the text names means nothing in this form. */
function misplacedSwitch(
  form: Form,
  s: FormSwitch,
  type: DataType | undefined,
  switches: Readonly<Record<string, SwitchValue>>,
): string | undefined {
  if (!form.switches.includes(s)) return `${s.name} cannot be encoded with these operands`;
  if (switchApplies(s, type, switches)) return undefined;
  const condition = Object.entries(s.row.when ?? {}).map(
    ([name, value]) => `${name}=${value === true ? 1 : value === false ? 0 : value}`,
  );
  return condition.length > 0
    ? `${s.name} goes only with ${condition.join(' and ')}`
    : `${s.name} is not valid for ${type}`;
}

interface Explicit extends Place {
  readonly value: SwitchValue;
}

/** An integer where a switch may stand without its name. */
function positionalSwitches(row: CompiledInstruction, operands: Given[], switches: GivenSwitch[]): void {
  for (const s of row.switches) {
    const place = s.row.positional;
    if (place === undefined) continue;
    const operand = operands[place];
    if (operand?.kind !== 'number' || operand.real) continue;
    operands.splice(place, 1);
    switches.push({ name: s.name, value: String(operand.value), start: operand.start, end: operand.end });
  }
}

/** @throws Fault */
function resolveSwitches(
  row: CompiledInstruction,
  type: DataType | undefined,
  given: readonly GivenSwitch[],
): ReadonlyMap<FormSwitch, Explicit> {
  const explicit = new Map<FormSwitch, Explicit>();
  for (const each of given) {
    const { start, end } = each;
    const candidates = row.switches.filter(
      (s) => s.names.includes(each.name) || (each.value === undefined && s.values.has(each.name)),
    );
    if (candidates.length === 0) {
      const known = [...switchNames(row), ...(row.row.types ?? [])];
      const what = row.row.types ? 'neither a switch nor a data type' : 'no switch';
      throw new Fault(each, `${row.name} has ${what} "${each.name}"`, () => suggestion(each.name, known));
    }
    const s = candidates.find((c) => !c.row.types || !type || c.row.types.includes(type));
    if (!s) throw new Fault(each, `${each.name} is not valid for ${type}`);
    if (explicit.has(s)) throw new Fault(each, `${s.name} is given twice`);
    explicit.set(s, { value: switchValue(s, each), start, end });
  }
  return explicit;
}

/** @throws Fault */
function switchValue(s: FormSwitch, given: GivenSwitch): SwitchValue {
  const { value } = given;
  if (s.row.kind === 'flag') {
    if (value === undefined || value === '1') return true;
    if (value === '0') return false;
    throw new Fault(given, `${s.name} is 0 or 1`);
  }
  if (s.row.kind === 'number') {
    const most = 2 ** s.place.width - 1;
    const number = value !== undefined && /^\d/.test(value) ? Number(integerValue(value)) : undefined;
    // A single bit may be said by its name alone.
    if (value === undefined && most === 1) return 1;
    if (number === undefined || number > most) throw new Fault(given, `${s.name} is a number from 0 to ${most}`);
    return number;
  }
  const name = (value ?? given.name).toLowerCase();
  const named = s.values.get(name);
  const code = named ?? (/^\d/.test(name) ? Number(integerValue(name)) : undefined);
  const first = code === undefined ? undefined : s.valueNames.get(code);
  if (first === undefined) {
    const known = [...s.values.keys()];
    throw new Fault(given, `${s.name} is one of ${known.join(', ')}`, () => suggestion(name, known));
  }
  return first;
}

/** Every switch of the row: as the text says, as the form implies, or its default. Undefined: they contradict. */
function switchValues(
  form: Form,
  type: DataType | undefined,
  explicit: ReadonlyMap<FormSwitch, Explicit>,
): Record<string, SwitchValue> | undefined {
  const values: Record<string, SwitchValue> = {};
  const all = form.instruction.switches;
  for (const dependent of [false, true]) {
    for (const s of all) {
      if ((s.row.when !== undefined) !== dependent) continue;
      const given = explicit.get(s);
      const implied = form.implies?.[s.name];
      if (given && implied !== undefined && given.value !== implied) return undefined;
      const applies = switchApplies(s, type, values);
      const otherwise = applies || s.row.kind !== 'choice' ? s.row.default : (s.valueNames.get(0) ?? s.row.default);
      values[s.name] = implied ?? given?.value ?? otherwise;
    }
  }
  return values;
}

function wrongCondition(form: Form, switches: Readonly<Record<string, SwitchValue>>): string | undefined {
  for (const name in form.when) if (switches[name] !== form.when[name]) return name;
  return undefined;
}

interface Aligned {
  readonly operands: readonly Operand[];
  readonly label: Match['label'];
}

interface Misfit {
  readonly reached: number;
  readonly reason: () => string;
  readonly place: Place | undefined;
}

function align(context: MatchContext, form: Form, given: readonly Given[]): Aligned | Misfit {
  const operands: Operand[] = [];
  let label: Match['label'];
  let at = 0;
  let required = form.required;
  for (const operand of form.operands) {
    const value = given[at];
    if (operand.optional) {
      const spare = given.length - at > required;
      if (value && spare && !('reason' in fit(context, operand, value))) {
        operands.push((fit(context, operand, value) as { operand: Operand }).operand);
        at++;
      } else operands.push(defaultOperand(operand));
      continue;
    }
    required--;
    if (!value) {
      return { reached: at, reason: () => `${form.instruction.name} takes ${operandNames(form)}`, place: undefined };
    }
    const fitted = fit(context, operand, value);
    if ('reason' in fitted) return { reached: at, reason: fitted.reason, place: value };
    if (value.kind === 'label') label = value;
    operands.push(fitted.operand);
    at++;
  }
  const extra = given[at];
  if (extra) {
    const reason = () =>
      `${form.instruction.name} takes ${operandNames(form)}${form.predicate ? ' and a predicate' : ''}`;
    return { reached: at, reason, place: extra };
  }
  return { operands, label };
}

function defaultOperand(form: OperandForm): Operand {
  return form.implied ? { kind: 'register', ...form.implied } : { kind: 'number', value: form.default ?? 0 };
}

function fit(
  context: MatchContext,
  form: OperandForm,
  given: Given,
): { readonly operand: Operand } | { readonly reason: () => string } {
  const { kinds } = form;
  const expected = { reason: () => `${form.role} is ${kindNames(form)}` };
  if (given.kind === 'register') {
    const { file, number } = given;
    if (form.implied) {
      const same = (file === form.implied.file && number === form.implied.number) || isSynonym(context, form, given);
      return same ? { operand: { kind: 'register', ...form.implied } } : expected;
    }
    if (kinds.includes(file)) return { operand: { kind: 'register', file, number } };
    return wide(context, form, given) ?? expected;
  }
  if (given.kind === 'number') {
    if (kinds.includes('imm') || kinds.includes('label')) return { operand: { kind: 'immediate', value: given.value } };
    if (given.real) return expected;
    if (kinds.includes('HW')) return { operand: { kind: 'register', file: 'HW', number: given.value } };
    if (kinds.includes('t') && given.value >= context.facts.tensors) {
      context.defect(new Fault(given, `the chip has tensors 0 to ${context.facts.tensors - 1}`));
      return { operand: { kind: 'number', value: given.value } };
    }
    const plain = kinds.includes('n') || kinds.includes('twice') || kinds.includes('t');
    if (!plain) return expected;
    if (kinds.includes('n') && form.place && given.value >= 2 ** form.place.width) {
      context.defect(new Fault(given, `${form.role} is at most ${2 ** form.place.width - 1}`));
    }
    return { operand: { kind: 'number', value: given.value } };
  }
  if (given.kind === 'dims')
    return kinds.includes('dims') ? { operand: { kind: 'number', value: given.value } } : expected;
  if (given.kind === 'label' && kinds.includes('label')) return { operand: { kind: 'immediate', value: 0 } };
  return expected;
}

/** Whether the register is another name of the implied one. */
function isSynonym({ facts }: MatchContext, form: OperandForm, given: Extract<Given, { kind: 'register' }>): boolean {
  const { implied } = form;
  return facts.synonyms.some(
    ({ name, means }) =>
      name.file === given.file &&
      name.number === given.number &&
      means.file === implied?.file &&
      means.number === implied.number,
  );
}

/** A pair or quad may be written as the register that it begins with. */
function wide(
  context: MatchContext,
  form: OperandForm,
  given: Extract<Given, { kind: 'register' }>,
): { readonly operand: Operand } | { readonly reason: () => string } | undefined {
  const row = context.facts.registers.find((each) => each.of === given.file && form.kinds.includes(each.file));
  if (!row || form.kinds.length > 1 || given.number >= row.count) return undefined;
  if (given.number % row.span !== 0) {
    return {
      reason: () =>
        `${form.role} is ${row.doc}: ${given.file}${given.number} cannot begin one, its number is no multiple of ${row.span}`,
    };
  }
  return { operand: { kind: 'register', file: row.file, number: given.number } };
}

const kindTexts: Readonly<Partial<Record<OperandKind, string>>> = {
  imm: 'an immediate',
  label: 'a label',
  n: 'a number',
  twice: 'a number',
  t: 'the number of a tensor',
  dims: 'a mask of dimensions such as b00011',
  HW: 'a register of the hardware',
};

function kindNames(form: OperandForm): string {
  if (form.implied) return `${form.implied.file}${form.implied.number}`;
  const texts = form.kinds.map((kind) => kindTexts[kind] ?? `a register ${kind}0...`);
  return texts.length < 2 ? texts.join('') : `${texts.slice(0, -1).join(', ')} or ${texts.at(-1)}`;
}

function operandNames(form: Form): string {
  const required = form.operands.filter((operand) => !operand.optional).map((operand) => operand.role);
  return required.length === 0 ? 'no operands' : required.join(', ');
}

function exampleOf(row: CompiledInstruction): string {
  return row.row.example.split(' ')[0] ?? row.name;
}

/** The form that came farthest knows best what is wrong. */
function explain(
  { row, mnemonic, given }: Asked,
  operands: readonly Given[],
  explicit: ReadonlyMap<FormSwitch, Explicit>,
  attempts: readonly Attempt[],
): Fault {
  const farthest = Math.max(...attempts.map((each) => each.reached));
  const best = attempts.filter((each) => each.reached === farthest);
  const [first] = best;
  if (!first) return new Fault(mnemonic, `${row.name} has no forms`);
  const [conflict] = explicit.values();
  if (farthest < 0 && first.reason().startsWith('these switches') && conflict)
    return new Fault(conflict, first.reason());
  const reasons = [...new Set(best.filter((each) => each.place === first.place).map((each) => each.reason()))];
  const place = first.place === given.predicate ? (given.predicate ?? mnemonic) : first.place;
  return new Fault(place, reasons.slice(0, 3).join('; or ') || `${operands.length} operands do not fit ${row.name}`);
}
