/** What a kernel built with KCOV tells of this thread's course: basic blocks (Documentation/dev-tools/kcov.rst). */

import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { ioctlNumber, MAP_SHARED, type Mapping, mmap, PROT_READ, PROT_WRITE } from '../../os/libc.ts';
import type { Probe } from './course.ts';
import type { Symbols } from './symbols.ts';

const KCOV = '/sys/kernel/debug/kcov';
/** _IOR('c', 1, unsigned long), _IO('c', 100), _IO('c', 101) of linux/kcov.h. */
const KCOV_INIT_TRACE = 0x80086301;
const KCOV_ENABLE = 0x6364;
const KCOV_DISABLE = 0x6365;
const KCOV_TRACE_PC = 0;
/** Places for addresses; what comes when they are full is lost. */
const PLACES = 1 << 20;

export class KcovProbe implements Probe, Disposable {
  readonly title = 'basic blocks of the driver (KCOV)';
  readonly #symbols: Symbols;
  readonly #fd: number;
  readonly #area: Mapping;
  readonly #words: BigUint64Array;

  static get isThere(): boolean {
    return existsSync(KCOV);
  }

  /** @throws SystemError where another has it, or there is too little memory */
  constructor(symbols: Symbols) {
    this.#symbols = symbols;
    this.#fd = openSync(KCOV, constants.O_RDWR);
    ioctlNumber(this.#fd, KCOV_INIT_TRACE, PLACES);
    this.#area = mmap(PLACES * 8, PROT_READ | PROT_WRITE, MAP_SHARED, this.#fd, 0);
    this.#words = new BigUint64Array(this.#area.bytes.buffer, this.#area.bytes.byteOffset, PLACES);
  }

  begin(): void {
    ioctlNumber(this.#fd, KCOV_ENABLE, KCOV_TRACE_PC);
    this.#words[0] = 0n;
  }

  end(): readonly string[] {
    const count = Math.min(Number(this.#words[0] ?? 0n), PLACES - 1);
    ioctlNumber(this.#fd, KCOV_DISABLE, 0);
    return edgesOf(this.#words.subarray(1, 1 + count), this.#symbols);
  }

  [Symbol.dispose](): void {
    this.#area.unmap();
    closeSync(this.#fd);
  }
}

/** Which block of the driver came after which. @param blocks addresses, in the order in which they were reached */
export function edgesOf(blocks: Iterable<bigint>, symbols: Symbols): readonly string[] {
  const edges = new Set<string>();
  let before = 'elsewhere';
  for (const address of blocks) {
    const name = symbols.nameOf(address);
    if (name === undefined || !name.includes('+')) continue;
    edges.add(`edge ${before} ${name}`);
    before = name;
  }
  return [...edges];
}
