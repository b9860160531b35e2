/** The guest kernel's log: its records, and the lines in it that a real card would not cause. */

import { cardFaults, DRIVER_LINE, expectedLines } from './expected-lines.ts';

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

export interface Conditions {
  /** Whether the helper module was loaded (docs/findings/0001). */
  readonly helper: boolean;
  /** Number of records when the drivers were loaded: what the driver says later may be about the programs. */
  readonly loaded: number;
}

/** Records that tell of an error that neither a real card nor a program would have caused. */
export function unexpected(records: readonly LogRecord[], conditions: Conditions): LogRecord[] {
  return records.filter((record, i) => isUnexpected(record, i, conditions));
}

/** @param index of the record, from the first of the guest's log */
export function isUnexpected({ level, text }: LogRecord, index: number, { helper, loaded }: Conditions): boolean {
  const expected = expectedLines.filter(({ when }) => when === undefined || !helper);
  if (expected.some(({ pattern }) => pattern.test(text))) return false;
  if (ALARM.test(text)) return true;
  if (level > ERROR_LEVEL) return false;
  return index < loaded || !DRIVER_LINE.test(text) || cardFaults.some((pattern) => pattern.test(text));
}

/** How lines of the drivers of network cards begin. */
const NIC_LINE = /^(efa|infiniband)\b/;

/** Of a line that came after the drivers were loaded: whether no call of a program, right or wrong, may cause it. */
export function isAlarm({ level, text }: Pick<LogRecord, 'level' | 'text'>): boolean {
  const told = isUnexpected({ level, text, seconds: 0 }, 0, { helper: true, loaded: 0 });
  return told && (ALARM.test(text) || !NIC_LINE.test(text));
}
