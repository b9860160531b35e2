/** What the page is told by whoever serves it. */

/** A trace as the page is told of it. */
export interface Shown {
  /** For people: the file's name. */
  readonly title: string;
  /** Bytes at the moment of asking. */
  readonly size: number;
}

/** What the page is told before it asks for anything. */
export interface PageSetup {
  readonly traces: readonly Shown[];
  /** Whether the traces may still grow. */
  readonly live: boolean;
  /** Whether there is a report of what was exercised, under `report.html`. */
  readonly report: boolean;
}
