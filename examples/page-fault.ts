// A transfer to an address that nobody has mapped. The card's MMU finds no page and tells the driver, which keeps what it knows of
// the fault, tells the programs that asked to be told, and resets the card. Run it as examples/hello-device.ts says.

import { setImmediate } from 'node:timers/promises';
import { CommandStream, ControlDevice, connect, Device } from 'sagrada';

const driver = connect();
// The control node tells of the card, whoever uses it, also while it is reset.
using control = ControlDevice.open({ driver });
const resets = () => control.info.resetCount().hard_reset_cnt;
const before = resets();

const device = Device.open({ driver });
const events = device.notifyEvents();
using kept = device.allocHost(64 * 1024);
const gone = device.allocHost(64 * 1024);
const nowhere = gone.deviceAddress;
gone[Symbol.dispose]();

const sram = device.sram.allocate(4096);
device.submit({ queue: 'DMA_1_0', stream: new CommandStream().dma(nowhere, sram, 4096) });

// Several events are told of, one after the other: that of the fault is awaited here by what the driver knows of it.
let fault = device.info.pageFaultEvent();
while (!fault) {
  await events.next({ timeout: 10_000 });
  fault = device.info.pageFaultEvent();
}
console.log(`fault at 0x${fault.addr.toString(16)}, where the program has written: ${fault.addr === nowhere}`);
for (const { dev_va, size } of device.info.userMappings())
  console.log(`mapped were ${size} bytes at 0x${dev_va.toString(16)}, ours: ${dev_va === kept.deviceAddress}`);

// The driver waits for the program to let go of the card, and resets it.
device.close();
while (resets() === before || control.info.status() !== 'OPERATIONAL') {
  driver.sleep(20e6);
  await setImmediate();
}
console.log('the card has been reset');

// It is as new for who opens it.
using again = Device.open({ driver });
using host = again.allocHost(4096);
await again.wait(again.submit({ queue: 'DMA_0_0', stream: new CommandStream().memset(host, 7n, 4096) }));
console.log(`and works: ${host.bytes[0]}`);
