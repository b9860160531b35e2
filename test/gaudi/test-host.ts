/**
 * A host for one Gaudi: memory that the chip reaches as bus master, and the steps by which the driver talks to it
 * (ELBI, BARs, loading firmware, the device CPU queue), written from the driver's side.
 */

import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { type Gaudi, type GaudiOptions, gaudi } from '../../src/gaudi/device.ts';
import type { DmaPort, Done } from '../../src/pci/ports.ts';
import { VirtualClock } from '../../src/sim/clock.ts';
import type { ModelError } from '../../src/sim/errors.ts';
import { ArrayMemory } from '../../src/sim/memory.ts';

/** Offsets in configuration space (gaudi_regs.h and what it includes). */
export const REG = {
  CPU_MSB_ADDR: 0x44_212c,
  PF_PQ_PI: 0x44_2200,
  PQ_BASE_LOW: 0x44_2204,
  PQ_BASE_HIGH: 0x44_2208,
  PQ_LENGTH: 0x44_220c,
  EQ_BASE_LOW: 0x44_2220,
  EQ_BASE_HIGH: 0x44_2224,
  EQ_LENGTH: 0x44_2228,
  EQ_RD_OFFS: 0x44_222c,
  QUEUE_INIT: 0x44_2230,
  GIC_SETSPI: 0x80_0040,
  MSI_REQ: 0xc0_4100,
  AUX_DBI: 0xc0_7490,
  BTM_FSM: 0xc4_b028,
  BOOT_SEQ_RE_START: 0xc4_b024,
  PREBOOT_PCIE_EN: 0xc4_b074,
  HW_STATE: 0xc4_b100,
  DEV_STS0: 0xc4_b150,
  CMD_STATUS: 0xc4_b15c,
  BOOT_ERR0: 0xc4_b160,
  PREBOOT_VER: 0xc4_b170,
  UBOOT_VER: 0xc4_b174,
  BOOT_STATUS: 0xc4_b300,
  KMD_MSG: 0xc4_b304,
  SW_ALL_RST_CFG_L: 0xc4_b490,
  SW_ALL_RST_CFG_H: 0xc4_b494,
  SW_ALL_RST: 0xc4_b498,
} as const;

/** Where the BARs begin in the chip's configuration window: BAR2 shows it in its second half. */
const CFG_IN_BAR2 = 0x400_0000;
export const MS = 1_000_000;
const BIT_39 = 2 ** 39;

/** Layout of the host's memory in these tests. */
export const HOST = {
  PQ: 0x1_0000,
  PQ_ENTRIES: 16,
  EQ: 0x2_0000,
  EQ_ENTRIES: 8,
  PACKET: 0x3_0000,
  DATA: 0x4_0000,
} as const;

/** A 40-bit address of the device CPU for a bus address. */
export function cpuAddress(bus: number): number {
  return bus + BIT_39;
}

export interface HostAccess {
  readonly kind: 'write' | 'store32';
  readonly address: number;
  readonly bytes: Uint8Array;
}

class MemoryPort implements DmaPort {
  readonly #memory: ArrayMemory;
  readonly #log: HostAccess[];

  constructor(memory: ArrayMemory, log: HostAccess[]) {
    this.#memory = memory;
    this.#log = log;
  }

  /** By messages only, so that every write is seen. */
  view(): undefined {
    return undefined;
  }

  read(address: number, target: Uint8Array, done: Done): void {
    if (address + target.length > this.#memory.size) {
      done(new Error('nothing there'));
      return;
    }
    target.set(this.#memory.bytes.subarray(address, address + target.length));
    done();
  }

  write(address: number, source: Uint8Array, done: Done): void {
    if (address + source.length > this.#memory.size) {
      done(new Error('nothing there'));
      return;
    }
    this.#memory.bytes.set(source, address);
    this.#log.push({ kind: 'write', address, bytes: source.slice() });
    done();
  }

  store32(address: number, value: number, done: Done): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    if (address + 4 > this.#memory.size) {
      done(new Error('nothing there'));
      return;
    }
    this.#memory.words[address / 4] = value;
    this.#log.push({ kind: 'store32', address, bytes });
    done();
  }
}

export class TestHost {
  readonly clock = new VirtualClock();
  readonly memory = new ArrayMemory(0x10_0000);
  readonly view = new DataView(this.memory.bytes.buffer);
  readonly gaudi: Gaudi;
  /** Errors of the model, as they came. */
  readonly errors: ModelError[] = [];
  /** What the chip wrote, as it came. */
  readonly writes: HostAccess[] = [];
  /** Vectors raised, as they came. */
  readonly interrupts: number[] = [];
  #producer = 0;

  constructor(options: Partial<GaudiOptions> = {}) {
    this.gaudi = gaudi({ name: 'test', ...options, onError: (error) => this.errors.push(error) });
    this.gaudi.connect({
      clock: this.clock,
      dma: new MemoryPort(this.memory, this.writes),
      interrupt: (kind, vector) => {
        assert.equal(kind, 'msi');
        this.interrupts.push(vector);
      },
    });
  }

  close(): void {
    this.gaudi.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  run(ns: number): void {
    this.clock.runUntil(this.clock.now() + ns);
  }

  /** Runs until `done` says so. @throws when it has not after `ms` of simulated time */
  until(what: string, done: () => boolean, ms = 1000): void {
    const end = this.clock.now() + ms * MS;
    while (!done()) {
      if (!this.clock.step(end)) assert.fail(`${what}: not within ${ms} ms`);
    }
  }

  configRead(offset: number): number {
    const bytes = new Uint8Array(4);
    this.gaudi.config.read(offset, bytes);
    return new DataView(bytes.buffer).getUint32(0, true);
  }

  configWrite(offset: number, value: number): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value >>> 0, true);
    this.gaudi.config.write(offset, bytes);
  }

  /** A register access by ELBI (common/pci/pci.c). @returns data, or undefined for an error */
  elbi(address: number, data?: number): number | undefined {
    this.configWrite(0xffc, 0);
    this.configWrite(0xff0, address);
    if (data !== undefined) this.configWrite(0xff4, data);
    this.configWrite(0xff8, data === undefined ? 0 : 0x8000_0000);
    const status = this.configRead(0xffc);
    if (status === 0x4000_0000) return undefined;
    assert.equal(status, 0x8000_0000);
    return this.configRead(0xff4);
  }

  /** A register of the address translation (hl_pci_iatu_write). */
  iatu(offset: number, value: number): void {
    this.elbi(0xfcc0_7490, 0x30_0000);
    this.elbi(0xfcc0_2000 + offset, value);
  }

  inbound(region: number, bar: number, address: number): void {
    const base = 0x200 * region + 0x100;
    this.iatu(base + 0x14, address % 2 ** 32);
    this.iatu(base + 0x18, Math.floor(address / 2 ** 32));
    this.iatu(base, 0);
    this.iatu(base + 4, 0xc008_0000 | (bar << 8));
    this.elbi(0xfcc0_7490, 0);
  }

  outbound(): void {
    for (const [offset, value] of [
      [0x8, 0],
      [0xc, 0x80],
      [0x10, 0xffff_ffff],
      [0x14, 0],
      [0x18, 0],
      [0x20, 0x1_007f],
      [0x0, 0x2000],
      [0x4, 0x8000_0000],
    ] as const) {
      this.iatu(offset, value);
    }
    this.elbi(0xfcc0_7490, 0);
  }

  /** Bus master, MSI and address translation, as hl_pci_init leaves them. */
  enable(): this {
    this.configWrite(0x04, 0x0000_0006);
    const msi = this.capability(0x05);
    this.configWrite(msi + 4, 0xfee0_0000);
    this.configWrite(msi, (this.configRead(msi) | 0x1_0000) >>> 0);
    this.inbound(0, 0, 0x7f_f000_0000);
    this.inbound(1, 2, 0x7f_f800_0000);
    this.inbound(2, 4, 0);
    this.outbound();
    return this;
  }

  capability(id: number): number {
    for (let at = this.configRead(0x34) & 0xff; at !== 0; at = (this.configRead(at) >>> 8) & 0xff) {
      if ((this.configRead(at) & 0xff) === id) return at;
    }
    return assert.fail(`no capability ${id}`);
  }

  bar(index: number): Gaudi['bars'][number]['region'] {
    return (this.gaudi.bars.find((bar) => bar.index === index) as Gaudi['bars'][number]).region;
  }

  /** RREG32. */
  read(offset: number): number {
    const bytes = new Uint8Array(4);
    this.bar(2).read(CFG_IN_BAR2 + offset, bytes);
    return new DataView(bytes.buffer).getUint32(0, true);
  }

  /** WREG32. */
  write(offset: number, value: number): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value >>> 0, true);
    this.bar(2).write(CFG_IN_BAR2 + offset, bytes);
  }

  // Firmware

  waitStatus(status: number, ms?: number): void {
    this.until(`boot status ${status}`, () => this.read(REG.BOOT_STATUS) === status, ms);
  }

  /** A command of COMMS with its handshake. @returns the whole status word, or undefined when no answer is due */
  comms(cmd: number, size = 0, answer = true): number | undefined {
    const send = (c: number, s = 0) => this.write(REG.KMD_MSG, ((c << 27) | s) >>> 0);
    const wait = (what: string, done: (status: number) => boolean) =>
      this.until(what, () => done(this.read(REG.CMD_STATUS) >>> 28));
    const clear = () => {
      send(1);
      wait('cleared', (status) => status === 0);
    };
    clear();
    send(cmd, size);
    wait(`command ${cmd} acknowledged`, (status) => status === 1);
    clear();
    send(0);
    if (!answer) return undefined;
    wait(`command ${cmd} answered`, (status) => status > 1);
    const word = this.read(REG.CMD_STATUS);
    clear();
    send(0);
    return word;
  }

  /** The descriptor that PREP_DESC left, checked as hl_fw_dynamic_validate_descriptor does. */
  descriptor(status: number): { version: string; imageAddress: number } {
    assert.equal(status >>> 28, 2, 'PREP_DESC is answered with OK');
    assert.equal((status >>> 26) & 3, 0, 'the descriptor is in SRAM');
    const offset = (status & 0x3ff_ffff) * 4;
    const header = new Uint8Array(16);
    this.bar(0).read(offset, header);
    const head = new DataView(header.buffer);
    assert.equal(head.getUint32(0, true), 0x4843_444d);
    const body = new Uint8Array(head.getUint16(8, true));
    this.bar(0).read(offset + 16, body);
    assert.equal(head.getUint32(4, true), crc32(body));
    const text = new TextDecoder().decode(body.subarray(360, 360 + 128));
    return {
      version: text.slice(0, text.indexOf('\0')),
      imageAddress: Number(new DataView(body.buffer).getBigUint64(616, true)),
    };
  }

  /** Writes an image where the chip wants it: SRAM by BAR0, HBM by BAR4. */
  load(address: number, image: Uint8Array): void {
    if (address >= 0x7f_f000_0000) this.bar(0).write(address - 0x7f_f000_0000, image);
    else this.bar(4).write(address, image);
  }

  commsLoad(image: Uint8Array): void {
    const { imageAddress } = this.descriptor(this.comms(3, image.length) as number);
    this.load(imageAddress, image);
    assert.equal((this.comms(4) as number) >>> 28, 2);
    this.comms(5, 0, false);
  }

  /** From reset to Linux, as the driver does it. */
  boot(protocol: 'static' | 'comms'): this {
    const image = new Uint8Array(64).fill(0x5a);
    this.waitStatus(16);
    if (protocol === 'comms') {
      assert.equal((this.comms(2) as number) >>> 28, 2);
      this.commsLoad(image);
      this.waitStatus(15);
      this.commsLoad(image);
    } else {
      this.load(0x7f_f020_0000, image);
      this.write(REG.CMD_STATUS, 0);
      this.write(REG.KMD_MSG, 2);
      this.until('boot fit accepted', () => this.read(REG.CMD_STATUS) === 1);
      this.write(REG.KMD_MSG, 0);
      this.waitStatus(15);
      this.load(0x80_0000, image);
      this.write(REG.KMD_MSG, 2);
    }
    this.waitStatus(3);
    this.write(REG.KMD_MSG, 0);
    return this;
  }

  // Device CPU queue

  /** gaudi_init_cpu_queues. @returns QUEUE_INIT afterwards */
  initQueues(options: { pq?: number; eq?: number; pqLength?: number; eqLength?: number; msb?: number } = {}): number {
    const pq = options.pq ?? cpuAddress(HOST.PQ);
    const eq = options.eq ?? cpuAddress(HOST.EQ);
    this.write(REG.CPU_MSB_ADDR, options.msb ?? 1);
    this.write(REG.PQ_BASE_LOW, pq % 2 ** 32);
    this.write(REG.PQ_BASE_HIGH, Math.floor(pq / 2 ** 32));
    this.write(REG.EQ_BASE_LOW, eq % 2 ** 32);
    this.write(REG.EQ_BASE_HIGH, Math.floor(eq / 2 ** 32));
    this.write(REG.PQ_LENGTH, options.pqLength ?? HOST.PQ_ENTRIES * 16);
    this.write(REG.EQ_LENGTH, options.eqLength ?? HOST.EQ_ENTRIES * 64);
    this.write(REG.EQ_RD_OFFS, 0);
    this.write(REG.PF_PQ_PI, 0);
    this.#producer = 0;
    this.write(REG.QUEUE_INIT, 3);
    this.write(REG.GIC_SETSPI, 484);
    this.run(1 * MS);
    return this.read(REG.QUEUE_INIT);
  }

  /** Booted, with queues, and ready for events. */
  ready(protocol: 'static' | 'comms' = 'comms'): this {
    this.enable().boot(protocol);
    assert.equal(this.initQueues(), 2);
    this.write(REG.GIC_SETSPI, 486);
    this.run(1 * MS);
    return this;
  }

  /** Puts an entry into the packet queue and rings the doorbell. */
  submit(packet: number, length: number): void {
    const entry = HOST.PQ + (this.#producer % HOST.PQ_ENTRIES) * 16;
    this.view.setBigUint64(entry, BigInt(packet), true);
    this.view.setUint32(entry + 8, length, true);
    this.view.setUint32(entry + 12, this.#producer, true);
    this.#producer = (this.#producer + 1) % (2 * HOST.PQ_ENTRIES);
    this.write(REG.PF_PQ_PI, this.#producer);
    this.write(REG.GIC_SETSPI, 484);
  }

  /** hl_fw_send_cpu_message. @returns return code, result, and what acknowledged it */
  send(
    opcode: number,
    fields: { value?: bigint; index?: number; port?: number; array?: readonly number[] } = {},
  ): { rc: number; result: bigint; fence: number; producer: number } {
    const { value = 0n, index = 0, port = 0, array } = fields;
    const at = HOST.PACKET;
    this.view.setBigUint64(at, value, true);
    this.view.setUint32(at + 8, opcode << 16, true);
    this.view.setUint32(at + 12, 0xffff_ffff, true);
    this.view.setUint32(at + 16, index, true);
    this.view.setUint32(at + 20, port, true);
    if (array) {
      this.view.setUint32(at + 24, array.length, true);
      array.forEach((word, i) => {
        this.view.setUint32(at + 28 + 4 * i, word, true);
      });
    }
    this.submit(cpuAddress(at), 24 + (array ? 4 + 4 * array.length : 0));
    this.until(`packet ${opcode}`, () => this.view.getUint32(at + 12, true) !== 0xffff_ffff);
    return {
      rc: (this.view.getUint32(at + 8, true) >>> 12) & 0xf,
      result: this.view.getBigUint64(at, true),
      fence: this.view.getUint32(at + 12, true),
      producer: this.#producer,
    };
  }

  /** Entry `n` of the event queue. */
  event(n: number): { ready: boolean; id: number; index: number; data: Uint8Array } {
    const at = HOST.EQ + n * 64;
    const ctl = this.view.getUint32(at + 4, true);
    return {
      ready: ctl >>> 31 === 1,
      id: (ctl >>> 16) & 0xfff,
      index: ctl & 0xffff,
      data: this.memory.bytes.slice(at + 8, at + 64),
    };
  }
}
