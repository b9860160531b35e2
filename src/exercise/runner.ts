/** Runs tests one after the other on a target, each with a context of its own, and tells what happens. */

import { setTimeout } from 'node:timers/promises';
import { Device } from '../runtime/device.ts';
import { Random } from '../sim/random.ts';
import { type Explanation, Recorder } from './agreement/recorder.ts';
import { CoverageRecorder } from './coverage/recorder.ts';
import type { Result, RunEvent, Step } from './events.ts';
import { divide } from './needs.ts';
import { noise } from './noise.ts';
import { type Counts, remains } from './remains.ts';
import type { LogLine, Suite, Target, Test, TestContext } from './suite.ts';

export interface Selection {
  /** Suite names; empty: all. */
  readonly suites: readonly string[];
  /** Tests whose `suite: name` matches. */
  readonly grep?: RegExp;
  /** Exactly these tests; used to go on after a restart. */
  readonly only?: readonly string[];
}

export interface RunOptions {
  readonly seed: number;
  /** Seconds a test may take when it does not say. */
  readonly timeout: number;
  /** Keep every call of a test in its result. */
  readonly trace?: boolean;
  /** How many times as long as usual everything may take, on a system that is slow; default 1. */
  readonly slowdown?: number;
}

export function select(suites: readonly Suite[], selection: Selection): Test[] {
  return suites
    .filter((s) => selection.suites.length === 0 || selection.suites.includes(s.name))
    .flatMap((s) => s.tests)
    .filter((t) => selection.grep === undefined || selection.grep.test(t.id))
    .filter((t) => selection.only === undefined || selection.only.includes(t.id));
}

export async function runTests(
  tests: readonly Test[],
  target: Target,
  options: RunOptions,
  emit: (event: RunEvent) => void,
  /** Called after each result, with what explains a failure; the next test begins when it is settled. */
  gate: (explain: () => Explanation) => void | Promise<void> = () => {},
): Promise<void> {
  const coverage = new CoverageRecorder(target.driver);
  const recorder = new Recorder(coverage.driver, options.trace);
  target.observe?.((text) => recorder.note(text));
  const { run, leftOut } = divide(tests, target.driver);
  const planned = run.map(({ id, suite, name }) => ({ id, suite, name }));
  emit({ type: 'plan', tests: planned, ...(leftOut.length > 0 ? { leftOut } : {}) });
  target.messages();
  for (const test of run) {
    emit({ type: 'start', id: test.id, timeout: secondsFor(test, options) });
    emit({ type: 'result', result: await runTest(test, target, recorder, coverage, options) });
    await gate(() => recorder.explain());
  }
  emit({ type: 'end' });
}

function secondsFor(test: Test, { timeout, slowdown = 1 }: RunOptions): number {
  return (test.options.timeout ?? timeout) * slowdown;
}

const WARNING = 4;

function isComplaint({ level, text }: LogLine): boolean {
  return level <= WARNING && !noise.some((pattern) => pattern.test(text));
}

async function runTest(
  test: Test,
  target: Target,
  recorder: Recorder,
  coverage: CoverageRecorder,
  options: RunOptions,
): Promise<Result> {
  const base = { id: test.id, suite: test.suite, name: test.name };
  const needed = test.options.devices ?? 1;
  if (target.devices < needed) {
    const reason = `needs ${needed} ${needed === 1 ? 'card' : 'cards'}, this machine has ${target.devices}`;
    return { ...base, status: 'skipped', ms: 0, reason, messages: [] };
  }
  const expected: RegExp[] = [];
  const steps: Step[] = [];
  const begin = performance.now();
  let failure: unknown;
  const before = target.counts?.();
  recorder.begin();
  coverage.begin();
  try {
    await runBody(test, target, recorder, options, expected, steps);
    if (before) await nothingRemains(target, before);
  } catch (error) {
    failure = error ?? new Error('the test threw nothing that can be shown');
  }
  const points = coverage.points();
  const logged = target.messages().filter(isComplaint);
  const surprising = logged.filter((line) => !expected.some((pattern) => pattern.test(line.text)));
  if (failure === undefined && surprising.length > 0) failure = new Error(complaint(surprising));
  const result = {
    ...base,
    ms: performance.now() - begin,
    messages: logged.map((line) => line.text),
    ...(points.length > 0 ? { points } : {}),
    ...(options.trace && steps.length > 0 ? { steps } : {}),
    ...(options.trace && steps.length === 0 ? { trace: recorder.trace } : {}),
    ...(expected.length > 0 ? { expects: expected.map((pattern) => pattern.source) } : {}),
  };
  if (failure === undefined) return { ...result, status: 'passed' };
  const error = failure instanceof Error ? failure : new Error(String(failure));
  return {
    ...result,
    status: 'failed',
    failure: {
      message: error.message,
      ...(error.stack === undefined ? {} : { stack: error.stack }),
      ...recorder.explain(),
    },
  };
}

/** Kernels give some of it up later: milliseconds for which that is waited for, and between two looks. */
const GIVING_UP = { patience: 30_000, interval: 50 };

/** @throws Error where there is more than before the test, for as long as that is waited for */
async function nothingRemains(target: Target, before: Counts): Promise<void> {
  const end = performance.now() + GIVING_UP.patience;
  for (;;) {
    const left = remains(before, target.counts?.() ?? before);
    if (left.length === 0) return;
    if (performance.now() > end) throw new Error(`the test has left behind in the kernel: ${left.join(', ')}`);
    await setTimeout(GIVING_UP.interval);
  }
}

function complaint(lines: readonly LogLine[]): string {
  return `the driver logged what the test does not expect:\n${lines.map((line) => `  ${line.text}`).join('\n')}`;
}

async function runBody(
  test: Test,
  target: Target,
  recorder: Recorder,
  options: RunOptions,
  expected: RegExp[],
  steps: Step[],
): Promise<void> {
  const { driver } = recorder;
  const seconds = secondsFor(test, options);
  const abort = new AbortController();
  using resources = new DisposableStack();
  let first: Device | undefined;
  const context: TestContext = {
    target: { ...target, driver, messages: () => target.messages() },
    get device() {
      first ??= context.open(0);
      return first;
    },
    open: (index = 0) => resources.use(Device.open({ driver, index })),
    use: (resource) => resources.use(resource),
    random: new Random(hash(`${options.seed} ${test.id}`)),
    signal: abort.signal,
    step: (text, outcome) => void steps.push({ text, outcome }),
    expectMessages: (...patterns) => void expected.push(...patterns),
  };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = globalThis.setTimeout(() => {
      const error = new Error(`not done after ${seconds} s`);
      abort.abort(error);
      reject(error);
    }, seconds * 1000);
  });
  target.driver.interruptAfter?.(seconds * 1000);
  try {
    await Promise.race([test.run(context), late]);
  } catch (error) {
    recorder.freeze();
    throw error;
  } finally {
    clearTimeout(timer);
    target.driver.interruptAfter?.();
  }
}

/** FNV-1a, so that each test has its own random numbers whatever else is selected. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}
