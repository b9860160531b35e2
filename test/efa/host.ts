/** A host with NICs, whose driver speaks the admin protocol and fills the queues as the kernel and rdma-core do. */

import assert from 'node:assert/strict';
import { type CommandName, commands, features, requestHead, responseHead, statistics } from '../../specs/efa/admin.ts';
import { completion, eqEntry, remoteMemory, rxDescriptor, txBuffer, txMeta } from '../../specs/efa/io.ts';
import { crc16 } from '../../src/efa/crc16.ts';
import { type Efa, type EfaOptions, efa } from '../../src/efa/device.ts';
import { Fabric } from '../../src/pci/fabric.ts';
import type { PciFunction } from '../../src/pci/function.ts';
import type { DmaPort } from '../../src/pci/ports.ts';
import { Topology } from '../../src/pci/topology.ts';
import { VirtualClock } from '../../src/sim/clock.ts';
import { ArrayMemory } from '../../src/sim/memory.ts';
import { HostMemory, peek, poke } from '../pci/helpers.ts';

const REG = {
  VERSION: 0x00,
  AQ_BASE_LO: 0x10,
  AQ_CAPS: 0x18,
  ACQ_BASE_LO: 0x20,
  ACQ_CAPS: 0x28,
  AQ_PROD_DB: 0x2c,
  AENQ_CAPS: 0x34,
  AENQ_BASE_LO: 0x38,
  AENQ_CONS_DB: 0x40,
  INTR_MASK: 0x4c,
  DEV_CTL: 0x54,
  DEV_STS: 0x58,
  MMIO_REG_READ: 0x5c,
  MMIO_RESP_LO: 0x60,
  EQ_DB: 0x68,
} as const;
export const DEPTH = 32;
const AENQ_DEPTH = 16;
const BARS = { 0: 0xc000_0000, 2: 0xd_0000_0000, 4: 0xc100_0000 } as const;

/** Memory of the host, and one clock, for all its NICs. */
export class Host {
  readonly clock = new VirtualClock();
  readonly memory: HostMemory;
  readonly topology = new Topology({ name: 'host', forwardsPeerToPeer: true, whitelisted: true });
  readonly #places: { readonly fn: PciFunction; readonly connect: (dma: DmaPort) => void }[] = [];
  #fabric: Fabric | undefined;
  #next = 0x1000;

  constructor(size = 0x100_0000, direct = true) {
    this.memory = new HostMemory(size, direct);
  }

  get bytes(): Uint8Array {
    return this.memory.memory.bytes;
  }

  get fabric(): Fabric {
    if (!this.#fabric) {
      this.#fabric = new Fabric(this.topology);
      for (const { fn, connect } of this.#places) connect(this.#fabric.portFor(fn, this.memory));
    }
    return this.#fabric;
  }

  /** Puts a function on the bus. @param connect gives it its port once all are there */
  place(fn: PciFunction, connect: (dma: DmaPort) => void): void {
    const ids = { vendor: 0x1b36, device: 0x000c, revision: 0, classCode: 0x060400 };
    const name = `rp${this.#places.length}`;
    this.topology.place(fn, this.topology.addPort({ name, type: 'root-port', ids, acs: false }, undefined));
    this.#places.push({ fn, connect });
  }

  /** Zeroed. @returns its bus address, aligned to 4096 */
  allocate(bytes: number): number {
    const at = this.#next;
    this.#next += Math.ceil(bytes / 4096) * 4096;
    assert.ok(this.#next <= this.memory.memory.size, 'host memory of the test');
    return at;
  }

  view(at: number, bytes: number): Uint8Array {
    return this.bytes.subarray(at, at + bytes);
  }

  /** Runs until nothing is to be done any more, or up to so many ns from now. */
  run(limit?: number): void {
    const end = limit === undefined ? undefined : this.clock.now() + limit;
    // Answers of a memory that is reached by messages make more work.
    for (let round = 0; round < (this.memory.direct ? 1 : 1000); round++) {
      this.memory.settle();
      this.clock.runUntil(end);
    }
  }
}

type RequestOf<N extends CommandName> = Partial<ReturnType<(typeof commands)[N]['request']['decode']>>;
type AnswerOf<N extends CommandName> = ReturnType<(typeof commands)[N]['response']['decode']>;

export interface Answer<T> {
  readonly status: number;
  readonly values: T;
  readonly data: Uint8Array;
}

export class Driver {
  readonly host: Host;
  readonly nic: Efa;
  readonly interrupts: number[] = [];
  readonly #mmio: number;
  #aq = 0;
  #acq = 0;
  #aenq = 0;
  #entrySize = 64;
  #posted = 0;
  #answered = 0;
  #requestId = 0;

  constructor(host: Host, options: Partial<EfaOptions> = {}) {
    this.host = host;
    const index = host.topology.functions().length;
    this.nic = efa({ name: `efa${index}`, memory: (_name, size) => new ArrayMemory(size), ...options });
    host.place(this.nic, (dma) =>
      this.nic.connect({
        dma,
        clock: host.clock,
        hostKeepsMsixTable: true,
        interrupt: (_kind, vector) => this.interrupts.push(vector),
      }),
    );
    this.#mmio = host.allocate(4096);
    const config = this.nic.config;
    for (const [bar, address] of Object.entries(BARS)) {
      const at = 0x10 + 4 * Number(bar);
      const placed = address + index * 0x1000_0000;
      poke(config, at, 4, placed % 2 ** 32);
      poke(config, at + 4, 4, Math.floor(placed / 2 ** 32));
    }
    poke(config, 0x04, 2, 0x6);
    for (let cap = peek(config, 0x34, 1); cap !== 0; cap = peek(config, cap + 1, 1)) {
      if (peek(config, cap, 1) === 0x11) poke(config, cap + 2, 2, 0x8000);
    }
  }

  write(register: keyof typeof REG, value: number): void {
    poke((this.nic.bars[0] as (typeof this.nic.bars)[0]).region, REG[register], 4, value);
  }

  write64(register: 'AQ_BASE_LO' | 'ACQ_BASE_LO' | 'AENQ_BASE_LO' | 'MMIO_RESP_LO', value: number): void {
    poke((this.nic.bars[0] as (typeof this.nic.bars)[0]).region, REG[register], 4, value % 2 ** 32);
    poke((this.nic.bars[0] as (typeof this.nic.bars)[0]).region, REG[register] + 4, 4, Math.floor(value / 2 ** 32));
  }

  /** A read that is answered in memory. @returns undefined where no answer came */
  read(offset: number): number | undefined {
    const id = (++this.#requestId & 0xffff) >>> 0;
    const view = new DataView(this.host.bytes.buffer, this.#mmio, 8);
    view.setUint16(0, id ^ 0xffff, true);
    this.write('MMIO_REG_READ', ((offset << 16) | id) >>> 0);
    this.host.run(0);
    if (view.getUint16(0, true) !== id) return undefined;
    assert.equal(view.getUint16(2, true), offset);
    return view.getUint32(4, true);
  }

  get status(): number {
    return this.read(REG.DEV_STS) as number;
  }

  /** As efa_probe_device does. */
  start(): this {
    void this.host.fabric;
    this.write64('MMIO_RESP_LO', this.#mmio);
    assert.equal(this.status & 1, 1, 'ready');
    this.write('DEV_CTL', 1);
    this.write64('MMIO_RESP_LO', this.#mmio);
    assert.equal(this.status & 8, 8, 'reset in progress');
    this.write('DEV_CTL', 0);
    assert.equal(this.status & 9, 1, 'reset finished');
    const version = this.read(REG.VERSION) as number;
    this.#entrySize = version >= 3 ? 128 : 64;
    this.#aq ||= this.host.allocate(DEPTH * 128);
    this.#acq ||= this.host.allocate(DEPTH * 64);
    this.#aenq ||= this.host.allocate(AENQ_DEPTH * 64);
    for (const at of [this.#aq, this.#acq, this.#aenq]) this.host.view(at, 4096).fill(0);
    this.#posted = 0;
    this.#answered = 0;
    this.write64('AQ_BASE_LO', this.#aq);
    this.write('AQ_CAPS', (this.#entrySize << 16) | DEPTH);
    this.write64('ACQ_BASE_LO', this.#acq);
    this.write('ACQ_CAPS', (64 << 16) | DEPTH);
    this.write('INTR_MASK', 0);
    this.write64('AENQ_BASE_LO', this.#aenq);
    this.write('AENQ_CAPS', (64 << 16) | AENQ_DEPTH);
    this.write('AENQ_CONS_DB', 0);
    return this;
  }

  /** Entry of the notification queue. */
  notification(index: number): Uint8Array {
    return this.host.view(this.#aenq + 64 * index, 64);
  }

  /** Puts a command into the ring without telling. @param change spoils the entry, before its checksum is made */
  put(opcode: number, payload: Uint8Array, flags = 0, change?: (entry: Uint8Array) => void): number {
    const entry = this.host.view(this.#aq + (this.#posted % DEPTH) * this.#entrySize, this.#entrySize);
    entry.fill(0);
    const command_id = (this.#posted * 37) & 0xfff;
    const phase = 1 - (Math.floor(this.#posted / DEPTH) & 1);
    requestHead.encode(entry, { command_id, opcode, phase });
    entry[3] = (entry[3] as number) | flags;
    entry.set(payload, this.#entrySize === 128 ? 12 : 4);
    change?.(entry);
    if (this.#entrySize === 128) requestHead.encode(entry, { checksum: crc16(entry) });
    this.#posted = (this.#posted + 1) & 0xffff;
    return command_id;
  }

  ring(): void {
    this.write('AQ_PROD_DB', this.#posted);
  }

  /** The next answer, or undefined where none has come. */
  take(): { readonly command: number; readonly status: number; readonly data: Uint8Array } | undefined {
    const entry = this.host.view(this.#acq + (this.#answered % DEPTH) * 64, 64).slice();
    const head = responseHead.decode(entry);
    if (head.phase !== 1 - (Math.floor(this.#answered / DEPTH) & 1)) return undefined;
    responseHead.encode(entry, { checksum: 0 });
    assert.equal(crc16(entry), head.checksum, 'checksum of the answer');
    this.#answered = (this.#answered + 1) & 0xffff;
    return { command: head.command, status: head.status, data: entry.subarray(8) };
  }

  raw(opcode: number, payload: Uint8Array, flags = 0, change?: (entry: Uint8Array) => void) {
    const id = this.put(opcode, payload, flags, change);
    this.ring();
    this.host.run(0);
    const answer = this.take();
    assert.ok(answer, `no answer to opcode ${opcode}`);
    assert.equal(answer.command, id);
    return answer;
  }

  /** @param change writes into the payload what has no field */
  try<N extends CommandName>(
    name: N,
    values: RequestOf<N> = {},
    change: (payload: Uint8Array) => void = () => {},
    flags = 0,
  ): Answer<AnswerOf<N>> {
    const row = commands[name];
    const payload = new Uint8Array(60);
    (row.request.encode as (target: Uint8Array, v: object) => void)(payload, values);
    change(payload);
    const { status, data } = this.raw(row.opcode, payload, flags);
    return { status, values: row.response.decode(data) as AnswerOf<N>, data };
  }

  do<N extends CommandName>(name: N, values: RequestOf<N> = {}, change?: (payload: Uint8Array) => void, flags = 0) {
    const answer = this.try(name, values, change, flags);
    assert.equal(answer.status, 0, `${name}: status ${answer.status}`);
    return answer.values;
  }

  feature<N extends keyof typeof features>(name: N, id: number) {
    const { status, data } = this.try('GET_FEATURE', { feature_id: id });
    assert.equal(status, 0);
    return features[name].decode(data) as ReturnType<(typeof features)[N]['decode']>;
  }

  counters(type: number): Record<string, number> {
    const { status, data } = this.try('GET_STATS', { type });
    assert.equal(status, 0);
    const view = new DataView(data.buffer, data.byteOffset);
    const names = statistics[type]?.counters ?? [];
    return Object.fromEntries(names.map((name, i) => [name, Number(view.getBigUint64(8 * i, true))]));
  }

  doorbell(offset: number, value: number): void {
    poke((this.nic.bars[2] as (typeof this.nic.bars)[0]).region, offset, 4, value);
  }

  createCq(uar: number, depth: number, options: CqOptions = {}) {
    const ring = this.host.allocate(32 * depth);
    const { cq_idx, db_offset } = this.do('CREATE_CQ', {
      uar,
      sub_cq_depth: depth,
      entry_size_words: 8,
      num_sub_cqs: 1,
      set_src_addr: options.sourceAddress ? 1 : 0,
      interrupt_mode_enabled: options.eqn === undefined ? 0 : 1,
      eqn: options.eqn ?? 0,
      ba_lo: ring % 2 ** 32,
      ba_hi: Math.floor(ring / 2 ** 32),
    });
    return { index: cq_idx, ring, depth, entrySize: 32, doorbell: db_offset };
  }

  createEq(vector: number, depth = 16) {
    const ring = this.host.allocate(16 * depth);
    const { eqn } = this.do('CREATE_EQ', {
      depth,
      msix_vec: vector,
      entry_size_words: 4,
      completion_events: 1,
      ba_lo: ring,
      ba_hi: 0,
    });
    return { eqn, event: (index: number) => eqEntry.decode(this.host.view(ring + 16 * index, 16)) };
  }

  armEq(eqn: number): void {
    this.write('EQ_DB', (0x8000_0000 | eqn) >>> 0);
  }

  /** Registers host memory page by page. */
  register(pd: number, at: number, length: number, access = 7, iova = at): MemoryKeys {
    const skip = iova % 4096;
    const pages = Math.ceil((skip + length) / 4096);
    const addresses = Array.from({ length: pages }, (_, i) => at - skip + 4096 * i);
    return this.registerPages(pd, addresses, length, access, iova, 12);
  }

  registerPages(pd: number, pages: readonly number[], length: number, access: number, iova: number, shift: number) {
    const inline = pages.length <= 4;
    const list = new BigUint64Array(pages.map((page) => BigInt(page)));
    let at = 0;
    if (!inline) {
      at = this.host.allocate(list.byteLength);
      this.host.view(at, list.byteLength).set(new Uint8Array(list.buffer));
    }
    const { l_key, r_key } = this.do(
      'REG_MR',
      {
        pd,
        mr_length: length,
        iova,
        phys_page_size_shift: shift,
        local_write: access & 1,
        remote_write: (access >> 1) & 1,
        remote_read: (access >> 2) & 1,
      },
      (payload) => {
        if (inline) payload.set(new Uint8Array(list.buffer), 4);
        else putControl(payload, 4, list.byteLength, at);
      },
      inline ? 0 : 2,
    );
    return { lkey: l_key, rkey: r_key };
  }
}

export interface MemoryKeys {
  readonly lkey: number;
  readonly rkey: number;
}

export function putControl(target: Uint8Array, offset: number, length: number, address: number): void {
  const view = new DataView(target.buffer, target.byteOffset);
  view.setUint32(offset, length, true);
  view.setUint32(offset + 4, address % 2 ** 32, true);
  view.setUint32(offset + 8, Math.floor(address / 2 ** 32), true);
}

export interface EndpointOptions {
  readonly type?: 1 | 2;
  readonly depth?: number;
  /** Bytes of a work request. */
  readonly entry?: 64 | 128;
  readonly qkey?: number;
  readonly eqn?: number;
  readonly sourceAddress?: boolean;
  readonly unsolicited?: boolean;
  readonly rnrRetry?: number;
  /** Last state, default RTS. */
  readonly state?: number;
}

/** What a process has: a domain, a completion queue, a queue pair, and a buffer of 64 KiB. */
export class Process {
  readonly driver: Driver;
  readonly pd: number;
  readonly uar: number;
  readonly cq: ReturnType<Driver['createCq']>;
  readonly qp: number;
  readonly qkey: number;
  readonly depth: number;
  readonly entry: number;
  readonly buffer: number;
  readonly keys: MemoryKeys;
  readonly size: number;
  readonly #llq: number;
  readonly #sqDoorbell: number;
  readonly #rqDoorbell: number;
  readonly #rq: number;
  #sent = 0;
  #received = 0;
  #completed = 0;

  constructor(driver: Driver, options: EndpointOptions = {}, size = 0x1_0000) {
    const { host } = driver;
    this.driver = driver;
    this.size = size;
    this.depth = options.depth ?? 16;
    this.entry = options.entry ?? 64;
    this.qkey = options.qkey ?? 0x1234;
    this.pd = driver.do('ALLOC_PD').pd;
    this.uar = driver.do('ALLOC_UAR').uar;
    this.cq = driver.createCq(this.uar, 64, options);
    this.#rq = host.allocate(16 * this.depth);
    const qp = driver.do('CREATE_QP', {
      pd: this.pd,
      uar: this.uar,
      qp_type: options.type ?? 2,
      send_cq_idx: this.cq.index,
      recv_cq_idx: this.cq.index,
      sq_depth: this.depth,
      sq_ring_size: this.depth * this.entry,
      rq_depth: this.depth,
      rq_ring_size: 16 * this.depth,
      rq_base_addr: this.#rq,
      unsolicited_write_recv: options.unsolicited ? 1 : 0,
    });
    this.qp = qp.qp_num;
    this.#llq = qp.llq_descriptors_offset;
    this.#sqDoorbell = qp.sq_db_offset;
    this.#rqDoorbell = qp.rq_db_offset;
    this.modify(1, { mask_qkey: 1, qkey: this.qkey });
    const last = options.state ?? 3;
    if (last >= 2) this.modify(2);
    if (last >= 3) this.modify(3);
    if (options.rnrRetry !== undefined) {
      driver.do('MODIFY_QP', { qp_handle: this.qp, mask_rnr_retry: 1, rnr_retry: options.rnrRetry });
    }
    this.buffer = host.allocate(size);
    this.keys = driver.register(this.pd, this.buffer, size);
  }

  modify(state: number, more: RequestOf<'MODIFY_QP'> = {}): void {
    this.driver.do('MODIFY_QP', { qp_handle: this.qp, mask_qp_state: 1, qp_state: state, ...more });
  }

  get bytes(): Uint8Array {
    return this.driver.host.view(this.buffer, this.size);
  }

  handle(address: Uint8Array): number {
    return this.driver.do('CREATE_AH', { pd: this.pd }, (payload) => payload.set(address)).ah;
  }

  /** Posts a receive of one or more buffers. */
  receive(id: number, buffers: readonly { at: number; length: number; lkey?: number }[]): void {
    buffers.forEach((b, i) => {
      const at = this.#rq + (this.#received % this.depth) * 16;
      rxDescriptor.encode(this.driver.host.view(at, 16), {
        address: b.at,
        req_id: id,
        length: b.length,
        lkey: b.lkey ?? this.keys.lkey,
        first: i === 0 ? 1 : 0,
        last: i === buffers.length - 1 ? 1 : 0,
      });
      this.#received = (this.#received + 1) & 0xffff;
    });
    this.driver.doorbell(this.#rqDoorbell, this.#received);
  }

  /** Posts a work request. @param fill its data, behind the meta descriptor */
  post(meta: Partial<ReturnType<typeof txMeta.decode>>, fill: (wqe: Uint8Array) => void = () => {}): void {
    const wqe = new Uint8Array(this.entry);
    txMeta.encode(wqe, { meta_desc: 1, first: 1, last: 1, comp_req: 1, qkey: this.qkey, ...meta });
    fill(wqe);
    this.postRaw(wqe);
  }

  postRaw(wqe: Uint8Array): void {
    const bar2 = (this.driver.nic.bars[1] as Driver['nic']['bars'][0]).region;
    bar2.write(this.#llq + (this.#sent % this.depth) * this.entry, wqe);
    this.#sent = (this.#sent + 1) & 0xffff;
    this.ring(this.#sent);
  }

  ring(counter: number): void {
    this.driver.doorbell(this.#sqDoorbell, counter);
  }

  ringReceive(counter: number): void {
    this.driver.doorbell(this.#rqDoorbell, counter);
  }

  /** Sends from the own buffer. */
  send(
    id: number,
    ah: number,
    to: Process,
    buffers: readonly { at: number; length: number; lkey?: number }[],
    imm?: number,
  ) {
    this.post(
      {
        req_id: id,
        op_type: 0,
        ah,
        dest_qp_num: to.qp,
        qkey: to.qkey,
        length: buffers.length,
        ...(imm === undefined ? {} : { has_imm: 1, immediate_data: imm }),
      },
      (wqe) => {
        buffers.forEach((b, i) => {
          txBuffer.encode(wqe, { length: b.length, lkey: b.lkey ?? this.keys.lkey, address: b.at }, 32 + 16 * i);
        });
      },
    );
  }

  /** Reads or writes memory of `to`. */
  rdma(
    op: 'read' | 'write',
    id: number,
    ah: number,
    to: Process,
    local: { at: number; length: number; lkey?: number },
    remote: { at: number; rkey?: number },
    imm?: number,
  ): void {
    this.post(
      {
        req_id: id,
        op_type: op === 'read' ? 1 : 2,
        ah,
        dest_qp_num: to.qp,
        qkey: to.qkey,
        length: 1,
        ...(imm === undefined ? {} : { has_imm: 1, immediate_data: imm }),
      },
      (wqe) => {
        remoteMemory.encode(wqe, { length: local.length, rkey: remote.rkey ?? to.keys.rkey, address: remote.at }, 32);
        txBuffer.encode(wqe, { length: local.length, lkey: local.lkey ?? this.keys.lkey, address: local.at }, 48);
      },
    );
  }

  /** The next completion; undefined where there is none. */
  poll() {
    const { ring, depth, entrySize } = this.cq;
    const entry = new Uint8Array(32);
    entry.set(this.driver.host.view(ring + (this.#completed % depth) * entrySize, entrySize));
    const values = completion.decode(entry);
    if (values.phase !== 1 - (Math.floor(this.#completed / depth) & 1)) return undefined;
    this.#completed++;
    return { ...values, source: entry.slice(16) };
  }

  pollAll() {
    const all: NonNullable<ReturnType<Process['poll']>>[] = [];
    for (let c = this.poll(); c; c = this.poll()) all.push(c);
    return all;
  }

  destroy(): void {
    this.driver.do('DESTROY_QP', { qp_handle: this.qp });
    this.driver.do('DESTROY_CQ', { cq_idx: this.cq.index });
    this.driver.do('DEREG_MR', { l_key: this.keys.lkey });
    this.driver.do('DEALLOC_UAR', { uar: this.uar });
  }
}

export interface CqOptions {
  readonly eqn?: number;
  readonly sourceAddress?: boolean;
}
