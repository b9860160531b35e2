/** What of a driver's code runs in guests, one after the other, by the best means that each one's kernel has. */

import type { Vm } from '../../machine/vm/vm.ts';
import { UserError } from '../../sim/errors.ts';
import { type FileCoverage, mergeCode } from './code.ts';
import { FunctionTrace, type GuestCommand } from './function-trace.ts';

/** Milliseconds after which a guest that does not answer is taken to hang. */
const PATIENCE = 60_000;

export class GuestCode {
  readonly #module: string;
  #trace: FunctionTrace | undefined;
  #earlier: readonly FileCoverage[] = [];

  /** @param module of the driver */
  constructor(module: string) {
    this.#module = module;
  }

  /** A guest has booted. @throws UserError where its kernel cannot tell */
  async begin(vm: Vm): Promise<void> {
    const run = commandsIn(vm);
    this.#trace = await FunctionTrace.of(run, this.#module).catch((error: Error) => {
      throw new UserError(`--coverage: ${error.message}`);
    });
  }

  /** A test has ended. */
  async take(): Promise<void> {
    await this.#trace?.take();
  }

  /** The guest is about to end, or hangs: what it still tells is taken. */
  async end(): Promise<void> {
    const trace = this.#trace;
    this.#trace = undefined;
    if (!trace) return;
    // what a guest that is gone had not told is lost; the run goes on
    await trace.take().catch(() => {});
    this.#earlier = mergeCode([this.#earlier, trace.files()]);
  }

  /** What ran until `end`. */
  files(): readonly FileCoverage[] {
    return this.#earlier;
  }
}

function commandsIn(vm: Vm): GuestCommand {
  return async (command) => {
    const parts: Buffer[] = [];
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('the guest does not answer')), PATIENCE);
    });
    try {
      const ended = vm.run(command, { cwd: '/', onStdout: (data) => void parts.push(Buffer.from(data)) });
      await Promise.race([ended, late]);
    } finally {
      clearTimeout(timer);
    }
    return Buffer.concat(parts);
  };
}
