/** What the tests of the runtime share. */

import assert from 'node:assert/strict';
import { Device } from '../../src/runtime/device.ts';
import { ioctls } from '../../src/uapi/habanalabs/index.ts';
import { type Answer, FakeDriver } from './fake-driver.ts';
import { golden } from './golden.ts';

const [INFO, CB, CS, WAIT, MEMORY, DEBUG] = ioctls.map((row) => row.request) as [
  number,
  number,
  number,
  number,
  number,
  number,
];

export { CB, CS, DEBUG, INFO, MEMORY, WAIT };

export function open(driver: FakeDriver = new FakeDriver()): { driver: FakeDriver; device: Device } {
  return { driver, device: Device.open({ driver }) };
}

/** An answer that puts the golden bytes in the argument's place. */
export function reply(name: keyof typeof golden): Answer {
  return (argument) => {
    argument.fill(0);
    return Buffer.from(golden[name], 'hex');
  };
}

/** @throws AssertionError unless the bytes are the golden ones, zeros after. */
export function assertGolden(bytes: Uint8Array | undefined, name: keyof typeof golden): void {
  assert.ok(bytes, `${name}: nothing was asked`);
  assert.equal(
    Buffer.from(bytes)
      .toString('hex')
      .replace(/(00)+$/, ''),
    golden[name],
    name,
  );
}
