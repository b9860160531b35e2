/** A firmware that does not boot, does not answer, or tells nonsense. */

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { Device } from '../../runtime/device.ts';
import { hl_info_fw_err_type } from '../../uapi/habanalabs/info-results.ts';
import type { Declare, FaultPort, TestContext } from '../suite.ts';
import { EVENT, told } from './events-lib.ts';
import { happened, INTERRUPT, inState, logged, RESETTING, renew, UNANSWERED, withFaults } from './faults-lib.ts';
import { assertErrno } from './lib.ts';
import { asNew, control, REQUESTED, recovered, resets, SLOW, untouched, writeHardReset } from './reset-lib.ts';
import { another, beginWait, blocked, errnoOf, held, thread } from './threads-lib.ts';

const UNAVAILABLE =
  EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET |
  EVENT.HL_NOTIFIER_EVENT_DEVICE_UNAVAILABLE |
  EVENT.HL_NOTIFIER_EVENT_CRITICL_FW_ERR;

/** Where a boot may be stuck, and what is said of it. */
const stages = {
  rom: /Device boot progress - Stuck in BTL/,
  preboot: /Device boot progress - Stuck in Preboot/,
  'boot-loader': /failed to wait for boot \(status = 7\)/,
  linux: /failed to wait for Linux \(status = 15\)/,
} as const;

/** Nanoseconds in which there is a heartbeat at least: they come every 10 s (device.c, HL_HEARTBEAT_PER_USEC), by whom others may keep waiting. */
const HEARTBEATS = 25e9;

/** Lets time pass. */
async function slept(t: TestContext, ns: number): Promise<void> {
  const { driver } = t.target;
  for (const end = driver.now() + ns; driver.now() < end; ) {
    t.signal.throwIfAborted();
    driver.sleep(100_000_000);
    await setImmediate();
  }
}

export function firmwareFaults(test: Declare): void {
  for (const [stage, says] of Object.entries(stages))
    test(
      `boot-stuck:${stage}: the card is not usable until it boots`,
      (t) => withFaults(t, (faults) => failsToReset(t, faults, `boot-stuck:${stage}`, [says])),
      SLOW,
    );

  test(
    'boot-error: one that is fatal makes the card unusable until it boots without',
    (t) =>
      withFaults(t, (faults) =>
        failsToReset(t, faults, 'boot-error:dram-init-fail', [/Device boot error - DRAM initialization failed/]),
      ),
    SLOW,
  );

  test(
    'boot-error: one that is not fatal is logged, and the card works',
    (t) =>
      withFaults(t, async (faults) => {
        const node = control(t);
        const before = resets(node);
        t.expectMessages(REQUESTED);
        await faults.inject('boot-error:thermal-sensor');
        writeHardReset(t, '1');
        // the second line is a mistake of the driver, which takes the number of a bit for the bit (fw_report_boot_dev0)
        await logged(t, /Device boot error - Thermal Sensor initialization failed/, /ARC memory scrub failed/);
        await recovered(t, node, before);
        await asNew(t);
      }),
    SLOW,
  );

  test(
    'reset-stuck: a chip that does not come out of its reset is not usable until the next',
    (t) =>
      withFaults(t, (faults) =>
        failsToReset(t, faults, 'reset-stuck', [/Timeout while waiting for device to reset 0x1/]),
      ),
    SLOW,
  );

  test('firmware-late: an answer that takes two seconds is one', (t) =>
    withFaults(t, async (faults) => {
      const node = control(t);
      const begun = t.target.driver.now();
      await faults.inject('firmware-late:2s');
      assert.ok(node.info.energy() >= 0n);
      assert.ok(t.target.driver.now() - begun >= 2e9);
      await happened(t, faults, 'firmware-late:2s');
      assert.equal(node.info.status(), 'OPERATIONAL');
    }));

  test('firmware-refuses: who asks is refused, and the card works on', (t) =>
    withFaults(t, async (faults) => {
      t.expectMessages(/Failed to (get|retrieve)|failed to get|Failed to read|CpuCP/i);
      const node = control(t);
      const before = resets(node);
      await faults.inject('firmware-refuses:TOTAL_ENERGY_GET');
      assertErrno('EIO', () => node.info.energy());
      await happened(t, faults, 'firmware-refuses:TOTAL_ENERGY_GET');
      assert.ok(node.info.energy() >= 0n);
      await untouched(t, node, before);
    }));

  test(
    'firmware-silent: who asks gives up, others are refused at once, and the heartbeat has the card reset',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(...RESETTING, ...UNANSWERED, /Failed to (get|retrieve)|failed to get|heartbeat failed/i);
        const node = control(t);
        const before = resets(node);
        const device = t.open(0);
        try {
          const events = device.notifyEvents();
          await faults.inject('firmware-silent');
          // the heartbeat may be the first that is not answered
          assertErrno(['ETIMEDOUT', 'EAGAIN'], () => node.info.energy());
          if (node.info.status() === 'OPERATIONAL') assertErrno('EAGAIN', () => node.info.energy());
          assert.equal(await told(t, events, UNAVAILABLE), UNAVAILABLE);
          await logged(t, /Device heartbeat failed! PCI link is healthy/);
        } finally {
          device.close();
        }
        assert.equal(await recovered(t, node, before), before + 1);
        await asNew(t);
      }),
    SLOW,
  );

  test(
    'heartbeat-lost: programs are told that the card is unavailable, waits end, and the card is reset',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(...RESETTING);
        const node = control(t);
        const before = resets(node);
        const device = t.open(0);
        try {
          const events = device.notifyEvents();
          const { call, answer } = beginWait(t, thread(t), device, held(device));
          await blocked(t, call);
          await faults.inject('heartbeat-lost');
          assert.equal(await told(t, events, UNAVAILABLE), UNAVAILABLE);
          await logged(t, /Device heartbeat failed! PCI link is healthy/);
          assert.equal(await errnoOf(answer()), 'EIO');
          assert.equal(device.info.firmwareError()?.err_type, hl_info_fw_err_type.HL_INFO_FW_HEARTBEAT_ERR.value);
        } finally {
          device.close();
        }
        assert.equal(await recovered(t, node, before), before + 1);
        await asNew(t);
      }),
    SLOW,
  );

  test(
    'ecc-double twice before a heartbeat: the driver gives the card up, until somebody asks for a reset',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(INTERRUPT, /ECC error detected/, ...RESETTING, REQUESTED);
        const node = control(t);
        const before = resets(node);
        await faults.inject('ecc-double:SRAM0');
        assert.equal(await recovered(t, node, before), before + 1);
        await faults.inject('ecc-double:SRAM1');
        await logged(t, /Consecutive fatal errors, stopping hard reset/, /Failed to reset! Device is NOT usable/);
        await inState(t, node, 'MALFUNCTION');
        assertErrno('EPERM', () => Device.open({ driver: t.target.driver, index: 0, patience: 0 }));
        writeHardReset(t, '1');
        assert.equal(await recovered(t, node, before + 2), before + 3);
        await asNew(t);
      }),
    SLOW,
  );

  test(
    'ecc-double before and after a heartbeat: the driver does not give the card up',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(INTERRUPT, /ECC error detected/, ...RESETTING);
        const node = control(t);
        const before = resets(node);
        for (let i = 0; i < 2; i++) {
          if (i > 0) await slept(t, HEARTBEATS);
          await faults.inject(`ecc-double:SRAM${i}`);
          assert.equal(await recovered(t, node, before + i), before + i + 1);
        }
        await asNew(t);
      }),
    SLOW,
  );

  test(
    'ecc-double twice before a heartbeat, each while a program has the card: the driver does not give it up',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(INTERRUPT, /ECC error detected/, ...RESETTING, /Killing user process/);
        const node = control(t);
        const before = resets(node);
        for (let i = 0; i < 2; i++) {
          const child = another(t);
          Device.open({ driver: child, index: 0 });
          // who does not listen has no time to look
          await faults.inject(`ecc-double:SRAM${i}`);
          assert.equal(await recovered(t, node, before + i), before + i + 1);
          assert.equal(child.alive, false);
        }
        await asNew(t);
      }),
    SLOW,
  );

  test(
    'a fatal error while a reset is under way starts no other',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(REQUESTED, ...RESETTING, INTERRUPT, /ECC error detected/);
        const node = control(t);
        const before = resets(node);
        writeHardReset(t, '1');
        await faults.inject('ecc-double:SRAM2');
        await faults.inject('ecc-double:SRAM2@reset');
        writeHardReset(t, '1');
        assert.equal(await recovered(t, node, before), before + 1);
        await asNew(t);
        assert.equal(resets(node), before + 1);
      }),
    SLOW,
  );

  test(
    'event-lost: the driver takes no more events, until it resets the card',
    (t) =>
      withFaults(t, async (faults) => {
        const device = t.open(0);
        const events = device.notifyEvents();
        await faults.inject('event-lost');
        await faults.inject('ecc-single:SRAM3');
        await happened(t, faults, 'event-lost');
        await faults.inject('ecc-single:SRAM4');
        await logged(t, /EQE 0x\w+ in queue is ready but index does not match \d+!=\d+/);
        assert.equal(await events.next({ timeout: 100 }), 0n);
        await renew(t, device);
        using again = t.open(0);
        const now = again.notifyEvents();
        t.expectMessages(INTERRUPT, /ECC error detected/);
        await faults.inject('ecc-single:SRAM3');
        await told(t, now, EVENT.HL_NOTIFIER_EVENT_GENERAL_HW_ERR);
      }),
    SLOW,
  );

  test(
    'event-unknown: an event that does not exist is logged, and no more',
    (t) =>
      withFaults(t, async (faults) => {
        const node = control(t);
        const before = resets(node);
        for (const [fault, says] of [
          ['event-unknown:4000', /Event type 4000 exceeds maximum of 662/],
          ['event-unknown:5', /Received invalid H\/W interrupt 5/],
        ] as const) {
          await faults.inject(fault);
          await faults.inject('ecc-single:SRAM7');
          await logged(t, says);
          // nobody has let the firmware tell of it again
          await faults.inject('event:TPC5_BMON_SPMU');
          await logged(t, /TPC5_BMON_SPMU/);
          await renew(t);
        }
        assert.equal(resets(node), before + 2);
      }),
    SLOW,
  );
}

/** A reset that fails by a fault: the card is not usable until the next. */
async function failsToReset(t: TestContext, faults: FaultPort, fault: string, says: readonly RegExp[]): Promise<void> {
  t.expectMessages(REQUESTED, ...BOOTING, ...RESETTING);
  const node = control(t);
  const before = resets(node);
  await faults.inject(fault);
  writeHardReset(t, '1');
  await logged(t, ...says, /Failed to reset! Device is NOT usable/);
  await inState(t, node, 'MALFUNCTION');
  assert.deepEqual(await faults.happened(), [fault]);
  assertErrno('EPERM', () => Device.open({ driver: t.target.driver, index: 0, patience: 0 }));
  assertErrno('EBUSY', () => node.info.energy());
  assert.equal(resets(node), before + 1, 'it is counted all the same');
  // the driver asks the first stage of the firmware to halt, and waits for 30 s where there is none
  await faults.clear();
  writeHardReset(t, '1');
  assert.equal(await recovered(t, node, before + 1), before + 2);
  await asNew(t);
}

/** What the driver says besides of a boot that fails. */
const BOOTING: readonly RegExp[] = [
  /Device boot/,
  /CPU boot (ready timeout|failed)/,
  /failed to (initialize the H\/W|load|wait)/i,
  /Failed to initialize|Errors in device boot|load (boot fit|Linux|firmware)/,
  /Device status/,
  /Failed sending COMMS/,
];
