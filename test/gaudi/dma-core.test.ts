import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { COMMIT, type dmaCore } from '../../specs/gaudi/registers/dma-core.ts';
import { DmaCore, type DmaCorePorts } from '../../src/gaudi/dma-core.ts';
import { ModelError } from '../../src/sim/errors.ts';
import { seed } from '../seed.ts';
import { CFG_BASE, chip, HOST_BASE, MIB, pattern, run, SRAM_BASE, VIRTUAL_BASE } from './bus-fixture.ts';

const DONE = CFG_BASE + 0x4f_2000;
const { LIN, MEM_SET, WR_COMP_EN } = COMMIT;

function engine(options: Partial<DmaCorePorts> & { hostSize?: number } = {}) {
  const c = chip(options);
  const refused: ModelError[] = [];
  const core = new DmaCore(1, { clock: c.clock, bus: c.bus, onError: (error) => refused.push(error), ...options });
  const write = (name: keyof typeof dmaCore.rows, value: number, ...index: number[]) =>
    core.registers.write32(core.registers.offsetOf(name, ...index), value >>> 0);
  const read = (name: keyof typeof dmaCore.rows) => core.registers.read32(core.registers.offsetOf(name));
  const split = (name: 'SRC_BASE' | 'DST_BASE' | 'WR_COMP_ADDR' | 'ERRMSG_ADDR', value: number) => {
    write(`${name}_LO`, value % 2 ** 32);
    write(`${name}_HI`, Math.floor(value / 2 ** 32));
  };
  const linear = (from: number, to: number, length: number, commit = LIN | WR_COMP_EN) => {
    split('SRC_BASE', from);
    split('DST_BASE', to);
    write('DST_TSIZE_0', length);
    write('COMMIT', commit);
  };
  const memset = (low: number, high: number, to: number, length: number, commit = LIN | MEM_SET | WR_COMP_EN) => {
    write('SRC_BASE_LO', low);
    write('SRC_BASE_HI', high);
    split('DST_BASE', to);
    write('DST_TSIZE_0', length);
    write('COMMIT', commit);
  };
  const shape = (side: 'SRC' | 'DST', row: number, counts: readonly number[], strides: readonly number[]) => {
    write(`${side}_TSIZE_0`, row);
    for (let d = 0; d < 4; d++) {
      write(`${side}_TSIZE`, counts[d] ?? 1, d);
      write(`${side}_STRIDE`, strides[d] ?? 0, d);
    }
  };
  /** As gaudi_init_dma_core and gaudi_restore_dma_registers. */
  const init = () => {
    write('ERR_CFG', 1);
    split('ERRMSG_ADDR', CFG_BASE + 0x80_0040);
    write('ERRMSG_WDATA', 454);
    write('PROT', 2);
    write('SECURE_PROPS', 0x400);
    write('NON_SECURE_PROPS', 1);
    write('CFG_0', 1);
    split('WR_COMP_ADDR', DONE);
    write('WR_COMP_WDATA', 0x8000_0001);
  };
  init();
  c.tables.enable(1);
  const completions = () => c.registers.filter((w) => w.offset === DONE - CFG_BASE).length;
  const messages = () => c.registers.filter((w) => w.offset === 0x80_0040).map((w) => w.value);
  return { ...c, core, refused, write, read, split, linear, memset, shape, init, completions, messages };
}

function refusal(category: string, where: string): (error: unknown) => boolean {
  return (error) => error instanceof ModelError && error.category === category && error.where === where;
}

test('what the engine does not do is refused when it is asked for, and nothing starts', () => {
  const e = engine();
  for (const mode of ['TRANSPOSE', 'COMPRESS', 'DECOMPRESS', 'DTYPE'] as const) {
    assert.throws(() => e.linear(0, MIB, 64, LIN | COMMIT[mode]), refusal('unimplemented', 'DMA1_CORE.COMMIT'));
  }
  e.write('WR_AWUSER_31_11', 0x31);
  assert.throws(() => e.linear(0, MIB, 64), refusal('unimplemented', 'DMA1_CORE.WR_AWUSER_31_11'));
  assert.equal(e.core.busy(), false);
});

test('transfers without one outcome are refused', () => {
  const e = engine();
  const undef = refusal('undefined', 'DMA1_CORE.COMMIT');
  assert.throws(() => e.linear(0x1000, 0x1800, 0x1000), undef, 'destination within the source');
  e.shape('SRC', 64, [2], [64]);
  e.shape('DST', 64, [0], [64]);
  assert.throws(() => e.write('COMMIT', 0), undef, 'a count of 0');
  e.shape('DST', 0, [2], [64]);
  assert.throws(() => e.write('COMMIT', 0), undef, 'rows of 0 bytes');
  e.shape('DST', 64, [3], [64]);
  assert.throws(() => e.write('COMMIT', 0), undef, 'more to write than to read');
  e.shape('DST', 7, [3], [64]);
  e.write('SRC_BASE_LO', 1);
  assert.throws(() => e.write('COMMIT', MEM_SET), undef, 'a pattern that rows cut');
  assert.equal(e.core.busy(), false);
});

test('registers that the engine does not have', () => {
  const e = engine();
  assert.throws(() => run(e.clock, e.core.writeRegister(0x010, 0)), refusal('unimplemented', 'DMA1_CORE+0x10'));
  assert.throws(() => run(e.clock, e.core.writeRegister(0x1000, 0)), refusal('unimplemented', 'DMA1_CORE+0x1000'));
  assert.throws(() => e.write('CFG_1', 2), refusal('unimplemented', 'DMA1_CORE.CFG_1'), 'FLUSH');
  assert.throws(() => e.read('RD_DBGMEM_DATA_RD'), refusal('unimplemented', 'DMA1_CORE.RD_DBGMEM_DATA_RD'));
});

test('a transfer of no bytes only completes', () => {
  const e = engine();
  e.linear(VIRTUAL_BASE, VIRTUAL_BASE, 0);
  e.clock.runUntil();
  assert.equal(e.completions(), 1);
  assert.equal(e.read('ERR_CAUSE'), 0);
});

test('reading what is not mapped: zeros arrive, the cause is set, one message is sent, the transfer completes', () => {
  const e = engine();
  e.hbm.bytes.fill(0xff, 0, 0x3000);
  e.tables.map(1, VIRTUAL_BASE, HOST_BASE, 0x1000);
  e.tables.map(1, VIRTUAL_BASE + 0x2000, HOST_BASE + 0x2000, 0x1000);
  e.host.bytes.fill(5);
  e.linear(VIRTUAL_BASE, 0, 0x3000);
  e.clock.runUntil();
  assert.deepEqual([e.hbm.bytes[0xfff], e.hbm.bytes[0x1000], e.hbm.bytes[0x1fff], e.hbm.bytes[0x2000]], [5, 0, 0, 5]);
  assert.equal(e.read('ERR_CAUSE'), 1);
  assert.deepEqual(e.messages(), [454]);
  assert.equal(e.completions(), 1);
  assert.deepEqual(e.faults, ['page-fault']);
  e.write('ERR_CAUSE', 1);
  assert.equal(e.read('ERR_CAUSE'), 0);
});

test('writing what is not mapped drops those bytes and no others', () => {
  for (const memset of [false, true]) {
    for (const mode of ['direct', 'messages'] as const) {
      const e = engine();
      e.host.mode = mode;
      e.tables.map(1, VIRTUAL_BASE + 0x1000, HOST_BASE, 0x1000);
      e.tables.map(1, VIRTUAL_BASE + 0x3000, HOST_BASE + 0x2000, 0x1000);
      e.hbm.bytes.fill(7, MIB, 2 * MIB);
      if (memset) e.memset(0x0707_0707, 0x0707_0707, VIRTUAL_BASE, 0x5000);
      else e.linear(MIB, VIRTUAL_BASE, 0x5000);
      e.clock.runUntil();
      assert.deepEqual(
        [0, 0x1000, 0x2000, 0x3000].map((a) => e.host.bytes[a]),
        [7, 0, 7, 0],
      );
      assert.equal(e.read('ERR_CAUSE'), 2);
      assert.equal(e.completions(), 1);
    }
  }
});

test('an unmapped gigabyte is passed over, not felt through page by page', () => {
  const e = engine();
  e.linear(VIRTUAL_BASE, 2 ** 49, 0xffff_ffff);
  e.clock.runUntil();
  assert.equal(e.read('ERR_CAUSE') & 2, 2);
  assert.equal(e.completions(), 1);
});

test('with STOP_ON_ERR an error ends the transfer: no completion, busy until reset', () => {
  const e = engine();
  e.write('ERR_CFG', 3);
  e.linear(VIRTUAL_BASE, 0, 0x1000);
  e.linear(0, MIB, 8);
  e.clock.runUntil();
  assert.deepEqual([e.completions(), e.messages().length, e.core.busy()], [0, 1, true]);
  assert.equal(e.read('STS0') >>> 31, 1);
  e.core.reset();
  assert.equal(e.core.busy(), false);
  e.init();
  e.linear(0, MIB, 8);
  e.clock.runUntil();
  assert.equal(e.completions(), 1);
});

test('a completion to nowhere is a message error', () => {
  const e = engine();
  e.split('WR_COMP_ADDR', SRAM_BASE - 4);
  e.linear(0, MIB, 8);
  e.clock.runUntil();
  assert.equal(e.read('ERR_CAUSE'), 4);
  assert.equal(e.core.busy(), false);
});

test('the host cannot overfill the queue: the descriptor is lost and says so', () => {
  const e = engine();
  for (let i = 0; i < 10; i++) e.linear(0, MIB, 8);
  e.clock.runUntil();
  assert.equal(e.completions(), 8);
  assert.equal(e.read('ERR_CAUSE'), 8);
  assert.deepEqual(e.messages(), [454]);
});

test('a command processor waits for room instead', () => {
  const e = engine();
  e.linear(0, MIB, 8, LIN);
  function* commits() {
    for (let i = 0; i < 20; i++) yield* e.core.writeRegister(e.core.registers.offsetOf('COMMIT'), LIN | WR_COMP_EN);
    const drained = e.core.drain();
    if (drained) yield* drained;
    return e.completions();
  }
  assert.equal(run(e.clock, commits()), 20);
  assert.equal(e.read('ERR_CAUSE'), 0);
});

test('every byte of every direction, any length and alignment', () => {
  const places = [0, SRAM_BASE, VIRTUAL_BASE, HOST_BASE] as const;
  const lengths = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 700_000 }));
  fc.assert(
    fc.property(
      fc.record({
        from: fc.constantFrom(...places),
        to: fc.constantFrom(...places),
        fromOffset: fc.nat(9000),
        // one byte before the destination is looked at
        toOffset: fc.integer({ min: 1, max: 9000 }),
        length: lengths,
        mode: fc.constantFrom('direct' as const, 'messages' as const),
        piece: fc.constantFrom(0x1000, 0x20_0000, 2 ** 40),
        memset: fc.boolean(),
      }),
      ({ from, to, fromOffset, toOffset, length, mode, piece, memset }) => {
        const e = engine();
        const direct = from === HOST_BASE || to === HOST_BASE;
        if (direct && (from === VIRTUAL_BASE || to === VIRTUAL_BASE)) return;
        // Both sides may be the same memory: the destination is half a memory further.
        const far = 8 * MIB;
        const memory = (place: number) => (place === 0 ? e.hbm : place === SRAM_BASE ? e.sram : e.host).bytes;
        const half = (place: number) => (place === 0 ? far : place === SRAM_BASE ? 0 : 2 * MIB);
        if (from === SRAM_BASE && to === SRAM_BASE) return;
        e.host.mode = mode;
        e.host.piece = piece;
        if (direct) e.write('PROT', 3);
        for (let page = 0; page < 4 * MIB; page += 0x1000) {
          e.tables.map(1, VIRTUAL_BASE + page, HOST_BASE + page, 0x1000);
        }
        const data = pattern(length, length);
        const source = memory(from);
        const target = memory(to);
        const at = half(to) + toOffset;
        if (!memset) source.set(data, fromOffset);
        target[at - 1] = target[at + length] = 0x5a;
        if (memset) {
          e.memset(0x0403_0201, 0x0807_0605, to + at, length);
          for (let i = 0; i < length; i++) data[i] = 1 + (i % 8);
        } else e.linear(from + fromOffset, to + at, length);
        e.clock.runUntil();
        assert.equal(e.completions(), 1);
        assert.equal(e.read('ERR_CAUSE'), 0);
        assert.equal(Buffer.compare(target.subarray(at, at + length), data), 0);
        assert.deepEqual([target[at - 1], target[at + length]], [0x5a, 0x5a]);
      },
    ),
    { seed: seed(), numRuns: 60 },
  );
});

test('large transfers: longer than a slice, zeroing, onto itself, towards lower addresses', () => {
  const e = engine();
  const data = pattern(5 * MIB + 3, 1);
  e.hbm.bytes.set(data, 1);
  e.linear(1, 6 * MIB + 1, data.length);
  e.clock.runUntil();
  assert.equal(Buffer.compare(e.hbm.bytes.subarray(6 * MIB + 1, 6 * MIB + 1 + data.length), data), 0);
  e.linear(6 * MIB + 1, 6 * MIB + 1, data.length);
  e.linear(6 * MIB + 1, 6 * MIB - 1000, data.length);
  e.clock.runUntil();
  assert.equal(Buffer.compare(e.hbm.bytes.subarray(6 * MIB - 1000, 6 * MIB - 1000 + data.length), data), 0);
  e.memset(0, 0, 100, 3 * MIB);
  e.clock.runUntil();
  assert.ok(e.hbm.bytes.subarray(100, 100 + 3 * MIB).every((byte) => byte === 0));
  assert.deepEqual([e.hbm.bytes[99], e.hbm.bytes[100 + 3 * MIB]], [data[98], data[99 + 3 * MIB]]);
});

test('time: nothing is written before its time, all of it before the completion, in order', () => {
  const e = engine({ timing: { latency: 1000, host: 100_000, chip: 10_000 }, delay: () => 5000 });
  e.hbm.bytes.fill(1, 0, 4 * MIB);
  const start = e.clock.now();
  e.linear(0, 4 * MIB, 4 * MIB);
  const landed = () => [4, 5, 6, 7].map((m) => e.hbm.bytes[(m + 1) * MIB - 1]);
  e.clock.runUntil(start + 15_999);
  assert.deepEqual(landed(), [0, 0, 0, 0]);
  e.clock.runUntil(start + 36_500);
  assert.deepEqual(landed(), [1, 1, 1, 0]);
  assert.equal(e.read('STS0') >>> 31, 1);
  assert.equal(e.completions(), 0);
  e.clock.runUntil();
  assert.equal(e.registers.at(-1)?.time, start + 46_000);
  assert.equal(e.read('STS0'), 0);
  assert.equal(e.core.busy(), false);
});

test('drain waits for what was accepted before it, and not for what comes after', () => {
  const e = engine({ timing: { latency: 0, host: 0, chip: 1_000_000 } });
  const start = e.clock.now();
  e.linear(0, 8 * MIB, MIB);
  e.clock.at(start + 500_000, () => e.linear(0, 8 * MIB, 4 * MIB));
  let drained = 0;
  function* waiter() {
    const steps = e.core.drain();
    if (steps) yield* steps;
    drained = e.clock.now();
  }
  run(e.clock, waiter());
  assert.equal(drained, start + 1_000_000);
  assert.equal(e.clock.now(), start + 5_000_000);
});

test('HALT holds the engine between slices, and says so; without EN nothing begins', () => {
  const e = engine({ timing: { latency: 0, host: 0, chip: 1000 } });
  e.hbm.bytes.fill(1, 0, 2 * MIB);
  const start = e.clock.now();
  e.linear(0, 4 * MIB, 2 * MIB);
  e.clock.runUntil(start + 1500);
  e.write('CFG_1', 1);
  assert.equal(e.read('STS1'), 0, 'still moving');
  e.clock.runUntil();
  assert.equal(e.read('STS1'), 1);
  assert.deepEqual([e.hbm.bytes[5 * MIB - 1], e.hbm.bytes[6 * MIB - 1], e.core.busy()], [1, 0, true]);
  e.write('CFG_1', 0);
  e.clock.runUntil();
  assert.deepEqual([e.hbm.bytes[6 * MIB - 1], e.completions(), e.core.busy()], [1, 1, false]);

  e.write('CFG_0', 0);
  e.linear(0, 4 * MIB, 8);
  e.clock.runUntil();
  assert.equal(e.completions(), 1);
  e.write('CFG_0', 1);
  e.clock.runUntil();
  assert.equal(e.completions(), 2);
});

test('reset in mid-transfer: nothing lands any more, those who wait go on, and it works again', () => {
  for (const mode of ['direct', 'messages'] as const) {
    const e = engine({ timing: { latency: 0, host: 1000, chip: 1000 } });
    e.host.mode = mode;
    e.hbm.bytes.fill(1, 0, 4 * MIB);
    e.write('PROT', 1);
    e.linear(0, HOST_BASE, 4 * MIB);
    e.clock.at(e.clock.now() + 2050, () => e.core.reset());
    run(e.clock, e.core.drain());
    assert.equal(e.host.bytes[4 * MIB - 1], 0);
    assert.equal(e.completions(), 0);
    assert.deepEqual([e.read('STS0'), e.read('DST_TSIZE_0')], [0, 0]);
    e.init();
    e.linear(0, 8 * MIB, 16);
    e.clock.runUntil();
    assert.equal(e.completions(), 1);
  }
});

test('a transfer that resets its own engine, by data or by completion, ends; the next begins from scratch', () => {
  for (const data of [true, false]) {
    const e = engine({ timing: { latency: 0, host: 0, chip: 1_000_000 } });
    const note = e.cfg.write32;
    e.cfg.write32 = () => e.core.reset();
    if (data) e.linear(0, CFG_BASE + 0xc4_b498, 4, LIN);
    else e.linear(0, MIB, 8);
    e.clock.runUntil();
    assert.equal(e.core.busy(), false);
    e.cfg.write32 = note;
    e.init();
    e.linear(0, MIB, MIB);
    run(e.clock, e.core.drain());
    assert.equal(e.completions(), 1);
    assert.equal(e.core.busy(), false);
  }
});

test('the public test of strided transfers: one row, many times', () => {
  const e = engine({ hostSize: 8 * MIB });
  e.host.bytes.fill(0xff);
  const row = 0x4_0000;
  const data = pattern(row, 9);
  e.hbm.bytes.set(data, 0);
  e.write('PROT', 3);
  e.split('SRC_BASE', 0);
  e.split('DST_BASE', HOST_BASE);
  e.shape('SRC', row, [10, 1, 1, 1], [0, row, row, row]);
  e.shape('DST', row, [10, 1, 1, 1], [2 * row, row, row, row]);
  e.write('COMMIT', WR_COMP_EN);
  e.clock.runUntil();
  for (let i = 0; i < 10; i++) {
    const at = i * 2 * row;
    assert.equal(Buffer.compare(e.host.bytes.subarray(at, at + row), data), 0);
    assert.ok(e.host.bytes.subarray(at + row, at + 2 * row).every((byte) => byte === 0xff));
  }
  assert.equal(e.completions(), 1);
});

test('up to five dimensions, of different shapes on both sides, against nested loops', () => {
  const dimension = fc.record({ count: fc.integer({ min: 1, max: 4 }), stride: fc.nat(300) });
  fc.assert(
    fc.property(
      fc.record({
        row: fc.integer({ min: 1, max: 40 }),
        dimensions: fc.array(dimension, { maxLength: 4 }),
        strides: fc.array(fc.nat(300), { minLength: 4, maxLength: 4 }),
        transposed: fc.boolean(),
        memset: fc.boolean(),
      }),
      ({ row, dimensions, strides, transposed, memset }) => {
        const e = engine();
        const counts = [0, 1, 2, 3].map((d) => dimensions[d]?.count ?? 1);
        const from = { row, counts, strides: [0, 1, 2, 3].map((d) => dimensions[d]?.stride ?? 0) };
        const to = { row, counts: transposed ? counts.toReversed() : counts, strides };
        const data = pattern(4096, row);
        e.hbm.bytes.set(data, 0);
        e.write('SRC_BASE_LO', memset ? 0x0404_0404 : 0);
        e.write('SRC_BASE_HI', memset ? 0x0404_0404 : 0);
        e.split('DST_BASE', SRAM_BASE);
        e.shape('SRC', from.row, from.counts, from.strides);
        e.shape('DST', to.row, to.counts, to.strides);
        e.write('COMMIT', memset ? MEM_SET : 0);
        e.clock.runUntil();

        const offsets = (s: typeof from) => {
          const result: number[] = [];
          const [n1 = 1, n2 = 1, n3 = 1, n4 = 1] = s.counts;
          const [s1 = 0, s2 = 0, s3 = 0, s4 = 0] = s.strides;
          for (let l = 0; l < n4; l++)
            for (let k = 0; k < n3; k++)
              for (let j = 0; j < n2; j++)
                for (let i = 0; i < n1; i++)
                  for (let b = 0; b < s.row; b++) result.push(l * s4 + k * s3 + j * s2 + i * s1 + b);
          return result;
        };
        const expected = new Uint8Array(4096);
        const sources = offsets(from);
        for (const [n, at] of offsets(to).entries()) expected[at] = memset ? 4 : (data[sources[n] as number] as number);
        assert.equal(Buffer.compare(e.sram.bytes.subarray(0, 4096), expected), 0);
        assert.equal(e.core.busy(), false);
      },
    ),
    { seed: seed(), numRuns: 200 },
  );
});

test('strides that leave the chip are errors of the rows that do', () => {
  const e = engine();
  e.hbm.bytes.fill(3, 0, 64);
  e.split('SRC_BASE', 0);
  e.split('DST_BASE', 0x1000);
  e.shape('SRC', 8, [3], [0]);
  e.shape('DST', 8, [3], [0xffff_ffff]);
  e.write('COMMIT', WR_COMP_EN);
  e.clock.runUntil();
  assert.equal(e.hbm.bytes[0x1000], 3);
  assert.equal(e.read('ERR_CAUSE'), 2);
  assert.equal(e.completions(), 1);
});

test('a transfer of 2^160 bytes keeps the engine busy and nothing else', () => {
  const e = engine();
  const all = 0xffff_ffff;
  e.shape('SRC', all, [all, all, all, all], [all, all, all, all]);
  e.shape('DST', all, [all, all, all, all], [all, all, all, all]);
  e.split('SRC_BASE', 2 ** 49);
  e.split('DST_BASE', 2 ** 49);
  e.write('COMMIT', WR_COMP_EN);
  e.clock.runUntil(1e9);
  assert.equal(e.core.busy(), true);
  assert.equal(e.completions(), 0);
  e.core.reset();
  assert.equal(e.core.busy(), false);
});

test('a large memset pattern keeps its phase through slices and pieces', () => {
  const e = engine();
  const length = 2 * MIB + 13;
  e.memset(0x0403_0201, 0x0807_0605, 3, length);
  e.clock.runUntil();
  const expected = new Uint8Array(length);
  for (let i = 0; i < length; i++) expected[i] = 1 + (i % 8);
  assert.equal(Buffer.compare(e.hbm.bytes.subarray(3, 3 + length), expected), 0);
});
