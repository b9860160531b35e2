// Finding 0005: a wait for the last part of a staged submission, one of several, does not end.
//
//   npx sagrada run --on vm docs/findings/0005.ts

import { CommandStream, connect, Device } from 'sagrada';
import { DRM_IOCTL_HL_WAIT_CS, waitFlags } from '../../src/uapi/habanalabs/wait-cs.ts';

const driver = connect();
const device = Device.open({ driver, index: Number(process.env.CARD ?? 0) });
const stream = new CommandStream().nop();
const first = device.submit({ queue: 'DMA_0_0', stream }, { staged: 'first' });
device.submit({ queue: 'DMA_0_0', stream }, { staged: first, last: true });
// parts have sequence numbers of their own, of which the driver tells only the first
const last = first.sequence + 1n;
await device.wait(first);
await device.wait(last);
console.log('both parts have ended');

// from another process, which can be killed
const other = driver.process([device.fd]);
const list = other.allocate(4096);
new BigUint64Array(list.bytes.buffer, list.bytes.byteOffset)[0] = last;
const flags = waitFlags.HL_WAIT_CS_FLAGS_MULTI_CS.value;
const input = { seq: list.address, timeout_us: 100_000n, flags, seq_arr_len: 1 };
const thread = other.thread();
const wait = thread.ioctl(device.fd, DRM_IOCTL_HL_WAIT_CS.request, DRM_IOCTL_HL_WAIT_CS.argument.encode({ in: input }));
for (let i = 0; i < 30 && !wait.done; i++) driver.sleep(100e6);
if (wait.done) console.log(`the wait of 0.1 s has ended: ${wait.finish()}`);
else {
  console.log('the wait of 0.1 s lasts for 3 s');
  process.kill(other.pid, 'SIGKILL');
  driver.sleep(3e9);
  console.log(other.alive ? 'SIGKILL does not end it' : 'SIGKILL ends it');
}
process.exit();
