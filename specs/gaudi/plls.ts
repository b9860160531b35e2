/**
 * The phase-locked loops that the firmware tells of. `index` is enum pll_index (cpucp_if.h), `legacy` enum
 * hl_gaudi_pll_index (habanalabs_accel.h), which firmware without DEV_STS0.DYN_PLL_EN uses; the blocks are those whose NR
 * register asic_reg/gaudi_regs.h names. To what preboot sets them is not published: the frequency of the MME is the
 * driver's GAUDI_MAX_CLK_FREQ, the others are plausible.
 */
export const plls = [
  // Output 2 of this one clocks the timestamp counter (gaudi.c, gaudi_fetch_psoc_frequency).
  { name: 'CPU', index: 0, legacy: 0, block: 'PSOC_CPU_PLL', mhz: 1600, dividers: [1, 2, 8, 16] },
  { name: 'PCI', index: 1, legacy: 1, block: 'PSOC_PCI_PLL', mhz: 1000, dividers: [1, 2, 4, 8] },
  { name: 'NIC', index: 2, legacy: 4, block: 'NIC0_PLL', mhz: 800, dividers: [1, 2, 4, 8] },
  { name: 'DMA', index: 3, legacy: 5, block: 'DMA_W_PLL', mhz: 1200, dividers: [1, 2, 4, 8] },
  { name: 'MESH', index: 4, legacy: 6, block: 'MESH_W_PLL', mhz: 1200, dividers: [1, 2, 4, 8] },
  { name: 'MME', index: 5, legacy: 7, block: 'PSOC_MME_PLL', mhz: 2200, dividers: [1, 2, 4, 8] },
  { name: 'TPC', index: 6, legacy: 8, block: 'PSOC_TPC_PLL', mhz: 2200, dividers: [1, 2, 4, 8] },
  { name: 'IF', index: 7, legacy: 9, block: 'IF_W_PLL', mhz: 1200, dividers: [1, 2, 4, 8] },
  { name: 'SRAM', index: 8, legacy: 2, block: 'SRAM_W_PLL', mhz: 1200, dividers: [1, 2, 4, 8] },
  { name: 'HBM', index: 10, legacy: 3, block: 'PSOC_HBM_PLL', mhz: 1000, dividers: [1, 2, 4, 8] },
] as const;

/** PLL reference, MHz (common/habanalabs.h, PLL_REF_CLK). */
export const PLL_REFERENCE_MHZ = 50;

/** DIV_SEL (common/habanalabs.h, enum div_select_defs). */
export const DIV_SEL = { REF_CLK: 0, PLL_CLK: 1, DIVIDED_REF: 2, DIVIDED_PLL: 3 } as const;
