import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { driverSources } from '../../src/machine/vm/driver-source.ts';
import { driverIn, ownFiles } from '../../src/machine/vm/driver-tree.ts';
import { type Circumstances, GivenDrivers } from '../../src/machine/vm/given-drivers.ts';
import type { GuestKernel } from '../../src/machine/vm/kernel.ts';
import { ModuleFolder } from '../../src/machine/vm/modules.ts';
import { UserError } from '../../src/sim/errors.ts';
import { elf } from './elf-writer.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'given-drivers-test-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, data: Uint8Array | string): string {
  const at = path.join(folder, name);
  mkdirSync(path.dirname(at), { recursive: true });
  writeFileSync(at, data);
  return at;
}

const module = (info: Record<string, string>) =>
  elf({
    sections: {
      '.modinfo': Buffer.from(
        Object.entries(info)
          .map(([key, value]) => `${key}=${value}\0`)
          .join(''),
      ),
    },
  });

file('modules/habanalabs.ko', module({ name: 'habanalabs', vermagic: '7.3.4 SMP preempt ', depends: '' }));
file('modules/modules.builtin', 'kernel/drivers/dma-buf/dma-buf.ko\n');

function circumstances(release?: string): Circumstances {
  const modules = new ModuleFolder(path.join(folder, 'modules'));
  const kernel: GuestKernel = {
    image: '',
    title: '',
    modules,
    nicModules: () => modules,
    guestModule: async () => undefined,
  };
  return { cache: folder, kernel, release, say: () => {} };
}

const refused = (patches: readonly string[], drivers: readonly string[], why: RegExp) =>
  assert.rejects(
    async () => new GivenDrivers(patches, drivers).build(circumstances()),
    (error: Error) => error instanceof UserError && why.test(error.message),
  );

test('what is not there, is no module, or is for another kernel is told in one line', async () => {
  await refused(['/nowhere/x.patch'], [], /--patch \/nowhere\/x\.patch: ENOENT/);
  await refused([], ['/nowhere/x.ko'], /--driver \/nowhere\/x\.ko: ENOENT/);
  await refused([], [file('text.ko', 'no module')], /text\.ko is not a kernel module/);
  await refused(
    [],
    [file('nameless.ko', module({ vermagic: 'x' }))],
    /nameless\.ko is not a kernel module: it has no name/,
  );
  const other = file('habanalabs.ko', module({ name: 'habanalabs', vermagic: '6.12.1 SMP ' }));
  await refused(
    [],
    [other],
    /habanalabs\.ko is for "6\.12\.1 SMP", and the guest's kernel takes "7\.3\.4 SMP preempt"/,
  );
});

test('a source, or a patch, goes with a kernel whose source is known', async () => {
  const patch = file('x.patch', '--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n');
  await refused([patch], [], /--patch goes with the kernels stable, backports and coverage/);
  await refused([], [path.join(folder, 'modules')], /--driver with a folder goes with the kernels stable/);
});

test('a driver that is given twice is refused; one that the guest does not load is named', async () => {
  const own = file('own/habanalabs.ko', module({ name: 'habanalabs', vermagic: '7.3.4 SMP preempt ' }));
  await refused([], [own, own], /the driver habanalabs is given twice/);
  const nic = file('own/efa.ko', module({ name: 'efa', vermagic: '7.3.4 SMP preempt ' }));
  const { check, modules, title } = await new GivenDrivers([], [nic]).build(circumstances());
  assert.match(title, /^own driver efa\.ko \([0-9a-f]{8}\)$/);
  assert.throws(() => check([], 'gaudi'), /machine gaudi loads no driver efa: .*--machine gaudi-efa/);
  assert.doesNotThrow(() => check(modules, 'gaudi-efa'));
});

test('a module takes the place of the kernel’s, and not of what is built in', async () => {
  const stock = circumstances().kernel.modules;
  const bytes = module({ name: 'habanalabs', depends: '' });
  const [loaded] = await stock.with([{ name: 'habanalabs', bytes }]).load(['habanalabs']);
  assert.equal(loaded?.bytes, bytes);
  assert.notEqual((await stock.load(['habanalabs']))[0]?.bytes, bytes);
  assert.throws(() => stock.with([{ name: 'dma_buf', bytes }]), /dma_buf is part of the kernel/);
});

test('a driver’s source is found in a kernel’s source, in its folder there, and by itself', () => {
  assert.throws(() => driverIn(path.join(folder, 'modules')), /has no driver's source/);
  const inside = 'drivers/accel/habanalabs';
  for (const root of ['linux', 'linux2']) {
    file(`${root}/${inside}/Makefile`, 'obj-$(CONFIG_DRM_ACCEL_HABANALABS) := habanalabs.o\n');
    file(`${root}/${inside}/common/device.c`, '');
    file(`${root}/${inside}/common/device.o`, '');
    file(`${root}/${inside}/habanalabs.mod.c`, '');
    file(`${root}/include/uapi/drm/habanalabs_accel.h`, '');
  }
  file('alone/Makefile', 'obj-$(CONFIG_DRM_ACCEL_HABANALABS) := habanalabs.o\n');
  const [habanalabs] = driverSources;
  assert.ok(habanalabs);
  const names = (place: string) => [...ownFiles(habanalabs, path.join(folder, place)).keys()];
  const all = [`${inside}/Makefile`, `${inside}/common/device.c`, 'include/uapi/drm/habanalabs_accel.h'];
  for (const place of ['linux', `linux/${inside}`]) {
    assert.equal(driverIn(path.join(folder, place)), habanalabs);
    assert.deepEqual(names(place), all);
  }
  assert.equal(driverIn(path.join(folder, 'alone')), habanalabs);
  assert.deepEqual(names('alone'), [`${inside}/Makefile`]);
});
