import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { EFD_NONBLOCK } from '../../driver/driver.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { Device } from '../../runtime/device.ts';
import { DeviceInUseError } from '../../runtime/errors.ts';
import { fenceAddress } from '../../runtime/sync.ts';
import type { QueueName } from '../../uapi/habanalabs/gaudi.ts';
import { type Declare, suite, type TestContext } from '../suite.ts';
import { EVENT, FAULT, told } from './events-lib.ts';
import { assertErrno, KiB, MiB, run } from './lib.ts';
import {
  asNew,
  control,
  KILLING,
  LATE_EVENT,
  REQUESTED,
  recovered,
  resets,
  SLOW,
  writeHardReset,
} from './reset-lib.ts';
import { externalQueues, hold } from './sync-lib.ts';
import { another, beginWait, blocked, errnoOf, held, several, thread } from './threads-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
/** Nanoseconds, well below the 30 s that the driver gives (device.c, HL_DEVICE_RELEASE_WATCHDOG_TIMEOUT_SEC). */
const LOOK = 20e9;

function requested(test: Declare): void {
  test('what is no number asks for no reset', (t) => {
    const node = control(t);
    const before = node.info.resetCount();
    for (const text of ['now', ' ', '1x']) assertErrno('EINVAL', () => writeHardReset(t, text));
    assert.equal(node.info.status(), 'OPERATIONAL');
    assert.deepEqual(node.info.resetCount(), before);
  });

  test(
    'a card that nobody uses is reset, once at a time; who opens it meanwhile waits for the end',
    async (t) => {
      t.expectMessages(REQUESTED);
      const node = control(t);
      const before = resets(node);
      for (let i = 0; i < 3; i++) writeHardReset(t, '1');
      assert.equal(node.info.status(), 'IN_RESET');
      assertErrno('EAGAIN', () => Device.open({ driver: t.target.driver, index: 0, patience: 0 }));
      const device = Device.open({ driver: t.target.driver, index: 0, patience: 60_000 });
      assert.equal(await recovered(t, node, before), before + 1);
      await run(t, DOWN, new CommandStream().nop(), device);
      device.close();
      await asNew(t);
    },
    SLOW,
  );

  test(
    'during a reset the control node tells what needs no card, and no more',
    async (t) => {
      t.expectMessages(REQUESTED);
      const node = control(t);
      const before = resets(node);
      const ip = node.info.hwIp();
      writeHardReset(t, '1');
      assert.deepEqual(node.info.hwIp(), ip);
      node.info.openStats();
      node.info.hwEvents();
      for (const ask of ['idle', 'clockRate', 'timeSync', 'energy', 'power', 'pciCounters'] as const) {
        assertErrno('EBUSY', () => node.info[ask]());
      }
      assertErrno('EBUSY', () => node.info.pllFrequency('CPU'));
      await recovered(t, node, before);
      node.info.clockRate();
    },
    SLOW,
  );

  test(
    'a reset of one card leaves the other at work',
    async (t) => {
      t.expectMessages(REQUESTED);
      const node = control(t);
      const other = t.open(1);
      const before = resets(node);
      const theirs = other.info.resetCount();
      const host = other.allocHost(4 * KiB);
      const held = other.submit({ queue: DOWN, stream: new CommandStream().fence(0).memset(host, 1n, 8) });
      writeHardReset(t, '1');
      await run(t, UP, new CommandStream().memset(host.deviceAddress + 8n, 2n, 8), other);
      assert.equal(node.info.status(), 'IN_RESET');
      assert.deepEqual([...host.words.subarray(0, 4)], [0, 0, 2, 0]);
      await recovered(t, node, before);
      await run(t, UP, new CommandStream().write(fenceAddress(DOWN, 0), 1), other);
      await other.wait(held, { signal: t.signal });
      assert.equal(host.words[0], 1);
      assert.deepEqual(other.info.resetCount(), theirs);
      await asNew(t);
    },
    { ...SLOW, devices: 2 },
  );

  // A program that does not close within a second of the reset is killed (device.c, device_kill_open_processes).
  test(
    'a reset takes the card from its user',
    async (t) => {
      t.expectMessages(REQUESTED);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      const host = device.allocHost(4 * KiB);
      const buffer = device.createCb(4 * KiB);
      const ended = device.submit({ queue: DOWN, stream: new CommandStream().nop() });
      device.waitSync(ended, 10_000);
      writeHardReset(t, '1');
      try {
        assertErrno('EBUSY', () => device.submit({ queue: DOWN, buffer, size: 8 }));
        assertErrno('EBUSY', () => device.poll(ended));
        assertErrno('EBUSY', () => device.allocHost(4 * KiB));
        assertErrno('EBUSY', () => device.unmap(host.deviceAddress));
        assertErrno('EBUSY', () => device.createCb(4 * KiB));
        assertErrno('EBUSY', () => device.info.idle());
        assert.equal(device.info.status(), 'IN_RESET');
      } finally {
        device.close();
      }
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );

  test(
    'a reset in the middle of a command buffer leaves nothing of it',
    async (t) => {
      t.expectMessages(REQUESTED, KILLING);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      const begun = device.sync('E_N').syncObject();
      const stream = new CommandStream();
      while (stream.size < 6 * KiB) stream.nop();
      stream.add(begun, 1).fence(0);
      while (stream.size < 16 * KiB) stream.nop();
      device.submit({ queue: DOWN, stream });
      await run(t, UP, hold(UP, device.sync('E_N').monitor(), [begun], 1), device);
      writeHardReset(t, '1');
      device.close();
      assert.equal(await recovered(t, node, before), before + 1);
      // with a short one in the same queue
      await asNew(t);
    },
    SLOW,
  );

  test(
    'a reset ends work in flight',
    async (t) => {
      t.expectMessages(REQUESTED, KILLING);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      const [from, to] = [device.dram.allocate(64 * MiB), device.dram.allocate(64 * MiB)];
      const held = externalQueues.slice(0, 6).map((queue) => {
        return device.submit({ queue, stream: new CommandStream().fence(0) });
      });
      const object = device.sync('E_N').syncObject();
      const busy = externalQueues.slice(6).map((queue) => {
        const stream = new CommandStream().set(object, 100);
        for (let i = 0; i < 20; i++) stream.dma(to, from, 64 * MiB);
        return device.submit({ queue, stream });
      });
      writeHardReset(t, '1');
      try {
        for (const work of [...held, ...busy]) assertErrno('EBUSY', () => device.poll(work));
      } finally {
        device.close();
      }
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );
}

/** Opens the card, as it is now, and closes it. */
async function openOnce(t: TestContext): Promise<void> {
  Device.open({ driver: t.target.driver, index: 0, patience: 0 }).close();
}

function users(test: Declare): void {
  test(
    'a card that is closed with work in flight is reset',
    async (t) => {
      t.expectMessages(KILLING);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      const host = device.allocHost(MiB);
      for (const queue of externalQueues) {
        device.submit({ queue, stream: new CommandStream().fence(0).memset(host, 1n, MiB) });
      }
      device.close();
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );

  test(
    'a card that is closed with an internal queue at work is reset',
    async (t) => {
      // nothing is in flight as far as the driver counts, but the engine is not idle
      t.expectMessages(/device is not idle after user context is closed/);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      const manager = device.sync('E_N');
      const begun = manager.syncObject();
      const waiting = new CommandStream().add(begun, 1).fence(0);
      const memory = device.dram.allocate(KiB);
      const host = device.allocHost(KiB);
      host.bytes.set(waiting.bytes);
      await run(t, DOWN, new CommandStream().dma(memory, host, waiting.size), device);
      const nop = new CommandStream().nop();
      const work = device.submit([
        { queue: 'TPC_3_1', place: memory, size: waiting.size },
        { queue: DOWN, stream: nop },
      ]);
      await device.wait(work, { signal: t.signal });
      await run(t, DOWN, hold(DOWN, manager.monitor(), [begun], 1), device);
      device.close();
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );

  test('who opens a card that its user gives back is told to try again, not that it is taken', async (t) => {
    const node = control(t);
    const first = t.open(0);
    const last = t.target.driver.dup(first.fd);
    first.close();
    const closing = thread(t).close(last);
    let opened = false;
    // a driver that is done before anybody looks has nothing to say
    while (!closing.done && !opened) {
      if (node.info.openStats().compute_ctx_in_release === 0) t.target.driver.sleep(1000);
      else {
        const code = await errnoOf(openOnce(t));
        assert.ok(code === 'EAGAIN' || code === 'none', code);
        opened = code === 'none';
      }
      await setImmediate();
    }
    closing.finish();
    // once in all, whoever was faster
    if (!opened) await openOnce(t);
  });

  test('twenty programs one after the other', async (t) => {
    const node = control(t);
    const before = node.info.openStats().open_counter;
    const count = node.info.resetCount();
    for (let i = 0; i < 20; i++) {
      using device = t.open(0);
      const host = device.allocHost(4 * KiB);
      const sram = device.sram.allocate(8);
      const queue = externalQueues[i % 8] as QueueName;
      await run(t, queue, new CommandStream().memset(sram, BigInt(i + 1), 8).dma(host, sram, 8), device);
      assert.equal(host.words[0], i + 1);
    }
    assert.equal(node.info.openStats().open_counter, before + 20n);
    assert.deepEqual(node.info.resetCount(), count, 'a reset between programs');
  });

  test('one program at a time has the card', (t) => {
    using device = t.open(0);
    assert.throws(() => Device.open({ driver: t.target.driver, index: 0, patience: 0 }), DeviceInUseError);
    assert.equal(device.info.status(), 'OPERATIONAL');
    device.close();
    t.open(0).close();
  });

  test('what a program left mapped and allocated goes when it closes', (t) => {
    const first = t.open(0);
    const before = first.info.dramUsage();
    for (let i = 0; i < 50; i++) {
      first.allocHost(64 * KiB);
      first.createCb(4 * KiB);
      first.dram.allocate(MiB);
    }
    // the descriptor alone, as when a program dies
    t.target.driver.close(t.target.driver.dup(first.fd));
    first.close();
    using second = t.open(0);
    assert.deepEqual(second.info.dramUsage(), before);
  });
}

function faults(test: Declare): void {
  test(
    'work that takes longer than its limit ends all waits for it and resets the card',
    async (t) => {
      t.expectMessages(/Command submission \d+ has not finished in \d+ seconds!/, KILLING, /CS \d+ has timed-out/);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      try {
        // its limit begins when the work before it has ended, so that all wait by then
        held(device, DOWN);
        const work = device.submit({ queue: DOWN, stream: new CommandStream().fence(1) }, { timeout: 1 });
        const waits = several(3, () => beginWait(t, thread(t), device, work));
        for (const { call } of waits) await blocked(t, call);
        device.submit({ queue: UP, stream: new CommandStream().write(fenceAddress(DOWN, 0), 1) });
        for (const { answer } of waits) assert.equal(await errnoOf(answer()), 'ETIMEDOUT');
      } finally {
        device.close();
      }
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );

  test(
    'who listens for events may look at a timeout before the card is reset',
    async (t) => {
      t.expectMessages(/Command submission \d+ has not finished in \d+ seconds!/, KILLING);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      const events = device.notifyEvents();
      const work = device.submit({ queue: UP, stream: new CommandStream().fence(0) }, { timeout: 1 });
      await told(t, events, EVENT.HL_NOTIFIER_EVENT_CS_TIMEOUT | EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET);
      assert.equal(device.info.csTimeoutEvent().seq, work.sequence);
      assert.equal(device.info.status(), 'OPERATIONAL');
      assertErrno('EBUSY', () => device.poll(work));
      assert.equal(resets(node), before);
      device.close();
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );

  test(
    'who listens for events and keeps the card has half a minute to look, then it is reset without',
    async (t) => {
      t.expectMessages(/Command submission \d+ has not finished in \d+ seconds!/, KILLING, /Killing user process/);
      const { driver } = t.target;
      const node = control(t);
      const before = resets(node);
      const child = another(t);
      const theirs = Device.open({ driver: child, index: 0 });
      theirs.info.registerEventfd(child.eventfd(0, EFD_NONBLOCK));
      theirs.submit({ queue: UP, stream: new CommandStream().fence(0) }, { timeout: 1 });
      let begin = driver.now();
      // until it is told, within a second or so
      while (theirs.info.getEvents() === 0n) {
        t.signal.throwIfAborted();
        driver.sleep(20_000_000);
        await setImmediate();
        begin = driver.now();
      }
      assert.equal(theirs.info.status(), 'OPERATIONAL');
      assert.equal(await recovered(t, node, before), before + 1);
      assert.ok(driver.now() - begin > LOOK, 'it had time to look');
      assert.equal(child.alive, false);
      await asNew(t);
    },
    SLOW,
  );

  test(
    'a transfer that may not write an address is told of, and ends with the program',
    async (t) => {
      t.expectMessages(/page fault/, /RAZWI/, /H\/W interrupt/, /DMA\d?_?(CORE|QM)/i, /MMU/, KILLING, LATE_EVENT);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      const events = device.notifyEvents();
      const kept = device.allocHost(64 * KiB);
      const gone = device.allocHost(64 * KiB);
      const nowhere = gone.deviceAddress;
      gone[Symbol.dispose]();
      const sram = device.sram.allocate(4 * KiB);
      device.submit({ queue: UP, stream: new CommandStream().dma(nowhere, sram.address, 4 * KiB) });
      await told(t, events, FAULT);
      const fault = device.info.pageFaultEvent();
      assert.equal(fault?.addr, nowhere);
      const mappings = device.info.userMappings();
      const known = mappings.find((mapping) => mapping.dev_va === kept.deviceAddress);
      assert.equal(Number(known?.size), kept.size, 'the mappings at the fault');
      assert.ok(!mappings.some((mapping) => mapping.dev_va === nowhere));
      device.close();
      await recovered(t, node, before);
      await asNew(t);
    },
    SLOW,
  );
}

export const reset = suite(
  'reset',
  'Resets, requested and forced, and what becomes of programs that use the card.',
  (test) => {
    requested(test);
    users(test);
    faults(test);
  },
);
