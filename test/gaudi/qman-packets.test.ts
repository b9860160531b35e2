import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bench, NOWHERE, packet, stream } from './qman-bench.ts';

const UNDEFINED_OPCODE = 1 << 3;
const eb = 1;
const mb = 1;

/** A message to a place of its own, so that the trace shows when it arrived. */
function mark(n: number, barriers: { eb?: number; mb?: number; pred?: number } = {}): Uint8Array {
  return packet('MSG_LONG', { addr: 0x9000, value: n, ...barriers });
}

function dma(tsize: number, barriers: { eb?: number } = {}): Uint8Array {
  return packet('LIN_DMA', { tsize, src: 0x123456789an, dst: 0x11aabbccddeen, ...barriers });
}

function marks(bench: Bench): string[] {
  return bench.trace.map((line) => line.replace('write 9000 ', ''));
}

test('an unknown opcode: error state, one message, and the next packet runs', () => {
  const bench = new Bench();
  const unknown = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0x1f]);
  bench.submit(1, unknown, unknown, mark(1));
  bench.run();
  assert.equal(bench.read('GLBL_STS1', 1), UNDEFINED_OPCODE);
  assert.deepEqual(bench.trace.toSorted(), ['write 8000 e', 'write 9000 1']);
  assert.deepEqual(bench.complaints(), ['undefined DMA0_QM.CP1']);
  bench.write('GLBL_STS1', UNDEFINED_OPCODE, 1);
  assert.equal(bench.read('GLBL_STS1', 1), 0);
});

test('a cleared error is reported again when it happens again', () => {
  const bench = new Bench();
  for (let i = 0; i < 2; i++) {
    bench.submit(0, new Uint8Array(8));
    bench.run(10_000);
    bench.write('GLBL_STS1', 0xffff_ffff, 0);
  }
  assert.deepEqual(bench.trace, ['write 8000 e', 'write 8000 e']);
});

test('errors that nobody wants a message of are kept in the register only', () => {
  const bench = new Bench();
  bench.write('GLBL_MSG_EN', 0, 0);
  bench.write('GLBL_ERR_CFG', 0x3fff & ~(1 << 10));
  bench.submit(0, new Uint8Array(8));
  bench.submit(1, new Uint8Array(8));
  bench.run();
  assert.deepEqual(bench.trace, []);
  assert.equal(bench.read('GLBL_STS1', 0), UNDEFINED_OPCODE);
  assert.equal(bench.read('GLBL_STS1', 1), UNDEFINED_OPCODE);
});

test('stop on error: the processor stops at the error, the others go on, clearing the error releases it', () => {
  const bench = new Bench();
  bench.write('GLBL_ERR_CFG', 0x3fff | (0x3e00 << 16));
  bench.submit(0, new Uint8Array(8), mark(1));
  bench.submit(2, mark(2));
  bench.run();
  assert.deepEqual(bench.trace.toSorted(), ['write 8000 e', 'write 9000 2']);
  assert.equal((bench.read('GLBL_STS0') >>> 16) & 0x3fff, 1 << 9);
  bench.write('GLBL_STS1', UNDEFINED_OPCODE, 0);
  bench.run();
  assert.equal(bench.trace.at(-1), 'write 9000 1');
});

test('an error message that nothing answers is the guest\u2019s error, and no more', () => {
  const bench = new Bench();
  bench.write('GLBL_ERR_ADDR_HI', NOWHERE / 2 ** 32);
  bench.submit(0, new Uint8Array(8), mark(1));
  bench.run();
  assert.deepEqual(bench.trace, ['write 9000 1']);
  assert.ok(bench.complaints().includes('guest DMA0_QM.GLBL_ERR_ADDR'));
  assert.equal(bench.qman.busy(), false);
});

test('a message to where nothing is, and to an address that is not aligned', () => {
  for (const addr of [NOWHERE, 0x9002, 2n ** 64n - 4n]) {
    const bench = new Bench();
    bench.submit(3, packet('MSG_LONG', { addr, value: 1 }), mark(1));
    bench.run();
    assert.equal(bench.read('GLBL_STS1', 3), 1 << 5);
    assert.ok(bench.trace.includes('write 9000 1'));
  }
});

test('reserved bits are reported and have no effect', () => {
  const bench = new Bench();
  const message = mark(1);
  message[6] = (message[6] as number) | 0x08;
  bench.submit(0, message);
  bench.run();
  assert.deepEqual(bench.trace, ['write 9000 1']);
  assert.deepEqual(bench.complaints(), ['guest DMA0_QM.CP0']);
});

test('a register that the engine does not have: register write error, the model\u2019s own error kept', () => {
  const bench = new Bench();
  bench.engine.refuse = (offset) => (offset === 0x6938 ? 'no such thing' : undefined);
  bench.submit(0, packet('WREG_32', { reg_offset: 0x6938, value: 1 }), mark(1));
  bench.run();
  assert.equal(bench.read('GLBL_STS1', 0), 1 << 6);
  assert.deepEqual(bench.complaints(), ['unimplemented BENCH']);
  assert.ok(bench.trace.includes('write 9000 1'));
});

test('REPEAT is refused', () => {
  const bench = new Bench();
  bench.submit(0, packet('REPEAT', { jump: 0, start: 1 }), mark(1));
  bench.run();
  assert.deepEqual(bench.complaints(), ['unimplemented DMA0_QM.CP0']);
  assert.equal(bench.read('GLBL_STS1', 0), UNDEFINED_OPCODE);
});

test('STOP stops until the processor is disabled and enabled again', () => {
  const bench = new Bench();
  bench.submit(0, packet('STOP', {}), mark(1));
  bench.run();
  assert.deepEqual(bench.trace, ['write 8000 e']);
  assert.equal(bench.read('GLBL_STS1', 0), 1 << 4);
  bench.write('GLBL_STS1', 1 << 4, 0);
  bench.run();
  assert.equal(bench.trace.length, 1);
  bench.write('GLBL_CFG0', 0x3fff & ~(1 << 9));
  bench.write('GLBL_CFG0', 0x3fff);
  bench.run();
  assert.equal(bench.trace.at(-1), 'write 9000 1');
});

test('without an engine barrier a message overtakes the copy, with one it waits for it', () => {
  const bench = new Bench();
  bench.engine.jobNs = 100_000;
  bench.submit(0, dma(64), mark(1), mark(2, { eb }));
  bench.run();
  assert.deepEqual(marks(bench), ['1', 'dma 64', '2']);
});

test('an engine barrier waits for what came before it, not for what another stream adds meanwhile', () => {
  const bench = new Bench();
  bench.engine.depth = 100;
  bench.submit(0, dma(1), mark(1, { eb }));
  bench.run(800);
  bench.submit(1, ...[2, 3, 4].map((size) => dma(size)));
  bench.run();
  assert.deepEqual(marks(bench), ['dma 1', '1', 'dma 2', 'dma 3', 'dma 4']);
});

test('messages are posted: work after them is not held up, a message barrier waits for them', () => {
  const slow = new Bench();
  slow.bus.latency = 10_000;
  slow.engine.jobNs = 1;
  slow.submit(0, mark(1), mark(2), dma(64));
  slow.run();
  assert.deepEqual(marks(slow), ['dma 64', '1', '2']);

  const barred = new Bench();
  barred.bus.latency = 10_000;
  barred.engine.jobNs = 1;
  barred.submit(0, mark(1), mark(2), packet('NOP', { mb }), dma(64));
  barred.run();
  assert.deepEqual(marks(barred), ['1', '2', 'dma 64']);
});

test('a status that counts messages in flight', () => {
  const bench = new Bench();
  bench.bus.latency = 10_000;
  bench.submit(0, mark(1), mark(2), mark(3));
  bench.run(25_000);
  assert.equal(bench.read('CP_STS', 0) & 0xffff, 3);
  assert.equal((bench.read('CP_STS', 0) >>> 18) & 1, 0);
  assert.notEqual(bench.read('GLBL_STS0'), 0x3fff);
  assert.equal(bench.read('CGM_STS') & 0x200, 0);
  bench.run();
  assert.equal(bench.read('CP_STS', 0), 0x7_0000);
});

test('a copy: source, destination, size and commit reach the engine as they were written', () => {
  const bench = new Bench();
  const fields = { tsize: 0xffff_ffff, src: 0x0123_4567_89ab_cdefn, dst: 0xaa_bbcc_ddee_ff00n, memset: 1, wrcomp: 1 };
  bench.submit(0, packet('LIN_DMA', { ...fields, context_id_low: 0x5a, context_id_high: 0xa5 }));
  bench.run();
  assert.deepEqual(bench.engine.done, [
    { tsize: 0xffff_ffff, control: 0x5a_0019, src: 0x0123_4567_89ab_cdefn, dst: 0xa5aa_bbcc_ddee_ff00n },
  ]);
});

test('copies of four streams never mix their registers', () => {
  const bench = new Bench();
  bench.engine.depth = 1;
  for (let i = 0; i < 4; i++) {
    const copies = [1, 2, 3, 4].map((n) => {
      const id = BigInt(16 * i + n);
      return packet('LIN_DMA', { tsize: Number(id), src: id << 32n, dst: id << 40n });
    });
    bench.submit(i, ...copies);
  }
  bench.run();
  assert.equal(bench.engine.done.length, 16);
  for (const job of bench.engine.done) {
    assert.deepEqual([job.src >> 32n, job.dst >> 40n], [BigInt(job.tsize), BigInt(job.tsize)]);
  }
  for (let i = 0; i < 4; i++) {
    const own = bench.engine.done.map((job) => job.tsize).filter((size) => size >> 4 === i);
    assert.deepEqual(
      own,
      [1, 2, 3, 4].map((n) => 16 * i + n),
    );
  }
});

test('registers by WREG_32 and WREG_BULK, of the engine and of the block itself', () => {
  const bench = new Bench();
  const values = new Uint32Array([1, 2, 3, 4]);
  bench.submit(
    0,
    packet('WREG_32', { reg_offset: 0x54, value: 0xffff_ffff }),
    packet('WREG_BULK', { reg_offset: 0x2c, values }),
    packet('WREG_32', { reg_offset: 0x8000 + bench.qman.block.offsetOf('CP_FENCE_RDATA', 2, 3), value: 5 }),
  );
  bench.run();
  assert.deepEqual(
    [...bench.engine.registers.entries()].toSorted((a, b) => a[0] - b[0]),
    [
      [0x2c, 1],
      [0x30, 2],
      [0x34, 3],
      [0x38, 4],
      [0x54, 0xffff_ffff],
    ],
  );
  assert.equal(bench.read('CP_FENCE_CNT', 2, 3), 5);
});

test('a WREG_BULK longer than what is read at a time', () => {
  const bench = new Bench();
  const values = Uint32Array.from({ length: 4000 }, (_, i) => i);
  bench.submit(0, packet('WREG_BULK', { reg_offset: 0x1000, values }), mark(1));
  bench.run();
  assert.equal(bench.engine.registers.size, 4000);
  assert.equal(bench.engine.registers.get(0x1000 + 4 * 3999), 3999);
  assert.deepEqual(bench.trace, ['write 9000 1']);
});

test('register offsets that leave the window, or the block, are errors', () => {
  for (const offset of [0xfffc, 0x9000]) {
    const bench = new Bench();
    bench.submit(0, packet('WREG_BULK', { reg_offset: offset, values: new Uint32Array(4) }));
    bench.run();
    assert.equal(bench.read('GLBL_STS1', 0), 1 << 6);
    assert.deepEqual(bench.complaints(), ['guest DMA0_QM.CP0']);
  }
});

test('a short message goes to one of four bases of its own processor', () => {
  const bench = new Bench();
  for (let base = 0; base < 4; base++) bench.write('CP_MSG_BASE_ADDR_LO', 0x9000 + 0x100 * base, base, 2);
  bench.submit(2, ...[0, 1, 2, 3].map((base) => packet('MSG_SHORT', { base, offset: 8, value: base })));
  bench.run();
  assert.deepEqual(bench.trace, ['write 9008 0', 'write 9108 1', 'write 9208 2', 'write 9308 3']);
});

test('a message with a time stamp needs a counter', () => {
  const without = new Bench();
  without.submit(0, packet('MSG_LONG', { addr: 0x9000, value: 1, op: 1 }));
  without.run();
  assert.deepEqual(without.complaints(), ['unimplemented DMA0_QM.CP0']);
  const counter = new Bench({ timestamp: () => 0x1234 });
  counter.submit(0, packet('MSG_LONG', { addr: 0x9000, value: 1, op: 1 }));
  counter.run();
  assert.deepEqual(counter.trace, ['write 9000 1234']);
});

test('a fence blocks until its counter is reached, and takes what it says', () => {
  const bench = new Bench();
  bench.submit(0, packet('FENCE', { id: 3, target: 5, dec: 4 }), mark(1));
  bench.write('CP_FENCE_RDATA', 4, 3, 0);
  bench.run();
  assert.deepEqual(bench.trace, []);
  assert.equal(bench.read('CP_STS', 0) >>> 20, 0b111);
  assert.notEqual(bench.read('GLBL_STS0') & (1 << 9), 1 << 9, 'a processor in a fence is not idle');
  bench.write('CP_FENCE_RDATA', 15, 2, 0);
  bench.write('CP_FENCE_RDATA', 15, 3, 1);
  bench.run();
  assert.deepEqual(bench.trace, [], 'other counters are others');
  bench.write('CP_FENCE_RDATA', 1, 3, 0);
  bench.run();
  assert.deepEqual(bench.trace, ['write 9000 1']);
  assert.equal(bench.read('CP_FENCE_CNT', 3, 0), 1);
});

test('a fence that another queue\u2019s engine releases: only after the slow copy', () => {
  const bench = new Bench();
  bench.engine.jobNs = 1_000_000;
  bench.submit(0, packet('FENCE', { id: 0, target: 1, dec: 1 }), mark(1));
  bench.submit(1, dma(64), packet('MSG_LONG', { addr: bench.address('CP_FENCE_RDATA', 0, 0), value: 1, eb }));
  bench.run();
  assert.equal(bench.trace[0], 'dma 64');
  assert.equal(bench.trace.at(-1), 'write 9000 1');
});

test('fence counters stop at both ends, and say so', () => {
  const bench = new Bench();
  for (let i = 0; i < 1093; i++) bench.write('CP_FENCE_RDATA', 15, 1, 0);
  assert.equal(bench.read('CP_FENCE_CNT', 1, 0), 0x3fff);
  assert.equal(bench.read('GLBL_STS1', 0), 1 << 9);
  bench.submit(0, packet('FENCE', { id: 2, target: 0, dec: 3 }), mark(1));
  bench.run();
  assert.equal(bench.read('CP_FENCE_CNT', 2, 0), 0);
  assert.equal(bench.read('GLBL_STS1', 0), (1 << 9) | (1 << 14));
  assert.ok(bench.trace.includes('write 9000 1'));
});

test('WAIT adds to a fence counter after its cycles, while the processor goes on', () => {
  const bench = new Bench({ timing: { cycleNs: 10 } });
  bench.submit(
    0,
    packet('WAIT', { id: 1, inc: 2, cycles: 1000 }),
    mark(1),
    packet('FENCE', { id: 1, target: 2, dec: 2 }),
    mark(2),
  );
  bench.run(9000);
  assert.deepEqual(bench.trace, ['write 9000 1']);
  bench.run(2000);
  assert.deepEqual(bench.trace, ['write 9000 1', 'write 9000 2']);
});

test('predicates: all clear but 0 after reset, loaded from bit 0 of 32 words', () => {
  const bench = new Bench();
  const words = Uint32Array.from({ length: 32 }, (_, n) => (n === 10 || n === 31 ? 0xffff_ffff : 0xffff_fffe));
  const table = bench.place(new Uint8Array(words.buffer));
  bench.submit(
    0,
    mark(1, { pred: 10 }),
    packet('LOAD_AND_EXE', { load: 1, src: table }),
    mark(2, { pred: 10 }),
    mark(3, { pred: 31 }),
    mark(4, { pred: 11 }),
    mark(5, { pred: 0 }),
    packet('FENCE', { id: 0, target: 1, dec: 1, pred: 11 }),
    packet('WREG_32', { reg_offset: 0, value: 1, pred: 11 }),
    mark(6),
  );
  bench.submit(1, mark(7, { pred: 10 }));
  bench.run();
  assert.deepEqual(marks(bench), ['2', '3', '5', '6'], 'another stream has predicates of its own');
  assert.equal(bench.engine.registers.size, 0);
});

test('scalars: a packet of 16 bytes, or of 8 in either half, now or later', () => {
  const bench = new Bench();
  bench.write('CP_MSG_BASE_ADDR_LO', 0x9000, 0, 4);
  const short = (value: number) => packet('MSG_SHORT', { base: 0, offset: 0, value });
  const long = bench.place(mark(1));
  const halves = bench.place(stream(short(2), short(3)));
  bench.write(
    'CQ_PTR_LO',
    bench.place(
      stream(
        packet('LOAD_AND_EXE', { dst: 1, load: 1, exe: 1, src: long }),
        packet('LOAD_AND_EXE', { exe: 1, src: 0 }),
        packet('LOAD_AND_EXE', { dst: 1, load: 1, src: halves }),
        packet('LOAD_AND_EXE', { exe: 1, etype: 1, src: 0 }),
        packet('LOAD_AND_EXE', { exe: 1, etype: 0, src: 0 }),
      ),
    ),
    4,
  );
  bench.write('CQ_TSIZE', 5 * 16, 4);
  bench.write('CQ_CTL', 0, 4);
  bench.run();
  assert.deepEqual(marks(bench), ['1', '1', '3', '2']);
  assert.deepEqual(bench.complaints(), []);
});

test('scalars that hold no packet, too long a packet, or a packet that executes itself', () => {
  const itself = packet('LOAD_AND_EXE', { exe: 1, src: 0 });
  for (const scalars of [new Uint8Array(16), dma(1).slice(0, 16), itself]) {
    const bench = new Bench();
    bench.submit(0, packet('LOAD_AND_EXE', { dst: 1, load: 1, exe: 1, src: bench.place(scalars) }), mark(1));
    bench.run();
    assert.equal(bench.read('GLBL_STS1', 0), UNDEFINED_OPCODE);
    assert.ok(bench.trace.includes('write 9000 1'));
  }
});

test('LOAD_AND_EXE from where nothing is: read error, nothing executed', () => {
  const bench = new Bench();
  bench.submit(0, packet('LOAD_AND_EXE', { dst: 1, load: 1, exe: 1, src: NOWHERE }), mark(1));
  bench.run();
  assert.equal(bench.read('GLBL_STS1', 0), 1 << 2);
  assert.deepEqual(bench.complaints(), []);
});

test('CP_DMA: the lower processor executes the buffer, with fences of its own', () => {
  const bench = new Bench();
  bench.configureInternal();
  const inner = stream(packet('FENCE', { id: 0, target: 1, dec: 1 }), dma(64), mark(2, { eb }));
  bench.submit(0, packet('CP_DMA', { tsize: inner.length, src: bench.place(inner) }), mark(1));
  bench.run();
  assert.deepEqual(marks(bench), ['1'], 'the upper processor goes on');
  bench.write('CP_FENCE_RDATA', 1, 0, 4);
  bench.run();
  assert.deepEqual(marks(bench), ['1', 'dma 64', '2']);
  assert.equal(bench.read('CQ_TSIZE', 4), inner.length);
});

test('CP_DMA of four streams: more buffers than the lower queue holds, none lost, each stream in order', () => {
  const bench = new Bench();
  bench.configureInternal();
  for (let i = 0; i < 4; i++) {
    const packets = [...Array(8).keys()].map((n) => {
      const inner = dma(16 * i + n + 1);
      return packet('CP_DMA', { tsize: inner.length, src: bench.place(inner) });
    });
    bench.submit(i, ...packets);
  }
  bench.run();
  const sizes = bench.engine.done.map((job) => job.tsize - 1);
  assert.equal(sizes.length, 32);
  for (let i = 0; i < 4; i++)
    assert.deepEqual(
      sizes.filter((n) => n >> 4 === i),
      [...Array(8).keys()].map((n) => 16 * i + n),
    );
});

test('a delay before each packet', () => {
  const bench = new Bench({ delay: () => 1_000_000 });
  bench.submit(0, mark(1), mark(2));
  bench.run(1_900_000);
  assert.deepEqual(marks(bench), ['1']);
  bench.run();
  assert.deepEqual(marks(bench), ['1', '2']);
});
