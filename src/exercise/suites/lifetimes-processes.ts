/** What other processes inherit of a card, take of it, and leave when they die. */

import assert from 'node:assert/strict';
import { type Call, POLLIN, PROT_READ, type ProgramProcess } from '../../driver/driver.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { ControlDevice, Device } from '../../runtime/device.ts';
import type { Submission } from '../../runtime/submission.ts';
import { DRM_IOCTL_HL_WAIT_CS, type hl_wait_cs_in, waitFlags, waitStatus } from '../../uapi/habanalabs/wait-cs.ts';
import { values } from '../../uapi/rows.ts';
import type { Encodable } from '../../uapi/struct.ts';
import type { Declare, TestOptions } from '../suite.ts';
import { assertErrno, assertSame, fill, KiB, MiB, run } from './lib.ts';
import { asNew, control, KILLING, REQUESTED, recovered, resets, SLOW, untouched, writeHardReset } from './reset-lib.ts';
import { adopted, another, beginWait, beginWaitAny, blocked, FOREVER, letGo, returned, thread } from './threads-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
const STATUS = values(waitStatus);
/** Another process takes a slow guest seconds to start. */
const PROCESS: TestOptions = { timeout: 300 };

/** A wait that a thread of a process begins, which will be killed in it. */
function waitIn(process: ProgramProcess, device: Device, input: Encodable<typeof hl_wait_cs_in>): Call {
  const argument = DRM_IOCTL_HL_WAIT_CS.argument.encode({ in: input });
  return process.thread().ioctl(device.fd, DRM_IOCTL_HL_WAIT_CS.request, argument);
}

function waitOf(process: ProgramProcess, device: Device, { sequence }: Submission): Call {
  return waitIn(process, device, { seq: sequence, timeout_us: FOREVER });
}

export function inherited(test: Declare): void {
  test(
    'a process uses a card by the descriptor that it has inherited',
    async (t) => {
      const { device } = t;
      const child = another(t, [device.fd]);
      const theirs = adopted(t, child, device.fd);
      assert.deepEqual(theirs.info.hwIp(), device.info.hwIp());
      const host = theirs.allocHost(64 * KiB);
      const dram = theirs.dram.allocate(64 * KiB);
      const result = theirs.allocHost(64 * KiB);
      fill(host.bytes, t.random);
      await run(t, DOWN, new CommandStream().dma(dram, host, 64 * KiB), theirs);
      await run(t, UP, new CommandStream().dma(result, dram, 64 * KiB), theirs);
      assertSame(result.bytes, host.bytes, 'copied by the process');
    },
    PROCESS,
  );

  test(
    'two processes with one open file have one address space of the card, and one count of submissions',
    async (t) => {
      const { device } = t;
      const child = another(t, [device.fd]);
      const theirs = adopted(t, child, device.fd);
      const ours = device.allocHost(4 * KiB);
      const host = theirs.allocHost(4 * KiB);
      assert.notEqual(host.deviceAddress, ours.deviceAddress);
      const first = device.submit({ queue: DOWN, stream: new CommandStream().memset(host.deviceAddress, 6n, 8) });
      const second = theirs.submit({ queue: DOWN, stream: new CommandStream().memset(ours.deviceAddress, 7n, 8) });
      assert.equal(second.sequence, first.sequence + 1n);
      await theirs.wait(first, { signal: t.signal });
      await device.wait(second, { signal: t.signal });
      assert.deepEqual([host.words[0], ours.words[0]], [6, 7]);
    },
    PROCESS,
  );

  test(
    'a process maps its own memory, not that of another at the same address',
    (t) => {
      t.expectMessages(/Failed \(-14\) to pin host memory/, /failed to get user memory/);
      const { device } = t;
      const child = another(t, [device.fd]);
      const theirs = adopted(t, child, device.fd);
      const ours = t.target.driver.allocate(4 * KiB);
      t.use({ [Symbol.dispose]: () => ours.unmap() });
      assertErrno('EFAULT', () => theirs.mapHost(ours.address, 4 * KiB));
      device.mapHost(ours.address, 4 * KiB)[Symbol.dispose]();
    },
    PROCESS,
  );

  test(
    'a command buffer of one process is submitted by another, and mapped by one at a time',
    async (t) => {
      t.expectMessages(/already mapped to user/);
      const { device } = t;
      const { driver } = t.target;
      const child = another(t, [device.fd]);
      const theirs = adopted(t, child, device.fd);
      const buffer = theirs.createCb(4 * KiB);
      const host = device.allocHost(4 * KiB);
      const stream = new CommandStream().memset(host, 4n, 8);
      buffer.bytes.set(stream.bytes);
      assertErrno('EINVAL', () => driver.mmap(device.fd, 4 * KiB, PROT_READ, buffer.handle));
      // what was written is seen once the process has made a call
      assert.equal(theirs.info.status(), 'OPERATIONAL');
      const chunk = { queue: DOWN, buffer, size: stream.size } as const;
      await device.wait(device.submit(chunk), { signal: t.signal });
      assert.equal(host.words[0], 4);
      child.kill();
      const mine = driver.mmap(device.fd, 4 * KiB, PROT_READ, buffer.handle);
      assertSame(mine.bytes.subarray(0, stream.size), stream.bytes, 'what the process wrote');
      mine.unmap();
    },
    PROCESS,
  );

  test(
    'a card that its opener has closed stays with the process that inherited it, until that is killed',
    async (t) => {
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      const child = another(t, [device.fd]);
      const theirs = Device.adopt(child, device.fd);
      device.close();
      assertErrno('EBUSY', () => t.open(0));
      const host = theirs.allocHost(4 * KiB);
      await run(t, DOWN, new CommandStream().memset(host, 8n, 8), theirs);
      assert.equal(host.words[0], 8);
      child.kill();
      await untouched(t, node, before);
    },
    PROCESS,
  );

  test(
    'memory of a process that was killed stays mapped while others hold the file',
    async (t) => {
      const { device } = t;
      const child = another(t, [device.fd]);
      const theirs = Device.adopt(child, device.fd);
      const host = theirs.allocHost(64 * KiB);
      fill(host.bytes, t.random);
      const expected = host.bytes.slice();
      child.kill();
      const result = device.allocHost(64 * KiB);
      const dram = device.dram.allocate(64 * KiB);
      await run(t, DOWN, new CommandStream().dma(dram, host.deviceAddress, 64 * KiB));
      await run(t, UP, new CommandStream().dma(result, dram, 64 * KiB));
      assertSame(result.bytes, expected, 'memory of the dead');
      device.unmap(host.deviceAddress);
    },
    PROCESS,
  );

  test(
    'work of a process that was killed goes on while others hold the file',
    async (t) => {
      const { device } = t;
      const child = another(t, [device.fd]);
      const theirs = Device.adopt(child, device.fd);
      const host = device.allocHost(4 * KiB);
      const stream = new CommandStream().fence(0).memset(host.deviceAddress, 2n, 8);
      const work = theirs.submit({ queue: DOWN, stream });
      child.kill();
      assert.equal(device.poll(work), undefined);
      await letGo(t, device, DOWN, UP);
      await device.wait(work, { signal: t.signal });
      assert.equal(host.words[0], 2);
    },
    PROCESS,
  );

  test(
    'a process that is killed while it waits leaves the others waiting',
    async (t) => {
      t.expectMessages(/user process got signal while waiting for CS handle/);
      const { device } = t;
      const child = another(t, [device.fd]);
      const theirs = Device.adopt(child, device.fd);
      const work = device.submit({ queue: DOWN, stream: new CommandStream().fence(0) });
      const ours = beginWait(t, thread(t), device, work);
      await blocked(t, ours.call);
      await blocked(t, waitOf(child, theirs, work));
      child.kill();
      assert.equal(ours.call.done, false);
      await letGo(t, device, DOWN, UP);
      assert.equal((await ours.answer()).out.status, STATUS.HL_WAIT_CS_STATUS_COMPLETED);
    },
    PROCESS,
  );

  test(
    'a process that is killed while it waits for several leaves its place to others',
    async (t) => {
      t.expectMessages(/user process got signal while waiting for Multi-CS/);
      const { device } = t;
      const child = another(t, [device.fd]);
      const theirs = Device.adopt(child, device.fd);
      const work = device.submit({ queue: DOWN, stream: new CommandStream().fence(0) });
      const list = child.allocate(4 * KiB);
      new BigUint64Array(list.bytes.buffer, list.bytes.byteOffset, 1)[0] = work.sequence;
      const flags = waitFlags.HL_WAIT_CS_FLAGS_MULTI_CS.value;
      await blocked(t, waitIn(child, theirs, { seq: list.address, seq_arr_len: 1, timeout_us: FOREVER, flags }));
      child.kill();
      const waits = [0, 1].map(() => beginWaitAny(t, thread(t), device, [work]));
      for (const wait of waits) await blocked(t, wait.call);
      await letGo(t, device, DOWN, UP);
      for (const wait of waits) assert.equal((await wait.answer()).out.cs_completion_map, 1);
    },
    PROCESS,
  );

  test(
    'a dma-buf that another process holds keeps the card taken',
    async (t) => {
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      const buffer = device.exportDmaBuf(device.dram.base, 4 * KiB);
      const child = another(t, [buffer.fd]);
      assert.match(child.describe(buffer.fd), /^\/dmabuf:/);
      device.close();
      assertErrno('EBUSY', () => t.open(0));
      child.kill();
      await untouched(t, node, before);
    },
    PROCESS,
  );

  test(
    'an eventfd wakes whoever polls it, in whichever process',
    async (t) => {
      const { driver } = t.target;
      const fd = driver.eventfd(0, 0);
      t.use({ [Symbol.dispose]: () => driver.close(fd) });
      const child = another(t, [fd]);
      const poll = thread(t, child).poll(fd, POLLIN, -1);
      await blocked(t, poll);
      driver.write(fd, new Uint8Array(new BigUint64Array([3n]).buffer));
      await returned(t, poll);
      assert.equal(poll.finish(), POLLIN);
      const count = new Uint8Array(8);
      child.read(fd, count);
      assert.equal(count[0], 3);
    },
    PROCESS,
  );
}

export function processes(test: Declare): void {
  test(
    'one process at a time has the card',
    async (t) => {
      const node = control(t);
      const before = resets(node);
      const child = another(t);
      const theirs = Device.open({ driver: child });
      assert.throws(() => t.open(0), new RegExp(`in use by .*pid ${child.pid}`));
      theirs.close();
      const ours = t.open(0);
      assertErrno('EBUSY', () => Device.open({ driver: child }));
      ours.close();
      Device.open({ driver: child });
      child.kill();
      await untouched(t, node, before);
    },
    PROCESS,
  );

  test(
    'a process that is killed leaves nothing behind',
    async (t) => {
      const node = control(t);
      const before = resets(node);
      const first = t.open(0);
      const usage = first.info.dramUsage();
      first.close();
      const child = another(t);
      const theirs = Device.open({ driver: child });
      for (let i = 0; i < 20; i++) {
        theirs.allocHost(64 * KiB);
        theirs.createCb(4 * KiB);
        theirs.dram.allocate(MiB);
      }
      theirs.exportDmaBuf(theirs.dram.base, 4 * KiB);
      const host = theirs.allocHost(4 * KiB);
      await run(t, DOWN, new CommandStream().memset(host, 1n, 8), theirs);
      child.kill();
      const next = t.open(0);
      assert.deepEqual(next.info.dramUsage(), usage);
      next.close();
      await untouched(t, node, before);
    },
    PROCESS,
  );

  test(
    'a card whose process is killed with work in flight is reset',
    async (t) => {
      t.expectMessages(KILLING);
      const node = control(t);
      const before = resets(node);
      const child = another(t);
      const theirs = Device.open({ driver: child });
      theirs.submit({ queue: DOWN, stream: new CommandStream().fence(0) });
      child.kill();
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );

  test(
    'a card whose process is killed while it waits is reset',
    async (t) => {
      t.expectMessages(KILLING, /user process got signal while waiting for CS handle/);
      const node = control(t);
      const before = resets(node);
      const child = another(t);
      const theirs = Device.open({ driver: child });
      const work = theirs.submit({ queue: DOWN, stream: new CommandStream().fence(0) });
      await blocked(t, waitOf(child, theirs, work));
      child.kill();
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );

  // device.c, device_kill_open_processes: a second to close the card
  test(
    'a process that does not give the card back for a reset is killed',
    async (t) => {
      t.expectMessages(REQUESTED);
      const node = control(t);
      const before = resets(node);
      const child = another(t);
      Device.open({ driver: child });
      writeHardReset(t, '1');
      assert.equal(await recovered(t, node, before), before + 1);
      assert.equal(child.alive, false);
      await asNew(t);
    },
    SLOW,
  );

  test(
    'a process that does give it back lives on, and may have it again',
    async (t) => {
      t.expectMessages(REQUESTED);
      const node = control(t);
      const before = resets(node);
      const child = another(t);
      const theirs = Device.open({ driver: child });
      writeHardReset(t, '1');
      theirs.close();
      assert.equal(await recovered(t, node, before), before + 1);
      assert.equal(child.alive, true);
      const again = Device.open({ driver: child });
      const host = again.allocHost(4 * KiB);
      await run(t, DOWN, new CommandStream().memset(host, 1n, 8), again);
      again.close();
      await asNew(t);
    },
    SLOW,
  );

  test(
    'the control node is for everybody at once',
    (t) => {
      const ours = control(t);
      const { device } = t;
      const child = another(t);
      const theirs = ControlDevice.open({ driver: child });
      assert.deepEqual(theirs.info.hwIp(), ours.info.hwIp());
      assert.deepEqual(theirs.info.openStats(), ours.info.openStats());
      child.kill();
      assert.equal(ours.info.status(), 'OPERATIONAL');
      assert.equal(device.info.status(), 'OPERATIONAL');
    },
    PROCESS,
  );

  test(
    'who has only the control node is not killed by a reset',
    async (t) => {
      t.expectMessages(REQUESTED);
      const node = control(t);
      const before = resets(node);
      const child = another(t);
      const theirs = ControlDevice.open({ driver: child });
      writeHardReset(t, '1');
      assert.equal(await recovered(t, node, before), before + 1);
      assert.equal(child.alive, true);
      assert.equal(theirs.info.resetCount().hard_reset_cnt, before + 1);
      await asNew(t);
    },
    SLOW,
  );

  test(
    'two processes have a card each',
    async (t) => {
      const child = another(t);
      const theirs = Device.open({ driver: child, index: 1 });
      const { device } = t;
      const [ours, other] = [device.allocHost(4 * KiB), theirs.allocHost(4 * KiB)];
      const works = [
        device.submit({ queue: DOWN, stream: new CommandStream().memset(ours, 1n, 8) }),
        theirs.submit({ queue: DOWN, stream: new CommandStream().memset(other, 2n, 8) }),
      ] as const;
      await device.wait(works[0], { signal: t.signal });
      await theirs.wait(works[1], { signal: t.signal });
      assert.deepEqual([ours.words[0], other.words[0]], [1, 2]);
      assertErrno('EBUSY', () => t.open(1));
      child.kill();
      t.open(1).close();
    },
    { ...PROCESS, devices: 2 },
  );
}
