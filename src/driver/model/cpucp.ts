/**
 * Messages to the firmware through the queue of the card's processor, and its queue of events.
 * Source: common/firmware_if.c (hl_fw_send_cpu_message and its callers), gaudi.c (gaudi_init_cpu_queues), common/irq.c
 * (hl_irq_handler_eq).
 */

import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { DEV_STS0, QUEUE_INIT } from '../../../specs/gaudi/boot.ts';
import { EQ, INFO, PACKET, type PacketName, packets } from '../../../specs/gaudi/cpucp.ts';
import { HOST_SPI } from '../../../specs/gaudi/events.ts';
import { cpuIf } from '../../../specs/gaudi/registers/cpu-if.ts';
import { gic } from '../../../specs/gaudi/registers/platform.ts';
import type { Steps } from '../../sim/process.ts';
import { refuse } from './errno.ts';
import { BOOT_REGISTERS } from './firmware-load.ts';
import type { CoherentMemory } from './host-memory.ts';
import { type Kernel, Mutex, poll, SECOND } from './kernel.ts';
import type { PciDevice } from './pci.ts';
import { high, low, register } from './registers.ts';

const cpu = (row: keyof typeof cpuIf.rows) => register('CPU_IF', cpuIf.rows[row]);
export const SETSPI = register('GIC', gic.rows.DISTRIBUTOR_5_GICD_SETSPI_NSR);

/** habanalabs.h: HL_QUEUE_LENGTH, HL_EQ_LENGTH, HL_CPU_ACCESSIBLE_MEM_SIZE. */
const QUEUE_LENGTH = 4096;
const EVENTS = 64;
const POOL = 2 * 1024 * 1024;
const ENTRY = 16;
/** gaudi.c, GAUDI_MSG_TO_CPU_TIMEOUT_USEC; habanalabs.h, HL_CPUCP_INFO_TIMEOUT_USEC. */
const TIMEOUT = { MESSAGE: 4 * SECOND, INFO: 10 * SECOND, QUEUES: 30 * SECOND } as const;
/** Packets for which it waits longer (HL_CPUCP_EEPROM_TIMEOUT_USEC is as long). */
const PATIENT: ReadonlySet<PacketName> = new Set(['INFO_GET', 'PLL_INFO_GET', 'POWER_GET', 'EEPROM_DATA_GET']);
const NOT_DONE = 0xffff_ffff;
/** The processor has addresses of 40 bits, of which the highest says that they are the host's (GAUDI_PCI_TO_CPU_ADDR). */
const BIT_39 = 2 ** 39;

/** Where things are in the memory that the processor reaches. */
const LAYOUT = {
  QUEUE: 0,
  EVENTS: QUEUE_LENGTH * ENTRY,
  PACKET: QUEUE_LENGTH * ENTRY + EVENTS * EQ.ENTRY_SIZE,
} as const;
const BUFFER = LAYOUT.PACKET + PACKET.SIZE + 8;

export interface Message {
  readonly value?: bigint;
  readonly index?: number;
  readonly port?: number;
}

/** An entry of the event queue. */
export interface FirmwareEvent {
  readonly id: number;
  readonly data: DataView;
}

/** struct cpucp_info, as far as the driver uses it. */
export interface CardInfo {
  /** All of it. */
  readonly bytes: Uint8Array;
  readonly cpucpVersion: Uint8Array;
  readonly cardName: Uint8Array;
  readonly cardType: number;
  readonly location: number;
  readonly cpldVersion: number;
  readonly pllMap: Uint8Array;
}

export class FirmwareQueues {
  /** False from a message that was not answered until the next reset (device_cpu_disabled). */
  answers = true;
  readonly #kernel: Kernel;
  readonly #card: PciDevice;
  readonly #memory: CoherentMemory;
  readonly #lock = new Mutex();
  /** Of the buffer for answers. */
  readonly #buffer = new Mutex();
  readonly #ready: () => boolean;
  readonly #log: (level: 'err' | 'dbg', text: string) => void;
  #started = false;
  #producer = 0;
  #sent = 0;
  #consumer = 0;
  /** Number of the last event, and whether events have numbers (check_eqe_index). */
  #index = 0;
  #numbered = false;

  /** @param ready whether messages may be sent now (!hdev->disabled) */
  constructor(
    kernel: Kernel,
    card: PciDevice,
    ready: () => boolean,
    log: (level: 'err' | 'dbg', text: string) => void,
  ) {
    this.#kernel = kernel;
    this.#card = card;
    this.#ready = ready;
    this.#log = log;
    this.#memory = kernel.memory.allocateCoherent(POOL);
  }

  /** Bits 49:39 of the addresses, which the chip adds (CPU_MSB_ADDR). */
  get extension(): number {
    return Math.floor((this.#memory.bus + addressMap.HOST_BASE) / BIT_39);
  }

  /** gaudi_init_cpu_queues. @throws Error when the firmware does not take the queues */
  *start(): Steps {
    const card = this.#card;
    this.#memory.bytes.fill(0);
    const address = (row: 'PQ_BASE_ADDR' | 'EQ_BASE_ADDR' | 'CQ_BASE_ADDR', at: number) => {
      card.write(cpu(`${row}_LOW`), low(this.#address(at)));
      card.write(cpu(`${row}_HIGH`), high(this.#address(at)));
    };
    address('PQ_BASE_ADDR', LAYOUT.QUEUE);
    address('EQ_BASE_ADDR', LAYOUT.EVENTS);
    address('CQ_BASE_ADDR', 0);
    card.write(cpu('PQ_LENGTH'), QUEUE_LENGTH * ENTRY);
    card.write(cpu('EQ_LENGTH'), EVENTS * EQ.ENTRY_SIZE);
    card.write(cpu('CQ_LENGTH'), POOL);
    card.write(cpu('EQ_RD_OFFS'), 0);
    card.write(cpu('PF_PQ_PI'), 0);
    card.write(cpu('QUEUE_INIT'), QUEUE_INIT.READY_FOR_CP_SINGLE_MSI);
    this.#producer = 0;
    this.#sent = 0;
    this.#consumer = 0;
    this.#index = 0;
    this.#numbered = (card.read(BOOT_REGISTERS.DEV_STS0) & DEV_STS0.EQ_INDEX_EN) !== 0;
    card.write(SETSPI, HOST_SPI.PI_UPDATE);
    const taken = () => card.read(cpu('QUEUE_INIT')) === QUEUE_INIT.READY_FOR_HOST;
    if (!(yield* poll(this.#kernel, taken, TIMEOUT.QUEUES)))
      throw new Error('Failed to communicate with Device CPU (CPU-CP timeout)');
    this.#started = true;
    this.answers = true;
  }

  /** Where the driver believes the queue to be: entries written, modulo twice its length, and messages that have ended. */
  get position(): { readonly pi: number; readonly ci: number } {
    return { pi: this.#producer, ci: this.#sent };
  }

  stop(): void {
    this.#started = false;
  }

  /**
   * hl_fw_send_cpu_message. @returns the result; 0 when the driver sends nothing (the device is disabled)
   * @throws SystemError EIO when the firmware refuses, ETIMEDOUT when it does not answer, EAGAIN when it once did not
   */
  *send(name: PacketName, message: Message = {}): Steps<bigint> {
    const timeout = PATIENT.has(name) ? TIMEOUT.INFO : TIMEOUT.MESSAGE;
    return yield* this.#lock.hold(this.#send(packets[name].opcode, message, timeout));
  }

  /** A message about a buffer, `size` bytes, in which the firmware answers. @returns the buffer and the result */
  *ask(name: PacketName, size: number, message: Message = {}): Steps<{ bytes: Uint8Array; result: bigint }> {
    if (BUFFER + size > POOL) refuse('ENOMEM');
    return yield* this.#buffer.hold(this.#ask(name, size, message));
  }

  *#ask(name: PacketName, size: number, message: Message): Steps<{ bytes: Uint8Array; result: bigint }> {
    this.#memory.bytes.fill(0, BUFFER, BUFFER + size);
    const result = yield* this.send(name, { ...message, value: BigInt(this.#address(BUFFER)), index: size });
    return { bytes: this.#memory.bytes.slice(BUFFER, BUFFER + size), result };
  }

  /** hl_fw_cpucp_info_get. */
  *info(): Steps<CardInfo> {
    const { bytes } = yield* this.ask('INFO_GET', INFO.SIZE);
    const view = new DataView(bytes.buffer);
    return {
      bytes,
      cpucpVersion: bytes.subarray(INFO.cpucp_version, INFO.cpucp_version + 128),
      cardName: bytes.subarray(INFO.card_name, INFO.card_name + INFO.CARD_NAME_LEN),
      cardType: view.getUint32(INFO.card_type, true),
      location: view.getUint32(INFO.card_location, true),
      cpldVersion: view.getUint32(INFO.cpld_version, true),
      pllMap: bytes.subarray(INFO.pll_map, INFO.pll_map + 24),
    };
  }

  /** Takes the events that have come (hl_irq_handler_eq). */
  takeEvents(): FirmwareEvent[] {
    const events: FirmwareEvent[] = [];
    if (!this.#started) return events;
    for (;;) {
      const at = LAYOUT.EVENTS + this.#consumer * EQ.ENTRY_SIZE;
      const ctl = this.#memory.view.getUint32(at + EQ.ctl, true);
      if ((ctl & EQ.READY) === 0) return events;
      const index = ctl & EQ.INDEX_MASK;
      const expected = (this.#index + 1) & EQ.INDEX_MASK;
      if (this.#numbered && index !== expected) {
        const text = `EQE 0x${ctl.toString(16)} in queue is ready but index does not match`;
        this.#log('err', `${text} ${expected}!=${index}`);
        return events;
      }
      this.#index = expected;
      const data = this.#memory.bytes.slice(at + EQ.data, at + EQ.ENTRY_SIZE);
      events.push({ id: (ctl >>> EQ.TYPE_SHIFT) & 0xfff, data: new DataView(data.buffer) });
      this.#memory.view.setUint32(at + EQ.ctl, (ctl & ~EQ.READY) >>> 0, true);
      this.#consumer = (this.#consumer + 1) % EVENTS;
      this.#card.write(cpu('EQ_RD_OFFS'), this.#consumer);
    }
  }

  *#send(opcode: number, message: Message, timeout: number): Steps<bigint> {
    if (!this.#started || !this.#ready()) return 0n;
    if (!this.answers) refuse('EAGAIN');
    const { view } = this.#memory;
    const at = LAYOUT.PACKET;
    view.setBigUint64(at + PACKET.value, message.value ?? 0n, true);
    view.setUint32(at + PACKET.ctl, opcode << PACKET.OPCODE_SHIFT, true);
    view.setUint32(at + PACKET.fence, NOT_DONE, true);
    view.setUint32(at + PACKET.index, message.index ?? 0, true);
    view.setUint32(at + PACKET.port_index, message.port ?? 0, true);
    this.#submit(at, PACKET.SIZE);
    const features = this.#card.read(BOOT_REGISTERS.DEV_STS0);
    const expected = features & DEV_STS0.PKT_PI_ACK_EN ? this.#producer : PACKET.FENCE_VALUE;
    const done = () => view.getUint32(at + PACKET.fence, true) === expected;
    const answered = yield* poll(this.#kernel, done, timeout);
    this.#sent++;
    if (!answered) {
      this.#log(
        'err',
        `Device CPU packet timeout (status = 0x${view.getUint32(at + PACKET.fence, true).toString(16)})`,
      );
      this.answers = false;
      refuse('ETIMEDOUT');
    }
    if ((view.getUint32(at + PACKET.ctl, true) & PACKET.RC_MASK) !== 0) {
      this.#log('dbg', `F/W ERROR for CPU packet ${opcode}`);
      refuse('EIO');
    }
    return view.getBigUint64(at + PACKET.value, true);
  }

  #submit(packet: number, size: number): void {
    const { view } = this.#memory;
    const entry = LAYOUT.QUEUE + (this.#producer % QUEUE_LENGTH) * ENTRY;
    this.#producer = (this.#producer + 1) % (2 * QUEUE_LENGTH);
    view.setBigUint64(entry, BigInt(this.#address(packet)), true);
    view.setUint32(entry + 8, size, true);
    view.setUint32(entry + 12, this.#producer, true);
    this.#card.write(cpu('PF_PQ_PI'), this.#producer);
    this.#card.write(SETSPI, HOST_SPI.PI_UPDATE);
  }

  /** As the processor sees it. */
  #address(at: number): number {
    return ((this.#memory.bus + addressMap.HOST_BASE + at) % BIT_39) + BIT_39;
  }
}

export const CPU_MSB_ADDR = cpu('CPU_MSB_ADDR');
