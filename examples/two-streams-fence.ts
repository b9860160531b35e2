// Two engines work at the same time, and one waits for the other: a fence, opened through a monitor. All of it happens on
// the card; the host has no part in it. Run it as examples/hello-device.ts says.

import assert from 'node:assert/strict';
import { CommandStream, connect, Device, fenceAddress } from 'sagrada';

const SIZE = 4 * 1024 * 1024;

using device = Device.open({ driver: connect() });
using result = device.allocHost(SIZE);
using hbm = device.dram.allocate(SIZE);

// The sync manager of the card has counters (sync objects) and watchers of them (monitors).
const sync = device.sync('E_N');
using done = sync.syncObject();
using monitor = sync.monitor();

// The reader: when the sync object is at least 1, the monitor writes 1 to the address of fence 0 of this very queue.
// Until then the queue stands still at the fence.
const reader = new CommandStream()
  .arm(monitor, { objects: [done], value: 1, write: { place: fenceAddress('DMA_1_0', 0), data: 1 } })
  .fence(0)
  .dma(result, hbm, SIZE);

// The writer: fills the card's memory, and then adds 1 to the sync object.
const writer = new CommandStream().memset(hbm, 0x1122_3344_5566_7788n, SIZE).add(done, 1);

// The reader is handed over first, so that it has to wait.
const reading = device.submit({ queue: 'DMA_1_0', stream: reader });
await device.wait(device.submit({ queue: 'DMA_1_1', stream: new CommandStream().nop() }));
assert.equal(device.poll(reading), undefined);
console.log('DMA_1_0 waits at its fence');

const writing = device.submit({ queue: 'DMA_0_0', stream: writer });
await device.wait(writing);
console.log('DMA_0_0 has written, and added 1 to the sync object');

await device.wait(reading);
const { view } = result;
for (let at = 0; at < SIZE; at += 8) assert.equal(view.getBigUint64(at, true), 0x1122_3344_5566_7788n);
console.log(`DMA_1_0 has passed its fence and read ${SIZE} bytes, all of them new`);
