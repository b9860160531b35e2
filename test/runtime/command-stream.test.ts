import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gaudiQman } from '../../specs/gaudi-qman.ts';
import { assembleStream } from '../../src/runtime/assembly.ts';
import { CommandStream } from '../../src/runtime/command-stream.ts';
import { ExhaustedError } from '../../src/runtime/errors.ts';
import { fenceAddress, Monitor, SyncManager, SyncObject } from '../../src/runtime/sync.ts';

function hex(stream: CommandStream): string {
  return Buffer.from(stream.bytes).toString('hex');
}

function decode(stream: CommandStream) {
  const words = new Uint32Array(stream.bytes.slice().buffer);
  const packets = [];
  for (let at = 0; at < words.length; ) {
    const packet = gaudiQman.decode(words, at);
    packets.push(packet);
    at += packet.sizeInWords;
  }
  return packets;
}

test('transfers of no bytes, of parts of bytes, and bytes that are no packets are refused', () => {
  const stream = new CommandStream();
  for (const size of [0, -1, 1.5, Number.NaN]) {
    assert.throws(() => stream.dma(0n, 0n, size), RangeError);
    assert.throws(() => stream.memset(0n, 0n, size), RangeError);
  }
  assert.throws(() => stream.raw(new Uint8Array(7)), RangeError);
  assert.throws(() => stream.fence(4), RangeError);
  assert.equal(stream.size, 0);
});

// bytes by gaudi_packets.h of the kernel: value or size, then opcode << 24 | barriers << 29 | flags, then addresses
test('a copy waits for what came before, unless told otherwise', () => {
  const stream = new CommandStream().dma(0x7f_f000_0080n, 0x1_0000_0000_0000n, 0x1234);
  assert.equal(hex(stream), '34120000' + '080000e9' + '0000000000000100' + '800000f07f000000');
  const loose = new CommandStream().dma(0n, 0n, 1, { eb: false, rb: false, mb: false });
  assert.equal(hex(loose).slice(0, 16), '01000000' + '08000009');
});

test('a fill carries its pattern', () => {
  const stream = new CommandStream().memset(0x2000_0000n, 0x1122334455667788n, 16);
  assert.equal(hex(stream), '10000000' + '180000e9' + '8877665544332211' + '0000002000000000');
});

test('4 GiB and more become several transfers without gap or overlap', () => {
  const size = 9 * 2 ** 30 + 5;
  const stream = new CommandStream().dma(0x1000n, 0x2_0000_0000n, size);
  let at = 0n;
  for (const packet of decode(stream)) {
    assert.equal(packet.name, 'LIN_DMA');
    if (packet.name !== 'LIN_DMA') continue;
    assert.equal(packet.fields.dst, 0x1000n + at);
    assert.equal(packet.fields.src, 0x2_0000_0000n + at);
    at += BigInt(packet.fields.tsize);
  }
  assert.equal(at, BigInt(size));
});

test('sync objects are set and added to where they are', () => {
  const object = new SyncObject('E_N', 12);
  assert.equal(object.address, 0x7f_fc4f_2030n); // SOB base of E_N and 4 bytes each
  const stream = new CommandStream().set(object, 5).add(object, 1).add(object, -1);
  assert.deepEqual(
    decode(stream).map((packet) => (packet.name === 'MSG_LONG' ? [packet.fields.addr, packet.fields.value] : [])),
    [
      [object.address, 5],
      [object.address, 0x8000_0001],
      [object.address, 0x8000_7fff],
    ],
  );
  assert.throws(() => new SyncObject('E_N', 2048), /sync object 2048: there are 2048/);
});

test('a monitor is told where to write, then armed', () => {
  const monitor = new Monitor('W_S', 72);
  const objects = [new SyncObject('W_S', 145), new SyncObject('W_S', 150)];
  const fence = fenceAddress('DMA_1_2', 3);
  assert.equal(fence, 0x7f_fc00_0000n + 0x528000n + 0x308n + 3n * 0x14n + 8n);
  const stream = new CommandStream().arm(monitor, { objects, value: 7, write: { place: fence, data: 1 } });
  const writes = decode(stream).map((p) =>
    p.name === 'MSG_LONG' ? [p.fields.addr - 0x7f_fc49_2000n, p.fields.value] : [],
  );
  assert.deepEqual(writes, [
    [0x2000n + 288n, Number(fence & 0xffff_ffffn)],
    [0x2800n + 288n, 0x7f],
    [0x3000n + 288n, 1],
    [0x3800n + 288n, 18 | (0b10111101 << 8) | (7 << 17)],
  ]);
});

test('a monitor watches one group of its own manager', () => {
  const write = { place: 0n, data: 1 };
  const arm = (...objects: SyncObject[]) =>
    new CommandStream().arm(new Monitor('W_S', 72), { objects, value: 1, write });
  assert.throws(() => arm(new SyncObject('W_S', 151), new SyncObject('W_S', 152)), RangeError);
  assert.throws(() => arm(new SyncObject('E_S', 151)), RangeError);
  assert.throws(() => arm(), RangeError);
});

test('fences of engines whose queue manager has another number', () => {
  assert.equal(fenceAddress('MME_0_1', 0), 0x7f_fc16_8308n + 4n);
  assert.equal(fenceAddress('MME_1_0', 0), 0x7f_fc06_8308n);
  assert.equal(fenceAddress('NIC_3_0', 0), 0x7f_fcd2_2308n);
  assert.equal(fenceAddress('TPC_7_0', 1, true), 0x7f_fcfc_8308n + 0x14n + 16n);
  assert.throws(() => fenceAddress('CPU_PQ', 0), RangeError);
});

test('sync objects and monitors are handed out once, from the first that the driver leaves', () => {
  const manager = new SyncManager('W_S', 2046, 510);
  using a = manager.syncObject();
  {
    using b = manager.syncObject();
    assert.deepEqual([a.index, b.index], [2046, 2047]);
    assert.throws(() => manager.syncObject(), ExhaustedError);
  }
  assert.equal(manager.syncObject().index, 2047);
  const monitors = [manager.monitor().index, manager.monitor().index];
  assert.deepEqual(monitors, [510, 511]);
  assert.throws(() => manager.monitor(), ExhaustedError);
});

test('several sync objects are neighbours in one group, and free when all are', () => {
  const manager = new SyncManager('E_N', 2033, 0);
  const eight = manager.syncObjects(8);
  assert.deepEqual(
    eight.map((object) => object.index),
    [2040, 2041, 2042, 2043, 2044, 2045, 2046, 2047],
  );
  for (const object of eight.slice(1)) {
    object[Symbol.dispose]();
    object[Symbol.dispose]();
  }
  assert.throws(() => manager.syncObjects(8), ExhaustedError);
  eight[0]?.[Symbol.dispose]();
  assert.equal(manager.syncObjects(8)[0]?.index, 2040);
});

test('assembled text and the builder give the same bytes', () => {
  const built = new CommandStream().dma(0x7f_f000_0080n, 0x1_0000_0000_0000n, 4096).add(new SyncObject('E_N', 12), 1);
  const text = 'lin_dma [there], [here], 4096, eb, mb\nmsg_long [SOB_E_N(12)], sob(1, add), eb, rb, mb\n';
  const places = { there: { address: 0x7f_f000_0080n }, here: { deviceAddress: 0x1_0000_0000_0000n } };
  assert.equal(hex(assembleStream(text, places)), hex(built));
  assert.throws(() => assembleStream('lin_dmx [0], [0], 1'), /lin_dma/);
});
