/** Memory that the device reaches: of the host, through its MMU, and its own. */

import { type Driver, type Mapping, type MemoryOptions, PROT_READ, PROT_WRITE } from '../driver/driver.ts';
import { DRM_IOCTL_HL_MEMORY, type hl_mem_in, memoryFlags, memoryOperations } from '../uapi/habanalabs/memory.ts';
import { values } from '../uapi/rows.ts';
import type { Decoded, Encodable } from '../uapi/struct.ts';
import { RangeAllocator } from './allocator.ts';
import { DeviceGoneError, DisposedError, NotOperationalError } from './errors.ts';
import type { OpenNode } from './node.ts';

const FLAG = values(memoryFlags);
type Operation = keyof typeof memoryOperations;

/** One MEMORY ioctl. @param input members of hl_mem_in without `op`. */
export function memoryCall(
  node: OpenNode,
  operation: Operation,
  input: Omit<Encodable<typeof hl_mem_in>, 'op'>,
): Decoded<typeof DRM_IOCTL_HL_MEMORY.argument>['out'] {
  const row = memoryOperations[operation];
  const shown = { ...Object.values(input).find((part) => typeof part === 'object'), flags: input.flags ?? 0 };
  return node.call(DRM_IOCTL_HL_MEMORY, { name: operation, row }, { in: { ...input, op: row.value } }, shown).out;
}

/** Runs a call that gives something back; that a device in reset or gone cannot is no error, it has forgotten it anyway. */
export function giveBack(body: () => void): void {
  try {
    body();
  } catch (error) {
    if (!(error instanceof NotOperationalError || error instanceof DeviceGoneError)) throw error;
  }
}

export interface MapOptions {
  /** Device address wished for; the driver may choose another unless `forceHint`. */
  readonly hint?: bigint;
  readonly forceHint?: boolean;
  /** Further HL_MEM_* flags. */
  readonly flags?: number;
}

/** A mapping of host memory into the device's address space. */
export class HostMapping implements Disposable {
  readonly deviceAddress: bigint;
  /** Bytes. */
  readonly size: number;
  readonly #node: OpenNode;
  #live = true;

  /** @param hostAddress where the memory is in the process. */
  constructor(node: OpenNode, hostAddress: bigint, size: number, options: MapOptions = {}) {
    this.#node = node;
    this.size = size;
    this.deviceAddress = memoryCall(node, 'HL_MEM_OP_MAP', {
      map_host: { host_virt_addr: hostAddress, hint_addr: options.hint ?? 0n, mem_size: size },
      flags: FLAG.HL_MEM_USERPTR | (options.forceHint ? FLAG.HL_MEM_FORCE_HINT : 0) | (options.flags ?? 0),
    }).device_virt_addr;
    node.own(this);
  }

  /** Ends the mapping. Harmless when done twice. */
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    this.#node.disown(this);
    giveBack(() => memoryCall(this.#node, 'HL_MEM_OP_UNMAP', { unmap: { device_virt_addr: this.deviceAddress } }));
  }
}

/** Memory of the program, not mapped to a device. */
export class HostBuffer implements Disposable {
  /** Where it is in the process. */
  readonly address: bigint;
  readonly #mapping: Mapping;

  constructor(driver: Driver, size: number, options: MemoryOptions = {}) {
    this.#mapping = driver.allocate(size, options);
    this.address = this.#mapping.address;
  }

  /** The memory; empty when disposed of. */
  get bytes(): Uint8Array {
    return this.#mapping.bytes;
  }

  [Symbol.dispose](): void {
    this.#mapping.unmap();
  }
}

export interface HostMemoryOptions extends MemoryOptions, MapOptions {}

/** Host memory that the device reaches at `deviceAddress`. */
export class HostMemory implements Disposable {
  readonly deviceAddress: bigint;
  /** Bytes. */
  readonly size: number;
  readonly #node: OpenNode;
  readonly #buffer: HostBuffer;
  readonly #mapping: HostMapping;

  /** When mapping fails nothing is left allocated. */
  constructor(node: OpenNode, size: number, options: HostMemoryOptions = {}) {
    this.#node = node;
    this.size = size;
    using cleanup = new DisposableStack();
    this.#buffer = cleanup.use(new HostBuffer(node.driver, size, options));
    this.#mapping = new HostMapping(node, this.#buffer.address, size, options);
    node.disown(this.#mapping);
    cleanup.move();
    this.deviceAddress = this.#mapping.deviceAddress;
    node.own(this);
  }

  /** The memory itself, as both see it. @throws DisposedError */
  get bytes(): Uint8Array {
    const { bytes } = this.#buffer;
    if (bytes.length === 0) throw new DisposedError('host memory');
    return bytes.length === this.size ? bytes : bytes.subarray(0, this.size);
  }

  /** Where it is in the process. */
  get hostAddress(): bigint {
    return this.#buffer.address;
  }

  get words(): Uint32Array {
    const { buffer, byteOffset } = this.bytes;
    return new Uint32Array(buffer, byteOffset, Math.floor(this.size / 4));
  }

  get floats(): Float32Array {
    const { buffer, byteOffset } = this.bytes;
    return new Float32Array(buffer, byteOffset, Math.floor(this.size / 4));
  }

  get view(): DataView {
    const { buffer, byteOffset } = this.bytes;
    return new DataView(buffer, byteOffset, this.size);
  }

  /** Unmaps and frees it. Work in flight that uses it faults. Harmless when done twice. */
  [Symbol.dispose](): void {
    this.#node.disown(this);
    try {
      this.#mapping[Symbol.dispose]();
    } finally {
      this.#buffer[Symbol.dispose]();
    }
  }
}

/** A piece of the device's own memory. */
export class DeviceMemory implements Disposable {
  readonly address: bigint;
  /** Bytes. */
  readonly size: number;
  readonly #release: (memory: DeviceMemory) => void;
  #live = true;

  constructor(address: bigint, size: number, release: (memory: DeviceMemory) => void) {
    this.address = address;
    this.size = size;
    this.#release = release;
  }

  /** Device address of byte `offset`. */
  at(offset: number): bigint {
    return this.address + BigInt(offset);
  }

  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    this.#release(this);
  }
}

/**
 * SRAM or DRAM. On Gaudi1 user space decides which address holds what; the driver only counts DRAM (MEM_OP_ALLOC),
 * and so does this.
 */
export class DeviceMemorySpace {
  /** First address for user space. */
  readonly base: bigint;
  /** Bytes for user space. */
  readonly size: bigint;
  readonly #node: OpenNode;
  readonly #counted: boolean;
  readonly #allocator: RangeAllocator;

  constructor(node: OpenNode, what: string, base: bigint, size: bigint, counted: boolean) {
    this.base = base;
    this.size = size;
    this.#node = node;
    this.#counted = counted;
    this.#allocator = new RangeAllocator(what, base, base + size);
  }

  /** @param size bytes. @param align a power of two, bytes. @throws ExhaustedError */
  allocate(size: number, align = 128): DeviceMemory {
    const address = this.#allocator.allocate(BigInt(size), BigInt(align));
    if (this.#counted) {
      try {
        memoryCall(this.#node, 'HL_MEM_OP_ALLOC', { alloc: { mem_size: size } });
      } catch (error) {
        this.#allocator.free(address);
        throw error;
      }
    }
    return this.#node.own(
      new DeviceMemory(address, size, (memory) => {
        this.#node.disown(memory);
        this.#allocator.free(memory.address);
        if (this.#counted)
          giveBack(() => memoryCall(this.#node, 'HL_MEM_OP_FREE', { alloc: { mem_size: memory.size } }));
      }),
    );
  }
}

/** A buffer into which the driver writes time stamps (HL_MEM_OP_TS_ALLOC). */
export class TimestampBuffer implements Disposable {
  readonly handle: bigint;
  readonly #node: OpenNode;
  readonly #mapping: Mapping;
  readonly #elements: number;

  constructor(node: OpenNode, elements: number) {
    this.#node = node;
    this.#elements = elements;
    this.handle = memoryCall(node, 'HL_MEM_OP_TS_ALLOC', { num_of_elements: elements }).handle;
    const length = Math.max(Math.ceil((elements * 8) / 4096), 1) * 4096;
    this.#mapping = node.driver.mmap(node.fd, length, PROT_READ | PROT_WRITE, this.handle);
    node.own(this);
  }

  /** ns, one per element. */
  get timestamps(): BigUint64Array {
    const { buffer, byteOffset, length } = this.#mapping.bytes;
    if (length === 0) throw new DisposedError('timestamp buffer');
    return new BigUint64Array(buffer, byteOffset, this.#elements);
  }

  /** Unmaps it; the driver frees it when the node is closed, there is no operation to do so before. */
  [Symbol.dispose](): void {
    this.#node.disown(this);
    this.#mapping.unmap();
  }
}

/** A dma-buf: device memory that other drivers can be given. */
export class DmaBuf implements Disposable {
  readonly #node: OpenNode;
  #fd: number | undefined;

  /** @param address physical DRAM address. @param size bytes. @param flags of the descriptor, O_*. */
  constructor(node: OpenNode, address: bigint, size: number, flags: number, offset = 0n) {
    this.#node = node;
    this.#fd = memoryCall(node, 'HL_MEM_OP_EXPORT_DMABUF_FD', {
      export_dmabuf_fd: { addr: address, mem_size: size, offset },
      flags,
    }).fd;
    node.own(this);
  }

  /** The descriptor. @throws DisposedError */
  get fd(): number {
    if (this.#fd === undefined) throw new DisposedError('dma-buf');
    return this.#fd;
  }

  /** Closes the descriptor. The memory stays exported while an importer or another descriptor holds it. */
  [Symbol.dispose](): void {
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    this.#node.disown(this);
    this.#node.driver.close(fd);
  }
}
