/** Each kernel against its reference: sizes with tails, odd shapes, one to five dimensions, values of every kind, 1 to 8 cores. */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { cutIndexSpace } from '../../src/tpc/index-space.ts';
import * as layout from '../../src/tpc/layout.ts';
import { Stand } from '../../src/tpc/run/stand.ts';
import type { TensorType } from '../../src/tpc/tensor.ts';
import { seed } from '../seed.ts';
import { awkward, close, equal, flush, KERNELS, ordinary, program, runKernel } from './bench.ts';

const shapes: readonly (readonly number[])[] = [
  [1],
  [63],
  [64],
  [257],
  [1100],
  [5, 7],
  [130, 3],
  [300, 2, 2],
  [65, 2, 1, 3],
  [33, 2, 3, 2, 2],
];
const fround = Math.fround;
const product = (sizes: readonly number[]) => sizes.reduce((n, size) => n * size, 1);
const f32 = (sizes: readonly number[], value: (n: number) => number) => ({ type: 'f32' as TensorType, sizes, value });
const max = (a: number, b: number) => (Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : Math.max(a, b));

/** Runs a kernel on shapes, compiled and not, in parts; the reference gives the outputs of element n. */
function elementwise(
  name: string,
  inputs: Readonly<Record<string, (n: number) => number>>,
  output: string,
  reference: (...values: number[]) => number,
  scalars: readonly number[] = [],
) {
  test(`${name}: each element as binary64 says, rounded once, on every shape and 1 to 8 cores`, () => {
    shapes.forEach((sizes, n) => {
      const tensors = Object.fromEntries(Object.entries(inputs).map(([tensor, value]) => [tensor, f32(sizes, value)]));
      for (const compile of [false, true]) {
        const result = runKernel(name, tensors, { scalars, cores: (n % 8) + 1, compile });
        const values = Object.keys(inputs).map((tensor) => result.values(tensor));
        const want = result.values(output).map((_, i) => reference(...values.map((each) => each[i] as number)));
        equal(result.values(output), want, `[${sizes}]${compile ? ' compiled' : ''}`);
      }
    });
  });
}

const shifted = (n: number) => awkward(n + 3);
elementwise('add', { x: awkward, y: shifted }, 'z', (x, y) => flush(fround(flush(x) + flush(y))));
elementwise('mac', { a: awkward, b: shifted, c: ordinary }, 'y', (a, b, c) => {
  // The product of two f32 is exact in binary64; the sum of these here, too, or far enough from a tie.
  return flush(fround(flush(a) * flush(b) + flush(c)));
});
elementwise('relu', { x: awkward }, 'y', (x) => max(flush(x), 0));
elementwise('relu-gradient', { x: awkward, dy: ordinary }, 'dx', (x, dy) => (flush(x) > 0 ? dy : 0));
elementwise(
  'leaky-relu',
  { x: awkward },
  'y',
  (x) => (flush(x) >= 0 ? x : flush(fround(flush(x) * fround(0.1)))),
  [0x3dcccccd],
);

test('copy: every type and shape, bit by bit', () => {
  const types: TensorType[] = ['f32', 'bf16', 'i32', 'u32', 'i16', 'u16', 'i8', 'u8'];
  shapes.forEach((sizes, n) => {
    const type = types[n % types.length] as TensorType;
    const { bytes } = runKernel(
      'copy',
      { x: { type, sizes, value: (i) => (type.endsWith('32') && type !== 'f32' ? i * 77_777 : awkward(i)) } },
      { cores: 8 - (n % 8) },
    );
    assert.deepEqual(bytes('y'), bytes('x'), `${type}[${sizes}]`);
  });
});

test('max-rows: the greatest of each row, NaN if there is one', () => {
  for (const sizes of [...shapes, [64, 9], [1, 12]]) {
    const rows = product(sizes) / (sizes[0] as number);
    const value = (n: number) =>
      Math.floor(n / (sizes[0] as number)) % 3 === 2 ? awkward(n) : -1 - Math.abs(ordinary(n));
    for (const compile of [false, true]) {
      const result = runKernel('max-rows', { x: f32(sizes, value) }, { cores: 3, compile });
      const x = result.values('x');
      const want = Array.from({ length: rows }, (_, r) =>
        x
          .slice(r * (sizes[0] as number), (r + 1) * (sizes[0] as number))
          .map(flush)
          .reduce(max),
      );
      equal(result.values('y'), want, `[${sizes}]`);
    }
  }
});

test('softmax: relative error below 1e-5; sums of 1; infinities and NaN as IEEE-754 has it', () => {
  const reference = (row: readonly number[]) => {
    const most = row.reduce(max);
    const powers = row.map((x) => Math.exp(x - most));
    const sum = powers.reduce((a, b) => a + b);
    return powers.map((power) => power / sum);
  };
  for (const sizes of [...shapes, [640, 3], [20480]]) {
    const width = sizes[0] as number;
    const result = runKernel(
      'softmax',
      { x: f32(sizes, (n) => ordinary(n) * 12) },
      { cores: 4, compile: width > 1000 },
    );
    const x = result.values('x');
    const want = Array.from({ length: product(sizes) / width }, (_, r) =>
      reference(x.slice(r * width, (r + 1) * width)),
    );
    close(result.values('y'), want.flat(), { relative: 1e-5, absolute: 1e-37 }, `[${sizes}]`);
  }
  const special = [
    [1, -Infinity, 2, 3],
    [Infinity, 1, 2, 3],
    [-Infinity, -Infinity, -Infinity, -Infinity],
    [1, Number.NaN, 2, 3],
    [-1000, 0, -86, -88],
  ];
  const result = runKernel('softmax', { x: f32([4, 5], (n) => special.flat()[n] as number) });
  const want = special.flatMap(reference);
  const flushed = want.map((value, n) => (n === 19 ? 0 : value));
  const nan = [Number.NaN, Number.NaN, Number.NaN, Number.NaN];
  flushed.splice(4, 4, ...nan);
  close(result.values('y'), flushed, { relative: 1e-5, absolute: 1e-37 }, 'special rows');
});

test('softmax: a row that does not fit into local memory is refused, and says where', () => {
  assert.throws(
    () => runKernel('softmax', { x: f32([20481], ordinary) }),
    /exceeds the 81920 bytes of vector local memory/,
  );
});

test('exp: relative error below 5e-7 between its limits, which are exact', () => {
  for (const sizes of shapes) {
    const result = runKernel('exp', { x: f32(sizes, (n) => ordinary(n) * 21.8) }, { cores: 5 });
    close(result.values('y'), result.values('x').map(Math.exp), { relative: 5e-7, absolute: 0 }, `[${sizes}]`);
  }
  const edges = [0, -0, 1e-40, -1e-9, 88.722, 88.73, Infinity, -87.336, -87.337, -Infinity, Number.NaN, -1e30, 1e30];
  const got = runKernel('exp', { x: f32([edges.length], (n) => edges[n] as number) }).values('y');
  equal(got.slice(5, 7), [Infinity, Infinity], 'above');
  equal(got.slice(8), [0, 0, Number.NaN, 0, Infinity], 'below, NaN');
  close(
    [...got.slice(0, 5), got[7] as number],
    [1, 1, 1, 1, Math.exp(fround(88.722)), Math.exp(fround(-87.336))],
    {
      relative: 5e-7,
      absolute: 0,
    },
    'edges',
  );
});

test('cast-bf16-f32: exact, denormals zero', () => {
  for (const sizes of shapes) {
    const result = runKernel('cast-bf16-f32', { x: { type: 'bf16', sizes, value: awkward } }, { cores: 6 });
    equal(result.values('y'), result.values('x').map(flush), `[${sizes}]`);
  }
});

test('cast-f32-bf16: to the nearest, halves to even', () => {
  const nearest = (x: number): number => {
    if (!Number.isFinite(x)) return x;
    const bits = new Uint32Array(new Float32Array([x]).buffer)[0] as number;
    const rounded = (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000;
    return new Float32Array(new Uint32Array([rounded]).buffer)[0] as number;
  };
  for (const sizes of shapes) {
    const value = (n: number) => (n % 7 === 3 ? 1 + (2 * n + 1) / 256 : awkward(n));
    const result = runKernel('cast-f32-bf16', { x: f32(sizes, value) }, { cores: 7 });
    equal(
      result.values('y'),
      result.values('x').map((x) => flush(nearest(flush(x)))),
      `[${sizes}]`,
    );
  }
});

test('matmul: within the rounding of k products and sums', () => {
  for (const [m, k, n] of [
    [1, 1, 1],
    [4, 64, 64],
    [5, 33, 70],
    [13, 7, 200],
    [3, 100, 65],
  ] as const) {
    for (const compile of [false, true]) {
      const result = runKernel(
        'matmul',
        { a: f32([k, m], ordinary), b: f32([n, k], (i) => ordinary(i + 17)) },
        { cores: ((m + n) % 8) + 1, compile },
      );
      const [a, b] = [result.values('a'), result.values('b')];
      const want = Array.from({ length: n * m }, (_, i) => {
        const [column, row] = [i % n, Math.floor(i / n)];
        let sum = 0;
        for (let j = 0; j < k; j++) sum += (a[row * k + j] as number) * (b[j * n + column] as number);
        return sum;
      });
      close(result.values('c'), want, { relative: 0, absolute: k * 16 * 2 ** -24 * k }, `${m}x${k}x${n}`);
    }
  }
});

test('gather: rows by index; an index out of range gives padding', () => {
  for (const [n, r, m] of [
    [1, 1, 1],
    [64, 10, 5],
    [130, 7, 20],
    [65, 3, 64],
  ] as const) {
    const index = (j: number) => (j % 6 === 5 ? (j % 4 === 1 ? -1 : r) : (j * 5) % r);
    const result = runKernel(
      'gather',
      { x: f32([n, r], ordinary), index: { type: 'i32', sizes: [m], value: index } },
      { cores: (m % 8) + 1 },
    );
    const x = result.values('x');
    const want = Array.from({ length: n * m }, (_, i) => {
      const row = index(Math.floor(i / n));
      return row >= 0 && row < r ? (x[row * n + (i % n)] as number) : 0;
    });
    equal(result.values('y'), want, `${n} of ${r}, ${m}`);
  }
});

test('memory-clear: leaves no bit in registers and local memories, whatever their size', () => {
  for (const small of [false, true]) {
    const stand = new Stand({ program: program('memory-clear'), tensors: [], scalars: [] });
    if (small) stand.config.write(0x7b8, 1);
    stand.start({ offset: [3, 3, 3, 3, 3], size: [9, 9, 9, 9, 9] });
    const { state } = stand.core;
    const vlm = small ? layout.SMALL_VLM_BYTES : layout.VLM_BYTES;
    state.bytes.fill(0xaa, layout.VRF, layout.LFSR);
    state.bytes.fill(0xaa, layout.VPRF + layout.PREDICATE_BYTES, layout.ADRF);
    state.bytes.fill(1, layout.SPRF + 4, layout.SCALAR_LFSR);
    state.bytes.fill(0xaa, layout.SLM, layout.VLM + layout.VLM_BYTES);
    stand.finish(100_000);
    const zero = (from: number, to: number, what: string) =>
      assert.ok(
        state.bytes.subarray(from, to).every((byte) => byte === 0),
        what,
      );
    zero(layout.VRF, layout.LFSR, 'vectors');
    zero(layout.VPRF + layout.PREDICATE_BYTES, layout.SRF, 'vector predicates');
    zero(layout.SRF, layout.SRF + layout.SCALARS * 4, 'scalars');
    for (let n = 0; n < layout.INDEX_REGISTERS; n++) assert.deepEqual(state.index(n), [0, 0, 0, 0, 0], `I${n}`);
    zero(layout.SPRF + 4, layout.SCALAR_LFSR, 'predicates');
    zero(layout.SLM, layout.SLM + layout.SLM_BYTES, 'scalar local memory');
    zero(layout.VLM, layout.VLM + vlm, 'vector local memory');
    if (small) assert.equal(state.bytes[layout.VLM + vlm], 0xaa, "what is the tables' is left alone");
  }
});

test('every kernel assembles without a warning, and says what it computes', () => {
  const names = readdirSync(KERNELS).filter((file) => file.endsWith('.tpc'));
  assert.ok(names.length >= 12);
  for (const file of names) assert.equal(program(file.slice(0, -4)).warnings, undefined, file);
});

test('no kernel relies on when a result arrives: results at once give the same bits', () => {
  for (const file of readdirSync(KERNELS).filter((each) => each !== 'memory-clear.tpc')) {
    const name = path.basename(file, '.tpc');
    const inputs = program(name).interface.tensors.filter((each) => !each.output);
    // Sizes fit all kernels: products of matrices, rows by index, and what is done element by element.
    const size = name === 'matmul' || name === 'gather' ? [65, 65] : [300, 3];
    const tensors = Object.fromEntries(
      inputs.map((each, k) => [
        each.name,
        each.type === 'i32'
          ? { type: 'i32' as const, sizes: [65], value: (n: number) => n }
          : { type: each.type ?? 'f32', sizes: size, value: (n: number) => awkward(n + k) },
      ]),
    );
    const output = program(name).interface.tensors.find((each) => each.output)?.name as string;
    const [exposed, immediate] = (['exposed', 'immediate'] as const).map((latency) =>
      runKernel(name, tensors, { scalars: [0x3f000000], latency }).bytes(output),
    );
    assert.deepEqual(immediate, exposed, name);
  }
});

test('a part without members leaves every tensor as it is', () => {
  for (const size of [
    [0, 1, 1, 1, 1],
    [1, 0, 1, 1, 1],
    [1, 1, 1, 0, 1],
    [1, 1, 1, 1, 0],
  ]) {
    for (const name of ['copy', 'relu', 'exp', 'max-rows', 'softmax']) {
      if (size[0] === 0 && (name === 'max-rows' || name === 'softmax')) continue;
      const tensor = { type: 'f32' as const, sizes: [64], padding: 0 };
      const tensors = program(name).interface.tensors.map((each) => ({ ...tensor, name: each.name }));
      const stand = new Stand({ program: program(name), tensors, scalars: [] });
      for (const elements of stand.elements) elements.fill(0x40);
      stand.start({ offset: [0, 0, 0, 0, 0], size });
      stand.finish(10_000);
      for (const elements of stand.elements)
        assert.ok(
          elements.every((byte) => byte === 0x40),
          `${name} ${size}`,
        );
    }
  }
});

test('parts of an index space are disjoint and cover it', () => {
  for (const size of [
    [1, 1, 1, 1, 1],
    [7, 1, 1, 1, 1],
    [3, 5, 1, 1, 2],
    [2, 2, 2, 1, 1],
    [1, 1, 1, 1, 9],
  ]) {
    for (let cores = 1; cores <= 8; cores++) {
      const parts = cutIndexSpace(size, cores);
      assert.ok(parts.length <= cores);
      const seen = new Set<string>();
      for (const part of parts) {
        const count = product(part.size);
        for (let n = 0; n < count; n++) {
          let rest = n;
          const member = part.size.map((length, d) => {
            const at = (part.offset[d] as number) + (rest % length);
            rest = Math.floor(rest / length);
            return at;
          });
          const key = member.join();
          assert.ok(!seen.has(key), `${key} twice`);
          seen.add(key);
        }
      }
      assert.equal(seen.size, product(size), `${size} on ${cores}`);
    }
  }
});

test('on any shape and number of cores, compiled or not, a kernel gives the same bits', () => {
  const names = ['add', 'mac', 'relu', 'relu-gradient', 'leaky-relu', 'exp', 'max-rows', 'softmax', 'copy'];
  const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 4 });
  fc.assert(
    fc.property(
      fc.constantFrom(...names),
      fc.integer({ min: 1, max: 600 }),
      sizes.filter((rest) => product(rest) <= 30),
      fc.integer({ min: 1, max: 8 }),
      fc.boolean(),
      (name, width, rest, cores, strange) => {
        const inputs = program(name).interface.tensors.filter((each) => !each.output);
        const tensors = Object.fromEntries(
          inputs.map((each, k) => [
            each.name,
            f32([width, ...rest], (n) => (strange ? awkward(n + k) : ordinary(n + 5 * k))),
          ]),
        );
        const output = program(name).interface.tensors.find((each) => each.output)?.name as string;
        const once = runKernel(name, tensors, { scalars: [0x3f000000] });
        const split = runKernel(name, tensors, { scalars: [0x3f000000], cores, compile: true });
        assert.deepEqual(split.bytes(output), once.bytes(output), `${name} f32[${[width, ...rest]}] on ${cores}`);
      },
    ),
    { seed: seed(), numRuns: 60 },
  );
});
