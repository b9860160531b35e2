/** A process that runs tests with mutants, and is ended when it hangs. */

import { type ChildProcess, fork } from 'node:child_process';
import path from 'node:path';
import type { Order, Told } from './worker.ts';

/** Milliseconds for a test; a mutant with which one takes longer hangs. */
const LIMIT = { SURVEY: 60_000, MUTANT: 15_000 } as const;

export class Station {
  #child: ChildProcess | undefined;

  /** @returns what the process says at last; `late`: it hung and was ended; `ended`: it has ended by itself */
  order(order: Order, hear: (told: Told) => void = () => {}): Promise<Told | 'late' | 'ended'> {
    this.#child ??= fork(path.join(import.meta.dirname, 'worker.ts'), {
      execArgv: ['--max-old-space-size=3000'],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      serialization: 'advanced',
    });
    const child = this.#child;
    const { promise, resolve } = Promise.withResolvers<Told | 'late' | 'ended'>();
    const timer = setTimeout(() => resolve('late'), order.survey ? LIMIT.SURVEY : LIMIT.MUTANT);
    const ended = () => resolve('ended');
    const listen = (told: Told) => {
      timer.refresh();
      if (told.type === 'begun' || told.type === 'surveyed') hear(told);
      else resolve(told);
    };
    child.on('message', listen).on('exit', ended);
    child.send(order);
    return promise.then((last) => {
      clearTimeout(timer);
      child.off('message', listen).off('exit', ended);
      if (typeof last === 'string') this.end();
      return last;
    });
  }

  end(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }
}
