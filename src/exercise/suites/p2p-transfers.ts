/** Memory of accelerators, moved by network cards: what arrives is what was there, and goes where it is said to go. */

import assert from 'node:assert/strict';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Declare, TestContext } from '../suite.ts';
import { DOWN, read, write } from './dmabuf-lib.ts';
import { assertSame, GiB, KiB, MiB } from './lib.ts';
import { assertBytes, assertMoved, cardRegion, finished, hostRegion, noiseOf, reach, side } from './p2p-lib.ts';

const one = { needs: 'nic' } as const;
const pair = { needs: 'nics', devices: 2 } as const;

/** Reads of a card's memory into the host's and writes back, verified by the card's own DMA, at places within a region. */
async function throughRegion(
  t: TestContext,
  { region, device, at }: ReturnType<typeof cardRegion>,
  nic: ReturnType<typeof side>,
  places: readonly (readonly [offset: number, length: number])[],
): Promise<void> {
  const to = reach(nic);
  const longest = Math.max(...places.map(([, length]) => length));
  const host = hostRegion(nic, longest);
  for (const [offset, length] of places) {
    const bytes = noiseOf(t, length);
    host.bytes.set(bytes);
    nic.qp.write(to, { local: host.piece(0, length), remote: region.at(offset) });
    finished(nic);
    const found = await read(t, device, at + BigInt(offset), length);
    assertSame(found, bytes, `${length} bytes written at ${offset}`);
    host.bytes.fill(0);
    nic.qp.read(to, { local: host.piece(0, length), remote: region.at(offset) });
    finished(nic);
    assertBytes(host.bytes.subarray(0, length), bytes, `${length} bytes read at ${offset}`);
  }
}

export function transferTests(test: Declare): void {
  test(
    'a network card writes memory of the host into an accelerator, across the switch',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, MiB);
      const host = hostRegion(nic, MiB);
      const to = reach(nic);
      const move = () => {
        nic.qp.write(to, { local: host.piece(), remote: card.region.at() });
        finished(nic);
      };
      await assertMoved(t, move, [{ from: 'efa0', to: 'gaudi0', written: MiB }], MiB);
      assertSame(await read(t, t.device, card.at, MiB), host.bytes.slice(), 'in the accelerator');
    },
    one,
  );

  test(
    'a network card reads an accelerator into memory of the host, across the switch',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, MiB);
      const bytes = noiseOf(t, MiB);
      await write(t, t.device, card.at, bytes);
      const host = hostRegion(nic, MiB);
      const to = reach(nic);
      const move = () => {
        nic.qp.read(to, { local: host.piece(), remote: card.region.at() });
        finished(nic);
      };
      await assertMoved(t, move, [{ from: 'efa0', to: 'gaudi0', read: MiB }], MiB);
      assertBytes(host.bytes, bytes, 'in the host');
    },
    one,
  );

  test(
    'memory of an accelerator is what a write takes from',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, 256 * KiB);
      const bytes = noiseOf(t, 256 * KiB);
      await write(t, t.device, card.at, bytes);
      const host = hostRegion(nic, 256 * KiB);
      nic.qp.write(reach(nic), { local: card.region.piece(), remote: host.at() });
      finished(nic);
      assertBytes(host.bytes, bytes, 'in the host');
    },
    one,
  );

  test(
    'memory of an accelerator is what a read goes to',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, 256 * KiB);
      const host = hostRegion(nic, 256 * KiB);
      nic.qp.read(reach(nic), { local: card.region.piece(), remote: host.at() });
      finished(nic);
      assertSame(await read(t, t.device, card.at, 256 * KiB), host.bytes.slice(), 'in the accelerator');
    },
    one,
  );

  test(
    'memory of an accelerator is sent, and received into',
    async (t) => {
      const nic = side(t, 0, { sendPieces: 2, receivePieces: 2 });
      const card = cardRegion(nic, t.device, 64 * KiB);
      const bytes = noiseOf(t, 16 * KiB);
      await write(t, t.device, card.at, bytes);
      const { region } = card;
      nic.qp.receive([region.piece(32 * KiB, 1000), region.piece(48 * KiB, 7000)], 1);
      nic.qp.send(reach(nic), { id: 2, pieces: [region.piece(100, 3000), region.piece(8 * KiB, 5000)], immediate: 77 });
      const all = finished(nic, 2);
      assert.deepEqual(all.map(({ id, operation }) => [id, operation]).sort(), [
        [1, 'receive'],
        [2, 'send'],
      ]);
      const received = all.find(({ id }) => id === 1);
      assert.equal(received?.received?.length, 8000);
      assert.equal(received?.immediate, 77);
      const message = Buffer.concat([bytes.subarray(100, 3100), bytes.subarray(8 * KiB, 8 * KiB + 5000)]);
      assertSame(await read(t, t.device, card.at + 32n * 1024n, 1000), message.subarray(0, 1000), 'the first piece');
      assertSame(await read(t, t.device, card.at + 48n * 1024n, 7000), message.subarray(1000), 'the second piece');
    },
    one,
  );

  test(
    'a datagram carries memory of an accelerator, behind a header of 40 bytes',
    async (t) => {
      const nic = side(t, 0, { type: 'UD' });
      const card = cardRegion(nic, t.device, 8 * KiB);
      const bytes = noiseOf(t, 2 * KiB);
      await write(t, t.device, card.at, bytes);
      const host = hostRegion(nic, 4 * KiB);
      nic.qp.receive([host.piece()], 1);
      nic.qp.send(reach(nic), { pieces: [card.region.piece(0, 2 * KiB)] });
      const [received] = finished(nic, 2).filter(({ operation }) => operation === 'receive');
      assert.equal(received?.received?.length, 2 * KiB + 40);
      // who sent it, as the header of the route says (ib_user_verbs.h, struct ib_grh: the address of the source)
      assertBytes(host.bytes.subarray(8, 24), nic.nic.address(), 'its sender');
      assertBytes(host.bytes.subarray(40, 40 + 2 * KiB), bytes, 'what was received');
    },
    one,
  );

  test(
    'sizes from a byte to 4 MiB, and 64 MiB',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, 64 * MiB);
      const sizes = [1, 3, 64, 4 * KiB - 1, 4 * KiB, 4 * KiB + 1, 64 * KiB, 2 * MiB, 4 * MiB - 5, 64 * MiB];
      await throughRegion(
        t,
        card,
        nic,
        sizes.map((size) => [0, size]),
      );
    },
    { ...one, timeout: 600 },
  );

  test(
    'any offset and length within a region',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, 256 * KiB);
      const places = Array.from({ length: 12 }, () => {
        const length = 1 + (t.random.next() % (9 * KiB));
        return [t.random.next() % (256 * KiB - length), length] as const;
      });
      await throughRegion(t, card, nic, places);
    },
    one,
  );

  test(
    'what is not written to stays as it was',
    async (t) => {
      const nic = side(t);
      const card = cardRegion(nic, t.device, 16 * KiB, 64 * KiB);
      const start = card.at - BigInt(4 * KiB);
      const before = noiseOf(t, 24 * KiB);
      await write(t, t.device, start, before);
      const host = hostRegion(nic, 3 * KiB);
      nic.qp.write(reach(nic), { local: host.piece(), remote: card.region.at(5 * KiB) });
      finished(nic);
      const after = await read(t, t.device, start, 24 * KiB);
      assertSame(after.subarray(0, 9 * KiB), before.subarray(0, 9 * KiB), 'before it');
      assertSame(after.subarray(9 * KiB, 12 * KiB), host.bytes.slice(), 'what was written');
      assertSame(after.subarray(12 * KiB), before.subarray(12 * KiB), 'behind it');
    },
    one,
  );

  test(
    'part of a dma-buf, by an address of one’s own',
    async (t) => {
      const nic = side(t);
      const registration = { offset: 5 * MiB + 100, address: 0x7000_0000_0064n };
      const card = cardRegion(nic, t.device, 64 * KiB, MiB, registration);
      assert.equal(card.region.at().address, registration.address);
      await throughRegion(t, card, nic, [
        [0, 100],
        [4 * KiB - 100, 200],
        [63 * KiB, KiB],
      ]);
    },
    one,
  );

  // efa_verbs.c: up to four pages are in the command, more in a list that it points to, and a list that is not contiguous is
  // told in chunks. The driver takes the largest page that divides address and memory alike: an odd page keeps it at 4 KiB.
  const odd = 0x1000n;
  const lists = [
    { name: 'in the command', size: 12 * KiB, address: odd },
    { name: 'that the command points to', size: 8 * MiB, address: odd },
    { name: 'in chunks', size: 4 * GiB, address: odd },
    { name: 'of large pages', size: 30 * GiB, address: 0n },
  ];
  for (const { name, size, address } of lists) {
    test(
      `a list of pages ${name}: ${size >= GiB ? `${size / GiB} GiB` : `${size / KiB} KiB`}`,
      async (t) => {
        const nic = side(t);
        const card = cardRegion(nic, t.device, size, 0, { address });
        assert.equal(card.region.query().length, BigInt(size));
        const middle = Math.floor(size / 2) - 100;
        await throughRegion(t, card, nic, [
          [0, 4 * KiB],
          [middle, 8 * KiB < size - middle ? 8 * KiB : 4 * KiB],
          [size - 4 * KiB, 4 * KiB],
        ]);
      },
      one,
    );
  }

  test(
    'all of the memory of an accelerator is one region',
    async (t) => {
      const nic = side(t);
      const size = Number(t.device.dram.size);
      await throughRegion(t, cardRegion(nic, t.device, size), nic, [
        [0, 64],
        [size - 64, 64],
      ]);
    },
    one,
  );

  test(
    'two hundred regions at once',
    async (t) => {
      const nic = side(t);
      const to = reach(nic);
      const host = hostRegion(nic, 200 * 64);
      const cards = Array.from({ length: 200 }, (_, i) => cardRegion(nic, t.device, 4 * KiB, i * 12 * KiB));
      assert.equal(new Set(cards.map(({ region }) => region.rkey)).size, 200);
      for (let i = 0; i < 200; i++) {
        nic.qp.queueWrite(to, { local: host.piece(i * 64, 64), remote: (cards[i] as (typeof cards)[0]).region.at(i) });
        if (i % 50 === 49) {
          nic.qp.flush();
          finished(nic, 50);
        }
      }
      for (const i of [0, 1, 99, 199]) {
        const { at } = cards[i] as (typeof cards)[0];
        const bytes = host.bytes.slice(i * 64, i * 64 + 64);
        assertSame(await read(t, t.device, at + BigInt(i), 64), bytes, `region ${i}`);
      }
    },
    one,
  );

  test(
    'regions that overlap show the same memory',
    async (t) => {
      const nic = side(t);
      const to = reach(nic);
      const first = cardRegion(nic, t.device, 64 * KiB);
      const second = cardRegion(nic, t.device, 64 * KiB, 32 * KiB);
      const host = hostRegion(nic, 64 * KiB);
      nic.qp.write(to, { local: host.piece(0, 32 * KiB), remote: first.region.at(32 * KiB) });
      finished(nic);
      nic.qp.read(to, { local: host.piece(32 * KiB), remote: second.region.at() });
      finished(nic);
      assertBytes(host.bytes.subarray(32 * KiB), host.bytes.slice(0, 32 * KiB), 'through the second');
    },
    one,
  );

  test(
    'the accelerator works on its half while the network card works on the rest',
    async (t) => {
      const nic = side(t);
      const to = reach(nic);
      const half = 2 * MiB;
      const { device } = t;
      const card = cardRegion(nic, device, 2 * half);
      const own = device.allocHost(half);
      own.bytes.set(noiseOf(t, half));
      const host = hostRegion(nic, half);
      for (let i = 0; i < 4; i++) {
        const work = device.submit({ queue: DOWN, stream: new CommandStream().dma(card.at, own, half) });
        nic.qp.write(to, { local: host.piece(), remote: card.region.at(half) });
        finished(nic);
        await device.wait(work, { signal: t.signal });
      }
      assertSame(await read(t, device, card.at, half), own.bytes.slice(), 'the accelerator’s half');
      assertSame(await read(t, device, card.at + BigInt(half), half), host.bytes.slice(), 'the network card’s half');
    },
    one,
  );

  test(
    'what an accelerator has written is there for a network card that reads when it is told so',
    async (t) => {
      const nic = side(t);
      const to = reach(nic);
      const { device } = t;
      const card = cardRegion(nic, device, 64 * KiB);
      const host = hostRegion(nic, 64 * KiB);
      for (let i = 1; i <= 8; i++) {
        const pattern = BigInt(i) * 0x0101_0101_0101_0101n;
        const stream = new CommandStream().memset(card.at, pattern, 64 * KiB);
        await device.wait(device.submit({ queue: DOWN, stream }), { signal: t.signal });
        nic.qp.read(to, { local: host.piece(), remote: card.region.at() });
        finished(nic);
        assertBytes(host.bytes, new Uint8Array(64 * KiB).fill(i), `round ${i}`);
      }
    },
    one,
  );

  test(
    'a write with a number is told to the other side, and the memory is there by then',
    async (t) => {
      const nic = side(t);
      const to = reach(nic);
      const card = cardRegion(nic, t.device, 64 * KiB);
      const host = hostRegion(nic, 64 * KiB);
      nic.qp.receive([host.piece(0, 64)], 5);
      nic.qp.write(to, { id: 6, local: host.piece(), remote: card.region.at(), immediate: 0xfeed_0001 });
      const all = finished(nic, 2);
      const told = all.find(({ operation }) => operation === 'receive-write');
      assert.equal(told?.immediate, 0xfeed_0001);
      assert.equal(told?.received?.length, 64 * KiB);
      assertSame(await read(t, t.device, card.at, 64 * KiB), host.bytes.slice(), 'in the accelerator');
    },
    one,
  );

  test(
    'a queue full of reads, all under way at once',
    async (t) => {
      const nic = side(t, 0, { sends: 64 });
      const to = reach(nic);
      const card = cardRegion(nic, t.device, MiB);
      const bytes = noiseOf(t, MiB);
      await write(t, t.device, card.at, bytes);
      const host = hostRegion(nic, MiB);
      const piece = MiB / 64;
      for (let i = 0; i < 64; i++) {
        const at = i * piece;
        nic.qp.queueRead(to, { id: i, local: host.piece(at, piece), remote: card.region.at(at) });
      }
      nic.qp.flush();
      assert.deepEqual(
        finished(nic, 64)
          .map(({ id }) => id)
          .sort((a, b) => a - b),
        Array.from({ length: 64 }, (_, i) => i),
      );
      assertBytes(host.bytes, bytes, 'all of it');
    },
    one,
  );

  test(
    'one network card moves memory from accelerator to accelerator, and none of it through the host',
    async (t) => {
      const nic = side(t);
      const to = reach(nic);
      const [first, second] = [cardRegion(nic, t.open(0), 4 * MiB), cardRegion(nic, t.open(1), 4 * MiB)];
      const bytes = noiseOf(t, 4 * MiB);
      await write(t, first.device, first.at, bytes);
      const move = () => {
        nic.qp.write(to, { local: first.region.piece(), remote: second.region.at() });
        finished(nic);
      };
      await assertMoved(t, move, [
        { from: 'efa0', to: 'gaudi0', read: 4 * MiB },
        { from: 'efa0', to: 'gaudi1', written: 4 * MiB },
      ]);
      assertSame(await read(t, second.device, second.at, 4 * MiB), bytes, 'in the second accelerator');
    },
    pair,
  );

  test(
    'two network cards: memory of the host of one into the accelerator of the other',
    async (t) => {
      const [here, there] = [side(t, 0), side(t, 1)];
      const card = cardRegion(there, t.device, MiB);
      const host = hostRegion(here, MiB);
      const to = reach(here, there);
      const move = () => {
        here.qp.write(to, { local: host.piece(), remote: card.region.at() });
        finished(here);
      };
      await assertMoved(t, move, [{ from: 'efa1', to: 'gaudi0', written: MiB }], MiB);
      assertSame(await read(t, t.device, card.at, MiB), host.bytes.slice(), 'in the accelerator');
    },
    pair,
  );

  test(
    'two network cards: an accelerator into memory of the host of the other',
    async (t) => {
      const [here, there] = [side(t, 0), side(t, 1)];
      const card = cardRegion(there, t.device, MiB);
      const bytes = noiseOf(t, MiB);
      await write(t, t.device, card.at, bytes);
      const host = hostRegion(here, MiB);
      const to = reach(here, there);
      const move = () => {
        here.qp.read(to, { local: host.piece(), remote: card.region.at() });
        finished(here);
      };
      await assertMoved(t, move, [{ from: 'efa1', to: 'gaudi0', read: MiB }], MiB);
      assertBytes(host.bytes, bytes, 'in the host');
    },
    pair,
  );

  for (const how of ['written', 'read'] as const) {
    test(
      `two network cards: from accelerator to accelerator, ${how}, and none of it through the host`,
      async (t) => {
        const [here, there] = [side(t, 0), side(t, 1)];
        const source = how === 'written' ? here : there;
        const sink = how === 'written' ? there : here;
        const from = cardRegion(source, t.open(0), 2 * MiB);
        const into = cardRegion(sink, t.open(1), 2 * MiB);
        const bytes = noiseOf(t, 2 * MiB);
        await write(t, from.device, from.at, bytes);
        const to = reach(here, there);
        const move = () => {
          if (how === 'written') here.qp.write(to, { local: from.region.piece(), remote: into.region.at() });
          else here.qp.read(to, { local: into.region.piece(), remote: from.region.at() });
          finished(here);
        };
        await assertMoved(t, move, [
          { from: `efa${source.index}`, to: 'gaudi0', read: 2 * MiB },
          { from: `efa${sink.index}`, to: 'gaudi1', written: 2 * MiB },
        ]);
        assertSame(await read(t, into.device, into.at, 2 * MiB), bytes, 'in the second accelerator');
      },
      pair,
    );
  }

  test(
    'two network cards have the same dma-buf',
    async (t) => {
      const [a, b] = [side(t, 0), side(t, 1)];
      const { device } = t;
      using buffer = device.exportDmaBuf(device.dram.base, 64 * KiB);
      const [ofA, ofB] = [a.pd.registerDmaBuf(buffer.fd, 64 * KiB), b.pd.registerDmaBuf(buffer.fd, 64 * KiB)];
      const host = hostRegion(a, 64 * KiB);
      a.qp.write(reach(a), { local: host.piece(), remote: ofA.at() });
      finished(a);
      const back = hostRegion(b, 64 * KiB);
      b.qp.read(reach(b), { local: back.piece(), remote: ofB.at() });
      finished(b);
      assertBytes(back.bytes, host.bytes.slice(), 'through the other card');
    },
    pair,
  );
}
