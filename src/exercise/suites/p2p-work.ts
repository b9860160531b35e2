/** Work that a network card must not do: keys, bounds, permissions, queues and objects that are not, or not any more. */

import assert from 'node:assert/strict';
import type { WorkStatus } from '../../runtime/verbs/completion.ts';
import { WorkQueueFullError } from '../../runtime/verbs/errors.ts';
import type { QueuePair } from '../../runtime/verbs/queue-pair.ts';
import type { Declare } from '../suite.ts';
import { read, write } from './dmabuf-lib.ts';
import { assertErrno, assertSame, KiB, MiB } from './lib.ts';
import { cardRegion, ended, finished, hostRegion, noiseOf, reach, type Side, side } from './p2p-lib.ts';

const one = { needs: 'nic' } as const;
const pair = { needs: 'nics', devices: 2 } as const;

/** The next completion's status. */
function statusOf(nic: Side): WorkStatus {
  const [completion] = ended(nic);
  return completion?.status as WorkStatus;
}

/** The queue pair still works: what was refused has no effect on what comes after it. */
function stillWorks(nic: Side, qp: QueuePair = nic.qp): void {
  const host = hostRegion(nic, 128);
  const to = { ...reach(nic), qp: qp.number };
  qp.write(to, { local: host.piece(0, 64), remote: host.at(64) });
  finished(nic);
  assert.deepEqual(host.bytes.slice(64), host.bytes.slice(0, 64));
}

export function workTests(test: Declare): void {
  test(
    'beyond the end of a region, before its beginning, and around the end of addresses',
    async (t) => {
      const nic = side(t);
      const to = reach(nic);
      const card = cardRegion(nic, t.device, 64 * KiB, 64 * KiB, { address: 0x10_0000n });
      const before = noiseOf(t, 192 * KiB);
      await write(t, t.device, card.at - BigInt(64 * KiB), before);
      const host = hostRegion(nic, 128 * KiB);
      const { rkey, address } = card.region;
      const end = address + BigInt(64 * KiB);
      for (const [start, length] of [
        [end - 8n, 9],
        [end, 1],
        [address - 1n, 1],
        [address - 1n, 64 * KiB],
        [address, 64 * KiB + 1],
        [0xffff_ffff_ffff_ff00n, 512],
        [0n, 64],
      ] as const) {
        const remote = { address: start, rkey };
        nic.qp.write(to, { local: host.piece(0, length), remote });
        assert.equal(statusOf(nic), 'REMOTE_BAD_ADDRESS', `write of ${length} at 0x${start.toString(16)}`);
        nic.qp.read(to, { local: host.piece(0, length), remote });
        assert.equal(statusOf(nic), 'REMOTE_BAD_ADDRESS', `read of ${length} at 0x${start.toString(16)}`);
      }
      assertSame(await read(t, t.device, card.at - BigInt(64 * KiB), 192 * KiB), before, 'in the accelerator');
      stillWorks(nic);
    },
    one,
  );

  test(
    'keys that nobody was given',
    (t) => {
      const nic = side(t);
      const to = reach(nic);
      const card = cardRegion(nic, t.device, 4 * KiB);
      const host = hostRegion(nic, 4 * KiB);
      const { address, rkey, lkey } = card.region;
      for (const key of [0, rkey ^ 1, rkey ^ 0x8000_0000, lkey === rkey ? 7 : lkey, 0xffff_ffff]) {
        nic.qp.write(to, { local: host.piece(), remote: { address, rkey: key >>> 0 } });
        assert.equal(statusOf(nic), 'REMOTE_BAD_ADDRESS', `0x${(key >>> 0).toString(16)}`);
      }
      for (const key of [0, lkey + 100, 0xff_ffff]) {
        nic.qp.write(to, { local: { address, length: 64, lkey: key }, remote: host.at() });
        assert.equal(statusOf(nic), 'INVALID_LKEY', `0x${key.toString(16)}`);
      }
      stillWorks(nic);
    },
    one,
  );

  test(
    'a region that may only be read is not written, and one that may only be written is not read',
    async (t) => {
      const nic = side(t);
      const to = reach(nic);
      const bytes = noiseOf(t, 8 * KiB);
      const readable = cardRegion(nic, t.device, 4 * KiB, 0, { remoteWrite: false });
      const writable = cardRegion(nic, t.device, 4 * KiB, 4 * KiB, { remoteRead: false });
      await write(t, t.device, readable.at, bytes);
      const host = hostRegion(nic, 4 * KiB);
      nic.qp.write(to, { local: host.piece(), remote: readable.region.at() });
      assert.equal(statusOf(nic), 'REMOTE_BAD_ADDRESS');
      nic.qp.read(to, { local: host.piece(), remote: writable.region.at() });
      assert.equal(statusOf(nic), 'REMOTE_BAD_ADDRESS');
      assertSame(await read(t, t.device, readable.at, 8 * KiB), bytes, 'in the accelerator');
      nic.qp.read(to, { local: host.piece(), remote: readable.region.at() });
      nic.qp.write(to, { local: host.piece(), remote: writable.region.at() });
      finished(nic, 2);
    },
    one,
  );

  test(
    'a region that the network card may not write takes no read, and no message',
    async (t) => {
      const nic = side(t);
      const to = reach(nic);
      const bytes = noiseOf(t, 4 * KiB);
      const access = { localWrite: false, remoteWrite: false };
      const card = cardRegion(nic, t.device, 4 * KiB, 0, access);
      await write(t, t.device, card.at, bytes);
      const host = hostRegion(nic, 4 * KiB);
      nic.qp.read(to, { local: card.region.piece(), remote: host.at() });
      assert.equal(statusOf(nic), 'INVALID_LKEY');
      assertSame(await read(t, t.device, card.at, 4 * KiB), bytes, 'in the accelerator');
      nic.qp.write(to, { local: card.region.piece(), remote: host.at() });
      finished(nic);
      assert.deepEqual(host.bytes.slice(), bytes);
    },
    one,
  );

  test(
    'a region of another protection domain is as none, on either side',
    (t) => {
      const nic = side(t);
      const to = reach(nic);
      const other = { t, pd: nic.nic.allocatePd() };
      const card = cardRegion(other, t.device, 4 * KiB);
      const host = hostRegion(nic, 4 * KiB);
      nic.qp.write(to, { local: host.piece(), remote: card.region.at() });
      assert.equal(statusOf(nic), 'REMOTE_BAD_ADDRESS');
      nic.qp.write(to, { local: card.region.piece(), remote: host.at() });
      assert.equal(statusOf(nic), 'INVALID_LKEY');
      stillWorks(nic);
    },
    one,
  );

  test(
    'a region that was taken back is reached no more',
    async (t) => {
      const nic = side(t);
      const to = reach(nic);
      const card = cardRegion(nic, t.device, 4 * KiB);
      const host = hostRegion(nic, 4 * KiB);
      nic.qp.write(to, { local: host.piece(), remote: card.region.at() });
      finished(nic);
      card.region[Symbol.dispose]();
      const bytes = noiseOf(t, 4 * KiB);
      await write(t, t.device, card.at, bytes);
      nic.qp.write(to, { local: host.piece(), remote: card.region.at() });
      assert.equal(statusOf(nic), 'REMOTE_BAD_ADDRESS');
      nic.qp.read(to, { local: card.region.piece(), remote: host.at() });
      assert.equal(statusOf(nic), 'INVALID_LKEY');
      assertSame(await read(t, t.device, card.at, 4 * KiB), bytes, 'in the accelerator');
    },
    one,
  );

  test(
    'a key of the last registration does not open the next',
    (t) => {
      const nic = side(t);
      const to = reach(nic);
      const host = hostRegion(nic, 4 * KiB);
      const first = cardRegion(nic, t.device, 4 * KiB);
      const { rkey, address } = first.region;
      first.region[Symbol.dispose]();
      const second = cardRegion(nic, t.device, 4 * KiB);
      assert.notEqual(second.region.rkey, rkey);
      nic.qp.write(to, { local: host.piece(), remote: { address, rkey } });
      assert.equal(statusOf(nic), 'REMOTE_BAD_ADDRESS');
    },
    one,
  );

  test(
    'work for a queue pair that is not ends with an error',
    (t) => {
      const nic = side(t);
      const to = reach(nic);
      const card = cardRegion(nic, t.device, 4 * KiB);
      const host = hostRegion(nic, 4 * KiB);
      const gone = nic.pd.createQueuePair({ sendCq: nic.cq });
      gone.activate(1);
      gone[Symbol.dispose]();
      for (const qp of [gone.number, 0xffff]) {
        nic.qp.write({ ...to, qp }, { local: host.piece(), remote: card.region.at() });
        assert.equal(statusOf(nic), 'REMOTE_BAD_DEST_QPN', `queue pair ${qp}`);
      }
      stillWorks(nic);
    },
    one,
  );

  test(
    'a queue pair in state ERR flushes what it is given and what it held',
    (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, 4 * KiB);
      nic.qp.receive([card.region.piece(0, 64)], 11);
      nic.qp.receive([card.region.piece(64, 64)], 12);
      nic.qp.modify({ state: 'ERR' });
      assert.deepEqual(
        ended(nic, 2).map(({ id, status }) => [id, status]),
        [
          [11, 'FLUSHED'],
          [12, 'FLUSHED'],
        ],
      );
      assert.equal(nic.qp.query().state, 'ERR');
    },
    one,
  );

  test(
    'a queue pair goes from ERR to RESET and works again',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, 4 * KiB);
      nic.qp.modify({ state: 'ERR' });
      nic.qp.modify({ state: 'RESET' });
      nic.qp.activate(0x1111);
      const host = hostRegion(nic, 4 * KiB);
      nic.qp.write(reach(nic), { local: host.piece(), remote: card.region.at() });
      finished(nic);
      assertSame(await read(t, t.device, card.at, 4 * KiB), host.bytes.slice(), 'in the accelerator');
    },
    one,
  );

  test(
    'states that do not follow one another',
    (t) => {
      const nic = side(t);
      const fresh = nic.pd.createQueuePair({ sendCq: nic.cq });
      assertErrno('EINVAL', () => fresh.modify({ state: 'RTS' }));
      assertErrno('EINVAL', () => fresh.modify({ state: 'RTR' }));
      fresh.modify({ state: 'INIT', qkey: 1 });
      assertErrno('EINVAL', () => fresh.modify({ state: 'RTS' }));
      assert.equal(fresh.query().state, 'INIT');
    },
    one,
  );

  test(
    'a full send queue takes no more until completions are polled',
    (t) => {
      const nic = side(t, 0, { sends: 4 });
      const to = reach(nic);
      const card = cardRegion(nic, t.device, 4 * KiB);
      const host = hostRegion(nic, 64);
      const work = { local: host.piece(), remote: card.region.at() };
      for (let i = 0; i < 4; i++) nic.qp.queueWrite(to, work);
      assert.throws(() => nic.qp.queueWrite(to, work), WorkQueueFullError);
      nic.qp.flush();
      finished(nic, 4);
      nic.qp.write(to, work);
      finished(nic);
    },
    one,
  );

  test(
    'a write larger than the device takes is refused, and nothing of it is written',
    async (t) => {
      const nic = side(t);
      const { max_rdma_size: most } = nic.nic.query();
      const card = cardRegion(nic, t.device, most + MiB);
      const bytes = noiseOf(t, 4 * KiB);
      await write(t, t.device, card.at, bytes);
      const work = { local: card.region.piece(0, most + 1), remote: card.region.at(MiB) };
      nic.qp.write(reach(nic), work);
      assert.equal(statusOf(nic), 'BAD_LENGTH');
      assertSame(await read(t, t.device, card.at, 4 * KiB), bytes, 'in the accelerator');
    },
    one,
  );

  test(
    'a peer that does not know the address of the other serves no reads and writes',
    (t) => {
      const [here, there] = [side(t, 0), side(t, 1)];
      const card = cardRegion(there, t.device, 4 * KiB);
      const host = hostRegion(here, 4 * KiB);
      const ah = here.pd.createAddressHandle(there.nic.address());
      const to = { ah, qp: there.qp.number, qkey: 0x1111 };
      here.qp.write(to, { local: host.piece(), remote: card.region.at() });
      assert.equal(statusOf(here), 'REMOTE_UNKNOWN_PEER');
      there.pd.createAddressHandle(here.nic.address());
      here.qp.write(to, { local: host.piece(), remote: card.region.at() });
      finished(here);
    },
    pair,
  );
}
