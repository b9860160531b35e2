/** Numbers of Goya and Gaudi2 that are part of the interface. */

import { type Constants, constant, counting } from '../rows.ts';

/** `NAME_0` .. `NAME_(count-1)`. */
function numbered(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${name}_${i}`);
}

function prefixed(prefix: string, names: readonly string[]): Constants {
  return counting(...names.map((name) => `${prefix}${name}`));
}

export const goya: Constants = {
  GOYA_KMD_SRAM_RESERVED_SIZE_FROM_START: constant(0x8000, 'bytes at the start of SRAM that the driver uses'),
  ...prefixed('GOYA_QUEUE_ID_', [
    ...numbered('DMA', 5),
    'CPU_PQ',
    'MME',
    ...Array.from({ length: 8 }, (_, i) => `TPC${i}`),
    'SIZE',
  ]),
  ...prefixed('GOYA_ENGINE_ID_', [...numbered('DMA', 5), 'MME_0', ...numbered('TPC', 8), 'SIZE']),
  ...prefixed('HL_GOYA_', ['CPU_PLL', 'IC_PLL', 'MC_PLL', 'MME_PLL', 'PCI_PLL', 'EMMC_PLL', 'TPC_PLL', 'PLL_MAX']),
  ...prefixed('HL_DMA_', [
    'HOST_TO_DRAM',
    'HOST_TO_SRAM',
    'DRAM_TO_SRAM',
    'SRAM_TO_DRAM',
    'SRAM_TO_HOST',
    'DRAM_TO_HOST',
    'DRAM_TO_DRAM',
    'SRAM_TO_SRAM',
    'ENUM_MAX',
  ]),
};

const dcores = [0, 1, 2, 3];

/** Four streams for each engine: two PDMAs; two EDMAs, an MME and six TPCs a DCORE (DCORE0 has a seventh); NICs; rotators. */
function gaudi2Queues(): string[] {
  const engines = [
    ...numbered('PDMA', 2),
    ...dcores.flatMap((d) => [
      ...numbered(`DCORE${d}_EDMA`, 2),
      `DCORE${d}_MME_0`,
      ...numbered(`DCORE${d}_TPC`, d === 0 ? 7 : 6),
    ]),
    ...numbered('NIC', 24),
    ...numbered('ROT', 2),
  ];
  return [...engines.flatMap((engine) => numbered(engine, 4)), 'CPU_PQ', 'SIZE'];
}

function gaudi2Engines(): string[] {
  return [
    ...dcores.flatMap((d) => [
      ...numbered(`DCORE${d}_ENGINE_ID_EDMA`, 2),
      `DCORE${d}_ENGINE_ID_MME`,
      ...numbered(`DCORE${d}_ENGINE_ID_TPC`, 6),
      ...numbered(`DCORE${d}_ENGINE_ID_DEC`, 2),
    ]),
    'DCORE0_ENGINE_ID_TPC_6',
    ...numbered('ENGINE_ID_PDMA', 2),
    ...numbered('ENGINE_ID_ROT', 2),
    ...numbered('PCIE_ENGINE_ID_DEC', 2),
    ...Array.from({ length: 12 }, (_, i) => numbered(`ENGINE_ID_NIC${i}`, 2)).flat(),
    'ENGINE_ID_PCIE',
    'ENGINE_ID_PSOC',
    'ENGINE_ID_ARC_FARM',
    'ENGINE_ID_KDMA',
    'ENGINE_ID_SIZE',
  ];
}

export const gaudi2: Constants = {
  ...prefixed('GAUDI2_QUEUE_ID_', gaudi2Queues()),
  ...prefixed('GAUDI2_', gaudi2Engines()),
  ...prefixed('HL_GAUDI2_', [
    'CPU_PLL',
    'PCI_PLL',
    'SRAM_PLL',
    'HBM_PLL',
    'NIC_PLL',
    'DMA_PLL',
    'MESH_PLL',
    'MME_PLL',
    'TPC_PLL',
    'IF_PLL',
    'VID_PLL',
    'MSS_PLL',
    'PLL_MAX',
  ]),
};
