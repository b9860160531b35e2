/**
 * What the driver says of an event besides its name: where an ECC error was, why an engine complains.
 * Source: gaudi.c (gaudi_handle_ecc_event, gaudi_extract_ecc_info, gaudi_hbm_read_interrupts, gaudi_tpc_read_interrupts,
 * gaudi_print_nic_axi_irq_info, gaudi_print_out_of_sync_info, gaudi_print_fw_alive_info, gaudi_print_clk_change_info,
 * gaudi_print_sm_sei_info); layouts of the data: cpucp_if.h, struct hl_eq_*.
 */

import { DEV_STS0 } from '../../../specs/gaudi/boot.ts';
import { events } from '../../../specs/gaudi/events.ts';
import { common, ECC_CLEAR } from '../../../specs/gaudi/registers/common.ts';
import { SEI_CAUSE } from '../../../specs/gaudi/registers/sync-manager.ts';
import { tpcCfg } from '../../../specs/gaudi/registers/tpc-cfg.ts';
import { ModelError } from '../../sim/errors.ts';
import type { Card } from './card.ts';
import type { FirmwareEvent } from './cpucp.ts';
import { BOOT_REGISTERS } from './firmware-load.ts';
import { register } from './registers.ts';

/** gaudi.c, gaudi_tpc_interrupts_cause. */
const TPC_CAUSES = [
  'tpc_address_exceed_slm',
  'tpc_div_by_0',
  'tpc_spu_mac_overflow',
  'tpc_spu_addsub_overflow',
  'tpc_spu_abs_overflow',
  'tpc_spu_fp_dst_nan_inf',
  'tpc_spu_fp_dst_denorm',
  'tpc_vpu_mac_overflow',
  'tpc_vpu_addsub_overflow',
  'tpc_vpu_abs_overflow',
  'tpc_vpu_fp_dst_nan_inf',
  'tpc_vpu_fp_dst_denorm',
  'tpc_assertions',
  'tpc_illegal_instruction',
  'tpc_pc_wrap_around',
  'tpc_qm_sw_err',
  'tpc_hbw_rresp_err',
  'tpc_hbw_bresp_err',
  'tpc_lbw_rresp_err',
  'tpc_lbw_bresp_err',
] as const;
/** The cause that only a reset ends. */
const QUEUE_AT_FAULT = 15;
/** Memories of a block that can tell of ECC errors themselves; what other blocks have to say is in the event. */
const ECC_MEMORIES = { TPC: 90, ACC: 128, SBAB: 33 } as const;
const NIC_CAUSES = ['RXB', 'RXE', 'TXS', 'TXE', 'QPC_RESP', 'NON_AXI_ERR', 'TMR'] as const;
const SYNC_MANAGERS = ['SYNC_MGR_E_N', 'SYNC_MGR_W_N', 'SYNC_MGR_E_S', 'SYNC_MGR_W_S'] as const;

const hex = (value: number | bigint) => `0x${value.toString(16)}`;
/** As the kernel's %#llx. */
const alternate = (value: bigint) => (value === 0n ? '0' : hex(value));

export function logEcc(card: Card, name: string, data: DataView): void {
  const own = /^(?:TPC(?<tpc>\d)|MME(?<mme>\d)_(?<part>ACC|SBAB))_(?<kind>[SD]ERR)$/.exec(name)?.groups;
  const fromFirmware =
    /^(PCIE_(CORE|IF|PHY)_|DMA\d_|CPU_IF_|PSOC_(MEM|CORESIGHT)_|SRAM\d+_|NIC\d_[SD]|DMA_IF\d_|HBM_\d_|MMU_)/;
  if (own) {
    const block = own.tpc === undefined ? `MME${own.mme}_${own.part}` : `TPC${own.tpc}_CFG`;
    const memories = ECC_MEMORIES[own.tpc === undefined ? (own.part as 'ACC' | 'SBAB') : 'TPC'];
    const error = readEcc(card, block, own.kind as 'SERR' | 'DERR', memories);
    if (error) say(card, error.address, error.syndrome, error.memory);
  } else if (fromFirmware.test(name)) {
    say(card, data.getBigUint64(0, true), data.getBigUint64(8, true), data.getUint8(16));
  }
}

function say(card: Card, address: bigint, syndrome: bigint, memory: number): void {
  const where = `address: ${alternate(address)}. Syndrom: ${alternate(syndrome)}. block id ${memory}`;
  card.log('err', `ECC error detected. ${where}`);
}

function readEcc({ pci, log, ...card }: Card, block: string, kind: 'SERR' | 'DERR', memories: number) {
  const { rows } = common;
  const bits = rows[kind === 'DERR' ? 'ECC_DERR' : 'ECC_SERR'];
  const first = register(block, bits);
  // the driver adds up the offsets of the words as it goes: it looks at 0, 1, 3 and 6 (docs/findings/suspected.md)
  let offset = 0;
  for (let i = 0; i < Math.ceil(memories / 32); i++) {
    offset += i * 4;
    const word = pci.read(first + offset);
    if (word === 0) continue;
    const memory = 31 - Math.clz32(word & -word) + 32 * i;
    pci.write(register(block, rows.ECC_MEM_SEL), memory);
    const address = BigInt(pci.read(register(block, rows.ECC_ADDRESS)));
    const syndrome = BigInt(pci.read(register(block, rows.ECC_SYNDROME)));
    const clear = register(block, rows.ECC_MEM_INFO_CLR);
    pci.write(clear, pci.read(clear) | ECC_CLEAR[kind]);
    return { address, syndrome, memory };
  }
  log.call(card, 'err', 'ECC error information cannot be found');
  return undefined;
}

/** @throws ModelError for old firmware, with which the driver looks at the memory controllers itself */
export function logHbm(card: Card, name: string, data: DataView): void {
  if ((card.pci.read(BOOT_REGISTERS.DEV_STS0) & DEV_STS0.HBM_ECC_EN) === 0)
    throw new ModelError('unimplemented', `event ${name}`, 'registers of the HBM controllers');
  const device = name.charAt(3);
  const word = (at: number) => data.getUint32(at, true);
  const info = word(8);
  const bit = (n: number) => (info >>> n) & 1;
  const channel = (info >>> 6) & 0x1f;
  const where = `HBM${device} pc${channel}`;
  card.log(
    'err',
    `${where} interrupts info: WR_PAR=${bit(0)}, RD_PAR=${bit(1)}, CA_PAR=${bit(2)}, SERR=${bit(4)}, DERR=${bit(3)}`,
  );
  card.log(
    'err',
    `${where} ECC info: 1ST_ERR_ADDR=${hex(word(12))}, 1ST_ERR_TYPE=${bit(5)}, SEC_CONT_CNT=${word(16)}, SEC_CNT=${word(0)}, DEC_CNT=${word(4)}`,
  );
}

/** @returns whether the card must be reset */
export function logTpc(card: Card, name: string): boolean {
  const [, tpc, kind] = /^TPC(\d)_(\w+)$/.exec(name) as RegExpExecArray;
  const label = kind === 'DEC' ? 'AXI_SLV_DEC_Error' : kind;
  const at = register(`TPC${tpc}_CFG`, tpcCfg.rows.TPC_INTR_CAUSE);
  const causes = card.pci.read(at);
  TPC_CAUSES.forEach((cause, bit) => {
    if (causes & (1 << bit)) card.log('err', `TPC${tpc}_${label} interrupt cause: ${cause}`);
  });
  card.pci.write(at, 0);
  return (causes & (1 << QUEUE_AT_FAULT)) !== 0;
}

export function logNic(card: Card, { id, data }: FirmwareEvent, name: string): void {
  const number = data.getUint8(0);
  const cause = NIC_CAUSES[number];
  if (cause === undefined) card.log('err', `unknown NIC AXI cause ${number}`);
  const unit = `NIC${name.slice('NIC_SEI_'.length)}_${cause ?? 'N/A'}${data.getUint8(1)}`;
  card.log('err', `Received H/W interrupt ${id} ["${unit}"]`);
}

export function logSyncManager(card: Card, { id, data }: FirmwareEvent): void {
  const first = events.find(({ name }) => name === 'DMA_IF_SEI_0')?.id ?? 0;
  const name = SYNC_MANAGERS[((id - first) ^ 3) & 3];
  const log = data.getUint32(0, true);
  const causes = {
    [SEI_CAUSE.SO_OVERFLOW]: `SOB Group ${log} overflow/underflow`,
    [SEI_CAUSE.LBW_4B_UNALIGNED]: `Unaligned 4B LBW access, monitor agent address low - 0x${log.toString(16)}`,
    [SEI_CAUSE.AXI_RESPONSE_ERR]: `AXI ID ${log} response error`,
  };
  const cause = causes[data.getUint8(4) as keyof typeof causes];
  card.log('err', cause ? `${name} SEI Error: ${cause}` : `Unknown SM SEI cause ${log}`);
}

export function logHot(card: Card, { id, data }: FirmwareEvent): void {
  card.log('err', `Received high temp H/W interrupt ${id} (cause ${data.getUint8(0)})`);
}

export function logOutOfSync(card: Card, { data }: FirmwareEvent): void {
  const theirs = `pi=${data.getUint32(0, true)}, ci=${data.getUint32(4, true)}`;
  const { pi, ci } = card.firmware.position;
  card.log('err', `Out of sync with FW, FW: ${theirs}, LKD: pi=${pi}, ci=${ci}`);
}

export function logAlive(card: Card, { data }: FirmwareEvent): void {
  const severity = data.getUint8(16) === 0 ? 'Minor' : 'Critical';
  const who = `process_id=${data.getUint32(8, true)}, thread_id=${data.getUint32(12, true)}`;
  card.log('err', `FW alive report: severity=${severity}, ${who}, uptime=${data.getBigUint64(0, true)} seconds`);
}

/** Why, when and for how long the clock was slowed (struct hl_clk_throttle). */
export class ClockThrottling {
  /** HL_CLK_THROTTLE_*: what holds now. */
  reasons = 0;
  /** By kind, power and heat: when it began and ended; ended is 0 while it lasts. */
  readonly spans: ({ start: number; end: number } | undefined)[] = [undefined, undefined];

  take(card: Card, name: string): void {
    const kind = name.startsWith('FIX_POWER') ? 0 : 1;
    const begins = name.endsWith('_S');
    const now = card.kernel.now();
    if (begins) {
      this.reasons |= 1 << kind;
      this.spans[kind] = { start: now, end: 0 };
    } else {
      this.reasons &= ~(1 << kind);
      const span = this.spans[kind];
      if (span) span.end = now;
    }
    const texts = [
      ['Power envelop is safe, back to optimal clock', 'Clock throttling due to power consumption'],
      ['Thermal envelop is safe, back to optimal clock', 'Clock throttling due to overheating'],
    ] as const;
    card.log('info', texts[kind][begins ? 1 : 0]);
  }
}
