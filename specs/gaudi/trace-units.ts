/**
 * The units of the debug interface by kind and number: `reg_idx` of DRM_IOCTL_HL_DEBUG is the position in the list. The values
 * are names of blocks (blocks.ts). Source: include/gaudi/gaudi_coresight.h (the enums), gaudi/gaudi_coresight.c (debug_*_regs).
 */

import { names } from './blocks.ts';

const CORNERS = '{W_S|E_S|W_N|E_N}';

/** What engines have, in the order that STM, ETF and SPMU share. */
const MATRIX = 'MME{0..3}_{ACC|SBAB|CTRL}';

export const traceUnits = {
  STM: [
    `${MATRIX}_STM`,
    `DMA_IF_${CORNERS}_STM`,
    'CPU_STM',
    'DMA_CH_{0..7}_CS_STM',
    'PCIE_STM',
    'MMU_CS_STM',
    'PSOC_STM',
    ...nics('STM'),
    'TPC{0..7}_EML_STM',
  ].flatMap(names),
  ETF: [
    `${MATRIX}_ETF`,
    `DMA_IF_${CORNERS}_ETF`,
    'CPU_ETF_{0|1|TRACE}',
    'DMA_CH_{0..7}_CS_ETF',
    'PCIE_ETF',
    'MMU_CS_ETF',
    'PSOC_ETF',
    ...nics('ETF'),
    'TPC{0..7}_EML_ETF',
  ].flatMap(names),
  FUNNEL: [
    'MME{0..3}_ACC_FUNNEL',
    'SRAM_Y{0..2}_X{0..7}_FUNNEL',
    // the enum has X4 before X3
    'SRAM_Y3_X{0|1|2|4|3|5|6|7}_FUNNEL',
    'SIF_FUNNEL_{0..7}',
    'NIF_FUNNEL_{0..7}',
    `DMA_IF_${CORNERS}_FUNNEL`,
    'CPU_FUNNEL',
    `NIC_TPC_FUNNEL_${CORNERS}`,
    'PCIE_FUNNEL',
    'PSOC_FUNNEL',
    'FUNNEL_NIC{0..4}_DBG',
    'TPC{0..7}_EML_FUNNEL',
  ].flatMap(names),
  BMON: [
    ...[0, 1, 2, 3].flatMap((n) => [`MME${n}_ACC_BMON0`, `MME${n}_{SBAB|CTRL}_BMON{0..1}`]),
    `DMA_IF_${CORNERS}_{SOB_WR|HBM0_WR|HBM0_RD|HBM1_WR|HBM1_RD}_BMON`,
    'CPU_{WR|RD}_BMON',
    'DMA_CH_{0..7}_BMON_{0..1}',
    'PCIE_BMON_{MSTR|SLV}_{WR|RD}',
    'MMU_BMON_{0..1}',
    ...[0, 1, 2, 3, 4].map((nic) => `BMON{0..4}_NIC${nic}_DBG`),
    'TPC{0..7}_EML_BUSMON_{0..3}',
  ].flatMap(names),
  SPMU: [
    `${MATRIX}_SPMU`,
    'DMA_CH_{0..7}_CS_SPMU',
    'PCIE_SPMU',
    'MMU_CS_SPMU',
    ...nics('SPMU'),
    'TPC{0..7}_EML_SPMU',
  ].flatMap(names),
} as const satisfies Readonly<Record<string, readonly string[]>>;

function nics(unit: string): string[] {
  return [0, 1, 2, 3, 4].map((nic) => `${unit}_{0..1}_NIC${nic}_DBG`);
}
