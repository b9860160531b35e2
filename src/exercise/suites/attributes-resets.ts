/** Attributes and sensors of a card that is being reset, and what of them lasts longer than a reset. */

import assert from 'node:assert/strict';
import type { Declare } from '../suite.ts';
import { cardFolder, readBytes, readNumber, readText, sensorFolder, writeText } from './attributes-lib.ts';
import { assertErrno } from './lib.ts';
import { control, REQUESTED, recovered, resets, SLOW, writeHardReset } from './reset-lib.ts';

/** What the firmware is asked for. */
const ASKED = ['clk_cur_freq_mhz', 'clk_max_freq_mhz', 'eeprom', 'max_power'];
/** What the driver knows. */
const KNOWN = ['armcp_ver', 'cpld_ver', 'device_type', 'fuse_ver', 'module_id', 'pci_addr', 'security_enabled'];

export function attributesOverResets(test: Declare): void {
  test(
    'during a reset the firmware is not asked: what it knows has no device, what the driver knows is told',
    async (t) => {
      t.expectMessages(REQUESTED);
      const node = control(t);
      const before = resets(node);
      const [card, sensors] = [cardFolder(t), sensorFolder(t)];
      const known = KNOWN.map((name) => readText(t, `${card}/${name}`));
      const limit = readText(t, `${card}/max_power`);
      writeHardReset(t, '1');
      assert.equal(readText(t, `${card}/status`), 'In reset\n');
      for (const name of ASKED) assertErrno('ENODEV', () => readBytes(t, `${card}/${name}`));
      for (const name of ['temp1_input', 'temp1_max', 'in0_input', 'curr1_input', 'power1_input'])
        assertErrno('ENODEV', () => readText(t, `${sensors}/${name}`));
      // before it is known whether it is a number
      for (const text of ['1000', 'fast'])
        for (const name of ['clk_max_freq_mhz', 'max_power'])
          assertErrno('ENODEV', () => writeText(t, `${card}/${name}`, text));
      // after that: hwmon reads the number
      for (const name of ['temp1_offset', 'temp1_reset_history', 'in0_reset_history']) {
        assertErrno('EINVAL', () => writeText(t, `${sensors}/${name}`, 'fast'));
        assertErrno('ENODEV', () => writeText(t, `${sensors}/${name}`, '1'));
      }
      assert.deepEqual(
        KNOWN.map((name) => readText(t, `${card}/${name}`)),
        known,
      );
      assert.match(readText(t, `${sensors}/name`), /^HL/);
      assert.equal(await recovered(t, node, before), before + 1);
      assert.equal(readText(t, `${card}/max_power`), limit);
      assert.ok(readNumber(t, `${sensors}/temp1_input`) > 0);
    },
    SLOW,
  );

  test(
    'limits of clock and power, and the folder of the sensors, last longer than a reset',
    async (t) => {
      t.expectMessages(REQUESTED);
      const node = control(t);
      const before = resets(node);
      const [clock, power] = ['clk_max_freq_mhz', 'max_power'].map((name) => `${cardFolder(t)}/${name}`) as [
        string,
        string,
      ];
      const usual = [clock, power].map((path) => readNumber(t, path)) as [number, number];
      const folder = sensorFolder(t);
      try {
        writeText(t, clock, String(usual[0] - 50));
        writeText(t, power, String(usual[1] - 1000));
        writeHardReset(t, '1');
        await recovered(t, node, before);
        assert.equal(readNumber(t, clock), usual[0] - 50);
        assert.equal(readNumber(t, power), usual[1] - 1000);
        assert.equal(sensorFolder(t), folder);
      } finally {
        writeText(t, clock, String(usual[0]));
        writeText(t, power, String(usual[1]));
      }
    },
    SLOW,
  );
}
