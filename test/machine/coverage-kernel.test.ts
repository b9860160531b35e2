/** The kernel that counts what runs: what can be said of it without building it. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { coverageConfig, instrumented, leftOutOfSource } from '../../src/machine/vm/coverage-config.ts';
import { coverageKernel, gcovCommand } from '../../src/machine/vm/coverage-kernel.ts';
import { extractSource } from '../../src/machine/vm/nic-driver.ts';
import { run } from '../../src/os/run.ts';
import { UserError } from '../../src/sim/errors.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-kernel-'));
after(() => rmSync(folder, { recursive: true }));

test('a kernel that has not been built is told of in a line, with the command that builds it and what that takes', async () => {
  await assert.rejects(coverageKernel({ cache: folder, say: () => {} }), (error) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, /^[^\n]*"sagrada vm setup --kernel coverage"[^\n]*minutes[^\n]*MB[^\n]*$/);
    return true;
  });
  assert.throws(() => gcovCommand(folder), UserError);
});

test('each option of its configuration is there once', () => {
  const names = coverageConfig.map((line) => /^(?:# )?(CONFIG_\w+)/.exec(line)?.[1]);
  assert.ok(names.every((name) => name !== undefined));
  assert.deepEqual(
    names.filter((name, i) => names.indexOf(name) !== i),
    [],
  );
});

test('of the source all is unpacked that this kernel is made of, and all that Kconfig reads', async () => {
  const files = [
    ...['arch/Kconfig', 'arch/x86/kernel/apic/apic.c', 'arch/arm/crypto/Kconfig', 'Documentation/Kconfig'],
    ...['drivers/gpu/drm/amd/amdgpu/Kconfig', 'drivers/gpu/drm/drm_file.c', 'tools/arch/arm64/include/asm/barrier.h'],
    ...['sound/Kconfig', 'tools/objtool/check.c', ...Object.keys(instrumented).map((place) => `${place}/Makefile`)],
  ];
  const left = [
    ...['arch/arm/kernel/head.S', 'arch/riscv/boot/dts/a.dtsi', 'Documentation/admin-guide/index.rst'],
    ...['drivers/gpu/drm/amd/amdgpu/amdgpu.h', 'tools/testing/selftests/a.c', 'sound/core/pcm.c'],
  ];
  for (const file of [...files, ...left]) {
    mkdirSync(path.join(folder, 'linux-source-7.3', path.dirname(file)), { recursive: true });
    writeFileSync(path.join(folder, 'linux-source-7.3', file), '');
  }
  const archive = path.join(folder, 'source.tar.xz');
  const packed = await run('tar', ['-C', folder, '-cJf', archive, 'linux-source-7.3']);
  assert.equal(packed.status, 0, packed.stderr);
  const target = path.join(folder, 'src');
  const without = leftOutOfSource('linux-source-7.3').map((pattern) => `--exclude=${pattern}`);
  await extractSource(archive, target, folder, ['--anchored', ...without, '*']);
  const there = readdirSync(target, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(target, path.join(entry.parentPath, entry.name)));
  assert.deepEqual(there.sort(), files.sort());
});
