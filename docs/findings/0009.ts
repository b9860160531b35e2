// Finding 0009: requests of DRM itself that look at the master of an accelerator's node.
//
//   npx sagrada run --on vm docs/findings/0009.ts [GET_UNIQUE|GET_MAGIC]

import { connect, Device } from 'sagrada';
import { iowr } from '../../src/uapi/rows.ts';

// uapi/drm/drm.h: a struct of 16 bytes both ways, 4 bytes to the program
const requests = { GET_UNIQUE: iowr('d', 0x01, 16), GET_MAGIC: 0x8004_6402 };

const driver = connect();
const device = Device.open({ driver, index: Number(process.env.CARD ?? 0) });
const name = process.argv[2] === 'GET_MAGIC' ? 'GET_MAGIC' : 'GET_UNIQUE';
const call = driver.thread().ioctl(device.fd, requests[name], new Uint8Array(16));
for (let i = 0; i < 20 && !call.done; i++) driver.sleep(100e6);
try {
  console.log(call.done ? `${name}: answered, ${call.finish()}` : `${name}: the call does not return`);
} catch (error) {
  console.log(`${name}: ${(error as NodeJS.ErrnoException).code}`);
}
process.exit();
