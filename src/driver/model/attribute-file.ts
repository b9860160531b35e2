/**
 * Files of sysfs. Source: fs/kernfs/file.c and fs/sysfs/file.c for what opening, reading and writing one does, lib/kstrtox.c
 * for the numbers that are written.
 */

import type { Steps } from '../../sim/process.ts';
import { type Errno, refuse } from './errno.ts';
import { type FileOperations, OpenFile } from './files.ts';
import { PAGE } from './host-memory.ts';

export interface Attribute {
  readonly path: string;
  /** 0444, 0644 or 0200. */
  readonly mode: number;
  /** @throws SystemError */
  show?(): string | Steps<string>;
  /** @param text what was written, up to a zero. @throws SystemError */
  store?(text: string): Steps;
  /** Of a file of bytes: is asked with every read. @returns as many as were asked for. @throws SystemError */
  bytes?(length: number): Steps<Uint8Array>;
}

/** An attribute as somebody has it open. */
class AttributeFile implements FileOperations {
  readonly name: string;
  readonly mode: number;
  readonly #attribute: Attribute;
  /** What it showed when it was first read: it is not asked again. */
  #shown: Uint8Array | undefined;
  #at = 0;

  constructor(attribute: Attribute) {
    this.name = attribute.path;
    this.mode = attribute.mode;
    this.#attribute = attribute;
  }

  *read(buffer: Uint8Array): Steps<number> {
    const { bytes, show } = this.#attribute;
    if (bytes) {
      const length = Math.min(buffer.length, PAGE - this.#at);
      if (length === 0) return 0;
      buffer.set(yield* bytes(length));
      this.#at += length;
      return length;
    }
    if (!this.#shown) {
      const text = show?.() ?? '';
      this.#shown = new TextEncoder().encode(typeof text === 'string' ? text : yield* text);
    }
    const part = this.#shown.subarray(this.#at, this.#at + buffer.length);
    buffer.set(part);
    this.#at += part.length;
    return part.length;
  }

  /** Of more than a page, that page. */
  *write(bytes: Uint8Array): Steps<number> {
    const taken = bytes.subarray(0, PAGE);
    if (taken.length === 0) return 0;
    const end = taken.indexOf(0);
    const text = Buffer.from(end < 0 ? taken : taken.subarray(0, end)).toString('latin1');
    yield* this.#attribute.store?.(text) ?? [];
    return taken.length;
  }
}

export function openAttribute(attribute: Attribute): OpenFile {
  return new OpenFile(new AttributeFile(attribute));
}

const HIGHEST = 2n ** 64n - 1n;

/** kstrtoull with base 0. @returns undefined where it is no number of 64 bits */
export function unsigned(text: string): bigint | undefined {
  const digits = text.replace(/\n$/, '').replace(/^\+/, '');
  if (!/^(0x[0-9a-f]+|0[0-7]*|[1-9]\d*)$/i.test(digits)) return undefined;
  const value = BigInt(/^0\d/.test(digits) ? `0o${digits.slice(1)}` : digits);
  return value > HIGHEST ? undefined : value;
}

/** kstrtol with base 10. @returns the number, or why it is none of 64 bits */
export function signed(text: string): bigint | Errno {
  const [, sign, digits, rest] = /^([-+]?)(\d*)(.*)$/s.exec(text) ?? [];
  const minus = sign === '-';
  if (!digits) return 'EINVAL';
  const value = BigInt(digits);
  // what is too large is found before what comes after it is looked at
  if (value > HIGHEST) return 'ERANGE';
  if (rest !== '' && rest !== '\n') return 'EINVAL';
  if (minus ? value > 2n ** 63n : value >= 2n ** 63n) return 'ERANGE';
  return minus ? -value : value;
}

/** For a `store` that takes such a number. @throws SystemError EINVAL */
export function unsignedOrRefused(text: string): bigint {
  return unsigned(text) ?? refuse('EINVAL', 'write');
}
