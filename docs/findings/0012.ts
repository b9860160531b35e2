// Finding 0012: a time limit of many days is one of less than a second.
//
//   npx sagrada run --on vm docs/findings/0012.ts [SECONDS]

import { CommandStream, connect, Device, fenceAddress } from 'sagrada';

// seconds of which 32 bits of ticks of 1/250 s (7.3) keep less than one; with 6.12 it is 4294968, which are milliseconds there
const timeout = Number(process.argv[2] ?? 17_179_870);

using device = Device.open({ driver: connect() });
using events = device.notifyEvents();
const stream = new CommandStream().fence(0);
const held = device.submit({ queue: 'DMA_0_0', stream }, { timeout, skipResetOnTimeout: true });
const passed = (await events.next({ timeout: 5000 })) !== 0n;
console.log(`a limit of ${Math.floor(timeout / 86_400)} days ${passed ? 'has passed' : 'has not passed'} within 5 s`);
device.submit({ queue: 'DMA_1_0', stream: new CommandStream().write(fenceAddress('DMA_0_0', 0), 1) });
await device.wait(held);
