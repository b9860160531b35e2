// Memory of one card goes into memory of another through two network cards. No memory of the host has a part in it: each NIC
// reaches the card beside it across the PCIe switch. It needs a machine that has them:
//
//   node examples/p2p-nic.ts
//   npx sagrada run --on vm --machine gaudi-x2-efa-x2 examples/p2p-nic.ts

import assert from 'node:assert/strict';
import { CommandStream, connect, Device, RdmaContext } from 'sagrada';

const SIZE = 1024 * 1024;
const QKEY = 0x1234;

const driver = connect({ machine: 'gaudi-x2-efa-x2' });

/** A card, and a NIC that has a piece of the card's memory registered. */
function side(index: number) {
  const device = Device.open({ driver, index });
  const memory = device.dram.allocate(SIZE, 4096);
  const nic = RdmaContext.open({ driver, index });
  const pd = nic.allocatePd();
  const cq = nic.createCq();
  const qp = pd.createQueuePair({ sendCq: cq });
  qp.activate(QKEY);
  // The card's driver shares the memory as a dma-buf; here the kernel decides whether the NIC reaches it. The registration
  // keeps the memory, so the descriptor is not needed any more.
  using shared = device.exportDmaBuf(memory.address, SIZE);
  const region = pd.registerDmaBuf(shared.fd, SIZE);
  console.log(`${driver.accelerators()[index]?.path} and ${driver.rdmaDevices()[index]?.name} share ${SIZE} bytes`);
  return { device, memory, nic, pd, cq, qp, region };
}

const from = side(0);
const to = side(1);

// The first card makes the data.
const data = 0x0123_4567_89ab_cdefn;
const making = new CommandStream().memset(from.memory, data, SIZE);
await from.device.wait(from.device.submit({ queue: 'DMA_0_0', stream: making }));

// Its NIC writes them to the other NIC, which writes them into the other card. Each must know the other's address.
to.pd.createAddressHandle(from.nic.address());
const target = { ah: from.pd.createAddressHandle(to.nic.address()), qp: to.qp.number, qkey: QKEY };
from.qp.write(target, { local: from.region.piece(), remote: to.region.at() });
from.cq.expect(1, 10_000);
console.log('one NIC has written what the other has received');

// The second card finds them in its memory.
using result = to.device.allocHost(SIZE);
const looking = new CommandStream().dma(result, to.memory, SIZE);
await to.device.wait(to.device.submit({ queue: 'DMA_0_0', stream: looking }));
for (let at = 0; at < SIZE; at += 8) assert.equal(result.view.getBigUint64(at, true), data);
console.log(`the second card has found all ${SIZE} bytes in its own memory`);
