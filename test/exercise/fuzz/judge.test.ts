import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Course } from '../../../src/exercise/fuzz/course.ts';
import { blurred, judge } from '../../../src/exercise/fuzz/judge.ts';

const course = (outcomes: readonly string[], more: Partial<Course> = {}): Course => ({
  steps: outcomes.map((outcome, i) => ({ text: `r${i} = cb_create(r0) {size: ${i}}`, outcome })),
  messages: [],
  alarms: [],
  refusals: [],
  features: [],
  ms: 1,
  ...more,
});
const both = (a: Course, b: Course) =>
  judge(
    [
      { target: 'model', course: a },
      { target: 'vm', course: b },
    ],
    5,
  );

describe('two courses', () => {
  test('that are the same are not suspicious, one alone is compared with nothing', () => {
    assert.deepEqual(both(course(['ok', 'EINVAL']), course(['ok', 'EINVAL'])), []);
    assert.deepEqual(judge([{ target: 'vm', course: course(['ok']) }], 5), []);
  });

  test('differ from the first step that does, and what differs by nature is one finding', () => {
    const [one, ...more] = both(course(['ok', 'ok {seq: 1}', 'ok']), course(['ok', 'ok {seq: 2}', 'EIO']));
    assert.deepEqual(more, []);
    assert.equal(one?.length, 2);
    assert.equal(one.title, 'cb_create: model ok {seq: 1}, vm ok {seq: 2}');
    const [other] = both(course(['ok {seq: 7}']), course(['ok {seq: 99}']));
    assert.equal(other?.about, one.about);
    const [third] = both(course(['ok {seq: 7}']), course(['EINVAL']));
    assert.notEqual(third?.about, one.about);
  });

  test('differ in what the driver logs, wherever the card is', () => {
    const line = (card: string, size: number) => [`habanalabs 0000:0${card}:00.0: CB size ${size} is invalid`];
    assert.deepEqual(both(course(['ok'], { messages: line('1', 5) }), course(['ok'], { messages: line('3', 5) })), []);
    const [one] = both(course(['ok']), course(['ok'], { messages: line('1', 5) }));
    assert.equal(one?.title, 'only vm logged: CARD: CB size 5 is invalid');
    assert.equal(one?.logged, true);
    assert.equal(one?.length, 5);
  });

  test('of which one came to no end are not compared, and that is told', () => {
    const error = { kind: 'hang', message: 'no sign of life in step 1, r1 = cb_create(r0) {size: 1}' } as const;
    const found = both(course(['ok', 'ok', 'EIO']), course(['ok', '(hang)'], { error }));
    assert.deepEqual(
      found.map(({ kind, about, length }) => ({ kind, about, length })),
      [{ kind: 'hang', about: 'vm: hang in cb_create', length: 2 }],
    );
  });
});

test('what makes a finding another one is not an address, a number, or where a card is', () => {
  for (const [a, b] of [
    ['WARNING: CPU: 1 PID: 77 at mm/slub.c:5 kfree+0x12/0x40', 'WARNING: CPU: 0 PID: 8 at mm/slub.c:6 kfree+0x13/0x40'],
    [
      'habanalabs 0000:01:00.0: page fault at ffff888012345678',
      'habanalabs 0000:03:00.0: page fault at ffff88801234abcd',
    ],
  ] as const)
    assert.equal(blurred(a), blurred(b));
  assert.notEqual(blurred('WARNING: at a'), blurred('WARNING: at b'));
});
