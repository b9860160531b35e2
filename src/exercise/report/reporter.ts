import type { Result, RunEvent, RunInfo } from '../events.ts';

/** Turns a run into text. Live formats write as they are told; documents write in `finish`. */
export interface Reporter {
  begin(info: RunInfo): void;
  event(event: RunEvent): void;
  finish(results: readonly Result[], seconds: number): void;
}

export type Write = (text: string) => void;
