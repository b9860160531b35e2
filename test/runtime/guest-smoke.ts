/**
 * A first look at a card through the real driver: what it is, and one block of data host -> SRAM -> HBM -> host on the two
 * external DMA queues. Run inside the guest; bundles into one file. Exit status 0: the data came back as it went.
 */

import { LinuxDriver } from '../../src/driver/linux/driver.ts';
import { CommandStream } from '../../src/runtime/command-stream.ts';
import { Device } from '../../src/runtime/device.ts';
import type { Queue } from '../../src/runtime/submission.ts';

const SIZE = 1 << 20;

using device = Device.open({ driver: new LinuxDriver() });
const ip = device.info.hwIp();
console.log(`${device.path}: ${ip.card_name}, device ${ip.device_id.toString(16)}, firmware ${ip.cpucp_version}`);
console.log(`SRAM 0x${ip.sram_base_address.toString(16)} + ${ip.sram_size}`);
console.log(`DRAM 0x${ip.dram_base_address.toString(16)} + ${ip.dram_size}`);
console.log(`status ${device.info.status()}, idle ${device.info.idle().idle}`);

using source = device.allocHost(SIZE);
using target = device.allocHost(SIZE);
using sram = device.sram.allocate(SIZE);
using dram = device.dram.allocate(SIZE);
for (let i = 0; i < source.words.length; i++) source.words[i] = Math.imul(i + 1, 0x9e3779b1);

async function run(queue: Queue, stream: CommandStream): Promise<void> {
  const begin = performance.now();
  const work = device.submit({ queue, stream }, { timestamp: true });
  const { timestamp } = await device.wait(work, { timeout: 20_000 });
  console.log(
    `submission ${work.sequence} on ${queue}: ${(performance.now() - begin).toFixed(2)} ms, ended ${timestamp}`,
  );
}

await run('DMA_0_0', new CommandStream().dma(sram, source, SIZE));
await run('DMA_0_1', new CommandStream().dma(dram, sram, SIZE));
await run('DMA_1_0', new CommandStream().dma(target, dram, SIZE));

const same = Buffer.compare(source.bytes, target.bytes) === 0;
console.log(same ? `${SIZE} bytes came back` : 'the data differs');
process.exitCode = same ? 0 : 1;
