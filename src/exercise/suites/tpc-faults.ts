/** Kernels that do what no kernel should: what the driver learns of it, and that the card works afterwards. */

import assert from 'node:assert/strict';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Device } from '../../runtime/device.ts';
import { SubmissionTimeoutError } from '../../runtime/errors.ts';
import { Kernel } from '../../runtime/kernel.ts';
import { Tensor } from '../../runtime/tensor.ts';
import type { Declare, TestContext } from '../suite.ts';
import { EVENT, FAULT, told } from './events-lib.ts';
import { KiB, MiB, run } from './lib.ts';
import {
  asNew,
  control,
  KILLING,
  LATE_EVENT,
  REQUESTED,
  recovered,
  resets,
  SLOW,
  writeHardReset,
} from './reset-lib.ts';
import { assertNumbers, kernel } from './tpc-lib.ts';

/** Where the driver has its page tables, in HBM (gaudi.c, mmu_pgt_addr). */
const PAGE_TABLES = 0x1000_0000n;
/** What the driver says of an event, and what a submission is told that takes too long. */
const INTERRUPT = /H\/W interrupt \d+ \["TPC\d_KRN_ERR"\]/;
const CAUSE = /TPC\d_KRN_ERR interrupt cause: tpc_/;
const TOO_LONG = /Command submission \d+ has not finished in \d+ seconds!|has timed-out while user process is waiting/;
const ENGINES = /TPC|Engine|busy|idle|DMA/i;

/** A kernel that faults does so more than once: a reset puts an end to events that the driver has not been told of yet. */
async function ends(t: TestContext, device: Device): Promise<void> {
  t.expectMessages(REQUESTED, LATE_EVENT);
  const node = control(t);
  const before = resets(node);
  device.close();
  writeHardReset(t, '1');
  await recovered(t, node, before);
}

/** The card computes, for a new program. */
async function computes(t: TestContext): Promise<void> {
  await asNew(t);
  using device = t.open(0);
  const [x, y] = [device.allocHost(4 * KiB), device.allocHost(4 * KiB)];
  x.floats.forEach((_, n) => {
    x.floats[n] = n - 500;
  });
  const tensors = [x, y].map((memory) => new Tensor(memory, { type: 'f32', shape: [1024] }));
  await device.launch(kernel('relu'), { tensors, indexSpace: [4], cores: 4, signal: t.signal });
  assertNumbers(y.floats, 1024, (n) => Math.max(n - 500, 0));
}

/** A kernel that does not end: the driver's time limit ends it, by a reset, after which the card computes. */
async function hangs(t: TestContext, program: Kernel): Promise<void> {
  t.expectMessages(TOO_LONG, KILLING, ENGINES);
  const node = control(t);
  const before = resets(node);
  const device = t.open(0);
  const work = device.begin(program, { cores: [1], limit: 1 });
  assert.throws(() => device.waitSync(work.submission, 30_000), SubmissionTimeoutError);
  device.close();
  assert.equal(await recovered(t, node, before), before + 1);
  await computes(t);
}

function pageFault(test: Declare, access: 'read' | 'write'): void {
  test(
    `a kernel that may not ${access} an address is told of; the card goes on`,
    async (t) => {
      t.expectMessages(/page fault/, /RAZWI/, /MMU/, INTERRUPT, CAUSE);
      const device = t.open(0);
      const events = device.notifyEvents();
      const kept = device.allocHost(4 * KiB);
      // what the launch itself needs of the host may be given the start of it
      const gone = device.allocHost(MiB);
      const nowhere = gone.deviceAddress + BigInt(MiB / 2);
      gone[Symbol.dispose]();
      kept.floats.fill(5);
      const place = (address: bigint) => new Tensor(address, { type: 'f32', shape: [256] });
      const [from, to] = access === 'read' ? [nowhere, kept.deviceAddress] : [kept.deviceAddress, nowhere];
      await device.launch(kernel('relu'), { tensors: [place(from), place(to)], signal: t.signal });
      // what could not be read is zero
      if (access === 'read') assertNumbers(kept.floats, 256, () => 0);
      await told(t, events, FAULT);
      assert.equal(device.info.pageFaultEvent()?.addr, nowhere);
      await launchesAgain(t, device);
      await ends(t, device);
    },
    SLOW,
  );
}

async function launchesAgain(t: TestContext, device: Device): Promise<void> {
  const memory = device.allocHost(4 * KiB);
  memory.floats.fill(-1);
  const tensor = new Tensor(memory, { type: 'f32', shape: [1024] });
  await device.launch(kernel('relu'), { tensors: [tensor, tensor], indexSpace: [4], cores: 8, signal: t.signal });
  assertNumbers(memory.floats, 1024, () => 0);
}

export function faults(test: Declare): void {
  pageFault(test, 'read');
  pageFault(test, 'write');

  test(
    'a kernel cannot write to memory that is the driver’s',
    async (t) => {
      t.expectMessages(/RAZWI/, /H\/W interrupt/, CAUSE);
      const device = t.open(0);
      const events = device.notifyEvents();
      const kept = device.allocHost(4 * KiB);
      const options = { type: 'f32', shape: [256] } as const;
      // the page tables: were they lost, nothing would be translated any more
      await device.launch(kernel('relu'), {
        tensors: [new Tensor(kept, options), new Tensor(PAGE_TABLES, options)],
        signal: t.signal,
      });
      await told(t, events, FAULT & ~EVENT.HL_NOTIFIER_EVENT_PAGE_FAULT);
      await launchesAgain(t, device);
      await ends(t, device);
    },
    SLOW,
  );

  test(
    'an illegal instruction is told of, and ends with a reset',
    async (t) => {
      t.expectMessages(INTERRUPT, /interrupt cause: tpc_illegal_instruction/, /TPC bundle 0x/);
      await hangs(t, new Kernel(new Uint8Array(128).fill(0xff), { name: 'illegal' }));
    },
    SLOW,
  );

  test(
    'an address beyond local memory is told of, and ends with a reset',
    async (t) => {
      t.expectMessages(INTERRUPT, /interrupt cause: tpc_address_exceed_slm/, /TPC bundle 0x/);
      await hangs(t, kernel('beyond'));
    },
    SLOW,
  );

  test('an endless loop is ended by the driver', (t) => hangs(t, kernel('endless')), SLOW);

  test('a program that counts for ever is ended by the driver', (t) => hangs(t, kernel('counting')), SLOW);

  test(
    'a core that hangs does not hold up the others, nor DMA',
    async (t) => {
      t.expectMessages(KILLING, ENGINES);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      const stuck = device.begin(kernel('endless'), { cores: [0] });
      const memory = device.allocHost(4 * KiB);
      memory.floats.fill(-1);
      const tensor = new Tensor(memory, { type: 'f32', shape: [1024] });
      const cores = [1, 2, 3, 4, 5, 6, 7] as const;
      await device.launch(kernel('relu'), {
        tensors: [tensor, tensor],
        indexSpace: [4],
        cores,
        queue: 'DMA_1_2',
        signal: t.signal,
      });
      assertNumbers(memory.floats, 1024, () => 0);
      await run(t, 'DMA_0_0', new CommandStream().memset(memory, 3n, 8), device);
      assert.equal(memory.words[0], 3);
      assert.equal(device.poll(stuck.submission), undefined);
      device.close();
      assert.equal(await recovered(t, node, before), before + 1);
    },
    SLOW,
  );

  test(
    'a card that is closed in the middle of a kernel computes for the next program',
    async (t) => {
      t.expectMessages(KILLING, ENGINES);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      device.begin(kernel('endless'), { cores: 3, indexSpace: [3] });
      await run(t, 'DMA_0_0', new CommandStream().nop(), device);
      device.close();
      await recovered(t, node, before);
      await computes(t);
    },
    SLOW,
  );
}
