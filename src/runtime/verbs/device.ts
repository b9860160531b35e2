/**
 * A network card as a program uses it, through the kernel's own interface of verbs. What is made from it goes with it.
 *
 *   using nic = RdmaContext.open({ driver });
 *   using pd = nic.allocatePd();
 *   using cq = nic.createCq();
 *   using memory = pd.allocate(4096);
 *   using qp = pd.createQueuePair({ sendCq: cq });
 *   qp.activate(0x11);
 *   using self = pd.createAddressHandle(nic.address());
 *   qp.write({ ah: self, qp: qp.number, qkey: 0x11 }, { local: memory.piece(0, 64), remote: memory.at(2048) });
 *   cq.expect();
 */

import { type Driver, O_CLOEXEC, O_RDWR, type RdmaDevice, SystemError } from '../../driver/driver.ts';
import {
  efa_ibv_alloc_ucontext_cmd,
  efa_ibv_alloc_ucontext_resp,
  efa_ibv_ex_query_device_resp,
  efaConstants,
} from '../../uapi/rdma/efa.ts';
import {
  ib_uverbs_async_event_desc,
  type ib_uverbs_ex_query_device_resp,
  ib_uverbs_gid_entry,
  ib_uverbs_query_port_resp_ex,
} from '../../uapi/rdma/verbs.ts';
import type { Decoded } from '../../uapi/struct.ts';
import { DriverError, NoDeviceError } from '../errors.ts';
import { OpenNode } from '../node.ts';
import { CompletionChannel, CompletionQueue, type CompletionQueueOptions } from './completion-queue.ts';
import { EventFile } from './event-file.ts';
import { decode, roomFor, VerbsNode } from './node.ts';
import { ProtectionDomain } from './protection-domain.ts';

export interface RdmaOpenOptions {
  readonly driver: Driver;
  /** Which card, in the order of the driver's nodes. Default 0. */
  readonly index?: number;
}

/** Bytes of an address (GID). */
const ADDRESS = 16;

export type RdmaAttributes = Decoded<typeof ib_uverbs_ex_query_device_resp>['base'] &
  Omit<Decoded<typeof efa_ibv_ex_query_device_resp>, 'comp_mask'>;

export class RdmaContext implements Disposable {
  /** Of which card. */
  readonly device: RdmaDevice;
  /** What the driver told when the context was made. */
  readonly limits: Omit<Decoded<typeof efa_ibv_alloc_ucontext_resp>, 'comp_mask' | 'reserved_b0'>;
  /** Vectors for completions. */
  readonly completionVectors: number;
  readonly #verbs: VerbsNode;

  private constructor(node: OpenNode, device: RdmaDevice) {
    this.device = device;
    this.#verbs = new VerbsNode(node);
    const answer = this.#verbs.call('UVERBS_METHOD_GET_CONTEXT', {
      UVERBS_ATTR_GET_CONTEXT_NUM_COMP_VECTORS: { room: 4 },
      UVERBS_ATTR_GET_CONTEXT_CORE_SUPPORT: { room: 8 },
      UVERBS_ATTR_UHW_IN: efa_ibv_alloc_ucontext_cmd.encode({
        supported_caps:
          efaConstants.EFA_ALLOC_UCONTEXT_CMD_SUPP_CAPS_TX_BATCH.value |
          efaConstants.EFA_ALLOC_UCONTEXT_CMD_SUPP_CAPS_MIN_SQ_WR.value,
      }),
      UVERBS_ATTR_UHW_OUT: roomFor(efa_ibv_alloc_ucontext_resp),
    });
    this.limits = decode(efa_ibv_alloc_ucontext_resp, answer.bytes('UVERBS_ATTR_UHW_OUT'));
    const vectors = answer.bytes('UVERBS_ATTR_GET_CONTEXT_NUM_COMP_VECTORS');
    this.completionVectors = new DataView(vectors.buffer).getUint32(0, true);
  }

  /** @throws NoDeviceError, DriverError */
  static open({ driver, index = 0 }: RdmaOpenOptions): RdmaContext {
    const devices = driver.rdmaDevices();
    const device = devices[index];
    if (device === undefined)
      throw new NoDeviceError(`there is no network card ${index}: the driver has ${devices.length}`);
    const node = openNode(driver, device.path);
    try {
      return new RdmaContext(node, device);
    } catch (error) {
      node.close();
      throw error;
    }
  }

  /** The descriptor, for calls of one's own. @throws DisposedError */
  get fd(): number {
    return this.#verbs.node.fd;
  }

  /** @internal */
  get verbs(): VerbsNode {
    return this.#verbs;
  }

  /** What the card has, and how much of it. @throws DriverError */
  query(): RdmaAttributes {
    const { core, driver } = this.#verbs.command(
      'IB_USER_VERBS_EX_CMD_QUERY_DEVICE',
      {},
      { out: efa_ibv_ex_query_device_resp.size },
    );
    const { base } = core;
    const { comp_mask: _, ...own } = decode(efa_ibv_ex_query_device_resp, driver);
    return { ...base, ...own };
  }

  /** @param number from 1. @throws DriverError */
  queryPort(number = 1): Decoded<typeof ib_uverbs_query_port_resp_ex>['legacy_resp'] {
    const answer = this.#verbs.call('UVERBS_METHOD_QUERY_PORT', {
      UVERBS_ATTR_QUERY_PORT_PORT_NUM: number,
      UVERBS_ATTR_QUERY_PORT_RESP: roomFor(ib_uverbs_query_port_resp_ex),
    });
    return decode(ib_uverbs_query_port_resp_ex, answer.bytes('UVERBS_ATTR_QUERY_PORT_RESP')).legacy_resp;
  }

  /** An address of a port (GID), 16 bytes in network order. @throws DriverError */
  address(index = 0, port = 1): Uint8Array {
    const answer = this.#verbs.call('UVERBS_METHOD_QUERY_GID_ENTRY', {
      UVERBS_ATTR_QUERY_GID_ENTRY_PORT: port,
      UVERBS_ATTR_QUERY_GID_ENTRY_GID_INDEX: index,
      UVERBS_ATTR_QUERY_GID_ENTRY_FLAGS: 0,
      UVERBS_ATTR_QUERY_GID_ENTRY_RESP_ENTRY: roomFor(ib_uverbs_gid_entry),
    });
    return answer.bytes('UVERBS_ATTR_QUERY_GID_ENTRY_RESP_ENTRY').slice(0, ADDRESS);
  }

  allocatePd(): ProtectionDomain {
    return new ProtectionDomain(this.#verbs);
  }

  createCq(options: CompletionQueueOptions = {}): CompletionQueue {
    return new CompletionQueue(this.#verbs, this.limits.sub_cqs_per_cq, options);
  }

  createCompletionChannel(): CompletionChannel {
    return new CompletionChannel(this.#verbs);
  }

  /** Events of the card that nobody asked for. */
  asyncEvents(): AsyncEvents {
    return new AsyncEvents(this.#verbs);
  }

  /** Gives all back that was made from it. Harmless when done twice. */
  close(): void {
    this.#verbs.node.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A file of asynchronous events. */
export class AsyncEvents extends EventFile {
  constructor(verbs: VerbsNode) {
    const answer = verbs.call('UVERBS_METHOD_ASYNC_EVENT_ALLOC', { UVERBS_ATTR_ASYNC_EVENT_ALLOC_FD_HANDLE: 'new' });
    super(verbs.node, 'asynchronous events', answer.number('UVERBS_ATTR_ASYNC_EVENT_ALLOC_FD_HANDLE'));
  }

  /** Sleeps until there is one. */
  read(): Decoded<typeof ib_uverbs_async_event_desc> {
    return ib_uverbs_async_event_desc.decode(this.next(ib_uverbs_async_event_desc.size));
  }
}

function openNode(driver: Driver, path: string): OpenNode {
  try {
    return new OpenNode(driver, path, driver.open(path, O_RDWR | O_CLOEXEC));
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    const failure = { errno: error.errno, code: error.code, call: 'open', operation: path, arguments: {} };
    throw new DriverError(failure, { cause: error });
  }
}
