import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Endpoint } from '../../src/pci/endpoint.ts';
import { Fabric } from '../../src/pci/fabric.ts';
import { PciError } from '../../src/pci/pci-error.ts';
import type { DmaPort } from '../../src/pci/ports.ts';
import { memoryRegion } from '../../src/pci/register-region.ts';
import { Topology } from '../../src/pci/topology.ts';
import { VirtualClock } from '../../src/sim/clock.ts';
import { ArrayMemory } from '../../src/sim/memory.ts';
import { enable, HostMemory, ids, poke } from './helpers.ts';

const seed = 0x7ab1;
const HOST = 0x1000;
/** Where the tests put BARs: the first right behind host memory, so that ranges may straddle. */
const A = 0x1000;
const B = 0x2000;
const C = 0x3000;
const BAR = 0x1000;

interface Card {
  readonly endpoint: Endpoint;
  readonly memory: ArrayMemory;
  readonly dma: DmaPort;
}

/** Cards a and b under one switch, c under another root port; BARs of 4 KiB, b's without direct access. */
function machine(options: { readonly forwards?: boolean; readonly direct?: boolean } = {}) {
  const topology = new Topology({ name: 'rc', forwardsPeerToPeer: options.forwards ?? true, whitelisted: false });
  const rp0 = topology.addPort({ name: 'rp0', type: 'root-port', ids });
  const up = topology.addPort({ name: 'up', type: 'upstream', ids }, rp0);
  const places = [
    topology.addPort({ name: 'd0', type: 'downstream', ids }, up),
    topology.addPort({ name: 'd1', type: 'downstream', ids }, up),
    topology.addPort({ name: 'rp1', type: 'root-port', ids }),
  ];
  const host = new HostMemory(HOST, options.direct ?? true);
  const ports: (DmaPort | undefined)[] = [];
  const made = ['a', 'b', 'c'].map((name, i) => {
    const memory = new ArrayMemory(BAR);
    const endpoint = new Endpoint({
      name,
      ids,
      bars: [
        { index: 0, kind: 'memory64', prefetchable: true, region: memoryRegion(memory, { mappable: name !== 'b' }) },
      ],
      pcie: { linkSpeed: 4, linkWidth: 16, flr: true },
      power: {},
      connected: (p) => {
        ports[i] = p.dma;
      },
      reset() {},
    });
    topology.place(endpoint, places[i]);
    return { endpoint, memory };
  });
  const fabric = new Fabric(topology);
  const [a, b, c] = made.map(({ endpoint, memory }, i): Card => {
    endpoint.connect({ dma: fabric.portFor(endpoint, host), clock: new VirtualClock(), interrupt() {} });
    enable(endpoint, [A, B, C][i] as number);
    return { endpoint, memory, dma: ports[i] as DmaPort };
  }) as [Card, Card, Card];
  return { fabric, host, a, b, c };
}

/** The error with which a transfer ended, undefined when it went well; it must have ended. */
function outcome(begin: (done: (error?: Error) => void) => void): Error | undefined {
  let calls = 0;
  let error: Error | undefined;
  begin((e) => {
    calls++;
    error = e;
  });
  assert.equal(calls, 1);
  return error;
}

function read(dma: DmaPort, address: number, length: number): Uint8Array {
  const target = new Uint8Array(length);
  assert.equal(
    outcome((done) => dma.read(address, target, done)),
    undefined,
  );
  return target;
}

function write(dma: DmaPort, address: number, source: Uint8Array): void {
  assert.equal(
    outcome((done) => dma.write(address, source, done)),
    undefined,
  );
}

function kindOf(error: Error | undefined): string {
  assert.ok(error instanceof PciError, `${error}`);
  return error.kind;
}

test('a function that is not bus master reaches nothing', () => {
  const { a, b, host } = machine();
  poke(a.endpoint.config, 4, 2, 0x2);
  for (const address of [0, B]) {
    assert.equal(kindOf(outcome((done) => a.dma.read(address, new Uint8Array(4), done))), 'not-master');
    assert.equal(kindOf(outcome((done) => a.dma.write(address, Uint8Array.of(1), done))), 'not-master');
    assert.equal(kindOf(outcome((done) => a.dma.store32(address, 1, done))), 'not-master');
    assert.equal(a.dma.view(address, 4, 'read'), undefined);
  }
  assert.equal(b.memory.bytes[0], 0);
  assert.equal(host.memory.bytes[0], 0);
});

test('a peer that does not decode is not there: the address is the host’s', () => {
  const { a, c } = machine();
  poke(c.endpoint.config, 4, 2, 0x4);
  assert.match(String(outcome((done) => a.dma.write(C, Uint8Array.of(1), done))), /nothing at 0x3000/);
  assert.equal(a.dma.view(C, 4, 'write'), undefined);
  assert.equal(c.memory.bytes[0], 0);
});

test('a peer in D3hot, or in reset, does not decode either', () => {
  const { a, c } = machine();
  write(a.dma, C, Uint8Array.of(1));
  poke(c.endpoint.config, 0x44, 2, 3);
  assert.ok(outcome((done) => a.dma.write(C, Uint8Array.of(2), done)));
  poke(c.endpoint.config, 0x44, 2, 0);
  write(a.dma, C, Uint8Array.of(3));
  c.endpoint.reset('function-level');
  assert.ok(outcome((done) => a.dma.write(C, Uint8Array.of(4), done)));
  assert.equal(c.memory.bytes[0], 3);
});

test('nobody answers a function that addresses its own BAR', () => {
  const { a } = machine();
  assert.equal(kindOf(outcome((done) => a.dma.write(A, Uint8Array.of(1), done))), 'no-route');
  assert.equal(a.dma.view(A, 4, 'write'), undefined);
  assert.equal(a.memory.bytes[0], 0);
});

test('without a forwarding root complex, only the peer under the same switch is reached', () => {
  const { a, b } = machine({ forwards: false });
  write(a.dma, B, Uint8Array.of(7));
  assert.equal(b.memory.bytes[0], 7);
  assert.equal(kindOf(outcome((done) => a.dma.read(C, new Uint8Array(1), done))), 'no-route');
  assert.equal(kindOf(outcome((done) => a.dma.store32(C, 1, done))), 'no-route');
  assert.equal(a.dma.view(C, 1, 'read'), undefined);
});

test('peer to peer moves nothing through host memory, and the counters show it', () => {
  const { a, c, fabric, host } = machine();
  const before = host.memory.bytes.slice();
  write(a.dma, B + 16, new Uint8Array(100).fill(5));
  assert.deepEqual(read(a.dma, B + 16, 100), new Uint8Array(100).fill(5));
  write(c.dma, A, new Uint8Array(8).fill(6));
  assert.deepEqual(fabric.traffic(), [
    { from: 'a', to: 'b', route: 'switch', read: 100, written: 100 },
    { from: 'c', to: 'a', route: 'root-complex', read: 0, written: 8 },
  ]);
  assert.deepEqual(host.memory.bytes, before);
  fabric.clearTraffic();
  a.dma.view(0, 32, 'read');
  assert.deepEqual(fabric.traffic(), [{ from: 'a', to: 'host', route: 'host', read: 32, written: 0 }]);
});

test('a view of a peer’s memory is the memory itself; registers have none', () => {
  const { a, c } = machine();
  const view = a.dma.view(C + 8, 4, 'write');
  view?.set([1, 2, 3, 4]);
  assert.deepEqual([...c.memory.bytes.subarray(8, 12)], [1, 2, 3, 4]);
  assert.equal(a.dma.view(B, 4, 'write'), undefined, 'not mappable');
  assert.equal(a.dma.view(C + BAR - 2, 4, 'write'), undefined, 'beyond the end');
  assert.equal(a.dma.view(A - 2, 4, 'write'), undefined, 'from the host into a BAR');
  assert.equal(a.dma.view(HOST - 4, 4, 'write')?.length, 4);
});

test('a store reaches memory and registers of a peer as one word', () => {
  const { a, b, c, host } = machine();
  for (const [address, memory] of [
    [8, host.memory],
    [B + 8, b.memory],
    [C + 8, c.memory],
  ] as const) {
    assert.equal(
      outcome((done) => a.dma.store32(address, 0x8000_0001, done)),
      undefined,
    );
    assert.equal(memory.words[2], 0x8000_0001);
  }
});

test('a range over host memory and BARs is split, each part to where it belongs', () => {
  const { b, c, host, a } = machine();
  const source = Uint8Array.from({ length: 0x1020 }, (_, i) => i & 0xff);
  write(c.dma, A - 16, source);
  assert.deepEqual(host.memory.bytes.subarray(HOST - 16), source.subarray(0, 16));
  assert.deepEqual(a.memory.bytes, source.subarray(16, 0x1010));
  assert.deepEqual(b.memory.bytes.subarray(0, 16), source.subarray(0x1010));
  assert.deepEqual(read(c.dma, A - 16, source.length), source);
});

test('a range that ends where nobody is fails once, after the parts before it', () => {
  const { a, b, c } = machine();
  poke(c.endpoint.config, 4, 2, 0x4);
  const error = outcome((done) => a.dma.write(B + BAR - 8, new Uint8Array(16).fill(9), done));
  assert.match(String(error), /nothing at 0x3000/);
  assert.deepEqual(b.memory.bytes.subarray(BAR - 8), new Uint8Array(8).fill(9));
});

test('a BAR that the host moves between two accesses is found where it is', () => {
  const { a, c, fabric } = machine();
  write(a.dma, C, Uint8Array.of(1));
  poke(c.endpoint.config, 0x10, 4, 0x9000);
  assert.ok(outcome((done) => a.dma.write(C, Uint8Array.of(2), done)));
  write(a.dma, 0x9001, Uint8Array.of(3));
  assert.deepEqual([...c.memory.bytes.subarray(0, 2)], [1, 3]);
  assert.equal(fabric.decode(C), undefined);
  assert.deepEqual([fabric.decode(0x9001)?.function.name, fabric.decode(0x9001)?.offset], ['c', 1]);
});

test('a BAR that moves while the host still answers the first part: the rest goes where it is then', () => {
  const { a, c, b, host } = machine({ direct: false });
  poke(c.endpoint.config, 4, 2, 0);
  poke(b.endpoint.config, 4, 2, 0);
  poke(c.endpoint.config, 0x10, 4, HOST);
  poke(a.endpoint.config, 0x10, 4, 0x8000);
  poke(c.endpoint.config, 4, 2, 6);
  let ended = 0;
  a.dma.write(HOST - 4, new Uint8Array(8).fill(1), (error) => {
    ended++;
    assert.equal(error, undefined);
  });
  assert.equal(ended, 0);
  poke(c.endpoint.config, 4, 2, 0);
  poke(b.endpoint.config, 0x10, 4, HOST);
  poke(b.endpoint.config, 4, 2, 2);
  host.settle();
  assert.equal(ended, 1);
  assert.deepEqual([...b.memory.bytes.subarray(0, 5)], [1, 1, 1, 1, 0]);
  assert.equal(c.memory.bytes[0], 0);
});

test('host and BARs together behave as one flat memory, whoever asks and wherever the BARs are', () => {
  const slots = fc.shuffledSubarray([0x1000, 0x2000, 0x3000, 0x4000], { minLength: 2, maxLength: 2 });
  const access = fc.record({
    address: fc.nat(0x5000),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }),
    how: fc.constantFrom('read', 'write', 'view'),
    slots,
  });
  fc.assert(
    fc.property(fc.array(access, { maxLength: 25 }), (accesses) => {
      const { a, b, c, host } = machine();
      // a asks, so b and c are what it can reach; its own BAR is elsewhere.
      poke(a.endpoint.config, 0x10, 4, 0xf000);
      for (const { address, bytes, how, slots: places } of accesses) {
        [b, c].forEach((card, i) => {
          poke(card.endpoint.config, 0x10, 4, places[i] as number);
        });
        const owner = (at: number) => {
          if (at < HOST) return { memory: host.memory, at };
          const i = places.findIndex((p) => at >= p && at < p + BAR);
          return i < 0 ? undefined : { memory: (i === 0 ? b : c).memory, at: at - (places[i] as number) };
        };
        const owners = Array.from(bytes, (_, i) => owner(address + i));
        const first = owners.indexOf(undefined);
        const expected = owners.map((o) => (o ? o.memory.bytes[o.at] : 0));
        if (how === 'read') {
          const target = new Uint8Array(bytes.length);
          const error = outcome((done) => a.dma.read(address, target, done));
          assert.equal(error === undefined, first < 0);
          if (!error) assert.deepEqual([...target], expected);
        } else if (how === 'view') {
          const view = a.dma.view(address, bytes.length, 'read');
          if (view) assert.deepEqual([...view], expected);
          const alone = owners.every((o) => o && o.memory === owners[0]?.memory && o.memory !== b.memory);
          assert.equal(view !== undefined, alone);
        } else {
          const error = outcome((done) => a.dma.write(address, bytes, done));
          assert.equal(error === undefined, first < 0);
          if (!error)
            assert.deepEqual(
              owners.map((o) => o?.memory.bytes[o.at]),
              [...bytes],
            );
        }
      }
    }),
    { seed, numRuns: 300 },
  );
});
