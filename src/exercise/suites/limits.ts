/** How much of everything there is, and what the driver says to who wants more. */

import assert from 'node:assert/strict';
import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { type CommandBuffer, MAX_CB_SIZE } from '../../runtime/command-buffer.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { ExhaustedError, QueueFullError } from '../../runtime/errors.ts';
import { HostBuffer } from '../../runtime/memory.ts';
import type { Chunk, Reservation, Submission } from '../../runtime/submission.ts';
import { queueNumber } from '../../runtime/submission.ts';
import { fenceAddress } from '../../runtime/sync.ts';
import { csConstants, DRM_IOCTL_HL_CS, hl_cs_chunk } from '../../uapi/habanalabs/cs.ts';
import { DRM_IOCTL_HL_MEMORY, memoryConstants, memoryOperations } from '../../uapi/habanalabs/memory.ts';
import { DRM_IOCTL_HL_WAIT_CS, waitFlags, waitStatus } from '../../uapi/habanalabs/wait-cs.ts';
import { type Declare, suite, type TestContext } from '../suite.ts';
import { assertErrno, assertSame, call, copy, fill, GiB, KiB, MiB, pages, run } from './lib.ts';
import { release } from './sync-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
const PAGE = 4 * KiB;
const MAX_CHUNKS = csConstants.HL_MAX_JOBS_PER_CS.value;
const MAX_TIMESTAMPS = memoryConstants.TS_MAX_ELEMENTS_NUM.value;
/** habanalabs.h, HL_QUEUE_LENGTH. */
const QUEUE_LENGTH = 4096;
/** gaudiP.h, GAUDI_MAX_PENDING_CS. */
const MAX_PENDING = 16384;
/**
 * Device addresses of host memory: from, and the first that is not (gaudi.c, pmmu.start_addr and end_addr; gaudiP.h). The
 * last page is lost, because hl_vm_ctx_init takes an end that is inclusive for one that is not.
 */
const VIRTUAL = { FIRST: 0x1_0000_0000_0000n, END: 0x2_7fbf_ffff_f000n } as const;
const SECOND = 1e9;
/** Seconds that work may be held, in place of the driver's thirty, where a slow machine is long about what happens meanwhile. */
const PATIENCE = 1000;

async function waitAll(t: TestContext, work: readonly Submission[]): Promise<void> {
  for (const submission of work) await t.device.wait(submission, { signal: t.signal });
}

/** A command buffer of the largest size: writes to a sync object, then `end`. */
function largest(t: TestContext, end: CommandStream): { readonly buffer: CommandBuffer; readonly size: number } {
  const buffer = t.use(t.device.createCb(MAX_CB_SIZE));
  const size = MAX_CB_SIZE - (MAX_CB_SIZE % 8);
  const write = new CommandStream().write(t.device.sync('E_N').syncObject().address, 0, { eb: false, mb: false }).bytes;
  const nop = new CommandStream().nop({ eb: false }).bytes;
  let at = 0;
  for (; at + write.length <= size - end.size; at += write.length) buffer.bytes.set(write, at);
  for (; at < size - end.size; at += nop.length) buffer.bytes.set(nop, at);
  buffer.bytes.set(end.bytes, at);
  return { buffer, size };
}

function submissions(test: Declare): void {
  test('an external queue holds 4096 command buffers', async (t) => {
    const { device } = t;
    const host = t.use(device.allocHost(PAGE));
    const buffer = t.use(device.createCb(PAGE));
    buffer.bytes.set(new CommandStream().nop().bytes);
    const chunk: Chunk = { queue: DOWN, buffer, size: 8 };
    const held = [device.submit({ queue: DOWN, stream: new CommandStream().fence(0) }, { timeout: PATIENCE })];
    for (let left = QUEUE_LENGTH - 1; left > 0; left -= MAX_CHUNKS)
      held.push(device.submit(new Array<Chunk>(Math.min(left, MAX_CHUNKS)).fill(chunk)));

    const before = device.info.csCounters();
    assertErrno('EAGAIN', () => device.submit(chunk));
    // work for two queues, one of them full, is in neither
    const free = { queue: UP, stream: new CommandStream().memset(host, 1n, 8) } as const;
    assertErrno('EAGAIN', () => device.submit([free, chunk]));
    // nor is there a place for a signal
    assert.throws(() => device.signal(DOWN), QueueFullError);
    // of a wait the driver says then that it is not needed, although the signal has not come (cs_ioctl_signal_wait)
    const other = 'DMA_1_1';
    held.push(device.submit({ queue: other, stream: new CommandStream().fence(0) }, { timeout: PATIENCE }));
    const signal = device.signal(other);
    held.push(signal);
    assert.equal(device.waitForSignal(DOWN, signal), undefined);
    assert.equal(device.poll(signal), undefined);
    const after = device.info.csCounters();
    assert.equal(after.total_queue_full_drop_cnt, before.total_queue_full_drop_cnt + 4n);
    assert.equal(after.ctx_queue_full_drop_cnt, before.ctx_queue_full_drop_cnt + 4n);
    await run(t, UP, new CommandStream().nop());
    assert.equal(host.words[0], 0, 'one part was executed');

    await release(t, DOWN, UP);
    await release(t, other, UP);
    await waitAll(t, held);
    await run(t, DOWN, new CommandStream().memset(host, 2n, 8));
    assert.equal(host.words[0], 2, 'the queue goes on');
  });

  test(
    'a submission that has not ended stops the 16384th after it',
    async (t) => {
      const { device } = t;
      const buffer = t.use(device.createCb(PAGE));
      buffer.bytes.set(new CommandStream().nop().bytes);
      const memory = t.use(new HostBuffer(t.target.driver, PAGE));
      hl_cs_chunk.encodeInto(memory.bytes, 0, { cb_handle: buffer.handle, queue_index: queueNumber(UP), cb_size: 8 });
      const input = { chunks_execute: memory.address, num_chunks_execute: 1, cs_flags: 0 };
      const template = DRM_IOCTL_HL_CS.argument.encode({ in: input });
      const argument = new Uint8Array(template.length);
      const submit = () => {
        argument.set(template);
        t.target.driver.ioctl(device.fd, DRM_IOCTL_HL_CS.request, argument);
      };
      const held = device.submit({ queue: DOWN, stream: new CommandStream().fence(0) }, { timeout: PATIENCE });
      for (let i = 1; i < MAX_PENDING - 1; i++) {
        submit();
        // so that the queue itself is never full
        if (i % 2048 === 0) await device.wait(held.sequence + BigInt(i), { signal: t.signal });
      }
      // the last one lets the first go, after long work: then there is a number again
      const releasing = largest(t, new CommandStream().write(fenceAddress(DOWN, 0), 1));
      const before = device.info.csCounters();
      device.submit({ queue: 'DMA_1_1', ...releasing });
      assertErrno('EAGAIN', submit);
      const after = device.info.csCounters();
      assert.equal(after.ctx_max_cs_in_flight_drop_cnt, before.ctx_max_cs_in_flight_drop_cnt + 1n);
      assert.equal(after.total_max_cs_in_flight_drop_cnt, before.total_max_cs_in_flight_drop_cnt + 1n);

      await device.wait(held, { signal: t.signal });
      submit();
      await device.wait(held.sequence + BigInt(MAX_PENDING), { signal: t.signal });
      const after16384 = held.sequence + BigInt(MAX_PENDING + 1);
      submit();
      await device.wait(after16384, { signal: t.signal });
      assert.deepEqual(device.poll(held), { gone: true, timestamp: undefined }, 'the driver remembers it still');
    },
    { timeout: 600 },
  );

  test('a command buffer of the largest size is executed to its end', async (t) => {
    const { device } = t;
    const host = t.use(device.allocHost(PAGE));
    const work = device.submit({ queue: DOWN, ...largest(t, new CommandStream().memset(host, 0x1234n, 8)) });
    await device.wait(work, { signal: t.signal });
    assert.equal(host.words[0], 0x1234);
  });

  test('command buffers of every length around the end of a cache line', async (t) => {
    // the driver adds the packets that tell the end, and keeps them within one line (gaudi_get_patched_cb_extra_size)
    const { device } = t;
    const host = t.use(device.allocHost(PAGE));
    const work: Submission[] = [];
    const lengths = Array.from({ length: 24 }, (_, i) => 72 + 8 * i);
    for (const [i, length] of lengths.entries()) {
      const stream = new CommandStream();
      const end = new CommandStream().memset(host.deviceAddress + BigInt(8 * i), BigInt(length), 8).bytes;
      while (stream.size < length - end.length) stream.nop();
      work.push(device.submit({ queue: DOWN, stream: stream.raw(end) }));
    }
    await waitAll(t, work);
    for (const [i, length] of lengths.entries()) assert.equal(host.words[2 * i], length, `${length} bytes of packets`);
  });

  test('a staged submission of sixty-four parts ends when the last has', async (t) => {
    const { device } = t;
    const stream = new CommandStream().nop();
    const first = device.submit({ queue: DOWN, stream: new CommandStream().fence(0) }, { staged: 'first' });
    for (let i = 0; i < 62; i++) device.submit({ queue: i % 2 === 0 ? DOWN : UP, stream }, { staged: first });
    const last = device.submit({ queue: DOWN, stream }, { staged: first, last: true });
    assert.equal(last.sequence, first.sequence);
    assert.equal(device.poll(first), undefined);
    await release(t, DOWN, 'DMA_1_1');
    await device.wait(first, { signal: t.signal });
  });
}

function waits(test: Declare): void {
  /** A submission that is not going to end, and its number. */
  const hold = (t: TestContext) =>
    t.device.submit({ queue: DOWN, stream: new CommandStream().fence(0) }, { timeout: PATIENCE });
  const look = (t: TestContext, seq: bigint, timeout_us: bigint) =>
    call(t.device, DRM_IOCTL_HL_WAIT_CS, { in: { seq, timeout_us } }).out.status;

  test('of the microseconds of a wait the lower 32 bits count', async (t) => {
    // hl_wait_for_fence gives them to usecs_to_jiffies, which takes an unsigned int
    const held = hold(t);
    const begin = t.target.driver.now();
    for (const extra of [0n, 1000n])
      for (const high of [1n, 0x1000n, 0xffff_ffffn])
        assert.equal(look(t, held.sequence, (high << 32n) + extra), waitStatus.HL_WAIT_CS_STATUS_BUSY.value);
    const seconds = (t.target.driver.now() - begin) / SECOND;
    assert.ok(seconds < 60, `waited ${seconds} s`);
    await release(t, DOWN, UP);
    await t.device.wait(held, { signal: t.signal });
  });

  test('the longest wait ends with the work', async (t) => {
    for (const timeout of [0xffff_ffffn, 0x7fff_ffff_ffff_ffffn]) {
      const { sequence } = t.device.submit({ queue: DOWN, ...largest(t, new CommandStream().nop()) });
      assert.equal(look(t, sequence, timeout), waitStatus.HL_WAIT_CS_STATUS_COMPLETED.value);
    }
  });

  test('a wait for several may be of any length', (t) => {
    const list = t.use(new HostBuffer(t.target.driver, PAGE));
    for (const timeout_us of [0x1_0000_0000n, 0x7fff_ffff_ffff_ffffn, 0xffff_ffff_ffff_ffffn]) {
      const { sequence } = t.device.submit({ queue: DOWN, ...largest(t, new CommandStream().nop()) });
      new DataView(list.bytes.buffer, list.bytes.byteOffset).setBigUint64(0, sequence, true);
      const flags = waitFlags.HL_WAIT_CS_FLAGS_MULTI_CS.value;
      const { status, cs_completion_map } = call(t.device, DRM_IOCTL_HL_WAIT_CS, {
        in: { seq: list.address, seq_arr_len: 1, timeout_us, flags },
      }).out;
      assert.equal(status, waitStatus.HL_WAIT_CS_STATUS_COMPLETED.value);
      assert.equal(cs_completion_map, 1);
    }
  });

  test('a submission with the longest limit ends as any other', async (t) => {
    for (const timeout of [0x7fff_ffff, 0xffff_ffff]) {
      const work = t.device.submit({ queue: DOWN, stream: new CommandStream().nop() }, { timeout });
      await t.device.wait(work, { signal: t.signal });
    }
  });
}

function signals(test: Declare): void {
  test('a queue has two sync objects for signals, and no third when both are reserved', async (t) => {
    t.expectMessages(/Cannot switch SOBs q_idx: \d+/, /Failed to switch SOB/);
    const { device } = t;
    const most = 0x7ff0;
    const mine = [device.reserveSignals(UP, most), device.reserveSignals(UP, most)] as const;
    assert.notEqual(mine[0].sobOffset, mine[1].sobOffset);
    assertErrno('EINVAL', () => device.reserveSignals(UP, most));
    // other queues have their own
    const other = device.reserveSignals(DOWN, most);
    device.unreserveSignals(other);
    // what the queue signals itself is still of the second
    const signal = device.signal(UP);
    assert.equal(signal.sobOffset, mine[1].sobOffset);
    await device.wait(signal, { signal: t.signal });
    // used up, because a card that is closed with signals reserved is reset
    for (const signals of mine) {
      const stream = new CommandStream().nop();
      await device.wait(device.submit({ queue: UP, stream }, { staged: 'first', last: true, signals }), {
        signal: t.signal,
      });
    }
  });

  test('reserving no signals tells how far the count is', (t) => {
    const first = t.device.reserveSignals(UP, 0);
    const second = t.device.reserveSignals(UP, 0);
    assert.equal(second.value, first.value);
    assert.notEqual(second.handle, first.handle);
    t.device.unreserveSignals(second);
    t.device.unreserveSignals(first);
  });

  test('two hundred reservations at once, given back from the last', (t) => {
    const made = Array.from({ length: 200 }, () => t.device.reserveSignals('DMA_1_2', 2));
    assert.equal(new Set(made.map(({ handle }) => handle)).size, made.length);
    for (const [i, { value }] of made.entries()) assert.equal(value, (made[0] as Reservation).value + 2 * i);
    for (const reservation of made.reverse()) t.device.unreserveSignals(reservation);
  });

  test('more signals than were reserved cannot be waited for', async (t) => {
    t.expectMessages(/value exceed max reserved signals count/);
    const { device } = t;
    const reservation = device.reserveSignals(DOWN, 3);
    const stream = new CommandStream().fence(0);
    for (let i = 0; i < 3; i++) stream.write(addressMap.CFG_BASE + reservation.sobOffset, 0x8000_0001);
    const work = device.submit({ queue: DOWN, stream }, { staged: 'first', last: true, signals: reservation });
    assertErrno('EINVAL', () => device.waitForEncapsulated(UP, work, 4));
    const wait = device.waitForEncapsulated(UP, work, 3);
    await release(t, DOWN, 'DMA_1_1');
    await waitAll(t, wait ? [work, wait] : [work]);
  });
}

function buffers(test: Declare): void {
  test('a command buffer of no bytes is a page', ({ device }) => {
    using buffer = device.createCb(0, { mapped: false });
    const mapping = device.driver.mmap(device.fd, PAGE, 3, buffer.handle);
    assert.equal(mapping.bytes.length, PAGE);
    mapping.unmap();
  });

  test('five hundred command buffers at once', (t) => {
    const made = Array.from({ length: 500 }, () => t.device.createCb(PAGE, { mapped: false }));
    assert.equal(new Set(made.map(({ handle }) => handle)).size, made.length);
    for (const buffer of made) buffer[Symbol.dispose]();
  });

  test('sixteen command buffers of the largest size at once', (t) => {
    const made = Array.from({ length: 16 }, () => t.use(t.device.createCb(MAX_CB_SIZE)));
    for (const [i, { bytes }] of made.entries()) bytes[MAX_CB_SIZE - 1] = i;
    for (const [i, { bytes }] of made.entries()) assert.equal(bytes[MAX_CB_SIZE - 1], i);
  });

  test('sizes far above the largest are refused', (t) => {
    t.expectMessages(/CB size .* must be less than/);
    for (const size of [2 * MiB, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff])
      assertErrno('EINVAL', () => t.device.createCb(size));
  });

  test('buffers for time stamps of one and of the most elements', (t) => {
    for (const elements of [1, 512, 513, MAX_TIMESTAMPS]) {
      using buffer = t.device.allocTimestamps(elements);
      const { timestamps } = buffer;
      assert.equal(timestamps.length, elements);
      timestamps[elements - 1] = 7n;
      assert.equal(timestamps[0], elements === 1 ? 7n : 0n);
    }
  });

  test('buffers for time stamps of too many elements are refused', (t) => {
    // not tried here: of none, with which the kernel warns of itself (vmalloc of 0 bytes) before it says ENOMEM
    t.expectMessages(/Num of elements exceeds Max allowed number/);
    for (const elements of [MAX_TIMESTAMPS + 1, 0x7fff_ffff, 0xffff_ffff])
      assertErrno('EINVAL', () => t.device.allocTimestamps(elements));
  });
}

function addresses(test: Declare): void {
  /** A page of memory, mapped where it is wished for. */
  const at = (t: TestContext, hint: bigint, forceHint = true) =>
    t.use(t.device.mapHost(pages(t, 1).address, PAGE, { hint, forceHint })).deviceAddress;

  test('the ends of the address space', async (t) => {
    const source = t.use(t.device.allocHost(PAGE));
    fill(source.bytes, t.random);
    // a hint may not reach the last byte of a free range: get_va_block compares with it, not with the byte after it
    const last = VIRTUAL.END - 2n * BigInt(PAGE);
    const { address, bytes } = pages(t, 1);
    using map = t.device.mapHost(address, PAGE, { hint: last, forceHint: true });
    assert.equal(map.deviceAddress, last);
    await copy(t, DOWN, last, source.deviceAddress, PAGE);
    assertSame(bytes, source.bytes, 'at the end of the address space');
  });

  test('an address outside cannot be forced, and is ignored when it is wished for', (t) => {
    t.expectMessages(/Hint address 0x[0-9a-f]+ could not be respected/, /no available va block for handle/);
    // not tried: one from which the memory wraps, which spoils the addresses of the context (docs/findings/0010)
    const outside = [
      VIRTUAL.END - BigInt(PAGE),
      VIRTUAL.END,
      VIRTUAL.FIRST - BigInt(PAGE),
      BigInt(PAGE),
      t.device.dram.base,
      0x3_ff80_0000_0000n,
      0x7fff_ffff_ffff_f000n,
    ];
    for (const hint of outside) {
      assertErrno('ENOMEM', () => at(t, hint));
      const chosen = at(t, hint, false);
      assert.ok(chosen >= VIRTUAL.FIRST && chosen < VIRTUAL.END && chosen !== hint, `0x${chosen.toString(16)}`);
    }
  });

  test('an address within a page cannot be forced, and is ignored when it is wished for', (t) => {
    t.expectMessages(/is not page aligned - cannot be respected/, /no available va block for handle/);
    const hint = VIRTUAL.FIRST + BigInt(GiB) + 1n;
    assertErrno('ENOMEM', () => at(t, hint));
    assert.equal(at(t, hint, false) % BigInt(PAGE), 0n);
  });

  test('no address cannot be forced', (t) => {
    t.expectMessages(/Hint address 0x0 could not be respected/, /no available va block for handle/);
    assertErrno('ENOMEM', () => at(t, 0n));
  });

  test('memory within a page has no address that is forced', (t) => {
    t.expectMessages(/cannot be respected because source memory is not aligned/, /Failed|failed/);
    const host = pages(t, 2);
    const hint = VIRTUAL.FIRST + BigInt(GiB);
    assertErrno('EINVAL', () => t.device.mapHost(host.address + 8n, PAGE, { hint, forceHint: true }));
  });

  test('holes are filled: the smallest that is large enough', (t) => {
    const base = VIRTUAL.FIRST + 64n * BigInt(GiB);
    const page = BigInt(PAGE);
    // taken: 0, 2, 5, 9 (pages), so there are holes of 1, 2 and 3
    for (const taken of [0n, 2n, 5n, 9n]) at(t, base + taken * page);
    const host = pages(t, 3);
    const map = (pages: number) => t.use(t.device.mapHost(host.address, pages * PAGE)).deviceAddress;
    assert.equal(map(2), base + 3n * page);
    assert.equal(map(3), base + 6n * page);
    assert.equal(map(1), base + page);
  });

  test('what is larger than its hole cannot be forced into it', (t) => {
    t.expectMessages(/Hint address 0x[0-9a-f]+ could not be respected/, /no available va block for handle/);
    const base = VIRTUAL.FIRST + 64n * BigInt(GiB);
    const page = BigInt(PAGE);
    for (const taken of [0n, 3n]) at(t, base + taken * page);
    const host = pages(t, 3);
    const force = (first: bigint, pages: number) =>
      t.device.mapHost(host.address, pages * PAGE, { hint: base + first * page, forceHint: true });
    assertErrno('ENOMEM', () => force(1n, 3));
    assertErrno('ENOMEM', () => force(2n, 2));
    using fits = force(1n, 1);
    assert.equal(fits.deviceAddress, base + page);
  });

  test('an address that has come back can be had again, with its neighbours', (t) => {
    const base = VIRTUAL.FIRST + 64n * BigInt(GiB);
    const page = BigInt(PAGE);
    const host = pages(t, 16);
    const maps = Array.from({ length: 16 }, (_, i) =>
      t.device.mapHost(host.address, PAGE, { hint: base + BigInt(i) * page, forceHint: true }),
    );
    // in an order that joins holes on either side
    for (const i of [1, 3, 2, 0, 15, 13, 14, 8, 7, 9, 5, 4, 6, 11, 12, 10]) maps[i]?.[Symbol.dispose]();
    using whole = t.device.mapHost(host.address, 16 * PAGE, { hint: base, forceHint: true });
    assert.equal(whole.deviceAddress, base);
  });

  test('128 MiB in one mapping', async (t) => {
    const { device } = t;
    const size = 128 * MiB;
    using host = device.allocHost(size);
    const sram = t.use(device.sram.allocate(PAGE));
    for (const offset of [0, 64 * MiB, size - PAGE]) {
      fill(host.bytes.subarray(offset, offset + PAGE), t.random);
      const end = host.deviceAddress + BigInt(size - PAGE);
      await copy(t, DOWN, sram, host.deviceAddress + BigInt(offset), PAGE);
      await copy(t, DOWN, end, sram, PAGE);
      assertSame(host.bytes.subarray(size - PAGE), host.bytes.subarray(offset, offset + PAGE), `from ${offset}`);
    }
  });
}

function accounting(test: Declare): void {
  const alloc = (t: TestContext, mem_size: bigint) =>
    call(t.device, DRM_IOCTL_HL_MEMORY, { in: { op: memoryOperations.HL_MEM_OP_ALLOC.value, alloc: { mem_size } } });
  const free = (t: TestContext, mem_size: bigint) =>
    call(t.device, DRM_IOCTL_HL_MEMORY, { in: { op: memoryOperations.HL_MEM_OP_FREE.value, alloc: { mem_size } } });

  test('the driver counts more DRAM than there is: programs of this chip are trusted', (t) => {
    const { dram_free_mem: before } = t.device.info.dramUsage();
    const size = before + BigInt(MiB);
    alloc(t, size);
    const full = t.device.info.dramUsage();
    assert.equal(full.ctx_dram_mem, size);
    assert.equal(full.dram_free_mem, 2n ** 64n - BigInt(MiB), 'less than nothing is free');
    free(t, size);
    assert.equal(t.device.info.dramUsage().dram_free_mem, before);
  });

  test('the next program finds all DRAM free, whatever the last said it had', (t) => {
    const first = t.open(0);
    const { dram_free_mem: before } = first.info.dramUsage();
    call(first, DRM_IOCTL_HL_MEMORY, {
      in: { op: memoryOperations.HL_MEM_OP_FREE.value, alloc: { mem_size: BigInt(GiB) } },
    });
    assert.equal(first.info.dramUsage().dram_free_mem, before + BigInt(GiB));
    first.close();
    const { dram_free_mem, ctx_dram_mem } = t.device.info.dramUsage();
    assert.equal(dram_free_mem, before);
    assert.equal(ctx_dram_mem, 0n);
  });

  test('the runtime knows the end of SRAM and DRAM', ({ device }) => {
    for (const space of [device.sram, device.dram]) {
      using most = space.allocate(Number(space.size) - 128);
      assert.throws(() => space.allocate(256), ExhaustedError);
      using rest = space.allocate(128);
      assert.equal(rest.address, most.address + BigInt(most.size));
    }
  });
}

export const limits = suite('limits', 'How much of everything there is, and what who wants more is told.', (test) => {
  submissions(test);
  waits(test);
  signals(test);
  buffers(test);
  addresses(test);
  accounting(test);
});
