/** Any bytes in any ioctl: an errno, never an exception of another kind; and the card goes on. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { type Driver, O_RDWR, SystemError } from '../../../src/driver/driver.ts';
import { ModelMachine } from '../../../src/machine/model.ts';
import { CommandStream } from '../../../src/runtime/command-stream.ts';
import { Device } from '../../../src/runtime/device.ts';
import { ModelError } from '../../../src/sim/errors.ts';
import { DRM_IOCTL_HL_CB } from '../../../src/uapi/habanalabs/cb.ts';
import { DRM_IOCTL_HL_CS } from '../../../src/uapi/habanalabs/cs.ts';
import { DRM_IOCTL_HL_DEBUG } from '../../../src/uapi/habanalabs/debug.ts';
import { DRM_IOCTL_HL_INFO } from '../../../src/uapi/habanalabs/info.ts';
import { DRM_IOCTL_HL_MEMORY } from '../../../src/uapi/habanalabs/memory.ts';
import { DRM_IOCTL_HL_WAIT_CS } from '../../../src/uapi/habanalabs/wait-cs.ts';
import { seed } from '../../seed.ts';

const ioctls = [DRM_IOCTL_HL_INFO, DRM_IOCTL_HL_CB, DRM_IOCTL_HL_CS, DRM_IOCTL_HL_MEMORY, DRM_IOCTL_HL_DEBUG];

/** Numbers with which programs hurt drivers; `memory` is where the program has some. */
const word = (memory: bigint) =>
  fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 0, max: 64 }).map(BigInt) },
    { weight: 3, arbitrary: fc.integer({ min: 0, max: 8191 }).map((offset) => memory + BigInt(offset)) },
    { weight: 2, arbitrary: fc.constantFrom(1n << 12n, (1n << 12n) | (2n << 59n), 0x2000_0000n, 0x1_0000_0000_0000n) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 63 }).map((bit) => (1n << BigInt(bit)) - 1n) },
    { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) },
  );

/** What the driver answered: an errno's name, or that it did what it was asked. */
function attempt(body: () => void): string {
  try {
    body();
    return 'done';
  } catch (error) {
    if (error instanceof SystemError) return error.code;
    // the trace units are not there, and say so
    if (error instanceof ModelError && error.category === 'unimplemented') return error.category;
    throw error;
  }
}

describe('hostile arguments', () => {
  let machine: ModelMachine;
  let driver: Driver;

  before(() => {
    machine = new ModelMachine({ machine: 'gaudi' });
    driver = machine.driver;
  });

  it('a request that is none is refused', () => {
    const fd = driver.open('/dev/accel/accel0', O_RDWR);
    for (const [request, errno] of [
      [0x6440, 'EINVAL'],
      [0xc0106446, 'EINVAL'],
      [0, 'ENOTTY'],
      [0xffff_ffff, 'ENOTTY'],
    ] as const)
      assert.equal(
        attempt(() => driver.ioctl(fd, request, new Uint8Array(0x4000))),
        errno,
      );
    driver.close(fd);
    assert.equal(
      attempt(() => driver.ioctl(fd, DRM_IOCTL_HL_INFO.request, new Uint8Array(64))),
      'EBADF',
    );
    assert.equal(
      attempt(() => driver.close(fd)),
      'EBADF',
    );
    assert.equal(
      attempt(() => void driver.open('/dev/accel/accel7', O_RDWR)),
      'ENOENT',
    );
  });

  it('the control node has questions only', () => {
    const fd = driver.open('/dev/accel/accel_controlD0', O_RDWR);
    for (const { request, argument } of ioctls.slice(1))
      assert.equal(
        attempt(() => driver.ioctl(fd, request, new Uint8Array(argument.size))),
        'ENOTTY',
      );
    driver.close(fd);
  });

  it('any argument is done or refused with an errno, and the card goes on', () => {
    const memory = driver.allocate(8192);
    const property = fc.property(
      fc.array(fc.tuple(fc.constantFrom(...ioctls), fc.array(word(memory.address), { minLength: 6, maxLength: 6 })), {
        minLength: 1,
        maxLength: 30,
      }),
      (calls) => {
        const fd = driver.open('/dev/accel/accel0', O_RDWR);
        for (const [{ request, argument }, words] of calls) {
          const bytes = new Uint8Array(argument.size);
          const view = new DataView(bytes.buffer);
          words.forEach((value, i) => {
            if (i * 8 + 8 <= bytes.length) view.setBigUint64(i * 8, BigInt.asUintN(64, value), true);
          });
          attempt(() => driver.ioctl(fd, request, bytes));
        }
        driver.close(fd);
        works(driver);
      },
    );
    fc.assert(property, { seed: seed(), numRuns: 60 });
    memory.unmap();
  });

  it('any wait that is short is answered', () => {
    const fd = driver.open('/dev/accel/accel0', O_RDWR);
    const memory = driver.allocate(8192);
    const property = fc.property(
      word(memory.address),
      fc.integer({ min: 0, max: 1000 }),
      fc.integer({ min: 0, max: 0xffff_ffff }),
      fc.integer({ min: 0, max: 255 }),
      (seq, timeout, flags, count) => {
        const input = { seq: BigInt.asUintN(64, seq), timeout_us: BigInt(timeout), flags, seq_arr_len: count };
        const bytes = DRM_IOCTL_HL_WAIT_CS.argument.encode({ in: input });
        attempt(() => driver.ioctl(fd, DRM_IOCTL_HL_WAIT_CS.request, bytes));
      },
    );
    fc.assert(property, { seed: seed(), numRuns: 300 });
    driver.close(fd);
    memory.unmap();
    works(driver);
  });

  after(() => machine[Symbol.dispose]());
});

/** A new program finds the card working. */
function works(driver: Driver): void {
  using device = Device.open({ driver, patience: 60_000 });
  const host = device.allocHost(4096);
  const stream = new CommandStream().memset(host, 0x1234_5678_9abc_def0n, 8);
  device.waitSync(device.submit({ queue: 'DMA_0_0', stream }), 10_000);
  assert.equal(host.view.getBigUint64(0, true), 0x1234_5678_9abc_def0n);
}
