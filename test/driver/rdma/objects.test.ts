/** Objects of verbs: who keeps whom, what may be mapped of them, what is left when their file is closed. */

import assert from 'node:assert/strict';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { O_RDWR, O_WRONLY } from '../../../src/driver/driver.ts';
import { errno, machineWith, RawVerbs, word } from './raw.ts';

const PAGE = 4096;

describe('objects of verbs', () => {
  const machine = machineWith('efa-x2');
  const { driver, nic } = machine;
  const nothing = { ...nic.objects() };
  let verbs: RawVerbs;
  beforeEach(() => {
    verbs = new RawVerbs(driver).context();
  });
  afterEach(() => {
    if (errno(() => driver.describe(verbs.fd)) === 'ok') verbs.close();
    assert.deepEqual(nic.objects(), nothing, 'nothing is left in the device');
    assert.deepEqual(machine.takeRefusals(), []);
  });
  after(() => machine[Symbol.dispose]());

  const modify = (handle: number, change: object) =>
    verbs.command('IB_USER_VERBS_CMD_MODIFY_QP', { qp_handle: handle, ...change });
  const query = (handle: number) => {
    const { core } = verbs.command('IB_USER_VERBS_CMD_QUERY_QP', { qp_handle: handle, attr_mask: 1 });
    return core[64 + 44] as number;
  };

  test('a domain and a completion queue that are in use stay', () => {
    const pd = verbs.pd();
    const cq = verbs.cq();
    const qp = verbs.qp(pd, cq.handle);
    const region = verbs.mr(pd, verbs.memory.address, PAGE);
    assert.equal(
      errno(() => verbs.destroy('UVERBS_METHOD_PD_DESTROY', pd)),
      'EBUSY',
    );
    const destroyCq = () =>
      verbs.call('UVERBS_METHOD_CQ_DESTROY', [
        { id: 0, value: cq.handle, length: 0 },
        { id: 1, room: 8 },
      ]);
    assert.equal(errno(destroyCq), 'EBUSY');
    verbs.command('IB_USER_VERBS_CMD_DESTROY_QP', { qp_handle: qp.handle });
    assert.equal(errno(destroyCq), 'ok');
    assert.equal(errno(destroyCq), 'ENOENT');
    assert.equal(
      errno(() => verbs.destroy('UVERBS_METHOD_PD_DESTROY', pd)),
      'EBUSY',
      'a region is left',
    );
    verbs.destroy('UVERBS_METHOD_MR_DESTROY', region.handle);
    verbs.destroy('UVERBS_METHOD_PD_DESTROY', pd);
  });

  test('handles are the lowest that are free, one space for all types, and one for each file', () => {
    const pds = [verbs.pd(), verbs.pd(), verbs.pd()];
    assert.deepEqual(pds, [0, 1, 2]);
    verbs.destroy('UVERBS_METHOD_PD_DESTROY', 1);
    assert.equal(verbs.cq().handle, 1);
    assert.equal(verbs.pd(), 3);
    const other = new RawVerbs(driver).context();
    assert.equal(other.pd(), 0);
    assert.equal(
      errno(() => other.destroy('UVERBS_METHOD_PD_DESTROY', 3)),
      'ENOENT',
      'of another file',
    );
    other.close();
  });

  test('closing the file destroys all, whatever is in use', () => {
    const pd = verbs.pd();
    const cq = verbs.cq();
    for (let i = 0; i < 3; i++) verbs.qp(pd, cq.handle);
    verbs.mr(pd, verbs.memory.address, 0x8000);
    assert.equal(nic.objects().qps, 3);
    verbs.close();
  });

  test('a second descriptor, a mapping and the end of a process: the last of them lets go', () => {
    const cq = verbs.cq();
    const ring = driver.mmap(verbs.fd, Number(cq.q_mmap_size), 3, cq.q_mmap_key);
    const second = driver.dup(verbs.fd);
    verbs.close();
    assert.equal(nic.objects().cqs, 1);
    driver.close(second);
    assert.equal(nic.objects().cqs, 1, 'what is mapped keeps it');
    ring.unmap();
    assert.deepEqual(nic.objects(), nothing);
    const child = driver.process();
    const own = new RawVerbs(child).context();
    own.mr(own.pd(), own.memory.address, PAGE);
    const theirs = own.cq();
    child.mmap(own.fd, Number(theirs.q_mmap_size), 3, theirs.q_mmap_key);
    assert.equal(nic.objects().mrs, 1);
    child.kill();
  });

  test('what is mapped is what the driver has given out, whole', () => {
    const pd = verbs.pd();
    const cq = verbs.cq({ entries: 256 });
    const qp = verbs.qp(pd, cq.handle);
    const map = (length: number, offset: bigint) => errno(() => driver.mmap(verbs.fd, length, 3, offset).unmap());
    assert.equal(cq.q_mmap_size, 8192n);
    assert.equal(map(8192, cq.q_mmap_key), 'ok');
    assert.equal(map(4096, cq.q_mmap_key), 'EINVAL', 'a part');
    assert.equal(map(8192, cq.q_mmap_key + 4096n), 'EINVAL', 'another part');
    assert.equal(map(8192, cq.q_mmap_key + 1n), 'EINVAL');
    assert.equal(map(8192, 1n << 50n), 'EINVAL');
    const keys = [
      [cq.q_mmap_key, 8192],
      [cq.db_mmap_key, PAGE],
      [qp.sq_db_mmap_key, PAGE],
      [qp.rq_db_mmap_key, PAGE],
      [qp.llq_desc_mmap_key, PAGE],
      [qp.rq_mmap_key, Number(qp.rq_mmap_size)],
    ] as const;
    const sorted = keys.map(([key, size]) => [Number(key), Number(key) + size] as const).sort((a, b) => a[0] - b[0]);
    sorted.forEach(([start], i) => {
      assert.ok(i === 0 || start >= (sorted[i - 1]?.[1] as number), 'offsets do not overlap');
    });
    for (const [key, size] of keys) assert.equal(map(size, key), 'ok');
    const ring = driver.mmap(verbs.fd, 8192, 3, cq.q_mmap_key);
    assert.deepEqual(ring.bytes, new Uint8Array(8192));
    const doorbell = driver.mmap(verbs.fd, PAGE, 3, qp.sq_db_mmap_key);
    verbs.command('IB_USER_VERBS_CMD_DESTROY_QP', { qp_handle: qp.handle });
    assert.equal(map(PAGE, qp.sq_db_mmap_key), 'EINVAL', 'not any more');
    const again = verbs.qp(pd, cq.handle);
    assert.notEqual(again.sq_db_mmap_key, qp.sq_db_mmap_key, 'an offset is not given out again while it is mapped');
    for (const mapping of [ring, doorbell]) mapping.unmap();
  });

  test('the memory of a ring that is mapped outlives its queue', () => {
    const cq = verbs.cq();
    const ring = driver.mmap(verbs.fd, PAGE, 3, cq.q_mmap_key);
    verbs.command('IB_USER_VERBS_CMD_DESTROY_CQ', { cq_handle: cq.handle });
    ring.bytes.fill(1);
    const region = verbs.mr(verbs.pd(), ring.address, PAGE);
    assert.ok(region.lkey > 0, 'its pages can be registered like others');
    ring.unmap();
  });

  test('pages of the device cannot be registered', () => {
    const pd = verbs.pd();
    const qp = verbs.qp(pd, verbs.cq().handle);
    for (const key of [qp.sq_db_mmap_key, qp.llq_desc_mmap_key]) {
      const mapping = driver.mmap(verbs.fd, PAGE, 3, key);
      assert.equal(
        errno(() => verbs.mr(pd, mapping.address, PAGE)),
        'EFAULT',
      );
      mapping.unmap();
    }
  });

  test('completion queues: what the core refuses, and what the driver does', () => {
    const cq = (options: Parameters<RawVerbs['cq']>[0]) => errno(() => verbs.cq(options));
    assert.equal(cq({ entries: 0 }), 'EINVAL');
    assert.equal(cq({ entries: 0x1_0000 }), 'EINVAL');
    assert.equal(cq({ entries: 17 }), 'EINVAL', 'the device wants a power of two');
    assert.equal(cq({ driver: { cq_entry_size: 24 } }), 'EINVAL');
    assert.equal(cq({ driver: { num_sub_cqs: 2 } }), 'EINVAL');
    assert.equal(cq({ driver: { comp_mask: 1 } }), 'EOPNOTSUPP');
    assert.equal(cq({ driver: { reserved_58: Uint8Array.of(0, 1) } }), 'EINVAL');
    assert.equal(cq({ driver: { cq_entry_size: 16, flags: 2 } }), 'EINVAL', 'no room for the address of a sender');
    assert.equal(cq({ driver: { cq_entry_size: 16 } }), 'ok');
    assert.equal(cq({ more: [{ id: 5, value: 1, length: 4 }] }), 'EOPNOTSUPP', 'efa has no flags');
    assert.equal(cq({ more: [{ id: 5, value: 8, length: 4 }] }), 'EINVAL', 'nobody has this one');
    assert.equal(cq({ more: [{ id: 3, value: verbs.fd, length: 0 }] }), 'EBADF', 'not a channel');
    assert.equal(cq({ more: [{ id: 3, value: 99, length: 0 }] }), 'EBADF');
    assert.equal(cq({ more: [{ id: 9, value: 4096, length: 8 }] }), 'EINVAL', 'a length of no memory');
  });

  test('a completion queue in memory of the program, which must be one piece', () => {
    const buffer = (address: bigint, length: number) => [
      { id: 8, value: address, length: 8 },
      { id: 9, value: length, length: 8 },
    ];
    const huge = driver.allocate(2 * 1024 * 1024, { hugePages: true });
    const cq = verbs.cq({ entries: 256, more: buffer(huge.address, 8192) });
    assert.equal(cq.q_mmap_key, 0n);
    assert.equal(cq.q_mmap_size, 0n, 'there is nothing to map');
    assert.equal(
      errno(() => verbs.cq({ entries: 256, more: buffer(huge.address, 4096) })),
      'EINVAL',
      'too little',
    );
    const scattered = driver.allocate(8192);
    assert.equal(
      errno(() => verbs.cq({ entries: 256, more: buffer(scattered.address, 8192) })),
      'EINVAL',
    );
    assert.equal(
      errno(() => verbs.cq({ entries: 256, more: buffer(0x1000n, 8192) })),
      'EFAULT',
    );
    verbs.command('IB_USER_VERBS_CMD_DESTROY_CQ', { cq_handle: cq.handle });
    huge.unmap();
  });

  test('queue pairs: what is refused', () => {
    const pd = verbs.pd();
    const cq = verbs.cq().handle;
    const qp = (options: Parameters<RawVerbs['qp']>[2]) => errno(() => verbs.qp(pd, cq, options));
    assert.equal(qp({ type: 1 }), 'EINVAL');
    assert.equal(qp({ type: 2 }), 'EOPNOTSUPP');
    assert.equal(qp({ driver: { driver_qp_type: 1 } }), 'EOPNOTSUPP');
    assert.equal(qp({ driver: { flags: 2 } }), 'EOPNOTSUPP');
    assert.equal(qp({ driver: { sl: 3 } }), 'EINVAL');
    assert.equal(qp({ cap: { max_send_wr: 4097 } }), 'EINVAL');
    assert.equal(qp({ cap: { max_send_sge: 3 } }), 'EINVAL');
    assert.equal(qp({ cap: { max_inline_data: 33 } }), 'EINVAL');
    assert.equal(qp({ driver: { sq_ring_size: 17 * 64 } }), 'EINVAL', 'the device: no whole number of entries');
    assert.equal(
      errno(() => verbs.qp(99, cq)),
      'ENOENT',
    );
    assert.equal(
      errno(() => verbs.qp(cq, pd)),
      'EINVAL',
      'handles that are mixed up',
    );
    assert.equal(qp({ type: 4 }), 'ok');
    assert.equal(qp({ driver: { rq_ring_size: 5 * 1024 * 1024 } }), 'ENOMEM');
    const warnings = driver.messages().filter(({ level }) => level === 4);
    assert.deepEqual(
      warnings.map(({ text }) => text),
      ['WARNING: at mm/page_alloc.c, __alloc_frozen_pages_noprof'],
      'the driver does not look at this size before it allocates so much',
    );
  });

  test('the state of a queue pair goes the ways that the driver lets it', () => {
    const qp = verbs.qp(verbs.pd(), verbs.cq().handle).handle;
    const to = (state: number, mask: number, more: object = {}) =>
      errno(() => modify(qp, { attr_mask: mask | 1, qp_state: state, port_num: 1, ...more }));
    assert.equal(query(qp), 0);
    assert.equal(to(7, 0), 'EINVAL');
    assert.equal(to(3, 0), 'EINVAL', 'not at once');
    assert.equal(to(1, 0x30), 'EINVAL', 'a queue key is wanted');
    assert.equal(to(1, 0x70, { port_num: 2 }), 'EINVAL');
    assert.equal(to(1, 0x70, { pkey_index: 1 }), 'EOPNOTSUPP');
    assert.equal(to(1, 0x70 | 0x100), 'EOPNOTSUPP', 'IB_QP_PATH_MTU');
    assert.equal(to(1, 0x70 | (1 << 14)), 'EINVAL', 'an alternate path');
    assert.equal(to(1, 0x70 | (1 << 22)), 'EOPNOTSUPP');
    assert.equal(to(6, 0), 'EINVAL', 'nothing has failed yet');
    assert.equal(to(1, 0x70, { qkey: 5 }), 'ok');
    assert.equal(query(qp), 1);
    assert.equal(to(2, 0x80), 'EINVAL', 'an address vector of no port');
    assert.equal(to(2, 0), 'ok');
    assert.equal(to(3, 0), 'EINVAL', 'the first packet is wanted');
    assert.equal(to(3, 0x1_0000 | 0x800, { rnr_retry: 3 }), 'ok');
    assert.equal(query(qp), 3);
    assert.equal(to(4, 4), 'ok');
    assert.equal(to(6, 0), 'ok');
    assert.equal(to(0, 0), 'ok');
    assert.equal(query(qp), 0);
    assert.equal(
      errno(() => verbs.command('IB_USER_VERBS_CMD_QUERY_QP', { qp_handle: qp, attr_mask: 8 })),
      'EOPNOTSUPP',
    );
  });

  test('address handles of one address and domain share one of the device', () => {
    const [pd, other] = [verbs.pd(), verbs.pd()];
    const create = (domain: number, attr: object = {}) => {
      const address = { grh: { dgid: [...nic.address] }, is_global: 1, port_num: 1, ...attr };
      const { core, driver } = verbs.command(
        'IB_USER_VERBS_CMD_CREATE_AH',
        { pd_handle: domain, attr: address },
        { out: 8 },
      );
      return { handle: word(core, 0), number: (word(driver, 4) & 0xffff) >>> 0 };
    };
    const [a, b] = [create(pd), create(pd)];
    assert.equal(a.number, b.number);
    assert.notEqual(a.handle, b.handle);
    assert.equal(nic.objects().ahs, 1);
    assert.notEqual(create(other).number, a.number);
    assert.equal(
      errno(() => create(pd, { port_num: 2 })),
      'EINVAL',
    );
    assert.equal(
      errno(() => create(pd, { grh: { sgid_index: 1 } })),
      'EINVAL',
      'the port has one address',
    );
    assert.equal(
      errno(() => verbs.destroy('UVERBS_METHOD_PD_DESTROY', pd)),
      'EBUSY',
    );
    verbs.destroy('UVERBS_METHOD_AH_DESTROY', a.handle);
    assert.equal(nic.objects().ahs, 2, 'the other still uses it');
    verbs.destroy('UVERBS_METHOD_AH_DESTROY', b.handle);
    assert.equal(nic.objects().ahs, 1);
  });

  test('a completion channel: an event for each arming, that its queue counts', () => {
    const channel = verbs.channel();
    const cq = verbs.cq({ userHandle: 77n, driver: { flags: 1 }, more: [{ id: 3, value: channel, length: 0 }] });
    const pd = verbs.pd();
    const qp = verbs.qp(pd, cq.handle);
    const event = new Uint8Array(8);
    assert.equal(driver.poll(channel, 1, 0), 0);
    modify(qp.handle, { attr_mask: 0x71, qp_state: 1, port_num: 1 });
    modify(qp.handle, { attr_mask: 1, qp_state: 2 });
    modify(qp.handle, { attr_mask: 0x1_0001, qp_state: 3 });
    const doorbell = driver.mmap(verbs.fd, PAGE, 3, cq.db_mmap_key);
    driver.store32(doorbell, cq.db_off, 0x8000_0000);
    const sq = driver.mmap(verbs.fd, PAGE, 3, qp.sq_db_mmap_key);
    driver.store32(sq, qp.sq_db_offset, 1);
    assert.equal(
      driver.poll(channel, 1, -1),
      1,
      'the empty work request has a completion, which says what is wrong with it',
    );
    assert.equal(
      errno(() => driver.read(channel, event.subarray(0, 4))),
      'EINVAL',
    );
    assert.equal(driver.read(channel, event), 8);
    assert.equal(word(event, 0), 77);
    assert.equal(driver.poll(channel, 1, 0), 0);
    verbs.command('IB_USER_VERBS_CMD_DESTROY_QP', { qp_handle: qp.handle });
    const { core } = verbs.command('IB_USER_VERBS_CMD_DESTROY_CQ', { cq_handle: cq.handle });
    assert.equal(word(core, 0), 1, 'events that were read');
    for (const mapping of [doorbell, sq]) mapping.unmap();
    verbs.close();
    assert.equal(driver.poll(channel, 1, 0) & ~1, 8, 'nothing comes any more');
    assert.equal(
      errno(() => driver.read(channel, event)),
      'EIO',
    );
    driver.close(channel);
    // what the device refused of the empty request
    machine.takeRefusals();
  });

  test('a removal waits until nobody has the card open, and a rescan finds it again', () => {
    const [path, other] = driver.rdmaDevices().map((device) => device.path);
    const remove = driver.open(`/sys/bus/pci/devices/${driver.rdmaDevices()[0]?.pciAddress}/remove`, O_WRONLY);
    const channel = verbs.channel();
    verbs.pd();
    const thread = driver.thread();
    const call = thread.write(remove, new TextEncoder().encode('1'));
    driver.sleep(1e9);
    assert.equal(call.blocked, true);
    assert.equal(
      errno(() => driver.open(path as string, O_RDWR)),
      'ENOENT',
    );
    assert.ok(verbs.pd() > 0, 'who has it can go on');
    verbs.close();
    driver.sleep(1e9);
    assert.equal(call.blocked, true, 'a file of events is left');
    driver.close(channel);
    assert.equal(call.finish(), 1);
    assert.deepEqual(
      driver.rdmaDevices().map((device) => device.path),
      [other],
    );
    assert.equal(nic.resetReason(), 0);
    assert.equal(nic.objects().eqs, 0);
    driver.close(remove);
    const rescan = driver.open('/sys/bus/pci/rescan', O_WRONLY);
    driver.write(rescan, new TextEncoder().encode('1'));
    driver.close(rescan);
    assert.equal(driver.rdmaDevices().length, 2);
    verbs = new RawVerbs(driver).context();
  });
});
