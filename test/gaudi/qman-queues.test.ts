import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bench, NOWHERE, packet, stream } from './qman-bench.ts';

const idle = 0x3fff;

test('a ring whose base answers nothing: read error, one message, entries passed over', () => {
  const bench = new Bench();
  bench.write('PQ_BASE_HI', NOWHERE / 2 ** 32, 1);
  bench.write('PQ_PI', 3, 1);
  bench.run();
  assert.equal(bench.read('GLBL_STS1', 1), 1);
  assert.deepEqual(bench.trace, ['write 8000 e']);
  assert.equal(bench.read('PQ_CI', 1), 3);
  assert.equal(bench.read('GLBL_STS0'), idle);
});

test('an address of 64 bits is no address: read errors of ring and buffer, no crash', () => {
  const bench = new Bench();
  bench.write('PQ_BASE_HI', 0xffff_ffff, 0);
  bench.write('PQ_PI', 1, 0);
  bench.submitAt(1, 2 ** 63, 64);
  bench.run();
  assert.equal(bench.read('GLBL_STS1', 0), 1);
  assert.equal(bench.read('GLBL_STS1', 1), 2);
  assert.equal(bench.read('GLBL_STS0'), idle);
});

test('a buffer that answers nothing after its first page: what came before runs, the rest is given up', () => {
  const bench = new Bench();
  const end = 0x10_0000;
  const nops = stream(...new Array(510).fill(packet('NOP', {})));
  bench.bus.memory.bytes.set(stream(packet('MSG_LONG', { addr: 0x9000, value: 7 }), nops), end - 4096);
  bench.submitAt(0, end - 4096, 8192);
  bench.submit(0, packet('MSG_LONG', { addr: 0x9004, value: 8 }));
  bench.run();
  assert.equal(bench.read('GLBL_STS1', 0), 2);
  assert.deepEqual(
    bench.trace.filter((line) => line.startsWith('write 9')),
    ['write 9000 7', 'write 9004 8'],
  );
});

test('a producer index that overtakes the consumer is the guest\u2019s error, and the ring is read as it stands', () => {
  const bench = new Bench();
  bench.write('PQ_PI', 11, 0);
  bench.run();
  assert.deepEqual(bench.complaints(), ['guest DMA0_QM.PQ_PI[0]']);
  assert.equal(bench.read('PQ_CI', 0), 11);
});

test('a ring size of 2^32 or more leaves the doorbell without effect', () => {
  const bench = new Bench();
  bench.write('PQ_SIZE', 0xffff_ffff, 0);
  bench.write('PQ_PI', 5, 0);
  bench.run();
  assert.equal(bench.read('PQ_CI', 0), 0);
  assert.equal(bench.read('GLBL_STS0'), idle);
});

test('a buffer whose size is not a multiple of 8 is reported, and its whole packets run', () => {
  const bench = new Bench();
  const buffer = packet('MSG_LONG', { addr: 0x9000, value: 1 });
  bench.submitAt(0, bench.place(buffer), buffer.length + 3);
  bench.run();
  assert.equal(bench.bus.memory.words[0x9000 / 4], 1);
  assert.deepEqual(bench.complaints(), ['guest DMA0_QM.CQ_TSIZE_STS[0]']);
});

test('indices wrap at twice the size of the ring', () => {
  const bench = new Bench();
  for (let i = 0; i < 40; i++) {
    bench.submit(2, packet('MSG_LONG', { addr: 0x9000 + 4 * i, value: i + 1 }));
    bench.run(2000);
    assert.equal(bench.bus.memory.words[0x9000 / 4 + i], i + 1);
    assert.equal(bench.read('PQ_CI', 2), (i + 1) % 16);
  }
});

test('a full ring of eight: every buffer runs once, in order', () => {
  const bench = new Bench();
  for (let i = 0; i < 8; i++) bench.submit(0, packet('MSG_LONG', { addr: 0x9000, value: i }));
  bench.run();
  assert.deepEqual(
    bench.trace,
    [...Array(8).keys()].map((i) => `write 9000 ${i}`),
  );
});

test('a packet may lie across the end of a buffer', () => {
  const bench = new Bench();
  const message = packet('MSG_LONG', { addr: 0x9000, value: 9 });
  bench.submitAt(0, bench.place(message.slice(0, 8)), 8);
  bench.run(1000);
  assert.deepEqual(bench.trace, []);
  assert.notEqual(bench.read('GLBL_STS0'), idle, 'half a packet is not idle');
  bench.submitAt(0, bench.place(message.slice(8)), 8);
  bench.run();
  assert.deepEqual(bench.trace, ['write 9000 9']);
});

test('a buffer is executed as often as its control word says, and once where that is not valid', () => {
  const bench = new Bench();
  const message = packet('MSG_LONG', { addr: 0x9000, value: 1 });
  bench.submitAt(0, bench.place(message), message.length, (1 << 24) | 3);
  bench.submitAt(1, bench.place(message), message.length, 3);
  bench.run();
  assert.equal(bench.trace.length, 4);
});

test('four streams run side by side: one that waits does not hold up the others', () => {
  const bench = new Bench();
  bench.submit(0, packet('FENCE', { id: 0, target: 1, dec: 1 }), packet('MSG_LONG', { addr: 0x9000, value: 1 }));
  for (const i of [1, 2, 3]) bench.submit(i, packet('MSG_LONG', { addr: 0x9000 + 4 * i, value: 1 }));
  bench.run();
  assert.deepEqual(bench.trace.toSorted(), ['write 9004 1', 'write 9008 1', 'write 900c 1']);
  bench.write('CP_FENCE_RDATA', 1, 0, 0);
  bench.run();
  assert.equal(bench.trace.at(-1), 'write 9000 1');
});

test('a buffer can be queued through the port of registers', () => {
  const bench = new Bench();
  const message = packet('MSG_LONG', { addr: 0x9000, value: 5 });
  bench.write('CQ_PTR_LO', bench.place(message), 3);
  bench.write('CQ_TSIZE', message.length, 3);
  bench.write('CQ_CTL', 0, 3);
  bench.run();
  assert.deepEqual(bench.trace, ['write 9000 5']);
  assert.equal(bench.read('CQ_TSIZE_STS', 3), 16);
});

test('the port of a full queue: the guest\u2019s error, what is queued stays', () => {
  const bench = new Bench();
  bench.write('GLBL_CFG0', 0);
  for (let i = 0; i < 3; i++) bench.write('CQ_CTL', 0, 0);
  assert.equal(bench.read('CQ_IFIFO_CNT', 0), 3);
  assert.throws(() => bench.write('CQ_CTL', 0, 0), { category: 'guest' });
  assert.equal(bench.read('CQ_IFIFO_CNT', 0), 3);
});

test('the doorbell only tells: nothing has happened when the write returns', () => {
  const bench = new Bench();
  bench.submit(0, packet('MSG_LONG', { addr: 0x9000, value: 1 }));
  assert.deepEqual(bench.trace, []);
  assert.notEqual(bench.read('GLBL_STS0'), idle, 'a doorbell that is not answered yet is not idle');
  bench.run();
  assert.equal(bench.read('GLBL_STS0'), idle);
  assert.equal(bench.read('CGM_STS'), 0x700);
});

test('a disabled stream does nothing until it is enabled', () => {
  const bench = new Bench();
  bench.write('GLBL_CFG0', 0);
  bench.submit(0, packet('MSG_LONG', { addr: 0x9000, value: 1 }));
  bench.run();
  assert.deepEqual(bench.trace, []);
  bench.write('GLBL_CFG0', 0x3fff);
  bench.run();
  assert.deepEqual(bench.trace, ['write 9000 1']);
});

test('a stopped processor says so, keeps its work, and goes on afterwards', () => {
  const bench = new Bench();
  bench.write('GLBL_CFG1', 1 << 9);
  bench.submit(0, packet('MSG_LONG', { addr: 0x9000, value: 1 }));
  bench.submit(1, packet('MSG_LONG', { addr: 0x9004, value: 1 }));
  bench.run();
  assert.deepEqual(bench.trace, ['write 9004 1']);
  assert.equal((bench.read('GLBL_STS0') >>> 16) & 0x3fff, 1 << 9);
  assert.equal((bench.read('CP_STS', 0) >>> 19) & 1, 1);
  bench.write('GLBL_CFG1', 0);
  bench.run();
  assert.equal(bench.trace.at(-1), 'write 9000 1');
});

test('a processor stopped in a fence does not pass it, even when the counter is reached', () => {
  const bench = new Bench();
  bench.submit(0, packet('FENCE', { id: 1, target: 1, dec: 1 }), packet('MSG_LONG', { addr: 0x9000, value: 1 }));
  bench.run(1000);
  bench.write('GLBL_CFG1', 1 << 9);
  bench.write('CP_FENCE_RDATA', 1, 1, 0);
  bench.run();
  assert.equal(bench.trace.length, 0);
  assert.equal(bench.read('CP_FENCE_CNT', 1, 0), 1);
  bench.write('GLBL_CFG1', 0);
  bench.run();
  assert.deepEqual(bench.trace, ['write 9000 1']);
});

test('a flush drops what is queued', () => {
  const bench = new Bench();
  bench.write('GLBL_CFG1', 1 << 9);
  for (let i = 0; i < 3; i++) bench.submit(0, packet('MSG_LONG', { addr: 0x9000, value: 1 }));
  bench.run();
  bench.write('GLBL_CFG1', (1 << 9) | (1 << 16) | (1 << 20));
  bench.write('GLBL_CFG1', 0);
  bench.run();
  assert.deepEqual(bench.trace, []);
  assert.equal(bench.read('GLBL_STS0'), idle);
});

test('stop on error: a prefetcher and a fetcher stop where they failed until the error is cleared', () => {
  const bench = new Bench();
  bench.write('GLBL_ERR_CFG', 0x1ff << 16);
  bench.write('PQ_BASE_HI', NOWHERE / 2 ** 32, 0);
  bench.write('PQ_PI', 2, 0);
  bench.submitAt(1, NOWHERE, 64);
  bench.submit(1, packet('MSG_LONG', { addr: 0x9000, value: 1 }));
  bench.run();
  assert.equal(bench.read('PQ_CI', 0), 1);
  assert.equal((bench.read('GLBL_STS0') >>> 16) & 0x3fff, (1 << 0) | (1 << 5));
  assert.equal(bench.trace.length, 0);
  bench.write('PQ_BASE_HI', 0, 0);
  bench.write('GLBL_STS1', 1, 0);
  bench.write('GLBL_STS1', 2, 1);
  bench.run();
  assert.equal(bench.read('PQ_CI', 0), 2);
  assert.deepEqual(bench.trace, ['write 9000 1']);
});

test('flushing a command processor is refused', () => {
  const bench = new Bench();
  assert.throws(() => bench.write('GLBL_CFG1', 1 << 25), { category: 'unimplemented' });
});

test('secure and other accesses carry the properties of their register', () => {
  const bench = new Bench();
  for (let i = 0; i < 5; i++) bench.write('GLBL_NON_SECURE_PROPS', 1, i);
  bench.write('GLBL_PROT', 0xf);
  bench.submit(0, packet('MSG_LONG', { addr: 0x9000, value: 1 }), packet('MSG_PROT', { addr: 0x9000, value: 1 }));
  bench.run();
  const seen = bench.bus.initiators.map((who) => `${who.name} ${who.asid()} ${who.mmuBypass()}`);
  assert.deepEqual(seen, ['DMA0_QM.PQ0 0 true', 'DMA0_QM.CQ0 1 false', 'DMA0_QM.CP0 1 false', 'DMA0_QM.CP0 1 false']);
  bench.write('GLBL_PROT', 0x3e00);
  const after = bench.bus.initiators.map((who) => who.mmuBypass());
  assert.deepEqual(after, [false, false, false, true], 'only MSG_PROT is secure by its processor');
});

test('registers whose meaning is not public are refused, not invented', () => {
  const bench = new Bench();
  for (const name of ['PQ_STS0', 'CQ_STS0', 'CP_DBG_0', 'ARB_STATE_STS'] as const) {
    assert.throws(() => bench.read(name), { category: 'unimplemented' });
  }
});
