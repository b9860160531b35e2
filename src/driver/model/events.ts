/**
 * What the firmware reports: page faults, refused accesses, errors of queue managers and engines.
 * Source: gaudi.c (gaudi_handle_eqe, gaudi_print_irq_info, gaudi_print_and_get_razwi_info,
 * gaudi_print_and_get_mmu_error_info, gaudi_handle_qman_err_generic), common/device.c (hl_capture_page_fault,
 * hl_capture_razwi).
 */

import { events } from '../../../specs/gaudi/events.ts';
import { dmaInterfaceOf, razwiInitiatorId } from '../../../specs/gaudi/initiators.ts';
import { dmaCore, ERR_CAUSE } from '../../../specs/gaudi/registers/dma-core.ts';
import { ERROR_CAPTURE } from '../../../specs/gaudi/registers/mmu.ts';
import type { Steps } from '../../sim/process.ts';
import { gaudi_engine_id, queueNames, queueRow } from '../../uapi/habanalabs/gaudi.ts';
import { hl_info_fw_err_type, notifierEvents, razwiFlags } from '../../uapi/habanalabs/info-results.ts';
import { values } from '../../uapi/rows.ts';
import type { Card } from './card.ts';
import type { FirmwareEvent } from './cpucp.ts';
import { blockOfEngine, qman } from './engines.ts';
import {
  ClockThrottling,
  logAlive,
  logEcc,
  logHbm,
  logHot,
  logNic,
  logOutOfSync,
  logSyncManager,
  logTpc,
} from './event-details.ts';
import { type Treatment, treatmentOf } from './event-treatments.ts';
import { MMU_REGISTERS } from './mmu.ts';
import { register } from './registers.ts';

const EVENT = values(notifierEvents);
const FIRMWARE_ERROR = values(hl_info_fw_err_type);
/** gaudi_async_events.h, GAUDI_EVENT_SIZE. */
export const EVENT_COUNT = 663;
const names = new Map(events.map(({ id, name }) => [id, name]));

/** gaudi.c, gaudi_qman_error_cause. */
const QMAN_CAUSES = [
  'PQ AXI HBW error',
  'CQ AXI HBW error',
  'CP AXI HBW error',
  'CP error due to undefined OPCODE',
  'CP encountered STOP OPCODE',
  'CP AXI LBW error',
  'CP WRREG32 or WRBULK returned error',
  'N/A',
  'FENCE 0 inc over max value and clipped',
  'FENCE 1 inc over max value and clipped',
  'FENCE 2 inc over max value and clipped',
  'FENCE 3 inc over max value and clipped',
  'FENCE 0 dec under min value and clipped',
  'FENCE 1 dec under min value and clipped',
  'FENCE 2 dec under min value and clipped',
  'FENCE 3 dec under min value and clipped',
] as const;
const ARBITER_CAUSES = [
  'Choice push while full error',
  'Choice Q watchdog error',
  'MSG AXI LBW returned with error',
] as const;
const UNDEFINED_OPCODE = 1 << 3;
/** gaudiP.h, PQ_FETCHER_CACHE_SIZE. */
const ENTRIES_SHOWN = 8;
/** struct hl_info_undefined_opcode_event, cb_addr_streams (MAX_QMAN_STREAMS_INFO). */
const MOST_STREAMS = 4;
export class EventHandler {
  /** How often each event came since the last reset, and since the driver was loaded. */
  readonly counts = new Uint32Array(EVENT_COUNT);
  readonly allCounts = new Uint32Array(EVENT_COUNT);
  readonly throttling = new ClockThrottling();
  readonly #card: Card;
  readonly #pending: FirmwareEvent[] = [];
  #working = false;

  constructor(card: Card) {
    this.#card = card;
  }

  /** The interrupt: what has come is handled one after the other (eq_wq). */
  take(): void {
    this.#pending.push(...this.#card.firmware.takeEvents());
    if (this.#working || this.#pending.length === 0) return;
    this.#working = true;
    this.#card.kernel.start(`${this.#card.name} events`, () => this.#work());
  }

  *#work(): Steps {
    for (let event = this.#pending.shift(); event; event = this.#pending.shift()) yield* this.#handle(event);
    this.#working = false;
  }

  /** gaudi_handle_eqe. */
  *#handle(event: FirmwareEvent): Steps {
    const card = this.#card;
    if (event.id >= EVENT_COUNT) {
      card.log('err', `Event type ${event.id} exceeds maximum of ${EVENT_COUNT - 1}`);
      return;
    }
    this.counts[event.id] = (this.counts[event.id] as number) + 1;
    this.allCounts[event.id] = (this.allCounts[event.id] as number) + 1;
    const name = names.get(event.id) ?? '';
    const treatment = treatmentOf(name);
    if (!treatment) {
      card.log('err', `Received invalid H/W interrupt ${event.id}`);
      return;
    }
    if (treatment.named) card.log('err', `Received H/W interrupt ${event.id} ["${name}"]`);
    let mask = treatment.tells;
    if (treatment.accesses) mask |= this.#accessErrors();
    let { reset, unmasked = false } = treatment as Treatment;
    switch (treatment.detail) {
      case 'ecc':
        logEcc(card, name, event.data);
        break;
      case 'hbm':
        logHbm(card, name, event.data);
        break;
      case 'tpc':
        if (logTpc(card, name)) {
          card.log('err', `reset required due to ${name}`);
          reset = 'plain';
        } else {
          unmasked = true;
          mask |= EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET;
        }
        break;
      case 'queue':
        mask |= this.#queueErrors(name);
        break;
      case 'nic':
        logNic(card, event, name);
        break;
      case 'sync-manager':
        logSyncManager(card, event);
        card.dumpState();
        break;
      case 'clock':
        this.throttling.take(card, name);
        break;
      case 'hot':
        logHot(card, event);
        break;
      case 'out-of-sync':
        logOutOfSync(card, event);
        break;
      case 'alive':
        logAlive(card, event);
        mask |= card.firmwareError({ type: FIRMWARE_ERROR.HL_INFO_FW_REPORTED_ERR, event: event.id });
    }
    if (reset) {
      mask |= EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET;
      if (mask & EVENT.HL_NOTIFIER_EVENT_GENERAL_HW_ERR) mask |= card.hardwareError(event.id);
      yield* card.conditionalReset(mask, { delayed: true, ...(reset === 'fatal' ? { trigger: 'fatal' } : {}) });
      return;
    }
    if (unmasked) yield* this.#unmask(event.id);
    card.notify(mask);
  }

  /** hl_fw_unmask_irq: the firmware may report it again. */
  *#unmask(id: number): Steps {
    try {
      yield* this.#card.firmware.send('UNMASK_RAZWI_IRQ', { value: BigInt(id) });
    } catch {
      this.#card.log('err', `failed to unmask event ${id}`);
    }
  }

  /** gaudi_print_and_get_razwi_info and _mmu_error_info. @returns events */
  #accessErrors(): number {
    const { pci } = this.#card;
    let flags = 0;
    // who it was: two places, which a read and a write share
    const engines: number[] = [];
    for (const way of ['write', 'read'] as const) {
      const write = way === 'write';
      const valid = write ? MMU_REGISTERS.RAZWI_WRITE_VLD : MMU_REGISTERS.RAZWI_READ_VLD;
      if (pci.read(valid) === 0) continue;
      const suspects = this.#initiators(
        pci.read(write ? MMU_REGISTERS.RAZWI_WRITE_ID : MMU_REGISTERS.RAZWI_READ_ID),
        write,
      );
      this.#card.log(
        'err',
        `RAZWI event caused by illegal ${way} of ${suspects.map(({ name }) => name).join(' or ') || 'unknown initiator'}`,
      );
      suspects.forEach(({ id }, i) => {
        engines[i] = id;
      });
      pci.write(valid, 0);
      flags |= write ? razwiFlags.HL_RAZWI_WRITE.value : razwiFlags.HL_RAZWI_READ.value;
    }
    let events = 0;
    let address = 0n;
    const fault = this.#captured(MMU_REGISTERS.PAGE_ERROR, MMU_REGISTERS.PAGE_ERROR_VA);
    if (fault !== undefined) {
      address = fault;
      this.#card.log('err', `MMU page fault on va 0x${fault.toString(16)}`);
      this.#capturePageFault(fault);
      events |= EVENT.HL_NOTIFIER_EVENT_PAGE_FAULT;
    }
    const access = this.#captured(MMU_REGISTERS.ACCESS_ERROR, MMU_REGISTERS.ACCESS_ERROR_VA);
    if (access !== undefined) {
      address = access;
      this.#card.log('err', `MMU access error on va 0x${access.toString(16)}`);
    }
    if (flags === 0) return events;
    this.#card.errors.razwi ??= { timestamp: this.#card.kernel.now(), addr: address, engines, flags };
    return events | EVENT.HL_NOTIFIER_EVENT_RAZWI;
  }

  /** Which engines can have done it: those at that place, of the two DMA cores of an interface the one that has an error. */
  #initiators(id: number, write: boolean): { name: string; id: number }[] {
    const { pci } = this.#card;
    const engines = Object.entries(gaudi_engine_id).map(([key, { value }]) => {
      return { name: key.slice('GAUDI_ENGINE_ID_'.length).replace('_', ''), id: value };
    });
    const found = engines.find(({ name }) => razwiInitiatorId(name) === id);
    const shared = found && dmaInterfaceOf(found.name);
    const candidates = engines.filter((engine) =>
      shared === undefined ? engine === found : dmaInterfaceOf(engine.name) === shared,
    );
    const cause = write ? ERR_CAUSE.HBW_WR_ERR : ERR_CAUSE.HBW_RD_ERR;
    const guilty = candidates.filter(
      ({ name }) =>
        name.startsWith('DMA') && (pci.read(register(`${name}_CORE`, dmaCore.rows.ERR_CAUSE)) & cause) !== 0,
    );
    return guilty.length === 1 ? guilty : candidates;
  }

  #captured(capture: number, low: number): bigint | undefined {
    const { pci } = this.#card;
    const value = pci.read(capture);
    if ((value & ERROR_CAPTURE.ENTRY_VALID) === 0) return undefined;
    const address = (BigInt(value & ERROR_CAPTURE.VA_49_32) << 32n) | BigInt(pci.read(low));
    pci.write(capture, 0);
    return address;
  }

  #capturePageFault(addr: bigint): void {
    const { errors, context, kernel } = this.#card;
    if (errors.pageFault) return;
    if (!context) this.#card.log('err', "Can't get user context for user mappings");
    errors.pageFault = { timestamp: kernel.now(), addr, mappings: context?.memory.list() ?? [] };
  }

  /** gaudi_handle_qman_err. @returns events */
  #queueErrors(event: string): number {
    const block = /^((?:TPC|MME|DMA)\d)_QM$/.exec(event)?.[1];
    if (block === undefined) return 0;
    const { pci } = this.#card;
    const label = block.replace(/(\d)$/, '_QM$1');
    let mask = 0;
    for (let cp = 0; cp < 5; cp++) {
      const status = pci.read(qman(block, 'GLBL_STS1', cp));
      if (status === 0) continue;
      const where = cp === 4 ? 'LowerCP' : `stream${cp}`;
      QMAN_CAUSES.forEach((cause, bit) => {
        if (status & (1 << bit)) this.#card.log('err', `${label} ${where}. err cause: ${cause}`);
      });
      const fresh = (status & UNDEFINED_OPCODE) !== 0 && !this.#card.errors.undefinedOpcode;
      if (fresh) mask |= EVENT.HL_NOTIFIER_EVENT_UNDEFINED_OPCODE;
      // written are the causes that the driver knows: they are cleared
      if (this.#card.debugfs.stopOnError) this.#stopped(block, cp, mask !== 0);
      else pci.write(qman(block, 'GLBL_STS1', cp), status & (2 ** QMAN_CAUSES.length - 1));
    }
    const arbiter = pci.read(qman(block, 'ARB_ERR_CAUSE'));
    ARBITER_CAUSES.forEach((cause, bit) => {
      if (arbiter & (1 << bit)) this.#card.log('err', `${label} ARB_ERR. err cause: ${cause}`);
    });
    return mask;
  }

  /** handle_qman_data_on_err: what the stopped stream was doing. */
  #stopped(block: string, cp: number, capture: boolean): void {
    const { pci, queues, kernel, errors } = this.#card;
    const first = queueNames.find((name) => blockOfEngine(queueRow(name).engine) === block);
    if (first === undefined) return;
    const row = queueRow(first);
    const word = (name: 'CQ_PTR_LO' | 'CQ_PTR_HI' | 'CQ_TSIZE') => pci.read(qman(block, name, cp));
    const cqAddress = (BigInt(word('CQ_PTR_HI')) << 32n) | BigInt(word('CQ_PTR_LO'));
    const cqSize = word('CQ_TSIZE');
    this.#card.log('info', `stop on err: stream: ${cp}, addr: 0x${cqAddress.toString(16)}, size: ${cqSize}`);
    const upper = cp === 4 ? [0, 1, 2, 3] : [cp];
    const streams = upper.map((stream) => {
      const consumed = pci.read(qman(block, 'PQ_CI', stream));
      const entries = queues.lastEntries(row.value + stream, consumed, ENTRIES_SHOWN);
      for (const { index, address, size } of entries)
        this.#card.log(
          'info',
          `stop on err PQE(stream ${stream}): ci: ${index}, addr: 0x${address.toString(16)}, size: ${size}`,
        );
      return entries.map(({ address }) => address);
    });
    if (!capture) return;
    const engine = gaudi_engine_id[`GAUDI_ENGINE_ID_${row.engine}` as keyof typeof gaudi_engine_id].value;
    // of several in one event the last is named, and the buffers of all are told as far as there is room; the driver goes on
    // beyond it (docs/findings/suspected.md)
    const { timestamp = kernel.now(), streams: others = [] } = errors.undefinedOpcode ?? {};
    const known = [...others, ...streams].slice(0, MOST_STREAMS);
    errors.undefinedOpcode = { timestamp, engine, stream: cp, cqAddress, cqSize, streams: known };
  }
}
