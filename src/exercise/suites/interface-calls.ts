/** Flags, limits and orders of calls that no other suite has a use for. */

import assert from 'node:assert/strict';
import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { gaudiQman } from '../../../specs/gaudi-qman.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Device } from '../../runtime/device.ts';
import { HostBuffer } from '../../runtime/memory.ts';
import { cbFlags, cbOperations, DRM_IOCTL_HL_CB } from '../../uapi/habanalabs/cb.ts';
import { csFlags, DRM_IOCTL_HL_CS } from '../../uapi/habanalabs/cs.ts';
import { queueRow } from '../../uapi/habanalabs/gaudi.ts';
import { DRM_IOCTL_HL_MEMORY, memoryFlags, memoryOperations } from '../../uapi/habanalabs/memory.ts';
import { DRM_IOCTL_HL_WAIT_CS, waitFlags, waitInterrupts, waitStatusFlags } from '../../uapi/habanalabs/wait-cs.ts';
import type { Declare, TestContext } from '../suite.ts';
import { assertErrno, call, KiB, MiB } from './lib.ts';
import { letGo } from './threads-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
const MEMORY = memoryOperations;

/** Enters or leaves debug mode, or turns a unit on or off. */
function debug(device: Device, unit: 'BMON' | 'SET_MODE' | 'TIMESTAMP', on: boolean): void {
  // a bus monitor that is turned on wants parameters: its registers, 72 bytes
  const input = unit === 'BMON' && on ? new Uint8Array(72) : undefined;
  device.debug(`HL_DEBUG_OP_${unit}`, { reg_idx: 0, enable: on ? 1 : 0 }, input);
}

function memory(test: Declare): void {
  test('memory may be asked for as contiguous and as shared, which changes nothing on this chip', ({ device }) => {
    const before = device.info.dramUsage();
    for (const flags of [memoryFlags.HL_MEM_CONTIGUOUS.value, memoryFlags.HL_MEM_SHARED.value]) {
      const alloc = { mem_size: MiB };
      const { out } = call(device, DRM_IOCTL_HL_MEMORY, { in: { op: MEMORY.HL_MEM_OP_ALLOC.value, flags, alloc } });
      assert.equal(out.handle, 0n);
      assert.equal(device.info.dramUsage().ctx_dram_mem - before.ctx_dram_mem, BigInt(MiB));
      call(device, DRM_IOCTL_HL_MEMORY, { in: { op: MEMORY.HL_MEM_OP_FREE.value, alloc } });
    }
    assert.deepEqual(device.info.dramUsage(), before);
  });

  test('a mapping whose translations are fetched ahead is as any other', (t) => {
    const host = t.use(new HostBuffer(t.target.driver, 8 * KiB));
    const flags = memoryFlags.HL_MEM_USERPTR.value | memoryFlags.HL_MEM_PREFETCH.value;
    const map_host = { host_virt_addr: host.address, mem_size: 8 * KiB };
    const { out } = call(t.device, DRM_IOCTL_HL_MEMORY, { in: { op: MEMORY.HL_MEM_OP_MAP.value, flags, map_host } });
    t.device.unmap(out.device_virt_addr);
  });

  test('time stamps are mapped whole', (t) => {
    t.expectMessages(/mmap|size/i);
    const elements = 1024;
    const { out } = call(t.device, DRM_IOCTL_HL_MEMORY, {
      in: { op: MEMORY.HL_MEM_OP_TS_ALLOC.value, num_of_elements: elements },
    });
    assertErrno('EINVAL', () => t.target.driver.mmap(t.device.fd, 4 * KiB, 3, out.handle));
    const mapping = t.target.driver.mmap(t.device.fd, elements * 8, 3, out.handle);
    assert.ok(mapping.bytes.every((byte) => byte === 0));
    mapping.unmap();
  });

  test('a command buffer that the device has no address of does not tell one', (t) => {
    t.expectMessages(/CB is not mapped to the device's MMU/);
    using buffer = t.device.createCb(4 * KiB);
    const flags = cbFlags.HL_CB_FLAGS_GET_DEVICE_VA.value;
    const ask = { op: cbOperations.HL_CB_OP_INFO.value, cb_handle: buffer.handle, flags };
    assertErrno('EINVAL', () => call(t.device, DRM_IOCTL_HL_CB, { in: ask }));
    assert.equal(buffer.usage(), 0);
  });

  test('a card that is closed takes command buffers with it that were not destroyed', (t) => {
    const first = t.open(0);
    call(first, DRM_IOCTL_HL_CB, { in: { op: cbOperations.HL_CB_OP_CREATE.value, cb_size: 4 * KiB } });
    first.close();
    t.open(0).close();
  });
}

/** A packet that makes a signal of a reservation. */
function made(sobOffset: number): CommandStream {
  const address = addressMap.CFG_BASE + sobOffset;
  return new CommandStream().write(address, gaudiQman.format('sob', { value: 1, add: true }));
}

function submissions(test: Declare): void {
  test('signals and waits take a time limit, and record when they end', async (t) => {
    const { device } = t;
    const timestamp = csFlags.HL_CS_FLAGS_TIMESTAMP.value;
    // the fence keeps the signal from coming before a queue waits for it
    const gate = device.submit({ queue: DOWN, stream: new CommandStream().fence(0) });
    const signal = device.signal(DOWN, { flags: timestamp });
    const wait = device.waitForSignal(UP, signal, { flags: timestamp });
    assert.ok(wait);
    await letGo(t, device, DOWN, 'DMA_0_1');
    for (const work of [gate, signal, wait]) {
      const { timestamp: end } = await device.wait(work, { signal: t.signal });
      assert.equal(end !== undefined, work !== gate);
    }
    const limited = signalWithin(t, device, 30);
    await device.wait(limited, { signal: t.signal });
  });

  test('the time of the first end is told to who waits for several', async (t) => {
    const { device } = t;
    const works = [1, 2].map(() =>
      device.submit({ queue: DOWN, stream: new CommandStream().nop() }, { timestamp: true }),
    );
    const ends: (bigint | undefined)[] = [];
    for (const work of works) ends.push((await device.wait(work, { signal: t.signal })).timestamp);
    const { timestamp, completed } = await device.waitAny(works, { signal: t.signal });
    assert.equal(completed.length, 2);
    assert.equal(timestamp, ends[0], `flag ${waitStatusFlags.HL_WAIT_CS_STATUS_FLAG_TIMESTAMP_VLD.value}`);
  });

  test('interrupts of completion queues and of decoders are for other chips', (t) => {
    t.expectMessages(/no user interrupts allowed/);
    for (const which of [
      waitInterrupts.HL_WAIT_CS_FLAGS_ANY_CQ_INTERRUPT,
      waitInterrupts.HL_WAIT_CS_FLAGS_ANY_DEC_INTERRUPT,
    ]) {
      const flags = (waitFlags.HL_WAIT_CS_FLAGS_INTERRUPT.value | which.value) >>> 0;
      assertErrno('EPERM', () => call(t.device, DRM_IOCTL_HL_WAIT_CS, { in: { flags } }));
    }
  });

  test('one signal can be reserved, and all that a sync object can count', (t) => {
    const one = t.device.reserveSignals(DOWN, 1);
    t.device.unreserveSignals(one);
    const all = t.device.reserveSignals(DOWN, 0x7fff);
    t.device.unreserveSignals(all);
    assert.equal(all.count, 0x7fff);
  });

  test('signals that a sync object cannot count any more are of the next one', (t) => {
    const { device } = t;
    const one = device.reserveSignals(DOWN, 1);
    device.unreserveSignals(one);
    // its value after the signal: so many it can count from before it, and one more is too many (habanalabs.h, HL_MAX_SOB_VAL)
    const most = 0x8000 - one.value;
    const all = device.reserveSignals(DOWN, most);
    device.unreserveSignals(all);
    assert.equal(all.sobOffset, one.sobOffset);
    const more = device.reserveSignals(DOWN, most + 1);
    device.unreserveSignals(more);
    assert.notEqual(more.sobOffset, one.sobOffset);
  });

  test('signals that were given back cannot be made', (t) => {
    t.expectMessages(/encaps handle id\(\d+\) wasn't found/, /Failed to submit CS/);
    const reservation = t.device.reserveSignals(DOWN, 1);
    t.device.unreserveSignals(reservation);
    const stream = made(reservation.sobOffset);
    assertErrno('EINVAL', () => t.device.submit({ queue: DOWN, stream }, { signals: reservation, staged: 'first' }));
  });
}

/** A signal with a time limit in seconds. */
function signalWithin(t: TestContext, device: Device, timeout: number): bigint {
  const chunk = t.target.driver.allocate(4 * KiB);
  t.use({ [Symbol.dispose]: () => chunk.unmap() });
  // hl_cs_chunk: the queue is at 8
  new DataView(chunk.bytes.buffer, chunk.bytes.byteOffset).setUint32(8, queueRow(DOWN).value, true);
  const cs_flags = csFlags.HL_CS_FLAGS_SIGNAL.value | csFlags.HL_CS_FLAGS_CUSTOM_TIMEOUT.value;
  const asked = { chunks_execute: chunk.address, num_chunks_execute: 1, timeout, cs_flags };
  return call(device, DRM_IOCTL_HL_CS, { in: asked }).out.seq;
}

function tracing(test: Declare): void {
  test('units that are on are stopped when debug mode is left, and can be turned on in the next', (t) => {
    t.expectMessages(/Rejecting debug configuration request/);
    const { device } = t;
    debug(device, 'SET_MODE', true);
    debug(device, 'TIMESTAMP', true);
    debug(device, 'TIMESTAMP', false);
    debug(device, 'BMON', true);
    debug(device, 'SET_MODE', false);
    assertErrno('EFAULT', () => debug(device, 'BMON', true));
    debug(device, 'SET_MODE', true);
    debug(device, 'BMON', true);
    debug(device, 'BMON', false);
    debug(device, 'SET_MODE', false);
  });
}

export function calls(test: Declare): void {
  memory(test);
  submissions(test);
  tracing(test);
}
