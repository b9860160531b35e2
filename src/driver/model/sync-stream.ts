/**
 * Signals between queues: each external queue has two sync objects of the sync manager W_S, of which one is in use, and a
 * monitor. Source: common/command_submission.c (hl_cs_signal_sob_wraparound_handler, cs_ioctl_reserve_signals,
 * cs_ioctl_unreserve_signals), common/hw_queue.c (sync_stream_queue_init, init_signal_cs, init_wait_cs), gaudi.c
 * (gaudi_gen_signal_cb, gaudi_gen_wait_cb, gaudi_reset_sob).
 */

import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { syncManager } from '../../../specs/gaudi/registers/sync-manager.ts';
import { gaudiQman } from '../../../specs/gaudi-qman.ts';
import { queueNames, queueRow } from '../../uapi/habanalabs/gaudi.ts';
import { blockOfEngine, qman } from './engines.ts';
import { refuse } from './errno.ts';
import type { PciDevice } from './pci.ts';
import { high, low, register } from './registers.ts';

/** gaudi.c, gaudi_set_fixed_properties: behind what collective operations keep. */
const FIRST = { SOB: 128, MONITOR: 64 } as const;
const SOBS_PER_QUEUE = 2;
/** habanalabs.h, HL_MAX_SOB_VAL. */
const LARGEST = 1 << 15;
/** Which base of short messages reaches what of W_S (gaudi_init_pci_dma_qman), and the fence that waits use. */
const BASE = { MONITOR: 2, SOB: 3 } as const;
const WAIT_FENCE = 2;

/** struct hl_hw_sob. */
export interface HwSob {
  readonly id: number;
  /** Offset of its register from the start of the configuration space. */
  readonly offset: number;
  references: number;
  needsReset: boolean;
}

/** Signals that a program has reserved, to be made by its packets (struct hl_cs_encaps_sig_handle). */
export interface Reservation {
  readonly id: number;
  readonly queue: number;
  readonly count: number;
  readonly sob: HwSob;
  /** Value before the first of the signals, plus one. */
  readonly first: number;
  /** Number of the submission that makes them, once there is one. */
  sequence: bigint | undefined;
  references: number;
}

interface Stream {
  readonly queue: number;
  readonly monitor: number;
  readonly sobs: readonly HwSob[];
  current: number;
  nextValue: number;
}

type Log = (level: 'err' | 'crit', text: string) => void;
const { rows } = syncManager;
const W_S = 'SYNC_MNGR_OBJS_W_S';
const monitorBase = register(W_S, rows.MON_PAY_ADDRL);

export class SyncStreams {
  readonly #card: PciDevice;
  readonly #log: Log;
  readonly #streams = new Map<number, Stream>();

  constructor(card: PciDevice, log: Log) {
    this.#card = card;
    this.#log = log;
    const external = queueNames.map(queueRow).filter(({ kind }) => kind === 'external');
    external.forEach(({ value: queue }, i) => {
      const sobs = Array.from({ length: SOBS_PER_QUEUE }, (_, n): HwSob => {
        const id = FIRST.SOB + i * SOBS_PER_QUEUE + n;
        return { id, offset: register(W_S, rows.SOB_OBJ, id), references: 1, needsReset: false };
      });
      this.#streams.set(queue, { queue, monitor: FIRST.MONITOR + i, sobs, current: 0, nextValue: 1 });
    });
  }

  supports(queue: number): boolean {
    return this.#streams.has(queue);
  }

  /** sync_stream_queue_reset. */
  reset(): void {
    for (const stream of this.#streams.values()) {
      (stream.sobs[stream.current] as HwSob).references = 1;
      stream.current = 0;
      stream.nextValue = 1;
    }
  }

  /**
   * The next signal of a queue. @throws SystemError EINVAL
   * @returns its sync object, the value it will have, packets that make it; and as `before` what the driver tells programs,
   *   which is counted when this signal is in it already (init_signal_cs)
   */
  signal(queue: number): { sob: HwSob; value: number; before: number; packets: Uint8Array } {
    const stream = this.#stream(queue);
    const sob = stream.sobs[stream.current] as HwSob;
    const value = stream.nextValue;
    const packets = gaudiQman.encode('MSG_SHORT', {
      value: gaudiQman.format('sob', { value: 1, add: true }),
      offset: sob.id * 4,
      base: BASE.SOB,
      eb: true,
      rb: true,
      mb: true,
    });
    this.#advance(stream, 1, false);
    return { sob, value, before: stream.nextValue - 1, packets };
  }

  /** Packets that hold a queue until a sync object is `value`. */
  wait(queue: number, sob: HwSob, value: number): Uint8Array {
    const { monitor } = this.#stream(queue);
    const { engine, stream } = queueRow(queueNames[queue] as never);
    const fence = addressMap.CFG_BASE + qman(blockOfEngine(engine), 'CP_FENCE_RDATA', WAIT_FENCE, stream);
    const message = (row: 'MON_PAY_ADDRL' | 'MON_PAY_ADDRH' | 'MON_PAY_DATA' | 'MON_ARM', data: number) =>
      gaudiQman.encode('MSG_SHORT', {
        value: data,
        offset: register(W_S, rows[row], monitor) - monitorBase,
        base: BASE.MONITOR,
        rb: true,
        mb: row === 'MON_ARM',
      });
    const arm = gaudiQman.format('mon_arm', { group: sob.id >> 3, mask: 0xff & ~(1 << (sob.id & 7)), value });
    return join([
      message('MON_PAY_ADDRL', low(fence)),
      message('MON_PAY_ADDRH', high(fence)),
      message('MON_PAY_DATA', 1),
      message('MON_ARM', arm),
      gaudiQman.encode('FENCE', { dec: 1, target: 1, id: WAIT_FENCE, rb: true, mb: true }),
    ]);
  }

  get(sob: HwSob): void {
    sob.references++;
  }

  /** hw_sob_put: when nobody is left that counts on its value it begins at 0 again. */
  put(sob: HwSob): void {
    if (--sob.references > 0) return;
    this.#card.write(sob.offset, 0);
    sob.references = 1;
    sob.needsReset = false;
  }

  /** cs_ioctl_reserve_signals. @throws SystemError EINVAL */
  reserve(queue: number, count: number, id: number): { reservation: Reservation; next: number } {
    const stream = this.#stream(queue);
    const sob = this.#advance(stream, count, true);
    const first = stream.nextValue - count;
    return {
      reservation: { id, queue, count, sob, first, sequence: undefined, references: 1 },
      next: stream.nextValue,
    };
  }

  /** cs_ioctl_unreserve_signals. @throws SystemError EINVAL when others have signalled since */
  unreserve(reservation: Reservation): void {
    const stream = this.#stream(reservation.queue);
    const sob = stream.sobs[stream.current] as HwSob;
    const { first, count } = reservation;
    if (first + count !== stream.nextValue || sob !== reservation.sob) {
      this.#log(
        'err',
        `Cannot unreserve signals, SOB val ran out of sync, expected: ${first}, actual val: ${stream.nextValue - count}`,
      );
      refuse('EINVAL');
    }
    stream.nextValue -= count;
    this.put(sob);
  }

  /** hl_cs_signal_sob_wraparound_handler. @returns the sync object that counts now. @throws SystemError EINVAL */
  #advance(stream: Stream, count: number, reserved: boolean): HwSob {
    const sob = stream.sobs[stream.current] as HwSob;
    sob.references++;
    if (stream.nextValue + count < LARGEST) {
      stream.nextValue += count;
      return sob;
    }
    sob.references--;
    const next = (stream.current + 1) % SOBS_PER_QUEUE;
    const other = stream.sobs[next] as HwSob;
    if (other.references !== 1) {
      this.#log('err', `error: Cannot switch SOBs q_idx: ${stream.queue}`);
      refuse('EINVAL');
    }
    stream.nextValue = reserved ? count + 1 : count;
    stream.current = next;
    if (other.needsReset) this.put(other);
    if (reserved) {
      sob.needsReset = true;
      other.references++;
    }
    return other;
  }

  #stream(queue: number): Stream {
    return this.#streams.get(queue) as Stream;
  }
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => {
    all.set(part, at);
    return at + part.length;
  }, 0);
  return all;
}
