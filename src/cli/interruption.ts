import { signalNumber } from '../os/run.ts';
import { UserError } from '../sim/errors.ts';

/** The person, or who started us, wants an end. */
export class Interruption extends UserError {
  /** As a shell says it: 128 + the signal's number. */
  readonly status: number;
  readonly signal: NodeJS.Signals;

  constructor(name: NodeJS.Signals) {
    super(`ended by ${name}`);
    this.signal = name;
    this.status = 128 + signalNumber(name);
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs `body` with a signal that is aborted, with an `Interruption`, when this process is told to end. A second time
 * ends it at once; what was started ends with it.
 */
export async function interruptible<T>(body: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = (name: NodeJS.Signals) => {
    const reason = new Interruption(name);
    if (controller.signal.aborted) process.exit(reason.status);
    controller.abort(reason);
  };
  for (const name of SIGNALS) process.on(name, stop);
  try {
    return await body(controller.signal);
  } finally {
    for (const name of SIGNALS) process.removeListener(name, stop);
  }
}

/** From here on this process ends, as SIGPIPE would end it, when who reads its output has gone (`| head`). */
export function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(128 + signalNumber('SIGPIPE'));
  });
}
