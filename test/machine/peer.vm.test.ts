/** Under the real driver: which way the bytes go when one card uses the memory of another. */

import assert from 'node:assert/strict';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { bundle } from '../../src/exercise/bundle.ts';
import { bootVm } from '../../src/machine/vm/vm.ts';
import { cacheFolder } from '../../src/os/cache.ts';

const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'vm-peer-')));
after(() => rmSync(folder, { recursive: true }));

const SIZE = 16 * 1024 * 1024;

test('what one card writes into the memory of another crosses the switch and no memory of the host', async () => {
  const program = await bundle(path.join(import.meta.dirname, 'peer-copy.ts'), folder);
  await using vm = await bootVm({ machine: 'gaudi-x2', kernel: 'backports', cache: cacheFolder(), say: () => {} });
  const before = await vm.deviceReport();
  const errors: Buffer[] = [];
  const onStderr = (data: Buffer) => void errors.push(Buffer.from(data));
  assert.equal(
    await vm.run([process.execPath, program, String(SIZE)], { onStderr }),
    0,
    Buffer.concat(errors).toString(),
  );
  const { traffic } = await vm.deviceReport();
  assert.deepEqual(
    traffic.filter(({ from, to }) => from === 'gaudi1' && to === 'gaudi0'),
    [{ from: 'gaudi1', to: 'gaudi0', route: 'switch', read: 0, written: SIZE }],
  );
  const host = ({ traffic }: typeof before) =>
    traffic
      .filter(({ from, to }) => from === 'gaudi1' && to === 'host')
      .reduce((sum, { read, written }) => sum + read + written, 0);
  // packets, completions and what the driver does with a card that is opened
  const moved = host(await vm.deviceReport()) - host(before);
  assert.ok(moved < SIZE / 4, `${moved} bytes of the host's memory`);
  assert.deepEqual(vm.unexpected(), []);
});
