/** Protection domains: what belongs to one can be used together. Memory regions and address handles are made in them. */

import { efa_ibv_alloc_pd_resp, efa_ibv_create_ah_resp } from '../../uapi/rdma/efa.ts';
import { accessFlags } from '../../uapi/rdma/verbs.ts';
import { values } from '../../uapi/rows.ts';
import { DeviceGoneError, DisposedError } from '../errors.ts';
import { HostBuffer } from '../memory.ts';
import { decode, type VerbsNode } from './node.ts';
import { QueuePair, type QueuePairOptions } from './queue-pair.ts';
import type { Piece } from './work-request.ts';

const ACCESS = values(accessFlags);

/** Who may do what with memory. */
export interface Access {
  /** The NIC may write: it receives, or reads from elsewhere. Default true. */
  readonly localWrite?: boolean;
  /** Others may read. Default true. */
  readonly remoteRead?: boolean;
  /** Others may write. Default true. */
  readonly remoteWrite?: boolean;
  /** Further IB_UVERBS_ACCESS_* flags. */
  readonly flags?: number;
}

function flagsOf({ localWrite = true, remoteRead = true, remoteWrite = true, flags = 0 }: Access): number {
  const chosen =
    (localWrite ? ACCESS.IB_UVERBS_ACCESS_LOCAL_WRITE : 0) |
    (remoteRead ? ACCESS.IB_UVERBS_ACCESS_REMOTE_READ : 0) |
    (remoteWrite ? ACCESS.IB_UVERBS_ACCESS_REMOTE_WRITE : 0);
  return (chosen | flags) >>> 0;
}

export interface DmaBufRegistration extends Access {
  /** Bytes from the start of the dma-buf. Default 0. */
  readonly offset?: bigint | number;
  /** By which address work requests name the first byte; within a page it is that of `offset`. Default `offset`. */
  readonly address?: bigint;
}

/** Takes a region, handle or domain back; a device that is gone has none any more. */
function destroy(body: () => void): void {
  try {
    body();
  } catch (error) {
    if (!(error instanceof DeviceGoneError)) throw error;
  }
}

/** Memory that the NIC may reach, by address and key. */
export class MemoryRegion implements Disposable {
  readonly handle: number;
  /** By which work requests name the first byte. */
  readonly address: bigint;
  /** Bytes. */
  readonly length: number;
  /** Key for work requests of this side. */
  readonly lkey: number;
  /** Key for the other side. */
  readonly rkey: number;
  readonly #verbs: VerbsNode;
  #live = true;

  constructor(
    verbs: VerbsNode,
    registered: { handle: number; lkey: number; rkey: number },
    address: bigint,
    length: number,
  ) {
    this.#verbs = verbs;
    this.handle = registered.handle;
    this.lkey = registered.lkey;
    this.rkey = registered.rkey;
    this.address = address;
    this.length = length;
    verbs.node.own(this);
  }

  /** A piece of it, for work requests. @param length bytes; default: to its end */
  piece(offset = 0, length = this.length - offset): Piece {
    return { address: this.address + BigInt(offset), length, lkey: this.lkey };
  }

  /** Byte `offset` of it, for those who reach it from elsewhere. */
  at(offset = 0): { readonly address: bigint; readonly rkey: number } {
    return { address: this.address + BigInt(offset), rkey: this.rkey };
  }

  /** What the kernel knows of it. @throws DriverError */
  query(): { readonly lkey: number; readonly rkey: number; readonly length: bigint; readonly address: bigint } {
    const answer = this.#verbs.call('UVERBS_METHOD_QUERY_MR', {
      UVERBS_ATTR_QUERY_MR_HANDLE: this.handle,
      UVERBS_ATTR_QUERY_MR_RESP_LKEY: { room: 4 },
      UVERBS_ATTR_QUERY_MR_RESP_RKEY: { room: 4 },
      UVERBS_ATTR_QUERY_MR_RESP_LENGTH: { room: 8 },
      UVERBS_ATTR_QUERY_MR_RESP_IOVA: { room: 8 },
    });
    const view = (name: Parameters<typeof answer.bytes>[0]) => new DataView(answer.bytes(name).buffer);
    return {
      lkey: view('UVERBS_ATTR_QUERY_MR_RESP_LKEY').getUint32(0, true),
      rkey: view('UVERBS_ATTR_QUERY_MR_RESP_RKEY').getUint32(0, true),
      length: view('UVERBS_ATTR_QUERY_MR_RESP_LENGTH').getBigUint64(0, true),
      address: view('UVERBS_ATTR_QUERY_MR_RESP_IOVA').getBigUint64(0, true),
    };
  }

  /** Takes the registration back; work in flight that uses it fails. Harmless when done twice. */
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    this.#verbs.node.disown(this);
    destroy(() => this.#verbs.call('UVERBS_METHOD_MR_DESTROY', { UVERBS_ATTR_DESTROY_MR_HANDLE: this.handle }));
  }
}

/** Memory of the program that the NIC reaches. */
export class HostRegion extends MemoryRegion {
  readonly #buffer: HostBuffer;

  constructor(
    verbs: VerbsNode,
    registered: { handle: number; lkey: number; rkey: number },
    buffer: HostBuffer,
    length: number,
  ) {
    super(verbs, registered, buffer.address, length);
    this.#buffer = buffer;
  }

  /** The memory itself. @throws DisposedError */
  get bytes(): Uint8Array {
    const { bytes } = this.#buffer;
    if (bytes.length === 0) throw new DisposedError('memory region');
    return bytes.subarray(0, this.length);
  }

  override [Symbol.dispose](): void {
    try {
      super[Symbol.dispose]();
    } finally {
      this.#buffer[Symbol.dispose]();
    }
  }
}

/** An address that messages go to. */
export class AddressHandle implements Disposable {
  readonly handle: number;
  /** Number in the device: work requests name it. */
  readonly number: number;
  readonly #verbs: VerbsNode;
  #live = true;

  constructor(verbs: VerbsNode, pd: number, address: Uint8Array, port: number) {
    this.#verbs = verbs;
    const { core, driver } = verbs.command(
      'IB_USER_VERBS_CMD_CREATE_AH',
      { pd_handle: pd, attr: { grh: { dgid: [...address] }, is_global: 1, port_num: port } },
      { out: efa_ibv_create_ah_resp.size },
    );
    this.handle = core.ah_handle;
    this.number = decode(efa_ibv_create_ah_resp, driver).efa_address_handle;
    verbs.node.own(this);
  }

  /** Harmless when done twice. */
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    this.#verbs.node.disown(this);
    destroy(() => this.#verbs.call('UVERBS_METHOD_AH_DESTROY', { UVERBS_ATTR_DESTROY_AH_HANDLE: this.handle }));
  }
}

export class ProtectionDomain implements Disposable {
  readonly handle: number;
  /** Number in the device. */
  readonly number: number;
  readonly #verbs: VerbsNode;
  #live = true;

  constructor(verbs: VerbsNode) {
    this.#verbs = verbs;
    const { core, driver } = verbs.command('IB_USER_VERBS_CMD_ALLOC_PD', {}, { out: efa_ibv_alloc_pd_resp.size });
    this.handle = core.pd_handle;
    this.number = decode(efa_ibv_alloc_pd_resp, driver).pdn;
    verbs.node.own(this);
  }

  /** Fresh memory, zeroed and registered. @throws DriverError */
  allocate(length: number, access: Access & { readonly hugePages?: boolean } = {}): HostRegion {
    using cleanup = new DisposableStack();
    const buffer = cleanup.use(
      new HostBuffer(this.#verbs.node.driver, length, { hugePages: access.hugePages === true }),
    );
    const registered = this.#register(buffer.address, length, access);
    cleanup.move();
    return new HostRegion(this.#verbs, registered, buffer, length);
  }

  /** Registers memory of the program. @param address in the process. @throws DriverError */
  register(address: bigint, length: number, access: Access = {}): MemoryRegion {
    return new MemoryRegion(this.#verbs, this.#register(address, length, access), address, length);
  }

  /** Registers memory of another device, or whatever a dma-buf is of. @throws DriverError */
  registerDmaBuf(fd: number, length: number, registration: DmaBufRegistration = {}): MemoryRegion {
    const { offset = 0n } = registration;
    const address = registration.address ?? BigInt(offset);
    const access = flagsOf(registration);
    const answer = this.#verbs.call(
      'UVERBS_METHOD_REG_DMABUF_MR',
      {
        UVERBS_ATTR_REG_DMABUF_MR_HANDLE: 'new',
        UVERBS_ATTR_REG_DMABUF_MR_PD_HANDLE: this.handle,
        UVERBS_ATTR_REG_DMABUF_MR_OFFSET: offset,
        UVERBS_ATTR_REG_DMABUF_MR_LENGTH: length,
        UVERBS_ATTR_REG_DMABUF_MR_IOVA: address,
        UVERBS_ATTR_REG_DMABUF_MR_FD: fd >>> 0,
        UVERBS_ATTR_REG_DMABUF_MR_ACCESS_FLAGS: access,
        UVERBS_ATTR_REG_DMABUF_MR_RESP_LKEY: { room: 4 },
        UVERBS_ATTR_REG_DMABUF_MR_RESP_RKEY: { room: 4 },
      },
      { offset, length, address, access },
    );
    const key = (name: 'UVERBS_ATTR_REG_DMABUF_MR_RESP_LKEY' | 'UVERBS_ATTR_REG_DMABUF_MR_RESP_RKEY') =>
      new DataView(answer.bytes(name).buffer).getUint32(0, true);
    const registered = {
      handle: answer.number('UVERBS_ATTR_REG_DMABUF_MR_HANDLE'),
      lkey: key('UVERBS_ATTR_REG_DMABUF_MR_RESP_LKEY'),
      rkey: key('UVERBS_ATTR_REG_DMABUF_MR_RESP_RKEY'),
    };
    return new MemoryRegion(this.#verbs, registered, address, length);
  }

  /** @param address of the other side, 16 bytes. */
  createAddressHandle(address: Uint8Array, port = 1): AddressHandle {
    return new AddressHandle(this.#verbs, this.handle, address, port);
  }

  createQueuePair(options: QueuePairOptions): QueuePair {
    return new QueuePair(this.#verbs, this.handle, options);
  }

  /** Harmless when done twice. @throws ObjectInUseError while something was made in it that is not destroyed */
  [Symbol.dispose](): void {
    if (!this.#live) return;
    destroy(() => this.#verbs.call('UVERBS_METHOD_PD_DESTROY', { UVERBS_ATTR_DESTROY_PD_HANDLE: this.handle }));
    this.#live = false;
    this.#verbs.node.disown(this);
  }

  #register(start: bigint, length: number, access: Access): { handle: number; lkey: number; rkey: number } {
    const flags = flagsOf(access);
    const { core } = this.#verbs.command(
      'IB_USER_VERBS_CMD_REG_MR',
      { start, length, hca_va: start, pd_handle: this.handle, access_flags: flags },
      {},
      { start, length, access: flags },
    );
    const { mr_handle, lkey, rkey } = core;
    return { handle: mr_handle, lkey, rkey };
  }
}
