/** Programs: when results arrive, loops, jumps, predicates, memory. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { seed } from '../seed.ts';
import { bench, CODE } from './fixture.ts';

test('the exposed pipeline: the three bundles after an addition read the old value, the fourth the new', () => {
  const text = `
    nop; mov.i32 S1, 7; nop; nop
    nop; nop; nop; nop
    nop; nop; nop; nop
    nop; nop; nop; nop
    nop; add.i32 S1, S1, 1; nop; nop
    nop; mov.i32 S2, S1; nop; nop
    nop; mov.i32 S3, S1; nop; nop
    nop; mov.i32 S4, S1; nop; nop
    nop; mov.i32 S5, S1; nop; nop`;
  const scalars = (latency: 'exposed' | 'immediate') => {
    const b = bench(text, { latency });
    b.run();
    return [2, 3, 4, 5].map((n) => b.core.state.scalar(n));
  };
  assert.deepEqual(scalars('exposed'), [7, 7, 7, 8]);
  assert.deepEqual(scalars('immediate'), [8, 8, 8, 8]);
});

test('what is loaded is waited for: a reader that comes too early stalls and gets the new value', () => {
  const cycles = (between: number) => {
    const b = bench(
      `nop; nop; nop; st_l 8, S1\nld_l S2, 8; nop; nop; nop\n${'nop; nop; nop; nop\n'.repeat(between)}nop; mov.i32 S3, S2; nop; nop`,
    );
    b.run({ srf: [0, 42] });
    assert.equal(b.core.state.scalar(3), 42);
    const { bundles, cycles: all, stalls } = b.core.statistics;
    assert.equal(all, bundles + stalls);
    return stalls;
  };
  const latency = cycles(0) + 1;
  assert.ok(latency > 1);
  for (let between = 1; between < 10; between++) assert.equal(cycles(between), Math.max(0, latency - 1 - between));
});

test('another slot sees a scalar with the next bundle', () => {
  const b = bench('nop; mov.i32 S1, 9; nop; nop\nnop; nop; mov.i32 V1, S1; nop');
  b.run();
  assert.equal(b.words(1)[63], 9);
});

test('all slots of a bundle read before any writes', () => {
  const b = bench('mov V1, V2; nop; mov.f32 V2, V1; nop', { latency: 'immediate' });
  b.core.start({ pc: CODE });
  b.core.state.vector(1).fill(1);
  b.core.state.vector(2).fill(2);
  b.core.run(5);
  assert.equal(b.vector(1)[0], 2);
  assert.equal(b.vector(2)[0], 1);
});

test('code that keeps its latencies does the same in both modes', () => {
  // Random straight-line code with four NOPs after each bundle.
  const line = fc.oneof(
    fc
      .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }))
      .map(([d, x, y]) => `nop; add.i32 S${d}, S${x}, S${y}; xor.i32 V${d}, V${x}, V${y}; nop`),
    fc
      .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }))
      .map(([d, x]) => `nop; sub.i32 S${d}, S${x}, 3; mov.i32 V${d}, S${x}; nop`),
  );
  fc.assert(
    fc.property(fc.array(line, { minLength: 1, maxLength: 8 }), (lines) => {
      const text = lines.map((l) => `${l}\n${'nop; nop; nop; nop\n'.repeat(6)}`).join('');
      const states = (['exposed', 'immediate'] as const).map((latency) => {
        const b = bench(text, { latency });
        b.run({ srf: [0, 1, 2, 3, 4, 5] });
        return [...b.core.state.bytes.subarray(0, 12_000)];
      });
      assert.deepEqual(states[0], states[1]);
    }),
    { seed: seed(), numRuns: 20 },
  );
});

test('a loop: the bundle after LOOP once, the body for each value of the counter, which keeps what ended it', () => {
  const rounds = (start: number, bound: number, step: number, comparison: string) => {
    const b = bench(
      `loop ${start}, ${bound}, ${step}, ${comparison}, end
       nop; add.i32 S1, S1, 1; nop; nop
       nop; add.i32 S2, S2, 1; nop; nop
       end:`,
      { latency: 'immediate' },
    );
    b.run();
    return [1, 2, 32].map((n) => b.core.state.scalar(n) | 0);
  };
  assert.deepEqual(rounds(0, 5, 1, '<'), [1, 5, 5]);
  assert.deepEqual(rounds(10, 0, -3, '>='), [1, 4, -2]);
  assert.deepEqual(rounds(7, 5, 1, '<'), [1, 0, 7], 'not at all');
  assert.deepEqual(rounds(0, 6, 2, '!='), [1, 3, 6]);
});

test('nested loops that end with the same bundle', () => {
  const b = bench(
    `loop 0, S10, 1, <, outer
     nop; nop; nop; nop
     loop 0, S11, 1, <, outer
     nop; add.i32 S2, S2, 1; nop; nop
     nop; add.i32 S1, S1, S32; nop; nop
     outer:`,
    { latency: 'immediate' },
  );
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 6 }), (outer, inner) => {
      b.run({ srf: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, outer, inner] });
      let sum = 0;
      for (let o = 0; o < outer; o++) sum += o * inner;
      assert.equal(b.core.state.scalar(1), sum);
      assert.equal(b.core.state.scalar(2), outer);
    }),
    { seed: seed(), numRuns: 40 },
  );
});

test('a predicated LOOP is skipped, a jump out of a loop ends it', () => {
  const skipped = bench('loop 0, 3, 1, <, end, SP1\nnop; nop; nop; nop\nnop; add.i32 S1, S1, 1; nop; nop\nend:', {
    latency: 'immediate',
  });
  skipped.run();
  assert.equal(skipped.core.state.scalar(1), 0);
  const left = bench(
    `loop 0, 10, 1, <, end
     nop; nop; nop; nop
     nop; cmp_eq.i32 SP1, S32, 4; nop; nop
     nop; jmpr out, SP1; nop; nop
     nop; nop; nop; nop
     nop; add.i32 S1, S1, 1; nop; nop
     end:
     nop; mov.i32 S2, 1; nop; nop
     out:
     nop; nop; nop; nop`,
    { latency: 'immediate' },
  );
  left.run();
  assert.equal(left.core.state.scalar(1), 4);
  assert.equal(left.core.state.scalar(2), 0);
});

test('predicates: a scalar one skips the instruction, a vector one keeps lanes', () => {
  const b = bench(
    `nop; cmp_less.i32 SP1, S1, S2; cmp_less.i32 VP1, V42, 10; nop
     nop; mov.i32 S3, 5, SP1; mov.i32 V1, 5, VP1; nop
     nop; mov.i32 S4, 5, !SP1; mov.i32 V2, 5, !VP1; nop`.replaceAll('V42', 'V_LANE_ID_32'),
    { latency: 'immediate' },
  );
  b.run({ srf: [0, 1, 2] });
  assert.deepEqual(
    [3, 4].map((n) => b.core.state.scalar(n)),
    [5, 0],
  );
  assert.deepEqual(
    [...b.words(1)],
    Array.from({ length: 64 }, (_, lane) => (lane < 10 ? 5 : 0)),
  );
  assert.deepEqual(
    [...b.words(2)],
    Array.from({ length: 64 }, (_, lane) => (lane < 10 ? 0 : 5)),
  );
  assert.deepEqual(b.core.statistics.skipped, { load: 0, spu: 1, vpu: 0, store: 0 });
});

test('unsigned division by eight UDIV_4STEP', () => {
  const steps = Array.from({ length: 8 }, (_, n) => `nop; udiv_4step.u32 ${4 * n} Z2, S4; nop; nop`).join('\n');
  const b = bench(steps, { latency: 'immediate' });
  fc.assert(
    fc.property(fc.nat(0xffffffff), fc.integer({ min: 1, max: 0xffffffff }), (n, d) => {
      b.run({ srf: [0, 0, n, 0, d] });
      assert.equal(b.core.state.scalar(2), n % d);
      assert.equal(b.core.state.scalar(3), Math.floor(n / d));
    }),
    { seed: seed() },
  );
  b.run({ srf: [0, 0, 1, 0, 0] });
  assert.ok(b.interrupts.includes('div_by_0'));
});

test('local memories keep what is stored, and LD_L with MMIO reads the configuration space', () => {
  const b = bench(
    `nop; mov.i32 S1, 77; mov.i32 V1, 77; nop
     nop; nop; nop; st_l 0x40, S1
     nop; nop; nop; st_l_v 0x300, V1
     ld_l S2, 0x40; nop; nop; nop
     ld_l_v V2, 0x300; nop; nop; nop
     ld_l mmio S3, 0x410; nop; nop; nop
     nop; nop; nop; aso`,
    { latency: 'immediate' },
  );
  b.tensor(0, new Float32Array(100), { type: 'f32' });
  b.run();
  assert.equal(b.core.state.scalar(2), 77);
  assert.equal(b.words(2)[63], 77);
  assert.equal(b.core.state.scalar(3), 100);
  assert.equal(b.config.read(0x908), 1);
});

test('index registers: set, added by mask, permuted, and read', () => {
  const b = bench(
    `nop; set_indx I2, b11111, 3; nop; nop
     nop; add.i32 b00110 I2, 4, I2; nop; nop
     prmt_indx I3, I2, S1; mov_irf_dim 1 S2, I2; nop; nop
     nop; mul.i32 b00001 I4, I2, I2; nop; nop`,
    { latency: 'immediate' },
  );
  b.run({ srf: [0, 0o01234] });
  assert.deepEqual(b.core.state.index(2), [3, 7, 7, 3, 3]);
  assert.deepEqual(b.core.state.index(3), [3, 3, 7, 7, 3]);
  assert.equal(b.core.state.scalar(2), 7);
  assert.equal(b.core.state.index(4)[0], 9);
});

test('a kernel sees its part of the index space in I0 and I1, and its scalars', () => {
  const b = bench('nop; nop; nop; nop');
  b.run({ indexSpace: { offset: [1, 2, 3, 4, 5], size: [6, 7] }, srf: [8, 9] });
  assert.deepEqual(b.core.state.index(0), [1, 2, 3, 4, 5]);
  assert.deepEqual(b.core.state.index(1), [6, 7, 1, 1, 1]);
  assert.deepEqual(
    [0, 1, 2].map((n) => b.core.state.scalar(n)),
    [8, 9, 0],
  );
});

test('memory that is not ready blocks the core before the bundle; then the bundle is done once', () => {
  const b = bench('ld_tnsr V1, 0, I2; add.i32 S1, S1, 1; nop; nop', { latency: 'immediate' });
  b.config.setTensor(0, { base: 0x5000_0000, type: 'i32', sizes: [64] });
  let asked = 0;
  const view = b.memory.view.bind(b.memory);
  Object.assign(b.memory, {
    view: (address: number, length: number) => view(address, length),
    read: (_: number, target: Uint8Array) => {
      asked++;
      if (asked < 3) return false;
      target.fill(1);
      return true;
    },
  });
  b.core.start({ pc: CODE });
  assert.equal(b.core.run(10), 'blocked');
  assert.equal(b.core.run(10), 'blocked');
  assert.equal(b.core.run(10), 'halted');
  assert.equal(b.core.state.scalar(1), 1);
  assert.equal(b.words(1)[5], 0x01010101);
});

test('random numbers: V40 renews them with each read, V41 does not; what is written seeds them', () => {
  const b = bench(
    `nop; nop; mov.i32 V40, 1234; nop
     nop; nop; mov.f32 V1, V41; nop
     nop; nop; mov.f32 V2, V40; nop
     nop; nop; mov.f32 V3, V40; nop`
      .replaceAll('V41', 'LFSR_NO_CHANGE')
      .replaceAll('V40', 'LFSR'),
    { latency: 'immediate' },
  );
  b.run();
  assert.equal(b.words(1)[0], 1234);
  assert.deepEqual(b.words(1), b.words(2));
  assert.notEqual(b.words(3)[0], 1234);
});
