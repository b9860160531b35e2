/** What becomes of texts that are longer than the files of a card in debugfs look, and of what is written after another text. */

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { O_RDWR } from '../../driver/driver.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { fenceAddress } from '../../runtime/sync.ts';
import type { Declare } from '../suite.ts';
import { debugFile, debugText, setDebug, writeDebug } from './debugfs-lib.ts';
import { assertErrno } from './lib.ts';
import { control } from './reset-lib.ts';
import { release } from './sync-lib.ts';

const zeros = (count: number) => '0'.repeat(count);

export function debugInput(test: Declare): void {
  test('of a long number only the beginning is looked at', (t) => {
    using _ = setDebug(t, 'addr', '0');
    const place = t.device.sram.allocate(8);
    // simple_attr_write: 23 characters
    writeDebug(t, 'addr', `0x${zeros(20)}7`);
    assert.equal(debugText(t, 'addr'), `0x${zeros(15)}7\n`);
    writeDebug(t, 'addr', `0x${zeros(21)}7`);
    assert.equal(debugText(t, 'addr'), `0x${zeros(16)}\n`);
    writeDebug(t, 'addr', `0x${zeros(21)} and no number`);
    writeDebug(t, 'addr', `0x${place.address.toString(16)}`);
    // kstrtouint_from_user and kstrtoull_from_user: two characters more than the number has bits
    for (const [name, bits] of [
      ['data32', 32],
      ['data64', 64],
    ] as const) {
      const digits = bits / 4;
      writeDebug(t, name, `${zeros(bits + 1)}7`);
      assert.equal(debugText(t, name), `0x${zeros(digits - 1)}7\n`);
      writeDebug(t, name, `${zeros(bits + 2)}7`);
      assert.equal(debugText(t, name), `0x${zeros(digits)}\n`);
      writeDebug(t, name, `${zeros(bits + 1)}5 and no number`);
      assert.equal(debugText(t, name), `0x${zeros(digits - 1)}5\n`);
    }
  });

  test('a number beyond 64 bits is too large, whatever follows it', (t) => {
    using _ = setDebug(t, 'addr', '0');
    writeDebug(t, 'addr', `0x${t.device.sram.allocate(8).address.toString(16)}`);
    for (const name of ['data32', 'data64']) {
      assertErrno('ERANGE', () => writeDebug(t, name, `${'f'.repeat(17)}x`));
      assertErrno('EINVAL', () => writeDebug(t, name, `${'f'.repeat(9)}x`));
    }
    assertErrno('ERANGE', () => writeDebug(t, 'data32', 'f'.repeat(9)));
    assertErrno('ERANGE', () => writeDebug(t, 'addr', '99999999999999999999x'));
  });

  test('a second word for a card, written to the same open file, is not taken', (t) => {
    t.expectMessages(/Valid values: disable, enable, suspend, resume, cpu_timeout/);
    const { driver } = t.target;
    const node = control(t);
    const write = (fd: number, text: string) => driver.write(fd, new TextEncoder().encode(text));
    // whatever comes of this, the card is in order when it is over
    t.use({ [Symbol.dispose]: () => writeDebug(t, 'device', 'enable') });
    const fd = driver.open(debugFile(t, 'device'), O_RDWR);
    try {
      assertErrno('EINVAL', () => write(fd, 'off'));
      // what was refused does not count
      assert.equal(write(fd, 'enable'), 6);
      assert.equal(write(fd, 'disable'), 0);
      assert.equal(write(fd, 'off'), 0);
      assert.equal(node.info.status(), 'OPERATIONAL');
      // reading goes on behind what was written
      const rest = new Uint8Array(100);
      const help = 'Valid values: disable, enable, suspend, resume, cpu_timeout\n';
      assert.equal(new TextDecoder().decode(rest.subarray(0, driver.read(fd, rest))), help.slice(6));
    } finally {
      driver.close(fd);
    }
    const another = driver.open(debugFile(t, 'device'), O_RDWR);
    try {
      assert.equal(write(another, `enable${'x'.repeat(100)}`), 106);
    } finally {
      driver.close(another);
    }
  });

  test('a dump tells of fences by the counter of another (gaudi_print_fences_single_engine)', async (t) => {
    t.expectMessages(/Command submission \d+ has not finished/, /Command submission \d+ completed after \d+ \(s\)/);
    using _ = setDebug(t, 'addr', '0');
    const { device } = t;
    const [down, up] = ['DMA_0_0', 'DMA_1_0'] as const;
    const manager = device.sync('W_N');
    const objects = manager.syncObjects(8);
    const monitor = manager.monitor();
    const before = debugText(t, 'state_dump');
    const write = { place: fenceAddress(down, 1), data: 1 };
    const stream = new CommandStream().arm(monitor, { objects, value: 1, write }).fence(1, { target: 3 });
    const work = device.submit({ queue: down, stream }, { timeout: 1, skipResetOnTimeout: true });
    await release(t, down, up, 2, 1);
    // the counter is 80 bytes behind the register that adds to it
    writeDebug(t, 'addr', `0x${(fenceAddress(down, 1) + 80n).toString(16)}`);
    assert.equal(debugText(t, 'data32'), '0x00000002\n');
    while (debugText(t, 'state_dump') === before) {
      t.signal.throwIfAborted();
      t.target.driver.sleep(20_000_000);
      await setImmediate();
    }
    const dump = debugText(t, 'state_dump');
    assert.match(dump, /^DMA0, stream 0: fence id 1 .* value = 0, cp_status = \d+$/m);
    // nor does it list objects of a monitor beyond the highest that does not take part: of this, none
    const line = dump.split('\n').find((text) => text.startsWith(`Mon id: ${monitor.index},`) && text.includes('[]'));
    assert.match(line ?? '', / mask 0b to reach val: 1 .* Pending: 0b11111111\. Means sync objects \[\] /);
    await release(t, down, up, 1, 1);
    await device.wait(work, { signal: t.signal });
  });
}
