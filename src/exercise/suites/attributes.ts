import assert from 'node:assert/strict';
import { O_RDONLY, O_WRONLY } from '../../driver/driver.ts';
import { ControlDevice } from '../../runtime/device.ts';
import { suite, type TestContext } from '../suite.ts';
import { assertErrno } from './lib.ts';
import { REQUESTED, recovered, resets, SLOW, writeHardReset } from './reset-lib.ts';

const folder = (t: TestContext, index: number) =>
  `/sys/bus/pci/devices/${t.target.driver.accelerators()[index]?.pciAddress}`;

/** What an attribute says, without the end of the line. */
function shown(t: TestContext, name: string, index = 0): string {
  const { driver } = t.target;
  const fd = driver.open(`${folder(t, index)}/${name}`, O_RDONLY);
  try {
    const bytes = new Uint8Array(4096);
    return new TextDecoder().decode(bytes.subarray(0, driver.read(fd, bytes))).replace(/\n$/, '');
  } finally {
    driver.close(fd);
  }
}

function write(t: TestContext, name: string, text: string): void {
  const { driver } = t.target;
  const fd = driver.open(`${folder(t, 0)}/${name}`, O_WRONLY);
  try {
    driver.write(fd, new TextEncoder().encode(text));
  } finally {
    driver.close(fd);
  }
}

export const attributes = suite('attributes', 'What sysfs says of a card is what the card says itself.', (test) => {
  const control = (t: TestContext, index = 0) => t.use(ControlDevice.open({ driver: t.target.driver, index }));

  test(
    'a card tells its kind, its address and its state',
    (t) => {
      for (const index of [0, 1]) {
        assert.equal(shown(t, 'device_type', index), 'GAUDI');
        assert.equal(shown(t, 'pci_addr', index), t.target.driver.accelerators()[index]?.pciAddress);
        assert.equal(shown(t, 'status', index), 'Operational');
      }
    },
    { devices: 2 },
  );

  test('what sysfs tells of the hardware is what the question tells', (t) => {
    const { module_id, security_enabled } = control(t).info.hwIp();
    assert.equal(shown(t, 'module_id'), String(module_id));
    assert.equal(shown(t, 'security_enabled'), String(security_enabled));
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
      // sysfs.c, hl_sysfs_init: those of soft resets are for chips that have them
      assertErrno('ENOENT', () => shown(t, 'soft_reset_cnt'));
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
      write(t, 'clk_max_freq_mhz', `${usual - 7}\n`);
      const { cur_clk_rate_mhz, max_clk_rate_mhz } = node.info.clockRate();
      assert.equal(max_clk_rate_mhz, usual - 7);
      assert.ok(cur_clk_rate_mhz <= usual - 7, `${cur_clk_rate_mhz} MHz`);
      assert.equal(shown(t, 'clk_max_freq_mhz'), String(usual - 7));
      assert.equal(shown(t, 'clk_cur_freq_mhz'), String(cur_clk_rate_mhz));
    } finally {
      write(t, 'clk_max_freq_mhz', String(usual));
    }
    assert.equal(node.info.clockRate().max_clk_rate_mhz, usual);
  });

  test('a clock rate that is no number is refused', (t) => {
    for (const text of ['fast', '-1', '1e3', '0x']) assertErrno('EINVAL', () => write(t, 'clk_max_freq_mhz', text));
  });

  test('the limit of power is in milliwatts', (t) => {
    // a card of this kind draws up to some hundred watts
    const limit = Number(shown(t, 'max_power'));
    assert.ok(limit >= 200_000 && limit <= 600_000, `${limit} mW`);
  });

  test('an attribute that does not exist cannot be opened', (t) => {
    assertErrno('ENOENT', () => shown(t, 'soft_reset_count'));
  });
});
