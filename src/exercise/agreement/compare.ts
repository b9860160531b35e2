/** One test on two targets: whatever differs is a failure of its own. */

import type { Result, Step } from '../events.ts';
import { freedoms, normalised, optionalLines } from './differences.ts';
import type { TraceEntry } from './recorder.ts';

/** A result and the name of the target it comes from. */
export interface Side {
  readonly target: string;
  readonly result: Result;
}

/** Differences of one test that are told. */
const TOLD = 8;

/**
 * @returns the result of the second, failed when it is on either, or when they differ in result, outcomes of calls, or
 * messages
 */
export function agreement(first: Side, second: Side): Result {
  const [a, b] = [first.result, second.result];
  const { trace: _, steps: __, ...base } = b;
  if (a.status === 'skipped' && b.status === 'skipped') return base;
  if (a.status === 'skipped' || b.status === 'skipped') {
    const [off, on] = a.status === 'skipped' ? [first, second] : [second, first];
    const message = `${off.target} skips it (${off.result.reason ?? ''}), ${on.target} does not`;
    return { ...base, status: 'failed', failure: { message } };
  }
  const differences = [
    ...differentResults(first, second),
    ...differentSteps(first, second),
    // a system that went down has told nothing of its calls
    ...(a.trace && b.trace ? differentCalls(first, second) : []),
    ...differentMessages(first, second),
  ];
  if (differences.length === 0 && b.status === 'passed') return base;
  const message = [
    ...(differences.length === 0 ? [`failed on both: ${b.failure?.message ?? ''}`] : []),
    ...(differences.length > 0 ? [`${first.target} and ${second.target} differ:`] : []),
    ...differences.slice(0, TOLD).map((text) => `  ${text.replaceAll('\n', '\n  ')}`),
    ...(differences.length > TOLD ? [`  and ${differences.length - TOLD} more`] : []),
  ].join('\n');
  const explained = b.failure ?? a.failure;
  return { ...base, status: 'failed', failure: { ...explained, message } };
}

function differentResults(first: Side, second: Side): string[] {
  const [a, b] = [first, second].map(({ target, result: { status, failure } }) => ({
    status,
    text: `${target} ${status}${failure ? `: ${failure.message}` : ''}`,
  }));
  return a?.status === b?.status ? [] : [`${a?.text}\n${b?.text}`];
}

/** The first step that differs, with those before it. */
export function firstDifference({ result: a }: Side, { result: b }: Side): number | undefined {
  const [x, y] = [a.steps ?? [], b.steps ?? []];
  const length = Math.max(x.length, y.length);
  for (let i = 0; i < length; i++) if (x[i]?.text !== y[i]?.text || x[i]?.outcome !== y[i]?.outcome) return i;
  return undefined;
}

/** Steps before the one that differs that are shown. */
const SHOWN = 40;

function differentSteps(first: Side, second: Side): string[] {
  const at = firstDifference(first, second);
  if (at === undefined) return [];
  const [x, y] = [first.result.steps ?? [], second.result.steps ?? []];
  const before = x.slice(Math.max(0, at - SHOWN), at).map(({ text, outcome }) => `  ${text}: ${outcome}`);
  const told = ({ target }: Side, step: Step | undefined) => `${target} ${step?.outcome ?? 'does not come so far'}`;
  const differing = `> ${(x[at] ?? y[at])?.text}: ${told(first, x[at])}, ${told(second, y[at])}`;
  return [['step by step', ...before, differing].join('\n')];
}

/** Outcomes of one key, with the number of the call in the test. */
type Outcomes = { readonly call: number; readonly outcome: string }[];

function differentCalls(first: Side, second: Side): string[] {
  const [a, b] = [first, second].map(({ result }) => byKey(result.trace ?? []));
  const differences: { call: number; text: string }[] = [];
  for (const key of new Set([...(a?.keys() ?? []), ...(b?.keys() ?? [])])) {
    const rows = freedoms.filter((row) => row.call.test(key.replace(/^\S+: /, '')));
    const gathered = rows.some((row) => row.together);
    const [x, y] = [a, b].map((outcomes) => {
      const all = outcomes?.get(key) ?? [];
      return gathered ? lastAnswer(all) : all;
    }) as [Outcomes, Outcomes];
    const at = Array.from({ length: Math.max(x.length, y.length) }, (_, i) => i).find(
      (i) => x[i]?.outcome !== y[i]?.outcome,
    );
    if (at === undefined) continue;
    if (rows.some((row) => row.optional) && (x.length === 0 || y.length === 0)) continue;
    const call = (x[at] ?? y[at])?.call ?? 0;
    const told = (side: Side, outcomes: Outcomes) => `${side.target} ${outcomes[at]?.outcome ?? 'does not call it'}`;
    differences.push({ call, text: `call ${call}, ${key}: ${told(first, x)}, ${told(second, y)}` });
  }
  return differences.sort((p, q) => p.call - q.call).map(({ text }) => text);
}

/** Refusals, and of answers the last. */
function lastAnswer(outcomes: Outcomes): Outcomes {
  const last = outcomes.findLast(({ outcome }) => outcome.startsWith('ok'));
  return outcomes.filter((each) => each === last || !each.outcome.startsWith('ok'));
}

function byKey(trace: readonly TraceEntry[]): Map<string, Outcomes> {
  const keys = new Map<string, Outcomes>();
  for (const { call, key, outcome } of trace) {
    const outcomes = keys.get(key) ?? [];
    keys.set(key, outcomes);
    outcomes.push({ call, outcome });
  }
  return keys;
}

/** Lines come once however often they are logged: the kernel limits their rate. */
function differentMessages(first: Side, second: Side): string[] {
  const [a, b] = [first, second].map(({ result }) => new Set(result.messages.map(normalised)));
  const only = (side: Side, mine: Set<string> | undefined, other: Set<string> | undefined) =>
    [...(mine ?? [])]
      .filter((line) => !other?.has(line) && !isOptional(line))
      .map((line) => `only ${side.target} logged: ${line}`);
  return [...only(first, a, b), ...only(second, b, a)];
}

function isOptional(line: string): boolean {
  return optionalLines.some(({ pattern }) => pattern.test(line));
}
