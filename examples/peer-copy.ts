// One card writes into the memory of another, and no memory of the host has a part in it: the first exports a piece of its
// memory as a dma-buf, the second imports it. Run it as examples/hello-device.ts says; it needs two cards under one switch.

import assert from 'node:assert/strict';
import { CommandStream, connect, Device } from 'sagrada';

const SIZE = 1024 * 1024;

const driver = connect();
using first = Device.open({ driver, index: 0 });
using second = Device.open({ driver, index: 1 });

// A dma-buf is memory with a file descriptor, which can be given to another driver (or another process).
using memory = first.dram.allocate(SIZE, 4096);
using shared = first.exportDmaBuf(memory.address, SIZE);
console.log(`the first card shares ${SIZE} bytes as descriptor ${shared.fd}, ${driver.describe(shared.fd)}`);

// Importing asks the kernel whether the two cards reach each other, and maps the memory for the second.
using peer = second.importDmaBuf(shared.fd);
console.log(`for the second card they are at 0x${peer.deviceAddress.toString(16)}`);

// The second card makes data in its own memory and sends it over.
using own = second.dram.allocate(SIZE);
const sending = new CommandStream().memset(own, 0xfeed_0000_beefn, SIZE).dma(peer, own, SIZE);
await second.wait(second.submit({ queue: 'DMA_1_0', stream: sending }));
console.log('the second card has written');

// The first card finds the data in its memory.
using result = first.allocHost(SIZE);
await first.wait(first.submit({ queue: 'DMA_0_0', stream: new CommandStream().dma(result, memory, SIZE) }));
const { view } = result;
for (let at = 0; at < SIZE; at += 8) assert.equal(view.getBigUint64(at, true), 0xfeed_0000_beefn);
console.log(`the first card has found all ${SIZE} bytes in its own memory`);
