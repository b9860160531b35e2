/**
 * The queues that the driver feeds, their shadows, and the queues in which the card tells the end of work.
 * Source: common/hw_queue.c (hl_hw_queues_create, ext_queue_sanity_checks, ext_queue_schedule_job,
 * int_queue_schedule_job, hl_hw_queue_reset), common/irq.c (hl_irq_handler_cq), gaudi.c (gaudi_add_end_of_cb_packets,
 * gaudi_ring_doorbell, gaudi_test_queue, gaudi_send_job_on_qman0).
 */

import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { PROT } from '../../../specs/gaudi/registers/dma-core.ts';
import { pcieCore } from '../../../specs/gaudi/registers/pcie.ts';
import { gaudiQman } from '../../../specs/gaudi-qman.ts';
import type { Steps } from '../../sim/process.ts';
import type { Track } from '../../trace/recorder.ts';
import { type QueueKind, queueNames, queueRow } from '../../uapi/habanalabs/gaudi.ts';
import { blockOfEngine, dma, type QueuePlace, qman } from './engines.ts';
import type { CoherentMemory } from './host-memory.ts';
import { type Kernel, MS, poll, SECOND } from './kernel.ts';
import type { PciDevice } from './pci.ts';
import { register } from './registers.ts';

const { CFG_BASE, HOST_BASE } = addressMap;
/** habanalabs.h, HL_QUEUE_LENGTH and HL_CQ_LENGTH; gaudiP.h, *_QMAN_LENGTH. */
const LENGTH = 4096;
const INTERNAL_LENGTH = { DMA: 4096, MME: 1024, TPC: 1024, NIC: 4096 } as const;
const ENTRY = 16;
/** An entry of a completion queue (qman_if.h). */
const CQ = { READY: 0x8000_0000, VALID: 0x4000_0000, INDEX: 0xfff } as const;
const MSI_REQ = CFG_BASE + register('PCIE_CORE', pcieCore.rows.MSI_REQ);
/** gaudi.c: GAUDI_QMAN0_FENCE_VAL, GAUDI_TEST_QUEUE_WAIT_USEC, DEVICE_CACHE_LINE_SIZE; habanalabs.h, HL_DEVICE_TIMEOUT_USEC. */
const FENCE = 0x72e9_1ab9;
const TIMEOUT = { TEST: 100 * MS, QMAN0: 1 * SECOND } as const;
const CACHE_LINE = 128;
const MSG_PROT = 16;

/** A command buffer in a queue, as the queue knows it. */
export interface QueuedJob {
  readonly queue: number;
  /** External: the driver's copy of the packets, with room for those that tell the end. */
  readonly buffer: CoherentMemory | undefined;
  /** Bytes that the card executes, and how many of them are the program's. */
  readonly size: number;
  readonly userSize: number;
  /** Internal: device address of the packets. */
  readonly address: bigint;
  /** The end is told after the engine is done, not only the queue. */
  readonly engineBarrier: boolean;
  /** What it is part of, in a trace. */
  flow?: number;
}

/** An entry of a queue's ring. */
export interface QueueEntry {
  readonly index: number;
  readonly address: bigint;
  readonly size: number;
}

interface Queue<Job> {
  readonly id: number;
  readonly kind: QueueKind;
  readonly doorbell: number;
  readonly length: number;
  readonly ring: CoherentMemory | undefined;
  readonly shadow: (Job | undefined)[];
  readonly completions: CoherentMemory | undefined;
  /** Counted modulo twice the length. */
  pi: number;
  ci: number;
  completionsProduced: number;
  completionsTaken: number;
  completionsFree: number;
}

/** Bytes of a command buffer with the packets that tell its end (gaudi_get_patched_cb_extra_size). */
export function patchedSize(size: number): number {
  const line = Math.ceil(size / CACHE_LINE) * CACHE_LINE;
  return (size + 2 * MSG_PROT > line ? line : size) + 2 * MSG_PROT;
}

export class Queues<Job extends QueuedJob> {
  readonly #kernel: Kernel;
  readonly #card: PciDevice;
  readonly #queues: readonly Queue<Job>[];
  readonly #fence: CoherentMemory;
  readonly #track: Track | undefined;

  constructor(kernel: Kernel, card: PciDevice) {
    this.#kernel = kernel;
    this.#track = kernel.trace?.track('driver', `queues of ${card.function.name}`);
    this.#card = card;
    this.#fence = kernel.memory.allocateCoherent(64);
    this.#queues = queueNames.map((name, id): Queue<Job> => {
      const { kind, engine, stream } = queueRow(name);
      const family = engine.split('_')[0] as keyof typeof INTERNAL_LENGTH;
      const length = kind === 'internal' ? INTERNAL_LENGTH[family] : LENGTH;
      const used = kind !== 'cpu' && family !== 'NIC';
      return {
        id,
        kind,
        length,
        doorbell: used ? qman(blockOfEngine(engine), 'PQ_PI', stream) : 0,
        ring: used ? kernel.memory.allocateCoherent(length * ENTRY) : undefined,
        shadow: new Array<Job | undefined>(kind === 'external' ? length : 0),
        completions: kind === 'external' ? kernel.memory.allocateCoherent(LENGTH * 4) : undefined,
        pi: 0,
        ci: 0,
        completionsProduced: 0,
        completionsTaken: 0,
        completionsFree: LENGTH,
      };
    });
  }

  /** Where the card finds the queues (for `initEngines`). */
  readonly place: QueuePlace = (engine, stream) => {
    const queue = this.#queues[queueRow(`${engine}_${stream}` as never).value] as Queue<Job>;
    return { address: (queue.ring as CoherentMemory).bus + HOST_BASE, length: queue.length };
  };

  /** hl_hw_queue_reset and hl_cq_reset: what was in the rings stays, and is told of when there is an error later. */
  reset(): void {
    for (const queue of this.#queues) {
      queue.pi = 0;
      queue.ci = 0;
      queue.completionsProduced = 0;
      queue.completionsTaken = 0;
      queue.completionsFree = LENGTH;
      queue.completions?.bytes.fill(0);
      queue.shadow.fill(undefined);
    }
  }

  /** ext_queue_sanity_checks, int_queue_sanity_checks: whether there is room, which is then kept. */
  reserve(id: number, count: number, withCompletion: boolean): boolean {
    const queue = this.#queue(id);
    const used = (queue.pi - queue.ci + 2 * queue.length) % (2 * queue.length);
    if (queue.length - used < count) return false;
    if (queue.kind !== 'external' || !withCompletion) return true;
    if (queue.completionsFree < count) return false;
    queue.completionsFree -= count;
    return true;
  }

  /** Gives back what was kept and is not used. */
  unreserve(id: number, count: number): void {
    const queue = this.#queue(id);
    if (queue.kind === 'external') queue.completionsFree += count;
  }

  /** Hands a command buffer to its queue. There is room. */
  schedule(job: Job, withCompletion: boolean): void {
    const queue = this.#queue(job.queue);
    if (this.#track) job.flow = this.#track.trace.cause;
    if (!job.buffer) {
      this.#submit(queue, job.address, job.size, 0);
      return;
    }
    const index = queue.pi % queue.length;
    if (withCompletion) {
      const entry = (CQ.READY | CQ.VALID | index) >>> 0;
      const completions = queue.completions as CoherentMemory;
      const at = completions.bus + HOST_BASE + queue.completionsProduced * 4;
      addEnd(job.buffer.bytes, job.size, job.userSize, at, entry, job.engineBarrier);
      queue.shadow[index] = job;
      queue.completionsProduced = (queue.completionsProduced + 1) % LENGTH;
    }
    this.#submit(queue, BigInt(job.buffer.bus + HOST_BASE), job.size, index);
  }

  /** Entries of a queue are free again (hl_hw_queue_update_ci). */
  release(id: number, count: number): void {
    const queue = this.#queue(id);
    queue.ci = (queue.ci + count) % (2 * queue.length);
  }

  /** Work that has ended since the last call, in order (hl_irq_handler_cq). */
  takeCompletions(): Job[] {
    const jobs: Job[] = [];
    for (const queue of this.#queues) {
      const words = queue.completions?.words;
      if (!words) continue;
      for (;;) {
        const entry = words[queue.completionsTaken] as number;
        if ((entry & CQ.READY) === 0) break;
        words[queue.completionsTaken] = entry & ~CQ.READY;
        queue.completionsTaken = (queue.completionsTaken + 1) % LENGTH;
        queue.completionsFree++;
        if ((entry & CQ.VALID) === 0) continue;
        this.#kernel.observer?.(
          `${this.#card.function.name}: ${queueNames[queue.id]} tells the end of entry ${entry & CQ.INDEX}`,
        );
        const job = queue.shadow[entry & CQ.INDEX];
        const name = queueNames[queue.id];
        this.#track?.instant('completion', name, { queue: name, entry: entry & CQ.INDEX }, job?.flow ?? 0);
        queue.shadow[entry & CQ.INDEX] = undefined;
        this.release(queue.id, 1);
        if (job) jobs.push(job);
      }
    }
    return jobs;
  }

  /** Addresses and sizes of the last entries of a queue that the card has taken, the newest first (gaudi_handle_last_pqes_on_err). */
  lastEntries(id: number, consumed: number, count: number): QueueEntry[] {
    const { ring, length } = this.#queue(id);
    const entries: QueueEntry[] = [];
    for (let i = 1; ring && i <= count; i++) {
      const index = (consumed - i + 2 * length) % length;
      const at = index * ENTRY;
      const size = ring.view.getUint32(at + 8, true);
      if (size === 0) break;
      entries.push({ index, address: ring.view.getBigUint64(at, true), size });
    }
    return entries;
  }

  /** gaudi_test_queues, without the firmware's. @throws Error naming the queue that is dead */
  *test(): Steps {
    for (const queue of this.#queues) {
      if (queue.kind !== 'external') continue;
      const packet = this.#kernel.memory.allocateCoherent(MSG_PROT);
      packet.bytes.set(this.#fencePacket());
      const done = yield* this.#runOn(queue, packet, MSG_PROT, TIMEOUT.TEST);
      packet.free();
      if (!done) throw new Error(`H/W queue ${queue.id} test failed`);
    }
  }

  /** gaudi_send_job_on_qman0: packets of the driver, with its rights. @throws Error when they do not end */
  *runPrivileged(packets: Uint8Array): Steps {
    const buffer = this.#kernel.memory.allocateCoherent(packets.length + MSG_PROT);
    buffer.bytes.set(packets);
    buffer.bytes.set(this.#fencePacket(), packets.length);
    this.#card.write(dma(0, 'PROT'), PROT.ERR_VAL | PROT.VAL);
    const done = yield* this.#runOn(this.#queue(0), buffer, buffer.bytes.length, TIMEOUT.QMAN0);
    this.#card.write(dma(0, 'PROT'), PROT.ERR_VAL);
    buffer.free();
    if (!done) throw new Error('QMAN0 Job timeout');
  }

  *#runOn(queue: Queue<Job>, buffer: CoherentMemory, size: number, timeout: number): Steps<boolean> {
    this.#fence.words[0] = 0;
    this.#submit(queue, BigInt(buffer.bus + HOST_BASE), size, 0);
    const done = yield* poll(this.#kernel, () => this.#fence.words[0] === FENCE, timeout);
    this.release(queue.id, 1);
    return done;
  }

  #fencePacket(): Uint8Array {
    return gaudiQman.encode('MSG_PROT', {
      addr: BigInt(this.#fence.bus + HOST_BASE),
      value: FENCE,
      eb: true,
      mb: true,
    });
  }

  #submit(queue: Queue<Job>, address: bigint, size: number, control: number): void {
    const { view } = queue.ring as CoherentMemory;
    const at = (queue.pi % queue.length) * ENTRY;
    view.setBigUint64(at, address, true);
    view.setUint32(at + 8, size, true);
    view.setUint32(at + 12, control, true);
    queue.pi = (queue.pi + 1) % (2 * queue.length);
    this.#kernel.observer?.(`${this.#card.function.name}: ${queueNames[queue.id]} is given ${size} bytes of packets`);
    const name = queueNames[queue.id];
    this.#track?.instant('submission', name, { queue: name, entry: control, address: Number(address), size });
    this.#card.write(queue.doorbell, queue.pi);
  }

  #queue(id: number): Queue<Job> {
    return this.#queues[id] as Queue<Job>;
  }
}

const nop = gaudiQman.encode('NOP', {});

/** gaudi_add_end_of_cb_packets: fills up, tells the end, raises the interrupt. */
function addEnd(bytes: Uint8Array, size: number, userSize: number, at: number, entry: number, eb: boolean): void {
  const end = size - 2 * MSG_PROT;
  for (let i = userSize; i < end; i += nop.length) bytes.set(nop, i);
  bytes.set(gaudiQman.encode('MSG_PROT', { addr: BigInt(at), value: entry, eb, mb: true }), end);
  bytes.set(gaudiQman.encode('MSG_PROT', { addr: BigInt(MSI_REQ), value: 1, eb: false, mb: true }), end + MSG_PROT);
}
