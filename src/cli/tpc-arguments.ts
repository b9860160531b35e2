/** Tensors, scalars and index spaces as the options of `sagrada tpc` tell them. */

import { readFileSync } from 'node:fs';
import { UserError } from '../sim/errors.ts';
import { elementBits } from '../tpc/run/elements.ts';
import type { KernelInterface, Shape } from '../tpc/run/interface.ts';
import { type NpyArray, readNpy } from '../tpc/run/npy.ts';
import { elementBytes, type TensorType, tensorTypes } from '../tpc/tensor.ts';

/** An option --in or --out. */
export interface TensorArgument {
  readonly name: string;
  readonly output: boolean;
  /** Undefined: as the kernel says. */
  readonly shape: Shape | undefined;
  /** What its elements are at first; undefined: zeros. */
  readonly fill: ((n: number, type: TensorType) => number) | undefined;
  /** Value out of bounds. */
  readonly padding: number;
}

/** Most bytes of one tensor. */
const MAX_BYTES = 2 ** 31;

const SYNTAX = 'NAME=TYPE[SIZE,...]:FILL, e.g. x=f32[64,32]:random';

/** @throws UserError for what is no tensor */
export function parseTensor(text: string, output: boolean, seed: number): TensorArgument {
  const match = /^([A-Za-z_]\w*)(?:=(.+))?$/.exec(text);
  const name = match?.[1];
  if (name === undefined) throw new UserError(`"${text}" is no tensor: ${SYNTAX}`);
  const rest = match?.[2];
  if (rest === undefined) {
    if (!output) throw new UserError(`"${text}" does not tell what ${name} is: ${SYNTAX}`);
    return { name, output, shape: undefined, fill: undefined, padding: 0 };
  }
  const typed = /^(\w+)\[([^\]]*)\](?::(.*))?$/.exec(rest);
  if (!typed) {
    if (!rest.endsWith('.npy')) throw new UserError(`"${text}" is no tensor: ${SYNTAX}, or NAME=FILE.npy`);
    const array = load(rest);
    const shape = checked({ type: array.type, sizes: array.sizes }, text);
    return { name, output, shape, fill: array.value, padding: 0 };
  }
  const [, type = '', sizes = '', tail] = typed;
  if (!(tensorTypes as readonly string[]).includes(type)) {
    throw new UserError(`"${text}": there is no type "${type}" (there are ${tensorTypes.join(', ')})`);
  }
  const shape = checked({ type: type as TensorType, sizes: sizes.split(',').map(sizeOf(text)) }, text);
  const parts = tail === undefined ? [] : tail.split(':');
  const padding = parts.at(-1)?.startsWith('pad=') ? number(parts.pop() as string, 'pad=', text) : 0;
  if (parts.length > 1) throw new UserError(`"${text}" is no tensor: ${SYNTAX}`);
  const fill = parts[0] === undefined ? undefined : parseFill(parts[0], shape, seed, text);
  return { name, output, shape, fill, padding };
}

const sizeOf =
  (text: string) =>
  (size: string): number => {
    if (!/^[1-9]\d{0,9}$/.test(size.trim())) throw new UserError(`"${text}": "${size}" is no size of a dimension`);
    return Number(size);
  };

function checked(shape: Shape, text: string): Shape {
  if (shape.sizes.length > 5) throw new UserError(`"${text}" has ${shape.sizes.length} dimensions; there are five`);
  if (shape.sizes.some((size) => !(size > 0))) throw new UserError(`"${text}" has no elements`);
  const bytes = shape.sizes.reduce((product, size) => product * size, elementBytes[shape.type]);
  if (bytes > MAX_BYTES) throw new UserError(`"${text}" has ${bytes} bytes; at most ${MAX_BYTES} are run here`);
  return shape;
}

function number(word: string, prefix: string, text: string): number {
  const digits = word.slice(prefix.length);
  const value = digits === 'nan' ? Number.NaN : Number(digits.replace(/^(-?)inf$/, '$1Infinity'));
  if (digits === '' || (Number.isNaN(value) && digits !== 'nan'))
    throw new UserError(`"${text}": "${digits}" is no number`);
  return value;
}

const FILLS = 'random, random=LOW..HIGH, ramp, zeros, ones, a number, or FILE.npy';

function parseFill(word: string, shape: Shape, seed: number, text: string): NonNullable<TensorArgument['fill']> {
  const float = shape.type === 'f32' || shape.type === 'bf16';
  if (word === 'zeros') return () => 0;
  if (word === 'ones') return () => 1;
  if (word === 'ramp') return (n) => n;
  const range = /^random(?:=(-?[\d.]+(?:e[+-]?\d+)?)\.\.(-?[\d.]+(?:e[+-]?\d+)?))?$/.exec(word);
  if (range) {
    const low = range[1] === undefined ? (shape.type.startsWith('u') ? 0 : float ? -1 : -100) : Number(range[1]);
    const high = range[2] === undefined ? (float ? 1 : 100) : Number(range[2]);
    if (!(high >= low)) throw new UserError(`"${text}": from ${range[1]} to ${range[2]} there is nothing`);
    return (n) => {
      const value = low + (high - low) * uniform(seed, n);
      return float ? value : Math.floor(value);
    };
  }
  if (word.endsWith('.npy')) {
    const array = load(word);
    const [wanted, found] = [shape.sizes.join(','), array.sizes.join(',')];
    if (wanted !== found) {
      throw new UserError(`"${text}": ${word} has the sizes [${found}], dimension 0 first; NumPy names it last`);
    }
    return array.value;
  }
  try {
    const value = number(word, '', text);
    return () => value;
  } catch {
    throw new UserError(`"${text}": "${word}" fills nothing (${FILLS})`);
  }
}

function load(file: string): NpyArray {
  try {
    return readNpy(readFileSync(file), file);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`cannot read ${file}: ${(error as Error).message}`);
  }
}

/** A number from 0 to below 1 for each n: the same for the same seed (splitmix32). */
function uniform(seed: number, n: number): number {
  let z = (Math.imul(seed, 0x9e3779b9) + Math.imul(n + 1, 0x9e3779b9)) | 0;
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  return ((z ^ (z >>> 16)) >>> 0) / 2 ** 32;
}

/** The padding value of a tensor as its descriptor has it. */
export function paddingBits(argument: TensorArgument, type: TensorType): number {
  return elementBits(type, argument.padding);
}

/**
 * Scalars as words, S0 first. `NAME=VALUE` where the kernel names its scalars, else `Sn=VALUE`, or any names in their order.
 *
 * @throws UserError
 */
export function parseScalars(texts: readonly string[], kernel: KernelInterface | undefined): readonly number[] {
  const words: number[] = kernel ? kernel.scalars.map(() => 0) : [];
  const missing = new Set(kernel?.scalars.map((each) => each.name));
  texts.forEach((text, order) => {
    const [, name = '', digits = ''] = /^([A-Za-z_]\w*)=(\S+)$/.exec(text) ?? [];
    if (name === '') throw new UserError(`"${text}" is no scalar: NAME=NUMBER is expected`);
    const named = kernel?.scalars.findIndex((each) => each.name === name) ?? -1;
    const direct = /^S(\d+)$/i.exec(name)?.[1];
    if (named < 0 && direct === undefined && kernel) {
      const names = kernel.scalars.map((each) => each.name);
      throw new UserError(
        `the kernel has no scalar "${name}" (${names.length > 0 ? `it has ${names.join(', ')}` : 'it has none'})`,
      );
    }
    missing.delete(name);
    const place = named >= 0 ? named : direct === undefined ? order : Number(direct);
    if (place > 31) throw new UserError(`"${text}": scalars are S0 to S31`);
    const kind = named >= 0 ? kernel?.scalars[named]?.type : /^-?(0x[\da-f]+|\d+)$/i.test(digits) ? 'i32' : 'f32';
    const value = number(
      digits.replace(/f$/, (f) => (/^-?0x/i.test(digits) ? f : '')),
      '',
      text,
    );
    while (words.length <= place) words.push(0);
    if (kind !== 'f32' && !(Number.isInteger(value) && value >= -(2 ** 31) && value < 2 ** 32)) {
      throw new UserError(`"${text}": an integer of 32 bits is expected`);
    }
    words[place] = kind === 'f32' ? elementBits('f32', value) : value >>> 0;
  });
  const [first] = missing;
  if (first !== undefined) throw new UserError(`scalar ${first} is missing: --set ${first}=NUMBER`);
  return words;
}

/** `64x4`: members of each dimension. @throws UserError */
export function parseIndexSpace(text: string): readonly number[] {
  const sizes = text.split(/[x,]/);
  if (sizes.length > 5 || sizes.some((size) => !/^[1-9]\d{0,8}$/.test(size))) {
    throw new UserError(`"${text}" is no index space: up to five sizes, e.g. 64x4`);
  }
  return Array.from({ length: 5 }, (_, d) => Number(sizes[d] ?? 1));
}
