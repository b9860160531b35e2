/** DRM_IOCTL_HL_MEMORY: memory of device and host, mappings, dma-bufs, timestamp buffers. */

import { constant, type Operation } from '../rows.ts';
import { group, nested, overlay, s32, struct, u32, u64, union } from '../struct.ts';
import { ioctl } from './requests.ts';

const source = 'common/memory.c, hl_mem_ioctl';

export const memoryConstants = {
  TS_MAX_ELEMENTS_NUM: constant(1 << 20, 'elements of a timestamp buffer at most'),
} as const;

export const hl_mem_in = struct('hl_mem_in', 'What is asked for.', {
  $arguments: overlay({
    alloc: group(
      {
        mem_size: u64('bytes'),
        page_size: u64('bytes of a page; 0: the default'),
      },
      'ALLOC; on Gaudi1 also FREE reads mem_size',
    ),
    free: group({ handle: u64('from ALLOC') }, 'FREE'),
    map_device: group(
      {
        hint_addr: u64('device address wished for; 0: any'),
        handle: u64('from ALLOC'),
      },
      'MAP without USERPTR',
    ),
    map_host: group(
      {
        host_virt_addr: u64('address in the process'),
        hint_addr: u64('device address wished for; 0: any'),
        mem_size: u64('bytes'),
      },
      'MAP with USERPTR',
    ),
    map_block: group({ block_addr: u64('address in the configuration space') }, 'MAP_BLOCK'),
    unmap: group({ device_virt_addr: u64('from MAP') }, 'UNMAP'),
    export_dmabuf_fd: group(
      {
        addr: u64('Gaudi1: physical DRAM address; others: address from MAP'),
        mem_size: u64('bytes'),
        offset: u64('Gaudi1: must be 0; others: bytes into the mapping'),
      },
      'EXPORT_DMABUF_FD',
    ),
  }),
  op: u32('HL_MEM_OP_*'),
  flags: u32('HL_MEM_*; EXPORT_DMABUF_FD: flags of the descriptor, as for open(2)'),
  ctx_id: u32('not used'),
  num_of_elements: u32('TS_ALLOC: elements'),
});

export const hl_mem_out = struct('hl_mem_out', 'The answer.', {
  $answer: overlay({
    device_virt_addr: u64('MAP: where the device sees it'),
    handle: u64('ALLOC, TS_ALLOC: handle'),
    $block: group({
      block_handle: u64('MAP_BLOCK: handle, also the offset to mmap'),
      block_size: u32('MAP_BLOCK: bytes'),
      pad: u32(),
    }),
    fd: s32('EXPORT_DMABUF_FD: descriptor of the dma-buf'),
  }),
});

export const hl_mem_args = union('hl_mem_args', 'Argument of MEMORY.', {
  in: nested(hl_mem_in),
  out: nested(hl_mem_out),
});

const common = { EBUSY: 'the device is not operational' };

export const DRM_IOCTL_HL_MEMORY = ioctl('HL_IOCTL_MEMORY', 'Manages memory.', hl_mem_args, source, { errors: common });

export const memoryOperations = {
  HL_MEM_OP_ALLOC: {
    value: 0,
    doc: 'Allocates device memory. Gaudi1: only adds to the accounting; user space owns all DRAM.',
    takes: ['in.alloc.mem_size', 'in.alloc.page_size', 'in.flags'],
    gives: ['out.handle'],
    errors: { ...common, EINVAL: '0 bytes' },
    flags: { HL_MEM_CONTIGUOUS: 'accepted', HL_MEM_SHARED: 'accepted' },
    limits: { 'in.alloc.mem_size': { least: 1 } },
    source,
  },
  HL_MEM_OP_FREE: {
    value: 1,
    doc: 'Frees device memory. Gaudi1: only subtracts from the accounting.',
    takes: ['in.free.handle', 'in.alloc.mem_size'],
    errors: common,
    source,
  },
  HL_MEM_OP_MAP: {
    value: 2,
    doc: 'Lets the device reach memory of the process (USERPTR), or device memory that has a handle.',
    takes: ['in.map_host', 'in.map_device', 'in.flags'],
    gives: ['out.device_virt_addr'],
    errors: {
      ...common,
      EINVAL: '0 bytes, an end beyond 2^64, a handle that does not exist, or a hint that source memory cannot keep',
      EFAULT: 'the first page cannot be pinned',
      ENOMEM: 'a later page cannot be pinned, no memory, no room in the device’s address space, or not where forced',
      EPERM: 'the handle belongs to another context and is not SHARED',
    },
    flags: { HL_MEM_USERPTR: 'accepted', HL_MEM_FORCE_HINT: 'accepted', HL_MEM_PREFETCH: 'accepted' },
    limits: { 'in.map_host.mem_size': { least: 1, also: { 'a page': 0x1000, 'a huge page': 0x200000 } } },
    beyond: { EPERM: 'Gaudi1 gives no handles of device memory' },
    source,
  },
  HL_MEM_OP_UNMAP: {
    value: 3,
    doc: 'Ends a mapping.',
    takes: ['in.unmap.device_virt_addr'],
    errors: { ...common, EINVAL: 'no such mapping, or it is exported' },
    source,
  },
  HL_MEM_OP_MAP_BLOCK: {
    value: 4,
    doc: 'Gives a handle to map a block of registers into the process.',
    takes: ['in.map_block.block_addr'],
    gives: ['out.block_handle', 'out.block_size'],
    chips: 'Gaudi2',
    errors: { ...common, EINVAL: 'no such block', EPERM: 'always on Gaudi1' },
    refused: 'EPERM',
    source,
  },
  HL_MEM_OP_EXPORT_DMABUF_FD: {
    value: 5,
    doc: 'Exports device memory as a dma-buf.',
    takes: ['in.export_dmabuf_fd', 'in.flags'],
    gives: ['out.fd'],
    errors: {
      ...common,
      EINVAL:
        '0 bytes, address or size not page-aligned, outside of the user’s DRAM or of the BAR, or offset not 0 on Gaudi1',
      EMFILE: 'no free descriptor',
    },
    beyond: { EMFILE: 'needs a program that has used up its descriptors, which may be a million' },
    limits: {
      'in.export_dmabuf_fd.addr': { least: 0x2000_0000, unit: 0x1000 },
      'in.export_dmabuf_fd.mem_size': { least: 0x1000, unit: 0x1000 },
      'in.export_dmabuf_fd.offset': { most: 0 },
    },
    source,
  },
  HL_MEM_OP_TS_ALLOC: {
    value: 6,
    doc: 'Allocates a timestamp buffer, to be mapped with mmap.',
    takes: ['in.num_of_elements'],
    gives: ['out.handle'],
    errors: { ...common, EINVAL: 'too many elements', ENOMEM: 'no memory, or no elements' },
    // docs/findings/0011
    beyond: {
      ENOMEM: 'needs a kernel that runs out of memory, or makes the kernel itself warn',
      'num_of_elements too small': 'makes the kernel itself warn, in every version so far',
    },
    limits: { 'in.num_of_elements': { least: 1, most: memoryConstants.TS_MAX_ELEMENTS_NUM.value } },
    source,
  },
} as const satisfies Readonly<Record<string, Operation>>;

export const memoryFlags = {
  HL_MEM_CONTIGUOUS: constant(0x1, 'ALLOC: one contiguous range'),
  HL_MEM_SHARED: constant(0x2, 'ALLOC: other contexts may map it'),
  HL_MEM_USERPTR: constant(0x4, 'MAP: memory of the process'),
  HL_MEM_FORCE_HINT: constant(0x8, 'MAP: fail rather than choose another address than the hint'),
  HL_MEM_PREFETCH: constant(0x40, 'MAP: fill the translation cache; ignored where it is not supported'),
} as const;
