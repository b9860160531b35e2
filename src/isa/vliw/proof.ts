/**
 * Proves, from the rows alone (not by trying), that a decoder has exactly one answer: every bit of a bundle belongs to a
 * field, fields overlap only between slots, opcodes are unique, and no two forms of an instruction have an encoding in
 * common.
 */

import { type Slot, slots } from './bundle.ts';
import { type CompiledInstruction, compileInstruction, type Form, type OperandForm } from './forms.ts';
import type { BitRange, VliwFacts } from './rows.ts';

export const BUNDLE_BITS = 256;

export interface VliwProof {
  /** What each bit of a bundle is, e.g. `spu.a`; where slots share it, both. */
  readonly owners: readonly string[];
  /** Bits that two slots share. */
  readonly shared: readonly number[];
  /** The same of the LOOP bundle, whose other bits are 0. */
  readonly loopOwners: readonly string[];
  readonly forms: number;
  /** Contradictions; empty where the encodings are sound. */
  readonly violations: readonly string[];
}

export function proveVliw(facts: VliwFacts): VliwProof {
  const violations: string[] = [];
  const owners: string[][] = Array.from({ length: BUNDLE_BITS }, () => []);
  const own = (name: string, { lo, width }: BitRange) => {
    for (let bit = lo; bit < lo + width; bit++) {
      const before = owners[bit];
      if (!before) violations.push(`${name}: there is no bit ${bit}`);
      else {
        const slot = name.split('.')[0];
        if (before.some((other) => other.split('.')[0] === slot))
          violations.push(`bit ${bit} is both ${before} and ${name}`);
        before.push(name);
      }
    }
  };
  own('imm', facts.imm);
  own('reserved', facts.reserved);
  let forms = 0;
  for (const slot of slots) {
    const layout = facts.layouts[slot];
    own(`${slot}.opcode`, layout.opcode);
    own(`${slot}.inverted`, layout.predicate.inverted);
    own(`${slot}.predicate`, layout.predicate.address);
    const ranges = Object.entries(layout.fields);
    // A data type within another field is a part of it.
    for (const [name, range] of ranges) {
      if (!ranges.some(([other, outer]) => other !== name && contains(outer, range))) own(`${slot}.${name}`, range);
    }
    forms += proveSlot(facts, slot, violations);
  }
  owners.forEach((names, bit) => {
    if (names.length === 0) violations.push(`bit ${bit} belongs to nothing`);
    const fixed = names.some((name) => name === 'imm' || name === 'reserved');
    if (fixed && names.length > 1) violations.push(`bit ${bit} is both ${names.join(' and ')}`);
  });
  return {
    owners: owners.map((names) => names.join(' = ')),
    shared: owners.flatMap((names, bit) => (names.length > 1 ? [bit] : [])),
    loopOwners: loopOwners(facts, violations),
    forms,
    violations,
  };
}

function loopOwners(facts: VliwFacts, violations: string[]): readonly string[] {
  const owners = new Array<string>(BUNDLE_BITS).fill('reserved');
  for (const [name, { lo, width }] of Object.entries(facts.loop.fields)) {
    for (let bit = lo; bit < lo + width; bit++) {
      if (owners[bit] !== 'reserved') violations.push(`loop: bit ${bit} is both ${owners[bit]} and ${name}`);
      owners[bit] = name;
    }
  }
  // A LOOP is told from other bundles by the opcode of the SPU.
  const { opcode } = facts.layouts.spu;
  const same = facts.loop.fields.opcode.lo === opcode.lo && facts.loop.fields.opcode.width === opcode.width;
  const taken = Object.values(facts.rows.spu).some((row) => row.opcode === facts.loop.opcode);
  if (!same || taken) violations.push('loop: its opcode does not tell it from other bundles');
  return owners;
}

function proveSlot(facts: VliwFacts, slot: Slot, violations: string[]): number {
  const byOpcode = new Map<number, string>();
  const names = new Set<string>();
  let forms = 0;
  for (const [name, row] of Object.entries(facts.rows[slot])) {
    const other = byOpcode.get(row.opcode);
    if (other) violations.push(`${slot}: ${name} and ${other} share opcode ${row.opcode}`);
    byOpcode.set(row.opcode, name);
    if (row.opcode < 0 || row.opcode >= 2 ** facts.layouts[slot].opcode.width) {
      violations.push(`${slot}.${name}: opcode ${row.opcode} has no encoding`);
    }
    for (const each of [name, ...(row.aliases ?? [])]) {
      if (names.has(each)) violations.push(`${slot}: "${each}" names two instructions`);
      names.add(each);
    }
    const compiled = compileInstruction(facts, slot, name, row);
    forms += compiled.forms.length;
    proveForms(facts, compiled, violations);
  }
  return forms;
}

function proveForms(facts: VliwFacts, row: CompiledInstruction, violations: string[]): void {
  const where = `${row.slot}.${row.name}`;
  for (const form of row.forms) {
    const used = new Map<number, string>();
    for (const { name, range } of placesOf(facts, form)) {
      for (let bit = range.lo; bit < range.lo + range.width; bit++) {
        const other = used.get(bit);
        if (other !== undefined) violations.push(`${where} (${form.text}): bit ${bit} is both ${other} and ${name}`);
        used.set(bit, name);
      }
    }
    for (const s of form.switches) {
      for (const other of form.switches) {
        if (s.name < other.name && intersect(s.place, other.place) && !exclusive(s.row, other.row)) {
          violations.push(`${where}: ${s.name} and ${other.name} share bits`);
        }
      }
    }
  }
  row.forms.forEach((form, i) => {
    for (const other of row.forms.slice(0, i)) {
      if (!distinct(facts, form, other))
        violations.push(`${where}: "${form.text}" and "${other.text}" have encodings in common`);
    }
  });
}

/** All that a form always uses; not the switches, which may share bits by condition. */
function placesOf(facts: VliwFacts, form: Form): { readonly name: string; readonly range: BitRange }[] {
  const { layout } = form.instruction;
  const places = [{ name: 'opcode', range: layout.opcode }];
  for (const { place } of form.constants) places.push({ name: 'constant', range: place });
  for (const { role, place } of form.operands) if (place) places.push({ name: role, range: place });
  if (form.type === 'encoded') places.push({ name: 'type', range: layout.fields.type as BitRange });
  if (form.predicate !== '') {
    places.push(
      { name: 'predicate', range: layout.predicate.address },
      { name: 'inverted', range: layout.predicate.inverted },
    );
  }
  return places.filter(({ range }) => range !== facts.imm);
}

/** Switches that are never valid at once. */
function exclusive(a: Form['switches'][number]['row'], b: Form['switches'][number]['row']): boolean {
  if (a.types && b.types && !a.types.some((type) => b.types?.includes(type))) return true;
  return contradict(a.when, b.when);
}

function contradict(a: Readonly<Record<string, unknown>> = {}, b: Readonly<Record<string, unknown>> = {}): boolean {
  return Object.keys(a).some((name) => name in b && a[name] !== b[name]);
}

function distinct(facts: VliwFacts, a: Form, b: Form): boolean {
  if (a.types && b.types && !a.types.some((type) => b.types?.includes(type))) return true;
  if (contradict({ ...a.when, ...a.implies }, { ...b.when, ...b.implies })) return true;
  const [x, y] = [fixedBits(facts, a), fixedBits(facts, b)];
  for (let bit = 0; bit < BUNDLE_BITS; bit++) {
    if (x[bit] !== undefined && y[bit] !== undefined && x[bit] !== y[bit]) return true;
  }
  // The first form that holds is the one meant, where the other only has fewer conditions.
  if (a.types !== undefined && b.types === undefined) return true;
  if (b.types !== undefined && a.types !== undefined && (a.when !== undefined || b.when !== undefined)) return true;
  if (b.when !== undefined && a.when === undefined && sameOperands(a, b)) return true;
  for (const one of a.operands) {
    for (const other of b.operands) {
      if (one.place && other.place && one.place.lo === other.place.lo && one.place.width === other.place.width) {
        if (!codes(facts, a, one).some((code) => codes(facts, b, other).includes(code))) return true;
      }
    }
  }
  return false;
}

function sameOperands(a: Form, b: Form): boolean {
  return a.operands.length === b.operands.length;
}

/** Bits that a form fixes: those of its constants, and 0 for what it does not use. */
function fixedBits(facts: VliwFacts, form: Form): (number | undefined)[] {
  const { layout } = form.instruction;
  const bits = new Array<number | undefined>(BUNDLE_BITS).fill(undefined);
  for (const range of Object.values(layout.fields)) for (let i = 0; i < range.width; i++) bits[range.lo + i] = 0;
  const free = [...placesOf(facts, form).map(({ range }) => range), ...form.switches.map((s) => s.place)];
  for (const range of free) for (let i = 0; i < range.width; i++) bits[range.lo + i] = undefined;
  for (const { place, value } of form.constants) {
    for (let i = 0; i < place.width; i++) bits[place.lo + i] = (value >>> i) & 1;
  }
  return bits;
}

/** What an operand's field may hold. */
function codes(facts: VliwFacts, form: Form, operand: OperandForm): number[] {
  const { layout } = form.instruction;
  const all: number[] = [];
  for (const kind of operand.kinds) {
    if (kind === 'imm' || kind === 'label') all.push(layout.immediateMarker);
    else if (kind === 'n' || kind === 'twice' || kind === 'dims' || kind === 't') {
      const width = operand.place?.width ?? 0;
      for (let code = 0; code < 2 ** width; code++) all.push(code);
    } else {
      const row = facts.registers.find((each) => each.file === kind);
      const base = layout.files[kind] ?? 0;
      for (let n = 0; n < (row?.count ?? 0); n += row?.span ?? 1) all.push(base + n);
      for (const n of Object.values(row?.named ?? {})) all.push(base + n);
    }
  }
  return all;
}

function contains(outer: BitRange, inner: BitRange): boolean {
  return outer.lo <= inner.lo && inner.lo + inner.width <= outer.lo + outer.width && outer.width > inner.width;
}

function intersect(a: BitRange, b: BitRange): boolean {
  return a.lo < b.lo + b.width && b.lo < a.lo + a.width;
}
