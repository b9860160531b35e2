/** What the driver answers where its source has an edge: each of these was compared with the driver of Linux 7.3 in a guest. */

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Driver } from '../../../src/driver/driver.ts';
import { ModelMachine } from '../../../src/machine/model.ts';
import { CommandStream } from '../../../src/runtime/command-stream.ts';
import { Device } from '../../../src/runtime/device.ts';
import { fenceAddress } from '../../../src/runtime/sync.ts';
import { csFlags, DRM_IOCTL_HL_CS, hl_cs_chunk } from '../../../src/uapi/habanalabs/cs.ts';
import { DRM_IOCTL_HL_DEBUG, debugOperations } from '../../../src/uapi/habanalabs/debug.ts';
import { DRM_IOCTL_HL_INFO, infoOperations } from '../../../src/uapi/habanalabs/info.ts';
import { DRM_IOCTL_HL_MEMORY, memoryFlags, memoryOperations } from '../../../src/uapi/habanalabs/memory.ts';
import { DRM_IOCTL_HL_WAIT_CS, waitFlags, waitStatus } from '../../../src/uapi/habanalabs/wait-cs.ts';
import type { Ioctl } from '../../../src/uapi/rows.ts';
import type { Struct } from '../../../src/uapi/struct.ts';

const PAGE = 4096;
const SECOND = 1e9;
const BUSY = waitStatus.HL_WAIT_CS_STATUS_BUSY.value;
const COMPLETED = waitStatus.HL_WAIT_CS_STATUS_COMPLETED.value;

describe('answers of the driver', () => {
  let machine: ModelMachine;
  let driver: Driver;
  let device: Device;

  before(() => {
    machine = new ModelMachine({ machine: 'gaudi' });
    driver = machine.driver;
  });

  beforeEach((t) => {
    device = Device.open({ driver, patience: 60_000 });
    (t as { after(body: () => void): void }).after(() => device.close());
  });

  after(() => machine[Symbol.dispose]());

  function call<Out, In>(ioctl: Ioctl<Struct<Out, In>>, value: In): Out {
    const argument = ioctl.argument.encode(value);
    driver.ioctl(device.fd, ioctl.request, argument);
    return ioctl.argument.decode(argument);
  }

  const hold = () => device.submit({ queue: 'DMA_0_0', stream: new CommandStream().fence(0) });
  const release = () => {
    const stream = new CommandStream().write(fenceAddress('DMA_0_0', 0), 1);
    device.waitSync(device.submit({ queue: 'DMA_1_0', stream }), 1000);
  };
  const several = (sequence: bigint, timeout_us: bigint) => {
    const memory = driver.allocate(8);
    new DataView(memory.bytes.buffer, memory.bytes.byteOffset).setBigUint64(0, sequence, true);
    const flags = waitFlags.HL_WAIT_CS_FLAGS_MULTI_CS.value;
    return call(DRM_IOCTL_HL_WAIT_CS, { in: { seq: memory.address, seq_arr_len: 1, timeout_us, flags } }).out;
  };
  const submit = (cs_flags: number, seq = 0n) => {
    const buffer = device.createCb(PAGE);
    const { bytes } = new CommandStream().nop();
    buffer.bytes.set(bytes);
    const memory = driver.allocate(PAGE);
    memory.bytes.set(hl_cs_chunk.encode({ cb_handle: buffer.handle, cb_size: bytes.length, queue_index: 0 }));
    const chunks = { chunks_execute: memory.address, num_chunks_execute: 1 };
    return call(DRM_IOCTL_HL_CS, { in: { ...chunks, cs_flags, seq } }).out.seq;
  };

  it('a wait of 2^32 microseconds is none, for one submission', () => {
    const { sequence: seq } = hold();
    const before = driver.now();
    assert.equal(call(DRM_IOCTL_HL_WAIT_CS, { in: { seq, timeout_us: 2n ** 32n } }).out.status, BUSY);
    assert.ok(driver.now() - before < SECOND);
    release();
  });

  it('a wait for one of several is not woken by a signal’s end, and sees it the next time', () => {
    hold();
    const signal = submit(csFlags.HL_CS_FLAGS_SIGNAL.value);
    using thread = driver.thread();
    const flags = waitFlags.HL_WAIT_CS_FLAGS_MULTI_CS.value;
    const memory = driver.allocate(8);
    new DataView(memory.bytes.buffer, memory.bytes.byteOffset).setBigUint64(0, signal, true);
    const { argument: layout, request } = DRM_IOCTL_HL_WAIT_CS;
    const argument = layout.encode({ in: { seq: memory.address, seq_arr_len: 1, timeout_us: 1_000_000n, flags } });
    const before = driver.now();
    const wait = thread.ioctl(device.fd, request, argument);
    driver.sleep(1e6);
    release();
    wait.finish();
    assert.equal(layout.decode(argument).out.status, BUSY);
    assert.ok(driver.now() - before >= SECOND);
    assert.equal(several(signal, 1n).status, COMPLETED);
  });

  it('the last part of a submission never ends for who waits for one of several', () => {
    const staged = csFlags.HL_CS_FLAGS_STAGED_SUBMISSION.value;
    const first = submit(staged | csFlags.HL_CS_FLAGS_STAGED_SUBMISSION_FIRST.value);
    submit(staged | csFlags.HL_CS_FLAGS_STAGED_SUBMISSION_LAST.value, first);
    assert.equal(call(DRM_IOCTL_HL_WAIT_CS, { in: { seq: first, timeout_us: 1_000_000n } }).out.status, COMPLETED);
    assert.equal(several(first, 0n).status, COMPLETED);
    assert.equal(several(first + 1n, 0n).status, BUSY);
  });

  it('memory that is there in part is out of memory, and memory that is not is a fault', () => {
    const memory = driver.allocate(2 * PAGE);
    const op = memoryOperations.HL_MEM_OP_MAP.value;
    const flags = memoryFlags.HL_MEM_USERPTR.value;
    const map = (host_virt_addr: bigint) =>
      call(DRM_IOCTL_HL_MEMORY, { in: { op, flags, map_host: { host_virt_addr, mem_size: BigInt(2 * PAGE) } } });
    assert.throws(() => map(memory.address + BigInt(PAGE)), { code: 'ENOMEM' });
    assert.throws(() => map(0x1000n), { code: 'EFAULT' });
  });

  it('an argument may be shorter or longer than the driver’s, and of one direction', () => {
    const op = infoOperations.HL_INFO_DEVICE_STATUS.value;
    const memory = driver.allocate(8);
    const room = { return_pointer: memory.address, return_size: 4, op };
    const bytes = new Uint8Array(64);
    const ask = (size: number, direction: number) => {
      bytes.set(DRM_IOCTL_HL_INFO.argument.encode(room));
      const request = ((direction << 30) | (size << 16) | (DRM_IOCTL_HL_INFO.request & 0xffff)) >>> 0;
      memory.bytes[0] = 99;
      driver.ioctl(device.fd, request, bytes);
      return memory.bytes[0];
    };
    for (const size of [16, 24, 32, 40, 48, 56]) assert.equal(ask(size, 3), 0, `${size} bytes`);
    assert.equal(ask(32, 1), 0, 'in only');
    for (const size of [0, 8]) assert.throws(() => ask(size, 3), { code: 'EINVAL' });
    for (const direction of [0, 2]) assert.throws(() => ask(32, direction), { code: 'EINVAL' });
  });

  it('an answer of a trace unit that is longer than 4 MiB is out of memory', () => {
    call(DRM_IOCTL_HL_DEBUG, { op: debugOperations.HL_DEBUG_OP_SET_MODE.value, enable: 1 });
    const op = debugOperations.HL_DEBUG_OP_TIMESTAMP.value;
    const ask = () => call(DRM_IOCTL_HL_DEBUG, { op, output_ptr: 0x1000n, output_size: 8 << 20 });
    assert.throws(ask, { code: 'ENOMEM' });
  });
});
