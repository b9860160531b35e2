/** Work requests that a network card refuses, or ends: by what is in them, by who they go to, by the state of their queue pair. */

import assert from 'node:assert/strict';
import type { WorkStatus } from '../../runtime/verbs/completion.ts';
import { qpAttributeMask } from '../../uapi/rdma/ib.ts';
import type { Declare } from '../suite.ts';
import { MiB } from './lib.ts';
import { BareQueuePair, query } from './p2p-bare.ts';
import { ended, finished, hostRegion, noiseOf, outcomes, QKEY, reach, side } from './p2p-lib.ts';

const one = { needs: 'nic' } as const;
/** Nanoseconds after which seven tries are over, and the eighth is not due for long (each waits twice as long as the last). */
const SEVEN_TRIES = 30_000_000;

export function refusalTests(test: Declare): void {
  requests(test);
  datagrams(test);
  underWay(test);
}

function requests(test: Declare): void {
  test(
    'work requests that say of themselves what cannot be',
    (t) => {
      const nic = side(t);
      const host = hostRegion(nic, 256);
      const before = host.bytes.slice();
      const to = { ...reach(nic) };
      const work = { local: host.piece(0, 64), remote: host.at(128) };
      const qp = new BareQueuePair(nic).activate();
      let request = 0;
      const refused = (status: WorkStatus, what: string) =>
        assert.deepEqual(outcomes(nic, 1), [[request, status]], what);

      qp.send(++request, to, { inline: noiseOf(t, 32) }, { length: 33 });
      refused('BAD_LENGTH', 'more bytes than the work request has');
      qp.send(++request, to, { pieces: [host.piece(0, 64), host.piece(64, 64)] }, { length: 3 });
      refused('BAD_LENGTH', 'more pieces than the work request has');
      qp.write(++request, to, work, { length: 2 });
      refused('BAD_LENGTH', 'more pieces than a write has');
      for (const length of [0, 1, 63, 65, 128]) {
        qp.write(++request, to, { ...work, length });
        refused('BAD_LENGTH', `a piece of 64 bytes for ${length}`);
      }
      for (const other of [{ meta_desc: 0 }, { first: 0 }, { last: 0 }, { meta_extension: 1 }]) {
        qp.write(++request, to, work, other);
        refused('QP_INTERNAL_ERROR', JSON.stringify(other));
      }
      for (const operation of [3, 4, 7]) {
        qp.write(++request, to, work, { op_type: operation });
        refused('UNSUPPORTED_OP', `operation ${operation}`);
      }
      nic.qp.read(to, { id: ++request, ...work, immediate: 5 });
      refused('UNSUPPORTED_OP', 'a number with a read');
      assert.deepEqual(host.bytes.slice(), before);

      qp.write(++request, to, work);
      finished(nic);
      assert.deepEqual(host.bytes.slice(128, 192), before.slice(0, 64));
    },
    one,
  );

  test(
    'datagrams are all that a queue pair for datagrams sends and receives',
    (t) => {
      const nic = side(t);
      const host = hostRegion(nic, 256);
      const before = host.bytes.slice();
      const ud = nic.pd.createQueuePair({ sendCq: nic.cq, type: 'UD' });
      ud.activate(QKEY);
      ud.receive([host.piece(128, 128)], 1);
      const to = reach(nic);
      const work = { local: host.piece(0, 64), remote: host.at(64) };
      ud.write(to, { id: 2, ...work });
      assert.deepEqual(outcomes(nic, 1), [[2, 'UNSUPPORTED_OP']]);
      ud.read(to, { id: 3, ...work });
      assert.deepEqual(outcomes(nic, 1), [[3, 'UNSUPPORTED_OP']]);
      nic.qp.send({ ...to, qp: ud.number }, { id: 4, pieces: [host.piece(0, 64)] });
      assert.deepEqual(outcomes(nic, 1), [[4, 'REMOTE_BAD_DEST_QPN']]);
      assert.deepEqual(host.bytes.slice(), before);
    },
    one,
  );

  test(
    'work tells of its end where it was asked to, and where it fails',
    (t) => {
      const nic = side(t);
      const host = hostRegion(nic, 256);
      const to = reach(nic);
      const qp = new BareQueuePair(nic).activate();
      const work = { local: host.piece(0, 64), remote: host.at(64) };
      qp.write(1, to, work, { comp_req: 0 });
      qp.write(2, to, { ...work, length: 65 }, { comp_req: 0 });
      qp.write(3, to, { ...work, remote: host.at(128) });
      assert.deepEqual(outcomes(nic, 2), [
        [2, 'BAD_LENGTH'],
        [3, 'OK'],
      ]);
      for (const at of [64, 128]) assert.deepEqual(host.bytes.slice(at, at + 64), host.bytes.slice(0, 64));
      assert.deepEqual(nic.cq.poll(), []);
    },
    one,
  );

  test(
    'nobody at an address: the sender gives up, and says so',
    (t) => {
      const nic = side(t);
      const host = hostRegion(nic, 64);
      const address = nic.nic.address();
      address[15] = (address[15] as number) ^ 0x55;
      const ah = nic.pd.createAddressHandle(address);
      nic.qp.send({ ah, qp: nic.qp.number, qkey: QKEY }, { id: 1, pieces: [host.piece()] });
      assert.deepEqual(outcomes(nic, 1), [[1, 'UNREACH_REMOTE']]);
    },
    one,
  );
}

function datagrams(test: Declare): void {
  test(
    'a datagram that its receive has no room for ends the receive, and is not seen',
    (t) => {
      const nic = side(t, 0, { type: 'UD' });
      const [from, into] = [hostRegion(nic, 128), hostRegion(nic, 168)];
      const before = into.bytes.slice();
      nic.qp.receive([into.piece(0, 167)], 1);
      nic.qp.send(reach(nic), { id: 2, pieces: [from.piece()] });
      assert.deepEqual(outcomes(nic, 2), [
        [1, 'BAD_LENGTH'],
        [2, 'OK'],
      ]);
      assert.deepEqual(into.bytes.slice(), before);
      nic.qp.receive([into.piece(0, 168)], 3);
      nic.qp.send(reach(nic), { id: 4, pieces: [from.piece()] });
      finished(nic, 2);
      assert.deepEqual(into.bytes.slice(40), from.bytes.slice());
    },
    one,
  );

  test(
    'a datagram with another key than the queue pair’s is lost',
    (t) => {
      const nic = side(t, 0, { type: 'UD' });
      const [from, into] = [hostRegion(nic, 128), hostRegion(nic, 128)];
      nic.qp.receive([into.piece()], 1);
      for (const qkey of [0, QKEY + 1, 0xffff_ffff]) {
        nic.qp.send({ ...reach(nic), qkey }, { id: 2, pieces: [from.piece(64, 64)] });
        assert.deepEqual(outcomes(nic, 1), [[2, 'OK']], 'the sender does not know');
      }
      nic.qp.send(reach(nic), { id: 3, pieces: [from.piece(0, 64)] });
      assert.deepEqual(outcomes(nic, 2), [
        [1, 'OK'],
        [3, 'OK'],
      ]);
      assert.deepEqual(into.bytes.slice(40, 104), from.bytes.slice(0, 64));
    },
    one,
  );

  test(
    'datagrams tell of their end where they were asked to, and where they fail',
    (t) => {
      const nic = side(t);
      const ud = side(t, 0, { type: 'UD' });
      const [from, into] = [hostRegion(nic, 64), hostRegion(ud, 256)];
      const to = { ...reach(nic), qp: ud.qp.number };
      ud.qp.receive([into.piece(0, 128)], 1);
      ud.qp.receive([into.piece(128, 128)], 2);
      const qp = new BareQueuePair(nic, { type: 'UD' }).activate();
      qp.send(3, to, { pieces: [from.piece()] }, { comp_req: 0 });
      qp.send(4, to, { pieces: [{ ...from.piece(), length: 65 }] }, { comp_req: 0 });
      qp.send(5, to, { pieces: [from.piece()] });
      finished(ud, 2);
      assert.deepEqual(outcomes(nic, 2), [
        [4, 'INVALID_LKEY'],
        [5, 'OK'],
      ]);
      assert.deepEqual(nic.cq.poll(), []);
    },
    one,
  );

  test(
    'a message is told with the handle that its receiver’s protection domain has of the sender',
    (t) => {
      const nic = side(t);
      const host = hostRegion(nic, 256);
      const other = { ...nic, pd: nic.nic.allocatePd() };
      const qp = other.pd.createQueuePair({ sendCq: nic.cq });
      qp.activate(QKEY);
      const into = hostRegion(other, 64);
      // the first that the card was told of is of another domain
      const to = { ...reach(nic), qp: qp.number };
      const own = other.pd.createAddressHandle(nic.nic.address());
      qp.receive([into.piece()], 1);
      nic.qp.send(to, { id: 2, pieces: [host.piece(0, 64)] });
      const received = finished(nic, 2).find(({ id }) => id === 1);
      assert.equal(received?.received?.ah, own.number);
      assert.notEqual(own.number, to.ah.number);
    },
    one,
  );
}

function underWay(test: Declare): void {
  test(
    'a message that is to be tried for ever is, more than seven times',
    (t) => {
      const nic = side(t);
      const qp = nic.pd.createQueuePair({ sendCq: nic.cq });
      qp.modify({ state: 'INIT', qkey: QKEY });
      qp.modify({ state: 'RTR' });
      qp.modify({ state: 'RTS', firstPacket: 0, rnrRetries: 7 });
      const host = hostRegion(nic, 128);
      qp.send(reach(nic), { id: 1, pieces: [host.piece(0, 64)] });
      t.target.driver.sleep(SEVEN_TRIES);
      assert.deepEqual(nic.cq.poll(), []);
      nic.qp.receive([host.piece(64, 64)], 2);
      assert.deepEqual(outcomes(nic, 2), [
        [1, 'OK'],
        [2, 'OK'],
      ]);
    },
    one,
  );

  test(
    'a message that waits for a receive is flushed when its queue pair goes to ERR',
    (t) => {
      const nic = side(t);
      const qp = nic.pd.createQueuePair({ sendCq: nic.cq });
      qp.activate(QKEY);
      const host = hostRegion(nic, 192);
      qp.send(reach(nic), { id: 1, pieces: [host.piece(0, 64)] });
      assert.deepEqual(nic.cq.poll(), []);
      qp.modify({ state: 'ERR' });
      assert.deepEqual(outcomes(nic, 1), [[1, 'FLUSHED']]);
      // it is not sent any more: the receive is for another
      nic.qp.receive([host.piece(128, 64)], 2);
      nic.qp.send(reach(nic), { id: 3, pieces: [host.piece(64, 64)] });
      assert.deepEqual(outcomes(nic, 2), [
        [2, 'OK'],
        [3, 'OK'],
      ]);
      assert.deepEqual(host.bytes.slice(128), host.bytes.slice(64, 128));
    },
    one,
  );

  test(
    'a message that waits for a receive is forgotten when its queue pair goes to RESET',
    (t) => {
      const nic = side(t);
      const qp = nic.pd.createQueuePair({ sendCq: nic.cq });
      qp.activate(QKEY);
      const host = hostRegion(nic, 192);
      qp.send(reach(nic), { id: 1, pieces: [host.piece(0, 64)] });
      t.target.driver.sleep(SEVEN_TRIES);
      qp.modify({ state: 'RESET' });
      qp.activate(QKEY);
      nic.qp.receive([host.piece(128, 64)], 2);
      t.target.driver.sleep(2 * SEVEN_TRIES);
      assert.deepEqual(nic.cq.poll(), []);
      qp.send(reach(nic), { id: 3, pieces: [host.piece(64, 64)] });
      assert.deepEqual(outcomes(nic, 2), [
        [2, 'OK'],
        [3, 'OK'],
      ]);
      assert.deepEqual(host.bytes.slice(128), host.bytes.slice(64, 128));
    },
    one,
  );

  test(
    'a receive that a write was about to end is forgotten when its queue pair goes to RESET',
    (t) => {
      const nic = side(t);
      const host = hostRegion(nic, 32 * MiB);
      const qp = nic.pd.createQueuePair({ sendCq: nic.nic.createCq() });
      qp.activate(QKEY);
      const to = { ...reach(nic), qp: qp.number };
      qp.receive([host.piece(0, 64)], 1);
      nic.qp.write(to, { id: 2, local: host.piece(0, 16 * MiB), remote: host.at(16 * MiB), immediate: 7 });
      qp.modify({ state: 'RESET' });
      // what came before is there by now, and nothing comes after it
      qp.sendCq.poll();
      qp.activate(QKEY);
      ended(nic);
      qp.receive([host.piece(0, 64)], 3);
      nic.qp.send(to, { id: 4, pieces: [host.piece(64, 64)] });
      finished(nic);
      assert.deepEqual(outcomes({ cq: qp.sendCq }, 1), [[3, 'OK']]);
      assert.deepEqual(qp.sendCq.poll(), []);
    },
    one,
  );

  test(
    'a queue that is drained says so when nothing of it is under way any more',
    (t) => {
      const nic = side(t);
      const qp = nic.pd.createQueuePair({ sendCq: nic.cq });
      qp.activate(QKEY);
      const host = hostRegion(nic, 128);
      const state = qpAttributeMask.IB_QP_STATE.value;
      const draining = () => query(nic, qp.handle, state).sq_draining;
      qp.send(reach(nic), { id: 1, pieces: [host.piece(0, 64)] });
      // it waits for a receive, so that what another queue pair does comes to its end behind it
      nic.qp.write(reach(nic), { id: 2, local: host.piece(0, 64), remote: host.at(64) });
      assert.deepEqual(outcomes(nic, 1), [[2, 'OK']]);
      qp.modify({ state: 'SQD' });
      assert.equal(draining(), 1);
      nic.qp.receive([host.piece(64, 64)], 3);
      assert.deepEqual(outcomes(nic, 2), [
        [1, 'OK'],
        [3, 'OK'],
      ]);
      assert.equal(draining(), 0);
    },
    one,
  );
}
