/** Registered memory: in which pages, in which form of list, and that every byte is where the device is told it is. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { bestPageSize, blocks, type UserMemory } from '../../../src/driver/model/rdma/umem.ts';
import { Device } from '../../../src/runtime/device.ts';
import { RdmaContext } from '../../../src/runtime/verbs/device.ts';
import { seed } from '../../seed.ts';
import { errno, machineWith, RawVerbs } from './raw.ts';

const PAGE = 4096;
const MiB = 1 << 20;
const SIZES = 0xffff_f000n;

describe('pages of registered memory', () => {
  /** Pieces that follow each other or not, of some pages each, and an address within a page of the first. */
  const memories = fc
    .record({
      pieces: fc.array(
        fc.record({ gap: fc.constantFrom(0, 0, 1, 3, 512), pages: fc.constantFrom(1, 2, 3, 8, 512, 513, 1024) }),
        { minLength: 1, maxLength: 6 },
      ),
      base: fc.constantFrom(0x100_0000_0000, 0x100_0000_1000, 0x100_001f_f000, 0x80_0000_0000),
      offset: fc.constantFrom(0, 0, 1, 8, 4095),
      short: fc.integer({ min: 0, max: 4095 }),
      virtual: fc.constantFrom(0n, 0x1000n, 0x7f00_0000_0000n, 0x7f00_0020_0000n, 0x100_001f_f000n, 0xf_ffff_f000n),
    })
    .map(({ pieces, base, offset, short, virtual }) => {
      let address = base;
      const placed = pieces.map(({ gap, pages }) => {
        const piece = { address: address + gap * PAGE, length: pages * PAGE };
        address = piece.address + piece.length;
        return piece;
      });
      const total = placed.reduce((sum, { length }) => sum + length, 0);
      const length = BigInt(Math.max(1, total - offset - (short % Math.max(1, Math.min(PAGE, total - offset)))));
      const memory: UserMemory = { offset, length, pieces: placed, release() {} };
      return { memory, virtual: virtual + BigInt(offset) };
    });

  /** Bus address of a byte. */
  const busOf = ({ pieces, offset }: UserMemory, at: number) => {
    let left = at + offset;
    for (const { address, length } of pieces) {
      if (left < length) return address + left;
      left -= length;
    }
    throw new Error('outside');
  };
  /** Whether blocks of this size hold every page of it where it is. */
  const fits = (memory: UserMemory, size: number, virtual: bigint) => {
    for (let at = 0; at < Number(memory.length); at += at === 0 ? PAGE - memory.offset : PAGE) {
      const bus = busOf(memory, at);
      const within = Number((virtual + BigInt(at)) % BigInt(size));
      if (bus % size !== within) return false;
      // what a block begins with, if it is of this memory, is in the same block on the bus
      const start = at - within;
      if (busOf(memory, Math.max(start, 0)) !== bus - (at - Math.max(start, 0))) return false;
    }
    return true;
  };

  test('the device finds each byte where it is, in the largest pages that hold it', () => {
    fc.assert(
      fc.property(memories, ({ memory, virtual }) => {
        const size = bestPageSize(memory, SIZES, virtual);
        assert.ok(size !== undefined, 'pages of 4 KiB always do');
        const list = blocks(memory, size, virtual);
        const first = virtual / BigInt(size);
        const last = Number(memory.length) - 1;
        for (let at = 0; ; at = Math.min(last, at + PAGE)) {
          const where = virtual + BigInt(at);
          const block = list[Number(where / BigInt(size) - first)] as bigint;
          assert.equal(Number(block + (where % BigInt(size))), busOf(memory, at));
          if (at === last) break;
        }
        assert.equal(list.length, Number((virtual + BigInt(last)) / BigInt(size) - first) + 1);
        // a larger size is not chosen only where it does not fit or needs no fewer blocks
        const larger = 2 * size;
        if (list.length > 1 && larger <= 2 ** 31 && fits(memory, larger, virtual)) {
          assert.fail(`blocks of ${larger} fit, and ${list.length} of ${size} were used`);
        }
      }),
      { seed: seed(), numRuns: 400 },
    );
  });
});

describe('regions', () => {
  test('lists of pages in the command, in a piece and in chunks: each lets the device reach all of it', () => {
    const machine = machineWith('gaudi-efa');
    const { driver } = machine;
    const card = Device.open({ driver, index: 0 });
    const nic = RdmaContext.open({ driver });
    const pd = nic.allocatePd();
    const cq = nic.createCq();
    const qp = pd.createQueuePair({ sendCq: cq });
    qp.activate(1);
    const to = { ah: pd.createAddressHandle(nic.address()), qp: qp.number, qkey: 1 };
    const own = pd.allocate(2 * PAGE);
    const size = 3 * 1024 * MiB;
    const memory = card.dram.allocate(size, MiB);
    const shared = card.exportDmaBuf(memory.address, size);
    // an address that agrees with that of the card in its page only makes all pages small
    const forms = [
      { length: 4 * PAGE, address: undefined },
      { length: MiB, address: 0x1000n },
      { length: size, address: 0x1000n },
      { length: size, address: undefined },
    ];
    for (const [i, { length, address }] of forms.entries()) {
      const region = pd.registerDmaBuf(shared.fd, length, address === undefined ? {} : { address });
      for (const at of [0, length / 2 - 1, length - PAGE]) {
        own.bytes.fill(i + 1, 0, PAGE);
        own.bytes.fill(0, PAGE);
        qp.write(to, { local: own.piece(0, PAGE), remote: region.at(at) });
        cq.expect();
        qp.read(to, { local: own.piece(PAGE, PAGE), remote: region.at(at) });
        cq.expect();
        assert.deepEqual(own.bytes.subarray(PAGE), own.bytes.subarray(0, PAGE), `form ${i}, byte ${at}`);
      }
      region[Symbol.dispose]();
    }
    nic.close();
    card.close();
    assert.deepEqual(machine.takeRefusals(), []);
    machine[Symbol.dispose]();
  });

  test('memory of a program: what is refused, and what is taken', () => {
    const machine = machineWith();
    const { driver } = machine;
    const verbs = new RawVerbs(driver).context();
    const pd = verbs.pd();
    const { address } = driver.allocate(16 * PAGE);
    const register = (...how: [bigint, number | bigint, number?, bigint?]) => errno(() => verbs.mr(pd, ...how));
    const wrap = 1n << 64n;
    assert.equal(register(address, PAGE), 'ok');
    assert.equal(register(address + 5n, 3 * PAGE), 'ok');
    assert.equal(register(address, 0), 'EINVAL');
    assert.equal(register(address + 5n, 0), 'EOPNOTSUPP', 'nothing, but of a page');
    assert.equal(register(address, 17 * PAGE), 'EFAULT');
    assert.equal(register(0x1000n, PAGE), 'EFAULT');
    assert.equal(register(wrap - 4096n, PAGE), 'EINVAL');
    assert.equal(register(address, wrap - 1n), 'EINVAL');
    assert.equal(register(address, PAGE, 7, address + 1n), 'EINVAL', 'another place within the page');
    assert.equal(register(address, PAGE, 7, 0n), 'ok', 'any address goes');
    assert.equal(register(address, PAGE, 7, 1n << 60n), 'EINVAL', 'that the device has');
    assert.equal(register(address, 2 * PAGE, 7, wrap - 4096n), 'EOPNOTSUPP');
    assert.equal(register(address, PAGE, 2), 'EINVAL', 'others may not write where the NIC may not');
    assert.equal(register(address, PAGE, 9), 'EOPNOTSUPP', 'atomics');
    assert.equal(register(address, PAGE, 0x41), 'EOPNOTSUPP', 'paged on demand');
    assert.equal(register(address, PAGE, 0x400), 'EINVAL', 'nobody knows this flag');
    assert.equal(register(address, PAGE, 0x3ff0_0001), 'ok', 'flags that may be ignored are');
    verbs.close();
    machine[Symbol.dispose]();
  });
});
