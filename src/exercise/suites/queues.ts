import assert from 'node:assert/strict';
import { CommandStream } from '../../runtime/command-stream.ts';
import { QueueFullError } from '../../runtime/errors.ts';
import type { DeviceMemory, HostMemory } from '../../runtime/memory.ts';
import type { Chunk, Submission } from '../../runtime/submission.ts';
import type { SyncObject } from '../../runtime/sync.ts';
import { chunkFlags } from '../../uapi/habanalabs/cs.ts';
import type { QueueName } from '../../uapi/habanalabs/gaudi.ts';
import { type Declare, suite, type TestContext } from '../suite.ts';
import { assertSame, copy, fill, KiB, MiB, run } from './lib.ts';
import { arbitration } from './queues-arbitration.ts';
import { queueErrors } from './queues-errors.ts';
import { arbiter, internal, runBeside } from './queues-internal.ts';
import { internalPackets } from './queues-packets.ts';
import { strays } from './queues-strays.ts';
import { assertValue, externalQueues, hold, release } from './sync-lib.ts';

/** Entries of an external queue (common/habanalabs.h, HL_QUEUE_LENGTH). */
const QUEUE_LENGTH = 4096;
/** Seconds that work may be held, in place of the driver's thirty, where a slow machine is long about what happens meanwhile. */
const PATIENCE = 1000;
const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';

async function waitAll(t: TestContext, work: readonly Submission[]): Promise<void> {
  for (const submission of work) await t.device.wait(submission, { signal: t.signal });
}

function streams(test: Declare): void {
  for (const queue of externalQueues) {
    test(`${queue}: two hundred submissions are done in their order`, async (t) => {
      const { device } = t;
      const host = t.use(device.allocHost(64 * KiB));
      const dram = t.use(device.dram.allocate(201 * 64));
      fill(host.bytes.subarray(0, 64), t.random);
      const result = host.deviceAddress + BigInt(4 * KiB);
      device.submit({ queue, stream: new CommandStream().dma(dram, host, 64) });
      const work: Submission[] = [];
      for (let i = 0; i < 200; i++)
        work.push(
          device.submit({ queue, stream: new CommandStream().dma(dram.at(64 * (i + 1)), dram.at(64 * i), 64) }),
        );
      work.push(device.submit({ queue, stream: new CommandStream().dma(result, dram.at(200 * 64), 64) }));
      await t.device.wait(work.at(-1) as Submission, { signal: t.signal });
      assertSame(host.bytes.slice(4 * KiB, 4 * KiB + 64), host.bytes.slice(0, 64), 'after two hundred copies');
      for (const submission of work) assert.ok(device.poll(submission), 'an earlier submission ended later');
    });
  }

  for (const engine of [0, 1]) {
    test(`a stream of DMA${engine} that waits holds no other`, async (t) => {
      const { device } = t;
      const names = externalQueues.filter((name) => name.startsWith(`DMA_${engine}_`));
      const host = t.use(device.allocHost(4 * KiB));
      for (const held of names) {
        host.bytes.fill(0);
        const others = names.filter((name) => name !== held);
        const waiting = device.submit({
          queue: held,
          stream: new CommandStream().fence(0).memset(host, 0x11n, 8),
        });
        for (const [i, other] of others.entries()) {
          await run(t, other, new CommandStream().memset(host.deviceAddress + BigInt(8 * (i + 1)), 0x22n, 8));
        }
        assert.equal(device.poll(waiting), undefined, `${held} did not wait`);
        assert.deepEqual([...host.words.subarray(0, 8)], [0, 0, 0x22, 0, 0x22, 0, 0x22, 0]);
        await release(t, held, others[0] as QueueName);
        await device.wait(waiting, { signal: t.signal });
        assert.equal(host.words[0], 0x11);
      }
    });
  }

  test('work behind a waiting packet waits with it', async (t) => {
    const { device } = t;
    const host = t.use(device.allocHost(4 * KiB));
    const first = device.submit({ queue: DOWN, stream: new CommandStream().fence(0) });
    const second = device.submit({ queue: DOWN, stream: new CommandStream().memset(host, 1n, 8) });
    await run(t, UP, new CommandStream().nop());
    assert.equal(device.poll(first), undefined);
    assert.equal(device.poll(second), undefined);
    assert.equal(host.words[0], 0);
    await release(t, DOWN, UP);
    await waitAll(t, [first, second]);
    assert.equal(host.words[0], 1);
  });

  test('an empty packet with barriers ends', async (t) => {
    for (const queue of externalQueues) await run(t, queue, new CommandStream().nop().nop().nop());
  });

  test('two engines work on one memory in turn, a hundred times', async (t) => {
    const { device } = t;
    const [ping, pong] = [device.sync('E_N').syncObject(), device.sync('E_N').syncObject()];
    const [here, there] = [device.sync('E_N').monitor(), device.sync('E_N').monitor()];
    const a = t.use(device.dram.allocate(101 * 64));
    const host = t.use(device.allocHost(4 * KiB));
    const result = t.use(device.allocHost(4 * KiB));
    fill(host.bytes.subarray(0, 64), t.random);
    await copy(t, DOWN, a, host, 64);
    const [down, up] = [new CommandStream(), new CommandStream()];
    for (let i = 0; i < 100; i += 2) {
      down.dma(a.at(64 * (i + 1)), a.at(64 * i), 64).add(ping, 1);
      down.raw(hold(DOWN, here, [pong], i / 2 + 1).bytes);
      up.raw(hold(UP, there, [ping], i / 2 + 1).bytes);
      up.dma(a.at(64 * (i + 2)), a.at(64 * (i + 1)), 64).add(pong, 1);
    }
    await waitAll(t, [device.submit({ queue: UP, stream: up }), device.submit({ queue: DOWN, stream: down })]);
    await copy(t, UP, result, a.at(100 * 64), 64);
    assertSame(result.bytes.slice(0, 64), host.bytes.slice(0, 64), 'after a hundred copies by turns');
  });
}

/** Submits `count` copies of pieces of `from` to `to`, over `names`, each queue held by its fence 0. */
function heldCopies(
  t: TestContext,
  names: readonly QueueName[],
  to: HostMemory,
  from: HostMemory,
  count: number,
): Submission[] {
  const piece = from.size / count;
  for (const queue of names) t.device.submit({ queue, stream: new CommandStream().fence(0) }, { timeout: PATIENCE });
  return Array.from({ length: count }, (_, i) => {
    const at = BigInt(i * piece);
    const stream = new CommandStream().dma(to.deviceAddress + at, from.deviceAddress + at, piece);
    return t.device.submit({ queue: names[i % names.length] as QueueName, stream });
  });
}

function load(test: Declare): void {
  test('512 submissions in flight, held and let go', async (t) => {
    const { device } = t;
    const size = 512 * 1000;
    const [from, to] = [t.use(device.allocHost(size)), t.use(device.allocHost(size))];
    fill(from.bytes, t.random);
    const names = externalQueues.slice(0, 7);
    const keeper = externalQueues[7] as QueueName;
    const work = heldCopies(t, names, to, from, 512);
    await run(t, keeper, new CommandStream().nop());
    for (const submission of work) assert.equal(device.poll(submission), undefined, 'a held submission has ended');
    assert.ok(
      to.bytes.every((byte) => byte === 0),
      'a held copy was made',
    );
    for (const queue of names) await release(t, queue, keeper);
    await waitAll(t, work);
    assertSame(to.bytes, from.bytes, 'copied');
  });

  test('256 chunks on eight queues in one submission', async (t) => {
    const { device } = t;
    const [count, piece] = [256, 999];
    const [from, to] = [t.use(device.allocHost(count * piece)), t.use(device.allocHost(count * piece))];
    fill(from.bytes, t.random);
    const chunks = Array.from({ length: count }, (_, i): Chunk => {
      const at = BigInt(i * piece);
      const stream = new CommandStream().dma(to.deviceAddress + at, from.deviceAddress + at, piece);
      return { queue: externalQueues[i % 8] as QueueName, stream };
    });
    await device.wait(device.submit(chunks), { signal: t.signal });
    assertSame(to.bytes, from.bytes, 'copied');
  });

  test('a submission ends when the last of its chunks has', async (t) => {
    const { device } = t;
    const host = t.use(device.allocHost(4 * KiB));
    const quick = { queue: DOWN, stream: new CommandStream().memset(host, 1n, 8) } as const;
    const slow = { queue: 'DMA_0_1', stream: new CommandStream().fence(0) } as const;
    const work = device.submit([quick, slow]);
    await run(t, DOWN, new CommandStream().nop());
    assert.equal(host.words[0], 1, 'the quick chunk');
    assert.equal(device.poll(work), undefined);
    await release(t, 'DMA_0_1', UP);
    await device.wait(work, { signal: t.signal });
  });

  test(
    'a full queue refuses more, and takes it once there is room',
    async (t) => {
      const { device } = t;
      const buffer = t.use(device.createCb(64));
      const nop = new CommandStream().nop();
      buffer.bytes.set(nop.bytes);
      const chunks = (count: number) =>
        Array.from({ length: count }, () => ({ queue: DOWN, buffer, size: 8 }) as const);
      const before = device.info.csCounters().total_queue_full_drop_cnt;
      device.submit({ queue: DOWN, stream: new CommandStream().fence(0) }, { timeout: PATIENCE });
      for (let left = QUEUE_LENGTH - 1; left > 0; left -= 512) device.submit(chunks(Math.min(left, 512)));
      assert.throws(() => device.submit(chunks(1)), QueueFullError);
      assert.throws(() => device.submit(chunks(512)), QueueFullError);
      assert.throws(() => device.submit([...chunks(1), { queue: UP, stream: nop }]), QueueFullError);
      assert.equal(device.info.csCounters().total_queue_full_drop_cnt, before + 3n);
      // the other queues have room
      await run(t, UP, nop);
      await run(t, 'DMA_0_1', nop);
      await release(t, DOWN, UP);
      await device.wait(device.submit(chunks(512), { patience: 20_000 }), { signal: t.signal });
      assert.equal(buffer.usage(), 0);
    },
    { timeout: 600 },
  );

  test('a command buffer is in use while its work is in flight', async (t) => {
    const { device } = t;
    const buffer = t.use(device.createCb(64));
    buffer.bytes.set(new CommandStream().nop().bytes);
    const gate = device.submit({ queue: DOWN, stream: new CommandStream().fence(0) });
    const work = device.submit({ queue: DOWN, buffer, size: 8 });
    // the driver copies the packets of external queues, so that the program may write new ones at once
    assert.equal(buffer.usage(), 0);
    buffer.bytes.fill(0xff);
    await release(t, DOWN, UP);
    await waitAll(t, [gate, work]);
  });

  test('that a program allocated the command buffer itself means nothing on this chip', async (t) => {
    const host = t.use(t.device.allocHost(4 * KiB));
    const stream = new CommandStream().memset(host, 1n, 8);
    const flags = chunkFlags.HL_CS_CHUNK_FLAGS_USER_ALLOC_CB.value;
    await t.device.wait(t.device.submit({ queue: DOWN, stream, flags }), { signal: t.signal });
    assert.equal(host.words[0], 1);
  });

  test('restore chunks run before the others, when they are forced to', async (t) => {
    const { device } = t;
    const host = t.use(device.allocHost(4 * KiB));
    const stream = new CommandStream().memset(host.deviceAddress + 8n, 7n, 8);
    const restore = [{ queue: DOWN, stream: new CommandStream().memset(host, 5n, 8) } as const];
    await device.wait(device.submit({ queue: UP, stream }, { restore }), { signal: t.signal });
    assert.deepEqual([...host.words.subarray(0, 4)], [0, 0, 7, 0], 'this chip has no context switch');
    const seen = new CommandStream().dma(host.deviceAddress + 16n, host, 8);
    await device.wait(device.submit({ queue: UP, stream: seen }, { restore, forceRestore: true }), {
      signal: t.signal,
    });
    assert.deepEqual([...host.words.subarray(0, 6)], [5, 0, 7, 0, 5, 0]);
  });
}

/** SRAM with 32 predicates. The command processors of external queues read no addresses of programs, so not host memory. */
async function predicates(t: TestContext, set: (n: number) => boolean): Promise<bigint> {
  const host = t.use(t.device.allocHost(4 * KiB));
  const sram = t.use(t.device.sram.allocate(128));
  for (let n = 0; n < 32; n++) host.words[n] = set(n) ? 0xffff_ffff : 0xffff_fffe;
  await copy(t, DOWN, sram, host, 128);
  return sram.address;
}

/** Packets that write 0x100 + n to word n, each under predicate n. */
function underPredicates(at: DeviceMemory): CommandStream {
  const stream = new CommandStream();
  for (let pred = 0; pred < 32; pred++)
    stream.packet('MSG_LONG', { addr: at.at(4 * pred), value: 0x100 + pred, pred, eb: true, mb: true });
  return stream;
}

function packets(test: Declare): void {
  test('packets run where their predicate is set', async (t) => {
    const { device } = t;
    const sram = t.use(device.sram.allocate(128));
    const result = t.use(device.allocHost(4 * KiB));
    const set = Array.from({ length: 32 }, () => t.random.below(2) === 1);
    const src = await predicates(t, (n) => set[n] === true);
    const stream = new CommandStream().memset(sram, 0n, 128).packet('LOAD_AND_EXE', { load: true, src, mb: true });
    await run(t, DOWN, stream.raw(underPredicates(sram).bytes).dma(result, sram, 128));
    const expected = set.map((on, n) => (on || n === 0 ? 0x100 + n : 0));
    assert.deepEqual([...result.words.subarray(0, 32)], expected);
  });

  test('an internal queue loads predicates from host memory too', async (t) => {
    const { device } = t;
    const sram = t.use(device.sram.allocate(128));
    const host = t.use(device.allocHost(4 * KiB));
    const result = t.use(device.allocHost(4 * KiB));
    const object = device.sync('E_N').syncObject();
    for (let n = 0; n < 32; n++) host.words[n] = n % 3 === 0 ? 1 : 0;
    await run(t, DOWN, new CommandStream().memset(sram, 0n, 128));
    const stream = new CommandStream()
      .packet('LOAD_AND_EXE', { load: true, src: host.deviceAddress, mb: true })
      .raw(underPredicates(sram).bytes)
      .add(object, 1);
    await runBeside(t, object, [{ queue: 'DMA_3_1', ...t.use(device.load(stream)) }]);
    await copy(t, UP, result, sram, 128);
    const expected = Array.from({ length: 32 }, (_, n) => (n % 3 === 0 ? 0x100 + n : 0));
    assert.deepEqual([...result.words.subarray(0, 32)], expected);
  });

  test('predicates belong to their stream', async (t) => {
    const { device } = t;
    const sram = t.use(device.sram.allocate(128));
    const result = t.use(device.allocHost(4 * KiB));
    await run(t, DOWN, new CommandStream().memset(sram, 0n, 128));
    for (const [queue, n] of [
      [DOWN, 1],
      ['DMA_0_1', 2],
    ] as const) {
      const src = await predicates(t, (m) => m === n);
      await run(t, queue, new CommandStream().packet('LOAD_AND_EXE', { load: true, src, mb: true }));
    }
    for (const [i, queue] of ([DOWN, 'DMA_0_1'] as const).entries()) {
      const stream = new CommandStream();
      for (const pred of [1, 2])
        stream.packet('MSG_LONG', { addr: sram.at(16 * i + 4 * pred), value: 1, pred, mb: true });
      await run(t, queue, stream);
    }
    await copy(t, UP, result, sram, 128);
    assert.deepEqual([...result.words.subarray(0, 8)], [0, 1, 0, 0, 0, 0, 1, 0]);
  });

  test('messages reach SRAM, HBM and host memory', async (t) => {
    const { device } = t;
    const [sram, dram] = [t.use(device.sram.allocate(128)), t.use(device.dram.allocate(128))];
    const host = t.use(device.allocHost(4 * KiB));
    const result = t.use(device.allocHost(4 * KiB));
    const stream = new CommandStream()
      .write(sram, 0x1111_1111)
      .write(dram, 0x2222_2222)
      .write(host, 0x3333_3333)
      .dma(result, sram, 4)
      .dma(result.deviceAddress + 4n, dram, 4)
      .dma(result.deviceAddress + 8n, host, 4);
    await run(t, DOWN, stream);
    assert.deepEqual([...result.words.subarray(0, 3)], [0x1111_1111, 0x2222_2222, 0x3333_3333]);
  });

  test('a transfer that is asked to counts up a sync object when it has landed', async (t) => {
    // a new context finds the completion of DMA core n set to add 1 to sync object n of E_N (gaudi_restore_dma_registers)
    const { device } = t;
    const [first] = device.sync('E_N').syncObjects(8) as [SyncObject];
    assert.equal(first.index, 0);
    const dram = t.use(device.dram.allocate(16 * MiB));
    const result = t.use(device.allocHost(4 * KiB));
    const transfer = new CommandStream().memset(dram, 9n, 16 * MiB, { wrcomp: true });
    const monitor = device.sync('E_N').monitor();
    const seen = hold(UP, monitor, [first], 1).dma(result, dram.at(16 * MiB - 8), 8);
    const work = [device.submit({ queue: UP, stream: seen }), device.submit({ queue: DOWN, stream: transfer })];
    await waitAll(t, work);
    assert.equal(result.words[0], 9, 'the sync object counted before the last byte was there');
    await assertValue(t, first, 1);
  });

  test('where and what a transfer writes when it has landed can be set', async (t) => {
    const { device } = t;
    const object = device.sync('W_N').syncObject();
    const dram = t.use(device.dram.allocate(KiB));
    const { lo, hi } = { lo: Number(object.address & 0xffff_ffffn), hi: Number(object.address >> 32n) };
    const setUp = new CommandStream().register(0x80, lo).register(0x84, hi).register(0x7c, 0x8000_0005);
    const transfer = new CommandStream().memset(dram, 0n, KiB, { wrcomp: true });
    await run(t, DOWN, new CommandStream().raw(setUp.bytes).raw(transfer.bytes).raw(transfer.bytes).nop());
    const monitor = device.sync('W_N').monitor();
    await run(t, UP, hold(UP, monitor, [object], 10));
    await assertValue(t, object, 10, 'after two transfers of 5');
  });
}

export const queues = suite(
  'queues',
  'Streams, many submissions in flight, internal queues, packets, arbitration.',
  (test) => {
    streams(test);
    load(test);
    internal(test);
    packets(test);
    internalPackets(test);
    arbiter(test);
    arbitration(test);
    queueErrors(test);
    strays(test);
  },
);
