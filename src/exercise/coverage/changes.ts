/** What changed from one run to another. */

import type { KeptTest, Results, Run } from './results.ts';

export interface Changes {
  /** Tests that fail now, and did not. */
  readonly broken: readonly KeptTest[];
  readonly mended: readonly KeptTest[];
  /** Tests that only the first has. */
  readonly gone: readonly string[];
  readonly added: readonly string[];
  /** Points of the interface that only the first has reached. */
  readonly lost: readonly string[];
  readonly gained: readonly string[];
  /** Tests that take twice as long, or half as long, and differ by more than `NOTICED`; in milliseconds. */
  readonly times: readonly { readonly id: string; readonly before: number; readonly after: number }[];
  /** Tests that ended as before. */
  readonly same: number;
  /** Of the whole runs. */
  readonly seconds: readonly [number | undefined, number | undefined];
}

/** Milliseconds; shorter differences are chance. */
const NOTICED = 250;

export function changes(results: Results, first: Run, second: Run): Changes {
  const before = new Map(results.tests(first).map((test) => [test.id, test]));
  const after = new Map(results.tests(second).map((test) => [test.id, test]));
  const both = [...after.values()].flatMap((now) => {
    const was = before.get(now.id);
    return was === undefined ? [] : [{ was, now }];
  });
  const reached = (run: Run) => new Set(results.reached(run, 'passed').map(({ point }) => point));
  const [had, has] = [reached(first), reached(second)];
  const slower = (a: number, b: number) => b > 2 * a && b - a > NOTICED;
  return {
    broken: both.filter(({ was, now }) => now.status === 'failed' && was.status !== 'failed').map(({ now }) => now),
    mended: both.filter(({ was, now }) => was.status === 'failed' && now.status === 'passed').map(({ now }) => now),
    gone: [...before.keys()].filter((id) => !after.has(id)),
    added: [...after.keys()].filter((id) => !before.has(id)),
    lost: [...had].filter((point) => !has.has(point)).sort(),
    gained: [...has].filter((point) => !had.has(point)).sort(),
    times: both
      .filter(({ was, now }) => slower(was.ms, now.ms) || slower(now.ms, was.ms))
      .map(({ was, now }) => ({ id: now.id, before: was.ms, after: now.ms })),
    same: both.filter(({ was, now }) => was.status === now.status).length,
    seconds: [first.seconds, second.seconds],
  };
}
