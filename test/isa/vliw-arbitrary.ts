/** Random legal instructions and bundles of the TPC, of every form. */

import fc from 'fast-check';
import { type TpcBundle, tpcGaudi } from '../../specs/tpc/gaudi.ts';
import {
  type Bundle,
  comparisons,
  type DataType,
  type Instruction,
  type Loop,
  type Operand,
  type Predicate,
  type Slot,
  type SwitchValue,
  slots,
} from '../../src/isa/vliw/bundle.ts';
import { conditionsHold, EncodingFault, switchApplies } from '../../src/isa/vliw/encoder.ts';
import type { Form, FormSwitch, OperandForm, OperandKind } from '../../src/isa/vliw/forms.ts';

const { facts } = tpcGaudi;

/** As the decoder makes them. */
const plainObjects = { noNullPrototype: true } as const;

export const allForms: readonly Form[] = slots.flatMap((slot) =>
  [...new Set(tpcGaudi.instructions[slot].values())].flatMap((row) => row.forms),
);

export function formsOf(slot: Slot): readonly Form[] {
  return allForms.filter((form) => form.instruction.slot === slot);
}

function anyOperand(form: OperandForm): fc.Arbitrary<Operand> {
  const { implied } = form;
  if (implied) return fc.constant({ kind: 'register', ...implied });
  // Pairs and quads that are encoded like the register they begin with are decoded as that.
  const plain = form.kinds.filter((kind) => !(form.kinds.includes('V') && /^[DA]$/.test(kind)) && kind !== 'Z');
  return fc.oneof(...(plain.length > 0 ? plain : form.kinds).map((kind) => operandOf(kind, form)));
}

function operandOf(kind: OperandKind, form: OperandForm): fc.Arbitrary<Operand> {
  const width = form.place?.width ?? 32;
  const number = (max: number) => fc.integer({ min: 0, max }).map((value): Operand => ({ kind: 'number', value }));
  if (kind === 'imm') return anyWord.map((value) => ({ kind: 'immediate', value }));
  // Distances of whole bundles, so that labels can name them.
  if (kind === 'label')
    return fc.integer({ min: -8, max: 8 }).map((n) => ({ kind: 'immediate', value: (n * 32) >>> 0 }));
  if (kind === 't') return number(facts.tensors - 1);
  if (kind === 'n' || kind === 'twice' || kind === 'dims') return number(2 ** width - 1);
  const row = facts.registers.find((each) => each.file === kind);
  const numbers = [
    ...Array.from({ length: (row?.count ?? 0) / (row?.span ?? 1) }, (_, i) => i * (row?.span ?? 1)),
    ...Object.values(row?.named ?? {}),
  ].filter((n) => kind !== 'SP' || n < 16);
  return fc.constantFrom(...numbers).map((n): Operand => ({ kind: 'register', file: kind, number: n }));
}

const anyWord = fc.oneof(
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.constantFrom(0, 1, 9, 10, 0x7f, 0x7fffffff, 0x80000000, 0xffffffff),
);

function anySwitch(s: FormSwitch): fc.Arbitrary<SwitchValue> {
  if (s.row.kind === 'flag') return fc.boolean();
  if (s.row.kind === 'number') return fc.integer({ min: 0, max: 2 ** s.place.width - 1 });
  return fc.constantFrom(...s.valueNames.values());
}

function anyPredicate(form: Form): fc.Arbitrary<Predicate | undefined> {
  const files = form.predicate.split('|').filter((file) => file !== '') as ('SP' | 'VP')[];
  if (files.length === 0) return fc.constant(undefined);
  const some = fc
    .record(
      { file: fc.constantFrom(...files), number: fc.integer({ min: 0, max: 15 }), inverted: fc.boolean() },
      plainObjects,
    )
    .map((p) => (p.file === 'SP' && p.number === 0 && !p.inverted ? undefined : p));
  return fc.option(some, { nil: undefined });
}

/** An instruction of the form; never of another one that holds the same. */
export function anyInstruction(form: Form): fc.Arbitrary<Instruction> {
  const { slot, name, switches: all, row } = form.instruction;
  const types = (form.types ?? row.types ?? (Object.keys(facts.types) as DataType[])).filter(
    (type) => !facts.missingTypes.includes(type),
  );
  const type = form.type === 'encoded' ? fc.constantFrom(...types) : fc.constant(undefined);
  const values = fc.tuple(...all.map(anySwitch));
  return fc
    .record({ type, values, operands: fc.tuple(...form.operands.map(anyOperand)), predicate: anyPredicate(form) })
    .map(({ type: t, values: v, operands, predicate }) => {
      const switches: Record<string, SwitchValue> = {};
      for (const s of all) switches[s.name] = neutral(s);
      for (const dependent of [false, true]) {
        all.forEach((s, i) => {
          if ((s.row.when !== undefined) !== dependent || !form.switches.includes(s)) return;
          const fixed = form.implies?.[s.name] ?? form.when?.[s.name];
          if (switchApplies(s, t, switches)) switches[s.name] = fixed ?? (v[i] as SwitchValue);
        });
      }
      const dims = form.operands.findIndex((operand) => operand.kinds[0] === 'dims');
      const mask = operands[dims];
      return {
        slot,
        mnemonic: name,
        type: t,
        operands,
        roles: form.operands.map((operand) => operand.role),
        switches,
        predicate,
        dimMask: mask?.kind === 'number' ? mask.value : undefined,
      };
    })
    .filter(
      (instruction) => conditionsHold(form, instruction.type, instruction.switches) && firstFormIs(form, instruction),
    );
}

function neutral(s: FormSwitch): SwitchValue {
  return s.row.kind === 'choice' ? (s.valueNames.get(0) ?? s.row.default) : s.row.default;
}

/** A vector that begins a pair is taken for the pair where both are possible. */
function firstFormIs(form: Form, instruction: Instruction): boolean {
  const earlier = form.instruction.forms.slice(0, form.instruction.forms.indexOf(form));
  return !earlier.some(
    (other) =>
      other.operands.length === form.operands.length &&
      conditionsHold(other, instruction.type, instruction.switches) &&
      other.types !== undefined,
  );
}

export function bundleOf(instruction: Instruction): Bundle {
  return {
    kind: 'bundle',
    load: undefined,
    spu: undefined,
    vpu: undefined,
    store: undefined,
    imm: 0,
    [instruction.slot]: instruction,
  };
}

/** A bundle with as many of the instructions as go together. */
export const anyBundle: fc.Arbitrary<Uint8Array> = fc
  .tuple(...slots.map((slot) => fc.option(fc.constantFrom(...formsOf(slot)).chain(anyInstruction), { freq: 3 })))
  .map((instructions) => {
    let bundle: Bundle = { kind: 'bundle', load: undefined, spu: undefined, vpu: undefined, store: undefined, imm: 0 };
    let bytes = tpcGaudi.nop;
    for (const instruction of instructions) {
      if (!instruction) continue;
      const more = { ...bundle, [instruction.slot]: instruction };
      try {
        bytes = tpcGaudi.encodeBundle(more as TpcBundle);
        bundle = more;
      } catch (error) {
        // It shares bits with one before it.
        if (!(error instanceof EncodingFault)) throw error;
      }
    }
    return bytes;
  });

const bound: fc.Arbitrary<Loop['start']> = fc.oneof(
  anyWord.map((value) => ({ kind: 'immediate' as const, value })),
  fc.integer({ min: 0, max: 35 }).map((n) => ({ kind: 'register' as const, file: 'S' as const, number: n })),
);

export const anyLoop: fc.Arbitrary<Loop> = fc.record(
  {
    kind: fc.constant('loop' as const),
    start: bound,
    boundary: bound,
    step: bound,
    comparison: fc.constantFrom(...comparisons),
    endOffset: fc.integer({ min: 0, max: 2047 }).map((n) => n * 32),
    repeatAtMostOnce: fc.boolean(),
    predicate: fc.option(
      fc.record(
        { file: fc.constant('SP' as const), number: fc.integer({ min: 1, max: 15 }), inverted: fc.boolean() },
        plainObjects,
      ),
      { nil: undefined },
    ),
  },
  plainObjects,
);
