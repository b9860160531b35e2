/** What a client relies on when it has the function reset itself: QEMU does not write BARs again (see ClientConfig). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientConfig } from '../../src/vfio-user/client-config.ts';
import { enable, findCapability, HostMemory, peek, poke, testFunction } from '../pci/helpers.ts';

const BAR0 = 0x12_3456_0000;
const INITIATE = 0x8000;

test('BARs stay where they are when a write resets the function, and it decodes once memory space is on again', () => {
  const { endpoint, resets } = testFunction(new HostMemory(4096));
  const config = new ClientConfig(endpoint.config);
  enable(endpoint, BAR0);
  const control = findCapability(config, 0x10) + 8;
  poke(config, control, 2, peek(config, control, 2) | INITIATE);
  assert.deepEqual(resets, ['function-level']);
  assert.equal(peek(config, 0x04, 2), 0, 'what the client writes again is as after a reset');
  assert.equal(endpoint.barAddress(0), undefined);
  poke(config, 0x04, 2, 6);
  assert.equal(endpoint.barAddress(0), BAR0);
});

test('BARs are written, sized and read through it', () => {
  const { endpoint } = testFunction(new HostMemory(4096));
  const config = new ClientConfig(endpoint.config);
  assert.equal(config.size, 4096);
  poke(config, 0x10, 4, 0xffff_ffff);
  assert.equal(peek(config, 0x10, 4), 0xffff_000c);
  poke(config, 0x10, 4, 0x4560_0000);
  poke(config, 0x14, 4, 1);
  poke(config, 0x04, 2, 2);
  assert.equal(endpoint.barAddress(0), 0x1_4560_0000);
});

test('a conventional reset takes BARs too', () => {
  const { endpoint } = testFunction(new HostMemory(4096));
  enable(endpoint, BAR0);
  endpoint.reset('conventional');
  assert.equal(peek(new ClientConfig(endpoint.config), 0x10, 4) & ~0xf, 0);
});
