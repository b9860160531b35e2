/**
 * What a device model refuses, and why. A model never warns and makes a value up: it raises a categorised error,
 * which is counted and fails the test that caused it, and nothing else.
 */

/**
 * - `unimplemented`: the hardware does it, the model does not (yet).
 * - `unsupported`: the hardware has no such thing.
 * - `undefined`: the hardware leaves the outcome open.
 * - `guest`: the guest broke a rule that the hardware documents.
 */
export type Category = 'unimplemented' | 'unsupported' | 'undefined' | 'guest';

export class ModelError extends Error {
  override readonly name = 'ModelError';
  readonly category: Category;
  /** Register, opcode or block the error is about, e.g. `DMA0_QM.PQ_PI_0` or `gaudi-qman.WAIT`. */
  readonly where: string;

  constructor(category: Category, where: string, message: string) {
    super(`${category}: ${where}: ${message}`);
    this.category = category;
    this.where = where;
  }
}

export interface ErrorCount {
  readonly category: Category;
  readonly where: string;
  /** Text of the first error of this kind. */
  readonly message: string;
  count: number;
}

/** Collects the errors of one device; one entry per category and place, with a count. */
export class ErrorLog {
  readonly #counts = new Map<string, ErrorCount>();
  readonly #listener: ((error: ModelError) => void) | undefined;

  constructor(listener?: (error: ModelError) => void) {
    this.#listener = listener;
  }

  report(error: ModelError): void {
    const key = `${error.category} ${error.where}`;
    const known = this.#counts.get(key);
    if (known) known.count++;
    else {
      this.#counts.set(key, {
        category: error.category,
        where: error.where,
        message: error.message,
        count: 1,
      });
    }
    this.#listener?.(error);
  }

  /** Runs `body`; a `ModelError` is recorded and `undefined` returned, anything else is a defect and passes on. */
  guard<T>(body: () => T): T | undefined {
    try {
      return body();
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      this.report(error);
      return undefined;
    }
  }

  entries(): readonly ErrorCount[] {
    return [...this.#counts.values()];
  }
}

/**
 * A mistake of the person at the terminal or of their machine (a missing file, a wrong option, no disk space). The
 * message is one line that says what, where, and what to do; the CLI prints it without a stack.
 */
export class UserError extends Error {
  override readonly name = 'UserError';
}
