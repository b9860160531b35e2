/** A client's memory as a bus master reaches it: directly where it is mapped here, else by messages. */

import type { DmaPort, Done } from '../pci/ports.ts';
import type { DmaMap, Range } from './dma-map.ts';
import type { DmaMessages } from './dma-messages.ts';

/** The part of a connection that DMA needs. */
export interface MemoryClient {
  readonly map: DmaMap;
  readonly messages: DmaMessages;
  /** Called when messages have been queued; they go out once no request is waiting for its reply. */
  messagesQueued(): void;
}

type Access = 'read' | 'write';

function bytesOf(range: Range, address: number, length: number): Uint8Array | undefined {
  if (!range.file) return undefined;
  const at = range.offset + (address - range.address);
  return range.file.mapping.bytes.subarray(at, at + length);
}

/** Valid across reconnections: without a client nothing answers. */
export class HostMemory implements DmaPort {
  /** The client of now. */
  client: MemoryClient | undefined;

  view(address: number, length: number, access: Access): Uint8Array | undefined {
    const range = this.client?.map.find(address);
    if (!range || !(access === 'read' ? range.readable : range.writable)) return undefined;
    if (!(length >= 0) || length > range.size - (address - range.address)) return undefined;
    return bytesOf(range, address, length);
  }

  read(address: number, target: Uint8Array, done: Done): void {
    this.#transfer('read', address, target, done);
  }

  write(address: number, source: Uint8Array, done: Done): void {
    this.#transfer('write', address, source, done);
  }

  /**
   * One store where the memory is mapped here. By message the client stores it; QEMU does so with memmove, which may
   * write the same four bytes twice: memory that a guest polls and clears belongs into a memory-backend-memfd.
   */
  store32(address: number, value: number, done: Done): void {
    const range = this.client?.map.find(address);
    if (address % 4 !== 0) throw new RangeError(`store32 at unaligned 0x${address.toString(16)}`);
    if (range?.file && range.writable) {
      range.file.words[(range.offset + (address - range.address)) / 4] = value;
      done();
      return;
    }
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    this.#transfer('write', address, bytes, done);
  }

  #transfer(access: Access, address: number, bytes: Uint8Array, done: Done): void {
    const { client } = this;
    if (!client?.map.permits(address, bytes.length, access)) {
      done(new Error(`DMA: no host memory to ${access} ${bytes.length} bytes at 0x${address.toString(16)}`));
      return;
    }
    const finish = joined(done);
    for (let position = 0; position < bytes.length; ) {
      const at = address + position;
      const range = client.map.find(at) as Range;
      const length = Math.min(bytes.length - position, range.size - (at - range.address));
      const part = bytes.subarray(position, position + length);
      const memory = bytesOf(range, at, length);
      if (!memory) client.messages.add(access, at, part, finish.add());
      else if (access === 'read') part.set(memory);
      else memory.set(part);
      position += length;
    }
    if (client.messages.pending > 0) client.messagesQueued();
    finish.end();
  }
}

/** Calls `done` once, when all that was added is done and `end` has been called; with the first error. */
function joined(done: Done): { add(): Done; end(): void } {
  let open = 1;
  let failure: Error | undefined;
  const one = (error?: Error) => {
    failure ??= error;
    if (--open === 0) done(failure);
  };
  return {
    add: () => {
      open++;
      return one;
    },
    end: () => one(),
  };
}
