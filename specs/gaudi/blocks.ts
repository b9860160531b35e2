/**
 * Where the register blocks are. One row may stand for several: `{0..7}` and `{A|B}` in the name are dimensions, and
 * each has its stride. Source: include/gaudi/asic_reg/gaudi_blocks.h of the Linux driver (offsets from CFG_BASE).
 */

export interface BlockRow {
  /** Name with its dimensions, outermost first, e.g. `NIC{0..4}_QM{0..1}`. */
  readonly name: string;
  /** Offset of the first instance from CFG_BASE, bytes. */
  readonly base: number;
  /** Bytes from one instance to the next, per dimension. */
  readonly strides: readonly number[];
  /** Which table in registers/ the block's registers are; `common`: nothing but what every block has. */
  readonly registers: RegisterTable;
}

export type RegisterTable =
  | 'common'
  | 'cpu-if'
  | 'dma-core'
  | 'dma-if'
  | 'dma-if-down'
  | 'efuse'
  | 'gic'
  | 'hbm-mc'
  | 'lbw-router'
  | 'mme-acc'
  | 'mme-ctrl'
  | 'mme-sbab'
  | 'mmu-up'
  | 'none'
  | 'pcie-aux'
  | 'pcie-core'
  | 'pcie-dbi'
  | 'pcie-msi'
  | 'pcie-wrap'
  | 'pll'
  | 'psoc-global-conf'
  | 'psoc-timestamp'
  | 'qman'
  | 'router-ctrl'
  | 'stlb'
  | 'sync-manager'
  | 'tpc-cfg'
  // debug components
  | 'bmon'
  | 'cti'
  | 'funnel'
  | 'rom-table'
  | 'spmu'
  | 'stm'
  | 'tmc';

function block(name: string, base: number, strides: readonly number[], registers: RegisterTable = 'common'): BlockRow {
  return { name, base, strides, registers };
}

/** The four corners of the chip, in the order of their addresses. */
const CORNER = '{W_S|E_S|W_N|E_N}';

export const blocks: readonly BlockRow[] = [
  // Matrix engines: 0 and 2 are masters with a queue manager, 1 and 3 their slaves.
  block('MME{0..3}_ACC', 0x2_0000, [0x8_0000], 'mme-acc'),
  block('MME{0..3}_SBAB', 0x4_0000, [0x8_0000], 'mme-sbab'),
  block('MME{0..3}_PRTN', 0x4_1000, [0x8_0000]),
  block('MME{0..3}_CTRL', 0x6_0000, [0x8_0000], 'mme-ctrl'),
  block('MME{0..3}_QM', 0x6_8000, [0x8_0000], 'qman'),

  // SRAM banks and the routers.
  block('SRAM_Y{0..3}_X{0..7}_BANK', 0x20_0000, [0x4_0000, 0x8000]),
  block('SRAM_Y{0..3}_X{0..7}_RTR', 0x20_1000, [0x4_0000, 0x8000]),
  block('SIF_RTR_{0..7}', 0x30_0000, [0x1_0000], 'lbw-router'),
  block('SIF_RTR_CTRL_{0..7}', 0x30_6000, [0x1_0000], 'router-ctrl'),
  block('NIF_RTR_{0..7}', 0x38_0000, [0x1_0000], 'lbw-router'),
  block('NIF_RTR_CTRL_{0..7}', 0x38_6000, [0x1_0000], 'router-ctrl'),

  // The device CPU.
  block('CPU_CA53_CFG', 0x44_1000, []),
  block('CPU_IF', 0x44_2000, [], 'cpu-if'),
  block('CPU_TIMESTAMP', 0x44_4000, []),

  // Per corner: DMA interface with HBM credits, PLLs, sync manager.
  block(`DMA_IF_${CORNER}`, 0x48_0000, [0x2_0000], 'dma-if'),
  block(`DMA_IF_${CORNER}_DOWN_CH{0..1}`, 0x48_1000, [0x2_0000, 0x1000], 'router-ctrl'),
  block(`DMA_IF_${CORNER}_DOWN`, 0x48_9000, [0x2_0000], 'dma-if-down'),
  block('DMA_W_PLL', 0x48_7000, [], 'pll'),
  block('IF_W_PLL', 0x48_8000, [], 'pll'),
  block('IF_E_PLL', 0x4a_7000, [], 'pll'),
  block('DMA_E_PLL', 0x4a_8000, [], 'pll'),
  block('MESH_W_PLL', 0x4c_7000, [], 'pll'),
  block('SRAM_W_PLL', 0x4c_8000, [], 'pll'),
  block('MESH_E_PLL', 0x4e_7000, [], 'pll'),
  block('SRAM_E_PLL', 0x4e_8000, [], 'pll'),
  block(`SYNC_MNGR_GLBL_${CORNER}`, 0x49_0000, [0x2_0000]),
  block(`SYNC_MNGR_OBJS_${CORNER}`, 0x49_1000, [0x2_0000], 'sync-manager'),

  block('DMA{0..7}_CORE', 0x50_0000, [0x2_0000], 'dma-core'),
  block('DMA{0..7}_QM', 0x50_8000, [0x2_0000], 'qman'),
  block('HBM{0..3}', 0x60_0000, [0x8_0000], 'hbm-mc'),
  block('GIC', 0x80_0000, [], 'gic'),

  // PCI Express, MMU.
  block('PCIE_WRAP', 0xc0_1000, [], 'pcie-wrap'),
  block('PCIE_DBI', 0xc0_2000, [], 'pcie-dbi'),
  block('PCIE_CORE', 0xc0_4000, [], 'pcie-core'),
  block('PCIE_AUX', 0xc0_7000, [], 'pcie-aux'),
  block('PCIE_PHY', 0xc1_0000, []),
  block('MMU_UP', 0xc1_1000, [], 'mmu-up'),
  block('STLB', 0xc1_2000, [], 'stlb'),
  block('PCIE_MSI', 0xc1_3000, [], 'pcie-msi'),

  // Power and system-on-chip control.
  block('PSOC_I2C_M{0..1}', 0xc4_0000, [0x1000]),
  block('PSOC_I2C_S', 0xc4_2000, []),
  block('PSOC_SPI', 0xc4_3000, []),
  block('PSOC_UART_{0..1}', 0xc4_5000, [0x1000]),
  block('PSOC_TIMER', 0xc4_7000, []),
  block('PSOC_WDOG', 0xc4_8000, []),
  block('PSOC_TIMESTAMP', 0xc4_9000, [], 'psoc-timestamp'),
  block('PSOC_EFUSE', 0xc4_a000, [], 'efuse'),
  block('PSOC_GLOBAL_CONF', 0xc4_b000, [], 'psoc-global-conf'),
  block('PSOC_GPIO{0..1}', 0xc4_c000, [0x1000]),
  block('PSOC_BTL', 0xc4_e000, []),
  block('PSOC_CS_TRACE', 0xc4_f000, []),
  block('PSOC_GPIO{2..4}', 0xc5_0000, [0x1000]),
  block('PSOC_DFT_EFUSE', 0xc5_3000, []),
  block('PSOC_RPM_{0..3}', 0xc5_4000, [0x1000]),
  block('PSOC_CPU_PLL', 0xc7_0000, [], 'pll'),
  block('PSOC_MME_PLL', 0xc7_1000, [], 'pll'),
  block('PSOC_PCI_PLL', 0xc7_2000, [], 'pll'),
  block('PSOC_TPC_PLL', 0xc7_3000, [], 'pll'),
  block('PSOC_HBM_PLL', 0xc7_4000, [], 'pll'),
  block('PSOC_PM', 0xc7_5000, []),
  block('PSOC_TS', 0xc7_6000, []),
  block('PSOC_PWM{0..3}', 0xc7_8000, [0x1000]),
  block('PSOC_GPIO{5..6}', 0xc7_c000, [0x1000]),
  block('PCIE_PMA_{0..3}', 0xc8_0000, [0x1_0000]),

  // NIC macros of two ports each.
  block('NIC{0..4}_MAC_CH{0..3}', 0xcc_0000, [0x4_0000, 0x1000]),
  block('NIC{0..4}_STAT', 0xcc_4000, [0x4_0000]),
  block('NIC{0..4}_MAC_XPCS91', 0xcc_5000, [0x4_0000]),
  block('NIC{0..4}_MAC_CORE', 0xcc_8000, [0x4_0000]),
  block('NIC{0..4}_MAC_AUX', 0xcc_9000, [0x4_0000]),
  block('NIC{0..4}_PHY', 0xcd_8000, [0x4_0000]),
  block('NIC{0..4}_QM{0..1}', 0xce_0000, [0x4_0000, 0x2000], 'qman'),
  block('NIC{0..4}_QPC{0..1}', 0xce_4000, [0x4_0000, 0x1000]),
  block('NIC{0..4}_RXB', 0xce_8000, [0x4_0000]),
  block('NIC{0..4}_RXE{0..1}', 0xce_9000, [0x4_0000, 0x1000]),
  block('NIC{0..4}_RX_GW', 0xce_b000, [0x4_0000]),
  block('NIC{0..4}_TXS{0..1}', 0xcf_0000, [0x4_0000, 0x1000]),
  block('NIC{0..4}_TXE{0..1}', 0xcf_2000, [0x4_0000, 0x1000]),
  block('NIC{0..4}_TXB', 0xcf_4000, [0x4_0000]),
  block('NIC{0..4}_TMR', 0xcf_5000, [0x4_0000]),
  block('NIC{0..4}_TX_GW', 0xcf_6000, [0x4_0000]),
  block('NIC{0..1}_TS', 0xcf_8000, [0x4_0000]),
  block('NIC3_TS', 0xdb_8000, []),
  block('NIC{0..1}_PLL', 0xcf_9000, [0x4_0000], 'pll'),
  block('NIC{0..1}_PM', 0xcf_a000, [0x4_0000]),
  block('NIC3_PM', 0xdb_a000, []),
  block('NIC2_HBM_PLL', 0xd7_8000, [], 'pll'),
  block('NIC2_MME_PLL', 0xd7_9000, [], 'pll'),
  block('NIC2_TPC_PLL', 0xd7_a000, [], 'pll'),

  // Tensor processor cores.
  block('TPC{0..7}_CFG', 0xe0_6000, [0x4_0000], 'tpc-cfg'),
  block('TPC{0..7}_E2E_CRED', 0xe0_7000, [0x4_0000]),
  block('TPC{0..7}_QM', 0xe0_8000, [0x4_0000], 'qman'),

  // Debug: matrix engines.
  block('MME_S_ROM_TABLE', 0x200_0000, [], 'rom-table'),
  block('MME{0..3}_{ACC|SBAB|CTRL}_STM', 0x202_1000, [0x8_0000, 0x2_0000], 'stm'),
  block('MME{0..3}_{ACC|SBAB|CTRL}_CTI', 0x202_2000, [0x8_0000, 0x2_0000], 'cti'),
  block('MME{0..3}_{ACC|SBAB|CTRL}_ETF', 0x202_3000, [0x8_0000, 0x2_0000], 'tmc'),
  block('MME{0..3}_{ACC|SBAB|CTRL}_SPMU', 0x202_4000, [0x8_0000, 0x2_0000], 'spmu'),
  block('MME{0..3}_{ACC|SBAB|CTRL}_CTI{0..1}', 0x202_5000, [0x8_0000, 0x2_0000, 0x1000], 'cti'),
  block('MME{0..3}_ACC_BMON0', 0x202_7000, [0x8_0000], 'bmon'),
  block('MME{0..3}_{SBAB|CTRL}_BMON{0..1}', 0x204_7000, [0x8_0000, 0x2_0000, 0x1000], 'bmon'),
  block('MME{0..3}_ACC_FUNNEL', 0x203_0000, [0x8_0000], 'funnel'),
  block('MME_N_ROM_TABLE', 0x210_0000, [], 'rom-table'),

  // Debug: SRAM (in row 3 columns 3 and 4 have changed places), routers, DMA interfaces.
  block('IC_ROM_TABLE', 0x220_0000, [], 'rom-table'),
  block('SRAM_Y{0..2}_X{0..7}_FUNNEL', 0x220_1000, [0x4_0000, 0x8000], 'funnel'),
  block('SRAM_Y3_X{0|1|2|4|3|5|6|7}_FUNNEL', 0x22c_1000, [0x8000], 'funnel'),
  block('IF_ROM_TABLE', 0x230_0000, [], 'rom-table'),
  block('SIF_FUNNEL_{0..7}', 0x230_1000, [0x1_0000], 'funnel'),
  block('NIF_FUNNEL_{0..7}', 0x238_1000, [0x1_0000], 'funnel'),
  block('DMA_IF_ROM_TABLE', 0x240_0000, [], 'rom-table'),
  block(`DMA_IF_${CORNER}_STM`, 0x240_1000, [0x2_0000], 'stm'),
  block(`DMA_IF_${CORNER}_CTI`, 0x240_2000, [0x2_0000], 'cti'),
  block(`DMA_IF_${CORNER}_ETF`, 0x240_3000, [0x2_0000], 'tmc'),
  block(`DMA_IF_${CORNER}_BMON{0..1}_CTI`, 0x240_5000, [0x2_0000, 0x1000], 'cti'),
  block(`DMA_IF_${CORNER}_HBM{0..1}_{WR|RD}_BMON`, 0x240_7000, [0x2_0000, 0x2000, 0x1000], 'bmon'),
  block(`DMA_IF_${CORNER}_SOB_WR_BMON`, 0x240_b000, [0x2_0000], 'bmon'),
  block(`DMA_IF_${CORNER}_FUNNEL`, 0x240_f000, [0x2_0000], 'funnel'),

  // Debug: device CPU, DMA channels, NIC and TPC funnels.
  block('CPU_ROM_TABLE', 0x248_0000, [], 'rom-table'),
  block('CPU_ETF_{0..1}', 0x248_1000, [0x1000], 'tmc'),
  block('CPU_CTI', 0x248_4000, [], 'cti'),
  block('CPU_FUNNEL', 0x248_5000, [], 'funnel'),
  block('CPU_STM', 0x248_6000, [], 'stm'),
  block('CPU_CTI_TRACE', 0x248_7000, [], 'cti'),
  block('CPU_ETF_TRACE', 0x248_8000, [], 'tmc'),
  block('CPU_{WR|RD}_BMON', 0x248_9000, [0x1000], 'bmon'),
  block('DMA_ROM_TABLE', 0x250_0000, [], 'rom-table'),
  block('DMA_CH_{0..7}_CS_STM', 0x250_1000, [0x2_0000], 'stm'),
  block('DMA_CH_{0..7}_CS_CTI', 0x250_2000, [0x2_0000], 'cti'),
  block('DMA_CH_{0..7}_CS_ETF', 0x250_3000, [0x2_0000], 'tmc'),
  block('DMA_CH_{0..7}_CS_SPMU', 0x250_4000, [0x2_0000], 'spmu'),
  block('DMA_CH_{0..7}_BMON_CTI', 0x250_5000, [0x2_0000], 'cti'),
  block('DMA_CH_{0..7}_USER_CTI', 0x250_6000, [0x2_0000], 'cti'),
  block('DMA_CH_{0..7}_BMON_{0..1}', 0x250_7000, [0x2_0000, 0x1000], 'bmon'),
  block(`NIC_TPC_FUNNEL_${CORNER}`, 0x260_0000, [0x8_0000], 'funnel'),
  block('CA53', 0x280_0000, [], 'none'),

  // Debug: PCI Express, MMU, PSOC.
  block('PCI_ROM_TABLE', 0x2c0_0000, [], 'rom-table'),
  block('PCIE_STM', 0x2c0_1000, [], 'stm'),
  block('PCIE_ETF', 0x2c0_2000, [], 'tmc'),
  block('PCIE_CTI_{0..1}', 0x2c0_3000, [0x2000], 'cti'),
  block('PCIE_SPMU', 0x2c0_4000, [], 'spmu'),
  block('PCIE_FUNNEL', 0x2c0_6000, [], 'funnel'),
  block('PCIE_BMON_{MSTR|SLV}_{WR|RD}', 0x2c0_7000, [0x2000, 0x1000], 'bmon'),
  block('MMU_CS_STM', 0x2c1_1000, [], 'stm'),
  block('MMU_CS_CTI', 0x2c1_2000, [], 'cti'),
  block('MMU_CS_ETF', 0x2c1_3000, [], 'tmc'),
  block('MMU_CS_SPMU', 0x2c1_4000, [], 'spmu'),
  block('MMU_BMON_CTI', 0x2c1_5000, [], 'cti'),
  block('MMU_USER_CTI', 0x2c1_6000, [], 'cti'),
  block('MMU_BMON_{0..1}', 0x2c1_7000, [0x1000], 'bmon'),
  block('PSOC_CTI', 0x2c4_0000, [], 'cti'),
  block('PSOC_STM', 0x2c4_1000, [], 'stm'),
  block('PSOC_FUNNEL', 0x2c4_2000, [], 'funnel'),
  block('PSOC_ETR', 0x2c4_3000, [], 'tmc'),
  block('PSOC_ETF', 0x2c4_4000, [], 'tmc'),
  block('PSOC_TS_CTI', 0x2c4_5000, [], 'cti'),
  block('TOP_ROM_TABLE', 0x2c5_0000, [], 'rom-table'),

  // Debug: NIC macros.
  block('NIC{0..4}_ROM_TABLE', 0x2cc_0000, [0x4_0000], 'rom-table'),
  block('STM_{0..1}_NIC{0..4}_DBG', 0x2cc_1000, [0x1_0000, 0x4_0000], 'stm'),
  block('CTI_{0..1}_NIC{0..4}_DBG', 0x2cc_2000, [0x1_0000, 0x4_0000], 'cti'),
  block('ETF_{0..1}_NIC{0..4}_DBG', 0x2cc_3000, [0x1_0000, 0x4_0000], 'tmc'),
  block('SPMU_{0..1}_NIC{0..4}_DBG', 0x2cc_4000, [0x1_0000, 0x4_0000], 'spmu'),
  block('USER_CTI_{0..1}_NIC{0..4}_DBG', 0x2cc_6000, [0x1_0000, 0x4_0000], 'cti'),
  block('BMON_CTI_NIC{0..4}_DBG', 0x2cd_5000, [0x4_0000], 'cti'),
  block('BMON{0..4}_NIC{0..4}_DBG', 0x2cd_7000, [0x1000, 0x4_0000], 'bmon'),
  block('FUNNEL_NIC{0..4}_DBG', 0x2ce_1000, [0x4_0000], 'funnel'),

  // Debug: tensor processor cores.
  block('TPC{0..7}_ROM_TABLE', 0x300_0000, [0x20_0000], 'rom-table'),
  block('TPC{0..7}_EML_SPMU', 0x300_1000, [0x20_0000], 'spmu'),
  block('TPC{0..7}_EML_ETF', 0x300_2000, [0x20_0000], 'tmc'),
  block('TPC{0..7}_EML_STM', 0x300_3000, [0x20_0000], 'stm'),
  block('TPC{0..7}_EML_CTI', 0x300_5000, [0x20_0000], 'cti'),
  block('TPC{0..7}_EML_FUNNEL', 0x300_6000, [0x20_0000], 'funnel'),
  block('TPC{0..7}_EML_BUSMON_{0..3}', 0x300_7000, [0x20_0000, 0x1000], 'bmon'),
  block('TPC{0..7}_EML_CFG', 0x304_0000, [0x20_0000], 'none'),
  block('TPC{0..7}_EML_TPC_CFG', 0x304_1000, [0x20_0000], 'none'),
  block('TPC{0..7}_EML_TPC_QM', 0x304_2000, [0x20_0000], 'none'),
  block('TPC{0..7}_EML_CS', 0x31f_f000, [0x20_0000], 'none'),
];

/** One block of the chip. */
export interface BlockInstance {
  readonly name: string;
  /** Offset from CFG_BASE, bytes. */
  readonly base: number;
  readonly registers: RegisterTable;
  /** The values of its dimensions, e.g. [3, 1] for NIC3_QM1. For `{A|B}` the position. */
  readonly index: readonly number[];
}

/** All names that a name with dimensions stands for, in the order of its dimensions. */
export function names(pattern: string): string[] {
  const strides = Array.from(pattern.matchAll(/\{/g), () => 0);
  return instances({ name: pattern, base: 0, strides, registers: 'none' }).map(({ name }) => name);
}

/** All instances of a row, in the order of their indices. */
export function instances(row: BlockRow): BlockInstance[] {
  const parts = row.name.split(/\{([^}]*)\}/);
  const dimensions = parts.filter((_, i) => i % 2 === 1).map(values);
  if (dimensions.length !== row.strides.length) throw new Error(`${row.name}: one stride per dimension`);
  let result: BlockInstance[] = [{ name: parts[0] as string, base: row.base, registers: row.registers, index: [] }];
  dimensions.forEach((dimension, d) => {
    result = result.flatMap((block) =>
      dimension.map((value, position) => ({
        name: block.name + value.text + parts[2 * d + 2],
        base: block.base + position * (row.strides[d] as number),
        registers: row.registers,
        index: [...block.index, value.index],
      })),
    );
  });
  return result;
}

function values(dimension: string): { text: string; index: number }[] {
  const range = /^(\d+)\.\.(\d+)$/.exec(dimension);
  if (!range) return dimension.split('|').map((text, index) => ({ text, index }));
  const first = Number(range[1]);
  return Array.from({ length: Number(range[2]) - first + 1 }, (_, i) => ({ text: `${first + i}`, index: first + i }));
}
