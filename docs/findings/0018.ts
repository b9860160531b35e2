// Finding 0018: when page tables of a card run out, its driver reads behind arrays on its stack.
//
//   npx sagrada run --on vm docs/findings/0018.ts

import { connect, Device, DriverError } from 'sagrada';

using device = Device.open({ driver: connect() });
const host = device.allocHost(0x3000);
// within a huge page: a mapping that begins with one would have to have a hint that does
const address = host.hostAddress + 0x1000n;
const GIB = 1n << 30n;
const first = host.deviceAddress - (host.deviceAddress % GIB) + 2n * GIB - 0x1000n;
let count = 0;
try {
  // each page takes a table for its 1 GiB and one for its 2 MiB, so four for both: 191 MiB of the card are there for tables
  for (; count < 15_000; count++) device.mapHost(address, 0x2000, { hint: first + BigInt(count) * 2n * GIB });
  console.log('there was room for all');
} catch (error) {
  if (!(error instanceof DriverError)) throw error;
  console.log(`after ${count > 10_000 ? 'more than 10000' : count} mappings: ${error.code}`);
}
