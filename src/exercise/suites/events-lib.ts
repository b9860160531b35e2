/** What suites need to be told of events of a card. */

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { events as eventRows } from '../../../specs/gaudi/events.ts';
import type { Device } from '../../runtime/device.ts';
import type { EventNotifier } from '../../runtime/events.ts';
import { notifierEvents } from '../../uapi/habanalabs/info-results.ts';
import { values } from '../../uapi/rows.ts';
import type { TestContext } from '../suite.ts';

export const EVENT = values(notifierEvents);
/** All that is told of a transfer or a kernel that finds no page, by the event of the engine and that of the MMU (gaudi.c, gaudi_handle_eqe). */
export const FAULT =
  EVENT.HL_NOTIFIER_EVENT_PAGE_FAULT |
  EVENT.HL_NOTIFIER_EVENT_RAZWI |
  EVENT.HL_NOTIFIER_EVENT_USER_ENGINE_ERR |
  EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET;
/** Nanoseconds of the driver's clock in which what is waited for comes. */
const MINUTE = 60e9;
/** ns between two questions. */
const LONGEST_PAUSE = 50e6;

/** Waits until all of these events have been told of. @returns all that were meanwhile @throws AssertionError after a minute */
export async function told(t: TestContext, events: EventNotifier, bits: number): Promise<number> {
  const end = t.target.driver.now() + MINUTE;
  let seen = 0;
  while ((seen & bits) !== bits) {
    t.signal.throwIfAborted();
    assert.ok(
      t.target.driver.now() < end,
      `events 0x${bits.toString(16)} have not come within a minute, only 0x${seen.toString(16)}`,
    );
    seen |= Number(await events.next({ timeout: 100, signal: t.signal }));
    await setImmediate();
  }
  return seen;
}

/** Waits until an event has been counted more often than before, or a minute is over. @returns how much more often */
export async function counted(
  t: TestContext,
  device: Device,
  name: string,
  before: Uint32Array,
  least = 1,
): Promise<number> {
  const { id } = eventRows.find((event) => event.name === name) as (typeof eventRows)[number];
  // what takes seconds is not asked for a thousand times: where time is virtual that would be all that a test does
  let pause = 1_000_000;
  for (const end = t.target.driver.now() + MINUTE; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    const more = (device.info.hwEventsAggregate()[id] ?? 0) - (before[id] ?? 0);
    if (more >= least || t.target.driver.now() >= end) return more;
    t.signal.throwIfAborted();
    t.target.driver.sleep(pause);
    await setImmediate();
  }
}
