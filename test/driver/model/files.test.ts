/** What fuzzing has found the specification to answer otherwise than Linux does. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EFD_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, PROT_READ, PROT_WRITE } from '../../../src/driver/driver.ts';
import { ModelMachine } from '../../../src/machine/model.ts';

test('who reads an eventfd has room for its number, whether it can be read or not', () => {
  using machine = new ModelMachine({ machine: 'gaudi' });
  const { driver } = machine;
  const fd = driver.eventfd(0, EFD_NONBLOCK);
  for (const size of [0, 4, 7]) assert.throws(() => driver.read(fd, new Uint8Array(size)), { code: 'EINVAL' });
  assert.throws(() => driver.read(fd, new Uint8Array(8)), { code: 'EAGAIN' });
});

test('hardware blocks, of which this chip has none to map, are refused otherwise than what is nothing', () => {
  using machine = new ModelMachine({ machine: 'gaudi' });
  const { driver } = machine;
  const fd = driver.open('/dev/accel/accel0', O_RDWR);
  assert.throws(() => driver.mmap(fd, 4096, PROT_READ, 0x4n << 59n), { code: 'EPERM' });
  assert.throws(() => driver.mmap(fd, 4096, PROT_READ, 0x1n << 59n), { code: 'EINVAL' });
});

test('who writes to an eventfd writes its number and nothing else', () => {
  using machine = new ModelMachine({ machine: 'gaudi' });
  const { driver } = machine;
  const fd = driver.eventfd(0, EFD_NONBLOCK);
  for (const size of [0, 7, 9, 100]) assert.throws(() => driver.write(fd, new Uint8Array(size)), { code: 'EINVAL' });
  assert.equal(driver.write(fd, new Uint8Array(8).fill(1, 0, 1)), 8);
  assert.equal(driver.read(fd, new Uint8Array(8)), 8);
});

test('a file does what it was opened for', () => {
  using machine = new ModelMachine({ machine: 'gaudi' });
  const { driver } = machine;
  const path = '/dev/accel/accel_controlD0';
  const [read, write] = [driver.open(path, O_RDONLY), driver.open(path, O_WRONLY)];
  assert.throws(() => driver.write(read, new Uint8Array(0)), { code: 'EBADF' });
  assert.throws(() => driver.write(write, new Uint8Array(0)), { code: 'EINVAL' });
  assert.throws(() => driver.read(write, new Uint8Array(0)), { code: 'EBADF' });
  assert.throws(() => driver.read(read, new Uint8Array(0)), { code: 'EINVAL' });
  assert.throws(() => driver.mmap(write, 4096, PROT_READ, 0n), { code: 'EACCES' });
  assert.throws(() => driver.mmap(read, 4096, PROT_READ | PROT_WRITE, 0n), { code: 'EACCES' });
  assert.throws(() => driver.mmap(read, 4096, PROT_READ, 0n), { code: 'ENODEV' });
});
