/**
 * What the driver calls sync objects and monitors by their numbers, whichever sync manager they are of.
 * Source: habanalabs gaudi.c, gaudi_so_id_to_str, gaudi_monitor_id_to_str.
 */

const numbered = (prefix: string, count: number, first = 0): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}${first + i}`);

/** Sync objects from 0 on. */
export const SYNC_OBJECT_NAMES: readonly string[] = [
  'DMA_DOWN_FEEDBACK',
  'DMA_UP_FEEDBACK',
  'DMA_STATIC_DRAM_SRAM_FEEDBACK',
  'DMA_SRAM_DRAM_FEEDBACK',
  'FIRST_COMPUTE_FINISH',
  'HOST_DRAM_DONE',
  'DBG_CTR_DEPRECATED',
  'DMA_ACTIVATIONS_DRAM_SRAM_FEEDBACK',
  ...numbered('ENGINE_SEM_MME_', 2),
  ...numbered('ENGINE_SEM_TPC_', 8),
  ...numbered('ENGINE_SEM_DMA_', 7, 1),
  ...numbered('DBG_CTR_', 2),
].map((name) => `SYNC_OBJ_${name}`);

/** Monitors by number; 202 has no name. */
export const MONITOR_NAMES: ReadonlyMap<number, string> = new Map(
  [
    [200, 'DMA_DOWN_FEEDBACK_RESET'] as const,
    [201, 'DMA_UP_FEEDBACK_RESET'] as const,
    [203, 'DRAM_TO_SRAM_QUEUE_FENCE'] as const,
    ...numbered('TPC_', 8).map((name, i) => [204 + i, `${name}_CLK_GATE`] as const),
  ].map(([number, name]) => [number, `MON_OBJ_${name}`]),
);
