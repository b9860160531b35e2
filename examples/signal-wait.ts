// The same as two-streams-fence.ts with the driver's help: it has sync objects, monitors and fences of its own, and gives
// them to who asks for a signal. Run it as examples/hello-device.ts says.

import assert from 'node:assert/strict';
import { CommandStream, connect, Device } from 'sagrada';

const SIZE = 64 * 1024;

using device = Device.open({ driver: connect() });
using source = device.allocHost(SIZE);
using result = device.allocHost(SIZE);
using hbm = device.dram.allocate(SIZE);
source.bytes.fill(42);

// The first queue brings the data to the card, then signals.
const copy = device.submit({ queue: 'DMA_0_0', stream: new CommandStream().dma(hbm, source, SIZE) });
const signal = device.signal('DMA_0_0');
console.log(`submission ${copy.sequence} copies, submission ${signal.sequence} signals`);

// The second queue waits for the signal, then fetches the data. A signal that has come already needs no wait.
const wait = device.waitForSignal('DMA_1_0', signal);
const fetch = device.submit({ queue: 'DMA_1_0', stream: new CommandStream().dma(result, hbm, SIZE) });
console.log(wait ? `submission ${wait.sequence} waits for it` : 'it had come before anybody could wait for it');

// The host waits only for the last of them.
await device.wait(fetch);
assert.deepEqual(result.bytes, source.bytes);
console.log(`submission ${fetch.sequence} has fetched ${SIZE} bytes, all of them ${result.bytes[0]}`);
