import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { type Call, type Driver, EFD_NONBLOCK, POLLIN, SystemError } from '../../src/driver/driver.ts';
import { LinuxDriver } from '../../src/driver/linux/driver.ts';
import { ModelMachine } from '../../src/machine/model.ts';

const model = new ModelMachine({ machine: 'gaudi' });
after(() => model[Symbol.dispose]());

const one = new Uint8Array(new BigUint64Array([1n]).buffer);
const RDONLY = 0;

function codeOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (error instanceof SystemError) return error.code;
    throw error;
  }
  return 'none';
}

function untilBlocked(driver: Driver, call: Call): void {
  while (!call.blocked) {
    assert.ok(!call.done, 'the call returned');
    driver.sleep(1_000_000);
  }
}

// what a kernel does is what the model must do
for (const [name, driver] of [
  ['linux', new LinuxDriver()],
  ['model', model.driver],
] as const) {
  describe(`threads and processes: ${name}`, () => {
    it('a call that is refused throws when it is finished, not when it is begun', () => {
      using thread = driver.thread();
      const begin = [
        () => thread.close(-1),
        () => thread.read(12345, new Uint8Array(8)),
        () => thread.write(12345, one),
        () => thread.ioctl(12345, 0xc010_4801, new Uint8Array(16)),
      ];
      for (const make of begin) {
        const call = make();
        assert.equal(
          codeOf(() => call.finish()),
          'EBADF',
        );
      }
    });

    it('a thread is in one call at a time', () => {
      const fd = driver.eventfd(0, 0);
      using thread = driver.thread();
      const buffer = new Uint8Array(8);
      const read = thread.read(fd, buffer);
      assert.throws(() => thread.close(fd), /in a call/);
      untilBlocked(driver, read);
      assert.throws(() => thread.close(fd), /in a call/);
      assert.deepEqual([...buffer], [0, 0, 0, 0, 0, 0, 0, 0]);
      driver.write(fd, one);
      assert.equal(read.finish(), 8);
      assert.deepEqual([...buffer], [1, 0, 0, 0, 0, 0, 0, 0]);
      assert.equal(read.finish(), 8, 'the answer can be asked for again');
      thread.close(fd).finish();
      assert.equal(
        codeOf(() => driver.close(fd)),
        'EBADF',
      );
    });

    it('a poll ends with its time, or with what it waits for', () => {
      const fd = driver.eventfd(0, 0);
      using thread = driver.thread();
      assert.equal(thread.poll(fd, POLLIN, 5).finish(), 0);
      const poll = thread.poll(fd, POLLIN, -1);
      untilBlocked(driver, poll);
      driver.write(fd, one);
      assert.equal(poll.finish(), POLLIN);
      driver.close(fd);
    });

    it('a process has the descriptors it is given, as descriptors of its own', () => {
      const given = driver.eventfd(7, EFD_NONBLOCK);
      using process = driver.process([given]);
      using other = driver.process();
      assert.notEqual(process.pid, other.pid);
      const count = new Uint8Array(8);
      assert.equal(process.read(given, count), 8);
      assert.equal(count[0], 7);
      assert.equal(
        codeOf(() => driver.read(given, count)),
        'EAGAIN',
      );
      process.close(given);
      assert.equal(
        codeOf(() => process.close(given)),
        'EBADF',
      );
      driver.close(given);
      assert.equal(
        codeOf(() => process.open('/no such file', RDONLY)),
        'ENOENT',
      );
    });

    it('memory of a process is seen by both, and gone when it is unmapped', () => {
      using process = driver.process();
      const memory = process.allocate(5000);
      assert.ok(memory.bytes.length >= 5000);
      assert.ok(memory.bytes.every((byte) => byte === 0));
      memory.bytes[4999] = 1;
      assert.ok(memory.address > 0n);
      memory.unmap();
      memory.unmap();
      assert.equal(memory.bytes.length, 0);
      assert.equal(
        codeOf(() => process.allocate(0)),
        'EINVAL',
      );
    });

    it('a process that is killed comes out of what it waits for, and makes no calls any more', () => {
      const fd = driver.eventfd(0, 0);
      const process = driver.process([fd]);
      const call = process.thread().read(fd, new Uint8Array(8));
      while (!call.blocked) driver.sleep(1_000_000);
      assert.equal(process.alive, true);
      process.kill();
      process.kill();
      assert.equal(process.alive, false);
      assert.throws(() => process.describe(fd), /ended/);
      driver.write(fd, one);
      assert.equal(driver.read(fd, new Uint8Array(8)), 8, 'nobody else has read it');
      driver.close(fd);
    });
  });
}
