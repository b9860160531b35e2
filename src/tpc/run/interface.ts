/**
 * What a kernel says of itself in section `.interface`, in lines of text:
 *
 *     in NAME TYPE SIZE...      a tensor that it reads; tensors are numbered in the order of their lines
 *     out NAME TYPE SIZE...     a tensor that it writes
 *     scalar NAME TYPE          a parameter: S0, S1, ... in their order
 *     index NAME STEP...        members of its index space: elements of tensor NAME, by dimension
 *     tables                    it looks up function tables
 *
 * SIZE is a number or a name, which means the same number wherever it is, or `*` for all dimensions that are left, the same
 * wherever it is. TYPE is a data type, or `T`, the same wherever it is. STEP is a number of elements, of bytes along
 * dimension 0 with a `b` (`1024b`), or `-` for all of them in one member.
 */

import { suggestion } from '../../isa/diagnostics.ts';
import { UserError } from '../../sim/errors.ts';
import { elementBytes, type TensorType, tensorTypes } from '../tensor.ts';

export interface TensorParameter {
  readonly name: string;
  readonly output: boolean;
  /** Undefined: any, the same for all. */
  readonly type: TensorType | undefined;
  /** From dimension 0 on; a number, a name, or `*`. */
  readonly sizes: readonly (number | string)[];
}

export interface ScalarParameter {
  readonly name: string;
  readonly type: 'f32' | 'i32';
}

export interface KernelInterface {
  readonly tensors: readonly TensorParameter[];
  readonly scalars: readonly ScalarParameter[];
  readonly index: { readonly tensor: string; readonly steps: readonly string[] } | undefined;
  readonly tables: boolean;
}

export interface Shape {
  readonly type: TensorType;
  readonly sizes: readonly number[];
}

export const INTERFACE_SECTION = '.interface';

/** @throws UserError for a line that means nothing */
export function parseInterface(text: string): KernelInterface {
  const tensors: TensorParameter[] = [];
  const scalars: ScalarParameter[] = [];
  let index: KernelInterface['index'];
  let tables = false;
  for (const line of text.split('\n')) {
    const [word, name, ...rest] = line.trim().split(/\s+/);
    if (word === '' || word === undefined) continue;
    const broken = new UserError(`section ${INTERFACE_SECTION}: "${line.slice(0, 80)}" means nothing`);
    if (word === 'tables') tables = true;
    else if (name === undefined) throw broken;
    else if (word === 'in' || word === 'out') {
      const [type, ...sizes] = rest;
      if (type !== 'T' && !isType(type)) throw broken;
      if (sizes.length === 0 || sizes.some((size) => !/^(\d+|[a-z]\w*|\*)$/.test(size))) throw broken;
      tensors.push({
        name,
        output: word === 'out',
        type: type === 'T' ? undefined : type,
        sizes: sizes.map((size) => (/^\d/.test(size) ? Number(size) : size)),
      });
    } else if (word === 'scalar') {
      const [type] = rest;
      if (type !== 'f32' && type !== 'i32') throw broken;
      scalars.push({ name, type });
    } else if (word === 'index') {
      if (rest.some((step) => !/^([1-9]\d*b?|-)$/.test(step))) throw broken;
      index = { tensor: name, steps: rest };
    } else throw broken;
  }
  if (index && !tensors.some((each) => each.name === index?.tensor)) {
    throw new UserError(
      `section ${INTERFACE_SECTION}: the index space is that of "${index.tensor}", which is no tensor`,
    );
  }
  return { tensors, scalars, index, tables };
}

function isType(name: string | undefined): name is TensorType {
  return (tensorTypes as readonly (string | undefined)[]).includes(name);
}

/**
 * Checks the shapes that are given against the kernel's, and finds those of outputs that are not.
 *
 * @param given by name of the parameter; undefined, or no entry, for an output whose shape follows from the others
 * @throws UserError for a tensor that is missing or does not fit
 */
export function bindShapes(
  kernel: KernelInterface,
  given: ReadonlyMap<string, Shape | undefined>,
): ReadonlyMap<string, Shape> {
  const names = kernel.tensors.map((each) => each.name);
  for (const name of given.keys()) {
    if (!names.includes(name)) {
      throw new UserError(`the kernel has no tensor "${name}"${suggestion(name, names)} (it has ${names.join(', ')})`);
    }
  }
  const known = new Map<string, { readonly size: number; readonly by: string }>();
  let rest: { readonly sizes: readonly number[]; readonly by: string } | undefined;
  let common: { readonly type: TensorType; readonly by: string } | undefined;
  for (const { name, output, type, sizes } of kernel.tensors) {
    const shape = given.get(name);
    if (!shape) {
      if (output) continue;
      throw new UserError(`tensor ${name} is missing: --in ${name}=${type ?? 'TYPE'}[${sizes.join(',')}]`);
    }
    const mine = `${name} is ${shape.type}[${shape.sizes.join(',')}]`;
    if (type !== undefined && shape.type !== type) throw new UserError(`${mine}, and the kernel's is ${type}`);
    if (type === undefined) {
      if (common && common.type !== shape.type) throw new UserError(`${mine}, and ${common.by} of another type`);
      common ??= { type: shape.type, by: name };
    }
    const fixed = sizes.filter((size) => size !== '*').length;
    const open = sizes.includes('*');
    if (open ? shape.sizes.length < fixed : shape.sizes.length > fixed) {
      throw new UserError(`${mine}, and the kernel's has ${fixed} dimensions${open ? ' or more' : ''}`);
    }
    sizes.forEach((size, d) => {
      if (size === '*') {
        const mine2 = trimmed(shape.sizes.slice(d));
        if (rest && !same(rest.sizes, mine2)) {
          throw new UserError(`${mine}, which does not fit ${rest.by}: the kernel wants the same sizes`);
        }
        rest ??= { sizes: mine2, by: `${name}, ${shape.type}[${shape.sizes.join(',')}]` };
        return;
      }
      const actual = shape.sizes[d] ?? 1;
      const wanted = typeof size === 'number' ? { size, by: 'the kernel' } : known.get(size);
      if (wanted && wanted.size !== actual) {
        throw new UserError(`${mine}: dimension ${d} is ${actual}, and ${wanted.by} wants ${wanted.size}`);
      }
      if (typeof size === 'string' && !wanted) known.set(size, { size: actual, by: name });
    });
  }
  const bound = new Map<string, Shape>();
  for (const { name, type, sizes } of kernel.tensors) {
    const shape = given.get(name) ?? {
      type: type ?? common?.type ?? 'f32',
      sizes: sizes.flatMap((size) => {
        if (size === '*') return rest?.sizes ?? [];
        const found = typeof size === 'number' ? size : known.get(size)?.size;
        if (found === undefined) throw new UserError(`the sizes of ${name} do not follow from the others: tell them`);
        return found;
      }),
    };
    bound.set(name, shape.sizes.length === 0 ? { ...shape, sizes: [1] } : shape);
  }
  return bound;
}

/** Sizes without dimensions of 1 at the end: they say nothing. */
function trimmed(sizes: readonly number[]): readonly number[] {
  let length = sizes.length;
  while (length > 0 && sizes[length - 1] === 1) length--;
  return sizes.slice(0, length);
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, n) => size === b[n]);
}

/** The index space of a kernel for its shapes: members of each dimension, five of them. */
export function indexSpaceOf(kernel: KernelInterface, shapes: ReadonlyMap<string, Shape>): readonly number[] {
  const { index } = kernel;
  const shape = index && shapes.get(index.tensor);
  if (!index || !shape) return [1, 1, 1, 1, 1];
  return Array.from({ length: 5 }, (_, d) => {
    const step = index.steps[d] ?? '-';
    if (step === '-') return 1;
    const elements = step.endsWith('b') ? Number.parseInt(step, 10) / elementBytes[shape.type] : Number(step);
    if (!Number.isInteger(elements)) {
      throw new UserError(
        `a member of the index space is ${step}, and ${shape.type} has ${elementBytes[shape.type]} bytes`,
      );
    }
    return Math.ceil((shape.sizes[d] ?? 1) / elements);
  });
}
