import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { VaRange } from '../../../src/driver/model/va-range.ts';
import { seed } from '../../seed.ts';

const PAGE = 4096;
const HUGE = 512 * PAGE;
const START = 2 ** 48;
const PAGES = 4096;
const END = START + PAGES * PAGE - 1;

const range = (log: (text: string) => void = () => {}) => new VaRange(START, END, PAGE, log);
const any = { hint: 0, force: false, align: PAGE };

describe('device addresses', () => {
  it('are refused when there is no room, and the reason is told', () => {
    const told: string[] = [];
    const free = range((text) => told.push(text));
    assert.equal(free.take({ ...any, size: (PAGES + 1) * PAGE }), undefined);
    assert.match(told.join(), /no available va block for size/);
    assert.equal(free.take({ ...any, size: PAGES * PAGE }), START);
    assert.equal(free.take({ ...any, size: PAGE }), undefined);
  });

  it('that are forced are given as they are or not at all', () => {
    const told: string[] = [];
    const free = range((text) => told.push(text));
    const hint = START + 100 * PAGE;
    const forced = { size: PAGE, hint, force: true, align: PAGE };
    assert.equal(free.take({ ...forced, hint: hint + 1 }), undefined);
    assert.equal(free.take(forced), hint);
    assert.equal(free.take(forced), undefined);
    assert.equal(free.take({ ...forced, hint: START - PAGE }), undefined);
    assert.equal(told.filter((text) => /Hint address .* (could not|cannot) be respected/.test(text)).length, 1 + 2);
  });

  it('that are wished for and taken are others', () => {
    const free = range();
    const hint = START + 100 * PAGE;
    assert.equal(free.take({ ...any, size: PAGE, hint }), hint);
    assert.equal(free.take({ ...any, size: PAGE, hint }), START + 101 * PAGE === hint ? hint : START);
  });

  it('never overlap, are aligned, and are one block again when all are given back', () => {
    const request = fc.record({
      size: fc.integer({ min: 1, max: 700 }).map((pages) => pages * PAGE),
      hint: fc.integer({ min: -10, max: PAGES + 10 }).map((page) => (page <= 0 ? 0 : START + page * PAGE)),
      force: fc.boolean(),
      align: fc.constantFrom(PAGE, HUGE),
      /** Which of those that are held is given back first; none where it is not that many. */
      give: fc.nat({ max: 20 }),
    });
    fc.assert(
      fc.property(fc.array(request, { maxLength: 60 }), (requests) => {
        const free = range();
        const held: { at: number; size: number }[] = [];
        for (const { give, ...asked } of requests) {
          const back = held[give];
          if (back) {
            held.splice(give, 1);
            free.give(back.at, back.size);
          }
          const at = free.take(asked);
          if (at === undefined) continue;
          assert.equal(at % asked.align, 0);
          assert.ok(at >= START && at + asked.size - 1 <= END);
          if (asked.force) assert.equal(at, asked.hint);
          for (const other of held) assert.ok(at + asked.size <= other.at || other.at + other.size <= at);
          held.push({ at, size: asked.size });
        }
        for (const { at, size } of held) free.give(at, size);
        assert.equal(free.take({ ...any, size: PAGES * PAGE }), START);
      }),
      { seed: seed(), numRuns: 300 },
    );
  });
});
