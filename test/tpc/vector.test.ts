/** Vector instructions against plain JavaScript, lane by lane, and sequences of public kernels. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as float from '../../src/tpc/numbers/float.ts';
import { seed } from '../seed.ts';
import { bench, CODE, type Elements, vectorStep } from './fixture.ts';
import { exact, flushed, plus, times, toFormat } from './oracle.ts';

const words = fc.uint8Array({ minLength: 256, maxLength: 256 });
const runs = { seed: seed(), numRuns: 60 };

type Integer = 'i32' | 'u32' | 'i16' | 'u16' | 'i8' | 'u8';
const arrays = {
  i32: Int32Array,
  u32: Uint32Array,
  i16: Int16Array,
  u16: Uint16Array,
  i8: Int8Array,
  u8: Uint8Array,
} as const;
const integers = fc.constantFrom<Integer[]>('i32', 'u32', 'i16', 'u16', 'i8', 'u8');
const limits = (type: Integer) => {
  const bits = Number(type.slice(1));
  return type.startsWith('i') ? ([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] as const) : ([0, 2 ** bits - 1] as const);
};
const as = (type: Integer, bytes: Uint8Array): Elements => new arrays[type](bytes.slice().buffer);

test('integer arithmetic, logic and comparison of every type', () => {
  const operations: Record<string, (a: number, b: number, low: number, high: number) => number> = {
    add: (a, b) => a + b,
    'add.st': (a, b, low, high) => Math.min(high, Math.max(low, a + b)),
    sub: (a, b) => a - b,
    'sub.st': (a, b, low, high) => Math.min(high, Math.max(low, a - b)),
    max: (a, b) => Math.max(a, b),
    min: (a, b) => Math.min(a, b),
    and: (a, b) => a & b,
    or: (a, b) => a | b,
    xor: (a, b) => a ^ b,
  };
  fc.assert(
    fc.property(integers, fc.constantFrom(...Object.keys(operations)), words, words, (type, name, x, y) => {
      const [mnemonic, sw] = name.split('.');
      const b = vectorStep(`${mnemonic}.${type}${sw ? `.${sw}` : ''} V3, V1, V2`, { 1: as(type, x), 2: as(type, y) });
      const [p, q] = [as(type, x), as(type, y)];
      const want = new arrays[type](p.length);
      for (let n = 0; n < p.length; n++)
        want[n] = operations[name]?.(p[n] as number, q[n] as number, ...limits(type)) as number;
      assert.deepEqual([...as(type, b.vector(3))], [...want]);
    }),
    { ...runs, numRuns: 200 },
  );
});

test('comparisons write the bits of all bytes of a lane, selections take lanes whole', () => {
  fc.assert(
    fc.property(integers, words, words, (type, x, y) => {
      const inputs = { 1: as(type, x), 2: as(type, y), 3: as(type, y), 4: as(type, x) };
      const compared = vectorStep(`cmp_grt.${type} VP1, V1, V2`, inputs);
      const bits = compared.core.state.vectorPredicate(1);
      const width = inputs[1].BYTES_PER_ELEMENT;
      for (let byte = 0; byte < 256; byte++) {
        const lane = Math.floor(byte / width);
        const want = (inputs[1][lane] as number) > (inputs[2][lane] as number) ? 1 : 0;
        assert.equal(((bits[byte >> 3] as number) >> (byte & 7)) & 1, want);
      }
      const selected = vectorStep(`sel2_leq.${type} D6, V1, V2, V3, V4`, inputs);
      const [first, second] = [as(type, selected.vector(6)), as(type, selected.vector(7))];
      inputs[1].forEach((a, n) => {
        const b = inputs[2][n] as number;
        assert.equal(first[n], a <= b ? a : b);
        assert.equal(second[n], a <= b ? b : a);
      });
    }),
    runs,
  );
});

test('f32 lanes: fused multiply-add as exact arithmetic has it, NaN as 0x7fffffff, denormals as zero', () => {
  const f32Words = fc.uint32Array({ minLength: 64, maxLength: 64 });
  fc.assert(
    fc.property(f32Words, f32Words, f32Words, (x, y, z) => {
      const b = vectorStep('mac.f32 V3, V1, V2', { 1: x, 2: y, 3: z });
      const result = new Uint32Array(b.vector(3).buffer);
      for (let n = 0; n < 64; n++) {
        const [p, q, r] = [x, y, z].map((v) => flushed(float.fromBits(float.f32, v[n] as number))) as [
          number,
          number,
          number,
        ];
        const special = ![p, q, r].every(Number.isFinite);
        const want = special ? p * q + r : flushed(toFormat(plus(times(exact(p), exact(q)), exact(r)), 24, 'rhne'));
        const bits = float.toBits(float.f32, want);
        if (want === 0) assert.equal((result[n] as number) & 0x7fffffff, 0);
        else assert.equal(result[n], bits, `${p} * ${q} + ${r}`);
      }
    }),
    runs,
  );
});

test('the causes of float results and overflows are told', () => {
  const huge = new Float32Array(64).fill(3e38);
  assert.deepEqual(
    new Set(vectorStep('add.f32 V3, V1, V2', { 1: huge, 2: huge }).interrupts),
    new Set(['vpu_fp_dst_nan_inf']),
  );
  const most = new Int32Array(64).fill(0x7fffffff);
  const added = vectorStep('add.i32 V3, V1, V2', { 1: most, 2: most });
  assert.deepEqual(new Set(added.interrupts), new Set(['vpu_addsub_overflow']));
  assert.equal(added.words(3)[0], -2);
});

test('16-bit products go to pairs: even elements to the first register, odd ones to the second', () => {
  fc.assert(
    fc.property(words, words, (x, y) => {
      const [p, q] = [as('i16', x), as('i16', y)];
      const b = vectorStep('mul.i16 D4, V1, V2', { 1: p, 2: q });
      for (let n = 0; n < 128; n++) {
        assert.equal(b.words(4 + (n & 1))[n >> 1], ((p[n] as number) * (q[n] as number)) | 0);
      }
    }),
    runs,
  );
});

test('shifts: all bits are lost from the width on; ASH goes both ways, saturates and rounds half up', () => {
  const values = Int32Array.from({ length: 64 }, (_, n) => -(2 ** 31) + n * 0x3fffff1);
  const amounts = Int32Array.from({ length: 64 }, (_, n) => n - 32);
  const shl = vectorStep('shl.i32 V3, V1, V2', { 1: values, 2: amounts });
  const ash = vectorStep('ash.i32 rhu V3, V1, V2', { 1: values, 2: amounts });
  for (let n = 0; n < 64; n++) {
    const [value, amount] = [values[n] as number, amounts[n] as number];
    assert.equal(shl.words(3)[n], amount < 0 || amount > 31 ? 0 : value << amount);
    const scaled = value * 2 ** amount;
    const want = amount >= 0 ? Math.min(2 ** 31 - 1, Math.max(-(2 ** 31), scaled)) : Math.floor(scaled + 0.5);
    assert.equal(ash.words(3)[n], want, `${value} by ${amount}`);
  }
});

test("bf16 to f32: the unpack and move sequence of the vendor's cast kernel gives linear order", () => {
  const values = Float32Array.from({ length: 128 }, (_, n) => n + 1);
  const narrow = Uint16Array.from(values, (x) => float.toBits(float.bf16, x));
  const text = [
    'unpack.bf16 source_group=0 element_stride=2 group_half=0 V2, V1',
    'unpack.bf16 source_group=1 element_stride=2 group_half=0 V3, V1',
    'mov.f32 V4, V2',
    'mov_dg.bf16 src=0 dst=1 wr_lg=1 wr_ug=1 V2, V3, 0xffffffff',
    'mov_dg.bf16 src=1 dst=2 wr_lg=1 wr_ug=1 V2, V4, 0xffffffff',
    'mov_dg.bf16 src=1 dst=3 wr_lg=1 wr_ug=1 V2, V3, 0xffffffff',
    'mov_dg.bf16 src=2 dst=0 wr_lg=1 wr_ug=1 V3, V4, 0xffffffff',
    'mov_dg.bf16 src=2 dst=1 wr_lg=1 wr_ug=1 V3, V3, 0xffffffff',
    'mov_dg.bf16 src=3 dst=2 wr_lg=1 wr_ug=1 V3, V4, 0xffffffff',
    'convert.bf16 target_type=fp32 rhne D6, V2',
    'convert.bf16 target_type=fp32 rhne D8, V3',
  ]
    .map((line) => `nop; nop; ${line.replace('mov_dg.bf16', 'mov_dg')}; nop`)
    .join('\n');
  const b = bench(text, { latency: 'immediate' });
  b.core.start({ pc: CODE });
  b.core.state.vector(1).set(new Uint8Array(narrow.buffer));
  b.core.run(100);
  assert.deepEqual([...b.floats(6), ...b.floats(8)], [...values]);
});

test('PACK: the sequences of public kernels give linear order, with stride 2 and with stride 4', () => {
  const sparse = Int16Array.from({ length: 128 }, (_, n) => (n % 2 === 0 ? n / 2 : -1));
  const b = bench(
    `nop; nop; pack.i16 source_group=0 element_stride=2 V2, V1; nop
     nop; nop; pack.i16 source_group=1 element_stride=2 V2, V1; nop
     nop; nop; mov_dg src=1 dst=0 wr_lg=0 wr_ug=1 V2, V2, 0xffffffff; nop
     nop; nop; mov_dg src=2 dst=1 wr_lg=1 wr_ug=0 V2, V2, 0xffffffff; nop
     nop; nop; mov_dg src=3 dst=1 wr_lg=0 wr_ug=1 V2, V2, 0xffffffff; nop
     nop; nop; pack.i8 source_group=0 element_stride=4 V4, V3; nop
     nop; nop; pack.i8 source_group=1 element_stride=4 V4, V3; nop
     nop; nop; mov_dg src=1 dst=0 wr_lg=1 wr_ug=0 V4, V4, 0xffff0000; nop
     nop; nop; mov_dg src=2 dst=0 wr_lg=0 wr_ug=1 V4, V4, 0x0000ffff; nop
     nop; nop; mov_dg src=3 dst=0 wr_lg=0 wr_ug=1 V4, V4, 0xffff0000; nop`,
    { latency: 'immediate' },
  );
  b.core.start({ pc: CODE });
  b.core.state.vector(1).set(new Uint8Array(sparse.buffer));
  b.core.state.vector(3).set(Uint8Array.from({ length: 256 }, (_, n) => (n % 4 === 0 ? n / 4 : 255)));
  b.core.run(100);
  const lanes = Array.from({ length: 64 }, (_, n) => n);
  assert.deepEqual([...new Int16Array(b.vector(2).buffer).subarray(0, 64)], lanes);
  assert.deepEqual([...b.vector(4).subarray(0, 64)], lanes);
});

test('a maximum over all lanes by MOV_DG, MOV_G and SHUFFLE', () => {
  const values = Float32Array.from({ length: 64 }, (_, n) => Math.sin(n * 12.9898) * 43758);
  const shuffles = Array.from(
    { length: 8 },
    (_, n) =>
      `nop; nop; mov.i8 V5, ${0x80 | n}; nop\nnop; nop; shuffle.f32 V6, V2, V5; nop\nnop; nop; max.f32 V3, V3, V6; nop`,
  );
  const b = bench(
    `nop; nop; mov_dg all sdg0=1 sdg1=0 sdg2=3 sdg3=2 weg0=3 weg1=3 weg2=3 weg3=3 V2, V1, 0xffffffff; nop
     nop; nop; max.f32 V1, V1, V2; nop
     nop; nop; mov_dg all sdg0=2 sdg1=3 sdg2=0 sdg3=1 weg0=3 weg1=3 weg2=3 weg3=3 V2, V1, 0xffffffff; nop
     nop; nop; max.f32 V1, V1, V2; nop
     nop; nop; mov_g g_en=3 dg_en=15 V2, V1, 0xffffffff; nop
     nop; nop; max.f32 V2, V1, V2; nop
     nop; nop; mov.f32 V3, V2; nop
     ${shuffles.join('\n')}`,
    { latency: 'immediate' },
  );
  b.core.start({ pc: CODE });
  b.core.state.vector(1).set(new Uint8Array(values.buffer));
  b.core.run(100);
  assert.deepEqual([...b.floats(3)], new Array(64).fill(Math.max(...values)));
});

test('narrowing conversions write the lane they are told, rounded and saturated', () => {
  const values = Float32Array.from({ length: 64 }, (_, n) => (n - 32) * 7.5);
  const b = vectorStep('convert.f32 target_type=int8 lane_sel=2 rhne V2, V1', {
    1: values,
    2: new Int8Array(256).fill(99),
  });
  const got = new Int8Array(b.vector(2).buffer);
  values.forEach((x, n) => {
    const nearest =
      Math.round(x / 2) * 2 === x + 0.5 || Math.round(x / 2) * 2 === x - 0.5 ? Math.round(x / 2) * 2 : Math.round(x);
    assert.equal(got[4 * n + 2], Math.min(127, Math.max(-128, nearest)), String(x));
    assert.equal(got[4 * n], 99);
  });
});

test('two f32 vectors to one of bf16, in every mode', () => {
  fc.assert(
    fc.property(fc.constantFrom('rhne', 'rz', 'ru', 'rd', 'rhaz'), words, words, (mode, x, y) => {
      const [p, q] = [new Uint32Array(x.slice().buffer), new Uint32Array(y.slice().buffer)];
      const b = vectorStep(`convert.f32 all_lanes target_type=bf16 ${mode} V4, D2`, { 2: p, 3: q });
      const got = new Uint16Array(b.vector(4).buffer);
      for (let n = 0; n < 128; n++) {
        const value = float.operand(float.f32, ((n & 1 ? q : p)[n >> 1] as number) >>> 0);
        const want = Number.isFinite(value) ? flushed(toFormat(exact(value), 8, mode as 'rz')) : value;
        if (want !== 0) assert.equal(got[n], float.toBits(float.bf16, want), `${value} ${mode}`);
      }
    }),
    runs,
  );
});
