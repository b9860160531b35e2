// Finding 0010: a hint whose end is beyond 2^64 damages the list of free device addresses.
//
//   npx sagrada run --on vm docs/findings/0010.ts

import { connect, Device, DriverError } from 'sagrada';

using device = Device.open({ driver: connect() });
const host = device.allocHost(0x3000);
host.bytes.fill(1);
// within a huge page: a mapping that begins with one would have to have a hint that does
const address = host.hostAddress + 0x1000n;
const map = (what: string, size: number, hint = 0n) => {
  try {
    console.log(`${what}: 0x${device.mapHost(address, size, { hint }).deviceAddress.toString(16)}`);
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    console.log(`${what}: ${error.code}`);
  }
};
map('before', 0x1000);
map('with a hint at the end of the address space', 0x2000, 0xffff_ffff_ffff_f000n);
map('after', 0x1000);
map('after', 0x2000);
