import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { seed } from '../seed.ts';
import { MS, REG, TestHost } from './test-host.ts';

const image = new Uint8Array(64).fill(0x5a);
const status = (word: number | undefined) => (word as number) >>> 28;
const OK = 2;
const ERR = 3;
const VALID_ERR = 4;

/** As hl_fw_static_read_device_fw_version. */
function version(host: TestHost, register: number): string {
  const offset = host.read(register) & 0x0fff_ffff;
  const bytes = new Uint8Array(128);
  host.bar(0).read(offset, bytes);
  const text = new TextDecoder().decode(bytes);
  return text.slice(0, text.indexOf('\0'));
}

/** As extract_fw_ver_from_str: from "fw-" to the next blank. */
function firmwareVersion(text: string): string | undefined {
  return /fw-([^ ]+) /.exec(text)?.[1];
}

describe('COMMS', () => {
  it('refuses what is out of turn or out of bounds, and goes on', () => {
    using host = new TestHost().enable();
    host.waitStatus(16);
    assert.equal(status(host.comms(4)), ERR, 'DATA_RDY before PREP_DESC');
    assert.equal(status(host.comms(5)), ERR, 'EXEC before PREP_DESC');
    assert.equal(status(host.comms(3, 0)), ERR, 'an image of no size');
    assert.equal(status(host.comms(3, 0x1ff_ffff)), ERR, 'an image larger than SRAM');
    assert.equal(status(host.comms(9)), ERR, 'an unknown command');
    assert.equal(status(host.comms(10, 1280)), ERR, 'a descriptor for ELBI, which preboot does not offer');
    assert.equal(status(host.comms(8)), ERR, 'SKIP_BMC before the boot loader');
    host.descriptor(host.comms(3, image.length) as number);
    assert.equal(status(host.comms(5)), ERR, 'EXEC before DATA_RDY');
    host.boot('comms');
  });

  it('finds out that no image was loaded', () => {
    using host = new TestHost().enable();
    host.waitStatus(16);
    const { imageAddress } = host.descriptor(host.comms(3, image.length) as number);
    host.load(imageAddress, new Uint8Array(image.length));
    assert.equal(status(host.comms(4)), VALID_ERR);
    host.load(imageAddress, image);
    assert.equal(status(host.comms(4)), OK);
  });

  it('makes a new descriptor for each component, with the CRC of what is in it', () => {
    using host = new TestHost().enable();
    host.waitStatus(16);
    host.comms(2);
    const first = host.descriptor(host.comms(3, image.length) as number);
    assert.equal(firmwareVersion(first.version), '48.0.1-sec-5');
    // The driver derives the software release from "-<major>.<minor>.<sub>-fw-" after "Preboot".
    assert.match(first.version, /^Preboot .*-\d+\.\d+\.\d+-fw-/);
    assert.equal(first.imageAddress, 0x7f_f020_0000);
    host.commsLoad(image);
    host.waitStatus(15);
    // The old one is damaged: it must not be what PREP_DESC shows next.
    host.bar(0).write(0x1800, new Uint8Array(1280).fill(0xee));
    const second = host.descriptor(host.comms(3, image.length) as number);
    assert.equal(firmwareVersion(second.version), '48.0.1');
    assert.equal(second.imageAddress, 0x80_0000);
  });

  it('takes the cause of a reset as a message instead of an image', () => {
    using host = new TestHost().enable();
    host.waitStatus(16);
    host.comms(2);
    const { imageAddress } = host.descriptor(host.comms(3, 1280) as number);
    const message = new Uint8Array(1280);
    new DataView(message.buffer).setUint32(0, 0x4843_4d03, true);
    message[11] = 1;
    message[16] = 1;
    host.load(imageAddress, message);
    assert.equal(status(host.comms(4)), OK);
    assert.equal(status(host.comms(5)), OK, 'a message is answered, unlike an image');
    assert.equal(host.read(REG.BOOT_STATUS), 16, 'and nothing is started');
    host.boot('comms');
  });

  it('offers its features stage by stage', () => {
    using host = new TestHost().enable();
    host.waitStatus(16);
    const preboot = host.read(REG.DEV_STS0);
    assert.equal(preboot >>> 31, 1);
    assert.equal((preboot >>> 16) & 1, 1, 'COMMS');
    assert.equal((preboot >>> 15) & 1, 0, 'acknowledgement by producer index is for Linux to offer');
    host.boot('comms');
    assert.equal((host.read(REG.DEV_STS0) >>> 15) & 1, 1);
    assert.equal(host.read(REG.BOOT_ERR0), 0x8000_0000);
    assert.deepEqual(host.errors, []);
  });
});

describe('static loading', () => {
  it('reports a boot fit that is not there, and waits for a better one', () => {
    using host = new TestHost({ firmware: 'static' }).enable();
    host.waitStatus(16);
    host.write(REG.CMD_STATUS, 0);
    host.write(REG.KMD_MSG, 2);
    host.until('an answer', () => host.read(REG.CMD_STATUS) !== 0);
    assert.equal(host.read(REG.CMD_STATUS), 2);
    assert.equal(host.read(REG.BOOT_ERR0), 0x8000_0002);
    assert.equal(host.read(REG.BOOT_STATUS), 16);
    host.boot('static');
  });

  it('boots, with versions where the driver looks for them', () => {
    using host = new TestHost({ firmware: 'static' }).enable().boot('static');
    assert.equal(firmwareVersion(version(host, REG.PREBOOT_VER)), '48.0.1-sec-5');
    assert.equal(firmwareVersion(version(host, REG.UBOOT_VER)), '48.0.1');
    assert.equal((host.read(REG.DEV_STS0) >>> 16) & 1, 0, 'no COMMS');
  });

  it('records a message that is none', () => {
    using host = new TestHost({ firmware: 'static' }).enable();
    host.waitStatus(16);
    host.write(REG.KMD_MSG, 0x1234);
    host.run(1 * MS);
    assert.equal(host.errors[0]?.category, 'guest');
    host.boot('static');
  });
});

describe('halt and reset', () => {
  it('halts upon the driver, and boots again only after a reset', () => {
    using host = new TestHost().enable();
    host.waitStatus(16);
    host.comms(7, 0, false);
    host.waitStatus(1);
    host.write(REG.KMD_MSG, 1 << 27);
    host.run(100 * MS);
    assert.equal(host.read(REG.BOOT_STATUS), 1);
    hardReset(host);
    host.boot('comms');
  });

  it('forgets all but the cold reset flops when the driver resets the chip', () => {
    using host = new TestHost().ready();
    host.write(REG.HW_STATE, 1);
    host.load(0x1234_0000, image);
    host.load(0x7f_f010_0000, image);
    hardReset(host, () => {
      assert.equal(host.read(REG.HW_STATE), 0xffff_ffff, 'nobody answers while the chip is in reset');
    });
    assert.equal(host.read(REG.HW_STATE), 0);
    assert.equal(host.read(REG.PREBOOT_PCIE_EN), 0xed7b_d694);
    assert.equal(host.read(REG.QUEUE_INIT), 0);
    const bytes = new Uint8Array(4);
    host.bar(4).read(0x1234_0000, bytes);
    assert.deepEqual([...bytes], [0, 0, 0, 0], 'HBM');
    host.bar(0).read(0x10_0000, bytes);
    assert.deepEqual([...bytes], [0, 0, 0, 0], 'SRAM');
    host.boot('comms');
    assert.equal(host.initQueues(), 2);
  });

  it('resets itself when it is asked to halt and offers to', () => {
    using host = new TestHost({ firmwareResetsChip: true }).ready();
    assert.equal((host.read(REG.DEV_STS0) >>> 10) & 1, 1);
    host.write(REG.HW_STATE, 1);
    host.write(REG.GIC_SETSPI, 485);
    host.run(50 * MS);
    assert.equal(host.read(REG.HW_STATE), 0);
    host.boot('comms');
  });

  it('stops for good when it is asked to halt and leaves the reset to the driver', () => {
    using host = new TestHost().ready();
    host.write(REG.GIC_SETSPI, 485);
    host.run(50 * MS);
    assert.equal(host.read(REG.BOOT_STATUS), 1);
    host.submit(2 ** 39 + 0x3_0000, 24);
    host.run(50 * MS);
    assert.equal(host.writes.length, 0, 'packets are not served any more');
  });

  it('does not boot after a reset that does not ask for it', () => {
    using host = new TestHost().ready();
    host.write(REG.SW_ALL_RST_CFG_H, 0x3f_ffff);
    host.write(REG.SW_ALL_RST_CFG_L, 0xfe00_0001);
    host.write(REG.SW_ALL_RST, 1);
    host.run(100 * MS);
    assert.equal(host.read(REG.BOOT_STATUS), 0);
  });

  it('boots after a reset at any moment of the boot, whichever reset it is', () => {
    const kinds = fc.constantFrom('driver', 'function-level', 'conventional');
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 40 * MS }), kinds, fc.integer({ min: 0, max: 40 }), (ns, kind, steps) => {
        using host = new TestHost().enable();
        // Some way into the protocol, and then some time: both land anywhere.
        let left = steps;
        const original = host.write.bind(host);
        host.write = (offset, value) => {
          if (left-- <= 0) throw new Interrupted();
          original(offset, value);
        };
        try {
          host.boot('comms');
        } catch (error) {
          if (!(error instanceof Interrupted)) throw error;
        }
        host.write = original;
        host.run(ns);
        if (kind === 'driver') hardReset(host);
        else host.gaudi.reset(kind as 'conventional');
        host.enable().boot('comms');
        assert.deepEqual(host.errors, []);
      }),
      { seed: seed(), numRuns: 25 },
    );
  });
});

class Interrupted extends Error {}

/** gaudi_hw_fini. */
function hardReset(host: TestHost, during: () => void = () => {}): void {
  host.write(REG.SW_ALL_RST_CFG_H, 0x3f_ffff);
  host.write(REG.SW_ALL_RST_CFG_L, 0xffe0_0001);
  host.write(REG.PREBOOT_PCIE_EN, 0xed7b_d694);
  host.write(REG.BOOT_SEQ_RE_START, 1);
  host.write(REG.SW_ALL_RST, 1);
  during();
  host.until('the reset to end', () => (host.read(REG.BTM_FSM) & 0xf) === 0);
}
