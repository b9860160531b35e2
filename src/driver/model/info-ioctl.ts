/**
 * DRM_IOCTL_HL_INFO: questions. Source: common/habanalabs_ioctl.c (_hl_info_ioctl and what it calls),
 * common/firmware_if.c for those that the firmware answers.
 */

import { packets } from '../../../specs/gaudi/cpucp.ts';
import type { Steps } from '../../sim/process.ts';
import { gaudiConstants } from '../../uapi/habanalabs/gaudi.ts';
import { DRM_IOCTL_HL_INFO, hl_passthrough_type, type InfoName, infoOperations } from '../../uapi/habanalabs/info.ts';
import {
  hl_info_clk_rate,
  hl_info_cs_counters,
  hl_info_hw_idle,
  hl_info_hw_ip_info,
  hl_info_razwi_event,
  hl_info_sync_manager,
  hl_info_undefined_opcode_event,
  hl_open_stats_info,
  hl_user_mapping,
  infoConstants,
} from '../../uapi/habanalabs/info-results.ts';
import { nameOf } from '../../uapi/rows.ts';
import type { Decoded } from '../../uapi/struct.ts';
import type { Card } from './card.ts';
import type { Context } from './context.ts';
import { type Errno, errnoOf, negative, refuse } from './errno.ts';
import { EVENT_COUNT } from './events.ts';
import { MS, US } from './kernel.ts';
import { clockRates, firmware, pllOf } from './limits.ts';
import { USER } from './parser.ts';
import { textOf } from './text.ts';

type Arguments = Decoded<typeof DRM_IOCTL_HL_INFO.argument>;
type Ask = { readonly card: Card; readonly context: Context | undefined; readonly input: Arguments };
/** What is written to the buffer: bytes, or an errno. `number` is what goes back in the argument. */
interface Answer {
  readonly bytes?: Uint8Array;
  readonly number?: number;
  readonly refused?: Errno;
}
type Body = (ask: Ask) => Steps<Answer | undefined>;

const DRAM = USER.DRAM_END - USER.DRAM;
const DRAM_PAGE = 2n ** 21n;
const NO_NUMBER = 0xffff;
/** habanalabs.h, HL_MAX_DCORES. */
const DCORES = 8;
/** What a card calls itself whose firmware does not (gaudiP.h). */
const DEFAULT_NAME = 'HL205';
/** gaudi.c, set_default_power_values: power of an idle card. The driver compares it with the firmware's number as it is. */
const IDLE_POWER = 60_000n;
/** cpucp_if.h, CPUCP_POWER_INPUT, as `type` of the packet. */
const POWER_INPUT = 8 << 16;

/** Questions that do not look at the pointer and the size before they have an answer. */
const unchecked = {
  HL_INFO_USER_MAPPINGS: 'size',
  HL_INFO_HW_ERR_EVENT: 'size',
  HL_INFO_FW_ERR_EVENT: 'size',
  HL_INFO_USER_ENGINE_ERR_EVENT: 'size',
  HL_INFO_FW_GENERIC_REQ: 'neither',
} as const;

/** hl_info_ioctl. @param control on the control node: its device, as the log names it. @returns nothing; the argument is changed in place. @throws SystemError */
export function* infoIoctl(
  card: Card,
  context: Context | undefined,
  argument: Uint8Array,
  control: string | undefined,
  eventfd: (fd: number) => { signal(): void } | Errno,
): Steps {
  const input = DRM_IOCTL_HL_INFO.argument.decode(argument);
  const name = nameOf(infoOperations, input.op) as InfoName | undefined;
  const row = name && infoOperations[name];
  if (control !== undefined && row?.nodes === 'compute') refuse('EOPNOTSUPP');
  if (input.pad !== 0) refuse('EINVAL');
  if (!row?.always && !card.operational()) refuse('EBUSY');
  if (name === undefined) {
    card.kernel.log('err', control ?? `habanalabs ${card.name}`, `Invalid request ${input.op | 0}`);
    refuse('EINVAL');
  }
  if (name === 'HL_INFO_REGISTER_EVENTFD' || name === 'HL_INFO_UNREGISTER_EVENTFD') {
    listen(context as Context, name === 'HL_INFO_REGISTER_EVENTFD' ? eventfd(input.eventfd) : undefined, name);
    return;
  }
  const checks = unchecked[name as keyof typeof unchecked];
  if (checks !== 'neither' && input.return_pointer === 0n) refuse('EINVAL');
  if (checks === undefined && input.return_size === 0) refuse('EINVAL');
  const answer = yield* bodies[name]({ card, context, input });
  if (!answer) return;
  if (answer.number !== undefined)
    new DataView(argument.buffer, argument.byteOffset).setUint32(16, answer.number, true);
  if (answer.refused) refuse(answer.refused);
  const bytes = answer.bytes ?? new Uint8Array(0);
  const length = Math.min(bytes.length, input.return_size);
  const target = card.kernel.program.bytes(input.return_pointer, length);
  if (!target) refuse('EFAULT');
  target.set(bytes.subarray(0, length));
}

function listen(context: Context, found: { signal(): void } | Errno | undefined, name: InfoName): void {
  const registering = name === 'HL_INFO_REGISTER_EVENTFD';
  if (registering === (context.eventfd !== undefined)) refuse('EINVAL');
  if (typeof found === 'string') refuse(found);
  context.eventfd = found;
}

const now = (bytes: Uint8Array) => ({ bytes });
// biome-ignore lint/correctness/useYield: answers that need nobody to be asked
function* at<T>(value: T): Steps<T> {
  return value;
}
const words = (list: Uint32Array): Uint8Array => new Uint8Array(list.buffer.slice(0));
const encode = <N extends InfoName>(name: N, value: object) => {
  const answer = (infoOperations[name] as { answer?: { encode?(value: object): Uint8Array } }).answer;
  if (!answer?.encode) throw new Error(`${name} has no layout`);
  return now(answer.encode(value));
};
/** A record that is given whole or not at all. @throws SystemError ENOMEM where there is no room */
function whole(
  name: 'HL_INFO_HW_ERR_EVENT' | 'HL_INFO_FW_ERR_EVENT',
  input: Arguments,
  timestamp: number,
  event: object,
): Answer {
  const answer = encode(name, { timestamp: BigInt(timestamp), ...event });
  if (input.return_size < answer.bytes.length) refuse('ENOMEM');
  return answer;
}

function u64(value: bigint) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
  return now(bytes);
}

/**
 * hl_device_utilization: the range of power is divided by with 32 bits of it (div_u64), whatever limit somebody has written. Where
 * these are zero the kernel divides by zero; here that is refused.
 */
function share(drawn: bigint, most: bigint): number {
  const clamped = drawn >= most ? most : drawn <= IDLE_POWER ? IDLE_POWER : drawn;
  const divisor = BigInt.asUintN(32, most - IDLE_POWER);
  if (divisor === 0n) refuse('EINVAL');
  return Number(BigInt.asUintN(32, BigInt.asUintN(64, (clamped - IDLE_POWER) * 100n) / divisor));
}

const power = (card: Card) => firmware(card, 'read power', card.firmware.send('POWER_GET', { index: POWER_INPUT }));

const bodies: Readonly<Record<Exclude<InfoName, 'HL_INFO_REGISTER_EVENTFD' | 'HL_INFO_UNREGISTER_EVENTFD'>, Body>> = {
  HL_INFO_HW_IP_INFO: ({ card }) => at(now(hl_info_hw_ip_info.encode(hardware(card)))),
  HL_INFO_HW_EVENTS: ({ card }) => at(now(words(card.events.counts))),
  HL_INFO_HW_EVENTS_AGGREGATE: ({ card }) => at(now(words(card.events.allCounts))),
  HL_INFO_DRAM_USAGE: ({ card, context }) =>
    at(
      encode('HL_INFO_DRAM_USAGE', {
        dram_free_mem: BigInt.asUintN(64, DRAM - card.dramUsed),
        ctx_dram_mem: BigInt.asUintN(64, context?.dram ?? 0n),
      }),
    ),
  HL_INFO_HW_IDLE: ({ card }) => {
    const { idle, busy } = card.idleness();
    const mask = [busy, 0n, 0n, 0n];
    const low = Number(busy & 0xffff_ffffn);
    return at(
      now(hl_info_hw_idle.encode({ is_idle: idle ? 1 : 0, busy_engines_mask: low, busy_engines_mask_ext: mask })),
    );
  },
  HL_INFO_DEVICE_STATUS: ({ card }) => at(encode('HL_INFO_DEVICE_STATUS', { status: card.status() })),
  *HL_INFO_DEVICE_UTILIZATION({ card }) {
    if (card.limits.power === IDLE_POWER) {
      card.log('warn', 'device utilization is not supported');
      refuse('EINVAL');
    }
    let drawn: bigint;
    try {
      drawn = yield* power(card);
    } catch {
      refuse('EINVAL');
    }
    return encode('HL_INFO_DEVICE_UTILIZATION', { utilization: share(drawn, card.limits.power) });
  },
  *HL_INFO_CLK_RATE({ card }) {
    const { current, most } = yield* clockRates(card);
    const mhz = (hertz: bigint) => Number(hertz / 1_000_000n);
    return now(hl_info_clk_rate.encode({ cur_clk_rate_mhz: mhz(current), max_clk_rate_mhz: mhz(most) }));
  },
  HL_INFO_RESET_COUNT: ({ card }) =>
    at(encode('HL_INFO_RESET_COUNT', { hard_reset_cnt: card.hardResets, soft_reset_cnt: 0 })),
  HL_INFO_TIME_SYNC: ({ card }) => {
    const host = BigInt(card.kernel.now());
    return at(encode('HL_INFO_TIME_SYNC', { device_time: card.deviceTime(), host_time: host, tsc_time: host }));
  },
  HL_INFO_CS_COUNTERS: ({ card, context }) => at(now(hl_info_cs_counters.encode(refusals(card, context)))),
  *HL_INFO_PCI_COUNTERS({ card }) {
    const what = 'handle CPU-CP PCI info pkt';
    const ask = (index: number) => firmware(card, what, card.firmware.send('PCIE_THROUGHPUT_GET', { index }));
    const rx = yield* ask(1);
    const tx = yield* ask(0);
    const replays = yield* firmware(card, what, card.firmware.send('PCIE_REPLAY_CNT_GET'));
    return encode('HL_INFO_PCI_COUNTERS', { rx_throughput: rx, tx_throughput: tx, replay_cnt: replays & 0xffff_ffffn });
  },
  HL_INFO_CLK_THROTTLE_REASON: ({ card: { events, kernel } }) => {
    const { reasons, spans } = events.throttling;
    return at(
      encode('HL_INFO_CLK_THROTTLE_REASON', {
        clk_throttling_reason: reasons,
        clk_throttling_timestamp_us: spans.map((span) => BigInt(Math.floor((span?.start ?? 0) / US))),
        clk_throttling_duration_ns: spans.map((span) => BigInt(span ? (span.end || kernel.now()) - span.start : 0)),
      }),
    );
  },
  HL_INFO_SYNC_MANAGER: ({ input }) => {
    if (input.dcore_id >= DCORES) refuse('EINVAL');
    const westSouth = input.dcore_id === 0;
    return at(
      now(
        hl_info_sync_manager.encode({
          first_available_sync_object: westSouth ? gaudiConstants.GAUDI_FIRST_AVAILABLE_W_S_SYNC_OBJECT.value : 0,
          first_available_monitor: westSouth ? gaudiConstants.GAUDI_FIRST_AVAILABLE_W_S_MONITOR.value : 0,
          first_available_cq: NO_NUMBER,
        }),
      ),
    );
  },
  *HL_INFO_TOTAL_ENERGY({ card }) {
    const what = 'handle CpuCP total energy pkt';
    return u64(yield* firmware(card, what, card.firmware.send('TOTAL_ENERGY_GET')));
  },
  *HL_INFO_PLL_FREQUENCY({ card, input }) {
    const index = pllOf(card, input.pll_index);
    return u64(yield* firmware(card, 'read PLL info', card.firmware.send('PLL_INFO_GET', { index })));
  },
  *HL_INFO_POWER({ card }) {
    return u64(yield* power(card));
  },
  HL_INFO_OPEN_STATS: ({ card }) =>
    at(
      now(
        hl_open_stats_info.encode({
          open_counter: card.opens,
          last_open_period_ms: BigInt(Math.floor(card.lastSession / MS)),
          is_compute_ctx_active: card.context ? 1 : 0,
          compute_ctx_in_release: card.releasing ? 1 : 0,
        }),
      ),
    ),
  *HL_INFO_DRAM_REPLACED_ROWS({ card }) {
    const { bytes } = yield* card.firmware.ask('HBM_REPLACED_ROWS_INFO_GET', 8);
    return now(bytes);
  },
  *HL_INFO_DRAM_PENDING_ROWS({ card }) {
    const what = 'handle CPU-CP pending rows info pkt';
    const rowsLeft = yield* firmware(card, what, card.firmware.send('HBM_PENDING_ROWS_STATUS'));
    return now(u64(rowsLeft).bytes.subarray(0, 4));
  },
  HL_INFO_LAST_ERR_OPEN_DEV_TIME: ({ card }) => at(u64(BigInt(card.openedAt))),
  HL_INFO_CS_TIMEOUT_EVENT: ({ card }) => {
    const { timestamp = 0, seq = 0n } = card.errors.csTimeout ?? {};
    return at(encode('HL_INFO_CS_TIMEOUT_EVENT', { timestamp: BigInt(timestamp), seq }));
  },
  HL_INFO_RAZWI_EVENT: ({ card: { errors } }) => {
    if (!errors.razwi) return at(undefined);
    const { timestamp, addr, engines, flags } = errors.razwi;
    const event = { addr, engine_id: engines, num_of_possible_engines: engines.length, flags };
    return at(now(hl_info_razwi_event.encode({ timestamp: BigInt(timestamp), ...event })));
  },
  HL_INFO_DEV_MEM_ALLOC_PAGE_SIZES: () => at(u64(0n)),
  *HL_INFO_SECURED_ATTESTATION({ card, input }) {
    yield* attest(
      card,
      'SEC_ATTEST_GET',
      input.sec_attest_nonce,
      infoOperations.HL_INFO_SECURED_ATTESTATION.answer.size,
    );
    return undefined;
  },
  *HL_INFO_DEV_SIGNED({ card, input }) {
    yield* attest(card, 'INFO_SIGNED_GET', input.sec_attest_nonce, infoOperations.HL_INFO_DEV_SIGNED.answer.size);
    return undefined;
  },
  HL_INFO_GET_EVENTS: ({ context, input }) => {
    if (input.return_size < 8) refuse('EINVAL');
    const { events } = context as Context;
    (context as Context).events = 0n;
    return at(u64(events));
  },
  HL_INFO_UNDEFINED_OPCODE_EVENT: ({ card: { errors } }) => {
    const event = errors.undefinedOpcode;
    if (!event) return at(now(hl_info_undefined_opcode_event.encode({})));
    return at(
      now(
        hl_info_undefined_opcode_event.encode({
          timestamp: BigInt(event.timestamp),
          cb_addr_streams: event.streams,
          cq_addr: event.cqAddress,
          cq_size: event.cqSize,
          cb_addr_streams_len: event.streams.length,
          engine_id: event.engine,
          stream_id: event.stream,
        }),
      ),
    );
  },
  HL_INFO_ENGINE_STATUS: ({ card, input }) => {
    const size = input.return_size;
    if (size < 1024 || size > infoConstants.HL_ENGINES_DATA_MAX_SIZE.value) refuse('EINVAL');
    const bytes = new TextEncoder().encode(card.idleness().text);
    if (bytes.length > size) {
      card.log('err', `Engines data size (${bytes.length} Bytes) is bigger than allocated size (${size} Bytes)`);
      refuse('ENOMEM');
    }
    return at({ bytes, number: bytes.length });
  },
  HL_INFO_PAGE_FAULT_EVENT: ({ card: { errors } }) => {
    if (!errors.pageFault) return at(undefined);
    const { timestamp, addr } = errors.pageFault;
    return at(encode('HL_INFO_PAGE_FAULT_EVENT', { timestamp: BigInt(timestamp), addr, engine_id: 0 }));
  },
  HL_INFO_USER_MAPPINGS: ({ card: { errors }, input }) => {
    if (!errors.pageFault) return at(undefined);
    const { mappings } = errors.pageFault;
    const bytes = new Uint8Array(mappings.length * hl_user_mapping.size);
    // how many there are is told also where there is no room for them
    if (input.return_size < bytes.length) return at({ number: mappings.length, refused: 'ENOMEM' });
    mappings.forEach((mapping, i) => {
      hl_user_mapping.encodeInto(bytes, i * hl_user_mapping.size, mapping);
    });
    return at({ bytes, number: mappings.length });
  },
  *HL_INFO_FW_GENERIC_REQ({ card, input }) {
    const known = Object.values(hl_passthrough_type).some(({ value }) => value === input.fw_sub_opcode);
    if (!known) refuse('EINVAL');
    if (input.return_size > 2 ** 20) {
      card.log('err', 'buffer size cannot exceed 1MB');
      refuse('EINVAL');
    }
    // the pool that is shared with the firmware gives no pieces of no bytes
    if (input.return_size === 0) refuse('ENOMEM');
    const request = card.firmware.ask('GENERIC_PASSTHROUGH', input.return_size, { port: input.fw_sub_opcode });
    const answer = yield* logged(request, () => card.log('err', 'failed to send CPUCP data of generic fw pkt'));
    return now(answer.bytes.subarray(0, Math.min(Number(answer.result), input.return_size)));
  },
  HL_INFO_HW_ERR_EVENT: ({ card, input }) => {
    const { hardware } = card.errors;
    return at(hardware && whole('HL_INFO_HW_ERR_EVENT', input, hardware.timestamp, { event_id: hardware.event }));
  },
  HL_INFO_FW_ERR_EVENT: ({ card, input }) => {
    const { firmware: error } = card.errors;
    const event = { err_type: error?.type ?? 0, event_id: error?.event ?? 0 };
    return at(error && whole('HL_INFO_FW_ERR_EVENT', input, error.timestamp, event));
  },
  // engines that count their errors are other chips' (hl_capture_engine_err has no caller here)
  HL_INFO_USER_ENGINE_ERR_EVENT: () => at(undefined),
};

function* logged<T>(steps: Steps<T>, log: () => void): Steps<T> {
  try {
    return yield* steps;
  } catch (error) {
    log();
    throw error;
  }
}

function* attest(card: Card, name: 'SEC_ATTEST_GET' | 'INFO_SIGNED_GET', nonce: number, size: number): Steps {
  try {
    yield* card.firmware.ask(name, size, { port: nonce });
  } catch (error) {
    card.log('err', `Failed to handle CPU-CP pkt ${packets[name].opcode}, error ${negative(errnoOf(error))}`);
    throw error;
  }
}

export function hardware(card: Card) {
  const { info } = card;
  const name = info ? textOf(info.cardName) : '';
  return {
    device_id: card.pci.deviceId,
    sram_base_address: USER.SRAM,
    dram_base_address: USER.DRAM,
    dram_size: (DRAM / DRAM_PAGE) * DRAM_PAGE,
    dram_enabled: 1,
    dram_page_size: DRAM_PAGE,
    device_mem_alloc_default_page_size: DRAM_PAGE,
    reserved_dram_size: USER.DRAM,
    sram_size: Number(USER.SRAM_END - USER.SRAM),
    num_of_events: EVENT_COUNT,
    tpc_enabled_mask: 0xff,
    tpc_enabled_mask_ext: 0xffn,
    first_available_interrupt_id: NO_NUMBER,
    tpc_interrupt_id: NO_NUMBER,
    cpucp_version: info ? textOf(info.cpucpVersion) : '',
    card_name: name === '' ? DEFAULT_NAME : name,
    cpld_version: info?.cpldVersion ?? 0,
    module_id: info?.location ?? 0,
    revision_id: card.pci.revision,
  };
}

function refusals(card: Card, context: Context | undefined) {
  const total = card.counters;
  const own = context?.counters;
  const big = (value: number | undefined) => BigInt(value ?? 0);
  return {
    total_out_of_mem_drop_cnt: big(total.outOfMemory),
    ctx_out_of_mem_drop_cnt: big(own?.outOfMemory),
    total_parsing_drop_cnt: big(total.parsing),
    ctx_parsing_drop_cnt: big(own?.parsing),
    total_queue_full_drop_cnt: big(total.queueFull),
    ctx_queue_full_drop_cnt: big(own?.queueFull),
    total_device_in_reset_drop_cnt: big(total.inReset),
    ctx_device_in_reset_drop_cnt: big(own?.inReset),
    total_max_cs_in_flight_drop_cnt: big(total.tooMany),
    ctx_max_cs_in_flight_drop_cnt: big(own?.tooMany),
    total_validation_drop_cnt: big(total.validation),
    ctx_validation_drop_cnt: big(own?.validation),
  };
}
