/** Queues of a network card: sizes and attributes that are refused, what is mapped of them, memory that goes round, events. */

import assert from 'node:assert/strict';
import { rxDescriptor, TX_WQE } from '../../../specs/efa/io.ts';
import { PROT_WRITE } from '../../driver/driver.ts';
import { qpAttributeMask, qpStates } from '../../uapi/rdma/ib.ts';
import { values } from '../../uapi/rows.ts';
import type { Declare } from '../suite.ts';
import { assertErrno } from './lib.ts';
import { BareQueuePair, modify, PAGE, query } from './p2p-bare.ts';
import { hostRegion, QKEY, reach, side } from './p2p-lib.ts';

const one = { needs: 'nic' } as const;
const MASK = values(qpAttributeMask);
const STATE = values(qpStates);
/** More than there are in the ring of events that the driver makes (efa_main.c, max_eq_depth of the card). */
const EVENTS = 4100;
/** Milliseconds in which an event comes that is due. */
const PATIENCE = 50_000;
/** What the driver logs where the card refuses. */
const refusal = (command: string, what: string) => [
  new RegExp(`Failed to process command ${command} `),
  new RegExp(`Failed to ${what}`),
];

export function queueTests(test: Declare): void {
  sizes(test);
  states(test);
  memory(test);
}

function sizes(test: Declare): void {
  test(
    'queues larger than the card has, or with more pieces',
    (t) => {
      const nic = side(t);
      const make = (options: object) => nic.pd.createQueuePair({ sendCq: nic.cq, ...options });
      for (const options of [
        { sends: 8192 },
        { receives: 65_536 },
        { sendPieces: 3 },
        { receivePieces: 3 },
        { inline: 81 },
        { inline: 0xffff_ffff },
      ])
        assertErrno('EINVAL', () => make(options));
      assertErrno('EINVAL', () => nic.nic.createCq({ entries: 65_536 }));
      assertErrno('EINVAL', () => nic.nic.createCq({ entries: 0 }));
      make({ sendPieces: 2, receivePieces: 2, inline: 32 })[Symbol.dispose]();
    },
    one,
  );

  test(
    'queues whose sizes are no powers of two, and work requests of a size that there is not',
    (t) => {
      t.expectMessages(...refusal('CREATE_QP', 'create qp'), ...refusal('CREATE_CQ', 'create cq'));
      const nic = side(t);
      // one of each: the kernel prints ten such lines in five seconds, whichever command they are of
      for (const [sends, input] of [
        [4, { rq_ring_size: 6 * rxDescriptor.size }],
        [6, { sq_ring_size: 6 * TX_WQE.SIZE }],
        [4, { sq_ring_size: 4 * 96 }],
      ] as const)
        assertErrno('EINVAL', () => new BareQueuePair(nic, { cap: { max_send_wr: sends }, input }));
      assertErrno('EINVAL', () => nic.nic.createCq({ entries: 100 }));
    },
    one,
  );

  test(
    'what is reserved in what the driver is told, and a service level that there is not',
    (t) => {
      t.expectMessages(...refusal('CREATE_QP', 'create qp'));
      const nic = side(t);
      const reserved = new Uint8Array(5);
      reserved[4] = 1;
      assertErrno('EINVAL', () => new BareQueuePair(nic, { input: { reserved_98: reserved } }));
      assertErrno('EOPNOTSUPP', () => new BareQueuePair(nic, { input: { comp_mask: 1 } }));
      assertErrno('EOPNOTSUPP', () => new BareQueuePair(nic, { input: { flags: 0x8000 } }));
      assertErrno('EINVAL', () => new BareQueuePair(nic, { input: { sl: 1 } }));
      new BareQueuePair(nic).destroy();
    },
    one,
  );

  test(
    'a region of more pages than the card takes',
    (t) => {
      t.expectMessages(...refusal('REG_MR', 'register mr'));
      const nic = side(t);
      const pages = BigInt(nic.nic.query().max_mr_size) / BigInt(PAGE);
      // an address that no larger page begins at has it told in the smallest
      const address = 0x7000_1000n;
      const length = Number(pages) * PAGE;
      using buffer = t.device.exportDmaBuf(t.device.dram.base, length + PAGE);
      assertErrno('ENOMEM', () => nic.pd.registerDmaBuf(buffer.fd, length + PAGE, { address }));
    },
    one,
  );
}

function states(test: Declare): void {
  test(
    'changes of state that lack an attribute, or have one too many',
    (t) => {
      const nic = side(t);
      const qp = nic.pd.createQueuePair({ sendCq: nic.cq });
      const refused = (change: Parameters<typeof qp.modify>[0]) => assertErrno('EINVAL', () => qp.modify(change));
      refused({ state: 'INIT' });
      refused({ state: 'INIT', qkey: QKEY, firstPacket: 0 });
      assert.equal(qp.query().state, 'RESET');
      qp.modify({ state: 'INIT', qkey: QKEY });
      refused({ state: 'RTR', firstPacket: 0 });
      refused({ state: 'RTR', rnrRetries: 1 });
      assert.equal(qp.query().state, 'INIT');
      qp.modify({ state: 'RTR' });
      refused({ state: 'RTS' });
      assert.equal(qp.query().state, 'RTR');
      qp.modify({ state: 'RTS', firstPacket: 0, rnrRetries: 1 });
      refused({ state: 'ERR', qkey: 1 });
      assert.deepEqual(qp.query(), { state: 'RTS', qkey: QKEY, firstPacket: 0, rnrRetries: 1 });
    },
    one,
  );

  test(
    'a queue pair for datagrams has nothing that it would try again',
    (t) => {
      const nic = side(t);
      const qp = nic.pd.createQueuePair({ sendCq: nic.cq, type: 'UD' });
      qp.modify({ state: 'INIT', qkey: QKEY });
      qp.modify({ state: 'RTR' });
      assertErrno('EINVAL', () => qp.modify({ state: 'RTS', firstPacket: 0, rnrRetries: 1 }));
      assert.equal(qp.query().state, 'RTR');
    },
    one,
  );

  test(
    'attributes that the card has not, to be changed or asked for',
    (t) => {
      const nic = side(t);
      const qp = nic.pd.createQueuePair({ sendCq: nic.cq });
      const start = MASK.IB_QP_STATE | MASK.IB_QP_PKEY_INDEX | MASK.IB_QP_PORT | MASK.IB_QP_QKEY;
      const change = { attr_mask: start, qp_state: STATE.IB_QPS_INIT, qkey: QKEY, port_num: 1 };
      assertErrno('EOPNOTSUPP', () =>
        modify(nic, qp.handle, { ...change, attr_mask: start | MASK.IB_QP_ACCESS_FLAGS, qp_access_flags: 1 }),
      );
      assertErrno('EOPNOTSUPP', () => modify(nic, qp.handle, { ...change, pkey_index: 1 }));
      for (const port of [0, 2, 255])
        assertErrno('EINVAL', () => modify(nic, qp.handle, { ...change, port_num: port }));
      assert.equal(qp.query().state, 'RESET');
      for (const mask of [MASK.IB_QP_ACCESS_FLAGS, MASK.IB_QP_STATE | MASK.IB_QP_CUR_STATE])
        assertErrno('EOPNOTSUPP', () => query(nic, qp.handle, mask));
      modify(nic, qp.handle, change);
      assert.equal(qp.query().state, 'INIT');
    },
    one,
  );
}

function memory(test: Declare): void {
  test(
    'queues are mapped as they are: whole, from their beginning, while they are there',
    (t) => {
      const nic = side(t);
      const qp = new BareQueuePair(nic, { cap: { max_send_wr: 128 }, input: { sq_ring_size: 128 * TX_WQE.SIZE } });
      const { llq_desc_mmap_key: queue, sq_db_mmap_key: doorbell, rq_mmap_key: ring } = qp.told;
      for (const [length, key] of [
        [PAGE, queue],
        [3 * PAGE, queue],
        [PAGE, queue + BigInt(PAGE)],
        [2 * PAGE, doorbell],
        [2 * PAGE, ring],
      ] as const)
        assertErrno('EINVAL', () => qp.map(length, key));
      for (const key of [doorbell + 1n, doorbell + 2048n]) assertErrno('EINVAL', () => qp.map(PAGE, key, PROT_WRITE));
      assertErrno('EINVAL', () => qp.map(PAGE, 0x7fff_f000n));
      // as long as it is mapped it is there, but nobody maps it again
      qp.map(2 * PAGE, queue);
      qp.map(PAGE, doorbell, PROT_WRITE);
      qp.map(PAGE, ring);
      qp.destroy();
      for (const [length, key] of [
        [2 * PAGE, queue],
        [PAGE, doorbell],
        [PAGE, ring],
      ] as const)
        assertErrno('EINVAL', () => qp.map(length, key, PROT_WRITE));
    },
    one,
  );

  test(
    'a send queue shows nothing of the one before it',
    (t) => {
      const nic = side(t);
      const first = new BareQueuePair(nic);
      first.queue.fill(0xa5);
      first.destroy();
      const second = new BareQueuePair(nic);
      assert.deepEqual(second.queue.slice(0, 4 * TX_WQE.SIZE), new Uint8Array(4 * TX_WQE.SIZE));
    },
    one,
  );

  test(
    'the card has memory for so many send queues, and again when they are gone',
    (t) => {
      t.expectMessages(...refusal('CREATE_QP', 'create qp'));
      const nic = side(t);
      const { max_sq_wr: sends } = nic.nic.query();
      const input = { sq_ring_size: sends * TX_WQE.LARGE_SIZE };
      const make = () => new BareQueuePair(nic, { cap: { max_send_wr: sends }, input });
      const all = (): BareQueuePair[] => {
        const made: BareQueuePair[] = [];
        assertErrno('ENOMEM', () => {
          for (;;) made.push(make());
        });
        return made;
      };
      const first = all();
      assert.ok(first.length > 0);
      for (const qp of first) qp.destroy();
      const second = all();
      assert.equal(second.length, first.length);
      for (const qp of second) qp.destroy();
    },
    one,
  );

  test(
    'events of completions go round their ring',
    (t) => {
      const nic = side(t);
      const channel = nic.nic.createCompletionChannel();
      const cq = nic.nic.createCq({ channel });
      const qp = nic.pd.createQueuePair({ sendCq: cq });
      qp.activate(QKEY);
      const host = hostRegion(nic, 128);
      const to = reach({ ...nic, qp });
      for (let i = 0; i < EVENTS; i++) {
        cq.arm();
        qp.write(to, { local: host.piece(0, 64), remote: host.at(64) });
        assert.equal(channel.wait(PATIENCE), cq, `event ${i}`);
        cq.expect();
      }
    },
    one,
  );
}
