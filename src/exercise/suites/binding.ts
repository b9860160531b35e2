/** The driver is taken off a card and put back; a card is taken away and found again; its function is reset under the driver. */

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { O_RDONLY, O_RDWR, O_WRONLY } from '../../driver/driver.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { Device } from '../../runtime/device.ts';
import { suite, type TestContext } from '../suite.ts';
import { exported, read, write as writeMemory } from './dmabuf-lib.ts';
import { RESETTING } from './faults-lib.ts';
import { assertErrno, assertSame, fill, KiB, run } from './lib.ts';
import { asNew, control, KILLING, recovered, resets, SLOW } from './reset-lib.ts';
import { another, beginWait, blocked, errnoOf, held, thread } from './threads-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
const SIZE = 64 * KiB;
const DRIVER = '/sys/bus/pci/drivers/habanalabs';
/** Of the driver, and of the kernel's PCI core whether or not there is a driver. */
const ATTRIBUTES = { driver: 'status', bus: 'resource' } as const;

const addressOf = (t: TestContext, index = 0) => t.target.driver.accelerators()[index]?.pciAddress ?? '';
const folder = (address: string) => `/sys/bus/pci/devices/${address}`;

function write(t: TestContext, path: string, text: string): void {
  const { driver } = t.target;
  const fd = driver.open(path, O_WRONLY);
  try {
    driver.write(fd, new TextEncoder().encode(text));
  } finally {
    driver.close(fd);
  }
}

function canRead(t: TestContext, path: string): boolean {
  const { driver } = t.target;
  try {
    driver.close(driver.open(path, O_RDONLY));
    return true;
  } catch {
    return false;
  }
}

/** Waits until all cards that there were work again. */
async function ready(t: TestContext, addresses: readonly string[]): Promise<void> {
  const working = () => t.target.driver.accelerators().filter((card) => card.status() === 'Operational');
  while (working().length < addresses.length) {
    t.signal.throwIfAborted();
    t.target.driver.sleep(20_000_000);
    await setImmediate();
  }
  assert.deepEqual(
    working().map(({ pciAddress }) => pciAddress),
    addresses,
  );
}

export const binding = suite(
  'binding',
  'The driver is taken off a card and put back; a card’s function is reset under it.',
  (test) => {
    test('what is no card, and a card that the driver has, is refused by name', (t) => {
      for (const name of ['nonsense', '0000:ff:1f.7', '0'.repeat(4096)])
        for (const file of ['unbind', 'bind']) assertErrno('ENODEV', () => write(t, `${DRIVER}/${file}`, name));
      assertErrno('EBUSY', () => write(t, `${DRIVER}/bind`, addressOf(t)));
    });

    test(
      'a card without its driver has neither nodes nor attributes of it; with it again it is a new one',
      async (t) => {
        const { driver } = t.target;
        const before = driver.accelerators().map(({ pciAddress }) => pciAddress);
        const [first = '', ...others] = before;
        const { path = '', controlPath = '' } = driver.accelerators()[0] ?? {};
        {
          using device = t.open(0);
          const dram = device.dram.allocate(4 * KiB);
          await run(t, DOWN, new CommandStream().memset(dram, 7n, 4 * KiB), device);
        }
        write(t, `${DRIVER}/unbind`, `${first}\n`);
        assert.deepEqual(
          driver.accelerators().map(({ pciAddress }) => pciAddress),
          others,
        );
        for (const node of [path, controlPath, `${folder(first)}/${ATTRIBUTES.driver}`])
          assertErrno('ENOENT', () => driver.open(node, O_RDWR));
        assert.ok(canRead(t, `${folder(first)}/${ATTRIBUTES.bus}`), 'the bus has the card');
        assertErrno('ENODEV', () => write(t, `${DRIVER}/unbind`, first));
        write(t, `${DRIVER}/bind`, first);
        await ready(t, before);
        assert.equal(resets(control(t)), 0, 'it is a card that the driver has not seen before');
        await asNew(t);
      },
      { ...SLOW, devices: 2 },
    );

    test(
      'who has a card whose driver is taken off is killed, its work is aborted; the card beside it works on',
      async (t) => {
        const { driver } = t.target;
        t.expectMessages(KILLING);
        const before = driver.accelerators().map(({ pciAddress }) => pciAddress);
        const [first = ''] = before;
        const child = another(t);
        held(Device.open({ driver: child, index: 0 }));
        const neighbour = t.open(1);
        const waiting = held(neighbour);
        write(t, `${DRIVER}/unbind`, first);
        assert.equal(child.alive, false);
        assert.equal(neighbour.poll(waiting), undefined, 'it waits as before');
        neighbour.close();
        write(t, `${DRIVER}/bind`, first);
        await ready(t, before);
        await asNew(t);
      },
      { ...SLOW, devices: 2 },
    );

    test(
      'a card that is taken away and found again is a new one',
      async (t) => {
        const before = t.target.driver.accelerators().map(({ pciAddress }) => pciAddress);
        const [first = ''] = before;
        write(t, `${folder(first)}/remove`, '1');
        assertErrno('ENOENT', () => write(t, `${folder(first)}/remove`, '1'));
        assertErrno('ENODEV', () => write(t, `${DRIVER}/bind`, first));
        write(t, '/sys/bus/pci/rescan', '1');
        await ready(t, before);
        assert.equal(resets(control(t)), 0);
        await asNew(t);
      },
      SLOW,
    );

    test('what does not ask for a reset of the function is refused', (t) => {
      const node = control(t);
      const before = resets(node);
      for (const text of ['0', '2', '-1', 'yes'])
        assertErrno('EINVAL', () => write(t, `${folder(addressOf(t))}/reset`, text));
      assert.equal(resets(node), before);
    });

    test(
      'a function that is reset: the driver resets the card, and it is as new',
      async (t) => {
        const node = control(t);
        const before = resets(node);
        const other = t.use(t.open(1));
        write(t, `${folder(addressOf(t))}/reset`, '1');
        assert.equal(await recovered(t, node, before), before + 1);
        await asNew(t);
        await run(t, UP, new CommandStream().nop(), other);
      },
      { ...SLOW, devices: 2 },
    );

    test(
      'a function that is reset while a program has the card: who waits is told, work is lost, and the next finds it as new',
      async (t) => {
        t.expectMessages(...RESETTING);
        const node = control(t);
        const before = resets(node);
        const device = t.open(0);
        try {
          const { call, answer } = beginWait(t, thread(t), device, held(device));
          await blocked(t, call);
          write(t, `${folder(addressOf(t))}/reset`, '1');
          assert.equal(await errnoOf(answer()), 'EIO');
        } finally {
          device.close();
        }
        assert.equal(await recovered(t, node, before), before + 1);
        await asNew(t);
      },
      SLOW,
    );

    test(
      'the memory of a card whose function was reset is reached by its peer as before',
      async (t) => {
        const node = control(t);
        const before = resets(node);
        write(t, `${folder(addressOf(t))}/reset`, '1');
        await recovered(t, node, before);
        const [owner, other] = [t.open(0), t.open(1)];
        const peer = t.use(other.importDmaBuf(exported(t, owner, SIZE).fd));
        const bytes = new Uint8Array(SIZE);
        fill(bytes, t.random);
        using staging = other.dram.allocate(SIZE);
        await writeMemory(t, other, staging, bytes);
        await run(t, UP, new CommandStream().dma(peer.deviceAddress, staging, SIZE), other);
        assertSame(await read(t, owner, owner.dram.base, SIZE), bytes, 'written by the peer');
      },
      { ...SLOW, devices: 2, needs: 'p2p' },
    );
  },
);
