// Which cards are there, and what can they do? The first program to run.
//
//   node examples/hello-device.ts                      on the model of the driver, in this process
//   npx sagrada run --on vm examples/hello-device.ts   on the driver of a Linux kernel

import { connect, Device } from 'sagrada';

// The driver: it owns the cards, as the kernel does.
const driver = connect();

for (const [index, { path, pciAddress, status }] of driver.accelerators().entries()) {
  console.log(`card ${index}: ${path}, PCI address ${pciAddress}, ${status()}`);

  // Opening a card takes it: a second program would get a DeviceInUseError. `using` closes it at the end of the block.
  using device = Device.open({ driver, index });

  const { device_id, dram_size, sram_size, tpc_enabled_mask } = device.info.hwIp();
  console.log(`  chip 0x${device_id.toString(16)}`);
  console.log(`  ${dram_size >> 20n} MiB of HBM and ${sram_size >> 10} KiB of SRAM for programs`);
  console.log(`  ${tpc_enabled_mask.toString(2).replaceAll('0', '').length} tensor cores`);

  // Two clocks, read at the same moment: ticks of the card's, nanoseconds of the host's.
  const { device_time, host_time } = device.info.timeSync();
  console.log(`  clock of the card ${device_time}, of the host ${host_time}`);

  const { idle, busy } = device.info.idle();
  if (!idle) throw new Error(`nobody has given it work, and yet ${busy} are busy`);
  console.log('  idle');
}
