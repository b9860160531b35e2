/** Kernels of the repository run against references in binary64. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { cutIndexSpace } from '../../src/tpc/index-space.ts';
import type { LatencyMode } from '../../src/tpc/pipeline.ts';
import { fillElements, readElement } from '../../src/tpc/run/elements.ts';
import { bindShapes, indexSpaceOf, type KernelInterface } from '../../src/tpc/run/interface.ts';
import { type KernelProgram, loadProgram } from '../../src/tpc/run/program.ts';
import { Stand } from '../../src/tpc/run/stand.ts';
import type { TensorType } from '../../src/tpc/tensor.ts';

export const KERNELS = path.join(import.meta.dirname, '../../kernels');

const programs = new Map<string, KernelProgram>();

export function program(name: string): KernelProgram & { readonly interface: KernelInterface } {
  let found = programs.get(name);
  if (!found) {
    found = loadProgram(readFileSync(path.join(KERNELS, `${name}.tpc`)), `${name}.tpc`);
    programs.set(name, found);
  }
  assert.ok(found.interface, `${name} says nothing of its tensors`);
  return found as KernelProgram & { readonly interface: KernelInterface };
}

export interface Input {
  readonly type: TensorType;
  readonly sizes: readonly number[];
  readonly value: (n: number) => number;
}

export interface Result {
  /** Elements of a tensor, inputs as they were rounded to their type. */
  values(name: string): number[];
  bytes(name: string): Uint8Array;
  readonly stand: Stand;
}

export interface RunOptions {
  readonly scalars?: readonly number[];
  readonly cores?: number;
  readonly compile?: boolean;
  readonly latency?: LatencyMode;
  /** Outputs that do not follow from the inputs, or are of another size. */
  readonly outputs?: Readonly<Record<string, { readonly type: TensorType; readonly sizes: readonly number[] }>>;
}

export function runKernel(name: string, inputs: Readonly<Record<string, Input>>, options: RunOptions = {}): Result {
  const kernel = program(name);
  const given = new Map<string, { type: TensorType; sizes: readonly number[] } | undefined>(Object.entries(inputs));
  for (const { name: tensor, output } of kernel.interface.tensors) {
    if (output) given.set(tensor, options.outputs?.[tensor]);
  }
  const shapes = bindShapes(kernel.interface, given);
  const tensors = [...shapes].map(([tensor, shape]) => ({ name: tensor, ...shape, padding: 0 }));
  const stand = new Stand({
    program: kernel,
    tensors,
    scalars: options.scalars ?? [],
    compile: options.compile ?? false,
    latency: options.latency ?? 'exposed',
  });
  const numberOf = (tensor: string) => tensors.findIndex((each) => each.name === tensor);
  const count = (tensor: string) => shapes.get(tensor)?.sizes.reduce((product, size) => product * size, 1) ?? 0;
  for (const [tensor, { type, value }] of Object.entries(inputs)) {
    fillElements(stand.elements[numberOf(tensor)] as Uint8Array, type, count(tensor), value);
  }
  for (const part of cutIndexSpace(indexSpaceOf(kernel.interface, shapes), options.cores ?? 1)) {
    stand.start(part);
    stand.finish(10_000_000);
  }
  const bytes = (tensor: string) => stand.elements[numberOf(tensor)] as Uint8Array;
  return {
    stand,
    bytes,
    values: (tensor) =>
      Array.from({ length: count(tensor) }, (_, n) =>
        readElement(bytes(tensor), shapes.get(tensor)?.type as TensorType, n),
      ),
  };
}

const MIN_NORMAL = 2 ** -126;

/** A denormal operand or result counts as zero (TPC-C Language Specification). */
export function flush(x: number): number {
  return Math.abs(x) < MIN_NORMAL ? (Object.is(x, -0) || x < 0 ? -0 : 0) : x;
}

/** Numbers that meet every rule: signs, zeros, denormals, infinities, NaN, large and small. */
export function awkward(n: number): number {
  const special = [0, -0, 1e-40, -1e-40, Infinity, -Infinity, Number.NaN, 3.4e38, -3.4e38, 1.2e-38, 1, -1];
  return n % 5 === 0 ? (special[(n / 5) % special.length] as number) : ordinary(n);
}

/** Between -4 and 4, different for each n. */
export function ordinary(n: number): number {
  return ((((n + 1) * 2654435761) % 4294967296) / 4294967296) * 8 - 4;
}

export function equal(got: readonly number[], want: readonly number[], what: string): void {
  assert.equal(got.length, want.length, what);
  got.forEach((value, n) => {
    if (!Object.is(value, want[n])) assert.fail(`${what}: element ${n} is ${value}, not ${want[n]}`);
  });
}

/** Relative to the value, or absolute where that is smaller. */
export function close(
  got: readonly number[],
  want: readonly number[],
  tolerance: { readonly relative: number; readonly absolute: number },
  what: string,
): void {
  assert.equal(got.length, want.length, what);
  got.forEach((value, n) => {
    const wanted = want[n] as number;
    if (Object.is(value, wanted)) return;
    const limit = Math.max(tolerance.relative * Math.abs(wanted), tolerance.absolute);
    if (!(Math.abs(value - wanted) <= limit)) assert.fail(`${what}: element ${n} is ${value}, not ${wanted}`);
  });
}
