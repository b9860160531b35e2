/** What of a driver's code runs in guests, one after the other, by the best means that each one's kernel has. */

import { COVERAGE_SUFFIX, countedFolders } from '../../machine/vm/coverage-config.ts';
import { gcovCommand } from '../../machine/vm/coverage-kernel.ts';
import type { Vm } from '../../machine/vm/vm.ts';
import { UserError } from '../../sim/errors.ts';
import { type FileCoverage, mergeCode } from './code.ts';
import { FunctionTrace, type GuestCommand } from './function-trace.ts';
import { evaluate, takeCounts } from './gcov.ts';

/** Milliseconds after which a guest that does not answer is taken to hang. */
const PATIENCE = 60_000;

/** How a guest tells. */
interface Means {
  /** A test has ended. */
  take(): Promise<void>;
  /** What ran in this guest. */
  files(): Promise<readonly FileCoverage[]>;
}

export class GuestCode {
  readonly #module: string;
  readonly #cache: string;
  #means: Means | undefined;
  #earlier: readonly FileCoverage[] = [];

  /** @param module of the driver @param cache folder of set-up */
  constructor(module: string, cache: string) {
    this.#module = module;
    this.#cache = cache;
  }

  /** A guest has booted. @throws UserError where its kernel cannot tell */
  async begin(vm: Vm): Promise<void> {
    const counts = vm.kernelRelease.endsWith(COVERAGE_SUFFIX);
    const means = counts ? counting(commandsIn(vm), vm.notes, this.#cache) : tracing(commandsIn(vm), this.#module);
    this.#means = await means.catch((error: Error) => {
      throw new UserError(`--coverage: ${error.message}`);
    });
  }

  /** A test has ended. */
  async take(): Promise<void> {
    await this.#means?.take();
  }

  /** The guest is about to end, or hangs: what it still tells is taken. @throws UserError when that cannot be evaluated */
  async end(): Promise<void> {
    const means = this.#means;
    this.#means = undefined;
    if (means) this.#earlier = mergeCode([this.#earlier, await means.files()]);
  }

  /** What ran until `end`. */
  files(): readonly FileCoverage[] {
    return this.#earlier;
  }
}

async function tracing(run: GuestCommand, module: string): Promise<Means> {
  const trace = await FunctionTrace.of(run, module);
  return {
    take: () => trace.take(),
    // what a guest that is gone had not told is lost
    files: () =>
      trace
        .take()
        .catch(() => {})
        .then(() => trace.files()),
  };
}

async function counting(run: GuestCommand, notes: readonly string[], cache: string): Promise<Means> {
  const before = await takeCounts(run);
  return {
    take: async () => {},
    files: async () => {
      // of a guest that is gone, what its start has shown
      const counts = await takeCounts(run).catch(() => before);
      return evaluate(counts, notes, gcovCommand(cache), countedFolders);
    },
  };
}

/** @param patience milliseconds that a command may take. @throws Error of a command when the guest does not answer */
export function commandsIn(vm: Vm, patience = PATIENCE): GuestCommand {
  return async (command) => {
    const parts: Buffer[] = [];
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('the guest does not answer')), patience);
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
