import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Port, type PortOptions, type RootComplex, Topology } from '../../src/pci/topology.ts';
import { findExtendedCapability, HostMemory, ids, peek, poke, type TestFunction, testFunction } from './helpers.ts';

const q35: RootComplex = { name: 'q35', forwardsPeerToPeer: true, whitelisted: false };
const epyc: RootComplex = { name: 'epyc', forwardsPeerToPeer: true, whitelisted: true };
const deaf: RootComplex = { name: 'deaf', forwardsPeerToPeer: false, whitelisted: false };

function build(root: RootComplex) {
  const topology = new Topology(root);
  return {
    topology,
    port: (name: string, type: PortOptions['type'], parent?: Port, acs = false) =>
      topology.addPort({ name, type, ids, acs }, parent),
    device: (port?: Port): TestFunction['endpoint'] => {
      const { endpoint } = testFunction(new HostMemory(64));
      topology.place(endpoint, port);
      return endpoint;
    },
  };
}

/** Root port, switch with ACS, a device below each of two downstream ports. */
function switched(root: RootComplex) {
  const b = build(root);
  const rp = b.port('rp', 'root-port', undefined, true);
  const up = b.port('up', 'upstream', rp);
  const d0 = b.port('d0', 'downstream', up, true);
  const d1 = b.port('d1', 'downstream', up, true);
  return { ...b, rp, up, d0, d1, a: b.device(d0), c: b.device(d1) };
}

function setAcs(port: Port, control: number) {
  poke(port.config, findExtendedCapability(port.config, 0x0d) + 6, 2, control);
}

test('ports and functions go only where the bus has a place for them', () => {
  const b = build(q35);
  const rp = b.port('rp', 'root-port');
  const up = b.port('up', 'upstream', rp);
  assert.throws(() => b.port('rp2', 'root-port', rp), /rp2/);
  assert.throws(() => b.port('up2', 'upstream'), /up2/);
  assert.throws(() => b.port('up3', 'upstream', up), /up3/);
  assert.throws(() => b.port('d', 'downstream', rp), /d:/);
  assert.throws(() => b.port('d', 'downstream'), /d:/);
  assert.throws(() => b.device(up), /upstream/);
  const fn = b.device(rp);
  assert.throws(() => b.topology.place(fn, rp), /placed/);
  assert.throws(() => b.topology.route(fn, testFunction(new HostMemory(64)).endpoint), /no place/);
});

test('distances are those that Linux computes', () => {
  const s = switched(q35);
  assert.equal(s.topology.distance(s.a, s.a), 0);
  assert.equal(s.topology.distance(s.a, s.c), 4, 'two ports of a switch');
  const beside = s.device(s.d0);
  assert.equal(s.topology.distance(s.a, beside), 2, 'two functions of one slot');
  const other = s.device(s.port('rp1', 'root-port'));
  assert.equal(s.topology.distance(s.a, other), -1, 'another root port, and the host bridge is not in the list');
  const e = build(epyc);
  const x = e.device(e.port('rp0', 'root-port'));
  const y = e.device(e.port('rp1', 'root-port'));
  assert.equal(e.topology.distance(x, y), 4);
  assert.equal(e.topology.distance(e.device(), e.device()), 2, 'both on the root bus');
});

test('nested switches count every bridge up to the common one', () => {
  const s = switched(q35);
  const up2 = s.port('up2', 'upstream', s.d1);
  const deep = s.device(s.port('d2', 'downstream', up2));
  assert.equal(s.topology.distance(s.a, deep), 6);
  assert.equal(s.topology.distance(deep, s.a), 6);
  assert.equal(s.topology.route(deep, s.c), 'switch');
});

test('ACS redirection on any port of the path sends requests through the root complex', () => {
  for (const control of [0x04, 0x08]) {
    for (const which of ['d0', 'd1'] as const) {
      const s = switched(q35);
      assert.equal(s.topology.route(s.a, s.c), 'switch');
      setAcs(s[which], control);
      assert.equal(s.topology.route(s.a, s.c), 'root-complex');
      assert.equal(s.topology.distance(s.a, s.c), -1);
      setAcs(s[which], 0);
      assert.equal(s.topology.distance(s.a, s.c), 4);
    }
  }
  const s = switched(epyc);
  setAcs(s.d0, 0x04);
  assert.equal(s.topology.distance(s.a, s.c), 4, 'a trusted host bridge: the same hops');
  const f = switched(q35);
  setAcs(f.rp, 0x04);
  assert.equal(f.topology.route(f.a, f.c), 'switch', 'a port above the common bridge does not matter');
  setAcs(f.d0, 0x03);
  assert.equal(f.topology.route(f.a, f.c), 'switch', 'source validation redirects nothing');
});

test('the redirection of the common bridge itself counts', () => {
  const s = switched(q35);
  const beside = s.device(s.d0);
  setAcs(s.d0, 0x04);
  assert.equal(s.topology.distance(s.a, beside), -1);
  assert.equal(s.topology.distance(beside, s.a), -1);
});

test('a root complex that does not forward leaves no route', () => {
  const s = switched(deaf);
  assert.equal(s.topology.route(s.a, s.c), 'switch');
  const other = s.device(s.port('rp1', 'root-port'));
  assert.equal(s.topology.route(s.a, other), 'none');
  setAcs(s.d0, 0x04);
  assert.equal(s.topology.route(s.a, s.c), 'none');
});

test('a secondary bus reset reaches all functions and ports below, and no others', () => {
  const b = build(q35);
  const rp = b.port('rp', 'root-port');
  const up = b.port('up', 'upstream', rp);
  const d0 = b.port('d0', 'downstream', up, true);
  const below = testFunction(new HostMemory(64));
  b.topology.place(below.endpoint, d0);
  const beside = testFunction(new HostMemory(64));
  b.topology.place(beside.endpoint, b.port('rp1', 'root-port'));
  setAcs(d0, 0x04);
  poke(d0.config, 0x18, 4, 0x0003_0201);
  poke(rp.config, 0x3e, 2, 0x40);
  assert.deepEqual(below.resets, ['conventional']);
  assert.deepEqual(beside.resets, []);
  assert.equal(d0.redirects(), false);
  assert.equal(peek(d0.config, 0x18, 4), 0);
  poke(rp.config, 0x3e, 2, 0);
  assert.deepEqual(below.resets, ['conventional']);
});
