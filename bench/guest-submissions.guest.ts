/** Runs in the guest: submissions per second, and ioctls per second that need no device. Prints one JSON object. */

import { LinuxDriver } from '../src/driver/linux/driver.ts';
import { CommandStream } from '../src/runtime/command-stream.ts';
import { Device } from '../src/runtime/device.ts';

const seconds = Number(process.argv[2] ?? 2);

/** Times a body that does `batch` things, again and again. @returns things per second. */
function rate(batch: number, body: () => void): number {
  body();
  const begin = performance.now();
  let count = 0;
  while (performance.now() - begin < seconds * 1000) {
    body();
    count += batch;
  }
  return (count / (performance.now() - begin)) * 1000;
}

using device = Device.open({ driver: new LinuxDriver() });
using buffer = device.createCb(4096);
const stream = new CommandStream().nop();
buffer.bytes.set(stream.bytes);
const chunk = { queue: 'DMA_0_0', buffer, size: stream.size } as const;

const one = rate(1, () => void device.waitSync(device.submit(chunk)));
const batch = 64;
const pipelined = rate(batch, () => {
  let last = device.submit(chunk);
  for (let i = 1; i < batch; i++) last = device.submit(chunk, { patience: 1000 });
  device.waitSync(last);
});
const ioctl = rate(100, () => {
  for (let i = 0; i < 100; i++) device.info.status();
});
console.log(JSON.stringify({ one, pipelined, ioctl }));
