/** What suites need to have a card reset, to wait for its end, and to see that it is as new. */

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { O_WRONLY } from '../../driver/driver.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { ControlDevice } from '../../runtime/device.ts';
import type { TestContext, TestOptions } from '../suite.ts';
import { assertSame, fill, KiB, run } from './lib.ts';
import { assertValue } from './sync-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
/** A reset takes at least 2.2 s: the driver sleeps so long (gaudi.c, gaudi_hw_fini). */
export const SLOW: TestOptions = { timeout: 300 };

export const REQUESTED = /Hard-Reset requested through sysfs/;
export const KILLING = /Killing CS/;
/** A fault is told of by more events than one; a reset that begins before the driver has taken the last (irq.c, hl_irq_handler_eq). */
export const LATE_EVENT = /Device disabled but received an EQ event/;

/** The control node of the first card. */
export function control(t: TestContext): ControlDevice {
  return t.use(ControlDevice.open({ driver: t.target.driver, index: 0 }));
}

/** Writes to the attribute of the PCI device that asks for a reset. */
export function writeHardReset(t: TestContext, text: string): void {
  const { driver } = t.target;
  const fd = driver.open(`/sys/bus/pci/devices/${driver.accelerators()[0]?.pciAddress}/hard_reset`, O_WRONLY);
  try {
    driver.write(fd, new TextEncoder().encode(text));
  } finally {
    driver.close(fd);
  }
}

/**
 * Waits until the card has had a hard reset since there were `before`, and is operational again; how many there have been.
 * Who closed the card, or ended a process, cannot go by the status alone: the last reference may be a work queue's, that drops it
 * later and only then begins the reset (device.c, hpriv_release).
 */
export async function recovered(t: TestContext, node: ControlDevice, before: number): Promise<number> {
  while (resets(node) === before || node.info.status() !== 'OPERATIONAL') {
    t.signal.throwIfAborted();
    t.target.driver.sleep(20_000_000);
    await setImmediate();
  }
  return resets(node);
}

/** A new program finds the card as new: it moves data, its sync objects are zero, its engines idle. */
export async function asNew(t: TestContext): Promise<void> {
  using device = t.open(0);
  assert.deepEqual(device.info.idle().busy, []);
  for (const dcore of ['E_N', 'E_S', 'W_N', 'W_S'] as const) {
    using object = device.sync(dcore).syncObject();
    await assertValue(t, object, 0, 'after a reset', device);
  }
  const [source, result] = [device.allocHost(64 * KiB), device.allocHost(64 * KiB)];
  const dram = device.dram.allocate(64 * KiB);
  fill(source.bytes, t.random);
  await run(t, DOWN, new CommandStream().dma(dram, source, source.size), device);
  await run(t, UP, new CommandStream().dma(result, dram, result.size), device);
  assertSame(result.bytes, source.bytes, 'copied');
}

/** How many hard resets there have been. */
export function resets(node: ControlDevice): number {
  return node.info.resetCount().hard_reset_cnt;
}

/** Has a new program copy through the card, which was not reset. */
export async function untouched(t: TestContext, node: ControlDevice, before: number): Promise<void> {
  await asNew(t);
  assert.equal(node.info.resetCount().hard_reset_cnt, before, 'resets');
}
