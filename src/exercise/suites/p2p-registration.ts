/** Registering memory of an accelerator with a network card: what the kernel refuses, and what it lets live how long. */

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { O_WRONLY } from '../../driver/driver.ts';
import { Device } from '../../runtime/device.ts';
import { RdmaContext } from '../../runtime/verbs/device.ts';
import { accessFlags } from '../../uapi/rdma/verbs.ts';
import type { Declare, TestContext } from '../suite.ts';
import { openNode, opens, read, write } from './dmabuf-lib.ts';
import { assertErrno, assertSame, KiB, MiB } from './lib.ts';
import { assertBytes, cardRegion, finished, hostRegion, noiseOf, reach, side } from './p2p-lib.ts';
import { asNew, control, REQUESTED, recovered, SLOW, writeHardReset } from './reset-lib.ts';
import { another, blocked, returned, thread } from './threads-lib.ts';

const one = { needs: 'nic' } as const;
const apart = { needs: 'nic-apart' } as const;
const NOT_REACHED = /cannot be used for peer-to-peer DMA as the client and provider/;

export function registrationTests(test: Declare): void {
  refusals(test);
  lifetimes(test);
}

function refusals(test: Declare): void {
  test(
    'descriptors that are no dma-buf',
    (t) => {
      const { driver } = t.target;
      const { pd, nic } = side(t);
      for (const fd of [-1, 1 << 20, 0x7fff_ffff]) assertErrno('EBADF', () => pd.registerDmaBuf(fd, 4 * KiB));
      const eventfd = driver.eventfd(0, 0);
      try {
        for (const fd of [eventfd, nic.fd, t.device.fd]) assertErrno('EINVAL', () => pd.registerDmaBuf(fd, 4 * KiB));
      } finally {
        driver.close(eventfd);
      }
    },
    one,
  );

  test(
    'a dma-buf that is closed',
    (t) => {
      const { pd } = side(t);
      const buffer = t.device.exportDmaBuf(t.device.dram.base, 4 * KiB);
      const { fd } = buffer;
      buffer[Symbol.dispose]();
      assertErrno('EBADF', () => pd.registerDmaBuf(fd, 4 * KiB));
    },
    one,
  );

  test(
    'more than the dma-buf has, in every way of saying so',
    (t) => {
      const { pd } = side(t);
      using buffer = t.device.exportDmaBuf(t.device.dram.base, 64 * KiB);
      for (const [offset, length] of [
        [0n, 64 * KiB + 1],
        [0n, 64 * KiB + 4 * KiB],
        [4096n, 64 * KiB],
        [65536n, 4 * KiB],
        [0xffff_ffff_ffff_f000n, 8 * KiB],
        [0n, 2 ** 40],
      ] as const) {
        assertErrno('EINVAL', () => pd.registerDmaBuf(buffer.fd, length, { offset }));
      }
    },
    one,
  );

  test(
    'nothing at all',
    (t) => {
      const { pd } = side(t);
      using buffer = t.device.exportDmaBuf(t.device.dram.base, 64 * KiB);
      assertErrno('EINVAL', () => pd.registerDmaBuf(buffer.fd, 0));
    },
    one,
  );

  test(
    'an address that is not at the offset’s place within a page',
    (t) => {
      const { pd } = side(t);
      using buffer = t.device.exportDmaBuf(t.device.dram.base, 64 * KiB);
      for (const [offset, address] of [
        [0, 1n],
        [100, 0x1000n],
        [4096, 0x1800n],
      ] as const) {
        assertErrno('EINVAL', () => pd.registerDmaBuf(buffer.fd, 4 * KiB, { offset, address }));
      }
      pd.registerDmaBuf(buffer.fd, 4 * KiB, { offset: 100, address: 0x5064n })[Symbol.dispose]();
    },
    one,
  );

  test(
    'permissions that do not go together, or that there are not',
    (t) => {
      const { pd } = side(t);
      using buffer = t.device.exportDmaBuf(t.device.dram.base, 64 * KiB);
      const register = (access: object) => pd.registerDmaBuf(buffer.fd, 4 * KiB, access);
      assertErrno('EINVAL', () => register({ localWrite: false }));
      for (const flag of ['MW_BIND', 'ZERO_BASED', 'ON_DEMAND', 'HUGETLB', 'FLUSH_GLOBAL'] as const)
        assertErrno('EINVAL', () => register({ flags: accessFlags[`IB_UVERBS_ACCESS_${flag}`].value }));
      assertErrno('EINVAL', () => register({ flags: 0x8000_0000 }));
      assertErrno('EOPNOTSUPP', () => register({ flags: accessFlags.IB_UVERBS_ACCESS_REMOTE_ATOMIC.value }));
      register({ flags: accessFlags.IB_UVERBS_ACCESS_RELAXED_ORDERING.value })[Symbol.dispose]();
    },
    one,
  );

  test(
    'a network card that cannot reach the accelerator is refused, and told of by the driver',
    (t) => {
      t.expectMessages(NOT_REACHED);
      const nic = side(t);
      using buffer = t.device.exportDmaBuf(t.device.dram.base, 64 * KiB);
      assertErrno('EPERM', () => nic.pd.registerDmaBuf(buffer.fd, 64 * KiB));
      assertErrno('EPERM', () => nic.pd.registerDmaBuf(buffer.fd, 4 * KiB));
      // all that needs no way to the accelerator works
      const host = hostRegion(nic, 8 * KiB);
      nic.qp.write(reach(nic), { local: host.piece(0, 4 * KiB), remote: host.at(4 * KiB) });
      finished(nic);
    },
    apart,
  );

  test(
    'memory of the program: addresses and lengths that it does not have',
    (t) => {
      const { pd } = side(t);
      assertErrno('EFAULT', () => pd.register(0x1000n, 4 * KiB));
      assertErrno('EINVAL', () => pd.register(0xffff_ffff_ffff_f000n, 8 * KiB));
      assertErrno('EINVAL', () => pd.register(0x1000n, 0));
    },
    one,
  );

  test(
    'a protection domain that something was made in is not freed',
    (t) => {
      const { nic } = side(t);
      const pd = nic.allocatePd();
      const { region } = cardRegion({ t, pd }, t.device, 4 * KiB);
      assertErrno('EBUSY', () => pd[Symbol.dispose]());
      region[Symbol.dispose]();
      const cq = nic.createCq();
      const qp = pd.createQueuePair({ sendCq: cq });
      assertErrno('EBUSY', () => pd[Symbol.dispose]());
      assertErrno('EBUSY', () => cq[Symbol.dispose]());
      qp[Symbol.dispose]();
      cq[Symbol.dispose]();
      pd[Symbol.dispose]();
    },
    one,
  );
}

function lifetimes(test: Declare): void {
  test(
    'a region goes on when the dma-buf is closed',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, 64 * KiB);
      const host = hostRegion(nic, 64 * KiB);
      nic.qp.write(reach(nic), { local: host.piece(), remote: card.region.at() });
      finished(nic);
      assertSame(await read(t, t.device, card.at, 64 * KiB), host.bytes.slice(), 'in the accelerator');
    },
    one,
  );

  test(
    'a region goes on when the accelerator is closed, and keeps it taken until it goes',
    async (t) => {
      const nic = side(t);
      const owner = t.open(0);
      const card = cardRegion(nic, owner, 64 * KiB);
      const bytes = noiseOf(t, 64 * KiB);
      await write(t, owner, card.at, bytes);
      owner.close();
      assertErrno('EBUSY', () => openNode(t.target.driver, 0));
      const host = hostRegion(nic, 64 * KiB);
      nic.qp.read(reach(nic), { local: host.piece(), remote: card.region.at() });
      finished(nic);
      assertBytes(host.bytes, bytes, 'what was read');
      card.region[Symbol.dispose]();
      opens(t, 0);
    },
    one,
  );

  test(
    'the region goes first: the accelerator goes on, and closes as ever',
    async (t) => {
      const nic = side(t);
      const owner = t.open(0);
      const card = cardRegion(nic, owner, 64 * KiB);
      card.region[Symbol.dispose]();
      const bytes = noiseOf(t, 64 * KiB);
      await write(t, owner, card.at, bytes);
      assertSame(await read(t, owner, card.at, 64 * KiB), bytes, 'in the accelerator');
      owner.close();
      opens(t, 0);
    },
    one,
  );

  test(
    'closing the network card gives all regions back',
    (t) => {
      const nic = side(t);
      const owner = t.open(0);
      for (let i = 0; i < 10; i++) cardRegion(nic, owner, 64 * KiB, i * 64 * KiB);
      owner.close();
      assertErrno('EBUSY', () => openNode(t.target.driver, 0));
      nic.nic.close();
      opens(t, 0);
    },
    one,
  );

  test(
    'a thousand registrations one after the other leave nothing behind',
    (t) => {
      const nic = side(t);
      const owner = t.open(0);
      using buffer = owner.exportDmaBuf(owner.dram.base, 64 * KiB);
      for (let i = 0; i < 1000; i++) nic.pd.registerDmaBuf(buffer.fd, 64 * KiB)[Symbol.dispose]();
      buffer[Symbol.dispose]();
      owner.close();
      opens(t, 0);
    },
    one,
  );

  test(
    'a program that is killed gives regions, queues and the accelerator back',
    async (t) => {
      const child = another(t);
      const owner = Device.open({ driver: child, index: 0 });
      const nic = RdmaContext.open({ driver: child });
      const pd = nic.allocatePd();
      pd.createQueuePair({ sendCq: nic.createCq() });
      cardRegion({ t, pd }, owner, MiB);
      assertErrno('EBUSY', () => openNode(t.target.driver, 0));
      child.kill();
      opens(t, 0);
      const again = side(t);
      const card = cardRegion(again, t.device, 4 * KiB);
      const host = hostRegion(again, 4 * KiB);
      again.qp.write(reach(again), { local: host.piece(), remote: card.region.at() });
      finished(again);
    },
    one,
  );

  test(
    'a program that is killed in the middle of transfers leaves cards that work',
    async (t) => {
      const child = another(t);
      const owner = Device.open({ driver: child, index: 0 });
      const theirs = side(t, 0, { driver: child });
      const card = cardRegion(theirs, owner, 64 * MiB);
      const host = theirs.pd.allocate(16 * MiB);
      const to = reach(theirs);
      for (let i = 0; i < 16; i++) {
        const remote = card.region.at((i % 4) * 16 * MiB);
        if (i % 2 === 0) theirs.qp.queueWrite(to, { local: host.piece(), remote });
        else theirs.qp.queueRead(to, { local: host.piece(), remote });
      }
      theirs.qp.flush();
      child.kill();
      opens(t, 0);
      const again = side(t);
      const mine = cardRegion(again, t.device, MiB);
      const bytes = hostRegion(again, MiB);
      again.qp.write(reach(again), { local: bytes.piece(), remote: mine.region.at() });
      finished(again);
      assertSame(await read(t, t.device, mine.at, MiB), bytes.bytes.slice(), 'in the accelerator');
    },
    one,
  );

  test(
    'a dma-buf is handed to another program, which registers it and outlives the first’s use of it',
    async (t) => {
      const owner = t.open(0);
      const bytes = noiseOf(t, 64 * KiB);
      await write(t, owner, owner.dram.base, bytes);
      const buffer = owner.exportDmaBuf(owner.dram.base, 64 * KiB);
      const child = another(t, [buffer.fd]);
      const theirs = side(t, 0, { driver: child });
      const region = theirs.pd.registerDmaBuf(buffer.fd, 64 * KiB);
      owner.close();
      const host = theirs.pd.allocate(64 * KiB);
      theirs.qp.read(reach(theirs), { local: host.piece(), remote: region.at() });
      finished(theirs);
      assertBytes(host.bytes, bytes, 'what the other program has read');
      assertErrno('EBUSY', () => openNode(t.target.driver, 0));
      child.kill();
      opens(t, 0);
    },
    one,
  );

  test(
    'a reset of the accelerator ends the program whose network card has its memory, and all is well again',
    async (t) => {
      t.expectMessages(REQUESTED);
      const node = control(t);
      const before = node.info.resetCount().hard_reset_cnt;
      const child = another(t);
      const owner = Device.open({ driver: child, index: 0 });
      const theirs = side(t, 0, { driver: child });
      cardRegion(theirs, owner, MiB);
      writeHardReset(t, '1');
      assert.equal(await recovered(t, node, before), before + 1);
      assert.equal(child.alive, false);
      await asNew(t);
      const nic = side(t);
      const card = cardRegion(nic, t.open(0), 64 * KiB);
      const host = hostRegion(nic, 64 * KiB);
      nic.qp.write(reach(nic), { local: host.piece(), remote: card.region.at() });
      finished(nic);
      assertSame(await read(t, card.device, card.at, 64 * KiB), host.bytes.slice(), 'in the accelerator');
    },
    { ...one, ...SLOW },
  );
  // ib_uverbs_remove_one: the efa driver cannot take a card away from its users (it has no disassociate_ucontext)
  test(
    'a network card that is taken out waits for who uses it, is gone then, and works when it is found again',
    async (t) => {
      const { driver } = t.target;
      const theirs = side(t, 0);
      const { name, pciAddress } = theirs.nic.device;
      const card = cardRegion(theirs, t.device, MiB);
      const host = hostRegion(theirs, MiB);
      const there = () => driver.rdmaDevices().some((device) => device.pciAddress === pciAddress);

      using removal = opened(t, `/sys/bus/pci/devices/${pciAddress}/remove`);
      const removing = thread(t).write(removal.fd, new TextEncoder().encode('1'));
      t.use({ [Symbol.dispose]: () => rescan(t) });
      await blocked(t, removing);
      theirs.qp.write(reach(theirs), { local: host.piece(), remote: card.region.at() });
      finished(theirs);
      const written = host.bytes.slice();
      theirs.nic.close();
      await returned(t, removing);
      assert.equal(removing.finish(), 1);
      assert.equal(there(), false, name);
      assertSame(await read(t, t.device, card.at, MiB), written, 'in the accelerator');

      rescan(t);
      while (!there()) {
        t.signal.throwIfAborted();
        driver.sleep(20_000_000);
        await setImmediate();
      }
      const index = driver.rdmaDevices().findIndex((device) => device.pciAddress === pciAddress);
      const again = side(t, index);
      const region = cardRegion(again, t.device, MiB);
      const more = hostRegion(again, MiB);
      again.qp.write(reach(again), { local: more.piece(), remote: region.region.at() });
      finished(again);
      assertSame(await read(t, t.device, region.at, MiB), more.bytes.slice(), 'in the accelerator');
    },
    { ...one, ...SLOW },
  );
}

/** A file that may only be written, open until the end of the test at the latest. */
function opened(t: TestContext, path: string): Disposable & { readonly fd: number } {
  const { driver } = t.target;
  const fd = driver.open(path, O_WRONLY);
  return { fd, [Symbol.dispose]: () => driver.close(fd) };
}

/** Has the kernel look for devices that it does not have. */
function rescan(t: TestContext): void {
  using file = opened(t, '/sys/bus/pci/rescan');
  t.target.driver.write(file.fd, new TextEncoder().encode('1'));
}
