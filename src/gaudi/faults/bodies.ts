/** What each fault of specs/gaudi/faults.ts does: the answer to an occasion, or an act. */

import { BOOT_ERR0 } from '../../../specs/gaudi/boot.ts';
import { RC } from '../../../specs/gaudi/cpucp.ts';
import { dmaCauses, eccEvent, qmanCauses, TPC_CAUSES } from '../../../specs/gaudi/fault-values.ts';
import type { FaultName, faults } from '../../../specs/gaudi/faults.ts';
import { arbiterError } from '../../../specs/gaudi/registers/qman.ts';
import { SEI_CAUSE } from '../../../specs/gaudi/registers/sync-manager.ts';
import type { Clock } from '../../sim/clock.ts';
import type { EccPlace } from '../ecc.ts';
import type { Words } from './parse.ts';
import type { Access, FaultPoint, FaultPoints } from './points.ts';

/** What faults that come by themselves act on. */
export interface FaultyCard {
  readonly clock: Clock;
  /** The firmware has met an event. @param payload up to 56 bytes */
  raiseEvent(name: string, payload?: Uint8Array): void;
  /** A memory has an ECC error, and its block's registers tell where, if it has some. @returns false where it has none */
  eccError(memory: string, kind: 'SERR' | 'DERR', where: EccPlace): boolean;
  /** A stream of a queue manager, by its engine, meets errors. */
  queueError(engine: string, stream: number, causes: number): void;
  arbiterError(engine: string, causes: number): void;
  /** A tensor core raises an interrupt for a cause, by its number. */
  kernelError(engine: string, cause: number): void;
  /** Packets pass the PCI Express link, or do not. */
  setLink(up: boolean): void;
  /** Its power goes, and comes again. */
  powerCycle(): void;
  /** What stands still in a reset or a boot ends: its firmware boots from the beginning. */
  boot(): void;
}

/** An act. @returns what ends it before its time, where it lasts */
type Act = (words: Words, card: FaultyCard) => (() => void) | undefined;
type Answer<P extends keyof FaultPoints> =
  FaultPoints[P] extends FaultPoint<infer Occasion, infer Outcome>
    ? (words: Words) => (occasion: Occasion) => Outcome | undefined
    : never;
type BodyAt<O extends string> = O extends keyof FaultPoints ? Answer<O> : Act;

/** As the injector calls any of them. */
export type FaultBody = (words: Words, card: FaultyCard) => unknown;

/** Bits of an entry of the completion queue (common/habanalabs.h, CQ_ENTRY_READY, CQ_ENTRY_SHADOW_INDEX_VALID). */
const ENTRY = { READY: 0x8000_0000, VALID: 0x4000_0000 } as const;
/** How a bridge's or memory's error is placed, where nobody says where it is. */
const SOMEWHERE = { address: 0x1234, syndrome: 0x5a } as const;
/** Bits of hbm_ecc_info (cpucp_if.h, CPUCP_PKT_HBM_ECC_INFO_*). */
const HBM_INFO = {
  'write-parity': 0,
  'read-parity': 1,
  'command-parity': 2,
  double: 3,
  single: 4,
  CHANNEL: 6,
} as const;

const BOOT_CAUSES: Readonly<Record<string, number>> = {
  'dram-init-fail': BOOT_ERR0.DRAM_INIT_FAIL,
  'fit-corrupted': BOOT_ERR0.FIT_CORRUPTED,
  'thermal-sensor': BOOT_ERR0.TS_INIT_FAIL,
  'bmc-skipped': BOOT_ERR0.BMC_WAIT_SKIPPED,
  'security-not-ready': BOOT_ERR0.SECURITY_NOT_RDY,
  'security-fail': BOOT_ERR0.SECURITY_FAIL,
  'efuse-fail': BOOT_ERR0.EFUSE_FAIL,
  'pll-fail': BOOT_ERR0.PLL_FAIL,
  'eeprom-fail': BOOT_ERR0.EEPROM_FAIL,
};

const NIC_CAUSES = ['RXB', 'RXE', 'TXS', 'TXE', 'QPC_RESP', 'NON_AXI_ERR', 'TMR'];

function completion(value: number): boolean {
  return (value & (ENTRY.READY | ENTRY.VALID)) >>> 0 === ENTRY.READY + ENTRY.VALID;
}

/** Whether an access is the engine's own, not its queue manager's. */
function by(engine: unknown): (access: Access) => boolean {
  return ({ who }) => who === engine || who === `${engine}_CORE`;
}

/** Words of 32 bits and single bytes at the places given. */
function payload(words: Readonly<Record<number, number>>, bytes: Readonly<Record<number, number>> = {}): Uint8Array {
  const data = new Uint8Array(32);
  const view = new DataView(data.buffer);
  for (const [at, value] of Object.entries(words)) view.setUint32(Number(at), value, true);
  for (const [at, value] of Object.entries(bytes)) view.setUint8(Number(at), value);
  return data;
}

function ecc(kind: 'SERR' | 'DERR'): Act {
  return ({ memory, number }, card) => {
    const place = { ...SOMEWHERE, index: Number(number) };
    const { address, syndrome, index } = place;
    card.eccError(memory as string, kind, place);
    // struct hl_eq_ecc_data
    card.raiseEvent(eccEvent(memory as string, kind) as string, payload({ 0: address, 8: syndrome }, { 16: index }));
    return undefined;
  };
}

function throttled(event: 'FIX_POWER_ENV' | 'FIX_THERMAL_ENV'): Act {
  return ({ for: ns }, card) => {
    card.raiseEvent(`${event}_S`);
    const timer = card.clock.at(card.clock.now() + (ns as number), () => card.raiseEvent(`${event}_E`));
    return () => timer.cancel();
  };
}

function raised(event: string, data?: Uint8Array): Act {
  return (_, card) => {
    card.raiseEvent(event, data);
    return undefined;
  };
}

/** @param back what happens to the card before it can be reached again */
function linkDown(back: (card: FaultyCard) => void = () => {}): Act {
  return ({ for: ns }, card) => {
    let down = true;
    const end = () => {
      timer.cancel();
      if (!down) return;
      down = false;
      back(card);
      card.setLink(true);
    };
    card.setLink(false);
    const timer = card.clock.at(card.clock.now() + (ns as number), end);
    return end;
  };
}

const isPacket = (wanted: unknown, packet: string) => wanted === 'any' || wanted === packet;

type Rows = typeof faults;

/** A row without its body does not compile. */
export const faultBodies: { readonly [N in FaultName]: BodyAt<Rows[N]['occasion']> } = {
  'msi-lost': () => () => 'lost',
  'msi-late':
    ({ by: ns }) =>
    () =>
      ns as number,
  'msi-twice': () => () => 'twice',
  'link-down': linkDown(),
  'surprise-removal': linkDown((card) => card.powerCycle()),
  'completion-lost':
    () =>
    ({ value }) =>
      completion(value) ? 'lost' : undefined,
  'completion-corrupt':
    ({ bit }) =>
    ({ value }) =>
      completion(value) ? (value & ~(bit === 'ready' ? ENTRY.READY : ENTRY.VALID)) >>> 0 : undefined,
  'host-read-error': ({ engine }) => {
    const own = by(engine);
    return (access) => (access.access === 'read' && own(access)) || undefined;
  },

  'boot-stuck':
    ({ stage }) =>
    (begun) =>
      begun.stage === stage ? 'stuck' : undefined,
  'boot-error':
    ({ cause }) =>
    ({ stage }) =>
      stage === 'boot-loader' ? BOOT_CAUSES[cause as string] : undefined,
  'reset-stuck': () => () => true,
  'firmware-silent':
    ({ packet }) =>
    (request) =>
      isPacket(packet, request.packet) ? 'silent' : undefined,
  'firmware-late':
    ({ by: ns }) =>
    () =>
      ns as number,
  'firmware-refuses':
    ({ packet }) =>
    (request) =>
      isPacket(packet, request.packet) ? { rc: RC.FAULT } : undefined,
  'heartbeat-lost': () => (request) => (request.packet === 'TEST' ? 'wrong' : undefined),
  'event-lost': () => () => 'lost',
  'event-unknown':
    ({ number }) =>
    () =>
      number as number,
  // struct hl_eq_fw_alive: uptime, process, thread, severity
  'firmware-report': ({ severity }, card) => {
    card.raiseEvent('FW_ALIVE_S', payload({ 0: 3600, 8: 4321, 12: 4322 }, { 16: severity === 'critical' ? 1 : 0 }));
    return undefined;
  },
  'reset-request': raised('DEV_RESET_REQ'),
  // struct cpucp_pkt_sync_err: what the firmware has for the two indices
  'queue-out-of-sync': raised('PKT_QUEUE_OUT_SYNC', payload({ 0: 17, 4: 16 })),

  'ecc-single': ecc('SERR'),
  'ecc-double': ecc('DERR'),
  'hbm-error': ({ kind, stack, channel }, card) => {
    const info = (1 << HBM_INFO[kind as 'single']) | (((channel as number) & 0x1f) << HBM_INFO.CHANNEL);
    // struct hl_eq_hbm_ecc_data: counts of single and double errors, info, first address, continued singles
    const data = payload({
      0: kind === 'single' ? 1 : 0,
      4: kind === 'double' ? 1 : 0,
      8: info,
      12: SOMEWHERE.address,
    });
    card.raiseEvent(`HBM${stack}_SPI_${kind === 'single' ? 1 : 0}`, data);
    return undefined;
  },
  'pll-unlocked': ({ number }, card) => {
    card.raiseEvent(`PLL${number}`);
    return undefined;
  },
  'power-throttling': throttled('FIX_POWER_ENV'),
  'thermal-throttling': throttled('FIX_THERMAL_ENV'),
  overheating: ({ cause }, card) => {
    card.raiseEvent('PSOC_GPIO_U16_0', payload({}, { 0: (cause as number) & 0xff }));
    return undefined;
  },

  'page-fault': ({ engine }) => {
    const own = by(engine);
    return (access) => own(access) || undefined;
  },
  razwi: ({ engine }) => {
    const own = by(engine);
    return (access) => own(access) || undefined;
  },
  'axi-error': ({ where }, card) => {
    card.raiseEvent(where as string);
    return undefined;
  },
  'sync-manager-error': ({ manager, cause, log }, card) => {
    const causes = {
      overflow: SEI_CAUSE.SO_OVERFLOW,
      unaligned: SEI_CAUSE.LBW_4B_UNALIGNED,
      response: SEI_CAUSE.AXI_RESPONSE_ERR,
    };
    const number = { W_S: 0, E_S: 1, W_N: 2, E_N: 3 }[manager as 'W_S'];
    // struct hl_eq_sm_sei_data: log, cause
    card.raiseEvent(`DMA_IF_SEI_${number}`, payload({ 0: log as number }, { 4: causes[cause as 'overflow'] }));
    return undefined;
  },
  // the first byte of the event is the cause, the second the port (gaudi.c, gaudi_print_nic_axi_irq_info)
  'nic-error': ({ nic, cause }, card) => {
    card.raiseEvent(`NIC_SEI_${nic}`, payload({}, { 0: NIC_CAUSES.indexOf(cause as string) }));
    return undefined;
  },

  'qman-error': ({ queue, cause, stream }, card) => {
    card.queueError(queue as string, Number(stream), qmanCauses[cause as string] as number);
    return undefined;
  },
  'arbiter-error': ({ queue, cause }, card) => {
    const causes = {
      overflow: arbiterError.choiceOverflow,
      watchdog: arbiterError.choiceWatchdog,
      message: arbiterError.message,
    };
    card.arbiterError(queue as string, causes[cause as 'overflow']);
    return undefined;
  },
  'undefined-opcode':
    ({ queue }) =>
    (packet) =>
      packet.queue === `${queue}_QM` || undefined,
  'dma-error':
    ({ engine, cause }) =>
    ({ core }) =>
      core === `${engine}_CORE` ? dmaCauses[cause as string] : undefined,
  'tpc-error': ({ engine, cause }, card) => {
    card.kernelError(engine as string, TPC_CAUSES[cause as string] as number);
    return undefined;
  },
  'engine-stuck':
    ({ engine }) =>
    ({ core }) =>
      core === `${engine}_CORE` ? 'stuck' : undefined,
  'kernel-stuck':
    ({ engine }) =>
    ({ core }) =>
      core === engine || undefined,

  event: ({ name }, card) => {
    card.raiseEvent(name as string);
    return undefined;
  },
};
