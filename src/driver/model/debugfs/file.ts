/**
 * Files of debugfs. Source: fs/debugfs/file.c, fs/libfs.c (simple_attr_read, simple_attr_write, simple_read_from_buffer),
 * fs/seq_file.c for what reading and writing one does, lib/kstrtox.c for the numbers that are written.
 */

import type { Steps } from '../../../sim/process.ts';
import { refuse } from '../errno.ts';
import { type FileOperations, OpenFile } from '../files.ts';

export interface DebugFile {
  readonly name: string;
  /** What it says. @throws SystemError */
  show?(): string | Uint8Array | Steps<string | Uint8Array>;
  /**
   * @param text what was written, up to a zero. @returns how much of it was taken, if that is not all. @throws SystemError
   */
  store?(text: string): Steps<unknown> | undefined;
  /** What does not fit the buffer of the first read is lost: the driver looks whether anything was read before. */
  readonly once?: true;
  /** Only what is written at the beginning is taken: of that the file goes on behind, up to so many bytes. */
  readonly room?: number;
}

class OpenDebugFile implements FileOperations {
  readonly name: string;
  readonly #file: DebugFile;
  #shown: Uint8Array | undefined;
  #at = 0;

  constructor(path: string, file: DebugFile) {
    this.name = path;
    this.#file = file;
  }

  *read(buffer: Uint8Array): Steps<number> {
    const { show, once } = this.#file;
    if (!show) refuse('EINVAL', 'read');
    if (!this.#shown || this.#at === 0) {
      const shown = show();
      const said = typeof shown === 'string' || shown instanceof Uint8Array ? shown : yield* shown;
      this.#shown = typeof said === 'string' ? Buffer.from(said, 'latin1') : said;
    } else if (once) return 0;
    const rest = this.#shown.subarray(this.#at);
    const part = rest.subarray(0, buffer.length);
    buffer.set(part);
    this.#at += part.length;
    return part.length;
  }

  *write(bytes: Uint8Array): Steps<number> {
    const { store, room } = this.#file;
    if (!store) refuse('EINVAL', 'write');
    if (room !== undefined && this.#at !== 0) return 0;
    const end = bytes.indexOf(0);
    const text = Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('latin1');
    const steps = store(text);
    const taken = steps && (yield* steps);
    if (room !== undefined) this.#at = Math.min(bytes.length, room);
    return typeof taken === 'number' ? taken : bytes.length;
  }
}

export function openDebugFile(path: string, file: DebugFile): OpenFile {
  return new OpenFile(new OpenDebugFile(path, file));
}

/** Digits of a number of each base, and what is before them. */
const DIGITS = { 8: [/^[0-7]+/, '0o'], 10: [/^\d+/, ''], 16: [/^[0-9a-f]+/i, '0x'] } as const;

/**
 * kstrtoull and its like. @param base 0 for that which the number has itself. @param bits what it has to fit into
 * @throws SystemError EINVAL for what is no number, ERANGE for one that is too large
 */
export function parseNumber(text: string, base: 0 | 10 | 16, bits: 32 | 64): bigint {
  let rest = text.replace(/^\+/, '');
  let radix: keyof typeof DIGITS = base === 0 ? 10 : base;
  if (base === 0 && rest.startsWith('0')) radix = /^0x[0-9a-f]/i.test(rest) ? 16 : 8;
  if (radix === 16) rest = rest.replace(/^0x/i, '');
  const [pattern, prefix] = DIGITS[radix];
  const digits = pattern.exec(rest)?.[0] ?? refuse('EINVAL', 'write');
  const value = BigInt(prefix + digits);
  // before it is looked at what follows
  if (value >= 1n << 64n) refuse('ERANGE', 'write');
  if (!/^\n?$/.test(rest.slice(digits.length))) refuse('EINVAL', 'write');
  if (value >= 1n << BigInt(bits)) refuse('ERANGE', 'write');
  return value;
}

/** kstrtoull_from_user and its like: of a text there is room for a sign, the digits of base 2 and the end of the line. */
export function numberOf(text: string, base: 10 | 16, bits: 32 | 64): bigint {
  return parseNumber(text.slice(0, bits + 2), base, bits);
}
