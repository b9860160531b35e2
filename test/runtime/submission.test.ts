import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandStream } from '../../src/runtime/command-stream.ts';
import {
  InvalidArgumentError,
  NotPermittedError,
  QueueFullError,
  SubmissionAbortedError,
  SubmissionTimeoutError,
  WaitTimeoutError,
} from '../../src/runtime/errors.ts';
import { hl_cs_chunk } from '../../src/uapi/habanalabs/cs.ts';
import { hl_wait_cs_args } from '../../src/uapi/habanalabs/wait-cs.ts';
import { type Answer, type FakeDriver, refuse } from './fake-driver.ts';
import { assertGolden, CB, CS, MEMORY, open, reply, WAIT } from './lib.ts';

/** The chunks that a CS argument points to, at the time of the call. */
function watchChunks(driver: FakeDriver, answer: Answer = reply('submitted')): Uint8Array[] {
  const seen: Uint8Array[] = [];
  driver.on(CS, (argument, request) => {
    const view = new DataView(request.bytes.buffer);
    const counts = [view.getUint32(24, true), view.getUint32(28, true)];
    [0, 8].forEach((offset, i) => {
      const address = view.getBigUint64(offset, true);
      const size = hl_cs_chunk.size;
      for (let n = 0; n < (counts[i] as number); n++) seen.push(driver.at(address + BigInt(n * size), size).slice());
    });
    return answer(argument, request);
  });
  return seen;
}

const dma = () => new CommandStream().dma(0x7f_f000_0080n, 0x1_0000_0000_0000n, 4096);

test('a refused submission leaves no command buffer behind', () => {
  const { driver, device } = open();
  driver.on(CB, reply('cbCreated')).on(CS, () => refuse('EPERM'));
  assert.throws(() => device.submit({ queue: 'DMA_1_2', stream: dma() }), NotPermittedError);
  assertGolden(driver.asked(CB).at(-1), 'cbDestroy');
  device.close();
  assert.equal(driver.memory.size, 0);
});

test('nothing is submitted when a command buffer cannot be made', () => {
  const { driver, device } = open();
  driver.on(CB, reply('cbCreated'), () => refuse('ENOMEM'), reply('cbDestroy'));
  const work = [
    { queue: 'DMA_0_0', stream: dma() },
    { queue: 'DMA_0_1', stream: dma() },
  ] as const;
  assert.throws(() => device.submit(work), /ENOMEM/);
  assert.equal(driver.asked(CS).length, 0);
});

test('packets: copied into a command buffer that goes when the driver has the work', () => {
  const { driver, device } = open();
  let copied = new Uint8Array();
  driver.on(CB, reply('cbCreated'));
  const chunks = watchChunks(driver, (argument, request) => {
    for (const bytes of driver.memory.values()) if (bytes.length === 4096) copied = bytes.slice(0, 24);
    return reply('submitted')(argument, request);
  });
  const work = device.submit({ queue: 'DMA_1_2', stream: dma() });
  assert.deepEqual(work, { sequence: 42n, signalsBefore: 3 });
  assertGolden(chunks[0], 'chunk');
  assert.deepEqual(copied, dma().bytes);
  assertGolden(driver.asked(CB).at(-1), 'cbDestroy');
});

test('options and the restore phase', () => {
  const { driver, device } = open();
  const chunks = watchChunks(driver);
  const place = 0x7f_f000_0080n;
  device.submit(
    [
      { queue: 'DMA_2_0', place, size: 64, flags: 1 },
      { queue: 9, place: { address: place }, size: 64, flags: 1 },
    ],
    {
      restore: [{ queue: 'DMA_2_0', place: { deviceAddress: place }, size: 64, flags: 1 }],
      forceRestore: true,
      timestamp: true,
      timeout: 7,
      skipResetOnTimeout: true,
    },
  );
  assertGolden(driver.asked(CS)[0], 'submit');
  assert.equal(chunks.length, 3);
  for (const chunk of chunks) assertGolden(chunk, 'internalChunk');
});

test('staged and encapsulated submissions', () => {
  const { driver, device } = open();
  driver.on(CS, reply('reserved'), reply('submitted'), reply('submitted'), () => undefined);
  const chunk = { queue: 'DMA_0_0', place: 0n, size: 8 } as const;
  const signals = device.reserveSignals('DMA_1_0', 20);
  assert.deepEqual(signals, { handle: 5, count: 20, value: 21, sobOffset: 0x492240 });
  const first = device.submit(chunk, { staged: 'first', signals });
  device.submit(chunk, { staged: first, last: true });
  device.unreserveSignals(signals);
  const asked = driver.asked(CS);
  assertGolden(asked[0], 'reserve');
  assertGolden(asked[1], 'stagedFirst');
  assertGolden(asked[2], 'stagedLast');
  assertGolden(asked[3], 'unreserve');
});

test('signal and wait', () => {
  const { driver, device } = open();
  const chunks = watchChunks(driver, reply('signalled'));
  const signal = device.signal('DMA_0_3');
  assert.deepEqual(signal, { sequence: 17n, signalsBefore: 4, sobOffset: 0x492240 });
  device.waitForSignal('DMA_1_0', signal);
  device.waitForEncapsulated('DMA_1_0', { sequence: 42n, signalsBefore: 0 }, 2);
  device.collectiveWait('DMA_5_0', signal, 5);
  const asked = driver.asked(CS);
  assertGolden(asked[0], 'signal');
  assertGolden(asked[1], 'waitSignal');
  assertGolden(asked[2], 'waitEncaps');
  assertGolden(chunks[0], 'signalChunk');
  assertGolden(chunks[1], 'waitChunk');
  assertGolden(chunks[2], 'encapsChunk');
  assertGolden(chunks[3], 'collectiveChunk');
});

test('a signal that has come already: there is nothing to wait for', () => {
  const { driver, device } = open();
  driver.on(CS, reply('signalled'), (argument) => {
    argument.fill(0).fill(0xff, 0, 8);
    return undefined;
  });
  const signal = device.signal('DMA_0_3');
  assert.equal(device.waitForSignal('DMA_1_0', signal), undefined);
});

test('a program for an internal queue: packets, and a CP_DMA that has them executed', () => {
  const { driver, device } = open();
  driver.on(MEMORY, reply('mapped'));
  const packets = new CommandStream().memset(0x2000_0000n, 7n, 64).nop();
  const chunks = watchChunks(driver);
  {
    using program = device.load(packets);
    assert.equal(program.place, 0x1_0000_0000_0000n + 32n);
    assert.equal(program.size, 16);
    const memory = [...driver.memory.values()].find((bytes) => bytes.length === 48);
    const launcher = new CommandStream().execute(0x1_0000_0000_0000n, 32);
    assert.deepEqual(memory, Uint8Array.of(...packets.bytes, ...launcher.bytes));
    device.submit({ queue: 'DMA_2_0', ...program });
  }
  const chunk = hl_cs_chunk.decode(chunks[0] as Uint8Array);
  assert.deepEqual([chunk.cb_handle, chunk.cb_size, chunk.queue_index], [0x1_0000_0000_0020n, 16, 9]);
  assertGolden(driver.asked(MEMORY)[1], 'unmap');
});

test('commands for engines, and flushing: kinds of their own, named in errors', () => {
  const { driver, device } = open();
  const engines: number[][] = [];
  driver.on(CS, (argument, request) => {
    const view = new DataView(request.bytes.buffer);
    const count = view.getUint32(8, true);
    if (count > 0) engines.push([...new Uint32Array(driver.at(view.getBigUint64(0, true), count * 4).slice().buffer)]);
    return reply('submitted')(argument, request);
  });
  device.engines('CORE_HALT', [1, 2]);
  device.engines('STALL', [3]);
  device.flushPciWrites();
  assert.deepEqual(engines, [[1, 2], [3]]);
  const [cores, stall, flush] = driver.asked(CS);
  for (const bytes of [cores, stall]) bytes?.fill(0, 0, 8); // where the array was put
  assertGolden(cores, 'engineCores');
  assertGolden(stall, 'engines');
  assertGolden(flush, 'flush');
  const other = open();
  other.driver.on(CS, () => refuse('EPERM'));
  assert.throws(
    () => other.device.engines('RESUME', [1]),
    /^NotPermittedError: CS HL_CS_FLAGS_ENGINES_COMMAND .*always on Gaudi1/,
  );
});

test('a full queue: an error at once, or patience', () => {
  const { driver, device } = open();
  const work = { queue: 'DMA_0_0', place: 0n, size: 8 } as const;
  driver.on(CS, () => refuse('EAGAIN'));
  assert.throws(() => device.submit(work), QueueFullError);
  assert.equal(driver.asked(CS).length, 1);
  assert.throws(() => device.submit(work, { patience: 5 }), QueueFullError);
  assert.ok(driver.time >= 5e6);

  const other = open();
  other.driver.on(
    CS,
    () => refuse('EAGAIN'),
    () => refuse('EAGAIN'),
    reply('submitted'),
  );
  assert.equal(other.device.submit(work, { patience: 1000 }).sequence, 42n);
  const [first, second, third] = other.driver.asked(CS);
  assert.deepEqual(first, second);
  assert.deepEqual(second, third);
});

/** Lets the time pass that a call may sleep; busy until then. */
function busyUntil(driver: FakeDriver, end: number): Answer {
  return (argument, request) => {
    const microseconds = Number(new DataView(request.bytes.buffer).getBigUint64(8, true));
    driver.time = Math.min(driver.time + microseconds * 1000 + 1000, Math.max(end, driver.time));
    return driver.time < end ? reply('busy')(argument, request) : reply('completed')(argument, request);
  };
}

test('waiting for nothing that was ever submitted', async () => {
  const { driver, device } = open();
  driver.on(WAIT, () => refuse('EINVAL'));
  await assert.rejects(device.wait(99n), InvalidArgumentError);
  assert.throws(() => device.waitSync(99n), InvalidArgumentError);
});

test('wait: ends with the work, and tells when that was', async () => {
  const { driver, device } = open();
  driver.on(WAIT, busyUntil(driver, 20e6));
  assert.deepEqual(await device.wait(42n), { gone: false, timestamp: 123456789012n });
  const sequences = driver.asked(WAIT).map((bytes) => hl_wait_cs_args.decode(bytes).in.seq);
  assert.ok(sequences.every((sequence) => sequence === 42n));
});

test('wait: a submission that ended long ago', async () => {
  const { driver, device } = open();
  driver.on(WAIT, reply('gone'));
  assert.deepEqual(await device.wait(1n), { gone: true, timestamp: undefined });
});

test('wait: what the driver does not finish in time, aborts, or still has', async () => {
  const { driver, device } = open();
  driver.on(
    WAIT,
    () => refuse('ETIMEDOUT'),
    () => refuse('EIO'),
    reply('busy'),
  );
  await assert.rejects(device.wait(42n), SubmissionTimeoutError);
  await assert.rejects(device.wait(42n), SubmissionAbortedError);
  assert.equal(device.poll(42n), undefined);
});

test('wait: the caller’s own patience', async () => {
  const { driver, device } = open();
  driver.on(WAIT, busyUntil(driver, 1e12));
  await assert.rejects(
    device.wait(42n, { timeout: 30 }),
    (error: unknown) =>
      error instanceof WaitTimeoutError && /submission 42 has not ended after 30 ms/.test(error.message),
  );
  assert.ok(driver.time >= 30e6 && driver.time < 60e6, `${driver.time} ns`);
  assert.throws(() => device.waitSync(42n, 5), WaitTimeoutError);
});

test('wait: a synchronous wait asks the kernel to sleep for what is left', () => {
  const { driver, device } = open();
  driver.on(WAIT, reply('completed'));
  device.waitSync(42n, 1.5);
  assertGolden(driver.asked(WAIT)[0], 'wait');
});

test('wait: an abort signal ends it, also one that was there before', async () => {
  const { driver, device } = open();
  driver.on(WAIT, reply('busy'));
  const reason = new Error('enough');
  await assert.rejects(device.wait(42n, { signal: AbortSignal.abort(reason) }), reason);
  assert.equal(driver.asked(WAIT).length, 0);
  const abort = new AbortController();
  const waiting = device.wait(42n, { signal: abort.signal });
  setImmediate(() => abort.abort(reason));
  await assert.rejects(waiting, reason);
});

test('wait: while several wait one sleeps in the kernel, the others look', async () => {
  const { driver, device } = open();
  let done = false;
  driver.on(WAIT, (argument, request) => reply(done ? 'completed' : 'busy')(argument, request));
  const all = Promise.all([device.wait(1n), device.wait(2n), device.wait(3n)]);
  for (let i = 0; i < 5; i++) await new Promise(setImmediate);
  const asked = driver.asked(WAIT);
  done = true;
  await all;
  const sleepers = asked.map((bytes) => hl_wait_cs_args.decode(bytes).in).filter((wait) => wait.timeout_us > 0n);
  assert.ok(sleepers.length > 0);
  assert.ok(sleepers.every((wait) => wait.seq === 1n));
});

test('wait: the program goes on while it waits, and a closed device ends it', async () => {
  const { driver, device } = open();
  driver.on(WAIT, reply('busy'));
  const waiting = device.wait(42n);
  let ticks = 0;
  for (let i = 0; i < 3; i++) {
    await new Promise(setImmediate);
    ticks++;
  }
  assert.equal(ticks, 3);
  device.close();
  await assert.rejects(waiting, /was disposed of/);
});

test('waiting for one of several', async () => {
  const { driver, device } = open();
  let pointed: bigint[] = [];
  driver.on(WAIT, (argument, request) => {
    const address = new DataView(request.bytes.buffer).getBigUint64(0, true);
    const bytes = driver.at(address, 24).slice();
    pointed = [...new BigUint64Array(bytes.buffer)];
    return reply('severalDone')(argument, request);
  });
  const { completed } = await device.waitAny([7n, 8n, 9n]);
  assert.deepEqual(completed, [7n, 9n]);
  assert.deepEqual(pointed, [7n, 8n, 9n]);
  const asked = driver.asked(WAIT)[0];
  assert.ok(asked);
  asked.fill(0, 0, 8); // where the array was put is the runtime's own affair
  assert.equal(
    Buffer.from(asked)
      .toString('hex')
      .replace(/(00)+$/, ''),
    '0000000000000000000000000000000000000000040000000300'.replace(/(00)+$/, ''),
  );
});
