/** Rows of random sequences besides the driver's everyday calls: files, calls that are none, traces. */

import { POLLIN } from '../../driver/driver.ts';
import { csFlags, DRM_IOCTL_HL_CS, hl_cs_chunk } from '../../uapi/habanalabs/cs.ts';
import { DRM_IOCTL_HL_DEBUG, debugOperations } from '../../uapi/habanalabs/debug.ts';
import { DRM_IOCTL_HL_MEMORY, memoryOperations } from '../../uapi/habanalabs/memory.ts';
import { values } from '../../uapi/rows.ts';
import { mostly, type Operation, operation, pick } from './operation-rows.ts';

const PAGE = 4096;
const MEM = values(memoryOperations);
const DEBUG = values(debugOperations);

/** Of an ioctl number: which way the argument goes, how long it is (asm-generic/ioctl.h), in DRM's range. */
const request = (direction: number, size: number, nr: number) =>
  ((direction << 30) | (size << 16) | (0x64 << 8) | nr) >>> 0;
/** First of the driver's own requests; those below and from LAST on are DRM's, of which the model has none. */
const FIRST = 0x40;
const LAST = 0xa0;
/** Bits of an offset of mmap that say what is mapped (common/habanalabs.h, HL_MMAP_TYPE_SHIFT). */
const TYPE_SHIFT = 59n;

const oddIoctl = (kind: 'compute' | 'control') =>
  operation({
    weight: 1,
    takes: [kind],
    draw: (random) => ({
      nr: random.below(3) > 0 ? 0x40 + random.below(10) : random.below(256),
      size: pick(random, [0, 1, 7, 8, 16, 24, 32, 48, 64, 4096]),
      direction: mostly(random, [3], [0, 1, 2]),
      byte: mostly(random, [0], [1, 0xff]),
    }),
    perform({ driver }, [fd], { nr = 0, size = 0, direction = 0, byte = 0 }) {
      const isOwn = kind === 'control' || (nr >= FIRST && nr < LAST);
      const number = isOwn ? nr : FIRST + (nr % (LAST - FIRST));
      // the longest that a kernel may copy, whatever the number says
      const argument = new Uint8Array(16_384).fill(byte, 0, size);
      driver.ioctl(fd, request(direction, size, number), argument);
    },
  });

const reading = (kind: 'compute' | 'control' | 'eventfd' | 'dmabuf') =>
  operation({
    weight: 1,
    takes: [kind],
    draw: (random) => ({ size: mostly(random, [8], [0, 4, 100]), how: random.below(3) }),
    perform({ driver }, [fd], { size = 0, how = 0 }) {
      if (how === 0) driver.read(fd, new Uint8Array(size));
      // a counter that is nearly full would make the next who writes wait
      else if (how === 1) driver.write(fd, new Uint8Array(size).fill(1, 0, 1));
      else driver.poll(fd, POLLIN, 0);
    },
  });

export const moreOperations: Readonly<Record<string, Operation>> = {
  close_compute: operation({
    weight: 1,
    takes: ['compute'],
    ends: 0,
    perform(world, [fd]) {
      // what is in flight when a card is closed differs from time to time
      world.settleAll(fd);
      world.driver.close(fd);
    },
  }),
  close_eventfd: operation({
    weight: 1,
    takes: ['eventfd'],
    ends: 0,
    perform: ({ driver }, [fd]) => driver.close(fd),
  }),
  dup_compute: operation({
    weight: 1,
    takes: ['compute'],
    makes: 'compute',
    perform: ({ driver }, [fd]) => driver.dup(fd),
  }),
  odd_ioctl: oddIoctl('compute'),
  odd_ioctl_control: oddIoctl('control'),
  file_compute: reading('compute'),
  file_control: reading('control'),
  file_eventfd: reading('eventfd'),
  file_dmabuf: reading('dmabuf'),
  mmap_odd: operation({
    weight: 1,
    takes: ['compute'],
    draw: (random) => ({
      type: mostly(random, [2, 4, 8], [0, 1, 3, 15]),
      page: pick(random, [0, 1, 2, 0x1234]),
      size: mostly(random, [PAGE, 2 * PAGE], [1, 0x20_0000]),
      protection: mostly(random, [3], [1, 2]),
    }),
    wild: ['page'],
    perform({ driver }, [fd], { type = 0, page = 0, size = PAGE, protection = 3 }) {
      const offset = (BigInt(type & 15) << TYPE_SHIFT) | (BigInt(page) << 12n);
      driver.mmap(fd, size, protection, offset).unmap();
    },
  }),
  mem_free: operation({
    weight: 1,
    takes: ['compute'],
    draw: (random) => ({ handle: pick(random, [0, 1, 2]) }),
    wild: ['handle'],
    perform: (world, [fd], { handle = 0 }) =>
      void world.ioctl(fd, DRM_IOCTL_HL_MEMORY, { in: { free: { handle }, op: MEM.HL_MEM_OP_FREE } }),
  }),
  debug: operation({
    weight: 2,
    takes: ['compute'],
    draw: (random) => ({
      op: mostly(random, [DEBUG.HL_DEBUG_OP_SET_MODE, random.below(8), random.below(8)], [8, 1000]),
      unit: mostly(random, [0, 1, 5], [40, 1000]),
      enable: random.below(2),
      input: pick(random, [0, 8, 24, 40, 72, 96, 112]),
      output: pick(random, [0, 0, 8, 48, 4096]),
      where: mostly(random, [1], [0, 2]),
      byte: mostly(random, [0], [1, 0xff]),
    }),
    wild: ['unit', 'enable'],
    perform(world, [fd], { op = 0, unit = 0, enable = 0, input = 0, output = 0, where = 1, byte = 0 }) {
      world.scratch.bytes.fill(byte, 0, PAGE);
      const at = (offset: bigint) => [0n, world.scratch.address + offset, 0x1000n + offset][where] ?? 0n;
      world.ioctl(fd, DRM_IOCTL_HL_DEBUG, {
        input_ptr: at(0n),
        output_ptr: at(8192n),
        input_size: input,
        output_size: output,
        op,
        reg_idx: unit,
        enable,
      });
    },
  }),
  collective_wait: operation({
    weight: 1,
    takes: ['compute', 'signal'],
    draw: (random) => ({ queue: mostly(random, [5, 8], [0, 200]), engine: mostly(random, [0, 1], [9, 1000]) }),
    perform(world, [fd, signal], { queue = 0, engine = 0 }) {
      world.settle(fd, signal);
      const place = world.scratch.address + 1024n;
      new DataView(world.scratch.bytes.buffer, world.scratch.bytes.byteOffset + 1024).setBigUint64(0, signal, true);
      const members = {
        queue_index: queue,
        signal_seq_arr: place,
        num_signal_seq_arr: 1,
        collective_engine_id: engine,
      };
      world.scratch.bytes.set(hl_cs_chunk.encode(members));
      const cs_flags = csFlags.HL_CS_FLAGS_COLLECTIVE_WAIT.value;
      world.ioctl(fd, DRM_IOCTL_HL_CS, {
        in: { chunks_execute: world.scratch.address, num_chunks_execute: 1, cs_flags },
      });
    },
  }),
};
