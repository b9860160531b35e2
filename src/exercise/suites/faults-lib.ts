/** What the suite of faults shares: bringing one about, and what it leaves. */

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import type { ControlDevice, Device } from '../../runtime/device.ts';
import type { FaultPort, TestContext } from '../suite.ts';
import { asNew, control, KILLING, LATE_EVENT, REQUESTED, recovered, resets, writeHardReset } from './reset-lib.ts';

/** What any event of the hardware makes the driver say. */
export const INTERRUPT = /Received H\/W interrupt \d+ \["/;
/** Of what somebody waits for. */
const ABORTED = /has been aborted while user process is waiting/;
/** What a reset may add: what had not ended, and engines that were not idle. */
export const RESETTING: readonly RegExp[] = [
  KILLING,
  LATE_EVENT,
  /device is not idle/,
  /User process closed FD/,
  ABORTED,
];
/** Details of packets that were not answered, and of what is sent in vain afterwards. */
export const UNANSWERED: readonly RegExp[] = [
  /Device CPU packet timeout/,
  /Pkt info\[\d+\]/,
  /failed to send device activity msg/,
  /failed to unmask/i,
  /Failed to disable FW's PCI access/,
];

const MINUTE = 60e9;

/** @throws Error where the target cannot bring faults about */
export function faultsOf(t: TestContext): FaultPort {
  const { faults } = t.target;
  if (!faults) throw new Error('this target cannot bring faults about');
  return faults;
}

/** Lines of events that a test may make the driver log where it does not wait for room itself. */
const LINES = 3;

/** Runs `body` with faults that can be brought about, and ends those that are left. */
export async function withFaults(t: TestContext, body: (faults: FaultPort) => Promise<void>): Promise<void> {
  const faults = faultsOf(t);
  await roomFor(t, LINES);
  await faults.happened();
  try {
    await body(faults);
  } finally {
    await faults.clear();
  }
}

/** Waits until a fault has happened as often. @throws AssertionError after a minute of the driver's time */
export async function happened(t: TestContext, faults: FaultPort, text: string, times = 1): Promise<void> {
  let count = 0;
  for (const end = t.target.driver.now() + MINUTE; count < times; ) {
    t.signal.throwIfAborted();
    count += (await faults.happened()).filter((one) => one === text).length;
    if (count >= times) break;
    assert.ok(t.target.driver.now() < end, `${text} has happened ${count} times in a minute`);
    t.target.driver.sleep(1_000_000);
    await setImmediate();
  }
}

/** Waits until the driver has logged a line for each pattern; what it logs besides has to be expected by the test. */
export async function logged(t: TestContext, ...patterns: readonly RegExp[]): Promise<void> {
  t.expectMessages(...patterns);
  const left = new Set(patterns);
  const unexpected: string[] = [];
  for (const end = t.target.driver.now() + MINUTE; left.size > 0; ) {
    t.signal.throwIfAborted();
    for (const { text } of t.target.messages()) {
      if (INTERRUPT.test(text)) said.push(t.target.driver.now());
      const found = patterns.filter((pattern) => pattern.test(text));
      for (const pattern of found) left.delete(pattern);
      if (found.length === 0) unexpected.push(text);
    }
    assert.ok(
      left.size === 0 || t.target.driver.now() < end,
      `the driver has not logged ${[...left].join(' and ')}, but:\n  ${unexpected.join('\n  ')}`,
    );
    t.target.driver.sleep(1_000_000);
    await setImmediate();
  }
}

/**
 * The kernel holds back what the driver says of an event more often than ten times in five seconds
 * (include/linux/ratelimit_types.h), and what is not said cannot be waited for; some of the ten are for lines that no test
 * has waited for.
 */
const BURST = 8;
const INTERVAL = 5e9;
/** When such lines were seen, by the driver's clock; of the last tests too. */
let said: number[] = [];

/** Waits until the driver may say so many lines about events. */
export async function roomFor(t: TestContext, lines: number): Promise<void> {
  const { driver } = t.target;
  for (;;) {
    const now = driver.now();
    // the clock of another machine may be behind
    said = said.filter((time) => time <= now && now - time < INTERVAL);
    if (said.length + lines <= BURST) return;
    t.signal.throwIfAborted();
    driver.sleep(20_000_000);
    await setImmediate();
  }
}

/** Waits for a state of the card. */
export async function inState(t: TestContext, node: ControlDevice, wanted: string): Promise<void> {
  while (node.info.status() !== wanted) {
    t.signal.throwIfAborted();
    t.target.driver.sleep(20_000_000);
    await setImmediate();
  }
}

/** Runs `body` with a card that it may leave in any state: the card is reset afterwards, and works. */
export async function repaired(t: TestContext, body: (device: Device) => Promise<void>): Promise<void> {
  const device = t.open(0);
  try {
    await body(device);
  } finally {
    await renew(t, device);
  }
}

/** Closes the card, has it reset, and sees that it works. */
export async function renew(t: TestContext, device?: Device): Promise<void> {
  t.expectMessages(REQUESTED, ...RESETTING);
  const node = control(t);
  const before = resets(node);
  device?.close();
  writeHardReset(t, '1');
  await recovered(t, node, before);
  await asNew(t);
}
