/** Arbiters that go by weights, and arbiters that follow one of another queue manager. */

import assert from 'node:assert/strict';
import { qmanRegisters } from '../../../specs/gaudi/registers/qman.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { fenceAddress, type SyncObject } from '../../runtime/sync.ts';
import { type QueueName, queueRow } from '../../uapi/habanalabs/gaudi.ts';
import type { Declare, TestContext } from '../suite.ts';
import { KiB, run } from './lib.ts';
import { hold, meets, release } from './sync-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
/** Where a queue manager lies within the 64 KiB of a DMA engine that WREG_32 reaches (dma0_qm_regs.h). */
const DMA_QM = 0x8000;
const { rows } = qmanRegisters;
const ARB = { WEIGHTED: 1 << 0, MASTER: 1 << 4, ENABLED: 1 << 8 } as const;
/** Cycles between two grants: long enough for all streams to have asked again. */
const QUIET = 20_000_000;
const DEFAULT_QUIET = rows.ARB_MST_QUIET_PER.reset;
/** The number by which a master knows its slave: one that is not 0. */
const SLAVE = 5;
/** Grants that a master gives without hearing from its slaves, and more than those. */
const CREDITS = rows.ARB_MST_AVAIL_CRED.reset;
const GRANTS = CREDITS + 20;

type Row = 'ARB_CFG_0' | 'ARB_MST_QUIET_PER' | 'ARB_MST_SLAVE_EN' | 'ARB_SLV_ID' | 'ARB_SLV_MASTER_INC_CRED_OFST';

function set(stream: CommandStream, row: Row | 'ARB_BASE_LO' | 'ARB_BASE_HI', value: number): CommandStream {
  return stream.register(DMA_QM + rows[row].offset, value);
}

/** Device address of the registers of a queue's manager. */
function managerOf(queue: QueueName): bigint {
  return fenceAddress(queue, 0) - BigInt(rows.CP_FENCE_RDATA.offset + 4 * queueRow(queue).stream);
}

function base(stream: CommandStream, queue: QueueName): CommandStream {
  const address = managerOf(queue);
  return set(set(stream, 'ARB_BASE_LO', Number(address & 0xffff_ffffn)), 'ARB_BASE_HI', Number(address >> 32n));
}

function chunk(t: TestContext, queue: QueueName, stream: CommandStream, device = t.device) {
  const memory = t.use(device.allocHost(Math.ceil(stream.size / KiB) * KiB));
  memory.bytes.set(stream.bytes);
  return { queue, place: memory, size: stream.size };
}

/** Has internal queues execute packets, all of which have ended when `UP` goes on. */
async function all(
  t: TestContext,
  work: readonly (readonly [QueueName, CommandStream])[],
  device = t.device,
): Promise<void> {
  using done = device.sync('E_N').syncObject();
  using monitor = device.sync('E_N').monitor();
  const chunks = work.map(([queue, stream]) => chunk(t, queue, stream.add(done, 1), device));
  const end = { queue: UP, stream: hold(UP, monitor, [done], work.length).set(done, 0) } as const;
  await device.wait(device.submit([end, ...chunks]), { signal: t.signal });
}

/** Has the arbiter of one queue's manager follow that of another's. */
async function connect(t: TestContext, master: QueueName, slave: QueueName): Promise<void> {
  const ofMaster = base(new CommandStream(), slave).register(
    DMA_QM + rows.ARB_MST_CHOISE_PUSH_OFST.offset + 4 * SLAVE,
    rows.ARB_CHOISE_Q_PUSH.offset,
  );
  set(set(ofMaster, 'ARB_MST_SLAVE_EN', 1 << SLAVE), 'ARB_CFG_0', ARB.ENABLED | ARB.MASTER);
  const ofSlave = base(new CommandStream(), master);
  set(set(ofSlave, 'ARB_SLV_ID', SLAVE), 'ARB_SLV_MASTER_INC_CRED_OFST', rows.ARB_MST_CRED_INC.offset);
  set(ofSlave, 'ARB_CFG_0', ARB.ENABLED);
  await all(t, [[slave, ofSlave]]);
  await all(t, [[master, ofMaster]]);
}

async function disconnect(t: TestContext, master: QueueName, slave: QueueName): Promise<void> {
  await all(t, [[master, set(set(new CommandStream(), 'ARB_MST_SLAVE_EN', 0), 'ARB_CFG_0', 0)]]);
  await all(t, [[slave, set(new CommandStream(), 'ARB_CFG_0', 0)]]);
}

export function arbitration(test: Declare): void {
  test('who takes the card finds no arbiter as the last user left it', async (t) => {
    const managers: readonly QueueName[] = ['DMA_2_0', 'DMA_4_0', 'DMA_6_0'];
    // of an arbiter that waits for a master that is not there
    const first = t.open(0);
    for (const queue of managers) await all(t, [[queue, set(new CommandStream(), 'ARB_CFG_0', ARB.ENABLED)]], first);
    first.close();
    for (const queue of managers) await all(t, [[queue, new CommandStream().packet('ARB_POINT', { priority: 0 })]]);
  });

  test('an arbiter that goes by weights grants a stream as often in a row as its weight says', async (t) => {
    const { device } = t;
    const manager = device.sync('E_N');
    const [asked, ready, done] = [manager.syncObject(), manager.syncObject(), manager.syncObject()];
    const owner = t.use(device.sram.allocate(8));
    const notes = t.use(device.sram.allocate(8 * 8));
    const result = t.use(device.allocHost(4 * KiB));
    await run(t, DOWN, new CommandStream().memset(owner, 99n, 8).memset(notes, 88n, 64));
    const setUp = new CommandStream()
      .register(DMA_QM + rows.ARB_WRR_WEIGHT.offset, 1)
      .register(DMA_QM + rows.ARB_WRR_WEIGHT.offset + 4, 3);
    set(set(setUp, 'ARB_MST_QUIET_PER', QUIET), 'ARB_CFG_0', ARB.ENABLED | ARB.MASTER | ARB.WEIGHTED);
    await all(t, [['DMA_4_0', setUp]]);
    // who has the engine notes who had it before, and leaves its own number
    const turn = (stream: 0 | 1, number: number, object: SyncObject) => {
      const id = 4 * stream + number;
      const queue: QueueName = `DMA_4_${stream}`;
      const note = new CommandStream()
        .dma(notes.at(8 * id), owner, 8)
        .memset(owner, BigInt(id), 8)
        .add(object, 1);
      const { place, size } = chunk(t, queue, note);
      return new CommandStream()
        .execute(place, size)
        .raw(hold(queue, manager.monitor(), [object], number + 1, { id: 3 }).bytes);
    };
    const streams = ([0, 1] as const).map((stream) => {
      const object = manager.syncObject();
      const packets = new CommandStream();
      if (stream === 1) packets.add(asked, 1);
      for (let number = 0; number < 4; number++) {
        packets.packet('ARB_POINT', { priority: 0 });
        if (stream === 0 && number === 0) packets.add(ready, 1).fence(0);
        packets.raw(turn(stream, number, object).bytes).packet('ARB_POINT', { priority: 0, release: 1 });
      }
      return packets.add(done, 1);
    });
    const [first, second] = streams;
    assert.ok(first && second);
    const gate = { queue: UP, stream: hold(UP, manager.monitor(), [ready], 1) } as const;
    await device.wait(device.submit([gate, chunk(t, 'DMA_4_0', first)]), { signal: t.signal });
    const end = { queue: UP, stream: hold(UP, manager.monitor(), [done], 2) } as const;
    const work = device.submit([end, chunk(t, 'DMA_4_1', second)]);
    await run(t, DOWN, hold(DOWN, manager.monitor(), [asked], 1));
    await release(t, 'DMA_4_0', DOWN);
    await device.wait(work, { signal: t.signal });
    await run(t, UP, new CommandStream().dma(result, notes, 64));
    const before = Array.from({ length: 8 }, (_, id) => result.words[2 * id]);
    const order: number[] = [];
    for (let at = 99; order.length < 8; at = order.at(-1) as number) {
      const next = before.indexOf(at);
      assert.ok(next >= 0 && !order.includes(next), `nobody had the engine after ${at}: ${before}`);
      order.push(next);
    }
    assert.deepEqual(
      order.map((id) => id >> 2),
      [0, 1, 1, 1, 0, 1, 0, 0],
    );
    const restore = set(set(new CommandStream(), 'ARB_CFG_0', 0), 'ARB_MST_QUIET_PER', DEFAULT_QUIET);
    await all(t, [['DMA_4_0', restore]]);
  });

  test('an arbiter follows that of another queue manager, and tells it of each grant', async (t) => {
    const [master, slave] = ['DMA_5_1', 'DMA_6_1'] as const;
    await connect(t, master, slave);
    const { device } = t;
    const manager = device.sync('E_N');
    using granted = manager.syncObject();
    using done = manager.syncObject();
    const turns = (count?: SyncObject) => {
      const stream = new CommandStream();
      for (let i = 0; i < GRANTS; i++) {
        stream.packet('ARB_POINT', { priority: 0 });
        if (count) stream.add(count, 1);
        stream.packet('ARB_POINT', { priority: 0, release: 1 });
      }
      return stream.add(done, 1);
    };
    // the master stops when its slave has all the choices that it can hold
    using monitors = new DisposableStack();
    const gate = monitors.use(manager.monitor());
    const first = device.submit([
      { queue: UP, stream: hold(UP, gate, [granted], CREDITS) },
      chunk(t, master, turns(granted)),
    ]);
    await device.wait(first, { signal: t.signal });
    assert.equal(await meets(t, [granted], CREDITS + 1), false, 'the master went on');
    const end = { queue: UP, stream: hold(UP, gate, [done], 2) } as const;
    await device.wait(device.submit([end, chunk(t, slave, turns())]), { signal: t.signal });
    assert.ok(await meets(t, [granted], GRANTS));
    await disconnect(t, master, slave);
  });

  test('a slave gives its engine to streams in the order in which its master chose them', async (t) => {
    const { device } = t;
    const manager = device.sync('E_N');
    await connect(t, 'DMA_5_0', 'DMA_6_0');
    const [done, early, late] = [manager.syncObject(), manager.syncObject(), manager.syncObject()];
    const turn = (object?: SyncObject) => {
      const stream = new CommandStream().packet('ARB_POINT', { priority: 0 });
      if (object) stream.add(object, 1);
      return stream.packet('ARB_POINT', { priority: 0, release: 1 });
    };
    const end = (count: number) => ({ queue: UP, stream: hold(UP, manager.monitor(), [done], count) }) as const;
    // the master's streams 1 and 2, one behind the other; then the slave's stream 2, which was chosen last
    for (const [i, queue] of (['DMA_5_1', 'DMA_5_2'] as const).entries()) {
      const chosen = device.submit([end(i + 1), chunk(t, queue, turn().add(done, 1))]);
      await device.wait(chosen, { signal: t.signal });
    }
    const asked = new CommandStream().add(done, 1).raw(turn(late).bytes);
    await device.wait(device.submit([end(3), chunk(t, 'DMA_6_2', asked)]), { signal: t.signal });
    assert.equal(await meets(t, [late], 1), false, 'a stream had the engine that was not chosen yet');
    await device.wait(device.submit([end(4), chunk(t, 'DMA_6_1', turn(early).add(done, 1))]), { signal: t.signal });
    assert.ok(await meets(t, [early], 1));
    await run(t, UP, hold(UP, manager.monitor(), [late], 1));
    await disconnect(t, 'DMA_5_0', 'DMA_6_0');
  });

  test('a stream that does not have the engine cannot give it away', async (t) => {
    const { device } = t;
    const manager = device.sync('E_N');
    const [done, third] = [manager.syncObject(), manager.syncObject()];
    await all(t, [['DMA_4_0', set(new CommandStream(), 'ARB_CFG_0', ARB.ENABLED | ARB.MASTER)]]);
    const end = (count: number) => ({ queue: UP, stream: hold(UP, manager.monitor(), [done], count) }) as const;
    const step = async (count: number, queue: QueueName, stream: CommandStream) => {
      await device.wait(device.submit([end(count), chunk(t, queue, stream)]), { signal: t.signal });
    };
    const ask = () => new CommandStream().packet('ARB_POINT', { priority: 0 });
    await step(1, 'DMA_4_0', ask().add(done, 1).fence(0).packet('ARB_POINT', { priority: 0, release: 1 }));
    await step(2, 'DMA_4_2', new CommandStream().add(done, 1).raw(ask().bytes).add(third, 1));
    await step(3, 'DMA_4_1', new CommandStream().packet('ARB_POINT', { priority: 0, release: 1 }).add(done, 1));
    assert.equal(await meets(t, [third], 1), false, 'two streams have the engine');
    await release(t, 'DMA_4_0', DOWN);
    await run(t, UP, hold(UP, manager.monitor(), [third], 1));
    await all(t, [['DMA_4_0', set(new CommandStream(), 'ARB_CFG_0', 0)]]);
  });
}
