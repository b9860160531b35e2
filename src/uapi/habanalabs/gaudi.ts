/** Numbers of Gaudi1 that are part of the interface: queues, engines, PLLs, what the driver keeps for itself. */

import { type Constant, constant, counting } from '../rows.ts';

export const gaudiConstants = {
  GAUDI_DRIVER_SRAM_RESERVED_SIZE_FROM_START: constant(0x80, 'bytes at the start of SRAM that the driver uses'),
  GAUDI_FIRST_AVAILABLE_W_S_SYNC_OBJECT: constant(144, 'first sync object of the W_S sync manager for user space'),
  GAUDI_FIRST_AVAILABLE_W_S_MONITOR: constant(72, 'first monitor of the W_S sync manager for user space'),
} as const;

/**
 * - `external`: takes command buffers of the driver, which checks their packets; ends with an interrupt.
 * - `internal`: takes device addresses of packets, which nobody checks; its end is not reported.
 * - `cpu`: messages to the firmware, for the driver only.
 */
export type QueueKind = 'external' | 'internal' | 'cpu';

/** A queue: one of the four streams of an engine's queue manager. */
export interface QueueRow extends Constant {
  readonly value: number;
  readonly kind: QueueKind;
  /** Engine whose queue manager it is, as in gaudi_engine_id without the prefix, e.g. `DMA_0`. */
  readonly engine: string;
  /** 0 to 3. */
  readonly stream: number;
}

type Stream = 0 | 1 | 2 | 3;
type Octet = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7;
type Decade = Octet | 8 | 9;
type Engine = `DMA_${Octet}` | `MME_${0 | 1}` | `TPC_${Octet}` | `NIC_${Decade}`;
/** Name of a queue: engine and stream, e.g. `DMA_0_1`; `CPU_PQ` is the driver's. */
export type QueueName = `${Engine}_${Stream}` | 'CPU_PQ';

/** Engines in the order of their queues; the CPU queue lies between DMA_1 and DMA_2 (gaudi.c, gaudi_queue_type). */
function queues(): Record<`GAUDI_QUEUE_ID_${QueueName}`, QueueRow> {
  const rows: Record<string, QueueRow> = {};
  let next = 0;
  const engines = (name: string, first: number, last: number, kind: QueueKind) => {
    for (let i = first; i <= last; i++)
      for (let stream = 0; stream < 4; stream++) {
        const engine = `${name}_${i}`;
        const doc = `stream ${stream} of ${engine}, ${kind}`;
        rows[`GAUDI_QUEUE_ID_${engine}_${stream}`] = { value: next++, doc, kind, engine, stream };
      }
  };
  engines('DMA', 0, 1, 'external');
  rows.GAUDI_QUEUE_ID_CPU_PQ = { value: next++, doc: 'firmware messages', kind: 'cpu', engine: 'CPU', stream: 0 };
  engines('DMA', 2, 7, 'internal');
  engines('MME', 0, 1, 'internal');
  engines('TPC', 0, 7, 'internal');
  engines('NIC', 0, 9, 'internal');
  return rows as Record<`GAUDI_QUEUE_ID_${QueueName}`, QueueRow>;
}

const queueRows = queues();

export const gaudi_queue_id = {
  ...queueRows,
  GAUDI_QUEUE_ID_SIZE: constant(113, 'number of queues'),
};

/** A queue by its name. */
export function queueRow(name: QueueName): QueueRow {
  return queueRows[`GAUDI_QUEUE_ID_${name}`];
}

/** All queues, in the order of their numbers. */
export const queueNames = Object.keys(queueRows).map((name) => name.slice('GAUDI_QUEUE_ID_'.length)) as QueueName[];

export const gaudi_engine_id = counting(
  'GAUDI_ENGINE_ID_DMA_0',
  'GAUDI_ENGINE_ID_DMA_1',
  'GAUDI_ENGINE_ID_DMA_2',
  'GAUDI_ENGINE_ID_DMA_3',
  'GAUDI_ENGINE_ID_DMA_4',
  'GAUDI_ENGINE_ID_DMA_5',
  'GAUDI_ENGINE_ID_DMA_6',
  'GAUDI_ENGINE_ID_DMA_7',
  'GAUDI_ENGINE_ID_MME_0',
  'GAUDI_ENGINE_ID_MME_1',
  'GAUDI_ENGINE_ID_MME_2',
  'GAUDI_ENGINE_ID_MME_3',
  'GAUDI_ENGINE_ID_TPC_0',
  'GAUDI_ENGINE_ID_TPC_1',
  'GAUDI_ENGINE_ID_TPC_2',
  'GAUDI_ENGINE_ID_TPC_3',
  'GAUDI_ENGINE_ID_TPC_4',
  'GAUDI_ENGINE_ID_TPC_5',
  'GAUDI_ENGINE_ID_TPC_6',
  'GAUDI_ENGINE_ID_TPC_7',
  'GAUDI_ENGINE_ID_NIC_0',
  'GAUDI_ENGINE_ID_NIC_1',
  'GAUDI_ENGINE_ID_NIC_2',
  'GAUDI_ENGINE_ID_NIC_3',
  'GAUDI_ENGINE_ID_NIC_4',
  'GAUDI_ENGINE_ID_NIC_5',
  'GAUDI_ENGINE_ID_NIC_6',
  'GAUDI_ENGINE_ID_NIC_7',
  'GAUDI_ENGINE_ID_NIC_8',
  'GAUDI_ENGINE_ID_NIC_9',
  'GAUDI_ENGINE_ID_SIZE',
);

/** Name of an engine by its id in the mask of busy engines, e.g. `DMA_0`. */
export function engineName(id: number): string {
  for (const [name, row] of Object.entries(gaudi_engine_id))
    if (row.value === id && name !== 'GAUDI_ENGINE_ID_SIZE') return name.slice('GAUDI_ENGINE_ID_'.length);
  return `engine ${id}`;
}

export const hl_gaudi_pll_index = counting(
  'HL_GAUDI_CPU_PLL',
  'HL_GAUDI_PCI_PLL',
  'HL_GAUDI_SRAM_PLL',
  'HL_GAUDI_HBM_PLL',
  'HL_GAUDI_NIC_PLL',
  'HL_GAUDI_DMA_PLL',
  'HL_GAUDI_MESH_PLL',
  'HL_GAUDI_MME_PLL',
  'HL_GAUDI_TPC_PLL',
  'HL_GAUDI_IF_PLL',
  'HL_GAUDI_PLL_MAX',
);
