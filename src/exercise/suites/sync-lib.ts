/** What suites need to hold queues, to let them go, and to look into sync objects. */

import assert from 'node:assert/strict';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Device } from '../../runtime/device.ts';
import type { Queue } from '../../runtime/submission.ts';
import { fenceAddress, type Monitor, type SyncObject } from '../../runtime/sync.ts';
import { type QueueName, queueNames, queueRow } from '../../uapi/habanalabs/gaudi.ts';
import type { TestContext } from '../suite.ts';
import { KiB, run } from './lib.ts';

/** The queues that take command buffers of the driver: four streams of DMA0 and four of DMA1. */
export const externalQueues: readonly QueueName[] = queueNames.filter((name) => queueRow(name).kind === 'external');

/** Packets that hold `queue`, the one they are submitted to, until `objects` have all reached `value`. */
export function hold(
  queue: QueueName,
  monitor: Monitor,
  objects: readonly SyncObject[],
  value: number,
  options: { readonly equal?: boolean; readonly id?: number; readonly lower?: boolean } = {},
): CommandStream {
  const { equal = false, id = 0, lower = false } = options;
  return new CommandStream()
    .arm(monitor, { objects, value, equal, write: { place: fenceAddress(queue, id, lower), data: 1 } })
    .fence(id);
}

/** Adds to a fence counter of `held`, from another queue. */
export async function release(t: TestContext, held: QueueName, by: Queue, count = 1, id = 0): Promise<void> {
  await run(t, by, new CommandStream().write(fenceAddress(held, id), count));
}

/**
 * Looks whether all of `objects` are at least (or exactly) `value` now: a monitor armed on them says so. A second monitor,
 * whose condition holds in any case, writes after it and so tells that the first had its turn. Uses queue DMA_1_3.
 */
export async function meets(
  t: TestContext,
  objects: readonly SyncObject[],
  value: number,
  equal = false,
  device: Device = t.device,
): Promise<boolean> {
  const by = 'DMA_1_3';
  const first = objects[0] as SyncObject;
  const manager = device.sync(first.dcore);
  using asked = manager.monitor();
  using witness = manager.monitor();
  using mark = device.sram.allocate(8);
  using answer = device.allocHost(4 * KiB);
  const stream = new CommandStream()
    .memset(mark, 0n, 8)
    .arm(asked, { objects, value, equal, write: { place: mark, data: 1 } })
    .raw(hold(by, witness, [first], 0, { id: 3 }).bytes)
    .dma(answer, mark, 4)
    // one that has not fired would do so some day
    .arm(asked, { objects: [first], value: 0, write: { place: mark, data: 2 } });
  await run(t, by, stream, device);
  return answer.words[0] === 1;
}

/** The value of a sync object, which can only be compared: 15 questions. */
async function readValue(t: TestContext, object: SyncObject, device: Device): Promise<number> {
  let value = 0;
  for (let bit = 0x4000; bit > 0; bit >>= 1) if (await meets(t, [object], value | bit, false, device)) value |= bit;
  return value;
}

/** @throws AssertionError with the value that the sync object has */
export async function assertValue(
  t: TestContext,
  object: SyncObject,
  expected: number,
  when = '',
  device: Device = t.device,
): Promise<void> {
  if (await meets(t, [object], expected, true, device)) return;
  const value = await readValue(t, object, device);
  assert.fail(`sync object ${object.dcore} ${object.index} is ${value}, expected ${expected} ${when}`.trimEnd());
}
