/** What changed from some runs to others: from one kernel to another, or from one run to the next. */

import { totals } from '../events.ts';
import { mergeCode } from './code.ts';
import type { KeptTest, Results, Run } from './results.ts';

/** What is compared: one run, or several that are the parts of one. */
export interface Side {
  /** The newest first. */
  readonly runs: readonly Run[];
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Points of the interface that tests which passed have reached. */
  readonly points: number;
  /** Functions of the driver that ran, of those there are, where that was taken down (`--coverage`). */
  readonly functions?: { readonly ran: number; readonly all: number };
  readonly lines?: { readonly ran: number; readonly all: number };
  /** All of them together; undefined when one was cut off. */
  readonly seconds?: number;
}

export interface Changes {
  readonly sides: readonly [Side, Side];
  /** Tests that fail now, and did not. */
  readonly broken: readonly KeptTest[];
  /** Tests that pass now, and failed. */
  readonly mended: readonly KeptTest[];
  /** Tests that are skipped now, and were not. */
  readonly skipped: readonly KeptTest[];
  /** Tests that only the first has. */
  readonly gone: readonly string[];
  readonly added: readonly string[];
  /** Points of the interface that only the first has reached. */
  readonly lost: readonly string[];
  readonly gained: readonly string[];
  /** Functions of the driver that ran only in the first, as `file: function`; none unless both have such figures. */
  readonly functionsLost: readonly string[];
  readonly functionsGained: readonly string[];
  /** Tests that take twice as long, or half as long, and differ by more than `NOTICED`; in milliseconds. */
  readonly times: readonly { readonly id: string; readonly before: number; readonly after: number }[];
  /** Tests that ended as before. */
  readonly same: number;
}

/** Milliseconds; shorter differences are chance. */
const NOTICED = 250;

/** @param first runs, the newest first @throws UserError when the file cannot be read */
export function changes(results: Results, first: readonly Run[], second: readonly Run[]): Changes {
  const [a, b] = [kept(results, first), kept(results, second)];
  const both = [...b.tests.values()].flatMap((now) => {
    const was = a.tests.get(now.id);
    return was === undefined ? [] : [{ was, now }];
  });
  const became = (status: KeptTest['status'], before: (status: KeptTest['status']) => boolean) =>
    both.filter(({ was, now }) => now.status === status && before(was.status)).map(({ now }) => now);
  const slower = (before: number, after: number) => after > 2 * before && after - before > NOTICED;
  const only = (one: ReadonlySet<string>, other: ReadonlySet<string>) =>
    [...one].filter((item) => !other.has(item)).sort();
  const counted = a.side.functions !== undefined && b.side.functions !== undefined;
  return {
    sides: [a.side, b.side],
    broken: became('failed', (was) => was !== 'failed'),
    mended: became('passed', (was) => was === 'failed'),
    skipped: became('skipped', (was) => was !== 'skipped'),
    gone: [...a.tests.keys()].filter((id) => !b.tests.has(id)),
    added: [...b.tests.keys()].filter((id) => !a.tests.has(id)),
    lost: only(a.points, b.points),
    gained: only(b.points, a.points),
    functionsLost: counted ? only(a.functions, b.functions) : [],
    functionsGained: counted ? only(b.functions, a.functions) : [],
    times: both
      .filter(({ was, now }) => slower(was.ms, now.ms) || slower(now.ms, was.ms))
      .map(({ was, now }) => ({ id: now.id, before: was.ms, after: now.ms })),
    same: both.filter(({ was, now }) => was.status === now.status).length,
  };
}

/** What is kept of runs, put together; of a test that was run more than once the newest counts. */
function kept(results: Results, runs: readonly Run[]) {
  const tests = new Map(runs.toReversed().flatMap((run) => results.tests(run).map((test) => [test.id, test])));
  const points = new Set(runs.flatMap((run) => results.reached(run, 'passed').map(({ point }) => point)));
  const code = mergeCode(runs.map((run) => results.code(run)));
  const ran = (list: readonly { readonly count: number }[]) => list.filter(({ count }) => count > 0).length;
  const functions = code.flatMap((file) => file.functions.map((one) => ({ ...one, id: `${file.file}: ${one.name}` })));
  const lines = code.flatMap((file) => file.lines);
  const whole = runs.every(({ seconds }) => seconds !== undefined);
  const side: Side = {
    runs,
    ...totals([...tests.values()]),
    points: points.size,
    ...(functions.length > 0 ? { functions: { ran: ran(functions), all: functions.length } } : {}),
    ...(lines.length > 0 ? { lines: { ran: ran(lines), all: lines.length } } : {}),
    ...(whole ? { seconds: runs.reduce((sum, { seconds = 0 }) => sum + seconds, 0) } : {}),
  };
  return { side, tests, points, functions: new Set(functions.filter(({ count }) => count > 0).map(({ id }) => id)) };
}
