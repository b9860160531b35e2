/** dma-bufs attached, mapped, unmapped and let go by an importing device: what the exporter allows, and what lives how long. */

import assert from 'node:assert/strict';
import type { Mapping } from '../../driver/driver.ts';
import { Import, Importer } from '../../runtime/peer.ts';
import { importerIoctls } from '../../uapi/sagrada/importer.ts';
import type { Declare, TestContext } from '../suite.ts';
import { addressOf, attached, barAddress, exported, held, importerOf, write } from './dmabuf-lib.ts';
import { assertErrno, assertSame, GiB, KiB, MiB } from './lib.ts';

/** A handle that nobody was given. */
const NO_HANDLE = 77;
const STATIC = { dynamic: false, peerToPeer: false } as const;
/** The first function of the first bus. */
const HOST_BRIDGE = '0000:00:00.0';
const NOT_REACHED = /cannot be used for peer-to-peer DMA as the client and provider/;

const CALLS = ['attach', 'map', 'map with pages', 'mmap', 'munmap', 'unmap', 'detach'] as const;

/** What an attached handle is expected to answer. */
class ExpectedState {
  #mapped = false;
  #pages = false;
  /** Mappings of the program. */
  readonly memory: Mapping[] = [];

  /** @returns the errno, or undefined where the call succeeds; the state is then as after it */
  call(name: Exclude<(typeof CALLS)[number], 'attach'>): string | undefined {
    if (name === 'munmap') return undefined;
    if (name === 'mmap') return this.#pages ? undefined : 'EINVAL';
    if (name === 'detach') return this.#mapped ? 'EBUSY' : undefined;
    if (name === 'unmap') {
      if (!this.#mapped) return 'EINVAL';
      if (this.memory.length > 0) return 'EBUSY';
      this.#mapped = false;
      this.#pages = false;
      return undefined;
    }
    if (this.#mapped) return 'EBUSY';
    this.#mapped = true;
    this.#pages = name === 'map with pages';
    return undefined;
  }
}

export function importTests(test: Declare): void {
  badInput(test);
  states(test);
  refusals(test);
}

function badInput(test: Declare): void {
  const importer = { needs: 'importer' } as const;

  test(
    'descriptors that are no dma-buf cannot be attached',
    (t) => {
      const driver = t.target.driver;
      const node = importerOf(t);
      for (const fd of [-1, 1 << 20, 0x7fff_ffff]) assertErrno('EBADF', () => node.attach(fd, addressOf(t, 0), STATIC));
      const eventfd = driver.eventfd(0, 0);
      try {
        for (const fd of [eventfd, t.device.fd, node.fd])
          assertErrno('EINVAL', () => node.attach(fd, addressOf(t, 0), STATIC));
      } finally {
        driver.close(eventfd);
      }
    },
    importer,
  );

  test(
    'a dma-buf that is closed cannot be attached',
    (t) => {
      const node = importerOf(t);
      const buffer = t.device.exportDmaBuf(t.device.dram.base, 4 * KiB);
      const { fd } = buffer;
      buffer[Symbol.dispose]();
      assertErrno('EBADF', () => node.attach(fd, addressOf(t, 0), STATIC));
    },
    importer,
  );

  test(
    'devices that do not exist cannot import',
    (t) => {
      const buffer = exported(t, t.device, 4 * KiB);
      const node = importerOf(t);
      for (const address of ['0000:ff:1f.7', 'ffff:00:00.0']) {
        assertErrno('ENODEV', () => node.attach(buffer.fd, address, STATIC));
      }
      assertErrno('EINVAL', () => node.attach(buffer.fd, '0000:00:20.0', STATIC));
      assertErrno('EINVAL', () => node.attach(buffer.fd, '0000:00:00.8', STATIC));
    },
    importer,
  );

  test(
    'flags and reserved members that mean nothing are refused',
    (t) => {
      const buffer = exported(t, t.device, 4 * KiB);
      const node = importerOf(t);
      // peer to peer without operations: the dma-buf core warned of that until 6.x
      assertErrno('EINVAL', () => node.attach(buffer.fd, addressOf(t, 0), { dynamic: false, peerToPeer: true }));
      const { driver } = t.target;
      const attach = (extra: object) => {
        const input = { fd: buffer.fd, ...extra };
        driver.ioctl(node.fd, importerIoctls.ATTACH.request, importerIoctls.ATTACH.argument.encode(input));
      };
      for (const extra of [{ flags: 4 }, { flags: 0x8000_0000 }, { reserved: 1 }, { reserved2: 1 }])
        assertErrno('EINVAL', () => attach(extra));
    },
    importer,
  );

  test(
    'handles that nobody was given',
    (t) => {
      const node = importerOf(t);
      for (const handle of [0, NO_HANDLE, 2 ** 20, 2 ** 32 - 1]) {
        const one = new Import(node, handle, 4 * KiB);
        assertErrno('EINVAL', () => one.map());
        assertErrno('EINVAL', () => one.unmap());
        assertErrno('EINVAL', () => one.detach());
      }
      assertErrno('EINVAL', () => new Import(node, NO_HANDLE, 4 * KiB).mmap());
      assertErrno('EINVAL', () => new Import(node, 0, 4 * KiB).mmap());
    },
    importer,
  );

  test(
    'a handle belongs to the file that gave it',
    (t) => {
      const buffer = exported(t, t.device, 4 * KiB);
      const one = importerOf(t).attach(buffer.fd, addressOf(t, 0), STATIC);
      assertErrno('EINVAL', () => new Import(importerOf(t), one.handle, 4 * KiB).detach());
      one.detach();
      assertErrno('EINVAL', () => one.detach());
    },
    importer,
  );

  test(
    'requests that do not exist',
    (t) => {
      const node = importerOf(t);
      const { request } = importerIoctls.DETACH;
      const other = [request + 1, request ^ 0x1_0000, (request & 0x3fff_ffff) >>> 0, 0xc018_6440];
      for (const number of other)
        assertErrno('ENOTTY', () => t.target.driver.ioctl(node.fd, number, new Uint8Array(64)));
    },
    importer,
  );
}

function states(test: Declare): void {
  const two = { devices: 2, needs: 'p2p' } as const;

  test(
    'attach, map, unmap, detach, in that order only',
    (t) => {
      const one = importerOf(t).attach(exported(t, t.open(0), MiB).fd, addressOf(t, 1));
      assertErrno('EINVAL', () => one.unmap());
      one.map();
      assertErrno('EBUSY', () => one.map());
      assertErrno('EBUSY', () => one.detach());
      one.unmap();
      assertErrno('EINVAL', () => one.unmap());
      one.map();
      one.unmap();
      one.detach();
      assertErrno('EINVAL', () => one.map());
      assertErrno('EINVAL', () => one.detach());
    },
    two,
  );

  test(
    'any order of calls is answered as the state of each handle says',
    (t) => {
      const owner = t.open(0);
      const node = importerOf(t);
      const buffers = [0, MiB, 3 * MiB].map((offset) => exported(t, owner, 2 * MiB, offset));
      const states = buffers.map(() => new ExpectedState());
      const ones: (Import | undefined)[] = buffers.map(() => undefined);
      for (let step = 0; step < 150; step++) {
        const i = t.random.next() % buffers.length;
        const state = states[i] as ExpectedState;
        const one = ones[i];
        const call = CALLS[t.random.next() % CALLS.length] as (typeof CALLS)[number];
        if (call === 'attach' || one === undefined) {
          if (one === undefined) ones[i] = node.attach(buffers[i]?.fd ?? -1, addressOf(t, 1));
          continue;
        }
        const expected = state.call(call);
        const body = () => {
          if (call === 'map' || call === 'map with pages') one.map({ pages: call === 'map with pages' });
          else if (call === 'mmap') state.memory.push(one.mmap());
          else if (call === 'munmap') state.memory.pop()?.unmap();
          else if (call === 'unmap') one.unmap();
          else one.detach();
        };
        if (expected === undefined) body();
        else assertErrno(expected, body);
        if (call === 'detach' && expected === undefined) ones[i] = undefined;
      }
      for (const { memory } of states) for (const mapping of memory) mapping.unmap();
    },
    two,
  );

  test(
    'each direction, and no other',
    (t) => {
      const one = attached(t, exported(t, t.open(0), MiB));
      for (const direction of ['both', 'to-device', 'from-device'] as const) {
        assert.equal(one.map({ direction }).length, 1);
        one.unmap();
      }
      const { driver } = t.target;
      const node = importerOf(t);
      const { MAP } = importerIoctls;
      for (const direction of [3, 2 ** 32 - 1])
        assertErrno('EINVAL', () => driver.ioctl(node.fd, MAP.request, MAP.argument.encode({ direction })));
      assertErrno('EINVAL', () => driver.ioctl(node.fd, MAP.request, MAP.argument.encode({ flags: 2 })));
    },
    two,
  );

  test(
    'more than 4 GiB are several entries of whole pages, one after the other',
    (t) => {
      const size = 10 * GiB;
      const owner = t.open(0);
      const buffer = exported(t, owner, size);
      const entries = attached(t, buffer).map();
      const bar = barAddress(t.target.driver, addressOf(t, 0), 4);
      let at = 0;
      for (const { address, length } of entries) {
        assert.equal(address, bar + owner.dram.base + BigInt(at));
        assert.ok(length > 0 && length % (4 * KiB) === 0 && length < 4 * GiB);
        at += length;
      }
      assert.equal(at, size);
      assert.ok(entries.length > 1);
    },
    two,
  );

  test(
    'too little room for the entries tells how many there are',
    (t) => {
      const buffer = exported(t, t.open(0), 10 * GiB);
      const node = importerOf(t);
      const { handle } = node.attach(buffer.fd, addressOf(t, 1));
      const argument = importerIoctls.MAP.argument.encode({ handle, count: 0, entries: 0n });
      t.target.driver.ioctl(node.fd, importerIoctls.MAP.request, argument);
      assert.equal(importerIoctls.MAP.argument.decode(argument).count, 3);
    },
    two,
  );

  test(
    'entries that cannot be written',
    (t) => {
      const node = importerOf(t);
      const { handle } = node.attach(exported(t, t.open(0), MiB).fd, addressOf(t, 1));
      const map = () => {
        const argument = importerIoctls.MAP.argument.encode({ handle, count: 1, entries: 8n });
        t.target.driver.ioctl(node.fd, importerIoctls.MAP.request, argument);
      };
      assertErrno('EFAULT', map);
      // it is mapped nevertheless
      assertErrno('EBUSY', map);
    },
    two,
  );

  test(
    'a card may import its own memory',
    (t) => {
      const buffer = exported(t, t.open(0), MiB);
      const own = attached(t, buffer, 0).map();
      const other = attached(t, buffer, 1).map();
      assert.deepEqual(own, other);
    },
    two,
  );

  test(
    'only mapped memory with pages can be mmapped, and only what there is of it',
    (t) => {
      const one = importerOf(t).attach(exported(t, t.open(0), MiB).fd, addressOf(t, 1));
      assertErrno('EINVAL', () => one.mmap());
      one.map();
      assertErrno('EINVAL', () => one.mmap());
      one.unmap();
      one.map({ pages: true });
      for (const [length, offset] of [
        [MiB + 4 * KiB, 0],
        [4 * KiB, MiB],
        [8 * KiB, MiB - 4 * KiB],
        [MiB, 4 * KiB],
      ] as const)
        assertErrno('EINVAL', () => one.mmap(length, offset));
      one.mmap(4 * KiB, MiB - 4 * KiB).unmap();
      one.mmap().unmap();
      one.unmap();
      assertErrno('EINVAL', () => one.mmap());
    },
    two,
  );

  test(
    'a part of it in the middle is the memory there',
    async (t) => {
      const owner = t.open(0);
      const one = attached(t, exported(t, owner, MiB));
      const bytes = Uint8Array.from({ length: 8 * KiB }, (_, i) => i >> 4);
      await write(t, owner, owner.dram.base + BigInt(512 * KiB), bytes);
      one.map({ pages: true });
      const part = one.mmap(8 * KiB, 512 * KiB);
      assertSame(part.bytes.slice(), bytes, 'the part');
      part.unmap();
    },
    two,
  );

  test(
    'it stays mapped while a program or a card has it',
    (t) => {
      const other = t.open(1);
      const one = held(t, 64 * KiB);
      const memory = one.mmap();
      assertErrno('EBUSY', () => one.unmap());
      using mapping = other.mapHost(memory.address, 64 * KiB);
      memory.unmap();
      assertErrno('EBUSY', () => one.unmap());
      mapping[Symbol.dispose]();
      one.unmap();
      one.detach();
    },
    two,
  );
}

function refusals(test: Declare): void {
  /** Maps a card's memory for another; kernels up to 6.x map for a dynamic importer when it attaches. */
  const mapped = (
    t: TestContext,
    options: { readonly dynamic?: boolean; readonly peerToPeer?: boolean } = {},
    index = 1,
  ) => {
    using node = new Importer(t.target.driver);
    using one = node.attach(exported(t, t.open(0), MiB).fd, addressOf(t, index), options);
    return one.map();
  };

  test(
    'an importer that does not take memory of devices gets none',
    (t) => {
      const buffer = exported(t, t.open(0), MiB);
      for (const dynamic of [false, true]) {
        assertErrno('EPERM', () => {
          using node = new Importer(t.target.driver);
          using one = node.attach(buffer.fd, addressOf(t, 1), { dynamic, peerToPeer: false });
          return one.map();
        });
      }
    },
    { devices: 2, needs: 'p2p' },
  );

  test(
    'without PCI_P2PDMA nobody gets memory of devices',
    (t) => {
      assertErrno('EPERM', () => mapped(t, {}, 0));
    },
    { needs: 'no-p2p' },
  );

  test(
    'a card below another root port is refused',
    (t) => {
      t.expectMessages(NOT_REACHED);
      assertErrno('EPERM', () => mapped(t));
      const other = t.open(1);
      using buffer = other.exportDmaBuf(other.dram.base, MiB);
      assertErrno('EPERM', () => {
        using node = new Importer(t.target.driver);
        using one = node.attach(buffer.fd, addressOf(t, 0));
        return one.map();
      });
    },
    { devices: 2, needs: 'apart' },
  );

  test(
    'a device of the host bridge is refused',
    (t) => {
      // on any machine: what the two do not share is all bridges
      t.expectMessages(NOT_REACHED);
      const buffer = exported(t, t.open(0), MiB);
      assertErrno('EPERM', () => {
        using node = new Importer(t.target.driver);
        using one = node.attach(buffer.fd, HOST_BRIDGE);
        return one.map();
      });
    },
    { needs: 'no-host-routes' },
  );

  test(
    'a card below another root port may import its own memory',
    (t) => {
      assert.equal(mapped(t, {}, 0).length, 1);
    },
    { devices: 2, needs: 'apart' },
  );
}
