/**
 * The firmware of the device CPU: boot ROM, preboot, boot loader, Linux with CPU-CP. One process that reads from top to
 * bottom as the boot does; the driver's messages and interrupts arrive as mail.
 *
 * Two generations: `static`, which is told in one register that an image lies at a fixed place, and has no features; and
 * `comms`, which says in a descriptor where the image goes (comms.ts) and has those of FEATURES.
 */

import { crc32 } from 'node:zlib';
import { addressMap } from '../../specs/gaudi/address-map.ts';
import {
  BOOT_ERR0,
  BOOT_FIT_SRAM_OFFSET,
  BOOT_STATUS,
  COMMS_DESC,
  COMMS_MSG,
  COMMS_RAM,
  CPU_DYN_REGS,
  CPU_MSG,
  DEV_STS0,
  KMD_MSG,
  LINUX_HBM_OFFSET,
  QUEUE_INIT,
  RESET_CAUSES,
  VERSION_MAX_LEN,
} from '../../specs/gaudi/boot.ts';
import { PACKET, RC } from '../../specs/gaudi/cpucp.ts';
import { type EventRow, events, HOST_SPI } from '../../specs/gaudi/events.ts';
import type { cpuIf } from '../../specs/gaudi/registers/cpu-if.ts';
import type { psocGlobalConf } from '../../specs/gaudi/registers/psoc-global-conf.ts';
import type { Clock } from '../sim/clock.ts';
import { type ErrorLog, ModelError } from '../sim/errors.ts';
import type { Memory } from '../sim/memory.ts';
import { Condition, Process, type Steps } from '../sim/process.ts';
import type { RegisterBlock } from '../sim/registers.ts';
import { BusError } from './bus.ts';
import { putString, versions } from './card.ts';
import { Comms, type CommsAction } from './comms.ts';
import { type CpuCp, type CpuCpReply, type CpuCpRequest, packetName } from './cpucp.ts';
import { CpuAddressError, type DeviceCpu } from './device-cpu.ts';
import { type EventQueue, eventNamed } from './event-queue.ts';
import type { BootStage, FaultPoints } from './faults/points.ts';

export type Protocol = 'static' | 'comms';

export interface FirmwareOptions {
  readonly protocol: Protocol;
  /** The firmware resets the chip itself when the driver asks it to halt (DEV_STS0.FW_HARD_RST_EN). Default false. */
  readonly resetsChip?: boolean;
}

export interface FirmwarePorts {
  readonly clock: Clock;
  readonly errors: ErrorLog;
  readonly psoc: RegisterBlock<typeof psocGlobalConf.rows>;
  readonly cpuIf: RegisterBlock<typeof cpuIf.rows>;
  readonly sram: Memory;
  readonly hbm: Memory;
  readonly cpu: DeviceCpu;
  readonly events: EventQueue;
  readonly cpucp: CpuCp;
  /** Sets the clocks of the chip. */
  programClocks(): void;
  /** Linux has been started. */
  linuxStarted(): void;
  /** What goes wrong. */
  readonly faults?: FaultPoints;
  resetChip(): void;
  resetEngines(): void;
  /** Instances of a shared error line that have something to report. */
  reporting(candidates: readonly EventRow[]): readonly EventRow[];
}

/** What Linux of the newer generation offers (hl_boot_if.h). */
export const FEATURES =
  DEV_STS0.PLL_INFO_EN |
  DEV_STS0.HBM_ECC_EN |
  DEV_STS0.PKT_PI_ACK_EN |
  DEV_STS0.DYN_PLL_EN |
  DEV_STS0.EQ_INDEX_EN |
  DEV_STS0.MAP_HWMON_EN;

/** How long each step takes, ns: short, so that a probe does not wait long; a card takes seconds. */
const TIMING = {
  bootRom: 500_000,
  preboot: 2_000_000,
  verify: 1_000_000,
  bootLoader: 5_000_000,
  linux: 20_000_000,
  /** From a message or an interrupt to its handling. */
  poll: 5_000,
  packet: 3_000,
} as const;

/** Where in SRAM the firmware keeps versions and the COMMS descriptor while it boots. */
const SRAM_LAYOUT = { preboot: 0x1000, bootFit: 0x1080, fuse: 0x1100, descriptor: 0x1800 } as const;
/** Largest image that the driver loads (common/firmware_if.c, FW_FILE_MAX_SIZE). */
const MAX_IMAGE = 0x140_0000;
/** Entry of the packet queue, struct hl_bd: pointer, length, control. */
const ENTRY = { SIZE: 16, ptr: 0, len: 8 } as const;
/** Messages that wait to be seen; further ones are lost, as those written over are in a register. */
const MAX_MESSAGES = 16;
/** Longest packet, bytes: its length is 16 bits (hl_fw_send_cpu_message). */
const MAX_PACKET = 0xffff;

type Stage = 'off' | 'preboot' | 'boot-loader' | 'linux' | 'halted';

/** Ends the boot: the CPU sleeps until it is reset. */
class Halt extends Error {}

export class Firmware {
  readonly #options: FirmwareOptions;
  readonly #ports: FirmwarePorts;
  readonly #comms: Comms;
  readonly #mail = new Condition();
  /** What a processor that hangs waits for. */
  readonly #never = new Condition();
  readonly #messages: number[] = [];
  readonly #interrupts: number[] = [];
  #processes: Process[] = [];
  #stage: Stage = 'off';
  #hostAccess = true;
  /** Device address and entries of the packet queue; entries consumed, modulo twice as many. */
  #queue: { base: number; entries: number; consumed: number } | undefined;
  /** Where COMMS has told the driver to put what comes next. */
  #load: { memory: Memory; offset: number; size: number } | undefined;
  /** Why the driver reset the chip, as it says itself. */
  resetCause: string = RESET_CAUSES[0];

  constructor(options: FirmwareOptions, ports: FirmwarePorts) {
    this.#options = options;
    this.#ports = ports;
    this.#comms = new Comms({
      status: (word) => ports.psoc.set('CPU_CMD_STATUS_TO_HOST', word),
      prepare: (size) => this.#prepare(size),
      validate: () => this.#validate(),
      execute: () => this.#execute(),
      skipBmc: () => this.#stage === 'boot-loader',
    });
  }

  get stage(): Stage {
    return this.#stage;
  }

  /** Whether it may access the host (CPU-CP packets DISABLE_ and ENABLE_PCI_ACCESS). */
  get hostAccess(): boolean {
    return this.#hostAccess;
  }

  setHostAccess(allowed: boolean): void {
    this.#hostAccess = allowed;
    this.#ports.events.changed.notify();
  }

  /** Whether packets are acknowledged by the producer index, and attributes and PLLs have the firmware's numbers. */
  get modern(): boolean {
    return this.#options.protocol === 'comms';
  }

  /** The CPU comes out of reset. */
  start(): void {
    this.stop();
    this.#spawn('boot', this.#boot());
  }

  /** The CPU is held in reset. */
  stop(): void {
    for (const process of this.#processes) process.kill();
    this.#processes = [];
    this.#stage = 'off';
    this.#messages.length = 0;
    this.#interrupts.length = 0;
    this.#queue = undefined;
    this.#load = undefined;
    this.#hostAccess = true;
    this.#comms.reset();
    this.#ports.events.reset();
  }

  /** The driver has written KMD_MSG_TO_CPU. Linux does not look at it, and a driver sends no more than it can wait for. */
  message(word: number): void {
    if (this.#stage === 'linux' || this.#stage === 'halted' || this.#messages.length >= MAX_MESSAGES) return;
    this.#messages.push(word);
    this.#mail.notify();
  }

  /** A shared peripheral interrupt has become pending. It stays so until Linux takes it. */
  interrupt(spi: number): void {
    if (!this.#interrupts.includes(spi)) this.#interrupts.push(spi);
    this.#mail.notify();
  }

  #spawn(name: string, steps: Steps): void {
    this.#processes.push(
      new Process(this.#ports.clock, `firmware ${name}`, steps, (error) => {
        if (error instanceof Halt) return;
        if (!(error instanceof ModelError)) throw error;
        this.#ports.errors.report(error);
      }),
    );
  }

  // Boot

  *#boot(): Steps {
    const { psoc } = this.#ports;
    this.#status(BOOT_STATUS.IN_BTL);
    yield TIMING.bootRom;
    yield* this.#begin('rom');
    this.#status(BOOT_STATUS.IN_PREBOOT);
    yield* this.#begin('preboot');
    yield TIMING.preboot;
    this.#ports.programClocks();
    this.#version('PREBOOT_VER_OFFSET', SRAM_LAYOUT.preboot, versions.preboot);
    this.#version('FUSE_VER_OFFSET', SRAM_LAYOUT.fuse, versions.fuse);
    psoc.set('CPU_BOOT_ERR0', BOOT_ERR0.ENABLED);
    psoc.set('CPU_BOOT_ERR1', BOOT_ERR0.ENABLED);
    this.#features(this.modern ? DEV_STS0.FW_LD_COM_EN | DEV_STS0.SP_SRAM_EN : 0);
    this.#stage = 'preboot';
    this.#status(BOOT_STATUS.WAITING_FOR_BOOT_FIT);
    yield* this.#image();

    this.#status(BOOT_STATUS.IN_UBOOT);
    yield TIMING.bootLoader;
    yield* this.#begin('boot-loader');
    this.#version('UBOOT_VER_OFFSET', SRAM_LAYOUT.bootFit, versions.bootFit);
    this.#features(this.modern ? DEV_STS0.DRAM_INIT_EN : 0);
    this.#stage = 'boot-loader';
    this.#status(BOOT_STATUS.READY_TO_BOOT);
    yield* this.#image();

    yield TIMING.linux;
    yield* this.#begin('linux');
    this.#features(this.modern ? FEATURES : 0);
    this.#stage = 'linux';
    this.#messages.length = 0;
    this.#ports.linuxStarted();
    this.#status(BOOT_STATUS.SRAM_AVAIL);
    this.#spawn('events', this.#ports.events.send());
    yield* this.#linux();
  }

  /** Where a stage of the boot may go wrong. */
  *#begin(stage: BootStage): Steps {
    const fault = this.#ports.faults?.boot.ask({ stage });
    if (fault === 'stuck') for (;;) yield this.#never;
    if (fault === undefined) return;
    const { psoc } = this.#ports;
    psoc.set('CPU_BOOT_ERR0', (psoc.get('CPU_BOOT_ERR0') | fault) >>> 0);
  }

  /** Until the driver has loaded the next image and let it start. */
  *#image(): Steps {
    for (;;) {
      while (this.#messages.length === 0) yield this.#mail;
      yield TIMING.poll;
      const word = this.#messages.shift() as number;
      const action = this.modern ? this.#comms.command(word) : yield* this.#staticMessage(word);
      if (action === 'start-image') return;
      if (action === 'reset') this.#ports.resetChip();
      if (action === 'halt') this.#halt();
    }
  }

  *#staticMessage(word: number): Steps<CommsAction> {
    const { psoc, sram, hbm } = this.#ports;
    switch (word) {
      case KMD_MSG.NA:
        return 'none';
      case KMD_MSG.GOTO_WFE:
        return 'halt';
      case KMD_MSG.RST_DEV:
        return 'reset';
      case KMD_MSG.SKIP_BMC:
        if (this.#stage === 'boot-loader') this.#status(BOOT_STATUS.BMC_WAITING_SKIPPED);
        return 'none';
      case KMD_MSG.FIT_RDY: {
        yield TIMING.verify;
        const [memory, offset] =
          this.#stage === 'preboot' ? [sram, BOOT_FIT_SRAM_OFFSET] : ([hbm, LINUX_HBM_OFFSET] as const);
        if (this.#blank(memory, offset, COMMS_DESC.HEADER_SIZE)) {
          psoc.set('CPU_BOOT_ERR0', (BOOT_ERR0.ENABLED | BOOT_ERR0.FIT_CORRUPTED) >>> 0);
          psoc.set('CPU_CMD_STATUS_TO_HOST', CPU_MSG.ERR);
          return 'none';
        }
        psoc.set('CPU_CMD_STATUS_TO_HOST', CPU_MSG.OK);
        return 'start-image';
      }
      default:
        this.#ports.errors.report(
          new ModelError('guest', 'PSOC_GLOBAL_CONF.KMD_MSG_TO_CPU', `0x${word.toString(16)} is no message`),
        );
        return 'none';
    }
  }

  #halt(): never {
    this.#stage = 'halted';
    this.#status(BOOT_STATUS.IN_WFE);
    throw new Halt();
  }

  #status(status: number): void {
    this.#ports.psoc.set('CPU_BOOT_STATUS', status);
  }

  /** Sets DEV_STS0 to what this stage and the ones before it offer. */
  #features(more: number): void {
    const own = this.#options.resetsChip ? DEV_STS0.FW_HARD_RST_EN : 0;
    const known = this.#ports.psoc.get('CPU_BOOT_DEV_STS0');
    this.#ports.psoc.set('CPU_BOOT_DEV_STS0', (known | more | own | DEV_STS0.ENABLED) >>> 0);
    this.#ports.psoc.set('CPU_BOOT_DEV_STS1', DEV_STS0.ENABLED);
  }

  #version(register: 'PREBOOT_VER_OFFSET' | 'UBOOT_VER_OFFSET' | 'FUSE_VER_OFFSET', offset: number, text: string) {
    putString(this.#ports.sram.bytes, offset, VERSION_MAX_LEN, text);
    // The offset comes with the low half of SRAM's address, which the driver masks off (sram_offset_mask).
    this.#ports.psoc.set(register, ((addressMap.SRAM_BASE % 2 ** 32) + offset) >>> 0);
  }

  #blank(memory: Memory, offset: number, length: number): boolean {
    return memory.bytes.subarray(offset, offset + length).every((byte) => byte === 0);
  }

  // COMMS

  #prepare(size: number): { ram: number; offset: number } | undefined {
    const { sram, hbm } = this.#ports;
    const next =
      this.#stage === 'preboot'
        ? { memory: sram, offset: BOOT_FIT_SRAM_OFFSET }
        : { memory: hbm, offset: LINUX_HBM_OFFSET };
    const room = Math.min(MAX_IMAGE, next.memory.size - next.offset - 1);
    if (size === 0 || size > room) return undefined;
    this.#load = { ...next, size };
    const base = next.memory === sram ? addressMap.SRAM_BASE : addressMap.HBM_BASE;
    sram.bytes.set(this.#descriptor(base + next.offset), SRAM_LAYOUT.descriptor);
    return { ram: COMMS_RAM.SRAM, offset: SRAM_LAYOUT.descriptor };
  }

  /** struct lkd_fw_comms_desc. */
  #descriptor(imageAddress: number): Uint8Array {
    const bytes = new Uint8Array(COMMS_DESC.SIZE);
    const view = new DataView(bytes.buffer);
    CPU_DYN_REGS.forEach(([, offset], i) => {
      view.setUint32(COMMS_DESC.cpu_dyn_regs + 4 * i, offset, true);
    });
    putString(bytes, COMMS_DESC.fuse_ver, VERSION_MAX_LEN, versions.fuse);
    const version = this.#stage === 'preboot' ? versions.preboot : versions.bootFit;
    putString(bytes, COMMS_DESC.cur_fw_ver, VERSION_MAX_LEN, version);
    view.setBigUint64(COMMS_DESC.img_addr, BigInt(imageAddress), true);
    const body = bytes.subarray(COMMS_DESC.HEADER_SIZE);
    view.setUint32(COMMS_DESC.header.magic, COMMS_DESC.MAGIC, true);
    view.setUint32(COMMS_DESC.header.crc32, crc32(body), true);
    view.setUint16(COMMS_DESC.header.size, body.length, true);
    bytes[COMMS_DESC.header.version] = COMMS_DESC.VERSION;
    return bytes;
  }

  #validate(): boolean {
    const load = this.#load;
    return load !== undefined && !this.#blank(load.memory, load.offset, load.size);
  }

  #execute(): 'image' | 'message' {
    const { memory, offset } = this.#load as { memory: Memory; offset: number };
    const view = new DataView(memory.bytes.buffer, memory.bytes.byteOffset + offset, COMMS_DESC.SIZE);
    this.#load = undefined;
    const magic = view.getUint32(COMMS_MSG.header.magic, true);
    if ((magic & COMMS_MSG.MAGIC_MASK) >>> 0 !== COMMS_MSG.MAGIC) return 'image';
    const type = view.getUint8(COMMS_MSG.header.type);
    if (type === COMMS_MSG.type.RESET_CAUSE) {
      this.resetCause = RESET_CAUSES[view.getUint8(COMMS_MSG.reset_cause)] ?? RESET_CAUSES[0];
    } else {
      this.#ports.errors.report(new ModelError('unimplemented', 'COMMS', `message of type ${type}`));
    }
    return 'message';
  }

  // Linux

  *#linux(): Steps {
    for (;;) {
      while (this.#interrupts.length === 0) yield this.#mail;
      yield TIMING.poll;
      const spi = this.#interrupts.shift() as number;
      switch (spi) {
        case HOST_SPI.PI_UPDATE:
          if (this.#queueRequested()) this.#initialiseQueue();
          else yield* this.#serveQueue();
          break;
        case HOST_SPI.HALT_MACHINE:
          if (!this.#options.resetsChip) this.#halt();
          this.#ports.resetChip();
          return;
        case HOST_SPI.INTS_REGISTER:
          this.#ports.events.open();
          break;
        case HOST_SPI.SOFT_RESET:
          this.#ports.resetEngines();
          break;
        default:
          this.#report(spi);
      }
    }
  }

  /** An interrupt line of a block becomes an event; of a shared line, that of the block that has something to report. */
  #report(spi: number): void {
    const candidates = events.filter((event) => event.spi === spi);
    if (candidates.length === 0) {
      this.#ports.errors.report(
        new ModelError('guest', 'GIC.SETSPI_NSR', `interrupt ${spi} belongs to no event of the chip`),
      );
      return;
    }
    const sources = candidates.length === 1 ? candidates : this.#ports.reporting(candidates);
    for (const event of sources) this.#ports.events.raise(event);
  }

  #queueRequested(): boolean {
    const request = this.#ports.cpuIf.get('QUEUE_INIT');
    return request === QUEUE_INIT.READY_FOR_CP || request === QUEUE_INIT.READY_FOR_CP_SINGLE_MSI;
  }

  #initialiseQueue(): void {
    const { cpuIf: regs, cpu, events: queue } = this.#ports;
    const pqLength = regs.get('PQ_LENGTH');
    const eqLength = regs.get('EQ_LENGTH');
    if (!powerOfTwo(pqLength, ENTRY.SIZE) || !powerOfTwo(eqLength, 2 * 64)) {
      regs.set('QUEUE_INIT', QUEUE_INIT.LEN_NOT_POWER_OF_TWO_ERR);
      return;
    }
    try {
      const pq = cpu.hostAddress(join(regs.get('PQ_BASE_ADDR_HIGH'), regs.get('PQ_BASE_ADDR_LOW')));
      const eq = cpu.hostAddress(join(regs.get('EQ_BASE_ADDR_HIGH'), regs.get('EQ_BASE_ADDR_LOW')));
      this.#queue = { base: pq, entries: pqLength / ENTRY.SIZE, consumed: 0 };
      queue.configure(eq, eqLength, this.modern);
    } catch (error) {
      if (!(error instanceof CpuAddressError)) throw error;
      regs.set('QUEUE_INIT', QUEUE_INIT.ILLEGAL_Q_ADDR_ERR);
      return;
    }
    regs.set('QUEUE_INIT', QUEUE_INIT.READY_FOR_HOST);
  }

  /** All packets up to the doorbell. */
  *#serveQueue(): Steps {
    const queue = this.#queue;
    if (!queue) return;
    const wrap = 2 * queue.entries;
    for (;;) {
      const waiting = (this.#ports.cpuIf.get('PF_PQ_PI') + wrap - queue.consumed) % wrap;
      if (waiting === 0) return;
      if (waiting > queue.entries) {
        this.#outOfSync(queue.consumed);
        return;
      }
      const at = queue.consumed % queue.entries;
      queue.consumed = (queue.consumed + 1) % wrap;
      try {
        yield* this.#packet(queue.base + at * ENTRY.SIZE, queue.consumed);
      } catch (error) {
        if (!(error instanceof BusError || error instanceof CpuAddressError)) throw error;
        this.#ports.errors.report(new ModelError('guest', 'CPU_IF.PQ', `packet is lost: ${error.message}`));
      }
    }
  }

  /** The doorbell is not one that the driver can have rung: struct cpucp_pkt_sync_err. */
  #outOfSync(consumed: number): void {
    const payload = new Uint8Array(8);
    const view = new DataView(payload.buffer);
    view.setUint32(0, this.#ports.cpuIf.get('PF_PQ_PI'), true);
    view.setUint32(4, consumed, true);
    this.#ports.events.raise(eventNamed('PKT_QUEUE_OUT_SYNC'), payload);
  }

  /** @param entry device address of the queue's entry @param producer what acknowledges it */
  *#packet(entry: number, producer: number): Steps {
    const { cpu } = this.#ports;
    const descriptor = new Uint8Array(ENTRY.SIZE);
    yield* cpu.read(entry, descriptor);
    const bd = new DataView(descriptor.buffer);
    const address = cpu.hostAddress(Number(bd.getBigUint64(ENTRY.ptr, true)));
    const length = bd.getUint32(ENTRY.len, true);
    if (length < PACKET.SIZE || length > MAX_PACKET || address % 4 !== 0) {
      throw new CpuAddressError(`${length} bytes at 0x${address.toString(16)} cannot be a packet`);
    }
    const packet = new Uint8Array(length);
    yield* cpu.read(address, packet);
    yield TIMING.packet;
    const view = new DataView(packet.buffer);
    const ctl = view.getUint32(PACKET.ctl, true);
    const value = view.getBigUint64(PACKET.value, true);
    const index = view.getUint32(PACKET.index, true);
    const opcode = (ctl >>> PACKET.OPCODE_SHIFT) & PACKET.OPCODE_MASK;
    const port = view.getUint32(PACKET.port_index, true);
    const reply = yield* this.#answer(opcode, { value, index, port, array: arrayOf(view) });
    if (!reply) return;
    let rc = reply.rc;
    let answer = reply.value ?? value;
    if (reply.data) {
      const data = reply.data.subarray(0, index);
      try {
        yield* cpu.write(cpu.hostAddress(Number(value)), data);
        answer = BigInt(data.length);
      } catch (error) {
        if (!(error instanceof BusError || error instanceof CpuAddressError)) throw error;
        rc = RC.INVALID_PARAMS;
      }
    }
    view.setBigUint64(PACKET.value, answer, true);
    view.setUint32(PACKET.ctl, ((ctl & ~PACKET.RC_MASK) | (rc << PACKET.RC_SHIFT)) >>> 0, true);
    yield* cpu.write(address, packet.subarray(0, PACKET.fence));
    yield* cpu.write32(address + PACKET.fence, this.modern ? producer : PACKET.FENCE_VALUE);
  }

  /** @returns undefined where the driver gets no answer */
  *#answer(opcode: number, request: CpuCpRequest): Steps<CpuCpReply | undefined> {
    const { cpucp, faults } = this.#ports;
    const fault = faults?.request.ask({ packet: packetName(opcode) });
    if (fault === 'silent') return undefined;
    if (typeof fault === 'object') return fault;
    if (typeof fault === 'number') yield fault;
    const reply = yield* cpucp.execute(opcode, request);
    return fault === 'wrong' ? { ...reply, value: BigInt.asUintN(64, ~(reply.value ?? request.value)) } : reply;
  }
}

/** The array after a packet: as long as it says, and as the packet has room for. */
function arrayOf(view: DataView): Uint32Array {
  if (view.byteLength < PACKET.array) return new Uint32Array(0);
  const room = Math.floor((view.byteLength - PACKET.array) / 4);
  const count = Math.min(view.getUint32(PACKET.array_length, true), room);
  return Uint32Array.from({ length: count }, (_, i) => view.getUint32(PACKET.array + 4 * i, true));
}

function powerOfTwo(value: number, least: number): boolean {
  return value >= least && (value & (value - 1)) === 0;
}

function join(high: number, low: number): number {
  return high * 2 ** 32 + low;
}
