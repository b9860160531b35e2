import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Cpio } from '../../src/machine/vm/cpio.ts';
import { seed } from '../seed.ts';

interface Entry {
  readonly name: string;
  readonly mode: number;
  readonly size: number;
  readonly data: Buffer;
  readonly device: readonly number[];
}

/** Reads the format as the kernel does (init/initramfs.c): header, name, data, each padded to 4. */
function read(archive: Buffer): Entry[] {
  const entries: Entry[] = [];
  for (let at = 0; ; ) {
    assert.equal(archive.toString('latin1', at, at + 6), '070701');
    const field = (n: number) => Number.parseInt(archive.toString('latin1', at + 6 + 8 * n, at + 14 + 8 * n), 16);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const name = archive.toString('utf8', at + 110, at + 110 + nameSize - 1);
    assert.equal(archive[at + 110 + nameSize - 1], 0);
    if (name === 'TRAILER!!!') return entries;
    const start = (at + 110 + nameSize + 3) & ~3;
    entries.push({ name, mode, size, data: archive.subarray(start, start + size), device: [field(9), field(10)] });
    at = (start + size + 3) & ~3;
  }
}

test('folders come before what is in them, once, and files keep their bytes and modes', () => {
  const archive = new Cpio();
  archive.file('/a/b/one', 'x', 0o755);
  archive.file('/a/b/two', new Uint8Array([1, 2, 3, 4, 5]));
  archive.characterDevice('/dev/console', 5, 1);
  const entries = read(archive.bytes());
  assert.deepEqual(
    entries.map((e) => [e.name, e.mode.toString(8)]),
    [
      ['a', '40755'],
      ['a/b', '40755'],
      ['a/b/one', '100755'],
      ['a/b/two', '100644'],
      ['dev', '40755'],
      ['dev/console', '20600'],
    ],
  );
  assert.deepEqual([...(entries[3]?.data ?? [])], [1, 2, 3, 4, 5]);
  assert.deepEqual(entries[5]?.device, [5, 1]);
  assert.equal(archive.bytes().length % 512, 0);
});

test('an archive of any files can be read back', () => {
  const names = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,12}$/), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(names, fc.array(fc.uint8Array({ maxLength: 70 }), { minLength: 6, maxLength: 6 }), (files, data) => {
      const archive = new Cpio();
      files.forEach((name, i) => {
        archive.file(`/${name}`, data[i] ?? new Uint8Array());
      });
      const entries = read(archive.bytes());
      assert.deepEqual(
        entries.map((e) => e.name),
        files,
      );
      entries.forEach((e, i) => {
        assert.deepEqual(new Uint8Array(e.data), data[i]);
      });
    }),
    { seed: seed() },
  );
});
