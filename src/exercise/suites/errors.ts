import assert from 'node:assert/strict';
import type { PacketName } from '../../../specs/gaudi-qman.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Device } from '../../runtime/device.ts';
import { type Queue, queueNumber } from '../../runtime/submission.ts';
import { csConstants, csFlags, DRM_IOCTL_HL_CS, hl_cs_chunk, type hl_cs_in } from '../../uapi/habanalabs/cs.ts';
import { gaudiConstants } from '../../uapi/habanalabs/gaudi.ts';
import { DRM_IOCTL_HL_WAIT_CS, type hl_wait_cs_in, waitFlags, waitStatus } from '../../uapi/habanalabs/wait-cs.ts';
import { values } from '../../uapi/rows.ts';
import type { Encodable } from '../../uapi/struct.ts';
import { type Declare, suite, type TestContext } from '../suite.ts';
import { assertErrno, call, KiB, run } from './lib.ts';

const CS = values(csFlags);
const QUEUE = 'DMA_0_0';
const MAX_CHUNKS = csConstants.HL_MAX_JOBS_PER_CS.value;
/** A number beyond the last queue (gaudi_queue_id, GAUDI_QUEUE_ID_SIZE). */
const NO_QUEUE = 113;
/** An address at which no program has memory. */
const NOWHERE = 0x10n;

/** Chunks in memory of the program, as CS takes them. @returns their address. */
function chunks(t: TestContext, ...rows: Encodable<typeof hl_cs_chunk>[]): bigint {
  const memory = t.target.driver.allocate(Math.max(rows.length, 1) * hl_cs_chunk.size);
  t.use({ [Symbol.dispose]: () => memory.unmap() });
  rows.forEach((row, i) => {
    hl_cs_chunk.encodeInto(memory.bytes, i * hl_cs_chunk.size, row);
  });
  return memory.address;
}

/** The card still does what it is asked to. */
async function works(t: TestContext): Promise<void> {
  const host = t.use(t.device.allocHost(4 * KiB));
  await run(t, QUEUE, new CommandStream().memset(host, 0x0102_0304_0506_0708n, 8));
  assert.equal(host.view.getBigUint64(0, true), 0x0102_0304_0506_0708n);
}

/** Packets of which the second is refused: nothing of the buffer may be executed, and the card goes on. */
async function refuses(t: TestContext, code: string, log: RegExp, bad: CommandStream): Promise<void> {
  t.expectMessages(log, /Failed to parse JOB .*, rejecting the CS/);
  const host = t.use(t.device.allocHost(4 * KiB));
  const before = t.device.info.csCounters();
  const stream = new CommandStream().memset(host, 0xffn, 8).raw(bad.bytes);
  assertErrno(code, () => t.device.submit({ queue: QUEUE, stream }));
  const after = t.device.info.csCounters();
  assert.equal(after.total_parsing_drop_cnt, before.total_parsing_drop_cnt + 1n, 'refusals that are counted');
  assert.equal(after.ctx_parsing_drop_cnt, before.ctx_parsing_drop_cnt + 1n, 'refusals of this program');
  await works(t);
  assert.equal(host.words[0], 0, 'what came before the refused packet was executed');
}

/** [packet, how it looks]: those that external queues do not take from programs (gaudi.c, gaudi_validate_cb). */
const forbidden: readonly [PacketName, CommandStream][] = [
  ['MSG_PROT', new CommandStream().packet('MSG_PROT', { addr: 0x1000n, value: 0 })],
  ['CP_DMA', new CommandStream().execute(0x2000_0000, 64)],
  ['STOP', new CommandStream().packet('STOP', {})],
  ['WREG_BULK', new CommandStream().packet('WREG_BULK', { reg_offset: 0x14, size64: 1, values: [1, 2] })],
];

function packets(test: Declare): void {
  for (const [name, stream] of forbidden) {
    test(`${name} is refused in command buffers of programs`, (t) =>
      refuses(t, 'EPERM', new RegExp(`User not allowed to use ${name}`), stream));
  }

  test('LOAD_AND_EXE of scalars is refused in command buffers of programs', (t) =>
    refuses(
      t,
      'EPERM',
      /User not allowed to use Load and Execute/,
      new CommandStream().packet('LOAD_AND_EXE', { dst: 1, load: true, exe: true, src: 0x2000_0000n }),
    ));

  test('WAIT is refused in command buffers of programs', (t) =>
    refuses(t, 'EINVAL', /Invalid packet header/, new CommandStream().packet('WAIT', { id: 0, inc: 1, cycles: 1 })));

  for (const opcode of [0, 0xe, 0x10, 0x1f]) {
    test(`opcode 0x${opcode.toString(16)} is no packet`, (t) =>
      refuses(t, 'EINVAL', /Invalid packet id/, new CommandStream().raw(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, opcode))));
  }

  test('a packet must end within the command buffer', (t) => {
    const whole = new CommandStream().write(0x2000_0000, 1).bytes;
    return refuses(t, 'EINVAL', /is out of CB boundary/, new CommandStream().raw(whole.slice(0, 8)));
  });
}

function queues(test: Declare): void {
  test('a queue that does not exist is refused', async (t) => {
    t.expectMessages(/Queue index -?\d+ is invalid/);
    const stream = new CommandStream().nop();
    for (const queue of [NO_QUEUE, 1000, 0xffff_ffff]) {
      assertErrno('EINVAL', () => t.device.submit({ queue, stream }));
      assertErrno('EINVAL', () => t.device.signal(queue));
    }
    await works(t);
  });

  test('the queue of the firmware is the driver’s', async (t) => {
    t.expectMessages(/Queue index 8 is restricted for the kernel driver/);
    assertErrno('EINVAL', () => t.device.submit({ queue: 'CPU_PQ', stream: new CommandStream().nop() }));
    await works(t);
  });

  test('queues of disabled ports are refused', async (t) => {
    t.expectMessages(/h\/w queue \d+ is disabled/, /Failed to parse JOB/);
    const host = t.use(t.device.allocHost(4 * KiB));
    for (const queue of ['NIC_0_0', 'NIC_9_3'] as const) {
      const work = [{ queue, place: host, size: 64 }, { queue: QUEUE, stream: new CommandStream().nop() } as const];
      assertErrno('EINVAL', () => t.device.submit(work));
    }
    await works(t);
  });

  test('work for internal queues only is refused: nobody would learn of its end', async (t) => {
    t.expectMessages(/contains only internal queues jobs and needs completion/);
    const host = t.use(t.device.allocHost(4 * KiB));
    assertErrno('EINVAL', () => t.device.submit({ queue: 'DMA_2_0', place: host, size: 64 }));
    await works(t);
  });

  test('packets of an internal queue must lie in memory of programs', async (t) => {
    t.expectMessages(/CB address .* for internal QMAN is not valid/, /Failed to parse JOB/);
    const { sram, dram } = t.device;
    const reserved = BigInt(gaudiConstants.GAUDI_DRIVER_SRAM_RESERVED_SIZE_FROM_START.value);
    const places = [
      0n,
      dram.base - 64n,
      dram.base + dram.size - 32n,
      dram.base + dram.size,
      sram.base - reserved,
      sram.base - 64n,
      sram.base + sram.size - 32n,
      0xffff_ffff_ffff_ffc0n,
    ];
    // and there must be some
    for (const [place, size] of [...places.map((place) => [place, 64] as const), [dram.base, 0] as const]) {
      const work = [
        { queue: 'DMA_2_0', place, size },
        { queue: QUEUE, stream: new CommandStream().nop() },
      ] as const;
      assertErrno('EFAULT', () => t.device.submit(work));
    }
    await works(t);
  });

  test('internal queues, and the firmware’s, cannot signal or wait', (t) => {
    t.expectMessages(/does not support sync stream operations/);
    for (const queue of ['DMA_2_0', 'TPC_0_0', 'CPU_PQ'] as const) {
      assertErrno('EINVAL', () => t.device.signal(queue));
      assertErrno('EINVAL', () => t.device.reserveSignals(queue, 1));
    }
  });
}

function buffers(test: Declare): void {
  test('a command buffer that does not exist is refused', async (t) => {
    t.expectMessages(/CB handle 0x[0-9a-f]+ invalid|handle/);
    for (const handle of [0n, 0x123_4567n, 0xffff_ffff_ffff_ffffn]) {
      const chunks_execute = chunks(t, { cb_handle: handle, queue_index: queueNumber(QUEUE), cb_size: 64 });
      assertErrno('EINVAL', () =>
        call(t.device, DRM_IOCTL_HL_CS, { in: { chunks_execute, num_chunks_execute: 1, cs_flags: 0 } }),
      );
    }
    await works(t);
  });

  test('a command buffer that was destroyed is refused', (t) => {
    t.expectMessages(/CB handle 0x[0-9a-f]+ invalid|handle/);
    const buffer = t.device.createCb(4 * KiB);
    buffer.bytes.set(new CommandStream().nop().bytes);
    buffer[Symbol.dispose]();
    assertErrno('EINVAL', () => t.device.submit({ queue: QUEUE, buffer, size: 8 }));
  });

  test('a size below a packet or above the buffer is refused', async (t) => {
    t.expectMessages(/CB size \d+ invalid/);
    const buffer = t.use(t.device.createCb(4 * KiB));
    for (let i = 0; i < 4 * KiB; i += 8) buffer.bytes.set(new CommandStream().nop().bytes, i);
    for (const size of [0, 1, 7, 4 * KiB + 1, 0x7fff_ffff, 0xffff_ffff]) {
      assertErrno('EINVAL', () => t.device.submit({ queue: QUEUE, buffer, size }));
    }
    await t.device.wait(t.device.submit({ queue: QUEUE, buffer }), { signal: t.signal });
  });

  test('a size that is no multiple of a packet’s is refused', (t) => {
    t.expectMessages(/Invalid packet id 0/, /Failed to parse JOB/);
    const buffer = t.use(t.device.createCb(4 * KiB));
    buffer.bytes.set(new CommandStream().nop().nop().bytes);
    for (const size of [9, 12, 15]) assertErrno('EINVAL', () => t.device.submit({ queue: QUEUE, buffer, size }));
  });

  test('one bad chunk refuses all of a submission', async (t) => {
    t.expectMessages(/User not allowed to use STOP/, /Failed to parse JOB/);
    const host = t.use(t.device.allocHost(4 * KiB));
    const good = { queue: 'DMA_1_0', stream: new CommandStream().memset(host, 1n, 8) } as const;
    const bad = { queue: QUEUE, stream: new CommandStream().packet('STOP', {}) } as const;
    assertErrno('EPERM', () => t.device.submit([good, good, bad, good]));
    await works(t);
    assert.equal(host.words[0], 0, 'the good chunks were executed');
  });
}

function restores(test: Declare): void {
  test('bad restore chunks refuse the submission', async (t) => {
    t.expectMessages(/User not allowed to use STOP/, /Failed to parse JOB/, /Failed to submit restore CS for context/);
    const host = t.use(t.device.allocHost(4 * KiB));
    const restore = [{ queue: QUEUE, stream: new CommandStream().packet('STOP', {}) }] as const;
    const good = { queue: QUEUE, stream: new CommandStream().memset(host, 1n, 8) } as const;
    assertErrno('EPERM', () => t.device.submit(good, { restore, forceRestore: true }));
    await works(t);
    assert.equal(host.words[0], 0);
  });

  test('restore chunks that are no memory refuse the submission', (t) => {
    t.expectMessages(/Failed to copy cs chunk array from user/, /Failed to submit restore CS for context/);
    const chunks_execute = chunks(t, nopChunk(t));
    const cs_flags = CS.HL_CS_FLAGS_FORCE_RESTORE;
    const input = { chunks_execute, num_chunks_execute: 1, cs_flags };
    assertErrno('EFAULT', () => submitRaw(t.device, { ...input, chunks_restore: NOWHERE, num_chunks_restore: 1 }));
    // none is no reason to refuse
    t.device.waitSync(submitRaw(t.device, input).seq, 30_000);
  });
}

/** A submission with one NOP. */
function nopChunk(t: TestContext): Encodable<typeof hl_cs_chunk> {
  const buffer = t.use(t.device.createCb(4 * KiB));
  buffer.bytes.set(new CommandStream().nop().bytes);
  return { cb_handle: buffer.handle, queue_index: queueNumber(QUEUE), cb_size: 8 };
}

function submitRaw(device: Device, input: Encodable<typeof hl_cs_in>) {
  return call(device, DRM_IOCTL_HL_CS, { in: input }).out;
}

function submissions(test: Declare): void {
  test('a submission without chunks is refused', (t) => {
    t.expectMessages(/Got execute CS with 0 chunks/);
    assertErrno('EINVAL', () => t.device.submit([]));
  });

  test('more than 512 chunks are refused', (t) => {
    t.expectMessages(/Number of chunks can NOT be larger than 512/);
    const chunks_execute = chunks(t, nopChunk(t));
    for (const num_chunks_execute of [MAX_CHUNKS + 1, 0x400_0000, 0xffff_ffff]) {
      assertErrno('EINVAL', () => submitRaw(t.device, { chunks_execute, num_chunks_execute, cs_flags: 0 }));
    }
  });

  test('chunks that are no memory are refused', async (t) => {
    t.expectMessages(/Failed to copy cs chunk array from user/);
    for (const chunks_execute of [0n, NOWHERE, 0xffff_8000_0000_0000n]) {
      assertErrno('EFAULT', () => submitRaw(t.device, { chunks_execute, num_chunks_execute: 1, cs_flags: 0 }));
    }
    await works(t);
  });

  test('chunks that end beyond the memory are refused', (t) => {
    t.expectMessages(/Failed to copy cs chunk array from user/);
    const memory = t.target.driver.allocate(4 * KiB);
    memory.unmap();
    const chunks_execute = memory.address;
    assertErrno('EFAULT', () => submitRaw(t.device, { chunks_execute, num_chunks_execute: 64, cs_flags: 0 }));
  });

  test('padding of a submission must be zero', (t) => {
    const chunks_execute = chunks(t, nopChunk(t));
    for (let i = 0; i < 4; i++) {
      const pad = new Uint8Array(4);
      pad[i] = 1;
      assertErrno('EINVAL', () => submitRaw(t.device, { chunks_execute, num_chunks_execute: 1, cs_flags: 0, pad }));
    }
  });

  test('a submission is of one kind', (t) => {
    t.expectMessages(/CS type flags are mutually exclusive/);
    const chunks_execute = chunks(t, nopChunk(t));
    const kinds = [
      CS.HL_CS_FLAGS_SIGNAL,
      CS.HL_CS_FLAGS_WAIT,
      CS.HL_CS_FLAGS_COLLECTIVE_WAIT,
      CS.HL_CS_FLAGS_RESERVE_SIGNALS_ONLY,
      CS.HL_CS_FLAGS_UNRESERVE_SIGNALS_ONLY,
      CS.HL_CS_FLAGS_ENGINE_CORE_COMMAND,
      CS.HL_CS_FLAGS_ENGINES_COMMAND,
      CS.HL_CS_FLAGS_FLUSH_PCI_HBW_WRITES,
    ];
    for (const a of kinds) {
      for (const b of kinds) {
        if (a === b) continue;
        assertErrno('EINVAL', () => submitRaw(t.device, { chunks_execute, num_chunks_execute: 1, cs_flags: a | b }));
      }
    }
  });

  test('signals and waits take one chunk', (t) => {
    t.expectMessages(/Sync stream CS mandates one chunk only/);
    const chunks_execute = chunks(t, nopChunk(t), nopChunk(t));
    for (const cs_flags of [CS.HL_CS_FLAGS_SIGNAL, CS.HL_CS_FLAGS_WAIT, CS.HL_CS_FLAGS_COLLECTIVE_WAIT]) {
      for (const num_chunks_execute of [0, 2]) {
        assertErrno('EINVAL', () => submitRaw(t.device, { chunks_execute, num_chunks_execute, cs_flags }));
      }
    }
  });

  test('commands to engines are for other chips', (t) => {
    const engines = chunks(t, {});
    const core = { engine_cores: engines, num_engine_cores: 1, core_command: 1 };
    const engine = { engines, num_engines: 1, engine_command: 3 };
    assertErrno('EPERM', () => submitRaw(t.device, { ...core, cs_flags: CS.HL_CS_FLAGS_ENGINE_CORE_COMMAND }));
    assertErrno('EPERM', () => submitRaw(t.device, { ...engine, cs_flags: CS.HL_CS_FLAGS_ENGINES_COMMAND }));
  });

  test('flushing posted writes needs no work', (t) => {
    submitRaw(t.device, { cs_flags: CS.HL_CS_FLAGS_FLUSH_PCI_HBW_WRITES });
  });
}

function waitRaw(device: Device, input: Encodable<typeof hl_wait_cs_in>) {
  return call(device, DRM_IOCTL_HL_WAIT_CS, { in: input }).out;
}

/** Sequence numbers in memory of the program. @returns their address. */
function sequences(t: TestContext, ...list: bigint[]): bigint {
  const memory = t.target.driver.allocate(4 * KiB);
  t.use({ [Symbol.dispose]: () => memory.unmap() });
  new BigUint64Array(memory.bytes.buffer, memory.bytes.byteOffset, list.length).set(list);
  return memory.address;
}

function waits(test: Declare): void {
  const MULTI = waitFlags.HL_WAIT_CS_FLAGS_MULTI_CS.value;

  test('waiting for what was not submitted yet is refused', async (t) => {
    await works(t);
    const { sequence } = t.device.submit({ queue: QUEUE, stream: new CommandStream().nop() });
    await t.device.wait(sequence, { signal: t.signal });
    for (const seq of [sequence + 1n, sequence + 1000n, 0xffff_ffff_ffff_ffffn]) {
      assertErrno('EINVAL', () => t.device.poll(seq));
    }
  });

  test('what came before the first submission has ended and is gone', async (t) => {
    await works(t);
    assert.deepEqual(t.device.poll(0n), { gone: true, timestamp: undefined });
  });

  test('more than 32 cannot be waited for at once', async (t) => {
    t.expectMessages(/Can wait only up to 32 CSs, input sequence is of length \d+/);
    const { sequence } = t.device.submit({ queue: QUEUE, stream: new CommandStream().nop() });
    await t.device.wait(sequence, { signal: t.signal });
    const seq = sequences(t, ...Array.from({ length: 255 }, () => sequence));
    for (const seq_arr_len of [33, 255]) {
      assertErrno('EINVAL', () => waitRaw(t.device, { seq, seq_arr_len, timeout_us: 0n, flags: MULTI }));
    }
    const { status, cs_completion_map } = waitRaw(t.device, { seq, seq_arr_len: 32, timeout_us: 0n, flags: MULTI });
    assert.equal(status, waitStatus.HL_WAIT_CS_STATUS_COMPLETED.value);
    assert.equal(cs_completion_map, 0xffff_ffff);
  });

  test('waiting for one of none finds it busy', (t) => {
    const seq = sequences(t);
    const { status } = waitRaw(t.device, { seq, seq_arr_len: 0, timeout_us: 0n, flags: MULTI });
    assert.equal(status, waitStatus.HL_WAIT_CS_STATUS_BUSY.value);
  });

  test('one sequence number of the future refuses a wait for several', async (t) => {
    t.expectMessages(/Failed to get fence for CS with seq/);
    const { sequence } = t.device.submit({ queue: QUEUE, stream: new CommandStream().nop() });
    await t.device.wait(sequence, { signal: t.signal });
    const seq = sequences(t, sequence, sequence + 1n);
    assertErrno('EINVAL', () => waitRaw(t.device, { seq, seq_arr_len: 2, timeout_us: 0n, flags: MULTI }));
  });

  test('sequence numbers that are no memory are refused', (t) => {
    t.expectMessages(/Failed to copy multi-cs sequence array from user/);
    const ask = { seq: NOWHERE, seq_arr_len: 1, timeout_us: 0n, flags: MULTI };
    assertErrno('EFAULT', () => waitRaw(t.device, ask));
  });

  test('padding of a wait for several must be zero', (t) => {
    const seq = sequences(t, 0n);
    const pad = Uint8Array.of(0, 0, 0, 0, 0, 0, 1);
    assertErrno('EINVAL', () => waitRaw(t.device, { seq, seq_arr_len: 1, timeout_us: 0n, flags: MULTI, pad }));
  });

  test('interrupts for programs are for other chips', (t) => {
    t.expectMessages(/no user interrupts allowed/);
    const { HL_WAIT_CS_FLAGS_INTERRUPT, HL_WAIT_CS_FLAGS_INTERRUPT_KERNEL_CQ, HL_WAIT_CS_FLAGS_REGISTER_INTERRUPT } =
      values(waitFlags);
    const kinds = [0, HL_WAIT_CS_FLAGS_INTERRUPT_KERNEL_CQ, HL_WAIT_CS_FLAGS_REGISTER_INTERRUPT, 0xfff0_0000];
    for (const kind of kinds) {
      const flags = (HL_WAIT_CS_FLAGS_INTERRUPT | kind) >>> 0;
      assertErrno('EPERM', () => waitRaw(t.device, { addr: 0n, target: 0n, interrupt_timeout_us: 0n, flags }));
    }
  });
}

function signals(test: Declare): void {
  test('waiting for a signal that is none is refused', async (t) => {
    t.expectMessages(/is not of a signal\/encaps-signal CS/);
    const work = t.device.submit({ queue: QUEUE, stream: new CommandStream().nop() });
    await t.device.wait(work, { signal: t.signal });
    assertErrno('EINVAL', () => t.device.waitForSignal('DMA_1_0', { ...work, sobOffset: 0 }));
  });

  test('waiting for a signal of the future is refused', async (t) => {
    t.expectMessages(/Failed to get signal CS with seq/);
    const signal = t.device.signal(QUEUE);
    await t.device.wait(signal, { signal: t.signal });
    const future = { ...signal, sequence: signal.sequence + 1n };
    assertErrno('EINVAL', () => t.device.waitForSignal('DMA_1_0', future));
  });

  test('a wait takes exactly one signal', (t) => {
    t.expectMessages(/Wait for signal CS supports only one signal CS seq/);
    const queue_index = queueNumber('DMA_1_0');
    for (const num_signal_seq_arr of [0, 2, 0xffff_ffff]) {
      const chunks_execute = chunks(t, { signal_seq_arr: sequences(t, 1n, 1n), queue_index, num_signal_seq_arr });
      const cs_flags = CS.HL_CS_FLAGS_WAIT;
      assertErrno('EINVAL', () => submitRaw(t.device, { chunks_execute, num_chunks_execute: 1, cs_flags }));
    }
  });

  test('chunks of signals and waits that are no memory are refused', (t) => {
    t.expectMessages(/Failed to copy cs chunk array from user/);
    for (const cs_flags of [CS.HL_CS_FLAGS_SIGNAL, CS.HL_CS_FLAGS_WAIT, CS.HL_CS_FLAGS_COLLECTIVE_WAIT]) {
      const input = { chunks_execute: NOWHERE, num_chunks_execute: 1, cs_flags };
      assertErrno('EFAULT', () => submitRaw(t.device, input));
    }
  });

  test('a signal’s sequence number that is no memory is refused', (t) => {
    t.expectMessages(/Failed to copy signal seq array from user/);
    const queue_index = queueNumber('DMA_1_0');
    const chunks_execute = chunks(t, { signal_seq_arr: NOWHERE, queue_index, num_signal_seq_arr: 1 });
    const cs_flags = CS.HL_CS_FLAGS_WAIT;
    assertErrno('EFAULT', () => submitRaw(t.device, { chunks_execute, num_chunks_execute: 1, cs_flags }));
  });

  test('collective waits are refused while the ports are disabled', async (t) => {
    t.expectMessages(/Collective operations not supported when NIC ports are disabled/);
    const signal = t.device.signal(QUEUE);
    await t.device.wait(signal, { signal: t.signal });
    assertErrno('EINVAL', () => t.device.collectiveWait('DMA_1_0', signal, 0));
  });

  test('more signals than a sync object can count cannot be reserved', (t) => {
    t.expectMessages(/exceeds the max SOB value/);
    for (const count of [0x8000, 0xffff_ffff]) assertErrno('EINVAL', () => t.device.reserveSignals(QUEUE, count));
  });

  test('signals of a queue that does not exist cannot be reserved', (t) => {
    t.expectMessages(/Queue index -?\d+ is invalid/);
    assertErrno('EINVAL', () => t.device.reserveSignals(NO_QUEUE, 1));
  });

  test('a reservation is given back once', (t) => {
    t.expectMessages(/failed to unreserve signals, cannot find handler/);
    const reservation = t.device.reserveSignals(QUEUE, 3);
    t.device.unreserveSignals(reservation);
    assertErrno('EINVAL', () => t.device.unreserveSignals(reservation));
    assertErrno('EINVAL', () => t.device.unreserveSignals({ ...reservation, handle: 12345 }));
  });

  test('the last reservation of a queue must be given back first', (t) => {
    t.expectMessages(/Cannot unreserve signals, SOB val ran out of sync/);
    const [first, second] = [t.device.reserveSignals(QUEUE, 3), t.device.reserveSignals(QUEUE, 5)];
    assertErrno('EINVAL', () => t.device.unreserveSignals(first));
    t.device.unreserveSignals(second);
    t.device.unreserveSignals(first);
  });
}

function staged(test: Declare): void {
  test('a later part needs a first one', async (t) => {
    t.expectMessages(/Cannot find staged submission sequence/, /Failed to submit CS .* to H\/W queues, error -22/);
    const part = { queue: QUEUE as Queue, stream: new CommandStream().nop() };
    const nobody = { sequence: 77n, signalsBefore: 0 };
    assertErrno('EINVAL', () => t.device.submit(part, { staged: nobody, last: true }));
    await works(t);
  });

  test('signals that were not reserved cannot be encapsulated', async (t) => {
    t.expectMessages(/encaps handle id\(\d+\) wasn't found/, /Failed to submit CS .* to H\/W queues, error -22/);
    const part = { queue: QUEUE as Queue, stream: new CommandStream().nop() };
    const signals = { handle: 4711, count: 1, value: 1, sobOffset: 0 };
    assertErrno('EINVAL', () => t.device.submit(part, { staged: 'first', last: true, signals }));
    await works(t);
  });
}

export const errors = suite(
  'errors',
  'What the driver refuses, with which errno; and that the card goes on.',
  (test) => {
    packets(test);
    queues(test);
    buffers(test);
    submissions(test);
    restores(test);
    waits(test);
    signals(test);
    staged(test);
  },
);
