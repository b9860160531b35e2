import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Link } from '../../src/pci/link.ts';
import type { DmaPort } from '../../src/pci/ports.ts';
import { VirtualClock } from '../../src/sim/clock.ts';

test('a link that passes no packets gives ones and loses writes; the function is not answered, and interrupts nobody', () => {
  const link = new Link('card');
  const bytes = new Uint8Array(8);
  const region = link.region({
    size: 8,
    mappable: [],
    read: (offset, target) => target.set(bytes.subarray(offset, offset + target.length)),
    write: (offset, source) => bytes.set(source, offset),
  });
  const seen: string[] = [];
  const dma: DmaPort = {
    view: () => bytes,
    read: (_address, _target, done) => done(),
    write: (_address, _source, done) => done(void seen.push('write') as undefined),
    store32: (_address, _value, done) => done(void seen.push('store') as undefined),
  };
  const ports = link.ports({ dma, clock: new VirtualClock(), interrupt: () => void seen.push('interrupt') });
  const look = () => {
    const read = new Uint8Array(4);
    region.read(2, read);
    region.write(2, Uint8Array.of(read[0] === 0xff ? 1 : 2));
    let refused = '';
    ports.dma.read(0, read, (error) => {
      refused = error?.message ?? 'answered';
    });
    ports.dma.write(0, read, () => seen.push('done'));
    ports.dma.store32(0, 1, () => seen.push('done'));
    ports.interrupt('msi', 0);
    const view = ports.dma.view(0, 4, 'read');
    return { read: [...read], refused: refused.split(':')[0], viewed: view !== undefined, seen: seen.splice(0).join() };
  };
  link.up = false;
  assert.deepEqual(look(), { read: [255, 255, 255, 255], refused: 'no-answer', viewed: false, seen: 'done,done' });
  assert.deepEqual([...bytes], [0, 0, 0, 0, 0, 0, 0, 0]);
  link.up = true;
  const passed = { refused: 'answered', viewed: true, seen: 'write,done,store,done,interrupt' };
  assert.deepEqual(look(), { read: [0, 0, 0, 0], ...passed });
  assert.equal(bytes[2], 2);
});
