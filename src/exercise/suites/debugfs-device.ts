/** What root changes of a card and of its limits of time, in debugfs. */

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { EFD_NONBLOCK, O_RDWR } from '../../driver/driver.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { Device } from '../../runtime/device.ts';
import type { Declare, TestContext } from '../suite.ts';
import { debugFile, debugText, setDebug, writeDebug } from './debugfs-lib.ts';
import { EVENT, told } from './events-lib.ts';
import { RESETTING, UNANSWERED } from './faults-lib.ts';
import { assertErrno } from './lib.ts';
import { asNew, control, KILLING, REQUESTED, recovered, resets, SLOW, writeHardReset } from './reset-lib.ts';
import { release } from './sync-lib.ts';
import { another } from './threads-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
const TOO_LONG = /Command submission \d+ has not finished in 1 seconds!/;

/** Sets how long work may take that does not say so itself. */
function limitTime(t: TestContext, seconds: number): void {
  writeDebug(t, 'timeout_locked', seconds);
  t.use({ [Symbol.dispose]: () => writeDebug(t, 'timeout_locked', 600) });
}

export function debugDevice(test: Declare): void {
  test('work may take as long as root says, and the card is not reset if root says so', async (t) => {
    t.expectMessages(TOO_LONG, /Command submission \d+ completed after \d+ \(s\)/);
    assert.equal(debugText(t, 'timeout_locked'), '600\n\0');
    for (const text of ['x', '-1', '0x10']) assertErrno('EINVAL', () => writeDebug(t, 'timeout_locked', text));
    const node = control(t);
    const before = resets(node);
    const { device } = t;
    limitTime(t, 1);
    assert.equal(debugText(t, 'timeout_locked'), '1\n\0');
    using _ = setDebug(t, 'skip_reset_on_timeout', '1');
    const events = device.notifyEvents();
    const work = device.submit({ queue: DOWN, stream: new CommandStream().fence(0) });
    // not before it has been told of: the driver is at it until then (docs/findings/0013)
    await told(t, events, EVENT.HL_NOTIFIER_EVENT_CS_TIMEOUT);
    assert.equal(device.info.csTimeoutEvent().seq, work.sequence);
    await release(t, DOWN, UP);
    await device.wait(work, { signal: t.signal });
    events[Symbol.dispose]();
    assert.equal(resets(node), before);
  });

  test(
    'work that takes longer than root says has the card reset',
    async (t) => {
      t.expectMessages(TOO_LONG, KILLING, /CS \d+ has timed-out/, ...RESETTING);
      const node = control(t);
      const before = resets(node);
      limitTime(t, 1);
      const device = t.open(0);
      const work = device.submit({ queue: DOWN, stream: new CommandStream().fence(0) });
      assertErrno('ETIMEDOUT', () => device.waitSync(work, 20_000));
      device.close();
      assert.equal(await recovered(t, node, before), before + 1);
      assert.equal(debugText(t, 'timeout_locked'), '1\n\0', 'it outlives the reset');
      await asNew(t);
    },
    SLOW,
  );

  test(
    'who listens for events has as long to give the card back as root says',
    async (t) => {
      t.expectMessages(/Command submission \d+ has not finished/, KILLING, /Killing user process/, ...RESETTING);
      const { driver } = t.target;
      const node = control(t);
      const before = resets(node);
      using _ = setDebug(t, 'device_release_watchdog_timeout', '2');
      const child = another(t);
      const theirs = Device.open({ driver: child, index: 0 });
      theirs.info.registerEventfd(child.eventfd(0, EFD_NONBLOCK));
      theirs.submit({ queue: UP, stream: new CommandStream().fence(0) }, { timeout: 1 });
      const begin = driver.now();
      assert.equal(await recovered(t, node, before), before + 1);
      // a second for the work, two to look, one to close, and the reset; without it half a minute
      assert.ok(driver.now() - begin > 3e9);
      assert.ok(driver.now() - begin < 25e9, `${(driver.now() - begin) / 1e9} s`);
      assert.equal(child.alive, false);
      await asNew(t);
    },
    SLOW,
  );

  test('a card that root has put out of order cannot be opened until root puts it in order', async (t) => {
    const node = control(t);
    const before = resets(node);
    const [card] = t.target.driver.accelerators();
    writeDebug(t, 'device', 'disable');
    try {
      assert.equal(node.info.status(), 'MALFUNCTION');
      assertErrno('EPERM', () => t.target.driver.open(card?.path ?? '', O_RDWR));
      assertErrno('EPERM', () => t.target.driver.open(card?.controlPath ?? '', O_RDWR));
    } finally {
      writeDebug(t, 'device', 'enable\n');
    }
    assert.equal(node.info.status(), 'OPERATIONAL');
    assert.equal(resets(node), before);
    await asNew(t);
  });

  test('what is no word for a card is refused', (t) => {
    t.expectMessages(/Valid values: disable, enable, suspend, resume, cpu_timeout/);
    assert.equal(debugText(t, 'device'), 'Valid values: disable, enable, suspend, resume, cpu_timeout\n');
    for (const text of ['Disable', ' disable', 'off', 'x'.repeat(100)])
      assertErrno('EINVAL', () => writeDebug(t, 'device', text));
    assert.equal(control(t).info.status(), 'OPERATIONAL');
  });

  test(
    'a card whose firmware root has put out of order is asked nothing, and is reset when its heart does not beat',
    async (t) => {
      t.expectMessages(...UNANSWERED, ...RESETTING, /heartbeat failed/, /Failed (to|sending)/, /expected status/);
      const node = control(t);
      const before = resets(node);
      writeDebug(t, 'device', 'cpu_timeout');
      const device = t.open(0);
      try {
        assertErrno('EAGAIN', () => device.info.clockRate());
      } finally {
        device.close();
      }
      // up to ten seconds
      while (node.info.status() === 'OPERATIONAL') {
        t.signal.throwIfAborted();
        t.target.driver.sleep(500_000_000);
        await setImmediate();
      }
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );

  test(
    'a card that is suspended and resumed works after a reset',
    async (t) => {
      t.expectMessages(...UNANSWERED, ...RESETTING, REQUESTED, /Failed to/);
      const node = control(t);
      const before = resets(node);
      writeDebug(t, 'device', 'suspend');
      writeDebug(t, 'device', 'resume');
      writeHardReset(t, '1');
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );

  test(
    'during a reset nothing is read or written',
    async (t) => {
      t.expectMessages(
        /Can't .* during reset/,
        /Can't scrub memory, device is not operational/,
        ...RESETTING,
        REQUESTED,
        /Failed to/,
      );
      const node = control(t);
      const before = resets(node);
      const { driver } = t.target;
      writeHardReset(t, '1');
      for (const name of ['data32', 'data64', 'engines']) assert.equal(debugText(t, name), '', name);
      const taken = (name: string, text: string) => {
        const fd = driver.open(debugFile(t, name), O_RDWR);
        try {
          return driver.write(fd, new TextEncoder().encode(text));
        } finally {
          driver.close(fd);
        }
      };
      for (const name of ['data32', 'data64', 'dma_size', 'monitor_dump_trig']) assert.equal(taken(name, '1'), 0, name);
      assertErrno('EIO', () => writeDebug(t, 'memory_scrub', '1'));
      assertErrno('EBUSY', () => debugText(t, 'i2c_data'));
      assertErrno('EBUSY', () => writeDebug(t, 'i2c_data', '1'));
      writeDebug(t, 'led0', '1');
      await recovered(t, node, before);
      await asNew(t);
    },
    SLOW,
  );
}
