/**
 * The engines as the driver sets them up, stops them and looks whether they are idle. Source: gaudi.c
 * (gaudi_init_pci_dma_qman, gaudi_init_hbm_dma_qman, gaudi_init_mme_qman, gaudi_init_tpc_qman, gaudi_init_dma_core,
 * gaudi_halt_engines, gaudi_mmu_prepare, gaudi_is_device_idle, gaudi_restore_dma_registers, gaudi_restore_qm_registers).
 */

import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { events } from '../../../specs/gaudi/events.ts';
import { CFG_0, CFG_1, dmaCore, ERR_CFG, PROPS, PROT, STS0 } from '../../../specs/gaudi/registers/dma-core.ts';
import { mmeAcc, mmeCtrl, mmeSbab } from '../../../specs/gaudi/registers/mme.ts';
import { qmanRegisters } from '../../../specs/gaudi/registers/qman.ts';
import { syncManager } from '../../../specs/gaudi/registers/sync-manager.ts';
import { tpcCfg } from '../../../specs/gaudi/registers/tpc-cfg.ts';
import type { Steps } from '../../sim/process.ts';
import { gaudi_engine_id } from '../../uapi/habanalabs/gaudi.ts';
import { SETSPI } from './cpucp.ts';
import { MS } from './kernel.ts';
import type { PciDevice } from './pci.ts';
import { high, low, register } from './registers.ts';

const { CFG_BASE } = addressMap;
type QmanRow = keyof typeof qmanRegisters.rows;

/** GLBL_CFG0, GLBL_PROT, GLBL_ERR_CFG for queue managers without and with a lower command processor (gaudi_masks.h). */
const UPPER = { PQF: 0xf, CQF: 0xf << 4, CP: 0xf << 9 } as const;
const ALL = { PQF: 0xf, CQF: 0x1f << 4, CP: 0x1f << 9 } as const;
const PROT_ERR = 1 << 14;
const STOP_ARB = 0x8000_0000;
const ARB_ERRORS = 0x7;
/** gaudi.c, GAUDI_ARB_WDT_TIMEOUT. */
const ARB_WATCHDOG = 0xee6b_27ff;
/** Where packets of DMA reach the registers of the engine, or of the lower queue (gaudiP.h, QMAN_LDMA_*, QMAN_CPDMA_*). */
const LDMA = { SIZE: 0x74, SRC: 0x14, DST: 0x1c } as const;
const CPDMA = { SIZE: 0x8000 + 0x1bc, SRC: 0x8000 + 0x1b4, DST: LDMA.DST } as const;
const IDLE = { QMAN: ALL.PQF | ALL.CQF | ALL.CP, CGM: 0x100, TPC: 0xee, MME: 0x1180 } as const;
const HALT_WAIT = 1 * MS;

export const DMA_ENGINES = [0, 1, 2, 3, 4, 5, 6, 7] as const;
const TPCS = DMA_ENGINES;
/** Queue managers of the matrix engines, in the order of the queues (gaudi_init_mme_qmans). */
const MMES = [2, 0] as const;

export function qman(engine: string, row: QmanRow, ...index: number[]): number {
  return register(`${engine}_QM`, qmanRegisters.rows[row], ...index);
}

export function dma(n: number, row: keyof typeof dmaCore.rows): number {
  return register(`DMA${n}_CORE`, dmaCore.rows[row]);
}

function tpc(n: number, row: keyof typeof tpcCfg.rows): number {
  return register(`TPC${n}_CFG`, tpcCfg.rows[row]);
}

/** The device address of sync objects and monitors of a DCORE. */
function syncBase(dcore: 'E_N' | 'W_S', row: 'MON_PAY_ADDRL' | 'SOB_OBJ'): number {
  return CFG_BASE + register(`SYNC_MNGR_OBJS_${dcore}`, syncManager.rows[row]);
}

/** Engine of a queue manager, as in the block's name, for the engine of a queue, e.g. MME_0. */
export function blockOfEngine(engine: string): string {
  if (engine === 'MME_0') return 'MME2';
  if (engine === 'MME_1') return 'MME0';
  return engine.replace('_', '');
}

/** Where the queue of a stream lies. @param engine e.g. `DMA_0`. @returns device address and number of entries */
export type QueuePlace = (engine: string, stream: number) => { readonly address: number; readonly length: number };

/** hw_init's part about engines. */
/** @param stops whether queues and engines stop at errors */
export function initEngines(card: PciDevice, place: QueuePlace, stops: boolean): void {
  for (const n of DMA_ENGINES) {
    const external = n < 2;
    initQman(card, `DMA${n}`, `DMA_${n}`, {
      external,
      event: `DMA${n}_QM`,
      westSouth: external || n === 5,
      place,
      stops,
    });
    initDmaCore(card, n, stops);
    card.write(qman(`DMA${n}`, 'GLBL_CFG0'), external ? UPPER.PQF | UPPER.CQF | UPPER.CP : ALL.PQF | ALL.CQF | ALL.CP);
  }
  MMES.forEach((n, i) => {
    initQman(card, `MME${n}`, `MME_${i}`, { external: false, event: `MME${n}_QM`, westSouth: false, place, stops });
    card.write(qman(`MME${n}`, 'GLBL_CFG0'), ALL.PQF | ALL.CQF | ALL.CP);
  });
  for (const n of TPCS) {
    initQman(card, `TPC${n}`, `TPC_${n}`, { external: false, event: `TPC${n}_QM`, westSouth: n === 6, place, stops });
    card.write(qman(`TPC${n}`, 'GLBL_CFG0'), ALL.PQF | ALL.CQF | ALL.CP);
    card.write(tpc(n, 'SM_BASE_ADDRESS_HIGH'), high(syncBase('E_N', 'SOB_OBJ')));
  }
}

interface QmanKind {
  /** It takes command buffers of the driver, and has no lower command processor that the driver uses. */
  readonly external: boolean;
  readonly event: string;
  /** Short messages reach the sync manager W_S by bases 2 and 3. */
  readonly westSouth: boolean;
  readonly place: QueuePlace;
  /** It stops at errors. */
  readonly stops: boolean;
}

function initQman(card: PciDevice, block: string, engine: string, kind: QmanKind): void {
  const write = (row: QmanRow, value: number, ...index: number[]) => card.write(qman(block, row, ...index), value);
  const bases = (cp: number) => {
    const list = [syncBase('E_N', 'MON_PAY_ADDRL'), syncBase('E_N', 'SOB_OBJ')];
    if (kind.westSouth) list.push(syncBase('W_S', 'MON_PAY_ADDRL'), syncBase('W_S', 'SOB_OBJ'));
    list.forEach((base, n) => {
      write('CP_MSG_BASE_ADDR_LO', low(base), n, cp);
      write('CP_MSG_BASE_ADDR_HI', high(base), n, cp);
    });
  };
  const transfers = (cp: number, where: { readonly SIZE: number; readonly SRC: number; readonly DST: number }) => {
    write('CP_LDMA_TSIZE_OFFSET', where.SIZE, cp);
    write('CP_LDMA_SRC_BASE_LO_OFFSET', where.SRC, cp);
    write('CP_LDMA_DST_BASE_LO_OFFSET', where.DST, cp);
  };
  for (let stream = 0; stream < 4; stream++) {
    const { address, length } = kind.place(engine, stream);
    write('PQ_BASE_LO', low(address), stream);
    write('PQ_BASE_HI', high(address), stream);
    write('PQ_SIZE', Math.log2(length), stream);
    write('PQ_PI', 0, stream);
    write('PQ_CI', 0, stream);
    transfers(stream, kind.external ? LDMA : CPDMA);
    bases(stream);
    if (kind.external) write('CP_BARRIER_CFG', 0x100, stream);
  }
  if (!kind.external) {
    transfers(4, LDMA);
    bases(4);
  }
  const units = kind.external ? UPPER : ALL;
  const mask = units.PQF | units.CQF | units.CP;
  write('GLBL_ERR_CFG', kind.stops ? mask + mask * 2 ** 16 + STOP_ARB : mask);
  write('GLBL_ERR_ADDR_LO', low(CFG_BASE + SETSPI));
  write('GLBL_ERR_ADDR_HI', high(CFG_BASE + SETSPI));
  write('GLBL_ERR_WDATA', spiOf(kind.event));
  write('ARB_ERR_MSG_EN', ARB_ERRORS);
  write('ARB_SLV_CHOISE_WDT', ARB_WATCHDOG);
  write('GLBL_CFG1', 0);
  write('GLBL_PROT', (kind.external ? UPPER.PQF | UPPER.CQF | UPPER.CP : UPPER.PQF) | PROT_ERR);
}

function initDmaCore(card: PciDevice, n: number, stops: boolean): void {
  card.write(dma(n, 'RD_MAX_OUTSTAND'), 0);
  card.write(dma(n, 'RD_MAX_SIZE'), 0);
  card.write(dma(n, 'LBW_MAX_OUTSTAND'), 15);
  card.write(dma(n, 'ERR_CFG'), ERR_CFG.ERR_MSG_EN | (stops ? ERR_CFG.STOP_ON_ERR : 0));
  card.write(dma(n, 'ERRMSG_ADDR_LO'), low(CFG_BASE + SETSPI));
  card.write(dma(n, 'ERRMSG_ADDR_HI'), high(CFG_BASE + SETSPI));
  card.write(dma(n, 'ERRMSG_WDATA'), spiOf(`DMA${n}_CORE`));
  card.write(dma(n, 'PROT'), PROT.ERR_VAL);
  card.write(dma(n, 'SECURE_PROPS'), PROPS.MMBP);
  card.write(dma(n, 'CFG_0'), CFG_0.EN);
}

function spiOf(event: string): number {
  const row = events.find(({ name }) => name === event);
  if (!row) throw new Error(`no event ${event}`);
  return row.spi;
}

/** gaudi_mmu_prepare: all that engines do for programs is translated in this address space. */
export function setAddressSpace(card: PciDevice, asid: number): void {
  const set = (offset: number) => card.write(offset, ((card.read(offset) & ~0x7ff) | asid) >>> 0);
  const qmans = [...DMA_ENGINES.map((n) => `DMA${n}`), ...TPCS.map((n) => `TPC${n}`), 'MME0', 'MME2'];
  for (const block of qmans) for (let cp = 0; cp < 5; cp++) set(qman(block, 'GLBL_NON_SECURE_PROPS', cp));
  for (const n of DMA_ENGINES) set(dma(n, 'NON_SECURE_PROPS'));
  for (const n of TPCS) {
    set(tpc(n, 'ARUSER_LO'));
    set(tpc(n, 'AWUSER_LO'));
  }
  for (const n of [0, 1, 2, 3]) {
    set(register(`MME${n}_SBAB`, mmeSbab.rows.ARUSER0));
    set(register(`MME${n}_SBAB`, mmeSbab.rows.ARUSER1));
    set(register(`MME${n}_ACC`, mmeAcc.rows.WBC));
  }
}

/** gaudi_halt_engines, without the interrupts. */
export function* haltEngines(card: PciDevice): Steps {
  const qmans = ['MME0', 'MME2', ...TPCS.map((n) => `TPC${n}`), ...DMA_ENGINES.map((n) => `DMA${n}`)];
  for (const block of qmans) {
    const upperOnly = ['DMA0', 'DMA1', 'DMA5'].includes(block);
    card.write(qman(block, 'GLBL_CFG1'), upperOnly ? UPPER.CP : ALL.CP);
  }
  yield HALT_WAIT;
  for (const n of DMA_ENGINES) card.write(dma(n, 'CFG_1'), CFG_1.HALT);
  for (const n of TPCS) card.write(tpc(n, 'TPC_STALL'), 1);
  for (const n of [0, 1, 2, 3]) {
    // twice each: the hardware's erratum H3-1800
    for (let i = 0; i < 2; i++) card.write(register(`MME${n}_ACC`, mmeAcc.rows.ACC_STALL), 1);
    for (let i = 0; i < 2; i++) card.write(register(`MME${n}_SBAB`, mmeSbab.rows.SB_STALL), 1);
  }
  yield HALT_WAIT;
  for (const block of qmans) card.write(qman(block, 'GLBL_CFG0'), 0);
}

export interface Idleness {
  readonly idle: boolean;
  /** Bit n: the engine with id n is busy. */
  readonly busy: bigint;
  /** As HL_INFO_ENGINE_STATUS tells it: every line keeps the NUL that ends it (hl_engine_data_sprintf). */
  readonly text: string;
}

/** gaudi_is_device_idle. */
export function idleness(card: PciDevice): Idleness {
  let busy = 0n;
  let text = '';
  const hex = (value: number) => `0x${value.toString(16)}`;
  const line = (id: number, idle: boolean, name: keyof typeof gaudi_engine_id, ...columns: string[]) => {
    if (!idle) busy |= 1n << BigInt(gaudi_engine_id[name].value);
    const [first = '', second = '', third = ''] = columns;
    text += `${`${id}`.padEnd(5)}${(idle ? 'Y' : 'N').padEnd(9)}${first.padEnd(14)}${second.padEnd(12)}${third}\n\0`;
  };
  const queue = (block: string) => {
    const [status, gating] = [card.read(qman(block, 'GLBL_STS0')), card.read(qman(block, 'CGM_STS'))];
    const idle = (status & IDLE.QMAN) === IDLE.QMAN && (gating & IDLE.CGM) === IDLE.CGM;
    return { idle, columns: [hex(status), hex(gating)] };
  };
  text += heading('DMA', 'DMA_CORE_STS0');
  for (const n of DMA_ENGINES) {
    const core = card.read(dma(n, 'STS0'));
    const { idle, columns } = queue(`DMA${n}`);
    line(n, idle && (core & STS0.BUSY) === 0, `GAUDI_ENGINE_ID_DMA_${n}`, ...columns, hex(core));
  }
  text += heading('TPC', 'CFG_STATUS');
  for (const n of TPCS) {
    const status = card.read(tpc(n, 'STATUS'));
    const { idle, columns } = queue(`TPC${n}`);
    line(n, idle && (status & IDLE.TPC) === IDLE.TPC, `GAUDI_ENGINE_ID_TPC_${n}`, ...columns, hex(status));
  }
  text += heading('MME', 'ARCH_STATUS');
  for (const n of [0, 1, 2, 3] as const) {
    const status = card.read(register(`MME${n}_CTRL`, mmeCtrl.rows.ARCH_STATUS));
    // 1 and 3 are slaves and have no queues
    const { idle, columns } = n % 2 === 0 ? queue(`MME${n}`) : { idle: true, columns: ['-', '-'] };
    line(n, idle && (status & IDLE.MME) === IDLE.MME, `GAUDI_ENGINE_ID_MME_${n}`, ...columns, hex(status));
  }
  text += '\nNIC  is_idle  QM_GLBL_STS0  QM_CGM_STS\n---  -------  ------------  ----------\n\0\n\0';
  return { idle: busy === 0n, busy, text };
}

function heading(kind: string, last: string): string {
  return `\n${kind}  is_idle  QM_GLBL_STS0  QM_CGM_STS  ${last}\n---  -------  ------------  ----------  ${'-'.repeat(last.length)}\n\0`;
}

/** What a new context finds: completions of DMA cores count sync objects, no arbitration. */
export function restoreEngineRegisters(card: PciDevice): void {
  for (const n of DMA_ENGINES) {
    const object = syncBase('E_N', 'SOB_OBJ') + 4 * n;
    card.write(dma(n, 'WR_COMP_ADDR_LO'), low(object));
    card.write(dma(n, 'WR_COMP_ADDR_HI'), high(object));
    card.write(dma(n, 'WR_COMP_WDATA'), 0x8000_0001);
    if (n > 1) card.write(dma(n, 'WR_AWUSER_31_11'), 1);
  }
  const nics = [0, 1, 2, 3, 4].flatMap((macro) => [`NIC${macro}_QM0`, `NIC${macro}_QM1`]);
  const blocks = [...DMA_ENGINES.map((n) => `DMA${n}_QM`), 'MME0_QM', 'MME2_QM', ...TPCS.map((n) => `TPC${n}_QM`)];
  for (const block of [...blocks, ...nics]) card.write(register(block, qmanRegisters.rows.ARB_CFG_0), 0);
}

/** What the driver has the tensor cores execute to initialise their memories (gaudi_run_tpc_kernel). */
export function* runTpcKernel(
  card: PciDevice,
  n: number,
  kernel: number,
  done: (check: () => boolean) => Steps<boolean>,
) {
  const addresses = [
    ['QM_KERNEL_BASE_ADDRESS_LOW', 'QM_KERNEL_BASE_ADDRESS_HIGH'],
    ['ICACHE_BASE_ADDERESS_LOW', 'ICACHE_BASE_ADDERESS_HIGH'],
    ['LUT_FUNC256_BASE_ADDR_LO', 'LUT_FUNC256_BASE_ADDR_HI'],
  ] as const;
  for (const [lo, hi] of addresses) {
    card.write(tpc(n, lo), low(kernel));
    card.write(tpc(n, hi), high(kernel));
  }
  card.write(tpc(n, 'QM_SYNC_OBJECT_ADDR'), low(syncBase('E_N', 'SOB_OBJ')));
  const VECTOR_PIPE_EMPTY = 0x04;
  const empty = () => (card.read(tpc(n, 'STATUS')) & VECTOR_PIPE_EMPTY) !== 0;
  card.write(tpc(n, 'TPC_CMD'), 1 | (1 << 4));
  yield MS;
  if (!(yield* done(empty))) throw new Error(`Timeout while waiting for TPC${n} icache prefetch`);
  card.write(tpc(n, 'TPC_EXECUTE'), 1);
  yield MS;
  if (!(yield* done(empty))) throw new Error(`Timeout while waiting for TPC${n} vector pipe`);
  if (!(yield* done(() => card.read(tpc(n, 'WQ_INFLIGHT_CNTR')) === 0)))
    throw new Error(`Timeout while waiting for TPC${n} kernel to execute`);
}
