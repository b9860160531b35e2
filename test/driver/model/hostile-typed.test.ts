/**
 * Calls that are nearly right: what a program would ask, with a field or two replaced, on every kind of descriptor. Each ends
 * with an errno or is done; a program on the other card, and the next on this one, notice nothing.
 */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { type Driver, EFD_NONBLOCK, type Mapping, O_RDWR, SystemError } from '../../../src/driver/driver.ts';
import { ModelMachine } from '../../../src/machine/model.ts';
import { CommandStream } from '../../../src/runtime/command-stream.ts';
import { Device } from '../../../src/runtime/device.ts';
import { cbOperations, DRM_IOCTL_HL_CB } from '../../../src/uapi/habanalabs/cb.ts';
import { csFlags, DRM_IOCTL_HL_CS, hl_cs_chunk } from '../../../src/uapi/habanalabs/cs.ts';
import { DRM_IOCTL_HL_DEBUG, debugOperations, hl_debug_params_spmu } from '../../../src/uapi/habanalabs/debug.ts';
import { DRM_IOCTL_HL_INFO, infoOperations } from '../../../src/uapi/habanalabs/info.ts';
import { DRM_IOCTL_HL_MEMORY, memoryFlags, memoryOperations } from '../../../src/uapi/habanalabs/memory.ts';
import { DRM_IOCTL_HL_WAIT_CS, waitFlags } from '../../../src/uapi/habanalabs/wait-cs.ts';
import { values } from '../../../src/uapi/rows.ts';
import { seed } from '../../seed.ts';

const FLAGS = values(csFlags);
const PAGE = 4096;
/** Where the memory is that a program of the model allocates first. */
const FIRST_ADDRESS = 0x7f00_0000_0000n;

/** What a program has to put into its arguments. */
interface Resources {
  readonly memory: Mapping;
  readonly cb: bigint;
  readonly mapped: bigint;
  readonly eventfd: number;
}

interface Request {
  readonly request: number;
  readonly bytes: Uint8Array;
}

/** Where arrays lie in the program's memory. */
const AT = { CHUNKS: 0n, SEQUENCES: 1024n, PARAMETERS: 2048n, ANSWER: 4096n } as const;

/** A call as the manual has it. @param pick chooses among operations */
function proper({ memory, cb, mapped, eventfd }: Resources, kind: number, pick: number): Request {
  const { address } = memory;
  const among = <T>(list: readonly T[]): T => list[pick % list.length] as T;
  const make = (
    ioctl: { request: number; argument: { encode(value: never): Uint8Array } },
    value: object,
  ): Request => ({
    request: ioctl.request,
    bytes: ioctl.argument.encode(value as never),
  });
  switch (kind) {
    case 0: {
      const op = among(Object.values(infoOperations)).value;
      const room = { return_pointer: address + AT.ANSWER, return_size: PAGE };
      return make(
        DRM_IOCTL_HL_INFO,
        op === infoOperations.HL_INFO_REGISTER_EVENTFD.value ? { op, eventfd } : { op, ...room },
      );
    }
    case 1:
      return make(DRM_IOCTL_HL_CB, {
        in: { op: among(Object.values(cbOperations)).value, cb_handle: cb, cb_size: PAGE },
      });
    case 2: {
      const map_host = { host_virt_addr: address, mem_size: BigInt(PAGE) };
      const flags = memoryFlags.HL_MEM_USERPTR.value;
      const op = among(Object.values(memoryOperations)).value;
      if (op === memoryOperations.HL_MEM_OP_UNMAP.value)
        return make(DRM_IOCTL_HL_MEMORY, { in: { op, unmap: { device_virt_addr: mapped } } });
      return make(DRM_IOCTL_HL_MEMORY, { in: { op, flags, map_host } });
    }
    case 3: {
      const cs_flags = among([
        0,
        FLAGS.HL_CS_FLAGS_SIGNAL,
        FLAGS.HL_CS_FLAGS_WAIT,
        FLAGS.HL_CS_FLAGS_TIMESTAMP,
        ...Object.values(FLAGS),
      ]);
      const chunks = { chunks_execute: address + AT.CHUNKS, num_chunks_execute: 1 };
      return make(DRM_IOCTL_HL_CS, { in: { ...chunks, cs_flags, timeout: 1 } });
    }
    case 4: {
      const several = { seq: address + AT.SEQUENCES, seq_arr_len: 2, flags: waitFlags.HL_WAIT_CS_FLAGS_MULTI_CS.value };
      return make(DRM_IOCTL_HL_WAIT_CS, { in: { timeout_us: 100n, ...(pick % 2 ? several : { seq: BigInt(pick) }) } });
    }
    default: {
      const op = among(Object.values(debugOperations)).value;
      const places = {
        input_ptr: address + AT.PARAMETERS,
        input_size: 128,
        output_ptr: address + AT.ANSWER,
        output_size: 40,
      };
      return make(DRM_IOCTL_HL_DEBUG, { op, enable: (pick >> 4) & 1, reg_idx: pick >> 5, ...places });
    }
  }
}

const hostile = (memory: bigint) =>
  fc.oneof(
    fc.integer({ min: 0, max: 64 }).map(BigInt),
    fc.integer({ min: 0, max: 3 * PAGE }).map((offset) => memory + BigInt(offset)),
    fc.constantFrom(0x2000_0000n, 0x7f_f002_0000n, 0x1_0000_0000_0000n, (1n << 12n) | (2n << 59n), 1n << 44n),
    fc.integer({ min: 0, max: 63 }).map((bit) => 1n << BigInt(bit)),
    fc.integer({ min: 0, max: 63 }).map((bit) => (1n << BigInt(bit)) - 1n),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  );

/** @throws whatever is not an errno, or a call that would have waited for ever */
function attempt(body: () => unknown): void {
  try {
    body();
  } catch (error) {
    if (error instanceof SystemError || /waited for longer/.test((error as Error).message)) return;
    throw error;
  }
}

describe('calls that are nearly right', () => {
  let machine: ModelMachine;
  let driver: Driver;

  before(() => {
    machine = new ModelMachine({ machine: 'gaudi-x2' });
    driver = machine.driver;
  });

  it('end with an errno or are done, and hurt nobody', () => {
    using neighbour = Device.open({ driver, index: 1, patience: 60_000 });
    const host = neighbour.allocHost(64 * 1024);
    host.bytes.fill(0x5a);
    const word = hostile(FIRST_ADDRESS);
    const change = fc.record({ at: fc.nat(127), wide: fc.boolean(), value: word });
    const call = fc.record({
      kind: fc.nat(5),
      pick: fc.nat(1023),
      where: fc.constantFrom('compute', 'compute', 'compute', 'compute', 'control', 'eventfd', 'dmabuf', 'closed'),
      argument: fc.array(change, { maxLength: 2 }),
      arrays: fc.array(change, { maxLength: 2 }),
      size: fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat(255) }),
    });
    const property = fc.property(fc.array(call, { minLength: 20, maxLength: 60 }), (calls) => {
      burst(driver, calls);
      works(driver, 0);
      assert.ok(
        host.bytes.every((byte) => byte === 0x5a),
        'memory of the neighbour',
      );
      works(driver, 1, neighbour);
    });
    fc.assert(property, { seed: seed(), numRuns: 30 });
  });

  after(() => machine[Symbol.dispose]());
});

interface Change {
  readonly at: number;
  readonly wide: boolean;
  readonly value: bigint;
}

function apply(bytes: Uint8Array, changes: readonly Change[]): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (const { at, wide, value } of changes) {
    const width = wide ? 8 : 4;
    const offset = (at * 4) % Math.max(4, bytes.length - width + 1);
    if (offset % width !== 0 || offset + width > bytes.length) continue;
    if (wide) view.setBigUint64(offset, BigInt.asUintN(64, value), true);
    else view.setUint32(offset, Number(BigInt.asUintN(32, value)), true);
  }
}

/** A program that does all of it and is killed. */
function burst(
  parent: Driver,
  calls: readonly {
    readonly kind: number;
    readonly pick: number;
    readonly where: string;
    readonly argument: readonly Change[];
    readonly arrays: readonly Change[];
    readonly size: number | null;
  }[],
): void {
  using driver = parent.process();
  const memory = driver.allocate(3 * PAGE);
  assert.equal(memory.address, FIRST_ADDRESS);
  const device = Device.open({ driver, patience: 60_000 });
  const buffer = device.createCb(PAGE);
  buffer.bytes.set(new CommandStream().nop().bytes);
  const mapped = device.allocHost(PAGE);
  const eventfd = driver.eventfd(0, EFD_NONBLOCK);
  const { base } = device.dram;
  const dmabuf = exported(driver, device.fd, base);
  const control = driver.open('/dev/accel/accel_controlD0', O_RDWR);
  const descriptors = { compute: device.fd, control, eventfd, dmabuf, closed: 9999 } as const;
  const resources = { memory, cb: buffer.handle, mapped: mapped.deviceAddress, eventfd };
  parent.interruptAfter?.(2000);
  for (const { kind, pick, where, argument, arrays, size } of calls) {
    memory.bytes.fill(0);
    memory.bytes.set(
      hl_cs_chunk.encode({ cb_handle: buffer.handle, cb_size: 8, queue_index: pick % 9 }),
      Number(AT.CHUNKS),
    );
    new DataView(memory.bytes.buffer, memory.bytes.byteOffset).setBigUint64(Number(AT.SEQUENCES), 1n, true);
    memory.bytes.set(hl_debug_params_spmu.encode({ event_types_num: 3 }), Number(AT.PARAMETERS));
    apply(memory.bytes.subarray(0, 3072), arrays);
    const { request, bytes } = proper(resources, kind, pick);
    apply(bytes, argument);
    const number = size === null ? request : (request & ~(0xff << 16)) | (size << 16);
    attempt(() => driver.ioctl(descriptors[where as keyof typeof descriptors], number >>> 0, bytes));
  }
  parent.interruptAfter?.();
}

function exported(driver: Driver, fd: number, addr: bigint): number {
  const { argument, request } = DRM_IOCTL_HL_MEMORY;
  const op = memoryOperations.HL_MEM_OP_EXPORT_DMABUF_FD.value;
  const bytes = argument.encode({ in: { op, export_dmabuf_fd: { addr, mem_size: BigInt(PAGE) } } });
  driver.ioctl(fd, request, bytes);
  return argument.decode(bytes).out.fd;
}

/** A card does what a program asks. */
function works(driver: Driver, index: number, open?: Device): void {
  const device = open ?? Device.open({ driver, index, patience: 120_000 });
  const host = device.allocHost(PAGE);
  const stream = new CommandStream().memset(host, 0x1234_5678_9abc_def0n, 8);
  device.waitSync(device.submit({ queue: 'DMA_0_0', stream }), 10_000);
  assert.equal(host.view.getBigUint64(0, true), 0x1234_5678_9abc_def0n);
  host[Symbol.dispose]();
  if (!open) device.close();
}
