/** Runs in a guest: the second card writes so many bytes of its own memory into that of the first. */

import { LinuxDriver } from '../../src/driver/linux/driver.ts';
import { CommandStream } from '../../src/runtime/command-stream.ts';
import { Device } from '../../src/runtime/device.ts';

const size = Number(process.argv[2]);
const driver = new LinuxDriver();
using owner = Device.open({ driver, index: 0 });
using other = Device.open({ driver, index: 1 });
using shared = owner.exportDmaBuf(owner.dram.base, size);
using peer = other.importDmaBuf(shared.fd);
using source = other.dram.allocate(size);
await other.wait(other.submit({ queue: 'DMA_1_0', stream: new CommandStream().dma(peer, source, size) }));
