/** What attributes and sensors of a card answer when its firmware refuses, or is silent. */

import assert from 'node:assert/strict';
import { SystemError } from '../../driver/driver.ts';
import type { Declare, TestContext } from '../suite.ts';
import { cardFolder, PAGE, readBytes, readNumber, readText, sensorFolder, writeText } from './attributes-lib.ts';
import { RESETTING, UNANSWERED, withFaults } from './faults-lib.ts';
import { assertErrno, assertSame } from './lib.ts';
import { asNew, control, REQUESTED, recovered, resets, SLOW, untouched, writeHardReset } from './reset-lib.ts';

/** Numbers that the firmware is asked for, those of the card first. */
const asked = (t: TestContext) => [
  ...['clk_cur_freq_mhz', 'clk_max_freq_mhz', 'max_power'].map((name) => `${cardFolder(t)}/${name}`),
  ...['temp1_input', 'temp1_crit', 'in0_input', 'in0_max', 'curr1_input', 'curr1_highest', 'power1_input'].map(
    (name) => `${sensorFolder(t)}/${name}`,
  ),
];
/** What it is told, and which number shows whether it has taken it; none where that shows nothing. */
const told = (t: TestContext) => [
  ...['clk_max_freq_mhz', 'max_power'].map((name) => [`${cardFolder(t)}/${name}`, `${cardFolder(t)}/${name}`] as const),
  [`${sensorFolder(t)}/temp1_offset`, `${sensorFolder(t)}/temp1_offset`] as const,
  ...['temp1', 'in0', 'curr1', 'power1'].map((name) => [`${sensorFolder(t)}/${name}_reset_history`] as const),
];

export function attributeFaults(test: Declare): void {
  test('firmware-refuses: a number of the card is an error, and what is written is not taken', (t) =>
    withFaults(t, async (faults) => {
      t.expectMessages(/Failed to (get|set) .*, error -5/);
      const node = control(t);
      const before = resets(node);
      for (const path of asked(t)) {
        await faults.inject('firmware-refuses:any');
        assertErrno('EIO', () => readText(t, path));
        readNumber(t, path);
      }
      for (const [path, shown] of told(t)) {
        const usual = shown === undefined ? 0 : readNumber(t, shown);
        await faults.inject('firmware-refuses:any');
        writeText(t, path, String(usual + 1));
        if (shown !== undefined) assert.equal(readNumber(t, shown), usual, path);
        // the driver may keep what it was told
        writeText(t, path, String(usual));
      }
      await untouched(t, node, before);
    }));

  test('firmware-refuses: an EEPROM that could not be read can be read again', (t) =>
    withFaults(t, async (faults) => {
      t.expectMessages(/Failed to handle CPU-CP EEPROM packet, error -5/);
      const path = `${cardFolder(t)}/eeprom`;
      const whole = readBytes(t, path);
      await faults.inject('firmware-refuses:any');
      // the driver drops its own error (sysfs.c, eeprom_read_handler)
      try {
        assert.equal(readBytes(t, path).length, PAGE);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        assert.equal(error.code, 'EIO');
      }
      assertSame(readBytes(t, path), whole, 'the EEPROM');
    }));

  test(
    'firmware-silent: a sensor is given up, others are not asked, and after a reset all of them answer',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(/Failed to|failed to/, ...UNANSWERED, ...RESETTING, /heartbeat failed/i, REQUESTED);
        t.expectMessages(/Device status \w+, expected status/);
        const node = control(t);
        const paths = asked(t);
        const before = resets(node);
        await faults.inject('firmware-silent:any');
        // the heartbeat may be what is not answered first, and what has the card reset meanwhile
        assertErrno(['ETIMEDOUT', 'EAGAIN'], () => readText(t, `${sensorFolder(t)}/temp1_input`));
        for (const path of paths) assertErrno(['EAGAIN', 'ENODEV'], () => readText(t, path));
        await faults.clear();
        writeHardReset(t, '1');
        await recovered(t, node, before);
        for (const path of paths) readNumber(t, path);
        await asNew(t);
      }),
    SLOW,
  );
}
