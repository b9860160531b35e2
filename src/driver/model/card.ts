/**
 * One card and its state: who uses it, whether it works, its resets. Source: common/device.c (hl_device_init,
 * hl_device_reset, hl_device_cond_reset, hl_device_status, hl_device_release, hpriv_release, device_kill_open_processes),
 * common/habanalabs_drv.c (hl_device_open, hl_device_open_ctrl).
 */

import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { CARD_TYPE } from '../../../specs/gaudi/cpucp.ts';
import { HOST_SPI } from '../../../specs/gaudi/events.ts';
import type { PciFunction } from '../../pci/function.ts';
import type { Timer } from '../../sim/clock.ts';
import type { Steps } from '../../sim/process.ts';
import type { hl_debug_args } from '../../uapi/habanalabs/debug.ts';
import { hl_device_status, hl_info_fw_err_type, notifierEvents } from '../../uapi/habanalabs/info-results.ts';
import { values } from '../../uapi/rows.ts';
import type { Decoded } from '../../uapi/struct.ts';
import {
  AFTER_RESET,
  AT_PROBE,
  deviceTime,
  type Failures,
  type Hardware,
  HEARTBEAT_VALUE,
  isDirty,
  type LateInfo,
  resetChip,
  restoreUserRegisters,
  startCard,
  stopTime,
  waitForReset,
} from './bring-up.ts';
import { Buffers } from './buffers.ts';
import { Context, counters } from './context.ts';
import { TraceUnits } from './coresight.ts';
import { FirmwareQueues, SETSPI } from './cpucp.ts';
import { CsIoctl } from './cs-ioctl.ts';
import { DebugMode } from './debug-ioctl.ts';
import { initialDebugSettings } from './debugfs/settings.ts';
import { stateDump } from './debugfs/state-dump.ts';
import { haltEngines, type Idleness, idleness } from './engines.ts';
import { refuse } from './errno.ts';
import { type ErrorRecords, noErrors } from './error-records.ts';
import { EventHandler } from './events.ts';
import { type Loaded, NOTHING_LOADED, waitForPreboot } from './firmware-load.ts';
import { type CoherentMemory, PAGE } from './host-memory.ts';
import { type Kernel, MS, SECOND } from './kernel.ts';
import { initialLimits, setPower } from './limits.ts';
import { Mmu } from './mmu.ts';
import type { PciDevice } from './pci.ts';
import { Queues } from './queues.ts';
import { type Job, Submissions } from './submission.ts';
import { SyncStreams } from './sync-stream.ts';
import { UserMemory } from './user-memory.ts';

const STATUS = values(hl_device_status);
const EVENT = values(notifierEvents);
const FIRMWARE_ERROR = values(hl_info_fw_err_type);

/** Names of the states, as sysfs tells them (habanalabs_drv.c, hdev->status). */
const STATE_NAMES = {
  [STATUS.HL_DEVICE_STATUS_OPERATIONAL]: 'operational',
  [STATUS.HL_DEVICE_STATUS_IN_RESET]: 'in reset',
  [STATUS.HL_DEVICE_STATUS_MALFUNCTION]: 'disabled',
  [STATUS.HL_DEVICE_STATUS_NEEDS_RESET]: 'needs reset',
  [STATUS.HL_DEVICE_STATUS_IN_DEVICE_CREATION]: 'in device creation',
} as const;

/** device.c: HL_RESET_DELAY_USEC, HL_HEARTBEAT_PER_USEC, HL_PENDING_RESET_PER_SEC. */
const WAIT = {
  DELAY: 10 * MS,
  HEARTBEAT: 10 * SECOND,
  PENDING: 10,
  USER: 1 * SECOND,
  // drivers/pci/pci.c, pcie_flr
  FUNCTION_RESET: 100 * MS,
} as const;
/** gaudiP.h, HOST_SPACE_INTERNAL_CB_SZ. */
const INTERNAL_POOL = 2 * 1024 * 1024;
/** gaudi.c, set_default_power_values: milliwatts of a card in a server (PMC) and in a slot. */
const POWER = { PMC: 350_000n, PCI: 200_000n } as const;
/** What a reset is for, as far as it matters: two in a row for the same of the last two disable the card. */
type ResetTrigger = 'timeout' | 'fatal' | 'heartbeat';

export interface ResetReason {
  readonly delayed?: boolean;
  readonly trigger?: ResetTrigger;
  /** The card resets itself: it is waited for (HL_DRV_RESET_BYPASS_REQ_TO_FW). */
  readonly byCard?: boolean;
  /** The firmware is not told of it beforehand (send_disable_pci_access, without HL_DRV_RESET_HARD). */
  readonly untold?: boolean;
}

export class Card {
  readonly name: string;
  readonly pci: PciDevice;
  readonly kernel: Kernel;
  readonly firmware: FirmwareQueues;
  readonly queues: Queues<Job>;
  readonly mmu: Mmu;
  readonly streams: SyncStreams;
  readonly submissions: Submissions;
  readonly cs: CsIoctl;
  readonly events: EventHandler;
  readonly counters = counters();
  readonly limits = initialLimits();
  /** What root has set in debugfs. */
  debugfs = initialDebugSettings();
  readonly #hardware: Hardware;
  readonly #debugMode: DebugMode;
  #pool: { readonly memory: CoherentMemory; readonly virtual: number } | undefined;
  info: LateInfo | undefined;
  errors: ErrorRecords = noErrors();
  /** The context of the compute node's user; also while it is being released. */
  context: Context | undefined;
  dramUsed = 0n;
  hardResets = 0;
  opens = 0n;
  openedAt = 0;
  lastSession = 0;
  releasing = false;
  /** Somebody has asked to be told of errors and may look before the reset. */
  watchdog: Timer | undefined;
  /** Those who wait for one of several submissions. */
  readonly waiters = { several: 0 };
  #disabled = true;
  #initialised = false;
  #inReset = false;
  /** Of the last reset, until a heartbeat has been answered since; and whether the one before had the same. */
  #trigger: ResetTrigger | undefined;
  #repeated = false;
  /** Why it is reset (curr_reset_cause). */
  #heartbeatFailed = false;
  #heartbeat: Timer | undefined;

  /** @param name PCI address, as the kernel's log has it. */
  constructor(name: string, kernel: Kernel, pci: PciDevice) {
    this.name = name;
    this.kernel = kernel;
    this.pci = pci;
    const log = this.log.bind(this);
    this.firmware = new FirmwareQueues(kernel, pci, () => !this.#disabled, log);
    this.queues = new Queues(kernel, pci);
    this.mmu = new Mmu(kernel, pci);
    this.#hardware = {
      kernel,
      card: pci,
      firmware: this.firmware,
      queues: this.queues,
      mmu: this.mmu,
      loaded: { ...NOTHING_LOADED },
      limits: this.limits,
      stopsOnError: () => this.debugfs.stopOnError,
    };
    this.streams = new SyncStreams(pci, log);
    this.submissions = new Submissions({
      kernel,
      queues: this.queues,
      streams: this.streams,
      counters: this.counters,
      waiters: this.waiters,
      log,
      unavailable: () => (this.operational() ? undefined : this.state()),
      timedOut: (cs, reset) => this.#timedOut(cs.sequence, reset),
      released: (context) => this.put(context),
      timeout: () => this.debugfs.timeLimit,
    });
    this.cs = new CsIoctl({
      kernel,
      card: pci,
      submissions: this.submissions,
      streams: this.streams,
      counters: this.counters,
      log,
      operational: () => this.operational(),
      timeout: () => this.debugfs.timeLimit,
      skipsReset: () => this.debugfs.skipReset !== 0,
    });
    this.events = new EventHandler(this);
    this.#debugMode = new DebugMode({
      kernel,
      units: new TraceUnits({ kernel, card: pci, frequency: () => this.info?.timestampFrequency ?? 0, log }),
      log,
      operational: () => this.operational(),
      inReset: () => this.#inReset,
    });
  }

  get function(): PciFunction {
    return this.pci.function;
  }

  log(level: 'crit' | 'err' | 'warn' | 'notice' | 'info' | 'dbg', text: string): void {
    this.kernel.log(level, `habanalabs ${this.name}`, text);
  }

  /** The interrupt: single MSI mode (gaudi_irq_handler_single). */
  interrupt(): void {
    this.kernel.observer?.(`${this.pci.function.name}: interrupt`);
    if (this.#disabled) return;
    this.submissions.handleCompletions();
    this.events.take();
  }

  /** hl_device_status. */
  status(): number {
    if (this.#inReset) return STATUS.HL_DEVICE_STATUS_IN_RESET;
    if (this.#disabled) return STATUS.HL_DEVICE_STATUS_MALFUNCTION;
    return this.#initialised ? STATUS.HL_DEVICE_STATUS_OPERATIONAL : STATUS.HL_DEVICE_STATUS_IN_DEVICE_CREATION;
  }

  state(): string {
    return STATE_NAMES[this.status() as keyof typeof STATE_NAMES];
  }

  operational(): boolean {
    const status = this.status();
    return status === STATUS.HL_DEVICE_STATUS_OPERATIONAL || status === STATUS.HL_DEVICE_STATUS_IN_DEVICE_CREATION;
  }

  get inReset(): boolean {
    return this.#inReset;
  }

  /** hl_device_write: it is out of order until it is not, or a reset is over. */
  disable(): void {
    this.#disabled = true;
  }

  enable(): void {
    this.#disabled = false;
  }

  idleness(): Idleness {
    return idleness(this.pci);
  }

  deviceTime(): bigint {
    return deviceTime(this.pci);
  }

  /** What of the firmware runs, and its versions. */
  get loaded(): Readonly<Loaded> {
    return this.#hardware.loaded;
  }

  /** hl_device_init: the driver finds the card. */
  *probe(): Steps {
    const { kernel, pci } = this;
    const log = this.log.bind(this);
    pci.enumerate();
    Object.assign(this.#hardware.loaded, NOTHING_LOADED);
    Object.assign(this.limits, initialLimits());
    this.debugfs = initialDebugSettings();
    try {
      if (pci.checkBars() !== undefined) throw new Error('the sizes of the BARs are not a Gaudi’s');
      pci.enable();
      yield* waitForPreboot(kernel, pci, this.#hardware.loaded, log);
      if (isDirty(pci)) {
        yield* resetChip(this.#hardware, log);
        yield* waitForPreboot(kernel, pci, this.#hardware.loaded, log);
      }
      this.#disabled = false;
      yield* this.#start(AT_PROBE);
      this.log('notice', `Successfully added device ${this.name} to habanalabs driver`);
      this.#scheduleHeartbeat();
      pci.write(SETSPI, HOST_SPI.INTS_REGISTER);
      this.#initialised = true;
    } catch (error) {
      this.#disabled = true;
      this.log('err', (error as Error).message);
      this.log('err', `Failed to initialize. Device ${this.name} is NOT usable!`);
    }
  }

  /** hl_device_fini: the driver gives the card up; who has it is killed. It may be probed again. */
  *remove(): Steps {
    const log = this.log.bind(this);
    log('info', `Removing device ${this.name}`);
    while (this.#inReset) yield MS;
    this.#inReset = true;
    this.watchdog?.cancel();
    this.watchdog = undefined;
    yield* this.#disableAccess();
    this.#disabled = true;
    this.mmu.stop();
    yield* this.#cleanUp();
    this.firmware.stop();
    // twice, as the driver does
    for (let i = 0; i < 2; i++) {
      try {
        yield* resetChip(this.#hardware, log);
      } catch (error) {
        log('err', (error as Error).message);
        log('err', 'hw_fini failed in device fini while removing device -110');
      }
    }
    this.events.counts.fill(0);
    this.queues.reset();
    this.streams.reset();
    this.#initialised = false;
    this.#inReset = false;
    this.#trigger = undefined;
    this.hardResets = 0;
  }

  /** hl_device_open. @throws SystemError */
  *open(): Steps<Context> {
    const status = this.status();
    if (!this.operational()) refuse(status === STATUS.HL_DEVICE_STATUS_IN_RESET ? 'EAGAIN' : 'EPERM', 'open');
    if (this.releasing) refuse('EAGAIN', 'open');
    if (this.context) refuse('EBUSY', 'open');
    const log = this.log.bind(this);
    const memory = new UserMemory(this.kernel, this.mmu, (text) => log('err', text));
    const context = new Context(this.kernel.current, new Buffers(this.kernel, log), memory);
    this.context = context;
    try {
      this.#reservePool(context);
      yield* this.mmu.invalidate();
      yield* restoreUserRegisters(this.#hardware);
    } catch (error) {
      this.context = undefined;
      this.log('err', `failed resetting SM registers`);
      this.log('err', `Failed to create context: ${(error as Error).message}`);
      refuse('ENOMEM', 'open');
    }
    this.errors = noErrors();
    this.opens++;
    this.openedAt = this.kernel.now();
    return context;
  }

  /** hl_device_release: the last descriptor of the compute node is closed. */
  *release(context: Context): Steps {
    context.buffers.close();
    this.releasing = true;
    this.lastSession = this.kernel.now() - this.openedAt;
    if (--context.references === 0) {
      yield* this.#finish(context);
      return;
    }
    const active = this.submissions.active;
    const why = active > 0 ? ` [${active} active CS]` : ' [unknown reason]';
    this.log('notice', `User process closed FD but device still in use${why}`);
    yield* this.reset();
  }

  /** Somebody does not hold the context any longer; the last one ends it. */
  put(context: Context): void {
    if (--context.references > 0) return;
    this.kernel.start(`${this.name} release`, () => this.#finish(context));
  }

  /** hl_device_reset: what can be done at once, then the rest in a thread of its own. */
  *reset(reason: ResetReason = {}): Steps {
    if (!this.#initialised) {
      this.log('err', "Can't reset before initialization is done");
      return;
    }
    if (this.#inReset) return;
    this.#inReset = true;
    this.watchdog?.cancel();
    this.watchdog = undefined;
    if (reason.delayed) yield WAIT.DELAY;
    this.#countTrigger(reason.trigger);
    const byCard = reason.byCard ?? false;
    if (reason.trigger !== 'heartbeat' && !byCard && !reason.untold) {
      yield* this.#disableAccess();
    }
    this.#disabled = true;
    this.mmu.stop();
    this.log('info', 'Going to reset device');
    this.kernel.start(`${this.name} reset`, () => this.#hardReset(byCard));
  }

  /**
   * pci_reset_function, with hl_pci_reset_prepare and hl_pci_reset_done where the driver has the card: then the driver resets it.
   * @param bound whether it has
   */
  *resetFunction(bound: boolean): Steps {
    if (bound) this.#disabled = true;
    this.pci.resetFunction();
    yield WAIT.FUNCTION_RESET;
    if (bound) yield* this.reset({ byCard: true });
  }

  /** hl_device_cond_reset: who listens for events may look at what is left before the card is reset. */
  *conditionalReset(events: number, reason: ResetReason = {}): Steps {
    const { context } = this;
    if (context && (context.eventfd || this.watchdog) && !this.#inReset) {
      this.watchdog ??= this.kernel.clock.at(this.kernel.clock.now() + this.debugfs.watchdog * SECOND, () =>
        this.kernel.start(`${this.name} watchdog`, () => this.reset(reason)),
      );
      this.notify(events);
      this.submissions.abortWaiters();
      return;
    }
    this.notify(events);
    yield* this.reset(reason);
  }

  /** handle_reset_trigger: a program that has the card is given the benefit of the doubt. */
  #countTrigger(trigger: ResetTrigger | undefined): void {
    if (this.context) return;
    this.#heartbeatFailed = trigger === 'heartbeat';
    this.#repeated = this.#trigger === trigger;
    this.#trigger = trigger;
  }

  /** hl_handle_critical_hw_err. @returns events */
  hardwareError(event: number): number {
    this.errors.hardware ??= { timestamp: this.kernel.now(), event };
    return EVENT.HL_NOTIFIER_EVENT_CRITICL_HW_ERR;
  }

  /** hl_handle_fw_err. @returns events */
  firmwareError({ type, event = 0 }: { readonly type: number; readonly event?: number }): number {
    this.errors.firmware ??= { timestamp: this.kernel.now(), type, event };
    return EVENT.HL_NOTIFIER_EVENT_CRITICL_FW_ERR;
  }

  /** hl_notifier_event_send_all. */
  notify(events: number): void {
    const { context } = this;
    if (!context || events === 0) return;
    context.events |= BigInt(events);
    context.eventfd?.signal();
  }

  /** hl_debug_ioctl. @throws SystemError */
  debug(input: Decoded<typeof hl_debug_args>): Steps {
    return this.#debugMode.ioctl(input);
  }

  *#start(failures: Failures): Steps {
    this.info = yield* startCard(this.#hardware, this.log.bind(this), failures);
    // hl_sysfs_init; what was written since then is kept over resets
    if (!this.#initialised) this.limits.power = this.info.cardType === CARD_TYPE.PMC ? POWER.PMC : POWER.PCI;
    yield* setPower(this);
  }

  /** hl_device_reset in its thread. */
  *#hardReset(byCard: boolean): Steps {
    const { pci } = this;
    const log = this.log.bind(this);
    yield* this.#cleanUp(byCard);
    try {
      this.firmware.stop();
      try {
        if (byCard) yield* waitForReset(this.#hardware);
        else yield* resetChip(this.#hardware, log, this.#heartbeatFailed);
        this.events.counts.fill(0);
      } finally {
        this.#hardware.loaded.linux = false;
        this.#heartbeatFailed = false;
        this.queues.reset();
        this.streams.reset();
      }
      if (this.#repeated && (this.#trigger === 'fatal' || this.#trigger === 'heartbeat')) {
        this.log('crit', `${this.name} Consecutive fatal errors, stopping hard reset`);
        this.#fail();
        return;
      }
      this.#disabled = false;
      yield* waitForPreboot(this.kernel, pci, this.#hardware.loaded, log);
      yield* this.#start(AFTER_RESET);
      this.#inReset = false;
      this.log('info', `Successfully finished resetting the ${this.name} device`);
      this.#scheduleHeartbeat();
      pci.write(SETSPI, HOST_SPI.INTS_REGISTER);
      this.hardResets++;
    } catch (error) {
      this.log('err', (error as Error).message);
      this.#fail();
    }
  }

  *#disableAccess(): Steps {
    try {
      yield* this.firmware.send('DISABLE_PCI_ACCESS');
    } catch {
      this.log('err', "Failed to disable FW's PCI access");
    }
  }

  /** cleanup_resources, and those who have the card open. @param byCard the engines have stopped with the card */
  *#cleanUp(byCard = false): Steps {
    const { pci } = this;
    this.#heartbeat?.cancel();
    if (!byCard) {
      yield* haltEngines(pci);
      stopTime(pci);
    }
    pci.disableMsi();
    this.submissions.rollbackAll();
    if (this.context) this.submissions.releaseReservations(this.context);
    yield* this.#evict();
  }

  /** The end of a reset that has failed; another may be tried. */
  #fail(): void {
    this.#disabled = true;
    this.#inReset = false;
    this.log('err', `${this.name} Failed to reset! Device is NOT usable`);
    this.hardResets++;
  }

  /** device_kill_open_processes: a second to close the card, then the program is killed. */
  *#evict(): Steps {
    if (!this.context) return;
    yield WAIT.USER;
    if (!this.context) return;
    const { owner } = this.context;
    if (!owner.killed) this.log('info', `Killing user process pid=${owner.pid}`);
    owner.kill();
    for (let left = WAIT.PENDING; this.context && left > 0; left--) yield WAIT.USER;
    while (this.context) {
      this.log('info', `Could not reset device. will try again in ${WAIT.PENDING} seconds`);
      yield WAIT.PENDING * SECOND;
    }
  }

  /** hl_ctx_fini and hpriv_release. */
  *#finish(context: Context): Steps {
    yield* this.#debugMode.end();
    this.#releasePool();
    yield* context.memory.release();
    this.dramUsed -= context.dram;
    let reset = this.watchdog !== undefined;
    if (!this.#inReset && !reset) {
      const { idle, busy } = this.idleness();
      reset = !idle;
      if (!idle)
        this.log('err', `${this.name} device is not idle after user context is closed (mask 0x${busy.toString(16)})`);
    }
    if (reset) {
      // out of the way of the reset, which would kill who has given the card back already
      this.context = undefined;
      yield* this.reset();
    }
    this.context = undefined;
    this.releasing = false;
  }

  /** gaudi_internal_cb_pool_init: memory of the driver at the beginning of the program's address space. */
  #reservePool(context: Context): void {
    const memory = this.kernel.memory.allocateCoherent(INTERNAL_POOL);
    const virtual = context.memory.reserve(INTERNAL_POOL);
    this.#pool = { memory, virtual };
    for (let at = 0; at < INTERNAL_POOL; at += PAGE) {
      if (!this.mmu.map(virtual + at, memory.bus + at + addressMap.HOST_BASE, false)) throw new Error('no page tables');
    }
  }

  #releasePool(): void {
    if (!this.#pool) return;
    for (let at = 0; at < INTERNAL_POOL; at += PAGE) this.mmu.unmap(this.#pool.virtual + at, false);
    this.#pool.memory.free();
    this.#pool = undefined;
  }

  #scheduleHeartbeat(): void {
    this.#heartbeat = this.kernel.clock.at(this.kernel.clock.now() + WAIT.HEARTBEAT, () => {
      this.kernel.start(`${this.name} heartbeat`, () => this.#beat());
    });
  }

  /** hl_device_heartbeat. */
  *#beat(): Steps {
    if (this.operational()) {
      try {
        const answer = yield* this.firmware.send('TEST', { value: HEARTBEAT_VALUE });
        if (answer !== HEARTBEAT_VALUE) refuse('EIO');
      } catch {
        const link = this.pci.linkHealthy ? 'healthy' : 'broken';
        if (this.operational()) this.log('err', `Device heartbeat failed! PCI link is ${link}`);
        const events =
          EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET |
          EVENT.HL_NOTIFIER_EVENT_DEVICE_UNAVAILABLE |
          this.firmwareError({ type: FIRMWARE_ERROR.HL_INFO_FW_HEARTBEAT_ERR });
        yield* this.conditionalReset(events, { trigger: 'heartbeat' });
        return;
      }
    }
    if (!this.#inReset) this.#trigger = undefined;
    if (!this.#inReset) this.#scheduleHeartbeat();
  }

  /** hl_state_dump. */
  dumpState(): void {
    this.debugfs.dumps.add(stateDump(this.pci, this.kernel.now()));
  }

  #timedOut(seq: bigint, reset: boolean): void {
    let events = 0;
    if (this.context && !this.errors.csTimeout) {
      this.errors.csTimeout = { timestamp: this.kernel.now(), seq };
      events |= EVENT.HL_NOTIFIER_EVENT_CS_TIMEOUT;
    }
    this.dumpState();
    if (!reset) {
      this.notify(events);
      return;
    }
    events |= EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET;
    this.kernel.start(`${this.name} timeout`, () => this.conditionalReset(events, { trigger: 'timeout' }));
  }
}
