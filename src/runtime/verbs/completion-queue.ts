/**
 * Completion queues as efa has them: rings in memory of the kernel that the NIC writes and the program reads, and a doorbell by
 * which the program asks for an event (rdma-core, providers/efa/verbs.c).
 */

import { CQ_DB, completion, OP, QUEUE, SRC_ADDR, UNKNOWN_AH } from '../../../specs/efa/io.ts';
import { type Driver, type Mapping, POLLIN, PROT_READ, PROT_WRITE } from '../../driver/driver.ts';
import { efa_ibv_create_cq, efa_ibv_create_cq_resp, efaConstants } from '../../uapi/rdma/efa.ts';
import { ib_uverbs_comp_event_desc } from '../../uapi/rdma/verbs.ts';
import { values } from '../../uapi/rows.ts';
import { DisposedError } from '../errors.ts';
import { statusOf, type WorkCompletion, type WorkOperation } from './completion.ts';
import { CompletionTimeoutError, WorkError } from './errors.ts';
import { EventFile } from './event-file.ts';
import { decode, roomFor, type VerbsNode } from './node.ts';

const EFA = values(efaConstants);
const PAGE = 4096;
const ENTRY = completion.size;

export interface CompletionQueueOptions {
  /** Completions it has room for; a power of two. Default 128. */
  readonly entries?: number;
  /** Tells of completions. */
  readonly channel?: CompletionChannel;
  /** Which of the device's vectors. Default 0. */
  readonly vector?: number;
  /** Completions tell the address of a sender that no address handle is for. */
  readonly withAddress?: boolean;
}

/** Whose work it is: a queue pair knows what its numbers of requests stand for. */
export interface WorkOwner {
  /** A work request of the send queue has ended. @returns its identity */
  sent(request: number): number;
  received(request: number): number;
}

/** Looks in a row before a wait sleeps between them. */
const EAGER = 2000;
/** Nanoseconds between looks then. */
const PAUSE = 50_000;
const PATIENCE = 10_000;

export class CompletionQueue implements Disposable {
  readonly handle: number;
  /** Number in the device. */
  readonly number: number;
  /** Completions it has room for. */
  readonly entries: number;
  readonly #verbs: VerbsNode;
  readonly #driver: Driver;
  readonly #rings: Ring[];
  readonly #memory: Mapping;
  readonly #doorbell: { readonly page: Mapping; readonly at: number } | undefined;
  readonly #owners = new Map<number, WorkOwner>();
  /** Read, and not yet polled. */
  #ready: WorkCompletion[] = [];
  #consumed = 0;
  /** Events asked for so far. */
  #commands = 0;
  #live = true;

  /** @param subQueues rings, as GET_CONTEXT tells. */
  constructor(verbs: VerbsNode, subQueues: number, options: CompletionQueueOptions) {
    const { entries = 128, channel, vector = 0, withAddress = false } = options;
    this.#verbs = verbs;
    this.#driver = verbs.node.driver;
    const command = efa_ibv_create_cq.encode({
      cq_entry_size: ENTRY,
      num_sub_cqs: subQueues,
      flags:
        (channel ? EFA.EFA_CREATE_CQ_WITH_COMPLETION_CHANNEL : 0) | (withAddress ? EFA.EFA_CREATE_CQ_WITH_SGID : 0),
    });
    const identity = channel?.register(this) ?? 0;
    const answer = verbs.call(
      'UVERBS_METHOD_CQ_CREATE',
      {
        UVERBS_ATTR_CREATE_CQ_HANDLE: 'new',
        UVERBS_ATTR_CREATE_CQ_CQE: entries,
        UVERBS_ATTR_CREATE_CQ_USER_HANDLE: identity,
        UVERBS_ATTR_CREATE_CQ_COMP_CHANNEL: channel?.fd,
        UVERBS_ATTR_CREATE_CQ_COMP_VECTOR: vector,
        UVERBS_ATTR_CREATE_CQ_RESP_CQE: { room: 4 },
        UVERBS_ATTR_UHW_IN: command,
        UVERBS_ATTR_UHW_OUT: roomFor(efa_ibv_create_cq_resp),
      },
      { entries, vector },
    );
    const driver = decode(efa_ibv_create_cq_resp, answer.bytes('UVERBS_ATTR_UHW_OUT'));
    this.handle = answer.number('UVERBS_ATTR_CREATE_CQ_HANDLE');
    this.number = driver.cq_idx;
    this.entries = new DataView(answer.bytes('UVERBS_ATTR_CREATE_CQ_RESP_CQE').buffer).getUint32(0, true);
    const { fd } = verbs.node;
    this.#memory = this.#driver.mmap(fd, Number(driver.q_mmap_size), PROT_READ | PROT_WRITE, driver.q_mmap_key);
    this.#doorbell =
      driver.comp_mask & EFA.EFA_CREATE_CQ_RESP_DB_OFF
        ? { page: this.#driver.mmap(fd, PAGE, PROT_WRITE, driver.db_mmap_key), at: driver.db_off }
        : undefined;
    this.#rings = Array.from({ length: subQueues }, (_, i) => ({
      start: i * this.entries * ENTRY,
      next: 0,
      phase: 1,
    }));
    verbs.node.own(this);
  }

  /** @internal */
  attach(qp: number, owner: WorkOwner): void {
    this.#owners.set(qp, owner);
  }

  /** @internal The queue pair goes; what it completed before stays to be polled. */
  detach(qp: number): void {
    this.#read(Number.POSITIVE_INFINITY);
    this.#owners.delete(qp);
  }

  /** Takes completions, up to `most`; none when there is none. @throws DisposedError */
  poll(most = Number.POSITIVE_INFINITY): WorkCompletion[] {
    if (!this.#live) throw new DisposedError('completion queue');
    this.#read(most);
    if (this.#ready.length === 0) this.#driver.relax();
    const taken = this.#ready.slice(0, most);
    this.#ready = this.#ready.slice(taken.length);
    return taken;
  }

  /**
   * Looks until `count` completions have come.
   * @param timeout milliseconds, default 10 s. @throws CompletionTimeoutError
   */
  take(count = 1, timeout = PATIENCE): WorkCompletion[] {
    const found: WorkCompletion[] = [];
    const end = this.#driver.now() + timeout * 1e6;
    for (let looks = 0; found.length < count; looks++) {
      const some = this.poll(count - found.length);
      found.push(...some);
      if (some.length > 0) continue;
      if (this.#driver.now() > end)
        throw new CompletionTimeoutError(`${found.length} of ${count} completions after ${timeout} ms`);
      if (looks > EAGER) this.#driver.sleep(PAUSE);
    }
    return found;
  }

  /** As `take`, of work that must succeed. @throws WorkError with the first that did not */
  expect(count = 1, timeout = PATIENCE): WorkCompletion[] {
    const found = this.take(count, timeout);
    const failed = found.find(({ status }) => status !== 'OK');
    if (failed) throw new WorkError(failed);
    return found;
  }

  /** Asks for one event of the channel: at the next completion that has not been polled. */
  arm(): void {
    this.#ring(CQ_DB.ARM);
  }

  /** @internal An event has come: the next is asked for with the next number. */
  event(): void {
    this.#commands++;
  }

  /** Harmless when done twice. @throws DriverError where queue pairs still use it */
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#verbs.call('UVERBS_METHOD_CQ_DESTROY', {
      UVERBS_ATTR_DESTROY_CQ_HANDLE: this.handle,
      UVERBS_ATTR_DESTROY_CQ_RESP: { room: 8 },
    });
    this.#live = false;
    this.#verbs.node.disown(this);
    this.#memory.unmap();
    this.#doorbell?.page.unmap();
  }

  #ring(bits: number): void {
    if (!this.#doorbell) return;
    const { page, at } = this.#doorbell;
    const command = (this.#commands & CQ_DB.COMMAND_MASK) << CQ_DB.COMMAND_SHIFT;
    this.#driver.store32(page, at, (bits | command | (this.#consumed & CQ_DB.CONSUMER_INDEX)) >>> 0);
  }

  /** Reads entries that the NIC has written. */
  #read(most: number): void {
    const before = this.#consumed;
    for (const ring of this.#rings) {
      while (this.#ready.length < most && this.#isNew(ring)) {
        const known = this.#translate(ring.start + ring.next * ENTRY);
        ring.next++;
        this.#consumed++;
        if (ring.next === this.entries) {
          ring.next = 0;
          ring.phase ^= 1;
        }
        if (known) this.#ready.push(known);
      }
    }
    if (this.#consumed !== before) this.#ring(0);
  }

  #isNew({ start, next, phase }: Ring): boolean {
    const { offset } = completion.fields.phase;
    return ((this.#memory.bytes[start + next * ENTRY + offset] as number) & 1) === phase;
  }

  /** @returns undefined for a queue pair that is gone */
  #translate(at: number): WorkCompletion | undefined {
    const { bytes } = this.#memory;
    const entry = completion.decode(bytes, at);
    const owner = this.#owners.get(entry.qp_num);
    if (!owner) return undefined;
    const status = statusOf(entry.status);
    const qp = entry.qp_num;
    if (entry.q_type === QUEUE.SEND)
      return { id: owner.sent(entry.req_id), operation: operationOf(entry.op_type), status, qp };
    const write = entry.op_type === OP.RDMA_WRITE;
    const unknown = entry.ah === UNKNOWN_AH;
    return {
      id: entry.unsolicited ? 0 : owner.received(entry.req_id),
      operation: write ? 'receive-write' : 'receive',
      status,
      qp,
      received: {
        length: entry.length + (write ? entry.length_hi * 0x1_0000 : 0),
        qp: entry.src_qp_num,
        ...(unknown ? { address: bytes.slice(at + SRC_ADDR, at + ENTRY) } : { ah: entry.ah }),
      },
      ...(entry.has_imm ? { immediate: entry.imm } : {}),
    };
  }
}

interface Ring {
  /** Bytes from the start of the memory. */
  readonly start: number;
  next: number;
  phase: number;
}

function operationOf(op: number): WorkOperation {
  if (op === OP.RDMA_READ) return 'read';
  return op === OP.RDMA_WRITE ? 'write' : 'send';
}

/** Tells which completion queues have something new: a descriptor to read and poll. */
export class CompletionChannel extends EventFile {
  readonly #queues = new Map<number, CompletionQueue>();
  #numbers = 0;

  constructor(verbs: VerbsNode) {
    const { core } = verbs.command('IB_USER_VERBS_CMD_CREATE_COMP_CHANNEL', {});
    super(verbs.node, 'completion channel', core.fd);
  }

  /** @internal @returns what the kernel tells its events with */
  register(queue: CompletionQueue): number {
    this.#queues.set(++this.#numbers, queue);
    return this.#numbers;
  }

  /**
   * Sleeps until a completion queue that was armed has a completion.
   * @param timeout milliseconds; undefined: for ever. @returns undefined when none came
   */
  wait(timeout?: number): CompletionQueue | undefined {
    if (timeout !== undefined && this.node.driver.poll(this.fd, POLLIN, timeout) === 0) return undefined;
    const event = ib_uverbs_comp_event_desc.decode(this.next(ib_uverbs_comp_event_desc.size));
    const queue = this.#queues.get(Number(event.cq_handle));
    queue?.event();
    return queue;
  }
}
