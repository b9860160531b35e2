/** What the blocks of a NIC share: its resources, its counters, and its place in the network. */

import { COMP } from '../../specs/efa/io.ts';
import type { DmaPort } from '../pci/ports.ts';
import type { Clock } from '../sim/clock.ts';
import { type ErrorLog, ModelError } from '../sim/errors.ts';
import { Process, type Steps } from '../sim/process.ts';
import type { Random } from '../sim/random.ts';
import { following, type TraceScope } from '../trace/recorder.ts';
import { AddressHandles } from './address-handles.ts';
import type { CompletionQueue } from './completion-queue.ts';
import { BusFault } from './dma.ts';
import type { EventQueue } from './event-queue.ts';
import type { Limits } from './limits.ts';
import type { LlqMemory } from './llq.ts';
import type { MemoryRegion } from './memory-region.ts';
import { addressKey, type Network } from './network.ts';
import type { Packet } from './packets.ts';
import type { QueuePair } from './queue-pair.ts';
import { type Counters, counters } from './statistics.ts';
import { Table } from './table.ts';

/** A protection domain or user access region: a number that objects belong to. */
export interface Owner {
  readonly id: number;
  users: number;
}

export interface NicPorts {
  readonly name: string;
  readonly dma: DmaPort;
  readonly clock: Clock;
  readonly errors: ErrorLog;
  readonly random: Random;
  readonly network: Network;
  /** 16 bytes. */
  readonly address: Uint8Array;
  readonly limits: Limits;
  readonly llq: LlqMemory;
  /** Raises an MSI-X vector. */
  interrupt(vector: number): void;
  /** Where what happens is told. */
  readonly trace?: TraceScope | undefined;
}

/** Of completions. */
const statusNames = new Map<number, string>(Object.entries(COMP).map(([name, value]) => [value, name]));

export class Nic {
  readonly ports: NicPorts;
  readonly key: string;
  readonly pds: Table<Owner>;
  readonly uars: Table<Owner>;
  readonly ahs: AddressHandles;
  readonly eqs: Table<EventQueue>;
  readonly cqs: Table<CompletionQueue>;
  readonly qps: Table<QueuePair>;
  /** By the low 24 bits of their keys; 0 is no key. */
  readonly mrs: Table<MemoryRegion>;
  /** Runs of pages in use. */
  runs = 0;
  stats: Counters = counters();
  /** See `Packet.flow`. */
  flow = 0;
  readonly #processes = new Set<Process>();

  constructor(ports: NicPorts) {
    this.ports = ports;
    this.key = addressKey(ports.address);
    const { limits } = ports;
    this.pds = new Table(limits.maxPd, 16);
    this.uars = new Table(limits.maxUar, 16);
    this.ahs = new AddressHandles(limits.maxAh);
    this.eqs = new Table(limits.maxEq, 16);
    this.cqs = new Table(limits.maxCq, 16);
    this.qps = new Table(limits.maxQp, 16);
    this.mrs = new Table(limits.maxMr, 24, [0]);
  }

  /** Starts a process that a reset ends. */
  start(name: string, steps: Steps): Process {
    const process = new Process(this.ports.clock, `${this.ports.name} ${name}`, steps, (error) => this.failed(error));
    for (const other of this.#processes) if (other.ended) this.#processes.delete(other);
    this.#processes.add(process);
    return process;
  }

  /** What a process dies of: an error of the model is recorded, anything else is a defect. */
  failed(error: unknown): void {
    if (error instanceof BusFault) this.guestError('DMA', error.message);
    else if (error instanceof ModelError) this.ports.errors.report(error);
    else throw error;
  }

  guestError(where: string, message: string): void {
    this.ports.errors.report(new ModelError('guest', `EFA.${where}`, message));
  }

  /** Sends a packet and counts it. @param bytes of data in it */
  send(packet: Packet, bytes: number): void {
    const { network, clock } = this.ports;
    this.stats.tx_bytes += bytes;
    this.stats.tx_pkts += Math.max(1, Math.ceil(bytes / network.mtu));
    network.send(this.ports.trace ? this.#told(packet, bytes) : packet, clock);
  }

  /** Steps that follow from something, in a trace. @param flow 0: from nothing */
  because(flow: number, steps: Steps): Steps {
    const { trace } = this.ports;
    return trace && flow !== 0 ? following(trace.trace, flow, steps) : steps;
  }

  /** Tells that a work request is done. @param request its id */
  tellCompletion(queue: number, completions: number, request: number, status: number): void {
    const name = statusNames.get(status) ?? `status ${status}`;
    this.ports.trace?.track(`QP ${queue}`).instant('work_completion', name, { queue, request, completions });
  }

  #told(packet: Packet, bytes: number): Packet {
    const { trace } = this.ports;
    if (!trace) return packet;
    const ends = packet.kind === 'reply' ? {} : { queue: packet.sourceQp, peer: packet.targetQp };
    const index = packet.kind === 'datagram' ? {} : { sequence: packet.index };
    trace.track('network').instant('packet_sent', packet.kind, { ...ends, ...index, bytes });
    return { ...packet, cause: trace.trace.cause };
  }

  /** Forgets everything. */
  reset(): void {
    for (const process of this.#processes) process.kill();
    this.#processes.clear();
    for (const qp of this.qps.values()) qp.end();
    for (const cq of this.cqs.values()) cq.destroyed = true;
    for (const mr of this.mrs.values()) mr.valid = false;
    for (const table of [this.pds, this.uars, this.eqs, this.cqs, this.qps, this.mrs]) table.clear();
    this.ahs.clear();
    this.ports.llq.clear();
    this.runs = 0;
    this.stats = counters();
    this.flow++;
  }
}
