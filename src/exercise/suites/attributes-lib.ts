/** What suites need to read and write attributes of a card in sysfs. */

import assert from 'node:assert/strict';
import { O_RDONLY, O_RDWR, O_WRONLY, SystemError } from '../../driver/driver.ts';
import type { TestContext } from '../suite.ts';
import { assertErrno } from './lib.ts';

/** As large as what an attribute says may be. */
export const PAGE = 4096;

/** The folder of a card in sysfs. */
export function cardFolder(t: TestContext, index = 0): string {
  return `/sys/bus/pci/devices/${t.target.driver.accelerators()[index]?.pciAddress}`;
}

/** The folder of its sensors. @throws AssertionError where the driver shows none */
export function sensorFolder(t: TestContext, index = 0): string {
  const folder = t.target.driver.accelerators()[index]?.sensors();
  assert.ok(folder !== undefined, 'the driver shows no sensors');
  return folder;
}

/** Bytes of one read at the beginning of a file. */
export function readBytes(t: TestContext, path: string, length = PAGE): Uint8Array {
  const { driver } = t.target;
  const fd = driver.open(path, O_RDONLY);
  try {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, driver.read(fd, bytes));
  } finally {
    driver.close(fd);
  }
}

/** What an attribute says. */
export function readText(t: TestContext, path: string): string {
  return new TextDecoder().decode(readBytes(t, path));
}

/** What an attribute says that is a number on a line. @throws AssertionError where it is something else */
export function readNumber(t: TestContext, path: string): number {
  const text = readText(t, path);
  assert.match(text, /^-?\d+\n$/, path);
  return Number(text);
}

export function writeText(t: TestContext, path: string, text: string): void {
  const { driver } = t.target;
  const fd = driver.open(path, O_WRONLY);
  try {
    const bytes = new TextEncoder().encode(text);
    const written = driver.write(fd, bytes);
    assert.equal(written, Math.min(bytes.length, PAGE), 'bytes taken');
  } finally {
    driver.close(fd);
  }
}

/** How a file can be opened: of `r`, `w` and `rw` those that are not refused; undefined where there is none. */
export function waysToOpen(t: TestContext, path: string): string[] | undefined {
  const { driver } = t.target;
  const ways: string[] = [];
  for (const [way, flags] of [
    ['r', O_RDONLY],
    ['w', O_WRONLY],
    ['rw', O_RDWR],
  ] as const) {
    try {
      driver.close(driver.open(path, flags));
      ways.push(way);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      if (error.code === 'ENOENT') return undefined;
      assert.equal(error.code, 'EACCES', path);
    }
  }
  return ways;
}

/** The same from a mode: root, too, is refused what nobody may do (kernfs_fop_open). */
export function waysOf(mode: number): string[] {
  const [read, write] = [(mode & 0o444) !== 0, (mode & 0o222) !== 0];
  return [...(read ? ['r'] : []), ...(write ? ['w'] : []), ...(read && write ? ['rw'] : [])];
}

/** No number of 64 bits as kstrtoull with base 0 takes them. */
export const NO_NUMBERS = [
  'fast',
  '\n',
  ' 1',
  '1 ',
  '1\n\n',
  '-1',
  '1.5',
  '1e3',
  '0x',
  '08',
  '18446744073709551616',
  '9'.repeat(PAGE + 10),
];

/** @throws AssertionError unless every text that is no number is refused so, and nothing at all is taken for nothing. */
export function assertNumbersOnly(t: TestContext, path: string): void {
  for (const text of NO_NUMBERS) assertErrno('EINVAL', () => writeText(t, path, text));
  writeText(t, path, '');
}
