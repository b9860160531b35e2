// Finding 0013: work that ends while the driver tells that its time has passed never ends.
//
//   npx sagrada run --on vm docs/findings/0013.ts

import { CommandStream, connect, Device, fenceAddress, WaitTimeoutError } from 'sagrada';

const driver = connect();
const device = Device.open({ driver, index: Number(process.env.CARD ?? 0) });
const before = device.info.csTimeoutEvent().seq;
const stream = new CommandStream().fence(0);
const held = device.submit({ queue: 'DMA_0_0', stream }, { timeout: 1, skipResetOnTimeout: true });
// the record is there before the driver reads the card's state, and that takes a while
while (device.info.csTimeoutEvent().seq === before) driver.sleep(10e6);
const opening = new CommandStream().write(fenceAddress('DMA_0_0', 0), 1);
await device.wait(device.submit({ queue: 'DMA_1_0', stream: opening }));
try {
  await device.wait(held, { timeout: 5000 });
  console.log('the work has ended');
} catch (error) {
  if (!(error instanceof WaitTimeoutError)) throw error;
  console.log('the work does not end');
}
process.exit();
