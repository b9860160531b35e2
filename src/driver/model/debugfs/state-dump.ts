/**
 * What the driver writes down of the card when work has taken too long, or a sync manager has told of an error: sync objects that are
 * not zero, monitors that are armed, command processors that wait in a fence. Source: common/state_dump.c (hl_state_dump),
 * gaudi.c (gaudi_gen_sync_to_engine_map, gaudi_print_single_monitor, gaudi_print_fences_single_engine),
 * common/debugfs.c (hl_debugfs_set_state_dump, hl_state_dump_write).
 */

import { addressMap } from '../../../../specs/gaudi/address-map.ts';
import { dmaCore } from '../../../../specs/gaudi/registers/dma-core.ts';
import { mmeCtrl } from '../../../../specs/gaudi/registers/mme.ts';
import { qmanRegisters } from '../../../../specs/gaudi/registers/qman.ts';
import {
  ARM,
  GROUP_SIZE,
  MONITORS,
  STATUS,
  SYNC_OBJECTS,
  syncManager,
} from '../../../../specs/gaudi/registers/sync-manager.ts';
import { tpcCfg } from '../../../../specs/gaudi/registers/tpc-cfg.ts';
import { MONITOR_NAMES, SYNC_OBJECT_NAMES } from '../../../../specs/gaudi/sync-names.ts';
import type { PciDevice } from '../pci.ts';
import { low, register } from '../registers.ts';

/** Dumps that are kept (HL_STATE_DUMP_HIST_LEN). */
const KEPT = 5;

/** The last dumps, as a ring: the file shows the newest, until it is skipped. */
export class StateDumps {
  readonly #dumps: (string | undefined)[] = Array(KEPT).fill(undefined);
  #head = 0;

  get newest(): string {
    return this.#dumps[this.#head] ?? '';
  }

  add(dump: string): void {
    this.#head = (this.#head + 1) % KEPT;
    this.#dumps[this.#head] = dump;
  }

  /** Forgets the newest ones, where there is any. @returns false where none or all of them are to be */
  skip(count: bigint): boolean {
    if (count <= 0n || count >= BigInt(KEPT)) return false;
    if (this.#dumps[this.#head] === undefined) return true;
    for (let i = 0n; i < count; i++) {
      this.#dumps[this.#head] = undefined;
      this.#head = (this.#head + KEPT - 1) % KEPT;
    }
    return true;
  }
}

/** In the order of the dump (gaudi_sync_manager_names). */
const CORNERS = ['E_N', 'W_N', 'E_S', 'W_S'] as const;
const COUNT = { TPC: 8, DMA: 8 } as const;
/** The matrix engines that have a queue manager, and with each the one that it leads. */
const MASTERS = [0, 2] as const;

const binary = (value: number) => `0b${value === 0 ? '' : value.toString(2)}`;

/** @param now nanoseconds since the kernel began */
export function stateDump(pci: PciDevice, now: number): string {
  const sections = [
    `Timestamp taken on: ${now}\n`,
    `Non zero sync objects:\n${CORNERS.map((corner) => objects(pci, corner, engines(pci))).join('')}`,
    `Valid (armed) monitor objects:\n${CORNERS.map((corner) => monitors(pci, corner)).join('')}`,
    `Valid (armed) fences:\n${fences(pci)}`,
  ];
  return sections.map((section) => `${section}\n`).join('');
}

/** Engines by the register of the sync object that they write to; of several the last. */
function engines(pci: PciDevice): ReadonlyMap<number, string> {
  const map = new Map<number, string>();
  const note = (at: number, engine: string) => {
    const value = pci.read(at);
    if (value !== 0 && value !== 0xffff_ffff) map.set((value - low(addressMap.CFG_BASE)) >>> 0, engine);
  };
  for (let i = 0; i < COUNT.TPC; i++) note(register(`TPC${i}_CFG`, tpcCfg.rows.QM_SYNC_OBJECT_ADDR), `TPC${i}`);
  const { ARCH_DESC_SYNC_OBJECT_ADDR_LOW_LOCAL: local, ARCH_DESC_SYNC_OBJECT_ADDR_LOW_REMOTE: remote } = mmeCtrl.rows;
  for (const master of MASTERS)
    [local, remote].forEach((row, i) => {
      note(register(`MME${master}_CTRL`, row), `MME${master + i}`);
    });
  for (let i = 0; i < COUNT.DMA; i++) note(register(`DMA${i}_CORE`, dmaCore.rows.WR_COMP_ADDR_LO), `DMA${i}`);
  return map;
}

type Corner = (typeof CORNERS)[number];

const manager = (corner: Corner, row: keyof typeof syncManager.rows, index: number) =>
  register(`SYNC_MNGR_OBJS_${corner}`, syncManager.rows[row], index);

function objects(pci: PciDevice, corner: Corner, writers: ReadonlyMap<number, string>): string {
  let text = `SYNC_MGR_${corner}\n`;
  for (let i = 0; i < SYNC_OBJECTS; i++) {
    const at = manager(corner, 'SOB_OBJ', i);
    const value = pci.read(at);
    if (value === 0) continue;
    const name = SYNC_OBJECT_NAMES[i];
    const writer = writers.get(at);
    text += `sync id: ${i}${name ? ` ${name}` : ''}, value: ${value}${writer ? `, Engine: ${writer}` : ''}\n`;
  }
  return text;
}

function monitors(pci: PciDevice, corner: Corner): string {
  let text = `SYNC_MGR_${corner}\n`;
  for (let i = 0; i < MONITORS; i++) {
    const status = pci.read(manager(corner, 'MON_STATUS', i));
    if ((status & STATUS.VALID) === 0) continue;
    const arm = pci.read(manager(corner, 'MON_ARM', i));
    const group = arm & ARM.SID;
    const mask = (arm & ARM.MASK) >>> ARM.MASK_SHIFT;
    const watched: number[] = [];
    // as the driver does: none beyond the highest object that does not take part (gaudi_fill_sobs_from_mon)
    for (let left = mask, bit = 0; left !== 0; left >>>= 1, bit++)
      if ((left & 1) === 0) watched.push(group * GROUP_SIZE + bit);
    const [upper, lower, data] = (['MON_PAY_ADDRH', 'MON_PAY_ADDRL', 'MON_PAY_DATA'] as const).map((row) =>
      pci.read(manager(corner, row, i)),
    ) as [number, number, number];
    const address = (BigInt(upper) << 32n) | BigInt(lower);
    const pending = (status & STATUS.PENDING) >>> STATUS.PENDING_SHIFT;
    text +=
      `Mon id: ${i}${MONITOR_NAMES.get(i) ?? ''}, wait for group id: ${group} mask ${binary(mask)} to reach val: ` +
      `${arm >>> ARM.SOD_SHIFT} and write ${data} to address 0x${address.toString(16)}. Pending: ${binary(pending)}. ` +
      `Means sync objects [${watched.join(', ')}] are being monitored.\n`;
  }
  return text;
}

/** Streams of a queue manager; the driver does not look at the lower command processor (gaudi_print_fences_single_engine). */
const STREAMS = 4;
const { CP_FENCE_CNT, CP_FENCE_RDATA, CP_STS } = qmanRegisters.rows;
/** specs: CP_STS, bits of who waits in a fence. */
const WAITING = { FLAG: 1 << 22, SHIFT: 20, MASK: 3 } as const;

function fences(pci: PciDevice): string {
  let text = '';
  const look = (block: string, engine: string) => {
    for (let stream = 0; stream < STREAMS; stream++) {
      const status = pci.read(register(block, CP_STS, stream));
      if ((status & WAITING.FLAG) === 0) continue;
      const fence = (status >>> WAITING.SHIFT) & WAITING.MASK;
      const at = (row: typeof CP_FENCE_CNT | typeof CP_FENCE_RDATA) =>
        `0x${(addressMap.CFG_BASE + register(block, row, fence, stream)).toString(16)}`;
      // as the driver does, which shows another counter: fence 0 of the stream with the number of the fence
      const value = pci.read(register(block, CP_FENCE_CNT, 0, fence));
      const where = (name: string) => `${engine}_QM.CP_FENCE${fence}_${name}_${stream}`;
      text +=
        `${engine}, stream ${stream}: fence id ${fence} cnt = ${at(CP_FENCE_CNT)} (${where('CNT')}) ` +
        `rdata = ${at(CP_FENCE_RDATA)} (${where('RDATA')}) value = ${value}, cp_status = ${status}\n`;
    }
  };
  for (let i = 0; i < COUNT.TPC; i++) look(`TPC${i}_QM`, `TPC${i}`);
  MASTERS.forEach((block, i) => {
    look(`MME${block}_QM`, `MME${i}`);
  });
  for (let i = 0; i < COUNT.DMA; i++) look(`DMA${i}_QM`, `DMA${i}`);
  return text;
}
