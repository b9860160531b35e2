/** What runs have shown of the interface: by operation, on each target. */

import { UserError } from '../../sim/errors.ts';
import { type FileCoverage, mergeCode } from './code.ts';
import { operationDoc, type Point, points } from './points.ts';
import type { Results, Run } from './results.ts';

/** Where runs took place. */
export interface TargetSummary {
  /** Short: `model`, `vm 7.3.4`. */
  readonly name: string;
  readonly system: string;
  /** Names, with commas. */
  readonly machine: string;
  /** The newest first. */
  readonly runs: readonly Run[];
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** What of the driver's code ran; empty where that was not asked for. */
  readonly code: readonly FileCoverage[];
}

/**
 * - `reached`: by a test that passed
 * - `failed`: only by tests that failed
 * - `beyond`: not reached, and a Gaudi1 in good order does not show it
 */
export type PointState = 'reached' | 'failed' | 'not' | 'beyond';

export interface PointSummary {
  readonly point: Point;
  /** On each target. */
  readonly states: readonly PointState[];
  /** A test that reached it, on each target. */
  readonly tests: readonly (string | undefined)[];
}

/**
 * - `exercised`, `refused`: all points that can be reached are; of an operation that Gaudi1 does not have, its refusal
 * - `partly`: some are
 * - `not`: none is
 */
export type Verdict = 'exercised' | 'refused' | 'partly' | 'not';

export interface OperationSummary {
  readonly call: string;
  /** Empty for what all operations of the call share. */
  readonly operation: string;
  readonly doc: string;
  readonly points: readonly PointSummary[];
  /** On each target. */
  readonly verdicts: readonly {
    readonly verdict: Verdict;
    readonly reached: number;
    readonly needed: number;
  }[];
}

export interface Summary {
  readonly targets: readonly TargetSummary[];
  readonly operations: readonly OperationSummary[];
}

/**
 * The runs that count: of each target (with its kernel) the last run of everything, which may have been made in
 * shards, and what was run in part since, with one version of this program.
 */
export function lastRuns(runs: readonly Run[]): readonly Run[] {
  const chosen: Run[] = [];
  for (const of of Map.groupBy(runs, place).values()) {
    const newest = of[0] as Run;
    const shards = new Map<string, Set<number>>();
    for (const run of of) {
      if (run.version !== newest.version) break;
      chosen.push(run);
      if (!run.whole) continue;
      const key = `${run.shards} ${run.seed}`;
      const seen = shards.get(key) ?? new Set();
      shards.set(key, seen.add(run.shard));
      if (seen.size === run.shards) break;
    }
  }
  return chosen;
}

/** Why these runs do not show that all is well, a line each: tests that failed, runs that were cut off, parts that are missing. */
export function complaints(results: Results, runs: readonly Run[]): readonly string[] {
  const lines: string[] = [];
  for (const run of runs) {
    const tests = results.tests(run);
    const failed = tests.filter(({ status }) => status === 'failed').map(({ id }) => id);
    const more = failed.length > 3 ? `, and ${failed.length - 3} more` : '';
    if (failed.length > 0)
      lines.push(`run ${run.id}: ${failed.length} failed: ${failed.slice(0, 3).join('; ')}${more}`);
    if (run.seconds === undefined) lines.push(`run ${run.id} was cut off`);
    else if (!tests.some(({ status }) => status === 'passed')) lines.push(`run ${run.id}: no test has passed`);
  }
  const sharded = runs.filter(({ shards }) => shards > 1);
  const key = (run: Run) => JSON.stringify([place(run), run.seed, run.shards, run.whole]);
  for (const parts of Map.groupBy(sharded, key).values()) {
    const [{ target, system, shards }] = parts as [Run];
    const there = new Set(parts.map(({ shard }) => shard));
    const missing = Array.from({ length: shards }, (_, i) => i + 1).filter((shard) => !there.has(shard));
    if (missing.length > 0)
      lines.push(`${target}, ${system}: of ${shards} parts these are missing: ${missing.join(', ')}`);
  }
  return lines;
}

/** Of two targets that were compared, the points are those of the second, which is the kernel. */
const kindOf = ({ target }: Run) => target.split(',').at(-1) as string;

/** Release of the kernel, where one ran. */
const kernelOf = (run: Run) => (kindOf(run) === 'model' ? undefined : /\d+\.\d+[\w.+~-]*/.exec(run.system)?.[0]);

/** What says which drivers of the user's ran (src/machine/vm/given-drivers.ts): runs with different ones are not of one thing. */
const driversOf = ({ system }: Run) =>
  [...system.matchAll(/\bown driver .*? \(([0-9a-f]{8})\)/g)].map(([, key]) => key).join(', ');

/** A target with its kernel and drivers. Its machines count together, because each suite may have one of its own. */
const place = (run: Run) => JSON.stringify([kindOf(run), kernelOf(run), driversOf(run)]);

/**
 * Runs as one names them: a run by its id; or those that count of `model`, of a kernel by the beginning of its release, or of a
 * driver of the user's by that of its key.
 * @throws UserError when there is none, or the name is that of several
 */
export function runsNamed(results: Results, name: string): readonly Run[] {
  const runs = results.runs();
  if (name === 'last' || runs.some(({ id }) => id.startsWith(name))) return [results.run(name)];
  const given = runs.filter((run) => driversOf(run).startsWith(name));
  // a kernel's own driver, unless another is named
  const stock = runs.filter((run) => driversOf(run) === '' && (kernelOf(run) ?? kindOf(run)).startsWith(name));
  const chosen = lastRuns(name !== '' && given.length > 0 ? given : stock);
  const places = [...new Set(chosen.map((run) => kernelOf(run) ?? kindOf(run)))];
  if (places.length > 1)
    throw new UserError(`there are runs of ${places.join(' and of ')}: which is meant by "${name}"?`);
  if (chosen.length === 0) throw new UserError(`no run "${name}", nor one of such a kernel: see "sagrada history"`);
  return chosen;
}

/** @throws UserError when the file cannot be read */
export function summarise(results: Results, runs: readonly Run[]): Summary {
  const byPlace = [...Map.groupBy(runs, place).values()];
  const reached = byPlace.map((of) => reachedIn(results, of, 'passed'));
  const failed = byPlace.map((of) => reachedIn(results, of, 'failed'));
  const summaryOf = (point: Point): PointSummary => ({
    point,
    states: byPlace.map((_, i) => {
      if (reached[i]?.has(point.id)) return 'reached';
      if (failed[i]?.has(point.id)) return 'failed';
      return point.beyond === undefined ? 'not' : 'beyond';
    }),
    tests: byPlace.map((_, i) => reached[i]?.get(point.id) ?? failed[i]?.get(point.id)),
  });
  const operations = [...Map.groupBy(points, ({ call, operation }) => `${call} ${operation}`).values()].map((list) => {
    const [{ call, operation }] = list as [Point];
    const summaries = list.map(summaryOf);
    return {
      call,
      operation,
      doc: operationDoc(call, operation),
      points: summaries,
      verdicts: byPlace.map((_, i) => verdictOf(summaries, i)),
    };
  });
  return { targets: byPlace.map((of) => targetOf(results, of)), operations };
}

function verdictOf(summaries: readonly PointSummary[], target: number): OperationSummary['verdicts'][number] {
  const states = summaries.map(({ states }) => states[target]);
  const reached = states.filter((state) => state === 'reached').length;
  const needed = states.filter((state) => state !== 'beyond').length;
  const refusal = summaries.some(({ point }) => point.kind === 'refusal');
  if (reached === needed) return { verdict: refusal ? 'refused' : 'exercised', reached, needed };
  return { verdict: reached === 0 ? 'not' : 'partly', reached, needed };
}

function targetOf(results: Results, runs: readonly Run[]): TargetSummary {
  const [newest] = runs as [Run];
  // of a test that was run more than once the newest counts
  const tests = new Map(runs.toReversed().flatMap((run) => results.tests(run).map(({ id, status }) => [id, status])));
  const count = (status: string) => [...tests.values()].filter((one) => one === status).length;
  const kernel = kernelOf(newest);
  const drivers = driversOf(newest);
  return {
    name: kernel === undefined ? kindOf(newest) : `${kindOf(newest)} ${kernel}${drivers && ` with driver ${drivers}`}`,
    system: newest.system.replace(/^the model of the driver in this process and /, ''),
    machine: [...new Set(runs.map(({ machine }) => machine))].toSorted().join(', '),
    runs,
    passed: count('passed'),
    failed: count('failed'),
    skipped: count('skipped'),
    code: mergeCode(runs.map((run) => results.code(run))),
  };
}

/** By point, a test that reached it. */
function reachedIn(results: Results, runs: readonly Run[], status: 'passed' | 'failed'): ReadonlyMap<string, string> {
  return new Map(runs.flatMap((run) => results.reached(run, status).map(({ point, test }) => [point, test] as const)));
}

/** Operations of the interface, and flags of them: how many are shown (or shown refused) on a target, of how many. */
export function operationsAndFlags({ operations }: Summary, target: number): { shown: number; all: number } {
  let shown = 0;
  let all = 0;
  for (const { points: list } of operations) {
    for (const { point, states } of list) {
      const counts = point.kind === 'success' || point.kind === 'refusal' || point.kind === 'flag';
      if (!counts || point.call === 'FILE' || point.call === 'DMABUF') continue;
      all++;
      if (states[target] === 'reached') shown++;
    }
  }
  return { shown, all };
}
