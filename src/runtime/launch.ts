/**
 * Launches of kernels: the packets that have tensor cores run a program, and that tell when they have.
 *
 * One submission has a chunk for an external queue, which copies the program where it is to be run from, lets the queues of
 * the cores go by their fences, and waits at its own for a sync object that every core adds to when it has ended; and a chunk
 * for the queue of each core, which writes the descriptor and starts it.
 */

import { CMD, KERNEL_CONFIG, tpcCfg } from '../../specs/gaudi/registers/tpc-cfg.ts';
import { gaudiQman } from '../../specs/gaudi-qman.ts';
import { type Box, cutIndexSpace } from '../tpc/index-space.ts';
import { type RoundingMode, roundingModes } from '../tpc/numbers/rounding.ts';
import { lookupTables } from '../tpc/tables/index.ts';
import { TENSORS } from '../tpc/tensor.ts';
import type { QueueName } from '../uapi/habanalabs/gaudi.ts';
import { addressOf, CommandStream, type Place } from './command-stream.ts';
import type { Device } from './device.ts';
import type { Kernel } from './kernel.ts';
import type { DeviceMemory } from './memory.ts';
import type { WaitOptions } from './patience.ts';
import type { Chunk, Completion, Submission } from './submission.ts';
import { fenceAddress, type SyncObject } from './sync.ts';
import { DESCRIPTOR_WORDS, type Tensor } from './tensor.ts';

/** A tensor core, 0 to 7. */
export type Core = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7;
export const CORES: readonly Core[] = [0, 1, 2, 3, 4, 5, 6, 7];

/** Where the function tables of each length begin. */
export interface TableBases {
  readonly 32?: Place;
  readonly 64?: Place;
  readonly 128?: Place;
  readonly 256?: Place;
}

/** How one kernel is run. */
export interface StepOptions {
  /** In the order in which the kernel numbers them; at most 16. */
  readonly tensors?: readonly Tensor[];
  /** Words of S0, S1, ...: integers as they are, f32 by `floatWord`. At most 32. */
  readonly scalars?: readonly number[];
  /** Members of each dimension, one to five. Default: one member. */
  readonly indexSpace?: readonly number[];
  /**
   * How many cores share the index space, or which. No more are used than the index space has members.
   * Default 1.
   */
  readonly cores?: number | readonly Core[];
  /** Streams of the cores' queues. Default 0. */
  readonly stream?: 0 | 1 | 2 | 3;
  /** How results are rounded. Default `rhne`, to nearest. */
  readonly rounding?: RoundingMode;
  /** Default: for a kernel that looks them up, the device's own copies of all functions' tables. */
  readonly tables?: TableBases;
}

/** One of several kernels that are run in turn. */
export interface Step extends StepOptions {
  readonly kernel: Kernel;
}

/** How a launch is handed over. */
export interface SubmissionOptions {
  /** The external queue that begins and ends the launch. Launches that use different ones do not wait for each other. */
  readonly queue?: 'DMA_0_0' | 'DMA_0_1' | 'DMA_0_2' | 'DMA_0_3' | 'DMA_1_0' | 'DMA_1_1' | 'DMA_1_2' | 'DMA_1_3';
  /** Seconds until the driver takes it for hung; the driver's default if left out. */
  readonly limit?: number;
}

export interface LaunchOptions extends StepOptions, SubmissionOptions {}

/** Where the configuration of a core lies within the 64 KiB that WREG packets of its queue reach (gaudi_blocks.h). */
const TPC_CFG = 0x6000;
const { rows } = tpcCfg;
/** Words from the first tensor descriptor of QM_* to its last scalar. */
const FIRST = rows.QM_TENSOR_BASE_ADDR_LOW.offset;
const SCALARS = rows.QM_SRF.count[0] as number;
const WORDS = (rows.QM_SRF.offset - FIRST) / 4 + SCALARS;
/** The fence of a core's queue that holds it until the program is in its place, and that of the external queue. */
const FENCE = 0;
/** The fence of a core's queue that holds it until the step before has ended. */
const TURN = 1;
/** Alignment of programs: a line of the instruction cache, bytes. */
const ALIGN = 128;

/** A program, or the function tables, in a device's memory. */
interface Loaded {
  readonly bytes: Uint8Array;
  readonly memory: DeviceMemory;
  /** They have been copied there. */
  present: boolean;
}

/** Which cores do which part. @throws RangeError */
export function shares(options: StepOptions): { readonly core: Core; readonly box: Box }[] {
  const { cores = 1 } = options;
  const list = typeof cores === 'number' ? CORES.slice(0, cores) : cores;
  if (list.length === 0 || new Set(list).size !== list.length || !list.every((core) => CORES.includes(core)))
    throw new RangeError(`cores ${typeof cores === 'number' ? cores : cores.join(', ')}: there are 0 to 7`);
  if (typeof cores === 'number' && list.length !== cores) throw new RangeError(`${cores} cores: there are 8`);
  return cutIndexSpace(options.indexSpace ?? [1], list.length).map((box, n) => ({ core: list[n] as Core, box }));
}

export function coreQueue(core: Core, stream: number): QueueName {
  return `TPC_${core}_${stream}` as QueueName;
}

/**
 * Packets for the queue of a core: has the core run its part, and add 1 to `done`.
 * @param code device address of the program, 128-byte aligned
 */
export function corePackets(
  kernel: Kernel,
  code: bigint,
  box: Box,
  done: SyncObject,
  options: StepOptions,
): CommandStream {
  const stream = new CommandStream();
  const register = (row: keyof typeof rows, value: number) =>
    stream.register(TPC_CFG + rows[row].offset, value >>> 0, { eb: false });
  // the previous kernel of this core is done with its tables: LUT bases and ROUND_CSR have no second set
  stream.nop();
  register('ROUND_CSR', roundingModes.indexOf(options.rounding ?? 'rhne'));
  for (const [entries, place] of Object.entries(options.tables ?? {})) {
    const address = addressOf(place as Place);
    register(`LUT_FUNC${entries}_BASE_ADDR_LO` as 'LUT_FUNC32_BASE_ADDR_LO', Number(address & 0xffff_ffffn));
    register(`LUT_FUNC${entries}_BASE_ADDR_HI` as 'LUT_FUNC32_BASE_ADDR_HI', Number(address >> 32n));
  }
  const words = descriptor(kernel, code, box, done, options);
  stream.packet('WREG_BULK', {
    reg_offset: TPC_CFG + FIRST,
    size64: WORDS / 2,
    values: [...words],
    rb: true,
    mb: true,
  });
  register('TPC_CMD', CMD.CACHES);
  return stream.register(TPC_CFG + rows.TPC_EXECUTE.offset, 1, { eb: false });
}

/** That a kernel which tells its parameters is given them all: one that is not might never end. @throws RangeError */
function checkParameters(kernel: Kernel, { tensors = [], scalars = [] }: StepOptions): void {
  const { parameters } = kernel;
  if (!parameters) return;
  for (const [what, wanted, given] of [
    ['tensors', parameters.tensors, tensors.length],
    ['scalars', parameters.scalars, scalars.length],
  ] as const) {
    if (given >= wanted.length) continue;
    const names = wanted.map(({ name }) => name).join(', ');
    throw new RangeError(`kernel ${kernel.name} has ${wanted.length} ${what} (${names}); it is given ${given}`);
  }
}

/** QM_* from the first tensor descriptor to the last scalar. @throws RangeError */
function descriptor(kernel: Kernel, code: bigint, box: Box, done: SyncObject, options: StepOptions): Uint32Array {
  const { tensors = [], scalars = [] } = options;
  checkParameters(kernel, options);
  if (tensors.length > TENSORS) throw new RangeError(`${tensors.length} tensors: there are ${TENSORS} descriptors`);
  if (scalars.length > SCALARS) throw new RangeError(`${scalars.length} scalars: there are ${SCALARS}`);
  for (const scalar of scalars)
    if (!Number.isInteger(scalar) || scalar < -0x8000_0000 || scalar > 0xffff_ffff)
      throw new RangeError(`scalar ${scalar} is no word; floatWord makes one of an f32`);
  const words = new Uint32Array(WORDS);
  const put = (offset: number, ...values: number[]) =>
    words.set(
      values.map((v) => v >>> 0),
      (offset - FIRST) / 4,
    );
  tensors.forEach((tensor, n) => void words.set(tensor.descriptor(), n * DESCRIPTOR_WORDS));
  put(rows.QM_SYNC_OBJECT_MESSAGE.offset, gaudiQman.format('sob', { value: 1, add: true }));
  put(rows.QM_SYNC_OBJECT_ADDR.offset, Number(done.address & 0xffff_ffffn));
  put(rows.QM_KERNEL_BASE_ADDRESS_LOW.offset, Number(code & 0xffff_ffffn), Number(code >> 32n));
  box.size.forEach((size, d) => void put(rows.QM_TID_BASE_DIM.offset + 8 * d, box.offset[d] as number, size));
  const config = (scalars.length << KERNEL_CONFIG.VALID_SRFS_SHIFT) | (kernel.tables ? KERNEL_CONFIG.SMALL_VLM : 0);
  put(rows.QM_KERNEL_CONFIG.offset, config);
  put(rows.QM_SRF.offset, ...scalars);
  return words;
}

/** Makes launches for one device. */
export class Launcher {
  readonly #device: Device;
  readonly #loaded = new WeakMap<Kernel, Loaded>();
  #tables: { readonly loaded: Loaded; readonly bases: TableBases } | undefined;

  constructor(device: Device) {
    this.#device = device;
  }

  /**
   * Has kernels run one after the other; each uses the cores that it names.
   * @throws RangeError for what no descriptor can hold; ExhaustedError; as `Device.submit`
   */
  launch(steps: readonly Step[], options: SubmissionOptions): Launch {
    const device = this.#device;
    const { queue = 'DMA_0_2' } = options;
    using resources = new DisposableStack();
    const manager = device.sync('E_N');
    const begin = new CommandStream();
    const loaded = [...new Set(steps.map(({ kernel }) => kernel))].map((kernel) => this.#load(kernel));
    const ownTables = steps.some(({ kernel, tables }) => kernel.tables && !tables) ? this.#loadTables() : undefined;
    if (ownTables) loaded.push(ownTables.loaded);
    const work: { readonly queue: QueueName; readonly packets: CommandStream }[] = [];
    let previous: { readonly done: SyncObject; readonly count: number } | undefined;
    for (const step of steps) {
      const { stream = 0 } = step;
      const done = resources.use(manager.syncObject());
      begin.set(done, 0);
      const parts = shares(step);
      for (const { core, box } of parts) {
        const own = coreQueue(core, stream);
        const packets = new CommandStream().fence(FENCE);
        if (previous) {
          const write = { place: fenceAddress(own, TURN), data: 1 };
          const monitor = resources.use(manager.monitor());
          packets.arm(monitor, { objects: [previous.done], value: previous.count, write }).fence(TURN);
        }
        const { memory: code } = this.#load(step.kernel);
        const tables = step.kernel.tables && !step.tables ? { tables: ownTables?.bases ?? {} } : {};
        packets.raw(corePackets(step.kernel, code.address, box, done, { ...step, ...tables }).bytes);
        work.push({ queue: own, packets });
      }
      previous = { done, count: parts.length };
    }
    if (!previous) throw new RangeError('a launch of no kernel');
    for (const each of loaded) if (!each.present) this.#copy(each, begin, resources);
    const memory = resources.use(device.allocHost(work.reduce((size, { packets }) => size + packets.size, 0)));
    let at = 0;
    const chunks = work.map((each): Chunk => {
      const { bytes, size } = each.packets;
      memory.bytes.set(bytes, at);
      begin.write(fenceAddress(each.queue, FENCE), 1);
      at += size;
      return { queue: each.queue, place: memory.deviceAddress + BigInt(at - size), size };
    });
    const write = { place: fenceAddress(queue, FENCE), data: 1 };
    const monitor = resources.use(manager.monitor());
    begin.arm(monitor, { objects: [previous.done], value: previous.count, write }).fence(FENCE);
    const limit = options.limit === undefined ? {} : { timeout: options.limit };
    const submission = device.submit([{ queue, stream: begin }, ...chunks], limit);
    return new Launch(device, submission, loaded, resources.move());
  }

  /** Finds room for a program. */
  #load(kernel: Kernel): Loaded {
    let loaded = this.#loaded.get(kernel);
    if (!loaded) {
      loaded = this.#room(kernel.code);
      this.#loaded.set(kernel, loaded);
    }
    return loaded;
  }

  /** Finds room for the function tables, which are computed for it. */
  #loadTables() {
    if (!this.#tables) {
      const { bases, regions } = lookupTables(0);
      const bytes = new Uint8Array(Math.max(...regions.map((region) => region.address + region.bytes.length)));
      for (const region of regions) bytes.set(region.bytes, region.address);
      const loaded = this.#room(bytes);
      const at = (n: number) => loaded.memory.at(bases[n] as number);
      this.#tables = { loaded, bases: { 32: at(0), 64: at(1), 128: at(2), 256: at(3) } };
    }
    return this.#tables;
  }

  #room(bytes: Uint8Array): Loaded {
    return { bytes, memory: this.#device.dram.allocate(bytes.length, ALIGN), present: false };
  }

  #copy({ bytes, memory }: Loaded, stream: CommandStream, resources: DisposableStack): void {
    const copy = resources.use(this.#device.allocHost(bytes.length));
    copy.bytes.set(bytes);
    stream.dma(memory, copy, bytes.length);
  }
}

/** A launch that is under way. It keeps what the cores use of the host until it has been waited for, or is disposed of. */
export class Launch implements Disposable {
  readonly submission: Submission;
  readonly #device: Device;
  readonly #loaded: readonly Loaded[];
  readonly #resources: DisposableStack;

  /** @internal */
  constructor(device: Device, submission: Submission, loaded: readonly Loaded[], resources: DisposableStack) {
    this.#device = device;
    this.submission = submission;
    this.#loaded = loaded;
    this.#resources = resources;
  }

  /**
   * Waits until all cores have ended.
   * @throws WaitTimeoutError, after which it can be waited for again; SubmissionTimeoutError, SubmissionAbortedError
   */
  async wait(options: WaitOptions = {}): Promise<Completion> {
    const completion = await this.#device.wait(this.submission, options);
    for (const loaded of this.#loaded) loaded.present = true;
    this[Symbol.dispose]();
    return completion;
  }

  /** Gives back memory and sync objects; of a launch that still runs, the cores then fault. Harmless when done twice. */
  [Symbol.dispose](): void {
    if (this.#device.isOpen) this.#resources.dispose();
  }
}
