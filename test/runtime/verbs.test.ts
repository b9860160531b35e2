/** The library of verbs: what it asks of the kernel, to the byte; and on modelled network cards what its queues do. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Driver } from '../../src/driver/driver.ts';
import { ModelMachine } from '../../src/machine/model.ts';
import { DisposedError, DriverError, InvalidArgumentError, NoDeviceError } from '../../src/runtime/errors.ts';
import { RdmaContext } from '../../src/runtime/verbs/device.ts';
import {
  CompletionTimeoutError,
  NotSupportedError,
  ObjectInUseError,
  WorkError,
  WorkQueueFullError,
} from '../../src/runtime/verbs/errors.ts';
import type { QueuePairOptions } from '../../src/runtime/verbs/queue-pair.ts';
import { ib_uverbs_attr, ib_uverbs_ioctl_hdr, RDMA_VERBS_IOCTL } from '../../src/uapi/rdma/ioctl.ts';
import { FakeDriver, refuse } from './fake-driver.ts';

const NIC = { name: 'efa_0', path: '/dev/infiniband/uverbs0', pciAddress: '0000:01:00.0', bridges: [] };

function faked(): FakeDriver {
  const driver = new FakeDriver();
  driver.nics = [NIC];
  return driver;
}

/** Header and attributes of a call. */
function callOf(bytes: Uint8Array) {
  const header = ib_uverbs_ioctl_hdr.decode(bytes);
  const attributes = Array.from({ length: header.num_attrs }, (_, i) =>
    ib_uverbs_attr.decode(bytes, ib_uverbs_ioctl_hdr.size + i * ib_uverbs_attr.size),
  );
  return { header, attributes };
}

test('a context is asked for: object, method and driver, short data in the attribute, room for the answer', () => {
  const driver = faked();
  using _ = RdmaContext.open({ driver });
  const [asked] = driver.asked(RDMA_VERBS_IOCTL.request);
  const { header, attributes } = callOf(asked as Uint8Array);
  assert.deepEqual(header, {
    length: 24 + 4 * 16,
    object_id: 0,
    method_id: 3,
    num_attrs: 4,
    reserved1: 0n,
    driver_id: 17,
    reserved2: 0,
  });
  const known = attributes.map(({ attr_id, len, flags, data }) => [
    attr_id,
    len,
    flags,
    data > 0xffffn ? 'room' : data,
  ]);
  assert.deepEqual(known, [
    [0, 4, 0, 'room'],
    [1, 8, 0, 'room'],
    [0x1000, 8, 0, 3n],
    [0x1001, 24, 0, 'room'],
  ]);
});

test('what the kernel refuses is an error by its errno, with the call and its arguments', () => {
  for (const [code, type] of [
    ['EINVAL', InvalidArgumentError],
    ['EBUSY', ObjectInUseError],
    ['EOPNOTSUPP', NotSupportedError],
    ['EFAULT', DriverError],
  ] as const) {
    const driver = faked();
    using nic = RdmaContext.open({ driver });
    driver.on(RDMA_VERBS_IOCTL.request, () => refuse(code));
    assert.throws(
      () => nic.createCq({ entries: 64 }),
      (error) => error instanceof type && error.code === code && /^CQ_CREATE \{entries: 64/.test(error.message),
    );
    assert.throws(
      () => nic.allocatePd(),
      (error) => error instanceof type && error.call === 'ALLOC_PD',
    );
  }
});

test('a card that there is not', () => {
  assert.throws(() => RdmaContext.open({ driver: new FakeDriver() }), NoDeviceError);
});

let machine: ModelMachine;
let driver: Driver;
before(() => {
  machine = new ModelMachine({ machine: 'efa' });
  driver = machine.driver;
});
after(() => machine[Symbol.dispose]());

const QKEY = 5;

/** A card that speaks with itself. */
function loop(options: Partial<QueuePairOptions> & { readonly entries?: number } = {}) {
  const { entries = 128, ...pair } = options;
  const nic = RdmaContext.open({ driver });
  const pd = nic.allocatePd();
  const channel = nic.createCompletionChannel();
  const cq = nic.createCq({ entries, channel });
  const qp = pd.createQueuePair({ sendCq: cq, ...pair });
  qp.activate(QKEY);
  const to = { ah: pd.createAddressHandle(nic.address()), qp: qp.number, qkey: QKEY };
  return { nic, pd, channel, cq, qp, to, memory: pd.allocate(16 * 1024), [Symbol.dispose]: () => nic.close() };
}

test('a completion queue of four entries goes round fifty times', () => {
  using one = loop({ entries: 4, sends: 4, receives: 4 });
  const { qp, cq, to, memory } = one;
  for (let i = 0; i < 100; i++) {
    memory.bytes[0] = i;
    qp.receive([memory.piece(4096, 64)], 1000 + i);
    qp.send(to, { id: i, pieces: [memory.piece(0, 1)] });
    const found = cq.expect(2);
    assert.deepEqual(
      found.map(({ id }) => id).sort((a, b) => a - b),
      [i, 1000 + i],
    );
    assert.equal(memory.bytes[4096], i);
  }
});

test('work is queued around the end of the ring, and told to the card at once', () => {
  using one = loop({ sends: 8 });
  const { qp, cq, to, memory } = one;
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 5; i++) {
      memory.bytes[i] = 16 * round + i;
      qp.queueWrite(to, { id: i, local: memory.piece(i, 1), remote: memory.at(8192 + i) });
    }
    assert.equal(cq.poll().length, 0, 'nothing happens before the doorbell');
    qp.flush();
    cq.expect(5);
    assert.deepEqual(memory.bytes.slice(8192, 8197), memory.bytes.slice(0, 5));
  }
});

test('a message inside of its work request, and one that is too long for it', () => {
  using one = loop();
  const { qp, cq, to, memory } = one;
  qp.receive([memory.piece(0, 64)]);
  assert.throws(() => qp.send(to, { inline: new Uint8Array(33) }), RangeError);
  qp.send(to, { inline: Uint8Array.from({ length: 32 }, (_, i) => i) });
  cq.expect(2);
  assert.deepEqual(memory.bytes.slice(0, 33), Uint8Array.from([...Array.from({ length: 32 }, (_, i) => i), 0]));
});

test('a full queue, and a queue that is not there', () => {
  using one = loop({ sends: 2, receives: 1 });
  const { qp, cq, to, memory, pd } = one;
  qp.receive([memory.piece(0, 64)]);
  assert.throws(() => qp.receive([memory.piece(0, 64)]), WorkQueueFullError);
  assert.throws(() => qp.receive([]), RangeError);
  assert.throws(() => qp.receive([memory.piece(0, 8), memory.piece(8, 8)]), RangeError);
  const work = { local: memory.piece(0, 8), remote: memory.at(64) };
  qp.write(to, work);
  qp.write(to, work);
  assert.throws(() => qp.write(to, work), WorkQueueFullError);
  cq.expect(2);
  qp.write(to, work);
  cq.expect(1);
  using sender = pd.createQueuePair({ sendCq: cq, receives: 0 });
  sender.activate(QKEY);
  assert.throws(() => sender.receive([memory.piece()]), RangeError);
});

test('work that fails is told with its status, by an error where success was expected', () => {
  using one = loop();
  const { qp, cq, to, memory } = one;
  const work = { id: 9, local: memory.piece(0, 8), remote: { address: memory.address, rkey: memory.rkey ^ 2 } };
  qp.write(to, work);
  assert.throws(
    () => cq.expect(),
    (error) => error instanceof WorkError && error.completion.id === 9 && /REMOTE_BAD_ADDRESS/.test(error.message),
  );
  assert.throws(() => cq.take(1, 5), CompletionTimeoutError);
});

test('completions of a queue pair that is gone can still be taken', () => {
  using one = loop();
  const { qp, cq, to, memory } = one;
  qp.write(to, { id: 3, local: memory.piece(0, 8), remote: memory.at(64) });
  driver.sleep(1e6);
  qp[Symbol.dispose]();
  assert.deepEqual(
    cq.poll().map(({ id, status }) => [id, status]),
    [[3, 'OK']],
  );
  assert.throws(() => qp.write(to, { local: memory.piece(0, 8), remote: memory.at(64) }), DisposedError);
});

test('a channel tells once, of a queue that was armed', () => {
  using one = loop();
  const { qp, cq, to, memory, channel } = one;
  const work = { local: memory.piece(0, 8), remote: memory.at(64) };
  qp.write(to, work);
  assert.equal(channel.wait(1), undefined, 'nobody asked');
  cq.expect();
  cq.arm();
  qp.write(to, work);
  qp.write(to, work);
  assert.equal(channel.wait(1000), cq);
  cq.expect(2);
  assert.equal(channel.wait(1), undefined, 'one event for two completions');
  cq.arm();
  qp.write(to, work);
  assert.equal(channel.wait(1000), cq);
});

test('what a context made goes with it', () => {
  const one = loop();
  one.nic.close();
  assert.throws(() => one.cq.poll(), DisposedError);
  assert.throws(() => one.memory.bytes, DisposedError);
  assert.throws(() => one.nic.fd, DisposedError);
  one.nic.close();
  // the card has 256 queue pairs
  for (let i = 0; i < 260; i++) {
    using nic = RdmaContext.open({ driver });
    nic.allocatePd().createQueuePair({ sendCq: nic.createCq() });
  }
});
