import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { test } from 'node:test';
import { close, eventfd, MAP_SHARED, memfd, mmap, PROT_READ, PROT_WRITE } from '../../src/os/libc.ts';
import { release } from '../../src/os/socket.ts';
import {
  COMMANDS,
  DEVICE_INFO,
  DMA_UNMAP,
  FLAG,
  HEADER,
  IRQ_INFO,
  REGION_ACCESS,
  REGION_COUNT,
  REGION_FLAG,
  REGION_INFO,
  REGION_IO_FDS,
  SPARSE_AREA,
  SPARSE_CAP,
  VERSION,
  WRITE_MULTI,
} from '../../src/vfio-user/messages.ts';
import {
  bytes,
  counter,
  irqPayload,
  mapPayload,
  message,
  unmapPayload,
  versionPayload,
  withBench,
} from './raw-client.ts';
import { DEFECT_AT, MAPPABLE, MEMORY_SIZE, MODEL_ERROR_AT } from './toy-function.ts';

const { E2BIG, EEXIST, EINVAL, EIO, ENOENT, ENOSYS, ENOTSUP } = constants.errno;

const at = (region: number, offset: number, count: number) => REGION_ACCESS.encode({ region, offset, count });

test(
  'every command before VERSION is refused, and VERSION still works then',
  withBench((bench) => {
    const client = bench.connect();
    for (const [name, row] of Object.entries(COMMANDS)) {
      if (name === 'VERSION') continue;
      assert.equal(client.refused(row.number, new Uint8Array(32)), EINVAL, name);
    }
    client.negotiate();
  }),
);

test(
  'a second VERSION is refused and changes nothing',
  withBench((bench) => {
    const client = bench.client();
    assert.equal(client.refused('VERSION', versionPayload('{}')), EINVAL);
    assert.equal(client.readRegion(0, 0, 4).length, 4);
  }),
);

const badVersions: [string, Uint8Array][] = [
  ['no payload', new Uint8Array(0)],
  ['half a version', new Uint8Array(2)],
  ['no NUL', bytes(VERSION.encode({}), new TextEncoder().encode('{}'))],
  ['not JSON', versionPayload('{"capabilities":')],
  ['not UTF-8', bytes(VERSION.encode({}), [0xff, 0xfe, 0])],
  ['a list', versionPayload('[]')],
  ['a number', versionPayload('7')],
  ['null', versionPayload('null')],
  ['capabilities a list', versionPayload('{"capabilities":[1]}')],
  ['max_msg_fds negative', versionPayload('{"capabilities":{"max_msg_fds":-1}}')],
  ['max_msg_fds text', versionPayload('{"capabilities":{"max_msg_fds":"8"}}')],
  ['max_data_xfer_size 0', versionPayload('{"capabilities":{"max_data_xfer_size":0}}')],
  ['max_data_xfer_size 1e300', versionPayload('{"capabilities":{"max_data_xfer_size":1e300}}')],
  ['write_multiple a number', versionPayload('{"capabilities":{"write_multiple":1}}')],
  ['deep nesting', versionPayload(`{"capabilities":${'['.repeat(200_000)}`)],
];
for (const [what, payload] of badVersions) {
  test(
    `VERSION with ${what} is refused, and a good one accepted after it`,
    withBench((bench) => {
      const client = bench.connect();
      assert.equal(client.refused('VERSION', payload), EINVAL);
      client.negotiate();
    }),
  );
}

test(
  'another major version is refused and the connection closed',
  withBench((bench) => {
    const client = bench.connect();
    assert.equal(client.refused('VERSION', versionPayload('{}', 1)), EINVAL);
    assert.equal(client.receive(), undefined);
    assert.ok(client.ended);
  }),
);

test(
  'the reply to VERSION has the lower minor version and of the proposed capabilities those it knows',
  withBench((bench) => {
    const client = bench.connect();
    const proposed = { migration: { pgsize: 4096 }, max_msg_fds: 8, twin_socket: { supported: true }, pgsizes: 4096 };
    const reply = client.ask('VERSION', versionPayload(JSON.stringify({ capabilities: proposed }), 0, 0));
    assert.deepEqual(VERSION.decode(reply.view, 0), { major: 0, minor: 0 });
    assert.equal(reply.payload.at(-1), 0);
    const json = new TextDecoder().decode(reply.payload.subarray(VERSION.size, -1));
    assert.deepEqual(JSON.parse(json), { capabilities: { max_msg_fds: 16, pgsizes: 4096 } });
  }),
);

test(
  'VERSION without data is enough',
  withBench((bench) => {
    const client = bench.connect();
    client.ask('VERSION', versionPayload(undefined, 0, 9));
    assert.equal(client.readRegion(0, 0, 4).length, 4);
  }),
);

test(
  'unknown commands, and commands only a server sends, are refused',
  withBench((bench) => {
    const client = bench.client();
    for (const command of [0, 19, 255, 65535]) assert.equal(client.refused(command), ENOSYS);
    assert.equal(client.refused('DMA_READ', new Uint8Array(16)), EINVAL);
    assert.equal(client.refused('DMA_WRITE', new Uint8Array(16)), EINVAL);
  }),
);

test(
  'migration is refused',
  withBench((bench) => {
    const client = bench.client();
    for (const name of ['DIRTY_PAGES', 'DEVICE_FEATURE', 'MIG_DATA_READ', 'MIG_DATA_WRITE'] as const) {
      assert.equal(client.refused(name, new Uint8Array(8)), ENOTSUP);
    }
  }),
);

test(
  'reserved header flags are refused',
  withBench((bench) => {
    const client = bench.client();
    for (const flags of [FLAG.ERROR, 2, 15, 0x40, 0x8000_0000]) {
      client.send(message('DEVICE_RESET', undefined, { flags }));
      assert.equal(client.receive()?.error, EINVAL);
    }
    assert.deepEqual(bench.function.resets, []);
  }),
);

for (const size of [0, 1, 15]) {
  test(
    `a message size of ${size}, less than its header, is answered and ends the connection`,
    withBench((bench) => {
      const client = bench.client();
      client.send(message('DEVICE_RESET', undefined, { size }));
      const reply = client.receive();
      assert.deepEqual([reply?.flags, reply?.error], [FLAG.REPLY | FLAG.ERROR, EINVAL]);
      client.receive();
      assert.ok(client.ended);
      bench.client().readRegion(0, 0, 4);
    }),
  );
}

for (const size of [16 + 16 + 1024 * 1024 + 1, 0xffff_ffff]) {
  test(
    `a message size of ${size} is answered and ends the connection before anything is read`,
    withBench((bench) => {
      const client = bench.client();
      client.send(message('REGION_WRITE', at(0, 0, 4), { size }));
      const reply = client.receive();
      assert.deepEqual([reply?.flags, reply?.error], [FLAG.REPLY | FLAG.ERROR, E2BIG]);
      client.receive();
      assert.ok(client.ended);
      bench.client().readRegion(0, 0, 4);
    }),
  );
}

test(
  'a message in pieces of one byte is one message',
  withBench((bench) => {
    const client = bench.client();
    for (const byte of message('REGION_WRITE', bytes(at(0, 8, 4), [1, 2, 3, 4]))) {
      client.send(Uint8Array.of(byte));
      bench.turn();
    }
    assert.equal(client.receive()?.flags, FLAG.REPLY);
    assert.deepEqual([...bench.function.registers.subarray(8, 12)], [1, 2, 3, 4]);
  }),
);

test(
  'a client that goes away in the middle of a message leaves nothing behind',
  withBench((bench) => {
    const whole = message('REGION_WRITE', bytes(at(0, 0, 4), [1, 2, 3, 4]));
    for (let length = 0; length < whole.length; length++) {
      const client = bench.client();
      client.send(whole.subarray(0, length));
      bench.turn();
      client.close();
      assert.equal(bench.server.connected, false);
    }
    assert.equal(bench.function.log.length, 0);
    assert.equal(bench.function.resets.length, whole.length);
  }),
);

test(
  'pipelined messages are answered in order',
  withBench((bench) => {
    const client = bench.client();
    const count = 200;
    const all = Array.from({ length: count }, (_, id) => message('REGION_READ', at(0, 0, 4), { id }));
    client.send(bytes(...all));
    for (let id = 0; id < count; id++) assert.equal(client.receive()?.id, id);
  }),
);

test(
  'a command with NO_REPLY is carried out and not answered, even when it fails',
  withBench((bench) => {
    const client = bench.client();
    client.send(message('REGION_WRITE', bytes(at(0, 4, 1), [9]), { flags: FLAG.NO_REPLY }));
    client.send(message('REGION_WRITE', bytes(at(0, 5000, 1), [9]), { flags: FLAG.NO_REPLY }));
    client.send(message(999, undefined, { flags: FLAG.NO_REPLY }));
    assert.deepEqual([...client.readRegion(0, 4, 1)], [9]);
    assert.equal(client.receive(), undefined);
  }),
);

const wrongSizes: [string, number, Uint8Array][] = [
  ['DEVICE_GET_INFO', EINVAL, DEVICE_INFO.encode({ argsz: 16 }).subarray(0, 12)],
  ['DEVICE_GET_INFO', EINVAL, DEVICE_INFO.encode({ argsz: 15 })],
  ['DEVICE_GET_REGION_INFO', EINVAL, REGION_INFO.encode({ argsz: 31 })],
  ['DEVICE_GET_REGION_INFO', EINVAL, REGION_INFO.encode({ argsz: 32, index: REGION_COUNT })],
  ['DEVICE_GET_REGION_INFO', EINVAL, REGION_INFO.encode({ argsz: 32, index: 0xffff_ffff })],
  ['DEVICE_GET_REGION_INFO', EINVAL, bytes(REGION_INFO.encode({ argsz: 32 }), [0])],
  ['DEVICE_GET_REGION_IO_FDS', EINVAL, REGION_IO_FDS.encode({ argsz: 8 })],
  ['DEVICE_GET_REGION_IO_FDS', EINVAL, REGION_IO_FDS.encode({ argsz: 16, flags: 1 })],
  ['DEVICE_GET_REGION_IO_FDS', EINVAL, REGION_IO_FDS.encode({ argsz: 16, index: 9 })],
  ['DEVICE_GET_IRQ_INFO', EINVAL, IRQ_INFO.encode({ argsz: 15 })],
  ['DEVICE_GET_IRQ_INFO', EINVAL, IRQ_INFO.encode({ argsz: 16, index: 5 })],
  ['DEVICE_SET_IRQS', EINVAL, irqPayload({ argsz: 19, flags: 0x21, index: 1 })],
  ['DEVICE_SET_IRQS', EINVAL, irqPayload({ argsz: 21, flags: 0x21, index: 1 })],
  ['DEVICE_SET_IRQS', EINVAL, irqPayload({ flags: 0x21, index: 1 }).subarray(0, 16)],
  ['DMA_MAP', EINVAL, mapPayload({ argsz: 31, size: 4096 })],
  ['DMA_MAP', EINVAL, mapPayload({ argsz: 33, size: 4096 })],
  ['DMA_MAP', EINVAL, mapPayload({ size: 4096 }).subarray(0, 24)],
  ['DMA_UNMAP', EINVAL, DMA_UNMAP.encode({ argsz: 23, size: 4096 })],
  ['DMA_UNMAP', EINVAL, DMA_UNMAP.encode({ argsz: 24, size: 4096 }).subarray(1)],
  ['DEVICE_RESET', EINVAL, new Uint8Array(1)],
  ['REGION_READ', EINVAL, at(0, 0, 4).subarray(0, 15)],
  ['REGION_READ', EINVAL, bytes(at(0, 0, 4), [0, 0, 0, 0])],
  ['REGION_READ', EINVAL, at(0, 0, 1024 * 1024 + 1)],
  ['REGION_WRITE', EINVAL, bytes(at(0, 0, 4), [1, 2, 3])],
  ['REGION_WRITE', EINVAL, bytes(at(0, 0, 4), [1, 2, 3, 4, 5])],
  ['REGION_WRITE', EINVAL, at(0, 0, 0xffff_ffff)],
  ['REGION_WRITE_MULTI', EINVAL, new Uint8Array(7)],
  ['REGION_WRITE_MULTI', EINVAL, bytes(WRITE_MULTI.encode({ count: 2 }), new Uint8Array(24))],
  ['REGION_WRITE_MULTI', EINVAL, bytes(WRITE_MULTI.encode({ count: 2 ** 63 }), new Uint8Array(24))],
  ['REGION_WRITE_MULTI', EINVAL, bytes(WRITE_MULTI.encode({ count: 1 }), at(0, 0, 9), new Uint8Array(8))],
];
test(
  'payloads of a wrong size, or with a wrong argsz, are refused',
  withBench((bench) => {
    const client = bench.client();
    for (const [name, errno, payload] of wrongSizes) {
      assert.equal(client.refused(name as keyof typeof COMMANDS, payload), errno, `${name} ${payload}`);
    }
    assert.equal(bench.function.log.length, 0);
  }),
);

const outside: [string, Uint8Array][] = [
  ['behind the end', at(0, 4096, 1)],
  ['across the end', at(0, 4094, 4)],
  ['across 2^64', REGION_ACCESS.encode({ region: 0, offset: -4, count: 8 })],
  ['at 2^63', REGION_ACCESS.encode({ region: 0, offset: 2 ** 63, count: 4 })],
  ['at 2^53 + 1', REGION_ACCESS.encode({ region: 0, offset: 2 ** 53 + 2, count: 4 })],
  ['a region that is not there', at(1, 0, 4)],
  ['the ROM', at(6, 0, 4)],
  ['VGA', at(8, 0, 4)],
  ['region 9', at(9, 0, 4)],
  ['region 2^32 - 1', at(0xffff_ffff, 0, 4)],
];
test(
  'accesses outside a region are refused and do not reach the function',
  withBench((bench) => {
    const client = bench.client();
    for (const [what, access] of outside) {
      assert.equal(client.refused('REGION_READ', access), EINVAL, what);
      const count = REGION_ACCESS.fields.count.get(new DataView(access.buffer), 0);
      assert.equal(client.refused('REGION_WRITE', bytes(access, new Uint8Array(count))), EINVAL, what);
    }
    assert.deepEqual(bench.function.log, []);
  }),
);

test(
  'reads and writes of every size reach the function as they are',
  withBench((bench) => {
    const client = bench.client();
    for (const count of [0, 1, 2, 3, 4, 8, 9, 100, 4096]) {
      const data = Uint8Array.from({ length: count }, (_, i) => i * 7 + count);
      client.writeRegion(0, 0, data);
      assert.deepEqual(client.readRegion(0, 0, count), data);
    }
    client.writeRegion(7, 4, Uint8Array.of(6, 0));
    assert.deepEqual([...client.readRegion(7, 4, 2)], [6, 0]);
    // the server looks after the BARs, too (client-config.ts)
    const accesses = bench.function.log.filter((line) => line.startsWith('config') && !line.endsWith('16+24'));
    assert.deepEqual(accesses, ['config write 4+2', 'config read 4+2']);
    const big = new Uint8Array(MEMORY_SIZE).fill(0x5a);
    client.writeRegion(2, 0, big);
    assert.deepEqual(client.readRegion(2, 0, MEMORY_SIZE), big);
  }),
);

test(
  'an access that the model refuses is an error reply; so is a defect; the next one works',
  withBench((bench) => {
    const client = bench.client();
    assert.equal(client.refused('REGION_READ', at(0, MODEL_ERROR_AT, 4)), EIO);
    assert.equal(client.refused('REGION_WRITE', bytes(at(0, DEFECT_AT, 1), [0])), EIO);
    assert.equal(client.readRegion(0, 0, 4).length, 4);
    assert.match(bench.logged[0] ?? '', /unimplemented: TOY.REG/);
    assert.match(bench.logged[1] ?? '', /defect: TypeError: a defect/);
  }),
);

test(
  'REGION_WRITE_MULTI does all writes in order, or none when one is outside',
  withBench((bench) => {
    const client = bench.client();
    const one = (offset: number, count: number, value: number) =>
      bytes(at(0, offset, count), new Uint8Array(8).fill(value));
    const bad = bytes(WRITE_MULTI.encode({ count: 2 }), one(0, 4, 1), one(4095, 2, 2));
    assert.equal(client.refused('REGION_WRITE_MULTI', bad), EINVAL);
    assert.deepEqual(bench.function.log, []);
    const good = bytes(WRITE_MULTI.encode({ count: 3 }), one(0, 8, 1), one(2, 1, 2), one(3, 0, 3));
    const reply = client.ask('REGION_WRITE_MULTI', good);
    assert.equal(WRITE_MULTI.fields.count.get(reply.view, 0), 3);
    assert.deepEqual([...bench.function.registers.subarray(0, 8)], [1, 1, 2, 1, 1, 1, 1, 1]);
  }),
);

test(
  'REGION_WRITE_MULTI that was not negotiated is refused',
  withBench((bench) => {
    const client = bench.connect();
    client.negotiate('{}');
    assert.equal(client.refused('REGION_WRITE_MULTI', WRITE_MULTI.encode({ count: 0 })), EINVAL);
  }),
);

test(
  'DEVICE_GET_INFO says PCI, reset, 9 regions, 5 kinds of interrupts',
  withBench((bench) => {
    const client = bench.client();
    const reply = client.ask('DEVICE_GET_INFO', DEVICE_INFO.encode({ argsz: 100 }));
    assert.deepEqual(DEVICE_INFO.decode(reply.view, 0), { argsz: 16, flags: 3, regions: 9, irqs: 5 });
  }),
);

test(
  'DEVICE_RESET resets the function',
  withBench((bench) => {
    const client = bench.client();
    client.writeRegion(0, 0, Uint8Array.of(1));
    client.ask('DEVICE_RESET');
    assert.deepEqual(bench.function.resets, ['conventional']);
    assert.deepEqual([...client.readRegion(0, 0, 1)], [0]);
  }),
);

test(
  'a region that is not there has size 0, one that cannot be mapped no descriptor',
  withBench((bench) => {
    const client = bench.client();
    const info = (index: number) => client.ask('DEVICE_GET_REGION_INFO', REGION_INFO.encode({ argsz: 32, index }));
    const none = info(6);
    assert.deepEqual(REGION_INFO.decode(none.view, 0), {
      argsz: 32,
      flags: 0,
      index: 6,
      capOffset: 0,
      size: 0,
      offset: 0,
    });
    const plain = info(0);
    const flags = REGION_FLAG.READ | REGION_FLAG.WRITE;
    assert.deepEqual(REGION_INFO.decode(plain.view, 0), {
      argsz: 32,
      flags,
      index: 0,
      capOffset: 0,
      size: 4096,
      offset: 0,
    });
    assert.deepEqual(plain.fds, []);
  }),
);

test(
  'a sparse region tells in the short reply how much room it needs, and then what can be mapped',
  withBench((bench) => {
    const client = bench.client();
    const info = (argsz: number) => client.ask('DEVICE_GET_REGION_INFO', REGION_INFO.encode({ argsz, index: 2 }));
    const flags = REGION_FLAG.READ | REGION_FLAG.WRITE | REGION_FLAG.MMAP | REGION_FLAG.CAPS;
    const needed = REGION_INFO.size + SPARSE_CAP.size + SPARSE_AREA.size;
    const expected = { argsz: needed, flags, index: 2, capOffset: 32, size: MEMORY_SIZE, offset: 0 };
    const short = info(needed - 1);
    assert.equal(short.payload.length, REGION_INFO.size);
    assert.deepEqual(REGION_INFO.decode(short.view, 0), expected);
    assert.deepEqual(short.fds, []);
    const full = info(needed);
    assert.deepEqual(REGION_INFO.decode(full.view, 0), expected);
    assert.deepEqual(SPARSE_CAP.decode(full.view, 32), { id: 1, version: 1, next: 0, areas: 1, reserved: 0 });
    assert.deepEqual(SPARSE_AREA.decode(full.view, 48), { offset: MAPPABLE.offset, size: MAPPABLE.size });
    assert.equal(full.fds.length, 1);
    const fd = full.fds[0] as number;
    const mapping = mmap(MAPPABLE.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, MAPPABLE.offset);
    close(fd);
    mapping.bytes[5] = 77;
    assert.deepEqual([...client.readRegion(2, MAPPABLE.offset + 5, 1)], [77]);
    release(mapping);
  }),
);

test(
  'a client that takes no descriptors is given none, and a region that only traps',
  withBench((bench) => {
    const client = bench.connect();
    client.negotiate('{"capabilities":{"max_msg_fds":0}}');
    const reply = client.ask('DEVICE_GET_REGION_INFO', REGION_INFO.encode({ argsz: 4096, index: 2 }));
    assert.equal(REGION_INFO.decode(reply.view, 0).flags, REGION_FLAG.READ | REGION_FLAG.WRITE);
    assert.deepEqual(reply.fds, []);
  }),
);

test(
  'there are no descriptors in place of region accesses',
  withBench((bench) => {
    const client = bench.client();
    const reply = client.ask('DEVICE_GET_REGION_IO_FDS', REGION_IO_FDS.encode({ argsz: 100, index: 0 }));
    assert.deepEqual(REGION_IO_FDS.decode(reply.view, 0), { argsz: 16, flags: 0, index: 0, count: 0 });
  }),
);

test(
  'descriptors with a command that takes none are refused and closed',
  withBench((bench) => {
    const client = bench.client();
    const fd = openSync('/dev/null', 'r');
    for (const name of Object.keys(COMMANDS) as (keyof typeof COMMANDS)[]) {
      if (name === 'DMA_MAP' || name === 'DEVICE_SET_IRQS' || name.startsWith('DMA_')) continue;
      assert.equal(client.refused(name, new Uint8Array(0), [fd]), EINVAL, name);
    }
    assert.equal(client.refused('DMA_UNMAP', unmapPayload(0, 4096), [fd, fd]), EINVAL);
    assert.equal(client.refused(4000, new Uint8Array(40), [fd]), ENOSYS);
    closeSync(fd);
  }),
);

test(
  'more descriptors than one message may have are refused and closed',
  withBench((bench) => {
    const client = bench.client();
    const fd = eventfd(0, 0);
    for (const count of [17, 100, 253]) {
      const fds = new Array<number>(count).fill(fd);
      const payload = irqPayload({ flags: 0x24, index: 1, count: 4 });
      assert.equal(client.refused('DEVICE_SET_IRQS', payload, fds), EINVAL, `${count}`);
    }
    assert.equal(client.refused('DMA_MAP', mapPayload({ size: 4096 }), [fd, fd]), EINVAL);
    client.ask('DEVICE_SET_IRQS', irqPayload({ flags: 0x24, index: 1, count: 1 }), [fd]);
    close(fd);
  }),
);

test(
  'descriptors that come with the middle of a message belong to it, and too many are closed',
  withBench((bench) => {
    const client = bench.client();
    const fd = memfd('m', 4096);
    const whole = message('DMA_MAP', mapPayload({ size: 4096 }));
    client.send(whole.subarray(0, 20));
    bench.turn();
    client.send(whole.subarray(20), [fd]);
    assert.equal(client.receive()?.flags, FLAG.REPLY);
    assert.ok(bench.function.ports.dma.view(0, 4096, 'read'));
    const write = message('REGION_WRITE', bytes(at(0, 0, 64), new Uint8Array(64)));
    for (const byte of write) client.send(Uint8Array.of(byte), [fd]);
    assert.equal(client.receive()?.error, EINVAL);
    close(fd);
  }),
);

test(
  'a descriptor belongs to the message it was sent with, however closely messages follow each other',
  withBench((bench) => {
    const client = bench.client();
    const fds = [0, 1, 2].map(() => eventfd(0, 0));
    // A short message before each, which a long read would return together with the beginning of the next.
    for (let i = 0; i < 3; i++) {
      client.send(message('DEVICE_RESET', undefined, { id: 100 + i }));
      client.send(message('DEVICE_SET_IRQS', irqPayload({ flags: 0x24, index: 1, start: i, count: 1 }), { id: i }), [
        fds[i] as number,
      ]);
    }
    client.send(message('DEVICE_RESET', undefined, { id: 103 }));
    const replies = Array.from({ length: 7 }, () => client.receive());
    assert.deepEqual(
      replies.map((reply) => [reply?.id, reply?.error]),
      [100, 0, 101, 1, 102, 2, 103].map((id) => [id, 0]),
    );
    const before = fds.map(counter);
    bench.function.ports.interrupt('msi', 1);
    assert.deepEqual(
      fds.map(counter),
      before.map((_, i) => (i === 1 ? 1 : 0)),
    );
    for (const fd of fds) close(fd);
  }),
);

test(
  'the log of one client is bounded',
  withBench((bench) => {
    const client = bench.client();
    for (let i = 0; i < 300; i++) client.refused(999);
    assert.equal(bench.logged.length, 101);
  }),
);

test(
  'unmapping, mapping and errno values are those of the protocol',
  withBench((bench) => {
    const client = bench.client();
    client.ask('DMA_MAP', mapPayload({ address: 0x10000, size: 0x1000 }));
    assert.equal(client.refused('DMA_MAP', mapPayload({ address: 0x10000, size: 0x1000 })), EEXIST);
    assert.equal(client.refused('DMA_UNMAP', unmapPayload(0x20000, 0x1000)), ENOENT);
    const reply = client.ask('DMA_UNMAP', unmapPayload(0x10000, 0x1000));
    assert.equal(reply.payload.length, DMA_UNMAP.size);
    assert.deepEqual(DMA_UNMAP.decode(reply.view, 0), { argsz: 24, flags: 0, address: 0x10000, size: 0x1000 });
    assert.equal(HEADER.size + reply.payload.length, 40);
  }),
);

test(
  'the shortest messages, many in one piece, are all answered',
  withBench((bench) => {
    const client = bench.client();
    client.send(bytes(...Array.from({ length: 131 }, (_, id) => message('DEVICE_RESET', undefined, { id }))));
    for (let id = 0; id < 131; id++) assert.equal(client.receive()?.id, id);
  }),
);

test(
  'a client whose unfinished message holds its own socket is gone when it is gone',
  withBench((bench) => {
    const client = bench.client();
    client.send(message('DMA_MAP', mapPayload({ size: 4096 })).subarray(0, 40), [client.stream.fd]);
    bench.turn();
    client.close();
    assert.equal(bench.server.connected, false);
  }),
);
