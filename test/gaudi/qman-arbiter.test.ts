import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { seed } from '../seed.ts';
import { Bench, NOWHERE, packet, QM_BASE } from './qman-bench.ts';

const ENABLED = 1 << 8;
const MASTER = 1 << 4;
const WEIGHTED = 1;

function copies(stream: number, count = 1): Uint8Array[] {
  return [...Array(count).keys()].map((n) => packet('LIN_DMA', { tsize: 16 * stream + n, src: 0n, dst: 0n }));
}

function lock(priority: number): Uint8Array {
  return packet('ARB_POINT', { priority });
}

const unlock = packet('ARB_POINT', { priority: 0, release: 1 });
const start = packet('FENCE', { id: 0, target: 1, dec: 1 });

/** Streams in the order of their finished copies. */
function order(bench: Bench): number[] {
  return bench.engine.done.map((job) => job.tsize >> 4);
}

/** Lets all streams begin at once, in the given order. */
function release(bench: Bench, streams: readonly number[]): void {
  bench.run(100_000);
  for (const stream of streams) bench.write('CP_FENCE_RDATA', 1, 0, stream);
  bench.run();
}

test('the lower processor is not arbitrated: ARB_POINT is refused there', () => {
  const bench = new Bench();
  bench.write('ARB_CFG_0', ENABLED | MASTER);
  bench.write('CQ_PTR_LO', bench.place(lock(1)), 4);
  bench.write('CQ_TSIZE', 8, 4);
  bench.write('CQ_CTL', 0, 4);
  bench.run();
  assert.deepEqual(bench.complaints(), ['unsupported DMA0_QM.CP4']);
});

test('a stream of weight 0 that asks is reported, and not starved', () => {
  const bench = new Bench();
  bench.write('ARB_CFG_0', ENABLED | MASTER | WEIGHTED);
  bench.submit(0, lock(0), ...copies(0), unlock);
  bench.run();
  assert.deepEqual(bench.complaints(), ['undefined DMA0_QM.ARB_WRR_WEIGHT[0]']);
  assert.deepEqual(order(bench), [0]);
});

test('without an arbiter ARB_POINT neither waits nor orders', () => {
  const bench = new Bench();
  bench.submit(0, lock(1), start, ...copies(0));
  bench.submit(1, lock(2), ...copies(1), unlock);
  bench.run();
  assert.deepEqual(order(bench), [1]);
});

test('who has the engine keeps it until the release, whatever the priorities', () => {
  const bench = new Bench();
  bench.write('ARB_CFG_0', ENABLED | MASTER);
  bench.submit(0, lock(1), start, ...copies(0, 3), unlock);
  bench.run(10_000);
  bench.submit(1, lock(200), ...copies(1, 3), unlock);
  bench.submit(2, packet('MSG_LONG', { addr: 0x9000, value: 1 }));
  bench.run();
  assert.deepEqual(order(bench), [], 'the owner waits in a fence, and with it stream 1');
  assert.deepEqual(bench.trace, ['write 9000 1'], 'a stream that asks for nothing waits for nothing');
  release(bench, [0]);
  assert.deepEqual(order(bench), [0, 0, 0, 1, 1, 1]);
});

test('the larger priority goes first, whoever asks first (lock, unlock, lock)', () => {
  for (const arrival of [
    [0, 1, 2, 3],
    [3, 2, 1, 0],
    [2, 0, 3, 1],
  ]) {
    for (const priorities of [
      [1, 2, 3, 4],
      [4, 3, 2, 1],
      [9, 255, 0, 7],
    ]) {
      const bench = new Bench();
      bench.write('ARB_CFG_0', ENABLED | MASTER);
      for (let i = 0; i < 4; i++) {
        const ask = lock(priorities[i] as number);
        bench.submit(i, start, ask, unlock, ask, ...copies(i, 4), unlock);
      }
      release(bench, arrival);
      const expected = [0, 1, 2, 3].toSorted((a, b) => (priorities[b] as number) - (priorities[a] as number));
      assert.deepEqual(
        order(bench),
        expected.flatMap((i) => [i, i, i, i]),
      );
    }
  }
});

test('weighted round robin: shares follow the weights, a property', () => {
  const weights = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 4, maxLength: 4 });
  fc.assert(
    fc.property(weights, (weight) => {
      const bench = new Bench();
      bench.engine.jobNs = 10;
      bench.write('ARB_CFG_0', ENABLED | MASTER | WEIGHTED);
      bench.write('ARB_MST_QUIET_PER', 1000);
      for (let i = 0; i < 4; i++) {
        bench.write('ARB_WRR_WEIGHT', weight[i] as number, i);
        const turn = [lock(0), ...copies(i), unlock];
        bench.submit(i, start, ...Array.from({ length: 3 * (weight[i] as number) }, () => turn).flat());
      }
      release(bench, [0, 1, 2, 3]);
      const round = [0, 1, 2, 3].flatMap((i) => new Array<number>(weight[i] as number).fill(i));
      assert.deepEqual(order(bench), [...round, ...round, ...round]);
    }),
    { seed: seed(), numRuns: 50 },
  );
});

test('round robin passes over streams that do not ask', () => {
  const bench = new Bench();
  bench.write('ARB_CFG_0', ENABLED | MASTER | WEIGHTED);
  for (let i = 0; i < 4; i++) bench.write('ARB_WRR_WEIGHT', 5, i);
  for (const i of [1, 3]) bench.submit(i, lock(0), ...copies(i), unlock, lock(0), ...copies(i), unlock);
  bench.run();
  assert.equal(order(bench).length, 4);
});

test('switching the arbiter off lets everybody through', () => {
  const bench = new Bench();
  bench.write('ARB_CFG_0', ENABLED | MASTER);
  bench.submit(0, lock(1));
  bench.run(10_000);
  bench.submit(1, lock(1), ...copies(1));
  bench.run();
  assert.deepEqual(order(bench), []);
  bench.write('ARB_CFG_0', 0);
  bench.run();
  assert.deepEqual(order(bench), [1]);
});

/** Two queue managers on one bench; the second follows the choices of the first as slave number 5. */
function masterAndSlave(): { bench: Bench; slave: Bench['qman'] } {
  const bench = new Bench();
  const slave = bench.add();
  const offset = (name: Parameters<Bench['read']>[0]) => slave.block.offsetOf(name);
  bench.write('ARB_BASE_LO', QM_BASE % 2 ** 32);
  bench.write('ARB_BASE_HI', QM_BASE / 2 ** 32);
  bench.write('ARB_MST_SLAVE_EN', 1 << 5);
  bench.write('ARB_MST_CHOISE_PUSH_OFST', 0x1000 + offset('ARB_CHOISE_Q_PUSH'), 5);
  bench.write('ARB_CFG_0', ENABLED | MASTER);
  slave.block.write32(offset('ARB_BASE_LO'), QM_BASE % 2 ** 32);
  slave.block.write32(offset('ARB_BASE_HI'), QM_BASE / 2 ** 32);
  slave.block.write32(offset('ARB_SLV_MASTER_INC_CRED_OFST'), offset('ARB_MST_CRED_INC'));
  slave.block.write32(offset('ARB_SLV_ID'), 5);
  slave.block.write32(offset('ARB_CFG_0'), ENABLED);
  slave.block.write32(offset('GLBL_CFG0'), 0x3fff);
  return { bench, slave };
}

/** Gives stream `index` of `slave` a buffer through the port of registers. */
function submitTo(bench: Bench, slave: Bench['qman'], index: number, ...packets: Uint8Array[]): void {
  const buffer = Buffer.concat(packets);
  const write = (name: Parameters<Bench['read']>[0], value: number) =>
    slave.block.write32(slave.block.offsetOf(name, index), value);
  write('CQ_PTR_LO', bench.place(buffer));
  write('CQ_TSIZE', buffer.length);
  write('CQ_CTL', 0);
}

test('a slave grants in the order of its master, and returns a credit for each choice', () => {
  const { bench, slave } = masterAndSlave();
  for (const i of [0, 1, 2]) {
    const message = packet('MSG_LONG', { addr: 0x9000 + 4 * i, value: 1 });
    submitTo(bench, slave, i, lock(0), message, unlock);
  }
  bench.run();
  assert.equal(bench.trace.length, 0, 'nothing without the master');
  for (const i of [1, 2, 0]) {
    bench.submit(i, lock(0), unlock);
    bench.run(100_000);
  }
  const writes = bench.trace.filter((line) => line.startsWith('write 9'));
  assert.deepEqual(writes, ['write 9004 1', 'write 9008 1', 'write 9000 1']);
  assert.equal(bench.read('ARB_MST_CRED_STS', 5), 0x40);
});

test('a master waits while a slave has no room for its choice', () => {
  const { bench, slave } = masterAndSlave();
  bench.write('ARB_MST_AVAIL_CRED', 2, 5);
  bench.submit(0, lock(0), unlock, lock(0), unlock, lock(0), ...copies(0), unlock);
  bench.run(1_000_000);
  assert.equal(bench.read('ARB_MST_CRED_STS', 5), 0);
  assert.equal(slave.block.read32(slave.block.offsetOf('ARB_CHOISE_FULLNESS_STS')), 2);
  assert.deepEqual(order(bench), []);
  submitTo(bench, slave, 0, lock(0), unlock);
  bench.run();
  assert.deepEqual(order(bench), [0]);
});

test('a choice that is never taken sets off the watchdog, once', () => {
  const bench = new Bench();
  bench.write('ARB_CFG_0', ENABLED);
  bench.write('ARB_ERR_MSG_EN', 7);
  bench.write('ARB_SLV_CHOISE_WDT', 1000);
  bench.write('ARB_CHOISE_Q_PUSH', 2);
  bench.run(900);
  assert.equal(bench.read('ARB_ERR_CAUSE'), 0);
  assert.equal(bench.read('ARB_SLV_CHOISE_Q_HEAD'), 2);
  bench.run();
  assert.equal(bench.read('ARB_ERR_CAUSE'), 2);
  assert.deepEqual(bench.trace, ['write 8000 e']);
  bench.write('ARB_ERR_CAUSE', 2);
  assert.equal(bench.read('ARB_ERR_CAUSE'), 0);
});

test('one choice too many is dropped and told', () => {
  const bench = new Bench();
  bench.write('ARB_CFG_0', ENABLED);
  for (let i = 0; i < 64; i++) bench.write('ARB_CHOISE_Q_PUSH', 0);
  bench.write('ARB_CHOISE_Q_PUSH', 3);
  assert.equal(bench.read('ARB_ERR_CAUSE'), 1);
  assert.equal(bench.read('ARB_ERR_STS_DRP'), 3);
  assert.equal(bench.read('ARB_CHOISE_FULLNESS_STS'), 64);
});

test('an arbiter message that nothing answers stops the arbiter where that is wanted', () => {
  const { bench } = masterAndSlave();
  bench.write('GLBL_ERR_CFG', 0x8000_0000);
  bench.write('ARB_BASE_HI', NOWHERE / 2 ** 32);
  bench.submit(0, lock(0), unlock, ...copies(0));
  bench.run();
  assert.equal(bench.read('ARB_ERR_CAUSE'), 4);
  assert.equal(bench.read('GLBL_STS0') >>> 31, 1);
  bench.submit(1, lock(0), ...copies(1));
  bench.run();
  assert.deepEqual(order(bench), [0]);
  bench.write('ARB_ERR_CAUSE', 4);
  bench.run();
  assert.deepEqual(order(bench), [0, 1]);
});
