/** Imports in process: which way the bytes go, what hostile arguments do, and what is left when all is closed. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { O_RDWR, SystemError } from '../../../src/driver/driver.ts';
import { ModelMachine } from '../../../src/machine/model.ts';
import { CommandStream } from '../../../src/runtime/command-stream.ts';
import { Device } from '../../../src/runtime/device.ts';
import { Importer } from '../../../src/runtime/peer.ts';
import { IMPORTER_PATH, importerIoctls } from '../../../src/uapi/sagrada/importer.ts';
import { seed } from '../../seed.ts';

const MiB = 1 << 20;

describe('two cards below one switch', () => {
  let machine: ModelMachine;
  before(() => {
    machine = new ModelMachine({ machine: 'gaudi-x2' });
  });
  after(() => machine[Symbol.dispose]());

  test('any bytes in any call of the importer end with an errno, and leave nothing behind', () => {
    const { driver } = machine;
    const memory = driver.allocate(4096);
    const word = fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: 8 }).map(BigInt) },
      { weight: 2, arbitrary: fc.constantFrom(memory.address, memory.address + 4080n, 0xffff_ffffn, 1n << 63n) },
      { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) },
    );
    const call = fc.record({
      ioctl: fc.constantFrom(...Object.values(importerIoctls)),
      words: fc.array(word, { minLength: 5, maxLength: 5 }),
    });
    fc.assert(
      fc.property(fc.array(call, { maxLength: 30 }), (calls) => {
        const device = Device.open({ driver, index: 0 });
        const node = driver.open(IMPORTER_PATH, O_RDWR);
        device.exportDmaBuf(device.dram.base, 2 * MiB);
        for (const { ioctl, words } of calls) {
          const argument = new Uint8Array(BigUint64Array.from(words).buffer).subarray(0, ioctl.argument.size);
          // the first card, so that some attach
          if (ioctl === importerIoctls.ATTACH && (words[0] ?? 0n) < 8n) argument.set([0, 0, 0, 0, 1, 0, 0, 0], 8);
          try {
            driver.ioctl(node, ioctl.request, argument);
          } catch (error) {
            if (!(error instanceof SystemError)) throw error;
          }
        }
        driver.close(node);
        device.close();
        // nothing keeps the card
        Device.open({ driver, index: 0 }).close();
      }),
      { seed: seed(), numRuns: 60 },
    );
    memory.unmap();
  });

  test('what one card writes into the memory of another crosses the switch and no memory of the host', async () => {
    const { driver, fabric } = machine;
    using owner = Device.open({ driver, index: 0 });
    using other = Device.open({ driver, index: 1 });
    using shared = owner.exportDmaBuf(owner.dram.base, 4 * MiB);
    using peer = other.importDmaBuf(shared.fd);
    using source = other.dram.allocate(4 * MiB);
    fabric.clearTraffic();
    await other.wait(other.submit({ queue: 'DMA_1_0', stream: new CommandStream().dma(peer, source, 4 * MiB) }));
    const moved = fabric.traffic().filter(({ from }) => from === 'gaudi1');
    const across = moved.filter(({ to }) => to === 'gaudi0');
    assert.deepEqual(across, [{ from: 'gaudi1', to: 'gaudi0', route: 'switch', read: 0, written: 4 * MiB }]);
    // packets, completions and page tables
    const host = moved.filter(({ to }) => to === 'host').reduce((sum, { read, written }) => sum + read + written, 0);
    assert.ok(host < 64 * 1024, `${host} bytes of the host's memory`);
  });

  test('memory that the program has unmapped cannot be pinned any more', () => {
    const { driver } = machine;
    using owner = Device.open({ driver, index: 0 });
    using shared = owner.exportDmaBuf(owner.dram.base, MiB);
    using importer = new Importer(driver);
    using one = importer.attach(shared.fd, driver.accelerators()[1]?.pciAddress ?? '');
    one.map({ pages: true });
    const memory = one.mmap();
    const { address } = memory;
    memory.unmap();
    using other = Device.open({ driver, index: 1 });
    assert.throws(() => other.mapHost(address, MiB), { code: 'EFAULT' });
  });
});

test('two cards below different root ports: the driver says why it refuses', () => {
  using machine = new ModelMachine({ machine: 'gaudi-x2-apart' });
  const { driver } = machine;
  using owner = Device.open({ driver, index: 0 });
  using other = Device.open({ driver, index: 1 });
  using shared = owner.exportDmaBuf(owner.dram.base, MiB);
  driver.messages();
  assert.throws(() => other.importDmaBuf(shared.fd), { code: 'EPERM', call: 'SAGRADA_IMPORTER_IOCTL_MAP' });
  assert.deepEqual(
    driver.messages().filter(({ level }) => level <= 4),
    [
      {
        level: 4,
        text: `habanalabs ${other.pciAddress}: cannot be used for peer-to-peer DMA as the client and provider (${owner.pciAddress}) do not share an upstream bridge or whitelisted host bridge`,
      },
    ],
  );
  // nothing is left of the attempt
  shared[Symbol.dispose]();
  owner.close();
  Device.open({ driver, index: 0 }).close();
});
