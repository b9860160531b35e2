// Finding 0022: a read of two files in debugfs writes beyond the buffer that it is given.
//
//   npx sagrada run --on vm docs/findings/0022.ts

import { connect } from 'sagrada';
import { O_RDONLY } from '../../src/driver/driver.ts';

const driver = connect();
const [card] = driver.accelerators();
for (const name of ['timeout_locked', 'stop_on_err']) {
  const fd = driver.open(`/sys/kernel/debug/accel/${card?.pciAddress}/${name}`, O_RDONLY);
  const memory = new Uint8Array(64).fill(0xee);
  const told = driver.read(fd, memory.subarray(0, 1));
  const beyond = memory.subarray(1).filter((byte) => byte !== 0xee).length;
  console.log(`${name}: room for 1 byte: ${told} read, ${beyond} written beyond it`);
  driver.close(fd);
}
