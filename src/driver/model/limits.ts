/**
 * What the driver asks the firmware about clocks and power, and what it has it keep to. Source: common/firmware_if.c
 * (hl_fw_get_frequency and those beside it), gaudi.c (gaudi_map_pll_idx_to_fw_idx).
 */

import { DEV_STS0 } from '../../../specs/gaudi/boot.ts';
import type { Steps } from '../../sim/process.ts';
import type { Card } from './card.ts';
import type { FirmwareQueues } from './cpucp.ts';
import { errnoOf, negative, refuse } from './errno.ts';
import { BOOT_REGISTERS, type Log } from './firmware-load.ts';

/** cpucp_if.h, enum pll_index: the firmware's number for each of the interface's (gaudi_map_pll_idx_to_fw_idx). */
const PLLS = [0, 1, 8, 10, 2, 3, 4, 5, 6, 7] as const;
const COMPUTE_PLL = 7;

/** What a card is told anew after every reset. */
export interface Limits {
  /** Hertz (asic_prop.max_freq_value). */
  clock: bigint;
  /** Milliwatts (hdev->max_power). */
  power: bigint;
}

/** gaudiP.h, GAUDI_MAX_CLK_FREQ; the power is set when it is known what kind of card it is. */
export const initialLimits = (): Limits => ({ clock: 2_200_000_000n, power: 0n });

/** Asks the firmware, and says in the log that it did not answer, unless it has not for some time. */
export function* firmware(card: Card, what: string, steps: Steps<bigint>): Steps<bigint> {
  try {
    return yield* steps;
  } catch (error) {
    const code = errnoOf(error);
    if (code !== 'EAGAIN') card.log('err', `Failed to ${what}, error ${negative(code)}`);
    throw error;
  }
}

/** Tells the firmware something; what it refuses is only logged. */
export function* tell(log: Log, what: string, steps: Steps<bigint>): Steps {
  try {
    yield* steps;
  } catch (error) {
    const code = errnoOf(error);
    if (code !== 'EAGAIN') log('err', `Failed to ${what}, error ${negative(code)}`);
  }
}

/** get_used_pll_index: older firmware numbers its PLLs as the interface does, and is asked. @throws SystemError EINVAL */
export function pllOf(card: Card, index: number): number {
  if ((card.pci.read(BOOT_REGISTERS.DEV_STS0) & DEV_STS0.DYN_PLL_EN) === 0) return index;
  const pll = PLLS[index];
  if (pll === undefined) {
    card.log('err', `Invalid PLL index (${index}) error -22`);
    refuse('EINVAL');
  }
  if ((((card.info?.pllMap[pll >> 3] ?? 0) >> (pll & 7)) & 1) === 0) {
    card.log('err', `PLL index ${pll} is not supported`);
    refuse('EINVAL');
  }
  return pll;
}

/** hl_fw_get_frequency of the clock of the engines. @returns hertz. @throws SystemError where the firmware does not answer */
export function clock(card: Card, packet: 'FREQUENCY_GET' | 'FREQUENCY_CURR_GET'): Steps<bigint> {
  const index = pllOf(card, COMPUTE_PLL);
  return firmware(card, `get frequency of PLL ${index}`, card.firmware.send(packet, { index }));
}

/** hl_fw_get_clk_rate. @returns hertz. @throws SystemError where the firmware does not answer */
export function* clockRates(card: Card): Steps<{ readonly current: bigint; readonly most: bigint }> {
  const ask = function* (what: string, steps: Steps<bigint>): Steps<bigint> {
    try {
      return yield* steps;
    } catch (error) {
      card.log('err', `Failed to retrieve device ${what} clock ${negative(errnoOf(error))}`);
      throw error;
    }
  };
  const most = yield* ask('max', clock(card, 'FREQUENCY_GET'));
  const current = yield* ask('current', clock(card, 'FREQUENCY_CURR_GET'));
  return { current, most };
}

/** hl_fw_set_frequency. */
export function* setClock(card: Card): Steps {
  yield* sendClock(card.firmware, pllOf(card, COMPUTE_PLL), card.limits.clock, card.log.bind(card));
}

/** The same where the number of the PLL is known. @param hertz 64 bits */
export function sendClock(queues: FirmwareQueues, index: number, hertz: bigint, log: Log): Steps {
  return tell(log, `set frequency to PLL ${index}`, queues.send('FREQUENCY_SET', { index, value: hertz }));
}

/** hl_fw_set_max_power. */
export function setPower(card: Card): Steps {
  const { firmware: queues, limits } = card;
  return tell(card.log.bind(card), 'set max power', queues.send('MAX_POWER_SET', { value: limits.power }));
}
