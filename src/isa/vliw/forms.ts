/** Compiles the forms of the rows (rows.ts says how they are written) into operands with places in the bundle. */

import type { DataType, RegisterFile, Slot, SwitchValue } from './bundle.ts';
import type {
  BitRange,
  ConditionalForm,
  InstructionRow,
  RegisterFileRow,
  SlotLayout,
  SwitchRow,
  VliwFacts,
} from './rows.ts';

/** What an operand may be: a register of a file, or `imm`, `label`, `n` number, `twice` a number in its field and in the immediate, `t` tensor, `dims` mask of dimensions. */
export type OperandKind = RegisterFile | 'imm' | 'label' | 'n' | 'twice' | 't' | 'dims';

export interface OperandForm {
  readonly role: string;
  readonly kinds: readonly OperandKind[];
  /** Absent where the operand is an implied register. */
  readonly place: BitRange | undefined;
  /** The implied register. */
  readonly implied: { readonly file: RegisterFile; readonly number: number } | undefined;
  /** May be left out. */
  readonly optional: boolean;
  /** Its value then. */
  readonly default: number | undefined;
}

export interface FormSwitch {
  readonly name: string;
  /** What the text may call it. */
  readonly names: readonly string[];
  readonly row: SwitchRow;
  readonly place: BitRange;
  /** Names of values in lower case; the first name of a value is printed. */
  readonly values: ReadonlyMap<string, number>;
  readonly valueNames: ReadonlyMap<number, SwitchValue>;
}

export interface Form {
  readonly text: string;
  readonly instruction: CompiledInstruction;
  readonly operands: readonly OperandForm[];
  /** Operands that must be given. */
  readonly required: number;
  readonly type: 'encoded' | 'accepted' | 'none';
  readonly defaultType: DataType | undefined;
  readonly constants: readonly { readonly place: BitRange; readonly value: number }[];
  readonly switches: readonly FormSwitch[];
  readonly predicate: 'SP' | 'SP|VP' | '';
  readonly types: readonly DataType[] | undefined;
  readonly when: Readonly<Record<string, SwitchValue>> | undefined;
  readonly implies: Readonly<Record<string, SwitchValue>> | undefined;
}

export interface CompiledInstruction {
  readonly slot: Slot;
  readonly name: string;
  readonly row: InstructionRow;
  readonly layout: SlotLayout;
  readonly forms: readonly Form[];
  readonly switches: readonly FormSwitch[];
}

export function compileInstruction(
  facts: VliwFacts,
  slot: Slot,
  name: string,
  row: InstructionRow,
): CompiledInstruction {
  const layout = facts.layouts[slot];
  const switches = Object.entries(row.switches ?? {}).map(([key, s]) => compileSwitch(layout, key, s));
  const forms: Form[] = [];
  const compiled: CompiledInstruction = { slot, name, row, layout, forms, switches };
  for (const form of row.forms) {
    forms.push(compileForm(facts, compiled, typeof form === 'string' ? { form } : form));
  }
  return compiled;
}

/** `field` or `field.bit` or `field.lo:hi`. @throws RangeError for a row that is wrong */
function place(facts: VliwFacts, layout: SlotLayout, text: string): BitRange {
  const match = /^(\w+)(?:\.(\d+)(?::(\d+))?)?$/.exec(text);
  const field = match?.[1] === 'IMM' ? facts.imm : layout.fields[match?.[1] ?? ''];
  if (!match || !field) throw new RangeError(`"${text}" is no place in slot ${layout.title}`);
  if (match[2] === undefined) return field;
  const lo = Number(match[2]);
  const hi = Number(match[3] ?? match[2]);
  if (hi < lo || hi >= field.width) throw new RangeError(`"${text}" is beyond its field`);
  return { lo: field.lo + lo, width: hi - lo + 1 };
}

function compileSwitch(layout: SlotLayout, key: string, row: SwitchRow): FormSwitch {
  const values = new Map<string, number>();
  const valueNames = new Map<number, SwitchValue>();
  for (const [name, value] of Object.entries(row.values ?? {})) {
    values.set(name.toLowerCase(), value);
    if (!valueNames.has(value)) valueNames.set(value, /^\d+$/.test(name) ? Number(name) : name);
  }
  // Switches are in fields of their slot, never in the immediate.
  const bits = place({} as VliwFacts, layout, row.at);
  return { name: key, names: [key, ...(row.aliases ?? [])], row, place: bits, values, valueNames };
}

const tokens = /\{[^}]*\}|\[[^\]]*\]|[^\s]+/g;

function compileForm(facts: VliwFacts, instruction: CompiledInstruction, form: ConditionalForm): Form {
  const { layout } = instruction;
  const operands: OperandForm[] = [];
  const constants: { place: BitRange; value: number }[] = [];
  let type: Form['type'] = 'none';
  let defaultType: DataType | undefined;
  let switches = instruction.switches;
  let predicate: Form['predicate'] = layout.predicates;
  for (const token of form.form.match(tokens) ?? []) {
    if (token.startsWith('.')) {
      const [, kind, given] = /^\.(type|any)(?:=(\w+))?$/.exec(token) ?? [];
      if (!kind) throw new RangeError(`"${token}" in "${form.form}"`);
      type = kind === 'type' ? 'encoded' : 'accepted';
      defaultType = given as DataType | undefined;
    } else if (token.startsWith('+')) {
      const names = token.slice(1).split('|');
      switches = switches.filter((s) => names.includes(s.name));
    } else if (token.startsWith('?')) predicate = token.slice(1) as Form['predicate'];
    else if (token.startsWith('[')) {
      for (const fixed of token.slice(1, -1).split(' ')) {
        const [where = '', value = ''] = fixed.split('=');
        const code = facts.types[value as DataType];
        constants.push({ place: place(facts, layout, where), value: code ?? Number(value) });
      }
    } else operands.push(compileOperand(facts, layout, token));
  }
  return {
    text: form.form,
    instruction,
    operands,
    required: operands.filter((o) => !o.optional).length,
    type,
    defaultType,
    constants,
    switches,
    predicate,
    types: form.types,
    when: form.when,
    implies: form.implies,
  };
}

function compileOperand(facts: VliwFacts, layout: SlotLayout, token: string): OperandForm {
  const optional = token.startsWith('{');
  const text = optional ? token.slice(1, -1) : token;
  const match = /^(?:([\w.]+(?::\d+)?)=)?(\w+):([\w|]+)(?:\?(\d+))?$/.exec(text);
  if (!match) throw new RangeError(`"${token}" is no operand`);
  const [, where, role = '', kinds = '', value] = match;
  const implied = /^([A-Z]+)(\d+)$/.exec(kinds);
  return {
    role,
    kinds: implied ? [implied[1] as RegisterFile] : (kinds.split('|') as OperandKind[]),
    place: implied ? undefined : place(facts, layout, where ?? role),
    implied: implied ? { file: implied[1] as RegisterFile, number: Number(implied[2]) } : undefined,
    optional,
    default: value === undefined ? undefined : Number(value),
  };
}

/** All registers by name, in upper case. */
export interface RegisterName {
  readonly file: RegisterFile;
  readonly number: number;
  /** False for what can be encoded, but the chip does not have. */
  readonly exists: boolean;
}

export function registerNames(files: readonly RegisterFileRow[]): ReadonlyMap<string, RegisterName> {
  const names = new Map<string, RegisterName>();
  for (const row of files) {
    for (const [name, number] of Object.entries(row.named)) names.set(name, { file: row.file, number, exists: true });
    for (let number = 0; number < row.encodable; number += row.span) {
      const name = `${row.file}${number}`;
      if (!names.has(name)) names.set(name, { file: row.file, number, exists: number < row.count });
    }
  }
  return names;
}
