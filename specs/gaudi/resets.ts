/**
 * Units of the chip that can be reset: bits of PSOC_GLOBAL_CONF.*_RST_CFG_L/H and of UNIT_RST_N_L/H, and the blocks that
 * belong to them. Source: include/gaudi/gaudi_masks.h, CFG_RST_* and UNIT_RST_*. Which blocks a unit holds follows from
 * their names and from where they are (gaudi.c, gaudi_get_razwi_initiator_dma_name: even DMA channels are in the west).
 */

export interface ResetUnit {
  readonly name: string;
  /** Bit in CFG_L (0 to 31) or CFG_H (32 to 63). */
  readonly cfg: number;
  /** Bit in UNIT_RST_N_L (0 to 31) or UNIT_RST_N_H (32 to 63). */
  readonly unit: number;
  readonly blocks: RegExp;
}

function unit(name: string, cfg: number, unitBit: number, blocks: RegExp): ResetUnit {
  return { name, cfg, unit: unitBit, blocks };
}

export const resetUnits: readonly ResetUnit[] = [
  unit('PSOC', 0, 0, /^PSOC_(?!.*_PLL$)/),
  unit('PCIE', 1, 1, /^PCIE_(CORE|AUX|DBI|PHY|PMA|MSI)/),
  unit('PCIE_IF', 2, 2, /^PCIE_WRAP/),
  unit('HBM_S_PLL', 3, 3, /^PSOC_HBM_PLL/),
  unit('TPC_S_PLL', 4, 4, /^PSOC_TPC_PLL/),
  unit('MME_S_PLL', 5, 5, /^PSOC_MME_PLL/),
  unit('CPU_PLL', 6, 6, /^PSOC_CPU_PLL/),
  unit('PCIE_PLL', 7, 7, /^PSOC_PCI_PLL/),
  unit('NIC_S_PLL', 8, 8, /^NIC0_PLL/),
  unit('HBM_N_PLL', 9, 9, /^NIC2_HBM_PLL/),
  unit('TPC_N_PLL', 10, 10, /^NIC2_TPC_PLL/),
  unit('MME_N_PLL', 11, 11, /^NIC2_MME_PLL/),
  unit('NIC_N_PLL', 12, 12, /^NIC1_PLL/),
  unit('DMA_W_PLL', 13, 13, /^DMA_W_PLL/),
  unit('SIF_W_PLL', 14, 14, /^IF_W_PLL/),
  unit('MESH_W_PLL', 15, 15, /^MESH_W_PLL/),
  unit('SRAM_W_PLL', 16, 16, /^SRAM_W_PLL/),
  unit('DMA_E_PLL', 17, 17, /^DMA_E_PLL/),
  unit('SIF_E_PLL', 18, 18, /^IF_E_PLL/),
  unit('MESH_E_PLL', 19, 19, /^MESH_E_PLL/),
  unit('SRAM_E_PLL', 20, 20, /^SRAM_E_PLL/),
  // The four interfaces share SRAM, its routers and those of the network.
  unit('IF_1', 21, 47, /^(SIF|NIF)_RTR_(CTRL_)?[23]$/),
  unit('IF_0', 22, 46, /^((SIF|NIF)_RTR_(CTRL_)?[01]|SRAM_Y.*)$/),
  unit('IF_2', 23, 48, /^(SIF|NIF)_RTR_(CTRL_)?[45]$/),
  unit('IF_3', 24, 49, /^((SIF|NIF)_RTR_(CTRL_)?[67]|DMA_IF_[EW]_[NS](_DOWN.*)?)$/),
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((n) => unit(`TPC_${n}`, 25 + n, 21 + n, new RegExp(`^TPC${n}_(CFG|E2E_CRED|QM)$`))),
  ...[0, 1, 2, 3].map((n) => unit(`MME_${n}`, 33 + n, 29 + n, new RegExp(`^MME${n}_(ACC|SBAB|PRTN|CTRL|QM)$`))),
  ...[0, 1, 2, 3].map((n) => unit(`HBM_${n}`, 37 + n, 33 + n, new RegExp(`^HBM${n}$`))),
  ...[0, 1, 2, 3, 4].map((n) => unit(`NIC_${n}`, 41 + n, 37 + n, new RegExp(`^NIC${n}_(?!.*PLL$)`))),
  ...['W_S', 'E_S', 'W_N', 'E_N'].map((corner, n) =>
    unit(`SM_${n}`, 46 + n, 42 + n, new RegExp(`^SYNC_MNGR_(GLBL|OBJS)_${corner}$`)),
  ),
  unit('DMA_0', 50, 50, /^DMA[0246]_(CORE|QM)$/),
  unit('DMA_1', 51, 51, /^DMA[1357]_(CORE|QM)$/),
  unit('CPU', 52, 52, /^(CPU_|GIC$)/),
  unit('MMU', 53, 53, /^(MMU_UP|STLB)$/),
];
