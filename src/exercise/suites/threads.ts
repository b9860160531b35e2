/** Several threads of a program that use one card at a time. */

import assert from 'node:assert/strict';
import { EFD_CLOEXEC, EFD_NONBLOCK, POLLIN } from '../../driver/driver.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { cbOperations, DRM_IOCTL_HL_CB } from '../../uapi/habanalabs/cb.ts';
import { csFlags, DRM_IOCTL_HL_CS } from '../../uapi/habanalabs/cs.ts';
import { type QueueName, queueNames } from '../../uapi/habanalabs/gaudi.ts';
import { DRM_IOCTL_HL_MEMORY, memoryFlags, memoryOperations } from '../../uapi/habanalabs/memory.ts';
import { waitStatus } from '../../uapi/habanalabs/wait-cs.ts';
import { values } from '../../uapi/rows.ts';
import { type Declare, suite, type TestContext } from '../suite.ts';
import { assertSame, fill, KiB, MiB, run } from './lib.ts';
import { asNew, control, KILLING, recovered, SLOW } from './reset-lib.ts';
import { assertValue, externalQueues } from './sync-lib.ts';
import { begin, beginWait, blocked, errnoOf, held, letGo, Prepared, returned, several, thread } from './threads-lib.ts';
import { resets } from './threads-resets.ts';
import { waiting } from './threads-waits.ts';

const STATUS = values(waitStatus);
const FLAG = values(csFlags);
const DOWN = 'DMA_0_0';
const _OTHER = 'DMA_0_1';
const UP = 'DMA_1_0';

function submitting(test: Declare): void {
  test('eight threads submit to eight queues at once', async (t) => {
    const { device } = t;
    const host = device.allocHost(4 * KiB);
    const prepared = externalQueues.map((queue, i) => {
      const stream = new CommandStream().memset(host.deviceAddress + BigInt(i * 8), BigInt(i + 1), 8);
      return new Prepared(t, device, queue, stream);
    });
    const begun = prepared.map((one) => one.begin(thread(t)));
    const sequences = [];
    for (const { answer } of begun) sequences.push((await answer()).out.seq);
    assert.equal(new Set(sequences).size, 8, `numbers of submissions: ${sequences.join(', ')}`);
    for (const sequence of sequences) await device.wait(sequence, { signal: t.signal });
    assert.deepEqual([...host.words.subarray(0, 16).filter((_, i) => i % 2 === 0)], [1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test('what threads submit to one queue runs once each', async (t) => {
    const { device } = t;
    using object = device.sync('E_N').syncObject();
    await run(t, DOWN, new CommandStream().set(object, 0));
    const prepared = new Prepared(t, device, DOWN, new CommandStream().add(object, 1));
    const threads = several(4, () => thread(t));
    const sequences: bigint[] = [];
    for (let round = 0; round < 8; round++) {
      const begun = threads.map((by) => prepared.begin(by));
      for (const { answer } of begun) sequences.push((await answer()).out.seq);
    }
    assert.equal(new Set(sequences).size, 32);
    for (const sequence of sequences) await device.wait(sequence, { signal: t.signal });
    await assertValue(t, object, 32);
  });

  test('threads submit while another waits', async (t) => {
    const { device } = t;
    const work = held(device, DOWN);
    const wait = beginWait(t, thread(t), device, work);
    await blocked(t, wait.call);
    const prepared = new Prepared(t, device, UP, new CommandStream().nop());
    const submitter = thread(t);
    for (let i = 0; i < 4; i++) {
      const { out } = await prepared.begin(submitter).answer();
      await device.wait(out.seq, { signal: t.signal });
    }
    assert.equal(wait.call.done, false);
    await letGo(t, device, DOWN, UP);
    await wait.answer();
  });

  test('signals of threads on one queue count without a gap', async (t) => {
    const { device } = t;
    const prepared = new Prepared(t, device, DOWN, new CommandStream().nop());
    const begun = several(6, () => prepared.begin(thread(t), FLAG.HL_CS_FLAGS_SIGNAL));
    const counts: number[] = [];
    for (const { answer } of begun) {
      const { out } = await answer();
      counts.push(out.sob_count_before_submission);
      await device.wait(out.seq, { signal: t.signal });
    }
    counts.sort((a, b) => a - b);
    assert.deepEqual(
      counts,
      several(6, (i) => (counts[0] as number) + i),
    );
  });

  test('a queue that waits for a signal lets go when another thread signals', async (t) => {
    const { device } = t;
    const gate = held(device, DOWN);
    const signal = device.signal(DOWN);
    const waiter = device.waitForSignal(UP, signal);
    assert.ok(waiter);
    const wait = beginWait(t, thread(t), device, waiter);
    await blocked(t, wait.call);
    await letGo(t, device, DOWN, 'DMA_1_3');
    assert.equal((await wait.answer()).out.status, STATUS.HL_WAIT_CS_STATUS_COMPLETED);
    await device.wait(gate, { signal: t.signal });
  });

  test('threads that reserve signals get different reservations', async (t) => {
    const { device } = t;
    const index = queueNames.indexOf(DOWN);
    const input = {
      cs_flags: FLAG.HL_CS_FLAGS_RESERVE_SIGNALS_ONLY,
      encaps_signals_count: 4,
      encaps_signals_q_idx: index,
    };
    const begun = several(4, () => begin(t, thread(t), device, DRM_IOCTL_HL_CS, { in: input }));
    const given = [];
    for (const { answer } of begun) given.push((await answer()).out);
    assert.equal(new Set(given.map(({ handle_id }) => handle_id)).size, 4);
    const ends = given.map(({ count }) => count).sort((a, b) => a - b);
    assert.deepEqual(
      ends,
      several(4, (i) => (ends[0] as number) + 4 * i),
    );
    given.sort((a, b) => b.count - a.count);
    for (const { handle_id } of given)
      await begin(t, thread(t), device, DRM_IOCTL_HL_CS, {
        in: { cs_flags: FLAG.HL_CS_FLAGS_UNRESERVE_SIGNALS_ONLY, encaps_sig_handle_id: handle_id },
      }).answer();
  });

  test('restore chunks keep the thread that submits them, and no other', async (t) => {
    const { device } = t;
    const restore = new Prepared(t, device, DOWN, new CommandStream().fence(0));
    const main = new Prepared(t, device, DOWN, new CommandStream().nop());
    const submission = restore.beginRestore(thread(t), main);
    await blocked(t, submission.call);
    await run(t, UP, new CommandStream().nop());
    assert.equal(submission.call.done, false);
    await letGo(t, device, DOWN, UP);
    await device.wait((await submission.answer()).out.seq, { signal: t.signal });
  });
}

function memory(test: Declare): void {
  const MAP = memoryOperations.HL_MEM_OP_MAP.value;
  const UNMAP = memoryOperations.HL_MEM_OP_UNMAP.value;
  const flags = memoryFlags.HL_MEM_USERPTR.value;

  test('threads map and unmap at the same time, and get addresses of their own', async (t) => {
    const { device } = t;
    const size = 256 * KiB;
    const pieces = several(4, () => {
      const piece = t.target.driver.allocate(size);
      t.use({ [Symbol.dispose]: () => piece.unmap() });
      return { piece, by: thread(t) };
    });
    for (let round = 0; round < 6; round++) {
      const begun = pieces.map(({ piece, by }) =>
        begin(t, by, device, DRM_IOCTL_HL_MEMORY, {
          in: { op: MAP, flags, map_host: { host_virt_addr: piece.address, mem_size: size } },
        }),
      );
      const addresses: bigint[] = [];
      for (const { answer } of begun) addresses.push((await answer()).out.device_virt_addr);
      const sorted = addresses.toSorted((a, b) => (a < b ? -1 : 1));
      for (let i = 1; i < sorted.length; i++)
        assert.ok((sorted[i] as bigint) - (sorted[i - 1] as bigint) >= BigInt(size), 'mappings overlap');
      const fills = addresses.map((address, i) =>
        device.submit({
          queue: externalQueues[i] as QueueName,
          stream: new CommandStream().memset(address, BigInt(16 * round + i), size),
        }),
      );
      for (const work of fills) await device.wait(work, { signal: t.signal });
      pieces.forEach(({ piece }, i) => {
        assert.equal(piece.bytes[size - 8], 16 * round + i);
      });
      const ends = pieces.map(({ by }, i) =>
        begin(t, by, device, DRM_IOCTL_HL_MEMORY, {
          in: { op: UNMAP, unmap: { device_virt_addr: addresses[i] as bigint } },
        }),
      );
      for (const { answer } of ends) await answer();
    }
  });

  test('of two threads that end one mapping one is refused', async (t) => {
    t.expectMessages(/unmap failed, no mem hnode/);
    const { device } = t;
    const host = device.allocHost(MiB);
    const ends = several(2, () =>
      begin(t, thread(t), device, DRM_IOCTL_HL_MEMORY, {
        in: { op: UNMAP, unmap: { device_virt_addr: host.deviceAddress } },
      }),
    );
    const outcomes = [];
    for (const { answer } of ends) outcomes.push(await errnoOf(answer()));
    assert.deepEqual(outcomes.sort(), ['EINVAL', 'none']);
    // so that closing the device does not end it again
    t.expectMessages(/unmap failed, no mem hnode/);
  });

  test('of two threads that destroy one command buffer one is refused', async (t) => {
    const { device } = t;
    const { handle } = device.createCb(4 * KiB, { mapped: false });
    const input = { op: cbOperations.HL_CB_OP_DESTROY.value, cb_handle: handle };
    const ends = several(2, () => begin(t, thread(t), device, DRM_IOCTL_HL_CB, { in: input }));
    const outcomes = [];
    for (const { answer } of ends) outcomes.push(await errnoOf(answer()));
    assert.deepEqual(outcomes.sort(), ['EINVAL', 'none']);
  });

  test('threads that create command buffers get different ones', async (t) => {
    const { device } = t;
    const threads = several(4, () => thread(t));
    const handles: bigint[] = [];
    for (let round = 0; round < 8; round++) {
      const begun = threads.map((by) =>
        begin(t, by, device, DRM_IOCTL_HL_CB, { in: { op: cbOperations.HL_CB_OP_CREATE.value, cb_size: 4 * KiB } }),
      );
      for (const { answer } of begun) handles.push((await answer()).out.cb_handle);
    }
    assert.equal(new Set(handles).size, 32);
    for (const [i, handle] of handles.entries())
      await begin(t, threads[i % 4] as never, device, DRM_IOCTL_HL_CB, {
        in: { op: cbOperations.HL_CB_OP_DESTROY.value, cb_handle: handle },
      }).answer();
  });

  test('one thread unmaps memory while another has a transfer of other memory run', async (t) => {
    const { device } = t;
    const [kept, gone] = [device.allocHost(MiB), device.allocHost(MiB)];
    const dram = device.dram.allocate(MiB);
    fill(kept.bytes, t.random);
    const stream = new CommandStream();
    for (let i = 0; i < 8; i++) stream.dma(dram, kept, MiB);
    const work = device.submit({ queue: DOWN, stream });
    const end = begin(t, thread(t), device, DRM_IOCTL_HL_MEMORY, {
      in: { op: UNMAP, unmap: { device_virt_addr: gone.deviceAddress } },
    });
    await end.answer();
    await device.wait(work, { signal: t.signal });
    const result = device.allocHost(MiB);
    await run(t, UP, new CommandStream().dma(result, dram, MiB));
    assertSame(result.bytes, kept.bytes, 'what was copied meanwhile');
    t.expectMessages(/unmap failed, no mem hnode/);
  });
}

function descriptors(test: Declare): void {
  test('a call goes on when another thread closes its descriptor', async (t) => {
    const device = t.open(0);
    const { driver } = device;
    const kept = driver.dup(device.fd);
    const second = device.createCb(4 * KiB);
    const work = held(device, DOWN);
    const by = thread(t);
    const wait = beginWait(t, by, device, work);
    await blocked(t, wait.call);
    driver.close(device.fd);
    assert.equal(wait.call.done, false);
    // the number again, for what the test has yet to do
    assert.equal(driver.dup(kept), device.fd);
    driver.close(kept);
    await letGo(t, device, DOWN, UP);
    assert.equal((await wait.answer()).out.status, STATUS.HL_WAIT_CS_STATUS_COMPLETED);
    second[Symbol.dispose]();
  });

  test('a descriptor that one thread has closed is closed for all', async (t) => {
    const { driver } = t.target;
    const fd = driver.dup(t.device.fd);
    const [first, second] = [thread(t), thread(t)];
    const close = first.close(fd);
    await returned(t, close);
    close.finish();
    const again = second.close(fd);
    await returned(t, again);
    assert.throws(() => again.finish(), { code: 'EBADF' });
    const call = second.ioctl(fd, DRM_IOCTL_HL_CB.request, new Uint8Array(DRM_IOCTL_HL_CB.argument.size));
    await returned(t, call);
    assert.throws(() => call.finish(), { code: 'EBADF' });
  });

  test(
    'a card whose last descriptor is closed during a wait is let go when the wait ends',
    async (t) => {
      t.expectMessages(KILLING);
      const node = control(t);
      const before = node.info.resetCount().hard_reset_cnt;
      const device = t.open(0);
      // long enough to close the card and to try to open it meanwhile
      const wait = beginWait(t, thread(t), device, held(device), 3_000_000);
      await blocked(t, wait.call);
      device.close();
      assert.equal(await errnoOf(open(t)), 'EBUSY');
      assert.equal((await wait.answer()).out.status, STATUS.HL_WAIT_CS_STATUS_BUSY);
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );

  test('a thread that polls an eventfd wakes when another writes to it', async (t) => {
    const { driver } = t.target;
    const fd = driver.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    t.use({ [Symbol.dispose]: () => driver.close(fd) });
    const early = thread(t).poll(fd, POLLIN, 20);
    await returned(t, early);
    assert.equal(early.finish(), 0);
    const polls = several(3, () => thread(t).poll(fd, POLLIN, -1));
    for (const poll of polls) await blocked(t, poll);
    driver.write(fd, new Uint8Array(new BigUint64Array([1n]).buffer));
    for (const poll of polls) {
      await returned(t, poll);
      assert.equal(poll.finish(), POLLIN);
    }
  });

  test('threads ask for information at the same time', async (t) => {
    const { device } = t;
    const expected = device.info.hwIp();
    const wait = beginWait(t, thread(t), device, held(device));
    await blocked(t, wait.call);
    for (let i = 0; i < 8; i++) {
      assert.deepEqual(device.info.hwIp(), expected);
      device.info.clockRate();
      device.info.pllFrequency('CPU');
    }
    assert.equal(wait.call.done, false);
    await letGo(t, device, DOWN, UP);
    await wait.answer();
  });
}

/** Tries to open the first card once. */
async function open(t: TestContext): Promise<void> {
  const { driver } = t.target;
  driver.close(driver.open(driver.accelerators()[0]?.path ?? '', 2));
}

export const threads = suite('threads', 'Several threads of a program that use one card at a time.', (test) => {
  waiting(test);
  submitting(test);
  memory(test);
  descriptors(test);
  resets(test);
});
