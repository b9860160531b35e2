import type { Explanation } from './agreement/recorder.ts';
import type { Result } from './events.ts';

/** What a device model refused to do. */
export interface Refusal {
  readonly device: string;
  readonly message: string;
}

/** A test during which a device model refused something has failed, unless the test has declared it. */
export function judge(result: Result, refusals: readonly Refusal[]): Result {
  const expected = (result.expects ?? []).map((source) => new RegExp(source));
  const refused = refusals
    .filter(({ message }) => !expected.some((pattern) => pattern.test(message)))
    .map(({ device, message }) => `${device}: ${message}`);
  if (refused.length === 0) return result;
  const messages = [...result.messages, ...refused];
  if (result.status === 'failed') return { ...result, messages };
  const failure = { message: `the device model refused:\n  ${refused.join('\n  ')}` };
  return { ...result, status: 'failed', messages, failure };
}

/** The test itself saw nothing wrong, and so has not said what it did. */
export function failsAfterAll(reported: Result, judged: Result): boolean {
  return reported.status !== 'failed' && judged.status === 'failed';
}

/** With what it did last. */
export function explained(result: Result, explanation: Explanation): Result {
  return { ...result, failure: { message: '', ...result.failure, ...explanation } };
}
