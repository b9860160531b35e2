/**
 * Buffers of the driver that a program maps: command buffers and buffers for time stamps, by handles that are also offsets
 * for mmap. Source: common/memory_mgr.c, common/command_buffer.c.
 */

import { cbConstants, cbFlags, cbOperations, DRM_IOCTL_HL_CB } from '../../uapi/habanalabs/cb.ts';
import type { Mapping } from '../driver.ts';
import { refuse } from './errno.ts';
import { type CoherentMemory, PAGE } from './host-memory.ts';
import type { Kernel } from './kernel.ts';

/** Bits of an offset that say what it is of (habanalabs.h, HL_MMAP_TYPE_*, shifted by the page). */
const TYPE = { MASK: 0x1fn << 59n, CB: 0x2n << 59n, BLOCK: 0x4n << 59n, TIMESTAMPS: 0x10n << 59n } as const;
const PAGE_BITS = 12n;
/** command_buffer.c, hl_cb_create. */
const LARGEST = 0x20_0000;

export interface Buffer {
  readonly handle: bigint;
  readonly topic: 'CB' | 'TS';
  /** Bytes that a mapping must have, before they are rounded to pages. */
  readonly size: number;
  /** The memory, whole pages. */
  readonly bytes: Uint8Array;
  /** Who holds it: the handle, mappings, submissions being made. */
  references: number;
  mapped: boolean;
  destroyed: boolean;
  /** Submissions in flight that use it (cs_cnt). */
  inUse: number;
  readonly memory: CoherentMemory | undefined;
}

type Log = (level: 'err' | 'dbg' | 'warn', text: string) => void;

/** The buffers of one open file (hl_mem_mgr). */
export class Buffers {
  readonly #kernel: Kernel;
  readonly #log: Log;
  readonly #buffers = new Map<number, Buffer>();

  constructor(kernel: Kernel, log: Log) {
    this.#kernel = kernel;
    this.#log = log;
  }

  /** hl_cb_create for a program. @param size bytes. @throws SystemError */
  createCommandBuffer(size: number, flags: number): Buffer {
    if (size > LARGEST) {
      this.#log('err', `CB size ${size} must be less than ${LARGEST}`);
      refuse('EINVAL');
    }
    if (flags & cbFlags.HL_CB_FLAGS_MAP.value) {
      this.#log('err', "Mapping a CB to the device's MMU is not supported");
      this.#log('err', 'CB: Failure in buffer alloc callback -22');
      refuse('ENOMEM');
    }
    const memory = this.#kernel.memory.allocateCoherent(Math.max(size, PAGE));
    return this.#add('CB', TYPE.CB, memory.bytes.length, memory.pages, memory);
  }

  /** hl_ts_alloc_buf. @param elements of 8 bytes; none is refused as by the kernel, which warns as well (docs/findings/0011) */
  createTimestamps(elements: number): Buffer {
    const size = elements * 8;
    if (size === 0) refuse('ENOMEM');
    return this.#add('TS', TYPE.TIMESTAMPS, size, new Uint8Array(Math.ceil(size / PAGE) * PAGE), undefined);
  }

  /** hl_mmap_mem_buf_get: of whatever kind. Its callers look at the kind, which the driver does not (docs/findings/0003). */
  find(handle: bigint): Buffer | undefined {
    return this.#buffers.get(Number((handle >> PAGE_BITS) & 0xffff_ffffn));
  }

  /** Command buffers, the oldest first. */
  list(): readonly Buffer[] {
    return [...this.#buffers.values()].filter(({ topic }) => topic === 'CB');
  }

  /** hl_cb_destroy. */
  destroy(handle: bigint): void {
    const buffer = this.find(handle);
    if (buffer?.topic !== 'CB' || buffer.destroyed) {
      this.#log('dbg', `CB destroy failed, no CB was found for handle 0x${handle.toString(16)}`);
      refuse('EINVAL');
    }
    buffer.destroyed = true;
    this.put(buffer);
  }

  put(buffer: Buffer): void {
    if (--buffer.references > 0) return;
    this.#buffers.delete(idOf(buffer.handle));
    buffer.memory?.free();
  }

  /** hl_mem_mgr_mmap, and hl_hw_block_mmap before it. @throws SystemError EINVAL, EPERM */
  map(offset: bigint, length: number): Mapping {
    const type = offset & TYPE.MASK;
    // gaudi.c, gaudi_block_mmap: this chip maps no hardware blocks
    if (type === TYPE.BLOCK) refuse('EPERM', 'mmap');
    if (type !== TYPE.CB && type !== TYPE.TIMESTAMPS) refuse('EINVAL', 'mmap');
    const buffer = this.find(offset);
    if (!buffer) {
      this.#log('err', `Memory mmap failed, no match to handle 0x${offset.toString(16)}`);
      refuse('EINVAL', 'mmap');
    }
    const { topic } = buffer;
    // the kernel makes whole pages of what a program asks for, before the driver sees it
    const pages = Math.ceil(length / PAGE) * PAGE;
    if (pages !== Math.ceil(buffer.size / PAGE) * PAGE) {
      this.#log(
        'err',
        `${topic}: Memory mmap failed, mmap VM size 0x${pages.toString(16)} != 0x${buffer.size.toString(16)} allocated physical mem size`,
      );
      refuse('EINVAL', 'mmap');
    }
    if (buffer.mapped) {
      this.#log('err', `${topic}, Memory mmap failed, already mapped to user`);
      refuse('EINVAL', 'mmap');
    }
    buffer.mapped = true;
    buffer.references++;
    return this.#kernel.program.map(buffer.bytes, length, () => {
      buffer.mapped = false;
      this.put(buffer);
    });
  }

  /** hl_mem_mgr_fini: the file is closed. Nobody holds a buffer then: mappings keep the file open. */
  close(): void {
    for (const buffer of [...this.#buffers.values()]) this.put(buffer);
  }

  /** hl_cb_ioctl, of an operational device. */
  ioctl(argument: Uint8Array): void {
    const { in: input } = DRM_IOCTL_HL_CB.argument.decode(argument);
    const put = (out: { cb_handle?: bigint; usage_cnt?: number }) =>
      DRM_IOCTL_HL_CB.argument.encodeInto(argument, 0, { out });
    switch (input.op) {
      case cbOperations.HL_CB_OP_CREATE.value: {
        put({ cb_handle: 0n });
        if (input.cb_size > cbConstants.HL_MAX_CB_SIZE.value) {
          this.#log(
            'err',
            `User requested CB size ${input.cb_size | 0} must be less than ${cbConstants.HL_MAX_CB_SIZE.value}`,
          );
          refuse('EINVAL');
        }
        put({ cb_handle: this.createCommandBuffer(input.cb_size, input.flags).handle });
        return;
      }
      case cbOperations.HL_CB_OP_DESTROY.value:
        this.destroy(input.cb_handle);
        return;
      case cbOperations.HL_CB_OP_INFO.value: {
        const buffer = this.find(input.cb_handle);
        if (buffer?.topic !== 'CB') {
          this.#log('err', `CB info failed, no match to handle 0x${input.cb_handle.toString(16)}`);
          refuse('EINVAL');
        }
        if (input.flags & cbFlags.HL_CB_FLAGS_GET_DEVICE_VA.value) {
          this.#log('err', "CB is not mapped to the device's MMU");
          refuse('EINVAL');
        }
        put({ usage_cnt: buffer.inUse });
        return;
      }
      default:
        refuse('EINVAL');
    }
  }

  #add(topic: 'CB' | 'TS', type: bigint, size: number, bytes: Uint8Array, memory: CoherentMemory | undefined): Buffer {
    let id = 1;
    while (this.#buffers.has(id)) id++;
    const handle = (BigInt(id) << PAGE_BITS) | type;
    const buffer = { handle, topic, size, bytes, references: 1, mapped: false, destroyed: false, inUse: 0, memory };
    this.#buffers.set(id, buffer);
    return buffer;
  }
}

function idOf(handle: bigint): number {
  return Number((handle >> PAGE_BITS) & 0xffff_ffffn);
}
