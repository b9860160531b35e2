/** What a sequence did on a target, and what it is asked with: what goes over a wire between them. */

import type { Step } from '../events.ts';

/** A sequence to perform. */
export interface Request {
  readonly text: string;
  /** Milliseconds to wait before it, for limits on the rate of the kernel's log to be over. */
  readonly rest?: number;
}

export interface Course {
  /** What was done, and what came of it. */
  readonly steps: readonly Step[];
  /** Warnings and errors of the driver. */
  readonly messages: readonly string[];
  /** Lines of the kernel's log that no sequence of calls may cause. */
  readonly alarms: readonly string[];
  /** What a device model does not do, or left open; nothing that a guest may not do. */
  readonly refusals: readonly string[];
  /** Why it did not go on, or what is wrong after it. */
  readonly error?: Trouble;
  /** What it has reached. */
  readonly features: readonly string[];
  readonly ms: number;
}

export interface Trouble {
  /**
   * - `hang`: it never ended.
   * - `death`: what ran it has died.
   * - `exception`: a defect of ours in what ran it.
   * - `card`: a card cannot be used any more.
   */
  readonly kind: 'hang' | 'death' | 'exception' | 'card';
  readonly message: string;
}

/** What a target says while it performs: which step is next, and at the end all that came of it. */
export type Answer =
  | { readonly type: 'ready'; readonly coverage: string }
  | { readonly type: 'step'; readonly index: number }
  | { readonly type: 'course'; readonly course: Course };

/** Tells what parts of a driver calls reach. */
export interface Probe {
  /** For people, e.g. `functions and calls`. */
  readonly title: string;
  begin(): void;
  /** @returns what was reached since `begin`, each once */
  end(): readonly string[];
}
