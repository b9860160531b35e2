/** What becomes of things when those who made them let them go, die, or hand them on. */

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { PROT_READ, PROT_WRITE } from '../../driver/driver.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { Device } from '../../runtime/device.ts';
import { cbOperations, DRM_IOCTL_HL_CB } from '../../uapi/habanalabs/cb.ts';
import { csFlags } from '../../uapi/habanalabs/cs.ts';
import { values } from '../../uapi/rows.ts';
import { type Declare, suite, type TestContext } from '../suite.ts';
import { EVENT, FAULT, told } from './events-lib.ts';
import { assertErrno, assertSame, call, fill, KiB, MiB, pages, run } from './lib.ts';
import { inherited, processes } from './lifetimes-processes.ts';
import { asNew, control, KILLING, LATE_EVENT, recovered, resets, SLOW, untouched } from './reset-lib.ts';
import { externalQueues } from './sync-lib.ts';
import { letGo, Prepared, thread } from './threads-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
const NOT_IDLE = /device is not idle after user context is closed/;
const FLAG = values(csFlags);

function buffers(test: Declare): void {
  test('a command buffer that is destroyed lives on while it is mapped', ({ device }) => {
    const { driver } = device;
    const { handle } = device.createCb(4 * KiB, { mapped: false });
    const memory = driver.mmap(device.fd, 4 * KiB, PROT_READ | PROT_WRITE, handle);
    memory.bytes.fill(7);
    const destroy = { in: { op: cbOperations.HL_CB_OP_DESTROY.value, cb_handle: handle } };
    const ask = { in: { op: cbOperations.HL_CB_OP_INFO.value, cb_handle: handle } };
    call(device, DRM_IOCTL_HL_CB, destroy);
    memory.bytes.fill(8);
    assert.equal(memory.bytes[100], 8);
    assertErrno('EINVAL', () => call(device, DRM_IOCTL_HL_CB, destroy));
    // its number finds it until then
    call(device, DRM_IOCTL_HL_CB, ask);
    memory.unmap();
  });

  test('once it is unmapped too, its number means nothing', (t) => {
    t.expectMessages(/no match to handle/);
    const { device } = t;
    const buffer = device.createCb(4 * KiB);
    buffer[Symbol.dispose]();
    assertErrno('EINVAL', () =>
      call(device, DRM_IOCTL_HL_CB, { in: { op: cbOperations.HL_CB_OP_INFO.value, cb_handle: buffer.handle } }),
    );
    assertErrno('EINVAL', () => device.driver.mmap(device.fd, 4 * KiB, PROT_READ, buffer.handle));
  });

  test('work goes on when its command buffer is destroyed', async (t) => {
    const { device } = t;
    const host = device.allocHost(4 * KiB);
    const prepared = new Prepared(t, device, DOWN, new CommandStream().fence(0).memset(host, 5n, 8));
    const { out } = await prepared.begin(thread(t)).answer();
    prepared.buffer[Symbol.dispose]();
    // whoever is given the memory next does not change what was submitted
    using next = device.createCb(4 * KiB);
    next.bytes.fill(0xff);
    await letGo(t, device, DOWN, UP);
    await device.wait(out.seq, { signal: t.signal });
    assert.equal(host.words[0], 5);
  });

  test('what is written to a command buffer after it was submitted changes nothing', async (t) => {
    const { device } = t;
    const host = device.allocHost(4 * KiB);
    const gate = device.submit({ queue: DOWN, stream: new CommandStream().fence(0) });
    const prepared = new Prepared(t, device, DOWN, new CommandStream().memset(host, 1n, 8));
    const { out } = await prepared.begin(thread(t)).answer();
    prepared.buffer.bytes.set(new CommandStream().memset(host, 2n, 8).bytes);
    await letGo(t, device, DOWN, UP);
    await device.wait(gate, { signal: t.signal });
    await device.wait(out.seq, { signal: t.signal });
    assert.equal(host.words[0], 1);
  });

  test('handles of one open file mean nothing in the next', (t) => {
    t.expectMessages(/no match to handle/, /unmap failed, no mem hnode/, /Can't wait on CS/, /CB handle .* invalid/);
    const first = t.open(0);
    const buffer = first.createCb(4 * KiB);
    const host = first.allocHost(4 * KiB);
    const work = first.submit({ queue: DOWN, stream: new CommandStream().nop() });
    first.waitSync(work, 10_000);
    const { handle } = buffer;
    const { deviceAddress } = host;
    first.close();
    using second = t.open(0);
    assertErrno('EINVAL', () =>
      call(second, DRM_IOCTL_HL_CB, { in: { op: cbOperations.HL_CB_OP_INFO.value, cb_handle: handle } }),
    );
    assertErrno('EINVAL', () => second.driver.mmap(second.fd, 4 * KiB, PROT_READ, handle));
    assertErrno('EINVAL', () => second.unmap(deviceAddress));
    assertErrno('EINVAL', () => second.poll(work));
  });
}

function memory(test: Declare): void {
  test('the card reaches memory that the program has given up, until it is unmapped', async (t) => {
    const { device } = t;
    const { driver } = t.target;
    const memory = driver.allocate(MiB);
    fill(memory.bytes, t.random);
    const expected = memory.bytes.slice();
    const mapping = device.mapHost(memory.address, MiB);
    memory.unmap();
    // what the program is given next is other memory
    const next = driver.allocate(MiB);
    next.bytes.fill(0xee);
    const result = device.allocHost(MiB);
    const dram = device.dram.allocate(MiB);
    await run(t, DOWN, new CommandStream().dma(dram, mapping.deviceAddress, MiB));
    await run(t, UP, new CommandStream().dma(result, dram, MiB));
    assertSame(result.bytes, expected, 'memory that was given up');
    mapping[Symbol.dispose]();
    next.unmap();
  });

  test(
    'a transfer whose memory is unmapped while it runs faults',
    async (t) => {
      t.expectMessages(
        /page fault/,
        /RAZWI/,
        /H\/W interrupt/,
        /DMA\d?_?(CORE|QM)/i,
        /MMU/,
        KILLING,
        NOT_IDLE,
        LATE_EVENT,
      );
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      const events = device.notifyEvents();
      const host = device.allocHost(MiB);
      const dram = device.dram.allocate(MiB);
      const stream = new CommandStream().fence(0);
      for (let i = 0; i < 4; i++) stream.dma(dram, host, MiB);
      device.submit({ queue: DOWN, stream });
      const { deviceAddress } = host;
      device.unmap(deviceAddress);
      await letGo(t, device, DOWN, UP);
      await told(t, events, FAULT);
      const { addr } = device.info.pageFaultEvent() ?? {};
      assert.ok(addr !== undefined && addr >= deviceAddress && addr < deviceAddress + BigInt(MiB));
      t.expectMessages(/unmap failed, no mem hnode/);
      device.close();
      await recovered(t, node, before);
      await asNew(t);
    },
    SLOW,
  );

  test('an address that was unmapped is given again', (t) => {
    const { device } = t;
    const [one, other] = [pages(t, 16), pages(t, 16)];
    const first = device.mapHost(one.address, 64 * KiB);
    const { deviceAddress } = first;
    first[Symbol.dispose]();
    using second = device.mapHost(other.address, 64 * KiB, { hint: deviceAddress, forceHint: true });
    assert.equal(second.deviceAddress, deviceAddress);
  });
}

function files(test: Declare): void {
  test('a descriptor is closed once, and then is good for nothing', (t) => {
    const device = t.open(0);
    const { driver, fd } = device;
    const buffer = device.exportDmaBuf(device.dram.base, 4 * KiB);
    const exported = buffer.fd;
    buffer[Symbol.dispose]();
    assertErrno('EBADF', () => driver.close(exported));
    device.close();
    assertErrno('EBADF', () => driver.close(fd));
    assertErrno('EBADF', () => driver.dup(fd));
    assertErrno('EBADF', () => driver.mmap(fd, 4 * KiB, PROT_READ, 0n));
    const argument = new Uint8Array(DRM_IOCTL_HL_CB.argument.size);
    assertErrno('EBADF', () => driver.ioctl(fd, DRM_IOCTL_HL_CB.request, argument));
  });

  test('the card is taken until its last descriptor is closed', (t) => {
    const device = t.open(0);
    const { driver } = t.target;
    const kept = driver.dup(device.fd);
    device.close();
    assertErrno('EBUSY', () => t.open(0));
    const again = Device.adopt(driver, kept);
    assert.equal(again.info.status(), 'OPERATIONAL');
    again.close();
    t.open(0).close();
  });

  test('what was made by one descriptor is used by its duplicate', async (t) => {
    const { device } = t;
    const copy = t.use(Device.adopt(t.target.driver, t.target.driver.dup(device.fd)));
    const host = device.allocHost(4 * KiB);
    const work = copy.submit({ queue: DOWN, stream: new CommandStream().memset(host, 3n, 8) });
    await device.wait(work, { signal: t.signal });
    assert.equal(host.words[0], 3);
    copy.unmap(host.deviceAddress);
    t.expectMessages(/unmap failed, no mem hnode/);
  });

  test('the card is taken while a command buffer of it is mapped', (t) => {
    const device = t.open(0);
    const { driver } = t.target;
    const { handle } = device.createCb(4 * KiB, { mapped: false });
    const memory = driver.mmap(device.fd, 4 * KiB, PROT_READ | PROT_WRITE, handle);
    const fd = driver.dup(device.fd);
    device.close();
    driver.close(fd);
    try {
      assertErrno('EBUSY', () => t.open(0));
      memory.bytes.fill(9);
      assert.equal(memory.bytes[4095], 9);
    } finally {
      memory.unmap();
    }
    t.open(0).close();
  });

  test('an eventfd that the program closes is told of no longer, and nobody minds', async (t) => {
    t.expectMessages(/has not finished in/, /completed after \d+ \(s\)/);
    const { device } = t;
    const fd = t.target.driver.eventfd(0, 0);
    device.info.registerEventfd(fd);
    t.target.driver.close(fd);
    assertErrno('EINVAL', () => device.info.registerEventfd(fd));
    const stream = new CommandStream().fence(0);
    const work = device.submit({ queue: DOWN, stream }, { timeout: 1, skipResetOnTimeout: true });
    while ((Number(device.info.getEvents()) & EVENT.HL_NOTIFIER_EVENT_CS_TIMEOUT) === 0) {
      t.signal.throwIfAborted();
      t.target.driver.sleep(20_000_000);
      await setImmediate();
    }
    await letGo(t, device, DOWN, UP);
    await device.wait(work, { signal: t.signal });
  });

  test('an eventfd is registered once, and taken back once', (t) => {
    const { device } = t;
    const fd = t.target.driver.eventfd(0, 0);
    t.use({ [Symbol.dispose]: () => t.target.driver.close(fd) });
    assertErrno('EINVAL', () => device.info.unregisterEventfd());
    device.info.registerEventfd(fd);
    assertErrno('EINVAL', () => device.info.registerEventfd(fd));
    device.info.unregisterEventfd();
    assertErrno('EINVAL', () => device.info.unregisterEventfd());
  });
}

function inFlight(test: Declare): void {
  const states: readonly (readonly [string, (t: TestContext, device: Device) => void])[] = [
    [
      'a transfer runs',
      (_, device) => {
        const [from, to] = [device.dram.allocate(64 * MiB), device.dram.allocate(64 * MiB)];
        const stream = new CommandStream();
        for (let i = 0; i < 40; i++) stream.dma(to, from, 64 * MiB);
        // so that it has not ended, however late the card is closed
        device.submit({ queue: DOWN, stream: stream.fence(0) });
      },
    ],
    [
      'a queue waits for a signal',
      (_, device) => {
        device.submit({ queue: DOWN, stream: new CommandStream().fence(0) });
        const signal = device.signal(DOWN);
        device.waitForSignal(UP, signal);
      },
    ],
    [
      'a submission lacks its last part',
      (_, device) => {
        const flags = FLAG.HL_CS_FLAGS_STAGED_SUBMISSION | FLAG.HL_CS_FLAGS_STAGED_SUBMISSION_FIRST;
        device.submit({ queue: DOWN, stream: new CommandStream().nop() }, { flags });
      },
    ],
  ];
  for (const [state, prepare] of states) {
    test(
      `a card that is closed while ${state} is reset`,
      async (t) => {
        t.expectMessages(KILLING, NOT_IDLE);
        const node = control(t);
        const before = resets(node);
        const device = t.open(0);
        prepare(t, device);
        device.close();
        assert.equal(await recovered(t, node, before), before + 1);
        await asNew(t);
      },
      SLOW,
    );
  }

  test('a card that is closed right after its work has ended is not reset', async (t) => {
    const node = control(t);
    const before = resets(node);
    for (const queue of externalQueues) {
      const device = t.open(0);
      const work = device.submit({ queue, stream: new CommandStream().nop() });
      device.waitSync(work, 10_000);
      device.close();
    }
    await untouched(t, node, before);
  });

  test(
    'a card that is closed with signals reserved is reset',
    async (t) => {
      t.expectMessages(KILLING);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      device.reserveSignals(DOWN, 8);
      device.close();
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );
}

export const lifetimes = suite(
  'lifetimes',
  'What becomes of handles, memory, files and work when those who made them let go of them, or die.',
  (test) => {
    buffers(test);
    memory(test);
    files(test);
    inFlight(test);
    inherited(test);
    processes(test);
  },
);
