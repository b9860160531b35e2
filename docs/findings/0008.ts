// Finding 0008: the size of an answer of the debug interface is taken for the size of an allocation.
//
//   npx sagrada run --on vm docs/findings/0008.ts

import { connect, Device } from 'sagrada';

using device = Device.open({ driver: connect() });
device.debug('HL_DEBUG_OP_SET_MODE', { enable: 1 });
for (const size of [4096, 8 * 1024 * 1024]) {
  try {
    device.debug('HL_DEBUG_OP_TIMESTAMP', {}, undefined, size);
    console.log(`an answer of ${size} bytes: given`);
  } catch (error) {
    console.log(`an answer of ${size} bytes: ${(error as NodeJS.ErrnoException).code}`);
  }
}
