/**
 * Starting the card's processor: boot loader and Linux, by the protocol that its first stage offers. The images are the
 * driver's own; the card checks only that there are some. Source: common/firmware_if.c (hl_fw_wait_preboot_ready,
 * hl_fw_dynamic_init_cpu, hl_fw_static_init_cpu, hl_fw_dynamic_send_protocol_cmd, hl_fw_dynamic_read_and_validate_descriptor).
 */

import { crc32 } from 'node:zlib';
import { addressMap } from '../../../specs/gaudi/address-map.ts';
import {
  BOOT_ERR0,
  BOOT_FIT_SRAM_OFFSET,
  BOOT_STATUS,
  COMMS_CMD,
  COMMS_COMMAND,
  COMMS_DESC,
  COMMS_STATUS,
  COMMS_STS,
  CPU_MSG,
  DEV_STS0,
  KMD_MSG,
  LINUX_HBM_OFFSET,
  VERSION_MAX_LEN,
} from '../../../specs/gaudi/boot.ts';
import { psocGlobalConf } from '../../../specs/gaudi/registers/psoc-global-conf.ts';
import type { Steps } from '../../sim/process.ts';
import { type Kernel, MS, poll, SECOND } from './kernel.ts';
import type { PciDevice } from './pci.ts';
import { register } from './registers.ts';
import { textOf } from './text.ts';

const conf = (row: keyof typeof psocGlobalConf.rows) => register('PSOC_GLOBAL_CONF', psocGlobalConf.rows[row]);

export const BOOT_REGISTERS = {
  STATUS: conf('CPU_BOOT_STATUS'),
  DEV_STS0: conf('CPU_BOOT_DEV_STS0'),
  ERR0: conf('CPU_BOOT_ERR0'),
  MESSAGE: conf('KMD_MSG_TO_CPU'),
  ANSWER: conf('CPU_CMD_STATUS_TO_HOST'),
} as const;

/** gaudi.c: GAUDI_BOOT_FIT_REQ_TIMEOUT_USEC, GAUDI_CPU_TIMEOUT_USEC, GAUDI_WAIT_FOR_BL_TIMEOUT_USEC. */
const TIMEOUT = { PREBOOT: 4 * SECOND, CPU: 30 * SECOND, BOOT_LOADER: 15 * SECOND } as const;

/** gaudi.c, GAUDI_CPU_RESET_WAIT_MSEC. */
const CPU_RESET_WAIT = 200 * MS;

const image = new TextEncoder().encode('An image in the place of a firmware that the card would execute.');
/** struct lkd_msg_comms: what the first descriptor is asked for (firmware_if.c, hl_fw_dynamic_init_cpu). */
const MESSAGE_SIZE = 1280;

/** gaudi.c, gaudi_init_static_firmware_loader: bits of an offset in SRAM. */
const SRAM_OFFSET = ~(addressMap.SRAM_BASE % 2 ** 32);

/** The driver's log. */
export type Log = (level: 'err' | 'warn' | 'dbg', text: string) => void;

/** What of the firmware runs (fw_comp_loaded, dynamic_fw_load, device_cpu_is_halted). */
export interface Loaded {
  byComms: boolean;
  linux: boolean;
  halted: boolean;
  /** Versions as these stages tell them (preboot_ver, uboot_ver). */
  preboot: string;
  bootLoader: string;
}

export const NOTHING_LOADED: Readonly<Loaded> = {
  byComms: false,
  linux: false,
  halted: false,
  preboot: '',
  bootLoader: '',
};

/** What is read where nobody answers. */
const NOBODY = 0xffff_ffff;
/** detect_cpu_boot_status. */
const progress: Readonly<Record<number, string>> = {
  [BOOT_STATUS.NA]: 'BTL/ROM did NOT run',
  [BOOT_STATUS.IN_WFE]: 'Stuck inside WFE loop',
  [BOOT_STATUS.IN_BTL]: 'Stuck in BTL',
  [BOOT_STATUS.IN_PREBOOT]: 'Stuck in Preboot',
  [BOOT_STATUS.IN_UBOOT]: 'Stuck in u-boot',
  [BOOT_STATUS.UBOOT_NOT_READY]: 'Cannot boot',
  [BOOT_STATUS.SECURITY_READY]: 'Stuck in preboot after security initialization',
  [BOOT_STATUS.FW_SHUTDOWN_PREP]: 'Stuck in preparation for shutdown',
};
/** hl_boot_if.h, CPU_BOOT_ERR_ENG_ARC_MEM_SCRUB_FAIL. */
const SCRUB_FAIL = 23;
/** fw_report_boot_dev0: bits of CPU_BOOT_ERR0, in its order, and whether they end the boot (CPU_BOOT_ERR_FATAL_MASK). */
const errors: readonly (readonly [bit: number, text: string, fatal?: true])[] = [
  [BOOT_ERR0.DRAM_INIT_FAIL, 'error - DRAM initialization failed', true],
  [BOOT_ERR0.FIT_CORRUPTED, 'error - FIT image corrupted'],
  [BOOT_ERR0.TS_INIT_FAIL, 'error - Thermal Sensor initialization failed'],
  [BOOT_ERR0.BMC_WAIT_SKIPPED, 'error - Skipped waiting for BMC'],
  [BOOT_ERR0.SECURITY_NOT_RDY, 'warning - security not ready'],
  [BOOT_ERR0.SECURITY_FAIL, 'error - security failure'],
  [BOOT_ERR0.EFUSE_FAIL, 'error - eFuse failure'],
  [BOOT_ERR0.PLL_FAIL, 'error - PLL failure', true],
  [BOOT_ERR0.BINNING_FAIL, 'error - binning failure', true],
  [BOOT_ERR0.DRAM_SKIPPED, 'warning - Skipped DRAM initialization', true],
  // the driver asks for the number of its bit instead of the bit: it says so of bits 0, 1, 2 and 4, and never of its own
  [SCRUB_FAIL, 'error - ARC memory scrub failed'],
  [BOOT_ERR0.ENG_ARC_MEM_SCRUB_FAIL, '', true],
  [BOOT_ERR0.EEPROM_FAIL, 'error - EEPROM failure detected', true],
];

/** fw_read_errors: logs what the firmware has noted. @returns whether it ends the boot */
function readErrors(card: PciDevice, log: Log): boolean {
  const bits = card.read(BOOT_REGISTERS.ERR0);
  if ((bits & BOOT_ERR0.ENABLED) === 0) return false;
  const found = errors.filter(([bit]) => (bits & bit) !== 0);
  for (const [, text] of found) if (text !== '') log('err', `Device boot ${text}`);
  return found.some(([, , fatal]) => fatal);
}

/** A card that did not do what its firmware should. */
export class BootError extends Error {}

/** hl_fw_wait_preboot_ready. @throws BootError */
export function* waitForPreboot(kernel: Kernel, card: PciDevice, loaded: Loaded, log: Log): Steps {
  const ready: readonly number[] = [
    BOOT_STATUS.NIC_FW_RDY,
    BOOT_STATUS.READY_TO_BOOT,
    BOOT_STATUS.WAITING_FOR_BOOT_FIT,
  ];
  const booted = yield* poll(kernel, () => ready.includes(card.read(BOOT_REGISTERS.STATUS)), TIMEOUT.PREBOOT);
  const status = card.read(BOOT_REGISTERS.STATUS);
  const failed = status !== NOBODY && readErrors(card, log);
  if (booted && !failed) {
    const features = card.read(BOOT_REGISTERS.DEV_STS0);
    loaded.byComms = (features & DEV_STS0.ENABLED) !== 0 && (features & DEV_STS0.FW_LD_COM_EN) !== 0;
    return;
  }
  log('err', `Device boot progress - ${progress[status] ?? `Invalid or unexpected status code ${status | 0}`}`);
  throw new BootError(`CPU boot ${failed ? 'failed due to an error' : 'ready timeout'} (status = ${status | 0})`);
}

/** From preboot to Linux. @throws BootError */
export function* loadFirmware(kernel: Kernel, card: PciDevice, loaded: Loaded, log: Log): Steps {
  let failure: unknown;
  try {
    if (loaded.byComms) yield* loadByComms(kernel, card, loaded);
    else yield* loadStatically(kernel, card, loaded);
    yield* waitForStatus(kernel, card, BOOT_STATUS.SRAM_AVAIL, TIMEOUT.CPU, 'Linux');
  } catch (error) {
    failure = error;
  }
  const failed = readErrors(card, log);
  if (failure !== undefined) throw failure;
  if (failed) throw new BootError('Errors in device boot');
  loaded.linux = true;
  card.write(BOOT_REGISTERS.MESSAGE, KMD_MSG.NA);
}

function* loadStatically(kernel: Kernel, card: PciDevice, loaded: Loaded): Steps {
  yield* waitForStatus(kernel, card, BOOT_STATUS.WAITING_FOR_BOOT_FIT, TIMEOUT.PREBOOT, 'boot fit');
  loaded.preboot = versionInSram(card, 'PREBOOT_VER_OFFSET');
  card.writeMemory(addressMap.SRAM_BASE + BOOT_FIT_SRAM_OFFSET, image);
  card.write(BOOT_REGISTERS.ANSWER, CPU_MSG.CLR);
  card.write(BOOT_REGISTERS.MESSAGE, KMD_MSG.FIT_RDY);
  if (!(yield* poll(kernel, () => card.read(BOOT_REGISTERS.ANSWER) === CPU_MSG.OK, TIMEOUT.PREBOOT)))
    throw new BootError('Timeout waiting for boot fit load ack');
  card.write(BOOT_REGISTERS.MESSAGE, KMD_MSG.NA);
  yield* waitForStatus(kernel, card, BOOT_STATUS.READY_TO_BOOT, TIMEOUT.CPU, 'boot');
  loaded.bootLoader = versionInSram(card, 'UBOOT_VER_OFFSET');
  card.writeMemory(addressMap.HBM_BASE + LINUX_HBM_OFFSET, image);
  card.write(BOOT_REGISTERS.MESSAGE, KMD_MSG.FIT_RDY);
}

/** hl_fw_static_read_device_fw_version: the text is in SRAM, at the offset that a register tells. */
function versionInSram(card: PciDevice, row: 'PREBOOT_VER_OFFSET' | 'UBOOT_VER_OFFSET'): string {
  const bytes = new Uint8Array(VERSION_MAX_LEN);
  card.readMemory(addressMap.SRAM_BASE + (card.read(conf(row)) & SRAM_OFFSET), bytes);
  return textOf(bytes);
}

function* loadByComms(kernel: Kernel, card: PciDevice, loaded: Loaded): Steps {
  yield* command(kernel, card, COMMS_CMD.RST_STATE, 0);
  yield* requestDescriptor(kernel, card, MESSAGE_SIZE);
  loaded.preboot = yield* loadImage(kernel, card);
  yield* waitForStatus(kernel, card, BOOT_STATUS.READY_TO_BOOT, TIMEOUT.BOOT_LOADER, 'boot');
  loaded.bootLoader = yield* loadImage(kernel, card);
}

/** @returns the version of the stage that has taken it */
function* loadImage(kernel: Kernel, card: PciDevice): Steps<string> {
  const { address, version } = yield* requestDescriptor(kernel, card, image.length);
  card.writeMemory(address, image);
  yield* command(kernel, card, COMMS_CMD.DATA_RDY, 0);
  yield* command(kernel, card, COMMS_CMD.EXEC, 0, false);
  return version;
}

/** @returns where the firmware wants the image, and the version of the stage that says so */
function* requestDescriptor(
  kernel: Kernel,
  card: PciDevice,
  size: number,
): Steps<{ readonly address: number; readonly version: string }> {
  const answer = yield* command(kernel, card, COMMS_CMD.PREP_DESC, size);
  const offset = (answer & ((1 << COMMS_STATUS.RAM_TYPE_SHIFT) - 1)) << COMMS_STATUS.OFFSET_SHIFT;
  const bytes = new Uint8Array(COMMS_DESC.SIZE);
  card.readMemory(addressMap.SRAM_BASE + offset, bytes);
  const view = new DataView(bytes.buffer);
  const { magic, crc32: crc, size: length } = COMMS_DESC.header;
  if (view.getUint32(magic, true) !== COMMS_DESC.MAGIC) throw new BootError('Invalid magic for dynamic FW descriptor');
  const body = bytes.subarray(COMMS_DESC.HEADER_SIZE, COMMS_DESC.HEADER_SIZE + view.getUint16(length, true));
  if (view.getUint32(crc, true) !== crc32(body)) throw new BootError('CRC32 mismatch in dynamic FW descriptor');
  return {
    address: Number(view.getBigUint64(COMMS_DESC.img_addr, true)),
    version: textOf(bytes.subarray(COMMS_DESC.cur_fw_ver, COMMS_DESC.cur_fw_ver + VERSION_MAX_LEN)),
  };
}

/** hl_fw_dynamic_send_protocol_cmd. @returns the answer, 0 when none is due */
function* command(kernel: Kernel, card: PciDevice, code: number, size: number, answered = true): Steps<number> {
  const send = (cmd: number, argument = 0) =>
    card.write(BOOT_REGISTERS.MESSAGE, ((cmd << COMMS_COMMAND.CMD_SHIFT) | argument) >>> 0);
  yield* clear(kernel, card, send);
  send(code, size);
  yield* waitForAnswer(kernel, card, COMMS_STS.ACK);
  yield* clear(kernel, card, send);
  send(COMMS_CMD.NOOP);
  if (!answered) return 0;
  yield* waitForAnswer(kernel, card, COMMS_STS.OK);
  const answer = card.read(BOOT_REGISTERS.ANSWER);
  yield* clear(kernel, card, send);
  send(COMMS_CMD.NOOP);
  return answer;
}

function* clear(kernel: Kernel, card: PciDevice, send: (cmd: number) => void): Steps {
  send(COMMS_CMD.CLR_STS);
  yield* waitForAnswer(kernel, card, COMMS_STS.NOOP);
}

function* waitForAnswer(kernel: Kernel, card: PciDevice, status: number): Steps {
  const there = () => card.read(BOOT_REGISTERS.ANSWER) >>> COMMS_STATUS.STATUS_SHIFT === status;
  if (yield* poll(kernel, there, TIMEOUT.CPU)) return;
  const now = card.read(BOOT_REGISTERS.ANSWER) >>> COMMS_STATUS.STATUS_SHIFT;
  const known = statusName(now);
  throw new BootError(`Device status ${known ?? `unknown ${now}`}, expected status: ${statusName(status)}`);
}

/** hl_dynamic_fw_status_str. */
function statusName(status: number): string | undefined {
  return Object.entries(COMMS_STS).find(([, value]) => value === status)?.[0];
}

/** hl_fw_ask_halt_machine_without_linux. */
export function* haltWithoutLinux(kernel: Kernel, card: PciDevice, loaded: Loaded, log: Log): Steps {
  if (loaded.halted) return;
  loaded.halted = true;
  if (!loaded.byComms) {
    card.write(BOOT_REGISTERS.MESSAGE, KMD_MSG.GOTO_WFE);
    yield CPU_RESET_WAIT;
    card.write(BOOT_REGISTERS.MESSAGE, KMD_MSG.NA);
    return;
  }
  try {
    yield* command(kernel, card, COMMS_CMD.GOTO_WFE, 0, false);
  } catch (error) {
    log('err', (error as Error).message);
    log('err', 'Failed sending COMMS_GOTO_WFE');
    return;
  }
  const status = () => card.read(BOOT_REGISTERS.STATUS);
  if (!(yield* poll(kernel, () => status() === BOOT_STATUS.IN_WFE, TIMEOUT.CPU)))
    log('err', `Current status=${status()}. Timed-out updating to WFE`);
}

function* waitForStatus(kernel: Kernel, card: PciDevice, status: number, timeout: number, what: string): Steps {
  if (!(yield* poll(kernel, () => card.read(BOOT_REGISTERS.STATUS) === status, timeout)))
    throw new BootError(`failed to wait for ${what} (status = ${card.read(BOOT_REGISTERS.STATUS) | 0})`);
}
