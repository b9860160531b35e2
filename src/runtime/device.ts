/**
 * A card as a program uses it. Everything made from a device goes when the device is closed, at the latest.
 *
 *   using device = Device.open({ driver });
 *   using host = device.allocHost(4096);
 *   using sram = device.sram.allocate(4096);
 *   host.bytes.fill(7);
 *   const work = device.submit({ queue: 'DMA_0_0', stream: new CommandStream().dma(sram, host, 4096) });
 *   await device.wait(work);
 */

import { type Driver, O_CLOEXEC, O_RDWR, SystemError } from '../driver/driver.ts';
import { DRM_IOCTL_HL_DEBUG, debugOperations, type hl_debug_args } from '../uapi/habanalabs/debug.ts';
import type { Encodable } from '../uapi/struct.ts';
import { CommandBuffer, type CommandBufferOptions } from './command-buffer.ts';
import type { CommandStream } from './command-stream.ts';
import { DeviceInUseError, DriverError, NoDeviceError } from './errors.ts';
import { EventNotifier } from './events.ts';
import { ControlInfo, type Dcore, Info } from './info.ts';
import type { Kernel } from './kernel.ts';
import { type Launch, Launcher, type LaunchOptions, type Step, type SubmissionOptions } from './launch.ts';
import {
  DeviceMemorySpace,
  DmaBuf,
  HostMapping,
  HostMemory,
  type HostMemoryOptions,
  type MapOptions,
  memoryCall,
  TimestampBuffer,
} from './memory.ts';
import { OpenNode } from './node.ts';
import { WaitingRoom, type WaitOptions } from './patience.ts';
import { PeerMemory } from './peer.ts';
import { Program } from './program.ts';
import {
  type Chunk,
  type Completion,
  type CompletionOfSeveral,
  type EngineCommand,
  type Queue,
  type Reservation,
  type Signal,
  type Submission,
  type SubmitOptions,
  Submitter,
} from './submission.ts';
import { SyncManager } from './sync.ts';

export interface OpenOptions {
  readonly driver: Driver;
  /** Which card, in the order of the driver's nodes. Default 0. */
  readonly index?: number;
  /** The node itself, instead of `index`. */
  readonly path?: string;
  /** Milliseconds to go on trying while the driver cleans up after the last user or resets the card. Default 10 s. */
  readonly patience?: number;
}

const PATIENCE = 10_000;
/** Nanoseconds between attempts to open. */
const RETRY = 10_000_000;

function nodePath(options: OpenOptions, which: 'path' | 'controlPath'): string {
  if (options.path !== undefined) return options.path;
  const cards = options.driver.accelerators();
  const card = cards[options.index ?? 0];
  if (card === undefined)
    throw new NoDeviceError(`there is no card ${options.index ?? 0}: the driver has ${cards.length}`);
  return card[which];
}

function openNode(options: OpenOptions, path: string): OpenNode {
  const { driver, patience = PATIENCE } = options;
  const end = driver.now() + patience * 1e6;
  for (;;) {
    try {
      return new OpenNode(driver, path, driver.open(path, O_RDWR | O_CLOEXEC));
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      if (error.code !== 'EAGAIN' || driver.now() >= end) throw openError(driver, path, error);
      driver.sleep(RETRY);
    }
  }
}

const openReasons: Readonly<Record<string, string>> = {
  EAGAIN: 'the driver still cleans up after the last user, or resets the card',
  EPERM: 'the card is disabled: see the kernel’s log',
  EACCES: 'no permission for the node',
  EINVAL:
    'Linux 6.12 and later open no compute node of a driver without FOP_UNSIGNED_OFFSET, and habanalabs has it not; see docs/findings/0001',
};

function openError(driver: Driver, path: string, cause: SystemError): DriverError {
  const base = { errno: cause.errno, code: cause.code, call: 'open', operation: path, arguments: {} };
  if (cause.code !== 'EBUSY') {
    const reason = openReasons[cause.code];
    return new DriverError(reason === undefined ? base : { ...base, reason }, { cause });
  }
  const holders = driver.holders(path).map(({ pid, command }) => `${command} (pid ${pid})`);
  const reason = `in use${holders.length > 0 ? ` by ${holders.join(', ')}` : ''}; one program at a time can have it open`;
  return new DeviceInUseError({ ...base, reason }, { cause });
}

/** The control node: information, also while somebody else uses the card. */
export class ControlDevice implements Disposable, AsyncDisposable {
  readonly info: ControlInfo;
  readonly path: string;
  readonly #node: OpenNode;

  private constructor(node: OpenNode) {
    this.#node = node;
    this.path = node.path;
    this.info = new ControlInfo(node);
  }

  /** @throws DriverError */
  static open(options: OpenOptions): ControlDevice {
    return new ControlDevice(openNode(options, nodePath(options, 'controlPath')));
  }

  /** The descriptor, for calls of one's own. @throws DisposedError */
  get fd(): number {
    return this.#node.fd;
  }

  close(): void {
    this.#node.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/** The compute node: one program at a time has it open. */
export class Device implements Disposable, AsyncDisposable {
  readonly info: Info;
  readonly path: string;
  readonly #node: OpenNode;
  readonly #waiting: WaitingRoom;
  readonly #submitter: Submitter;
  readonly #launcher = new Launcher(this);
  readonly #syncManagers = new Map<Dcore, SyncManager>();
  #sram: DeviceMemorySpace | undefined;
  #dram: DeviceMemorySpace | undefined;

  private constructor(node: OpenNode) {
    this.#node = node;
    this.path = node.path;
    this.info = new Info(node);
    this.#waiting = new WaitingRoom(node.driver);
    this.#submitter = new Submitter(node, this.#waiting);
  }

  /** @throws DeviceInUseError when somebody has it open, DriverError when it cannot be opened */
  static open(options: OpenOptions): Device {
    return new Device(openNode(options, nodePath(options, 'path')));
  }

  /**
   * The node behind a descriptor that exists already, inherited from another process or duplicated. Closed with the device.
   * @throws SystemError EBADF
   */
  static adopt(driver: Driver, fd: number): Device {
    return new Device(new OpenNode(driver, driver.describe(fd), fd));
  }

  get driver(): Driver {
    return this.#node.driver;
  }

  /** The descriptor, for calls of one's own. @throws DisposedError */
  get fd(): number {
    return this.#node.fd;
  }

  get isOpen(): boolean {
    return this.#node.isOpen;
  }

  /** Disposes of everything made from it and closes the node. Harmless when done twice. */
  close(): void {
    this.#node.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** Memory of the host that the device reaches. @param size bytes. */
  allocHost(size: number, options: HostMemoryOptions = {}): HostMemory {
    return new HostMemory(this.#node, size, options);
  }

  /** Lets the device reach memory of the program that exists already. @param hostAddress where it is. @param size bytes. */
  mapHost(hostAddress: bigint, size: number, options: MapOptions = {}): HostMapping {
    return new HostMapping(this.#node, hostAddress, size, options);
  }

  /** Ends any mapping by its device address. */
  unmap(deviceAddress: bigint): void {
    memoryCall(this.#node, 'HL_MEM_OP_UNMAP', { unmap: { device_virt_addr: deviceAddress } });
  }

  /** The on-chip memory. */
  get sram(): DeviceMemorySpace {
    if (this.#sram === undefined) {
      const { sram_base_address, sram_size } = this.info.hwIp();
      this.#sram = new DeviceMemorySpace(this.#node, 'SRAM', sram_base_address, BigInt(sram_size), false);
    }
    return this.#sram;
  }

  /** The device's main memory. */
  get dram(): DeviceMemorySpace {
    if (this.#dram === undefined) {
      const { dram_base_address, dram_size } = this.info.hwIp();
      this.#dram = new DeviceMemorySpace(this.#node, 'DRAM', dram_base_address, dram_size, true);
    }
    return this.#dram;
  }

  /** What the driver leaves of the sync manager of a DCORE. */
  sync(dcore: Dcore): SyncManager {
    let manager = this.#syncManagers.get(dcore);
    if (manager === undefined) {
      const { first_available_sync_object, first_available_monitor } = this.info.syncManager(dcore);
      manager = new SyncManager(dcore, first_available_sync_object, first_available_monitor);
      this.#syncManagers.set(dcore, manager);
    }
    return manager;
  }

  /** Exports device memory. @param address physical DRAM address, page-aligned. @param size bytes. @param flags O_*. */
  exportDmaBuf(address: bigint, size: number, flags = O_RDWR | O_CLOEXEC, offset = 0n): DmaBuf {
    return new DmaBuf(this.#node, address, size, flags, offset);
  }

  /**
   * Imports memory of another card, so that this one's engines reach it. @param fd of a dma-buf that the other has exported
   * @throws SystemError ENOENT where the kernel has no importer; DriverError, e.g. EPERM where the two cannot reach each other
   */
  importDmaBuf(fd: number): PeerMemory {
    return new PeerMemory(this.#node, this.pciAddress, fd);
  }

  /** e.g. `0000:01:00.0` */
  get pciAddress(): string {
    const card = this.driver.accelerators().find(({ path }) => path === this.path);
    if (card === undefined) throw new NoDeviceError(`${this.path} is no card that the driver knows`);
    return card.pciAddress;
  }

  /** A buffer for time stamps of interrupts. */
  allocTimestamps(elements: number): TimestampBuffer {
    return new TimestampBuffer(this.#node, elements);
  }

  /** Asks for a block of registers to be mapped into the program; Gaudi1 refuses. @returns handle and bytes. */
  mapBlock(address: bigint): { readonly handle: bigint; readonly size: number } {
    const out = memoryCall(this.#node, 'HL_MEM_OP_MAP_BLOCK', { map_block: { block_addr: address } });
    return { handle: out.block_handle, size: out.block_size };
  }

  /** A command buffer for external queues. @param size bytes, at most MAX_CB_SIZE. */
  createCb(size: number, options: CommandBufferOptions = {}): CommandBuffer {
    return new CommandBuffer(this.#node, size, options);
  }

  /**
   * Makes packets ready for an internal queue: `device.submit({ queue: 'DMA_2_0', ...program })`. Keep the program until its
   * work has ended, which the driver does not tell: have the packets add to a sync object.
   */
  load(stream: CommandStream, options: HostMemoryOptions = {}): Program {
    return new Program(this.#node, stream, options);
  }

  /** Hands work to queues. @throws QueueFullError, InvalidArgumentError, NotPermittedError, NotOperationalError */
  submit(work: Chunk | readonly Chunk[], options: SubmitOptions = {}): Submission {
    return this.#submitter.submit(work, options);
  }

  /**
   * Has tensor cores run a kernel, and waits until they have. Its program is copied into the device's memory at the first launch.
   * @throws RangeError, ExhaustedError, and as `submit` and `wait`
   */
  async launch(kernel: Kernel, options: LaunchOptions & WaitOptions = {}): Promise<Completion> {
    return await this.begin(kernel, options).wait(options);
  }

  /** Has tensor cores run a kernel; the program goes on. */
  begin(kernel: Kernel, options: LaunchOptions = {}): Launch {
    return this.#launcher.launch([{ kernel, ...options }], options);
  }

  /** Has tensor cores run kernels in turn: a step begins when the one before has ended, without the host. */
  beginInTurn(steps: readonly Step[], options: SubmissionOptions = {}): Launch {
    return this.#launcher.launch(steps, options);
  }

  /** Increments a sync object of an external queue when its earlier work has been done. */
  signal(queue: Queue, options: Pick<SubmitOptions, 'patience' | 'flags'> = {}): Signal {
    return this.#submitter.signal(queue, options);
  }

  /** Holds an external queue until `signal` has come. @returns undefined when it has come already. */
  waitForSignal(queue: Queue, signal: Signal, options: Pick<SubmitOptions, 'patience' | 'flags'> = {}) {
    return this.#submitter.waitForSignal(queue, signal, options);
  }

  /** Holds an external queue until `submission`, made with `signals`, has made signal `offset`. */
  waitForEncapsulated(
    queue: Queue,
    submission: Submission,
    offset: number,
    options: Pick<SubmitOptions, 'patience' | 'flags'> = {},
  ) {
    return this.#submitter.waitForEncapsulated(queue, submission, offset, options);
  }

  /** Holds the NICs and an engine until `signal` has come; refused while the driver has the NIC ports disabled. */
  collectiveWait(queue: Queue, signal: Signal, engine: number) {
    return this.#submitter.collectiveWait(queue, signal, engine);
  }

  /** Reserves signals of a queue, for packets to make. */
  reserveSignals(queue: Queue, count: number): Reservation {
    return this.#submitter.reserveSignals(queue, count);
  }

  unreserveSignals(reservation: Reservation): void {
    this.#submitter.unreserveSignals(reservation);
  }

  /** Halts or runs engine cores, stalls or resumes engines; Gaudi1 refuses. @param engines their ids. */
  engines(command: EngineCommand, engines: readonly number[]): void {
    this.#submitter.engines(command, engines);
  }

  /** Waits until posted writes of the device have arrived in host memory. */
  flushPciWrites(): void {
    this.#submitter.flushPciWrites();
  }

  /** Looks whether a submission has ended. @returns undefined when it has not. */
  poll(submission: Submission | bigint): Completion | undefined {
    return this.#submitter.poll(submission);
  }

  /** Waits for a submission's end. @throws WaitTimeoutError, SubmissionTimeoutError, SubmissionAbortedError */
  wait(submission: Submission | bigint, options: WaitOptions = {}): Promise<Completion> {
    return this.#submitter.wait(submission, options);
  }

  /** Like `wait`, and nothing else happens meanwhile. @param timeout milliseconds. */
  waitSync(submission: Submission | bigint, timeout?: number): Completion {
    return this.#submitter.waitSync(submission, timeout);
  }

  /** Waits until one of up to 32 submissions has ended. */
  waitAny(submissions: readonly (Submission | bigint)[], options: WaitOptions = {}): Promise<CompletionOfSeveral> {
    return this.#submitter.waitAny(submissions, options);
  }

  /** Has the driver notify events of the card. One for each open device. */
  notifyEvents(): EventNotifier {
    return new EventNotifier(this.#node, this.info, this.#waiting);
  }

  /**
   * One DEBUG ioctl.
   * @param input parameters of the unit, encoded. @param outputSize bytes of the answer. @returns the answer.
   */
  debug(
    operation: keyof typeof debugOperations,
    argument: Pick<Encodable<typeof hl_debug_args>, 'reg_idx' | 'enable'> = {},
    input: Uint8Array = new Uint8Array(0),
    outputSize = 0,
  ): Uint8Array {
    const { address, bytes } = this.#node.scratch(input.length + outputSize);
    bytes.set(input);
    const row = debugOperations[operation];
    this.#node.call(
      DRM_IOCTL_HL_DEBUG,
      { name: operation, row },
      {
        input_ptr: input.length > 0 ? address : 0n,
        output_ptr: outputSize > 0 ? address + BigInt(input.length) : 0n,
        input_size: input.length,
        output_size: outputSize,
        op: row.value,
        ...argument,
      },
      argument,
    );
    return bytes.slice(input.length, input.length + outputSize);
  }
}
