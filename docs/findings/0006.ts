// Finding 0006: a wait for one of several submissions is not woken by the end of a signal.
//
//   npx sagrada run --on vm docs/findings/0006.ts

import { CommandStream, connect, Device, fenceAddress } from 'sagrada';
import { DRM_IOCTL_HL_WAIT_CS, waitFlags, waitStatus } from '../../src/uapi/habanalabs/wait-cs.ts';
import { nameOf } from '../../src/uapi/rows.ts';

const driver = connect();
using device = Device.open({ driver });
using thread = driver.thread();
const held = device.submit({ queue: 'DMA_0_0', stream: new CommandStream().fence(0) });
const signal = device.signal('DMA_0_0');

// three seconds, of which the signal takes a few milliseconds
const list = driver.allocate(4096);
new BigUint64Array(list.bytes.buffer, list.bytes.byteOffset)[0] = signal.sequence;
const flags = waitFlags.HL_WAIT_CS_FLAGS_MULTI_CS.value;
const argument = DRM_IOCTL_HL_WAIT_CS.argument.encode({
  in: { seq: list.address, timeout_us: 3_000_000n, flags, seq_arr_len: 1 },
});
const begun = driver.now();
const wait = thread.ioctl(device.fd, DRM_IOCTL_HL_WAIT_CS.request, argument);
while (!wait.blocked) driver.sleep(1e6);
device.submit({ queue: 'DMA_1_0', stream: new CommandStream().write(fenceAddress('DMA_0_0', 0), 1) });
await device.wait(held);
await device.wait(signal);
const signalled = driver.now();
wait.finish();
const { status } = DRM_IOCTL_HL_WAIT_CS.argument.decode(argument).out;
console.log(
  `the signal has ended ${driver.now() - signalled > 1e9 ? 'seconds before' : 'shortly before'} the wait for it`,
);
console.log(`after ${((driver.now() - begun) / 1e9).toFixed(0)} s: ${nameOf(waitStatus, status)}`);
