/**
 * Where an initiator sits on the chip, as MMU_UP.RAZWI_*_ID tells it. Source: gaudi_masks.h, RAZWI_INITIATOR_ID_*, and
 * gaudi.c, gaudi_get_razwi_initiator_dma_name (which DMA cores share an interface).
 */

const AXI_ID = { MME: 0, TPC: 1, DMA: 2, NIC: 3, PCI: 4, CPU: 5, PSOC: 6, MMU: 7, NIC_FT: 8 } as const;

interface Place {
  readonly x: number;
  readonly y: number;
  readonly axi: number;
}

function places(axi: number, at: readonly (readonly [x: number, y: number])[]): readonly Place[] {
  return at.map(([x, y]) => ({ x, y, axi }));
}

/** By kind of engine, then by its number. */
const engines: Readonly<Record<string, readonly Place[]>> = {
  // Of the two channels of an interface the first is taken for the lower DMA; the driver does not tell them apart.
  DMA: places(AXI_ID.DMA, [
    [0, 1],
    [9, 1],
    [0, 2],
    [9, 2],
    [0, 3],
    [9, 3],
    [0, 4],
    [9, 4],
  ]),
  TPC: places(AXI_ID.TPC, [
    [1, 1],
    [2, 1],
    [7, 1],
    [8, 1],
    [1, 6],
    [2, 6],
    [7, 6],
    [8, 6],
  ]),
  MME: places(AXI_ID.MME, [
    [3, 1],
    [5, 1],
    [3, 6],
    [5, 6],
  ]),
  // Five macros at the five places that the driver calls NIC0, NIC1, NIC2, NIC4 and NIC5.
  NIC: [
    { x: 1, y: 1, axi: AXI_ID.NIC },
    { x: 1, y: 6, axi: AXI_ID.NIC },
    { x: 1, y: 6, axi: AXI_ID.NIC_FT },
    { x: 8, y: 6, axi: AXI_ID.NIC },
    { x: 8, y: 6, axi: AXI_ID.NIC_FT },
  ],
  PCI: places(AXI_ID.PCI, [[8, 1]]),
  CPU: places(AXI_ID.CPU, [[8, 1]]),
  PSOC: places(AXI_ID.PSOC, [[8, 1]]),
};

const CORNERS = ['W_S', 'E_S', 'W_N', 'E_N'] as const;

function place(name: string): { readonly kind: string; readonly number: number; readonly at: Place } | undefined {
  const match = /^([A-Z]+?)(\d*)(?:[_.]|$)/.exec(name);
  const kind = match?.[1] ?? '';
  const number = Number(match?.[2]);
  const at = engines[kind]?.[number];
  return at && { kind, number, at };
}

/**
 * @param name name of an initiator, e.g. `DMA3_CORE` or `TPC0_QM.CP2`
 * @returns the value of RAZWI_WRITE_ID and RAZWI_READ_ID, or undefined for one that the driver does not list
 */
export function razwiInitiatorId(name: string): number | undefined {
  const found = place(name);
  if (!found) return undefined;
  const { x, y, axi } = found.at;
  return y * 2 ** 28 + x * 2 ** 24 + axi * 2 ** 20;
}

/** The interface that a DMA core shares with another, e.g. `DMA_IF_W_S` of `DMA0` and `DMA2`; undefined for other initiators. */
export function dmaInterfaceOf(name: string): string | undefined {
  const found = place(name);
  if (found?.kind !== 'DMA') return undefined;
  return `DMA_IF_${CORNERS[(found.number % 2) + (found.number >= 4 ? 2 : 0)]}`;
}

/** Where an initiator enters the two networks, and so whose range registers apply to it. */
export interface Ports {
  /** Block of the router of its messages, and what its range registers are called. */
  readonly lbw: { readonly block: string; readonly registers: 'LBW_RANGE' | 'SOB' | 'DMA0' | 'DMA1' };
  /** Block of the router of its data. Sync managers have no data. */
  readonly hbw: string | undefined;
}

/**
 * Source: gaudi_security.c, gaudi_rr_lbw_hit_aw_regs and gaudi_rr_hbw_hit_aw_regs, with the places above: the row of
 * routers at Y = 1 is SIF_RTR, the one at Y = 6 NIF_RTR, and their columns begin at X = 1.
 */
export function portsOf(name: string): Ports | undefined {
  const corner = /^SYNC_MNGR_OBJS_(\w_\w)$/.exec(name)?.[1];
  if (corner) return { lbw: { block: `DMA_IF_${corner}`, registers: 'SOB' }, hbw: undefined };
  const found = place(name);
  if (!found) return undefined;
  if (found.kind === 'DMA') {
    const near = dmaInterfaceOf(name) as string;
    const channel = found.number % 4 >= 2 ? 1 : 0;
    return {
      lbw: { block: near, registers: channel === 0 ? 'DMA0' : 'DMA1' },
      hbw: `${near}_DOWN_CH${channel}`,
    };
  }
  const row = found.at.y === 1 ? 'SIF_RTR' : 'NIF_RTR';
  const column = found.at.x - 1;
  return { lbw: { block: `${row}_${column}`, registers: 'LBW_RANGE' }, hbw: `${row}_CTRL_${column}` };
}
