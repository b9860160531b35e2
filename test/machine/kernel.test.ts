import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import zlib from 'node:zlib';
import { parts } from '../../src/machine/vm/cache-parts.ts';
import { givenKernel } from '../../src/machine/vm/kernel.ts';
import { releaseOf, uncompressed } from '../../src/machine/vm/kernel-image.ts';
import { elf } from './elf-writer.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'kernel-test-'));
after(() => rmSync(folder, { recursive: true }));

/** A bzImage with this payload (Documentation/arch/x86/boot.rst). */
function bzImage(payload: Uint8Array, release = '9.9.9-test'): Buffer {
  const head = Buffer.alloc(1024 + 512);
  head[0x1f1] = 1;
  head.write('HdrS', 0x202);
  head.writeUInt16LE(0x20f, 0x206);
  head.writeUInt16LE(0x100, 0x20e);
  head.write(`${release} (someone@somewhere) #1 SMP`, 0x300);
  head.writeUInt32LE(512, 0x248);
  head.writeUInt32LE(payload.length, 0x24c);
  return Buffer.concat([head, payload]);
}

function note(name: string, kind: number): Buffer {
  const bytes = Buffer.alloc(12 + 4 + 4);
  bytes.writeUInt32LE(4, 0);
  bytes.writeUInt32LE(4, 4);
  bytes.writeUInt32LE(kind, 8);
  bytes.write(name, 12);
  return bytes;
}

const GNU = note('GNU', 3);
const PVH = elf({ sections: { '.notes': Buffer.concat([GNU, note('Xen', 18)]), '.data': Buffer.alloc(3000, 7) } });
const sized = (bytes: Buffer) => Buffer.concat([zlib.zstdCompressSync(bytes), Buffer.alloc(4)]);

test('what is no kernel is not taken for one', () => {
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(5000), Buffer.from('#!/bin/sh\n'.repeat(100))]) {
    assert.equal(releaseOf(bytes), null);
    assert.equal(uncompressed(bytes), undefined);
  }
});

test('a payload that is cut off, compressed otherwise, or has no PVH entry is left to the boot loader', () => {
  const whole = bzImage(sized(PVH));
  assert.equal(uncompressed(whole.subarray(0, -60)), undefined);
  assert.equal(uncompressed(bzImage(Buffer.from('BZh91AY&SY0123456789'))), undefined);
  assert.equal(uncompressed(bzImage(sized(elf({ sections: { '.notes': GNU } })))), undefined);
  assert.equal(uncompressed(bzImage(sized(elf({ sections: { '.data': GNU } })))), undefined);
});

test('the kernel inside an image comes out as it was, from zstd and from gzip', () => {
  assert.deepEqual(uncompressed(bzImage(sized(PVH))), PVH);
  assert.deepEqual(uncompressed(bzImage(zlib.gzipSync(PVH))), PVH);
});

test('images say their release', () => {
  assert.equal(releaseOf(bzImage(Buffer.alloc(64))), '9.9.9-test');
  assert.equal(releaseOf(elf({ sections: { '.rodata': Buffer.from('Linux version 8.8.8+x (a@b) #1') } })), '8.8.8+x');
});

/** The folder of a kernel that was built, whose make "builds" a module by the script `recipe`. */
function builtKernel(name: string, recipe: string): string {
  const at = path.join(folder, name);
  mkdirSync(path.join(at, 'arch/x86/boot'), { recursive: true });
  writeFileSync(path.join(at, 'arch/x86/boot/bzImage'), bzImage(sized(PVH)));
  writeFileSync(path.join(at, 'Kbuild'), '');
  writeFileSync(path.join(at, 'Makefile'), `modules:\n\t${recipe}\n`);
  writeFileSync(path.join(at, 'modules.order'), 'drivers/x.o\n');
  mkdirSync(path.join(at, 'drivers'));
  writeFileSync(path.join(at, 'drivers/x.ko'), elf({ sections: {} }));
  return at;
}

test('a kernel is found by the folder it was built in, or by its image there', () => {
  const at = builtKernel('linux', 'true');
  for (const given of [at, path.join(at, 'arch/x86/boot/bzImage')]) {
    const kernel = givenKernel(given, undefined, folder, () => {});
    assert.equal(kernel.image, path.join(at, 'arch/x86/boot/bzImage'));
    assert.equal(kernel.modules.has('x'), true);
    assert.deepEqual(kernel.unpacked, PVH);
  }
});

test('modules are found beside an image, under lib/modules, and where --modules says', () => {
  const image = path.join(folder, 'bzImage');
  writeFileSync(image, bzImage(sized(PVH)));
  const installed = path.join(folder, 'installed');
  mkdirSync(path.join(installed, 'lib/modules/9.9.9-test/kernel'), { recursive: true });
  writeFileSync(path.join(installed, 'lib/modules/9.9.9-test/kernel/y.ko'), elf({ sections: {} }));
  for (const given of [
    installed,
    path.join(installed, 'lib/modules'),
    path.join(installed, 'lib/modules/9.9.9-test'),
  ]) {
    assert.equal(givenKernel(image, given, folder, () => {}).modules.has('y'), true);
  }
});

test('our modules for a kernel that was built here are built with it, once, and nothing half-made stays', async () => {
  const cache = path.join(folder, 'cache');
  const files = '$(basename $(notdir $(firstword $(wildcard $(M)/sagrada_*))))';
  const at = builtKernel('built', `echo ${files} >$(M)/${files}.ko; echo x >>${folder}/times`);
  const kernel = givenKernel(at, undefined, cache, assert.fail);
  for (let i = 0; i < 2; i++) {
    for (const name of ['sagrada_helper', 'sagrada_importer'] as const)
      assert.equal((await kernel.guestModule(name))?.bytes.toString(), `${name}\n`);
  }
  assert.equal(readFileSync(path.join(folder, 'times'), 'utf8'), 'x\nx\n');
  assert.deepEqual(
    readdirSync(path.join(cache, 'modules')).filter((name) => !name.endsWith('.ko')),
    [],
  );
});

test('why a module of ours is missing is said, and the kernel is used without', async () => {
  const cache = path.join(folder, 'cache2');
  const said: string[] = [];
  const broken = builtKernel('broken', '@echo "x.c:1: error: no such thing" >&2; exit 1');
  assert.equal(
    await givenKernel(broken, undefined, cache, (line) => said.push(line)).guestModule('sagrada_helper'),
    undefined,
  );
  assert.match(
    said[0] ?? '',
    /without the module sagrada_helper \(.*error: no such thing\): the compute node cannot be opened/,
  );
  rmSync(path.join(broken, 'Makefile'));
  assert.equal(
    await givenKernel(broken, undefined, cache, (line) => said.push(line)).guestModule('sagrada_helper'),
    undefined,
  );
  assert.match(said[1] ?? '', /is no folder in which a kernel was built/);
});

test("a module that set-up has built serves the same kernel of Debian's from elsewhere", async () => {
  const cache = path.join(folder, 'cache3');
  const ready = parts(cache).module('sagrada_helper', '9.9.9-test');
  mkdirSync(ready, { recursive: true });
  writeFileSync(path.join(ready, 'sagrada_helper.ko'), 'ready');
  const kernel = givenKernel(path.join(folder, 'bzImage'), path.join(folder, 'installed'), cache, assert.fail);
  assert.equal((await kernel.guestModule('sagrada_helper'))?.bytes.toString(), 'ready');
});
