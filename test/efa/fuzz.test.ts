/** A guest that lies in everything, with resets in between: the device keeps to what it was given, and lives on. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type CommandName, commands } from '../../specs/efa/admin.ts';
import { Network } from '../../src/efa/network.ts';
import { Random } from '../../src/sim/random.ts';
import { seed } from '../seed.ts';
import { Driver, Host, Process, putControl } from './host.ts';

type Step =
  | { readonly kind: 'command'; readonly name: CommandName; readonly bytes: Uint8Array; readonly flags: number }
  | { readonly kind: 'work'; readonly bytes: Uint8Array; readonly which: number }
  | { readonly kind: 'receive'; readonly bytes: Uint8Array }
  | { readonly kind: 'doorbell'; readonly offset: number; readonly value: number }
  | { readonly kind: 'register'; readonly offset: number; readonly value: number }
  | { readonly kind: 'impair'; readonly loss: number }
  | { readonly kind: 'reset' }
  | { readonly kind: 'flr' };

const names = Object.keys(commands) as CommandName[];
/** Small numbers name things that exist, large ones wrap, the rest is anything. */
const byte = fc.oneof(
  { weight: 5, arbitrary: fc.constant(0) },
  fc.integer({ min: 0, max: 255 }),
  fc.constantFrom(1, 2, 0xff),
);
const bytes = (length: number) =>
  fc.array(byte, { minLength: length, maxLength: length }).map((a) => Uint8Array.from(a));

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('command' as const),
      name: fc.constantFrom(...names),
      bytes: bytes(60),
      flags: fc.constantFrom(0, 0, 2, 6),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('work' as const),
      bytes: bytes(64),
      which: fc.integer({ min: 0, max: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('receive' as const), bytes: bytes(16) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('doorbell' as const),
      offset: fc.integer({ min: 0, max: 0xfffff }).map((n) => n * 4),
      value: fc.integer({ min: 0, max: 0xffff_ffff }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('register' as const),
      offset: fc.integer({ min: 0, max: 31 }).map((n) => n * 4),
      value: fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.constantFrom(1, 2, 33, 0x4_0020)),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('impair' as const), loss: fc.constantFrom(0, 0, 0.3) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'reset' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'flr' as const }) },
);

/** Fields of a work request that are made to name what exists, so that the lie is in one of the others. */
function halfTrue(bytes: Uint8Array, which: number, from: Process, ah: number, to: Process): Uint8Array {
  const wqe = bytes.slice();
  const view = new DataView(wqe.buffer);
  if (which > 0) {
    wqe[2] = 0x80 | (which - 1) | ((wqe[2] as number) & 0x30);
    wqe[3] = 0x1c;
    view.setUint16(4, to.qp, true);
    view.setUint16(6, 1, true);
    view.setUint16(12, ah, true);
    view.setUint32(16, to.qkey, true);
  }
  const address = (at: number, base: number) => {
    const value = base + (view.getUint32(at, true) % 0x1_1000);
    view.setUint32(at, value, true);
    view.setUint32(at + 4, 0, true);
  };
  if (which === 1) {
    view.setUint32(36, from.keys.lkey, true);
    address(40, from.buffer);
  } else if (which > 1) {
    const length = view.getUint32(32, true) % 0x1_1000;
    view.setUint32(32, length, true);
    view.setUint32(48, length, true);
    view.setUint32(36, to.keys.rkey, true);
    view.setUint32(52, from.keys.lkey, true);
    address(40, to.buffer);
    address(56, from.buffer);
  }
  return wqe;
}

describe('hostile guests', () => {
  it('nothing outside of registered memory and of the rings is ever written, and the device answers after a reset', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
        const host = new Host(0x80_0000);
        const network = new Network({ seed: 3 });
        const driver = new Driver(host, { network }).start();
        const from = new Process(driver);
        const to = new Process(driver);
        const ah = from.handle(driver.nic.address);
        // The upper half belongs to someone else: nothing that is valid names it.
        const foreign = host.view(0x40_0000, 0x40_0000);
        const random = new Random(9);
        for (let i = 0; i < foreign.length; i += 997) foreign[i] = random.below(256);
        const before = foreign.slice();
        let up = true;
        for (const s of steps) {
          if (s.kind === 'command' && up) {
            // Rings and pages that are described with random addresses may be anywhere: those are the host's own doing.
            if (s.name === 'REG_MR' || s.name === 'CREATE_CQ' || s.name === 'CREATE_EQ' || s.name === 'CREATE_QP')
              continue;
            driver.put(commands[s.name].opcode, s.bytes, s.flags);
            driver.ring();
          } else if (s.kind === 'work') from.postRaw(halfTrue(s.bytes, s.which, from, ah, to));
          else if (s.kind === 'receive') to.receive(s.bytes[0] as number, [{ at: to.buffer, length: 100 }]);
          else if (s.kind === 'doorbell') driver.doorbell(s.offset % 0x40_0000, s.value);
          else if (s.kind === 'register' && s.offset !== 0x60 && s.offset !== 0x64) {
            // Bases of rings only, not their sizes: a ring that the host puts somewhere is where it is.
            if (s.offset >= 0x10 && s.offset <= 0x3c && s.offset !== 0x2c) continue;
            driver.nic.bars[0]?.region.write(
              s.offset,
              Uint8Array.of(s.value, s.value >>> 8, s.value >>> 16, s.value >>> 24),
            );
            if (s.offset === 0x54) up = (s.value & 1) === 0 && up;
          } else if (s.kind === 'impair') network.impair(s.loss > 0 ? { loss: s.loss, jitter: 1000 } : {});
          else if (s.kind === 'reset') {
            driver.write('DEV_CTL', 0);
            driver.start();
            up = true;
          } else if (s.kind === 'flr') {
            driver.nic.reset('conventional');
            return true;
          }
          host.run(100_000);
          while (up && driver.take());
        }
        network.impair({});
        host.run(1e9);
        assert.ok(Buffer.compare(foreign, before) === 0, 'foreign memory was written');
        driver.write('DEV_CTL', 0);
        driver.start();
        assert.equal(driver.try('ALLOC_PD').status, 0);
        return true;
      }),
      { seed: seed(), numRuns: 150 },
    );
  });

  it('every command with anything in it is answered, with a status that exists', () => {
    const host = new Host(0x400_0000);
    const driver = new Driver(host).start();
    const process = new Process(driver);
    process.handle(driver.nic.address);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 255 }), bytes(60), fc.constantFrom(0, 2, 6), (opcode, payload, flags) => {
        const { status } = driver.raw(opcode, payload, flags);
        assert.ok(status >= 0 && status <= 7);
      }),
      { seed: seed(), numRuns: 2000 },
    );
    assert.equal(driver.try('ALLOC_UAR').status === 0 || driver.nic.objects().uars > 0, true);
  });
});

describe('page lists', () => {
  const MB = 1024 ** 2;

  function registration(driver: Driver, pd: number, form: 2 | 6, count: number, length: number, address: number) {
    return driver.try(
      'REG_MR',
      { pd, mr_length: 4096 * count, iova: 0x10_0000_0000, phys_page_size_shift: 12, local_write: 1 },
      (payload) => putControl(payload, 4, length, address),
      form,
    );
  }

  it('of all three forms translate alike', () => {
    const host = new Host(64 * MB);
    const driver = new Driver(host).start();
    const p = new Process(driver);
    const ah = p.handle(driver.nic.address);
    const data = host.allocate(16 * 4096);
    host.view(data, 16 * 4096).forEach((_, i, all) => {
      all[i] = i * 7;
    });
    // Pages in reverse order.
    const pages = (n: number) => Array.from({ length: n }, (_, i) => data + 4096 * (n - 1 - i));
    for (const n of [4, 16]) {
      const keys = driver.registerPages(p.pd, pages(n), 4096 * n - 100, 7, 0x7000_0000_0064, 12);
      p.rdma('read', 1, ah, p, { at: p.buffer, length: 4096 * n - 100 }, { at: 0x7000_0000_0064, rkey: keys.rkey });
      host.run();
      assert.equal(p.poll()?.status, 0);
      const expected = pages(n)
        .flatMap((at) => [...host.view(at, 4096)])
        .slice(100);
      assert.deepEqual([...p.bytes.subarray(0, 4096 * n - 100)], expected);
    }
    const list = host.allocate(4096);
    const chunk = host.allocate(4096);
    const words = new BigUint64Array(host.bytes.buffer);
    pages(16).forEach((page, i) => {
      words[list / 8 + i] = BigInt(page);
    });
    words[chunk / 8] = BigInt(list);
    const { status, values } = registration(driver, p.pd, 6, 16, 20, chunk);
    assert.equal(status, 0);
    p.rdma('write', 1, ah, p, { at: 0x10_0000_0000, length: 65536 - 8, lkey: values.l_key }, { at: p.buffer });
    host.run();
    assert.equal(p.poll()?.status, 0);
    assert.deepEqual([...p.bytes.subarray(0, 4096)], [...host.view(data + 15 * 4096, 4096)]);
  });

  it('that lie are refused: too short, not aligned, beyond the bus, not reachable, pointing at themselves', () => {
    const host = new Host(64 * MB);
    const driver = new Driver(host, { limits: { maxRuns: 3000 } }).start();
    const { pd } = driver.do('ALLOC_PD');
    const at = host.allocate(4096);
    const view = new DataView(host.bytes.buffer);
    const illegal = (form: 2 | 6, count: number, length: number, address: number) =>
      assert.equal(registration(driver, pd, form, count, length, address).status, 5);
    illegal(2, 5, 39, at);
    illegal(2, 5, 40, 0x7fff_f000);
    illegal(2, 5, 40, 2 ** 53);
    view.setBigUint64(at, 8n, true);
    illegal(2, 5, 40, at);
    view.setBigUint64(at, 1n << 60n, true);
    illegal(2, 5, 40, at);
    illegal(6, 5, 12, at);
    illegal(6, 5, 5000, at);
    // A list whose pages are the list itself, and chunks that name themselves as the next: as many pages as were asked for.
    for (let i = 0; i < 510; i++) view.setBigUint64(at + 8 * i, BigInt(at), true);
    putControl(host.view(at, 4096), 4080, 4092, at);
    const { status } = registration(driver, pd, 6, 2 * 510 * 512, 4092, at);
    assert.ok(status === 5 || status === 1);
    assert.equal(driver.try('REG_MR', { pd, mr_length: 0, phys_page_size_shift: 12 }).status, 5);
    assert.equal(driver.try('REG_MR', { pd, mr_length: 4096, phys_page_size_shift: 11 }).status, 5);
    assert.equal(driver.try('REG_MR', { pd, mr_length: 4096, phys_page_size_shift: 63 }).status, 5);
    assert.equal(driver.try('REG_MR', { pd, mr_length: 2 ** 52, phys_page_size_shift: 12 }).status, 1);
    assert.equal(driver.try('REG_MR', { pd, mr_length: 2 ** 53, phys_page_size_shift: 12 }).status, 5);
    assert.equal(driver.try('REG_MR', { pd, mr_length: 5 * 4096, phys_page_size_shift: 12 }).status, 5, 'five inline');
    assert.equal(driver.nic.objects().mrs, 0);
  });

  it('of 1020 x 512 pages fill chunks exactly: what follows the last is not looked at', () => {
    const host = new Host(64 * MB);
    const driver = new Driver(host).start();
    const { pd } = driver.do('ALLOC_PD');
    const [first, second, list] = [host.allocate(4096), host.allocate(4096), host.allocate(4096)];
    const view = new DataView(host.bytes.buffer);
    for (let i = 0; i < 512; i++) view.setBigUint64(list + 8 * i, BigInt(4096 * (i % 16)), true);
    for (const chunk of [first, second]) {
      for (let i = 0; i < 510; i++) view.setBigUint64(chunk + 8 * i, BigInt(list), true);
    }
    putControl(host.view(first, 4096), 4080, 4092, second);
    putControl(host.view(second, 4096), 4080, 4092, 0x7fff_f000);
    assert.equal(registration(driver, pd, 6, 1020 * 512, 4092, first).status, 0);
    // The last chunk's length, as the driver of 6.12 has it where it is full.
    putControl(host.view(first, 4096), 4080, 12, second);
    assert.equal(registration(driver, pd, 6, 1020 * 512, 4092, first).status, 0);
  });
});
