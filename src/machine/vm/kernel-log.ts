/** The guest kernel's log: its records, and the lines in it that a real card would not cause. */

import { expectedLines } from './expected-lines.ts';

export interface LogRecord {
  /** Syslog level: 0 (emergency) to 7 (debug). */
  readonly level: number;
  /** Seconds since the guest started. */
  readonly seconds: number;
  readonly text: string;
}

/** A record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg): "6,339,5140900,-;text\n KEY=value\n". */
export function parseRecord(record: string): LogRecord | undefined {
  const line = record.split('\n', 1)[0] ?? '';
  const match = /^(\d+),\d+,(\d+),[^;]*;(.*)$/.exec(line);
  if (!match) return undefined;
  const [, priority = '', microseconds = '', text = ''] = match;
  return {
    level: Number(priority) & 7,
    seconds: Number(microseconds) / 1e6,
    text: text.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
  };
}

export function formatRecord({ seconds, text }: LogRecord): string {
  return `[${seconds.toFixed(6).padStart(12)}] ${text}`;
}

const ERROR_LEVEL = 3;

/** What the kernel says when something is wrong with itself, at whatever level. */
const ALARM =
  /\b(BUG|WARNING|Oops|KASAN|UBSAN|KCSAN|general protection fault|Kernel panic|stack-protector|list_(add|del) corruption|refcount_t:|possible recursive locking|circular locking|blocked for more than|soft lockup|hard LOCKUP|detected stalls?|self-detected stall)\b/;

/** Records that tell of an error and are not among the expected ones. @param fixups whether the helper module is loaded. */
export function unexpected(records: readonly LogRecord[], conditions: { readonly fixups: boolean }): LogRecord[] {
  const expected = expectedLines.filter(
    ({ when }) => when === undefined || (when === 'no-fixups') !== conditions.fixups,
  );
  return records.filter(
    ({ level, text }) =>
      (level <= ERROR_LEVEL || ALARM.test(text)) && !expected.some(({ pattern }) => pattern.test(text)),
  );
}
