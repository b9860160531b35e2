/** What a run tells whoever watches it, in the order in which it happens: one JSON line per event where it crosses a wire. */

import type { Explanation, TraceEntry } from './agreement/recorder.ts';
import type { LeftOut } from './needs.ts';
import type { Moved } from './suite.ts';

export type Status = 'passed' | 'failed' | 'skipped';

export interface Failure {
  readonly message: string;
  readonly stack?: string;
  /** Command buffers of the last submissions, disassembled. */
  readonly programs?: readonly string[];
  /** The last calls and what happened in the devices, oldest first. */
  readonly events?: readonly string[];
}

export interface Step {
  readonly text: string;
  readonly outcome: string;
}

export interface Result {
  readonly id: string;
  readonly suite: string;
  readonly name: string;
  readonly status: Status;
  /** Wall time, milliseconds. */
  readonly ms: number;
  readonly failure?: Failure;
  /** Why it was skipped. */
  readonly reason?: string;
  /** Warnings and errors that the driver logged during the test. */
  readonly messages: readonly string[];
  /** Regular expressions of what the test has declared that driver and device would complain of. */
  readonly expects?: readonly string[];
  /** What the test told of its course. */
  readonly steps?: readonly Step[];
  /** Ids of the points of the interface that it has reached. */
  readonly points?: readonly string[];
  /** What devices have moved during the test. */
  readonly moved?: readonly Moved[];
  /** Every call of the test, where targets are compared. */
  readonly trace?: readonly TraceEntry[];
}

export type RunEvent =
  | {
      readonly type: 'plan';
      readonly tests: readonly { readonly id: string; readonly suite: string; readonly name: string }[];
      /** Selected tests that this machine has not what is needed for. */
      readonly leftOut?: readonly LeftOut[];
    }
  /** `timeout`: seconds the test may take. */
  | { readonly type: 'start'; readonly id: string; readonly timeout: number }
  | { readonly type: 'result'; readonly result: Result }
  /** More about the last result, for who has found that it failed after all. */
  | { readonly type: 'explanation'; readonly explanation: Explanation }
  | { readonly type: 'end' };

/** What a run was, for reports. */
export interface RunInfo {
  readonly target: string;
  readonly machine: string;
  /** E.g. the guest's kernel version. */
  readonly system: string;
  readonly seed: number;
}

export interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

export function totals(results: readonly Pick<Result, 'status'>[]): Totals {
  const sums: Totals = { passed: 0, failed: 0, skipped: 0 };
  for (const result of results) sums[result.status]++;
  return sums;
}
