// Finding 0004: a mapping of 16 TiB has no pages.
//
//   npx sagrada run --on vm docs/findings/0004.ts

import { connect, Device } from 'sagrada';
import { DRM_IOCTL_HL_MEMORY, memoryFlags, memoryOperations } from '../../src/uapi/habanalabs/memory.ts';

const driver = connect();
const device = Device.open({ driver, index: Number(process.env.CARD ?? 0) });
const map_host = { host_virt_addr: 0x1000n, mem_size: 2n ** 44n };
const flags = memoryFlags.HL_MEM_USERPTR.value;
const argument = DRM_IOCTL_HL_MEMORY.argument.encode({
  in: { op: memoryOperations.HL_MEM_OP_MAP.value, flags, map_host },
});
const call = driver.thread().ioctl(device.fd, DRM_IOCTL_HL_MEMORY.request, argument);
for (let i = 0; i < 20 && !call.done; i++) driver.sleep(100e6);
try {
  console.log(call.done ? `16 TiB: mapped, ${call.finish()}` : '16 TiB: the call does not return');
} catch (error) {
  console.log(`16 TiB: ${(error as NodeJS.ErrnoException).code}`);
}
process.exit();
