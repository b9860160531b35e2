/** What a run tells whoever watches it, in the order in which it happens: one JSON line per event where it crosses a wire. */

export type Status = 'passed' | 'failed' | 'skipped';

export interface Failure {
  readonly message: string;
  readonly stack?: string;
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
}

export type RunEvent =
  | {
      readonly type: 'plan';
      readonly tests: readonly { readonly id: string; readonly suite: string; readonly name: string }[];
    }
  /** `timeout`: seconds the test may take. */
  | { readonly type: 'start'; readonly id: string; readonly timeout: number }
  | { readonly type: 'result'; readonly result: Result }
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

export function totals(results: readonly Result[]): Totals {
  const sums: Totals = { passed: 0, failed: 0, skipped: 0 };
  for (const result of results) sums[result.status]++;
  return sums;
}
