/** Faults as one writes them: `NAME[:word[.word]][@when]`. */

import { type FaultName, type FaultRow, type FaultWord, faults } from '../../../specs/gaudi/faults.ts';
import { suggestion } from '../../isa/diagnostics.ts';
import { UserError } from '../../sim/errors.ts';

/**
 * When a fault happens: `usual` where nothing is said. `boot`: from power-on; `reset`: from the next reset of the chip;
 * `after`: so many nanoseconds from now; `occasion`: at the n-th of its occasions.
 */
export type When =
  | { readonly kind: 'usual' | 'boot' | 'reset' }
  | { readonly kind: 'after'; readonly ns: number }
  | { readonly kind: 'occasion'; readonly n: number };

/** A word of a fault's parameter: durations in nanoseconds, counts with Infinity for `all`. */
export type Words = Readonly<Record<string, string | number>>;

export interface Fault {
  readonly name: FaultName;
  readonly words: Words;
  readonly when: When;
  /** As it was written. */
  readonly text: string;
}

const UNITS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 };

/** @throws UserError that says what is wrong, and what there is */
export function parseFault(text: string): Fault {
  const [, name = '', parameter, when] = /^([^:@]*)(?::([^@]*))?(?:@(.*))?$/.exec(text) ?? [];
  const row = rowOf(name);
  return { name: name as FaultName, words: words(name, row, parameter), when: whenOf(name, row, when), text };
}

function rowOf(name: string): FaultRow {
  if (Object.hasOwn(faults, name)) return faults[name as FaultName];
  throw new UserError(`no fault "${name}"${suggestion(name, Object.keys(faults))}; "sagrada faults" lists them`);
}

function words(name: string, row: FaultRow, parameter: string | undefined): Words {
  const given = parameter === undefined ? [] : parameter.split('.');
  const known = Object.entries(row.words);
  if (given.length > known.length) {
    const what = known.length === 0 ? 'has no parameter' : `has ${known.map(([word]) => word).join('.')}`;
    throw new UserError(`fault ${name} ${what}, not "${parameter}"`);
  }
  return Object.fromEntries(
    known.map(([word, about], i) => [word, wordOf(name, word, about, given[i] || about.initial)]),
  );
}

function wordOf(name: string, word: string, { values }: FaultWord, text: string): string | number {
  const wrong = (what: string): never => {
    throw new UserError(`fault ${name}: ${word} is ${what}, not "${text}"`);
  };
  if (values === 'duration') return duration(text) ?? wrong('a time such as 20ms');
  if (values === 'count') {
    if (text === 'all') return Number.POSITIVE_INFINITY;
    return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : wrong('a number of at least 1, or all');
  }
  if (values === 'number') return /^\d{1,9}$/.test(text) ? Number(text) : wrong('a number');
  const found = values.find((value) => value.toLowerCase() === text.toLowerCase());
  if (found !== undefined) return found;
  const few = values.length <= 20 ? `one of ${values.join(', ')}` : `one of ${values.length}, e.g. ${values[0]}`;
  return wrong(`${few}${suggestion(text, values)}`);
}

function duration(text: string): number | undefined {
  const [, number, unit] = /^(\d{1,9})(ns|us|ms|s)$/.exec(text) ?? [];
  return unit === undefined ? undefined : Number(number) * (UNITS[unit] as number);
}

function whenOf(name: string, { occasion }: FaultRow, text: string | undefined): When {
  if (text === undefined) return { kind: 'usual' };
  if (text === 'boot' || text === 'reset') return { kind: text };
  const ns = duration(text);
  if (ns !== undefined) return { kind: 'after', ns };
  if (!/^[1-9]\d{0,8}$/.test(text)) {
    throw new UserError(`fault ${name}: after @ comes boot, reset, a time such as 20ms, or a number, not "${text}"`);
  }
  if (occasion === 'time') {
    throw new UserError(`fault ${name} waits for nothing that could be counted: after @ comes boot, reset or a time`);
  }
  return { kind: 'occasion', n: Number(text) };
}
