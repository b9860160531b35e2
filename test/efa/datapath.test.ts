import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { COMP } from '../../specs/efa/io.ts';
import { Network } from '../../src/efa/network.ts';
import { Random } from '../../src/sim/random.ts';
import { Driver, type EndpointOptions, Host, Process } from './host.ts';

interface Pair {
  readonly a: Process;
  readonly b: Process;
  /** Handle by which `a` reaches `b`. */
  readonly ah: number;
  readonly host: Host;
  readonly network: Network;
}

/** Two processes on one NIC, or on two NICs of one network. */
function pair(nics: 1 | 2, options: EndpointOptions = {}, size = 0x1_0000, direct = true): Pair {
  const host = new Host(0x200_0000, direct);
  const network = new Network({ seed: 7 });
  const first = new Driver(host, { network });
  const second = nics === 1 ? first : new Driver(host, { network });
  first.start();
  if (second !== first) second.start();
  const a = new Process(first, options, size);
  const b = new Process(second, options, size);
  const ah = a.handle(second.nic.address);
  b.handle(first.nic.address);
  return { a, b, ah, host, network };
}

function fill(bytes: Uint8Array, seed: number): void {
  const random = new Random(seed);
  for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(256);
}

for (const nics of [1, 2] as const) {
  describe(`${nics} NIC${nics === 1 ? '' : 's'}`, () => {
    it('a send arrives in the buffers of the next receive, and both sides are told', () => {
      const { a, b, ah, host } = pair(nics);
      fill(a.bytes, 1);
      b.receive(5, [
        { at: b.buffer + 10, length: 100 },
        { at: b.buffer + 5000, length: 1000 },
      ]);
      a.send(
        9,
        ah,
        b,
        [
          { at: a.buffer + 3, length: 500 },
          { at: a.buffer + 9000, length: 200 },
        ],
        0xdeadbeef,
      );
      host.run();
      const sent = a.poll();
      assert.deepEqual([sent?.req_id, sent?.status, sent?.q_type, sent?.qp_num], [9, COMP.OK, 1, a.qp]);
      const got = b.poll();
      assert.deepEqual([got?.req_id, got?.status, got?.q_type, got?.op_type, got?.length], [5, COMP.OK, 2, 0, 700]);
      assert.deepEqual([got?.has_imm, got?.imm, got?.src_qp_num, got?.qp_num], [1, 0xdeadbeef, a.qp, b.qp]);
      const whole = [...a.bytes.subarray(3, 503), ...a.bytes.subarray(9000, 9200)];
      assert.deepEqual([...b.bytes.subarray(10, 110), ...b.bytes.subarray(5000, 5600)], whole);
      assert.equal(b.bytes[110], 0);
    });

    it('reads and writes move what the keys name, whole', () => {
      const { a, b, ah, host } = pair(nics, {}, 0x10_0000);
      fill(a.bytes, 2);
      a.rdma('write', 1, ah, b, { at: a.buffer + 1, length: 700_001 }, { at: b.buffer + 4095 });
      host.run();
      assert.deepEqual(
        a.pollAll().map((c) => [c.req_id, c.status, c.op_type]),
        [[1, COMP.OK, 2]],
      );
      assert.ok(Buffer.compare(b.bytes.subarray(4095, 4095 + 700_001), a.bytes.subarray(1, 700_002)) === 0);
      assert.equal(b.poll(), undefined);
      fill(b.bytes, 3);
      a.rdma('read', 2, ah, b, { at: a.buffer + 77, length: 900_000 }, { at: b.buffer + 13 });
      host.run();
      assert.deepEqual(
        a.pollAll().map((c) => [c.req_id, c.status, c.op_type]),
        [[2, COMP.OK, 1]],
      );
      assert.ok(Buffer.compare(a.bytes.subarray(77, 900_077), b.bytes.subarray(13, 900_013)) === 0);
    });

    it('a write with immediate data takes a receive, unless those are unsolicited', () => {
      for (const unsolicited of [false, true]) {
        const { a, b, ah, host } = pair(nics, { unsolicited }, 0x4_0000);
        b.receive(3, [{ at: b.buffer, length: 16 }]);
        a.rdma('write', 1, ah, b, { at: a.buffer, length: 0x2_0001 }, { at: b.buffer }, 42);
        host.run();
        const got = b.poll();
        assert.deepEqual(
          [got?.status, got?.op_type, got?.imm, got?.unsolicited],
          [COMP.OK, 2, 42, unsolicited ? 1 : 0],
        );
        assert.equal((got?.length ?? 0) + (got?.length_hi ?? 0) * 65536, 0x2_0001);
        assert.equal(got?.req_id, unsolicited ? 0 : 3);
      }
    });

    it('inline data and empty messages arrive', () => {
      const { a, b, ah, host } = pair(nics, { entry: 128 });
      for (const id of [1, 2]) b.receive(id, [{ at: b.buffer + 100 * id, length: 100 }]);
      const data = Uint8Array.from({ length: 80 }, (_, i) => i + 1);
      a.post({ req_id: 1, inline_msg: 1, length: 80, ah, dest_qp_num: b.qp }, (wqe) => wqe.set(data, 32));
      a.post({ req_id: 2, length: 0, ah, dest_qp_num: b.qp });
      host.run();
      assert.deepEqual(
        a.pollAll().map((c) => c.status),
        [0, 0],
      );
      assert.deepEqual(
        b.pollAll().map((c) => [c.req_id, c.length]),
        [
          [1, 80],
          [2, 0],
        ],
      );
      assert.deepEqual(b.bytes.slice(100, 180), data);
      const inline = (wqe: Uint8Array) => {
        wqe.set(data, 48);
        const view = new DataView(wqe.buffer);
        view.setUint32(32, 80, true);
        view.setUint32(36, b.keys.rkey, true);
        view.setUint32(40, b.buffer + 1000, true);
      };
      a.post({ req_id: 3, op_type: 2, inline_msg: 1, length: 80, ah, dest_qp_num: b.qp }, inline);
      host.run();
      assert.equal(a.poll()?.status, COMP.OK);
      assert.deepEqual(b.bytes.slice(1000, 1080), data);
    });

    it('a receiver that is not ready is asked again, for ever or as often as was said', () => {
      const { a, b, ah, host } = pair(nics);
      a.send(1, ah, b, [{ at: a.buffer, length: 8 }]);
      host.run(3_000_000);
      assert.equal(a.poll(), undefined);
      b.receive(7, [{ at: b.buffer, length: 8 }]);
      host.run();
      assert.deepEqual([a.poll()?.status, b.poll()?.req_id], [COMP.OK, 7]);
      a.driver.do('MODIFY_QP', { qp_handle: a.qp, mask_rnr_retry: 1, rnr_retry: 2 });
      a.send(2, ah, b, [{ at: a.buffer, length: 8 }]);
      host.run();
      assert.equal(a.poll()?.status, COMP.REMOTE_RNR);
    });

    it('queues wrap: thousands of messages through rings of sixteen', () => {
      const { a, b, ah, host } = pair(nics);
      let counter = 0;
      for (let round = 0; round < 300; round++) {
        for (let i = 0; i < 16; i++) b.receive(i, [{ at: b.buffer + 64 * i, length: 64 }]);
        for (let i = 0; i < 16; i++) {
          a.bytes[64 * i] = counter++ & 0xff;
          a.send(i, ah, b, [{ at: a.buffer + 64 * i, length: 64 }]);
        }
        host.run();
        assert.equal(a.pollAll().length, 16);
        assert.deepEqual(
          b.pollAll().map((c) => c.req_id),
          [...Array(16).keys()],
        );
        assert.equal(b.bytes[64 * 15], (counter - 1) & 0xff);
      }
    });

    it('counters tell what was moved', () => {
      const { a, b, ah, host } = pair(nics);
      b.receive(1, [{ at: b.buffer, length: 100 }]);
      a.send(1, ah, b, [{ at: a.buffer, length: 100 }]);
      a.rdma('read', 2, ah, b, { at: a.buffer, length: 3000 }, { at: b.buffer });
      a.rdma('write', 3, ah, b, { at: a.buffer, length: 4000 }, { at: b.buffer });
      a.rdma('write', 4, ah, b, { at: a.buffer, length: 4000 }, { at: b.buffer, rkey: 1 });
      host.run();
      const { driver } = a;
      assert.deepEqual(
        { ...driver.counters(1), recv_bytes: 0, recv_wrs: 0 },
        { send_bytes: 100, send_wrs: 1, recv_bytes: 0, recv_wrs: 0 },
      );
      assert.deepEqual(b.driver.counters(1).recv_bytes, 100);
      assert.deepEqual([driver.counters(2).read_wrs, driver.counters(2).read_bytes], [1, 3000]);
      assert.equal(b.driver.counters(2).read_resp_bytes, 3000);
      const write = driver.counters(3);
      assert.deepEqual([write.write_wrs, write.write_bytes, write.write_wr_err], [2, 8000, 1]);
      assert.equal(b.driver.counters(3).write_recv_bytes, 4000);
    });
  });
}

describe('refusals', () => {
  it('each lie in a work request has its status, and nothing is touched', () => {
    const { a, b, ah, host } = pair(2);
    const other = a.driver.do('ALLOC_PD').pd;
    const foreign = a.driver.register(other, a.buffer, 4096);
    const readOnly = a.driver.register(a.pd, a.buffer, 4096, 0);
    const noRemote = b.driver.register(b.pd, b.buffer, 4096, 1);
    const ahOfOther = a.driver.do('CREATE_AH', { pd: other }, (payload) => payload.set(b.driver.nic.address)).ah;
    b.bytes.fill(0x5a);
    const before = b.bytes.slice();
    const cases: readonly [string, number, () => void][] = [
      ['AH', COMP.INVALID_AH, () => a.send(1, 0xffff, b, [{ at: a.buffer, length: 8 }])],
      ['AH of another PD', COMP.INVALID_AH, () => a.send(1, ahOfOther, b, [{ at: a.buffer, length: 8 }])],
      ['lkey', COMP.INVALID_LKEY, () => a.send(1, ah, b, [{ at: a.buffer, length: 8, lkey: 0xffffff }])],
      ['lkey of another PD', COMP.INVALID_LKEY, () => a.send(1, ah, b, [{ at: a.buffer, length: 8, ...foreign }])],
      ['before the region', COMP.INVALID_LKEY, () => a.send(1, ah, b, [{ at: a.buffer - 1, length: 8 }])],
      ['beyond the region', COMP.INVALID_LKEY, () => a.send(1, ah, b, [{ at: a.buffer + a.size - 7, length: 8 }])],
      ['address that wraps', COMP.INVALID_LKEY, () => a.send(1, ah, b, [{ at: 2 ** 53 - 1, length: 8 }])],
      ['too long to send', COMP.BAD_LENGTH, () => a.send(1, ah, b, [{ at: a.buffer, length: 8929 }])],
      ['three buffers', COMP.BAD_LENGTH, () => a.post({ length: 3, ah, dest_qp_num: b.qp })],
      ['inline too long', COMP.BAD_LENGTH, () => a.post({ inline_msg: 1, length: 33, ah, dest_qp_num: b.qp })],
      ['no meta descriptor', COMP.QP_INTERNAL_ERROR, () => a.post({ meta_desc: 0, ah })],
      ['no last descriptor', COMP.QP_INTERNAL_ERROR, () => a.post({ last: 0, ah })],
      ['operation', COMP.UNSUPPORTED_OP, () => a.post({ op_type: 3, ah })],
      ['operation', COMP.UNSUPPORTED_OP, () => a.post({ op_type: 15, ah })],
      ['QP number', COMP.REMOTE_BAD_DEST_QPN, () => a.post({ dest_qp_num: 0xffff, ah })],
      ['queue key', COMP.REMOTE_BAD_DEST_QPN, () => a.post({ dest_qp_num: b.qp, qkey: 1, ah })],
      [
        'rkey',
        COMP.REMOTE_BAD_ADDRESS,
        () =>
          a.rdma(
            'write',
            1,
            ah,
            b,
            { at: a.buffer, length: 8 },
            { at: b.buffer, rkey: (b.keys.rkey ^ 0x100_0000) >>> 0 },
          ),
      ],
      [
        'region without remote access',
        COMP.REMOTE_BAD_ADDRESS,
        () => a.rdma('write', 1, ah, b, { at: a.buffer, length: 8 }, { at: b.buffer, rkey: noRemote.rkey }),
      ],
      [
        'the same, reading',
        COMP.REMOTE_BAD_ADDRESS,
        () => a.rdma('read', 1, ah, b, { at: a.buffer, length: 8 }, { at: b.buffer, rkey: noRemote.rkey }),
      ],
      [
        'beyond the remote region',
        COMP.REMOTE_BAD_ADDRESS,
        () => a.rdma('write', 1, ah, b, { at: a.buffer, length: 9 }, { at: b.buffer + b.size - 8 }),
      ],
      [
        'remote address that wraps',
        COMP.REMOTE_BAD_ADDRESS,
        () => a.rdma('write', 1, ah, b, { at: a.buffer, length: 8 }, { at: 2 ** 53 - 1 }),
      ],
      [
        'reading into what may not be written',
        COMP.INVALID_LKEY,
        () => a.rdma('read', 1, ah, b, { at: a.buffer, length: 8, lkey: readOnly.lkey }, { at: b.buffer }),
      ],
    ];
    for (const [what, status, act] of cases) {
      act();
      host.run();
      assert.equal(a.poll()?.status, status, what);
    }
    assert.deepEqual(b.bytes, before);
    assert.equal(b.poll(), undefined);
    b.receive(1, [{ at: b.buffer, length: 8 }]);
    a.send(1, ah, b, [{ at: a.buffer, length: 8 }]);
    host.run();
    assert.equal(a.poll()?.status, COMP.OK, 'the queue pair lives on');
  });

  it('a receive that is too short, or lies, tells both sides', () => {
    const { a, b, ah, host } = pair(1);
    b.receive(1, [{ at: b.buffer, length: 7 }]);
    a.send(1, ah, b, [{ at: a.buffer, length: 8 }]);
    host.run();
    assert.deepEqual([a.poll()?.status, b.poll()?.status], [COMP.REMOTE_BAD_LENGTH, COMP.BAD_LENGTH]);
    b.receive(2, [{ at: b.buffer, length: 8, lkey: 1 << 20 }]);
    a.send(2, ah, b, [{ at: a.buffer, length: 8 }]);
    host.run();
    assert.deepEqual([a.poll()?.status, b.poll()?.status], [COMP.REMOTE_BAD_STATUS, COMP.INVALID_LKEY]);
  });

  it('who does not know the sender grants no access to memory', () => {
    const host = new Host();
    const network = new Network();
    const [first, second] = [new Driver(host, { network }), new Driver(host, { network })];
    const a = new Process(first.start());
    const b = new Process(second.start());
    const ah = a.handle(second.nic.address);
    a.rdma('write', 1, ah, b, { at: a.buffer, length: 8 }, { at: b.buffer });
    host.run();
    assert.equal(a.poll()?.status, COMP.REMOTE_UNKNOWN_PEER);
  });

  it('an address that nobody has, or has any more, is unreachable', () => {
    const { a, b, ah, host } = pair(2);
    const nobody = a.handle(new Uint8Array(16).fill(9));
    a.send(1, nobody, b, [{ at: a.buffer, length: 8 }]);
    host.run();
    assert.equal(a.poll()?.status, COMP.UNREACH_REMOTE);
    assert.ok((a.driver.counters(4).retrans_timeout_events as number) > 0);
    b.driver.nic.close();
    a.send(2, ah, b, [{ at: a.buffer, length: 8 }]);
    host.run();
    assert.equal(a.poll()?.status, COMP.UNREACH_REMOTE);
  });

  it('doorbells beyond the ring, and of objects that are gone, do nothing', () => {
    const { a, b, host } = pair(1);
    a.ring(17);
    b.ringReceive(0x8000);
    host.run();
    assert.equal(a.poll(), undefined);
    assert.equal(a.driver.nic.errors.entries()[0]?.count, 2);
    b.destroy();
    b.ringReceive(1);
    a.driver.doorbell(4096 * 300, 0x8000_0000);
    host.run();
    assert.equal(
      a.driver.nic.errors.entries().every((e) => e.category === 'guest'),
      true,
    );
  });
});

describe('life cycles', () => {
  it('a queue pair in error ends what is posted as flushed, on both of its queues', () => {
    const { a, b, ah, host } = pair(1);
    a.send(1, ah, b, [{ at: a.buffer, length: 8 }]);
    host.run(10_000);
    a.receive(4, [{ at: a.buffer, length: 8 }]);
    a.modify(6);
    a.send(2, ah, b, [{ at: a.buffer, length: 8 }]);
    host.run();
    const all = a.pollAll().map((c) => [c.q_type, c.req_id, c.status]);
    assert.deepEqual(
      all.sort(),
      [
        [1, 1, COMP.FLUSHED],
        [1, 2, COMP.FLUSHED],
        [2, 4, COMP.FLUSHED],
      ].sort(),
    );
  });

  it('what is posted before RTS waits for it', () => {
    const { a, b, ah, host } = pair(1, { state: 2 });
    b.receive(1, [{ at: b.buffer, length: 8 }]);
    a.send(1, ah, b, [{ at: a.buffer, length: 8 }]);
    host.run();
    assert.equal(a.poll(), undefined);
    a.modify(3);
    host.run();
    assert.equal(a.poll()?.status, COMP.OK);
  });

  it('a queue pair that was destroyed completes nothing', () => {
    const { a, b, ah, host } = pair(2);
    a.send(1, ah, b, [{ at: a.buffer, length: 8 }]);
    host.run(10_000);
    a.driver.do('DESTROY_QP', { qp_handle: a.qp });
    b.receive(1, [{ at: b.buffer, length: 8 }]);
    host.run();
    assert.equal(a.poll(), undefined);
  });

  it('memory that was taken back in mid-transfer is not touched any more, and the request fails', () => {
    for (const direct of [true, false]) {
      const { a, b, ah, host } = pair(2, {}, 0x80_0000, direct);
      fill(a.bytes, 4);
      a.rdma('write', 1, ah, b, { at: a.buffer, length: a.size }, { at: b.buffer });
      // Some pieces have gone, others not.
      for (let i = 0; i < 40; i++) host.clock.step();
      b.driver.do('DEREG_MR', { l_key: b.keys.lkey });
      const after = b.bytes.slice();
      host.run();
      assert.equal(a.poll()?.status, COMP.REMOTE_BAD_ADDRESS);
      assert.ok(Buffer.compare(b.bytes, after) === 0);
    }
  });

  it('a NIC that is reset in mid-transfer touches nothing any more, and works anew', () => {
    const { a, b, ah, host } = pair(2, {}, 0x80_0000);
    fill(a.bytes, 5);
    a.rdma('write', 1, ah, b, { at: a.buffer, length: a.size }, { at: b.buffer });
    for (let i = 0; i < 40; i++) host.clock.step();
    b.driver.write('DEV_CTL', 1);
    const after = b.bytes.slice();
    host.run();
    assert.ok(Buffer.compare(b.bytes, after) === 0);
    assert.notEqual(a.poll()?.status, COMP.OK);
    b.driver.write('DEV_CTL', 0);
    b.driver.start();
    const c = new Process(b.driver);
    c.handle(a.driver.nic.address);
    a.rdma('write', 2, ah, c, { at: a.buffer, length: 100 }, { at: c.buffer });
    host.run();
    assert.equal(a.poll()?.status, COMP.OK);
  });
});

describe('impaired network', () => {
  it('everything arrives once, whatever is lost, late, doubled or overtaken', () => {
    const { a, b, ah, host, network } = pair(2, {}, 0x10_0000);
    network.impair({ loss: 0.1, duplicate: 0.1, delay: 5_000, jitter: 50_000 });
    fill(a.bytes, 6);
    for (let i = 0; i < 12; i++) b.receive(i, [{ at: b.buffer + 9000 * i, length: 8928 }]);
    for (let i = 0; i < 12; i++) a.send(i, ah, b, [{ at: a.buffer + 9000 * i, length: 8928 }], i);
    host.run();
    assert.deepEqual(
      a.pollAll().map((c) => c.status),
      new Array(12).fill(COMP.OK),
    );
    const got = b.pollAll();
    assert.deepEqual(
      got.map((c) => c.imm).sort((x, y) => x - y),
      [...Array(12).keys()],
    );
    for (const { imm, req_id } of got) {
      const sent = a.bytes.subarray(9000 * imm, 9000 * imm + 8928);
      assert.ok(Buffer.compare(b.bytes.subarray(9000 * req_id, 9000 * req_id + 8928), sent) === 0);
    }
    a.rdma('write', 1, ah, b, { at: a.buffer, length: 0x10_0000 }, { at: b.buffer });
    host.run();
    assert.equal(a.poll()?.status, COMP.OK);
    assert.ok(Buffer.compare(a.bytes, b.bytes) === 0);
    fill(b.bytes, 7);
    a.rdma('read', 1, ah, b, { at: a.buffer, length: 0x10_0000 }, { at: b.buffer });
    host.run();
    assert.equal(a.poll()?.status, COMP.OK);
    assert.ok(Buffer.compare(a.bytes, b.bytes) === 0);
    assert.ok(network.lost > 10);
    assert.ok((a.driver.counters(4).retrans_pkts as number) > 0);
  });

  it('the same seed gives the same run', () => {
    const run = () => {
      const { a, b, ah, host, network } = pair(2, {}, 0x4_0000);
      network.impair({ loss: 0.2, jitter: 30_000 });
      a.rdma('write', 1, ah, b, { at: a.buffer, length: 0x4_0000 }, { at: b.buffer });
      host.run();
      return [network.lost, network.carried, host.clock.now()];
    };
    assert.deepEqual(run(), run());
  });
});

describe('unreliable datagrams', () => {
  it('arrive behind a route header, or are dropped, and the sender is told nothing', () => {
    const { a, b, ah, host } = pair(2, { type: 1, sourceAddress: true });
    b.receive(1, [{ at: b.buffer, length: 90 }]);
    a.bytes[0] = 77;
    for (const id of [1, 2]) a.send(id, ah, b, [{ at: a.buffer, length: 50 }], 5);
    host.run();
    assert.deepEqual(
      a.pollAll().map((c) => c.status),
      [COMP.OK, COMP.OK],
    );
    assert.deepEqual(
      b.pollAll().map((c) => [c.req_id, c.length, c.imm]),
      [[1, 40 + 50, 5]],
    );
    assert.equal(b.bytes[40], 77);
    assert.deepEqual(b.bytes.slice(8, 24), a.driver.nic.address);
    assert.deepEqual(b.bytes.slice(24, 40), b.driver.nic.address);
    assert.equal(b.driver.counters(0).rx_drops, 1);
    b.receive(3, [{ at: b.buffer, length: 89 }]);
    a.send(3, ah, b, [{ at: a.buffer, length: 50 }]);
    host.run();
    assert.deepEqual([a.poll()?.status, b.poll()?.status], [COMP.OK, COMP.BAD_LENGTH]);
    a.rdma('write', 3, ah, b, { at: a.buffer, length: 8 }, { at: b.buffer });
    host.run();
    assert.equal(a.poll()?.status, COMP.UNSUPPORTED_OP);
  });
});

describe('events', () => {
  it('the first completion after arming raises the vector of the event queue, also one that came before', () => {
    const host = new Host();
    const driver = new Driver(host).start();
    const eq = driver.createEq(3);
    driver.armEq(eq.eqn);
    const a = new Process(driver, { eqn: eq.eqn });
    const ah = a.handle(driver.nic.address);
    const vectors = () => driver.interrupts.filter((v) => v !== 0);
    const send = () => {
      a.send(1, ah, a, [{ at: a.buffer, length: 8 }]);
      host.run();
    };
    for (let i = 0; i < 8; i++) a.receive(i, [{ at: a.buffer, length: 8 }]);
    send();
    assert.deepEqual(vectors(), []);
    driver.doorbell(a.cq.doorbell, 0x8000_0000);
    host.run();
    assert.deepEqual(vectors(), [3]);
    assert.deepEqual(eq.event(0), { phase: 1, event_type: 0, cqn: a.cq.index });
    driver.armEq(eq.eqn);
    send();
    assert.deepEqual(vectors(), [3], 'not armed');
    driver.doorbell(a.cq.doorbell, 0x8000_0000);
    host.run();
    assert.deepEqual(vectors(), [3, 3]);
    assert.equal(driver.try('DESTROY_EQ', { eqn: eq.eqn }).status, 7);
  });
});

describe('addresses of senders', () => {
  it('are told by handle where the receiver has one, else as they are', () => {
    const { a, b, ah, host } = pair(2, { sourceAddress: true });
    const c = new Process(b.driver, { sourceAddress: true });
    for (const p of [b, c]) p.receive(1, [{ at: p.buffer, length: 8 }]);
    a.send(1, ah, b, [{ at: a.buffer, length: 8 }]);
    a.send(2, ah, c, [{ at: a.buffer, length: 8 }]);
    host.run();
    const known = b.poll();
    assert.notEqual(known?.ah, 0xffff);
    const unknown = c.poll();
    assert.equal(unknown?.ah, 0xffff);
    assert.deepEqual(unknown?.source, a.driver.nic.address);
  });
});
