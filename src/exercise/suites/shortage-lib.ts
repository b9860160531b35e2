/**
 * Memory that runs out in the driver, by the kernel's injection of faults (Documentation/fault-injection/fault-injection.rst): the
 * n-th allocation that the driver makes in a call is refused.
 */

import { type Driver, O_RDONLY, O_RDWR, O_WRONLY } from '../../driver/driver.ts';
import type { TestContext } from '../suite.ts';

const SETTINGS = '/sys/kernel/debug/failslab';
/** How many allocations of this thread succeed before one is refused; 0: it has been. */
const COUNTDOWN = '/proc/self/fail-nth';
const MODULE = 'habanalabs';
/**
 * What a kernel says that is short of memory, and a driver that is: all but what tells of a mistake. The kernel's own tables of what is
 * mapped for DMA are short of it too, and end (kernel/dma/debug.c, add_dma_entry).
 */
export const SHORT =
  /^(?!.*\b(BUG|WARNING|KASAN|UBSAN|Oops|DMA-API(?!: cacheline tracking ENOMEM)|refcount_t|list_(add|del) corruption|general protection|kernel ctx is still alive)\b)/;
/** Allocations of one call, beyond which there is no end of them. */
const MOST = 1000;

function readText(driver: Driver, file: string): string {
  const fd = driver.open(file, O_RDONLY);
  try {
    const bytes = new Uint8Array(65536);
    let length = 0;
    for (;;) {
      const more = driver.read(fd, bytes.subarray(length));
      length += more;
      if (more === 0 || length === bytes.length) return new TextDecoder().decode(bytes.subarray(0, length));
    }
  } finally {
    driver.close(fd);
  }
}

export function writeText(driver: Driver, file: string, text: string): void {
  const fd = driver.open(file, O_WRONLY);
  try {
    driver.write(fd, new TextEncoder().encode(text));
  } finally {
    driver.close(fd);
  }
}

export class Shortage implements Disposable {
  readonly #driver: Driver;
  readonly #countdown: number;

  /** @throws SystemError ENOENT where the kernel has no such faults */
  constructor(t: TestContext) {
    const { driver } = t.target;
    this.#driver = driver;
    const text = readText(driver, `/sys/module/${MODULE}/sections/.text`).trim();
    const size = new RegExp(`^${MODULE} (\\d+)`, 'm').exec(readText(driver, '/proc/modules'))?.[1] ?? '0';
    const end = `0x${(BigInt(text) + BigInt(size)).toString(16)}`;
    const settings = {
      // allocations that may sleep are refused too; only those that the driver's code is on the stack of; nothing is printed
      'ignore-gfp-wait': 'N',
      'require-start': text,
      'require-end': end,
      verbose: '0',
    };
    for (const [name, value] of Object.entries(settings)) writeText(driver, `${SETTINGS}/${name}`, value);
    this.#countdown = driver.open(COUNTDOWN, O_RDWR);
    t.expectMessages(SHORT);
  }

  /** Performs `body` with its n-th allocation refused. @returns whether there was one; what else `body` throws than errno is thrown */
  refuse(n: number, body: () => void): boolean {
    const bytes = new Uint8Array(32);
    this.#driver.write(this.#countdown, new TextEncoder().encode(String(n)));
    let left: string;
    try {
      body();
    } catch (error) {
      if (typeof (error as NodeJS.ErrnoException).code !== 'string') throw error;
    } finally {
      // anew each time: the file is read from where it was read to
      const fd = this.#driver.open(COUNTDOWN, O_RDWR);
      left = new TextDecoder().decode(bytes.subarray(0, this.#driver.read(fd, bytes))).trim();
      this.#driver.write(fd, new TextEncoder().encode('0'));
      this.#driver.close(fd);
    }
    return left === '0';
  }

  /** Each allocation of `body` in turn. @returns how many there are */
  each(body: () => void): number {
    for (let n = 1; n < MOST; n++) if (!this.refuse(n, body)) return n - 1;
    throw new Error(`a call has ${MOST} allocations and more`);
  }

  [Symbol.dispose](): void {
    this.#driver.close(this.#countdown);
  }
}
