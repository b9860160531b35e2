/** What the kernel's verbs interface refuses, in which order, before a driver is asked. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { RDMA_VERBS_IOCTL } from '../../../src/uapi/rdma/ioctl.ts';
import { errno, machineWith, RawVerbs, word } from './raw.ts';

const PD = 1;
const MR = 7;
const DEVICE = 0;
const NOWHERE = 0x10_0000n;

describe('the ioctl of RDMA', () => {
  let machine: ReturnType<typeof machineWith>;
  let verbs: RawVerbs;
  before(() => {
    machine = machineWith();
    verbs = new RawVerbs(machine.driver).context();
  });
  after(() => {
    verbs.close();
    machine[Symbol.dispose]();
  });

  test('other requests, short arguments and headers that do not add up are refused', () => {
    const { driver } = machine;
    const header = new Uint8Array(24);
    assert.equal(
      errno(() => driver.ioctl(verbs.fd, RDMA_VERBS_IOCTL.request + 1, header)),
      'ENOTTY',
    );
    assert.equal(
      errno(() => driver.ioctl(verbs.fd, RDMA_VERBS_IOCTL.request, header.subarray(0, 23))),
      'EFAULT',
    );
    const send = (values: Record<string, number | bigint>) => errno(() => verbs.raw(DEVICE, 2, [], values));
    assert.equal(send({ length: 25 }), 'EINVAL', 'a length that is not that of the attributes');
    assert.equal(send({ length: 24 + 16 * 300, num_attrs: 300 }), 'EINVAL', 'more than a page');
    assert.equal(send({ length: 40, num_attrs: 1 }), 'EFAULT', 'attributes beyond the argument');
    assert.equal(send({ reserved1: 1n }), 'EPROTONOSUPPORT');
    assert.equal(send({ reserved2: 1 }), 'EPROTONOSUPPORT');
    assert.equal(send({ driver_id: 1 }), 'EINVAL', 'for another driver');
    assert.equal(send({ object_id: 99 }), 'EPROTONOSUPPORT');
    assert.equal(send({ method_id: 99 }), 'EPROTONOSUPPORT');
    assert.equal(send({ object_id: 99, driver_id: 1 }), 'EINVAL', 'the driver is looked at first');
  });

  test('methods that need objects that efa has none of are not there', () => {
    assert.equal(
      errno(() => verbs.raw(MR, 0, [])),
      'EPROTONOSUPPORT',
      'memory of the device',
    );
    assert.equal(
      errno(() => verbs.raw(MR, 2, [])),
      'EINVAL',
      'advice wants its attributes',
    );
  });

  test('attributes: unknown, twice, missing, too short, too long', () => {
    const query = (...attributes: Parameters<RawVerbs['raw']>[2]) => errno(() => verbs.raw(DEVICE, 2, attributes));
    const port = { id: 0, value: 1, length: 8 };
    const room = { id: 1, room: 48 };
    assert.equal(query(port, room), 'ok');
    assert.equal(query(port, room, { id: 77, length: 0 }), 'ok', 'one that is not known and need not be');
    assert.equal(query(port, room, { id: 77, length: 0, flags: 1 }), 'EPROTONOSUPPORT');
    assert.equal(query(port, port, room), 'EINVAL');
    assert.equal(query(port), 'EINVAL');
    assert.equal(query({ ...port, length: 4 }, room), 'EINVAL', 'a number has 8 bytes');
    assert.equal(query({ ...port, reserved: 1 }, room), 'EINVAL');
    assert.equal(query({ ...port, value: 256 }, room), 'EINVAL', 'beyond the 8 bits of a port');
    assert.equal(query({ ...port, value: 2 }, room), 'EINVAL', 'no such port');
    assert.equal(query(port, { id: 1, room: 47 }), 'EINVAL');
    assert.equal(query(port, { id: 1, room: 64 }), 'ok', 'a program that knows more');
    assert.equal(query(port, { ...room, at: NOWHERE }), 'EFAULT');
    assert.equal(query({ id: 77, length: 0, flags: 1 }, { ...port, length: 4 }), 'EPROTONOSUPPORT', 'in their order');
  });

  test('what is longer than the kernel knows must be zero, and what the kernel knows less of is zeroed', () => {
    verbs.memory.bytes.fill(0xee);
    const answer = verbs.raw(DEVICE, 2, [
      { id: 0, value: 1, length: 8 },
      { id: 1, room: 80 },
    ]);
    assert.deepEqual(answer.bytes(1).subarray(48), new Uint8Array(32));
    assert.equal(answer.flags(1), 2, 'it says that it has been written');
    const pd = verbs.pd();
    const cq = verbs.cq().handle;
    const cap = (bytes: Uint8Array) =>
      errno(() =>
        verbs.call('UVERBS_METHOD_QP_CREATE', [
          { id: 0, length: 0 },
          { id: 2, value: pd, length: 0 },
          { id: 4, value: cq, length: 0 },
          { id: 5, value: cq, length: 0 },
          { id: 7, value: 0, length: 8 },
          { id: 8, bytes },
          { id: 9, value: 2, length: 8 },
          { id: 13, room: 20 },
          { id: 14, room: 4 },
          { id: 0x1000, bytes: new Uint8Array(24) },
        ]),
      );
    assert.equal(cap(new Uint8Array(20)), 'EOPNOTSUPP', 'reliable connections are none of efa');
    assert.equal(cap(Uint8Array.from({ length: 24 }, (_, i) => (i === 22 ? 1 : 0))), 'EOPNOTSUPP');
    assert.equal(cap(new Uint8Array(16)), 'EINVAL');
    assert.equal(cap(new Uint8Array(24)), 'EOPNOTSUPP');
    verbs.destroy('UVERBS_METHOD_PD_DESTROY', pd);
    assert.equal(
      errno(() => verbs.destroy('UVERBS_METHOD_PD_DESTROY', cq)),
      'EINVAL',
      'a handle of another object',
    );
    assert.equal(
      errno(() => verbs.destroy('UVERBS_METHOD_PD_DESTROY', 1234)),
      'ENOENT',
    );
    assert.equal(
      errno(() => verbs.raw(PD, 0, [{ id: 0, value: -1n, length: 0 }])),
      'EINVAL',
    );
    assert.equal(
      errno(() => verbs.raw(PD, 0, [{ id: 0, value: 0, length: 4 }])),
      'EINVAL',
      'handles have no length',
    );
  });

  test('commands of the older interface: numbers, sizes, memory', () => {
    const run = (...attributes: Parameters<RawVerbs['raw']>[2]) => errno(() => verbs.raw(DEVICE, 0, attributes));
    const command = (value: number) => ({ id: 2, value, length: 8 });
    assert.equal(run({ id: 0, bytes: new Uint8Array(8) }), 'EINVAL', 'which one?');
    assert.equal(run(command(0x100)), 'EINVAL');
    assert.equal(run(command(200)), 'EOPNOTSUPP');
    assert.equal(run(command(0x8000_00c8)), 'EOPNOTSUPP');
    assert.equal(run(command(18), { id: 0, bytes: new Uint8Array(32) }), 'EOPNOTSUPP', 'CREATE_CQ, which efa has not');
    assert.equal(run(command(4)), 'ENOSPC', 'DEALLOC_PD of none');
    assert.equal(run(command(3), { id: 0, bytes: new Uint8Array(8) }), 'ENOSPC', 'nowhere for the answer');
    const request = { id: 0, bytes: new Uint8Array(16), at: NOWHERE };
    assert.equal(run(command(3), request, { id: 1, room: 4 }), 'EFAULT');
    assert.equal(run(command(3), { id: 0, bytes: new Uint8Array(8) }, { id: 1, room: 4, at: NOWHERE }), 'EFAULT');
    const longer = Uint8Array.from({ length: 16 }, (_, i) => (i === 12 ? 1 : 0));
    assert.equal(run(command(3), { id: 0, bytes: longer }, { id: 1, room: 4 }), 'EOPNOTSUPP');
    assert.equal(machine.nic.objects().pds, 0, 'what could not be told of is not there');
    const asked = Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0);
    assert.equal(run(command(0x8000_0001), { id: 0, bytes: asked }, { id: 1, room: 8 }), 'EINVAL');
    assert.equal(
      run(command(0x8000_0001), { id: 1, room: 8 }),
      'ok',
      'extended commands take what is not given as zero',
    );
  });

  test('what the driver is told beyond what it knows must be zero', () => {
    const wrong = { in: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 1) };
    assert.equal(
      errno(() => verbs.command('IB_USER_VERBS_CMD_ALLOC_PD', {}, wrong)),
      'EOPNOTSUPP',
    );
    const { driver } = verbs.command('IB_USER_VERBS_CMD_ALLOC_PD', {}, { in: new Uint8Array(9), out: 24 });
    assert.deepEqual(driver.subarray(8), new Uint8Array(16), 'what it knows less of is zeroed');
  });

  test('before there is a context nothing else is done, and there is only one', () => {
    const other = new RawVerbs(machine.driver);
    assert.equal(
      errno(() => other.pd()),
      'EINVAL',
    );
    assert.equal(
      errno(() =>
        other.raw(DEVICE, 2, [
          { id: 0, value: 1, length: 8 },
          { id: 1, room: 48 },
        ]),
      ),
      'EINVAL',
    );
    assert.equal(
      errno(() => machine.driver.mmap(other.fd, 4096, 3, 0n)),
      'EINVAL',
    );
    assert.equal(machine.nic.objects().uars, 1);
    other.context();
    assert.equal(machine.nic.objects().uars, 2);
    assert.equal(
      errno(() => other.context()),
      'EINVAL',
    );
    assert.equal(machine.nic.objects().uars, 2);
    other.close();
    assert.equal(machine.nic.objects().uars, 1);
  });

  test('a context by the older command brings a file of events, or nothing', () => {
    const other = new RawVerbs(machine.driver);
    const spare = machine.driver.eventfd(0, 0);
    machine.driver.close(spare);
    const answer = { id: 1, room: 8, at: NOWHERE };
    const request = [{ id: 2, value: 0, length: 8 }, { id: 0, bytes: new Uint8Array(8) }, answer];
    assert.equal(
      errno(() => other.call('UVERBS_METHOD_INVOKE_WRITE', request)),
      'EFAULT',
    );
    assert.equal(
      errno(() => machine.driver.describe(spare)),
      'EBADF',
      'no descriptor is left of it',
    );
    const fd = word(other.command('IB_USER_VERBS_CMD_GET_CONTEXT', {}, { out: 24 }).core, 0);
    assert.equal(fd, spare);
    assert.equal(machine.driver.describe(fd), 'anon_inode:[infinibandevent]');
    machine.driver.close(fd);
    other.close();
  });

  test('handles are listed, the newest first', () => {
    const list = (type: number, room: number) =>
      verbs.raw(DEVICE, 1, [
        { id: 0, value: type, length: 8 },
        { id: 1, room: 4 },
        { id: 2, room },
      ]);
    const [a, b, c] = [verbs.pd(), verbs.pd(), verbs.pd()];
    const answer = list(PD, 12);
    assert.equal(word(answer.bytes(1), 0), 3);
    assert.deepEqual(
      [0, 4, 8].map((at) => word(answer.bytes(2), at)),
      [c, b, a],
    );
    for (const handle of [a, b, c]) verbs.destroy('UVERBS_METHOD_PD_DESTROY', handle);
    assert.equal(
      errno(() => list(PD, 6)),
      'EINVAL',
    );
    assert.equal(
      errno(() => list(5, 4)),
      'ENOENT',
      'shared receive queues',
    );
  });

  test('commands by write: header, lengths, and the same commands', () => {
    const { driver } = machine;
    /** @param words 16-bit halves and 32-bit words of header and request */
    const plain = (command: number, out: number, request: readonly bigint[], inWords?: number) => {
      const bytes = new Uint8Array(8 + 8 * request.length);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, command, true);
      view.setUint16(4, inWords ?? bytes.length / 4, true);
      view.setUint16(6, out, true);
      request.forEach((value, i) => {
        view.setBigUint64(8 + 8 * i, value, true);
      });
      return bytes;
    };
    const send = (bytes: Uint8Array) => errno(() => driver.write(verbs.fd, bytes));
    const to = verbs.memory.address;
    const before = machine.nic.objects().pds;
    assert.equal(send(new Uint8Array(7)), 'EINVAL');
    assert.equal(send(plain(3, 1, [to], 3)), 'EINVAL', 'a length that is not that of the bytes');
    assert.equal(send(plain(10, 0, [], 1)), 'EINVAL', 'which is looked at before the command');
    assert.equal(send(plain(200, 0, [], 1)), 'EOPNOTSUPP', 'unless there are none of such numbers');
    assert.equal(send(plain(200, 0, [])), 'EOPNOTSUPP');
    assert.equal(send(plain(0x100, 0, [])), 'EINVAL');
    assert.equal(send(plain(3, 1, [])), 'ENOSPC');
    assert.equal(send(plain(3, 0, [to])), 'ENOSPC', 'no room for the answer');
    assert.equal(send(plain(3, 1, [NOWHERE])), 'EFAULT');
    assert.equal(send(plain(3, 1, [to, 1n])), 'EOPNOTSUPP', 'the driver is told what it does not know');
    assert.equal(machine.nic.objects().pds, before);
    assert.equal(driver.write(verbs.fd, plain(3, 3, [to])), 16);
    const handle = word(verbs.memory.bytes, 0);
    assert.ok((word(verbs.memory.bytes, 8) & 0xffff) < 1024, 'the driver answers behind the core');
    assert.equal(machine.nic.objects().pds, before + 1);
    assert.equal(send(plain(4, 0, [BigInt(handle) | (1n << 32n)])), 'EOPNOTSUPP', 'more than the request has');
    assert.equal(send(plain(4, 0, [BigInt(handle)])), 'ok');
    assert.equal(send(plain(18, 2, [to, 0n, 0n, 0n])), 'EOPNOTSUPP', 'CREATE_CQ');
    const extended = (out: number, driverIn: number, driverOut: number, response: bigint, rest: readonly bigint[]) => {
      const lengths = BigInt(driverIn) | (BigInt(driverOut) << 16n);
      return plain(0x8000_0001, out, [response, lengths, ...rest], rest.length - driverIn);
    };
    assert.equal(send(extended(22, 0, 0, to, [0n])), 'ok');
    assert.equal(word(verbs.memory.bytes, 40), 0x1d0f, 'of whom it is');
    assert.equal(send(extended(22, 0, 3, to, [0n])), 'ok');
    assert.equal(word(verbs.memory.bytes, 22 * 8 + 4), 4096, 'what the driver tells: requests of a send queue');
    assert.equal(send(extended(0, 0, 0, to, [0n])), 'EINVAL', 'an address for nothing');
    assert.equal(send(extended(22, 0, 0, 0n, [0n])), 'EINVAL', 'nowhere for the answer');
    assert.equal(send(extended(22, 0, 0, 1n << 63n, [0n])), 'EFAULT');
    assert.equal(send(extended(22, 1, 0, to, [0n, 1n])), 'EOPNOTSUPP');
    assert.equal(send(extended(22, 0, 0, to, [1n])), 'EINVAL', 'a comp_mask');
  });
});
