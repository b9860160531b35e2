/** What the suites share: comparing memory, expecting errors. */

import assert from 'node:assert/strict';
import { CommandStream, type Place } from '../../runtime/command-stream.ts';
import type { Device } from '../../runtime/device.ts';
import { HostBuffer } from '../../runtime/memory.ts';
import type { Queue } from '../../runtime/submission.ts';
import type { Random } from '../../sim/random.ts';
import type { Ioctl } from '../../uapi/rows.ts';
import type { Struct } from '../../uapi/struct.ts';
import type { TestContext } from '../suite.ts';

/** Fills with reproducible noise. */
export function fill(bytes: Uint8Array, random: Random): void {
  const whole = bytes.byteOffset % 4 === 0 ? bytes.length & ~3 : 0;
  // one multiplication a word: a slow guest fills 64 MiB with it in seconds
  const words = new Uint32Array(bytes.buffer, whole > 0 ? bytes.byteOffset : 0, whole / 4);
  let state = random.next();
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    words[i] = state;
  }
  for (let i = whole; i < bytes.length; i++) bytes[i] = random.next();
}

/** @throws AssertionError that names the first byte that differs, and how many do. */
export function assertSame(actual: Uint8Array, expected: Uint8Array, what: string): void {
  assert.equal(actual.length, expected.length, `${what}: length`);
  if (Buffer.compare(actual, expected) === 0) return;
  let first = -1;
  let count = 0;
  for (let i = 0; i < actual.length; i++) {
    if (actual[i] === expected[i]) continue;
    if (first < 0) first = i;
    count++;
  }
  if (count === 0) assert.fail(`${what}: written to while it was compared; the work had not ended`);
  const show = (bytes: Uint8Array) => Buffer.from(bytes.subarray(first, first + 16)).toString('hex');
  assert.fail(
    `${what}: ${count} of ${actual.length} bytes differ, first at ${first} (0x${first.toString(16)}): ` +
      `got ${show(actual)}, expected ${show(expected)}`,
  );
}

/** @throws AssertionError unless `body` throws an error with this errno name (one of these, where firmwares differ). */
export function assertErrno(codes: string | readonly string[], body: () => unknown): void {
  try {
    body();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    assert.ok(code !== undefined && [codes].flat().includes(code), `expected ${codes}, but got ${code}: ${message}`);
    return;
  }
  assert.fail(`expected ${codes}, but the call succeeded`);
}

/** Pages of memory that do not begin at 2 MiB: what does is mapped at addresses that do, too (map_device_va in memory.c). */
export function pages(t: TestContext, count: number): { readonly address: bigint; readonly bytes: Uint8Array } {
  const { address, bytes } = t.use(new HostBuffer(t.target.driver, (count + 1) * PAGE));
  const skipped = address % BigInt(2 * MiB) === 0n ? PAGE : 0;
  return { address: address + BigInt(skipped), bytes: bytes.subarray(skipped, skipped + count * PAGE) };
}

const PAGE = 4096;
export const KiB = 1024;
export const MiB = 1024 * 1024;
export const GiB = 1024 * 1024 * 1024;

/** Any ioctl of a row with any argument, also one the runtime would not make. @throws SystemError */
export function call<Out, In>(device: Device, ioctl: Ioctl<Struct<Out, In>>, value: In): Out {
  const argument = ioctl.argument.encode(value);
  device.driver.ioctl(device.fd, ioctl.request, argument);
  return ioctl.argument.decode(argument);
}

/** Submits packets to one queue and waits for their end, at most as long as the test may take. */
export async function run(
  t: TestContext,
  queue: Queue,
  stream: CommandStream,
  device: Device = t.device,
): Promise<void> {
  await device.wait(device.submit({ queue, stream }), { signal: t.signal });
}

/** Copies with a queue that moves down (to the chip) or up (from it). */
export async function copy(t: TestContext, queue: Queue, to: Place, from: Place, size: number): Promise<void> {
  await run(t, queue, new CommandStream().dma(to, from, size));
}
