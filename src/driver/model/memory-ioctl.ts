/**
 * DRM_IOCTL_HL_MEMORY: memory. Source: common/memory.c (hl_mem_ioctl, export_dmabuf_from_addr,
 * validate_export_params_no_mmu, allocate_timestamps_buffers).
 */

import type { Steps } from '../../sim/process.ts';
import type { EventFields } from '../../trace/events.ts';
import { DRM_IOCTL_HL_MEMORY, memoryConstants, memoryOperations } from '../../uapi/habanalabs/memory.ts';
import { values } from '../../uapi/rows.ts';
import type { Card } from './card.ts';
import type { Context } from './context.ts';
import { refuse } from './errno.ts';
import { USER } from './parser.ts';

const OP = Object.fromEntries(Object.entries(memoryOperations).map(([name, { value }]) => [name, value])) as {
  readonly [K in keyof typeof memoryOperations]: (typeof memoryOperations)[K]['value'];
};
const PAGE = 4096n;
const WRAP = 2n ** 64n;
/** Descriptor that is no descriptor: what the answer of a refused export holds. */
const NO_DESCRIPTOR = -9;
const { TS_MAX_ELEMENTS_NUM } = values(memoryConstants);

/** @param exported makes a descriptor of device memory: address, bytes, and flags as of open(2). @throws SystemError */
export function* memoryIoctl(
  card: Card,
  context: Context,
  argument: Uint8Array,
  exported: (address: number, size: number, flags: number) => number,
): Steps {
  if (!card.operational()) refuse('EBUSY');
  const { in: input } = DRM_IOCTL_HL_MEMORY.argument.decode(argument);
  const put = (out: { device_virt_addr?: bigint; handle?: bigint; fd?: number }) =>
    DRM_IOCTL_HL_MEMORY.argument.encodeInto(argument, 0, { out });
  const tell = (how: string, what: EventFields<'memory'>) => {
    context.memory.kernel.memoryTrack?.instant('memory', how, { ...what, owner: card.pci.function.name });
  };
  switch (input.op) {
    case OP.HL_MEM_OP_ALLOC: {
      const { mem_size } = input.alloc;
      if (mem_size === 0n) {
        card.log('err', 'alloc size must be larger than 0');
        refuse('EINVAL');
      }
      // programs own the DRAM of this chip: the driver only counts
      context.dram += mem_size;
      card.dramUsed += mem_size;
      put({ handle: 0n });
      tell('allocate', { space: 'device', size: Number(mem_size) });
      return;
    }
    case OP.HL_MEM_OP_FREE:
      context.dram -= input.alloc.mem_size;
      card.dramUsed -= input.alloc.mem_size;
      tell('free', { space: 'device', size: Number(input.alloc.mem_size) });
      return;
    case OP.HL_MEM_OP_MAP: {
      put({ device_virt_addr: 0n });
      const virtual = yield* context.memory.map(input);
      put({ device_virt_addr: BigInt(virtual) });
      const { host_virt_addr, mem_size } = input.map_host;
      tell('map', { space: 'host', address: Number(host_virt_addr), size: Number(mem_size), virtual });
      return;
    }
    case OP.HL_MEM_OP_UNMAP:
      yield* context.memory.unmap(input.unmap.device_virt_addr);
      tell('unmap', { space: 'host', virtual: Number(input.unmap.device_virt_addr) });
      return;
    case OP.HL_MEM_OP_MAP_BLOCK:
      // gaudi_get_hw_block_id
      refuse('EPERM');
      break;
    case OP.HL_MEM_OP_EXPORT_DMABUF_FD: {
      const { addr, mem_size, offset } = input.export_dmabuf_fd;
      put({ fd: NO_DESCRIPTOR });
      if (offset !== 0n) refuse('EINVAL');
      checkExport(card, addr, mem_size);
      put({ fd: exported(Number(addr), Number(mem_size), input.flags) });
      tell('export', { space: 'device', address: Number(addr), size: Number(mem_size) });
      return;
    }
    case OP.HL_MEM_OP_TS_ALLOC: {
      const count = input.num_of_elements;
      if (count > TS_MAX_ELEMENTS_NUM) {
        card.log(
          'err',
          `Num of elements exceeds Max allowed number (0x${count.toString(16)} > 0x${TS_MAX_ELEMENTS_NUM.toString(16)})`,
        );
        refuse('EINVAL');
      }
      put({ handle: context.buffers.createTimestamps(count).handle });
      return;
    }
    default:
      card.log('err', 'Unknown opcode for memory IOCTL');
      refuse('EINVAL');
  }
}

/** validate_export_params_no_mmu. @throws SystemError EINVAL */
function checkExport(card: Card, address: bigint, size: bigint): void {
  const end = address + size;
  const aligned = address % PAGE === 0n && size !== 0n && size % PAGE === 0n;
  const inside = address >= USER.DRAM && end <= USER.DRAM_END && end < WRAP;
  if (!aligned || !inside || end > BigInt(card.pci.dram.size)) refuse('EINVAL');
}
