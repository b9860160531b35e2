/** What benchmarks share: JSON lines, and times that a noisy machine does not spoil. */

import process from 'node:process';

export const KiB = 2 ** 10;
export const MiB = 2 ** 20;

/** Prints one result. */
export function line(value: Readonly<Record<string, unknown>>): void {
  console.log(JSON.stringify(value));
}

export function round(value: number, digits = 3): number {
  return Number(value.toFixed(digits));
}

/**
 * Times bodies against each other: in turns, so that what disturbs one disturbs the others, several times over. What is
 * measured is the time that this thread computes: other programs of the machine do not count.
 */
export interface Contest {
  /** Rounds; the best of each body counts. */
  readonly rounds: number;
  /** Milliseconds that a body is repeated for in a round. */
  readonly span: number;
}

/** @returns seconds per call of each body, in its best round. */
export async function contest(
  bodies: readonly (() => unknown)[],
  { rounds, span }: Contest,
): Promise<readonly number[]> {
  const best = bodies.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < rounds; round++) {
    for (const [i, body] of bodies.entries()) {
      await body();
      const before = computed();
      const end = performance.now() + span;
      let count = 0;
      do {
        const result = body();
        if (result instanceof Promise) await result;
        count++;
      } while (performance.now() < end);
      best[i] = Math.min(best[i] as number, (computed() - before) / count);
    }
  }
  return best;
}

/** Seconds that this thread has computed so far. */
function computed(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1e6;
}
