/** What a kernel says of itself, arrays in files, and shapes: bad input first. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { UserError } from '../../src/sim/errors.ts';
import { elementBits, fillElements, readElement } from '../../src/tpc/run/elements.ts';
import { bindShapes, indexSpaceOf, parseInterface, type Shape } from '../../src/tpc/run/interface.ts';
import { readNpy, writeNpy } from '../../src/tpc/run/npy.ts';
import { loadProgram } from '../../src/tpc/run/program.ts';
import { type TensorType, tensorTypes } from '../../src/tpc/tensor.ts';
import { seed } from '../seed.ts';

test('section .interface: a line that means nothing is refused, and quoted', () => {
  for (const line of [
    'in',
    'in x',
    'in x f32',
    'in x f99 n',
    'in x f32 N!',
    'scalar a bf16',
    'index y 0',
    'index y -1',
    'inn x f32 n',
    'index y 64',
  ]) {
    assert.throws(() => parseInterface(line), UserError, line);
  }
});

test('section .interface of any text: a result or a UserError', () => {
  const word = fc.constantFrom(
    'in',
    'out',
    'scalar',
    'index',
    'x',
    'f32',
    'T',
    '*',
    '-',
    '3',
    'n',
    '\n',
    '9b',
    '\u0000',
  );
  fc.assert(
    fc.property(fc.array(word), (words) => {
      try {
        parseInterface(words.join(' '));
      } catch (error) {
        assert.ok(error instanceof UserError, String(error));
      }
    }),
    { seed: seed() },
  );
});

const f32 = (...sizes: number[]): Shape => ({ type: 'f32', sizes });

test('shapes: names mean the same number, * the same rest, T the same type; outputs follow', () => {
  const matmul = parseInterface('in a f32 k m\nin b f32 n k\nout c f32 n m\nindex c 64 4');
  const shapes = bindShapes(
    matmul,
    new Map([
      ['a', f32(3, 5)],
      ['b', f32(70, 3)],
    ]),
  );
  assert.deepEqual(shapes.get('c'), f32(70, 5));
  assert.deepEqual(indexSpaceOf(matmul, shapes), [2, 2, 1, 1, 1]);
  assert.throws(
    () =>
      bindShapes(
        matmul,
        new Map([
          ['a', f32(3, 5)],
          ['b', f32(70, 4)],
        ]),
      ),
    /dimension 1 is 4, and a wants 3/,
  );
  assert.throws(
    () =>
      bindShapes(
        matmul,
        new Map([
          ['a', f32(3, 5, 2)],
          ['b', f32(70, 3)],
        ]),
      ),
    /has 2 dimensions/,
  );
  const rows = parseInterface('in x T n *\nout y T 1 *\nindex y 1 1');
  const bound = bindShapes(rows, new Map<string, Shape>([['x', { type: 'i8', sizes: [9, 2, 3] }]]));
  assert.deepEqual(bound.get('y'), { type: 'i8', sizes: [1, 2, 3] });
  const given = new Map<string, Shape>([
    ['x', f32(9)],
    ['y', { type: 'i8', sizes: [1] }],
  ]);
  assert.throws(() => bindShapes(rows, given), /another type/);
  const open = parseInterface('in x f32 n\nout y f32 m');
  assert.throws(() => bindShapes(open, new Map([['x', f32(9)]])), /sizes of y do not follow/);
  const bytes = parseInterface('in x T *\nindex x 3b');
  assert.throws(() => indexSpaceOf(bytes, new Map([['x', f32(9)]])), /a member of the index space is 3b/);
});

test('.npy: what is cut off, or lies, or is no such file, is a UserError', () => {
  const good = writeNpy(new Uint8Array(24), 'f32', [3, 2]);
  assert.deepEqual(readNpy(good, 'a').sizes, [3, 2]);
  for (let length = 0; length < good.length; length++) {
    assert.throws(() => readNpy(good.subarray(0, length), 'a'), UserError, `${length} bytes`);
  }
  const text = Buffer.from(good).toString('latin1');
  for (const [from, to] of [
    ['<f4', '>f4'],
    ['(2, 3)', '(2,-3)'],
    ['(2, 3)', '(9, 9)'],
    ['descr', 'dexcr'],
  ] as const) {
    assert.throws(() => readNpy(Buffer.from(text.replace(from, to), 'latin1'), 'a'), UserError, to);
  }
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), (at, value) => {
      try {
        const { sizes, value: of } = readNpy(good.with(at, value), 'a');
        for (let n = 0; n < sizes.reduce((p, s) => p * s, 1); n++) of(n);
      } catch (error) {
        assert.ok(error instanceof UserError, String(error));
      }
    }),
    { seed: seed() },
  );
});

test('.npy: what is written is read again, of every type and shape', () => {
  const types = fc.constantFrom(...tensorTypes);
  fc.assert(
    fc.property(types, fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 5 }), (type, sizes) => {
      const count = sizes.reduce((product, size) => product * size, 1);
      const bytes = new Uint8Array(count * 4);
      fillElements(bytes, type, count, (n) => n - 20);
      const array = readNpy(writeNpy(bytes, type, sizes), 'a');
      assert.deepEqual(array.sizes, sizes);
      for (let n = 0; n < count; n++) assert.equal(array.value(n), readElement(bytes, type, n));
    }),
    { seed: seed() },
  );
});

test('elements: rounded to nearest, integers cut and saturated, NaN as 0', () => {
  const stored = (type: TensorType, value: number) => {
    const bytes = new Uint8Array(4);
    fillElements(bytes, type, 1, () => value);
    return readElement(bytes, type, 0);
  };
  const cases: readonly (readonly [TensorType, number, number])[] = [
    ['i8', 200, 127],
    ['i8', -200, -128],
    ['u8', -1, 0],
    ['u16', 65535.9, 65535],
    ['i32', 2 ** 40, 2 ** 31 - 1],
    ['u32', Infinity, 2 ** 32 - 1],
    ['i16', -1.9, -1],
    ['i16', Number.NaN, 0],
    ['bf16', 1 + 3 / 256, 1 + 2 / 128],
    ['bf16', -Infinity, -Infinity],
    ['f32', 0.1, Math.fround(0.1)],
  ];
  for (const [type, value, want] of cases) assert.equal(stored(type, value), want, `${value} as ${type}`);
  assert.equal(elementBits('bf16', Number.NaN), 0x7fff);
});

test('a kernel of any bytes: a program or a UserError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, elf) => {
      try {
        loadProgram(elf ? Uint8Array.from([0x7f, 0x45, 0x4c, 0x46, ...bytes]) : bytes, 'any');
      } catch (error) {
        assert.ok(error instanceof UserError, String(error));
      }
    }),
    { seed: seed(), numRuns: 300 },
  );
});
