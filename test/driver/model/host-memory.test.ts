import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HostMemory, HUGE_PAGE, PAGE } from '../../../src/driver/model/host-memory.ts';

const MiB = 2 ** 20;

/** Bytes that tell the page that they are in. */
function numbered(pages: number): Uint8Array {
  const bytes = new Uint8Array(pages * PAGE);
  const view = new DataView(bytes.buffer);
  for (let page = 0; page < pages; page++) view.setUint32(page * PAGE, page, true);
  return bytes;
}

function read(memory: HostMemory, bus: number, length: number): Uint8Array | Error {
  const target = new Uint8Array(length);
  let result: Uint8Array | Error = target;
  memory.read(bus, target, (error) => {
    if (error) result = error;
  });
  return result;
}

test('nobody answers where no memory is, beside it, and where it was', () => {
  const memory = new HostMemory();
  const first = memory.allocateCoherent(100);
  const scattered = memory.scatter(numbered(100), false);
  const last = memory.allocateCoherent(5 * PAGE);
  assert.ok(read(memory, 0, 4) instanceof Error);
  assert.ok(read(memory, first.bus - 1, 1) instanceof Error);
  assert.ok(read(memory, last.bus + 5 * PAGE, 1) instanceof Error);
  assert.equal(memory.view(last.bus + 5 * PAGE - 1, 2), undefined);
  scattered.free();
  for (const bus of scattered.pages) assert.ok(read(memory, bus, 4) instanceof Error);
  first.free();
  first.free();
  assert.ok(read(memory, first.bus, 4) instanceof Error);
  assert.ok(read(memory, last.bus, 4) instanceof Uint8Array);
});

test('every page of a program is found at its own address', () => {
  const memory = new HostMemory();
  for (const pages of [1, 15, 16, 17, 64, 65, 1024, 1300, 5000]) {
    const scattered = memory.scatter(numbered(pages), false);
    assert.equal(scattered.pages.length, pages);
    assert.equal(new Set(scattered.pages).size, pages);
    scattered.pages.forEach((bus, page) => {
      const bytes = read(memory, bus, 4);
      assert.ok(bytes instanceof Uint8Array);
      assert.equal(new DataView(bytes.buffer).getUint32(0, true), page);
    });
  }
});

test('the first pages lie alone, later ones in blocks, none of which is a huge page', () => {
  const memory = new HostMemory();
  const { pages } = memory.scatter(new Uint8Array(64 * MiB), false);
  const follows = (i: number) => pages[i] === (pages[i - 1] as number) + PAGE;
  for (let i = 1; i < 64; i++) assert.ok(!follows(i), `page ${i}`);
  let run = 1;
  let [longest, runs] = [1, 1];
  for (let i = 1; i < pages.length; i++) {
    if (follows(i)) run++;
    else {
      run = 1;
      runs++;
    }
    longest = Math.max(longest, run);
  }
  assert.ok(longest * PAGE < HUGE_PAGE);
  // a card walks few blocks, however much memory it is
  assert.ok(runs < 200, `${runs} runs`);
});

test('small allocations lie side by side in the process, and none reaches into another', () => {
  const memory = new HostMemory();
  const all = Array.from({ length: 40 }, (_, i) => memory.allocateCoherent(1 + 1000 * i));
  all.forEach(({ pages, view }, i) => {
    pages.fill(i + 1);
    assert.equal(view.byteLength, 1 + 1000 * i);
  });
  all.forEach(({ bus, pages }, i) => {
    assert.ok(pages.every((byte) => byte === i + 1));
    assert.deepEqual(read(memory, bus, 1), Uint8Array.of(i + 1));
  });
});
