// Finding 0007: a wait of 2^32 microseconds is none.
//
//   npx sagrada run --on vm docs/findings/0007.ts

import { CommandStream, connect, Device, fenceAddress } from 'sagrada';
import { DRM_IOCTL_HL_WAIT_CS, waitStatus } from '../../src/uapi/habanalabs/wait-cs.ts';
import { nameOf } from '../../src/uapi/rows.ts';

const driver = connect();
using device = Device.open({ driver });
const held = device.submit({ queue: 'DMA_0_0', stream: new CommandStream().fence(0) });
for (const timeout_us of [1_000_000n, 2n ** 32n, 2n ** 32n + 1_000_000n]) {
  const argument = DRM_IOCTL_HL_WAIT_CS.argument.encode({ in: { seq: held.sequence, timeout_us } });
  const begun = driver.now();
  driver.ioctl(device.fd, DRM_IOCTL_HL_WAIT_CS.request, argument);
  const { status } = DRM_IOCTL_HL_WAIT_CS.argument.decode(argument).out;
  const seconds = ((driver.now() - begun) / 1e9).toFixed(0);
  console.log(`waits ${timeout_us} us: ${nameOf(waitStatus, status)} after ${seconds} s`);
}
device.submit({ queue: 'DMA_1_0', stream: new CommandStream().write(fenceAddress('DMA_0_0', 0), 1) });
await device.wait(held);
