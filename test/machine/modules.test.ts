import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import zlib from 'node:zlib';
import { Elf } from '../../src/machine/vm/elf.ts';
import { driverIsFixed } from '../../src/machine/vm/kernel.ts';
import { ModuleFolder } from '../../src/machine/vm/modules.ts';
import { UserError } from '../../src/sim/errors.ts';
import { elf } from './elf-writer.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'modules-test-'));
after(() => rmSync(folder, { recursive: true }));

/** A module that says what it depends on. */
const module = (depends: string) => elf({ sections: { '.modinfo': Buffer.from(`license=GPL\0depends=${depends}\0`) } });

function modules(name: string, files: Record<string, Uint8Array | string>): string {
  const at = path.join(folder, name);
  for (const [file, data] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(at, file)), { recursive: true });
    writeFileSync(path.join(at, file), data);
  }
  return at;
}

test('a folder without modules, a missing module and a file that is none are told in one line', async () => {
  assert.throws(() => new ModuleFolder(modules('empty', { readme: 'x' })), UserError);
  const at = modules('broken', {
    'kernel/a.ko': module('b'),
    'kernel/c.ko': 'not a module',
    'kernel/d.ko': Buffer.alloc(3),
  });
  const set = new ModuleFolder(at);
  await assert.rejects(set.load(['a']), /has no module b \(needed by a\)/);
  await assert.rejects(set.load(['c']), /c\.ko is not a kernel module/);
  await assert.rejects(set.load(['d']), /d\.ko is not a kernel module/);
  await assert.rejects(set.load(['nope']), /has no module nope, and its kernel has it not built in/);
});

test('modules come after what they need, each once; dashes are underscores; what is built in is left out', async () => {
  const at = modules('good', {
    'kernel/net/9p/top-module.ko': module('mid_a,mid-b,core'),
    'kernel/mid-a.ko': module('low'),
    'kernel/mid_b.ko.gz': zlib.gzipSync(module('low')),
    'kernel/low.ko.zst': zlib.zstdCompressSync(module('')),
    'modules.builtin': 'kernel/drivers/core.ko\n',
  });
  const loaded = await new ModuleFolder(at).load(['top_module', 'low']);
  assert.deepEqual(
    loaded.map((m) => m.name),
    ['low', 'mid_a', 'mid_b', 'top_module'],
  );
  assert.equal(loaded[0]?.bytes.readUInt32BE(0), 0x7f454c46);
});

test('modules that need each other do not make it run for ever', async () => {
  const set = new ModuleFolder(modules('cycle', { 'a.ko': module('b'), 'b.ko': module('a') }));
  assert.equal((await set.load(['a'])).length, 2);
});

test('a build tree is known by its list of modules', () => {
  const at = modules('tree', {
    Kbuild: '',
    'modules.order': 'drivers/x/one.o\n',
    'drivers/x/one.ko': module(''),
    'drivers/x/stale.ko': module(''),
  });
  const set = new ModuleFolder(at);
  assert.equal(set.has('one'), true);
  assert.equal(set.has('stale'), false);
});

test('cut-off ELF files are refused, not misread', () => {
  const whole = module('x');
  for (const length of [0, 3, 63, 64, whole.length >> 1]) {
    assert.throws(() => new Elf(whole.subarray(0, length)), RangeError, `${length} bytes`);
  }
});

test('a driver is fixed when its file operations carry FOP_UNSIGNED_OFFSET, and only then', () => {
  const operations = (flags: number) => {
    const bytes = Buffer.alloc(256);
    bytes.writeUInt32LE(flags, 8);
    return {
      name: 'habanalabs',
      bytes: elf({
        sections: { '.rodata': Buffer.concat([Buffer.alloc(32), bytes]) },
        symbols: [{ name: 'hl_fops', section: '.rodata', value: 32, size: 256 }],
      }),
    };
  };
  assert.equal(driverIsFixed(operations(0)), false);
  assert.equal(driverIsFixed(operations(1 << 4)), false);
  assert.equal(driverIsFixed(operations(1 << 5)), true);
  assert.equal(driverIsFixed({ name: 'habanalabs', bytes: module('') }), false);
});
