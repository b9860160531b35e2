/** What the words of faults may be, from the rows of events and registers. */

import { events as rows } from './events.ts';
import { ERR_CAUSE } from './registers/dma-core.ts';
import { qmanError } from './registers/qman.ts';
import { syncManagers } from './registers/sync-manager.ts';

const eight = [0, 1, 2, 3, 4, 5, 6, 7];

/** Engines whose queue managers the driver uses. */
export const ENGINES: readonly string[] = [
  ...eight.map((n) => `DMA${n}`),
  ...eight.map((n) => `TPC${n}`),
  'MME0',
  'MME2',
];

/** Engines whose own accesses go through the MMU. */
export const mmuClients: readonly string[] = ENGINES.filter((name) => !name.startsWith('MME'));

/** Names of sync managers. */
export const corners: readonly string[] = Object.keys(syncManagers);

/** The event of an ECC error: of the memory, and which. */
export function eccEvent(memory: string, kind: 'SERR' | 'DERR'): string | undefined {
  return [`${memory}_${kind}`, `${memory}_${kind}_ECC`, `${memory}_ECC_${kind}`].find((name) =>
    rows.some((row) => row.name === name),
  );
}

/** Memories with events of ECC errors, as the events name them. */
export function eccMemories(kind: 'SERR' | 'DERR'): readonly string[] {
  return rows.flatMap(({ name }) => {
    const memory = new RegExp(`^(.*?)(?:_ECC)?_${kind}(?:_ECC)?$`).exec(name)?.[1];
    return memory === undefined ? [] : [memory];
  });
}

const bridges =
  /^(GIC500|AXI_ECC|L2_RAM_ECC|PCIE_DEC|CPU_AXI_SPLITTER|PSOC_AXI_DEC|PSOC_PRSTN_FALL|TPC\d_DEC|MME\d_(WBC|SBAB0)_RSP|MMU_WR_PERM|RAZWI_OR_ADC_SW)$/;

/** Names of events: those of bridges and the interconnect, and all. */
export const events = {
  axi: rows.filter(({ name }) => bridges.test(name)).map(({ name }) => name),
  all: rows.map(({ name }) => name),
} as const;

/** Bits of GLBL_STS1 (gaudi.c, gaudi_qman_error_cause). */
export const qmanCauses: Readonly<Record<string, number>> = {
  'queue-read': qmanError.pqfRead,
  'buffer-read': qmanError.cqfRead,
  'processor-read': qmanError.cpRead,
  'undefined-opcode': qmanError.undefinedOpcode,
  'stop-packet': qmanError.stopPacket,
  'message-write': qmanError.messageWrite,
  'register-write': qmanError.registerWrite,
  'fence0-overflow': qmanError.fenceOverflow,
  'fence1-overflow': qmanError.fenceOverflow << 1,
  'fence2-overflow': qmanError.fenceOverflow << 2,
  'fence3-overflow': qmanError.fenceOverflow << 3,
  'fence0-underflow': qmanError.fenceUnderflow,
  'fence1-underflow': qmanError.fenceUnderflow << 1,
  'fence2-underflow': qmanError.fenceUnderflow << 2,
  'fence3-underflow': qmanError.fenceUnderflow << 3,
};

/** Bits of ERR_CAUSE of a DMA core. */
export const dmaCauses: Readonly<Record<string, number>> = {
  read: ERR_CAUSE.HBW_RD_ERR,
  write: ERR_CAUSE.HBW_WR_ERR,
  message: ERR_CAUSE.LBW_WR_ERR,
  'descriptor-overflow': ERR_CAUSE.DESC_OVF,
};

/** Bits of TPC_INTR_CAUSE that the driver does not mask (gaudi.c, gaudi_tpc_interrupts_cause, gaudi_init_golden_registers). */
export const TPC_CAUSES: Readonly<Record<string, number>> = {
  'local-memory': 0,
  assertion: 12,
  'illegal-instruction': 13,
  'pc-wrap': 14,
  'memory-read': 16,
  'memory-write': 17,
  'register-read': 18,
  'register-write': 19,
};
