// Two things that go wrong, and how a program learns of them: a mistake that the driver refuses, and work that never
// ends. Run it as examples/hello-device.ts says; the driver logs what it thinks of the first.

import assert from 'node:assert/strict';
import { CommandStream, connect, Device, DriverError, fenceAddress, WaitTimeoutError } from 'sagrada';

using device = Device.open({ driver: connect() });

// 1. A mapping without a size. Calls that the driver refuses throw: what was asked, the errno, what it means.
try {
  device.mapHost(0x1000n, 0);
  assert.fail('the driver mapped nothing');
} catch (error) {
  if (!(error instanceof DriverError)) throw error;
  console.log(`refused with ${error.code}: ${error.message}`);
}

// 2. A queue that waits for a fence which nobody opens. The driver would take it for hung some minutes later and reset the
// card; this program has less patience. Giving up waiting ends the wait, not the work.
const stuck = device.submit({ queue: 'DMA_0_0', stream: new CommandStream().fence(0) });
try {
  await device.wait(stuck, { timeout: 100 });
  assert.fail('nobody opened the fence, and yet the work has ended');
} catch (error) {
  if (!(error instanceof WaitTimeoutError)) throw error;
  console.log(`hung: ${error.message}`);
}
const { busy } = device.info.idle();
console.log(`still at work: ${busy}`);

// 3. Another queue opens the fence, and the first goes on.
const opening = new CommandStream().write(fenceAddress('DMA_0_0', 0), 1);
await device.wait(device.submit({ queue: 'DMA_1_0', stream: opening }));
await device.wait(stuck);
using host = device.allocHost(4096);
await device.wait(device.submit({ queue: 'DMA_0_0', stream: new CommandStream().memset(host, 7n, 8) }));
assert.equal(host.bytes[0], 7);
console.log('after the fence was opened the work has ended, and the queue takes more');
