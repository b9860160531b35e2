/** What the suite of tensor cores shares: programs, tensors in memory of the host, comparing numbers. */

import assert from 'node:assert/strict';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Device } from '../../runtime/device.ts';
import { Kernel } from '../../runtime/kernel.ts';
import type { DeviceMemory, HostMemory } from '../../runtime/memory.ts';
import { Tensor, type TensorOptions, tensorBytes } from '../../runtime/tensor.ts';
import type { TestContext } from '../suite.ts';
import { assembled } from '../tpc-programs.ts';
import { run } from './lib.ts';

export const DOWN = 'DMA_0_0';
export const UP = 'DMA_1_0';

let programs: ReturnType<typeof assembled> | undefined;

/** One of kernels/, or of tpc-programs.ts. */
export function kernel(name: string): Kernel {
  programs ??= assembled();
  const found = programs[name];
  if (!found) throw new Error(`no program ${name}`);
  return new Kernel(found.code, { name, tables: found.tables });
}

/** A tensor in host memory, without gaps. */
export interface HostTensor {
  readonly memory: HostMemory;
  readonly tensor: Tensor;
}

export function hostTensor(t: TestContext, options: TensorOptions, device: Device = t.device): HostTensor {
  const memory = device.allocHost(tensorBytes(options.type, options.shape));
  return { memory, tensor: new Tensor(memory, options) };
}

/** A tensor of f32 in host memory, with these elements. */
export function floats(t: TestContext, shape: readonly number[], element: (n: number) => number): HostTensor {
  const made = hostTensor(t, { type: 'f32', shape });
  const { floats: to } = made.memory;
  for (let n = 0; n < made.tensor.elements; n++) to[n] = element(n);
  return made;
}

/** Numbers between -62.5 and 62.5 that f32 and bf16 hold exactly. */
export function small(t: TestContext): number {
  return (t.random.below(251) - 125) / 2;
}

/** Copies what is in host memory into memory of the device. */
export async function toDevice(t: TestContext, memory: DeviceMemory, host: HostMemory): Promise<void> {
  await run(t, DOWN, new CommandStream().dma(memory, host, host.size));
}

export async function fromDevice(t: TestContext, host: HostMemory, memory: DeviceMemory): Promise<void> {
  await run(t, UP, new CommandStream().dma(host, memory, host.size));
}

/**
 * @param tolerance relative; 0: every bit but that of NaN
 * @throws AssertionError that names the first element that differs
 */
export function assertNumbers(
  actual: ArrayLike<number>,
  count: number,
  expected: (n: number) => number,
  tolerance = 0,
): void {
  for (let n = 0; n < count; n++) {
    const [got, want] = [actual[n] as number, expected(n)];
    const near = tolerance > 0 && Math.abs(got - want) <= Math.abs(want) * tolerance;
    if (!near && !Object.is(got, want)) assert.fail(`element ${n} of ${count} is ${got}, expected ${want}`);
  }
}

/** How many members of `step` elements cover `count`. */
export function members(count: number, step: number): number {
  return Math.ceil(count / step);
}
