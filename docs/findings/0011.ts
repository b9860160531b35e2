// Finding 0011: a buffer for no time stamps.
//
//   npx sagrada run --on vm docs/findings/0011.ts

import { connect, Device, DriverError } from 'sagrada';

using device = Device.open({ driver: connect() });
try {
  device.allocTimestamps(0);
  console.log('made');
} catch (error) {
  if (!(error instanceof DriverError)) throw error;
  console.log(`refused: ${error.code}`);
}
