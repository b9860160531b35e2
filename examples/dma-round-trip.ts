// Sends data to the memory of the card and back. Run it as examples/hello-device.ts says.

import assert from 'node:assert/strict';
import { CommandStream, connect, Device } from 'sagrada';

const SIZE = 1024 * 1024;

using device = Device.open({ driver: connect() });

// Memory of this program that the card reaches too. Programs use `bytes`, the card `deviceAddress`: the card has an
// MMU of its own, in which the driver enters the pages.
using source = device.allocHost(SIZE);
using result = device.allocHost(SIZE);
console.log(`the source is at 0x${source.hostAddress.toString(16)} for us,`);
console.log(`         and at 0x${source.deviceAddress.toString(16)} for the card`);

// Memory of the card itself. Its addresses need no translation.
using hbm = device.dram.allocate(SIZE);
console.log(`the card's own memory is at 0x${hbm.address.toString(16)}`);

for (let i = 0; i < SIZE; i++) source.bytes[i] = i % 251;

// A command stream is a list of packets for an engine: here two transfers, the second of which begins when the first
// has ended.
const stream = new CommandStream().dma(hbm, source, SIZE).dma(result, hbm, SIZE);
console.log(`two transfers are ${stream.size} bytes of packets`);

// Queues are named by their engine and stream: DMA_0_0 is the first stream of the first DMA engine.
const work = device.submit({ queue: 'DMA_0_0', stream });
console.log(`the driver has taken them as submission ${work.sequence}`);

await device.wait(work);
assert.deepEqual(result.bytes, source.bytes);
console.log(`${SIZE} bytes went to the card and came back unchanged`);
