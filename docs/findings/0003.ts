// Finding 0003: the handle of a time stamp buffer where the driver expects that of a command buffer.
//
//   npx sagrada run --on vm docs/findings/0003.ts [INFO|DESTROY]

import { connect, Device } from 'sagrada';
import { cbOperations, DRM_IOCTL_HL_CB } from '../../src/uapi/habanalabs/cb.ts';

const driver = connect();
const device = Device.open({ driver, index: Number(process.env.CARD ?? 0) });
const { handle } = device.allocTimestamps(1);
console.log(`time stamp buffer 0x${handle.toString(16)}`);

const op = process.argv[2] === 'DESTROY' ? cbOperations.HL_CB_OP_DESTROY : cbOperations.HL_CB_OP_INFO;
const argument = DRM_IOCTL_HL_CB.argument.encode({ in: { op: op.value, cb_handle: handle } });
const call = driver.thread().ioctl(device.fd, DRM_IOCTL_HL_CB.request, argument);
for (let i = 0; i < 20 && !call.done; i++) driver.sleep(100e6);
try {
  if (!call.done) console.log('as a command buffer: the call does not return');
  else console.log(`as a command buffer: taken, ${call.finish()}`);
} catch (error) {
  console.log(`as a command buffer: ${(error as NodeJS.ErrnoException).code}`);
}
process.exit();
