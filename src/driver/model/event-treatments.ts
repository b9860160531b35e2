/**
 * What becomes of an event that the firmware reports, by its name, in the order in which the driver looks.
 * Source: gaudi.c, gaudi_handle_eqe.
 */

import { notifierEvents } from '../../uapi/habanalabs/info-results.ts';
import { values } from '../../uapi/rows.ts';

const EVENT = values(notifierEvents);

/** What the driver reads of it besides (event-details.ts, and the queue managers' status). */
export type Detail =
  | 'ecc'
  | 'hbm'
  | 'tpc'
  | 'queue'
  | 'nic'
  | 'sync-manager'
  | 'clock'
  | 'hot'
  | 'out-of-sync'
  | 'alive';

export interface Treatment {
  /** A line that names it. */
  readonly named: boolean;
  /** Refused accesses and page faults are looked for. */
  readonly accesses?: boolean;
  readonly detail?: Detail;
  /** The firmware is told that it may report it again. */
  readonly unmasked?: boolean;
  /** HL_NOTIFIER_EVENT_* that programs are told. */
  readonly tells: number;
  /** The card is reset; `fatal` errors twice in a row without a user disable it. */
  readonly reset?: 'fatal' | 'plain';
}

const HARDWARE = EVENT.HL_NOTIFIER_EVENT_GENERAL_HW_ERR;
const USER = EVENT.HL_NOTIFIER_EVENT_USER_ENGINE_ERR;
const RESET = EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET;

const treatments: readonly (readonly [RegExp, Treatment])[] = [
  [/_DERR(_ECC)?$/, { named: true, accesses: true, detail: 'ecc', tells: HARDWARE, reset: 'fatal' }],
  [/^(GIC500|AXI_ECC|L2_RAM_ECC|PLL\d+)$/, { named: true, tells: HARDWARE, reset: 'fatal' }],
  [/^HBM\d_SPI_0$/, { named: true, detail: 'hbm', tells: HARDWARE, reset: 'fatal' }],
  [/^HBM\d_SPI_1$/, { named: true, detail: 'hbm', unmasked: true, tells: HARDWARE }],
  // unless the queue manager is at fault, then the card is reset; see the detail
  [/^TPC\d_DEC$/, { named: true, accesses: true, detail: 'tpc', tells: USER | EVENT.HL_NOTIFIER_EVENT_TPC_ASSERT }],
  [/^TPC\d_KRN_ERR$/, { named: true, accesses: true, detail: 'tpc', tells: USER }],
  [/_SERR(_ECC)?$/, { named: true, accesses: true, detail: 'ecc', unmasked: true, tells: HARDWARE }],
  [
    /^(PCIE_DEC|CPU_AXI_SPLITTER|PSOC_AXI_DEC|PSOC_PRSTN_FALL)$/,
    { named: true, accesses: true, unmasked: true, tells: HARDWARE },
  ],
  [/^MMU_(PAGE_FAULT|WR_PERM)$/, { named: true, accesses: true, unmasked: true, tells: USER }],
  [
    /^MME\d_(WBC|SBAB0)_RSP$|^RAZWI_OR_ADC$|^(TPC|MME|DMA)\d_QM$|^NIC\d_QM\d$|^DMA\d_CORE$/,
    { named: true, accesses: true, detail: 'queue', unmasked: true, tells: USER | RESET },
  ],
  [/^RAZWI_OR_ADC_SW$/, { named: true, accesses: true, tells: USER, reset: 'plain' }],
  [/^TPC\d_BMON_SPMU$|^DMA_BM_CH\d$/, { named: true, unmasked: true, tells: USER }],
  [/^NIC_SEI_\d$/, { named: false, detail: 'nic', unmasked: true, tells: USER }],
  [/^DMA_IF_SEI_\d$/, { named: true, detail: 'sync-manager', unmasked: true, tells: USER }],
  [/^STATUS_NIC\d_ENG\d$/, { named: false, tells: 0 }],
  [/^FIX_POWER_ENV_[SE]$/, { named: false, detail: 'clock', unmasked: true, tells: 0 }],
  [/^FIX_THERMAL_ENV_[SE]$/, { named: false, detail: 'clock', unmasked: true, tells: USER }],
  [/^PSOC_GPIO_U16_0$/, { named: false, detail: 'hot', tells: USER }],
  [/^DEV_RESET_REQ$/, { named: true, tells: HARDWARE, reset: 'plain' }],
  [/^PKT_QUEUE_OUT_SYNC$/, { named: true, detail: 'out-of-sync', tells: HARDWARE, reset: 'plain' }],
  [/^FW_ALIVE_S$/, { named: true, detail: 'alive', tells: 0, reset: 'plain' }],
];

/** @returns undefined for events that the driver does not know */
export function treatmentOf(name: string): Treatment | undefined {
  return treatments.find(([pattern]) => pattern.test(name))?.[1];
}
