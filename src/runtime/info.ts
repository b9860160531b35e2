/** What the driver tells about a card: one method per INFO operation that Gaudi1 has. Members are named as in C. */

import { engineName, hl_gaudi_pll_index } from '../uapi/habanalabs/gaudi.ts';
import { DRM_IOCTL_HL_INFO, type hl_info_args, hl_passthrough_type, infoOperations } from '../uapi/habanalabs/info.ts';
import { gaudi_dcores, hl_device_status, hl_user_mapping, notifierEvents } from '../uapi/habanalabs/info-results.ts';
import { describeFlags, nameOf } from '../uapi/rows.ts';
import type { Decoded, Encodable } from '../uapi/struct.ts';
import type { OpenNode } from './node.ts';

type Operations = typeof infoOperations;
/** Operations whose answer has a fixed layout. */
type Simple = {
  [K in keyof Operations]: Operations[K] extends { readonly answer: object } ? K : never;
}[keyof Operations];
type Answer<K extends Simple> = Operations[K] extends { readonly answer: infer F } ? Decoded<F> : never;
type Number32 = Omit<Encodable<typeof hl_info_args>, 'return_pointer' | 'return_size' | 'op' | 'pad'>;

export type Dcore = 'W_S' | 'W_N' | 'E_N' | 'E_S';
export type Pll = 'CPU' | 'PCI' | 'SRAM' | 'HBM' | 'NIC' | 'DMA' | 'MESH' | 'MME' | 'TPC' | 'IF';
/** A state of the device, e.g. `OPERATIONAL`. */
export type Status = string;

export interface Idle {
  readonly idle: boolean;
  /** Names of the engines that are busy, e.g. `DMA_0`. */
  readonly busy: readonly string[];
  /** Bit n: the engine with id n is busy. */
  readonly mask: bigint;
  /** The same of the first 32 engines, where programs of older headers look. */
  readonly shortMask: number;
}

const FIRST_STATUS_SIZE = 64 * 1024;

/** Questions that both nodes answer. */
export class ControlInfo {
  readonly #node: OpenNode;

  constructor(node: OpenNode) {
    this.#node = node;
  }

  /**
   * Asks any question.
   * @param size bytes of the buffer. @returns what the driver wrote, and the argument as it left it.
   */
  raw(operation: keyof Operations, size: number, number: Number32 = {}, input?: Uint8Array) {
    const buffer = this.#node.scratch(Math.max(size, 1));
    if (input) buffer.bytes.set(input);
    const row = infoOperations[operation];
    const argument = this.#node.call(
      DRM_IOCTL_HL_INFO,
      { name: operation, row },
      { return_pointer: buffer.address, return_size: size, op: row.value, ...number },
      { ...number },
    );
    return { bytes: buffer.bytes.slice(0, size), argument };
  }

  protected ask<K extends Simple>(operation: K, number: Number32 = {}): Answer<K> {
    const answer = infoOperations[operation].answer;
    const { bytes } = this.raw(operation, answer.size, number);
    return answer.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0) as Answer<K>;
  }

  /** Like `ask`, for records that exist only once something has happened. */
  #record<K extends 'HL_INFO_RAZWI_EVENT' | 'HL_INFO_PAGE_FAULT_EVENT' | ErrorRecord>(
    operation: K,
  ): Answer<K> | undefined {
    const answer = this.ask(operation);
    return (answer as { readonly timestamp: bigint }).timestamp === 0n ? undefined : answer;
  }

  #words(operation: 'HL_INFO_HW_EVENTS' | 'HL_INFO_HW_EVENTS_AGGREGATE'): Uint32Array {
    const count = this.hwIp().num_of_events;
    const { bytes } = this.raw(operation, count * 4);
    return new Uint32Array(bytes.buffer, bytes.byteOffset, count);
  }

  hwIp() {
    return this.ask('HL_INFO_HW_IP_INFO');
  }

  /** How often each firmware event came since the last hard reset, by event id. */
  hwEvents(): Uint32Array {
    return this.#words('HL_INFO_HW_EVENTS');
  }

  /** How often each firmware event came since the driver was loaded, by event id. */
  hwEventsAggregate(): Uint32Array {
    return this.#words('HL_INFO_HW_EVENTS_AGGREGATE');
  }

  dramUsage() {
    return this.ask('HL_INFO_DRAM_USAGE');
  }

  idle(): Idle {
    const { is_idle, busy_engines_mask, busy_engines_mask_ext } = this.ask('HL_INFO_HW_IDLE');
    const mask = busy_engines_mask_ext.reduce((all, word, i) => all | (word << BigInt(64 * i)), 0n);
    const busy: string[] = [];
    for (let id = 0; mask >> BigInt(id) !== 0n; id++) if ((mask >> BigInt(id)) & 1n) busy.push(engineName(id));
    return { idle: is_idle !== 0, busy, mask, shortMask: busy_engines_mask };
  }

  /** e.g. `OPERATIONAL`, `IN_RESET`. */
  status(): Status {
    const { status } = this.ask('HL_INFO_DEVICE_STATUS');
    return nameOf(hl_device_status, status)?.replace('HL_DEVICE_STATUS_', '') ?? `status ${status}`;
  }

  /** Percent. */
  utilization(): number {
    return this.ask('HL_INFO_DEVICE_UTILIZATION').utilization;
  }

  clockRate() {
    return this.ask('HL_INFO_CLK_RATE');
  }

  resetCount() {
    return this.ask('HL_INFO_RESET_COUNT');
  }

  timeSync() {
    return this.ask('HL_INFO_TIME_SYNC');
  }

  csCounters() {
    return this.ask('HL_INFO_CS_COUNTERS');
  }

  pciCounters() {
    return this.ask('HL_INFO_PCI_COUNTERS');
  }

  throttle() {
    return this.ask('HL_INFO_CLK_THROTTLE_REASON');
  }

  syncManager(dcore: Dcore) {
    const [west, south] = dcore.split('_') as [string, string];
    const row = gaudi_dcores[`HL_GAUDI_${west}${south}_DCORE` as keyof typeof gaudi_dcores];
    return this.ask('HL_INFO_SYNC_MANAGER', { dcore_id: row.value });
  }

  energy(): bigint {
    return this.ask('HL_INFO_TOTAL_ENERGY').total_energy_consumption;
  }

  /** MHz, by output. */
  pllFrequency(pll: Pll): readonly number[] {
    return this.ask('HL_INFO_PLL_FREQUENCY', { pll_index: hl_gaudi_pll_index[`HL_GAUDI_${pll}_PLL`].value }).output;
  }

  power(): bigint {
    return this.ask('HL_INFO_POWER').power;
  }

  openStats() {
    return this.ask('HL_INFO_OPEN_STATS');
  }

  dramReplacedRow() {
    return this.ask('HL_INFO_DRAM_REPLACED_ROWS');
  }

  dramPendingRows(): number {
    return this.ask('HL_INFO_DRAM_PENDING_ROWS');
  }

  /** When the node was last opened, ns, CLOCK_MONOTONIC. */
  lastOpened(): bigint {
    return this.ask('HL_INFO_LAST_ERR_OPEN_DEV_TIME').timestamp;
  }

  csTimeoutEvent() {
    return this.ask('HL_INFO_CS_TIMEOUT_EVENT');
  }

  razwiEvent() {
    return this.#record('HL_INFO_RAZWI_EVENT');
  }

  /** Bit n: pages of 2^n bytes; 0: there is no choice. */
  pageSizes(): bigint {
    return this.ask('HL_INFO_DEV_MEM_ALLOC_PAGE_SIZES').page_order_bitmask;
  }

  undefinedOpcodeEvent() {
    return this.#record('HL_INFO_UNDEFINED_OPCODE_EVENT');
  }

  /** The driver's text on all engines. @param size bytes of the buffer, 1 KiB to 1 MiB. */
  engineStatus(size = FIRST_STATUS_SIZE): string {
    const { bytes, argument } = this.raw('HL_INFO_ENGINE_STATUS', size);
    return new TextDecoder().decode(bytes.subarray(0, argument.user_buffer_actual_size));
  }

  pageFaultEvent() {
    return this.#record('HL_INFO_PAGE_FAULT_EVENT');
  }

  /** Mappings that existed at the page fault. @param most how many the buffer can hold. */
  userMappings(most = 1024): readonly Decoded<typeof hl_user_mapping>[] {
    const { bytes, argument } = this.raw('HL_INFO_USER_MAPPINGS', most * hl_user_mapping.size);
    return Array.from({ length: argument.array_size }, (_, i) =>
      hl_user_mapping.decode(bytes, i * hl_user_mapping.size),
    );
  }

  /** Passes a request to the firmware. @param size bytes of the answer. @param input sent along where the request takes one. */
  firmwareRequest(request: keyof typeof hl_passthrough_type, size: number, input?: Uint8Array): Uint8Array {
    const fw_sub_opcode = hl_passthrough_type[request].value;
    return this.raw('HL_INFO_FW_GENERIC_REQ', size, { fw_sub_opcode }, input).bytes;
  }

  hardwareError() {
    return this.#record('HL_INFO_HW_ERR_EVENT');
  }

  firmwareError() {
    return this.#record('HL_INFO_FW_ERR_EVENT');
  }

  engineError() {
    return this.#record('HL_INFO_USER_ENGINE_ERR_EVENT');
  }

  /** @param nonce number to be signed. */
  securedAttestation(nonce: number) {
    return this.ask('HL_INFO_SECURED_ATTESTATION', { sec_attest_nonce: nonce });
  }

  /** @param nonce number to be signed. */
  signedDeviceInfo(nonce: number) {
    return this.ask('HL_INFO_DEV_SIGNED', { sec_attest_nonce: nonce });
  }
}

type ErrorRecord =
  | 'HL_INFO_UNDEFINED_OPCODE_EVENT'
  | 'HL_INFO_HW_ERR_EVENT'
  | 'HL_INFO_FW_ERR_EVENT'
  | 'HL_INFO_USER_ENGINE_ERR_EVENT';

/** All questions: those that need a context too. */
export class Info extends ControlInfo {
  /** The events notified since the last call, as HL_NOTIFIER_EVENT_* bits; they are taken. */
  getEvents(): bigint {
    return this.ask('HL_INFO_GET_EVENTS');
  }

  /** Has the driver count up the eventfd `fd` for every event. */
  registerEventfd(fd: number): void {
    this.raw('HL_INFO_REGISTER_EVENTFD', 0, { eventfd: fd });
  }

  unregisterEventfd(): void {
    this.raw('HL_INFO_UNREGISTER_EVENTFD', 0);
  }
}

/** `PAGE_FAULT|RAZWI` for the bits that `getEvents` gives. */
export function describeEvents(events: bigint): string {
  return describeFlags(notifierEvents, Number(events)).replaceAll('HL_NOTIFIER_EVENT_', '');
}
