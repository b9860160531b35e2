/** Messages between network cards: who is not ready, or has no room; completions that tell of themselves; what is counted. */

import assert from 'node:assert/strict';
import { O_RDONLY } from '../../driver/driver.ts';
import { HostBuffer } from '../../runtime/memory.ts';
import type { CompletionQueue } from '../../runtime/verbs/completion-queue.ts';
import type { Declare, TestContext } from '../suite.ts';
import { read, write } from './dmabuf-lib.ts';
import { assertErrno, assertSame, KiB, MiB } from './lib.ts';
import { cardRegion, ended, finished, hostRegion, noiseOf, outcomes, QKEY, reach, side } from './p2p-lib.ts';

const one = { needs: 'nic' } as const;
const pair = { needs: 'nics', devices: 2 } as const;
/** Milliseconds in which an event comes that is due. */
const PATIENCE = 50_000;
/** Nanoseconds for which the kernel shows what it was told last (core/sysfs.c, lifespan of counters). */
const SHOWN = 20_000_000;

/** A write that takes longer than to take its memory back. */
const LONG_WRITE = 64 * MiB;
const TAIL = 64 * KiB;

/** A counter of the first port of a network card. */
function counter(t: TestContext, name: string, device: string): number {
  const { driver } = t.target;
  driver.sleep(SHOWN);
  const fd = driver.open(`/sys/class/infiniband/${device}/ports/1/hw_counters/${name}`, O_RDONLY);
  try {
    const bytes = new Uint8Array(64);
    return Number(new TextDecoder().decode(bytes.subarray(0, driver.read(fd, bytes))));
  } finally {
    driver.close(fd);
  }
}

function messages(test: Declare): void {
  test(
    'a message for which there is no receive is sent again until there is one',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, 4 * KiB);
      const host = hostRegion(nic, 64);
      nic.qp.send(reach(nic), { id: 1, pieces: [host.piece()] });
      assert.deepEqual(nic.cq.poll(), []);
      nic.qp.receive([card.region.piece(0, 64)], 2);
      assert.deepEqual(outcomes(nic, 2), [
        [1, 'OK'],
        [2, 'OK'],
      ]);
      assertSame(await read(t, t.device, card.at, 64), host.bytes.slice(0, 64), 'in the accelerator');
    },
    one,
  );

  test(
    'a message is given up after as many tries as the sender was told, and the next is not',
    (t) => {
      const nic = side(t);
      const qp = nic.pd.createQueuePair({ sendCq: nic.cq });
      qp.modify({ state: 'INIT', qkey: QKEY });
      qp.modify({ state: 'RTR' });
      qp.modify({ state: 'RTS', firstPacket: 0, rnrRetries: 1 });
      const to = { ...reach(nic), qp: qp.number };
      const host = hostRegion(nic, 128);
      qp.send(to, { id: 1, pieces: [host.piece(0, 64)] });
      assert.deepEqual(outcomes(nic, 1), [[1, 'REMOTE_RNR']]);
      qp.receive([host.piece(64, 64)], 2);
      qp.send(to, { id: 3, pieces: [host.piece(0, 64)] });
      assert.deepEqual(outcomes(nic, 2), [
        [2, 'OK'],
        [3, 'OK'],
      ]);
    },
    one,
  );

  test(
    'a message longer than its receive is refused, and both sides learn of it',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, 4 * KiB);
      const before = await read(t, t.device, card.at, 4 * KiB);
      const host = hostRegion(nic, 200);
      nic.qp.receive([card.region.piece(0, 100)], 1);
      nic.qp.send(reach(nic), { id: 2, pieces: [host.piece(0, 101)] });
      assert.deepEqual(outcomes(nic, 2), [
        [1, 'BAD_LENGTH'],
        [2, 'REMOTE_BAD_LENGTH'],
      ]);
      assertSame(await read(t, t.device, card.at, 4 * KiB), before, 'in the accelerator');
    },
    one,
  );

  test(
    'a message is not received where no region is, not even its last bytes',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, 4 * KiB);
      const before = await read(t, t.device, card.at, 4 * KiB);
      const host = hostRegion(nic, 64);
      const { address, lkey } = card.region;
      for (const start of [address + BigInt(4 * KiB - 63), address + BigInt(4 * KiB), address + 2n ** 40n]) {
        const pair = nic.pd.createQueuePair({ sendCq: nic.cq });
        pair.activate(QKEY);
        pair.receive([{ address: start, length: 64, lkey }], 1);
        nic.qp.send({ ...reach(nic), qp: pair.number }, { id: 2, pieces: [host.piece()] });
        assert.deepEqual(outcomes(nic, 2), [
          [1, 'INVALID_LKEY'],
          [2, 'REMOTE_BAD_STATUS'],
        ]);
      }
      assertSame(await read(t, t.device, card.at, 4 * KiB), before, 'in the accelerator');
    },
    one,
  );

  test(
    'a message is not received into a region that the network card may not write',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, 4 * KiB, 0, { localWrite: false, remoteWrite: false });
      const before = await read(t, t.device, card.at, 4 * KiB);
      const host = hostRegion(nic, 64);
      nic.qp.receive([card.region.piece(0, 64)], 1);
      nic.qp.send(reach(nic), { id: 2, pieces: [host.piece()] });
      assert.deepEqual(outcomes(nic, 2), [
        [1, 'INVALID_LKEY'],
        [2, 'REMOTE_BAD_STATUS'],
      ]);
      assertSame(await read(t, t.device, card.at, 4 * KiB), before, 'in the accelerator');
    },
    one,
  );

  test(
    'work with another key than the queue pair’s does not reach it',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, 4 * KiB);
      const before = await read(t, t.device, card.at, 4 * KiB);
      const host = hostRegion(nic, 64);
      for (const qkey of [0, QKEY + 1, 0xffff_ffff]) {
        nic.qp.write({ ...reach(nic), qkey }, { id: 1, local: host.piece(), remote: card.region.at() });
        assert.deepEqual(outcomes(nic, 1), [[1, 'REMOTE_BAD_DEST_QPN']], `0x${qkey.toString(16)}`);
      }
      assertSame(await read(t, t.device, card.at, 4 * KiB), before, 'in the accelerator');
    },
    one,
  );

  test(
    'a queue pair that does not receive yet, or any more, is as none',
    (t) => {
      const nic = side(t);
      const host = hostRegion(nic, 64);
      const qp = nic.pd.createQueuePair({ sendCq: nic.cq });
      const to = { ...reach(nic), qp: qp.number };
      for (const state of ['INIT', 'ERR'] as const) {
        qp.modify(state === 'INIT' ? { state, qkey: QKEY } : { state });
        nic.qp.send(to, { id: 1, pieces: [host.piece()] });
        assert.deepEqual(outcomes(nic, 1), [[1, 'REMOTE_BAD_DEST_QPN']], state);
      }
    },
    one,
  );

  test(
    'a queue pair sends when it is ready to, and in error flushes what it shall send',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, 4 * KiB);
      const before = await read(t, t.device, card.at, 64);
      const host = hostRegion(nic, 64);
      const qp = nic.pd.createQueuePair({ sendCq: nic.cq });
      const work = { local: host.piece(), remote: card.region.at() };
      qp.modify({ state: 'INIT', qkey: QKEY });
      qp.modify({ state: 'RTR' });
      qp.write(reach(nic), { id: 1, ...work });
      nic.qp.write(reach(nic), { id: 2, local: host.piece(), remote: card.region.at(1024) });
      assert.deepEqual(outcomes(nic, 1), [[2, 'OK']]);
      assert.deepEqual(nic.cq.poll(), []);
      assertSame(await read(t, t.device, card.at, 64), before, 'before it is ready to send');
      qp.modify({ state: 'RTS', firstPacket: 0 });
      assert.deepEqual(outcomes(nic, 1), [[1, 'OK']]);
      assertSame(await read(t, t.device, card.at, 64), host.bytes.slice(0, 64), 'when it is');
      qp.modify({ state: 'ERR' });
      qp.write(reach(nic), { id: 3, ...work });
      assert.deepEqual(outcomes(nic, 1), [[3, 'FLUSHED']]);
    },
    one,
  );

  test(
    'what is queued for two queue pairs is told apart',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, 4 * KiB);
      const host = hostRegion(nic, 128);
      const other = nic.pd.createQueuePair({ sendCq: nic.cq });
      other.activate(QKEY);
      for (const [i, qp] of [nic.qp, other].entries())
        qp.queueWrite(reach(nic), { id: i, local: host.piece(64 * i, 64), remote: card.region.at(64 * i) });
      for (const qp of [nic.qp, other]) qp.flush();
      assert.deepEqual(outcomes(nic, 2), [
        [0, 'OK'],
        [1, 'OK'],
      ]);
      assertSame(await read(t, t.device, card.at, 128), host.bytes.slice(0, 128), 'in the accelerator');
    },
    one,
  );

  test(
    'handles and memory of another protection domain, and memory beyond a region, are refused before anything is sent',
    (t) => {
      const nic = side(t);
      const host = hostRegion(nic, 4 * KiB);
      const domain = nic.nic.allocatePd();
      const foreign = { ...nic, pd: domain };
      const theirs = hostRegion(foreign, 4 * KiB);
      const to = reach(nic);
      const ah = domain.createAddressHandle(nic.nic.address());
      nic.qp.send({ ...to, ah }, { id: 1, pieces: [host.piece()] });
      nic.qp.send(to, { id: 2, pieces: [theirs.piece()] });
      nic.qp.send(to, { id: 3, pieces: [{ ...host.piece(), length: 4 * KiB + 1 }] });
      assert.deepEqual(outcomes(nic, 3), [
        [1, 'INVALID_AH'],
        [2, 'INVALID_LKEY'],
        [3, 'INVALID_LKEY'],
      ]);
    },
    one,
  );

  test(
    'a message within the work request itself is received into an accelerator',
    async (t) => {
      const nic = side(t, 0, { inline: 32 });
      const card = cardRegion(nic, t.device, 4 * KiB);
      for (const length of [1, 7, 32]) {
        const inline = noiseOf(t, length);
        nic.qp.receive([card.region.piece(0, 64)], 1);
        nic.qp.send(reach(nic), { id: 2, inline });
        const received = finished(nic, 2).find(({ id }) => id === 1);
        assert.equal(received?.received?.length, length);
        assertSame((await read(t, t.device, card.at, 64)).slice(0, length), inline, `${length} bytes`);
      }
    },
    one,
  );

  test(
    'receives go round their queue, and each message into its own',
    async (t) => {
      const nic = side(t, 0, { receives: 4, sends: 4 });
      const card = cardRegion(nic, t.device, 4 * KiB);
      const host = hostRegion(nic, 4 * KiB);
      for (let round = 0; round < 11; round++) {
        for (const id of [1, 2, 3]) nic.qp.receive([card.region.piece((round * 3 + id) * 64, 64)], id);
        for (const id of [1, 2, 3])
          nic.qp.send(reach(nic), { id: 10, pieces: [host.piece((round * 3 + id) * 64, 64)] });
        finished(nic, 6);
      }
      const all = await read(t, t.device, card.at, 4 * KiB);
      assertSame(all.slice(64, 34 * 64), host.bytes.slice(64, 34 * 64), 'in the accelerator');
    },
    one,
  );

  test(
    'a write with a number takes no receive where none is wanted',
    async (t) => {
      const nic = side(t, 0, { unsolicitedWrites: true, receives: 4 });
      const card = cardRegion(nic, t.device, 4 * KiB);
      const host = hostRegion(nic, 64);
      nic.qp.write(reach(nic), { id: 5, local: host.piece(), remote: card.region.at(), immediate: 0x1234 });
      const told = finished(nic, 2).find(({ operation }) => operation === 'receive-write');
      assert.equal(told?.immediate, 0x1234);
      assertSame(await read(t, t.device, card.at, 64), host.bytes.slice(0, 64), 'in the accelerator');
    },
    one,
  );

  test(
    'who has no handle of the sender is told its address',
    (t) => {
      const [here, there] = [side(t, 0), side(t, 1, { cq: { withAddress: true } })];
      const [from, into] = [hostRegion(here, 64), hostRegion(there, 64)];
      const to = { ah: here.pd.createAddressHandle(there.nic.address()), qp: there.qp.number, qkey: QKEY };
      there.qp.receive([into.piece()], 1);
      here.qp.send(to, { id: 2, pieces: [from.piece()] });
      finished(here);
      const [message] = finished(there);
      assert.deepEqual(message?.received?.address, here.nic.address());
      assert.deepEqual(into.bytes.slice(), from.bytes.slice());
      // by a handle, once there is one
      const known = there.pd.createAddressHandle(here.nic.address());
      there.qp.receive([into.piece()], 1);
      here.qp.send(to, { id: 2, pieces: [from.piece()] });
      finished(here);
      assert.equal(finished(there)[0]?.received?.ah, known.number);
    },
    pair,
  );

  test(
    'a queue pair tells what it was given, and is in the state that it is believed to be in',
    (t) => {
      const nic = side(t);
      t.expectMessages(/Failed to (process command MODIFY_QP|modify qp)/);
      const qp = nic.pd.createQueuePair({ sendCq: nic.cq });
      qp.modify({ state: 'INIT', qkey: 0x77 });
      // the kernel goes by what it is told, the card by what it knows
      assertErrno('EINVAL', () => qp.modify({ state: 'RTS', current: 'RTR', firstPacket: 0 }));
      assert.equal(qp.query().state, 'INIT');
      qp.modify({ state: 'RTR' });
      qp.modify({ state: 'RTS', firstPacket: 0x12_3456, rnrRetries: 5 });
      assert.deepEqual(qp.query(), { state: 'RTS', qkey: 0x77, firstPacket: 0x12_3456, rnrRetries: 5 });
    },
    one,
  );

  test(
    'memory that is taken back in the middle of a write is written no more',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, LONG_WRITE);
      const fresh = noiseOf(t, TAIL);
      await write(t, t.device, card.at + BigInt(LONG_WRITE - TAIL), fresh);
      const host = t.use(new HostBuffer(t.target.driver, LONG_WRITE));
      const region = nic.pd.register(host.address, LONG_WRITE);
      nic.qp.write(reach(nic), { local: card.region.piece(), remote: region.at() });
      region[Symbol.dispose]();
      // by now, or never
      const tail = host.bytes.slice(LONG_WRITE - TAIL);
      ended(nic);
      assertSame(host.bytes.slice(LONG_WRITE - TAIL), tail, 'after the memory was taken back');
    },
    one,
  );
}

function events(test: Declare): void {
  test(
    'a channel tells of the completions that were asked for, once each, and of which queue',
    (t) => {
      const nic = side(t);
      const channel = nic.nic.createCompletionChannel();
      const vectors = [0, nic.nic.completionVectors - 1];
      const sides = vectors.map((vector) => {
        const cq = nic.nic.createCq({ channel, vector, entries: 16 });
        const qp = nic.pd.createQueuePair({ sendCq: cq, sends: 8 });
        qp.activate(QKEY);
        return { ...nic, cq, qp };
      });
      const host = hostRegion(nic, 128);
      const work = { local: host.piece(0, 64), remote: host.at(64) };
      const told = (timeout: number): CompletionQueue | undefined => channel.wait(timeout);
      for (const each of sides) {
        const to = reach(each);
        each.qp.write(to, work);
        finished(each);
        assert.equal(told(0), undefined, 'nobody has asked');
        // twice round the ring of events would be too long; more than once is enough
        for (let i = 0; i < 5; i++) {
          each.cq.arm();
          each.qp.write(to, work);
          assert.equal(told(PATIENCE), each.cq);
          finished(each);
          assert.equal(told(0), undefined, 'once each');
          each.qp.write(to, work);
          finished(each);
          assert.equal(told(0), undefined, 'nobody has asked again');
        }
      }
    },
    one,
  );

  test(
    'what was sent, written and read is counted, by the port',
    (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, 64 * KiB);
      const host = hostRegion(nic, 64 * KiB);
      const to = reach(nic);
      const expected = {
        send_wrs: 1,
        send_bytes: 100,
        recv_wrs: 1,
        recv_bytes: 100,
        rdma_write_wrs: 2,
        rdma_write_bytes: 1024,
        rdma_write_wr_err: 1,
        rdma_write_recv_bytes: 1024,
        rdma_read_wrs: 1,
        rdma_read_bytes: 300,
        rdma_read_wr_err: 0,
        rdma_read_resp_bytes: 300,
      };
      const names = [...Object.keys(expected), 'tx_pkts'];
      const counters = () => names.map((name) => counter(t, name, nic.nic.device.name));
      const before = counters();
      nic.qp.write(to, { id: 1, local: host.piece(0, 8), remote: card.region.at(), length: 9 });
      assert.deepEqual(outcomes(nic, 1), [[1, 'BAD_LENGTH']]);
      nic.qp.write(to, { local: host.piece(0, 1000), remote: card.region.at() });
      nic.qp.write(to, { local: host.piece(0, 24), remote: card.region.at() });
      nic.qp.read(to, { local: host.piece(0, 300), remote: card.region.at() });
      nic.qp.receive([card.region.piece(0, 200)], 1);
      nic.qp.send(to, { pieces: [host.piece(0, 100)] });
      finished(nic, 5);
      const more = counters().map((value, i) => value - (before[i] as number));
      const packets = more.pop() as number;
      assert.deepEqual(more, Object.values(expected));
      assert.ok(packets >= 4, `${packets} packets`);
    },
    one,
  );
}

export function messageTests(test: Declare): void {
  messages(test);
  events(test);
}
