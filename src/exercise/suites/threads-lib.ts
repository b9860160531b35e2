/** What suites need to make calls in other threads and other processes, and to see where they are. */

import { setImmediate } from 'node:timers/promises';
import type { Call, Driver, ProgramProcess, Thread } from '../../driver/driver.ts';
import type { CommandBuffer } from '../../runtime/command-buffer.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { Device } from '../../runtime/device.ts';
import type { Submission } from '../../runtime/submission.ts';
import { fenceAddress } from '../../runtime/sync.ts';
import { csFlags, DRM_IOCTL_HL_CS, hl_cs_chunk, type hl_cs_in } from '../../uapi/habanalabs/cs.ts';
import { type QueueName, queueNames } from '../../uapi/habanalabs/gaudi.ts';
import { DRM_IOCTL_HL_WAIT_CS, waitFlags } from '../../uapi/habanalabs/wait-cs.ts';
import type { Ioctl } from '../../uapi/rows.ts';
import type { Encodable, Struct } from '../../uapi/struct.ts';
import type { TestContext } from '../suite.ts';
import { writeHardReset } from './reset-lib.ts';

/** Microseconds that are longer than any test. */
export const FOREVER = 600_000_000;
/** Nanoseconds between looks at a call. */
const LOOK = 1_000_000;

/** An ioctl that a thread is in. */
export interface Begun<Out> {
  readonly call: Call;
  /** Waits until it has returned. @throws SystemError */
  answer(): Promise<Out>;
}

/** A thread of the program, or of another. */
export function thread(t: TestContext, driver: Driver = t.target.driver): Thread {
  return t.use(driver.thread());
}

/** Has a thread make an ioctl of a row. */
export function begin<Out, In>(
  t: TestContext,
  by: Thread,
  device: Device,
  ioctl: Ioctl<Struct<Out, In>>,
  value: In,
): Begun<Out> {
  const argument = ioctl.argument.encode(value);
  const call = by.ioctl(device.fd, ioctl.request, argument);
  t.use({ [Symbol.dispose]: () => release(t, call) });
  return {
    call,
    answer: async () => {
      await returned(t, call);
      call.finish();
      return ioctl.argument.decode(argument);
    },
  };
}

/** A test that fails leaves its threads in calls, which would keep the card: a reset brings them out. */
function release(t: TestContext, call: Call): void {
  if (call.done) return;
  writeHardReset(t, '1');
  for (let i = 0; i < 1000 && !call.done; i++) t.target.driver.sleep(LOOK);
}

async function until(t: TestContext, done: () => boolean): Promise<void> {
  while (!done()) {
    t.signal.throwIfAborted();
    t.target.driver.sleep(LOOK);
    await setImmediate();
  }
}

/** Waits until a call has returned, and no longer than the test may take. */
export function returned(t: TestContext, call: Call): Promise<void> {
  return until(t, () => call.done);
}

/** Waits until a call sleeps in the kernel. @throws Error when it returns instead */
export async function blocked(t: TestContext, call: Call): Promise<void> {
  await until(t, () => call.blocked || call.done);
  if (!call.done) return;
  call.finish();
  throw new Error('the call returned instead of waiting');
}

/** What the call that a promise stands for was refused with; `none` when it was not. */
export async function errnoOf(answer: Promise<unknown>): Promise<string> {
  try {
    await answer;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return code;
  }
  return 'none';
}

/** Has a thread wait for a submission. @param microseconds at most. */
export function beginWait(
  t: TestContext,
  by: Thread,
  device: Device,
  { sequence }: Pick<Submission, 'sequence'>,
  microseconds = FOREVER,
) {
  return begin(t, by, device, DRM_IOCTL_HL_WAIT_CS, { in: { seq: sequence, timeout_us: microseconds } });
}

/** Has a thread wait for one of several submissions. */
export function beginWaitAny(
  t: TestContext,
  by: Thread,
  device: Device,
  submissions: readonly Submission[],
  microseconds = FOREVER,
) {
  const list = device.driver.allocate(4096);
  t.use({ [Symbol.dispose]: () => list.unmap() });
  const { buffer, byteOffset } = list.bytes;
  new BigUint64Array(buffer, byteOffset, submissions.length).set(submissions.map(({ sequence }) => sequence));
  return begin(t, by, device, DRM_IOCTL_HL_WAIT_CS, {
    in: {
      seq: list.address,
      seq_arr_len: submissions.length,
      timeout_us: microseconds,
      flags: waitFlags.HL_WAIT_CS_FLAGS_MULTI_CS.value,
    },
  });
}

/** Packets in a command buffer, and the argument that submits them. */
export class Prepared {
  readonly buffer: CommandBuffer;
  readonly #t: TestContext;
  readonly #device: Device;
  readonly #chunks: bigint;

  constructor(t: TestContext, device: Device, queue: QueueName, stream: CommandStream) {
    this.#t = t;
    this.#device = device;
    this.buffer = device.createCb(Math.max(stream.size, 8));
    this.buffer.bytes.set(stream.bytes);
    const memory = device.driver.allocate(4096);
    t.use({ [Symbol.dispose]: () => memory.unmap() });
    const index = queueNames.indexOf(queue);
    memory.bytes.set(hl_cs_chunk.encode({ cb_handle: this.buffer.handle, queue_index: index, cb_size: stream.size }));
    this.#chunks = memory.address;
  }

  /** Has a thread submit them. @param flags HL_CS_FLAGS_* and, with CUSTOM_TIMEOUT, seconds */
  begin(by: Thread, flags = 0, timeout = 0) {
    return this.#begin(by, { chunks_execute: this.#chunks, num_chunks_execute: 1, cs_flags: flags, timeout });
  }

  /** Has a thread submit them as restore chunks of a submission of `main`. */
  beginRestore(by: Thread, main: Prepared) {
    return this.#begin(by, {
      chunks_restore: this.#chunks,
      num_chunks_restore: 1,
      chunks_execute: main.#chunks,
      num_chunks_execute: 1,
      cs_flags: csFlags.HL_CS_FLAGS_FORCE_RESTORE.value,
    });
  }

  #begin(by: Thread, input: Encodable<typeof hl_cs_in>) {
    return begin(this.#t, by, this.#device, DRM_IOCTL_HL_CS, { in: input });
  }
}

/** Work that waits until it is let go (`letGo`). */
export function held(device: Device, queue: QueueName = 'DMA_0_0'): Submission {
  return device.submit({ queue, stream: new CommandStream().fence(0) });
}

export function several<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

/** Lets a queue go on that waits in fence `id`. */
export async function letGo(t: TestContext, device: Device, queue: QueueName, by: QueueName, id = 0): Promise<void> {
  const stream = new CommandStream().write(fenceAddress(queue, id), 1);
  await device.wait(device.submit({ queue: by, stream }), { signal: t.signal });
}

/** Another process with these descriptors; killed when the test ends, if not before. */
export function another(t: TestContext, fds: readonly number[] = []): ProgramProcess {
  return t.use(t.target.driver.process(fds));
}

/** The card in another process, by a descriptor that it has inherited. Closed there when the test ends. */
export function adopted(t: TestContext, process: ProgramProcess, fd: number): Device {
  const device = Device.adopt(process, fd);
  t.use({
    [Symbol.dispose]: () => {
      if (process.alive) device.close();
    },
  });
  return device;
}
