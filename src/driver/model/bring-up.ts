/**
 * Hardware initialisation and reset of the card. Source: gaudi.c (gaudi_early_init, gaudi_hw_init, gaudi_late_init,
 * gaudi_hw_fini). What only tunes the memory system (end-to-end credits, scramblers, HBM credits) is left out: the chip of
 * this project has no timing that they would change.
 */

import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { DEV_STS0 } from '../../../specs/gaudi/boot.ts';
import { HOST_SPI } from '../../../specs/gaudi/events.ts';
import { DIV_SEL, PLL_REFERENCE_MHZ } from '../../../specs/gaudi/plls.ts';
import { dmaCore } from '../../../specs/gaudi/registers/dma-core.ts';
import { pcieAux, pcieWrap } from '../../../specs/gaudi/registers/pcie.ts';
import { psocTimestamp } from '../../../specs/gaudi/registers/platform.ts';
import { pll as pllRegisters } from '../../../specs/gaudi/registers/pll.ts';
import { psocGlobalConf } from '../../../specs/gaudi/registers/psoc-global-conf.ts';
import { syncManager } from '../../../specs/gaudi/registers/sync-manager.ts';
import { tpcCfg } from '../../../specs/gaudi/registers/tpc-cfg.ts';
import { gaudiQman } from '../../../specs/gaudi-qman.ts';
import type { Steps } from '../../sim/process.ts';
import { gaudiConstants } from '../../uapi/habanalabs/gaudi.ts';
import { type CardInfo, CPU_MSB_ADDR, type FirmwareQueues, SETSPI } from './cpucp.ts';
import { initEngines, restoreEngineRegisters, runTpcKernel, setAddressSpace } from './engines.ts';
import { BOOT_REGISTERS, BootError, haltWithoutLinux, type Loaded, type Log, loadFirmware } from './firmware-load.ts';
import { type Kernel, MS, poll, SECOND } from './kernel.ts';
import { type Limits, sendClock } from './limits.ts';
import { CACHE_MANAGEMENT, type Mmu, PAGE_TABLES } from './mmu.ts';
import type { PciDevice } from './pci.ts';
import type { Queues } from './queues.ts';
import { register } from './registers.ts';
import { initSecurity } from './security.ts';
import type { Job } from './submission.ts';

const conf = (row: keyof typeof psocGlobalConf.rows) => register('PSOC_GLOBAL_CONF', psocGlobalConf.rows[row]);
const time = (row: keyof typeof psocTimestamp.rows) => register('PSOC_TIMESTAMP', psocTimestamp.rows[row]);
const HW_STATE = { REGISTER: conf('HW_STATE'), DIRTY: 1 } as const;
/** gaudi.c: GAUDI_CPU_RESET_WAIT_MSEC, GAUDI_RESET_TIMEOUT_MSEC. */
const RESET = { CPU: 200 * MS, CHIP: 2000 * MS } as const;
/** Units that a reset of the chip is for (gaudi_masks.h, CFG_RST_*), and the word that keeps PCI Express as it is. */
const UNITS = { LOW: 0xffe0_0001, HIGH: 0x3f_ffff, KEEP_PCIE: 0xed7b_d694 } as const;
/** Accesses through the BARs count as secure (gaudi_masks.h, PCIE_WRAP_LBW_PROT_OVR_*). */
const PROTECTION_OVERRIDE = 0x7700;
/** Arithmetic interrupts of tensor cores that are masked (gaudi_init_golden_registers). */
const TPC_INTERRUPT_MASK = 0x8ffe;
/** The kernel that initialises the memories of tensor cores begins at a boundary of 8 KiB. */
const TPC_KERNEL = addressMap.SRAM_BASE + 0x2000;
/** gaudi.c: the address space of programs; gaudi_set_fixed_properties: PLL of the compute clock (HL_GAUDI_MME_PLL). */
const USER_ASID = 1;

/** What is logged of the part of the initialisation that has failed (hl_device_init, hl_device_reset). */
export const AT_PROBE = {
  hardware: 'failed to initialize the H/W',
  queues: 'Failed to detect if device is alive',
  late: 'Failed late initialization',
} as const;
export const AFTER_RESET = {
  hardware: 'failed to initialize the H/W after reset',
  queues: 'Failed to detect if device is alive after reset',
  late: 'Failed late init after hard reset',
} as const;
export type Failures = typeof AT_PROBE | typeof AFTER_RESET;

/** PLL of the compute clock: the firmware's number (cpucp_if.h, MME_PLL), and that of older firmware (HL_GAUDI_MME_PLL). */
const COMPUTE_PLL = { NUMBERED: 5, LEGACY: 7 } as const;
/** What the firmware is given to give back (hl_fw_test_cpu_queue, hl_fw_send_heartbeat). */
export const HEARTBEAT_VALUE = 0x1234_5678n;

export interface Hardware {
  readonly kernel: Kernel;
  readonly card: PciDevice;
  readonly firmware: FirmwareQueues;
  readonly queues: Queues<Job>;
  readonly mmu: Mmu;
  readonly loaded: Loaded;
  readonly limits: Limits;
  /** Whether queues and engines are to stop at errors. */
  readonly stopsOnError: () => boolean;
}

/** What the firmware says of the card, and what the driver has worked out. */
export interface LateInfo extends CardInfo {
  /** MHz. */
  readonly timestampFrequency: number;
}

export function isDirty(card: PciDevice): boolean {
  return card.read(HW_STATE.REGISTER) === HW_STATE.DIRTY;
}

/** hl_device_init, hl_device_reset: hardware and firmware, until queues and messages work. @throws Error when the card does not do its part */
export function* startCard(hardware: Hardware, log: Log, failures: Failures): Steps<LateInfo> {
  yield* stage(log, failures.hardware, initHardware(hardware, log));
  yield* stage(log, failures.queues, testQueues(hardware, log));
  const numbered = (hardware.card.read(BOOT_REGISTERS.DEV_STS0) & DEV_STS0.DYN_PLL_EN) !== 0;
  const late = lateInit(hardware, numbered ? COMPUTE_PLL.NUMBERED : COMPUTE_PLL.LEGACY, log);
  return yield* stage(log, failures.late, late);
}

/** A part of the initialisation; what it fails with is logged, and then what failed. */
function* stage<T>(log: Log, failure: string, steps: Steps<T>): Steps<T> {
  try {
    return yield* steps;
  } catch (error) {
    log('err', (error as Error).message);
    throw new Error(failure);
  }
}

function* testQueues({ queues, firmware }: Hardware, log: Log): Steps {
  yield* queues.test();
  const answer = yield* firmware.send('TEST', { value: HEARTBEAT_VALUE });
  // the driver says so, and goes on
  if (answer !== HEARTBEAT_VALUE) log('err', `CPU queue test failed (0x${answer.toString(16)})`);
}

/** gaudi_hw_init. @throws Error when the card does not do its part */
function* initHardware({ kernel, card, firmware, queues, mmu, loaded, stopsOnError }: Hardware, log: Log): Steps {
  card.read(HW_STATE.REGISTER);
  card.write(register('PCIE_WRAP', pcieWrap.rows.LBW_PROT_OVR), PROTECTION_OVERRIDE);
  card.read(register('PCIE_WRAP', pcieWrap.rows.LBW_PROT_OVR));
  card.write(HW_STATE.REGISTER, HW_STATE.DIRTY);
  card.write(CPU_MSB_ADDR, firmware.extension);
  yield* loadFirmware(kernel, card, loaded, log);
  for (let n = 0; n < 8; n++) card.write(register(`TPC${n}_CFG`, tpcCfg.rows.TPC_INTR_MASK), TPC_INTERRUPT_MASK);
  card.writeMemory(
    addressMap.SRAM_BASE,
    new Uint8Array(gaudiConstants.GAUDI_DRIVER_SRAM_RESERVED_SIZE_FROM_START.value),
  );
  yield* mmu.init();
  initSecurity(card);
  initEngines(card, queues.place, stopsOnError());
  card.write(time('CNTCR'), 0);
  card.write(time('CNTCVU'), 0);
  card.write(time('CNTCVL'), 0);
  card.write(time('CNTCR'), 1);
  card.enableMsi();
  yield* firmware.start();
  card.read(HW_STATE.REGISTER);
}

/** gaudi_late_init: what needs queues and firmware. @param pll of the firmware, for the compute clock. */
function* lateInit(hardware: Hardware, pll: number, log: Log): Steps<LateInfo> {
  const { card, firmware, limits } = hardware;
  const info = yield* firmware.info();
  yield* firmware.send('ENABLE_PCI_ACCESS');
  const timestampFrequency = yield* timestampClock(hardware);
  yield* clearPageTables(hardware);
  yield* initTpcMemories(hardware);
  setAddressSpace(card, USER_ASID);
  yield* sendClock(firmware, pll, limits.clock, log);
  return { ...info, timestampFrequency };
}

/** gaudi_fetch_psoc_frequency. @returns MHz of the clock of timestamps: the third output of the processor's PLL */
function* timestampClock({ card, firmware }: Hardware): Steps<number> {
  if ((card.read(BOOT_REGISTERS.DEV_STS0) & DEV_STS0.PLL_INFO_EN) !== 0) {
    const outputs = yield* firmware.send('PLL_INFO_GET', { index: 0 });
    return Number((outputs >> 32n) & 0xffffn);
  }
  const { rows } = pllRegisters;
  const read = (row: keyof typeof rows, ...index: number[]) => card.read(register('PSOC_CPU_PLL', rows[row], ...index));
  const select = read('DIV_SEL', 2);
  const usesPll = select === DIV_SEL.PLL_CLK || select === DIV_SEL.DIVIDED_PLL;
  const divided = select === DIV_SEL.DIVIDED_REF || select === DIV_SEL.DIVIDED_PLL;
  const factor = usesPll ? (read('NF') + 1) / ((read('NR') + 1) * (read('OD') + 1)) : 1;
  return Math.floor(Math.floor(PLL_REFERENCE_MHZ * factor) / (divided ? read('DIV_FACTOR', 2) + 1 : 1));
}

/** gaudi_mmu_clear_pgt_range. */
function* clearPageTables({ card, queues, mmu }: Hardware): Steps {
  const tsize = PAGE_TABLES.SIZE + CACHE_MANAGEMENT.SIZE;
  const memset = { src: 0n, dst: BigInt(PAGE_TABLES.ADDRESS), tsize, memset: true, rb: true, mb: true };
  yield* queues.runPrivileged(gaudiQman.encode('LIN_DMA', memset));
  const cause = card.read(register('DMA0_CORE', dmaCore.rows.ERR_CAUSE));
  if (cause !== 0) throw new Error(`DMA Failed, cause 0x${cause.toString(16)}`);
  mmu.forget();
}

/** gaudi_init_tpc_mem. */
function* initTpcMemories({ kernel, card, queues }: Hardware): Steps {
  const program = kernel.requestFirmware('habanalabs/gaudi/gaudi_tpc.bin');
  const image = kernel.memory.allocateCoherent(program.length);
  image.bytes.set(program);
  const src = BigInt(image.bus + addressMap.HOST_BASE);
  const load = { src, dst: BigInt(TPC_KERNEL), tsize: image.bytes.length, rb: true, mb: true };
  yield* queues.runPrivileged(gaudiQman.encode('LIN_DMA', load));
  image.free();
  for (let n = 0; n < 8; n++) yield* runTpcKernel(card, n, TPC_KERNEL, (check) => poll(kernel, check, 1 * SECOND));
}

/** gaudi_restore_user_registers: a new context finds sync objects and monitors as after a reset. */
export function* restoreUserRegisters({ card, queues }: Hardware): Steps {
  const { SOB_OBJ, MON_STATUS } = syncManager.rows;
  const first = {
    SOB_OBJ: gaudiConstants.GAUDI_FIRST_AVAILABLE_W_S_SYNC_OBJECT.value,
    MON_STATUS: gaudiConstants.GAUDI_FIRST_AVAILABLE_W_S_MONITOR.value,
  };
  for (const dcore of ['E_N', 'E_S', 'W_N', 'W_S'] as const) {
    const block = `SYNC_MNGR_OBJS_${dcore}`;
    for (const [row, from] of [
      [SOB_OBJ, first.SOB_OBJ],
      [MON_STATUS, first.MON_STATUS],
    ] as const) {
      // those of W_S before the first for programs are the driver's own
      const skip = dcore === 'W_S' ? from : 0;
      const at = addressMap.CFG_BASE + register(block, row, skip);
      yield* queues.runPrivileged(clearing(at, (row.count[0] as number) - skip));
    }
  }
  restoreEngineRegisters(card);
}

const clearings = new Map<number, Uint8Array>();

/** Packets that write 0 to registers that follow each other (gaudi_memset_registers): always the same, so they are kept. */
function clearing(address: number, count: number): Uint8Array {
  const known = clearings.get(address);
  if (known) return known;
  const one = gaudiQman.encode('MSG_LONG', { addr: BigInt(address), value: 0, eb: true, rb: true, mb: true });
  const packets = new Uint8Array(one.length * count);
  const view = new DataView(packets.buffer);
  for (let i = 0; i < count; i++) {
    packets.set(one, i * one.length);
    view.setBigUint64(i * one.length + 8, BigInt(address + 4 * i), true);
  }
  clearings.set(address, packets);
  return packets;
}

/**
 * gaudi_hw_fini: resets the chip.
 * @param heartbeat the firmware may be back in its first stage, where only it can be halted
 * @throws BootError when it does not come back
 */
export function* resetChip({ kernel, card, loaded }: Hardware, log: Log, heartbeat = false): Steps {
  const byFirmware = (card.read(BOOT_REGISTERS.DEV_STS0) & DEV_STS0.FW_HARD_RST_EN) !== 0;
  card.write(register('PCIE_AUX', pcieAux.rows.FLR_CTRL), 3);
  if (loaded.linux) card.write(SETSPI, HOST_SPI.HALT_MACHINE);
  if ((!loaded.linux || heartbeat) && !byFirmware) yield* haltWithoutLinux(kernel, card, loaded, log);
  if (!byFirmware) {
    card.write(conf('SW_ALL_RST_CFG_H'), UNITS.HIGH);
    card.write(conf('SW_ALL_RST_CFG_L'), UNITS.LOW);
    yield RESET.CPU;
    card.write(conf('PREBOOT_PCIE_EN'), UNITS.KEEP_PCIE);
    card.write(conf('BOOT_SEQ_RE_START'), 1);
    card.write(conf('SW_ALL_RST'), 1);
  }
  yield* waitForReset({ card, loaded });
}

/** The end of gaudi_hw_fini: the card resets itself. @throws BootError */
export function* waitForReset({ card, loaded }: Pick<Hardware, 'card' | 'loaded'>): Steps {
  yield RESET.CHIP;
  const state = card.read(conf('BTM_FSM'));
  if ((state & 0xf) !== 0) throw new BootError(`Timeout while waiting for device to reset 0x${state.toString(16)}`);
  loaded.halted = false;
}

/** gaudi_get_device_time. */
export function deviceTime(card: PciDevice): bigint {
  return (BigInt(card.read(time('CNTCVU'))) << 32n) | BigInt(card.read(time('CNTCVL')));
}

export function stopTime(card: PciDevice): void {
  card.write(time('CNTCR'), 0);
}
