/** What goes wrong between the card and the host: interrupts, completions, reads, the link. */

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { type Accelerator, O_RDWR, O_WRONLY } from '../../driver/driver.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { Device } from '../../runtime/device.ts';
import { hl_info_fw_err_type } from '../../uapi/habanalabs/info-results.ts';
import type { Declare, TestContext } from '../suite.ts';
import { EVENT, told } from './events-lib.ts';
import { happened, INTERRUPT, inState, logged, RESETTING, UNANSWERED, withFaults } from './faults-lib.ts';
import { assertErrno, KiB, run } from './lib.ts';
import { asNew, control, REQUESTED, recovered, resets, SLOW, untouched, writeHardReset } from './reset-lib.ts';
import { another, beginWait, blocked, errnoOf, held, thread } from './threads-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
const TOO_LONG: readonly RegExp[] = [
  /Command submission \d+ has not finished in \d+ seconds!/,
  /has timed-out|has been aborted/,
  /wait_for_fence error/,
];

export function pciFaults(test: Declare): void {
  test('msi-lost: work whose interrupt is lost is done when the next comes', (t) =>
    withFaults(t, async (faults) => {
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      const host = device.allocHost(4 * KiB);
      await faults.inject('msi-lost');
      const first = device.submit({ queue: DOWN, stream: new CommandStream().memset(host, 7n, 8) });
      await happened(t, faults, 'msi-lost');
      // the work is done, but nobody knows
      while (host.words[0] !== 7) await moment(t);
      assert.equal(device.poll(first), undefined);
      await run(t, UP, new CommandStream().nop(), device);
      await device.wait(first, { signal: t.signal });
      device.close();
      await untouched(t, node, before);
    }));

  test(
    'msi-lost: work whose interrupt is lost, and after which none comes, runs into its time limit',
    (t) => withFaults(t, (faults) => timesOut(t, async () => faults.inject('msi-lost'), 'msi-lost')),
    SLOW,
  );

  test('msi-late: work is done when its interrupt comes', (t) =>
    withFaults(t, async (faults) => {
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      await faults.inject('msi-late:40ms');
      const begun = t.target.driver.now();
      await run(t, DOWN, new CommandStream().nop(), device);
      assert.ok(t.target.driver.now() - begun >= 40e6, 'it was not sent before');
      await happened(t, faults, 'msi-late:40ms');
      device.close();
      await untouched(t, node, before);
    }));

  test('msi-twice: the driver finds nothing new the second time', (t) =>
    withFaults(t, async (faults) => {
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      await faults.inject('msi-twice:all');
      for (let i = 0; i < 10; i++) await run(t, i % 2 ? UP : DOWN, new CommandStream().nop(), device);
      await happened(t, faults, 'msi-twice:all', 10);
      device.close();
      await untouched(t, node, before);
    }));

  for (const fault of ['completion-lost', 'completion-corrupt:ready', 'completion-corrupt:valid'])
    test(
      `${fault}: the work runs into its time limit, and the card is reset`,
      (t) => withFaults(t, (faults) => timesOut(t, () => faults.inject(fault), fault)),
      SLOW,
    );

  test(
    'host-read-error: a transfer that the host does not answer is told of, and stops',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(INTERRUPT, ...RESETTING);
        const node = control(t);
        const before = resets(node);
        const device = t.open(0);
        try {
          const events = device.notifyEvents();
          const host = device.allocHost(4 * KiB);
          const { address } = device.sram.allocate(4 * KiB);
          await faults.inject('host-read-error:DMA0');
          const work = device.submit({ queue: DOWN, stream: new CommandStream().dma(address, host, 4 * KiB) });
          await told(
            t,
            events,
            EVENT.HL_NOTIFIER_EVENT_GENERAL_HW_ERR |
              EVENT.HL_NOTIFIER_EVENT_USER_ENGINE_ERR |
              EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET,
          );
          await logged(t, /"PCIE_DEC"/, /"DMA0_CORE"/);
          assert.equal(device.poll(work), undefined);
        } finally {
          device.close();
        }
        assert.equal(await recovered(t, node, before), before + 1);
        await asNew(t);
      }),
    SLOW,
  );

  test(
    'link-down: the heartbeat finds the link broken, the reset fails, and one with the link repairs the card',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(...RESETTING, ...UNANSWERED, REQUESTED, ...LINKLESS, /has been aborted/);
        const node = control(t);
        const before = resets(node);
        const device = t.open(0);
        try {
          const events = device.notifyEvents();
          const { call, answer } = beginWait(t, thread(t), device, held(device));
          await blocked(t, call);
          await faults.inject('link-down');
          await told(
            t,
            events,
            EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET |
              EVENT.HL_NOTIFIER_EVENT_DEVICE_UNAVAILABLE |
              EVENT.HL_NOTIFIER_EVENT_CRITICL_FW_ERR,
          );
          await logged(t, /Device heartbeat failed! PCI link is broken/);
          assert.equal(await errnoOf(answer()), 'EIO');
          assert.equal(device.info.firmwareError()?.err_type, hl_info_fw_err_type.HL_INFO_FW_HEARTBEAT_ERR.value);
        } finally {
          device.close();
        }
        await logged(
          t,
          /Timeout while waiting for device to reset 0xffffffff/,
          /Failed to reset! Device is NOT usable/,
        );
        await inState(t, node, 'MALFUNCTION');
        assertErrno('EPERM', () => Device.open({ driver: t.target.driver, index: 0, patience: 0 }));
        await faults.clear();
        writeHardReset(t, '1');
        assert.equal(await recovered(t, node, before + 1), before + 2);
        await asNew(t);
      }),
    SLOW,
  );

  test(
    'surprise-removal: a card that is gone is removed, who had it is killed, and it is found again when it is back',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(...RESETTING, ...UNANSWERED, ...LINKLESS, /Removing device/, /heartbeat failed/);
        const { driver } = t.target;
        const addresses = () => driver.accelerators().map(({ pciAddress }) => pciAddress);
        const before = addresses();
        const [first, ...others] = before;
        const path = driver.accelerators()[0]?.path ?? '';
        const child = another(t);
        const theirs = Device.open({ driver: child, index: 0 });
        held(theirs);
        await faults.inject('surprise-removal');
        sysfs(t, `/sys/bus/pci/devices/${first}/remove`);
        await logged(t, /hw_fini failed in device fini while removing device/);
        assert.deepEqual(addresses(), others);
        assertErrno('ENOENT', () => driver.open(path, O_RDWR));
        assert.equal(child.alive, false);
        await faults.clear();
        sysfs(t, '/sys/bus/pci/rescan');
        const ready = () => driver.accelerators().filter((card) => statusOf(card) === 'Operational');
        while (ready().length < before.length) await moment(t);
        assert.deepEqual(addresses(), before);
        assert.equal(resets(control(t)), 0, 'it is a card that the driver has not seen before');
        await asNew(t);
      }),
    SLOW,
  );
}

/** What the driver says of a card that does not answer while a program gives it back. */
const LINKLESS: readonly RegExp[] = [
  /MMU cache invalidation timeout/i,
  /[Tt]imeout.*(TPC|MMU|DMA|MME)/,
  /device is not idle/,
  /packet is lost/,
  /Device status \w+, expected status/,
  /Failed sending COMMS_GOTO_WFE/,
];

/** Work that is never told to be done, by one fault. */
async function timesOut(t: TestContext, bring: () => Promise<void>, fault: string): Promise<void> {
  t.expectMessages(...TOO_LONG, ...RESETTING);
  const node = control(t);
  const before = resets(node);
  const device = t.open(0);
  try {
    const events = device.notifyEvents();
    await bring();
    const work = device.submit({ queue: DOWN, stream: new CommandStream().nop() }, { timeout: 1 });
    const { answer } = beginWait(t, thread(t), device, work);
    const expected = EVENT.HL_NOTIFIER_EVENT_CS_TIMEOUT | EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET;
    assert.equal(await told(t, events, expected), expected);
    assert.deepEqual(await t.target.faults?.happened(), [fault]);
    assert.equal(device.info.csTimeoutEvent().seq, work.sequence);
    // who comes when the driver has decided to reset the card is refused
    const code = await errnoOf(answer());
    assert.ok(code === 'EIO' || code === 'EBUSY', code);
  } finally {
    device.close();
  }
  assert.equal(await recovered(t, node, before), before + 1);
  await asNew(t);
}

/** Undefined while the kernel has the card's node and not yet its attributes, or no more. */
function statusOf(card: Accelerator): string | undefined {
  try {
    return card.status();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function moment(t: TestContext): Promise<void> {
  t.signal.throwIfAborted();
  t.target.driver.sleep(1_000_000);
  await setImmediate();
}

/** Writes to an attribute of the PCI core. */
function sysfs(t: TestContext, path: string): void {
  const { driver } = t.target;
  const fd = driver.open(path, O_WRONLY);
  try {
    driver.write(fd, new TextEncoder().encode('1'));
  } finally {
    driver.close(fd);
  }
}
