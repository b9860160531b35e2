/** CPU-CP: what the firmware does upon each packet of the device CPU queue. */

import {
  ATTRIBUTES,
  MONITOR_DUMP,
  PASSTHROUGH,
  type PacketName,
  packets,
  RC,
  REPLACED_ROWS_SIZE,
  SENSOR_TYPE,
  type SensorKind,
} from '../../specs/gaudi/cpucp.ts';
import { type ErrorLog, ModelError } from '../sim/errors.ts';
import type { Steps } from '../sim/process.ts';
import type { Track } from '../trace/recorder.ts';
import type { Card } from './card.ts';
import type { Clocks } from './clocks.ts';
import type { EventQueue } from './event-queue.ts';
import type { Sensors } from './sensors.ts';

/** A packet without the words that carry it. */
export interface CpuCpRequest {
  readonly value: bigint;
  /** The word that has a different name in each packet: sensor and type, index, size. */
  readonly index: number;
  readonly port: number;
  /** Words of the array that follows some packets. */
  readonly array: Uint32Array;
}

export interface CpuCpReply {
  readonly rc: number;
  /** Default: the field keeps its value. */
  readonly value?: bigint;
  /** What goes to the address in `value`, as far as the driver's buffer reaches; `value` becomes its length. */
  readonly data?: Uint8Array;
}

/** What the packets act on. */
export interface CpuCpPorts {
  readonly errors: ErrorLog;
  readonly track?: Track | undefined;
  readonly sensors: Sensors;
  readonly clocks: Clocks;
  readonly card: Card;
  readonly events: EventQueue;
  /** Whether the firmware has its own numbers of sensor attributes (DEV_STS0.MAP_HWMON_EN) and PLLs (DYN_PLL_EN). */
  readonly ownNumbers: boolean;
  setHostAccess(allowed: boolean): void;
  /** Bytes that have gone over PCI Express so far. */
  traffic(): { sent: number; received: number };
  /** Stored word of a register of a sync manager, e.g. ('W_S', 'MON_ARM', 3). */
  monitorRegister(manager: string, register: string, index: number): number;
  /** Energy since Linux was started, joules. */
  joules(): number;
  softReset(): void;
}

type BodyResult = CpuCpReply | Steps<CpuCpReply>;
type PacketBody = (cp: CpuCp, request: CpuCpRequest) => BodyResult;

const OK: CpuCpReply = { rc: RC.SUCCESS };
const WINDOW_NS = 10e6;
const PORTS = 10;
const LEDS = 3;
const MONITORS = 512;
/** The EEPROM's place on the card's I2C buses. */
const EEPROM = { bus: 0, address: 0x50 } as const;
/** Power limits that the card accepts, milliwatts. */
const POWER_LIMIT = { lowest: 1, highest: 400_000, initial: 350_000 } as const;

function result(value: bigint | number): CpuCpReply {
  return { rc: RC.SUCCESS, value: BigInt.asUintN(64, BigInt(value)) };
}

function failed(rc: number): CpuCpReply {
  return { rc };
}

export class CpuCp {
  readonly ports: CpuCpPorts;
  maxPower: number = POWER_LIMIT.initial;
  readonly leds = new Array<boolean>(LEDS).fill(false);
  active = false;

  constructor(ports: CpuCpPorts) {
    this.ports = ports;
  }

  /** Carries a packet out. */
  *execute(opcode: number, request: CpuCpRequest): Steps<CpuCpReply> {
    const name = names.get(opcode);
    if (!name) return failed(RC.INVALID_PKT);
    const steps = bodies[name](this, request);
    const reply = 'rc' in steps ? steps : yield* steps;
    const told = { opcode, argument: request.value, result: reply.value ?? 0n, status: reply.rc };
    this.ports.track?.instant('firmware', name, told);
    return reply;
  }

  /** Something that the card does and this model does not. */
  unimplemented(name: PacketName): CpuCpReply {
    this.ports.errors.report(new ModelError('unimplemented', `CPUCP.${name}`, packets[name].doc));
    return failed(RC.FAULT);
  }

  /** Number of an attribute in the firmware's numbering; see ATTRIBUTES. */
  #attribute(kind: SensorKind, type: number): number {
    if (this.ports.ownNumbers || kind === 'pwm') return type;
    // HL_INFO asks for the power with the firmware's number whatever the numbering (hl_fw_cpucp_power_get).
    if (kind === 'power' && type === ATTRIBUTES.power.input) return type;
    return type - 1;
  }

  sensor(kind: SensorKind, { index }: CpuCpRequest): CpuCpReply {
    const value = this.ports.sensors.get(kind, index & 0xffff, this.#attribute(kind, index >>> 16));
    return value === undefined ? failed(RC.INVALID_PARAMS) : result(value);
  }

  setSensor(kind: SensorKind, { index, value }: CpuCpRequest): CpuCpReply {
    const number = Number(BigInt.asIntN(64, value));
    const done = this.ports.sensors.set(kind, index & 0xffff, this.#attribute(kind, index >>> 16), number);
    return done ? OK : failed(RC.INVALID_PARAMS);
  }

  pll(index: number, use: (name: string) => CpuCpReply): CpuCpReply {
    const name = this.ports.clocks.find(index, !this.ports.ownNumbers);
    return name === undefined ? failed(RC.INVALID_PARAMS) : use(name);
  }

  info(): Uint8Array {
    const shift = this.ports.ownNumbers ? 0 : 1;
    const described = this.ports.sensors.list().flatMap(({ kind, attributes }) => {
      if (!(kind in SENSOR_TYPE)) return [];
      const numbers = ATTRIBUTES[kind] as Readonly<Record<string, number>>;
      const flags = attributes.reduce((bits, name) => bits | (1 << ((numbers[name] as number) + shift)), 0);
      return [{ kind: kind as keyof typeof SENSOR_TYPE, flags: flags >>> 0 }];
    });
    return this.ports.card.info(described);
  }

  monitorDump(): Uint8Array {
    const words = new Uint32Array(MONITOR_DUMP.SIZE / 4);
    let at = 0;
    for (const manager of MONITOR_DUMP.managers) {
      for (const register of MONITOR_DUMP.registers) {
        for (let i = 0; i < MONITORS; i++) words[at++] = this.ports.monitorRegister(manager, register, i);
      }
    }
    return new Uint8Array(words.buffer);
  }

  /** @returns the byte registers of the I2C device, or undefined where no device answers */
  i2c({ index }: CpuCpRequest): { memory: Uint8Array; register: number; length: number } | undefined {
    const [bus, address, register] = [index & 0xff, (index >>> 8) & 0xff, (index >>> 16) & 0xff];
    const length = index >>> 24 || 1;
    if (bus !== EEPROM.bus || address !== EEPROM.address || length > 8) return undefined;
    return { memory: this.ports.card.eeprom, register, length };
  }

  *throughput(request: CpuCpRequest): Steps<CpuCpReply> {
    if (request.index > 1) return failed(RC.INVALID_PARAMS);
    const direction = request.index === 0 ? 'sent' : 'received';
    const before = this.ports.traffic()[direction];
    yield WINDOW_NS;
    const bytes = this.ports.traffic()[direction] - before;
    return result(Math.round(bytes / 1024 / (WINDOW_NS / 1e9)));
  }
}

/** One body per packet of specs/gaudi/cpucp.ts. */
const bodies: Readonly<Record<PacketName, PacketBody>> = {
  DISABLE_PCI_ACCESS: (cp) => {
    cp.ports.setHostAccess(false);
    return OK;
  },
  ENABLE_PCI_ACCESS: (cp) => {
    cp.ports.setHostAccess(true);
    return OK;
  },
  TEMPERATURE_GET: (cp, request) => cp.sensor('temp', request),
  VOLTAGE_GET: (cp, request) => cp.sensor('in', request),
  CURRENT_GET: (cp, request) => cp.sensor('curr', request),
  FAN_SPEED_GET: (cp, request) => cp.sensor('fan', request),
  PWM_GET: (cp, request) => cp.sensor('pwm', request),
  PWM_SET: (cp, request) => cp.setSensor('pwm', request),
  FREQUENCY_SET: (cp, { index, value }) =>
    cp.pll(index, (name) => (cp.ports.clocks.set(name, Number(value)) ? OK : failed(RC.INVALID_PARAMS))),
  FREQUENCY_GET: (cp, { index }) => cp.pll(index, (name) => result(cp.ports.clocks.wanted(name))),
  LED_SET: (cp, { index, value }) => {
    if (index >= LEDS) return failed(RC.INVALID_PARAMS);
    cp.leds[index] = value !== 0n;
    return OK;
  },
  I2C_WR: (cp, request) => {
    const device = cp.i2c(request);
    if (!device) return failed(RC.FAULT);
    for (let i = 0; i < device.length; i++) {
      device.memory[(device.register + i) % device.memory.length] = Number((request.value >> BigInt(8 * i)) & 0xffn);
    }
    return OK;
  },
  I2C_RD: (cp, request) => {
    const device = cp.i2c(request);
    if (!device) return failed(RC.FAULT);
    let value = 0n;
    for (let i = 0; i < device.length; i++) {
      value |= BigInt(device.memory[(device.register + i) % device.memory.length] ?? 0) << BigInt(8 * i);
    }
    return result(value);
  },
  INFO_GET: (cp) => ({ rc: RC.SUCCESS, data: cp.info() }),
  UNMASK_RAZWI_IRQ: (cp, { value }) => (cp.ports.events.unmask(Number(value)) ? OK : failed(RC.INVALID_PARAMS)),
  UNMASK_RAZWI_IRQ_ARRAY: (cp, { array }) =>
    [...array].map((id) => cp.ports.events.unmask(id)).includes(false) ? failed(RC.INVALID_PARAMS) : OK,
  TEST: () => OK,
  FREQUENCY_CURR_GET: (cp, { index }) => cp.pll(index, (name) => result(cp.ports.clocks.current(name))),
  MAX_POWER_GET: (cp) => result(cp.maxPower),
  MAX_POWER_SET: (cp, { value }) => {
    const milliwatts = Number(value);
    if (milliwatts < POWER_LIMIT.lowest || milliwatts > POWER_LIMIT.highest) return failed(RC.INVALID_PARAMS);
    cp.maxPower = milliwatts;
    return OK;
  },
  EEPROM_DATA_GET: (cp) => ({ rc: RC.SUCCESS, data: cp.ports.card.eeprom }),
  NIC_INFO_GET: (cp) => ({ rc: RC.SUCCESS, data: cp.ports.card.nicInfo(PORTS) }),
  TEMPERATURE_SET: (cp, request) => cp.setSensor('temp', request),
  VOLTAGE_SET: (cp, request) => cp.setSensor('in', request),
  CURRENT_SET: (cp, request) => cp.setSensor('curr', request),
  PCIE_THROUGHPUT_GET: (cp, request) => cp.throughput(request),
  // The link of the model never repeats a packet.
  PCIE_REPLAY_CNT_GET: () => result(0),
  TOTAL_ENERGY_GET: (cp) => result(Math.round(cp.ports.joules() * 1e3)),
  PLL_INFO_GET: (cp, { index }) =>
    cp.pll(index & 0xffff, (name) =>
      result(
        cp.ports.clocks
          .outputs(name)
          .reduce((all, mhz, output) => all | (BigInt(Math.round(mhz) & 0xffff) << BigInt(16 * output)), 0n),
      ),
    ),
  NIC_STATUS: (cp) => cp.unimplemented('NIC_STATUS'),
  // The driver also forgets the maximum with this packet (gaudi.c, use_get_power_for_reset_history).
  POWER_GET: (cp, request) => {
    const reset = cp.setSensor('power', { ...request, value: 0n });
    return reset.rc === RC.SUCCESS ? reset : cp.sensor('power', request);
  },
  NIC_PFC_SET: (cp) => cp.unimplemented('NIC_PFC_SET'),
  NIC_FAULT_GET: (cp) => cp.unimplemented('NIC_FAULT_GET'),
  NIC_LPBK_SET: (cp) => cp.unimplemented('NIC_LPBK_SET'),
  NIC_MAC_CFG: (cp) => cp.unimplemented('NIC_MAC_CFG'),
  // Of Gaudi's vectors the firmware uses one, which cannot be chosen (gaudi.c has no get_msi_info).
  MSI_INFO_SET: () => failed(RC.INVALID),
  NIC_XPCS91_REGS_GET: (cp) => cp.unimplemented('NIC_XPCS91_REGS_GET'),
  NIC_STAT_REGS_GET: (cp) => cp.unimplemented('NIC_STAT_REGS_GET'),
  NIC_STAT_REGS_CLR: (cp) => cp.unimplemented('NIC_STAT_REGS_CLR'),
  NIC_STAT_REGS_ALL_GET: (cp) => cp.unimplemented('NIC_STAT_REGS_ALL_GET'),
  // The mask's layout is not published, and DEV_STS0 does not offer it.
  IS_IDLE_CHECK: () => failed(RC.INVALID_PKT),
  // The model's HBM has no bad rows.
  HBM_REPLACED_ROWS_INFO_GET: () => ({ rc: RC.SUCCESS, data: new Uint8Array(REPLACED_ROWS_SIZE) }),
  HBM_PENDING_ROWS_STATUS: () => result(0),
  POWER_SET: (cp, request) => cp.setSensor('power', request),
  // Gaudi has no engine cores, the card no trusted platform module.
  ENGINE_CORE_ASID_SET: () => failed(RC.INVALID_PKT),
  SEC_ATTEST_GET: () => failed(RC.INVALID_PKT),
  INFO_SIGNED_GET: () => failed(RC.INVALID_PKT),
  MONITOR_DUMP_GET: (cp) => ({ rc: RC.SUCCESS, data: cp.monitorDump() }),
  GENERIC_PASSTHROUGH: (cp, { port }) =>
    port === PASSTHROUGH.VERSIONS
      ? { rc: RC.SUCCESS, data: cp.ports.card.componentVersions() }
      : failed(RC.INVALID_PARAMS),
  ACTIVE_STATUS_SET: (cp, { value }) => {
    cp.active = value !== 0n;
    return OK;
  },
  SOFT_RESET: (cp) => {
    cp.ports.softReset();
    return OK;
  },
  INTS_REGISTER: (cp) => {
    cp.ports.events.open();
    return OK;
  },
};

/** Name of a packet, by its opcode. */
export function packetName(opcode: number): string {
  return names.get(opcode) ?? `opcode ${opcode}`;
}

const names = new Map<number, PacketName>(
  (Object.keys(packets) as PacketName[]).map((name) => [packets[name].opcode, name]),
);
