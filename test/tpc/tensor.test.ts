/** Tensors: which elements a vector gets, what is outside, and what stores do with what is there. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { seed } from '../seed.ts';
import { bench, CODE } from './fixture.ts';

const load = (line: string) => bench(`${line}; nop; nop; nop`, { latency: 'immediate' });

function runAt(b: ReturnType<typeof bench>, coordinates: readonly number[], srf: readonly number[] = []): void {
  b.core.start({ pc: CODE, srf });
  b.core.state.setIndex(2, coordinates);
  b.core.run(10);
}

test('LD_TNSR in five dimensions: elements along dimension 0, the padding value wherever a coordinate is outside', () => {
  const sizes = [70, 3, 2, 2, 2];
  const elements = Int32Array.from({ length: 70 * 24 }, (_, n) => n + 1);
  const b = load('ld_tnsr V1, 0, I2');
  b.tensor(0, elements, { type: 'i32', sizes, padding: 0xfffffff7 });
  const coordinate = (size: number) => fc.integer({ min: -2, max: size + 1 });
  fc.assert(
    fc.property(
      fc.integer({ min: -70, max: 80 }),
      fc.tuple(coordinate(3), coordinate(2), coordinate(2), coordinate(2)),
      (start, others) => {
        runAt(b, [start, ...others]);
        const outside = others.some((c, d) => c < 0 || c >= (sizes[d + 1] as number));
        const row = others.reduceRight((sum, c, d) => sum * (sizes[d + 1] as number) + c, 0) * 70;
        const want = Array.from({ length: 64 }, (_, n) => {
          const x = start + n;
          return outside || x < 0 || x >= 70 ? -9 : elements[row + x];
        });
        assert.deepEqual([...b.words(1)], want);
      },
    ),
    { seed: seed() },
  );
});

test('ST_TNSR writes what is inside and nothing else; strides leave gaps as they are', () => {
  const elements = new Float32Array(400).fill(-1);
  const b = bench('nop; nop; nop; st_tnsr 0, I2, V1', { latency: 'immediate' });
  b.tensor(0, elements, { type: 'f32', sizes: [50, 3], strides: [1, 100] });
  const store = (coordinates: number[]) => {
    b.core.start({ pc: CODE });
    b.core.state.setIndex(2, coordinates);
    b.core.state.vector(1).set(new Uint8Array(Float32Array.from({ length: 64 }, (_, n) => n).buffer));
    b.core.run(10);
  };
  store([-10, 1]);
  assert.deepEqual(
    [...elements.subarray(98, 156)],
    [-1, -1, ...Array.from({ length: 50 }, (_, n) => n + 10), -1, -1, -1, -1, -1, -1],
  );
  elements.fill(-1);
  store([0, 3]);
  store([0, -1]);
  store([50, 0]);
  assert.ok(elements.every((x) => x === -1));
});

test('halves of vectors, vector predicates, and parts', () => {
  const elements = Uint16Array.from({ length: 128 }, (_, n) => n + 1);
  const half = load('ld_tnsr_high V1, 0, I2');
  half.tensor(0, elements, { type: 'u16' });
  runAt(half, [3]);
  const got = new Uint16Array(half.vector(1).buffer);
  assert.deepEqual([got[0], got[63], got[64], got[127]], [0, 0, 4, 67]);

  const part = load('ld_tnsr partial V1, 0, I2, S30');
  part.tensor(0, elements, { type: 'u16' });
  part.core.start({ pc: CODE });
  part.core.state.setScalar(30, (7 << 8) | (3 - 1));
  part.core.run(10);
  const some = new Uint16Array(part.vector(1).buffer);
  assert.deepEqual([...some.subarray(5, 12)], [0, 0, 1, 2, 3, 0, 0]);

  const predicate = load('ld_tnsr VP1, 0, I2');
  predicate.tensor(
    0,
    Uint8Array.from({ length: 32 }, (_, n) => n),
    { type: 'u8' },
  );
  runAt(predicate, [0]);
  assert.equal(predicate.core.state.vectorPredicate(1)[31], 31);
});

test('stores that combine with memory: by the descriptor, and by S29', () => {
  const given = Float32Array.from({ length: 64 }, (_, n) => n - 32);
  const combine = (line: string, rmw: 'max' | undefined, s29: number) => {
    const elements = new Float32Array(64).fill(2);
    const b = bench(`nop; nop; nop; ${line}`, { latency: 'immediate' });
    b.tensor(0, elements, { type: 'f32', ...(rmw ? { rmw } : {}) });
    b.core.start({ pc: CODE });
    b.core.state.setScalar(29, s29);
    b.core.state.vector(1).set(new Uint8Array(given.buffer));
    b.core.run(10);
    return [...elements];
  };
  assert.deepEqual(
    combine('st_tnsr 0, I2, V1', 'max', 0),
    Array.from(given, (x) => Math.max(x, 2)),
  );
  const f32Add = 7 | (0 << 4) | (1 << 6);
  const f32Sub = 7 | (1 << 4) | (1 << 6);
  assert.deepEqual(
    combine('st_tnsr rmw_sel 0, I2, V1, S29', undefined, f32Add),
    Array.from(given, (x) => 2 + x),
  );
  assert.deepEqual(
    combine('st_tnsr rmw_sel 0, I2, V1, S29', undefined, f32Sub),
    Array.from(given, (x) => 2 - x),
  );
  assert.deepEqual(combine('st_tnsr rmw_sel 0, I2, V1, S29', undefined, f32Add & ~64), [...given], 'not enabled');
});

test('GEN_ADDR, LD_G and ST_G: one element, of the type of its tensor', () => {
  const words = Int16Array.from({ length: 60 }, (_, n) => -n);
  const b = bench(
    `gen_addr AD1, 0, I2; nop; nop; nop
     ld_g S1, AD1; nop; nop; nop
     ld_g V1, AD1; nop; nop; gen_addr AD2, 0, I3
     nop; nop; nop; st_g AD2, S1`,
    { latency: 'immediate' },
  );
  b.tensor(0, words, { type: 'i16', sizes: [10, 6] });
  b.core.start({ pc: CODE });
  b.core.state.setIndex(2, [3, 4]);
  b.core.state.setIndex(3, [0, 0]);
  b.core.run(10);
  assert.equal(b.core.state.scalar(1) | 0, -43);
  assert.deepEqual([...new Int16Array(b.vector(1).buffer)], new Array(128).fill(-43));
  assert.equal(words[0], -43);
  assert.equal(words[1], -1);
});

test('lookup tables: ten f32 intervals to a line of 128 bytes, tables by the function number', () => {
  const table = new Float32Array((13 * 128 * 2) / 4);
  for (let entry = 0; entry < 128; entry++) {
    const at = (13 * 128) / 4 + entry * 3 + 2 * Math.floor(entry / 10);
    table.set([entry, entry + 0.25, entry + 0.5], at);
  }
  const b = bench(
    `lookup_1c BV32 V2, V1, 129; nop; nop; nop
     lookup_2c BV32 D4, V1, 129; nop; nop; nop`,
    { latency: 'immediate' },
  );
  b.memory.add(0x7000_0000, new Uint8Array(table.buffer));
  b.config.write(0x978 + 16, 0x7000_0000);
  b.config.write(0x7b8, 1);
  b.core.start({ pc: CODE });
  const entries = Uint32Array.from({ length: 64 }, (_, n) => 2 * n);
  b.core.state.vector(1).set(new Uint8Array(entries.buffer));
  b.core.run(10);
  assert.deepEqual([...b.floats(2)], [...entries]);
  assert.deepEqual(
    [...b.floats(4)],
    Array.from(entries, (e) => e + 0.25),
  );
  assert.deepEqual(
    [...b.floats(5)],
    Array.from(entries, (e) => e + 0.5),
  );
});
