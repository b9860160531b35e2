import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { gaudiQman, type PacketName } from '../../specs/gaudi-qman.ts';
import { Random } from '../../src/sim/random.ts';
import { seed } from '../seed.ts';
import { Bench, packet } from './qman-bench.ts';

/** Packets of every kind, among them loops of waiting, errors and garbage. */
function anything(random: Random): Uint8Array {
  const names = Object.keys(gaudiQman.rows) as PacketName[];
  const name = names[random.below(names.length)] as PacketName;
  const words = new Uint32Array(random.below(10) === 0 ? 2 : 6).map(() => random.next());
  words[1] = ((words[1] as number) & 0xe0ff_ffff) | (gaudiQman.rows[name].opcode << 24);
  if (name === 'WREG_BULK') words[0] = random.below(4);
  return new Uint8Array(words.buffer);
}

test('reset at any moment: nothing of before happens after, and the queue manager works', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 0, max: 60_000 }), (start, moment) => {
      const random = new Random(start);
      const bench = new Bench();
      bench.bus.latency = random.below(500);
      bench.engine.jobNs = 1 + random.below(2000);
      bench.engine.refuse = (offset) => (offset % 12 === 0 ? 'no such register' : undefined);
      bench.write('ARB_CFG_0', random.next());
      for (let i = 0; i < 4; i++) {
        for (let n = 0; n < 6; n++) bench.submit(i, ...Array.from({ length: 8 }, () => anything(random)));
      }
      for (let n = 0; n < 20; n++) {
        bench.run(moment / 20);
        bench.write('CP_FENCE_RDATA', random.next(), random.below(4), random.below(5));
      }
      bench.qman.reset();
      const before = bench.trace.length;
      assert.equal(bench.read('GLBL_STS0'), 0x3fff);
      bench.run();
      const after = bench.trace.slice(before).filter((line) => !line.startsWith('dma'));
      assert.deepEqual(after, []);
      assert.equal(bench.qman.busy(), false);

      bench.engine.refuse = undefined;
      bench.configure();
      const reached = bench.trace.length;
      for (let i = 0; i < 4; i++) bench.submit(i, packet('MSG_LONG', { addr: 0x9000, value: i + 1 }));
      bench.run();
      assert.equal(bench.trace.slice(reached).length, 4);
    }),
    { seed: seed(), numRuns: 200 },
  );
});

test('a reset forgets a WAIT under way and a quiet period of the arbiter', () => {
  const bench = new Bench();
  const arbitrate = () => {
    bench.write('ARB_CFG_0', 0x110);
    bench.submit(0, packet('ARB_POINT', { priority: 1 }), packet('MSG_LONG', { addr: 0x9000, value: 1 }));
    bench.run(100_000);
  };
  bench.submit(1, packet('WAIT', { id: 2, inc: 3, cycles: 200_000 }));
  bench.write('ARB_MST_QUIET_PER', 0xffff_ffff);
  arbitrate();
  bench.qman.reset();
  bench.configure();
  arbitrate();
  assert.equal(bench.trace.length, 2);
  bench.run();
  assert.equal(bench.read('CP_FENCE_CNT', 2, 1), 0);
});

test('a packet that resets its own queue manager', () => {
  const bench = new Bench();
  bench.engine.refuse = (offset) => {
    if (offset === 0x40) bench.qman.reset();
    return undefined;
  };
  const lower = { tsize: 8, src: bench.place(packet('NOP', {})) };
  for (const offset of [0x40, 0x44]) {
    const message = packet('MSG_LONG', { addr: 0x9000, value: offset });
    bench.submit(0, packet('WREG_32', { reg_offset: offset, value: 1 }), packet('CP_DMA', lower), message);
    bench.run();
    bench.configure();
    bench.configureInternal();
  }
  assert.deepEqual(bench.trace, ['write 9000 44']);
  assert.equal(bench.qman.busy(), false);
});

test('any words as a command buffer: the model neither throws nor hangs', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(4), (bytes, index) => {
      const bench = new Bench();
      bench.write('CQ_PTR_LO', bench.place(bytes), index);
      bench.write('CQ_TSIZE', bytes.length, index);
      bench.write('CQ_CTL', 0, index);
      bench.run();
      for (let i = 0; i < 5; i++) bench.read('CP_STS', i);
      assert.ok(bench.read('GLBL_STS0') < 2 ** 32);
    }),
    { seed: seed(), numRuns: 500 },
  );
});

test('the same events give the same trace', () => {
  const run = () => {
    const random = new Random(7);
    const bench = new Bench({ delay: () => random.below(300) });
    for (let i = 0; i < 4; i++) {
      for (let n = 0; n < 4; n++) {
        bench.submit(
          i,
          packet('LIN_DMA', { tsize: 16 * i + n, src: 0, dst: 0 }),
          packet('MSG_LONG', { addr: 0x9000, value: i }),
        );
      }
    }
    bench.run();
    return bench.trace;
  };
  assert.deepEqual(run(), run());
  assert.equal(run().length, 32);
});
