import assert from 'node:assert/strict';
import { test } from 'node:test';
import { msix } from '../../src/pci/interrupts.ts';
import { composeRegion, memoryRegion } from '../../src/pci/register-region.ts';
import { ErrorLog } from '../../src/sim/errors.ts';
import { ArrayMemory } from '../../src/sim/memory.ts';
import { enable, findCapability, HostMemory, peek, poke, testFunction } from './helpers.ts';

const BAR0 = 0x1_0000_0000;
const MSI = { FLAGS: 2, ADDRESS_LO: 4, ADDRESS_HI: 8, DATA: 12, MASK: 16, PENDING: 20 };

function msiFunction(vectors: 1 | 4 | 32, maskable: boolean) {
  const f = testFunction(new HostMemory(4096), { msi: { vectors, maskable } });
  const at = findCapability(f.endpoint.config, 0x05);
  enable(f.endpoint, BAR0);
  return {
    ...f,
    set: (register: keyof typeof MSI, width: number, value: number) =>
      poke(f.endpoint.config, at + MSI[register], width, value),
    get: (register: keyof typeof MSI, width: number) => peek(f.endpoint.config, at + MSI[register], width),
    seen: () => f.interrupts.splice(0).map((i) => `${i.kind}${i.vector}`),
  };
}

test('MSI: nothing is sent before the host enables it', () => {
  const f = msiFunction(4, true);
  f.endpoint.raise(0);
  assert.deepEqual(f.seen(), []);
  f.set('FLAGS', 2, 0x1);
  assert.deepEqual(f.seen(), [], 'and it is not remembered');
  f.endpoint.raise(0);
  assert.deepEqual(f.seen(), ['msi0']);
});

test('MSI: an interrupt is a memory write, so without bus mastering it is lost', () => {
  const f = msiFunction(1, false);
  f.set('FLAGS', 2, 0x1);
  poke(f.endpoint.config, 4, 2, 0x2);
  f.endpoint.raise(0);
  poke(f.endpoint.config, 4, 2, 0x6);
  assert.deepEqual(f.seen(), []);
});

test('MSI: with fewer vectors allocated than offered, the low bits of the number count', () => {
  const f = msiFunction(32, false);
  f.set('FLAGS', 2, 0x1 | (1 << 4));
  for (const vector of [0, 1, 2, 31]) f.endpoint.raise(vector);
  assert.deepEqual(f.seen(), ['msi0', 'msi1', 'msi0', 'msi1']);
  f.set('FLAGS', 2, 0x1);
  f.endpoint.raise(31);
  assert.deepEqual(f.seen(), ['msi0']);
});

test('MSI: more vectors than offered cannot be allocated', () => {
  const f = msiFunction(4, false);
  f.set('FLAGS', 2, 0x1 | (7 << 4));
  f.endpoint.raise(6);
  assert.deepEqual(f.seen(), ['msi2']);
});

test('MSI: without per-vector masking the capability ends after the data', () => {
  const f = msiFunction(4, false);
  assert.equal(f.get('FLAGS', 2) & 0x100, 0);
  f.set('MASK', 4, 0xffff_ffff);
  f.set('FLAGS', 2, 0x1);
  f.endpoint.raise(0);
  assert.deepEqual(f.seen(), ['msi0']);
});

test('MSI: a masked vector is pending, once, until it is unmasked', () => {
  const f = msiFunction(32, true);
  f.set('FLAGS', 2, 0x1 | (5 << 4));
  f.set('MASK', 4, 0x8000_0002);
  f.endpoint.raise(31);
  f.endpoint.raise(31);
  f.endpoint.raise(1);
  f.endpoint.raise(2);
  assert.deepEqual(f.seen(), ['msi2']);
  assert.equal(f.get('PENDING', 4), 0x8000_0002);
  f.set('PENDING', 4, 0xffff_ffff);
  assert.equal(f.get('PENDING', 4), 0x8000_0002, 'pending bits are read-only');
  f.set('MASK', 4, 0x8000_0000);
  assert.deepEqual(f.seen(), ['msi1']);
  f.set('MASK', 4, 0);
  assert.deepEqual(f.seen(), ['msi31']);
  assert.equal(f.get('PENDING', 4), 0);
});

test('MSI: what is pending stays so while the host has MSI disabled', () => {
  const f = msiFunction(4, true);
  f.set('FLAGS', 2, 0x1);
  f.set('MASK', 4, 1);
  f.endpoint.raise(0);
  f.set('FLAGS', 2, 0);
  f.set('MASK', 4, 0);
  assert.deepEqual(f.seen(), []);
  f.set('FLAGS', 2, 0x1);
  assert.deepEqual(f.seen(), ['msi0']);
});

test('MSI: a function-level reset forgets what is pending', () => {
  const f = msiFunction(4, true);
  f.set('FLAGS', 2, 0x1);
  f.set('MASK', 4, 1);
  f.endpoint.raise(0);
  const express = findCapability(f.endpoint.config, 0x10);
  poke(f.endpoint.config, express + 8, 2, 0x8000);
  assert.deepEqual(f.resets, ['function-level']);
  assert.equal(peek(f.endpoint.config, express + 8, 2) & 0x8000, 0);
  assert.equal(f.get('PENDING', 4), 0);
  assert.equal(f.get('FLAGS', 2), 0x0184);
  enable(f.endpoint, BAR0);
  f.set('FLAGS', 2, 0x1);
  assert.deepEqual(f.seen(), []);
});

const TABLE = 0x1000;
const PBA = 0x2000;

function msixFunction(vectors: number, hostKeepsMsixTable = false) {
  const errors = new ErrorLog();
  const interrupts = msix({ vectors, table: { bar: 0, offset: TABLE }, pba: { bar: 0, offset: PBA }, errors });
  const memory = new ArrayMemory(0x10000);
  const fill = (size: number) => memoryRegion(memory, { size, mappable: false });
  const region = composeRegion([
    { offset: 0, region: fill(TABLE) },
    { offset: TABLE, region: interrupts.table },
    { offset: TABLE + interrupts.table.size, region: fill(PBA - TABLE - interrupts.table.size) },
    { offset: PBA, region: interrupts.pba },
    { offset: PBA + interrupts.pba.size, region: fill(0x4000 - PBA - interrupts.pba.size) },
  ]);
  const f = testFunction(new HostMemory(4096), {
    bars: [{ index: 0, kind: 'memory64', prefetchable: false, region }],
    msi: { vectors: 1 },
    msix: interrupts,
    hostKeepsMsixTable,
  });
  const at = findCapability(f.endpoint.config, 0x11);
  enable(f.endpoint, BAR0);
  return {
    ...f,
    errors,
    region,
    flags: (value: number) => poke(f.endpoint.config, at + 2, 2, value),
    unmask: (vector: number) => poke(region, TABLE + 16 * vector + 12, 4, 0),
    mask: (vector: number) => poke(region, TABLE + 16 * vector + 12, 4, 1),
    pending: (vector: number) => (peek(region, PBA + (vector >>> 3), 1) >> (vector & 7)) & 1,
    seen: () => f.interrupts.splice(0).map((i) => `${i.kind}${i.vector}`),
    at,
  };
}

test('MSI-X: impossible numbers and places are refused', () => {
  const errors = new ErrorLog();
  const place = { bar: 0, offset: 0 };
  assert.throws(() => msix({ vectors: 0, table: place, pba: place, errors }));
  assert.throws(() => msix({ vectors: 2049, table: place, pba: place, errors }));
  assert.throws(() => msix({ vectors: 1, table: { bar: 0, offset: 4 }, pba: place, errors }));
});

test('MSI-X: a vector that the function does not have is a defect of the device model', () => {
  const f = msixFunction(2);
  f.flags(0x8000);
  assert.throws(() => f.endpoint.raise(2), RangeError);
});

test('MSI-X: the capability says how many vectors there are and where their table is', () => {
  const f = msixFunction(65);
  assert.equal(peek(f.endpoint.config, f.at + 2, 2), 64);
  assert.equal(peek(f.endpoint.config, f.at + 4, 4), TABLE);
  assert.equal(peek(f.endpoint.config, f.at + 8, 4), PBA);
  assert.deepEqual(f.endpoint.vectors, { intx: 0, msi: 1, msix: 65 });
});

test('MSI-X: vectors are masked after reset; raised while masked, they are sent when unmasked', () => {
  const f = msixFunction(65);
  f.flags(0x8000);
  f.endpoint.raise(64);
  f.endpoint.raise(64);
  f.endpoint.raise(3);
  assert.deepEqual(f.seen(), []);
  assert.equal(f.pending(64), 1);
  f.unmask(64);
  assert.deepEqual(f.seen(), ['msix64']);
  assert.equal(f.pending(64), 0);
  assert.equal(f.pending(3), 1);
  f.endpoint.raise(64);
  assert.deepEqual(f.seen(), ['msix64']);
  f.mask(64);
  f.endpoint.raise(64);
  assert.deepEqual(f.seen(), []);
});

test('MSI-X: the function mask holds all vectors', () => {
  const f = msixFunction(3);
  for (const vector of [0, 1, 2]) f.unmask(vector);
  f.flags(0xc000);
  f.endpoint.raise(2);
  f.endpoint.raise(0);
  assert.deepEqual(f.seen(), []);
  f.flags(0x8000);
  assert.deepEqual(f.seen(), ['msix0', 'msix2']);
});

test('MSI-X: the mask bit may be written as a byte, and reserved bits stay clear', () => {
  const f = msixFunction(1);
  f.flags(0x8000);
  f.endpoint.raise(0);
  poke(f.region, TABLE + 13, 1, 0xff);
  assert.equal(peek(f.region, TABLE + 12, 4), 1);
  assert.deepEqual(f.seen(), []);
  poke(f.region, TABLE + 12, 1, 0);
  assert.deepEqual(f.seen(), ['msix0']);
});

test('MSI-X: table entries take 4 and 8 bytes, the pending bits none', () => {
  const f = msixFunction(2);
  f.region.write(TABLE + 16, Uint8Array.of(0xff, 0, 0xe0, 0xfe, 1, 0, 0, 0));
  assert.equal(peek(f.region, TABLE + 16, 4), 0xfee0_00fc);
  assert.equal(peek(f.region, TABLE + 20, 4), 1);
  poke(f.region, TABLE + 24, 4, 0x4021);
  assert.equal(peek(f.region, TABLE + 24, 4), 0x4021);
  poke(f.region, PBA, 4, 0xff);
  poke(f.region, PBA, 1, 0xff);
  assert.equal(peek(f.region, PBA, 4), 0);
  assert.deepEqual(f.errors.entries(), []);
});

test('MSI-X: while it is enabled, MSI is not used; while neither is, nothing is sent', () => {
  const f = msixFunction(1);
  const message = findCapability(f.endpoint.config, 0x05);
  f.unmask(0);
  f.endpoint.raise(0);
  poke(f.endpoint.config, message + 2, 2, 1);
  f.endpoint.raise(0);
  f.flags(0x8000);
  f.endpoint.raise(0);
  assert.deepEqual(f.seen(), ['msi0', 'msix0']);
});

test('MSI-X: reset masks the vectors and forgets what is pending', () => {
  const f = msixFunction(2);
  f.flags(0x8000);
  f.unmask(1);
  f.endpoint.raise(0);
  f.endpoint.reset('conventional');
  assert.equal(f.pending(0), 0);
  assert.equal(peek(f.region, TABLE + 16 + 12, 4), 1);
  enable(f.endpoint, BAR0);
  f.flags(0x8000);
  f.unmask(0);
  assert.deepEqual(f.seen(), []);
});

test('MSI-X: a host that keeps the table itself masks by itself; the function mask is still here', () => {
  const f = msixFunction(2, true);
  f.flags(0x8000);
  f.endpoint.raise(1);
  assert.deepEqual(f.seen(), ['msix1']);
  f.flags(0xc000);
  f.endpoint.raise(1);
  assert.deepEqual(f.seen(), []);
  f.flags(0x8000);
  assert.deepEqual(f.seen(), ['msix1']);
});

test('INTx: a function without a pin has none', () => {
  const f = testFunction(new HostMemory(4096));
  assert.throws(() => f.endpoint.setIntx(true), /no INTx/);
});

test('INTx: told once per assertion, again when the host enables it, and shown in status', () => {
  const f = testFunction(new HostMemory(4096), { interruptPin: 1 });
  const { config } = f.endpoint;
  const seen = () => f.interrupts.splice(0).length;
  assert.equal(peek(config, 0x3d, 1), 1);
  f.endpoint.setIntx(true);
  f.endpoint.setIntx(true);
  assert.equal(seen(), 1);
  assert.equal(peek(config, 6, 2) & 0x8, 0x8);
  poke(config, 4, 2, 0x400);
  assert.equal(seen(), 0);
  poke(config, 4, 2, 0);
  assert.equal(seen(), 1);
  f.endpoint.setIntx(false);
  assert.equal(peek(config, 6, 2) & 0x8, 0);
  poke(config, 4, 2, 0x400);
  f.endpoint.setIntx(true);
  assert.equal(seen(), 0, 'disabled');
  assert.equal(peek(config, 6, 2) & 0x8, 0x8, 'status does not look at the disable bit');
  f.endpoint.reset('function-level');
  assert.equal(peek(config, 6, 2) & 0x8, 0);
  assert.equal(seen(), 0, 'a reset deasserts');
  f.endpoint.setIntx(true);
  assert.equal(seen(), 1);
});
