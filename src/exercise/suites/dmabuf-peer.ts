/** Two cards and the memory of one: copies that no memory of the host has part in. */

import assert from 'node:assert/strict';
import { CommandStream, type Place } from '../../runtime/command-stream.ts';
import type { Device } from '../../runtime/device.ts';
import type { PeerMemory } from '../../runtime/peer.ts';
import { fenceAddress } from '../../runtime/sync.ts';
import type { Declare, TestContext } from '../suite.ts';
import { addressOf, barAddress, DOWN, exported, read, UP, write } from './dmabuf-lib.ts';
import { assertSame, fill, KiB, MiB, run } from './lib.ts';

/** The BAR of the DRAM. */
const DRAM_BAR = 4;

interface Pair {
  readonly owner: Device;
  readonly other: Device;
}

function pair(t: TestContext): Pair {
  return { owner: t.open(0), other: t.open(1) };
}

/** Memory of `owner`, and how `other` reaches it. @param offset bytes from the start of the owner's DRAM */
function share(t: TestContext, { owner, other }: Pair, size: number, offset = 0): { at: bigint; peer: PeerMemory } {
  const buffer = exported(t, owner, size, offset);
  return { at: owner.dram.base + BigInt(offset), peer: t.use(other.importDmaBuf(buffer.fd)) };
}

function noise(t: TestContext, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  fill(bytes, t.random);
  return bytes;
}

/** A place within memory that has one. */
const within = (peer: PeerMemory, offset: number): Place => peer.deviceAddress + BigInt(offset);

/** Has `other` write into the owner's memory from its own, and checks what the owner then finds. */
async function pushes(t: TestContext, cards: Pair, at: bigint, peer: PeerMemory, offset: number, length: number) {
  const { owner, other } = cards;
  const bytes = noise(t, length);
  using staging = other.dram.allocate(length);
  await write(t, other, staging, bytes);
  await run(t, UP, new CommandStream().dma(within(peer, offset), staging, length), other);
  assertSame(await read(t, owner, at + BigInt(offset), length), bytes, `${length} bytes written at ${offset}`);
}

/** Has `other` read the owner's memory into its own, and checks what it got. */
async function pulls(t: TestContext, cards: Pair, at: bigint, peer: PeerMemory, offset: number, length: number) {
  const { owner, other } = cards;
  const bytes = noise(t, length);
  await write(t, owner, at + BigInt(offset), bytes);
  using staging = other.dram.allocate(length);
  await run(t, DOWN, new CommandStream().dma(staging, within(peer, offset), length), other);
  assertSame(await read(t, other, staging, length), bytes, `${length} bytes read at ${offset}`);
}

export function peerTests(test: Declare): void {
  const two = { devices: 2, needs: 'p2p' } as const;

  test(
    'a card writes into the memory of another',
    async (t) => {
      const cards = pair(t);
      const { at, peer } = share(t, cards, MiB);
      await pushes(t, cards, at, peer, 0, MiB);
    },
    two,
  );

  test(
    'a card reads the memory of another',
    async (t) => {
      const cards = pair(t);
      const { at, peer } = share(t, cards, MiB);
      await pulls(t, cards, at, peer, 0, MiB);
    },
    two,
  );

  test(
    'from a page to 8 MiB both ways, and 64 MiB',
    async (t) => {
      const cards = pair(t);
      for (const size of [4 * KiB, 64 * KiB, 2 * MiB, 2 * MiB + 4 * KiB, 8 * MiB]) {
        const { at, peer } = share(t, cards, size);
        await pushes(t, cards, at, peer, 0, size);
        await pulls(t, cards, at, peer, 0, size);
        peer[Symbol.dispose]();
      }
      const { at, peer } = share(t, cards, 64 * MiB);
      await pushes(t, cards, at, peer, 0, 64 * MiB);
    },
    { ...two, timeout: 600 },
  );

  test(
    'any offset and length within it',
    async (t) => {
      const cards = pair(t);
      const { at, peer } = share(t, cards, 256 * KiB);
      for (let i = 0; i < 12; i++) {
        const length = 1 + (t.random.next() % (9 * KiB));
        const offset = t.random.next() % (256 * KiB - length);
        await (i % 2 === 0 ? pushes : pulls)(t, cards, at, peer, offset, length);
      }
    },
    two,
  );

  test(
    'what is not written to stays as it was',
    async (t) => {
      const cards = pair(t);
      const { at, peer } = share(t, cards, 16 * KiB, 64 * KiB);
      const before = noise(t, 24 * KiB);
      await write(t, cards.owner, at - BigInt(4 * KiB), before);
      await pushes(t, cards, at, peer, 5 * KiB, 3 * KiB);
      const after = await read(t, cards.owner, at - BigInt(4 * KiB), 24 * KiB);
      assertSame(after.subarray(0, 9 * KiB), before.subarray(0, 9 * KiB), 'before the copy');
      assertSame(after.subarray(12 * KiB), before.subarray(12 * KiB), 'behind the copy');
    },
    two,
  );

  test(
    'many pieces of memory at once',
    async (t) => {
      const cards = pair(t);
      // neighbours, in the same 2 MiB, in the next, and far away
      const places = [0, 4 * KiB, 8 * KiB, 1 * MiB, 2 * MiB - 4 * KiB, 2 * MiB, 40 * MiB, 1024 * MiB, 20 * 1024 * MiB];
      const pieces = places.map((offset) => share(t, cards, 4 * KiB, offset));
      for (const { at, peer } of pieces) await pushes(t, cards, at, peer, 0, 4 * KiB);
      for (const { at, peer } of pieces) await pulls(t, cards, at, peer, 0, 4 * KiB);
    },
    two,
  );

  test(
    'pieces that overlap show the same memory',
    async (t) => {
      const cards = pair(t);
      const first = share(t, cards, 3 * MiB);
      const second = share(t, cards, 3 * MiB, MiB);
      await pushes(t, cards, first.at, first.peer, MiB, 2 * MiB);
      using staging = cards.other.dram.allocate(2 * MiB);
      await run(t, DOWN, new CommandStream().dma(staging, second.peer, 2 * MiB), cards.other);
      assertSame(
        await read(t, cards.other, staging, 2 * MiB),
        await read(t, cards.owner, second.at, 2 * MiB),
        'through the second piece',
      );
    },
    two,
  );

  test(
    'a dma-buf is imported twice',
    async (t) => {
      const cards = pair(t);
      const buffer = exported(t, cards.owner, 64 * KiB);
      const first = cards.other.importDmaBuf(buffer.fd);
      using second = cards.other.importDmaBuf(buffer.fd);
      assert.notEqual(first.deviceAddress, second.deviceAddress);
      await pushes(t, cards, cards.owner.dram.base, first, 0, 64 * KiB);
      first[Symbol.dispose]();
      await pulls(t, cards, cards.owner.dram.base, second, 0, 64 * KiB);
    },
    two,
  );

  test(
    'two cards use each other’s memory at once',
    async (t) => {
      const { owner: a, other: b } = pair(t);
      const size = 2 * MiB;
      const [ofA, ofB] = [exported(t, a, size), exported(t, b, size)];
      using inB = b.importDmaBuf(ofA.fd);
      using inA = a.importDmaBuf(ofB.fd);
      const [fromA, fromB] = [noise(t, size), noise(t, size)];
      using sourceA = a.dram.allocate(4 * size, size);
      using sourceB = b.dram.allocate(4 * size, size);
      await write(t, a, sourceA.at(2 * size), fromA);
      await write(t, b, sourceB.at(2 * size), fromB);
      const work = [
        [a, a.submit({ queue: UP, stream: new CommandStream().dma(inA, sourceA.at(2 * size), size) })],
        [b, b.submit({ queue: UP, stream: new CommandStream().dma(inB, sourceB.at(2 * size), size) })],
      ] as const;
      for (const [device, submission] of work) await device.wait(submission, { signal: t.signal });
      assertSame(await read(t, b, b.dram.base, size), fromA, 'what the first wrote into the second');
      assertSame(await read(t, a, a.dram.base, size), fromB, 'what the second wrote into the first');
    },
    two,
  );

  test(
    'the owner works on its half while the other works on the rest',
    async (t) => {
      const cards = pair(t);
      const { owner, other } = cards;
      const half = MiB;
      const { at, peer } = share(t, cards, 2 * half);
      const [mine, theirs] = [noise(t, half), noise(t, half)];
      using host = owner.allocHost(half);
      host.bytes.set(mine);
      using staging = other.dram.allocate(half);
      await write(t, other, staging, theirs);
      for (let i = 0; i < 4; i++) {
        const own = owner.submit({ queue: DOWN, stream: new CommandStream().dma(at, host, half) });
        const foreign = other.submit({ queue: UP, stream: new CommandStream().dma(within(peer, half), staging, half) });
        await owner.wait(own, { signal: t.signal });
        await other.wait(foreign, { signal: t.signal });
      }
      const all = await read(t, owner, at, 2 * half);
      assertSame(all.subarray(0, half), mine, 'the owner’s half');
      assertSame(all.subarray(half), theirs, 'the other’s half');
    },
    two,
  );

  test(
    'a card goes on in the memory of another where a fence of its own lets it',
    async (t) => {
      const cards = pair(t);
      const { owner, other } = cards;
      const { at, peer } = share(t, cards, 4 * KiB);
      await write(t, owner, at, new Uint8Array(4 * KiB));
      using staging = other.dram.allocate(4 * KiB);
      await write(t, other, staging, noise(t, 4 * KiB));
      const stream = new CommandStream().fence(2).dma(peer, staging, 4 * KiB);
      const held = other.submit({ queue: UP, stream });
      assertSame(await read(t, owner, at, 4 * KiB), new Uint8Array(4 * KiB), 'before the fence is let go');
      await run(t, DOWN, new CommandStream().write(fenceAddress(UP, 2), 1), other);
      await other.wait(held, { signal: t.signal });
      assertSame(await read(t, owner, at, 4 * KiB), await read(t, other, staging, 4 * KiB), 'after it');
    },
    two,
  );

  test(
    'a program reads and writes it too, through the BAR',
    async (t) => {
      const cards = pair(t);
      const { at, peer } = share(t, cards, 64 * KiB);
      const bytes = noise(t, 64 * KiB);
      await write(t, cards.owner, at, bytes);
      assertSame(peer.bytes.slice(), bytes, 'as the program sees it');
      peer.bytes.set(noise(t, 4 * KiB), 8 * KiB);
      assertSame(await read(t, cards.owner, at, 64 * KiB), peer.bytes.slice(), 'as the card sees it');
    },
    two,
  );

  test(
    'entries are addresses of the BAR',
    (t) => {
      const { owner, other } = pair(t);
      const bar = barAddress(t.target.driver, addressOf(t, 0), DRAM_BAR);
      // the BAR shows the DRAM from its device address 0 on
      for (const [offset, size] of [
        [0, 4 * KiB],
        [12 * KiB, 3 * MiB],
        [5 * 1024 * MiB, 64 * MiB],
      ] as const) {
        using buffer = owner.exportDmaBuf(owner.dram.base + BigInt(offset), size);
        using peer = other.importDmaBuf(buffer.fd);
        assert.deepEqual(peer.entries, [{ address: bar + owner.dram.base + BigInt(offset), length: size }]);
      }
    },
    two,
  );
}
