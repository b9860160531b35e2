import type { Result, RunEvent, RunInfo } from '../events.ts';

/** Turns a run into text. Live formats write as they are told; documents write in `finish`. */
export interface Reporter {
  begin(info: RunInfo): void;
  event(event: RunEvent): void;
  finish(results: readonly Result[], seconds: number): void;
}

/** The command that runs one test again. */
export type Reproduce = (id: string) => string;

export type Write = (text: string) => void;

/** Lines of a failure that are shown of each part at most. */
const LONGEST = 60;

/** What a failed test submitted last, and what happened last: a heading and its lines each. */
export function evidence({
  failure,
}: Result): readonly { readonly title: string; readonly lines: readonly string[] }[] {
  const parts = [
    { title: 'last submissions', lines: failure?.programs ?? [] },
    { title: 'last events', lines: failure?.events ?? [] },
  ];
  return parts
    .filter(({ lines }) => lines.length > 0)
    .map(({ title, lines }) => ({ title, lines: lines.slice(-LONGEST) }));
}
