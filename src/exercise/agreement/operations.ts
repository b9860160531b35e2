/**
 * What random sequences are made of: one row per operation that says which resources it takes and makes and how its numbers are
 * drawn, and makes the call. Left out is what is not the same twice by nature: work that never ends, resets.
 */

import { type Driver, EFD_CLOEXEC, EFD_NONBLOCK, O_CLOEXEC, O_RDWR, SystemError } from '../../driver/driver.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { cbFlags, cbOperations, DRM_IOCTL_HL_CB } from '../../uapi/habanalabs/cb.ts';
import { csFlags, DRM_IOCTL_HL_CS, hl_cs_chunk } from '../../uapi/habanalabs/cs.ts';
import { DRM_IOCTL_HL_INFO, hl_passthrough_type, infoOperations } from '../../uapi/habanalabs/info.ts';
import { DRM_IOCTL_HL_MEMORY, memoryOperations } from '../../uapi/habanalabs/memory.ts';
import { DRM_IOCTL_HL_WAIT_CS } from '../../uapi/habanalabs/wait-cs.ts';
import { values } from '../../uapi/rows.ts';
import { INVALID, mostly, type Numbers, type Operation, operation, pick, type World } from './operation-rows.ts';
import { moreOperations } from './operations-more.ts';
import { rdmaOperations } from './operations-rdma.ts';

const CB = values(cbOperations);
const MEM = values(memoryOperations);
const FLAG = values(csFlags);
const PAGE = 4096;
/** Microseconds that a wait takes at most: more than any work of a sequence. */
const LONG = 10_000_000;

/** Questions whose answers follow from time or from how busy engines are; the others are compared member by member. */
const RESTLESS =
  /TIME_SYNC|POWER|ENERGY|UTILIZATION|THROTTLE|HW_IDLE|ENGINE_STATUS|REGISTER_EVENTFD|LAST_ERR|PCI_COUNTERS/;
const questions = Object.entries(infoOperations)
  .filter(([name]) => !RESTLESS.test(name))
  .map(([, row]) => row.value);

const GENERIC = infoOperations.HL_INFO_FW_GENERIC_REQ.value;
/** Requests to the firmware that Linux 7.3 passes on and 6.12 refuses (habanalabs_ioctl.c, send_fw_generic_request). */
const NOT_EVERYWHERE: readonly number[] = [
  hl_passthrough_type.HL_GET_ERR_COUNTERS_CMD.value,
  hl_passthrough_type.HL_GET_P_STATE.value,
];

function chunk(world: World, members: Parameters<typeof hl_cs_chunk.encode>[0]): bigint {
  world.scratch.bytes.set(hl_cs_chunk.encode(members));
  return world.scratch.address;
}

/** Submits chunks of one kind or another. @returns the sequence number */
function submit(world: World, fd: number, flags: number, members: Parameters<typeof hl_cs_chunk.encode>[0]) {
  const chunks_execute = chunk(world, members);
  const { out } = world.ioctl(fd, DRM_IOCTL_HL_CS, { in: { chunks_execute, num_chunks_execute: 1, cs_flags: flags } });
  return out.seq;
}

export const operations: Readonly<Record<string, Operation>> = {
  open_compute: operation({
    weight: 2,
    takes: [],
    makes: 'compute',
    draw: (random) => ({ card: mostly(random, [0, 1], [7]) }),
    perform: ({ driver }, _, { card }) => openPatiently(driver, `/dev/accel/accel${card}`),
  }),
  open_control: operation({
    weight: 1,
    takes: [],
    makes: 'control',
    draw: (random) => ({ card: mostly(random, [0, 1], [7]) }),
    perform: ({ driver }, _, { card }) => driver.open(`/dev/accel/accel_controlD${card}`, O_RDWR | O_CLOEXEC),
  }),
  close_control: operation({
    weight: 1,
    takes: ['control'],
    ends: 0,
    perform: ({ driver }, [fd]) => driver.close(fd),
  }),
  dup: operation({ weight: 1, takes: ['control'], makes: 'control', perform: ({ driver }, [fd]) => driver.dup(fd) }),
  make_eventfd: operation({
    weight: 1,
    takes: [],
    makes: 'eventfd',
    perform: ({ driver }) => driver.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
  }),
  allocate: operation({
    weight: 4,
    takes: [],
    makes: 'memory',
    draw: (random) => ({ pages: pick(random, [1, 1, 2, 16, 600]) }),
    perform: ({ driver }, _, { pages = 1 }) => driver.allocate(pages * PAGE),
  }),
  info: operation({
    weight: 5,
    takes: ['compute'],
    draw: (random) => ({
      op: mostly(random, questions, [5, 16, 41, 1000]),
      size: mostly(random, [1024, 4096, 16384], [0, 1, 8, 64]),
      number: mostly(random, [0, 1, 2, 3], [4, 9, 99]),
      where: mostly(random, [1], [0, 2]),
      pad: mostly(random, [0], [1]),
    }),
    wild: ['size', 'number', 'pad'],
    perform: (world, [fd], numbers) => ask(world, fd, numbers),
  }),
  info_control: operation({
    weight: 2,
    takes: ['control'],
    draw: (random) => ({
      op: mostly(random, questions, [5, 28, 30, 1000]),
      size: mostly(random, [1024, 4096], [0, 4]),
      number: mostly(random, [0, 1, 2, 3], [4, 99]),
      where: mostly(random, [1], [0, 2]),
      pad: 0,
    }),
    wild: ['size', 'number'],
    perform: (world, [fd], numbers) => ask(world, fd, numbers),
  }),
  register_eventfd: operation({
    weight: 1,
    takes: ['compute', 'eventfd'],
    perform: (world, [fd, eventfd]) =>
      void world.ioctl(fd, DRM_IOCTL_HL_INFO, { op: infoOperations.HL_INFO_REGISTER_EVENTFD.value, eventfd }),
  }),
  cb_create: operation({
    weight: 5,
    takes: ['compute'],
    makes: 'cb',
    draw: (random) => ({
      size: mostly(random, [16, 64, 4096, 5000, 0x1fffe0], [0, 0x1fffe1, 0x200000, 0xffffffff]),
      flags: mostly(random, [0], [cbFlags.HL_CB_FLAGS_MAP.value, 4]),
    }),
    wild: ['size', 'flags'],
    perform: (world, [fd], { size = 0, flags = 0 }) =>
      world.ioctl(fd, DRM_IOCTL_HL_CB, { in: { op: CB.HL_CB_OP_CREATE, cb_size: size, flags } }).out.cb_handle,
  }),
  cb_info: operation({
    weight: 2,
    takes: ['compute', 'cb'],
    draw: (random) => ({ flags: mostly(random, [0], [cbFlags.HL_CB_FLAGS_GET_DEVICE_VA.value, 8]) }),
    wild: ['flags'],
    perform: (world, [fd, cb_handle], { flags = 0 }) =>
      void world.ioctl(fd, DRM_IOCTL_HL_CB, { in: { op: CB.HL_CB_OP_INFO, cb_handle, flags } }),
  }),
  cb_destroy: operation({
    weight: 3,
    takes: ['compute', 'cb'],
    ends: 1,
    draw: (random) => ({ op: mostly(random, [CB.HL_CB_OP_DESTROY], [3, 77]) }),
    perform: (world, [fd, cb_handle], { op = 0 }) => void world.ioctl(fd, DRM_IOCTL_HL_CB, { in: { op, cb_handle } }),
  }),
  cb_map: operation({
    weight: 3,
    takes: ['compute', 'cb'],
    makes: 'packets',
    draw: (random) => ({ size: mostly(random, [PAGE], [2 * PAGE, 0x400000]) }),
    wild: ['size'],
    perform: ({ driver }, [fd, handle], { size = PAGE }) => ({ handle, mapping: driver.mmap(fd, size, 3, handle) }),
  }),
  unmap: operation({ weight: 1, takes: ['packets'], ends: 0, perform: (_, [packets]) => packets?.mapping.unmap() }),
  mem_map: operation({
    weight: 5,
    takes: ['compute', 'memory'],
    makes: 'va',
    draw: (random) => ({
      size: mostly(random, [PAGE, 100, 2 * PAGE], [0, 1]),
      offset: mostly(random, [0], [8, 100]),
      hint: mostly(random, [0], [1, 2]),
      flags: mostly(random, [4, 4, 12], [0, 0x40, 0x80]),
    }),
    wild: ['flags'],
    perform: (world, [fd, memory], { size = 0, offset = 0, hint = 0, flags = 0 }) => {
      const hint_addr = [0n, 0x1_0000_4000_0000n, 0x1234n][hint] ?? 0n;
      const host_virt_addr = memory === undefined ? 0x10_0000n : memory.address + BigInt(offset);
      // what lies behind the memory is another program's business
      const mem_size = Math.max(0, Math.min(size, (memory?.bytes.length ?? size) - offset));
      const map_host = { host_virt_addr, hint_addr, mem_size };
      return world.ioctl(fd, DRM_IOCTL_HL_MEMORY, { in: { map_host, op: MEM.HL_MEM_OP_MAP, flags } }).out
        .device_virt_addr;
    },
  }),
  mem_unmap: operation({
    weight: 3,
    takes: ['compute', 'va'],
    ends: 1,
    draw: (random) => ({ offset: mostly(random, [0], [1, PAGE]) }),
    wild: ['offset'],
    perform: (world, [fd, va], { offset = 0 }) =>
      void world.ioctl(fd, DRM_IOCTL_HL_MEMORY, {
        in: { unmap: { device_virt_addr: va + BigInt(offset) }, op: MEM.HL_MEM_OP_UNMAP },
      }),
  }),
  mem_alloc: operation({
    weight: 2,
    takes: ['compute'],
    draw: (random) => ({ megabytes: mostly(random, [1, 2, 512], [0, 1 << 20]), flags: random.below(4) }),
    wild: ['megabytes', 'flags'],
    perform: (world, [fd], { megabytes = 0, flags = 0 }) =>
      void world.ioctl(fd, DRM_IOCTL_HL_MEMORY, {
        in: { alloc: { mem_size: megabytes * 2 ** 20 }, op: MEM.HL_MEM_OP_ALLOC, flags },
      }),
  }),
  mem_other: operation({
    weight: 1,
    takes: ['compute'],
    draw: (random) => ({ op: pick(random, [MEM.HL_MEM_OP_MAP_BLOCK, 7, 1000]) }),
    perform: (world, [fd], { op = 0 }) => void world.ioctl(fd, DRM_IOCTL_HL_MEMORY, { in: { op } }),
  }),
  export_dmabuf: operation({
    weight: 2,
    takes: ['compute'],
    makes: 'dmabuf',
    draw: (random) => ({
      addr: mostly(random, [0x2000_0000, 0x2020_0000], [0, 0x2000_0001, 0x1fff_f000, 0x8_0000_0000]),
      size: mostly(random, [PAGE, 0x20_0000], [0, 1, 0x8_0000_0000]),
      offset: mostly(random, [0], [PAGE]),
      flags: mostly(random, [O_CLOEXEC | O_RDWR], [0, 1, 0x40]),
    }),
    wild: ['addr', 'size', 'offset', 'flags'],
    perform: (world, [fd], { addr = 0, size = 0, offset = 0, flags = 0 }) =>
      world.ioctl(fd, DRM_IOCTL_HL_MEMORY, {
        in: { export_dmabuf_fd: { addr, mem_size: size, offset }, op: MEM.HL_MEM_OP_EXPORT_DMABUF_FD, flags },
      }).out.fd,
  }),
  close_dmabuf: operation({
    weight: 1,
    takes: ['dmabuf'],
    ends: 0,
    perform: ({ driver }, [fd]) => driver.close(fd),
  }),
  ts_alloc: operation({
    weight: 1,
    takes: ['compute'],
    makes: 'timestamps',
    // only what is refused: with a buffer, handles of command buffers would be taken for it (docs/findings/0003)
    draw: (random) => ({ elements: pick(random, [(1 << 20) + 1, 0xffff_ffff]) }),
    perform: (world, [fd], { elements = 0 }) =>
      world.ioctl(fd, DRM_IOCTL_HL_MEMORY, { in: { op: MEM.HL_MEM_OP_TS_ALLOC, num_of_elements: elements } }).out
        .handle,
  }),
  submit: operation({
    weight: 6,
    takes: ['compute', 'packets'],
    makes: 'submission',
    draw: (random) => ({
      queue: mostly(random, [0, 1, 5, 7], [8, 9, 113, 60_000]),
      size: mostly(random, [16], [0, 8, 12, 4096, 0xffff_fff0]),
      flags: mostly(
        random,
        [0, FLAG.HL_CS_FLAGS_TIMESTAMP, FLAG.HL_CS_FLAGS_FORCE_RESTORE],
        [FLAG.HL_CS_FLAGS_SIGNAL | FLAG.HL_CS_FLAGS_WAIT, 0x8000_0000, FLAG.HL_CS_FLAGS_ENCAP_SIGNALS],
      ),
      packet: mostly(random, [0], [1, 2, 3, 4]),
    }),
    wild: ['queue', 'size'],
    perform(world, [fd, packets], { queue = 0, size = 0, flags = 0, packet = 0 }) {
      const bytes = packets?.mapping.bytes;
      if (bytes !== undefined && bytes.length > 0) bytes.set(packetsOf(packet));
      const cb_handle = packets?.handle ?? INVALID.cb;
      // of a packet that is cut off, the driver reads what was there before (docs/findings/suspected.md, gaudi_validate_cb)
      return submit(world, fd, flags, { cb_handle, queue_index: queue, cb_size: size - (size % 8) });
    },
  }),
  submit_chunks: operation({
    weight: 1,
    takes: ['compute'],
    draw: (random) => ({
      count: mostly(random, [0, 513], [0xffff_ffff]),
      where: pick(random, [0, 1]),
      restore: pick(random, [0, 0, 1]),
      flags: pick(random, [0, 0, 2, 4, 8, 0x1000, 0x2000, 0x4000, 0x8000, 0x1_0000]),
    }),
    wild: ['count'],
    perform(world, [fd], { count = 0, where = 0, restore = 0, flags = 0 }) {
      const place = where === 0 ? 0n : world.scratch.address;
      world.scratch.bytes.fill(0);
      const list = restore
        ? { chunks_restore: place, num_chunks_restore: count }
        : { chunks_execute: place, num_chunks_execute: count };
      world.ioctl(fd, DRM_IOCTL_HL_CS, { in: { ...list, cs_flags: flags } });
    },
  }),
  signal: operation({
    weight: 3,
    takes: ['compute'],
    makes: 'signal',
    draw: (random) => ({ queue: mostly(random, [0, 1, 6], [8, 9, 200]) }),
    wild: ['queue'],
    perform: (world, [fd], { queue = 0 }) => submit(world, fd, FLAG.HL_CS_FLAGS_SIGNAL, { queue_index: queue }),
  }),
  wait_for_signal: operation({
    weight: 2,
    takes: ['compute', 'signal'],
    draw: (random) => ({ queue: mostly(random, [2, 4], [8, 9, 200]), count: mostly(random, [1], [0, 2]) }),
    wild: ['queue'],
    perform(world, [fd, signal], { queue = 0, count = 1 }) {
      // a wait for a signal that has come takes no sequence number, so that it has to be known whether it has
      world.settle(fd, signal);
      new DataView(world.scratch.bytes.buffer, world.scratch.bytes.byteOffset + 1024).setBigUint64(0, signal, true);
      const signal_seq_arr = world.scratch.address + 1024n;
      submit(world, fd, FLAG.HL_CS_FLAGS_WAIT, { signal_seq_arr, num_signal_seq_arr: count, queue_index: queue });
    },
  }),
  reserve: operation({
    weight: 1,
    takes: ['compute'],
    makes: 'reservation',
    draw: (random) => ({
      count: mostly(random, [1, 3, 100], [0, 0x8000, 0xffff_ffff]),
      queue: mostly(random, [0, 1], [8, 9, 200]),
    }),
    wild: ['count', 'queue'],
    perform: (world, [fd], { count = 0, queue = 0 }) =>
      world.ioctl(fd, DRM_IOCTL_HL_CS, {
        in: {
          encaps_signals_count: count,
          encaps_signals_q_idx: queue,
          cs_flags: FLAG.HL_CS_FLAGS_RESERVE_SIGNALS_ONLY,
        },
      }).out.handle_id,
  }),
  unreserve: operation({
    weight: 2,
    takes: ['compute', 'reservation'],
    ends: 1,
    perform: (world, [fd, reservation]) =>
      void world.ioctl(fd, DRM_IOCTL_HL_CS, {
        in: { encaps_sig_handle_id: reservation, cs_flags: FLAG.HL_CS_FLAGS_UNRESERVE_SIGNALS_ONLY },
      }),
  }),
  wait: operation({
    weight: 4,
    takes: ['compute', 'submission'],
    draw: (random) => ({ flags: mostly(random, [0], [2, 6, 0x1000]) }),
    wild: ['flags'],
    perform: (world, [fd, seq], { flags = 0 }) =>
      void world.ioctl(fd, DRM_IOCTL_HL_WAIT_CS, { in: { seq, timeout_us: LONG, flags } }),
  }),
  wait_several: operation({
    weight: 2,
    takes: ['compute', 'submission', 'submission'],
    draw: (random) => ({ count: mostly(random, [1, 2], [0, 33, 255]), where: mostly(random, [1], [0]) }),
    wild: ['count'],
    perform(world, [fd, first, second], { count = 0, where = 1 }) {
      world.scratch.bytes.fill(0, 0, 1024);
      const list = new DataView(world.scratch.bytes.buffer, world.scratch.bytes.byteOffset);
      list.setBigUint64(0, first, true);
      list.setBigUint64(8, second, true);
      const seq = where === 0 ? 0n : world.scratch.address;
      world.ioctl(fd, DRM_IOCTL_HL_WAIT_CS, { in: { seq, timeout_us: LONG, seq_arr_len: count & 0xff, flags: 4 } });
    },
  }),
  ...moreOperations,
  ...rdmaOperations,
};

/** While the driver cleans up after the last user it answers EAGAIN. */
/** A sequence that leaves signals reserved has the card reset, which takes a slow guest many seconds. */
function openPatiently(driver: Driver, path: string): number {
  const end = driver.now() + 60e9;
  for (;;) {
    try {
      return driver.open(path, O_RDWR | O_CLOEXEC);
    } catch (error) {
      if (!(error instanceof SystemError) || error.code !== 'EAGAIN' || driver.now() > end) throw error;
      driver.sleep(5e6);
    }
  }
}

function ask(world: World, fd: number, { op = 0, size = 0, number = 0, where = 0, pad = 0 }: Numbers): void {
  world.scratch.bytes.fill(0);
  const return_pointer = [0n, world.scratch.address, 0x1000n][where] ?? 0n;
  const kind = op === GENERIC && NOT_EVERYWHERE.includes(number) ? 0 : number;
  world.ioctl(fd, DRM_IOCTL_HL_INFO, { return_pointer, return_size: size, op, dcore_id: kind, pad });
}

/** 16 bytes that are a program, or begin with a packet that users may not send or that is none (opcode in bits 24 to 28). */
function packetsOf(which: number): Uint8Array {
  const opcode = [0, 0xff, 0x0e, 0x07, 0x0b][which];
  return opcode ? new Uint8Array(16).fill(opcode) : new CommandStream().nop().nop().bytes;
}
