/** What lives how long: the exporting card, the dma-buf, the importer, mappings of programs and of the importing card. */

import assert from 'node:assert/strict';
import { CommandStream } from '../../runtime/command-stream.ts';
import { Device } from '../../runtime/device.ts';
import { Importer } from '../../runtime/peer.ts';
import type { Declare } from '../suite.ts';
import { addressOf, DOWN, held, openNode, opens, read, write } from './dmabuf-lib.ts';
import { assertErrno, assertSame, fill, KiB, MiB, run } from './lib.ts';
import { asNew, control, REQUESTED, recovered, SLOW, writeHardReset } from './reset-lib.ts';
import { another } from './threads-lib.ts';

export function lifetimeTests(test: Declare): void {
  const two = { devices: 2, needs: 'p2p' } as const;

  test(
    'an attachment keeps the exporting card taken, in every state',
    (t) => {
      for (const state of ['attached', 'mapped', 'with pages'] as const) {
        const owner = t.open(0);
        const buffer = owner.exportDmaBuf(owner.dram.base, MiB);
        using node = new Importer(t.target.driver);
        const one = node.attach(buffer.fd, addressOf(t, 1));
        if (state !== 'attached') one.map({ pages: state === 'with pages' });
        owner.close();
        assertErrno('EBUSY', () => openNode(t.target.driver, 0));
        node[Symbol.dispose]();
        opens(t, 0);
      }
    },
    two,
  );

  test(
    'memory is copied although its owner has closed the card and the dma-buf',
    async (t) => {
      const other = t.open(1);
      const owner = t.open(0);
      const bytes = Uint8Array.from({ length: 64 * KiB }, (_, i) => i >> 3);
      await write(t, owner, owner.dram.base, bytes);
      const buffer = owner.exportDmaBuf(owner.dram.base, 64 * KiB);
      using peer = other.importDmaBuf(buffer.fd);
      owner.close();
      using staging = other.dram.allocate(64 * KiB);
      await run(t, DOWN, new CommandStream().dma(staging, peer, 64 * KiB), other);
      assertSame(await read(t, other, staging, 64 * KiB), bytes, 'what was read');
      peer[Symbol.dispose]();
      opens(t, 0);
    },
    two,
  );

  test(
    'memory that a card has pinned stays imported when the importer is closed',
    async (t) => {
      const other = t.open(1);
      const owner = t.open(0);
      const buffer = owner.exportDmaBuf(owner.dram.base, 64 * KiB);
      const bytes = Uint8Array.from({ length: 64 * KiB }, (_, i) => 255 - (i >> 3));
      await write(t, owner, owner.dram.base, bytes);
      const node = new Importer(t.target.driver);
      const one = node.attach(buffer.fd, addressOf(t, 1));
      one.map({ pages: true });
      const memory = one.mmap();
      const mapping = other.mapHost(memory.address, 64 * KiB);
      memory.unmap();
      node[Symbol.dispose]();
      owner.close();
      using staging = other.dram.allocate(64 * KiB);
      await run(t, DOWN, new CommandStream().dma(staging, mapping.deviceAddress, 64 * KiB), other);
      assertSame(await read(t, other, staging, 64 * KiB), bytes, 'what was read');
      assertErrno('EBUSY', () => openNode(t.target.driver, 0));
      mapping[Symbol.dispose]();
      opens(t, 0);
    },
    two,
  );

  test(
    'closing the importing card gives the memory back',
    (t) => {
      const other = t.open(1);
      const one = held(t, 64 * KiB);
      const memory = one.mmap();
      other.mapHost(memory.address, 64 * KiB);
      memory.unmap();
      assertErrno('EBUSY', () => one.unmap());
      other.close();
      opens(t, 1);
      one.unmap();
      one.detach();
    },
    two,
  );

  test(
    'a mapping of the program keeps all of it, though every descriptor is closed',
    async (t) => {
      const owner = t.open(0);
      const bytes = Uint8Array.from({ length: 16 * KiB }, (_, i) => i >> 5);
      await write(t, owner, owner.dram.base, bytes);
      const buffer = owner.exportDmaBuf(owner.dram.base, 16 * KiB);
      const node = new Importer(t.target.driver);
      const one = node.attach(buffer.fd, addressOf(t, 1));
      one.map({ pages: true });
      const memory = one.mmap();
      node[Symbol.dispose]();
      owner.close();
      assertSame(memory.bytes.slice(), bytes, 'through the mapping');
      assertErrno('EBUSY', () => openNode(t.target.driver, 0));
      memory.unmap();
      opens(t, 0);
    },
    two,
  );

  test(
    'what the importer forgets is given up when it is closed, in every state',
    (t) => {
      const owner = t.open(0);
      for (let round = 0; round < 3; round++) {
        using node = new Importer(t.target.driver);
        for (let state = 0; state < 3; state++) {
          using buffer = owner.exportDmaBuf(owner.dram.base, 4 * MiB);
          const one = node.attach(buffer.fd, addressOf(t, 1));
          if (state > 0) one.map({ pages: state === 2 });
        }
      }
      owner.close();
      opens(t, 0);
    },
    two,
  );

  test(
    'a program that is killed gives everything back',
    (t) => {
      const child = another(t);
      const owner = Device.open({ driver: child, index: 0 });
      const other = Device.open({ driver: child, index: 1 });
      other.importDmaBuf(owner.exportDmaBuf(owner.dram.base, MiB).fd);
      for (const index of [0, 1]) assertErrno('EBUSY', () => openNode(t.target.driver, index));
      child.kill();
      for (const index of [0, 1]) opens(t, index);
    },
    two,
  );

  test(
    'a dma-buf is handed to another program, which imports it and outlives the first’s use of it',
    async (t) => {
      const owner = t.open(0);
      const bytes = new Uint8Array(64 * KiB);
      fill(bytes, t.random);
      await write(t, owner, owner.dram.base, bytes);
      const buffer = owner.exportDmaBuf(owner.dram.base, 64 * KiB);
      const child = another(t, [buffer.fd]);
      const other = Device.open({ driver: child, index: 1 });
      const peer = other.importDmaBuf(buffer.fd);
      owner.close();
      const staging = other.dram.allocate(64 * KiB);
      await run(t, DOWN, new CommandStream().dma(staging, peer, 64 * KiB), other);
      assertSame(await read(t, other, staging, 64 * KiB), bytes, 'what the other program has read');
      assertErrno('EBUSY', () => openNode(t.target.driver, 0));
      child.kill();
      opens(t, 0);
    },
    two,
  );

  test(
    'a reset of the exporting card ends the program that holds its memory, and all is well again',
    async (t) => {
      t.expectMessages(REQUESTED);
      const node = control(t);
      const before = node.info.resetCount().hard_reset_cnt;
      const child = another(t);
      const owner = Device.open({ driver: child, index: 0 });
      const other = Device.open({ driver: child, index: 1 });
      other.importDmaBuf(owner.exportDmaBuf(owner.dram.base, MiB).fd);
      writeHardReset(t, '1');
      assert.equal(await recovered(t, node, before), before + 1);
      assert.equal(child.alive, false);
      opens(t, 1);
      await asNew(t);
      const one = held(t, MiB);
      one.mmap().unmap();
      one.unmap();
    },
    { ...two, ...SLOW },
  );
}
