/**
 * How the driver speaks with the NIC: registers that are read through memory, the reset, the admin queue, notifications
 * and event queues. Source: efa_com.c.
 */

import { ACQ, AQ, requestHead, responseHead, STATUS, VERSION } from '../../../../specs/efa/admin.ts';
import { AENQ_GROUP, aenqEntry, EQE_COMPLETION, eqEntry, MMIO_RESPONSE } from '../../../../specs/efa/io.ts';
import {
  CAPS,
  DEV_CTL,
  DEV_STS,
  EQ_DB,
  efaRegisters,
  INTR_MASK,
  MMIO_REG_READ,
  QUEUE_CAPS,
} from '../../../../specs/efa/registers.ts';
import { crc16 } from '../../../efa/crc16.ts';
import { Condition, type Steps } from '../../../sim/process.ts';
import { type Errno, negative, refuse } from '../errno.ts';
import type { CoherentMemory } from '../host-memory.ts';
import { type Kernel, MS, US } from '../kernel.ts';
import type { NicPci } from './nic-pci.ts';

const { rows: REGISTER } = efaRegisters;
/** efa_com.c: EFA_REG_READ_TIMEOUT_US, EFA_POLL_INTERVAL_MS, ADMIN_CMD_TIMEOUT_US, and the queues' depths. */
const READ_TIMEOUT = 50 * MS;
const POLL_INTERVAL = 100 * MS;
const COMMAND_TIMEOUT = 30_000 * MS;
const DEPTH = { ADMIN: 32, NOTIFICATIONS: 16 } as const;
const LOG2_ADMIN = 5;
const COMMAND_ID = 0xfff;
/** Units of the timeouts in CAPS. */
const HUNDRED_MS = 100 * MS;
/** What reads as nothing (EFA_MMIO_READ_INVALID). */
const INVALID = 0xffff_ffff;
/** enum efa_cmd_status, as the driver prints it. */
const COMMAND_STATUS = { SUBMITTED: 2, COMPLETED: 3 } as const;
/** enum efa_regs_reset_reason_types. */
export const RESET_REASON = { NORMAL: 0, INIT_ERROR: 3 } as const;
/** Flags of a command whose data are in a buffer, or in a list of them (struct efa_admin_aq_common_desc). */
export const CONTROL_DATA = { DIRECT: 0x2, INDIRECT: 0x6 } as const;

/** efa_com_comp_status_to_errno. */
function errnoOfStatus(status: number): Errno | undefined {
  if (status === STATUS.SUCCESS) return undefined;
  if (status === STATUS.RESOURCE_ALLOCATION_FAILURE) return 'ENOMEM';
  return status === STATUS.UNSUPPORTED_OPCODE ? 'EOPNOTSUPP' : 'EINVAL';
}

export function halves(address: number): { readonly lo: number; readonly hi: number } {
  return { lo: address % 2 ** 32, hi: Math.floor(address / 2 ** 32) };
}

type Log = (level: 'err', text: string) => void;

/** A command that waits for its answer. */
interface Pending {
  readonly id: number;
  readonly name: string;
  readonly opcode: number;
  answer: Uint8Array | undefined;
  readonly answered: Condition;
}

interface Ring {
  readonly memory: CoherentMemory;
  readonly depth: number;
  readonly entrySize: number;
}

/** An event queue of the driver. */
export interface EventRing {
  readonly number: number;
  readonly vector: number;
  readonly memory: CoherentMemory;
  readonly depth: number;
  consumed: number;
}

export class AdminQueue {
  readonly #kernel: Kernel;
  readonly #pci: NicPci;
  readonly #log: Log;
  readonly #response: CoherentMemory;
  #sequence = 0;
  #version = 0;
  #requests: Ring | undefined;
  #answers: Ring | undefined;
  #notifications: Ring | undefined;
  #produced = 0;
  #consumed = 0;
  #noticed = 0;
  readonly #pending: (Pending | undefined)[] = new Array(DEPTH.ADMIN).fill(undefined);
  /** Notified when a command has ended. */
  readonly #ended = new Condition();
  #running = false;
  #polling = true;
  readonly counts = { submitted: 0, completed: 0, failed: 0, unanswered: 0, keepAlives: 0 };
  #timeout = COMMAND_TIMEOUT;

  constructor(kernel: Kernel, pci: NicPci, log: Log) {
    this.#kernel = kernel;
    this.#pci = pci;
    this.#log = log;
    this.#response = kernel.memory.allocateCoherent(8);
    this.#tellResponse();
  }

  /** efa_com_reg_read32: asks, and looks at memory until the answer is there. @returns ones where none came */
  *#read(offset: number): Steps<number> {
    const { view } = this.#response;
    this.#sequence = (this.#sequence + 1) & 0xffff;
    const expected = this.#sequence;
    view.setUint16(MMIO_RESPONSE.REQ_ID, (expected + 0x9a) & 0xffff, true);
    this.#pci.write(REGISTER.MMIO_REG_READ.offset, ((offset << MMIO_REG_READ.REG_OFF_SHIFT) | expected) >>> 0);
    const end = this.#kernel.clock.now() + READ_TIMEOUT;
    const answered = () => view.getUint16(MMIO_RESPONSE.REQ_ID, true) === expected;
    while (!answered() && this.#kernel.clock.now() < end) yield 1 * US;
    const actual = view.getUint16(2, true);
    if (!answered()) {
      const id = view.getUint16(MMIO_RESPONSE.REQ_ID, true);
      const [wanted, given] = [offset.toString(16), actual.toString(16)];
      this.#log(
        'err',
        `Reading register timed out. expected: req id[${expected}] offset[0x${wanted}] actual: req id[${id}] offset[0x${given}]`,
      );
      return INVALID;
    }
    if (actual !== offset) {
      this.#log('err', 'Reading register failed: wrong offset provided');
      return INVALID;
    }
    return view.getUint32(MMIO_RESPONSE.REG_VAL, true);
  }

  #tellResponse(): void {
    const { lo, hi } = halves(this.#response.bus);
    this.#pci.write(REGISTER.MMIO_RESP_HI.offset, hi);
    this.#pci.write(REGISTER.MMIO_RESP_LO.offset, lo);
  }

  /** efa_com_dev_reset. @throws SystemError EINVAL, ETIME */
  *reset(reason: number): Steps {
    const status = yield* this.#read(REGISTER.DEV_STS.offset);
    const caps = yield* this.#read(REGISTER.CAPS.offset);
    if ((status & DEV_STS.READY) === 0) this.#fail('EINVAL', "Device isn't ready, can't reset device");
    const timeout = (caps >>> CAPS.RESET_TIMEOUT_SHIFT) & 0x1f;
    if (timeout === 0) this.#fail('EINVAL', 'Invalid timeout value');
    this.#pci.write(REGISTER.DEV_CTL.offset, DEV_CTL.DEV_RESET | (reason << DEV_CTL.RESET_REASON_SHIFT));
    // a reset forgets where answers go
    this.#tellResponse();
    if (!(yield* this.#waitForReset(timeout, true))) this.#fail('ETIME', "Reset indication didn't turn on");
    this.#pci.write(REGISTER.DEV_CTL.offset, 0);
    if (!(yield* this.#waitForReset(timeout, false))) this.#fail('ETIME', "Reset indication didn't turn off");
    this.#timeout = commandTimeout(caps);
  }

  *#waitForReset(timeout: number, on: boolean): Steps<boolean> {
    for (let i = 0; i < timeout; i++) {
      const status = yield* this.#read(REGISTER.DEV_STS.offset);
      if (((status & DEV_STS.RESET_IN_PROGRESS) !== 0) === on) return true;
      yield POLL_INTERVAL;
    }
    return false;
  }

  /** efa_com_validate_version, efa_com_get_dma_width. @throws SystemError EOPNOTSUPP, EINVAL */
  *validate(): Steps {
    this.#version = yield* this.#read(REGISTER.VERSION.offset);
    const controller = yield* this.#read(REGISTER.CONTROLLER_VERSION.offset);
    if (this.#version < VERSION.OLDEST) {
      this.#fail('EOPNOTSUPP', 'EFA version is lower than the minimal version the driver supports');
    }
    // The driver joins the three parts of the version without their places.
    const joined = ((controller >>> 16) | (controller >>> 8) | controller) & 0xff;
    if (joined < 1) {
      this.#fail('EOPNOTSUPP', 'EFA ctrl version is lower than the minimal ctrl version the driver supports');
    }
    const width = ((yield* this.#read(REGISTER.CAPS.offset)) >>> CAPS.DMA_ADDR_WIDTH_SHIFT) & 0xff;
    if (width < 32 || width > 64) this.#fail('EINVAL', `DMA width illegal value: ${width}`);
  }

  /** efa_com_admin_init. @throws SystemError ENODEV */
  *start(): Steps {
    const status = yield* this.#read(REGISTER.DEV_STS.offset);
    if ((status & DEV_STS.READY) === 0) {
      this.#fail('ENODEV', `Device isn't ready, abort com init 0x${status.toString(16)}`);
    }
    this.setPolling(true);
    const entrySize = this.#version >= VERSION.LARGE_ENTRIES ? AQ.ENTRY_V2 : AQ.ENTRY;
    this.#requests = this.#ring('AQ', DEPTH.ADMIN, entrySize);
    this.#answers = this.#ring('ACQ', DEPTH.ADMIN, ACQ.ENTRY);
    this.#notifications = this.#ring('AENQ', DEPTH.NOTIFICATIONS, aenqEntry.size);
    this.#pci.write(REGISTER.AENQ_CONS_DB.offset, 0);
    this.#timeout = commandTimeout(yield* this.#read(REGISTER.CAPS.offset));
    this.#running = true;
  }

  /** @returns a ring that the device has been told of; its interrupts come by vector 0 */
  #ring(name: 'AQ' | 'ACQ' | 'AENQ', depth: number, entrySize: number): Ring {
    const memory = this.#kernel.memory.allocateCoherent(depth * entrySize);
    const { lo, hi } = halves(memory.bus);
    this.#pci.write(REGISTER[`${name}_BASE_LO`].offset, lo);
    this.#pci.write(REGISTER[`${name}_BASE_HI`].offset, hi);
    this.#pci.write(REGISTER[`${name}_CAPS`].offset, depth | (entrySize << QUEUE_CAPS.ENTRY_SIZE_SHIFT));
    return { memory, depth, entrySize };
  }

  /** efa_com_set_admin_polling_mode. */
  setPolling(polling: boolean): void {
    this.#pci.write(REGISTER.INTR_MASK.offset, polling ? INTR_MASK.EN : 0);
    this.#polling = polling;
  }

  /** efa_com_admin_destroy, efa_com_mmio_reg_read_destroy. */
  stop(): void {
    this.#running = false;
    for (const ring of [this.#requests, this.#answers, this.#notifications]) ring?.memory.free();
    this.#response.free();
  }

  /**
   * efa_com_cmd_exec: a command, and its answer.
   * @param name for messages @param payload what follows the head of the entry @param flags CONTROL_DATA
   * @returns what follows the head of the answer @throws SystemError as the status of the answer says; ENODEV, ETIME
   */
  *execute(name: string, opcode: number, payload: Uint8Array, flags = 0): Steps<Uint8Array> {
    while (!this.#pending.some((pending) => pending === undefined)) yield this.#ended;
    if (!this.#running) {
      this.#log('err', 'Admin queue is closed');
      this.#log('err', `Failed to submit command ${name} (opcode ${opcode}) err ${negative('ENODEV')}`);
      this.counts.failed++;
      refuse('ENODEV');
    }
    const pending = this.#submit(name, opcode, payload, flags);
    try {
      const error = yield* this.#wait(pending);
      if (error) {
        this.#log('err', `Failed to process command ${name} (opcode ${opcode}) err ${negative(error)}`);
        this.counts.failed++;
        refuse(error);
      }
      return (pending.answer as Uint8Array).subarray(ACQ.DATA);
    } finally {
      this.#pending[pending.id & (DEPTH.ADMIN - 1)] = undefined;
      this.#ended.notify();
    }
  }

  #submit(name: string, opcode: number, payload: Uint8Array, flags: number): Pending {
    const { memory, depth, entrySize } = this.#requests as Ring;
    const context = this.#pending.indexOf(undefined);
    const id = (context | (this.#produced << LOG2_ADMIN)) & COMMAND_ID;
    const pending: Pending = { id, name, opcode, answer: undefined, answered: new Condition() };
    this.#pending[context] = pending;
    const slot = this.#produced % depth;
    const entry = memory.bytes.subarray(slot * entrySize, (slot + 1) * entrySize);
    entry.fill(0);
    const phase = 1 - (Math.floor(this.#produced / depth) & 1);
    requestHead.encode(entry, { command_id: id, opcode, phase });
    entry[3] = (entry[3] as number) | flags;
    const large = entrySize === AQ.ENTRY_V2;
    entry.set(payload, large ? AQ.PAYLOAD_V2 : AQ.PAYLOAD);
    if (large) requestHead.encode(entry, { checksum: crc16(entry) });
    this.#produced = (this.#produced + 1) & 0xffff;
    this.counts.submitted++;
    this.#pci.write(REGISTER.AQ_PROD_DB.offset, this.#produced);
    return pending;
  }

  /** efa_com_wait_and_process_admin_cq. @returns what the command failed with */
  *#wait(pending: Pending): Steps<Errno | undefined> {
    const { clock } = this.#kernel;
    const deadline = clock.now() + this.#timeout;
    if (this.#polling) {
      for (;;) {
        this.#takeAnswers();
        if (pending.answer) break;
        if (clock.now() > deadline) {
          this.#log('err', 'Wait for completion (polling) timeout');
          return this.#unanswered();
        }
        yield POLL_INTERVAL;
      }
    } else {
      const late = clock.at(deadline, () => pending.answered.notify());
      while (!pending.answer && clock.now() < deadline) yield pending.answered;
      late.cancel();
      if (!pending.answer) return this.#late(pending);
    }
    return errnoOfStatus(responseHead.decode(pending.answer as Uint8Array).status);
  }

  #late(pending: Pending): Errno {
    this.#takeAnswers();
    const { name, opcode, id, answer } = pending;
    const what = answer
      ? "The device sent a completion but the driver didn't receive any MSI-X interrupt"
      : "The device didn't send any completion";
    const state = answer ? COMMAND_STATUS.COMPLETED : COMMAND_STATUS.SUBMITTED;
    const { submitted, completed } = this.counts;
    this.#log(
      'err',
      `${what} for admin cmd ${name}(${opcode}) status ${state} (id: ${id}, sq producer: ${submitted}, sq consumer: ${completed}, cq consumer: ${this.#consumed})`,
    );
    return this.#unanswered();
  }

  #unanswered(): Errno {
    this.counts.unanswered++;
    this.#running = false;
    return 'ETIME';
  }

  /** The interrupt of vector 0 (efa_intr_msix_mgmnt). */
  interrupt(): void {
    this.#takeAnswers();
    this.#takeNotifications();
  }

  /** efa_com_handle_admin_completion. */
  #takeAnswers(): void {
    const ring = this.#answers as Ring;
    for (;;) {
      const entry = entryOf(ring, this.#consumed);
      const head = responseHead.decode(entry);
      if (head.phase !== phaseOf(ring, this.#consumed)) return;
      this.#consumed = (this.#consumed + 1) & 0xffff;
      if (this.#version >= VERSION.CHECKSUM && !this.#checkSum(entry, head.checksum)) continue;
      const pending = this.#pending[head.command & (DEPTH.ADMIN - 1)];
      if (!pending || pending.answer || pending.id !== head.command) {
        this.#log('err', `Received completion with unexpected command id[${head.command.toString(16)}]`);
        continue;
      }
      pending.answer = entry.slice();
      pending.answered.notify();
      this.counts.completed++;
    }
  }

  #checkSum(entry: Uint8Array, sum: number): boolean {
    const copy = entry.slice();
    responseHead.encode(copy, { checksum: 0 });
    const calculated = crc16(copy);
    if (calculated === sum) return true;
    this.#log('err', `Received completion with invalid checksum, cqe[${sum}], calc[${calculated}]`);
    return false;
  }

  /** efa_com_aenq_intr_handler: keep-alives are counted, the driver has no handler for others. */
  #takeNotifications(): void {
    const ring = this.#notifications as Ring;
    let taken = 0;
    for (;;) {
      const { phase, group } = aenqEntry.decode(entryOf(ring, this.#noticed));
      if (phase !== phaseOf(ring, this.#noticed)) break;
      this.#noticed++;
      taken++;
      if (group === AENQ_GROUP.KEEP_ALIVE) this.counts.keepAlives++;
      else this.#log('err', 'Unknown event was received or event with unimplemented handler');
    }
    if (taken > 0) this.#pci.write(REGISTER.AENQ_CONS_DB.offset, this.#noticed);
  }

  /** Memory of an event queue, before the device knows of it. */
  allocateEvents(depth: number): CoherentMemory {
    return this.#kernel.memory.allocateCoherent(depth * eqEntry.size);
  }

  /** efa_com_arm_eq. */
  armEvents(ring: EventRing): void {
    this.#pci.write(REGISTER.EQ_DB.offset, (EQ_DB.ARM | ring.number) >>> 0);
  }

  /** efa_com_eq_comp_intr_handler. @param completed told the number of each completion queue that has something new */
  takeEvents(ring: EventRing, completed: (cq: number) => void): void {
    const view = { memory: ring.memory, depth: ring.depth, entrySize: eqEntry.size };
    for (;;) {
      const { phase, event_type, cqn } = eqEntry.decode(entryOf(view, ring.consumed));
      if (phase !== phaseOf(view, ring.consumed)) break;
      ring.consumed++;
      if (event_type === EQE_COMPLETION) completed(cqn);
      else this.#log('err', `Unknown event type received ${event_type}`);
    }
    this.armEvents(ring);
  }

  #fail(code: Errno, text: string): never {
    this.#log('err', text);
    refuse(code);
  }
}

function commandTimeout(caps: number): number {
  const timeout = (caps >>> CAPS.ADMIN_CMD_TO_SHIFT) & 0xf;
  return timeout > 0 ? timeout * HUNDRED_MS : COMMAND_TIMEOUT;
}

function entryOf({ memory, depth, entrySize }: Ring, counter: number): Uint8Array {
  const slot = counter % depth;
  return memory.bytes.subarray(slot * entrySize, (slot + 1) * entrySize);
}

/** The phase that an entry has once it is there. */
function phaseOf({ depth }: Ring, counter: number): number {
  return 1 - (Math.floor(counter / depth) & 1);
}
