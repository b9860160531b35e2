import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { operations } from '../../../src/exercise/agreement/operations.ts';
import { generate, lottery, resourcesOf, type Step } from '../../../src/exercise/agreement/sequences.ts';
import { drop, LONGEST, mutate } from '../../../src/exercise/fuzz/mutate.ts';
import { parseSequence, textOf } from '../../../src/exercise/fuzz/program.ts';
import { Random } from '../../../src/sim/random.ts';
import { seed } from '../../seed.ts';

const number = fc.integer({ min: 0, max: 2 ** 31 });
const sequences = number.map((n) => generate(new Random(n), 5 + (n % 40)));

describe('a sequence as text', () => {
  const wrong: readonly [line: string, says: RegExp][] = [
    ['r0 = open_compute(', /^line 1, "r0 = open_compute\(": .* is expected$/],
    ['r0 = open_computer() {card: 0}', /no operation "open_computer".*open_compute/],
    ['r0 = __proto__()', /no operation/],
    ['cb_info(r1)', /cb_info takes 2: compute, cb/],
    ['dup(r7)', /r7: nothing before it has made that/],
    ['r0 = allocate() {pages: 1}\ndup(r0)', /^line 2, .* r0 is a memory, not a control$/],
    ['r0 = allocate() {pages: -1}', /"pages: -1": name: number is expected/],
    ['r0 = allocate() {pages: 99999999999999999999}', /name: number is expected/],
    ['r0 = unmap(no packets)', /unmap makes nothing/],
    ['make_eventfd()\n'.repeat(1001), /at most 1000 calls/],
  ];
  for (const [text, says] of wrong) {
    test(`that is wrong: ${text.slice(0, 40).split('\n').join(' / ')}`, () => {
      assert.throws(() => parseSequence(text), { name: 'UserError', message: says });
    });
  }

  test('text of anybody is a sequence, or refused in one line', () => {
    const words = fc.constantFrom('r0', ' = ', 'dup', '(', ')', ' {', '}', 'card: ', '1', ',', '\n', 'no control');
    fc.assert(
      fc.property(fc.array(words, { maxLength: 30 }), (parts) => {
        try {
          const text = textOf(parseSequence(parts.join('')));
          assert.equal(textOf(parseSequence(text)), text);
        } catch (error) {
          assert.equal((error as Error).name, 'UserError');
          assert.doesNotMatch((error as Error).message, /\n/);
        }
      }),
      { seed: seed() },
    );
  });

  test('is read as it was written, between comments and empty lines', () => {
    fc.assert(
      fc.property(sequences, (steps) => {
        assert.deepEqual(parseSequence(textOf(steps)), steps);
        assert.deepEqual(parseSequence(`\n// why\n  ${textOf(steps).replaceAll('\n', '\n  ')}\n`), steps);
      }),
      { seed: seed() },
    );
  });
});

/** Every resource was made before, and is of the kind that is taken. */
function check(steps: readonly Step[]): void {
  for (const [index, { operation, takes }] of steps.entries()) {
    const row = operations[operation];
    assert.ok(row);
    assert.equal(takes.length, row.takes.length);
    for (const [i, taken] of takes.entries()) {
      if (taken === undefined) continue;
      assert.ok(taken >= 0 && taken < index, `${operation} takes r${taken} in step ${index}`);
      assert.equal(operations[steps[taken]?.operation ?? '']?.makes, row.takes[i]);
    }
  }
}

describe('a changed sequence', () => {
  test('takes only what steps before have made', () => {
    fc.assert(
      fc.property(sequences, sequences, number, (steps, other, n) => {
        const random = new Random(n);
        let changed: readonly Step[] = steps;
        for (let i = 0; i < 10; i++) {
          changed = mutate(random, changed, { corpus: [other, steps], names: lottery() });
          check(changed);
          assert.ok(changed.length >= 1 && changed.length <= LONGEST);
          assert.equal(changed[0]?.operation, 'open_compute');
        }
      }),
      { seed: seed() },
    );
  });

  test('is another one, mostly', () => {
    const random = new Random(1);
    const source = { corpus: [generate(random)], names: lottery() };
    const steps = generate(random);
    const others = Array.from({ length: 100 }, () => textOf(mutate(random, steps, source)));
    assert.ok(new Set(others).size > 80);
  });

  test('to which only some operations are added', () => {
    const random = new Random(1);
    const names = lottery(['allocate', 'mem_map']);
    const source = { corpus: [], names };
    const steps = Array.from({ length: 50 }, () => mutate(random, generate(random, 10, names), source)).flat();
    const used = new Set(steps.map(({ operation }) => operation));
    assert.deepEqual([...used].sort(), ['allocate', 'mem_map', 'open_compute']);
  });

  test('of which steps are left out takes nothing of what they would have made', () => {
    fc.assert(
      fc.property(sequences, number, (steps, bits) => {
        const gone = (i: number) => ((bits >> (i % 31)) & 1) === 1;
        const left = drop(steps, gone);
        check(left);
        assert.equal(left.length, steps.filter((_, i) => !gone(i)).length);
        assert.ok(resourcesOf(left).length <= resourcesOf(steps).length);
      }),
      { seed: seed() },
    );
  });
});
