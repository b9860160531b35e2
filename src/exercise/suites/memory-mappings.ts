/** What the card sees through mappings that are not whole, aligned or alone: parts of pages, large pages, neighbours, many. */

import assert from 'node:assert/strict';
import { HostBuffer } from '../../runtime/memory.ts';
import type { Declare } from '../suite.ts';
import { assertErrno, assertSame, copy, fill, GiB, KiB, MiB } from './lib.ts';

const DOWN = 'DMA_0_0';
const PAGE = 4 * KiB;
const HUGE = 2 * MiB;
/** The first address that no program has, with four levels of page tables, and one of the kernel's. */
const NOT_OF_PROGRAMS = [0x7fff_ffff_f000n, 0xffff_8000_0000_0000n] as const;
/**
 * So far apart that three tables on the way to a page lead nowhere else. A mapping with a page on either side takes six, and so
 * many mappings would take more than there are: 191 MiB of 4 KiB each (gaudiP.h, MMU_PAGE_TABLES_SIZE).
 */
const APART = 512n * BigInt(GiB);
const PLACES = 100;
const MAPPINGS = 8500;

export function mappings(test: Declare): void {
  test('what begins within a page is seen from there on', async (t) => {
    const { device } = t;
    const host = t.use(new HostBuffer(t.target.driver, 4 * PAGE));
    fill(host.bytes, t.random);
    const result = t.use(device.allocHost(PAGE));
    const sram = t.use(device.sram.allocate(PAGE));
    using map = device.mapHost(host.address + 100n, 2 * PAGE);
    await copy(t, DOWN, sram.address, map.deviceAddress, PAGE);
    await copy(t, DOWN, result.deviceAddress, sram.address, PAGE);
    assertSame(result.bytes, host.bytes.slice(100, 100 + PAGE), 'what the device read');
  });

  test('memory of the kernel cannot be mapped', (t) => {
    t.expectMessages(/user pointer is invalid/, /failed to get user memory/);
    for (const address of NOT_OF_PROGRAMS) assertErrno('EFAULT', () => t.device.mapHost(address, PAGE));
  });

  test('pages side by side for the device need not be so in the host', async (t) => {
    const { device } = t;
    const host = t.use(new HostBuffer(t.target.driver, MiB));
    const count = 8;
    const expected = new Uint8Array(count * PAGE);
    const place = device.mapHost(host.address, PAGE);
    const first = place.deviceAddress + 64n * BigInt(MiB);
    place[Symbol.dispose]();
    for (let i = 0; i < count; i++) {
      // in reverse, so that behind each is another than the device is to see there
      const at = MiB - (i + 1) * PAGE;
      const bytes = host.bytes.subarray(at, at + PAGE);
      fill(bytes, t.random);
      expected.set(bytes, i * PAGE);
      t.use(device.mapHost(host.address + BigInt(at), PAGE, { hint: first + BigInt(i * PAGE), forceHint: true }));
    }
    const result = t.use(device.allocHost(expected.length));
    const sram = t.use(device.sram.allocate(expected.length));
    // the second time the device knows where they are
    for (const when of ['first', 'again']) {
      result.bytes.fill(0);
      await copy(t, DOWN, sram.address, first, expected.length);
      await copy(t, DOWN, result.deviceAddress, sram.address, expected.length);
      assertSame(result.bytes, expected, `what the device read ${when}`);
    }
  });

  test('pages of one large page that are mapped far from each other are not taken for neighbours', async (t) => {
    const { device } = t;
    const huge = t.use(new HostBuffer(t.target.driver, HUGE, { hugePages: true }));
    // not the one at its beginning: what begins at 2 MiB is mapped at addresses that do (map_device_va)
    fill(huge.bytes.subarray(PAGE, 4 * PAGE), t.random);
    const at = (page: number) => huge.bytes.slice(page * PAGE, (page + 1) * PAGE);
    const result = t.use(device.allocHost(2 * PAGE));
    const sram = t.use(device.sram.allocate(2 * PAGE));
    const room = device.mapHost(huge.address + BigInt(PAGE), PAGE);
    const first = room.deviceAddress + 64n * BigInt(MiB);
    room[Symbol.dispose]();
    const force = { forceHint: true } as const;
    const seen = async (address: bigint, expected: readonly Uint8Array[], what: string) => {
      const size = expected.length * PAGE;
      await copy(t, DOWN, sram.address, address, size);
      await copy(t, DOWN, result.deviceAddress, sram.address, size);
      assertSame(result.bytes.subarray(0, size), Buffer.concat(expected), what);
    };
    using _first = device.mapHost(huge.address + BigInt(PAGE), PAGE, { hint: first, ...force });
    using _second = device.mapHost(huge.address + BigInt(3 * PAGE), PAGE, { hint: first + BigInt(PAGE), ...force });
    // the second time the device knows where they are
    for (const when of ['first', 'again']) await seen(first, [at(1), at(3)], `two that are not side by side, ${when}`);
    // wherever a cache keeps it, what follows the first page in the host is not what follows it here
    for (let apart = 4n * BigInt(MiB); apart <= BigInt(GiB); apart *= 2n) {
      const far = first + apart + BigInt(PAGE);
      using _far = device.mapHost(huge.address + BigInt(2 * PAGE), PAGE, { hint: far, ...force });
      await seen(far, [at(2)], `${apart} bytes apart`);
      await seen(first, [at(1), at(3)], `after what is ${apart} bytes apart`);
    }
  });

  test('a large page is reached from anywhere within it', async (t) => {
    const { device } = t;
    const result = t.use(device.allocHost(PAGE));
    const sram = t.use(device.sram.allocate(PAGE));
    for (const at of [HUGE - PAGE, 5 * PAGE, 100, 0]) {
      // nothing of it was ever looked at before
      using host = device.allocHost(HUGE, { hugePages: true });
      fill(host.bytes.subarray(at, at + PAGE), t.random);
      await copy(t, DOWN, sram.address, host.deviceAddress + BigInt(at), PAGE);
      await copy(t, DOWN, result.deviceAddress, sram.address, PAGE);
      assertSame(result.bytes, host.bytes.slice(at, at + PAGE), `what the device read at ${at}`);
    }
  });

  test('after a large page is mapped anew the device sees the new memory', async (t) => {
    const { device } = t;
    const result = t.use(device.allocHost(PAGE));
    const sram = t.use(device.sram.allocate(PAGE));
    const [old, fresh] = [0, 1].map(() => t.use(new HostBuffer(t.target.driver, HUGE, { hugePages: true })));
    assert.ok(old && fresh);
    fill(old.bytes.subarray(0, PAGE), t.random);
    fill(fresh.bytes.subarray(0, PAGE), t.random);
    const map = device.mapHost(old.address, HUGE);
    const hint = map.deviceAddress;
    await copy(t, DOWN, sram.address, hint, PAGE);
    map[Symbol.dispose]();
    using _ = device.mapHost(fresh.address, HUGE, { hint, forceHint: true });
    await copy(t, DOWN, sram.address, hint, PAGE);
    await copy(t, DOWN, result.deviceAddress, sram.address, PAGE);
    assertSame(result.bytes, fresh.bytes.slice(0, PAGE), 'what the device read');
  });

  test(
    'page tables that are empty are used again',
    (t) => {
      const { device } = t;
      const host = t.use(new HostBuffer(t.target.driver, 3 * PAGE));
      // memory that begins where a large page does is placed where one can begin (common/memory.c, map_device_va)
      const memory = host.address % BigInt(HUGE) === 0n ? host.address + BigInt(PAGE) : host.address;
      const place = device.mapHost(host.address, PAGE);
      const first = place.deviceAddress / APART;
      place[Symbol.dispose]();
      for (let i = 0; i < MAPPINGS; i++) {
        const hint = (first + BigInt(1 + (i % PLACES))) * APART - BigInt(PAGE);
        device.mapHost(memory, 2 * PAGE, { hint, forceHint: true })[Symbol.dispose]();
      }
    },
    { timeout: 300 },
  );
}
