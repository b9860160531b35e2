/**
 * Which addresses programs may not reach: ranges in the routers (gaudi_security.c, gaudi_init_range_registers_lbw and
 * _hbw). The bits that protect single registers (gaudi_init_protection_bits) are not set here: they let through only who is
 * privileged, and the chip of this project does not tell who is.
 */

import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { dmaIf } from '../../../specs/gaudi/registers/dma-if.ts';
import { mmeAcc, mmeSbab } from '../../../specs/gaudi/registers/mme.ts';
import { pcieWrap } from '../../../specs/gaudi/registers/pcie.ts';
import { lbwRouter, routerCtrl } from '../../../specs/gaudi/registers/router.ts';
import type { RegisterRow } from '../../sim/registers.ts';
import type { PciDevice } from './pci.ts';
import { blocksLike, high, low, register } from './registers.ts';

/** Ranges of registers, offsets in the configuration space: the first byte, and the one after the last. */
const REGISTERS: readonly (readonly [from: number, to: number])[] = [
  [0xe_8000, 0x12_0000],
  [0x1e_8000, 0x49_0000],
  [0x60_0000, 0xc4_9000],
  [0xc4_a000, 0xce_0000],
  [0xce_4000, 0xd2_0000],
  [0xd2_4000, 0xd6_0000],
  [0xd6_4000, 0xda_0000],
  [0xda_4000, 0xde_0000],
  [0xde_4000, 0xe0_6000],
  [0xfc_9000, 0x3ff_ffff],
];

/** Ranges of memory: base, and the mask of the address bits that count. The second may be read. */
const MEMORY = [
  { base: addressMap.HBM_BASE, mask: 0xe000_0000, readable: false },
  { base: addressMap.SRAM_BASE, mask: 0xffff_ff80, readable: true },
  { base: addressMap.PSOC_SCRATCHPAD_BASE, mask: 0xffff_0000, readable: false },
  { base: addressMap.PCIE_FW_SRAM_BASE, mask: 0xffff_8000, readable: false },
  { base: addressMap.SPI_FLASH_BASE, mask: 0xfe00_0000, readable: false },
] as const;
const MASK_HIGH = 0x3_ffff;

export function initSecurity(card: PciDevice): void {
  for (const n of [0, 1, 2, 3]) {
    card.write(register(`MME${n}_SBAB`, mmeSbab.rows.PROT), 2);
    card.write(register(`MME${n}_ACC`, mmeAcc.rows.PROT), 2);
  }
  card.write(register('PCIE_WRAP', pcieWrap.rows.RAZWI_RSP), 1);
  const { rows: r } = lbwRouter;
  for (const block of blocksLike(/^[SN]IF_RTR_\d$/)) {
    protectRegisters(card, block, r.LBW_RANGE_PROT_HIT_AW, r.LBW_RANGE_PROT_MIN_AW, r.LBW_RANGE_PROT_MAX_AW);
    protectRegisters(card, block, r.LBW_RANGE_PROT_HIT_AR, r.LBW_RANGE_PROT_MIN_AR, r.LBW_RANGE_PROT_MAX_AR);
  }
  const { rows: d } = dmaIf;
  for (const block of blocksLike(/^DMA_IF_[WE]_[NS]$/)) {
    for (const port of ['SOB', 'DMA0', 'DMA1'] as const) {
      protectRegisters(card, block, d[`${port}_HIT_WPROT`], d[`${port}_MIN_WPROT`], d[`${port}_MAX_WPROT`]);
      protectRegisters(card, block, d[`${port}_HIT_RPROT`], d[`${port}_MIN_RPROT`], d[`${port}_MAX_RPROT`]);
    }
  }
  for (const block of blocksLike(/^([SN]IF_RTR_CTRL_\d|DMA_IF_[WE]_[NS]_DOWN_CH\d)$/)) protectMemory(card, block);
}

function protectRegisters(card: PciDevice, block: string, hit: RegisterRow, min: RegisterRow, max: RegisterRow): void {
  card.write(register(block, hit), 2 ** REGISTERS.length - 1);
  REGISTERS.forEach(([from, to], i) => {
    card.write(register(block, min, i), from - 1);
    card.write(register(block, max, i), to);
  });
}

function protectMemory(card: PciDevice, block: string): void {
  const { rows } = routerCtrl;
  for (const way of ['AW', 'AR'] as const) {
    const applies = MEMORY.map(({ readable }) => way === 'AW' || !readable);
    card.write(
      register(block, rows[`RANGE_SEC_HIT_${way}`]),
      applies.reduce((bits, on, i) => bits | (on ? 1 << i : 0), 0),
    );
    MEMORY.forEach(({ base, mask }, i) => {
      if (!applies[i]) return;
      card.write(register(block, rows[`RANGE_SEC_BASE_LOW_${way}`], i), low(base));
      card.write(register(block, rows[`RANGE_SEC_BASE_HIGH_${way}`], i), high(base));
      card.write(register(block, rows[`RANGE_SEC_MASK_LOW_${way}`], i), mask);
      card.write(register(block, rows[`RANGE_SEC_MASK_HIGH_${way}`], i), MASK_HIGH);
    });
  }
}
