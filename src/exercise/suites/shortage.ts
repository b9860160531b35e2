/** Memory that runs out: the suite is run where it is named, on a kernel that can refuse allocations (docs/coverage.md). */

import assert from 'node:assert/strict';
import { O_RDWR } from '../../driver/driver.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Device } from '../../runtime/device.ts';
import { ControlDevice } from '../../runtime/device.ts';
import { suite, type TestContext } from '../suite.ts';
import { addressOf, importerOf } from './dmabuf-lib.ts';
import { KiB, MiB } from './lib.ts';
import { asNew } from './reset-lib.ts';
import { Shortage, writeText } from './shortage-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
const PCI_DRIVER = '/sys/bus/pci/drivers/habanalabs';
/** What is begun and given back so often takes minutes on a kernel that watches everything. */
const LONG = { timeout: 600, needs: 'shortage' } as const;

/** Refuses each allocation of a call in turn; then the call is performed as ever, and the card is as new. */
function each(name: string, calls: (t: TestContext, device: Device) => () => void) {
  return {
    name: `${name}: each allocation that is refused is told of, and nothing is left behind`,
    async run(t: TestContext) {
      const { device } = t;
      const body = calls(t, device);
      body();
      const shortage = t.use(new Shortage(t));
      assert.ok(shortage.each(body) > 0, 'the driver allocates nothing');
      body();
      device.close();
      await asNew(t);
    },
  };
}

const rows = [
  each('memory of the host', (_, device) => () => device.allocHost(64 * KiB)[Symbol.dispose]()),
  each('memory of the host, in large pages', (_, device) => () => {
    device.allocHost(4 * MiB, { hugePages: true })[Symbol.dispose]();
  }),
  each('command buffers', (_, device) => () => device.createCb(8 * KiB)[Symbol.dispose]()),
  each('command buffers that are mapped', (_, device) => () => {
    device.createCb(8 * KiB, { mapped: true })[Symbol.dispose]();
  }),
  each('submissions', (_, device) => {
    const stream = new CommandStream().nop();
    const program = device.load(new CommandStream().nop());
    return () => {
      const work = [
        { queue: DOWN, stream },
        { queue: 'TPC_0_0', ...program },
      ] as const;
      device.waitSync(device.submit(work), 30_000);
    };
  }),
  each('transfers', (t, device) => {
    const host = t.use(device.allocHost(64 * KiB));
    const dram = t.use(device.dram.allocate(64 * KiB));
    return () =>
      void device.waitSync(
        device.submit({ queue: DOWN, stream: new CommandStream().dma(dram, host, 4 * KiB) }),
        30_000,
      );
  }),
  each('signals', (_, device) => () => {
    const signal = device.signal(DOWN);
    const wait = device.waitForSignal(UP, signal);
    device.waitSync(signal, 30_000);
    if (wait) device.waitSync(wait, 30_000);
  }),
  each('reserved signals', (_, device) => () => device.unreserveSignals(device.reserveSignals(DOWN, 4))),
  each('waits for any', (_, device) => () => {
    const work = [DOWN, UP].map((queue) =>
      device.submit({ queue: queue as 'DMA_0_0', stream: new CommandStream().nop() }),
    );
    void device.waitAny(work, { timeout: 30_000 }).catch(() => {});
    for (const one of work) device.waitSync(one, 30_000);
  }),
  each('buffers of time stamps', (_, device) => () => device.allocTimestamps(16)[Symbol.dispose]()),
  each('exports', (t, device) => {
    const importer = importerOf(t);
    const dram = t.use(device.dram.allocate(4 * MiB));
    return () => {
      using buffer = device.exportDmaBuf(dram.address, 4 * MiB);
      using _ = importer.attach(buffer.fd, addressOf(t, 1));
    };
  }),
  each('questions', (_, device) => () => {
    device.info.hwIp();
    device.info.engineStatus();
    device.info.userMappings();
    device.info.getEvents();
    device.notifyEvents()[Symbol.dispose]();
  }),
];

export const shortage = suite(
  'shortage',
  'Memory that runs out in the driver is told of by an errno; nothing is lost, used after it was freed, or locked for ever.',
  (test) => {
    test(
      'a card that is opened: each allocation that is refused is told of, and nothing is left behind',
      async (t) => {
        const { driver } = t.target;
        const [card] = driver.accelerators();
        assert.ok(card);
        const shortage = t.use(new Shortage(t));
        for (const path of [card.path, card.controlPath])
          assert.ok(shortage.each(() => driver.close(driver.open(path, O_RDWR))) > 0, path);
        await asNew(t);
      },
      LONG,
    );

    for (const { name, run } of rows) test(name, run, name.startsWith('exports') ? { ...LONG, devices: 2 } : LONG);

    test(
      'a driver that takes a card: allocations that are refused keep it from doing so, and nothing is left behind',
      async (t) => {
        const { driver } = t.target;
        const address = addressOf(t, 0);
        const shortage = t.use(new Shortage(t));
        const unbind = () => writeText(driver, `${PCI_DRIVER}/unbind`, address);
        const bind = () => writeText(driver, `${PCI_DRIVER}/bind`, address);
        unbind();
        let refused = true;
        // there are hundreds, and each takes seconds: the first ones, and then fewer and fewer
        for (let n = 1; refused; n += 1 + t.random.below(2 + Math.floor(n / 6))) {
          t.signal.throwIfAborted();
          let bound = false;
          refused = shortage.refuse(n, () => {
            bind();
            bound = true;
          });
          if (bound && refused) unbind();
          else if (!bound && !refused) bind();
        }
        using node = ControlDevice.open({ driver, index: 0 });
        assert.equal(node.info.status(), 'OPERATIONAL');
        await asNew(t);
      },
      { ...LONG, timeout: 1200 },
    );
  },
);
