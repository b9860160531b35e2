/**
 * Asynchronous events of the chip: their number in the event queue, and the interrupt line of the device CPU (SPI of its
 * interrupt controller) by which the firmware learns of them. Some lines are shared.
 * Source: include/gaudi/gaudi_async_ids_map_extended.h (fc_id, cpu_id), gaudi_async_events.h.
 */

export interface EventRow {
  readonly name: string;
  /** Number in the event queue, enum gaudi_async_event_id. */
  readonly id: number;
  readonly spi: number;
}

interface Run {
  readonly name: string;
  readonly id: number;
  readonly spi: number;
  /** Added to `spi` per instance. */
  readonly spiStep?: number;
  /** Added to `id` per instance. */
  readonly idStep?: number;
  /** Values of `#` in the name. Default: a single event without one. */
  readonly of?: readonly (number | string)[];
}

const to = (last: number, first = 0): number[] => Array.from({ length: last - first + 1 }, (_, i) => first + i);
/** The order of the SRAM banks on their interrupt lines: every second row runs backwards. */
const banks = to(31).map((i) => (i & 4 ? i ^ 3 : i));
const ports = to(4).flatMap((macro) => [`${macro}_0`, `${macro}_1`]);

const runs: readonly Run[] = [
  { name: 'PCIE_CORE_SERR', id: 32, spi: 32 },
  { name: 'PCIE_CORE_DERR', id: 33, spi: 33 },
  { name: 'PCIE_IF_SERR', id: 34, spi: 34 },
  { name: 'PCIE_IF_DERR', id: 35, spi: 35 },
  { name: 'PCIE_PHY_SERR', id: 36, spi: 36 },
  { name: 'PCIE_PHY_DERR', id: 37, spi: 37 },
  { name: 'TPC#_SERR', id: 38, spi: 38, of: to(7) },
  { name: 'TPC#_DERR', id: 46, spi: 39, of: to(7) },
  { name: 'MME#_ACC_SERR', id: 54, spi: 40, idStep: 4, spiStep: 4, of: to(3) },
  { name: 'MME#_ACC_DERR', id: 55, spi: 41, idStep: 4, spiStep: 4, of: to(3) },
  { name: 'MME#_SBAB_SERR', id: 56, spi: 42, idStep: 4, spiStep: 4, of: to(3) },
  { name: 'MME#_SBAB_DERR', id: 57, spi: 43, idStep: 4, spiStep: 4, of: to(3) },
  { name: 'DMA#_SERR_ECC', id: 70, spi: 56, of: to(7) },
  { name: 'DMA#_DERR_ECC', id: 78, spi: 57, of: to(7) },
  { name: 'CPU_IF_ECC_SERR', id: 86, spi: 58 },
  { name: 'CPU_IF_ECC_DERR', id: 87, spi: 59 },
  { name: 'PSOC_MEM_SERR', id: 88, spi: 60 },
  { name: 'PSOC_CORESIGHT_SERR', id: 89, spi: 61 },
  { name: 'PSOC_MEM_DERR', id: 90, spi: 62 },
  { name: 'PSOC_CORESIGHT_DERR', id: 91, spi: 63 },
  { name: 'SRAM#_SERR', id: 92, spi: 64, of: banks },
  { name: 'SRAM#_DERR', id: 124, spi: 65, of: banks },
  { name: 'NIC#_SERR', id: 156, spi: 66, of: to(4) },
  { name: 'NIC#_DERR', id: 166, spi: 67, of: to(4) },
  { name: 'DMA_IF#_SERR', id: 176, spi: 68, of: to(3) },
  { name: 'DMA_IF#_DERR', id: 180, spi: 69, of: to(3) },
  { name: 'GIC500', id: 184, spi: 70 },
  { name: 'HBM_#_SERR', id: 185, spi: 71, of: to(3) },
  { name: 'HBM_#_DERR', id: 189, spi: 72, of: to(3) },
  { name: 'MMU_SERR', id: 193, spi: 73 },
  { name: 'MMU_DERR', id: 194, spi: 74 },
  { name: 'PCIE_DEC', id: 200, spi: 80 },
  { name: 'TPC#_DEC', id: 201, spi: 81, idStep: 2, spiStep: 2, of: to(7) },
  { name: 'AXI_ECC', id: 217, spi: 97 },
  { name: 'L2_RAM_ECC', id: 218, spi: 98 },
  { name: 'MME#_WBC_RSP', id: 219, spi: 99, idStep: 5, spiStep: 5, of: to(3) },
  { name: 'MME#_SBAB0_RSP', id: 220, spi: 100, idStep: 5, spiStep: 5, of: to(3) },
  { name: 'PLL#', id: 239, spi: 119, of: to(17) },
  { name: 'CPU_AXI_SPLITTER', id: 257, spi: 120 },
  { name: 'PSOC_AXI_DEC', id: 262, spi: 125 },
  { name: 'PSOC_PRSTN_FALL', id: 263, spi: 126 },
  { name: 'NIC_SEI_#', id: 264, spi: 127, of: to(4) },
  { name: 'DMA_IF_SEI_#', id: 277, spi: 129, of: to(3) },
  { name: 'PCIE_FLR', id: 290, spi: 139 },
  { name: 'TPC#_BMON_SPMU', id: 300, spi: 149, idStep: 6, spiStep: 6, of: to(7) },
  { name: 'TPC#_KRN_ERR', id: 301, spi: 150, idStep: 6, spiStep: 6, of: to(7) },
  { name: 'MMU_PAGE_FAULT', id: 380, spi: 229 },
  { name: 'MMU_WR_PERM', id: 381, spi: 230 },
  { name: 'DMA_BM_CH#', id: 383, spi: 232, spiStep: 1, of: to(7) },
  { name: 'HBM#_SPI_0', id: 395, spi: 244, idStep: 4, spiStep: 4, of: to(3) },
  { name: 'HBM#_SPI_1', id: 396, spi: 245, idStep: 4, spiStep: 4, of: to(3) },
  { name: 'PSOC_GPIO_U16_0', id: 421, spi: 270 },
  { name: 'NIC#_CS_DBG_DERR', id: 483, spi: 332, idStep: 4, spiStep: 4, of: to(4) },
  { name: 'RAZWI_OR_ADC', id: 548, spi: 397 },
  { name: 'TPC#_QM', id: 572, spi: 421, spiStep: 1, of: to(7) },
  { name: 'MME#_QM', id: 581, spi: 430, spiStep: 1, of: [0, 2] },
  { name: 'DMA#_QM', id: 583, spi: 432, spiStep: 1, of: to(7) },
  { name: 'NIC#', id: 594, spi: 443, spiStep: 1, of: ports.map((p) => p.replace('_', '_QM')) },
  { name: 'DMA#_CORE', id: 604, spi: 453, spiStep: 1, of: to(7) },
  { name: 'NIC#', id: 612, spi: 461, spiStep: 1, of: ports.map((p) => p.replace('_', '_QP')) },
  { name: 'PI_UPDATE', id: 635, spi: 484 },
  { name: 'HALT_MACHINE', id: 636, spi: 485 },
  { name: 'INTS_REGISTER', id: 637, spi: 486 },
  { name: 'SOFT_RESET', id: 638, spi: 487 },
  { name: 'FW_ALIVE_S', id: 645, spi: 494 },
  { name: 'DEV_RESET_REQ', id: 646, spi: 495 },
  { name: 'PKT_QUEUE_OUT_SYNC', id: 647, spi: 496 },
  { name: 'STATUS_NIC#', id: 648, spi: 497, spiStep: 1, of: ports.map((p) => p.replace('_', '_ENG')) },
  { name: 'FIX_POWER_ENV_S', id: 658, spi: 507 },
  { name: 'FIX_POWER_ENV_E', id: 659, spi: 508 },
  { name: 'FIX_THERMAL_ENV_S', id: 660, spi: 509 },
  { name: 'FIX_THERMAL_ENV_E', id: 661, spi: 510 },
  { name: 'RAZWI_OR_ADC_SW', id: 662, spi: 511 },
];

export const events: readonly EventRow[] = runs.flatMap((run) =>
  (run.of ?? ['']).map((value, i) => ({
    name: run.name.replace('#', `${value}`),
    id: run.id + i * (run.idStep ?? 1),
    spi: run.spi + i * (run.spiStep ?? 0),
  })),
);

/** Interrupts by which the host talks to the firmware; they make no event. */
export const HOST_SPI = { PI_UPDATE: 484, HALT_MACHINE: 485, INTS_REGISTER: 486, SOFT_RESET: 487 } as const;
