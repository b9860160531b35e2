/** What suites need to read and write the files of a card in debugfs. */

import type { TestContext } from '../suite.ts';
import { readBytes, readText, writeText } from './attributes-lib.ts';

/** Longer than any of the texts. */
const ROOM = 1024 * 1024;

export function debugFile(t: TestContext, name: string, index = 0): string {
  return `/sys/kernel/debug/accel/${t.target.driver.accelerators()[index]?.pciAddress}/${name}`;
}

export function debugText(t: TestContext, name: string): string {
  return readText(t, debugFile(t, name));
}

/** All of a file, whatever its size. */
export function debugBytes(t: TestContext, name: string, length = ROOM): Uint8Array {
  return readBytes(t, debugFile(t, name), length);
}

export function writeDebug(t: TestContext, name: string, text: string | number | bigint): void {
  writeText(t, debugFile(t, name), String(text));
}

/** Writes a number until the test is over. */
export function setDebug(t: TestContext, name: string, value: string | number): Disposable {
  const before = debugText(t, name).split('\n')[0] as string;
  writeDebug(t, name, value);
  return t.use({ [Symbol.dispose]: () => writeDebug(t, name, before) });
}

/** Numbers of the rows of a table, row by row, without its heading. */
export function rowsOf(text: string): bigint[][] {
  const lines = text.split('\n').filter((line) => /^ +\d/.test(line));
  return lines.map((line) => (line.match(/0x[0-9a-f]+|\d+/g) ?? []).map(BigInt));
}
