import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, readFileSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { close, fcntl, MAP_SHARED, memfd, mmap, PROT_READ, PROT_WRITE } from '../../src/os/libc.ts';
import { release } from '../../src/os/socket.ts';
import type { Done } from '../../src/pci/ports.ts';
import { DmaMap } from '../../src/vfio-user/dma-map.ts';
import { DMA_ACCESS, FLAG } from '../../src/vfio-user/messages.ts';
import {
  type Bench,
  bytes,
  dmaCommand,
  mapPayload,
  message,
  type RawClient,
  unmapPayload,
  withBench,
} from './raw-client.ts';
import { DOORBELL_AT } from './toy-function.ts';

const { EACCES, EEXIST, EINVAL, ENOENT, ENOTSUP, EPERM } = constants.errno;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
const F_SEAL_SEAL = 1;
const F_SEAL_SHRINK = 2;
const F_SEAL_WRITE = 8;
const MIB = 1024 * 1024;
const PIECE = 128 * 1024;

/** What `done` was called with: `count` times, with `error` the last time. */
function outcome(): { done: Done; count: number; error: Error | undefined } {
  const result = {
    count: 0,
    error: undefined as Error | undefined,
    done: (error?: Error) => {
      result.count++;
      result.error = error;
    },
  };
  return result;
}

/** Maps `size` bytes of a new memfd at `address`, and returns the client's own view of it. */
function shared(client: RawClient, address: number, size: number, flags = 3) {
  const fd = memfd('guest', size);
  const mapping = mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  client.ask('DMA_MAP', mapPayload({ address, size, flags }), [fd]);
  close(fd);
  return mapping;
}

const reply = (id: number, command: 'DMA_READ' | 'DMA_WRITE', payload: Uint8Array) =>
  message(command, payload, { id, flags: FLAG.REPLY });

const dma = (bench: Bench) => bench.function.ports.dma;

const badRanges: [string, Parameters<typeof mapPayload>[0], number][] = [
  ['empty', { size: 0 }, EINVAL],
  ['unaligned address', { address: 0x800, size: 0x1000 }, EINVAL],
  ['unaligned size', { size: 0x1001 }, EINVAL],
  ['across 2^64', { address: -0x1000, size: 0x2000 }, EINVAL],
  ['across 2^53', { address: 2 ** 53 - 0x1000, size: 0x2000 }, EINVAL],
  ['at 2^63', { address: 2 ** 63, size: 0x1000 }, EINVAL],
  ['size 2^64 - 4096', { size: -0x1000 }, EINVAL],
  ['no access', { size: 0x1000, flags: 0 }, EINVAL],
  ['unknown flags', { size: 0x1000, flags: 7 }, EINVAL],
  ['same again', { address: 0x100000, size: 0x10000 }, EEXIST],
  ['first page', { address: 0x100000, size: 0x1000 }, EEXIST],
  ['last page', { address: 0x10f000, size: 0x1000 }, EEXIST],
  ['across the beginning', { address: 0xff000, size: 0x2000 }, EEXIST],
  ['across the end', { address: 0x10f000, size: 0x2000 }, EEXIST],
  ['around', { address: 0xff000, size: 0x100000 }, EEXIST],
];
test(
  'bad DMA ranges are refused and change nothing',
  withBench((bench) => {
    const client = bench.client();
    client.ask('DMA_MAP', mapPayload({ address: 0x100000, size: 0x10000 }));
    for (const [what, values, errno] of badRanges)
      assert.equal(client.refused('DMA_MAP', mapPayload(values)), errno, what);
    client.ask('DMA_MAP', mapPayload({ address: 0xff000, size: 0x1000 }));
    client.ask('DMA_MAP', mapPayload({ address: 0x110000, size: 0x1000 }));
  }),
);

test(
  'only a whole range, as it was mapped, can be unmapped',
  withBench((bench) => {
    const client = bench.client();
    client.ask('DMA_MAP', mapPayload({ address: 0x100000, size: 0x10000 }));
    for (const [address, size] of [
      [0x100000, 0x1000],
      [0x101000, 0xf000],
      [0x100000, 0x20000],
      [0, 0x10000],
      [-4096, 0x10000],
    ] as const) {
      assert.equal(client.refused('DMA_UNMAP', unmapPayload(address, size)), ENOENT);
    }
    assert.equal(client.refused('DMA_UNMAP', unmapPayload(0x100000, 0x10000, 1)), ENOTSUP);
    assert.equal(client.refused('DMA_UNMAP', unmapPayload(0x100000, 0x10000, 2)), EINVAL);
    assert.equal(client.refused('DMA_UNMAP', unmapPayload(0, 0, 4)), EINVAL);
    client.ask('DMA_UNMAP', unmapPayload(0x100000, 0x10000));
    assert.equal(client.refused('DMA_UNMAP', unmapPayload(0x100000, 0x10000)), ENOENT);
  }),
);

test(
  'all ranges can be unmapped at once',
  withBench((bench) => {
    const client = bench.client();
    release(shared(client, 0, 0x1000));
    client.ask('DMA_MAP', mapPayload({ address: 0x100000, size: 0x10000 }));
    client.ask('DMA_UNMAP', unmapPayload(0, 0, 2));
    assert.equal(dma(bench).view(0, 1, 'read'), undefined);
    client.ask('DMA_MAP', mapPayload({ address: 0, size: 0x200000 }));
  }),
);

test(
  'a range beyond the end of its file is refused',
  withBench((bench) => {
    const client = bench.client();
    const fd = memfd('m', 0x4000);
    for (const [offset, size] of [
      [0, 0x5000],
      [0x4000, 0x1000],
      [0x1000, 0x4000],
      [2 ** 40, 0x1000],
      [-0x1000, 0x1000],
      [0x800, 0x1000],
    ] as const) {
      assert.equal(client.refused('DMA_MAP', mapPayload({ offset, size }), [fd]), EINVAL, `${offset} ${size}`);
    }
    client.ask('DMA_MAP', mapPayload({ offset: 0x3000, size: 0x1000 }), [fd]);
    close(fd);
  }),
);

test(
  'a mapped file can no longer shrink under the server',
  withBench((bench) => {
    const client = bench.client();
    const fd = memfd('m', 0x4000);
    client.ask('DMA_MAP', mapPayload({ size: 0x4000 }), [fd]);
    assert.equal(fcntl(fd, F_GET_SEALS, 0) & F_SEAL_SHRINK, F_SEAL_SHRINK);
    assert.throws(() => ftruncateSync(fd, 0), { code: 'EPERM' });
    assert.equal(dma(bench).view(0x3fff, 1, 'read')?.length, 1);
    close(fd);
  }),
);

test(
  'a file that could shrink is not mapped: the range is reached by messages',
  withBench((bench) => {
    const client = bench.client();
    const unsealable = memfd('m', 0x1000);
    fcntl(unsealable, F_ADD_SEALS, F_SEAL_SEAL);
    const path = join(bench.directory, 'file');
    const plain = openSync(path, 'w+');
    ftruncateSync(plain, 0x1000);
    const device = openSync('/dev/zero', 'r+');
    [unsealable, plain, device].forEach((fd, i) => {
      const address = i * 0x1000;
      client.ask('DMA_MAP', mapPayload({ address, size: 0x1000 }), [fd]);
      assert.equal(dma(bench).view(address, 1, 'read'), undefined);
      dma(bench).read(address, new Uint8Array(4), () => {});
      assert.equal(dmaCommand(client.receive()).address, address);
      closeSync(fd);
    });
    rmSync(path);
  }),
);

test(
  'a file that does not permit what the range promises is refused',
  withBench((bench) => {
    const client = bench.client();
    const sealed = memfd('m', 0x1000);
    fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK);
    assert.equal(client.refused('DMA_MAP', mapPayload({ size: 0x1000 }), [sealed]), EPERM);
    client.ask('DMA_MAP', mapPayload({ size: 0x1000, flags: 1 }), [sealed]);
    const readOnly = openSync(`/proc/self/fd/${sealed}`, 'r');
    assert.equal(client.refused('DMA_MAP', mapPayload({ address: 0x1000, size: 0x1000 }), [readOnly]), EACCES);
    closeSync(readOnly);
    close(sealed);
  }),
);

test(
  'mapped memory is the client’s memory, at the right offset',
  withBench((bench) => {
    const client = bench.client();
    const fd = memfd('guest', 0x10000);
    const guest = mmap(0x10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    // As QEMU does it: one file below and above 4 GiB.
    client.ask('DMA_MAP', mapPayload({ address: 0, offset: 0, size: 0x8000 }), [fd]);
    client.ask('DMA_MAP', mapPayload({ address: 2 ** 32, offset: 0x8000, size: 0x8000 }), [fd]);
    close(fd);
    dma(bench)
      .view(2 ** 32 + 0x10, 4, 'write')
      ?.set([1, 2, 3, 4]);
    assert.deepEqual([...guest.bytes.subarray(0x8010, 0x8014)], [1, 2, 3, 4]);
    guest.bytes.set([5, 6, 7], 0x7ffd);
    const target = new Uint8Array(3);
    const read = outcome();
    dma(bench).read(0x7ffd, target, read.done);
    assert.deepEqual([...target], [5, 6, 7]);
    const store = outcome();
    dma(bench).store32(2 ** 32, 0x8899_aabb, store.done);
    assert.deepEqual([...guest.bytes.subarray(0x8000, 0x8005)], [0xbb, 0xaa, 0x99, 0x88, 0]);
    assert.deepEqual([read.count, read.error, store.count, store.error], [1, undefined, 1, undefined]);
    client.ask('DMA_UNMAP', unmapPayload(0, 0x8000));
    assert.ok(dma(bench).view(2 ** 32, 0x8000, 'read'));
    release(guest);
  }),
);

test(
  'a view that somebody kept becomes empty when its range is unmapped',
  withBench((bench) => {
    const client = bench.client();
    release(shared(client, 0, 0x1000));
    const kept = dma(bench).view(0, 0x1000, 'write');
    assert.equal(kept?.length, 0x1000);
    client.ask('DMA_UNMAP', unmapPayload(0, 0x1000));
    assert.equal(kept?.length, 0);
    assert.equal(dma(bench).view(0, 1, 'read'), undefined);
  }),
);

test(
  'nothing outside the mapped ranges is reached, and nothing against their access',
  withBench((bench) => {
    const client = bench.client();
    const guests = [
      shared(client, 0x10000, 0x1000),
      shared(client, 0x20000, 0x1000, 1),
      shared(client, 0x30000, 0x1000, 2),
    ];
    const port = dma(bench);
    const refused: [string, number, number, 'read' | 'write'][] = [
      ['before', 0xffff, 1, 'read'],
      ['across the beginning', 0xffff, 2, 'read'],
      ['across the end', 0x10fff, 2, 'write'],
      ['behind', 0x11000, 1, 'read'],
      ['all addresses', 0, 2 ** 40, 'read'],
      ['huge', 0x10000, Number.MAX_SAFE_INTEGER, 'read'],
      ['negative', -1, 1, 'read'],
      ['not a number', Number.NaN, 1, 'read'],
      ['not an integer', 65536.5, 1, 'read'],
      ['beyond 2^53', 2 ** 60, 1, 'read'],
      ['write to read-only', 0x20000, 1, 'write'],
      ['read of write-only', 0x30000, 1, 'read'],
    ];
    for (const [what, address, length, access] of refused) {
      if (what !== 'not an integer') assert.equal(port.view(address, length, access), undefined, what);
      if (length > 2 ** 32) continue;
      const result = outcome();
      port[access](address, new Uint8Array(length).fill(1), result.done);
      assert.equal(result.count, 1, what);
      assert.match(result.error?.message ?? '', /no host memory/, what);
    }
    const store = outcome();
    port.store32(0x20000, 1, store.done);
    assert.match(store.error?.message ?? '', /no host memory/);
    assert.throws(() => port.store32(0x10002, 1, () => {}), RangeError);
    for (const guest of guests) {
      assert.ok(guest.bytes.every((byte) => byte === 0));
      release(guest);
    }
  }),
);

test(
  'an access may cross adjacent ranges, whatever is behind them',
  withBench((bench) => {
    const client = bench.client();
    const low = shared(client, 0, 0x1000);
    client.ask('DMA_MAP', mapPayload({ address: 0x1000, size: 0x1000 }));
    const high = shared(client, 0x2000, 0x1000);
    const data = Uint8Array.from({ length: 0x3000 }, (_, i) => i % 251);
    const written = outcome();
    dma(bench).write(0, data, written.done);
    const command = dmaCommand(client.receive());
    assert.deepEqual([command.address, command.count], [0x1000, 0x1000]);
    assert.deepEqual(command.data, data.subarray(0x1000, 0x2000));
    assert.equal(written.count, 0);
    client.send(reply(command.id, 'DMA_WRITE', DMA_ACCESS.encode({ address: 0x1000, count: 0x1000 })));
    bench.turn();
    assert.deepEqual([written.count, written.error], [1, undefined]);
    assert.deepEqual(low.bytes, data.subarray(0, 0x1000));
    assert.deepEqual(high.bytes, data.subarray(0x2000));
    release(low);
    release(high);
  }),
);

test(
  'a DMA message goes out after the reply to the request that caused it, and requests are served meanwhile',
  withBench((bench) => {
    const client = bench.client();
    client.ask('DMA_MAP', mapPayload({ size: 0x1000 }));
    const target = new Uint8Array(16);
    const result = outcome();
    bench.function.doorbell = () => dma(bench).read(0x20, target, result.done);
    client.writeRegion(0, DOORBELL_AT, Uint8Array.of(1));
    const command = dmaCommand(client.receive());
    assert.deepEqual([command.address, command.count], [0x20, 16]);
    bench.function.doorbell = () => {};
    client.writeRegion(0, 0, Uint8Array.of(42));
    assert.deepEqual([...client.readRegion(0, 0, 1)], [42]);
    assert.equal(result.count, 0);
    const data = Uint8Array.from({ length: 16 }, (_, i) => i);
    client.send(reply(command.id, 'DMA_READ', bytes(DMA_ACCESS.encode({ address: 0x20, count: 16 }), data)));
    bench.turn();
    assert.deepEqual([result.count, result.error], [1, undefined]);
    assert.deepEqual(target, data);
  }),
);

test(
  'long accesses go in pieces, in order, and reads never have more than 128 KiB under way',
  withBench((bench) => {
    const client = bench.client();
    const size = MIB + 0x1000;
    client.ask('DMA_MAP', mapPayload({ size: 2 * MIB }));
    const memory = Uint8Array.from({ length: 2 * MIB }, (_, i) => (i * 31) >> 4);
    const target = new Uint8Array(size);
    const result = outcome();
    dma(bench).read(8, target, result.done);
    let outstanding = client.receive();
    for (let expected = 8; outstanding; ) {
      assert.equal(client.receive(), undefined);
      const { id, address, count } = dmaCommand(outstanding);
      assert.equal(address, expected);
      assert.ok(count <= PIECE);
      expected += count;
      const data = memory.subarray(address, address + count);
      client.send(reply(id, 'DMA_READ', bytes(DMA_ACCESS.encode({ address, count }), data)));
      outstanding = client.receive();
    }
    assert.deepEqual([result.count, result.error], [1, undefined]);
    assert.ok(Buffer.from(target).equals(memory.subarray(8, 8 + size)));
  }),
);

test(
  'a client’s own limit on transfers is kept',
  withBench((bench) => {
    const client = bench.connect();
    client.negotiate('{"capabilities":{"max_data_xfer_size":64}}');
    client.ask('DMA_MAP', mapPayload({ size: 0x1000 }));
    dma(bench).write(0, new Uint8Array(150), () => {});
    const counts = [0, 1, 2].map(() => dmaCommand(client.receive()).count);
    assert.deepEqual(counts, [64, 64, 22]);
  }),
);

const writeReplies: [string, Uint8Array][] = [
  ['header alone, as QEMU', new Uint8Array(0)],
  ['12 bytes, as the protocol’s text', DMA_ACCESS.encode({ address: 0, count: 8 }).subarray(0, 12)],
  ['16 bytes, as libvfio-user', DMA_ACCESS.encode({ address: 0, count: 8 })],
];
for (const [what, payload] of writeReplies) {
  test(
    `a reply to DMA_WRITE: ${what}`,
    withBench((bench) => {
      const client = bench.client();
      client.ask('DMA_MAP', mapPayload({ size: 0x1000 }));
      const result = outcome();
      dma(bench).write(0, new Uint8Array(8), result.done);
      client.send(reply(dmaCommand(client.receive()).id, 'DMA_WRITE', payload));
      bench.turn();
      assert.deepEqual([result.count, result.error], [1, undefined]);
    }),
  );
}

test(
  'an error reply fails its access, once, and no other',
  withBench((bench) => {
    const client = bench.client();
    client.ask('DMA_MAP', mapPayload({ size: MIB }));
    const first = outcome();
    const second = outcome();
    dma(bench).write(0, new Uint8Array(3 * PIECE), first.done);
    dma(bench).write(0x1000, new Uint8Array(4), second.done);
    const ids = [dmaCommand(client.receive()).id];
    client.send(message('DMA_WRITE', undefined, { id: ids[0] as number, flags: FLAG.REPLY | FLAG.ERROR, error: 14 }));
    for (let found = client.receive(); found; found = client.receive()) {
      client.send(reply(dmaCommand(found).id, 'DMA_WRITE', new Uint8Array(0)));
    }
    assert.equal(first.count, 1);
    assert.match(first.error?.message ?? '', /refused to write 131072 bytes at 0x0 \(errno 14\)/);
    assert.deepEqual([second.count, second.error], [1, undefined]);
  }),
);

const violations: [string, (id: number) => Uint8Array][] = [
  ['to another id', (id) => reply(id + 1, 'DMA_READ', bytes(DMA_ACCESS.encode({ count: 8 }), new Uint8Array(8)))],
  ['of another command', (id) => reply(id, 'DMA_WRITE', bytes(DMA_ACCESS.encode({ count: 8 }), new Uint8Array(8)))],
  ['too short', (id) => reply(id, 'DMA_READ', bytes(DMA_ACCESS.encode({ count: 8 }), new Uint8Array(7)))],
  ['too long', (id) => reply(id, 'DMA_READ', bytes(DMA_ACCESS.encode({ count: 8 }), new Uint8Array(9)))],
  ['a header alone', (id) => reply(id, 'DMA_READ', new Uint8Array(0))],
  ['of another count', (id) => reply(id, 'DMA_READ', bytes(DMA_ACCESS.encode({ count: 4 }), new Uint8Array(8)))],
  [
    'of another address',
    (id) => reply(id, 'DMA_READ', bytes(DMA_ACCESS.encode({ address: 8, count: 8 }), new Uint8Array(8))),
  ],
];
for (const [what, make] of violations) {
  test(
    `a DMA reply ${what} ends the connection and fails the access`,
    withBench((bench) => {
      const client = bench.client();
      client.ask('DMA_MAP', mapPayload({ size: 0x1000 }));
      const target = new Uint8Array(8);
      const result = outcome();
      dma(bench).read(0, target, result.done);
      client.send(make(dmaCommand(client.receive()).id).map((byte) => byte));
      client.receive();
      assert.ok(client.ended);
      assert.equal(result.count, 1);
      assert.match(result.error?.message ?? '', /disconnected/);
      assert.ok(target.every((byte) => byte === 0));
      bench.client().readRegion(0, 0, 4);
    }),
  );
}

test(
  'a reply to nothing ends the connection',
  withBench((bench) => {
    const client = bench.client();
    client.send(reply(0, 'DMA_READ', new Uint8Array(16)));
    client.receive();
    assert.ok(client.ended);
    bench.client().readRegion(0, 0, 4);
  }),
);

test(
  'unmapping fails what has not been sent yet, and waits for what has',
  withBench((bench) => {
    const client = bench.client();
    client.ask('DMA_MAP', mapPayload({ size: MIB }));
    const result = outcome();
    dma(bench).read(0, new Uint8Array(2 * PIECE), result.done);
    const { id, address, count } = dmaCommand(client.receive());
    client.ask('DMA_UNMAP', unmapPayload(0, MIB));
    assert.equal(result.count, 0);
    client.send(reply(id, 'DMA_READ', bytes(DMA_ACCESS.encode({ address, count }), new Uint8Array(count))));
    bench.turn();
    assert.equal(result.count, 1);
    assert.match(result.error?.message ?? '', /no longer mapped/);
    assert.equal(client.receive(), undefined);
  }),
);

test(
  'when the client goes, DMA under way fails and nothing is mapped any more',
  withBench((bench) => {
    const client = bench.client();
    release(shared(client, 0, 0x1000));
    client.ask('DMA_MAP', mapPayload({ address: 0x1000, size: 0x1000 }));
    const result = outcome();
    dma(bench).read(0x1000, new Uint8Array(8), result.done);
    client.close();
    assert.equal(result.count, 1);
    assert.match(result.error?.message ?? '', /disconnected/);
    const next = bench.client();
    const refused = outcome();
    dma(bench).read(0, new Uint8Array(8), refused.done);
    assert.match(refused.error?.message ?? '', /no host memory/);
    assert.ok(!readFileSync('/proc/self/maps', 'utf8').includes('memfd:guest'));
    release(shared(next, 0, 0x1000));
    assert.ok(dma(bench).view(0, 0x1000, 'read'));
  }),
);

test('65535 ranges may be mapped and no more; ranges of one file share one mapping', () => {
  const map = new DmaMap();
  const fd = memfd('guest', 0x1000);
  const stride = 0x2000;
  const add = (i: number) =>
    map.add({ address: i * stride, size: 0x1000, offset: 0, readable: true, writable: true }, fd);
  for (let i = 0; i < 65535; i++) add(i);
  assert.throws(() => add(65535), { errno: constants.errno.ENOSPC });
  assert.equal(readFileSync('/proc/self/maps', 'utf8').split('memfd:guest').length - 1, 1);
  assert.ok(map.permits(65534 * stride, 0x1000, 'write'));
  assert.ok(!map.permits(65534 * stride - 1, 1, 'write'));
  map.clear();
  assert.deepEqual([map.size, map.files], [0, 0]);
  assert.ok(!readFileSync('/proc/self/maps', 'utf8').includes('memfd:guest'));
  close(fd);
});

test('of more files than may be mapped, or greater ones, the rest is reached by messages', () => {
  const map = new DmaMap();
  const add = (address: number, fileSize: number) => {
    const fd = memfd('guest', fileSize);
    map.add({ address, size: 0x1000, offset: 0, readable: true, writable: true }, fd);
    close(fd);
    return map.find(address)?.file !== undefined;
  };
  assert.equal(add(0, 2 ** 43), false);
  for (let i = 1; i <= 256; i++) assert.equal(add(i * 0x1000, 0x1000), true);
  assert.equal(add(257 * 0x1000, 0x1000), false);
  map.remove(0x1000, 0x1000);
  assert.equal(add(258 * 0x1000, 0x1000), true);
  map.clear();
});

test('what is put between the function and the memory sees every access', () => {
  const seen: string[] = [];
  withBench(
    (bench) => {
      const client = bench.client();
      release(shared(client, 0, 0x1000));
      dma(bench).store32(4, 7, () => {});
      assert.deepEqual([...(dma(bench).view(4, 4, 'read') ?? [])], [7, 0, 0, 0]);
      assert.deepEqual(seen, ['store32 4', 'view 4']);
    },
    (host) => ({
      view: (address, length, access) => {
        seen.push(`view ${address}`);
        return host.view(address, length, access);
      },
      read: (...all) => host.read(...all),
      write: (...all) => host.write(...all),
      store32: (address, value, done) => {
        seen.push(`store32 ${address}`);
        host.store32(address, value, done);
      },
    }),
  )();
});
