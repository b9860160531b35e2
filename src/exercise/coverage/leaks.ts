/** Memory that a watched kernel has lost (Documentation/dev-tools/kmemleak.rst), and the test during which it was allocated. */

import { JIFFIES } from '../../machine/vm/coverage-config.ts';
import type { GuestCommand } from './function-trace.ts';

export interface Leak {
  /** Seconds since the guest was started. */
  readonly at: number;
  /** Who allocated it, and how: a line each. */
  readonly text: string;
}

const FILE = '/sys/kernel/debug/kmemleak';
/**
 * Objects of less than five seconds are not judged (mm/kmemleak.c, MSECS_MIN_AGE), and one is judged by the second scan that finds
 * it unchanged.
 */
const SCAN = `sleep 6; echo scan >${FILE} && echo scan >${FILE} && cat ${FILE}`;

/** What kmemleak tells: `unreferenced object 0x... (size N):`, then `comm ..., jiffies N`, contents and a trace. */
export function parseLeaks(text: string): readonly Leak[] {
  return text
    .split(/^(?=unreferenced object )/m)
    .filter((part) => part.startsWith('unreferenced object '))
    .flatMap((part) => {
      const jiffies = /\bjiffies (\d+)/.exec(part)?.[1];
      if (jiffies === undefined) return [];
      // what the memory contains is of no use to anybody
      const lines = part
        .trimEnd()
        .split('\n')
        .filter((line) => !/^ {4}([0-9a-f]{2} ){2}|hex dump/.test(line));
      return [{ at: (Number(jiffies) - JIFFIES.first) / JIFFIES.perSecond, text: lines.join('\n') }];
    });
}

export class LeakWatch {
  readonly #run: GuestCommand;
  /** When each test ended; the first is when the guest was ready. */
  readonly #ends: { readonly id: string; readonly at: number }[] = [];

  private constructor(run: GuestCommand) {
    this.#run = run;
  }

  static async of(run: GuestCommand): Promise<LeakWatch> {
    // else the kernel is silent after the first error (Documentation/core-api/dma-api.rst, "all_errors")
    await run(['sh', '-c', 'echo 1 >/sys/kernel/debug/dma-api/all_errors']);
    const watch = new LeakWatch(run);
    await watch.ended('');
    return watch;
  }

  /** A test has ended. */
  async ended(id: string): Promise<void> {
    const [seconds] = (await this.#run(['cat', '/proc/uptime'])).toString().split(' ');
    this.#ends.push({ id, at: Number(seconds) });
  }

  /** What was lost during tests, with their ids; what was lost while the system started is the kernel's own. */
  async find(): Promise<readonly { readonly id: string; readonly text: string }[]> {
    const leaks = parseLeaks((await this.#run(['sh', '-c', SCAN])).toString());
    return leaks.flatMap(({ at, text }) => {
      const index = this.#ends.findIndex((end) => at < end.at);
      const id = (index < 0 ? this.#ends.at(-1) : this.#ends[index])?.id ?? '';
      return id === '' ? [] : [{ id, text }];
    });
  }
}
