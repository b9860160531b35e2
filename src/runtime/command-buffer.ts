/** Command buffers of the driver, for external queues. */

import { type Mapping, PROT_READ, PROT_WRITE } from '../driver/driver.ts';
import { cbConstants, cbOperations, DRM_IOCTL_HL_CB, type hl_cb_in } from '../uapi/habanalabs/cb.ts';
import type { Encodable } from '../uapi/struct.ts';
import { DisposedError } from './errors.ts';
import { giveBack } from './memory.ts';
import type { OpenNode } from './node.ts';

/** Bytes of the largest command buffer. */
export const MAX_CB_SIZE = cbConstants.HL_MAX_CB_SIZE.value;

const PAGE = 4096;

export interface CommandBufferOptions {
  /** HL_CB_FLAGS_*. */
  readonly flags?: number;
  /** false: do not map it into the process. */
  readonly mapped?: boolean;
}

/** One CB ioctl. */
export function cbCall(
  node: OpenNode,
  operation: keyof typeof cbOperations,
  input: Omit<Encodable<typeof hl_cb_in>, 'op'>,
) {
  const row = cbOperations[operation];
  return node.call(DRM_IOCTL_HL_CB, { name: operation, row }, { in: { ...input, op: row.value } }, input).out;
}

export class CommandBuffer implements Disposable {
  /** What submissions name it by; also where mmap finds it. */
  readonly handle: bigint;
  /** Bytes asked for. */
  readonly size: number;
  readonly #node: OpenNode;
  #mapping: Mapping | undefined;
  #live = true;

  /** When mapping fails the buffer is destroyed. */
  constructor(node: OpenNode, size: number, options: CommandBufferOptions = {}) {
    this.#node = node;
    this.size = size;
    this.handle = cbCall(node, 'HL_CB_OP_CREATE', { cb_size: size, flags: options.flags ?? 0 }).cb_handle;
    try {
      // the driver maps whole buffers only, and allocates whole pages
      const length = Math.max(Math.ceil(size / PAGE), 1) * PAGE;
      if (options.mapped !== false)
        this.#mapping = node.driver.mmap(node.fd, length, PROT_READ | PROT_WRITE, this.handle);
    } catch (error) {
      cbCall(node, 'HL_CB_OP_DESTROY', { cb_handle: this.handle });
      throw error;
    }
    node.own(this);
  }

  /** The memory. @throws DisposedError when disposed of or not mapped */
  get bytes(): Uint8Array {
    const bytes = this.#mapping?.bytes;
    if (bytes === undefined || bytes.length === 0) throw new DisposedError('mapping of a command buffer');
    return bytes.length === this.size ? bytes : bytes.subarray(0, this.size);
  }

  /** Submissions in flight that use it. */
  usage(): number {
    return cbCall(this.#node, 'HL_CB_OP_INFO', { cb_handle: this.handle }).usage_cnt;
  }

  /** Unmaps and destroys it; the driver keeps it until submissions in flight have ended. Harmless when done twice. */
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    this.#node.disown(this);
    try {
      this.#mapping?.unmap();
    } finally {
      giveBack(() => cbCall(this.#node, 'HL_CB_OP_DESTROY', { cb_handle: this.handle }));
    }
  }
}
