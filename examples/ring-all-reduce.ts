// Cards add up their vectors, so that each has the sum of all. They stand in a ring, and each writes only into the memory of the
// next (peer-copy.ts); the tensor cores add. However many they are, a card sends about twice what it has. Run by node it is
// a ring of four cards below one switch; by `sagrada run` one of the machine's cards.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { CommandStream, connect, Device, Kernel, Tensor } from 'sagrada';

const CHUNK = 16384; // floats
const BYTES = 4 * CHUNK;

const driver = connect({ machine: 'gaudi-x8' });
const add = await Kernel.assemble(readFileSync('kernels/add.tpc', 'utf8'));
const count = Math.min(4, driver.accelerators().length);

// The vector of each has as many chunks as there are cards. Behind them is room for one that comes in.
const ring = Array.from({ length: count }, (_, me) => {
  const device = Device.open({ driver, index: me });
  const vector = device.dram.allocate((count + 1) * BYTES, 4096);
  const host = device.allocHost(count * BYTES);
  for (let n = 0; n < count * CHUNK; n++) host.floats[n] = me + n / 8;
  const copy = (to: bigint, from: bigint, size: number) =>
    device.wait(device.submit({ queue: 'DMA_0_0', stream: new CommandStream().dma(to, from, size) }));
  return { me, device, vector, host, copy };
});
type Card = (typeof ring)[number];

/** All cards do it at once. */
const all = (body: (card: Card) => Promise<unknown>) => Promise.all(ring.map(body));
await all(({ copy, vector, host }) => copy(vector.address, host.deviceAddress, host.size));

// Each imports the memory of the next.
const next = ring.map(({ me, device }) => {
  const { device: owner, vector } = ring[(me + 1) % count] as Card;
  using shared = owner.exportDmaBuf(vector.address, vector.size);
  return device.importDmaBuf(shared.fd).deviceAddress;
});
const send = ({ me, copy, vector }: Card, chunk: number, to: number) =>
  copy((next[me] as bigint) + BigInt(to * BYTES), vector.at(chunk * BYTES), BYTES);

// Each sends the chunk that it has just added to, and adds what comes in to its own: in the end it has one chunk of the sum.
const before = (me: number, steps: number) => (me - steps + count) % count;
for (let step = 0; step < count - 1; step++) {
  await all((card) => send(card, before(card.me, step), count));
  await all(({ me, device, vector }) => {
    const tensor = (chunk: number) => new Tensor(vector.at(chunk * BYTES), { type: 'f32', shape: [CHUNK] });
    const mine = tensor(before(me, step + 1));
    return device.launch(add, { tensors: [mine, tensor(count), mine], indexSpace: [CHUNK / 256], cores: 8 });
  });
}
// The chunks of the sum go round.
for (let step = 0; step < count - 1; step++) {
  await all((card) => send(card, before(card.me + 1, step), before(card.me + 1, step)));
}

await all(({ copy, vector, host }) => copy(host.deviceAddress, vector.address, host.size));
const sum = (n: number) => (count * (count - 1)) / 2 + (count * n) / 8;
for (const { host } of ring) for (let n = 0; n < count * CHUNK; n++) assert.equal(host.floats[n], sum(n));
console.log(`${count} cards have added up ${count * CHUNK} numbers each: ${sum(0)}, ${sum(1)}, ${sum(2)}, ...`);
