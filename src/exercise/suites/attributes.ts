import assert from 'node:assert/strict';
import { O_RDONLY } from '../../driver/driver.ts';
import { ControlDevice } from '../../runtime/device.ts';
import { suite, type TestContext } from '../suite.ts';
import {
  assertNumbersOnly,
  cardFolder,
  PAGE,
  readBytes,
  readNumber,
  readText,
  waysOf,
  waysToOpen,
  writeText,
} from './attributes-lib.ts';
import { attributesOverResets } from './attributes-resets.ts';
import { assertErrno, assertSame } from './lib.ts';
import { REQUESTED, recovered, resets, SLOW, writeHardReset } from './reset-lib.ts';

/** All that a Gaudi has, and who may do what with it. */
const MODES = {
  armcp_kernel_ver: 0o444,
  armcp_ver: 0o444,
  clk_cur_freq_mhz: 0o444,
  clk_max_freq_mhz: 0o644,
  cpld_ver: 0o444,
  cpucp_kernel_ver: 0o444,
  cpucp_ver: 0o444,
  device_type: 0o444,
  eeprom: 0o444,
  fuse_ver: 0o444,
  fw_os_ver: 0o444,
  hard_reset: 0o200,
  hard_reset_cnt: 0o444,
  infineon_ver: 0o444,
  max_power: 0o644,
  module_id: 0o444,
  parent_device: 0o444,
  pci_addr: 0o444,
  preboot_btl_ver: 0o444,
  security_enabled: 0o444,
  status: 0o444,
  thermal_ver: 0o444,
  uboot_ver: 0o444,
} as const;
/** What other chips have (sysfs.c, hl_sysfs_init and hl_dev_vrm_attrs). */
const OTHER_CHIPS = ['soft_reset', 'soft_reset_cnt', 'vrm_ver'];
/** Milliwatts (gaudiP.h, DC_POWER_DEFAULT_PMC). */
const AT_REST = '60000';
const POWER_REFUSED = /Failed to set max power, error -5/;
const CLOCK_REFUSED = /Failed to set frequency to PLL \d+, error -5/;

/** What an attribute says, without the end of the line. */
function shown(t: TestContext, name: string, index = 0): string {
  return readText(t, `${cardFolder(t, index)}/${name}`).replace(/\n$/, '');
}

function write(t: TestContext, name: string, text: string): void {
  writeText(t, `${cardFolder(t)}/${name}`, text);
}

export const attributes = suite('attributes', 'What sysfs says of a card is what the card says itself.', (test) => {
  const control = (t: TestContext, index = 0) => t.use(ControlDevice.open({ driver: t.target.driver, index }));

  test('an attribute is opened as its mode says, by root too', (t) => {
    for (const [name, mode] of Object.entries(MODES))
      assert.deepEqual(waysToOpen(t, `${cardFolder(t)}/${name}`), waysOf(mode), name);
    for (const name of OTHER_CHIPS) assert.equal(waysToOpen(t, `${cardFolder(t)}/${name}`), undefined, name);
  });

  test(
    'a card tells its kind, its address and its state',
    (t) => {
      for (const index of [0, 1]) {
        const address = t.target.driver.accelerators()[index]?.pciAddress;
        assert.equal(shown(t, 'device_type', index), 'GAUDI');
        assert.equal(shown(t, 'pci_addr', index), address);
        assert.equal(shown(t, 'parent_device', index), address);
        assert.equal(shown(t, 'status', index), 'Operational');
      }
    },
    { devices: 2 },
  );

  test('what sysfs tells of the hardware is what the question tells', (t) => {
    const { module_id, security_enabled, cpld_version, cpucp_version } = control(t).info.hwIp();
    assert.equal(shown(t, 'module_id'), String(module_id));
    assert.equal(shown(t, 'security_enabled'), String(security_enabled));
    assert.equal(shown(t, 'cpucp_ver'), cpucp_version);
    // the time when it was made, then its version
    const cpld = /^0x([0-9a-f]{8})([0-9a-f]{8})$/.exec(shown(t, 'cpld_ver'));
    assert.equal(Number.parseInt(cpld?.[2] ?? '', 16), cpld_version);
  });

  test('versions of the firmware are told by their old names, too', (t) => {
    assert.equal(shown(t, 'armcp_ver'), shown(t, 'cpucp_ver'));
    assert.equal(shown(t, 'armcp_kernel_ver'), shown(t, 'cpucp_kernel_ver'));
    for (const name of ['cpucp_kernel_ver', 'fuse_ver', 'fw_os_ver', 'preboot_btl_ver', 'thermal_ver', 'uboot_ver']) {
      const text = shown(t, name);
      assert.ok(text.length > 0 && text.length < 128, name);
      t.step(name, text);
    }
    assert.match(shown(t, 'infineon_ver'), /^0x[0-9a-f]{2,8}$/);
    t.step('infineon_ver', shown(t, 'infineon_ver'));
    t.step('cpld_ver', shown(t, 'cpld_ver'));
  });

  test('what is read in pieces is one text, which is not asked for again', (t) => {
    const { driver } = t.target;
    const whole = readBytes(t, `${cardFolder(t)}/cpucp_ver`);
    const fd = driver.open(`${cardFolder(t)}/cpucp_ver`, O_RDONLY);
    try {
      const pieces: number[] = [];
      for (const piece = new Uint8Array(7); ; ) {
        const length = driver.read(fd, piece);
        if (length === 0) break;
        pieces.push(...piece.subarray(0, length));
      }
      assertSame(Uint8Array.from(pieces), whole, 'in pieces');
      assert.equal(driver.read(fd, new Uint8Array(PAGE)), 0, 'behind its end');
    } finally {
      driver.close(fd);
    }
  });

  test('the EEPROM is a page, of which each read has as much as it asks for', (t) => {
    const { driver } = t.target;
    const path = `${cardFolder(t)}/eeprom`;
    const whole = readBytes(t, path, 2 * PAGE);
    assert.equal(whole.length, PAGE);
    assert.ok(
      whole.some((byte) => byte !== 0),
      'all zeros',
    );
    assertSame(readBytes(t, path, 100), whole.subarray(0, 100), 'its first 100 bytes');
    const fd = driver.open(path, O_RDONLY);
    try {
      const bytes = new Uint8Array(PAGE);
      for (const [asked, given] of [
        [1000, 1000],
        [3000, 3000],
        [200, 96],
        [200, 0],
      ] as const)
        assert.equal(driver.read(fd, bytes.subarray(0, asked)), given);
    } finally {
      driver.close(fd);
    }
  });

  test('what asks for a reset and is no number does not reset', (t) => {
    const node = control(t);
    const before = resets(node);
    assertNumbersOnly(t, `${cardFolder(t)}/hard_reset`);
    assert.equal(shown(t, 'status'), 'Operational');
    assert.equal(resets(node), before);
  });

  test(
    'a reset counts as a hard one, here and for who asks, and for the card that was reset alone',
    async (t) => {
      t.expectMessages(REQUESTED);
      const node = control(t);
      const before = resets(node);
      const other = shown(t, 'hard_reset_cnt', 1);
      writeHardReset(t, '1');
      const after = await recovered(t, node, before);
      assert.equal(after, before + 1);
      assert.equal(shown(t, 'hard_reset_cnt'), String(after));
      assert.equal(shown(t, 'hard_reset_cnt', 1), other);
      assert.equal(shown(t, 'status'), 'Operational');
    },
    { ...SLOW, devices: 2 },
  );

  test('clock rates are in megahertz, the largest and the current', (t) => {
    const { cur_clk_rate_mhz, max_clk_rate_mhz } = control(t).info.clockRate();
    assert.equal(shown(t, 'clk_max_freq_mhz'), String(max_clk_rate_mhz));
    assert.equal(shown(t, 'clk_cur_freq_mhz'), String(cur_clk_rate_mhz));
  });

  test('the clock may be told to go slower: that is the largest rate then, and the current is not above', (t) => {
    const node = control(t);
    const usual = node.info.clockRate().max_clk_rate_mhz;
    try {
      // of every base, as the kernel takes numbers
      for (const [text, mhz] of [
        [`${usual - 7}\n`, usual - 7],
        [`+0x${(usual - 20).toString(16)}`, usual - 20],
        [`0${(usual - 100).toString(8)}`, usual - 100],
        [`${usual - 200}\0 and what comes after a zero`, usual - 200],
      ] as const) {
        write(t, 'clk_max_freq_mhz', text);
        const { cur_clk_rate_mhz, max_clk_rate_mhz } = node.info.clockRate();
        assert.equal(max_clk_rate_mhz, mhz);
        assert.ok(cur_clk_rate_mhz <= mhz, `${cur_clk_rate_mhz} MHz`);
        assert.equal(shown(t, 'clk_max_freq_mhz'), String(mhz));
        assert.equal(shown(t, 'clk_cur_freq_mhz'), String(cur_clk_rate_mhz));
      }
    } finally {
      write(t, 'clk_max_freq_mhz', String(usual));
    }
    assert.equal(node.info.clockRate().max_clk_rate_mhz, usual);
  });

  test('a clock rate that is no number is refused; one that no clock can have is not taken', (t) => {
    t.expectMessages(CLOCK_REFUSED);
    const usual = shown(t, 'clk_max_freq_mhz');
    assertNumbersOnly(t, `${cardFolder(t)}/clk_max_freq_mhz`);
    write(t, 'clk_max_freq_mhz', '0');
    assert.equal(shown(t, 'clk_max_freq_mhz'), usual);
  });

  test('the limit of power is in milliwatts, and may be lowered', (t) => {
    // a card of this kind draws up to some hundred watts
    const limit = readNumber(t, `${cardFolder(t)}/max_power`);
    assert.ok(limit >= 200_000 && limit <= 600_000, `${limit} mW`);
    try {
      write(t, 'max_power', `${limit - 50_000}\n`);
      assert.equal(shown(t, 'max_power'), String(limit - 50_000));
      const utilization = control(t).info.utilization();
      assert.ok(utilization <= 100, `${utilization} %`);
    } finally {
      write(t, 'max_power', String(limit));
    }
    assert.equal(shown(t, 'max_power'), String(limit));
  });

  test('a limit of power that is no number is refused; one that no card can have is not taken', (t) => {
    t.expectMessages(POWER_REFUSED);
    const usual = shown(t, 'max_power');
    assertNumbersOnly(t, `${cardFolder(t)}/max_power`);
    try {
      for (const milliwatts of ['0', '1000000000', '18446744073709551615']) {
        write(t, 'max_power', milliwatts);
        assert.equal(shown(t, 'max_power'), usual);
      }
    } finally {
      // the driver keeps what it was told, taken or not
      write(t, 'max_power', usual);
    }
  });

  test('of a card whose limit is what it draws at rest nothing can be utilised', (t) => {
    t.expectMessages(/device utilization is not supported/);
    const node = control(t);
    const usual = shown(t, 'max_power');
    try {
      write(t, 'max_power', AT_REST);
      assertErrno('EINVAL', () => node.info.utilization());
    } finally {
      write(t, 'max_power', usual);
    }
    assert.ok(node.info.utilization() <= 100);
  });

  test('an attribute that does not exist cannot be opened', (t) => {
    assertErrno('ENOENT', () => shown(t, 'soft_reset_count'));
  });

  attributesOverResets(test);
});
