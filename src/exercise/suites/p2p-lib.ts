/** What the tests of network cards share: both sides of a transfer, and what it moved. */

import assert from 'node:assert/strict';
import type { Driver } from '../../driver/driver.ts';
import type { Device } from '../../runtime/device.ts';
import type { WorkCompletion, WorkStatus } from '../../runtime/verbs/completion.ts';
import type { CompletionQueue, CompletionQueueOptions } from '../../runtime/verbs/completion-queue.ts';
import { RdmaContext } from '../../runtime/verbs/device.ts';
import type {
  DmaBufRegistration,
  HostRegion,
  MemoryRegion,
  ProtectionDomain,
} from '../../runtime/verbs/protection-domain.ts';
import type { QueuePair, QueuePairOptions, Target } from '../../runtime/verbs/queue-pair.ts';
import type { TestContext } from '../suite.ts';
import { movedBetween } from '../traffic.ts';
import { assertSame, fill, KiB } from './lib.ts';

export const QKEY = 0x1111;
/** Milliseconds: a slow guest may take as long as the test may. */
const PATIENCE = 50_000;

/** A network card with what a transfer needs. */
export interface Side {
  readonly t: TestContext;
  /** Which card, as the machine counts them. */
  readonly index: number;
  readonly nic: RdmaContext;
  readonly pd: ProtectionDomain;
  readonly cq: CompletionQueue;
  readonly qp: QueuePair;
}

export interface SideOptions extends Omit<QueuePairOptions, 'sendCq' | 'receiveCq'> {
  readonly driver?: Driver;
  readonly cq?: CompletionQueueOptions;
}

/** Opens a network card and makes a queue pair that is ready. All of it goes with the test, or with the process. */
export function side(t: TestContext, index = 0, options: SideOptions = {}): Side {
  const { driver, cq: queue, ...pair } = options;
  const nic = driver
    ? RdmaContext.open({ driver, index })
    : t.use(RdmaContext.open({ driver: t.target.driver, index }));
  const pd = nic.allocatePd();
  const cq = nic.createCq(queue);
  const qp = pd.createQueuePair({ sendCq: cq, ...pair });
  qp.activate(QKEY);
  return { t, index, nic, pd, cq, qp };
}

/** How one side reaches another, or itself. Both know each other's address: a NIC serves only peers that it knows. */
export function reach(from: Side, to: Side = from): Target {
  if (to !== from) to.pd.createAddressHandle(from.nic.address());
  return { ah: from.pd.createAddressHandle(to.nic.address()), qp: to.qp.number, qkey: QKEY };
}

/** Memory of the program that a network card reaches, filled with noise. */
export function hostRegion({ t, pd }: Pick<Side, 't' | 'pd'>, length: number): HostRegion {
  const region = pd.allocate(length);
  fill(region.bytes, t.random);
  return region;
}

/** Memory of an accelerator that a network card reaches. */
export interface CardRegion {
  readonly device: Device;
  readonly region: MemoryRegion;
  /** Address in the accelerator's memory of the first byte of the region. */
  readonly at: bigint;
}

/** @param offset bytes from the start of the memory that belongs to user space */
export function cardRegion(
  side: Pick<Side, 't' | 'pd'>,
  device: Device,
  length: number,
  offset = 0,
  registration: DmaBufRegistration = {},
): CardRegion {
  const base = device.dram.base + BigInt(offset);
  const into = Number(registration.offset ?? 0);
  const whole = Math.ceil((into + length) / (4 * KiB)) * 4 * KiB;
  using buffer = device.exportDmaBuf(base, whole);
  return {
    device,
    region: side.pd.registerDmaBuf(buffer.fd, length, registration),
    at: base + BigInt(into),
  };
}

/** Waits for completions that must be successes. */
export function finished({ cq }: Pick<Side, 'cq'>, count = 1): WorkCompletion[] {
  return cq.expect(count, PATIENCE);
}

/** Waits for completions, whatever they tell. */
export function ended({ cq }: Pick<Side, 'cq'>, count = 1): WorkCompletion[] {
  return cq.take(count, PATIENCE);
}

/** Waits for completions. @returns their statuses by the identities of work */
export function outcomes(nic: Pick<Side, 'cq'>, count: number): [number, WorkStatus][] {
  return ended(nic, count)
    .map(({ id, status }): [number, WorkStatus] => [id, status])
    .sort(([a], [b]) => a - b);
}

/** Bytes that are moved for work itself: work requests, completions, events. */
const OVERHEAD = 64 * KiB;

interface Expected {
  /** Names as the machine has them, e.g. `efa0`. */
  readonly from: string;
  readonly to: string;
  readonly read?: number;
  readonly written?: number;
}

/**
 * Runs `body` and asserts what devices moved to and from each other meanwhile, to the byte and across the switch, and that they
 * moved no more than `host` bytes to and from memory of the host. Where nobody counts only runs it.
 */
export async function assertMoved(
  t: TestContext,
  body: () => void | Promise<void>,
  expected: readonly Expected[],
  host = 0,
): Promise<void> {
  const before = await t.target.traffic?.();
  await body();
  const after = await t.target.traffic?.();
  if (!before || !after) return;
  const moved = movedBetween(before, after);
  const peers = moved.filter(({ to }) => to !== 'host');
  const key = ({ from, to }: { from: string; to: string }) => `${from} ${to}`;
  assert.deepEqual(
    peers.sort((a, b) => key(a).localeCompare(key(b))),
    expected
      .map(({ from, to, read = 0, written = 0 }) => ({ from, to, route: 'switch', read, written }))
      .sort((a, b) => key(a).localeCompare(key(b))),
    'between devices',
  );
  const through = moved.filter(({ to }) => to === 'host').reduce((sum, { read, written }) => sum + read + written, 0);
  assert.ok(
    through >= host && through < host + OVERHEAD,
    `${through} bytes went to and from memory of the host, where ${host} are expected`,
  );
}

export function noiseOf(t: TestContext, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  fill(bytes, t.random);
  return bytes;
}

export function assertBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  assertSame(actual.slice(), expected, what);
}
