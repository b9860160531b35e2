import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Endpoint } from '../../src/pci/endpoint.ts';
import { memoryRegion } from '../../src/pci/register-region.ts';
import { ArrayMemory } from '../../src/sim/memory.ts';
import { enable, ids } from '../pci/helpers.ts';
import { Driver, Host, Process } from './host.ts';

const PEER_AT = 0x20_0000_0000;
const MB = 1024 ** 2;

/** A device whose memory is a BAR, as a Gaudi's is. */
function withPeer(mappable = true) {
  const host = new Host(32 * MB);
  const memory = new ArrayMemory(8 * MB);
  const peer = new Endpoint({
    name: 'peer0',
    ids,
    bars: [{ index: 0, kind: 'memory64', prefetchable: true, region: memoryRegion(memory, { mappable }) }],
    pcie: { linkSpeed: 4, linkWidth: 16, flr: true },
    reset: () => {},
  });
  enable(peer, PEER_AT);
  host.place(peer, () => {});
  const first = new Driver(host);
  first.start();
  const process = new Process(first, {}, 2 * MB);
  const ah = process.handle(first.nic.address);
  const pages = [PEER_AT + 2 * MB];
  const keys = first.registerPages(process.pd, pages, 2 * MB, 7, 0, 21);
  return { host, memory, peer, process, ah, keys, driver: first };
}

describe('memory of a peer', () => {
  for (const mappable of [true, false]) {
    it(`is read and written without passing host memory (${mappable ? 'mapped' : 'by accesses'})`, () => {
      const { host, memory, process, ah, keys } = withPeer(mappable);
      process.bytes.forEach((_, i, all) => {
        all[i] = i * 13;
      });
      host.fabric.clearTraffic();
      process.rdma('write', 1, ah, process, { at: process.buffer, length: MB }, { at: 4096, rkey: keys.rkey });
      host.run();
      assert.equal(process.poll()?.status, 0);
      assert.ok(
        Buffer.compare(memory.bytes.subarray(2 * MB + 4096, 3 * MB + 4096), process.bytes.subarray(0, MB)) === 0,
      );
      // From one half of the peer's memory to the other: nothing of it goes to the host.
      host.fabric.clearTraffic();
      process.rdma(
        'read',
        2,
        ah,
        process,
        { at: 1.5 * MB, length: MB / 4, lkey: keys.lkey },
        { at: 4096, rkey: keys.rkey },
      );
      host.run();
      assert.equal(process.poll()?.status, 0);
      assert.ok(
        Buffer.compare(
          memory.bytes.subarray(3.5 * MB, 3.75 * MB),
          memory.bytes.subarray(2 * MB + 4096, 2.25 * MB + 4096),
        ) === 0,
      );
      const traffic = host.fabric.traffic();
      const toHost = traffic.filter((t) => t.to === 'host').reduce((sum, t) => sum + t.read + t.written, 0);
      assert.ok(toHost < 100, `${toHost} bytes of host memory for a completion`);
      const peer = traffic.find((t) => t.to === 'peer0');
      assert.deepEqual([peer?.read, peer?.written], [MB / 4, MB / 4]);
    });
  }

  it('that has moved away fails the request, on the side where it was', () => {
    const { host, peer, process, ah, keys, memory } = withPeer();
    peer.config.write(0x04, Uint8Array.of(0, 0));
    process.rdma('write', 1, ah, process, { at: process.buffer, length: 4096 }, { at: 0, rkey: keys.rkey });
    process.rdma('read', 2, ah, process, { at: 0, length: 4096, lkey: keys.lkey }, { at: process.buffer });
    process.rdma('read', 3, ah, process, { at: process.buffer, length: 4096 }, { at: process.buffer + 8192 });
    host.run();
    assert.deepEqual(
      process.pollAll().map((c) => [c.req_id, c.status]),
      [
        [1, 12],
        [2, 2],
        [3, 0],
      ],
    );
    assert.ok(memory.bytes.every((b) => b === 0));
  });

  it('several regions on the same memory do not disturb each other', () => {
    const { host, process, ah, driver, memory } = withPeer();
    const regions = Array.from({ length: 8 }, (_, i) =>
      driver.registerPages(process.pd, [PEER_AT + 4096 * i], 4096, 7, 0x5000 + 4096 * i, 12),
    );
    process.bytes.forEach((_, i, all) => {
      all[i] = i >> 12;
    });
    regions.forEach(({ rkey }, i) => {
      const from = { at: process.buffer + 4096 * i, length: 4096 };
      process.rdma('write', i, ah, process, from, { at: 0x5000 + 4096 * i, rkey });
    });
    host.run();
    assert.equal(process.pollAll().length, 8);
    for (let i = 0; i < 8; i++) assert.equal(memory.bytes[4096 * i + 5], i);
    driver.do('DEREG_MR', { l_key: regions[3]?.lkey ?? 0 });
    const stale = { at: 0x5000 + 3 * 4096, rkey: regions[3]?.rkey ?? 0 };
    process.rdma('write', 9, ah, process, { at: process.buffer, length: 8 }, stale);
    host.run();
    assert.equal(process.poll()?.status, 7);
  });
});
