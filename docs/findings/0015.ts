// Finding 0015: QUERY_MR tells no address of a dma-buf's registration.
//
//   npx sagrada run --on vm --machine gaudi-efa docs/findings/0015.ts

import { connect, Device, RdmaContext } from 'sagrada';

const driver = connect({ machine: 'gaudi-efa' });
using device = Device.open({ driver });
const nic = RdmaContext.open({ driver });
const pd = nic.allocatePd();
using memory = device.dram.allocate(65536, 4096);
using shared = device.exportDmaBuf(memory.address, memory.size);
const address = 0x1234_0000n;
using region = pd.registerDmaBuf(shared.fd, memory.size, { address });
const answer = nic.verbs.call('UVERBS_METHOD_QUERY_MR', {
  UVERBS_ATTR_QUERY_MR_HANDLE: region.handle,
  UVERBS_ATTR_QUERY_MR_RESP_LKEY: { room: 4 },
  UVERBS_ATTR_QUERY_MR_RESP_RKEY: { room: 4 },
  UVERBS_ATTR_QUERY_MR_RESP_LENGTH: { room: 8 },
  UVERBS_ATTR_QUERY_MR_RESP_IOVA: { room: 8 },
});
const told = (name: 'UVERBS_ATTR_QUERY_MR_RESP_LENGTH' | 'UVERBS_ATTR_QUERY_MR_RESP_IOVA') =>
  new DataView(answer.bytes(name).buffer).getBigUint64(0, true);
console.log(`registered: ${memory.size} bytes at 0x${address.toString(16)}`);
const [length, start] = [told('UVERBS_ATTR_QUERY_MR_RESP_LENGTH'), told('UVERBS_ATTR_QUERY_MR_RESP_IOVA')];
console.log(`QUERY_MR:   ${length} bytes at 0x${start.toString(16)}`);
