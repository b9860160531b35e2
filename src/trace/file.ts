/** The file that recorders of several threads write into: each appends whole packets, so that they need not know of each other. */

import { closeSync, openSync, writeSync } from 'node:fs';
import { UserError } from '../sim/errors.ts';
import type { Chunk } from './chunk.ts';
import type { TraceSink } from './recorder.ts';

/** Makes the file, empty. @throws UserError where it cannot be written */
export function createTraceFile(path: string): void {
  try {
    closeSync(openSync(path, 'w'));
  } catch (error) {
    throw new UserError(`--trace ${path}: ${(error as Error).message}`);
  }
}

export class TraceFile implements TraceSink, Disposable {
  readonly #descriptor: number;
  /** Why nothing is written any more. */
  #failure: string | undefined;
  #closed = false;

  /** @param path of a file that `createTraceFile` has made */
  constructor(path: string) {
    try {
      this.#descriptor = openSync(path, 'a');
    } catch (error) {
      throw new UserError(`--trace ${path}: ${(error as Error).message}`);
    }
  }

  /** What has ended the recording before its time, in one line. */
  get failure(): string | undefined {
    return this.#failure;
  }

  write(chunk: Chunk): void {
    if (this.#failure !== undefined || this.#closed) return;
    try {
      for (let done = 0; done < chunk.length; ) done += writeSync(this.#descriptor, chunk, done);
    } catch (error) {
      this.#failure = `the trace ends early: ${(error as Error).message}`;
    }
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#descriptor);
  }
}
